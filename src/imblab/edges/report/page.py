"""The page: one file with its style sheet and script inside, every string from data or configuration escaped.

The card is the answer of a study and its figures as HTML for a notebook: self-contained, without a script, light and
dark.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from imblab.analysis.methods import describe_question, named
from imblab.analysis.outer_splits import describe_splits
from imblab.edges import files
from imblab.edges.figures.axes import STYLE, element, legend_key
from imblab.edges.palette import Look, css_variables
from imblab.edges.report.data import ReportData
from imblab.edges.report.elements import MAX_OPEN_BLOCKS, MAX_OPEN_ROWS, Gallery, ReportSection, Table, typeset_minus
from imblab.edges.report.scores import forest_gallery
from imblab.errors import StudyError
from imblab.text import count_noun, format_score

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = resources.files("imblab.edges.report")
#: Bytes of a page, and of the frame of one figure.
_MAX_BYTES, _FRAME_BYTES = 4_800_000, 700
#: Lines of a table on a page that is too large with all of its tables.
_MAX_LINES = 1_000
#: Width of a figure, in units of its drawing, up to which another one fits next to it.
_MAX_NARROW_WIDTH = 500
#: The look of what a reader chooses one of.
_CHOICE_STYLE = (
    ".choice{display:flex;flex-wrap:wrap;gap:.15rem .9rem;border:0;margin:0 0 .75rem;padding:0;font-size:.875rem}"
    ".choice legend{float:left;color:var(--soft);padding:0 .9rem 0 0}.choice label{overflow-wrap:anywhere}"
    ".choice input{accent-color:var(--accent);margin:0 .3rem 0 0}"
    "@media print{.choice,.part:has(>#classes){display:none}}"
)
#: How the sentence of a recommendation begins whose scores the page shows as a list.
_SCORES_SENTENCE = "It scores "
#: Bytes of a card: a notebook stores one with every run of its cell.
MAX_CARD_BYTES = 60_000
#: Where a Python user finds all contrasts.
_CONTRASTS = "in result.contrasts"
#: Part of a note that is about the choices of a report, which a notebook lacks.
_PICKING_NOTE = re.compile(r" or a name, or pick at most \d+ strategies,")
#: How the pages say that they are light or dark whose theme need not be that of the system: JupyterLab, VS Code, Colab.
_LIGHT_PAGES = ('[data-jp-theme-light="true"]', ".vscode-light", "[theme=light]")
_DARK_PAGES = ('[data-jp-theme-light="false"]', ".vscode-dark", "[theme=dark]")
_CARD_STYLE = (
    ".imblab{background:var(--ground);color:var(--ink);font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,"
    "'Helvetica Neue',Arial,sans-serif;padding:.9rem 1.1rem;border:1px solid var(--line);border-radius:6px;"
    "max-width:56rem;box-sizing:border-box}"
    ".imblab p{margin:0 0 .55rem;max-width:48rem;overflow-wrap:anywhere}"
    ".imblab .kind,.imblab .note{color:var(--soft);font-size:.86em;max-width:none}"
    ".imblab .head{font-size:1.3em;line-height:1.25;font-weight:600}.imblab .use{font-size:1.08em;font-weight:600}"
    ".imblab .heading{font-weight:600;margin:.8rem 0 .2rem}"
    ".imblab dl{display:flex;flex-wrap:wrap;gap:.3rem 1.5rem;margin:0 0 .6rem}.imblab dt{color:var(--soft);font-size:"
    ".86em;font-weight:400}.imblab dd{margin:0;font-size:1.3em;line-height:1.2;font-variant-numeric:tabular-nums}"
    ".imblab details{margin:.35rem 0}.imblab summary{cursor:pointer;color:var(--accent)}"
    ".imblab ul{margin:.3rem 0;padding-left:1.2rem}.imblab code{background:var(--card);color:var(--ink);"
    "font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;padding:0 .2em;border-radius:3px}"
    ".imblab .legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.86em}"
    ".imblab .legend span{display:inline-flex;align-items:center;gap:.4rem}.imblab svg.key{width:24px;height:10px}"
    ".imblab .figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),26rem));gap:1rem}"
    ".imblab .figures.wide{grid-template-columns:minmax(0,46rem)}.imblab figure{margin:0;min-width:0}"
    ".imblab figure svg{display:block;width:100%;height:auto;overflow:visible;background:none}"
)


def render_page(data: ReportData, sections: Sequence[ReportSection]) -> Iterator[bytes]:
    """Yield the parts of the report as HTML in UTF-8: no network, no clock, the same sections give the same bytes."""
    room = _room_next_to_tables(data, sections)
    if room >= 0:
        fitted = _fit_figures(sections, room)
    else:
        sections = [_without_long_tables(section) for section in sections]
        room = _room_next_to_tables(data, sections)
        fitted = _fit_figures(sections, room)
        # The frames of so many figures are larger than is reckoned with.
        while (excess := _size(data, fitted) - _MAX_BYTES) > 0 and room > 0:
            room -= excess
            fitted = _fit_figures(sections, room)
    yield from (part.encode() for part in _render(data, fitted))


def _room_next_to_tables(data: ReportData, sections: Sequence[ReportSection]) -> int:
    tables_alone = [replace(s, blocks=tuple(b for b in s.blocks if isinstance(b, Table))) for s in sections]
    return _MAX_BYTES - _size(data, tables_alone)


def _size(data: ReportData, sections: Sequence[ReportSection]) -> int:
    """Return the bytes of a page."""
    return sum(len(part.encode()) for part in _render(data, sections))


def _without_long_tables(section: ReportSection) -> ReportSection:
    """Return a section without its folded and its long tables, and say where they are; what is printed stays."""
    kept = [b for b in section.blocks if isinstance(b, Gallery) or not (b.folded or len(b.lines) > _MAX_LINES)]
    if section.is_printed or len(kept) == len(section.blocks):
        return section
    tables = count_noun(len(section.blocks) - len(kept), "table is", "tables are")
    note = f"{tables} in the folder tables/ next to this page, which would be too large with them."
    return replace(section, blocks=tuple(kept), lead=(*section.lead, note))


def _fit_figures(sections: Sequence[ReportSection], room: int) -> list[ReportSection]:
    """Return sections whose figures take at most ``room`` bytes.

    Galleries that are not vital and not the first of their section are left out first, the largest of them before the
    others; that of the first screen stays. They keep their heading and say where their figures are.
    """
    sizes = {
        (i, j): sum(len(panel.figure.body) + _FRAME_BYTES for panel in block.panels)
        for i, section in enumerate(sections)
        for j, block in enumerate(section.blocks)
        if isinstance(block, Gallery) and i > 0
    }
    first = {i: min(j for k, j in sizes if k == i) for i, _ in sizes}

    def order(place: tuple[int, int]) -> tuple[bool, bool, int]:
        block = sections[place[0]].blocks[place[1]]
        return isinstance(block, Gallery) and block.vital, place[1] == first[place[0]], -sizes[place]

    left_out, total = set(), sum(sizes.values())
    for place in sorted(sizes, key=order):
        if total > room:
            left_out.add(place)
            total -= sizes[place]
    return [
        replace(s, blocks=tuple(_without_figures(b) if (i, j) in left_out else b for j, b in enumerate(s.blocks)))
        for i, s in enumerate(sections)
    ]


def group_blocks(blocks: Sequence[Table | Gallery]) -> list[list[Table | Gallery]]:
    """Group blocks by what stands side by side: neighbours with one narrow figure each; all others are alone."""
    groups: list[list[Table | Gallery]] = []
    for block in blocks:
        if groups and _is_narrow(block) and _is_narrow(groups[-1][-1]):
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


def is_numeric(table: Table, column: int) -> bool:
    """Whether a column of a table holds numbers."""
    return any(line.cells[column].value is not None for line in table.lines)


def _without_figures(block: Table | Gallery) -> Table | Gallery:
    assert isinstance(block, Gallery)
    figures = count_noun(len(block.panels), "figure is", "figures are")
    note = f"{figures} in the folder figures/ next to this page, which would be too large with them."
    return replace(block, panels=(), note=note, legend=False, slider=False, folded=False, choices=())


def _render(data: ReportData, sections: Sequence[ReportSection]) -> Iterator[str]:
    script, style = _read_template("report.js"), _read_template("report.css")
    for name, dark in (("@LIGHT@", False), ("@DARK@", True)):
        style = style.replace(name, css_variables(dark))
    rules = _picking_rules(len(data.strategies), len(data.datasets), len(data.learners))
    galleries = [block for section in sections for block in section.blocks if isinstance(block, Gallery)]
    panels = [panel for block in galleries for panel in block.panels]
    rules += _choice_rules([i for block in galleries for i, _ in block.choices])
    rules += _shared_rules(dict.fromkeys(shared for panel in panels for shared in panel.figure.shared))
    strategies = [{"name": n, "label": data.label_of[n], "key": _legend_svg(look)} for n, look in data.looks.items()]
    others = [[{"name": n, "label": n, "key": ""} for n in names] for names in (data.datasets, data.learners)]
    return _fill_template(
        "report.html.j2",
        name=data.study.name,
        title="verdicts" if data.result.completeness.is_complete else data.result.completeness.counted,
        question=describe_question(data.study),
        **_answer_parts(data),
        sections=sections,
        strategies=strategies,
        choices=[("s", "Strategies", strategies), ("d", "Data sets", others[0]), ("l", "Learners", others[1])],
        style=Markup(style + STYLE + rules),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        is_numeric=is_numeric,
        max_panels=MAX_OPEN_BLOCKS,
        max_rows=MAX_OPEN_ROWS,
        group_blocks=group_blocks,
        svg=lambda figure: Markup(figure.inline()),
    )


def _answer_parts(data: ReportData) -> dict[str, Any]:
    """Return what a page says of the answer: the design, the sentences, and the scores that it shows as a list."""
    answer, chosen = data.result.answer, data.result.recommendation.overall
    is_told_by_tiles = bool(chosen.scores) and not chosen.incomplete
    return {
        "facts": _describe_design(data),
        "answer": answer,
        "tiles": [(named(name), format_score(value)) for name, value in chosen.scores.items()],
        "reasons": [s for s in answer.recommendation[1:] if not (is_told_by_tiles and s.startswith(_SCORES_SENTENCE))],
    }


def _fill_template(template: str, /, **values: Any) -> Iterator[str]:
    """Yield the parts of a template that is filled in, every value escaped."""
    return _compile_template(template).generate(**values)


@cache
def _compile_template(name: str) -> Template:
    """Compile a template once a process: a report is rendered twice, first to learn its size."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["prose"] = _prose
    return environment.from_string(_read_template(name))


