"""A finished study as the checks of ``imblab audit STUDY`` read it: its record, its tables and its stored fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imblab.commands.auditing import DEFAULT_PERMUTATIONS, Meter
from imblab.commands.layout import Layout
from imblab.edges import runner
from imblab.findings import Finding
from imblab.result import Evaluation, Family, StudyResult
from imblab.study import Dataset, Split, Study

#: Evaluations of a data set and learner are charged less a fit than this share of them where they share fits.
CHARGED_QUANTILE = 0.9


@dataclass(frozen=True, eq=False)
class AuditedStudy:
    """A study with everything that a check of its audit reads."""

    layout: Layout  # the study, its loaded tables, its outer splits and its cells
    evaluations: Mapping[str, Evaluation]  # what the record holds of the design, by the key of the cell
    result: StudyResult  # scores by data set and learner, contrasts and the recommendation
    home: Path  # the folder of the record
    #: Processes, time limit and, where there is one, the prediction store. The audit never writes to that store.
    engine: runner.Engine
    meter: Meter  # counts the evaluations that are run for the audit, and shows their progress
    permutations: int = DEFAULT_PERMUTATIONS  # runs with permuted labels
    seed: int = 0  # of all that a check draws
    chance: float | None = None  # the score without information, where the user stated it
    #: what was computed for a price and is needed again, by what it belongs to and its name
    memo: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    @property
    def study(self) -> Study:
        """The question; its data sets are called by their keys."""
        return self.layout.study

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """The loaded tables, by the names that evaluations have."""
        return self.layout.datasets

    def scored(self) -> Iterator[Evaluation]:
        """Yield the evaluations with scores, in the order of the design."""
        for cell in self.layout.cells:
            evaluation = self.evaluations.get(cell.key)
            if evaluation is not None and evaluation.status == "ok":
                yield evaluation

    def first_repeat(self, name: str) -> tuple[Split, ...]:
        """Return the outer splits of a data set in its first repeat."""
        return tuple(split for split in self.layout.plans[name] if split.repeat == 0)

    @cached_property
    def seconds_per_fit(self) -> Mapping[Family, float]:
        """The seconds of a fit by data set and learner, at the pace of the record.

        A fit that several evaluations share is charged to the first of them, so that most of the others are too cheap.
        """
        paces: dict[Family, list[float]] = {}
        for each in self.scored():
            if each.fits:
                paces.setdefault((each.dataset, each.learner), []).append(each.seconds / each.fits)
        return {family: float(np.quantile(values, CHARGED_QUANTILE)) for family, values in paces.items()}

    def price_of(self, keys: Sequence[str], times: float = 1) -> FitPrice:
        """Return what evaluations take by themselves, without fits that they share; cells without one take no time."""
        paces = self.seconds_per_fit
        known = [self.evaluations[key] for key in keys if key in self.evaluations]
        seconds = sum(each.fits * paces.get((each.dataset, each.learner), 0.0) for each in known)
        return FitPrice(len(keys), times * seconds)


class FitPrice(NamedTuple):
    """Evaluations that a check runs, and their seconds in one process."""

    evaluations: int = 0  # as often as the check calls ``meter.count``
    seconds: float = 0.0  # at the pace of the record


class StudyCheck(NamedTuple):
    """A check of the audit of a study."""

    name: str  # as ``--checks`` names it, and its findings
    #: returns the findings; an error of imblab that it raises makes the check *not made*, with the message as reason
    make: Callable[[AuditedStudy], Iterable[Finding]]
    price: Callable[[AuditedStudy], FitPrice] = lambda study: FitPrice()  # returns what the check will fit
