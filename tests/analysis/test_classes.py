"""Numbers of each class: against scikit-learn, and in words."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from imblab.analysis import advice, answer_page, text_tables, tuning
from imblab.analysis.methods import describe_use, short_label
from imblab.analysis.results import build_result, select_families
from imblab.analysis.text_tables import choice_table, class_tables
from imblab.result import Evaluation, KnobChoice
from imblab.study import Learner, Measure, Protocol, Strategy, Study

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none", label="No treatment, threshold .5"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote", SMOTE, k=3, space={}, ratio=0.5),
)
LABELS = ("large", "small", "rare")
STUDY = Study(
    "demo", 0, {"toy": {}}, (Learner("knn", {}),), STRATEGIES, (Measure("mcc", "imblab.core.measures.mcc", "label"),),
    Protocol(outer_folds=4),
)  # fmt: skip


def decisions(seed):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], [30, 12, 5])
    return y, np.where(rng.random(len(y)) < 0.3, rng.integers(0, 3, len(y)), y)


def row(strategy, fold, ratio=None, threshold=(0.5, 0.5, 0.5), **facts):
    """An evaluation of a fold by random decisions, which are those of the seed ``fold``."""
    y, decided = decisions(fold + 10 * STUDY.strategy_names.index(strategy))
    matrix = confusion_matrix(y, decided)
    return Evaluation(
        "toy", "knn", strategy, 0, fold, {} if ratio is None else {"ratio": ratio}, threshold,
        {"mcc": matrix.trace() / matrix.sum()}, {}, 0.1, "ok", None, "f", split_fingerprint=str(fold), n_train=150,
        n_test=47, confusion=tuple(map(tuple, matrix.tolist())), **facts,
    )  # fmt: skip


def result(labels=LABELS):
    rows = [row("none", i) for i in range(4)]
    rows += [row("threshold", i, threshold=(0.5, 0.1 + i / 10, 0.3)) for i in range(4)]
    rows += [row("smote", i, ratio=0.5) for i in range(4)]
    return build_result(STUDY, rows, classes={"toy": labels})


def test_means_over_folds_are_those_of_scikit_learn():
    rows, folds = [row("none", i) for i in range(4)], [decisions(i) for i in range(4)]
    shares = np.mean([confusion_matrix(y, d, normalize="true") for y, d in folds], axis=0)
    np.testing.assert_allclose(text_tables.mean_confusion(rows), shares, atol=1e-12)
    np.testing.assert_allclose(
        text_tables.mean_counts(rows), np.sum([confusion_matrix(y, d) for y, d in folds], axis=0)
    )
    recalls = np.mean([recall_score(y, d, average=None) for y, d in folds], axis=0)
    np.testing.assert_allclose(text_tables.class_recalls(rows), recalls, atol=1e-12)
    np.testing.assert_allclose(text_tables.mean_confusion(rows).diagonal(), recalls, atol=1e-12)
    precisions = np.mean([precision_score(y, d, average=None) for y, d in folds], axis=0)
    np.testing.assert_allclose(text_tables.class_precisions(rows), precisions, atol=1e-12)


def test_recall_is_grouped_by_the_ratio_that_folds_chose():
    rows = [row("smote", i, ratio=0.5 if i < 3 else 1.0) for i in range(4)]
    by_ratio = text_tables.recalls_by_ratio([*reversed(rows), row("none", 0)])
    assert list(by_ratio) == [0.5, 1.0]
    np.testing.assert_allclose(by_ratio[0.5], text_tables.class_recalls(rows[:3]))
    np.testing.assert_allclose(by_ratio[1.0], text_tables.class_recalls(rows[3:]))


def test_what_a_learner_received_is_the_smallest_over_the_largest_class():
    rows = [row("smote", 0, reached={"classes": (100, 50, 25)})]
    assert tuning.received_ratio(rows) == 0.25
    weighted = [replace(rows[0], params={"weight": "power 0.5"})]
    assert tuning.received_ratio(weighted) == 0.5


def test_labels_that_the_record_lacks_are_indices():
    assert result().classes == {"toy": LABELS}
    assert result(("large", "small")).classes == {"toy": ("0", "1", "2")}
    assert not result().recommendation.has_two_classes


def test_a_part_of_a_result_tells_the_classes_of_its_families_alone():
    study = replace(STUDY, learners=(Learner("knn", {}), Learner("tree", {})))
    rows = [
        replace(row(s, i), learner=learner) for learner in ("knn", "tree") for s in ("none", "smote") for i in range(4)
    ]
    study = replace(study, strategies=(STRATEGIES[0], STRATEGIES[2]))
    part = select_families(build_result(study, rows, classes={"toy": LABELS}), [("toy", "tree")])
    (line,) = text_tables.describe_recalls(part)
    assert "tree" in line
    assert set(class_tables(part)) == {("toy", "tree")}


def test_thresholds_are_named_by_class_where_they_are_tuned():
    built = result()
    assert all(knob.name != "threshold" for knob in built.recommendation.families["toy", "knn"].knobs) or (
        built.recommendation.families["toy", "knn"].strategy == "threshold"
    )
    knob = KnobChoice(
        "threshold",
        text_tables.median_thresholds([row("threshold", i, threshold=(0.5, i / 10, 0.3)) for i in (1, 2, 4)]),
        3,
        3,
    )
    words = "thresholds 'rare' 0.3, 'small' 0.2, others 0.5 (medians over 3 folds)"
    assert advice._describe_knob(knob, LABELS, "{} folds".format) == words


def test_the_table_of_choices_has_the_range_of_thresholds_over_classes_and_folds():
    header, rows = choice_table(result().summary)
    assert [cells[header.index("threshold")] for cells in rows] == ["0.5", "0.1-0.5", "0.5"]


@pytest.mark.parametrize(
    ("strategy", "label", "use"),
    [
        (
            STRATEGIES[0],
            "No treatment, most probable class",
            "the classes as they are, and decide for the most probable one",
        ),
        (STRATEGIES[1], "Tuned threshold", "a tuned threshold per class"),
        (STRATEGIES[2], "SMOTE 1:2, most probable class", "SMOTE 1:2, and decide for the most probable one"),
    ],
)
def test_several_classes_have_no_single_threshold(strategy, label, use):
    assert short_label(strategy, has_two_classes=False) == label
    assert describe_use(strategy, has_two_classes=False) == use


def test_the_screen_says_the_recall_of_the_rarest_classes():
    built = result()
    lines = answer_page.answer_lines(built, 100)
    assert len(lines) <= answer_page.MAX_SCREEN_LINES
    text = " ".join(lines)
    assert "threshold of .5" not in text
    chosen = built.recommendation.families["toy", "knn"].strategy
    recalls = text_tables.class_recalls([e for e in built.evaluations if e.strategy == chosen])
    assert f"Recall by class of toy by `{chosen}`" in text
    assert f"'rare' {recalls[2]:.3f} (" in text
