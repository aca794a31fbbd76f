"""What runs inside a worker process, and the jobs that travel to it: paths and numbers, never arrays."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import joblib
import numpy as np

from imblab.core import own_code
from imblab.core.fitting import Prediction
from imblab.core.own_code import Code
from imblab.core.preparation import feature_arrays
from imblab.edges import memory
from imblab.edges.files import locks
from imblab.edges.runner import bundle_evaluator
from imblab.errors import FitFailed, Interruption
from imblab.result import Evaluation
from imblab.study import Cell, Dataset, Split, Study

#: Seconds after its limit in which a fit may still stop by itself before its process ends.
GRACE_SECONDS = 2.0
#: Size of a shipped table from which memory is returned to the system as soon as it can be.
LARGE_TABLE_BYTES = 64 * 2**20
#: Rows that are copied from a large table in one go.
COPY_BLOCK_ROWS = 65_536
#: How often a worker looks whether its fit is late or its parent gone.
WATCH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """A bundle, or a part of its inner fits, in a form that travels to a worker.

    Attributes
    ----------
    number, group : int
        Of the job, and of its bundle.
    name : str
        Of the data set.
    study : Study
        The study of the cells.
    table_path : str
        Of the shipped table.
    learner : int
        Position in the study.
    members : tuple of (int, int)
        Positions of the splits and strategies of its cells.
    folder : str
        Where status files are written.
    part : int or None
        Which of the ``parts`` of the inner fits; None evaluates the cells.
    parts : int
        Number of jobs that the bundle is divided into.
    open_store : bytes
        Pickled.
    fit_timeout : float or None
        Seconds that a fit may take; None for no limit.
    owner : (str, int)
        Host and process of the run.
    code : mapping of str to Code
        Of the user's own classes and functions, as the process of the run has it.
    failed : mapping of str to str
        Fits that must not be tried again, with the reason.
    fitted_ahead : mapping of str to float
        Seconds of the fits that were made for the bundle, by address.
    """

    number: int
    group: int
    name: str
    study: Study
    table_path: str
    learner: int
    members: tuple[tuple[int, int], ...]
    folder: str
    part: int | None
    parts: int
    open_store: bytes
    fit_timeout: float | None
    owner: tuple[str, int]
    code: Mapping[str, Code] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    fitted_ahead: Mapping[str, float] = field(default_factory=dict)

    def with_facts(self, failed: Mapping[str, str], fitted_ahead: Mapping[str, float]) -> WorkerJob:
        """Return the job with the fits that have failed, or were made for it, in the meantime."""
        return replace(self, failed=dict(failed), fitted_ahead=dict(fitted_ahead))


class CodeMismatch(Exception):
    """Raised if a worker has loaded other code than the process of the run; its arguments are the dotted paths."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """Evaluations, or the seconds of the inner fits made and the reasons of those that failed, by address.

    ``outer_predictions`` are those of :class:`BundleEvaluator`.
    """

    evaluations: tuple[Evaluation, ...]
    fitted_ahead: Mapping[str, float]
    failures: Mapping[str, str]
    counts: bundle_evaluator.FitCounts
    outer_predictions: Mapping[str, Prediction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """The job and the fit that a process was working on, and whether the fit's time was up."""

    number: int
    address: str
    late: bool


