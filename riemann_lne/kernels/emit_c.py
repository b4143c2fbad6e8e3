"""The C source of a kernel: rows of derivatives in a ring that stays in the cache.

Derivatives along the outer axes (all but the last two) are computed a row at a time, for all
components and with the halo that later differences need, into a ring of 2 w + 1 rows along the
last axis but one (w the half width of the stencil). Differences along the last two axes and all
algebra are then one loop over the last axis that reads nothing but the ring. The last axis is cut
into blocks, so that the ring fits the cache. Mixed differences of the last two axes start from
first ones, of which those of three vectors are held: before, here and after.

That loop needs 32 registers. With 16 of them it would mostly store and load again values that have
no register, so there it is two loops: one, over a part of a row and component by component, for the
differences along the last two axes, and one for the algebra, which reads each of them once.

All differences have whole numbers as weights; see ``units``. A metric is stretched to equal
spacings where it is read into the ring, and the result brought back where it is stored.

In 4-D derivatives along the first axis go into a ring of planes of the last two axes, and a row of
those along the second axis is computed from the planes: mixed ones share first differences.

Rows are found through tables of offsets, one for each axis: they wrap around periodic axes, so that
a periodic axis needs no ghost points.

Loops are written in vectors of the compiler's own extension (GCC and Clang have the same), so that
speed does not hang on what an optimiser makes of a body of hundreds of statements; these come in
the order of ``order``. The rest of a row goes into a shorter vector, if that is enough. The last
vector runs over the end into scratch that is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ..coefficients import half_width
from ..flows.base import Formula
from .c_templates import (
    ACROSS,
    DIFFERENCES,
    FENCE,
    FILL,
    HEAD,
    MEMORY_OF_PLANES,
    MEMORY_OF_ROWS,
    PLANES,
    RING,
    ROWS,
    RUN,
    SHIFTS,
    SHORT,
    VECTORS,
)
from .emit import first_difference, second_difference, statements
from .order import side_by_side
from .trace import Derivative, Program, trace
from .units import units

# Points of a block along the last axis. With 2-D to 4-D a row of the ring holds 3, 18 and 30 arrays
# (in 4-D one of a plane as many again). Short blocks stay in the cache closest to the core, long
# ones read memory in one stream; these were the quickest on large grids.
BLOCK = {2: 1024, 3: 128, 4: 64}

# Bytes of the differences of a part of a row. A third of a small first-level cache is best in 2-D;
# with more dimensions it costs more to begin a part than to reach for the second-level cache.
_PART = {2: 12288, 3: 43008, 4: 24576}

# Bytes and bits of a value.
_SIZES = {"float64": {"size": 8, "bits": 64}, "float32": {"size": 4, "bits": 32}}


class _Layout:
    """Places of the derivatives along the outer axes in a row of the ring."""

    def __init__(self, program: Program, width: int) -> None:
        self.n, self.width = program.n, width
        outer = range(self.n - 2)
        needed = {tuple(a for a in d.axes if a < self.n - 2) for d in program.inputs} | {()}
        every = [(), *((a,) for a in outer), *((a, b) for a in outer for b in outer if a <= b)]
        # Those that are filled from the grid, and in 4-D those that are computed from these.
        self.near = [k for k in every if 1 not in k and (k in needed or (*k, 1) in needed)]
        self.far = [k for k in every if 1 in k and k in needed]
        self.row, self.last = self.n - 2, self.n - 1
        # Components that are differenced along both of the last two axes.
        self.crossed = sorted(
            {
                self.flat(program, d)
                for d in program.inputs
                if d.axes in ((self.row,), (self.row, self.last))
            }
        )
        # Differences along the last two axes: components that need the same ones, and the place of
        # each where they are computed before the algebra.
        inner: dict[int, list[tuple[int, ...]]] = {}
        for d in sorted(program.inputs):
            if any(a >= self.row for a in d.axes):
                inner.setdefault(self.flat(program, d), []).append(d.axes)
        self.groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for component, kinds in inner.items():
            self.groups.setdefault(tuple(kinds), []).append(component)
        every_one = [
            (c, axes) for kinds, group in self.groups.items() for c in group for axes in kinds
        ]
        self.slots = {key: k for k, key in enumerate(every_one)}

    @staticmethod
    def flat(program: Program, d: Derivative) -> int:
        """Number of a component, those of all fields counted."""
        return d.field * (program.components // program.fields) + d.component

    def place(self, component: int, kind: tuple[int, ...]) -> tuple[str, int]:
        """The rows of an array, p or in 4-D q where it lies in a plane, and its place in them."""
        if kind in self.far:
            return "p", component * len(self.far) + self.far.index(kind)
        return "q" if self.far else "p", component * len(self.near) + self.near.index(kind)


def emit_c(name: str | Formula, n: int, order: int, dtype: str, block: int | None = None) -> str:
    """C source with one function, ``run``; see ``cpu.Kernel`` for its arguments."""
    program, width = trace(name, n, units(order).ratio), half_width(order)
    layout = _Layout(program, width)
    start = 64 // _SIZES[dtype]["size"]
    points = _PART[program.n] // _SIZES[dtype]["size"] // max(1, len(layout.slots)) // start * start
    sizes = f"#define BLOCK {block or BLOCK[program.n]}\n#define WIDTH {width}\n"
    sizes += f"#define PART {max(start, points)}\n"
    parts = [head(dtype, width), sizes, RING, FENCE, _rows(program, layout, dtype)]
    parts.append(_fill(program, layout))
    if layout.far:
        parts.append(_second_axis(program, layout))
    parts.append(_run(program, layout))
    return "\n".join(parts)


def head(dtype: str, width: int = 0) -> str:
    """The beginning of every source: vectors of a type, with at least ``width`` values."""
    values = {
        "shortest": max(16, 16 * math.ceil(width * _SIZES[dtype]["size"] / 16)),
        "real": {"float64": "double", "float32": "float"}[dtype],
        "integer": {"float64": "int64_t", "float32": "int32_t"}[dtype],
    }
    return _filled(HEAD, values) + VECTORS


def _filled(template: str, values: Mapping[str, object]) -> str:
    for name, value in values.items():
        template = template.replace("{" + name + "}", str(value))
    return template


def _fill(program: Program, layout: _Layout) -> str:
    """Function that computes one row with the derivatives along the first axis, if it is outer."""
    outer = range(min(1, layout.n - 2))
    shifts = range(-layout.width, layout.width + 1) if outer else range(1)
    values = {
        "arguments": ", const int64_t *o0" if outer else "",
        "components": program.components,
        "per": program.components // program.fields,
        "kinds": len(layout.near),
        "arrays": program.components * len(layout.near),
        "vectors": "\n".join(_fill_body(layout, "uvec")),
        "scalars": "\n".join(_fill_body(layout, "real")),
        "pointers": "\n".join(
            f"            const real *const {_pointer(k)} = from + first"
            + (f" + o0[{k}];" if outer else ";")
            for k in shifts
        ),
        # A plane is filled in one go: the rows of the next call are asked for meanwhile.
        "next": ", int64_t next" if layout.far else "",
        "prefetch": "\n".join(
            f"                __builtin_prefetch({_pointer(k)} + z + next);"
            for k in (shifts if layout.far else ())
        ),
    }
    return _filled(FILL, values)


def _pointer(shift: int) -> str:
    return f"q{'m' if shift < 0 else ''}{abs(shift)}"


def _along(values: Callable[[int], str], count: int, width: int) -> str:
    """The value itself, or its first or second difference."""
    if count == 0:
        return values(0)
    if count == 1:
        return first_difference(values, width)
    return second_difference(values, width)


def _fill_body(layout: _Layout, type_name: str) -> list[str]:
    """Statements that store the derivatives along the first axis of one component."""

    def value(shift: int) -> str:
        return f"AT({type_name}, {_pointer(shift)} + z)"

    return [
        f"                *({type_name} *)(d + {place} * LENGTH + z) = "
        f"scale * ({_along(value, len(kind), layout.width)});"
        for place, kind in enumerate(layout.near)
    ]


def _second_axis(program: Program, layout: _Layout) -> str:
    """Function that computes, in 4-D, one row of the derivatives along the second axis."""
    width = layout.width

    def store(kind: tuple[int, ...]) -> str:
        array = layout.near.index(tuple(a for a in kind if a != 1))

        def value(shift: int) -> str:
            return f"AT(vec, q{shift + width} + from + {array} * LENGTH + z)"

        difference = _along(value, kind.count(1), width)
        return f"            *(vec *)(d + {layout.far.index(kind)} * LENGTH + z) = {difference};"

    values = {
        "rows": "".join(f", const real *q{k}" for k in range(2 * width + 1)),
        "components": program.components,
        "kinds": len(layout.far),
        "planes": len(layout.near),
        # Of these only the first derivative is differenced again along the last axis.
        "first": layout.far.index((1,)),
        "halo": store((1,)),
        "vectors": "\n".join(map(store, layout.far)),
    }
    return _filled(ACROSS, values)


class _RowLoads:
    """C expressions of a tree's inputs at a vector of points of a row, from the ring."""

    def __init__(self, program: Program, layout: _Layout) -> None:
        self._program, self._layout = program, layout
        names = "pq" if layout.far else "p"
        self.rows = [f"{name}{k}" for name in names for k in range(2 * layout.width + 1)]

    def pointers(self) -> list[str]:
        """Declarations of a pointer to the vector in each row.

        Without them GCC's search for the best of all ways to address thousands of values in
        several rows takes most of a minute in 4-D.
        """
        return [f"        const real *const at_{row} = {row} + START + z;" for row in self.rows]

    def __call__(self, d: Derivative) -> str:
        c = self._layout.flat(self._program, d)
        if (c, d.axes) in self._layout.slots:
            return f"INNER({self._layout.slots[c, d.axes]}, {self._here(c, d)})"
        return self._here(c, d)

    def _here(self, c: int, d: Derivative) -> str:
        """The value where all is one loop."""
        layout, width = self._layout, self._layout.width
        row, last = layout.row, layout.last
        inner = tuple(a for a in d.axes if a >= row)
        array = layout.place(c, tuple(a for a in d.axes if a < row))
        if inner == (last, last):
            return second_difference(lambda j: self._ring(array, 0, j), width)
        if inner == (row, row):
            return second_difference(lambda j: self._ring(array, j, 0), width)
        if inner == (last,):
            return first_difference(lambda j: self._ring(array, 0, j), width)
        if inner == (row,) and d.axes != (row,):
            return self.across(array)
        if inner == (row,):
            return f"here{c}"
        if inner == (row, last):
            return first_difference(_neighbours(str(c)), width)
        return self._ring(array, 0, 0)

    def across(self, array: tuple[str, int], more: str = "") -> str:
        """The first difference along the row axis, at a vector on from here."""
        return first_difference(lambda j: self._ring(array, j, 0, more), self._layout.width)

    def _ring(self, array: tuple[str, int], k: int, offset: int, more: str = "") -> str:
        rows, place = array
        there = f"at_{rows}{k + self._layout.width} + {place} * LENGTH{more}"
        if offset == 0:
            return f"AT(vec, {there})"
        return f"{'AFTER' if offset > 0 else 'BEFORE'}({there}, {abs(offset)})"


