r"""Formulas in plain text, found in prose and written as LaTeX.

Docstrings and the audit's claims write formulas as plain text, ``g^-1 v = v + t (t . v) / s``, that
reads well in a terminal. On the pages the same text is typeset: ``pieces`` divides prose into words
and formulas. It errs on the side of words: what does not parse as a formula stays as it is,
and so does what may be code (``name=value``, ``long_name``, ``"quoted"``).

>>> list(pieces("the metric g = I - t t^T of max_tau"))
[(False, 'the metric '), (True, 'g = I - t\\,t^{T}'), (False, ' of max_tau')]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

GREEK = [
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda"),
    *("mu", "nu", "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
    *("Gamma", "Delta", "Theta", "Lambda", "Phi", "Psi", "Omega", "Sigma"),
]
SYMBOLS = {name: rf"\{name}" for name in GREEK} | {
    "eps": r"\epsilon",
    "nabla": r"\nabla",
    "Gammabar": r"\bar\Gamma",
    "infinity": r"\infty",
    "Ric": r"\mathrm{Ric}",
    "Rm": r"\mathrm{Rm}",
    "dtheta": r"d\theta",
    "dphi": r"d\phi",
    "dpsi": r"d\psi",
}
# Words that belong to a formula only beside something that is certainly one.
WITHIN = {"Laplacian": r"\Delta", "const": r"\mathrm{const}"}
UNITS = {"length", "time"}
FUNCTIONS = {
    name: rf"\{name}"
    for name in (["tanh", "sinh", "cosh", "log", "exp", "sin", "cos", "tan", "arctan", "det"])
} | {
    name: rf"\operatorname{{{name}}}"
    for name in (["sech", "arsinh", "arcosh", "artanh", "arccos", "diag", "tr", "div", "sign"])
}
BOUND = {  # before a bracket only
    "max": r"\max",
    "min": r"\min",
    "sup": r"\sup",
    "mean": r"\operatorname{mean}",
}
TIMES = "\u00d7"  # the multiplication sign
SPACED = {
    "->": r"\to", "<=": r"\le", ">=": r"\ge", "+-": r"\pm", "=": "=", "<": "<", ">": ">",
    "+": "+", "-": "-", "/": "/", ".": r"\cdot", "*": r"\cdot", "~": r"\sim",
    "⊗": r"\otimes", TIMES: r"\times",
}  # fmt: skip
_DIFFERENTIAL = re.compile(r"d[xyztsrVLRfuw]$")
_WORD = re.compile(r"[A-Za-z]+")
_NUMBER = re.compile(r"\d+(\.\d+)?(?:e([+-]?\d+))?")
_INDEX = re.compile(r"max|min|inf(?![a-z])|[a-df-uw-zA-Z0-9]{1,3}|[abcdijklmnpqrs]{4}")
_FIRST = re.compile(r" [-+/=<>]=? |[_^']")  # after a letter that is a word as well
_ENDS_WORD = re.compile(r"\s*([-+/=<>^_'),\]|.;]|$)")
_PULLED = re.compile(r"\*(?= [a-z]\b| Ric\b)")  # the metric phi* g
_TIMES = re.compile(r"(\d+)((?: x \d+)+)(?![\w^.]*[A-Za-z_^])")


class _NotAFormulaError(Exception):
    pass


class _Reader:
    """Reads the longest formula that begins at a place of a text."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at, self.begin = text, at, at
        self.certain = False  # something that only a formula has was read
        self.depth = 0

    def rest(self) -> str:
        """The next 40 characters."""
        return self.text[self.at : self.at + 40]

    def looking(self, what: str) -> bool:
        """Whether the text goes on with these characters."""
        return self.text.startswith(what, self.at)

    def expression(self) -> str:
        """Products joined by operators, as LaTeX."""
        made = self.product()
        while True:
            before, certain = self.at, self.certain
            found = self.operator()
            if found is None:
                return made
            try:
                made += f" {found} " + self.product()
                self.certain = True
            except _NotAFormulaError:
                self.at, self.certain = before, certain
                return made

    def operator(self) -> str | None:
        """The operator that follows, as LaTeX; None where a word or a sentence follows."""
        spaces = len(self.text) - self.at - len(self.text[self.at :].lstrip(" "))
        for sign, latex in SPACED.items():
            place = self.at + spaces
            if not self.text.startswith(sign, place):
                continue
            after = place + len(sign)
            spaced = spaces > 0 and self.text.startswith(" ", after)
            close = spaces == 0 and not self.text.startswith((" ", "="), after)
            if spaced or (close and (sign == "/" or (self.depth and sign in "+-"))):
                self.at = after
                self.at += len(self.text[after:]) - len(self.text[after:].lstrip(" "))
                return latex
            return None
        return None

    def product(self) -> str:
        """Factors side by side, with a space or a dot between them."""
        made = ""
        if self.looking("-") and not self.looking("->") and not self.looking("- "):
            self.at += 1
            made = "-"
        made += self.factor()
        while True:
            before, certain = self.at, self.certain
            space = self.looking(" ") and not self.looking("  ")
            if space:
                self.at += 1
            dotted = re.match(r"\.[a-zA-Z](?![\w.(])", self.rest())
            if dotted and re.search(r"(?<![A-Za-z.])[a-z]$", self.text[: self.at]):
                self.at += 1
                made += r" \cdot " + self.factor()
                self.certain = True
                continue
            if space and re.match(r"\d|\([^()]*[=<>]", self.rest()):
                self.at, self.certain = before, certain
                return made
            if not space and re.match(r"\[[\w +-]+ : ", self.rest()):  # a divergence, D[x : y]
                made += self.bracket("[", "]")
                self.certain = True
                continue
            if not space and not self.looking("("):
                self.at = before
                return made
            try:
                made += (r"\," if space else "") + self.factor()
            except _NotAFormulaError:
                self.at, self.certain = before, certain
                return made

    def factor(self) -> str:
        """An atom with its primes, powers and indices."""
        return self.powers(self.atom())

    def powers(self, base: str) -> str:
        """A base with the primes, powers and indices that follow it."""
        for _ in range(4):
            if match := re.match(r"'{1,3}(?![A-Za-z'])", self.rest()):
                self.at += match.end()
                self.certain = True
                base += match.group()
            elif self.looking("^"):
                self.at += 1
                base = f"{{{base}}}" if "'" in base or re.search(r"\^\{[^{}]*\}$", base) else base
                base += f"^{{{self.script(raised=True)}}}"
                self.certain = True
            elif self.looking("_"):
                self.at += 1
                base += f"_{{{self.script(raised=False)}}}"
                self.certain = True
            elif re.match(_PULLED, self.rest()) and re.fullmatch(r"[A-Za-z]|\\[a-z]+", base):
                self.at += 1
                self.certain = True
                return f"{base}^{{*}}"
            else:
                break
        return base

    def script(self, raised: bool) -> str:
        """The content of a power or an index."""
        if self.looking("("):
            return self.bracket("(", ")")[1:-1]
        if raised and re.match(r"\*(?![\w*])", self.rest()):  # a pull-back
            self.at += 1
            return "*"
        sign = ""
        if raised and self.looking("-"):
            self.at += 1
            sign = "-"
        if raised and (match := re.match(r"\d+", self.rest())):
            self.at += match.end()
            return sign + match.group()
        if raised and (word := _WORD.match(self.rest())) and word.group() in SYMBOLS:
            self.at += word.end()
            return sign + SYMBOLS[word.group()]
        match = _INDEX.match(self.rest())
        if match is None or re.match(r"[A-Za-z0-9]", self.rest()[match.end() :]):
            raise _NotAFormulaError
        self.at += match.end()
        index = match.group()
        if index == "inf":
            return r"\infty"
        return sign + (rf"\mathrm{{{index}}}" if index in BOUND else index)

    def bracket(self, opening: str, closing: str) -> str:
        """Expressions in brackets, separated by commas or colons."""
        self.at += 1
        self.depth += 1
        parts = [self.part()]
        while self.looking(", ") or self.looking(",") or self.looking(" : "):
            sign = " : " if self.looking(" : ") else ","
            self.at += len(sign)
            self.at += self.looking(" ")
            parts += [", " if sign == "," else sign, self.part()]
        self.depth -= 1
        if not self.looking(closing):
            raise _NotAFormulaError
        self.at += 1
        return opening + "".join(parts) + closing

    def part(self) -> str:
        """An expression, or dots, between two commas."""
        if self.looking("..."):
            self.at += 3
            return r"\dots"
        return self.expression()

    def bars(self) -> str:
        """An absolute value or norm."""
        self.at += 1
        self.depth += 1
        inside = self.expression()
        self.depth -= 1
        if not self.looking("|"):
            raise _NotAFormulaError
        self.at += 1
        self.certain = True
        return rf"\lvert {inside}\rvert"

    def atom(self) -> str:
        """A bracket, a norm, a number, or a word."""
        if self.looking("("):
            return self.bracket("(", ")")
        after = self.text[max(self.at - 2, 0) : self.at].endswith(("-", "/ ", "= "))
        if self.looking("[") and (self.depth or self.certain or (after and self.at > self.begin)):
            return self.bracket("[", "]")
        if self.looking("|") and not self.looking("||"):
            return self.bars()
        if match := _NUMBER.match(self.rest()):
            if re.match(r"[A-Za-z_]{2}|-[A-Za-z]|\.\d", self.rest()[match.end() :]):
                raise _NotAFormulaError
            self.at += match.end()
            return self.number(match)
        if match := re.match(r"([gh])0(?![\w.])", self.rest()):
            self.at += match.end()
            self.certain = True
            return f"{match[1]}_{{0}}"
        match = _WORD.match(self.rest())
        if match is None:
            raise _NotAFormulaError
        return self.word(match.group())

    def number(self, match: re.Match[str]) -> str:
        """A number, one with an exponent as a power of ten."""
        if match[2] is None:
            return match.group()
        mantissa = match.group().split("e")[0]
        power = f"10^{{{int(match[2])}}}"
        return power if mantissa == "1" else rf"{mantissa} \cdot {power}"

    def word(self, word: str) -> str:
        """A symbol, a function with its argument, or a sum."""
        after = self.text[self.at + len(word) : self.at + len(word) + 40]
        if after.startswith(("_", "^")) and word in {"sum", "prod"}:
            self.at += len(word)
            made = self.powers(rf"\{word}")
            if not self.looking(" "):
                raise _NotAFormulaError
            self.at += 1
            self.certain = True
            return made + r"\, " + self.product()
        if word == "sqrt" and after.startswith("("):
            self.at += len(word)
            self.certain = True
            return rf"\sqrt{{{self.bracket('(', ')')[1:-1]}}}"
        if word == "sum" and re.match(rf" ({'|'.join(FUNCTIONS)})[ (^]", after):
            self.at += len("sum ")
            self.certain = True
            return r"\sum " + self.product()
        if word in FUNCTIONS or (word in BOUND and after.startswith(("(", "_", "|"))):
            return self.function(word)
        if word in SYMBOLS:
            latex = SYMBOLS[word]
            self.certain = True
        elif word in WITHIN:
            latex = WITHIN[word]
        elif word in UNITS and (after.startswith("^") or self.text[: self.at].endswith("/ ")):
            latex = rf"\mathrm{{{word}}}"
        elif len(word) == 1:
            first = self.at == self.begin
            unit = word == "I" and self.certain and re.match(r" [a-z]\b", after)  # the matrix
            if word in "aAI" and not unit and not (_FIRST if first else _ENDS_WORD).match(after):
                raise _NotAFormulaError
            latex = word
        elif _DIFFERENTIAL.match(word):
            latex = word
        else:
            raise _NotAFormulaError
        self.at += len(word)
        return latex

    def function(self, word: str) -> str:
        """A function with its argument in brackets, in bars, or behind a space."""
        self.at += len(word)
        latex = self.powers({**FUNCTIONS, **BOUND}[word])
        if self.looking("("):
            made = latex + self.bracket("(", ")")
        elif word in BOUND and self.looking("|"):
            made = latex + self.bars()
        elif self.looking(" "):
            self.at += 1
            made = latex + r"\," + self.factor()
        else:
            raise _NotAFormulaError
        self.certain = True
        return made


