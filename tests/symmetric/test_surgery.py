"""Necks that are cut and capped, dumbbells that end as two round points, and their files."""

import numpy as np
import pytest
from scipy.interpolate import make_interp_spline
from scipy.optimize import brentq

from riemann_lne.errors import DamagedFileError, DTypeError, InvalidArgumentError
from riemann_lne.plotting.revolution import pinch_ratios
from riemann_lne.symmetric import (
    RotationalMetric,
    RotationalSolution,
    bryant_soliton,
    cut,
    cut_circle,
    dumbbell,
    flow_with_surgery,
    load_history,
    neckpinch_profile,
    round_sphere,
    save_history,
    solve,
)
from riemann_lne.symmetric.flow import RotationalFlow


@pytest.fixture(scope="module")
def history():
    return flow_with_surgery(dumbbell(80, 0.15, 0.5, n=3), neck=0.1, stop=0.05, rtol=1e-4)


def test_a_cut_leaves_smooth_capped_parts_and_nothing_else_changes():
    g = dumbbell(400, 0.05, 0.3)
    left, right, cap = cut(g)
    # By polynomials through eight points and through three.
    assert cap.radius == pytest.approx(g.neck_radius(), rel=1e-5)
    assert left.pole_curvature()[1] == pytest.approx(cap.curvature, rel=2e-3)
    assert right.pole_curvature()[0] == pytest.approx(cap.curvature, rel=2e-3)
    np.testing.assert_allclose(left.pole_curvature()[0], g.pole_curvature()[0], rtol=1e-6)
    np.testing.assert_allclose(right.pole_curvature()[1], g.pole_curvature()[1], rtol=1e-6)
    # Far from the cut psi(s) is the same function.
    for part, s, old in (
        (left, left.arclength(), g.arclength()),
        (right, right.total_length() - right.arclength(), g.total_length() - g.arclength()),
    ):
        order = np.argsort(old)
        far = (s < 0.6 * s.max()) & (s > old.min())
        there = np.interp(s[far], old[order], g.psi[order])
        np.testing.assert_allclose(part.psi[far], there, atol=1e-4)
        # The metric passes the gate for smooth poles.
        RotationalMetric(part.phi, part.psi)
    # The lengths of the parts add up, but for what the caps change.
    together = left.total_length() + right.total_length()
    assert together == pytest.approx(g.total_length(), abs=0.2 * cap.radius)


def of_one_side(g, part, other):
    """phi and psi of a part as the formulas of ``cut`` say, the pole that is kept at x = 0.

    ``other`` are phi, psi, arclength and the place of the cut before it, from the same pole on.
    """
    phi, psi, s, cut_at, delta = other
    before = {name: make_interp_spline(g.x, v, 5) for name, v in
              (("phi", phi), ("psi", psi), ("s", s))}  # fmt: skip
    end = brentq(lambda x: before["s"](x) - cut_at, g.x[0], g.x[-1])
    x = end / np.pi * g.x[3:]  # where a spline is as exact as inside
    chi = -np.expm1(-(((cut_at - before["s"](x)) / delta / 2) ** 8))
    z = (part[2][-1] - part[2][3:-1]) / delta
    want = (delta + (before["psi"](x) - delta) * chi) * np.tanh(z)
    return end / np.pi * before["phi"](x) ** chi * before["phi"](end) ** (1 - chi), want


def test_both_sides_of_a_cut_are_those_of_the_formula():
    """On a neck that is not symmetric, in a coordinate that is not arclength."""
    bare = dumbbell(200, 0.15, 0.3)
    factor = 1 + 0.1 * np.cos(bare.x)
    g = RotationalMetric(factor * bare.phi, factor * bare.psi)
    left, right, cap = cut(g)
    length, s = g.total_length(), g.arclength()
    for part, kept, old in (
        (left, slice(None), (g.phi, g.psi, s, cap.s, cap.radius)),
        (right, slice(None, None, -1),
         (g.phi[::-1], g.psi[::-1], (length - s)[::-1], length - cap.s, cap.radius)),
    ):  # fmt: skip
        whole, along = part.total_length(), part.arclength()
        along = along if kept == slice(None) else (whole - along)[::-1]
        mine = part.phi[kept], part.psi[kept], np.append(along, whole)
        for found, want in zip(mine, of_one_side(g, mine, old), strict=False):
            # Interpolation, and the arclength of order 4: 9e-7 is measured.
            np.testing.assert_allclose(found[3:], want, rtol=5e-6)


