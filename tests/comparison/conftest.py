"""Runs without training: records with accuracies that a test decides."""

import math

import numpy as np
import pytest

from riemann_lne_validation.comparison.records import Divergence, EpochRecord, RunRecord


def make_run(arm, seed, accuracy, *, diverged=None, cost=None, noise=0.01):
    """A run whose accuracy climbs to ``accuracy`` (a fraction); diverged: an epoch."""
    rng = np.random.default_rng([seed, int(arm.digest[:8], 16)])
    length = arm.epochs if diverged is None else diverged - 1
    epochs = tuple(
        EpochRecord(
            epoch=e,
            learning_rate=arm.learning_rate,
            train_loss=1.0 / e,
            train_accuracy=accuracy,
            accuracy=float(accuracy - 0.5 * math.exp(-e / 3) + noise * rng.normal()),
            sign_flip_rate=0.02,
            gradient_angle=0.5 if e == arm.epochs else None,
            seconds=0.01,
        )
        for e in range(1, length + 1)
    )
    return RunRecord(
        arm=arm,
        seed=seed,
        epochs=epochs,
        diverged=None if diverged is None else Divergence(diverged, "the loss was not finite"),
        cost=float(arm.epochs if cost is None else cost),
        pretraining_cost=0.0,
        seconds=0.4,
        total_seconds=0.5,
        environment={"torch": "2.13.0", "machine": "x86_64"},
        fingerprints={"initial_weights": f"{seed}", "data": f"{seed}"},
    )


@pytest.fixture
def fake_run():
    return make_run
