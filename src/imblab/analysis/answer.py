"""The answer of a study in words: headline, recommendation, findings and limits; made once, shown everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from imblab.analysis import outer_splits
from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.advice import describe_recommendation
from imblab.analysis.claims import PRIMARY, missing_primary_reason
from imblab.analysis.compare import describe_verdict
from imblab.analysis.methods import MOST_PROBABLE, describe_use, name_treatment, named, strategy_named
from imblab.analysis.outer_splits import ONE_TEST_PART, untested_reason
from imblab.analysis.recommendation import knobs_in_use
from imblab.analysis.text_tables import percent
from imblab.analysis.wording import (
    DECIDED,
    SHOWN_OVER_PARENTS,
    append_counts,
    append_seen_rows,
    count_verdicts,
    describe_power,
    describe_shown,
    format_changes,
    list_reasons,
)
from imblab.result import Answer, Completeness, Recommendation
from imblab.study import Strategy, Study
from imblab.text import capitalise, count_noun, format_difference, format_range, join_words

#: Further findings.
_MAX_FINDINGS = 3
#: Primary contrasts that are told one by one; more of them are told over parent data sets, where these were compared.
MAX_TOLD_CONTRASTS = 60
#: Data sets with learners that a caution names.
_MAX_LISTED_PAIRS = 3


def answer_study(
    study: Study,
    contrasts: pd.DataFrame,
    completeness: Completeness,
    recommendation: Recommendation,
    across: Sequence[AcrossDatasets] = (),
    cautions: Sequence[str] = (),
) -> Answer:
    """Say what a study found, in the order in which a reader needs it.

    While evaluations are missing, the headline says so and there are neither findings nor limits. ``cautions`` are
    sentences on the tables. Every count of verdicts comes with the number that chance would give.
    """
    primary = select_primary(contrasts)
    findings: list[str] = []
    limits: list[str] = []
    if completeness.is_complete:
        has_two_classes = recommendation.has_two_classes
        findings += _conclude_over_parents(primary, across, study)
        findings += _compare_with_nothing(contrasts, study, has_two_classes)
        findings += _compare_full_ratio(contrasts, study, has_two_classes)
        limits += list_limits(primary if len(primary) else contrasts, study)
    return Answer(
        headline=write_headline(primary, study, completeness, recommendation, across),
        recommendation=tuple(describe_recommendation(contrasts, study, recommendation, across)),
        findings=tuple(findings[:_MAX_FINDINGS]),
        limits=tuple(limits),
        primary=sort_by_mean(primary),
        sides=name_sides(primary, study),
        missing=(*_list_missing(primary, completeness, recommendation), *_list_missing_covariances(contrasts)),
        checks=(*(f"Caution: {text}" for text in cautions), *_list_checks(study, completeness)),
    )


def select_primary(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Keep the primary contrasts, which answer whether resampling helps."""
    return contrasts.loc[contrasts.family == PRIMARY]


def select_over_parents(primary: pd.DataFrame, across: Sequence[AcrossDatasets]) -> pd.DataFrame:
    """Return the primary contrasts over parent data sets with an effect, where single ones are too many to be told.

    One row per pair and learner, with the columns of :attr:`.AcrossDatasets.contrasts`; empty where there are at most
    :data:`MAX_TOLD_CONTRASTS` primary contrasts.
    """
    pairs = set(zip(primary.a, primary.b, strict=True)) if len(primary) > MAX_TOLD_CONTRASTS else set()
    rows = [row for item in across for row in item.contrasts.to_dict("records") if (row["a"], row["b"]) in pairs]
    return pd.DataFrame([row for row in rows if not math.isnan(row["effect"])])


