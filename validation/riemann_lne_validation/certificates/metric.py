"""Certificates about the LNE metric at a point: where it is one, its inverse, its curvature.

The closed forms are written down here; the checker derives what they are compared with from the
definitions: Eq. 16 and the derivative of tanh.
"""

from __future__ import annotations

from fractions import Fraction

from ..audit.evidence import Verdict
from .parts import Certificate, Part, identity, table, total
from .spaces import SIZES, at, eq_16, multiple, named


def closed_forms() -> Certificate:
    """Inverse, Christoffel symbols, Ricci tensor and scalar curvature of Eq. 16."""
    return Certificate(
        "lne-scalar-curvature",
        (Verdict.HOLDS,),
        "for Eq. 16: g^-1 = I + t t^T/s, Gamma^k_ij = -delta_ij D_i t_k/s, Ric = -[(T/s) A - A^2/s "
        "- (D t)(D t)^T/s^2], R = -[T^2 - sum_ij (g^ij)^2 D_i D_j]/s; s = 1 - |t|^2, A = diag(D), "
        f"D_i = tau (1 - t_i^2), T = sum_i D_i (1 + t_i^2/s); n = {list(SIZES)}",
        [_closed_forms(n) for n in SIZES],
    )


def _closed_forms(n: int) -> Part:
    part = eq_16(n)
    part.given["D"] = [f"tau*(1 - {t}**2)" for t in named(n)]
    part.given["T"] = total([f"D[{i}]*(1 + t[{i}]**2/s)" for i in range(n)])
    part.given["inverse"] = multiple(n, "1", "1/s")
    part.step("up", "inverse", "g", equals=multiple(n, "1", "1/s"))
    part.step("C", "geometry", "g")
    gamma = [
        [[f"-D[{i}]*t[{k}]/s" if i == j else "0" for j in range(n)] for i in range(n)]
        for k in range(n)
    ]
    part.step("Gamma", "entries", "C[0]", equals=gamma)
    part.step("Ric", "entries", "C[1]", equals=table(n, _ricci))
    trace = total([f"up[{i}][{j}]*Ric[{i}][{j}]" for i in range(n) for j in range(n)])
    squares = [f"inverse[{i}][{j}]**2*D[{i}]*D[{j}]" for i in range(n) for j in range(n)]
    part.step("R", "entries", trace, equals=f"-(T**2 - ({total(squares)}))/s")
    return part


def _ricci(i: int, j: int) -> str:
    """An entry of the closed form of the Ricci tensor."""
    both = f"D[{i}]*t[{i}]*D[{j}]*t[{j}]/s**2"
    return f"-(T*D[{i}]/s - D[{i}]**2/s - {both})" if i == j else both


def ricci_flat() -> Certificate:
    """Ric(0) = -(n - 1) tau^2 I."""
    return Certificate(
        "lne-ricci-flat",
        (Verdict.FAILS,),
        f"Eq. 16 is not Ricci-flat: Ric = -(n - 1) tau^2 I at x = 0; n = {list(SIZES)}",
        [_at_origin(n) for n in SIZES],
    )


def _at_origin(n: int) -> Part:
    part = eq_16(n)
    part.step("C", "geometry", "g")
    value = table(n, lambda i, j: f"-{n - 1}*tau**2" if i == j else "0")
    part.step("Ric", "at", "C[1]", at([Fraction(0)] * n), equals=value)
    part.step("Ric_11", "at", "Ric[0][0]", {"tau": 1}, equals=1 - n, sign="negative")
    return part


def positive_definite() -> Certificate:
    """Eq. 16 is a metric exactly where |t| < 1."""
    return Certificate(
        "lne-positive-definite",
        (Verdict.CONDITIONS,),
        "Eq. 16 is not positive definite at t = (4/5, 4/5, 0, ...), where t^T g t = s (1 - s) < 0 "
        "with s = 1 - |t|^2. As v^T g v = s |v|^2 + sum_i<j (t_i v_j - t_j v_i)^2 it is positive "
        f"definite exactly where s > 0; n = {list(SIZES)}. For 1000 weights of 0.05 the limit of "
        "tau lies between two numbers that differ by 10^-12",
        [*(_definite(n) for n in SIZES), _tau_limit()],
    )


def _definite(n: int) -> Part:
    part = eq_16(n, extra=named(n, "v"))
    part.given["v"] = named(n, "v")
    form = total([f"v[{i}]*g[{i}][{j}]*v[{j}]" for i in range(n) for j in range(n)])
    squares = [f"(t[{i}]*v[{j}] - t[{j}]*v[{i}])**2" for j in range(n) for i in range(j)]
    length = total([f"v{i + 1}**2" for i in range(n)])
    part.step("form", "entries", form, equals=f"s*({length}) + " + total(squares))
    along = total([f"t[{i}]*g[{i}][{j}]*t[{j}]" for i in range(n) for j in range(n)])
    part.step("along", "entries", along, equals="(1 - s)*s")
    point = [Fraction(4, 5)] * 2 + [Fraction(0)] * (n - 2)
    q = sum(x**2 for x in point)
    part.step("there", "at", "along", at(point), equals=q * (1 - q), sign="negative")
    return part


