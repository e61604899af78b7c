"""Whose checkpoints are read, where they are written, and by one fit at a time."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import dask
import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from sklearn.linear_model import SGDClassifier

from tests.contracts import as_dask, assert_same_state
from tests.fit.test_checkpoints import Breaking, files, interrupted, make
from tests.fit.watching import Watching, watched

CHUNKS = (10,) * 6
SGD = SGDClassifier(random_state=0)
STRANGER = 12345

if os.name == "posix":
    import fcntl

posix = pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")


@pytest.fixture(scope="module")
def lazy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    return as_dask(X, CHUNKS), as_dask(y, CHUNKS)


def give_away(path):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(path, STRANGER, STRANGER)


def spoil(folder, how):
    """Let others write to what holds the checkpoints, and return where they are."""
    parent = folder.parent
    if how == "the group may write to it":
        folder.chmod(0o770)
    elif how == "it is another user's":
        give_away(folder)
    elif how == "everybody may write to its parent":
        parent.chmod(0o777)
    elif how == "the group may write to its parent":
        parent.chmod(0o775)
    elif how == "its parent is another user's":
        give_away(parent)
    elif how == "another user made it under a sticky parent":
        parent.chmod(0o1777)
        give_away(folder)
    elif how == "it is a link to another user's":
        give_away(folder)
        link = parent / "link"
        link.symlink_to(folder)
        return link
    elif how == "a file is a link":
        newest = files(folder)[-1]
        newest.rename(parent / "elsewhere")
        newest.symlink_to(parent / "elsewhere")
    elif how == "a file is another user's":
        give_away(files(folder)[-1])
    elif how == "everybody may write to a file":
        files(folder)[-1].chmod(0o666)
    return folder


@posix
@pytest.mark.parametrize(
    "how",
    [
        "the group may write to it",
        "it is another user's",
        "everybody may write to its parent",
        "the group may write to its parent",
        "its parent is another user's",
        "another user made it under a sticky parent",
        "it is a link to another user's",
        "a file is a link",
        "a file is another user's",
        "everybody may write to a file",
    ],
)
def test_what_others_may_have_written_is_not_read(how, lazy, tmp_path):
    folder = tmp_path / "parent" / "folder"
    interrupted(make(folder), 9, *lazy)
    where = spoil(folder, how)
    nothing = {"scheduler": lambda *args, **options: pytest.fail("dask computes")}
    with (
        dask.config.set(nothing),
        pytest.raises(PermissionError, match="Take another|elsewhere|Remove it"),
    ):
        make(where).fit(*lazy)


@posix
def test_a_directory_of_ones_own_under_a_sticky_parent_is_taken(lazy, tmp_path):
    tmp_path.chmod(0o1777)
    folder = tmp_path / "folder"
    interrupted(make(folder), 9, *lazy)
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert make(link).fit(*lazy).n_iter_ == 2
    assert files(folder) == []


@posix
@pytest.mark.parametrize("umask", [0, 0o002, 0o277])
def test_what_is_made_is_private_whatever_the_umask(umask, lazy, tmp_path):
    before = os.umask(umask)
    try:
        interrupted(make(tmp_path / "new" / "folder"), 9, *lazy)
    finally:
        os.umask(before)
    made = [tmp_path / "new", tmp_path / "new" / "folder"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700]
    modes = {path.stat().st_mode & 0o777 for path in made[-1].iterdir()}
    assert modes == {0o600}


@posix
def test_new_directories_survive_a_power_cut(lazy, tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def noting(number):
        synced.append(os.fstat(number).st_ino)
        fsync(number)

    monkeypatch.setattr("os.fsync", noting)
    folder = tmp_path / "new" / "folder"
    make(folder).fit(*lazy)
    for path in (tmp_path, tmp_path / "new", folder):
        assert path.stat().st_ino in synced


class Fitting(Breaking):
    """Fits another wrapper when some blocks are fitted."""

    def __init__(self, after, model, lazy):
        super().__init__(after)
        self.model = model
        self.lazy = lazy
        self.error = None

    def hear(self, task):
        if task == "block":
            self.left -= 1
            if self.left == 0:
                try:
                    self.model.fit(*self.lazy)
                except RuntimeError as error:
                    self.error = error


@pytest.mark.parametrize("where", ["directory", "memory://in-use"])
def test_a_directory_that_a_fit_has_is_refused_to_another(where, lazy, tmp_path):
    folder = tmp_path if where == "directory" else where
    expected = make(None).fit(*lazy)
    other = Fitting(5, make(folder, max_iter=1), lazy)
    model = watched(make(folder), other).fit(*lazy)
    assert "in use by another fit" in str(other.error)
    assert str(os.getpid()) in str(other.error)
    assert_same_state(model.estimator_, expected.estimator_)
    # It is free again.
    make(folder).fit(*lazy)


@posix
def test_a_directory_that_a_process_had_is_free_when_it_is_killed(lazy, tmp_path):
    script = """
    import os, signal, sys
    from incremental._fit.folders import open_folder
    open_folder(sys.argv[1]).lock()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(script, tmp_path / "folder").returncode == -9
    make(tmp_path / "folder").fit(*lazy)
    assert list((tmp_path / "folder").iterdir()) == []


