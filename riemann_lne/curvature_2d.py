"""Ricci-DeTurck flow in two dimensions: the index formula with fewer operations.

Two identities do it. With adj(h) the adjugate, g^-1 h g^-1 = tr(g^-1 h) g^-1 - adj(h) / det g for
symmetric 2 x 2 matrices (Cayley and Hamilton), and what is antisymmetric in two indices is a curl.
"""

from __future__ import annotations

from .arrays import Array, Components
from .jets import MetricJet
from .tensors import minor, pairs


def deturck_flow_tensor_2d(jet: MetricJet) -> list[Array]:
    """Packed -2 Ric + L_W g with the flat background, W^k = g^pq Gamma^k_pq, for n = 2.

    With t_i = g^ab d_i g_ab, the curls c_i = d_0 g_i1 - d_1 g_i0 and
    y_i = (g_i0 c_1 - g_i1 c_0) / det g - 3 t_i / 4 it is

    g^ab d_a d_b g_ij + t_i y_j + t_j y_i + q_ij / det g,

    q_00 = d_0 g_00 (d_0 g_11 + 2 d_1 g_01) - 2 (d_0 g_01)^2 - (d_1 g_00)^2,
    q_01 = (d_1 g_00 d_0 g_11 + 3 d_0 g_00 d_1 g_11) / 2 - d_0 g_01 d_0 g_11 - d_1 g_00 d_1 g_01,

    and q_11 is q_00 with 0 and 1 exchanged. Equal to ``curvature.deturck_flow_tensor_by_index``.
    """
    g, d = jet.g, jet.d
    reciprocal = 1.0 / minor(g, (0, 1), (0, 1), {})
    twice = g[0, 1] + g[0, 1]
    traces = [_traced(g, twice, d[i, 0, 0], d[i, 0, 1], d[i, 1, 1]) for i in range(2)]
    curls = [d[0, i, 1] - d[1, i, 0] for i in range(2)]
    # Times the determinant, as the traces and all that is added to them below.
    y = [g[i, 0] * curls[1] - g[i, 1] * curls[0] - 0.75 * traces[i] for i in range(2)]
    t = [trace * reciprocal for trace in traces]
    mixed = [t[0] * (y[0] + y[0]), t[0] * y[1] + t[1] * y[0], t[1] * (y[1] + y[1])]
    second = {pair: jet.local.second(*pair) for pair in pairs(2)}
    result = []
    for c, products in enumerate(_products(d)):
        laplacian = _traced(g, twice, *(second[pair][c, ...] for pair in pairs(2)))
        result.append((laplacian + (products + mixed[c])) * reciprocal)
    return result


def _traced(g: Components, twice: Array, h00: Array, h01: Array, h11: Array) -> Array:
    """The determinant times g^ab h_ab; ``twice`` is 2 g_01."""
    return g[1, 1] * h00 - twice * h01 + g[0, 0] * h11


def _products(d: Components) -> list[Array]:
    """Packed q_ij; sums in place of products with 2, which a kernel has no time to spare for."""
    (a0, b0, c0), (a1, b1, c1) = ([d[i, *pair] for pair in pairs(2)] for i in range(2))
    return [
        a0 * (c0 + (b1 + b1)) - (b0 + b0) * b0 - a1 * a1,
        c0 * (0.5 * a1 - b0) - a1 * b1 + (1.5 * a0) * c1,
        c1 * (a1 + (b0 + b0)) - (b1 + b1) * b1 - c0 * c0,
    ]
