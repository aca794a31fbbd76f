"""Checks of the fields of an evaluation against one another, when its line is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imblab import fields

CONFUSION_COUNTS = ("tn", "fp", "fn", "tp")


def check_counts(values: Mapping[str, Any]) -> None:
    """Raise FieldError unless counts of test rows add up to them, and a learner received rows of its classes."""
    counts, reached = values["counts"], values.get("reached", {})
    if counts and set(counts) != set(CONFUSION_COUNTS):
        raise fields.FieldError(
            "counts", fields.quote_value(counts), f"it has the keys {', '.join(CONFUSION_COUNTS)}, or is empty"
        )
    n_test = values.get("n_test", 0)
    if counts and n_test and sum(counts.values()) != n_test:
        raise fields.FieldError("counts", fields.quote_value(counts), f"it adds up to n_test, which is {n_test}")
    if reached and not {"negative", "positive"} <= set(reached) and "classes" not in reached:
        raise fields.FieldError(
            "reached", fields.quote_value(reached), "it has the keys negative and positive, or classes, or is empty"
        )


def check_class_fields(values: Mapping[str, Any]) -> None:
    """Raise FieldError unless all that has a value per class, with more than two, has as many, and rows add up."""
    confusion, n_test = values.get("confusion", ()), values.get("n_test", 0)
    n_classes = len(confusion)
    if confusion and (n_classes < 3 or {len(row) for row in confusion} != {n_classes}):
        rule = "it has a row per class, of at least three, each with one count per class"
        raise fields.FieldError("confusion", fields.quote_value(confusion), rule)
    if confusion and n_test and sum(map(sum, confusion)) != n_test:
        raise fields.FieldError("confusion", fields.quote_value(confusion), f"it adds up to n_test, which is {n_test}")
    if confusion and values["counts"]:
        raise fields.FieldError("counts", fields.quote_value(values["counts"]), "it is empty next to confusion")
    threshold = values["threshold"]
    if isinstance(threshold, tuple):
        is_fitting = not values["counts"] and len(threshold) >= 3 and (not confusion or len(threshold) == n_classes)
    else:
        is_fitting = threshold is None or not confusion
    if not is_fitting:
        rule = "it is a number with two classes, and a list of one per class with more"
        raise fields.FieldError("threshold", fields.quote_value(threshold), rule)
    for name, scores in values.get("class_scores", {}).items():
        if len(scores) != n_classes:
            rule = f"it has one score for each of {n_classes} classes"
            raise fields.FieldError(f"class_scores.{name}", fields.quote_value(scores), rule)