def _describe_design(data: ReportData) -> str:
    """The design of a study in one line."""
    study, nouns = data.study, {"data set": data.datasets, "learner": data.learners, "strategy": data.strategies}
    sizes = " × ".join(count_noun(len(names), noun) for noun, names in nouns.items())
    is_declared = data.exploratory is None and study.claims.registered is not None
    status = "contrasts declared beforehand" if is_declared else "exploratory"
    parts = (f"imblab study {study.name}", sizes, describe_splits(study), f"main score {data.primary_label}", status)
    return " · ".join(parts)


def _prose(sentence: str) -> Markup:
    """A sentence for the page: minus signs, and names between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(typeset_minus(sentence)))))


def _is_narrow(block: Table | Gallery) -> bool:
    if isinstance(block, Table) or block.folded or len(block.panels) != 1:
        return False
    return block.panels[0].figure.width <= _MAX_NARROW_WIDTH


def _picking_rules(n_strategies: int, n_datasets: int, n_learners: int) -> str:
    """Style rules that hide what is not picked and draw the band of a strategy that is pointed at, without a script.

    Only the few boxes and names are searched by ``:has``, and what they rule comes after them: a ``:has`` of the full
    page would be matched again, over every element, whenever one of them changes.
    """
    pointed = "".join(
        f":is(.legend:has([data-s='{i}']:hover)~.grid,.pick:has(label:hover>#s{i})~.rest) g[data-s~='{i}']>.more"
        "{display:inline}"
        for i in range(n_strategies)
    )
    return pointed + "".join(
        f".pick:has(#{letter}{i}:not(:checked))~.rest [data-{letter}='{i}']{{display:none}}"
        for letter, n in (("s", n_strategies), ("d", n_datasets), ("l", n_learners))
        for i in range(n)
    )


def _shared_rules(shared: Iterable[str]) -> str:
    """Style rules that hide what stands for several strategies when none of them is picked."""
    unpicked = {numbers: "".join(f":has(#s{i}:not(:checked))" for i in numbers.split()) for numbers in shared}
    return "".join(f".pick{none}~.rest [data-s='{numbers}']{{display:none}}" for numbers, none in unpicked.items())


def _choice_rules(numbers: Sequence[int]) -> str:
    """Style rules that show the panels of the chosen number, without a script; empty where nothing is chosen."""
    hidden = "".join(f".choice:has(#k{i}:not(:checked))~.grid [data-k='{i}']{{display:none}}" for i in numbers)
    return _CHOICE_STYLE + hidden if numbers else ""


def _legend_svg(look: Look) -> Markup:
    """Draw how a strategy looks, for a legend."""
    return Markup(element("svg", legend_key(1.0, 5.0, look), class_="f key", viewBox="0 0 24 10", aria_hidden="true"))


def _read_template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def render_card(data: ReportData, steps: Sequence[tuple[str, str]] = ()) -> str:
    """Return the answer of a study as HTML for a notebook; evidence is not needed.

    ``steps`` are what a reader may do next, in words and as code. The figure is left out if the card would take more
    than :data:`MAX_CARD_BYTES` in UTF-8.
    """
    completeness = data.result.completeness
    gallery = next(iter(forest_gallery(data, _CONTRASTS)), None) if completeness.is_complete else None
    lead = () if completeness.is_complete else completeness.sentences()
    values = {**_answer_parts(data), "steps": steps, "lead": lead}
    title = f"Answer of study {data.study.name}"
    card = _fill_card(title, data.looks, {}, gallery, **values)
    if gallery is None or len(card.encode()) <= MAX_CARD_BYTES:
        return card
    return _fill_card(title, data.looks, {}, None, **values)


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Figures of one kind: shown by a notebook, saved as SVG or HTML."""

    gallery: Gallery  # the figures with their heading and note
    looks: Mapping[str, Look]  # how every strategy of the study is drawn
    labels: Mapping[str, str]  # what every strategy is called

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the figures."""
        return tuple(panel.figure.name for panel in self.gallery.panels)

    @property
    def svg(self) -> dict[str, str]:
        """The figures as files, by name."""
        return {panel.figure.name: panel.figure.standalone(self.looks) for panel in self.gallery.panels}

    def save(self, path: str | Path) -> Path:
        """Write one figure as ``.svg``, or all of them as one ``.html`` page; return the path.

        Raises
        ------
        StudyError
            For another ending, several figures in one SVG file, or a place that cannot be written.
        """
        path = Path(path)
        if path.suffix not in (".svg", ".html"):
            raise StudyError(
                f"{path.name!r} ends with {path.suffix!r}; figures are vector drawings. Save them as .svg or .html."
            )
        text = self._repr_svg_() if path.suffix == ".svg" else self._page()
        if text is None:
            raise StudyError(
                f"{path.name!r} would hold {len(self.names)} figures; an SVG file holds one. Choose it by dataset=... "
                "and learner=..., or save all of them as .html."
            )
        files.make_folder(path.parent.absolute())
        files.replace(path.parent.absolute(), path.name, text.encode())
        return path

    def _repr_svg_(self) -> str | None:
        """Return the figure; None if there are several."""
        return next(iter(self.svg.values())) if len(self.names) == 1 else None

    def _repr_html_(self) -> str:
        return _fill_card(self.gallery.heading, self.looks, self.labels, self.gallery)

    def __repr__(self) -> str:
        names = ", ".join(self.names)
        return f"{self.gallery.heading}: {names}. In a notebook it is drawn; .save('figure.svg') writes it."

    def _page(self) -> str:
        title = html.escape(self.gallery.heading)
        head = f'<meta charset="utf-8"><title>{title}</title>'
        return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{self._repr_html_()}</body></html>\n'


def _fill_card(
    title: str, looks: Mapping[str, Look], labels: Mapping[str, str], gallery: Gallery | None, **values: object
) -> str:
    """Fill in the template with the figures of a gallery; a legend names the drawn strategies that have a label."""
    figures = [panel.figure for panel in gallery.panels] if gallery else []
    drawn = gallery.drawn if gallery and gallery.legend and labels else []
    return "".join(
        _fill_template(
            "card.html.j2",
            title=title,
            style=Markup(_card_style()),
            heading=gallery.heading if gallery else "",
            note=_PICKING_NOTE.sub("", gallery.note) if gallery else "",
            legend=[(_legend_svg(looks[name]), labels[name]) for name in drawn],
            figures=[Markup(figure.inline()) for figure in figures],
            wide=any(figure.width > _MAX_NARROW_WIDTH for figure in figures),
            **values,
        )
    )


def _card_style() -> str:
    """Return the style sheet: the theme of the page counts, and that of the system where it has none."""
    light, dark = css_variables(dark=False), css_variables(dark=True)
    themes = (
        f".imblab{{color-scheme:light;{light}}}"
        f"@media (prefers-color-scheme:dark){{.imblab{{color-scheme:dark;{dark}}}}}"
        f":is({','.join(_LIGHT_PAGES)}) .imblab{{color-scheme:light;{light}}}"
        f":is({','.join(_DARK_PAGES)}) .imblab{{color-scheme:dark;{dark}}}"
    )
    return themes + _CARD_STYLE + STYLE.replace("svg.f", ".imblab svg.f")
