"""What a person reads in the terminal: text of at least 80 columns that needs no colour.

The only module that knows rich. The functions that end in ``_text``, and :func:`comparison`, give text and print
nothing; :func:`show` prints, :func:`progress` reports while a study runs.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any, Protocol

import pandas as pd
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from imblab.analysis.wording import signed
from imblab.records import Study

NARROWEST, WIDEST = 80, 120
#: Lines that a run prints where there is no terminal.
LINES = 20


class Progress(Protocol):
    """Tells how far a study is."""

    def advance(self, what: str) -> None:
        """One more cell is done."""

    def note(self, text: str) -> None:
        """Say something in between."""


def show(text: str) -> None:
    """Print text; what the terminal cannot encode becomes a question mark."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def comparison(
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    sentences: Sequence[str],
    study: Study,
    next_steps: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """The end of a study: two tables a data set and learner, the verdicts, where to look next.

    Parameters
    ----------
    summary, contrasts : DataFrame
        As :func:`imblab.analysis.compare.summarise` and :func:`imblab.analysis.compare.contrasts` give them.
    sentences : sequence of str
    study : Study
    next_steps : sequence of str, default=()
    width : int, optional
        Columns; those of the terminal by default, 80 at least.

    Returns
    -------
    str
    """
    page = _Page(width)
    for (dataset, learner), rows in summary.groupby(["dataset", "learner"], sort=False):
        page.say(f"{dataset}, {learner}: {study.primary}, mean ± sd over {_folds(rows, study)}")
        page.table(*_scores(rows, study, page.width))
        page.table(*_choices(rows))
        tested = contrasts[(contrasts.dataset == dataset) & (contrasts.learner == learner)]
        for line in (*_remarks(rows), *_tests(tested)):
            page.say(line, indent=2)
        page.gap()
    page.say(f"Intervals: Nadeau-Bengio corrected {_percent(study)}, unadjusted.")
    page.gap()
    page.list("What the evidence allows", sentences)
    page.list("Where to look next", next_steps)
    return page.text()


def plan_text(plan: Mapping[str, Any], width: int | None = None) -> str:
    """What a study would do, before anything runs.

    Parameters
    ----------
    plan : mapping
        ``study cells fits datasets learners strategies inapplicable half_width``; whatever is absent is left out.
    width : int, optional

    Returns
    -------
    str
    """
    page = _Page(width)
    page.say(f"Study {plan['study']!r}: {plan['cells']} cells, {plan['fits']} fits. Nothing has run.")
    page.say(f"Learners: {', '.join(_name(x) for x in plan.get('learners', ()))}")
    page.gap()
    for data in plan.get("datasets", ()):
        _say_dataset(page, data)
    page.say("Strategies")
    page.table(["strategy", "candidates", ">weight", "threshold", "searched"], map(_strategy, plan["strategies"]))
    _say_inapplicable(page, plan.get("inapplicable", ()))
    _say_half_width(page, plan.get("half_width") or {})
    return page.text()


def listing_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """What can be loaded, one line a data set.

    Parameters
    ----------
    rows : sequence of mapping
        Of one set of keys; those keys are the columns.
    width : int, optional

    Returns
    -------
    str

    Examples
    --------
    >>> print(listing_text([{"name": "yeast4", "rows": 1484}]))
     name      rows
    ────────────────
     yeast4    1484
    """
    if not rows:
        return "No data sets."
    page = _Page(width)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    numeric = [all(isinstance(r.get(k), (int, float, type(None))) for r in rows) for k in keys]
    header = [f">{k}" if n else k for k, n in zip(keys, numeric, strict=True)]
    page.table(header, ([_plain(row.get(key)) for key in keys] for row in rows))
    return page.text()


@contextmanager
def progress(total: int, n_jobs: int, console: Console | None = None) -> Iterator[Progress]:
    """Report on standard error while cells are answered: a bar, or at most 20 lines where there is no terminal.

    Parameters
    ----------
    total : int
        Cells to be answered.
    n_jobs : int
    console : rich Console, optional

    Yields
    ------
    Progress
        Its ``advance(what)`` counts one cell, its ``note(text)`` prints a line.
    """
    console = console or Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield _Lines(total, n_jobs, console)
        return
    with Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        yield _Live(bar, total, n_jobs)


class _Live:
    """A bar on a terminal."""

    def __init__(self, bar: Bar, total: int, n_jobs: int) -> None:
        self._bar, self._task = bar, bar.add_task(_jobs(n_jobs), total=total)

    def advance(self, what: str) -> None:
        # The bar and the times take 50 columns of 80.
        self._bar.update(self._task, advance=1, description=what if len(what) <= 30 else f"...{what[-27:]}")

    def note(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)


class _Lines:
    """Plain lines in a log."""

    def __init__(self, total: int, n_jobs: int, console: Console) -> None:
        self._total, self._done, self._begin, self._console = total, 0, time.monotonic(), console
        self.note(f"{total} cells on {_jobs(n_jobs)}")

    def advance(self, what: str) -> None:
        before, self._done = self._done, self._done + 1
        if self._done * (LINES - 1) // self._total == before * (LINES - 1) // self._total:
            return
        spent = time.monotonic() - self._begin
        left = spent / self._done * (self._total - self._done)
        self.note(f"{self._done}/{self._total} {what}, {_seconds(spent)} spent, about {_seconds(left)} left")

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Page:
    """Text of a given width, written from top to bottom."""

    def __init__(self, width: int | None) -> None:
        self.width = max(NARROWEST, min(width or Console().width, WIDEST))
        self._out = StringIO()
        self._console = Console(
            file=self._out, width=self.width, color_system=None, markup=False, highlight=False, emoji=False
        )

    def say(self, text: str, indent: int = 0) -> None:
        """A paragraph; what it is indented by hangs."""
        self._console.print(Padding(Text(text, overflow="fold"), (0, 0, 0, indent)))

    def gap(self) -> None:
        self._out.write("\n")

    def list(self, title: str, lines: Iterable[str]) -> None:
        """A title and its lines, each wrapped under a dash; nothing if there are none."""
        lines = list(lines)
        if not lines:
            return
        self.say(title)
        for line in lines:
            grid = Table.grid()
            grid.add_column(width=2, no_wrap=True)
            grid.add_column(overflow="fold")
            grid.add_row("-", Text(line))
            self._console.print(grid)
        self.gap()

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table whose first and last column give way; a header that begins with > is set to the right."""
        made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for i, name in enumerate(header):
            bends = i in (0, len(header) - 1)
            right = name.startswith(">")
            made.add_column(name.lstrip(">"), no_wrap=not bends, justify="right" if right else "left", overflow="fold")
        for row in rows:
            made.add_row(*(Text(cell) for cell in row))
        self._console.print(made)

    def text(self) -> str:
        lines = [line.rstrip() for line in self._out.getvalue().rstrip().split("\n")]
        return "\n".join(line for i, line in enumerate(lines) if line or (i and lines[i - 1]))
