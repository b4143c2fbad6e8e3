"""Every public function, given every kind of wrong array and number: an error or finite numbers.

The table below has an entry for each public name; a new one without an entry fails. Looked at: the
package, its rooms lne, analysis, conformal, exact, curvature, events, plotting, symmetric, and all
public methods of the classes there. The variants are in conftest.py. Not here: solve_flow's own
arguments, stores and checkpoints, which are looked at in tests/integrators and tests/io.
"""

import dataclasses
import inspect

import matplotlib
import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import analysis, curvature, exact, lne

matplotlib.use("Agg")

GRID = rl.Grid.torus((8, 8))
START = rl.perturbed_euclidean(GRID, 0.2, seed=1)
G = np.array(START.components)
H = G * 0.1
F = np.sin(GRID.coordinates()[0])
V = np.stack([F, F])
X = np.asarray([0.3, -0.2, 0.1])
Y = np.asarray([-0.1, 0.25, 0.2])
T = np.linspace(0.0, 1.0, 9)
P = np.full(3, 1 / 3)
BENT = exact.periodic_sausage((1, 0)).field(0.5, rl.Grid.torus((12, 12)))
ATLAS = rl.Atlas.sphere(2, 20)
ON_ATLAS = 0.1 * ATLAS.sphere_points()[0]
ENTROPY, LNE = rl.NegativeEntropy(), rl.LNEPotential(1.0)
SHIFTED = rl.ShiftedLNEMetric(1.0, 0.5)
FLOWED, METRIC, HESSIAN = rl.FlowedLNEMetric(1.0, 0.1), rl.LNEMetric(1.0), rl.HessianLNEMetric(1.0)


def descent(start=P, gradient=Y, steps=3, step_size=0.1):
    return rl.mirror_descent(
        lambda x: gradient, start, potential=LNE, steps=steps, step_size=step_size
    )


def metric_methods(metric):
    """The methods that both metrics of weight space have."""
    return {
        "matrix": [(metric.matrix, X)],
        "apply": [(lambda a: metric.apply(a, Y), X), (lambda a: metric.apply(X, a), Y)],
        "solve": [(lambda a: metric.solve(a, Y), X), (lambda a: metric.solve(X, a), Y)],
        "determinant": [(metric.determinant, X)],
        "is_positive_definite": [(metric.is_positive_definite, X)],
        "is_diagonally_dominant": [(metric.is_diagonally_dominant, X)],
        "christoffel": [
            (lambda a: metric.christoffel(a, X, Y), X),
            (lambda a: metric.christoffel(X, a, Y), X),
        ],
        "ricci": [(metric.ricci, X), (lambda a: metric.ricci(X).apply(a), Y)],
        "scalar_curvature": [(metric.scalar_curvature, X)],
        "riemann": [
            (lambda a: metric.riemann(a, X, Y, Y), X),
            (lambda a: metric.riemann(X, a, Y, a), Y),
        ],
        "sectional_curvature": [
            (lambda a: metric.sectional_curvature(a, X, Y), X),
            (lambda a: metric.sectional_curvature(X, a, Y), X),
        ],
        "divergence": [
            (lambda a: metric.divergence(a, Y), X),
            (lambda a: metric.divergence(X, a), Y),
        ],
        "exp": [(lambda a: metric.exp(a, Y), X), (lambda a: metric.exp(X, a), Y)],
        "geodesic": [
            (lambda a: metric.geodesic(X, a, [0.5]), Y),
            (lambda a: metric.geodesic(X, Y, a), T),
        ],
        "transport": [
            (lambda a: metric.transport(a, Y, X), X),
            (lambda a: metric.transport(X, Y, a), X),
        ],
        "log": [(lambda a: metric.log(a, Y), X), (lambda a: metric.log(X, a), Y)],
        "distance": [(lambda a: metric.distance(a, Y), X), (lambda a: metric.distance(X, a), Y)],
    }


def potential_methods(potential):
    return {
        "value": [(potential.value, P)],
        "gradient": [(potential.gradient, P)],
        "inverse_gradient": [(potential.inverse_gradient, P)],
        "divergence": [
            (lambda a: potential.divergence(a, P), P),
            (lambda a: potential.divergence(P, a), P),
        ],
        "hessian": [(potential.hessian, P)],
        "modulus": [(potential.modulus, 0.5)],
        "gradient_difference": [(lambda a: potential.gradient_difference(a, P), P)],
        "raised": [(lambda a: potential.raised(a, 0.0 * P), P)],
        "admit": [(lambda a: potential.admit(a, "a"), P)],
    }


