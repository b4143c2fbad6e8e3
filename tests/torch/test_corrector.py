"""The corrector against dense matrices, its options, and its errors."""

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

import riemann_lne as rl  # noqa: E402
from riemann_lne.errors import (  # noqa: E402
    DTypeError,
    InvalidArgumentError,
    NotFiniteError,
    NotPositiveDefiniteError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne.lne.pieces import PieceSums  # noqa: E402
from riemann_lne.testing import check_corrector  # noqa: E402
from riemann_lne_benchmarks.torch_training import allocated_peak  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    LNECorrector,
    QuantConfig,
    quantize_,
)
from riemann_lne_torch.natural import blocks, grouped  # noqa: E402
from riemann_lne_torch.natural.tau import Follower  # noqa: E402

nn = torch.nn


pytestmark = pytest.mark.usefixtures("way")

BLOCKS = ("layer", "channel", "network", "weight")
METRICS = ("lne", "hessian", "dual", "flowed")
# rounding alone: a corrected gradient against the dense inverse, relative to its norm
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def parameters(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 3, 3, 3), (5, 12), (7,)]
    made = []
    for shape in shapes:
        p = torch.randn(shape, generator=generator, dtype=torch.float64) * 0.3
        p = p.to(dtype).requires_grad_()
        p.grad = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        made.append(p)
    return made


def blocks_of(values, block):
    """Lists of float64 vectors, one a block, from a list of tensors."""
    flat = [v.detach().double().clone() for v in values]
    if block == "layer":
        return [v.reshape(-1) for v in flat]
    if block == "channel":
        return [row.reshape(-1) for v in flat for row in v.reshape(v.shape[0], -1)]
    if block == "network":
        return [torch.cat([v.reshape(-1) for v in flat])]
    return [w.reshape(1) for v in flat for w in v.reshape(-1)]


def dense(w, v, metric, inverse, tau, flow_time):
    """The correction by dense matrices and autodiff-free formulas of the paper's symbols."""
    t = torch.tanh(tau * w)
    eye = torch.eye(len(w), dtype=torch.float64)
    if metric == "hessian":
        return torch.linalg.solve(torch.diag(1 - t**2), v)
    if metric == "dual":
        return torch.diag(1 - t**2) @ v
    g = eye - torch.outer(t, t)
    if metric == "flowed":
        time = flow_time / (len(w) * tau**2)
        ricci = torch.as_tensor(np.asarray(rl.LNEMetric(tau).ricci(w).matrix()))
        return torch.linalg.solve(g - 2 * time * ricci, v)
    if inverse == "weak":
        return (eye + torch.outer(t, t)) @ v
    return torch.linalg.solve(g, v)


