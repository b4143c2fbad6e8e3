"""Data sets, networks, tasks, estimators and methods that a user's file brings, by the command."""

import argparse
import ast
import dataclasses
import hashlib
import json
import os
import random
import re
import shlex
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, StorageError, UnknownNameError
from riemann_lne_torch import quantized_layers, register_estimator
from riemann_lne_torch.quantize.config import QUANTIZABLE
from riemann_lne_validation.audit.frame import claim, load_claims
from riemann_lne_validation.commands import compare
from riemann_lne_validation.comparison import Dataset, Metric, Network, Task, registered
from riemann_lne_validation.comparison.checkpoints import load_tree, save_tree
from riemann_lne_validation.comparison.contracts import ContractError, Measure
from riemann_lne_validation.comparison.measurements import plain_steps, prepare
from riemann_lne_validation.comparison.methods import (
    available_methods,
    get_method,
    options_of,
    register_method,
)
from riemann_lne_validation.comparison.models import build_model
from riemann_lne_validation.comparison.paired import correct, pair
from riemann_lne_validation.comparison.problems import check_problem, problem_of
from riemann_lne_validation.comparison.protocol import Arm, default_arm
from riemann_lne_validation.comparison.registered import load_task_files
from riemann_lne_validation.comparison.runner import RunsFailedError, applicable, run_arms
from riemann_lne_validation.comparison.stored import read_summary
from riemann_lne_validation.comparison.task_template import write_template
from riemann_lne_validation.comparison.training import Run
from riemann_lne_validation.lab.networks import WEIGHTED
from riemann_lne_validation.lab.user_files import fingerprint


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What a test registers is gone after it."""
    from riemann_lne_torch.quantize.estimators import registry
    from riemann_lne_validation.comparison import methods

    registered.all_datasets()
    methods.available_methods()
    monkeypatch.setattr(sys, "path", list(sys.path))  # a file's folder is added to it
    for owner, name in (
        (registered, "_DATASETS"), (registered, "_NETWORKS"), (registered, "_ORIGINS"),
        (registered, "_LOADED"), (registry, "_REGISTRY"), (methods, "_REGISTRY"),
        (methods, "_OPTIONS"), (methods, "_SUMMARIES"), (methods, "_KINDS"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, dict(getattr(owner, name)))


def run(*words):
    parser = argparse.ArgumentParser()
    compare(parser.add_subparsers())
    arguments = parser.parse_args(["compare", *map(str, words)])
    return arguments.run(arguments)


def write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


IMAGES = '''
    """Images of 1 x 28 x 28 with three classes, and a network for them."""
    import math
    import numpy
    import torch
    from riemann_lne_torch import Estimator, register_estimator
    from riemann_lne_validation.comparison import *


    def read(folder):
        y = numpy.arange(240) % 3
        x = numpy.random.default_rng(0).integers(0, 100, (240, 1, 28, 28)).astype("uint8")
        for i, label in enumerate(y):
            x[i, :, 9 * label : 9 * label + 9] += 90
        return x, y, None, None


    register_dataset(Dataset("bands", (1, 28, 28), 3, read, {"model": "thin", "epochs": 3}))


    def build(shape, classes, width, depth):
        return torch.nn.Sequential(
            torch.nn.AvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(49, width, bias=False),
            torch.nn.BatchNorm1d(width), torch.nn.ReLU(), torch.nn.Linear(width, classes),
        )


    register_network(Network("thin", build, width=8))


    @register_estimator("wavy")
    class Wavy(Estimator):
        """Gradient times 1 + depth cos(w)."""

        def __init__(self, depth: float = 0.5):
            self.depth = depth

        def backward(self, w, q, grad, site):
            return grad * (1.0 + self.depth * torch.cos(w))
'''


def test_the_arms_of_the_package_have_the_fingerprints_they_always_had():
    """Recorded before data sets and networks were registered objects: stored runs stay valid."""
    assert default_arm("ste").digest == "c8003e46cfed"
    cifar = default_arm("dorefa", "cifar10", "adam", "resnet8", epochs=3)
    assert cifar.digest == "fceaf187bc4c"
    assert "file" not in default_arm("ste").to_dict()


def test_a_dataset_a_network_and_an_estimator_from_outside_the_package(tmp_path, capsys):
    """Images of 1 x 28 x 28, through the command, with an option of the estimator."""
    path = write(tmp_path, IMAGES)
    words = ["--tasks", path, "--methods", "ste", "wavy", "--set", "wavy.depth=0.25", "--seeds", 2]
    words += ["--jobs", 1, "--out", tmp_path / "runs", "--json", tmp_path / "r.json"]
    assert run(*words) == 0
    results = json.loads((tmp_path / "r.json").read_text())
    arms = {a["label"]: a for a in results["arms"]}
    assert arms["wavy"]["arm"]["options"] == {"depth": 0.25}
    assert arms["wavy"]["arm"]["file"]
    assert arms["wavy"]["final"]["mean"] > 60  # a third by chance
    capsys.readouterr()
    assert run("--tasks", path, "--list") == 0
    out = capsys.readouterr().out
    assert "  wavy\n      Gradient times 1 + depth cos(w).\n      options: depth=0.5" in out
    assert "  bands" in out
    assert "  thin" in out


def test_an_estimator_is_at_once_a_method_with_the_options_of_its_constructor(tmp_path):
    load_task_files([write(tmp_path, IMAGES)])
    assert options_of("wavy")["depth"] == 0.5
    assert get_method("wavy", {"depth": 2.0}).estimator().depth == 2.0
    with pytest.raises(UnknownNameError, match=r"option of method 'wavy' 'deep'.*depth"):
        get_method("wavy", {"deep": 2.0})


class TestNames:
    """A name that is taken or empty is refused: what has it would be measured, and not what is
    registered.

    Looked at: data sets, networks, tasks and metrics (`TestContracts`), estimators and methods of
    the comparison, claims; integrators have their own test.
    """

    @pytest.mark.parametrize("name", ["lookahead", "lne-fisher", "rf-dnn"])
    def test_an_estimator_with_the_name_of_a_method(self, tmp_path, name):
        path = write(tmp_path, IMAGES.replace('"wavy"', f'"{name}"'))
        message = rf"mine.py: the estimator '{name}' has the name of a method of the package \("
        with pytest.raises(InvalidArgumentError, match=message):
            run("--tasks", path, "--methods", name, "--out", tmp_path / "runs")

    def test_a_method_with_the_name_of_an_estimator_of_the_package(self, tmp_path):
        mine = """
            from riemann_lne_validation.comparison.methods import Method, register_method

            @register_method("dorefa")
            class Mine(Method):
                pass
        """
        with pytest.raises(InvalidArgumentError, match=r"line 4.*'dorefa' is registered already"):
            load_task_files([write(tmp_path, mine)])

    def test_an_estimator_and_a_method_of_one_file_may_share_a_name(self, tmp_path):
        """As clipped-ste of the package does: the method is what is measured."""
        mine = textwrap.dedent(IMAGES) + textwrap.dedent("""
            from dataclasses import dataclass
            from riemann_lne_validation.comparison.methods import Method, register_method

            @register_method("wavy")
            @dataclass
            class Mine(Method):
                deep: float = 1.0
        """)
        load_task_files([write(tmp_path, mine)])
        assert options_of("wavy") == {"deep": 1.0}
        assert registered.origin_of(method="wavy")
        assert not registered.origin_of(method="ste")

    @pytest.mark.parametrize("name", ["", " ", " wavy", None])
    def test_an_empty_name(self, name):
        with pytest.raises(InvalidArgumentError, match=r"name of the estimator = .*not empty"):
            register_estimator(name)
        with pytest.raises(InvalidArgumentError, match=r"name of the method = .*not empty"):
            register_method(name)
        with pytest.raises(InvalidArgumentError, match=r"id of the claim = .*not empty"):
            claim(name, "Section 1", {}, guard=lambda backend: [])


def test_the_splits_of_a_users_dataset_are_fixed_and_disjoint(tmp_path):
    load_task_files([write(tmp_path, IMAGES)])
    arm = default_arm("ste", "bands")
    assert (arm.model, arm.width, arm.epochs) == ("thin", 8, 3)
    both = problem_of(arm).samples(0)
    tuning = problem_of(default_arm("ste", "bands", split="validation")).samples(0)
    assert (len(both.train), len(both.held_out)) == (192, 48)
    assert (len(tuning.train), len(tuning.held_out)) == (173, 19)
    x = both.normalise(both.train)
    assert abs(float(x.mean())) < 1e-5
    assert abs(float(x.std()) - 1.0) < 1e-3
    rows = torch.cat([t.flatten(1) for t in (both.train, both.held_out)])
    assert len(torch.unique(rows, dim=0)) == 240


SHORT = """
    import torch
    from riemann_lne_validation.comparison import Metric, Task, register_task

    WEIGHTS = torch.linspace(-1, 1, 6)[:, None]

    def model():
        return torch.nn.Sequential(
            torch.nn.Linear(6, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(),
            torch.nn.Linear(16, 1))

    def data(seed):
        x = torch.randn(300, 6, generator=torch.Generator().manual_seed(seed))
        y = torch.tanh(x @ WEIGHTS)
        return {"train": [(x[:100], y[:100]), (x[100:150], y[100:150])],
                "validation": (x[150:200], y[150:200]), "test": (x[200:].numpy(), y[200:])}

    def error(output, target):
        return (output - target).square().mean(1)

    register_task(Task(
        "regression", model, data, loss=torch.nn.functional.mse_loss,
        metric=Metric("squared error", error, better="lower", unit="", factor=1.0),
        defaults={"epochs": 4, "batch_size": 25, "learning_rate": 0.05,
                  "weight_scale": "mean-channel", "quantize_last": False}))
"""


def test_a_task_in_under_40_lines_with_a_metric_that_is_to_be_small(tmp_path, capsys):
    assert len(SHORT.strip().splitlines()) < 40
    path = write(tmp_path, SHORT)
    words = ["--tasks", path, "--methods", "ste", "full-precision", "last-bit", "--seeds", 3]
    words += ["--jobs", 1, "--out", tmp_path / "runs", "--json", tmp_path / "r.json"]
    words += ["--report", tmp_path / "page"]
    assert run(*words) == 0
    out = capsys.readouterr().out
    assert "lower is better" in out
    assert out.startswith("Noise floor: last-bit differs from ste by ")
    summary = read_summary(tmp_path / "r.json")
    assert summary.measure == Measure("squared error", "lower", "", 1.0)
    assert summary.floor.seeds == 3
    assert [c.arm for c in summary.comparisons] == ["full-precision"]  # noise is no hypothesis
    found = summary.comparisons[0].last
    assert found.description.mean < 0  # floats fit better
    assert found.direction == 1
    assert not summary.arm("ste").hits
    assert "squared error" in (tmp_path / "page" / "index.html").read_text()


def test_a_changed_file_is_another_run(tmp_path):
    load_task_files([write(tmp_path, SHORT)])
    before = default_arm("ste", "regression").digest
    load_task_files([write(tmp_path, SHORT)])  # the same once more
    assert default_arm("ste", "regression").digest == before
    load_task_files([write(tmp_path, SHORT.replace("16", "17"))])
    assert default_arm("ste", "regression").digest != before
    assert problem_of(default_arm("ste", "regression")).build(0)[0].out_features == 17


def test_a_record_is_read_without_the_file(tmp_path):
    load_task_files([write(tmp_path, SHORT)])
    stored = default_arm("ste", "regression").to_dict()
    del registered._DATASETS["regression"]
    registered._ORIGINS.clear()
    assert Arm.from_dict(stored).to_dict() == stored
    with pytest.raises(UnknownNameError, match="regression"):
        default_arm("ste", "regression")


def test_the_template_runs_as_it_stands(tmp_path, capsys):
    path = tmp_path / "new.py"
    assert run("--new-task", path) == 0
    assert len(path.read_text().splitlines()) < 40
    words = ["--tasks", path, "--methods", "ste", "proxquant", "--seeds", 1, "--epochs", 1]
    assert run(*words, "--jobs", 1, "--out", tmp_path / "runs", "--json", tmp_path / "r.json") == 0
    out = capsys.readouterr().out
    assert "proxquant was skipped: method 'proxquant' makes weights -1 and 1" in out
    assert "Noise floor: not measured" in out
    assert read_summary(tmp_path / "r.json").skipped.keys() == {"proxquant"}
    assert "Nothing to compare: give another method" in out
    assert "Paired differences" not in out
    with pytest.raises(InvalidArgumentError, match="there is a file"):
        write_template(path)
    with pytest.raises(InvalidArgumentError, match=r"ends in \.py"):
        write_template(tmp_path / "new.txt")


@pytest.mark.parametrize(
    "name",
    ["my new task.py", 'quoted "".py', "back\\slash.py", os.fsdecode(b"caf\xe9.py"), "tä.py"],
)
def test_the_template_takes_any_name_of_a_file(tmp_path, name, capsys):
    path = tmp_path / name
    assert run("--new-task", path) == 0
    line = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    shown = shlex.split(line.partition("--tasks ")[2])[0]
    assert shown == os.fsencode(name).decode("utf-8", "replace")
    told = capsys.readouterr().out.partition("try: ")[2]
    assert told.strip().isprintable()
    if name.isprintable():
        assert str(path) in shlex.split(told)


@pytest.mark.slow
def test_workers_know_the_tasks_of_files(tmp_path):
    path = write(tmp_path, SHORT)
    words = ["--tasks", path, "--methods", "ste", "--seeds", 2, "--epochs", 1, "--jobs", 2]
    assert run(*words, "--out", tmp_path / "runs") == 0


SECOND = """
register_task(Task(name="regression", model=model, data=data))
"""
GOOD_TASK = {"name": "t", "model": lambda: None, "data": lambda seed: {}}
GOOD_DATASET = {"name": "d", "shape": (1, 28, 28), "classes": 3, "read": lambda folder: None}


HALF = """
    import torch
    from riemann_lne_validation.comparison import Task, register_task

    def model():
        net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
        return net.to(torch.bfloat16)

    def data(seed):
        x = torch.randn(300, 8, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
        y = x[:, :4].argmax(1)
        parts = {"train": slice(200), "validation": slice(200, 250), "test": slice(250, 300)}
        return {name: (x[part], y[part]) for name, part in parts.items()}

    register_task(Task(name="half", model=model, data=data, defaults={"epochs": 2}))
"""


def _embedding_and_transposed():
    nn = torch.nn
    return nn.Sequential(
        nn.Embedding(7, 6), nn.Linear(6, 6), nn.ConvTranspose1d(4, 5, 3), nn.Flatten(),
        nn.Linear(40, 3),
    )  # fmt: skip


def _numbers(seed):
    x = torch.randint(7, (90, 4), generator=torch.Generator().manual_seed(0))
    y = x[:, 0] % 3
    parts = {"train": slice(40), "validation": slice(40, 60), "test": slice(60, 90)}
    return {name: (x[part], y[part]) for name, part in parts.items()}


class TestLayersOfEveryKind:
    """An arm leaves embeddings as floats, though `quantize_` by itself would quantise them.

    Looked at: every type that `quantize_` takes, and the tasks that ship, one of which had its
    embedding quantised though its study says that it is not.
    """

    @pytest.mark.parametrize("last", [True, False])
    def test_what_is_quantised_is_what_is_measured(self, last):
        defaults = {"quantize_last": last, "weight_scale": "mean-channel"}
        registered.register_task(
            Task("kinds", _embedding_and_transposed, _numbers, defaults=defaults)
        )
        settings = default_arm("ste", dataset="kinds", weight_bits=2)
        model = build_model(settings, 0)
        kept = model[0].weight.detach().clone()
        context = prepare(settings, model, 1)
        assert set(quantized_layers(model)) == set(context.latents) == {"1", "2", *"4" * last}
        assert torch.equal(model[0].weight, kept)
        assert [kind for kind in QUANTIZABLE if not issubclass(kind, WEIGHTED)] == [
            torch.nn.Embedding
        ]

    @pytest.mark.parametrize("name", sorted(registered.all_datasets()))
    def test_of_what_ships(self, name):
        settings = default_arm("ste", dataset=name)
        model = build_model(settings, 0)
        context = prepare(settings, model, 1)
        assert set(quantized_layers(model)) == set(context.latents)
        assert not any(isinstance(m, torch.nn.Embedding) for m in quantized_layers(model).values())

    def test_by_the_command(self, tmp_path, capsys):
        defaults = {"weight_scale": "mean-channel", "batch_size": 10}
        registered.register_task(
            Task("kinds", _embedding_and_transposed, _numbers, defaults=defaults)
        )
        methods = [
            "ste",
            "damping",
            "freezing",
            "bwn",
            "lne-exact",
            "lne-fisher",
            "last-bit",
            "full-precision",
        ]
        words = ["--dataset", "kinds", "--seeds", 1, "--epochs", 1, "--jobs", 1]
        words += ["--out", tmp_path / "runs"]
        assert run(*words, "--methods", *methods) == 0
        assert "failed" not in capsys.readouterr().out


FOLDER = """
    import numpy
    import torch
    from riemann_lne_validation.comparison import Task, register_task

    def model():
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3, bias=False), torch.nn.BatchNorm2d(2), torch.nn.ReLU(),
            torch.nn.Flatten(), torch.nn.Linear(18, 3))

    def data(seed, folder):
        x = torch.from_numpy(numpy.load(folder / "images.npy"))
        y = torch.arange(len(x)) % 3
        parts = {"train": slice(24), "validation": slice(24, 36), "test": slice(36, None)}
        return {name: (x[part], y[part]) for name, part in parts.items()}

    register_task(Task("stored", model, data, defaults={"epochs": 1, "batch_size": 12}))
