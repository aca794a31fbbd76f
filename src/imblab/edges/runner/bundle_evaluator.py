"""The rows of one bundle, in whatever process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import Any

from threadpoolctl import ThreadpoolController

from imblab.core import estimator_specs, splits
from imblab.core.evaluate import Task, evaluate_cell, inner_requests
from imblab.core.fitting import FitRequest, FitSharing, recorded_warnings
from imblab.core.preparation import FeatureArrays, feature_arrays, row_digest
from imblab.core.splits import RowPair
from imblab.edges.runner.prediction_cache import FitGuard, PredictionCache, PredictionStore, unguarded
from imblab.result import Evaluation
from imblab.study import Cell, Choice, Dataset, Interval, Learner, Split, Study


@dataclass(frozen=True, slots=True)
class Bundle:
    """Cells that share their rows and their learner, and so their fits.

    Attributes
    ----------
    study : Study
    dataset : str
        Its name.
    splits : tuple of Split
        The whole plan of the data set.
    cells : tuple of Cell
        One data set, one learner; one outer split, or one repeat where the inner folds are the other outer folds.
    """

    study: Study
    dataset: str
    splits: tuple[Split, ...]
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """The bundle in a few words."""
        cell = self.cells[0]
        return f"{self.dataset}/{cell.learner.name}/{cell.split.repeat}/{cell.split.fold}"


def make_bundles(study: Study, plans: Mapping[str, Sequence[Split]], cells: Sequence[Cell]) -> tuple[Bundle, ...]:
    """Group cells by what they share, in the order of the design.

    Parameters
    ----------
    study : Study
    plans : mapping of str to sequence of Split
    cells : sequence of Cell

    Returns
    -------
    tuple of Bundle
    """
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        shared = study.protocol.inner == "shared"
        part = f"repeat {cell.split.repeat}" if shared else cell.split.fingerprint
        groups.setdefault((cell.dataset, cell.learner.name, part), []).append(cell)
    return tuple(Bundle(study, name, tuple(plans[name]), tuple(members)) for (name, _, _), members in groups.items())


@dataclass(frozen=True, slots=True, eq=False)
class DatasetContext:
    """A data set, its arrays and where what was answered is kept.

    Attributes
    ----------
    dataset : Dataset
    table : callable or None
        Gives the arrays, which are made where something is fitted; None where nothing will be.
    store : PredictionStore or None
    """

    dataset: Dataset
    table: Callable[[], FeatureArrays] | None
    store: PredictionStore | None = None

    @classmethod
    def of(cls, dataset: Dataset, store: PredictionStore | None = None) -> DatasetContext:
        """The ground of a data set in memory."""
        return cls(dataset, cache(partial(feature_arrays, dataset)), store)


class BundleEvaluator:
    """A bundle on its ground, with everything its cells have in common.

    Parameters
    ----------
    bundle : Bundle
    ground : Ground
    dead : mapping of str to str, optional
        Fits that must not be tried again, with the reason.
    ahead : mapping of str to float, optional
        Seconds of the fits that were made for this bundle elsewhere, by address.
    guard : callable, optional
        Surrounds every fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        ground: DatasetContext,
        dead: Mapping[str, str] | None = None,
        ahead: Mapping[str, float] | None = None,
        guard: FitGuard = unguarded,
    ) -> None:
        self.bundle, self.ground = bundle, ground
        self._tasks: dict[str, Task] = {}
        study, data = bundle.study, ground.dataset
        outer = {cell.split.fingerprint: cell.split for cell in bundle.cells}
        self._pairs: dict[str, tuple[RowPair, ...]] = {
            key: splits.inner_pairs(data, study.protocol, study.seed, split, bundle.splits)
            for key, split in outer.items()
        }
        pairs = [pair for found in self._pairs.values() for pair in found]
        sharing = FitSharing(bundle.cells[0].learner, study.tuning, pairs)
        self.memory = PredictionCache(ground.table, sharing, largest_k(study), ground.store, dead or {}, guard)
        self.memory.expect(ahead or {})

    def task(self, cell: Cell) -> Task:
        """A cell with what its kernel reads."""
        if cell.key not in self._tasks:
            pairs = self._pairs[cell.split.fingerprint]
            self._tasks[cell.key] = Task(cell, self.bundle.study, self.ground.dataset, pairs, self.memory)
        return self._tasks[cell.key]

    def prepare(self, part: int = 0, parts: int = 1) -> None:
        """Fit what the cells will surely ask of their inner folds, fold by fold, or one part of it.

        Nothing where candidates must be judged one after the other.
        """
        tuning = self.bundle.study.tuning
        if tuning.search_method.is_adaptive or tuning.prune:
            return
        mine = self._fits(part, parts)
        self.memory.recall([atom.address for atom in mine])
        with recorded_warnings():
            for atom in mine:
                self.memory.look_up(atom)

    def _fits(self, part: int, parts: int) -> list[FitRequest]:
        """An atom at least for each fit of a part, those on the same rows together: they are prepared once."""
        tasks = [self.task(cell) for cell in self.bundle.cells]
        rows = dict.fromkeys(row_digest(fit) for task in tasks for fit, _ in task.pairs)
        # Of the n-th rows a part takes what lies between two of `parts` marks; most parts take nothing of most rows.
        marks = {
            key: [min(max((part + end) * len(rows) - n * parts, 0), parts) for end in (0, 1)]
            for n, key in enumerate(rows)
        }
        fits: dict[str, dict[str, FitRequest]] = {key: {} for key, (low, high) in marks.items() if low < high}
        for atom in (a for task in tasks for a in inner_requests(task, fits)):
            # Two questions that one fit answers must not come to two parts.
            fit = atom if parts == 1 else self.memory.sharing.family(atom)[0]
            fits[row_digest(atom.fit)][fit.address] = atom
        return [
            atom
            for key, found in fits.items()
            for atom in [*found.values()][slice(*(len(found) * mark // parts for mark in marks[key]))]
        ]

    def timed(self, atom: FitRequest) -> float:
        """Seconds of one fit, the preparation of its rows apart; its answer is kept like any other."""
        self.memory.part(atom.fit)
        begin = time.perf_counter()
        self.memory.look_up(atom)
        return time.perf_counter() - begin

    def rows(self) -> Iterator[Evaluation]:
        """The rows of the cells."""
        memory = self.memory
        for cell in self.bundle.cells:
            begin, ahead = time.perf_counter(), memory.seconds
            row = evaluate_cell(self.task(cell))
            # What was fitted ahead of the row is charged to the first row that needs it.
            seconds = time.perf_counter() - begin + memory.seconds - ahead
            yield replace(row, seconds=seconds)


def single_threaded(learner: Learner) -> AbstractContextManager[Any]:
    """Hold every numerical library to one thread: processes are what runs side by side."""
    held: AbstractContextManager[Any] = _thread_pools(learner.make["_target_"]).limit(limits=1)
    return held


@lru_cache(maxsize=64)
def _thread_pools(target: str) -> ThreadpoolController:
    """The libraries of this process once a class is imported; to look for them takes as long as two small fits."""
    estimator_specs.resolve_class(target, allow=None)
    return ThreadpoolController()


def largest_k(study: Study) -> int:
    """The largest number of neighbours that any strategy of a study asks for."""
    found = [0]
    for strategy in study.strategies:
        axis = strategy.space.get("k")
        if isinstance(axis, Choice):
            found += [int(v) for v in axis.values]
        elif isinstance(axis, Interval):
            found.append(int(axis.high))
        found.append(int(strategy.fixed_knobs.get("k", 0)))
    return max(found)
