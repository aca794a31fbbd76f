"""Elements of the page: sections of sentences, tables and figures, and the files of tables."""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO

from imblab.edges.figures.axes import Figure
from imblab.text import format_difference, format_p_value, format_score

DASH = "–"
#: CSS classes of verdicts.
_TONES = {"better": "good", "worse": "bad", "equivalent": "even", "identical": "even"}
#: Figures or tables of one kind, and rows of a table, that are shown at once; the others are folded.
MAX_OPEN_BLOCKS, MAX_OPEN_ROWS = 6, 24
#: Numbers of the data set, learner and strategy (``d``, ``l``, ``s``) by which a reader picks what is shown.
Picks = Mapping[str, int]
_LATEX = {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{c: rf"\{c}" for c in "&%$#_{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "−": "$-$", "–": "--", "±": r"$\pm$", "\u202f": r"\,"},
}
#: First characters of what a spreadsheet would compute.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell of a table."""

    text: str  # what the page shows
    value: float | tuple[float, float] | None = None  # the number behind it, two for an interval; None for words
    tone: str = ""  # a CSS class
    plain: str = ""  # the words of a file, where the page shows others: the name of what has a label

    @property
    def exact(self) -> str:
        """The numbers with twelve digits; empty where there is none."""
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return " ".join(f"{v:.12g}" for v in values if v is not None and not math.isnan(v))


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table, the first cell its header; ``key`` is an address such as ``dataset/learner/strategy``."""

    key: str
    cells: tuple[TableCell, ...]
    picks: Picks = field(default_factory=dict)
    is_minor: bool = False  # whether paper leaves it out


@dataclass(frozen=True, slots=True)
class Table:
    """A table."""

    name: str  # name of its files
    caption: str
    header: tuple[tuple[str, str], ...]  # name and words of every column
    lines: tuple[Line, ...]
    note: str = ""  # the text below it
    picks: Picks = field(default_factory=dict)  # numbers by which a reader picks the table as a whole
    folded: bool = False  # whether a reader must open it
    is_sortable: bool = False  # whether a reader may sort, search and copy it; it is never folded for its length


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure with the numbers by which a reader picks it."""

    figure: Figure
    picks: Picks = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Figures side by side."""

    heading: str
    panels: tuple[Panel, ...]
    legend: bool = False  # whether the strategies are named above them
    slider: bool = False  # whether a reader may move a threshold in all of them
    note: str = ""
    folded: bool = False  # whether a reader must open it
    vital: bool = False  # whether it is among the last to be left out of a page that would be too large
    #: numbers and words of what a reader chooses one of, the first by default: shown are the panels with that number
    #: among their picks, under the letter ``k``
    choices: tuple[tuple[int, str], ...] = ()

    @property
    def drawn(self) -> list[str]:
        """The strategies in the figures."""
        return list(dict.fromkeys(s for panel in self.panels for s in panel.figure.strategies))


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A part of the page."""

    name: str  # its anchor
    title: str  # its heading
    lead: tuple[str, ...]  # sentences at its beginning
    blocks: tuple[Table | Gallery, ...] = ()
    short: str = ""  # its name in the contents, by default the title
    more: tuple[str, ...] = ()  # sentences at its end
    is_open: bool = False  # whether it is open before a reader opens it
    is_printed: bool = False  # whether it is printed where it is folded


def columns(*names: str | tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return a header from columns by name and words; a text is both.

    Examples
    --------
    >>> columns("p", ("p_holm", "Holm p"))
    (('p', 'p'), ('p_holm', 'Holm p'))
    """
    return tuple((c, c) if isinstance(c, str) else c for c in names)


def score_cell(value: float | None) -> TableCell:
    """Make a cell of a number with three decimals."""
    return TableCell(_typeset(format_score(value)), math.nan if value is None else float(value))


def difference_cell(value: float) -> TableCell:
    """Make a cell of a difference with its sign."""
    return TableCell(_typeset(format_difference(value)), value)


def interval_cell(low: float, high: float) -> TableCell:
    """Make a cell of the two ends of an interval."""
    ends = [difference_cell(end).text for end in (low, high)]
    return TableCell(DASH if math.isnan(low) else " to ".join(ends), (low, high))


def p_value_cell(value: float) -> TableCell:
    """Make a cell of a p-value, never rounded to zero."""
    return TableCell(_typeset(format_p_value(value)), value)


def count_cell(value: float) -> TableCell:
    """Make a cell of a count."""
    return TableCell(DASH if math.isnan(value) else f"{int(value):,}".replace(",", "\u202f"), float(value))


def text_cell(text: object, tone: str = "", plain: str = "") -> TableCell:
    """Make a cell of words, others in files where ``plain`` holds some; a dash for none."""
    return TableCell(str(text) or DASH, None, tone, "" if plain == text else plain)


def verdict_cell(verdict: str) -> TableCell:
    """Make a cell of a verdict, in the tone of its first word."""
    return text_cell(verdict, _TONES.get(verdict.partition(" ")[0], ""))


def file_name(*parts: str) -> str:
    """Return a file name of harmless characters, another one for other parts.

    Examples
    --------
    >>> file_name("pr", "yeast4"), file_name("a/b")
    ('pr-yeast4', 'a-b-c14cd')
    """
    return "-".join(_harmless(part) for part in parts)


def typeset_minus(text: str) -> str:
    """Write a minus sign before the negative numbers of a sentence.

    Examples
    --------
    >>> typeset_minus("mcc -0.1 in a-1")
    'mcc −0.1 in a-1'
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def as_csv(table: Table) -> str:
    """Return a table with numbers at twelve digits; words that a spreadsheet would compute are quoted."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name for name, _ in table.header])
    for line in table.lines:
        writer.writerow([_inert(c.plain or c.text) if c.value is None else c.exact for c in line.cells])
    return stream.getvalue()


def as_latex(table: Table) -> str:
    """Return a table with booktabs rules, as shown on the page."""
    is_numeric = [all(line.cells[i].value is not None for line in table.lines) for i in range(len(table.header))]
    rows = [_latex_row(cell.text for cell in line.cells) for line in table.lines]
    begin = rf"\begin{{tabular}}{{{''.join('r' if n else 'l' for n in is_numeric)}}}"
    head = [f"% {' '.join(table.caption.split())}", begin, r"\toprule", _latex_row(words for _, words in table.header)]
    return "\n".join([*head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(texts: Iterable[str]) -> str:
    escaped = ("".join(_LATEX.get(c, c) for c in " ".join(text.split())) for text in texts)
    return rf"{' & '.join(escaped)} \\"


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _harmless(text: str) -> str:
    kept = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:40]
    return kept if kept == text else f"{kept}-{hashlib.sha256(text.encode()).hexdigest()[:5]}".lstrip("-")


def _typeset(text: str) -> str:
    return DASH if text == "-" else text.replace("-", "−")
