"""Check the certificates of the theorem audit: python check.py FOLDER. Needs SymPy, nothing else.

A certificate has parts: symbols, their derivatives along each coordinate (all that is known here of
tanh, sin and exp), given objects, and steps. Every step is computed here exactly, in rational
functions, and compared with its entry "equals". FINGERPRINTS are the hashes of all the rest: no
definition can be exchanged. Read in a certificate what it proves, and from what.
"""

import ast
import hashlib
import json
import operator
import sys
from math import factorial
from pathlib import Path

from sympy import QQ, field
from sympy.polys.matrices import DomainMatrix

FINGERPRINTS = """cb446033e077 8b4e9f6e99d8 2e53f1eca6eb ed49dd3052f2 3b7934d8f15d a4d40e37a1eb
c328e32ef729 a929b8efaaea 130188817689 fee2e9d3d800 0482ea3ab07c f92f62281b5f
1bbce128f635 54bd7cc02e3f b8a1f0cb14b6 9a3fd5a19e6b f63a6bbc48af ff18f4d51b5d"""
OPERATORS = {"Add": "add", "Sub": "sub", "Mult": "mul", "Div": "truediv", "USub": "neg"}


def read(text, names):
    """The value of a text such as "t1*(1 - t2**2)/s" or "Ric[0][1]", or of lists of texts."""
    if isinstance(text, list):
        return [read(part, names) for part in text]
    if isinstance(text, dict):
        return [(names[key], read(part, names)) for key, part in text.items()]

    def value(e):  # these few forms are all that it knows: nothing in a certificate is run
        if isinstance(e, ast.BinOp) and isinstance(e.op, ast.Pow):
            return value(e.left) ** e.right.value
        if isinstance(e, (ast.BinOp, ast.UnaryOp)):
            parts = [e.left, e.right] if isinstance(e, ast.BinOp) else [e.operand]
            return getattr(operator, OPERATORS[type(e.op).__name__])(*map(value, parts))
        if isinstance(e, ast.Subscript):
            return value(e.value)[e.slice.value]
        return names[e.id] if isinstance(e, ast.Name) else QQ(e.value)

    return value(ast.parse(text, mode="eval").body)


def space(symbols, slopes):
    """A field of rational functions, its symbols, and the derivative along each coordinate."""
    K, *gens = field(symbols, QQ)
    names = dict(zip(symbols.split(), gens, strict=True))
    rules = [read(slope, names) for slope in slopes]
    return K, names, [lambda f, r=r: sum((K(f).diff(x) * dx for x, dx in r), K(0)) for r in rules]


def each(function, x):
    return [each(function, part) for part in x] if isinstance(x, list) else function(x)


def table(n, rank, entry, *index):
    """Nested lists of entry(i, j, ...), with all indices from 0 to n - 1."""
    return [table(n, rank - 1, entry, *index, i) for i in range(n)] if rank else entry(*index)


def inverse(d, rows):
    K = sum(map(sum, rows)).field
    return DomainMatrix(each(K, rows), (len(rows), len(rows)), K.to_domain()).inv().to_list()


def geometry(d, g):
    """G^k_ij = g^kp (d_i g_pj + d_j g_pi - d_p g_ij)/2, the inverse of g, and the Ricci tensor.

    R_jk = d_i G^i_jk - d_j G^i_ik + G^p_jk G^i_ip - G^p_ik G^i_jp, positive on spheres.
    """
    n, N, up = len(g), range(len(g)), inverse(d, g)
    low = table(n, 3, lambda p, i, j: (d[i](g[p][j]) + d[j](g[p][i]) - d[p](g[i][j])) / 2)
    G = table(n, 3, lambda k, i, j: sum(up[k][p] * low[p][i][j] for p in N))

    def term(i, j, k):
        square = sum(G[p][j][k] * G[i][i][p] - G[p][i][k] * G[i][j][p] for p in N)
        return d[i](G[i][j][k]) - d[j](G[i][i][k]) + square

    return [G, table(n, 2, lambda j, k: sum(term(i, j, k) for i in N)), up]


def flow(d, g):
    """The Ricci-DeTurck flow with flat background: -2 Ric + L_W g, W^k = g^pq G^k_pq."""
    (G, R, up), N = geometry(d, g), range(len(g))
    W = [sum(up[p][q] * G[k][p][q] for p in N for q in N) for k in N]

    def lie(k, i, j):
        return W[k] * d[k](g[i][j]) + g[k][j] * d[i](W[k]) + g[i][k] * d[j](W[k])

    return table(len(g), 2, lambda i, j: -2 * R[i][j] + sum(lie(k, i, j) for k in N))


def exp(d, x):
    """Bounds of e^x for 0 <= x <= 20: the terms that are left out add up to less than 10^-25."""
    low = int(sum(x**k / factorial(k) for k in range(100)) * 10**25)
    return [QQ(low, 10**25), QQ(low + 2, 10**25)]


STEPS = {
    "entries": lambda d, x: x,
    "at": lambda d, x, point: each(lambda f: f.subs(point), x),
    "gradient": lambda d, x: [each(along, x) for along in d],
    "inverse": inverse,
    "geometry": geometry,
    "flow": flow,
    "exp": exp,
}


def compare(value, stated, where):  # refuses a stated object that is not equal to the computed one
    if isinstance(value, list) and isinstance(stated, list) and len(value) == len(stated):
        for i, pair in enumerate(zip(value, stated, strict=True)):
            compare(*pair, f"{where}[{i}]")
    elif isinstance(value, list) or isinstance(stated, list) or value - stated:
        raise ValueError(f"entry {where} is {value}, not {stated}")


def check(path, line=1):
    """Whether a certificate proves its claim; if not, the line and the entry are printed."""
    try:
        text = path.read_text()
        data, pieces = json.loads(text), text.split('"step"')
        for part in data["parts"]:
            K, names, d = space(part["symbols"], part["slopes"])
            for name, given in part["given"].items():
                names[name] = read(given, names)
            known = dict(names)  # the names that "equals" may use: not those of other steps
            for step in part["steps"]:
                line, name = line + pieces.pop(0).count("\n"), step["name"]
                names[name] = value = STEPS[step["step"]](d, *read(step["of"], names))
                if "equals" in step:
                    compare(value, read(step["equals"], known), name)
                if "sign" in step and not getattr(K(value).as_expr(), "is_" + step["sign"]):
                    raise ValueError(f"{name} = {value} is not {step['sign']}")
                step["equals"] = "equals" in step
        digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
        if digest not in FINGERPRINTS.split():
            raise ValueError(f"up to here a text, definition or step is not the claim's ({digest})")
        print(f"proved  {path.name}: {data['proves']}")
        return True
    except Exception as error:
        print(f"FAILED  {path.name}, line {line}: {error!r:.600}")
        return False


if __name__ == "__main__":
    sys.exit(not all([check(path) for path in sorted(Path(sys.argv[1]).glob("*.json"))] or [0]))
