"""The recommendation: one strategy per data set and learner, per data set, and overall; a decision, not a verdict.

The rule is that of one standard error (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3): of all
strategies whose mean lies within one standard error of the best, the simplest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import paired
from imblab.analysis.across_datasets import AcrossDatasets, Parents, average_over_parents, dataset_means
from imblab.analysis.evidence import RowCovariances
from imblab.analysis.methods import short_label, strategy_named
from imblab.analysis.outer_splits import untested_reason
from imblab.analysis.summary import knob_values
from imblab.analysis.text_tables import median_thresholds
from imblab.result import Evaluation, Family, FamilyScores, KnobChoice, Recommendation, RecommendedStrategy
from imblab.stats.paired_tests import DIFFERENCE_TOLERANCE, estimate_contrasts
from imblab.study import Strategy, Study
from imblab.text import count_noun

#: Measures that a recommendation names next to the primary one, as far as the study has them.
NAMED_SCORES = ("mcc", "pr_auc", "recall", "precision")
#: What a margin is, where there is a standard error.
ONE_STANDARD_ERROR = "one standard error"
#: Reasons that are listed where nothing can be recommended.
_MAX_REASONS = 3
#: Why nothing can be recommended where verdicts run in a circle.
_ALL_WORSE = "verdicts call every strategy with a score in every fold worse than another one"


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A learner and a strategy with one score per unit: a fold, or a parent data set."""

    learner: str
    strategy: Strategy
    values: np.ndarray

    @property
    def pair(self) -> tuple[str, str]:
        return self.learner, self.strategy.name


#: Standard errors of the paired differences between the first candidate and each of the others; NaN without one.
_Errors = Callable[[_Candidate, Sequence[_Candidate]], np.ndarray]


def recommend(
    scores: Mapping[Family, FamilyScores],
    study: Study,
    contrasts: pd.DataFrame,
    parents: Parents | None = None,
    across: Iterable[AcrossDatasets] = (),
    provisional: str | None = None,
    covariances: Mapping[Family, RowCovariances] | None = None,
    classes: Mapping[str, tuple[str, ...]] | None = None,
) -> Recommendation:
    """Recommend one strategy for every data set and learner, for every data set, and over all data sets.

    Candidates are strategies with a score in every fold that no verdict calls worse than another one. Of those whose
    mean of the primary measure is worse than the best by no more than the standard error of that paired difference, the
    one with the fewest knobs in use is recommended (see :func:`knobs_in_use`), then one without a sampler, then the one
    with the better mean, then the first in declared order. Without a standard error (one split, folds that follow the
    time), the region of practical equivalence takes its place, or 0 without one. Over learners, candidates are the
    recommended pairs, the number of knobs does not count, and on a data set the standard error is that of the corrected
    t. Over data sets, scores are means over parent data sets, of strategies that are complete on all data sets; the
    standard error is that over parents, which takes two. For a study with one data set the recommendation over data
    sets is that of its data set.

    ``provisional`` says how much of the design is evaluated, where evaluations are missing. A
    :class:`.RecommendedStrategy` without a strategy names its reason.
    """
    families = {
        key: _recommend_family(each, study, contrasts, (covariances or {}).get(key)) for key, each in scores.items()
    }
    datasets = list(study.datasets) or list(dict.fromkeys(dataset for dataset, _ in scores))
    learners = [name for name in study.learner_names if any(learner == name for _, learner in scores)]
    by_dataset = {each: _recommend_dataset(each, families, scores, study) for each in datasets}
    if len(datasets) == 1:
        by_learner = {learner: families[datasets[0], learner] for learner in learners}
        only = Recommendation(families, by_dataset, by_learner, by_dataset[datasets[0]], provisional, classes or {})
        return _name_by_classes(only, study)
    verdicts = {each.learner: each.contrasts for each in across}
    units = {name: _complete_means(name, scores, datasets, study, parents) for name in learners}
    by_learner = {each: _recommend_learner(each, units[each], study, verdicts.get(each)) for each in learners}
    overall = _choose_pair(None, by_learner.values(), study, lambda n, s: units[n][s].to_numpy(), _parent_errors)
    overall, *of_learners = (_score_over_parents(e, scores, study, parents) for e in (overall, *by_learner.values()))
    by_learner = dict(zip(learners, of_learners, strict=True))
    over_all = Recommendation(families, by_dataset, by_learner, overall, provisional, classes or {})
    return _name_by_classes(over_all, study)