def write_headline(
    primary: pd.DataFrame,
    study: Study,
    completeness: Completeness,
    recommendation: Recommendation,
    across: Sequence[AcrossDatasets] = (),
) -> str:
    """Return one sentence on the primary contrasts over all data sets and learners."""
    if not completeness.evaluated:
        return f"Study {study.name!r} has no evaluation yet."
    if not completeness.is_complete:
        return f"Incomplete: {completeness.counted} are there. No verdict before the design is complete."
    if primary.empty:
        return _headline_without_contrast(study, recommendation)
    lead, subject = (_name_condition(primary, study, recommendation.has_two_classes), name_treatment(study, primary.a))
    if len(over_parents := select_over_parents(primary, across)):
        verdicts = _tell_over_parents(over_parents, study)
        return capitalise(f"{lead}{subject} {verdicts}{append_seen_rows(study, primary.dataset)}.")
    decided = primary[primary.verdict.isin(DECIDED)]
    compared = decided[decided["mean"].notna()]
    if len(compared):
        verdicts = _tell_verdicts(compared, decided, study.claims.alpha)
        return capitalise(f"{lead}{subject} {verdicts}{append_seen_rows(study, compared.dataset)}.")
    compared = primary[primary["mean"].notna()]
    if compared.empty:
        reasons = "; ".join(list_reasons(primary))
        return capitalise(f"{lead}{subject} could not be compared with no resampling: {reasons}.")
    change = f"{lead}{subject} changed {named(study.primary)} by {format_changes(compared)}"
    where = f"{_name_datasets(compared)}{append_seen_rows(study, compared.dataset)}"
    if (compared.verdict == "exploratory").all():
        return f"Exploratory, without a verdict: {change} {where}."
    timed = compared[compared.verdict == "descriptive"]
    untested = "no test is possible" if len(timed) == len(compared) else f"no test is possible {_name_datasets(timed)}"
    others = "" if len(timed) == len(compared) else "; the other comparisons are exploratory, without a verdict"
    reasons = join_words(dict.fromkeys(filter(None, (untested_reason(study, name) for name in timed.dataset))))
    return capitalise(f"{change} {where}; {untested}, because {reasons}{others}.")


def list_limits(rows: pd.DataFrame, study: Study) -> list[str]:
    """Return what some contrasts could not tell, and what would."""
    reasons = [f"{capitalise(reason)}." for reason in list_reasons(rows[rows.verdict == "inconclusive"])]
    single = [name for name in dict.fromkeys(rows.dataset) if untested_reason(study, name) == ONE_TEST_PART]
    if single:
        reasons.append(
            f"A hold-out of one repeat has no interval and no test ({join_words(single)}): ask with "
            "protocol.repeats=10 under a new name=..."
        )
    return [*reasons, *describe_power(rows[rows.verdict == "inconclusive"], study)]


def _headline_without_contrast(study: Study, recommendation: Recommendation) -> str:
    if any(s.sampler is not None for s in study.strategies):
        subject, reason = name_treatment(study, study.strategy_names), missing_primary_reason(study)
        return f"No primary contrast: whether {subject} helps cannot be said, because {reason}."
    best = recommendation.overall
    if best.strategy is None:
        return "No primary contrast: no strategy of the study resamples."
    use = describe_use(strategy_named(study, best.strategy), "", recommendation.has_two_classes)
    others = count_noun(len(study.strategies), "strategy")
    return f"No primary contrast, since no strategy resamples; of {others}, use {use}."


def _tell_verdicts(compared: pd.DataFrame, decided: pd.DataFrame, alpha: float) -> str:
    """Say on how many data sets the treatment helped or harmed, and what chance alone would give."""
    n_datasets, comparisons = compared.dataset.nunique(), count_noun(len(decided), "comparison")
    settled, region = int(compared.verdict.isin(("equivalent", "identical")).sum()), compared.rope.iloc[0]
    within = "" if math.isnan(region) else f" (within ±{region:g})"
    some = f"; in {settled} of {comparisons} it makes no difference that matters{within}" if settled else ""
    parts = {verb: compared[compared.verdict == v] for verb, v in (("help", "better"), ("harm", "worse"))}
    shown = {f"{verb}{_small_size(rows, alpha)}": rows.dataset.nunique() for verb, rows in parts.items() if len(rows)}
    if not shown and settled == len(decided):
        return f"makes no difference that matters{within} {_name_datasets(compared)}"
    if not shown:
        where = _name_datasets(compared) if n_datasets == 1 else f"on any of {n_datasets} data sets"
        return f"was not shown to help {where}{some}"
    if n_datasets == 1:
        text = f"was shown to {join_words(shown)} {_name_datasets(compared)}"
    else:
        counts = join_words(f"to {verb} on {n}" for verb, n in shown.items())
        text = f"was shown {counts} of {count_noun(n_datasets, 'data set')}"
    counted = "" if len(decided) == 1 else f" ({count_verdicts(decided, ('better', 'worse'), alpha)})"
    return f"{text}{counted}{some}"


