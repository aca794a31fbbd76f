"""Worker processes: the jobs that travel to them, and limits of fits; and inner fits over the processes of joblib.

A job has a study, positions and predictions, no table. joblib carries the inner fits of one bundle, so that
scikit-learn's settings of parallelism hold.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib.parallel import get_active_backend

from imblab.core import design, own_code
from imblab.core.fitting import Prediction
from imblab.core.own_code import Code
from imblab.core.preparation import FeatureArrays
from imblab.core.splits import InnerFolds
from imblab.edges import memory
from imblab.edges.runner import bundle_evaluator
from imblab.edges.runner.bundle_evaluator import Bundle, BundleEvaluator, DatasetContext, can_fit_ahead, single_threaded
from imblab.errors import FitFailed, Interruption
from imblab.result import Evaluation
from imblab.study import Cell, Dataset, Split, Study

#: Rows that are copied from a large table in one go.
COPY_BLOCK_ROWS = 65_536
#: Seconds after its limit in which a fit may still stop by itself before its process ends.
GRACE_SECONDS = 2.0
#: How often a worker looks whether its fit is late.
WATCH_SECONDS = 0.1
#: Receives the address of a fit before it is made, an empty text after it, and whether its process ends because of it.
Report = Callable[[str, bool], None]


@dataclass(frozen=True, slots=True)
class Job:
    """A bundle, or a part of its inner fits, in a form that travels to a worker."""

    #: of the job, and of its bundle
    number: int
    group: int
    name: str  # of the bundle
    study: Study  # the study of the cells
    #: name of the data set, and the name under which its table was sent
    dataset: str
    table: str
    learner: int  # position in the study
    members: tuple[tuple[int, int], ...]  # positions of the splits and strategies of its cells
    fit_timeout: float | None  # seconds that a fit may take; None for no limit
    #: of the user's own classes and functions, as the process of the run has it
    code: Mapping[str, Code] = field(default_factory=dict)
    part: int | None = None  # which of the ``parts`` of the inner fits; None evaluates the cells
    parts: int = 1  # number of jobs that the inner fits are divided into
    returns_predictions: bool = True  # whether new predictions come home; those that the evidence needs do so otherwise
    failed: Mapping[str, str] = field(default_factory=dict)  # fits that must not be tried again, with the reason
    #: seconds of the fits that other jobs made for the bundle, by address
    fitted_ahead: Mapping[str, float] = field(default_factory=dict)
    #: what is known of the bundle, by address; empty for a part
    known: Mapping[str, Prediction] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()  # addresses of the fits that a part leaves out, because they are known
    is_suspect: bool = False  # whether the job lost its worker before; it then reports each of its fits


@dataclass(frozen=True, slots=True)
class JobResult:
    """Evaluations, or the seconds of the inner fits made and the reasons of those that failed, by address."""

    evaluations: tuple[Evaluation, ...]  # empty for a part
    #: seconds of the fits of a part, and the reasons of those that failed, by address
    fitted_ahead: Mapping[str, float]
    failures: Mapping[str, str]
    counts: bundle_evaluator.FitCounts  # of this job
    seconds: float = 0.0  # that the job took in its worker
    predictions: Mapping[str, Prediction] = field(default_factory=dict)  # new ones, by address, if they come home
    #: what the evidence needs, as far as it is not among the predictions that the run can store
    outer_predictions: Mapping[str, Prediction] = field(default_factory=dict)
    journal: str | None = None  # the file in which the worker kept the predictions meanwhile


class WorkerNotReady(Exception):
    """Raised by a worker that turns a job away before it begins; the pool may make it ready."""


class CodeMismatch(WorkerNotReady):
    """Raised if a worker has loaded other code than the process of the run; its arguments are the dotted paths."""


class _JobPredictions:
    """The predictions that came with a job, and those that it makes."""

    def __init__(self, job: Job, journal: bundle_evaluator.PredictionJournal | None) -> None:
        self.is_lasting, self.fitted = job.returns_predictions, dict[str, Prediction]()
        self._known, self._journal = job.known, journal

    def get_many(self, addresses: Sequence[str]) -> dict[str, Prediction]:
        """Return the known predictions among many addresses."""
        return {address: self._known[address] for address in addresses if address in self._known}

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Keep predictions to be returned, and in the journal, if there is one."""
        rows = [*predictions]
        if self.is_lasting:
            self.fitted |= rows
        if self._journal is not None:
            self._journal.put(rows)


def divide_job(job: Job, parts: int) -> list[Job]:
    """Make the jobs that fit the parts of the inner folds ahead of a job; none if there is one part alone."""
    if parts == 1:
        return []
    first = job.number - parts
    return [replace(job, number=first + n, part=n, parts=parts, returns_predictions=True) for n in range(parts)]


