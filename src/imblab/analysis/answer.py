"""The answer of a study in words: headline, recommendation, findings and limits; made once, shown everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from imblab.analysis import rebalancing
from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.claims import PRIMARY
from imblab.analysis.methods import describe_use, name_sampler, named
from imblab.analysis.recommendation import knobs_in_use
from imblab.analysis.text_tables import percent
from imblab.analysis.wording import append_seen_rows, describe_chance, describe_power, list_reasons
from imblab.result import Answer, Completeness, KnobChoice, Recommendation, RecommendedStrategy
from imblab.study import Strategy, Study
from imblab.text import count_noun, format_difference, format_p_value, format_score, join_words

#: Verdicts that rest on a test.
DECIDED = ("better", "worse", "equivalent", "identical", "inconclusive")
#: Sizes of a gain that the intervals may rule out, of measures with a region of practical equivalence.
_GAINS = (0.05, 0.1)
#: Further recommendations that a sentence lists.
_MAX_PLACES = 3
#: Further findings.
_MAX_FINDINGS = 3
#: Verdicts over parent data sets with the word that joins the two strategies.
_ACROSS_WORDS = {"better": "better than", "worse": "worse than", "equivalent": "equivalent to"}


def answer_study(
    study: Study,
    contrasts: pd.DataFrame,
    completeness: Completeness,
    recommendation: Recommendation,
    across: Sequence[AcrossDatasets] = (),
) -> Answer:
    """Say what a study found, in the order in which a reader needs it.

    Parameters
    ----------
    study : Study
        The question.
    contrasts : DataFrame
        With their verdicts; see :func:`imblab.analysis.compare.contrasts`.
    completeness : Completeness
        While evaluations are missing, the headline says so and there are neither findings nor limits.
    recommendation : Recommendation
        See :func:`imblab.analysis.recommendation.recommend`.
    across : sequence of AcrossDatasets
        Verdicts over parent data sets.

    Returns
    -------
    Answer
        Every count of verdicts comes with the number that chance would give.
    """
    primary = select_primary(contrasts)
    findings: list[str] = []
    limits: list[str] = []
    if completeness.is_complete:
        findings += _compare_with_nothing(contrasts, study)
        findings += _compare_full_ratio(contrasts, study)
        findings += _conclude_over_parents(primary, across)
        limits += list_limits(primary if len(primary) else contrasts, study)
    return Answer(
        headline=write_headline(primary, study, completeness, recommendation),
        recommendation=tuple(_describe_recommendation(primary, study, recommendation)),
        findings=tuple(findings[:_MAX_FINDINGS]),
        limits=tuple(limits),
        primary=primary.sort_values("mean", kind="stable", na_position="last"),
        sides=_name_sides(primary, study),
        missing=tuple(_list_missing(primary, completeness, recommendation)),
        checks=tuple(_list_checks(study, completeness)),
    )


def count_verdicts(rows: pd.DataFrame, verdicts: Sequence[str], alpha: float) -> str:
    """Return how many contrasts have some verdicts, of how many, and the number that chance alone would give.

    Of one contrast the verdict is returned.

    Examples
    --------
    >>> rows = pd.DataFrame({"verdict": ["better", "inconclusive", "inconclusive"], "p": 0.1, "q": 0.1})
    >>> count_verdicts(rows, ("better", "worse"), alpha=0.05)
    'better in 1 of 3 comparisons; chance alone gives up to 0.15'
    """
    if len(rows) == 1:
        return str(rows.verdict.iloc[0])
    counts = {verdict: int((rows.verdict == verdict).sum()) for verdict in verdicts}
    words = (
        join_words(f"{verdict} in {n}" for verdict, n in counts.items() if n) or f"{join_words(verdicts, 'or')} in none"
    )
    return f"{words} of {count_noun(len(rows), 'comparison')}{describe_chance(rows, alpha)}"


def select_primary(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Keep the primary contrasts, which answer whether resampling helps."""
    return contrasts.loc[contrasts.family == PRIMARY]


