"""Arrows point one way: a module imports only from layers below its own."""

import ast
import graphlib
from pathlib import Path

import pytest

import riemann_lne

ROOT = Path(riemann_lne.__file__).parent
LAYERS = [
    {"errors"},
    {"atomic", "checks", "command_line"},
    {"team"},
    {"arrays", "coefficients", "locks", "threads"},
    {"weights"},
    {"finite", "identity", "interpolation"},
    {"grids", "lne", "fourier"},
    {"ghosts"},
    {"stencils", "tensors"},
    {"jets"},
    {"curvature_2d"},
    {"curvature", "surfaces"},
    {"metrics"},
    {"atlas"},
    {"flows", "exact", "io"},
    {"kernels"},
    {"integrators"},
    {"analysis"},
    {"conformal", "symmetric"},
    {"plotting"},
    {"flow_command"},
    {"testing", "cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py") if p.parent != ROOT or (
    p.name != "__init__.py"
))  # fmt: skip


def imported_rooms(path):
    """First-level names of this package that a module imports, at any depth of its code."""
    depth = len(path.parts)
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level == depth:  # relative to the package itself
                yield from (
                    [node.module.split(".")[0]]
                    if node.module
                    else (alias.name for alias in node.names)
                )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("riemann_lne"):
            parts = node.module.split(".")
            yield from parts[1:2] or (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_from_below(path):
    own = path.parts[0].removesuffix(".py")
    assert own in LEVEL, f"{own} has no layer yet: add it to LAYERS"
    for room in imported_rooms(path):
        if room in LEVEL and room != own:
            assert LEVEL[room] < LEVEL[own], f"{path} imports {room}, which lies above or beside it"


def test_methods_of_integration_know_nothing_of_the_solving_around_them():
    methods = ROOT / "integrators" / "methods"
    for path in sorted(methods.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level != 2, f"{path.relative_to(ROOT)} imports ..{node.module or ''}"


SYMBOLIC = """expressions algebra order trace units emit emit_c emit_cuda c_templates weights_c
              weights_loops passes"""
GROUPS_OF_KERNELS = {"symbolic": SYMBOLIC, "toolchain": "build cache trust thread_pool layout"}


@pytest.mark.parametrize("group", GROUPS_OF_KERNELS)
def test_trees_and_compilers_of_kernels_know_nothing_of_each_other(group):
    names = GROUPS_OF_KERNELS[group].split()
    for name in names:
        text = (ROOT / "kernels" / f"{name}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                place = f"kernels/{name} imports {node.module}"
                assert node.module in names, place


def test_the_core_knows_nothing_of_what_builds_on_it():
    for path in MODULES:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "import riemann_lne_" not in text
        assert "from riemann_lne_" not in text


# ---- the torch adapter ----------------------------------------------------------------------

ADAPTER = ROOT.parent / "adapters" / "riemann_lne_torch"
ROOMS = ["quantize", "natural", "penalty", "hosts"]


def rooms_imported(path):
    """Rooms of the adapter that one of its modules imports, relative imports at any depth."""
    inside = path.relative_to(ADAPTER)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == len(inside.parts):
            yield from (
                [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            )


def test_rooms_of_the_adapter_import_only_from_rooms_before_them():
    joined = set()
    for path in sorted(p for p in ADAPTER.rglob("*.py") if p.parent != ADAPTER):
        room = path.relative_to(ADAPTER).parts[0]
        for other in set(rooms_imported(path)) - {room}:
            place = f"{path.relative_to(ADAPTER)} imports {other}"
            assert other in ROOMS[: ROOMS.index(room)], place
            joined.add((room, other))
    assert joined == {("natural", "quantize"), ("penalty", "natural"), ("hosts", "natural")}


def test_adapters_know_nothing_of_each_other_and_of_the_validation():
    adapters = sorted(ADAPTER.parent.glob("riemann_lne_*"))
    assert len(adapters) == 3
    for top in adapters:
        for path in sorted(top.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                for name in names:
                    first = name.split(".")[0]
                    own = first in ("riemann_lne", top.name) or not first.startswith("riemann_lne")
                    assert own, f"{path.relative_to(ROOT.parent)} imports {name}"


# ---- the validation -------------------------------------------------------------------------

VALIDATION = ROOT.parent / "validation" / "riemann_lne_validation"
VALIDATION_ROOMS = ["lab", "audit", "certificates", "comparison", "commands"]
INSIDE_AUDIT = [{"backends", "causes", "evidence"}, {"instruments"}, {"guards", "frame"}]


def arrows(path, top):
    """Modules, as tuples of names below ``top``, that one of its files imports."""
    here = path.relative_to(top).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(here):
            base = here[: len(here) - node.level]
            if node.module:
                yield (*base, *node.module.split("."))
            else:
                yield from ((*base, alias.name) for alias in node.names)


def validation_files():
    rooms = [p for p in sorted(VALIDATION.rglob("*.py")) if p.parent != VALIDATION]
    return [*rooms, VALIDATION / "commands.py"]


def test_a_room_of_the_validation_imports_only_from_rooms_before_it():
    joined = set()
    for path in validation_files():
        own = path.relative_to(VALIDATION).parts[0].removesuffix(".py")
        for target in arrows(path, VALIDATION):
            other = target[0]
            if other != own:
                place = f"{path.relative_to(VALIDATION)} imports {'.'.join(target)}"
                assert VALIDATION_ROOMS.index(other) < VALIDATION_ROOMS.index(own), place
                joined.add((own, other))
    assert joined == {
        ("audit", "lab"),
        ("certificates", "audit"),
        ("comparison", "lab"),
        *(("commands", room) for room in VALIDATION_ROOMS[:-1]),
    }


def test_inside_the_audit_arrows_point_down():
    audit = VALIDATION / "audit"
    level = {name: i for i, names in enumerate(INSIDE_AUDIT) for name in names}
    for path in sorted(audit.rglob("*.py")):
        own = path.relative_to(audit).parts[0].removesuffix(".py")
        for target in arrows(path, audit):
            if own in level and target and target[0] != own:
                # The frame imports all claims, but only when it is asked for them.
                if (own, target[0]) == ("frame", "claims"):
                    continue
                place = f"audit/{path.relative_to(audit)} imports {'.'.join(target)}"
                assert target[0] in level, place
                assert level[target[0]] < level[own], place


def test_benchmarks_and_pages_stay_out_of_the_wheel():
    text = (ROOT.parent / "pyproject.toml").read_text(encoding="utf-8")
    packages = next(line for line in text.splitlines() if line.startswith("packages = ["))
    assert "benchmarks" not in packages
    assert "docs" not in packages


# ---- no circles -----------------------------------------------------------------------------

PACKAGES = [
    ROOT,
    *(ROOT.parent / "adapters" / f"riemann_lne_{name}" for name in ("geomstats", "mpi", "torch")),
    VALIDATION,
    VALIDATION.parent / "riemann_lne_benchmarks",
]


def imports_on_loading(body):
    """Statements that import when a module is loaded, not those for types or inside functions."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from imports_on_loading([*node.body, *node.orelse])
        elif isinstance(node, (ast.Try, ast.With)):
            yield from imports_on_loading(node.body)
        elif isinstance(node, ast.ImportFrom):
            yield node


def files_imported(top):
    """The files of a package, as tuples of names, and those that each imports when loaded."""
    files = {}
    for path in top.rglob("*.py"):
        parts = path.relative_to(top).with_suffix("").parts
        files[parts[:-1] if parts[-1] == "__init__" else parts] = path
    graph = {}
    for own, path in files.items():
        folder = own if path.name == "__init__.py" else own[:-1]
        graph[own] = set()
        for node in imports_on_loading(ast.parse(path.read_text(encoding="utf-8")).body):
            names = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = folder[: len(folder) - node.level + 1] + names
            elif names[0] == top.name:
                base = names[1:]
            else:
                continue
            for alias in node.names:
                target = (*base, alias.name) if (*base, alias.name) in files else base
                # A package is loaded before its files, which may ask it for one another.
                if target in files and target != own[: len(target)]:
                    graph[own].add(target)
    return graph


@pytest.mark.parametrize("top", PACKAGES, ids=lambda path: path.name)
def test_no_files_import_each_other_in_a_circle(top):
    graph = files_imported(top)
    assert sum(map(len, graph.values())) >= len(graph) / 2  # arrows are seen
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the files
