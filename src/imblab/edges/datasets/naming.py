"""What a data set is called and which data set it was made from, known before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imblab.edges.datasets.table_files import stem

#: How the names of KEEL's and Zenodo's tasks begin, and the parent table. Tasks of one parent share their rows.
PARENTS = {
    **{name: name for name in ("abalone", "car", "ecoli", "glass", "kddcup", "kr_vs_k", "lymphography")},
    **{name: name for name in ("page_blocks", "poker", "satimage", "shuttle", "vehicle")},
    # Another table than UCI's yeast: 103 features, many labels.
    **{"yeast_ml8": "yeast_ml8", "yeast": "yeast"},
    **dict.fromkeys(("hypothyroid", "sick_euthyroid", "thyroid_sick"), "thyroid"),
    **dict.fromkeys(("winequality", "wine_quality"), "wine_quality"),
    **dict.fromkeys(("flaref", "solar_flare"), "solar_flare"),
}
#: Keys of the files that imblab brings to read any table: they name a kind, and the table has a name of its own.
TEMPLATES = ("table", "sql", "openml", "keel", "zenodo")


def name_and_parent(spec: Mapping[str, Any], key: str) -> tuple[str, str]:
    """The name of a data set and the parent data set it counts for.

    A data set is called by its key, ``dataset.<key>``. Under the key of a template it is called by its ``name``, or by
    the file, number or table that is read.

    Parameters
    ----------
    spec : mapping
        As for :func:`imblab.edges.datasets.load`.
    key : str

    Returns
    -------
    name, parent : str

    Examples
    --------
    >>> called({"kind": "keel", "table": "yeast_2_vs_4"}, "keel_yeast_2_vs_4")
    ('keel_yeast_2_vs_4', 'yeast')
    >>> called({"kind": "table", "path": "data/churn.csv"}, "table")
    ('churn', 'churn')
    >>> called({"kind": "table", "path": "data/2024.csv"}, "claims")
    ('claims', 'claims')
    """
    kind, table = str(spec.get("kind", "table")), str(spec.get("table") or key)
    own = _own_name(spec, kind, table, key)
    name = str(spec.get("name") or own)
    home = parent(table) if kind in ("keel", "zenodo") else name if kind == "openml" else own
    return name, str(spec.get("parent") or spec.get("source") or home)


def _own_name(spec: Mapping[str, Any], kind: str, table: str, key: str) -> str:
    """The key; under the key of a template what is read there."""
    if key not in TEMPLATES:
        return key
    if kind == "openml":
        return f"openml_{spec.get('data_id')}"
    if kind in ("keel", "zenodo"):
        return f"{kind}_{table}"
    return stem(Path(str(spec["path"]))) if kind == "table" and spec.get("path") else key


def parent(table: str) -> str:
    """The parent of a task of KEEL or Zenodo; a task that is its own parent gives its name.

    Examples
    --------
    >>> parent("abalone19"), parent("wine_quality"), parent("iris0"), parent("cardio")
    ('abalone', 'wine_quality', 'iris0', 'cardio')
    """
    for start, name in PARENTS.items():
        rest = table.removeprefix(start)
        if rest != table and not rest[:1].isalpha():
            return name
    return table
