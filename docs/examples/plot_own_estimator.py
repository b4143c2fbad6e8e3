"""
Your own estimator
==================

An estimator says by what a quantised weight is replaced in the backward pass. One decorated class
makes it known to ``QuantConfig`` and to ``riemann-lne compare``.

Predicted: an estimator that lets no gradient through beyond a threshold leaves such weights where
they are, so that fewer signs change in training than with the straight-through estimator.
Measured: signs that change in each epoch, for three widths of a triangle.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from riemann_lne_torch import (
    Estimator,
    QuantConfig,
    latent_parameters,
    quantize_,
    register_estimator,
)

torch.set_num_threads(1)


# %%
# The gradient of the discrete weight times ``1 - |w| / width``, cut off at 0.
@register_estimator("triangle")
class Triangle(Estimator):
    """Gradient times 1 - |w|/width, cut off at 0."""

    def __init__(self, width: float = 1.0):
        self.width = width

    def backward(self, w, q, grad, site):
        """A triangle about zero in place of the derivative of the sign."""
        return grad * (1 - w.abs() / self.width).clamp(min=0)


# %%
# A small binary network on 8 x 8 digits.
x, y = load_digits(return_X_y=True)
x = torch.as_tensor((x - 8) / 8, dtype=torch.float32)
y = torch.as_tensor(y)


def signs_that_change(estimator, epochs=12):
    """Percentage of signs that change in each epoch, and the accuracy at the end in percent."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 48, bias=False), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10, bias=False),
        nn.BatchNorm1d(10),
    )  # fmt: skip
    quantize_(model, QuantConfig(weight_bits=1, estimator=estimator))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    changes, weights = [], latent_parameters(model)
    for _ in range(epochs):
        before = torch.cat([w.detach().sign().flatten() for w in weights])
        for batch in torch.randperm(1200).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        after = torch.cat([w.detach().sign().flatten() for w in weights])
        changes.append(100 * float((before != after).double().mean()))
    model.eval()
    with torch.no_grad():
        accuracy = (model(x[1200:]).argmax(1) == y[1200:]).double().mean()
    return changes, 100 * float(accuracy)


estimators = {"straight-through": "ste"} | {f"width {w}": Triangle(w) for w in (1.0, 0.3, 0.1)}
results = {name: signs_that_change(estimator) for name, estimator in estimators.items()}
for name, (changes, accuracy) in results.items():
    print(f"{name:17s} {np.sum(changes):6.1f} % of the signs in all, accuracy {accuracy:.1f} %")

# %%
# One seed shows what the estimator does, not which is better: ``riemann-lne compare`` does that.
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
w = torch.linspace(-1.2, 1.2, 241, dtype=torch.float64)
for name, estimator in estimators.items():
    factor = (
        torch.ones_like(w)
        if isinstance(estimator, str)
        else estimator.backward(w, w.sign(), torch.ones_like(w), None)
    )
    left.plot(w, factor, label=name)
    right.plot(np.arange(1, 13), results[name][0], "o-", markersize=4, label=name)
left.set(xlabel="latent weight w", ylabel="gradient over that of Q", title="Estimators")
left.legend(frameon=False, fontsize="small")
right.set(xlabel="epoch", ylabel="signs that change (%)", title="What they do in training")
plt.show()
