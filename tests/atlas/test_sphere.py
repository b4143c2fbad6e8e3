"""S^2 and S^3 by two stereographic patches: transition, curvature, integrals, flows, errors."""

import math

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import Atlas, curvature, exact
from riemann_lne.arrays import to_numpy
from riemann_lne.atlas import Transition

VOLUME = {2: 4 * math.pi, 3: 2 * math.pi**2}
# Half-widths with which the coarsest atlas of a test overlaps enough.
WIDE = {2: 1.6, 3: 1.8}


def size(h, g):
    """|h|_g at every point."""
    inverse = g.inverse()
    square = np.einsum("ik...,jl...,ij...,kl...->...", inverse, inverse, h, h)
    return np.sqrt(np.maximum(square, 0.0))


def slope(errors, points):
    return np.log(errors[0] / errors[1]) / np.log((points[1] - 1) / (points[0] - 1))


def round_flow(atlas):
    """The normalised Ricci-DeTurck flow about the round metric."""
    return rl.NormalizedRicciFlow(rl.RicciDeTurckFlow(background=atlas.round()))


# ---- one metric on two patches ----------------------------------------


@pytest.mark.parametrize(("n", "points"), [(2, (32, 64)), (3, (24, 40))])
def test_the_transition_is_of_the_order_of_the_interpolation(n, points):
    sphere = exact.projective_sphere(n, seed=2)
    errors = []
    for count in points:
        atlas = Atlas.sphere(n, count, WIDE[n])
        errors.append(atlas.mismatch(sphere.field(0.0, atlas))[0])
    assert abs(slope(errors, points) - 6) < 0.6  # six points along an axis


@pytest.mark.parametrize("n", [2, 3])
def test_a_tensor_of_the_surrounding_space_is_one_metric(n):
    atlas = Atlas.sphere(n, 20, 2.2)
    assert np.allclose(
        atlas.metric(lambda *x: np.eye(n + 1).tolist()).components, atlas.round().components
    )
    sphere = exact.projective_sphere(n, seed=1)
    here = sphere.field(0.05, atlas)
    on_first = sphere.metric(0.05, *atlas.patch.coordinates())
    assert np.allclose(atlas.split(here)[0].components, on_first, atol=1e-12)
    x = atlas.sphere_points()
    assert np.allclose(sum(c * c for c in x), 1.0)


def test_both_ways_of_interpolation_agree():
    torch = pytest.importorskip("torch")
    atlas = Atlas.sphere(2, 20)
    packed = exact.projective_sphere(2).field(0.0, atlas).packed
    host = atlas.transition.fill(packed.copy())
    other = atlas.transition.fill(torch.asarray(packed.copy()))
    assert abs(to_numpy(other) - host).max() < 1e-14
    scalar = np.array(atlas.sphere_points()[:1])
    filled = atlas.transition.fill(scalar.copy())
    assert 0 < abs(filled - scalar).max() < 1e-3
    assert abs(to_numpy(atlas.transition.fill(torch.asarray(scalar))) - filled).max() < 1e-14


# ---- curvature and integrals ----------------------------------------


@pytest.mark.parametrize(("n", "points"), [(2, (32, 48)), (3, (32, 42))])
def test_the_order_of_ricci_on_a_sphere_without_symmetry(n, points):
    sphere = exact.projective_sphere(n, strength=0.2, seed=3)
    errors = []
    for count in points:
        g = sphere.field(0.0, Atlas.sphere(n, count, WIDE[n]))
        errors.append(size(g.ricci() - (n - 1) * g.components, g).max())
    assert abs(slope(errors, points) - 4) < 0.3
    assert errors[-1] < 0.02


@pytest.mark.parametrize("order", [2, 6])
def test_other_orders(order):
    sphere = exact.projective_sphere(2, strength=0.2)
    errors, points = [], (56, 80)
    for count in points:
        g = sphere.field(0.0, Atlas.sphere(2, count, WIDE[2], order))
        errors.append(size(g.ricci(order) - g.components, g).max())
    assert abs(slope(errors, points) - order) < 0.3


@pytest.mark.parametrize("n", [2, 3])
def test_integrals_count_every_point_of_the_sphere_once(n):
    atlas = Atlas.sphere(n, 28)
    g = exact.projective_sphere(n, seed=4).field(0.0, atlas)
    assert g.volume() == pytest.approx(VOLUME[n], rel=1e-4)
    x, dv = atlas.sphere_points(), atlas.round().volume_element()
    # On the unit sphere the mean of X_a^2 is 1 / (n + 1), that of X_a is 0.
    for c in x:
        assert atlas.integrate(c * c * dv) == pytest.approx(VOLUME[n] / (n + 1), rel=1e-4)
        assert abs(atlas.integrate(c * dv)) < 1e-12
    ring = np.concatenate([atlas.partition] * 2)
    assert atlas.transition.moving.sum() < atlas.patch.size
    assert (ring[~np.concatenate([atlas.transition.moving] * 2)] == 0).all()


