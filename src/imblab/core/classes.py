"""Classes of a table: their numbers, their rows in a part, how some become one; and advice on folds too small for them.

Tables that are small for their folds get warnings, and what to do: fewer folds, classes merged, classes left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from imblab.errors import DataError
from imblab.study import Dataset, Protocol, Split
from imblab.text import count_noun, join_words, table_option, table_setting, to_override

#: The name that is proposed for several classes as one.
MERGED_NAME = "other"
#: The kinds of samplers, as imbalanced-learn declares them by ``_sampling_type``. A combination of over-sampling and
#: cleaning is of the first kind.
OVER_SAMPLING, UNDER_SAMPLING, CLEANING = "over-sampling", "under-sampling", "clean-sampling"
#: Whether every part of the splits of a table has enough rows of each class.
Feasible = Callable[[Dataset, Protocol], bool]
#: The largest number of inner folds that is proposed in place of a smaller one.
MAX_INNER_FOLDS = 5
MAX_LISTED_CLASSES = 8
#: Below these numbers of positives, or of rows of any of more classes, single rows dominate a score: a warning.
FEW_TEST_POSITIVES = 10
FEW_TRAIN_POSITIVES = 20
#: A hold-out whose test part differs from the share asked by more of all rows gives a warning.
MAX_SHARE_DIFFERENCE = 0.05
PROPOSED_TEST_SIZES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)

#: Numbers of folds as arguments of `imblab.run`, where a table in memory has no key.
FOLD_ARGUMENTS = {"protocol.outer_folds": "cv", "protocol.inner_folds": "inner_cv"}


def number_classes(rows: Mapping[str, int]) -> tuple[str, ...]:
    """Order labels by falling frequency, ties by label as text: class 0 is the most frequent, the last the rarest.

    Examples
    --------
    >>> number_classes({"pox": 20, "cyt": 463, "vac": 20})
    ('cyt', 'pox', 'vac')
    """
    return tuple(sorted(rows, key=lambda label: (-rows[label], label)))


def class_rows(dataset: Dataset, rows: np.ndarray | None = None) -> np.ndarray:
    """Count the rows of each class, in the whole table or a part of it; 0 for a class that the part lacks.

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
    """Return the ``merge`` of a data set in which the classes ``together`` are one more, called ``name``.

    ``classes`` are those after the merges made already, ``merged``; labels follow their order. A number is added to the
    name if another class has it. Merges that are part of the new one are left without labels: on a command line a
    mapping adds to that of a file, and so takes them away.

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

    Over-sampling raises every class but the largest (of equals, the first) to ``int(n_max * ratio - n)`` more rows than
    its n, where that is at least one. Under-sampling cuts every class to ``int(n_min / ratio)`` rows, where it has
    more. Empty if the ratio changes nothing, which makes it not applicable; None for a ``kind`` (``_sampling_type``)
    that has no ratio, such as cleaning.

    With two classes they are the rows that imbalanced-learn computes from the ratio itself, a float
    ``sampling_strategy``. It takes no float for more classes, refuses a target that a class has passed already, and
    shuffles an under-sampled class that is listed with its own count.

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


def cautions(dataset: Dataset, splits: Sequence[Split], test_size: float | None = None) -> tuple[str, ...]:
    """Warn, in whole sentences, of parts with so few positives that single rows decide.

    With more than two classes it is one sentence on the rows of all of them. ``test_size`` is the share of a hold-out;
    a test part that is far from it, since groups and times stay whole, is told as well.
    """
    remedy = larger_test_parts(dataset, test_size)
    if len(dataset.classes) > 2:
        return *_class_cautions(dataset, splits, remedy), *_share_cautions(dataset, splits, test_size)
    test = min(int(dataset.y[s.test].sum()) for s in splits)
    train = min(int(dataset.y[s.train].sum()) for s in splits)
    sentences = []
    if test < FEW_TEST_POSITIVES:
        sentences.append(
            f"{dataset.name!r} has a test part with {test} positives; below {FEW_TEST_POSITIVES} a score moves by "
            f"whole steps. {remedy} or more repeats."
        )
    if train < FEW_TRAIN_POSITIVES:
        sentences.append(
            f"{dataset.name!r} has an outer training part with {train} positives; below {FEW_TRAIN_POSITIVES} what "
            "is learned and tuned is unstable. Read every difference with that in mind."
        )
    return *sentences, *_share_cautions(dataset, splits, test_size)


def _share_cautions(dataset: Dataset, splits: Sequence[Split], test_size: float | None) -> tuple[str, ...]:
    """Warn in one sentence of a hold-out whose test part is far from the share that was asked."""
    if test_size is None:
        return ()
    share = max((len(s.test) / len(dataset.y) for s in splits), key=lambda share: abs(share - test_size))
    if abs(share - test_size) <= MAX_SHARE_DIFFERENCE:
        return ()
    rule = "rows of one time stay together"
    if dataset.groups is not None:
        rule = "groups stay whole, and the test part is one of round(1 / test_size) folds, of two at least"
    return (
        f"{dataset.name!r} has a test part with {share:.0%} of its rows, where protocol.test_size={test_size:g} was "
        f"asked: {rule}.",
    )


def _class_cautions(dataset: Dataset, splits: Sequence[Split], remedy: str) -> tuple[str, ...]:
    """Warn in one sentence of the classes with few rows in a test part or in an outer training part."""
    findings = []
    for parts, enough, where, effect in (
        ([s.test for s in splits], FEW_TEST_POSITIVES, "a test part", "a score moves by whole steps"),
        (
            [s.train for s in splits],
            FEW_TRAIN_POSITIVES,
            "an outer training part",
            "what is learned and tuned is unstable",
        ),
    ):
        fewest = np.min([class_rows(dataset, part) for part in parts], axis=0)
        few = [f"{fewest[i]} of {dataset.classes[i]!r}" for i in np.flatnonzero(fewest < enough)[::-1]]
        if few:
            findings.append(f"{join_words(few, limit=MAX_LISTED_CLASSES)} in {where} (below {enough} {effect})")
    if not findings:
        return ()
    return (f"{dataset.name!r} has few rows of some classes: {'; '.join(findings)}. {remedy}, or `merge`.",)


def too_few_rows_error(
    dataset: Dataset, protocol: Protocol, key: str | None, problem: str, small: Sequence[int], is_feasible: Feasible
) -> DataError:
    """Make the error of a table with more than two classes of which some, ``small``, have too few rows in some part.

    ``problem`` describes the first such part; ``key`` is the key under ``dataset.`` that the overrides name, None for a
    table in memory, which has arguments. The overrides are fewer folds, or classes merged where no number of folds
    would do.
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
        merged = merged_classes(dataset.classes, dataset.merged, together)
        regrouped = {table_option(key, "merge"): merged} if key is not None else {}
        ways.append(f"merge classes: {table_setting(key, 'merge', merged)}")
    if dropped := _suggest_dropped(dataset, protocol, small, is_feasible):
        changes: dict[str, object] = {"drop_classes": dropped}
        if any(dataset.classes[i] in dataset.merged for i in small):
            emptied = {dataset.classes[i] for i in small}
            changes["merge"] = {name: [] if name in emptied else list(old) for name, old in dataset.merged.items()}
        words = [table_setting(key, name, value) for name, value in changes.items()]
        ways.append(f"leave out classes: {(' ' if key is not None else ', ').join(words)}")
    folds = folds or f"No number of folds would do: gather more rows of {dataset.classes[-1]!r}."
    way_out = ". Or ".join(ways) if ways else folds.removesuffix(".")
    return DataError(
        f"data set {dataset.name!r} is too small for {describe_design(dataset, protocol)}: {named}{problem}. Every "
        "test and validation part needs a row of each class, and every fit part two. "
        f"{way_out[0].upper()}{way_out[1:]}.",
        overrides=overrides or regrouped,
    )


