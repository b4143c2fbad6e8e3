"""check_training_stability: whether a training stays well-behaved from any start."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import like, to_numpy
from ..checks import choice, count, number, numbers, require_members, shown
from ..errors import CheckFailedError, DTypeError, InvalidArgumentError
from ..lne import LNEMetric, auto_tau
from .asking import answer, is_rejection, told
from .findings import CheckReport, is_number, names_in
from .weight_kinds import WEIGHTS, weights_of_kind

_MINIMAL = """\
    class Model:
        def state_dict(self): ...               # names with arrays
        def load_state_dict(self, state): ...
        def named_parameters(self): ...         # pairs of a name and an array
"""


@dataclass(frozen=True)
class TrainingLimits:
    """Bounds along the steps; None leaves a quantity out. All are dimensionless.

    Attributes
    ----------
    condition : float or None
        Of Eq. 16 at the latent weights, 1 / (1 - |t|^2); infinite where it is not definite.
    relative_change : float or None
        |w_after - w_before| / |w_before| of one step, layer by layer.
    flip_rate : float or None
        Share of weights that change their sign in one step.
    mismatch : float or None
        |g^-1 v - v| / |v|, what the correction changes of a gradient v.
    tau_drift : float or None
        Factor, up or down, by which the tau with |tanh(tau w)|^2 = ``target`` leaves that of the
        start of a draw, layer by layer; at least 1.
    loss : float or None
        Largest loss, where ``step`` returns it.
    """

    condition: float | None = 1e4
    relative_change: float | None = 1.0
    flip_rate: float | None = 0.5
    mismatch: float | None = None
    tau_drift: float | None = None
    loss: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            # Infinity is a bound, too: the quantity is measured and never too large.
            if value is not None and not (is_number(value) and value == math.inf):
                number(value, name, above=0)


@dataclass(frozen=True)
class Draw:
    """One start: kind, seed and scale of the weights, seed of the batches, scale of the loss."""

    seed: int
    scale: float
    batch_seed: int
    loss_scale: float
    weights: str = "own"


def check_training_stability(
    step: Callable[..., Any],
    model: Any,
    *,
    steps: int = 10,
    draws: int = 10,
    tau: float | Mapping[str, float] | str = "auto",
    target: float = 0.5,
    limits: TrainingLimits | None = None,
    scales: Sequence[float] = (1.0, 0.1, 3.0),
    loss_scales: Sequence[float] = (1.0,),
    weights: str | Sequence[str] = ("own",),
    state: Iterable[Any] = (),
    select: Callable[[str, Any], bool] | None = None,
    seed: int = 0,
) -> CheckReport:
    """Run a user's training step from drawn initial weights and watch the latent weights.

    Each draw multiplies the model's initial weights by a scale, shuffles them within every tensor
    by a seed (or takes others: ``weights``), and calls ``step(model, rng)`` ``steps`` times;
    ``rng`` is a NumPy generator from which the step takes its batch
    (``step(model, rng, loss_scale)`` if ``loss_scales`` is given).
    After every step: all weights finite, the metric of Eq. 16 definite, and the quantities of
    ``TrainingLimits`` below their bounds. Model and ``state`` are as before afterwards.

    Parameters
    ----------
    step : callable
        One whole step: zero gradients, forward, backward, correction if any, optimiser. It may
        return the loss.
    model : object
        With ``state_dict()``, ``load_state_dict()`` and ``named_parameters()``: a torch module, or
        whatever has these.
    steps, draws : int
        Steps of one draw, and draws.
    tau : float, dict from name to float, or "auto"
        Of the metric that is watched; "auto": |t|^2 = ``target`` at the start of a draw, held from
        then on, so that growth of the weights shows.
    target : float
        For "auto", in (0, 1).
    limits : TrainingLimits, optional
    scales, loss_scales : sequence of float
        To draw from.
    weights : str or sequence of str
        Kinds of initial weights to draw from: "own", the model's, shuffled within every tensor; or
        kinds of ``weight_tensors``, such as "heavy", "tied", "zero_rows", of the same root mean
        square.
    state : iterable of objects with state_dict and load_state_dict
        Optimiser, scheduler, corrector: put back before every draw.
    select : callable (name, parameter) -> bool, optional
        Which parameters are latent weights; by default those of at least two axes.
    seed : int

    Returns
    -------
    CheckReport
        The largest of every quantity.

    Raises
    ------
    CheckFailedError
        With the failing draw of fewest steps, its layer, and the numbers; also where ``step``
        breaks off.
    DTypeError
        If ``model`` or one of ``state`` lacks a method, ``step`` or ``select`` is no function, or
        ``limits`` are none.
    InvalidArgumentError
        If no parameter is selected, the arguments make no sense, a weight is not finite at the
        start, or ``step`` replaces parameters by others or returns a loss that is no number.
    """
    steps, draws = count(steps, "steps", least=1), count(draws, "draws", least=1)
    number(target, "target", above=0.0, below=1.0)
    seed = count(seed, "seed")
    for name, function in (("step", step), ("select", select)):
        if not (callable(function) or function is select is None):
            raise DTypeError(f"{name} = {shown(function)}; give a function")
    if not isinstance(state, Iterable) and not hasattr(state, "state_dict"):
        raise DTypeError(f"state = {shown(state)}; give an optimiser, or a sequence of such")
    state = [state] if hasattr(state, "state_dict") else list(state)
    _require_states(model, state)
    scales, loss_scales = numbers(scales, "scales"), numbers(loss_scales, "loss_scales")
    for name, values in (("scales", scales), ("loss_scales", loss_scales)):
        if not values:
            raise InvalidArgumentError(f"{name} is empty; give at least one number")
    weights = [choice(kind, "weights", ("own", *WEIGHTS)) for kind in names_in(weights, "weights")]
    if not weights:
        raise InvalidArgumentError('weights is empty; give at least one kind, such as "own"')
    bounds = TrainingLimits() if limits is None else limits
    if not isinstance(bounds, TrainingLimits):
        raise DTypeError(f"limits = {shown(limits)}; give TrainingLimits(...)")
    kept = {k: _copy(v) for k, v in model.state_dict().items()}
    others = [(s, _copy_tree(s.state_dict())) for s in state]
    names = _latent_layers(model, kept, select)
    _require_taus(tau, names)
    watch = _Watch(bounds, tau, target, names)
    try:
        for draw in _draws(draws, scales, loss_scales, weights, seed):
            model.load_state_dict(_started(kept, names, draw))
            for other, saved in others:
                other.load_state_dict(_copy_tree(saved))
            watch.begin(model, draw)
            rng = np.random.default_rng(draw.batch_seed)
            extra = () if tuple(loss_scales) == (1.0,) else (draw.loss_scale,)
            for k in range(steps):
                loss = _stepped(step, k, draw, model, rng, *extra)
                if not watch.after(model, draw, k, loss):
                    break
    except BaseException:
        # A step that exchanged layers leaves a model that cannot be put back: its error says so.
        with suppress(Exception):
            _put_back(model, kept, others)
        raise
    _put_back(model, kept, others)
    return watch.report()


def _require_states(model: Any, state: Sequence[Any]) -> None:
    """Raise DTypeError if the model or an object beside it lacks a method."""
    for name, value in (("model", model), *((f"state[{k}]", s) for k, s in enumerate(state))):
        members = {"state_dict": None, "load_state_dict": None}
        if value is model:
            members["named_parameters"] = None
        require_members(value, name, members, "an object such as a torch module", _MINIMAL)


def _latent_layers(
    model: Any, kept: Mapping[str, Any], select: Callable[[str, Any], bool] | None
) -> list[str]:
    """The names of the latent weights, all of which are finite in the kept state.

    Raises
    ------
    InvalidArgumentError
        If there are none, one is not finite, or ``select`` breaks off.
    """
    chosen = select or (lambda name, p: len(p.shape) >= 2)
    advice = "make it answer for every name and parameter of the model"
    names = [
        name for name, p in model.named_parameters() if answer(chosen, "select", advice, name, p)
    ]
    if not names:
        raise InvalidArgumentError(
            "no parameter is selected; give select=lambda name, parameter: ... that is true for "
            "the latent weights"
        )
    for name in names:
        if not np.all(np.isfinite(np.asarray(to_numpy(kept[name])))):
            raise InvalidArgumentError(
                f"the weights of layer {name!r} are not finite before the first step; begin with "
                "finite weights"
            )
    return names


def _stepped(step: Callable[..., Any], k: int, draw: Draw, *given: Any) -> Any:
    """The result of one step of the training.

    Raises
    ------
    CheckFailedError
        If it breaks off; the message has the step and the draw.
    """
    try:
        return step(*given)
    except Exception as error:
        if is_rejection(error):
            raise
        raise CheckFailedError(
            f"the training breaks off in step {k + 1} with {told(error)} ({draw}); "
            f"step takes (model, rng{', loss_scale' if len(given) > 2 else ''})",
            None,
        ) from error


def _put_back(model: Any, kept: Any, others: Sequence[tuple[Any, Any]]) -> None:
    model.load_state_dict(kept)
    for other, saved in others:
        other.load_state_dict(saved)


def _require_taus(tau: Any, names: Sequence[str]) -> None:
    """Raise InvalidArgumentError if there is no temperature for one of the layers."""
    if isinstance(tau, str) and tau == "auto":
        return
    if not isinstance(tau, Mapping):
        number(tau, "tau", above=0)
        return
    for name in names:
        if name not in tau:
            raise InvalidArgumentError(
                f"tau has no entry for the layer {name!r}; give one for each of {sorted(names)}"
            )
        number(tau[name], f"tau[{name!r}]", above=0)


def _draws(
    draws: int,
    scales: Sequence[float],
    loss_scales: Sequence[float],
    weights: Sequence[str],
    seed: int,
) -> Iterable[Draw]:
    rng = np.random.default_rng(seed)
    for k in range(draws):
        # The first draws go through the scales, so that few draws meet each of them.
        scale = scales[k % len(scales)]
        loss_scale = loss_scales[k % len(loss_scales)]
        yield Draw(
            0 if k == 0 else int(rng.integers(2**31)),
            float(scale),
            int(rng.integers(2**31)),
            float(loss_scale),
            weights[k % len(weights)],
        )


def _started(kept: Mapping[str, Any], names: Sequence[str], draw: Draw) -> dict[str, Any]:
    """The kept state with the latent weights shuffled (seed 0: not) or replaced, and scaled."""
    rng = np.random.default_rng(draw.seed)
    result = {k: _copy(v) for k, v in kept.items()}
    for name in names:
        values = np.array(to_numpy(kept[name]))
        if draw.weights != "own":
            others = weights_of_kind(draw.weights, values.shape, int(rng.integers(2**31)))
            values = others * math.sqrt(float(np.mean(values**2)))
        elif draw.seed:
            values = rng.permutation(values.ravel()).reshape(values.shape)
        result[name] = like(draw.scale * values, kept[name])
    return result


def _copy(value: Any) -> Any:
    return like(np.array(to_numpy(value)), value) if hasattr(value, "dtype") else value


def _copy_tree(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy_tree(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy_tree(v) for v in value)
    return _copy(value)


def _loss(loss: Any) -> float:
    try:
        return float(to_numpy(loss)) if hasattr(loss, "dtype") else float(loss)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"step returned {shown(loss)} as its loss; return one number, or nothing"
        ) from error


class _Watch:
    """Measures after every step, keeps the largest values, and the shortest failure."""

    def __init__(
        self, bounds: TrainingLimits, tau: Any, target: float, names: Sequence[str]
    ) -> None:
        self.bounds, self.tau, self.target, self.names = bounds, tau, target, names
        self.largest: dict[str, tuple[float, str]] = {}
        self.failures: list[tuple[int, str]] = []

    def begin(self, model: Any, draw: Draw) -> None:
        weights = self._weights(model)
        self.before = weights
        self.taus = {name: self._tau(name, w) for name, w in weights.items()}
        self.first = {}
        if self.bounds.tau_drift is not None:
            self.first = {n: float(auto_tau(w, self.target)) for n, w in weights.items() if w.any()}

    def _tau(self, name: str, w: np.ndarray) -> float:
        if isinstance(self.tau, Mapping):
            return float(self.tau[name])
        if self.tau == "auto":
            return float(auto_tau(w, self.target)) if np.any(w) else 1.0
        return float(self.tau)

    def _weights(self, model: Any) -> dict[str, np.ndarray]:
        found = dict(model.named_parameters())
        gone = [name for name in self.names if name not in found]
        if gone:
            raise InvalidArgumentError(
                f"step replaced the parameters: {gone[0]!r} is no longer one of the model's; let "
                "it change their values only, or give the model as it is afterwards"
            )
        return {name: np.array(to_numpy(found[name]), dtype=float).ravel() for name in self.names}

    def after(self, model: Any, draw: Draw, k: int, loss: Any) -> bool:
        """Measure; False ends the draw."""
        now, good = self._weights(model), True
        gradients = {
            name: getattr(p, "grad", None)
            for name, p in model.named_parameters()
            if name in self.names
        }
        for name, w in now.items():
            where = f"layer {name!r}, step {k + 1}, {draw}"
            if not np.all(np.isfinite(w)):
                self._note("finite weights: 1 if not", 1.0, 0.0, where, k)
                return False
            old = self.before[name]
            good &= self._measure(name, w, old, gradients[name], where, k)
        if loss is not None and self.bounds.loss is not None:
            value = _loss(loss)
            good &= self._note("loss", value, self.bounds.loss, f"step {k + 1}, {draw}", k)
        self.before = now
        return good

    def _measure(
        self, name: str, w: np.ndarray, old: np.ndarray, gradient: Any, where: str, k: int
    ) -> bool:
        good, b = True, self.bounds
        metric = LNEMetric(self.taus[name])
        s = 1.0 - float(metric.norm2(w))
        condition = 1.0 / s if s > 0 else math.inf
        if b.condition is not None:
            good &= self._note("condition of Eq. 16", condition, b.condition, where, k)
        if b.relative_change is not None:
            size = float(np.linalg.norm(old))
            change = float(np.linalg.norm(w - old))
            value = change / size if size else (math.inf if change else 0.0)
            good &= self._note("relative change", value, b.relative_change, where, k)
        if b.flip_rate is not None:
            flips = float(np.mean((w >= 0) != (old >= 0)))
            good &= self._note("flip rate", flips, b.flip_rate, where, k)
        if b.tau_drift is not None and name in self.first and np.any(w):
            ratio = float(auto_tau(w, self.target)) / self.first[name]
            good &= self._note("drift of tau", max(ratio, 1 / ratio), b.tau_drift, where, k)
        if b.mismatch is not None and gradient is not None and s > 0:
            v = np.array(to_numpy(gradient), dtype=float).ravel()
            length = float(np.linalg.norm(v))
            change = float(np.linalg.norm(metric.solve(w, v) - v))
            value = change / length if length else 0.0
            good &= self._note("gradient mismatch", value, b.mismatch, where, k)
        return good

    def _note(self, name: str, value: float, bound: float, where: str, k: int) -> bool:
        value = math.inf if math.isnan(value) else value
        if name not in self.largest or value > self.largest[name][0]:
            self.largest[name] = value, where
        if value > bound:
            self.failures.append((k, f"{name} {value:.4g} > {bound:.4g} ({where})"))
            return False
        return True

    def report(self) -> CheckReport:
        report = CheckReport("training")
        bounds = {
            "condition of Eq. 16": self.bounds.condition,
            "relative change": self.bounds.relative_change,
            "flip rate": self.bounds.flip_rate,
            "drift of tau": self.bounds.tau_drift,
            "gradient mismatch": self.bounds.mismatch,
            "loss": self.bounds.loss,
        }
        for name, (value, where) in self.largest.items():
            bound = bounds.get(name)
            report.add(name, value, 0.0 if bound is None else bound, where)
        if self.failures:
            k, text = min(self.failures)
            raise CheckFailedError(
                f"the training fails after {k + 1} step(s): {text}; its bounds are "
                "TrainingLimits, give others if these are too "
                f"narrow\n{report}",
                None,
                report,
            )
        return report