def test_of_several_necks_the_thinnest_is_cut_or_the_one_that_is_named():
    g = RotationalMetric.from_function(
        200,
        lambda x: 1 + 0 * x,
        lambda x: (
            np.sin(x) * (0.53 + 0.47 * np.cos(4 * x)) * (1 + 0.2 * np.cos(x) * np.sin(x) ** 2)
        ),
    )
    first, second = g.necks()
    assert g.psi[second] < g.psi[first]
    for neck, at in ((None, second), (first, first), (second, second)):
        cap = cut(g, neck)[2]
        assert cap.s == pytest.approx(g.arclength()[at], abs=np.pi / 200)
        assert cap.radius == pytest.approx(g.psi[at], rel=1e-2)
    with pytest.raises(InvalidArgumentError, match=f"the necks are at .{first}, {second}"):
        cut(g, first + 1)
    with pytest.raises(InvalidArgumentError, match="not on"):
        cut(bryant_soliton(40))
    for near in (2.55, np.pi - 2.55):  # as close to a pole as it is thin
        close = RotationalMetric.from_function(
            200,
            lambda x: 1 + 0 * x,
            lambda x, near=near: np.sin(x) * (1 - 0.7 * np.exp(-(((x - near) / 0.11) ** 2))),
        )
        with pytest.raises(InvalidArgumentError, match="closer than 4 radii"):
            cut(close)


def test_a_dumbbell_ends_as_two_round_points(history):
    assert history.success
    assert [p.end for p in history.pieces] == ["cut", "round point", "round point"]
    assert [p.parent for p in history.pieces] == [-1, 0, 0]
    first = history.pieces[0]
    assert first.metrics[-1].neck_radius() <= 0.1 * 0.15
    for piece in history.pieces[1:]:
        assert piece.born == first.t[-1]
        assert piece.metrics[-1].roundness() > 0.99
    # The larger bump lives longer.
    assert history.pieces[1].t[-1] > history.pieces[2].t[-1]
    assert len(history.caps) == 1


def test_time_left_is_that_to_the_end(history):
    piece = history.pieces[1]
    left = piece.time_left()
    assert np.all(np.diff(left) < 0)
    # At the end a round sphere of dimension 4: r^2 / 6.
    g = piece.metrics[-5]
    assert left[-5] == pytest.approx(g.psi.max() ** 2 / 6, rel=0.02)
    np.testing.assert_allclose(left[0] - left[-1], piece.t[-1] - piece.born, rtol=1e-12)


def test_which_parts_exist_at_a_time(history):
    born = history.pieces[1].born
    assert [p.index for p, _ in history.at(0.5 * born)] == [0]
    assert [p.index for p, _ in history.at(born)] == [1, 2]
    between = 0.5 * (history.pieces[1].t[-1] + history.pieces[2].t[-1])
    assert [p.index for p, _ in history.at(between)] == [1]
    assert history.at(10.0) == []
    with pytest.raises(InvalidArgumentError):
        history.at(-1.0)


def test_files_and_resuming(history, tmp_path):
    path = tmp_path / "run.npz"
    save_history(history, path)
    again = load_history(path)
    assert again.message == history.message
    assert again.parameters == history.parameters
    for one, two in zip(history.pieces, again.pieces, strict=True):
        assert one.metrics == two.metrics
        np.testing.assert_array_equal(one.steps, two.steps)
        assert (one.parent, one.born, one.end, one.cap) == (two.parent, two.born, two.end, two.cap)
    start = history.pieces[0].metrics[0]
    resumed = flow_with_surgery(start, neck=0.1, stop=0.05, rtol=1e-4, checkpoint=path, resume=True)
    assert resumed.nfev == history.nfev
    with pytest.raises(InvalidArgumentError, match="another flow"):
        flow_with_surgery(start, neck=0.2, stop=0.05, rtol=1e-4, checkpoint=path, resume=True)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DamagedFileError):
        load_history(path)
    with pytest.raises(FileNotFoundError):
        load_history(tmp_path / "none.npz")
    with pytest.raises(InvalidArgumentError, match=r"\.npz"):
        save_history(history, tmp_path / "run.txt")


