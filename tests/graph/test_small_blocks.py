"""Small blocks are read in one task."""

from collections import Counter

import dask.array as da
import numpy as np
import pytest

from incremental._graph.blocks import read_blocks
from incremental._graph.fold import Chain, Preparation, fold
from incremental._graph.shared_reductions import settle
from incremental._graph.small_blocks import separate
from incremental._graph.task_spec import DataNode, Task, TaskRef


def test_what_several_groups_need_is_shared_if_it_is_a_value():
    value = DataNode("value", 1)
    first = {"value": value, "a": Task("a", abs, TaskRef("value"))}
    second = {"b": Task("b", abs, TaskRef("value"))}
    one, other = separate([first, second])
    assert (list(one.own), list(one.shared), one.needs) == (
        ["a"],
        ["value"],
        ("value",),
    )
    assert (list(other.own), other.shared, other.needs) == (["b"], {}, ("value",))


def test_groups_that_need_the_same_read_are_not_separated():
    first = {"read": Task("read", int), "a": Task("a", abs, TaskRef("read"))}
    second = {"b": Task("b", abs, TaskRef("read"))}
    assert separate([first, second]) is None


def _collect(state, block):
    return (*state, *block["X"].ravel().tolist())


def folded(X, *prepares):
    blocks = settle(read_blocks({"X": X}))
    chains = [Chain((), _collect, prepare=one) for one in prepares or [None]]
    return fold(blocks, chains, order=range(len(blocks)), prefetch=9, together=5)


@pytest.mark.parametrize("chunks", [2, 3])
def test_blocks_that_share_a_read_are_taken_all_the_same(chunks, scheduler):
    stored = da.arange(60, chunks=4).reshape(-1, 1)
    assert folded(stored.rechunk({0: chunks})) == [tuple(range(60))]


def test_blocks_are_prepared_in_the_task_that_reads_them(scheduler):
    (state,) = folded(
        da.arange(40, chunks=2).reshape(-1, 1), Preparation(_double, "double")
    )
    assert state == tuple(range(0, 80, 2))


def test_chains_with_different_preparations_take_the_same_blocks(scheduler):
    X = da.arange(40, chunks=2).reshape(-1, 1)
    doubled, plain = folded(X, Preparation(_double, "double"), None)
    assert plain == tuple(range(40))
    assert doubled == tuple(range(0, 80, 2))


def _double(block):
    return block.replace(X=2 * block["X"])


def test_each_block_is_read_once():
    reads = Counter()

    def read(block, block_id=None):
        reads[block_id] += 1
        return block

    X = da.ones((40, 1), chunks=(2, 1)).map_blocks(read, meta=np.ones((0, 1)))
    folded(X)
    assert len(reads) == 20
    assert set(reads.values()) == {1}


def test_an_error_of_a_read_names_its_block():
    def fail(block, block_id=None):
        if block_id[0] == 7:
            raise ZeroDivisionError
        return block

    X = da.ones((40, 1), chunks=(2, 1)).map_blocks(fail, meta=np.ones((0, 1)))
    with pytest.raises(ZeroDivisionError) as caught:
        folded(X)
    assert caught.value.__notes__ == [
        "while computing block 7 (of 0 to 19), rows 14 to 15"
    ]


def test_an_error_of_a_preparation_names_its_block():
    X = da.arange(40, chunks=2).reshape(-1, 1)
    with pytest.raises(ZeroDivisionError) as caught:
        folded(X, Preparation(_fail_at_14, "fail"))
    assert caught.value.__notes__ == ["in block 7 (of 0 to 19), rows 14 to 15"]


def _fail_at_14(block):
    if block["X"][0, 0] == 14:
        raise ZeroDivisionError
    return block
