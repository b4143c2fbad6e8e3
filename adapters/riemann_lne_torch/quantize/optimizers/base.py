"""Base of the optimiser wrappers: an optimiser that holds another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError

from ..config import QuantConfig
from ..idle import leave_idle
from ..levels import require_floating

__all__ = ["OptimizerWrapper", "quantizable_parameters"]


def quantizable_parameters(model: nn.Module, skip: Iterable[Any] = ()) -> list[nn.Parameter]:
    """The weights that `quantize_` would take, for methods that run the model in float.

    Parameters
    ----------
    model : nn.Module
        Not quantised.
    skip : sequence of str or types
        As for `QuantConfig`.

    Returns
    -------
    list of nn.Parameter
        Each once.

    Raises
    ------
    InvalidArgumentError
        If there are none, an entry of skip matches none, or the model is quantised.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import quantizable_parameters
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    >>> [tuple(p.shape) for p in quantizable_parameters(model, skip=["1"])]
    [(3, 2)]
    """
    found: dict[int, nn.Parameter] = {}
    for name, layer, _ in QuantConfig(skip=skip).select(model):
        weight = layer._parameters.get("weight")
        if weight is None:
            raise InvalidArgumentError(
                f"layer {name!r}: its weight is parametrised (quantised?); this method runs the "
                "model in float and rounds the weights itself: call dequantize_(model) first"
            )
        found[id(weight)] = weight
    return list(found.values())


def float_weights(params: nn.Module | Iterable[nn.Parameter]) -> Iterable[nn.Parameter]:
    """The `quantizable_parameters` of a model; weights are passed on as they are."""
    return quantizable_parameters(params) if isinstance(params, nn.Module) else params


def require_quantized(weights: Sized, name: str) -> None:
    """InvalidArgumentError of a method, if a model has given no latent weights."""
    if not len(weights):
        raise InvalidArgumentError(
            f"{name} needs a quantised model; call quantize_(model, ...) first"
        )


def placed(saved: Sequence[Any], present: Sequence[Tensor]) -> list[Any]:
    """Copies of the tensors of a state dict, on the devices and in the types of the present ones.

    None stays None.
    """
    return [
        None if a is None else a.to(device=b.device, dtype=b.dtype).clone()
        for a, b in zip(saved, present, strict=True)
    ]


class OptimizerWrapper(torch.optim.Optimizer):
    """An optimiser that lets another one take the step and acts before and after it.

    It is a `torch.optim.Optimizer` with the same parameter groups and state as the inner one, so
    that learning-rate schedulers, gradient scalers and hooks work with it. Its state dict is that
    of the inner one, plus an entry ``"wrapper"``. A closure is evaluated once, before anything
    else.

    The order of a step: the closure; what the method writes to gradients; what is attached to the
    optimiser (`LNECorrector.attach` goes to the inner one, as its step pre-hook); the inner step;
    what the method does to the weights.

    Copies (``copy.deepcopy``, ``pickle``) have no hooks, as those of any optimiser, and hold copies
    of the weights: copy a model and its optimiser in one call, ``copy.deepcopy((model,
    optimizer))``, and they belong together.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Takes the step. Not LBFGS, which evaluates its closure inside of the step.
    params : iterable of nn.Parameter
        The weights that are to become discrete; the optimiser must hold them.

    Raises
    ------
    InvalidArgumentError
        If there are no such weights, the optimiser does not hold them, or is LBFGS.
    DTypeError
        If a weight is complex.
    """

    _kept: ClassVar[tuple[str, ...]] = ()
    """Attributes with an underscore that copies need as well."""

    def __init__(self, optimizer: torch.optim.Optimizer, params: Iterable[nn.Parameter]) -> None:
        name = type(self).__name__
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InvalidArgumentError(
                f"{name} wraps an optimiser such as torch.optim.SGD(...), got {optimizer!r}"
            )
        if isinstance(optimizer, torch.optim.LBFGS):
            raise InvalidArgumentError(
                f"{name} cannot wrap LBFGS: it evaluates the loss several times inside of a "
                "step; give another one"
            )
        super().__init__(optimizer.param_groups, dict(optimizer.defaults))
        self.inner = optimizer
        self.targets = list(params)
        self._link()
        foreign = sum(id(p) not in self._group_of for p in self.targets)
        if not self.targets or foreign:
            what = f"{foreign} of them are" if self.targets else "there are none"
            raise InvalidArgumentError(
                f"{name} needs weights that the optimiser holds; {what}"
                f"{' not in its parameter groups' if foreign else ''}"
            )
        for p in self.targets:
            require_floating(p, f"{name}: ")

    def __getstate__(self) -> dict[str, Any]:
        # torch keeps three entries, and sets the others anew
        added = {k: v for k, v in vars(self).items() if k in self._kept or not k.startswith("_")}
        return {**{k: v for k, v in added.items() if k != "step"}, **super().__getstate__()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._link()

    def _link(self) -> None:
        """Share groups and state with the inner optimiser, which replaces them when it loads."""
        self.param_groups = self.inner.param_groups
        self.state = self.inner.state
        self._group_of = {id(p): group for group in self.param_groups for p in group["params"]}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the inner optimiser. Its weights do not become discrete."""
        if not hasattr(self, "inner"):  # called by the constructor of the base class
            super().add_param_group(param_group)
            return
        self.inner.add_param_group(param_group)
        self._link()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the inner optimiser and of this method around it; returns the closure's loss.

        The closure, if given, is evaluated once, with gradients, before the step.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._before()
        self.inner.step()
        self._after()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The inner optimiser's state dict, plus ``"wrapper"``: tensors, numbers, and a name.

        The entry ``"name"`` of ``"wrapper"`` is that of the class. Of a wrapper around another one
        ``"wrapper"`` has an entry ``"inner"``, that of the other.
        """
        state, own = self.inner.state_dict(), {"name": type(self).__name__, **self._own_state()}
        if "wrapper" in state:
            own = {**own, "inner": state["wrapper"]}
        return {**state, "wrapper": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave.

        Raises InvalidArgumentError for the state dict of a plain optimiser, or of another wrapper:
        a schedule would start anew, or where another one was, without a word. State dicts of
        earlier versions have no name and are loaded.
        """
        if "wrapper" not in state_dict:
            raise InvalidArgumentError(
                f"this state dict is not of {type(self).__name__}; load the state dict of a plain "
                "optimiser into .inner"
            )
        own = dict(state_dict["wrapper"])
        name = own.pop("name", type(self).__name__)
        if name != type(self).__name__:
            raise InvalidArgumentError(
                f"this state dict is not of {type(self).__name__}, it is of {name}; load it into "
                "one of that class"
            )
        if "inner" in own and not isinstance(self.inner, OptimizerWrapper):
            raise InvalidArgumentError(
                f"this state dict is of {name} around another wrapper, and here it is around "
                f"{type(self.inner).__name__}; wrap the optimiser as it was"
            )
        inner = {k: v for k, v in state_dict.items() if k != "wrapper"}
        if "inner" in own:
            inner["wrapper"] = own.pop("inner")
        self.inner.load_state_dict(inner)
        self._link()
        self._load_own_state(own)

    def _before(self) -> None:
        """Called before the inner step."""

    def _after(self) -> None:
        """Called after the inner step."""

    def _hold_back(self, parameters: Iterable[Tensor]) -> None:
        """Give no gradient to these parameters, so that the inner optimiser passes over them."""
        parameters = list(parameters)
        for p in parameters:
            p.grad = None
        leave_idle(self.inner, parameters)

    def _own_state(self) -> dict[str, Any]:
        return {}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        pass

    def _learning_rate(self, p: Tensor) -> float:
        """The learning rate of the group that holds the parameter."""
        return float(self._group_of[id(p)]["lr"])


class ScheduledWrapper(OptimizerWrapper):
    """A wrapper that follows a schedule over the whole training.

    Its state is the number of steps, and the lists of tensors in ``_kept``.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, params: Iterable[nn.Parameter], steps: int
    ) -> None:
        super().__init__(optimizer, params)
        self.total = checks.count(steps, "steps", least=1)
        self.steps = 0

    @property
    def progress(self) -> float:
        """Fraction of the steps that are taken, at most 1."""
        return min(1.0, self.steps / self.total)

    def _after(self) -> None:
        self.steps += 1

    def _own_state(self) -> dict[str, Any]:
        lists = {name: [t.clone() for t in getattr(self, name)] for name in self._kept}
        return {"steps": self.steps, **lists}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        for name in self._kept:
            setattr(self, name, placed(state[name], getattr(self, name)))
