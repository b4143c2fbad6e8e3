"""The spaces that certificates about weight space start from."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .parts import Part, table, total

SIZES = (2, 3, 4, 5, 6)

EQ_16 = "g = I - t t^T of Eq. 16, with t_i = tanh(tau x_i) and so dt_i/dx_i = tau (1 - t_i^2)"


def named(n: int, letter: str = "t") -> list[str]:
    """The symbols t1, ..., tn."""
    return [f"{letter}{i + 1}" for i in range(n)]


def rational(n: int) -> list[Fraction]:
    """A rational t with |t| < 1 and no two equal entries."""
    return [Fraction(1, i + 2) for i in range(n)]


def at(values: Sequence[Fraction], letter: str = "t") -> dict[str, Fraction]:
    """The point t1 = values[0], ..."""
    return dict(zip(named(len(values), letter), values, strict=True))


def eq_16(n: int, note: str = EQ_16, extra: Sequence[str] = ()) -> Part:
    """Eq. 16 in n dimensions, with s = 1 - |t|^2."""
    names = named(n)
    slopes = [{t: f"tau*(1 - {t}**2)"} for t in names]
    part = Part(f"n = {n}: {note}", [*names, "tau", *extra], slopes)
    part.given["t"] = names
    part.given["g"] = table(n, lambda i, j: f"{int(i == j)} - t[{i}]*t[{j}]")
    part.given["s"] = "1 - (" + total([f"{t}**2" for t in names]) + ")"
    return part


def multiple(n: int, a: str, b: str) -> list[list[str]]:
    """The matrix a I + b t t^T."""
    return table(n, lambda i, j: f"{a} + " * (i == j) + f"({b})*t[{i}]*t[{j}]")


def divergence(n: int, note: str = "") -> Part:
    """D[x : y] of Eq. 15 for a fixed y, its gradient, and its second derivatives h."""
    index = range(1, n + 1)
    part = Part(
        f"n = {n}: D[x : y] of Eq. 15 as a function of x. L_i = log cosh(tau x_i), dL_i/dx_i = tau "
        f"t_i; M_i = log cosh(tau y_i) and b_i = tanh(tau y_i) are constants{note}",
        [f"{letter}{i}" for letter in "tLxbMy" for i in index] + ["tau"],
        [{f"t{i}": f"tau*(1 - t{i}**2)", f"L{i}": f"tau*t{i}", f"x{i}": "1"} for i in index],
    )
    part.given["t"] = named(n)
    part.given["g"] = table(n, lambda i, j: f"{int(i == j)} - t[{i}]*t[{j}]")
    part.given["D"] = total([f"(L{i} - M{i})/tau**2 - (x{i} - y{i})*b{i}/tau" for i in index])
    part.step("dD", "gradient", "D", equals=[f"(t{i} - b{i})/tau" for i in index])
    diagonal = table(n, lambda i, j: f"1 - t{i + 1}**2" if i == j else "0")
    part.step("h", "gradient", "dD", equals=diagonal)
    return part
