"""The corrector on groups, on learned steps and with the loss's curvature: against dense inverses.

Looked at: every kind of block; steps joined to their weights; layers whose channels lie elsewhere
(transposed, grouped transposed) or in another order (channels last); states to the bit.
"""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from riemann_lne.errors import InvalidArgumentError, ShapeError, UnknownNameError  # noqa: E402
from riemann_lne_torch import LNECorrector, QuantConfig, quantize_  # noqa: E402
from riemann_lne_torch.estimators import LSQ, SEQ, Ternary  # noqa: E402
from riemann_lne_torch.quantize.layers import layer_channels, weight_quantizer  # noqa: E402

TIGHT = {"rtol": 1e-9, "atol": 1e-12}
BLOCKS = ["layer", "channel", 3, "quantizer", "network"]


def make(estimator=None, kinds=("conv", "linear"), bits=3):
    torch.manual_seed(0)
    layers = {
        "conv": nn.Conv2d(3, 4, 3),
        "last": nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last),
        "transposed": nn.ConvTranspose2d(3, 4, 3),
        "grouped": nn.ConvTranspose1d(6, 6, 2, groups=2),
        "linear": nn.Linear(12, 6),
    }
    model = nn.ModuleDict({kind: layers[kind] for kind in kinds}).double()
    quantize_(model, QuantConfig(weight_bits=bits, estimator=estimator or LSQ("channel")))
    for layer in model.values():
        original = layer.parametrizations.weight.original
        original.grad = torch.randn_like(original)
        step = weight_quantizer(layer).step
        if step is not None:
            step.grad = torch.randn_like(step)
    return model


def parts(model):
    """Of every layer: weights with channels first, gradients so, steps, gradients of steps."""
    found = {}
    for name, layer in model.items():
        original = layer.parametrizations.weight.original
        first = layer_channels(layer, original).first
        step = weight_quantizer(layer).step
        pair = () if step is None else (step.detach().clone(), step.grad.clone())
        found[name] = (first(original.detach()).clone(), first(original.grad).clone(), *pair)
    return found


def dense(x, v, target, shift=None, damping=1.0):
    """g^-1 v with g built as a matrix, its tau found by bisection."""
    low, high = 1e-6, 1e6
    for _ in range(60):
        tau = (low * high) ** 0.5
        low, high = (tau, high) if torch.tanh(tau * x).square().sum() < target else (low, tau)
    t = torch.tanh(tau * x)
    if shift is None:
        return torch.linalg.solve(torch.eye(len(x), dtype=x.dtype) - torch.outer(t, t), v)
    share = damping / (1.0 + damping)
    g = share * (torch.diag(1.0 + shift) - torch.outer(t, t))
    return torch.linalg.solve(g, v)


def expected(model, block, together, curvature=None, damping=1.0):
    """New gradients of every layer (channels first) and its steps, from `dense`."""
    found, whole = {}, []
    for name, (w, v, *steps) in parts(model).items():
        own = weight_quantizer(model[name]).block if block == "quantizer" else block
        count = {"layer": 1, "network": 1, "channel": len(w)}.get(own) or w.numel() // own
        rows = [a.reshape(count, -1) for a in (w, v)]
        d = None if curvature is None else curvature[name].reshape(count, -1)
        width = rows[0].shape[1]
        if together and steps:
            rows = [
                torch.cat([r, s.reshape(count, -1)], 1) for r, s in zip(rows, steps, strict=True)
            ]
        if block == "network":
            whole.append((name, w.shape, width, *(r[0] for r in rows)))
            continue
        new = []
        for i in range(count):
            shift = None if d is None else d[i].clamp(min=0) / (damping * d[i].clamp(min=0).mean())
            new.append(dense(rows[0][i], rows[1][i], 0.5, shift, damping))
        new = torch.stack(new)
        found[name] = (new[:, :width].reshape(w.shape), new[:, width:].reshape(-1))
    if whole:
        new = dense(*(torch.cat([entry[k] for entry in whole]) for k in (3, 4)), 0.5)
        for name, shape, width, own, _ in whole:
            mine, new = new[: len(own)], new[len(own) :]
            found[name] = (mine[:width].reshape(shape), mine[width:])
    return found