def set_methods(convex):
    return {
        "project": [(lambda a: convex.project(LNE, a), P)],
        "step": [
            (lambda a: convex.step(LNE, a, 0.0 * P), P),
            (lambda a: convex.step(LNE, P, a), 0.1 * P),
        ],
        "contains": [(convex.contains, P)],
    }


def of(prefix, methods, *leave_out):
    return {f"{prefix}.{name}": v for name, v in methods.items() if name not in leave_out}


def of_metric(function, metric=START):
    """Of a metric: its components are the array, and something else is refused."""
    return [
        (lambda a: function(rl.MetricField(metric.grid, a)), np.array(metric.components)),
        (lambda a: function(metric) if isinstance(a, float) and a == 0.5 else function(a), 0.5),
    ]


def of_tensor(function):
    return [
        (lambda a: function(a, START), H),
        (lambda a: function(H, rl.MetricField(GRID, a)), G),
    ]


TABLE = {
    "Grid": [
        (lambda a: rl.Grid((8, a), (0, 0), (1, 1), (True, False)), 8),
        (lambda a: rl.Grid((8, 8), (0, a), (1, 1), (True, False)), 0.0),
        (lambda a: rl.Grid((8, 8), (0, 0), (1, a), (True, False)), 1.0),
        (lambda a: rl.Grid(a, 0, 1, True), 8),
        (lambda a: rl.Grid((8, 8), a, 1, True), np.zeros(2)),
        (lambda a: rl.Grid((8, 8), 0, 1, False, a), np.ones((1, 2))),
    ],
    "Grid.torus": [(lambda a: rl.Grid.torus(8, a), 1.0), (lambda a: rl.Grid.torus(8, 1, a), 0.0)],
    "Grid.box": [(lambda a: rl.Grid.box(a, 2.0, (8,)), 1.0), (lambda a: rl.Grid.box(0, 1, a), 8)],
    "Grid.with_mirrors": [(rl.Grid.box(0, 1, (5, 5)).with_mirrors, np.ones((1, 2)))],
    "Grid.integrate": [(GRID.integrate, F), (lambda a: GRID.integrate(F, a), 4)],
    "Grid.quadrature_weights": [(GRID.quadrature_weights, 4)],
    "Grid.require_stencil": [(GRID.require_stencil, 4)],
    "Atlas": [
        (lambda a: rl.Atlas((40, 20), (a, a), ATLAS.upper, (False, False)), ATLAS.lower[0]),
    ],
    "Atlas.sphere": [
        (lambda a: rl.Atlas.sphere(a, 20).spacing, 2),
        (lambda a: rl.Atlas.sphere(2, a).spacing, 20),
        (lambda a: rl.Atlas.sphere(2, 20, a).spacing, 2.0),
        (lambda a: rl.Atlas.sphere(2, 20, order=a).spacing, 4),
    ],
    "Atlas.integrate": [(ATLAS.integrate, ON_ATLAS)],
    "Atlas.metric": [
        (lambda a: ATLAS.metric(lambda x, y, z: a), np.eye(3)[:, :, None, None] + 0.0 * ON_ATLAS),
        (lambda a: ATLAS.metric(lambda x, y, z: [[a, 0, 0], [0, 1, 0], [0, 0, 1]]), 1 + ON_ATLAS),
        (lambda a: ATLAS.metric(lambda x, y, z: [[a, 0, 0], [0, 1, 0], [0, 0, 1]]), 2.0),
    ],
    "Atlas.induced": [
        (lambda a: ATLAS.induced(lambda x, y, z: [[a, 0, 0], [0, 1, 0], [0, 0, 1]]), 2.0),
    ],
    "Atlas.round": [(lambda a: ATLAS.round(a), 1.0)],
    "Atlas.perturbed_round": [
        (lambda a: ATLAS.perturbed_round(a), 0.1),
        (lambda a: ATLAS.perturbed_round(0.1, a), 1),
    ],
    "Atlas.split": of_metric(ATLAS.split, ATLAS.round()),
    "Atlas.mismatch": of_metric(ATLAS.mismatch, ATLAS.round()),
    "Atlas.require_one_metric": of_metric(ATLAS.require_one_metric, ATLAS.round()),
    "Atlas.require_stencil": [(ATLAS.require_stencil, 4)],
    "MetricField": [(lambda a: rl.MetricField(GRID, a), G)],
    "MetricField.from_function": [
        (lambda a: rl.MetricField.from_function(GRID, lambda x, y: a), G),
        (lambda a: rl.MetricField.from_function(GRID, lambda x, y: [[a, 0], [0, 1]]), 1 + 0.1 * F),
        (lambda a: rl.MetricField.from_function(GRID, lambda x, y: [[a, 0], [0, 1]]), 2.0),
    ],
    "MetricField.from_packed": [
        (lambda a: rl.MetricField.from_packed(GRID, a), np.array(START.packed))
    ],
    "MetricField.volume": [(START.volume, 4)],
    "MetricField.l2_distance": of_metric(START.l2_distance),
    "flat_metric": [(lambda a: rl.flat_metric(GRID, dtype=np.dtype(type(a))), 1.0)],
    "perturbed_euclidean": [
        (lambda a: rl.perturbed_euclidean(GRID, a), 0.2),
        (lambda a: rl.perturbed_euclidean(GRID, 0.2, seed=a), 3),
        (lambda a: rl.perturbed_euclidean(GRID, a, modes=1), 0.1),
    ],
    # integrators
    "integrate": [
        (lambda a: rl.integrate(lambda t, y: -y, a, (0, 1)).y, np.asarray([1.0, 2.0])),
        (lambda a: rl.integrate(lambda t, y: -y, [1.0], (0, 1), rtol=a).y, 1e-3),
        (lambda a: rl.integrate(lambda t, y: -y, [1.0], (0, 1), dt=a, max_steps=99).y, 0.1),
        (
            lambda a: (
                rl.integrate(lambda t, y: -y, [1.0], (0, 1), "rkl2", dt=0.1, spectral_radius=a).y
            ),
            1.0,
        ),
    ],
    # curvature
    "curvature.deturck_vector": [
        (lambda a: curvature.deturck_vector(a, GRID), G),
        (lambda a: curvature.deturck_vector(G, GRID, a), G),
    ],
    "curvature.laplacian": [
        (lambda a: curvature.laplacian(a, F, GRID), G),
        (lambda a: curvature.laplacian(G, a, GRID), F),
    ],
    "curvature.lichnerowicz": [
        (lambda a: curvature.lichnerowicz(a, H, GRID), G),
        (lambda a: curvature.lichnerowicz(G, a, GRID), H),
    ],
    "curvature.lie_derivative": [
        (lambda a: curvature.lie_derivative(a, V, GRID), G),
        (lambda a: curvature.lie_derivative(G, a, GRID), V),
    ],
    # analysis
    "analysis.check_order": [
        (lambda a: analysis.check_order(a, [0.4, 0.2, 0.1], 2), np.asarray([16.0, 4.0, 1.0])),
        (lambda a: analysis.check_order([16.0, 4.0, 1.0], a, 2), np.asarray([0.4, 0.2, 0.1])),
        (lambda a: analysis.check_order([16.0, 4.0], [0.2, 0.1], a), 2.0),
    ],
    "analysis.fit_blow_up": [
        (lambda a: analysis.fit_blow_up(a, 1 / (1.1 - T)), T),
        (lambda a: analysis.fit_blow_up(T, a), 1 / (1.1 - T)),
        (lambda a: analysis.fit_blow_up(T, 1 / (1.1 - T), t_min=a), 0.0),
        (lambda a: analysis.fit_blow_up(T, 1 / (1.1 - T)).confidence_interval(a), 0.9),
    ],
    "analysis.fit_decay_rate": [
        (lambda a: analysis.fit_decay_rate(a, np.exp(-T)).rate, T),
        (lambda a: analysis.fit_decay_rate(T, a).rate, np.exp(-T)),
        (lambda a: analysis.fit_decay_rate(T, np.exp(-T), t_max=a), 0.9),
        (lambda a: analysis.fit_decay_rate(T, np.exp(-T)).confidence_interval(a), 0.9),
    ],
    "analysis.fit_power_law": [
        (lambda a: analysis.fit_power_law(a, 1 / (1 + T)).exponent, 1 + T),
        (lambda a: analysis.fit_power_law(1 + T, a).exponent, 1 / (1 + T)),
        (lambda a: analysis.fit_power_law(T, 1 / (1 + T), offset=a), 1.0),
    ],
    "analysis.mode_amplitude": [
        *of_metric(lambda g: analysis.mode_amplitude(g, (1, 0))),
        (lambda a: analysis.mode_amplitude(START, (1, a)), 2),
    ],
    "analysis.predicted_decay_rates": [
        *of_metric(analysis.predicted_decay_rates),
        (lambda a: analysis.predicted_decay_rates(START, [(1, a)]), 2),
    ],
    "analysis.embedding_profile": of_metric(analysis.embedding_profile, BENT),
    **{
        f"analysis.{name}": of_metric(getattr(analysis, name))
        for name in (
            "bianchi_residual",
            "curvature_max",
            "euler_characteristic",
            "perelman_ground_state",
            "perelman_lambda",
            "perelman_lambda_rate",
            "scalar_curvature_max",
            "scalar_curvature_min",
            "total_scalar_curvature",
            "volume",
        )
    },
    "analysis.lichnerowicz_spectrum": [
        (lambda a: analysis.lichnerowicz_spectrum(rl.flat_metric(GRID), a), 2)
    ],
    "analysis.perelman_f": [(lambda a: analysis.perelman_f(START, a), F)],
    "analysis.perelman_w": [
        (lambda a: analysis.perelman_w(START, a, 1.0), F),
        (lambda a: analysis.perelman_w(START, F, a), 1.0),
    ],
    **{f"analysis.{n}": of_tensor(getattr(analysis, n)) for n in ("l2_norm", "sup_norm")},
    "analysis.pointwise_norm": of_tensor(analysis.pointwise_norm),
    # weight space
    **of("lne.LNEMetric", metric_methods(METRIC)),
    **of("lne.HessianLNEMetric", metric_methods(HESSIAN)),
    "lne.LNEMetric": [(lambda a: rl.LNEMetric(a).apply(X, Y), 0.5)],
    "lne.HessianLNEMetric": [(lambda a: rl.HessianLNEMetric(a).apply(X, Y), 0.5)],
    "lne.LNEMetric.norm2": [(METRIC.norm2, X)],
    "lne.LNEMetric.eigenvalues": [(METRIC.eigenvalues, X)],
    "lne.LNEMetric.embedding": [(METRIC.embedding, X)],
    "lne.HessianLNEMetric.to_flat": [(HESSIAN.to_flat, X)],
    "lne.HessianLNEMetric.from_flat": [(HESSIAN.from_flat, X)],
    "lne.FlowedLNEMetric": [
        (lambda a: rl.FlowedLNEMetric(a, 0.1).solve(X, Y), 0.5),
        (lambda a: rl.FlowedLNEMetric(0.5, a).solve(X, Y), 0.1),
    ],
    "lne.FlowedLNEMetric.matrix": [(FLOWED.matrix, X)],
    "lne.FlowedLNEMetric.apply": [(lambda a: FLOWED.apply(a, Y), X)],
    "lne.FlowedLNEMetric.solve": [(lambda a: FLOWED.solve(X, a), Y)],
    "lne.FlowedLNEMetric.curvature_sums": [(FLOWED.curvature_sums, X)],
    "lne.FlowedLNEMetric.solve_sums": [
        (lambda a: FLOWED.solve_sums(a, Y, FLOWED.curvature_sums(X)), X)
    ],
    "lne.FlowedLNEMetric.finish": [
        (lambda a: FLOWED.finish(X, a, FLOWED.curvature_sums(X), (0.1, 0.1, 0.1, 0.1, 0.1)), Y)
    ],
    "lne.ShiftedLNEMetric": [
        (lambda a: rl.ShiftedLNEMetric(a, 0.1).solve(X, Y), 0.5),
        (lambda a: rl.ShiftedLNEMetric(0.5, a).solve(X, Y), 0.1),
    ],
    "lne.ShiftedLNEMetric.matrix": [(SHIFTED.matrix, X)],
    "lne.ShiftedLNEMetric.apply": [
        (lambda a: SHIFTED.apply(a, Y), X),
        (lambda a: SHIFTED.apply(X, a), Y),
    ],
    "lne.ShiftedLNEMetric.solve": [
        (lambda a: SHIFTED.solve(a, Y), X),
        (lambda a: SHIFTED.solve(X, a), Y),
    ],
    "lne.ShiftedLNEMetric.solve_sums": [(lambda a: SHIFTED.solve_sums(a, Y), X)],
    "lne.ShiftedLNEMetric.finish": [(lambda a: SHIFTED.finish(X, a, 0.1), Y)],
    "lne.LNERicci.apply": [(METRIC.ricci(X).apply, Y)],
    **of("lne.LNEPotential", potential_methods(LNE)),
    **of("lne.EuclideanPotential", potential_methods(rl.EuclideanPotential())),
    **of("lne.NegativeEntropy", potential_methods(ENTROPY)),
    "lne.LNEPotential": [(lambda a: rl.LNEPotential(a).value(X), 0.5)],
    "lne.Simplex": [(lambda a: rl.Simplex(a).project(LNE, P), 1.0)],
    **of("lne.Simplex", set_methods(rl.Simplex())),
    "lne.Simplex.squared_radius": [(lambda a: rl.Simplex().squared_radius(LNE, a), 5)],
    "lne.Box": [(lambda a: rl.Box(-1.0, a).project(LNE, P), 1.0)],
    **of("lne.Box", set_methods(rl.Box(-1.0, 1.0))),
    "lne.AffineSet": [
        (lambda a: rl.AffineSet(a, np.ones(1)).project(LNE, P), np.ones((1, 3))),
        (lambda a: rl.AffineSet(np.ones((1, 3)), a).project(LNE, P), np.ones(1)),
    ],
    **of("lne.AffineSet", set_methods(rl.AffineSet(np.ones((1, 3)), np.ones(1)))),
    "lne.auto_tau": [(lambda a: rl.auto_tau(a, 0.5), X), (lambda a: rl.auto_tau(X, a), 0.5)],
    "lne.max_tau": [(rl.max_tau, X)],
    "lne.discrete_flow_defect": [
        (lambda a: rl.discrete_flow_defect(a, X, X, Y, Y, 2, 2), X),
        (lambda a: rl.discrete_flow_defect(X, X, X, Y, Y, 2, 2, center=a), X),
        (lambda a: rl.discrete_flow_defect(X, X, X, Y, Y, a, 2), 2.0),
    ],
    "lne.discrete_flow_defect_of_steps": [
        (lambda a: lne.discrete_flow_defect_of_steps(a, X, X, Y, Y, X, 2, 2, 1.0), X),
        (lambda a: lne.discrete_flow_defect_of_steps(X, X, a, Y, Y, X, 2, 2, 1.0), X),
        (lambda a: lne.discrete_flow_defect_of_steps(X, X, X, Y, Y, X, 2, 2, a), 1.0),
    ],
    "lne.lne_divergence": [
        (lambda a: rl.lne_divergence(a, Y, 1.0), X),
        (lambda a: rl.lne_divergence(X, Y, a), 1.0),
    ],
    "lne.lne_potential": [
        (lambda a: rl.lne_potential(a, 1.0), X),
        (lambda a: rl.lne_potential(X, a), 1.0),
    ],
    "lne.lne_dual_divergence": [
        (lambda a: rl.lne_dual_divergence(a, Y, 1.0), X),
        (lambda a: rl.lne_dual_divergence(X, a, 1.0), Y),
    ],
    "lne.lne_dual_potential": [(lambda a: rl.lne_dual_potential(a, 1.0), X)],
    "lne.minkowski_product": [(lambda a: rl.minkowski_product(a, Y), X)],
    "lne.mirror_descent": [
        (lambda a: descent(start=a), P),
        (lambda a: descent(gradient=a), Y),
        (lambda a: descent(step_size=a), 0.1),
        (lambda a: descent(steps=a if not isinstance(a, (int, float)) or a < 9 else -1), 3),
        (lambda a: descent().bound(a), P),
    ],
    "lne.mirror_descent_bound": [
        (lambda a: rl.mirror_descent_bound(a, 1.0, 1.0, 3), 1.0),
        (lambda a: rl.mirror_descent_bound(1.0, 1.0, a, 3), 1.0),
        (lambda a: rl.mirror_descent_bound(1.0, 1.0, 1.0, a), 3),
    ],
    "lne.quantize_levels": [
        (lambda a: lne.quantize_levels(a, 2), X),
        (lambda a: lne.quantize_levels(X, a), 2),
    ],
    "lne.train_inverse": [
        (lambda a: rl.lne.train_inverse(a, steps=2), np.eye(2)[None] + 0.1),
    ],
    "lne.strong_inverse": [
        (lambda a: rl.strong_inverse(a, steps=2).inverse, np.asarray([[2.0, 0.5], [0.5, 1.0]])),
        (lambda a: rl.strong_inverse(np.eye(2), steps=2, learning_rate=a), 1e-2),
    ],
}


