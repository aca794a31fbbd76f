"""What happens inside a worker process, and what travels to it: paths and numbers, never arrays."""

from __future__ import annotations

import ctypes
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
from imblab.core.fitting import FitFailed, Prediction
from imblab.core.own_code import Code
from imblab.core.preparation import feature_arrays
from imblab.edges.files import locks
from imblab.edges.runner.bundle_evaluator import Bundle, BundleEvaluator, DatasetContext, single_threaded
from imblab.edges.runner.prediction_cache import FitCounts, FitGuard, PredictionStore
from imblab.errors import Interruption
from imblab.result import Evaluation
from imblab.study import Cell, Dataset, Split, Study

#: Seconds after its limit in which a fit may still stop by itself before its process ends.
GRACE_SECONDS = 2.0
#: Bytes of a shipped table from which memory is given back as soon as it can be.
LARGE_TABLE_BYTES = 64 * 2**20
#: Rows that are copied from it in one go.
COPY_BLOCK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """A bundle, or a part of its inner fits, in a form that travels.

    Attributes
    ----------
    number, group : int
        Of the job, and of its bundle.
    name : str
    study : Study
    path : str
        Of the shipped table.
    learner : int
        Position in the study.
    members : tuple of (int, int)
        Positions of the splits and strategies of its cells.
    folder : str
        Where marks are made.
    part, parts : int or None
        Which part of the inner fits; None answers the cells.
    open_store : bytes
        Pickled.
    fit_timeout : float or None
    owner : (str, int)
        Host and process of the run.
    code : mapping of str to Code
        Of the user's own classes and functions, as the run's own process has it.
    dead : mapping
    ahead : mapping
    """

    number: int
    group: int
    name: str
    study: Study
    path: str
    learner: int
    members: tuple[tuple[int, int], ...]
    folder: str
    part: int | None
    parts: int
    open_store: bytes
    fit_timeout: float | None
    owner: tuple[str, int]
    code: Mapping[str, Code] = field(default_factory=dict)
    dead: Mapping[str, str] = field(default_factory=dict)
    ahead: Mapping[str, float] = field(default_factory=dict)

    def with_facts(self, dead: Mapping[str, str], ahead: Mapping[str, float]) -> WorkerJob:
        """The job with what has been learned since it was made: fits that failed, and those that were made for it."""
        return replace(self, dead=dict(dead), ahead=dict(ahead))


class CodeMismatch(Exception):
    """Raised where a worker process has loaded other code than the run's own process; the paths are its arguments."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a job brings back: rows, or the seconds of what it fitted ahead and the fits of these that failed."""

    rows: tuple[Evaluation, ...]
    ahead: Mapping[str, float]
    failures: Mapping[str, str]
    tally: FitCounts


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a process was doing: which job, which fit, and whether its time was up."""

    number: int
    address: str
    late: bool


class StatusFiles:
    """One small file a process in which it says what it does, so that its death can be understood."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def clear(self) -> None:
        """Forget what was said."""
        for path in self._folder.glob("mark-*"):
            path.unlink(missing_ok=True)

    def read(self) -> list[WorkerStatus]:
        """The jobs that were under way."""
        found = []
        for path in sorted(self._folder.glob("mark-*")):
            number, address, late = path.read_text().split("|")
            if number.strip():
                found.append(WorkerStatus(int(number), address.strip(), late.strip() == "late"))
        return found


