"""The C source of a kernel: rows of derivatives in a ring that stays in the cache.

Derivatives along the outer axes (all but the last two) are computed a row at a time, for all
components and with the halo that later differences need, into a ring of 2 w + 1 rows along the
last axis but one (w the half width of the stencil). Differences along the last two axes and all
algebra are then one loop over the last axis that reads nothing but the ring. The last axis is cut
into blocks, so that the ring fits the cache.

Rows are found through tables of offsets, one for each axis: they wrap around periodic axes, so that
a periodic axis needs no ghost points.

Loops are written in vectors of the compiler's own extension (GCC and Clang have the same), so that
speed does not hang on what an optimiser makes of a body of hundreds of statements. The last vector
of a row runs over its end into scratch that is not read.
"""

from __future__ import annotations

from itertools import product

from .c_templates import FILL, HEAD, RUN
from .emit import (
    first_difference,
    first_weight,
    second_difference,
    second_weight,
    statements,
    weight_names,
)
from .trace import Derivative, Program

# Points of a block along the last axis. With 2-D to 4-D the rows of the ring hold 3, 18 and 60
# arrays; longer blocks of them would leave the cache closest to the core.
BLOCK = {2: 128, 3: 128, 4: 64}


class _Layout:
    """Which derivative along the outer axes lies where in a row of the ring."""

    def __init__(self, program: Program, width: int) -> None:
        self.n, self.width = program.n, width
        outer = range(self.n - 2)
        needed = {tuple(a for a in d.axes if a < self.n - 2) for d in program.inputs} | {()}
        every = [(), *((a,) for a in outer), *((a, b) for a in outer for b in outer if a <= b)]
        self.kinds: list[tuple[int, ...]] = [kind for kind in every if kind in needed]
        self.row, self.last = self.n - 2, self.n - 1
        # Components that are differenced along both of the last two axes.
        self.crossed = sorted(
            {
                self.flat(program, d)
                for d in program.inputs
                if d.axes in ((self.row,), (self.row, self.last))
            }
        )

    @staticmethod
    def flat(program: Program, d: Derivative) -> int:
        """Number of a component, those of all fields counted."""
        return d.field * (program.components // program.fields) + d.component

    def array(self, component: int, kind: tuple[int, ...]) -> int:
        """Place of an array in a row of the ring."""
        return component * len(self.kinds) + self.kinds.index(kind)


def emit_c(program: Program, order: int, dtype: str, block: int | None = None) -> str:
    """C source with one function, ``run``; see ``cpu.Kernel`` for its arguments."""
    width = order // 2
    layout = _Layout(program, width)
    real = {"float64": "double", "float32": "float"}[dtype]
    head = HEAD
    for name, value in {
        "real": real,
        "integer": {"float64": "int64_t", "float32": "int32_t"}[dtype],
        "block": block or BLOCK[program.n],
        "width": width,
        "arrays": program.components * len(layout.kinds),
    }.items():
        head = head.replace("{" + name + "}", str(value))
    parts = [head, _fill(program, layout), _row(program, layout), _run(program, layout)]
    return "\n".join(parts)


def _weights(n: int, width: int, type_name: str, axes: range) -> list[str]:
    """Declarations of the weights of some axes."""
    return [
        f"    const {type_name} {name} = w[{place}] - ({type_name}){{0}};"
        if type_name == "vec"
        else f"    const {type_name} {name} = w[{place}];"
        for place, name in enumerate(weight_names(n, width))
        if int(name[1 : name.index("_")]) in axes
    ]


def _fill(program: Program, layout: _Layout) -> str:
    """Function that computes one row of the ring."""
    arguments = "".join(f", const int64_t *o{a}" for a in range(layout.n - 2))
    loop = FILL.replace("{arguments}", arguments)
    for name, value in {
        "weights": "\n".join(_weights(layout.n, layout.width, "real", range(layout.n - 2))),
        "components": str(program.components),
        "per": str(program.components // program.fields),
        "kinds": str(len(layout.kinds)),
        "vectors": "\n".join(_fill_body(layout, "uvec")),
        "scalars": "\n".join(_fill_body(layout, "real")),
        "pointers": "\n".join(_pointers(layout)),
        "prefetch": "\n".join(_prefetches(layout)),
    }.items():
        loop = loop.replace("{" + name + "}", value)
    return loop


def _neighbours(layout: _Layout) -> list[tuple[int, ...]]:
    """Shifts along the outer axes of the rows that a row of the ring is made from."""
    shifts = range(-layout.width, layout.width + 1)
    every = product(shifts, repeat=layout.n - 2)
    crossed = any(len(set(kind)) == 2 for kind in layout.kinds)
    return [s for s in every if crossed or sum(map(bool, s)) <= 1]


def _pointer(shift: tuple[int, ...]) -> str:
    return "q" + "".join(f"_{'m' if k < 0 else ''}{abs(k)}" for k in shift)


def _pointers(layout: _Layout) -> list[str]:
    """Declarations of where those rows begin."""
    return [
        f"            const real *const {_pointer(shift)} = from + first"
        + "".join(f" + o{a}[{k}]" for a, k in enumerate(shift))
        + ";"
        for shift in _neighbours(layout)
    ]


def _prefetches(layout: _Layout) -> list[str]:
    """Hints for the rows that the next call will read: too many and too short for hardware."""
    return [
        f"                __builtin_prefetch({_pointer(shift)} + z + next);"
        for shift in _neighbours(layout)
    ]


def _fill_body(layout: _Layout, type_name: str) -> list[str]:
    """Statements that store the derivatives along the outer axes of one component."""
    outer, width = range(layout.n - 2), layout.width

    def value(**shift: int) -> str:
        chosen = tuple(shift.get(f"x{a}", 0) for a in outer)
        return f"AT({type_name}, {_pointer(chosen)} + z)"

    def first(a: int, **fixed: int) -> str:
        return first_difference(lambda j: value(**{f"x{a}": j}, **fixed), first_weight(a), width)

    texts: dict[tuple[int, ...], str] = {(): value()}
    for a in outer:
        texts[a,] = first(a)
        texts[a, a] = second_difference(
            lambda j, a=a: value(**{f"x{a}": j}),  # type: ignore[misc]
            second_weight(a),
            width,
        )
        for b in outer[a + 1 :]:
            texts[a, b] = first_difference(
                lambda j, a=a, b=b: f"({first(a, **{f'x{b}': j})})",  # type: ignore[misc]
                first_weight(b),
                width,
            )
    return [
        f"                *({type_name} *)(d + {place} * LENGTH + z) = {texts[kind]};"
        for place, kind in enumerate(layout.kinds)
    ]


def _row(program: Program, layout: _Layout) -> str:
    """Function that computes one row of the result from the ring."""
    n, width, row, last = layout.n, layout.width, layout.row, layout.last
    crossed = {c: place for place, c in enumerate(layout.crossed)}

    def ring(array: int, k: int, offset: int) -> str:
        kind = "vec" if offset == 0 else "uvec"
        shift = f" + {offset}" if offset > 0 else (f" - {-offset}" if offset else "")
        return f"AT({kind}, p{k + width} + {array} * LENGTH + START + z{shift})"

    def load(d: Derivative) -> str:
        c = layout.flat(program, d)
        inner = tuple(a for a in d.axes if a >= n - 2)
        array = layout.array(c, tuple(a for a in d.axes if a < n - 2))
        if inner == ():
            return ring(array, 0, 0)
        if inner == (last,):
            return first_difference(lambda j: ring(array, 0, j), first_weight(last), width)
        if inner == (last, last):
            return second_difference(lambda j: ring(array, 0, j), second_weight(last), width)
        if inner == (row, row):
            return second_difference(lambda j: ring(array, j, 0), second_weight(row), width)
        if inner == (row,) and d.axes != (row,):
            return first_difference(lambda j: ring(array, j, 0), first_weight(row), width)

        def along_row(j: int) -> str:
            kind = "vec" if j == 0 else "uvec"
            shift = f" + {j}" if j > 0 else (f" - {-j}" if j else "")
            return f"AT({kind}, across + {crossed[c]} * LENGTH + START + z{shift})"

        if inner == (row,):
            return along_row(0)
        return first_difference(along_row, first_weight(last), width)

    outputs = program.outputs
    lines, names = statements((*outputs, *program.minors), load, "vec", " " * 8)
    good = " & ".join(f"({names[m.number]} > (real)0)" for m in program.minors)
    rows = "".join(f", const real *p{k}" for k in range(2 * width + 1))
    text = [
        "/* One row of the result; returns whether the metric is one at all of its points. */",
        "static NOINLINE int compute(real *restrict result, int64_t points, real *restrict across",
        f"                            {rows}, int64_t size, const real *w) {{",
        *_weights(n, width, "vec", range(row, n)),
        "    for (int64_t z = -START; z < size + WIDTH; z += LANES) {",
    ]
    for c, place in crossed.items():
        array = layout.array(c, ())
        difference = first_difference(lambda j, m=array: ring(m, j, 0), first_weight(row), width)  # type: ignore[misc]
        text.append(f"        *(vec *)(across + {place} * LENGTH + START + z) = {difference};")
    text += [
        "    }",
        "    ivec bad = {0}, lane = {0};",
        "    for (int64_t k = 0; k < LANES; k++) lane[k] = k;",
        "    for (int64_t z = 0; z < size; z += LANES) {",
        *lines,
        "        real *const to = result + z;",
        "        if (size - z >= LANES) {",
        *(
            f"            *(uvec *)(to + {place} * points) = {names[o.number]};"
            for place, o in enumerate(outputs)
        ),
        "        } else {",
        "            for (int64_t k = 0; k < size - z; k++) {",
        *(
            f"                to[{place} * points + k] = {names[o.number]}[k];"
            for place, o in enumerate(outputs)
        ),
        "            }",
        "        }",
        f"        bad |= ~({good}) & (lane < (lane_t)(size - z));",
        "    }",
        "    int64_t any = 0;",
        "    for (int64_t k = 0; k < LANES; k++) any |= bad[k];",
        "    return any == 0;",
        "}",
        "",
    ]
    return "\n".join(text)


def _run(program: Program, layout: _Layout) -> str:
    """The function that is called: all rows of a slab of the first axis."""
    n, width, row = layout.n, layout.width, layout.row
    # Rows of the ring are counted from the first one of the slab if the row axis is the first.
    begin, end = ("start", "stop") if n == 2 else ("0", f"sizes[{row}]")
    outer = "".join(f", offsets[{a}] + i{a} + {width}" for a in range(n - 2))
    result_row = " + ".join(
        f"i{a} * {' * '.join(f'sizes[{b}]' for b in range(a + 1, n))}" for a in range(n - 1)
    ).replace(f"i{row}", f"(y - {width})")
    text = RUN
    for name, value in {
        "last": str(layout.last),
        "points": " * ".join(f"sizes[{a}]" for a in range(n)),
        "ring": str(2 * width + 1),
        "crossed": str(max(1, len(layout.crossed))),
        "loops": "\n".join(
            f"    for (int64_t i{a} = {low}; i{a} < {high}; i{a}++)"
            for a, (low, high) in enumerate(
                [("start", "stop"), *(("0", f"sizes[{b}]") for b in range(1, n))][: n - 2]
            )
        ),
        "begin": begin,
        "end": end,
        "outer": outer,
        "row": str(row),
        "place": result_row,
        "pointers": ", ".join(f"p[{k}]" for k in range(2 * width + 1)),
    }.items():
        text = text.replace("{" + name + "}", value)
    return text
