"""The outside witness: a ledger against plain scikit-learn and imbalanced-learn, to 1e-12.

The first half checks the witness itself on cases small enough for pencil and paper; the second half runs studies
through the command line, as a user would, and computes every row again with :mod:`plain`, which imports nothing of
imblab.
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import matthews_corrcoef
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline as make_plain_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOLERANCE = 1e-12

_spec = importlib.util.spec_from_file_location("imblab_witness_plain", HERE / "plain.py")
plain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plain)


# -------------------------------------------------------------------------------- the witness against pencil and paper


def test_plain_imports_nothing_of_imblab():
    source = (HERE / "plain.py").read_text(encoding="utf-8")
    assert not [line for line in source.splitlines() if line.startswith(("import imblab", "from imblab"))]


@pytest.mark.parametrize(
    ("cuts", "goodness", "chosen"),
    [
        ([0.1, 0.5, 0.9], [1.0, 2.0, 3.0], 0.9),
        ([0.1, 0.5, 0.9], [3.0, 3.0 - 5e-13, 1.0], 0.5),  # tied: nearest 0.5
        ([0.3, 0.7], [1.0, 1.0], 0.3),  # |0.3 - 0.5| > |0.7 - 0.5| in IEEE, equal in hundredths: the lower one
        ([0.49, 0.51, 0.9], [1.0, 1.0, 1.0], 0.49),
        ([0.2, 0.6], [None, -1.0], 0.6),  # undefined values are no candidates
        ([0.2, 0.6], [None, None], None),
    ],
)
def test_best_cut_by_hand(cuts, goodness, chosen):
    assert plain.best_cut(cuts, goodness) == chosen


def test_candidates_come_in_declared_order_and_the_last_axis_varies_fastest():
    strategy = {"ratios": [0.5, 0.2], "ks": [5, 3]}
    names = [
        (c["ratio"], c["k"], c["params"]["a"], c["params"]["b"])
        for c in plain.candidates_of(strategy, {"b": [1, 2], "a": [9]})
    ]
    assert names == [
        (0.5, 5, 9, 1), (0.5, 5, 9, 2), (0.5, 3, 9, 1), (0.5, 3, 9, 2),
        (0.2, 5, 9, 1), (0.2, 5, 9, 2), (0.2, 3, 9, 1), (0.2, 3, 9, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "chosen"), [([0.1, 0.3, 0.3], 1), ([0.3 - 5e-13, 0.3], 0), ([None, -0.2], 1), ([None, None], 0)]
)
def test_the_first_of_tied_candidates_wins(values, chosen):
    trials = [{"value": value, "n": n} for n, value in enumerate(values)]
    assert plain.first_best(trials, "mcc")["n"] == chosen


def test_lower_brier_is_better():
    assert plain.first_best([{"value": 0.3}, {"value": 0.1}], "brier")["value"] == 0.1


@pytest.mark.parametrize(
    ("make", "ratio", "k", "minority", "majority", "expected"),
    [
        (plain.smote, 0.1, 3, 10, 100, False),  # already there
        (plain.smote, 0.109, 3, 10, 100, False),  # int(0.9) = 0 new rows
        (plain.smote, 0.11, 3, 10, 100, True),  # one new row
        (plain.smote, 0.5, 9, 10, 100, True),
        (plain.smote, 0.5, 10, 10, 100, False),  # k must stay below the minority
        (plain.random_under, 0.1, None, 10, 100, False),
        (plain.random_under, 0.101, None, 10, 100, True),  # int(99.0099) = 99 < 100
    ],
)
def test_applicability_agrees_with_what_the_sampler_does(make, ratio, k, minority, majority, expected):
    y = np.repeat([0, 1], [majority, minority])
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    sampler = make(ratio, k, 0, [False, False])
    assert plain.is_applicable(sampler, ratio, k, y) is expected
    if expected:
        assert len(sampler.fit_resample(X, y)[1]) != len(y)
        return
    with contextlib.suppress(
        ValueError
    ):  # the sampler refuses, or (random under-sampling at the present ratio) does nothing
        assert len(sampler.fit_resample(X, y)[1]) == len(y)


def test_time_blocks_by_hand():
    #            row  0  1  2  3  4  5  6  7
    time = np.array([5, 1, 2, 2, 9, 3, 8, 7])
    # in time order: times 1 2 2 3 5 7 8 9, rows 1 2 3 5 0 7 6 4
    # strictly before 0 1 1 3 4 5 6 7, times 3 // 8: blocks 0 0 0 1 1 1 2 2
    first, second = plain.split_by_time(np.arange(8), time, 2)
    assert [part.tolist() for part in first] == [[1, 2, 3], [5, 0, 7]]
    assert [part.tolist() for part in second] == [[1, 2, 3, 5, 0, 7], [6, 4]]
    # a gap of 2 before time 3 keeps time 1 alone; before time 8 it drops time 7
    first, second = plain.split_by_time(np.arange(8), time, 2, gap=2)
    assert first[0].tolist() == [1]
    assert second[0].tolist() == [1, 2, 3, 5, 0]


def test_top_share_counts_a_real_number_of_rows_and_shares_ties():
    y = np.array([1, 0, 1, 1, 0])
    p = np.array([0.9, 0.8, 0.8, 0.8, 0.1])
    # half of five rows is 2.5: the first whole, then 1.5 of the three tied rows, two thirds of which are positive
    recall, precision = plain.at_top_share(y, p, 0.5)
    assert recall == pytest.approx(2 / 3)
    assert precision == pytest.approx(2 / 2.5)
    # a share of less than one row takes that much of the best row
    assert plain.at_top_share(y, p, 0.1) == pytest.approx((0.5 / 3, 1.0))


def test_recall_at_precision_by_hand():
    y, p = np.array([1, 1, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6])
    assert plain.recall_at_precision(y, p, 0.9) == pytest.approx(2 / 3)
    assert plain.recall_at_precision(y, -p, 0.9) == pytest.approx(1 / 3)
    assert plain.recall_at_precision(np.array([0, 1]), p[:2], 0.9) == 0


def test_degenerate_scores():
    p = np.array([0.1, 0.2, 0.3, 0.4])
    scores, counts = plain.scores_of(np.array([0, 0, 0, 1]), p, p, 0.5, True)
    assert counts == {"tn": 3, "fp": 0, "fn": 1, "tp": 0}
    assert scores["precision"] is None
    assert (scores["mcc"], scores["f1"], scores["recall"], scores["g_mean"]) == (0, 0, 0, 0)
    assert (scores["specificity"], scores["balanced_accuracy"], scores["accuracy"]) == (1, 0.5, 0.75)
    assert scores["roc_auc"] == scores["pr_auc"] == 1


def test_decision_values_rank_and_what_they_are_compared_as_calls():
    """Behind the logistic the three highest rows would be one: 1.0 in floating point."""
    d = np.array([-50.0, 60.0, 40.0, 90.0])
    scores, counts = plain.scores_of(np.array([0, 0, 1, 1]), d, plain.expit(d), 0.5, False)
    assert counts == {"tn": 1, "fp": 1, "fn": 0, "tp": 2}
    assert scores["roc_auc"] == 0.75
    assert scores["pr_auc"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["brier"] is scores["log_loss"] is None
    assert len(np.unique(plain.expit(d))) == 2


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        (0.37, 0.37),
        ([0.55, 0.85], 0.85),
        ({"alert_rate": 1 / 6}, 0.9),
        ({"alert_rate": 0.3}, 0.8),  # 1.8 of six rows: two
        ({"min_recall": 1.0}, 0.3),
        ({"min_precision": 0.9}, 0.9),
        ({"min_precision": 1.1}, None),
        ({"cost": {"fn": 1, "fp": 100}}, 0.9),  # no false alarm at any price
        ({"cost": {"fn": 100, "fp": 1}}, 0.3),  # no miss at any price
    ],
)
def test_threshold_rules_by_hand(rule, chosen):
    y = np.array([1, 0, 1, 0, 1, 0])
    p = np.array([0.9, 0.8, 0.6, 0.4, 0.3, 0.2])
    if isinstance(rule, list):  # (tp, fp) is (2, 1) at 0.55 and (1, 0) at 0.85: mcc 1/3 against sqrt(1/5)
        assert matthews_corrcoef(y, p >= 0.55) == pytest.approx(1 / 3)
        assert matthews_corrcoef(y, p >= 0.85) == pytest.approx(0.2**0.5)
    assert plain.choose_cut(rule, y, p, "mcc", plain.HUNDREDTHS) == chosen


def test_tuned_uses_the_grid_or_what_was_observed():
    y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.61, 0.8])
    assert plain.choose_cut("tuned", y, p, "mcc", plain.HUNDREDTHS) == 0.5
    assert plain.choose_cut("tuned", y, p, "mcc", "observed") == 0.61


def test_plain_agrees_with_an_imblearn_pipeline():
    X, y = some_numbers(), some_numbers().eval("a + b > 2.6").to_numpy().astype(int)
    strategy = {"sampler": plain.smote, "ratios": [0.5], "ks": [3]}
    rows = plain.study(X, y, learner=LEARNERS["logistic"], strategy=strategy, seed=3)
    for row, (train, test) in zip(rows, StratifiedKFold(5, shuffle=True, random_state=3).split(X, y), strict=True):
        sampler = SMOTE(sampling_strategy=0.5, k_neighbors=3, random_state=3)
        model = make_pipeline(StandardScaler(), sampler, LogisticRegression(solver="newton-cholesky"))
        called = model.fit(X.iloc[train], y[train]).predict(X.iloc[test])
        assert row["scores"]["mcc"] == pytest.approx(matthews_corrcoef(y[test], called), abs=TOLERANCE)
        assert row["value"] is None


def test_plain_agrees_with_a_column_transformer_on_gaps_and_categories():
    X, y = some_numbers(), some_numbers().eval("a + b > 2.2").to_numpy().astype(int)
    X["colour"] = np.where(X["a"] > 0, "red", np.where(X["c"] > 0, "blue", None))
    X.loc[X["b"] < -1, "b"] = np.nan
    rows = plain.study(X, y, learner=LEARNERS["logistic"], strategy={}, seed=3)
    numeric = make_plain_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    text = make_plain_pipeline(
        SimpleImputer(strategy="most_frequent", missing_values=None), OneHotEncoder(handle_unknown="ignore")
    )
    columns = make_column_transformer(
        (numeric, make_column_selector(dtype_include="number")), (text, ["colour"]), sparse_threshold=0
    )
    X = X.astype({"colour": object}).where(X.notna() | (X.columns != "colour"), None)
    for row, (train, test) in zip(rows, StratifiedKFold(5, shuffle=True, random_state=3).split(X, y), strict=True):
        model = make_plain_pipeline(columns, LogisticRegression(solver="newton-cholesky")).fit(X.iloc[train], y[train])
        brier = np.mean((model.predict_proba(X.iloc[test])[:, 1] - y[test]) ** 2)
        assert row["scores"]["brier"] == pytest.approx(brier, abs=1e-9)


def test_shared_inner_folds_are_the_other_outer_folds():
    """With two candidates and the mean of a ranking measure, the value is that of a fit per pair of outer folds."""
    X, y = some_numbers(), some_numbers().eval("a + b > 2.2").to_numpy().astype(int)
    learner = LEARNERS["logistic"]
    rows = plain.study(
        X, y, learner=learner, strategy={"weights": [1, 2]}, outer_folds=3, inner="shared", primary="roc_auc"
    )
    folds = [test for _, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y)]
    values = []
    for fit, validate in ((folds[1], folds[2]), (folds[2], folds[1])):  # of outer fold 0
        model = make_plain_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
        weight = np.where(y[fit] == 1, float(rows[0]["params"]["weight"]), 1.0)
        model.fit(X.iloc[fit], y[fit], logisticregression__sample_weight=weight)
        values.append(plain.SCORE["roc_auc"](y[validate], model.predict_proba(X.iloc[validate])[:, 1]))
    assert rows[0]["value"] == pytest.approx(np.mean(values), abs=TOLERANCE)


def some_numbers(n=400):
    return pd.DataFrame(np.random.default_rng(1).normal(size=(n, 3)), columns=["a", "b", "c"])


# --------------------------------------------------------------------------------------- the ledger against the witness


def lightgbm(seed):
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1, random_state=seed)


def xgboost(seed):
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=20, n_jobs=1, verbosity=0, random_state=seed)


LEARNERS = {
    "logistic": lambda seed: LogisticRegression(solver="newton-cholesky", random_state=seed),
    "random_forest": lambda seed: RandomForestClassifier(n_estimators=20, n_jobs=1, random_state=seed),
    "lightgbm": lightgbm,
    "xgboost": xgboost,
    "knn": lambda seed: KNeighborsClassifier(n_jobs=1),
    "decision_tree": lambda seed: DecisionTreeClassifier(random_state=seed),
    "svm": lambda seed: SVC(random_state=seed),
    "sgd": lambda seed: SGDClassifier(alpha=1e-7, random_state=seed),
}
#: What is typed for a learner that is none of those on file.
TYPED = {"sgd": "+learner.sgd.make={_target_: sklearn.linear_model.SGDClassifier, alpha: 1e-7}"}
MATRIX = ("logistic", "random_forest", "lightgbm", "xgboost")
STRATEGIES = {
    "none": {},
    "threshold": {"threshold": "tuned"},
    "smote": {"sampler": plain.smote, "ratios": [0.05, 0.25, 0.5], "ks": [3, 5]},
    "class_weight": {"weights": [2, 10, "balanced"]},
}
SMALLER = {"random_forest", "lightgbm", "xgboost"}  # 20 trees instead of 100
SPACES = {"ratios": "ratio", "ks": "k", "weights": "weight"}


def typed_knobs(strategies):
    """The knobs of these strategies, as a user types them: one value is fixed, several are searched."""
    return [
        f"strategy.{name}.space.{knob}=choice({','.join(map(str, knobs[values]))})"
        if len(knobs[values]) > 1
        else f"strategy.{name}.{knob}={knobs[values][0]}"
        for name, knobs in strategies.items()
        for values, knob in SPACES.items()
        if values in knobs
    ]


@dataclass(frozen=True)
class Case:
    """One study: what is typed, and the same in the words of the witness."""

    overrides: tuple = ()
    tables: tuple = ("yeast4",)
    learners: tuple = ("logistic",)
    strategies: dict = field(default_factory=lambda: STRATEGIES)
    given: dict = field(default_factory=dict)

    def typed(self):
        """The command line of this study."""
        return [
            "name=w",
            "seed=7",
            "tracking=none",
            "runner.n_jobs=1",
            *([f"dataset=[{','.join(self.tables)}]"] if all(isinstance(t, str) for t in self.tables) else []),
            f"learner=[{','.join(name for name in self.learners if name not in TYPED)}]",
            *(TYPED[name] for name in self.learners if name in TYPED),
            f"strategy=[{','.join(self.strategies)}]",
            *(f"learner.{name}.make.n_estimators=20" for name in self.learners if name in SMALLER),
            *typed_knobs(self.strategies),
            *self.overrides,
        ]


FAST = Case(
    tables=("yeast4", "abalone9_18", "hypothyroid"),
    learners=("logistic", "lightgbm"),
    strategies={**STRATEGIES, "smote": {"sampler": plain.smote, "ratios": [0.05, 0.25], "ks": [3, 5]}},
)


def ledger_rows(folder, overrides):
    """Run a study through the command line in an empty folder; the lines of its ledger by coordinates."""
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "imblab", "run", *overrides],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    lines = (folder / "experiments" / "w" / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    keyed = {(r["dataset"], r["learner"], r["strategy"], r["repeat"], r["fold"]): r for r in rows}
    assert len(keyed) == len(rows)
    return keyed


def bundled(name):
    """A bundled table as X and y, read with pandas alone; the rarest label is positive."""
    table = pd.read_parquet(ROOT / "src" / "imblab" / "data" / f"{name}.parquet")
    target = table.pop("target")
    return table, (target == target.value_counts().idxmin()).to_numpy().astype(int)


def by_witness(table, y, learner, strategy, given):
    """The rows of the witness; one thread, since sums over several may differ in their last bit."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plain.study(table, y, learner=learner, strategy=strategy, seed=7, **given)