def knobs_in_use(strategy: Strategy) -> int:
    """Count the knobs in use: a sampler, a weight, a calibration, a threshold other than .5.

    Examples
    --------
    >>> knobs_in_use(Strategy("none")), knobs_in_use(Strategy("both", weight="balanced", threshold="tuned"))
    (0, 2)
    """
    is_weighted, is_moved = strategy.knobs.get("weight") is not None, strategy.knobs["threshold"] != 0.5
    return sum((strategy.sampler is not None, is_weighted, strategy.calibration != "none", is_moved))


def _name_by_classes(recommendation: Recommendation, study: Study) -> Recommendation:
    """Label strategies by the number of classes they decide between."""
    if not recommendation.classes:
        return recommendation
    strategies, everywhere = {s.name: s for s in study.strategies}, recommendation.has_two_classes

    def named(each: RecommendedStrategy) -> RecommendedStrategy:
        if each.strategy is None:
            return each
        has_two = everywhere if each.dataset is None else each.dataset not in recommendation.classes
        return replace(each, label=short_label(strategies[each.strategy], has_two))

    families = {key: named(each) for key, each in recommendation.families.items()}
    datasets = {key: named(each) for key, each in recommendation.datasets.items()}
    learners = {key: named(each) for key, each in recommendation.learners.items()}
    overall = named(recommendation.overall)
    return replace(recommendation, families=families, datasets=datasets, learners=learners, overall=overall)


def _recommend_family(
    scores: FamilyScores, study: Study, contrasts: pd.DataFrame, covariances: RowCovariances | None
) -> RecommendedStrategy:
    """Recommend a strategy for one data set and learner."""
    is_family = (contrasts.dataset == scores.dataset) & (contrasts.learner == scores.learner)
    missing = {s.name: paired.missing_reason(scores, s.name, study.primary) for s in study.strategies}
    complete = [
        _Candidate(scores.learner, s, paired.strategy_scores(scores, s.name, study.primary))
        for s in study.strategies
        if missing[s.name] is None
    ]
    reasons = [reason for reason in missing.values() if reason]
    why = _ALL_WORSE if complete else f"no strategy has a score in every fold: {'; '.join(reasons[:_MAX_REASONS])}"

    def errors(best: _Candidate, others: Sequence[_Candidate]) -> np.ndarray:
        pairs = [(best.strategy.name, each.strategy.name) for each in others]
        estimates = paired.estimate_family(scores, pairs, study, covariances)
        return np.array([estimates[pair].se for pair in pairs], dtype=np.float64)

    candidates = _drop_worse(complete, contrasts[is_family])
    chosen = _choose(scores.dataset, scores.learner, candidates, study, errors, why)
    left_out = tuple(name for name, reason in missing.items() if reason)
    passed_over = _passed_over(complete, candidates, study)
    return _with_fold_facts(replace(chosen, left_out=left_out, passed_over=passed_over), scores, study)


def _recommend_dataset(
    dataset: str, families: Mapping[Family, RecommendedStrategy], scores: Mapping[Family, FamilyScores], study: Study
) -> RecommendedStrategy:
    """Choose among learners on one data set, by the corrected t: no covariance over test rows is known between them."""

    def values(learner: str, strategy: str) -> np.ndarray:
        return paired.strategy_scores(scores[dataset, learner], strategy, study.primary)

    def errors(best: _Candidate, others: Sequence[_Candidate]) -> np.ndarray:
        if untested_reason(study, dataset):
            return np.full(len(others), math.nan)
        family = scores[dataset, best.learner]
        row = family.strategies.index(best.strategy.name)
        differences = np.stack([best.values - each.values for each in others])
        return estimate_contrasts(differences, family.n_train[row], family.n_test[row], study.claims.alpha).se

    of_learners = [families[dataset, n] for n in study.learner_names if (dataset, n) in families]
    chosen = _choose_pair(dataset, of_learners, study, values, errors, "one standard error of the corrected t")
    if chosen.learner is None:
        return chosen
    return _with_fold_facts(chosen, scores[dataset, chosen.learner], study)


def _recommend_learner(
    learner: str, means: pd.DataFrame, study: Study, contrasts: pd.DataFrame | None
) -> RecommendedStrategy:
    """Recommend a strategy for one learner, given its means over parent data sets (parents x complete strategies)."""
    complete = [_Candidate(learner, s, means[s.name].to_numpy()) for s in study.strategies if s.name in means.columns]
    candidates = complete if contrasts is None else _drop_worse(complete, contrasts)
    why = _ALL_WORSE if complete else "no strategy has a score in every fold of every data set"
    left_out = tuple(name for name in study.strategy_names if name not in means.columns)
    chosen = _choose(None, learner, candidates, study, _parent_errors, why)
    return replace(chosen, left_out=left_out, passed_over=_passed_over(complete, candidates, study))


