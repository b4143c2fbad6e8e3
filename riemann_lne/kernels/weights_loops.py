"""The loops over weights that are compiled: what each reads, computes and writes.

Their expressions are the array code of ``riemann_lne.lne``, run on symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..lne.discrete_flow import difference, product_terms, weighted_sum
from ..lne.pieces import finished, power_terms, scale_terms, solve_terms
from .algebra import fewest_products
from .derivatives import derivatives
from .expressions import Node, Symbol, Tape

STEPS = ("next_k1", "k1", "k2", "j1", "j2")
"""The five steps of the defect N, in the order of `discrete_flow_defect_of_steps`."""

PRODUCTS = 28
"""Number of the sums that N is made of: see `defect_products`."""


@dataclass(frozen=True)
class Loop:
    """A loop over the weights of a piece.

    Attributes
    ----------
    read : tuple of str
        Arrays as long as the piece.
    numbers : tuple of str
        What has one value a piece.
    inputs : dict from str to str
        The inputs of the tree: C expressions of the values of arrays and numbers.
    outputs : tuple of Node
    written : tuple of str
        The arrays that take the outputs; if there are none the outputs are summed up.
    """

    read: tuple[str, ...]
    numbers: tuple[str, ...]
    inputs: dict[str, str]
    outputs: tuple[Node, ...]
    written: tuple[str, ...] = ()

    @property
    def arrays(self) -> tuple[str, ...]:
        """All arrays, in the order in which their addresses are given."""
        return (*self.read, *(a for a in self.written if a not in self.read))

    @property
    def cost(self) -> int:
        """Evaluations of tanh a weight, which take most of the time; at least 1."""
        return max(1, sum("tanh" in text for text in self.inputs.values()))


_OF_WEIGHT = {"z": "x * tau", "t": "tanh_of(x * tau)", "v": "v", "c": "c"}


@cache
def loops() -> dict[str, Loop]:
    """All loops, by name.

    "powers", "scale" and "solve" are the sums, and "finish" the last pass, of `PieceSums`;
    "defect" the sums of `defect_products`; "defect_gradient" the derivative by the weights of what
    has given derivatives by these sums, and "defect_gradients" that by the steps as well.

    Examples
    --------
    >>> sorted(loops())
    ['defect', 'defect_gradient', 'defect_gradients', 'finish', 'powers', 'scale', 'solve']
    >>> loops()["solve"].arrays, len(loops()["solve"].outputs)
    (('x', 'v'), 3)
    """
    return {
        "powers": _of_pieces(power_terms, "z"),
        "scale": _of_pieces(scale_terms, "zt"),
        "solve": _of_pieces(solve_terms, "tv"),
        "finish": _of_pieces(lambda *inputs: iter([finished(*inputs)]), "tvc", ("v",)),
        "defect": _defect(),
        "defect_gradient": _defect_gradient(of_steps=False),
        "defect_gradients": _defect_gradient(of_steps=True),
    }


def _of_pieces(
    terms: Callable[..., Iterator[Any]], keys: Sequence[str], written: tuple[str, ...] = ()
) -> Loop:
    tape = Tape()
    # a term is what it is when it is yielded: later ones may write over it
    outputs = tuple(term.node for term in terms(*(tape.input(key) for key in keys)))
    numbers = ("tau", "c") if "c" in keys else ("tau",)
    return Loop(("x", "v"), numbers, {key: _OF_WEIGHT[key] for key in keys}, outputs, written)


class _DefectTree:
    """The products of N on symbols, and the tanh that they are made of."""

    def __init__(self) -> None:
        self.tape = tape = Tape()
        self.origin = tape.input("origin")
        self.of_step = [tape.input(f"tanh_{s}") for s in STEPS]
        self.moved = [tape.input(f"t_{s}") for s in STEPS]
        self.inputs = {"origin": "tanh_of(x * tau)"}
        self.inputs |= {f"tanh_{s}": f"tanh_of({s} * tau)" for s in STEPS}
        self.inputs |= {f"t_{s}": f"tanh_of((x + {s}) * tau)" for s in STEPS}
        self.inputs |= {key: key for key in ("per_k", "per_j")}
        pairs = zip(self.of_step, self.moved, strict=True)
        u = [difference(h, t, self.origin) for h, t in pairs]
        p = weighted_sum(u, tape.input("per_k"), tape.input("per_j"))
        self.products = tuple(term.node for term in product_terms(self.origin, p, u))


def _defect() -> Loop:
    tree = _DefectTree()
    return Loop(("x", *STEPS), ("tau", "per_k", "per_j"), tree.inputs, tree.products)


def _defect_gradient(of_steps: bool) -> Loop:
    tree = _DefectTree()
    tape = tree.tape
    names = [f"by_{k}" for k in range(PRODUCTS)]
    weights = [tape.input(name).node for name in names]
    inputs = [tree.origin, *tree.of_step, *tree.moved]
    by_input = derivatives(tape, tree.products, weights, [s.node for s in inputs])
    # tanh' is 1 - tanh^2; the argument of each is tau times a weight, a step, or their sum
    tau = tape.input("tau")
    by_argument = [d * (1.0 - s * s) * tau for d, s in zip(by_input, inputs, strict=True)]
    by_origin, by_step, by_moved = by_argument[0], by_argument[1:6], by_argument[6:]
    outputs: list[Symbol] = [sum(by_moved, start=by_origin)]
    written = ["of_x"]
    if of_steps:
        outputs += [a + b for a, b in zip(by_step, by_moved, strict=True)]
        written += [f"of_{s}" for s in STEPS]
    nodes = fewest_products(tape, [output.node for output in outputs])
    return Loop(
        ("x", *STEPS),
        ("tau", "per_k", "per_j", *names),
        tree.inputs | {name: name for name in ("tau", *names)},
        nodes,
        tuple(written),
    )


__all__ = ["PRODUCTS", "STEPS", "Loop", "loops"]
