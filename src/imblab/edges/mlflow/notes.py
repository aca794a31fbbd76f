"""The answer of a study in MLflow: descriptions of runs, and what tells the recommended strategy and the verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from imblab.analysis import outer_splits
from imblab.analysis.compare import describe_estimators, describe_verdict
from imblab.analysis.outer_splits import describe_kind
from imblab.analysis.paired import missing_reason, strategy_scores
from imblab.analysis.text_tables import percent
from imblab.result import Family, FamilyScores, Place, StudyResult
from imblab.study import Scalar, Study
from imblab.text import format_score, join_words

VERDICT_TAG, RECOMMENDED_TAG = "imblab.verdict", "imblab.recommended"
#: Values of the tag of the recommended strategy: of its learner on a data set, and of the data set over learners.
NOT_RECOMMENDED, FOR_LEARNER, FOR_DATASET = "no", "with this learner", "on this data set"
#: A verdict as seen from the other strategy; others stay.
_MIRRORED = {"better": "worse", "worse": "better"}
#: What follows a verdict; ``against`` follows others.
_PREPOSITIONS = {"better": "than", "worse": "than", "equivalent": "to", "identical": "to"}


def answer_tags(result: StudyResult) -> dict[Place, dict[str, str]]:
    """Tags of every data set, learner and strategy: whether it is recommended, and the primary verdict.

    The verdict is told from the side of the strategy: ``worse than smote`` for the second strategy of a contrast whose
    first one is better. A strategy without a primary contrast tells those of its data set and learner.
    """
    primary: dict[Family, list[tuple[str, str, str]]] = {}
    for row in result.answer.primary.to_dict("records"):
        told = str(row["a"]), str(row["b"]), describe_verdict(row, result.study.claims.alpha)
        primary.setdefault((str(row["dataset"]), str(row["learner"])), []).append(told)
    tags = {}
    for family, scores in result.scores.items():
        for strategy in scores.strategies:
            verdict = _tell_verdict(strategy, primary.get(family, []))
            recommended = {RECOMMENDED_TAG: _recommended(result, *family, strategy)}
            tags[(*family, strategy)] = recommended | ({VERDICT_TAG: verdict} if verdict else {})
    return tags


def rank_strategies(scores: FamilyScores, study: Study) -> dict[str, int]:
    """Rank the strategies of a data set and learner by their mean; ties share a rank, incomplete ones have none."""
    sign = study.primary_measure.sign
    complete = [name for name in scores.strategies if missing_reason(scores, name, study.primary) is None]
    means = {name: sign * float(np.mean(strategy_scores(scores, name, study.primary))) for name in complete}
    return {name: 1 + sum(other > mean for other in means.values()) for name, mean in means.items()}


def leading_sentences(result: StudyResult, is_running: bool) -> list[str]:
    """The sentences before the verdicts: what is missing, and what calls for caution."""
    completeness = result.completeness
    if is_running:
        return [f"Running: no verdict before all {completeness.asked:,} evaluations of the design are there."]
    notes = outer_splits.rebalancing_notes(result.study).values() if completeness.is_complete else ()
    return [*completeness.sentences(), *map("{}.".format, notes)]


def verdict_sentences(result: StudyResult, is_running: bool) -> dict[Family, str]:
    """The verdict of each data set and learner with a contrast, once the design is complete."""
    if is_running or not result.completeness.is_complete or result.contrasts.empty:
        return {}
    families = result.contrasts[["dataset", "learner"]].drop_duplicates().itertuples(index=False, name=None)
    return dict(zip(families, result.sentences, strict=False))


def study_note(result: StudyResult, lead: Sequence[str], verdicts: Mapping[Family, str], is_running: bool) -> str:
    """Describe a study: its answer in one paragraph, which is all that a folded page shows, then details."""
    study, answer = result.study, result.answer
    title = f"**{study.name}**: {study.primary} by {describe_kind(study)}"
    if is_running:
        return "\n\n".join([lead[0], title])
    advice = list(answer.recommendation)
    details = [*advice[1:], *answer.findings, *answer.limits, *lead, *verdicts.values()]
    paragraph = " ".join([f"**{answer.headline}**", *advice[:1]])
    return "\n\n".join([paragraph, title, "\n".join(f"- {sentence}" for sentence in dict.fromkeys(details))])


def link_answer(note: str, links: Mapping[str, str]) -> str:
    r"""Add links to saved views, addresses by title, to the paragraph with the answer.

    A folded page shows the first line of it, so the first link stands in front; the others are a paragraph below it.

    Examples
    --------
    >>> link_answer("Use a tuned threshold.\n\nDetails", {"Answer": "#/1", "Strategies": "#/2"})
    '[Answer](#/1): Use a tuned threshold.\n\n[Strategies](#/2)\n\nDetails'
    """
    if not links:
        return note
    first, *others = (f"[{title}]({address})" for title, address in links.items())
    answer, *details = note.split("\n\n")
    return "\n\n".join([f"{first}: {answer}", *([" · ".join(others)] if others else []), *details])


def cell_note(study: Study, scores: FamilyScores, row: int, verdict: str, verdict_first: bool) -> str:
    """Describe a cell: the verdict, the headline, failures, and a table of what was chosen in every fold."""
    strategy, primary = scores.strategies[row], study.primary
    members, values = scores.evaluations_of(strategy), strategy_scores(scores, strategy, primary)
    values = values[~np.isnan(values)]
    lines = [verdict, ""] if verdict and verdict_first else []
    if len(values):
        spread = f" ± {format_score(float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
        lines.append(f"**{primary} {format_score(float(np.mean(values)))}{spread}** over {len(values)} folds")
    lines += ["", verdict] if verdict and not verdict_first else []
    reasons = {each.error for each in members if each.status != "ok" and each.error}
    lines += ["", *(f"- {reason}" for reason in sorted(reasons))] if reasons else []
    knobs = list(dict.fromkeys(knob for each in members for knob in each.params))
    header = ["repeat", "fold", *knobs, "threshold", f"inner {primary}", primary]
    lines += ["", _table_line(header), _table_line(["---"] * len(header))]
    for each in members:
        several = ", ".join(map(_short_text, each.threshold)) if isinstance(each.threshold, tuple) else None
        threshold = each.single_threshold if several is None else several
        cells = [*map(each.params.get, knobs), threshold, each.value, each.scores.get(primary)]
        lines.append(_table_line([str(each.repeat), str(each.fold), *map(_short_text, cells)]))
    if len(values) > 1:
        corrected = "Nadeau and Bengio's corrected t for means of scores"
        lines += ["", f"Intervals cover {percent(study)}, unadjusted: {corrected}."]
    return "\n".join(lines).strip()


def describe_gain_intervals(result: StudyResult, family: Family) -> str:
    """Say which standard error gains in the primary measure have on a data set with a learner; empty without one."""
    contrasts = result.contrasts
    rows = contrasts[(contrasts.dataset == family[0]) & (contrasts.learner == family[1])]
    sentences = describe_estimators(rows)
    return f"Gains in {result.study.primary}: {sentences[0][:1].lower()}{sentences[0][1:]}" if sentences else ""


def _recommended(result: StudyResult, dataset: str, learner: str, strategy: str) -> str:
    """The value of :data:`RECOMMENDED_TAG`."""
    choice = result.recommendation
    of_dataset, of_family = choice.datasets.get(dataset), choice.families.get((dataset, learner))
    if of_dataset is not None and (of_dataset.learner, of_dataset.strategy) == (learner, strategy):
        return FOR_DATASET
    return FOR_LEARNER if of_family is not None and of_family.strategy == strategy else NOT_RECOMMENDED


def _tell_verdict(strategy: str, contrasts: Sequence[tuple[str, str, str]]) -> str:
    """Tell the verdicts of contrasts (a, b, verdict) from the side of a strategy; empty without a contrast."""
    phrases = [
        _phrase_verdict(verdict, b) if strategy == a else _phrase_verdict(verdict, a, is_mirrored=True)
        for a, b, verdict in contrasts
        if strategy in (a, b)
    ]
    if phrases or len(contrasts) <= 1:
        return "; ".join(phrases or [f"{a} {_phrase_verdict(verdict, b)}" for a, b, verdict in contrasts])
    counts = Counter(verdict for _, _, verdict in contrasts)
    return f"{len(contrasts)} contrasts: {join_words(f'{n} {verdict}' for verdict, n in counts.items())}"


def _phrase_verdict(verdict: str, other: str, is_mirrored: bool = False) -> str:
    word, *size = verdict.partition(" by ")
    word = _MIRRORED.get(word, word) if is_mirrored else word
    return f"{word} {_PREPOSITIONS.get(word, 'against')} {other}{''.join(size)}"


def _short_text(value: Scalar | None) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
