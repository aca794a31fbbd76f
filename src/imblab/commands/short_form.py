"""The short form of a study of one table: the path of a file and keys of the table, written out as overrides."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from imblab.edges import config
from imblab.edges.config.requests import RUNTIME
from imblab.edges.config.studies import StudyModel
from imblab.edges.datasets import COMMON_KEYS, likely_targets
from imblab.edges.datasets.table_files import FILE_OPTIONS, is_table, table_name
from imblab.errors import ConfigError, combined, unknown
from imblab.groups import GROUP_HELP, group_options
from imblab.text import join_words, to_hydra_syntax, to_shell

#: A study of a table that is described and not loaded.
UNREAD_TABLE = ("name=table", "dataset=table", "dataset.table.path=table.csv", "dataset.table.target=target")
#: Keys of a table that may be typed without ``dataset.table.``; ``name`` is the name of the study.
SHORT_KEYS = {*COMMON_KEYS, *FILE_OPTIONS} - {"kind", "name", "n_folds"}
#: All keys without a dot that an argument may have.
KNOWN_KEYS = {*SHORT_KEYS, *StudyModel.model_fields, *RUNTIME, *GROUP_HELP, config.DATA_DIR}
#: Keys of a table that hold lists or mappings, written in Hydra's grammar; every other value is one word.
STRUCTURED_KEYS = (
    *("drop", "categorical", "numeric", "missing", "rare", "allow_majority_positive"),
    *("merge", "drop_classes"),
)
MAX_NAME_CHARACTERS = 100


def overrides_from_python(words: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return overrides as the command line has them from those of Python: texts, and keys with their values.

    A text that is neither an override nor a path is the name of an experiment.

    Examples
    --------
    >>> overrides_from_python(["quickstart"], {"seed": 3, "search.n_trials": 5, "learner": ["svm"]})
    ['experiment=quickstart', 'seed=3', 'search.n_trials=5', 'learner=[svm]']
    """

    def is_name(word: str) -> bool:
        is_file = word.endswith((".yaml", ".yml")) or table_path(word) is not None
        return re.fullmatch(r"\w[\w.-]*", word) is not None and not is_file

    plain = (str, int, float, list, tuple, dict, Path, np.generic, type(None))
    items = [*((None, w) for w in words if not isinstance(w, str)), *values.items()]
    items += [(key, item) for key, value in values.items() if isinstance(value, (list, tuple)) for item in value]
    if problems := [
        f"{'an override' if key is None else repr(key)} is of type {type(value).__name__}; a study is composed of "
        "texts, as on the command line, and of keys with plain values. Pass tables and objects to imblab.run(X, y)."
        for key, value in items
        if key is None or not isinstance(value, plain)
    ]:
        raise ConfigError(*problems)
    texts = [f"experiment={word}" if is_name(word) else word for word in words]
    return [*texts, *(f"{key}={to_hydra_syntax(value)}" for key, value in values.items())]


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
    paths = [path for arg in args if (path := table_path(arg)) is not None]
    if not paths:
        _check_files_exist(args)
        return list(args)
    if len(paths) > 1:
        raise _several_tables_error(paths, command)
    path, name = paths[0], table_name(Path(paths[0]))
    if _path_exists(f"{path}/study.yaml"):
        line = to_shell(["imblab", command, str(Path(path) / "study.yaml")])
        raise ConfigError(f"{path!r} is the directory of a study; its question is the file study.yaml. Write {line}.")
    others = [arg for arg in args if table_path(arg) is None]
    datasets = [arg.partition("=")[2].strip("[]") for arg in others if arg.startswith("dataset=")]
    table_keys = [arg for arg in others if "=" in arg and arg.partition("=")[0] in SHORT_KEYS]
    _check_keys(others)
    named = any(arg.startswith("name=") for arg in others)
    overrides = [] if named else [f"name={to_hydra_syntax(_study_name(name))}"]
    overrides += [f"dataset=[{','.join(['table', *datasets])}]" if datasets else "dataset=table"]
    overrides += [f"dataset.table.path={to_hydra_syntax(path)}", *map(table_override, table_keys)]
    overrides += [arg for arg in others if arg not in table_keys and not arg.startswith("dataset=")]
    if not any(arg.lstrip("+").startswith("dataset.table.target=") for arg in overrides):
        raise _no_target_error(path, name, args, overrides, command)
    return overrides