def describe_design(dataset: Dataset, protocol: Protocol) -> str:
    """Name the outer and inner splits of a data set, such as ``5 outer x 3 inner folds``."""
    outer = f"{protocol.outer_folds} outer"
    if dataset.folds is not None:
        outer = f"{len(dataset.fold_names)} predefined"
    elif protocol.test_size is not None:
        return f"a hold-out of {protocol.test_size:g} with {protocol.inner_folds} inner folds"
    if protocol.inner == "shared":
        return f"{outer} folds that serve as inner folds too"
    return f"{outer} x {protocol.inner_folds} inner folds"


def larger_test_parts(dataset: Dataset, test_size: float | None) -> str:
    """Say what makes test parts larger."""
    if dataset.folds is not None:
        return "Use fewer values of `folds`"
    return "Use fewer outer folds" if test_size is None else "Use a larger protocol.test_size"


def suggest_folds(
    dataset: Dataset, protocol: Protocol, key: str | None, is_feasible: Feasible
) -> tuple[str, dict[str, float]]:
    """Return the largest feasible number of outer (or else of inner) folds, in words and as overrides.

    For a hold-out it is the nearest share that would do, or else the number of inner folds.
    """
    if dataset.groups is not None and len(np.unique(dataset.groups)) < 2 * min(protocol.outer_folds, 2):
        return (
            f"Groups are never split, and these are too few: name another column with {table_option(key, 'groups')}.",
            {},
        )
    least_times = 1 if protocol.test_size is not None else protocol.outer_folds
    if dataset.time is not None and len(np.unique(dataset.time)) <= least_times:
        remedy = "name a finer column" if protocol.test_size is not None else "name a finer column, or use fewer folds"
        return f"Rows of one time stay together, and there are too few times: {remedy}.", {}
    for changes in _smaller_designs(dataset, protocol):
        if is_feasible(dataset, replace(protocol, **changes)):  # type: ignore[arg-type]
            overrides = {f"protocol.{name}": value for name, value in changes.items()}
            if "test_size" in changes:
                return f"Set {' '.join(to_override(*item) for item in overrides.items())}.", overrides
            names = [
                name if key is not None else f"{name} ({FOLD_ARGUMENTS[name]} of imblab.run)" for name in overrides
            ]
            return f"Set {' and '.join(names)} to at most {next(iter(changes.values()))}.", overrides
    what = "positive rows" if len(dataset.classes) == 2 else f"rows of {dataset.classes[-1]!r}"
    if dataset.folds is not None:
        return f"Give each fold of {table_option(key, 'folds')} enough {what}, or leave that column out.", {}
    noun = "share" if protocol.test_size is not None else "number of folds"
    if dataset.time is not None:
        return (
            f"No {noun} would do: folds follow the time, and a part of it has too few {what}. Start or end the table "
            f"where they occur, or set {table_setting(key, 'time', None)} if the rows do not depend on their order.",
            {},
        )
    return f"No {noun} would do: gather more {what}.", {}