def test_gauss_and_bonnet_on_a_sphere():
    g = Atlas.sphere(2, 40).metric(lambda x, y, z: [[1 + 0.3 * y, 0, 0.2 * x], [0, 1, 0], [
        0.2 * x, 0, 1.2]])  # fmt: skip
    assert abs(rl.euler_characteristic(g) - 2) < 1e-3
    assert float(np.ptp(g.scalar_curvature())) > 0.5


def test_berger_spheres_on_the_atlas():
    solution = exact.berger(1.0, 0.8, 0.6)
    atlas = Atlas.sphere(3, 24)
    g = solution.field(0.01, atlas)
    lengths = solution.lengths(0.01)
    assert g.volume() == pytest.approx(VOLUME[3] * math.sqrt(math.prod(lengths)), rel=1e-4)
    r = float(solution.scalar_curvature(0.01, *[np.ones(1)] * 3)[0])
    assert abs(g.scalar_curvature() / r - 1).max() < 0.02
    # Left-invariant: all eigenvalues of Ricci are the same at every point, on both patches.
    mixed = np.einsum("ij...,jk...->...ik", g.inverse(), g.ricci())
    values = np.sort(np.linalg.eigvals(mixed).real, axis=-1).reshape(-1, 3)
    assert np.ptp(values, axis=0).max() < 0.03 * r


# ---- flows ----------------------------------------


@pytest.mark.parametrize(
    ("n", "points", "kind"),
    [
        (2, (24, 36), "deturck"),
        (2, (24, 36), "ricci"),
        pytest.param(3, (24, 32), "deturck", marks=pytest.mark.slow),
        pytest.param(3, (24, 32), "ricci", marks=pytest.mark.slow),
    ],
)
def test_the_order_of_the_flow(n, points, kind):
    sphere, end = exact.projective_sphere(n, strength=0.2, seed=5), 0.05 / (n - 1)
    errors = []
    for count in points:
        atlas = Atlas.sphere(n, count, WIDE[n])
        start, truth = sphere.field(0.0, atlas), sphere.field(end, atlas)
        # With the start as background the DeTurck field of the exact solution vanishes.
        flow = rl.RicciFlow() if kind == "ricci" else rl.RicciDeTurckFlow(background=start)
        last = rl.solve_flow(start, flow, (0, end), "rkl2", [end], rtol=1e-6, atol=1e-9)[-1]
        errors.append(size(last.components - truth.components, truth).max())
    assert abs(slope(errors, points) - 4) < 0.3


@pytest.mark.slow
def test_the_flow_of_berger_spheres():
    solution, end, errors = exact.berger(1.0, 0.8, 0.6), 0.02, []
    for points in (20, 28):
        atlas = Atlas.sphere(3, points, 2.2)
        start, truth = solution.field(0.0, atlas), solution.field(end, atlas)
        last = rl.solve_flow(start, rl.RicciFlow(), (0, end), "rkl2", [end], rtol=1e-5)[-1]
        change = size(truth.components - start.components, truth).max()
        errors.append(size(last.components - truth.components, truth).max() / change)
    assert errors[0] < 0.04
    assert errors[1] < errors[0] / 3  # (19 / 27)^4 = 1 / 4.1


def noisy_difference(atlas, times, step):
    """Two runs that differ by noise at every point: the difference in the frame, at some times.

    Split into conformal modes of degree 0 and 1, as their coefficients, and the L2 norm of all
    others. These modes change the size of the sphere and its points alone.
    """
    n, start = atlas.ndim, atlas.round()
    scale = np.concatenate([4 / (1 + atlas.transition.radius2) ** 2] * 2)
    noise = 1e-4 * np.random.default_rng(0).normal(size=start.packed.shape) * scale
    noisy = rl.MetricField.from_packed(atlas, start.packed + noise)
    runs = [
        rl.solve_flow(g, round_flow(atlas), (0, times[-1]), "rkl2", times, dt=step)
        for g in (start, noisy)
    ]
    x, dv = atlas.sphere_points(), start.volume_element()
    gauge, left = [], []
    for quiet, other in zip(*(run.metrics for run in runs), strict=True):
        h = (other.components - quiet.components) / scale
        trace, parts = np.einsum("ii...->...", h) / n, []
        for f in (np.ones_like(x[0]), *x):
            parts.append(float(atlas.integrate(trace * f * dv) / atlas.integrate(f * f * dv)))
            h = h - parts[-1] * f * np.eye(n).reshape(n, n, *(1,) * n)
        gauge.append(parts)
        left.append(math.sqrt(float(atlas.integrate(np.einsum("ij...,ij...->...", h, h) * dv))))
    return np.array(gauge), left