def words_of_study(args: Sequence[str]) -> list[str]:
    """Return the words that are neither a file nor about the table of the short form."""
    of_table = re.compile(r"\+*(dataset(\.table\.\w+)?|name|experiment)=")
    return [
        word
        for word, key in ((word, word.partition("=")[0]) for word in args)
        if table_path(word) is None
        and not of_table.match(word)
        and key not in SHORT_KEYS
        and ("=" in word or word.startswith(("-", "~")))
        and not (re.fullmatch(r"\w+", key) and key not in KNOWN_KEYS)
    ]


def _check_files_exist(args: Sequence[str]) -> None:
    """Refuse a word that looks like the name of a file where none is."""
    for arg in args:
        if re.fullmatch(r"[^=~+-][^=]*\.\w{1,8}", arg) and not arg.endswith((".yaml", ".yml")):
            folder = Path(arg).parent
            tables = [str(path) for path in folder.iterdir() if is_table(path)] if folder.is_dir() else []
            way_out = unknown("file", arg, tables).partition(". ")[2]
            raise ConfigError(f"{arg!r} is neither a file nor an override key=value. {way_out}")
        if re.fullmatch(r"\w[\w-]*", arg):
            meant = {name: f"experiment={name}" for name in group_options("experiment")}
            meant |= {path.stem: str(path) for path in sorted(Path().iterdir()) if is_table(path)}
            for near in get_close_matches(arg, meant, n=1, cutoff=0.8):
                raise ConfigError(
                    f"{arg!r} is neither a file nor an override key=value. Write {meant[near]} for {near}."
                )


def _check_keys(words: Sequence[str]) -> None:
    """Refuse keys that neither a table nor a study has; one that resembles ``target`` may stand for it."""
    has_target = any(re.match(r"\+*(dataset\.table\.)?target=", word) for word in words)
    errors = [
        ConfigError(f"override {word!r}: {unknown('key', key, KNOWN_KEYS, 'of the table or the study')}")
        for word, key in ((word, word.partition("=")[0]) for word in words if re.match(r"\w+=", word))
        if key not in KNOWN_KEYS and (has_target or not _means_target(key))
    ]
    if errors:
        raise combined(errors)


def _means_target(key: str) -> bool:
    """Whether a key is ``target``, or no key of a table or a study and most like it."""
    key = key.removeprefix("dataset.table.")
    return key == "target" or (key not in KNOWN_KEYS and get_close_matches(key, SHORT_KEYS, n=1) == ["target"])


def table_path(arg: str) -> str | None:
    """Return the path of a table that an argument holds, by itself or as ``dataset=``; None if it holds none."""
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


def table_override(arg: str) -> str:
    """Return ``key=value`` of a table as an override of Hydra, the value quoted where it is one word."""
    key, _, value = arg.partition("=")
    structured = key in STRUCTURED_KEYS and (value[:1] in ("[", "{") or key in ("rare", "allow_majority_positive"))
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return f"dataset.table.{key}={value if structured or quoted else to_hydra_syntax(value)}"


def _no_target_error(path: str, name: str, args: Sequence[str], overrides: Sequence[str], command: str) -> ConfigError:
    table = [arg.removeprefix("dataset.table.") for arg in overrides if arg.startswith("dataset.table.")]
    options = {key: value.strip("'\"") for key, _, value in (arg.partition("=") for arg in table)}
    spec = {key: value for key, value in options.items() if key in (*FILE_OPTIONS, "missing")}
    candidates, columns, sentence = likely_targets({"kind": "table", "path": path, **spec}, name)
    place = next(i for i, arg in enumerate(args) if table_path(arg) is not None) + 1
    # A word that was meant as the target is not repeated: targt=class, or class alone.
    keys = {arg: arg.partition("=")[0] for arg in args if table_path(arg) is None}
    meant = [arg for arg, key in keys.items() if _means_target(key) or arg in columns]
    named = [word for arg in meant if (word := arg.rpartition("=")[2]) in columns]
    target = [*named, *candidates, "COLUMN"][0]
    target = to_hydra_syntax(target) if target[:1] in ("'", '"') else target  # other words are taken as they are
    before, after = ([arg for arg in part if arg not in meant] for part in (args[:place], args[place:]))
    line = to_shell(["imblab", command, *before, f"target={target}", *after])
    typed = f" ({join_words(map(repr, meant))} sets none)" if meant else ""
    return ConfigError(
        f"data set {name!r} has no target{typed}; a study needs the column that holds the labels. {sentence} "
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
