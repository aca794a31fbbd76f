"""The outside witness for more than two classes: ledgers against plain scikit-learn and imbalanced-learn, to 1e-12."""

import importlib.util
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import imblab

HERE = Path(__file__).parent
TOLERANCE = 1e-12
VALUES = [i / 10 for i in range(1, 10)]
#: The measures that are scored by default, and one that a study names.
MEASURES = [m.name for m in imblab.compose("name=x", "dataset=[ecoli3]").measures] + ["recall_min"]
PROTOCOL = {"outer_folds": 3, "inner_folds": 2, "seed": 7, "thresholds": VALUES}

_spec = importlib.util.spec_from_file_location("imblab_witness_plain_classes", HERE / "plain_classes.py")
plain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plain)


def lightgbm(seed):
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1, random_state=seed)


LEARNERS = {
    "logistic": lambda seed: LogisticRegression(solver="newton-cholesky", random_state=seed),
    "decision_tree": lambda seed: DecisionTreeClassifier(random_state=seed),
    "knn": lambda seed: KNeighborsClassifier(n_jobs=1),
    "lightgbm": lightgbm,
}
STRATEGIES = {
    "none": {},
    "threshold": {"threshold": "tuned"},
    "class_weight": {"weights": ["balanced"]},
    "smote_threshold": {"sampler": plain.smote, "ratios": [0.3, 1.0], "ks": [3], "threshold": "tuned"},
}
TABLES = {"three": (0.65, 0.22, 0.13), "four": (0.5, 0.24, 0.16, 0.1)}
#: For the tables with categorical columns: calibrations, shared inner folds, a learner without probabilities.
CALIBRATED = {
    "smote_threshold": STRATEGIES["smote_threshold"],
    "sigmoid": {"threshold": "tuned", "calibration": "sigmoid"},
    "isotonic": {"threshold": "tuned", "calibration": "isotonic"},
    "prior": {"sampler": plain.smote, "ratios": [0.9], "ks": [3], "threshold": 0.4, "calibration": "prior"},
    "weighted_prior": {"weights": ["balanced", "power 0.5"], "calibration": "prior"},
}
CALIBRATED_OVERRIDES = (
    "strategy=[smote_threshold]", "protocol.inner=shared", "strategy.smote_threshold.k=3",
    "strategy.smote_threshold.space.ratio=choice(0.3,1.0)",
    "+strategy.sigmoid={threshold:tuned,calibration:sigmoid}",
    "+strategy.isotonic={threshold:tuned,calibration:isotonic}",
    "+strategy.prior={sampler:${strategy.smote_threshold.sampler},ratio:0.9,k:3,threshold:0.4,calibration:prior,prior_correction:approximate}",
    "+strategy.weighted_prior={calibration:prior,space:{weight:'choice(balanced,{power:0.5})'}}",
)  # fmt: skip
RULES = {
    "bound": {"threshold": {"min_recall": {"class": 2, "value": 0.7}}},
    "costs": {"threshold": {"cost_optimal": [[0, 1, 2], [4, 0, 1], [9, 2, 0]]}},
    "low": {"threshold": 0.2},
}


def mixed():
    """Columns of both kinds with gaps and a rare level, and rows enough for isotonic calibration."""
    rng = np.random.default_rng(8)
    y = rng.permutation(np.repeat([0, 1, 2], [165, 120, 81]))
    frame = pd.DataFrame({
        "color": rng.choice(["blue", "green", "red", None], len(y)), "a": rng.normal(size=len(y)) + y,
        "size": np.array(["big", "mid", "tiny", "tiny", "odd"])[np.minimum(y + rng.integers(0, 3, len(y)), 4)],
        "b": rng.normal(size=len(y)) + (y == 1),
    })  # fmt: skip
    frame.loc[rng.random(len(y)) < 0.03, "b"] = np.nan
    return frame, y


def words():
    """Categorical columns alone: SMOTE becomes SMOTEN; a rarest class with too few rows for isotonic calibration."""
    rng = np.random.default_rng(9)
    y = rng.permutation(np.repeat([0, 1, 2, 3], [90, 50, 36, 24]))
    levels = {"color": 5, "doors": 3, "safety": 4}
    noisy = {name: (y + rng.integers(0, 3, len(y))) % n for name, n in levels.items()}
    return pd.DataFrame({name: [f"{name} {code}" for code in codes] for name, codes in noisy.items()}), y


