"""Formulas in plain text are found and written as LaTeX; words and code stay as they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[1] / "docs" / "formulas.py"
_SPEC = importlib.util.spec_from_file_location("docs_formulas", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
formulas = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(formulas)


def dollars(text: str) -> str:
    return formulas.typeset(text, str, lambda formula: f"${formula}$")


@pytest.mark.parametrize(
    ("plain", "typeset"),
    [
        ("the metric g = I - t t^T", r"the metric $g = I - t\,t^{T}$"),
        ("g^-1 v = t (t . v)/(1 - |t|)", r"$g^{-1}\,v = t\,(t \cdot v) / (1 - \lvert t\rvert)$"),
        ("D = tau (1 - t^2), in O(n)", r"$D = \tau\,(1 - t^{2})$, in $O(n)$"),
        ("R_jk = R^i_ijk.", "$R_{jk} = R^{i}_{ijk}$."),
        ("(R + |df|^2) e^(-f) dV", r"$(R + \lvert df\rvert^{2})\,e^{-f}\,dV$"),
        ("g' = -2 Ric + L_W g", r"$g' = -2\,\mathrm{Ric} + L_{W}\,g$"),
        ("sqrt(det g) at t_max", r"$\sqrt{\det\,g}$ at $t_{\mathrm{max}}$"),
        ("1 / length^2", r"$1 / \mathrm{length}^{2}$"),
        ("a divergence D[x : y] / |x - y|^2", r"a divergence $D[x : y] / \lvert x - y\rvert^{2}$"),
        ("on phi x v + v x phi", r"on $\phi \otimes v + v \otimes \phi$"),
        ("tends to g_inf, g_inf^ab", r"tends to $g_{\infty}$, $g_{\infty}^{ab}$"),
        ("pulled back, g = phi^* g_RDT", r"pulled back, $g = \phi^{*}\,g_{RDT}$"),
        ("pulled back, phi* g, Ric(F* g)", r"pulled back, $\phi^{*}\,g$, $\mathrm{Ric}(F^{*}\,g)$"),
        ("R = -[T^2 - D_i] / s", r"$R = -[T^{2} - D_{i}] / s$"),
        ("stable g0, div W = dR/2", r"stable $g_{0}$, $\operatorname{div}\,W = dR / 2$"),
        ("D[x + d : x] = d^T I d / 2", r"$D[x + d : x] = d^{T}\,I\,d / 2$"),
        ("8 x 8 images", "8 \u00d7 8 images"),
    ],
)  # fmt: skip
def test_formulas(plain: str, typeset: str) -> None:
    assert dollars(plain) == typeset


@pytest.mark.parametrize(
    "words",
    [
        "A test of max_tau and t_eval, i.e. of g.christoffel(order=4)",
        "I am 20 s late, in 3-D, with a C compiler",
        'method="auto" or tau="auto", --set n=2000, ``|t|^2``',
        "array, shape (..., n), and (n, n, *shape)",
        "a list = [1] and a difference of it - [2]",
        "see https://example.org/a_b and the 95 % interval [0, 1] of 12 runs",
    ],
)
def test_words_and_code(words: str) -> None:
    assert dollars(words) == words


def test_nothing_is_lost_or_endless() -> None:
    for text in ("|", "(", "|t", "x_", "x^", "-", "sum_i", "t (", "((a", "2 x", "|x|^", "a |b|"):
        parts = list(formulas.pieces(text))
        assert parts, text
        if not any(is_formula for is_formula, _ in parts):
            assert "".join(part for _, part in parts) == text
