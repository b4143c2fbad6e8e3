"""A kit to test the stability of metrics, flows, integrators and quantised trainings.

Checks of a property raise ``CheckFailedError`` with numbers and the place. Strategies draw
examples for Hypothesis (extra ``strategies``); ``find_counterexample``, ``check_stability`` and
``stability_radius`` search with them. Nothing else of the library imports this package, and parts
that need no Hypothesis work without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .closed import perturbed_sphere
from .conformal_factors import perturbed_conformal
from .corrector_checks import check_corrector
from .diffeomorphism import Diffeomorphism
from .evolutions import Evolution, Refinable, Run, WithLimit, WithRate
from .evolutions_closed import RotationalEvolution
from .evolutions_conformal import ConformalEvolution
from .findings import CheckReport, Finding
from .flow_checks import check_flow
from .integrator_checks import check_integrator
from .kinds import KINDS, Kind, applicable_kinds
from .metric_checks import check_metric
from .perturbed import perturbed, random_perturbation
from .recipes import DrawnConformalMetric, DrawnMetric, DrawnRotationalMetric, Recipe
from .sizes import perturbation_size, relative_eigenvalues
from .spaces import Choice, Reals, Whole
from .stability import StabilityReport, judge_stability
from .training import TrainingLimits, check_training_stability

# These need Hypothesis, which is imported when one of them is asked for.
_WITH_HYPOTHESIS = {
    "Counterexample": "search",
    "GridBracket": "radius",
    "DrawnSolution": "strategies_exact",
    "RadiusReport": "radius",
    "check_stability": "searching",
    "conformal_metrics": "strategies_closed",
    "exact_solutions": "strategies_exact",
    "diffeomorphisms": "strategies_exact",
    "drawn_from": "strategies_own",
    "dumbbells": "strategies_closed",
    "find_counterexample": "search",
    "gradients": "strategies_weights",
    "grids": "strategies",
    "near_euclidean_metrics": "strategies",
    "perturbations": "strategies_metric",
    "register_profiles": "profiles",
    "rotational_spheres": "strategies_closed",
    "spd_matrices": "strategies",
    "stability_radius": "radius",
    "weight_tensors": "strategies_weights",
    "weight_vectors": "strategies",
    "weights_by_dominance": "strategies",
}

__all__ = [
    "KINDS",
    "CheckReport",
    "Choice",
    "ConformalEvolution",
    "Counterexample",
    "Diffeomorphism",
    "DrawnConformalMetric",
    "DrawnMetric",
    "DrawnRotationalMetric",
    "DrawnSolution",
    "Evolution",
    "Finding",
    "GridBracket",
    "Kind",
    "RadiusReport",
    "Reals",
    "Recipe",
    "Refinable",
    "RotationalEvolution",
    "Run",
    "StabilityReport",
    "TrainingLimits",
    "Whole",
    "WithLimit",
    "WithRate",
    "applicable_kinds",
    "check_corrector",
    "check_flow",
    "check_integrator",
    "check_metric",
    "check_stability",
    "check_training_stability",
    "conformal_metrics",
    "diffeomorphisms",
    "drawn_from",
    "dumbbells",
    "exact_solutions",
    "find_counterexample",
    "gradients",
    "grids",
    "judge_stability",
    "near_euclidean_metrics",
    "perturbation_size",
    "perturbations",
    "perturbed",
    "perturbed_conformal",
    "perturbed_sphere",
    "random_perturbation",
    "register_profiles",
    "relative_eigenvalues",
    "rotational_spheres",
    "spd_matrices",
    "stability_radius",
    "weight_tensors",
    "weight_vectors",
    "weights_by_dominance",
]


def __getattr__(name: str) -> Any:
    if name in _WITH_HYPOTHESIS:
        return getattr(import_module(f".{_WITH_HYPOTHESIS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
