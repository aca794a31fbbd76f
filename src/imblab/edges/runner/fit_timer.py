"""Time limit of a fit, in any thread: by an exception while Python runs, by ending the process otherwise."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

from imblab.core.fitting import Prediction
from imblab.errors import FitFailed, Interruption

#: Seconds after its limit in which a fit may still stop by itself before its process ends.
GRACE_SECONDS = 2.0
#: How often a worker looks whether its fit is late.
WATCH_SECONDS = 0.1
#: Receives the address of a fit before it is made, an empty text after it, and whether its process ends because of it.
Report = Callable[[str, bool], None]


def lateness_reason(seconds: float | None) -> str:
    """Return the reason of a candidate whose fit took longer than its limit."""
    return f"it took longer than runner.fit_timeout={seconds:g} s"


class _FitTimeout(Interruption):
    """Raised in a fit whose time is up; no library catches it by accident."""


class FitTimer:
    """Reports fits, and stops those that take too long.

    Parameters
    ----------
    seconds : float or None
        Time limit of a fit; None for no limit.
    report : callable
        See :data:`Report`.
    """

    def __init__(self, seconds: float | None, report: Report) -> None:
        self._seconds, self._report = seconds, report
        self._thread = threading.get_ident()
        self._lock, self._closed = threading.Lock(), threading.Event()
        #: Address and start of the fit under way, and whether the exception was sent.
        self._current: tuple[str, float] | None = None
        self._rang = False

    def __enter__(self) -> FitTimer:
        if self._seconds is not None:
            threading.Thread(target=self._watch, args=(self._seconds,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed.set()

    def guard(self, address: str, fit: Callable[[], list[Prediction]]) -> list[Prediction]:
        """Run a fit under the time limit."""
        self._report(address, False)
        try:
            try:
                self._current = address, time.monotonic()
                return fit()
            finally:  # inside, since the exception may come until it is called off
                self._call_off()
        except _FitTimeout:
            raise FitFailed(lateness_reason(self._seconds)) from None
        finally:
            self._call_off()
            self._report("", False)

    def _call_off(self) -> None:
        with self._lock:
            self._current = None
            if self._rang:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)
                self._rang = False

    def _watch(self, limit: float) -> None:
        while not self._closed.wait(min(WATCH_SECONDS, limit)):
            with self._lock:
                if self._current is None:
                    continue
                address, begin = self._current
                seconds = time.monotonic() - begin
                if seconds > limit + GRACE_SECONDS:
                    self._report(address, True)
                    os._exit(75)
                if seconds > limit and not self._rang:
                    self._rang = True
                    timeout = ctypes.py_object(_FitTimeout)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), timeout)
