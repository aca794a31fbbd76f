"""One run over a pool of workers: which job is next, how large, and what becomes of jobs that lost their worker.

This process alone writes the prediction store. What is known of a bundle travels with its jobs, new predictions travel
home with their results, and a bundle of which everything is known is evaluated here.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import ceil

from imblab.core import design, forecast, own_code
from imblab.core.fitting import Prediction
from imblab.edges.runner import worker
from imblab.edges.runner.bundle_evaluator import (
    Bundle,
    BundleEvaluator,
    DatasetContext,
    FitCounts,
    PredictionStore,
    can_fit_ahead,
    single_threaded,
)
from imblab.edges.runner.pools import WorkerLost, WorkerPool
from imblab.edges.runner.worker import Job, JobResult, lateness_reason
from imblab.errors import StudyError
from imblab.result import Evaluation
from imblab.study import Dataset

#: Times a job may lose its worker outside of a fit, or wait at workers that die, before the study stops.
MAX_JOB_TRIES, MAX_WAITING_LOSSES = 3, 20
#: Jobs submitted per worker: the second waits, so that the worker does not.
JOBS_IN_FLIGHT = 2
#: Numbers of jobs between those of two bundles.
MAX_PARTS = 10_000
#: Parts of the remaining work that each worker should still receive, so that all end at nearly the same time.
PARTS_PER_WORKER = 8
#: Seconds of a job: a shorter one costs more than it is worth, after a longer one a killed run has lost too much.
MIN_JOB_SECONDS, MAX_JOB_SECONDS = 0.25, 2.0
#: Seconds of a fit per value of its table, before any fit was made, and of the fastest fit.
SECONDS_PER_VALUE, MIN_FIT_SECONDS = 1e-6, 0.002
#: Data set and learner, which decide how long a fit takes.
Kind = tuple[str, str]


class _FitNeeded(Exception):
    """Raised by a bundle of which not everything is known."""


def _refuse_fit(address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
    raise _FitNeeded(address)


@dataclass(slots=True)
class _Progress:
    """A bundle under way: jobs that fit its inner folds, then the job that evaluates its cells."""

    evaluate_job: Job
    waiting: int
    known: dict[str, Prediction] = field(default_factory=dict)
    fitted_ahead: dict[str, float] = field(default_factory=dict)
    #: The store carries no failure from one job to the next.
    failures: dict[str, str] = field(default_factory=dict)


class PoolRun:
    """One run over a pool; the store is read and written here alone."""

    def __init__(
        self,
        pool: WorkerPool,
        store: PredictionStore | None,
        datasets: Mapping[str, Dataset],
        bundles: Sequence[Bundle],
        observers: Sequence[Callable[[Evaluation], None]],
        kept: dict[str, Prediction],
        fit_timeout: float | None,
    ) -> None:
        self._pool, self._store, self._datasets, self._bundles = pool, store, datasets, bundles
        self._observers, self._kept, self._fit_timeout = observers, kept, fit_timeout
        self._counts, self._fatal_fits, self._tries = FitCounts(), dict[str, str](), Counter[tuple[int, int]]()
        self._code = own_code.code_snapshot(named_paths(bundles))
        self._is_divisible = not any(item.unreadable for item in self._code.values())
        #: Whether the store may hold predictions of a bundle that has not begun.
        self._may_be_known = store is not None and not store.is_empty()
        self._workload = Workload(bundles, {name: data.X.size for name, data in datasets.items()})
        #: The fits under way when workers died, and the jobs that had a fit in which a worker died twice.
        self._fits_at_death, self._blamed_jobs = set[str](), set[int]()
        self._tables: dict[str, str] = {}
        self._progress: dict[int, _Progress] = {}
        self._ready, self._suspects = deque[Job](), deque[Job]()
        #: Whether each job that was submitted is suspect, by its number.
        self._in_flight: dict[int, bool] = {}

    def run(self) -> FitCounts:
        """Run all bundles; jobs that lost their worker run again, alone where a death loses the jobs of all."""
        while True:
            while (job := self._next_job()) is not None:
                self._pool.submit(self._with_latest_facts(job))
                self._in_flight[job.number] = job.is_suspect
            if not self._in_flight:
                return self._counts
            outcomes = self._pool.outcomes()
            lost = []
            for job, outcome in outcomes:
                del self._in_flight[job.number]
                if isinstance(outcome, JobResult):
                    self._accept(job, outcome)
                elif isinstance(outcome, WorkerLost):
                    lost.append((job, outcome))
                else:
                    self._pool.make_ready(outcome)
                    self._ready.appendleft(job)
            if lost:
                self._try_again(lost)

    def _next_job(self) -> Job | None:
        """The job that runs next; None if enough are in flight, or none is left."""
        if self._suspects and self._pool.loses_all:
            return self._suspects.popleft() if not self._in_flight else None
        # No job waits behind a suspect, whose death would lose it too.
        jobs_per_worker = 1 if self._suspects or any(self._in_flight.values()) else JOBS_IN_FLIGHT
        if len(self._in_flight) >= jobs_per_worker * self._pool.width:
            return None
        if self._suspects:
            return self._suspects.popleft()
        while not self._ready:
            group = self._workload.pop()
            if group is None:
                return None
            self._begin(group)
        return self._ready.popleft()

    def _begin(self, group: int) -> None:
        """Evaluate the cells of a bundle of which everything is known, and make the jobs of the others."""
        bundle, known, missing = self._bundles[group], dict[str, Prediction](), 1.0
        if self._may_be_known:
            bundle, known, missing = self._evaluate_known(bundle)
        if not bundle.cells:
            self._workload.count(group, 1.0, 0, 0.0)
            return
        if bundle.dataset not in self._tables:
            self._tables[bundle.dataset] = self._pool.send(self._datasets[bundle.dataset], bundle.splits)
        evaluate_job = worker.bundle_job(
            bundle,
            self._tables[bundle.dataset],
            (group + 1) * MAX_PARTS - 1,
            group,
            fit_timeout=self._fit_timeout,
            code=self._code,
            returns_predictions=self._store is not None,
        )
        parts = ceil(self._workload.parts(group, self._pool.width) * missing) if self._is_divisible else 1
        jobs = worker.divide_job(evaluate_job, min(parts, MAX_PARTS - 1))
        self._progress[group] = _Progress(evaluate_job, len(jobs), known)
        self._ready.extend(jobs or [evaluate_job])

    def _evaluate_known(self, bundle: Bundle) -> tuple[Bundle, dict[str, Prediction], float]:
        """Evaluate the cells of which everything is stored.

        Returns the bundle of the other cells, what is known of them, and the share of their inner fits that is not.
        """
        assert self._store is not None
        context = DatasetContext(self._datasets[bundle.dataset], None, self._store)
        evaluator = BundleEvaluator(bundle, context, guard=_refuse_fit)
        fits_ahead = can_fit_ahead(bundle.study)
        addresses = {request.address for request in evaluator.inner_fits(0, 1)} if fits_ahead else set()
        evaluator.cache.get_many([*addresses])
        known = evaluator.cache.fetched()
        if not known and addresses:
            return bundle, {}, 1.0
        evaluations, cells = [], []
        with single_threaded(bundle.cells[0].learner):
            for cell in bundle.cells:
                try:
                    evaluations.append(evaluator.evaluate(cell))
                except _FitNeeded:
                    cells.append(cell)
        counts = FitCounts() if cells else evaluator.cache.counts
        self._hand_on(JobResult(tuple(evaluations), {}, {}, counts, outer_predictions=evaluator.outer_predictions))
        missing = len(addresses - known.keys()) / max(len(addresses), 1)
        return replace(bundle, cells=tuple(cells)), evaluator.cache.fetched(), missing

    def _with_latest_facts(self, job: Job) -> Job:
        """Add to a job what failed, was fitted or became known since it was made."""
        progress = self._progress[job.group]
        failed = {**self._fatal_fits, **progress.failures}
        if job.part is not None:
            return replace(job, failed=failed, skipped=frozenset(progress.known))
        return replace(job, failed=failed, known=progress.known, fitted_ahead=progress.fitted_ahead)

    def _accept(self, job: Job, result: JobResult) -> None:
        """Store what comes home and hand evaluations on; the last part of a bundle is followed by its evaluation."""
        if self._store is not None:
            self._store.put(result.predictions.items())
            self._store.flush()
            if result.journal is not None:
                self._store.remove_journal(result.journal)
        # The fits of the evaluating job are the refits of the winners alone if parts came before it.
        share = 1.0 if job.parts == 1 else 0.0 if job.part is None else 1.0 / job.parts
        self._workload.count(job.group, share, result.counts.fitted, result.seconds)
        self._hand_on(result)
        if job.part is None:
            del self._progress[job.group]
            return
        progress = self._progress[job.group]
        progress.known |= result.predictions
        progress.fitted_ahead |= result.fitted_ahead
        progress.failures |= result.failures
        progress.waiting -= 1
        if progress.waiting == 0:  # evaluations come before the fits of the next bundle
            self._ready.appendleft(replace(progress.evaluate_job, parts=job.parts))

    def _hand_on(self, result: JobResult) -> None:
        self._counts += result.counts
        self._kept |= result.outer_predictions
        for evaluation in result.evaluations:
            for observer in self._observers:
                observer(evaluation)

    def _try_again(self, lost: Sequence[tuple[Job, WorkerLost]]) -> None:
        """Record the fits that are to blame for the death of workers; jobs that had begun are suspect from now on."""
        adopted = self._store.adopt_journals() if self._store is not None else {}
        has_witness = any(loss.has_begun for _, loss in lost)
        for n, (job, loss) in enumerate(lost):
            if loss.is_late and loss.fit:
                self._fatal_fits[loss.fit] = lateness_reason(self._fit_timeout)
            elif loss.fit and (loss.is_repeated or (job.is_suspect and self._is_to_blame(job, loss.fit))):
                self._blamed_jobs.add(job.number)
                self._fatal_fits[loss.fit] = "the worker process died in this fit, twice (out of memory?)"
            elif not (loss.has_begun or self._pool.loses_all):
                self._count_try(job, MAX_WAITING_LOSSES)
            elif loss.fit == "" or (loss.fit is None and job.is_suspect) or not (has_witness or n):
                self._count_try(job, MAX_JOB_TRIES)
            self._progress[job.group].known |= adopted
            if loss.has_begun or job.is_suspect:
                self._suspects.append(replace(job, is_suspect=True))
            else:
                self._ready.appendleft(job)
        self._fits_at_death |= {loss.fit for _, loss in lost if loss.fit}

    def _is_to_blame(self, job: Job, fit: str) -> bool:
        """Whether a worker died in this fit before, or the job has had such a fit: another death may be an accident."""
        return fit in self._fits_at_death or job.number in self._blamed_jobs

    def _count_try(self, job: Job, limit: int) -> None:
        """Count a worker that died outside of a fit, which no evaluation can record; stop after several."""
        self._tries[job.number, limit] += 1
        if self._tries[job.number, limit] >= limit:
            raise StudyError(
                f"a worker of {job.name!r} died {limit} times outside of a fit; a study needs every evaluation, and "
                "those already written are safe. Run the same command again, with runner.n_jobs=1 if memory is short."
            )


def named_paths(bundles: Sequence[Bundle]) -> list[str]:
    """List the dotted paths of all classes and functions that bundles use."""
    studies = [study for study, _ in groupby(bundle.study for bundle in bundles)]
    return list(dict.fromkeys(path for study in studies for path in design.named_code_paths(study)))


class Workload:
    """Estimates the seconds of bundles from those of the fits of this run so far, and chooses the next bundle.

    Bundles are named by their positions; ``sizes`` are the values of each table: rows times columns.
    """

    def __init__(self, bundles: Sequence[Bundle], sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._n_fits, self._fit_seconds = defaultdict[Kind, float](float), defaultdict[Kind, float](float)  # so far
        self._kinds = [(bundle.dataset, bundle.cells[0].learner.name) for bundle in bundles]
        self._fits = [bundle_fits(bundle) for bundle in bundles]
        self._divisible = [can_fit_ahead(bundle.study) for bundle in bundles]
        self._waiting: dict[Kind, list[int]] = {}
        self._remaining: defaultdict[Kind, float] = defaultdict(float)
        self._begun: set[Kind] = set()
        # The heaviest of a kind is the last of its list, and of equals the first of the design.
        for group in sorted(range(len(bundles)), key=lambda group: (self._fits[group], -group)):
            self._waiting.setdefault(self._kinds[group], []).append(group)
            self._remaining[self._kinds[group]] += self._fits[group]

    def pop(self) -> int | None:
        """Take the longest bundle, but one of each data set and learner before the second of any; None if all began."""
        if not self._waiting:
            return None
        kind = max(self._waiting, key=lambda kind: (kind not in self._begun, self.seconds(self._waiting[kind][-1])))
        group = self._waiting[kind].pop()
        if not self._waiting[kind]:
            del self._waiting[kind]
        self._begun.add(kind)
        return group

    def seconds(self, group: int) -> float:
        """Estimate the seconds of a bundle on one worker."""
        return self._fits[group] * self._seconds_per_fit(self._kinds[group])

    def parts(self, group: int, width: int) -> int:
        """Return the number of jobs that the inner fits of a bundle are divided into."""
        if not self._divisible[group]:
            return 1
        remaining = sum(fits * self._seconds_per_fit(kind) for kind, fits in self._remaining.items())
        longest = min(max(remaining / (PARTS_PER_WORKER * width), MIN_JOB_SECONDS), MAX_JOB_SECONDS)
        return max(1, min(ceil(self.seconds(group) / longest), int(self._fits[group])))

    def count(self, group: int, share: float, fitted: int, seconds: float) -> None:
        """Count a job that is done: its share of a bundle, the models that it fitted, its seconds."""
        kind = self._kinds[group]
        self._remaining[kind] = max(0.0, self._remaining[kind] - share * self._fits[group])
        if fitted:
            self._n_fits[kind] += share * self._fits[group]
            self._fit_seconds[kind] += seconds

    def _seconds_per_fit(self, kind: Kind) -> float:
        """As measured; else as its learner took per value of other tables; else as all did; else a constant."""
        if n_fits := self._n_fits.get(kind):
            return self._fit_seconds[kind] / n_fits
        size = self._sizes.get(kind[0], 1)
        for like in ([k for k in self._n_fits if k[1] == kind[1]], [*self._n_fits]):
            values = sum(self._n_fits[k] * self._sizes.get(k[0], 1) for k in like)
            if values:
                return size * sum(self._fit_seconds[k] for k in like) / values
        return max(MIN_FIT_SECONDS, size * SECONDS_PER_VALUE)


def bundle_fits(bundle: Bundle) -> float:
    """Count the fits of a bundle, roughly: strategies that differ in their threshold alone share them."""
    study, learner = bundle.study, bundle.cells[0].learner
    folds = study.protocol.outer_folds - 1 if study.protocol.inner == "shared" else study.protocol.inner_folds
    splits = {cell.split.fingerprint for cell in bundle.cells}
    inner: dict[str, int] = {}
    for strategy in {cell.strategy.name: cell.strategy for cell in bundle.cells}.values():
        key = repr((strategy.sampler, strategy.axes, strategy.fixed_knobs))
        candidates = forecast.count_candidates(study, strategy, learner)
        is_chosen = candidates > 1 or not isinstance(strategy.threshold, float)
        inner[key] = max(inner.get(key, 0), candidates * folds * is_chosen)
    return float(len(splits) * sum(fits + 1 for fits in inner.values()))
