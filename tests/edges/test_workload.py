"""The order and the parts of jobs, on simulated workers with the seconds of committed studies."""

import heapq
from pathlib import Path

import pytest

from imblab.commands.layout import lay_out, parse_request
from imblab.core.design import expand_cells
from imblab.edges import ledger, runner
from imblab.edges.runner.bundle_evaluator import FitCounts
from imblab.edges.runner.pool_run import MAX_JOB_SECONDS, PoolRun, Workload, bundle_fits
from imblab.edges.runner.pools import WorkerLost
from imblab.edges.runner.worker import JobResult

STUDIES = Path(__file__).parents[2] / "experiments"


class Simulated:
    """Workers that take as long as a ledger says, on a clock of their own."""

    loses_all = False

    def __init__(self, width, bundles, evaluations):
        self.width, self.bundles = width, bundles
        self.evaluations = {e.key: e for e in evaluations}
        self.now, self.busy = 0.0, 0.0
        self.free, self.ends, self.jobs = [0.0] * width, [], 0

    def send(self, dataset, plan):
        return dataset.name

    def submit(self, job):
        rows = [self.evaluations[cell.key] for cell in self.bundles[job.group].cells]
        total, refits = sum(row.seconds for row in rows), len(rows) / sum(row.fits for row in rows)
        share = 1 if job.parts == 1 else refits if job.part is None else (1 - refits) / job.parts
        end = max(self.now, heapq.heappop(self.free)) + total * share
        heapq.heappush(self.free, end)
        self.jobs, self.busy = self.jobs + 1, self.busy + total * share
        made = JobResult(() if job.part is not None else tuple(rows), {}, {}, FitCounts(len(rows)), total * share)
        heapq.heappush(self.ends, (end, self.jobs, job, made))

    def outcomes(self):
        self.now, _, job, made = heapq.heappop(self.ends)
        return [(job, made)]


class Deadly(Simulated):
    """One worker that dies in the first job at each of some fits; the jobs that wait there are lost with it."""

    def __init__(self, bundles, evaluations, fits):
        super().__init__(1, bundles, evaluations)
        self.fits, self.killer, self.queue, self.lost, self.behind_suspects = fits, None, [], [], 0

    def submit(self, job):
        self.killer = job.number if self.killer is None else self.killer
        self.behind_suspects += any(waiting.is_suspect for waiting in self.queue)
        self.queue.append(job)

    def outcomes(self):
        if self.lost:  # reports of one death come one by one
            return [(self.lost.pop(), WorkerLost(None, has_begun=False))]
        job = self.queue.pop(0)
        fatal = [fit for fit in self.fits if fit not in job.failed] if job.number == self.killer else []
        if fatal:
            self.lost, self.queue = self.queue, []
            return [(job, WorkerLost(fatal[0] if job.is_suspect else None))]
        super().submit(job)
        return super().outcomes()


def study(name):
    layout = lay_out(parse_request([str(STUDIES / name / "study.yaml")], []).study)
    return layout, runner.make_bundles(layout.study, layout.plans, expand_cells(layout.study, layout.plans))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["smote_ratio", "resample_or_not"])
@pytest.mark.parametrize("width", [8, 64])
def test_few_workers_wait_for_the_last_jobs(name, width):
    layout, bundles = study(name)
    evaluations = ledger.read_evaluations(STUDIES / name)
    pool, rows = Simulated(width, bundles, evaluations), []
    PoolRun(pool, None, layout.datasets, bundles, [rows.append], {}, None).run()
    assert sorted(row.key for row in rows) == sorted(pool.evaluations)
    assert pool.busy / (width * pool.now) >= 0.95


def test_jobs_that_wait_at_a_worker_that_dies_again_and_again_are_not_to_blame():
    layout, bundles = study("smote_ratio")
    evaluations = ledger.read_evaluations(STUDIES / "smote_ratio")
    pool, rows = Deadly(bundles, evaluations, [f"fit{n}" for n in range(9)]), []
    PoolRun(pool, None, layout.datasets, bundles, [rows.append], {}, None).run()
    assert sorted(row.key for row in rows) == sorted(pool.evaluations)
    assert pool.behind_suspects == 0


def test_the_longest_bundle_begins_first_but_one_of_each_kind_before_all():
    layout, bundles = study("smote_ratio")
    sizes = {name: data.X.size for name, data in layout.datasets.items()}
    workload = Workload(bundles, sizes)
    kinds = {(bundle.dataset, bundle.cells[0].learner.name) for bundle in bundles}
    first = [workload.pop() for _ in kinds]
    assert {(bundles[group].dataset, bundles[group].cells[0].learner.name) for group in first} == kinds
    for group in first:
        workload.count(group, 1.0, 10, seconds=float(group + 1))
    order = [workload.pop() for _ in range(len(bundles) - len(kinds))]
    estimates = [workload.seconds(group) for group in order]
    assert estimates == sorted(estimates, reverse=True)
    assert sorted([*first, *order]) == list(range(len(bundles)))
    assert workload.pop() is None


def test_a_long_bundle_comes_in_parts_and_a_short_one_whole():
    layout, bundles = study("smote_ratio")
    workload = Workload(bundles, {name: data.X.size for name, data in layout.datasets.items()})
    group = workload.pop()
    workload.count(group, 1.0, 10, seconds=100 * MAX_JOB_SECONDS)
    assert workload.parts(group, width=2) == min(100, bundle_fits(bundles[group]))
    workload.count(group, 100_000.0, 10, seconds=0.0)
    assert workload.parts(group, width=2) == 1
