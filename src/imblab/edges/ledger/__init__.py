"""The record of a study in one folder, open for one writer; append-only.

``study.yaml`` is the resolved question, ``ledger.jsonl`` holds one evaluation per line, and ``searches.jsonl`` the
trials of one inner search per line, keyed by the address that the lines of the ledger carry. Evaluations are appended
as complete lines, and read back checked.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imblab.core import own_code
from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.ledger.record_files import (
    GROWING_SECTIONS as GROWING_SECTIONS,
    LEDGER_FILE as LEDGER_FILE,
    SEARCHES_FILE as SEARCHES_FILE,
    STUDY_FILE as STUDY_FILE,
    describe_damage,
    extend_question as extend_question,
    measure_ranges,
    question_differences as question_differences,
    read_evaluation,
    read_evaluation_lines,
    read_search_lines,
    read_study as read_study,
    write_evaluation,
    write_search,
    write_study,
)
from imblab.errors import StudyError, unknown
from imblab.fields import FieldError
from imblab.result import Evaluation, Trial, search_address
from imblab.study import COORDINATES, key_of

#: Below the folder of a study: other questions answered from its fits, one folder per label.
RESCORED = files.RESCORED_FOLDER
#: Folders below that of a study that hold what imblab writes.
WRITTEN_FOLDERS = ("figures", "tables", "model", RESCORED)
#: Where studies live, below the current directory.
EXPERIMENTS = Path("experiments")
#: Seconds between two waits for the disk. A killed process loses nothing, a machine without power at most this span.
SYNC_SECONDS = 1.0
#: The override that tries failed evaluations again.
RETRY = "runner.retry_failed=true"
#: The address of an evaluation in its line.
_ADDRESS = re.compile(rb'"fingerprint": ?"([0-9a-f]+)"')


@dataclass(frozen=True, slots=True)
class Expected:
    """Addresses, tables and code that the evaluations of a study must rest on."""

    #: the fingerprint that the evaluation of every cell must have
    addresses: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)  # fingerprints of the data sets by name
    #: by cell, what identifies the code of the user's own classes and functions in its address
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    retry_failed: bool = False  # whether failed evaluations are about to be replaced, so that they may rest on anything


class Ledger:
    """The evaluations of one study, open for appending; ``searches`` are the addresses of those that its folder holds.

    The scores lie within the ranges of the measures that the question, as the folder asks it now, has.
    """

    def __init__(
        self, folder: Path, question: Mapping[str, Any], evaluations: Iterable[Evaluation], searches: Iterable[str]
    ) -> None:
        self.folder, self.question = folder, question
        self._ranges = measure_ranges(question)
        self._evaluations = {each.key: each for each in evaluations}
        self._searches = set(searches)
        names = (LEDGER_FILE, SEARCHES_FILE) if files.exists(folder, SEARCHES_FILE) else (LEDGER_FILE,)
        self._files = {name: _LineFile(folder, name) for name in names}
        self._synced = time.monotonic()

    @property
    def evaluations(self) -> list[Evaluation]:
        """The evaluations in the order in which they were made."""
        return list(self._evaluations.values())

    def append(self, evaluation: Evaluation) -> None:
        """Write an evaluation, after its search where that is a new one; StudyError if the disk does not take it whole.

        The line outlives this process at once, and the machine within :data:`SYNC_SECONDS` of work. A failed evaluation
        of the same cell is replaced, and removed from the file when the study is closed.
        """
        address, line = search_address(evaluation.trials), write_evaluation(evaluation)
        try:
            read_evaluation(line, self._ranges, {address: evaluation.trials})
        except FieldError as error:
            raise StudyError(
                f"the evaluation {evaluation.key!r} cannot be kept: {error}, and only what can be read again is "
                "written. For a score of a measure of your own, correct its range: "
                "measures.<name>.range=[lowest,highest]."
            ) from error
        if evaluation.trials and address not in self._searches:
            if SEARCHES_FILE not in self._files:
                self._files[SEARCHES_FILE] = _LineFile(self.folder, SEARCHES_FILE)
            self._files[SEARCHES_FILE].append(write_search(evaluation.trials), evaluation.key)
            self._searches.add(address)
        self._files[LEDGER_FILE].append(line, evaluation.key)
        self._evaluations[evaluation.key] = evaluation
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def check(self, expected: Expected) -> None:
        """Refuse evaluations that rest on other data, code or questions than those of now, by a StudyError."""
        lasting = [e for e in self.evaluations if e.status != "failed" or not expected.retry_failed]
        foreign = [e for e in lasting if expected.addresses.get(e.key, e.fingerprint) != e.fingerprint]
        if foreign:
            what, way_out = _explain_foreign(foreign, expected)
            raise StudyError(
                f"{str(self._files[LEDGER_FILE].path)!r} holds {len(foreign)} evaluations {what}, the first "
                f"{foreign[0].key!r}; an evaluation answers exactly one question. {way_out}, choose another name=..., "
                "or start over with overwrite=true (the old folder is kept aside)."
            )

    def close(self) -> None:
        """Release the files, once the disk has every line, and one evaluation per cell."""
        try:
            self._sync()
            if self._files[LEDGER_FILE].lines > len(self._evaluations):
                _compact(self.folder)
        finally:
            for file in self._files.values():
                os.close(file.descriptor)

    def _sync(self) -> None:
        # Searches first: a line of the ledger never names one that the disk does not have.
        for name in sorted(self._files, reverse=True):
            self._files[name].sync()
        self._synced = time.monotonic()


class _LineFile:
    """A file that takes complete lines; half a line, which a killed process left, is cut off when it is opened."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path, self.descriptor = folder / name, files.open_for_append(folder, name)
        _cut_torn_line(self.descriptor)
        self.lines = files.read_bytes(folder, name).count(b"\n")

    def append(self, text: str, key: str) -> None:
        line = f"{text}\n".encode()
        try:
            written = os.write(self.descriptor, line)
        except OSError as error:
            raise self._unwritten(f"the evaluation {key!r}", str(error.strerror)) from error
        if written < len(line):
            raise self._unwritten(f"the evaluation {key!r}", f"{written} of {len(line)} bytes")
        self.lines += 1

    def sync(self) -> None:
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise self._unwritten("the last lines", str(error.strerror)) from error

    def _unwritten(self, what: str, reason: str) -> StudyError:
        return StudyError(
            f"{what} cannot be written to {str(self.path)!r} ({reason}); a line is written completely or the study "
            "stops. The evaluations before it are safe: free some space and run the same command again."
        )


