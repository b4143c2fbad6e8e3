"""Hugging Face models while they are quantised.

Looked at: Llama and GPT-2 with tied embeddings, all layers quantised and the head skipped; an
untied Llama; save_pretrained with safetensors and from_pretrained; tie_weights;
resize_token_embeddings; checkpoints of the Trainer and resuming from them; copies;
dequantize_ and finalize_.
"""

import copy

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from torch import nn  # noqa: E402
from transformers.pytorch_utils import Conv1D  # noqa: E402

from riemann_lne_torch import LNECorrector  # noqa: E402
from riemann_lne_torch.quantization import (  # noqa: E402
    QuantConfig,
    dequantize_,
    finalize_,
    latent_parameters,
    quantize_,
    quantized_layers,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
IDS = torch.arange(12).reshape(2, 6)


def llama(tied=True):
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=tied,
        )
    ).eval()


def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50,
        n_positions=16,
        n_embd=8,
        n_layer=1,
        n_head=2,
        bos_token_id=1,
        eos_token_id=1,
    )
    return transformers.GPT2LMHeadModel(config).eval()


SKIP = QuantConfig(skip=("lm_head",))


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("config", [QuantConfig(), SKIP], ids=["all", "head skipped"])
@pytest.mark.parametrize("tied", [True, False])
class TestLlama:
    def test_save_and_load(self, config, tied, tmp_path):
        model = quantize_(llama(tied), config)
        before = logits(model)
        model.save_pretrained(tmp_path)
        again = transformers.LlamaForCausalLM.from_pretrained(tmp_path).eval()
        assert (again.lm_head.weight is again.model.embed_tokens.weight) is tied
        latent = llama(tied)
        for (name, p), q in zip(again.named_parameters(), latent.parameters(), strict=True):
            assert torch.equal(p, q), name  # latent weights, under the names of the float model
        assert torch.equal(logits(quantize_(again, config)), before)
        assert torch.equal(logits(model), before)
        state = dict(model.state_dict())  # as the Trainer does
        model.save_pretrained(tmp_path / "state", state_dict=state)
        again = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "state").eval()
        assert torch.equal(logits(quantize_(again, config)), before)

    def test_tie_again(self, config, tied):
        model = quantize_(llama(tied), config)
        before, names = logits(model), list(quantized_layers(model))
        model.tie_weights()
        assert torch.equal(logits(model), before)
        assert list(quantized_layers(model)) == names
        assert {w.unique().numel() > 2 for w in latent_parameters(model)} == {True}

    def test_resize(self, config, tied):
        model = quantize_(llama(tied), config)
        names = list(quantized_layers(model))
        before = logits(model)
        model.resize_token_embeddings(60, mean_resizing=False)
        assert sorted(quantized_layers(model)) == sorted(names)
        after = logits(model)
        assert after.shape[-1] == 60
        torch.testing.assert_close(after[..., :50], before)
        reference = llama(tied)
        latent = model.model.embed_tokens.parametrizations.weight.original
        assert torch.equal(latent[:50], reference.model.embed_tokens.weight)
        if tied and config is not SKIP:
            assert model.lm_head.parametrizations.weight.original is latent

    def test_copies_have_methods_of_their_own(self, config, tied, tmp_path):
        model = quantize_(llama(tied), config)
        twin = copy.deepcopy(model)
        with torch.no_grad():
            for p in twin.parameters():
                p.add_(1.0)
        twin.save_pretrained(tmp_path)
        again = transformers.LlamaForCausalLM.from_pretrained(tmp_path)
        (first, *_), (other, *_) = again.parameters(), twin.parameters()
        assert torch.equal(first, other)

    @pytest.mark.filterwarnings("ignore:.*no longer tied")
    def test_both_ways_back(self, config, tied, tmp_path):
        model = quantize_(llama(tied), config)
        before = logits(model)
        finished = finalize_(copy.deepcopy(model))
        assert torch.equal(logits(finished), before)
        if tied and config is SKIP:
            finished.config.tie_word_embeddings = False  # as the warning says
        finished.save_pretrained(tmp_path)
        again = transformers.LlamaForCausalLM.from_pretrained(tmp_path).eval()
        assert torch.equal(logits(again), before)
        assert "save_pretrained" not in vars(finished)
        dequantize_(model)
        assert "tie_weights" not in vars(model)
        assert torch.equal(logits(model), logits(llama(tied)))


@pytest.mark.parametrize("config", [QuantConfig(estimator="ede"), SKIP], ids=["all", "skipped"])
def test_checkpoints_of_the_trainer(config, tmp_path):
    """Two steps in one go, and one step, a checkpoint, and one step more."""

    def train(folder, resume=None, until=2):
        model = quantize_(llama(), config)
        arguments = transformers.TrainingArguments(
            output_dir=str(folder),
            max_steps=until,
            per_device_train_batch_size=2,
            save_steps=1,
            learning_rate=0.1,
            lr_scheduler_type="constant",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        data = [{"input_ids": row, "labels": row} for row in IDS]
        trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data)
        trainer.train(resume_from_checkpoint=resume)
        return model

    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", until=1)
    resumed = train(tmp_path / "parts", resume=str(tmp_path / "parts" / "checkpoint-1"))
    assert len(latent_parameters(whole)) == len(latent_parameters(resumed))
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    start = latent_parameters(quantize_(llama(), config))
    assert not torch.equal(start[0], latent_parameters(resumed)[0])


class TestConv1D:
    def test_it_is_named(self):
        with pytest.warns(UserWarning, match="these weights stay float") as said:
            model = quantize_(gpt2())
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
            assert f"transformer.h.0.{name}.weight (Conv1D)" in str(said[0].message)
        assert "transformer.h.0.mlp.c_fc" not in quantized_layers(model)

    def test_its_channels_are_the_outputs(self):
        model = gpt2()
        layer = model.transformer.h[0].mlp.c_fc
        with torch.no_grad():
            layer.weight.mul_(torch.logspace(0, 2, layer.weight.shape[1]))
        want = layer.weight.detach().abs().mean(0)
        layers = (*QuantConfig().layers, Conv1D)
        config = QuantConfig(layers=layers, weight_scale="mean-channel", activation_bits=4)
        quantize_(model, config)
        torch.testing.assert_close(layer.weight.detach().abs(), want.expand_as(layer.weight))
        axes = {w.name: w.channel_axis for w in LNECorrector(model).weights}
        assert axes["transformer.h.0.mlp.c_fc"] == 1
        assert axes["transformer.wte"] == 0
        x = torch.randn(2, layer.weight.shape[0])
        assert torch.equal(layer(x), layer(x=x))
        before = logits(model)
        assert torch.equal(logits(finalize_(model)), before)

    def test_blocks_are_those_of_the_transposed_linear_layer(self):
        conv = Conv1D(3, 5)
        linear = nn.Linear(5, 3)
        linear.weight.data = conv.weight.detach().T.clone()
        v = torch.randn(3, 5)
        conv.weight.grad, linear.weight.grad = v.T.clone(), v.clone()
        for layer in (conv, linear):
            LNECorrector(layer, block="channel", select=("*",)).correct_()
        torch.testing.assert_close(conv.weight.grad, linear.weight.grad.T)