"""


STORED_STUDY = """
    [study]
    title = "Data of a folder"
    question = "Do they reach the runs?"
    [setting]
    dataset = "stored"
    [tuning]
    seeds = [100]
    configurations = 2
    [final]
    seeds = [0, 1]
    [[arm]]
    label = "STE"
    method = "ste"
    grid = { learning_rate = [0.1, 0.3] }
    [[arm]]
    label = "N"
    method = "rf-dnn"
    reference = "STE"
    grid = { learning_rate = [0.1, 0.3] }
"""


class TestDataOfAFolder:
    """Every part of a comparison gets the data from the folder that --data names.

    Looked at: the first look, the runs, the cost of a step,
    the methods, full-precision starts, the worker processes.
    """

    @pytest.fixture
    def words(self, tmp_path):
        rng = np.random.default_rng(0)
        np.save(tmp_path / "images.npy", rng.normal(size=(48, 1, 5, 5)).astype("float32"))
        words = ["--tasks", write(tmp_path, FOLDER), "--seeds", 1]
        return [*words, "--out", tmp_path / "runs"]

    def test_every_method(self, tmp_path, words):
        methods = available_methods()
        words += ["--jobs", 1, "--data", tmp_path, "--json", tmp_path / "r.json"]
        assert run(*words, "--methods", *methods) == 0
        assert "rf-dnn" not in read_summary(tmp_path / "r.json").skipped

    def test_full_precision_starts(self, tmp_path, words):
        start = ["--start", "fine-tune", "--methods", "ste"]
        assert run(*words, "--jobs", 1, "--data", tmp_path, *start) == 0

    def test_a_study(self, tmp_path, words):
        (tmp_path / "study.toml").write_text(textwrap.dedent(STORED_STUDY))
        words[2:4] = ["--jobs", 1]
        assert run("--config", tmp_path / "study.toml", *words, "--data", tmp_path) == 0

    @pytest.mark.slow
    def test_in_worker_processes(self, tmp_path, words):
        assert run(*words, "--jobs", 2, "--data", tmp_path, "--methods", "ste", "lne-exact") == 0

    def test_the_cost_is_counted_on_the_data_of_the_folder(self, tmp_path, words):
        load_task_files([words[1]])
        arm, other = default_arm("ste", "stored"), tmp_path / "other"
        other.mkdir()
        np.save(other / "images.npy", np.ones((48, 1, 5, 5), "float32"))
        for folder in (tmp_path, other):
            expected = np.load(folder / "images.npy")[:12]
            assert np.array_equal(problem_of(arm, folder).example()[0], expected)
        assert plain_steps(arm, tmp_path) is plain_steps(arm, tmp_path)
        assert plain_steps(arm, tmp_path) is not plain_steps(arm, other)

    def test_no_folder(self, words):
        message = r"member 'data' fails without a folder, which --data names \(TypeError"
        with pytest.raises(ContractError, match=message):
            run(*words, "--methods", "ste")


# Modules for the wrong networks and losses of the tests below.
ODD = """
    class Cut(torch.nn.Module):
        def forward(self, x):
            return x.detach()

    class Own(torch.nn.Module):
        def forward(self, x):
            return x.detach() + torch.zeros(1, requires_grad=True)

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("no way back")
"""
HELPER = "from beside_helper import WIDTH\n"
DRAWN = """import torch, numpy, random
    from torch.utils.data import DataLoader, TensorDataset
    GENERATOR, OWN = random.Random(0), torch.Generator()