class StatusFiles:
    """One small file per process that says what it works on, so that its death can be diagnosed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def clear(self) -> None:
        """Delete all status files."""
        for path in self._folder.glob("status-*"):
            path.unlink(missing_ok=True)

    def read(self) -> list[WorkerStatus]:
        """Return the status of every process that was at work."""
        statuses = []
        for path in sorted(self._folder.glob("status-*")):
            # A process that was ended while it made its file has written nothing.
            number, address, late = (path.read_text() or "||").split("|")
            if number.strip():
                statuses.append(WorkerStatus(int(number), address.strip(), late.strip() == "late"))
        return statuses


class _StatusWriter:
    """Writes the status of this process: one system call per fit."""

    def __init__(self, folder: str, number: int) -> None:
        self._file = os.open(Path(folder) / f"status-{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o600)
        self._number = number
        self.write("")

    def write(self, address: str, late: bool = False) -> None:
        os.pwrite(self._file, f"{self._number:8d}|{address:16s}|{'late' if late else '':4s}".encode(), 0)

    def guard(self, address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
        """Run a fit with its address in the status file."""
        self.write(address)
        try:
            return fit()
        finally:
            self.write("")

    def close(self) -> None:
        os.pwrite(self._file, f"{'':8s}|{'':16s}|{'':4s}".encode(), 0)
        os.close(self._file)


class _FitTimeout(Interruption):
    """Raised in a fit whose time is up; no library catches it by accident."""


class FitTimer:
    """Stops a fit that takes too long: by an alarm while Python runs, by ending the process otherwise."""

    def __init__(self, seconds: float, status: _StatusWriter) -> None:
        self._seconds, self._status = seconds, status
        self._current: tuple[str, float] | None = None
        self._open = True
        signal.signal(signal.SIGALRM, self._ring)
        threading.Thread(target=self._watch, daemon=True).start()

    def guard(self, address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
        """Run a fit under the time limit."""
        self._status.write(address)
        self._current = address, time.monotonic() + self._seconds + GRACE_SECONDS
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, self._seconds)
                return fit()
            finally:  # inside, since the alarm may ring until it is off
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _FitTimeout:
            raise FitFailed(f"it took longer than runner.fit_timeout={self._seconds:g} s") from None
        finally:
            self._current = None
            self._status.write("")

    def close(self) -> None:
        """End the thread that watches."""
        self._open = False

    def _ring(self, number: int, frame: FrameType | None) -> None:
        raise _FitTimeout

    def _watch(self) -> None:
        while self._open:
            time.sleep(WATCH_SECONDS)
            current = self._current
            if current is not None and time.monotonic() > current[1]:
                self._status.write(current[0], late=True)
                os._exit(75)


def make_jobs(
    bundle: bundle_evaluator.Bundle,
    table_path: str,
    folder: Path,
    open_store: Callable[[], bundle_evaluator.PredictionStore] | None,
    fit_timeout: float | None,
    parts: int,
    group: int,
    code: Mapping[str, Code],
) -> list[WorkerJob]:
    """Make the jobs of a bundle: parts of its inner fits, if a store can carry them over, then its evaluation."""
    study = bundle.study
    learners, strategies = [n.name for n in study.learners], [s.name for s in study.strategies]
    positions = {split.fingerprint: i for i, split in enumerate(bundle.splits)}
    evaluate_job = WorkerJob(
        number=group * (parts + 1),
        group=group,
        name=bundle.name,
        study=study,
        table_path=table_path,
        learner=learners.index(bundle.cells[0].learner.name),
        members=tuple((positions[c.split.fingerprint], strategies.index(c.strategy.name)) for c in bundle.cells),
        folder=str(folder),
        part=None,
        parts=parts,
        open_store=pickle.dumps(open_store),
        fit_timeout=fit_timeout,
        owner=(socket.gethostname(), os.getpid()),
        code=code,
    )
    numbered: list[int | None] = [*(range(parts) if parts > 1 else ()), None]
    return [replace(evaluate_job, number=evaluate_job.number + i, part=part) for i, part in enumerate(numbered)]


def write_table(folder: Path, dataset: Dataset, plan: tuple[Split, ...], descriptors: list[int]) -> str:
    """Write a table and its splits to a file, named by content, that workers map into memory.

    The file has no name of its own, so that nothing is left behind by a killed process; its descriptor is appended to
    ``descriptors``. Returns the path under which workers open it.
    """
    path = folder / f"{dataset.fingerprint[:32]}-{plan[0].fingerprint}.joblib"
    if not path.exists():
        if (descriptor := locks.link_to_unnamed_file(path)) is not None:
            descriptors.append(descriptor)
        # Workers read the arrays; of the frame they need the names and types of its columns alone.
        columns_only = replace(dataset, X=dataset.X.iloc[:0])
        joblib.dump((columns_only, feature_arrays(dataset), plan), path)
    return str(path)


def is_large_table(path: str) -> bool:
    """Whether a shipped table is so large that its memory is returned as soon as possible."""
    return Path(path).stat().st_size > LARGE_TABLE_BYTES


def run_job(job: WorkerJob) -> JobResult:
    """Fit or evaluate what a job asks for, in this process."""
    exit_with_parent(job.owner)
    if differing := own_code.adopt_snapshot(job.code):
        raise CodeMismatch(*differing)
    context, plan = load_dataset(job.table_path, job.open_store)
    study, name, learner = job.study, context.dataset.name, job.study.learners[job.learner]
    cells = tuple(Cell(name, learner, study.strategies[s], plan[i]) for i, s in job.members)
    status = _StatusWriter(job.folder, job.number)
    timer = FitTimer(job.fit_timeout, status) if job.fit_timeout is not None else None
    try:
        with bundle_evaluator.single_threaded(learner):
            guard: bundle_evaluator.FitGuard = timer.guard if timer else status.guard
            if is_large_table(job.table_path):
                guard = trim_after_fit(guard)
            bundle = bundle_evaluator.Bundle(study, name, plan, cells)
            evaluator = bundle_evaluator.BundleEvaluator(bundle, context, job.failed, job.fitted_ahead, guard)
            cache = evaluator.cache
            if job.part is not None:
                evaluator.fit_inner_folds(job.part, job.parts)
                return JobResult((), cache.new_predictions(), cache.temporary_failures, cache.counts)
            evaluator.fit_inner_folds()
            evaluations = tuple(evaluator.evaluations())
            return JobResult(evaluations, {}, {}, cache.counts, evaluator.outer_predictions)
    finally:
        if context.store:  # other processes may ask for what was fitted here
            context.store.flush()
        if timer:
            timer.close()
        status.close()


@lru_cache(maxsize=1)
def exit_with_parent(owner: tuple[str, int]) -> None:
    """End this process soon after the run it works for: an orphan would fit what the next run fits too."""
    host, parent = owner
    if host != socket.gethostname():
        return

    is_child = os.getppid() == parent

    def watch() -> None:
        while process_is_alive(parent) and (os.getppid() == parent or not is_child):
            time.sleep(WATCH_SECONDS)
        os._exit(76)

    if not process_is_alive(parent):  # it died before this process had anything to do
        os._exit(76)
    threading.Thread(target=watch, daemon=True).start()


def process_is_alive(pid: int) -> bool:
    """Whether a process runs on this machine; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