@pytest.mark.parametrize("tau", ["auto", 0.2], ids=["auto", "given"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("metric", "inverse"), [(m, "exact") for m in METRICS] + [("lne", "weak")])
def test_the_correction_is_the_dense_one(metric, inverse, block, dtype, tau):
    params = parameters(dtype)
    w = blocks_of(params, block)
    v = blocks_of([p.grad for p in params], block)
    corrector = LNECorrector(
        params, tau, 0.4, inverse=inverse, block=block, metric=metric, flow_time=0.3
    )
    corrector.correct_()
    got = blocks_of([p.grad for p in params], block)
    changes = []
    for x, before, after in zip(w, v, got, strict=True):
        scale = rl.auto_tau(x, 0.4) if tau == "auto" else tau
        expected = dense(x, before, metric, inverse, scale, 0.3)
        error = (after - expected).norm() / expected.norm()
        assert error < TOLERANCE[dtype]
        changes.append((expected - before).norm() / before.norm())
    assert max(changes) > 1e-3  # there is something to see


@pytest.mark.parametrize("block", ["layer", "channel", "network"])
@pytest.mark.parametrize("target", [0.05, 0.5, 0.9, 0.99])
def test_auto_tau_meets_the_target_at_every_call(block, target):
    params = parameters()
    corrector = LNECorrector(params, target=target, block=block)
    generator = torch.Generator().manual_seed(3)
    for size in (0.0, 1e-4, 1e-2, 0.3, 3.0):
        for p in params:
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            p.data.add_(noise, alpha=size)
        corrector.correct_()
        for x, tau in zip(blocks_of(params, block), followed(corrector), strict=True):
            assert tau == pytest.approx(rl.auto_tau(x, target), rel=1e-11)


def followed(corrector):
    taus = list(corrector.state_dict()["tau"].values())
    return taus[0].tolist() if corrector.block == "network" else torch.cat(taus).tolist()


def test_one_dominating_weight_is_followed():
    w = torch.full((1000,), 1e-4, dtype=torch.float64)
    w[17] = 2.0
    w.requires_grad_()
    w.grad = torch.ones_like(w)
    corrector = LNECorrector([w], target=0.98)
    corrector.correct_()
    assert followed(corrector)[0] == pytest.approx(rl.auto_tau(w.detach(), 0.98), rel=1e-10)


@pytest.mark.parametrize("block", ["layer", "channel", "network"])
def test_small_moves_are_followed_without_a_search(block, monkeypatch):
    # what a step of training does: the prediction alone meets the target
    generator = torch.Generator().manual_seed(1)
    shapes = (64, 16, 3, 3), (64, 400)
    params = [torch.randn(s, generator=generator).mul_(0.2).requires_grad_() for s in shapes]
    for p in params:
        p.grad = torch.ones_like(p)
    corrector = LNECorrector(params, block=block)
    corrector.correct_()
    searches = []
    plain = Follower.solve
    monkeypatch.setattr(Follower, "solve", lambda *a: searches.append(1) or plain(*a))
    for _ in range(10):
        for p in params:
            p.data.mul_(1.01).add_(torch.randn(p.shape, generator=generator), alpha=2e-3)
        corrector.correct_()
        for s in corrector.statistics.values():
            assert s.norm2 == pytest.approx(0.5, rel=1e-5)
    assert not searches
    for p in params:  # and where it does not, the search is there
        p.data.pow_(5)
    corrector.correct_()
    assert searches


@pytest.mark.parametrize("shape", [(64, 576), (256, 1024)])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block", BLOCKS)
def test_memory_is_less_than_a_copy_of_the_largest_layer(block, metric, shape):
    params = [torch.randn(s).mul_(0.1).requires_grad_() for s in (shape, (3, 100))]
    for p in params:
        p.grad = torch.randn(p.shape)
    corrector = LNECorrector(params, block=block, metric=metric)
    for _ in range(2):  # the first call, and one that follows it
        assert 0 < allocated_peak(corrector.correct_) < params[0].numel() * 4


def rows_of_pieces(dtype, rows, generator):
    xs = [torch.randn(rows, n, generator=generator).mul(0.2).to(dtype) for n in (3, 700, 5000)]
    vs = [torch.randn(x.shape, generator=generator).to(dtype) for x in xs]
    return xs, vs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_grouped_operations_are_the_plain_ones(dtype):
    xs, vs = rows_of_pieces(dtype, 1, torch.Generator().manual_seed(0))
    taus, cs = [0.7, 0.1, 0.05], [1.5, -2.0, 0.3]
    close = {"rtol": 1e-12, "atol": 0.0} if dtype is torch.float64 else {"rtol": 2e-6, "atol": 1e-4}
    for grouped_sums, plain in (
        (grouped.solve_sums, lambda x, v, tau: PieceSums(tau).solve(x, v)),
        (grouped.scale_sums, lambda x, v, tau: PieceSums(tau).scale(x)),
        (grouped.powers, lambda x, v, tau: PieceSums(tau).powers(x)),
    ):
        expected = [torch.cat(plain(x, v, t)) for x, v, t in zip(xs, vs, taus, strict=True)]
        found = grouped_sums(xs, vs, taus)
        torch.testing.assert_close(found, torch.stack(expected).double(), **close)
    plain = [PieceSums(t).finish(x, v, c) for x, v, t, c in zip(xs, vs, taus, cs, strict=True)]
    grouped.finish_(xs, vs, taus, cs)
    for a, b in zip(vs, plain, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block", ["layer", "channel", "network"])
def test_the_result_does_not_depend_on_the_pieces(block, metric, monkeypatch):
    whole, cut = parameters(), parameters()
    LNECorrector(whole, block=block, metric=metric).correct_()
    for name in ("_SMALLEST_PIECE", "_SMALLEST_LIMIT"):
        monkeypatch.setattr(blocks, name, 1)
    monkeypatch.setattr(blocks, "_LARGEST_PIECE", 7)
    LNECorrector(cut, block=block, metric=metric).correct_()
    for a, b in zip(whole, cut, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("block", ["layer", "channel"])
def test_memory_formats_and_strides(block):
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(6, 4, 3, 3, generator=generator, dtype=torch.float64)
    v = torch.randn(6, 4, 3, 3, generator=generator, dtype=torch.float64)
    plain = w.clone().requires_grad_()
    plain.grad = v.clone()
    LNECorrector([plain], block=block).correct_()
    layouts = [
        (w.to(memory_format=torch.channels_last), v.to(memory_format=torch.channels_last)),
        (w.to(memory_format=torch.channels_last), v.clone()),
        (w.clone(), v.to(memory_format=torch.channels_last)),
    ]
    for weight, gradient in layouts:
        p = weight.requires_grad_()
        p.grad = gradient
        where = p.grad.data_ptr()
        LNECorrector([p], block=block).correct_()
        assert p.grad.data_ptr() == where
        torch.testing.assert_close(p.grad, plain.grad, rtol=1e-13, atol=1e-14)


def test_channels_of_a_transposed_convolution_are_its_second_axis():
    layer = nn.ConvTranspose2d(3, 4, 2, bias=False, dtype=torch.float64)
    layer.weight.grad = torch.randn_like(layer.weight)
    before = layer.weight.grad.clone()
    LNECorrector(layer, select="all", block="channel", tau=0.5).correct_()
    for c in range(4):
        x, v = layer.weight[:, c].detach().reshape(-1), before[:, c].reshape(-1)
        expected = rl.LNEMetric(0.5).solve(x, v)
        torch.testing.assert_close(layer.weight.grad[:, c].reshape(-1), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(200_000, generator=generator).mul(0.05).to(dtype).requires_grad_()
    w.grad = (torch.randn(200_000, generator=generator) + 0.5).to(dtype)
    before = w.grad.double()
    corrector = LNECorrector([w], target=0.5, inverse="exact")
    corrector.correct_()
    expected = rl.LNEMetric(rl.auto_tau(w.detach().double(), 0.5)).solve(
        w.detach().double(), before
    )
    torch.testing.assert_close(w.grad, expected.to(dtype), rtol=1e-2, atol=1e-3)
    assert corrector.statistics["parameter 0"].norm2 == pytest.approx(0.5, rel=1e-5)


def test_statistics_are_those_of_the_change():
    for metric in METRICS:
        for block in BLOCKS:
            params = parameters()
            before = [p.grad.clone() for p in params]
            corrector = LNECorrector(params, 0.2, block=block, metric=metric)
            corrector.correct_()
            pairs = list(zip(before, [p.grad for p in params], strict=True))
            if block == "network" and metric == "lne":  # one block, one value
                pairs = [
                    tuple(
                        torch.cat([t.reshape(-1) for t in side])
                        for side in zip(*pairs, strict=False)
                    )
                ]
                pairs *= len(params)
            for index, (v, new) in enumerate(pairs):
                found = corrector.statistics[f"parameter {index}"]
                cosine = (v * new).sum() / (v.norm() * new.norm())
                assert found.relative_change == pytest.approx(
                    float((new - v).norm() / v.norm()), rel=1e-9
                )
                # the arccosine of a number next to 1 has no digits: the cosines are compared
                assert math.cos(found.angle) == pytest.approx(float(cosine), abs=1e-14)
                assert found.angle > 1e-4
                if metric == "lne" and block in ("layer", "channel"):
                    g = [rl.LNEMetric(0.2).matrix(x) for x in blocks_of([params[index]], block)]
                    condition = max(float(torch.linalg.cond(m)) for m in g)
                    assert found.condition == pytest.approx(condition, rel=1e-12)
                    assert found.norm2 >= 1 - 1 / condition - 1e-12
    assert set(corrector.statistics["parameter 0"].as_dict()) >= {"tau", "norm2", "angle"}


def test_no_statistics_no_difference():
    for metric in METRICS:
        with_them, without = parameters(), parameters()
        LNECorrector(with_them, metric=metric).correct_()
        corrector = LNECorrector(without, metric=metric, statistics=False)
        corrector.correct_()
        assert corrector.statistics == {}
        for a, b in zip(with_them, without, strict=True):
            assert torch.equal(a.grad, b.grad)


def test_a_large_tau_is_rescaled_replaced_or_refused():
    rescaled, auto, weak, exact = (parameters() for _ in range(4))
    corrector = LNECorrector(rescaled, 5.0, 0.3)
    with pytest.warns(UserWarning, match=r"'parameter 0', .* 'parameter 2'.*as by 'auto'"):
        corrector.correct_()
    assert [s.indefinite for s in corrector.statistics.values()] == [1, 1, 1]
    LNECorrector(auto, "auto", 0.3).correct_()
    with pytest.warns(UserWarning, match="the weak inverse is taken"):
        LNECorrector(weak, 5.0, on_indefinite="weak").correct_()
    LNECorrector(exact, 5.0, inverse="weak").correct_()
    for a, b, c, d in zip(rescaled, auto, weak, exact, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=0)
        assert torch.equal(c.grad, d.grad)
    refused = parameters()
    before = [p.grad.clone() for p in refused]
    with pytest.raises(NotPositiveDefiniteError, match=r"tau = 5 .*parameter 1.*smaller tau"):
        LNECorrector(refused, 5.0, on_indefinite="raise").correct_()
    assert all(torch.equal(p.grad, b) for p, b in zip(refused, before, strict=True))


def test_only_the_indefinite_channels_are_rescaled():
    w = torch.full((2, 50), 0.01, dtype=torch.float64)
    w[1] = 1.0
    w.requires_grad_()
    w.grad = torch.ones_like(w)
    corrector = LNECorrector([w], 1.0, 0.5, block="channel")
    with pytest.warns(UserWarning, match="channel 1"):
        corrector.correct_()
    assert corrector.statistics["parameter 0"].indefinite == 1
    one = torch.ones(50, dtype=torch.float64)
    torch.testing.assert_close(w.grad[0], rl.LNEMetric(1.0).solve(w[0].detach(), one))
    tau = rl.auto_tau(w[1].detach(), 0.5)
    torch.testing.assert_close(w.grad[1], rl.LNEMetric(tau).solve(w[1].detach(), one))


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block", ["layer", "channel", "weight"])
def test_gradients_that_are_not_finite_pass_untouched(bad, metric, block):
    params = parameters()
    params[0].grad[1, 0, 0, 0] = bad
    before = [p.grad.clone() for p in params]
    corrector = LNECorrector(params, 0.1, metric=metric, block=block)
    corrector.correct_()
    row = 1 if block == "channel" else slice(None)
    assert torch.equal(params[0].grad[row].nan_to_num(9.0), before[0][row].nan_to_num(9.0))
    assert not torch.equal(params[1].grad, before[1])
    assert not corrector.statistics["parameter 0"].corrected
    assert corrector.statistics["parameter 1"].corrected


@pytest.mark.parametrize("metric", METRICS)
def test_it_is_linear_and_commutes_with_the_scale_of_a_loss(metric):
    def solve(x, v):
        p = nn.Parameter(torch.tensor(x))
        p.grad = torch.tensor(v)
        LNECorrector([p], 0.7, metric=metric).correct_()
        return p.grad.numpy()

    check_corrector(solve, tau=0.7, norm2=[0.1, 0.9], checks=["linear", "scaling", "input"])


def model_and_data():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    quantize_(model, QuantConfig(weight_bits=1))
    return model, torch.randn(8, 4, dtype=torch.float64)


def test_attach_is_correct_before_step_and_can_be_removed():
    hooked, x = model_and_data()
    by_hand = copy.deepcopy(hooked)
    plain = copy.deepcopy(hooked)
    results = []
    for model, mode in ((hooked, "hook"), (by_hand, "hand"), (plain, "none")):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        corrector = LNECorrector(model, target=0.5)
        handle = corrector.attach(optimizer) if mode == "hook" else None
        model(x).square().sum().backward()
        if mode == "hand":
            corrector.correct_()
        optimizer.step()
        results.append([p.detach().clone() for p in model.parameters()])
        if handle is not None:
            handle.remove()
            corrector.statistics = {}
            optimizer.step()
            assert corrector.statistics == {}
    for a, b, c in zip(*results, strict=True):
        assert torch.equal(a, b)
        if a.ndim == 2:
            assert not torch.equal(a, c)


def test_a_closure_is_refused():
    model, x = model_and_data()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    LNECorrector(model).attach(optimizer)
    for call in (
        lambda: optimizer.step(lambda: 0.0),
        lambda: optimizer.step(closure=lambda: 0.0),
    ):
        with pytest.raises(InvalidArgumentError, match=r"lightning\.LNECallback"):
            call()
    model(x).sum().backward()
    optimizer.step(None)
    optimizer.step(closure=None)


def test_attach_to_a_strange_optimizer():
    model, _ = model_and_data()
    other = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    with pytest.raises(InvalidArgumentError, match="none of the corrected parameters"):
        LNECorrector(model).attach(other)
    with pytest.raises(InvalidArgumentError, match=r"expected a torch\.optim\.Optimizer, got int"):
        LNECorrector(model).attach(3)


def test_a_missing_gradient_is_said_once():
    params = parameters()
    params[1].grad = None
    corrector = LNECorrector(params)
    with pytest.warns(UserWarning, match="no gradient, not corrected: parameter 1"):
        corrector.correct_()
    corrector.correct_()  # warnings are errors in this suite
    assert set(corrector.statistics) == {"parameter 0", "parameter 2"}
    for p in params:
        p.grad = None
    with pytest.warns(UserWarning, match="parameter 0, parameter 2"):
        corrector.correct_()


def test_state_dict_goes_around(tmp_path):
    one, other = parameters(), parameters()
    corrector = LNECorrector(one, target=0.6, block="channel")
    corrector.correct_()
    torch.save(corrector.state_dict(), tmp_path / "state.pt")
    fresh = LNECorrector(other, target=0.6, block="channel")
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for name, tau in corrector.state_dict()["tau"].items():
        assert torch.equal(fresh.state_dict()["tau"][name], tau)
    with pytest.raises(
        InvalidArgumentError, match=r"other options; use the same \(target: 0.6 there, 0.5 here"
    ):
        LNECorrector(other, block="channel").load_state_dict(corrector.state_dict())
    with pytest.raises(InvalidArgumentError, match="parameter 2"):
        LNECorrector(other[:2], target=0.6, block="channel").load_state_dict(corrector.state_dict())


def test_a_mapping_gives_each_layer_its_tau():
    params = parameters()
    named = list(zip(("conv", "fc.1", "fc.2"), params, strict=True))
    before = [p.grad.clone() for p in params]
    LNECorrector(named, {"conv": 0.1, "fc.*": 0.2}).correct_()
    for (_, p), v, tau in zip(named, before, (0.1, 0.2, 0.2), strict=True):
        expected = rl.LNEMetric(tau).solve(p.detach().reshape(-1), v.reshape(-1))
        torch.testing.assert_close(p.grad.reshape(-1), expected)
    with pytest.raises(InvalidArgumentError, match=r"no entry for layer 'fc\.1'"):
        LNECorrector(named, {"conv": 0.1})


def test_what_is_selected():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    names = lambda **options: [w.name for w in LNECorrector(model, **options).weights]  # noqa: E731
    assert names(select="all") == ["0", "3"]
    assert names(select=("1", "3")) == ["1", "3"]
    assert names(select=lambda name, module: isinstance(module, nn.Linear)) == ["3"]
    with pytest.raises(InvalidArgumentError, match=r"no quantised layers.*select.*: 0, 1, 3"):
        LNECorrector(model)
    with pytest.raises(InvalidArgumentError, match="no layer matches the pattern 'x'"):
        LNECorrector(model, select=("0", "x"))
    quantize_(model, QuantConfig(skip=("3",)))
    assert names() == ["0"]
    with pytest.raises(InvalidArgumentError, match="leave select out"):
        LNECorrector(model.parameters(), select="all")


def test_tied_and_frozen_weights():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    model[2].weight.requires_grad_(False)
    with pytest.warns(UserWarning, match="frozen.*: 2"):
        corrector = LNECorrector(model, select="all")
    assert [w.name for w in corrector.weights] == ["0"]
    model.requires_grad_(False)
    with (
        pytest.warns(UserWarning, match="frozen"),
        pytest.raises(InvalidArgumentError, match="every selected layer is frozen"),
    ):
        LNECorrector(model, select="all")


def one(*shape, **options):
    p = torch.ones(shape, **options).requires_grad_(
        options.get("dtype", torch.float32).is_floating_point
    )
    if p.dtype.is_floating_point:
        p.grad = torch.ones_like(p)
    return p


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: [("a", one())], ShapeError, "layer 'a': its weight is a scalar"),
        (lambda: [("a", one(0, 3))], ShapeError, r"layer 'a': its weight has shape \(0, 3\)"),
        (lambda: [("a", one(3, dtype=torch.int64))], DTypeError, "layer 'a'.*int64"),
        (lambda: [("a", torch.ones(3, dtype=torch.complex64))], DTypeError, "'a'.*complex64"),
        (lambda: [("a", 3.0)], InvalidArgumentError, "got float as 'a'"),
        (lambda: [], InvalidArgumentError, "no parameters to work on"),
    ],
)
def test_bad_parameters(make, error, message):
    with pytest.raises(error, match=message):
        LNECorrector(make())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"block": "filter"}, UnknownNameError, "channel"),
        ({"metric": "euclid"}, UnknownNameError, "known: dual"),
        ({"inverse": "strong"}, UnknownNameError, "exact"),
        ({"on_indefinite": "ignore"}, UnknownNameError, "rescale"),
        ({"tau": 0.0}, InvalidArgumentError, "greater than 0, .* got 0.0 for layer"),
        ({"tau": math.nan}, InvalidArgumentError, "finite"),
        ({"tau": "big"}, InvalidArgumentError, "'auto', got 'big'"),
        ({"tau": True}, InvalidArgumentError, "got True"),
        (
            {"target": 1.0},
            InvalidArgumentError,
            "target = 1.0; give a finite number above 0 and below 1",
        ),
        ({"metric": "dual", "inverse": "weak"}, InvalidArgumentError, "only 'exact'"),
        ({"flow_time": -1.0}, InvalidArgumentError, "flow_time"),
        ({"largest_factor": 1.0}, InvalidArgumentError, "largest_factor"),
        (
            {"block": "network", "tau": {"parameter 0": 0.1, "*": 0.2}},
            InvalidArgumentError,
            "one block with one tau",
        ),
        (
            {"block": "weight", "tau": {"parameter 0": 0.1, "*": "auto"}},
            InvalidArgumentError,
            "blocks of one weight",
        ),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        LNECorrector(parameters(), **options)