def test_solutions_are_kept_in_files(tmp_path):
    path = tmp_path / "flow.npz"
    solution = solve(round_sphere(16), (0, 0.1), t_eval=[0, 0.1])
    solution.save(path)
    again = RotationalSolution.load(path)
    assert again.metrics == solution.metrics
    np.testing.assert_array_equal(again.t, solution.t)
    assert (again.status, again.message, again.parameters) == (
        solution.status, solution.message, solution.parameters,
    )  # fmt: skip
    with pytest.raises(DamagedFileError, match="not a history"):
        load_history(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DamagedFileError):
        RotationalSolution.load(path)


def test_ctrl_c_ends_all_parts_and_the_one_that_it_met_is_followed_anew(
    history, tmp_path, monkeypatch
):
    path = tmp_path / "run.npz"
    whole, begun = RotationalFlow.__call__, []

    def interrupted(flow, t, state):
        begun.append(1)
        if len(begun) > history.nfev - 20:  # in the last part
            raise KeyboardInterrupt
        return whole(flow, t, state)

    options = {"neck": 0.1, "stop": 0.05, "rtol": 1e-4, "checkpoint": path}
    start = history.pieces[0].metrics[0]
    with monkeypatch.context() as patch:
        patch.setattr(RotationalFlow, "__call__", interrupted)
        run = flow_with_surgery(start, **options)
    assert [p.end for p in run.pieces] == ["cut", "round point", "interrupted"]
    assert not run.success
    assert len(run.pieces[2].metrics) > 5
    resumed = flow_with_surgery(start, resume=True, **options)
    assert resumed.message == load_history(path).message == history.message
    assert (resumed.nfev, resumed.n_accepted) == (history.nfev, history.n_accepted)
    assert resumed.pieces[2].metrics == history.pieces[2].metrics
    with pytest.raises(InvalidArgumentError, match="another flow"):
        flow_with_surgery(dumbbell(80, 0.16, 0.5, n=3), resume=True, **options)


def test_ctrl_c_in_one_of_several_parts_ends_those_that_are_left(history, monkeypatch):
    first = len(history.pieces[0].metrics)

    def interrupted(flow, t, state, whole=RotationalFlow.__call__, seen=[]):  # noqa: B006
        seen.append(1)
        if len(seen) > 30:
            raise KeyboardInterrupt
        return whole(flow, t, state)

    monkeypatch.setattr(RotationalFlow, "__call__", interrupted)
    run = flow_with_surgery(history.pieces[0].metrics[0], neck=0.1, stop=0.05, rtol=1e-4)
    assert [p.end for p in run.pieces] == ["interrupted"]
    assert 1 < len(run.pieces[0].metrics) < first


def test_no_more_necks_are_cut_than_asked_for_and_no_more_steps_are_taken():
    start = dumbbell(64, 0.1, n=3)
    run = flow_with_surgery(start, neck=0.3, rtol=1e-3, max_pieces=1)
    (piece,) = run.pieces
    assert (piece.end, run.success) == ("neck", True)
    # A cylinder of that radius lives for r^2 / (2 (n - 1)); the time before it is the sum of steps.
    rest = piece.metrics[-1].neck_radius() ** 2 / 4
    np.testing.assert_allclose(piece.time_left()[[-1, 0]], [rest, rest + piece.steps.sum()])
    few = flow_with_surgery(start, neck=0.3, rtol=1e-3, max_steps=4)
    assert not few.success
    assert few.n_accepted == 4
    assert "max_steps" in few.pieces[0].end


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": lambda a: a[:-1]}, "it should hold"),
        ({"states": lambda a: a[:-1]}, "it should hold"),
        ({"numbers": lambda a: -a}, "not positive"),
        ({"states": lambda a: a * np.where(np.arange(len(a)) == 2, np.nan, 1)[:, None, None]},
         "not finite"),
        ({"format": lambda a: a + 1}, "its format is 2"),
        ({"record": lambda a: np.array(str(a).replace("history of", "tale of"))}, "a tale of"),
    ],
)  # fmt: skip
def test_a_history_that_was_changed_is_refused(history, tmp_path, change, message):
    path = tmp_path / "run.npz"
    save_history(history, path)
    with np.load(path) as file:
        content = {name: change.get(name, lambda a: a)(file[name]) for name in file.files}
    np.savez(path, **content)
    with pytest.raises(DamagedFileError, match=message):
        load_history(path)