def check(model, want, together):
    for name, (_, v, *steps) in parts(model).items():
        torch.testing.assert_close(v, want[name][0], **TIGHT)
        if together:
            torch.testing.assert_close(steps[1], want[name][1], **TIGHT)


@pytest.mark.parametrize("kinds", [("conv", "linear"), ("last", "transposed", "grouped")])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_dense_inverse(block, together, kinds):
    estimator = {3: LSQ(3), "layer": SEQ("layer")}.get(block, LSQ("channel"))
    model = make(estimator, kinds)
    if kinds[0] == "last":  # a group of 3 needs channels that it divides
        assert all(p[0][0].numel() % 3 == 0 for p in parts(model).values())
    steps = "together" if together else "apart"
    before = parts(model)
    want = expected(model, block, together)
    LNECorrector(model, block=block, steps=steps).correct_()
    check(model, want, together)
    for name, (_, _, *pair) in parts(model).items():
        assert torch.equal(pair[0], before[name][2])
        assert torch.equal(pair[1], before[name][3]) is not together


@pytest.mark.parametrize("kernel", ["plain", "auto"])
@pytest.mark.parametrize("metric", ["flowed", "dual", "hessian"])
def test_other_metrics_take_the_steps_too(metric, kernel):
    model = make()
    before = parts(model)
    LNECorrector(
        model, block="quantizer", metric=metric, steps="together", kernel=kernel
    ).correct_()
    for name, (_, v, _, g) in parts(model).items():
        joined = [
            torch.cat([a.reshape(len(a), -1), s[:, None]], 1)
            for a, s in ((before[name][0], before[name][2]), (before[name][1], before[name][3]))
        ]
        alone = nn.Parameter(joined[0])
        alone.grad = joined[1].clone()
        LNECorrector([alone], block="channel", metric=metric).correct_()
        torch.testing.assert_close(v.reshape(len(v), -1), alone.grad[:, :-1], **TIGHT)
        torch.testing.assert_close(g, alone.grad[:, -1], **TIGHT)


def test_a_quantizers_own_block_is_that_of_its_scale():
    torch.manual_seed(0)
    kinds = {"ternary": ("layer", Ternary()), "group": (4, LSQ(4)), "rms": ("channel", "rms")}
    for block, estimator in kinds.values():
        layer = quantize_(nn.Linear(8, 3), QuantConfig(weight_bits=2, estimator=estimator))
        assert LNECorrector(layer).weights[0].own_block == block
    layer = quantize_(nn.Linear(8, 3), QuantConfig(weight_scale="mean-channel"))
    assert LNECorrector(layer).weights[0].own_block == "channel"


