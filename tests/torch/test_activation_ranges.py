"""Ranges of quantised inputs: of a batch, running, learned; saved, resumed, exported, spread."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from riemann_lne.errors import InvalidArgumentError, UnknownNameError  # noqa: E402
from riemann_lne_torch import QuantConfig, dequantize_, finalize_, quantize_  # noqa: E402
from riemann_lne_torch.estimators import (  # noqa: E402  # noqa: E402
    EWGS,
    RDFS,
    STE,
    ClippedSTE,
    DoReFa,
    Site,
    StackedSigmoid,
    estimate,
)
from riemann_lne_torch.quantizers import ActivationQuantizer, quantize_uniform  # noqa: E402

KEPT = ["running", "learned"]


def make(kind, scale="max", bits=2):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    config = QuantConfig(
        weight_bits=2, activation_bits=bits, activation_range=kind, activation_scale=scale
    )
    return quantize_(model, config)


def batch(seed):
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))


def test_a_running_range_is_a_running_mean_of_the_largest():
    quantizer = ActivationQuantizer(2, range="running", momentum=0.25)
    for x, want in ((1.0, 1.0), (3.0, 1.5), (0.5, 1.25)):
        quantizer(torch.tensor([x, -0.1]))
        assert float(quantizer.range) == want
    quantizer.eval()(torch.tensor([9.0]))
    assert float(quantizer.range) == 1.25
    quantizer.train()(torch.tensor([torch.inf]))
    assert float(quantizer.range) == 1.25


@pytest.mark.parametrize("scale", ["none", "max"])
@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("kind", KEPT)
def test_value_and_gradient(kind, bits, scale):
    """Against the formula; that of r by autograd with the rounding error held constant."""
    quantizer = ActivationQuantizer(bits, STE(), scale, kind)
    with torch.no_grad():
        quantizer.range.fill_(1.5)
    quantizer.started = True
    quantizer.momentum = 1e-12  # the range stays
    x = torch.tensor([[-4.0, -1.2, -0.3, 0.1], [0.6, 1.49, 1.51, 3.0]], requires_grad=True)
    grad = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    q = quantizer(x)
    q.backward(grad)
    r, other = torch.tensor(1.5, requires_grad=True), x.detach().clone().requires_grad_()
    u = (other / r).clamp(-1, 1)
    level = u.detach().sign() if bits == 1 else quantize_uniform(u.detach(), bits, 1.0)
    want = u + (level - u).detach()
    want = want * r if scale == "max" else want
    want.backward(grad)
    torch.testing.assert_close(q, want)
    torch.testing.assert_close(x.grad, other.grad)
    if kind == "learned":
        share = math.sqrt(4 * (2**bits - 1) / 2)
        torch.testing.assert_close(quantizer.range.grad[0], r.grad / share)


@pytest.mark.parametrize(
    "estimator", [DoReFa(), EWGS(0.5), RDFS(), StackedSigmoid(), ClippedSTE(), STE()]
)
def test_estimators_with_a_range_are_those_of_a_tensor_that_reaches_it(estimator):
    u = torch.tensor([-0.8, -0.1, 0.2, 0.5], dtype=torch.float64)
    whole = torch.cat([u, torch.ones(1, dtype=torch.float64)])
    results = []
    for w, largest in ((u, 1.0), (whole, None)):
        leaf = w.clone().requires_grad_()
        q = estimate(leaf, estimator, Site(bits=2, largest=largest))
        q.sum().backward()
        results.append((q.detach()[:4], leaf.grad[:4]))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", KEPT)
class TestOfModels:
    def test_evaluation_of_a_sample_does_not_depend_on_its_batch(self, kind):
        model = make(kind)
        model(batch(1))
        model.eval()
        x = batch(2)
        assert torch.equal(model(x)[:1], model(x[:1]))

    def test_it_resumes_to_the_bit(self, kind):
        def train(model, optimizer, seed):
            for i in range(3):
                optimizer.zero_grad()
                model(batch(seed + i)).square().sum().backward()
                optimizer.step()

        def optimizer_of(model):
            return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

        model = make(kind)
        optimizer = optimizer_of(model)
        train(model, optimizer, 0)
        other = make(kind)
        again = optimizer_of(other)
        other.load_state_dict(model.state_dict())
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        before = model[0].activation_quantizer.range.detach().clone()
        train(model, optimizer, 10)
        train(other, again, 10)
        assert not torch.equal(before, model[0].activation_quantizer.range)
        for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)

    def test_checkpoints_of_models_without_ranges_load_and_back(self, kind):
        model, plain = make(kind), make("batch")
        model(batch(1))
        kept = model[0].activation_quantizer.range.detach().clone()
        model.load_state_dict(plain.state_dict())
        assert torch.equal(model[0].activation_quantizer.range, kept)
        plain.load_state_dict(model.state_dict())
        dequantize_(plain)
        model.load_state_dict(plain.state_dict())

    def test_finalised_and_exported_it_gives_the_same(self, kind):
        model = make(kind)
        with pytest.raises(InvalidArgumentError, match="layer '0': the range of its input is not"):
            finalize_(copy.deepcopy(model))
        model(batch(1))
        x = batch(3)
        want = model.eval()(x)
        finalize_(model)
        assert torch.equal(model(x), want)
        assert torch.equal(model.train()(x), want)  # it moves no range any more
        program = torch.export.export(model.eval(), (x,))
        assert torch.equal(program.module()(x), want)

    def test_zeros_and_empty_batches(self, kind):
        model = make(kind)
        model(torch.zeros(2, 4))
        assert float(model[0].activation_quantizer.range.detach()) == 0.0  # nothing is known yet
        assert model(torch.zeros(0, 4)).shape == (0, 2)
        assert torch.isfinite(model(batch(1))).all()

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:.*autograd.function.Function.*:DeprecationWarning")
    def test_compiled(self, kind):
        model = make(kind)
        model(batch(1))
        other = copy.deepcopy(model)
        compiled = torch.compile(other, backend="aot_eager")
        for m in (model, compiled):
            m(batch(2)).square().sum().backward()
        for a, b in zip(model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad)


def test_a_learned_range_that_became_negative_counts_by_its_size():
    torch.manual_seed(0)
    config = QuantConfig(
        activation_bits=2, activation_range="learned", activation_scale="max", weight_scale="mean"
    )
    layer = quantize_(nn.Linear(4, 2), config)
    x = torch.randn(3, 4)
    layer(x)
    want = layer.eval()(x).detach()
    with torch.no_grad():
        layer.activation_quantizer.range.neg_()
    assert torch.equal(layer(x), want)
    assert torch.equal(finalize_(layer)(x), want)


def test_what_makes_no_sense():
    with pytest.raises(UnknownNameError, match="range of activations 'fixed'"):
        ActivationQuantizer(2, range="fixed")
    with pytest.raises(InvalidArgumentError, match="momentum"):
        ActivationQuantizer(2, range="running", momentum=0.0)
    with pytest.raises(InvalidArgumentError, match="has a scale of its own, and range='running'"):
        ActivationQuantizer(2, "rms", range="running")


def _spread(rank, port, kind, queue):
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    model = DistributedDataParallel(make(kind))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for i in range(4):
        optimizer.zero_grad()
        model((1 + rank) * batch(2 * i + rank)).square().sum().backward()
        optimizer.step()
    model(batch(0))  # the buffers of process 0 come to the others before a forward pass
    state = {k: v.tolist() for k, v in model.module.state_dict().items() if "original" in k}
    r = float(model.module[0].activation_quantizer.range.detach())
    queue.put((rank, r, str(state)))
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KEPT)
def test_replicas_keep_one_range(kind):
    import socket

    import torch.multiprocessing as mp

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_spread, args=(r, port, kind, queue)) for r in range(2)]
    for p in processes:
        p.start()
    found = sorted(queue.get(timeout=120) for _ in processes)
    for p in processes:
        p.join(60)
        assert p.exitcode == 0
    assert found[0][2] == found[1][2]
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-6 if kind == "learned" else 0.5)
