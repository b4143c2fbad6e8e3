"""The scale tau of every block: given, or following a target for |tanh(tau w)|^2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from riemann_lne import checks
from riemann_lne.errors import ConvergenceError, InvalidArgumentError, NotFiniteError
from riemann_lne.lne.pieces import PieceSums

from . import grouped
from .block_sums import Blocks, Fast, Rows

Values: TypeAlias = np.ndarray
"""A number for each row, as NumPy's array: with few numbers its calls take a third of the time."""

_MOST_ROUNDS = 60
# tanh^2 z = z^2 - 2/3 z^4 + 17/45 z^6 - ...
_SERIES = np.array([[1.0], [-2.0 / 3.0], [17.0 / 45.0]])
_POWERS = Fast(grouped.powers, "powers")
_SCALE = Fast(grouped.scale_sums, "scale")


def given_tau(tau: float | Mapping[str, float] | str, name: str) -> float | None:
    """The tau asked for a layer, or None for "auto"."""
    if isinstance(tau, Mapping):
        for pattern, value in tau.items():
            if fnmatchcase(name, pattern):
                return given_tau(value, name)
        raise InvalidArgumentError(
            f"tau has no entry for layer {name!r}; its patterns are {sorted(tau)}: add one, or "
            "'*' for all others"
        )
    if isinstance(tau, str) and tau == "auto":
        return None
    try:
        return checks.number(tau, "tau", above=0.0)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            "tau must be a finite number greater than 0, a mapping from name patterns to such, or "
            f"'auto', got {checks.shown(tau)} for layer {name!r}"
        ) from error


def plain_tau(tau: Any) -> Any:
    """A tau that `given_tau` has accepted, with plain Python numbers."""
    if isinstance(tau, Mapping):
        return {pattern: plain_tau(value) for pattern, value in tau.items()}
    return tau if isinstance(tau, str) else float(tau)


