"""Names that moved are still found where they were."""

from __future__ import annotations

import importlib

import pytest

MOVED = {
    "riemann_lne.weights": ("riemann_lne.coefficients", ["Order", "central_weights", "fd_weights"]),
    "riemann_lne.surfaces": ("riemann_lne.curvature_2d", ["deturck_flow_tensor_2d"]),
    "riemann_lne.flow_command.expressions": (
        "riemann_lne.flow_command.formulas",
        ["Formula", "constant", "FUNCTIONS", "CONSTANTS"],
    ),
    "riemann_lne.integrators.etd": ("riemann_lne.integrators.methods.etd", ["ETDRK4", "advance"]),
    "riemann_lne.integrators.etd_coefficients": (
        "riemann_lne.integrators.methods.etd",
        ["etdrk4_coefficients"],
    ),
    "riemann_lne.integrators.stepper": (
        "riemann_lne.integrators.methods.base",
        ["State", "StepError"],
    ),
    "riemann_lne.integrators.base": (
        "riemann_lne.integrators.methods.base",
        ["Integrator", "OneStep", "State", "Step", "StepError", "System"],
    ),
    "riemann_lne.integrators.blockwise": (
        "riemann_lne.integrators.methods.blockwise",
        ["Combination", "blockwise", "combination"],
    ),
    "riemann_lne.integrators.controller": (
        "riemann_lne.integrators.methods.controller",
        ["PIController"],
    ),
    "riemann_lne.integrators.etd_in_place": (
        "riemann_lne.integrators.methods.etd_in_place",
        ["StepInPlace"],
    ),
    "riemann_lne.integrators.methods": (
        "riemann_lne.integrators.methods.registry",
        ["METHODS", "known_methods", "make_integrator", "register_method"],
    ),
    "riemann_lne.integrators.pooled": ("riemann_lne.integrators.methods.pooled", ["Pool"]),
    "riemann_lne.integrators.protocol": (
        "riemann_lne.integrators.methods.protocol",
        ["require_integrator"],
    ),
    "riemann_lne.integrators.rkl": ("riemann_lne.integrators.methods.rkl", ["RKG2", "RKL2"]),
    "riemann_lne.integrators.runge_kutta": (
        "riemann_lne.integrators.methods.runge_kutta",
        ["BS32", "RK4", "TSIT5", "ExplicitRungeKutta", "Tableau"],
    ),
    "riemann_lne.integrators.semidiscrete": (
        "riemann_lne.flows.laplacian",
        ["laplacian_symbol", "mean_laplacian_symbol", "mean_metric"],
    ),
    "riemann_lne.integrators.splitting": (
        "riemann_lne.integrators.methods.splitting",
        ["relative_drift", "splitting_metric"],
    ),
    "riemann_lne.kernels.trace": ("riemann_lne.flows.base", ["Formula"]),
}


@pytest.mark.parametrize("old", MOVED)
def test_what_moved_is_found_at_its_old_place(old: str) -> None:
    new, names = MOVED[old]
    before, after = importlib.import_module(old), importlib.import_module(new)
    for name in names:
        assert getattr(before, name) is getattr(after, name)


TOP = """
    AffineSet Box Checkpoint EuclideanPotential FlowSolution FlowedLNEMetric Grid HessianLNEMetric
    LNEMetric LNEPotential MetricField NegativeEntropy NormalizedRicciFlow RicciDeTurckFlow
    RicciFlow RiemannLNEError ScaledFlow Simplex analysis auto_tau bianchi_residual check_order
    curvature curvature_max discrete_flow_defect euler_characteristic events exact fit_blow_up
    fit_decay_rate fit_power_law flat_metric l2_norm lichnerowicz_spectrum lne_divergence
    lne_dual_divergence lne_dual_potential lne_potential max_tau minkowski_product mirror_descent
    mirror_descent_bound mode_amplitude perelman_f perelman_lambda perelman_lambda_rate perelman_w
    perturbed_euclidean plotting predicted_decay_rates scalar_curvature_max scalar_curvature_min
    solve_flow strong_inverse sup_norm total_scalar_curvature volume
"""


@pytest.mark.parametrize("name", TOP.split())
def test_names_of_the_package_stay(name: str) -> None:
    assert hasattr(importlib.import_module("riemann_lne"), name)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("riemann_lne.kernels", "FORMULAS ORDERS Kernel cache_directory clear_cache compile_kernel "
         "emit_cuda fused_flow ricci ricci_deturck scalar_curvature thread_count why_not"),
        ("riemann_lne.kernels.weights", "WeightKernel weight_kernel"),
        ("riemann_lne.integrators", "METHODS Checkpoint FlowSolution events solve_flow"),
        ("riemann_lne.flows", "Flow NormalizedRicciFlow RicciDeTurckFlow RicciFlow ScaledFlow "
         "laplacian_spectral_radius"),
    ],
)  # fmt: skip
def test_names_of_the_rooms_stay(module: str, names: str) -> None:
    found = importlib.import_module(module)
    assert [n for n in names.split() if not hasattr(found, n)] == []


@pytest.mark.parametrize(
    ("module", "needs", "names"),
    [
        ("", "torch", "LNECorrector LayerDefect LayerStatistics RicciFlowRegularizer StepResult "
         "algorithm_1_step algorithm_2_step register_channel_axis translate"),
        (".estimators", "torch", "BWN EDE EWGS LNE STE ClippedSTE DoReFa DualLNE Estimator "
         "FlowedLNE HessianLNE ReSTE Site Standardized available_estimators estimate get_estimator "
         "register_estimator"),
        (".optimizers", "torch", "BinaryConnect FCGrad MirrorDescentTanh MultiFC OptimizerWrapper "
         "ProxQuant proximal_binary quantizable_parameters"),
        (".quantization", "torch", "QuantConfig dequantize_ finalize_ latent_parameters quantize_ "
         "quantized_layers set_progress"),
        (".quantizers", "torch", "ActivationQuantizer WeightQuantizer quantize_binary "
         "quantize_tensor quantize_uniform scale_factor"),
        (".logging", "torch", "Report StatisticsLogger TensorBoardReport statistics_dict"),
        (".lightning", "lightning", "LNECallback"),
        (".transformers", "transformers", "LNECallback"),
    ],
)  # fmt: skip
def test_names_of_the_torch_adapter_stay(module: str, needs: str, names: str) -> None:
    """Those that it had before it was divided into rooms."""
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    found = importlib.import_module(f"riemann_lne_torch{module}")
    assert [n for n in names.split() if not hasattr(found, n)] == []
