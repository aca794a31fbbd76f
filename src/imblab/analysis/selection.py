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
from imblab.text import count_noun, format_score, join_words

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
    with the best mean is selected. In an incomplete design learner and strategy must both be named.
    """
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
    named_sets = [choice["dataset"]] if "dataset" in choice else [*study.datasets, *result.summary.dataset]
    by_dataset = {name: scored[scored.dataset == name] for name in dict.fromkeys(named_sets)}
    _check_selectable(by_dataset, result, choice)
    return [_best(rows, result, choice) for rows in by_dataset.values()]


def _check_selectable(by_dataset: Mapping[str, pd.DataFrame], result: StudyResult, choice: Mapping[str, str]) -> None:
    """Refuse data sets for which nothing can be selected, all at once; rows are strategies with a mean, by data set."""
    missing: dict[str, str] = {}
    strategies: dict[str, None] = {}
    for name, rows in by_dataset.items():
        chosen = _advised(result, name, choice)
        if not len(rows):
            missing[name] = (chosen and chosen.reason) or "no strategy asked for has a score in every fold"
        elif "strategy" not in choice and chosen is not None and chosen.strategy is None:
            missing[name], strategies = str(chosen.reason), strategies | dict.fromkeys(rows.strategy)
    if not missing:
        return
    ready = [name for name in by_dataset if name not in missing]
    ways = [
        f"{key}=... ({join_words(names)})" for key, names in (("strategy", strategies), ("dataset", ready)) if names
    ]
    reasons = "; ".join(f"{name!r}, {reason}" for name, reason in missing.items())
    raise StudyError(
        f"study {result.study.name!r} has nothing to export for {count_noun(len(missing), 'data set')}: {reasons}; a "
        f"model is exported with its scores, one for each data set. Name {' or '.join(ways)}."
    )


def _advised(result: StudyResult, dataset: str, choice: Mapping[str, str]) -> RecommendedStrategy | None:
    advice = result.recommendation
    return advice.families.get((dataset, choice["learner"])) if "learner" in choice else advice.datasets.get(dataset)


def _best(rows: pd.DataFrame, result: StudyResult, choice: Mapping[str, str]) -> Selection:
    measure = result.study.primary_measure
    value = rows["mean"] if measure.greater_is_better else -rows["mean"]
    row, how = rows[value.max() - value <= MAX_TIED_DIFFERENCE].iloc[0], "Chosen as the best"
    if "strategy" not in choice and (chosen := _advised(result, str(row.dataset), choice)) is not None:
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
