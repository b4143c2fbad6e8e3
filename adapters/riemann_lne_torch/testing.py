"""Small quantised networks for property tests, as Hypothesis draws them; extra ``strategies``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from riemann_lne.checks import choice, count, number
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.testing._hypothesis import st
from riemann_lne.testing.recipes import Drawn, Recipe
from riemann_lne.testing.weight_kinds import WEIGHTS, weights_of_kind

from .estimators import available_estimators, get_estimator
from .quantization import QuantConfig, quantize_

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = ["SmallNetwork", "quantized_networks", "small_network"]

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "hardtanh": nn.Hardtanh}
_SCALES = ("none", "mean", "mean-channel", "max")


class SmallNetwork(Drawn, nn.Sequential):
    """A quantised network that prints as the code that makes it.

    Attributes
    ----------
    recipe : Recipe
        ``small_network`` and its arguments.
    """


def small_network(
    widths: Sequence[int] = (6, 8, 3),
    *,
    convolution: bool = False,
    weight_bits: int = 1,
    activation_bits: int | None = None,
    estimator: str = "ste",
    weight_scale: str = "none",
    activation: str = "relu",
    weights: str = "gaussian",
    size: float = 0.5,
    seed: int = 0,
    dtype: str = "float32",
) -> SmallNetwork:
    """A quantised network of linear layers, with latent weights of a given kind.

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden layers, outputs.
    convolution : bool
        Whether a convolution over the inputs, as an image of one row, comes first.
    weight_bits, activation_bits, estimator, weight_scale
        As for `QuantConfig`.
    activation : {"relu", "tanh", "hardtanh"}
    weights : str
        Kind of the latent weights: see ``riemann_lne.testing.weight_tensors``.
    size : float
        Their largest standard deviation, in the unit of the weights.
    seed : int
        Of the weights.
    dtype : {"float32", "float64"}

    Returns
    -------
    SmallNetwork
        Maps (batch, widths[0]) to (batch, widths[-1]).

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If the arguments make no sense.

    Examples
    --------
    >>> network = small_network((4, 2), weights="heavy", seed=3)
    >>> tuple(network(torch.zeros(5, 4)).shape)
    (5, 2)
    """
    sizes = tuple(count(w, f"widths[{k}]", least=1) for k, w in enumerate(widths))
    if len(sizes) < 2:
        raise InvalidArgumentError(f"widths = {widths!r}; give at least inputs and outputs")
    choice(activation, "activation", ACTIVATIONS)
    choice(weights, "weights", WEIGHTS)
    choice(weight_scale, "weight_scale", _SCALES)
    kind = {"float32": torch.float32, "float64": torch.float64}[
        choice(dtype, "dtype", ["float32", "float64"])
    ]
    number(size, "size", least=0.0)
    layers: list[nn.Module] = []
    if convolution:
        first = nn.Conv1d(1, 2, 3, padding=1)
        layers += [nn.Unflatten(1, (1, sizes[0])), first, nn.Flatten(), ACTIVATIONS[activation]()]
        sizes = (2 * sizes[0], *sizes[1:])
    for k in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[k], sizes[k + 1]), ACTIVATIONS[activation]()]
    network = SmallNetwork(*layers[:-1]).to(kind)
    config = QuantConfig(
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        estimator=estimator,
        weight_scale=weight_scale,  # type: ignore[arg-type]  # one of the names, as checked
    )
    filled = [layer for layer in network if isinstance(layer, (nn.Conv1d, nn.Linear))]
    with torch.no_grad():
        for k, layer in enumerate(filled):
            values = size * weights_of_kind(weights, tuple(layer.weight.shape), seed + k)
            layer.weight.copy_(torch.as_tensor(values, dtype=kind))
            if layer.bias is not None:
                layer.bias.zero_()
    # After the weights: an estimator that learns a step begins with one that fits them. Nothing of
    # the layers' own random start is left, a recipe has to make the same network again.
    quantize_(network, config)
    arguments: dict[str, Any] = {
        "widths": tuple(widths),
        "convolution": convolution,
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "estimator": estimator,
        "weight_scale": weight_scale,
        "activation": activation,
        "weights": weights,
        "size": float(size),
        "seed": seed,
        "dtype": dtype,
    }
    network.recipe = Recipe(small_network, arguments)
    return network


def quantized_networks(
    inputs: int = 6,
    outputs: int = 3,
    *,
    largest: float = 1.0,
    weight_bits: Sequence[int] = (1, 2, 4),
    estimators: Sequence[str] | None = None,
    weights: Sequence[str] = WEIGHTS,
    dtype: str = "float32",
) -> SearchStrategy[SmallNetwork]:
    """Small quantised networks with weights as training leaves them.

    At most two hidden layers of at most eight units, or a convolution first; bits, estimator, scale
    of the levels, activation and kind of the latent weights are drawn. They shrink to one linear
    layer with zero weights, and print as code.

    Parameters
    ----------
    inputs, outputs : int
        Widths of the ends.
    largest : float
        Largest standard deviation of the latent weights, in their unit; each is 0, or at least a
        thousandth of it.
    weight_bits : sequence of int
        To choose from.
    estimators : sequence of str, optional
        Names to choose from; all that are registered by default.
    weights : sequence of str
        Kinds of latent weights to choose from.
    dtype : {"float32", "float64"}

    Returns
    -------
    strategy of SmallNetwork

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If the arguments make no sense.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, database=None, deadline=None)
    ... @given(quantized_networks(4, 2, estimators=["ste"]))
    ... def outputs_are_finite(network):
    ...     assert network(torch.ones(3, 4)).isfinite().all()
    >>> outputs_are_finite()
    """
    count(inputs, "inputs", least=2)  # some estimators need a standard deviation of each row
    count(outputs, "outputs", least=1)
    number(largest, "largest", above=0.0)
    known = available_estimators()
    names = known if estimators is None else [choice(e, "estimator", known) for e in estimators]
    names = sorted(names, key=lambda name: name != "ste")
    for kind in weights:
        choice(kind, "kind of weights", WEIGHTS)
    if not (names and weights and weight_bits):
        raise InvalidArgumentError("weight_bits, estimators and weights must not be empty")

    @st.composite
    def build(draw: DrawFn) -> SmallNetwork:
        """One network: its arguments drawn, the simplest of each first.

        Parameters
        ----------
        draw : callable
            Given by Hypothesis: draws a value from a strategy.
        """
        estimator = draw(st.sampled_from(names))
        scale = draw(st.sampled_from(_SCALES))  # always drawn: fewer draws count as simpler
        hidden = draw(st.lists(st.integers(2, 8), max_size=2))
        return small_network(
            (inputs, *hidden, outputs),
            convolution=draw(st.booleans()),
            weight_bits=draw(st.sampled_from(list(weight_bits))),
            activation_bits=draw(st.sampled_from([None, 2, 8])),
            estimator=estimator,
            weight_scale="none" if get_estimator(estimator).scales else scale,
            activation=draw(st.sampled_from(list(ACTIVATIONS))),
            weights=draw(st.sampled_from(list(weights))),
            # Zero, or weights that can be trained: DoReFa's gradients grow with 1 / size. Whole
            # numbers shrink to the small ones, floats to short ones such as 1.0.
            size=largest * (draw(st.integers(0, 1000)) / 1000),
            seed=draw(st.integers(0, 2**31)),
            dtype=dtype,
        )

    return build()
