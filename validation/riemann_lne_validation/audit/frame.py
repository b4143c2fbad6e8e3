"""The frame of the audit: a claim is a function that measures; the verdict follows in code.

A check returns ``Evidence``. It never returns a verdict: ``judge`` computes it from the
measurements, so that a check cannot say more than it measured. Nor does a verdict rest on the check
alone: every claim has a guard, a known answer that the library must meet in the same run.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from riemann_lne import checks
from riemann_lne.checks import shown
from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    MissingDependencyError,
    UnknownNameError,
)

from ..lab.user_files import fingerprint, run_file
from .backends import Backend
from .causes import CAUSES
from .evidence import (
    DISAGREES,
    Evidence,
    Line,
    Measurement,
    Plot,
    UnresolvedError,
    Verdict,
    doubt,
    judge,
)

__all__ = [
    "Claim",
    "Evidence",
    "Line",
    "Measurement",
    "Outcome",
    "Plot",
    "UnresolvedError",
    "Verdict",
    "certificates",
    "claim",
    "doubt",
    "judge",
    "known_claims",
    "load_claims",
    "parameters_of",
    "register_certificate",
    "relative",
    "require",
    "run_claim",
    "select",
]


def require(library: str, extra: str, id: str) -> None:
    """Called first by a check that needs an optional library: without it the check is not run.

    Raises
    ------
    MissingDependencyError
        If the library is not installed; the message has the command that installs it.
    """
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise MissingDependencyError(library, extra, f"the check {id}", error) from error


CheckFunction = Callable[..., Evidence]

Guard = Callable[..., Measurement | Sequence[Measurement]]
"""A known answer: takes a Backend and those of the claim's parameters that it names."""

_MINIMAL_GUARD = """
    def known_answer(backend, dimensions):
        \"\"\"Round spheres have Ric = (n - 1) g: tested in the dimensions of the claim.\"\"\"
        error = max(abs(library_value(n) - (n - 1)) for n in dimensions)
        return Measurement("Ric of the round sphere", error, 0.0, error, 1e-8, "rounding")

    @claim("my-claim", "Thm 1", quick={"dimensions": (2, 3)}, guard=known_answer)
    def my_claim(backend, dimensions): ...
"""


_MINIMAL_FILE = """
    import numpy as np
    from riemann_lne import exact
    from riemann_lne_validation.audit.frame import Evidence, Measurement, claim

    def gap(n, order):
        sphere = exact.round_sphere(n)
        g = sphere.field(0.0, sphere.grid(17))
        return float(np.abs(g.ricci(order) - (n - 1) * g.components).max())

    def known_answer(backend, n):
        error = gap(n, 2)
        return Measurement("Ric of the sphere, order 2", error, 0.0, error, 0.5, "truncation")

    @claim("my-claim", "my notes, Thm 1", quick={"n": 2}, guard=known_answer)
    def my_claim(backend, n):
        \"\"\"Round spheres have Ric = (n - 1) g.

        Measured: the largest difference at order 4; predicted: zero.
        \"\"\"
        error = gap(n, 4)
        return Evidence(Measurement("|Ric - (n - 1) g|", error, 0.0, error, 0.05, "truncation"))
"""


@dataclass(frozen=True)
class Claim:
    """A numbered statement and the function that checks it.

    Attributes
    ----------
    id, where : str
        Name and place in the paper.
    statement : str
        The statement in our words (first paragraph of the function's docstring).
    check : callable
        Takes a Backend and keyword parameters, returns Evidence.
    quick, full : dict
        Parameters for the two lengths of the audit.
    guards : tuple of callable
        Known answers that are tested in the same run; see ``claim``.
    repaired : str
        How the statement differs from the paper's, and why; empty where it does not.
    cause : str
        Id of the root cause on which a verdict other than "holds" rests, see ``CAUSES``.
    origin : str
        Hash of the user's file in which it was registered; empty for the claims of the paper.
    """

    id: str
    where: str
    statement: str
    check: CheckFunction
    quick: Mapping[str, Any]
    full: Mapping[str, Any]
    guards: tuple[Guard, ...] = ()
    repaired: str = ""
    cause: str = ""
    origin: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """By its id, if registered: its functions need not be such that processes can send them."""
        if _REGISTRY.get(self.id) is self:
            return _registered, (self.id,)
        return Claim, tuple(getattr(self, f.name) for f in fields(self))


def _registered(id: str) -> Claim:
    return known_claims()[id]


