"""Checkpoints: the progress of a fit, saved in files so that it can be resumed.

A checkpoint is one file of four parts. The first line names the format. The second
line is the SHA-256 of everything else. The third line is the manifest, in JSON. The
rest is a pickle. Whoever can write to the directory can therefore run code in the
process that reads it.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from types import TracebackType
from typing import Any, Protocol, Self

import cloudpickle
from dask.base import is_dask_collection
from sklearn import get_config
from sklearn.frozen import FrozenEstimator

from incremental._blocks.collections import is_lazy
from incremental._errors import noted
from incremental._fit.folders import open_folder
from incremental._fit.progress import BlockFitted
from incremental._fit.termination import Termination
from incremental._fit.tokens import tokenize

MAGIC = b"incremental checkpoint 4\n"
# The names of a checkpoint, of one that no fit goes on from, and of an unfinished file.
NAME = re.compile(r"(\d{12})\.checkpoint")
FINISHED = re.compile(r"finished-\d{12}\.checkpoint")
PART = re.compile(r"\d{12}\.checkpoint\.[0-9a-f]+\.part")
KEPT = 2


class Resumable(Protocol):
    """What a checkpoint holds: how far a fit has come, with all that it needs to go on.

    It can be pickled.

    Attributes
    ----------
    n_fitted : int
        How far it has come. A later one has a larger number.
    """

    @property
    def n_fitted(self) -> int: ...

    def manifest(self) -> dict[str, Any]:
        """Return what a reader of a checkpoint sees without unpickling it."""
        ...

    def arrived(self) -> Self:
        """Return it ready to go on, after it was unpickled."""
        ...


class Checkpoints:
    """The checkpoints of one fit, as an observer that writes them.

    Within its ``with`` block no other fit may use the directory.

    Parameters
    ----------
    url : str or path
        The directory, a path or a URL that fsspec opens. It is made if need be.
    every : int
        How many blocks are fitted between two checkpoints.
    fingerprint : dict of str to str
        What the fit depends on, as `fingerprint` returns it. A checkpoint with
        another fingerprint is refused.

    Raises
    ------
    PermissionError
        If others may write to the directory, or have written what is in it.
    RuntimeError
        On entering, if another fit uses the directory.
    """

    def __init__(self, url: Any, every: int, fingerprint: Mapping[str, str]) -> None:
        self.every = every
        self._folder = open_folder(url)
        self._fingerprint = dict(fingerprint)
        self._own: set[str] = set()
        self._marked: list[str] = []
        self._old: list[str] = []
        self._termination = Termination()

    def __enter__(self) -> Checkpoints:
        try:
            self._termination.__enter__()
            self._folder.lock()
            for name in self._folder.names(PART):
                self._folder.remove(name)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._folder.unlock()
        finally:
            self._termination.__exit__(kind, error, traceback)

    @property
    def asked_to_end(self) -> bool:
        """Whether SIGTERM has come."""
        return self._termination.asked_for

    def begin_pass(self, progress: Resumable) -> None:
        """Note that from now on there is progress to save."""
        self._termination.hold_back()

    def end_block(self, event: BlockFitted) -> bool:
        """Save the progress if a checkpoint is due, or if SIGTERM has come.

        After SIGTERM the process ends here. Otherwise False is returned, because
        checkpoints never stop a pass.
        """
        asked_for = self._termination.asked_for
        if asked_for or event.progress.n_fitted % self.every == 0:
            self.save(replace(event.progress, fitting=event.load()))
        if asked_for:
            self._termination.leave()
        return False

    def end_pass(self, progress: Resumable) -> bool:
        """Save the progress and end the process, if SIGTERM has come."""
        if self._termination.asked_for:
            self.save(progress)
            self._termination.leave()
        return False

    def save(self, progress: Resumable) -> None:
        """Write a checkpoint and remove all but the last two.

        Raises
        ------
        TypeError
            If the estimator cannot be pickled.
        """
        newest = _name(progress)
        self._write(newest, progress)
        self._own.add(newest)
        # The fit was resumed before any later checkpoint, so that those are damaged.
        kept = sorted(name for name in self._own if name <= newest)[-KEPT:]
        for name in [*self._own.difference(kept), *self._old]:
            self._remove(name)
        self._own.intersection_update(kept)
        self._old = []

    def load(self) -> Any:
        """Return the `Resumable` in the newest intact checkpoint; None without one.

        Raises
        ------
        ValueError
            If it belongs to another fit; the message says what differs.
        PermissionError
            If another user may have written it.
        RuntimeError
            If another version wrote it, in a format that this one cannot read.
        """
        finished = self._folder.names(FINISHED)
        names = self._folder.names(NAME)
        # A finished fit may have been stopped before it removed its checkpoints.
        over = max(finished, default="").removeprefix("finished-")
        self._own = {name for name in names if name > over}
        self._old = [*(name for name in names if name <= over), *finished]
        for name in sorted(self._own, reverse=True):
            try:
                manifest, body = _parse(self._folder.read(name))
            except ValueError as error:
                warnings.warn(
                    f"The checkpoint {self._folder.path}/{name} is left out: {error}.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                continue
            self._compare(manifest["fingerprint"])
            return pickle.loads(body).arrived()
        return None

    def mark_finished(self, progress: Resumable, *, keep: bool) -> None:
        """Mark the newest checkpoint as finished, so that no fit is resumed from it.

        The mark is set before the wrapper gets the fitted estimator. If the process
        is killed between the two, the next call of the fit begins anew. So no fit
        that is over is ever resumed. If the mark cannot be set, a warning is given,
        because the fit has succeeded.

        Parameters
        ----------
        progress : Resumable
            The progress at the end of the fit.
        keep : bool
            Whether the last checkpoints are kept. If none was written after the last
            block, one is written now.
        """
        last = _name(progress)
        if keep and last not in self._own:
            write = partial(self._write, f"finished-{last}", progress)
            problem = f"{self._folder.path!r} holds no checkpoint of the end"
            if self._try(write, problem, "The fit itself is as it should be."):
                self._marked.append(f"finished-{last}")
        if self._own and not self._marked:
            self._mark(max(self._own))

    def finish(self, *, keep: bool) -> None:
        """Remove the checkpoints of this fit and of finished ones before it.

        A failure gives a warning only, because the fit is over.

        Parameters
        ----------
        keep : bool
            Whether the last two checkpoints of this fit are marked as finished instead.
        """
        own = sorted(self._own, reverse=True)
        spare = KEPT - len(self._marked) if keep else 0
        for name in own[:spare]:
            self._mark(name)
        old = [name for name in self._old if name not in self._marked]
        gone = [self._remove(name) for name in [*own[spare:], *old]]
        # Marked ones go last, and only if no unmarked one is left: without the mark the
        # next fit would go on from it.
        if all(gone) and not keep:
            for name in self._marked:
                self._remove(name)

    def _mark(self, name: str) -> None:
        """Mark a checkpoint as finished, by its name."""
        marked = f"finished-{name}"
        rename = partial(self._folder.rename, name, marked)
        advice = "Remove it, or the next fit there goes on from it."
        if self._try(rename, self._stays(name), advice):
            self._own.discard(name)
            self._marked.append(marked)

    def _remove(self, name: str) -> bool:
        """Remove a file; return whether it is gone."""
        remove = partial(self._folder.remove, name)
        return self._try(remove, self._stays(name), "It is not needed any more.")

    def _stays(self, name: str) -> str:
        return f"The checkpoint {name} stays in {self._folder.path!r}"

    def _try(self, change: Callable[[], None], problem: str, advice: str) -> bool:
        """Make a change to the directory; warn if it fails.

        Parameters
        ----------
        change : callable
            ``change()`` makes the change.
        problem, advice : str
            What the warning says before and after the error.

        Returns
        -------
        bool
            Whether the change was made.
        """
        try:
            change()
        except Exception as error:
            warnings.warn(
                f"{problem}: {error!r}. {advice}", RuntimeWarning, stacklevel=5
            )
            return False
        return True

    def _write(self, name: str, progress: Resumable) -> None:
        """Write a checkpoint of this name."""
        body = pickled(progress)
        manifest = {**progress.manifest(), "fingerprint": self._fingerprint}
        rest = json.dumps(manifest).encode() + b"\n" + body
        self._folder.write(name, MAGIC + _check(MAGIC + rest) + b"\n" + rest)

    def _compare(self, received: Mapping[str, str]) -> None:
        """Check that a checkpoint is of this fit.

        Parameters
        ----------
        received : dict of str to str
            The fingerprint in the checkpoint.

        Raises
        ------
        ValueError
            If it differs from that of this fit.
        """
        expected = self._fingerprint
        names = [*expected, *(name for name in received if name not in expected)]
        differ = [
            f"{name} was {received.get(name, 'not there')} and is "
            f"{expected.get(name, 'not there')}"
            for name in names
            if received.get(name) != expected.get(name)
        ]
        if differ:
            raise ValueError(
                f"checkpoint={self._folder.path!r} holds checkpoints of another fit: "
                f"{'; '.join(differ)}. Call the fit as it was called then to go on "
                "with it, or remove them to begin anew."
            )


def fingerprint(
    parameters: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, str]:
    """Describe what a fit depends on, as texts that an error message can show.

    Parameters
    ----------
    parameters : dict
        The parameters of the wrapper and of the fit, by name.
    data : dict
        What the data can be recognised by, without reading them, under names that a
        message can show.

    Returns
    -------
    dict of str to str
        A text for each thing that the fit depends on, by its name in messages.

    Raises
    ------
    TypeError
        If a value has no text that is the same in each process; a note names it.
    """
    packages = ("dask-incremental", "numpy", "scikit-learn")
    versions = {f"the version of {name}": version(name) for name in packages}
    named = {f"the parameter {name}": value for name, value in parameters.items()}
    settings = {
        f"scikit-learn's configuration {name}": value
        for name, value in sorted(get_config().items())
        if name not in _ABOUT_DISPLAY
    }
    described = {}
    for name, value in {**settings, **named, **data}.items():
        with noted(f"in {name}"):
            described[name] = _described(value)
    return {**versions, **described}


_ABOUT_DISPLAY = {"display", "print_changed_only"}


def describe_rows(
    rows: Mapping[str, Any], n_blocks: int, lengths: Sequence[int] | None
) -> dict[str, Any]:
    """Return what rows can be recognised by, without reading any.

    Parameters
    ----------
    rows : dict of str to dask collection or data in memory
    n_blocks : int
    lengths : sequence of int or None
        The number of rows of each block, if known.

    Returns
    -------
    dict
        Its keys are names that a message can show. Data in memory are described by
        tokens.
    """
    return {
        "the inputs": ", ".join(rows),
        "the number of blocks": n_blocks,
        "the lengths of the blocks": lengths,
        **{
            f"the values of {name}": tokenize(value)
            for name, value in rows.items()
            if not is_lazy(value)
        },
    }


def _described(value: Any) -> str:
    """Return a text for a value, which is the same for equal values."""
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    if isinstance(value, type):
        return f"class {value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_params") and not isinstance(value, FrozenEstimator):
        # An estimator is cloned, so that only its type and parameters matter.
        params = sorted(value.get_params(deep=False).items())
        inner = ", ".join(f"{name}={_described(one)}" for name, one in params)
        return f"{type(value).__module__}.{type(value).__qualname__}({inner})"
    if is_dask_collection(value):
        return f"{type(value).__name__} of {value.npartitions} blocks"
    if isinstance(value, list | tuple) and len(value) < 100:
        return f"[{', '.join(map(_described, value))}]"
    return f"{type(value).__name__} {tokenize(value)}"


def pickled(value: object) -> bytes:
    """Pickle the content of a checkpoint, with cloudpickle if pickle fails.

    Raises
    ------
    TypeError
        If both fail.
    """
    try:
        return pickle.dumps(value, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        pass
    try:
        return bytes(cloudpickle.dumps(value, protocol=5))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"checkpoint needs an estimator that pickles: {error}. Let it hold no "
            "locks, open files or connections, nor functions that use some."
        ) from error


def _name(progress: Resumable) -> str:
    """Return the name of the file that a progress is saved in."""
    return f"{progress.n_fitted:012d}.checkpoint"


def _check(data: bytes) -> bytes:
    """Return the SHA-256 of data, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest().encode()


def _parse(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Split the content of a checkpoint, and check that it is intact.

    Parameters
    ----------
    data : bytes
        All that is in the file.

    Returns
    -------
    manifest : dict
    body : bytes
        The pickle.

    Raises
    ------
    ValueError
        If it is damaged, or no checkpoint.
    RuntimeError
        If it is whole, but of another format.
    """
    magic, check, rest = (*data.split(b"\n", 2), b"", b"")[:3]
    magic += b"\n"
    # The checksum of the first format did not cover the first line.
    of_first = magic == _FIRST and check == _check(rest)
    if not of_first and check != _check(magic + rest):
        raise ValueError(f"its {len(data)} bytes are not those that were written")
    if magic != MAGIC:
        raise RuntimeError(
            f"A checkpoint has the format {magic.decode().strip()!r}, but this version "
            f"reads {MAGIC.decode().strip()!r}. Go on with the version that wrote it, "
            "or remove it to begin anew."
        )
    head, _, body = rest.partition(b"\n")
    return json.loads(head), body


_FIRST = b"incremental checkpoint 1\n"
