"""What the TensorBoard writer wrote, read back by TensorBoard."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
events = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="tensorboard is not installed (extra 'hosts')",
)

from riemann_lne_torch import LNECorrector, QuantConfig, quantize_  # noqa: E402
from riemann_lne_torch.logging import StatisticsLogger, TensorBoardReport  # noqa: E402


@pytest.mark.parametrize("own", [True, False], ids=["folder", "writer"])
def test_scalars_come_back(own, tmp_path):
    torch.manual_seed(0)
    model = quantize_(torch.nn.Linear(5, 3), QuantConfig(weight_bits=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    corrector = LNECorrector([("fc", next(iter(model.parameters())))], target=0.3)
    if not own:
        from torch.utils.tensorboard import SummaryWriter

        report = TensorBoardReport(SummaryWriter(str(tmp_path)))
    else:
        report = TensorBoardReport(tmp_path)
    corrector.attach(optimizer)
    StatisticsLogger(corrector, report, every=2).attach(optimizer)
    taus = []
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.ones(4, 5)).square().mean().backward()
        optimizer.step()
        taus.append(corrector.statistics["fc"].tau)
    report.close()
    found = events.EventAccumulator(str(tmp_path)).Reload()
    scalars = found.Scalars("lne/fc/tau")
    assert [s.step for s in scalars] == [0, 2, 4]
    # TensorBoard keeps float32
    assert [s.value for s in scalars] == pytest.approx(taus[::2], rel=1e-6)
    assert set(found.Tags()["scalars"]) >= {"lne/fc/norm2", "lne/fc/angle", "lne/fc/corrected"}
    if not own:
        report.writer.close()