LOCKING = """
import json, os, signal, sys
import fsspec
from incremental._fit.folders import open_folder
memory = fsspec.filesystem("memory")
open_folder("memory://folder").lock()
print(memory.cat_file("/folder/fit.lock").decode())
"""


@pytest.fixture(scope="module")
def left():
    """What another process, that is no more, left on another file system."""
    done = run(LOCKING)
    return json.loads(done.stdout)


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@posix
def test_a_lock_that_was_left_on_another_file_system(left, lazy):
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/left/fit.lock", json.dumps(left).encode())
    make("memory://left").fit(*lazy)
    elsewhere = {**left, "host": "elsewhere"}
    memory.pipe_file("/left/fit.lock", json.dumps(elsewhere).encode())
    with pytest.raises(RuntimeError, match="elsewhere.*remove the file 'fit.lock'"):
        make("memory://left").fit(*lazy)
    memory.rm_file("/left/fit.lock")
    make("memory://left").fit(*lazy)


linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells of processes")


@linux
def test_a_lock_of_a_process_whose_number_is_another_ones_now_is_free(left, lazy):
    taken = {**left, "process": os.getpid()}
    files = fsspec.filesystem("memory")
    files.pipe_file("/again/fit.lock", json.dumps(taken).encode())
    make("memory://again").fit(*lazy)


@linux
def test_a_lock_of_another_container_of_the_same_name_is_not_free(left, lazy):
    other = {**left, "processes": "of another container"}
    files = fsspec.filesystem("memory")
    files.pipe_file("/container/fit.lock", json.dumps(other).encode())
    with pytest.raises(RuntimeError, match="remove the file 'fit.lock'"):
        make("memory://container").fit(*lazy)


def test_nothing_half_written_is_left_by_a_failure(lazy, tmp_path, monkeypatch):
    def fail(number):
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk is full"):
        make(tmp_path).fit(*lazy)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_fit_has_half_written_is_removed(lazy, tmp_path):
    half = tmp_path / f"000000000010.checkpoint.{'0a' * 16}.part"
    half.write_bytes(b"half")
    interrupted(make(tmp_path), 1, *lazy)
    assert list(tmp_path.iterdir()) == []


class Sticking(MemoryFileSystem):
    """Removes nothing."""

    protocol = "sticking"
    store: dict = {}  # noqa: RUF012
    pseudo_dirs: list = [""]  # noqa: RUF012

    def rm_file(self, path):
        if path.endswith(".checkpoint"):
            raise OSError("it sticks")
        super().rm_file(path)


def test_checkpoints_that_cannot_be_removed_are_a_warning(lazy):
    fsspec.register_implementation("sticking", Sticking, clobber=True)
    model = make("sticking://folder", max_iter=1, checkpoint_every=6)
    with pytest.warns(RuntimeWarning, match="it sticks"):
        model.fit(*lazy)
    assert_same_state(model.estimator_, make(None, max_iter=1).fit(*lazy).estimator_)


def test_a_fit_removes_its_own_checkpoints_only(lazy, tmp_path):
    class Writing(Watching):
        def hear(self, task):
            (tmp_path / "000000000099.checkpoint").write_bytes(b"of another")

    watched(make(tmp_path), Writing()).fit(*lazy)
    assert [path.name for path in files(tmp_path)] == ["000000000099.checkpoint"]


@posix
def test_a_lock_that_fails_half_way_is_released(lazy, tmp_path, monkeypatch):
    def fail(number, length):
        raise OSError("the disk is full")

    monkeypatch.setattr("os.ftruncate", fail)
    with pytest.raises(OSError, match="disk is full"):
        make(tmp_path).fit(*lazy)
    monkeypatch.undo()
    make(tmp_path).fit(*lazy)


