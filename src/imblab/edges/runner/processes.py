"""Processes of this machine that carry out fits, by loky; importing this module imports no scikit-learn."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from joblib._memmapping_reducer import TemporaryResourcesManager
from joblib.externals.loky import get_reusable_executor

from imblab.edges import memory

#: How often a worker looks whether its parent is gone.
PATROL_SECONDS = 0.1
#: What a worker that starts ahead imports: everything that runs a job.
WORKER_MODULE = "imblab.edges.runner.pools"
#: First tasks of workers that were started ahead of the run that will ask for them.
_started_ahead: list[Future[int]] = []


@contextmanager
def workers_ahead(n_jobs: int) -> Iterator[None]:
    """Start workers that import what fits need while this process composes a study; end them if no run uses them.

    One core stays with this process, so that the last of ``n_jobs`` workers may start with the first job. Nothing is
    started where scikit-learn is imported already.
    """
    if "sklearn" in sys.modules:
        yield
        return
    workers = min(n_jobs, max(1, available_cores() - 1))
    executor: Any = loky_executor(workers)
    with _interrupts_ignored():
        _started_ahead.extend(executor.submit(_prepare_worker) for _ in range(workers))
    try:
        yield
    finally:
        if _started_ahead:
            _started_ahead.clear()
            executor.shutdown(wait=False, kill_workers=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that are started meanwhile ignore Ctrl-C: this one receives it and ends them."""
    if threading.current_thread() is not threading.main_thread():  # only there a handler can be set
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def loky_executor(workers: int) -> Executor:
    """Start worker processes that live on between studies and end with their parent; one thread each."""
    env = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # An executor that grows waits for the tasks of its workers, with a warning.
    wait(_started_ahead)
    _started_ahead.clear()
    # Workers keep the import path of their start; another path starts new ones.
    arguments = tuple(sys.path), os.getpid()
    executor: Any = get_reusable_executor(
        max_workers=workers, timeout=60, env=env, initializer=_begin_worker, initargs=arguments
    )
    # The next `n_jobs=2` of scikit-learn in this process may take over this executor and asks it for its files.
    if not hasattr(executor, "_temp_folder_manager"):
        executor._temp_folder_manager = TemporaryResourcesManager()
    return cast("Executor", executor)


def _begin_worker(path: Sequence[str], parent: int) -> None:
    """Let a worker import from where its parent imports, such as the current folder, and end it with its parent."""
    sys.path[:] = path
    is_child = os.getppid() == parent

    def watch() -> None:
        while process_is_alive(parent) and (os.getppid() == parent or not is_child):
            time.sleep(PATROL_SECONDS)
        os._exit(76)  # an orphan would fit what the next run fits too

    if not process_is_alive(parent):  # it died before this process had anything to do
        os._exit(76)
    threading.Thread(target=watch, daemon=True).start()


def _prepare_worker() -> int:
    """Import what fits need, ahead of the first job; returns the worker's pid."""
    with memory.keeping_objects():
        import_module(WORKER_MODULE)
    return os.getpid()


def process_is_alive(pid: int) -> bool:
    """Whether a process runs on this machine; a zombie does not."""
    with suppress(OSError):  # it has ended, or this system has no such files
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # another user's
    return True


def available_cores() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
