"""Classes of a table: their numbers, their rows in a part, and how to write that some of them become one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from imblab.study import Dataset

#: The name that is proposed for several classes as one.
MERGED_NAME = "other"


def number_classes(rows: Mapping[str, int]) -> tuple[str, ...]:
    """Order labels by falling frequency, ties by label as text: class 0 is the most frequent, the last the rarest.

    Parameters
    ----------
    rows : mapping of str to int
        Rows by label.

    Returns
    -------
    tuple of str
        The labels; the position of a label is its class.

    Examples
    --------
    >>> number_classes({"pox": 20, "cyt": 463, "vac": 20})
    ('cyt', 'pox', 'vac')
    """
    return tuple(sorted(rows, key=lambda label: (-rows[label], label)))


def class_rows(dataset: Dataset, rows: np.ndarray | None = None) -> np.ndarray:
    """Count the rows of each class.

    Parameters
    ----------
    dataset : Dataset
        Its ``y`` and ``classes``.
    rows : ndarray of int, optional
        Row numbers of a part; the whole table by default.

    Returns
    -------
    ndarray of shape (n_classes,), int64
        Rows by class; 0 for a class that the part lacks.

    Examples
    --------
    >>> import pandas as pd
    >>> toy = Dataset("toy", pd.DataFrame({"a": [1.0, 2, 3, 4]}), np.array([0, 1, 0, 2]), ("a", "b", "c"))
    >>> class_rows(toy).tolist(), class_rows(toy, np.array([0, 2])).tolist()
    ([2, 1, 1], [2, 0, 0])
    """
    y = dataset.y if rows is None else dataset.y[rows]
    return np.bincount(y, minlength=len(dataset.classes))


def merged_classes(
    classes: Sequence[str], merged: Mapping[str, Sequence[str]], together: Collection[str], name: str = MERGED_NAME
) -> dict[str, list[str]]:
    """Return the ``merge`` of a data set in which some of its classes are one more.

    Parameters
    ----------
    classes : sequence of str
        The classes as they are, after the merges made already.
    merged : mapping of str to sequence of str
        The merges made already: a class and the labels that it replaces.
    together : collection of str
        The classes that are to be one.
    name : str, default="other"
        Its label; a number is added if another class has it.

    Returns
    -------
    dict of str to list of str
        What ``dataset.<name>.merge`` has to be; labels in the order of the classes. Merges that are part of the new one
        are left without labels: on a command line a mapping adds to that of a file, and so takes them away.

    Examples
    --------
    >>> merged_classes(["a", "b", "c", "d"], {}, ["d", "c"])
    {'other': ['c', 'd']}
    >>> merged_classes(["a", "other", "b"], {"other": ["c", "d"]}, ["other", "b"])
    {'other': ['c', 'd', 'b']}
    >>> merged_classes(["a", "few", "b"], {"few": ["c", "d"]}, ["few", "b"])
    {'few': [], 'other': ['c', 'd', 'b']}
    """
    others = {label for label in classes if label not in together}
    free, number = name, 1
    while free in others:
        number += 1
        free = f"{name}_{number}"
    labels = [label for known in classes if known in together for label in merged.get(known, (known,))]
    return {**{new: [] if new in together else list(old) for new, old in merged.items()}, free: labels}
