"""Flows on grids that several MPI processes share, block by block.

Start a script with ``mpiexec -n 4 python script.py``; every process runs all of it:

>>> import riemann_lne as rl
>>> import riemann_lne_mpi as rlm                                        # doctest: +SKIP
>>> grid = rlm.distribute(rl.Grid.torus((192, 192, 192)))                # doctest: +SKIP
>>> g = rl.perturbed_euclidean(grid, amplitude=0.2)                      # doctest: +SKIP
>>> solution = rlm.solve_flow(g, rl.RicciDeTurckFlow(), (0.0, 1.0))      # doctest: +SKIP

Each process holds a block of every metric. Results are the same to the last bit on any number of
processes, and the same as those of ``riemann_lne.solve_flow`` on one.
"""

from riemann_lne.team import over_blocks

from .gathering import gather, load
from .grids import BlockGrid, distribute
from .layouts import Layout, choose_dims
from .planning import Plan, plan
from .solve import solve_flow
from .team import MPITeam, world

__all__ = [
    "BlockGrid",
    "Layout",
    "MPITeam",
    "Plan",
    "choose_dims",
    "distribute",
    "gather",
    "load",
    "over_blocks",
    "plan",
    "solve_flow",
    "world",
]
