"""
The gradient corrector in two lines: a binary network on digits
===============================================================

A training script with one-bit weights gets the corrector of Eq. 5 in two lines, marked below: each
layer's gradient v becomes ``g^-1 v = v + t (t . v)/(1 - |t|^2)`` with ``t = tanh(tau w)``.

Predicted: while ``|t|^2 < 1`` the correction is parallel to t and small, since a gradient of many
entries is nearly orthogonal to any given vector. Measured: the angle between plain and corrected
gradient, and test accuracies of paired seeds, plain and corrected. Five seeds at one untuned
setting show what the tool does; they are no comparison of methods.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from riemann_lne_torch import LNECorrector, QuantConfig, quantize_

torch.set_num_threads(1)  # small matrices: more threads would wait for one another
x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = (
    torch.as_tensor(a, dtype=torch.float32 if a.ndim == 2 else torch.int64)
    for a in train_test_split((x - 8) / 8, y, test_size=0.3, random_state=0, stratify=y)
)


# %%
# A narrow network, so that the estimator matters: four hidden layers of 12, all weights in {-1, 1},
# batch norm behind each.
def network() -> nn.Module:
    """A binary multilayer perceptron for 64 inputs and ten classes."""
    layers: list[nn.Module] = []
    for inside, outside in ((64, 12), (12, 12), (12, 12), (12, 12)):
        layers += [nn.Linear(inside, outside, bias=False), nn.BatchNorm1d(outside), nn.ReLU()]
    layers += [nn.Linear(12, 10, bias=False), nn.BatchNorm1d(10)]
    return quantize_(nn.Sequential(*layers), QuantConfig(weight_bits=1))


def train(seed: int, corrected: bool, epochs: int = 14):
    """Accuracy on the test images in percent, and the corrector's angles in degrees."""
    torch.manual_seed(seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    angles = []
    if corrected:
        corrector = LNECorrector(model, target=0.5)  # the first line
        corrector.attach(optimizer)  # the second line
    for _ in range(epochs):
        for batch in torch.randperm(len(x_train)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x_train[batch]), y_train[batch]).backward()
            optimizer.step()
            if corrected:
                angles.append([s.angle for s in corrector.statistics.values()])
        schedule.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(x_test).argmax(1) == y_test).double().mean()
    return 100 * float(accuracy), np.degrees(angles)


# %%
# The same seeds for both: same start, same batches.
seeds = range(5)
plain = np.asarray([train(seed, False)[0] for seed in seeds])
runs = [train(seed, True) for seed in seeds]
corrected = np.asarray([accuracy for accuracy, _ in runs])
difference = corrected - plain
print("seed   plain   corrected   difference")
for seed, a, b in zip(seeds, plain, corrected, strict=True):
    print(f"{seed:4d}   {a:5.2f}   {b:9.2f}   {b - a:+10.2f}")
print(
    f"mean difference {difference.mean():+.2f} points, standard error "
    f"{difference.std(ddof=1) / np.sqrt(len(difference)):.2f}"
)

# %%
# The work of the corrector, from its own statistics. If a gradient pointed in a random direction,
# its cosine to t would be about one over the square root of the number n of weights, and the angle
# ``|t|^2/(1 - |t|^2)`` times that, here the cosine itself.
angles = runs[0][1]
sizes = [64 * 12, 12 * 12, 12 * 12, 12 * 12, 12 * 10]
print("weights   mean angle   of a random direction (degrees)")
for layer, n in enumerate(sizes):
    print(
        f"{n:7d}   {angles[:, layer].mean():10.2f}   {np.degrees(np.sqrt(2 / (np.pi * n))):10.2f}"
    )
names = ["64 x 12", "12 x 12, first", "12 x 12, second", "12 x 12, third", "12 x 10"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
window = 20
colours = plt.cm.viridis(np.linspace(0, 0.9, 5))
for layer, (name, colour) in enumerate(zip(names, colours, strict=True)):
    smooth = np.convolve(angles[:, layer], np.ones(window) / window, "valid")
    left.plot(smooth, color=colour, label=name)
left.set(
    xlabel="step",
    ylabel=f"angle to the plain gradient (degrees),\nmean of {window} steps",
    title="What the correction changes",
)
left.set_ylim(0, 1.5 * left.get_ylim()[1])
left.legend(fontsize="small", title="layer", ncols=2, loc="upper right")
for i, (a, b) in enumerate(zip(plain, corrected, strict=True)):
    right.plot([0, 1], [a, b], "o-", color="0.4", label="one seed" if i == 0 else None)
right.plot([0, 1], [plain.mean(), corrected.mean()], "s-", color="tab:orange", lw=2.5, label="mean")
right.set(
    xticks=[0, 1],
    xticklabels=["straight-through", "corrected"],
    xlim=(-0.3, 1.3),
    ylabel="test accuracy (%)",
    title="Paired seeds",
)
right.legend(fontsize="small")
plt.show()
