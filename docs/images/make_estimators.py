"""Draw value and gradient of every estimator: python docs/images/make_estimators.py."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from riemann_lne_torch import QuantConfig, quantize_
from riemann_lne_torch import estimators as est
from riemann_lne_torch import optimizers as opt

HERE = Path(__file__).parent
# Ends of a scale of one hue, light to dark, for progress 0, 1/2, 1.
SHADES = ("#86b6ef", "#2a78d6", "#104281")
INK, MUTED, RULE = "#0b0b0b", "#7a786f", "#e1e0d9"

# Estimator, title, whether G = sign(w): a rank-one correction does nothing to a G that is even.
PANELS = [
    (est.STE(), "STE", False),
    (est.ClippedSTE(), "ClippedSTE", False),
    (est.DoReFa(), "DoReFa", False),
    (est.BWN(), "BWN", False),
    (est.EDE(standardize=False), "EDE, on weights as they are", False),
    (est.ReSTE(), "ReSTE", False),
    (est.EWGS(delta=0.5), "EWGS, delta = 0.5", False),
    (est.LNE(inverse="weak"), "LNE weak, G = sign w", True),
    (est.LNE(), "LNE exact, G = sign w", True),
    (est.FlowedLNE(), "FlowedLNE, G = sign w", True),
    (est.HessianLNE(tau=1.0), "HessianLNE, tau = 1", False),
    (est.DualLNE(tau=1.0), "DualLNE, tau = 1", False),
]


# Levels of their own, and bits, on weights spread over [-2, 2]; the last two at their first step.
LEVEL_PANELS = [
    (est.RDFS(), "RDFS", 2),
    (est.StackedSigmoid(alpha=4.0), "StackedSigmoid, alpha = 4", 2),
    (est.Ternary(), "Ternary", 2),
    (est.RMSLevels("layer"), "RMSLevels", 2),
    (est.QuEST("layer"), "QuEST, 1 bit", 1),
    (est.QuEST("layer", ternary=True), "QuEST, ternary", 2),
    (est.LSQ(), "LSQ", 2),
    (est.SEQ(), "SEQ", 2),
    (est.Hestia("layer"), "Hestia", 2),
    (est.Hestia("layer", ternary=True), "Hestia, ternary", 2),
    (est.ReinMax("layer", sample=False), "ReinMax", 2),
    (est.ReinMax("layer", ternary=True, sample=False), "ReinMax, ternary", 2),
]


def gradient(estimator, w, bits, progress, odd):
    """The estimator's gradient for G = 1, or G = sign(w)."""
    site = est.Site(bits=bits, progress=progress, training=True)
    w = w.clone().requires_grad_()
    q = est.estimate(w, estimator, site)
    q.backward(torch.sign(w.detach()) if odd else torch.ones_like(w))
    return q.detach(), w.grad


def draw():
    """The figure: one panel an estimator, all on the same axes."""
    w = torch.linspace(-2.0, 2.0, 801, dtype=torch.float64)
    figure, axes = plt.subplots(3, 4, figsize=(11.0, 7.6), sharex=True, sharey=True)
    for (estimator, title, odd), ax in zip(PANELS, axes.flat, strict=True):
        ax.set_title(title, fontsize=9.5, color=INK, loc="left")
        for bits, style in ((1, "-"), (2, ":")):
            value, _ = gradient(estimator, w, bits, 0.0, odd)
            ax.plot(w, value, style, color=MUTED, lw=1.3, drawstyle="steps-mid")
        times = (0.0, 0.5, 1.0) if estimator.scheduled else (0.5,)
        for progress in times:
            _, slope = gradient(estimator, w, 1, progress, odd)
            shade = SHADES[round(2 * progress)]
            ax.plot(w, slope, color=shade, lw=2.0)
        ax.set_ylim(-2.6, 5.2)
        ax.set_xlim(-2.0, 2.0)
        ax.grid(color=RULE, lw=0.7)
        ax.tick_params(colors=MUTED, labelsize=8, length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("latent weight w", fontsize=9, color=INK)
    lines = [
        plt.Line2D([], [], color=MUTED, lw=1.3, label="value, 1 bit"),
        plt.Line2D([], [], color=MUTED, lw=1.3, ls=":", label="value, 2 bits"),
        plt.Line2D([], [], color=SHADES[1], lw=2.0, label="gradient, 1 bit (G = 1)"),
        plt.Line2D([], [], color=SHADES[0], lw=2.0, label="at progress 0"),
        plt.Line2D([], [], color=SHADES[2], lw=2.0, label="at progress 1"),
    ]
    figure.legend(handles=lines, loc="upper center", ncols=5, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.955))
    return figure


