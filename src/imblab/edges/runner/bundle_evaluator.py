"""Bundles of cells that share their fits, the evaluator that works one off in this process, and the cache of their
predictions: in memory, then in the store, then by a fit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from typing import Any, Protocol

from threadpoolctl import ThreadpoolController

from imblab.core import estimator_specs, replay, splits
from imblab.core.evaluate import Task, evaluate_cell, inner_requests
from imblab.core.fitting import (
    FitRequest,
    FitSharing,
    MissingRounds,
    Prediction,
    StagedRequest,
    fit_predict_many,
    recorded_warnings,
)
from imblab.core.preparation import FeatureArrays, PreparedRows, feature_arrays
from imblab.core.splits import InnerFolds
from imblab.edges import memory
from imblab.errors import FitFailed
from imblab.result import Evaluation
from imblab.study import Cell, Choice, Dataset, Interval, Learner, Split, Study

PredictionOrFailure = Prediction | FitFailed
#: Bytes of prepared fit rows kept at once; those of one part always are.
MAX_PREPARED_BYTES = 256 * 2**20
#: Surrounds the fit of an address.
FitGuard = Callable[[str, Callable[[], list[Prediction]]], list[Prediction]]


def unguarded(address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
    """Run a fit without a guard."""
    return fit()


class Predictions(Protocol):
    """Predictions that a bundle may use and adds to."""

    @property
    def is_lasting(self) -> bool:
        """Whether what is put there can still be read when the evidence is built."""

    def get_many(self, addresses: Sequence[str]) -> Mapping[str, Prediction]:
        """Return the stored predictions among many addresses."""

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Store predictions by their addresses."""


class PredictionStore(Predictions, Protocol):
    """Keeps predictions beyond the life of a process; one process at a time writes it."""

    def is_empty(self) -> bool:
        """Whether nothing is stored."""

    def get(self, address: str) -> Prediction | None:
        """Return the stored prediction for an address, or None."""

    def flush(self) -> None:
        """Make everything stored visible to other processes."""

    def journal_opener(self) -> Callable[[], PredictionJournal]:
        """Return an opener of journals for other processes of this machine; it can be pickled."""

    def adopt_journals(self) -> Mapping[str, Prediction]:
        """Store what is in the journals of processes that died, and return it."""

    def remove_journal(self, name: str) -> None:
        """Delete a journal whose predictions are stored."""

    def limit(self) -> int:
        """Return the bytes beyond which the oldest predictions are deleted."""

    def raise_limit(self, needed: int) -> int:
        """Raise the size limit for a study whose predictions need some bytes. Returns the limit."""

    def prune(self) -> int:
        """Delete the oldest predictions until the store fits its size limit. Returns the number deleted."""

    def close(self) -> None:
        """Close the store."""


