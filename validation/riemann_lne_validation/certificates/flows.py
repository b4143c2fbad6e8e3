"""Certificates about the Ricci flow and the Ricci-DeTurck flow.

Solutions and averages are written down here; the checker derives the flow from the metric.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations_with_replacement, product

from ..audit.evidence import Verdict
from .parts import Certificate, Part, Text, identity, table, total

_WAVE = {"s": "2*w/(1 + w**2)", "c": "(1 - w**2)/(1 + w**2)"}
"""sin y and cos y as rational functions of w = tan(y / 2), for which dw/dy = (1 + w^2)/2."""
_SLOPE = {"w": "(1 + w**2)/2"}


def _shear(n: int, slope: str) -> list[list[str]]:
    """phi* delta for phi(x, y, ...) = (x + f(y), y, ...), with f' = slope."""

    def entry(i: int, j: int) -> str:
        if (i, j) in ((0, 1), (1, 0)):
            return slope
        return f"1 + ({slope})**2" if i == j == 1 else str(int(i == j))

    return table(n, entry)


def _zeros(n: int) -> list[list[int]]:
    return table(n, lambda i, j: 0)


def pullback() -> Certificate:
    """A flat metric in other coordinates is a fixed point of the Ricci flow."""
    return Certificate(
        "pullback-decay",
        (Verdict.FAILS, Verdict.CONDITIONS),
        "the metrics phi* delta, phi(x, y, ...) = (x + f(y), y, ...), have Ric = 0 for every f: "
        "the Ricci flow leaves them where they are, at g_12 = f'(y) from the flat background, "
        "however small f is; n = [2, 3, 4]",
        [_pullback(n) for n in (2, 3, 4)],
    )


def _pullback(n: int) -> Part:
    part = Part(
        f"n = {n}: g = phi* delta for phi(x, y, ...) = (x + f(y), y, ...) with any f, periodic or "
        "of bounded support; f1, f2, f3 are its derivatives. Where Ric = 0 the Ricci flow, g' = "
        "-2 Ric, does not move g, so that the entry g_12 = f'(y) stays as it is for all time",
        ["f1", "f2", "f3"],
        [{}, {"f1": "f2", "f2": "f3"}, *({} for _ in range(n - 2))],
    )
    part.given["g"] = _shear(n, "f1")
    part.step("C", "geometry", "g")
    part.step("Ric", "entries", "C[1]", equals=_zeros(n))
    part.step("gamma", "entries", table(n, lambda i, j: f"g[{i}][{j}] - {int(i == j)}"))
    part.step("there", "at", "gamma[0][1]", {"f1": "1/5"}, equals="1/5", sign="positive")
    return part


def epsilon_close() -> Certificate:
    """The Ricci-DeTurck flow raises the largest entry of a diagonal metric."""
    return Certificate(
        "epsilon-close",
        (Verdict.FAILS,),
        "for g = diag(1 + e, f(x), 1, ...) with f = A + B cos x filling [1/(1 + e), 1 + e], the "
        "Ricci-DeTurck flow has g_11' = f'^2/(2 f^2) > 0 at t = 0: g does not stay epsilon-close "
        "with epsilon = e; n = [2, 3]",
        [_epsilon_close(n) for n in (2, 3)],
    )


def _epsilon_close(n: int) -> Part:
    part = Part(
        f"n = {n}: g = diag(1 + e, f(x), 1, ...), f = A + B cos x with A, B such that f fills "
        "[1/(1 + e), 1 + e]: g is epsilon-close to delta with epsilon = e and no smaller one. "
        "cos x = (1 - w^2)/(1 + w^2) with w = tan(x/2). Where g_11' > 0 at t = 0, g_11 exceeds 1 + "
        "e at once",
        ["e", "w"],
        [_SLOPE, *({} for _ in range(n - 1))],
    )
    part.given["A"] = "((1 + e) + 1/(1 + e))/2"
    part.given["B"] = "((1 + e) - 1/(1 + e))/2"
    part.given["f"] = f"A + B*{_WAVE['c']}"
    diagonal = ["1 + e", "f", "1"]
    part.given["g"] = table(n, lambda i, j: diagonal[i] if i == j else "0")
    part.step("below", "entries", "(1 + e) - f", equals="2*B*w**2/(1 + w**2)")
    part.step("above", "entries", "f - 1/(1 + e)", equals="2*B/(1 + w**2)")
    part.step("df", "gradient", "f")
    part.step("F", "flow", "g")
    part.step("rest", "entries", "F[0][0] - df[0]**2/(2*f**2)", equals="0")
    w = Fraction(1, 2)
    for name, e in (("small", Fraction(1, 20)), ("large", Fraction(3, 5))):
        value = _growth(e, w)
        part.step(name, "at", "F[0][0]", {"e": e, "w": w}, equals=value, sign="positive")
    return part


