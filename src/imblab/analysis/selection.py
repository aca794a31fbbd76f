"""Selection of the strategies that are exported: per data set the recommended one, or the one that was named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from imblab.analysis.advice import describe_no_gain
from imblab.analysis.methods import named
from imblab.analysis.recommendation import NAMED_SCORES
from imblab.errors import StudyError, unknown
from imblab.result import RecommendedStrategy, StudyResult
from imblab.text import format_score, join_words

#: Means that differ by no more are tied: the first in the order of the study is selected.
MAX_TIED_DIFFERENCE = 1e-12


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
    for kind, name in choice.items():
        names = list(dict.fromkeys(summary[kind])) if len(summary) else []
        if name not in names:
            raise StudyError(unknown(kind if kind != "dataset" else "data set", name, names))
        summary = summary[summary[kind] == name]
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
