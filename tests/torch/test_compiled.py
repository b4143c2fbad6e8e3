"""The corrector's compiled loops: what they give, where they are taken, and what stands in."""

import logging
from functools import cache

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from riemann_lne.errors import KernelUnavailableError, UnknownNameError  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    LNECorrector,
    RicciFlowRegularizer,
    quantize_,
)
from riemann_lne_torch.natural import compiled  # noqa: E402

SHAPES = (32, 16, 3, 3), (10, 400), (7,)


@pytest.fixture(autouse=True)
def _compiler():
    try:
        compiled.weight_kernel("float64")
    except KernelUnavailableError as error:
        pytest.skip(str(error))


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(s, generator=generator).mul_(0.2).to(dtype) for s in SHAPES]
    for p in params:
        p.requires_grad_()
        p.grad = torch.randn(p.shape, generator=generator).to(dtype)
    return params


@pytest.fixture
def calls(monkeypatch):
    """Names of the loops that have run."""
    found = []
    plain = compiled.Compiled.sums
    monkeypatch.setattr(
        compiled.Compiled,
        "sums",
        lambda self, name, *numbers: found.append(name) or plain(self, name, *numbers),
    )
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("inverse", ["exact", "weak"])
@pytest.mark.parametrize("block", ["layer", "channel", "network"])
@pytest.mark.parametrize("tau", ["auto", 0.02])
def test_both_ways_give_the_same(tau, block, inverse, dtype, calls):
    one, other = parameters(dtype), parameters(dtype)
    correctors = [
        LNECorrector(params, tau, block=block, inverse=inverse, kernel=kernel)
        for params, kernel in ((one, "fused"), (other, "plain"))
    ]
    for step in range(3):
        for corrector, params in zip(correctors, (one, other), strict=True):
            for p in params:
                p.data.mul_(1.0 + 0.01 * step)
            corrector.correct_()
    close = {
        torch.float32: {"rtol": 1e-5, "atol": 1e-6},
        torch.float64: {"rtol": 1e-12, "atol": 1e-13},
    }
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.grad, b.grad, **close[dtype])
    for name, found in correctors[0].statistics.items():
        expected = correctors[1].statistics[name]
        assert found.norm2 == pytest.approx(expected.norm2, rel=1e-5)
        assert found.relative_change == pytest.approx(expected.relative_change, rel=1e-4)
    assert calls.count("solve") >= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize("block", ["layer", "channel", "network"])
@pytest.mark.parametrize("target", [0.5, 0.9])
def test_both_ways_give_the_same_with_the_curvature_of_the_loss(
    target, block, statistics, dtype, calls
):
    one, other = parameters(dtype), parameters(dtype)
    options = {"block": block, "statistics": statistics, "curvature": "fisher", "keep": 0.9}
    correctors = [
        LNECorrector(params, target=target, kernel=kernel, **options)
        for params, kernel in ((one, "fused"), (other, "plain"))
    ]
    for _ in range(3):  # the first knows no curvature
        for corrector in correctors:
            corrector.correct_()
    close = {
        torch.float32: {"rtol": 1e-4, "atol": 1e-5},
        torch.float64: {"rtol": 1e-11, "atol": 1e-12},
    }[dtype]
    for a, b, first in zip(one, other, parameters(dtype), strict=True):
        assert not torch.equal(a.grad, first.grad)
        torch.testing.assert_close(a.grad, b.grad, **close)
    found, expected = (c.state_dict()["curvature"] for c in correctors)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], **close)
    for name, value in correctors[0].statistics.items():
        wanted = correctors[1].statistics[name]
        assert value.relative_change == pytest.approx(wanted.relative_change, rel=1e-3)
        assert value.angle == pytest.approx(wanted.angle, rel=1e-3, abs=1e-3)
    names = {"shifted_total": 3, "shifted_change": 3 * statistics}
    assert {name: calls.count(name) for name in names} == names
    assert calls.count("shifted_solve") >= 3


@pytest.mark.parametrize("kernel", ["fused", "plain"])
def test_a_gradient_whose_square_overflows_leaves_the_curvature_as_it_is(kernel):
    """It is not infinite in double precision, in which the compiled sums are."""
    params = parameters()
    corrector = LNECorrector(params, kernel=kernel, curvature="fisher")
    corrector.correct_()
    before = corrector.state_dict()["curvature"]
    params[1].grad[0, 0] = 1e25
    kept = params[1].grad.clone()
    corrector.correct_()
    after = corrector.state_dict()["curvature"]
    assert torch.equal(params[1].grad, kept)
    assert torch.equal(after["parameter 1"], before["parameter 1"])
    assert not torch.equal(after["parameter 0"], before["parameter 0"])