def _choose_pair(
    dataset: str | None,
    of_learners: Iterable[RecommendedStrategy],
    study: Study,
    values: Callable[[str, str], np.ndarray],
    errors: _Errors,
    margin_source: str = ONE_STANDARD_ERROR,
) -> RecommendedStrategy:
    """Choose among the recommendations of the learners; the number of knobs does not count. A single one stays."""
    strategies, each_of = {s.name: s for s in study.strategies}, list(of_learners)
    if len(each_of) == 1:
        return each_of[0]
    candidates = [
        _Candidate(each.learner, strategies[each.strategy], values(each.learner, each.strategy))
        for each in each_of
        if each.learner is not None and each.strategy is not None
    ]
    reasons = [(each.reason, each.learner) for each in each_of if each.reason] or [("no evaluation is there yet", None)]
    why = reasons[0][0]
    if len({reason for reason, _ in reasons}) > 1:
        why = f"{why} ({reasons[0][1]}; nor is there one with {count_noun(len(reasons) - 1, 'other learner')})"
    chosen = _choose(dataset, None, candidates, study, errors, why, counts_knobs=False)
    if chosen.margin_source == ONE_STANDARD_ERROR:
        chosen = replace(chosen, margin_source=margin_source)
    return replace(chosen, left_out=next((r.left_out for r in each_of if r.learner == chosen.learner), ()))


def _choose(
    dataset: str | None,
    learner: str | None,
    candidates: Sequence[_Candidate],
    study: Study,
    errors: _Errors,
    why: str,
    counts_knobs: bool = True,
) -> RecommendedStrategy:
    """Apply the rule to candidates in declared order; ``why`` is the reason where there are none."""
    if not candidates:
        return RecommendedStrategy(dataset, learner, None, why)
    sign = study.primary_measure.sign
    values = [sign * float(each.values.mean()) for each in candidates]
    best = _first_best(range(len(candidates)), values)
    others = [i for i in range(len(candidates)) if i != best]
    margins = np.zeros(len(candidates))
    if others:
        margins[others] = errors(candidates[best], [candidates[i] for i in others])
    is_region = np.isnan(margins)
    margins[is_region] = study.claims.rope.get(study.primary, 0.0)
    kept = [i for i, margin in enumerate(margins) if values[best] - values[i] <= margin + DIFFERENCE_TOLERANCE]
    simplest = kept
    for cost in (knobs_in_use, _has_sampler) if counts_knobs else (_has_sampler,):
        least = min(cost(candidates[i].strategy) for i in simplest)
        simplest = [i for i in simplest if cost(candidates[i].strategy) == least]
    chosen = _first_best(simplest, values)
    strategy = candidates[chosen].strategy
    return RecommendedStrategy(
        dataset,
        candidates[chosen].learner,
        strategy.name,
        label=short_label(strategy),
        mean=sign * values[chosen],
        best=candidates[best].pair,
        best_mean=sign * values[best],
        margin=float(margins[chosen]),
        margin_source="the region of practical equivalence" if is_region[chosen] else ONE_STANDARD_ERROR,
        kept=tuple(candidates[i].pair for i in kept),
        units=candidates[chosen].values.size,
    )


def _first_best(indices: Iterable[int], values: Sequence[float]) -> int:
    """Return the first index whose value is equal to the highest within the tolerance."""
    indices = list(indices)
    top = max(values[i] for i in indices)
    return next(i for i in indices if top - values[i] <= DIFFERENCE_TOLERANCE)


def _has_sampler(strategy: Strategy) -> int:
    return int(strategy.sampler is not None)


def _drop_worse(candidates: Sequence[_Candidate], contrasts: pd.DataFrame) -> list[_Candidate]:
    """Leave out candidates that a verdict calls worse than another candidate."""
    names = {each.strategy.name for each in candidates}
    worse = {
        loser
        for a, b, verdict in zip(contrasts.a, contrasts.b, contrasts.verdict, strict=True)
        for loser, winner in ((a, b), (b, a))
        if verdict == ("worse" if loser == a else "better") and winner in names
    }
    return [each for each in candidates if each.strategy.name not in worse]


def _passed_over(complete: Sequence[_Candidate], candidates: Sequence[_Candidate], study: Study) -> tuple[str, ...]:
    """Name the strategies that are not candidates, although their mean is better than that of each candidate."""
    sign = study.primary_measure.sign
    means = {each.strategy.name: sign * float(each.values.mean()) for each in complete}
    names = {each.strategy.name for each in candidates}
    best = max((means[name] for name in names), default=math.inf)
    return tuple(name for name, mean in means.items() if name not in names and mean > best + DIFFERENCE_TOLERANCE)


