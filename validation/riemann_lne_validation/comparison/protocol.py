"""Arm of a comparison: a method with every setting that its accuracy depends on."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from .contracts import Task
from .registered import all_datasets, all_networks, find_dataset, find_network, origin_of

__all__ = [
    "OPTIMIZERS",
    "SPLITS",
    "STARTS",
    "Arm",
    "check_arms",
    "default_arm",
]

OPTIMIZERS = ("sgd", "adam")
SPLITS = ("validation", "test")
STARTS = ("scratch", "fine-tune")
AUGMENTATIONS = ("none", "standard")
TRAIN_PARTS = ("train", "train+validation")
WEIGHT_SCALES = ("none", "mean", "mean-channel", "max")
ACTIVATION_RANGES = ("batch", "running", "learned")

# The learning rate if nothing else is said.
_RATES = {"sgd": 0.1, "adam": 0.01}
_PRETRAIN = ("epochs", "optimizer", "learning_rate", "weight_decay")


@dataclass(frozen=True)
class Arm:
    """One method with all its settings. Runs of an arm differ in their seed only.

    Attributes
    ----------
    label : str
        Name of the arm in tables; unique in a comparison.
    method : str
        A name of `methods.available_methods`.
    options : mapping
        Options of the method.
    dataset : str
        Name of a registered `Dataset` or `Task`.
    subset : int, optional
        Number of training images (validation included), the same for every arm and seed; the test
        images are always all.
    split : {"validation", "test"}
        Images on which the accuracies are measured: "validation" while settings are being chosen.
    train_on : {"train", "train+validation"}, optional
        By default "train" if the accuracy is on the validation images, else all training images.
    model : str
        Name of a registered `Network`; of a task, which brings its own, the name of the task.
    width : int, optional
        Of the hidden layers of the MLP (12), or the channels of the first stage (16). A task has
        none.
    depth : int
        Number of hidden layers of the MLP.
    weight_bits : int
    activation_bits : int, optional
        None: activations are floating-point numbers.
    weight_scale : {"none", "mean", "mean-channel", "max"}
        Factor of the levels, as in `riemann_lne_torch.QuantConfig`.
    quantize_first, quantize_last : bool
    optimizer : {"sgd", "adam"}
        SGD has Nesterov momentum.
    learning_rate : float
        At the start; follows half a cosine, by epochs, to zero.
    momentum : float
        Of SGD.
    weight_decay : float
        As the optimiser of PyTorch has it, on all parameters.
    epochs, batch_size : int
    augmentation : {"none", "standard"}
        "standard": pad by 4 pixels, random crop, random mirror image.
    start : {"scratch", "fine-tune"}
        "fine-tune": from a full-precision network trained from the same seed, the same for all
        arms with the same `pretrain`.
    pretrain : mapping
        Of "epochs", "optimizer", "learning_rate", "weight_decay": in place of the defaults of the
        data set.
    reestimate_norms : bool
        Before each evaluation the statistics of batch norm are computed anew from the training
        images.
    angle_every : int
        Epochs from one measurement of the gradient-mismatch angle to the next; the last epoch has
        one too. 0: never.
    angle_reference : {"float", "flip"}
        See `measurements`.
    activation_range : {"batch", "running", "learned"}
        Range of quantised activations, as in `riemann_lne_torch.QuantConfig`. Not written down
        where it is "batch", as before there were others.
    file : str
        Fingerprint of the user's files that dataset, model or method come from; found by itself.
        Empty, and not written down, where all three are the package's own.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If a setting is out of range or a name is not known.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.protocol import Arm
    >>> Arm("tuned decay", "ste", weight_decay=1e-3).train_on
    'train+validation'
    """

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = "digits"
    subset: int | None = None
    split: str = "test"
    train_on: str | None = None
    model: str = "mlp"
    width: int | None = None
    depth: int = 4
    weight_bits: int = 1
    activation_bits: int | None = None
    weight_scale: str = "none"
    quantize_first: bool = True
    quantize_last: bool = True
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    epochs: int = 40
    batch_size: int = 64
    augmentation: str = "none"
    start: str = "scratch"
    pretrain: Mapping[str, Any] = field(default_factory=dict)
    reestimate_norms: bool = False
    angle_every: int = 5
    angle_reference: str = "float"
    activation_range: str = "batch"
    file: str = ""

    def __post_init__(self) -> None:
        where = f"arm {self.label!r}: "
        if not isinstance(self.label, str) or not re.search(r"\w", self.label):
            raise InvalidArgumentError(
                f"label must be text with a letter in it, got {self.label!r}"
            )
        if self.train_on is None:
            object.__setattr__(self, "train_on", usual_train_on(self.split))
        self._check_network()
        for name, known in (
            ("split", SPLITS),
            ("train_on", TRAIN_PARTS),
            ("weight_scale", WEIGHT_SCALES),
            ("activation_range", ACTIVATION_RANGES),
            ("optimizer", OPTIMIZERS),
            ("augmentation", AUGMENTATIONS),
            ("start", STARTS),
            ("angle_reference", ("float", "flip")),
        ):
            if getattr(self, name) not in known:
                raise UnknownNameError(f"{name} of arm {self.label!r}", getattr(self, name), known)
        for name in ("width", "depth", "weight_bits", "epochs", "batch_size"):
            if name != "width" or self.width is not None:
                _whole(where, name, getattr(self, name), 1)
        _whole(where, "angle_every", self.angle_every, 0)
        if self.subset is not None:
            _whole(where, "subset", self.subset, 1)
        if self.activation_bits is not None:
            _whole(where, "activation_bits", self.activation_bits, 1)
        _number(where, "learning_rate", self.learning_rate, 0.0, math.inf, open_=True)
        _number(where, "momentum", self.momentum, 0.0, 1.0)
        _number(where, "weight_decay", self.weight_decay, 0.0, math.inf)
        for name in ("quantize_first", "quantize_last", "reestimate_norms"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidArgumentError(
                    f"{where}{name} must be true or false, got {getattr(self, name)!r}"
                )
        if self.split == "validation" and self.train_on != "train":
            raise InvalidArgumentError(
                f"{where}the accuracy is on the validation images, so that it cannot be trained on "
                "them: leave train_on out, or set it to 'train'"
            )
        for name in ("options", "pretrain"):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise InvalidArgumentError(f"{where}{name} must be a table, got {value!r}")
            # a copy in JSON's types: the stored options are those of the run
            object.__setattr__(self, name, _json(where + name, value))
        for name in self.pretrain:
            if name not in _PRETRAIN:
                raise UnknownNameError(
                    f"setting of pretrain of arm {self.label!r}", name, _PRETRAIN
                )

    def _check_network(self) -> None:
        """Names of data set and network, and the width that the network has by default."""
        found = origin_of(dataset=self.dataset, network=self.model, method=self.method)
        if self.file and not found:
            return  # read from a record, without the user's files: it is not to be run
        object.__setattr__(self, "file", found)
        where = f" of arm {self.label!r}"
        for kind, name, known in (
            ("dataset", self.dataset, all_datasets()),
            ("model", self.model, {**all_networks(), self.dataset: None}),
        ):
            if name not in known:
                raise UnknownNameError(kind + where, name, known)
        if isinstance(find_dataset(self.dataset), Task):
            if self.model != self.dataset:
                raise InvalidArgumentError(
                    f"arm {self.label!r}: the task {self.dataset!r} has a network of its own, so "
                    f"that there is no model {self.model!r} to choose; leave model out"
                )
        elif self.width is None:
            object.__setattr__(self, "width", find_network(self.model).width)

    def to_dict(self) -> dict[str, Any]:
        """All settings, in the types of JSON."""
        table = asdict(self)
        if not self.file:  # as before there were files of users, so that fingerprints stay the same
            del table["file"]
        if self.activation_range == "batch":
            del table["activation_range"]
        return table

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Arm:
        """The arm of such a table.

        Raises
        ------
        UnknownNameError
            For a setting that does not exist.
        """
        known = [f.name for f in fields(cls)]
        for name in settings:
            if name not in known:
                raise UnknownNameError(f"setting of arm {settings.get('label')!r}", name, known)
        for name in ("label", "method"):
            if name not in settings:
                raise InvalidArgumentError(f"an arm needs {name!r}; given: {dict(settings)!r}")
        return cls(**settings)

    @property
    def digest(self) -> str:
        """A fingerprint of every setting but the label: 12 hexadecimal digits."""
        settings = self.to_dict()
        del settings["label"]
        return digest(settings)

    @property
    def key(self) -> str:
        """A file name for the arm: the label as far as file systems like it, and the digest."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")[:60]
        return f"{slug}-{self.digest}" if slug else self.digest

    def pretraining(self) -> Arm:
        """The full-precision arm whose network a fine-tuned arm starts from."""
        base = default_arm(
            "full-precision", self.dataset, self.pretrain.get("optimizer", "sgd"), self.model
        )
        shared = {
            name: getattr(self, name)
            for name in ("subset", "split", "train_on", "model", "width", "depth", "batch_size")
            + ("augmentation", "momentum")
        }
        return replace(
            base, label="full-precision start", angle_every=0, **shared, **dict(self.pretrain)
        )


