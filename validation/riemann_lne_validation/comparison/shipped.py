"""The data sets and networks that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .contracts import Dataset, Metric, Network, Task
from .registered import register_dataset, register_network, register_task

_CIFAR = {
    "model": "resnet20",
    "epochs": 200,
    "batch_size": 128,
    "augmentation": "standard",
    "weight_decay": 1e-4,
}


def _digits(folder: Path | None) -> Any:
    from .datasets import read_digits

    return (*read_digits(), None, None)


def _cifar(name: str) -> Any:
    def read(folder: Path) -> Any:
        from .datasets import LAYOUTS

        return LAYOUTS[name].read(folder)

    return read


register_dataset(
    Dataset(
        name="digits",
        shape=(1, 8, 8),
        classes=10,
        read=_digits,
        defaults={"model": "mlp", "epochs": 40, "batch_size": 64, "augmentation": "none"},
        normalize=(8.0, 8.0),  # pixels are 0 to 16
        validation_part=0.2,
        summary="8 x 8 images of scikit-learn, 1797 of them; no download",
    )
)
for _classes in (10, 100):
    register_dataset(
        Dataset(
            name=f"cifar{_classes}",
            shape=(3, 32, 32),
            classes=_classes,
            read=_cifar(f"cifar{_classes}"),
            defaults=_CIFAR,
            needs_folder=True,
            summary=f"60,000 colour images in {_classes} classes, from --data",
        )
    )


def _mnist1d(folder: Path | None) -> Any:
    from .mnist1d import make_mnist1d

    return make_mnist1d()


register_dataset(
    Dataset(
        name="mnist1d",
        shape=(1, 40),
        classes=10,
        read=_mnist1d,
        defaults={"model": "cnn1d", "epochs": 40, "batch_size": 100},
        normalize="none",
        summary="5000 noisy signals of 40 values in 10 classes, generated; no download",
    )
)


def _character_model() -> Any:
    from .characters import CharacterModel

    return CharacterModel()


def _character_data(seed: int, folder: Path | None) -> Any:
    from .characters import character_data

    return character_data(seed, folder)


def _character_loss(output: Any, target: Any) -> Any:
    from .characters import character_loss

    return character_loss(output, target)


def _bits(output: Any, target: Any) -> Any:
    from .characters import bits_a_character

    return bits_a_character(output, target)


register_task(
    Task(
        name="characters",
        model=_character_model,
        data=_character_data,
        loss=_character_loss,
        metric=Metric("bits a character", _bits, better="lower", unit="bits", factor=1.0),
        defaults={
            "epochs": 5,
            "batch_size": 32,
            "optimizer": "adam",
            "learning_rate": 3e-3,
            "weight_bits": 2,
            "weight_scale": "mean-channel",
            "quantize_last": False,
            "angle_every": 0,
        },
        summary="characters of Python's help pages, or of the text in --data; bits a character",
    )
)


def _mlp(shape: tuple[int, ...], classes: int, width: int, depth: int) -> Any:
    import math

    from ..lab.networks import mlp

    return mlp(math.prod(shape), classes, width, depth)


def _resnet(layers: int) -> Any:
    def build(shape: tuple[int, ...], classes: int, width: int, depth: int) -> Any:
        from ..lab.networks import cifar_resnet

        return cifar_resnet(layers, classes, width, shape[0])

    return build


register_network(
    Network("mlp", _mlp, width=12, summary="perceptron with batch norm behind every layer")
)


def _cnn1d(shape: tuple[int, ...], classes: int, width: int, depth: int) -> Any:
    from ..lab.networks import cnn1d

    return cnn1d(shape[0], shape[1], classes, width)


register_network(
    Network("cnn1d", _cnn1d, width=25, summary="three convolutions for signals of one axis")
)
for _layers in (8, 20, 32, 44):
    register_network(
        Network(
            f"resnet{_layers}",
            _resnet(_layers),
            # the work of a method on the weights alone is nothing beside a convolution's
            counted_batch=16,
            summary=f"residual network of {_layers} layers for small images",
        )
    )
