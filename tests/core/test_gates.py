"""The gates of arrays and results, the limits of closed forms, and comparisons by value.

Looked at for siblings: all of riemann_lne.exact at early and late times; the four fits of
riemann_lne.analysis; equal steps and the bound on stages among the integrators; every class whose
fields are arrays (metrics, LNERicci, GroundState, EmbeddingProfile, StrongInverse,
MirrorDescentResult, potentials and convex sets).
"""

import copy
import math
import types

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import exact
from riemann_lne.errors import DTypeError, InvalidArgumentError, NoClosedFormError, NotFiniteError
from riemann_lne.integrators.methods.rkl import MOST_STAGES, RKL2, longest_step, stage_count

GRID = rl.Grid.torus((8, 8))
START = rl.perturbed_euclidean(GRID, 0.2, seed=1)
ZERO, ONE = np.zeros(1), np.ones(1)


def foreign(library):
    """An array class of a library that is not supported."""
    return types.new_class("Array", (), {}, lambda body: body.update(__module__=f"{library}.core"))


@pytest.mark.parametrize("library", ["dask", "sparse"])
def test_arrays_of_unsupported_libraries_are_refused_with_advice(library):
    stranger = foreign(library)()
    for call in (
        lambda: rl.MetricField(GRID, stranger),
        lambda: rl.LNEMetric(1.0).apply(stranger, np.ones(2)),
        lambda: rl.fit_decay_rate(stranger, [1.0, 0.5, 0.2]),
        lambda: exact.cigar().metric(0.0, stranger, stranger),
    ):
        with pytest.raises(DTypeError, match=r"give numpy\.asarray"):
            call()


def test_torch_tensors_without_plain_storage_are_refused():
    torch = pytest.importorskip("torch")
    x = torch.ones(2, 2, dtype=torch.float64)
    for tensor, word in (
        (x.to_sparse(), "sparse_coo"),
        (x.to("meta"), "meta"),
        (x.to(torch.bfloat16).to_sparse(), "sparse_coo"),
    ):
        with pytest.raises(DTypeError, match=word):
            rl.LNEMetric(1.0).norm2(tensor)


def test_gradients_through_the_solver_are_refused_and_through_curvature_pass():
    torch = pytest.importorskip("torch")
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    g = rl.MetricField(GRID, a * torch.asarray(np.array(START.components)))
    for method in ("rk4", "tsit5", "rkl2", "etdrk4"):
        with pytest.raises(InvalidArgumentError, match=r"requires_grad.*detach"):
            rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1), method)
    with torch.no_grad():
        done = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.01), t_eval=[0.01])
    assert done.status == 0
    with pytest.raises(InvalidArgumentError, match="strong_inverse"):
        rl.strong_inverse(a * torch.eye(2, dtype=torch.float64))


def test_a_result_that_overflows_is_an_error_that_names_the_function():
    big = np.full(3, 1e200)
    with pytest.raises(NotFiniteError, match=r"LNEMetric\.christoffel is not finite"):
        rl.LNEMetric(1.0).christoffel(np.full(3, 0.1), big, big)
    assert not np.isfinite(
        rl.LNEMetric(1.0).apply(np.full(3, 0.1), np.full(3, np.nan), check=False)
    ).any()


@pytest.mark.parametrize("t", [-1e4, -720.0, -178.0, -1.0, 0.0, 1.0, 178.0, 1e4])
def test_the_cigar_has_its_limits_at_all_times(t):
    cigar = exact.cigar()
    assert cigar.scalar_curvature(t, ZERO, ZERO)[0] == 4.0
    far = cigar.scalar_curvature(t, ONE, ZERO)[0]
    expected = 4 / (1 + math.exp(min(-4 * t, 700.0)))
    np.testing.assert_allclose(far, expected, rtol=1e-13, atol=1e-300)
    g = cigar.metric(t, ONE, ZERO)[0, 0, 0]
    np.testing.assert_allclose(g, 1 / (math.exp(min(4 * t, 700.0)) + 1), rtol=1e-13, atol=1e-300)


def test_exact_solutions_next_to_the_ends_of_their_times():
    sphere = exact.round_sphere(3)
    last = math.nextafter(sphere.t_max, 0.0)
    assert sphere.scalar_curvature(last, *[ZERO] * 3)[0] > 1e15
    first = math.nextafter(exact.nil().t_min, 1.0)
    assert exact.nil().metric(first, *[ZERO] * 3)[0, 0, 0] > 0
    # sinh(-t)/(cosh x + cosh t) at x = -t / 2, where neither cosh fits into a float
    assert exact.rosenau().metric(-2000.0, ONE * 1000.0, ZERO)[0, 0, 0] == 1.0
    near = exact.rosenau().scalar_curvature(-1e-200, ZERO, ZERO)[0]
    assert near == pytest.approx(1e200, rel=1e-12)
    tall = exact.periodic_sausage((1, 0)).metric(1e-9, ONE * math.pi, ZERO)[0, 0, 0]
    assert tall == pytest.approx(2e9, rel=1e-6)  # coth(s / 2)
    unit, tiny = exact.berger(1, 1, 0.5), exact.berger(1e-20, 1e-20, 0.5e-20)
    assert tiny.lengths(1e-21) == pytest.approx([1e-20 * v for v in unit.lengths(0.1)], rel=1e-11)


