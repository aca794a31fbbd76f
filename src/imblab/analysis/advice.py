"""The recommendation in sentences, and the strategies that are exported by it.

What to use, by which steps of the rule, and how far it is from its counterpart; per data set the recommended strategy,
or the one that was named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.claims import PRIMARY, isolates_resampling
from imblab.analysis.methods import chooses_threshold, describe_use, name_treatment, named, strategy_named
from imblab.analysis.outer_splits import count_test_parts
from imblab.analysis.recommendation import NAMED_SCORES
from imblab.analysis.text_tables import format_thresholds, percent
from imblab.analysis.wording import DECIDED, append_counts, format_changes
from imblab.errors import StudyError, combined, unknown
from imblab.result import KnobChoice, Recommendation, RecommendedStrategy, StudyResult
from imblab.study import Study
from imblab.text import count_noun, format_knob, format_score, join_words

#: Means that differ by no more are tied: the first in the order of the study is selected.
MAX_TIED_DIFFERENCE = 1e-12
#: Sizes of a gain that the intervals may rule out, of measures with a region of practical equivalence.
_GAINS = (0.05, 0.1)
#: Further recommendations that a sentence lists.
_MAX_PLACES = 3


@dataclass(frozen=True, slots=True)
class Selection:
    """A data set, learner and strategy of a study, and why it is exported, in sentences."""

    dataset: str
    learner: str
    strategy: str
    reason: str

    @property
    def key(self) -> str:
        """``dataset/learner/strategy``."""
        return f"{self.dataset}/{self.learner}/{self.strategy}"


def select_strategies(result: StudyResult, choice: Mapping[str, str]) -> list[Selection]:
    """Select for every data set the recommended learner and strategy, in the order of the study.

    ``choice`` restricts the selection by ``dataset``, ``learner`` and ``strategy``; with a strategy named, the learner
    with the best mean is selected. In an incomplete design learner and strategy must both be named. Data sets without
    one are left out, see :func:`describe_left_out`; StudyError if all are.
    """
    by_dataset = _rows_by_dataset(result, choice)
    reasons = _reasons_left_out(by_dataset, result, choice)
    if len(reasons) == len(by_dataset):
        names = {} if "strategy" in choice else dict.fromkeys(n for rows in by_dataset.values() for n in rows.strategy)
        way_out = f"Name strategy=... ({join_words(names)})" if names else f"See imblab compare {result.study.name}"
        text = "; ".join(f"{name!r}, {reason}" for name, reason in reasons.items())
        raise StudyError(
            f"study {result.study.name!r} has nothing to export: {text}; a model is exported with its scores, one for "
            f"each data set. {way_out}."
        )
    return [_best(rows, result, choice) for name, rows in by_dataset.items() if name not in reasons]


def describe_left_out(result: StudyResult, choice: Mapping[str, str]) -> list[str]:
    """Return a sentence for each data set for which :func:`select_strategies` finds nothing."""
    reasons = _reasons_left_out(_rows_by_dataset(result, choice), result, choice)
    return [f"{name}: not exported, {reason}." for name, reason in reasons.items()]


def _rows_by_dataset(result: StudyResult, choice: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return the strategies asked for that have a mean, by data set."""
    summary, study = result.summary, result.study
    errors = []
    for kind, name in choice.items():
        names = list(dict.fromkeys(summary[kind])) if len(summary) else []
        if name in names:
            summary = summary[summary[kind] == name]
        else:
            errors.append(StudyError(unknown(kind if kind != "dataset" else "data set", name, names)))
    if errors:
        raise combined(errors)
    scored = summary[(summary.ok == summary.folds) & summary["mean"].notna()] if len(summary) else summary
    if not len(scored):
        raise StudyError(
            f"study {study.name!r} has no strategy with a {study.primary} in every fold among those asked for; a model "
            f"is exported with its scores. Finish it with imblab run, or see imblab compare {study.name}."
        )
    if not result.completeness.is_complete and not {"learner", "strategy"} <= set(choice):
        raise StudyError(
            f"study {study.name!r} is incomplete: {result.completeness.counted} are there; nothing is selected before "
            "the design is complete. Finish it with imblab run, or name learner=... and strategy=... to export that "
            "pair as it stands, which its card says."
        )
    names = [choice["dataset"]] if "dataset" in choice else [*study.datasets, *result.summary.dataset]
    return {name: scored[scored.dataset == name] for name in dict.fromkeys(names)}


