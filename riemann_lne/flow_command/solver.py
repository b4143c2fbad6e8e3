"""The sections [flow], [integrator] and [events], as arguments of ``solve_flow``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..coefficients import Order, validate_order
from ..errors import InvalidArgumentError
from ..flows import Flow, NormalizedRicciFlow, RicciDeTurckFlow, RicciFlow, ScaledFlow
from ..integrators import events, known_methods
from ..integrators.boundaries import choices
from ..integrators.solution import as_times
from .formulas import Formula
from .sections import Section
from .start import MetricFormula, Start

_KINDS = ("ricci", "ricci-deturck", "normalized-ricci", "normalized-ricci-deturck")
_INTEGRATOR_KEYS = (
    "method", "t_span", "dt", "rtol", "atol", "order", "boundary", "max_steps", "dense_output",
)  # fmt: skip
_EVENTS: dict[str, tuple[Callable[..., Any], str]] = {
    "degenerate": (events.Degenerate, "floor"),
    "curvature_above": (events.CurvatureAbove, "threshold"),
    "steady_state": (events.SteadyState, "tolerance"),
}


class _Factor:
    """A formula in t, as ``ScaledFlow`` takes it."""

    def __init__(self, formula: Formula) -> None:
        self._formula = formula

    def __call__(self, t: float) -> float:
        return float(self._formula(t=float(t)))

    def __repr__(self) -> str:
        return repr(self._formula)


def build_flow(table: Any, start: Start) -> Flow:
    """The flow of section [flow]."""
    section = Section("flow", table, ("kind", "gauge", "background", "scale"))
    kind = section.choice("kind", _KINDS, "ricci-deturck")
    background = _background(section, start)
    flow: Any
    if kind.endswith("deturck"):
        if "gauge" in section:
            raise InvalidArgumentError(
                f"[flow] gauge goes with the kinds ricci and normalized-ricci; {kind} has one"
            )
        flow = RicciDeTurckFlow(background)
    else:
        gauge = section.choice("gauge", ("none", "deturck"), "none")
        with section.errors("background"):
            flow = RicciFlow(None if gauge == "none" else gauge, background)
    if kind.startswith("normalized"):
        flow = NormalizedRicciFlow(flow)
    if "scale" not in section:
        return flow
    scale = section.get("scale")
    if isinstance(scale, bool) or not isinstance(scale, (int, float, str)):
        raise section.wrong("scale", "a number or a formula in t")
    with section.errors("scale"):
        if isinstance(scale, str):
            scale = _Factor(Formula(scale, ["t"]))
        flow = ScaledFlow(flow, scale)
    return flow


def _background(section: Section, start: Start) -> Any:
    value = section.get("background", "flat")
    if value == "start":
        return start.metric
    if value == "flat":
        return None
    with section.errors("background"):
        return _function(value, start, "'flat', 'start', 'exact'")


def _function(value: Any, start: Start, names: str) -> Any:
    """A metric that depends on time: "exact", or a table with formulas."""
    if value == "exact":
        if start.exact is None:
            raise InvalidArgumentError(
                "'exact' needs [start] exact, at the time at which the flow starts"
            )
        return start.exact.metric
    if isinstance(value, Mapping) and list(value) == ["components"]:
        return MetricFormula(value["components"], start.metric.n, "components", timed=True)
    raise InvalidArgumentError(
        f"{value!r} is not known; give {names} or {{ components = [[...], ...] }} with formulas in "
        "t and the coordinates"
    )


def t_span(config: Mapping[str, Any]) -> tuple[float, float]:
    """Start and end of the flow."""
    section = Section("integrator", config.get("integrator", {}), _INTEGRATOR_KEYS)
    span = section.numbers("t_span")
    with section.errors("t_span"):
        t0, t1, _ = as_times(span, None)
    return t0, t1


def integrator_options(table: Any, start: Start) -> dict[str, Any]:
    """Settings of the section [integrator], by the names of ``solve_flow``."""
    section = Section("integrator", table, _INTEGRATOR_KEYS)
    order: Order = section.get("order", 4)
    with section.errors("order"):
        order = validate_order(order)
        start.metric.grid.require_stencil(order)
    options: dict[str, Any] = {
        "method": section.choice("method", known_methods(), "auto"),
        "order": order,
        "boundary": _boundary(section, start),
        "dense_output": section.flag("dense_output", False),
    }
    for key, wanted in (("rtol", "a number, at least 0"), ("atol", "a number, at least 0")):
        if key in section:
            options[key] = section.number(key)
            if not options[key] >= 0:
                raise section.wrong(key, wanted)
    if "dt" in section:
        options["dt"] = section.number("dt")
        if not options["dt"] > 0:
            raise section.wrong("dt", "a positive step")
    if "max_steps" in section:
        options["max_steps"] = section.integer("max_steps", least=1)
    return options


def _boundary(section: Section, start: Start) -> Any:
    """The boundary as ``solve_flow`` takes it; in TOML the keys of tables are texts."""
    value = section.get("boundary", None)
    if value is None:
        return None
    with section.errors("boundary"):
        if isinstance(value, Mapping) and "components" not in value:
            result: Any = {_face(key): _choice(v, start) for key, v in value.items()}
        elif isinstance(value, list):
            result = [
                [_choice(v, start) for v in entry] if isinstance(entry, list) else
                None if entry == "periodic" else _choice(entry, start)
                for entry in value
            ]  # fmt: skip
        else:
            result = _choice(value, start)
        choices(result, start.metric.grid)
    return result


def _face(key: str) -> int | tuple[int, str]:
    axis, _, side = key.partition(" ")
    if not axis.isdigit() or side not in ("", "lower", "upper"):
        raise InvalidArgumentError(
            f'the key {key!r} names no end; write an axis, as 0, or an end, as "0 lower"'
        )
    return (int(axis), side) if side else int(axis)


def _choice(value: Any, start: Start) -> Any:
    if value in ("held", "free", "reflecting"):
        return value
    return _function(value, start, "'held', 'free', 'reflecting', 'exact'")


def build_events(table: Any, order: Order) -> list[Any]:
    """The events of section [events]: a number each, or a table of their arguments."""
    section = Section("events", table, _EVENTS)
    result = []
    for name in table:
        make, main = _EVENTS[name]
        value = section.get(name)
        if not isinstance(value, Mapping):
            result.append(_event(section, name, make, {main: section.number(name)}, order))
            continue
        known = inspect.signature(make).parameters
        inner = Section(f"events.{name}", value, known)
        options = {key: inner.get(key) for key in value}
        options[main] = inner.number(main)
        if "terminal" in inner:
            options["terminal"] = inner.flag("terminal", True)
        result.append(_event(section, name, make, options, order))
    return result


def _event(
    section: Section, name: str, make: Callable[..., Any], options: dict[str, Any], order: Order
) -> Any:
    if "order" in inspect.signature(make).parameters:
        options.setdefault("order", order)
    with section.errors(name):
        return make(**options)


def output_times(value: Any, span: tuple[float, float]) -> list[float] | None:
    """The times of [output] t_eval: a list, or how many, evenly spread; None for every step."""
    if value is None:
        return None
    section = Section("output", {"t_eval": value}, ["t_eval"])
    if not isinstance(value, list):
        count = section.integer("t_eval", least=2)
        return [float(t) for t in np.linspace(*span, count)]
    with section.errors("t_eval"):
        return as_times(span, section.numbers("t_eval"))[2]
