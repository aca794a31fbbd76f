"""The protocol between a run and its worker processes, and the pool of processes on this machine.

A pool is sent tables and jobs, says how wide it is, and ends. The standard executors of ``concurrent.futures`` carry
the local one, loky by default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

from imblab.edges.files import locks
from imblab.edges.runner import worker
from imblab.edges.runner.bundle_evaluator import PredictionJournal
from imblab.edges.runner.worker import Job, JobResult
from imblab.errors import StudyError
from imblab.study import Dataset, Split


class WorkerLost(Exception):
    """Given instead of the result of a job whose worker died.

    ``fit`` is the address of the fit that it was making; empty outside of a fit, None if that is not known. A job that
    has not begun is innocent, and one ``is_repeated`` if it had lost a worker before, in this submission.
    """

    def __init__(
        self, fit: str | None, is_late: bool = False, has_begun: bool = True, is_repeated: bool = False
    ) -> None:
        super().__init__(fit, is_late, has_begun, is_repeated)
        self.fit, self.is_late, self.has_begun, self.is_repeated = fit, is_late, has_begun, is_repeated


Outcome = JobResult | WorkerLost | worker.WorkerNotReady


class WorkerPool(Protocol):
    """Worker processes of a run, here or elsewhere."""

    loses_all: bool  # whether the death of one worker loses the jobs of all

    @property
    def width(self) -> int:
        """Number of jobs that run at once, at least 1."""

    def send(self, dataset: Dataset, plan: Sequence[Split]) -> str:
        """Make a table and its outer splits available to workers; returns its name for jobs."""

    def submit(self, job: Job) -> None:
        """Start a job as soon as a worker is free."""

    def outcomes(self) -> list[tuple[Job, Outcome]]:
        """Wait for a job that was submitted; returns all that have ended since. Other exceptions stop the run."""

    def make_ready(self, error: worker.WorkerNotReady) -> None:
        """Let workers take a job that one of them turned away; raises StudyError if that cannot be."""

    def end(self, now: bool) -> None:
        """End the pool; ``now`` gives up jobs under way. An error of the run is under way then: it raises none."""


def read_losses(folder: Path) -> dict[int, WorkerLost]:
    """Return what every process was working on when it died, by the number of its job, from its status file."""
    losses = {}
    for path in sorted(folder.glob("status-*")):
        # A process that was ended while it made its file has written nothing.
        number, address, late = (path.read_text() or "||").split("|")
        if number.strip():
            losses[int(number)] = WorkerLost(address.strip(), late.strip() == "late")
    return losses


def run_with_status(folder: str, open_journal: Callable[[], PredictionJournal] | None, job: Job) -> JobResult:
    """Run a job with its fits in a file of this process, by which its death is diagnosed: one system call per fit."""
    file = os.open(Path(folder) / f"status-{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o600)

    def report(address: str, late: bool) -> None:
        os.pwrite(file, f"{job.number:12d}|{address:16s}|{'late' if late else '':4s}".encode(), 0)

    report("", False)
    try:
        return worker.run_job(job, job.table, report, open_journal)
    finally:
        os.pwrite(file, f"{'':12s}|{'':16s}|{'':4s}".encode(), 0)
        os.close(file)


class LocalPool:
    """Processes of this machine, by an executor that may break and is then made anew; the folder ends with the run."""

    loses_all = True

    def __init__(
        self,
        n_jobs: int,
        make_executor: Callable[[int], Executor],
        folder: Path,
        open_journal: Callable[[], PredictionJournal] | None,
    ) -> None:
        self.width, self._make_executor, self._folder = n_jobs, make_executor, folder
        self._run: Callable[[Job], JobResult] = partial(run_with_status, str(folder), open_journal)
        self._executor: Executor | None = None
        self._running: dict[Future[JobResult], Job] = {}
        #: Jobs that no executor has any more.
        self._returned: list[Job] = []
        self._descriptors: list[int] = []
        self._has_large_table = self._was_replaced = False

    def send(self, dataset: Dataset, plan: Sequence[Split]) -> str:
        """Write a table to a file without a name of its own, so that a killed process leaves nothing behind."""
        path = self._folder / f"{len(self._descriptors)}-{dataset.fingerprint[:32]}.joblib"
        if (descriptor := locks.link_to_unnamed_file(path)) is not None:
            self._descriptors.append(descriptor)
        worker.write_table(path, dataset, tuple(plan))
        self._has_large_table |= worker.is_large_table(str(path))
        return str(path)

    def submit(self, job: Job) -> None:
        """Start a job as soon as a worker is free."""
        if self._executor is None:
            for path in self._folder.glob("status-*"):
                path.unlink(missing_ok=True)
            self._executor = self._make_executor(self.width)
        try:
            self._running[self._executor.submit(self._run, job)] = job
        except BrokenExecutor:  # a worker died since the last look
            self._returned.append(job)

    def outcomes(self) -> list[tuple[Job, Outcome]]:
        """Wait for a job; after the death of a worker for all, since all are lost or done by then."""
        returned: list[tuple[Job, Outcome]] = [(job, WorkerLost(None, has_begun=False)) for job in self._returned]
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenExecutor) for future in done):
            done, _ = wait(self._running)
            if self._executor is not None:
                self._executor.shutdown()  # its other workers are being killed; until then they hold their journals
            self._executor = None
        losses = read_losses(self._folder) if self._executor is None else {}
        self._returned.clear()
        ended = [(future, self._running.pop(future)) for future in done]
        return [*returned, *((job, _outcome(future, losses.get(job.number))) for future, job in ended)]

    def make_ready(self, error: worker.WorkerNotReady) -> None:
        """Try once with fresh workers: those of a long session may hold modules that were reloaded since."""
        if self._executor is None:  # they are fresh
            return
        if self._was_replaced:
            raise StudyError(
                f"{', '.join(map(repr, error.args))}: worker processes load other code than this process runs; all "
                "evaluations of a study rest on one code. Restart Python (or load the module anew with "
                "importlib.reload) and run again, or use one process: runner.n_jobs=1."
            ) from error
        _shut_down(self._executor)
        self._executor, self._was_replaced = None, True
        self._returned += self._running.values()
        self._running.clear()

    def end(self, now: bool) -> None:
        """End the workers if asked to, or if the evidence needs the memory that their allocators hold."""
        if self._executor is not None and now:
            _shut_down(self._executor)
        elif self._executor is not None and self._has_large_table:
            self._executor.shutdown()
        for descriptor in self._descriptors:
            os.close(descriptor)


def _outcome(future: Future[JobResult], loss: WorkerLost | None) -> Outcome:
    error = future.exception()
    if isinstance(error, worker.WorkerNotReady):
        return error
    if not isinstance(error, BrokenExecutor):
        return future.result()
    return loss or WorkerLost(None, has_begun=False)


def _shut_down(executor: Executor) -> None:
    """End the workers now; an executor of others may lack a keyword, which must not hide the error under way."""
    accepted = signature(executor.shutdown).parameters
    options: dict[str, Any] = {name: True for name in ("kill_workers", "cancel_futures") if name in accepted}
    executor.shutdown(wait=False, **options)
