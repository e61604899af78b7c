"""Schedules are tables, whose work can be counted before anything runs."""

import pytest

from incremental._search.schedules import (
    Rung,
    describe,
    halving,
    hyperband,
    scored_every,
    without_cuts,
)


def test_a_halving_keeps_one_in_so_many_at_each_rung():
    assert halving(10, 5, None, 3).rungs == [Rung(5, 3), Rung(15, 1), Rung(45, 0)]


def test_a_halving_ends_where_max_iter_is():
    assert halving(10, 5, 20, 3).rungs == [Rung(5, 3), Rung(15, 1), Rung(20, 0)]
    assert halving(10, 5, 5, 3).rungs == [Rung(5, 0)]


def test_a_halving_of_few_candidates_has_one_rung():
    assert halving(2, 4, None, 3).rungs == [Rung(4, 0)]


@pytest.mark.parametrize("max_iter", [1, 2, 9, 10, 27, 50, 243])
def test_no_candidate_of_hyperband_takes_more_than_max_iter(max_iter):
    brackets = hyperband(max_iter, 3)
    assert max(one.rungs[-1].calls for one in brackets) == max_iter
    for one in brackets:
        calls = [rung.calls for rung in one.rungs]
        assert calls == sorted(set(calls))
        assert calls[0] >= 1
        assert calls[-1] <= max_iter


def test_the_brackets_of_hyperband_are_those_of_the_paper():
    begun = [(one.n_models, one.rungs[0].calls) for one in hyperband(81, 3)]
    assert begun == [(81, 1), (34, 3), (15, 9), (8, 27), (5, 81)]


def test_more_scores_leave_the_cuts_and_the_work_as_they_were():
    bracket = halving(9, 4, None, 3)
    more = scored_every(bracket, 6)
    assert [rung for rung in more.rungs if rung.keep is not None] == bracket.rungs
    assert [rung.calls for rung in more.rungs] == [4, 6, 12, 18, 24, 30, 36]
    assert more.n_calls == bracket.n_calls


def test_the_work_of_a_schedule_is_counted():
    work = describe([without_cuts(4, 10), halving(9, 1, None, 3, number=1)])
    assert work["n_models"] == 13
    assert work["partial_fit_calls"] == 40 + 9 + 3 * 2 + 1 * 6
    assert work["brackets"][1]["decisions"] == [1, 3, 9]