def test_curvature_from_hessians_is_read_and_not_written():
    p = torch.linspace(-0.5, 0.6, 80 * 64).reshape(80, 64).requires_grad_()
    corrector = LNECorrector([p], kernel="fused", curvature="hutchinson")
    loss = (p**3).sum()
    corrector.observe_curvature_(loss)
    loss.backward()
    before = corrector.state_dict()["curvature"]["parameter 0"]
    assert before.min() < 0.0 < before.max()
    corrector.correct_()
    assert torch.equal(corrector.state_dict()["curvature"]["parameter 0"], before)


def test_auto_takes_them_for_networks_of_some_size(calls):
    params = parameters()
    LNECorrector(params[2:]).correct_()
    assert not calls
    LNECorrector(params).correct_()
    assert calls
    calls.clear()
    LNECorrector(params, kernel="plain").correct_()
    LNECorrector(parameters(torch.bfloat16)).correct_()
    assert not calls


class Elsewhere(torch.Tensor):
    """Stands for tensors that keep their numbers in a way of their own."""


def test_where_there_are_none_fused_says_why_and_auto_goes_on():
    half, mixed, own = parameters(torch.float16), parameters(), parameters()
    mixed[1] = mixed[1].detach().double().requires_grad_()
    mixed[1].grad = torch.ones_like(mixed[1])
    own[1] = own[1].detach().as_subclass(Elsewhere).requires_grad_()
    own[1].grad = torch.ones(SHAPES[1]).as_subclass(Elsewhere)
    gaps = [torch.randn(20, 600)[:, ::2].requires_grad_()]
    gaps[0].grad = torch.ones(20, 600)[:, ::2]
    for params, message in (
        (half, "parameter 0.*all of float32 or all of float64, not torch.float16"),
        (mixed, "parameter 1.*not torch.float64"),
        (own, "parameter 1.*plain tensors on the host"),
        (gaps, "parameter 0.*without gaps"),
    ):
        with pytest.raises(KernelUnavailableError, match=message):
            LNECorrector(params, kernel="fused").correct_()
        LNECorrector(params).correct_()


def test_without_a_compiler(monkeypatch, caplog):
    asked = []

    def refuse(dtype):
        asked.append(dtype)
        raise KernelUnavailableError("no C compiler works")

    monkeypatch.setattr(compiled, "weight_kernel", refuse)
    monkeypatch.setattr(
        compiled, "_kernel_or_reason", cache(compiled._kernel_or_reason.__wrapped__)
    )
    compiled._say_once.cache_clear()
    params, plain = parameters(), parameters()
    corrector = LNECorrector(params)
    with caplog.at_level(logging.WARNING, logger="riemann_lne.kernels"):
        corrector.correct_()
        corrector.correct_()
    assert [r.message for r in caplog.records] == [
        "running without compiled loops on weights, some times slower: no C compiler works"
    ]
    other = LNECorrector(plain, kernel="plain")
    other.correct_()
    other.correct_()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(params, plain, strict=True))
    with pytest.raises(KernelUnavailableError, match="no C compiler"):
        LNECorrector(params, kernel="fused").correct_()
    assert asked == ["float32"]  # looked for once, not at every step


def test_autograd_sees_that_the_gradient_was_written():
    p = torch.randn(SHAPES[1]).requires_grad_()
    (p.grad,) = torch.autograd.grad((p**3).sum(), p, create_graph=True)
    saved = (p.grad**2).sum()
    LNECorrector([p], kernel="fused").correct_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.backward()


def test_an_unknown_choice_is_refused():
    with pytest.raises(UnknownNameError, match="fast"):
        LNECorrector(parameters(), kernel="fast")


def regularizer(kernel, **options):
    torch.manual_seed(0)
    model = quantize_(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 80)))
    loss_fn = torch.nn.functional.cross_entropy
    penalty = RicciFlowRegularizer(model, loss_fn, step=0.1, kernel=kernel, **options)
    return model, penalty, torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])


def test_where_the_regulariser_takes_the_loops(calls):
    for kernel, expected in (("plain", False), ("auto", True), ("fused", True)):
        calls.clear()
        _, penalty, x, y = regularizer(kernel)
        penalty(x, y)
        assert ("scale" in calls) is expected
    model, penalty, x, y = regularizer("fused")
    model.bfloat16()
    with pytest.raises(KernelUnavailableError, match=r"layer '1.*not torch.bfloat16"):
        penalty(x.bfloat16(), y)
    model, penalty, x, y = regularizer("auto")
    model.bfloat16()
    assert penalty(x.bfloat16(), y).isfinite()
    with pytest.raises(UnknownNameError, match="fast"):
        regularizer("fast")
