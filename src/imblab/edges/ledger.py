"""The facts of a study: its question and its rows, in one folder, append-only.

``study.yaml`` is the resolved question, ``ledger.jsonl`` one :class:`~imblab.result.Evaluation` a line. One process
writes at a time; a line is whole or it is not there.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from imblab import evaluations
from imblab.core import own_code
from imblab.edges import files
from imblab.edges.files import locks, safe_yaml
from imblab.errors import StudyError
from imblab.fields import FieldError
from imblab.result import Evaluation

QUESTION = "study.yaml"
ROWS = "ledger.jsonl"
#: Below the folder of a study: answers to other questions on its fits, one folder a label.
RESCORED = files.RESCORED_FOLDER
#: Folders below that of a study which hold what imblab writes.
WRITTEN = ("figures", "tables", "model", RESCORED)
#: Seconds between two waits for the disk: a killed process loses no row, a dead machine those of one such span at most.
SYNC = 1.0
#: The override that tries failed evaluations again.
RETRY = "runner.retry_failed=true"
#: Sections of the question that may grow: their members answer for themselves.
GROWING = ("dataset", "learner", "strategy")
#: The key of ``claims`` under which the folder keeps what was claimed before its first row.
RECORD = "registered"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the rows of a study must rest on.

    Attributes
    ----------
    addresses : mapping of str to str
        What the row of every cell must be addressed with.
    tables : mapping of str to str
        Fingerprints of the data sets by name.
    code : mapping of str to mapping
        By cell, what identifies the code of the user's own classes and functions in its address.
    retry_failed : bool
        Whether failed rows are about to be replaced, so that they may rest on anything.
    """

    addresses: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    retry_failed: bool = False


class Ledger:
    """The rows of one study, open for appending.

    Parameters
    ----------
    folder : Path
    question : mapping
        What the folder asks: the scores of its measures lie within their ranges.
    """

    def __init__(self, folder: Path, question: Mapping[str, Any]) -> None:
        self._folder, self._path, self._ranges = folder, folder / ROWS, evaluations.ranges_of(question)
        self._done = {row.key: row for row in read_rows(folder)}
        self._file = files.open_for_append(folder, ROWS)
        _cut_torn_line(self._file)
        self._synced = time.monotonic()
        self._lines = files.read_bytes(folder, ROWS).count(b"\n")

    @property
    def rows(self) -> list[Evaluation]:
        """What is answered, in the order in which it was."""
        return list(self._done.values())

    def append(self, row: Evaluation) -> None:
        """Write one row: it outlives this process at once, and the machine within :data:`SYNC` seconds of work.

        The row of a cell that failed stands for it from here on; the failed one is taken out when the study is closed.

        Raises
        ------
        StudyError
            If the disk does not take the whole line; what it took is cut off when the study is opened again.
        """
        line = (row.to_json() + "\n").encode()
        try:
            evaluations.read(line, self._ranges)
        except FieldError as error:
            raise StudyError(
                f"the evaluation {row.key!r} cannot be kept: {error}, and only what can be read again is written. For "
                "a score of a measure of your own, correct its range: measures.<name>.range=[lowest,highest]."
            ) from error
        try:
            written = os.write(self._file, line)
            if time.monotonic() - self._synced > SYNC:
                self._sync()
        except OSError as error:
            raise self._unwritten(f"the row {row.key!r}", str(error.strerror)) from error
        if written < len(line):
            raise self._unwritten(f"the row {row.key!r}", f"{written} of {len(line)} bytes")
        self._done[row.key], self._lines = row, self._lines + 1

    def close(self) -> None:
        """Release the file, once the disk has every row, and one alone of each cell."""
        try:
            self._sync()
            if self._lines > len(self._done):
                _compact(self._folder)
        except OSError as error:
            raise self._unwritten("the last rows", str(error.strerror)) from error
        finally:
            os.close(self._file)

    def _sync(self) -> None:
        os.fsync(self._file)
        self._synced = time.monotonic()

    def _unwritten(self, what: str, reason: str) -> StudyError:
        return StudyError(
            f"{what} cannot be written to {str(self._path)!r} ({reason}); a row is written whole or the "
            "study stops. The rows before it are safe: make room and run the same command again."
        )

    def check(self, expected: Expected) -> None:
        """Refuse rows that answer another question than the one asked now.

        Parameters
        ----------
        expected : Expected

        Raises
        ------
        StudyError
        """
        addresses, kept = (
            expected.addresses,
            [r for r in self.rows if r.status != "failed" or not expected.retry_failed],
        )
        foreign = [row for row in kept if addresses.get(row.key, row.fingerprint) != row.fingerprint]
        if foreign:
            what, way_out = _reason(foreign, expected)
            raise StudyError(
                f"{str(self._path)!r} holds {len(foreign)} rows {what}, the first "
                f"{foreign[0].key!r}; a row answers exactly one question. {way_out}, choose another name=..., or "
                "start over with overwrite=true (the old folder is kept aside)."
            )