def _growth(e: Fraction, w: Fraction) -> Fraction:
    """f'^2 / (2 f^2) at cos x = (1 - w^2) / (1 + w^2)."""
    high = 1 + e
    mean, wave = (high + 1 / high) / 2, (high - 1 / high) / 2
    f = mean + wave * (1 - w**2) / (1 + w**2)
    slope = wave * 2 * w / (1 + w**2)
    return slope**2 / (2 * f**2)


def evolution_inequality() -> Certificate:
    """An exact solution on the torus against the literal inequality of Cor. 33."""
    return Certificate(
        "evolution-inequality-literal",
        (Verdict.FAILS,),
        "for an exact solution |d - d0|^2 at T over the integral of |grad (d - d0)|^2 from 0 to T "
        "tends to 0 as T grows (exact values at T = log 2, 3 log 2, 9 log 2): the literal "
        "inequality has no constant C > 0. With the integral from t on it holds here with C = 1",
        [_exact_solution()],
    )


def _exact_solution() -> Part:
    part = Part(
        "an exact solution of the Ricci-DeTurck flow on the torus of side 2 pi: g = phi* delta, "
        "phi(x, y) = (x + f(y, t), y), f' = a E sin y, E = e^-t. s = sin y and c = cos y are "
        "rational in w = tan(y/2). Coordinates: x, y, t. Averages over y: what is left after the "
        "average is taken off is the y-derivative of a periodic function (H, H2, H3). d0, the "
        "projection of d = g - delta onto the constants, is the average of d. The integral of "
        "|grad d|^2 from t on is tail, since tail' = -|grad d|^2 and it tends to 0 with E",
        ["a", "E", "w"],
        [{}, _SLOPE, {"E": "-E"}],
    )
    part.given |= _WAVE
    part.given["g"] = _shear(2, "a*E*s")
    part.given["mean"] = [["0", "0"], ["0", "a**2*E**2/2"]]
    part.given["H"] = [["0", "-a*E*c"], ["-a*E*c", "-a**2*E**2*s*c/2"]]
    part.given["size"] = "a**2*E**2 + a**4*E**4/8"
    part.given["H2"] = "-a**2*E**2*s*c + a**4*E**4*s*c*(1 - 2*s**2)/8"
    part.given["slopes"] = "a**2*E**2 + a**4*E**4/2"
    part.given["H3"] = "a**2*E**2*s*c - a**4*E**4*s*c*(1 - 2*s**2)/2"
    part.given["tail"] = "a**2*E**2/2 + a**4*E**4/8"
    part.step("F", "flow", "g")
    part.step("dg", "gradient", "g")
    solves = table(2, lambda i, j: f"F[{i}][{j}] - dg[2][{i}][{j}]")
    part.step("solves", "entries", solves, equals=_zeros(2))
    part.step(
        "d", "entries", table(2, lambda i, j: f"g[{i}][{j}] - {int(i == j)} - mean[{i}][{j}]")
    )
    part.step("dH", "gradient", "H")
    rest = table(2, lambda i, j: f"d[{i}][{j}] - dH[1][{i}][{j}]")
    part.step("average", "entries", rest, equals=_zeros(2))
    part.step("dH2", "gradient", "H2")
    squares = total([f"d[{i}][{j}]**2" for i, j in product(range(2), repeat=2)])
    part.step("average2", "entries", f"{squares} - size - dH2[1]", equals="0")
    part.step("dd", "gradient", "d")
    part.step("dH3", "gradient", "H3")
    squares = total([f"dd[{k}][{i}][{j}]**2" for k, i, j in product(range(2), repeat=3)])
    part.step("average3", "entries", f"{squares} - slopes - dH3[1]", equals="0")
    part.step("dtail", "gradient", "tail")
    part.step("integral", "entries", "dtail[2] + slopes", equals="0")
    part.step("whole", "at", "tail", {"E": 1}, equals="a**2/2 + a**4/8")
    part.step("ratio", "entries", "size/(whole - tail)")
    a = Fraction(1, 5)
    for k in (1, 3, 9):
        e = Fraction(1, 2**k)
        part.step(f"ratio{k}", "at", "ratio", {"a": a, "E": e}, equals=_ratio(a, e))
    part.step("limit", "at", "ratio", {"E": 0}, equals="0")
    part.step("from_t_on", "entries", "size - tail", equals="a**2*E**2/2")
    return part


