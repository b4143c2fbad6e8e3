"""Python files of users, run as modules: their errors name the file and the line."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from riemann_lne.errors import InvalidArgumentError, RiemannLNEError, StorageError


def fingerprint(path: Path, what: str) -> str:
    """Hash of a file's content, 12 hexadecimal digits; ``what`` is the noun for messages.

    Raises
    ------
    StorageError
        If it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise StorageError(f"cannot read the {what} {path}: {error}") from error


def run_file(path: Path, name: str) -> ModuleType:
    """Run a file as a module of a name, under which it stays known.

    Raises
    ------
    InvalidArgumentError
        If it is no Python file, or ends with an error; the message names the line.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidArgumentError(f"{path} is no Python file: give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except RiemannLNEError as error:
        del sys.modules[name]
        raise InvalidArgumentError(
            f"{path}{_line(error, path).removesuffix(',')}: {error}"
        ) from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InvalidArgumentError(
            f"{path}{_line(error, path)} ended with {type(error).__name__}: {error}; correct it "
            "there"
        ) from error
    return module


def _line(error: BaseException, path: Path) -> str:
    """The line of the file at which an error arose."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno},"
    frames = traceback.extract_tb(error.__traceback__)
    # Python knows the file by its whole path, the user may have given another
    lines = [f.lineno for f in frames if Path(f.filename) == path.absolute()]
    return f", line {lines[-1]}," if lines else ""