def assert_same(ledger, witness, dataset, learner, strategy):
    """Status, knobs, threshold, inner value, counts and every score of every outer fold."""
    mine = {key: row for key, row in ledger.items() if key[:3] == (dataset, learner, strategy)}
    assert set(mine) == {(dataset, learner, strategy, row["repeat"], row["fold"]) for row in witness}
    for row in witness:
        theirs = mine[dataset, learner, strategy, row["repeat"], row["fold"]]
        where = f"{dataset}/{learner}/{strategy}/{row['repeat']}/{row['fold']}"
        assert theirs["status"] == row["status"], f"{where}: {theirs['error']}"
        if row["status"] != "ok":
            continue
        assert theirs["params"] == row["params"], where
        assert theirs["counts"] == row["counts"], where
        assert theirs.get("scale", "probability") == row["scale"], where
        wrong = {
            name: (found, expected)
            for name, found, expected in [
                ("threshold", theirs["threshold"], row["threshold"]),
                ("value", theirs.get("value"), row["value"]),
                *((name, theirs["scores"][name], expected) for name, expected in row["scores"].items()),
            ]
            if not near(found, expected)
        }
        assert not wrong, f"{where}: (ledger, witness) differ in {wrong}"


def near(found, expected):
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= TOLERANCE


@pytest.fixture(scope="module")
def fast_ledger(tmp_path_factory):
    return ledger_rows(tmp_path_factory.mktemp("fast"), FAST.typed())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("strategy", FAST.strategies)
