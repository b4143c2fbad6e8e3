"""Faults planted in the library, one at a time: is one of them ever taken for a refutation?

An audit that finds "does not hold" because of an error of its own library would be worth nothing.
Here the source of functions that claims call is changed at one place (a sign, a term, a factor, an
index), and the claims are run with the fault inside. A verdict that was "holds" may stay, where the
fault does not matter to it, or become unresolved or an error. It must not become a refutation.

    python -m riemann_lne_validation.audit.faults --every 1 --records faults.jsonl --page faults.md
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
import types
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import riemann_lne
from riemann_lne.command_line import Help

from .frame import Verdict, known_claims, run_claim

ROOT = Path(riemann_lne.__file__).parent

MODULES = (
    "arrays",
    "coefficients",
    "curvature",
    "curvature_2d",
    "fourier",
    "ghosts",
    "grids",
    "jets",
    "metrics",
    "stencils",
    "tensors",
    "analysis.decay",
    "analysis.norms",
    "analysis.spectra",
    "analysis.convergence",
    "flows.base",
    "flows.ricci",
    "flows.diffeomorphism",
    "flows.laplacian",
    "integrators.methods.controller",
    "integrators.dense",
    "integrators.methods.etd",
    "integrators.methods.etd_coefficients",
    "integrators.methods.etd_in_place",
    "integrators.methods.splitting",
    "integrators.methods.rkl",
    "integrators.methods.runge_kutta",
    "integrators.semidiscrete",
    "integrators.pullback",
    "lne._common",
    "lne._rank_one",
    "lne.constraints",
    "lne.discrete_flow",
    "lne.divergence",
    "lne.hessian",
    "lne.levels",
    "lne.metric",
    "lne.mirror_descent",
    "lne.potentials",
    "lne.ricci",
    "lne.scale",
)
"""Modules of the core whose formulas the claims rest on."""

KINDS = ("wrong sign", "dropped term", "wrong factor", "wrong index")

SMALL: dict[str, dict[str, Any]] = {
    "natural-gradient": {"dimensions": (3,), "targets": (0.5,), "seeds": (0,)},
    "lne-steepest-descent": {"dimensions": (3,), "seeds": (0,)},
    "divergence-criteria": {"dimensions": (1, 10), "taus": (1.0,), "draws": 50},
    "simplex-projection": {"dimensions": (3,), "taus": (1.0,), "seeds": (0,)},
    "mirror-descent-rate": {"steps": (10, 30), "taus": (1.0,), "seeds": (0,)},
    "diagonal-dominance": {"dimensions": (3, 10), "draws": 5},
    "translation-curvature": {"hidden": (2,), "seeds": (0,)},
    "discrete-flow-decay": {"pixels": (3,), "seeds": (0,)},
    "inverse-cost": {"rounds": 3, "largest": 10000, "dense": (20, 40)},
    "complexity": {"rounds": 3, "largest": 10000},
    "simplex-radius": {"dimensions": (3,), "taus": (1.0,)},
    "mirror-descent-own-bound": {"n": 3, "taus": (0.5, 12.0), "steps": (1, 20)},
    "ricci-not-parabolic": {
        "dimensions": (2,),
        "seeds": (0,),
        "points": 24,
        "frequencies": (2, 3, 6),
    },
    "linearised-ricci": {"dimensions": (2,), "points": (24,), "seeds": (0, 1)},
    "deturck-trick": {"dimensions": (2,), "points": ((12, 18),)},
    "uniform-equivalence": {
        "dimensions": (2,),
        "points": (12,),
        "amplitudes": (0.3,),
        "samples": 25,
    },
    "exponential-decay-torus": {
        "modes_2d": ((1, 0),),
        "points_2d": 24,
        "modes_3d": (),
        "modes_4d": (),
    },
    "exponential-decay-box": {"modes": ((1, 1),), "points": (17, 9)},
    "linf-bound": {"dimensions": (2,), "points": (14,), "amplitudes": (0.1, 0.4)},
    "epsilon-close": {
        "dimensions": (2,),
        "points": (16,),
        "sharpness": (2.0,),
        "eccentricities": (0.05, 0.2),
        "wave_points": (16, 24),
    },
    "evolution-inequality-literal": {"dimensions": (2,), "points": (20,), "seeds": (0,)},
    "smoothing": {"seeds": (0,), "points": 60},
    "coercivity": {
        "bends": (0.2,),
        "points": (14, 18),
        "modes": 1,
        "curved": (0.2,),
        "half_widths": (0.4,),
    },
    "reference-drift": {"dimensions": (2,), "points": (20,)},
    "evolution-inequality": {
        "dimensions": (2,),
        "points": (16,),
        "seeds": (0,),
        "amplitudes": (0.05, 0.1),
        "samples": 49,
    },
    "bounded-curvature": {
        "solutions": ("cigar",),
        "spheres": ((1.0, 1.0, 0.5),),
        "points": 16,
        "points_3d": 8,
        "box_points": (7, 9),
    },
    "pullback-decay": {"points": 16, "samples": 13},
    "curvature-blow-up": {"dimensions": (2,), "until": 0.7, "points": 1000},
    "lne-positive-definite": {"dimensions": (2, 20), "draws": 5},
    "lne-asymptotics": {"dimensions": (2, 3), "rays": 5},
    "mirror-map-convexity": {"draws": 1000},
    "lne-scalar-curvature": {"dimensions": (2,)},
    "flow-defect": {"dimensions": (3,)},
    "tool-decay-fit": {"draws": 60},
    "tool-integrators": {"methods": ("etdrk4", "rkl2")},
}
"""Parameters smaller than --quick, with which the verdicts are those of --quick."""

SLOW = (
    "all-time-convergence",  # whatever breaks a flow makes it take all the steps it may
    "all-time-convergence-l2",  # its flow is not the library's
    "exponential-decay-noncompact",
    "exponential-decay-sphere",  # its flow is that of the tori, on more points
    "linear-stability",  # its operator is that of coercivity, with the same guard
    "strong-inverse",
)
"""Claims left out: they cost more than all others together, and share their guards with others."""

_LEFT_OUT = ("require_", "_require", "_check", "check_", "valid", "__repr__", "_refuse")


@dataclass(frozen=True)
class Fault:
    """One change of the source.

    Attributes
    ----------
    module, function : str
        Where: a module of the core, and the qualified name of a function or method in it.
    line, column : int
        Of the changed expression.
    kind : str
        One of ``KINDS``.
    before, after : str
        The expression as it is and as it becomes.
    """

    module: str
    function: str
    line: int
    column: int
    kind: str
    before: str
    after: str

    @property
    def name(self) -> str:
        """Short, and stable while the line stays as it is."""
        return f"{self.module}.{self.function}:{self.line}:{self.column} {self.kind}"


# --------------------------------------------------------------------------------------------
# Faults of a source


def faults_of(module: str, per_kind: int = 1) -> list[Fault]:
    """Faults in a module of the core: up to ``per_kind`` of every kind in every function.

    Which ones is drawn from the names, so that it is the same at every call.
    """
    result = []
    for function, node in _functions(ast.parse(_source(module).read_text(encoding="utf-8"))):
        if any(part.startswith(_LEFT_OUT) for part in function.split(".")):
            continue
        found: dict[str, list[Fault]] = {}
        for place, kind, new in _changes(node):
            fault = Fault(
                module,
                function,
                place.lineno,
                place.col_offset,
                kind,
                ast.unparse(place),
                ast.unparse(new),
            )
            found.setdefault(kind, []).append(fault)
        for kind, faults in sorted(found.items()):
            start = zlib.crc32(f"{module}.{function} {kind}".encode())
            step = max(1, len(faults) // per_kind)
            chosen = {(start + k * step) % len(faults) for k in range(per_kind)}
            result += [faults[k] for k in sorted(chosen)]
    return result


def _source(module: str) -> Path:
    return Path(importlib.import_module(f"riemann_lne.{module}").__file__ or "")


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions of a module and methods of its classes; those inside others belong to these."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def _changes(function: ast.FunctionDef) -> Iterator[tuple[ast.expr, str, ast.expr]]:
    """Expressions of a function with what is put in their place."""
    for statement in function.body:
        yield from _of_node(statement)


def _of_node(node: ast.AST) -> Iterator[tuple[ast.expr, str, ast.expr]]:
    # Not: what is said of a wrong argument, and what is decided on the way to that.
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.Try)):
        return
    if isinstance(node, ast.If) and any(isinstance(s, ast.Raise) for s in node.body):
        return
    if isinstance(node, ast.expr):
        for kind, new in _of_expression(node):
            yield node, kind, new
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.If) and child is node.test:
            continue
        if isinstance(node, (ast.AnnAssign, ast.arg)) and child is node.annotation:
            continue
        if isinstance(child, ast.keyword) and child.arg in ("axis", "axes", "keepdims"):
            continue  # another axis is another shape: an error at once
        yield from _of_node(child)


def _of_expression(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.BinOp) and not _is_text(node):
        if isinstance(node.op, (ast.Add, ast.Sub)):
            turned = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            yield "wrong sign", ast.BinOp(node.left, turned, node.right)
            yield "dropped term", node.left
        elif isinstance(node.op, (ast.Mult, ast.Div)):
            yield "wrong factor", ast.BinOp(node, ast.Mult(), ast.Constant(1.25))
        elif isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant):
            yield "wrong factor", ast.BinOp(node.left, ast.Mult(), ast.Constant(2.0))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "wrong sign", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) is float and node.value:
        yield "wrong factor", ast.Constant(1.25 * node.value)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        names = [k for k, e in enumerate(node.slice.elts) if isinstance(e, ast.Name)]
        if len(names) > 1 and isinstance(node.ctx, ast.Load):
            swapped = list(node.slice.elts)
            a, b = names[0], names[-1]
            swapped[a], swapped[b] = swapped[b], swapped[a]
            yield "wrong index", ast.Subscript(node.value, ast.Tuple(swapped, ast.Load()), node.ctx)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        text = node.args[0].value
        if isinstance(text, str) and "->" in text and "," in text:  # a contraction
            factors, result = text.split("->")
            first, second = factors.split(",")
            # Of two indices the first factor often is symmetric: that would be no fault.
            if len(second) > 2:
                second = second[1] + second[0] + second[2:]
            else:
                first = first[::-1]
            text = f"{first},{second}->{result}"
            arguments = [ast.Constant(text), *node.args[1:]]
            yield "wrong index", ast.Call(node.func, arguments, node.keywords)


def _is_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(
        isinstance(s, ast.JoinedStr) or (isinstance(s, ast.Constant) and isinstance(s.value, str))
        for s in sides
    )


def plant(fault: Fault) -> bool:
    """Put a fault into the running library, for good; whether it could be done.

    The code of the function is exchanged, so that all names under which it is known have it. To be
    called in a process of its own.
    """
    source = _source(fault.module)
    tree = ast.parse(source.read_text(encoding="utf-8"))
    function = next(node for name, node in _functions(tree) if name == fault.function)
    for place, kind, new in _changes(function):
        key = (place.lineno, place.col_offset, kind, ast.unparse(place), ast.unparse(new))
        wanted = (fault.line, fault.column, fault.kind, fault.before, fault.after)
        if key == wanted:
            _Exchange(place, copy.deepcopy(new)).visit(function)
            break
    else:
        return False
    code = _code_of(compile(ast.fix_missing_locations(tree), str(source), "exec"), fault.function)
    live = [
        f
        for f in gc.get_objects()
        if type(f) is types.FunctionType
        and f.__code__.co_filename == str(source)
        and f.__code__.co_qualname == fault.function
    ]
    for f in live:
        if code is None or len(f.__code__.co_freevars) != len(code.co_freevars):
            return False
        f.__code__ = code
    for cached in gc.get_objects():  # results of before
        if type(cached) is functools._lru_cache_wrapper and _is_ours(cached):
            cached.cache_clear()
    return bool(live)


def _is_ours(cached: Any) -> bool:
    return str(getattr(cached, "__module__", "")).startswith("riemann_lne")


class _Exchange(ast.NodeTransformer):
    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else super().generic_visit(node)


def _code_of(code: types.CodeType, qualname: str) -> types.CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_qualname == qualname:
                return constant
            found = _code_of(constant, qualname)
            if found is not None:
                return found
    return None


# --------------------------------------------------------------------------------------------
# Claims with a fault inside


@dataclass(frozen=True)
class Baseline:
    """A claim without faults: its verdict, its CPU seconds, and the functions that it calls."""

    verdict: str
    seconds: float
    functions: frozenset[tuple[str, str]]


def baseline(id: str) -> Baseline:
    """Run a claim with its small parameters and see which functions of the core it calls."""
    seen: set[types.CodeType] = set()

    def trace(frame: types.FrameType, event: str, argument: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    found = _run(id, None)
    begin = time.process_time()
    sys.setprofile(trace)
    try:
        _run(id, None)
    finally:
        sys.setprofile(None)
    seconds = time.process_time() - begin
    functions = set()
    for code in seen:
        path = Path(code.co_filename)
        if ROOT in path.parents:
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            functions.add((module, code.co_qualname.split(".<locals>")[0]))
    return Baseline(found, seconds, frozenset(functions))


def _run(id: str, limit: float | None) -> str:
    """The verdict of a claim; "error" also where it takes longer than the limit."""

    def stop(signum: int, frame: Any) -> None:
        raise TimeoutError(f"more than {limit} s")

    if limit is not None:
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(run_claim(known_claims()[id], overrides=SMALL.get(id, {})).verdict)
    except TimeoutError:
        return str(Verdict.ERROR)
    finally:
        if limit is not None:
            signal.setitimer(signal.ITIMER_REAL, 0.0)


def verdicts_with(
    fault: Fault, claims: Mapping[str, Baseline], limit: float = 60.0
) -> dict[str, str]:
    """Verdicts of the claims that call the function, with the fault inside, in a child process.

    Empty where the fault cannot be planted.
    """
    touched = [id for id, b in claims.items() if (fault.module, fault.function) in b.functions]
    if not touched:
        return {}

    def work() -> dict[str, str]:
        import riemann_lne.kernels.fused as fused

        fused.LEAST_POINTS = 10**9  # array code, not kernels compiled from it
        if not plant(fault):
            return {}
        return {id: _run(id, max(limit, 20 * claims[id].seconds)) for id in touched}

    return _in_a_child(work)


def _in_a_child(work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The result of a function that is called in a forked process, which keeps what it breaks."""
    theirs, ours = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(theirs)
            with os.fdopen(ours, "w") as out:
                out.write(json.dumps(work()))
            status = 0
        except BaseException:  # nothing may go on in the child
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(ours)
    with os.fdopen(theirs) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the process with the fault ended with status {status}")
    return dict(json.loads(text))


