"""Tasks with networks of other libraries: Brevitas, torchao, transformers, by the command."""

import argparse
import textwrap

import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from riemann_lne_validation.commands import compare
from riemann_lne_validation.comparison.stored import read_summary

HEAD = """
    import torch
    from torch import nn
    from riemann_lne_validation.comparison import Metric, Task, register_task

    def data(seed):
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(180) % 3
        x = torch.randn(180, 1, 12, 12, generator=generator)
        for i, label in enumerate(y):
            x[i, :, 4 * label : 4 * label + 4] += 1.0
        return {"train": (x[:120], y[:120]), "validation": (x[120:150], y[120:150]),
                "test": (x[150:], y[150:])}
"""
BREVITAS = """
    import brevitas.nn as qnn
    from brevitas.quant import Int8WeightPerChannelFloat

    def model():
        options = {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": 2}
        return nn.Sequential(
            qnn.QuantConv2d(1, 6, 3, stride=2, **options), nn.BatchNorm2d(6), nn.ReLU(),
            nn.AdaptiveAvgPool2d(3), nn.Flatten(), qnn.QuantLinear(54, 3, bias=True, **options))

    register_task(Task("brevitas", model, data, defaults={"epochs": 3, "batch_size": 30}))
"""
TORCHAO = """
    from torchao.quantization import quantize_
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

    def model():
        network = nn.Sequential(
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 16), nn.BatchNorm1d(16), nn.ReLU(),
            nn.Linear(16, 3))
        weights = IntxFakeQuantizeConfig(torch.int4, group_size=4)
        quantize_(network, QATConfig(weight_config=weights, step="prepare"))
        return network

    register_task(Task("torchao", model, data, defaults={"epochs": 3, "batch_size": 30}))
"""
LLAMA = '''
    import math
    from transformers import LlamaConfig, LlamaForCausalLM

    class Llama(nn.Module):
        """The logits alone, and not the output object of transformers."""

        def __init__(self):
            super().__init__()
            self.inner = LlamaForCausalLM(LlamaConfig(
                vocab_size=16, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                num_attention_heads=2, max_position_embeddings=16))

        def forward(self, tokens):
            return self.inner(input_ids=tokens, use_cache=False).logits

    def text(seed):
        start = torch.arange(160)[:, None]
        tokens = (start + torch.arange(13) * (1 + start % 3)) % 16
        x, y = tokens[:, :-1], tokens[:, 1:]
        return {"train": (x[:96], y[:96]), "validation": (x[96:128], y[96:128]),
                "test": (x[128:], y[128:])}

    def loss(output, target):
        return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())

    def bits(output, target):
        found = nn.functional.cross_entropy(output.mT, target, reduction="none")
        return found.mean(1) / math.log(2)

    register_task(Task(
        "llama", Llama, text, loss, Metric("bits a token", bits, "lower", "bits", 1.0),
        {"epochs": 4, "batch_size": 16, "optimizer": "adam", "learning_rate": 0.01,
         "weight_bits": 2, "weight_scale": "mean-channel", "quantize_last": False,
         "angle_every": 0}))
'''


def compared(tmp_path, text, *methods):
    path = tmp_path / "task.py"
    path.write_text(textwrap.dedent(HEAD) + textwrap.dedent(text))
    parser = argparse.ArgumentParser()
    compare(parser.add_subparsers())
    words = ["compare", "--tasks", path, "--methods", *methods, "--seeds", 2, "--jobs", 1]
    words += ["--out", tmp_path / "runs", "--json", tmp_path / "r.json"]
    arguments = parser.parse_args([str(word) for word in words])
    assert arguments.run(arguments) == 0
    return read_summary(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("library", "text"), [("brevitas", BREVITAS), ("torchao", TORCHAO)], ids=["brevitas", "torchao"]
)
def test_a_network_that_another_library_quantises(library, text, tmp_path):
    """The corrected gradients work on its layers; an estimator of ours is skipped with a reason."""
    pytest.importorskip(library, reason=f"{library} is not installed (extra 'hosts')")
    methods = ("ste", "lne-exact", "lne-dual", "ema", "last-bit", "dorefa", "full-precision")
    summary = compared(tmp_path, text, *methods)
    assert summary.skipped.keys() == {"dorefa", "full-precision"}
    assert all("another library quantises this model" in why for why in summary.skipped.values())
    for arm in summary.arms:
        assert not arm.diverged
        if arm.arm.method != "ema":  # which lags behind in 12 steps
            assert arm.final.mean > 60, arm.label  # a third by chance
        assert arm.sign_flip_rate is not None
    assert summary.floor.seeds == 2


def test_a_llama_of_transformers_by_bits_a_token(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed (extra 'hosts')")
    summary = compared(tmp_path, LLAMA, "ste", "full-precision", "ewgs", "last-bit")
    assert summary.measure.better == "lower"
    assert not summary.skipped
    plain, floating = summary.arm("ste").final.mean, summary.arm("full-precision").final.mean
    assert floating < plain < 4.0  # 4 bits by chance
    assert summary.comparisons[0].last.description.mean < 0
