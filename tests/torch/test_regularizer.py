"""N against dense matrices, its derivative, its gate, and that virtual passes leave no trace."""

import copy
import math

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

import riemann_lne as rl  # noqa: E402
from riemann_lne.errors import (  # noqa: E402
    InvalidArgumentError,
    NotPositiveDefiniteError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne_torch import (  # noqa: E402
    LNECorrector,
    QuantConfig,
    RicciFlowRegularizer,
    algorithm_1_step,
    algorithm_2_step,
    quantize_,
    translate,
)

pytestmark = pytest.mark.usefixtures("way")

nn = torch.nn
cross_entropy = nn.functional.cross_entropy
SHIFTS = ((2, -1), (1, -2))
DK, DJ = 3, 3


class Net(nn.Module):
    """Two quantised layers, batch norm and dropout: all that a virtual pass could disturb."""

    def __init__(self, dropout=0.0, norm=False):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3) if norm else nn.Identity()
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(3 * 36, 4)

    def forward(self, x):
        return self.fc(self.drop(torch.tanh(self.norm(self.conv(x)))).flatten(1))


def setup(dtype=torch.float64, estimator="ste", seed=0, **options):
    torch.manual_seed(seed)
    model = Net(**options).to(dtype)
    quantize_(model, QuantConfig(weight_bits=1, estimator=estimator, weight_scale="mean"))
    x = torch.randn(6, 1, 8, 8, dtype=dtype)
    return model, x, torch.randint(4, (6,))


def gradient_at(model, values, x, y):
    """dL/dw of the latent weights with other values put in by hand."""
    twin = copy.deepcopy(model)
    latents = [p for _, p in twin.named_parameters() if p.ndim > 1]
    with torch.no_grad():
        for p, v in zip(latents, values, strict=True):
            p.copy_(v)
    twin.zero_grad()
    cross_entropy(twin(x), y).backward()
    return [p.grad.clone() for p in latents]


def latents(model):
    return [p for _, p in model.named_parameters() if p.ndim > 1]


def four(x, shifts=SHIFTS, fill="zero"):
    (k1, k2), (j1, j2) = shifts
    return [translate(x, *s, fill) for s in ((k1, 0), (k2, 0), (0, j1), (0, j2))]


def virtual_weights(model, x, y, step):
    """w|k1, w|k2, w|j1, w|j2 and the second step from w|k1, by hand."""
    now = [p.detach().clone() for p in latents(model)]
    moved = []
    for batch in four(x):
        gradients = gradient_at(model, now, batch, y)
        moved.append([w - step * g for w, g in zip(now, gradients, strict=True)])
    again = gradient_at(model, moved[0], four(x)[0], y)
    following = [w - step * g for w, g in zip(moved[0], again, strict=True)]
    return following, moved


def dense(vectors, dk=DK, dj=DJ):
    """Eq. 35 with n-by-n matrices, from (t_next_k1, t_k1, t_k2, t_j1, t_j2), in float64."""
    vectors = [t.double().reshape(-1) for t in vectors]
    eye = torch.eye(len(vectors[0]), dtype=torch.float64)
    following, k1, k2, j1, j2 = (eye - torch.outer(t, t) for t in vectors)
    defect = following - k1 - (k1 - k2) / dk + (j1 - j2) / dj
    return (defect**2).sum()


@pytest.mark.parametrize("tau", ["auto", 0.05], ids=["auto", "given"])
@pytest.mark.parametrize("relative", [True, False])
def test_n_is_the_dense_one(tau, relative):
    model, x, y = setup()
    following, moved = virtual_weights(model, x, y, 0.3)
    penalty = RicciFlowRegularizer(
        model, cross_entropy, SHIFTS, step=0.3, tau=tau, relative=relative, reduction="sum"
    )
    n = penalty(x, y)
    expected = []
    for i, w in enumerate(latents(model)):
        scale = rl.auto_tau(w.detach().reshape(-1), 0.5) if tau == "auto" else tau
        t = [torch.tanh(scale * v[i]) for v in (following, *moved)]
        s = torch.tanh(scale * w.detach()).square().sum()
        expected.append(dense(t) / (s**2 if relative else 1.0))
    found = [d.value for d in penalty.statistics.values()]
    assert found == pytest.approx([float(e) for e in expected], rel=1e-12)
    assert float(n.detach()) == pytest.approx(float(sum(expected)), rel=1e-12)
    penalty.reduction = "mean"
    assert float(penalty(x, y).detach()) == pytest.approx(float(sum(expected)) / 2, rel=1e-12)