@pytest.mark.parametrize("metric", ["lne", "flowed", "hessian", "dual"])
@pytest.mark.parametrize("block", ["channel", "layer", "network"])
def test_a_block_of_zeros_keeps_its_gradient(block, metric):
    """Pruned channels, padding rows, matrices that start at zero: t = 0, so that g = I.

    Looked at: the first call, calls after it, a block that leaves zero, statistics, and the
    estimators, whose tau comes from `auto_tau` (test_channels.py). The flowed metric of zeros is a
    multiple of the identity.
    """
    params = parameters()
    with torch.no_grad():
        for p in params if block == "network" else params[1:2]:
            p.zero_() if block != "channel" else p[2].zero_()
    corrector = LNECorrector(params, block=block, metric=metric)
    for _ in range(2):
        plain = [torch.randn_like(p) for p in params]
        for p, g in zip(params, plain, strict=True):
            p.grad = g.clone()
        corrector.correct_()
        index = 2 if block == "channel" else slice(None)
        got, want = params[1].grad[index], plain[1][index]
        ratio = got / want
        torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio.flatten()[0])))
        if metric != "flowed":
            assert torch.equal(got, want)
        if block != "network":
            assert not torch.equal(params[0].grad, plain[0])
        statistics = corrector.statistics["parameter 1"]
        assert math.isnan(statistics.tau) is (block != "channel")
        assert math.isfinite(statistics.relative_change)
    with torch.no_grad():  # what leaves zero is corrected as if it had never been there
        params[1][2] = 0.3
    corrector.correct_()
    for p in params:
        p.grad = torch.randn_like(p)
    fresh = LNECorrector(params, block=block, metric=metric)
    fresh.correct_()
    got, want = (c.statistics["parameter 1"].tau for c in (corrector, fresh))
    assert got == pytest.approx(want, rel=1e-6)


def test_broken_weights_are_named():
    params = parameters()
    params[2].data[0] = math.nan
    for tau in ("auto", 0.1):
        with pytest.raises(NotFiniteError, match="'parameter 2': the weights hold NaN"):
            LNECorrector([("parameter 2", params[2])], tau).correct_()


def test_a_sparse_gradient_is_refused():
    layer = nn.Embedding(5, 3, sparse=True)
    layer(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(DTypeError, match="sparse=False"):
        LNECorrector(layer, select="all").correct_()


def test_the_hessian_factor_is_bounded():
    w = torch.tensor([0.1, 10.0], dtype=torch.float64).requires_grad_()
    w.grad = torch.ones_like(w)
    LNECorrector([w], 1.0, metric="hessian", largest_factor=25.0).correct_()
    torch.testing.assert_close(
        w.grad, torch.tensor([math.cosh(0.1) ** 2, 25.0], dtype=torch.float64)
    )