def _reasons_left_out(
    by_dataset: Mapping[str, pd.DataFrame], result: StudyResult, choice: Mapping[str, str]
) -> dict[str, str]:
    """Return why nothing can be selected, for the data sets for which that is so."""
    reasons = {}
    for name, rows in by_dataset.items():
        chosen = _recommended_for(result, name, choice)
        if not len(rows):
            reasons[name] = (chosen and chosen.reason) or "no strategy asked for has a score in every fold"
        elif "strategy" not in choice and chosen is not None and chosen.strategy is None:
            reasons[name] = str(chosen.reason)
    return {name: reason.rstrip(".") for name, reason in reasons.items()}


def _recommended_for(result: StudyResult, dataset: str, choice: Mapping[str, str]) -> RecommendedStrategy | None:
    advice = result.recommendation
    return advice.families.get((dataset, choice["learner"])) if "learner" in choice else advice.datasets.get(dataset)


def _best(rows: pd.DataFrame, result: StudyResult, choice: Mapping[str, str]) -> Selection:
    measure = result.study.primary_measure
    value = rows["mean"] if measure.greater_is_better else -rows["mean"]
    row, how = rows[value.max() - value <= MAX_TIED_DIFFERENCE].iloc[0], "Chosen as the best"
    if "strategy" not in choice and (chosen := _recommended_for(result, str(row.dataset), choice)) is not None:
        how = "Chosen as the recommended one"
        row = rows[(rows.learner == chosen.learner) & (rows.strategy == chosen.strategy)].iloc[0]
    mean = f"mean {named(measure.name)} {format_score(row['mean'])}"
    fixed = " and ".join(f"{kind} {choice[kind]}" for kind in ("learner", "strategy") if kind in choice)
    pairs = f"pairs of learner and strategy{f' with {fixed}' if fixed else ''}"
    reason = f"{how} of {len(rows)} {pairs}, {mean}."
    if len(rows) == 1:
        reason = f"Chosen as the one asked for, {mean}."
    scores = {name: float(row[name]) for name in NAMED_SCORES if name in row}
    no_gain = describe_no_gain(result.study, scores, float(rows["mean"].max()), row.dataset not in result.classes)
    return Selection(row.dataset, row.learner, row.strategy, " ".join([reason, *no_gain]))


def describe_choice(chosen: RecommendedStrategy, study: Study, has_two_classes: bool = True) -> str:
    """Return one sentence on what to use on one data set with one learner, with its scores."""
    where = f"{chosen.dataset}, {chosen.learner}"
    if chosen.strategy is None:
        return f"{where}: no recommendation, because {chosen.reason}."
    use = describe_use(strategy_named(study, chosen.strategy), "", has_two_classes)
    no_gain = describe_no_gain(study, chosen.scores, chosen.best_mean, has_two_classes)
    return " ".join(
        [f"{where}: use {use} (strategy `{chosen.strategy}`): {_describe_scores(chosen, study)}.", *no_gain]
    )


def _describe_scores(chosen: RecommendedStrategy, study: Study, *notes: str) -> str:
    """Return the mean scores of a recommended strategy, with notes on them and on folds that have no value."""
    scores = join_words(f"{named(name)} {format_score(value)}" for name, value in chosen.scores.items())
    parts = [
        f"{named(name)} is undefined in {of - n} of {count_test_parts(study, chosen.dataset or '', of)}"
        for name, (n, of) in chosen.incomplete.items()
    ]
    return f"{scores} ({'; '.join([*notes, *parts])})" if notes or parts else scores


def describe_no_gain(
    study: Study, scores: Mapping[str, float], best_mean: float | None, has_two_classes: bool = True
) -> list[str]:
    """Say in sentences that a strategy with these mean scores is no better than one class for every row, if it is not.

    Examples
    --------
    >>> from imblab.study import Measure
    >>> study = Study("s", 0, {}, (), (), (Measure("mcc", "f", "label"),))
    >>> describe_no_gain(study, {"mcc": 0.2, "recall": 0.4}, 0.2)
    []
    """
    found_none = has_two_classes and scores.get("recall") == 0
    if not found_none and not scores.get("mcc", 1.0) <= 0:  # so is a mean that is not a number
        return []
    measure, primary = study.primary_measure, named(study.primary)
    single = f"calling every row {'negative' if has_two_classes else 'the most frequent class'}"
    finding = "It found no positive among the test rows" if found_none else f"Its mean {named('mcc')} is not above 0"
    sentences = [f"{finding}: it is no better than {single}."]
    if best_mean is not None and best_mean <= 0 and measure.needs == "label" and measure.greater_is_better:
        sentences = [f"No strategy has a mean {primary} above 0: none is better than {single}."]
        sentences = [f"{finding}.", *sentences] if found_none else sentences
    more = "positives" if has_two_classes else "rows of the rare classes"
    return [*sentences, f"More {more}, other features or another learner may help."]


