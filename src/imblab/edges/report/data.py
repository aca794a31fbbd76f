"""The data of a report: a study with its evaluations, verdicts and evidence, looked up by strategy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from imblab.analysis.evidence import CellKey, CountsOfFolds, group_rows
from imblab.analysis.methods import named, short_label
from imblab.analysis.tuning import RatioLadder, ratio_ladders
from imblab.edges.figures.axes import Figure
from imblab.edges.palette import Look, looks_of
from imblab.edges.report.elements import Line, Panel, Table, TableCell, text_cell
from imblab.result import Evaluation, Family, Place, StudyResult
from imblab.stats.curves import FoldCounts
from imblab.study import Study
from imblab.text import join_words

_Key = TypeVar("_Key")

#: The first column of a table whose rows are strategies.
STRATEGY_COLUMN = ("strategy", "data set, learner, strategy")
MISSING_EVIDENCE = (
    "This needs evidence.parquet, which is missing: it is written at the end of a run, from the prediction store. "
    "Run the study again where the store still has its predictions; no model is fitted then."
)


class _FoldsByKey(Mapping[_Key, list[FoldCounts]]):
    """The counts of the outer folds that share a key, made from their arrays whenever they are asked for."""

    def __init__(self, counts: CountsOfFolds, key_of: Callable[[CellKey, str], _Key]) -> None:
        self._counts = counts
        self._folds: dict[_Key, list[int]] = {}
        for i, cell in enumerate(counts.cells):
            self._folds.setdefault(key_of(*cell), []).append(i)

    def __getitem__(self, key: _Key) -> list[FoldCounts]:
        return [self._counts[i] for i in self._folds[key]]

    def __contains__(self, key: object) -> bool:
        return key in self._folds

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._folds)

    def __len__(self) -> int:
        return len(self._folds)


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceIndex:
    """The evidence of a study by data set, learner and strategy."""

    folds: Mapping[Place, list[FoldCounts]]  # counts of every outer fold
    #: Means over folds or repeats of what has a name, by kind: ``chance``, ``calibration``, ``prior``, ``synthetic``.
    #: NaN where one of the values is missing.
    statistics: Mapping[tuple[str, Place], Mapping[str, float]]
    bins: Mapping[Place, np.ndarray]  # (n_bins, 3): rows, sum of probabilities and positives, summed over repeats
    #: with more than two classes the counts of each class against the rest, of every outer fold
    class_folds: Mapping[tuple[Place, int], list[FoldCounts]] = field(default_factory=dict)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> EvidenceIndex:
        """Read the frame of :mod:`imblab.analysis.evidence`."""
        statistics: dict[tuple[str, Place], dict[str, float]] = {}
        bins: dict[Place, dict[int, np.ndarray]] = {}
        coordinates = ("dataset", "learner", "strategy", "name")
        is_bin = frame.kind == "bin"
        folds = _FoldsByKey(CountsOfFolds.from_frame(frame, "cut"), lambda cell, _: cell[:3])
        class_folds = _FoldsByKey(CountsOfFolds.from_frame(frame, "class_cut"), lambda cell, c: (cell[:3], int(c)))
        # Covariances are read with the result; as statistics they would be the largest part of the index.
        is_other = is_bin | frame.kind.isin(("cut", "class_cut", "covariance"))
        for (kind, dataset, learner, strategy, name), values in _groups(frame[~is_other], "kind", *coordinates):
            by_name = statistics.setdefault((kind, (dataset, learner, strategy)), {})
            by_name[name] = float(values[:, 0].mean())
        for (dataset, learner, strategy, name), values in _groups(frame[is_bin], *coordinates):
            bins.setdefault((dataset, learner, strategy), {})[int(name)] = values.sum(axis=0)
        arrays = {place: np.array([by_number[i] for i in sorted(by_number)]) for place, by_number in bins.items()}
        return cls(folds, statistics, arrays, class_folds)

    def statistics_of(self, kind: str) -> dict[Place, Mapping[str, float]]:
        """Return the statistics of one kind by strategy."""
        return {place: values for (k, place), values in self.statistics.items() if k == kind}

    def statistic(self, kind: str, name: str) -> dict[Place, float]:
        """Return one statistic by strategy, where it is known."""
        return {place: values[name] for place, values in self.statistics_of(kind).items() if name in values}


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that a report is made from."""

    result: StudyResult  # the study with its evaluations and verdicts
    evidence: EvidenceIndex | None  # None for a study without evidence
    facts: Mapping[str, Any]  # what was recorded with the evidence: ``versions``, ``tables``, ``git``, ``system``
    hashes: Mapping[str, str]  # SHA-256 of the files, by name
    exploratory: str | None  # why the study has no verdict
    command: str  # the command that makes the study again

    @property
    def study(self) -> Study:
        """The study of the result."""
        return self.result.study

    @cached_property
    def evaluations_of(self) -> dict[Place, list[Evaluation]]:
        """The evaluations by strategy."""
        by_place: dict[Place, list[Evaluation]] = {}
        for e in self.result.evaluations:
            by_place.setdefault((e.dataset, e.learner, e.strategy), []).append(e)
        return by_place

    @cached_property
    def summary_of(self) -> dict[Place, dict[str, Any]]:
        """The rows of the summary by strategy."""
        records = self.result.summary.to_dict("records")
        return {(r["dataset"], r["learner"], r["strategy"]): {str(k): v for k, v in r.items()} for r in records}

    @property
    def evidence_index(self) -> EvidenceIndex:
        """The evidence by strategy; empty for a study without evidence."""
        return EvidenceIndex({}, {}, {}) if self.evidence is None else self.evidence

    @cached_property
    def datasets(self) -> list[str]:
        """The data sets that have an evaluation, in the order of the study."""
        return list(dict.fromkeys(dataset for dataset, _, _ in self.evaluations_of))

    @cached_property
    def learners(self) -> list[str]:
        """The learners that have an evaluation, in the order of the study."""
        return list(dict.fromkeys(learner for _, learner, _ in self.evaluations_of))

    @cached_property
    def strategies(self) -> list[str]:
        """The strategies that have an evaluation, in the order of the study."""
        evaluated = dict.fromkeys(strategy for _, _, strategy in self.evaluations_of)
        declared = [name for name in self.study.strategy_names if name in evaluated]
        return [*declared, *(name for name in evaluated if name not in declared)]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """How every strategy that has an evaluation is drawn, in the order of the study."""
        return looks_of(self.study.strategies, self.strategies)

    @cached_property
    def ladders(self) -> list[RatioLadder]:
        """The strategies that differ in their ratio alone, among those that have an evaluation."""
        return ratio_ladders([s for s in self.study.strategies if s.name in self.strategies])

    @cached_property
    def label_of(self) -> dict[str, str]:
        """The labels of strategies, with the name where another strategy has the same label."""
        declared = {s.name: s for s in self.study.strategies}
        two = self.result.recommendation.has_two_classes
        labels = {name: short_label(declared[name], two) if name in declared else name for name in self.strategies}
        counts = Counter(labels.values())
        return {name: text if counts[text] == 1 else f"{text} ({name})" for name, text in labels.items()}

    @cached_property
    def families(self) -> list[Family]:
        """Data sets and learners in the order of the summary."""
        return list(dict.fromkeys((dataset, learner) for dataset, learner, _ in self.summary_of))

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The labels of data sets with more than two classes, in class order."""
        return self.result.classes

    @property
    def has_two_classes(self) -> bool:
        """Whether a data set has two classes."""
        return self.result.recommendation.has_two_classes

    @cached_property
    def class_rows(self) -> dict[str, np.ndarray]:
        """Rows of each class that the first repeat tested, by data set; zeros without an evaluation with scores."""
        scored = (e for e in reversed(self.result.evaluations) if e.status == "ok" and e.repeat == 0)
        first = {(e.dataset, e.fold): e for e in scored}
        rows = {name: np.zeros(len(self.classes.get(name, ())) or 2, dtype=np.int64) for name in self.datasets}
        for (dataset, _), e in first.items():
            rows[dataset] = rows[dataset] + e.matrix.sum(axis=1)
        return rows

    @property
    def primary_label(self) -> str:
        """The primary measure as people write it."""
        return named(self.study.primary)

    @property
    def sign(self) -> int:
        """1 where a greater primary measure is better, else -1."""
        return self.study.primary_measure.sign

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
        """Return positives over negatives, or the smallest over the largest class; None where a class is missing."""
        rows = self.class_rows[dataset]
        if not rows.all():
            return None
        return float(rows[1] / rows[0] if len(rows) == 2 else rows.min() / rows.max())

    def panel(self, figure: Figure, dataset: str, learner: str, strategy: str = "") -> Panel:
        """Return a figure of a data set and learner with the numbers by which a reader picks it."""
        return Panel(figure, self.picks(dataset, learner, strategy))

    def picks(self, dataset: str, learner: str = "", strategy: str = "") -> dict[str, int]:
        """Return the numbers by which a reader picks a data set, a learner and a strategy."""
        lists = (("d", self.datasets, dataset), ("l", self.learners, learner), ("s", self.strategies, strategy))
        return {letter: names.index(name) for letter, names, name in lists if name}

    def line(self, place: Place, *cells: TableCell, note: str = "") -> Line:
        """Make a row of a table about one strategy."""
        key = "/".join((*place, note) if note else place)
        words = ", ".join((*place[:2], self.label_of[place[2]]))
        return Line(key, (text_cell(words, plain=", ".join(place)), *cells), self.picks(*place))

    def strategy_cell(self, strategy: str) -> TableCell:
        """Make the cell of a strategy: its label, and its name in files."""
        return text_cell(self.label_of.get(strategy, strategy), plain=strategy)

    def pair(self, a: str, b: str) -> str:
        """Return what the page calls a contrast."""
        return f"{self.label_of.get(a, a)} − {self.label_of.get(b, b)}"

    def not_for_classes(self) -> tuple[str, ...]:
        """Say in a sentence which data sets a section for two classes leaves out; empty where it has all."""
        others = f"This section is for two classes; not in it, with more: {join_words(self.classes)}."
        return (others,) if self.classes else ()

    def decision_value_learners(self) -> str:
        """Return the learners that give decision values and no probabilities, as a list in a sentence."""
        return join_words(n.name for n in self.study.learners if not n.traits.gives_probabilities)


def strategy_table(
    name: str, caption: str, columns: Sequence[tuple[str, str]], lines: Sequence[Line], note: str = ""
) -> Table:
    """Make a table whose rows are strategies."""
    return Table(name, caption, (STRATEGY_COLUMN, *columns), tuple(lines), note)


def _groups(frame: pd.DataFrame, *names: str) -> Iterator[tuple[list[str], np.ndarray]]:
    """The x, y and z of the rows that share names, in the order in which these appear."""
    if frame.empty:
        return
    order, starts = group_rows(frame, names)
    values = frame[["x", "y", "z"]].to_numpy()[order]
    keys = frame.iloc[order[starts]][list(names)].astype(str).itertuples(index=False, name=None)
    for key, part in zip(keys, np.split(values, starts[1:]), strict=True):
        yield list(key), part
