"""Compiled loops for the LNE metric on weights that lie in pieces of the host's memory.

`riemann_lne.lne.pieces.PieceSums` takes a dozen array operations a piece. Here it is one loop, over
all pieces of all blocks at once: nothing is stored between reading a weight and adding to the sums.
See `loops`. All arithmetic is in double precision.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..errors import DTypeError, InvalidArgumentError, UnknownNameError
from ..threads import thread_count
from .build import load
from .emit import statements
from .expressions import in_order
from .thread_pool import pool
from .weights_c import ADD_UP, HEAD, LOOP, TANH
from .weights_loops import Loop, loops

DTYPES = ("float32", "float64")
_REAL = {"float32": "float", "float64": "double"}

# Longer rows are cut: threads have something to share, and sums in two levels lose less.
_LONGEST_PIECE = 1 << 16
# For fewer weights it takes longer to wake a thread than to do its share.
_LEAST_FOR_THREADS = 1 << 19


def emit_weights(dtype: str) -> str:
    """The C source: one function for each of `loops`."""
    parts = [HEAD.replace("{real}", _REAL[dtype]), _tanh()]
    return "\n".join([*parts, *(_function(name, loop) for name, loop in loops().items())])


def _function(name: str, loop: Loop) -> str:
    before = [f"real *const at_{a} = from[{k}];" for k, a in enumerate(loop.arrays)]
    before += [f"const vec {x} = number[{k}] - (vec){{0}};" for k, x in enumerate(loop.numbers)]
    body = [f"const vec {a} = some(at_{a} + i, end - i);" for a in loop.read]
    lines, names = statements(in_order(loop.outputs), loop.inputs.__getitem__, "vec", "")
    body += lines
    values = [names[node.number] for node in loop.outputs]
    count = len(loop.outputs)
    after = ""
    if loop.written:
        pairs = zip(loop.written, values, strict=True)
        body += [f"keep(at_{a} + i, {value}, end - i);" for a, value in pairs]
    else:
        before.append(f"vec sum[{count}] = {{{{0}}}};")
        body += [f"sum[{k}] += {value};" for k, value in enumerate(values)]
        after = ADD_UP.replace("{count}", str(count))
    filled = {
        "name": name,
        "arrays": str(len(loop.arrays)),
        "numbers": str(len(loop.numbers)),
        "before": "\n".join(" " * 8 + line for line in before),
        "body": "\n".join(" " * 12 + line for line in body),
        "after": after,
    }
    text = LOOP
    for key, value in filled.items():
        text = text.replace("{" + key + "}", value)
    return text


def _tanh() -> str:
    """The function tanh, with e^f - 1 by its series as far as double precision goes.

    |f| is at most log(2)/2, where the terms from f^14 on are below 1e-17 of the first.
    """
    series = [f"    p = p * f + {1 / math.factorial(k)!r};" for k in range(12, 0, -1)]
    start = f"    vec p = {1 / math.factorial(13)!r} - (vec){{0}};"
    values = {"log2e": repr(1 / math.log(2)), "log2": repr(math.log(2))}
    text = TANH.replace("{series}", "\n".join([start, *series]))
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


class Span(NamedTuple):
    """Rows of weights in memory, and of what goes with them: each row follows the one before."""

    arrays: tuple[int, ...]
    """Addresses of the first weight, and of the first values of the other arrays of a `Loop`."""
    rows: int
    columns: int


@dataclass(frozen=True)
class Pieces:
    """Pieces of rows, none longer than some ten thousand weights.

    Attributes
    ----------
    arrays : (p, k) int64
        Addresses.
    sizes : (p,) int64
    row : (p,) int64
        The row that a piece belongs to.
    rows : int
        Number of all rows, those that hold no weight included.
    whole : bool
        Whether every row is one piece.
    """

    arrays: np.ndarray
    sizes: np.ndarray
    row: np.ndarray
    rows: int
    whole: bool

    @classmethod
    def cut(cls, spans: Sequence[Span], itemsize: int) -> Pieces:
        """The pieces of all rows, one span after the other.

        Examples
        --------
        >>> pieces = Pieces.cut([Span((0, 8000), 2, 70_000), Span((8, 16), 1, 2)], 4)
        >>> pieces.sizes.tolist(), pieces.row.tolist()
        ([65536, 4464, 65536, 4464, 2], [0, 0, 1, 1, 2])
        >>> pieces.arrays[:, 0].tolist()
        [0, 262144, 280000, 542144, 8]
        """
        layout = _layout(tuple(span[1:] for span in spans), itemsize)
        count = len(spans[0].arrays) if spans else 0
        first = np.array([s.arrays for s in spans], dtype=np.int64).reshape(len(spans), count)
        arrays = first[layout.span] + layout.offset[:, None]
        return cls(arrays, layout.sizes, layout.row, layout.rows, layout.whole)

    def shares(self, threads: int, cost: int = 1) -> list[slice]:
        """Pieces for each thread, with nearly the same number of weights.

        One thread where there is little to do; cost is that of a weight, see `Loop`.
        """
        count = min(threads, len(self.sizes))
        total = int(self.sizes.sum()) if count > 1 else 0
        if total * cost < _LEAST_FOR_THREADS:
            return [slice(0, len(self.sizes))]
        done = np.cumsum(self.sizes)
        inner = np.searchsorted(done, total * np.arange(1, count) / count)
        ends = [0, *inner.tolist(), len(self.sizes)]
        return [slice(*pair) for pair in pairwise(ends)]


class _Layout(NamedTuple):
    """Of spans of given shapes the pieces: their span, the bytes after its start, the rest."""

    span: np.ndarray
    offset: np.ndarray
    sizes: np.ndarray
    row: np.ndarray
    rows: int
    whole: bool


@lru_cache(maxsize=64)  # a training has the same at every step; nobody writes to the arrays
def _layout(shapes: tuple[tuple[int, int], ...], itemsize: int) -> _Layout:
    rows, columns = np.array(shapes, dtype=np.int64).reshape(-1, 2).T
    in_row = -(-columns // _LONGEST_PIECE)
    counts = rows * in_row
    span = np.repeat(np.arange(len(shapes)), counts)
    number = np.arange(len(span)) - (np.cumsum(counts) - counts)[span]  # in the span
    row, place = np.divmod(number, in_row[span])
    start = place * _LONGEST_PIECE
    row_of_all, total = row + (np.cumsum(rows) - rows)[span], int(rows.sum())
    return _Layout(
        span,
        offset=(row * columns[span] + start) * itemsize,
        sizes=np.minimum(columns[span] - start, _LONGEST_PIECE),
        row=row_of_all,
        rows=total,
        whole=np.array_equal(row_of_all, np.arange(total)),
    )


class WeightKernel:
    """The loops of one precision, in a library built at the first use on a machine.

    Results do not depend on the number of threads.

    Raises
    ------
    DTypeError
        If there are none for this type.
    KernelUnavailableError
        If they cannot be built; the message says why.
    """

    def __init__(self, dtype: str) -> None:
        if dtype not in DTYPES:
            raise DTypeError(f"kernels on weights are for {' and '.join(DTYPES)}, not {dtype}")
        self.dtype = dtype
        self.source = emit_weights(dtype)
        self._library = load(self.source, f"for weights ({dtype})", list(loops()))
        self._functions = {name: self._function(name) for name in loops()}

    def _function(self, name: str) -> Callable[..., None]:
        function = self._library.handle[name]
        function.restype = None
        function.argtypes = (ctypes.c_int64, *(ctypes.c_void_p,) * 4)
        return function

    def sums(
        self, name: str, pieces: Pieces, *numbers: np.ndarray, threads: int | None = None
    ) -> np.ndarray:
        """Sums over every row.

        Parameters
        ----------
        name : str
            One of `loops` that adds up.
        pieces : Pieces
            Of arrays of this precision; nothing else keeps them alive here.
        *numbers : (rows,)
            See `Loop`.
        threads : int, optional
            See ``thread_count``.

        Returns
        -------
        (rows, sums), float64

        Raises
        ------
        UnknownNameError
            If there are no such sums.
        """
        _check_name(name, [key for key, loop in loops().items() if not loop.written])
        result = np.empty((len(pieces.sizes), len(loops()[name].outputs)))
        self._run(name, pieces, numbers, result, threads)
        if pieces.whole:
            return result
        return np.stack(
            [np.bincount(pieces.row, column, pieces.rows) for column in result.T], axis=-1
        )

    def write(
        self, name: str, pieces: Pieces, *numbers: np.ndarray, threads: int | None = None
    ) -> None:
        """Write the results of a loop to the arrays for them; arguments as of `sums`."""
        _check_name(name, [key for key, loop in loops().items() if loop.written])
        self._run(name, pieces, numbers, np.empty((len(pieces.sizes), 0)), threads)

    def _run(
        self,
        name: str,
        pieces: Pieces,
        numbers: Sequence[np.ndarray],
        out: np.ndarray,
        threads: int | None,
    ) -> None:
        loop, function = loops()[name], self._functions[name]
        if not len(pieces.sizes):
            return
        if len(numbers) != len(loop.numbers) or pieces.arrays.shape[1] < len(loop.arrays):
            raise InvalidArgumentError(
                f"the loop {name!r} takes the arrays {', '.join(loop.arrays)} and the numbers "
                f"{', '.join(loop.numbers)}; got {pieces.arrays.shape[1]} arrays and "
                f"{len(numbers)} numbers"
            )
        of_rows = np.empty((pieces.rows, len(numbers)))
        for k, values in enumerate(numbers):
            of_rows[:, k] = values
        addresses = np.ascontiguousarray(pieces.arrays[:, : len(loop.arrays)])
        of_pieces = of_rows if pieces.whole else of_rows[pieces.row]
        arrays = (addresses, pieces.sizes, of_pieces, out)

        def share(part: slice) -> None:
            function(part.stop - part.start, *(_address(a, part.start) for a in arrays))

        shares = pieces.shares(thread_count(threads), loop.cost)
        if len(shares) == 1:
            share(shares[0])
        else:
            list(pool(len(shares)).map(share, shares))


def _address(array: np.ndarray, start: int) -> int:
    """Of the entry ``start`` along the first axis: quicker than that of a slice."""
    return int(array.__array_interface__["data"][0] + start * array.strides[0])


def _check_name(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UnknownNameError("loop", name, tuple(known))


@cache
def weight_kernel(dtype: str) -> WeightKernel:
    """The kernel of a precision, made once in a process.

    Raises
    ------
    DTypeError, KernelUnavailableError
        See `WeightKernel`.

    Examples
    --------
    >>> import numpy as np
    >>> x, v = np.asarray([0.5, -0.3]), np.asarray([1.0, 2.0])
    >>> pieces = Pieces.cut([Span((x.ctypes.data, v.ctypes.data), 1, 2)], 8)
    >>> weight_kernel("float64").sums("solve", pieces, np.ones(1)).shape  # doctest: +SKIP
    (1, 3)
    """
    return WeightKernel(dtype)


__all__ = ["DTYPES", "Pieces", "Span", "WeightKernel", "emit_weights", "weight_kernel"]
