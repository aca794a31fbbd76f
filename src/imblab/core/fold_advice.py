"""What to do about a table that is too small for its folds: fewer folds, classes merged, classes left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from imblab.core.classes import class_rows, merged_classes, number_classes
from imblab.errors import DataError
from imblab.study import Dataset, Protocol
from imblab.text import count_noun, join_words, to_override

#: Whether every part of the splits of a table has enough rows of each class.
Feasible = Callable[[Dataset, Protocol], bool]
#: The largest number of inner folds that is proposed in place of a smaller one.
MAX_INNER_FOLDS = 5
#: Classes that a message lists.
MAX_LISTED_CLASSES = 8


def too_few_rows_error(
    dataset: Dataset, protocol: Protocol, key: str, problem: str, small: Sequence[int], is_feasible: Feasible
) -> DataError:
    """Make the error of a table with more than two classes of which some are too small.

    Parameters
    ----------
    dataset : Dataset
        The table.
    protocol : Protocol
        The numbers of folds that it cannot have.
    key : str
        The key under ``dataset.`` that the overrides name.
    problem : str
        The first part without enough rows.
    small : sequence of int
        The classes with too few rows in some part.
    is_feasible : callable
        Whether another table or protocol would do.

    Returns
    -------
    DataError
        It names the classes; its overrides are fewer folds, or classes merged where no number of folds would do.
    """
    rows = class_rows(dataset)
    listed = (f"{dataset.classes[i]!r} ({count_noun(int(rows[i]), 'row')})" for i in reversed(small))
    noun = "class" if len(small) == 1 else "classes"
    named = f"{noun} {join_words(listed, limit=MAX_LISTED_CLASSES)}: " if small else ""
    folds, overrides = suggest_folds(dataset, protocol, key, is_feasible)
    if small and not overrides:
        folds, overrides = _suggest_more_inner_folds(dataset, protocol, is_feasible)
    ways, regrouped = [folds.removesuffix(".")] if overrides or not small else [], {}
    if together := _suggest_merge(dataset, protocol, small, is_feasible):
        regrouped[f"dataset.{key}.merge"] = merged_classes(dataset.classes, dataset.merged, together)
        ways.append(f"merge classes: {to_override(*next(iter(regrouped.items())))}")
    if dropped := _suggest_dropped(dataset, protocol, small, is_feasible):
        changes: dict[str, object] = {"drop_classes": dropped}
        if any(dataset.classes[i] in dataset.merged for i in small):
            emptied = {dataset.classes[i] for i in small}
            changes["merge"] = {name: [] if name in emptied else list(old) for name, old in dataset.merged.items()}
        words = [to_override(f"dataset.{key}.{name}", value) for name, value in changes.items()]
        ways.append(f"leave out classes: {' '.join(words)}")
    folds = folds or f"No number of folds would do: gather more rows of {dataset.classes[-1]!r}."
    way_out = ". Or ".join(ways) if ways else folds.removesuffix(".")
    return DataError(
        f"data set {key!r} is too small for {protocol.outer_folds} outer x {protocol.inner_folds} inner folds: {named}"
        f"{problem}. Every test and validation part needs a row of each class, and every fit part two. "
        f"{way_out[0].upper()}{way_out[1:]}.",
        overrides=overrides or regrouped,
    )


def suggest_folds(dataset: Dataset, protocol: Protocol, key: str, is_feasible: Feasible) -> tuple[str, dict[str, int]]:
    """Return the largest feasible number of outer (or else of inner) folds, in words and as overrides."""
    if dataset.groups is not None and len(np.unique(dataset.groups)) < 2 * min(protocol.outer_folds, 2):
        return f"Groups are never split, and these are too few: name another column with dataset.{key}.groups.", {}
    if dataset.time is not None and len(np.unique(dataset.time)) <= protocol.outer_folds:
        return (
            "Rows of one time stay together, and there are too few times: name a finer column, or use fewer folds.",
            {},
        )
    # Every test part needs a positive, or a row of each of more classes.
    most = int(class_rows(dataset).min() if len(dataset.classes) > 2 else dataset.y.sum())
    for names in (("outer_folds",), ("inner_folds",), ("outer_folds", "inner_folds")):
        for folds in range(min(*(getattr(protocol, name) - 1 for name in names), most), 1, -1):
            if is_feasible(dataset, replace(protocol, **dict.fromkeys(names, folds))):  # type: ignore[arg-type]
                overrides = {f"protocol.{name}": folds for name in names}
                return f"Set {' and '.join(overrides)} to at most {folds}.", overrides
    what = "positive rows" if len(dataset.classes) == 2 else f"rows of {dataset.classes[-1]!r}"
    return f"No number of folds would do: gather more {what}.", {}


def _suggest_more_inner_folds(
    dataset: Dataset, protocol: Protocol, is_feasible: Feasible
) -> tuple[str, dict[str, int]]:
    """Return the least larger number of inner folds that would do: fit parts grow with it."""
    for folds in range(protocol.inner_folds + 1, MAX_INNER_FOLDS + 1):
        if is_feasible(dataset, replace(protocol, inner_folds=folds)):
            return f"Set protocol.inner_folds={folds}.", {"protocol.inner_folds": folds}
    return "", {}


def _suggest_merge(dataset: Dataset, protocol: Protocol, small: Sequence[int], is_feasible: Feasible) -> list[str]:
    """Return the classes that are large enough as one: those too small, and as many of the rarest as it takes."""
    others = [i for i in reversed(range(len(dataset.classes))) if i not in small]
    for extra in range(max(2 - len(small), 0), len(others)):
        together = [dataset.classes[i] for i in sorted([*small, *others[:extra]])]
        (name,) = set(merged_classes(dataset.classes, {}, together))
        if is_feasible(_regrouped(dataset, [name if c in together else c for c in dataset.classes]), protocol):
            return together
    return []


def _regrouped(dataset: Dataset, labels: Sequence[str | None]) -> Dataset:
    """Return a table, without its features, whose classes have other labels; rows of a class without one are left out.

    Classes are numbered as when the table is read: folds of groups depend on it.
    """
    rows: dict[str, int] = {}
    for label, n in zip(labels, class_rows(dataset).tolist(), strict=True):
        if label is not None:
            rows[label] = rows.get(label, 0) + n
    classes = number_classes(rows)
    y = np.array([-1 if label is None else classes.index(label) for label in labels])[dataset.y]
    kept = np.flatnonzero(y >= 0)
    roles = {role: values[kept] for role in ("groups", "time") if (values := getattr(dataset, role)) is not None}
    return replace(dataset, y=y[kept], classes=classes, **roles)


def _suggest_dropped(dataset: Dataset, protocol: Protocol, small: Sequence[int], is_feasible: Feasible) -> list[str]:
    """Return the labels to leave out, those left out already among them; none if that would not do."""
    if len(dataset.classes) - len(small) < 2:
        return []
    kept = [None if i in small else label for i, label in enumerate(dataset.classes)]
    if not is_feasible(_regrouped(dataset, kept), protocol):
        return []
    labels = [label for i in small for label in dataset.merged.get(dataset.classes[i], (dataset.classes[i],))]
    return [*dataset.dropped_classes, *labels]