@dataclass
class Outcome:
    """A claim after it was checked."""

    claim: Claim
    verdict: Verdict
    evidence: Evidence | None
    parameters: dict[str, Any]
    seconds: float
    problem: str = ""

    @property
    def certificate(self) -> str:
        """File of the exact proof of the verdict; empty where there is none, or no verdict."""
        decided = self.verdict in (Verdict.HOLDS, Verdict.CONDITIONS, Verdict.FAILS)
        return _CERTIFICATES.get(self.claim.id, "") if decided else ""

    @property
    def cause(self) -> str:
        """Id of the root cause of a verdict that speaks against the statement, or empty."""
        against = self.verdict in (Verdict.FAILS, Verdict.CONDITIONS)
        return self.claim.cause if against else ""


_REGISTRY: dict[str, Claim] = {}
# Hashes of the user's files that are being read, and the files that were read, with their hashes.
_READING: list[str] = []
_FILES: dict[Path, str] = {}
_CERTIFICATES: dict[str, str] = {}


def register_certificate(id: str, file: str) -> None:
    """Name the file that proves the verdict on a claim; reports then mark it as proved and link it.

    Parameters
    ----------
    id : str
        A claim's id.
    file : str
        Path relative to the folder of certificates.

    Raises
    ------
    InvalidArgumentError
        If the claim has another certificate already.
    """
    if _CERTIFICATES.setdefault(id, file) != file:
        raise InvalidArgumentError(
            f"claim {id!r} has the certificate {_CERTIFICATES[id]!r}; {file!r} would be a "
            "second: give it another id"
        )


def certificates() -> dict[str, str]:
    """Certificate files by id of the claim that they prove."""
    return dict(_CERTIFICATES)


def claim(
    id: str,
    where: str,
    quick: Mapping[str, Any],
    full: Mapping[str, Any] | None = None,
    *,
    guard: Guard | Iterable[Guard] | None = None,
    repaired: str = "",
    cause: str = "",
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a check under its id; the docstring's first paragraph is the statement.

    Parameters
    ----------
    id, where : str
        Name of the claim, and its place in the paper.
    quick, full : dict
        Parameters of the check in both forms; ``full`` has those that differ from ``quick``.
    guard : callable, or several
        A known answer that the library must meet for a verdict to be given: an exact solution, or
        a second code path that shares no line with what it guards. It is called in the same run
        as the check with the backend and those of the claim's parameters that it names (so that
        it can test the same dimensions), and returns one or more Measurements.
    repaired : str
        How the statement differs from the wording of the paper, and why.
    cause : str
        Id of a root cause in ``CAUSES``.

    Raises
    ------
    InvalidArgumentError
        If there is no guard, or it asks for a parameter that the claim does not have; if the id
        is registered already, or is empty.
    UnknownNameError
        If the cause is not known.
    """
    checks.label(id, "id of the claim")
    parameters = quick if full is None else {**quick, **full}
    guards = _checked_guards(id, guard, parameters)
    if cause and cause not in CAUSES:
        raise UnknownNameError(f"cause (of claim {id})", cause, CAUSES)

    def register(check: CheckFunction) -> CheckFunction:
        if id in _REGISTRY:
            raise InvalidArgumentError(
                f"claim {id!r} is registered twice; give one of them another id"
            )
        statement = " ".join((check.__doc__ or "").strip().split("\n\n")[0].split())
        _REGISTRY[id] = Claim(
            id,
            where,
            statement,
            check,
            dict(quick),
            dict(parameters),
            guards,
            " ".join(repaired.split()),
            cause,
            _READING[-1] if _READING else "",
        )
        return check

    return register


def _checked_guards(
    id: str, guard: Guard | Iterable[Guard] | None, parameters: Mapping[str, Any]
) -> tuple[Guard, ...]:
    guards: tuple[Guard, ...] = ()
    if callable(guard):
        guards = (guard,)
    elif guard is not None:
        guards = tuple(guard)
    if not guards or not all(callable(g) for g in guards):
        raise InvalidArgumentError(
            f"claim {id!r} has no guard, so that an error in the library could come out as a "
            "statement about the paper. Give guard=: a function that tests a known answer (an "
            "exact solution, or a second code path) in the same run and dimension. The least that "
            f"is right:\n{_MINIMAL_GUARD}"
        )
    for g in guards:
        for name in _wanted(g):
            if name not in parameters:
                raise UnknownNameError(
                    f"parameter of {id} (asked for by its guard)", name, parameters
                )
    return guards


def _wanted(guard: Guard) -> list[str]:
    """Names of the claim's parameters that a guard asks for: those of its own without a default."""
    own = list(inspect.signature(guard).parameters.values())[1:]
    return [p.name for p in own if p.default is p.empty]