@pytest.mark.parametrize("learner", FAST.learners)
@pytest.mark.parametrize("dataset", FAST.tables)
def test_ledger_equals_witness(fast_ledger, dataset, learner, strategy):
    witness = by_witness(*bundled(dataset), LEARNERS[learner], FAST.strategies[strategy], {})
    assert_same(fast_ledger, witness, dataset, learner, strategy)


DECIDING = {
    "none": {},
    "threshold": {"threshold": "tuned"},
    "smote_threshold": {"sampler": plain.smote, "ratios": [0.5], "ks": [3], "threshold": {"alert_rate": 0.1}},
    "weight_threshold": {"weights": [2, 10], "threshold": {"cost": {"fn": 10, "fp": 1}}},
    "class_weight": {"weights": [2, 10], "calibration": "sigmoid"},
}
#: What turns the strategies on file into these.
DECIDED = (
    "strategy.smote_threshold.threshold={alert_rate: 0.1}",
    "strategy.weight_threshold.threshold={cost: {fn: 10, fp: 1}}",
    "strategy.class_weight.calibration=sigmoid",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "given"),
    [((), {}), (("primary=pr_auc", "protocol.thresholds=observed"), {"primary": "pr_auc", "thresholds": "observed"})],
    ids=["mcc", "pr_auc"],
)
def test_ledger_of_learners_without_probabilities_equals_witness(tmp_path, overrides, given):
    case = Case((*DECIDED, *overrides), ("ecoli3",), ("svm", "sgd"), DECIDING, given)
    ledger = ledger_rows(tmp_path, case.typed())
    for learner in case.learners:
        for strategy, knobs in DECIDING.items():
            witness = by_witness(*bundled("ecoli3"), LEARNERS[learner], knobs, given)
            assert {row["status"] for row in witness} == {"ok"}
            assert_same(ledger, witness, "ecoli3", learner, strategy)


