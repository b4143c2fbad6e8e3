"""The table "Where do I add ...?", row by row: a part made outside the package is used by its door.

Each part is a file of the user in a temporary folder, imported from there. The rows of estimators,
data sets, networks and tasks are in tests/comparison.
"""

from __future__ import annotations

import importlib.util
import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import cli, kernels
from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    KernelUnavailableError,
    RiemannLNEError,
)
from riemann_lne.flows import LocalFlow
from riemann_lne.integrators import OneStep, Step, register_method
from riemann_lne.integrators.methods import registry


@pytest.fixture
def user_file(tmp_path: Path) -> Any:
    """Writes a file and imports it as a user would."""

    def write(text: str, name: str = "mine") -> Any:
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"{name}_of_{tmp_path.name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return write


# ---- a flow, with a kernel -------------------------------------------------------------------

FLOW = """
    from riemann_lne.flows import LocalFlow
    from riemann_lne.tensors import pairs

    class Bourguignon(LocalFlow):
        '''g' = -2 Ric + 2 rho R g, without a gauge.'''

        def __init__(self, rho):
            self.rho = rho

        def rate(self, jet):
            more = 2.0 * self.rho * jet.scalar_curvature
            return [-2.0 * jet.ricci[p] + more * jet.g[p] for p in pairs(jet.n)]
"""


@pytest.mark.parametrize("n", [2, 3])
def test_a_flow_with_a_kernel_is_one_object(user_file: Any, n: int) -> None:
    """On a round sphere g = r g_1 it is r' = -2 (n - 1) (1 - rho n)."""
    flow = user_file(FLOW).Bourguignon(0.1)
    sphere = rl.exact.round_sphere(n)
    g = sphere.field(0.0, sphere.grid(17))
    fused = kernels.fused_flow(flow, g.grid, 4, g.packed)
    shrink = 2 * (n - 1) * (1 - 0.1 * n)
    for made in (flow, fused):
        inner = (..., *(slice(3, -3),) * n)
        gap = made.rhs(0.0, g.packed, g.grid, 4) + shrink * g.packed
        assert np.max(np.abs(gap[inner])) < 5e-3
    start = rl.perturbed_euclidean(rl.Grid.torus((66, 64) if n == 2 else (16, 16, 18)), 0.1)
    ends = {}
    for kernel in ("plain", "auto", "fused"):
        solution = rl.solve_flow(start, flow, (0, 1e-3), "bs32", [1e-3], kernel=kernel)
        assert solution.parameters["kernel"].startswith("plain" if kernel == "plain" else "fused")
        ends[kernel] = solution[-1].components
    assert np.max(np.abs(ends["plain"] - ends["fused"])) < 1e-12
    assert np.array_equal(ends["auto"], ends["fused"])
    assert not np.array_equal(ends["fused"], start.components)


def test_the_least_that_is_a_flow(user_file: Any) -> None:
    text = """
        class Decay:
            parabolic = False

            def rhs(self, t, packed, grid, order):
                return -packed

            def spectral_radius(self, packed, grid, order):
                return 1.0
    """
    g = rl.flat_metric(rl.Grid.torus((8, 8)))
    flow = user_file(text).Decay()
    assert rl.solve_flow(g, flow, (0, 1), t_eval=[1.0])[-1].components[0, 0, 0, 0] == pytest.approx(
        np.exp(-1), rel=1e-5
    )
    with pytest.raises(KernelUnavailableError, match="LocalFlow"):
        rl.solve_flow(g, flow, (0, 1), kernel="fused")