def _ratio(a: Fraction, e: Fraction) -> Fraction:
    def tail(x: Fraction) -> Fraction:
        return a**2 * x**2 / 2 + a**4 * x**4 / 8

    return (a**2 * e**2 + a**4 * e**4 / 8) / (tail(Fraction(1)) - tail(e))


def not_parabolic() -> Certificate:
    """The symbol of -2 Ric vanishes on x v^T + v x^T; with the DeTurck term it is |x|^2."""
    return Certificate(
        "ricci-not-parabolic",
        (Verdict.HOLDS,),
        "the symbol of -2 Ric at a covector x vanishes on x v^T + v x^T for every v, and at x = "
        "(1, 0, ...) on nothing else (it is the identity on matrices without first row and "
        "column): a kernel of dimension n. With the DeTurck term it is |x|^2; n = [2, 3, 4]",
        [_symbols(n) for n in (2, 3, 4)],
    )


def _symbols(n: int) -> Part:
    names = [f"x{i + 1}" for i in range(n)]
    part = Part(
        f"n = {n}: g = delta + eps w E with w = e^(x . y) and a constant matrix E, y the "
        "coordinates, so that d_k w = x_k w; the last coordinate is eps. The derivative by eps at "
        "0, over w, is the symbol at the covector x on E. It is linear in E, so that the matrices "
        "E with entries 1 at a, b and b, a, and 0 elsewhere, give it on all. At x = (1, 0, ...) it "
        "is the identity on the matrices without first row and column",
        ["eps", "w", *names],
        [*({"w": f"{x}*w"} for x in names), {"eps": "1"}],
    )
    part.given["x"] = names
    part.given["norm"] = total([f"{x}**2" for x in names])
    pairs = list(combinations_with_replacement(range(n), 2))
    for a, b in pairs:
        _symbol_on_unit(part, n, a, b)
    for v in range(n):
        part.step(f"kernel{v + 1}", "entries", _on_kernel(n, v), equals=_zeros(n))
    rest = [(a, b) for a, b in pairs if a > 0]
    part.step("rows", "entries", [[f"S{c + 1}{d + 1}[{a}][{b}]" for c, d in rest] for a, b in rest])
    first = {x: int(x == "x1") for x in names}
    part.step("rest", "at", "rows", first, equals=identity(len(rest)))
    return part


def _symbol_on_unit(part: Part, n: int, a: int, b: int) -> None:
    """Steps S for the symbol of -2 Ric and T for that of the Ricci-DeTurck flow, on one matrix."""
    unit = table(n, lambda i, j: int((i, j) in ((a, b), (b, a))))
    name = f"{a + 1}{b + 1}"
    metric = table(n, lambda i, j: f"{int(i == j)} + eps*w*{unit[i][j]}")
    part.step(f"g{name}", "entries", metric)
    part.step(f"C{name}", "geometry", f"g{name}")
    part.step(f"dR{name}", "gradient", f"C{name}[1]")
    part.step(f"R{name}", "at", f"dR{name}[{n}]", {"eps": 0})
    symbol = table(n, lambda i, j: f"-2*R{name}[{i}][{j}]/w")
    stated = table(n, lambda i, j: _symbol(n, unit, i, j))
    part.step(f"S{name}", "entries", symbol, equals=stated)
    part.step(f"F{name}", "flow", f"g{name}")
    part.step(f"dF{name}", "gradient", f"F{name}")
    part.step(f"f{name}", "at", f"dF{name}[{n}]", {"eps": 0})
    symbol = table(n, lambda i, j: f"f{name}[{i}][{j}]/w")
    stated = table(n, lambda i, j: "norm" if unit[i][j] else "0")
    part.step(f"T{name}", "entries", symbol, equals=stated)


