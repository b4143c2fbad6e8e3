"""The check of a training on a LightningModule, with the callback and without."""

import logging

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pl = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed (extra 'hosts')")

from riemann_lne.errors import CheckFailedError  # noqa: E402
from riemann_lne.testing import check_training_stability  # noqa: E402
from riemann_lne_torch import QuantConfig, quantize_  # noqa: E402
from riemann_lne_torch.lightning import LNECallback  # noqa: E402

pytestmark = [
    # advice that Lightning gives on machines with more cores
    pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers"),
    # torch's own, of what Lightning calls in it
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),
]


class Module(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        torch.manual_seed(0)
        self.model = quantize_(torch.nn.Linear(6, 3), QuantConfig(weight_bits=1))
        self.lr = lr

    def training_step(self, batch, index):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.model(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def trained(corrected):
    """One step of a user's Lightning training: a trainer that stops after one batch."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def step(module, rng):
        x = torch.as_tensor(rng.normal(size=(1, 16, 6)), dtype=torch.float32)
        y = torch.as_tensor(rng.integers(3, size=(1, 16)))
        data = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x, y), batch_size=None, shuffle=False
        )
        trainer = pl.Trainer(
            max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
            callbacks=[LNECallback()] if corrected else [],
        )  # fmt: skip
        trainer.fit(module, data)

    return step


@pytest.mark.parametrize("corrected", [True, False])
def test_a_lightning_training_is_checked_and_put_back(corrected):
    module = Module(0.01)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    report = check_training_stability(trained(corrected), module, steps=2, draws=2)
    assert {f.name: f.value for f in report.findings}["relative change"] > 0
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_a_lightning_training_with_too_large_a_rate_is_caught():
    with pytest.raises(CheckFailedError, match="layer 'model"):
        check_training_stability(trained(True), Module(100.0), steps=2, draws=2)