def test_a_flow_without_a_member_is_told_which_with_a_right_one(user_file: Any) -> None:
    module = user_file("class Half:\n    def rhs(self, t, packed, grid, order):\n        pass\n")
    with pytest.raises(DTypeError) as caught:
        rl.solve_flow(rl.flat_metric(rl.Grid.torus((8, 8))), module.Half(), (0, 1))
    text = str(caught.value)
    assert "the attribute parabolic is missing" in text or "the method parabolic" in text
    assert "spectral_radius is missing" in text
    names: dict[str, Any] = {}
    exec("if True:\n" + text.split("A minimal right one:")[1], names)
    assert rl.solve_flow(rl.flat_metric(rl.Grid.torus((8, 8))), names["Decay"](), (0, 1)).success


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        ("[1.0 * jet.g[p] for p in pairs(jet.n)]", "every term of it must have two"),
        ("[jet.ricci[p] ** 0.5 for p in pairs(jet.n)]", "written with"),
        ("[jet.g[p] * jet.d[0, 0, 0] * jet.d[0, 0, 0] for p in pairs(jet.n)]", "tensor"),
    ],
)
def test_a_formula_that_no_kernel_can_be_made_of_is_refused(
    user_file: Any, rate: str, text: str
) -> None:
    module = user_file(
        f"""
        from riemann_lne.flows import LocalFlow
        from riemann_lne.tensors import pairs

        class Wrong(LocalFlow):
            def rate(self, jet):
                return {rate}
        """
    )
    g = rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.1)
    with pytest.raises(KernelUnavailableError, match=text):
        kernels.fused_flow(module.Wrong(), g.grid, 4, np.array(g.packed))


def test_a_subclass_of_a_flow_of_ours_has_its_own_right_hand_side(user_file: Any) -> None:
    """The kernel of the class above it would compute something else."""
    module = user_file(
        """
        from riemann_lne import RicciFlow

        class Doubled(RicciFlow):
            def rhs(self, t, packed, grid, order):
                return 2.0 * super().rhs(t, packed, grid, order)
        """
    )
    g = rl.perturbed_euclidean(rl.Grid.torus((64, 64)), 0.1)
    assert "subclass of RicciFlow" in str(kernels.why_not(module.Doubled(), g.grid, 4, g.packed))
    assert rl.solve_flow(g, module.Doubled(), (0, 1e-4), "rk4").parameters["kernel"] == "plain"


WRONG_FLOWS: list[tuple[str, Any, str]] = [
    ("rhs", lambda self, t, packed: packed, r"rhs\(t, packed, grid, order\): too many"),
    ("rhs", lambda self, t, packed, grid, order: None, "returned a NoneType; return an array"),
    ("rhs", lambda self, t, packed, grid, order: packed[0], r"shape \(8, 8\); return \(3, 8, 8\)"),
    ("rhs", lambda self, t, p, grid, order: p.astype("f4"), "dtype float32; return float64"),
    ("spectral_radius", lambda self, packed, grid, order: None, "is None; return one number"),
    ("spectral_radius", lambda self, packed, grid, order: -4.0, "is -4.0; return .* at least 0"),
]


@pytest.mark.parametrize(("member", "wrong", "message"), WRONG_FLOWS)
def test_a_flow_whose_member_is_wrong_is_told(member: str, wrong: Any, message: str) -> None:
    right = {
        "parabolic": False,
        "rhs": lambda self, t, packed, grid, order: -packed,
        "spectral_radius": lambda self, packed, grid, order: 1.0,
    }
    flow = type("Mine", (), right | {member: wrong})()
    with pytest.raises(RiemannLNEError, match=message) as caught:
        rl.solve_flow(rl.flat_metric(rl.Grid.torus((8, 8))), flow, (0, 1))
    assert "of Mine" in str(caught.value) or "class Decay" in str(caught.value)


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (lambda self, jet: None, "returned a NoneType; return a list of the 3 components"),
        (lambda self, jet: [jet.ricci[0, 0]], "a list of length 1; return a list of the 3"),
        (lambda self: [], r"rate\(jet\): too many"),
    ],
)
def test_a_local_flow_whose_rate_is_wrong_is_told(rate: Any, message: str) -> None:
    """One component in place of three would be spread over all of them."""
    flow = type("Mine", (LocalFlow,), {"rate": rate})()
    g = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.1)
    with pytest.raises(DTypeError, match=message):
        rl.solve_flow(g, flow, (0, 0.01))


