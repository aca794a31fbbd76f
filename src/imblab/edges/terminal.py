"""What a person reads in the terminal: text of at least 80 columns that needs no colour.

The only module that knows rich. The functions that end in ``_text``, and :func:`comparison`, give text and print
nothing; :func:`show` prints, :func:`progress` reports while a study runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from textwrap import fill
from typing import IO, Any, cast

import pandas as pd
from rich import box
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from imblab.analysis import text_tables
from imblab.analysis.across_datasets import Across
from imblab.analysis.methods import named
from imblab.errors import StudyError, presentable, refusal
from imblab.study import Study
from imblab.text import count_noun, format_difference, format_duration, format_score

NARROWEST, WIDEST = 80, 120
#: Names beyond this are folded in tables.
LONG = 28
#: Lines that a run prints where there is no terminal.
LINES = 20
#: The facts of a data set that are listed, and their headers.
LISTED = {"name": "name", "rows": ">rows", "features": ">features", "positives": ">positives", "ratio": ">ratio"}
LISTED |= {"categorical": ">cat.", "missing": ">missing", "source": "source"}
Row = Sequence[str]


def show(text: str) -> None:
    """Print text; what the terminal cannot encode becomes a question mark, what would steer it is spelt out."""
    encoding = sys.stdout.encoding or "utf-8"
    text = presentable(text, keep="\n")
    put(text.encode(encoding, "replace").decode(encoding))


def put(text: str) -> None:
    """Print text as it is.

    Raises
    ------
    StudyError
        If standard output takes no more.
    BrokenPipeError
        If its reader has gone.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StudyError(refusal(error, "standard output", "written")) from error


def warn(text: str) -> None:
    """Print a line on standard error, where it takes one."""
    stream = _Standard()
    stream.write(presentable(text, keep="\n") + "\n")
    stream.flush()


def say(text: str) -> None:
    """Print a paragraph that fits the terminal."""
    page = _Page(None)
    page.say(text)
    show(page.text())


def comparison(
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    sentences: Sequence[str],
    study: Study,
    next_steps: Sequence[str] = (),
    width: int | None = None,
    across: Sequence[Across] = (),
    lead: Sequence[str] = (),
) -> str:
    """The end of a study: its tables by data set and learner, over sources, the verdicts, where to look next.

    Parameters
    ----------
    summary, contrasts : DataFrame
        As :func:`imblab.analysis.compare.summarise` and :func:`imblab.analysis.compare.contrasts` give them.
    sentences : sequence of str
    study : Study
    next_steps : sequence of str, default=()
    width : int, optional
        Columns; those of the terminal by default, 80 at least.
    across : sequence of Across, default=()
        Strategies over sources, one a learner.
    lead : sequence of str, default=()
        What is said before anything else: how much of the design is evaluated, what is missing.

    Returns
    -------
    str
    """
    page = _Page(width)
    for line in lead:
        page.say(line)
    if summary.empty:
        page.say(f"Study {study.name!r} has no rows yet.")
        return page.text()
    if lead:
        page.say("")
    for (dataset, learner), rows in summary.groupby(["dataset", "learner"], sort=False):
        page.say(text_tables.heading(rows, study))
        page.table(*_fitting(*text_tables.scores(rows, study), page.width))
        page.table(*text_tables.choices(rows))
        tested = contrasts[(contrasts.dataset == dataset) & (contrasts.learner == learner)]
        page.lines(text_tables.remarks(rows))
        page.table(*text_tables.tests(tested))
        page.lines(text_tables.exploratory(tested))
    for found in across:
        _say_across(page, found)
    for line in text_tables.legend(contrasts, study):
        page.say(line)
    page.say("")
    page.list("What the evidence allows", sentences)
    page.list("Where to look next", next_steps)
    return page.text()


def plan_text(plan: Mapping[str, Any], width: int | None = None) -> str:
    """What a study would do, before anything runs.

    Parameters
    ----------
    plan : mapping
        ``study cells fits``; ``learners``, a list of names; ``datasets``, ``strategies`` and ``inapplicable``, lists of
        mappings; ``half_width``, a number by name. Whatever is absent is left out.
    width : int, optional

    Returns
    -------
    str
    """
    page = _Page(width)
    page.say(f"Study {plan['study']!r}: {plan['cells']} cells, {_fits(plan)}.")
    page.say(f"Learners: {', '.join(plan.get('learners', ()))}")
    if "price" in plan:
        _say_price(page, plan["price"], plan.get("budget"))
    page.say("")
    for data in plan.get("datasets", ()):
        _say_dataset(page, data)
    page.list("Baseline", [f"{text}." for text in plan.get("rebalancing", {}).values()])
    page.say("Strategies")
    page.table(["strategy", ">cand.", "weight", "threshold", "knobs"], map(_strategy, plan.get("strategies", ())))
    page.list("Inapplicable, left out there", _refusals(plan.get("inapplicable", ())))
    if plan.get("half_width"):
        reach = ", ".join(f"{name} {factor:.2f}" for name, factor in plan["half_width"].items())
        page.say(
            f"Half-width of a corrected interval, in standard deviations of the differences: {reach}. "
            "nested_5x3 is for looking, repeated_5x5x3 for claims."
        )
    return page.text()