def table(name):
    """Numeric columns with gaps and noisy labels, the classes from the most frequent to the rarest."""
    if name in CATEGORICAL:
        return CATEGORICAL[name]()
    X, y = make_classification(
        150, 5, n_informative=4, n_redundant=0, n_classes=len(TABLES[name]), n_clusters_per_class=1,
        weights=list(TABLES[name]), flip_y=0.05, class_sep=0.8, random_state=3,
    )  # fmt: skip
    X[np.random.default_rng(3).random(X.shape) < 0.02] = np.nan
    order = np.argsort(-np.bincount(y), kind="stable")
    return X, np.argsort(order)[y]


CATEGORICAL = {"mixed": mixed, "words": words}


def data_set(name):
    X, y = table(name)
    frame = X if name in CATEGORICAL else pd.DataFrame(X, columns=list("abcde"))
    frame = frame.assign(kind=[f"class {label}" for label in y])
    data = imblab.dataset(frame, "kind", name=name)
    np.testing.assert_array_equal(data.y, y)
    return data


def ledger_rows(folder, names, *overrides):
    """Run a study in Python in one process, and read the lines of its ledger."""
    study = imblab.compose(
        "name=w", "seed=7", "dataset=[ecoli3]", "protocol.outer_folds=3", "protocol.inner_folds=2",
        "protocol.thresholds=range(0.1,1,0.1)", f"measures=[{','.join(MEASURES)}]", *overrides,
    )  # fmt: skip
    imblab.run(replace(study, datasets={}), folder=folder, data=[data_set(name) for name in names], store_path=None)
    rows = [json.loads(line) for line in (folder / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    return {(r["dataset"], r["learner"], r["strategy"], r["fold"]): r for r in rows}


def assert_same(ledger, dataset, learner, strategy, make, asked, inner="own"):
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        witness = plain.study(*table(dataset), learner=make, strategy=asked, **PROTOCOL, inner=inner)
    assert len(witness) == 3
    for row in witness:
        theirs = ledger[dataset, learner, strategy, row["fold"]]
        where = f"{dataset}/{learner}/{strategy}/{row['fold']}"
        assert theirs["status"] == row["status"], f"{where}: {theirs.get('error')}"
        if row["status"] != "ok":
            continue
        assert theirs["params"] == row["params"], where
        assert theirs["threshold"] == row["threshold"], where
        assert theirs["confusion"] == row["confusion"], where
        assert theirs["counts"] == {}
        assert "flagged" not in theirs
        assert theirs["reached"]["classes"] == row["received"], where
        found = {"value": theirs.get("value"), **theirs["scores"]}
        wanted = {"value": row["value"], **row["scores"]}
        for name, values in row["class_scores"].items():
            found |= {f"{name}/{c}": value for c, value in enumerate(theirs["class_scores"][name])}
            wanted |= {f"{name}/{c}": value for c, value in enumerate(values)}
        wrong = {name: (found[name], value) for name, value in wanted.items() if not near(found[name], value)}
        assert not wrong, f"{where}: (ledger, witness) differ in {wrong}"
        others = set(theirs["scores"]) - set(row["scores"])
        assert {theirs["scores"][name] for name in others} == {None}


def near(found, expected):
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= TOLERANCE


def test_plain_imports_nothing_of_imblab():
    source = (HERE / "plain_classes.py").read_text(encoding="utf-8")
    assert not [line for line in source.splitlines() if line.startswith(("import imblab", "from imblab"))]


def test_decisions_by_hand():
    p = np.array([[0.5, 0.5, 0.0], [0.6, 0.2, 0.2], [0.4, 0.3, 0.3]])
    assert plain.decide(p, [0.5, 0.5, 0.5]).tolist() == [1, 0, 0]  # ties to the rarer class
    assert plain.decide(p, [0.5, 0.5, 0.25]).tolist() == [1, 2, 2]
    assert plain.decide_by_costs(p, [[0, 1, 1], [1, 0, 1], [5, 5, 0]]).tolist() == [1, 2, 2]


def test_the_ascent_by_hand():
    """Only class 2 has to move: its row is third in its own row and first once its probability counts four times."""
    y, p = np.array([0, 1, 2]), np.array([[0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.5, 0.3, 0.2]])
    assert plain.ascend(y, p, [0.2, 0.5]) == [0.5, 0.5, 0.2]
    assert plain.ascend(y, p, [0.2, 0.5], lambda y, decided: False) is None


def test_calibration_by_hand():
    y = np.array([0, 1, 2])
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])
    np.testing.assert_allclose(plain.teach("isotonic", [(y, p)])(p), np.eye(3), atol=1e-15)
    np.testing.assert_allclose(plain.sum_to_one(np.array([[0.0, 0.0], [1.0, 3.0]])), [[0.5, 0.5], [0.25, 0.75]])
    # Six, three and one row were raised to six each: a row that says nothing has the shares of the data again.
    labels = np.repeat([0, 1, 2], [6, 3, 1])
    undone = plain.undo_priors(np.full((1, 3), 1 / 3), labels, [6, 6, 6], None)
    np.testing.assert_allclose(undone, [[0.6, 0.3, 0.1]], atol=1e-15)
    np.testing.assert_allclose(plain.undo_priors(np.full((1, 3), 1 / 3), labels, [6, 3, 1], "balanced"), undone)
    assert plain.undo_priors(p, labels, [6, 3, 1], None) is p


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    return ledger_rows(
        tmp_path_factory.mktemp("classes") / "w", TABLES, f"learner=[{','.join(LEARNERS)}]",
        f"strategy=[{','.join(STRATEGIES)}]", "learner.lightgbm.make.n_estimators=10",
        "strategy.class_weight.weight=balanced", "strategy.smote_threshold.k=3",
        "strategy.smote_threshold.space.ratio=choice(0.3,1.0)",
    )  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("dataset", TABLES)