def _differences(layout: _Layout, load: _RowLoads) -> str:
    """Function that computes the differences along the last two axes for a part of a row."""
    first, loops = 0, []
    for kinds, components in layout.groups.items():
        loops += _differences_of(layout, kinds, components, first)
        first += len(kinds) * len(components)
    values = {
        "rows": "".join(f", const real *{name}" for name in load.rows),
        "loops": "\n".join(loops),
    }
    return _filled(DIFFERENCES, values)


def _differences_of(
    layout: _Layout, kinds: tuple[tuple[int, ...], ...], components: list[int], first: int
) -> list[str]:
    """Loops over components that need the same differences, and over the vectors of each."""
    row, last, width = layout.row, layout.last, layout.width
    pointers: list[str] = []
    held: dict[str, str] = {}  # values of which three vectors are held, and how the next is found
    values: dict[tuple[int, ...], str] = {}
    for number, outer in enumerate(sorted({tuple(a for a in k if a < row) for k in kinds})):
        rows, place = layout.place(0, outer)
        step = layout.place(1, outer)[1] - place
        pointers += [
            f"        const real *const {rows}{k}_{number} = {rows}{k} + START"
            f" + (numbers[m] * {step} + {place}) * LENGTH;"
            for k in range(2 * width + 1)
        ]

        def there(j: int, row: str = f"{rows}{{}}_{number}") -> str:
            return f"AT(vec, {row.format(j + width)} + z)"

        def next_one(j: int, row: str = f"{rows}{{}}_{number}") -> str:
            return f"AT(vec, {row.format(j + width)} + z + LANES)"

        for count in (1, 2):
            kind = (*outer, *(last,) * count)
            if kind in kinds:
                held[f"{number}"] = next_one(0)
                values[kind] = _along(_neighbours(f"{number}"), count, width)
            kind = (*outer, *(row,) * count)
            values[kind] = _along(there, count, width)
        if (*outer, row, last) in kinds:
            held[f"_row{number}"] = first_difference(next_one, width)
            values[(*outer, row)] = f"here_row{number}"
            values[(*outer, row, last)] = first_difference(_neighbours(f"_row{number}"), width)
    return [
        f"    for (int m = 0; m < {len(components)}; m++) {{",
        f"        static const int64_t numbers[] = {{{', '.join(map(str, components))}}};",
        *pointers,
        f"        real *to = values + ({first} + m * {len(kinds)}) * LANES;",
        *(f"        vec before{k}, here{k} = {{0}}, after{k} = {{0}};" for k in held),
        "        for (int64_t z = -2 * LANES; z < 0; z += LANES) {",
        *(f"            here{k} = after{k}, after{k} = {value};" for k, value in held.items()),
        "        }",
        f"        for (int64_t z = 0; z < size; z += LANES, to += {len(layout.slots)} * LANES) {{",
        *(f"            before{k} = here{k}, here{k} = after{k};" for k in held),
        *(f"            after{k} = {value};" for k, value in held.items()),
        *(
            f"            *(vec *)(to + {k} * LANES) = {values[kind]};"
            for k, kind in enumerate(kinds)
        ),
        "        }",
        "    }",
    ]


