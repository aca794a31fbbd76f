"""A pool of workers by Dask's ``distributed``: an existing scheduler, or one that is started on loopback.

A table travels as a file once per host, where it is cached by its content and mapped into memory; or it lies in a
folder that all hosts share.
"""

from __future__ import annotations

import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from imblab.edges import files
from imblab.edges.runner import worker
from imblab.edges.runner.dask_worker import (
    TABLES,
    ForeignWorker,
    TableMissing,
    differences,
    environment,
    file_digest,
    loss_of,
    receive_chunk,
    run_on_worker,
    table_state,
)
from imblab.edges.runner.pools import Outcome, WorkerLost
from imblab.edges.runner.scheduler import Cluster
from imblab.edges.runner.worker import Job, JobResult
from imblab.errors import ImblabError, StudyError, foreign_reason
from imblab.study import Dataset, Split

if TYPE_CHECKING:
    from distributed import Client

#: Bytes of a table that travel in one message.
CHUNK_BYTES = 16 * 2**20
MAX_CONNECT_SECONDS = 20
#: Seconds that a run waits for its first worker, or for another one after the last has gone.
MAX_IDLE_SECONDS = 600
#: Seconds between two counts of the workers.
COUNT_SECONDS = 2.0
#: Bytes of a job above which Dask would advise to send its data by other means.
LARGE_JOB_BYTES = 2**40


