"""Run bundles in this process or over a pool of workers.

Every fit runs on one thread, in a worker as in this process, so that the number of jobs changes no bit. Evaluations
reach the observers, and predictions the store, in this process alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from itertools import groupby

from imblab.core.fitting import Prediction
from imblab.edges.files import locks
from imblab.edges.runner.bundle_evaluator import (
    Bundle,
    BundleEvaluator,
    DatasetContext,
    FitCounts,
    PredictionStore,
    single_threaded,
)
from imblab.edges.runner.cluster import DaskPool
from imblab.edges.runner.pool_run import PoolRun, named_paths
from imblab.edges.runner.pools import LocalPool, WorkerPool
from imblab.edges.runner.processes import available_cores, loky_executor
from imblab.edges.runner.scheduler import Cluster
from imblab.errors import ConfigError, StudyError
from imblab.result import Evaluation
from imblab.study import Dataset
from imblab.text import count_noun

#: Worker processes of one run, and seconds that a timer of the system accepts.
MAX_JOBS, MAX_FIT_SECONDS = 512, 31_536_000
#: Receives each evaluation as soon as its bundle is done: a ledger, a progress bar, a tracker.
Observer = Callable[[Evaluation], None]


def job_count(n_jobs: int) -> int:
    """Return the number of worker processes: as scikit-learn counts them, -1 stands for all cores."""
    is_relative = isinstance(n_jobs, int) and not isinstance(n_jobs, bool) and n_jobs < 0
    return max(1, available_cores() + 1 + n_jobs) if is_relative else n_jobs


@dataclass(frozen=True, slots=True)
class Engine:
    """How bundles are run; nothing here changes a score."""

    n_jobs: int = 1  # worker processes; 1 runs in this process unless fits have a time limit
    open_store: Callable[[], PredictionStore] | None = None  # opens the prediction store
    fit_timeout: float | None = None  # seconds a fit may take
    executor: Callable[[int], Executor] = loky_executor  # makes an executor with a number of workers
    cluster: Cluster | None = None  # workers of Dask, in place of those of the executor

    def opened_store(self) -> AbstractContextManager[PredictionStore | None]:
        """Open the prediction store for a ``with`` statement; None where there is none."""
        return closing(self.open_store()) if self.open_store else nullcontext()

    @property
    def workers(self) -> str:
        """Who carries out the fits, in words."""
        remote = self.cluster is not None and self.cluster.address
        return f"the workers of {remote}" if remote else count_noun(self.n_jobs, "process")

    def __post_init__(self) -> None:
        if isinstance(self.n_jobs, bool) or not isinstance(self.n_jobs, int) or not 1 <= self.n_jobs <= MAX_JOBS:
            raise ConfigError(
                f"'n_jobs' is {self.n_jobs!r}; it is a number of worker processes from 1 to {MAX_JOBS:,}. Write for "
                "example n_jobs=2."
            )
        is_number = isinstance(self.fit_timeout, (int, float)) and not isinstance(self.fit_timeout, bool)
        if self.fit_timeout is not None and not (is_number and 0 < self.fit_timeout <= MAX_FIT_SECONDS):
            raise ConfigError(
                f"'fit_timeout' is {self.fit_timeout!r}; it is a number of seconds above 0 and at most "
                f"{MAX_FIT_SECONDS:,}, or None. Write for example fit_timeout=60."
            )

    def notes(self) -> list[str]:
        """Say what the connection to its workers means for who may read along."""
        return [] if self.cluster is None else self.cluster.notes()

    def check(self) -> None:
        """Raise ConfigError if its workers cannot be connected to as it says; called before anything is written."""
        if self.cluster is not None:
            self.cluster.check()


def run(
    datasets: Mapping[str, Dataset],
    bundles: Sequence[Bundle],
    engine: Engine,
    observers: Sequence[Observer],
    outer_predictions: dict[str, Prediction] | None = None,
) -> FitCounts:
    """Evaluate every cell of every bundle, in their order.

    Each observer receives every evaluation, in this process, as soon as its bundle is done; one that raises stops the
    run. ``outer_predictions`` is filled before with what its evidence needs, by address, as far as no store holds it.
    Raises StudyError if workers keep dying outside of fits; evaluations that were handed over are kept.
    """
    kept = {} if outer_predictions is None else outer_predictions
    if not bundles or (engine.n_jobs == 1 and engine.fit_timeout is None and engine.cluster is None):
        return _run_in_process(datasets, bundles, engine, observers, kept)
    _check_importable(bundles)
    with engine.opened_store() as store, locks.scratch_folder("run") as folder:
        pool: WorkerPool
        if engine.cluster is not None:
            packages = sorted({path.partition(".")[0] for path in named_paths(bundles)})
            pool = DaskPool(engine.cluster, engine.n_jobs, packages, folder)
        else:
            pool = LocalPool(engine.n_jobs, engine.executor, folder, store.journal_opener() if store else None)
        try:
            counts = PoolRun(pool, store, datasets, bundles, observers, kept, engine.fit_timeout).run()
        except BaseException:
            pool.end(now=True)
            raise
        pool.end(now=False)
        return counts


def _check_importable(bundles: Sequence[Bundle]) -> None:
    """Refuse classes that a worker process cannot import."""
    if local := [path for path in named_paths(bundles) if path.startswith("__main__.")]:
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
    counts, contexts = FitCounts(), dict[str, DatasetContext]()
    # The first fold of every data set and learner begins: the time that is left is estimated from their seconds.
    ordered = sorted(bundles, key=lambda bundle: (bundle.cells[0].split.repeat, bundle.cells[0].split.fold) != (0, 0))
    with engine.opened_store() as store:
        for _, alike in groupby(ordered, key=lambda bundle: bundle.cells[0].learner.make["_target_"]):
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
    return counts


def _notify(observers: Sequence[Observer], evaluation: Evaluation) -> None:
    for observer in observers:
        observer(evaluation)