RARE = {
    "none": {},
    "smote_threshold": {"sampler": plain.smote, "ratios": [0.25, 0.5], "ks": [3], "threshold": "tuned"},
    "random_over": {"sampler": plain.random_over, "ratios": [0.5]},
}
RARE_TABLES = {"shops": ["size", "shop", "kind"], "words": ["shop", "kind"]}  # numbers and words, words alone


def many_levels(rows=600):
    """A column of more levels than one-hot takes, most of them rare, with gaps; and one with a level called "rare"."""
    random = np.random.default_rng(3)
    shop = np.minimum(random.geometric(0.02, rows), 180)
    kind = random.choice(["red", "rare", "blue", "green"], rows, p=[0.7, 0.2, 0.08, 0.02])
    table = pd.DataFrame({"size": random.normal(size=rows).round(3), "shop": [f"s{n}" for n in shop], "kind": kind})
    positive = table["size"] + (shop > 90) + (kind == "rare") + random.normal(size=rows) > 2.4
    table.loc[random.choice(rows, 40, replace=False), "shop"] = None
    return table.assign(fraud=np.where(positive, "yes", "no"))


@pytest.fixture(scope="module")
def rare_ledger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rare")
    asked = ["learner.decision_tree.make.max_depth=4", "protocol=smoke"]
    for name, columns in RARE_TABLES.items():
        many_levels()[[*columns, "fraud"]].to_parquet(folder / f"{name}.parquet")
        keys = {"path": f"{name}.parquet", "target": "fraud", "rare": "{min_rows:6}"}
        asked += [f"dataset.{name}.{key}={value}" for key, value in keys.items()]
    return ledger_rows(folder, Case(tuple(asked), (None,), ("logistic", "decision_tree"), RARE).typed())


