"""``imblab reproduce``: run evaluations of a study again from its record, in a fresh folder, and compare.

First the record itself is checked, which takes no fit: every line against the address that its study, table, split and
code give now, scores against their confusion counts, and the lines against the design. Then evaluations are run again
without the prediction store, and compared bit for bit; within a tolerance where versions or the processor differ.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from imblab.analysis import reproduction
from imblab.analysis.reproduction import Difference, evaluation_differences
from imblab.commands import results, running
from imblab.commands.layout import Layout, lay_out, requested_engine
from imblab.commands.reproduction_text import Reproduction, reproduction_text
from imblab.commands.study_records import StudyRecord, open_record, parse_tables
from imblab.core import design, own_code
from imblab.core.measures import MeasureFailed, is_counted, matrix_function_of, two_classes_only_reason
from imblab.edges import evidence, files, ledger, provenance, runner, terminal
from imblab.edges.files import locks
from imblab.edges.provenance import environment
from imblab.edges.provenance.environment import make_environment, run_in_environment
from imblab.errors import ConfigError, DerivedFileError, StudyError, unknown
from imblab.result import Evaluation
from imblab.study import Cell, Dataset, Study, fingerprint
from imblab.text import count_noun

#: Evaluations that are drawn, and the tolerance where versions or the processor differ, unless others are asked for.
DEFAULT_SUBSET, DEFAULT_TOLERANCE = 20, 1e-6
#: Evaluations that differ without a known cause and are run a second time, to tell whether they are stable here.
MAX_SECOND_RUNS = 10
#: Packages that every number rests on; those of learners and samplers are in addition.
COMMON_PACKAGES = ("imblab", "numpy", "scipy", "pandas", "scikit-learn", "optuna")


@dataclass(frozen=True, slots=True)
class EvaluationChoice:
    """Which evaluations are run again."""

    subset: int | None = None  # number of evaluations that are drawn; None for :data:`DEFAULT_SUBSET`
    seed: int = 0  # of the draw
    all: bool = False  # run all of them
    cells: tuple[str, ...] = ()  # addresses of evaluations, in place of a draw

    def __post_init__(self) -> None:
        given = [name for name in ("subset", "all", "cells") if getattr(self, name) not in (None, False, ())]
        if len(given) > 1:
            words = " and ".join({"subset": "--subset", "all": "--all", "cells": "--cell"}[name] for name in given)
            raise ConfigError(
                f"{words} are given together; evaluations are drawn, listed or all of them. Leave out all but one."
            )
        if self.subset is not None and self.subset < 1:
            raise ConfigError(
                f"'--subset' is {self.subset}; it is a number of evaluations, at least 1. Write for example --subset "
                f"{DEFAULT_SUBSET}."
            )

    def choose(self, keys: Sequence[str], recorded: Sequence[str]) -> list[str]:
        """Return the chosen ones of ``keys``, in their order; ``recorded`` are all that may be named."""
        for cell in self.cells:
            if cell not in recorded:
                raise ConfigError(unknown("evaluation", cell, recorded, "in the record"))
        if self.all or self.cells:
            return [key for key in keys if self.all or key in self.cells]
        number = min(self.subset or DEFAULT_SUBSET, len(keys))
        drawn = set(random.Random(self.seed).sample(list(keys), number))
        return [key for key in keys if key in drawn]


def reproduce(
    study: str | Path,
    *overrides: str,
    subset: int | None = None,
    seed: int = 0,
    all: bool = False,
    cells: Sequence[str] = (),
    tables: Mapping[str, str | Path] | None = None,
    data: Sequence[Dataset] = (),
    tolerance: float = DEFAULT_TOLERANCE,
    folder: str | Path | None = None,
) -> Reproduction:
    """Run evaluations of a study again from its record, in a fresh folder, and compare them with the record.

    Parameters
    ----------
    study : str or path
        The name of a study, its folder, its ``study.yaml`` or ``ledger.jsonl``, or the id of an MLflow run.
    *overrides : str
        Such as ``"allow=[mypkg]"``, ``"runner.n_jobs=2"``, ``"tracking.uri=http://host:5000"``.
    subset : int, optional
        Number of evaluations to draw; 20 by default.
    seed : int, default=0
        Of the draw.
    all : bool, default=False
        Run all evaluations again, and compare the evidence too.
    cells : sequence of str, default=()
        Addresses of evaluations, such as ``"yeast4/logistic/none/0/3"``, in place of a draw.
    tables : mapping of str to path, optional
        Where the file of a data set is now, by its name, if it is not where the study says.
    data : sequence of Dataset, default=()
        Tables of the study that were in memory; see :func:`imblab.dataset`.
    tolerance : float, default=1e-6
        How far numbers may lie apart where versions or the processor differ, relative to the larger of the recorded
        number and 1. Everywhere else they must be equal bit for bit.
    folder : path, optional
        Keeps the new evaluations; it must not exist, or be empty. A temporary one by default.

    Returns
    -------
    Reproduction
        ``is_same``, the ``differences`` with their causes, and what was compared.

    Raises
    ------
    ConfigError, DataError, StudyError
        If there is no such record, it cannot be read, or a table is not at hand; the message says the way out.

    See Also
    --------
    imblab.audit_study : Whether the study is honest, in addition to repeatable.
    imblab.verify : The same for an exported model.

    Examples
    --------
    >>> import tempfile
    >>> from imblab import compose, run
    >>> small = compose("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    >>> with tempfile.TemporaryDirectory() as place:
    ...     _ = run(small, folder=f"{place}/small", store_path=None)
    ...     reproduce(f"{place}/small", subset=2).is_same
    True
    """
    selection = EvaluationChoice(subset, seed, all, tuple(cells))
    with open_record(str(study), overrides, tables or {}) as record:
        return _reproduce(record, selection, tolerance, folder, data, say=None)


def command_reproduce(study: str, args: Sequence[str], options: Mapping[str, Any], as_json: bool) -> int:
    """Run ``imblab reproduce``; returns 0 where all is the same, and 1 where anything differs."""
    if options["env"]:
        return _reproduce_in_recorded_environment(study, args, options, as_json)
    selection = EvaluationChoice(options["subset"], options["seed"], options["all"], tuple(options["cell"] or ()))
    say = None if as_json else terminal.print_paragraph
    try:
        with open_record(study, args, parse_tables(options["table"] or ())) as record:
            answer = _reproduce(record, selection, options["tolerance"], options["folder"], (), say)
    except KeyboardInterrupt:
        terminal.warn("Stopped. Nothing is compared before all chosen evaluations are there.")
        return 130
    terminal.put(json.dumps(answer.to_mapping())) if as_json else terminal.show(reproduction_text(answer))
    return 0 if answer.is_same else 1


def _reproduce_in_recorded_environment(
    study: str, args: Sequence[str], options: Mapping[str, Any], as_json: bool
) -> int:
    """Make the environment of the record, and run the same command in it."""
    with open_record(study, args, parse_tables(options["table"] or ())) as record:
        known = _recorded_environments(record.home)
    if not known:
        raise StudyError(
            f"the record {record.source!r} names no environment; {environment.ENVIRONMENT_FILE} in the folder of a "
            "study lists the packages that its rows were made with. Reproduce it without --env."
        )
    python, lock = known[-1].python.rpartition(" ")[2], known[-1].requirements()
    if not as_json:
        n_packages = count_noun(len(lock), "package")
        terminal.print_paragraph(f"The recorded environment: Python {python}, {n_packages} of the lock.")
    interpreter = make_environment(python, lock)
    words = [word for word in options["words"] if word != "--env"]
    return run_in_environment(interpreter, words, known[-1].locale)


def _reproduce(
    record: StudyRecord,
    selection: EvaluationChoice,
    tolerance: float,
    folder: str | Path | None,
    data: Sequence[Dataset],
    say: Callable[[str], None] | None,
) -> Reproduction:
    """Check the record, run the chosen evaluations again, and compare."""
    _check_tolerance(tolerance)
    layout = lay_out(record.study, {each.name: each for each in data})
    changes, unrecorded = _environment_changes(record.home, layout.study)
    rounding = None if "processor" not in unrecorded else min(tolerance, reproduction.ROUNDING_TOLERANCE)
    counts_alike = rounding is None and all(each.kind == "locale" for each in changes)
    differences = _record_differences(
        layout, record, None if counts_alike else min(tolerance, reproduction.COUNT_TOLERANCE)
    )
    broken = {each.key for each in differences if each.cause != "counts"}
    recorded = {each.key: each for each in record.evaluations}
    keys = [cell.key for cell in layout.cells if cell.key in recorded and record.covers(cell)]
    chosen = selection.choose([key for key in keys if key not in broken], keys)
    cells = {cell.key: cell for cell in layout.cells if cell.key in set(chosen)}
    engine = replace(requested_engine(record.request), open_store=None)
    with _fresh_folder(folder, layout.study.name) as home:
        again = _run_again(layout, list(cells.values()), home, engine, record, say, selection.all)
        tolerances = {key: tolerance if _is_affected(cell, changes) else rounding for key, cell in cells.items()}
        moved = [each for key in chosen for each in _compare(recorded[key], again[key], tolerances[key])]
        differences += _separate_unstable(moved, layout, cells, again, engine)
        has_evidence = selection.all and not broken and not record.place
        has_evidence = has_evidence and all(files.exists(each, evidence.EVIDENCE_FILE) for each in (record.home, home))
        if has_evidence:
            differences += _evidence_differences(record.home, home, tolerance if changes else rounding)
    differing = {each.key for each in differences}
    distances = {
        key: reproduction.largest_difference(recorded[key], again[key]) for key in chosen if key not in differing
    }
    is_identical = [not evaluation_differences(recorded[key], again[key]) for key in distances]
    return Reproduction(
        study=layout.study.name,
        record=record.source,
        recorded=len(recorded),
        asked=len(layout.cells),
        repeated=tuple(chosen),
        identical=sum(is_identical),
        within_tolerance=len(distances) - sum(is_identical),
        largest_difference=max(distances.values(), default=0.0),
        tolerance=tolerance,
        changes=tuple(changes),
        unrecorded=unrecorded,
        is_first_question=_is_first_question(record, layout),
        evidence=has_evidence,
        tables=tuple(layout.datasets),
        differences=tuple(differences),
        folder=None if folder is None else str(folder),
        selection=asdict(selection),
    )


def _check_tolerance(tolerance: float) -> None:
    if not 0 <= tolerance < 1:
        raise ConfigError(
            f"'tolerance' is {tolerance!r}; it is a number from 0 to below 1, relative to the recorded number. Write "
            f"for example {DEFAULT_TOLERANCE:g}."
        )


def _environment_changes(home: Path, study: Study) -> tuple[list[environment.Change], tuple[str, ...]]:
    """Return what differs between the environments of a record and that of now, and what the record does not name."""
    known = _recorded_environments(home)
    now = environment.current_environment(design.named_code_paths(study))
    changes = dict.fromkeys(change for each in known for change in environment.changes(each, now))
    parts = {"versions": "packages", "processor": "processor", "locale": "locale"}
    missing = tuple(name for name, part in parts.items() if not any(getattr(each, part) for each in known))
    return list(changes), missing


def _recorded_environments(home: Path) -> tuple[environment.Environment, ...]:
    """Return the environments of a record, or what older evidence says of them; a damaged file is reported."""
    try:
        known = environment.read_environments(home)
    except DerivedFileError as error:
        results.report_damage(str(error))
        known = ()
    if not known and home.parent.name == ledger.RESCORED:  # without fits of its own
        return _recorded_environments(home.parents[1])
    older = None if known else environment.environment_of_facts(results.read_facts(home))
    return known if older is None else (older,)


def _is_first_question(record: StudyRecord, layout: Layout) -> bool | None:
    """Whether the question is that of the first evaluation; None where no identity is on record.

    An identity is of question and tables. A changed table does not change the question, so that the tables of the
    recorded evaluations count as well as those of now.
    """
    if not provenance.has_identity(record.home):
        return None
    now = layout.fingerprints
    recorded = now | {each.dataset: each.data_fingerprint for each in record.evaluations if each.dataset in now}
    question = ledger.read_study(record.home)
    identity = provenance.keep_identity(record.home, {}, {}).now
    return identity in (fingerprint(question, now), fingerprint(question, recorded))


def _is_affected(cell: Cell, changes: Sequence[environment.Change]) -> bool:
    """Whether what differs may change a number of an evaluation: a learner or sampler of another package is not."""
    if any(each.kind == "machine" or each.name == "python" for each in changes):
        return True
    paths = own_code.code_paths([cell.learner.make, cell.strategy.sampler])
    below = [package for path in paths for package, _ in own_code.code_of(path).versions]
    packages = {*COMMON_PACKAGES, *map(environment.distribution_name, (*paths, *below))}
    return any(each.kind == "version" and each.name in packages for each in changes)


def _record_differences(layout: Layout, record: StudyRecord, tolerance: float | None) -> list[Difference]:
    """Compare the lines of a record with the design, with the addresses of now and with their own counts.

    ``tolerance`` is that of scores and counts: processors differ in the last digit of a power.
    """
    expected = layout.expected()
    facts = {
        cell.key: {
            "data_fingerprint": expected.tables[cell.dataset],
            "split_fingerprint": cell.split.fingerprint,
            "n_train": len(cell.split.train),
            "n_test": len(cell.split.test),
            "code": expected.code.get(cell.key, {}),
        }
        for cell in layout.cells
        if record.covers(cell)
    }
    covered = [each for each in record.evaluations if each.key not in expected.addresses or each.key in facts]
    addresses = {key: address for key, address in expected.addresses.items() if key in facts}
    differences = reproduction.address_differences(covered, addresses, facts)
    broken = {each.key for each in differences}
    intact = [row for row in covered if row.key not in broken]
    return [*differences, *(each for row in intact for each in _count_differences(row, layout.study, tolerance))]


def _count_differences(row: Evaluation, study: Study, tolerance: float | None) -> Iterator[Difference]:
    """Yield the scores that are not those of the confusion counts of their line."""
    if row.status != "ok" or not row.matrix.size:
        return
    for measure in filter(is_counted, study.measures):
        score = row.scores.get(measure.name)
        if two_classes_only_reason(measure, len(row.matrix)):
            continue
        try:
            value = float(matrix_function_of(measure)(row.matrix))
        except MeasureFailed:  # of the user: the row is run again, or not, as any other
            continue
        now = value if np.isfinite(value) else None
        if not reproduction.is_equal("score", {"score": score}, {"score": now}, tolerance):
            yield Difference("counts", row.key, f"scores.{measure.name}", score, now)


@contextmanager
def _fresh_folder(folder: str | Path | None, name: str) -> Iterator[Path]:
    """Give the folder of the new evaluations: an empty one that the user names, or one that is removed at the end."""
    if folder is None:
        with locks.scratch_folder("reproduce") as place:
            yield place / name
        return
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StudyError(
            f"--folder {str(folder)!r} holds something already; evaluations that are made again begin in a fresh "
            "folder. Name one that does not exist."
        )
    yield path


def _run_again(
    layout: Layout,
    cells: Sequence[Cell],
    home: Path,
    engine: runner.Engine,
    record: StudyRecord,
    say: Callable[[str], None] | None,
    builds_evidence: bool,
) -> dict[str, Evaluation]:
    """Evaluate cells in a fresh folder, and return the evaluations as they are read back from it."""
    if not cells:
        return {}
    options = running.RunOptions(engine, lambda note: None, say=say, builds_evidence=builds_evidence)
    running.complete_study(replace(layout, cells=tuple(cells)), home, options, record.request.allow)
    return {each.key: each for each in ledger.read_evaluations(home)}


def _compare(recorded: Evaluation, now: Evaluation, tolerance: float | None) -> list[Difference]:
    """List the fields that differ; ``environment`` is the cause of those that a tolerance was allowed for."""
    differences = evaluation_differences(recorded, now, tolerance)
    return [replace(each, cause="values" if tolerance is None else "environment") for each in differences]


def _separate_unstable(
    moved: Sequence[Difference],
    layout: Layout,
    cells: Mapping[str, Cell],
    again: Mapping[str, Evaluation],
    engine: runner.Engine,
) -> list[Difference]:
    """Run evaluations that differ without a known cause a second time: those that differ again are unstable."""
    unexplained = list(dict.fromkeys(each.key for each in moved if each.cause == "values"))[:MAX_SECOND_RUNS]
    second: list[Evaluation] = []
    if unexplained:
        bundles = runner.make_bundles(layout.study, layout.plans, [cells[key] for key in unexplained])
        runner.run(layout.datasets, bundles, engine, [second.append])
    read_back = {each.key: Evaluation.from_json(each.to_json()) for each in second}
    unstable = {key for key, each in read_back.items() if evaluation_differences(again[key], each)}
    return [replace(each, cause="unstable") if each.key in unstable else each for each in moved]


def _evidence_differences(recorded: Path, now: Path, tolerance: float | None) -> list[Difference]:
    """Compare the evidence of a record, where it has one, with the one that was built again."""
    name = evidence.EVIDENCE_FILE
    try:
        before = evidence.load_evidence(recorded / name)
    except DerivedFileError as error:
        return [Difference("evidence", name, "", str(error))]
    after = evidence.load_evidence(now / name)
    if before is None or after is None:
        return []
    return reproduction.evidence_differences(before, after, name, tolerance)
