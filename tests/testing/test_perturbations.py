"""Perturbations keep their bound exactly, shrink to the flat metric, and print as code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import riemann_lne as rl
import riemann_lne.testing as kit
from riemann_lne.errors import InvalidArgumentError, UnknownNameError

FLAT = rl.flat_metric(rl.Grid.torus((10, 12)))
BACKGROUNDS = {
    "torus": FLAT,
    "3-D": rl.flat_metric(rl.Grid.torus((6, 6, 6))),
    "box": rl.flat_metric(rl.Grid.box(0.0, 1.0, (9, 9))),
    "curved": rl.perturbed_euclidean(rl.Grid.torus((10, 10)), 0.3, modes=1),
    "float32": rl.flat_metric(rl.Grid.torus((8, 8)), dtype=np.float32),
}
NORMS: list[Any] = ["sup", "l2", "epsilon", "spectral", ("ck", 1), ("sobolev", 2)]


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("place", BACKGROUNDS)
def test_the_size_is_never_above_its_bound_and_most_often_at_it(place: str, norm: Any) -> None:
    background = BACKGROUNDS[place]
    for kind in kit.applicable_kinds(background):
        g = kit.random_perturbation(background, kind, 0.05, norm, seed=1)
        size = kit.perturbation_size(g, background, norm)
        assert 0.0499 < size <= 0.05, kind.name


@settings(max_examples=40)
@given(kit.perturbations(FLAT, 0.3, "epsilon"), st.data())
def test_drawn_metrics_are_metrics_within_the_bound_and_their_code_makes_them(
    g: Any, data: st.DataObject
) -> None:
    assert kit.perturbation_size(g, FLAT, "epsilon") <= 0.3
    again = eval(repr(g), {"riemann_lne": rl, "numpy": np})
    assert np.array_equal(again.packed, g.packed)
    names: dict[str, Any] = {}
    exec(g.recipe.script, names)
    assert np.array_equal(names["example"].packed, g.packed)


@pytest.mark.parametrize("place", BACKGROUNDS)
def test_the_code_of_every_kind_makes_it_again(place: str) -> None:
    background = BACKGROUNDS[place]
    for kind in kit.applicable_kinds(background):
        g = kit.random_perturbation(background, kind, 0.05, ("sobolev", 1), seed=2)
        names: dict[str, Any] = {}
        exec(g.recipe.script, names)
        assert names["example"] == g, g.recipe.script
        assert names["example"].packed.dtype == g.packed.dtype


def test_examples_shrink_towards_the_flat_metric() -> None:
    simplest = find(kit.perturbations(FLAT, 0.3), lambda g: True)
    assert np.array_equal(simplest.packed, FLAT.packed)
    # The first kind, the smoothest: white noise has fewer numbers, and was once the simplest.
    assert simplest.recipe.arguments["kind"] == "one_directional"
    diagonal = kit.perturbations(FLAT, 0.3, kinds=["diagonal"])
    small = find(diagonal, lambda g: kit.perturbation_size(g, FLAT) > 0.2)
    assert set(small.recipe.arguments["slopes"]) <= {0.0, 1.0}


def test_pulled_back_metrics_are_flat_and_transverse_ones_are_neither_gauge_nor_stretch() -> None:
    fine = rl.flat_metric(rl.Grid.torus((32, 32)))
    gauge = kit.random_perturbation(fine, "pulled_back", 0.1, seed=3)
    assert np.abs(gauge.ricci("fourier")).max() < 1e-6
    assert kit.perturbation_size(gauge, fine) > 0.099
    flat = BACKGROUNDS["3-D"]
    g = kit.random_perturbation(flat, "transverse_traceless", 0.01, seed=2)
    h = g.components - flat.components
    assert np.abs(np.einsum("ii...", h)).max() < 1e-15
    k = np.meshgrid(*flat.grid.wavevectors(), indexing="ij")
    spectrum = np.fft.fftn(h, axes=(2, 3, 4))
    assert np.abs(sum(k[i] * spectrum[i] for i in range(3))).max() < 1e-12
    assert np.abs(h).max() > 1e-3


def test_a_recipe_means_the_same_on_a_finer_grid() -> None:
    fine = rl.flat_metric(rl.Grid.torus((20, 24)))
    for kind in kit.applicable_kinds(FLAT):
        if kind.name in ("rough", "checkerboard", "steep"):
            continue  # of the grid's own scale
        recipe = kit.random_perturbation(FLAT, kind, 0.1, seed=1).recipe
        one, two = recipe.build(), recipe.with_arguments(background=fine).build()
        assert np.abs(two.components[..., ::2, ::2] - one.components).max() < 0.02, kind.name


def test_a_kind_of_the_users_own() -> None:
    def build(background: Any, height: float) -> Any:
        x = background.grid.coordinates()[0]
        return height * np.sin(x) * np.eye(2)[:, :, None, None]

    own = kit.Kind("own", build, lambda background: {"height": kit.Reals(-1.0, 1.0)})
    g = find(kit.perturbations(FLAT, 0.2, kinds=[own]), lambda g: g.recipe.arguments["size"] > 0.1)
    assert kit.perturbation_size(g, FLAT) <= 0.2


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: kit.perturbations(FLAT, -1.0), "size"),
        (lambda: kit.perturbations(FLAT, 0.1, "supremum"), "supremum"),
        (lambda: kit.perturbations(FLAT, 0.1, ("ck", 9)), "derivatives"),
        (lambda: kit.perturbations(FLAT, 0.1, lambda g, b: 1.0), "cannot be met"),
        (lambda: kit.perturbations(FLAT, 0.1, lambda g, b: float("nan")), "cannot be met"),
        (lambda: kit.perturbations(FLAT, 0.1, lambda g, b: "small"), "returned a str"),
        (
            lambda: kit.stability_radius(FLAT, rl.RicciFlow(), lambda g, b: 2.0, until=1.0),
            "cannot be met",
        ),
        (lambda: kit.perturbations("torus"), "background"),
        (lambda: kit.perturbations(FLAT, 0.1, kinds=[]), "kinds"),
        (lambda: kit.perturbations(FLAT, 0.1, kinds=["smoth"]), "smooth|known"),
        (lambda: kit.random_perturbation(FLAT, "transverse_traceless", 0.1), "dimension 3"),
        (lambda: kit.random_perturbation(BACKGROUNDS["curved"], "pulled_back", 0.1), "constant"),
        (lambda: kit.perturbed(FLAT, "steep", 0.1, waves=3), "takes axis"),
        (lambda: kit.perturbed(FLAT, "rough", float("nan"), seed=1, shape=(4, 4)), "size"),
    ],
)
def test_bad_requests_are_named(call: Any, match: str) -> None:
    with pytest.raises((InvalidArgumentError, UnknownNameError), match=match):
        call()


@settings(max_examples=30)
@given(kit.exact_solutions())
def test_exact_solutions_exist_where_they_are_drawn(drawn: Any) -> None:
    grid = drawn.solution.grid(6)
    assert np.isfinite(drawn.solution.field(drawn.t, grid).components).all()


@settings(max_examples=30)
@given(st.data(), st.sampled_from([rl.Grid.torus((6, 6)), rl.Grid.box(0.0, 2.0, (7, 7))]))
def test_diffeomorphisms_have_the_jacobians_they_say(data: st.DataObject, grid: Any) -> None:
    f = data.draw(kit.diffeomorphisms(grid))
    x = grid.coordinates()
    j, step = f.jacobian(*x), 1e-6
    for b in range(2):
        moved = [xa + step * (a == b) for a, xa in enumerate(x)]
        back = [xa - step * (a == b) for a, xa in enumerate(x)]
        slope = [(p - m) / (2 * step) for p, m in zip(f(*moved), f(*back), strict=True)]
        assert np.abs(np.stack(slope) - j[:, b]).max() < 1e-8
    if not grid.is_torus:  # faces stay where they are
        assert np.abs(f(*x)[0][[0, -1]] - x[0][[0, -1]]).max() < 1e-14


@settings(max_examples=40)
@given(kit.weight_tensors((4, 5), 2.0), kit.gradients((4, 5)))
def test_weights_and_gradients_are_finite(w: Any, v: Any) -> None:
    assert w.shape == v.shape == (4, 5)
    assert np.isfinite(w).all()
    assert np.isfinite(v).all()


@settings(max_examples=200)
@given(kit.weight_tensors((4, 3), 0.3))
def test_weights_that_are_not_zero_have_squares_that_are_not(w: Any) -> None:
    """Once drawn: weights of 1e-308, for which no temperature is known."""
    assert np.sum(w * w) > 0 or not w.any()
    if w.any():
        assert rl.auto_tau(w.ravel(), 0.5) > 0


def test_weights_and_gradients_shrink_to_small_ones() -> None:
    """The size of weights was once a float, of which 1.0 is the simplest: the largest of all."""
    loud = find(kit.weight_tensors((3,), kinds=["binary"]), lambda w: np.abs(w).max() > 0.1)
    assert np.abs(loud).max() == pytest.approx(0.1, abs=2e-6)
    assert np.abs(find(kit.gradients((3,)), lambda v: v.any())).max() < 1e-11


def test_weights_come_in_all_kinds() -> None:
    for kind in ("zero", "heavy", "clipped", "binary", "tied", "zero_rows", "tiny"):
        found = find(kit.weight_tensors((4, 3), kinds=[kind]), lambda w: True)
        assert found.shape == (4, 3)
    with pytest.raises(UnknownNameError):
        kit.weight_tensors((3,), kinds=["big"])
