"""MetaQuant: a small network learns how to carry the gradient through the quantiser."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from ..levels import scaled_gradient
from ..quantization import quantized_layers
from ..quantizers import WeightQuantizer
from .base import OptimizerWrapper, require_positive

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


class MetaQuant(OptimizerWrapper):
    """Base of `FCGrad` and `MultiFC`: what MetaQuant does with its meta network.

    With w latent, A the layer's own transformation and A' its derivative (what the layer's
    estimator multiplies a gradient by), lr the learning rate, and G the dL/dQ of the step before:

    1. the forward pass runs on Q(w - lr A' M(G)), M with the meta network in it;
    2. the backward pass gives the new G and, through M, the gradient of the meta network;
    3. `step` moves the meta network by Adam, gives A' M(G) to the inner optimiser as gradient of
       w, and keeps the new G.

    The first step has no G: it leaves the weights as they are. The model must be in training
    mode, with gradients, for 1. Other parameters are trained by the inner optimiser as usual. The
    look-ahead of 1 is a plain gradient step, also where the inner optimiser has momentum or
    adapts its rates. Gradients that a GradScaler has scaled are not supported: G is recorded as
    backward gives it.
    """

    default_layers: ClassVar[int]

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
        require_positive(hidden=hidden, meta_lr=meta_lr)
        layers = self.default_layers if layers is None else layers
        if layers < 2:
            raise InvalidArgumentError(f"the meta network needs 2 layers or more, got {layers}")
        if start not in _STARTS:
            raise UnknownNameError("start of the meta network", start, _STARTS)
        sites: dict[WeightQuantizer, nn.Parameter] = {}
        for layer in quantized_layers(model).values():
            for module in layer.modules():
                if isinstance(module, WeightQuantizer):
                    sites[module] = layer.parametrizations.weight.original  # type: ignore[union-attr, assignment]
        if not sites:
            raise InvalidArgumentError(
                f"{type(self).__name__} needs a quantised model; call quantize_(model, ...) first"
            )
        super().__init__(optimizer, sites.values())
        self.quantizers = list(sites)
        first = self.targets[0]
        self.meta_net = _LinearNet(hidden, layers, start).to(first.device, torch.float32)
        self.meta_optimizer = torch.optim.Adam(self.meta_net.parameters(), lr=meta_lr)
        self._recorded: list[Tensor | None] = [None] * len(self.targets)
        self._previous: list[Tensor | None] = [None] * len(self.targets)
        self._handles: list[Any] = []
        for i, quantizer in enumerate(self.quantizers):
            self._handles.append(quantizer.register_forward_pre_hook(self._look_ahead(i)))
            self._handles.append(quantizer.register_forward_hook(self._record(i)))

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
        quantizer = self.quantizers[i]
        site = quantizer.site()
        w = w.detach()
        meta = self._meta_gradient(quantizer, w, grad)
        a = quantizer.factor(w)
        if a is not None:  # G is dL/d(a Q), the estimator takes dL/dQ
            meta = scaled_gradient(meta, a)
        with torch.no_grad():
            q = quantizer.estimator.forward(w, site)
        return quantizer.estimator.backward(w, q, meta.to(w.dtype), site)

    def _look_ahead(self, i: int) -> Any:
        def hook(quantizer: nn.Module, args: tuple[Tensor]) -> tuple[Tensor] | None:
            (w,) = args
            if not (quantizer.training and torch.is_grad_enabled()):
                return None
            corrected = self._corrected(i, w)
            if corrected is None:
                return None
            return (w - self._learning_rate(self.targets[i]) * corrected,)

        return hook

    def _record(self, i: int) -> Any:
        def record(grad: Tensor) -> None:
            earlier = self._recorded[i]
            grad = grad.detach()
            self._recorded[i] = grad.clone() if earlier is None else earlier + grad

        def hook(quantizer: nn.Module, args: Any, output: Tensor) -> None:
            if quantizer.training and output.requires_grad:
                output.register_hook(record)  # type: ignore[no-untyped-call]

        return hook

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the model and of the meta network."""
        super().zero_grad(set_to_none)
        if hasattr(self, "meta_optimizer"):
            self.meta_optimizer.zero_grad(set_to_none)
            self._recorded = [None] * len(self.targets)

    def _before(self) -> None:
        with torch.no_grad():
            for i, p in enumerate(self.targets):
                p.grad = self._corrected(i, p)
        self.meta_optimizer.step()

    def _after(self) -> None:
        self._previous = [
            new if new is not None else old
            for new, old in zip(self._recorded, self._previous, strict=True)
        ]
        self._recorded = [None] * len(self.targets)
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
        self._previous = [
            None if g is None else g.to(device=p.device, dtype=p.dtype).clone()
            for g, p in zip(state["gradients"], self.targets, strict=True)
        ]


class FCGrad(MetaQuant):
    """FCGrad of MetaQuant: the gradient times one learned number.

    dL/dw := A' c G, with c the product of the layers of a linear network 1 -> hidden -> 1 and A'
    what the layer's estimator multiplies a gradient by: (1 - tanh^2 w)/max|tanh w| for `DoReFa`,
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

    dL/dw := A' c z^ G, with z^ = A(w) what the layer's estimator rounds
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
