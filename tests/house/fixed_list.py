"""A fixed list of small flows with the hash of each result, to show that a change moved no bit.

``python -m tests.house.fixed_list before.json`` records, and the same call after a change compares
and says what differs. Hashes hold for one machine: NumPy and the C compiler choose their
instructions by the processor, so none are kept here.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import riemann_lne as rl
from riemann_lne import exact
from riemann_lne.arrays import to_numpy

Case = tuple[str, Callable[[], rl.FlowSolution]]


def cases() -> Iterator[Case]:
    """Names, and what computes each."""
    torus = rl.perturbed_euclidean(rl.Grid.torus((16, 12)), 0.3, seed=1)
    cube = rl.perturbed_euclidean(rl.Grid.torus((8, 8, 10)), 0.2, seed=2)
    wide = rl.perturbed_euclidean(rl.Grid.torus((64, 64)), 0.2, seed=3)
    sphere = exact.round_sphere(2)
    cap = sphere.field(0.0, sphere.grid(17))
    wavy = exact.gauge_family(ndim=2, amplitude=0.3)
    gauge = wavy.field(0.0, wavy.grid(24))
    deturck = rl.RicciDeTurckFlow()

    def case(name: str, *args: Any, **options: Any) -> Case:
        return name, lambda: rl.solve_flow(*args, **options)

    for method in ("rk4", "tsit5", "bs32", "rkl2", "etdrk4"):
        for dt in (None, 0.01):
            yield case(f"{method} torus dt={dt}", torus, deturck, (0, 0.1), method, dt=dt)
        yield case(f"{method} cube", cube, deturck, (0, 0.05), method, t_eval=[0.02, 0.05])
        yield case(f"{method} fourier", torus, deturck, (0, 0.05), method, order="fourier")
        yield case(
            f"{method} dense", torus, deturck, (0, 0.1), method, t_eval=[0.03, 0.07, 0.1],
            dense_output=True,
        )  # fmt: skip
        yield case(f"{method} fused", wide, deturck, (0, 0.02), method, kernel="fused", order=2)
    for kernel in ("plain", "fused"):
        for name, flow in {
            "ricci": rl.RicciFlow(),
            "background": rl.RicciDeTurckFlow(wide),
            "scaled": rl.ScaledFlow(deturck, 0.3),
            "normalized": rl.NormalizedRicciFlow(deturck),
        }.items():
            yield case(f"{name} {kernel}", wide, flow, (0, 0.01), "tsit5", kernel=kernel)
        yield case(f"cube {kernel}", cube, deturck, (0, 0.05), "rkl2", kernel=kernel, order=6)
    for boundary in ("held", "free", sphere.metric):
        yield case(f"cap {boundary!r:.6}", cap, deturck, (0, 0.02), "rkl2", boundary=boundary)
    flow = rl.RicciFlow(gauge="deturck")
    yield case("pulled back", gauge, flow, (0, 0.3), order="fourier")
    single = rl.MetricField(torus.grid, torus.components.astype(np.float32))
    yield case("float32", single, deturck, (0, 0.1), "rkl2")
    event = rl.events.Degenerate(0.4)
    yield case("event", cap, rl.RicciFlow(), (0, 0.4), boundary=sphere.metric, events=event)
    rest = rl.events.SteadyState(0.5)
    yield case("at rest", torus, deturck, (0, 2), "etdrk4", events=rest)
    try:
        import torch
    except ImportError:
        return
    tensor = rl.MetricField(cube.grid, torch.asarray(np.array(cube.components)))
    yield case("torch", tensor, deturck, (0, 0.05), "etdrk4")


def digest(solution: rl.FlowSolution) -> str:
    """The hash of all that a solution holds, in 16 hexadecimal digits."""
    parts = [solution.t, *(to_numpy(m.packed) for m in solution.metrics), *solution.t_events]
    summary = (solution.message, solution.nfev, solution.n_accepted, solution.n_rejected)
    text = hashlib.sha256(repr(summary).encode())
    for part in parts:
        text.update(np.ascontiguousarray(part).tobytes())
    return text.hexdigest()[:16]


def main(path: Path) -> int:
    """Record, or compare with what was recorded."""
    found = {name: digest(run()) for name, run in cases()}
    if not path.exists():
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(f"recorded {len(found)} flows in {path}")
        return 0
    before = json.loads(path.read_text(encoding="utf-8"))
    wrong = [name for name in {**before, **found} if before.get(name) != found.get(name)]
    print(f"{len(found)} flows; different: {', '.join(wrong) or 'none'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
