"""What a page is made of: sections of sentences, tables and figures. Every number knows its full precision."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from imblab.analysis.across_datasets import Across
from imblab.edges.figures import Figure
from imblab.result import Completeness, Evaluation
from imblab.study import Study
from imblab.text import format_difference, format_p_value, format_score

DASH = "–"
#: Figures or tables of one kind, and rows of a table, that are open; the others wait to be asked for.
OPEN, ROWS = 6, 24


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    text : str
    value : float, pair of float, or None
        What is behind the text; None for words.
    tone : str
        A class of the page: ``good``, ``bad``, ``even``, or nothing.
    """

    text: str
    value: float | tuple[float, float] | None = None
    tone: str = ""

    @property
    def exact(self) -> str:
        """The numbers with twelve digits; empty where there is none."""
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return " ".join(f"{v:.12g}" for v in values if v is not None and not math.isnan(v))


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table.

    Attributes
    ----------
    key : str
        ``dataset/learner/strategy``, or what else the row is about.
    cells : tuple of Cell
        The first heads the row.
    picks : mapping of str to int
        ``d``, ``learner``, ``s``: the numbers of data set, learner and strategy that a reader may pick by.
    """

    key: str
    cells: tuple[Cell, ...]
    picks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes
    ----------
    name : str
        Of its files, and of its numbers.
    caption : str
    header : tuple of (str, str)
        Name and words of every column.
    lines : tuple of Line
    note : str
    picks : mapping of str to int
        As of a line, for the whole table.
    folded : bool
        Whether it opens on demand.
    """

    name: str
    caption: str
    header: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    note: str = ""
    picks: Mapping[str, int] = field(default_factory=dict)
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure with what a reader may pick it by."""

    figure: Figure
    picks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Figures side by side.

    Attributes
    ----------
    heading : str
    panels : tuple of Panel
    legend : bool
        Whether the strategies are named above them.
    slider : bool
        Whether a reader may move a cut in all of them.
    note : str
    folded : bool
        Whether it opens on demand.
    vital : bool
        Whether it is among the last to go where a page would be too large.
    """

    heading: str
    panels: tuple[Panel, ...]
    legend: bool = False
    slider: bool = False
    note: str = ""
    folded: bool = False
    vital: bool = False

    @property
    def drawn(self) -> list[str]:
        """The strategies in the figures."""
        return list(dict.fromkeys(s for panel in self.panels for s in panel.figure.strategies))


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    name : str
        Its anchor.
    title : str
    lead : tuple of str
        Sentences, before anything else.
    blocks : tuple of Table or Gallery
    short : str
        Its name in the contents.
    more : tuple of str
        Sentences after everything else.
    advice : tuple of str
        What to do, right after the lead.
    """

    name: str
    title: str
    lead: tuple[str, ...]
    blocks: tuple[Table | Gallery, ...] = ()
    short: str = ""
    more: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a report is a function of, read and compared.

    Attributes
    ----------
    study : Study
    rows : list of Evaluation
    frame, summary, contrasts : DataFrame
        Of :mod:`imblab.analysis`.
    sentences : tuple of str
        The verdicts.
    across : tuple of Across
        One a learner.
    evidence : DataFrame or None
    facts : mapping
        What was recorded with the evidence: ``versions`` and ``tables``.
    hashes : mapping of str to str
        Of the files.
    exploratory : str or None
        Why nothing here may have a verdict.
    completeness : Completeness
        How much of the design is evaluated; nothing here has a verdict before it is complete.
    command : str
        What makes the study again.
    datasets, learners, strategies : list of str
        Those that have rows, in the order of the study.
    families : list of (str, str)
        Data set and learner.
    census : mapping of str to (int, int)
        Rows and positives that the first repeat tested, by data set.
    answered : mapping of (str, str) to list of str
        The strategies of a family that have an answer.
    places : mapping of {"d", "l", "s"} to mapping of str to int
        The numbers of data sets, learners and strategies that a reader may pick by.
    """

    study: Study
    rows: list[Evaluation]
    frame: pd.DataFrame
    summary: pd.DataFrame
    contrasts: pd.DataFrame
    sentences: tuple[str, ...]
    across: tuple[Across, ...]
    evidence: pd.DataFrame | None
    facts: Mapping[str, Any]
    hashes: Mapping[str, str]
    exploratory: str | None
    completeness: Completeness
    command: str

    datasets: list[str] = field(init=False)
    learners: list[str] = field(init=False)
    strategies: list[str] = field(init=False)
    families: list[tuple[str, str]] = field(init=False)
    census: dict[str, tuple[int, int]] = field(init=False)
    answered: dict[tuple[str, str], list[str]] = field(init=False)
    places: dict[str, dict[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, Any] = {f"{c}s": list(dict.fromkeys(self.frame[c])) for c in ("dataset", "learner")}
        seen, declared = list(dict.fromkeys(self.frame.strategy)), [s.name for s in self.study.strategies]
        found["strategies"] = [n for n in declared if n in seen] + [n for n in seen if n not in declared]
        found["families"] = list(dict.fromkeys(zip(self.summary.dataset, self.summary.learner, strict=True)))
        scored = self.frame[self.frame.status == "ok"]
        found["census"] = {**dict.fromkeys(found["datasets"], (0, 0)), **_census(scored)}
        with_answer = set(zip(scored.dataset, scored.learner, scored.strategy, strict=True))
        found["answered"] = {f: [s for s in found["strategies"] if (*f, s) in with_answer] for f in found["families"]}
        letters = {"d": "datasets", "l": "learners", "s": "strategies"}
        found["places"] = {k: {n: i for i, n in enumerate(found[name])} for k, name in letters.items()}
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def arms(self, dataset: str, learner: str) -> list[str]:
        """The strategies of a family that have an answer."""
        return self.answered.get((dataset, learner), [])

    def line(self, arm: Sequence[str], *cells: Cell, more: str = "") -> Line:
        """A row about a data set, learner and strategy."""
        return Line(key(*arm, *([more] if more else [])), (words(", ".join(arm)), *cells), self.picks(*arm))

    def picks(self, dataset: str, learner: str, strategy: str | None = None) -> dict[str, int]:
        """The numbers a reader picks by."""
        named = {"d": dataset, "l": learner} | ({} if strategy is None else {"s": strategy})
        return {letter: self.places[letter][name] for letter, name in named.items()}


def _census(scored: pd.DataFrame) -> dict[str, tuple[int, int]]:
    first = scored[scored["repeat"] == 0].drop_duplicates(["dataset", "fold"])
    return {n: (int(own.n_test.sum()), int((own.tp + own.fn).sum())) for (n,), own in groups(first, "dataset")}


def header(*columns: str | tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Columns by name and words; a text is both.

    Examples
    --------
    >>> header("p", ("p_holm", "Holm p"))
    (('p', 'p'), ('p_holm', 'Holm p'))
    """
    return tuple((c, c) if isinstance(c, str) else c for c in columns)


def groups(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """The rows of every combination of names, in the order in which they appear."""
    for names, own in frame.groupby(list(columns), sort=False, observed=True):
        assert isinstance(names, tuple)
        yield tuple(str(n) for n in names), own


def of(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The rows of a data set, a learner and, where it is named, a strategy."""
    mask = pd.Series(True, index=frame.index)
    for column, name in zip(("dataset", "learner", "strategy"), names, strict=False):
        mask &= frame[column] == name
    return frame[mask]


def num(value: float | None, tone: str = "") -> Cell:
    """A number with three decimals."""
    v = math.nan if value is None else float(value)
    return Cell(_dashed(format_score(v)), v, tone)


def diff(value: float, tone: str = "") -> Cell:
    """A difference with its sign."""
    return Cell(DASH if math.isnan(value) else format_difference(value).replace("-", "−"), value, tone)


def interval(low: float, high: float) -> Cell:
    """The two ends of an interval."""
    text = DASH if math.isnan(low) else f"{diff(low).text} to {diff(high).text}"
    return Cell(text, (low, high))


def chance(value: float) -> Cell:
    """A probability, never rounded to zero."""
    return Cell(DASH if math.isnan(value) else format_p_value(value), value)


def whole(value: float) -> Cell:
    """A count."""
    return Cell(DASH if math.isnan(value) else f"{int(value):,}".replace(",", "\u202f"), float(value))


def words(text: object, tone: str = "") -> Cell:
    """Words; a dash for none."""
    return Cell(str(text) or DASH, None, tone)


def slug(*parts: str) -> str:
    """A file name of harmless characters, another one for other parts.

    Examples
    --------
    >>> slug("pr", "yeast4"), slug("a/b")
    ('pr-yeast4', 'a-b-c14cd')
    """
    return "-".join(_harmless(part) for part in parts)


def _harmless(text: str) -> str:
    kept = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:40]
    return kept if kept == text else f"{kept}-{hashlib.sha256(text.encode()).hexdigest()[:5]}".lstrip("-")


def key(*parts: str) -> str:
    """The address of a row."""
    return "/".join(parts)


def minus(text: str) -> str:
    """Words with a minus sign before their negative numbers.

    Examples
    --------
    >>> minus("mcc -0.1 in a-1")
    'mcc −0.1 in a-1'
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def spans(values: Sequence[float], form: str = "{:.3f}") -> str:
    """The lowest to the highest of some values, or the one there is.

    Examples
    --------
    >>> spans([0.1, 0.25]), spans([0.5, 0.5])
    ('0.100 to 0.250', '0.500')
    """
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


def _dashed(text: str) -> str:
    return DASH if text == "-" else text.replace("-", "−")
