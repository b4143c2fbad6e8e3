"""What importing the library brings in, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

OPTIONAL = (
    "torch",
    "cupy",
    "jax",
    "geomstats",
    "dask",
    "matplotlib",
    "xarray",
    "hypothesis",
    "rich",
    "sympy",
    "numba",
    "zarr",
    "pytest",
)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_library_imports_no_optional_one() -> None:
    code = f"""
        import sys
        import riemann_lne
        print([name for name in {OPTIONAL} if name in sys.modules])
    """
    assert run(code).strip() == "[]"


def test_parts_of_scipy_are_imported_where_they_are_used() -> None:
    """Together they take longer than all the rest; scipy.stats alone, half a second."""
    code = """
        import sys
        import riemann_lne
        parts = ("fft", "integrate", "interpolate", "optimize", "sparse", "stats")
        print([part for part in parts if f"scipy.{part}" in sys.modules])
    """
    assert run(code).strip() == "[]"


def test_a_flow_on_numpy_imports_no_optional_library_either() -> None:
    code = f"""
        import sys
        import riemann_lne as rl
        g = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.1)
        assert rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1)).success
        g.ricci()
        print([name for name in {OPTIONAL} if name in sys.modules])
    """
    assert run(code).strip() == "[]"


@pytest.mark.parametrize(
    "name",
    ["Grid", "MetricField", "perturbed_euclidean", "flat_metric", "curvature", "solve_flow",
     "FlowSolution", "RicciFlow", "RicciDeTurckFlow"],
)  # fmt: skip
def test_public_names_are_there(name: str) -> None:
    import riemann_lne

    assert hasattr(riemann_lne, name)
    assert name in riemann_lne.__all__


def test_all_names_that_are_promised_exist() -> None:
    import riemann_lne

    assert [name for name in riemann_lne.__all__ if not hasattr(riemann_lne, name)] == []


def test_the_testing_module_without_hypothesis_names_the_extra() -> None:
    code = """
        import sys
        sys.modules["hypothesis"] = None
        from riemann_lne.errors import MissingDependencyError
        try:
            from riemann_lne.testing import perturbations
        except MissingDependencyError as error:
            assert isinstance(error, ImportError)
            print(error)
    """
    assert "pip install 'riemann-lne[strategies]'" in run(code)


def test_every_error_is_of_one_family_and_of_the_built_in_it_stands_for() -> None:
    from riemann_lne import errors

    family = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(family) >= 9
    for e in family:
        assert issubclass(e, errors.RiemannLNEError)
        if e is not errors.RiemannLNEError:
            built_in = (ValueError, TypeError, ImportError, RuntimeError, KeyError, OSError)
            built_in = (*built_in, AssertionError)  # a check of a property that fails
            assert issubclass(e, built_in)


def test_every_error_can_be_printed_whatever_is_in_its_message() -> None:
    """Looked at: every class of the family, and the logs of the kernels' compiler and cache."""
    from riemann_lne import errors

    family = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    for e in family:
        arguments = {
            "MissingDependencyError": ("\udcff", "x", "y"),
            "UnknownNameError": ("a", "\udcff", []),
        }
        error = e(*arguments.get(e.__name__, ("no file \udcff",)))
        str(error).encode("utf-8")
        assert "udcff" in str(error)