def _tau_limit() -> Part:
    """The tau with 1000 tanh(tau / 20)^2 = 1, between two rational numbers."""
    part = Part(
        "|t|^2 of 1000 weights of 0.05 is 1000 tanh(tau/20)^2, tanh(z) = (e^2z - 1)/(e^2z + 1): "
        "below 1 at tau = low and above 1 at tau = high, by bounds of the exponential function",
        ["tau"],
    )
    low, high = Fraction(632666477125, 10**12), Fraction(632666477126, 10**12)
    for name, tau, bound, sign in (("low", low, 1, "positive"), ("high", high, 0, "negative")):
        part.step(name, "entries", tau, equals=tau)
        part.step(f"e_{name}", "exp", tau / 10)
        e = f"e_{name}[{bound}]"
        part.step(f"s_{name}", "entries", f"1 - 1000*(({e} - 1)/({e} + 1))**2", sign=sign)
    return part


def inverses() -> Certificate:
    """The weak inverse misses by |t|^2 t t^T; the exact one is I + t t^T / s."""
    return Certificate(
        "weak-inverse",
        (Verdict.CONDITIONS,),
        "g (I + t t^T) - I = -|t|^2 t t^T, which is not zero; and g^-1 = I + t t^T/(1 - |t|^2): "
        f"for every n by the algebra of t t^T, and entry by entry for n = {list(SIZES)}",
        [_any_n(), *(_inverses(n) for n in SIZES)],
    )


def _any_n() -> Part:
    part = Part(
        "any n: a I + b t t^T as the pair (a, b). (t t^T)^2 = t (t^T t) t^T = q t t^T with q = "
        "|t|^2, so (a, b) times (c, e) is (a c, a e + b c + q b e); g = (1, -1), the weak inverse "
        "of Cor. 19 is (1, 1), the exact one (1, 1/(1 - q)), the identity (1, 0)",
        ["q"],
    )
    part.step("weak", "entries", ["1*1 - 1", "1*1 + (-1)*1 + q*(-1)*1"], equals=["0", "-q"])
    exact = ["1*1 - 1", "1/(1 - q) - 1 + q*(-1)/(1 - q)"]
    part.step("exact", "entries", exact, equals=["0", "0"])
    quarter = {"q": Fraction(1, 4)}
    part.step("there", "at", "weak[1]", quarter, equals="-1/4", sign="negative")
    return part


def _inverses(n: int) -> Part:
    part = eq_16(n)
    part.given["weak"] = multiple(n, "1", "1")
    part.given["I"] = identity(n)
    entry = [
        [total([f"g[{i}][{k}]*weak[{k}][{j}]" for k in range(n)]) for j in range(n)]
        for i in range(n)
    ]
    part.step("product", "entries", entry)
    error = table(n, lambda i, j: f"product[{i}][{j}] - I[{i}][{j}]")
    part.step("error", "entries", error, equals=multiple(n, "0", "-(1 - s)"))
    part.step("exact", "inverse", "g", equals=multiple(n, "1", "1/s"))
    return part


def dominance() -> Certificate:
    """Strict diagonal dominance of Eq. 16 makes s positive."""
    return Certificate(
        "diagonal-dominance",
        (Verdict.HOLDS,),
        "Eq. 16 is strictly diagonally dominant exactly where |t_i| sum_j |t_j| < 1 for the "
        "largest |t_i|, and then det g = 1 - |t|^2 > 0, so that it is invertible; n = "
        f"{list(SIZES)}",
        [_dominance(n) for n in SIZES],
    )


def _dominance(n: int) -> Part:
    names = named(n, "b")
    part = Part(
        f"n = {n}: b_i = |t_i|, b_1 the largest; |g_ij| = b_i b_j for i not j, g_ii = 1 - b_i^2. "
        "row[i] = g_ii - sum_j |g_ij|, j not i. As row[i] - row[0] = (b_1 - b_i) sum b >= 0, the "
        "first row decides; s - row[0] is a sum of products of numbers that are not negative, so "
        "that s = det g > 0 where row[0] > 0",
        names,
    )
    part.given["b"] = names
    part.given["sum"] = total(names)
    part.given["s"] = "1 - (" + total([f"{b}**2" for b in names]) + ")"
    rows = []
    for i in range(n):
        others = total([f"b[{i}]*b[{j}]" for j in range(n) if j != i])
        rows.append(f"1 - b[{i}]**2 - ({others})")
    part.step("row", "entries", rows, equals=[f"1 - b[{i}]*sum" for i in range(n)])
    later = [f"row[{i}] - row[0]" for i in range(1, n)]
    part.step("later", "entries", later, equals=[f"(b[0] - b[{i}])*sum" for i in range(1, n)])
    gap = total([f"b[{i}]*(b[0] - b[{i}])" for i in range(1, n)])
    part.step("gap", "entries", "s - row[0]", equals=gap)
    return part


def asymptotics() -> Certificate:
    """Along the ray x = r (1, ..., 1) the perturbation -t t^T tends to -1 in every entry."""
    return Certificate(
        "lne-asymptotics",
        (Verdict.FAILS,),
        "gamma = g - I does not fall off: along x = r (1, ..., 1) all its entries tend to -1, and "
        f"det g = 1 - |t|^2 to 1 - n < 0; n = {list(SIZES)}",
        [_asymptotics(n) for n in SIZES],
    )


def _asymptotics(n: int) -> Part:
    part = eq_16(n)
    part.note += ". Along x = r (1, ..., 1) every t_i tends to 1 with r"
    part.step("gamma", "entries", table(n, lambda i, j: f"g[{i}][{j}] - {int(i == j)}"))
    ones = at([Fraction(1)] * n)
    part.step("limit", "at", "gamma", ones, equals=table(n, lambda i, j: -1))
    part.step("entry", "entries", "limit[0][1]", equals=-1, sign="negative")
    part.step("s_there", "at", "s", ones, equals=1 - n, sign="negative")
    return part