def _tell_over_parents(rows: pd.DataFrame, study: Study) -> str:
    """Say with which learners the treatment makes a difference over parent data sets, and how large it is."""
    region, groups = study.claims.rope.get(study.primary), dict[str, list[str]]()
    has_one_pair = len(rows[["a", "b"]].drop_duplicates()) == 1
    for row in sorted(rows.to_dict("records"), key=lambda row: row["verdict"] != "equivalent"):
        groups.setdefault(describe_verdict(row, study.claims.alpha), []).append(row["learner"])
    parts = []
    for verdict, learners in groups.items():
        is_named = has_one_pair and (len(learners) <= _MAX_LISTED_PAIRS or len(rows) == 1)
        noun = "learner" if has_one_pair else "comparison"
        where = join_words(learners) if is_named else f"{len(learners)} of {count_noun(len(rows), noun)}"
        what = f"is {verdict}" if verdict != "equivalent" else f"makes no difference that matters (within ±{region:g})"
        parts.append(f"{what} {'with' if has_one_pair else 'in'} {where}")
    size = f"{'differences' if len(rows) > 1 else 'difference'} in {named(study.primary)}"
    size += f" {format_range(rows.effect, format_difference)}"
    if len(rows) == 1:
        low, high = (format_difference(float(rows[name].iloc[0])) for name in ("effect_low", "effect_high"))
        size += f", {percent(study)} interval {low} to {high}"
    return f"{join_words(parts)}, over {count_noun(int(rows.parents.max()), 'parent data set')} (mean {size})"


def _small_size(rows: pd.DataFrame, alpha: float) -> str:
    """Say that the differences of some contrasts lie within the region, where each one does."""
    sizes = {describe_verdict(row, alpha).partition(" by ")[2] for row in rows.to_dict("records")}
    return f" by {sizes.pop()}" if len(sizes) == 1 and "" not in sizes else ""


def _compare_with_nothing(contrasts: pd.DataFrame, study: Study, has_two_classes: bool) -> Iterator[str]:
    """Compare resampling alone, and a tuned threshold alone, with the strategy that has no knob in use."""
    single = [s for s in study.strategies if knobs_in_use(s) == 1]
    nothing = [s.name for s in study.strategies if not knobs_in_use(s)]
    rows = contrasts[contrasts.b.isin(nothing) & contrasts["mean"].notna()]
    sampled = rows[rows.a.isin([s.name for s in single if s.sampler is not None])]
    moved = rows[rows.a.isin([s.name for s in single if s.knobs["threshold"] != 0.5])]
    parts = [
        f"{subject} changed {named(study.primary)} by {format_changes(part)}{append_counts(part, study)}"
        for subject, part in ((name_treatment(study, sampled.a), sampled), ("a moved threshold alone", moved))
        if len(part)
    ]
    if len(sampled):
        yield f"Compared with doing nothing{' at a threshold of .5' if has_two_classes else ''}, {'; '.join(parts)}."


def _compare_full_ratio(contrasts: pd.DataFrame, study: Study, has_two_classes: bool) -> Iterator[str]:
    """Compare resampling up to 1:1 with the same sampler at a chosen or lower ratio, by threshold."""
    strategies = {s.name: s for s in study.strategies}
    parts, words = [], ("at a threshold of .5", "with a tuned threshold", "with a moved threshold")
    if not has_two_classes:
        words = (f"deciding for the {MOST_PROBABLE}", "with tuned thresholds", "with moved thresholds")
    for kind, where in enumerate(words):
        pairs = [
            _differs_in_full_ratio(strategies.get(a), strategies.get(b)) and _threshold_kind(strategies[a]) == kind
            for a, b in zip(contrasts.a, contrasts.b, strict=True)
        ]
        rows = contrasts.loc[pairs]
        if len(rows := rows[rows["mean"].notna()]):
            parts.append(f"by {format_changes(rows)} {where}{append_counts(rows, study)}")
    if parts:
        yield f"Going on to a ratio of 1:1 changed {named(study.primary)} {'; '.join(parts)}."


def _threshold_kind(strategy: Strategy) -> int:
    """0 for a threshold of .5, 1 for a tuned one, 2 for another number or rule."""
    threshold = strategy.knobs["threshold"]
    return 0 if threshold == 0.5 else 1 if threshold == "tuned" else 2


def _differs_in_full_ratio(a: Strategy | None, b: Strategy | None) -> bool:
    """Whether a resamples to 1:1 as b does to another ratio, with equal weight, calibration and threshold."""
    if a is None or b is None:
        return False
    same = a.sampler == b.sampler and a.calibration == b.calibration
    same &= all(a.knobs.get(knob) == b.knobs.get(knob) for knob in ("weight", "threshold"))
    return same and a.sampler is not None and a.knobs.get("ratio") == 1.0 and b.knobs.get("ratio") not in (1.0, None)