def in_place_of_lock(folder, what):
    """Put something else in place of the lock, and return what is in it."""
    path, other = folder / "fit.lock", folder.parent / "other"
    other.write_text("mine")
    if what == "a link":
        path.symlink_to(other)
    elif what == "a second name":
        path.hardlink_to(other)
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a directory":
        path.mkdir()
    elif what == "another user's file":
        path.write_text("")
        give_away(path)
    else:
        path.write_text("mine" if what == "text" else '{"mine": 1}')
    path.chmod(0o644)
    return lambda: (
        path.lstat(),
        other.read_text(),
        path.is_file() and path.read_text(),
    )


@posix
@pytest.mark.parametrize(
    "what",
    [
        "text",
        "JSON",
        "a link",
        "a second name",
        "a pipe",
        "a directory",
        "another user's file",
    ],
)
def test_what_is_in_place_of_the_lock_is_left_alone(what, lazy, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(0o700)
    look = in_place_of_lock(folder, what)
    before = look()
    with pytest.raises(FileExistsError, match=r"fit.lock.*; expected.* Rename it"):
        make(folder).fit(*lazy)
    after = look()
    assert after[0].st_mode == before[0].st_mode
    assert after[0].st_mtime_ns == before[0].st_mtime_ns
    assert after[1:] == before[1:]


@posix
def test_an_interrupt_while_it_locks_leaves_no_lock(lazy, tmp_path, monkeypatch):
    flock = fcntl.flock

    def interrupt(number, how):
        flock(number, how)
        raise KeyboardInterrupt

    monkeypatch.setattr("fcntl.flock", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).fit(*lazy)
    monkeypatch.undo()
    make(tmp_path).fit(*lazy)


@posix
def test_a_lock_that_cannot_be_removed_is_a_warning(lazy, tmp_path, monkeypatch):
    unlink = os.unlink

    def fail(path, **options):
        if str(path).endswith("fit.lock"):
            raise PermissionError("it sticks")
        unlink(path, **options)

    monkeypatch.setattr("os.unlink", fail)
    with pytest.warns(RuntimeWarning, match="it sticks"):
        model = make(tmp_path).fit(*lazy)
    assert model.n_iter_ == 2
    monkeypatch.undo()
    make(tmp_path).fit(*lazy)
    assert list(tmp_path.iterdir()) == []


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked there")

LEAVING = """
import os, sys
from incremental._fit.checkpoints import Checkpoints
from incremental._fit.folders import open_folder
for where in sys.argv[1:]:
    with Checkpoints(where, 10, {}):
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        try:
            open_folder(where).lock()
        except RuntimeError as error:
            print(error)
"""


@pytest.mark.slow
@forks
def test_a_forked_process_that_leaves_keeps_the_lock_of_the_first(tmp_path):
    done = run(LEAVING, tmp_path, "memory://forked")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("in use by another fit") == 2
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys, time
from incremental._fit.folders import open_folder
open_folder(sys.argv[1]).lock()
child = os.fork()
if child == 0:
    os.closerange(0, 3)
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@forks
def test_a_forked_process_does_not_keep_the_lock_of_one_that_is_killed(lazy, tmp_path):
    done = run(KILLED, tmp_path / "folder")
    assert done.returncode == -9
    try:
        make(tmp_path / "folder").fit(*lazy)
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_a_directory_in_the_way_of_a_checkpoint_is_named(lazy, tmp_path):
    (tmp_path / "000000000002.checkpoint").mkdir()
    with pytest.raises(IsADirectoryError, match=r"holds a directory '0+2.checkpoint'"):
        make(tmp_path).fit(*lazy)
    assert [path.name for path in tmp_path.iterdir()] == ["000000000002.checkpoint"]


@pytest.mark.parametrize("scheme", ["simplecache::file://", "dir::file://", "dir::"])
def test_a_url_that_reaches_local_files_another_way_is_refused(scheme, lazy, tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(ValueError, match="another file system.*Pass the path"):
        make(f"{scheme}{tmp_path}").fit(*lazy)
    assert list(tmp_path.iterdir()) == []


def test_a_chain_that_ends_elsewhere_is_taken(lazy):
    make("dir::memory://chained").fit(*lazy)
    assert fsspec.filesystem("memory").find("/chained") == []