def test_a_right_hand_side_without_time_is_told() -> None:
    with pytest.raises(DTypeError, match=r"rhs\(t, y\): too many.*\n\n.*lambda t, y: -y"):
        rl.integrate(lambda y: -y, [1.0], (0, 1))


# ---- an integrator ---------------------------------------------------------------------------

INTEGRATOR = """
    from riemann_lne.integrators import OneStep, Step, register_method

    class Heun(OneStep):
        '''Order 2, with Euler's method for the estimate.'''

        name, order, error_exponent, adaptive = "heun", 2, 2, True

        def stable_step(self, radius):
            return 2.0 / radius if radius > 0 else float("inf")

        def step(self, system, state, dt, estimate):
            k = system(state.t, state.y) if state.rate is None else state.rate
            l = system(state.t + dt, state.y + dt * k)
            error = (dt / 2) * (l - k) if estimate else None
            return Step(state.y + (dt / 2) * (k + l), error=error)

    register_method("heun of a user", Heun)
"""


def test_an_integrator_is_one_object_or_a_registered_name(
    user_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_MAKERS", "_REGISTERED"):  # the name is known to this test alone
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    module = user_file(INTEGRATOR)
    g = rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.2)
    options: dict[str, Any] = {"order": 2, "t_eval": [0.2], "rtol": 1e-5}
    best = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.2), "tsit5", **options)[-1]
    by_object = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.2), module.Heun(), **options)
    by_name = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.2), "heun of a user", **options)
    assert by_object.method == by_name.method == "heun"
    assert np.array_equal(by_object[-1].components, by_name[-1].components)
    assert np.max(np.abs(by_object[-1].components - best.components)) < 1e-4
    assert rl.integrate(lambda t, y: -y, [1.0], (0, 1), module.Heun()).success


def test_an_integrator_without_a_member_is_told_which(user_file: Any) -> None:
    module = user_file("class Idle:\n    name = 'idle'\n    order = 1\n")
    g = rl.flat_metric(rl.Grid.torus((8, 8)))
    with pytest.raises(DTypeError, match=r"step is missing.*\n\n.*OneStep"):
        rl.solve_flow(g, rl.RicciFlow(), (0, 1), module.Idle())


WRONG_STEPS: list[tuple[dict[str, Any], str]] = [
    ({"step": lambda self, system, state, dt: Step(state.y)}, "dt, estimate.: too many"),
    ({"step": lambda self, system, state, dt, e: 1.0 * state.y}, "ndarray; return Step"),
    ({"step": lambda self, system, state, dt, e: None}, "a NoneType; return Step"),
    ({"step": lambda self, system, state, dt, e: Step(state.y.astype("f4"))}, "float32 as y"),
    ({"step": lambda self, system, state, dt, e: Step([1.0])}, "returned a list as y"),
    ({"step": lambda self, system, state, dt, e: Step(np.zeros(7))}, r"y of shape \(7,\)"),
    ({"adaptive": True}, "no error, though adaptive is True"),
    (
        {"adaptive": True, "step": lambda *a: Step(1.0 * a[2].y, error=np.zeros(7))},
        r"error of shape \(7,\); the state",
    ),
    ({"stable_step": lambda self, radius: None}, "returned None; return the longest"),
    ({"stable_step": lambda self, radius: -1.0}, "returned -1.0; return the longest"),
    ({"stable_step": lambda self: 1.0}, r"stable_step\(radius\): too many"),
    ({"memory": lambda self: [1.0]}, r"returned \[1.0\]; return a dictionary"),
    ({"order": 0}, "order of Mine is 0; give a number above 0"),
    ({"name": 3}, "name is 3, not of type str"),
]


