"""Claims: what was declared before the first evaluation gets a verdict, what was chosen later is exploratory.

Contrasts form two families. A *primary* contrast compares a strategy that resamples with its counterpart that does not;
all other declared contrasts are *secondary*. A contrast, an error rate or a region that was chosen after the first
evaluation gets numbers and no verdict.

The power of every family is planned before its fits: what it can find, and what equivalence would need.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import Any

import numpy as np

from imblab.stats import paired_tests
from imblab.stats.paired_tests import DIFFERENCE_TOLERANCE, FoldSpread, detectable_factor
from imblab.stats.standard_errors import TABLE_VERSION
from imblab.study import Registered, Strategy, Study
from imblab.text import capitalise, count_noun, join_words

#: The default primary contrast: SMOTE compared with its counterpart without resampling.
EQUAL_POLICY = ("smote_threshold", "threshold")
#: The names of the two families.
PRIMARY, SECONDARY = "primary", "secondary"
#: Data sets and studies that a sentence names.
_MAX_NAMES = 3
#: Measures that read the called classes, and with them a threshold.
_DECISION_NEEDS = ("label", "amount")
Pair = tuple[str, str]
#: Folds of a contrast that must be evaluated before its spread is taken from them.
MIN_OBSERVED_FOLDS = 5
#: The most repeats and outer folds that are considered as a way to equivalence.
MAX_REPEATS, MAX_OUTER_FOLDS = 100, 20
#: Scores of the primary measure by strategy, repeat and fold.
ObservedScores = Mapping[str, Mapping[tuple[int, int], float]]


def primary_contrasts(study: Study) -> tuple[Pair, ...]:
    """List the primary contrasts that a study declares, or those of the rule.

    By the rule it is ``smote_threshold - threshold`` or, without it, every pair that :func:`isolates_resampling`, in
    the order of the strategies. Among ``claims.contrasts``, the older spelling, the same rule chooses.

    Examples
    --------
    >>> smote = {"_target_": "imblearn.over_sampling.SMOTE"}
    >>> strategies = (Strategy("none"), Strategy("cut", threshold="tuned"), Strategy("both", smote, threshold="tuned"))
    >>> primary_contrasts(Study("s", 0, {}, (), strategies, ()))
    (('both', 'cut'),)
    """
    claims = study.claims
    if claims.primary is not None:
        return claims.primary
    if claims.contrasts is not None:
        return _choose_primary(study, claims.contrasts)
    return _choose_primary(study, tuple(product(study.strategy_names, study.strategy_names)))


def secondary_contrasts(study: Study) -> tuple[Pair, ...]:
    """List the secondary contrasts that a study declares, or each strategy against ``none``; without primary ones."""
    claims, names, primary = study.claims, study.strategy_names, primary_contrasts(study)
    declared = claims.secondary
    if declared is None and claims.primary is None:
        declared = claims.contrasts
    if declared is None:
        declared = tuple((name, "none") for name in names if name != "none") if "none" in names else ()
    return tuple(pair for pair in declared if pair not in primary)


def declared_contrasts(study: Study) -> tuple[Pair, ...]:
    """List all contrasts that a study declares: primary ones first, or in the order of ``claims.contrasts``."""
    claims = study.claims
    if claims.contrasts is not None and claims.primary is None and claims.secondary is None:
        return claims.contrasts
    return (*primary_contrasts(study), *secondary_contrasts(study))


def claimed_families(study: Study) -> tuple[tuple[Pair, ...], ...]:
    """List the families over which p-values are adjusted: those on record (an old one has one), else both."""
    record = study.claims.registered
    if record is None:
        return primary_contrasts(study), secondary_contrasts(study)
    if record.primary_contrasts is None:
        return (record.contrasts,)
    return record.primary_contrasts, tuple(c for c in record.contrasts if c not in record.primary_contrasts)


def claimed_contrasts(study: Study) -> tuple[Pair, ...]:
    """List the contrasts that can have a verdict: those on record, else those declared."""
    record = study.claims.registered
    return declared_contrasts(study) if record is None else record.contrasts


def family_names(study: Study) -> dict[Pair, str]:
    """Return the family of every declared and claimed contrast, ``primary`` or ``secondary``."""
    record = study.claims.registered
    primary = primary_contrasts(study)
    if record is not None:
        recorded = record.primary_contrasts
        recorded = _choose_primary(study, record.contrasts) if recorded is None else recorded
        primary = (*recorded, *(pair for pair in primary if pair not in record.contrasts))
    pairs = (*declared_contrasts(study), *claimed_contrasts(study))
    return {pair: PRIMARY if pair in primary else SECONDARY for pair in pairs}


def isolates_resampling(study: Study, a: str, b: str) -> bool:
    """Whether strategies a and b differ in the sampler alone, so that a - b may be a primary contrast.

    Only a has a sampler; weight, calibration and threshold rule are equal. The threshold must be chosen by scores
    rather than fixed, unless the primary measure reads no threshold: SMOTE at .5 compared with nothing at .5 is a moved
    threshold in disguise. False for strategies that are not in the study.
    """
    strategies = {s.name: s for s in study.strategies}
    if a not in strategies or b not in strategies:
        return False
    first, second = strategies[a], strategies[b]
    if first.sampler is None or second.sampler is not None or _policy(first) != _policy(second):
        return False
    needs = next((m.needs for m in study.measures if m.name == study.primary), _DECISION_NEEDS[0])
    return needs not in _DECISION_NEEDS or not isinstance(_policy(first)[0], (int, float))


def missing_primary_reason(study: Study) -> str:
    """Return why a study with samplers has no primary contrast, to follow "because"."""
    pairs = product(study.strategy_names, study.strategy_names)
    if any(isolates_resampling(study, a, b) for a, b in pairs):
        return "the study declares no contrast of strategies that differ in the sampler alone"
    if all(isinstance(_policy(s)[0], (int, float)) for s in study.strategies if s.sampler is not None):
        return "at a fixed threshold, moving the threshold alone could do the same"
    return "no strategy without a sampler shares its chosen threshold, weight and calibration"


def register_claims(study: Study, seen_before: Mapping[str, tuple[str, ...]] | None = None) -> Study:
    """Put what a study claims now on record, unless a record exists already.

    ``seen_before`` are the other studies with evaluations on the same rows, by data set; those that the claims name
    are added to every data set.
    """
    claims = study.claims
    if claims.registered is not None:
        return study
    known = seen_before or {}
    named = {name: dict.fromkeys((*known.get(name, ()), *claims.seen_before)) for name in (*study.datasets, *known)}
    seen = {name: tuple(studies) for name, studies in named.items() if studies}
    rope, repeats = dict(claims.rope), study.protocol.repeats
    declared, primary = declared_contrasts(study), primary_contrasts(study)
    kinds = {learner.name: learner.kind for learner in study.learners if learner.kind}
    record = Registered(*(study.primary, declared, claims.alpha, rope, repeats, primary, seen), kinds, TABLE_VERSION)
    return replace(study, claims=replace(claims, registered=record))


def exploratory_reasons(study: Study) -> Mapping[Pair, str | None]:
    """Give for every declared contrast why it is exploratory; None where it was claimed before the first evaluation.

    Examples
    --------
    >>> study = register_claims(Study("s", 0, {}, (), (Strategy("none"), Strategy("smote")), ()))
    >>> exploratory_reasons(replace(study, strategies=(*study.strategies, Strategy("adasyn"))))[("adasyn", "none")]
    'the contrast was not claimed before the first row'
    """
    changed, claimed = _describe_late_changes(study), set(claimed_contrasts(study))
    late = "the contrast was not claimed before the first row"
    return {pair: changed or (None if pair in claimed else late) for pair in declared_contrasts(study)}


def describe_seen_rows(study: Study, datasets: Iterable[str]) -> str:
    """Say in which other studies the rows of some data sets were seen before; empty where they were in none.

    Examples
    --------
    >>> study = register_claims(Study("s", 0, {"toy": {}}, (), (), ()), {"toy": ("first",)})
    >>> describe_seen_rows(study, ["toy"])
    "these rows were seen before, in study 'first'"
    >>> describe_seen_rows(study, ["toy", "other"])
    "the rows of toy were seen before, in study 'first'"
    """
    record, names = study.claims.registered, list(dict.fromkeys(datasets))
    seen = {name: record.seen_before[name] for name in names if record and record.seen_before.get(name)}
    if not seen:
        return ""
    rows = "these rows"
    if len(seen) < len(names):
        some = join_words(seen) if len(seen) <= _MAX_NAMES else f"{len(seen)} of {len(names)} data sets"
        rows = f"the rows of {some}"
    studies = dict.fromkeys(chain.from_iterable(seen.values()))
    listed = join_words(map(repr, studies), limit=_MAX_NAMES)
    return f"{rows} were seen before, in {'study' if len(studies) == 1 else 'studies'} {listed}"


def describe_before_fits(study: Study, datasets: Iterable[str]) -> list[str]:
    """Say before anything is fitted what the record of a study will make of its verdicts: rows seen, other repeats.

    Examples
    --------
    >>> study = register_claims(Study("s", 0, {}, (), (), ()))
    >>> describe_before_fits(replace(study, protocol=replace(study.protocol, repeats=5)), [])
    ["Study 's' was claimed with 1 repeat: the added repeats make every contrast exploratory, with numbers and without \
verdicts. To keep verdicts, ask with 5 repeats under a new name=..."]
    """
    record, notes = study.claims.registered, []
    if seen := describe_seen_rows(study, datasets):
        notes.append(f"{capitalise(seen)}: every verdict on them says so.")
    repeats = study.protocol.repeats
    if record is not None and repeats != record.repeats:
        claimed, asked = (count_noun(n, "repeat") for n in (record.repeats, repeats))
        is_more = repeats > record.repeats
        effect = "the added repeats make every contrast" if is_more else f"with {asked} every contrast is"
        text = f"Study {study.name!r} was claimed with {claimed}: {effect} exploratory, with numbers and without"
        notes.append(f"{text} verdicts. To keep verdicts, ask with {asked} under a new name=...")
    return notes


def _choose_primary(study: Study, contrasts: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """The default primary contrast if it is among some contrasts, else all that isolate resampling."""
    if EQUAL_POLICY in contrasts and isolates_resampling(study, *EQUAL_POLICY):
        return (EQUAL_POLICY,)
    return tuple(pair for pair in contrasts if isolates_resampling(study, *pair))


def _policy(strategy: Strategy) -> tuple[Any, Any, str]:
    """Everything but the sampler that changes decisions: threshold, weight and calibration."""
    threshold = strategy.space.get("threshold", strategy.threshold)
    return threshold, strategy.space.get("weight", strategy.weight), strategy.calibration


def _describe_late_changes(study: Study) -> str | None:
    """What differs from the record and concerns every contrast."""
    claims, record = study.claims, study.claims.registered
    if record is None:
        return None
    changes = []
    if study.primary != record.primary:
        changes.append(f"the primary measure was {record.primary}")
    if claims.alpha != record.alpha:
        changes.append(f"alpha was {record.alpha:g}")
    width, before = (rope.get(study.primary, math.nan) for rope in (claims.rope, record.rope))
    if width != before and not (math.isnan(width) and math.isnan(before)):
        changes.append(f"the region of {study.primary} was {'not set' if math.isnan(before) else f'±{before:g}'}")
    if study.protocol.repeats != record.repeats:
        changes.append(f"the number of repeats was {record.repeats}")
    return f"{' and '.join(changes)} before the first row" if changes else None


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
    """Yield the power of the families of one data set and learner, among the strategies that are ``applicable``."""
    names = family_names(study)
    for claimed in claimed_families(study):
        contrasts = [pair for pair in claimed if set(pair) <= set(applicable)]
        for family in (PRIMARY, SECONDARY):
            members = [pair for pair in contrasts if names[pair] == family]
            if members:
                spread = _observed_spread(scores or {}, members) or _planned_spread(study, family, sizes)
                yield _estimate_power(study, (*place, family), len(contrasts), sizes, spread)


def _observed_spread(scores: ObservedScores, contrasts: Sequence[Pair]) -> FoldSpread | None:
    """Pool the spread of the fold differences over contrasts that vary; None where too few folds are on record."""
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
