"""Completion of the command line in bash, zsh and fish: the scripts, and the words that may follow.

Reads names of files and single small YAML files; imports nothing of a study, so that a word is completed at once.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from imblab.cli.arguments import COMMANDS, LISTABLE
from imblab.groups import GROUP_HELP, LISTED_GROUPS, group_names, group_options, shipped_groups

#: The scripts ask ``imblab completion words LINE`` for the words that may follow the line up to the cursor. Bash takes
#: ``=`` and ``:`` for the ends of words, so that what stands before them is removed from each answer.
SCRIPTS = {
    "bash": """\
_imblab_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" word part
    word="${line##* }"
    part="${word%"${word##*[=:]}"}"
    [[ "$COMP_WORDBREAKS" == *=* ]] || part=""
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("${word#"$part"}")
    done < <(imblab completion words "$line" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=./] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    [[ ${#COMPREPLY[@]} -gt 0 ]]
}
complete -o default -F _imblab_complete imblab
""",
    "zsh": """\
#compdef imblab
_imblab_complete() {
    local -a answers
    answers=("${(@f)$(imblab completion words "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    answers=(${answers:#})
    if (( ${#answers} )); then
        compadd -Q -S '' -- $answers
    else
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -D }
compdef _imblab_complete imblab
""",
    "fish": """\
complete -c imblab -a '(imblab completion words (commandline -cp | string collect) 2>/dev/null)'
""",
}
REMOVALS = {"bash": "complete -r imblab", "zsh": "compdef -d imblab", "fish": "complete -e -c imblab"}
#: Values of keys that are chosen from a few words.
VALUES: Mapping[str, Sequence[str]] = {
    "runner.engine": ("local", "dask"),
    "runner.on_error": ("row", "raise"),
    "tracking.search": ("auto", "candidates", "table", "none"),
    "protocol.inner": ("own", "shared"),
    "protocol.thresholds": ("observed",),
}
KNOB_VALUES: Mapping[str, Sequence[str]] = {
    "threshold": ("tuned", "0.5"),
    "weight": ("balanced", "null"),
    "calibration": ("none", "sigmoid", "isotonic"),
}
#: Commands whose first word is the name of a study.
OF_MODELS = ("export", "verify")
OF_STUDIES = ("compare", "audit", "report", "rescore", "export", "verify", "reproduce", "sync", "ui")
HEADED_ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq")
#: The checks of ``imblab audit --checks``; a test compares them with those of the audit.
AUDIT_CHECKS = (
    *("proof-of-origin", "leaky-twin", "chance-control", "optimism", "threshold-peeking", "duplicates"),
    *("near-duplicates", "groups", "telling-columns", "over-balancing", "time-shift"),
)
#: Keys of a table whose value is a column, or a list of columns.
COLUMN_KEYS = ("target", "groups", "folds", "time", "amount", "id")
COLUMN_LIST_KEYS = ("drop", "categorical", "numeric")
MAX_FIRST_LINE_CHARACTERS = 100_000
COMPLETED_ENDINGS = (".csv", ".tsv", ".parquet", ".xlsx", ".feather", ".json", ".yaml", ".yml")


def run_completion(words: Sequence[str]) -> int:
    """``imblab completion``: print a script, or the words that may follow a line; returns the exit code."""
    if len(words) == 2 and words[0] == "words":
        for word in complete_line(words[1]):
            print(word)
        return 0
    if len(words) == 1 and words[0] in SCRIPTS:
        print(SCRIPTS[words[0]], end="")
        return 0
    given = " ".join(words)[:80]
    print(
        f"ConfigError: 'imblab completion' was given {given!r}; it prints the completion script of bash, zsh or fish. "
        'Write for example: eval "$(imblab completion bash)".',
        file=sys.stderr,
    )
    return 2


def run_hydra_completion(text: str) -> int:
    """``-sc install=bash``, as Hydra's users type it; returns the exit code."""
    verb, _, shell = text.partition("=")
    if verb == "uninstall" and shell in REMOVALS:
        print(REMOVALS[shell])
        return 0
    return run_completion([shell if verb == "install" else text])


def complete_line(line: str) -> list[str]:
    """Return the words that may stand at the end of a command line, each from its beginning."""
    words = _split(line)
    before, word = words[1:-1], words[-1] if len(words) > 1 else ""
    return sorted({each for each in _following(before, word) if each.startswith(word) and each != word})


def _split(line: str) -> list[str]:
    """Split a line as a shell does, also within quotes that are still open; the last word may be empty."""
    for closing in ("", "'", '"'):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue
        return [*words, ""] if line[-1:].isspace() and not closing else words
    return line.split(" ")


def _following(before: Sequence[str], word: str) -> Iterator[str]:
    if not before:
        yield from (*COMMANDS, "completion", "--help", "--version")
        return
    command, typed = before[0], before[1:]
    if command == "completion":
        yield from (*SCRIPTS,)
    if command not in COMMANDS:
        return
    if typed[-1:] in (["--config-dir"], ["-cd"], ["--data"], ["--folder"]):
        return  # the shell completes files
    tables = (each.removeprefix("dataset.table.path=") for each in typed if each.endswith(HEADED_ENDINGS))
    table = next(map(Path, tables), None)
    if typed[-1:] in (["--target"], ["--checks"]):
        columns = _header_columns(table) if command == "new" else ()
        checks = (f"{word[: word.rfind(',') + 1]}{check}" for check in AUDIT_CHECKS)
        yield from checks if typed[-1] == "--checks" else columns
        return
    if word.startswith("-"):
        yield from (name for name, _ in COMMANDS[command].arguments if name.startswith("--"))
        yield "--help"
        return
    names = [each for each in typed if not each.startswith("-") and "=" not in each]
    if command == "list" and not names:
        yield from LISTABLE
    elif command in OF_STUDIES:
        yield from _complete_study(command, names, word)
    elif command in ("run", "plan", "new"):
        yield from _complete_short_key(word, table)
        if "=" not in word and not names:
            yield from _complete_path(word)
    if command in ("run", "plan"):
        named = (Path(folder) for option, folder in pairwise(typed) if option in ("--config-dir", "-cd"))
        yield from _complete_override(word, [folder for folder in named if folder.is_dir()])


def _complete_study(command: str, names: Sequence[str], word: str) -> Iterator[str]:
    """Yield names of studies; where one is named, what a model is chosen by, with the names that the study has."""
    key, equals, _ = word.partition("=")
    if not equals and (not names or command == "compare"):
        homes = (path.parent for path in Path("experiments").glob("*/study.yaml"))
        yield from (home.name for home in homes if "~" not in home.name)
    elif command in OF_MODELS and names and not equals:
        yield from (f"{each}=" for each in ("dataset", "learner", "strategy"))
    elif command in OF_MODELS and names:
        members = _read_content(Path("experiments") / names[0] / "study.yaml").get(key)
        yield from (f"{key}={name}" for name in (members if isinstance(members, Mapping) else ()))


def _complete_path(word: str) -> Iterator[str]:
    """Yield tables and resolved studies in the folder that a word names, and the folders in it."""
    folder, _, start = word.rpartition("/")
    try:
        listed = sorted(Path(f"{folder}/" if folder or "/" in word else ".").iterdir())
    except OSError:
        return
    lead = f"{folder}/" if "/" in word else ""
    for entry in listed:
        if entry.name.startswith(start) and not (entry.name.startswith(".") and not start):
            if entry.is_dir():
                yield f"{lead}{entry.name}/"
            elif entry.suffix in COMPLETED_ENDINGS:
                yield f"{lead}{entry.name}"


def _complete_override(word: str, folders: Sequence[Path]) -> Iterator[str]:
    plus = word[: len(word) - len(word.lstrip("+~"))]
    key, equals, value = word[len(plus) :].partition("=")
    if equals:
        yield from (f"{plus}{key}={each}" for each in _complete_value(key, value, folders))
    else:
        yield from (f"{plus}{each}" for each in _complete_key(key, folders))


def _complete_short_key(word: str, table: Path | None) -> Iterator[str]:
    """Yield keys of a table in a text file that the line names, and their values that are columns of it."""
    if table is None:
        return
    prefix = "dataset.table." if word.startswith("dataset.table.") else ""
    key, equals, value = word.removeprefix(prefix).partition("=")
    if prefix and equals:
        yield from (f"{prefix}{each}" for each in _complete_short_key(word.removeprefix(prefix), table))
    elif not equals:
        yield from (f"{name}=" for name in _content("dataset.table", ()) if name not in ("kind", "path", "name"))
    elif key in COLUMN_KEYS:
        yield from (f"{key}={column}" for column in _header_columns(table))
    elif key in COLUMN_LIST_KEYS and value.startswith("["):
        lead = value[: max(value.rfind("["), value.rfind(",")) + 1]
        yield from (f"{key}={lead}{column}" for column in _header_columns(table) if column not in lead[1:].split(","))


def _header_columns(table: Path | None) -> Iterator[str]:
    """Yield the columns of a table that need no quotes in a shell; the most frequent separator splits a text file."""
    if table is not None and table.suffix in (".parquet", ".pq"):
        yield from (name for name in _parquet_columns(table) if re.fullmatch(r"[\w.]+", name))
        return
    try:
        with Path(table or "").expanduser().open(encoding="utf-8-sig") as file:
            header = file.readline(MAX_FIRST_LINE_CHARACTERS).strip()
    except (OSError, RuntimeError, ValueError):
        return
    names = (name.strip("\"' ") for name in header.split(max(",;\t|", key=header.count)))
    yield from (name for name in names if re.fullmatch(r"[\w.]+", name))


def _parquet_columns(table: Path) -> list[str]:
    import pyarrow.parquet

    try:
        return list(pyarrow.parquet.read_schema(table.expanduser()).names)
    except (OSError, RuntimeError, ValueError):  # ArrowInvalid is a ValueError
        return []


def _complete_key(key: str, folders: Sequence[Path]) -> Iterator[str]:
    """Yield the keys that go on from a dotted key by one name: ``runner.`` gives ``runner.n_jobs=``, ..."""
    section = key.rpartition(".")[0]
    if not section:
        groups = group_names(folders)
        yield from (f"{group}=" for group in groups)
        yield from (f"{group}." for group in groups if group != "experiment")
    content = _content(section, folders)
    for name, value in content.items():
        if str(name).startswith("_") or (not section and name in GROUP_HELP):
            continue
        dotted = f"{section}.{name}" if section else str(name)
        yield f"{dotted}." if isinstance(value, Mapping) and value else f"{dotted}="


def _complete_value(key: str, value: str, folders: Sequence[Path]) -> Iterator[str]:
    if key in group_names(folders):
        options = group_options(key, folders)
        lead, is_list = value[: max(value.rfind("["), value.rfind(",")) + 1], value.startswith("[")
        taken = set(lead.strip("[,").split(","))
        if is_list and key in LISTED_GROUPS:
            yield from (f"{lead}{name}" for name in options if name not in taken)
        elif key in LISTED_GROUPS:
            yield from (f"[{name}]" if not value else name for name in options)
            yield "["
        else:
            yield from options
        return
    section, _, name = key.rpartition(".")
    if key in ("primary", "protocol.threshold_measure"):
        yield from group_options("measures", folders)
    elif key == "search.method":
        yield from group_options("search", folders)
    elif key in VALUES or (section.startswith("strategy.") and name in KNOB_VALUES):
        yield from VALUES.get(key) or KNOB_VALUES[name]
    elif isinstance(_content(section, folders).get(name), bool):
        yield from ("true", "false")


def _content(section: str, folders: Sequence[Path]) -> Mapping[str, Any]:
    """Return what a section of a study has in the files of its group."""
    group, *inner = section.split(".") if section else [""]
    places = [*folders, shipped_groups()]
    if not group:
        return _read_content(shipped_groups() / "config.yaml")
    if group in LISTED_GROUPS and not inner:
        return {name: {"": None} for name in group_options(group, folders)}
    if group in LISTED_GROUPS:
        entries: Any = next(filter(None, (_read_content(folder / group / f"{inner[0]}.yaml") for folder in places)), {})
    elif group in group_names(folders):
        entries = {}
        for name in group_options(group, folders):
            for folder in places:
                entries |= _read_content(folder / group / f"{name}.yaml")
    else:
        entries, inner = _read_content(shipped_groups() / "config.yaml"), [group, *inner]
    for name in inner:
        entries = entries.get(name, {}) if isinstance(entries, Mapping) else {}
    return entries if isinstance(entries, Mapping) else {}


def _read_content(path: Path) -> dict[str, Any]:
    import yaml

    try:
        loaded = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return {key: value for key, value in loaded.items() if key != "defaults"} if isinstance(loaded, dict) else {}
