"""Certificates about the discrete Ricci flow of section 6."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ..audit.evidence import Verdict
from .parts import Certificate, Part, table, total
from .spaces import EQ_16, SIZES, at, eq_16, named, rational


def translation() -> Certificate:
    """With no gradients Eq. 32 gives zero, while the Ricci tensor does not vanish."""
    return Certificate(
        "translation-curvature",
        (Verdict.FAILS,),
        "where the gradients vanish the right-hand side of Eq. 32 is zero, while -2 Ric of Eq. 16 "
        "at the same weights is not (entry 1, 1 at a rational t, tau = 1); n = [2, 3, 4]",
        [_translation(n) for n in (2, 3, 4)],
    )


def _translation(n: int) -> Part:
    note = (
        f"{EQ_16}. Where the gradients of all four copies are zero, no virtual step moves the "
        "weights, and the four metrics of Eq. 32 are g itself"
    )
    part = eq_16(n, note, ["dk", "dj"])

    def quotients(i: int, j: int) -> str:
        difference = f"(g[{i}][{j}] - g[{i}][{j}])"
        return f"{difference}/dk - {difference}/dj"

    part.step("eq32", "entries", table(n, quotients), equals=table(n, lambda i, j: 0))
    part.step("C", "geometry", "g")
    part.step("minus2Ric", "entries", table(n, lambda i, j: f"-2*C[1][{i}][{j}]"))
    t = rational(n)
    ricci = ricci_at(t)
    there = table(n, lambda i, j: -2 * ricci[i][j])
    part.step("there", "at", "minus2Ric", at(t) | {"tau": Fraction(1)}, equals=there)
    part.step("entry", "entries", "there[0][0]", equals=there[0][0], sign="positive")
    return part


def ricci_at(t: Sequence[Fraction]) -> list[list[Fraction]]:
    """The closed form of the Ricci tensor of Eq. 16 in rational numbers, tau = 1."""
    n, s = len(t), 1 - sum(x**2 for x in t)
    D = [1 - x**2 for x in t]
    trace = sum(d * (1 + x**2 / s) for d, x in zip(D, t, strict=True))
    return [
        [
            D[i] * t[i] * D[j] * t[j] / s**2 - (i == j) * (trace * D[i] - D[i] ** 2) / s
            for j in range(n)
        ]
        for i in range(n)
    ]


_VECTORS = "pqrst"


def defect() -> Certificate:
    """N of Eq. 35 in O(n), as sums of inner products, from its dense matrix."""
    return Certificate(
        "flow-defect",
        (Verdict.HOLDS,),
        "N of Eq. 35, the squared Frobenius norm of the dense matrix, is sum_ab c_a c_b (t_a . "
        "t_b)^2, and about any centre z, with u_a = t_a - z and P = sum_a c_a t_a, it is 2 |z|^2 "
        "|P|^2 + 2 (z . P)^2 + 4 sum_a c_a (z . u_a)(P . u_a) + sum_ab c_a c_b (u_a . u_b)^2; n = "
        f"{[1, *SIZES]}",
        [_defect(n) for n in (1, *SIZES)],
    )


def _defect(n: int) -> Part:
    part = Part(
        f"n = {n}: p, ..., t are tanh(tau w) after the virtual steps next k1, k1, k2, j1, j2; g of "
        "each is I minus the vector times its transpose; k = 1/(k1 - k2), j = 1/(j1 - j2); z is "
        "any centre",
        [name for v in (*_VECTORS, "z") for name in named(n, v)] + ["k", "j"],
    )
    for v in (*_VECTORS, "z"):
        part.given[v] = named(n, v)
    for v in _VECTORS:
        part.given[f"g{v}"] = [
            [f"{int(i == j)} - {v}[{i}]*{v}[{j}]" for j in range(n)] for i in range(n)
        ]
    part.given["c"] = ["1", "-1 - k", "k", "j", "-j"]
    part.given["v"] = list(_VECTORS)
    part.given["u"] = [[f"{v}[{i}] - z[{i}]" for i in range(n)] for v in _VECTORS]
    part.given["P"] = [total([f"c[{a}]*v[{a}][{i}]" for a in range(5)]) for i in range(n)]
    part.step("M", "entries", table(n, _eq_35))
    part.step("N", "entries", total([f"M[{i}][{j}]**2" for i in range(n) for j in range(n)]))
    part.step("gram", "entries", "N", equals=_gram(n, "v"))
    products = [f"c[{a}]*({_dot(n, 'z', f'u[{a}]')})*({_dot(n, 'P', f'u[{a}]')})" for a in range(5)]
    about = f"2*({_dot(n, 'z', 'z')})*({_dot(n, 'P', 'P')}) + 2*({_dot(n, 'z', 'P')})**2"
    centred = f"{about} + 4*({total(products)}) + {_gram(n, 'u')}"
    part.step("centred", "entries", "N", equals=centred)
    return part


def _eq_35(i: int, j: int) -> str:
    """An entry of the matrix whose norm Eq. 35 takes."""
    p, q, r, s, t = (f"g{v}[{i}][{j}]" for v in _VECTORS)
    return f"{p} - {q} - ({q} - {r})*k + ({s} - {t})*j"


def _dot(n: int, a: str, b: str) -> str:
    return total([f"{a}[{i}]*{b}[{i}]" for i in range(n)])


def _gram(n: int, v: str) -> str:
    pairs = [(a, b) for a in range(5) for b in range(5)]
    return total([f"c[{a}]*c[{b}]*({_dot(n, f'{v}[{a}]', f'{v}[{b}]')})**2" for a, b in pairs])
