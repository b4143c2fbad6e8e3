"""The configuration file: reading, overriding, and what a checkpoint remembers of it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidArgumentError, UnknownNameError
from ..io import reading, storage_errors, write_atomically
from ..io.damage import exists, read_text, table_value

SECTIONS = ("grid", "start", "flow", "integrator", "output", "events", "parallel")

# Settings that may differ between a run and its resumption: the metrics do not depend on them.
_FREE = (
    "integrator.max_steps", "output.plots", "output.decay_window", "output.checkpoint", "parallel",
)  # fmt: skip
_RECORD = "config.json"


def read_config(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The tables of a TOML file, with ``section.key=value`` settings put in.

    Raises
    ------
    InvalidArgumentError
        If the file cannot be read, is no TOML, or a setting is not of that form.
    UnknownNameError
        If there is a section that is not known.
    """
    try:
        config = tomllib.loads(read_text(path))
    except FileNotFoundError as error:
        raise InvalidArgumentError(
            f"there is no configuration file {path}; check the path"
        ) from error
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(
            f"{path} is not a TOML file: {error}; correct it there"
        ) from error
    for setting in overrides:
        _override(config, setting)
    for name in config:
        if name not in SECTIONS:
            raise UnknownNameError(f"section or key in {path.name}:", name, SECTIONS)
    return config


def _override(config: dict[str, Any], setting: str) -> None:
    name, equals, text = setting.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        raise InvalidArgumentError(f"--set {setting}; write --set section.key=value")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    # A bare word is a text, as in --set integrator.method=rkl2.
    value = parsed["value"] if list(parsed) == ["value"] else text.strip()
    table = config
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise InvalidArgumentError(
                f"--set {setting}; {key} must be a table in the configuration"
            )
    table[keys[-1]] = value


def write_record(folder: Path, config: Mapping[str, Any]) -> None:
    """Note in the folder of a checkpoint what the run was asked for."""
    with storage_errors("the checkpoint", folder):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(config, default=str, indent=1)
        write_atomically(folder / _RECORD, lambda file: file.write(text.encode()))


def require_same(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that was made with another configuration.

    ``solve_flow`` compares what it is given; this adds the values that it cannot see, such as the
    thresholds of events, and names the key.

    Raises
    ------
    DamagedFileError
        If what was noted is damaged.
    InvalidArgumentError
        If a value differs on which the result depends; the message names all of them.
    """
    path = folder / _RECORD
    if not exists(path):
        return  # of a run that solve_flow was called for directly: it compares by itself
    advice = "restore it from a copy, or start anew with --force"
    with reading(path, "the configuration of a checkpoint", advice):
        before = _flat(table_value(json.loads(read_text(path))))
    now = _flat(json.loads(json.dumps(config, default=str)))
    differences = []
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) == now.get(key) or any(
            key == free or key.startswith(f"{free}.") for free in _FREE
        ):
            continue
        section, _, rest = key.partition(".")
        differences.append(
            f"[{section}] {rest}: {_shown(before, key)} then, {_shown(now, key)} now"
        )
    if differences:
        raise InvalidArgumentError(
            f"the checkpoint {folder} is that of another run ({'; '.join(differences)}); restore "
            "the configuration, choose another [output] checkpoint, or start anew with --force"
        )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"


def forget_record(folder: Path) -> None:
    """Remove what ``write_record`` wrote."""
    (folder / _RECORD).unlink(missing_ok=True)
