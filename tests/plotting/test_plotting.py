"""What is on the pictures: data of lines and maps, labels, and what is refused."""

from itertools import pairwise

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex
from PIL import Image

import riemann_lne as rl
from riemann_lne import exact, plotting
from riemann_lne.analysis import embedding_profile
from riemann_lne.errors import InvalidArgumentError, MissingDependencyError, UnknownNameError


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def solution():
    g = rl.perturbed_euclidean(rl.Grid.torus((16, 20), lengths=(6.0, 5.0)), 0.2, modes=1)
    return rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 2), t_eval=[0, 0.5, 1, 2])


@pytest.fixture(scope="module")
def sausage():
    family = exact.periodic_sausage((1, 0))
    start = family.field(0.4, rl.Grid.torus((96, 8)))
    times = [0.4, 0.6, 1.0, 2.0]
    return rl.solve_flow(start, rl.RicciDeTurckFlow(), (0.4, 2.0), t_eval=times)


T = np.linspace(0, 4, 9)


def test_a_decay_plot_has_the_data_the_prediction_and_both_rates():
    norms = {"slow": 0.3 * np.exp(-1.5 * T), "fast": 2 * np.exp(-4 * T)}
    ax = plotting.plot_decay(T, norms, predicted={"slow": 1.4}, window=(1, 3), ylabel="size")
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines) == {"slow: rate 1.5, predicted 1.4", "fast: rate 4", "_predicted"}
    np.testing.assert_array_equal(lines["fast: rate 4"].get_ydata(), norms["fast"])
    dashed = lines["_predicted"]
    assert dashed.get_linestyle() == "--"
    # Through the measured point at the start of the window, with the predicted rate.
    expected = norms["slow"][2] * np.exp(-1.4 * (T - T[2]))
    np.testing.assert_allclose(dashed.get_ydata(), expected)
    assert dashed.get_color() == lines["slow: rate 1.5, predicted 1.4"].get_color()
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t (length$^2$)", "size")
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["slow: rate 1.5, predicted 1.4", "fast: rate 4", "fitted here"]


def test_a_single_norm_needs_no_label_and_its_axes_can_be_given():
    _, ax = plt.subplots()
    assert plotting.plot_decay(T, np.exp(-T), predicted=1.0, ax=ax) is ax
    assert ax.lines[1].get_label() == "rate 1, predicted 1"
    # Nothing is printed below what was measured.
    assert ax.get_ylim()[0] == pytest.approx(0.5 * np.exp(-4))


def test_lines_have_colours_that_the_colour_blind_tell_apart():
    norms = {str(k): np.exp(-k * T) for k in (1, 2, 3)}
    ax = plotting.plot_decay(T, norms)
    assert [to_hex(line.get_color()).upper() for line in ax.lines] == [
        "#0072B2",
        "#D55E00",
        "#009E73",
    ]
    assert len({line.get_marker() for line in ax.lines}) == 3


def test_a_predicted_rate_without_a_norm_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"\['b'\].*\['a'\]"):
        plotting.plot_decay(T, {"a": np.exp(-T)}, predicted={"b": 1.0})
    with pytest.raises(InvalidArgumentError, match="only positive"):
        plotting.plot_decay(T, T - 1)


@pytest.mark.parametrize(("choice", "index"), [({}, -1), ({"index": 1}, 1), ({"time": 0.9}, 2)])
def test_a_map_shows_the_scalar_curvature_of_the_chosen_metric(solution, choice, index):
    mesh = plotting.plot_scalar_curvature(solution, **choice)
    expected = solution[index].scalar_curvature()
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(20, 16), expected.T)
    assert mesh.get_clim() == pytest.approx((-abs(expected).max(), abs(expected).max()))
    ax = mesh.axes
    assert ax.get_title() == f"t = {solution.t[index]:.4g}"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (length)", "y (length)")
    assert ax.figure.axes[1].get_ylabel() == "scalar curvature R (1 / length$^2$)"


def test_a_map_in_three_dimensions_is_the_slice_that_was_asked_for():
    g = rl.perturbed_euclidean(rl.Grid.torus((8, 10, 12), lengths=1.0), 0.2, modes=1)
    curvature = g.scalar_curvature()
    middle = plotting.plot_scalar_curvature(g)
    np.testing.assert_array_equal(
        np.asarray(middle.get_array()).reshape(10, 8), curvature[..., 6].T
    )
    assert middle.axes.get_title() == "z = 0.5"
    _, ax = plt.subplots()
    across = plotting.plot_scalar_curvature(g, fixed={1: 0.22}, limit=2.0, colorbar=False, ax=ax)
    assert across.axes is ax
    np.testing.assert_array_equal(np.asarray(across.get_array()).reshape(12, 8), curvature[:, 2].T)
    assert across.get_clim() == (-2, 2)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == (
        "x (length)",
        "z (length)",
        "y = 0.2",
    )
    assert len(ax.figure.axes) == 1