def test_noise_at_the_overlap_does_not_grow():
    _, left = noisy_difference(Atlas.sphere(2, 20), [0, 1.25, 2.5], 0.125)
    assert left[0] > 1e-4
    assert left[1] < 1e-2 * left[0]
    assert left[2] < 1e-2 * left[0]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "points"), [(2, 48), (3, 20)])
def test_noise_over_twenty_relaxation_times(n, points):
    """20 times 1 / 4, the slowest decay.

    On S^3 conformal modes of degree 1 grow at the rate n - 2 = 1, on the atlas with a share of
    other modes that is their own error; nothing else may grow.
    """
    times = [0.0, 2.5, 4.0, 5.0]
    gauge, left = noisy_difference(Atlas.sphere(n, points), times, 0.05)
    moved = np.linalg.norm(gauge[:, 1:], axis=1)
    rate = math.log(moved[3] / moved[2])
    assert abs(rate - (n - 2)) < 0.05
    if n == 2:
        assert left[3] < left[1] < 0.02 * left[0]
    else:
        assert left[3] / moved[3] < 1.1 * left[2] / moved[2] < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_positive_ricci_curvature_on_s3_goes_round(seed):
    """Hamilton 1982, from random starts without symmetry."""
    atlas = Atlas.sphere(3, 24)
    start = atlas.perturbed_round(0.3, seed)
    run = rl.solve_flow(
        start, round_flow(atlas), (0, 0.9), "rkl2", np.linspace(0, 0.9, 7), rtol=1e-3, atol=1e-5
    )
    assert run.success
    ratios = []
    for g in run.metrics:
        mixed = np.einsum("ij...,jk...->...ik", g.inverse(), g.ricci())
        values = np.linalg.eigvals(mixed).real
        ratios.append(values.min() / values.max())
    # The least over the largest eigenvalue of Ricci anywhere: 1 on a round sphere.
    assert 0 < ratios[0] < 0.5
    assert (np.diff(ratios[:5]) > 0).all()
    assert ratios[-1] > 0.95
    assert run[-1].volume() == pytest.approx(start.volume(), rel=1e-3)


def test_a_random_metric_is_the_same_on_every_atlas():
    first, second = (Atlas.sphere(2, points).perturbed_round(0.3, 3) for points in (24, 48))
    assert first.volume() == pytest.approx(second.volume(), rel=2e-3)
    assert first.grid.mismatch(first)[0] < 2e-3
    mixed = np.einsum("ij...,jk...->...ik", first.grid.round().inverse(), first.components)
    assert abs(np.linalg.eigvals(mixed) - 1).max() == pytest.approx(0.3)
    with pytest.raises(rl.errors.InvalidArgumentError):
        first.grid.perturbed_round(1.0)


def test_kernels_give_the_same_flow():
    atlas = Atlas.sphere(2, 24)
    start = exact.projective_sphere(2, seed=6).field(0.0, atlas)
    ends = [
        rl.solve_flow(start, round_flow(atlas), (0, 0.02), "rkl2", [0.02], dt=0.01, kernel=kernel)
        for kernel in ("plain", "auto")
    ]
    try:
        fused = rl.solve_flow(
            start, round_flow(atlas), (0, 0.02), "rkl2", [0.02], dt=0.01, kernel="fused"
        )
    except rl.errors.KernelUnavailableError as error:
        pytest.skip(str(error))
    for end in (ends[1], fused):
        assert abs(end[-1].components - ends[0][-1].components).max() < 1e-11


def test_a_flow_on_torch_tensors():
    torch = pytest.importorskip("torch")
    atlas, sphere = Atlas.sphere(2, 20), exact.projective_sphere(2, seed=6)
    ends = []
    for xp in (np, torch):
        start = sphere.field(0.0, atlas, xp)
        background = rl.MetricField(atlas, xp.asarray(np.array(atlas.round().components)))
        flow = rl.NormalizedRicciFlow(rl.RicciDeTurckFlow(background=background))
        end = rl.solve_flow(start, flow, (0, 0.02), "rk4", [0.02], dt=2e-3, kernel="plain")[-1]
        ends.append(to_numpy(end.components))
    assert abs(ends[1] - ends[0]).max() < 1e-11


