"""Formulas: what they may say, and that nothing else is run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, UnknownNameError
from riemann_lne.flow_command.formulas import CONSTANTS, FUNCTIONS, Formula, constant

X = np.linspace(0.1, 0.9, 7)

# The second entry is part of the message.
BAD = {
    "__import__('os').system('touch hacked')": "is not allowed",
    "().__class__.__bases__[0].__subclasses__()": "is not allowed",
    "open('hacked', 'w')": "unknown function",
    "eval(x)": "unknown function",
    "x.real": "'x.real' is not allowed",
    "x.__class__": "is not allowed",
    "sin.__globals__": "is not allowed",
    "x[0]": "'x[0]' is not allowed",
    "lambda: x": "is not allowed",
    "[x for x in (1, 2)]": "is not allowed",
    "(x := 3)": "is not allowed",
    "x if x else 1": "is not allowed",
    "x < 1": "is not allowed",
    "x and 1": "is not allowed",
    "not x": "is not allowed",
    "~x": "is not allowed",
    "x // 2": "is not allowed",
    "x % 2": "is not allowed",
    "x @ x": "is not allowed",
    "x << 2": "is not allowed",
    "x ^ 2": "a power is written **",
    "True": "is not allowed",
    "None": "is not allowed",
    "'sin(x)'": "is not allowed",
    "f'{x}'": "is not allowed",
    "1j": "is not allowed",
    "...": "is not allowed",
    "sin(x, x)": "is not allowed",
    "sin()": "is not allowed",
    "sin(*x)": "is not allowed",
    "sin(x=x)": "is not allowed",
    "sin(**x)": "is not allowed",
    "sin(x)(x)": "is not allowed",
    "siin(x)": "Did you mean 'sin'",
    "y": "known: abs, atan",
    "xx": "Did you mean 'x'",
    "x; x": "cannot be read",
    "x = 1": "cannot be read",
    "import os": "cannot be read",
    "1 +": "cannot be read",
    "2x": "cannot be read",
    "(": "cannot be read",
    "x\0": "cannot be read",
    "": "is empty",
    "x +" * 900 + "x": "characters",
    "-" * 150 + "x": "nested more than 100 deep",
    "-" * 1999 + "x": "",
    "(" * 250 + "x" + ")" * 250: "cannot be read",
}


@pytest.mark.parametrize("text", BAD, ids=lambda t: repr(t[:30]))
def test_what_is_no_formula_is_refused_when_it_is_read(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InvalidArgumentError, UnknownNameError)) as caught:
        Formula(text, ["x"])
    assert BAD[text] in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("9**9**9**9", "'9**9**9' has no finite real value"),
        ("9.0**9**9", "'9.0**9**9' has no finite real value"),
        ("exp(1000)", "'exp(1000)' has no finite real value"),
        ("1e999", "'1e999' is inf"),
        ("1e308*10", "is inf"),
        ("1" + "0" * 400, "has no finite real value"),
        ("1/0", "'1/0' has no finite real value"),
        ("0**(-1)", "has no finite real value"),
        ("log(0)", "'log(0)' has no finite real value"),
        ("sqrt(0 - 1)", "has no finite real value"),
        ("(-1)**0.5", "not a finite real number"),
        ("1/exp(1000)", "'exp(1000)' has no finite real value"),
        ("sin", "needs an argument"),
        ("sin + 1", "needs an argument"),
    ],
)
def test_what_has_no_finite_value_names_the_part(text: str, part: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Formula(text, ["x"])(x=1.0)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1/x", "'1/x' is inf at x = 0"),
        ("log(x)", "'log(x)' is -inf at x = 0"),
        ("sqrt(x - 1)", "'sqrt(x - 1)' is nan at x = 0"),
        ("1/exp(1000*(x + 1))", "'exp(1000*(x + 1))' is inf at x = 0"),
        ("(x + 10)**(x + 10)**(x + 10)**9", "is inf at x = 0"),
    ],
)
def test_arrays_that_are_not_finite_name_the_place(text: str, part: str) -> None:
    with pytest.raises(NotFiniteError) as caught:
        Formula(text, ["x"])(x=np.array([0.0, 1.0]))
    assert part in str(caught.value)


@pytest.mark.parametrize("kind", ["float", "array"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_numpy(name: str, kind: str) -> None:
    x = X if kind == "array" else 0.3
    reference = {"atan": np.arctan}.get(name) or getattr(np, name)
    # Two libraries may round the last bit differently.
    assert np.allclose(Formula(f"{name}(x)", ["x"])(x=x), reference(x), rtol=4e-16, atol=0)


def test_precedence_and_signs_are_those_of_python() -> None:
    for text in ("-x**2 + 2*x/3 - +4", "2**-x", "2**3**0.5", "(1 + x)*(1 - x)", "1 - 2 - 3"):
        assert np.array_equal(Formula(text, ["x"])(x=X), eval(text, {"x": X}))


def test_constants_and_precision() -> None:
    assert constant("2*pi") == 2 * math.pi
    assert constant("e") == math.e
    assert set(CONSTANTS) == {"pi", "e"}
    single = Formula("pi*x + sin(x)**2", ["x"])(x=X.astype(np.float32))
    assert single.dtype == np.float32
    assert repr(Formula(" x ", ["x"])) == "Formula('x')"


def test_other_libraries_arrays_work() -> None:
    strict = pytest.importorskip("array_api_strict")
    value = Formula("sin(x)*atan(x) - 2**x", ["x"])(x=strict.asarray(X))
    assert np.allclose(np.asarray(value), np.sin(X) * np.arctan(X) - 2**X, rtol=1e-15)
