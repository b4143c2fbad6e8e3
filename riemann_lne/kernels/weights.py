"""Compiled loops for the LNE metric on weights that lie in pieces of the host's memory.

What `riemann_lne.lne.pieces.PieceSums` does in a dozen array operations a piece is one loop here,
over all pieces of all blocks at once: nothing is stored between reading a weight and adding to the
sums. The terms are those of `PieceSums`, run on symbols. All arithmetic is in double precision.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..errors import DTypeError, UnknownNameError
from ..lne.pieces import finished, power_terms, scale_terms, solve_terms
from ..threads import thread_count
from .build import load
from .emit import statements
from .expressions import Node, Tape
from .threads import pool
from .weights_c import FINISH, HEAD, SUMS, TANH

DTYPES = ("float32", "float64")
_REAL = {"float32": "float", "float64": "double"}

_INDENT = " " * 12
# Longer rows are cut: threads have something to share, and sums in two levels lose less.
_LONGEST_PIECE = 1 << 16
# For less than so many weights it takes longer to wake a thread than to do its share.
_LEAST_FOR_THREADS = 1 << 19


class _Loop(NamedTuple):
    """A sum over the weights of a piece: what it reads, and its terms."""

    inputs: tuple[str, ...]
    terms: tuple[Node, ...]


@cache
def loops() -> dict[str, _Loop]:
    """The sums of `PieceSums`, by name.

    Examples
    --------
    >>> sorted(loops()), loops()["solve"].inputs
    (['powers', 'scale', 'solve'], ('t', 'v'))
    """
    sums: dict[str, tuple[Callable[..., Iterator[Any]], tuple[str, ...]]] = {
        "powers": (power_terms, ("z",)),
        "scale": (scale_terms, ("z", "t")),
        "solve": (solve_terms, ("t", "v")),
    }
    found = {}
    for name, (terms, inputs) in sums.items():
        tape = Tape()
        symbols = [tape.input(key) for key in inputs]
        # a term is what it is when it is yielded: later ones may write over it
        found[name] = _Loop(inputs, tuple(term.node for term in terms(*symbols)))
    return found


def emit_weights(dtype: str) -> str:
    """The C source: one function for each of `loops`, and ``finish``."""
    parts = [HEAD.replace("{real}", _REAL[dtype]), _tanh()]
    for name, loop in loops().items():
        lines, names = statements(loop.terms, str, "vec", _INDENT)
        lines += [f"{_INDENT}sum[{k}] += {names[t.number]};" for k, t in enumerate(loop.terms)]
        parts.append(_filled(SUMS, name, loop.inputs, lines, len(loop.terms)))
    tape = Tape()
    inputs = ("t", "v", "c")
    new = finished(*(tape.input(key) for key in inputs)).node
    lines, names = statements((new,), str, "vec", _INDENT)
    lines.append(f"{_INDENT}const vec result = {names[new.number]};")
    parts.append(_filled(FINISH, "finish", inputs, lines, 0))
    return "\n".join(parts)


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


def _filled(
    template: str, name: str, inputs: Sequence[str], lines: Sequence[str], count: int
) -> str:
    loads = {
        "z": "const vec z = some(xs[p] + i, end - i) * tau;",
        "t": "const vec t = tanh_of({});",
        "v": "const vec v = some(vs[p] + i, end - i);",
    }
    z = "z" if "z" in inputs else "some(xs[p] + i, end - i) * tau"
    body = [_INDENT + loads[key].replace("{}", z) for key in inputs if key in loads]
    text = template.replace("{name}", name).replace("{count}", str(count))
    return text.replace("{body}", "\n".join([*body, *lines]))


class Span(NamedTuple):
    """Rows of weights and gradients in memory: each row follows the one before it."""

    weights: int
    """Address of the first weight."""
    gradients: int
    """Address of the first gradient."""
    rows: int
    columns: int


@dataclass(frozen=True)
class Pieces:
    """Pieces of rows, none longer than some ten thousand weights.

    Attributes
    ----------
    weights, gradients : (p,) int64
        Addresses.
    sizes : (p,) int64
    row : (p,) int64
        The row that a piece belongs to.
    rows : int
        Number of all rows, those that hold no weight included.
    """

    weights: np.ndarray
    gradients: np.ndarray
    sizes: np.ndarray
    row: np.ndarray
    rows: int

    @classmethod
    def cut(cls, spans: Iterable[Span], itemsize: int) -> Pieces:
        """The pieces of all rows, one span after the other.

        Examples
        --------
        >>> pieces = Pieces.cut([Span(0, 8000, 2, 70_000), Span(8, 16, 1, 2)], 4)
        >>> pieces.sizes.tolist(), pieces.row.tolist()
        ([65536, 4464, 65536, 4464, 2], [0, 0, 1, 1, 2])
        >>> pieces.weights.tolist()
        [0, 262144, 280000, 542144, 8]
        """
        table = np.array([*spans], dtype=np.int64).reshape(-1, 4)
        rows, columns = table[:, 2], table[:, 3]
        in_row = -(-columns // _LONGEST_PIECE)
        counts = rows * in_row
        span = np.repeat(np.arange(len(table)), counts)
        number = np.arange(len(span)) - (np.cumsum(counts) - counts)[span]  # in the span
        row, place = np.divmod(number, in_row[span])
        start = place * _LONGEST_PIECE
        offset = (row * columns[span] + start) * itemsize
        return cls(
            weights=table[span, 0] + offset,
            gradients=table[span, 1] + offset,
            sizes=np.minimum(columns[span] - start, _LONGEST_PIECE),
            row=row + (np.cumsum(rows) - rows)[span],
            rows=int(rows.sum()),
        )

    def shares(self, threads: int) -> list[slice]:
        """Pieces for each thread, with nearly the same number of weights."""
        total = int(self.sizes.sum())
        count = min(threads, len(self.sizes)) if total >= _LEAST_FOR_THREADS else 1
        if count <= 1:
            return [slice(0, len(self.sizes))]
        done = np.cumsum(self.sizes)
        inner = np.searchsorted(done, total * np.arange(1, count) / count)
        ends = [0, *inner.tolist(), len(self.sizes)]
        return [slice(*pair) for pair in pairwise(ends)]


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
        self._library = load(self.source, f"for weights ({dtype})")
        self._functions = {name: self._function(name) for name in (*loops(), "finish")}

    def _function(self, name: str) -> Callable[..., None]:
        function = self._library.handle[name]
        function.restype = None
        function.argtypes = (ctypes.c_int64, *(ctypes.c_void_p,) * 5)
        return function

    def sums(
        self, name: str, pieces: Pieces, tau: np.ndarray, threads: int | None = None
    ) -> np.ndarray:
        """Sums over every row.

        Parameters
        ----------
        name : str
            "powers", "scale" or "solve": the method of `PieceSums`.
        pieces : Pieces
            Of arrays of this precision; nothing else keeps them alive here.
        tau : (rows,)
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
        if name not in loops():
            raise UnknownNameError("sums", name, tuple(loops()))
        result = np.empty((len(pieces.sizes), len(loops()[name].terms)))
        self._run(name, pieces, tau, result, threads)
        return np.stack(
            [np.bincount(pieces.row, column, pieces.rows) for column in result.T], axis=-1
        )

    def finish(
        self,
        pieces: Pieces,
        tau: np.ndarray,
        coefficient: np.ndarray,
        threads: int | None = None,
    ) -> None:
        """Write v + c t over every v, with the tau and c of its row."""
        values = np.ascontiguousarray(coefficient, dtype=np.float64)[pieces.row]
        self._run("finish", pieces, tau, values, threads)

    def _run(
        self, name: str, pieces: Pieces, tau: np.ndarray, last: np.ndarray, threads: int | None
    ) -> None:
        scales = np.ascontiguousarray(tau, dtype=np.float64)[pieces.row]
        arrays = (pieces.weights, pieces.gradients, pieces.sizes, scales, last)
        function = self._functions[name]

        def share(part: slice) -> None:
            function(part.stop - part.start, *(a[part].ctypes.data for a in arrays))

        shares = pieces.shares(thread_count(threads))
        if len(shares) == 1:
            share(shares[0])
        else:
            list(pool(len(shares)).map(share, shares))


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
    >>> pieces = Pieces.cut([Span(x.ctypes.data, v.ctypes.data, 1, 2)], 8)
    >>> weight_kernel("float64").sums("solve", pieces, np.ones(1)).shape  # doctest: +SKIP
    (1, 3)
    """
    return WeightKernel(dtype)


__all__ = ["DTYPES", "Pieces", "Span", "WeightKernel", "emit_weights", "loops", "weight_kernel"]
