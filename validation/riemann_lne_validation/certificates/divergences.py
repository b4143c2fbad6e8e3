"""Certificates about the potential of Eq. 14 and its divergence."""

from __future__ import annotations

from fractions import Fraction

from ..audit.evidence import Verdict
from .parts import Certificate, Part, table, total
from .spaces import SIZES, at, divergence, named, rational


def metric_of_divergence() -> Certificate:
    """The second-order term of the divergence is not Eq. 16, and Eq. 16 is no Hessian."""
    return Certificate(
        "lne-metric-of-divergence",
        (Verdict.FAILS,),
        "the second-order term of D is diag(1 - t_i^2), which differs from I - t t^T of Eq. 16 "
        "(entry 1, 2 at a rational t); and Eq. 16 is the Hessian of no function, as d_1 g_12 is "
        f"not d_2 g_11; n = {list(SIZES)}",
        [_second_order(n) for n in SIZES],
    )


def _second_order(n: int) -> Part:
    part, t = divergence(n), rational(n)
    difference = table(n, lambda i, j: f"h[{i}][{j}] - g[{i}][{j}]")
    products = table(n, lambda i, j: "0" if i == j else f"t[{i}]*t[{j}]")
    part.step("difference", "entries", difference, equals=products)
    there = at(t[:2])
    entry = t[0] * t[1]
    part.step("entry", "at", "difference[0][1]", there, equals=entry, sign="positive")
    part.step("dg", "gradient", "g")
    crossed = "dg[0][0][1] - dg[1][0][0]"
    part.step("asymmetry", "entries", crossed, equals="-tau*(1 - t1**2)*t2")
    there["tau"] = Fraction(1)
    entry = -(1 - t[0] ** 2) * t[1]
    part.step("unequal", "at", "asymmetry", there, equals=entry, sign="negative")
    return part


def steepest_descent() -> Certificate:
    """A step along g^-1 dL lowers L less than the best step of the same divergence."""
    return Certificate(
        "lne-steepest-descent",
        (Verdict.FAILS,),
        "at a rational t the step along g^-1 dL of Eq. 17 lowers L by less than the step along "
        "h^-1 dL of the same divergence: 1 - (ratio of the decreases)^2 is a positive number; n = "
        f"{list(SIZES)}",
        [_steepest(n) for n in SIZES],
    )


def _steepest(n: int) -> Part:
    part = divergence(
        n,
        ". D <= r^2/2 asks for steps v with v^T h v <= r^2 as r tends to 0, of which the largest "
        "decrease of L is r (dL^T h^-1 dL)^(1/2); here dL = (1, 0, ..., 0) and v = g^-1 dL",
    )
    t = rational(n)
    part.step("g0", "at", "g", at(t))
    hessian = [1 - x**2 for x in t]
    diagonal = table(n, lambda i, j: hessian[i] if i == j else 0)
    part.step("h0", "at", "h", at(t), equals=diagonal)
    part.step("inverse", "inverse", "g0")
    part.step("best", "inverse", "h0")
    gap = 1 - sum(x**2 for x in t)
    v = [int(i == 0) + t[i] * t[0] / gap for i in range(n)]
    part.step("v", "entries", [f"inverse[{i}][0]" for i in range(n)], equals=v)
    length = total([f"v[{i}]*h0[{i}][{j}]*v[{j}]" for i in range(n) for j in range(n)])
    size = sum(a * b**2 for a, b in zip(hessian, v, strict=True))
    part.step("length", "entries", length, equals=size)
    loss = 1 - v[0] ** 2 * hessian[0] / size
    ratio = "1 - v[0]**2/(length*best[0][0])"
    part.step("loss", "entries", ratio, equals=loss, sign="positive")
    return part


def convexity() -> Certificate:
    """Phi is 1-smooth, and strongly convex with no modulus on all of weight space."""
    return Certificate(
        "mirror-map-convexity",
        (Verdict.FAILS,),
        "the Hessian of Phi is diag(1 - t_i^2): at most 1 (Phi is 1-smooth), below 1 wherever t_i "
        "is not 0, and as close to 0 as one likes for t_i close to 1. So Phi is not 1-strongly "
        f"convex and has no modulus on all of weight space; n = {[1, *SIZES]}",
        [_convexity(n) for n in (1, *SIZES)],
    )


def _convexity(n: int) -> Part:
    note = ". D[x : y] is Phi(x) and a function linear in x, so that h is the Hessian of Phi"
    part = divergence(n, note)
    excess = [f"h[{i}][{i}] - 1" for i in range(n)]
    part.step("excess", "entries", excess, equals=[f"-t{i + 1}**2" for i in range(n)])
    for name, t in (("near", Fraction(3, 5)), ("far", Fraction(999999, 10**6))):
        part.step(name, "at", "excess[0]", {"t1": t}, equals=-(t**2), sign="negative")
    return part


def simplex() -> Certificate:
    """The renormalised point is not the projection."""
    return Certificate(
        "simplex-projection",
        (Verdict.FAILS,),
        "y/sum y is not the projection of y onto the simplex in the LNE divergence, for a y with "
        f"rational tanh; n = {list(SIZES)}",
        [_projection(n) for n in SIZES],
    )


def simplex_radius() -> Certificate:
    """The squared radius of the simplex is below log cosh n."""
    return Certificate(
        "simplex-radius",
        (Verdict.FAILS,),
        "R^2 = log cosh 1 - n log cosh(1/n), the squared radius of the simplex at tau = 1, is less "
        f"than log cosh n; n = {list(SIZES)}",
        [_radius(n) for n in SIZES],
    )


def _projection(n: int) -> Part:
    names = named(n, "a")
    part = Part(
        f"n = {n}: y_i = 2 log(a_i)/tau with tau = log(a_1 ... a_n), so that sum y = 2 and p = y/2 "
        "has tau p_i = log a_i; tanh(log a) = (a^2 - 1)/(a^2 + 1). If p were the point of the "
        "simplex with the least D[p : y], the derivatives tanh(tau p_i) - tanh(tau y_i), over "
        "tau, would be equal, as all p_i > 0",
        names,
    )
    slopes = [f"({a}**2 - 1)/({a}**2 + 1) - ({a}**4 - 1)/({a}**4 + 1)" for a in names]
    point = {a: Fraction(2 ** (i + 1)) for i, a in enumerate(names)}
    values = [(a**2 - 1) / (a**2 + 1) - (a**4 - 1) / (a**4 + 1) for a in point.values()]
    part.step("slopes", "entries", slopes)
    part.step("there", "at", "slopes", point, equals=values)
    gap = values[1] - values[0]
    part.step("unequal", "entries", "there[1] - there[0]", equals=gap, sign="positive")
    return part


def _radius(n: int) -> Part:
    """The bounds of e^(R^2) and of cosh n."""
    part = Part(
        f"n = {n}, tau = 1: Phi is convex and symmetric, so over the simplex it is largest at a "
        "corner and least at the centre, and e^(R^2) = cosh(1)/cosh(1/n)^n; by bounds of e^z",
        ["tau"],
    )
    for name, z in (("one", Fraction(1)), ("part", Fraction(1, n)), ("all", Fraction(n))):
        part.step(name, "exp", z)
    part.step("upper", "entries", "(one[1] + 1/one[1])/2")
    part.step("centre", "entries", "(part[0] + 1/part[0])/2")
    part.step("stated", "entries", "(all[0] + 1/all[0])/2")
    part.step("less", "entries", f"upper/centre**{n} - stated", sign="negative")
    return part
