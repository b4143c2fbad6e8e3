"""What is measured on metrics and flows: norms, decay, spectra, orders of convergence."""

from .convergence import OrderReport, check_order
from .decay import (
    DecayFit,
    ModeRate,
    PowerFit,
    fit_decay_rate,
    fit_power_law,
    mode_amplitude,
    predicted_decay_rates,
)
from .norms import l2_norm, pointwise_norm, sup_norm
from .spectra import SpectrumError, lichnerowicz_spectrum

__all__ = [
    "DecayFit",
    "ModeRate",
    "OrderReport",
    "PowerFit",
    "SpectrumError",
    "check_order",
    "fit_decay_rate",
    "fit_power_law",
    "l2_norm",
    "lichnerowicz_spectrum",
    "mode_amplitude",
    "pointwise_norm",
    "predicted_decay_rates",
    "sup_norm",
]