def _neighbours(name: str) -> Callable[[int], str]:
    """The vectors j points on, from those that are held."""

    def value(j: int) -> str:
        if j == 0:
            return f"here{name}"
        if j > 0:
            return f"JOINED(here{name}, after{name}, {j})"
        return f"JOINED(before{name}, here{name}, LANES - {-j})"

    return value


def _rows(program: Program, layout: _Layout, dtype: str) -> str:
    """Functions that compute one row, in vectors of two lengths, and the one that calls them."""
    load = _RowLoads(program, layout)
    # Divisions take longest: begun as soon as they can be.
    quotients = [node for node in program.nodes if node.operation == "div"]
    order, outputs = side_by_side(program.tape, (*program.minors, *quotients), program.outputs)
    lines, names = statements(order, load, "vec", " " * 8)
    good = " & ".join(f"({names[minor.number]} > (real)0)" for minor in program.minors)
    body = [*lines, f"        ivec wrong = ~({good});"]
    values = [f"s{k} * {names[output.number]}" for k, output in enumerate(outputs)]
    functions = [
        _filled(SHIFTS, {**_SIZES[dtype], "shuffle": int(program.n < 4)}),
        _differences(layout, load),
        # Two: with an update in its loop the plain one would be a fifth slower in 2-D.
        *(_row(program, layout, body, values, update) for update in (False, True)),
    ]
    names_of_rows = {
        "rows": "".join(f", const real *{name}" for name in load.rows),
        "all": "".join(f", {name}" for name in load.rows),
        "rest": "".join(f", {name} + whole" for name in load.rows),
    }
    short = {**_SIZES[dtype], **names_of_rows, "functions": "\n".join([VECTORS, *functions])}
    return "\n".join([*functions, _filled(SHORT, short)])


