"""Value and gradient of every estimator, against formulas written out here on their own."""

import copy
import math
import textwrap
import warnings

import pytest

torch = pytest.importorskip("torch")

from riemann_lne.errors import (  # noqa: E402
    DTypeError,
    InvalidArgumentError,
    MissingMemberError,
    NotPositiveDefiniteError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne.lne import FlowedLNEMetric, LNEMetric, auto_tau  # noqa: E402
from riemann_lne_torch.estimators import (  # noqa: E402
    BWN,
    EDE,
    EWGS,
    LNE,
    LSQ,
    RDFS,
    SEQ,
    STE,
    ClippedSTE,
    DoReFa,
    DualLNE,
    Estimator,
    FlowedLNE,
    HessianLNE,
    Hestia,
    QuEST,
    ReinMax,
    ReSTE,
    RMSLevels,
    Site,
    StackedSigmoid,
    Standardized,
    Ternary,
    available_estimators,
    estimate,
    get_estimator,
    register_estimator,
)
from riemann_lne_torch.quantization import QuantConfig, quantize_, set_progress  # noqa: E402
from riemann_lne_torch.quantize.estimators.base import example  # noqa: E402
from riemann_lne_torch.quantize.estimators.registry import _REGISTRY  # noqa: E402
from riemann_lne_torch.quantizers import (  # noqa: E402
    WeightQuantizer,
    quantize_binary,
    quantize_tensor,
)

# torch.compile instantiates an autograd function while it traces, and PyTorch warns of that
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
NAMES = sorted(_REGISTRY)  # before any test registers more


def bits_of(name, wanted=(1,)):
    """The numbers of bits, of those wanted, that an estimator knows; 2 if it knows none of them."""
    estimator = get_estimator(name)
    return [bits for bits in wanted if estimator.admits(bits)] or [2]


TIGHT = {"rtol": 1e-12, "atol": 1e-14}  # double precision, a few operations


def tensors(*shape, dtype=torch.float64, seed=0):
    """Latent weights with magnitudes on both sides of 1, and a gradient."""
    generator = torch.Generator().manual_seed(seed)
    w, grad = torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(dtype)
    return w, grad


def gradient(estimator, w, grad, **site):
    w = w.clone().requires_grad_()
    q = estimate(w, estimator, Site(**site))
    q.backward(grad)
    return q.detach(), w.grad


def autograd(surrogate, w, grad):
    """Gradient of a smooth surrogate by autograd."""
    w = w.clone().requires_grad_()
    surrogate(w).backward(grad)
    return w.grad


class TestFormulas:
    def test_ste(self):
        w, grad = tensors(4, 5)
        q, result = gradient(STE(), w, grad)
        assert torch.equal(q, quantize_binary(w))
        assert torch.equal(result, grad)

    @pytest.mark.parametrize("bound", [1.0, 0.3])
    def test_clipped_ste(self, bound):
        w, grad = tensors(4, 5)
        _, result = gradient(ClippedSTE(bound), w, grad)
        assert torch.equal(result, torch.where(w.abs() <= bound, grad, 0.0))
        assert 0 < (result == 0).sum() < w.numel()

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_dorefa(self, bits):
        w, grad = tensors(4, 5)
        q, result = gradient(DoReFa(), w, grad, bits=bits)
        assert torch.equal(q, quantize_tensor(torch.tanh(w), bits))
        largest = torch.tanh(w).abs().max()
        expected = autograd(lambda z: torch.tanh(z) / largest, w, grad)
        torch.testing.assert_close(result, expected, **TIGHT)
        # the same value the other way round: 2 Q(A(w)) - 1 with A in [0, 1]
        steps = 2**bits - 1
        a = DoReFa().transformed(w, Site(bits=bits))
        assert 0.0 <= a.min() <= a.max() <= 1.0
        torch.testing.assert_close(2 * torch.round(steps * a) / steps - 1, q, **TIGHT)

    @pytest.mark.parametrize("block", ["layer", "channel"])
    def test_bwn(self, block):
        w, grad = tensors(4, 5)
        q, result = gradient(BWN(block), w, grad)
        a = w.abs().mean() if block == "layer" else w.abs().mean(dim=1, keepdim=True)
        torch.testing.assert_close(q, a * quantize_binary(w), **TIGHT)
        torch.testing.assert_close(result, a * torch.where(w.abs() <= 1, grad, 0.0), **TIGHT)

    def test_bwn_by_channel_follows_the_channel_axis(self):
        w, grad = tensors(4, 5)
        q, result = gradient(BWN("channel"), w, grad, channel_axis=1)
        q_t, result_t = gradient(BWN("channel"), w.T.contiguous(), grad.T.contiguous())
        torch.testing.assert_close(q, q_t.T, **TIGHT)
        torch.testing.assert_close(result, result_t.T, **TIGHT)

    @pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize("differentiate", [False, True])
    def test_ede(self, progress, differentiate):
        w, grad = tensors(4, 50)
        t = 0.1 * 100**progress
        k = max(1 / t, 1)

        def standardised(z):
            return (z - z.mean(dim=1, keepdim=True)) / z.std(dim=1, keepdim=True)

        estimator = EDE(differentiate=differentiate)
        q, result = gradient(estimator, w, grad, progress=progress)
        assert torch.equal(q, quantize_binary(standardised(w)))
        if differentiate:
            expected = autograd(lambda z: k * torch.tanh(t * standardised(z)), w, grad)
        else:
            expected = autograd(lambda z: k * torch.tanh(t * z), standardised(w), grad)
        # autograd's 1 - tanh^2 loses digits in the tails, relative to its largest value
        torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-13)

    def test_ede_of_raw_weights(self):
        w, grad = tensors(4, 5)
        q, result = gradient(EDE(standardize=False), w, grad, progress=1.0)
        assert torch.equal(q, quantize_binary(w))
        expected = autograd(lambda z: torch.tanh(10 * z), w, grad)
        torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-13)

    def test_ede_schedule(self):
        t, k = zip(*(EDE().schedule(p) for p in (0.0, 0.5, 1.0)), strict=True)
        torch.testing.assert_close(torch.stack(t), torch.tensor([0.1, 1.0, 10.0]).double())
        torch.testing.assert_close(torch.stack(k), torch.tensor([10.0, 1.0, 1.0]).double())

    @pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
    def test_reste(self, progress):
        w = torch.tensor([-2.0, -1.5, -0.7, -0.1, -0.03, 0.0, 0.03, 0.1, 0.2, 1.5, 1.6])
        w = w.double()
        grad = torch.linspace(1, 2, len(w), dtype=torch.float64)
        o = 1 + (1 - math.cos(math.pi * progress))
        q, result = gradient(ReSTE(), w, grad, progress=progress)
        assert torch.equal(q, quantize_binary(w))
        size = w.abs()
        middle = autograd(lambda z: z.sign() * z.abs() ** (1 / o), w, grad)
        expected = torch.where(size <= 0.1, 0.1 ** (1 / o) / 0.1 * grad, middle)
        expected = torch.where(size <= 1.5, expected, 0.0)
        torch.testing.assert_close(result, expected, **TIGHT)

    def test_reste_begins_as_the_clipped_ste(self):
        w, grad = tensors(6, 6, dtype=torch.float32)
        expected = gradient(ClippedSTE(1.5), w, grad)[1]
        torch.testing.assert_close(gradient(ReSTE(), w, grad)[1], expected)

    @pytest.mark.parametrize("bits", [1, 2])
    def test_ewgs(self, bits):
        w, grad = tensors(4, 5)
        q, result = gradient(EWGS(delta=0.1), w, grad, bits=bits)
        x = w / (2 * w.abs().max()) + 0.5
        steps = 2**bits - 1
        x_q = torch.round(steps * x) / steps
        torch.testing.assert_close(2 * x_q - 1, q, **TIGHT)
        expected = grad * (1 + 0.1 * grad.sign() * (x - x_q))
        torch.testing.assert_close(result, expected, **TIGHT)

    @pytest.mark.parametrize("center", [True, False])
    @pytest.mark.parametrize("differentiate", [True, False])
    def test_standardized(self, center, differentiate):
        w, grad = tensors(3, 4, 2)

        def standardised(z):
            flat = z.flatten(1)
            if center:
                flat = flat - flat.mean(dim=1, keepdim=True)
            return (0.3 * flat / z.flatten(1).std(dim=1, keepdim=True)).reshape(z.shape)

        inner = DoReFa()
        estimator = Standardized(inner, scale=0.3, center=center, differentiate=differentiate)
        q, result = gradient(estimator, w, grad)
        z = standardised(w)
        assert torch.equal(q, quantize_binary(z))
        expected = inner.backward(z, q, grad, Site())
        if differentiate:
            expected = autograd(standardised, w, expected)
        torch.testing.assert_close(result, expected, **TIGHT)

    def test_standardized_knows_what_its_inner_estimator_knows(self):
        with pytest.raises(InvalidArgumentError, match="needs 2 bits, got bits = 4"):
            WeightQuantizer(4, Standardized(Ternary()))
        layer = torch.nn.Linear(6, 4)
        z = Standardized(LSQ()).transformed(layer.weight.detach(), Site(bits=2))
        quantize_(layer, QuantConfig(weight_bits=2, estimator=Standardized(LSQ())))
        step = layer.parametrizations.weight[0].step
        torch.testing.assert_close(step.detach(), LSQ().first_step(z, Site(bits=2)))
        grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
        layer.weight.backward(grad)
        site = Site(bits=2, step=step.detach())
        expected = LSQ().backward_step(z, LSQ().forward(z, site), grad, site)
        torch.testing.assert_close(step.grad, expected)

    def test_standardized_by_the_other_axis(self):
        w, grad = tensors(4, 6)
        for a, b in zip(
            gradient(Standardized(), w, grad, channel_axis=1),
            gradient(Standardized(), w.T.contiguous(), grad.T.contiguous()),
            strict=True,
        ):
            torch.testing.assert_close(a, b.T, **TIGHT)

    @pytest.mark.parametrize("value", [0.0, 0.1, -0.7])
    def test_a_channel_of_equal_weights_is_harmless(self, value):
        # in float32 the mean of equal numbers is not that number
        w = torch.full((2, 1001), value, requires_grad=True)
        estimate(w, EDE(differentiate=True)).sum().backward()
        assert torch.isfinite(w.grad).all()
        assert w.grad.abs().max() < 10

    def test_one_weight_a_channel_is_refused(self):
        with pytest.raises(ShapeError, match="one weight"):
            estimate(torch.ones(5, 1), EDE())
        with pytest.raises(ShapeError, match="one weight"):
            estimate(torch.ones(5), EDE())


