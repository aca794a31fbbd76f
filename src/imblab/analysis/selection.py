"""Selection of the strategies that are exported: per data set the recommended one, or the one that was named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from imblab.analysis.advice import describe_no_gain
from imblab.analysis.methods import named
from imblab.analysis.recommendation import NAMED_SCORES
from imblab.errors import StudyError, unknown
from imblab.result import StudyResult
from imblab.text import format_score

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
    return [_best(rows, result, choice) for _, rows in scored.groupby("dataset", sort=False)]


def _best(rows: pd.DataFrame, result: StudyResult, choice: Mapping[str, str]) -> Selection:
    measure = result.study.primary_measure
    value = rows["mean"] if measure.greater_is_better else -rows["mean"]
    row, how = rows[value.max() - value <= MAX_TIED_DIFFERENCE].iloc[0], "Chosen as the best"
    if "strategy" not in choice:
        advice, how = result.recommendation, "Chosen as the recommended one"
        dataset = str(row.dataset)
        chosen = advice.families[dataset, choice["learner"]] if "learner" in choice else advice.datasets[dataset]
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