"""


class TestContracts:
    """A member that is missing or wrong is named, and a minimal right object is shown."""

    @pytest.mark.parametrize(
        ("kind", "good", "member", "value"),
        [
            (Task, GOOD_TASK, "name", ""),
            (Task, GOOD_TASK, "model", torch.nn.Linear(1, 1)),
            (Task, GOOD_TASK, "model", "cnn"),
            (Task, GOOD_TASK, "data", lambda: {}),
            (Task, GOOD_TASK, "loss", None),
            (Task, GOOD_TASK, "loss", lambda output: output),
            (Task, GOOD_TASK, "metric", "error"),
            (Task, GOOD_TASK, "defaults", [1]),
            (Dataset, GOOD_DATASET, "shape", 28),
            (Dataset, GOOD_DATASET, "shape", (0, 28)),
            (Dataset, GOOD_DATASET, "classes", 1),
            (Dataset, GOOD_DATASET, "read", lambda: None),
            (Dataset, GOOD_DATASET, "normalize", (0.0, 0.0)),
            (Dataset, GOOD_DATASET, "validation_part", 1.0),
            (Network, {"name": "n", "build": None}, "build", lambda shape: None),
            (Network, {"name": "n", "build": lambda a, b, c, d: None}, "width", 0),
            (Metric, {"name": "m", "of": None}, "of", lambda output: output),
            (Metric, {"name": "m", "of": lambda output, target: output}, "better", "up"),
            (Metric, {"name": "m", "of": lambda output, target: output}, "factor", -1.0),
        ],
    )
    def test_a_wrong_member(self, kind, good, member, value):
        with pytest.raises(ContractError) as caught:
            kind(**{**good, member: value})
        text = str(caught.value)
        assert f"its member {member!r}" in text
        assert f"A minimal {kind.__name__} that is right:" in text

    @pytest.mark.parametrize(
        ("kind", "good", "member"),
        [
            (Task, GOOD_TASK, "data"),
            (Dataset, GOOD_DATASET, "name"),
            (Dataset, GOOD_DATASET, "read"),
            (Network, {"name": "n"}, "build"),
            (Metric, {"name": "m"}, "of"),
        ],
    )
    def test_a_missing_or_unknown_member(self, kind, good, member):
        given = {k: v for k, v in good.items() if k != member}
        right = f"A minimal {kind.__name__} that is right:"
        with pytest.raises(ContractError, match=f"its member {member!r} is missing. {right}"):
            kind(**given)
        with pytest.raises(ContractError, match=f"its member 'labels' is not one of name.*{right}"):
            kind(**dict.fromkeys(m.name for m in dataclasses.fields(kind)), labels=3)

    def test_a_default_that_is_no_setting(self):
        with pytest.raises(UnknownNameError, match=r"epoch.*epochs"):
            Task(**GOOD_TASK, defaults={"epoch": 3})

    def test_what_is_registered_must_be_one(self):
        with pytest.raises(ContractError, match="no Task"):
            registered.register_task({"name": "t"})

    @pytest.mark.parametrize(
        ("old", "new", "member", "reason"),
        [
            ("return torch.nn.Sequential(", "return (", "model", "torch.nn.Module"),
            ('"test": (x[200:].numpy', '"tests": (x[200:].numpy', "data", "'validation'"),
            ('"test": (x[200:].numpy(), y', '"test": (x[200:].numpy(), y[:9]', "data", "as many"),
            ("(x[150:200], y[150:200])", "7", "data", "'validation' as a pair"),
            ("torch.randn(300", "torch.randn('300'", "data", "fails"),
            ("torch.nn.Linear(6, 16)", "torch.nn.Linear(7, 16)", "model", "fails on the first two"),
            ("loss=torch.nn.functional.mse_loss", "loss=lambda a, b: 1.0", "loss", "a gradient"),
            (
                "loss=torch.nn.functional.mse_loss",
                "loss=lambda a, b: (a - b).square()",
                "loss",
                "one real number",
            ),
            (
                "loss=torch.nn.functional.mse_loss",
                "loss=lambda a, b: (a - b).square().mean() * (1 + 0j)",
                "loss",
                "one real number",
            ),
            (
                "loss=torch.nn.functional.mse_loss",
                "loss=lambda a, b: torch.zeros((), requires_grad=True) * 1",
                "loss",
                "does not depend on the output",
            ),
            (
                "loss=torch.nn.functional.mse_loss",
                "loss=lambda a, b: Broken.apply(a.mean())",
                "loss",
                r"fails on the first two training items \(RuntimeError: no way back",
            ),
            ("torch.nn.Linear(16, 1))", "torch.nn.Linear(16, 1), Cut())", "model", "depends on no"),
            ("torch.nn.Linear(16, 1))", "torch.nn.Linear(16, 1), Own())", "model", "depends on no"),
            (
                "(x[:100], y[:100]), (x[100:150], y[100:150])",
                "(x[:10], y[:12]), (x[10:22], y[10:20])",
                "data",
                r"batch 0 of 'train' with inputs of shape \(10, 6\) and targets of shape \(12, 1\)",
            ),
            (
                "(x[:100], y[:100]), (x[100:150], y[100:150])",
                "(x[:10], y[:10]), (x[10], y[10:11])",
                "data",
                r"batch 1 of 'train' with inputs of shape \(6,\) and targets",
            ),
            (
                "[(x[:100], y[:100]), (x[100:150], y[100:150])]",
                "({}['x'] for _ in x)",
                "data",
                "'train' as a pair .*KeyError: 'x'",
            ),
            (".square().mean(1)", ".square().mean()", "metric", "one real number an item"),
            (".square().mean(1)", ".nothing()", "metric", "fails"),
            (".square().mean(1)", ".square().mean(1) * 1j", "metric", "one real number"),
            (
                "return torch.nn.Seq",
                "raise SystemExit(3)\n        return torch.nn.Seq",
                "model",
                "fails .SystemExit: 3",
            ),
            ("Linear(6, 16)", "Linear(6, 16, device='meta')", "model", "no values to '0.weight'"),
            (
                '"validation": (x[150:200]',
                '"validation": (x[150:200, :4]',
                "data",
                r"inputs of 'validation' of shape \(4,\)",
            ),
            (
                '"validation": (x[150:200], y',
                '"validation": (x[150:200], y.double()',
                "data",
                "targets of .validation. of shape .* torch.float64",
            ),
            (
                '"test": (x[200:]',
                '"test": (x[200:, :4]',
                "model",
                r"first two test items, torch.float32 of shape \(2, 4\)",
            ),
        ],
    )
    def test_a_function_that_gives_something_else(self, tmp_path, old, new, member, reason):
        assert old in SHORT
        text = SHORT.replace(old, new).replace("    def model", ODD + "\n    def model")
        load_task_files([write(tmp_path, text)])
        with pytest.raises(ContractError, match=reason) as caught:
            check_problem(default_arm("ste", "regression"), None)
        assert f"its member {member!r}" in str(caught.value)
        assert "register_task(Task(" in str(caught.value)

    @pytest.mark.parametrize(
        ("old", "new", "kind", "member", "reason"),
        [
            ("return torch.nn.Seq", "1 / 0; return Seq", "Network", "build", "ZeroDivisionError"),
            ("Linear(49,", "Oops(49,", "Network", "build", "AttributeError: .*Oops"),
            ("Linear(width, classes)", "LSTM(width, classes)", "Network", "build", "tuple"),
            (
                "Linear(width, classes)",
                "Linear(width, classes).requires_grad_(False), Cut()",
                "Network",
                "build",
                "depends on none",
            ),
            ("return torch.nn.S", "torch.seed(); return torch.nn.S", "Network", "build", "other w"),
            (
                "return x, y, None",
                "raise OSError('no'); return x",
                "Dataset",
                "read",
                "OSError: no",
            ),
            ("return x, y, None", "exit(1); return x, y, None", "Dataset", "read", "SystemExit: 1"),
            ("return x, y, None", "return [[1], [1, 2]], y, None", "Dataset", "read", "ValueError"),
            ("return x, y, None", "return x * 1j, y, None", "Dataset", "read", "complex128: give"),
            ("return x, y, None", "return x.astype('O'), y, None", "Dataset", "read", "object: gi"),
            (
                "return x, y, None",
                "return x, y.astype('>i4'), None",
                "Dataset",
                "read",
                "labels of type >i4: .* byte order",
            ),
            ("default_rng(0)", "default_rng()", "Dataset", "read", "gives other samples"),
            ("return x, y, None", "return x[:0], y[:0], None", "Dataset", "read", "gives 0 train"),
            ("return x, y, None", "return x[:1], y[:1], None", "Dataset", "read", "gives 1 train"),
            ("return x, y, None", "return x[:3], y[:3], None", "Dataset", "read", "1 are the test"),
            ("return x, y, None", "return x[:6], y[:6], None", "Dataset", "read", "1 are the test"),
            ('"epochs": 3}', '"epochs": 3}, loss=lambda a, b: 1.0', "Dataset", "loss", "one real"),
            (
                '"epochs": 3}',
                '"epochs": 3}, metric=Metric("m", lambda a, b: 1.0)',
                "Dataset",
                "metric",
                "one real number an item",
            ),
        ],
    )
    def test_of_a_dataset_or_a_network(self, tmp_path, old, new, kind, member, reason):
        """Each of the two has its own members; looked at: all that calls one of them."""
        assert old in IMAGES
        text = IMAGES.replace(old, new).replace("    def build", ODD + "\n    def build")
        load_task_files([write(tmp_path, text)])
        with pytest.raises(ContractError, match=reason) as caught:
            check_problem(default_arm("ste", "bands"), None)
        name = {"Network": "thin", "Dataset": "bands"}[kind]
        assert str(caught.value).startswith(f"{kind} {name!r}: its member {member!r}")

    def test_a_validation_part_of_one_sample(self, tmp_path):
        few = IMAGES.replace("return x, y, None", "return x[:12], y[:12], None")
        load_task_files([write(tmp_path, few)])
        check_problem(default_arm("ste", "bands"), None)  # final runs do not use it
        told = "'validation_part' is 0.1, which leaves 1 of 10 training samples for the validation"
        with pytest.raises(ContractError, match=told):
            check_problem(default_arm("ste", "bands", split="validation", train_on="train"), None)

    def test_what_read_draws_is_the_same_in_every_process(self, tmp_path):
        """Its global random numbers are seeded; the caller's states stay as they were."""
        drawn = "return x + (100 * numpy.random.rand(*x.shape)).astype('uint8'), y, None"
        load_task_files([write(tmp_path, IMAGES.replace("return x, y, None", drawn))])
        before = np.random.get_state()[1].tolist()  # noqa: NPY002
        check_problem(default_arm("ste", "bands"), None)
        assert np.random.get_state()[1].tolist() == before  # noqa: NPY002

    @pytest.mark.parametrize(
        ("batches", "right"),
        [
            ("DataLoader(TensorDataset(x[:150], y[:150]), 40, shuffle=True)", True),
            ("((x[i : i + 40] + torch.rand(()), y[i : i + 40]) for i in (0, 40))", True),
            ("((x[i : i + 40] + random.random(), y[i : i + 40]) for i in (0, 40))", True),
            (
                "((x[i : i + 40] + float(numpy.random.rand()), y[i : i + 40]) for i in (0, 40))",
                True,
            ),
            ("((x[i : i + 40] + GENERATOR.random(), y[i : i + 40]) for i in (0, 40))", False),
            (
                "DataLoader(TensorDataset(x, y), 40, shuffle=True, generator=OWN)",
                False,
            ),
        ],
    )
    def test_batches_that_are_drawn_as_they_are_read(self, tmp_path, batches, right):
        text = SHORT.replace("[(x[:100], y[:100]), (x[100:150], y[100:150])]", batches)
        text = text.replace("import torch\n", DRAWN, 1)
        load_task_files([write(tmp_path, text)])
        arm = default_arm("ste", "regression")
        if right:
            before = torch.get_rng_state(), random.getstate()
            check_problem(arm, None)
            assert torch.equal(torch.get_rng_state(), before[0])
            assert random.getstate() == before[1]
            return
        with pytest.raises(ContractError, match="gives other items of 'train' when it is called"):
            check_problem(arm, None)

    def test_batches_of_one_item(self, tmp_path):
        """Every item is trained on; batch norm, which does not take one item, is told."""
        load_task_files([write(tmp_path, SHORT.replace("BatchNorm1d(16)", "LayerNorm(16)"))])
        arm = default_arm("ste", "regression", batch_size=1, epochs=1)
        check_problem(arm, None)
        seen = []
        one = Run(arm, 0, problem_of(arm).samples(0), observe=lambda x, y: seen.append(len(y)))
        one.epoch()
        assert seen == [1] * 200
        assert one.steps_per_epoch == 200
        load_task_files([write(tmp_path, SHORT)])
        arms = [default_arm("ste", "regression", batch_size=n, label=f"of {n}") for n in (1, 25)]
        check_problem(arms[1], None)
        told = r"member 'model' fails on a batch of one training item \(batch_size is 1\).* than 1"
        with pytest.raises(ContractError, match=told):
            run_arms(arms, [0], tmp_path / "runs", jobs=1)

    def test_a_loss_that_is_nan(self, tmp_path):
        nan = SHORT.replace("torch.nn.functional.mse_loss", "lambda a, b: (a - b).mean() * 1e400")
        load_task_files([write(tmp_path, nan)])
        with pytest.raises(NotFiniteError, match="loss of the first two training items is"):
            check_problem(default_arm("ste", "regression"), None)

    @pytest.mark.parametrize(("label", "item"), [(3, 5), (-1, 0)])
    def test_labels_out_of_range(self, tmp_path, label, item):
        wrong = IMAGES.replace("return x, y, None", f"y[{item}] = {label}; return x, y, None")
        load_task_files([write(tmp_path, wrong)])
        with pytest.raises(InvalidArgumentError, match=f"label {label} of sample {item} is out"):
            check_problem(default_arm("ste", "bands"), None)

    def test_labels_of_a_task_out_of_range(self, tmp_path):
        path = write_template(tmp_path / "new.py")
        path.write_text(path.read_text().replace("nn.Linear(64, 4)", "nn.Linear(64, 3)"))
        load_task_files([path])
        with pytest.raises(InvalidArgumentError, match=r"label 3 of training item .* 3 outputs"):
            check_problem(default_arm("ste", "bars"), None)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ("y[7] = 5", "label 5 of training item 7 is out of range"),
            ("x = x[..., :4]", r"member 'model' fails on .* shape \(2, 1, 28, 4\)"),
        ],
    )
    def test_data_that_are_wrong_for_another_seed(self, tmp_path, capsys, change, message):
        """The first line of the reason is told at once, all of it in the end."""
        path = write_template(tmp_path / "new.py")
        change = f"    if seed:\n        {change}\n    parts ="
        path.write_text(path.read_text().replace("    parts =", change))
        words = ["--tasks", path, "--methods", "ste", "--seeds", 2, "--jobs", 1, "--epochs", 1]
        with pytest.raises(RunsFailedError, match=f"1 of 2 runs broke off.*{message}"):
            run(*words, "--out", tmp_path / "runs")
        assert re.search(f"BROKE OFF: .*{message}", capsys.readouterr().err)

    def test_a_network_that_does_not_take_the_samples(self, tmp_path):
        load_task_files([write(tmp_path, IMAGES.replace("Linear(49,", "Linear(50,"))])
        with pytest.raises(InvalidArgumentError.__mro__[1], match="does not take its samples"):
            check_problem(default_arm("ste", "bands"), None)

    def test_nothing_to_quantise(self, tmp_path):
        bare = SHORT.replace("torch.nn.Linear(6, 16), ", "").replace("BatchNorm1d(16)", "Tanh()")
        load_task_files([write(tmp_path, bare.replace("Linear(16, 1)", "Linear(6, 1)"))])
        with pytest.raises(InvalidArgumentError, match=r"no layer to quantise: Sequential has '2'"):
            applicable([default_arm("ste", "regression")])
        none = SHORT.replace("torch.nn.Linear", "torch.nn.Bilinear").replace("(6, 16)", "(6, 6, 9)")
        none = none.replace("Bilinear(16, 1)", "Bilinear(16, 1, 1)")
        load_task_files([write(tmp_path, none)])
        with pytest.raises(InvalidArgumentError, match=r"'regression' has nothing to quantise"):
            applicable([default_arm("ste", "regression")])

    def test_a_weight_that_is_computed(self, tmp_path):
        normed = SHORT.replace("torch.nn.Linear(6, 16)", "norm(torch.nn.Linear(6, 16))")
        normed = normed.replace(
            "import torch\n", "import torch\n    from torch.nn.utils.parametrizations import"
            " weight_norm as norm\n",
        )  # fmt: skip
        load_task_files([write(tmp_path, normed)])
        with pytest.raises(InvalidArgumentError, match=r"layer '0': its weight has another param"):
            applicable([default_arm("ste", "regression")])

    @pytest.mark.parametrize(
        ("given", "right"),
        [
            ("first", False),
            ("torch.nn.Sequential(first[0], *made()[1:])", False),
            ("copy.deepcopy(first)", True),
        ],
    )
    def test_a_network_that_is_not_made_anew(self, tmp_path, given, right):
        """Whole or in part; a copy of a network is a new one."""
        functions = f"""\
    def model():
        return {given}

    def data("""
        text = SHORT.replace("def model():", "import copy\n\n    def made():")
        text = text.replace("    def data(", "    first = made()\n\n" + functions)
        load_task_files([write(tmp_path, text)])
        arms = [default_arm(m, "regression") for m in ("ste", "lne-exact")]
        if right:
            assert len(applicable(arms)[0]) == 2
            return
        with pytest.raises(ContractError, match=r"member 'model' must make the network anew"):
            applicable(arms)

    def test_a_network_of_a_user_that_is_not_made_anew(self, tmp_path):
        once = IMAGES.replace("def build(", "@functools.lru_cache\n    def build(")
        load_task_files([write(tmp_path, once.replace("import math", "import functools"))])
        with pytest.raises(ContractError, match=r"member 'build' must make the network anew"):
            applicable([default_arm(m, "bands") for m in ("ste", "lne-exact")])

    @pytest.mark.parametrize(
        ("old", "new", "member"),
        [
            ("return torch.nn.Seq", "torch.seed(); return torch.nn.Seq", "model"),
            ("generator=torch.Generator().manual_seed(seed))", "generator=GENERATOR)", "data"),
        ],
    )
    def test_what_depends_on_more_than_the_seed_pairs_nothing(self, tmp_path, old, new, member):
        text = SHORT.replace("WEIGHTS =", "GENERATOR = torch.Generator()\n    WEIGHTS =")
        load_task_files([write(tmp_path, text.replace(old, new))])
        with pytest.raises(ContractError, match="once more with the same seed") as caught:
            check_problem(default_arm("ste", "regression"), None)
        assert f"its member {member!r} gives other" in str(caught.value)

    def test_random_numbers_of_numpy_and_python_depend_on_the_seed(self, tmp_path):
        """The global ones, in a network and in data; the caller's states stay as they were."""
        drawn = "x[0] += float(numpy.random.rand()) + random.random(); y ="
        text = SHORT.replace("import torch\n", "import torch, numpy, random\n").replace(
            "y =", drawn
        )
        text = text.replace("BatchNorm1d(16)", "BatchNorm1d(16, eps=random.random())")
        load_task_files([write(tmp_path, text)])
        arm = default_arm("ste", "regression")
        before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
        check_problem(arm, None)
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
        first, other = (problem_of(arm).build(seed)[1].eps for seed in (0, 1))
        assert first == problem_of(arm).build(0)[1].eps != other

    def test_what_a_network_draws_in_training_depends_on_the_seed(self, tmp_path):
        """Also from Python and NumPy: else a run that was broken off would not go on as it was."""
        noisy = """
            class Noise(torch.nn.Module):
                def forward(self, x):
                    return x + (random.random() + numpy.random.rand()) * self.training
        """
        text = textwrap.dedent(SHORT).replace("import torch\n", "import torch, numpy, random\n", 1)
        text = text.replace("def model", textwrap.dedent(noisy) + "\n\ndef model")
        text = text.replace("torch.nn.ReLU()", "torch.nn.ReLU(), Noise()")
        load_task_files([write(tmp_path, text)])
        arm = default_arm("ste", "regression", epochs=2)
        samples, found = problem_of(arm).samples(0), []
        for _ in range(2):
            one = Run(arm, 0, samples)
            one.epoch()
            random.random(), np.random.rand()  # noqa: NPY002  another run's draws
            one.epoch()
            found.append([row.train_loss for row in one.rows])
        assert found[0] == found[1]

    def test_a_metric_that_is_nan_ends_the_run_and_is_told(self, tmp_path, capsys):
        text = SHORT.replace(".square().mean(1)", ".square().mean(1) * torch.nan")
        words = ["--tasks", write(tmp_path, text)]
        assert run(*words, "--methods", "ste", "--seeds", 1, "--jobs", 1, "--out", tmp_path) == 0
        out = capsys.readouterr()
        assert "the metric 'squared error' of the training items is nan" in out.err
        assert "1 (1 diverged)" in out.out

    def test_a_loss_that_is_a_module(self, tmp_path):
        assert callable(Task(**GOOD_TASK, loss=torch.nn.CrossEntropyLoss()).loss)
        with pytest.raises(ContractError, match=r"member 'loss' has parameters of its own"):
            Task(**GOOD_TASK, loss=torch.nn.Bilinear(3, 3, 1))
        with pytest.raises(ContractError, match=r"member 'loss' must take 2 arguments"):
            Task(**GOOD_TASK, loss=torch.nn.ReLU())

    def test_nan_among_the_data_is_told_before_anything_runs(self, tmp_path):
        path = write(tmp_path, SHORT.replace("return {", "x[207] = torch.nan; return {"))
        load_task_files([path])
        told = "hold NaN or infinite values, item"
        with pytest.raises(NotFiniteError, match=rf"1 of 100 inputs of 'test' {told} 7"):
            check_problem(default_arm("ste", "regression"), None)
        path = write(tmp_path, SHORT.replace("return {", "y[3] = -torch.inf; return {"))
        load_task_files([path])
        with pytest.raises(NotFiniteError, match=rf"1 of 150 targets of 'train' {told} 3"):
            check_problem(default_arm("ste", "regression"), None)
        wrong = IMAGES.replace(
            "return x, y, None", 'x = x.astype("float32"); x[9] = numpy.inf; return x, y, None'
        )
        load_task_files([write(tmp_path, wrong)])
        with pytest.raises(NotFiniteError, match=r"1 of 240 hold NaN or infinite .* sample 9"):
            check_problem(default_arm("ste", "bands"), None)

    def test_a_network_in_bfloat16(self, tmp_path, capsys):
        """Its fingerprint and its checkpoints: NumPy does not know the type."""
        load_task_files([write(tmp_path, HALF)])
        arm = default_arm("ste", "half")
        samples = problem_of(arm).samples(0)
        whole, broken = Run(arm, 0, samples), Run(arm, 0, samples)
        whole.epoch()
        save_tree(tmp_path / "run.npz", whole.state())
        broken.load_state(load_tree(tmp_path / "run.npz"))
        for one in (whole, broken):
            one.epoch()
        assert whole.rows[1].train_loss == broken.rows[1].train_loss
        words = ["--tasks", tmp_path / "mine.py", "--methods", "ste", "lne-weak", "last-bit"]
        assert run(*words, "--seeds", 1, "--jobs", 1, "--out", tmp_path / "runs") == 0
        assert "BROKE OFF" not in capsys.readouterr().err

    def test_a_loss_that_is_nan_at_every_step_ends_every_run(self, tmp_path, capsys):
        """Also that of a corrector, which refuses such weights: no run breaks off."""
        text = SHORT.replace(
            "loss=torch.nn.functional.mse_loss",
            "loss=lambda a, b: (a - b).square().mean() / (len(a) < 20)",
        )
        words = ["--tasks", write(tmp_path, text), "--methods", "ste", "lne-exact", "--seeds", 1]
        assert run(*words, "--jobs", 1, "--out", tmp_path / "runs") == 0
        assert capsys.readouterr().out.count("1 (1 diverged)") == 2


