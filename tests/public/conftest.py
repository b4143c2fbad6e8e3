"""Variants of an array or a number, and what may come of a public function given one.

Every call ends in an error of the library's family, or in a result in which every number is
finite; warnings of NumPy count as failures. Types looked at: half, single, double, long double and
complex precision, integers, truth values, objects, text, dates, other byte orders, masked arrays,
``numpy.matrix`` and other subclasses, lists, memory that is read-only or not contiguous. Values:
NaN, both infinities, the smallest subnormal, 1e300, -1e300, 1e-300. Shapes: empty, no dimensions,
one dimension more. Numbers: the same values, text, None, truth values, several numbers, integers
beyond floats.
"""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest

from riemann_lne import Grid, MetricField, RiemannLNEError

DTYPES = ("float16", "float32", "longdouble", "complex128", "int64", "bool", "object", "U", "M8[s]")
VALUES = (np.nan, np.inf, -np.inf, 5e-324, 1e300, -1e300, 1e-300)


class Units(np.ndarray):
    """A subclass of ndarray, as libraries for physical units have."""


def arrays(base):
    """Names and variants of an array of float64 with at least one dimension."""
    yield "as it is", base
    for dtype in DTYPES:
        yield dtype, base.astype("int64").astype(dtype) if dtype == "M8[s]" else base.astype(dtype)
    yield "big-endian", base.astype(">f8")
    yield "masked", np.ma.masked_array(base, np.arange(base.size).reshape(base.shape) == 0)
    yield "subclass", base.view(Units)
    if base.ndim == 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            yield "matrix", np.matrix(base)
    yield "list", base.tolist()
    yield "list with a masked entry", [*base.tolist(), np.ma.masked]
    yield "list with text", [*base.tolist(), "a"]
    yield "ragged list", [*base.tolist(), [1.0, [2.0]]]
    frozen = base.copy()
    frozen.setflags(write=False)
    yield "read-only", frozen
    wide = np.repeat(base, 2, axis=-1)[..., ::2]
    yield "not contiguous", wide
    for value in VALUES:
        for place in (0, base.size - 1):
            changed = base.copy()
            changed.reshape(-1)[place] = value
            yield f"{value} at {place}", changed
        yield f"all {value}", np.full(base.shape, value)
        single = np.full(base.shape, min(max(value, -3e38), 3e38), dtype=np.float32)
        yield f"all {value} in float32", single
    yield "empty", base[:0]
    yield "no dimensions", base.reshape(-1)[0:1].reshape(())
    yield "one dimension more", base[None]
    yield "text", "abc"
    yield "None", None
    yield "a number", 0.5


def scalars(base):
    """Names and variants of a number."""
    yield "as it is", base
    for value in VALUES:
        yield str(value), value
        yield f"numpy {value}", np.float64(value)
    for dtype in DTYPES[:4]:
        yield dtype, np.dtype(dtype).type(base)
    yield "0-d array", np.asarray(base)
    yield "masked", np.ma.masked
    for value in (0, -1, 2.5, True, None, "a", b"a", 1 + 1j, 10**400, [], [base, base], {}, "1e3"):
        yield repr(value)[:20], value
    yield "two numbers", np.asarray([base, base])


def finite(value, seen=0):
    """Whether every number in a result is finite."""
    if value is None or isinstance(value, (str, bool, Path, Grid)) or callable(value) or seen > 5:
        return True
    if isinstance(value, MetricField):
        return finite(value.packed)
    if isinstance(value, (int, float, complex, np.number)):
        return bool(np.isfinite(value)) if not isinstance(value, int) else True
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufc" and bool(np.all(np.isfinite(value)))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(finite(v, seen + 1) for v in value)
    if isinstance(value, dict):
        return all(finite(v, seen + 1) for v in value.values())
    if dataclasses.is_dataclass(value):
        return all(finite(getattr(value, f.name), seen + 1) for f in dataclasses.fields(value))
    return True


@pytest.fixture
def complaints():
    """A function that gives everything that is wrong with a call for the variants of its base."""

    def look(call, base, allow_infinite=False, complex_too=False):
        found = []
        never = {"masked", "U", "text"} | (set() if complex_too else {"complex128"})
        variants = arrays(base) if isinstance(base, np.ndarray) else scalars(base)
        for name, value in variants:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    result = call(value)
            except RiemannLNEError as error:
                if not str(error):
                    found.append(f"{name}: an error without words")
                if name == "as it is":
                    found.append(f"{name}: {type(error).__name__}: {error}")
            except Exception as error:
                found.append(f"{name}: {type(error).__name__}: {error}"[:300])
            else:
                if not (allow_infinite or finite(result)):
                    found.append(f"{name}: not finite")
                if name in never:
                    found.append(f"{name}: was taken")
        return found

    return look
