"""The exact inverse where 1 - |t|^2 is small, against a dense solve in double precision.

Looked at: single, double and half precision, the corrector and the estimator, blocks of layers,
channels and the network, the plain, grouped and compiled ways, tau by target and by hand, tau that
is followed from call to call, gradients across t (where errors grow by the condition number), the
flowed metric, one dominating weight, tau that is rescaled.
"""

import warnings

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

import riemann_lne as rl  # noqa: E402
from riemann_lne.errors import ConvergenceError  # noqa: E402
from riemann_lne_torch import LNECorrector  # noqa: E402
from riemann_lne_torch.estimators import LNE, FlowedLNE, Site, estimate  # noqa: E402
from riemann_lne_torch.natural.block_sums import Blocks  # noqa: E402

TARGETS = (0.6, 0.9, 0.9999)
BOUND = 1e-5


def parameters(dtype, across=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape in ((5, 40), (3, 4, 5)):
        p = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
        v = torch.randn(shape, generator=generator)
        if across:  # nearly at right angles to t: what is left of t . v decides
            w = p.detach().double()
            t = torch.tanh(rl.auto_tau(w.flatten(), 0.9999) * w)
            v = (v - (1 - 1e-3) * (v * t).sum() / (t * t).sum() * t).float()
        p.grad = v.to(dtype)
        made.append(p)
    return made


def rows(tensors, block):
    flat = [t.detach().double().clone() for t in tensors]
    if block == "network":
        return [torch.cat([t.flatten() for t in flat])]
    if block == "layer":
        return [t.flatten() for t in flat]
    return [row.flatten() for t in flat for row in t]


def dense(w, v, tau):
    t = torch.tanh(tau * w)
    return torch.linalg.solve(torch.eye(len(t), dtype=t.dtype) - torch.outer(t, t), v)


def error(got, want):
    return float((got - want).norm() / want.norm())


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("across", [False, True], ids=["any", "across"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("block", ["layer", "channel", "network"])
def test_the_corrector(block, dtype, across):
    for target in TARGETS:
        for tau in ("auto", "given"):
            params = parameters(dtype, across)
            w, v = rows(params, block), rows([p.grad for p in params], block)
            right = [rl.auto_tau(x, target) for x in w]
            given = "auto" if tau == "auto" else min(right)
            corrector = LNECorrector(params, given, target, block=block)
            for _ in range(2):  # found, and followed
                for p, gradient in zip(params, parameters(dtype, across), strict=True):
                    p.grad = gradient.grad
                corrector.correct_()
                got = rows([p.grad for p in params], block)
                for x, plain, new, own in zip(w, v, got, right, strict=True):
                    scale = own if given == "auto" else given
                    assert error(new, dense(x, plain, scale)) < BOUND, (target, tau)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("block", ["layer", "channel"])
def test_the_estimator_is_the_corrector(block, dtype):
    for target in TARGETS:
        for by_hand in (False, True):
            for p in parameters(dtype):
                v = p.grad
                w = rows([p], block)
                tau = min(rl.auto_tau(x, target) for x in w) if by_hand else "auto"
                p.grad = None
                estimate(p, LNE(tau, target, block), Site()).backward(v)
                found, p.grad = p.grad, v.clone()
                other = p.detach().clone().requires_grad_()
                other.grad = v.clone()
                LNECorrector([other], tau, target, block=block).correct_()
                assert error(found, other.grad) < BOUND
                pairs = zip(w, rows([v], block), rows([found], block), strict=True)
                for x, plain, new in pairs:
                    scale = tau if by_hand else rl.auto_tau(x, target)
                    assert error(new, dense(x, plain, scale)) < BOUND


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_loses_its_own_rounding_alone(dtype):
    for target in (0.9, 0.999):
        for p in parameters(dtype):
            w, v = p.detach().double().flatten(), p.grad.double().flatten()
            right = dense(w, v, rl.auto_tau(w, target))
            LNECorrector([p], target=target).correct_()
            got = p.grad.double().flatten()
            assert error(got, right) < 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("block", ["layer", "channel"])
def test_the_flowed_metric(block):
    for target in (0.9, 0.9999):
        single, double = parameters(torch.float32), parameters(torch.float32)
        double = [p.detach().double().requires_grad_() for p in double]
        for p, q in zip(single, double, strict=True):
            q.grad = p.grad.double()
            w = p.detach().clone().requires_grad_()
            estimate(w, FlowedLNE("auto", target, block), Site()).backward(p.grad.clone())
            LNECorrector([p], target=target, block=block, metric="flowed").correct_()
            LNECorrector([q], target=target, block=block, metric="flowed").correct_()
            assert error(p.grad.double(), q.grad) < BOUND
            assert error(w.grad.double(), q.grad) < BOUND


@pytest.mark.usefixtures("way")
def test_many_weights_and_one_that_dominates():
    for made in (torch.randn(20_000), torch.full((1000,), 1e-4)):
        if made[0] == made[1]:
            made[17] = 2.0
        p = made.requires_grad_()
        p.grad = torch.randn(p.shape)
        w, v = p.detach().double(), p.grad.double()
        t = torch.tanh(rl.auto_tau(w, 0.9999) * w)
        LNECorrector([p], target=0.9999).correct_()
        assert error(p.grad.double(), v + t * (t @ v) / (1 - 0.9999)) < BOUND


@pytest.mark.usefixtures("way")
def test_a_tau_that_is_rescaled():
    (p, _) = parameters(torch.float32)
    w, v = rows([p], "layer")[0], rows([p.grad], "layer")[0]
    with pytest.warns(UserWarning, match="as by 'auto'"):
        LNECorrector([p], 50.0, 0.999).correct_()
    assert error(rows([p.grad], "layer")[0], dense(w, v, rl.auto_tau(w, 0.999))) < BOUND


def test_where_there_is_no_double_precision_it_is_not_the_weak_inverse_in_silence(monkeypatch):
    monkeypatch.setattr(Blocks, "widen", lambda self: None)
    for seed in range(3):
        (p, _) = parameters(torch.float32, seed=seed)
        w, v = rows([p], "layer")[0], rows([p.grad], "layer")[0]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                LNECorrector([p], target=0.9999999, kernel="plain").correct_()
            except ConvergenceError as refused:
                said = str(refused)
            else:
                said = ""
        got = rows([p.grad], "layer")[0]
        if said:
            assert "no tau was found for |t|^2 = 0.9999999" in said
            assert torch.equal(got, v)
        else:
            assert error(got, dense(w, v, rl.auto_tau(w, 0.9999999))) < 0.1
