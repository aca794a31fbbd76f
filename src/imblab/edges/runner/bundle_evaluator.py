"""Bundles of cells that share their fits, and the evaluator that works one off in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import Any

from threadpoolctl import ThreadpoolController

from imblab.core import estimator_specs, replay, splits
from imblab.core.evaluate import Task, evaluate_cell, inner_requests
from imblab.core.fitting import FitRequest, FitSharing, Prediction, recorded_warnings
from imblab.core.preparation import FeatureArrays, feature_arrays
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
        The study of the cells.
    dataset : str
        Its name.
    splits : tuple of Split
        All outer splits of the data set.
    cells : tuple of Cell
        Of one data set and learner, and of one outer split, or of one repeat where the inner folds are the other
        outer folds.
    """

    study: Study
    dataset: str
    splits: tuple[Split, ...]
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Data set, learner, repeat and fold of the first cell."""
        cell = self.cells[0]
        return f"{self.dataset}/{cell.learner.name}/{cell.split.repeat}/{cell.split.fold}"


def make_bundles(study: Study, plans: Mapping[str, Sequence[Split]], cells: Sequence[Cell]) -> tuple[Bundle, ...]:
    """Group cells by what they share, in the order of the design."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        shared = study.protocol.inner == "shared"
        part = f"repeat {cell.split.repeat}" if shared else cell.split.fingerprint
        groups.setdefault((cell.dataset, cell.learner.name, part), []).append(cell)
    return tuple(Bundle(study, name, tuple(plans[name]), tuple(members)) for (name, _, _), members in groups.items())


@dataclass(frozen=True, slots=True, eq=False)
class DatasetContext:
    """A data set with its arrays and its prediction store.

    Attributes
    ----------
    dataset : Dataset
        The table, loaded once per process.
    arrays : callable or None
        Makes the arrays at the first fit; None where nothing will be fitted.
    store : PredictionStore or None
        Where predictions are kept; None keeps none.
    """

    dataset: Dataset
    arrays: Callable[[], FeatureArrays] | None
    store: PredictionStore | None = None

    @classmethod
    def of(cls, dataset: Dataset, store: PredictionStore | None = None) -> DatasetContext:
        """Make the context of a data set in memory."""
        return cls(dataset, cache(partial(feature_arrays, dataset)), store)