@pytest.mark.parametrize(("members", "message"), WRONG_STEPS)
@pytest.mark.parametrize("of_flow", [True, False])
def test_an_integrator_whose_member_is_wrong_is_told(
    members: dict[str, Any], message: str, of_flow: bool, tmp_path: Path
) -> None:
    def step(self: Any, system: Any, state: Any, dt: float, estimate: bool) -> Step:
        return Step(system.update(state.t, state.y, dt, [(1.0, state.y)]))

    method = type("Mine", (OneStep,), {"name": "mine", "step": step} | members)()
    dt = None if method.adaptive else 0.1
    options: dict[str, Any] = {"dt": dt, "checkpoint": tmp_path / "run"}
    g = rl.flat_metric(rl.Grid.torus((8, 8)))
    start: Any = (g, rl.RicciFlow()) if of_flow else (lambda t, y: -y, [1.0])
    solve: Any = rl.solve_flow if of_flow else rl.integrate
    with pytest.raises(RiemannLNEError, match=message):
        solve(*start, (0, 1), method, **options)


def test_a_method_without_estimate_and_limit_needs_a_step() -> None:
    """It would go to the end in one step."""

    class Euler(OneStep):
        name = "euler"

        def step(self, system: Any, state: Any, dt: float, estimate: bool) -> Step:
            return Step(system.update(state.t, state.y, dt, [(1.0, state.y)]))

    g = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.1)
    for arguments in ((g, rl.RicciFlow()), (lambda t, y: -y, [1.0])):
        solve: Any = rl.solve_flow if arguments[0] is g else rl.integrate
        with pytest.raises(InvalidArgumentError, match="and no limit of stability; give dt"):
            solve(*arguments, (0, 1), Euler())


@pytest.mark.parametrize(
    "maker", [lambda system: None, type("Mine", (), {"__init__": lambda s, k: None})]
)
def test_a_maker_that_cannot_be_called_is_refused_with_a_right_one(maker: Any) -> None:
    with pytest.raises(DTypeError, match=r"maker\((system, y)?\).*\n\n    register_method"):
        register_method("of a wrong maker", maker)


def test_a_run_with_an_integrator_object_is_resumed_by_the_same_alone(
    user_file: Any, tmp_path: Path
) -> None:
    from riemann_lne.integrators import RKL2

    g = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.2)
    options: dict[str, Any] = {"dt": 0.01, "checkpoint": tmp_path / "run"}
    rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1), RKL2(5), max_steps=3, **options)
    with pytest.raises(InvalidArgumentError, match=r"RKL2\(5\) there and RKL2\(7\) here"):
        rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1), RKL2(7), resume=True, **options)
    again = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1), RKL2(5), resume=True, **options)
    whole = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1), RKL2(5), dt=0.01)
    assert np.array_equal(again[-1].components, whole[-1].components)


# ---- a claim ---------------------------------------------------------------------------------

CLAIM = """
    import numpy as np
    from riemann_lne import exact
    from riemann_lne_validation.audit import Evidence, Measurement, claim

    def gap(n, order):
        sphere = exact.round_sphere(n)
        g = sphere.field(0.0, sphere.grid(17))
        return float(np.abs(g.ricci(order) - (n - 1) * g.components).max())

    def known_answer(backend, n):
        error = gap(n, 2)
        return Measurement("Ric of the sphere, order 2", error, 0.0, error, 0.5, "truncation")

    @claim("ID", "my notes, Thm 1", quick={"n": 2}, guard=known_answer)
    def my_claim(backend, n):
        '''Round spheres have Ric = (n - 1) g.

        Measured: the largest difference at order 4; predicted: zero.
        '''
        error = gap(n, 4)
        found = Measurement("|Ric - (n - 1) g|", error, 0.0, error, TOLERANCE, "truncation")
        return Evidence(found)
"""


def claim_file(folder: Path, id: str, tolerance: float = 0.05) -> Path:
    path = folder / "my_claims.py"
    text = CLAIM.replace("ID", id).replace("TOLERANCE", str(tolerance))
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _registry_as_it_was() -> Any:
    audit = pytest.importorskip("riemann_lne_validation.audit.frame")
    before, files = audit.known_claims(), dict(audit._FILES)
    yield
    audit._REGISTRY.clear()
    audit._REGISTRY.update(before)
    audit._FILES.clear()
    audit._FILES.update(files)


