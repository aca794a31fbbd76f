"""Measures of more than two classes: every shipped one has a form for several classes, or a reason."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn import metrics as sk

from imblab.core import measures
from imblab.errors import ConfigError
from imblab.stats import counts
from imblab.study import Measure

FOLDER = Path(__file__).parents[2] / "conf" / "measures"
SHIPPED = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))[path.stem] for path in FOLDER.glob("*.yaml")}
COSTS = [[0, 1, 4], [2, 0, 1], [9, 3, 0]]


def shipped(name):
    entry = SHIPPED[name]
    parameters = {"costs": COSTS} if name == "expected_cost" else entry["parameters"]
    return Measure(name, entry["function"], entry["needs"], entry["greater_is_better"], parameters=parameters)


@pytest.fixture
def sample():
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1, 2], [60, 25, 15])
    values = np.exp(rng.normal(size=(100, 3)) + np.eye(3)[y])
    values /= values.sum(axis=1, keepdims=True)
    return y, values, values.argmax(axis=1)


#: By name: scikit-learn's value for all classes, and the values by class where there are any.
WITNESSES = {
    "mcc": (lambda y, p, d: sk.matthews_corrcoef(y, d), None),
    "recall": (
        lambda y, p, d: sk.recall_score(y, d, average="macro"),
        lambda y, p, d: sk.recall_score(y, d, average=None),
    ),
    "precision": (
        lambda y, p, d: sk.precision_score(y, d, average="macro"),
        lambda y, p, d: sk.precision_score(y, d, average=None),
    ),
    "f1": (lambda y, p, d: sk.f1_score(y, d, average="macro"), lambda y, p, d: sk.f1_score(y, d, average=None)),
    "f2": (
        lambda y, p, d: sk.fbeta_score(y, d, beta=2, average="macro"),
        lambda y, p, d: sk.fbeta_score(y, d, beta=2, average=None),
    ),
    "specificity": (
        lambda y, p, d: np.mean([sk.recall_score(y != c, d != c) for c in range(3)]),
        lambda y, p, d: [sk.recall_score(y != c, d != c) for c in range(3)],
    ),
    "balanced_accuracy": (lambda y, p, d: sk.balanced_accuracy_score(y, d), None),
    "g_mean": (lambda y, p, d: np.prod(sk.recall_score(y, d, average=None)) ** (1 / 3), None),
    "recall_min": (lambda y, p, d: sk.recall_score(y, d, average=None).min(), None),
    "accuracy": (lambda y, p, d: sk.accuracy_score(y, d), None),
    "accuracy_baseline": (lambda y, p, d: 0.6, None),
    "expected_cost": (lambda y, p, d: np.mean(np.array(COSTS)[y, d]), None),
    "pr_auc": (
        lambda y, p, d: sk.average_precision_score(np.eye(3)[y], p, average="macro"),
        lambda y, p, d: sk.average_precision_score(np.eye(3)[y], p, average=None),
    ),
    "roc_auc": (
        lambda y, p, d: sk.roc_auc_score(y, p, multi_class="ovr"),
        lambda y, p, d: sk.roc_auc_score(y, p, multi_class="ovr", average=None),
    ),
    "brier": (lambda y, p, d: sk.brier_score_loss(y, p, labels=[0, 1, 2]), None),
    "log_loss": (lambda y, p, d: sk.log_loss(y, p, labels=[0, 1, 2]), None),
}
TWO_CLASSES_ONLY = {"precision_at_prevalence", "precision_at_1pct", "recall_at_1pct", "recall_at_precision_90"}
TWO_CLASSES_ONLY |= {"amount_cost"}


def test_every_shipped_measure_is_covered_here():
    assert set(WITNESSES) | TWO_CLASSES_ONLY == set(SHIPPED)


@pytest.mark.parametrize("name", WITNESSES)
def test_the_form_for_several_classes_has_the_values_of_scikit_learn(name, sample):
    measure = shipped(name)
    arguments = (counts.confusion_matrices(sample[0], sample[2], 3),) if measure.needs == "label" else sample[:2]
    of_all, by_class = WITNESSES[name]
    found = measures.class_function_of(measure)(*arguments)
    np.testing.assert_allclose(found, of_all(*sample), rtol=0, atol=1e-12)
    function = measures._per_class_function_of(measure)
    assert (function is None) == (by_class is None)
    if function is not None:
        np.testing.assert_allclose(function(*arguments), by_class(*sample), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(TWO_CLASSES_ONLY))
def test_a_measure_of_two_classes_says_so(name):
    with pytest.raises(ConfigError, match=rf"measure '{name}' is for two classes only, because \w+ .*\. Leave it out"):
        measures.class_function_of(shipped(name))
    assert measures._per_class_function_of(shipped(name)) is None


def test_a_function_of_the_users_own_is_averaged_over_the_classes(packages, sample):
    packages(rates="def missed(tn, fp, fn, tp):\n    return fn / (tp + fn)\n")
    measure = Measure("missed", "rates.missed", "label", False)
    matrix = counts.confusion_matrices(sample[0], sample[2], 3)
    recalls = sk.recall_score(sample[0], sample[2], average=None)
    assert measures.class_function_of(measure)(matrix).item() == pytest.approx(np.mean(1 - recalls), abs=1e-12)
    np.testing.assert_allclose(measures._per_class_function_of(measure)(matrix), 1 - recalls, atol=1e-12)
    found = measures.class_function_of(Measure("auc", "sklearn.metrics.roc_auc_score", "score"))(*sample[:2])
    assert found == pytest.approx(sk.roc_auc_score(sample[0], sample[1], multi_class="ovr"), abs=1e-12)
