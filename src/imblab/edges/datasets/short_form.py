"""``imblab run data/churn.csv target=left``: the short form of a study of one table, written out in full."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from imblab.edges.datasets.sources import KEYS, likely_targets
from imblab.edges.datasets.table_files import OPTIONS, is_table, stem
from imblab.errors import ConfigError
from imblab.overrides import to_hydra_syntax, to_shell

#: Keys of a table that need no ``dataset.table.`` before them; ``name`` is the name of the study.
SHORT_KEYS = {*KEYS, *OPTIONS} - {"kind", "name"}
#: Keys that say how the file is read.
FORMAT_KEYS = (*OPTIONS, "missing")
#: Keys of a table that hold lists or mappings, which are written in Hydra's grammar; every other value is one word.
STRUCTURED = ("drop", "categorical", "numeric", "missing", "rare", "allow_majority_positive")


def expand_short_form(args: Sequence[str], command: str = "run") -> list[str]:
    """Write the short form of a study of one table out in full; anything else is given back as it is.

    Parameters
    ----------
    args : sequence of str
        As typed: a path, and the keys of a table without ``dataset.table.`` before them.
    command : str, default="run"
        What the line to paste calls.

    Returns
    -------
    list of str
        Hydra overrides.

    Raises
    ------
    ConfigError, DataError
        If the file cannot be read, or nothing says which column holds the labels: the columns that could be it are
        listed, and the whole line is there to paste.

    Examples
    --------
    >>> expand(["data/churn.csv", "target=left", "learner=[logistic]"])  # doctest: +NORMALIZE_WHITESPACE
    ['name=churn', 'dataset=table', 'dataset.table.path=data/churn.csv', 'dataset.table.target=left',
     'learner=[logistic]']
    >>> expand(["experiment=quickstart"])
    ['experiment=quickstart']
    """
    paths = [path for arg in args if (path := _path(arg)) is not None]
    if not paths:
        return list(args)
    if len(paths) > 1:
        raise _too_many(paths, command)
    if _exists(f"{paths[0]}/study.yaml"):
        raise ConfigError(
            f"{paths[0]!r} is the directory of a study; its question is the file study.yaml. Write "
            f"{to_shell(['imblab', command, str(Path(paths[0]) / 'study.yaml')])}."
        )
    path, named = paths[0], stem(Path(paths[0]))
    rest = [arg for arg in args if _path(arg) is None]
    others = [arg.partition("=")[2].strip("[]") for arg in rest if arg.startswith("dataset=")]
    keys = [arg for arg in rest if arg.partition("=")[0] in SHORT_KEYS]
    full = [] if any(arg.startswith("name=") for arg in rest) else [f"name={to_hydra_syntax(_name(named))}"]
    full += [f"dataset=[{','.join(['table', *others])}]" if others else "dataset=table"]
    full += [f"dataset.table.path={to_hydra_syntax(path)}", *map(_written_out, keys)]
    full += [arg for arg in rest if arg not in keys and not arg.startswith("dataset=")]
    if not any(arg.lstrip("+").startswith("dataset.table.target=") for arg in full):
        raise _no_target(path, named, full, command)
    return full


def _path(arg: str) -> str | None:
    """The path of a table that a word holds, by itself or as ``dataset=``."""
    key, _, value = arg.partition("=")
    word = value.strip("'\"") if key == "dataset" else arg
    if "=" in arg and is_table(Path(arg)) and _exists(arg):
        return arg  # a name with an equals sign in it: there is such a file
    if (
        (arg.startswith(("-", "~", "+")) and not arg.startswith("~/"))
        or ("=" in arg and key != "dataset")
        or word.endswith((".yaml", ".yml"))
    ):
        return None
    is_file = "=" not in arg and ("/" in word or _exists(word))
    return word if word and (is_file or is_table(Path(word))) else None


def _exists(word: str) -> bool:
    try:
        return Path(word).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # a name too long, no home, a NUL in it
        return False


def _name(text: str) -> str:
    """The name of a study, from that of its file: letters lose their marks, everything else becomes an underscore."""
    text = unicodedata.normalize("NFKD", text)
    text = "".join(mark for mark in text if not unicodedata.combining(mark))
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("_.+-")[:100] or "table"


def _written_out(arg: str) -> str:
    key, _, value = arg.partition("=")
    if key in STRUCTURED and (value[:1] in ("[", "{") or key in ("rare", "allow_majority_positive")):
        return f"dataset.table.{key}={value}"
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return f"dataset.table.{key}={value if quoted else to_hydra_syntax(value)}"


def _no_target(path: str, named: str, full: Sequence[str], command: str) -> ConfigError:
    given = dict(arg.removeprefix("dataset.table.").split("=", 1) for arg in full if arg.startswith("dataset.table."))
    options = {key: value.strip("'\"") for key, value in given.items() if key in FORMAT_KEYS}
    found, said = likely_targets({"kind": "table", "path": path, **options}, "table", named)
    place = next(i for i, arg in enumerate(full) if arg.startswith("dataset.table.path=")) + 1
    target = f"dataset.table.target={to_hydra_syntax(found[0] if found else 'COLUMN')}"
    line = to_shell(["imblab", command, *full[:place], target, *full[place:]])
    return ConfigError(
        f"{path!r} is a table, and nothing says which column holds its labels; a study needs a target of two values. "
        f"{said} The whole line: `{line}`."
    )


def _too_many(paths: Sequence[str], command: str) -> ConfigError:
    words = ["imblab", command, "name=NAME"]
    for path in paths:
        key = _name(stem(Path(path)))
        words += [f"dataset.{key}.path={to_hydra_syntax(path)}", f"dataset.{key}.target=COLUMN"]
    return ConfigError(
        f"{', '.join(map(repr, paths))} are {len(paths)} tables; the short form reads one. Describe each under a name "
        f"of its own: `{to_shell(words)}`."
    )
