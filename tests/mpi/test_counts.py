"""What a step sends: one reduction for all that it decides, one exchange a right-hand side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .conftest import HERE

# Exchanges of a step that no right-hand side needs: an event or observable that takes curvature.
MORE = {"rkl2, events": 1, "rkl2, observables": 4, "tsit5, events": 1, "etdrk4, events": 1}
# Reductions of a step beside the one: of an event that a user wrote, and that it is the same on
# all; of all observables together.
OWN = {"rkl2, own event": 2, "rkl2, observables": 1}


def test_a_step_reduces_once_and_a_right_hand_side_exchanges_once(
    mpirun: Any, tmp_path: Path
) -> None:
    done = mpirun(2, HERE / "worker_counts.py", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 11
    for line in lines:
        name, steps = line["flow"], line["steps"]
        assert steps >= 8, line
        assert line["reductions"] == steps * (1 + OWN.get(name, 0)) + line["rejected"], line
        assert line["halos"] == line["rates"] + steps * MORE.get(name, 0), line
