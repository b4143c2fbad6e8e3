"""The loss's curvature along each latent weight: a running diagonal, one number a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError

from .blocks import Curvature
from .selection import Select, Weight, find_weights

_STEP = ".step"


class RunningCurvature:
    """Running means D of the curvature along each weight and each learned step.

    "fisher": of the squares of the gradients, the diagonal of the empirical Fisher matrix, taken
    by the corrector as it goes. "hutchinson": of z (H z), with H the Hessian of the loss and z
    random signs, whose mean is H's diagonal; `observe` computes it from a loss with its graph.

    The first value of D is 0, so that it falls short by 1 - keep^k after k values; only its ratio
    to the mean over a block is used, in which that cancels.

    Parameters
    ----------
    weights : sequence of Weight
    joined : bool
        Whether learned steps are kept too.
    keep : float
        Fraction of D that is kept at each new value.
    seed : int
        Of the random signs, the same on all processes.
    """

    def __init__(self, weights: Sequence[Weight], joined: bool, keep: float, seed: int) -> None:
        self.keep = keep
        self._weights = list(weights)
        self._generator = torch.Generator(device="cpu").manual_seed(seed)
        self._known: dict[str, Curvature] = {}
        for weight in weights:
            step = weight.step if joined else None
            pair = (_zeros(weight.parameter), None if step is None else _zeros(step))
            self._known[weight.name] = Curvature(*pair)

    def of(self, weights: Sequence[Weight]) -> list[Curvature]:
        """D of these weights, moved to where they are now."""
        for weight in weights:
            known = self._known[weight.name]
            device = weight.parameter.device
            if known.weight.device != device:
                step = None if known.step is None else known.step.to(device)
                self._known[weight.name] = Curvature(known.weight.to(device), step)
        return [self._known[weight.name] for weight in weights]

    def observe(self, loss: Tensor) -> None:
        """Take z (H z) of the loss into the running means; its graph is kept.

        Raises
        ------
        InvalidArgumentError
            If the loss has no graph to the weights, or a weight is sharded.
        """
        places = [
            (array, target)
            for weight, known in zip(self._weights, self.of(self._weights), strict=True)
            for array, target in ((weight.parameter, known.weight), (weight.step, known.step))
            if array is not None and target is not None
        ]
        if any(isinstance(array, DTensor) for array, _ in places):
            raise InvalidArgumentError(
                "curvature='hutchinson' differentiates the loss twice, which sharded parameters "
                "do not allow; take curvature='fisher'"
            )
        if not loss.requires_grad:
            raise InvalidArgumentError(
                "observe_curvature_ needs the loss with its graph, from before backward(); it has "
                "no gradient (torch.no_grad, or a detached tensor)"
            )
        with torch.enable_grad():
            products = self._products(loss, [array for array, _ in places])
        for product, (_, target) in zip(products, places, strict=True):
            if bool(torch.isfinite(product).all()):
                target.lerp_(product.to(target.dtype), 1.0 - self.keep)

    def _products(self, loss: Tensor, arrays: Sequence[Tensor]) -> list[Tensor]:
        """Products z (H z), averaged over the processes."""
        first = torch.autograd.grad(loss, arrays, create_graph=True, materialize_grads=True)
        signs = [
            (torch.randint(0, 2, a.shape, generator=self._generator) * 2 - 1).to(a) for a in arrays
        ]
        bent = [(g, z) for g, z in zip(first, signs, strict=True) if g.requires_grad]
        if not bent:
            return [torch.zeros_like(a) for a in arrays]
        gradients, directions = zip(*bent, strict=True)
        second = torch.autograd.grad(
            gradients, arrays, directions, retain_graph=True, materialize_grads=True
        )
        products = [(z * h).detach() for z, h in zip(signs, second, strict=True)]
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            for product in products:
                dist.all_reduce(product)
                product.div_(dist.get_world_size())
        return products

    def state_dict(self) -> dict[str, Any]:
        """D by layer, of learned steps by the layer's name and ``.step``, and the random state."""
        state: dict[str, Any] = {"generator": self._generator.get_state()}
        for name, known in self._known.items():
            state[name] = known.weight.clone()
            if known.step is not None:
                state[name + _STEP] = known.step.clone()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up such a state.

        Raises InvalidArgumentError if a layer is missing, has another shape, or holds numbers that
        are not finite: it would never be corrected again.
        """
        mine = self.state_dict()
        for name, value in mine.items():
            if name not in state or state[name].shape != value.shape:
                raise InvalidArgumentError(
                    f"the state has no curvature of shape {tuple(value.shape)} for {name!r}; "
                    "load that of a corrector of this network"
                )
            if not bool(torch.isfinite(torch.as_tensor(state[name])).all()):
                raise InvalidArgumentError(
                    f"the state's curvature of {name!r} is not finite everywhere: it is damaged; "
                    "load another one"
                )
        self._generator.set_state(state["generator"].cpu())
        for name, known in self._known.items():
            known.weight.copy_(state[name])
            if known.step is not None:
                known.step.copy_(state[name + _STEP])


def hessian_traces(
    model: nn.Module, loss: Tensor, probes: int = 8, seed: int = 0, select: Select = None
) -> dict[str, float]:
    """The mean curvature of a loss along the weights of each layer: tr H/n, by random probes.

    Hutchinson's estimate, the mean of z . (H z)/n over random signs z. Of quantised layers H is the
    Hessian by Q where the estimator is straight through. A measure of how sensitive a layer is to
    rounding, for instance for `Hestia`'s ``delay``.

    Parameters
    ----------
    model : nn.Module
    loss : Tensor
        One number, with its graph, which is kept.
    probes : int
        At least 1; each costs about a backward pass or two.
    seed : int
    select : None, "all", name patterns, or callable
        As for `LNECorrector`.

    Returns
    -------
    dict from layer name to float
        In the unit of the loss over that of the weights squared.

    Raises
    ------
    InvalidArgumentError
        If the loss has no graph, no layer is selected, or a weight is sharded.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import hessian_traces
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> hessian_traces(layer, 3.0 * layer.weight.square().sum(), select="all")
    {'weight': 6.0}
    """
    weights = find_weights(model, select)
    totals = dict.fromkeys((w.name for w in weights), 0.0)
    running = RunningCurvature(weights, False, 0.0, checks.count(seed, "seed", least=0))
    for _ in range(checks.count(probes, "probes", least=1)):
        running.observe(loss)
        for weight, known in zip(weights, running.of(weights), strict=True):
            totals[weight.name] += float(known.weight.mean()) / probes
    return totals


def _zeros(like: Tensor) -> Tensor:
    dtype = like.dtype if like.dtype.itemsize >= 4 else torch.float32
    return torch.zeros_like(like, dtype=dtype, requires_grad=False)
