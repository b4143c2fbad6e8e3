"""
How far gradients mislead in training
=====================================

A binary network is trained on latent weights, but its loss depends on their signs alone. A step
changes the loss only where signs flip, and then by a finite amount.

Predicted: if the gradient of the discrete weights told the truth, the loss of the same batch
would change by ``dL/dQ . (Q' - Q)`` in a step from Q to Q', to first order. Measured: that number
against the change of the loss, step by step, at two learning rates. What lies between them is the
mismatch.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from riemann_lne_torch import QuantConfig, latent_parameters, quantize_

torch.set_num_threads(1)
x, y = load_digits(return_X_y=True)
x = torch.as_tensor((x - 8) / 8, dtype=torch.float32)
y = torch.as_tensor(y)


# %%
# With the straight-through estimator the latent gradient is dL/dQ itself.
def train(rate, epochs=8):
    """Predicted and true change of the loss by the signs that flip, one row a step."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10, bias=False),
        nn.BatchNorm1d(10),
    )  # fmt: skip
    quantize_(model, QuantConfig(weight_bits=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    weights, rows = latent_parameters(model), []
    for _ in range(epochs):
        for batch in torch.randperm(1200).split(100):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            before = [(w.detach().sign(), w.grad.clone()) for w in weights]
            kept = [p.detach().clone() for p in model.parameters()]
            optimizer.step()
            with torch.no_grad():  # the step of the quantised weights alone, on the same batch
                stepped = [p.detach().clone() for p in model.parameters()]
                for p, old in zip(model.parameters(), kept, strict=True):
                    if not any(p is w for w in weights):
                        p.copy_(old)
                after = nn.functional.cross_entropy(model(x[batch]), y[batch])
                for p, new in zip(model.parameters(), stepped, strict=True):
                    p.copy_(new)
            predicted = sum(
                float((g * (w.detach().sign() - q)).sum())
                for w, (q, g) in zip(weights, before, strict=True)
            )
            rows.append((predicted, float(after - loss)))
    return np.array(rows)


runs = {rate: train(rate) for rate in (0.02, 0.5)}
for rate, rows in runs.items():
    flips = rows[rows[:, 0] != 0]
    wrong = np.mean(flips[:, 1] > 0)
    ratio = np.sum(flips[:, 1]) / np.sum(flips[:, 0])
    print(
        f"learning rate {rate}: {len(flips)} of {len(rows)} steps flip signs; "
        f"the loss falls by {ratio:.0%} of what was predicted; it rises in {wrong:.0%} of the steps"
    )

# %%
# On the dashed line the gradient is right. Below zero on the left axis, above it on the other: a
# step that was to lower the loss, and raised it.
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
for axis, (rate, rows) in zip(axes, runs.items(), strict=True):
    order = axis.scatter(*rows.T, c=np.arange(len(rows)), s=14, cmap="viridis")
    low = min(rows.min(), -1e-3)
    axis.plot([low, 0], [low, 0], "--", color="0.3", label="gradient right")
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set(xlabel="predicted change of the loss", title=f"learning rate {rate}")
    axis.legend(frameon=False)
axes[0].set_ylabel("measured change of the loss")
figure.colorbar(order, ax=axes, label="step")
plt.show()
