"""Networks with layers that get no gradient, share a weight, or have no second derivative."""

import pytest
import torch
from torch import nn

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_validation.comparison import Task, registered, runner
from riemann_lne_validation.comparison.measurements import float_gradient, prepare
from riemann_lne_validation.comparison.methods import available_methods
from riemann_lne_validation.comparison.models import build_model
from riemann_lne_validation.comparison.problems import problem_of
from riemann_lne_validation.comparison.protocol import default_arm
from riemann_lne_validation.comparison.runner import RunsFailedError
from riemann_lne_validation.comparison.stored import read_summary
from riemann_lne_validation.comparison.training import train

from .test_tasks import forgotten, run  # noqa: F401  the first one for every test

# One of each that goes its own way between the loss and the weights.
METHODS = (
    "full-precision", "ste", "last-bit", "ste-adapted", "clipped-ste", "lsq", "lne-exact",
    "lne-fisher", "lne-hutchinson", "rf-dnn", "gradient-norm", "damping", "freezing", "cage",
    "lookahead", "binaryrelax", "proxquant", "md-tanh", "fcgrad", "multifc", "ema",
)  # fmt: skip


def images(seed):
    x = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0, 0, 0] > 0).long()
    return {"train": (x[:20], y[:20]), "validation": (x[20:30], y[20:30]), "test": (x[30:], y[30:])}


class Layers(nn.Module):
    """Layers of which one is frozen, one is not used, and two share a weight."""

    def __init__(self, kinds):
        super().__init__()
        self.one, self.two, self.three = (nn.Linear(16, 16) for _ in range(3))
        self.last, self.norm = nn.Linear(16, 3), nn.BatchNorm1d(3)
        if "unused" in kinds:
            self.unused = nn.Linear(5, 5)
        if "frozen" in kinds:
            self.two.requires_grad_(False)
        if "shared" in kinds:
            self.three.weight = self.one.weight

    def forward(self, x):
        x = self.one(x.flatten(1)).relu()
        return self.norm(self.last(self.three(self.two(x).relu()).relu()))


