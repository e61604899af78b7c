"""Folders for checkpoints: who may write to them, and which process uses them."""

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
from io import FileIO
from typing import Any
from uuid import uuid4
from weakref import WeakSet

import fsspec
from fsspec.implementations.local import LocalFileSystem

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "fit.lock"

# The longest lock file that is read, in bytes. What a fit writes there is shorter.
_LONGEST = 1_000


def open_folder(url: Any) -> LocalFolder | RemoteFolder:
    """Return the folder at a path or URL. It is made if it is not there.

    Parameters
    ----------
    url : str or path
        A path, or a URL that fsspec opens.

    Returns
    -------
    LocalFolder or RemoteFolder

    Raises
    ------
    PermissionError
        If others may write to it.
    NotADirectoryError
        If it is a file.
    ValueError
        If a URL reaches local files through another file system.
    """
    files, path = fsspec.core.url_to_fs(os.fspath(url))
    if isinstance(files, LocalFileSystem):
        return LocalFolder(path)
    _, *last = os.fspath(url).rsplit("::", 1)
    if last and isinstance(fsspec.core.url_to_fs(*last)[0], LocalFileSystem):
        raise ValueError(
            f"checkpoint={url!r} reaches local files through another file system, so "
            "that it is not known who may write to them; expected a path, or a URL of "
            f"files elsewhere. Pass the path of the directory, such as {path!r}."
        )
    return RemoteFolder(files, path)


