"""``imblab run data/churn.csv target=left``: the short form of a study of one table, written out in full."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from imblab.edges.datasets.sources import COMMON_KEYS, likely_targets
from imblab.edges.datasets.table_files import FILE_OPTIONS, is_table, table_name
from imblab.errors import ConfigError
from imblab.overrides import to_hydra_syntax, to_shell

#: Keys of a table that may be typed without ``dataset.table.``; ``name`` is the name of the study.
SHORT_KEYS = {*COMMON_KEYS, *FILE_OPTIONS} - {"kind", "name"}
#: Keys of a table that hold lists or mappings, written in Hydra's grammar; every other value is one word.
STRUCTURED_KEYS = ("drop", "categorical", "numeric", "missing", "rare", "allow_majority_positive")
MAX_NAME_CHARACTERS = 100


def expand_short_form(args: Sequence[str], command: str = "run") -> list[str]:
    """Write the short form of a study of one table out in full; other arguments are returned unchanged.

    ``args`` are a path and keys of a table without ``dataset.table.``; the result are Hydra overrides. If there is no
    target, a ConfigError lists the columns that could be it, in a complete command to paste.

    Examples
    --------
    >>> expand_short_form(["data/churn.csv", "target=left", "learner=[logistic]"])  # doctest: +NORMALIZE_WHITESPACE
    ['name=churn', 'dataset=table', 'dataset.table.path=data/churn.csv', 'dataset.table.target=left',
     'learner=[logistic]']
    >>> expand_short_form(["experiment=quickstart"])
    ['experiment=quickstart']
    """
    paths = [path for arg in args if (path := _table_path(arg)) is not None]
    if not paths:
        return list(args)
    if len(paths) > 1:
        raise _several_tables_error(paths, command)
    path, name = paths[0], table_name(Path(paths[0]))
    if _path_exists(f"{path}/study.yaml"):
        line = to_shell(["imblab", command, str(Path(path) / "study.yaml")])
        raise ConfigError(f"{path!r} is the directory of a study; its question is the file study.yaml. Write {line}.")
    others = [arg for arg in args if _table_path(arg) is None]
    datasets = [arg.partition("=")[2].strip("[]") for arg in others if arg.startswith("dataset=")]
    table_keys = [arg for arg in others if arg.partition("=")[0] in SHORT_KEYS]
    named = any(arg.startswith("name=") for arg in others)
    overrides = [] if named else [f"name={to_hydra_syntax(_study_name(name))}"]
    overrides += [f"dataset=[{','.join(['table', *datasets])}]" if datasets else "dataset=table"]
    overrides += [f"dataset.table.path={to_hydra_syntax(path)}", *map(_table_override, table_keys)]
    overrides += [arg for arg in others if arg not in table_keys and not arg.startswith("dataset=")]
    if not any(arg.lstrip("+").startswith("dataset.table.target=") for arg in overrides):
        raise _no_target_error(path, name, overrides, command)
    return overrides


def _table_path(arg: str) -> str | None:
    """Return the path of a table that an argument holds, by itself or as ``dataset=``."""
    key, _, value = arg.partition("=")
    word = value.strip("'\"") if key == "dataset" else arg
    if "=" in arg and is_table(Path(arg)) and _path_exists(arg):
        return arg  # an existing file with an equals sign in its name
    if (
        (arg.startswith(("-", "~", "+")) and not arg.startswith("~/"))
        or ("=" in arg and key != "dataset")
        or word.endswith((".yaml", ".yml"))
    ):
        return None
    is_path = "=" not in arg and ("/" in word or _path_exists(word))
    return word if word and (is_path or is_table(Path(word))) else None


def _path_exists(word: str) -> bool:
    try:
        return Path(word).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # a name too long, no home, a NUL in it
        return False


def _study_name(text: str) -> str:
    """Return a name for a study: letters without accents, an underscore for everything else."""
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", "".join(letters)).strip("_.+-")[:MAX_NAME_CHARACTERS] or "table"


def _table_override(arg: str) -> str:
    key, _, value = arg.partition("=")
    structured = key in STRUCTURED_KEYS and (value[:1] in ("[", "{") or key in ("rare", "allow_majority_positive"))
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return f"dataset.table.{key}={value if structured or quoted else to_hydra_syntax(value)}"


def _no_target_error(path: str, name: str, overrides: Sequence[str], command: str) -> ConfigError:
    table = [arg.removeprefix("dataset.table.") for arg in overrides if arg.startswith("dataset.table.")]
    options = {key: value.strip("'\"") for key, _, value in (arg.partition("=") for arg in table)}
    spec = {key: value for key, value in options.items() if key in (*FILE_OPTIONS, "missing")}
    columns, sentence = likely_targets({"kind": "table", "path": path, **spec}, "table", name)
    place = next(i for i, arg in enumerate(overrides) if arg.startswith("dataset.table.path=")) + 1
    target = f"dataset.table.target={to_hydra_syntax(columns[0] if columns else 'COLUMN')}"
    line = to_shell(["imblab", command, *overrides[:place], target, *overrides[place:]])
    return ConfigError(
        f"table {path!r} has no target; a study needs the column that holds the labels, with two values. {sentence} "
        f"The whole line: `{line}`."
    )


def _several_tables_error(paths: Sequence[str], command: str) -> ConfigError:
    words = ["imblab", command, "name=NAME"]
    for path in paths:
        key = _study_name(table_name(Path(path)))
        words += [f"dataset.{key}.path={to_hydra_syntax(path)}", f"dataset.{key}.target=COLUMN"]
    return ConfigError(
        f"{', '.join(map(repr, paths))} are {len(paths)} tables; the short form reads one. Give each its own key: "
        f"`{to_shell(words)}`."
    )
