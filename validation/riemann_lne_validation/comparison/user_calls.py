"""Calls of users' functions: random states are seeded before, and a failure names the member."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch

from riemann_lne.errors import RiemannLNEError

from .contracts import ContractError

__all__ = ["UNPAIRED", "asked", "attempted", "seed_all", "seeded"]

# Behind "gives other ... when it is called once more".
UNPAIRED = (
    "and arms would no longer be paired: draw them from torch, numpy.random or random, whose "
    "states are set before, or from a seeded generator"
)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global random states of PyTorch, NumPy and Python set by a seed, and put back after."""
    # the legacy state of NumPy: a user's functions may draw from it
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            seed_all(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(state)


def seed_all(seed: int) -> None:
    """Seed the global random states of PyTorch, NumPy and Python, from which a user's code draws.

    >>> import random
    >>> from riemann_lne_validation.comparison.user_calls import seed_all
    >>> seed_all(3)
    >>> first = random.random()
    >>> seed_all(3)
    >>> random.random() == first
    True
    """
    if _has_accelerator():
        torch.manual_seed(seed)
    else:  # the same; the other notes from where, for devices that are not there: a hundredfold
        torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


@cache
def _has_accelerator() -> bool:
    """Whether PyTorch has a device beside the host, with a random state of its own."""
    known = getattr(torch, "accelerator", None)  # since 2.6
    return known is None or bool(known.is_available())


def attempted(call: Callable[[], Any], refusal: Callable[[str], Exception]) -> Any:
    """Result of a function of the user's; a failure is told in words by an error of ours."""
    try:
        return call()
    except RiemannLNEError:
        raise
    except (Exception, SystemExit) as error:
        raise refusal(" ".join(f"{type(error).__name__}: {error}".split())[:300]) from error


def asked(kind: str, name: str, member: str, call: Callable[[], Any], where: str = "") -> Any:
    """Result of a member of a contract; a failure names it.

    Raises
    ------
    ContractError
        If the call ends with any error that is not one of the package's own.
    """
    return attempted(
        call, lambda reason: ContractError(kind, name, member, f"fails{where} ({reason})")
    )
