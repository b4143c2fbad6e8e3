from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from riemann_lne.arrays import (
    canonical,
    contract,
    device,
    expand,
    first_true,
    like,
    namespace,
    require_finite,
    require_real_floating,
    runs_on_cpu,
    to_numpy,
    total,
)
from riemann_lne.errors import DTypeError, InvalidArgumentError, NotFiniteError


def test_the_namespace_is_that_of_the_array_and_numbers_are_passed_over(backend: Any) -> None:
    x = backend.array([1.0, 2.0])
    xp = namespace(x, None, 2.0, 3)
    assert isinstance(xp.zeros(2), backend.array_type)
    made = like([3.0, 4.0], x)
    assert made.dtype == x.dtype
    assert device(made) == device(x)
    assert np.array_equal(backend.numpy(made), [3.0, 4.0])


def test_no_array_at_all_is_an_error_that_says_how_to_convert() -> None:
    with pytest.raises(DTypeError, match=r"got list.*numpy.asarray"):
        namespace([1.0, 2.0])
    with pytest.raises(DTypeError, match="got NoneType, float;"):
        namespace(None, 1.0)


def test_arrays_of_two_libraries_are_refused(backend: Any) -> None:
    if backend.name == "numpy":
        pytest.skip("the same library")
    with pytest.raises(InvalidArgumentError, match="mixed"):
        namespace(np.ones(2), backend.array([1.0]))


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex128"])
def test_only_real_floating_types_pass(backend: Any, dtype: str) -> None:
    with pytest.raises(DTypeError, match=r"field has dtype .*float64"):
        require_real_floating(backend.array([0, 1], dtype), "field")
    require_real_floating(backend.array([0, 1], "float32"), "field")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_named(backend: Any, bad: float) -> None:
    values = np.zeros((2, 3))
    values[1, 0] = values[1, 2] = bad
    with pytest.raises(NotFiniteError, match=rf"field is not finite: {bad} at index \(1, 0\)"):
        require_finite(backend.array(values), "field")


def test_first_true_is_in_c_order(backend: Any) -> None:
    x = backend.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert first_true(x > 0.5) == (0, 2)
    assert first_true(x > 2) is None


def test_host_copies_need_no_gradient_tape() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(3, requires_grad=True, dtype=torch.float64)
    assert to_numpy(x).tolist() == [1.0, 1.0, 1.0]
    assert runs_on_cpu(x)
    assert runs_on_cpu(np.ones(1))


def test_total_adds_up_and_never_writes_to_its_inputs(backend: Any) -> None:
    a, b, c = (backend.array([v, 2 * v]) for v in (1.0, 3.0, 5.0))
    for terms, expected in (
        ([(1.0, (a,)), (1.0, (b,))], [4.0, 8.0]),
        ([(-1.0, (a,)), (-1.0, (b,)), (0.5, (c,))], [-1.5, -3.0]),
        ([(2.0, (a, b)), (-1.0, (c,))], [1.0, 14.0]),
        ([(1.0, (a, b, c)), (3.0, (a, a))], [18.0, 132.0]),
    ):
        assert np.array_equal(backend.numpy(total(terms)), expected)
    for x, v in ((a, 1.0), (b, 3.0), (c, 5.0)):
        assert np.array_equal(backend.numpy(x), [v, 2 * v])
    assert total([]) is None


def test_a_lone_factor_is_copied() -> None:
    a = np.ones(2)
    assert total([(1.0, (a,))]) is not a


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(
    "spec", ["ij,jk->ik", "ijk,jk->i", "ip,jq,pq->ij", "ij,ij->", "kij,l->lkij"]
)
def test_contraction_agrees_with_einsum(spec: str, n: int, rng: np.random.Generator) -> None:
    inputs, output = spec.split("->")
    arrays = [rng.normal(size=(n,) * len(s) + (5,)) for s in inputs.split(",")]
    tables = [{at: a[at] for at in product(range(n), repeat=a.ndim - 1)} for a in arrays]
    result = contract(spec, *tables, n=n)
    dotted = ",".join(s + "..." for s in inputs.split(",")) + f"->{output}..."
    exact = np.einsum(dotted, *arrays)
    assert set(result) == set(product(range(n), repeat=len(output)))
    for at, value in result.items():
        assert np.allclose(value, exact[at], rtol=1e-13, atol=1e-13)


def test_equal_components_are_computed_once_and_shared(rng: np.random.Generator) -> None:
    n = 3
    s = {at: rng.normal(size=4) for at in product(range(n), repeat=2) if at[0] <= at[1]}
    s = expand(s, n, 2, ((0, 1),))
    a = {at: rng.normal(size=4) for at in product(range(n), repeat=2)}
    result = contract("pi,qj,pq->ij", a, a, s, n=n, symmetric=((0, 1),))
    dense_a = np.array([[a[i, j] for j in range(n)] for i in range(n)])
    dense_s = np.array([[s[i, j] for j in range(n)] for i in range(n)])
    exact = np.einsum("pix,qjx,pqx->ijx", dense_a, dense_a, dense_s)
    for i, j in product(range(n), repeat=2):
        assert result[i, j] is result[j, i]
        assert np.allclose(result[i, j], exact[i, j], rtol=1e-12)


def test_canonical_sorts_each_group_of_positions() -> None:
    assert canonical((2, 1, 0, 3), ((0, 1),)) == (1, 2, 0, 3)
    assert canonical((2, 1, 3, 0), ((0, 1), (2, 3))) == (1, 2, 0, 3)
    assert canonical((2, 1), ()) == (2, 1)
