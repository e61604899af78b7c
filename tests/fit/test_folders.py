"""Whose checkpoints are read, where they are written, and by one fit at a time."""

import json
import os
import platform
import subprocess
import sys
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
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-c", script, str(tmp_path / "folder")]
    assert subprocess.run(command, cwd=root, check=False).returncode == -9
    make(tmp_path / "folder").fit(*lazy)
    assert list((tmp_path / "folder").iterdir()) == []


@posix
def test_a_lock_that_was_left_on_another_file_system(lazy):
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    memory = fsspec.filesystem("memory")
    here = {"host": platform.node(), "process": int(process.stdout)}
    memory.pipe_file("/left/fit.lock", json.dumps(here).encode())
    make("memory://left").fit(*lazy)
    elsewhere = {**here, "host": "elsewhere"}
    memory.pipe_file("/left/fit.lock", json.dumps(elsewhere).encode())
    with pytest.raises(RuntimeError, match="elsewhere.*remove the file 'fit.lock'"):
        make("memory://left").fit(*lazy)
    memory.rm_file("/left/fit.lock")
    make("memory://left").fit(*lazy)


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
