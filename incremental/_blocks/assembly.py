"""`Assembly`: how the pieces that tasks yield become a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from incremental._blocks.block import Block
from incremental._blocks.stages import Stage, apply_once, local_suffix
from incremental._blocks.targets import as_target
from incremental._typing import Piece


class Output(NamedTuple):
    """A recipe for one piece of a block.

    Attributes
    ----------
    name : str
        The name of the piece.
    sources : tuple of str
        The names of the pieces that it is made from, as they are read.
    stages : tuple of Stage
        The stages that these go through. If there are several sources, the first
        stage takes a tuple of their pieces.
    """

    name: str
    sources: tuple[str, ...]
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Assembly:
    """A function that makes a block of the pieces that were read for it.

    Parameters
    ----------
    names : tuple of str
        The names of the pieces that are read, in order.
    outputs : tuple of Output
        How the pieces of the block are made, in order.
    """

    names: tuple[str, ...]
    outputs: Sequence[Output]

    def __call__(self, *pieces: Piece) -> Block:
        """Return the block that is made of the pieces in the order of `names`."""
        read = dict(zip(self.names, pieces, strict=True))
        made: dict[str, Piece] = {}
        results: dict[str, Piece] = {}
        for name, sources, stages in self.outputs:
            several = tuple(read[source] for source in sources)
            piece = several if len(several) > 1 else several[0]
            made[name] = apply_once(stages, piece, results)
        if "y" in made:
            made["y"] = as_target(made["y"])
        return Block(made)

    @property
    def has_stages(self) -> bool:
        """Whether any piece of a block goes through stages."""
        return any(output.stages for output in self.outputs)

    def without_local_stages(self, name: str) -> tuple[Assembly, tuple[Stage, ...]]:
        """Take the last row-local stages of a piece out of the assembly.

        Parameters
        ----------
        name : str
            The name of the piece.

        Returns
        -------
        assembly : Assembly
            An assembly without these stages.
        stages : tuple of Stage
            The stages that were taken out.
        """
        left: tuple[Stage, ...] = ()
        outputs = []
        for output in self.outputs:
            if output.name == name:
                left = local_suffix(output.stages)
                kept = output.stages[: len(output.stages) - len(left)]
                output = output._replace(stages=kept)
            outputs.append(output)
        return replace(self, outputs=tuple(outputs)), left
