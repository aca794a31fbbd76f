"""The result of a study as commands need it: built under the names of its data sets, and written as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from imblab.analysis import rebalancing
from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.completeness import completeness_of
from imblab.analysis.results import build_result
from imblab.edges import datasets, terminal
from imblab.result import Completeness, Evaluation, StudyResult
from imblab.study import Study


def result_of(study: Study, evaluations: Iterable[Evaluation], completeness: Completeness | None = None) -> StudyResult:
    """Build the result of a study; see :func:`imblab.analysis.results.build_result`."""
    parents = dict(datasets.name_and_parent(spec, key) for key, spec in study.datasets.items())
    return build_result(by_dataset_name(study), evaluations, parents, completeness)


def design_completeness(study: Study, evaluations: Iterable[Evaluation]) -> Completeness:
    """Count how much of the design of a study is evaluated."""
    evaluations = list(evaluations)
    names = list(by_dataset_name(study).datasets) or list(dict.fromkeys(e.dataset for e in evaluations))
    return completeness_of(study, names, evaluations)


def by_dataset_name(study: Study) -> Study:
    """The study with its data sets under the names that its evaluations have, in place of its keys."""
    return replace(
        study, datasets={datasets.name_and_parent(spec, key)[0]: spec for key, spec in study.datasets.items()}
    )


def with_record(study: Study, recorded: Study) -> Study:
    """The study with what its folder recorded as claimed before the first evaluation."""
    return replace(study, claims=replace(study.claims, registered=recorded.claims.registered))


def as_text(result: StudyResult, steps: Sequence[str] = (), width: int | None = None) -> str:
    """The page for the terminal."""
    completeness = result.completeness
    verdicts = (*result.sentences, *completeness.without_scores()) if completeness.is_complete else ()
    return terminal.comparison_text(
        result.summary,
        result.contrasts,
        verdicts,
        result.study,
        steps,
        width,
        across=result.across,
        lead=completeness.sentences(),
    )


def as_json(result: StudyResult) -> dict[str, Any]:
    """The result as plain data; NaN becomes null."""
    return {
        "study": result.study.name,
        "primary": result.study.primary,
        "completeness": result.completeness.to_mapping(),
        "rebalancing": rebalancing.notes(result.study),
        "summary": records(result.summary),
        "contrasts": records(result.contrasts),
        "sentences": list(result.sentences),
        "across": [_across_as_json(each) for each in result.across],
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain data."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def _across_as_json(across: AcrossDatasets) -> dict[str, Any]:
    return {
        "learner": across.learner,
        "measure": across.measure,
        "parents": list(across.parents),
        "rank_table": records(across.rank_table),
        "friedman": None if across.friedman is None else records(pd.DataFrame([asdict(across.friedman)]))[0],
        "cliques": [list(clique) for clique in across.cliques],
        "contrasts": records(across.contrasts),
        "notes": list(across.notes),
    }