class Follower:
    """The tau with |tanh(tau w)|^2 = target in every block, followed from call to call.

    Between two steps of training the weights move little. With z = tau_0 w for the last tau,

        |tanh(r z)|^2 = r^2 sum z^2 - 2/3 r^4 sum z^4 + 17/45 r^6 sum z^6 - ...,

    and what follows the three sums hardly changes from one call to the next: it is kept as a
    remainder, taken to grow like the next term, r^8. The r that then meets the target is right to
    rounding as a rule. Where the sums show that it is not, Newton's method in log tau goes on
    from there.

    A block of zeros has t = 0 for every tau, and the metric is the identity there: tau is 1. With
    ``zeros=False`` such a block is refused.
    """

    def __init__(self, target: float, *, zeros: bool = True) -> None:
        self.target = target
        self.zeros = zeros
        self._layout: tuple[tuple[str, int], ...] = ()
        self._tau: Values = np.empty(0)  # of the rows of the layout,
        self._remainder = self._tau  # NaN where none is known,
        self._known: dict[str, tuple[Values, Values]] = {}  # and of layers outside of it
        self._scale = self._tau  # of this call's sums,
        self._series = self._tau  # and the terms of the series above, (3, rows)

    def predict(self, blocks: Blocks, tau: Rows, wanted: Rows) -> Rows:
        """Tau with the wanted rows replaced by a prediction.

        The first time it is sqrt(target)/|w|, which is below the root.

        Raises
        ------
        InvalidArgumentError
            If a wanted block holds only zeros, without ``zeros``. Names the layer and channel.
        NotFiniteError
            If a weight is not finite. Names the layer.
        """
        last, remainder = self._last(blocks)
        scale = np.where(np.isnan(last), 1.0, last)
        sums = blocks.collect(_powers, torch.from_numpy(scale), fast=_POWERS, width=3, held=2)
        require_usable(blocks, sums[:, 0], None if self.zeros else wanted)
        powers, chosen = sums.numpy().T, wanted.numpy()
        self._scale, self._series = scale, powers * _SERIES
        empty = powers[0] == 0.0
        with np.errstate(all="ignore"):  # blocks of zeros, and those of which nothing is known yet
            least = self.target / powers[0]  # of r^2, as |tanh z| <= |z|
            square = _root(self._series, remainder, self.target)
            square = np.where(np.isfinite(square) & (square >= least), square, least)
            new = np.where(empty, 1.0, scale * np.sqrt(square))
        new = np.where(chosen, new, tau.numpy())
        self._keep(blocks, new, chosen & ~empty)
        return torch.from_numpy(new)

    def is_met(self, blocks: Blocks, norm2: Rows, wanted: Rows) -> bool:
        """Whether |t|^2 is the target in all wanted rows, as well as their precision can tell.

        Or, in double precision, as well as 1 - |t|^2 needs it for single-precision gradients.
        """
        tolerance = 3e-6 * self.target
        if blocks.double:
            tolerance = 1e-13 * self.target
        elif blocks.wide:
            tolerance = 1e-7 * (1.0 - self.target)
        found = norm2.numpy()
        met = (abs(found - self.target) < tolerance) | (found == 0.0)
        return bool((met | ~wanted.numpy()).all())

    def require_met(self, blocks: Blocks, norm2: Rows, wanted: Rows) -> None:
        """Refuse rows whose |t|^2 is so far from the target that 1 - |t|^2 is another one.

        Raises
        ------
        ConvergenceError
            Names the layer, and the channel.
        """
        gap = 1.0 - self.target
        missed = wanted & (norm2 != 0.0) & ~((norm2 - self.target).abs() < 1e-2 * gap)
        if bool(missed.any()):
            row = int(missed.nonzero()[0])
            raise ConvergenceError(
                f"{blocks.row_name(row)}: no tau was found for |t|^2 = {self.target}; the nearest "
                f"has |t|^2 = {float(norm2[row])!r}. Choose a smaller target, or train where there "
                "is double precision"
            )

    def solve(self, blocks: Blocks, tau: Rows, wanted: Rows) -> Rows:
        """Newton's method from a prediction, for logit |t|^2 = logit target, inside a bracket."""
        bracket = _Bracket(tau.log(), self.target)
        # Newton's method turns an error e of log tau into about e^2/(1 - target).
        gap = 1.0 - self.target
        tolerance = 3e-4
        if blocks.double:
            tolerance = min(3e-7, 1e-6 * gap)
        elif blocks.wide:
            tolerance = min(3e-4, 3e-5 * gap)
        for _ in range(_MOST_ROUNDS):
            trial = torch.where(wanted, bracket.u.exp(), 1.0)
            sums = blocks.collect(_scale_sums, trial, fast=_SCALE, width=2, held=2)
            require_usable(blocks, sums[:, 0], wanted & (not self.zeros))
            wanted = wanted & (sums[:, 0] > 0.0)  # a block of zeros keeps the tau it has
            if not bool((wanted & (bracket.step(sums[:, 0], sums[:, 1]) > tolerance)).any()):
                break
        tau = torch.where(wanted, bracket.u.exp(), tau)
        self._keep(blocks, tau.numpy(), wanted.numpy())
        return tau

    def _last(self, blocks: Blocks) -> tuple[Values, Values]:
        """Tau and remainder of the last call for these rows, NaN where there was none."""
        if blocks.layout != self._layout:
            self._fold()
            last = np.full((2, blocks.rows), np.nan)
            for layer in blocks.layers:
                found = self._known.get(layer.name)
                if found is not None and len(found[0]) == layer.rows:
                    last[:, layer.span] = found
            self._layout = blocks.layout
            self._tau, self._remainder = last[0], last[1]
        return self._tau, self._remainder

    def _fold(self) -> None:
        """Add the values of the layout's layers to those of the others."""
        start = 0
        for name, rows in self._layout:
            part = slice(start, start + rows)
            self._known[name] = self._tau[part].copy(), self._remainder[part].copy()
            start = part.stop

    def _keep(self, blocks: Blocks, tau: Values, wanted: np.ndarray) -> None:
        """Take tau for what meets the target with the weights of this call, in the wanted rows."""
        last, remainder = self._last(blocks)
        square = np.square(tau / self._scale)
        new = self.target - _polynomial(self._series, square)
        self._tau = np.where(wanted, tau, last)
        self._remainder = np.where(wanted, new, remainder)

    def state_dict(self, rows: Mapping[str, int]) -> dict[str, dict[str, Tensor]]:
        """Tau and remainder of layers, given the rows of each; NaN where none is known.

        The form is the same whatever is known: `torch.distributed.checkpoint` loads into the
        state of a fresh object.
        """
        self._fold()
        state: dict[str, dict[str, Tensor]] = {"tau": {}, "remainder": {}}
        for name, count in rows.items():
            found = self._known.get(name)
            if found is None or len(found[0]) != count:
                found = np.full(count, np.nan), np.full(count, np.nan)
            for key, values in zip(state, found, strict=True):
                state[key][name] = torch.from_numpy(values.copy())
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave, and forget the rest.

        Raises InvalidArgumentError if a tau is neither above 0 nor unknown (NaN), or has no
        remainder. Names the layer.
        """
        known: dict[str, tuple[Values, Values]] = {}
        for name, tau in state["tau"].items():
            pair = (tau, state["remainder"].get(name, ()))
            values, remainder = (
                torch.as_tensor(a, dtype=torch.float64).cpu().numpy().copy() for a in pair
            )
            fine = np.isnan(values) | ((values > 0.0) & np.isfinite(values))
            if values.shape != remainder.shape or not fine.all():
                raise InvalidArgumentError(
                    f"the state's tau of layer {name!r} is damaged: a number above 0 and a "
                    "remainder are needed for each block; load another state, or none"
                )
            known[name] = values, remainder
        self._layout, self._known = (), known
        self._tau = self._remainder = np.empty(0)


def _root(series: Values, remainder: Values, target: float) -> Values:
    """The q near 1 where the series with its remainder is the target, by Newton's method."""
    terms = np.stack([*series, remainder])
    # values and slopes (times q), as one array: half as many calls
    both = np.stack([terms, terms * np.arange(1.0, len(terms) + 1.0)[:, None]], axis=1)
    q = np.ones_like(remainder)
    for _ in range(6):
        value, slope = _polynomial(both, q)
        new = q - (value - target) * q / slope
        if np.array_equal(new, q):
            break
        q = new
    return q


