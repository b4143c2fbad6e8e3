"""The corrector in training loops of plain torch, each against a loop written out by hand."""

import copy
import importlib.util
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

import riemann_lne as rl  # noqa: E402
from riemann_lne.errors import InvalidArgumentError, MissingDependencyError  # noqa: E402
from riemann_lne_torch import LNECorrector, QuantConfig, quantize_  # noqa: E402
from riemann_lne_torch.logging import (  # noqa: E402
    StatisticsLogger,
    TensorBoardReport,
    statistics_dict,
)
from riemann_lne_torch.quantization import latent_parameters  # noqa: E402

nn = torch.nn
TAU, STEPS = 0.3, 4
# Equal operations in another order: some rounding errors a step. In float64 weights of size 1
# differ by some 1e-16; through bfloat16 products a difference of one rounding could grow to
# 2^-8 of a gradient, so float32 runs are compared where the forward pass is the same.
CLOSE = {torch.float64: 1e-13, torch.float32: 2e-6}


def make(dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 3)
    )
    quantize_(model.to(dtype), QuantConfig(weight_bits=1, skip=("5",)))
    x = torch.randn(STEPS, 8, 2, 6, dtype=dtype)
    y = torch.randn(STEPS, 8, 3, dtype=dtype)
    return model, x, y


def correct_by_hand(model, tau=TAU):
    """What Eq. 5 says, layer by layer, with the core's solve."""
    for p in latent_parameters(model):
        x = p.detach().reshape(-1)
        scale = rl.auto_tau(x, 0.5) if tau == "auto" else tau
        p.grad.copy_(rl.LNEMetric(scale).solve(x, p.grad.reshape(-1)).view_as(p))


def by_hand(model, optimizer, x, y, *, tau=TAU, clip=None):
    for xs, ys in zip(x, y, strict=True):
        optimizer.zero_grad()
        (model(xs) - ys).square().mean().backward()
        if tau is not None:
            correct_by_hand(model, tau)
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, **options)


def same(model, other, tolerance=None):
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=tolerance or CLOSE[p.dtype])


def distance(model, other):
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


@pytest.fixture(scope="module")
def uncorrected():
    """What the same training gives without correction: far from all that is compared."""
    model, x, y = make()
    by_hand(model, sgd(model), x, y, tau=None)
    return model


@pytest.mark.parametrize("tau", [TAU, "auto"])
@pytest.mark.parametrize(
    "optimizer",
    [
        sgd,
        lambda model: torch.optim.Adam(model.parameters(), lr=0.01),
        lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, foreach=True),
    ],
    ids=["sgd", "adam", "adamw-foreach"],
)
def test_a_plain_loop(optimizer, tau, uncorrected):
    model, x, y = make()
    reference = copy.deepcopy(model)
    by_hand(reference, optimizer(reference), x, y, tau=tau)
    opt = optimizer(model)
    LNECorrector(model, tau).attach(opt)
    for xs, ys in zip(x, y, strict=True):
        opt.zero_grad()
        (model(xs) - ys).square().mean().backward()
        opt.step()
    # Adam divides by the root of a sum of squares: where a gradient is small, errors grow
    same(model, reference, 1e-13 if optimizer is sgd else 1e-9)
    assert distance(model, uncorrected) > 1e-4


@pytest.mark.parametrize("pieces", [2, 4])
@pytest.mark.parametrize("hook", [True, False], ids=["hook", "by-hand"])
def test_accumulated_gradients_are_those_of_one_batch(pieces, hook, uncorrected):
    model, x, y = make()
    reference = copy.deepcopy(model)
    by_hand(reference, sgd(reference), x, y)
    optimizer = sgd(model)
    corrector = LNECorrector(model, TAU)
    if hook:
        corrector.attach(optimizer)
    for xs, ys in zip(x, y, strict=True):
        optimizer.zero_grad()
        for part, target in zip(xs.chunk(pieces), ys.chunk(pieces), strict=True):
            ((model(part) - target).square().mean() / pieces).backward()
        if not hook:
            corrector.correct_()
        optimizer.step()
    same(model, reference)
    assert distance(model, uncorrected) > 1e-4


