"""The 2-jet of a metric on a tile: its value, inverse, derivatives and what is made of them.

Everything is computed when first asked for and kept for the tile's lifetime, so that formulas
can be written as they stand in books and still share their parts.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product

from .arrays import Array, Components, contract, expand, total
from .stencils import LocalField
from .tensors import SYMMETRIC, inverse_and_determinant, pairs, table

LAST_TWO = ((1, 2),)


def symmetric_gradient(local: LocalField, n: int) -> Components:
    """d_a h_ij of a packed symmetric field: table (a, i, j)."""
    independent: Components = {}
    for a in range(n):
        packed = local.first(a)
        independent |= {(a, *pair): packed[c, ...] for c, pair in enumerate(pairs(n))}
    return expand(independent, n, 3, LAST_TWO)


def vector_gradient(local: LocalField, n: int) -> Components:
    """d_a V^k of a vector field: table (a, k)."""
    parts = [local.first(a) for a in range(n)]
    return {(a, k): parts[a][k, ...] for a, k in product(range(n), repeat=2)}


def symmetric_hessian(local: LocalField, n: int) -> Components:
    """d_a d_b h_ij of a packed symmetric field: table (a, b, i, j)."""
    independent: Components = {}
    for a, b in pairs(n):
        packed = local.second(a, b)
        independent |= {(a, b, *pair): packed[c, ...] for c, pair in enumerate(pairs(n))}
    return expand(independent, n, 4, ((0, 1), (2, 3)))


class MetricJet:
    """Value and derivatives of a metric on a tile, as component tables.

    Parameters
    ----------
    local : LocalField
        The packed metric with its derivatives.
    n : int
        Dimension.
    """

    def __init__(self, local: LocalField, n: int) -> None:
        self.local, self.n = local, n
        self.g: Components = table(local.value(), n)

    @cached_property
    def _inverse_and_determinant(self) -> tuple[Components, Array]:
        return inverse_and_determinant(self.g, self.n)

    @property
    def inverse(self) -> Components:
        """g^ij."""
        return self._inverse_and_determinant[0]

    @property
    def determinant(self) -> Array:
        """Determinant of g_ij."""
        return self._inverse_and_determinant[1]

    @cached_property
    def d(self) -> Components:
        """d_a g_ij, table (a, i, j)."""
        return symmetric_gradient(self.local, self.n)

    @cached_property
    def dd(self) -> Components:
        """d_a d_b g_ij, table (a, b, i, j)."""
        return symmetric_hessian(self.local, self.n)

    @cached_property
    def twice_lowered(self) -> Components:
        """E_kij = d_i g_kj + d_j g_ki - d_k g_ij, twice the Christoffel symbol with k lowered."""
        d = self.d
        independent: Components = {}
        for k in range(self.n):
            for i, j in pairs(self.n):
                # d_i g_kj and d_k g_ij are one and the same where k equals i or j.
                if k == i:
                    independent[k, i, j] = d[j, k, k]
                elif k == j:
                    independent[k, i, j] = d[i, k, k]
                elif i == j:
                    independent[k, i, i] = 2.0 * d[i, k, i] - d[k, i, i]
                else:
                    independent[k, i, j] = d[i, k, j] + d[j, k, i] - d[k, i, j]
        return expand(independent, self.n, 3, LAST_TWO)

    @cached_property
    def christoffel(self) -> Components:
        """Gamma^k_ij = g^kp E_pij / 2, table (k, i, j)."""
        half = expand(
            {pair: 0.5 * self.inverse[pair] for pair in pairs(self.n)}, self.n, 2, SYMMETRIC
        )
        return contract("kp,pij->kij", half, self.twice_lowered, n=self.n, symmetric=LAST_TWO)

    @cached_property
    def christoffel_gradient(self) -> Components:
        """d_a Gamma^k_ij = g^kp (d_a E_pij / 2 - d_a g_ps Gamma^s_ij), table (a, k, i, j)."""
        n, dd = self.n, self.dd
        correction = contract("aps,sij->apij", self.d, self.christoffel, n=n, symmetric=((2, 3),))
        lowered = {
            (a, p, i, j): total(
                [
                    (0.5, (dd[a, i, p, j],)),
                    (0.5, (dd[a, j, p, i],)),
                    (-0.5, (dd[a, p, i, j],)),
                    (-1.0, (correction[a, p, i, j],)),
                ]
            )
            for a, p in product(range(n), repeat=2)
            for i, j in pairs(n)
        }
        return contract(
            "kp,apij->akij",
            self.inverse,
            expand(lowered, n, 4, ((2, 3),)),
            n=n,
            symmetric=((2, 3),),
        )

    @cached_property
    def riemann_lowered(self) -> Components:
        """R_lijk = g_lp R^p_ijk, table (l, i, j, k).

        (d_i d_k g_lj + d_l d_j g_ik - d_j d_k g_li - d_l d_i g_jk) / 2
        + g_np (Gamma^n_ik Gamma^p_lj - Gamma^n_jk Gamma^p_li).
        """
        n, dd, gamma = self.n, self.dd, self.christoffel
        lowered = self.twice_lowered
        result: Components = {}
        for (l, k), (i, j) in product(_antisymmetric(n), repeat=2):
            # R_lijk is antisymmetric in (l, k) and in (i, j) and symmetric under their exchange.
            if (l, k) > (i, j):
                continue
            terms: list[tuple[float, tuple[Array, ...]]] = [
                (0.5, (dd[i, k, l, j],)),
                (0.5, (dd[l, j, i, k],)),
                (-0.5, (dd[j, k, l, i],)),
                (-0.5, (dd[l, i, j, k],)),
            ]
            terms += [(0.5, (gamma[p, i, k], lowered[p, l, j])) for p in range(n)]
            terms += [(-0.5, (gamma[p, j, k], lowered[p, l, i])) for p in range(n)]
            result[l, i, j, k] = total(terms)
        return _expand_riemann(result, n)

    @cached_property
    def riemann(self) -> Components:
        """R^l_ijk, table (l, i, j, k)."""
        return contract("lp,pijk->lijk", self.inverse, self.riemann_lowered, n=self.n)

    @cached_property
    def ricci(self) -> Components:
        """R_jk = R^i_ijk = g^il R_lijk, table (j, k)."""
        return contract(
            "li,lijk->jk", self.inverse, self.riemann_lowered, n=self.n, symmetric=SYMMETRIC
        )

    @cached_property
    def scalar_curvature(self) -> Array:
        """R = g^jk R_jk."""
        return trace(self.inverse, self.ricci, self.n)

    @cached_property
    def kretschmann(self) -> Array:
        """R_lijk R^lijk = 4 tr(M M), with M^A_B = G^AC R_CB over pairs of indices A = (a < b).

        G is the metric of bivectors, G^(ab)(cd) = g^ac g^bd - g^ad g^bc.
        """
        every, g = _antisymmetric(self.n), self.inverse
        lowered = self.riemann_lowered
        mixed: dict[tuple[int, int], Array] = {}
        for row, (a, b) in enumerate(every):
            # R_lijk has the pairs (l, k) and (i, j).
            raising = [g[a, c] * g[b, d] - g[a, d] * g[b, c] for c, d in every]
            for column, (i, j) in enumerate(every):
                mixed[row, column] = total(
                    (1.0, (factor, lowered[c, i, j, d]))
                    for factor, (c, d) in zip(raising, every, strict=True)
                )
        return total(
            (4.0, (mixed[p, q], mixed[q, p])) for p, q in product(range(len(every)), repeat=2)
        )

    @cached_property
    def weyl(self) -> Components:
        """C_lijk, table (l, i, j, k), for n >= 3; see ``curvature.weyl``."""
        n, g, ricci = self.n, self.g, self.ricci
        full = 1.0 / ((n - 1) * (n - 2)) * self.scalar_curvature
        part = -1.0 / (n - 2)
        result: Components = {}
        for (l, k), (i, j) in product(_antisymmetric(n), repeat=2):
            if (l, k) > (i, j):
                continue
            result[l, i, j, k] = total(
                [
                    (1.0, (self.riemann_lowered[l, i, j, k],)),
                    (part, (g[l, i], ricci[k, j])),
                    (-part, (g[l, j], ricci[k, i])),
                    (-part, (g[k, i], ricci[l, j])),
                    (part, (g[k, j], ricci[l, i])),
                    (1.0, (full, g[l, i], g[k, j])),
                    (-1.0, (full, g[l, j], g[k, i])),
                ]
            )
        return _expand_riemann(result, n)

    @cached_property
    def contracted_christoffel(self) -> Components:
        """g^pq Gamma^k_pq, table (k,): the DeTurck field of the flat background."""
        return contract("pq,kpq->k", self.inverse, self.christoffel, n=self.n)


def trace(inverse: Components, h: Components, n: int) -> Array:
    """g^ij h_ij."""
    return contract("ij,ij->", inverse, h, n=n)[()]


def _antisymmetric(n: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(n) for j in range(i + 1, n)]


def _expand_riemann(independent: Components, n: int) -> Components:
    """All components of R_lijk from those with l < k, i < j, (l, k) <= (i, j)."""
    zero = 0.0 * next(iter(independent.values()))
    negative = {index: -value for index, value in independent.items()}
    result: Components = {}
    for l, i, j, k in product(range(n), repeat=4):
        if l == k or i == j:
            result[l, i, j, k] = zero
            continue
        first, second = (min(l, k), max(l, k)), (min(i, j), max(i, j))
        odd = (l > k) != (i > j)
        if first > second:
            first, second = second, first
        key = (first[0], second[0], second[1], first[1])
        result[l, i, j, k] = negative[key] if odd else independent[key]
    return result