def describe_recommendation(
    contrasts: pd.DataFrame, study: Study, recommendation: Recommendation, across: Sequence[AcrossDatasets]
) -> Iterator[str]:
    """Yield what to use, its scores, why, how far it is from its counterpart, and what the folds chose.

    The first sentence may stand alone; the third one holds the reasons, and a caution where no contrast shows a gain.
    """
    overall = recommendation.overall
    so_far = "" if recommendation.provisional is None else f"So far, while {recommendation.provisional}: "
    if overall.strategy is None or overall.learner is None:
        yield f"{so_far}No recommendation: {overall.reason}."
        return
    samplers = [s.name for s in study.strategies if s.sampler is not None]
    without = name_treatment(study, samplers) if samplers else ""
    chosen = {each.strategy for each in recommendation.learners.values() if each.strategy is not None}
    learner = f", with the learner {overall.learner}" if len(study.learners) > 1 else ""
    if learner and len(recommendation.learners) > 1 and len(chosen) == 1:
        learner = f"; of the learners, {overall.learner} scores best with it"
    use = describe_use(strategy_named(study, overall.strategy), without, recommendation.has_two_classes)
    best_mean = max((m for each in recommendation.learners.values() if (m := each.best_mean) is not None), default=None)
    no_gain = describe_no_gain(study, overall.scores, best_mean, recommendation.has_two_classes)
    yield " ".join([f"{so_far}Use {use} (strategy `{overall.strategy}`){learner}.", *no_gain])
    units = count_noun(overall.units, "parent data set")
    if overall.dataset is not None:
        units = count_test_parts(study, overall.dataset, overall.units)
    means = f"means over {units}"
    yield f"It scores {_describe_scores(overall, study, means)}."
    if recommendation.provisional is None:
        of_learner = contrasts[contrasts.learner == overall.learner]
        tables = (of_learner, *(each.contrasts for each in across if each.learner == overall.learner))
        better = [rows[(rows.verdict == "better") & (rows.a == overall.strategy)] for rows in tables]
        is_shown = any(
            family == PRIMARY or isolates_resampling(study, overall.strategy, b)
            for rows in better
            for b, family in zip(rows.b, rows.family, strict=True)
        )
        with_learner = f" with {overall.learner}" if len(study.learners) > 1 else ""
        doubt = (
            f"No primary contrast{with_learner} shows that its resampling helps: the choice rests on mean scores alone."
        )
        is_doubtful = strategy_named(study, overall.strategy).sampler is not None and not is_shown
        # In the paragraph of the reasons, which every first screen shows.
        yield " ".join([*_justify(recommendation, study), *([doubt] if is_doubtful else [])])
        primary = of_learner[of_learner.family == PRIMARY]
        yield from _compare_with_counterpart(primary, study, overall.strategy, with_learner)
    yield from _describe_elsewhere(recommendation)
    yield from _describe_chosen_knobs(recommendation, study)
    if len(study.strategies) * len(study.learners) > 1:
        yield "Choosing by these scores makes them slightly optimistic."


def _describe_chosen_knobs(recommendation: Recommendation, study: Study) -> Iterator[str]:
    """Say which values of the searched knobs the folds chose."""
    overall = recommendation.overall
    assert overall.strategy is not None
    strategy = strategy_named(study, overall.strategy)
    fixed = {*strategy.fixed_knobs, *(() if chooses_threshold(strategy) else ("threshold",))}
    if chosen_knobs := [knob for knob in overall.knobs if knob.name not in fixed]:
        labels = recommendation.classes.get(overall.dataset or "", ())
        count = partial(count_test_parts, study, overall.dataset or "")
        knobs = join_words(_describe_knob(knob, labels, count) for knob in chosen_knobs)
        parts = count(2).partition(" ")[2]
        yield f"Chosen by the {parts}: {knobs}. `imblab export` chooses them once more, on all rows."