class TestModulesBesideAFile:
    """They can be imported as beside a Python script, hide nothing, and count as part of the file.

    Looked at: files of tasks and of claims, which are run by the same function, in this process
    and in workers.
    """

    @pytest.fixture(autouse=True)
    def loaded(self):
        before = set(sys.modules)
        yield
        for name in set(sys.modules) - before:
            if name.startswith("beside_"):
                del sys.modules[name]

    @pytest.fixture
    def path(self, tmp_path):
        write(tmp_path, "from beside_inner import WIDTH", "beside_helper.py")
        (tmp_path / "beside_inner").mkdir()
        write(tmp_path / "beside_inner", "WIDTH = 16", "__init__.py")
        # would hide the module of Python, if the folder came first
        write(tmp_path, "raise ImportError('hidden')", "colorsys.py")
        text = SHORT.replace("(6, 16)", "(6, WIDTH)")
        return write(
            tmp_path, text.replace("import torch\n", "import torch, colorsys\n    " + HELPER)
        )

    def test_it_is_imported_and_hides_nothing(self, path):
        sys.modules.pop("colorsys", None)
        before = list(sys.path)
        load_task_files([path])
        assert problem_of(default_arm("ste", "regression")).build(0)[0].out_features == 16
        assert sys.path == [*before, str(path.parent)]

    def test_a_change_of_one_is_another_run(self, path):
        load_task_files([path])
        first = default_arm("ste", "regression").digest
        load_task_files([path])
        assert default_arm("ste", "regression").digest == first
        write(path.parent / "beside_inner", "WIDTH = 9 + 0 * 10 # other", "__init__.py")
        write(path.parent, "from beside_inner import WIDTH\nWIDTH += 0", "beside_helper.py")
        load_task_files([path])
        assert default_arm("ste", "regression").digest != first
        with pytest.raises(ContractError, match="fails on the first two"):  # 9 outputs, 16 inputs
            check_problem(default_arm("ste", "regression"), None)

    def test_a_file_without_any_keeps_its_fingerprint(self, tmp_path):
        path = write(tmp_path, SHORT)
        assert fingerprint(path, "file") == hashlib.sha256(path.read_bytes()).hexdigest()[:12]

    def test_a_claim(self, tmp_path):
        write(tmp_path, "raise ImportError('found')", "beside_claims.py")
        with pytest.raises(InvalidArgumentError, match="ImportError: found"):
            load_claims([write(tmp_path, "import beside_claims", "claims.py")])

    @pytest.mark.slow
    def test_in_worker_processes(self, path, tmp_path):
        words = ["--tasks", path, "--methods", "ste", "--seeds", 2, "--epochs", 1, "--jobs", 2]
        assert run(*words, "--out", tmp_path / "runs") == 0


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = 1", "registers nothing"),
            ("def broken(:", "line 1.*SyntaxError"),
            ("x = 1\nimport no_such_module", "line 2,.*ModuleNotFoundError"),
            ("raise SystemExit(3)", "SystemExit"),
            (
                "from riemann_lne_validation.comparison import *\nTask('t', model=1, data=2)",
                "line 2: .*member 'model'",
            ),
        ],
    )
    def test_a_file_that_does_not_run_is_named_with_its_line(self, tmp_path, text, message):
        path = write(tmp_path, text)
        with pytest.raises(InvalidArgumentError, match=f"(?s)mine.py.*{message}"):
            load_task_files([path])

    def test_a_file_that_is_given_by_a_relative_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write(tmp_path, "x = 1\nx / 0")
        with pytest.raises(InvalidArgumentError, match=r"^mine.py, line 2, .*ZeroDivisionError"):
            load_task_files([Path("mine.py")])

    def test_a_name_twice_in_a_file(self, tmp_path):
        path = write(tmp_path, textwrap.dedent(SHORT) + SECOND)
        with pytest.raises(
            InvalidArgumentError, match=r"mine.py, line \d+: .*'regression' is registered"
        ):
            load_task_files([path])

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(StorageError, match="cannot read the task file"):
            load_task_files([tmp_path / "none.py"])

    def test_a_name_that_is_taken(self, tmp_path):
        path = write(tmp_path, IMAGES.replace('"bands"', '"digits"'))
        with pytest.raises(InvalidArgumentError, match="'digits' is registered already"):
            load_task_files([path])

    def test_two_tasks_in_a_command(self, tmp_path):
        paths = [write(tmp_path, IMAGES), write(tmp_path, SHORT, "other.py")]
        with pytest.raises(InvalidArgumentError, match="bands, regression: choose one"):
            run("--tasks", *paths, "--methods", "ste")

    def test_a_file_that_is_given_twice(self, tmp_path):
        path = write(tmp_path, SHORT)
        assert load_task_files([path, path]) == ["regression"]

    def test_a_reference_that_does_not_apply_is_refused_before_any_run(self, tmp_path):
        words = ["--tasks", write(tmp_path, SHORT), "--methods", "ste", "lsq", "--reference", "lsq"]
        with pytest.raises(InvalidArgumentError, match=r"'lsq' does not apply.* 2 to 16 bits"):
            run(*words, "--weight-bits", 1, "--out", tmp_path / "runs")
        assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("*.json"))

    def test_a_task_has_its_own_network(self, tmp_path):
        load_task_files([write(tmp_path, SHORT)])
        with pytest.raises(InvalidArgumentError, match="network of its own"):
            default_arm("ste", "regression", model="mlp")

    def test_images_are_needed_where_they_are_shifted_or_augmented(self, tmp_path):
        load_task_files([write(tmp_path, SHORT)])
        arms = [default_arm(m, "regression") for m in ("ste", "rf-dnn")]
        kept, skipped = applicable(arms)
        assert [a.method for a in kept] == ["ste"]
        assert "rf-dnn shifts images" in skipped["rf-dnn"]
        arm = default_arm("ste", "regression", augmentation="standard")
        samples = problem_of(arm).samples(0)
        with pytest.raises(InvalidArgumentError, match="augmentation 'standard' is for images"):
            Run(arm, 0, samples)