def other_code(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """List the classes and functions whose code is another one now.

    Examples
    --------
    >>> other_code({"mypkg.A": "1", "mypkg.B": "1"}, {"mypkg.A": "2", "mypkg.B": "1"})
    ['mypkg.A']
    """
    return [path for path in dict.fromkeys((*then, *now)) if then.get(path) != now.get(path)]


def check_code(rows: Iterable[Evaluation], name: str) -> None:
    """Refuse rows that other code of the user's own made than would run now.

    Parameters
    ----------
    rows : iterable of Evaluation
    name : str
        Of the study.

    Raises
    ------
    StudyError
    """
    known = {pair for row in rows for pair in row.code.items()}
    found = sorted({path for path, code in known if own_code.code_of(path).name != code})
    if found:
        raise StudyError(
            f"the code of {', '.join(map(repr, found))} is not the one that study {name!r} was run with; its "
            "evaluations belong to the code of then. Restore the code, or run the study under another name=..."
        )


def _reason(foreign: Sequence[Evaluation], expected: Expected) -> tuple[str, str]:
    """What of some rows is another one now, and what would bring them back."""
    code = [other_code(row.code, expected.code.get(row.key, {})) for row in foreign]
    if not all(code) or any(expected.tables.get(row.dataset) != row.data_fingerprint for row in foreign):
        return "whose data or question has changed since", "Restore the data"
    paths = ", ".join(map(repr, dict.fromkeys(path for some in code for path in some)))
    only_failed = all(row.status == "failed" for row in foreign)
    way_out = f"All of them failed: try them again with {RETRY}" if only_failed else "Restore the code"
    return f"that other code of {paths} made", way_out


@contextmanager
def open_study(
    folder: Path, mapping: Mapping[str, Any], overwrite: bool = False, expected: Expected | None = None
) -> Iterator[Ledger]:
    """Open the folder of a study for writing.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    mapping : mapping
        The resolved question.
    overwrite : bool, default=False
        Start over; an existing folder is renamed to ``<name>~1``, ``~2``, ...
    expected : Expected, optional
        What rows that are there must rest on; see :meth:`Ledger.check`.

    Yields
    ------
    Ledger

    Raises
    ------
    StudyError
        If another process is writing, or the folder answers another question.
    """
    files.refuse_special_files(folder, WRITTEN)
    with _locked(folder):
        if overwrite and folder.exists():
            folder.rename(files.free_path(folder, "~"))
        files.make_folder(folder)
        files.remove_stale_files(folder)
        wanted = _extended(folder, mapping)
        ledger = Ledger(folder, wanted)
        try:
            ledger.check(expected or Expected())
            _write(folder, wanted)
            yield ledger
        finally:
            ledger.close()


def read_study(folder: Path) -> dict[str, Any]:
    """The resolved question of a study.

    Raises
    ------
    StudyError
        If the file holds anything else.
    """
    try:
        found = safe_yaml.parse_yaml(files.read_bytes(folder, QUESTION, max_bytes=safe_yaml.MAX_YAML_BYTES + 1))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())[:200]
        raise StudyError(
            f"{str(folder / QUESTION)!r} is no plain YAML ({line}); it is the question of the study. Restore it, or "
            "start over with overwrite=true."
        ) from error
    if not isinstance(found, dict):
        raise StudyError(
            f"{str(folder / QUESTION)!r} holds no mapping; it is the question of the study. Restore it, or start over "
            "with overwrite=true."
        )
    return found


def read_rows(folder: Path) -> list[Evaluation]:
    """The rows of a study; a torn last line is not there.

    Raises
    ------
    StudyError
        If any other line is damaged, or one cell has two different answers.
    """
    path = folder / ROWS
    if not files.exists(folder, ROWS):
        return []
    lines = files.read_bytes(folder, ROWS).split(b"\n")
    numbered, damaged = evaluations.read_lines(lines[:-1], _ranges(folder))
    if damaged:
        again = shlex.quote(str(folder / QUESTION))
        raise StudyError(evaluations.damage(path, damaged, f"imblab run {again}"))
    rows: dict[str, Evaluation] = {}
    for number, row in numbered.items():
        if row.key in rows and rows[row.key].status == "failed":  # a failed evaluation was tried again
            rows[row.key] = row
        first = rows.setdefault(row.key, row)
        if first != replace(row, seconds=first.seconds, spared=first.spared):
            raise StudyError(
                f"{str(path)!r} answers the cell {row.key!r} a second time, and differently, in line {number}; a cell "
                "has one answer. Remove the line that is wrong and run again."
            )
    return list(rows.values())


def _compact(folder: Path) -> None:
    """Leave the last row of each cell, where failed ones were tried again."""
    lines = files.read_bytes(folder, ROWS).split(b"\n")[:-1]
    last = {Evaluation.from_json(line.decode()).key: line for line in lines}
    files.replace(folder, ROWS, b"".join(line + b"\n" for line in last.values()))