class PredictionJournal(Protocol):
    """Keeps the predictions of a job in a file until the run has stored them."""

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Append predictions by their addresses."""

    def release(self) -> str | None:
        """End writing; returns the name of the file, which stays, or None if there is none."""


@dataclass(slots=True)
class FitCounts:
    """Totals of a run."""

    fitted: int = 0  # models fitted
    from_store: int = 0  # predictions taken from the store

    def __add__(self, other: FitCounts) -> FitCounts:
        """Return the sum of both totals."""
        return FitCounts(self.fitted + other.fitted, self.from_store + other.from_store)


@dataclass(slots=True)
class PredictionCache:
    """Predictions of the fit requests of one table and learner; each request is fitted at most once."""

    arrays: Callable[[], FeatureArrays] | None  # None where nothing will be fitted
    sharing: FitSharing
    largest_k: int  # the largest number of neighbours that a sampler will ask for
    store: Predictions | None = None  # asked after the cache
    #: fits that failed in another process of this run, by address, with the reason: they are not tried again
    failed: Mapping[str, str] = field(default_factory=dict)
    guard: FitGuard = unguarded
    counts: FitCounts = field(default_factory=FitCounts)
    #: fits that failed here; they are never stored: a failure belongs to its study
    temporary_failures: dict[str, str] = field(default_factory=dict)
    seconds_ahead: float = 0.0  # of fits that were made before the evaluation that asked for them first
    _predictions: dict[str, PredictionOrFailure] = field(default_factory=dict)
    _looked_up: set[str] = field(default_factory=set)
    _prepared: dict[str, PreparedRows] = field(default_factory=dict)
    #: Seconds of the fits that no evaluation has asked for yet, by address.
    _uncharged: dict[str, float] = field(default_factory=dict)

    def __call__(self, request: FitRequest) -> Prediction:
        """Return the prediction of a request for an evaluation; raises FitFailed for a failed fit."""
        fitted_before = self.counts.fitted
        prediction = self.get(request)
        seconds = self._uncharged.pop(request.address, 0.0)
        if self.counts.fitted == fitted_before:  # a fit made just now is within the evaluation's own time
            self.seconds_ahead += seconds
        if isinstance(prediction, FitFailed):
            raise prediction
        return prediction

    def announce(self, fitted_ahead: Mapping[str, float]) -> None:
        """Name fits that other processes made for these evaluations: their seconds by address."""
        self._uncharged |= fitted_ahead

    def new_predictions(self) -> dict[str, float]:
        """Return the seconds, by address, of the fits that no evaluation has asked for yet."""
        return dict(self._uncharged)

    def fetched(self) -> dict[str, Prediction]:
        """Return the predictions that are known so far, by address."""
        return {address: p for address, p in self._predictions.items() if isinstance(p, Prediction)}

    def get_many(self, addresses: Sequence[str]) -> None:
        """Fetch predictions from the store in one query, before they are asked for one by one."""
        missing = [address for address in addresses if address not in self._predictions]
        stored = self.store.get_many(missing) if self.store and missing else {}
        self._predictions |= stored
        self._looked_up |= set(missing)
        self.counts.from_store += sum(address not in self._uncharged for address in stored)

    def get(self, request: FitRequest) -> PredictionOrFailure:
        """Return the prediction of a request or its failure; fits where neither is known."""
        address = request.address
        if address not in self._predictions and address not in self._looked_up:
            self.get_many([address])
        cached = self._predictions.get(address)
        # A damaged store may hold a prediction of another number of rows.
        if cached is None or (isinstance(cached, Prediction) and len(cached.values) != len(request.rows)):
            self._fit(request)
        return self._predictions[address]

    def _fit(self, request: FitRequest) -> None:
        begin = time.perf_counter()
        fitted, staged = self.sharing.fit_for(request)
        if fitted.address in self.failed:
            self._copy_failure(request, staged, self.failed[fitted.address])
            return
        rounds = self.sharing.expected_rounds(request) if len(staged) > 1 else None

        def fit() -> list[Prediction]:
            return fit_predict_many(fitted, staged, self.prepared(request), rounds)

        try:
            predictions: list[PredictionOrFailure] = [*self.guard(fitted.address, fit)]
        except MissingRounds:
            self.sharing.disable_stages()
            self.counts.fitted += 1
            self._fit(request)
            return
        except FitFailed as error:
            predictions = [FitFailed(str(error))] * len(staged)
            self.temporary_failures[fitted.address] = str(error)
        by_address = {other.address: p for (other, _), p in zip(staged, predictions, strict=True)}
        if self.store and request.is_storable:
            self.store.put((address, p) for address, p in by_address.items() if isinstance(p, Prediction))
        self._predictions |= by_address
        self._uncharged[request.address] = time.perf_counter() - begin
        self.counts.fitted += 1

    def _copy_failure(self, request: FitRequest, staged: Sequence[StagedRequest], reason: str) -> None:
        """Take over a failure from another process; count the fit here if that process could not."""
        self._predictions |= {other.address: FitFailed(reason) for other, _ in staged}
        if not any(other.address in self._uncharged for other, _ in staged):
            self._uncharged[request.address] = 0.0
            self.counts.fitted += 1

    def prepared(self, request: FitRequest) -> PreparedRows:
        """Return the prepared fit rows of a request, made once while they fit into the memory limit."""
        key = request.fit_fingerprint
        assert self.arrays is not None, "nothing can be fitted without the arrays of the table"
        if key not in self._prepared:
            while self._prepared and sum(p.X.nbytes for p in self._prepared.values()) * 2 > MAX_PREPARED_BYTES:
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[key] = PreparedRows(self.arrays(), request.fit, self.largest_k)
        return self._prepared[key]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Cells that share their rows and their learner, and so their fits."""

    study: Study  # the study of the cells
    dataset: str  # its name
    splits: tuple[Split, ...]  # all outer splits of the data set
    #: of one data set and learner, and of one outer split, or of one repeat where the inner folds are the other outer
    #: folds
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
    """A data set with its arrays and its prediction store."""

    dataset: Dataset  # the table, loaded once per process
    arrays: Callable[[], FeatureArrays] | None  # makes the arrays at the first fit; None where nothing will be fitted
    store: Predictions | None = None  # where predictions are kept; None keeps none
    #: filled with the inner folds by outer split, where many bundles share them; None makes them for each bundle
    inner_folds: dict[str, InnerFolds] | None = None

    @classmethod
    def of(cls, dataset: Dataset, store: Predictions | None = None) -> DatasetContext:
        """Make the context of a data set in memory."""
        return cls(dataset, cache(partial(read_arrays, dataset)), store)


