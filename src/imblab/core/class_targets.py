"""The classes that a ratio changes, and to how many rows: imbalanced-learn's ``sampling_strategy`` as a dictionary."""

from __future__ import annotations

from collections.abc import Sequence

#: The kinds of samplers, as imbalanced-learn declares them by ``_sampling_type``. A combination of over-sampling and
#: cleaning is of the first kind.
OVER_SAMPLING, UNDER_SAMPLING, CLEANING = "over-sampling", "under-sampling", "clean-sampling"


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