def verify(*arguments: Any) -> int:
    return int(cli.main(["verify", "--jobs", "1", *map(str, arguments)]) or 0)


def test_a_claim_is_one_function_in_a_file_given_to_verify(tmp_path: Path) -> None:
    path, results = claim_file(tmp_path, "sphere-of-a-user"), tmp_path / "results.json"
    assert verify("--claims", path, "--json", results) == 0
    (record,) = json.loads(results.read_text())
    assert (record["id"], record["verdict"]) == ("sphere-of-a-user", "holds")
    assert record["statement"] == "Round spheres have Ric = (n - 1) g."
    assert record["guard"][0]["statement"] == "Ric of the sphere, order 2"
    source = record["source"]
    # Once more from the record; another file's results are not these.
    seconds = record["seconds"]
    assert verify("--claims", path, "--json", results, "--resume") == 0
    (record,) = json.loads(results.read_text())
    assert record["seconds"] == seconds
    claim_file(tmp_path, "sphere-of-a-user", 1e-9)
    assert verify("--claims", path, "--json", results, "--resume") == 0
    (record,) = json.loads(results.read_text())
    assert record["verdict"] == "does not hold"
    assert record["source"] != source


def test_a_claim_of_a_user_runs_in_processes_of_its_own(tmp_path: Path) -> None:
    from riemann_lne_validation.audit.frame import load_claims
    from riemann_lne_validation.audit.records import Setting
    from riemann_lne_validation.audit.running import run_claims

    path = claim_file(tmp_path, "sphere-elsewhere")
    (claim,) = load_claims([path])
    (outcome, again) = run_claims([claim, claim], Setting(), {}, 2, [path])
    assert str(outcome.verdict) == str(again.verdict) == "holds"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"registers no claim; the least that is right"),
        ("x = 1\n1 / 0\n", r"line 2, ended with ZeroDivisionError"),
        ("def broken(:\n", r"line 1, ended with SyntaxError"),
    ],
)
def test_files_without_a_right_claim_are_refused(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    path = tmp_path / "my_claims.py"
    path.write_text(text)
    assert verify("--claims", path) != 0
    said = capsys.readouterr().err
    assert re.search(message, " ".join(said.split()) + said)
    assert verify("--claims", tmp_path / "none.py") != 0
    assert "cannot read the claims file" in capsys.readouterr().err


def test_the_example_of_the_message_is_right(tmp_path: Path) -> None:
    from riemann_lne_validation.audit.frame import _MINIMAL_FILE, load_claims, run_claim

    path = tmp_path / "example.py"
    path.write_text(textwrap.dedent(_MINIMAL_FILE), encoding="utf-8")
    (claim,) = load_claims([path])
    assert str(run_claim(claim).verdict) == "holds"


def test_a_check_that_returns_something_else_is_told_what_to_return(tmp_path: Path) -> None:
    from riemann_lne_validation.audit.frame import load_claims, run_claim

    path = claim_file(tmp_path, "a-number")
    path.write_text(path.read_text().replace("return Evidence(found)", "return error"))
    (claim,) = load_claims([path])
    outcome = run_claim(claim)
    assert str(outcome.verdict) == "error"
    assert "the check of a-number returned" in outcome.problem
    assert "return Evidence(Measurement(...))" in outcome.problem


def test_a_name_of_the_library_cannot_be_taken(tmp_path: Path) -> None:
    from riemann_lne_validation.audit.frame import known_claims, load_claims

    path = claim_file(tmp_path, "weak-inverse")
    before = known_claims()
    with pytest.raises(InvalidArgumentError, match=r"line 15.*'weak-inverse' is registered twice"):
        load_claims([path])
    assert known_claims() == before