def bundle_job(bundle: bundle_evaluator.Bundle, table: str, number: int, group: int, **options: Any) -> Job:
    """Make the job that evaluates a bundle; ``options`` are further fields of it."""
    study = bundle.study
    learners, strategies = [n.name for n in study.learners], [s.name for s in study.strategies]
    positions = {split.fingerprint: i for i, split in enumerate(bundle.splits)}
    learner = learners.index(bundle.cells[0].learner.name)
    members = tuple((positions[c.split.fingerprint], strategies.index(c.strategy.name)) for c in bundle.cells)
    return Job(number, group, bundle.name, study, bundle.dataset, table, learner, members, **options)


def write_table(file: Any, dataset: Dataset, plan: tuple[Split, ...]) -> None:
    """Write a table and its splits to a file that workers map into memory."""
    # Workers read the arrays; of the frame they need the names and types of its columns alone.
    joblib.dump((replace(dataset, X=dataset.X.iloc[:0]), bundle_evaluator.read_arrays(dataset), plan), file)


def is_large_table(path: str) -> bool:
    """Whether a shipped table is so large that its memory is returned as soon as possible."""
    return Path(path).stat().st_size > memory.LARGE_TABLE_BYTES


def run_job(
    job: Job, path: str, report: Report, open_journal: Callable[[], bundle_evaluator.PredictionJournal] | None = None
) -> JobResult:
    """Fit or evaluate what a job asks for, in this process, on the table that :func:`write_table` wrote to ``path``."""
    begin = time.perf_counter()
    if differing := own_code.adopt_snapshot(job.code):
        raise CodeMismatch(*differing)
    journal, name = open_journal() if open_journal else None, None
    try:
        result = _run(job, path, report, _JobPredictions(job, journal))
    finally:
        if journal is not None:
            name = journal.release()
    return replace(result, seconds=time.perf_counter() - begin, journal=name)


def _run(job: Job, path: str, report: Report, store: _JobPredictions) -> JobResult:
    dataset, arrays, plan = load_table(path)
    context = bundle_evaluator.DatasetContext(dataset, lambda: arrays, store)
    learner = job.study.learners[job.learner]
    cells = tuple(Cell(job.dataset, learner, job.study.strategies[s], plan[i]) for i, s in job.members)
    with FitTimer(job.fit_timeout, report) as timer, bundle_evaluator.single_threaded(learner):
        guard = trim_after_fit(timer.guard) if is_large_table(path) else timer.guard
        bundle = bundle_evaluator.Bundle(job.study, job.dataset, plan, cells)
        evaluator = bundle_evaluator.BundleEvaluator(bundle, context, job.failed, job.fitted_ahead, guard)
        cache = evaluator.cache
        if job.part is not None:
            evaluator.fit_inner_folds(job.part, job.parts, job.skipped)
            ahead, failures = cache.new_predictions(), cache.temporary_failures
            return JobResult((), ahead, failures, cache.counts, predictions=store.fitted)
        evaluator.fit_inner_folds()
        evaluations = tuple(evaluator.evaluations())
        fitted, outer = store.fitted, evaluator.outer_predictions
        return JobResult(evaluations, {}, {}, cache.counts, predictions=fitted, outer_predictions=outer)


class PageDroppingMemmap(np.memmap):
    """Mapped numbers whose pages are dropped as soon as rows were copied: a fit needs the copy alone."""

    def take(self, rows: Any, axis: Any = 0, out: Any = None, mode: Any = "raise") -> Any:
        """Copy rows, block by block; what the fit before has left with the allocator makes room for them."""
        memory.trim()
        plain = np.asarray(self)
        copied = np.empty((len(rows), self.shape[1])) if out is None else out
        for at in range(0, len(rows), COPY_BLOCK_ROWS):
            plain.take(rows[at : at + COPY_BLOCK_ROWS], axis=0, out=copied[at : at + COPY_BLOCK_ROWS], mode="clip")
            # The attribute is numpy's own, which its stubs leave out.
            self._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
        return copied


