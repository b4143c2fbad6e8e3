"""Damaged JSON files: never a wrong content in silence, never an error of the decoder.

The kinds of files: results of verify, compare and bench, records of runs, the lock of a study; all
are read by ``reading`` and carry the checksum of ``seal``. Damage: changed bits and bytes, lost and
added parts, an end that is missing.
"""

import json
import random

import pytest

from riemann_lne.errors import InvalidArgumentError, RiemannLNEError, StorageError
from riemann_lne_benchmarks.results import Record
from riemann_lne_validation.lab.stored_json import parse_json, read_json, reading, seal, unseal

CONTENT = {
    "schema": 2,
    "label": "é 1.5",
    "rows": [{"time": 0.1 * i, "error": 1e-7 / (i + 1), "name": None} for i in range(5)],
    "notes": ["a", "b"],
    "diverged": False,
}


def load(path):
    with reading(path, "a made-up file", "delete it"):
        return unseal(read_json(path), needed=True)


def outcome(read, path):
    """Content and no message, or no content and the message; the content may be whole: a space."""
    try:
        return read(path), None
    except RiemannLNEError as error:
        return None, str(error)


def damaged(content, random):
    """The content with one thing changed."""
    at = random.randrange(len(content))
    end = min(len(content), at + random.randrange(1, 30))
    kind = random.randrange(5)
    if kind == 0:
        return content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :]
    if kind == 1:
        return content[:at] + random.randbytes(end - at) + content[end:]
    if kind == 2:
        return content[:at] + content[end:]
    if kind == 3:
        return content[:at]
    return content[:end] + content[at:]


@pytest.mark.parametrize(
    "number", [20, pytest.param(200, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_no_damage_is_silent_or_raw(tmp_path, number):
    path, chance = tmp_path / "r.json", random.Random(number)
    whole = json.dumps(seal(CONTENT), indent=1).encode()
    for _ in range(number):
        path.write_bytes(damaged(whole, chance))
        found, said = outcome(load, path)
        assert (found == CONTENT) if said is None else ("delete it" in said and str(path) in said)


@pytest.mark.parametrize(
    "number", [20, pytest.param(200, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_no_damage_of_a_file_of_bench_is_silent_or_raw(tmp_path, number):
    path, chance = tmp_path / "bench.json", random.Random(number)
    record = Record({"cpu": "one", "cores": 2}, {"repeats": 5})
    record.write(path, [])
    whole = path.read_bytes()
    for _ in range(number):
        path.write_bytes(damaged(whole, chance))
        found, said = outcome(Record.read, path)
        assert (found == record) if said is None else ("name another file" in said)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "NaN", '{"a": Infinity}', '{"a": 1e999}', '{"a": 1, "a": 2}', "[" * 100_000,
        "[" * 60 + "]" * 60, '"\\ud800"', '{"\\ud800": 1}', "1" * 5000,
    ],
)  # fmt: skip
def test_json_beyond_the_standard_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InvalidArgumentError, match="is not a made-up file") as raised:
        load(tmp_path / "r.json")
    assert len(str(raised.value)) < 1000
    with pytest.raises((ValueError, RecursionError)):
        parse_json(text)


def test_a_file_without_checksum_is_read_where_none_is_needed(tmp_path):
    assert unseal({"a": 1}) == {"a": 1}
    with pytest.raises(ValueError, match="no checksum"):
        unseal({"a": 1}, needed=True)
    with pytest.raises(ValueError, match="no checksum"):
        unseal({"a": 1, "checksum": None})
    with pytest.raises(ValueError, match="checksum is not that"):
        unseal({"a": 1, "checksum": True})


def test_sizes_and_kinds_of_files_are_looked_at_before_they_are_read(tmp_path):
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(2**36)  # sparse: it takes no space
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InvalidArgumentError, match=f"has {2**36} bytes"):
        load(tmp_path / "large.json")
    for name in ("folder.json", "none.json"):
        with pytest.raises((StorageError, InvalidArgumentError), match="delete it"):
            load(tmp_path / name)


def test_errors_show_no_escape_sequences(tmp_path):
    (tmp_path / "r.json").write_text('{"a": 1, "a\\u001b[31m": 1, "a\\u001b[31m": 2}')
    with pytest.raises(InvalidArgumentError) as raised:
        load(tmp_path / "r.json")
    assert "\x1b" not in str(raised.value)
