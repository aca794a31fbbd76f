"""The writer in a thread of its own: MLflow is opened, and what is finished is written, while a study runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import SimpleQueue

from imblab.edges.mlflow.writer import RunWriter
from imblab.errors import StudyError

WriterJob = Callable[[RunWriter], None]


class BackgroundWriter:
    """Jobs for one writer, done in order, off the critical path.

    Parameters
    ----------
    opened : callable
        Gives the writer; called in the thread.
    """

    def __init__(self, opened: Callable[[], AbstractContextManager[RunWriter]]) -> None:
        self._opened = opened
        self._jobs: SimpleQueue[WriterJob | None] = SimpleQueue()
        self._error: BaseException | None = None
        # A store that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="imblab-mlflow", daemon=True)
        self._thread.start()

    def put(self, job: WriterJob) -> None:
        """Let a job be done after those before it; after a failure none is."""
        self._jobs.put(job)

    def close(self, seconds: float | None = None) -> None:
        """Wait until every job is done.

        Parameters
        ----------
        seconds : float, optional
            To wait at most.

        Raises
        ------
        StudyError
            If the store did not answer, or not in time.
        """
        self._jobs.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise StudyError(
                f"the MLflow store has not taken all runs within tracking.timeout={seconds:g} s; a finished study does "
                "not wait longer. The rows are safe in the ledger: `imblab sync <name>` writes the rest."
            )
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Let the thread end after the job it is at; what it began is repaired by the next writer."""
        self._jobs.put(None)

    def _work(self) -> None:
        try:
            with self._opened() as writer:
                while (job := self._jobs.get()) is not None:
                    job(writer)
        except BaseException as error:  # it belongs to whoever waits
            self._error = error