def test_a_solution_with_a_time_too_few_is_refused_and_lengths_are_kept(tmp_path):
    path = tmp_path / "tube.npz"
    tube = RotationalMetric.from_function(
        16, lambda x: 2 + 0 * x, lambda x: 1 + 0.1 * np.cos(2 * np.pi * x / 3), 2, "cylinder", 3.0
    )
    solution = solve(tube, (0, 0.01), t_eval=[0, 0.01])
    solution.save(path)
    assert RotationalSolution.load(path).metrics == solution.metrics
    with np.load(path) as file:
        content = {name: file[name] for name in file.files}
    np.savez(path, **{**content, "numbers": content["numbers"][:-1]})
    with pytest.raises(DamagedFileError, match="1 times, 2 metrics"):
        RotationalSolution.load(path)


def test_the_end_of_time_and_failures_keep_what_there_is():
    early = flow_with_surgery(dumbbell(48, 0.3), t_end=0.01)
    assert [p.end for p in early.pieces] == ["end of t_span"]
    assert early.pieces[0].t[-1] == pytest.approx(0.01, rel=1e-12)
    coarse = flow_with_surgery(dumbbell(32, 0.2, n=3), neck=1e-6)
    assert not coarse.success
    assert "take more points" in coarse.pieces[0].end
    assert len(coarse.pieces[0].metrics) > 5
    for wrong in ({"neck": 2.0}, {"stop": 0}, {"t_end": -1}, {"resume": True}):
        with pytest.raises(InvalidArgumentError):
            flow_with_surgery(round_sphere(16), **wrong)
    with pytest.raises(InvalidArgumentError, match="surface"):
        flow_with_surgery(round_sphere(16, n=1))
    with pytest.raises(InvalidArgumentError, match="sphere or on"):
        flow_with_surgery(bryant_soliton(40))
    with pytest.raises(DTypeError):
        flow_with_surgery(3)
    with pytest.raises(InvalidArgumentError, match="no neck"):
        cut(round_sphere(16))
    with pytest.raises(InvalidArgumentError, match="closer than"):
        cut(dumbbell(64, 0.5))


def ring(points, n=2, low=0.2, shift=0.0):
    """S^n x S^1 with one neck and one bump."""
    return RotationalMetric.from_function(
        points,
        lambda x: 4 * (1 + 0.1 * np.sin(2 * np.pi * x)),
        lambda x: 0.5 * (1 + low) + 0.5 * (1 - low) * np.cos(2 * np.pi * (x - shift)),
        n,
        "cylinder",
    )


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.497])
def test_a_ring_cut_at_its_neck_is_a_sphere(shift):
    g = ring(200, shift=shift)
    part, cap = cut_circle(g)
    assert (part.space, part.points) == ("sphere", 200)
    assert cap.radius == pytest.approx(0.2, rel=1e-5)
    np.testing.assert_allclose(part.pole_curvature(), cap.curvature, rtol=2e-3)
    RotationalMetric(part.phi, part.psi, 2)  # passes the gate for smooth poles
    # The speed of the coordinate is made constant in the caps.
    assert part.total_length() == pytest.approx(g.total_length(), abs=0.2 * cap.radius)
    # Three radii and more from its ends it is the metric before the cut, about its bump.
    s, old = part.arclength(), g.arclength()
    far = (s > 0.6) & (s < part.total_length() - 0.6)
    whole = g.total_length()
    neck_at = old[min(g.necks(), key=lambda j: g.psi[j])]
    places = np.mod(neck_at + s[far], whole)
    order = np.argsort(old)
    there = np.interp(places, old[order], g.psi[order], period=whole)
    # The place of the neck is known to a spacing here: by the height of the profile beside it.
    assert np.abs(there - part.psi[far]).max() < 0.02
    assert abs(part.psi.max() - g.psi.max()) < 1e-4


