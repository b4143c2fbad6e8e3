"""A study from its TOML file, checked as a whole before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from .config import MOST_SEEDS, read_toml
from .plan import Study, StudyArm
from .protocol import default_arm
from .summary import METRICS
from .tuning import configurations

STUDIES = Path(__file__).parent / "studies"

_TABLES = {
    "study": ("title", "question", "metric", "alpha", "test"),
    "setting": None,
    "tuning": ("seeds", "configurations", "epochs"),
    "final": ("seeds",),
    "arm": None,
    "primary": ("arm", "reference"),
}
_ARM_ONLY = ("reference", "grid", "try", "settings_of", "why_untuned")


def find_study(word: str | Path) -> Path | None:
    """The path of a study, given that or the name of one that comes with the package.

    None if the file has no table ``[study]``: then it is another kind of configuration.

    Raises
    ------
    UnknownNameError
        If there is neither such a file nor such a study.
    StorageError, InvalidArgumentError
        If the file cannot be read, or is not TOML.
    """
    path = Path(word)
    if not path.is_file():
        path = STUDIES / f"{word}.toml"
        if not path.is_file():
            raise UnknownNameError("study or file", str(word), available_studies())
    return path if "study" in _read(path) else None


def available_studies() -> list[str]:
    """Names of the studies that come with the package."""
    return sorted(p.stem for p in STUDIES.glob("*.toml"))


def load_study(path: str | Path) -> Study:
    """Read and check a study.

    ``extends = NAME``, at the head of the file, takes every table that the file lacks from another
    study, and of its [study] and [setting] the entries that it lacks: the same arms on other seeds.

    Raises
    ------
    StorageError
        If the file cannot be read.
    InvalidArgumentError, UnknownNameError
        If it is not TOML, something is missing, or something makes no sense. Names the file.
    """
    try:
        return parse_study(_extended(_read(Path(path))))
    except UnknownNameError:
        raise
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{path}: {error}") from error
    except (TypeError, AttributeError, LookupError, ValueError) as error:
        # an entry of another type, in a place that is not looked at above
        raise InvalidArgumentError(
            f"{path} is not a study: an entry is of the wrong type ({type(error).__name__}: "
            f"{error}); compare it with one that comes with the package: {STUDIES / 'digits.toml'}"
        ) from error


def parse_study(table: Mapping[str, Any]) -> Study:
    """The study of a table as TOML gives it; the files in ``STUDIES`` are examples."""
    _check_keys(table)
    head, tuning, final = table["study"], table.get("tuning", {}), table["final"]
    metric = head.get("metric", "last")
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    test = head.get("test", "t")
    if test not in ("t", "sign-flip"):
        raise UnknownNameError("test", test, ("t", "sign-flip"))
    alpha = head.get("alpha", 0.05)
    if not (isinstance(alpha, float) and 0.0 < alpha < 1.0):
        raise InvalidArgumentError(f"alpha must lie between 0 and 1, got {alpha!r}")
    study = Study(
        title=head["title"],
        question=head["question"],
        arms=tuple(_arm(entry, table.get("setting", {})) for entry in table["arm"]),
        tuning_seeds=_seeds(tuning.get("seeds", []), "tuning"),
        final_seeds=_seeds(final["seeds"], "final"),
        budget=tuning.get("configurations", 0),
        tuning_epochs=tuning.get("epochs"),
        primary=tuple((p["arm"], p["reference"]) for p in table.get("primary", [])),
        metric=metric,
        alpha=alpha,
        test=test,
        table=table,
    )
    _check(study)
    return study


def _read(path: Path) -> dict[str, Any]:
    return read_toml(path, "a study")


def _extended(table: dict[str, Any]) -> dict[str, Any]:
    """The whole table of a study that says in what it differs from another one."""
    if "extends" not in table:
        return table
    name = table["extends"]
    path = find_study(name) if isinstance(name, str) else None
    base = _read(path) if path else {"extends": name}
    if "extends" in base:
        raise InvalidArgumentError(
            f"extends must name a study that is written out itself, got {name!r}"
        )
    own = {k: v for k, v in table.items() if k != "extends"}
    parts = {k: {**base.get(k, {}), **own.get(k, {})} for k in ("study", "setting")}
    return {**base, **own, **parts}


def _check_keys(table: Mapping[str, Any]) -> None:
    for name, allowed in _TABLES.items():
        for entry in _entries(table.get(name, {})):
            for key in entry:
                if allowed is not None and key not in allowed:
                    raise UnknownNameError(f"entry of [{name}]", key, allowed)
    for name in table:
        if name not in _TABLES:
            raise UnknownNameError("table of a study", name, _TABLES)
    for name, keys in (("study", ("title", "question")), ("final", ("seeds",)), ("arm", ())):
        if not table.get(name):
            raise InvalidArgumentError(f"a study needs a table [{name}]")
        for key in keys:
            if key not in table[name]:
                raise InvalidArgumentError(f"[{name}] needs {key!r}")
    for entry in table.get("primary", []):
        if set(entry) != {"arm", "reference"}:
            raise InvalidArgumentError(
                f"a primary comparison needs 'arm' and 'reference', got {dict(entry)!r}"
            )


def _entries(value: Any) -> list[Mapping[str, Any]]:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise InvalidArgumentError(f"expected a table, got {entry!r}")
    return entries


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    """A list of seeds, or {from = A, count = N}."""
    if isinstance(value, Mapping):
        if set(value) != {"from", "count"}:
            raise InvalidArgumentError(f"seeds of [{where}]: give from and count, got {value!r}")
        if not all(type(v) is int and 0 <= v < 2**62 for v in value.values()):
            raise InvalidArgumentError(f"seeds of [{where}]: from and count must be whole numbers")
        if value["count"] > MOST_SEEDS:
            raise InvalidArgumentError(f"seeds of [{where}]: count is above {MOST_SEEDS}")
        value = list(range(value["from"], value["from"] + value["count"]))
    fine = isinstance(value, list) and all(type(s) is int and s >= 0 for s in value)
    if not fine or len(set(value)) != len(value):
        raise InvalidArgumentError(
            f"seeds of [{where}] must be different whole numbers from 0, got {value!r}"
        )
    return tuple(value)


def _arm(entry: Mapping[str, Any], shared: Mapping[str, Any]) -> StudyArm:
    own = {k: v for k, v in entry.items() if k not in _ARM_ONLY}
    settings = {**shared, **own}
    shared_reason = settings.pop("why_untuned", "")
    shared_reference = settings.pop("reference", "")
    for key in ("label", "method"):
        if key not in own:
            raise InvalidArgumentError(f"an arm needs {key!r}; given: {dict(entry)!r}")
    if settings.pop("split", "test") != "test":
        raise InvalidArgumentError(
            f"arm {own['label']!r}: the study itself chooses the split: remove it"
        )
    chosen = {
        key: settings.pop(key) for key in ("dataset", "optimizer", "model") if key in settings
    }
    arm = default_arm(settings.pop("method"), **chosen, **settings)
    if "grid" in entry and "try" in entry:
        raise InvalidArgumentError(f"arm {arm.label!r}: give 'grid' or 'try', not both")
    grid = entry.get("grid", {})
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise InvalidArgumentError(
                f"arm {arm.label!r}: grid entry {name!r} must be a list with values, got {values!r}"
            )
    tuned = bool({"grid", "try", "settings_of"} & entry.keys())
    tried = entry["try"] if "try" in entry else configurations(grid) if grid else []
    return StudyArm(
        arm=arm,
        reference=entry.get("reference", shared_reference or arm.label),
        tried=tuple(tried),
        settings_of=entry.get("settings_of"),
        why_untuned=entry.get("why_untuned", "" if tuned else shared_reason),
    )


def _check(study: Study) -> None:
    labels = [a.label for a in study.arms]
    if len(set(labels)) < len(labels):
        raise InvalidArgumentError(f"two arms have the same label, rename one: {labels}")
    for label in (x for p in study.primary for x in p):
        if label not in labels:
            raise UnknownNameError("arm of a primary comparison", label, labels)
    shared = set(study.tuning_seeds) & set(study.final_seeds)
    if shared:
        raise InvalidArgumentError(
            f"seeds {sorted(shared)} are used for tuning and for the final runs: take others, the "
            "settings chosen would be fitted to them"
        )
    tuned = [a for a in study.arms if a.tried]
    if tuned and not study.tuning_seeds:
        raise InvalidArgumentError("[tuning] needs seeds, as there are arms with a grid")
    for a in study.arms:
        if a.reference not in labels:
            raise UnknownNameError(f"reference of {a.label!r}", a.reference, labels)
        _check_settings(a, study, [t.label for t in tuned if t.settings_of is None])
    study.every_arm()  # raises if one of them makes no sense


def _check_settings(a: StudyArm, study: Study, first: list[str]) -> None:
    tuned_somehow = bool(a.tried) or a.settings_of is not None
    if tuned_somehow == bool(a.why_untuned):
        raise InvalidArgumentError(
            f"arm {a.label!r} needs grid or try (it is tuned), settings_of (it takes those of a "
            "tuned arm, and may be tuned further), or else why_untuned (it is not, for this reason)"
        )
    if a.tried and len(a.tried) != study.budget:
        raise InvalidArgumentError(
            f"arm {a.label!r} has {len(a.tried)} configurations, but the budget of every tuned arm "
            f"is {study.budget}: give as many"
        )
    if len({repr(sorted(t.items())) for t in a.tried}) < len(a.tried):
        raise InvalidArgumentError(f"arm {a.label!r} tries a configuration twice; remove one")
    if a.settings_of is not None and a.settings_of not in first:
        raise UnknownNameError(f"settings_of of {a.label!r}", a.settings_of, first)