def draw_levels():
    """Value and gradient of the quantisers, on axes of the same range."""
    w = torch.linspace(-2.0, 2.0, 801, dtype=torch.float64)
    figure, axes = plt.subplots(3, 4, figsize=(11.0, 7.6), sharex=True, sharey=True)
    for (estimator, title, bits), ax in zip(LEVEL_PANELS, axes.flat, strict=True):
        ax.set_title(title, fontsize=9.5, color=INK, loc="left")
        for progress in (0.0, 0.5, 1.0) if estimator.scheduled else (0.5,):
            value, slope = gradient(estimator, w, bits, progress, False)
            ax.plot(w, value, color=MUTED, lw=1.3, drawstyle="steps-mid")
            ax.plot(w, slope, color=SHADES[round(2 * progress)], lw=2.0)
        ax.set_ylim(-2.6, 2.6)
        ax.set_xlim(-2.0, 2.0)
        ax.grid(color=RULE, lw=0.7)
        ax.tick_params(colors=MUTED, labelsize=8, length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("latent weight w", fontsize=9, color=INK)
    lines = [
        plt.Line2D([], [], color=MUTED, lw=1.3, label="value"),
        plt.Line2D([], [], color=SHADES[1], lw=2.0, label="gradient (G = 1)"),
    ]
    figure.legend(handles=lines, loc="upper center", ncols=2, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.955))
    return figure


def move(wrapper, w, progress, **options):
    """The weights after a step of rate 1 without a gradient; levels are +-2 and +-2/3."""
    layer = torch.nn.Linear(len(w), 1, bias=False, dtype=w.dtype)
    latent = layer.weight
    latent.data.copy_(w[None])
    model = quantize_(layer, QuantConfig(weight_bits=2, weight_scale="max"))
    optimizer = wrapper(torch.optim.SGD([latent], lr=1.0), model, steps=10, **options)
    optimizer.steps = round(10 * progress)
    latent.grad = torch.zeros_like(latent)
    optimizer.step()
    return latent.detach()[0]


def trace(wrapper, steps=40):
    """A single weight under a gradient that always points away from 0, step by step."""
    layer = torch.nn.Linear(1, 1, bias=False)
    latent = layer.weight
    latent.data.fill_(0.5)
    model = quantize_(layer)
    optimizer = wrapper(torch.optim.SGD([latent], lr=0.3), model)
    found = [latent.item()]
    for _ in range(steps):
        latent.grad = torch.sign(latent.detach() + 0.05)
        optimizer.step()
        found.append(latent.item())
    return found


def draw_steps():
    """The methods around the step, each by a run of its own class."""
    u = torch.linspace(-2.0, 2.0, 801, dtype=torch.float64)
    figure, axes = plt.subplots(2, 3, figsize=(11.0, 6.2))
    for ax, form, title in zip(axes[0], ("parq", "relax"), ("PARQ", "BinaryRelax"), strict=False):
        ax.set_title(f"{title}: weight of the model against u", fontsize=9.5, color=INK, loc="left")
        for rho, shade in zip((0.8, 0.5, 0.1), SHADES, strict=True):
            weight = opt.annealed(u, 2, torch.tensor(1.0), rho, form)
            ax.plot(u, weight, color=shade, lw=1.8, label=f"rho = {rho}")
        ax.legend(frameon=False, fontsize=8)
    pulls = (
        (axes[0, 2], opt.OscillationDamping, "OscillationDamping: change in a step", {}),
        (axes[1, 0], opt.CAGE, "CAGE: change in a step", {"silent": 0.0, "strength": 0.2}),
    )
    for ax, wrapper, title, options in pulls:
        ax.set_title(title, fontsize=9.5, color=INK, loc="left")
        for progress, shade in zip((0.2, 0.5, 1.0), SHADES, strict=True):
            change = move(wrapper, u, progress, **options) - u
            ax.plot(u, change, color=shade, lw=1.8, label=f"progress {progress}")
        ax.set_ylim(-0.15, 0.2)
        ax.legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
    traces = (
        (axes[1, 1], "OscillationFreezing",
         lambda o, m: opt.OscillationFreezing(o, m, momentum=0.1, threshold=0.5, steps=40)),
        (axes[1, 2], "Lookahead", lambda o, m: opt.Lookahead(o)),
    )  # fmt: skip
    for ax, title, wrapper in traces:
        ax.set_title(f"{title}: a weight, step by step", fontsize=9.5, color=INK, loc="left")
        ax.plot(trace(lambda o, m: o), color=MUTED, lw=1.0, label="without")
        ax.plot(trace(wrapper), color=SHADES[1], lw=1.8, label="with it")
        ax.legend(frameon=False, fontsize=8)
        ax.set_xlabel("step", fontsize=9, color=INK)
    for ax in (*axes[0], axes[1, 0]):
        ax.set_xlabel("latent weight", fontsize=9, color=INK)
    for ax in axes.flat:
        ax.grid(color=RULE, lw=0.7)
        ax.tick_params(colors=MUTED, labelsize=8, length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    draw_steps().savefig(HERE / "estimators-steps.png", dpi=110, facecolor="white")
    draw_levels().savefig(HERE / "estimators-levels.png", dpi=110, facecolor="white")
    draw().savefig(HERE / "estimators.png", dpi=110, facecolor="white")
