"""Labels that a user merges into one class, and labels whose rows are left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imblab.core.classes import number_classes
from imblab.edges.datasets import notation
from imblab.text import count_noun, join_words

MAX_LISTED_LABELS = 12


@dataclass(frozen=True, slots=True)
class Regrouping:
    """The class of each label; None for a label that is left out."""

    class_of: dict[str, str | None]
    merged: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Labels whose rows are left out."""
        return tuple(label for label, name in self.class_of.items() if name is None)

    def rows_of_classes(self, rows: Mapping[str, int]) -> dict[str, int]:
        """Return the rows of each class."""
        result: dict[str, int] = {}
        for label, name in self.class_of.items():
            if name is not None:
                result[name] = result.get(name, 0) + rows[label]
        return dict(sorted(result.items())) if self.merged else result


def regroup_labels(
    column: str, rows: Mapping[str, int], merge: Any, drop: Any, problems: notation.TableProblems
) -> Regrouping | None:
    """Return the class of each label, as text, after merging and dropping what the user wrote; None after a problem."""
    n_problems = len(problems.errors)
    groups = _read_merge(merge, rows, problems)
    dropped = _read_dropped(drop, rows, problems)
    if len(problems.errors) > n_problems:
        return None
    groups = {name: _known_labels(values, rows) for name, values in groups.items()}
    _check_known("merge", column, groups, merge, rows, problems)
    _check_known("drop_classes", column, {"": _known_labels(dropped, rows)}, {"": dropped}, rows, problems)
    if len(problems.errors) > n_problems:
        return None
    regrouping = _assign_classes(column, rows, groups, _known_labels(dropped, rows), problems)
    return None if len(problems.errors) > n_problems else regrouping


def _read_merge(merge: Any, rows: Mapping[str, int], problems: notation.TableProblems) -> dict[str, list[Any]]:
    """Return what is merged, by the new label; one without labels that it replaces takes away a merge of a file."""
    if merge is None:
        return {}
    groups = {}
    if isinstance(merge, Mapping):
        groups = {notation.label_text(name): notation.as_list(values) for name, values in merge.items()}
    if not isinstance(merge, Mapping) or not all(name.strip() for name in groups):
        rarest = list(number_classes(rows))[-2:]
        problems.add(
            f"has the value {merge!r} for merge",
            "merge maps a new label to the labels that it replaces",
            f"Write for example {problems.assign('merge', {'other': rarest})}.",
        )
        return {}
    return {name: values for name, values in groups.items() if values}


def _read_dropped(dropped: Any, rows: Mapping[str, int], problems: notation.TableProblems) -> list[Any]:
    if isinstance(dropped, Mapping):
        problems.add(
            f"has the value {dropped!r} for drop_classes",
            "drop_classes lists the labels whose rows are left out",
            f"Write for example {problems.assign('drop_classes', [number_classes(rows)[-1]])}.",
        )
        return []
    return notation.as_list(dropped)


def _known_labels(values: Sequence[Any], rows: Mapping[str, int]) -> list[str]:
    """Return the labels that are meant; the text of the value for one that does not exist."""
    return [next((text for text in rows if is_same_label(text, v)), notation.label_text(v)) for v in values]


