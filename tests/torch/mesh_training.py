"""FSDP2 over tensor parallelism, weights that are shared, and what sharded models are refused.

`distributed_training.py` runs this on its two processes; python mesh_training.py RANK FOLDER WORLD
is one of four, with which both axes of the mesh cut the weights.
"""

import os
import sys
import warnings
from pathlib import Path

STEPS = 3
CASES = [
    {"block": block, "metric": metric, "tau": tau, "target": 0.4}
    for block, metric, tau in (
        ("layer", "lne", 0.1),
        ("layer", "lne", "auto"),
        ("layer", "flowed", "auto"),
        ("layer", "hessian", 0.1),
        ("network", "lne", "auto"),
        ("network", "flowed", 0.1),
    )
]
BY_CHANNEL = [
    {"block": "channel", "metric": metric, "tau": tau, "target": 0.4, "select": ("0", "4")}
    for metric, tau in (("lne", "auto"), ("flowed", 0.1))
]
# The maximum, mean and channels of a quantiser are those of all processes of the axis "tp".
QUANTISERS = {
    "bits": {"weight_bits": 2},
    "scale": {"weight_scale": "mean"},
    "channels": {"estimator": "ede"},
}


def key(options):
    return "-".join(str(v) for v in options.values())


def data(rows=slice(None)):
    import torch

    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    return x[rows], torch.randn(8, 2, generator=generator, dtype=torch.float64)[rows]


def make_float():
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Linear(n, m) for n, m in ((4, 8), (8, 4), (4, 2))]
    model = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2])
    return model.double()


def make(prepare=lambda model: model, **config):
    """A model of three layers, of which two are made parallel before they are quantised."""
    from riemann_lne_torch import QuantConfig, quantize_

    return quantize_(prepare(make_float()), QuantConfig(**config))


def parallel(mesh):
    """The first layer cut by output channels, the second by inputs, the third whole."""
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    return lambda model: parallelize_module(model, mesh, plan)


def sharded(mesh, **config):
    """The same over the axis "tp" of the mesh, and sharded by FSDP2 over the axis "dp"."""
    from torch.distributed.fsdp import fully_shard

    model = make(parallel(mesh["tp"]), **config)
    for layer in model:
        fully_shard(layer, mesh=mesh["dp"])
    return fully_shard(model, mesh=mesh["dp"])


def whole(p):
    value = p.detach()
    return value.full_tensor() if hasattr(value, "full_tensor") else value.clone()


def train(model, options, rows=slice(None), inputs=None):
    import torch

    from riemann_lne_torch import LNECorrector

    x, y = data(rows) if inputs is None else inputs
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    corrector = None
    if options is not None:
        corrector = LNECorrector(model, **options)
        corrector.attach(optimizer)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    told = {} if corrector is None else corrector.statistics
    return {
        "parameters": {n.removeprefix("module."): whole(p) for n, p in model.named_parameters()},
        "statistics": {n.removeprefix("module."): s.as_dict() for n, s in told.items()},
    }