def test_a_solution_without_a_closed_form_says_so_and_hasattr_is_false():
    mode = exact.linear_mode((1, 0), np.eye(2))
    assert not hasattr(mode, "ricci")
    with pytest.raises(NoClosedFormError, match=r"field\(t, grid\)\.ricci"):
        mode.ricci(0.0, ZERO, ZERO)


@pytest.mark.parametrize("start", [0.0, 600.0, 1000.0, -1000.0, 1e9])
def test_a_decay_is_fitted_wherever_its_times_begin(start):
    t = start + np.linspace(0, 8, 33)
    fit = rl.fit_decay_rate(t, np.exp(-(t - start)))
    # the times themselves are rounded to start * 1e-16
    assert fit.rate == pytest.approx(1.0, abs=1e-12 + 1e-15 * abs(start))
    assert fit.log_amplitude == pytest.approx(start, rel=1e-6, abs=1e-9)
    if abs(start) >= 1000:
        assert fit.amplitude == (math.inf if start > 0 else 0.0)


def test_the_stages_of_rkl2_are_bounded():
    step = longest_step(1e4, MOST_STAGES)
    assert stage_count(1e4, step * 0.999) <= MOST_STAGES < stage_count(1e4, step * 1.01)
    with pytest.raises(InvalidArgumentError, match="at most"):
        RKL2(stages=10**9)
    done = rl.solve_flow(START, rl.RicciDeTurckFlow(), (0, 1e9), "rkl2", dt=1e9)
    assert done.status == -1
    assert "needs more than 999 stages" in done.message
    assert "leave dt out" in done.message


def test_an_equal_step_that_rounding_swallows_ends_the_flow():
    done = rl.solve_flow(START, rl.RicciDeTurckFlow(), (1.0, 2.0), "rk4", dt=1e-30)
    assert done.status == -1
    assert "too small to change t" in done.message


def test_metrics_and_results_compare_by_value():
    pairs = [
        (rl.LNEMetric(0.5), rl.LNEMetric(np.asarray(0.5)), rl.LNEMetric(0.25)),
        (rl.HessianLNEMetric(np.ones(2)), rl.HessianLNEMetric(np.ones(2)), rl.LNEMetric(1.0)),
        (rl.FlowedLNEMetric(0.5, 0.1), rl.FlowedLNEMetric(0.5, 0.1), rl.FlowedLNEMetric(0.5, 0.2)),
        (START, copy.deepcopy(START), START.mean()),
        (rl.LNEPotential(1.0), rl.LNEPotential(1.0), rl.EuclideanPotential()),
        (rl.Simplex(), rl.Simplex(1), rl.Simplex(2.0)),
        (rl.Box(0, 1), rl.Box(0, 1), rl.Box(0, 2)),
        (rl.AffineSet(np.ones((1, 2)), np.ones(1)), rl.AffineSet(np.ones((1, 2)), np.ones(1)),
         rl.AffineSet(np.ones((1, 2)), np.zeros(1))),
        (rl.LNEMetric(1.0).ricci(ONE), rl.LNEMetric(1.0).ricci(ONE), rl.LNEMetric(1.0).ricci(ZERO)),
    ]  # fmt: skip
    for one, same, other in pairs:
        assert one == same
        assert hash(one) == hash(same)
        assert one != other
        assert one in [same]
        assert one != "a metric"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rl.Grid.torus((8, 8), [[1, 2], [3]]), r"lengths\[0\]"),
        (lambda: rl.Grid.torus("88"), "shape"),
        (lambda: rl.Grid.torus((8, True)), r"shape\[1\] = True"),
        (lambda: rl.Grid((8, 8), 0, 1, "no"), "periodic"),
        (lambda: rl.Grid.torus((8,), 1e-200), "another unit"),
        (lambda: rl.Grid.torus((8,), -1.0), "lower < upper"),
        (lambda: rl.Grid.torus((8,), 1.0, 1e17), "lower < upper"),
        (lambda: rl.Grid.torus((8,), 1.0, 1e15), "too small to tell"),
        (lambda: rl.Grid.torus((10**7, 10**7)), "more than"),
        (lambda: rl.Grid((8,), 0, 1, True, 5), "mirrors"),
    ],
)
def test_grids_that_cannot_be_differenced_are_refused(make, words):
    with pytest.raises(InvalidArgumentError, match=words):
        make()
    assert rl.Grid.torus(np.int64(8), np.float32(1.0)) == rl.Grid.torus(8, 1.0)
