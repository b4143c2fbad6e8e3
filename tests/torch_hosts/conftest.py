"""The loop that every host is compared with, written out by hand."""

import pytest

import riemann_lne as rl


def solve(weights, tau):
    """Eq. 5, layer by layer: the core's closed-form inverse times the plain gradient."""
    for p in weights:
        x = p.detach().reshape(-1)
        scale = rl.auto_tau(x, 0.5) if tau == "auto" else tau
        p.grad.copy_(rl.LNEMetric(scale).solve(x, p.grad.reshape(-1)).view_as(p))


def train(model, optimizer, losses, weights, *, tau="auto", clip=None):
    """Steps on one loss after the other; tau=None leaves the gradients as they are."""
    import torch

    for loss in losses:
        optimizer.zero_grad()
        loss(model).backward()
        if tau is not None:
            solve(weights, tau)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return model


def distance(model, other):
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


class Hand:
    """What the tests of the hosts share."""

    solve = staticmethod(solve)
    train = staticmethod(train)
    distance = staticmethod(distance)


@pytest.fixture(scope="session")
def hand():
    return Hand