@contextmanager
def open_study(
    folder: Path, question: Mapping[str, Any], overwrite: bool = False, expected: Expected | None = None
) -> Iterator[Ledger]:
    """Open the folder of a study for writing, created where it does not exist.

    With ``overwrite`` an existing folder is renamed to ``<name>~1``, ``~2``, ... ``expected`` is what existing
    evaluations must rest on; see :meth:`Ledger.check`. Raises StudyError if another process is writing, or if the
    folder answers another question.
    """
    files.refuse_special_files(folder, WRITTEN_FOLDERS)
    with _lock_study(folder):
        if overwrite and folder.exists():
            folder.rename(files.free_path(folder, "~"))
        files.make_folder(folder)
        files.remove_stale_files(folder)
        question = json.loads(json.dumps(question))
        old = read_study(folder) if files.exists(folder, STUDY_FILE) else {}
        evaluations, searches = _read_folder(folder, old)
        if old and evaluations:
            evaluated = {each.dataset for each in evaluations if each.status == "ok"}
            question = extend_question(folder.name, old, question, evaluated)
        ledger = Ledger(folder, question, evaluations, searches)
        try:
            ledger.check(expected or Expected())
            write_study(folder, question)
            yield ledger
        finally:
            ledger.close()


def read_evaluations(folder: Path, question: Mapping[str, Any] | None = None) -> list[Evaluation]:
    """Read the evaluations of a study with their searches, one per cell: the last where failed ones were tried again.

    ``question`` is the content of its ``study.yaml``, where that is read already. Half a line at the end is not an
    evaluation. Raises StudyError if another line is damaged, a search is missing, or a cell has two different ones.
    """
    return _read_folder(folder, _readable_question(folder) if question is None else question)[0]


