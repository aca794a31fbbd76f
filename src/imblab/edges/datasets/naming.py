"""What a data set is called and which table it was made from, known before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imblab.edges.datasets.formats import stem

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


def called(spec: Mapping[str, Any], key: str) -> tuple[str, str]:
    """The name of a data set and the parent table it counts for.

    Parameters
    ----------
    spec : mapping
        As for :func:`imblab.edges.datasets.load`.
    key : str

    Returns
    -------
    name, source : str

    Examples
    --------
    >>> called({"kind": "keel", "table": "yeast_2_vs_4"}, "keel_yeast_2_vs_4")
    ('keel_yeast_2_vs_4', 'yeast')
    >>> called({"kind": "table", "path": "data/churn.csv"}, "table")
    ('churn', 'churn')
    """
    kind, table = str(spec.get("kind", "table")), str(spec.get("table") or key)
    if kind == "bundled":
        name, source = key, key
    elif kind == "openml":
        name = str(spec.get("name") or f"openml_{spec.get('data_id')}")
        source = name
    elif kind == "table":
        name = stem(Path(str(spec.get("path") or key)))
        source = name
    else:
        name, source = f"{kind}_{table}", parent(table)
    return str(spec.get("name") or name), str(spec.get("source") or source)


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
