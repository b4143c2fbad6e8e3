"""Reading values out of a configuration, with messages that name section and key."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from ..errors import InvalidArgumentError, RiemannLNEError, UnknownNameError
from .formulas import constant

T = TypeVar("T")


class ConfigError(InvalidArgumentError):
    """A value of a configuration that makes no sense; the message has its section and key."""


def unknown(kind: str, name: object, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not known, with the known ones and the nearest."""
    return ConfigError(str(UnknownNameError(kind, name, known)))


_REQUIRED: Any = object()


class Section:
    """One table of a configuration.

    Parameters
    ----------
    name : str
        As in the file, without brackets.
    table : mapping
        Its keys and values.
    known : iterable of str
        The keys it may have.

    Raises
    ------
    ConfigError
        If it is no table, or has another key; the nearest known one is named. The methods raise it
        for a value of the wrong kind or a missing key.

    Examples
    --------
    >>> section = Section("grid", {"shape": [8, 8], "lower": "-pi"}, ["shape", "lower"])
    >>> round(section.number("lower"), 5), section.integers("shape")
    (-3.14159, (8, 8))
    """

    def __init__(self, name: str, table: Any, known: Iterable[str]) -> None:
        if not isinstance(table, Mapping):
            raise ConfigError(f"{name} = {table!r}; give a table: [{name}]")
        self.name, self._table = name, table
        names = list(known)
        for key in table:
            if key not in names:
                raise unknown(f"key of [{name}]:", key, names)

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def get(self, key: str, default: Any = _REQUIRED) -> Any:
        """The value as it stands in the file."""
        if key in self._table:
            return self._table[key]
        if default is _REQUIRED:
            raise ConfigError(f"[{self.name}] lacks {key}, which is needed")
        return default

    def wrong(self, key: str, wanted: str) -> ConfigError:
        """The error for a value that is not what is wanted."""
        return ConfigError(f"[{self.name}] {key} = {self._table.get(key)!r}; give {wanted}")

    @contextmanager
    def errors(self, key: str) -> Iterator[None]:
        """Put section and key before the errors of what is made of a value."""
        try:
            yield
        except ConfigError:
            raise
        except RiemannLNEError as error:
            raise ConfigError(f"[{self.name}] {key}: {error}") from error

    def _read(self, key: str, default: Any, wanted: str, read: Callable[[Any], T]) -> T:
        if key not in self._table and default is not _REQUIRED:
            return default
        value = self.get(key)
        try:
            return read(value)
        except (TypeError, ValueError) as error:
            detail = f" ({error})" if isinstance(error, RiemannLNEError) else ""
            raise ConfigError(f"[{self.name}] {key} = {value!r}; give {wanted}{detail}") from error

    def number(self, key: str, default: Any = _REQUIRED, wanted: str = "a finite number") -> float:
        """A number, or a formula without variables such as "2*pi"."""
        return self._read(key, default, wanted, _number)

    def integer(self, key: str, default: Any = _REQUIRED, least: int = 0) -> int:
        """A whole number."""
        wanted = f"a whole number, at least {least}"
        result = self._read(key, default, wanted, _integer)
        if key in self._table and result < least:
            raise self.wrong(key, wanted)
        return result

    def flag(self, key: str, default: bool) -> bool:
        """A truth value, true or false."""
        return self._read(key, default, "true or false", _flag)

    def text(self, key: str, default: Any = _REQUIRED, wanted: str = "a text") -> str:
        """A text that is not empty."""
        return self._read(key, default, wanted, _text)

    def choice(self, key: str, known: Iterable[str], default: Any = _REQUIRED) -> str:
        """One of the known names."""
        names = list(known)
        result = self.text(key, default, f"one of {', '.join(sorted(names))}")
        if key in self._table and result not in names:
            raise unknown(f"[{self.name}] {key}", result, names)
        return result

    def choices(self, key: str, known: Iterable[str]) -> tuple[str, ...]:
        """A list of known names, each once; empty by default."""
        names = list(known)
        wanted = f"a list of names, of {', '.join(sorted(names))}"
        result = self._read(key, (), wanted, lambda value: _each(value, _text))
        for name in result:
            if name not in names:
                raise unknown(f"name in [{self.name}] {key}:", name, names)
        if len(set(result)) < len(result):
            raise self.wrong(key, f"{wanted}, each once")
        return result

    def numbers(self, key: str, default: Any = _REQUIRED, n: int | None = None) -> tuple[Any, ...]:
        """Numbers in a list, ``n`` of them if it is given; a single one stands for all."""
        return self._several(key, default, n, "finite numbers", _number)

    def integers(self, key: str, default: Any = _REQUIRED) -> tuple[int, ...]:
        """Whole numbers in a list."""
        return self._several(key, default, None, "whole numbers", _integer)

    def flags(self, key: str, default: bool, n: int) -> tuple[bool, ...]:
        """``n`` times true or false; a single one stands for all."""
        return self._several(key, (default,) * n, n, "true or false", _flag)

    def _several(
        self, key: str, default: Any, n: int | None, kind: str, read: Callable[[Any], T]
    ) -> tuple[T, ...]:
        wanted = f"a list of {kind}"
        if n is not None:
            wanted = f"a list of {n} {kind}, one for each axis, or a single one"
            if key in self._table and not isinstance(self._table[key], list):
                return (self._read(key, default, wanted, read),) * n
        result = self._read(key, default, wanted, lambda value: _each(value, read))
        if n is not None and len(result) != n:
            raise self.wrong(key, wanted)
        return result


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError  # TOML has inf and nan
    return constant(value)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _each(value: Any, read: Callable[[Any], T]) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(read(v) for v in value)
