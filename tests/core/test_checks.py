"""One validator for each kind of argument. Looked at: numbers of Python and NumPy, truth values,
text, arrays of several libraries, NaN and infinities, objects whose methods fail."""

import decimal
import fractions
import math

import array_api_strict
import numpy as np
import pytest

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, UnknownNameError


class Hostile:
    def __repr__(self):
        raise RuntimeError("no text")

    def __float__(self):
        raise RuntimeError("no number")


NO_NUMBERS = [
    True, np.True_, np.array(True), "1", "1e-3", b"1", None, 1j, np.complex64(1), [1.0], (1,),
    np.array([1.0]), np.ones((1, 1)), {}, math.nan, math.inf, -math.inf, np.float32("nan"), 10**400,
    np.ma.masked, np.ma.array(1.0), np.datetime64("2020-01-01"), np.timedelta64(3, "s"),
    np.array("1"), np.array(None), Hostile(), object(), array_api_strict.asarray(True),
]  # fmt: skip
NUMBERS = [
    1, 1.0, np.float64(1), np.float32(1), np.int8(1), np.array(1.0), np.uint64(1),
    decimal.Decimal(1), fractions.Fraction(1), array_api_strict.asarray(1.0),
]  # fmt: skip


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda v: type(v).__name__)
def test_no_number_and_no_count(value):
    with pytest.raises(InvalidArgumentError, match=r"^dt = .*; give a finite number"):
        checks.number(value, "dt")
    if not (isinstance(value, int) and value > 1):
        with pytest.raises(InvalidArgumentError, match=r"^n = .*; give a whole number"):
            checks.count(value, "n")
    with pytest.raises(InvalidArgumentError, match=r"^t\[1\] = "):
        checks.numbers([0.0, value], "t")


@pytest.mark.parametrize("value", NUMBERS, ids=lambda v: type(v).__name__)
def test_numbers_become_plain(value):
    assert type(checks.number(value, "dt")) is float
    assert type(checks.count(value, "n")) is int
    assert checks.number(value, "dt") == checks.count(value, "n") == 1


def test_limits():
    assert checks.number(0, "a", least=0) == 0
    for limits in ({"above": 0}, {"least": 0.5}):
        with pytest.raises(InvalidArgumentError, match=r"at least 0.5|above 0"):
            checks.number(0, "a", **limits)
    assert checks.number(1, "a", above=0, most=1) == 1
    for limits in ({"above": 0, "below": 1}, {"least": 0, "most": 0.5}):
        with pytest.raises(InvalidArgumentError, match=r"0 and below 1$|, at least 0 and at most"):
            checks.number(1, "a", **limits)
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        checks.count(0, "n", least=1)
    assert checks.count(-3, "n", least=None) == -3
    with pytest.raises(InvalidArgumentError, match=r"give a whole number$"):
        checks.count("-3", "n", least=None)
    with pytest.raises(InvalidArgumentError, match="whole"):
        checks.count(2.5, "n")


@pytest.mark.parametrize("value", ["False", 0, 1, None, "", 1.0, np.int8(0), [], Hostile()])
def test_no_truth_value(value):
    with pytest.raises(InvalidArgumentError, match="give True or False"):
        checks.flag(value, "progress")


def test_truth_values():
    assert checks.flag(np.False_, "a") is False
    assert checks.flag(True, "a") is True


@pytest.mark.parametrize("value", [0.5, "12", {1: 2}, {1.0}, None, np.array(1.0), b"12"])
def test_no_sequence_of_numbers(value):
    with pytest.raises(InvalidArgumentError, match="give a sequence"):
        checks.numbers(value, "t_eval")


def test_sequences_of_numbers():
    assert checks.numbers(range(3), "t") == [0.0, 1.0, 2.0]
    assert checks.numbers(np.linspace(0, 1, 3), "t") == [0.0, 0.5, 1.0]
    with pytest.raises(InvalidArgumentError, match=r"t\[0\]"):
        checks.numbers(np.zeros((2, 2)), "t")


@pytest.mark.parametrize("value", ["", "a\0b", None, 3, 1.5, ["a"], Hostile()])
def test_no_path(value):
    with pytest.raises(InvalidArgumentError, match="give a path"):
        checks.path(value, "store")


def test_choices():
    assert checks.choice("a", "kind", ["a", "b"]) == "a"
    for wrong in ("c", None, ["a"], 1):
        with pytest.raises(UnknownNameError, match="a, b"):
            checks.choice(wrong, "kind", ["a", "b"])