def _polynomial(terms: Values, q: Values) -> Values:
    """The sum of q^k times the k-th term, k = 1, 2, ..."""
    total = terms[-1] * q
    for term in terms[-2::-1]:
        total += term
        total *= q
    return total


class _Bracket:
    """Newton's method for one unknown a row, falling back to bisection."""

    def __init__(self, u: Rows, target: float) -> None:
        self.u = u
        self.wanted = math.log(target) - math.log1p(-target)
        self.low = torch.full_like(u, -math.inf)
        self.high = torch.full_like(u, math.inf)

    def step(self, norm2: Rows, half_slope: Rows) -> Rows:
        """One step; the change of log tau that it made."""
        residual = norm2.log() - torch.log1p(-norm2) - self.wanted
        residual = torch.where(norm2 < 1.0, residual, torch.inf)
        self.low = torch.where(residual <= 0.0, self.u, self.low)
        self.high = torch.where(residual >= 0.0, self.u, self.high)
        new = self.u - residual * norm2 * (1.0 - norm2) / (2.0 * half_slope)
        middle = torch.where(
            torch.isinf(self.high),
            self.u + 1.0,
            torch.where(torch.isinf(self.low), self.u - 1.0, 0.5 * (self.low + self.high)),
        )
        inside = torch.isfinite(new) & (new >= self.low) & (new <= self.high)
        new = torch.where(inside, new, middle)
        change = (new - self.u).abs()
        self.u = new
        return change


def _scale_sums(x: Tensor, v: Tensor, tau: Any) -> tuple[Tensor, ...]:
    return PieceSums(tau).scale(x)


def _powers(x: Tensor, v: Tensor, tau: Any) -> tuple[Tensor, ...]:
    return PieceSums(tau).powers(x)


def require_usable(blocks: Blocks, norm2: Rows, no_zeros: Rows | None = None) -> None:
    """Refuse non-finite weights and, in the rows that are named, blocks of zeros, by name."""
    finite = np.isfinite(norm2.numpy())
    if not finite.all():
        broken = ~torch.from_numpy(finite)
        raise NotFiniteError(
            f"{blocks.row_name(int(broken.nonzero()[0]))}: the weights hold NaN or infinite "
            "values (or values whose squares overflow): training has diverged; lower the rate"
        )
    if no_zeros is None:
        return
    zero = no_zeros & (norm2 == 0.0)
    if bool(zero.any()):
        raise InvalidArgumentError(
            f"{blocks.row_name(int(zero.nonzero()[0]))}: all weights are zero, so that no tau "
            "brings |tanh(tau w)|^2 to the target; leave the layer out with select, or give tau "
            "as a number"
        )