def test_volume_events_files_and_checkpoints(tmp_path):
    atlas = Atlas.sphere(2, 20)
    start = exact.projective_sphere(2, strength=0.4, seed=7).field(0.0, atlas)

    def uneven(t, metric):
        return float(np.ptp(metric.components[0, 0])) - 1e9

    flow = round_flow(atlas)
    more = {"method": "rkl2", "t_eval": [0.0, 0.1, 0.2], "dt": 0.02, "events": uneven}
    whole = rl.solve_flow(start, flow, (0, 0.2), **more)
    assert whole[-1].volume() == pytest.approx(
        start.volume(), rel=1e-4
    )  # the method keeps it as well as its steps are short

    end = {"t": 0.11}

    def stop(t, metric):
        if t > end["t"]:
            raise KeyboardInterrupt
        return -1.0

    plan = rl.Checkpoint(tmp_path / "run", steps=1)
    more["events"] = stop
    first = rl.solve_flow(start, flow, (0, 0.2), checkpoint=plan, **more)
    assert first.status == -2
    end["t"] = 1.0
    resumed = rl.solve_flow(start, flow, (0, 0.2), checkpoint=plan, resume=True, **more)
    assert np.array_equal(resumed[-1].components, whole[-1].components)
    resumed.save(tmp_path / "run.npz")
    back = rl.FlowSolution.load(tmp_path / "run.npz")
    assert back[-1].grid == atlas
    assert back[-1] == resumed[-1]


# ---- what is refused ----------------------------------------


def test_an_overlap_too_thin_says_how_many_points_are_enough():
    with pytest.raises(rl.errors.GridTooSmallError, match=r"too thin.*order 4") as caught:
        Atlas.sphere(2, 24, half_width=1.3)
    enough = int(str(caught.value).split("points: ")[1].split()[0])
    assert enough > 24
    assert Atlas.sphere(2, enough, half_width=1.3).points == enough
    with pytest.raises(rl.errors.GridTooSmallError):
        Atlas.sphere(3, 12)
    with pytest.raises(rl.errors.InvalidArgumentError, match="half_width"):
        Atlas.sphere(2, 24, half_width=1.0)
    with pytest.raises(rl.errors.InvalidArgumentError, match=r"S\^2 and S\^3"):
        Atlas.sphere(4, 24)
    with pytest.raises(rl.errors.InvalidArgumentError, match="2, 4, 6 or 8"):
        Atlas.sphere(2, 24, order="fourier")


def test_patches_that_differ_say_by_how_much_and_where():
    atlas = Atlas.sphere(2, 24)
    wrong = np.array(atlas.round().components)
    wrong[:, :, 30, 5] *= 1.2
    with pytest.raises(rl.errors.InvalidArgumentError, match=r"\(30, 5\).*patch 1.*differ by 0\.1"):
        rl.solve_flow(rl.MetricField(atlas, wrong), round_flow(atlas), (0, 1))


def test_wrong_metrics_and_flows_are_refused():
    atlas = Atlas.sphere(2, 20)
    g = atlas.round()
    with pytest.raises(rl.errors.InvalidArgumentError, match=r"background=metric\.grid\.round"):
        rl.solve_flow(g, rl.NormalizedRicciFlow(rl.RicciDeTurckFlow()), (0, 1))
    with pytest.raises(rl.errors.InvalidArgumentError, match="two patches"):
        rl.solve_flow(g, rl.RicciFlow(gauge="deturck", background=g), (0, 1))
    with pytest.raises(rl.errors.InvalidArgumentError, match="no boundary"):
        rl.solve_flow(g, round_flow(atlas), (0, 1), boundary="free")
    with pytest.raises(rl.errors.InvalidArgumentError, match="order=6"):
        rl.solve_flow(g, round_flow(atlas), (0, 1), order=6)
    lorentzian = np.array(g.components)
    lorentzian[0, 0] *= -1
    lorentzian = rl.MetricField(atlas, lorentzian, signature="lorentzian")
    with pytest.raises(rl.errors.NotPositiveDefiniteError, match="Riemannian"):
        rl.solve_flow(lorentzian, round_flow(atlas), (0, 1))
    broken = np.array(g.components)
    broken[0, 0, 3, 4] = np.nan
    with pytest.raises(rl.errors.NotFiniteError):
        rl.MetricField(atlas, broken)
    with pytest.raises(rl.errors.NotFiniteError):
        atlas.metric(lambda x, y, z: [[1, 0, 0], [0, 1, 0], [0, 0, np.nan]])
    other = Atlas.sphere(2, 24).round()
    for call in (
        g.mean,
        lambda: atlas.quadrature_weights(4),
        lambda: atlas.with_mirrors([(0, 1)]),
        lambda: atlas.mismatch(other),
        lambda: rl.geodesic(g, [0.1, 0.0], [1.0, 0.0], (0, 1)),
    ):
        with pytest.raises(rl.errors.InvalidArgumentError):
            call()
    with pytest.raises(rl.errors.NoClosedFormError):
        exact.cigar().field(0.0, atlas)
    with pytest.raises(rl.errors.ShapeError):
        exact.round_sphere(3).field(0.0, atlas)


