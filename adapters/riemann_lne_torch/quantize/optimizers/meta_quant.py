"""MetaQuant: a small network learns how to carry the gradient through the quantiser."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import Any, ClassVar
from weakref import ref

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from ..levels import scaled_gradient
from ..quantization import quantized_layers
from ..quantizers import WeightQuantizer
from .base import OptimizerWrapper, placed, require_quantized

__all__ = ["FCGrad", "MetaQuant", "MultiFC"]

_STARTS = ("identity", "random")


class _LinearNet(nn.Module):
    """Linear layers 1 -> hidden -> ... -> 1 without bias and nonlinearity: one learned number c.

    Evaluated from the right, c first: the same function and the same gradients as layer by layer
    on a column of n numbers, without n * hidden intermediate ones.
    """

    def __init__(self, hidden: int, layers: int, start: str) -> None:
        super().__init__()
        sizes = [1, *([hidden] * (layers - 1)), 1]
        linear = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)]
        if start == "identity":
            for layer in linear:
                nn.init.constant_(layer.weight, 1.0 / layer.in_features)
        self.layers = nn.ModuleList(linear)

    def coefficient(self) -> Tensor:
        """Number c, shape (1, 1)."""
        c = self.layers[0].weight
        for layer in list(self.layers)[1:]:
            c = layer.weight @ c  # type: ignore[operator]
        return c  # type: ignore[return-value]


class _SiteHook:
    """A hook on a quantiser of the model; without effect in copies of the model.

    A copy of a quantiser keeps its hooks: through this one it would write into the record of the
    original, or move by its look-ahead. The optimiser is held weakly, so that the hooks end with
    it.
    """

    def __init__(self, optimizer: MetaQuant | None = None) -> None:
        self._optimizer = None if optimizer is None else ref(optimizer)

    def __deepcopy__(self, memo: dict[int, Any]) -> _SiteHook:
        return type(self)()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def optimizer(self) -> MetaQuant | None:
        return None if self._optimizer is None else self._optimizer()


class _LookAhead(_SiteHook):
    """Before the forward pass: the weights that the next step would give, without a tape."""

    def __call__(self, quantizer: nn.Module, args: tuple[Tensor]) -> tuple[Tensor] | None:
        optimizer = self.optimizer()
        if optimizer is None or not torch.is_grad_enabled():
            return None
        return optimizer._ahead(quantizer, args[0])


class _PassThrough(_SiteHook):
    """After the forward pass: the gradient dL/d(a Q) goes to the latent weight as it is."""

    def __call__(self, quantizer: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor | None:
        optimizer = self.optimizer()
        if optimizer is None or not torch.is_grad_enabled():
            return None
        return optimizer._through(quantizer, output)


class MetaQuant(OptimizerWrapper):
    """Base of `FCGrad` and `MultiFC`: what MetaQuant does with its meta network.

    With w latent, A the layer's own transformation and A' its derivative (what the layer's
    estimator multiplies a gradient by), lr the learning rate, and G the dL/dQ of the step before:

    1. the forward pass runs on Q(w - lr A' M(G)), M with the meta network in it;
    2. the backward pass writes the new G to ``w.grad``;
    3. `step` moves the meta network by Adam, along the derivative of the loss through the
       look-ahead of 1, gives A' M(G) to the inner optimiser as gradient of w, and keeps the new G.

    The first step has no G: it leaves the weights as they are. The model must be in training
    mode, with gradients, for 1. Other parameters are trained by the inner optimiser as usual. The
    look-ahead of 1 is a plain gradient step, also where the inner optimiser has momentum or
    adapts its rates.

    Between the backward pass and the step ``w.grad`` is the new G: gradients that are accumulated
    over batches, averaged over processes (DDP), unscaled by a GradScaler, or clipped are so before
    they are kept, and the replicas of a model stay equal. Clipping thus limits G, of which the next
    step's gradient is made. `LNECorrector.attach` corrects what the inner optimiser steps along,
    A' M(G), since it comes after 3; ``correct_()`` by hand, before the step, would correct G. The
    meta network's gradient is not clipped.
    """

    default_layers: ClassVar[int]
    _kept = ("_previous",)

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        *,
        hidden: int = 100,
        layers: int | None = None,
        meta_lr: float = 1e-3,
        start: str = "identity",
    ) -> None:
        hidden = checks.count(hidden, "hidden", least=1)
        meta_lr = checks.number(meta_lr, "meta_lr", above=0.0)
        layers = self.default_layers if layers is None else checks.count(layers, "layers", least=2)
        if start not in _STARTS:
            raise UnknownNameError("start of the meta network", start, _STARTS)
        self.quantizers, targets = self._sites(model)
        if any(isinstance(p, DTensor) for p in targets):
            raise InvalidArgumentError(
                f"{type(self).__name__} needs whole weights on every process; these are sharded "
                "(FSDP2, tensor parallelism): use DistributedDataParallel"
            )
        super().__init__(optimizer, targets)
        first = self.targets[0]
        self.meta_net = _LinearNet(hidden, layers, start).to(first.device, torch.float32)
        self.meta_optimizer = torch.optim.Adam(self.meta_net.parameters(), lr=meta_lr)
        self._previous: list[Tensor | None] = [None] * len(self.targets)
        self._register()

    @classmethod
    def _sites(cls, model: nn.Module) -> tuple[list[list[WeightQuantizer]], list[nn.Parameter]]:
        """The latent weights, and the quantisers of each: several where layers share a weight."""
        sites: dict[int, tuple[nn.Parameter, list[WeightQuantizer]]] = {}
        for name, layer in quantized_layers(model).items():
            for module in layer.modules():
                if not isinstance(module, WeightQuantizer):
                    continue
                original: Any = layer.parametrizations.weight.original  # type: ignore[union-attr]
                shared = sites.setdefault(id(original), (original, []))[1]
                if shared and shared[0].settings() != module.settings():
                    raise InvalidArgumentError(
                        f"{cls.__name__}: layer {name!r} shares its weight with another layer, and "
                        f"quantises it differently ({module.settings()} here, "
                        f"{shared[0].settings()} there); one A' is needed: quantise both alike"
                    )
                if module not in shared:
                    shared.append(module)
        require_quantized(sites, cls.__name__)
        return [quantizers for _, quantizers in sites.values()], [p for p, _ in sites.values()]

    def _register(self) -> None:
        self._index = {id(q): i for i, group in enumerate(self.quantizers) for q in group}
        self._entering: dict[int, Tensor] = {}
        self._handles: list[Any] = []
        for quantizer in (q for group in self.quantizers for q in group):
            self._handles.append(quantizer.register_forward_pre_hook(_LookAhead(self)))
            self._handles.append(quantizer.register_forward_hook(_PassThrough(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "attached": bool(self._handles)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        attached = state.pop("attached")
        super().__setstate__(state)
        self._handles, self._entering = [], {}
        if attached:
            self._register()

    @abstractmethod
    def _meta_gradient(self, quantizer: WeightQuantizer, w: Tensor, grad: Tensor) -> Tensor:
        """M(G) for one layer."""

    def detach(self) -> None:
        """Take the hooks off the model, at the end of the training."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _corrected(self, i: int, w: Tensor) -> Tensor | None:
        """A' M(G), with the meta network in the graph; None before the first backward pass."""
        grad = self._previous[i]
        if grad is None:
            return None
        quantizer = self.quantizers[i][0]
        return self._through_estimator(quantizer, w, self._meta_gradient(quantizer, w, grad))

    @staticmethod
    def _through_estimator(quantizer: WeightQuantizer, w: Tensor, grad: Tensor) -> Tensor:
        """The gradient dL/d(a Q) at the weights w, passed through the layer's estimator."""
        site = quantizer.site()
        a = quantizer.factor(w)
        if a is not None:  # the estimator takes dL/dQ
            grad = scaled_gradient(grad, a)
        with torch.no_grad():
            q = quantizer.estimator.forward(w, site)
        return quantizer.estimator.backward(w, q, grad.to(w.dtype), site)

    def _ahead(self, quantizer: nn.Module, w: Tensor) -> tuple[Tensor] | None:
        """The weights after the next step, in training; their gradient goes past the quantiser."""
        i = self._index.get(id(quantizer))
        if i is None:
            return None
        self._entering[id(quantizer)] = w
        w = w.detach()
        corrected = None
        if quantizer.training:
            with torch.no_grad():
                corrected = self._corrected(i, w)
        return (w if corrected is None else w - self._learning_rate(self.targets[i]) * corrected,)

    def _through(self, quantizer: nn.Module, output: Tensor) -> Tensor | None:
        """The output, with derivative 1 by the latent weight that was given."""
        w = self._entering.pop(id(quantizer), None)
        return None if w is None else _Past.apply(w, output)  # type: ignore[no-untyped-call]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the model and of the meta network."""
        super().zero_grad(set_to_none)
        if hasattr(self, "meta_optimizer"):
            self.meta_optimizer.zero_grad(set_to_none)

    @property
    def _recorded(self) -> list[Tensor | None]:
        """The new G of every weight, between the backward pass and the step."""
        return [p.grad for p in self.targets]

    def _before(self) -> None:
        new = [None if g is None else g.detach().clone() for g in self._recorded]
        gradients: list[Tensor | None] = []
        self.meta_optimizer.zero_grad()
        for i, p in enumerate(self.targets):
            with torch.enable_grad():
                corrected = self._corrected(i, p.detach())
            gradients.append(None if corrected is None else corrected.detach())
            if corrected is not None and new[i] is not None:
                self._learn(i, p.detach(), corrected, new[i])
        self.meta_optimizer.step()
        self._hold_back(p for p, g in zip(self.targets, gradients, strict=True) if g is None)
        for p, gradient in zip(self.targets, gradients, strict=True):
            p.grad = gradient
        pairs = zip(new, self._previous, strict=True)
        self._previous = [old if latest is None else latest for latest, old in pairs]

    def _learn(self, i: int, w: Tensor, corrected: Tensor, new: Any) -> None:
        """Add to the meta network's gradient that of the loss through the look-ahead weights."""
        rate = self._learning_rate(self.targets[i])
        ahead = w - rate * corrected.detach()
        by_ahead = self._through_estimator(self.quantizers[i][0], ahead, new)
        torch.autograd.backward(corrected, -rate * by_ahead)

    def _after(self) -> None:
        self.meta_optimizer.zero_grad()

    def _own_state(self) -> dict[str, Any]:
        return {
            "meta_net": self.meta_net.state_dict(),
            "meta_optimizer": self.meta_optimizer.state_dict(),
            "gradients": [None if g is None else g.clone() for g in self._previous],
        }

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self.meta_net.load_state_dict(state["meta_net"])
        self.meta_optimizer.load_state_dict(state["meta_optimizer"])
        self._previous = placed(state["gradients"], self.targets)


class _Past(torch.autograd.Function):
    """A value, with derivative 1 by a weight that it is made of elsewhere."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class FCGrad(MetaQuant):
    """FCGrad of MetaQuant: the gradient times one learned number.

    dL/dw := A' c G, with c the product of the layers of a linear network 1 -> hidden -> 1 and A'
    the factor of the layer's estimator on a gradient: (1 - tanh^2 w)/max|tanh w| for `DoReFa`,
    1 for `STE`. c is trained on the loss: see `MetaQuant` for the steps.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    model : nn.Module
        A quantised model.
    hidden : int
        100 in the authors' code. It changes how fast c learns, not what can be learned.
    layers : int, optional
        By default 2, as in the authors' code.
    meta_lr : float
        Learning rate of Adam for the meta network; 1e-3 there.
    start : {"identity", "random"}
        c = 1 at first (the layer's own estimator), or PyTorch's random weights as in the authors'
        code, in which case c may be negative at first.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If the model is not quantised, the optimiser does not hold its weights, or an option has
        no meaning.

    References
    ----------
    S. Chen, W. Wang, S. J. Pan, "MetaQuant: learning to quantize by learning to penetrate
    non-differentiable quantization", NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import FCGrad
    >>> from riemann_lne_torch.quantization import quantize_
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> latent = layer.weight
    >>> _ = latent.data.fill_(0.5)
    >>> model = quantize_(layer)
    >>> optimizer = FCGrad(torch.optim.SGD(model.parameters(), lr=0.1), model)
    >>> for _ in range(2):  # the first step only records G = 3
    ...     optimizer.zero_grad()
    ...     model(torch.tensor([[3.0]])).sum().backward()
    ...     optimizer.step()
    ...     print(round(latent.item(), 4))
    0.5
    0.2
    """

    default_layers = 2

    def _meta_gradient(self, quantizer: WeightQuantizer, w: Tensor, grad: Tensor) -> Tensor:
        return self.meta_net.coefficient()[0, 0] * grad


class MultiFC(MetaQuant):
    """MultiFC of MetaQuant: the gradient times a learned linear function of the weight.

    dL/dw := A' c z^ G, with z^ = A(w) the number that the layer's estimator rounds
    (tanh(w)/(2 max|tanh w|) + 1/2 for `DoReFa`, w itself for `STE` and `BWN`), c the product of
    the layers of a linear network 1 -> hidden -> hidden -> 1, and A' as for `FCGrad`.

    Where A(w) = w the sign of the factor is that of the weight: the gradient is reversed for
    weights of one sign. A(w) of `DoReFa` is positive.

    Parameters
    ----------
    optimizer, model, hidden, meta_lr, start
        As for `FCGrad`.
    layers : int, optional
        By default 3, as in the authors' code.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        As for `FCGrad`.

    References
    ----------
    S. Chen, W. Wang, S. J. Pan, "MetaQuant: learning to quantize by learning to penetrate
    non-differentiable quantization", NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import MultiFC
    >>> from riemann_lne_torch.quantization import quantize_
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> latent = layer.weight
    >>> _ = latent.data.fill_(0.5)
    >>> model = quantize_(layer)
    >>> optimizer = MultiFC(torch.optim.SGD(model.parameters(), lr=0.1), model)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     model(torch.tensor([[3.0]])).sum().backward()
    ...     optimizer.step()
    ...     print(round(latent.item(), 4))  # the second step: 0.5 - 0.1 * 0.5 * 3
    0.5
    0.35
    """

    default_layers = 3

    def _meta_gradient(self, quantizer: WeightQuantizer, w: Tensor, grad: Tensor) -> Tensor:
        z = quantizer.estimator.transformed(w, quantizer.site())
        return grad * (self.meta_net.coefficient()[0, 0] * z)
