"""Digests of blocks, to check that a block read again is still the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from incremental._blocks.block import Block
from incremental._blocks.rows import is_pandas, n_rows, take_rows
from incremental._blocks.stages import Stage, apply
from incremental._fit.progress import DIGEST_SIZE, Progress
from incremental._fit.step import FittedAlone, Fitting
from incremental._fit.tokens import tokenize
from incremental._graph.blocks import Blocks
from incremental._graph.fold import map_blocks
from incremental._typing import Dtype, Piece

# It stands for the digest of a block that was not read before.
UNKNOWN = bytes(DIGEST_SIZE)

# About how many rows of a block are in its digest.
_ROWS = 64


def digest(block: Block, stages: Sequence[Stage] = ()) -> bytes:
    """Return the digest of a block, made of its lengths, names, types and some rows.

    These rows are the first, the last and some spread evenly between. The memory layout
    of the block makes no difference. All blocks without rows have the same digest.

    Parameters
    ----------
    block : Block
    stages : sequence of Stage
        Row-local stages that X has still to go through. The rows go through them.
    """
    found = blake2b(digest_size=DIGEST_SIZE)
    if n_rows(block["X"]):
        for name in sorted(block):
            piece = block[name]
            found.update(repr((name, n_rows(piece))).encode())
            for rows in _some_rows(piece):
                mapped = apply(stages, rows) if name == "X" else rows
                for part in _parts(mapped):
                    found.update(part)
    return found.digest()


def _some_rows(piece: Piece) -> list[Piece]:
    """Cut rows out of a piece of a block with slices.

    To cut them out one by one would take ten times as long.
    """
    step = -(-n_rows(piece) // _ROWS)
    return [
        take_rows(piece, slice(None, None, step)),
        take_rows(piece, slice(-1, None)),
    ]


def _parts(rows: Piece) -> list[bytes]:
    """Return bytes that are equal for equal rows, whatever their memory layout."""
    if is_pandas(rows):
        if rows.ndim == 1:
            return [repr((rows.name, _type(rows.dtype))).encode(), *_values(rows)]
        types = list(map(_type, rows.dtypes.to_numpy()))
        about = repr([list(rows.columns), types]).encode()
        # All columns of one type are taken at once: one by one takes far longer.
        alike = [np.flatnonzero(np.equal(types, one)) for one in dict.fromkeys(types)]
        groups = (rows.iloc[:, at] for at in alike) if len(alike) > 1 else (rows,)
        return [about, *(part for one in groups for part in _values(one))]
    return [tokenize(rows).encode()]


def _values(rows: Piece) -> list[bytes]:
    """Return the bytes of the values in a frame or series."""
    return _parts(rows.to_numpy())


def _type(dtype: Dtype) -> str:
    """Return the name of a type, with its byte order if it is of NumPy."""
    return dtype.str if isinstance(dtype, np.dtype) else dtype.name


@dataclass(frozen=True)
class Recognise:
    """A function that returns a block with its digest in it.

    Parameters
    ----------
    stages : sequence of Stage
        As for `digest`.
    """

    stages: Sequence[Stage]

    def __call__(self, block: Block) -> Block:
        """Return the block with its digest."""
        return block.recognised_by(digest(block, self.stages))


@dataclass(frozen=True)
class Compared:
    """A step that checks the digest of a block before it calls another step.

    Parameters
    ----------
    step : callable
        The other step: ``step(fitting, block) -> Fitting``.
    expected : bytes
        The digests of the blocks in the order of the pass. `UNKNOWN` fits any block.
    """

    step: Callable[[Fitting, Any], Fitting]
    expected: bytes

    def __call__(self, fitting: Fitting, block: Block | FittedAlone) -> Fitting:
        """Return the fitting after one more block, with its digest added.

        Raises
        ------
        ValueError
            If the block differs from what was read before.
        """
        place = len(fitting.digests)
        if self.expected[place : place + DIGEST_SIZE] not in (block.digest, UNKNOWN):
            raise ValueError(f"The block {_DIFFERS}. {_REMEDY}")
        digests = fitting.digests + block.digest
        return self.step(fitting, block)._replace(digests=digests)


def digests_of_some(blocks: Blocks, positions: Sequence[int]) -> dict[int, bytes]:
    """Read the first, the middle and the last of some blocks.

    Parameters
    ----------
    blocks : Blocks
    positions : sequence of int
        The positions of these blocks. There is at least one.

    Returns
    -------
    dict of int to bytes
        The digests of the blocks that were read, by position.
    """
    chosen = sorted({positions[at] for at in (0, len(positions) // 2, -1)})
    return _read(blocks, chosen)


def check_same(blocks: Blocks, progress: Progress) -> None:
    """Read some blocks again and compare them with what was read before.

    All held-out blocks with a known digest are read. Of the fitted blocks the first,
    the last and a random one between are read.

    Parameters
    ----------
    blocks : Blocks
    progress : Progress
        The progress of a fit that is resumed.

    Raises
    ------
    ValueError
        If one of them is not what it was.
    """
    known = progress.all_digests()
    held_out = set(progress.held_out)
    fitted = [at for at in known if at not in held_out]
    between = [random.Random().choice(fitted[1:-1])] if fitted[2:] else []
    some = {*held_out, *fitted[:1], *between, *fitted[-1:]}
    check_digests(blocks, {at: known[at] for at in known if at in some})


def check_digests(
    blocks: Blocks, expected: Mapping[int, bytes], whose: str = ""
) -> None:
    """Read blocks again and compare their digests.

    Parameters
    ----------
    blocks : Blocks
    expected : dict of int to bytes
        The digest of each block to read, by its position.
    whose : str, default=""
        What stands after the block in the message, such as ``"of validation_data "``.

    Raises
    ------
    ValueError
        If one of them is not what it was.
    """
    found = _read(blocks, list(expected)) if expected else {}
    for at, known in expected.items():
        if found[at] != known:
            raise ValueError(
                f"The checkpoint is of another fit: {blocks.describe()[at]} "
                f"{whose}{_DIFFERS}. {_REMEDY}"
            )


def _read(blocks: Blocks, positions: Sequence[int]) -> dict[int, bytes]:
    """Read the blocks at these positions; return their digests by position."""
    found = map_blocks(blocks, digest, name="recognise", order=positions)
    return dict(zip(positions, found, strict=True))


_DIFFERS = "has other rows, columns or types than when the fit read it before"
_REMEDY = (
    "With `checkpoint` each read has to yield the same rows. Where they are drawn anew "
    "(augmented, sampled or shuffled without a seed), give a seed, or fit without "
    "`checkpoint`. Where the data have changed, remove the checkpoints to begin anew."
)