def _check_known(
    role: str,
    column: str,
    groups: Mapping[str, Sequence[str]],
    given: Any,
    rows: Mapping[str, int],
    problems: notation.TableProblems,
) -> None:
    """Refuse labels that no row has, with the nearest ones."""
    unknown = [label for labels in groups.values() for label in labels if label not in rows]
    if not unknown:
        return
    parts = {label: notation.comma_parts(label, rows) for label in unknown}
    nearest = {label: notation.nearest_name(label, rows) for label in unknown if not parts[label]}
    corrected = {
        name: list(
            dict.fromkeys(g for label in labels for g in parts.get(label) or [nearest.get(label, label) or ""] if g)
        )
        for name, labels in groups.items()
    }
    value = corrected if role == "merge" else corrected[""]
    is_complete = all(corrected.values())
    guesses = [repr(guess) for guess in nearest.values() if guess]
    guess = f"Did you mean {join_words(guesses)}? " if guesses else ""
    remedy = f"Set {problems.assign(role, value)}." if is_complete else "Choose among them."
    hint = next((hint for v in _flat(given) if isinstance(v, bool) and (hint := notation.yaml_hint(v))), "")
    problems.add(
        f"has no {'label' if len(unknown) == 1 else 'labels'} {join_words(map(repr, unknown))} in {column!r}, which "
        f"{problems.option(role)} names",
        f"its labels are {list_labels(rows)}",
        f"{guess}{remedy} {hint}".rstrip(),
        {role: value} if is_complete else None,
    )


def _flat(given: Any) -> Iterator[Any]:
    for values in given.values() if isinstance(given, Mapping) else ():
        yield from notation.as_list(values)


def _assign_classes(
    column: str,
    rows: Mapping[str, int],
    groups: Mapping[str, Sequence[str]],
    dropped: Collection[str],
    problems: notation.TableProblems,
) -> Regrouping:
    """Give each label its class, and refuse what contradicts itself: a label in two places, two names for one class."""
    placed = [label for labels in groups.values() for label in dict.fromkeys(labels)] + list(dict.fromkeys(dropped))
    twice = sorted({label for label in placed if placed.count(label) > 1})
    if twice:
        problems.add(
            f"names the label {twice[0]!r} of {column!r} more than once in merge and drop_classes",
            "a label belongs to one class, or is left out",
            f"Name it once in {problems.option('merge')} or {problems.option('drop_classes')}.",
        )
    class_of: dict[str, str | None] = {label: label for label in rows}
    class_of |= dict.fromkeys(dropped)
    class_of |= {label: name for name, labels in groups.items() for label in labels}
    for name in groups:
        if class_of.get(name, name) != name:
            problems.add(
                f"merges labels of {column!r} into {name!r}, which is itself merged or left out",
                "a class keeps the label that it is given",
                f"Choose another label in {problems.option('merge')}.",
            )
    names = {name for name in class_of.values() if name is not None}
    for name in groups:
        if alike := [other for other in names if other != name and other.strip() == name.strip()]:
            problems.add(
                f"has the classes {name!r} and {alike[0]!r} after merging, which differ only by blanks",
                "classes are known by their text",
                f"Choose another label in {problems.option('merge')}.",
            )
    members = {
        name: tuple(label for label in rows if class_of[label] == name) for name in groups if name in class_of.values()
    }
    return Regrouping(class_of, members)


def note_regrouping(regrouping: Regrouping, rows: Mapping[str, int], problems: notation.TableProblems) -> None:
    """Note which labels are one class, and which rows are left out."""
    for name, labels in regrouping.merged.items():
        listed = join_words((f"{label!r} ({count_noun(rows[label], 'row')})" for label in labels), limit=6)
        problems.notes.append(f"has {listed} merged into the class {name!r}")
    if regrouping.dropped:
        listed = join_words(map(repr, regrouping.dropped), limit=6)
        n_rows = sum(rows[label] for label in regrouping.dropped)
        problems.notes.append(f"is studied without the {count_noun(n_rows, 'row')} labelled {listed}")


def is_same_label(label: str, given: Any) -> bool:
    """Whether a label is the one that was given; true and false are known in any case."""
    texts = (label, notation.label_text(given))
    folded = {text.lower() for text in texts}
    if texts[0] == texts[1] or (len(folded) == 1 and folded <= {"true", "false"}):
        return True
    number = notation.canonical_number(texts[1])  # 1.0 as it was typed
    return number is not None and number == notation.canonical_number(label)


def list_labels(rows: Mapping[str, int]) -> str:
    """List labels with their rows."""
    return join_words((f"{text!r} ({count} rows)" for text, count in rows.items()), limit=MAX_LISTED_LABELS)
