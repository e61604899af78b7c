"""Pairing: collections are cut so that their blocks hold the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from incremental._blocks.assembly import Assembly, Output
from incremental._blocks.collection import Collection
from incremental._blocks.collections import as_collection, in_memory_with_first
from incremental._typing import Data


@dataclass(frozen=True)
class Aligned:
    """Collections whose blocks hold the same rows.

    Attributes
    ----------
    sources : dict of str to Collection
        The collections that are read, by name. A collection that a wrapper made is
        replaced by the collections that it was made from.
    outputs : tuple of Output
        How each piece of a block is made from the pieces of the sources.
    n_rows : tuple of int or None
        The number of rows of each block, if known.
    """

    sources: dict[str, Collection]
    outputs: tuple[Output, ...]
    n_rows: tuple[int, ...] | None

    def assembly(self, names: tuple[str, ...]) -> Assembly:
        """Return what makes a block of the pieces of the sources.

        Parameters
        ----------
        names : tuple of str
            The names of the sources, in the order in which their pieces come.
        """
        return Assembly(names, self.outputs)


def align(values: Mapping[str, Data]) -> Aligned:
    """Pair the rows of collections and cut them into blocks.

    Parameters
    ----------
    values : dict of str to dask collection or data in memory
        Data of ``n_samples`` rows each. All are cut where the first is cut, as far as
        their rows or divisions are known; `recut` counts the others. If the first is a
        dask collection, the others may be in memory. If the first is in memory, the
        others are computed, and all data are one block.

    Returns
    -------
    Aligned

    Raises
    ------
    TypeError
        If one is a dask collection of another kind.
    ValueError
        If the rows cannot be paired.
    """
    values = in_memory_with_first(values)
    collections = {name: as_collection(value) for name, value in values.items()}
    leader_name = next(iter(collections))
    collections = _without_shared(collections)
    leader = collections[leader_name].with_whole_rows(leader_name)
    # What a wrapper made is read from its source, in one graph with the others. If a
    # shuffle in the source were computed twice, it could order the rows differently.
    first = _sources(leader)[0]
    sources: dict[str, Collection] = {}
    outputs = []
    for name, one in collections.items():
        if name == leader_name:
            cut = leader
        elif one.mapped is not None and _sources(one)[0].has_index:
            cut = one  # its dataframes are cut below
        else:
            cut = one.cut_as(name, first, leader_name)
        found = _sources(cut)
        several = len(found) > 1
        names = tuple(f"{name} ({n})" if several else name for n in range(len(found)))
        for own, source in zip(names, found, strict=True):
            moved = cut.mapped is not None and name != leader_name
            sources[own] = source.cut_as(own, first, leader_name) if moved else source
        stages = () if cut.mapped is None else cut.mapped.stages
        outputs.append(Output(name, names, stages))
    lengths = [one.n_rows for one in sources.values() if one.n_blocks == first.n_blocks]
    known = next(filter(None, lengths), None)
    return Aligned(sources, tuple(outputs), known)


def _without_shared(collections: dict[str, Collection]) -> dict[str, Collection]:
    """Let an array forget how a wrapper made it, if another one was computed from it.

    The graph of the other array already has the tasks of the stages. If a fit ran the
    stages again, beside these tasks, a stage that draws at random would draw anew.

    Parameters
    ----------
    collections : dict of str to Collection
        All collections of a call, by name.

    Returns
    -------
    dict of str to Collection
        The same data. Arrays from which no other one was computed stay as they are.
    """
    held = {
        name
        for one in collections.values()
        if one.mapped is None
        for name in one.layer_names
    }
    return {
        name: one.unmapped() if one.mapped and held & set(one.layer_names) else one
        for name, one in collections.items()
    }


def _sources(collection: Collection) -> list[Collection]:
    """Return what is read for a collection: its sources if a wrapper made it."""
    if collection.mapped is None:
        return [collection]
    return [as_collection(source) for source in collection.mapped.sources]