def test_clipping_comes_after():
    model, x, y = make()
    reference, wrong = copy.deepcopy(model), copy.deepcopy(model)
    clip = 0.1
    by_hand(reference, sgd(reference), x, y, clip=clip)
    optimizer, corrector = sgd(model), LNECorrector(model, TAU)
    for xs, ys in zip(x, y, strict=True):
        optimizer.zero_grad()
        (model(xs) - ys).square().mean().backward()
        corrector.correct_()
        assert nn.utils.clip_grad_norm_(model.parameters(), clip) > clip
        optimizer.step()
    same(model, reference)
    optimizer = sgd(wrong)
    LNECorrector(wrong, TAU).attach(optimizer)
    for xs, ys in zip(x, y, strict=True):  # clipped first: another training
        optimizer.zero_grad()
        (wrong(xs) - ys).square().mean().backward()
        nn.utils.clip_grad_norm_(wrong.parameters(), clip)
        optimizer.step()
    assert distance(wrong, reference) > 1e6 * CLOSE[torch.float64]


class TestMixedPrecision:
    """Autocast and GradScaler, in float32 with products in bfloat16."""

    @staticmethod
    def loss(model, x, y):
        with torch.autocast("cpu", torch.bfloat16):
            result = model(x)
        return (result.float() - y).square().mean()

    def reference(self, clip=None, scale=1.0, skip=()):
        """By hand, with the loss scaled, as rounding to bfloat16 is the same at powers of two."""
        model, x, y = make(torch.float32)
        optimizer = sgd(model)
        for step, (xs, ys) in enumerate(zip(x, y, strict=True)):
            if step in skip:
                continue
            optimizer.zero_grad()
            (self.loss(model, xs, ys) * scale).backward()
            for p in model.parameters():
                p.grad /= scale
            correct_by_hand(model)
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        return model

    def test_autocast(self):
        model, x, y = make(torch.float32)
        optimizer = sgd(model)
        LNECorrector(model, TAU).attach(optimizer)
        for xs, ys in zip(x, y, strict=True):
            optimizer.zero_grad()
            loss = self.loss(model, xs, ys)
            loss.backward()
            optimizer.step()
        same(model, self.reference())

    @pytest.mark.parametrize("order", ["unscale-correct-clip", "correct-unscale-clip", "hook"])
    def test_grad_scaler(self, order):
        model, x, y = make(torch.float32)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        optimizer = sgd(model)
        corrector = LNECorrector(model, TAU)
        clip = None if order == "hook" else 0.1
        if order == "hook":
            corrector.attach(optimizer)
        for xs, ys in zip(x, y, strict=True):
            optimizer.zero_grad()
            scaler.scale(self.loss(model, xs, ys)).backward()
            if order == "unscale-correct-clip":
                scaler.unscale_(optimizer)
                corrector.correct_()
            elif order == "correct-unscale-clip":  # the correction is linear
                corrector.correct_()
                scaler.unscale_(optimizer)
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            scaler.step(optimizer)
            scaler.update()
        same(model, self.reference(clip, scale=1024.0))

    def test_a_fused_optimizer_shows_scaled_gradients(self):
        model, x, y = make(torch.float32)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        optimizer = sgd(model, fused=True)
        corrector = LNECorrector(model, TAU)
        seen = []
        original = corrector.correct_
        corrector.correct_ = lambda: (seen.append(model[3].bias.grad.norm()), original())
        corrector.attach(optimizer)
        for xs, ys in zip(x, y, strict=True):
            optimizer.zero_grad()
            scaler.scale(self.loss(model, xs, ys)).backward()
            scaled = model[3].bias.grad.norm()
            scaler.step(optimizer)
            scaler.update()
            assert seen[-1] == scaled
        same(model, self.reference(scale=1024.0))

    @pytest.mark.parametrize("early", [True, False], ids=["before-unscale", "after-unscale"])
    @pytest.mark.parametrize("bad", [math.inf, math.nan])
    def test_a_step_with_infinite_gradients_is_skipped(self, bad, early):
        model, x, y = make(torch.float32)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        optimizer = sgd(model)
        corrector = LNECorrector(model, TAU)
        scales = []
        for step, (xs, ys) in enumerate(zip(x, y, strict=True)):
            optimizer.zero_grad()
            scaler.scale(self.loss(model, xs, ys)).backward()
            if step == 1:  # in a layer that is corrected
                latent_parameters(model)[0].grad[0, 0, 0] = bad
            before = [p.detach().clone() for p in model.parameters()]
            if early:
                corrector.correct_()
            scaler.unscale_(optimizer)
            if not early:
                corrector.correct_()
            if step == 1:
                # the other layer is corrected, this one is left alone
                assert not corrector.statistics["0"].corrected
                assert corrector.statistics["3"].corrected
            scaler.step(optimizer)
            scaler.update()
            scales.append(scaler.get_scale())
            moved = any(
                not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)
            )
            assert moved == (step != 1)
        assert scales == [1024.0, 512.0, 512.0, 512.0]
        same(model, self.reference(scale=1024.0, skip=(1,)))