def of_components(function):
    return [(lambda a: function(a, GRID), G)]


for _name in (
    "christoffel", "einstein", "inverse", "ricci", "riemann", "scalar_curvature", "volume_element",
):  # fmt: skip
    TABLE[f"curvature.{_name}"] = of_components(getattr(curvature, _name))

SOLUTIONS = {
    "berger": (exact.berger, [1.0, 1.0, 0.5], 0.05),
    "cigar": (exact.cigar, [], 0.1),
    "flat": (exact.flat, [2], 0.1),
    "gauge_family": (exact.gauge_family, [2, 0.3, 1], 0.1),
    "hyperbolic": (exact.hyperbolic, [3], 0.1),
    "linear_mode": (lambda a: exact.linear_mode((1, 0), np.eye(2), a), [1e-3], 0.1),
    "nil": (exact.nil, [1.0, 0.8, 1.2], 0.1),
    "periodic_sausage": (lambda m, n: exact.periodic_sausage((1, m), n), [1, 2], 0.5),
    "product": (lambda r: exact.product(exact.round_sphere(2, r), exact.flat(1)), [1.0], 0.1),
    "projective_sphere": (exact.projective_sphere, [2, 0.3, 1], 0.1),
    "rosenau": (exact.rosenau, [], -0.5),
    "round_sphere": (exact.round_sphere, [2, 1.0], 0.1),
    "sol": (exact.sol, [1.0, 0.3], 0.1),
}


