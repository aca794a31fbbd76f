"""What runs inside a worker of Dask: a job, the tables that its host caches, and the comparison of versions."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from imblab.edges import memory
from imblab.edges.runner import worker
from imblab.edges.runner.pools import WorkerLost
from imblab.edges.runner.worker import Job, JobResult
from imblab.errors import StudyError

if TYPE_CHECKING:
    from distributed import Worker

MAX_TABLE_CACHE_BYTES = 8 * 2**30
#: Seconds after which a table that ceased to arrive is deleted.
MAX_PART_SECONDS = 3600
#: Seconds that a worker waits for the scheduler to confirm a report.
REPORT_SECONDS = 5.0
#: The folder of cached or shared tables.
TABLES = "imblab-tables"
#: Distributions whose versions decide about numbers, in addition to those of learners and samplers.
NUMERICAL_DISTRIBUTIONS = ("imbalanced-learn", "imblab", "numpy", "pandas", "scikit-learn", "scipy")


class TableMissing(worker.WorkerNotReady):
    """Raised by a worker on a host that does not have a table; its arguments are the table and the worker's address."""


class ForeignWorker(worker.WorkerNotReady):
    """Raised by a worker that must not be used; its arguments are its host and what differs there."""


def run_on_worker(job: Job, expected: Mapping[str, str], packages: tuple[str, ...], topic: str) -> JobResult:
    """Run a job in a worker of Dask, if its versions are those of the run and its host has the table."""
    from distributed import get_worker
    from distributed.utils import sync

    dask_worker: Worker = get_worker()
    if problems := differences(expected, environment(packages), dask_worker.state.nthreads):
        raise ForeignWorker(socket.gethostname(), *problems)
    memory.reuse_freed_blocks()
    is_shared = os.sep in job.table
    path = Path(job.table) if is_shared else tables_folder(dask_worker) / job.table
    if not path.exists():
        raise TableMissing(job.table, dask_worker.address)
    if not is_shared:  # a cached table is kept while it is used
        with suppress(OSError):
            os.utime(path)
    # Dask gives a job whose worker died to another one several times: from the second on each fit is reported.
    reports = sync(dask_worker.loop, dask_worker.scheduler.events, topic=topic)
    if (loss := loss_of(reports)) is not None and loss.fit:
        raise loss
    is_suspect = job.is_suspect or bool(reports)

    def report(fit: str, late: bool) -> None:
        event = {"fit": fit, "late": late, "suspect": is_suspect, "host": socket.gethostname()}
        log = dask_worker.scheduler.log_event
        # Once it is confirmed it outlives this process; without a scheduler there is nothing to diagnose.
        with suppress(OSError, TimeoutError):
            sync(dask_worker.loop, log, topic=topic, msg=event, callback_timeout=REPORT_SECONDS)

    report("", False)
    return worker.run_job(job, str(path), lambda fit, late: report(fit, late) if late or is_suspect else None)


def loss_of(reports: Sequence[tuple[float, Mapping[str, Any]]]) -> WorkerLost | None:
    """Return how a job lost its worker, from what it reported; None if it has not begun."""
    if not reports:
        return None
    last = reports[-1][1]
    # One that is not suspect reports its beginning alone.
    is_known = last["late"] or last["suspect"]
    return WorkerLost(last["fit"] if is_known else None, last["late"], is_repeated=last["suspect"])


def tables_folder(dask_worker: Worker) -> Path:
    """Return the folder in which the workers of a host cache tables, made if need be."""
    folder = Path(dask_worker.local_directory).resolve().parent / f"{TABLES}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise StudyError(f"{str(folder)!r} is not a folder of this user alone; tables are cached there. Remove it.")
    return folder


def table_state(name: str, dask_worker: Worker) -> tuple[str, bool]:
    """Return the identity of the folder of tables on this host, and whether a table is there."""
    folder = tables_folder(dask_worker)
    identity = folder / "identity"
    with suppress(FileExistsError), identity.open("x") as stream:
        stream.write(secrets.token_hex(8))
    return identity.read_text(), (folder / name).exists()


def receive_chunk(name: str, token: str, offset: int, chunk: bytes, is_last: bool, dask_worker: Worker) -> None:
    """Write a piece of a table; the last one gives the file its name, if its content is what the name says."""
    folder = tables_folder(dask_worker)
    part = folder / f"{token}.part"
    with part.open("ab") as stream:
        stream.truncate(offset)
        stream.write(chunk)
    if is_last:
        digest = file_digest(part)
        if not name.startswith(digest):
            part.unlink()
            raise StudyError(f"table {name!r} arrived with the digest {digest!r}; it was damaged. Run again.")
        prune_tables(folder, MAX_TABLE_CACHE_BYTES - part.stat().st_size)
        part.rename(folder / name)


def prune_tables(folder: Path, max_bytes: int) -> None:
    """Delete the tables that were not used for longest until the others fit a size; mapped ones stay readable.

    Tables that are arriving are left alone, unless they ceased to do so.
    """
    for part in folder.glob("*.part"):
        if part.stat().st_mtime < time.time() - MAX_PART_SECONDS:
            part.unlink(missing_ok=True)
    newest_first = sorted(folder.glob("*.joblib"), key=lambda path: -path.stat().st_mtime)
    total = 0
    for path in newest_first:
        total += path.stat().st_size
        if total > max_bytes:
            path.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=4)
def environment(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions in this process that decide about numbers, by name, and the digest of our code."""
    by_package = metadata.packages_distributions()
    installed = {distribution for package in packages for distribution in by_package.get(package, ())}
    versions = {name: _version(name) for name in sorted({*NUMERICAL_DISTRIBUTIONS, *installed})}
    return {"Python": python_version(), **versions, "the code of imblab": _own_digest()}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "missing"


def _own_digest() -> str:
    package = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted([*package.rglob("*.py"), package.parent / "imblab_model.py"]):
        digest.update(f"{path.relative_to(package.parent)} ".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def differences(expected: Mapping[str, str], found: Any, threads: int) -> list[str]:
    """List what differs on a worker, in words; an exception in the place of versions is one difference."""
    if not isinstance(found, Mapping):
        return [f"imblab cannot be imported ({found})"]
    problems = [
        f"{name} is {found.get(name, 'missing')!r} there and {version!r} here"
        for name, version in expected.items()
        if found.get(name, "missing") != version
    ]
    return problems + ([f"it runs {threads} jobs at once in one process"] if threads != 1 else [])
