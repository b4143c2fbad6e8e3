"""Measurements beside the accuracy: gradient-mismatch angles, sign flips, cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from riemann_lne.errors import InvalidArgumentError

from .methods import Context, DoesNotApplyError, Method, get_method
from .models import build_model, chosen_layers, is_hosted, is_weighted, quantize_model
from .problems import problem_of
from .protocol import Arm

__all__ = [
    "PlainSteps",
    "flip_gradient",
    "float_gradient",
    "kept_buffers",
    "mean_angle",
    "plain_steps",
    "prepare",
    "reestimated_norms",
    "signs",
]

# Flipped networks that are evaluated at once.
_FLIPS_AT_ONCE = 128


def prepare(
    arm: Arm,
    model: nn.Module,
    steps_per_epoch: int,
    method: Method | None = None,
    folder: Path | None = None,
) -> Context:
    """Quantise a float model as the arm says and give it an optimiser and its method.

    ``folder`` is where the arm's data are, if they are in one.
    """
    method = get_method(arm.method, arm.options) if method is None else method
    method.check(arm)
    estimator = method.estimator()
    hosted = is_hosted(model)
    if hosted and not method.hosted:
        raise DoesNotApplyError(
            f"arm {arm.label!r}: another library quantises this model, with its own gradient, and "
            f"method {arm.method!r} needs quantisers of this package"
        )
    latents = chosen_layers(model, arm)
    if not latents:
        raise InvalidArgumentError(_nothing_to_quantise(arm, model))
    if not any(p.requires_grad for p in latents.values()):
        raise InvalidArgumentError(
            f"arm {arm.label!r}: every layer to quantise is frozen (requires_grad=False): "
            f"{', '.join(map(repr, latents))}, so that no method could train one; let one train"
        )
    if arm.angle_reference == "flip" and not (arm.model == "mlp" and arm.weight_bits == 1):
        raise InvalidArgumentError(
            f"arm {arm.label!r}: angle_reference 'flip' takes one forward pass for every weight "
            "and flips signs; it is for model 'mlp' with weight_bits = 1"
        )
    scale = arm.weight_scale if estimator is None or not estimator.scales else "none"
    if arm.method != "full-precision":
        quantize_model(model, arm, estimator, scale)
    context = Context(
        arm,
        model,
        latents,
        _optimizer(arm, model),
        method.epochs(arm.epochs),
        steps_per_epoch,
        problem_of(arm, folder),
        hosted,
    )
    method.begin(context)
    return context


def _nothing_to_quantise(arm: Arm, model: nn.Module) -> str:
    """Why no layer is left, in words."""
    known = [repr(name) for name, m in model.named_modules() if is_weighted(m)]
    if not known:
        return (
            f"{arm.dataset!r} has nothing to quantise: its network ({type(model).__name__}) has no "
            "convolution and no linear layer; give it one, or compare on another task"
        )
    return (
        f"arm {arm.label!r} leaves no layer to quantise: {type(model).__name__} has "
        f"{', '.join(known)} for that, first and last layer, which quantize_first and "
        "quantize_last leave out; set one of the two to true"
    )


def _optimizer(arm: Arm, model: nn.Module) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    if arm.optimizer == "adam":
        return torch.optim.Adam(
            parameters, lr=arm.learning_rate, weight_decay=arm.weight_decay, foreach=True
        )
    return torch.optim.SGD(
        parameters,
        lr=arm.learning_rate,
        momentum=arm.momentum,
        weight_decay=arm.weight_decay,
        nesterov=arm.momentum > 0.0,
        foreach=True,
    )


# -- cost ---------------------------------------------------------------------------------------


class PlainSteps:
    """Cost of a method in floating-point operations of matrix products and convolutions.

    Attributes
    ----------
    step : float
        Of a training step, in plain steps (STE: forward, backward, update).
    forward : float
        Of a forward pass, in plain steps.
    """

    def __init__(self, step: float, forward: float) -> None:
        self.step, self.forward = step, forward


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of matrix products and convolutions.

    With PyTorch's own formulas; its `FlopCounterMode` cannot be used, as it follows modules by
    hooks that fail inside of `torch.autograd.grad`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


_COSTS: dict[tuple[str, Path | None], PlainSteps] = {}


def plain_steps(arm: Arm, folder: Path | None = None) -> PlainSteps:
    """Counted over one period of the method, on random images or the first items of a task.

    Once an arm, folder of its data, and process.
    """
    # small steps: operations are counted, and an arm that diverges has its cost too
    arm = replace(arm, label=arm.method, learning_rate=1e-6, weight_decay=0.0, start="scratch")
    key = arm.digest, folder
    if key not in _COSTS:
        plain = replace(arm, label="plain", method="ste", options={})
        one, forward = _operations(plain, folder)
        step, _ = _operations(arm, folder)
        _COSTS[key] = PlainSteps(step / one, forward / one)
    return _COSTS[key]


def _operations(arm: Arm, folder: Path | None) -> tuple[float, float]:
    """Operations of a step, mean over a period, and of a forward pass."""
    # A method's operations on the weights alone (MetaQuant) have their true share only beside a
    # batch of the real size; in a residual network that share is next to nothing.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x, y = problem_of(arm, folder).example()
        method = get_method(arm.method, arm.options)
        model = build_model(arm, 0).train()
        prepare(arm, model, 2, method, folder)
        method.begin_epoch()
        steps = method.period
        for _ in range(steps):  # MetaQuant, and N against the last iteration, begin with the second
            method.step(x, y)
        with _Operations() as counter:
            for _ in range(steps):
                method.step(x, y)
        total = counter.total
        with torch.no_grad(), _Operations() as counter:
            model(x)
    return total / steps, float(counter.total)


# -- batch norm ---------------------------------------------------------------------------------


def _norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    kind = nn.modules.batchnorm._BatchNorm
    return [m for m in model.modules() if isinstance(m, kind)]


@contextmanager
def kept_buffers(model: nn.Module) -> Iterator[None]:
    """Buffers (batch-norm statistics) are afterwards as they were."""
    before = [b.clone() for b in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for b, old in zip(model.buffers(), before, strict=True):
                b.copy_(old)


@contextmanager
def reestimated_norms(model: nn.Module, inputs: Sequence[Tensor]) -> Iterator[None]:
    """Batch-norm statistics of the present weights: plain means over the given batches."""
    norms = _norms(model)
    momenta = [m.momentum for m in norms]
    training = model.training
    with kept_buffers(model), torch.no_grad():
        for m in norms:
            m.reset_running_stats()
            m.momentum = None
        try:
            model.train()
            for x in inputs:
                model(x)
            model.train(training)
            yield
        finally:
            model.train(training)
            for m, momentum in zip(norms, momenta, strict=True):
                m.momentum = momentum


# -- gradients ----------------------------------------------------------------------------------


def signs(latents: Mapping[str, Tensor]) -> Tensor:
    """Whether each latent weight is at least 0, in one vector."""
    return torch.cat([(p.detach() >= 0).reshape(-1) for p in latents.values()])


def _twin(context: Context) -> nn.Module:
    """The float network with the present latent weights; batch norm takes each batch's own."""
    with torch.no_grad():
        twin = build_model(context.arm, 0).to(next(iter(context.latents.values())).device)
        known = dict(context.model.named_parameters())
        for name, p in twin.named_parameters():
            layer = name.removesuffix(".weight")
            p.copy_(context.latents[layer] if layer in context.latents else known[name])
    for norm in _norms(twin):
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
        norm.track_running_stats = False
    return twin.train()


