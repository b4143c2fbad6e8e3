"""check_order, as a user calls it."""

import pytest

import riemann_lne as rl
from riemann_lne.errors import InvalidArgumentError


def test_the_slope_is_found_and_judged():
    assert rl.check_order(lambda h: 5 * h**3, [0.4, 0.2, 0.1], 3)
    report = rl.check_order(lambda h: 5 * h**3, [0.4, 0.2, 0.1], 4)
    assert not report
    assert report.order == pytest.approx(3)
    assert "NOT met" in str(report)


def test_errors_may_be_given_and_the_table_is_printed(capsys):
    report = rl.check_order([4e-2, 1e-2], [0.2, 0.1], 2, explain=True)
    assert report.passed
    assert report.stderr == 0
    printed = capsys.readouterr().out
    assert "2.000" in printed
    assert printed.strip().endswith("met")


@pytest.mark.parametrize(
    ("errors", "steps"),
    [([1.0], [0.1]), ([1.0, 0.0], [0.2, 0.1]), ([1.0, 2.0], [0.1, 0.1]), ([1.0], [0.2, 0.1])],
)
def test_data_without_a_slope_are_refused(errors, steps):
    with pytest.raises(InvalidArgumentError):
        rl.check_order(errors, steps, 2)