@pytest.mark.sampled(1)
@pytest.mark.parametrize("strategy", RARE)
@pytest.mark.parametrize("dataset", RARE_TABLES)
@pytest.mark.parametrize("learner", ["logistic", "decision_tree"])
def test_rare_levels_are_grouped_inside_the_fold_as_by_the_witness(rare_ledger, learner, dataset, strategy):
    table = many_levels()
    assert table["shop"].nunique() > 100
    y = (table["fraud"] == "yes").to_numpy().astype(int)
    make = (
        LEARNERS[learner]
        if learner == "logistic"
        else lambda seed: DecisionTreeClassifier(max_depth=4, random_state=seed)
    )
    given = {"rare": 6, "outer_folds": 3, "inner_folds": 2}
    witness = by_witness(table[RARE_TABLES[dataset]], y, make, RARE[strategy], given)
    assert {row["status"] for row in witness} == {"ok"}
    assert_same(rare_ledger, witness, dataset, learner, strategy)


#: Powers of the class counts; 1 is ``balanced``, 0 is no weight.
POWERS = Case(
    (
        "strategy.class_weight.space.weight=choice({power: 0.5},{power: 1},{power: 0},3)",
        "strategy.weight_threshold.weight={power: 0.75}",
        "strategy.smote_weight_threshold.space.weight=[{power: 1.5},{power: 0.25}]",
        "strategy.smote_weight_threshold.calibration=prior",
    ),
    ("yeast4",),
    ("logistic", "lightgbm"),
    {
        "class_weight": {"weights": ["power 0.5", "power 1", "power 0", 3]},
        "weight_threshold": {"weights": ["power 0.75"], "threshold": "tuned"},
        "smote_weight_threshold": {
            "sampler": plain.smote,
            "ratios": [0.25, 0.5],
            "ks": [3],
            "weights": ["power 1.5", "power 0.25"],
            "threshold": "tuned",
            "calibration": "prior",
        },
    },
    {"outer_folds": 3, "inner_folds": 2},
)


@pytest.mark.slow
def test_powers_of_the_class_counts_are_those_of_the_witness(tmp_path):
    typed = [text for text in POWERS.typed() if "weight=" not in text or "power:" in text]
    ledger = ledger_rows(tmp_path, [*typed, "protocol=smoke"])
    table, y = bundled("yeast4")
    for learner in POWERS.learners:
        for strategy, knobs in POWERS.strategies.items():
            witness = by_witness(table, y, LEARNERS[learner], knobs, POWERS.given)
            assert {row["status"] for row in witness} == {"ok"}
            assert_same(ledger, witness, "yeast4", learner, strategy)


CALIBRATED = {
    "none": {"calibration": "sigmoid"},
    "class_weight": {"weights": [2, 10, "balanced"], "calibration": "prior"},
    "smote_prior": {"sampler": plain.smote, "ratios": [0.25, 0.5], "ks": [3], "calibration": "prior"},
    "smote": {"sampler": plain.smote, "ratios": [0.5], "ks": [3, 5], "calibration": "isotonic"},
    "smote_threshold": {
        "sampler": plain.smote,
        "ratios": [0.25, 0.5],
        "ks": [3],
        "threshold": {"cost_optimal": {"fn": 10, "fp": 1, "tp": 0.5}},
        "calibration": "sigmoid",
    },
    "isotonic_threshold": {"threshold": "tuned", "calibration": "isotonic"},
    "threshold": {"threshold": {"cost": {"fn": 10, "fp": 1, "tp": 2, "tn": 0.1}}, "calibration": "sigmoid"},
}
#: What turns the strategies on file into these.
CALIBRATING = (
    *(f"strategy.{name}.calibration={knobs['calibration']}" for name, knobs in CALIBRATED.items()),
    "strategy.smote_threshold.threshold={cost_optimal: {fn: 10, fp: 1, tp: 0.5}}",
    "strategy.threshold.threshold={cost: {fn: 10, fp: 1, tp: 2, tn: 0.1}}",
)