class TestCompile:
    """torch.compile of the model and of the optimiser's step."""

    # torch's own: its compiler makes instances of what it says should have none
    pytestmark = [  # noqa: RUF012
        pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),
        pytest.mark.filterwarnings("ignore:<class 'torch.autograd.function.Function'> should not"),
    ]

    @pytest.fixture(autouse=True)
    def fresh_cache(self):
        torch.compiler.reset()
        yield
        torch.compiler.reset()

    @pytest.mark.parametrize(
        "backend",
        [
            "aot_eager",
            pytest.param(
                "inductor",
                marks=[
                    pytest.mark.slow,
                    pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler"),
                ],
            ),
        ],
    )
    @pytest.mark.parametrize("what", ["model", "step", "both"])
    def test_compiled(self, what, backend, uncorrected):
        model, x, y = make()
        reference = copy.deepcopy(model)
        by_hand(reference, sgd(reference), x, y)
        optimizer = sgd(model)
        corrector = LNECorrector(model, TAU)
        corrector.attach(optimizer)
        steps = []
        StatisticsLogger(corrector, lambda _, step: steps.append(step)).attach(optimizer)
        forward = torch.compile(model, backend=backend) if what != "step" else model
        step = optimizer.step
        if what != "model":
            step = torch.compile(optimizer.step, backend=backend)
        for xs, ys in zip(x, y, strict=True):
            optimizer.zero_grad()
            (forward(xs) - ys).square().mean().backward()
            step()
        assert steps == list(range(STEPS))
        same(model, reference, 1e-12 if backend == "inductor" else None)
        assert distance(model, uncorrected) > 1e-4


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).with_name("distributed_training.py")
    spec = importlib.util.spec_from_file_location("distributed_training", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_processes(name, world, folder):
    """The results of a script in each of its processes."""
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
    path = Path(__file__).with_name(name)
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", path, str(rank), str(folder), str(world)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        errors = [process.communicate(timeout=300)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world, errors
    return [torch.load(folder / f"results-{r}.pt") for r in range(world)]


@pytest.fixture(scope="module")
def results(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    return run_processes("distributed_training.py", script.WORLD, folder)


def same_as_one(found, kind, name):
    """Parameters and statistics are those of one process, and not those without correction."""
    value, one = found[kind, name], found["one", name]
    plain = found.get(("plain", name), found.get("plain"))
    largest = 0.0
    assert set(value["parameters"]) == set(one["parameters"])
    for key, p in one["parameters"].items():
        torch.testing.assert_close(value["parameters"][key], p, rtol=0, atol=1e-14)
        largest = max(largest, float((p - plain["parameters"][key]).abs().max()))
    assert largest > 1e-4
    assert set(value["statistics"]) == set(one["statistics"])
    for layer, told in one["statistics"].items():
        assert value["statistics"][layer] == pytest.approx(told, rel=1e-9, abs=1e-11)


def check_meshes(results, shapes):
    """All that `mesh_training.meshes` found, in every process."""
    for found in results:
        for shape, placements in shapes.items():
            assert found["placements", shape] == placements
        compared = [key for key in found if key != "plain" and key[0] not in ("one", "placements")]
        assert {key[0] for key in compared} == {*shapes, "tensor parallel"}
        assert len(compared) == 11 * len(shapes) + 2
        for key in compared:
            same_as_one(found, *key)


class TestDistributed:
    """DDP and FSDP2 on two processes with gloo, uneven shards, equal to one process."""

    def test_the_shards_are_uneven_and_one_is_empty(self, results):
        assert [r["rows"] for r in results] == [[3, 2, 1], [2, 1, 0]]

    @pytest.mark.parametrize("kind", ["ddp", "fsdp"])
    def test_the_training_is_that_of_one_process(self, kind, script, results):
        for options in script.CASES + script.WITHOUT_STATISTICS:
            one = results[0][script.key("one", options)]["parameters"]
            plain = results[0]["plain"]["parameters"]
            assert any(float((one[n] - plain[n]).abs().max()) > 1e-4 for n in one), options
            for result in results:
                found = result[script.key(kind, options)]["parameters"]
                assert set(found) == set(one)
                for name, value in one.items():
                    torch.testing.assert_close(found[name], value, rtol=0, atol=1e-14)

    @pytest.mark.parametrize("kind", ["ddp", "fsdp"])
    def test_the_statistics_are_those_of_one_process(self, kind, script, results):
        for options in script.CASES:
            one = results[0][script.key("one", options)]["statistics"]
            for result in results:
                found = result[script.key(kind, options)]["statistics"]
                assert set(found) == set(one) == {"0", "2", "4"}
                for layer, values in one.items():
                    # |d|^2 of a small change comes out of differences, with half of the digits
                    assert found[layer] == pytest.approx(values, rel=1e-9, abs=1e-11)

    def test_the_collectives(self, script, results):
        rounds = {"lne": 1, "flowed": 2, "hessian": 1}
        to_tell = {"lne": 0, "flowed": 1, "hessian": 2}
        for result in results:
            for options in script.CASES + script.WITHOUT_STATISTICS:
                count = result[script.key("fsdp", options)]["collectives"]
                assert result[script.key("ddp", options)]["collectives"] == {}
                told, metric = options.get("statistics", True), options["metric"]
                if options["block"] == "channel":  # whole on a process: only to tell of it
                    assert count == ({"c10d.allgather_": 1} if told else {}), options
                    continue
                known = rounds[metric] + (to_tell[metric] if told else 0)
                if options["tau"] == "auto":  # one to predict tau, some to find it
                    assert set(count) == {"c10d.allreduce_"}
                    assert known < count["c10d.allreduce_"] <= known + 5, options
                else:
                    assert count == {"c10d.allreduce_": known}, options

    def test_fsdp_over_tensor_parallelism(self, results):
        shapes = {(1, 2): [["_S(0, 2)", "S(0)"], ["S(0)", "S(1)"], ["S(0)"]]}
        check_meshes([result["mesh"] for result in results], shapes)

    @pytest.mark.slow
    def test_fsdp_over_tensor_parallelism_on_four_processes(self, tmp_path):
        shapes = {
            (2, 2): [["_S(0, 2)", "S(0)"], ["S(0)", "S(1)"], ["S(0)"]],
            (4, 1): [["S(0)", "S(0)"], ["S(0)", "S(1)"], ["S(0)"]],
        }
        check_meshes(run_processes("mesh_training.py", 4, tmp_path), shapes)

    @pytest.mark.parametrize("kind", ["ddp", "fsdp"])
    @pytest.mark.parametrize("tau", [0.1, "auto"])
    def test_layers_that_share_a_weight(self, kind, tau, results):
        for result in results:
            assert set(result["tied"][kind, tau]["statistics"]) == {"0", "4"}
            same_as_one(result["tied"], kind, tau)

    def test_a_gate_keeps_replicas_equal(self, results):
        """N is that of all processes; each by itself would gate its own replica."""
        for kind, equal in (("gated", True), ("gated alone", False)):
            first, second = (result[kind] for result in results)
            assert first["gated"] == second["gated"] == 1.0
            pairs = zip(first["weights"], second["weights"], strict=True)
            assert all(torch.equal(p, q) for p, q in pairs) == equal

    REFUSALS = {  # noqa: RUF012
        "channels cut by FSDP2": r"layer 'weight': sharded along .*use block='layer'",
        "channels cut by both": r"layer '2': sharded along axes \[0, 1\].*use block='layer'",
        "partial sums": "layer 'w': its placement .* redistribute the parameter",
        "gradient of another layout": "layer 'w': its gradient is not sharded as the parameter is",
        "an optimiser made before": "before the model was quantised, moved or sharded",
        "an LNE estimator": "layer '0': the LNE estimators need whole weights.*use LNECorrector",
        "an LNE estimator by hand": "LNE estimators need whole weights .* use LNECorrector",
        "quantize_": "Quantise before fully_shard",
        "dequantize_": "dequantize_: the model is sharded .* full state dict",
        "finalize_": "finalize_: the model is sharded .* full state dict",
        "regulariser": "layer '0' is sharded; .*DistributedDataParallel",
        "FCGrad": "FCGrad needs whole weights .*use DistributedDataParallel",
        "MultiFC": "MultiFC needs whole weights .*use DistributedDataParallel",
        "FSDP1": r"FSDP1.* use fully_shard \(FSDP2\)",
        "FSDP1's module": r"layer '0': .*FSDP1.* use fully_shard \(FSDP2\)",
        "FSDP1's parameters": r"layer 'parameter 0': .*FSDP1.* use fully_shard \(FSDP2\)",
    }

    def test_sharded_models_are_refused(self, results):
        """All that is refused, before a gradient is changed; FSDP1 with and without own weights."""
        for result in results:
            seen = set()
            for name, message in result["refusals"].items():
                kind = name.partition(", ")[0]
                seen.add(kind)
                assert message.startswith("InvalidArgumentError: "), name
                assert re.search(self.REFUSALS[kind], message), (name, message)
            assert seen == set(self.REFUSALS)


class TestLogging:
    """Statistics for a dictionary, a callback, a writer."""

    def train(self, **options):
        model, x, y = make()
        optimizer, corrector = sgd(model), LNECorrector(model, target=0.3)
        corrector.attach(optimizer)
        seen = []
        logger = StatisticsLogger(corrector, lambda *a: seen.append(a), **options)
        handle = logger.attach(optimizer)
        for xs, ys in zip(x, y, strict=True):
            optimizer.zero_grad()
            (model(xs) - ys).square().mean().backward()
            optimizer.step()
        return corrector, seen, handle, optimizer

    def test_what_is_reported(self):
        corrector, seen, handle, optimizer = self.train(every=3, prefix="run")
        assert [step for _, step in seen] == [0, 3]
        values = seen[-1][0]
        assert set(values) == {
            f"run/{layer}/{name}"
            for layer in ("0", "3")
            for name in (
                "tau", "norm2", "condition", "relative_change", "angle", "indefinite", "corrected"
            )
        }  # fmt: skip
        assert values["run/3/norm2"] == corrector.statistics["3"].norm2
        assert values["run/3/norm2"] == pytest.approx(0.3)
        assert seen[0][0]["run/3/tau"] != values["run/3/tau"]
        handle.remove()
        for _ in range(3):
            optimizer.step()
        assert len(seen) == 2

    def test_names_and_values_that_are_not_there(self):
        p = torch.ones(3, requires_grad=True)
        p.grad = torch.ones(3)
        corrector = LNECorrector([("a", p)], metric="flowed")
        assert statistics_dict(corrector) == {}
        corrector.correct_()
        assert "a/tau" in statistics_dict(corrector, "")
        assert "lne/a/condition" not in statistics_dict(corrector)
        corrector = LNECorrector([("a", p)], block="weight")
        corrector.correct_()
        assert "lne/a/tau" not in statistics_dict(corrector)
        assert all(math.isfinite(v) for v in statistics_dict(corrector).values())

    def test_a_given_step_counts_on(self):
        corrector, seen, *_ = self.train()
        logger = StatisticsLogger(corrector, lambda *a: seen.append(a), every=10)
        logger.log(step=20)
        assert seen[-1][1] == 20
        logger.log()
        assert logger.step == 22
        assert seen[-1][1] == 20

    def test_a_writer(self, monkeypatch):
        written = []

        class Writer:
            def add_scalar(self, name, value, step):
                written.append((name, value, step))

        TensorBoardReport(Writer())({"a": 1.0, "b": 2.0}, 4)
        assert written == [("a", 1.0, 4), ("b", 2.0, 4)]
        with pytest.raises(InvalidArgumentError, match="got int"):
            TensorBoardReport(3)
        monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
        monkeypatch.setitem(sys.modules, "tensorboard", None)
        with pytest.raises(MissingDependencyError, match="tensorboard, which is not installed"):
            TensorBoardReport("folder")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"every": 0}, "every = 0; give a whole number, at least 1"),
            ({"every": True}, "every = True; give a whole number"),
            ({"report": 3}, "TensorBoardReport"),
            ({"statistics": False}, "statistics=True"),
        ],
    )
    def test_bad_options(self, options, message):
        model, *_ = make()
        corrector = LNECorrector(model, statistics=options.pop("statistics", True))
        report = options.pop("report", print)
        with pytest.raises(InvalidArgumentError, match=message):
            StatisticsLogger(corrector, report, **options)
