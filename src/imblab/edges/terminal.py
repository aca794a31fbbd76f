"""Text for the terminal: at least 80 columns wide, readable without colour.

The only module that knows rich. The functions that end in ``_text`` return text and print nothing; :func:`progress`
reports while a study runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from html import escape
from io import StringIO
from textwrap import fill
from typing import IO, Any, cast

import pandas as pd
from rich import box
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from imblab.analysis import text_tables
from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.methods import named
from imblab.errors import StudyError, explain_os_error, presentable
from imblab.result import Family
from imblab.study import Study
from imblab.text import count_noun, format_bytes, format_duration

MIN_WIDTH, MAX_WIDTH = 80, 120
#: A narrower terminal breaks the lines of an answer.
MIN_ANSWER_WIDTH = 60
VERDICT_COLOURS = {"better": "green", "worse": "red", "equivalent": "cyan", "identical": "cyan"}
#: Longer names are folded in tables.
MAX_NAME_WIDTH = 28
#: Lines that a run prints without a terminal.
MAX_LOG_LINES = 20
#: Seconds between two drawings of the bar of a notebook, which keeps every message of its kernel.
SECONDS_BETWEEN_DRAWINGS = 0.25
TextRow = Sequence[str]


def show(text: str) -> None:
    """Print text; what the terminal cannot encode becomes a question mark, control characters are spelt out."""
    encoding = sys.stdout.encoding or "utf-8"
    text = presentable(text, keep="\n")
    put(text.encode(encoding, "replace").decode(encoding))


def put(text: str) -> None:
    """Print text as it is; BrokenPipeError if the reader of standard output has gone."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StudyError(explain_os_error(error, "standard output", "written")) from error


def show_answer(lines_of: Callable[[int], Sequence[str]]) -> None:
    """Print an answer; a terminal gets its first paragraph bold and, unless NO_COLOR is set, verdicts in colour."""
    console = Console()
    text = presentable("\n".join(lines_of(max(MIN_ANSWER_WIDTH, min(console.width, MAX_WIDTH)))), keep="\n")
    if not console.is_terminal or console.is_dumb_terminal:
        return show(text)
    with console.capture() as captured:
        console.print(style_answer(text), soft_wrap=True)
    put(captured.get().rstrip("\n").encode(console.encoding, "replace").decode(console.encoding))


def style_answer(text: str) -> Text:
    """Return the text of an answer with its first paragraph bold and verdicts in colour."""
    styled = Text(text)
    styled.stylize("bold", 0, len(text.partition("\n\n")[0]))
    for verdict, colour in VERDICT_COLOURS.items():
        styled.highlight_regex(rf"(?m)(?<=  )(\d+ )?\b{verdict}\b(?= by less than| of \d+$|, \d|$)", colour)
    return styled


def warn(text: str) -> None:
    """Print a line on standard error, if that can be written."""
    stream = _StandardError()
    stream.write(presentable(text, keep="\n") + "\n")
    stream.flush()


def print_paragraph(text: str) -> None:
    """Print a paragraph that fits the terminal."""
    page = Page(None)
    page.add(text)
    show(page.text())


def print_nothing(text: str) -> None:
    """Take the place of a function that prints, where the output is JSON."""


