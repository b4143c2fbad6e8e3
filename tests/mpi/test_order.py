"""The inside of a block is computed while its halo travels: by the order of calls, not by time."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from .conftest import HERE


def test_the_inside_is_computed_between_the_sending_of_a_halo_and_the_first_look_at_it(
    mpirun: Any, tmp_path: Path
) -> None:
    """On every process: fused, cut along the first axis (no copies) or the last; plain, by tiles.

    Tiles are never cut along the last axis: where that one is, a plain block is all rim.
    """
    done = mpirun(2, HERE / "worker_order.py", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 3
    for line in lines:
        for log in line["logs"]:
            names = [name for name, _ in log]
            starts = [k for k, name in enumerate(names) if name == "begin"]
            assert len(starts) >= 8, line["case"]  # two steps of four stages
            for first, end in pairwise([*starts, len(log)]):
                part = log[first + 1 : end]
                if not part:  # an exchange that nobody looked at
                    continue
                what = [name for name, _ in part]
                looked = what.index("halo")
                assert set(what[:looked]) == {"inside"}, (line["case"], what)
                assert "inside" not in what[looked:], (line["case"], what)
                assert "rim" in what[looked:], (line["case"], what)
                before = sum(points for _, points in part[:looked])
                assert before >= line["free"], line["case"]
