"""`riemann-lne compare --tensorboard`, run as a user runs it and read back by TensorBoard."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra 'compare')")
events = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="tensorboard is not installed (extra 'hosts')",
)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_run_has_its_curves(jobs, tmp_path):
    words = "compare --methods ste lne-weak --seeds 2 --epochs 3 --out runs --json result.json"
    command = [str(Path(sys.executable).with_name("riemann-lne")), *words.split()]
    command += ["--tensorboard", "events", "--jobs", str(jobs)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folders = sorted(path.name for path in (tmp_path / "events").iterdir())
    assert [name.rpartition("-seed")[2] for name in folders] == ["0000", "0001"] * 2
    final = {}
    for name in folders:
        found = events.EventAccumulator(str(tmp_path / "events" / name)).Reload()
        assert {"train_loss", "train_accuracy", "accuracy"} <= set(found.Tags()["scalars"])
        scalars = found.Scalars("accuracy")
        assert [s.step for s in scalars] == [1, 2, 3]
        method = name.rpartition("-seed")[0]
        final.setdefault(method, []).append(scalars[-1].value)
    result = json.loads((tmp_path / "result.json").read_text())
    means = sorted(sum(values) / len(values) for values in final.values())
    # Percent there, a fraction here; TensorBoard keeps float32.
    expected = sorted(arm["final"]["mean"] / 100 for arm in result["arms"])
    assert means == pytest.approx(expected, rel=1e-6)
