"""Rescoring: another question on the fits of a study, answered from the prediction store.

The same kernel with a ``predict`` that looks up and never fits. Where the change moves winners, the refits that are
missing are listed, and made only when asked for. Whoever asks now has seen the rows: the answer is exploratory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from imblab.analysis import rescored, table
from imblab.commands import reporting, results, running
from imblab.commands.evidence_builder import build_evidence
from imblab.commands.layout import EXPERIMENTS, Layout, lay_out
from imblab.core import replay
from imblab.core.evaluate import evaluate_cell
from imblab.edges import config, files, ledger, runner, store, terminal
from imblab.errors import StudyError
from imblab.result import Evaluation
from imblab.study import Study

Get = Callable[[str], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Rescored:
    """What rescoring found.

    Attributes
    ----------
    study : Study
        The changed question.
    folder : Path
        Holds it, its rows and its evidence.
    changed : tuple of str
        What differs from the study, as ``key: old -> new``.
    table : DataFrame
        One row a cell that is answered.
    missing : mapping of str to str
        Cells that need a fit nobody made, with its knobs.
    """

    study: Study
    folder: Path
    changed: tuple[str, ...]
    table: pd.DataFrame
    missing: Mapping[str, str]


def rescore(name: str, *overrides: str, config_dirs: Sequence[Path] = (), n_jobs: int = 1) -> Rescored:
    """Answer another question on the fits of a study.

    Parameters
    ----------
    name : str
        A folder below ``experiments``.
    *overrides : str
        Such as ``"primary=pr_auc"``, ``"protocol.thresholds=observed"``, ``"costs={fn: 20, fp: 1}"``; ``"label=..."``
        names the folder, ``"refit=true"`` makes the fits that are missing.
    config_dirs : sequence of Path, default=()
    n_jobs : int, default=1
        For refits.

    Returns
    -------
    Rescored

    Raises
    ------
    ConfigError
        If a change would need other fits than refits of winners.
    StudyError
        If there is no such study, its data have changed, or the label names another question.
    """
    home = ledger.find_study(name, EXPERIMENTS)
    mapping = ledger.read_study(home)
    asked = config.change_study(mapping, overrides, config_dirs)
    layout, known = lay_out(asked.study), ledger.read_evaluations(home)
    _check(layout, known, name)
    ledger.check_code(known, name)
    folder = home / ledger.RESCORED / asked.label
    question = config.to_mapping(asked.study)
    _check_label(folder, question, asked.label)
    with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as kept:
        rows, missing = _answer(layout, folder, question, kept.get, known)
    if missing and asked.refit:
        running.run(asked.study, n_jobs, folder)
        rows, missing = ledger.read_evaluations(folder), {}
    return Rescored(asked.study, folder, tuple(_said(mapping, question)), table.tidy(rows), missing)


def command_rescore(name: str, args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab rescore``: another question on the fits that are there."""
    begin = time.perf_counter()
    found = rescore(name, *args, config_dirs=config_dirs, n_jobs=runner.available_cores())
    study, before = found.study, table.tidy(ledger.read_evaluations(EXPERIMENTS / name))
    moved = rescored.moves(before, found.table, study.primary)
    added = rescored.added(before, found.table, [m.name for m in study.measures])
    seconds = time.perf_counter() - begin
    page = reporting.write_report(found.folder, study, "asked after the rows were seen") if len(found.table) else None
    whole = results.design_completeness(study, ledger.read_evaluations(found.folder))
    facts = {
        **{"completeness": whole.to_mapping(), "lead": list(whole.sentences())},
        **{"study": name, "label": found.folder.name, "primary": study.primary, "exploratory": True},
        **{"changed": list(found.changed), "answered": len(found.table), "missing": dict(found.missing)},
        **{"seconds": seconds, "moves": _records(moved), "added": _records(added), "report": page and str(page)},
    }
    terminal.put(json.dumps(facts)) if as_json else terminal.show(terminal.rescored_text(facts))
    return 0


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return found


def _said(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two questions, measures by name."""
    left_out = [name for name in old["measures"] if name not in new["measures"]]
    if left_out:
        yield f"measures left out: {', '.join(left_out)}"
    for name, measure in new["measures"].items():
        given = json.dumps(measure["parameters"]) if measure["parameters"] else ""
        if name not in old["measures"]:
            yield f"measure added: {name} {given}".rstrip()
        elif measure != old["measures"][name]:
            yield f"measure changed: {name} {given}".rstrip()
    unsaid = ("name:", "measures.", "claims.registered")
    yield from (line for line in ledger.question_differences(old, new) if not line.startswith(unsaid))


def _check(layout: Layout, rows: Sequence[Evaluation], name: str) -> None:
    """Refuse tables that are not those of the rows: nothing of them is in the store."""
    for row in rows:
        data = layout.datasets.get(row.dataset)
        if data is not None and data.fingerprint != row.data_fingerprint:
            raise StudyError(
                f"data set {row.dataset!r} has changed since study {name!r} was run ({row.data_fingerprint[:12]} then, "
                f"{data.fingerprint[:12]} now); its predictions belong to the rows of then. Restore the data, or run "
                "the study anew under another name."
            )


def _check_label(folder: Path, question: Mapping[str, Any], label: str) -> None:
    if not files.exists(folder, ledger.STUDY_FILE):
        return
    changed = list(_said(ledger.read_study(folder), json.loads(json.dumps(question))))
    if changed:
        raise StudyError(
            f"label {label!r} holds the answer to another question ({'; '.join(changed[:3])}); one label is one "
            f"question. Choose another label=..., or delete {str(folder)!r}."
        )


def _answer(
    layout: Layout, folder: Path, question: Mapping[str, Any], get: Get, known: Sequence[Evaluation]
) -> tuple[list[Evaluation], dict[str, str]]:
    """The rows that the store can answer, kept in the folder, and what the others lack."""
    missing: dict[str, str] = {}
    with ledger.open_study(folder, question, expected=layout.expected(retry_failed=True)) as book:
        done = {
            row.key for row in book.evaluations if row.status != "failed"
        }  # failures are those of the study, as it is now
        for row in _rows(layout, done, get, {row.key: row for row in known}, missing):
            book.append(row)
        order = {cell.key: i for i, cell in enumerate(layout.cells)}
        rows = sorted(book.evaluations, key=lambda row: order[row.key])
    build_evidence(layout, rows, folder, get)
    return rows, missing


def _rows(
    layout: Layout, done: set[str], get: Get, known: Mapping[str, Evaluation], missing: dict[str, str]
) -> Iterator[Evaluation]:
    failures: dict[str, str] = {}
    predict = replay.lookup_only(get, failures)
    for name, data in layout.datasets.items():
        cells = [cell for cell in layout.cells if cell.dataset == name and cell.key not in done]
        for task in replay.replay_tasks(layout.study, data, layout.plans[name], cells, predict):
            if task.cell.key in known:
                failures |= replay.recorded_failures(task, known[task.cell.key])
            try:
                row = evaluate_cell(task)
            except replay.MissingPrediction as lack:
                atom = lack.request
                knobs = {**atom.knobs, **({} if atom.weight is None else {"weight": atom.weight})}
                missing[task.cell.key] = ", ".join(f"{k}={v}" for k, v in knobs.items()) or "no knobs"
                continue
            yield row