def solution_cases(make, parameters, t):
    whole = make(*parameters)
    place = [np.full(3, 0.5)] * whole.n
    for formula in ("metric", "scalar_curvature", "ricci"):
        if not hasattr(whole, formula):
            continue
        yield lambda a, f=formula: getattr(whole, f)(a, *place), t
        for k in range(whole.n):
            yield (
                lambda a, k=k, f=formula: getattr(whole, f)(t, *place[:k], a, *place[k + 1 :]),
                np.asarray([0.5, 0.6, 0.7]),
            )
        for k, value in enumerate(parameters):
            yield (
                lambda a, k=k, f=formula: getattr(
                    make(*parameters[:k], a, *parameters[k + 1 :]), f
                )(t, *place),
                value,
            )
    for points in (8,):
        yield lambda a: whole.grid(a), points


for _name, _arguments in SOLUTIONS.items():
    TABLE[f"exact.{_name}"] = list(solution_cases(*_arguments))

TABLE |= {
    "curvature.kretschmann": [(lambda a: curvature.kretschmann(a, GRID), G)],
    "curvature.weyl": [
        (lambda a: curvature.weyl(a, rl.Grid.torus((6, 6, 6))),
         np.array(rl.perturbed_euclidean(rl.Grid.torus((6, 6, 6)), 0.2).components)),
    ],
    "curvature.covariant_derivative": [
        (lambda a: curvature.covariant_derivative(a, V, GRID, "u"), G),
        (lambda a: curvature.covariant_derivative(G, a, GRID, "u"), V),
    ],
    "MetricField.covariant_derivative": [(lambda a: START.covariant_derivative(a, "u"), V)],
    "analysis.geodesic": [
        (lambda a: rl.geodesic(START, a, [0.1, 0.2], (0, 1)).x, np.array([1.0, 2.0])),
        (lambda a: rl.geodesic(START, [1.0, 2.0], a, (0, 0.1), max_steps=9).x,
         np.array([0.1, 0.2])),
    ],
}  # fmt: skip
SINE = np.sin((np.arange(12) + 0.5) * np.pi / 12)
BALL = rl.symmetric.RotationalMetric(np.ones(12), SINE)


