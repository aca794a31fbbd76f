"""Optimism: what a search, or a threshold chosen on test rows, would claim, next to the score of the outer folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis.evidence import CountsOfFolds
from imblab.findings import CAUTION, NOT_MADE, PASSED, Finding
from imblab.result import FamilyScores, Place, StudyResult
from imblab.stats.curves import ALARM_MARGIN, ALARM_T, HUNDREDTHS
from imblab.stats.paired_tests import corrected_t
from imblab.study import Measure
from imblab.text import count_noun, format_difference, format_score, join_words

OPTIMISM = "optimism"
#: Stands for the strategy where the best of all strategies is chosen in every fold.
BEST_OF_ALL = "best of all strategies"
#: Stands for the data set of a mean over all of them.
ALL_DATASETS = "all data sets"
THRESHOLD_PEEKING = "threshold peeking"


@dataclass(frozen=True, slots=True)
class ClaimGap:
    """A claim and the score of the outer folds, means over the folds that have both."""

    dataset: str
    learner: str
    strategy: str
    #: the score that would be claimed, and the honest one
    claimed: float
    nested: float
    gap: float  # how much better the claim is than the honest score, for losses too
    se: float  # corrected standard error of the gap; NaN for one fold
    folds: int  # outer folds

    @property
    def place(self) -> Place:
        """Data set, learner and strategy."""
        return self.dataset, self.learner, self.strategy

    def exceeds(self, margin: float) -> bool:
        """Whether the gap is larger than a margin and than its error; a single fold has no error."""
        return self.gap > margin and (math.isnan(self.se) or self.gap > ALARM_T * self.se)

    def describe(self) -> str:
        """Return the place and both scores."""
        return f"{'/'.join(self.place)}: {format_score(self.claimed)} against {format_score(self.nested)}"


def claim_gap(place: Place, claimed: np.ndarray, honest: np.ndarray, rows: Sequence[np.ndarray], sign: int) -> ClaimGap:
    """Compare claims with honest scores, fold by fold; folds with a NaN are left out, and one at least has none.

    ``rows`` are the numbers of training and test rows of the folds; ``sign`` is 1 where more is better, else -1.

    Examples
    --------
    >>> rows = np.array([80, 80]), np.array([20, 20])
    >>> gap = claim_gap(("d", "l", "s"), np.array([0.6, 0.8]), np.array([0.4, 0.4]), rows, 1)
    >>> round(gap.claimed, 3), round(gap.nested, 3), round(gap.gap, 3), gap.folds
    (0.7, 0.4, 0.3, 2)
    """
    known = np.isfinite(claimed) & np.isfinite(honest)
    estimate = corrected_t(sign * (claimed - honest)[known], *(part[known] for part in rows))
    return ClaimGap(
        *place, float(claimed[known].mean()), float(honest[known].mean()), estimate.mean, estimate.se, int(known.sum())
    )


def search_gaps(result: StudyResult) -> tuple[list[ClaimGap], list[ClaimGap]]:
    """Compare inner scores of the primary measure with those of the outer folds.

    Returns one gap per data set, learner and strategy that searches anything, and one per data set and learner for the
    strategy with the best inner score in every fold; the latter where several strategies search.
    """
    measure = result.study.primary_measure
    by_place: list[ClaimGap] = []
    best_of_all: list[ClaimGap] = []
    for scores in result.scores.values():
        by_place += _gaps_of_family(scores, measure, _claims(scores))
        best_of_all += _best_of_family(scores, measure)
    return by_place, best_of_all


def _gaps_of_family(scores: FamilyScores, measure: Measure, claims: np.ndarray) -> Iterator[ClaimGap]:
    """Compare claims, strategies x folds, with honest scores; NaN stands for a missing claim."""
    sign, honest = measure.sign, scores.values[measure.name]
    for i, strategy in enumerate(scores.strategies):
        if (np.isfinite(claims[i]) & np.isfinite(honest[i])).any():
            place = scores.dataset, scores.learner, strategy
            yield claim_gap(place, claims[i], honest[i], (scores.n_train[i], scores.n_test[i]), sign)


def _best_of_family(scores: FamilyScores, measure: Measure) -> Iterator[ClaimGap]:
    sign, claims, honest = measure.sign, _claims(scores), scores.values[measure.name]
    searching = np.flatnonzero((np.isfinite(claims) & np.isfinite(honest)).any(axis=1))
    if len(searching) < 2:
        return
    claims, honest = claims[searching], honest[searching]
    ranked = np.where(np.isfinite(claims) & np.isfinite(honest), sign * claims, -np.inf)
    best = ranked.argmax(axis=0), np.arange(claims.shape[1])
    rows = scores.n_train[searching][best], scores.n_test[searching][best]
    yield claim_gap((scores.dataset, scores.learner, BEST_OF_ALL), claims[best], honest[best], rows, sign)


def _claims(scores: FamilyScores) -> np.ndarray:
    """Return the inner scores of the chosen candidates, strategies x folds; NaN where nothing was searched."""
    values = [[None if each is None else each.value for each in row] for row in scores.evaluations]
    return np.array(values, dtype=np.float64).reshape(len(scores.strategies), len(scores.folds))


def margin_of(measure: Measure) -> float:
    """Return the gap from which on a claim is too high; infinite for measures that are not on a bounded scale.

    Examples
    --------
    >>> margin_of(Measure("mcc", "imblab.core.measures.mcc", "label", range=(-1, 1)))
    0.05
    """
    return math.inf if None in measure.range else ALARM_MARGIN


def optimism_finding(by_place: Sequence[ClaimGap], best_of_all: Sequence[ClaimGap], measure: Measure) -> Finding:
    """Judge how much higher the scores of the search are than those of the outer folds; see :func:`search_gaps`.

    Examples
    --------
    >>> mcc = Measure("mcc", "imblab.core.measures.mcc", "label", range=(-1, 1))
    >>> optimism_finding([ClaimGap("d", "l", "s", 0.9, 0.4, 0.5, 0.02, 5)], [], mcc).state
    'caution'
    """
    if not by_place:
        text = "No strategy of the study searches a knob or tunes a threshold, so that no score of a search exists."
        return Finding(OPTIMISM, NOT_MADE, text, way_out="Nothing to do: only searches make such a claim.")
    claimed, nested, gap = mean_gap(by_place)
    worst = max(by_place, key=lambda each: each.gap)
    overall = [each for each in overall_gap(by_place) if each.exceeds(margin_of(measure))]
    cautions = [each for each in by_place if each.exceeds(margin_of(measure))]
    places = count_noun(len(by_place), "combination")
    text = (
        f"Over {places} of data set, learner and strategy the mean inner {measure.name} of the chosen candidates is "
        f"{format_score(claimed)}; on the outer folds they have {format_score(nested)}. The largest gap: "
        f"{worst.describe()}."
    )
    if best_of_all:
        best_claim, best_nested, _ = mean_gap(best_of_all)
        text += (
            f" The best inner score of all strategies would claim {format_score(best_claim)} in place of "
            f"{format_score(best_nested)}."
        )
    details: dict[str, Any] = {"claimed": claimed, "nested": nested, "gap": gap}
    details |= {"places": [*map(asdict, by_place)], "best_of_all": [*map(asdict, best_of_all)]}
    if not overall and not cautions:
        return Finding(OPTIMISM, PASSED, text, gap, details=details)
    margin = format_score(margin_of(measure))
    bounds = f"{margin} and {ALARM_T:g} standard errors"
    if overall:
        text += f" Over the data sets the gap is {format_difference(overall[0].gap)}, more than {bounds}."
    if cautions:
        bounds = margin if all(math.isnan(each.se) for each in cautions) else bounds  # one fold has no standard error
        most = max(cautions, key=lambda each: each.gap)
        text += (
            f" Over its own folds the gap of {count_noun(len(cautions), 'combination is', 'combinations are')} above "
            f"{bounds}, most {'/'.join(most.place)} ({format_difference(most.gap)})."
        )
    way_out = "Report the scores of the outer folds, as this study does; the best score of a search overstates."
    return Finding(OPTIMISM, CAUTION, text, gap, way_out, details)


def overall_gap(gaps: Sequence[ClaimGap]) -> list[ClaimGap]:
    """Return the mean over data sets of their mean gaps, with its standard error; empty for fewer than two of them.

    Examples
    --------
    >>> gaps = [ClaimGap(name, "l", "s", 0.75, 0.5, gap, 0.02, 5) for name, gap in (("a", 0.25), ("b", 0.125))]
    >>> overall_gap(gaps)[0].gap, overall_gap(gaps)[0].se
    (0.1875, 0.0625)
    """
    by_dataset: dict[str, list[ClaimGap]] = {}
    for each in gaps:
        by_dataset.setdefault(each.dataset, []).append(each)
    if len(by_dataset) < 2:
        return []
    means = np.array([mean_gap(members) for members in by_dataset.values()])
    claimed, nested, gap = means.mean(axis=0).tolist()
    error = float(means[:, 2].std(ddof=1) / math.sqrt(len(means)))
    return [ClaimGap(ALL_DATASETS, "", "", claimed, nested, gap, error, sum(each.folds for each in gaps))]


def mean_gap(gaps: Sequence[ClaimGap]) -> tuple[float, float, float]:
    """Return the means of the claims, of the honest scores and of the gaps.

    Examples
    --------
    >>> mean_gap([ClaimGap("d", "l", "s", 0.75, 0.5, 0.25, 0.02, 5)])
    (0.75, 0.5, 0.25)
    """
    claimed, nested, gap = np.mean([[each.claimed, each.nested, each.gap] for each in gaps], axis=0).tolist()
    return claimed, nested, gap


def peeking_gaps(
    result: StudyResult,
    frame: pd.DataFrame,
    measure: Measure,
    function: Callable[..., Any],
    grids: Mapping[str, Sequence[float]],
) -> list[ClaimGap]:
    """Compare thresholds chosen on the test rows of each outer fold with those that were tuned on training rows.

    The scores of ``result`` are the honest ones, ``frame`` is the evidence. ``function`` is that of the measure that
    the thresholds were tuned for, ``f(tn, fp, fn, tp)``, each an array over thresholds. ``grids`` are the hundredths
    that strategies with a tuned threshold may choose from; other strategies are left out. Returns one gap per data set,
    learner and strategy of which the evidence holds a fold.
    """
    peeked = _best_scores(frame, function, grids, measure.sign)
    gaps: list[ClaimGap] = []
    for scores in result.scores.values():
        places = [(scores.dataset, scores.learner, strategy) for strategy in scores.strategies]
        claims = np.array([[peeked.get((place, fold), math.nan) for fold in scores.folds] for place in places])
        gaps += _gaps_of_family(scores, measure, claims)
    return gaps


def _best_scores(
    frame: pd.DataFrame, function: Callable[..., Any], grids: Mapping[str, Sequence[float]], sign: int
) -> dict[tuple[Place, tuple[int, int]], float]:
    """Return the best score of each test part over the thresholds of its strategy, by place and fold."""
    best: dict[tuple[Place, tuple[int, int]], float] = {}
    names = frame.strategy.astype("object").isin(list(grids)).to_numpy()
    counts = CountsOfFolds.from_frame(frame[names], "cut")
    for i, ((dataset, learner, strategy, repeat, fold), _) in enumerate(counts.cells):
        values = np.asarray(function(*counts[i].at(np.asarray(grids[strategy]))), dtype=np.float64)
        if np.isfinite(values).any():
            best[(dataset, learner, strategy), (int(repeat), int(fold))] = sign * float(np.nanmax(sign * values))
    return best


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
    """Say what a threshold that is chosen on the test rows would claim, by one or more gaps of :func:`peeking_gaps`.

    ``several_classes`` are data sets with more than two classes, which are left out.

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
    details: dict[str, Any] = {"claimed": claimed, "honest": honest, "gap": gap, "places": [*map(asdict, gaps)]}
    return Finding(THRESHOLD_PEEKING, PASSED, text, gap, details=details | {"left_out": list(several_classes)})


def peeking_not_made(reason: str, way_out: str = "", several_classes: Sequence[str] = ()) -> Finding:
    """Say why nothing is said of thresholds that are chosen on test rows.

    Examples
    --------
    >>> peeking_not_made("no strategy tunes a threshold").state
    'not made'
    """
    text = f"What a threshold chosen on the test rows would claim is not known: {reason}."
    return Finding(THRESHOLD_PEEKING, NOT_MADE, f"{text}{_describe_left_out(several_classes)}", way_out=way_out)


def _describe_left_out(several_classes: Sequence[str]) -> str:
    if not several_classes:
        return ""
    verb = "has" if len(several_classes) == 1 else "have"
    return f" Left out: {join_words(several_classes)}, which {verb} more than two classes and as many thresholds."