def _ranges(folder: Path) -> Mapping[str, tuple[float | None, float | None]]:
    """The ranges of the measures of a study; none where its question cannot be read, which is said elsewhere."""
    try:
        return evaluations.ranges_of(read_study(folder))
    except (StudyError, FileNotFoundError):
        return {}


def find(name: str, experiments: Path) -> Path:
    """The folder of a study by name.

    Raises
    ------
    StudyError
        If there is none; the message lists those there are.
    """
    folder = experiments / name
    if not _is_name(name) or not files.exists(folder, QUESTION):
        known = sorted(p.parent.name for p in experiments.glob(f"*/{QUESTION}") if "~" not in p.parent.name)
        way_out = "Name one of them, or run yours first." if known else "Run one: imblab run experiment=quickstart."
        raise StudyError(f"unknown study {name!r}; {str(experiments)!r} holds {', '.join(known) or 'none'}. {way_out}")
    files.refuse_special_files(folder, WRITTEN)
    return folder


def _is_name(name: str) -> bool:
    """Whether a text names a study, or one of its rescorings, and no other place."""
    parts = name.split("/")
    plain = all(Path(part).name == part != ".." and len(os.fsencode(part)) < 256 for part in parts)
    return plain and (len(parts) == 1 or (len(parts) == 3 and parts[1] == RESCORED))


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two questions, as ``dotted.key: old -> new``.

    Examples
    --------
    >>> difference({"seed": 0, "primary": "mcc"}, {"seed": 1, "primary": "mcc"})
    ['seed: 0 -> 1']
    """
    before, after = dict(_flat(old)), dict(_flat(new))
    keys = [*before, *(k for k in after if k not in before)]
    return [f"{k}: {_shown(before, k)} -> {_shown(after, k)}" for k in keys if _shown(before, k) != _shown(after, k)]


def _extended(folder: Path, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The question the folder shall hold: the old one with what the new one adds."""
    asked: dict[str, Any] = json.loads(json.dumps(mapping))
    if not files.exists(folder, QUESTION):
        return asked
    old = read_study(folder)
    has_rows = bool(read_rows(folder))
    changed = _changed(old, asked) if has_rows else []
    if changed:
        more = f" and {len(changed) - 8} more" if len(changed) > 8 else ""
        raise StudyError(
            f"study {folder.name!r} asks another question than the rows in its folder answer: "
            + "; ".join(changed[:8])
            + f"{more}. Rows are never changed. Choose another name=..., or start over with overwrite=true (the old "
            "folder is kept aside)."
        )
    if not has_rows:
        return asked
    for section in GROWING:
        asked[section] = {**old[section], **asked[section]}
    if RECORD in old["claims"]:
        asked["claims"][RECORD] = old["claims"][RECORD]
    asked["protocol"]["repeats"] = max(old["protocol"]["repeats"], asked["protocol"]["repeats"])
    return asked


def _changed(old: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What rows in the folder forbid to ask."""
    before, now = _rest(old, asked), _rest(asked, old)
    if RECORD in old["claims"]:
        # Whoever claims something else later is not refused: it is judged against the record, and is exploratory.
        before["claims"] = now["claims"]
    return difference(before, now)


def _rest(mine: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A question without what may grow: members the other does not have, the repeats, the record of claims."""
    kept = {key: value for key, value in mine.items() if key not in GROWING}
    kept["claims"] = {k: v for k, v in mine["claims"].items() if k != RECORD}
    kept["protocol"] = {k: v for k, v in mine["protocol"].items() if k != "repeats"}
    for section in GROWING:
        kept[section] = {name: value for name, value in mine[section].items() if name in other[section]}
    kept["dataset"] = {name: safe_yaml.normalized_spec(spec) for name, spec in kept["dataset"].items()}
    return kept


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "(absent)"


def _write(folder: Path, mapping: Mapping[str, Any]) -> None:
    """Replace the question in one step, where it changes."""
    content = safe_yaml.to_yaml(dict(mapping)).encode()
    if not files.exists(folder, QUESTION) or files.read_bytes(folder, QUESTION) != content:
        files.replace(folder, QUESTION, content)


def _cut_torn_line(file: int) -> None:
    """A process that was killed while writing leaves half a line: it is taken away."""
    end = size = os.fstat(file).st_size
    while end:
        begin = max(0, end - 2**16)
        line = os.pread(file, end - begin, begin).rfind(b"\n")
        if line >= 0:
            end = begin + line + 1
            break
        end = begin
    if end < size:
        os.ftruncate(file, end)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer a study, across processes; the lock ends with the process."""
    try:
        with locks.lock(folder, f".{folder.name}.lock", wait=False) as stream:
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
            yield
    except locks.LockHeld as held:
        raise StudyError(
            f"study {folder.name!r} is being run by process {str(held) or 'unknown'}; one process writes its rows at a "
            "time. Wait for it, or choose another name=..."
        ) from None