class DaskPool:
    """Workers of a Dask scheduler: ``n_jobs`` that are started on this machine, or jobs at once on an existing cluster.

    ``packages`` are those of the learners and samplers; ``folder`` is for tables before they are sent.
    """

    loses_all = False

    def __init__(self, cluster: Cluster, n_jobs: int, packages: Sequence[str], folder: Path) -> None:
        self._cluster, self._n_jobs, self._folder = cluster, n_jobs, folder
        self._topic = f"imblab-{secrets.token_hex(8)}"
        self._environment = environment(tuple(packages))
        self._packages = tuple(packages)
        self._running: dict[Future[JobResult], tuple[Job, str]] = {}
        self._n_submitted = 0
        self._counted, self._n_workers = -COUNT_SECONDS, 0
        #: The client, and the cluster if it is of this run; None until a job needs workers.
        self._connection: tuple[Client, Any] | None = None

    def _connect(self) -> Client:
        """Return the client; the first time connect it and check the workers."""
        if self._connection is None:
            self._connection = connect_to_workers(self._cluster, self._n_jobs)
            self._check_workers()
        return self._connection[0]

    @property
    def width(self) -> int:
        """Number of workers that there are, as far as they may be used, at least 1; counted every few seconds."""
        if self._connection is None:
            return 1
        if monotonic() > self._counted + COUNT_SECONDS:
            self._counted, self._n_workers = monotonic(), len(self._workers())
        return max(1, min(self._n_jobs, self._n_workers))

    def _workers(self) -> Mapping[str, Mapping[str, Any]]:
        workers: Mapping[str, Mapping[str, Any]] = self._connect().scheduler_info(n_workers=-1)["workers"]
        return workers

    def _check_workers(self) -> None:
        """Refuse workers with several threads, or with other versions than this process."""
        workers = self._workers()
        versions = self._ask_workers(self._connect())
        problems = [
            f"worker {address!r} on host {facts['host']!r}: {problem}"
            for address, facts in workers.items()
            if not isinstance(versions.get(address), OSError)  # it is gone; the next one is asked before its first job
            for problem in differences(self._environment, versions.get(address), facts["nthreads"])
        ]
        if problems:
            raise StudyError(*map(_refusal, problems))

    def _ask_workers(self, client: Client) -> Mapping[str, Any]:
        """Return the versions on every worker, or why they cannot be told."""
        versions: Mapping[str, Any] = client.run(environment, self._packages, on_error="return")
        return versions

    def send(self, dataset: Dataset, plan: Sequence[Split]) -> str:
        """Write a table to a file named by its content; it travels when a host lacks it."""
        self._connect()  # workers are counted before the first bundle is divided
        path = self._folder / f"new-{secrets.token_hex(8)}"
        worker.write_table(path, dataset, tuple(plan))
        name = f"{file_digest(path)}.joblib"
        if self._cluster.shared is None:
            path.rename(self._folder / name)
            return name
        shared = Path(self._cluster.shared).absolute() / f"{TABLES}-{os.getuid()}"
        shared.mkdir(exist_ok=True)
        if not (shared / name).exists():
            with files.replacement_path(shared / name) as copy:
                shutil.copyfile(path, copy)
        path.unlink()
        return str(shared / name)

    def submit(self, job: Job) -> None:
        """Start a job as soon as a worker is free."""
        self._n_submitted += 1
        topic = f"{self._topic}-{self._n_submitted}"
        submit = self._connect().get_executor(pure=False).submit
        self._running[submit(run_on_worker, job, self._environment, self._packages, topic)] = job, topic

    def outcomes(self) -> list[tuple[Job, Outcome]]:
        """Wait for a job; returns all that have ended. A scheduler that stays without workers stops the run."""
        done, last_seen = set[Future[JobResult]](), monotonic()
        while not done:
            done, _ = wait(self._running, timeout=COUNT_SECONDS, return_when=FIRST_COMPLETED)
            if not done and self._workers():
                last_seen = monotonic()
            elif not done and monotonic() > last_seen + MAX_IDLE_SECONDS:
                raise StudyError(
                    f"the Dask scheduler {self._cluster.scheduler() or 'of this run'!r} has had 0 workers for "
                    f"{MAX_IDLE_SECONDS} s; a study needs at least one, and evaluations already written are safe. "
                    "Start workers and run the same command: it continues where it stood."
                )
        ended = [(future, *self._running.pop(future)) for future in done]
        return [(job, self._outcome(future, topic)) for future, job, topic in ended]

    def _outcome(self, future: Future[JobResult], topic: str) -> Outcome:
        from distributed import KilledWorker

        try:
            try:
                return future.result()
            except KilledWorker:
                return loss_of(self._connect().get_events(topic)) or WorkerLost(None, has_begun=False)
        except (worker.WorkerNotReady, WorkerLost) as error:
            return error
        except ImblabError:
            raise
        except CancelledError as error:
            raise StudyError(
                f"the connection to the Dask scheduler {self._cluster.scheduler() or 'of this run'!r} was lost; a "
                "study sends its jobs through it, and evaluations already written are safe. Start the scheduler again "
                "and run the same command: it continues where it stood."
            ) from error
        except Exception as error:
            with suppress(OSError):
                self._check_workers()  # one that came later may lack imblab, and no job begins there
            raise StudyError(_failure(self._host(topic), error)) from error

    def _host(self, topic: str) -> str:
        """Say where a job began, as far as the scheduler still tells."""
        with suppress(Exception):  # the failure of the job is what counts
            return f"a worker on host {self._connect().get_events(topic)[-1][1]['host']!r}"
        return f"a worker of the Dask scheduler {self._cluster.scheduler() or 'of this run'!r}"

    def make_ready(self, error: worker.WorkerNotReady) -> None:
        """Send a table to the hosts that lack it; refuse workers with other code."""
        if isinstance(error, TableMissing):
            self._deliver(*error.args)
        elif isinstance(error, ForeignWorker):
            host, *problems = error.args
            raise StudyError(*(_refusal(f"a worker on host {host!r}: {problem}") for problem in problems)) from error
        else:
            raise StudyError(
                f"{', '.join(map(repr, error.args))}: a worker loads other code than this process runs; all "
                "evaluations of a study rest on one code. Put the same files into the import path of the workers and "
                "start them anew."
            ) from error

    def _deliver(self, name: str, address: str) -> None:
        """Send a table to one worker of every host that lacks it, unless it has come to this one meanwhile."""
        if os.sep in name:
            raise StudyError(
                f"worker {address!r} does not see the table {name!r}; 'runner.shared' is a folder that all workers see "
                "under the same path. Mount it there, or leave runner.shared out: tables are sent then."
            )
        if all(has for _, has in self._answers(table_state, name, workers=[address]).values()):
            return
        states = self._connect().run(table_state, name, on_error="ignore")
        targets = [*{host: worker_address for worker_address, (host, has) in states.items() if not has}.values()]
        token = secrets.token_hex(8)
        for offset, chunk, is_last in _chunks(self._folder / name):
            targets = [*self._answers(receive_chunk, name, token, offset, chunk, is_last, workers=targets)]

    def _answers(self, function: Callable[..., Any], *args: Any, workers: Sequence[str]) -> dict[str, Any]:
        """Return what a function returns on each of some workers; those that are gone are left out."""
        answers: dict[str, Any] = self._connect().run(function, *args, workers=[*workers], on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, Exception) and not (isinstance(answer, OSError) and answer.errno is None):
                raise StudyError(_failure(f"worker {address!r}", answer)) from answer
        return {address: answer for address, answer in answers.items() if not isinstance(answer, Exception)}

    def end(self, now: bool) -> None:
        """Give up jobs under way and close the connection; workers of this run end."""
        if self._connection is None:
            return
        client, local = self._connection
        with suppress(Exception):  # the scheduler may be gone, and the error of the run is what counts
            for future in self._running:
                future.cancel()
            client.close(timeout=5 if now else None)
        if local is not None:
            with suppress(Exception):
                local.close(timeout=10)


