"""Bundles over worker processes: shipped by memory map, isolated when one dies, stopped when one takes too long.

The engine is anything that speaks the protocol of ``concurrent.futures.Executor``; loky by default. Every fit runs on
one thread, here as there, so that the number of jobs changes no bit. The parent alone hands rows on.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from joblib.externals.loky import get_reusable_executor

from imblab.core import design, own_code
from imblab.edges.files import locks
from imblab.edges.runner.bundle_evaluator import Bundle, BundleEvaluator, DatasetContext, single_threaded
from imblab.edges.runner.prediction_cache import FitCounts, PredictionStore
from imblab.edges.runner.worker import (
    CodeMismatch,
    JobResult,
    StatusFiles,
    WorkerJob,
    is_large_table,
    make_jobs,
    run_job,
    write_table,
)
from imblab.errors import ConfigError, StudyError
from imblab.result import Evaluation
from imblab.study import Dataset

#: Jobs a worker should get, so that the last ones to finish do not leave the others idle for long.
JOBS_PER_WORKER = 6
#: As many times more parts has the last of several bundles.
LAST_BUNDLE_FACTOR = 3
#: Times a job may lose its worker outside a fit before the study stops.
MAX_JOB_TRIES = 3
#: Worker processes that one run may start, and the seconds that a timer of the system takes with ease.
MAX_JOBS, MAX_FIT_SECONDS = 512, 31_536_000
Observer = Callable[[Evaluation], None]


def loky_executor(workers: int) -> Executor:
    """Processes that live on between studies and end with their parent; one thread each."""
    env = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Workers that live on know the path of imports of their start; another path starts new ones.
    path = (tuple(sys.path),)
    executor: Executor = get_reusable_executor(
        max_workers=workers, timeout=60, env=env, initializer=_set_import_path, initargs=path
    )
    return executor


def _set_import_path(path: Sequence[str]) -> None:
    """Let a worker import from where its parent imports, such as a package of the current folder."""
    sys.path[:] = path


@dataclass(frozen=True, slots=True)
class Engine:
    """How bundles are run; nothing here changes a score.

    Attributes
    ----------
    n_jobs : int
        Worker processes; 1 runs in this process unless fits have a time limit.
    open_store : callable or None
        Opens the prediction store, in whatever process; it is pickled.
    fit_timeout : float or None
        Seconds a fit may take.
    executor : callable
        Gives an executor of so many workers.
    """

    n_jobs: int = 1
    open_store: Callable[[], PredictionStore] | None = None
    fit_timeout: float | None = None
    executor: Callable[[int], Executor] = loky_executor

    def __post_init__(self) -> None:
        if isinstance(self.n_jobs, bool) or not 1 <= self.n_jobs <= MAX_JOBS:
            raise ConfigError(
                f"'n_jobs' is {self.n_jobs!r}; it is a number of worker processes from 1 to {MAX_JOBS:,}. Write for "
                "example n_jobs=2."
            )
        if self.fit_timeout is not None and not 0 < self.fit_timeout <= MAX_FIT_SECONDS:
            raise ConfigError(
                f"'fit_timeout' is {self.fit_timeout!r}; it is a number of seconds above 0 and at most "
                f"{MAX_FIT_SECONDS:,}, or None. Write for example fit_timeout=60."
            )


def run(
    datasets: Mapping[str, Dataset],
    work: Sequence[Bundle],
    n_jobs: int | Engine,
    on_row: Observer,
) -> FitCounts:
    """Answer every cell of every bundle.

    Parameters
    ----------
    datasets : mapping of str to Dataset
    work : sequence of Bundle
    n_jobs : int or Engine
    on_row : callable
        Receives every row, in this process, as soon as its bundle is done.

    Returns
    -------
    FitCounts
        What was fitted and what was not.

    Raises
    ------
    StudyError
        If workers keep dying outside fits; the rows that were handed over are safe.
    """
    engine = n_jobs if isinstance(n_jobs, Engine) else Engine(n_jobs)
    if (engine.n_jobs == 1 or not work) and engine.fit_timeout is None:
        return _run_in_process(datasets, work, engine, on_row)
    _check_code(work)
    tables: list[int] = []
    try:
        with locks.scratch_folder("run") as folder:
            return _PoolRun(folder, tables, datasets, work, engine, on_row).through()
    finally:
        for descriptor in tables:
            os.close(descriptor)


def _imported_paths(work: Sequence[Bundle]) -> list[str]:
    """The dotted paths of all classes and functions that some bundles rest on."""
    studies = {id(bundle.study): bundle.study for bundle in work}.values()
    return list(dict.fromkeys(path for study in studies for path in design.code_paths(study)))


def _check_code(work: Sequence[Bundle]) -> None:
    """Refuse classes that a worker process cannot import."""
    if found := [path for path in _imported_paths(work) if path.startswith("__main__.")]:
        raise StudyError(
            f"{', '.join(map(repr, found))}: it is defined in a notebook cell or a script, which worker processes "
            "cannot import. Put it into a module of its own, or run in one process without a time limit (n_jobs=1)."
        )


def _run_in_process(
    datasets: Mapping[str, Dataset], work: Sequence[Bundle], engine: Engine, on_row: Observer
) -> FitCounts:
    tally = FitCounts()
    store = engine.open_store() if engine.open_store else None
    grounds: dict[str, DatasetContext] = {}
    try:
        for _, alike in groupby(work, key=lambda bundle: bundle.cells[0].learner.make["_target_"]):
            some = [*alike]
            with single_threaded(some[0].cells[0].learner):
                for bundle in some:
                    if bundle.dataset not in grounds:
                        grounds = {bundle.dataset: DatasetContext.of(datasets[bundle.dataset], store)}
                    made = BundleEvaluator(bundle, grounds[bundle.dataset])
                    made.prepare()
                    for row in made.rows():
                        on_row(row)
                    tally += made.memory.tally
    finally:
        if store:
            store.close()
    return tally


@dataclass(slots=True)
class _BundleProgress:
    """A bundle under way: jobs that fit ahead, then the job that answers."""

    answer: WorkerJob
    waiting: int
    ahead: dict[str, float] = field(default_factory=dict)
    #: No store carries a failure from one job to the next.
    failures: dict[str, str] = field(default_factory=dict)


class _PoolRun:
    """One study over an executor that may break and is made anew."""

    def __init__(
        self,
        folder: Path,
        tables: list[int],
        datasets: Mapping[str, Dataset],
        work: Sequence[Bundle],
        engine: Engine,
        on_row: Observer,
    ) -> None:
        self._engine, self._on_row, self._tally = engine, on_row, FitCounts()
        self._marks = StatusFiles(folder)
        self._dead: dict[str, str] = {}
        self._tries: dict[int, int] = {}
        self._is_renewed = False
        paths: dict[str, str] = {}
        for bundle in work:
            if bundle.dataset not in paths:
                paths[bundle.dataset] = write_table(folder, datasets[bundle.dataset], bundle.splits, tables)
        self._is_large = any(map(is_large_table, paths.values()))
        opened = engine.open_store
        code = own_code.snapshot(_imported_paths(work))
        # Parts of a bundle meet in the store alone.
        kept = opened is not None and not any(found.unreadable for found in code.values())
        parts = -(-JOBS_PER_WORKER * engine.n_jobs // max(len(work), 1)) if kept else 0
        #: By number, in the order in which they are wanted.
        self._todo: dict[int, WorkerJob] = {}
        self._groups: dict[int, _BundleProgress] = {}
        for group, bundle in enumerate(work):
            # The last bundle comes in smaller parts: nobody waits long for whoever has the last of them.
            some = parts * LAST_BUNDLE_FACTOR if 0 < group == len(work) - 1 else parts
            jobs = make_jobs(bundle, paths[bundle.dataset], folder, opened, engine.fit_timeout, some, group, code)
            self._groups[group] = _BundleProgress(jobs[-1], len(jobs) - 1)
            self._todo |= {job.number: job for job in jobs[:-1] or jobs}

    def through(self) -> FitCounts:
        """Run everything."""
        alone: list[WorkerJob] = []
        while self._todo or alone:
            alone = self._round(alone[:1]) + alone[1:] if alone else self._round()
        return self._tally

    def _round(self, alone: Sequence[WorkerJob] = ()) -> list[WorkerJob]:
        """Work until all, or the one job, is done or the executor breaks; the jobs that must be tried alone."""
        queue, workers = deque(alone or self._todo.values()), 1 if alone else self._engine.n_jobs
        self._marks.clear()
        executor = self._engine.executor(workers)
        running: dict[Future[JobResult], WorkerJob] = {}
        try:
            while queue or running:
                while queue and len(running) < 2 * workers:
                    job = queue.popleft()
                    running[executor.submit(run_job, self._filled(job))] = job
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    job = running.pop(future)
                    del self._todo[job.number]
                    follow = self._take(job, result)
                    if follow is not None:
                        self._todo[follow.number] = follow
                        if not alone:  # rows are wanted before the fits of the next bundle
                            queue.appendleft(follow)
        except CodeMismatch as error:
            _kill_workers(executor)
            self._renew(error)
        except BrokenExecutor:
            return self._autopsy(bool(alone), list(alone) or list(self._todo.values()))
        except BaseException:
            _kill_workers(executor)
            raise
        if self._is_large:  # what their allocators hold is wanted for the evidence
            executor.shutdown()
        return []

    def _renew(self, error: CodeMismatch) -> None:
        """Try once with fresh workers: those of a long session may hold modules that were loaded anew since."""
        if self._is_renewed:
            raise StudyError(
                f"{', '.join(map(repr, error.args))}: worker processes load other code than this process runs; all "
                "evaluations of a study rest on one code. Restart Python (or load the module anew with "
                "importlib.reload) and run again, or use one process: runner.n_jobs=1."
            ) from error
        self._is_renewed = True

    def _filled(self, job: WorkerJob) -> WorkerJob:
        group = self._groups[job.group]
        return job.with_facts({**self._dead, **group.failures}, group.ahead if job.part is None else {})

    def _take(self, job: WorkerJob, result: JobResult) -> WorkerJob | None:
        """Hand rows on; the answering job of a group whose last part this was."""
        self._tally += result.tally
        for row in result.rows:
            self._on_row(row)
        group = self._groups[job.group]
        if job.part is None:
            return None
        group.ahead |= result.ahead
        group.failures |= result.failures
        group.waiting -= 1
        return group.answer if group.waiting == 0 else None

    def _autopsy(self, alone: bool, jobs: list[WorkerJob]) -> list[WorkerJob]:
        """Which of the jobs lost their worker, and whether a fit is to blame."""
        suspects = []
        marks = self._marks.read()
        for number in {m.number for m in marks if not m.address} or {jobs[0].number} - {m.number for m in marks}:
            self._count(next((j for j in jobs if j.number == number), jobs[0]))
        for mark in marks:
            job = next((j for j in jobs if j.number == mark.number), None)
            if mark.late and mark.address:
                self._dead[mark.address] = f"it took longer than runner.fit_timeout={self._engine.fit_timeout:g} s"
            elif alone and mark.address:
                self._dead[mark.address] = "the worker process died in this fit, twice (out of memory?)"
            if job is not None:
                suspects.append(job)
        return suspects if suspects or not alone else list(jobs)

    def _count(self, job: WorkerJob) -> None:
        """A worker died outside of a fit: that is nobody's row, and cannot go on for ever."""
        self._tries[job.number] = self._tries.get(job.number, 0) + 1
        if self._tries[job.number] >= MAX_JOB_TRIES:
            raise StudyError(
                f"a worker of {job.name!r} died {MAX_JOB_TRIES} times outside of a fit; a study needs every row, and "
                "those already written are safe. Run the same command again, with runner.n_jobs=1 if memory is short."
            )


def _kill_workers(executor: Any) -> None:
    """End the workers now: what they have finished is in the store."""
    try:
        executor.shutdown(wait=False, kill_workers=True)
    except TypeError:  # an executor without loky's keyword
        executor.shutdown(wait=False, cancel_futures=True)


def available_cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
