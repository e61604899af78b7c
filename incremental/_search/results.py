"""What a search tells of its candidates, in the forms of scikit-learn and dask-ml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from incremental._search.candidates import Candidate
from incremental._search.schedules import Bracket


def results_of(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return ``cv_results_``, with the keys of scikit-learn for each scorer."""
    results: dict[str, Any] = {
        "model_id": np.array([one.number for one in candidates]),
        "bracket": np.array([one.bracket for one in candidates]),
        "params": [one.params for one in candidates],
        "partial_fit_calls": np.array([one.calls for one in candidates]),
    }
    for name in candidates[0].scores:
        scores = np.array([one.scores[name] for one in candidates])
        known = np.where(np.isnan(scores), -np.inf, scores)
        ranks = [1 + int(np.sum(known > score)) for score in known]
        # There is one split, on which all candidates are scored.
        for key in (f"test_{name}", f"split0_test_{name}", f"mean_test_{name}"):
            results[key] = scores
        results[f"std_test_{name}"] = np.zeros(len(scores))
        results[f"rank_test_{name}"] = np.array(ranks, dtype=np.int32)
    for name in ("partial_fit_time", "score_time"):
        spent = [[record[name] for record in one.history] for one in candidates]
        results[f"mean_{name}"] = np.array([np.mean(one) for one in spent])
        results[f"std_{name}"] = np.array([np.std(one) for one in spent])
    for name in sorted({name for one in candidates for name in one.params}):
        column = np.ma.MaskedArray(
            np.empty(len(candidates), dtype=object), mask=True, dtype=object
        )
        for at, one in enumerate(candidates):
            if name in one.params:
                column[at] = one.params[name]
        results[f"param_{name}"] = column
    return results


def history_of(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    records = [record for one in candidates for record in one.history]
    return sorted(records, key=lambda record: record["elapsed_wall_time"])


def work_of(brackets: list[Bracket], candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return what a search has done, in the form of ``metadata``."""
    done = []
    for bracket in brackets:
        own = [one for one in candidates if one.bracket == bracket.number]
        scored = {at["partial_fit_calls"] for one in own for at in one.history}
        done.append(
            {
                "bracket": bracket.number,
                "n_models": len(own),
                "partial_fit_calls": sum(one.calls for one in own),
                "decisions": sorted(scored),
            }
        )
    return {
        "n_models": len(candidates),
        "partial_fit_calls": sum(one.calls for one in candidates),
        "brackets": done,
    }
