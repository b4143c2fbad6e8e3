"""The batches of an epoch: their order and augmentation depend on seed and epoch only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from riemann_lne.errors import InvalidArgumentError

from .datasets import Samples

__all__ = ["PAD", "EpochPlan", "augment", "batches", "plan_epoch"]

PAD = 4


class EpochPlan:
    """Random choices of an epoch.

    Attributes
    ----------
    order : int64 array, shape (images,)
    crops : int64 array, shape (images, 2), or None
        Row and column of each crop in the padded image, by image.
    mirrored : bool array, shape (images,), or None
    """

    def __init__(
        self, order: np.ndarray, crops: np.ndarray | None, mirrored: np.ndarray | None
    ) -> None:
        self.order, self.crops, self.mirrored = order, crops, mirrored

    def hash(self, before: str) -> str:
        """A hash of this epoch and all before it."""
        state = hashlib.sha256(before.encode())
        for array in (self.order, self.crops, self.mirrored):
            state.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return state.hexdigest()


def plan_epoch(count: int, seed: int, epoch: int, augmentation: str = "none") -> EpochPlan:
    """Order, crops and mirror images of an epoch; a function of its arguments.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.augmentation import plan_epoch
    >>> plan_epoch(4, seed=1, epoch=1).order.tolist() == plan_epoch(4, 1, 1).order.tolist()
    True
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(count)
    if augmentation == "none":
        return EpochPlan(order, None, None)
    crops = rng.integers(0, 2 * PAD + 1, size=(count, 2))
    return EpochPlan(order, crops, rng.random(count) < 0.5)


def augment(images: Tensor, crops: Tensor, mirrored: Tensor) -> Tensor:
    """Pad by 4 black pixels, cut out at the given row and column, mirror where asked.

    Parameters
    ----------
    images : Tensor, shape (images, channels, height, width)
    crops : integer Tensor, shape (images, 2)
        From 0 to 8; (4, 4) leaves an image as it is.
    mirrored : bool Tensor, shape (images,)

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_validation.comparison.augmentation import augment
    >>> image = torch.tensor([[[[1, 2], [3, 4]]]])
    >>> augment(image, torch.tensor([[4, 5]]), torch.tensor([True]))[0, 0]
    tensor([[0, 2],
            [0, 4]])
    """
    height, width = images.shape[-2:]
    padded = torch.nn.functional.pad(images, (PAD,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    every = torch.arange(len(images), device=images.device)
    cut = windows[every, :, crops[:, 0], crops[:, 1]]
    return torch.where(mirrored[:, None, None, None], cut.flip(3), cut)


def batches(images: Samples, plan: EpochPlan, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch as network inputs and labels.

    The last one is smaller if the images do not divide; a last batch of one image is left out,
    as batch norm has no variance there, unless all batches are of one image.
    """
    order = torch.from_numpy(plan.order).to(images.train.device)
    if len(order) < 2:
        raise InvalidArgumentError(f"training needs at least 2 images, got {len(order)}")
    least = min(2, size)
    if plan.crops is None and images.train.numel() <= 2**24:
        # few images: one gather an epoch, and batches are views
        x, y = images.normalise(images.train[order]), images.train_labels[order]
        for pair in zip(torch.split(x, size), torch.split(y, size), strict=True):
            if len(pair[1]) >= least:
                yield pair
        return
    crops = mirrored = None
    if plan.crops is not None and plan.mirrored is not None:
        crops = torch.from_numpy(plan.crops).to(order.device)
        mirrored = torch.from_numpy(plan.mirrored).to(order.device)
    for chosen in torch.split(order, size):
        if len(chosen) < least:
            return
        x = images.train[chosen]
        if crops is not None and mirrored is not None:
            x = augment(x, crops[chosen], mirrored[chosen])
        yield images.normalise(x), images.train_labels[chosen]
