"""Which argument of a layer's forward is its input, and its quantisation."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import nn

from riemann_lne.errors import InvalidArgumentError

from .quantizers import ActivationQuantizer

INPUT = "activation_quantizer"

Arguments = tuple[tuple[str, int | None], ...]
"""Names of arguments, each with its position if it may be given by position."""


def find_inputs(layer: nn.Module, asked: Any, where: str) -> Arguments | None:
    """The arguments of ``forward`` that are quantised.

    None for a class that extends a layer by a ``forward`` with several arguments: quantised is then
    the argument with which it calls the layer that it extends.

    Raises
    ------
    InvalidArgumentError
        If there are several and it cannot be told which, or the name that was asked for is none
        of them.
    """
    kind = type(layer)
    if asked is not None:
        return _asked(kind, asked, where)
    parameters, open_ended = _parameters(kind)
    if len(parameters) == 1 and not open_ended:
        return tuple(parameters.items())
    base = _base(kind)
    found = parameters if kind is base or base is None else _parameters(base)[0]
    required = _required(kind if kind is base or base is None else base)
    if len(required) != 1:
        raise InvalidArgumentError(
            f"{where}which argument of the forward of {kind.__name__} is to be quantised cannot "
            f"be told; say it by activation_input, in QuantConfig or its overrides: "
            f"{', '.join(found) or 'it has none'}"
        )
    if kind is base:
        return tuple((name, found[name]) for name in required)
    return None


def attach_input(layer: nn.Module, quantizer: ActivationQuantizer) -> None:
    """Quantise the input of a layer from now on."""
    layer.add_module(INPUT, quantizer)
    if quantizer.arguments is None:
        layer.__class__ = _interposed(type(layer))  # type: ignore[arg-type]
        layer.register_forward_hook(_require_reached)
    else:
        layer.register_forward_pre_hook(_quantize_arguments, with_kwargs=True)


def detach_input(layer: nn.Module) -> None:
    """Undo `attach_input`."""
    delattr(layer, INPUT)
    if isinstance(layer, _Interposed) and _Interposed in type(layer).__bases__:
        layer.__class__ = type(layer).__bases__[0]
    remove_hook(layer._forward_hooks, _require_reached)
    for key in remove_hook(layer._forward_pre_hooks, _quantize_arguments):
        layer._forward_pre_hooks_with_kwargs.pop(key, None)


def remove_hook(hooks: dict[int, Any], function: Any) -> list[int]:
    """Take a function off a dictionary of hooks, wrapped or not; the keys that it had."""
    keys = [key for key, hook in hooks.items() if getattr(hook, "hook", hook) is function]
    for key in keys:
        del hooks[key]
    return keys


def _quantize_arguments(
    layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    quantizer = getattr(layer, INPUT)
    return _quantized(quantizer, quantizer.arguments, args, kwargs)


def _quantized(
    quantizer: nn.Module, arguments: Arguments, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with those that are named quantised, wherever they were given."""
    for name, place in arguments:
        if place is not None and place < len(args):
            if args[place] is not None:
                args = (*args[:place], quantizer(args[place]), *args[place + 1 :])
        elif kwargs.get(name) is not None:
            kwargs = {**kwargs, name: quantizer(kwargs[name])}
    return args, kwargs


def _require_reached(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    quantizer = getattr(layer, INPUT)
    if not quantizer.reached:
        kind = type(layer)
        while issubclass(kind, _Interposed):
            kind = kind.__bases__[0]
        raise InvalidArgumentError(
            f"the forward of {kind.__name__} has several arguments and does not call that of "
            f"{getattr(_base(kind), '__name__', 'its base')}, so that it cannot be told which is "
            "quantised; say it by activation_input, in QuantConfig or its overrides: "
            f"{', '.join(_parameters(kind)[0])}"
        )


class _Interposed:
    """Mark of the classes that `_interposed` makes."""


@cache
def _interposed(kind: type[nn.Module]) -> type[nn.Module]:
    """The class with one more forward, between the class's forward and that of its base.

    In the order of resolution the new link comes right before the base, so that
    ``super().forward(x)`` in the class goes through it.
    """
    base: Any = _base(kind)
    arguments = tuple((name, _parameters(base)[0][name]) for name in _required(base))

    class Link(base):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            quantizer = self._modules.get(INPUT)
            if quantizer is None:  # taken off, with another parametrisation above this class
                return super().forward(*args, **kwargs)
            if not quantizer.reached:
                quantizer.reached = True
            args, kwargs = _quantized(quantizer, arguments, args, kwargs)
            return super().forward(*args, **kwargs)

    def reduce(self: Any, protocol: int) -> Any:
        return _restore, (kind,), self.__dict__

    names = {"__reduce_ex__": reduce, "__module__": kind.__module__}
    return type(kind.__name__, (kind, Link, _Interposed), names)


def _restore(kind: type[nn.Module]) -> nn.Module:
    """An instance of `_interposed` from a pickle, whose state follows."""
    cls = _interposed(kind)  # type: ignore[arg-type]
    instance: nn.Module = cls.__new__(cls)
    return instance


def _base(kind: type[nn.Module]) -> type[nn.Module] | None:
    """The most basic class that has a forward."""
    return next((c for c in reversed(kind.__mro__[:-1]) if _has_forward(c)), None)


def _has_forward(kind: type) -> bool:
    return kind is not nn.Module and "forward" in vars(kind)


def _parameters(kind: type[nn.Module]) -> tuple[dict[str, int | None], bool]:
    """Arguments of the class's forward with their positions; whether it takes any others."""
    found: dict[str, int | None] = {}
    open_ended = False
    for place, p in enumerate(list(inspect.signature(kind.forward).parameters.values())[1:]):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            open_ended = True
        else:
            found[p.name] = None if p.kind is p.KEYWORD_ONLY else place
    if kind is _base(kind) and len(_required(kind)) == 1:  # a basic layer: options follow its input
        found = {name: found[name] for name in _required(kind)}
    return found, open_ended


def _required(kind: type[nn.Module]) -> list[str]:
    """Arguments of the class's forward without a default."""
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return [p.name for p in named if p.default is p.empty]


def _asked(kind: type[nn.Module], asked: Any, where: str) -> Arguments:
    names: Sequence[Any] = (asked,) if isinstance(asked, str) else tuple(asked)
    signature = inspect.signature(kind.forward)
    parameters = list(signature.parameters.values())[1:]
    places = {
        p.name: None if p.kind is p.KEYWORD_ONLY else place
        for place, p in enumerate(parameters)
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in names:
        if not isinstance(name, str) or (name not in places and not takes_any):
            raise InvalidArgumentError(
                f"{where}activation_input names {name!r}, but the forward of {kind.__name__} takes "
                f"{', '.join(places) or 'no named arguments'}"
            )
    return tuple((name, places.get(name)) for name in names)