def connect_to_workers(cluster: Cluster, n_jobs: int, seconds: float = MAX_CONNECT_SECONDS) -> tuple[Client, Any]:
    """Connect to a scheduler with at least one worker; returns the client, and the cluster if it was started here."""
    import dask
    from distributed import Client

    dask.config.set(
        {
            "distributed.admin.large-graph-warning-threshold": LARGE_JOB_BYTES,
            "distributed.deploy.lost-worker-timeout": "365d",  # a local worker that restarts slowly is not given up
        }
    )
    cluster.check()
    address = cluster.scheduler()
    if address is None:
        return _start_workers(n_jobs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions are compared by this module
            client = Client(address, set_as_default=False, timeout=seconds)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise StudyError(
            f"the Dask scheduler {address!r} does not answer within {seconds:g} s ({type(error).__name__}: "
            f"{foreign_reason(error)}); jobs are sent through it. Start it with `dask scheduler`, or correct "
            "runner.address (tcp:// and tls:// are different schedulers; tls:// needs certificates of one authority)."
        ) from error
    try:
        client.wait_for_workers(1, timeout=MAX_IDLE_SECONDS)
    except Exception as error:
        client.close()
        raise StudyError(
            f"the Dask scheduler {address!r} has 0 workers after {MAX_IDLE_SECONDS} s; a study needs at least one. "
            f"Start one with `dask worker {address} --nthreads 1`."
        ) from error
    return client, None


def _start_workers(n_jobs: int) -> tuple[Client, Any]:
    """Start a scheduler and workers on loopback, without Dask's pages; returns a client and the cluster."""
    import dask
    from distributed import Client, LocalCluster

    options = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.daemon": True,
        "distributed.worker.profile.enabled": False,  # it stops the fits a hundred times a second
        "distributed.admin.tick.interval": "1s",  # by default fifty times a second in every process
        "distributed.admin.system-monitor.interval": "60s",
    }
    with dask.config.set(options):
        local = LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            memory_limit=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # without an address, servers listen everywhere
            worker_dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=50,
        )
        local.new_spec["options"]["dashboard"] = False
        local.scale(n_jobs)
        client = Client(local, set_as_default=False)
        client.wait_for_workers(n_jobs, timeout=MAX_IDLE_SECONDS)
    return client, local


def _chunks(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    size, offset = path.stat().st_size, 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield offset, chunk, offset + len(chunk) == size
            offset += len(chunk)


def _failure(place: str, error: Exception) -> str:
    return (
        f"{place}: a job or its table failed ({type(error).__name__}: {foreign_reason(error)}); workers need room and "
        f"rights for tables in {TABLES}-UID next to Dask's scratch folder, and evaluations already written are safe. "
        "Remove the cause, or that folder if a table is damaged, and run the same command again."
    )


def _refusal(problem: str) -> str:
    return (
        f"{problem}; every row of a study rests on equal versions, and on one thread per worker. Install the same "
        "there (pip install 'imblab[cluster]' at these versions), start it with --nthreads 1, or stop that worker."
    )