def _row(
    program: Program, layout: _Layout, body: list[str], values: list[str], update: bool
) -> str:
    """Function that computes one row of the result, or of an update with it, from the ring."""
    load = _RowLoads(program, layout)
    rows = "".join(f", const real *{name}" for name in load.rows)
    across = {c: load.across(layout.place(c, ())) for c in layout.crossed}
    further = {c: load.across(layout.place(c, ()), " + LANES") for c in layout.crossed}
    text = [
        "/* One row of the result; returns whether the metric is one at all of its points. */",
        f"static NOINLINE int {'update' if update else 'compute'}(",
        # An update may be written over one of its terms.
        f"    real *{'' if update else 'restrict '}result, int64_t place, int64_t points{rows},",
        "    int64_t size, const real *units, int64_t direct, const real *const *fields,",
        "    int64_t stride, int64_t ahead, const real *const *terms, const real *factors,",
        "    int64_t count) {",
        *_scales(program, update),
        "    ivec bad = {0}, lane = {0};",
        "    for (int64_t k = 0; k < LANES; k++) lane[k] = k;",
        "#if APART",
        f"    real inner[PART * {max(1, len(layout.slots))}] __attribute__((aligned(64)));",
        f"    real held[PART * {len(values)}] __attribute__((aligned(64)));",
        "    for (int64_t first = 0, end; first < size; first = end) {",
        "    end = first + PART < size ? first + PART : size;",
        f"    differences(inner{''.join(f', {name} + first' for name in load.rows)}, end - first);",
        "    const real *from = inner;",
        "#else",
        "    {",
        "    const int64_t first = 0, end = size;",
        # Mixed differences start from first ones, of the vectors before this one and after it.
        *(f"    vec before{c}, here{c} = {{0}}, after{c} = {{0}};" for c in across),
        "    for (int64_t z = -LANES; z <= 0; z += LANES) {",
        *load.pointers(),
        *(f"        here{c} = after{c}, after{c} = {value};" for c, value in across.items()),
        "    }",
        "#endif",
        "    for (int64_t z = first; z < end; z += LANES) {",
        *load.pointers(),
        "#if !APART",
        *(f"        before{c} = here{c}, here{c} = after{c};" for c in across),
        *(f"        after{c} = {value};" for c, value in further.items()),
        "#endif",
        *body,
        *_requests(program),
        *_stores(values, update),
        "        bad |= wrong;",
        "#if APART",
        f"        from += {len(layout.slots)} * LANES;",
        "#endif",
        "    }",
        "#if APART",
        f"    for (int k = 0; direct && k < {len(values)}; k++)",
        "        for (int64_t z = first; z < end; z += LANES)",
        "            stream(result + place + z + k * points,",
        "                   AT(vec, held + k * PART + z - first));",
        "#endif",
        "    }",
        "    int64_t any = 0;",
        "    for (int64_t k = 0; k < LANES; k++) any |= bad[k];",
        "    return any == 0;",
        "}",
        "",
    ]
    return "\n".join(text)