@pytest.mark.parametrize("relative_step", [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_core_keeps_its_precision_at_small_steps(dtype, relative_step):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, generator=generator, dtype=torch.float64)
    steps = [
        relative_step * torch.randn(300, generator=generator, dtype=torch.float64) for _ in range(5)
    ]
    x, steps = x.to(dtype), [s.to(dtype) for s in steps]
    tau = float(rl.auto_tau(x.double(), 0.5))
    # the reference in 40 digits would be the same: float64 dense loses eps/relative_step
    t = [torch.tanh(tau * (x.double() + s.double())) for s in steps]
    expected = float(dense(t, 2, 2))
    found = float(rl.lne.discrete_flow_defect_of_steps(x, *steps, 2, 2, tau))
    tolerance = 1e-5 if dtype is torch.float32 else max(1e-12, 1e-15 / relative_step * 10)
    assert found == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("relative_step", [1e-1, 1e-4])
def test_in_double_precision_n_is_right_to_12_digits(relative_step):
    mp = pytest.importorskip("mpmath").mp
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, generator=generator, dtype=torch.float64)
    steps = [
        relative_step * torch.randn(12, generator=generator, dtype=torch.float64) for _ in range(5)
    ]
    with mp.workdps(50):
        t = [
            [
                mp.tanh(mp.mpf(0.2) * (mp.mpf(a) + mp.mpf(b)))
                for a, b in zip(x.tolist(), s.tolist(), strict=True)
            ]
            for s in steps
        ]
        c = [mp.mpf(1), -1 - mp.mpf(1) / 2, mp.mpf(1) / 2, mp.mpf(1) / 2, -mp.mpf(1) / 2]
        expected = mp.mpf(0)
        for i in range(12):
            for j in range(12):
                expected += mp.fsum(ca * ta[i] * ta[j] for ca, ta in zip(c, t, strict=True)) ** 2
    found = float(rl.lne.discrete_flow_defect_of_steps(x, *steps, 2, 2, 0.2))
    assert found == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("denominator", ["constant", "differentiated"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_first_order_derivative_is_that_of_the_dense_form(dtype, denominator):
    model, x, y = setup(dtype)
    step, tau = 0.3, 0.05
    following, moved = virtual_weights(model, x, y, step)
    penalty = RicciFlowRegularizer(
        model, cross_entropy, SHIFTS, step=step, tau=tau, denominator=denominator, reduction="sum"
    )
    found = torch.autograd.grad(penalty(x, y), latents(model))
    for i, w in enumerate(latents(model)):
        leaf = w.detach().double().requires_grad_()
        # virtual gradients are constants: the virtual weights move with w
        t = [torch.tanh(tau * (leaf + (v[i] - w.detach()).double())) for v in (following, *moved)]
        s = torch.tanh(tau * leaf).square().sum()
        s = s.detach() if denominator == "constant" else s
        (expected,) = torch.autograd.grad(dense(t) / s**2, leaf)
        error = (found[i].double() - expected).norm() / expected.norm()
        # in float32 the hand-made steps above carry eps |w|/|step| themselves
        assert error < (1e-4 if dtype is torch.float32 else 1e-11)


def test_the_second_order_derivative_is_a_difference_quotient():
    # a smooth estimator and a smooth net in float weights: the quantiser itself has no derivative
    torch.manual_seed(0)
    model = Net().double()
    x, y = torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.randint(4, (6,))
    penalty = RicciFlowRegularizer(
        model,
        cross_entropy,
        SHIFTS,
        step=0.3,
        tau=0.05,
        derivative="second",
        relative=False,
        reduction="sum",
        select=("conv", "fc"),
    )
    first = RicciFlowRegularizer(
        model,
        cross_entropy,
        SHIFTS,
        step=0.3,
        tau=0.05,
        relative=False,
        reduction="sum",
        select=("conv", "fc"),
    )
    weights = [model.conv.weight, model.fc.weight]
    found = torch.autograd.grad(penalty(x, y), weights)
    other = torch.autograd.grad(first(x, y), weights)
    for w, g, h in zip(weights, found, other, strict=True):
        direction = torch.randn_like(w)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                w.add_(direction, alpha=sign * 1e-5)
            values.append(float(first(x, y).detach()))
            with torch.no_grad():
                w.add_(direction, alpha=-sign * 1e-5)
        quotient = (values[0] - values[1]) / 2e-5
        assert float((g * direction).sum()) == pytest.approx(quotient, rel=1e-6)
        assert float((h * direction).sum()) != pytest.approx(quotient, rel=1e-2)


@pytest.mark.parametrize("derivative", ["first", "second"])
def test_half_precision_weights(derivative):
    values = []
    for dtype in (torch.bfloat16, torch.float32):
        model, x, y = setup(torch.bfloat16)  # the same weights, as bfloat16 holds them
        model, x = model.to(dtype), x.to(dtype)
        penalty = RicciFlowRegularizer(model, cross_entropy, step=0.3, derivative=derivative)
        n = penalty(x, y)
        assert n.dtype is torch.float32
        n.backward()
        assert all(p.grad.dtype is dtype for p in latents(model))
        assert all(bool(p.grad.isfinite().all()) for p in latents(model))
        values.append(float(n.detach()))
    assert values[0] == pytest.approx(values[1], rel=0.05)


def test_no_derivative_no_graph():
    model, x, y = setup()
    penalty = RicciFlowRegularizer(model, cross_entropy, derivative="none")
    reference = RicciFlowRegularizer(model, cross_entropy)
    n = penalty(x, y)
    assert not n.requires_grad
    assert float(n) == pytest.approx(float(reference(x, y).detach()), rel=1e-14)


def test_previous_compares_with_the_iteration_before():
    model, x, y = setup()
    x2, y2 = torch.randn_like(x), y.flip(0)
    penalty = RicciFlowRegularizer(
        model,
        cross_entropy,
        SHIFTS,
        step=0.3,
        tau=0.05,
        next_step="previous",
        relative=False,
        reduction="sum",
    )
    assert float(penalty(x, y)) == 0.0
    assert penalty.statistics == {}
    _, before = virtual_weights(model, x, y, 0.3)
    with torch.no_grad():
        for p in latents(model):
            p.add_(torch.randn_like(p), alpha=0.05)
    _, now = virtual_weights(model, x2, y2, 0.3)
    n = penalty(x2, y2)
    found = torch.autograd.grad(n, latents(model))
    expected = 0.0
    for i, w in enumerate(latents(model)):
        leaf = w.detach().clone().requires_grad_()
        old = [torch.tanh(0.05 * v[i]) for v in before]
        value = dense([torch.tanh(0.05 * (leaf + now[0][i] - w.detach())), *old])
        (gradient,) = torch.autograd.grad(value, leaf)
        torch.testing.assert_close(found[i], gradient, rtol=1e-9, atol=1e-15)
        expected += float(value.detach())
    assert float(n.detach()) == pytest.approx(expected, rel=1e-11)


def test_update_takes_the_step_after_the_real_update():
    model, x, y = setup()
    penalty = RicciFlowRegularizer(
        model,
        cross_entropy,
        SHIFTS,
        step=0.3,
        tau=0.05,
        next_step="update",
        relative=False,
        reduction="sum",
    )
    assert float(penalty(x, y)) == 0.0
    _, before = virtual_weights(model, x, y, 0.3)
    with torch.no_grad():
        for p in latents(model):
            p.add_(torch.randn_like(p), alpha=0.05)
    now = [p.detach().clone() for p in latents(model)]
    gradients = gradient_at(model, now, four(x)[0], y)  # the batch before, on the new weights
    expected = sum(
        float(
            dense(
                [
                    torch.tanh(0.05 * (now[i] - 0.3 * gradients[i])),
                    *[torch.tanh(0.05 * v[i]) for v in before],
                ]
            )
        )
        for i in range(2)
    )
    n = penalty(torch.randn_like(x), y.flip(0))
    assert float(n.detach()) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("next_step", ["virtual", "previous", "update"])
@pytest.mark.parametrize("derivative", ["first", "second", "none"])
def test_virtual_passes_leave_no_trace(next_step, derivative):
    model, x, y = setup(dropout=0.4, norm=True)
    cross_entropy(model(x), y).backward()
    state = copy.deepcopy(model.state_dict())
    gradients = [p.grad.clone() for p in model.parameters()]
    random = torch.get_rng_state()
    penalty = RicciFlowRegularizer(model, cross_entropy, next_step=next_step, derivative=derivative)
    for _ in range(2):
        penalty(x, y)
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    for p, g in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(p.grad, g)
    assert model.training


def test_all_passes_drop_the_same_units():
    # with one batch that translation leaves as it is, all copies are equal and N is only the step
    model, x, y = setup(dropout=0.5)
    penalty = RicciFlowRegularizer(
        model, cross_entropy, step=0.3, translate=lambda x, rows, columns: x
    )
    values = penalty._passes
    first = values.gradients(x, y, [w.detach() for w in latents(model)])
    second = values.gradients(x, y, [w.detach() for w in latents(model)])
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_every_and_part():
    model, x, y = setup()
    calls = []

    def counting(output, target):
        calls.append(len(target))
        return cross_entropy(output, target)

    penalty = RicciFlowRegularizer(model, counting, every=3, part=0.5)
    values = [float(penalty(x, y).detach()) for _ in range(7)]
    assert [v > 0 for v in values] == [True, False, False, True, False, False, True]
    assert calls == [3] * 15  # five passes at each of three evaluations, on half of six samples
    half = RicciFlowRegularizer(model, cross_entropy)
    assert values[0] == pytest.approx(float(half(x[:3], y[:3]).detach()), rel=1e-14)


def test_the_step_is_read_from_the_optimizer():
    model, x, y = setup()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    penalty = RicciFlowRegularizer(model, cross_entropy, step=optimizer)
    for rate in (0.3, 0.1):
        optimizer.param_groups[0]["lr"] = rate
        fixed = RicciFlowRegularizer(model, cross_entropy, step=rate)
        assert float(penalty(x, y).detach()) == float(fixed(x, y).detach())
    stranger = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(InvalidArgumentError, match="does not hold the parameter of shape"):
        RicciFlowRegularizer(model, cross_entropy, step=stranger)(x, y)


def test_small_steps_measure_the_squared_relative_step():
    # training.md: N/s^2 is 2 step^2 |g' - (g_k1 - g_k2)/dk + (g_j1 - g_j2)/dj|^2/|w|^2
    model, x, y = setup()
    step = 1e-5
    penalty = RicciFlowRegularizer(model, cross_entropy, SHIFTS, step=step, target=1e-3)
    penalty(x, y)
    now = [w.detach().clone() for w in latents(model)]
    g = [gradient_at(model, now, batch, y) for batch in four(x)]
    for i, found in enumerate(penalty.statistics.values()):
        v = g[0][i] - (g[0][i] - g[1][i]) / DK + (g[2][i] - g[3][i]) / DJ
        w = now[i].reshape(-1)
        cosine = float((v.reshape(-1) @ w) / (v.norm() * w.norm()))
        square = step**2 * float(v.square().sum() / w.square().sum())
        # |w v^T + v w^T|^2 = 2 |w|^2 |v|^2 + 2 (w . v)^2
        assert found.value == pytest.approx(2 * square * (1 + cosine**2), rel=2e-3)


def gated(model, x, y, **options):
    penalty = RicciFlowRegularizer(model, cross_entropy, **options)
    model.zero_grad()
    (cross_entropy(model(x), y) + 0.0 * penalty(x, y)).backward()
    before = [w.grad.clone() for w in latents(model)]
    penalty.gate_()
    return penalty, before


def test_gates():
    model, x, y = setup()
    free, before = gated(model, x, y)
    values = [s.value for s in free.statistics.values()]
    assert free.gated_fraction == 0.0
    assert all(torch.equal(w.grad, b) for w, b in zip(latents(model), before, strict=True))
    eps = math.sqrt(values[0] * values[1])  # one layer above, one below
    hard, before = gated(model, x, y, gate="hard", eps=eps)
    soft, _ = gated(model, x, y, gate="soft", eps=eps)
    softened = [w.grad.clone() for w in latents(model)]
    gated(model, x, y, gate="hard", eps=eps)
    assert hard.gated_fraction == soft.gated_fraction == 0.5
    for i, w in enumerate(latents(model)):
        shut = values[i] > eps
        torch.testing.assert_close(w.grad, before[i] * (not shut))
        torch.testing.assert_close(softened[i], before[i] * min(1.0, eps / values[i]))


def test_a_gate_attached_to_the_optimizer():
    model, x, y = setup()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    penalty = RicciFlowRegularizer(model, cross_entropy, gate="hard", eps=1e-30)
    handle = penalty.attach(optimizer)
    before = [w.detach().clone() for w in latents(model)]
    (cross_entropy(model(x), y) + penalty(x, y)).backward()
    optimizer.step()
    assert all(torch.equal(w, b) for w, b in zip(latents(model), before, strict=True))
    handle.remove()
    (cross_entropy(model(x), y)).backward()
    optimizer.step()
    assert not any(torch.equal(w, b) for w, b in zip(latents(model), before, strict=True))


def test_a_deadlock_is_warned_of_once():
    model, x, y = setup()
    penalty = RicciFlowRegularizer(model, cross_entropy, gate="hard", eps=1e-30)
    penalty(x, y)
    penalty(x, y)
    with pytest.warns(UserWarning, match=r"shut in all 2 layers.*larger eps or gate='soft'"):
        penalty(x, y)
    penalty(x, y)


@pytest.mark.parametrize("fill", ["zero", "roll"])
@pytest.mark.parametrize("shift", [(1, 0), (-2, 0), (0, 2), (0, -1), (1, -1), (0, 0)])
def test_translation(shift, fill):
    x = torch.arange(20.0).reshape(1, 4, 5)
    before = x.clone()
    moved = translate(x, *shift, fill)
    for i in range(4):
        for j in range(5):
            a, b = i - shift[0], j - shift[1]
            inside = 0 <= a < 4 and 0 <= b < 5
            expected = x[0, a % 4, b % 5] if inside or fill == "roll" else 0.0
            assert moved[0, i, j] == expected
    assert torch.equal(x, before)
    assert moved.data_ptr() != x.data_ptr() or fill == "roll"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shifts": ((1, 1), (1, -1))}, InvalidArgumentError, r"shifts in rows .* both 1"),
        ({"shifts": ((1, -1), (2, 2))}, InvalidArgumentError, "columns"),
        ({"shifts": (1, -1)}, InvalidArgumentError, r"must be \(\(k1, k2\), \(j1, j2\)\)"),
        (
            {"shifts": ((1, 0.5), (1, -1))},
            InvalidArgumentError,
            "rows .* in pixels, = 0.5; give a whole number",
        ),
        ({"next_step": "later"}, UnknownNameError, "previous"),
        ({"derivative": "third"}, UnknownNameError, "second"),
        ({"gate": "open"}, UnknownNameError, "soft"),
        ({"gate": "hard"}, InvalidArgumentError, "needs eps"),
        (
            {"gate": "soft", "eps": 0.0},
            InvalidArgumentError,
            "eps = 0.0; give a finite number above 0",
        ),
        ({"every": 0}, InvalidArgumentError, "every"),
        ({"group": "all"}, InvalidArgumentError, "group must be True, False or a process group"),
        ({"part": 0.0}, InvalidArgumentError, "part"),
        ({"target": 1.0}, InvalidArgumentError, "target"),
        (
            {"step": -1.0},
            InvalidArgumentError,
            "step, a length or an optimiser .* = -1.0; give a finite number above 0",
        ),
        ({"fill": "mirror"}, UnknownNameError, "roll"),
        ({"reduction": "max"}, UnknownNameError, "mean"),
        ({"denominator": "none"}, UnknownNameError, "constant"),
        ({"select": ("x",)}, InvalidArgumentError, "no layer matches the pattern 'x'"),
        ({"tau": -1.0}, InvalidArgumentError, "greater than 0"),
    ],
)
def test_bad_options(options, error, message):
    model, _, _ = setup()
    with pytest.raises(error, match=message):
        RicciFlowRegularizer(model, cross_entropy, **options)