def _parent_errors(best: _Candidate, others: Sequence[_Candidate]) -> np.ndarray:
    """Standard errors over parents of the mean paired differences; NaN for one parent and for constant differences."""
    differences = np.stack([best.values - each.values for each in others])
    n = differences.shape[1]
    if n < 2:
        return np.full(len(others), math.nan)
    errors = differences.std(axis=1, ddof=1) / math.sqrt(n)
    is_constant = (np.ptp(differences, axis=1) <= DIFFERENCE_TOLERANCE) & (
        np.abs(differences[:, 0]) > DIFFERENCE_TOLERANCE
    )
    return np.where(is_constant, math.nan, errors)


def _complete_means(
    learner: str, scores: Mapping[Family, FamilyScores], datasets: Sequence[str], study: Study, parents: Parents | None
) -> pd.DataFrame:
    """Means over parent data sets of the strategies of a learner that are complete on all data sets."""
    means, _ = dataset_means([each for each in scores.values() if each.learner == learner], study)
    if set(means.index) != set(datasets):
        return pd.DataFrame(index=means.index)
    return average_over_parents(means.dropna(axis=1), parents or {})


def _with_fold_facts(chosen: RecommendedStrategy, scores: FamilyScores, study: Study) -> RecommendedStrategy:
    """Add mean scores and chosen knobs of the folds."""
    if chosen.strategy is None:
        return chosen
    evaluations = scores.evaluations_of(chosen.strategy)
    knobs = [*_chosen_knobs(evaluations), *_chosen_thresholds(evaluations, strategy_named(study, chosen.strategy))]
    means = _mean_scores(scores, chosen.strategy, study)
    incomplete = _count_folds([scores], chosen.strategy, means)
    return replace(chosen, scores=means, incomplete=incomplete, knobs=tuple(knobs))


def _mean_scores(scores: FamilyScores, strategy: str, study: Study) -> dict[str, float]:
    """Means over the folds that have a score, by measure."""
    means = {}
    for measure in dict.fromkeys((study.primary, *NAMED_SCORES)):
        values = paired.strategy_scores(scores, strategy, measure)
        if np.isfinite(values).any():
            means[measure] = float(values[np.isfinite(values)].mean())
    return means


def _count_folds(families: Sequence[FamilyScores], strategy: str, names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Count the folds that have a score, and all folds, for the measures that are undefined in some."""
    known = {n: np.isfinite(np.concatenate([paired.strategy_scores(f, strategy, n) for f in families])) for n in names}
    return {name: (int(each.sum()), each.size) for name, each in known.items() if not each.all()}


def _score_over_parents(
    chosen: RecommendedStrategy, scores: Mapping[Family, FamilyScores], study: Study, parents: Parents | None
) -> RecommendedStrategy:
    """Add mean scores over parent data sets, of measures that every data set has."""
    if chosen.strategy is None:
        return replace(chosen, scores={})
    families = [each for (_, learner), each in scores.items() if learner == chosen.learner]
    of_datasets = {each.dataset: _mean_scores(each, chosen.strategy, study) for each in families}
    means = average_over_parents(pd.DataFrame.from_dict(of_datasets, orient="index"), parents or {})
    complete = {str(name): float(means[name].mean()) for name in means.columns if means[name].notna().all()}
    return replace(chosen, scores=complete, incomplete=_count_folds(families, chosen.strategy, complete))


def _chosen_knobs(evaluations: Sequence[Evaluation]) -> Iterator[KnobChoice]:
    """Yield the most frequent value of every knob, the threshold of two classes last."""
    ordered: dict[str, list[Any]] = {**knob_values(evaluations)}
    if thresholds := [each.single_threshold for each in evaluations if each.single_threshold is not None]:
        ordered["threshold"] = thresholds
    for name, items in ordered.items():
        is_number = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in items)
        counts = Counter(items)
        most = max(counts.values())
        modes = sorted((v for v, n in counts.items() if n == most), key=None if is_number else str)
        low, high = (float(min(items)), float(max(items))) if is_number else (None, None)
        yield KnobChoice(name, modes[(len(modes) - 1) // 2], most, len(items), low, high)


def _chosen_thresholds(evaluations: Sequence[Evaluation], strategy: Strategy) -> Iterator[KnobChoice]:
    """Yield the median thresholds of more than two classes, where they are chosen."""
    medians = median_thresholds(evaluations)
    if medians and not isinstance(strategy.knobs["threshold"], (int, float)):
        n_folds = len([each for each in evaluations if each.threshold is not None])
        yield KnobChoice("threshold", medians, n_folds, n_folds)
