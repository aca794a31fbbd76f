"""Run bundles over worker processes: isolate a job whose worker dies, stop a fit that takes too long.

The engine is anything with the interface of ``concurrent.futures.Executor``; loky by default. Every fit runs on one
thread, in a worker as in this process, so that the number of jobs changes no bit. Evaluations reach the observers in
the parent process alone.
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

import imblab.edges.runner.worker as worker
from imblab.core import design, own_code
from imblab.core.fitting import Prediction
from imblab.edges.files import locks
from imblab.edges.runner.bundle_evaluator import (
    Bundle,
    BundleEvaluator,
    DatasetContext,
    FitCounts,
    PredictionStore,
    make_bundles,
    single_threaded,
)
from imblab.errors import ConfigError, StudyError
from imblab.result import Evaluation
from imblab.study import Dataset

__all__ = [
    "Bundle",
    "BundleEvaluator",
    "DatasetContext",
    "Engine",
    "FitCounts",
    "PredictionStore",
    "available_cores",
    "make_bundles",
    "run",
]

#: Jobs per worker, so that the last ones to finish do not leave the others idle for long.
JOBS_PER_WORKER = 6
#: The last of several bundles is cut into as many times more parts.
LAST_BUNDLE_FACTOR = 3
#: Times a job may lose its worker outside of a fit before the study stops.
MAX_JOB_TRIES = 3
#: Worker processes of one run, and seconds that a timer of the system accepts.
MAX_JOBS, MAX_FIT_SECONDS = 512, 31_536_000
#: Receives each evaluation as soon as its bundle is done: a ledger, a progress bar, a tracker.
Observer = Callable[[Evaluation], None]


def loky_executor(workers: int) -> Executor:
    """Start worker processes that live on between studies and end with their parent; one thread each."""
    env = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Workers keep the import path of their start; another path starts new ones.
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
        Opens the prediction store, in any process; it is pickled.
    fit_timeout : float or None
        Seconds a fit may take.
    executor : callable
        Makes an executor with a number of workers.
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
    bundles: Sequence[Bundle],
    engine: Engine,
    observers: Sequence[Observer],
    outer_predictions: dict[str, Prediction] | None = None,
) -> FitCounts:
    """Evaluate every cell of every bundle.

    Parameters
    ----------
    datasets : mapping of str to Dataset
        By name; every data set that a bundle names.
    bundles : sequence of Bundle
        In the order in which they are started.
    engine : Engine
        Processes, store and time limit; changes no number.
    observers : sequence of callable
        Each receives every evaluation, in order, in this process, as soon as its bundle is done. An observer that
        raises stops the run.
    outer_predictions : dict of str to Prediction, optional
        Filled, before the observers see an evaluation, with what its evidence needs, by address, as far as no store
        holds it.

    Raises
    ------
    StudyError
        If workers keep dying outside of fits; evaluations that were handed over are kept.
    """
    kept = {} if outer_predictions is None else outer_predictions
    if (engine.n_jobs == 1 or not bundles) and engine.fit_timeout is None:
        return _run_in_process(datasets, bundles, engine, observers, kept)
    _check_importable(bundles)
    descriptors: list[int] = []
    try:
        with locks.scratch_folder("run") as folder:
            return _PoolRun(folder, descriptors, datasets, bundles, engine, observers, kept).run()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _imported_paths(bundles: Sequence[Bundle]) -> list[str]:
    """List the dotted paths of all classes and functions that bundles use."""
    studies = [study for study, _ in groupby(bundle.study for bundle in bundles)]
    return list(dict.fromkeys(path for study in studies for path in design.named_code_paths(study)))


def _check_importable(bundles: Sequence[Bundle]) -> None:
    """Refuse classes that a worker process cannot import."""
    if local := [path for path in _imported_paths(bundles) if path.startswith("__main__.")]:
        raise StudyError(
            f"{', '.join(map(repr, local))}: it is defined in a notebook cell or a script, which worker processes "
            "cannot import. Put it into a module of its own, or run in one process without a time limit (n_jobs=1)."
        )


def _run_in_process(
    datasets: Mapping[str, Dataset],
    bundles: Sequence[Bundle],
    engine: Engine,
    observers: Sequence[Observer],
    kept: dict[str, Prediction],
) -> FitCounts:
    counts = FitCounts()
    store = engine.open_store() if engine.open_store else None
    contexts: dict[str, DatasetContext] = {}
    try:
        for _, alike in groupby(bundles, key=lambda bundle: bundle.cells[0].learner.make["_target_"]):
            members = [*alike]
            with single_threaded(members[0].cells[0].learner):
                for bundle in members:
                    if bundle.dataset not in contexts:
                        contexts = {bundle.dataset: DatasetContext.of(datasets[bundle.dataset], store)}
                    evaluator = BundleEvaluator(bundle, contexts[bundle.dataset])
                    evaluator.fit_inner_folds()
                    for evaluation in evaluator.evaluations():
                        kept |= evaluator.outer_predictions
                        _notify(observers, evaluation)
                    counts += evaluator.cache.counts
    finally:
        if store:
            store.close()
    return counts


def _notify(observers: Sequence[Observer], evaluation: Evaluation) -> None:
    for observer in observers:
        observer(evaluation)


@dataclass(slots=True)
class _BundleProgress:
    """A bundle under way: jobs that fit its inner folds, then the job that evaluates its cells."""

    evaluate_job: worker.WorkerJob
    waiting: int
    fitted_ahead: dict[str, float] = field(default_factory=dict)
    #: The store carries no failure from one job to the next.
    failures: dict[str, str] = field(default_factory=dict)


class _PoolRun:
    """One run over an executor that may break and is then made anew."""

    def __init__(
        self,
        folder: Path,
        descriptors: list[int],
        datasets: Mapping[str, Dataset],
        bundles: Sequence[Bundle],
        engine: Engine,
        observers: Sequence[Observer],
        kept: dict[str, Prediction],
    ) -> None:
        self._engine, self._observers, self._counts, self._kept = engine, observers, FitCounts(), kept
        self._status_files = worker.StatusFiles(folder)
        self._fatal_fits: dict[str, str] = {}
        self._tries: dict[int, int] = {}
        self._workers_replaced = False
        paths: dict[str, str] = {}
        for bundle in bundles:
            if bundle.dataset not in paths:
                paths[bundle.dataset] = worker.write_table(folder, datasets[bundle.dataset], bundle.splits, descriptors)
        self._has_large_table = any(map(worker.is_large_table, paths.values()))
        code = own_code.code_snapshot(_imported_paths(bundles))
        # The parts of a bundle exchange predictions through the store alone.
        uses_parts = engine.open_store is not None and not any(item.unreadable for item in code.values())
        parts = -(-JOBS_PER_WORKER * engine.n_jobs // max(len(bundles), 1)) if uses_parts else 0
        #: By number, in the order in which they should run.
        self._pending: dict[int, worker.WorkerJob] = {}
        self._progress: dict[int, _BundleProgress] = {}
        for group, bundle in enumerate(bundles):
            # The last bundle comes in smaller parts, so that no worker waits long for the last of them.
            n_parts = parts * LAST_BUNDLE_FACTOR if 0 < group == len(bundles) - 1 else parts
            path = paths[bundle.dataset]
            jobs = worker.make_jobs(bundle, path, folder, engine.open_store, engine.fit_timeout, n_parts, group, code)
            self._progress[group] = _BundleProgress(jobs[-1], len(jobs) - 1)
            self._pending |= {job.number: job for job in jobs[:-1] or jobs}

    def run(self) -> FitCounts:
        """Run all jobs; those that lost their worker run again one at a time."""
        suspects: list[worker.WorkerJob] = []
        while self._pending or suspects:
            suspects = self._run_round(suspects[:1]) + suspects[1:] if suspects else self._run_round()
        return self._counts

    def _run_round(self, suspect: Sequence[worker.WorkerJob] = ()) -> list[worker.WorkerJob]:
        """Run all pending jobs, or one suspect, until done or the executor breaks; returns jobs to try one by one."""
        queue, workers = deque(suspect or self._pending.values()), 1 if suspect else self._engine.n_jobs
        self._status_files.clear()
        executor = self._engine.executor(workers)
        running: dict[Future[worker.JobResult], worker.WorkerJob] = {}
        try:
            while queue or running:
                while queue and len(running) < 2 * workers:
                    job = queue.popleft()
                    running[executor.submit(worker.run_job, self._with_latest_facts(job))] = job
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    job = running.pop(future)
                    del self._pending[job.number]
                    next_job = self._accept(job, result)
                    if next_job is not None:
                        self._pending[next_job.number] = next_job
                        if not suspect:  # evaluations come before the fits of the next bundle
                            queue.appendleft(next_job)
        except worker.CodeMismatch as error:
            _kill_workers(executor)
            self._replace_workers(error)
        except BrokenExecutor:
            return self._diagnose_broken_pool(bool(suspect), list(suspect) or list(self._pending.values()))
        except BaseException:
            _kill_workers(executor)
            raise
        if self._has_large_table:  # the evidence needs the memory that their allocators hold
            executor.shutdown()
        return []

    def _replace_workers(self, error: worker.CodeMismatch) -> None:
        """Try once with fresh workers: those of a long session may hold modules that were reloaded since."""
        if self._workers_replaced:
            raise StudyError(
                f"{', '.join(map(repr, error.args))}: worker processes load other code than this process runs; all "
                "evaluations of a study rest on one code. Restart Python (or load the module anew with "
                "importlib.reload) and run again, or use one process: runner.n_jobs=1."
            ) from error
        self._workers_replaced = True

    def _with_latest_facts(self, job: worker.WorkerJob) -> worker.WorkerJob:
        progress = self._progress[job.group]
        return job.with_facts(
            {**self._fatal_fits, **progress.failures}, progress.fitted_ahead if job.part is None else {}
        )

    def _accept(self, job: worker.WorkerJob, result: worker.JobResult) -> worker.WorkerJob | None:
        """Hand evaluations on; returns the evaluating job of a bundle whose last part this was."""
        self._counts += result.counts
        self._kept |= result.outer_predictions
        for evaluation in result.evaluations:
            _notify(self._observers, evaluation)
        if job.part is None:
            return None
        progress = self._progress[job.group]
        progress.fitted_ahead |= result.fitted_ahead
        progress.failures |= result.failures
        progress.waiting -= 1
        return progress.evaluate_job if progress.waiting == 0 else None

    def _diagnose_broken_pool(self, ran_alone: bool, jobs: list[worker.WorkerJob]) -> list[worker.WorkerJob]:
        """Find the jobs that lost their worker, and record the fits that are to blame."""
        suspects = []
        by_number = {job.number: job for job in jobs}
        statuses = self._status_files.read()
        outside_fits = {s.number for s in statuses if not s.address}
        for number in outside_fits or {jobs[0].number} - {s.number for s in statuses}:
            self._count_try(by_number.get(number, jobs[0]))
        for status in statuses:
            if status.late and status.address:
                reason = f"it took longer than runner.fit_timeout={self._engine.fit_timeout:g} s"
                self._fatal_fits[status.address] = reason
            elif ran_alone and status.address:
                self._fatal_fits[status.address] = "the worker process died in this fit, twice (out of memory?)"
            if status.number in by_number:
                suspects.append(by_number[status.number])
        return suspects if suspects or not ran_alone else list(jobs)

    def _count_try(self, job: worker.WorkerJob) -> None:
        """Count a worker that died outside of a fit, which no evaluation can record; stop after several."""
        self._tries[job.number] = self._tries.get(job.number, 0) + 1
        if self._tries[job.number] >= MAX_JOB_TRIES:
            raise StudyError(
                f"a worker of {job.name!r} died {MAX_JOB_TRIES} times outside of a fit; a study needs every "
                "evaluation, and those already written are safe. Run the same command again, with runner.n_jobs=1 if "
                "memory is short."
            )


def _kill_workers(executor: Any) -> None:
    """End the workers now: what they have finished is in the store."""
    try:
        executor.shutdown(wait=False, kill_workers=True)
    except TypeError:  # an executor without loky's keyword
        executor.shutdown(wait=False, cancel_futures=True)


def available_cores() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
