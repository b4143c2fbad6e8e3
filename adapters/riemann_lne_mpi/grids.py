"""Grids that processes share: each has a block, and answers for it what the core asks of grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from riemann_lne.arrays import Array, like, namespace, to_numpy
from riemann_lne.coefficients import Order, validate_order
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.grids import Frame, Grid, summed
from riemann_lne.team import ALONE, Team

from .frames import BlockFrame, Exchange
from .layouts import Layout, checked_dims, choose_dims, extent, require_thick, slabs
from .moves import Move
from .surroundings import WholeAxis, around
from .team import MPITeam, world
from .transforms import BlockTransform


@dataclass(frozen=True)
class BlockGrid(Grid):
    """The block of a grid that this process holds; see ``distribute``.

    Everything of a grid works on it: ``axes`` and ``coordinates`` are those of the block,
    ``spacing``, ``lower``, ``upper`` and ``lengths`` those of the whole grid, ``integrate`` and
    ``mean`` those over the whole grid.

    Attributes
    ----------
    start : tuple of int
        Index of the block's first point on the whole grid.
    layout : Layout
        How the grid is cut.
    """

    of: Grid | None = None
    start: tuple[int, ...] = ()
    layout: Layout | None = None
    links: Any = field(default=None, compare=False, repr=False)
    known: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    on_its_own: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mirrors", self._faces(self.mirrors))

    @property
    def _parts(self) -> tuple[Grid, Layout, MPITeam]:
        assert self.of is not None
        assert self.layout is not None
        return self.of, self.layout, self.links

    @property
    def team(self) -> Team:
        """The processes that share the grid; this one alone for the grid of ``apart``."""
        return ALONE if self.on_its_own else self._parts[2]

    def apart(self) -> BlockGrid:
        key = ("apart", self.mirrors)
        if key not in self.known:
            self.known[key] = replace(self, on_its_own=True)
        return self.known[key]

    @property
    def whole(self) -> Grid:
        """The grid that is shared."""
        return self._parts[0]

    @property
    def spacing(self) -> tuple[float, ...]:
        return self.whole.spacing

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """From and to of the block along every axis."""
        return tuple((a, a + n) for a, n in zip(self.start, self.shape, strict=True))

    def __repr__(self) -> str:
        return f"BlockGrid({self.bounds} of {self.whole!r})"

    def axes(self) -> tuple[np.ndarray, ...]:
        return tuple(x[a:b] for x, (a, b) in zip(self.whole.axes(), self.bounds, strict=True))

    def quadrature_weights(self, order: int = 4) -> tuple[np.ndarray, ...]:
        weights = self.whole.quadrature_weights(order)
        return tuple(w[a:b] for w, (a, b) in zip(weights, self.bounds, strict=True))

    def wavevectors(self) -> tuple[np.ndarray, ...]:
        self.require_whole("wavevectors")
        return super().wavevectors()

    def touches(self, axis: int, side: int) -> bool:
        if side:
            return self.start[axis] + self.shape[axis] == self.whole.shape[axis]
        return self.start[axis] == 0

    def open_axes(self) -> tuple[bool, ...]:
        dims = self._parts[1].dims
        return tuple(d > 1 or not wraps for d, wraps in zip(dims, self.periodic, strict=True))

    def require_whole(self, what: str, instead: str = "") -> None:
        together = "take riemann_lne_mpi.gather(metric), if one process can hold the whole of it"
        raise InvalidArgumentError(
            f"{what} needs the whole grid, of which this process holds a block; "
            f"{instead or together}"
        )

    def require_stencil(self, order: Order) -> None:
        grid, layout, _ = self._parts
        order = validate_order(order)
        grid.require_stencil(order)
        if order != "fourier":  # for these whole axes are brought together
            require_thick(grid, layout, order)

    def frames(self, fields: Sequence[Array], order: int) -> list[Frame]:
        halo = None
        if self._parts[1].size > 1:
            counts = tuple(f.shape[0] for f in fields)
            exchange = self.exchange(order, counts, fields[0].dtype)
            hosts = [np.ascontiguousarray(to_numpy(f), dtype=exchange.dtype) for f in fields]
            halo = exchange.begin(hosts)
        return [BlockFrame(self, f, order, halo, k) for k, f in enumerate(fields)]

    def exchange(self, order: int, counts: tuple[int, ...], dtype: Any) -> Exchange:
        """Communicator and types of an exchange of ghost points, made once."""
        key = ("exchange", order, counts, str(dtype), self._parts[2].generation)
        if key not in self.known:
            self.known[key] = Exchange(self, order, counts, dtype)
        return self.known[key]

    def first(self) -> tuple[int, ...]:
        return self.start

    def whole_axis(self, axis: int) -> WholeAxis | None:
        return WholeAxis(self, axis) if self._parts[1].dims[axis] > 1 else None

    def around(
        self,
        field: Array,
        lowest: Sequence[float],
        highest: Sequence[float],
        points: int,
        factor: int,
    ) -> tuple[Array, tuple[int, ...]]:
        return around(self, field, lowest, highest, points, factor)

    def transform(self) -> BlockTransform:
        return BlockTransform(self)

    def move(self, source: Any, target: Any, count: int, dtype: Any) -> Move:
        """A move of arrays between ways to cut the grid, made once."""
        key = (
            "move", tuple(source), tuple(target), count, str(dtype), self._parts[2].generation
        )  # fmt: skip
        if key not in self.known:
            self.known[key] = Move(self._parts[2], source, target, count, dtype)
        return self.known[key]

    def total(self, values: Array, order: int | None = None) -> Array:
        """Sum over the whole grid, in an order that does not depend on how it is cut."""
        grid, layout, _ = self._parts
        n, lead = self.ndim, tuple(values.shape[: values.ndim - self.ndim])
        if order is not None:
            values = values * like(self.quadrature_weights(order)[-1], values)
        boxes = layout.boxes()
        if layout.dims[-1] > 1:
            rows = slabs(grid.shape, layout.size, 0)
            host = self._moved(to_numpy(values), lead, boxes, rows)
            values, boxes = like(host, values), rows
        values = namespace(values).sum(values, axis=-1)
        weights = None if order is None else grid.quadrature_weights(order)
        if n > 1:
            parts = [box[:-1] for box in boxes]
            everywhere = [tuple((0, s) for s in grid.shape[:-1])] * layout.size
            values = like(self._moved(to_numpy(values), lead, parts, everywhere), values)
        return summed(values, weights, range(n - 1))

    def _moved(self, host: np.ndarray, lead: tuple[int, ...], source: Any, target: Any) -> Any:
        flat = np.ascontiguousarray(host).reshape(-1, *extent(source[self._parts[2].rank]))
        move = self.move(source, target, flat.shape[0], flat.dtype)
        return move(flat).reshape(*lead, *extent(target[self._parts[2].rank]))

    def checksum(self, values: np.ndarray) -> int:
        """A number that depends on the values and their places, and not on how the grid is cut."""
        n = self.ndim
        flat = np.ascontiguousarray(values).reshape(-1, *self.shape)
        bits = flat.view(np.uint32 if flat.dtype.itemsize == 4 else np.uint64).astype(np.uint64)
        axes = np.meshgrid(
            *(np.arange(a, b, dtype=np.uint64) for a, b in self.bounds), indexing="ij"
        )
        place = np.zeros(self.shape, dtype=np.uint64)
        for axis, index in enumerate(axes):
            place = place * np.uint64(self.whole.shape[axis]) + index
        total = np.uint64(0)
        with np.errstate(over="ignore"):
            for c in range(flat.shape[0]):
                key = _mixed(place + np.uint64(c * self.whole.size + 1))
                total += np.sum(_mixed(bits[c] ^ key), dtype=np.uint64)
        parts = self._parts[2].listed(int(total))
        return int(_mixed(np.array([sum(parts) % 2**64 + n], dtype=np.uint64))[0] >> np.uint64(32))


def _mixed(x: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits, each bit of which depends on all (splitmix64; Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def distribute(
    grid: Grid, dims: Sequence[int] | None = None, order: int = 4, team: MPITeam | None = None
) -> BlockGrid:
    """Cut a grid into blocks, one a process; the block of this process.

    Parameters
    ----------
    grid : Grid
        The same on all processes.
    dims : sequence of int, optional
        Blocks along every axis, their product the number of processes. By default those with the
        cheapest halos for the order: along the first axes.
    order : int
        Of the differences for which ``dims`` are chosen.
    team : MPITeam, optional
        By default all processes that were started together.

    Raises
    ------
    GridTooSmallError
        If blocks would be thinner than the stencil; the message says how many fit.
    InvalidArgumentError
        If ``dims`` do not fit the number of processes, or the grid is a block already.
    MissingDependencyError
        If mpi4py is not installed.
    """
    if isinstance(grid, BlockGrid):
        raise InvalidArgumentError(
            f"{grid!r} is the block of a shared one already; give the whole grid"
        )
    grid.require_one_chart("a grid that processes share")
    team = world() if team is None else team
    with team.together():
        cut = choose_dims(grid, team.size, order) if dims is None else (
            checked_dims(grid, dims, team.size)
        )  # fmt: skip
        layout = Layout(grid.shape, cut)
        require_same_grids(team, grid, layout)
    box = layout.box(team.rank)
    team.place = f", whose block begins at grid index {tuple(low for low, _ in box)}"
    return BlockGrid(
        shape=extent(box),
        lower=grid.lower,
        upper=grid.upper,
        periodic=grid.periodic,
        mirrors=grid.mirrors,
        of=grid,
        start=tuple(low for low, _ in box),
        layout=layout,
        links=team,
    )


def require_same_grids(team: MPITeam, grid: Grid, layout: Layout) -> None:
    """Raise unless all processes cut the same grid alike."""
    here = f"{grid!r}, dims {layout.dims}"
    first = team.told(here)
    others = team.listed(here)
    wrong = [rank for rank, text in enumerate(others) if text != first]
    if wrong:
        raise InvalidArgumentError(
            f"process {wrong[0]} cuts another grid ({others[wrong[0]]}) than process 0 ({first}); "
            "all processes must run the same lines"
        )