def _known_answers(
    claim: Claim, backend: Backend, parameters: Mapping[str, Any]
) -> list[Measurement]:
    """Measurements of the guards of a claim."""
    found: list[Measurement] = []
    for guard in claim.guards:
        try:
            answer = guard(backend, **{name: parameters[name] for name in _wanted(guard)})
        except UnresolvedError as reason:  # a known solution that the library could not follow
            text = f"a known answer could not be computed ({reason})"
            answer = Measurement.vanishing(text, math.inf, 0.0, "it has to be computed")
        found += [answer] if isinstance(answer, Measurement) else list(answer)
    if not found:
        text = "the claim has no guard that measured anything"
        found = [Measurement(text, 0, "one or more", math.inf, 0.0, "a count")]
    return found


def known_claims() -> dict[str, Claim]:
    """All claims by id, in the order of the paper's sections (files are named after them)."""
    from . import claims

    for module in sorted(m.name for m in pkgutil.iter_modules(claims.__path__)):
        importlib.import_module(f"{claims.__name__}.{module}")
    return dict(_REGISTRY)


def load_claims(paths: Sequence[str | Path]) -> list[Claim]:
    """The claims that files of the user register, for ``riemann-lne verify --claims``.

    A file that was loaded before, and has not changed, is not run again.

    Raises
    ------
    StorageError
        If a file cannot be read.
    InvalidArgumentError
        If it ends with an error (the message names the line), or registers no claim.
    """
    library, ids = known_claims(), []  # first: their names are taken
    for path in map(Path, paths):
        content = fingerprint(path, "claims file")
        place = path.resolve()
        if _FILES.get(place) != content:
            before = dict(_REGISTRY)
            for id in [c.id for c in library.values() if c.origin == _FILES.get(place, content)]:
                if library[id].origin:  # of an earlier version of the file
                    del _REGISTRY[id]
            _READING.append(content)
            try:
                run_file(path, f"riemann_lne_claims_{content}")
            except BaseException:
                _REGISTRY.clear()
                _REGISTRY.update(before)
                raise
            finally:
                _READING.pop()
            _FILES[place] = content
        mine = [c.id for c in _REGISTRY.values() if c.origin == content]
        if not mine:
            raise InvalidArgumentError(
                f"{path} registers no claim; the least that is right:\n{_MINIMAL_FILE}"
            )
        ids += mine
    return [_REGISTRY[id] for id in ids]


def select(only: list[str] | None) -> list[Claim]:
    """The claims of the ids, or all.

    Raises
    ------
    UnknownNameError
        For an id that is not known; the message lists the known ones.
    """
    known = known_claims()
    for id in only or []:
        if id not in known:
            raise UnknownNameError("claim", id, known)
    return [c for id, c in known.items() if not only or id in only]


def parameters_of(claim: Claim, full: bool, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a run, with the user's in place of the defaults.

    Raises
    ------
    UnknownNameError
        For a parameter that the claim does not have.
    """
    chosen = dict(claim.full if full else claim.quick)
    for name, value in overrides.items():
        if name not in chosen:
            raise UnknownNameError(f"parameter of {claim.id}", name, chosen)
        chosen[name] = value
    return chosen


def run_claim(
    claim: Claim,
    full: bool = False,
    backend: Backend | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run one check. A crash inside it, or a missing library, is its outcome and not raised."""
    parameters = parameters_of(claim, full, overrides or {})
    backend = backend or Backend("numpy")
    start = time.perf_counter()
    evidence: Evidence | None = None
    try:
        reason = ""
        try:
            evidence = _checked_evidence(claim, claim.check(backend, **parameters))
        except UnresolvedError as stopped:
            reason = str(stopped)
        known = _known_answers(claim, backend, parameters)
        if evidence:
            evidence = replace(evidence, guard=[*evidence.guard, *known])
            verdict, problem = judge(evidence), doubt(evidence)
        else:
            failed = [m.statement for m in known if not m.true]
            problem = "; ".join([reason, *(f"{DISAGREES}: {text}" for text in failed)])
            verdict = Verdict.UNRESOLVED
    except MissingDependencyError as missing:
        evidence, verdict, problem = None, Verdict.NOT_RUN, str(missing)
    except Exception:  # whatever goes wrong in one check must not hide the others
        evidence, verdict, problem = None, Verdict.ERROR, traceback.format_exc(limit=-3)
    return Outcome(claim, verdict, evidence, parameters, time.perf_counter() - start, problem)


def _checked_evidence(claim: Claim, found: Any) -> Evidence:
    """The result of a check, if it is Evidence."""
    if not isinstance(found, Evidence):
        raise DTypeError(
            f"the check of {claim.id} returned {shown(found)}; return Evidence(Measurement(...)):\n"
            f"{_MINIMAL_FILE}"
        )
    return found


def relative(measured: float, predicted: float) -> float:
    """|measured - predicted| / |predicted|, infinite where that is not a number."""
    error = abs(measured - predicted) / abs(predicted)
    return error if math.isfinite(error) else math.inf