def listing_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """What can be loaded: a line a data set whose facts are known, and the names of the others by kind.

    Parameters
    ----------
    rows : sequence of mapping
        ``name`` and ``kind``; those that have ``rows`` are tabled, with whatever else of :data:`LISTED` they have.
    width : int, optional

    Returns
    -------
    str

    Examples
    --------
    >>> print(listing_text([{"name": "keel_iris0", "kind": "keel"}, {"name": "keel_wdbc", "kind": "keel"}]))
    keel (2): keel_iris0, keel_wdbc
    """
    page = _Page(width)
    known = [row for row in rows if "rows" in row]
    keys = [key for key in LISTED if any(key in row for row in known)]
    if known:
        page.table([LISTED[key] for key in keys], ([_plain(row.get(key)) for key in keys] for row in known))
    for kind in dict.fromkeys(row["kind"] for row in rows if "rows" not in row):
        names = [row["name"] for row in rows if row["kind"] == kind and "rows" not in row]
        page.say(f"{kind} ({len(names)}): {', '.join(names)}", then="  ")
    return page.text()


def store_text(facts: Mapping[str, Any]) -> str:
    """What the prediction store holds, in a sentence or two.

    Examples
    --------
    >>> print(store_text({"path": "mlruns/p.sqlite", "answers": 2, "bytes": 3 * 2**20, "oldest_days": 1.24}))
    mlruns/p.sqlite holds 2 answers of fits in 3.0 MB, the oldest 1.2 days old.
    """
    age = f", the oldest {facts['oldest_days']:.1f} days old" if "oldest_days" in facts else ""
    gone = f" {facts['pruned']} were deleted; what a study misses is fitted again." if "pruned" in facts else ""
    return f"{facts['path']} holds {facts['answers']} answers of fits in {facts['bytes'] / 2**20:.1f} MB{age}.{gone}"


def rescored_text(facts: Mapping[str, Any], width: int | None = None) -> str:
    """What another question on the same fits changed, and what it lacks.

    Parameters
    ----------
    facts : mapping
        ``study label primary changed answered seconds report``; ``lead``, how much of the design is evaluated;
        ``missing``, knobs by cell; ``moves`` and ``added``, lists of mappings as the rows that
        :mod:`imblab.analysis.rescored` gives.
    width : int, optional

    Returns
    -------
    str
    """
    page, missing, name = _Page(width), facts["missing"], f"{facts['study']}/rescored/{facts['label']}"
    for line in facts.get("lead", ()):
        page.say(line)
    page.say(f"Exploratory: study {facts['study']!r} asked again after its rows were seen; no verdict follows.")
    for line in facts["changed"]:
        page.say(line, "- ", "  ")
    cells = facts["answered"] + len(missing)
    page.say(f"{facts['answered']} of {cells} cells answered in {facts['seconds']:.1f} s.")
    page.say("")
    for dataset, learner in dict.fromkeys((row["dataset"], row["learner"]) for row in facts["moves"]):
        rows = [row for row in facts["moves"] if (row["dataset"], row["learner"]) == (dataset, learner)]
        page.say(f"{dataset}, {learner}: {named(facts['primary'])}, mean over the folds that both questions answer")
        page.table(["strategy", ">before", ">after", ">change", ">winners", ">cuts", ">missing"], map(_moved, rows))
        fresh = [row for row in facts["added"] if (row["dataset"], row["learner"]) == (dataset, learner)]
        for measure in dict.fromkeys(row["measure"] for row in fresh):
            means = [f"{r['strategy']} {format_score(r['mean'])}" for r in fresh if r["measure"] == measure]
            page.say(f"{named(measure)}: {', '.join(means)}", "  ", "    ")
        page.say("")
    page.say("Winners, cuts: folds in which another candidate or another threshold was chosen.")
    if missing:
        first = [f"{key} ({knobs})" for key, knobs in list(missing.items())[:6]]
        more = f" and {len(missing) - 6} more" if len(missing) > 6 else ""
        page.say(f"Cells that need fits nobody made: {len(missing)}, {', '.join(first)}{more}. refit=true makes them.")
    page.say("")
    steps = [f"All measures: imblab compare {name}", f"Its rows: experiments/{name}"]
    page.list("Where to look next", [*([f"Open the report: {facts['report']}"] if facts["report"] else []), *steps])
    return page.text()


