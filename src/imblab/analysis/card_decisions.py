"""How a model card describes decisions: between a positive and a negative class, or between several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from imblab.result import Evaluation, ThresholdValue
from imblab.stats.probabilities import CLASS_RANGES
from imblab.study import Measure, Scalar
from imblab.text import code_span, format_range, format_score

#: Measures whose values by class are in the table of classes.
CLASS_COLUMNS = ("recall", "precision", "pr_auc")


class _TwoClassCard:
    """Sentences on a positive and a negative class, with one threshold.

    ``members`` are the evaluations of the strategy with scores, ``compared`` names what a threshold is compared with.
    """

    def __init__(self, labels: Sequence[Scalar], class_rows: Sequence[int], threshold: float) -> None:
        self._negative, self._positive = labels
        self._n_positive, self._share = class_rows[1], class_rows[1] / sum(class_rows)
        self._threshold = threshold

    def lead(self, dataset: str, compared: str) -> str:
        """Name the threshold and the two labels."""
        return (
            f"Predicts {code_span(self._positive)} for a row of {code_span(dataset)} whose {compared} is at or above "
            f"**{self._threshold:g}**, else {code_span(self._negative)}"
        )

    def rows(self) -> str:
        return f", {self._n_positive:,} of them positive ({self._share:.2%})"

    def threshold(self) -> str:
        return f"threshold {self._threshold:g}"

    def fold_thresholds(self, members: Sequence[Evaluation]) -> str:
        return f"threshold {format_range(self._range(members), '{:g}'.format)}"

    def is_fixed(self, members: Sequence[Evaluation]) -> bool:
        """Whether the ends of the range are the threshold."""
        low, high = self._range(members)
        return low == high == self._threshold

    def class_section(self, members: Sequence[Evaluation]) -> Iterator[str]:
        yield from ()

    def range_of(self, measure: Measure) -> tuple[float | None, float | None]:
        return measure.range

    def no_statistics(self) -> str:
        """Say that the source of statistics of calibration is gone."""
        return " The predictions of the study are not stored."

    def population(self, is_chosen: bool) -> str:
        """Name the share of positives; ``is_chosen`` if the threshold was chosen for it."""
        return (
            f"another share of positives than about {self._share:.2%}: precision and calibration change with that "
            f"share{', and the threshold was chosen for this one' * is_chosen}."
        )

    def use(self, has_probabilities: bool) -> str:
        """Name the methods."""
        scores = "`decision_function` gives values that rank the rows"
        if has_probabilities:
            scores = "`predict_proba` gives probabilities in the order of `classes_`"
        return f"`predict` gives labels by the threshold, {scores}"

    def _range(self, members: Sequence[Evaluation]) -> tuple[float, float]:
        thresholds = [each.single_threshold for each in members if each.single_threshold is not None]
        return (min(thresholds), max(thresholds)) if thresholds else (math.nan, math.nan)


class _SeveralClassCard:
    """Sentences and a table on more than two classes, with a threshold per class, or with costs."""

    def __init__(
        self, labels: Sequence[Scalar], class_rows: Sequence[int], thresholds: tuple[float, ...] | None
    ) -> None:
        self._labels, self._rows, self._thresholds = labels, class_rows, thresholds

    def lead(self, dataset: str, compared: str) -> str:
        value = compared.removesuffix(",")
        if self._thresholds is None:
            rule = "the class of least expected cost, by the costs of the strategy"
        elif set(self._thresholds) == {0.5}:
            rule = f"the class with the largest {value}"
        else:
            rule = f"the class with the largest (1 - t) / t times its {value}, where t is the threshold of the class"
        return f"Predicts for a row of {code_span(dataset)} {rule}; ties go to the rarer class"

    def rows(self) -> str:
        return f" in {len(self._rows)} classes"

    def threshold(self) -> str:
        return "a decision by costs" if self._thresholds is None else "a threshold per class (see Classes)"

    def fold_thresholds(self, members: Sequence[Evaluation]) -> str:
        return "the same costs" if self._thresholds is None else "the thresholds of each class in that table"

    def is_fixed(self, members: Sequence[Evaluation]) -> bool:
        return {each.threshold for each in members} == {self._thresholds}

    def class_section(self, members: Sequence[Evaluation]) -> Iterator[str]:
        """Yield a table with a row per class: rows, threshold, thresholds of the outer folds, mean scores."""
        names = [name for name in CLASS_COLUMNS if members and name in members[0].class_scores]
        chosen = ["threshold", "outer folds"] if self._thresholds is not None else []
        header = ["class", "rows", "share", *chosen, *names]
        lines = [header, ["---"] * len(header)]
        for index, (label, n_rows) in enumerate(zip(self._labels, self._rows, strict=True)):
            scores = [_mean_score([each.class_scores[name][index] for each in members]) for name in names]
            thresholds = self._describe_thresholds(index, members)
            share = f"{n_rows / sum(self._rows):.2%}"
            lines.append([code_span(label), f"{n_rows:,}", share, *thresholds, *scores])
        yield "## Classes"
        yield "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        if names:
            yield (
                "Scores are means over outer folds, each class against the rest; a dash stands for one that is "
                "undefined in a fold."
            )

    def range_of(self, measure: Measure) -> tuple[float | None, float | None]:
        return CLASS_RANGES.get(measure.function, measure.range)

    def no_statistics(self) -> str:
        return ""

    def population(self, is_chosen: bool) -> str:
        return (
            "other shares of the classes than the table's: precision and calibration change with "
            f"them{', and the decisions were chosen for these' * is_chosen}."
        )

    def use(self, has_probabilities: bool) -> str:
        rule = "the costs" if self._thresholds is None else "the thresholds"
        method, values = ("predict_proba", "probability") if has_probabilities else ("decision_function", "value")
        return f"`predict` gives labels by {rule}, `{method}` a {values} per class in the order of `classes_`"

    def _describe_thresholds(self, index: int, members: Sequence[Evaluation]) -> list[str]:
        """The threshold of a class, and the range of those of the outer folds; empty for a decision by costs."""
        if self._thresholds is None:
            return []
        of_folds = [each.threshold[index] for each in members if isinstance(each.threshold, tuple)]
        ends = format_range((min(of_folds), max(of_folds)), "{:g}".format) if of_folds else ""
        return [f"{self._thresholds[index]:g}", ends]


#: The sentences of a card that depend on the number of classes: both have the same methods.
CardDecisions = _TwoClassCard | _SeveralClassCard


def describe_decisions(
    labels: Sequence[Scalar], class_rows: Sequence[int], threshold: ThresholdValue | None
) -> CardDecisions:
    """Choose the sentences for the number of classes; ``threshold`` is that of the model."""
    if len(labels) == 2:
        assert isinstance(threshold, (int, float))
        return _TwoClassCard(labels, class_rows, threshold)
    assert threshold is None or isinstance(threshold, tuple)
    return _SeveralClassCard(labels, class_rows, threshold)


def _mean_score(values: Sequence[float | None]) -> str:
    defined = [value for value in values if value is not None]
    return format_score(float(np.mean(defined)) if len(defined) == len(values) else None)