def test_bad_calls_name_what_is_wrong():
    model, x, y = setup()
    with pytest.raises(ShapeError, match="a shift by 8 rows leaves nothing of an image of 8"):
        RicciFlowRegularizer(model, cross_entropy, ((8, 1), (1, -1)))(x, y)
    with pytest.raises(ShapeError, match="no rows and columns"):
        RicciFlowRegularizer(model, cross_entropy)(x.reshape(-1), y)
    with pytest.raises(InvalidArgumentError, match=r"scalar tensor, got \(6,\)"):
        RicciFlowRegularizer(model, nn.CrossEntropyLoss(reduction="none"))(x, y)
    with pytest.raises(NotPositiveDefiniteError, match=r"layer 'fc': tau = 9"):
        RicciFlowRegularizer(model, cross_entropy, tau={"fc": 9.0, "*": 0.01})(x, y)
    with torch.no_grad():
        latents(model)[1].zero_()
    with pytest.raises(InvalidArgumentError, match="layer 'fc': all weights are zero"):
        RicciFlowRegularizer(model, cross_entropy)(x, y)


def test_algorithm_1_is_the_loop_written_out():
    a, x, y = setup()
    b = copy.deepcopy(a)
    for model, by_hand in ((a, False), (b, True)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        corrector = LNECorrector(model, inverse="weak", target=0.9)
        for _ in range(3):
            if not by_hand:
                algorithm_1_step(model, cross_entropy, optimizer, corrector, x, y)
                continue
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            for p in latents(model):
                w, g = p.detach().reshape(-1), p.grad.reshape(-1)
                tau = rl.auto_tau(w, 0.9)
                p.grad.copy_(rl.LNEMetric(tau).solve(w, g, "weak").reshape(p.shape))
            optimizer.step()
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-13)


