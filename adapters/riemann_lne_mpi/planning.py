"""Memory and traffic of a flow on a number of processes, before it is started."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from riemann_lne import checks
from riemann_lne.coefficients import half_width
from riemann_lne.grids import Grid
from riemann_lne.tensors import packed_size

from .layouts import Layout, checked_dims, choose_dims, neighbours, require_thick

# States, rates and stages that a method holds at once, in units of the packed metric, beside the
# start that the caller holds; a test measures them. ETDRK4 holds transforms, as large as fields.
_ARRAYS = {"rk4": 6.0, "tsit5": 9.0, "bs32": 6.0, "rkl2": 4.0, "etdrk4": 7.0}
_EVALUATIONS = {"rk4": 4, "tsit5": 6, "bs32": 3, "rkl2": None, "etdrk4": 11}
_STAGES = 9


@dataclass(frozen=True)
class Plan:
    """Memory, halo and arithmetic of a flow on each process.

    Attributes
    ----------
    layout : Layout
        How the grid is cut.
    block_points, halo_points : int
        Of the largest block, and of the ghost points around it.
    memory : int
        Bytes for the arrays of a method on a process, about.
    halo_bytes : int
        Bytes that come in with one right-hand side.
    evaluations : int
        Right-hand sides of a step ("rkl2": with 9 stages).
    transpose_bytes : int
        Bytes that come in with the transforms of a step; 0 unless the method is "etdrk4".
    """

    layout: Layout
    block_points: int
    halo_points: int
    memory: int
    halo_bytes: int
    evaluations: int
    transpose_bytes: int

    @property
    def step_bytes(self) -> int:
        """Bytes that come in with a step."""
        return self.halo_bytes * self.evaluations + self.transpose_bytes

    def lines(self) -> list[str]:
        """The plan as text."""
        shape = "x".join(map(str, self.layout.shape))
        blocks = " x ".join(map(str, self.layout.dims))
        return [
            f"grid {shape} on {self.layout.size} process{'es' * (self.layout.size > 1)}: "
            f"{blocks} block{'s' * (self.layout.size > 1)}",
            f"each process: {self.block_points} points, {self.halo_points} ghost points",
            f"memory of a process: about {human(self.memory)}",
            f"halos: {human(self.halo_bytes)} a right-hand side, {self.evaluations} of them a step",
            f"transposes: {human(self.transpose_bytes)} a step",
            f"traffic of a process: {human(self.step_bytes)} a step",
        ]


def plan(
    grid: Grid,
    size: int,
    method: str = "rkl2",
    order: int = 4,
    dims: Sequence[int] | None = None,
    itemsize: int = 8,
) -> Plan:
    """Memory and traffic of a flow on a number of processes; nothing is computed.

    Parameters
    ----------
    grid : Grid
        The whole grid.
    size : int
        Processes.
    method : str
        Integrator.
    order : int
        Of the differences.
    dims : sequence of int, optional
        Blocks along every axis; by default those of ``distribute``.
    itemsize : int
        Bytes of a number.

    Raises
    ------
    GridTooSmallError, InvalidArgumentError, UnknownNameError
        As ``distribute`` and ``solve_flow``.

    Examples
    --------
    >>> plan(Grid.torus((64, 64, 64)), 4).halo_bytes
    786432
    """
    size, method = checks.count(size, "size", least=1), checks.choice(method, "method", _ARRAYS)
    cut = choose_dims(grid, size, order) if dims is None else checked_dims(grid, dims, size)
    layout = Layout(grid.shape, cut)
    require_thick(grid, layout, order)
    components, w = packed_size(grid.ndim), half_width(order)
    block = [-(-n // d) for n, d in zip(grid.shape, cut, strict=True)]
    ghosts = 0
    # A block in the middle, which has all neighbours.
    middle = layout.rank([d // 2 for d in cut])
    for direction, _, back in neighbours(layout, grid.periodic, middle):
        if back >= 0:
            ghosts += math.prod(w if d else n for d, n in zip(direction, block, strict=True))
    points = math.prod(block)
    evaluations = _EVALUATIONS[method] or _STAGES
    moved = 0
    if method == "etdrk4":
        # Of 24 transforms of every component in a step with an estimate, each turns the slab once.
        moved = int(24 * components * points * itemsize * (1 - 1 / size))
    return Plan(
        layout=layout,
        block_points=points,
        halo_points=ghosts,
        memory=int((_ARRAYS[method] * points + ghosts) * components * itemsize),
        halo_bytes=ghosts * components * itemsize,
        evaluations=evaluations,
        transpose_bytes=moved,
    )


def human(count: float) -> str:
    """Bytes as people read them.

    Examples
    --------
    >>> human(0), human(786432), human(3 * 2**30)
    ('0 B', '768 KiB', '3 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.3g} {unit}"
        count /= 1024
    return ""
