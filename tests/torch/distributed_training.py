"""One of the processes that `test_training.py` starts: python distributed_training.py RANK FOLDER.

Every case trains the same model on the same data by DDP or FSDP2. The process of rank 0 trains it
without either as well, and writes all parameters, statistics and counts to FOLDER/results.pt.
"""

import os
import sys
from pathlib import Path

WORLD = 2
STEPS = 3
CASES = [
    {"block": block, "metric": metric, "tau": tau, "target": 0.4}
    for block in ("layer", "channel", "network")
    for metric in ("lne", "flowed", "hessian")
    for tau in (0.1, "auto")
]
WITHOUT_STATISTICS = [
    {"block": block, "metric": metric, "tau": 0.1, "target": 0.4, "statistics": False}
    for block in ("layer", "channel", "network")
    for metric in ("lne", "flowed", "hessian")
]


def key(kind, options):
    return "-".join([kind, *(str(v) for v in options.values())])


def make_model():
    import torch

    from riemann_lne_torch import QuantConfig, quantize_

    torch.manual_seed(0)
    # over two processes: 3 + 2 rows, 2 + 1 rows, and 1 + 0 rows
    layers = [torch.nn.Linear(n, m) for n, m in ((4, 5), (5, 3), (3, 1))]
    model = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2])
    return quantize_(model.double(), QuantConfig(weight_bits=1))


def make_data():
    import torch

    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    return x, torch.randn(8, 1, generator=generator, dtype=torch.float64)


def count_collectives(call):
    """All collectives that a call starts, by name, whichever way they go to the processes."""
    from torch.distributed.tensor.debug import CommDebugMode

    with CommDebugMode() as seen:
        call()
    return {str(operation): n for operation, n in seen.get_comm_counts().items()}


def train(model, options, rows, count=False):
    import torch

    from riemann_lne_torch import LNECorrector

    x, y = (part[rows] for part in make_data())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    corrector = None if options is None else LNECorrector(model, **options)
    collectives = {}
    for _ in range(STEPS):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        if corrector is None:
            pass
        elif count:
            collectives = count_collectives(corrector.correct_)
        else:
            corrector.correct_()
        optimizer.step()
    parameters = {}
    for name, p in model.named_parameters():
        value = p.detach()
        whole = value.full_tensor() if hasattr(value, "full_tensor") else value.clone()
        parameters[name.removeprefix("module.")] = whole
    told = {} if corrector is None else corrector.statistics
    statistics = {name.removeprefix("module."): s.as_dict() for name, s in told.items()}
    return {"parameters": parameters, "statistics": statistics, "collectives": collectives}


def main(rank, folder):
    import mesh_training
    import torch
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD
    )
    rows = slice(rank, None, WORLD)
    results = {}
    for options in CASES + WITHOUT_STATISTICS:
        results[key("ddp", options)] = train(
            DistributedDataParallel(make_model()), options, rows, count=True
        )
        model = make_model()
        for layer in model:
            fully_shard(layer)
        fully_shard(model)
        if options is CASES[0]:
            results["rows"] = [
                int(p.to_local().shape[0]) for n, p in model.named_parameters() if "weight" in n
            ]
        results[key("fsdp", options)] = train(model, options, rows, count=True)
        if rank == 0:
            results[key("one", options)] = train(make_model(), options, slice(None))
    if rank == 0:
        results["plain"] = train(make_model(), None, slice(None))
    results["mesh"] = mesh_training.meshes(WORLD)
    results["tied"] = mesh_training.tied(rank, WORLD)
    results["gated"] = mesh_training.gated(rank, WORLD)
    results["gated alone"] = mesh_training.gated(rank, WORLD, group=False)
    results["refusals"] = mesh_training.refusals()
    torch.save(results, Path(folder) / f"results-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    main(int(sys.argv[1]), sys.argv[2])
