"""The checks of flows: planted faults are noticed, parameters work, impossible ones are refused."""

import pytest

import riemann_lne.atlas.transition as transition_module
import riemann_lne.curvature as curvature_module
import riemann_lne.flows.ricci as ricci_module
import riemann_lne.integrators.pullback as pullback_module
from riemann_lne.tensors import pairs
from riemann_lne_validation.audit import faults
from riemann_lne_validation.audit.claims import (
    section_4_bounds,
    section_4_convergence,
    section_a_continuation,
    section_a_stability,
)
from riemann_lne_validation.audit.frame import Verdict, known_claims, run_claim

# Smaller than --quick: what is tested is that faults are noticed.
SHARED = """ricci-not-parabolic linearised-ricci deturck-trick evolution-inequality-literal
            smoothing coercivity reference-drift"""
SMALL = {
    **{id: faults.SMALL[id] for id in SHARED.split()},
    "uniform-equivalence": {"dimensions": (2,), "points": (20,), "amplitudes": (0.3,)},
    "exponential-decay-box": {"modes": ((1, 1), (2, 1)), "points": (17, 9)},
    "exponential-decay-sphere": {"points_2d": 36, "points_3d": 0},
    "linf-bound": {"dimensions": (2,), "points": (20,), "amplitudes": (0.1, 0.4)},
    "epsilon-close": {"dimensions": (2,), "points": (20,), "sharpness": (2.0,)},
    "all-time-convergence-l2": {"factors": (1.0, 0.5, 0.1), "points": (500, 600)},
    "evolution-inequality": {"dimensions": (2,), "points": (20,), "seeds": (0,)},
    "all-time-convergence": {
        "sizes": (0.5, 1.0),
        "grids": (12, 16),
        "grids_3d": (6, 8),
        "draws": 3,
        "adverse": (0.4, 0.8),
    },
    "bounded-curvature": {
        "solutions": ("cigar", "hyperbolic"),
        "points": 16,
        "points_3d": 8,
        "box_points": (7, 9),
    },
    "pullback-decay": {"points": 20},
}


def outcome(id, **more):
    return run_claim(known_claims()[id], overrides={**SMALL[id], **more})


def verdict(id):
    result = outcome(id)
    assert result.verdict is not Verdict.ERROR, result.problem
    return result.verdict


# Seconds of processor time: it is among the slow ones below.
@pytest.mark.parametrize("id", [id for id in SMALL if id != "exponential-decay-sphere"])
def test_the_small_parameters_give_the_pinned_verdicts(id):
    wanted = {"pullback-decay": Verdict.CONDITIONS, "epsilon-close": Verdict.FAILS}
    wanted |= dict.fromkeys(
        ("all-time-convergence-l2", "evolution-inequality-literal"), Verdict.FAILS
    )
    result = outcome(id)
    assert result.verdict is wanted.get(id, Verdict.HOLDS), result.problem or result.evidence


def test_half_the_ricci_tensor_is_noticed(monkeypatch):
    right = ricci_module.ricci_tensor
    monkeypatch.setattr(ricci_module, "ricci_tensor", lambda jet: [0.5 * r for r in right(jet)])
    for id in ("ricci-not-parabolic", "linearised-ricci", "deturck-trick"):
        assert verdict(id) is not Verdict.HOLDS, id


def test_half_the_deturck_flow_is_noticed(monkeypatch):
    right = ricci_module.deturck_flow_tensor
    monkeypatch.setattr(
        ricci_module, "deturck_flow_tensor", lambda jet: [0.5 * r for r in right(jet)]
    )
    for id in ("ricci-not-parabolic", "exponential-decay-box", "smoothing", "evolution-inequality"):
        assert verdict(id) is not Verdict.HOLDS, id


def test_a_flow_that_drives_perturbations_apart_is_noticed(monkeypatch):
    right = ricci_module.deturck_flow_tensor

    def driven(jet):
        return [
            r + 4.0 * (jet.g[i, j] - float(i == j))
            for r, (i, j) in zip(right(jet), pairs(jet.n), strict=True)
        ]

    monkeypatch.setattr(ricci_module, "deturck_flow_tensor", driven)
    for id in ("linf-bound", "epsilon-close", "all-time-convergence"):
        assert verdict(id) is Verdict.UNRESOLVED, id  # and not a refutation of the paper


