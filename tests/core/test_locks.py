"""One owner at a time. Looked at: threads, forks, other processes, killed ones, links, pipes, other
users' leftovers, paths that do not exist, that have several names, or that are no paths."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from riemann_lne.errors import FolderInUseError, InvalidArgumentError, StorageError
from riemann_lne.locks import hold, lock_file

HOLDER = """
import sys, time
from riemann_lne.locks import hold
with hold(sys.argv[1], "a long run", inside=sys.argv[2] == "in"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a path; the test ends it by closing its input or by a signal."""
    started = []

    def start(path, inside=True):
        arguments = [sys.executable, "-c", HOLDER, str(path), "in" if inside else "beside"]
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("inside", [True, False])
def test_the_second_is_refused_with_the_name_of_the_first(tmp_path, holder, inside):
    place = tmp_path / "run.zarr"
    process = holder(place, inside)
    with (
        pytest.raises(FolderInUseError, match=f"in use for a long run by process {process.pid} on"),
        hold(place, "resume", inside=inside),
    ):
        pass
    process.communicate("")
    with hold(place, "resume", inside=inside):
        pass


def test_a_killed_owner_blocks_nobody_and_nothing_is_left_at_the_end(tmp_path, holder):
    process = holder(tmp_path / "run")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run/.lock").exists()
    with hold(tmp_path / "run", "resume"):
        record = json.loads((tmp_path / "run/.lock").read_text())
        assert record["pid"] == os.getpid()
    assert os.listdir(tmp_path / "run") == []


def test_folders_made_for_the_lock_go_unless_used(tmp_path):
    with hold(tmp_path / "a/b", "nothing"):
        assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "a").exists()
    with hold(tmp_path / "a/b", "something"):
        (tmp_path / "a/b/result").touch()
    assert os.listdir(tmp_path / "a/b") == ["result"]


def test_same_run_may_hold_again_another_thread_may_not(tmp_path):
    refused = []

    def second():
        try:
            with hold(tmp_path, "thread"):
                pass
        except FolderInUseError as error:
            refused.append(str(error))

    with hold(tmp_path, "outer"):
        with hold(tmp_path, "inner"):
            pass
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert "in use for outer" in refused[0]
        assert (tmp_path / ".lock").exists()  # the inner block has not let go


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_neither_holds_nor_releases(tmp_path):
    with hold(tmp_path, "parent"):
        child = os.fork()
        if child == 0:
            try:
                with hold(tmp_path, "child"):
                    os._exit(1)
            except FolderInUseError:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        child = os.fork()
        if child == 0:
            while os.getppid() != 1:  # outlives the block below, if not the test
                signal.pause()
    try:
        with hold(tmp_path, "after the block, the child being alive"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_names_that_lead_to_one_folder_have_one_lock(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "other").symlink_to(tmp_path / "real")
    assert lock_file(tmp_path / "other") == lock_file(tmp_path / "real/../real/")


def test_never_through_a_link_nor_into_a_pipe(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".lock").symlink_to(victim)
    with pytest.raises(StorageError, match="symbolic link"), hold(tmp_path, "run"):
        pass
    (tmp_path / ".lock").unlink()
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(StorageError, match="no regular file"), hold(tmp_path, "run"):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("written", ['{"pid": "\\u001b[31m"}', "[" * 4096, "", "7"])
def test_foreign_content_of_the_lock_file_is_only_text(tmp_path, holder, written):
    holder(tmp_path)
    (tmp_path / ".lock").write_text(written)
    with (
        pytest.raises(FolderInUseError, match="in use by another run") as caught,
        hold(tmp_path, "run"),
    ):
        pass
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InvalidArgumentError, match="path"), hold(path, "run"):
        pass


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file/run", tmp_path / ("x" * 300)):
        with pytest.raises(StorageError, match="could not write run"), hold(path, "run"):
            pass


def test_many_at_once_one_enters(tmp_path):
    """The file is removed and made again all the time: never are two inside."""
    inside, entered, overlaps = [], [], []

    def work():
        for _ in range(100):
            try:
                with hold(tmp_path, "thread"):
                    inside.append(1)
                    overlaps.append(len(inside))
                    inside.pop()
                    entered.append(1)
            except FolderInUseError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entered
    assert max(overlaps) == 1