def trim_after_fit(guard: bundle_evaluator.FitGuard) -> bundle_evaluator.FitGuard:
    """Return to the system what a fit leaves with the allocator."""

    def trimming(address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
        try:
            return guard(address, fit)
        finally:
            memory.trim()

    return trimming


@lru_cache(maxsize=2)
def load_table(path: str) -> tuple[Dataset, FeatureArrays, tuple[Split, ...]]:
    """Map a shipped table into memory; returns it without its rows, its arrays and its outer splits."""
    if is_large_table(path):
        memory.return_large_blocks()
    dataset, arrays, plan = joblib.load(path, mmap_mode="r")
    if is_large_table(path) and hasattr(mmap, "MADV_DONTNEED"):
        # A part without columns is not mapped.
        parts = {name: getattr(arrays, name) for name in ("numeric", "codes")}
        mapped = {n: p.view(PageDroppingMemmap) for n, p in parts.items() if isinstance(p, np.memmap)}
        arrays = replace(arrays, **mapped)
    return dataset, arrays, plan


def lateness_reason(seconds: float | None) -> str:
    """Return the reason of a candidate whose fit took longer than its limit."""
    return f"it took longer than runner.fit_timeout={seconds:g} s"


class _FitTimeout(Interruption):
    """Raised in a fit whose time is up; no library catches it by accident."""


class FitTimer:
    """Reports fits, and stops those that take longer than some seconds; None for no limit."""

    def __init__(self, seconds: float | None, report: Report) -> None:
        self._seconds, self._report = seconds, report
        self._thread = threading.get_ident()
        self._lock, self._closed = threading.Lock(), threading.Event()
        #: Address and start of the fit under way, and whether the exception was sent.
        self._current: tuple[str, float] | None = None
        self._rang = False

    def __enter__(self) -> FitTimer:
        if self._seconds is not None:
            threading.Thread(target=self._watch, args=(self._seconds,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()

    def guard(self, address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
        """Run a fit under the time limit."""
        self._report(address, False)
        try:
            try:
                self._current = address, time.monotonic()
                return fit()
            finally:  # inside, since the exception may come until it is called off
                self._call_off()
        except _FitTimeout:
            raise FitFailed(lateness_reason(self._seconds)) from None
        finally:
            self._call_off()
            self._report("", False)

    def _call_off(self) -> None:
        with self._lock:
            self._current = None
            if self._rang:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)
                self._rang = False

    def _watch(self, limit: float) -> None:
        while not self._closed.wait(min(WATCH_SECONDS, limit)):
            with self._lock:
                if self._current is None:
                    continue
                address, begin = self._current
                seconds = time.monotonic() - begin
                if seconds > limit + GRACE_SECONDS:
                    self._report(address, True)
                    os._exit(75)
                if seconds > limit and not self._rang:
                    self._rang = True
                    timeout = ctypes.py_object(_FitTimeout)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), timeout)


@dataclass(frozen=True, slots=True)
class MemoryPredictions:
    """Predictions by address, in this process only."""

    is_lasting = False
    stored: dict[str, Prediction] = field(default_factory=dict)

    def get_many(self, addresses: Sequence[str]) -> Mapping[str, Prediction]:
        """Return the predictions among many addresses."""
        return {address: self.stored[address] for address in addresses if address in self.stored}

    def put(self, predictions: Iterable[tuple[str, Prediction]]) -> None:
        """Keep predictions."""
        self.stored.update(predictions)


def evaluator_of(bundle: Bundle, dataset: Dataset, folds: InnerFolds, n_jobs: int | None) -> BundleEvaluator:
    """Return an evaluator of one outer split with given inner folds, whose inner fits are made.

    ``n_jobs`` is as in scikit-learn: None is one process unless a ``joblib.parallel_config`` says otherwise, -1 all
    cores. No result depends on it. Inside a worker of joblib, and in its threads, it is one.
    """
    processes = _process_count(bundle, n_jobs)
    kept, failed = MemoryPredictions(), dict[str, str]()
    if processes > 1 and can_fit_ahead(bundle.study):
        jobs = (joblib.delayed(_fit_part)(bundle, dataset, folds, i, processes) for i in range(processes))
        for predictions, failures in joblib.Parallel(n_jobs=processes)(jobs):
            kept.put(predictions.items())
            failed |= failures
    evaluator = _make_evaluator(bundle, dataset, folds, kept, failed)
    evaluator.fit_inner_folds()
    return evaluator


def _process_count(bundle: Bundle, n_jobs: int | None) -> int:
    backend = get_active_backend()[0]
    # Fits of one process follow each other: they share caches, and record warnings.
    if getattr(backend, "nesting_level", 0) or getattr(backend, "supports_sharedmem", False):
        return 1
    if any(path.startswith("__main__.") for path in design.named_code_paths(bundle.study)):
        return 1  # a class of a notebook cell, which other processes cannot import
    return int(joblib.effective_n_jobs(n_jobs))


def _fit_part(
    bundle: Bundle, dataset: Dataset, folds: InnerFolds, part: int, parts: int
) -> tuple[dict[str, Prediction], dict[str, str]]:
    """Make one part of the inner fits; return predictions and failures by address."""
    with single_threaded(bundle.cells[0].learner):
        evaluator = _make_evaluator(bundle, dataset, folds, MemoryPredictions(), {})
        evaluator.fit_inner_folds(part, parts)
        return evaluator.cache.fetched(), evaluator.cache.temporary_failures


def _make_evaluator(
    bundle: Bundle, dataset: Dataset, folds: InnerFolds, kept: MemoryPredictions, failed: Mapping[str, str]
) -> BundleEvaluator:
    of_splits = {cell.split.fingerprint: folds for cell in bundle.cells}
    context = DatasetContext(dataset, DatasetContext.of(dataset).arrays, kept, of_splits)
    return BundleEvaluator(bundle, context, failed)