class _StatusWriter:
    """Writes the mark of this process: one system call a fit."""

    def __init__(self, folder: str, number: int) -> None:
        self._file = os.open(Path(folder) / f"mark-{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o600)
        self._number = number
        self.write("")

    def write(self, address: str, late: bool = False) -> None:
        os.pwrite(self._file, f"{self._number:8d}|{address:16s}|{'late' if late else '':4s}".encode(), 0)

    def close(self) -> None:
        os.pwrite(self._file, f"{'':8s}|{'':16s}|{'':4s}".encode(), 0)
        os.close(self._file)


class _FitTimeout(Interruption):
    """Raised in a fit whose time is up; no library catches it by accident."""


class FitTimer:
    """Stops a fit that takes too long: by an alarm where Python runs, by ending the process where it does not."""

    def __init__(self, seconds: float, pen: _StatusWriter) -> None:
        self._seconds, self._pen = seconds, pen
        self._fit: tuple[str, float] | None = None
        self._open = True
        signal.signal(signal.SIGALRM, self._alarm)
        threading.Thread(target=self._patrol, daemon=True).start()

    def guard(self, address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
        """Run a fit under the limit."""
        self._pen.write(address)
        self._fit = address, time.monotonic() + self._seconds + GRACE_SECONDS
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, self._seconds)
                return fit()
            finally:  # inside, since the alarm may ring until it is off
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _FitTimeout:
            reason = f"it took longer than runner.fit_timeout={self._seconds:g} s"
            raise FitFailed(reason) from None
        finally:
            self._fit = None
            self._pen.write("")

    def close(self) -> None:
        """End the patrol."""
        self._open = False

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        raise _FitTimeout

    def _patrol(self) -> None:
        while self._open:
            time.sleep(0.1)
            fit = self._fit
            if fit is not None and time.monotonic() > fit[1]:
                self._pen.write(fit[0], late=True)
                os._exit(75)


def make_jobs(
    bundle: Bundle,
    path: str,
    folder: Path,
    open_store: Callable[[], PredictionStore] | None,
    fit_timeout: float | None,
    parts: int,
    group: int,
    code: Mapping[str, Code],
) -> list[WorkerJob]:
    """The jobs of a bundle: parts of its inner fits, where a store can carry them over, then its answer."""
    study = bundle.study
    learners, strategies = [x.name for x in study.learners], [s.name for s in study.strategies]
    where = {split.fingerprint: i for i, split in enumerate(bundle.splits)}
    members = tuple((where[c.split.fingerprint], strategies.index(c.strategy.name)) for c in bundle.cells)
    made: list[int | None] = [*(range(parts) if parts > 1 else ()), None]
    answer = WorkerJob(
        number=group * (parts + 1),
        group=group,
        name=bundle.name,
        study=study,
        path=path,
        learner=learners.index(bundle.cells[0].learner.name),
        members=members,
        folder=str(folder),
        part=None,
        parts=parts,
        open_store=pickle.dumps(open_store),
        fit_timeout=fit_timeout,
        owner=(socket.gethostname(), os.getpid()),
        code=code,
    )
    return [replace(answer, number=answer.number + i, part=part) for i, part in enumerate(made)]


def write_table(folder: Path, dataset: Dataset, plan: tuple[Split, ...], kept: list[int]) -> str:
    """Write a table and its splits where workers map them into memory, named by content.

    Parameters
    ----------
    folder : Path
    dataset : Dataset
    plan : tuple of Split
    kept : list of int
        Receives the descriptor of the file, which has no name of its own: nothing is left when the process is killed.

    Returns
    -------
    str
        The path under which workers open it.
    """
    path = folder / f"{dataset.fingerprint[:32]}-{plan[0].fingerprint}.joblib"
    if not path.exists():
        if (descriptor := locks.link_to_unnamed_file(path)) is not None:
            kept.append(descriptor)
        # Workers read the arrays; of the frame they need the names and types of its columns alone.
        light = replace(dataset, X=dataset.X.iloc[:0])
        joblib.dump((light, feature_arrays(dataset), plan), path)
    return str(path)


def is_large_table(path: str) -> bool:
    """Whether a shipped table is so large that memory is given back as soon as it can be."""
    return Path(path).stat().st_size > LARGE_TABLE_BYTES


def run_job(job: WorkerJob) -> JobResult:
    """Do a job in this process."""
    exit_with_parent(job.owner)
    if differing := own_code.agree(job.code):
        raise CodeMismatch(*differing)
    ground, plan = load_dataset(job.path, job.open_store)
    study = job.study
    cells = tuple(
        Cell(ground.dataset.name, study.learners[job.learner], study.strategies[s], plan[i]) for i, s in job.members
    )
    pen = _StatusWriter(job.folder, job.number)
    watch = FitTimer(job.fit_timeout, pen) if job.fit_timeout is not None else None
    try:
        with single_threaded(study.learners[job.learner]):
            bundle = Bundle(study, ground.dataset.name, plan, cells)
            guard = watch.guard if watch else status_guard(pen)
            work = BundleEvaluator(
                bundle, ground, job.dead, job.ahead, trim_after_fit(guard) if is_large_table(job.path) else guard
            )
            if job.part is not None:
                work.prepare(job.part, job.parts)
                return JobResult((), work.memory.fresh(), work.memory.failures, work.memory.tally)
            work.prepare()
            rows = tuple(work.rows())
            return JobResult(rows, {}, {}, work.memory.tally)
    finally:
        if ground.store:  # what was fitted here may be answered by another process
            ground.store.flush()
        if watch:
            watch.close()
        pen.close()


@lru_cache(maxsize=1)
def exit_with_parent(owner: tuple[str, int]) -> None:
    """End this process soon after the run it works for: an orphan would fit what the next run fits too."""
    if owner[0] != socket.gethostname():
        return

    child = os.getppid() == owner[1]

    def patrol() -> None:
        while process_is_alive(owner[1]) and (os.getppid() == owner[1] or not child):
            time.sleep(0.1)
        os._exit(76)

    if not process_is_alive(owner[1]):  # it died before this process had anything to do
        os._exit(76)
    threading.Thread(target=patrol, daemon=True).start()


def process_is_alive(pid: int) -> bool:
    """Whether a process runs on this machine; one that is dead and not yet buried does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def status_guard(pen: _StatusWriter) -> FitGuard:
    """Write the address of a fit before it and clear it afterwards."""

    def guard(address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
        pen.write(address)
        try:
            return fit()
        finally:
            pen.write("")

    return guard


class PageDroppingMemmap(np.memmap):
    """Mapped numbers whose pages are given back as soon as rows were copied: a fit needs the copy alone."""

    def take(self, rows: Any, axis: Any = 0, out: Any = None, mode: Any = "raise") -> Any:
        """Rows, block by block."""
        plain = np.asarray(self)
        made = np.empty((len(rows), self.shape[1])) if out is None else out
        for at in range(0, len(rows), COPY_BLOCK_ROWS):
            plain.take(rows[at : at + COPY_BLOCK_ROWS], axis=0, out=made[at : at + COPY_BLOCK_ROWS], mode="clip")
            # The attribute is numpy's own, which its stubs leave out.
            self._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
        return made


def trim_after_fit(guard: FitGuard) -> FitGuard:
    """Gives back to the system what a fit leaves with the allocator: hundreds of megabytes where a table is large."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU library

    def lean(address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
        try:
            return guard(address, fit)
        finally:
            if trim is not None:
                trim(0)

    return lean


@lru_cache(maxsize=2)
def load_dataset(path: str, open_store: bytes) -> tuple[DatasetContext, tuple[Split, ...]]:
    """Map a shipped table into memory and open the store; returns its context and its outer splits."""
    dataset, table, plan = joblib.load(path, mmap_mode="r")
    if is_large_table(path) and hasattr(mmap, "MADV_DONTNEED"):
        # A part without columns is not mapped.
        parts = {name: getattr(table, name) for name in ("numeric", "codes")}
        table = replace(table, **{n: p.view(PageDroppingMemmap) for n, p in parts.items() if isinstance(p, np.memmap)})
    return DatasetContext(dataset, lambda: table, open_worker_store(open_store)), plan


@lru_cache(maxsize=1)
def open_worker_store(open_store: bytes) -> PredictionStore | None:
    """Open the prediction store of this process; None without one."""
    found: Any = pickle.loads(open_store)  # written by our own parent process
    return None if found is None else found()
