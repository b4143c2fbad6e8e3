"""Draw value and gradient of every estimator: python docs/images/make_estimators.py."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from riemann_lne_torch import estimators as est

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


if __name__ == "__main__":
    draw_levels().savefig(HERE / "estimators-levels.png", dpi=110, facecolor="white")
    draw().savefig(HERE / "estimators.png", dpi=110, facecolor="white")