class PageDroppingMemmap(np.memmap):
    """Mapped numbers whose pages are dropped as soon as rows were copied: a fit needs the copy alone."""

    def take(self, rows: Any, axis: Any = 0, out: Any = None, mode: Any = "raise") -> Any:
        """Copy rows, block by block."""
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
def load_dataset(path: str, open_store: bytes) -> tuple[bundle_evaluator.DatasetContext, tuple[Split, ...]]:
    """Map a shipped table into memory and open the store; returns its context and its outer splits."""
    dataset, arrays, plan = joblib.load(path, mmap_mode="r")
    if is_large_table(path) and hasattr(mmap, "MADV_DONTNEED"):
        # A part without columns is not mapped.
        parts = {name: getattr(arrays, name) for name in ("numeric", "codes")}
        mapped = {n: p.view(PageDroppingMemmap) for n, p in parts.items() if isinstance(p, np.memmap)}
        arrays = replace(arrays, **mapped)
    return bundle_evaluator.DatasetContext(dataset, lambda: arrays, open_worker_store(open_store)), plan


@lru_cache(maxsize=1)
def open_worker_store(open_store: bytes) -> bundle_evaluator.PredictionStore | None:
    """Open the prediction store of this process; None without one."""
    opener: Any = pickle.loads(open_store)  # written by our own parent process
    return None if opener is None else opener()