def test_half_the_lichnerowicz_operator_is_noticed(monkeypatch):
    right = curvature_module.lichnerowicz
    monkeypatch.setattr(
        curvature_module, "lichnerowicz", lambda g, h, grid, order: 0.5 * right(g, h, grid, order)
    )
    for id in ("linearised-ricci", "coercivity"):
        assert verdict(id) is not Verdict.HOLDS, id


@pytest.mark.slow
def test_patches_of_a_sphere_that_are_joined_wrongly_are_noticed(monkeypatch):
    assert verdict("exponential-decay-sphere") is Verdict.HOLDS
    right = transition_module.Transition.followed

    def shrunk(self, values):
        return [(1 - 1e-3) * v for v in right(self, values)]

    monkeypatch.setattr(transition_module.Transition, "followed", shrunk)
    assert verdict("exponential-decay-sphere") is not Verdict.HOLDS


def test_a_diffeomorphism_that_runs_the_wrong_way_is_noticed(monkeypatch):
    right = pullback_module.interpolate
    monkeypatch.setattr(pullback_module, "interpolate", lambda *a: -right(*a))
    assert verdict("deturck-trick") is not Verdict.HOLDS
    assert verdict("pullback-decay") is not Verdict.CONDITIONS


def test_a_speed_that_is_too_small_breaks_the_bound(monkeypatch):
    from riemann_lne_validation.audit.claims import section_a_continuation as module

    right = module.rate
    monkeypatch.setattr(module, "rate", lambda *a: 0.5 * right(*a))
    assert verdict("uniform-equivalence") is not Verdict.HOLDS


def test_a_drift_beyond_the_quadratic_bound_is_noticed(monkeypatch):
    right = section_a_stability.rate
    monkeypatch.setattr(section_a_stability, "rate", lambda *a: 4 * right(*a))
    assert verdict("reference-drift") is Verdict.FAILS


def test_a_start_that_does_not_converge_is_a_counterexample(monkeypatch):
    right = section_4_convergence._flowed

    def broken(backend, n, points, seed, s, *rest):
        return (
            section_4_convergence._End(False, 1.0, "made up")
            if s > 0.7
            else right(backend, n, points, seed, s, *rest)
        )

    monkeypatch.setattr(section_4_convergence, "_flowed", broken)
    result = outcome("all-time-convergence")
    assert result.verdict is Verdict.FAILS
    assert result.evidence.claim.measured["smallest s that did not"] == {
        "n = 2, seed 0": {"12 points": 1.0, "16 points": 1.0},
        "n = 3, seed 0": {"6 points": 1.0, "8 points": 1.0},
    }


def test_the_radius_of_the_ball_is_found_and_not_chosen(monkeypatch):
    right = section_4_convergence._flowed_from

    def broken(backend, start, s, *rest):
        if s > 0.5:
            return section_4_convergence._End(False, 1.0, "made up")
        return right(backend, start, s, *rest)

    monkeypatch.setattr(section_4_convergence, "_flowed_from", broken)
    small = {"sizes": (0.5, 1.0), "ball": 0.5}
    found = outcome("all-time-convergence", **small)
    assert found.verdict is Verdict.HOLDS, found.problem
    assert found.evidence.claim.measured["largest s up to which every start converged"] == 0.4
    # No size of an adversarial start converges: there is no ball.
    none = outcome("all-time-convergence", **small, adverse=(0.6, 0.8))
    assert none.verdict is Verdict.FAILS


def test_a_size_that_fails_on_the_coarse_grid_alone_is_the_grids(monkeypatch):
    right = section_4_convergence._flowed

    def broken(backend, n, points, seed, s, *rest):
        if points in (6, 12) and s > 1.5:
            return section_4_convergence._End(False, 1.0, "made up")
        return right(backend, n, points, seed, min(s, 1.0), *rest)

    monkeypatch.setattr(section_4_convergence, "_flowed", broken)
    result = outcome("all-time-convergence", sizes=(1.0, 2.0))
    measured = result.evidence.claim.measured
    assert result.verdict is Verdict.HOLDS
    assert measured["smallest s that did not"]["n = 2, seed 0"] == {
        "12 points": 2.0,
        "16 points": "none",
    }
    assert "the grid's" in measured["the smallest failing s"]["n = 3, seed 0"]


def test_a_start_in_the_ball_that_fails_on_one_grid_alone_is_unresolved(monkeypatch):
    right = section_4_convergence._flowed
    monkeypatch.setattr(
        section_4_convergence,
        "_flowed",
        lambda backend, n, points, seed, s, *rest: (
            section_4_convergence._End(False, 1.0, "made up")
            if points == 12
            else right(backend, n, points, seed, s, *rest)
        ),
    )
    assert verdict("all-time-convergence") is Verdict.UNRESOLVED