_AGAINST = (str(Verdict.FAILS), str(Verdict.CONDITIONS))
_FOR = (str(Verdict.HOLDS), str(Verdict.CONDITIONS))


def wrongly(true: str, found: str) -> str:
    """Whether a verdict with a fault inside says what is not so: "refuted", "confirmed" or ""."""
    if true == found:
        return ""
    if found == str(Verdict.FAILS) or (true == str(Verdict.HOLDS) and found in _AGAINST):
        return "refuted"
    return "confirmed" if found in _FOR else ""


@dataclass(frozen=True)
class Record:
    """A fault, and the verdicts with it inside beside the true ones."""

    fault: Fault
    verdicts: dict[str, str]
    true: dict[str, str]

    @property
    def noticed(self) -> list[str]:
        """Claims that gave no verdict."""
        return [id for id, v in self.verdicts.items() if v not in (*_AGAINST, *_FOR)]

    def wrong(self, way: str) -> list[str]:
        """Claims that were wrongly refuted, or confirmed."""
        return [id for id, v in self.verdicts.items() if wrongly(self.true[id], v) == way]


def sweep(
    faults: Sequence[Fault], claims: Mapping[str, Baseline], limit: float = 60.0
) -> Iterator[Record]:
    """Every fault in turn; those that no claim's function has, or that cannot be planted, not."""
    true = {id: b.verdict for id, b in claims.items()}
    for fault in faults:
        found = verdicts_with(fault, claims, limit)
        if found:
            yield Record(fault, found, {id: true[id] for id in found})


