"""Checkpoints: the progress of a fit in files, from which the same fit goes on.

A checkpoint is one file: a line that says what it is, a line with the SHA-256 of what
follows, a line of JSON that says what it holds (the manifest), and a pickle. Whoever
can write to the directory can therefore run code in the process that reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import stat
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import fsspec
from dask.base import is_dask_collection
from dask.tokenize import tokenize
from fsspec.implementations.local import LocalFileSystem
from sklearn.frozen import FrozenEstimator

from incremental._copy import copy_estimator
from incremental._partial_fit import Fitting
from incremental._passes import Progress

MAGIC = b"incremental checkpoint 1\n"
NAME = re.compile(r"(\d{12})\.checkpoint")
PART = re.compile(r"\d{12}\.checkpoint\.[0-9a-f]+\.part")
KEPT = 2


class Checkpoints:
    """The checkpoints of one fit, in a directory.

    Parameters
    ----------
    url : str or path
        The directory, or any URL that fsspec opens. It is made if it is not there.
    every : int
        How many blocks are fitted between two checkpoints.
    fingerprint : dict of str to str
        What the fit depends on, see `fingerprint`. A checkpoint of another one is
        refused.

    Raises
    ------
    PermissionError
        If everybody may write to the directory.
    """

    def __init__(self, url: Any, every: int, fingerprint: Mapping[str, str]) -> None:
        self.every = every
        self._files, self._folder = fsspec.core.url_to_fs(os.fspath(url))
        self._fingerprint = dict(fingerprint)
        if self._is_local:
            _make_private(self._folder)
        else:
            self._files.makedirs(self._folder, exist_ok=True)

    def begin_pass(self, progress: Progress, n_blocks: int) -> None:
        """Do nothing."""

    def end_block(self, progress: Progress, load: Callable[[], Fitting]) -> bool:
        """Save the progress if it is time."""
        if self.blocks_left(progress) == self.every:
            progress.fitting = load()
            self.save(progress)
        return False

    def end_pass(self, progress: Progress) -> bool:
        """Do nothing."""
        return False

    def blocks_left(self, progress: Progress) -> int:
        """Count the blocks to fit before the next checkpoint."""
        return self.every - _n_fitted(progress) % self.every

    def save(self, progress: Progress) -> None:
        """Write a checkpoint and remove all but the last two.

        Raises
        ------
        TypeError
            If the estimator cannot be pickled.
        """
        body = _pickled(progress)
        manifest = {
            "pass": len(progress.history) + 1,
            "place": progress.place,
            "order": list(progress.order),
            "fingerprint": self._fingerprint,
        }
        rest = json.dumps(manifest).encode() + b"\n" + body
        check = hashlib.sha256(rest).hexdigest().encode() + b"\n"
        number = _n_fitted(progress)
        self._write(f"{number:012d}.checkpoint", MAGIC + check + rest)
        numbers = self._numbers()
        older = [path for path, other in numbers.items() if other <= number]
        # One that is ahead was torn, as the fit went on from before it.
        for path in numbers.keys() - older[-KEPT:]:
            self._remove(path)

    def load(self) -> Progress | None:
        """Return the progress in the last checkpoint that is whole; None without one.

        Raises
        ------
        ValueError
            If it belongs to another fit; the message says what differs.
        RuntimeError
            If another version wrote it, in a format that this one cannot read.
        """
        for path in reversed(self._numbers()):
            try:
                manifest, body = _parse(self._files.cat_file(path))
            except ValueError as error:
                warnings.warn(
                    f"The checkpoint {path} is left out: {error}.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                continue
            self._check(manifest["fingerprint"])
            progress: Progress = pickle.loads(body)
            estimator = copy_estimator(progress.fitting.estimator)
            progress.fitting = progress.fitting._replace(estimator=estimator)
            return progress
        return None

    def remove(self) -> None:
        """Remove all checkpoints."""
        for path in [*self._numbers(), *self._list(PART)]:
            self._remove(path)

    @property
    def _is_local(self) -> bool:
        return isinstance(self._files, LocalFileSystem)

    def _numbers(self) -> dict[str, int]:
        """Return the checkpoints and how many blocks are fitted in them, in order."""
        paths = self._list(NAME)
        return {path: int(path.rpartition("/")[2][:12]) for path in paths}

    def _list(self, name: re.Pattern[str]) -> list[str]:
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self._folder, detail=True)
        except FileNotFoundError:
            return []  # object stores have no empty directories
        names = [one["name"].replace(os.sep, "/") for one in found if _is_file(one)]
        return sorted(one for one in names if name.fullmatch(one.rpartition("/")[2]))

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(path)

    def _write(self, name: str, data: bytes) -> None:
        """Write a file so that it is there as a whole or not at all."""
        path = f"{self._folder.rstrip('/')}/{name}"
        part = f"{path}.{uuid4().hex}.part"
        if not self._is_local:
            self._files.pipe_file(part, data)
            self._files.mv(part, path)
            return
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(self._folder)

    def _check(self, received: Mapping[str, str]) -> None:
        expected = self._fingerprint
        names = [*expected, *(name for name in received if name not in expected)]
        differ = [
            f"{name} was {received.get(name, 'not there')} and is "
            f"{expected.get(name, 'not there')}"
            for name in names
            if received.get(name) != expected.get(name)
        ]
        if differ:
            raise self.refusal("; ".join(differ))

    def refusal(self, differs: str) -> ValueError:
        """Return the error that the checkpoints belong to another fit.

        Parameters
        ----------
        differs : str
            What says so.
        """
        return ValueError(
            f"checkpoint={self._folder!r} holds checkpoints of another fit: {differs}. "
            "Call the fit as it was called then to go on with it, or remove them to "
            "begin anew."
        )


def fingerprint(parameters: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
    """Describe what a fit depends on, in words that a message can compare.

    Parameters
    ----------
    parameters : dict
        Parameters of the wrapper, of its estimator and of the fit.
    data : dict
        What identifies the data.

    Returns
    -------
    dict of str to str
    """
    packages = ("dask-incremental", "numpy", "scikit-learn")
    versions = {f"the version of {name}": version(name) for name in packages}
    named = {f"the parameter {name}": value for name, value in parameters.items()}
    described = {name: _described(value) for name, value in {**named, **data}.items()}
    return {**versions, **described}


def _described(value: Any) -> str:
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    if hasattr(value, "get_params") and not isinstance(value, FrozenEstimator):
        # Its parameters have names of their own, and it is cloned.
        return f"{type(value).__module__}.{type(value).__qualname__}"
    if is_dask_collection(value):
        return f"{type(value).__name__} of {value.npartitions} blocks"
    if isinstance(value, list | tuple) and len(value) < 100:
        return f"[{', '.join(map(_described, value))}]"
    return f"{type(value).__name__} {tokenize(value)}"


def _is_file(entry: Mapping[str, Any]) -> bool:
    return bool(entry["type"] == "file")


def _n_fitted(progress: Progress) -> int:
    return progress.place + sum(int(record["blocks"]) for record in progress.history)


def _pickled(progress: Progress) -> bytes:
    try:
        return pickle.dumps(progress, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"checkpoint needs an estimator that pickles: {error}. Define functions "
            "and classes that it uses in a module, not in another function."
        ) from error


def _parse(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Take a checkpoint apart.

    Raises
    ------
    ValueError
        If it is torn, or something else.
    """
    magic, check, rest = (*data.split(b"\n", 2), b"", b"")[:3]
    if magic.startswith(MAGIC[:-2]) and magic + b"\n" != MAGIC:
        raise RuntimeError(
            f"A checkpoint has the format {magic.decode()!r}, but this version reads "
            f"{MAGIC.decode().strip()!r}. Go on with the version that wrote it, or "
            "remove it to begin anew."
        )
    if magic + b"\n" != MAGIC:
        raise ValueError("it does not begin as a checkpoint does")
    if check.decode() != hashlib.sha256(rest).hexdigest():
        raise ValueError(f"its {len(data)} bytes are not those that were written")
    head, _, body = rest.partition(b"\n")
    return json.loads(head), body


def _make_private(folder: str) -> None:
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(
            f"checkpoint={folder!r} is a file; expected a directory, or a path where "
            "one can be made."
        ) from error
    if os.name == "posix" and os.stat(folder).st_mode & stat.S_IWOTH:
        raise PermissionError(
            f"checkpoint={folder!r} is a directory that everybody may write to; "
            "expected one of your own, as reading a checkpoint runs code that is in "
            "it. Take another directory, or `chmod o-w` this one."
        )


def _sync_folder(folder: str) -> None:
    """Make sure that a new name in a folder survives a power cut."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