def test_algorithm_2_is_the_loop_written_out():
    a, x, y = setup()
    b = copy.deepcopy(a)
    for model, by_hand in ((a, False), (b, True)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        corrector = LNECorrector(model)
        penalty = RicciFlowRegularizer(
            model, cross_entropy, SHIFTS, step=optimizer, gate="soft", eps=1e-7
        )
        for _ in range(3):
            if not by_hand:
                result = algorithm_2_step(
                    model, cross_entropy, optimizer, corrector, penalty, 0.5, x, y
                )
                assert float(result.penalty) > 0
                assert penalty.gated_fraction == 1.0  # there is something to see
                continue
            optimizer.zero_grad()
            (cross_entropy(model(x), y) + 0.5 * penalty(x, y)).backward()
            corrector.correct_()
            for p, s in zip(latents(model), penalty.statistics.values(), strict=True):
                p.grad.mul_(min(1.0, 1e-7 / s.value))
            optimizer.step()
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-13)


def test_the_ratio_of_the_gradients_can_be_clamped():
    model, x, y = setup()
    loss_gradient = gradient_at(model, [w.detach() for w in latents(model)], x, y)
    before = [w.detach().clone() for w in latents(model)]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    corrector = LNECorrector(model, tau=1e-6)  # the identity, nearly
    penalty = RicciFlowRegularizer(model, cross_entropy, SHIFTS, step=0.3)
    algorithm_2_step(model, cross_entropy, optimizer, corrector, penalty, 1e9, x, y, max_ratio=0.25)
    for w, b, g in zip(latents(model), before, loss_gradient, strict=True):
        extra = (b - w.detach()) - g
        assert float(extra.norm() / g.norm()) == pytest.approx(0.25, rel=1e-6)
    for options, message in (({"alpha": -1.0}, "alpha"), ({"max_ratio": 0.0}, "max_ratio")):
        with pytest.raises(InvalidArgumentError, match=message):
            algorithm_2_step(
                model,
                cross_entropy,
                optimizer,
                corrector,
                penalty,
                x=x,
                y=y,
                **{"alpha": 1.0, **options},
            )
