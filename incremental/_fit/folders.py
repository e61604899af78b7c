"""Folders of files that nobody else can write, and that one process has at a time."""

from __future__ import annotations

import json
import os
import platform
import re
import stat
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "fit.lock"


def open_folder(url: Any) -> LocalFolder | RemoteFolder:
    """Return the folder at a path or URL, made if it is not there.

    Raises
    ------
    PermissionError
        If others may write to it.
    NotADirectoryError
        If it is a file.
    """
    files, path = fsspec.core.url_to_fs(os.fspath(url))
    if isinstance(files, LocalFileSystem):
        return LocalFolder(path)
    return RemoteFolder(files, path)


class LocalFolder:
    """A directory of the user's own.

    Whose files and parents may be written to by whom is checked as OpenSSH does it for
    its keys.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        # Links may be changed by whoever owns them.
        self.path = os.path.realpath(path)
        self._lock: int | None = None
        _check_folder(self.path)
        _make_folders(self.path)
        _check_folder(self.path)

    def lock(self) -> None:
        """Keep other processes out, until `unlock` or the end of this one.

        Raises
        ------
        RuntimeError
            If another one has the folder.
        """
        flags = os.O_RDWR | os.O_CREAT | _FLAGS
        while self._lock is None:
            number = _open(self._at(LOCK), flags)
            try:
                _lock_file(number)
            except OSError as error:
                holder = os.read(number, 1_000).decode(errors="replace")
                os.close(number)
                if isinstance(error, BlockingIOError | PermissionError):
                    raise _in_use(self.path, holder) from error
                warnings.warn(
                    f"{self.path!r} cannot be locked ({error}). Make sure that no "
                    "other fit uses it at the same time.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return
            if self._is_there(number):
                self._lock = number
            else:  # removed by the one that had it
                os.close(number)
        os.ftruncate(self._lock, 0)
        os.write(self._lock, _myself())

    def unlock(self) -> None:
        """Let other processes in."""
        if self._lock is None:
            return
        number, self._lock = self._lock, None
        if sys.platform == "win32":  # where a file that is open cannot be removed
            os.close(number)
            with suppress(OSError):
                os.unlink(self._at(LOCK))
            return
        with suppress(FileNotFoundError):
            os.unlink(self._at(LOCK))
        os.close(number)

    def names(self, name: re.Pattern[str]) -> list[str]:
        """Return the names of files that match, in order."""
        with os.scandir(self.path) as entries:
            files = [one.name for one in entries if not _is_folder(one)]
        return sorted(filter(name.fullmatch, files))

    def read(self, name: str) -> bytes:
        """Return what is in a file.

        Raises
        ------
        PermissionError
            If somebody else may have written it.
        """
        path = self._at(name)
        _check_file(path, os.lstat(path))
        with open(os.open(path, os.O_RDONLY | _FLAGS), "rb") as file:
            _check_file(path, os.fstat(file.fileno()))
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that it is there as a whole or not at all."""
        part = self._at(f"{name}.{uuid4().hex}.part")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
            with open(_open(part, flags), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self._at(name))
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part)
            raise
        _sync_folder(self.path)

    def rename(self, name: str, other: str) -> None:
        """Give a file another name."""
        os.replace(self._at(name), self._at(other))

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(self._at(name))

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _is_there(self, number: int) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(number), os.stat(self._at(LOCK)))
        return False