@pytest.mark.parametrize(("n", "points"), [(2, (32, 64)), (3, (24, 40))])
def test_perelmans_f_and_w_of_a_round_sphere_by_hand(n, points):
    """With v = 1 + z / 2, for which the mean of z^2 is 1 / (n + 1)."""
    mean = 1 / (n + 1)
    by_hand = VOLUME[n] * (1 - mean + n * (n - 1) * (1 + mean / 4))
    errors = []
    for count in points:
        atlas = Atlas.sphere(n, count, WIDE[n])
        f, g = -2 * np.log(1 + atlas.sphere_points()[-1] / 2), atlas.round()
        errors.append(abs(rl.perelman_f(g, f) / by_hand - 1))
        w = rl.perelman_w(g, f, 0.7)
        assert rl.perelman_w(atlas.round(2.0), f, 2.8) == pytest.approx(w, rel=1e-12)
    # The shrinking sphere, with the constant of unit integral.
    tau = 1 / (2 * (n - 1))
    constant = math.log(VOLUME[n] * (4 * math.pi * tau) ** (-n / 2))
    w = rl.perelman_w(g, np.full(atlas.shape, constant), tau)
    assert w == pytest.approx(n / 2 + constant - n, abs=1e-4)
    assert errors[1] < 2e-4
    assert slope(errors, points) > 3.5


def test_what_is_no_metric_on_a_sphere_or_needs_a_torus_is_refused():
    """All that lays coordinates over a grid: starts, backgrounds, spectra, rates, methods."""
    atlas = Atlas.sphere(2, 20)
    g = atlas.round()
    flat = rl.MetricField.from_function(atlas, lambda x, y: [[1, 0], [0, 1]])
    constant = rl.RicciDeTurckFlow(background=lambda t, x, y: [[1, 0], [0, 1]])
    wrong = rl.errors.InvalidArgumentError
    for flow in (rl.RicciDeTurckFlow(background=flat), constant):
        for wrapped in (flow, rl.NormalizedRicciFlow(flow), rl.ScaledFlow(flow, 2.0)):
            with pytest.raises(wrong, match="the DeTurck background: the two patches do not hold"):
                rl.solve_flow(g, wrapped, (0, 1))
    for call, words in (
        (lambda: rl.flat_metric(atlas), r"atlas\.round\(\)"),
        (lambda: rl.perturbed_euclidean(atlas), "atlas.perturbed_round"),
        (lambda: rl.lichnerowicz_spectrum(g, 3), "is a sphere, which has none"),
        (lambda: rl.predicted_decay_rates(g), "is a sphere, which has none"),
        (lambda: rl.perelman_lambda(g), "is a sphere, which has none"),
        (lambda: rl.solve_flow(g, round_flow(atlas), (0, 1), "etdrk4"), "'rkl2' on a sphere"),
    ):
        with pytest.raises(wrong, match=words):
            call()


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("points", [2, 3, 5, 8, 9, 10, 14])
def test_few_points_are_refused_whatever_their_number(n, points):
    with pytest.raises(rl.errors.GridTooSmallError, match="are enough there"):
        Atlas.sphere(n, points)


def test_the_fringe_uses_moving_points_alone():
    for atlas in (Atlas.sphere(2, 24), Atlas.sphere(3, 20), Atlas.sphere(2, 33, 1.5)):
        assert atlas.transition.excess() <= 0
    assert Transition(rl.Grid.box(-1.3, 1.3, (24, 24)), 4).excess() > 0


def test_the_laplacian_on_functions_joins_the_patches():
    atlas = Atlas.sphere(2, 40)
    x = atlas.sphere_points()
    f = x[0] * x[1] + 0.5 * x[2] * x[0]  # of degree 2: Laplacian f = -6 f
    result = curvature.laplacian(atlas.round().components, f, atlas)
    assert abs(result + 6 * f).max() < 0.02
