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
from incremental._fit.step import Fitting
from incremental._fit.tokens import tokenize
from incremental._graph.blocks import Blocks
from incremental._graph.fold import map_blocks

UNKNOWN = bytes(DIGEST_SIZE)

_ROWS = 64


def digest(block: Block, stages: Sequence[Stage] = ()) -> bytes:
    """Describe a block by its lengths, names and types, and by some of its rows.

    These rows are the first, the last and some spread evenly between. The memory
    layout of the block makes no difference.

    Parameters
    ----------
    block : Block
    stages : sequence of Stage
        Row-local stages that X has still to go through.
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


def _some_rows(piece: Any) -> list[Any]:
    """Cut rows out with slices: one by one would take ten times as long."""
    step = -(-n_rows(piece) // _ROWS)
    return [
        take_rows(piece, slice(None, None, step)),
        take_rows(piece, slice(-1, None)),
    ]


def _parts(rows: Any) -> list[bytes]:
    """Return bytes that are equal for equal rows, whatever their memory layout."""
    if is_pandas(rows):
        if rows.ndim == 1:
            return [repr((rows.name, _type(rows.dtype))).encode(), *_values(rows)]
        types = list(map(_type, rows.dtypes.to_numpy()))
        about = repr([list(rows.columns), types]).encode()
        # All columns of a type at once: one at a time takes many times as long.
        alike = [np.flatnonzero(np.equal(types, one)) for one in dict.fromkeys(types)]
        groups = (rows.iloc[:, at] for at in alike) if len(alike) > 1 else (rows,)
        return [about, *(part for one in groups for part in _values(one))]
    return [tokenize(rows).encode()]


def _values(rows: Any) -> list[bytes]:
    return _parts(rows.to_numpy())


def _type(dtype: Any) -> str:
    return dtype.str if isinstance(dtype, np.dtype) else dtype.name


@dataclass(frozen=True)
class Recognise:
    """A function that stores in a block its digest.

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
    """A step that first checks the digest of the block, and then keeps it.

    Parameters
    ----------
    step : callable
        ``step(fitting, block) -> Fitting``
    expected : bytes
        The digests of the blocks in the order of the pass. `UNKNOWN` fits any.
    """

    step: Callable[[Fitting, Any], Fitting]
    expected: bytes

    def __call__(self, fitting: Fitting, block: Any) -> Fitting:
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
    """Read the first, the middle and the last of the given blocks.

    Parameters
    ----------
    blocks : Blocks
    positions : sequence of int

    Returns
    -------
    dict of int to bytes
        Their digests by their positions.
    """
    chosen = sorted({positions[at] for at in (0, len(positions) // 2, -1)})
    return _read(blocks, chosen)


def check_same(blocks: Blocks, progress: Progress) -> None:
    """Read some blocks again and compare them with what was read before.

    These are the held-out blocks that are known, and of the fitted blocks the first,
    the last and a random one between.

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
        The digest of each block, by its position.
    whose : str, default=""
        Whose blocks they are, for the message.

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
    found = map_blocks(blocks, digest, name="recognise", order=positions)
    return dict(zip(positions, found, strict=True))


_DIFFERS = "has other rows, columns or types than when the fit read it before"
_REMEDY = (
    "With `checkpoint` each read has to yield the same rows. Where they are drawn anew "
    "(augmented, sampled or shuffled without a seed), give a seed, or fit without "
    "`checkpoint`. Where the data have changed, remove the checkpoints to begin anew."
)