def write_headline(
    primary: pd.DataFrame, study: Study, completeness: Completeness, recommendation: Recommendation
) -> str:
    """Return one sentence on the primary contrasts over all data sets and learners."""
    if not completeness.evaluated:
        return f"Study {study.name!r} has no evaluation yet."
    if not completeness.is_complete:
        return f"Incomplete: {completeness.counted} are there. No verdict before the design is complete."
    if primary.empty:
        return _headline_without_contrast(study, recommendation)
    lead, subject = _name_condition(primary, study), _name_treatment(study, primary.a)
    decided = primary[primary.verdict.isin(DECIDED)]
    compared = decided[decided["mean"].notna()]
    if len(compared):
        verdicts = _tell_verdicts(compared, decided, study.claims.alpha)
        return _capitalise(f"{lead}{subject} {verdicts}{append_seen_rows(study, compared.dataset)}.")
    compared = primary[primary["mean"].notna()]
    if compared.empty:
        reasons = "; ".join(list_reasons(primary))
        return _capitalise(f"{lead}{subject} could not be compared with no resampling: {reasons}.")
    change = f"{lead}{subject} changed {named(study.primary)} by {_format_changes(compared)}"
    where = f"{_name_datasets(compared)}{append_seen_rows(study, compared.dataset)}"
    if (compared.verdict == "exploratory").all():
        return f"Exploratory, without a verdict: {change} {where}."
    return _capitalise(f"{change} {where}; no test is possible, because the folds follow the time.")


def list_limits(rows: pd.DataFrame, study: Study) -> list[str]:
    """Return what some contrasts could not tell, and what would."""
    reasons = [f"{_capitalise(reason)}." for reason in list_reasons(rows[rows.verdict == "inconclusive"])]
    return [*reasons, *describe_power(rows[rows.verdict == "inconclusive"], study)]


def describe_choice(chosen: RecommendedStrategy, study: Study) -> str:
    """Return one sentence on what to use on one data set with one learner, with its scores."""
    where = f"{chosen.dataset}, {chosen.learner}"
    if chosen.strategy is None:
        return f"{where}: no recommendation, because {chosen.reason}."
    scores = join_words(f"{named(name)} {format_score(value)}" for name, value in chosen.scores.items())
    return f"{where}: use {describe_use(_strategy(study, chosen.strategy))} (strategy `{chosen.strategy}`): {scores}."


def _headline_without_contrast(study: Study, recommendation: Recommendation) -> str:
    if any(s.sampler is not None for s in study.strategies):
        subject = _name_treatment(study, study.strategy_names)
        return (
            f"No primary contrast: whether {subject} helps cannot be said, because no strategy without a sampler "
            "shares its tuned threshold, weight and calibration."
        )
    best = recommendation.overall
    if best.strategy is None:
        return "No primary contrast: no strategy of the study resamples."
    use = describe_use(_strategy(study, best.strategy))
    others = count_noun(len(study.strategies), "strategy")
    return f"No primary contrast, since no strategy resamples; of {others}, use {use}."


def _tell_verdicts(compared: pd.DataFrame, decided: pd.DataFrame, alpha: float) -> str:
    """Say on how many data sets the treatment helped or harmed, and what chance alone would give."""
    n_datasets, counts = compared.dataset.nunique(), compared.verdict.value_counts()
    helped, harmed = (compared[compared.verdict == v].dataset.nunique() for v in ("better", "worse"))
    settled = int(counts.get("equivalent", 0) + counts.get("identical", 0))
    if not helped and not harmed:
        region = compared.rope.iloc[0]
        within = "" if math.isnan(region) else f" (within ±{region:g})"
        if settled == len(decided):
            return f"makes no difference that matters{within} {_name_datasets(compared)}"
        where = (
            f"on {compared.dataset.iloc[0]}" if n_datasets == 1 else f"on any of {count_noun(n_datasets, 'data set')}"
        )
        some = f"; in {settled} of {count_noun(len(decided), 'comparison')} it makes no difference that matters{within}"
        return f"was not shown to help {where}{some if settled else ''}"
    shown = [f"to {verb} on {n}" for verb, n in (("help", helped), ("harm", harmed)) if n]
    if n_datasets == 1:
        verbs = join_words(verb for verb, n in (("help", helped), ("harm", harmed)) if n)
        text = f"was shown to {verbs} on {compared.dataset.iloc[0]}"
    else:
        text = f"was shown {join_words(shown)} of {count_noun(n_datasets, 'data set')}"
    return text if len(decided) == 1 else f"{text} ({count_verdicts(decided, ('better', 'worse'), alpha)})"