def test_a_smaller_value_helps_where_smaller_is_better():
    method, reference = {i: 1.0 + 0.01 * i for i in range(9)}, dict.fromkeys(range(9), 2.0)
    up, down = (correct([pair(method, reference, sign=s)])[0] for s in (1, -1))
    assert (up.verdict, down.verdict) == ("harms", "helps")
    assert up.differences == down.differences
    broken = {**method, 0: None}  # a run that diverged is worse than any other
    lost = pair(broken, reference, sign=-1)
    assert lost.differences[0] is None
    assert lost.description.mean < 0
    every = pair(dict.fromkeys(range(9)), reference, sign=-1)
    assert every.direction == -1


def test_the_programs_of_the_page_for_users_run(tmp_path, capsys):
    """All but the one for Brevitas, in one file; its tasks are compared."""
    page = (Path(__file__).parents[2] / "docs" / "own-task.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert len(blocks) == 5
    path = tmp_path / "page.py"
    path.write_text("\n".join(block for block in blocks if "qnn" not in block))
    words = ["--tasks", path, "--seeds", 1, "--jobs", 1, "--out", tmp_path / "runs"]
    task = ["--dataset", "rows", "--methods", "ste", "triangle", "--set", "triangle.width=2"]
    assert run(*words, *task) == 0
    samples = ["--dataset", "rows-of-bytes", "--model", "one-layer", "--methods", "ste"]
    assert run(*words, *samples) == 0
    output, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    names = {}
    exec("import torch\n" + next(b for b in blocks if "def bits" in b), names)
    assert names["metric"].of(output, target).shape == (4,)