def meshes(world):
    """Results on a mesh of every shape, and of one process."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    # torch's own: of layers that are parallel, whose output is a view
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    found = {"plain": train(make(), None)}
    for options in CASES + BY_CHANNEL:
        found["one", key(options)] = train(make(), options)
    for name, config in QUANTISERS.items():
        found["one", name] = train(make(**config), {})
    for shape in [(1, 2)] if world == 2 else [(4, 1), (2, 2)]:
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=("dp", "tp"))
        rows = slice(dist.get_rank() // shape[1], None, shape[0])
        model = sharded(mesh)
        found["placements", shape] = [
            [str(placement) for placement in p.placements]
            for name, p in model.named_parameters()
            if name.endswith("original")
        ]
        for options in CASES + BY_CHANNEL:
            found[shape, key(options)] = train(sharded(mesh), options, rows)
        for name, config in QUANTISERS.items():
            found[shape, name] = train(sharded(mesh, **config), {}, rows)
    # without FSDP
    mesh = init_device_mesh("cpu", (world,), mesh_dim_names=("tp",))
    for options in CASES[:2]:
        found["tensor parallel", key(options)] = train(make(parallel(mesh)), options)
    return found


def tied_model():
    import torch

    from riemann_lne_torch import QuantConfig, quantize_

    torch.manual_seed(0)
    first, last = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    last.weight = first.weight
    model = torch.nn.Sequential(
        first, torch.nn.Tanh(), last, torch.nn.Tanh(), torch.nn.Linear(4, 2)
    )
    return quantize_(model.double(), QuantConfig(weight_bits=1))


def tied(rank, world):
    """Two layers that share a weight: one process, DDP, FSDP2."""
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    found = {}
    rows = slice(rank, None, world)
    for tau in (0.1, "auto"):
        options = {"tau": tau, "target": 0.4}
        found["plain", tau] = train(tied_model(), None)
        found["one", tau] = train(tied_model(), options)
        found["ddp", tau] = train(DistributedDataParallel(tied_model()), options, rows)
        found["fsdp", tau] = train(fully_shard(tied_model()), options, rows)
    return found


def gated(rank, world, group=True):
    """The weights of a replica under DDP after steps with a gate."""
    import torch
    from torch.nn.parallel import DistributedDataParallel

    from riemann_lne_torch import QuantConfig, RicciFlowRegularizer, quantize_

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Linear(8, 3))
    quantize_(model, QuantConfig(weight_bits=1))
    replica = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loss = torch.nn.functional.cross_entropy
    penalty = RicciFlowRegularizer(
        model, loss, step=0.05, derivative="none", gate="soft", eps=1e-6, group=group
    )
    penalty.attach(optimizer)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 1, 4, 4, generator=generator)[rank::world]
    y = torch.arange(8)[rank::world] % 3
    for _ in range(STEPS):
        optimizer.zero_grad()
        penalty(x, y)
        loss(replica(x), y).backward()
        optimizer.step()
    return {
        "weights": [p.detach().clone() for p in model.parameters()],
        "gated": penalty.gated_fraction,
    }


def refusals():
    """The error of every use of a sharded model that is refused, by name."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

    from riemann_lne_torch import (
        FCGrad,
        LNECorrector,
        MultiFC,
        QuantConfig,
        RicciFlowRegularizer,
        dequantize_,
        finalize_,
        quantize_,
    )
    from riemann_lne_torch.estimators import LNE, estimate

    world = torch.distributed.get_world_size()
    mesh = init_device_mesh("cpu", (world,))
    both = sharded(init_device_mesh("cpu", (1, world), mesh_dim_names=("dp", "tp")))
    alone = make(parallel(mesh))
    one = fully_shard(make())
    transposed = fully_shard(torch.nn.ConvTranspose1d(2, 4, 2).double())
    matrix = torch.ones(4, 4)
    partial = DTensor.from_local(matrix, mesh, [Partial()]).requires_grad_()
    moved = distribute_tensor(matrix, mesh, [Shard(0)]).requires_grad_()
    moved.grad = distribute_tensor(matrix, mesh, [Replicate()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what FSDP1 says of itself
        cpu = torch.device("cpu")
        old = {
            original: FullyShardedDataParallel(make(), device_id=cpu, use_orig_params=original)
            for original in (True, False)
        }

    def sgd(model):
        return torch.optim.SGD(model.parameters(), lr=0.1)

    def loss(output, y):
        return (output - y).square().mean()

    calls = {
        "channels cut by FSDP2": lambda: LNECorrector(transposed, select="all", block="channel"),
        "channels cut by both": lambda: LNECorrector(both, block="channel"),
        "partial sums": lambda: LNECorrector([("w", partial)]),
        "gradient of another layout": LNECorrector([("w", moved)], 0.1).correct_,
        "an optimiser made before": lambda: LNECorrector(one).attach(sgd(make())),
        "an LNE estimator": lambda: quantize_(
            parallel(mesh)(make_float()), QuantConfig(estimator="lne")
        ),
        "an LNE estimator by hand": lambda: torch.autograd.grad(
            estimate(moved, LNE()).full_tensor().sum(), moved
        ),
        "quantize_": lambda: quantize_(fully_shard(torch.nn.Linear(4, 4))),
        "dequantize_": lambda: dequantize_(one),
        "finalize_": lambda: finalize_(both),
    }
    for name, model in (("FSDP2", one), ("both", both), ("tensor parallelism", alone)):
        calls[f"regulariser, {name}"] = lambda model=model: RicciFlowRegularizer(model, loss)
        calls[f"FCGrad, {name}"] = lambda model=model: FCGrad(sgd(model), model)
        calls[f"MultiFC, {name}"] = lambda model=model: MultiFC(sgd(model), model)
    for original, model in old.items():
        calls[f"FSDP1, {original}"] = lambda model=model: LNECorrector(model)
        calls[f"FSDP1's module, {original}"] = lambda model=model: LNECorrector(model.module)
        calls[f"FSDP1's parameters, {original}"] = lambda model=model: LNECorrector(
            list(model.parameters())
        )
        calls[f"FSDP1, regulariser, {original}"] = lambda model=model: RicciFlowRegularizer(
            model, loss
        )
    found = {}
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
        else:
            found[name] = "no error"
    return found


def main(rank, folder, world):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world
    )
    torch.save(meshes(world), Path(folder) / f"results-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
