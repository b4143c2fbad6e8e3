"""mpi4py, imported when it is first used, and what is wrong where it cannot be."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from riemann_lne.errors import MissingDependencyError, RiemannLNEError

# Set by the launchers of MPICH, Open MPI and Slurm for each process: how many there are.
_COUNTS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")


class NoMPIError(RiemannLNEError, RuntimeError):
    """mpi4py is installed, but no MPI library that it could load."""


@cache
def mpi() -> Any:
    """The module ``mpi4py.MPI``; MPI begins when it is first imported.

    Raises
    ------
    MissingDependencyError
        If mpi4py is not installed; the message has the command that installs it.
    NoMPIError
        If there is no MPI library.
    """
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise MissingDependencyError("mpi4py", "mpi", "riemann_lne_mpi", error) from error
    except RuntimeError as error:
        raise NoMPIError(
            f"mpi4py finds no MPI library ({error}); on a cluster load its module, on a laptop: "
            "run pip install mpich"
        ) from error
    return MPI


def launched() -> int:
    """How many processes an MPI launcher says that it started; 0 if there was no launcher."""
    for name in _COUNTS:
        value = os.environ.get(name, "")
        if value.isdecimal():
            return int(value)
    return 0
