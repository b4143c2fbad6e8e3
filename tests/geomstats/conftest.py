"""The marks of geomstats' own test cases, which run here on our metrics."""

# Run by test_backends.py, in processes with a backend each.
collect_ignore = ["on_each_backend.py", "cross_checks.py"]


def pytest_configure(config):
    for mark in ("random", "vec", "shape", "type", "mathprop"):
        config.addinivalue_line("markers", f"{mark}: used by geomstats")