def _formula(text: str, at: int) -> tuple[int, str] | None:
    """End and LaTeX of the formula that begins at a place, None where there is none."""
    reader = _Reader(text, at)
    try:
        latex = reader.expression()
    except _NotAFormulaError:
        return None
    end, found = reader.at, text[at : reader.at]
    if re.match(r"""[A-Za-z0-9_`"(\[=^\\{|/]|\.\w|'\w|\.\.|-\w|:\w|::""", text[end : end + 2]):
        return None
    if found in {"C", "e", "E"}:
        return None
    if re.fullmatch(r"[\d\s.,()x\[\]/:+*-]*(e-?\d+)?[\d\s.,()]*", found):
        return None  # numbers alone
    if re.fullmatch(r"[\d.]+ ?[smhdkMGWD]", found):
        return None
    if found in _UNITS and re.search(r"\d $", text[:at]):
        return None
    if not reader.certain and not re.fullmatch(r"[A-Za-z\d ]{1,7}|[A-Za-z]\(\w(, \w)*\)", found):
        return None
    return end, latex


_UNITS = {"s", "m", "h", "d", "k", "M", "G", "W", "D"}  # of a number before it
_BEGINS = re.compile(r"(?<![\w`\"'.\\$/@<#|\]^-])(?=[A-Za-z0-9(|-])")
_SQUARE = re.compile(r"\b(\w+) x (\w+) \+ \2 x \1\b")
_KEPT = re.compile(
    r"shape \([^)]*\)|\((?:[^()]*\*)[\w.]*shape\)|\(\.\.\., [^()]*\)"  # shapes of arrays
    r"|``.*?``|`.*?`|\".*?\"|\$[^$]+\$|<[^>]*>|https?://\S+|\]\([^)]*\)|:\w+:`.*?`"
)


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The parts of a text in order: (False, words) and (True, LaTeX)."""
    text = _SQUARE.sub(r"\1 ⊗ \2 + \2 ⊗ \1", text)
    text = re.sub(r"(\^\w+|\^\(.*?\)) x (?=[A-Z]\^|\d)", rf"\1 {TIMES} ", text)
    at = start = 0
    while at < len(text):
        if kept := _KEPT.match(text, at):
            at = kept.end()
            continue
        found = None
        if _BEGINS.match(text, at):
            if times := _TIMES.match(text, at):
                yield False, text[start:at] + times.group().replace(" x ", f" {TIMES} ")
                at = start = times.end()
                continue
            found = _formula(text, at)
        if found is None:
            word = re.compile(r"[A-Za-z0-9_]+|.", re.DOTALL).match(text, at)
            assert word is not None
            at = word.end()
            continue
        if start < at:
            yield False, text[start:at]
        at = start = found[0]
        yield True, found[1]
    if start < len(text):
        yield False, text[start:]


def typeset(text: str, words: Callable[[str], str], formula: Callable[[str], str]) -> str:
    """A text with its words and its formulas written by two functions."""
    return "".join(formula(p) if is_formula else words(p) for is_formula, p in pieces(text))
