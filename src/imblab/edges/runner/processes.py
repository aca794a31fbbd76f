"""Processes of this machine that carry out fits, by loky; importing this module imports no scikit-learn."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from joblib.externals.loky import get_reusable_executor

#: How often a worker looks whether its parent is gone.
PATROL_SECONDS = 0.1


def loky_executor(workers: int) -> Executor:
    """Start worker processes that live on between studies and end with their parent; one thread each."""
    env = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Workers keep the import path of their start; another path starts new ones.
    arguments = tuple(sys.path), os.getpid()
    executor: Executor = get_reusable_executor(
        max_workers=workers, timeout=60, env=env, initializer=_begin_worker, initargs=arguments
    )
    return executor


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


def process_is_alive(pid: int) -> bool:
    """Whether a process runs on this machine; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def available_cores() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