def calibrated_case(table, learners, *overrides, strategies=CALIBRATED, **given):
    asked = [text for text in CALIBRATING if text.split(".")[1] in strategies]
    return Case((*asked, *overrides), (table,), learners, strategies, given)


def common_positives():
    """Positives enough for an isotonic calibration."""
    table = some_numbers(500).round(3)
    table["fraud"] = np.where(table.eval("a + b") + np.random.default_rng(2).normal(size=500) > 1.5, "yes", "no")
    return table


@pytest.fixture(scope="module")
def calibrated_ledger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated")
    common_positives().to_csv(folder / "shops.csv", index=False)
    table = ("dataset=table", "dataset.table.path=shops.csv", "dataset.table.target=fraud")
    return ledger_rows(folder, calibrated_case(None, ("logistic", "decision_tree"), *table).typed())


@pytest.mark.sampled(1)
@pytest.mark.parametrize("learner", ["logistic", "decision_tree"])
@pytest.mark.parametrize("strategy", CALIBRATED)
def test_calibrated_ledger_equals_witness(calibrated_ledger, strategy, learner):
    table = common_positives()
    y = (table.pop("fraud") == "yes").to_numpy().astype(int)
    witness = by_witness(table, y, LEARNERS[learner], CALIBRATED[strategy], {})
    assert {row["status"] for row in witness} == {"ok"}
    assert_same(calibrated_ledger, witness, "shops", learner, strategy)


def test_undone_priors_and_learned_steps_by_hand():
    # odds 1 : 1 among rows that were made 99 times rarer than their opposites by the data: 1 : 99
    assert plain.undo_prior(np.array([0.5]), 0.01, 0.5) == pytest.approx(0.01)
    assert plain.steps(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 1]))([0.0, 2.5, 9.0]).tolist() == [0, 0.5, 1]
    # two rows and their softened targets 1/3 and 2/3: the curve goes through both
    assert plain.platt(np.array([-1.0, 1.0]), np.array([0, 1]))(np.array([-1.0, 1.0])) == pytest.approx([1 / 3, 2 / 3])


TUNED = {
    "threshold": {"threshold": "tuned"},
    "smote_threshold": {"sampler": plain.smote, "ratios": [0.25, 0.5], "ks": [3, 5], "threshold": "tuned"},
}


def rule_case(typed, rule):
    """A threshold rule on the arm without a sampler and on SMOTE; the scores of knn are full of ties."""
    few = {"threshold": {}, "smote_threshold": {"sampler": plain.smote, "ratios": [0.5], "ks": [3]}}
    strategies = {name: knobs | {"threshold": rule} for name, knobs in few.items()}
    overrides = tuple(f"strategy.{name}.threshold={typed}" for name in strategies)
    return Case(overrides, ("ecoli3",), ("logistic", "knn"), strategies)