def test_a_flat_metric_shows_no_rounding():
    mesh = plotting.plot_scalar_curvature(
        exact.gauge_family(2, 0.1).field(0.0, rl.Grid.torus((64, 64))), order="fourier"
    )
    assert mesh.get_clim()[1] == 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": 1, "time": 0.5}, "not both"),
        ({"index": 4}, "has 4 metrics"),
        ({"time": 3.0}, "from t = 0 to 2"),
        ({"fixed": {0: 1.0}}, "needs 0 of its axes"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(solution, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        plotting.plot_scalar_curvature(solution, **options)


def test_slices_and_indices_are_refused_where_there_are_none(solution):
    g = rl.flat_metric(rl.Grid.torus((8, 8, 8)))
    with pytest.raises(InvalidArgumentError, match="axis 2 runs from 0"):
        plotting.plot_scalar_curvature(g, fixed={2: 9.0})
    with pytest.raises(InvalidArgumentError, match="this is one metric"):
        plotting.plot_scalar_curvature(solution[0], index=0)


def test_profiles_are_those_of_the_surfaces(sausage):
    ax = plotting.plot_profiles(sausage, indices=[0, 2])
    drawn = {line.get_label(): line for line in ax.lines if line.get_label()[0] != "_"}
    assert set(drawn) == {"t = 0.4, in part", "t = 1"}
    profile = embedding_profile(sausage[2])
    np.testing.assert_array_equal(drawn["t = 1"].get_xdata(), profile.z)
    np.testing.assert_array_equal(drawn["t = 1"].get_ydata(), profile.r)
    mirrored = [line for line in ax.lines if np.array_equal(line.get_ydata(), -profile.r)]
    assert len(mirrored) == 1
    assert ax.get_xlabel() == "z, along the axis of rotation (length)"
    assert ax.get_aspect() == 1.0


def test_the_surface_is_that_of_the_profile_coloured_by_curvature(sausage, monkeypatch):
    ax = plt.figure().add_subplot(projection="3d")
    drawn = []
    original = ax.plot_surface
    monkeypatch.setattr(
        ax, "plot_surface", lambda *a, **o: drawn.append((*a, o)) or original(*a, **o)
    )
    (surface,) = plotting.plot_embedding(sausage, time=1.0, ax=ax)
    assert surface.axes is ax
    profile = embedding_profile(sausage[2])
    ((along, *across, options),) = drawn
    np.testing.assert_allclose(along, np.broadcast_to(profile.z[:, None], along.shape))
    radii = np.hypot(*across)
    np.testing.assert_allclose(radii, np.broadcast_to(profile.r[:, None], radii.shape))
    colours = options["facecolors"]
    assert colours.shape[:2] == (96, 72)
    middle, end = colours[48, 0], colours[0, 0]
    assert middle[0] > middle[2]  # positively curved: red
    assert end[2] > end[0]  # negatively: blue
    assert ax.get_title() == "t = 1"
    assert ax.figure.axes[1].get_ylabel() == "scalar curvature R (1 / length$^2$)"


def test_what_cannot_be_embedded_is_left_out_and_named(sausage):
    surfaces = plotting.plot_embedding(sausage, index=0)
    assert len(surfaces) == 3
    assert surfaces[0].axes.get_title() == "t = 0.4\nleft out where |dr/ds| > 1: not embeddable"
    _, ax = plt.subplots()
    with pytest.raises(InvalidArgumentError, match="projection"):
        plotting.plot_embedding(sausage, ax=ax)
    steep = rl.MetricField.from_function(
        rl.Grid((33, 8), (1.0, 0.0), (2.0, 2 * np.pi), (False, True)),
        lambda x, y: [[0.01, 0], [0, x**2]],
    )
    with pytest.raises(InvalidArgumentError, match="no part of this metric"):
        plotting.plot_embedding(steep)


def test_a_gif_has_a_frame_for_every_metric(sausage, tmp_path):
    path = plotting.animate(sausage, tmp_path / "flow.gif", "embedding", fps=4, dpi=50)
    with Image.open(path) as picture:
        assert picture.n_frames == 4
        assert picture.info["duration"] == 250
        frames = []
        for i in range(4):
            picture.seek(i)
            frames.append(np.asarray(picture.convert("RGB")).astype(float))
    assert all(np.abs(a - b).mean() > 0.5 for a, b in pairwise(frames))
    assert plt.get_fignums() == []


def test_maps_of_a_moving_picture_share_one_scale(solution, tmp_path, monkeypatch):
    limits = []
    original = plotting.animation.plot_scalar_curvature

    def spy(*args, **options):
        mesh = original(*args, **options)
        limits.append(mesh.get_clim())
        return mesh

    monkeypatch.setattr(plotting.animation, "plot_scalar_curvature", spy)
    plotting.animate(solution, tmp_path / "map.gif", dpi=40)
    assert len(limits) == 4
    assert len(set(limits)) == 1
    assert limits[0][1] == pytest.approx(abs(solution[0].scalar_curvature()).max())


def test_a_function_of_ones_own_draws_the_frames(solution, tmp_path):
    seen = []
    plotting.animate(solution, tmp_path / "own.gif", lambda f, g, t: seen.append((g, t)), dpi=20)
    assert [t for _, t in seen] == solution.t.tolist()


def test_what_cannot_be_written_is_refused_before_work_is_done(solution, tmp_path, monkeypatch):
    with pytest.raises(InvalidArgumentError, match=r"'\.avi'"):
        plotting.animate(solution, tmp_path / "flow.avi")
    with pytest.raises(UnknownNameError, match="embedding"):
        plotting.animate(solution, tmp_path / "flow.gif", "embeding")
    monkeypatch.setattr("matplotlib.animation.FFMpegWriter.isAvailable", lambda: False)
    with pytest.raises(InvalidArgumentError, match="needs the program ffmpeg"):
        plotting.animate(solution, tmp_path / "flow.mp4")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match=r"riemann-lne\[plot\]"):
        plotting.plot_decay(T, np.exp(-T))


def test_nothing_is_shown_unless_asked(solution, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    plotting.plot_scalar_curvature(solution)
    plotting.plot_decay(T, np.exp(-T))
    assert shown == []
    plotting.plot_decay(T, np.exp(-T), show=True)
    assert shown == [True]


@pytest.fixture(scope="module")
def dumbbell_history():
    start = rl.symmetric.dumbbell(64, 0.3, 0.5, n=3)
    return rl.symmetric.flow_with_surgery(start, neck=0.5, stop=0.3, rtol=1e-3)


def test_a_surface_of_revolution_has_the_lengths_of_its_metric():
    g = rl.symmetric.round_sphere(60, 2.0)
    z, r = plotting.revolution.meridian(g)
    np.testing.assert_allclose(z, -2 * np.cos(g.x), atol=2e-3)
    np.testing.assert_allclose(r, 2 * np.sin(g.x), atol=1e-9)
    mesh = plotting.plot_revolution(g, centre=1.0)
    assert mesh.get_coordinates()[..., 0].min() == pytest.approx(-1, abs=3e-3)
    assert mesh.get_array().max() == pytest.approx(6 / 4, rel=1e-6)


def test_pictures_of_a_flow_with_surgery(dumbbell_history, tmp_path):
    history = dumbbell_history
    assert [p.end for p in history.pieces][:1] == ["cut"]
    born = history.pieces[1].born
    ax = plotting.draw_moment(history, born)
    meshes = [c for c in ax.collections if hasattr(c, "get_coordinates")]
    assert len(meshes) == 2
    left, right = (m.get_coordinates()[..., 0] for m in meshes)
    assert left.max() < right.min() + 0.2 * history.caps[0].radius
    ax = plotting.plot_neck(history)
    ratio = ax.lines[0].get_ydata()
    assert np.all((ratio > 0.5) & (ratio < 1.1))
    with pytest.raises(InvalidArgumentError, match="not cut"):
        plotting.plot_neck(history, piece=1)
    path = plotting.animate_surgery(history, tmp_path / "d.gif", frames=5, dpi=40)
    with Image.open(path) as image:
        assert 3 <= image.n_frames <= 5
    page = plotting.animate_surgery(history, tmp_path / "d.html", frames=2, dpi=30).read_text()
    assert "data:image/png;base64" in page


def test_pictures_of_something_else_say_what_they_are_of(solution, tmp_path):
    g, plots = solution[0], rl.plotting
    for call, wanted in (
        (lambda: plots.plot_neck(g), "SurgeryHistory or a RotationalSolution"),
        (lambda: plots.draw_moment(solution, 0.0), "SurgeryHistory"),
        (lambda: plots.animate_surgery(solution, tmp_path / "a.gif"), "SurgeryHistory"),
        (lambda: plots.plot_revolution(g), "RotationalMetric"),
        (lambda: plots.plot_profiles(g), "FlowSolution"),
        (lambda: plots.plot_scalar_curvature(3), "MetricField or a FlowSolution"),
        (lambda: plots.plot_embedding(None), "MetricField or a FlowSolution"),
        (lambda: plots.animate(g, tmp_path / "a.gif"), "FlowSolution"),
    ):
        with pytest.raises(rl.errors.DTypeError, match=wanted):
            call()


def test_the_radius_of_a_neck_over_time():
    start = rl.symmetric.dumbbell(64, 0.3)
    solution = rl.symmetric.solve(start, (0, 0.01), t_eval=[0, 0.005, 0.01])
    radii = plotting.plot_neck(solution).lines[0].get_ydata()
    assert radii[0] == pytest.approx(0.3, rel=1e-4)
    assert np.all(np.diff(radii) < 0)
    sphere = rl.symmetric.solve(rl.symmetric.round_sphere(16), (0, 0.01), t_eval=[0.01])
    with pytest.raises(InvalidArgumentError, match="no neck"):
        plotting.plot_neck(sphere)
