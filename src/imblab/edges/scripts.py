"""Run a program of the user on a table in a temporary file, and read the score that it prints last."""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from imblab.core.audited_scores import EvaluationFailed
from imblab.errors import ConfigError, explain_os_error
from imblab.text import format_duration

#: Stands for the path of the table in a command.
TABLE_PLACE = "{table}"
#: A number at the end of a line, with a percent sign perhaps.
LAST_NUMBER = re.compile(r"(?:^|[^\w.])([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)[\s)\].,;]*$")
MAX_OUTPUT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Script:
    """A program that reads a table, named as ``{table}``, and prints a score last."""

    command: str  # as typed in a shell; words are split, no shell is started
    timeout: float  # seconds after which a run is stopped

    def words(self, table: str) -> list[str]:
        """Return the words of the command with the path of a table; ConfigError if it does not name the table."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ConfigError(
                f"--script {self.command!r} cannot be split into words ({error}); it is written as in a shell. Close "
                "its quotes."
            ) from None
        if not any(TABLE_PLACE in word for word in words):
            raise ConfigError(
                f"--script {self.command!r} does not hold {TABLE_PLACE}; the program must read the table that it is "
                f"given. Write for example --script 'python evaluate.py {TABLE_PLACE}'."
            )
        return [word.replace(TABLE_PLACE, table) for word in words]

    def run(self, table: Path) -> float:
        """Run the program on a table and return its score; EvaluationFailed if it gives none."""
        process = self._start(self.words(str(table)))
        try:
            output, errors = process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired:
            _end_with_children(process)
            raise EvaluationFailed(
                f"it did not end within {format_duration(self.timeout)}",
                "A run may take --timeout seconds. Raise --timeout, or audit a smaller table.",
            ) from None
        except BaseException:  # Ctrl-C: nothing goes on behind the user's back
            _end_with_children(process)
            raise
        if process.returncode:
            last = (errors.strip() or output.strip() or "no output").splitlines()[-1]
            raise EvaluationFailed(
                f"it ended with the exit status {process.returncode} ({last[:MAX_OUTPUT_CHARACTERS]})",
                "A program that gives a score ends with 0. Run it on the table by hand and correct it.",
            )
        return read_score(output)

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # so that what the program starts ends with it
            )
        except OSError as error:
            raise ConfigError(f"--script {self.command!r}: {explain_os_error(error, words[0], 'started')}") from error


def _end_with_children(process: subprocess.Popen[str]) -> None:
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
    process.communicate()


def read_score(output: str) -> float:
    r"""Return the number at the end of the last line of a program's output; a percentage is divided by 100."""
    lines = [line for line in output.splitlines() if line.strip()]
    match = LAST_NUMBER.search(lines[-1]) if lines else None
    score = float(match[1]) / (100 if match[2] else 1) if match else math.nan
    if not math.isfinite(score):
        last = f"its last line is {lines[-1].strip()[:MAX_OUTPUT_CHARACTERS]!r}" if lines else "it printed nothing"
        raise EvaluationFailed(
            f"it printed no number last ({last})",
            "The score is the number at the end of the last line. Print the score last, to standard output.",
        )
    return score


@contextmanager
def script_evaluation(
    script: Script, name: str, target: str, place: int, separator: str
) -> Iterator[Callable[[pd.DataFrame, np.ndarray], float]]:
    """Give a function ``evaluate(X, y)`` that writes a table as CSV, runs the program on it and returns its score.

    The table is called ``name``, in a folder that is removed afterwards; the ``target`` has its ``place`` among the
    columns.
    """
    script.words("")  # what is wrong with the command is said before anything is written
    with TemporaryDirectory(prefix="imblab-audit-") as folder:
        path = Path(folder) / f"{name}.csv"

        def evaluate(X: pd.DataFrame, y: np.ndarray) -> float:
            table = X.copy()
            table.insert(place, target, y)
            table.to_csv(path, index=False, sep=separator)
            return script.run(path)

        yield evaluate
