"""The gradient corrector: dL/dw := g(w)^-1 dL/dQ, in place, between backward and step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from riemann_lne import checks
from riemann_lne.errors import (
    InvalidArgumentError,
    NotPositiveDefiniteError,
    UnknownNameError,
)

from . import grouped
from .block_sums import Blocks, Fast, Rows, on_host
from .block_updates import measured_update, rank_one_update, shifted_update, update
from .blocks import STEPS, checked_block, require_layout, row_count
from .compiled import CHOICES
from .functional import POLICIES
from .hooks import Attachment, Caller, attach, held_weights, innermost, select_weights
from .loss_curvature import RunningCurvature
from .metrics import (
    CURVATURES,
    INVERSES,
    METRICS,
    NEAR_ONE,
    Diagonal,
    Flowed,
    RankOne,
    Shifted,
    Weightwise,
    flow_step,
)
from .selection import Select, Source, Weight, find_weights
from .statistics import LayerStatistics, of_layers
from .tau import Follower, given_tau, plain_tau, require_usable
from .twice import find_second, note_corrected, refuse_natural_estimators, warn_of_second

_SOLVE = Fast(grouped.solve_sums, "solve")
_TOTAL = Fast(None, "shifted_total")
_SHIFTED = Fast(None, "shifted_solve")


class LNECorrector:
    """Replaces the gradients of latent weights by natural gradients of the LNE geometry.

    The gradient v of each block of latent weights w becomes g(w)^-1 v, where g(w) = I - t t^T,
    t = tanh(tau w) (Eq. 16), or one of the metrics below: v + c t with c = (t . v)/(1 - |t|^2)
    for the exact inverse, c = t . v for the weak one of Eq. 29. It works on `Parameter.grad`, in
    place, in time and memory O(n) with temporaries of a fraction of the largest layer (with
    ``curvature`` of at most a dozen arrays of 16,384 weights).

    The correction is linear in v: it commutes with the scaling of the loss, the accumulation of
    gradients and their averaging over processes, but not with clipping. The order is: unscale,
    correct, clip, step.

    Parameters
    ----------
    model_or_parameters : nn.Module, or iterable of tensors or of (name, tensor)
        Of a model, the latent weights of the layers that `select` says; of parameters, all.
    tau : float, mapping from name patterns to float, or "auto"
        Scale in one over the unit of the weights. "auto" chooses it in every block, at every
        call, so that |tanh(tau w)|^2 equals `target`: `riemann_lne.auto_tau`. A block of zeros (a
        pruned channel, a padding row) keeps its gradient: t = 0 for every tau.
    target : float
        Wanted |t|^2 for "auto" (and "rescale"), between 0 and 1.
    inverse : {"exact", "weak"}
        Of Eq. 16; the paper trains with the weak one.
    block : {"layer", "channel", "network", "weight", "quantizer"} or int
        Weights that one metric spans: a layer (the paper), each output channel, groups of a number
        of weights of a channel, the weights with one scale or step in the layer's quantiser (a
        layer, channel or group), all layers together (an optimiser it is attached to must hold all
        of them), or each weight by itself, where Eq. 16 is sech^2(tau w) and positive definite for
        every tau. With tau="auto" and blocks of one weight the exact correction is a factor
        1/(1 - target): give a number there.
    metric : {"lne", "hessian", "dual", "flowed"}
        Eq. 16; the Hessian metric of the LNE potential, v' = cosh^2(tau w) v; its dual,
        v' = sech^2(tau w) v; Eq. 16 after one step of its own Ricci flow
        (`riemann_lne.FlowedLNEMetric`).
    select : None, "all", name patterns, or callable (name, module) -> bool
        Which layers. None: the quantised ones (of `quantize_`, Brevitas, torchao, torch.ao).
    on_indefinite : {"rescale", "weak", "raise"}
        What to do where a tau that was given makes Eq. 16 indefinite (|t|^2 >= 1): set that
        block's tau as "auto" does, take the weak inverse there, or raise an error before any
        gradient is changed. The first two warn once for each layer. The weak inverse needs no
        positive-definite metric: with inverse="weak" nothing is done but to report it.
    flow_time : float
        For metric="flowed": the step is T = flow_time/(n tau^2), so that a block of n weights
        has (1 + 2 flow_time (n - 1)/n) I at the origin. Dimensionless, at least 0.
    largest_factor : float
        For metric="hessian": bound on cosh^2(tau w), greater than 1.
    statistics : bool
        Keep `statistics`; without them metrics other than "lne" save a pass.
    kernel : {"auto", "plain", "fused"}
        Of metric="lne" on the host: loops compiled at the first use (see `riemann_lne.kernels`), or
        torch's own operations, which take three times as long. "auto" compiles from 4096 weights
        on, if all are float32 or all float64 and there is a C compiler; "fused" raises an error
        where it cannot.
    steps : {"apart", "together"}
        Of quantisers with learned steps (`LSQ`, `SEQ`): "together" makes a block's steps
        coordinates of its metric beside its weights, in the same unit, t = tanh(tau (w, s)), and
        corrects their gradients with those of the weights. A step must lie in one block. Steps
        without a gradient stay out.
    curvature : {"none", "fisher", "hutchinson"}
        Add the loss's curvature D to the metric (metric="lne", exact inverse), which becomes
        k (I + diag(d) - t t^T), d = max(D, 0)/(damping mean(D)) over the block,
        k = damping/(1 + damping): equal curvature gives I - k t t^T. D holds one number a weight:
        running means of the squared gradients, from the steps before, or of the Hessian's
        diagonal by `observe_curvature_`. The solve is O(n).
    damping : float
        Above 0; large: Eq. 16 alone. With "fisher" a weight of the mean curvature is moved as
        without, one of none (1 + 1/damping) times as far.
    keep : float
        From 0 to below 1: what stays of D at each new value.
    seed : int
        Of the random signs of "hutchinson".

    Attributes
    ----------
    statistics : dict from layer name to LayerStatistics
        Of every layer's last correction; a call for all layers begins with an empty one.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If an option makes no sense, the model has no such layers (the message says how to
        select), a layer's quantiser has an LNE estimator, which does the same in the backward
        pass, or the sharding hides a weight (FSDP1) or cuts its blocks of one channel.
    DTypeError, ShapeError
        If a selected weight is not real floating point, is a scalar, or has no entries.

    Notes
    -----
    A call waits for the device once or twice: sums over the blocks are brought to the host.
    With sharded parameters (FSDP2, tensor parallelism, both: DTensor) they are added in one
    collective for all layers (one for each axis of the mesh that cuts them); an
    "auto" tau takes one more (three more at the first call, or after the weights have jumped),
    "flowed" and the statistics of metrics other than "lne" one or two. Half-precision gradients
    are summed in float32. Gradients that are not finite pass through as they are, so that a
    GradScaler still finds them. Parameters without a gradient are skipped, with a warning the
    first time, and a gradient that was corrected already (by another corrector, a hook, or an
    estimator) is reported by a warning.

    The exact inverse divides by 1 - |t|^2. Where |t|^2 is above 0.6 sums are taken in double
    precision (except on devices without it), so that the corrected gradient is right to rounding
    of its own type for all targets up to 0.9999.

    References
    ----------
    Eq. 5, 16, 26, 27 and 29 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import LNECorrector, QuantConfig, quantize_
    >>> _ = torch.manual_seed(0)
    >>> model = quantize_(torch.nn.Linear(4, 2), QuantConfig(weight_bits=1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> corrector = LNECorrector(model, target=0.5)
    >>> handle = corrector.attach(optimizer)
    >>> model(torch.randn(3, 4)).square().sum().backward()
    >>> optimizer.step()
    >>> round(corrector.statistics["weight"].norm2, 6)
    0.5
    """

    def __init__(
        self,
        model_or_parameters: Source,
        tau: float | Mapping[str, float] | str = "auto",
        target: float = 0.5,
        *,
        inverse: str = "exact",
        block: str | int = "layer",
        metric: str = "lne",
        select: Select = None,
        on_indefinite: str = "rescale",
        flow_time: float = 0.5,
        largest_factor: float = 10.0,
        statistics: bool = True,
        kernel: str = "auto",
        steps: str = "apart",
        curvature: str = "none",
        damping: float = 1.0,
        keep: float = 0.99,
        seed: int = 0,
    ) -> None:
        block = checked_block(block)
        for kind, value, known in (
            ("inverse", inverse, INVERSES),
            ("metric", metric, METRICS),
            ("on_indefinite", on_indefinite, POLICIES),
            ("kernel", kernel, CHOICES),
            ("steps", steps, STEPS),
            ("curvature", curvature, CURVATURES),
        ):
            if value not in known:
                raise UnknownNameError(kind, value, known)
        self.target = checks.number(target, "target", above=0.0, below=1.0)
        self.largest_factor = checks.number(largest_factor, "largest_factor", above=1.0)
        self.flow_time = checks.number(flow_time, "flow_time", least=0.0)
        self.damping = checks.number(damping, "damping", above=0.0)
        self.keep = checks.number(keep, "keep", least=0.0, below=1.0)
        self.seed = checks.count(seed, "seed", least=0)
        self.keep_statistics = checks.flag(statistics, "statistics")
        self.inverse, self.block, self.metric = inverse, block, metric
        self.on_indefinite, self.kernel = on_indefinite, kernel
        self.steps, self.curvature = steps, curvature
        self._check_options()
        self.weights = find_weights(model_or_parameters, select)
        if isinstance(model_or_parameters, nn.Module):
            refuse_natural_estimators(model_or_parameters, self.weights)
        self._check_weights()
        self._running: RunningCurvature | None = None
        if curvature != "none":
            together = steps == "together"
            self._running = RunningCurvature(self.weights, together, self.keep, self.seed)
        self._given = {w.name: given_tau(tau, w.name) for w in self.weights}
        self.tau = plain_tau(tau)
        self._check_taus()
        self.statistics: dict[str, LayerStatistics] = {}
        self._follower = Follower(self.target)
        self._warned: set[tuple[str, str]] = set()
        self.caller: Caller | None = None

    def _check_options(self) -> None:
        """Raise InvalidArgumentError for options that exclude each other."""
        metric, inverse = self.metric, self.inverse
        if inverse == "weak" and metric != "lne":
            raise InvalidArgumentError(
                f"the weak inverse belongs to metric='lne'; metric={metric!r} has only 'exact'"
            )
        if self.curvature != "none" and (metric, inverse) != ("lne", "exact"):
            raise InvalidArgumentError(
                "the curvature of the loss needs metric='lne' with its exact inverse; got "
                f"metric={metric!r}, inverse={inverse!r}"
            )
        if self.curvature != "none" and self.block == "weight":
            raise InvalidArgumentError(
                "the curvature counts relative to its mean over a block, and blocks of one weight "
                "have no other; take block='layer', 'channel', 'network', 'quantizer' or a number"
            )

    def _check_weights(self) -> None:
        """Raise InvalidArgumentError for layers that the blocks or the steps do not suit."""
        for weight in self.weights:
            require_layout(weight, self.block, self.steps)
        if self.steps == "together" and all(w.step is None for w in self.weights):
            raise InvalidArgumentError(
                "steps='together' joins learned steps to their weights, and no selected layer has "
                "one: quantise with an estimator such as 'lsq' or 'seq', or leave steps at 'apart'"
            )

    def _check_taus(self) -> None:
        """Raise InvalidArgumentError where tau by layer does not suit the blocks."""
        if self.block == "weight" and self.tau != "auto" and None in self._given.values():
            raise InvalidArgumentError(
                "blocks of one weight need tau='auto' for all layers, or a number for each"
            )
        if self.block == "network" and len(set(self._given.values())) > 1:
            raise InvalidArgumentError(
                "block='network' is one block with one tau; give a single number or 'auto'"
            )

    def __repr__(self) -> str:
        options = (self.tau, self.target, self.inverse, self.block, self.metric)
        names = ("tau", "target", "inverse", "block", "metric")
        listing = ", ".join(f"{n}={v!r}" for n, v in zip(names, options, strict=True))
        return f"{type(self).__name__}({len(self.weights)} layers, {listing})"

    def attach(self, optimizer: torch.optim.Optimizer, *, replace: bool = False) -> Attachment:
        """Correct before every ``optimizer.step()``; ``handle.remove()`` ends it.

        The hook corrects the parameters that this optimiser holds, those of groups added later
        included, and no others: with several optimisers attach to each. It goes to the innermost
        optimiser of a wrapper, and acts on the gradients that its step takes. A copy of an
        optimiser has no hooks.

        Parameters
        ----------
        optimizer : Optimizer
        replace : bool
            Take off the hooks of this optimiser for the same weights first: for notebook cells
            that are run again.

        Raises
        ------
        InvalidArgumentError
            If the optimiser holds none of the corrected parameters, or, with block="network",
            only a part of them; if this or another corrector is attached to it already for one of
            the weights; or if it is LBFGS. Later, at the step, if it is called with a closure: the
            hook would then run before the backward pass, on stale gradients. The message names
            the callbacks for Lightning.
        """
        inner = innermost(optimizer)
        self.require_whole_blocks([w.parameter for w in held_weights(self, inner)])
        return attach(self, inner, replace=replace)

    def require_whole_blocks(self, parameters: Sequence[Tensor]) -> None:
        """Refuse parameters that are only a part of a block of several layers.

        Raises
        ------
        InvalidArgumentError
            With block="network"; names the layers that are missing.
        """
        held = select_weights(self.weights, parameters)
        if self.block == "network" and 0 < len(held) < len(self.weights):
            missing = [w.name for w in self.weights if w not in held]
            raise InvalidArgumentError(
                f"block='network' is one block of {len(self.weights)} layers, and this optimiser "
                f"holds {len(held)} of them, without {', '.join(missing)}: make a corrector for "
                "the layers of each optimiser, with select, or use block='layer'"
            )

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    @on_host
    def correct_(self, parameters: Sequence[Tensor] | None = None) -> None:
        """Correct the gradients now: after the backward pass, before clipping and the step.

        Parameters
        ----------
        parameters : sequence of Tensor, optional
            Correct only those of them that this corrector has; by default all it has.

        Raises
        ------
        InvalidArgumentError
            If a sharded gradient has another layout than its parameter, or the parameters are a
            part of a block.
        NotFiniteError
            If a weight is not finite.
        NotPositiveDefiniteError
            With on_indefinite="raise"; no gradient has been changed then. Names the layer.
        ConvergenceError
            If there is no tau for the target: for targets next to 1 on devices without double
            precision.
        DTypeError
            If a gradient is sparse.
        """
        if parameters is not None:
            self.require_whole_blocks(parameters)
        chosen = select_weights(self.weights, parameters)
        names = {w.name for w in chosen}
        self.statistics = {k: v for k, v in self.statistics.items() if k not in names}
        weights = self._with_gradients(chosen)
        if not weights:
            return
        optimizer = None if self.caller is None else self.caller.optimizer
        second = find_second(weights, self, optimizer)
        running = self._running
        known = None if running is None else running.of(weights)
        blocks = Blocks(weights, self.block, self.kernel, steps=self.steps, curvature=known)
        if running is not None:
            self._correct_shifted(blocks)
        elif self._diagonal:
            self._correct_diagonal(blocks)
        elif self.metric == "lne":
            self._correct_rank_one(blocks)
        else:
            self._correct_flowed(blocks)
        for layer in blocks.layers:
            layer.local.write_back()
        note_corrected(weights, self, optimizer)
        warn_of_second(second, self._warned)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def observe_curvature_(self, loss: Tensor) -> None:
        """Take the Hessian's diagonal of this loss into the running curvature, by one random probe.

        With ``curvature="hutchinson"``: call it before ``loss.backward()``, whose graph it leaves,
        every few steps. It costs about two backward passes. Nothing of gradients or weights is
        changed; the random signs come from a generator of the corrector, which `state_dict` keeps.

        Parameters
        ----------
        loss : Tensor
            One number, with its graph.

        Raises
        ------
        InvalidArgumentError
            If the corrector has another ``curvature``, the loss has no graph, or a weight is
            sharded.

        Examples
        --------
        >>> import torch
        >>> from riemann_lne_torch import LNECorrector, quantize_
        >>> _ = torch.manual_seed(0)
        >>> model = quantize_(torch.nn.Linear(4, 2))
        >>> corrector = LNECorrector(model, curvature="hutchinson")
        >>> loss = model(torch.randn(3, 4)).square().mean()
        >>> corrector.observe_curvature_(loss)
        >>> loss.backward()
        >>> corrector.correct_()
        """
        if self._running is None or self.curvature != "hutchinson":
            raise InvalidArgumentError(
                f"observe_curvature_ is for curvature='hutchinson', and this corrector has "
                f"curvature={self.curvature!r}"
            )
        self._running.observe(loss)

    def state_dict(self) -> dict[str, Any]:
        """Options, the followed tau and the running curvature of every layer: values and tensors.

        Tau is NaN where none has been followed yet: so the state of a fresh corrector has the form
        of any other, as `torch.distributed.checkpoint` needs it.
        """
        rows = {w.name: row_count(w, self.block) for w in self.weights if self._follows(w.name)}
        state = {"options": self._options(), **self._follower.state_dict(rows)}
        if self._running is not None:
            state["curvature"] = self._running.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the followed tau and the running curvature of a `state_dict`.

        Raises
        ------
        InvalidArgumentError
            If a part is missing, the options differ from this corrector's, it holds other layers,
            or a number of it is not finite.
        """
        _require_parts(state, ("options", "tau", "remainder"))
        mine, theirs = self._options(), dict(state["options"])
        # an option that only one of the two has was left at its default in the other
        different = [k for k in {**mine, **theirs} if mine.get(k) != theirs.get(k)]
        if different:
            there, here = (
                {k: repr(options[k]) if k in options else "the default" for k in different}
                for options in (theirs, mine)
            )
            pairs = [f"{k}: {there[k]} there, {here[k]} here" for k in different]
            raise InvalidArgumentError(
                "the state is that of a corrector with other options; use the same "
                f"({', '.join(pairs)})"
            )
        unknown = sorted(set(state["tau"]) - set(self._given))
        if unknown:
            raise InvalidArgumentError(
                f"the state holds layers that are not corrected here, {', '.join(unknown)}; load "
                "that of "
                "the same layers"
            )
        if self._running is not None:
            _require_parts(state, ("curvature",))
            self._running.load_state_dict(state["curvature"])
        self._follower.load_state_dict(state)

    # -- inside -----------------------------------------------------------------------------------

    @property
    def _diagonal(self) -> bool:
        return self.block == "weight" or self.metric in ("hessian", "dual")

    @property
    def _weightwise(self) -> bool:
        """Whether every weight has one tau, which is found on the way."""
        return self.block == "weight" and self.tau == "auto"

    def _follows(self, name: str) -> bool:
        """Whether the tau of a layer follows the target, or may come to do so."""
        if self.block == "weight":
            return False
        if self._given[name] is None:
            return True
        rescales = self.on_indefinite == "rescale" and self.inverse == "exact"
        rescales = rescales or self._running is not None
        return self.metric == "flowed" or (self.metric == "lne" and rescales)

    def _options(self) -> dict[str, Any]:
        names = ("tau", "target", "inverse", "block", "metric", "on_indefinite")
        options = {name: getattr(self, name) for name in names}
        options.update(flow_time=self.flow_time, largest_factor=self.largest_factor)
        if self.steps != "apart":  # states of earlier versions know nothing of it
            options.update(steps=self.steps)
        if self.curvature != "none":
            options.update(curvature=self.curvature, damping=self.damping, keep=self.keep)
        return options

    def _with_gradients(self, weights: Sequence[Weight]) -> list[Weight]:
        """The weights that have a gradient; a warning, once, about the others."""
        present: list[Weight] = []
        missing: list[Weight] = []
        idle = frozenset() if self.caller is None else self.caller.idle
        for weight in weights:
            if weight.parameter.grad is not None:
                present.append(weight)
            elif id(weight.parameter) not in idle:
                missing.append(weight)
        new = [w.name for w in missing if ("missing", w.name) not in self._warned]
        if new:
            self._warned.update(("missing", name) for name in new)
            warnings.warn(
                f"no gradient, not corrected: {', '.join(new)} (not used in the loss, or the "
                "corrector ran before the backward pass; said once a layer): call it between "
                "backward() "
                "and step()",
                stacklevel=3,
            )
        return present

    def _given_scales(self, blocks: Blocks) -> tuple[Rows, Rows]:
        """The tau of every row as given, and where it is to follow the target."""
        given = [self._given[name] for name, rows in blocks.layout for _ in range(rows)]
        tau = [1.0 if g is None else g for g in given]
        auto = [g is None and not self._weightwise for g in given]
        return torch.tensor(tau, dtype=torch.float64), torch.tensor(auto, dtype=torch.bool)

    def _scales(self, blocks: Blocks) -> Rows:
        """The tau of every row, where no sum over a block is needed to correct."""
        tau, auto = self._given_scales(blocks)
        if self.target > NEAR_ONE:
            blocks.widen()
        return self._follow(blocks, tau, auto) if bool(auto.any()) else tau

    def _follow(self, blocks: Blocks, tau: Rows, wanted: Rows) -> Rows:
        """Tau with the wanted rows replaced by what meets the target."""
        return self._follower.solve(blocks, self._follower.predict(blocks, tau, wanted), wanted)

    def _definite(
        self, blocks: Blocks, sums: Callable[[Rows], Tensor]
    ) -> tuple[Rows, Tensor, Rows]:
        """Tau, the first round of sums, and where the tau that was given is too large.

        The sums begin with |t|^2. A followed tau is predicted, and found only where they show that
        the prediction misses; one that was given is treated as `on_indefinite` says.
        """
        tau, auto = self._given_scales(blocks)
        if bool(auto.any()):
            if self.target > NEAR_ONE:
                blocks.widen()
            tau = self._follower.predict(blocks, tau, auto)
        total = sums(tau)
        require_usable(blocks, total[:, 0])
        if not blocks.wide and bool((total[:, 0] > NEAR_ONE).any()):
            blocks.widen()
            total = sums(tau) if blocks.wide else total
        if not self._follower.is_met(blocks, total[:, 0], auto):
            tau = self._follower.solve(blocks, tau, auto)
            total = sums(tau)
            self._follower.require_met(blocks, total[:, 0], auto)
        bad = (total[:, 0] >= 1.0) & ~auto
        if not bool(bad.any()) or self.inverse == "weak":
            return tau, total, bad
        # the others have no weak inverse
        weak = self.metric == "lne" and self._running is None
        rescales = self.on_indefinite == "rescale" or not weak
        self._tell_indefinite(blocks, tau, total[:, 0], bad, rescales)
        if rescales:
            tau = self._follow(blocks, tau, bad)
            total = sums(tau)
            self._follower.require_met(blocks, total[:, 0], bad)
        return tau, total, bad

    def _tell_indefinite(
        self, blocks: Blocks, tau: Rows, norm2: Rows, bad: Rows, rescales: bool
    ) -> None:
        """Raise, or warn once a layer, about a tau that is too large; the worst block is named."""
        layers = [la for la in blocks.layers if bool(bad[la.span].any())]
        worst_row = int(torch.where(bad, norm2, -torch.inf).argmax())
        text = (
            f"tau = {float(tau[worst_row]):.6g} makes g = I - t t^T indefinite in "
            f"{', '.join(repr(la.name) for la in layers)}: in {blocks.row_name(worst_row)}, "
            f"|t|^2 = {float(norm2[worst_row]):.6g} (it must be below 1)"
        )
        if self.on_indefinite == "raise":
            raise NotPositiveDefiniteError(
                f"{text}; choose a smaller tau or tau='auto'",
                index=(worst_row,),
                eigenvalue=1.0 - float(norm2[worst_row]),
            )
        new = {("indefinite", la.name) for la in layers} - self._warned
        if new:
            self._warned |= new
            done = "tau is set as by 'auto' there" if rescales else "the weak inverse is taken"
            warnings.warn(f"{text}; {done} (said once a layer)", stacklevel=5)

    def _correct_rank_one(self, blocks: Blocks) -> None:
        def sums(tau: Rows) -> Tensor:
            return blocks.collect(RankOne.sums, tau, fast=_SOLVE, width=3, held=1)

        tau, total, bad = self._definite(blocks, sums)
        exact = (total[:, 0] < 1.0) & (self.inverse == "exact")
        coefficient = RankOne.coefficient(total, exact)
        finite = torch.isfinite(total).all(-1)
        rank_one_update(blocks, finite, tau, coefficient)
        if not self.keep_statistics:
            return
        condition = torch.where(total[:, 0] < 1.0, 1.0 / (1.0 - total[:, 0]), torch.inf)
        condition = torch.where(blocks.sizes() > 1.0, condition, 1.0)
        change = RankOne.change(total, coefficient)
        self._report(blocks, tau, total[:, 0], condition, change, bad, finite)

    def _correct_shifted(self, blocks: Blocks) -> None:
        method, fisher = Shifted(self.damping), self.curvature == "fisher"
        total = blocks.collect(Shifted.total, fast=_TOTAL, width=1, held=2, third=True)[:, 0]
        factors = method.factors(total / blocks.sizes())

        def sums(tau: Rows) -> Tensor:
            known = (tau, *factors)
            return blocks.collect(
                method.sums, *known, fast=_SHIFTED, width=4, held=method.held, third=True
            )

        tau, first, bad = self._definite(blocks, sums)
        # squares of gradients go into the curvature, which an infinite one would spoil for good
        finite = torch.isfinite(first).all(-1) & (first[:, 3] <= blocks.largest_curvature)
        known = (tau, *factors, first[:, 2] / (1.0 - first[:, 1]))
        keep = self.keep if fisher else None
        change = shifted_update(
            blocks, finite, method, *known, keep=keep, measured=self.keep_statistics
        )
        self._report(blocks, tau, first[:, 0], None, change, bad, finite)

    def _correct_flowed(self, blocks: Blocks) -> None:
        count = blocks.sizes()

        def sums(tau: Rows) -> Tensor:
            time = flow_step(self.flow_time, count, tau)
            return blocks.collect(Flowed.curvature_sums, tau, time, width=4, held=5)

        tau, first, bad = self._definite(blocks, sums)
        known = (tau, flow_step(self.flow_time, count, tau), *first[:, :3].unbind(-1))
        second = blocks.collect(Flowed.solve_sums, *known, width=5, held=8)
        finite = torch.isfinite(first).all(-1) & torch.isfinite(second).all(-1)
        change = self._update(blocks, finite, Flowed.finish, *known, *second.unbind(-1))
        self._report(blocks, tau, first[:, 0], None, change, bad, finite)

    def _correct_diagonal(self, blocks: Blocks) -> None:
        tau = self._scales(blocks)
        options = (self.metric, self.inverse, self.largest_factor)
        method = Weightwise(*options, self.target) if self._weightwise else Diagonal(*options)
        square = blocks.collect(method.square, width=1, whole=False)
        finite = torch.isfinite(square[:, 0])
        change = self._update(blocks, finite, method.finish, tau, held=method.held)
        if change is None:
            return
        ends = blocks.collect(method.extremes, width=2, largest=True, whole=False)
        largest, smallest = ends[:, 0], -ends[:, 1]
        condition = (tau * largest).cosh() ** 2 / (tau * smallest).cosh() ** 2
        norm2 = (tau * largest).tanh() ** 2
        if self._weightwise:
            condition, norm2 = torch.ones_like(tau), torch.full_like(tau, self.target)
            tau = torch.full_like(tau, torch.nan)
        self._report(blocks, tau, norm2, condition, change, torch.zeros_like(finite), finite)

    def _update(
        self, blocks: Blocks, finite: Rows, finish: Any, *known: Rows, held: int = 3
    ) -> Tensor | None:
        """The last pass; how much it changed, if statistics are kept."""
        if self.keep_statistics:
            return measured_update(blocks, finite, finish, *known, held=held)
        update(blocks, finite, finish, *known, held=held)
        return None

    def _report(
        self,
        blocks: Blocks,
        tau: Rows,
        norm2: Rows,
        condition: Rows | None,
        change: Tensor | None,
        indefinite: Rows,
        finite: Rows,
    ) -> None:
        if self.keep_statistics and change is not None:
            new = of_layers(blocks, tau, norm2, condition, change, indefinite, finite)
            found = {**self.statistics, **new}
            self.statistics = {w.name: found[w.name] for w in self.weights if w.name in found}


def _require_parts(state: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise InvalidArgumentError if a part of a corrector's state is missing."""
    missing = [name for name in names if name not in state]
    if missing:
        raise InvalidArgumentError(
            f"this is not the state of such a corrector: it has no {', '.join(missing)}; give what "
            "state_dict() returned"
        )