def comparison_text(
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    sentences: Sequence[str],
    study: Study,
    next_steps: Sequence[str] = (),
    width: int | None = None,
    across: Sequence[AcrossDatasets] = (),
    lead: Sequence[str] = (),
    classes: Mapping[Family, text_tables.ClassTables] | None = None,
) -> str:
    """Return the last page of a study: tables by data set and learner, over parent data sets, verdicts, next steps.

    ``lead`` comes before anything else: how much of the design is evaluated, what is missing. ``width`` is that of
    the terminal by default, 80 columns at least. ``classes`` are those of :func:`.text_tables.class_tables`.
    """
    page = Page(width)
    for line in lead:
        page.add(line)
    if summary.empty:
        page.add(f"Study {study.name!r} has no evaluation yet.")
        return page.text()
    if lead:
        page.add("")
    for (dataset, learner), rows in summary.groupby(["dataset", "learner"], sort=False):
        family = contrasts[(contrasts.dataset == dataset) & (contrasts.learner == learner)]
        page.add(text_tables.family_heading(rows, study))
        page.add_table(*_fit_intervals(*text_tables.score_table(rows, study), page.width))
        page.add_table(*text_tables.choice_table(rows))
        page.add_lines(text_tables.list_remarks(rows))
        by_class = (classes or {}).get((str(dataset), str(learner)))
        if by_class is not None:
            page.add("Recall by class")
            page.add_table(*by_class.recalls)
        page.add_table(*text_tables.contrast_table(family, study))
        if by_class is not None:
            page.add_table(*text_tables.row_error_table(family, by_class.row_errors))
        page.add_lines(text_tables.list_exploratory(family))
    for item in across:
        parents = count_noun(len(item.parents), "parent data set")
        page.add(f"Across {parents}, {item.learner}: {named(item.measure)}, tasks of one parent averaged")
        page.add_table(*text_tables.rank_table(item))
        page.add_table(*text_tables.across_contrast_table(item, study))
        page.add_lines(text_tables.describe_rank_tests(item))
    has_row_errors = any(c.row_errors for c in (classes or {}).values())
    for line in text_tables.explain_tables(contrasts, study, has_row_errors, text_tables.has_intervals(summary)):
        page.add(line)
    page.add("")
    page.add_list("Verdicts", sentences)
    page.add_list("Next steps", next_steps)
    return page.text()


def store_text(facts: Mapping[str, Any]) -> str:
    """Return what the prediction store holds, in a sentence or two."""
    fits = count_noun(facts["predictions"], "fit")
    age = f", the oldest {facts['oldest_days']:.1f} days old" if "oldest_days" in facts else ""
    merged = f" {facts['merged']} are new from the other store." if "merged" in facts else ""
    pruned = f" {facts['pruned']} were deleted; a study that needs them fits again." if "pruned" in facts else ""
    size = f"{format_bytes(facts['bytes'])} of at most {format_bytes(facts['limit'])}"
    return f"{facts['path']} holds the predictions of {fits} in {size}{age}.{merged}{pruned}"


def is_watched() -> bool:
    """Return whether a person reads standard error: on a terminal, or in a notebook."""
    return Console(stderr=True).is_terminal or in_notebook()


@contextmanager
def progress(
    total: int, workers: str, console: Console | None = None, noun: str = "cell"
) -> Iterator[_ProgressBar | _ProgressLog | _ProgressDisplay]:
    """Report while ``total`` cells are evaluated: a bar in a terminal or notebook, else a few lines on standard error.

    Of what is yielded, ``advance(name, seconds_left)`` counts one cell and ``note(text)`` prints a line.
    """
    if console is None and in_notebook():
        yield _ProgressDisplay(total, workers, noun)
        return
    console = console or Console(file=cast("IO[str]", _StandardError()), highlight=False, markup=False)
    if not console.is_terminal:
        yield _ProgressLog(total, workers, console, noun)
        return
    name, left = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[left]}", markup=False)
    columns = [name, BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), left]
    with Progress(*columns, console=console) as bar:
        yield _ProgressBar(bar, total, workers)