def _describe_recommendation(primary: pd.DataFrame, study: Study, recommendation: Recommendation) -> Iterator[str]:
    overall = recommendation.overall
    so_far = "" if recommendation.provisional is None else f"So far, while {recommendation.provisional}: "
    if overall.strategy is None or overall.learner is None:
        yield f"{so_far}No recommendation: {overall.reason}."
        return
    samplers = [s.name for s in study.strategies if s.sampler is not None]
    without = _name_treatment(study, samplers) if samplers else ""
    chosen = {each.strategy for each in recommendation.learners.values() if each.strategy is not None}
    learner = f", with the learner {overall.learner}" if len(study.learners) > 1 else ""
    if learner and len(recommendation.learners) > 1 and len(chosen) == 1:
        learner = f"; of the learners, {overall.learner} scores best with it"
    use = describe_use(_strategy(study, overall.strategy), without)
    yield f"{so_far}Use {use} (strategy `{overall.strategy}`){learner}."
    scores = join_words(f"{named(name)} {format_score(value)}" for name, value in overall.scores.items())
    unit = "fold" if overall.dataset is not None else "parent data set"
    yield f"It scores {scores} (means over {count_noun(overall.units, unit)})."
    if recommendation.provisional is None:
        yield " ".join(_justify(recommendation, study))
        is_shown = (primary.verdict == "better") & (primary.a == overall.strategy)
        if _strategy(study, overall.strategy).sampler is not None and not is_shown.any():
            yield "No primary contrast shows that its resampling helps: the choice rests on mean scores alone."
        yield from _compare_with_counterpart(primary, study, overall.strategy)
    yield from _describe_elsewhere(recommendation)
    if overall.knobs:
        knobs = join_words(map(_describe_knob, overall.knobs))
        yield f"Chosen by most folds: {knobs}. `imblab export` chooses them once more, on all rows."
    yield "Choosing by these scores makes them slightly optimistic."


def _justify(recommendation: Recommendation, study: Study) -> Iterator[str]:
    """Say by which steps of the rule a strategy was recommended, among those of its learner and over learners."""
    overall = recommendation.overall
    assert overall.learner is not None
    first = recommendation.learners[overall.learner]
    if first.best == (first.learner, first.strategy):
        learner = " with that learner" if len(study.learners) > 1 else ""
        yield f"No other strategy with a score in every fold has a better mean {named(study.primary)}{learner}."
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


def _compare_with_counterpart(primary: pd.DataFrame, study: Study, strategy: str) -> Iterator[str]:
    """Say how far the recommended strategy is from its counterpart, and which gains by resampling are ruled out."""
    rows = primary[((primary.b == strategy) | (primary.a == strategy)) & primary["mean"].notna()]
    if rows.empty:
        return
    subject, size = _name_treatment(study, rows.a), f"{_format_changes(rows)} {named(study.primary)}"
    others = join_words(f"`{name}`" for name in dict.fromkeys((*rows.a, *rows.b)) if name != strategy)
    relation = f"It differs from {others}, the same without {subject}, by"
    if (rows.b == strategy).all():
        verb = "differs" if rows.a.nunique() == 1 else "differ"
        relation = f"{others}, the same with {subject}, {verb} from it by"
    text = f"{relation} {size}{_append_counts(rows, study)}."
    sign = 1.0 if study.primary_measure.greater_is_better else -1.0
    tops = (rows.high if sign > 0 else -rows.low).dropna()
    if len(tops) and study.primary in study.claims.rope:
        excluded = [f"above {gain:g} in {int((tops < gain).sum())}" for gain in _GAINS]
        text += (
            f" The {percent(study)} intervals rule out a gain by {subject} {join_words(excluded)} of "
            f"{count_noun(len(rows), 'comparison')}."
        )
    yield text


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


def _describe_knob(knob: KnobChoice) -> str:
    text = isinstance(knob.value, (int, float)) and not isinstance(knob.value, bool)
    value = f"{knob.value:g}" if text else str(knob.value)
    spread = f", {knob.low:g} to {knob.high:g}" if knob.low != knob.high else ""
    return f"{knob.name} {value} ({knob.folds} of {count_noun(knob.of, 'fold')}{spread})"


def _compare_with_nothing(contrasts: pd.DataFrame, study: Study) -> Iterator[str]:
    """Compare resampling alone, and a tuned threshold alone, with the strategy that has no knob in use."""
    single = [s for s in study.strategies if knobs_in_use(s) == 1]
    nothing = [s.name for s in study.strategies if not knobs_in_use(s)]
    rows = contrasts[contrasts.b.isin(nothing) & contrasts["mean"].notna()]
    sampled = rows[rows.a.isin([s.name for s in single if s.sampler is not None])]
    moved = rows[rows.a.isin([s.name for s in single if s.knobs["threshold"] != 0.5])]
    parts = [
        f"{subject} changed {named(study.primary)} by {_format_changes(part)}{_append_counts(part, study)}"
        for subject, part in ((_name_treatment(study, sampled.a), sampled), ("a moved threshold alone", moved))
        if len(part)
    ]
    if len(sampled):
        yield f"Compared with doing nothing at a threshold of .5, {'; '.join(parts)}."


