"""The same bits on 1, 2, 3 and 4 processes, in blocks of every shape, as from the core on one.

Looked at: rk4, tsit5, bs32, rkl2, etdrk4; plain and fused kernels of orders 2, 4 and 6 and with
Fourier derivatives; 2 to 4 axes, periodic, driven, held, reflecting and free; Ricci, Ricci-DeTurck
and normalised flow, backgrounds that are functions and fields; events, observables, dense output;
single precision; Fourier derivatives, Ricci flow by way of the DeTurck flow between mirrors and on
tori.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import riemann_lne as rl

from .cases import CASES, digest
from .conftest import HERE

QUICK = [
    "plain rkl2", "etdrk4", "etdrk4, 2-D", "fused rkl2, 2-D", "channel, fused", "normalised",
    "fourier, 2-D", "fourier, fused", "gauge, mirrors",
]  # fmt: skip


def compare(mpirun: Any, folder: Path, size: int, most: int, names: list[str]) -> None:
    done = mpirun(size, HERE / "worker_bits.py", folder / "found.json", most, *names)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((folder / "found.json").read_text())
    expected = {name: digest(CASES[name](rl.solve_flow, lambda grid: grid)) for name in names}
    compared = 0
    for key, result in found.items():
        name = key.partition(" (")[0].removesuffix(" None")
        if "too thin" in result:
            continue
        assert result == expected[name], f"{key} on {size} processes"
        compared += 1
    assert compared >= len(names)


def test_bits_do_not_depend_on_the_number_of_processes(mpirun: Any, tmp_path: Path) -> None:
    compare(mpirun, tmp_path, 3, 0, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_bits_in_blocks_of_every_shape(mpirun: Any, tmp_path: Path, size: int) -> None:
    compare(mpirun, tmp_path, size, 12, list(CASES))