def _justify(recommendation: Recommendation, study: Study) -> Iterator[str]:
    """Say by which steps of the rule a strategy was recommended, among those of its learner and over learners."""
    overall = recommendation.overall
    assert overall.learner is not None
    first = recommendation.learners[overall.learner]
    if first.best == (first.learner, first.strategy):
        learner = " with that learner" if len(study.learners) > 1 else ""
        others = "with a score in every fold"
        if first.passed_over:
            names = join_words(f"`{name}`" for name in first.passed_over)
            others = f"{others}, apart from {names}, which a verdict calls worse than another one,"
        yield f"No other strategy {others} has a better mean {named(study.primary)}{learner}."
    else:
        yield f"{_describe_margin(first, study)}, and `{overall.strategy}` is simpler."
    if overall.best is not None and overall.best[0] != overall.learner:
        yield f"{_describe_margin(overall, study)}, but it resamples."


def _describe_margin(chosen: RecommendedStrategy, study: Study) -> str:
    assert chosen.best is not None
    learner = f" with {chosen.best[0]}" if len(study.learners) > 1 else ""
    mean = f"mean {named(study.primary)} of {format_score(chosen.best_mean)}"
    margin = f"{chosen.margin_source} ({format_score(chosen.margin)})"
    return f"`{chosen.best[1]}`{learner} has a {mean}, better by no more than {margin}"


def _compare_with_counterpart(primary: pd.DataFrame, study: Study, strategy: str, with_learner: str) -> Iterator[str]:
    """Say how far the recommended strategy is from its counterpart, and which gains by resampling are ruled out."""
    rows = primary[((primary.b == strategy) | (primary.a == strategy)) & primary["mean"].notna()]
    if rows.empty:
        return
    subject, size = name_treatment(study, rows.a), f"{format_changes(rows)} {named(study.primary)}{with_learner}"
    others = join_words(f"`{name}`" for name in dict.fromkeys((*rows.a, *rows.b)) if name != strategy)
    relation = f"It differs from {others}, the same without {subject}, by"
    if (rows.b == strategy).all():
        verb = "differs" if rows.a.nunique() == 1 else "differ"
        relation = f"{others}, the same with {subject}, {verb} from it by"
    text = f"{relation} {size}{append_counts(rows, study)}."
    decided = rows[rows.verdict.isin(DECIDED)]
    tops = (decided.high if study.primary_measure.greater_is_better else -decided.low).dropna()
    if len(tops) and study.primary in study.claims.rope:
        text += f" {_describe_excluded_gains(tops, len(decided), subject, percent(study))}"
    yield text


def _describe_excluded_gains(tops: pd.Series, n: int, subject: str, percentage: str) -> str:
    """Say which gains the upper ends of the intervals rule out, of ``n`` comparisons."""
    if n == 1:
        excluded = [gain for gain in _GAINS if tops.iloc[0] < gain]
        verb, gain = ("rules out", excluded[0]) if excluded else ("does not rule out", _GAINS[-1])
        return f"The {percentage} interval {verb} a gain by {subject} above {gain:g}."
    counts = join_words(f"above {gain:g} in {int((tops < gain).sum())}" for gain in _GAINS)
    return f"The {percentage} intervals rule out a gain by {subject} {counts} of {count_noun(n, 'comparison')}."


def _describe_elsewhere(recommendation: Recommendation) -> Iterator[str]:
    """Name the data sets whose own recommendation differs from the one over all."""
    overall = recommendation.overall
    if overall.dataset is not None:
        return
    places: dict[tuple[str | None, str | None], list[str]] = {}
    for dataset, each in recommendation.datasets.items():
        if each.strategy is not None and (each.learner, each.strategy) != (overall.learner, overall.strategy):
            places.setdefault((each.learner, each.strategy), []).append(dataset)
    n = sum(map(len, places.values()))
    if len(places) > _MAX_PLACES:
        yield f"By data set the recommendation differs on {n} of {len(recommendation.datasets)}."
    elif places:
        parts = [f"`{strategy}` with {learner} on {join_words(names)}" for (learner, strategy), names in places.items()]
        yield f"By data set the recommendation differs: {'; '.join(parts)}."


def _describe_knob(knob: KnobChoice, labels: Sequence[str], count: Callable[[int], str]) -> str:
    """Describe what the test parts chose; ``count`` writes a number of them."""
    if isinstance(knob.value, tuple):
        return f"thresholds {format_thresholds(labels, knob.value)} (medians over {count(knob.of)})"
    spread = f", {knob.low:g} to {knob.high:g}" if knob.low != knob.high else ""
    return f"{knob.name} {format_knob(knob.value)} ({knob.folds} of {count(knob.of)}{spread})"
