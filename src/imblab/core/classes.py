"""Classes of a table: their numbers, their rows in a part and after resampling, and how some of them become one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from imblab.study import Dataset

#: The name that is proposed for several classes as one.
MERGED_NAME = "other"
#: The kinds of samplers, as imbalanced-learn declares them by ``_sampling_type``. A combination of over-sampling and
#: cleaning is of the first kind.
OVER_SAMPLING, UNDER_SAMPLING, CLEANING = "over-sampling", "under-sampling", "clean-sampling"


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


def class_targets(counts: Sequence[int], ratio: float, kind: str) -> dict[int, int] | None:
    """Return the rows that a ratio asks for, of exactly the classes that it changes.

    With two classes they are the rows that imbalanced-learn computes from the ratio itself, a float
    ``sampling_strategy``. It takes no float for more classes, refuses a target that a class has passed already, and
    shuffles an under-sampled class that is listed with its own count.

    Parameters
    ----------
    counts : sequence of int
        Rows of each class in the part that is resampled, at least 1.
    ratio : float
        Above 0 and at most 1. Over-sampling raises every class but the largest (of equals, the first) to
        ``int(n_max * ratio - n)`` more rows than its n, where that is at least one. Under-sampling cuts every class to
        ``int(n_min / ratio)`` rows, where it has more.
    kind : str
        The sampler's ``_sampling_type``.

    Returns
    -------
    dict of int to int, or None
        Rows afterwards by class, ascending; empty if the ratio changes nothing, which makes it not applicable. None
        for a kind that has no ratio, such as cleaning.

    Examples
    --------
    >>> class_targets([100, 40, 8], 0.5, OVER_SAMPLING)
    {1: 50, 2: 50}
    >>> class_targets([100, 40, 8], 0.4, OVER_SAMPLING)
    {2: 40}
    >>> class_targets([100, 40, 8], 0.5, UNDER_SAMPLING)
    {0: 16, 1: 16}
    """
    if kind == OVER_SAMPLING:
        largest = max(counts)
        majority = counts.index(largest)
        new_rows = {c: int(largest * ratio - n) for c, n in enumerate(counts) if c != majority}
        return {c: counts[c] + n_new for c, n_new in new_rows.items() if n_new >= 1}
    if kind == UNDER_SAMPLING:
        kept = int(min(counts) / ratio)
        return {c: kept for c, n in enumerate(counts) if n > kept}
    return None
