"""Python files of users, run as modules: their errors name the file and the line."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from riemann_lne.errors import InvalidArgumentError, RiemannLNEError, StorageError

# Names of the modules beside a file that came into memory as it was run.
_imported_by: dict[Path, list[str]] = {}


def fingerprint(path: Path, what: str) -> str:
    """Hash of a file's content, 12 hexadecimal digits; ``what`` is the noun for messages.

    Of its content and that of the modules beside it that it imports, if it does.

    Raises
    ------
    StorageError
        If it, or one of these modules, cannot be read.
    """
    try:
        state = hashlib.sha256(path.read_bytes())
        for module in _modules_beside(path):
            state.update(module.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read the {what} {path}: {error}") from error
    return state.hexdigest()[:12]


def run_file(path: Path, name: str) -> ModuleType:
    """Run a file as a module of a name, under which it stays known.

    As for a Python script, the modules of its folder can be imported; but the folder is the last
    to be searched, so that none of its modules hides another one.

    Raises
    ------
    InvalidArgumentError
        If it is no Python file, or ends with an error; the message names the line.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidArgumentError(f"{path} is no Python file: give one that ends in .py")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()
    for other in _imported_by.pop(path.resolve(), ()):
        sys.modules.pop(other, None)  # it may have changed since
    known = set(sys.modules)
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
    beside = set(_modules_beside(path))
    _imported_by[path.resolve()] = [
        other
        for other in set(sys.modules) - known
        if Path(getattr(sys.modules[other], "__file__", None) or "") in beside
    ]
    return module


def _modules_beside(path: Path) -> list[Path]:
    """Files of the modules in a file's folder that it imports, or that these import, sorted.

    Of a package, all of its modules.
    """
    start = path.resolve()
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        for name in _imported(waiting.pop()):
            module, package = start.parent / f"{name}.py", start.parent / name
            files = [module] if module.is_file() else sorted(package.rglob("*.py"))
            new = [file for file in files if file not in found and file != start]
            found.update(new)
            waiting += new
    return sorted(found)


def _imported(path: Path) -> set[str]:
    """First parts of the names of the modules that a file imports; none if it is no program."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    return {name for name in tops if not name.startswith("riemann_lne")}  # a checkout of ours


def _line(error: BaseException, path: Path) -> str:
    """The line of the file at which an error arose."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno},"
    frames = traceback.extract_tb(error.__traceback__)
    # Python knows the file by its whole path, the user may have given another
    lines = [f.lineno for f in frames if Path(f.filename) == path.absolute()]
    return f", line {lines[-1]}," if lines else ""
