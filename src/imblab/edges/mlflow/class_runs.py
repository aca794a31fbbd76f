"""What runs hold by class: scores, thresholds, rows and labels of data sets with more than two classes.

MLflow's keys refuse characters that labels have, so classes stand there by their index: ``recall/class_2``. 0 is the
most frequent class, the last one the rarest; the tag ``class_2`` holds the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from imblab.analysis.outer_splits import count_outer_folds
from imblab.edges.mlflow.runs import Metric, threshold_values
from imblab.result import Evaluation
from imblab.study import Study
from imblab.text import code_span, format_score

#: Measures whose values by class are logged.
CLASS_MEASURES = ("recall", "pr_auc")


def class_metrics(study: Study, members: Sequence[Evaluation]) -> Iterator[Metric]:
    """Mean scores by class over the outer folds, those of each fold, and the median threshold of each class.

    Nothing with two classes.
    """
    scored = [each for each in members if each.class_scores]
    for name in (name for name in CLASS_MEASURES if scored and name in scored[0].class_scores):
        for index in range(len(scored[0].class_scores[name])):
            values = [(each, each.class_scores[name][index]) for each in scored]
            defined = [(each, value) for each, value in values if value is not None]
            if defined:
                yield f"{name}/class_{index}", float(np.mean([value for _, value in defined])), 0
            for each, value in defined:
                yield (
                    f"fold/{name}/class_{index}",
                    value,
                    each.repeat * count_outer_folds(study, each.dataset) + each.fold,
                )
    for name, value in _median_thresholds(scored).items():
        yield name, value, 0


def class_tags(labels: Sequence[str]) -> dict[str, str]:
    """The label of each class, under the tag ``class_<index>``."""
    return {f"class_{index}": label for index, label in enumerate(labels)}


def class_profile(matrices: Sequence[np.ndarray]) -> dict[str, Any]:
    """The rows of confusion matrices: all of them, and by class."""
    counts = np.sum(matrices, axis=(0, 2))
    return {"num_rows": int(counts.sum()), "num_classes": len(counts), "rows_by_class": counts.tolist()}


def class_table(members: Sequence[Evaluation], labels: Sequence[str]) -> str:
    """Write the classes as a Markdown table: test rows, mean scores, median threshold; empty with two classes."""
    scored = [each for each in members if each.class_scores]
    if not scored:
        return ""
    n_classes = len(scored[0].confusion)
    names = [name for name in CLASS_MEASURES if name in scored[0].class_scores]
    thresholds = list(_median_thresholds(scored).values())
    rows = np.mean([each.matrix.sum(axis=1) for each in scored], axis=0)
    header = ["class", "label", "test rows per fold", *names, *(["median threshold"] if thresholds else [])]
    lines = [header, ["---"] * len(header)]
    for index in range(n_classes):
        label = code_span(labels[index]) if labels else ""
        scores = [_mean_text([each.class_scores[name][index] for each in scored]) for name in names]
        lines.append([str(index), label, f"{rows[index]:.4g}", *scores, *(f"{t:.4g}" for t in thresholds[index:][:1])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _median_thresholds(members: Sequence[Evaluation]) -> Mapping[str, float]:
    """The median threshold of each class over folds; empty with two classes, and for a decision by costs."""
    chosen = [threshold_values(each.threshold) for each in members if isinstance(each.threshold, tuple)]
    return {name: float(median(each[name] for each in chosen)) for name in (chosen[0] if chosen else ())}


def _mean_text(values: Sequence[float | None]) -> str:
    defined = [value for value in values if value is not None]
    return format_score(float(np.mean(defined)) if defined else None)