def all_of(metric):
    """The numbers that a rotationally symmetric metric gives."""
    K0, K1 = metric.sectional_curvatures()
    return [K0, K1, metric.pole_curvature(), metric.volume(), metric.arclength()]


TABLE |= {
    "symmetric.RotationalMetric": [
        (lambda a: all_of(rl.symmetric.RotationalMetric(a, SINE)), np.ones(12)),
        (lambda a: all_of(rl.symmetric.RotationalMetric(np.ones(12), a)), SINE),
        (lambda a: rl.symmetric.RotationalMetric(np.ones(12), SINE, n=a).volume(), 2),
    ],
    "symmetric.RotationalMetric.from_function": [
        (lambda a: all_of(rl.symmetric.RotationalMetric.from_function(12, lambda x: a, np.sin)),
         np.ones(12)),
    ],
    "symmetric.RotationalMetric.integrals": [(BALL.integrals, np.ones(12))],
    "symmetric.RotationalMetric.perelman_f": [(BALL.perelman_f, np.ones(12))],
    "symmetric.RotationalMetric.perelman_w": [
        (lambda a: BALL.perelman_w(a, 1.0), np.ones(12)),
        (lambda a: BALL.perelman_w(np.ones(12), a), 1.0),
    ],
    "symmetric.round_sphere": [(lambda a: all_of(rl.symmetric.round_sphere(12, a)), 1.0)],
    "symmetric.dumbbell": [
        (lambda a: all_of(rl.symmetric.dumbbell(12, a)), 0.9),
        (lambda a: all_of(rl.symmetric.dumbbell(12, 0.9, a)), 0.1),
    ],
    "symmetric.corseted_sphere": [
        (lambda a: all_of(rl.symmetric.corseted_sphere(40, a)), 0.2),
    ],
    "symmetric.odd_sines": [
        (lambda a: all_of(rl.symmetric.odd_sines(40, a)), 0.1),
        (lambda a: all_of(rl.symmetric.odd_sines(40, 0.1, a)), 0.05),
    ],
    "symmetric.random_sphere": [(lambda a: all_of(rl.symmetric.random_sphere(40, a)), 0.2)],
    "symmetric.king_rosenau": [(lambda a: all_of(rl.symmetric.king_rosenau(12, a)), -1.0)],
    "symmetric.bryant_soliton": [
        (lambda a: all_of(rl.symmetric.bryant_soliton(12, curvature=a)), 1.0),
    ],
    "symmetric.neckpinch_profile": [
        (lambda a: rl.symmetric.neckpinch_profile(a, 1e-3), T),
        (lambda a: rl.symmetric.neckpinch_profile(T, a), 1e-3),
    ],
    "symmetric.NeckBelow": [(lambda a: rl.symmetric.NeckBelow(a)(0.0, BALL), 0.1)],
    "symmetric.solve": [
        (lambda a: rl.symmetric.solve(BALL, (0, 1e-3), rtol=a, dt=1e-3).t, 1e-6),
        (lambda a: rl.symmetric.solve(BALL, (0, 1e-3), t_eval=[a]).t, 1e-3),
    ],
    "symmetric.flow_with_surgery": [
        (lambda a: rl.symmetric.flow_with_surgery(BALL, t_end=1e-3, neck=a).nfev, 0.1),
        (lambda a: rl.symmetric.flow_with_surgery(BALL, t_end=1e-3, stop=a).nfev, 0.1),
    ],
}  # fmt: skip
GLOBE = rl.conformal.Sphere(4)
EVEN = rl.conformal.round_sphere(GLOBE)
DOUGHNUT = rl.conformal.Torus(rl.Grid.torus((9, 9)))


