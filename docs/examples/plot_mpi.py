"""
Many processes: what a step costs before it is run
==================================================

``riemann_lne_mpi`` cuts a grid into blocks, one for each process, with the same result to the
last bit on any number of them. Before a cluster is asked for, ``plan`` says what a flow needs.

Predicted, for blocks of ``m^3`` points: memory falls as one over the number of processes, the
halo that a right-hand side exchanges as its power 2/3, once all axes are cut. Computed: both for
a flow on 512^3 points, from 2 to 4096 processes, and the blocks that ``distribute`` chooses.
"""

import matplotlib.pyplot as plt
import numpy as np

import riemann_lne as rl
import riemann_lne_mpi as rlm

grid = rl.Grid.torus((512, 512, 512))
sizes = 2 ** np.arange(1, 13)
plans = [rlm.plan(grid, int(size), method="rkl2") for size in sizes]
for size, plan in zip(sizes[::3], plans[::3], strict=True):
    print(
        f"{size:5d} processes: blocks {plan.layout.dims}, "
        f"{plan.memory / 2**20:9.0f} MiB each, halo {plan.halo_bytes / 2**20:6.1f} MiB"
    )
cut = np.array([min(plan.layout.dims) > 1 for plan in plans])
slope = np.polyfit(np.log(sizes[cut]), np.log([p.halo_bytes for p in np.array(plans)[cut]]), 1)[0]
print(f"halo where all axes are cut: power {slope:.2f}, predicted {-2 / 3:.2f}")

# %%
# The program of such a flow is that of one process with two names changed; mpiexec starts it::
#
#     grid = rlm.distribute(rl.Grid.torus((512, 512, 512)))
#     g = rl.perturbed_euclidean(grid, amplitude=0.2, seed=1)
#     rlm.solve_flow(g, rl.RicciDeTurckFlow(), (0, 1), "rkl2", store="run.zarr")
#
#     mpiexec -n 64 python flow.py

# %%
# On the right, the share of a block's points that its neighbours hold too: what communication costs
# against work.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.loglog(sizes, [p.memory / 2**30 for p in plans], "o-", label="memory of a process")
left.loglog(sizes, [p.halo_bytes / 2**30 for p in plans], "s-", label="halo of a right-hand side")
left.axhline(16, color="0.4", linestyle="--", linewidth=1, label="16 GiB")
left.set(xlabel="processes", ylabel="GiB", title="512$^3$ points, rkl2")
left.legend(frameon=False)

share = [p.halo_points / p.block_points for p in plans]
right.semilogx(sizes, 100 * np.array(share), "o-", base=2)
for size, value, plan in list(zip(sizes, share, plans, strict=True))[::2]:
    right.annotate(
        " x ".join(map(str, plan.layout.dims)), (size, 100 * value), fontsize="x-small",
        xytext=(4, -10), textcoords="offset points",
    )  # fmt: skip
right.set(
    xlabel="processes",
    ylabel="halo over block (%)",
    title="Blocks, and their halos",
    xlim=(1.5, 2**13.5),
)
plt.show()
