"""The networks of the comparisons: the residual networks of CIFAR, and a small MLP."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError

__all__ = ["WEIGHTED", "cifar_resnet", "cnn1d", "edge_layers", "mlp"]

WEIGHTED = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
)
"""Layers whose weights an arm of a comparison makes discrete."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm; the shortcut has no parameters."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.stride, self.missing = stride, outside - inside

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.stride > 1:
            x = x[..., :: self.stride, :: self.stride]
        if self.missing:
            x = nn.functional.pad(x, (0, 0, 0, 0, self.missing // 2, -(-self.missing // 2)))
        return torch.relu(x + y)


def cifar_resnet(
    depth: int = 20, classes: int = 10, width: int = 16, channels: int = 3
) -> nn.Sequential:
    """The residual network for 32 x 32 images of He et al. (2016, section 4.2), shortcuts A.

    Parameters
    ----------
    depth : int
        6 k + 2 for k blocks a stage: 8, 14, 20, 32, 44, 56, 110.
    classes : int
    width : int
        Channels of the first stage; the others have twice and four times as many.
    channels : int
        Of the images.

    Returns
    -------
    nn.Sequential
        Input (batch, channels, height, width), output (batch, classes).

    Raises
    ------
    InvalidArgumentError
        If the depth is not 6 k + 2.

    Examples
    --------
    >>> from riemann_lne_validation.lab.networks import cifar_resnet
    >>> sum(p.numel() for p in cifar_resnet(20).parameters())
    269722
    """
    count, rest = divmod(depth - 2, 6)
    if rest or count < 1:
        raise InvalidArgumentError(f"depth must be 6 k + 2 (8, 14, 20, 32, ...), got {depth}")
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU()]
    inside = width
    for stage in range(3):
        outside = width << stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            layers.append(ResidualBlock(inside, outside, stride))
            inside = outside
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes)]
    return nn.Sequential(*layers)


def mlp(inputs: int = 64, classes: int = 10, width: int = 12, depth: int = 4) -> nn.Sequential:
    """A narrow multilayer perceptron, in which estimators make a difference.

    Parameters
    ----------
    inputs, classes : int
    width, depth : int
        Units of a hidden layer, and number of hidden layers.

    Returns
    -------
    nn.Sequential
        Input (batch, ..., ...) with ``inputs`` numbers a sample, output (batch, classes). Batch
        norm behind every layer, the last one included, so that discrete weights need no scale.

    Raises
    ------
    InvalidArgumentError
        If width or depth is below 1.

    Examples
    --------
    >>> from riemann_lne_validation.lab.networks import mlp
    >>> sum(p.numel() for p in mlp().parameters())
    1436
    """
    if width < 1 or depth < 1:
        raise InvalidArgumentError(f"width and depth must be at least 1, got {width} and {depth}")
    layers: list[nn.Module] = [nn.Flatten()]
    inside = inputs
    for _ in range(depth):
        layers += [nn.Linear(inside, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        inside = width
    layers += [nn.Linear(inside, classes, bias=False), nn.BatchNorm1d(classes)]
    return nn.Sequential(*layers)


def cnn1d(channels: int = 1, length: int = 40, classes: int = 10, width: int = 25) -> nn.Sequential:
    """Three convolutions of stride 2 for signals of one axis, as MNIST-1D's authors take them.

    Parameters
    ----------
    channels, length : int
        Of a signal; at least 8 values long.
    classes : int
    width : int
        Channels of each convolution.

    Returns
    -------
    nn.Sequential
        Input (batch, channels, length), output (batch, classes). Batch norm behind every layer, the
        last one included, so that discrete weights need no scale.

    Raises
    ------
    InvalidArgumentError
        If the signal is shorter than 8 values.

    Examples
    --------
    >>> from riemann_lne_validation.lab.networks import cnn1d
    >>> sum(p.numel() for p in cnn1d().parameters())
    5295
    """
    if length < 8:
        raise InvalidArgumentError(f"a signal needs at least 8 values, got {length}")
    layers: list[nn.Module] = []
    inside = channels
    for size in (5, 3, 3):
        layers += [nn.Conv1d(inside, width, size, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm1d(width), nn.ReLU()]
        inside, length = width, (length + 2 - size) // 2 + 1
    layers += [nn.Flatten(), nn.Linear(width * length, classes, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm1d(classes))


def edge_layers(model: nn.Module) -> tuple[str, str]:
    """Names of the first and the last layer with weights: often left in floating point.

    >>> from riemann_lne_validation.lab.networks import cifar_resnet, edge_layers
    >>> edge_layers(cifar_resnet(8))
    ('0', '8')
    """
    names = [n for n, m in model.named_modules() if isinstance(m, WEIGHTED)]
    return names[0], names[-1]