def measures(metric):
    """The numbers that a conformal metric gives."""
    return [metric.u, metric.curvature(), metric.area(), metric.tail(),
            metric.distance_to_constant_curvature()]  # fmt: skip


TABLE |= {
    "conformal.Sphere": [(lambda a: rl.conformal.Sphere(a).shape, 4)],
    "conformal.Torus": [
        (lambda a: rl.conformal.Torus(DOUGHNUT.grid, a).area, np.array([[2.0, 0.5], [0.5, 1.0]])),
    ],
    "conformal.ConformalMetric": [
        (lambda a: measures(rl.conformal.ConformalMetric(GLOBE, a)), np.full(GLOBE.shape, 0.5)),
        (lambda a: measures(rl.conformal.ConformalMetric(DOUGHNUT, a)), np.full((9, 9), 0.5)),
    ],
    "conformal.ConformalMetric.from_function": [
        (lambda a: measures(
            rl.conformal.ConformalMetric.from_function(GLOBE, lambda x, y, z: a)
        ), np.full(GLOBE.shape, 0.5)),
        (lambda a: measures(
            rl.conformal.ConformalMetric.from_function(GLOBE, lambda x, y, z: a)
        ), 0.5),
    ],
    "conformal.ConformalMetric.integral": [(EVEN.integral, np.ones(GLOBE.shape))],
    "conformal.ConformalMetric.perelman_f": [(EVEN.perelman_f, np.ones(GLOBE.shape))],
    "conformal.ConformalMetric.perelman_w": [
        (lambda a: EVEN.perelman_w(a, 1.0), np.ones(GLOBE.shape)),
        (lambda a: EVEN.perelman_w(np.ones(GLOBE.shape), a), 1.0),
    ],
    "conformal.round_sphere": [
        (lambda a: measures(rl.conformal.round_sphere(GLOBE, a)), 1.0),
        (lambda a: measures(rl.conformal.round_sphere(GLOBE, 1.0, a)), np.zeros(3)),
    ],
    "conformal.king_rosenau": [
        (lambda a: measures(rl.conformal.king_rosenau(rl.conformal.Sphere(16), a)), -1e-3),
        (lambda a: measures(rl.conformal.king_rosenau(GLOBE, -1e-3, a)), np.ones(3)),
    ],
    "conformal.uniformize": of_metric(
        lambda g: measures(rl.conformal.uniformize(g).metric), rl.flat_metric(rl.Grid.torus((9, 9)))
    ),
    "conformal.solve": [
        (lambda a: rl.conformal.solve(EVEN, (0, 1e-3), rtol=a, dt=1e-3).t, 1e-6),
        (lambda a: rl.conformal.solve(EVEN, (0, 1e-3), t_eval=[a]).t, 1e-3),
    ],
}  # fmt: skip
# No array and no number comes in: names, results that functions return, things of other tests.
ELSEWHERE = {
    "Checkpoint", "FlowSolution", "Integration", "solve_flow", "events", "NormalizedRicciFlow",
    "RicciDeTurckFlow", "RicciFlow", "ScaledFlow", "RiemannLNEError", "lne.ConvexSet",
    "lne.Potential",
    "exact.ExactSolution", "analysis.SpectrumError", "plotting.COLOURS", "plotting.animate",
    "plotting.plot_decay", "plotting.plot_embedding", "plotting.plot_profiles",
    "plotting.plot_scalar_curvature", "lne.MirrorDescentBound", "lne.MirrorDescentResult",
    "lne.StrongInverse", "lne.InverseNetwork", "lne.LNERicci", "lne.LNERicci.matrix",
    "lne.EuclideanPotential", "lne.NegativeEntropy", "plotting.animate_surgery",
    "plotting.draw_moment", "plotting.plot_neck", "plotting.plot_revolution",
    "symmetric.RotationalSolution",
    "symmetric.SurgeryHistory", "symmetric.Piece", "symmetric.Cap", "symmetric.cut",
    "symmetric.cut_circle", "symmetric.solve_in_parts",
    "symmetric.load_history", "symmetric.save_history",
    "symmetric.RotationalMetric.from_state", "conformal.ConformalSolution",
    "conformal.Uniformization", "conformal.ConformalMetric.from_coefficients",
    "conformal.ConformalMetric.field", "conformal.ConformalMetric.perelman_lambda",
    "conformal.Sphere.analysis", "conformal.Sphere.synthesis", "conformal.Sphere.mean",
    "conformal.Torus.analysis", "conformal.Torus.synthesis", "conformal.Torus.mean",
}  # fmt: skip
# Results that may be infinite or NaN by what their docstrings say.
MEANT = {"lne.max_tau", "lne.quantize_levels"}
# The core asks them of a grid, with arguments of its own; riemann_lne_mpi answers for a block.
ELSEWHERE |= {f"Grid.{name}" for name in (
    "apart", "around", "checksum", "first", "frame", "frames", "joined", "on_whole", "open_axes",
    "pieces", "require_one_chart", "require_torus", "require_whole", "total", "touches",
    "transform", "whole_axis",
)}  # fmt: skip
ELSEWHERE |= {name.replace("Grid", "Atlas") for name in ELSEWHERE if name.startswith("Grid.")}
ELSEWHERE |= {"Atlas.torus", "Atlas.box", "Atlas.sphere_points", "Atlas.with_mirrors",
              "Atlas.quadrature_weights"}  # fmt: skip