def page(records: Sequence[Record]) -> str:
    """The records as a table in Markdown."""
    refuted = [(r, id) for r in records for id in r.wrong("refuted")]
    confirmed = [(r, id) for r in records for id in r.wrong("confirmed")]
    silent = [r for r in records if not r.noticed]
    pairs = sum(len(r.verdicts) for r in records)
    lines = [
        f"{len(records)} faults, {pairs} pairs of a fault and a claim that calls the function. "
        f"{sum(bool(r.noticed) for r in records)} faults were noticed by some claim; "
        f"{len(silent)} changed no verdict. Wrongly refuted: {len(refuted)}; wrongly confirmed: "
        f"{len(confirmed)}.",
        "",
        "| function | fault | becomes | claims | unresolved or error | wrong |",
        "|---|---|---|---|---|---|",
    ]
    for r in records:
        f = r.fault
        wrong = [f"{id}: {r.true[id]} -> {r.verdicts[id]}" for id in r.verdicts]
        wrong = [
            w
            for w, id in zip(wrong, r.verdicts, strict=True)
            if wrongly(r.true[id], r.verdicts[id])
        ]
        cells = (
            f"`{f.module}.{f.function}`",
            f"{f.kind}: {_cell(f.before)}",
            _cell(f.after),
            str(len(r.verdicts)),
            f"{len(r.noticed)}: {', '.join(r.noticed)}" if r.noticed else "0",
            "; ".join(wrong),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    short = text if len(text) <= 60 else text[:57] + "..."
    return f"`{short}`".replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: sweep, append a record a line to a file, write the page. 1 if one is wrong."""
    what, _, example = (__doc__ or "").rpartition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m riemann_lne_validation.audit.faults",
        description=what,
        epilog=f"example:\n{example}",
        formatter_class=Help,
    )
    parser.add_argument("--every", type=int, default=1, help="only every so-manyth fault")
    parser.add_argument("--module", action="append", help="only these modules")
    parser.add_argument("--only", nargs="+", help="only these claims")
    parser.add_argument("--records", type=Path, required=True, help="JSON lines; goes on with it")
    parser.add_argument("--baseline", type=Path, help="JSON: runs without faults, kept there")
    parser.add_argument("--page", type=Path, help="table in Markdown")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no fault after this")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    done = [_record(json.loads(line)) for line in _lines(options.records)]
    faults = [f for m in options.module or MODULES for f in faults_of(m)][:: options.every]
    known = {r.fault for r in done}
    ids = [id for id in options.only or known_claims() if id not in SLOW or options.only]
    claims = _baselines(ids, options.baseline)
    left = [f for f in faults if f not in known]
    with options.records.open("a", encoding="utf-8") as file:
        for fault in left:
            if time.monotonic() - begin > options.seconds:
                break
            for record in sweep([fault], claims):
                done.append(record)
                file.write(json.dumps(asdict(record)) + "\n")
                file.flush()
                wrong = record.wrong("refuted") + record.wrong("confirmed")
                print(fault.name, len(record.verdicts), len(record.noticed), wrong, flush=True)
    if options.page:
        options.page.write_text(page(done), encoding="utf-8")
    return int(any(r.wrong("refuted") for r in done))


def _baselines(ids: Sequence[str], file: Path | None) -> dict[str, Baseline]:
    """Claims without faults, from a file where it has them; what is run is written there."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else {}
    for id in ids:
        if id not in kept:
            found = baseline(id)
            kept[id] = {
                "verdict": found.verdict,
                "seconds": found.seconds,
                "functions": sorted(map(list, found.functions)),
            }
            if file:
                file.write_text(json.dumps(kept), encoding="utf-8")
    return {
        id: Baseline(
            kept[id]["verdict"],
            kept[id]["seconds"],
            frozenset((module, function) for module, function in kept[id]["functions"]),
        )
        for id in ids
    }


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _record(data: Mapping[str, Any]) -> Record:
    return Record(Fault(**data["fault"]), dict(data["verdicts"]), dict(data["true"]))


if __name__ == "__main__":
    sys.exit(main())
