"""What the rows of a study allow one to say: tables, verdicts, sentences, for the terminal or for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from imblab.analysis import compare, many, table, wording
from imblab.analysis.many import Across
from imblab.edges import datasets, terminal
from imblab.records import Evaluation, Study


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Everything that is said of a study.

    Attributes
    ----------
    study : Study
    summary, contrasts : DataFrame
        See :func:`imblab.analysis.compare.summarise` and :func:`imblab.analysis.compare.contrasts`.
    sentences : tuple of str
    across : tuple of Across
        One a learner; empty for fewer than two sources.
    """

    study: Study
    summary: pd.DataFrame
    contrasts: pd.DataFrame
    sentences: tuple[str, ...]
    across: tuple[Across, ...]


def judge(study: Study, rows: Iterable[Evaluation], sources: many.Sources | None = None) -> Verdicts:
    """Judge the rows of a study by what it claims.

    Parameters
    ----------
    study : Study
        With ``claims.registered``, what was not claimed before the first row is exploratory.
    rows : iterable of Evaluation
    sources : mapping of str to str, optional
        The parent table of every data set; by default what the configuration of the study says.

    Returns
    -------
    Verdicts
    """
    frame = table.tidy(rows)
    known = {name: source for name, source, _ in _named(study)}
    timed = {name for name, _, by_time in _named(study) if by_time}
    found = compare.contrasts(frame, study, timed)
    across = tuple(many.across(frame, study, known if sources is None else sources))
    said = (*compare.sentences(found, study), *map(wording.over_sources, across))
    return Verdicts(study, compare.summarise(frame, study, timed), found, said, across)


def on_record(study: Study, kept: Study) -> Study:
    """A question as the folder of its rows knows it: judged by what was claimed before the first of them.

    Parameters
    ----------
    study, kept : Study
        The question asked now, and the one in the folder.

    Returns
    -------
    Study
    """
    return replace(study, claims=replace(study.claims, registered=kept.claims.registered))


def text(found: Verdicts, steps: Sequence[str] = (), width: int | None = None) -> str:
    """The page for the terminal."""
    return terminal.comparison(
        found.summary, found.contrasts, found.sentences, found.study, steps, width, across=found.across
    )


def plain(found: Verdicts) -> dict[str, Any]:
    """The same as plain data: NaN becomes null."""
    return {
        "study": found.study.name,
        "primary": found.study.primary,
        "summary": _records(found.summary),
        "contrasts": _records(found.contrasts),
        "sentences": list(found.sentences),
        "across": [_across(each) for each in found.across],
    }


def _across(found: Across) -> dict[str, Any]:
    tested = None if found.friedman is None else _records(pd.DataFrame([asdict(found.friedman)]))[0]
    return {
        "learner": found.learner,
        "measure": found.measure,
        "sources": list(found.sources),
        "rank_table": _records(found.rank_table),
        "friedman": tested,
        "cliques": [list(clique) for clique in found.cliques],
        "contrasts": _records(found.contrasts),
        "notes": list(found.notes),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return found


def _named(study: Study) -> list[tuple[str, str, bool]]:
    """Name, source and whether rows follow the time, of every data set that the configuration describes."""
    return [(*datasets.called(spec, key), bool(spec.get("time"))) for key, spec in study.datasets.items()]
