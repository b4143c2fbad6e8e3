"""What is wrong with a configuration is said with its section and key, before the first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl

Main = Callable[..., tuple[int, str, str]]

WRONG = {
    "grid.shpae=[4, 4]": "key of [grid]: 'shpae'; known: lengths, lower, periodic, shape, upper. "
    "Did you mean 'shape'?",
    "gird.shape=[4, 4]": "'gird'; known: events, flow, grid, integrator, output, parallel, start. "
    "Did you mean 'grid'?",
    "grid.shape=8": "[grid] shape = 8; give a list of whole numbers",
    "grid.shape=[8, 8.5]": "[grid] shape = [8, 8.5]; give a list of whole numbers",
    "grid.shape=[8]": "[grid] shape = [8]; give 2 to 4 numbers",
    "grid.shape=[8, true]": "give a list of whole numbers",
    "grid.shape=[1, 8]": "[grid] shape: axis 0 has 1 point",
    "grid.shape=[4, 4]": "[integrator] order: axis 0 has 4 points; differences of order 4 need",
    "grid.lengths=[1, 2, 3]": "[grid] lengths = [1, 2, 3]; give a list of 2 finite numbers, one",
    "grid.lengths=['2*pie', 1]": "Did you mean 'pi'?",
    "grid.lengths=-1": "axis 0 runs from 0.0 to -1.0",
    "grid.periodic='yes'": "[grid] periodic = 'yes'; give a list of 2 true or false",
    "grid.periodic=false": "[grid] lacks lengths",
    "start.kind=flt": "unknown [start] kind 'flt'; known: flat, perturbed_euclidean. Did you mean",
    "start.kind=1": "[start] kind = 1; give one of flat, perturbed_euclidean",
    "start.exact=nil": "[start] has kind and exact; give one of kind, exact, components, file",
    "start.points=9": "[start] points goes with exact alone",
    "start.arguments.amplitude=2": "[start] kind: amplitude = 2.0; it must lie in [0, 1)",
    "start.arguments.amplitude='x'": "[start] kind: amplitude = 'x'; give a finite number",
    "start.arguments.amplitud=0.1": "key of [start] arguments: 'amplitud'; known: amplitude, modes",
    "start.arguments=3": "[start] arguments = 3; give a table",
    "start.dtype=float16": "unknown [start] dtype 'float16'; known: float32, float64",
    "flow.kind=ricci-deturk": "Did you mean 'ricci-deturck'?",
    "flow.gauge=deturck": "[flow] gauge goes with the kinds ricci and normalized-ricci",
    "flow.background=round": "[flow] background: 'round' is not known; give 'flat', 'start'",
    "flow.background=exact": "[flow] background: 'exact' needs [start] exact",
    "flow.scale=true": "[flow] scale = True; give a number or a formula in t",
    "flow.scale=inf": "[flow] scale: c = inf; give a finite number",
    "flow.scale='x'": "[flow] scale: unknown name in formula 'x': 'x'; known: abs",
    "integrator.method=rk5": "unknown [integrator] method 'rk5'; known: auto, bs32, etdrk4, rk4",
    "integrator.t_span=[1, 0]": "[integrator] t_span: t_span = (1.0, 0.0); finite times",
    "integrator.t_span=3": "[integrator] t_span = 3; give a list of finite numbers",
    "integrator.dt=0": "[integrator] dt = 0; give a positive step",
    "integrator.rtol=-1": "[integrator] rtol = -1; give a number, at least 0",
    "integrator.atol=nan": "[integrator] atol = nan; give a finite number",
    "integrator.order=3": "[integrator] order: ",
    "integrator.boundary=hled": "[integrator] boundary: 'hled' is not known; give 'held', 'free'",
    "integrator.boundary=['held', 'held']": "[integrator] boundary: axis 0 is periodic",
    "integrator.boundary={ up = 'held' }": "[integrator] boundary: the key 'up' names no end",
    "integrator.max_steps=0": "[integrator] max_steps = 0; give a whole number, at least 1",
    "output.path=run.csv": "[output] path = 'run.csv'; give a path that ends in .npz or .zarr",
    "output.path=no/such/run.npz": "[output] path = 'no/such/run.npz'; give a path in a folder",
    "output.t_eval=1": "[output] t_eval = 1; give a whole number, at least 2",
    "output.t_eval=[0, 9]": "[output] t_eval: t_eval must rise strictly within t_span",
    "output.store=some": "unknown [output] store 'some'; known: last, metrics",
    "output.observe=['vol']": "name in [output] observe: 'vol'; known: bianchi_residual",
    "output.observe='volume'": "[output] observe = 'volume'; give a list of names",
    "output.plots=['dekay']": "name in [output] plots: 'dekay'; known: animation, decay",
    "output.decay_window=[2, 1]": "[output] decay_window = [2, 1]; give two rising times",
    "output.checkpoint=3": "[output] checkpoint = 3; give a path, true, false, or a table",
    "output.checkpoint.steps=0": "[output.checkpoint] steps = 0; give a whole number, at least 1",
    "output.checkpoint.second=1": "key of [output.checkpoint]: 'second'; known: path, seconds",
    "events.degenerate=-1": "[events] degenerate: floor = -1.0; a metric has positive eigenvalues",
    "events.degenrate=1": "Did you mean 'degenerate'?",
    "events.degenerate={ flor = 1 }": "key of [events.degenerate]: 'flor'; known: floor, terminal",
    "events.degenerate={ terminal = true }": "[events.degenerate] lacks floor, which is needed",
    "events=3": "write --set section.key=value",
    "start": "write --set section.key=value",
    "grid.shape.x=1": "shape must be a table",
}


@pytest.mark.parametrize("setting", WRONG)
def test_wrong_values_are_named_with_section_and_key(
    setting: str, config: Path, main: Main
) -> None:
    code, out, err = main(config, "--set", setting)
    assert code == 2
    assert out == ""
    assert WRONG[setting] in err
    assert sorted(p.name for p in config.parent.iterdir()) == ["run.toml"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[grid]\nshape = [10, 8]", "", "lacks the section [grid]"),
        ("shape = [10, 8]", "", "[grid] lacks shape, which is needed"),
        ("t_span = [0, 0.4]", "", "[integrator] lacks t_span, which is needed"),
        ('path = "run.npz"', "", "[output] lacks path, which is needed"),
        ("[output]", "[outputs]", "Did you mean 'output'?"),
        ("shape = [10, 8]", "shape = [10, 8", "is not a TOML file"),
        ("[grid]", "[[grid]]", "give a table: [grid]"),
        ('kind = "perturbed_euclidean"', "", "[start] has no source; give one of kind, exact"),
    ],
)
def test_what_is_missing_or_no_toml_is_said(
    old: str, new: str, message: str, config: Path, main: Main
) -> None:
    text = config.read_text(encoding="utf-8")
    assert old in text
    config.write_text(text.replace(old, new), encoding="utf-8")
    code, _, err = main(config)
    assert code == 2
    assert message in err


def with_start(config: Path, start: str, grid: str = "[grid]\nshape = [10, 8]") -> Path:
    """The configuration with another start."""
    text = config.read_text(encoding="utf-8")
    head = text[text.index("[grid]") : text.index("[integrator]")]
    config.write_text(text.replace(head, f"{grid}\n[start]\n{start}\n"), encoding="utf-8")
    return config


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ('components = [["1", "0"]]', "give 2 rows of 2 formulas"),
        ('components = [["1", 0], [0, true]]', "components[1][1] = True; give a formula"),
        ('components = [["1 + 0.1*sin(z)", 0], [0, 1]]', "components[0][0]: unknown name"),
        ('components = [["1 + t", 0], [0, 1]]', "components[0][0]: unknown name"),
        ("components = [[\"__import__('os')\", 0], [0, 1]]", "components[0][0]: unknown function"),
        ('components = [[1, "9**9**9**9"], [0, 1]]', "has no finite real value"),
        ('components = [["1/x", 0], [0, 1]]', "'1/x' is inf at x = 0, y = 0"),
        ('components = [[1, "sin(x)"], [0, 1]]', "not symmetric"),
        ('components = [["cos(x)", 0], [0, 1]]', "not positive definite"),
        ('file = "none.npz"', "[start] file: there is no file"),
        ('file = "run.toml"', "is not a .zarr store or an .npz file that can be read"),
        ('exact = "periodic_sausage"\npoints = 9', "give one of them"),
        ('exact = "periodic_sausage"', "exists for 0 < t < inf, not at t = 0"),
        ('exact = "periodic_sausage"\narguments = { m = [1, 0, 2] }', "[start] exact: "),
        ('exact = "round_sphere"\narguments = { radius = 0 }', "[start] exact: "),
    ],
)
def test_wrong_starts_are_named(start: str, message: str, config: Path, main: Main) -> None:
    code, out, err = main(with_start(config, start))
    assert code == 2
    assert message in err
    assert "[start]" in err
    assert out == ""


def test_a_start_comes_from_files(config: Path, main: Main) -> None:
    """From a solution with the grid in it, from a store, and from an array of components."""
    folder = config.parent
    assert main(config)[0] == 0
    first = rl.FlowSolution.load(folder / "run.npz")
    assert main(config, "--set", "output.path=run.zarr", "--set", "output.checkpoint=false")[0] == 0
    np.savez(folder / "own.npz", components=first[1].components)
    text = config.read_text(encoding="utf-8")
    for name, more, grid in (
        ("run.npz", "time = 0.1", ""),
        ("run.zarr", "time = 0.1", ""),
        ("own.npz", "", "[grid]\nshape = [10, 8]"),
    ):
        config.write_text(text, encoding="utf-8")
        with_start(config, f'file = "{name}"\n{more}', grid)
        settings = ["output.path=next.npz", "output.checkpoint=false"]
        code, _, err = main(config, *(a for s in settings for a in ("--set", s)), "--force")
        assert (code, err) == (0, "")
        start = rl.FlowSolution.load(folder / "next.npz")[0]
        assert start.grid == first.grid
        assert np.array_equal(start.components, first[1].components)
    config.write_text(text, encoding="utf-8")
    with_start(config, 'file = "run.npz"\ntime = 0.2', "")
    assert "time = 0.2 is not among the 3 that were kept" in main(config)[2]
    config.write_text(text, encoding="utf-8")
    with_start(config, 'file = "run.npz"')
    assert "remove the section [grid]" in main(config)[2]


@pytest.mark.parametrize(
    ("settings", "flow", "method"),
    [
        ({}, rl.RicciDeTurckFlow(), "rk4"),
        ({"flow.kind": "ricci"}, rl.RicciFlow(), "rk4"),
        ({"flow.kind": "ricci", "flow.gauge": "deturck"}, rl.RicciFlow(gauge="deturck"), "rk4"),
        ({"flow.kind": "normalized-ricci"}, rl.NormalizedRicciFlow(), "rk4"),
        (
            {"flow.kind": "normalized-ricci-deturck", "flow.scale": "0.5"},
            rl.ScaledFlow(rl.NormalizedRicciFlow(rl.RicciDeTurckFlow()), 0.5),
            "rk4",
        ),
        (
            {"flow.scale": "'0.5*t'", "integrator.method": "tsit5"},
            rl.ScaledFlow(rl.RicciDeTurckFlow(), lambda t: 0.5 * t),
            "tsit5",
        ),
        ({"flow.background": "{ components = [['1 + t', 0], [0, 'exp(x*0)']] }"}, None, "rk4"),
    ],
    ids=str,
)
def test_the_result_is_that_of_solve_flow(
    settings: dict[str, str], flow: Any, method: str, config: Path, main: Main
) -> None:
    options = [a for key, value in settings.items() for a in ("--set", f"{key}={value}")]
    code, _, err = main(config, *options)
    assert (code, err) == (0, "")
    if flow is None:
        flow = rl.RicciDeTurckFlow(lambda t, x, y: [[1 + t, 0], [0, np.exp(x * 0)]])
    start = rl.perturbed_euclidean(rl.Grid.torus((10, 8)), 0.3, seed=4)
    wanted = rl.solve_flow(start, flow, (0, 0.4), method, [0, 0.1, 0.4], 0.01)
    result = rl.FlowSolution.load(config.parent / "run.npz")
    assert result.t.tolist() == wanted.t.tolist()
    assert [g.packed.tobytes() for g in result.metrics] == [
        g.packed.tobytes() for g in wanted.metrics
    ]
    assert result.method == method
    assert result.observed["volume"][0] == start.volume()
