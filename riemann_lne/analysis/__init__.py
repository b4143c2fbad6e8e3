"""Measurements on metrics and flows: norms, invariants, decay, blow-up, spectra, orders."""

from .blow_up import BlowUpFit, fit_blow_up
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
from .embedding import EmbeddingProfile, embedding_profile
from .geodesics import Geodesic, geodesic
from .invariants import (
    bianchi_residual,
    curvature_max,
    euler_characteristic,
    scalar_curvature_max,
    scalar_curvature_min,
    total_scalar_curvature,
    volume,
)
from .norms import l2_norm, pointwise_norm, sup_norm
from .perelman import (
    GroundState,
    perelman_f,
    perelman_ground_state,
    perelman_lambda,
    perelman_lambda_rate,
    perelman_w,
)
from .spectra import SpectrumError, lichnerowicz_spectrum

__all__ = [
    "BlowUpFit",
    "DecayFit",
    "EmbeddingProfile",
    "Geodesic",
    "GroundState",
    "ModeRate",
    "OrderReport",
    "PowerFit",
    "SpectrumError",
    "bianchi_residual",
    "check_order",
    "curvature_max",
    "embedding_profile",
    "euler_characteristic",
    "fit_blow_up",
    "fit_decay_rate",
    "fit_power_law",
    "geodesic",
    "l2_norm",
    "lichnerowicz_spectrum",
    "mode_amplitude",
    "perelman_f",
    "perelman_ground_state",
    "perelman_lambda",
    "perelman_lambda_rate",
    "perelman_w",
    "pointwise_norm",
    "predicted_decay_rates",
    "scalar_curvature_max",
    "scalar_curvature_min",
    "sup_norm",
    "total_scalar_curvature",
    "volume",
]