class BundleEvaluator:
    """Evaluate the cells of a bundle, with everything they have in common.

    Parameters
    ----------
    bundle : Bundle
        The cells that are evaluated.
    context : DatasetContext
        The table and the store.
    failed : mapping of str to str, optional
        Fits that must not be tried again, by address, with the reason.
    fitted_ahead : mapping of str to float, optional
        Seconds of the fits that other processes made for this bundle, by address.
    guard : callable, optional
        Surrounds each fit.

    Attributes
    ----------
    outer_predictions : dict of str to Prediction
        What the evidence needs of the evaluations, by address, as far as no store holds it.
    """

    def __init__(
        self,
        bundle: Bundle,
        context: DatasetContext,
        failed: Mapping[str, str] | None = None,
        fitted_ahead: Mapping[str, float] | None = None,
        guard: FitGuard = unguarded,
    ) -> None:
        self.bundle, self.context = bundle, context
        self.outer_predictions: dict[str, Prediction] = {}
        self._tasks: dict[str, Task] = {}
        study, data = bundle.study, context.dataset
        outer = {cell.split.fingerprint: cell.split for cell in bundle.cells}
        self._pairs: dict[str, tuple[RowPair, ...]] = {
            key: splits.inner_pairs(data, study.protocol, study.seed, split, bundle.splits)
            for key, split in outer.items()
        }
        all_pairs = [pair for pairs in self._pairs.values() for pair in pairs]
        sharing = FitSharing(bundle.cells[0].learner, study.tuning, all_pairs)
        self.cache = PredictionCache(context.arrays, sharing, largest_k(study), context.store, failed or {}, guard)
        self.cache.announce(fitted_ahead or {})

    def task(self, cell: Cell) -> Task:
        """Return what the kernel reads of a cell."""
        if cell.key not in self._tasks:
            pairs = self._pairs[cell.split.fingerprint]
            self._tasks[cell.key] = Task(cell, self.bundle.study, self.context.dataset, pairs, self.cache)
        return self._tasks[cell.key]

    def fit_inner_folds(self, part: int = 0, parts: int = 1) -> None:
        """Fit what the cells will certainly ask of their inner folds, fold by fold, or one part of it.

        Fits nothing where candidates must be judged one after the other.
        """
        tuning = self.bundle.study.tuning
        if tuning.search_method.is_adaptive or tuning.prune:
            return
        requests = self.inner_fits(part, parts)
        self.cache.get_many([request.address for request in requests])
        with recorded_warnings():
            for request in requests:
                self.cache.get(request)

    def inner_fits(self, part: int, parts: int) -> list[FitRequest]:
        """List at least one request per fit of a part; those on the same rows together, which are prepared once."""
        tasks = [self.task(cell) for cell in self.bundle.cells]
        fit_rows = dict.fromkeys(key for task in tasks for key, _ in task.fingerprints)
        # A part takes the stretch between two of `parts` marks on the n-th rows; most parts take nothing of most rows.
        marks = {
            key: [min(max((part + end) * len(fit_rows) - n * parts, 0), parts) for end in (0, 1)]
            for n, key in enumerate(fit_rows)
        }
        fits: dict[str, dict[str, FitRequest]] = {key: {} for key, (low, high) in marks.items() if low < high}
        for request in (r for task in tasks for r in inner_requests(task, fits)):
            # Two requests that one fit serves must not come to two parts.
            fitted = request if parts == 1 else self.cache.sharing.fit_for(request)[0]
            fits[request.fit_fingerprint][fitted.address] = request
        return [
            request
            for key, requests in fits.items()
            for request in [*requests.values()][slice(*(len(requests) * mark // parts for mark in marks[key]))]
        ]

    def time_fit(self, request: FitRequest) -> float:
        """Return the seconds of one fit without the preparation of its rows; the prediction is cached."""
        self.cache.prepared(request)
        begin = time.perf_counter()
        self.cache.get(request)
        return time.perf_counter() - begin

    def evaluations(self) -> Iterator[Evaluation]:
        """Evaluate the cells, in the order of the bundle."""
        for cell in self.bundle.cells:
            begin, ahead = time.perf_counter(), self.cache.seconds_ahead
            evaluation = evaluate_cell(self.task(cell))
            for request in replay.outer_requests(self.task(cell), evaluation):
                if self.context.store is None or not request.is_storable:
                    self.outer_predictions[request.address] = self.cache(request)
            # A fit made ahead is charged to the first evaluation that asks for it.
            seconds = time.perf_counter() - begin + self.cache.seconds_ahead - ahead
            yield replace(evaluation, seconds=seconds)


def single_threaded(learner: Learner) -> AbstractContextManager[Any]:
    """Hold every numerical library to one thread: parallelism comes from processes alone."""
    limited: AbstractContextManager[Any] = _thread_pools(learner.make["_target_"]).limit(limits=1)
    return limited


@lru_cache(maxsize=64)
def _thread_pools(target: str) -> ThreadpoolController:
    """The thread pools of this process once a class is imported; finding them takes as long as two small fits."""
    estimator_specs.resolve_class(target, allow=None)
    return ThreadpoolController()


def largest_k(study: Study) -> int:
    """Return the largest number of neighbours that any strategy asks for; 0 without one."""
    values = [0]
    for strategy in study.strategies:
        axis = strategy.space.get("k")
        if isinstance(axis, Choice):
            values += [int(v) for v in axis.values]
        elif isinstance(axis, Interval):
            values.append(int(axis.high))
        values.append(int(strategy.fixed_knobs.get("k", 0)))
    return max(values)