def test_a_ledger_of_several_classes_equals_the_witness(ledger, dataset, learner, strategy):
    assert_same(ledger, dataset, learner, strategy, LEARNERS[learner], STRATEGIES[strategy])


@pytest.fixture(scope="module", params=["mixed", pytest.param("words", marks=pytest.mark.slow)])
def calibrated(request, tmp_path_factory):
    """The name of a table, and its ledger."""
    return request.param, ledger_rows(
        tmp_path_factory.mktemp(request.param) / "w", [request.param], f"learner=[{','.join((*LEARNERS, 'svm'))}]",
        "learner.lightgbm.make.n_estimators=10", *CALIBRATED_OVERRIDES,
    )  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.parametrize("strategy", CALIBRATED)
@pytest.mark.parametrize("learner", [*LEARNERS, "svm"])
def test_categories_calibrations_and_shared_inner_folds_equal_the_witness(calibrated, learner, strategy):
    make = LEARNERS.get(learner, lambda seed: SVC(random_state=seed))
    assert_same(calibrated[1], calibrated[0], learner, strategy, make, CALIBRATED[strategy], "shared")


def test_what_cannot_be_calibrated_is_inapplicable_in_ledger_and_witness_alike(calibrated):
    name, rows = calibrated
    left_out = {key[1:3] for key, row in rows.items() if row["status"] == "inapplicable"}
    expected = {("svm", "prior"), ("svm", "weighted_prior"), ("knn", "weighted_prior")}
    few = {(learner, "isotonic") for learner in (*LEARNERS, "svm")} if name == "words" else set()
    assert left_out == expected | few
    assert {row["status"] for row in rows.values()} == {"ok", "inapplicable"}


@pytest.fixture(scope="module")
def rules_ledger(tmp_path_factory):
    return ledger_rows(
        tmp_path_factory.mktemp("rules") / "w", ["three"], "learner=[logistic]", "strategy=[threshold]",
        *(f"+strategy.{name}.threshold={text}" for name, text in {
            "bound": "{min_recall:{class:'class 2',value:0.7}}",
            "costs": "{cost_optimal:[[0,1,2],[4,0,1],[9,2,0]]}",
            "low": "0.2",
        }.items()),
    )  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.parametrize("rule", RULES)
def test_rules_of_several_classes_equal_the_witness(rules_ledger, rule):
    assert_same(rules_ledger, "three", "logistic", rule, LEARNERS["logistic"], RULES[rule])


def test_decision_values_of_several_classes_equal_the_witness(tmp_path):
    rows = ledger_rows(tmp_path / "w", ["three"], "learner=[svm]", "strategy=[threshold]")
    assert_same(rows, "three", "svm", "threshold", lambda seed: SVC(random_state=seed), STRATEGIES["threshold"])