# Their arguments are checked where the metric was made.
NO_ARGUMENTS = {"inverse", "volume_element", "christoffel", "riemann", "ricci", "scalar_curvature",
                "einstein", "mean", "axes", "coordinates", "wavevectors", "sectional_curvatures",
                "pole_curvature", "psi_s", "arclength", "total_length", "volume",
                "mean_scalar_curvature", "necks", "bumps", "neck_radius", "resolution",
                "largest_curvature", "roundness", "require_riemannian",
                "kretschmann", "weyl", "area", "curvature", "mean_curvature", "tail", "entropy",
                "total_curvature", "distance_to_constant_curvature", "extinction_time",
                "record"}  # fmt: skip


def public_names():
    """Qualified names of all public functions, classes and methods."""
    rooms = {"analysis": analysis, "curvature": curvature, "exact": exact, "lne": lne}
    rooms |= {"plotting": rl.plotting, "symmetric": rl.symmetric, "conformal": rl.conformal}
    known = {id(getattr(module, n)) for module in rooms.values() for n in module.__all__}
    places = [("", rl, rl.__all__)] + [(f"{k}.", m, m.__all__) for k, m in rooms.items()]
    for prefix, module, names in places:
        for name in names:
            thing = getattr(module, name)
            if inspect.ismodule(thing) or (prefix == "" and id(thing) in known):
                continue
            yield prefix + name
            if not inspect.isclass(thing) or prefix + name in ELSEWHERE:
                continue
            result = dataclasses.is_dataclass(thing) and prefix == "analysis."
            for method, value in inspect.getmembers(thing):
                if not result and not method.startswith("_") and callable(value):
                    yield f"{prefix}{name}.{method}"


def test_every_public_name_has_an_entry():
    results = {f"analysis.{n}" for n in analysis.__all__
               if dataclasses.is_dataclass(getattr(analysis, n))}  # fmt: skip
    missing = [
        name
        for name in public_names()
        if name not in TABLE
        and name not in ELSEWHERE | results
        and name.rpartition(".")[2] not in NO_ARGUMENTS
    ]
    assert not missing, f"give these an entry in TABLE: {missing}"


@pytest.mark.parametrize("name", TABLE)
def test_an_error_of_the_family_or_a_finite_result(name, complaints):
    found = {
        k: wrong
        for k, (call, base) in enumerate(TABLE[name])
        if (
            wrong := complaints(
                call,
                base,
                name in MEANT or name.endswith(".raised"),
                name in ("Grid.integrate", "Atlas.integrate"),
            )
        )
    }
    assert not found, "\n".join(f"call {k}: {w}" for k, wrong in found.items() for w in wrong)