class Attention(nn.Module):
    """Attention between the rows of an image."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))
        self.last, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        q, k, v = self.query(x), self.key(x), self.value(x)
        rows = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.norm(self.last(rows.mean((1, 2))))


def arm(method, model, **settings):
    defaults = {"epochs": 1, "batch_size": 10, "weight_bits": 1}
    registered.register_task(Task("odd", model, images, defaults=defaults))
    return default_arm(method, dataset="odd", **settings)


def trained(arm):
    return train(arm, 0, problem_of(arm).samples(0), {})


@pytest.mark.filterwarnings("ignore:these layers are frozen", "ignore:no gradient, not corrected")
class TestLayersWithoutAGradient:
    """A layer that is frozen or not used stays as it is, and breaks nothing.

    Looked at: all methods at one and two bits, the measurement of the angle, N and P, the probes
    of the curvature, the cost of a step.
    """

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_runs(self, method):
        bits = 2 if method == "lsq" else 1
        settings = arm(method, lambda: Layers({"frozen", "unused", "shared"}), weight_bits=bits)
        before = build_model(settings, 0).state_dict()
        record, model = trained(settings)
        assert record.diverged is None
        assert record.cost > 0
        after = {n.replace("parametrizations.weight.original", "weight"): t
                 for n, t in model.state_dict().items()}  # fmt: skip
        assert not torch.equal(after["one.weight"], before["one.weight"])
        # these move weights beside the gradient: at the start, or to their levels
        if method not in ("last-bit", "ste-adapted", "md-tanh", "binaryrelax", "proxquant", "cage"):
            for name in ("two.weight", "two.bias", "unused.weight"):
                assert torch.equal(after[name], before[name])

    def test_the_list_above_has_a_method_of_every_kind_of_step(self):
        assert set(METHODS) <= set(available_methods())

    def test_the_angle_is_over_the_layers_that_train(self):
        """As in the network without the others, in which the weights are the same."""
        found = {}
        for kinds in ((), ("frozen",), ("frozen", "unused")):
            settings = arm("clipped-ste", lambda kinds=kinds: Layers(kinds), weight_bits=2)
            context = prepare(settings, build_model(settings, 0), 1)
            x, y = problem_of(settings).example()
            found[kinds] = dict(zip(context.latents, float_gradient(context, x, y), strict=True))
            del registered._DATASETS["odd"]
        whole, frozen, both = found.values()
        for name in ("one", "three", "last"):
            assert torch.equal(frozen[name], whole[name])
            assert torch.equal(both[name], whole[name])
        assert bool(whole["two"].any())
        assert not bool(frozen["two"].any())
        assert not bool(both["unused"].any())

    def test_a_network_that_is_frozen_whole_is_refused(self):
        settings = arm("ste", lambda: Layers(()).requires_grad_(False))
        with pytest.raises(
            InvalidArgumentError, match=r"is frozen .*'one', 'two', .*let one train"
        ):
            prepare(settings, build_model(settings, 0), 1)


class TestRunsThatBreakOff:
    """The table has the arms that finished and names the others; the command fails after it.

    Looked at: the table, the JSON file and its reader, the page; an arm of which one seed broke
    off, the reference among them, and every arm.
    """

    @pytest.fixture
    def compared(self, tmp_path, monkeypatch, capsys):
        honest = runner.train

        def of(*broken):
            def sometimes(settings, seed, *args, **kwargs):
                if (settings.label, seed) in broken:
                    raise RuntimeError("no kernel\nfor this <layer>")
                return honest(settings, seed, *args, **kwargs)

            monkeypatch.setattr(runner, "train", sometimes)
            words = ["--methods", "ste", "dorefa", "ewgs", "--seeds", 2, "--epochs", 1]
            words += ["--jobs", 1, "--out", tmp_path / "runs", "--json", tmp_path / "r.json"]
            with pytest.raises(RunsFailedError) as caught:
                run(*words, "--report", tmp_path / "page")
            return str(caught.value), capsys.readouterr().out

        return of

    def test_the_others_are_compared(self, compared, tmp_path):
        message, out = compared(("dorefa", 1))
        assert "1 of 6 runs broke off" in message
        assert "dorefa broke off: seed 1: for this <layer>" in out
        summary = read_summary(tmp_path / "r.json")
        assert [a.label for a in summary.arms] == ["ste", "ewgs"]
        assert [(c.arm, c.reference) for c in summary.comparisons] == [("ewgs", "ste")]
        assert summary.broken == {"dorefa": "seed 1: for this <layer>"}
        page = (tmp_path / "page" / "index.html").read_text()
        assert "broke off: seed 1: for this &lt;layer&gt;" in page

    def test_without_its_reference_nothing_is_compared(self, compared, tmp_path):
        _, out = compared(("ste", 0), ("ste", 1))
        assert "Nothing to compare: the other arm of every pair broke off." in out
        summary = read_summary(tmp_path / "r.json")
        assert [a.label for a in summary.arms] == ["dorefa", "ewgs"]
        assert summary.comparisons == ()

    def test_without_any_arm_there_is_no_table(self, compared, tmp_path):
        message, out = compared(("ste", 0), ("dorefa", 1), ("ewgs", 0))
        assert "3 of 6 runs broke off" in message
        assert out == ""
        assert not (tmp_path / "r.json").exists()


class TestAttention:
    """Its fused kernel has no second derivative: methods that need one take the plain form."""

    @pytest.mark.parametrize(
        ("method", "options"),
        [("gradient-norm", {}), ("lne-hutchinson", {}), ("rf-dnn", {"derivative": "second"})],
    )
    def test_methods_that_differentiate_twice(self, method, options):
        record, _ = trained(arm(method, Attention, options=options))
        assert record.diverged is None

    def test_the_others_keep_the_kernel_that_they_had(self, monkeypatch):
        taken = []
        whole = nn.functional.scaled_dot_product_attention

        def seen(*tensors):
            taken.append(torch.backends.cuda.flash_sdp_enabled())
            return whole(*tensors)

        monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", seen)
        for method in ("ste", "rf-dnn"):
            trained(arm(method, Attention))
            assert all(taken)
            del registered._DATASETS["odd"]
        trained(arm("gradient-norm", Attention, angle_every=0))
        assert not all(taken)