def test_a_ring_pinches_and_becomes_a_round_point(tmp_path):
    path = tmp_path / "ring.npz"
    start = ring(96, n=3)
    history = flow_with_surgery(start, neck=0.05, stop=0.05, rtol=1e-4, checkpoint=path)
    assert [p.end for p in history.pieces] == ["cut", "round point"]
    assert [p.metrics[0].space for p in history.pieces] == ["cylinder", "sphere"]
    again = load_history(path)
    assert [p.metrics for p in again.pieces] == [p.metrics for p in history.pieces]
    tube = RotationalMetric.from_function(
        24, lambda x: 3 + 0 * x, lambda x: 1 + 0 * x, 3, "cylinder"
    )
    (whole,) = flow_with_surgery(tube, stop=0.1, rtol=1e-6).pieces
    assert whole.end == "circle"
    # psi^2 = 1 - 2 (n - 1) t.
    assert whole.time_left()[0] == pytest.approx(0.25, rel=1e-4)


def test_what_cut_circle_refuses():
    with pytest.raises(InvalidArgumentError, match="cut_circle"):
        cut(ring(64))
    with pytest.raises(InvalidArgumentError, match="surgery is for metrics on S"):
        cut_circle(round_sphere(32))
    short = RotationalMetric.from_function(
        64, lambda x: 1 + 0 * x, lambda x: 1 + 0.1 * np.cos(2 * np.pi * x), 2, "cylinder"
    )
    with pytest.raises(InvalidArgumentError, match="shorter than 8 radii"):
        cut_circle(short)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3])
def test_a_neck_is_followed_to_its_limits(n):
    """Angenent and Knopf's limits: 1 for the neck's radius, n / 2 for R_max (T - t).

    The approach is logarithmic, 1 - 1 / (2 L) with L = -log(T - t): within 2 percent at 1e-5 of
    the start, within 1 percent where L > 50, at 1e-12 of the start.
    """
    from scipy.optimize import curve_fit

    run = flow_with_surgery(dumbbell(800, 0.05, n=n), neck=1e-13, rtol=1e-6, max_pieces=1)
    piece = run.pieces[0]
    assert (piece.end, run.success, len(run.pieces)) == ("neck", True, 1)
    radii = np.array([m.neck_radius() for m in piece.metrics]) / 0.05
    ratio, curvature, left = pinch_ratios(piece)
    L = -np.log(left)
    for radius, within in ((1e-5, 0.02), (1e-12, 0.01)):
        at = int(np.argmin(abs(np.log(radii / radius))))
        assert ratio[at] == pytest.approx(1, abs=within)
        profile = neckpinch_profile(np.zeros(1), float(left[at]), n)
        assert piece.metrics[at].neck_radius() == pytest.approx(float(profile[0]), rel=0.005)
    assert curvature[at] == pytest.approx(1, abs=0.01)
    # 1 / (2 (1 - ratio)) grows as L does: both have the expansion, not the limit alone.
    for values in (ratio, curvature):
        slope = np.polyfit(L[(radii < 1e-3) & (radii > 1e-11)],
                           0.5 / (1 - values[(radii < 1e-3) & (radii > 1e-11)]), 1)[0]  # fmt: skip
        assert slope == pytest.approx(1, abs=0.1)
    far = (radii < 0.1) & (radii > 1e-11)
    fit, _ = curve_fit(lambda L, a, b, c: a + b / (L + c), L[far], curvature[far], (1, -0.5, 0))
    assert fit[0] == pytest.approx(1, abs=0.005)


def test_time_left_at_a_neck_that_was_not_resolved_is_that_of_its_cylinder():
    coarse = flow_with_surgery(dumbbell(32, 0.2, n=3), neck=1e-6).pieces[0]
    rest = coarse.metrics[-1].neck_radius() ** 2 / 4
    np.testing.assert_allclose(coarse.time_left()[[-1, 0]], [rest, rest + coarse.steps.sum()])
