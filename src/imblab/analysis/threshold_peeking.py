"""Peeking at the threshold: the score that a threshold chosen on the test rows would claim, from the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis.evidence import CountsOfFolds
from imblab.analysis.optimism import ClaimGap, claim_gap, mean_gap
from imblab.findings import NOT_MADE, PASSED, Finding
from imblab.result import FamilyScores, Place, StudyResult
from imblab.stats.curves import HUNDREDTHS
from imblab.study import Measure
from imblab.text import count_noun, format_score, join_words

THRESHOLD_PEEKING = "threshold peeking"


def peeking_gaps(
    result: StudyResult,
    frame: pd.DataFrame,
    measure: Measure,
    function: Callable[..., Any],
    grids: Mapping[str, Sequence[float]],
) -> list[ClaimGap]:
    """Compare thresholds chosen on the test rows of each outer fold with those that were tuned on training rows.

    Parameters
    ----------
    result : StudyResult
        Its scores are the honest ones.
    frame : DataFrame
        The evidence, with counts at hundredths.
    measure : Measure
        A measure of counts; the one that the thresholds were tuned for.
    function : callable
        Of the measure: ``f(tn, fp, fn, tp)``, each an array over thresholds.
    grids : mapping of str to sequence of float
        The thresholds that each strategy with a tuned threshold may choose from, hundredths; other strategies are left
        out.

    Returns
    -------
    list of ClaimGap
        Per data set, learner and strategy of which the evidence holds a fold.
    """
    peeked = _best_scores(frame, function, grids, 1 if measure.greater_is_better else -1)
    gaps: list[ClaimGap] = []
    for scores in result.scores.values():
        gaps += _gaps_of_scores(scores, measure, peeked)
    return gaps


def _best_scores(
    frame: pd.DataFrame, function: Callable[..., Any], grids: Mapping[str, Sequence[float]], sign: int
) -> dict[Place, dict[tuple[int, int], float]]:
    """Return the best score of each test part over the thresholds of its strategy, by place and fold."""
    best: dict[Place, dict[tuple[int, int], float]] = {}
    names = frame.strategy.astype("object").isin(list(grids)).to_numpy()
    counts = CountsOfFolds.from_frame(frame[names], "cut")
    for i, ((dataset, learner, strategy, repeat, fold), _) in enumerate(counts.cells):
        values = np.asarray(function(*counts[i].at(np.asarray(grids[strategy]))), dtype=np.float64)
        if np.isfinite(values).any():
            score = sign * float(np.nanmax(sign * values))
            best.setdefault((dataset, learner, strategy), {})[int(repeat), int(fold)] = score
    return best


def _gaps_of_scores(
    scores: FamilyScores, measure: Measure, peeked: Mapping[Place, Mapping[tuple[int, int], float]]
) -> Iterator[ClaimGap]:
    for i, strategy in enumerate(scores.strategies):
        place = scores.dataset, scores.learner, strategy
        known = peeked.get(place, {})
        claimed = np.array([known.get(fold, np.nan) for fold in scores.folds])
        honest = scores.values[measure.name][i]
        if (np.isfinite(claimed) & np.isfinite(honest)).any():
            sign = 1 if measure.greater_is_better else -1
            yield claim_gap(place, claimed, honest, (scores.n_train[i], scores.n_test[i]), sign)


def threshold_grid_of(grid: Sequence[float] | str) -> tuple[float, ...]:
    """Return the thresholds of a grid whose counts the evidence holds; all hundredths where it holds another one.

    Examples
    --------
    >>> threshold_grid_of((0.25, 0.5)), len(threshold_grid_of("observed")), len(threshold_grid_of((1 / 3,)))
    ((0.25, 0.5), 99, 99)
    """
    is_held = not isinstance(grid, str) and len(grid) > 0 and bool(np.isin(np.asarray(grid), HUNDREDTHS).all())
    return tuple(map(float, grid)) if is_held else HUNDREDTHS


def peeking_finding(gaps: Sequence[ClaimGap], measure: Measure, several_classes: Sequence[str] = ()) -> Finding:
    """Say what a threshold that is chosen on the test rows would claim.

    Parameters
    ----------
    gaps : sequence of ClaimGap
        As :func:`peeking_gaps` returns them; at least one.
    measure : Measure
        The measure that the thresholds were tuned for.
    several_classes : sequence of str, default=()
        Data sets with more than two classes, which are left out.

    Examples
    --------
    >>> mcc = Measure("mcc", "imblab.core.measures.mcc", "label", range=(-1, 1))
    >>> peeking_finding([ClaimGap("d", "l", "threshold", 0.625, 0.5, 0.125, 0.02, 5)], mcc).value
    0.125
    """
    claimed, honest, gap = mean_gap(gaps)
    worst = max(gaps, key=lambda each: each.gap)
    text = (
        f"No threshold of this study was chosen on test rows. Chosen there, fold by fold, it would claim a mean "
        f"{measure.name} of {format_score(claimed)} in place of {format_score(honest)} "
        f"({count_noun(len(gaps), 'combination')} of data set, learner and strategy with a tuned threshold); most for "
        f"{worst.describe()}.{_describe_left_out(several_classes)}"
    )
    details = {"claimed": claimed, "honest": honest, "gap": gap, "places": [asdict(each) for each in gaps]}
    return Finding(THRESHOLD_PEEKING, PASSED, text, gap, details={**details, "left_out": list(several_classes)})


def peeking_not_made(reason: str, way_out: str = "", several_classes: Sequence[str] = ()) -> Finding:
    """Say why nothing is said of thresholds that are chosen on test rows.

    Examples
    --------
    >>> peeking_not_made("no strategy tunes a threshold").state
    'not made'
    """
    text = f"What a threshold chosen on the test rows would claim is not known: {reason}."
    text += _describe_left_out(several_classes)
    return Finding(THRESHOLD_PEEKING, NOT_MADE, text, way_out=way_out)


def _describe_left_out(several_classes: Sequence[str]) -> str:
    if not several_classes:
        return ""
    verb = "has" if len(several_classes) == 1 else "have"
    return f" Left out: {join_words(several_classes)}, which {verb} more than two classes and as many thresholds."
