"""The data of a report: a study with its evaluations, verdicts and evidence, looked up by strategy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import evidence
from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.methods import named
from imblab.edges.report.elements import Line, Table, TableCell, text_cell
from imblab.result import Completeness, Evaluation, Family, Place, StudyResult
from imblab.stats.curves import FoldCounts
from imblab.study import Study
from imblab.text import join_words

#: The first column of a table whose rows are strategies.
STRATEGY_COLUMN = ("strategy", "data set, learner, strategy")
MISSING_EVIDENCE = (
    "This needs evidence.parquet, which is missing: it is written at the end of a run, from the prediction store. "
    "Run the study again where the store still has its predictions; no model is fitted then."
)


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceIndex:
    """The evidence of a study by data set, learner and strategy.

    Attributes
    ----------
    folds : mapping of Place to list of FoldCounts
        Counts of every outer fold.
    statistics : mapping of (kind, Place) to mapping of str to float
        Means over folds or repeats of what has a name, by kind: ``chance``, ``calibration``, ``prior``, ``synthetic``.
        NaN where one of the values is missing.
    bins : mapping of Place to ndarray of shape (n_bins, 3)
        Rows, sum of probabilities and positives, summed over repeats.
    """

    folds: Mapping[Place, list[FoldCounts]]
    statistics: Mapping[tuple[str, Place], Mapping[str, float]]
    bins: Mapping[Place, np.ndarray]

    @classmethod
    def from_frame(cls, frame: pd.DataFrame | None) -> EvidenceIndex:
        """Read the frame of :mod:`imblab.analysis.evidence`; empty for None."""
        folds: dict[Place, list[FoldCounts]] = {}
        statistics: dict[tuple[str, Place], dict[str, float]] = {}
        bins: dict[Place, dict[int, np.ndarray]] = {}
        if frame is None:
            return cls(folds, statistics, {})
        for (dataset, learner, strategy, _, _), counts in evidence.fold_counts(frame):
            folds.setdefault((dataset, learner, strategy), []).append(counts)
        coordinates = ("dataset", "learner", "strategy", "name")
        is_bin = frame.kind == "bin"
        for (kind, *place, name), values in _groups(frame[~is_bin & (frame.kind != "cut")], "kind", *coordinates):
            statistics.setdefault((kind, _as_place(place)), {})[name] = float(values[:, 0].mean())
        for (*place, name), values in _groups(frame[is_bin], *coordinates):
            bins.setdefault(_as_place(place), {})[int(name)] = values.sum(axis=0)
        arrays = {place: np.array([by_name[i] for i in sorted(by_name)]) for place, by_name in bins.items()}
        return cls(folds, statistics, arrays)

    def statistics_of(self, kind: str) -> dict[Place, Mapping[str, float]]:
        """Return the statistics of one kind by strategy."""
        return {place: values for (k, place), values in self.statistics.items() if k == kind}


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """Everything that a report is made from.

    Attributes
    ----------
    result : StudyResult
        The study with its evaluations and verdicts.
    evidence : DataFrame or None
    facts : mapping
        What was recorded with the evidence: ``versions``, ``tables``, ``git``, ``system``.
    hashes : mapping of str to str
        SHA-256 of the files, by name.
    exploratory : str or None
        Why the study has no verdict.
    command : str
        The command that makes the study again.
    study, evaluations, completeness, summary, contrasts, across, sentences
        Those of the result.
    datasets, learners, strategies : list of str
        Those that have an evaluation, in the order of the study.
    families : list of (str, str)
        Data sets and learners.
    evaluations_of : mapping of Place to list of Evaluation
        The evaluations by strategy.
    summary_of : mapping of Place to mapping
        Rows of ``summary``.
    census : mapping of str to (int, int)
        Rows and positives that the first repeat tested, by data set.
    evidence_index : EvidenceIndex
    """

    result: StudyResult
    evidence: pd.DataFrame | None
    facts: Mapping[str, Any]
    hashes: Mapping[str, str]
    exploratory: str | None
    command: str

    study: Study = field(init=False)
    evaluations: tuple[Evaluation, ...] = field(init=False)
    completeness: Completeness = field(init=False)
    summary: pd.DataFrame = field(init=False)
    contrasts: pd.DataFrame = field(init=False)
    across: tuple[AcrossDatasets, ...] = field(init=False)
    sentences: tuple[str, ...] = field(init=False)
    datasets: list[str] = field(init=False)
    learners: list[str] = field(init=False)
    strategies: list[str] = field(init=False)
    families: list[Family] = field(init=False)
    evaluations_of: dict[Place, list[Evaluation]] = field(init=False)
    summary_of: dict[Place, dict[str, Any]] = field(init=False)
    census: dict[str, tuple[int, int]] = field(init=False)
    evidence_index: EvidenceIndex = field(init=False)

    def __post_init__(self) -> None:
        result = self.result
        evaluations_of: dict[Place, list[Evaluation]] = {}
        for e in result.evaluations:
            evaluations_of.setdefault((e.dataset, e.learner, e.strategy), []).append(e)
        summary_of = {(r["dataset"], r["learner"], r["strategy"]): r for r in result.summary.to_dict("records")}
        declared = result.study.strategy_names
        evaluated = list(dict.fromkeys(strategy for *_, strategy in evaluations_of))
        shared = ("study", "evaluations", "completeness", "summary", "contrasts", "across", "sentences")
        indexed = {
            **{name: getattr(result, name) for name in shared},
            "datasets": list(dict.fromkeys(dataset for dataset, *_ in evaluations_of)),
            "learners": list(dict.fromkeys(learner for _, learner, _ in evaluations_of)),
            "strategies": [n for n in declared if n in evaluated] + [n for n in evaluated if n not in declared],
            "families": list(dict.fromkeys((dataset, learner) for dataset, learner, _ in summary_of)),
            "evaluations_of": evaluations_of,
            "summary_of": summary_of,
            "census": _census(result.evaluations),
            "evidence_index": EvidenceIndex.from_frame(self.evidence),
        }
        for name, value in indexed.items():
            object.__setattr__(self, name, value)

    @property
    def primary_label(self) -> str:
        """The primary measure as people write it."""
        return named(self.study.primary)

    @property
    def sign(self) -> int:
        """1 where a greater primary measure is better, else -1."""
        return 1 if self.study.primary_measure.greater_is_better else -1

    def places(self, dataset: str | None = None, learner: str | None = None) -> list[Place]:
        """Return the strategies with a score, those of all families or of one."""
        families = self.families if dataset is None or learner is None else [(dataset, learner)]
        return [
            (d, n, s)
            for d, n in families
            for s in self.strategies
            if any(row.status == "ok" for row in self.evaluations_of.get((d, n, s), ()))
        ]

    def natural_ratio(self, dataset: str) -> float | None:
        """Return positives over negatives before any resampling; None where a class is missing."""
        n, positives = self.census[dataset]
        return positives / (n - positives) if 0 < positives < n else None

    def picks(self, dataset: str, learner: str = "", strategy: str = "") -> dict[str, int]:
        """Return the numbers by which a reader picks a data set, a learner and a strategy."""
        lists = (("d", self.datasets, dataset), ("l", self.learners, learner), ("s", self.strategies, strategy))
        return {letter: names.index(name) for letter, names, name in lists if name}

    def line(self, place: Place, *cells: TableCell, note: str = "") -> Line:
        """Make a row of a table about one strategy."""
        key = "/".join((*place, note) if note else place)
        return Line(key, (text_cell(", ".join(place)), *cells), self.picks(*place))

    def decision_value_learners(self) -> str:
        """Return the learners that give decision values and no probabilities, as a list in a sentence."""
        return join_words(n.name for n in self.study.learners if not n.traits.gives_probabilities)


def strategy_table(
    name: str, caption: str, columns: Sequence[tuple[str, str]], lines: Sequence[Line], note: str = ""
) -> Table:
    """Make a table whose rows are strategies."""
    return Table(name, caption, (STRATEGY_COLUMN, *columns), tuple(lines), note)


def _census(rows: Sequence[Evaluation]) -> dict[str, tuple[int, int]]:
    census = {row.dataset: (0, 0) for row in rows}
    counted = set()
    for row in rows:
        if row.status == "ok" and row.repeat == 0 and (row.dataset, row.fold) not in counted:
            counted.add((row.dataset, row.fold))
            n, positives = census[row.dataset]
            census[row.dataset] = n + row.n_test, positives + row.counts.get("tp", 0) + row.counts.get("fn", 0)
    return census


def _as_place(names: Sequence[str]) -> Place:
    dataset, learner, strategy = names
    return dataset, learner, strategy


def _groups(frame: pd.DataFrame, *names: str) -> Iterator[tuple[list[str], np.ndarray]]:
    """The x, y and z of the rows that share names, in the order in which these appear."""
    number = frame.groupby(list(names), sort=False, observed=True).ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(number.max(initial=-1) + 1))
    values = frame[["x", "y", "z"]].to_numpy()[order]
    keys = frame.iloc[order[starts]][list(names)].astype(str).itertuples(index=False, name=None)
    for key, part in zip(keys, np.split(values, starts[1:]), strict=True):
        yield list(key), part