def default_arm(
    method: str,
    dataset: str = "digits",
    optimizer: str | None = None,
    model: str | None = None,
    **changes: Any,
) -> Arm:
    """An arm with the settings that are usual for the data set or task.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.protocol import default_arm
    >>> arm = default_arm("ste", "cifar10", epochs=100)
    >>> arm.model, arm.batch_size, arm.epochs
    ('resnet20', 128, 100)
    """
    entry = find_dataset(dataset)
    usual = dict(entry.defaults)
    if isinstance(entry, Task):
        usual["model"] = dataset
    own = usual.pop("optimizer", "sgd")
    optimizer = own if optimizer is None else optimizer
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    if optimizer != own:  # the rate of another optimiser says nothing
        usual.pop("learning_rate", None)
    settings = {
        "label": method,
        "dataset": dataset,
        "optimizer": optimizer,
        "learning_rate": _RATES[optimizer],
        **usual,
    }
    if model is not None:
        settings["model"] = model
    return Arm.from_dict({"method": method, **settings, **changes})


def usual_train_on(split: str) -> str:
    """The usual training items for a split; those that the arm is judged on are not among them."""
    return "train" if split == "validation" else "train+validation"


def check_arms(arms: Iterable[Arm], seeds: Sequence[int]) -> list[Arm]:
    """The arms as a list, after a check that labels and seeds are told apart."""
    arms = list(arms)
    if not arms or not seeds:
        raise InvalidArgumentError(
            f"a comparison of {len(arms)} arms and {len(seeds)} seeds; give at least one of both"
        )
    labels = [arm.label for arm in arms]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InvalidArgumentError(f"arms need different labels; given twice: {', '.join(twice)}")
    for seed in seeds:
        _whole("", "seed", seed, 0)
    if len(set(seeds)) != len(seeds):
        raise InvalidArgumentError(f"a seed is given twice, remove it: {list(seeds)}")
    return arms


def digest(settings: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that tell one table of settings from another."""
    text = json.dumps(settings, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _whole(where: str, name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgumentError(
            f"{where}{name} must be a whole number of at least {least}, got {value!r}"
        )


def _number(
    where: str, name: str, value: Any, low: float, high: float, open_: bool = False
) -> None:
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fine or not (low < value <= high if open_ else low <= value <= high):
        kind = "greater than" if open_ else "at least"
        raise InvalidArgumentError(f"{where}{name} must be a number {kind} {low}, got {value!r}")


def _json(where: str, value: Mapping[str, Any]) -> Any:
    try:
        return json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{where} must hold numbers, text, lists and tables only: {error}"
        ) from error
