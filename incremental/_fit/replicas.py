"""`arrange_replicas`: copies of an estimator that learn from different blocks.

After each pass their parameters are averaged (iterative parameter mixing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest

from sklearn.base import clone

from incremental._estimators.average import average
from incremental._estimators.composition import last_step, with_last_step
from incremental._estimators.copying import copy_estimator
from incremental._fit.chains import Arrangement, arrange
from incremental._fit.plan import FitPlan
from incremental._fit.progress import DIGEST_SIZE, Progress
from incremental._fit.progressive import Tally
from incremental._fit.step import Fitting
from incremental._typing import Estimator


def arrange_replicas(
    plan: FitPlan,
    fresh: Estimator,
    progress: Progress,
    n_replicas: int,
    expected: bytes | None,
) -> Arrangement:
    """Make a chain for each replica, which takes its share of the blocks of a pass.

    The first replica takes the first block of the pass and each `n_replicas`-th after
    it, the second replica those that follow, and so on.

    Parameters
    ----------
    plan : FitPlan
    fresh : estimator
        An estimator that is not fitted. It is cloned.
    progress : Progress
        How far the fit has come. It has the order of the pass.
    n_replicas : int
    expected : bytes or None
        As for `arrange`.

    Returns
    -------
    Arrangement
        What `join` returns has the states of the replicas. What `finish` returns has
        the averaged estimator.
    """
    plan = replace(plan, parts=None)
    begun = progress.fitting
    states = begun.replicas or _copies(begun, fresh, n_replicas)
    arranged = [
        arrange(plan, fresh, state, _share(expected, number, n_replicas))
        for number, state in enumerate(states)
    ]
    # What is done to a block before does not depend on which replica takes it.
    prepare = arranged[0].chains[0].prepare
    chains = [
        chain._replace(
            uses=frozenset(progress.order[number::n_replicas]), prepare=prepare
        )
        for number, one in enumerate(arranged)
        for chain in one.chains
    ]
    join = partial(_join, begun, progress.before or Fitting(None))

    def finish() -> Fitting:
        return _average(join([one.finish() for one in arranged]))

    return Arrangement(chains, join, finish)


def _copies(begun: Fitting, fresh: Estimator, n_replicas: int) -> list[Fitting]:
    """Return the states of replicas at the beginning of a pass. Their counts are 0."""
    estimator = begun.estimator
    if estimator is None:
        estimator = clone(fresh, safe=False)
    return [
        Fitting(copy_estimator(estimator), begun.columns, mixing=begun.mixing)
        for _ in range(n_replicas)
    ]


def _share(expected: bytes | None, number: int, n_replicas: int) -> bytes | None:
    """Return the digests of the blocks that one replica takes."""
    if expected is None:
        return None
    return b"".join(_digests(expected)[number::n_replicas])


def _digests(joined: bytes) -> list[bytes]:
    starts = range(0, len(joined), DIGEST_SIZE)
    return [joined[at : at + DIGEST_SIZE] for at in starts]


def _join(begun: Fitting, before: Fitting, states: Sequence[Fitting]) -> Fitting:
    """Return one fitting that holds the states of all replicas.

    Parameters
    ----------
    begun : Fitting
        What it replaces. Its estimator is that of the beginning of the pass.
    before : Fitting
        The counts at the beginning of the pass.
    states : sequence of Fitting
    """
    turns = zip_longest(*(_digests(one.digests) for one in states), fillvalue=b"")
    columns = (one.columns for one in states if one.columns is not None)
    tallies = zip_longest(
        before.tallies, *(one.tallies for one in states), fillvalue=Tally()
    )
    return begun._replace(
        replicas=tuple(states),
        columns=next(columns, None),
        n_rows=before.n_rows + sum(one.n_rows for one in states),
        merit=before.merit + sum(one.merit for one in states),
        n_judged=before.n_judged + sum(one.n_judged for one in states),
        has_loss=any(one.has_loss for one in states),
        digests=b"".join(part for turn in turns for part in turn),
        rounded=before.rounded or any(one.rounded for one in states),
        tallies=tuple(_sum(own) for own in tallies),
    )


def _sum(tallies: Sequence[Tally]) -> Tally:
    return Tally(*map(sum, zip(*tallies, strict=True)))


def _average(fitting: Fitting) -> Fitting:
    """Return the fitting with the average of its replicas as its estimator.

    A replica counts by the rows that it learned from in the pass.
    """
    learned = [one for one in fitting.replicas if one.n_rows]
    fitting = fitting._replace(replicas=(), mixing=type(fitting.mixing)())
    if not learned:
        return fitting
    averaged = average(
        *(last_step(one.estimator) for one in learned),
        weights=[one.n_rows for one in learned],
    )
    estimator = with_last_step(learned[0].estimator, averaged)
    return fitting._replace(estimator=estimator)
