"""The page: one file with its style and script inside, every string from data or configuration escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from imblab.analysis import methods
from imblab.edges.figures import STYLE
from imblab.edges.figures.svg import element
from imblab.edges.palette import colour_slots, css_variables
from imblab.edges.report.model import OPEN, ROWS, Gallery, Section, Source, Table

_HERE = files("imblab.edges.report")
#: Characters that a page may have, and that a figure takes beside its drawing.
MOST, FRAME = 4_800_000, 700
#: Units of a drawing up to which another one fits beside it.
NARROW = 500


def page(source: Source, sections: Sequence[Section]) -> str:
    """The report as HTML.

    Parameters
    ----------
    source : Source
    sections : sequence of Section

    Returns
    -------
    str
        No network, no clock: the same sections give the same text.
    """
    bare = [replace(s, blocks=tuple(b for b in s.blocks if isinstance(b, Table))) for s in sections]
    return _filled(source, fitting(sections, MOST - len(_filled(source, bare))))


def fitting(sections: Sequence[Section], room: int) -> list[Section]:
    """Sections whose figures fit a page: what is not vital and does not open a section goes first, by size.

    Parameters
    ----------
    sections : sequence of Section
    room : int
        Characters that all figures may take together.

    Returns
    -------
    list of Section
        Galleries that had to go keep their heading and say where their figures are.
    """
    sizes = {
        (i, j): sum(len(panel.figure.body) + FRAME for panel in block.panels)
        for i, section in enumerate(sections)
        for j, block in enumerate(section.blocks)
        if isinstance(block, Gallery)
    }
    first = {i: min(j for k, j in sizes if k == i) for i, _ in sizes}
    gone: set[tuple[int, int]] = set()

    def late(place: tuple[int, int]) -> tuple[bool, bool, int]:
        block = sections[place[0]].blocks[place[1]]
        return isinstance(block, Gallery) and block.vital, place[1] == first[place[0]], -sizes[place]

    for place in sorted(sizes, key=late):
        if sum(size for p, size in sizes.items() if p not in gone) > room:
            gone.add(place)
    return [
        replace(s, blocks=tuple(_beside(b) if (i, j) in gone else b for j, b in enumerate(s.blocks)))
        for i, s in enumerate(sections)
    ]


def _beside(block: Table | Gallery) -> Table | Gallery:
    assert isinstance(block, Gallery)
    said = (
        f"These {len(block.panels)} figures are files beside this page, in figures/: with them it would be too large."
    )
    return replace(block, panels=(), note=said, legend=False, slider=False, folded=False)


def _filled(source: Source, sections: Sequence[Section]) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = _text("report.js")
    style = (
        _text("report.css").replace("@LIGHT@", css_variables(dark=False)).replace("@DARK@", css_variables(dark=True))
    )
    picks = _hiding(len(source.strategies), len(source.datasets), len(source.learners))
    template = environment.from_string(_text("report.html.j2"))
    return template.render(
        name=source.study.name,
        title="what the evidence allows" if source.completeness.is_complete else source.completeness.counted,
        question=methods.describe_question(source.study),
        sections=sections,
        strategies=[{"name": n, "key": Markup(_key(*colour_slots(source.strategies)[n]))} for n in source.strategies],
        others=[("d", "Data sets", source.datasets), ("l", "Learners", source.learners)],
        style=Markup(style + STYLE + picks),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        numeric=numeric,
        most={"panels": OPEN, "rows": ROWS},
        runs=runs,
        svg=lambda figure: Markup(figure.inline()),
    )


def runs(blocks: Sequence[Table | Gallery]) -> list[list[Table | Gallery]]:
    """Blocks by what stands side by side: neighbours that hold one narrow figure each, and all others alone."""
    found: list[list[Table | Gallery]] = []
    for block in blocks:
        if found and _single(block) and _single(found[-1][-1]):
            found[-1].append(block)
        else:
            found.append([block])
    return found


def _single(block: Table | Gallery) -> bool:
    return (
        isinstance(block, Gallery)
        and not block.folded
        and len(block.panels) == 1
        and block.panels[0].figure.width <= NARROW
    )


def numeric(table: Table, column: int) -> bool:
    """Whether a column holds numbers."""
    return any(line.cells[column].value is not None for line in table.lines)


def _hiding(strategies: int, datasets: int, learners: int) -> str:
    """What is not picked is hidden, and a band is drawn for who is pointed at, by style alone: it needs no script.

    Only the few boxes and names are searched by ``:has``, and what they rule comes after them: a ``:has`` of the whole
    page would be matched again, over every element, whenever one of them changes.
    """
    pointed = "".join(
        f":is(.legend:has([data-s='{i}']:hover)~.grid,.pick:has(label:hover>#s{i})~main) g[data-s='{i}']>.more"
        "{display:inline}"
        for i in range(strategies)
    )
    return pointed + "".join(
        f".pick:has(#{letter}{i}:not(:checked))~main [data-{letter}='{i}']{{display:none}}"
        for letter, count in (("s", strategies), ("d", datasets), ("l", learners))
        for i in range(count)
    )


def _key(hue: int, dash: int) -> str:
    line = element("path", class_=f"line c{hue}{f' d{dash}' if dash else ''}", d="M0 4h24")
    return element("svg", line, class_="f key", viewBox="0 0 24 8", aria_hidden="true")


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