class TestCurvature:
    @pytest.mark.parametrize("damping", [0.1, 1.0, 20.0])
    @pytest.mark.parametrize("block", ["layer", "channel", 3, "quantizer"])
    def test_the_dense_inverse(self, block, damping):
        model = make("ste", ("last", "transposed", "grouped"), bits=1)
        corrector = LNECorrector(model, block=block, curvature="fisher", damping=damping, keep=0.5)
        corrector.correct_()  # plain, as nothing is known yet; it notes the squares
        squares = {n: 0.5 * v.square() for n, (_, v) in self.fresh().items()}
        for layer in model.values():
            original = layer.parametrizations.weight.original
            original.grad = torch.randn_like(original)
        want = expected(model, block, False, squares, damping)
        corrector.correct_()
        check(model, want, False)

    def fresh(self):
        return parts(make("ste", ("last", "transposed", "grouped"), bits=1))

    def test_without_knowledge_and_with_much_damping_it_is_eq_16(self):
        model, other = make(), make()
        LNECorrector(model).correct_()
        corrector = LNECorrector(other, curvature="fisher", damping=1e9)
        corrector.correct_()
        for (_, a, *_), (_, b, *_) in zip(
            parts(model).values(), parts(other).values(), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)

    def test_weights_of_little_curvature_move_further(self):
        p = nn.Parameter(torch.randn(1000, dtype=torch.float64))
        corrector = LNECorrector([p], curvature="fisher", keep=0.0)
        size = torch.linspace(0.1, 1.0, 1000, dtype=torch.float64)
        for _ in range(2):
            p.grad = size.clone()
            corrector.correct_()
        ratio = p.grad / size
        assert float(ratio[:100].mean()) > 1.8
        assert float(ratio[-100:].mean()) < 0.6

    def test_a_gradient_that_is_not_finite_leaves_no_trace(self):
        model = make()
        corrector = LNECorrector(model, curvature="fisher")
        corrector.correct_()
        before = corrector.state_dict()["curvature"]
        weight = model["conv"].parametrizations.weight.original
        weight.grad = torch.full_like(weight, torch.inf)
        corrector.correct_([weight])
        assert torch.isinf(weight.grad).all()
        after = corrector.state_dict()["curvature"]
        assert all(torch.equal(before[k], after[k]) for k in before)

    def test_half_precision_keeps_its_squares_in_float32(self):
        p = nn.Parameter(torch.randn(50).half())
        p.grad = torch.full((50,), 1e-4).half()
        corrector = LNECorrector([p], curvature="fisher", keep=0.0)
        corrector.correct_()
        state = corrector.state_dict()["curvature"]["parameter 0"]
        assert state.dtype == torch.float32
        torch.testing.assert_close(state, torch.full((50,), 1e-8), rtol=1e-2, atol=0)

    def test_a_probe_of_a_diagonal_hessian_is_exact(self):
        p = nn.Parameter(torch.randn(4, 5, dtype=torch.float64))
        h = torch.rand(4, 5, dtype=torch.float64) - 0.3
        corrector = LNECorrector([p], curvature="hutchinson", keep=0.0, target=0.4)
        loss = 0.5 * (h * p.square()).sum() + p.sum()
        corrector.observe_curvature_(loss)
        torch.testing.assert_close(corrector.state_dict()["curvature"]["parameter 0"], h, **TIGHT)
        loss.backward()  # the graph is still there
        torch.testing.assert_close(p.grad, (h * p + 1.0).detach(), **TIGHT)

    def test_a_probe_that_is_not_finite_leaves_no_trace(self):
        p, q = (nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64)) for _ in range(2))
        corrector = LNECorrector([p, q], curvature="hutchinson", keep=0.0)
        for size in (1.0, torch.inf):
            corrector.observe_curvature_(0.5 * (size * p.square() + size * 3.0 * q.square()).sum())
        found = corrector.state_dict()["curvature"]
        assert found["parameter 0"].tolist() == [1.0] * 3
        assert found["parameter 1"].tolist() == [3.0] * 3

    def test_negative_curvature_counts_as_none(self):
        h = torch.linspace(-1.0, 2.0, 20, dtype=torch.float64).view(4, 5)
        found = []
        for known in (h, h.clamp(min=0.0)):
            torch.manual_seed(0)
            p = nn.Parameter(torch.randn(4, 5, dtype=torch.float64))
            corrector = LNECorrector([p], curvature="hutchinson", keep=0.0)
            corrector.observe_curvature_(0.5 * (known * p.square()).sum())
            p.grad = torch.ones_like(p)
            corrector.correct_()
            found.append(p.grad)
        torch.testing.assert_close(*found, **TIGHT)

    def test_a_channel_that_is_not_finite_stays_and_the_others_move(self):
        torch.manual_seed(0)
        p = nn.Parameter(torch.randn(3, 5, dtype=torch.float64))
        corrector = LNECorrector([p], block="channel", curvature="fisher", keep=0.5)
        p.grad = torch.randn_like(p)
        corrector.correct_()
        before = corrector.state_dict()["curvature"]["parameter 0"]
        p.grad[1, 2] = torch.inf
        given = p.grad.clone()
        corrector.correct_()
        after = corrector.state_dict()["curvature"]["parameter 0"]
        for old, new in ((given, p.grad), (before, after)):
            assert torch.equal(old[1], new[1])
            assert not torch.isclose(old[[0, 2]], new[[0, 2]]).any()
            assert torch.isfinite(new[[0, 2]]).all()

    def test_a_state_of_another_shape_is_refused(self):
        one, other = (
            LNECorrector([nn.Parameter(torch.ones(shape))], curvature="fisher", tau=0.1)
            for shape in ((2, 3), (3, 2))
        )
        with pytest.raises(InvalidArgumentError, match=r"no curvature of shape \(3, 2\)"):
            other.load_state_dict(one.state_dict())

    def test_the_mean_of_probes_is_the_diagonal_through_a_quantiser(self):
        """Of Q's Hessian: straight through, the derivative by w is that by Q."""
        torch.manual_seed(1)
        layer = quantize_(nn.Linear(3, 1, bias=False).double(), QuantConfig(weight_scale="mean"))
        x = torch.randn(20, 3, dtype=torch.float64)
        corrector = LNECorrector(layer, curvature="hutchinson", keep=0.98)
        for _ in range(300):
            corrector.observe_curvature_(layer(x).square().mean())
        found = corrector.state_dict()["curvature"]["weight"]
        a = layer.parametrizations.weight.original.abs().mean().detach()
        want = 2.0 * a**2 * x.square().mean(0, keepdim=True)  # dL/dQ = a dL/d(a Q)
        torch.testing.assert_close(found, want, rtol=0.4, atol=0)

    @pytest.mark.parametrize("kind", ["fisher", "hutchinson"])
    @pytest.mark.parametrize("steps", ["apart", "together"])
    def test_a_state_goes_on_to_the_bit(self, kind, steps):
        def train(model, corrector, seed):
            torch.manual_seed(seed)
            for _ in range(3):
                x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
                loss = model["conv"](x).square().mean()
                if kind == "hutchinson":
                    corrector.observe_curvature_(loss)
                model.zero_grad()
                loss.backward()
                corrector.correct_()
                torch.optim.SGD(model.parameters(), lr=0.1).step()

        options = {"curvature": kind, "steps": steps, "block": "quantizer"}
        model = make(kinds=("conv",))
        corrector = LNECorrector(model, **options)
        train(model, corrector, 1)
        other = make(kinds=("conv",))
        other.load_state_dict(model.state_dict())
        resumed = LNECorrector(other, **options)
        resumed.load_state_dict(corrector.state_dict())
        for m, c in ((model, corrector), (other, resumed)):
            train(m, c, 2)
        for a, b in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
        plain = LNECorrector(other, steps=steps, block="quantizer")
        with pytest.raises(InvalidArgumentError, match="other options"):
            resumed.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"block": "row"}, UnknownNameError, "block 'row'"),
        ({"block": 0}, InvalidArgumentError, "weights of a group"),
        ({"block": 7}, ShapeError, "layer 'conv': a channel has 27 weights"),
        ({"steps": "joined"}, UnknownNameError, "together"),
        ({"steps": "together", "block": 3}, InvalidArgumentError, "a step cannot be divided"),
        ({"steps": "together", "block": "weight", "tau": 1.0}, InvalidArgumentError, "divided"),
        ({"curvature": "hessian"}, UnknownNameError, "hutchinson"),
        ({"curvature": "fisher", "metric": "dual"}, InvalidArgumentError, "metric='lne'"),
        ({"curvature": "fisher", "inverse": "weak"}, InvalidArgumentError, "exact inverse"),
        ({"curvature": "fisher", "block": "weight"}, InvalidArgumentError, "blocks of one weight"),
        ({"curvature": "fisher", "damping": 0.0}, InvalidArgumentError, "damping"),
        ({"curvature": "fisher", "keep": 1.0}, InvalidArgumentError, "keep"),
    ],
)
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        LNECorrector(make(), **options)


def test_calls_that_make_no_sense():
    with pytest.raises(InvalidArgumentError, match="no selected layer has"):
        LNECorrector(make("ste", bits=1), steps="together")
    with pytest.raises(InvalidArgumentError, match="is for curvature='hutchinson'"):
        LNECorrector(make()).observe_curvature_(torch.ones(()))
    with pytest.raises(InvalidArgumentError, match="from before backward"):
        LNECorrector(make(), curvature="hutchinson").observe_curvature_(torch.ones(()))
