"""Files whole or not at all. Looked at: links at the old and the new name, other writers of one
name, killed writers, errors half way, the umask, long names."""

import os
import threading
import time

import pytest

from riemann_lne import atomic
from riemann_lne.atomic import sweep, write_atomically


def put(text):
    return lambda file: file.write(text.encode())


def test_written_with_the_mode_of_a_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", put("1"))
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_text() == "1"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_an_error_half_way_leaves_what_was_there(tmp_path):
    write_atomically(tmp_path / "a", put("1"))

    def fail(file):
        file.write(b"2")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", fail)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "1"


@pytest.mark.parametrize("name", ["a", "a.part"])
def test_links_are_replaced_or_left_alone_but_not_followed(tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / name).symlink_to(victim)
    write_atomically(tmp_path / "a", put("1"))
    assert victim.read_text() == "precious"
    assert not (tmp_path / "a").is_symlink()


def test_a_guessed_temporary_name_that_is_a_link_is_refused(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".guess.part").symlink_to(victim)
    monkeypatch.setattr(atomic, "_temporary_name", lambda name: ".guess.part")
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "a", put("1"))
    assert victim.read_text() == "precious"
    assert (tmp_path / ".guess.part").is_symlink()


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    """Each file is one writer's whole."""
    texts = [str(k) * 100_000 for k in range(4)]

    def work(text):
        for _ in range(5):
            write_atomically(tmp_path / "a", put(text))
            assert (tmp_path / "a").read_text() in texts

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.listdir(tmp_path) == ["a"]


def test_temporaries_of_killed_writers_are_swept_and_nothing_else(tmp_path):
    stale = tmp_path / atomic._temporary_name("a")
    young = tmp_path / atomic._temporary_name("a")
    foreign = [tmp_path / ".a.part", tmp_path / "a.part", tmp_path / f".a.{'z' * 32}.part"]
    link = tmp_path / atomic._temporary_name("b")
    link.symlink_to(foreign[0])
    for path in (stale, young, *foreign):
        path.touch()
    for path in (stale, *foreign):
        os.utime(path, (time.time() - 3600,) * 2)
    write_atomically(tmp_path / "a", put("1"))
    left = set(tmp_path.iterdir())
    assert left == {young, link, *foreign, tmp_path / "a"}


def test_a_slow_writer_is_not_swept(tmp_path):
    def slow(file):
        file.write(b"1")
        os.utime(file.name if isinstance(file.name, str) else file.fileno(), (0, 0))
        atomic._swept.clear()
        sweep(tmp_path)

    write_atomically(tmp_path / "a", slow)
    assert (tmp_path / "a").read_text() == "1"


def test_long_names(tmp_path):
    name = "é" * 125
    write_atomically(tmp_path / name, put("1"))
    assert os.listdir(tmp_path) == [name]
