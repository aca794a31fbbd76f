"""The report of a study: one page, its figures and tables, from what the study's folder holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from imblab.edges import files
from imblab.edges.report.calibration import balance_section, calibration_section
from imblab.edges.report.classes import classes_section
from imblab.edges.report.curves import (
    counted_measures,
    operating_section,
    precision_recall_gallery,
    ranking_section,
    threshold_gallery,
)
from imblab.edges.report.data import EvidenceIndex, ReportData
from imblab.edges.report.elements import ReportSection, Table, as_csv, as_latex
from imblab.edges.report.page import Drawing, render_card, render_page
from imblab.edges.report.record import cost_section, failures_section, leakage_section, reproduction_section
from imblab.edges.report.scores import (
    data_section,
    folds_section,
    forest_gallery,
    methods_section,
    ratio_section,
    scores_section,
)
from imblab.edges.report.tuning import optimism_section, response_section, stability_section
from imblab.edges.report.verdicts import differences_section, ranks_section, verdict_section

__all__ = [
    "PAGE_FILE",
    "Drawing",
    "EvidenceIndex",
    "ReportData",
    "build_sections",
    "counted_measures",
    "forest_gallery",
    "mark_outdated",
    "precision_recall_gallery",
    "ratio_section",
    "render",
    "render_card",
    "render_files",
    "threshold_gallery",
    "write_files",
]

PAGE_FILE = "report.html"
#: The parts of a report, in their order.
SECTIONS = (
    *(verdict_section, scores_section, classes_section, ratio_section, operating_section, differences_section),
    ranks_section,
    *(folds_section, ranking_section, calibration_section, balance_section, response_section),
    *(optimism_section, stability_section, methods_section, data_section, failures_section, leakage_section),
    *(cost_section, reproduction_section),
)
#: Where the text of a page begins, and how a notice begins that the page is outdated.
_START = b"<main>"
_NOTICE = b'<p class="outdated" role="status" style="border:2px solid;padding:.5rem;font-weight:bold">'
#: Folders next to the page.
FIGURES, TABLES = "figures", "tables"


def build_sections(data: ReportData) -> list[ReportSection]:
    """Return the parts of a report, the verdict first."""
    return [part for part in (section(data) for section in SECTIONS) if part is not None]


def render_files(data: ReportData) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield figures, tables and, since it names them, the page last, in parts; the same data gives the same bytes."""
    sections = build_sections(data)
    data = replace(data, evidence=None)  # its memory is free for the page
    for name, text in _other_files(data, sections):
        yield name, [text.encode()]
    yield PAGE_FILE, render_page(data, sections)


def render(data: ReportData) -> dict[str, str]:
    """Return the texts of :func:`render_files` by path."""
    return {name: b"".join(parts).decode() for name, parts in render_files(data)}


def write_files(folder: Path, rendered: Iterable[tuple[str, Iterable[bytes]]]) -> None:
    """Write the files of a report; figures and tables of an earlier one are removed once the new page is written."""
    files.refuse_special_files(folder, (FIGURES, TABLES))
    for name in (FIGURES, TABLES):
        files.make_folder(folder, name)
        files.remove_stale_files(folder, name)
    written = files.replace_all(folder, rendered)
    for name in (FIGURES, TABLES):
        for old in files.file_names(folder, name):
            if old not in written and old.endswith((".svg", ".csv", ".tex")):
                files.remove(folder, old)


def mark_outdated(folder: Path, sentence: str) -> None:
    """Put a sentence at the top of the page in a study's folder, if there is a page without one."""
    if not files.exists(folder, PAGE_FILE):
        return
    page = files.read_bytes(folder, PAGE_FILE)
    if _NOTICE not in page and _START in page:
        notice = _NOTICE + escape(sentence).encode() + b"</p>"
        files.replace(folder, PAGE_FILE, page.replace(_START, _START + notice, 1))


def _other_files(data: ReportData, sections: Sequence[ReportSection]) -> Iterator[tuple[str, str]]:
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Table):
            yield f"{TABLES}/{block.name}.csv", as_csv(block)
            yield f"{TABLES}/{block.name}.tex", as_latex(block)
        else:
            for panel in block.panels:
                yield f"{FIGURES}/{panel.figure.name}.svg", panel.figure.standalone(data.looks)