class RemoteFolder:
    """A folder of a file system that fsspec opens.

    Who may write to it is not known.

    Parameters
    ----------
    files : fsspec.AbstractFileSystem
    path : str
    """

    def __init__(self, files: Any, path: str) -> None:
        self.path = path
        self._files = files
        self._lock = b""
        files.makedirs(path, exist_ok=True)

    def lock(self) -> None:
        """Keep other processes out, until `unlock`.

        Raises
        ------
        RuntimeError
            If another one has the folder, or left its lock there.
        """
        self._lock = mine = _myself()
        holder = self._holder()
        if holder is None or _is_dead(holder):
            self._files.pipe_file(self._at(LOCK), mine)
            holder = self._holder()  # which may be another one by now
        if holder != mine:
            raise _in_use(self.path, (holder or b"").decode(errors="replace"))

    def unlock(self) -> None:
        """Let other processes in."""
        mine, self._lock = self._lock, b""
        try:
            if mine and self._holder() == mine:
                self.remove(LOCK)
        except Exception as error:
            warnings.warn(
                f"The file {LOCK!r} stays in {self.path!r}: {error!r}. Remove it "
                "before the next fit there.",
                RuntimeWarning,
                stacklevel=2,
            )

    def names(self, name: re.Pattern[str]) -> list[str]:
        """Return the names of files that match, in order."""
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self.path, detail=True)
        except FileNotFoundError:
            return []  # object stores have no empty directories
        files = [one["name"].rpartition("/")[2] for one in found if _is_file(one)]
        return sorted(filter(name.fullmatch, files))

    def read(self, name: str) -> bytes:
        """Return what is in a file."""
        return bytes(self._files.cat_file(self._at(name)))

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that it is there as a whole or not at all."""
        part = f"{name}.{uuid4().hex}.part"
        try:
            self._files.pipe_file(self._at(part), data)
            self.rename(part, name)
        except BaseException:
            self.remove(part)
            raise

    def rename(self, name: str, other: str) -> None:
        """Give a file another name."""
        self._files.mv(self._at(name), self._at(other))

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self._files.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    def _holder(self) -> bytes | None:
        self._files.invalidate_cache()
        try:
            return self.read(LOCK)
        except FileNotFoundError:
            return None


# Links are not followed, and what is no file is not waited for.
_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


def _open(path: str, flags: int) -> int:
    """Open a file that nobody else may write to, whatever the umask."""
    number = os.open(path, flags, 0o600)
    if os.name == "posix":
        os.fchmod(number, 0o600)
    return number


def _is_file(entry: Mapping[str, Any]) -> bool:
    return bool(entry["type"] == "file")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _myself() -> bytes:
    about = {
        "host": platform.node(),
        "process": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "fit": uuid4().hex,
    }
    return json.dumps(about).encode()


def _is_dead(holder: bytes) -> bool:
    """Tell whether a process of this machine, that had a folder, is no more."""
    try:
        about = json.loads(holder)
        host, process = about["host"], int(about["process"])
    except (ValueError, TypeError, KeyError):
        return False
    # On Windows asking ends the process.
    if host != platform.node() or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _in_use(path: str, holder: str) -> RuntimeError:
    return RuntimeError(
        f"checkpoint={path!r} is in use by another fit: {holder}. Take a directory for "
        f"each fit, or wait for the end of that one. If it has ended, remove the file "
        f"{LOCK!r} there."
    )


def _lock_file(number: int) -> None:
    if sys.platform == "win32":
        os.lseek(number, 1 << 20, os.SEEK_SET)  # so that who has it can be read
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        os.lseek(number, 0, os.SEEK_SET)
    else:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _make_folders(path: str) -> None:
    """Make a directory and its parents, whatever the umask, on the disk too."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if os.path.lexists(path) or parent == path:
        raise NotADirectoryError(
            f"checkpoint={path!r} is a file; expected a directory, or a path where one "
            "can be made."
        )
    _make_folders(parent)
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, 0o700)
    _sync_folder(parent)


def _check_folder(path: str) -> None:
    """Check that nobody else may write to a directory, or put another in its place."""
    if os.name != "posix":
        return
    if os.path.isdir(path):
        about = os.stat(path)
        what = f"checkpoint={path!r} is a directory"
        if about.st_uid != os.geteuid():
            raise PermissionError(
                f"{what} of the user {about.st_uid}; expected one of your own "
                f"({os.geteuid()}). {_WHY} Take another directory, or `chown` this one."
            )
        _check_mode(about, what, "Take another directory, or `chmod go-w` this one.")
    _check_parents(path)


def _check_parents(path: str) -> None:
    while (parent := os.path.dirname(path)) != path:
        path = parent
        if not os.path.isdir(path):
            continue
        about = os.stat(path)
        what = f"checkpoint is below {path!r}, a directory"
        if about.st_uid not in (0, os.geteuid()):
            raise PermissionError(
                f"{what} of the user {about.st_uid}; expected one of your own or the "
                f"system's. {_WHY} Take a directory elsewhere, such as in your home."
            )
        if not (about.st_mode & stat.S_ISVTX and about.st_uid == 0):
            advice = f"Take a directory elsewhere, or `chmod go-w {path}`."
            _check_mode(about, what, advice)


def _check_file(path: str, about: os.stat_result) -> None:
    what = f"The checkpoint {path!r} is a file"
    if not stat.S_ISREG(about.st_mode):
        raise PermissionError(
            f"{path!r} is not a regular file, as checkpoints are. {_WHY} Remove it."
        )
    if os.name != "posix":
        return
    if about.st_uid != os.geteuid():
        raise PermissionError(
            f"{what} of the user {about.st_uid}; expected one of your own "
            f"({os.geteuid()}). {_WHY} Remove it, or `chown` it if you trust it."
        )
    _check_mode(about, what, "Remove it, or `chmod go-w` it if you trust it.")


def _check_mode(about: os.stat_result, what: str, advice: str) -> None:
    for bit, who in ((stat.S_IWOTH, "everybody"), (stat.S_IWGRP, "its group")):
        if about.st_mode & bit:
            raise PermissionError(f"{what} that {who} may write to. {_WHY} {advice}")


_WHY = "Reading a checkpoint runs code that is in it."


def _sync_folder(path: str) -> None:
    """Make sure that a new name in a folder survives a power cut."""
    if os.name != "posix":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
