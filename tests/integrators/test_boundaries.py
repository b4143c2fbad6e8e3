"""Ends of bounded axes: reflecting, held, driven, free, and mixtures of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import (
    InvalidArgumentError,
    NotFiniteError,
    NotPositiveDefiniteError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne.integrators.boundaries import choices
from riemann_lne.stencils import gradient, hessian, reflection_signs

PI = math.pi


def symmetric_torus(points: int, axes: tuple[int, ...]) -> rl.MetricField:
    """A metric that reflections of the given axes leave as it is; the others are free."""
    grid = rl.Grid.torus((2 * points - 2, 12) if axes == (0,) else (2 * points - 2,) * 2)
    x, y = grid.coordinates()
    both = len(axes) == 2
    c, s = (np.cos(y), np.sin(y)) if both else (np.cos(y + 0.3), np.cos(2 * y))
    g = np.empty((2, 2, *grid.shape))
    g[0, 0] = 1 + 0.2 * np.cos(x) * c + 0.1 * np.cos(2 * x)
    g[1, 1] = 1.1 - 0.15 * np.cos(x) + 0.1 * c
    # One index on the reflected axis: odd.
    g[0, 1] = g[1, 0] = 0.2 * np.sin(x) * s
    return rl.MetricField(grid, g)


def half(torus: rl.MetricField, axes: tuple[int, ...]) -> rl.MetricField:
    """What lies between the mirrors at 0 and pi."""
    grid = torus.grid
    shape = tuple(s // 2 + 1 if a in axes else s for a, s in enumerate(grid.shape))
    upper = tuple(PI if a in axes else u for a, u in enumerate(grid.upper))
    periodic = tuple(a not in axes for a in range(2))
    part = tuple(slice(0, s) for s in shape)
    return rl.MetricField(
        rl.Grid(shape, grid.lower, upper, periodic), np.array(torus.components[(..., *part)])
    )


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("axes", [(0,), (0, 1)])
@pytest.mark.parametrize("flow", [rl.RicciFlow(), rl.RicciDeTurckFlow()], ids=str)
def test_a_reflecting_box_is_half_of_a_symmetric_torus(
    flow: Any, axes: tuple[int, ...], order: int
) -> None:
    """The differences are the same numbers, so the flows agree to rounding, ends included."""
    torus = symmetric_torus(11, axes)
    box = half(torus, axes)
    options: dict[str, Any] = {"method": "rk4", "dt": 1e-3, "t_eval": [0.02], "order": order}
    whole = rl.solve_flow(torus, flow, (0, 0.02), **options)[-1]
    part = rl.solve_flow(box, flow, (0, 0.02), boundary="reflecting", **options)[-1]
    assert np.max(np.abs(whole.components - torus.components)) > 1e-2
    assert np.max(np.abs(half(whole, axes).components - part.components)) < 1e-12


@pytest.mark.parametrize("method", ["tsit5", "bs32", "rkl2"])
def test_every_method_reflects(method: str) -> None:
    torus = symmetric_torus(9, (0, 1))
    options: dict[str, Any] = {"method": method, "dt": 2e-3, "t_eval": [0.1]}
    whole = rl.solve_flow(torus, rl.RicciDeTurckFlow(), (0, 0.1), **options)[-1]
    part = rl.solve_flow(
        half(torus, (0, 1)), rl.RicciDeTurckFlow(), (0, 0.1), boundary="reflecting", **options
    )[-1]
    assert np.max(np.abs(half(whole, (0, 1)).components - part.components)) < 1e-12


def test_reflection_in_three_dimensions_and_with_a_background() -> None:
    grid = rl.Grid.torus((8, 10, 8))
    x, y, z = grid.coordinates()
    g = np.eye(3).reshape(3, 3, 1, 1, 1) * (1 + 0.1 * np.cos(x + z) + 0.1 * np.cos(y) * np.cos(z))
    for i in (0, 2):
        g[i, 1] = g[1, i] = 0.1 * np.sin(y) * np.cos(x + (i + 1) * z)
    bar = np.eye(3).reshape(3, 3, 1, 1, 1) * (1 + 0.2 * np.cos(y) * np.cos(x))
    box = rl.Grid((8, 6, 8), (0, 0, 0), (2 * PI, PI, 2 * PI), (True, False, True))

    def field(on: rl.Grid, values: np.ndarray) -> rl.MetricField:
        return rl.MetricField(on, np.array(values[..., : on.shape[1], :]))

    ends = [
        rl.solve_flow(
            field(on, g), rl.RicciDeTurckFlow(field(on, bar)), (0, 0.02), "rk4", [0.02], 5e-3,
            boundary=boundary,
        )[-1]
        for on, boundary in ((grid, None), (box, [None, "reflecting", None]))
    ]  # fmt: skip
    assert np.max(np.abs(ends[0].components[..., :6, :] - ends[1].components)) < 1e-12
    assert np.max(np.abs(ends[0].components - g)) > 1e-3


@pytest.mark.parametrize("order", [2, 4, 6])
def test_the_order_holds_up_to_mirrors_and_driven_ends(order: int) -> None:
    """The cigar is even about x = 0 and y = 0; its other ends are driven by it."""
    cigar = rl.exact.cigar()
    boundary = {
        (0, "lower"): "reflecting",
        (1, "lower"): "reflecting",
        (0, "upper"): cigar.metric,
        (1, "upper"): cigar.metric,
    }
    errors = []
    for points in (13, 25):
        grid = rl.Grid.box(0.0, 1.5, (points, points))
        end = rl.solve_flow(
            cigar.field(0.0, grid), rl.RicciFlow(), (0, 0.05), "tsit5", [0.05], order=order,
            boundary=boundary, rtol=1e-9,
        )[-1]  # fmt: skip
        gap = np.abs(end.components - cigar.field(0.05, grid).components)
        errors.append((np.max(gap), np.max(gap[:, :, 0]), np.max(gap[:, :, :, 0])))
    for coarse, fine in zip(*errors, strict=True):
        assert math.log2(coarse / fine) > order - 0.3


def test_mirrors_reflect_scalars_vectors_and_tensors() -> None:
    """Derivatives of functions with the right symmetry are those of the torus, to rounding."""
    torus = rl.Grid.torus((16, 12))
    box = rl.Grid((9, 12), (0, 0), (PI, 2 * PI), (False, True))
    mirrored = box.with_mirrors([(0, 0), (0, 1)])
    x, y = torus.coordinates()
    even, odd = np.cos(x) * np.sin(y), np.sin(2 * x) * np.cos(y)
    for field in (even[None], np.stack([odd, even]), np.stack([even, odd, even])):
        for operator in (gradient, hessian):
            whole, part = operator(field, torus), operator(field[..., :9, :], mirrored)
            assert np.max(np.abs(whole[..., :9, :] - part)) < 1e-13
    assert reflection_signs(6, 3, 1) == (1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
    with pytest.raises(ShapeError, match="5 components has no known reflection"):
        gradient(np.zeros((5, 9, 12)), mirrored)
    assert mirrored == box
    for face in ((1, 0), (2, 0), (0, 2)):
        with pytest.raises(InvalidArgumentError, match="no face"):
            box.with_mirrors([face])


def test_a_start_that_a_mirror_cannot_have_is_refused_with_its_place() -> None:
    grid = rl.Grid.box(0, 1, (9, 9))
    g = np.eye(2).reshape(2, 2, 1, 1) * np.ones(grid.shape)
    g[0, 1, 8, 3] = g[1, 0, 8, 3] = 0.1
    with pytest.raises(InvalidArgumentError, match=r"g_\(0, 1\) = 0.1 at grid index \(8, 3\)"):
        rl.solve_flow(rl.MetricField(grid, g), rl.RicciFlow(), (0, 1), boundary="reflecting")


# ---- choices --------------------------------------------------------------------------------

BOX = rl.Grid.box(0, 1, (9, 9))
MIXED = rl.Grid((9, 9), (0, 0), (1, 1), (True, False))


def driven(t: float, x: Any, y: Any) -> Any:
    return [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("boundary", "grid", "expected"),
    [
        (None, BOX, ["held"] * 4),
        ("free", BOX, ["free"] * 4),
        (driven, MIXED, [driven] * 2),
        (["reflecting", ("free", driven)], BOX, ["reflecting", "reflecting", "free", driven]),
        ([None, "free"], MIXED, ["free"] * 2),
        (("periodic", ("held", "free")), MIXED, ["held", "free"]),
        ({(0, "upper"): "free", 0: "reflecting"}, BOX, ["reflecting", "free", "held", "held"]),
        ({}, BOX, ["held"] * 4),
    ],
)
def test_boundaries_are_chosen_for_all_for_axes_or_for_faces(
    boundary: Any, grid: rl.Grid, expected: list[Any]
) -> None:
    assert list(choices(boundary, grid).values()) == expected


@pytest.mark.parametrize(
    ("boundary", "grid", "error", "message"),
    [
        (["held"], BOX, ShapeError, "1 entries; give one for each of 2 axes"),
        (["held", "held"], MIXED, InvalidArgumentError, "axis 0 is periodic"),
        ({0: "held"}, MIXED, InvalidArgumentError, "axis 0 is periodic"),
        ({2: "held"}, BOX, InvalidArgumentError, "names 2; give an axis from 0 to 1"),
        ({(0, "left"): "held"}, BOX, InvalidArgumentError, "'lower'"),
        ([("held",), "held"], BOX, ShapeError, r"give \(lower, upper\)"),
        (["helld", "held"], BOX, UnknownNameError, "Did you mean 'held'"),
        ({0: 3}, BOX, InvalidArgumentError, "boundary = 3; give"),
        ([None, "held"], BOX, InvalidArgumentError, "boundary = None"),
    ],
)
def test_choices_that_make_no_sense_are_refused(
    boundary: Any, grid: rl.Grid, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rl.solve_flow(rl.flat_metric(grid), rl.RicciFlow(), (0, 1), boundary=boundary)


def test_each_face_does_what_was_chosen() -> None:
    """Held below, free above along x; reflecting below, driven above along y."""
    grid = rl.Grid.box(0.0, 1.0, (11, 12))

    def course(t: float, x: Any, y: Any) -> Any:
        v = 1 + 0.2 * np.cos(x) * np.cos(PI * y) + 0.3 * t
        return [[v, 0], [0, v]]

    start = rl.MetricField.from_function(grid, lambda x, y: course(0.0, x, y))
    boundary = [("held", "free"), ("reflecting", course)]
    end = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.01), "rkl2", [0.01], boundary=boundary)[
        -1
    ]
    moved = end.components - start.components
    assert np.all(moved[:, :, 0, :-1] == 0)
    assert np.max(np.abs(moved[:, :, -1, :-1])) > 1e-3
    expected = rl.MetricField.from_function(grid, lambda x, y: course(0.01, x, y)).components
    assert np.array_equal(end.components[..., -1], expected[..., -1])
    assert np.max(np.abs(moved[:, :, 1:, 0])) > 1e-3
    assert np.all(end.components[0, 1, :, 0] == 0)


def test_a_function_of_several_faces_is_called_once_for_all_of_them() -> None:
    """Faces one by one, each with a function of its own, give the same bits."""
    grid = rl.Grid.box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (7, 6, 8))
    calls = []

    def course(t: float, x: Any, y: Any, z: Any) -> Any:
        calls.append(t)
        # With axes for the coordinates, as on a face.
        v = 1 + 0.1 * np.sin(x + 2 * y - z) + 0.2 * t * x * y
        return np.eye(3)[:, :, None, None, None] * v

    start = rl.MetricField.from_function(grid, lambda *x: course(0.0, *x))
    counts, ends = [], []
    apart = {
        (axis, side): lambda *x: course(*x) for axis in range(3) for side in ("lower", "upper")
    }
    for boundary in (course, apart):
        calls.clear()
        ends.append(
            rl.solve_flow(start, rl.RicciFlow(), (0, 3e-3), "rk4", dt=1e-3, boundary=boundary)[-1]
        )
        counts.append(len(calls))
    assert counts[1] == 6 * counts[0]
    assert np.array_equal(ends[0].packed, ends[1].packed)
    expected = course(3e-3, *grid.coordinates())
    for axis in (2, 3, 4):
        for at in (0, -1):
            np.testing.assert_array_equal(
                np.take(ends[0].components, at, axis), np.take(expected, at, axis)
            )


# ---- bad data -------------------------------------------------------------------------------


def collapsing(when: float) -> Any:
    def metric(t: float, x: Any, y: Any) -> Any:
        return [[1 + 0 * x, 0], [0, np.where(y > 0.7, 1.0 - t / when, 1.0)]]

    return metric


def negative_at(x0: float, y0: float, value: float = -1.0) -> Any:
    def metric(t: float, x: Any, y: Any) -> Any:
        return [[np.where((x == x0) & (y == y0), value, 1.0), 0], [0, 1]]

    return metric


def test_boundary_data_that_are_no_metric_from_the_start_are_an_error() -> None:
    start = rl.flat_metric(BOX)
    with pytest.raises(
        NotPositiveDefiniteError,
        match=r"boundary function's metric at t = 1 is not positive definite: smallest eigenvalue "
        r"-1 at grid index \(8, 6\)",
    ) as caught:
        rl.solve_flow(start, rl.RicciFlow(), (1, 2), boundary={(0, "upper"): collapsing(0.5)})
    assert caught.value.index == (8, 6)
    # The points of all faces are one array: the place is still that on the grid.
    with pytest.raises(NotPositiveDefiniteError, match=r"at grid index \(0, 6\)") as caught:
        rl.solve_flow(start, rl.RicciFlow(), (1, 2), boundary=collapsing(0.5))
    with pytest.raises(NotPositiveDefiniteError, match=r"at grid index \(3, 8\)"):
        rl.solve_flow(start, rl.RicciFlow(), (0, 1), boundary=negative_at(0.375, 1.0))
    with pytest.raises(
        InvalidArgumentError, match=r"the upper end of axis 1: at grid index \(3, 8"
    ):
        rl.solve_flow(start, rl.RicciFlow(), (0, 1), boundary=negative_at(0.375, 1.0, 3.0))
    with pytest.raises(NotFiniteError, match=r"at t = 0 has g_\(0, 0\) = nan at grid index \(0, 0"):
        rl.solve_flow(
            start, rl.RicciFlow(), (0, 1), boundary=lambda t, x, y: [[math.nan, 0], [0, 1]]
        )


def test_boundary_data_that_become_no_metric_end_the_flow_with_time_and_place() -> None:
    solution = rl.solve_flow(
        rl.flat_metric(BOX), rl.RicciFlow(), (0, 1), "rk4", dt=1e-3,
        boundary={(0, "lower"): collapsing(0.01)}, max_steps=100,
    )  # fmt: skip
    assert solution.status == -1
    assert "stopped at t = 0.009" in solution.message
    assert "not positive definite" in solution.message
    assert "grid index (0, 6)" in solution.message


# ---- long runs ------------------------------------------------------------------------------


def bumped(grid: rl.Grid, even: bool) -> rl.MetricField:
    if even:
        return half(symmetric_torus(grid.shape[0], (0, 1)), (0, 1))
    return rl.perturbed_euclidean(grid, 0.3, seed=6, modes=3)


LONG = [
    pytest.param(order, steps, marks=[] if quick else pytest.mark.slow)
    for order, steps, quick in ((2, 1, False), (4, 1, True), (6, 1, False), (8, 1, False))
]


@pytest.mark.parametrize(("order", "steps"), LONG)
@pytest.mark.parametrize("kind", ["held", "reflecting", "mixed", "driven"])
def test_long_runs_come_to_rest(kind: str, order: int, steps: int) -> None:
    """To 30 times the longest decay time (4, of cos(x / 2) between a mirror and a held end).

    Rest is a flat metric where nothing but the ends is prescribed: no mode of the differences,
    closures included, grows.
    """
    # The closures of order 8 reach through 10 points: the bumps of 13 are too sharp for them.
    grid = rl.Grid.box(0.0, PI, (17, 17) if order == 8 else (13, 13))
    boundary: Any = {
        "held": "held",
        "reflecting": "reflecting",
        "mixed": [("reflecting", "held"), "reflecting"],
        "driven": lambda t, x, y: [[1, 0], [0, 1]],
    }[kind]
    start = bumped(grid, even=kind in ("reflecting", "mixed"))
    if kind == "mixed":
        x, _ = grid.coordinates()
        flat = np.eye(2).reshape(2, 2, 1, 1)
        start = rl.MetricField(grid, flat + (start.components - flat) * (np.cos(x / 2) ** 2))
    solution = rl.solve_flow(
        start, rl.RicciDeTurckFlow(), (0, 120), "rkl2", [60, 120], order=order, boundary=boundary,
        rtol=1e-5,
    )  # fmt: skip
    assert solution.status == 0, solution.message
    change = np.max(np.abs(solution[1].components - solution[0].components))
    assert change < 1e-6
    limit = solution[1].components
    if kind == "reflecting":
        assert np.max(np.abs(limit - limit[:, :, :1, :1])) < 1e-6
    else:
        assert np.max(np.abs(limit - np.eye(2).reshape(2, 2, 1, 1))) < 1e-6


def test_free_ends_are_for_short_times() -> None:
    """Accurate at first; what stands instead of a boundary condition lets errors grow."""
    sphere = rl.exact.round_sphere(2)
    start = sphere.field(0.0, sphere.grid(17))
    gaps = []
    for t in (1e-3, 1e-2):
        end = rl.solve_flow(start, rl.RicciFlow(), (0, t), "rkl2", [t], order=6, boundary="free")[
            -1
        ]
        gaps.append(np.max(np.abs(end.components - sphere.field(t, start.grid).components)))
    assert gaps[0] < 2e-5
    assert gaps[1] > 5 * gaps[0]