SLOW = {
    "matrix_yeast4": Case(tables=("yeast4",), learners=MATRIX),
    "matrix_page_blocks0": Case(tables=("page_blocks0",), learners=("logistic", "lightgbm")),
    "matrix_hypothyroid": Case(
        tables=("hypothyroid",), learners=("random_forest", "xgboost"), strategies=FAST.strategies
    ),
    "matrix_ecoli3": Case(tables=("ecoli3",), learners=MATRIX),
    "shared": Case(("protocol.inner=shared",), ("abalone9_18",), ("logistic", "lightgbm"), TUNED, {"inner": "shared"}),
    "repeats": Case(
        ("protocol.repeats=2", "protocol.outer_folds=3", "protocol.inner_folds=4"),
        ("ecoli3",),
        ("logistic", "lightgbm"),
        STRATEGIES,
        {"repeats": 2, "outer_folds": 3, "inner_folds": 4},
    ),
    "tuned_learner": Case(
        (
            "search=grid",
            "search.tune_learner=true",
            "learner.decision_tree.space.max_depth=choice(2,4,8)",
            "learner.decision_tree.space.min_samples_leaf=choice(1,10)",
        ),
        ("ecoli3",),
        ("decision_tree",),
        {
            "none": {},
            "threshold": {"threshold": "tuned"},
            "smote": {"sampler": plain.smote, "ratios": [0.25, 0.5], "ks": [3]},
        },
        {"tune": {"max_depth": [2, 4, 8], "min_samples_leaf": [1, 10]}},
    ),
    "observed": Case(
        ("protocol.thresholds=observed",), ("ecoli3",), ("logistic", "knn"), TUNED, {"thresholds": "observed"}
    ),
    "coarse_grid": Case(
        ("protocol.thresholds=range(0.1,1,0.1)",),
        ("yeast4",),
        ("lightgbm",),
        TUNED,
        {"thresholds": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]},
    ),
    "swept": Case(
        ("strategy.threshold.space.threshold=choice(0.1,0.3,0.7)",),
        ("yeast4",),
        ("logistic",),
        {"threshold": {"threshold": [0.1, 0.3, 0.7]}},
    ),
    "fixed_knobs": Case(
        (),
        ("yeast4",),
        ("logistic", "lightgbm"),
        {"smote": {"sampler": plain.smote, "ratios": [0.5], "ks": [3]}, "class_weight": {"weights": [5]}},
    ),
    "no_sample_weight": Case((), ("ecoli3",), ("knn",), {"class_weight": STRATEGIES["class_weight"]}),
    "under": Case(
        (),
        ("yeast4", "abalone9_18"),
        ("logistic", "lightgbm"),
        {
            "random_under": {"sampler": plain.random_under, "ratios": [0.02, 0.2, 1.0]},
            "random_over": {"sampler": plain.random_over, "ratios": [0.2, 1.0]},
        },
    ),
    **{
        f"primary_{primary}": Case(
            (f"primary={primary}",),
            ("yeast4",),
            ("lightgbm",),
            {**TUNED, "smote": STRATEGIES["smote"], "class_weight": STRATEGIES["class_weight"]},
            {"primary": primary},
        )
        for primary in ("pr_auc", "brier", "precision")
    },
    "alert_rate": rule_case("{alert_rate: 0.05}", {"alert_rate": 0.05}),
    "min_precision": rule_case("{min_precision: 0.6}", {"min_precision": 0.6}),
    "min_precision_out_of_reach": rule_case("{min_precision: 0.999}", {"min_precision": 0.999}),
    "min_recall": rule_case("{min_recall: 0.9}", {"min_recall": 0.9}),
    "cost_optimal": rule_case(
        "{cost_optimal: {fn: 10, fp: 1, tn: -1}}", {"cost_optimal": {"fn": 10, "fp": 1, "tn": -1}}
    ),
    "calibrated_hypothyroid": calibrated_case(
        "hypothyroid",
        ("logistic",),
        strategies={name: CALIBRATED[name] for name in ("none", "smote_prior", "isotonic_threshold", "threshold")},
    ),
    "calibrated_trees": calibrated_case(
        "page_blocks0",
        ("lightgbm",),
        strategies={name: CALIBRATED[name] for name in ("none", "class_weight", "smote_prior", "isotonic_threshold")},
    ),
    "calibrated_too_few": calibrated_case("yeast4", ("lightgbm",)),
    "calibrated_brier": calibrated_case("ecoli3", ("logistic",), "primary=brier", primary="brier"),
    "calibrated_shared": calibrated_case(
        "ecoli3",
        ("xgboost",),
        "protocol.inner=shared",
        strategies={name: CALIBRATED[name] for name in ("smote_threshold", "smote_prior", "threshold", "none")},
        inner="shared",
    ),
    "cost": rule_case("{cost: {fn: 10, fp: 1}}", {"cost": {"fn": 10, "fp": 1}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_ledger_equals_witness_slow(tmp_path, name):
    case = SLOW[name]
    ledger = ledger_rows(tmp_path, case.typed())
    for dataset in case.tables:
        table, y = bundled(dataset)
        for learner in case.learners:
            for strategy, knobs in case.strategies.items():
                witness = by_witness(table, y, LEARNERS[learner], knobs, case.given)
                assert_same(ledger, witness, dataset, learner, strategy)


def steered_table(n=2400):
    """Numbers, gaps, a category that comes late, whole-numbered groups, days with ties and a drifting target."""
    rng = np.random.default_rng(5)
    day = np.sort(rng.integers(0, 500, n))
    table = pd.DataFrame(rng.normal(size=(n, 3)).round(3), columns=["a", "b", "c"])
    table["count"] = rng.poisson(3, n)
    table["shop"] = rng.choice(["north", "south", "west"], n)
    table.loc[day > 350, "shop"] = rng.choice(["north", "online"], (day > 350).sum())
    risk = table["a"] + table["b"] * (table["shop"] == "south") + 0.2 * table["count"] + 0.002 * day
    table["fraud"] = np.where(risk + rng.normal(size=n) > 3.0, "yes", "no")
    table.loc[rng.random(n) < 0.1, "c"] = np.nan
    table.loc[rng.random(n) < 0.05, "shop"] = None
    table["customer"] = rng.integers(0, 400, n)
    table["name"] = "c" + table["customer"].astype(str)
    table["day"] = day
    table["date"] = (pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D")).strftime("%Y-%m-%d")
    return table.sample(frac=1, random_state=5).reset_index(drop=True)


STEERED = {
    "groups": (("groups", "customer"), None),
    "groups_of_text": (("groups", "name"), None),
    "whole_numbers_as_time": (("time", "day"), None),
    "whole_numbers_with_gap": (("time", "day"), 6),
    "dates_with_gap": (("time", "date"), "6D"),
}


#: Hold-outs and predefined folds: what is typed, the role and column, and the same for the witness.
OUTER = {
    "hold_out": (("protocol=holdout", "protocol.repeats=2"), None, {"test_size": 0.3, "repeats": 2}),
    "hold_out_of_groups": (
        ("protocol=holdout", "protocol.test_size=0.2", "protocol.inner_folds=2"),
        ("groups", "customer"),
        {"test_size": 0.2, "inner_folds": 2},
    ),
    "hold_out_in_time": (
        ("protocol=holdout", "protocol.test_size=0.29", "protocol.gap=6"),
        ("time", "day"),
        {"test_size": 0.29, "gap": 6},
    ),
    "predefined_folds": ((), ("folds", "site"), {}),
    "predefined_folds_shared": (("protocol.inner=shared",), ("folds", "week"), {"inner": "shared"}),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", OUTER)
def test_hold_outs_and_predefined_folds_equal_the_witness(tmp_path, name):
    typed, steer, given = OUTER[name]
    role, column = steer or (None, None)
    table = steered_table(1200)
    table["site"] = np.random.default_rng(1).choice(["b", "a", "D", "c"], len(table))
    table["week"] = np.random.default_rng(2).choice([10, 2, 33], len(table))
    table.to_csv(tmp_path / "shops.csv", index=False)
    table = pd.read_csv(tmp_path / "shops.csv")
    others = ["customer", "name", "day", "date", "site", "week"]
    overrides = [
        *typed,
        *("dataset=table", "dataset.table.path=shops.csv", "dataset.table.target=fraud"),
        *([] if steer is None else [f"dataset.table.{role}={column}"]),
        f"dataset.table.drop=[{','.join(c for c in others if c != column)}]",
    ]
    strategies = {"none": {}, "smote_threshold": {**TUNED["smote_threshold"], "ratios": [0.5, 1.0], "ks": [3]}}
    case = Case(tuple(overrides), (None,), ("logistic",), strategies)
    given = given if steer is None else {**given, role: table[column].to_numpy()}
    ledger = ledger_rows(tmp_path, case.typed())
    assert_same_study(ledger, "shops", table.drop(columns=others), case, given)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEERED)
def test_ledger_equals_witness_on_a_table_of_ones_own(tmp_path, name):
    (role, column), gap = STEERED[name]
    steered_table().to_csv(tmp_path / "shops.csv", index=False)
    table = pd.read_csv(tmp_path / "shops.csv")
    dropped = [c for c in ("customer", "name", "day", "date") if c != column]
    overrides = [
        "dataset=table",
        "dataset.table.path=shops.csv",
        "dataset.table.target=fraud",
        f"dataset.table.{role}={column}",
        f"dataset.table.drop=[{','.join(dropped)}]",
        *([] if gap is None else [f"protocol.gap={gap}"]),
    ]
    strategies = {"none": {}, "smote_threshold": TUNED["smote_threshold"], "class_weight": {"weights": [2, 10]}}
    case = Case(tuple(overrides), (None,), ("lightgbm",), strategies)
    steer = pd.to_datetime(table[column]).to_numpy() if column == "date" else table[column].to_numpy()
    given = {role: steer, "gap": pd.Timedelta(gap).to_timedelta64() if isinstance(gap, str) else gap}
    table = table.drop(columns=["customer", "name", "day", "date"])
    assert_same_study(ledger_rows(tmp_path, case.typed()), "shops", table, case, given)


def assert_same_study(ledger, dataset, table, case, given):
    """Every learner and strategy of a table whose target is ``fraud``."""
    X, y = table.drop(columns="fraud"), (table["fraud"] == "yes").to_numpy().astype(int)
    for learner in case.learners:
        for strategy, knobs in case.strategies.items():
            assert_same(ledger, by_witness(X, y, LEARNERS[learner], knobs, given), dataset, learner, strategy)


def odd_table(n=900):
    """Whole numbers that are names, flags, counts, a constant, an empty column, texts that look like numbers."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"grade": rng.integers(1, 13, n), "colour": rng.choice(["red", "Blue", "10", "9"], n)})
    table["flag"] = rng.random(n) < 0.3
    table["count"] = rng.poisson(2, n)
    table["x"] = rng.normal(size=n).round(3)
    table["one"] = 1.0
    risk = table["x"] + (table["colour"] == "red") + 0.3 * table["flag"] + 0.1 * table["grade"] + rng.normal(size=n)
    table["fraud"] = np.where(risk > risk.quantile(0.93), "yes", "no")
    table.loc[rng.random(n) < 0.05, "colour"] = None
    table["empty"] = np.nan
    return table


#: Which columns are kept, and which of them are declared categorical.
ODD = {
    "as_inferred": (["grade", "colour", "flag", "count", "x", "one", "fraud", "empty"], []),
    "numbers_as_names": (["grade", "colour", "flag", "x", "fraud"], ["grade", "flag"]),
    "only_names": (["grade", "colour", "fraud"], ["grade"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_ledger_equals_witness_on_odd_columns(tmp_path, name):
    kept, categorical = ODD[name]
    odd_table()[kept].to_csv(tmp_path / "odd.csv", index=False)
    overrides = (
        "dataset=table",
        "dataset.table.path=odd.csv",
        "dataset.table.target=fraud",
        f"dataset.table.categorical=[{','.join(categorical)}]",
    )
    smote = {"sampler": plain.smote, "ratios": [0.2, 0.5], "ks": [3]}
    case = Case(overrides, (None,), ("logistic", "xgboost"), {"threshold": STRATEGIES["threshold"], "smote": smote})
    table = pd.read_csv(tmp_path / "odd.csv").astype(dict.fromkeys(categorical, "category"))
    assert_same_study(ledger_rows(tmp_path, case.typed()), "odd", table, case, {})