class TestNatural:
    """The LNE estimators against dense matrices; the formulas are the core's and tested there."""

    @pytest.mark.parametrize(("dtype", "tol"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
    @pytest.mark.parametrize("block", ["layer", "channel"])
    @pytest.mark.parametrize("axis", [0, 1])
    @pytest.mark.parametrize("tau", ["auto", 0.05])
    def test_exact_is_the_dense_inverse(self, dtype, tol, block, axis, tau):
        w, grad = tensors(4, 6, 3, dtype=dtype)
        q, result = gradient(LNE(tau=tau, block=block), w, grad, channel_axis=axis)
        assert torch.equal(q, quantize_binary(w))

        def rows(x):
            x = x.double()
            return x.reshape(1, -1) if block == "layer" else x.movedim(axis, 0).flatten(1)

        scale = auto_tau(rows(w), 0.5) if tau == "auto" else tau
        matrix = LNEMetric(scale).matrix(rows(w))
        expected = torch.linalg.solve(matrix, rows(grad).unsqueeze(-1)).squeeze(-1)
        size = expected.abs().max()
        assert (rows(result) - expected).abs().max() <= tol * size
        assert (rows(grad) - expected).abs().max() > 1e-3 * size

    def test_weak(self):
        w, grad = tensors(30)
        _, result = gradient(LNE(tau=0.1, inverse="weak"), w, grad)
        t = torch.tanh(0.1 * w)
        torch.testing.assert_close(result, grad + t * (t @ grad), **TIGHT)

    def test_hessian_and_dual(self):
        w, grad = tensors(30)
        _, result = gradient(HessianLNE(tau=2.0, largest_factor=5.0), w, grad)
        cosh2 = torch.cosh(2 * w) ** 2
        torch.testing.assert_close(result, grad * cosh2.clamp(max=5.0), **TIGHT)
        assert (cosh2 > 5).any()
        assert (cosh2 < 5).any()
        _, result = gradient(DualLNE(tau=2.0), w, grad)
        torch.testing.assert_close(result, grad / cosh2, **TIGHT)

    @pytest.mark.parametrize("block", ["layer", "channel"])
    @pytest.mark.parametrize("tau", ["auto", 0.1])
    def test_flowed(self, block, tau):
        w, grad = tensors(3, 10)
        _, result = gradient(FlowedLNE(tau=tau, block=block, flow_time=0.7), w, grad)
        rows = (lambda x: x.reshape(1, -1)) if block == "layer" else (lambda x: x)
        scale = auto_tau(rows(w), 0.5) if tau == "auto" else tau
        matrix = FlowedLNEMetric(scale, 0.7 / (rows(w).shape[1] * scale**2)).matrix(rows(w))
        expected = torch.linalg.solve(matrix, rows(grad).unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(rows(result), expected, rtol=1e-12, atol=1e-13)
        still = gradient(FlowedLNE(tau=tau, block=block, flow_time=0.0), w, grad)[1]
        torch.testing.assert_close(still, gradient(LNE(tau=tau, block=block), w, grad)[1], **TIGHT)

    def test_target(self):
        w, grad = tensors(50)
        for target in (0.1, 0.9):
            tau = auto_tau(w, target)
            expected = gradient(LNE(tau=tau), w, grad)[1]
            torch.testing.assert_close(gradient(LNE(target=target), w, grad)[1], expected)

    @pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("lne")])
    def test_zeros(self, name):
        w, grad = torch.zeros(3, 4), torch.ones(3, 4)
        # at w = 0 all metrics are the identity, but for the flow, which scales it
        factor = 1 / (1 + 2 * 0.5 * 11 / 12) if name == "lne-flowed" else 1.0
        torch.testing.assert_close(gradient(get_estimator(name), w, grad)[1], factor * grad)

    def test_tau_too_large(self):
        w, grad = tensors(2, 40)
        w[1] *= 0.01  # this block alone would admit tau = 1
        with pytest.warns(UserWarning, match="some blocks"):
            result = gradient(LNE(tau=1.0, block="channel"), w, grad)[1]
        torch.testing.assert_close(result[0], gradient(LNE(), w[0], grad[0])[1], **TIGHT)
        torch.testing.assert_close(result[1], gradient(LNE(tau=1.0), w[1], grad[1])[1], **TIGHT)
        with pytest.warns(UserWarning, match="weak"):
            result = gradient(LNE(tau=1.0, on_indefinite="weak"), w, grad)[1]
        weak = gradient(LNE(tau=1.0, inverse="weak"), w, grad)[1]
        torch.testing.assert_close(result, weak, **TIGHT)
        with pytest.raises(NotPositiveDefiniteError, match="must be below"):
            gradient(LNE(tau=1.0, on_indefinite="raise"), w, grad)
        with pytest.raises(NotPositiveDefiniteError, match="must be below"):
            gradient(FlowedLNE(tau=1.0, on_indefinite="raise"), w, grad)

    def test_options_are_checked(self):
        for options in ({"tau": 0.0}, {"tau": "automatic"}, {"tau": True}, {"target": 1.0}):
            with pytest.raises(InvalidArgumentError):
                LNE(**options)
        for options in ({"block": "network"}, {"inverse": "strong"}, {"on_indefinite": "skip"}):
            with pytest.raises(UnknownNameError):
                LNE(**options)
        with pytest.raises(InvalidArgumentError, match="flow_time"):
            FlowedLNE(flow_time=-1.0)
        with pytest.raises(UnknownNameError, match="policy"):
            FlowedLNE(on_indefinite="weak")
        with pytest.raises(InvalidArgumentError, match="largest_factor"):
            HessianLNE(largest_factor=0.5)


class TestEveryEstimator:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    @pytest.mark.parametrize("name", NAMES)
    def test_types_and_shapes(self, name, dtype):
        w, grad = tensors(4, 3, 2, dtype=dtype)
        for bits in bits_of(name, (1, 4)):
            q, result = gradient(get_estimator(name), w, grad, bits=bits, progress=0.5)
            assert q.dtype is result.dtype is dtype
            assert q.shape == result.shape == w.shape
            assert torch.isfinite(result).all()

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
    @pytest.mark.parametrize("name", NAMES)
    def test_a_tensor_that_is_no_real_float_is_refused(self, name, dtype):
        with pytest.raises(DTypeError, match="cannot quantise a tensor of type"):
            estimate(torch.ones(3, 4).to(dtype), get_estimator(name), Site(bits=bits_of(name)[0]))

    @pytest.mark.parametrize("name", NAMES)
    def test_a_single_number_is_a_weight_or_is_refused(self, name):
        estimator = get_estimator(name)
        w, grad = torch.tensor(0.5), torch.tensor(1.0)
        if name in ("ede", "standardized"):
            with pytest.raises(ShapeError, match="one weight in each channel"):
                gradient(estimator, w, grad)
        else:
            q, result = gradient(estimator, w, grad, bits=bits_of(name)[0])
            assert q.shape == result.shape == ()
            assert torch.isfinite(result)

    @pytest.mark.parametrize(("name", "bits"), [(n, k) for n in NAMES for k in bits_of(n, (1, 2))])
    def test_no_weights_are_refused(self, name, bits):
        """For one bit too, where no maximum would fail of itself."""
        with pytest.raises(ShapeError, match="cannot quantise an empty tensor"):
            gradient(get_estimator(name), torch.zeros(0, 4), torch.zeros(0, 4), bits=bits)

    @pytest.mark.parametrize("name", NAMES)
    def test_values_are_at_most_2_to_the_k(self, name):
        w, _ = tensors(6, 50)
        rotated = name == "quest-hadamard"  # there are few levels in the rotated basis alone
        for bits in () if rotated else bits_of(name, (1, 2, 3)):
            estimator = get_estimator(name)
            q = estimator.forward(w, Site(bits=bits))
            scales = len(w) if estimator.scales and estimator.per_channel else 1
            levels = 3 if name == "ternary" else 2**bits
            assert len(torch.unique(q)) <= levels * scales
            if scales == 1 and name != "lsq":  # whose first step leaves levels empty
                assert len(torch.unique(q)) == levels

    @pytest.mark.parametrize("name", NAMES)
    def test_the_progress_can_be_a_tensor(self, name):
        w, grad = tensors(4, 3)
        estimator = get_estimator(name)
        (bits,) = bits_of(name)
        plain = gradient(estimator, w, grad, bits=bits, progress=0.5)[1]
        timed = gradient(estimator, w, grad, bits=bits, progress=torch.tensor(0.5))[1]
        torch.testing.assert_close(timed, plain, rtol=1e-6, atol=1e-9)
        start = gradient(estimator, w, grad, bits=bits, progress=0.0)[1]
        assert torch.allclose(start, plain) is not estimator.scheduled

    @pytest.mark.parametrize("name", NAMES)
    def test_copies_and_representations(self, name):
        estimator = get_estimator(name)
        named = (
            LSQ,
            RDFS,
            SEQ,
            Hestia,
            QuEST,
            ReinMax,
            RMSLevels,
            StackedSigmoid,
            Ternary,
        )  # for eval
        assert named
        assert copy.deepcopy(estimator) == estimator
        assert eval(repr(estimator)) == estimator

    @pytest.mark.parametrize("name", NAMES)
    def test_it_leaves_its_arguments_alone(self, name):
        w, grad = tensors(4, 3)
        w_before, grad_before = w.clone(), grad.clone()
        gradient(get_estimator(name), w, grad, bits=bits_of(name)[0])
        assert torch.equal(w, w_before)
        assert torch.equal(grad, grad_before)

    @pytest.mark.parametrize("name", [n for n in NAMES if n != "ewgs"])
    def test_the_gradient_is_linear_in_that_of_the_loss(self, name):
        # so that loss scaling and accumulation commute with it; EWGS has a sign in it
        w, grad = tensors(4, 3)
        estimator = get_estimator(name)
        (bits,) = bits_of(name)
        once, twice = (gradient(estimator, w, s * grad, bits=bits)[1] for s in (1.0, 2.0))
        torch.testing.assert_close(twice, 2 * once, **TIGHT)

    @pytest.mark.parametrize("name", NAMES)
    def test_the_gradient_can_be_differentiated(self, name):
        w, grad = tensors(4, 3)
        w = w.requires_grad_()
        (first,) = torch.autograd.grad(
            estimate(w, get_estimator(name), Site(bits=bits_of(name)[0])).mul(grad).pow(2).sum(),
            w,
            create_graph=True,
        )
        (second,) = torch.autograd.grad(first.sum(), w, materialize_grads=True)
        assert torch.isfinite(second).all()

    @COMPILER
    def test_compiled_as_eager(self):
        # all estimators in one model: compiling is what takes the time
        layers = [torch.nn.Linear(6, 6, bias=False, dtype=torch.float64) for _ in NAMES]
        model = torch.nn.Sequential(*layers)
        for layer, name in zip(layers, NAMES, strict=True):
            quantize_(layer, QuantConfig(estimator=name, weight_bits=2))
        set_progress(model, 0.5)
        x = tensors(5, 6)[0]

        def run(module):
            model.zero_grad()
            torch.manual_seed(0)  # ReinMax draws its levels
            y = module(x) / 6.0 ** len(NAMES)
            y.pow(2).sum().backward()
            return [y.detach(), *(p.grad.clone() for p in model.parameters())]

        eager = run(model)
        assert all(g.abs().max() > 0 for g in eager)
        for backend in ("eager", "aot_eager"):
            torch._dynamo.reset()
            compiled = run(torch.compile(model, fullgraph=True, backend=backend))
            for a, b in zip(eager, compiled, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-12, atol=0)

    @COMPILER
    def test_compiled_code_follows_the_schedule(self):
        layer = torch.nn.Linear(4, 4, bias=False)
        quantize_(layer, QuantConfig(estimator="ede"))
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        grads = []
        for progress in (0.0, 1.0):
            set_progress(layer, progress)
            layer.zero_grad()
            compiled(torch.ones(1, 4)).sum().backward()
            grads.append(layer.parametrizations.weight.original.grad.clone())
        assert not torch.allclose(*grads)

    @pytest.mark.parametrize("name", NAMES)
    def test_it_trains_a_small_binary_network(self, name):
        torch.manual_seed(0)
        x = torch.randn(200, 6)
        y = (x @ torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0]) > 0).long()
        model = torch.nn.Sequential(
            torch.nn.Linear(6, 24, bias=False),
            torch.nn.BatchNorm1d(24),
            torch.nn.Tanh(),
            torch.nn.Linear(24, 2),
        )
        quantize_(model, QuantConfig(estimator=name, weight_bits=bits_of(name)[0]))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for step in range(60):
            set_progress(model, step / 60)
            loss = torch.nn.functional.cross_entropy(model(x) / 5, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert sum(losses[-5:]) / 5 < 0.6 * losses[0]


class Headless(Estimator):
    """Without the one member that is needed."""


class Narrow(Estimator):
    def backward(self, w, grad):
        return grad


class TestRegistry:
    @pytest.mark.parametrize(
        ("factory", "message"),
        [
            (Headless, "Headless has no member 'backward'"),
            (Narrow, "its member 'backward' does not take"),
            (dict, "dict does not extend Estimator"),
            (3, "no class or function"),
        ],
    )
    def test_a_class_that_breaks_the_protocol(self, factory, message):
        with pytest.raises(InvalidArgumentError, match=message) as caught:
            register_estimator("test-broken")(factory)
        assert "def backward(self, w, q, grad, site):" in str(caught.value)

    def test_a_function_that_gives_no_estimator(self):
        register_estimator("test-nothing")(lambda: None)
        try:
            with pytest.raises(InvalidArgumentError, match="gave None, which is no Estimator"):
                get_estimator("test-nothing")
        finally:
            del _REGISTRY["test-nothing"]

    def test_names(self):
        listed = {"ste", "clipped-ste", "dorefa", "bwn", "ede", "reste", "ewgs", "lne", "lne-weak"}
        listed |= {"lne-channel", "lne-hessian", "lne-dual", "lne-flowed", "standardized"}
        assert listed <= set(available_estimators())
        assert get_estimator("lne-weak") == LNE(inverse="weak")
        assert get_estimator("lne-channel") == LNE(block="channel")
        assert get_estimator("ede", t_max=5.0) == EDE(t_max=5.0)

    def test_a_user_s_own(self):
        @register_estimator("test-triangle")
        class Triangle(Estimator):
            def backward(self, w, q, grad, site):
                return grad * (1 - w.abs()).clamp(min=0)

        try:
            layer = quantize_(torch.nn.Linear(3, 2), QuantConfig(estimator="test-triangle"))
            latent = layer.parametrizations.weight.original
            layer.weight.sum().backward()
            torch.testing.assert_close(latent.grad, 1 - latent.detach().abs())
        finally:
            del _REGISTRY["test-triangle"]

    def test_a_name_is_taken_once(self):
        with pytest.raises(InvalidArgumentError, match="belongs"):
            register_estimator("ste")(DoReFa)
        assert get_estimator("ste") == STE()
        register_estimator("ste")(STE)  # the same again, as a notebook does

    def test_unknown(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'dorefa'"):
            get_estimator("dorrefa")
        with pytest.raises(InvalidArgumentError, match="slope"):
            get_estimator("ewgs", slope=1)
        with pytest.raises(InvalidArgumentError, match=r"write STE\(\)"):
            get_estimator(STE)
        with pytest.raises(InvalidArgumentError, match="options"):
            get_estimator(STE(), bound=1)

    @pytest.mark.parametrize(
        ("member", "wrong", "kind", "message"),
        [
            ("backward", lambda *a: None, DTypeError, "a NoneType; return a tensor"),
            ("backward", lambda *a: a[3].numpy(), DTypeError, "a ndarray; return a tensor"),
            ("backward", lambda *a: a[3][0], ShapeError, r"the shape \(3,\), not \(2, 3\)"),
            ("forward", lambda *a: None, DTypeError, "a NoneType; return a tensor"),
            ("forward", lambda *a: a[1][0], ShapeError, r"the shape \(3,\), not \(2, 3\)"),
            ("forward", lambda *a: a[1].double(), DTypeError, "the type torch.float64, not torch"),
            ("forward", lambda *a: a[1].half(), DTypeError, "the type torch.float16, not torch"),
            ("forward", lambda *a: a[1] > 0, DTypeError, "the type torch.bool, not torch.float32"),
        ],
    )
    def test_a_method_that_returns_something_else(self, member, wrong, kind, message):
        """A gradient None would train nothing, without a word."""
        w = torch.ones(2, 3, requires_grad=True)
        with pytest.raises(kind, match=f"{member} of Mine returned {message}") as caught:
            estimate(w, type("Mine", (STE,), {member: wrong})()).sum().backward()
        assert f"def {member}(self, w, " in str(caught.value)

    @pytest.mark.parametrize(
        "value", [lambda w: w, lambda w: w.view_as(w), lambda w: w.detach(), lambda w: w[:]]
    )
    @pytest.mark.parametrize("scale", ["none", "mean"])
    def test_a_value_that_is_w_itself(self, value, scale):
        """A soft start: by itself, in a layer, for its inputs, and for many weights at once."""

        class Soft(STE):
            def forward(self, w, site):
                return value(w)

        w = torch.tensor([0.5, -2.0], requires_grad=True)
        q = estimate(w, Soft())
        (q * torch.tensor([3.0, 4.0])).sum().backward()
        assert torch.equal(q, w)
        assert torch.equal(w.grad, torch.tensor([3.0, 4.0]))
        mapped = torch.func.vmap(torch.func.grad(lambda v: estimate(v, Soft()).sum()))
        assert torch.equal(mapped(torch.ones(2, 3)), torch.ones(2, 3))
        config = QuantConfig(
            estimator=Soft(), weight_scale=scale, activation_bits=2, activation_estimator=Soft()
        )
        layer = quantize_(torch.nn.Linear(2, 3), config)
        latent = layer.parametrizations.weight.original
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(2):
            before = latent.detach().clone()
            optimizer.zero_grad()
            layer(torch.ones(4, 2)).square().sum().backward()
            optimizer.step()
            assert not torch.equal(latent, before)

    def test_autocast_may_lower_the_type_of_a_value(self):
        """That of a matrix product, which the layer multiplies by in that type anyway."""

        class Turned(STE):
            def forward(self, w, site):
                return w @ torch.eye(len(w))

        w = torch.randn(3, 3, requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            q = estimate(w, Turned())
        assert q.dtype is torch.bfloat16
        q.sum().backward()
        assert w.grad.dtype is torch.float32

    def test_a_missing_backward_is_said(self):
        w = torch.ones(2, requires_grad=True)
        with pytest.raises(MissingMemberError, match="Headless has no member 'backward'") as caught:
            estimate(w, Headless()).sum().backward()
        assert "def backward(self, w, q, grad, site):" in str(caught.value)

    def test_a_missing_member_of_a_learned_step_is_said(self):
        class Learned(STE):
            learned = True

        with pytest.raises(InvalidArgumentError, match="has no member 'first_step'") as caught:
            register_estimator("test-learned")(Learned)
        assert "def backward_step(self, w, q, grad, site):" in str(caught.value)
        layer = torch.nn.Linear(3, 2)
        with pytest.raises(InvalidArgumentError, match=r"def first_step\(self, w, site\):"):
            quantize_(layer, QuantConfig(estimator=Learned()))
        w = torch.ones(2, requires_grad=True)
        with pytest.raises(MissingMemberError, match="has no member 'backward_step'"):
            estimate(w, Learned(), Site(step=torch.ones(1, requires_grad=True))).sum().backward()

    def test_the_learned_step_that_messages_show_is_right(self):
        class Mine(Estimator):
            learned = True

            def forward(self, w, site):
                return site.step * torch.sign(w)

        names: dict = {"torch": torch}
        for member in ("first_step", "backward_step", "backward"):
            exec(textwrap.dedent(example(member)), names)
            setattr(Mine, member, names[member])
        layer = quantize_(torch.nn.Linear(3, 2), QuantConfig(estimator=Mine()))
        step = layer.parametrizations.weight[0].step
        layer.weight.sum().backward()
        torch.testing.assert_close(step.grad, (layer.weight.detach() / step.detach()).sum()[None])

    @pytest.mark.parametrize(
        "make",
        [
            lambda: ClippedSTE(0.0),
            lambda: BWN("row"),
            lambda: EWGS(-1.0),
            lambda: EWGS(math.inf),
            lambda: ReSTE(o_max=math.inf),
            lambda: Standardized(scale=math.inf),
            lambda: EDE(t_min=0.0),
            lambda: EDE(t_min=2.0, t_max=1.0),
            lambda: ReSTE(o_max=0.5),
            lambda: ReSTE(small=2.0),
            lambda: Standardized(scale=0.0),
            lambda: Standardized("ste"),
        ],
    )
    def test_options_without_meaning(self, make):
        with pytest.raises((InvalidArgumentError, UnknownNameError)):
            make()


def test_no_warnings_in_ordinary_use():
    w, grad = tensors(4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in NAMES:
            (bits,) = bits_of(name)
            gradient(get_estimator(name), w, grad, bits=bits)
            WeightQuantizer(bits, name)(w)
