"""Formulas in text, as configuration files have them: read by a parser of our own, never run.

Python's ``ast`` splits the text; what is evaluated is a short list of nodes. All else is an error,
and so is every value on the way that is not finite: numbers are floating, so that no power can
grow without end.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import first_true, namespace
from ..errors import InvalidArgumentError, NotFiniteError, UnknownNameError

CONSTANTS = {"pi": math.pi, "e": math.e}
"""Names with a value of their own."""

# Names in ``math`` and in the array API standard.
_FUNCTIONS = {
    "sin": ("sin", "sin"),
    "cos": ("cos", "cos"),
    "tan": ("tan", "tan"),
    "exp": ("exp", "exp"),
    "log": ("log", "log"),
    "sqrt": ("sqrt", "sqrt"),
    "sinh": ("sinh", "sinh"),
    "cosh": ("cosh", "cosh"),
    "tanh": ("tanh", "tanh"),
    "atan": ("atan", "atan"),
    "abs": ("fabs", "abs"),
}
FUNCTIONS = tuple(_FUNCTIONS)
"""Functions of one argument that a formula may call."""

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_MAX_LENGTH, _MAX_DEPTH = 2000, 100
_ALLOWED = (
    "use only numbers, + - * / **, parentheses, names and the functions "
    f"{', '.join(sorted(FUNCTIONS))} of one argument"
)


class Formula:
    """A formula in given variables.

    Parameters
    ----------
    text : str or number
        Such as "1 + 0.1*sin(x)". Numbers, + - * / **, parentheses, the constants pi and e, the
        variables, and the functions sin, cos, tan, exp, log, sqrt, sinh, cosh, tanh, atan, abs.
    variables : sequence of str
        Names that the formula may use.

    Raises
    ------
    UnknownNameError
        If it has another name; the message lists the known ones.
    InvalidArgumentError
        If it is no such formula, or too long (2000 characters) or too deeply nested (100).

    Examples
    --------
    >>> Formula("2*x**2 + 1", ["x"])(x=3.0)
    19.0
    >>> Formula("x.real", ["x"])
    Traceback (most recent call last):
    ...
    riemann_lne.errors.InvalidArgumentError: formula 'x.real': 'x.real' is not allowed; use only \