def float_gradient(context: Context, x: Tensor, y: Tensor) -> list[Tensor]:
    """Gradient of the loss of the network that runs on the latent weights themselves.

    Zeros for a weight that is frozen, or that the loss does not depend on.
    """
    twin = _twin(context)
    weights = [twin.get_parameter(f"{name}.weight") for name in context.latents]
    trained = [w for w in weights if w.requires_grad]
    if not trained:
        return [torch.zeros_like(w) for w in weights]
    loss = context.problem.loss(twin(x), y)
    found = dict(zip(trained, torch.autograd.grad(loss, trained, allow_unused=True), strict=True))
    return [torch.zeros_like(w) if (g := found.get(w)) is None else g for w in weights]


def flip_gradient(context: Context, x: Tensor, y: Tensor) -> list[Tensor]:
    """Central differences of the loss with respect to each discrete weight.

    (L(q_i = a) - L(q_i = -a))/(2 a) for q_i of -a and a: the change of the loss if a weight flips.
    """
    twin = _twin(context)
    modules = dict(context.model.named_modules())
    values = {f"{name}.weight": modules[name].weight.detach() for name in context.latents}

    def loss_at(name: str, weight: Tensor) -> Tensor:
        return context.problem.loss(functional_call(twin, {**values, name: weight}, (x,)), y)

    found = []
    with torch.no_grad():
        base = context.problem.loss(functional_call(twin, values, (x,)), y)
        for name, q in values.items():
            parts = []
            for places in torch.split(torch.arange(q.numel(), device=q.device), _FLIPS_AT_ONCE):
                flipped = q.reshape(1, -1).repeat(len(places), 1)
                row = torch.arange(len(places), device=q.device)
                flipped[row, places] *= -1.0
                stack = flipped.reshape(len(places), *q.shape)
                parts.append(vmap(lambda w, name=name: loss_at(name, w))(stack))
            change = base - torch.cat(parts)
            found.append((change / (2.0 * q.reshape(-1))).reshape(q.shape))
    return found


def mean_angle(gradients: Sequence[Tensor], references: Sequence[Tensor]) -> float | None:
    """Angle in radians between gradient and reference, mean over layers.

    Layers in which one of the two is zero are left out; None if all are, or something is not
    finite.
    """
    angles = []
    for g, r in zip(gradients, references, strict=True):
        a, b = g.detach().double().reshape(-1), r.detach().double().reshape(-1)
        lengths = float(a.norm()), float(b.norm())
        if not all(map(math.isfinite, lengths)):
            return None
        if min(lengths) > 0.0:
            a, b = a / lengths[0], b / lengths[1]
            # from the chord and its supplement: acos would lose half the digits near 0 and pi
            angles.append(2.0 * math.atan2(float((a - b).norm()), float((a + b).norm())))
    return sum(angles) / len(angles) if angles else None