def in_notebook() -> bool:
    """Whether the caller's code runs in the kernel of a notebook, which displays HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


class _StandardError:
    """Standard error that ignores what cannot be written: no study depends on it."""

    def __init__(self) -> None:
        # Bound here: a progress bar replaces sys.stderr.
        self._stream, self.encoding = sys.stderr, sys.stderr.encoding

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


class _ProgressBar:
    def __init__(self, bar: Progress, total: int, workers: str) -> None:
        self._bar, self._task = bar, bar.add_task(workers, total=total, left="")

    def advance(self, name: str, seconds_left: float) -> None:
        # The bar and the times take 50 columns of 80.
        name = name if len(name) <= 30 else f"...{name[-27:]}"
        self._bar.update(self._task, advance=1, description=name, left=f"{format_duration(seconds_left)} left")

    def note(self, text: str) -> None:
        self._bar.console.print(presentable(text), markup=False, highlight=False)


class _ProgressLog:
    def __init__(self, total: int, workers: str, console: Console, noun: str = "cell") -> None:
        self._total, self._done, self._begin, self._console = total, 0, time.monotonic(), console
        self.note(f"{count_noun(total, noun)} on {workers}")

    def advance(self, name: str, seconds_left: float) -> None:
        before, self._done = self._done, self._done + 1
        if self._done * (MAX_LOG_LINES - 1) // self._total == before * (MAX_LOG_LINES - 1) // self._total:
            return
        spent = time.monotonic() - self._begin
        times = f"{format_duration(spent)} spent, about {format_duration(seconds_left)} left"
        self.note(f"{self._done}/{self._total} {name}, {times}")

    def note(self, text: str) -> None:
        self._console.print(presentable(text), markup=False, highlight=False, soft_wrap=True)


class _ProgressDisplay:
    """A bar of a notebook, drawn in place by HTML that needs no extension."""

    def __init__(self, total: int, workers: str, noun: str) -> None:
        from IPython.display import display

        self._total, self._done, self._begin, self._drawn = total, 0, time.monotonic(), 0.0
        self._handle = display(self._draw(f"{count_noun(total, noun)} on {workers}"), display_id=True)

    def advance(self, name: str, seconds_left: float) -> None:
        self._done += 1
        now = time.monotonic()
        if self._done < self._total and now - self._drawn < SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn = now
        left = f", about {format_duration(seconds_left)} left" if self._done < self._total else ""
        self.note(f"{self._done} of {self._total}, {format_duration(now - self._begin)} spent{left}: {name}")

    def note(self, text: str) -> None:
        self._handle.update(self._draw(presentable(text)))

    def _draw(self, text: str) -> _DrawnBar:
        bar = f'<progress value="{self._done}" max="{self._total}" style="width:16em"></progress>'
        return _DrawnBar(text, f"<div>{bar} {escape(text)}</div>")


class _DrawnBar:
    """A drawing of a bar: markup for a notebook, text where it shows none."""

    def __init__(self, text: str, markup: str) -> None:
        self._text, self._markup = text, markup

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._markup


class Page:
    """Text of a given width, written from top to bottom."""

    def __init__(self, width: int | None) -> None:
        self.width = max(MIN_WIDTH, min(width or Console().width, MAX_WIDTH))
        self._parts: list[str] = []

    def add(self, text: str, first: str = "", then: str = "") -> None:
        """Add a paragraph; its first line begins with ``first``, the others with ``then``."""
        # A break at a hyphen would tear ranges such as 0.25-1 apart.
        self._parts.append(fill(text, self.width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False))

    def add_unbroken(self, text: str) -> None:
        """Add a text as it is: a line to paste must not be broken."""
        self._parts.append(text)

    def add_list(self, title: str, lines: Sequence[str]) -> None:
        """Add a title and its lines under dashes; nothing without lines."""
        if lines:
            self.add(title)
            for line in lines:
                self.add(line, "- ", "  ")
            self.add("")

    def add_lines(self, lines: Sequence[str]) -> None:
        """Add indented paragraphs and a blank line; nothing without lines."""
        for line in lines:
            self.add(line, "  ", "  ")
        if lines:
            self.add("")

    def add_table(self, header: TextRow, rows: Iterable[TextRow], fold: Sequence[str] = ()) -> None:
        """Add a table: the last column and long names are folded, a header that begins with > is set to the right."""
        rows = list(rows)
        if not rows:
            return
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        has_long_names = max(len(row[0]) for row in rows) > MAX_NAME_WIDTH
        for i, name in enumerate(header):
            side: JustifyMethod = "right" if name.startswith(">") else "left"
            is_folded = i == len(header) - 1 or (i == 0 and has_long_names) or name in fold
            table.add_column(Text(name.lstrip(">")), no_wrap=not is_folded, justify=side, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        out = StringIO()
        # In a notebook, rich would display the table and leave the text without it.
        Console(file=out, width=self.width, color_system=None, force_jupyter=False).print(table)
        self._parts += [*(line.rstrip() for line in out.getvalue().rstrip().split("\n")), ""]

    def text(self) -> str:
        """Return everything that was added."""
        return "\n".join(self._parts).rstrip()


def _fit_intervals(header: TextRow, rows: Sequence[TextRow], width: int) -> tuple[TextRow, Sequence[TextRow]]:
    """A table as it is, or with every interval below its number where a line would be too long."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        return header, rows
    return [h.replace(" [", "\n[") for h in header], [[c.replace(" [", "\n[") for c in row] for row in rows]


def format_cell(value: Any) -> str:
    """Write a value of a table; a dash where there is none."""
    if value is None or value == "":
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {format_cell(v).strip(chr(34))}" for k, v in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(format_cell, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