class BundleEvaluator:
    """Evaluate the cells of a bundle, with everything they have in common.

    By address: ``failed`` fits are not tried again, ``fitted_ahead`` are the seconds of those that other processes
    made, and ``outer_predictions`` becomes what the evidence needs, as far as no store holds it.
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
        self._requests: dict[tuple[Any, ...], FitRequest] = {}
        study, data = bundle.study, context.dataset
        outer = {cell.split.fingerprint: cell.split for cell in bundle.cells}
        known = {} if context.inner_folds is None else context.inner_folds
        for key in outer.keys() - known.keys():
            known[key] = splits.inner_pairs(data, study.protocol, study.seed, outer[key], bundle.splits)
        self._pairs = {key: known[key] for key in outer}
        all_pairs = [pair for pairs in self._pairs.values() for pair in pairs]
        fingerprints = [keys for pairs in self._pairs.values() for keys in pairs.fingerprints]
        sharing = FitSharing(bundle.cells[0].learner, study.tuning, all_pairs, fingerprints)
        self.cache = PredictionCache(context.arrays, sharing, largest_k(study), context.store, failed or {}, guard)
        self.cache.announce(fitted_ahead or {})

    def task(self, cell: Cell) -> Task:
        """Return what the kernel reads of a cell."""
        if cell.key not in self._tasks:
            pairs = self._pairs[cell.split.fingerprint]
            study, data = self.bundle.study, self.context.dataset
            self._tasks[cell.key] = Task(cell, study, data, pairs, self.cache, self._requests)
        return self._tasks[cell.key]

    def fit_inner_folds(self, part: int = 0, parts: int = 1, skipped: Container[str] = ()) -> None:
        """Fit what the cells will certainly ask of their inner folds, fold by fold, or one part of it.

        Fits nothing where candidates must be judged one after the other, and no address that is ``skipped``.
        """
        if not can_fit_ahead(self.bundle.study):
            return
        requests = [request for request in self.inner_fits(part, parts) if request.address not in skipped]
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
        """Return the seconds of a fit on one thread, without the preparation of its rows; the prediction is cached."""
        self.cache.prepared(request)
        with single_threaded(self.bundle.cells[0].learner):
            begin = time.perf_counter()
            self.cache.get(request)
            return time.perf_counter() - begin

    def evaluations(self) -> Iterator[Evaluation]:
        """Evaluate the cells, in the order of the bundle."""
        for cell in self.bundle.cells:
            yield self.evaluate(cell)

    def evaluate(self, cell: Cell) -> Evaluation:
        """Evaluate one cell; a fit made ahead is charged to the first evaluation that asks for it."""
        begin, ahead = time.perf_counter(), self.cache.seconds_ahead
        evaluation = evaluate_cell(self.task(cell))
        for request in replay.outer_requests(self.task(cell), evaluation):
            if self.context.store is None or not (self.context.store.is_lasting and request.is_storable):
                self.outer_predictions[request.address] = self.cache(request)
        seconds = time.perf_counter() - begin + self.cache.seconds_ahead - ahead
        return replace(evaluation, seconds=seconds)


def read_arrays(dataset: Dataset) -> FeatureArrays:
    """Return the arrays of a data set; what was read of a large table for them is dropped."""
    arrays = feature_arrays(dataset)
    if arrays.numeric.nbytes >= memory.LARGE_TABLE_BYTES:
        memory.trim()
    return arrays


def can_fit_ahead(study: Study) -> bool:
    """Whether inner fits are known before any candidate is judged."""
    return not (study.tuning.search_method.is_adaptive or study.tuning.prune)


def single_threaded(learner: Learner) -> AbstractContextManager[Any]:
    """Hold every numerical library to one thread: parallelism comes from processes alone."""
    return _thread_pools(learner.make["_target_"], len(sys.modules)).limit(limits=1)  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _thread_pools(target: str, n_modules: int) -> ThreadpoolController:
    """The thread pools once a class is imported, found anew after every import: it takes as long as two small fits."""
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
