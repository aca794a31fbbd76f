"""The report of a study: one page, its figures and tables, from what the study's folder holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imblab.edges.report import curves, findings, knobs, record, risks
from imblab.edges.report.across import across
from imblab.edges.report.files import as_csv, as_latex
from imblab.edges.report.model import Gallery, Section, Source, Table
from imblab.edges.report.page import page

__all__ = ["Source", "render", "sections", "write"]

FILE = "report.html"
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
    """Write the files of a report, each in one step; figures and tables of an earlier one go.

    Parameters
    ----------
    folder : Path
    rendered : dict of str to str
    """
    for name in (FIGURES, TABLES):
        (folder / name).mkdir(exist_ok=True)
        for old in (folder / name).iterdir():
            if f"{name}/{old.name}" not in rendered and old.suffix in (".svg", ".csv", ".tex"):
                old.unlink()
    for name, text in rendered.items():
        fresh = (folder / name).with_name(f".{Path(name).name}.new")
        fresh.write_text(text, encoding="utf-8", newline="\n")
        fresh.replace(folder / name)


def _beside(source: Source, parts: list[Section]) -> Iterator[tuple[str, str]]:
    for section in parts:
        for block in section.blocks:
            if isinstance(block, Table):
                yield f"{TABLES}/{block.name}.csv", as_csv(block)
                yield f"{TABLES}/{block.name}.tex", as_latex(block)
            elif isinstance(block, Gallery):
                for panel in block.panels:
                    yield f"{FIGURES}/{panel.figure.name}.svg", panel.figure.alone(source.strategies)