class LocalFolder:
    """A local directory that belongs to the user.

    Nobody else may write to its files, to it or to the directories above it. OpenSSH
    checks its keys in a similar way.

    Parameters
    ----------
    path : str
        The path of the directory. It is made if it is not there.
    """

    def __init__(self, path: str) -> None:
        # Links are resolved, since their owners may change them.
        self.path = os.path.realpath(path)
        self._lock: FileIO | None = None
        self._has = False
        _check_folder(self.path)
        _make_folders(self.path)
        _check_folder(self.path)

    def lock(self) -> None:
        """Keep other processes out, until `unlock` or the end of this process.

        Raises
        ------
        RuntimeError
            If another process uses the folder.
        FileExistsError
            If the name of the lock file is taken by something else.
        """
        path = self._at(LOCK)
        _LOCKED.add(self)
        while not self._has:
            # Stored before it is locked, so that Ctrl-C leaves no lock behind.
            self._lock = file = _open_lock(path)
            try:
                _lock_file(file.fileno())
            except OSError as error:
                holder = file.read(_LONGEST).decode(errors="replace")
                self.unlock()
                if isinstance(error, BlockingIOError | PermissionError):
                    raise _in_use(self.path, holder) from error
                warnings.warn(
                    f"{self.path!r} cannot be locked ({error}). Make sure that no "
                    "other fit uses it at the same time.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return
            if self._is_there(file.fileno()):
                holder = file.read(_LONGEST)
                if holder and not _about(holder):
                    raise _in_place_of_lock(path, f"begins with {holder[:40]!r}")
                self._has = True
            else:  # the process that had the lock has removed the file
                file.close()
        os.ftruncate(file.fileno(), 0)
        file.seek(0)
        file.write(_myself())

    def unlock(self) -> None:
        """Let other processes in."""
        file, has = self._lock, self._has
        self._lock, self._has = None, False
        if file is None:
            return
        with file:
            if has and sys.platform != "win32":
                self._remove_lock()
        if has and sys.platform == "win32":  # where an open file cannot be removed
            self._remove_lock()

    def forget_lock(self) -> None:
        """Close the lock of the parent in a forked child, without releasing it."""
        if self._lock is not None:
            self._lock.close()
        self._lock, self._has = None, False

    def _remove_lock(self) -> None:
        """Remove the lock file; warn if that fails."""
        try:
            self.remove(LOCK)
        except OSError as error:
            warnings.warn(
                f"The file {LOCK!r} stays in {self.path!r}: {error!r}. It keeps no "
                "other fit out.",
                RuntimeWarning,
                stacklevel=3,
            )

    def names(self, name: re.Pattern[str]) -> list[str]:
        """Return the sorted names of the files that match a pattern."""
        with os.scandir(self.path) as entries:
            files = [one.name for one in entries if not _is_folder(one)]
        return sorted(filter(name.fullmatch, files))

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        PermissionError
            If another user may have written it.
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
        except IsADirectoryError as error:
            os.unlink(part)
            raise IsADirectoryError(
                f"checkpoint={self.path!r} holds a directory {name!r}, which is in the "
                "way of a checkpoint. Move it, or take another directory."
            ) from error
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
        """Tell whether an open file, given by its number, is still the lock file."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(number), os.stat(self._at(LOCK)))
        return False


class RemoteFolder:
    """A folder in a file system that fsspec opens.

    Who may write to it is not checked.

    Parameters
    ----------
    files : fsspec.AbstractFileSystem
        The file system.
    path : str
        The path of the folder in it. The folder is made if it is not there.
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
            If another process uses the folder, or left its lock there.
        """
        _LOCKED.add(self)
        self._lock = mine = _myself()
        holder = self._holder()
        if holder is None or _is_dead(holder):
            self._files.pipe_file(self._at(LOCK), mine)
            holder = self._holder()  # another process may have written it too
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

    def forget_lock(self) -> None:
        """Forget the lock of the parent in a forked child."""
        self._lock = b""

    def names(self, name: re.Pattern[str]) -> list[str]:
        """Return the sorted names of the files that match a pattern."""
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self.path, detail=True)
        except FileNotFoundError:
            return []  # object stores have no empty directories
        files = [one["name"].rpartition("/")[2] for one in found if _is_file(one)]
        return sorted(filter(name.fullmatch, files))

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
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
        """Return what is in the lock file; None if there is none."""
        self._files.invalidate_cache()
        try:
            return self.read(LOCK)
        except FileNotFoundError:
            return None


_LOCKED: WeakSet[LocalFolder | RemoteFolder] = WeakSet()


def _forget_locks() -> None:
    for folder in list(_LOCKED):
        folder.forget_lock()


# A forked child must forget the locks. Otherwise it would keep the lock of a parent
# that was killed, and remove the lock of a parent that still runs.
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_locks)

# Do not follow links, and do not wait for pipes or devices.
_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


def _open(path: str, flags: int) -> int:
    """Open a file that nobody else may write to, whatever the umask is.

    Parameters
    ----------
    path : str
    flags : int
        As for `os.open`.

    Returns
    -------
    int
        The number of the open file.
    """
    number = os.open(path, flags, 0o600)
    if os.name == "posix":
        os.fchmod(number, 0o600)
    return number


def _open_lock(path: str) -> FileIO:
    """Open the lock file, or make it.

    Raises
    ------
    FileExistsError
        If anything else has that path.
    """
    flags = os.O_RDWR | _FLAGS
    while True:
        with suppress(FileExistsError):
            return FileIO(_open(path, flags | os.O_CREAT | os.O_EXCL), "r+")
        with suppress(FileNotFoundError):  # another process may have removed it
            about = os.lstat(path)
            if not stat.S_ISREG(about.st_mode):
                raise _in_place_of_lock(path, "is no regular file")
            if about.st_nlink > 1:
                raise _in_place_of_lock(path, "has other names too")
            if os.name == "posix" and about.st_uid != os.geteuid():
                raise _in_place_of_lock(path, f"belongs to the user {about.st_uid}")
            return FileIO(os.open(path, flags), "r+")


def _in_place_of_lock(path: str, why: str) -> FileExistsError:
    """Return the error for something that has the name of the lock file."""
    return FileExistsError(
        f"{path!r} {why}; expected no file of that name in the directory of "
        "`checkpoint`, or one that a fit left there. Rename it, or take another "
        "directory."
    )


def _is_file(entry: Mapping[str, Any]) -> bool:
    return bool(entry["type"] == "file")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _myself() -> bytes:
    """Return what this process writes to a lock file: who it is, in JSON."""
    about = {
        "host": platform.node(),
        "processes": _processes(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "fit": uuid4().hex,
    }
    return json.dumps(about).encode()


def _about(holder: bytes) -> dict[str, Any]:
    """Return what a lock file says of its process; {} for any other content."""
    try:
        about = json.loads(holder)
    except ValueError:
        return {}
    known = isinstance(about, dict) and about.keys() >= {"host", "process", "fit"}
    return about if known else {}


def _is_dead(holder: bytes) -> bool:
    """Tell whether the process that wrote a lock file ran here and has ended."""
    about = _about(holder)
    same = about.get("host") == platform.node()
    # On Windows `os.kill` would end the process.
    if not same or about.get("processes") != _processes() or os.name != "posix":
        return False
    try:
        os.kill(about["process"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(about.get("started") != _started(about["process"]))


def _processes() -> str:
    """Return a name for the set of processes that have their numbers in common.

    On Linux it is made of the boot of the machine and the container. Elsewhere it is
    empty.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """Return when a process began, or an empty text if that is unknown.

    It tells the process from a later one with the same number.
    """
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _in_use(path: str, holder: str) -> RuntimeError:
    """Return the error for a folder that another process, the holder, uses."""
    return RuntimeError(
        f"checkpoint={path!r} is in use by another fit: {holder}. Take a directory for "
        f"each fit, or wait for the end of that one. If it has ended, remove the file "
        f"{LOCK!r} there."
    )


def _lock_file(number: int) -> None:
    """Lock an open file, given by its number, without waiting.

    Raises
    ------
    OSError
        If another process has locked it, or if it cannot be locked.
    """
    if sys.platform == "win32":
        # Far behind the text: others cannot read bytes that are locked.
        os.lseek(number, 1 << 20, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        os.lseek(number, 0, os.SEEK_SET)
    else:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _make_folders(path: str) -> None:
    """Make a directory and those above it for this user. All survive a power cut.

    Raises
    ------
    NotADirectoryError
        If one of the paths is a file.
    """
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
    """Check that nobody else may write to a directory or replace it.

    Raises
    ------
    PermissionError
        If others may.
    """
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
    """Check that nobody else may write to the directories above a path."""
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
    """Check that nobody else may have written a checkpoint.

    Parameters
    ----------
    path : str
    about : os.stat_result
        What the system says of the file.

    Raises
    ------
    PermissionError
        If others may have, or if it is no regular file.
    """
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
    """Check that neither the group nor everybody may write to a file or directory.

    Parameters
    ----------
    about : os.stat_result
        What the system says of it.
    what, advice : str
        What the message begins and ends with.

    Raises
    ------
    PermissionError
        If they may.
    """
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
