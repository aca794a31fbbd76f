"""What the rows of a study allow one to say: tables, verdicts, sentences, for the terminal or for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from imblab.analysis import across_datasets, compare, rebalancing, table, wording
from imblab.analysis.across_datasets import Across
from imblab.analysis.completeness import completeness_of, within
from imblab.edges import datasets, terminal
from imblab.result import Completeness, Evaluation
from imblab.study import Study


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Everything that is said of a study.

    Attributes
    ----------
    study : Study
    summary, contrasts : DataFrame
        See :func:`imblab.analysis.compare.summarise` and :func:`imblab.analysis.compare.contrasts`.
    sentences : tuple of str
        What the evidence allows one to say; before the design is complete, what is missing.
    across : tuple of Across
        One a learner; empty for fewer than two sources, and before the design is complete.
    completeness : Completeness
        How much of the design is evaluated.
    """

    study: Study
    summary: pd.DataFrame
    contrasts: pd.DataFrame
    sentences: tuple[str, ...]
    across: tuple[Across, ...]
    completeness: Completeness


def judge(
    study: Study,
    rows: Iterable[Evaluation],
    sources: across_datasets.Sources | None = None,
    completeness: Completeness | None = None,
) -> Verdicts:
    """Judge the rows of a study by what it claims; there is no verdict before its design is complete.

    Parameters
    ----------
    study : Study
        With ``claims.registered``, what was not claimed before the first row is exploratory.
    rows : iterable of Evaluation
    sources : mapping of str to str, optional
        The parent table of every data set; by default what the configuration of the study says.
    completeness : Completeness, optional
        Of the whole study, where ``study`` and ``rows`` are a part of it; by default theirs.

    Returns
    -------
    Verdicts
    """
    rows = list(rows)
    known = {name: source for name, source, _ in _named(study)}
    timed = {name for name, _, by_time in _named(study) if by_time}
    whole = completeness or measured(study, rows)
    frame = table.tidy(within(study, data_sets(study, rows), rows))
    found = compare.contrasts(frame, study, timed, incomplete=whole.reason)
    across = (
        tuple(across_datasets.across(frame, study, known if sources is None else sources)) if whole.is_complete else ()
    )
    verdict = (
        (*wording.describe_contrasts(found, study), *(wording.describe_across(each, study) for each in across))
        if whole.is_complete
        else ()
    )
    said = verdict or whole.sentences()
    return Verdicts(study, compare.summarise(frame, study, timed), found, said, across, whole)


def measured(study: Study, rows: Iterable[Evaluation]) -> Completeness:
    """How much of the design of a study is evaluated.

    Parameters
    ----------
    study : Study
        As its folder has it.
    rows : iterable of Evaluation

    Returns
    -------
    Completeness
    """
    rows = list(rows)
    return completeness_of(study, data_sets(study, rows), rows)


def data_sets(study: Study, rows: Iterable[Evaluation]) -> list[str]:
    """The names of the data sets of a design, as rows have them; of the rows where the question describes none.

    A study that was made in Python before tables in memory were part of ``study.yaml`` describes none.
    """
    return [name for name, _, _ in _named(study)] or list(dict.fromkeys(row.dataset for row in rows))


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
    whole = found.completeness
    lead, said = whole.sentences(), (*found.sentences, *whole.without_scores()) if whole.is_complete else ()
    return terminal.comparison_text(
        found.summary, found.contrasts, said, found.study, steps, width, across=found.across, lead=lead
    )


def plain(found: Verdicts) -> dict[str, Any]:
    """The same as plain data: NaN becomes null."""
    return {
        "study": found.study.name,
        "primary": found.study.primary,
        "completeness": found.completeness.to_mapping(),
        "rebalancing": rebalancing.notes(found.study),
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
    return [(*datasets.name_and_parent(spec, key), bool(spec.get("time"))) for key, spec in study.datasets.items()]