def _compare_full_ratio(contrasts: pd.DataFrame, study: Study) -> Iterator[str]:
    """Compare resampling up to 1:1 with the same sampler at a chosen or lower ratio, by threshold."""
    strategies = {s.name: s for s in study.strategies}
    parts = []
    for is_moved in (False, True):
        pairs = [
            a in strategies
            and b in strategies
            and _differs_in_full_ratio(strategies[a], strategies[b])
            and (strategies[a].knobs["threshold"] != 0.5) == is_moved
            for a, b in zip(contrasts.a, contrasts.b, strict=True)
        ]
        rows = contrasts.loc[pairs]
        if (rows := rows[rows["mean"].notna()]).empty:
            continue
        where = "with a tuned threshold" if is_moved else "at a threshold of .5"
        parts.append(f"by {_format_changes(rows)} {where}{_append_counts(rows, study)}")
    if parts:
        yield f"Going on to a ratio of 1:1 changed {named(study.primary)} {'; '.join(parts)}."


def _differs_in_full_ratio(a: Strategy, b: Strategy) -> bool:
    """Whether a resamples to 1:1 as b does to another ratio, with equal weight, calibration and threshold."""
    same = a.sampler == b.sampler and a.calibration == b.calibration
    same &= all(a.knobs.get(knob) == b.knobs.get(knob) for knob in ("weight", "threshold"))
    return same and a.sampler is not None and a.knobs.get("ratio") == 1.0 and b.knobs.get("ratio") not in (1.0, None)


def _conclude_over_parents(primary: pd.DataFrame, across: Sequence[AcrossDatasets]) -> Iterator[str]:
    """Say which primary contrasts have a verdict over parent data sets."""
    pairs = set(zip(primary.a, primary.b, strict=True))
    for item in across:
        for row in item.contrasts.to_dict("records"):
            if (row["a"], row["b"]) in pairs and row["verdict"] in _ACROSS_WORDS:
                yield (
                    f"Over {count_noun(int(row['parents']), 'parent data set')} with {item.learner}, `{row['a']}` is "
                    f"{_ACROSS_WORDS[row['verdict']]} `{row['b']}` (Wilcoxon's test, Holm p "
                    f"{format_p_value(row['p_holm'])}; it won on {row['wins']})."
                )


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
    folds = count_noun(completeness.folds, "outer fold")
    yield f"All strategies were scored on the same {folds} of a data set, on rows that they never saw."
    for name, words in (("no treatment", _is_nothing), ("a tuned threshold alone", _is_moved_alone)):
        if not any(words(s) for s in study.strategies):
            yield f"Caution: the study has no baseline with {name}."
    yield from (f"Caution: {text}." for text in rebalancing.notes(study).values())


def _is_nothing(strategy: Strategy) -> bool:
    return not knobs_in_use(strategy)


def _is_moved_alone(strategy: Strategy) -> bool:
    return knobs_in_use(strategy) == 1 and strategy.knobs["threshold"] == "tuned"


def _name_sides(primary: pd.DataFrame, study: Study) -> tuple[str, str]:
    subject = _name_treatment(study, primary.a)
    sides = (f"favours no {subject}", f"favours {subject}")
    if primary.empty:
        sides = ("favours the second strategy", "favours the first strategy")
    return sides if study.primary_measure.greater_is_better else (sides[1], sides[0])


def _name_treatment(study: Study, names: Sequence[str] | pd.Series) -> str:
    """Name the sampler that some strategies share, or *resampling*."""
    samplers = {name_sampler(s) for s in study.strategies if s.name in set(names) and s.sampler is not None}
    return samplers.pop() if len(samplers) == 1 else "resampling"


def _name_condition(primary: pd.DataFrame, study: Study) -> str:
    """Say what both strategies of the primary contrasts share, as the opening of a sentence."""
    rules = [_strategy(study, name).knobs["threshold"] for name in dict.fromkeys(primary.a)]
    if all(rule == "tuned" for rule in rules):
        return "once the threshold is tuned, "
    return "" if all(isinstance(rule, (int, float)) for rule in rules) else "with the same threshold rule, "


def _name_datasets(rows: pd.DataFrame) -> str:
    names = list(dict.fromkeys(rows.dataset))
    return f"on {names[0]}" if len(names) == 1 else f"on {count_noun(len(names), 'data set')}"


def _format_changes(rows: pd.DataFrame) -> str:
    low, high = (format_difference(f(rows["mean"])) for f in (min, max))
    return low if low == high else f"{low} to {high}"


def _append_counts(rows: pd.DataFrame, study: Study) -> str:
    decided = rows[rows.verdict.isin(DECIDED)]
    return f" ({count_verdicts(decided, ('better', 'worse'), study.claims.alpha)})" if len(decided) else ""


def _strategy(study: Study, name: str) -> Strategy:
    return next(s for s in study.strategies if s.name == name)


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]
