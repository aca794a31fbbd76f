"""The answer of a study and its figures as HTML for a notebook: self-contained, without a script, light and dark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markupsafe import Markup

from imblab.edges import files
from imblab.edges.figures.svg import STYLE
from imblab.edges.palette import Look, css_variables
from imblab.edges.report.data import ReportData
from imblab.edges.report.elements import Gallery
from imblab.edges.report.page import answer_parts, fill_template, legend_svg
from imblab.edges.report.scores import forest_gallery
from imblab.errors import StudyError

#: Bytes of a card: a notebook stores one with every run of its cell.
MAX_CARD_BYTES = 60_000
#: Where a Python user finds all contrasts.
_CONTRASTS = "in result.contrasts"
#: Part of a note that is about the choices of a report, which a notebook lacks.
_PICKING = re.compile(r" or a name, or pick at most \d+ strategies,")
#: Width of a figure, in units of its drawing, from which it takes a line of its own.
_WIDE = 500
#: How the pages say that they are light or dark whose theme need not be that of the system: JupyterLab, VS Code, Colab.
_LIGHT_PAGES = ('[data-jp-theme-light="true"]', ".vscode-light", "[theme=light]")
_DARK_PAGES = ('[data-jp-theme-light="false"]', ".vscode-dark", "[theme=dark]")
_LAYOUT = (
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


def render_card(data: ReportData, steps: Sequence[tuple[str, str]] = ()) -> str:
    """Return the answer of a study as HTML for a notebook.

    Parameters
    ----------
    data : ReportData
        Evidence is not needed.
    steps : sequence of (str, str)
        What a reader may do next, in words and as code.

    Returns
    -------
    str
        At most :data:`MAX_CARD_BYTES` in UTF-8; the figure is left out if it would take more.
    """
    is_complete = data.result.completeness.is_complete
    gallery = next(iter(forest_gallery(data, _CONTRASTS)), None) if is_complete else None
    lead = data.result.completeness.sentences()
    values = {**answer_parts(data), "steps": steps, "lead": () if is_complete else lead}
    title = f"Answer of study {data.study.name}"
    card = _fill(title, data.looks, {}, gallery, **values)
    if gallery is None or len(card.encode()) <= MAX_CARD_BYTES:
        return card
    return _fill(title, data.looks, {}, None, **values)


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Figures of one kind: shown by a notebook, saved as SVG or HTML.

    Attributes
    ----------
    gallery : Gallery
        The figures with their heading and note.
    looks : mapping of str to Look
        How every strategy of the study is drawn.
    labels : mapping of str to str
        What every strategy is called.
    """

    gallery: Gallery
    looks: Mapping[str, Look]
    labels: Mapping[str, str]

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
        return _fill(self.gallery.heading, self.looks, self.labels, self.gallery)

    def __repr__(self) -> str:
        names = ", ".join(self.names)
        return f"{self.gallery.heading}: {names}. In a notebook it is drawn; .save('figure.svg') writes it."

    def _page(self) -> str:
        title = escape(self.gallery.heading)
        head = f'<meta charset="utf-8"><title>{title}</title>'
        return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{self._repr_html_()}</body></html>\n'


def _fill(
    title: str, looks: Mapping[str, Look], labels: Mapping[str, str], gallery: Gallery | None, **values: object
) -> str:
    """Fill in the template with the figures of a gallery; a legend names the drawn strategies that have a label."""
    figures = [panel.figure for panel in gallery.panels] if gallery else []
    drawn = gallery.drawn if gallery and gallery.legend and labels else []
    return "".join(
        fill_template(
            "card.html.j2",
            title=title,
            style=Markup(_style()),
            heading=gallery.heading if gallery else "",
            note=_PICKING.sub("", gallery.note) if gallery else "",
            legend=[(legend_svg(looks[name]), labels[name]) for name in drawn],
            figures=[Markup(figure.inline()) for figure in figures],
            wide=any(figure.width > _WIDE for figure in figures),
            **values,
        )
    )


def _style() -> str:
    """Return the style sheet: the theme of the page counts, and that of the system where it has none."""
    light, dark = css_variables(dark=False), css_variables(dark=True)
    themes = (
        f".imblab{{color-scheme:light;{light}}}"
        f"@media (prefers-color-scheme:dark){{.imblab{{color-scheme:dark;{dark}}}}}"
        f":is({','.join(_LIGHT_PAGES)}) .imblab{{color-scheme:light;{light}}}"
        f":is({','.join(_DARK_PAGES)}) .imblab{{color-scheme:dark;{dark}}}"
    )
    return themes + _LAYOUT + STYLE.replace("svg.f", ".imblab svg.f")
