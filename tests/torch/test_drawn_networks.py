"""Networks that Hypothesis draws: they train, print as code, and a search can vary them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from riemann_lne.errors import InvalidArgumentError, UnknownNameError  # noqa: E402
from riemann_lne.testing import find_counterexample  # noqa: E402
from riemann_lne_torch.quantization import latent_parameters  # noqa: E402
from riemann_lne_torch.testing import quantized_networks, small_network  # noqa: E402


@settings(max_examples=40)
@given(quantized_networks(5, 2), st.integers(0, 9))
def test_they_map_forward_and_backward_and_their_code_makes_them(network: Any, seed: int) -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))
    y = network(x)
    assert y.shape == (3, 2)
    y.square().sum().backward()
    assert all(p.grad is not None for p in latent_parameters(network))
    # DoReFa's gradients grow with 1 / size: at 4e-36 a step made weights whose squares overflow.
    size = network.recipe.arguments["size"]
    assert size == 0 or size >= 1e-3
    names: dict[str, Any] = {}
    exec(network.recipe.script, names)
    assert repr(names["example"]) == repr(network)
    assert torch.equal(names["example"](x), y)


@pytest.mark.parametrize("estimator", ["lsq", "seq"])
def test_steps_that_are_learned_begin_the_same_each_time(estimator: str) -> None:
    twice = [small_network((5, 2), estimator=estimator, weight_bits=2, size=0.3) for _ in range(2)]
    first, second = ({k: v.clone() for k, v in n.state_dict().items()} for n in twice)
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_they_come_in_all_kinds_and_shrink_to_one_layer_of_zeros() -> None:
    drawn = quantized_networks(4, 2)
    for wanted in ({"convolution": True}, {"weight_bits": 4}, {"weights": "tied"}):
        find(drawn, lambda n, w=wanted: w.items() <= n.recipe.arguments.items())
    simplest = find(drawn, lambda network: True).recipe.arguments
    assert simplest["widths"] == (4, 2)
    assert (simplest["size"], simplest["estimator"], simplest["weight_bits"]) == (0.0, "ste", 1)
    loud = find(drawn, lambda network: network.recipe.arguments["size"] > 0.2)
    assert loud.recipe.arguments["size"] == pytest.approx(0.201)  # a float would shrink to 1.0


def test_a_search_returns_one_as_code() -> None:
    def small(network: Any) -> float:
        return float(max(p.detach().abs().max() for p in latent_parameters(network))) - 0.5

    found = find_counterexample(small, quantized_networks(3, 2, weights=["binary"]), local=0)
    assert found is not None
    assert "riemann_lne_torch.testing.small_network(" in found.code
    names: dict[str, Any] = {}
    exec(found.code, names)
    assert small(names["example"]) > 0


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: small_network((3,)), "at least inputs and outputs"),
        (lambda: small_network((3, 0)), r"widths\[1\]"),
        (lambda: small_network(weights="big"), "big"),
        (lambda: small_network(dtype="float16"), "float16"),
        (lambda: small_network(estimator="stee"), "stee"),
        (lambda: quantized_networks(0), "inputs"),
        (lambda: quantized_networks(weight_bits=()), "empty"),
        (lambda: quantized_networks(largest=0.0), "largest"),
        (lambda: quantized_networks(estimators=["nothing"]), "nothing"),
    ],
)
def test_bad_requests_are_named(call: Any, match: str) -> None:
    with pytest.raises((InvalidArgumentError, UnknownNameError), match=match):
        call()