@contextmanager
def progress(total: int, n_jobs: int, console: Console | None = None) -> Iterator[_Live | _Lines]:
    """Report on standard error while cells are answered: a bar, or at most 20 lines where there is no terminal.

    Parameters
    ----------
    total : int
        Cells to be answered.
    n_jobs : int
    console : rich Console, optional

    Yields
    ------
    object
        Its ``advance(what)`` counts one cell, its ``note(text)`` prints a line.
    """
    console = console or Console(file=cast("IO[str]", _Standard()), highlight=False, markup=False)
    if not console.is_terminal:
        yield _Lines(total, n_jobs, console)
        return
    what, left = TextColumn("{task.description}", markup=False), TextColumn("left")
    count, spent, rest = MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Bar(what, BarColumn(bar_width=20), count, spent, left, rest, console=console) as bar:
        yield _Live(bar, total, n_jobs)


class _Standard:
    """Standard error for what no study depends on: nothing is said where it is full or its reader has gone."""

    def __init__(self) -> None:
        # Now: a bar puts itself in the place of the stream.
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


class _Live:
    """A bar on a terminal."""

    def __init__(self, bar: Bar, total: int, n_jobs: int) -> None:
        self._bar, self._task = bar, bar.add_task(count_noun(n_jobs, "process"), total=total)

    def advance(self, what: str) -> None:
        # The bar and the times take 50 columns of 80.
        self._bar.update(self._task, advance=1, description=what if len(what) <= 30 else f"...{what[-27:]}")

    def note(self, text: str) -> None:
        self._bar.console.print(presentable(text), markup=False, highlight=False)


class _Lines:
    """Plain lines in a log."""

    def __init__(self, total: int, n_jobs: int, console: Console) -> None:
        self._total, self._done, self._begin, self._console = total, 0, time.monotonic(), console
        self.note(f"{total} cells on {count_noun(n_jobs, 'process')}")

    def advance(self, what: str) -> None:
        before, self._done = self._done, self._done + 1
        if self._done * (LINES - 1) // self._total == before * (LINES - 1) // self._total:
            return
        spent = time.monotonic() - self._begin
        left = spent / self._done * (self._total - self._done)
        times = f"{format_duration(spent)} spent, about {format_duration(left)} left"
        self.note(f"{self._done}/{self._total} {what}, {times}")

    def note(self, text: str) -> None:
        self._console.print(presentable(text), markup=False, highlight=False, soft_wrap=True)


class _Page:
    """Text of a given width, written from top to bottom."""

    def __init__(self, width: int | None) -> None:
        self.width = max(NARROWEST, min(width or Console().width, WIDEST))
        self._parts: list[str] = []

    def say(self, text: str, first: str = "", then: str = "") -> None:
        """A paragraph; its first line begins with ``first``, the others with ``then``."""
        # A break at a hyphen would tear ranges such as 0.25-1 apart.
        self._parts.append(fill(text, self.width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False))

    def raw(self, text: str) -> None:
        """A text as it stands: a line to paste is not broken."""
        self._parts.append(text)

    def list(self, title: str, lines: Sequence[str]) -> None:
        """A title and its lines under dashes; nothing if there are none."""
        if lines:
            self.say(title)
            for line in lines:
                self.say(line, "- ", "  ")
            self.say("")

    def lines(self, lines: Sequence[str]) -> None:
        """Indented paragraphs and a blank line; nothing if there are none."""
        for line in lines:
            self.say(line, "  ", "  ")
        if lines:
            self.say("")

    def table(self, header: Row, rows: Iterable[Row]) -> None:
        """A table whose last column gives way, and long names; a header that begins with > is set to the right."""
        rows = list(rows)
        if not rows:
            return
        made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        long = max((len(row[0]) for row in rows), default=0) > LONG
        for i, name in enumerate(header):
            side: JustifyMethod = "right" if name.startswith(">") else "left"
            bends = i == len(header) - 1 or (i == 0 and long)
            made.add_column(Text(name.lstrip(">")), no_wrap=not bends, justify=side, overflow="fold")
        for row in rows:
            made.add_row(*map(Text, row))
        out = StringIO()
        Console(file=out, width=self.width, color_system=None).print(made)
        self._parts += [*(line.rstrip() for line in out.getvalue().rstrip().split("\n")), ""]

    def text(self) -> str:
        return "\n".join(self._parts).rstrip()


