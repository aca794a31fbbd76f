"""The record of a study, wherever it is: a folder of this project, a path, or the artifacts of an MLflow run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imblab.edges import config, datasets, files, ledger, mlflow
from imblab.edges.config.overrides import parse_overrides
from imblab.edges.files import locks
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError, DataError, StudyError, presentable, unknown
from imblab.result import Evaluation
from imblab.study import COORDINATES, Cell, Study
from imblab.text import to_shell

#: The id of an MLflow run.
RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, eq=False)
class StudyRecord:
    """The files of a study, read: its question, its evaluations, and where they are."""

    source: str  # as people read it: the folder, or the MLflow run and its store
    home: Path  # the folder with the files of the record
    request: config.Request  # the question, and how it is run now
    study: Study  # the question with the tables where they are now
    evaluations: tuple[Evaluation, ...]  # all that the ledger has
    #: coordinates of the evaluations that an MLflow run stands for; empty for the complete study
    place: Mapping[str, str] = field(default_factory=dict)

    def covers(self, cell: Cell) -> bool:
        """Return whether a cell is one of those that the record stands for."""
        split = cell.split
        names = (cell.dataset, cell.learner.name, cell.strategy.name, str(split.repeat), str(split.fold))
        coordinates = dict(zip(COORDINATES, names, strict=True))
        return all(coordinates[name] == value for name, value in self.place.items())


@contextmanager
def open_record(text: str, overrides: Sequence[str], tables: Mapping[str, str | Path]) -> Iterator[StudyRecord]:
    """Find and read a record.

    Parameters
    ----------
    text : str
        The name of a study, its folder, its ``study.yaml`` or ``ledger.jsonl``, or the id of an MLflow run.
    overrides : sequence of str
        As :func:`imblab.edges.config.load_request` takes them; ``tracking.uri`` is the store of a run.
    tables : mapping of str to path
        Where the file of a data set is now, by its name.

    Raises
    ------
    ConfigError, DataError, StudyError
        If there is no such record, it cannot be read, or the file of a table is not at hand.
    """
    if RUN_ID.fullmatch(text) and not (EXPERIMENTS / text).exists():
        typed = [o.value() for o in parse_overrides(overrides) if o.key_or_group == "tracking.uri"]
        address = str(typed[-1] if typed else mlflow.DEFAULT_URI)
        with locks.scratch_folder("record") as folder:
            place = mlflow.fetch_record(address, text, folder)
            yield _read_record(f"run {text} of {presentable(address)}", folder, overrides, tables, place)
        return
    home = find_home(text)
    yield _read_record(str(home), home, overrides, tables, {})


def parse_tables(words: Sequence[str]) -> dict[str, str]:
    """Parse ``NAME=PATH`` words."""
    pairs = {word: word.partition("=") for word in words}
    for word, (name, _, path) in pairs.items():
        if not name or not path:
            raise ConfigError(
                f"'--table {word}' is not a name and a path; it says where the file of a data set is now. Write for "
                "example --table churn=data/churn.csv."
            )
    return {name: path for name, _, path in pairs.values()}


def find_home(text: str) -> Path:
    """Return the folder of a study by its name or by a path into it."""
    path = Path(text)
    if path.name in (ledger.STUDY_FILE, ledger.LEDGER_FILE):
        path = path.parent
    elif "/" not in text or not path.is_dir():
        return ledger.find_study(text, EXPERIMENTS)
    for name, rule in (
        (ledger.STUDY_FILE, "it is the question of the study"),
        (ledger.LEDGER_FILE, "it holds the evaluations that are compared"),
    ):
        if not files.exists(path, name):
            raise StudyError(
                f"the record {text!r} has no {name!r} in {str(path)!r}; {rule}. Name a folder that imblab run has "
                "written, with both files."
            )
    return path


def _read_record(
    source: str, home: Path, overrides: Sequence[str], tables: Mapping[str, str | Path], place: Mapping[str, str]
) -> StudyRecord:
    request = config.load_request(home / ledger.STUDY_FILE, overrides)
    evaluations = ledger.read_evaluations(home)
    if not evaluations:
        raise StudyError(
            f"study {request.study.name!r} has no evaluation in {str(home)!r}; this command reads those that "
            f"were made. Run it first: {to_shell(['imblab', 'run', str(home / ledger.STUDY_FILE)])}."
        )
    study = _with_tables(request.study, tables)
    _check_files(study, {row.dataset: row.data_fingerprint for row in evaluations})
    return StudyRecord(source, home, request, study, tuple(evaluations), place)


def _with_tables(study: Study, tables: Mapping[str, str | Path]) -> Study:
    """Read some data sets from other files; their names stay."""
    keys = {datasets.name_and_parent(spec, key)[0]: key for key, spec in study.datasets.items()}
    specs: dict[str, Mapping[str, Any]] = dict(study.datasets)
    for name, path in tables.items():
        if name not in keys:
            raise ConfigError(unknown("data set", name, keys, f"in '--table {name}={path}'"))
        spec = specs[keys[name]]
        if spec.get("kind", "table") != "table":
            raise ConfigError(
                f"'--table {name}={path}' names a file, and data set {name!r} is of kind {spec['kind']!r}; only a "
                "table that was read from a file is read from another one. Leave it out."
            )
        parent = datasets.name_and_parent(spec, keys[name])[1]
        specs[keys[name]] = {**spec, "path": str(path), "name": name, "parent": parent}
    return replace(study, datasets=specs)


def _check_files(study: Study, fingerprints: Mapping[str, str]) -> None:
    """Refuse a study whose files are not at hand; the error names all of them."""
    problems = []
    for key, spec in study.datasets.items():
        if spec.get("kind", "table") != "table" or not spec.get("path"):
            continue
        if not Path(str(spec["path"])).expanduser().is_file():
            name = datasets.name_and_parent(spec, key)[0]
            content = f" (content {fingerprints[name][:12]!r})" if name in fingerprints else ""
            problems.append(
                f"the table of data set {name!r} is not at hand: {str(spec['path'])!r} is not a file; evaluations are "
                f"made again on the rows that they rest on{content}. Put it there, or say where it is: "
                f"{to_shell(['--table', f'{name}=PATH'])}."
            )
    if problems:
        raise DataError(*problems)
