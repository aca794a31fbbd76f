"""Power of every family of a study before its fits: what it can find, and what equivalence would need."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imblab.analysis.claims import PRIMARY, SECONDARY, Pair, claimed_families, family_names
from imblab.stats import paired_tests
from imblab.stats.paired_tests import DIFFERENCE_TOLERANCE, FoldSpread, detectable_factor
from imblab.study import Study

#: Folds of a contrast that must be evaluated before its spread is taken from them.
MIN_OBSERVED_FOLDS = 5
#: The most repeats and outer folds that are considered as a way to equivalence.
MAX_REPEATS, MAX_OUTER_FOLDS = 100, 20
#: Scores of the primary measure by strategy, repeat and fold.
ObservedScores = Mapping[str, Mapping[tuple[int, int], float]]


@dataclass(frozen=True, slots=True)
class FoldSizes:
    """Outer folds of a data set."""

    #: number of repeats, and of test parts in each
    repeats: int
    per_repeat: int
    ratio: float  # test rows over training rows
    positives: float  # positive rows per test part; with more than two classes the rows outside the most frequent class
    is_timed: bool = False  # whether the folds follow the time, which excludes a test
    #: whether a column says which folds there are, so that there can be neither more repeats nor other folds
    is_predefined: bool = False
    n_classes: int = 2  # number of classes


@dataclass(frozen=True, slots=True)
class FamilyPower:
    """Power of the contrasts of a data set and learner; differences are in units of the primary measure.

    ``detectable`` is the true difference found with 80 % power at the first step of Holm's method, ``equivalence`` the
    half-width of the smallest region within which 80 % of such studies show equivalence of equal strategies. What is
    needed would reach it by itself; None where it cannot, or is not needed.
    """

    dataset: str
    learner: str
    family: str  # ``primary`` or ``secondary``
    contrasts: int  # over which p-values are adjusted
    reason: str | None = None  # why nothing is tested; everything below is None then
    detectable_sd: float | None = None  # in standard deviations of the fold differences
    equivalence_sd: float | None = None  # the smallest region, in the same unit
    spread: FoldSpread | None = None  # None where nothing was observed and no planned value is known
    detectable: float | None = None
    detectable_low: float | None = None  # its range by the spread
    detectable_high: float | None = None
    equivalence: float | None = None
    region: float | None = None  # the half-width that is claimed
    is_reached: bool = False  # whether ``equivalence`` is at most ``region``
    repeats_needed: int | None = None
    folds_needed: int | None = None
    positives_needed: int | None = None


def plan_power(
    study: Study,
    place: tuple[str, str],
    sizes: FoldSizes,
    applicable: Collection[str],
    scores: ObservedScores | None = None,
) -> Iterator[FamilyPower]:
    """Yield the power of the families of one data set and learner.

    Parameters
    ----------
    study : Study
        The question.
    place : (str, str)
        Data set and learner.
    sizes : FoldSizes
        Outer folds of the data set.
    applicable : collection of str
        Strategies that apply there; contrasts of others are in no family.
    scores : mapping, optional
        Scores on these folds that are on record.
    """
    names = family_names(study)
    for claimed in claimed_families(study):
        contrasts = [pair for pair in claimed if set(pair) <= set(applicable)]
        for family in (PRIMARY, SECONDARY):
            members = [pair for pair in contrasts if names[pair] == family]
            if members:
                spread = _observed_spread(scores or {}, members) or _planned_spread(study, family, sizes)
                yield _estimate_power(study, (*place, family), len(contrasts), sizes, spread)


def _observed_spread(scores: ObservedScores, contrasts: Sequence[Pair]) -> FoldSpread | None:
    """Pool the spread of the fold differences over contrasts; None where too few folds are on record.

    Contrasts whose differences do not vary are left out.
    """
    variances, n_folds = [], []
    for a, b in contrasts:
        folds = sorted(scores.get(a, {}).keys() & scores.get(b, {}).keys())
        differences = np.array([scores[a][fold] - scores[b][fold] for fold in folds])
        if len(folds) >= MIN_OBSERVED_FOLDS and differences.std() > DIFFERENCE_TOLERANCE:
            variances.append(differences.var(ddof=1))
            n_folds.append(len(folds))
    if not variances:
        return None
    center, (low, high) = math.sqrt(np.mean(variances)), paired_tests.spread_range(min(n_folds))
    return FoldSpread(center, center / high, center / low, min(n_folds))


def _planned_spread(study: Study, family: str, sizes: FoldSizes) -> FoldSpread | None:
    spreads = paired_tests.PLANNED_SPREADS if sizes.n_classes == 2 else paired_tests.CLASS_PLANNED_SPREADS
    planned = spreads.get((study.primary_measure.function, family))
    if planned is None or not sizes.positives:
        return None
    root = math.sqrt(sizes.positives)
    return FoldSpread(planned.center / root, planned.low / root, planned.high / root)


def _estimate_power(
    study: Study, place: tuple[str, str, str], n_contrasts: int, sizes: FoldSizes, spread: FoldSpread | None
) -> FamilyPower:
    n_folds, level = sizes.repeats * sizes.per_repeat, study.claims.alpha / n_contrasts
    if sizes.is_timed or n_folds < 2:
        reason = "folds follow the time" if sizes.is_timed else "there is one test part"
        return FamilyPower(*place, n_contrasts, f"no test, since {reason}")
    factor = detectable_factor(n_folds, sizes.ratio, level)
    smallest = paired_tests.equivalence_factor(n_folds, sizes.ratio, level)
    if spread is None:
        return FamilyPower(*place, n_contrasts, None, factor, smallest)
    differences = (factor * spread.center, factor * spread.low, factor * spread.high)
    region, equivalence = study.claims.rope.get(study.primary), smallest * spread.center
    is_reached = region is not None and equivalence <= region
    needs = (None,) * 3 if is_reached or not region else _find_ways(sizes, spread.center, region, level)
    return FamilyPower(
        *place, n_contrasts, None, factor, smallest, spread, *differences, equivalence, region, is_reached, *needs
    )


def _find_ways(sizes: FoldSizes, spread: float, region: float, level: float) -> tuple[int | None, int | None, int]:
    """Repeats, folds and positives that would each show equivalence within a region.

    The spread falls with the root of the positives per test part, and so rises with the number of folds. A hold-out,
    with one test part per repeat, stays one.
    """
    is_holdout = sizes.per_repeat == 1

    def is_shown(repeats: int, per_repeat: int, ratio: float) -> bool:
        factor = paired_tests.equivalence_factor(repeats * per_repeat, ratio, level)
        return factor * spread * math.sqrt(per_repeat / sizes.per_repeat) <= region

    more = range(sizes.repeats + 1, sizes.repeats + 1 if sizes.is_predefined else MAX_REPEATS + 1)
    enough = bisect_left(more, True, key=lambda n: is_shown(n, sizes.per_repeat, sizes.ratio))
    repeats = more[enough] if enough < len(more) else None
    finer = range(sizes.per_repeat + 1, 0 if is_holdout or sizes.is_predefined else MAX_OUTER_FOLDS + 1)
    folds = next((n for n in finer if is_shown(sizes.repeats, n, 1 / (n - 1))), None)
    now = paired_tests.equivalence_factor(sizes.repeats * sizes.per_repeat, sizes.ratio, level) * spread
    # A hold-out tests a part of the positives.
    n_positives = sizes.positives * ((1 + sizes.ratio) / sizes.ratio if is_holdout else sizes.per_repeat)
    return repeats, folds, math.ceil(n_positives * (now / region) ** 2)