def _fitting(header: Row, rows: Sequence[Row], width: int) -> tuple[Row, Sequence[Row]]:
    """The table as it is, or with every interval below its number where a line would be too long."""
    longest = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    if sum(longest) + 2 * (len(longest) - 1) <= width:
        return header, rows
    return [h.replace(" [", "\n[") for h in header], [[c.replace(" [", "\n[") for c in row] for row in rows]


def _say_across(page: _Page, found: Across) -> None:
    """Ranks and contrasts over independent sources."""
    sources = count_noun(len(found.sources), "source")
    page.say(f"Across {sources}, {found.learner}: {named(found.measure)}, mean of the tasks of a source")
    page.table(*text_tables.places(found))
    page.table(*text_tables.duels(found))
    page.lines(text_tables.over_sources(found))


def _fits(plan: Mapping[str, Any]) -> str:
    """How many fits, and how many are spared."""
    spared = [f"{plan['spared']} shared or known"] if plan.get("spared") else []
    spared += [f"{plan['known']} answers in the store"] if plan.get("known") else []
    some = f"{'at most ' if plan.get('at_most') else ''}{plan['fits']} fits"
    return f"{some} ({', '.join(spared)})" if spared else some


def _say_price(page: _Page, price: Mapping[str, Any], budget: Mapping[str, Any] | None) -> None:
    memory = f"{price['bytes'] / 2**30:.1f} GB of memory"
    processes = count_noun(price["n_jobs"], "process")
    page.say(f"About {format_duration(price['seconds'])} on {processes}, {memory}, by a few fits timed now.")
    if price["untimed"]:
        page.say(f"Not timed, and not in it: {', '.join(price['untimed'])}.")
    if budget:
        page.say(f"That is more than budget.minutes={budget['minutes']:g}.")
        fits = (
            "The largest study that fits" if budget["fits"] else "The smallest study tried, which still does not fit,"
        )
        page.list(f"{fits} takes {format_duration(budget['seconds'])}, with", budget["overrides"])
        if budget.get("line"):
            page.raw(f"To run it:\n{budget['line']}")
        elif budget["overrides"]:
            page.say("Change these in a copy of the file that describes the study; it is run as it stands.")


def _say_dataset(page: _Page, data: Mapping[str, Any]) -> None:
    page.say(
        f"{data['name']}: {data['rows']} rows, {data['features']} features, {data['positives']} positives "
        f"(1 to {data['ratio']:.3g})"
    )
    for kind, columns in (data.get("columns") or {}).items():
        page.say(f"{kind}: {_plain(columns)}", "  ", "    ")
    alike: dict[tuple[Any, ...], int] = {}
    for fold in data.get("folds", ()):
        key = tuple(fold[name] for name in ("train", "train_pos", "test", "test_pos"))
        alike[key] = alike.get(key, 0) + 1
    header = [">folds", ">train rows", ">positives", ">test rows", ">positives"]
    page.table(header, ([str(n), *map(str, key)] for key, n in alike.items()))
    page.list("Note", data.get("warnings", ()))


def _strategy(facts: Mapping[str, Any]) -> Row:
    # A blank after a comma lets an axis wrap between its values.
    axes = _plain(facts.get("axes")).replace(", ", ",").replace(",", ", ")
    return [*(_plain(facts.get(name)) for name in ("name", "candidates", "weight", "threshold")), axes]


def _refusals(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a cause: strategies and values that are refused for the same reason stand together."""
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for facts in found:
        where = (str(facts.get("dataset", "")), _plain(facts.get("learners")), _plain(facts.get("folds")))
        alike.setdefault((*where, str(facts["reason"])), []).append(facts)
    return [
        f"{', '.join([dataset, learners, *_each(members, 'strategy'), *_each(members, 'value')])}: {reason} "
        f"(folds: {folds})"
        for (dataset, learners, folds, reason), members in alike.items()
    ]


def _each(members: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The different values of a fact, as far as they are few."""
    values = list(dict.fromkeys(_plain(facts[name]) for facts in members if name in facts))
    return values if len(values) <= 4 else [*values[:3], f"{len(values) - 3} more"]


def _plain(value: Any) -> str:
    """A value of a plan or a listing, in few words."""
    if value is None or value == "":
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _moved(row: Mapping[str, Any]) -> Row:
    before, after = row["before"], row["after"]
    change = None if before is None or after is None else after - before
    scores = (format_score(before), format_score(after), format_difference(change))
    return [row["strategy"], *scores, *(str(row[key] or "") for key in ("winners", "cuts", "missing"))]