def _read_folder(folder: Path, question: Mapping[str, Any]) -> tuple[list[Evaluation], Mapping[str, tuple[Trial, ...]]]:
    """The evaluations of a folder, and its searches by address."""
    if not files.exists(folder, LEDGER_FILE):
        return [], {}
    path = folder / LEDGER_FILE
    size = path.stat().st_size  # a run may append evaluations, whose searches are not among those read here
    searches = _read_searches(folder)
    lines = complete_lines(folder, LEDGER_FILE, size)
    by_line, damaged = read_evaluation_lines(lines, measure_ranges(question), searches)
    if damaged and not files.exists(folder, SEARCHES_FILE) and any("'search'" in text for text in damaged.values()):
        raise StudyError(
            f"{str(folder / SEARCHES_FILE)!r} is missing, and lines of {str(path)!r} name searches in it; evaluations "
            "and searches belong together. Restore the file, or start over with overwrite=true (the old folder is kept "
            "aside, and fits that the prediction store holds are reused)."
        )
    if damaged:
        raise StudyError(describe_damage(path, damaged))
    evaluations: dict[str, Evaluation] = {}
    for number, evaluation in by_line.items():
        key = evaluation.key
        if key in evaluations and evaluations[key].status == "failed":  # it was tried again
            evaluations[key] = evaluation
        first = evaluations.setdefault(key, evaluation)
        if first is not evaluation and first != replace(evaluation, seconds=first.seconds):
            raise StudyError(
                f"{str(path)!r} answers the cell {key!r} a second time, and differently, in line {number}; a cell has "
                "one evaluation. Remove the line that is wrong and run again."
            )
    return list(evaluations.values()), searches


def _read_searches(folder: Path) -> dict[str, tuple[Trial, ...]]:
    if not files.exists(folder, SEARCHES_FILE):
        return {}
    searches, damaged = read_search_lines(complete_lines(folder, SEARCHES_FILE))
    if damaged:
        raise StudyError(describe_damage(folder / SEARCHES_FILE, damaged))
    return searches


def complete_lines(folder: Path, name: str, size: int | None = None) -> Iterator[bytes]:
    """The lines of a file, or of its first ``size`` bytes, one by one, without half a line at the end."""
    with files.open_file(folder, name) as stream:
        length = 0
        for line in stream:
            length += len(line)
            if not line.endswith(b"\n") or (size is not None and length > size):
                return  # another process may be about to write the other half
            yield line[:-1]


def _readable_question(folder: Path) -> dict[str, Any]:
    """The question of a folder; empty where it cannot be read, which is reported elsewhere."""
    with suppress(StudyError, FileNotFoundError):
        return read_study(folder)
    return {}


def _compact(folder: Path) -> None:
    """Keep the last line of each cell, where failed evaluations were tried again, and the searches of those lines."""
    last: dict[str, tuple[bytes, str | None]] = {}
    for line in complete_lines(folder, LEDGER_FILE):
        values = json.loads(line)
        key = key_of(*(values[name] for name in COORDINATES))
        last[key] = line, values.get("search")
    files.replace(folder, LEDGER_FILE, b"".join(line + b"\n" for line, _ in last.values()))
    if files.exists(folder, SEARCHES_FILE):
        named = {address for _, address in last.values()}
        kept = [line for line in complete_lines(folder, SEARCHES_FILE) if json.loads(line)["search"] in named]
        files.replace(folder, SEARCHES_FILE, b"".join(line + b"\n" for line in kept))


