"""The discrete Ricci flow on the weights of a network: the regulariser N and its gate."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, NotPositiveDefiniteError, UnknownNameError
from riemann_lne.lne import LNEMetric
from riemann_lne.lne.discrete_flow import defect_of_products, flow_weights

from ..natural.block_sums import Blocks, Rows, on_host
from ..natural.compiled import CHOICES
from ..natural.hooks import Attachment, Caller, attach, select_weights
from ..natural.selection import Select, Weight, find_weights
from ..natural.tau import Follower, given_tau
from .defects import layer_products
from .shifts import FILLS, Translate, check_shifts, copies, translate
from .virtual import VirtualPasses

_NEXT = ("virtual", "previous", "update")
_DERIVATIVES = ("first", "second", "none")
_GATES = ("off", "hard", "soft")
_DENOMINATORS = ("constant", "differentiated")
_REDUCTIONS = ("mean", "sum")

_STATE = ("options", "layers", "calls", "shut_in_a_row", "warned", "statistics", "before")

# Calls in a row with every layer gated after which a deadlock is warned of.
_PATIENCE = 3


@dataclass(frozen=True)
class LayerDefect:
    """N of one layer at the last evaluation. Dimensionless.

    Attributes
    ----------
    value : float
        N as it enters the penalty and the gate: divided by |t|^4 if ``relative``.
    norm2 : float
        |t|^2 of the layer.
    factor : float
        Factor of the gate on the layer's gradient: 1 where it is open.
    """

    value: float
    norm2: float
    factor: float


class RicciFlowRegularizer:
    """The defect N of one step of the discrete Ricci flow on the weights (Eq. 35, Algorithm 2).

    Four copies c = k1, k2, j1, j2 of the batch, translated along rows and columns, each give a
    virtual step w|c = w - step * dL_c/dw of the latent weights w of each layer, and
    g|c = I - t_c t_c^T, t_c = tanh(tau w|c). With dk = k1 - k2 and dj = j1 - j2

    N = | g(t+1)|k1 - g|k1 - (g|k1 - g|k2)/dk + (g|j1 - g|j2)/dj |_F^2,

    in O(n) for a layer of n weights. Call it for the penalty, ``n = penalty(x, y)``, before the
    forward pass of the loss, whose graph would lie in memory beside those of the virtual passes
    (measured on a ResNet-20: a tenth slower so), and add ``alpha * n`` to the loss. With a gate,
    attach it to the optimiser (or call `gate_`) as well.

    Everything that the paper leaves open is an option; the default comes first.

    Parameters
    ----------
    model : nn.Module
        Of DistributedDataParallel the inner module.
    loss_fn : callable (output, y) -> scalar Tensor
    shifts : ((k1, k2), (j1, j2))
        In whole pixels; the paper takes fewer than 4.
    step : float, or Optimizer
        Length of the virtual step, or an optimiser whose learning rate (that of each weight's
        group) is read at every call. The step is the plain gradient's, without momentum. The
        default is the paper's first learning rate.
    tau : "auto", float, or mapping from name patterns to float
        Scale in one over the unit of the weights, constant under differentiation. "auto": for
        every layer |tanh(tau w)|^2 = `target` at the current weights.
    target : float
    next_step : {"virtual", "previous", "update"}
        g(t+1)|k1: from a second virtual step at w|k1 on copy k1; this iteration's g|k1, against
        all four metrics of the iteration before (no fifth pass); or, after the real update, from
        a virtual step on the copy k1 of the batch before, against the four metrics of that batch.
        The latter two have N = 0 at the first call.
    derivative : {"first", "second", "none"}
        Whether virtual gradients are constant under differentiation, or not (memory for all
        passes), or N is only a number, for the gate.
    gate : {"off", "hard", "soft"}
        Factor of `gate_` on each layer's gradient: 1, [N <= eps] (Eq. 36), min(1, eps/N).
    eps : float
        Threshold of the gate; needed by "hard" and "soft".
    relative : bool
        Divide N by s^2 = |t|^4 of the current weights, which makes layers comparable.
    denominator : {"constant", "differentiated"}
        Whether s is constant under differentiation. At small steps N/s^2 is the squared relative
        step, and a differentiated denominator pushes |w| up.
    reduction : {"mean", "sum"}
        Over layers; the paper sums.
    every : int
        N is computed on every ``every``-th call; the other calls return 0 and keep the gate.
    part : float
        Fraction of the batch, from its start, on which N is computed; at least one sample.
    fill : {"zero", "roll"}
        Values that come in at the edge of a translated image: zeros, or those that left it.
    translate : callable (x, rows, columns) -> x, optional
        For inputs whose last two axes are not rows and columns.
    select : None, "all", name patterns, or callable
        Which layers; by default the quantised ones, as `LNECorrector`.
    kernel : {"auto", "plain", "fused"}
        How the tau of a layer follows from its target: by compiled loops ("fused") or by torch's
        operations ("plain"); see `LNECorrector`.
    group : bool or ProcessGroup
        The processes that train one model together. With a gate N is averaged over them, in one
        collective of a number a layer, so that all gate alike and replicas stay equal under
        DistributedDataParallel. True: all processes, if `torch.distributed` is initialised; False:
        this one alone.

    Attributes
    ----------
    statistics : dict from layer name to LayerDefect
        Of the last evaluation.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If an option makes no sense. At a call: shifts as large as the image (ShapeError), a layer
        of zeros with tau="auto".
    KernelUnavailableError
        At a call, with kernel="fused", where there are no compiled loops for these layers.

    Warns
    -----
    UserWarning
        If a hard gate has been shut in all layers for three calls in a row: gradients are zero,
        weights stay, N stays, and training may never go on.

    Notes
    -----
    Virtual passes leave gradients, batch-norm buffers and the random state as they were. Cost:
    five passes with "virtual" and "update", four with "previous", each about a training step.

    At small steps N/s^2 is 2 step^2 |g' - (g_k1 - g_k2)/dk + (g_j1 - g_j2)/dj|^2/|w|^2 for the
    gradients g: a penalty on the squared relative step, not only on differences of gradients. Its
    first-order derivative is nearly parallel to w, a data-dependent weight decay.

    References
    ----------
    Eq. 30 to 36 and Algorithm 2 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import QuantConfig, RicciFlowRegularizer, quantize_
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(),
    ...                             torch.nn.Linear(72, 3))
    >>> model = quantize_(model, QuantConfig(weight_bits=1))
    >>> penalty = RicciFlowRegularizer(model, torch.nn.functional.cross_entropy, step=0.01)
    >>> x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    >>> n = penalty(x, y)
    >>> bool(n > 0), n.requires_grad
    (True, True)
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Any, Any], Tensor],
        shifts: tuple[tuple[int, int], tuple[int, int]] = ((1, -1), (1, -1)),
        *,
        step: float | torch.optim.Optimizer = 0.1,
        tau: Any = "auto",
        target: float = 0.5,
        next_step: str = "virtual",
        derivative: str = "first",
        gate: str = "off",
        eps: float | None = None,
        relative: bool = True,
        denominator: str = "constant",
        reduction: str = "mean",
        every: int = 1,
        part: float = 1.0,
        fill: str = "zero",
        translate: Translate | None = None,
        select: Select = None,
        kernel: str = "auto",
        group: Any = True,
    ) -> None:
        for kind, value, known in (
            ("next_step", next_step, _NEXT),
            ("derivative", derivative, _DERIVATIVES),
            ("gate", gate, _GATES),
            ("denominator", denominator, _DENOMINATORS),
            ("reduction", reduction, _REDUCTIONS),
            ("fill", fill, FILLS),
            ("kernel", kernel, CHOICES),
        ):
            if value not in known:
                raise UnknownNameError(kind, value, known)
        if gate != "off" and eps is None:
            raise InvalidArgumentError(f"gate={gate!r} needs eps, a number above 0")
        self.eps = None if eps is None else checks.number(eps, "eps", above=0.0)
        self.every = checks.count(every, "every", least=1)
        self.part = checks.number(part, "part", above=0.0, most=1.0)
        self.target = checks.number(target, "target", above=0.0, below=1.0)
        self.relative = checks.flag(relative, "relative")
        self.shifts = check_shifts(shifts)
        self.weights = find_weights(model, select)
        self._passes = VirtualPasses(model, loss_fn, self.weights)
        self._tau = [given_tau(tau, w.name) for w in self.weights]
        self._step = _VirtualStep(step)
        self.next_step, self.derivative, self.gate = next_step, derivative, gate
        self.denominator, self.reduction = denominator, reduction
        self.fill, self.kernel = fill, kernel
        self._translate = translate
        if not (isinstance(group, bool) or hasattr(group, "rank")):
            raise InvalidArgumentError(
                f"group must be True, False or a process group, got {checks.shown(group)}"
            )
        self.group = group
        self.statistics: dict[str, LayerDefect] = {}
        self._norm2 = torch.zeros(len(self.weights))
        self._calls = 0
        self._shut_in_a_row = 0
        self._warned = False
        self._before: _Before | None = None
        self.caller: Caller | None = None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.weights)} layers, shifts={self.shifts}, "
            f"next_step={self.next_step!r}, derivative={self.derivative!r}, gate={self.gate!r})"
        )

    def __call__(self, x: Tensor, y: Any) -> Tensor:
        """N over the layers for a batch, a scalar tensor to be added to the loss.

        Parameters
        ----------
        x : Tensor, shape (batch, ..., height, width)
        y : whatever `loss_fn` takes, with the batch first if `part` is below 1
        """
        self._calls += 1
        if (self._calls - 1) % self.every:
            return self._zero()
        values = self.defects(x, y)
        if values is None:
            return self._zero()
        self._remember(values)
        total = torch.stack([v.to(values[0].device) for v in values])
        total = total.mean() if self.reduction == "mean" else total.sum()
        return total.detach() if self.derivative == "none" else total

    def defects(self, x: Tensor, y: Any) -> list[Tensor] | None:
        """N of every layer, divided by s^2 if `relative`; None where there is no iteration before.

        Differentiable as `derivative` says, whatever `every` is.
        """
        x, y = self._cut(x, y)
        second = self.derivative == "second"
        now: list[Tensor] = [w.parameter for w in self.weights]
        if not second:
            now = [w.detach() for w in now]
        batches = copies(x, self.shifts, self._move)
        # the gradient of "update" is that of the real step's result, before the new virtual ones
        late = self._late_steps(now, second)
        steps = [self._steps(batch, y, now, second) for batch in batches]
        before, self._before = self._before, self._keep(now, steps, batches[0], y)
        if self.next_step == "virtual":
            moved = [w + s for w, s in zip(now, steps[0], strict=True)]
            again = self._steps(batches[0], y, moved, second)
            following = [a + b for a, b in zip(steps[0], again, strict=True)]
            return self._values(following, steps)
        if before is None:
            return None
        # All is measured from the current weights; under differentiation the old ones stay put.
        moved = [w.parameter - b for w, b in zip(self.weights, before.weights, strict=True)]
        if self.derivative == "none":
            moved = [m.detach() for m in moved]
        old = [[s - m for s, m in zip(c, moved, strict=True)] for c in before.steps]
        return self._values(steps[0] if late is None else late, old)

    def gate_(self, parameters: Sequence[Tensor] | None = None) -> None:
        """Multiply the gradients by the gate's factors, as Algorithm 2 does after the correction.

        Nothing happens before the first evaluation of N, or with gate="off".

        Parameters
        ----------
        parameters : sequence of Tensor, optional
            Gate only those of them that this regulariser has; by default all it has.
        """
        for weight in select_weights(self.weights, parameters):
            found = self.statistics.get(weight.name)
            gradient = weight.parameter.grad
            if found is None or gradient is None or found.factor == 1.0:
                continue
            if found.factor == 0.0:
                gradient.zero_()
            else:
                gradient.mul_(found.factor)

    def correct_(self, parameters: Sequence[Tensor] | None = None) -> None:
        """`gate_`, under the name that an optimiser's hook calls."""
        self.gate_(parameters)

    def attach(self, optimizer: torch.optim.Optimizer, *, replace: bool = False) -> Attachment:
        """Call `gate_` before every step of the optimiser; ``handle.remove()`` ends it.

        It acts on the parameters that this optimiser holds, and comes after every corrector that
        is attached to it, before or later. See `LNECorrector.attach` for `replace` and for what is
        refused.
        """
        return attach(self, optimizer, "gate", replace)

    def state_dict(self) -> dict[str, Any]:
        """Options, the count of calls, the gate and the iteration before, for `load_state_dict`.

        With the model's and the optimiser's states a training that goes on from it is the same to
        the last bit. Plain values and tensors, and the labels y of the last batch as they were
        given (for next_step="update" alone). "before" is None until it is needed.
        """
        before = None if self._before is None else vars(self._before)
        return {
            "options": self._options(),
            "layers": [w.name for w in self.weights],
            "calls": self._calls,
            "shut_in_a_row": self._shut_in_a_row,
            "warned": self._warned,
            "statistics": {name: asdict(defect) for name, defect in self.statistics.items()},
            "before": None if before is None else dict(before),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave.

        Raises
        ------
        InvalidArgumentError
            If it is the state of a regulariser with other options or of other layers, or a part of
            it is missing.
        """
        missing = sorted({*_STATE} - {*state})
        if missing:
            raise InvalidArgumentError(
                f"this is not the state of a regulariser: it has no {', '.join(missing)}; give "
                "what state_dict() returned"
            )
        mine, theirs = self._options(), dict(state["options"])
        different = [k for k in mine if _plain(mine[k]) != _plain(theirs.get(k))]
        if different:
            pairs = [f"{k}: {theirs.get(k)!r} there, {mine[k]!r} here" for k in different]
            raise InvalidArgumentError(
                "the state is that of a regulariser with other options; use the same "
                f"({', '.join(pairs)})"
            )
        names = [w.name for w in self.weights]
        if list(state["layers"]) != names:
            raise InvalidArgumentError(
                f"the state is that of the layers {', '.join(state['layers'])}; give "
                f"one of {', '.join(names)}"
            )
        before = None if state["before"] is None else self._taken_up(state["before"])
        statistics = {name: LayerDefect(**d) for name, d in state["statistics"].items()}
        self._calls, self._shut_in_a_row = int(state["calls"]), int(state["shut_in_a_row"])
        self._warned, self.statistics, self._before = bool(state["warned"]), statistics, before

    @property
    def gated_fraction(self) -> float:
        """Fraction of the layers whose gradient the gate reduces or removes."""
        found = [s.factor < 1.0 for s in self.statistics.values()]
        return sum(found) / len(found) if found else 0.0

    # -- inside -----------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        names = ["target", "next_step", "derivative", "gate", "eps", "relative", "denominator"]
        names += ["reduction", "every", "part", "fill"]
        options = {name: getattr(self, name) for name in names}
        tau = ["auto" if given is None else given for given in self._tau]
        return {"shifts": [list(pair) for pair in self.shifts], "tau": tau, **options}

    def _taken_up(self, before: Mapping[str, Any]) -> _Before:
        """The iteration before, on the devices where the weights are."""
        parameters = [w.parameter for w in self.weights]
        kept = (before["weights"], *before["steps"])
        if {len(tensors) for tensors in kept} != {len(self.weights)}:
            raise InvalidArgumentError(
                f"the state's iteration before has {[len(t) for t in kept]} tensors, and there are "
                f"{len(self.weights)} layers: it is damaged; give what state_dict() returned"
            )
        for tensors in kept:
            for weight, value in zip(self.weights, tensors, strict=True):
                if value.shape != weight.parameter.shape:
                    raise InvalidArgumentError(
                        f"layer {weight.name!r}: the state holds weights of shape "
                        f"{tuple(value.shape)}, the layer needs {tuple(weight.parameter.shape)}"
                    )
        weights, *steps = (
            [v.to(p.device) for v, p in zip(tensors, parameters, strict=True)] for tensors in kept
        )
        device = parameters[0].device
        x, y = (b.to(device) if isinstance(b, Tensor) else b for b in (before["x"], before["y"]))
        return _Before(weights, steps, x, y)

    def _zero(self) -> Tensor:
        p = self.weights[0].parameter
        return torch.zeros((), device=p.device, dtype=torch.promote_types(p.dtype, torch.float32))

    def _cut(self, x: Tensor, y: Any) -> tuple[Tensor, Any]:
        if self.part == 1.0:
            return x, y
        count = max(1, round(self.part * x.shape[0]))
        return x[:count], y[:count]

    def _move(self, x: Tensor, rows: int, columns: int) -> Tensor:
        if self._translate is not None:
            return self._translate(x, rows, columns)
        return translate(x, rows, columns, self.fill)

    def _steps(
        self, x: Tensor, y: Any, values: Sequence[Tensor], create_graph: bool
    ) -> list[Tensor]:
        """Virtual steps -step * dL/dw of all layers, at given weights on one batch."""
        gradients = self._passes.gradients(x, y, values, create_graph=create_graph)
        steps = []
        for g, weight in zip(gradients, self.weights, strict=True):
            wide = torch.promote_types(g.dtype, torch.float32)
            steps.append(-self._step(weight.parameter) * g.to(wide))
        return steps

    def _late_steps(self, now: list[Tensor], second: bool) -> list[Tensor] | None:
        """For "update": virtual steps at the updated weights on copy k1 of the batch before."""
        if self.next_step != "update" or self._before is None:
            return None
        return self._steps(self._before.x, self._before.y, now, second)

    def _keep(
        self, now: list[Tensor], steps: list[list[Tensor]], x: Tensor | None, y: Any
    ) -> _Before | None:
        if self.next_step == "virtual":
            return None
        constant = [[s.detach() for s in c] for c in steps]
        if self.next_step == "previous":  # no pass is to come on this batch
            x, y = None, None
        return _Before([w.detach().clone() for w in now], constant, x, y)

    def _values(self, following: list[Tensor], steps: list[list[Tensor]]) -> list[Tensor]:
        (k1, k2), (j1, j2) = self.shifts
        now: list[Tensor] = [w.parameter for w in self.weights]
        if self.derivative == "none":
            now = [w.detach() for w in now]
        kinds = (now, following, *steps)
        layers = [[kind[i].reshape(-1) for kind in kinds] for i in range(len(now))]
        products = layer_products(layers, k1 - k2, j1 - j2, self._scales())
        n = defect_of_products(products, flow_weights(k1 - k2, j1 - j2))
        self._norm2 = products[0].detach()
        if self.relative:
            s = products[0] if self.denominator == "differentiated" else self._norm2
            n = n / s**2
        wide = [torch.promote_types(w.dtype, torch.float32) for w in now]
        return [value.to(dtype) for value, dtype in zip(n.unbind(), wide, strict=True)]

    @on_host
    def _scales(self) -> Rows:
        """The tau of every layer: as given, or what meets the target now."""
        auto = torch.tensor([given is None for given in self._tau])
        tau = torch.tensor([given or 1.0 for given in self._tau], dtype=torch.float64)
        for given, weight in zip(self._tau, self.weights, strict=True):
            _require_definite(given, weight)
        if not bool(auto.any()):
            return tau
        blocks = Blocks.of_values(self.weights, self.kernel)
        # a new one at every call: N does not depend on where the weights have been
        follower = Follower(self.target, zeros=False)
        return follower.solve(blocks, follower.predict(blocks, tau, auto), auto)

    def _remember(self, values: Sequence[Tensor]) -> None:
        numbers = self._of_all_processes(values).tolist()
        self.statistics = {}
        norms = self._norm2.double().cpu().tolist()
        for weight, value, norm2 in zip(self.weights, numbers, norms, strict=True):
            self.statistics[weight.name] = LayerDefect(value, norm2, self._factor(value))
        shut = all(s.factor == 0.0 for s in self.statistics.values())
        self._shut_in_a_row = self._shut_in_a_row + 1 if shut else 0
        if self._shut_in_a_row >= _PATIENCE and not self._warned:
            self._warned = True
            least = min(numbers)
            warnings.warn(
                f"the hard gate has been shut in all {len(numbers)} layers for {_PATIENCE} "
                f"evaluations in a row (smallest N {least:.3g}, eps {self.eps:.3g}): gradients are "
                "zero, so that N may never change. Choose a larger eps or gate='soft'",
                stacklevel=3,
            )

    def _of_all_processes(self, values: Sequence[Tensor]) -> Tensor:
        """N of each layer, on the host; with a gate the mean over processes that train together."""
        device = values[0].device
        wide = torch.float32 if device.type == "mps" else torch.float64
        found = torch.stack([v.detach().to(device, wide) for v in values])
        together = self.gate != "off" and self.group is not False
        if together and dist.is_available() and dist.is_initialized():
            group = None if self.group is True else self.group
            if dist.get_world_size(group) > 1:
                dist.all_reduce(found, group=group)
                found = found / dist.get_world_size(group)
        return found.cpu().double()

    def _factor(self, value: float) -> float:
        if self.gate == "off" or self.eps is None or value <= self.eps:
            return 1.0
        return 0.0 if self.gate == "hard" else self.eps / value


@dataclass(frozen=True, eq=False)
class _Before:
    """Values of the iteration before, for "previous" and "update"."""

    weights: list[Tensor]
    steps: list[list[Tensor]]
    x: Any
    y: Any


def _plain(value: Any) -> Any:
    """Tuples as lists, which some files make of them."""
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _require_definite(tau: float | None, weight: Weight) -> None:
    if tau is None:
        return
    if not bool(LNEMetric(tau).is_positive_definite(weight.parameter.detach().reshape(-1))):
        raise NotPositiveDefiniteError(
            f"layer {weight.name!r}: tau = {tau:.6g} makes g = I - t t^T indefinite; choose a "
            "smaller tau or tau='auto'"
        )


class _VirtualStep:
    """Length of the virtual step for a parameter: a number, or the optimiser's learning rate."""

    def __init__(self, step: Any) -> None:
        if not isinstance(step, torch.optim.Optimizer):
            step = checks.number(step, "step, a length or an optimiser to read it from,", above=0.0)
        self.step = step

    def __call__(self, parameter: Tensor) -> float:
        if not isinstance(self.step, torch.optim.Optimizer):
            return self.step
        for group in self.step.param_groups:
            if any(p is parameter for p in group["params"]):
                return float(group["lr"])
        raise InvalidArgumentError(
            f"the optimiser given as step does not hold the parameter of shape "
            f"{tuple(parameter.shape)}; give a number"
        )