def test_a_continued_flow_at_half_speed_is_noticed(monkeypatch):
    # From T on half as fast: what continues is not the flow.
    right = section_a_continuation.solve_flow

    def slow(start, flow, span, **options):
        begin, end = span
        middle = (begin + end) / 2
        found = right(start, flow, (begin, middle), **{**options, "t_eval": [middle]})
        return found

    monkeypatch.setattr(section_a_continuation, "solve_flow", slow)
    assert verdict("bounded-curvature") is Verdict.UNRESOLVED


def test_a_flow_that_cannot_be_continued_is_noticed(monkeypatch):
    right = section_a_continuation._continued
    monkeypatch.setattr(
        section_a_continuation, "_continued", lambda *a, **o: (right(*a, **o)[0], None)
    )
    # It is not what the statement says, but what is measured beside it: no verdict rests on it.
    assert verdict("bounded-curvature") is Verdict.UNRESOLVED


def test_metrics_that_tend_to_their_limit_at_another_order_are_noticed(monkeypatch):
    right = section_a_continuation._times
    monkeypatch.setattr(
        section_a_continuation, "_times", lambda time: time * (1 - (1 - right(time) / time) ** 2)
    )
    assert outcome("bounded-curvature").evidence.claim.false


def test_a_limit_that_is_no_metric_is_noticed(monkeypatch):
    monkeypatch.setattr(section_a_continuation, "_berger_end", lambda squares: 0.5)
    assert verdict("bounded-curvature") is Verdict.UNRESOLVED


def test_curvature_that_is_not_that_of_the_metric_is_noticed(monkeypatch):
    right = section_a_continuation.curvature_max
    monkeypatch.setattr(
        section_a_continuation, "curvature_max", lambda g, order: right(g, order) ** 1.1
    )
    assert verdict("bounded-curvature") is Verdict.UNRESOLVED


@pytest.mark.parametrize(
    ("module", "id", "factor"),
    [
        (section_4_bounds, "epsilon-close", 0.95),  # too slow and too fast: both sides count
        (section_4_bounds, "epsilon-close", 1.05),
        (section_4_convergence, "smoothing", 2.0),
    ],
)
def test_a_linear_flow_with_other_rates_is_noticed(monkeypatch, module, id, factor):
    right = module.heat_flow
    monkeypatch.setattr(
        module, "heat_flow", lambda h, grid, t, *rest: right(h, grid, factor * t, *rest)
    )
    assert verdict(id) is Verdict.UNRESOLVED


@pytest.mark.parametrize(
    ("id", "setting", "message"),
    [
        ("ricci-not-parabolic", {"dimensions": (5,)}, "dimensions = (5,)"),
        ("linearised-ricci", {"points": (24, 24)}, "one number for each"),
        ("uniform-equivalence", {"amplitudes": (1.5,)}, "between 0 and 1"),
        ("bounded-curvature", {"solutions": ("torus",)}, "known: cigar, hyperbolic, nil, sol"),
        ("exponential-decay-box", {"modes": ((0, 1),)}, "positive numbers"),
        ("exponential-decay-sphere", {"points_2d": 10}, "points_2d = 10"),
        ("linf-bound", {"seeds": (0,)}, "at least 2"),
        ("epsilon-close", {"until": -1.0}, "until = -1.0"),
        ("smoothing", {"amplitude": 0.9}, "amplitude = 0.9"),
        ("coercivity", {"bends": (1.0,)}, "bends"),
        ("all-time-convergence", {"sizes": (3.0, 4.0)}, "within the ball"),
        ("deturck-trick", {"points": ((12,),)}, "at least 2"),
    ],
)
def test_impossible_parameters_are_refused_with_a_sentence(id, setting, message):
    result = run_claim(known_claims()[id], overrides=setting)
    assert result.verdict is Verdict.ERROR
    assert message in result.problem


def test_a_parameter_changes_what_is_measured():
    one, two = (outcome("exponential-decay-box", amplitude=a) for a in (0.1, 0.4))
    assert one.verdict is two.verdict is Verdict.HOLDS
    assert one.evidence.claim.measured != two.evidence.claim.measured


def test_the_same_seed_gives_the_same_numbers():
    first, second = (outcome("reference-drift").evidence for _ in "ab")
    assert first is not None
    assert first == second
