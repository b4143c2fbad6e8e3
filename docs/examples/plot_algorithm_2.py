"""
Algorithm 2 on digits: the discrete Ricci flow as a regulariser
===============================================================

RF-DNN, Algorithm 2 of the paper, on 8 x 8 digits: four translated copies of the batch give four
virtual steps, the defect N of one step of the discrete Ricci flow between their metrics is added to
the loss, the gradient is corrected, and a gate compares N with a threshold. The paper leaves many
choices open; here they are the defaults of `RicciFlowRegularizer` but for a soft gate.

Predicted: at small virtual steps ``N/|t|^4`` is twice the squared relative step
``step^2 |v|^2/|w|^2``, where v combines the gradients of the copies, so that it scales with the
square of the step. Measured: N along training, the gate, and the slope of N against the step.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from riemann_lne_torch import (
    LNECorrector,
    QuantConfig,
    RicciFlowRegularizer,
    algorithm_2_step,
    quantize_,
)

torch.set_num_threads(1)
torch.manual_seed(0)
digits = load_digits()
x = torch.as_tensor((digits.images - 8) / 8, dtype=torch.float32)[:, None]
y = torch.as_tensor(digits.target)
x_train, y_train, x_test, y_test = x[:1200], y[:1200], x[1200:], y[1200:]

# %%
# Two binary convolutions and a float output layer; batch norm behind each convolution. The
# virtual passes leave its statistics, and the random state, as they were.
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1, bias=False),
    nn.BatchNorm2d(8),
    nn.ReLU(),
    nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(256, 10),
)
quantize_(model, QuantConfig(weight_bits=1, skip=(nn.Linear,)))
loss_fn = nn.functional.cross_entropy
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
corrector = LNECorrector(model, inverse="weak")  # the inverse that the paper trains with
penalty = RicciFlowRegularizer(
    model, loss_fn, shifts=((1, -1), (1, -1)), step=optimizer, gate="soft", eps=1e-3
)

history = []
for _ in range(8):
    for batch in torch.randperm(len(x_train)).split(64):
        result = algorithm_2_step(
            model, loss_fn, optimizer, corrector, penalty, 0.1, x_train[batch], y_train[batch]
        )
        layers = list(penalty.statistics.values())
        history.append(
            [float(result.loss), *(s.value for s in layers), *(s.factor for s in layers)]
        )
model.eval()
with torch.no_grad():
    accuracy = (model(x_test).argmax(1) == y_test).double().mean()
history = np.asarray(history)
print(f"test accuracy {100 * accuracy:.1f} %")
print(f"steps in which the gate reduced a layer: {100 * (history[:, 3:] < 1).mean():.0f} %")

# %%
# N against the virtual step, on the trained network and one batch.
steps = np.geomspace(1e-5, 1e-1, 9)
model.train()
values = []
for step in steps:
    n = RicciFlowRegularizer(model, loss_fn, step=step, derivative="none")
    values.append(float(n(x_train[:256], y_train[:256])))
slope = np.polyfit(np.log(steps[:6]), np.log(values[:6]), 1)[0]
print(f"slope of log N against log step for steps up to {steps[5]:.0e}: {slope:.3f} (predicted 2)")

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.4), constrained_layout=True)
left.plot(history[:, 0], color="tab:blue", lw=0.8)
left.set(xlabel="step", ylabel="loss", title="Training", yscale="log")
for layer, colour in enumerate(("tab:blue", "tab:orange")):
    middle.plot(history[:, 1 + layer], color=colour, lw=0.8, label=f"convolution {layer + 1}")
middle.axhline(1e-3, color="0.3", ls="--", lw=1, label="threshold of the gate")
middle.set(xlabel="step", ylabel="$N/|t|^4$ (dimensionless)", title="Defect", yscale="log")
middle.legend(fontsize="small")
right.loglog(steps, values, "o", color="tab:blue", label="measured")
right.loglog(steps, values[0] * (steps / steps[0]) ** 2, "--", color="0.3", label="slope 2")
right.set(xlabel="virtual step", ylabel="N, mean over layers", title="N and the virtual step")
right.legend(fontsize="small")
plt.show()