def _conclude_over_parents(primary: pd.DataFrame, across: Sequence[AcrossDatasets], study: Study) -> Iterator[str]:
    """Say which primary contrasts have a verdict over parent data sets."""
    pairs = set(zip(primary.a, primary.b, strict=True))
    for item in across:
        for row in item.contrasts.to_dict("records"):
            if (row["a"], row["b"]) in pairs and row["verdict"] in SHOWN_OVER_PARENTS:
                parents = count_noun(int(row["parents"]), "parent data set")
                yield f"Over {parents} with {item.learner}, {describe_shown(row, study)}."


def _list_missing(primary: pd.DataFrame, completeness: Completeness, recommendation: Recommendation) -> Iterator[str]:
    yield from completeness.sentences()[1:] if not completeness.is_complete else completeness.without_scores()
    n = int((primary.verdict == "not applicable").sum())
    if n:
        yield f"{count_noun(n, 'primary contrast is', 'primary contrasts are')} not applicable and in no family."
    left_out = recommendation.overall.left_out
    if left_out and recommendation.overall.strategy is not None:
        names = join_words(f"`{name}`" for name in left_out)
        yield f"Not among the candidates of the recommendation, since a score is missing somewhere: {names}."


def _list_checks(study: Study, completeness: Completeness) -> Iterator[str]:
    noun = "outer fold" if study.protocol.test_size is None else "hold-out"
    if counts := set(completeness.folds.values()):
        least = f"{min(counts)} to " if len(counts) > 1 else ""
        folds = f"{least}{count_noun(max(counts), noun)}"
        yield f"All strategies have the same {folds} of a data set and are scored on rows that they never saw."
    yield from _list_missing_baselines(study)
    yield from (f"Caution: {text}." for text in outer_splits.rebalancing_notes(study).values())


def _list_missing_baselines(study: Study) -> Iterator[str]:
    """Say which baselines a study lacks, and how they are added."""
    has_nothing = any(not knobs_in_use(s) for s in study.strategies)
    has_moved = any(map(_is_moved_alone, study.strategies))
    baselines = (("none", "no treatment", has_nothing), ("threshold", "a tuned threshold alone", has_moved))
    if lacking := [(name, words) for name, words, is_there in baselines if not is_there]:
        names = join_words(f"`{name}`" for name, _ in lacking)
        which = join_words((words for _, words in lacking), "or")
        yield f"Caution: the study has no baseline with {which}; add {names} to strategy=[...]."


def _list_missing_covariances(contrasts: pd.DataFrame) -> Iterator[str]:
    """Say where the corrected t decides because something is missing in the record."""
    rows = contrasts[contrasts.estimator_reason.notna()]
    pairs = dict.fromkeys(zip(rows.dataset, rows.learner, strict=True))
    if pairs:
        names = join_words(f"{dataset} with {learner}" for dataset, learner in pairs)
        where = f"on {names}" if len(pairs) <= _MAX_LISTED_PAIRS else f"in {len(pairs)} pairs of data set and learner"
        yield (
            f"{capitalise(where)} the corrected t decides, because {rows.estimator_reason.iloc[0]}. Running the study "
            "again adds them as long as its predictions are stored."
        )


def _is_moved_alone(strategy: Strategy) -> bool:
    """Whether a strategy does no more than to choose its threshold: by the inner folds, by costs or by alerts."""
    return knobs_in_use(strategy) == 1 and not isinstance(strategy.knobs["threshold"], (int, float))


def sort_by_mean(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Order contrasts by their mean difference, from the lowest; those without one come last."""
    return contrasts.sort_values("mean", kind="stable", na_position="last")


def name_sides(primary: pd.DataFrame, study: Study) -> tuple[str, str]:
    """Say what differences below and above 0 favour."""
    subject = name_treatment(study, primary.a)
    sides = (f"favours no {subject}", f"favours {subject}")
    if primary.empty:
        sides = ("favours the second strategy", "favours the first strategy")
    return sides if study.primary_measure.greater_is_better else (sides[1], sides[0])


def _name_condition(primary: pd.DataFrame, study: Study, has_two_classes: bool) -> str:
    """Say what both strategies of the primary contrasts share, as the opening of a sentence."""
    rules = [strategy_named(study, name).knobs["threshold"] for name in dict.fromkeys(primary.a)]
    if all(rule == "tuned" for rule in rules):
        return "once the threshold is tuned, " if has_two_classes else "once the thresholds are tuned, "
    return "" if all(isinstance(rule, (int, float)) for rule in rules) else "with the same threshold rule, "


def _name_datasets(rows: pd.DataFrame) -> str:
    names = list(dict.fromkeys(rows.dataset))
    return f"on {names[0]}" if len(names) == 1 else f"on {count_noun(len(names), 'data set')}"
