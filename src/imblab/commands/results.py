"""``imblab compare``, and the result of a study as commands need it: built once, printed as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from imblab.analysis import rebalancing
from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.results import build_result
from imblab.commands import derived_files
from imblab.edges import config, datasets, ledger, terminal
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError
from imblab.overrides import granting
from imblab.result import Completeness, Evaluation, StudyResult
from imblab.study import Study
from imblab.text import count_noun


def result_of(study: Study, evaluations: Iterable[Evaluation], completeness: Completeness | None = None) -> StudyResult:
    """Build the result of a study; see :func:`imblab.analysis.results.build_result`."""
    parents = dict(datasets.name_and_parent(spec, key) for key, spec in study.datasets.items())
    return build_result(by_dataset_name(study), evaluations, parents, completeness)


def read_result(home: Path, study: Study) -> StudyResult:
    """Build the result of everything that the folder of a study holds."""
    return result_of(study, ledger.read_evaluations(home))


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


def command_compare(name: str, args: Sequence[str], as_json: bool) -> int:
    """``imblab compare``: the tables and the verdicts of a study."""
    home = ledger.find_study(name, EXPERIMENTS)
    # First: the memory that evidence takes is free again.
    damages = derived_files.damage(home)
    request = config.load_request(home / ledger.STUDY_FILE, args, loads_data=False)
    for message in damages:
        derived_files.say(message)
    result = read_result(home, request.study)
    print_result(result, next_steps(result, home, request.allow), as_json)
    return 0


def print_result(result: StudyResult, steps: Sequence[str], as_json: bool) -> None:
    """Print a result for people with the next steps, or for machines."""
    terminal.put(json.dumps(result_to_json(result))) if as_json else terminal.show(as_text(result, steps))


def next_steps(result: StudyResult, home: Path, allow: Sequence[str]) -> list[str]:
    """Commands that a reader may want next, with what a recorded study must be granted each time."""
    name = home.relative_to(EXPERIMENTS).as_posix()
    grants = _required_grants(home, allow)
    run = (
        ["rescore", name.split("/")[0], "...", "refit=true"] if "/" in name else ["run", str(home / ledger.STUDY_FILE)]
    )
    n_failed = 0 if "/" in name else sum(e.status == "failed" for e in result.evaluations)
    failed = count_noun(n_failed, "failed evaluation")
    compare = granting(["compare", name], [grant for grant in grants if "=" not in grant])  # it loads no data
    return [
        *([] if result.completeness.is_complete else [f"Continue: {granting(run, grants)}"]),
        *([f"Try the {failed} again: {granting([*run, ledger.RETRY], grants)}"] if n_failed else []),
        f"See this again: {compare}",
        f"Evaluations: {home / ledger.LEDGER_FILE}; the question: {home / ledger.STUDY_FILE}",
        "Change the question: imblab run experiment=... strategy.smote.space.k=... (see README.md)",
    ]


def _required_grants(home: Path, allow: Sequence[str]) -> tuple[str, ...]:
    """Overrides that a recorded study needs on the command line each time; ``allow`` is what was granted now."""
    question = ledger.read_study(home)
    try:
        config.check_sources(question, {})
        if allow:
            config.parse_study(question, (), sources={})
    except ConfigError as error:
        return error.grants
    return ()


def result_to_json(result: StudyResult) -> dict[str, Any]:
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