def _requests(program: Program) -> list[str]:
    """Statements that ask for the memory of the next row.

    They are spread over the loop: cache lines that are asked for in one go wait for each other.
    """
    per = program.components // program.fields
    return [
        f"        __builtin_prefetch(fields[{c // per}] + {c % per} * stride + ahead + z);"
        for c in range(program.components)
    ]


def _scales(program: Program, update: bool) -> list[str]:
    """Declarations of what brings the results back to the grid's units."""
    before = program.components // program.fields
    factor = " * factors[0]" if update else ""
    return [
        f"    const vec s{k} = units[{before + k}]{factor} - (vec){{0}};"
        for k in range(len(program.outputs))
    ]


def _stores(values: list[str], update: bool) -> list[str]:
    """Statements that write the values of a vector of points, in an update with the terms."""
    each = range(len(values))
    terms = [
        "        for (int64_t m = 0; m < count; m++) {",
        "            const real *const x = terms[m] + at;",
        *(f"            o{k} += factors[m + 1] * some(x + {k} * points, size - z);" for k in each),
        "        }",
    ]
    return [
        f"        vec {', '.join(f'o{k} = {value}' for k, value in enumerate(values))};",
        "        const int64_t at = place + z;",
        *(terms if update else ()),
        "        real *const to = result + at;",
        "        if (direct) {",
        # A cache line of several vectors is written in one go, when all of it is known: in parts,
        # between those of other components, it would go to memory more than once.
        "#if APART",
        *(f"            *(vec *)(held + {k} * PART + z - first) = o{k};" for k in each),
        "#else",
        *(f"            stream(to + {k} * points, o{k});" for k in each),
        "#endif",
        "        } else if (size - z >= LANES) {",
        *(f"            *(uvec *)(to + {k} * points) = o{k};" for k in each),
        "        } else {",
        "            wrong &= lane < (lane_t)(size - z);",
        "            for (int64_t k = 0; k < size - z; k++) {",
        *(f"                to[{k} * points + k] = o{k}[k];" for k in each),
        "            }",
        "        }",
    ]


def _run(program: Program, layout: _Layout) -> str:
    """The function that is called: all rows of a slab of the first axis."""
    n, row, ring = layout.n, layout.row, range(2 * layout.width + 1)
    # Rows of the ring are counted from the first one of the slab if the row axis is the first.
    begin, end = ("start", "stop") if n == 2 else ("0", f"sizes[{row}]")
    values = {
        "memory": MEMORY_OF_PLANES if layout.far else MEMORY_OF_ROWS,
        "rows": PLANES if layout.far else ROWS,
        "loop": "" if n == 2 else "        for (int64_t i0 = start; i0 < stop; i0++)",
        "outer": "" if n == 2 else ", offsets[0] + i0 + WIDTH",
        # Of the rows that come next, the one that no other difference has read before.
        "newest": "" if n == 2 else " + offsets[0][i0 + 2 * WIDTH]",
        "place": f"({'' if n == 2 else 'i0 * sizes[1] + '}y - WIDTH) * sizes[{layout.last}]",
        "begin": begin,
        "end": end,
        "near": program.components * len(layout.near),
        "far": program.components * len(layout.far),
        "last": layout.last,
        "points": " * ".join(f"sizes[{a}]" for a in range(n)),
        "ring": len(ring),
        "row": row,
        "p": ", ".join(f"p[{k}]" for k in ring),
        "q": ", ".join(f"q[{k}]" for k in ring),
    }
    return _filled(RUN, values)