def study_folders(experiments: Path) -> list[Path]:
    """Return the folders of studies, by name, without those that ``overwrite`` set aside."""
    return [path.parent for path in sorted(experiments.glob(f"*/{STUDY_FILE}")) if "~" not in path.parent.name]


def find_study(name: str, experiments: Path) -> Path:
    """Find the folder of a study by its name; the error lists those there are."""
    folder = experiments / name
    if not _is_study_name(name) or not files.exists(folder, STUDY_FILE):
        names = [folder.name for folder in study_folders(experiments)]
        way_out = "Or run yours first." if names else "Run one: imblab run experiment=quickstart."
        raise StudyError(unknown("study", name, names, f"in {str(experiments)!r}", way_out))
    files.refuse_special_files(folder, WRITTEN_FOLDERS)
    return folder


def find_scores(experiments: Path, addresses: Container[str], measure: str) -> dict[str, float]:
    """Find scores of evaluations by their addresses in all ledgers; lines that cannot be read are left out."""
    scores: dict[str, float] = {}
    for path in sorted(experiments.glob(f"*/{LEDGER_FILE}")):
        with suppress(StudyError, OSError):
            for line in complete_lines(path.parent, LEDGER_FILE):
                match = _ADDRESS.search(line)
                if match and (address := match[1].decode()) in addresses:
                    with suppress(ValueError, TypeError, KeyError):
                        scores[address] = float(json.loads(line)["scores"][measure])
    return scores


def differing_code(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """List the classes and functions whose code differs."""
    return [path for path in dict.fromkeys((*before, *now)) if before.get(path) != now.get(path)]


def check_code(evaluations: Iterable[Evaluation], name: str) -> None:
    """Refuse evaluations of the study ``name`` that were made by other code of the user than would run now."""
    recorded = {pair for evaluation in evaluations for pair in evaluation.code.items()}
    changed = sorted({path for path, code in recorded if own_code.code_of(path).name != code})
    if changed:
        raise StudyError(
            f"the code of {', '.join(map(repr, changed))} is not the one that study {name!r} was run with; its "
            "evaluations belong to the earlier code. Restore the code, or run the study under another name=..."
        )


def _explain_foreign(foreign: Sequence[Evaluation], expected: Expected) -> tuple[str, str]:
    """What has changed since some evaluations were made, and what would restore it."""
    code = [differing_code(e.code, expected.code.get(e.key, {})) for e in foreign]
    if not all(code) or any(expected.tables.get(e.dataset) != e.data_fingerprint for e in foreign):
        return "whose data or question has changed since", "Restore the data"
    paths = ", ".join(map(repr, dict.fromkeys(path for changed in code for path in changed)))
    only_failed = all(e.status == "failed" for e in foreign)
    way_out = f"All of them failed: try them again with {RETRY}" if only_failed else "Restore the code"
    return f"that other code of {paths} made", way_out


def _is_study_name(name: str) -> bool:
    """Whether a text names a study, or one of its rescorings, and not another place."""
    parts = name.split("/")
    plain = all(Path(part).name == part != ".." and len(os.fsencode(part)) < 256 for part in parts)
    return plain and (len(parts) == 1 or (len(parts) == 3 and parts[1] == RESCORED))


def _cut_torn_line(descriptor: int) -> None:
    end = size = os.fstat(descriptor).st_size
    while end:
        begin = max(0, end - 2**16)
        line_end = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if line_end >= 0:
            end = begin + line_end + 1
            break
        end = begin
    if end < size:
        os.ftruncate(descriptor, end)


@contextmanager
def _lock_study(folder: Path) -> Iterator[None]:
    """Allow one writer per study, across processes; the lock ends with the process."""
    try:
        with locks.lock(folder, f".{folder.name}.lock", wait=False) as stream:
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
            yield
    except locks.LockHeld as held:
        raise StudyError(
            f"study {folder.name!r} is being run by process {str(held) or 'unknown'}; one process writes its "
            "evaluations at a time. Wait for it, or choose another name=..."
        ) from None