def _symbol(n: int, unit: list[list[int]], i: int, j: int) -> str:
    """|x|^2 h_ij + x_i x_j tr h - x_i (h x)_j - x_j (h x)_i for a matrix h of zeros and ones."""
    terms = ["norm"] * unit[i][j] + [f"x[{i}]*x[{j}]"] * sum(unit[k][k] for k in range(n))
    terms += [f"(-x[{i}]*x[{k}])" for k in range(n) if unit[j][k]]
    terms += [f"(-x[{j}]*x[{k}])" for k in range(n) if unit[i][k]]
    return total(terms)


def _on_kernel(n: int, v: int) -> Text:
    """The symbol on x e_v^T + e_v x^T, from that on the unit matrices."""

    def entry(i: int, j: int) -> str:
        names = [(f"S{min(v, k) + 1}{max(v, k) + 1}", k) for k in range(n)]
        return total([f"{2 if k == v else 1}*x[{k}]*{name}[{i}][{j}]" for name, k in names])

    return table(n, entry)


def _name(i: int, j: int, *along: int) -> str:
    """Symbol of the entry i, j of a metric, or of its derivative along some coordinates."""
    tail = "".join(str(k + 1) for k in sorted(along))
    return f"g{min(i, j) + 1}{max(i, j) + 1}" + (f"_{tail}" if tail else "")


def _scaling(n: int, diagonal: bool) -> Part:
    """A metric with any values and derivatives at a point, and the same with scaled derivatives."""
    symbols, slopes = ["l"], [dict[str, str]() for _ in range(n)]
    pairs = list(combinations_with_replacement(range(n), 2))
    for i, j in pairs:
        if diagonal and i != j:
            continue
        symbols.append(_name(i, j))
        symbols += [_name(i, j, k) for k in range(n)]
        symbols += [_name(i, j, k, m) for k, m in pairs]
        for k in range(n):
            slopes[k][_name(i, j)] = f"l*{_name(i, j, k)}"
            slopes[k] |= {_name(i, j, m): f"l*{_name(i, j, k, m)}" for m in range(n)}
    part = Part(
        f"n = {n}: a {'diagonal ' * diagonal}metric with any values, first and second derivatives "
        "at a point; the derivatives of g(l x) have the factors l and l^2. F is the right-hand "
        "side of the Ricci-DeTurck flow",
        symbols,
        slopes,
    )
    part.given["g"] = table(n, lambda i, j: "0" if diagonal and i != j else _name(i, j))
    part.step("F", "flow", "g")
    part.step("F1", "at", "F", {"l": 1})
    scaled = table(n, lambda i, j: f"F[{i}][{j}] - l**2*F1[{i}][{j}]")
    part.step("scaled", "entries", scaled, equals=_zeros(n))
    return part


def scaling() -> Certificate:
    """If g(x, t) solves the flow, so does g(l x, l^2 t)."""
    any_n = Part(
        "any n: with phi(x) = l x, g(l x) is l^-2 phi* g. Ric does not change where a metric is "
        "multiplied by a number, and Ric(phi* g) = phi* Ric(g) = l^2 Ric(g)(l x); the flat "
        "background stays flat with the same (zero) Christoffel symbols. So the right-hand side at "
        "g(l x, .) is l^2 times that at g, and g(l x, l^2 t) solves the flow. The L2 distance to "
        "delta on R^n is l^(-n/2) times that of g, the sup norm the same. A bound |g(t) - delta| "
        "<= C e^(-c t) |g(0) - delta| in L2 for all starts of a sup-norm ball gives, for g(l x, "
        "l^2 t) at t = s/l^2, |g(s) - delta| <= C e^(-c s/l^2) |g(0) - delta| for every l > 0. "
        "With l -> 0 the right side tends to 0, so that g(s) = delta for all s > 0, which a "
        "start other than delta contradicts. The step: e^(-c s/l^2) for c s = 1 and l = 1/10 is "
        "1/(e^20)^5, less than 10^-43",
        ["l"],
    )
    any_n.step("e", "exp", 20)
    any_n.step("bound", "entries", "1/e[0]**5 - 1/10**43", sign="negative")
    return Certificate(
        "exponential-decay-noncompact",
        (Verdict.FAILS,),
        "if g(x, t) solves the Ricci-DeTurck flow on R^n, so does g(l x, l^2 t), with the same sup "
        "norm: no bound C e^(-c t) in L2 can hold for all starts of a sup-norm ball, however small",
        [any_n, _scaling(2, diagonal=False), _scaling(3, diagonal=True)],
    )