def _smaller_designs(dataset: Dataset, protocol: Protocol) -> Iterator[Mapping[str, float]]:
    """Yield what could be changed, the mildest change first."""
    # Every test part needs a positive, or a row of each of more classes.
    most = int(class_rows(dataset).min() if len(dataset.classes) > 2 else dataset.y.sum())
    fewer_inner: list[Mapping[str, float]] = [
        {"inner_folds": folds} for folds in range(min(protocol.inner_folds - 1, most), 1, -1)
    ]
    test_size = protocol.test_size
    if dataset.folds is not None:
        yield from fewer_inner
    elif test_size is not None:
        sizes = sorted(PROPOSED_TEST_SIZES, key=lambda size: abs(size - test_size))
        yield from ({"test_size": size} for size in sizes)
        yield from fewer_inner
        yield from ({"test_size": size, "inner_folds": 2} for size in sizes)
    else:
        fewest = min(protocol.outer_folds, protocol.inner_folds)
        yield from ({"outer_folds": folds} for folds in range(min(protocol.outer_folds - 1, most), 1, -1))
        yield from fewer_inner
        yield from ({"outer_folds": folds, "inner_folds": folds} for folds in range(min(fewest - 1, most), 1, -1))


def _suggest_more_inner_folds(
    dataset: Dataset, protocol: Protocol, is_feasible: Feasible
) -> tuple[str, dict[str, float]]:
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
    roles = {
        role: values[kept] for role in ("groups", "time", "folds") if (values := getattr(dataset, role)) is not None
    }
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
