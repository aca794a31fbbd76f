"""The report of a study: one page, its figures and tables, from what the study's folder holds."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from imblab.edges import files
from imblab.edges.report import curves, findings, knobs, record, risks
from imblab.edges.report.across import across
from imblab.edges.report.model import Gallery, Section, Source, Table
from imblab.edges.report.page import page
from imblab.edges.report.tabular import as_csv, as_latex

__all__ = ["Source", "outdate", "render", "sections", "write"]

FILE = "report.html"
#: Where a page begins to tell, and how a notice begins that it tells of an earlier state.
START, OUTDATED = (
    b"<main>",
    b'<p class="outdated" role="status" style="border:2px solid;padding:.5rem;font-weight:bold">',
)
#: Folders beside the page, and what they hold.
FIGURES, TABLES = "figures", "tables"


def sections(source: Source) -> list[Section]:
    """The parts of a report, the verdict first.

    Parameters
    ----------
    source : Source

    Returns
    -------
    list of Section
    """
    folds = curves.by_arm(source.evidence)
    return [
        findings.verdict(source),
        findings.data_sheet(source),
        findings.methods_section(source),
        findings.scores(source),
        findings.differences(source),
        across(source),
        curves.ranking(source, folds),
        curves.thresholds(source, folds),
        knobs.response(source),
        risks.calibration(source),
        risks.balance(source),
        knobs.optimism(source),
        knobs.stability(source),
        record.failures(source),
        record.audit(source),
        record.cost(source),
        record.origin(source),
    ]


def render(source: Source) -> dict[str, str]:
    """Every file of a report by its path in the study's folder.

    Parameters
    ----------
    source : Source

    Returns
    -------
    dict of str to str
        ``report.html``, ``figures/*.svg``, ``tables/*.csv`` and ``tables/*.tex``; the same source gives the same bytes.
    """
    parts = sections(source)
    return {FILE: page(source, parts), **dict(_beside(source, parts))}


def write(folder: Path, rendered: dict[str, str]) -> None:
    """Write the files of a report; figures and tables of an earlier one go once the new page stands.

    Parameters
    ----------
    folder : Path
    rendered : dict of str to str
    """
    files.refuse_special_files(folder, (FIGURES, TABLES))
    for name in (FIGURES, TABLES):
        files.make_folder(folder, name)
        files.remove_stale_files(folder, name)
    # The page is the last to change its place: it names the files beside it.
    names = sorted(rendered, key=lambda name: name == FILE)
    files.replace_all(folder, {name: rendered[name].encode() for name in names})
    for name in (FIGURES, TABLES):
        for old in files.file_names(folder, name):
            if old not in rendered and old.endswith((".svg", ".csv", ".tex")):
                files.remove(folder, old)


def outdate(folder: Path, said: str) -> None:
    """Say at the top of a page that is there that it tells of an earlier state; nothing where there is none.

    Parameters
    ----------
    folder : Path
        Of the study.
    said : str
        A sentence.
    """
    if not files.exists(folder, FILE):
        return
    page = files.read_bytes(folder, FILE)
    if OUTDATED not in page and START in page:
        notice = OUTDATED + escape(said).encode() + b"</p>"
        files.replace(folder, FILE, page.replace(START, START + notice, 1))


def _beside(source: Source, parts: list[Section]) -> Iterator[tuple[str, str]]:
    for section in parts:
        for block in section.blocks:
            if isinstance(block, Table):
                yield f"{TABLES}/{block.name}.csv", as_csv(block)
                yield f"{TABLES}/{block.name}.tex", as_latex(block)
            elif isinstance(block, Gallery):
                for panel in block.panels:
                    yield f"{FIGURES}/{panel.figure.name}.svg", panel.figure.standalone(source.strategies)
