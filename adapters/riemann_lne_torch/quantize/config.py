"""Which layers are quantised, and how: `QuantConfig`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from .estimators import STE, Estimator, get_estimator
from .layers import is_quantized
from .leftover import Leftover, float_weights
from .levels import Scale

__all__ = ["QuantConfig"]

QUANTIZABLE: tuple[type[nn.Module], ...] = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
    nn.Embedding,
)


@dataclass(frozen=True)
class Settings:
    """How one layer is quantised."""

    weight_bits: int | None
    activation_bits: int | None
    estimator: Estimator | str
    weight_scale: Scale
    activation_estimator: Estimator | str | None
    activation_scale: Scale
    channel_axis: int | None
    activation_input: str | Sequence[str] | None
    activation_range: str = "batch"


@dataclass(frozen=True)
class QuantConfig:
    """Settings of `quantize_`: bits, estimator, scale, and which layers are left out.

    Parameters
    ----------
    weight_bits : int or None
        From 1 to 16; 1 is Q1, more is Qk (Eq. 37, 38). None: weights stay as they are.
    activation_bits : int or None
        The same for the input of each layer. None, the default: full precision.
    estimator : Estimator or str
        Gradient of the weights: an instance, or a name (`available_estimators`).
    skip : sequence of str or types
        Layers to leave out: by name (``"fc"``), pattern (``"layer1.*"``) or type
        (``nn.Embedding``). A name or type of a container stands for all that is in it.
    overrides : mapping from str to mapping
        Other settings for layers whose name matches, such as
        ``{"layer1.*": {"weight_bits": 4}}``; where several match, the last one wins.
    weight_scale : {"none", "mean", "mean-channel", "max"}
        Factor of the levels: see `scale_factor`. ``"none"`` is the paper's form.
    activation_estimator : Estimator, str or None
        None: see `ActivationQuantizer`.
    activation_scale : {"none", "max"}
    activation_range : {"batch", "running", "learned"}
        Range of quantised inputs: of each batch, a running mean of training, or a trained
        parameter: see `ActivationQuantizer`. Up to 3 bits take "learned": with the range of each
        batch a network hardly learns.
    layers : tuple of types
        Kinds of layers to quantise: Conv1d to 3d, their transposed forms, Linear and Embedding,
        subclasses included.
    channel_axis : int, optional
        Axis of the output channels of the weights, for scales and estimators that work by channel
        and for the corrector's blocks. By default it follows from the kind of layer: see
        `register_channel_axis`. As a rule given in `overrides`, for layers of one kind.
    activation_input : str or sequence of str, optional
        Name of the argument of ``forward`` that is quantised; as a rule given in `overrides`. By
        default the only argument, or the one that is always needed; in a class that extends one
        of the layers by a forward with several arguments, what it hands to the layer's own
        forward. An argument is found wherever it is given, by keyword too.

    Raises
    ------
    InvalidArgumentError
        If both numbers of bits are None, an estimator is none, or an override is not a mapping.
    UnknownNameError
        If an estimator, or a setting in an override, is not known.

    Notes
    -----
    The numbers of bits are checked by `quantize_`, whose error names the layer.

    References
    ----------
    Eq. 37 and 38 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> from riemann_lne_torch.estimators import EWGS
    >>> from riemann_lne_torch.quantization import QuantConfig
    >>> config = QuantConfig(estimator=EWGS(), overrides={"stem": {"weight_bits": 8}})
    >>> config.weight_bits
    1
    """

    weight_bits: int | None = 1
    activation_bits: int | None = None
    estimator: Estimator | str = STE()  # noqa: RUF009  a frozen value
    skip: Iterable[str | type[nn.Module]] = ()
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weight_scale: Scale = "none"
    activation_estimator: Estimator | str | None = None
    activation_scale: Scale = "none"
    layers: tuple[type[nn.Module], ...] = QUANTIZABLE
    channel_axis: int | None = None
    activation_input: str | Sequence[str] | None = None
    activation_range: str = "batch"

    def __post_init__(self) -> None:
        if self.weight_bits is None and self.activation_bits is None:
            raise InvalidArgumentError(
                "weight_bits and activation_bits are both None; give one of them"
            )
        get_estimator(self.estimator)
        if self.activation_estimator is not None:
            get_estimator(self.activation_estimator)
        skip = (self.skip,) if isinstance(self.skip, (str, type)) else tuple(self.skip)
        object.__setattr__(self, "skip", skip)
        for entry in skip:
            if not (isinstance(entry, str) or _is_module_type(entry)):
                raise InvalidArgumentError(
                    f"skip takes names, patterns and types of modules, got {entry!r}"
                )
        known = [f.name for f in fields(Settings)]
        for pattern, changes in self.overrides.items():
            if not isinstance(changes, Mapping):
                raise InvalidArgumentError(
                    f"overrides[{pattern!r}] must be a mapping such as {{'weight_bits': 4}}, got "
                    f"{changes!r}"
                )
            for name in changes:
                if name not in known:
                    raise UnknownNameError(f"setting in overrides[{pattern!r}]", name, known)

    def select(self, model: nn.Module) -> list[tuple[str, nn.Module, Settings]]:
        """The layers that are to be quantised, each with its settings.

        Raises InvalidArgumentError if there are none, or an entry of skip or overrides matches
        none.

        >>> import torch
        >>> from riemann_lne_torch.quantization import QuantConfig
        >>> model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
        >>> [name for name, _, _ in QuantConfig(skip="1").select(model)]
        ['0']
        """
        found = {n: m for n, m in model.named_modules() if isinstance(m, self.layers)}
        if not found:
            kinds = ", ".join(kind.__name__ for kind in self.layers)
            raise InvalidArgumentError(
                f"{type(model).__name__} has no layer that can be quantised ({kinds}); name other "
                "types in QuantConfig(layers=...)"
            )
        modules = dict(model.named_modules())
        others = self.left_float(model)
        skipped: set[str] = set()
        for entry in self.skip:
            hits = {name for name in found if _matches(name, entry, modules)}
            if not any(_is_named(left, entry, modules) for left in others):
                _require_hits(hits, f"skip entry {entry!r}", found)
            skipped |= hits
        settings = {name: self._settings(name) for name in found if name not in skipped}
        for pattern in self.overrides:
            hits = {name for name in found if _matches(name, pattern, modules)}
            _require_hits(hits, f"overrides pattern {pattern!r}", found)
        if not settings:
            raise InvalidArgumentError(
                f"skip leaves no layer to quantise; name fewer of {', '.join(found)}"
            )
        return [(name, found[name], chosen) for name, chosen in settings.items()]

    def left_float(self, model: nn.Module) -> list[Leftover]:
        """The weights of two axes or more that lie in no layer of the kinds in `layers`.

        Where `layers` was chosen, the usual kinds that it leaves out are not among them.
        """
        modules = dict(model.named_modules())
        kinds = self.layers if self.layers == QUANTIZABLE else (*self.layers, *QUANTIZABLE)
        taken = [m for m in modules.values() if isinstance(m, kinds) or is_quantized(m)]
        return float_weights(model, taken)

    def unnamed(self, model: nn.Module) -> list[Leftover]:
        """Those of `left_float` that `skip` does not name."""
        modules = dict(model.named_modules())
        left = self.left_float(model)
        return [w for w in left if not any(_is_named(w, e, modules) for e in self.skip)]

    def _settings(self, name: str) -> Settings:
        settings = Settings(
            self.weight_bits,
            self.activation_bits,
            self.estimator,
            self.weight_scale,
            self.activation_estimator,
            self.activation_scale,
            self.channel_axis,
            self.activation_input,
            self.activation_range,
        )
        for pattern, changes in self.overrides.items():
            if _matches(name, pattern, {}):
                settings = replace(settings, **changes)
        return settings


def _is_module_type(entry: Any) -> bool:
    return isinstance(entry, type) and issubclass(entry, nn.Module)


def _ancestry(name: str) -> list[str]:
    """A name and those of the containers it lies in, without the model itself."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts) + 1)]


def _matches(name: str, entry: Any, modules: Mapping[str, nn.Module]) -> bool:
    if isinstance(entry, str):
        return any(fnmatchcase(own, entry) for own in _ancestry(name))
    return any(isinstance(modules[own], entry) for own in _ancestry(name))


def _is_named(left: Leftover, entry: Any, modules: Mapping[str, nn.Module]) -> bool:
    """Whether an entry of skip names a weight, its module, or a container around it."""
    if isinstance(entry, str) and fnmatchcase(left.name, entry):
        return True
    return _matches(left.owner, entry, modules) if left.owner else False


def _require_hits(hits: set[str], what: str, found: Iterable[str]) -> None:
    if not hits:
        raise InvalidArgumentError(
            f"{what} matches no layer; choose from the layers {', '.join(map(repr, found))}"
        )