numbers, + - * / **, parentheses, names and the functions abs, atan, cos, cosh, exp, log, sin, \
sinh, sqrt, tan, tanh of one argument
    """

    def __init__(self, text: str | float, variables: Sequence[str] = ()) -> None:
        self.text = text.strip() if isinstance(text, str) else repr(float(text))
        self._tree = _parse(self.text)
        self._variables = tuple(variables)
        self._check_depth()
        for node in ast.walk(self._tree):
            self._check(node)

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"

    def __call__(self, **values: Any) -> Any:
        """The value for floats or arrays; a float if the formula holds no array.

        Raises
        ------
        InvalidArgumentError, NotFiniteError
            If any part of it has no finite real value; the message names the part and the place.
        """
        with np.errstate(all="ignore"):  # every part is checked
            return self._value(self._tree, values)

    # ---- when it is read ---------------------------------------------------------------------

    def _check_depth(self) -> None:
        # Without recursion: this is what keeps the others from running out of stack.
        level: list[ast.AST] = [self._tree]
        depth = 0
        while level:
            level = [child for node in level for child in ast.iter_child_nodes(node)]
            depth += 1
            if depth > _MAX_DEPTH:
                raise InvalidArgumentError(
                    f"formula {_short(self.text)}: nested more than {_MAX_DEPTH} deep; simplify it"
                )

    def _check(self, node: ast.AST) -> None:
        match node:
            case ast.BinOp(op=op) if type(op) in _OPERATORS:
                return
            case ast.BinOp(op=ast.BitXor()):
                raise InvalidArgumentError(
                    f"formula {_short(self.text)}: '^' is not allowed; a power is written **; "
                    "change it"
                )
            case ast.UnaryOp(op=unary) if type(unary) in _SIGNS:
                return
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                if name not in _FUNCTIONS:
                    raise self._unknown("function", name, FUNCTIONS)
                if len(arguments) == 1 and not isinstance(arguments[0], ast.Starred):
                    return
            case ast.Name(id=name):
                known = (*self._variables, *CONSTANTS, *FUNCTIONS)
                if name not in known:
                    raise self._unknown("name", name, known)
                return
            case ast.Constant(value=value) if type(value) in (int, float):
                return
            case ast.expr_context() | ast.operator() | ast.unaryop():
                return  # part of a node that was looked at
        raise InvalidArgumentError(
            f"formula {_short(self.text)}: {_short(self._source(node))} is not allowed; {_ALLOWED}"
        )

    def _unknown(self, kind: str, name: str, known: Sequence[str]) -> UnknownNameError:
        return UnknownNameError(f"{kind} in formula {_short(self.text)}:", name, known)

    def _source(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or self.text

    # ---- when it is evaluated ----------------------------------------------------------------

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        try:
            result = self._operate(node, values)
        except (OverflowError, ZeroDivisionError, ValueError) as error:
            if isinstance(error, (InvalidArgumentError, NotFiniteError)):
                raise
            raise InvalidArgumentError(
                f"formula {_short(self.text)}: {_short(self._source(node))} has no finite real "
                f"value ({error}); change it"
            ) from error
        self._require_finite(node, result, values)
        return result

    def _operate(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.BinOp):
            left, right = self._value(node.left, values), self._value(node.right, values)
            return _OPERATORS[type(node.op)](left, right)
        if isinstance(node, ast.UnaryOp):
            return _SIGNS[type(node.op)](self._value(node.operand, values))
        if isinstance(node, ast.Call):
            name, argument = getattr(node.func, "id", ""), self._value(node.args[0], values)
            of_float, of_array = _FUNCTIONS[name]
            if isinstance(argument, float):
                return getattr(math, of_float)(argument)
            return getattr(namespace(argument), of_array)(argument)
        if isinstance(node, ast.Name):
            if node.id in values:
                return values[node.id]
            if node.id in CONSTANTS:
                return CONSTANTS[node.id]
            raise InvalidArgumentError(
                f"formula {_short(self.text)}: the function {node.id} needs an argument: "
                f"{node.id}(...)"
            )
        assert isinstance(node, ast.Constant)  # nothing else passes _check
        return float(node.value)  # type: ignore[arg-type]

    def _require_finite(self, node: ast.expr, result: Any, values: Mapping[str, Any]) -> None:
        part = f"formula {_short(self.text)}: {_short(self._source(node))}"
        if isinstance(result, (float, complex)):
            if isinstance(result, complex) or not math.isfinite(result):
                raise InvalidArgumentError(
                    f"{part} is {result}, not a finite real number: change it"
                )
            return
        xp = namespace(result)
        at = first_true(~xp.isfinite(result))
        if at is None:
            return
        place = [
            f"{name} = {float(x if isinstance(x, float) else x[at]):.6g}"
            for name, x in values.items()
        ]
        raise NotFiniteError(
            f"{part} is {float(result[at])} at {', '.join(place)}: change the formula or the grid"
        )


def constant(text: str | float) -> float:
    """Value of a formula without variables, such as "2*pi".

    Examples
    --------
    >>> constant("2*pi/4") == math.pi / 2, constant(3)
    (True, 3.0)
    """
    return float(Formula(text)())


def _parse(text: str) -> ast.expr:
    if not text:
        raise InvalidArgumentError(f"the formula is empty; {_ALLOWED}")
    if len(text) > _MAX_LENGTH:
        raise InvalidArgumentError(
            f"the formula {_short(text)} has {len(text)} characters; at most {_MAX_LENGTH} are read"
        )
    try:
        with warnings.catch_warnings():
            # Python's advice on code ("perhaps you missed a comma?"): this is none.
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "too deeply nested"
        raise InvalidArgumentError(
            f"formula {_short(text)} cannot be read: {reason}; {_ALLOWED}"
        ) from error


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
