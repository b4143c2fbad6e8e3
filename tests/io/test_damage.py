"""Files that are read back and are not what was written: one error, or the same values.

Looked at: .npz solutions, chunks and JSON of zarr stores, generations and journal of checkpoints;
single bits, lost and cut and swapped and sparse files, edited numbers,
contradictory lengths, bombs, foreign members and types, stores of an earlier layout.
"""

from __future__ import annotations

import json
import random
import shutil
import warnings
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import DamagedFileError, RiemannLNEError, StorageError
from riemann_lne.io import store as store_module
from riemann_lne.io.damage import seal

zarr = pytest.importorskip("zarr")

START = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.3, seed=4)
TIMES = np.linspace(0, 0.4, 12)


def half(t: float, metric: rl.MetricField) -> float:
    return float(np.cos(40 * t))


def solve(folder: Path, **more: Any) -> rl.FlowSolution:
    return rl.solve_flow(
        START, rl.RicciDeTurckFlow(), (0, 0.4), "etdrk4", TIMES, events=half,
        observe={"v": lambda g: g.volume()}, store=folder / "o.zarr",
        checkpoint=rl.Checkpoint(folder / "ck", steps=1), **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A finished run, a run that stopped half way, and what the first one gave."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        # Several chunks: 4 metrics in each.
        patch.setattr(store_module, "_CHUNK_BYTES", 4 * START.packed.nbytes)
        full = solve(root / "full")
        full.save(root / "full/o.npz")
        solve(root / "half", max_steps=full.n_accepted // 2)
        # A journal holds metrics where no store does.
        options: dict[str, Any] = {"checkpoint": rl.Checkpoint(root / "plain/ck", steps=1)}
        rl.solve_flow(START, rl.RicciDeTurckFlow(), (0, 0.4), "etdrk4", max_steps=4, **options)
    plain = rl.solve_flow(START, rl.RicciDeTurckFlow(), (0, 0.4), "etdrk4")
    return {"root": root, "full": full, "plain": plain}


def resume_plain(folder: Path) -> rl.FlowSolution:
    return rl.solve_flow(
        START, rl.RicciDeTurckFlow(), (0, 0.4), "etdrk4",
        checkpoint=rl.Checkpoint(folder / "ck", steps=1), resume=True,
    )  # fmt: skip


def copy(made: dict[str, Any], name: str, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(made["root"] / name, to))


# ---- named damages --------------------------------------------------------------------------


def flip(path: Path, at: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 4
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(one: Path, two: Path) -> None:
    a, b = one.read_bytes(), two.read_bytes()
    one.write_bytes(b)
    two.write_bytes(a)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def sparse(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(2**36)


def add_array(store: Path) -> None:
    zarr.open_group(store, mode="r+").create_array("observed_w", data=np.zeros(3))


def change_shape(store: Path) -> None:
    edit(store / "t/zarr.json", lambda r: r.update(shape=[10**15]))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "chunk lost": lambda s: (s / "packed/c/0/0/0/0").unlink(),
    "last chunk lost": lambda s: (s / "packed/c/1/0/0/0").unlink(),
    "chunk empty": lambda s: (s / "packed/c/0/0/0/0").write_bytes(b""),
    "chunk cut": lambda s: cut(s / "packed/c/0/0/0/0"),
    "chunk flipped": lambda s: flip(s / "packed/c/0/0/0/0"),
    "chunk sparse": lambda s: sparse(s / "packed/c/0/0/0/0"),
    "chunks swapped": lambda s: swap(s / "packed/c/0/0/0/0", s / "packed/c/1/0/0/0"),
    "chunk twice": lambda s: shutil.copy(s / "packed/c/0/0/0/0", s / "packed/c/1/0/0/0"),
    "times lost": lambda s: (s / "t/c/0").unlink(),
    "times and observed swapped": lambda s: swap(s / "t/c/0", s / "t_observed/c/0"),
    "observed swapped": lambda s: swap(s / "observed_v/c/0", s / "t_observed/c/0"),
    "observed lost": lambda s: (s / "observed_v/c/0").unlink(),
    "observed times lost": lambda s: (s / "t_observed/c/0").unlink(),
    "checksums lost": lambda s: (s / "checksum/c/0").unlink(),
    "event lost": lambda s: (s / "packed_event/c/0/0/0/0").unlink(),
    "event times flipped": lambda s: flip(s / "t_event/c/0", 3),
    "coordinate flipped": lambda s: flip(s / "x0/c/0", 3),
    "array lost": lambda s: shutil.rmtree(s / "observed_v"),
    "array foreign": add_array,
    "array's JSON lost": lambda s: (s / "t/zarr.json").unlink(),
    "JSON cut": lambda s: cut(s / "observed_v/zarr.json"),
    "JSON deep": lambda s: (s / "t/zarr.json").write_text("[" * 100_000),
    "JSON foreign": lambda s: (s / "zarr.json").write_text("7"),
    "JSON no text": lambda s: (s / "zarr.json").write_bytes(b"\xff" * 100),
    "JSON of another": lambda s: shutil.copy(s / "t/zarr.json", s / "packed/zarr.json"),
    "shape huge": change_shape,
    "shape short": lambda s: edit(s / "packed/zarr.json", lambda r: r["shape"].__setitem__(0, 1)),
    "type": lambda s: edit(s / "packed/zarr.json", lambda r: r.update(data_type="int64")),
    "codec": lambda s: edit(s / "packed/zarr.json", lambda r: r["codecs"].pop()),
    "time moved": lambda s: edit(
        s / "zarr.json", lambda r: r["attributes"]["grid"]["upper"].__setitem__(0, 7.0)
    ),
    "counts": lambda s: edit(
        s / "zarr.json", lambda r: r["attributes"]["written"]["metrics"].__setitem__(0, 2)
    ),
    "no counts": lambda s: edit(s / "zarr.json", lambda r: r["attributes"].pop("written")),
    "success": lambda s: edit(s / "zarr.json", lambda r: r["attributes"].update(record=None)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_store_is_one_error_with_advice(
    name: str, made: dict[str, Any], tmp_path: Path
) -> None:
    for run in ("full", "half"):
        folder = copy(made, run, tmp_path / run)
        if run == "half" and name == "success":
            continue  # it has no record
        DAMAGES[name](folder / "o.zarr")
        with pytest.raises(DamagedFileError, match=r"o\.zarr is not .* restore it from a copy"):
            rl.FlowSolution.load(folder / "o.zarr")
        with pytest.raises(DamagedFileError, match=r"o\.zarr is not .*(start|compute)"):
            solve(folder, resume=True)


def test_a_large_store_is_checked_when_it_is_read(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xarray = pytest.importorskip("xarray")
    monkeypatch.setattr("riemann_lne.io.stored._CHECKED_BYTES", 0)
    folder = copy(made, "full", tmp_path / "a")
    swap(folder / "o.zarr/packed/c/0/0/0/0", folder / "o.zarr/packed/c/1/0/0/0")
    back = rl.FlowSolution.load(folder / "o.zarr")
    assert np.array_equal(back[11].packed, made["full"][11].packed)
    with pytest.raises(DamagedFileError, match=r"metric 0 .* is not what was written"):
        back[0]
    data = back.to_xarray()
    assert isinstance(data, xarray.DataArray)
    assert np.array_equal(data[11, 0, 1], made["full"][11].components[0, 1])
    with pytest.raises(DamagedFileError):
        _ = data[5, 0, 1].values


def test_rows_beyond_the_last_commit_do_not_count(made: dict[str, Any], tmp_path: Path) -> None:
    """As a run leaves them that is killed between its arrays and its attributes."""
    folder = copy(made, "half", tmp_path / "a")
    group = zarr.open_group(folder / "o.zarr", mode="r+")
    for name in ("t", "packed", "checksum"):
        array = group[name]
        array.resize((array.shape[0] + 5, *array.shape[1:]))
    group["t"][-5:] = 1e9
    (folder / f"o.zarr/zarr.{'0' * 32}.partial").write_bytes(b"half a file")
    before = rl.FlowSolution.load(made["root"] / "half/o.zarr")
    assert rl.FlowSolution.load(folder / "o.zarr") == before
    assert solve(folder, resume=True) == made["full"]
    assert not list(folder.rglob("*.partial"))


# ---- .npz -----------------------------------------------------------------------------------


def content(path: Path) -> dict[str, Any]:
    with np.load(path) as data:
        return dict(data)


def as_text(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    def changed(text: Any) -> Any:
        record = json.loads(str(text))
        change(record)
        return np.array(json.dumps(record))

    return changed


EDITS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "one time": ("t", lambda t: t[:1]),
    "NaN time": ("t", lambda t: t * np.nan),
    "falling times": ("t", lambda t: t[::-1]),
    "times of another type": ("t", lambda t: t.astype(int)),
    "texts for times": ("t", lambda t: t.astype(str)),
    "one metric less": ("packed", lambda p: p[:-1]),
    "NaN metric": ("packed", lambda p: p * np.nan),
    "no metric": ("packed", lambda p: -p),
    "flat metrics": ("packed", lambda p: p.reshape(len(p), -1)),
    "half precision": ("packed", lambda p: p.astype(np.float16)),
    "complex": ("packed", lambda p: p.astype(complex)),
    "objects": ("packed", lambda p: np.array([None, 1], dtype=object)),
    "grid no JSON": ("grid", lambda g: np.array("x")),
    "grid deep": ("grid", lambda g: np.array("[" * 50_000)),
    "grid of texts": ("grid", as_text(lambda g: g.update(periodic=["false", "false"]))),
    "grid infinite": ("grid", as_text(lambda g: g.update(upper=[1e999, 1.0]))),
    "grid larger": ("grid", as_text(lambda g: g.update(shape=[8, 9]))),
    "grid a number": ("grid", lambda g: np.array(7)),
    "record lacks status": ("record", as_text(lambda r: r.pop("status"))),
    "status a text": ("record", as_text(lambda r: r.update(status="0"))),
    "status unknown": ("record", as_text(lambda r: r.update(status=5))),
    "success a text": ("record", as_text(lambda r: r.update(success="False"))),
    "steps a fraction": ("record", as_text(lambda r: r.update(n_accepted=2.5))),
    "an observable more": ("record", as_text(lambda r: r.update(observed=["v", "w"]))),
    "parameters a list": ("parameters", lambda p: np.array("[]")),
    "observed NaN": ("observed_v", lambda v: v * np.nan),
    "observed short": ("observed_v", lambda v: v[:-1]),
    "event counts": ("event_counts", lambda c: c + 1),
    "event counts negative": ("event_counts", lambda c: -c),
    "event times": ("t_events", lambda t: t[:-1]),
    "format": ("format", lambda f: np.int64(99)),
    "format a list": ("format", lambda f: np.zeros(3)),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_solution_is_refused(name: str, made: dict[str, Any], tmp_path: Path) -> None:
    member, change = EDITS[name]
    values = content(made["root"] / "full/o.npz")
    values[member] = change(values[member])
    np.savez(tmp_path / "f.npz", **values)
    with pytest.raises(DamagedFileError, match=r"f\.npz is not a flow solution.* restore it"):
        rl.FlowSolution.load(tmp_path / "f.npz")


def test_every_member_is_needed(made: dict[str, Any], tmp_path: Path) -> None:
    values = content(made["root"] / "full/o.npz")
    for member in values:
        left = {name: array for name, array in values.items() if name != member}
        np.savez(tmp_path / "f.npz", **left)
        with pytest.raises(DamagedFileError, match="missing"):
            rl.FlowSolution.load(tmp_path / "f.npz")


def test_what_is_no_archive_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npz.npy", np.zeros(3))
    (tmp_path / "a.npz.npy").rename(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DamagedFileError, match="not a flow solution"):
            rl.FlowSolution.load(tmp_path / name)
    (tmp_path / "c.npz").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        rl.FlowSolution.load(tmp_path / "c.npz")


def write_member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], size: int) -> None:
    """Zeros with any header; they shrink a thousandfold."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        block = bytes(2**20)
        for _ in range(size // len(block)):
            file.write(block)


@pytest.mark.parametrize("change", [b"(((((((", b"'descr(", b"\xff" * 7, b"'descR'"])
def test_a_changed_header_is_told_in_our_words(
    change: bytes, made: dict[str, Any], tmp_path: Path
) -> None:
    """NumPy's own words are about Python's syntax, or name no array."""
    array = BytesIO()
    np.save(array, np.zeros(3))
    values = content(made["root"] / "full/o.npz")
    del values["t"]
    np.savez(tmp_path / "f.npz", **values)
    with zipfile.ZipFile(tmp_path / "f.npz", "a") as archive:
        archive.writestr("t.npy", array.getvalue().replace(b"'descr'", change))
    with pytest.raises(DamagedFileError, match="the header of t cannot be read"):
        rl.FlowSolution.load(tmp_path / "f.npz")


@pytest.mark.parametrize("kind", ["unknown member", "wrong shape", "header lies", "fits"])
def test_bombs_are_not_read(
    kind: str, made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than a few MB are read of members that claim 256 MB; the claim is looked at first."""
    import tracemalloc

    size = 2**28
    values = content(made["root"] / "full/o.npz")
    if kind != "unknown member":
        del values["packed"]
    rows = size // (3 * 64 * 8)
    if kind == "fits":
        del values["t"]
        monkeypatch.setattr("riemann_lne.io.npz.physical_memory", lambda: 2**27)
    np.savez_compressed(tmp_path / "f.npz", **values)
    with zipfile.ZipFile(tmp_path / "f.npz", "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        if kind == "unknown member":
            write_member(archive, "bomb", (size // 8,), size)
        elif kind == "header lies":
            write_member(archive, "packed", (len(values["t"]), 3, 8, 8), size)
        else:
            write_member(archive, "packed", (rows, 3, 8, 8), rows * 3 * 64 * 8)
        if kind == "fits":
            write_member(archive, "t", (rows,), rows * 8)
    tracemalloc.start()
    try:
        if kind == "unknown member":
            assert rl.FlowSolution.load(tmp_path / "f.npz") == made["full"]
        else:
            with pytest.raises(StorageError, match=r"f\.npz"):
                rl.FlowSolution.load(tmp_path / "f.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


# ---- checkpoints ----------------------------------------------------------------------------


def test_an_edited_checkpoint_is_refused(made: dict[str, Any], tmp_path: Path) -> None:
    """The archive's own checksums are right."""
    folder = copy(made, "plain", tmp_path / "a")
    for path in folder.glob("ck/?.npz"):
        values = content(path)
        values["y"] = values["y"] * 1.001
        np.savez(path, **values)
    with pytest.raises(DamagedFileError, match=r"not those that were written.*start the run anew"):
        resume_plain(folder)
    folder = copy(made, "plain", tmp_path / "a")
    for path in folder.glob("ck/?.npz"):
        values = content(path)
        values["record"] = as_text(lambda r: r["plain"]["stepper"].update(next=1e-3))(
            values["record"]
        )
        np.savez(path, **values)
    with pytest.raises(DamagedFileError, match="not those that were written"):
        resume_plain(folder)


def test_a_damaged_journal_gives_advice(made: dict[str, Any], tmp_path: Path) -> None:
    folder = copy(made, "plain", tmp_path / "a")
    flip(folder / "ck/journal", 3)
    with pytest.raises(DamagedFileError, match=r"journal is not .*start the run anew"):
        resume_plain(folder)
    folder = copy(made, "plain", tmp_path / "a")
    sparse(folder / "ck/journal")
    assert resume_plain(folder) == made["plain"]


# ---- campaigns ------------------------------------------------------------------------------


def corrupt(path: Path, generator: random.Random) -> None:
    """One of the ways in which disks, transfers and people damage files."""
    raw = bytearray(path.read_bytes())
    at = generator.randrange(max(1, len(raw)))
    kind = generator.choice(["bit", "byte", "cut", "zeros", "lost", "longer", "shift"])
    if kind == "lost":
        path.unlink()
        return
    if kind == "bit" and raw:
        raw[at] ^= 1 << generator.randrange(8)
    elif kind == "byte" and raw:
        raw[at] = generator.randrange(256)
    elif kind == "cut":
        del raw[at:]
    elif kind == "zeros":
        raw[at : at + 64] = bytes(len(raw[at : at + 64]))
    elif kind == "longer":
        raw += generator.randbytes(generator.randrange(1, 100))
    else:
        del raw[at : at + 1]
    path.write_bytes(bytes(raw))


FILES: dict[str, tuple[str, str]] = {
    "npz": ("full", "o.npz"),
    "zarr chunk": ("full", "o.zarr/*/c/**/[0-9]*"),
    "zarr JSON": ("full", "o.zarr/**/zarr.json"),
    "checkpoint": ("half", "ck/?.npz"),
    "journal": ("plain", "ck/journal"),
    "store of a resumed run": ("half", "o.zarr/**/*"),
}


def campaign(kind: str, count: int, made: dict[str, Any], tmp_path: Path) -> None:
    """Nothing silent, nothing raw."""
    generator = random.Random(kind)
    run, pattern = FILES[kind]
    for trial in range(count):
        folder = copy(made, run, tmp_path / "copy")
        paths = sorted(p for p in folder.glob(pattern) if p.is_file())
        path = generator.choice(paths)
        corrupt(path, generator)
        where = f"trial {trial}: {path.relative_to(folder)}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if run == "full":
                    got = rl.FlowSolution.load(folder / pattern.split("/")[0])
                else:
                    got = solve(folder, resume=True) if run == "half" else resume_plain(folder)
                same = got == made["plain" if run == "plain" else "full"]
            except (FileNotFoundError, RiemannLNEError) as error:
                lost = isinstance(error, FileNotFoundError) and not path.exists()
                same = lost or isinstance(error, StorageError)
                where = f"{where}: {error!r}"
        assert same, where


@pytest.mark.parametrize("kind", FILES)
def test_corruptions_are_neither_silent_nor_raw(
    kind: str, made: dict[str, Any], tmp_path: Path
) -> None:
    campaign(kind, 8, made, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_two_hundred_corruptions_are_neither_silent_nor_raw(
    kind: str, made: dict[str, Any], tmp_path: Path
) -> None:
    campaign(kind, 200, made, tmp_path)


# ---- an earlier layout ----------------------------------------------------------------------


def old_store(solution: rl.FlowSolution, path: Path) -> None:
    group = zarr.open_group(path, mode="w")
    packed = np.stack([m.packed for m in solution.metrics])
    for name, values in {
        "t": solution.t, "packed": packed, "t_observed": solution.t_observed,
        "observed_v": solution.observed["v"],
    }.items():  # fmt: skip
        group.create_array(name, data=values, fill_value=float("nan"))
    grid = {"shape": [8, 8], "lower": [0.0, 0.0], "upper": [2 * np.pi] * 2, "periodic": [True] * 2}
    record = {"success": True, "status": 0, "message": "m", "nfev": 1, "n_accepted": 2}
    group.attrs.update(
        {"grid": grid, "observed": ["v"], **record, "n_rejected": 0, "method": "etdrk4"}
    )


def test_a_store_without_checksums_is_read_and_its_weakness_said(
    made: dict[str, Any], tmp_path: Path
) -> None:
    full, path = made["full"], tmp_path / "old.zarr"
    old_store(full, path)
    with pytest.warns(UserWarning, match="without checksums"):
        back = rl.FlowSolution.load(path)
    assert np.array_equal(back.t, full.t)
    assert all(
        np.array_equal(a.packed, b.packed) for a, b in zip(back.metrics, full.metrics, strict=True)
    )
    assert (back.status, back.nfev) == (0, 1)
    group = zarr.open_group(path, mode="r+")
    group["t"][3] = np.nan
    with pytest.raises(DamagedFileError, match="amid others"):
        rl.FlowSolution.load(path)
    group["t"][3] = full.t[3]
    group["packed"][2] = np.nan
    with pytest.warns(UserWarning, match="without checksums"):
        back = rl.FlowSolution.load(path)
    with pytest.raises(DamagedFileError, match=r"metric 2 .* not finite"):
        back[2]


def test_the_seal_is_of_the_values() -> None:
    assert seal({"a": 1}) != seal({"a": 1.5})


@pytest.mark.parametrize("resumed", [False, True])
def test_a_store_has_the_seal_of_its_attributes_whenever_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumed: bool
) -> None:
    """They are one file, which every write replaces once: looked at after each replacement.

    ``Group.attrs.update`` of zarr replaces it for every name, so that a run that was killed in
    between left a store that could not be opened.
    """
    path, replace, seen = tmp_path / "o.zarr", Path.replace, []

    def replace_and_look(self: Path, target: Any) -> Path:
        done = replace(self, target)
        if Path(target) == path / "zarr.json":
            attributes = json.loads(Path(target).read_text())["attributes"]
            if "seal" in attributes:
                sealed = {name: attributes[name] for name in store_module.SEALED}
                seen.append(seal(sealed) == attributes["seal"])
        return done

    if resumed:
        solve(tmp_path, max_steps=5)
    monkeypatch.setattr(Path, "replace", replace_and_look)
    solve(tmp_path, resume=resumed)
    assert len(seen) > 3
    assert all(seen)
