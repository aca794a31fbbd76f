"""What every learner of conf/learner promises, whatever library it comes from."""

import sys
from dataclasses import replace
from functools import cache, wraps
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV, SGDClassifier
from sklearn.model_selection import _split, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import imblab
from imblab.core import design, estimator_specs, fitting
from imblab.core.fitting import fit_predict
from imblab.core.preparation import PreparedRows
from imblab.edges.ledger import read_evaluations
from imblab.errors import ConfigError, FitFailed
from imblab.study import Choice, Dataset, Measure, Strategy, Tuning

FILES = sorted((Path(__file__).parents[2] / "conf" / "learner").glob("*.yaml"))
NAMES = [path.stem for path in FILES]
every = pytest.mark.parametrize("name", NAMES)
tables = pytest.mark.parametrize("kind", ["numeric", "mixed"])

#: All that may be set in addition to the class: one thread, silence, a solver, no validation on synthetic rows.
DECLARED = {
    "adaboost": {},
    "bagging": {"n_jobs": 1},
    "balanced_random_forest": {"n_jobs": 1},
    "decision_tree": {},
    "easy_ensemble": {"n_jobs": 1},
    "extra_trees": {"n_jobs": 1},
    "hist_gradient_boosting": {"early_stopping": False},
    "knn": {"n_jobs": 1},
    "lightgbm": {"n_jobs": 1, "verbosity": -1},
    "logistic": {"solver": "newton-cholesky"},
    "random_forest": {"n_jobs": 1},
    "svm": {},
    "xgboost": {"n_jobs": 1, "verbosity": 0},
}
#: Learners whose fit takes no sample_weight.
WEIGHTLESS = {"easy_ensemble", "knn"}
#: Learners that draw rows: another seed is another answer.
DRAWING = {"bagging", "balanced_random_forest", "easy_ensemble", "extra_trees", "random_forest"}
#: Trees grown until their leaves are pure answer 0 or 1 whatever the weight; with room in the leaves it is seen.
ROOM = {name: {"learner.min_samples_leaf": 10} for name in ("balanced_random_forest", "decision_tree", "extra_trees")}
#: Fewer members than the default: what is promised does not depend on their number, and boosted ones are slow.
FEW = {
    "adaboost": {"learner.n_estimators": 10},
    "balanced_random_forest": {"learner.n_estimators": 30},
    "easy_ensemble": {"learner.n_estimators": 2},
    "extra_trees": {"learner.n_estimators": 10},
}

FIT, ROWS = np.arange(0, 200, 2), np.arange(1, 200, 2)


@cache
def learners():
    asked = imblab.compose("name=x", "dataset=[ecoli3]", f"learner=[{','.join(NAMES)}]", "strategy=[none]")
    return {learner.name: learner for learner in asked.learners}


def learner(name):
    return learners()[name]


@cache
def table(kind, n=200, positives=50):
    """Overlapping classes and some missing values; ``mixed`` adds two categorical columns."""
    rng = np.random.default_rng(3)
    y = np.zeros(n, dtype=np.int64)
    y[rng.permutation(n)[:positives]] = 1
    numbers = {name: rng.normal(size=n) + y for name in "ab"}
    numbers["b"][rng.permutation(n)[: n // 20]] = np.nan
    if kind == "numeric":
        return Dataset("toy", pd.DataFrame(numbers), y, ("no", "yes"), fingerprint=f"numeric-{n}")
    words = {"color": rng.choice(["blue", "green", "red", None], n), "size": rng.choice(["big", "small"], n)}
    words = {name: pd.Categorical(found, sorted(set(found) - {None})) for name, found in words.items()}
    X = pd.DataFrame({"color": words["color"], "a": numbers["a"], "size": words["size"], "b": numbers["b"]})
    return Dataset("toy", X, y, ("no", "yes"), ("color", "size"), fingerprint=f"mixed-{n}")


def answer(name, data, params=None, seed=0, fit=FIT, rows=ROWS, make=None):
    request = fitting.fit_request(
        data, make or learner(name).make, None, {**FEW.get(name, {}), **(params or {})}, seed, fit, rows
    )
    with threadpool_limits(1):  # as the runner does
        return fit_predict(request, PreparedRows(data, fit))


@cache
def plain_answer(name, kind):
    return answer(name, table(kind))


# -------------------------------------------------------------------------------------------------------- the file


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_the_one_learner_of_its_name_in_full(path):
    ((name, raw),) = yaml.safe_load(path.read_text(encoding="utf-8")).items()
    assert name == path.stem == learner(name).name
    assert {"label", "make", "space"} <= set(raw) <= {"label", "kind", "make", "space", "staged", "rebalances"}
    balances = name in ("balanced_random_forest", "easy_ensemble")
    assert raw.get("rebalances", False) is learner(name).traits.rebalances is balances
    assert dict(learner(name).make) == raw["make"]
    assert set(learner(name).space) == set(raw["space"])
    assert raw["space"], "search.tune_learner would have nothing to search"


def test_every_learner_is_in_the_tables_of_this_contract():
    assert set(DECLARED) == set(NAMES)


@every
def test_it_is_the_library_s_default_but_for_what_is_declared(name):
    make = learner(name).make
    declared = DECLARED[name]
    assert {key: value for key, value in make.items() if key != "_target_"} == declared
    assert set(declared) <= {"n_jobs", "verbosity", "verbose", "solver", "early_stopping"}
    default = estimator_specs.resolve_class(make["_target_"])().get_params()
    built = estimator_specs.build_estimator(make).get_params()
    np.testing.assert_equal(built, {**default, **declared})
    # Without a word scikit-learn uses one thread; LightGBM and XGBoost all of them.
    assert built.get("n_jobs") == 1 or (built.get("n_jobs") is None and make["_target_"].startswith("sklearn."))


@pytest.mark.sampled(4)
@every
def test_it_leaves_the_rows_of_a_part_to_the_next_candidate(name):
    """Candidates share a part, and the rows that SMOTE makes lie behind it in the same memory."""
    data, make = table("numeric"), {"_target_": "imblearn.over_sampling.SMOTE"}
    shared = PreparedRows(data, FIT)
    before = shared.X.tobytes()
    for ratio in (1.0, 0.5, 0.8):
        knobs = {**FEW.get(name, {}), "ratio": ratio, "k": 3}
        request = fitting.fit_request(data, learner(name).make, make, knobs, 0, FIT, ROWS)
        with threadpool_limits(1):
            found, alone = fit_predict(request, shared), fit_predict(request, PreparedRows(data, FIT))
        np.testing.assert_array_equal(found.values, alone.values)
    assert shared.X.tobytes() == before


@cache
def four_classes(n=200):
    """Overlapping classes from half of the rows to a twentieth."""
    rng = np.random.default_rng(3)
    y = rng.permutation(np.repeat([0, 1, 2, 3], [n // 2, n // 4, n // 5, n // 20]))
    X = pd.DataFrame({"a": rng.normal(size=n) + 2 * (y == 1), "b": rng.normal(size=n) + 2 * (y > 1) + 2 * (y == 3)})
    return Dataset("four", X, y, ("a", "b", "c", "d"), fingerprint=f"four-{n}")


@pytest.mark.sampled(7)
@every
def test_it_gives_a_column_for_each_of_several_classes(name):
    data = four_classes()
    found = answer(name, data)
    assert found.values.shape == (len(ROWS), 4)
    assert found.reached == {"classes": tuple(np.bincount(data.y[FIT]).tolist())}
    if found.is_probability:  # a library may give float32
        np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-6)
    decided, labels = found.values.argmax(axis=1), data.y[ROWS]
    assert np.mean([np.mean(decided[labels == c] == c) for c in range(4)]) > 0.4
    np.testing.assert_array_equal(answer(name, data).values, found.values)
    order = np.append(np.random.default_rng(0).permutation(len(ROWS)), [7, 7])
    np.testing.assert_allclose(answer(name, data, rows=ROWS[order]).values, found.values[order], rtol=1e-12, atol=1e-12)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", sorted(set(NAMES) - WEIGHTLESS))
def test_the_weight_of_several_classes_raises_the_rarest_and_a_power_of_zero_is_none(name):
    data, room = four_classes(), {"learner.min_samples_leaf": 5} if name in ROOM else {}
    none = answer(name, data, room).values
    np.testing.assert_array_equal(answer(name, data, {**room, "weight": "power 0"}).values, none)
    half, whole = (answer(name, data, {**room, "weight": f"power {power}"}).values for power in (0.5, 1))
    np.testing.assert_array_equal(answer(name, data, {**room, "weight": "balanced"}).values, whole)
    assert len({each.tobytes() for each in (none, half, whole)}) == 3
    # Some draw other rows by weight, and five rows of the rarest class are few; boosted stumps stay near one in four.
    if name not in DRAWING | {"adaboost"}:
        assert none[:, 3].mean() < half[:, 3].mean() < whole[:, 3].mean()


@pytest.mark.sampled(2)
@every
def test_every_value_of_its_space_can_be_fitted_to_several_classes(name):
    for parameter, axis in learner(name).space.items():
        for value in ends(axis):
            assert np.isfinite(answer(name, four_classes(), {f"learner.{parameter}": value}).values).all()


# ------------------------------------------------------------------------------------- no learner splits its rows


class Split(AssertionError):
    """A learner split the rows it received."""


@pytest.fixture
def no_splits(monkeypatch):
    """Every splitter of scikit-learn refuses, wherever it was imported."""
    for name in NAMES:  # whatever a learner imports is there before the search below
        estimator_specs.build_estimator(learner(name).make)

    def refuse(*args, **kwargs):
        raise Split("a learner split the rows it received")

    kinds = [_split.BaseCrossValidator, _split.BaseShuffleSplit, _split._RepeatedSplits]
    for kind in kinds:  # grows while it is walked: subclasses of subclasses
        kinds += [found for found in kind.__subclasses__() if found not in kinds]
        if "split" in vars(kind):
            monkeypatch.setattr(kind, "split", refuse)
    holders = [m for m in list(sys.modules.values()) if getattr(m, "__dict__", {}).get("train_test_split")]
    for module in holders:
        if vars(module)["train_test_split"] is train_test_split:
            monkeypatch.setattr(module, "train_test_split", refuse)


@pytest.mark.parametrize(
    "culprit",
    [
        HistGradientBoostingClassifier(early_stopping=True),
        GradientBoostingClassifier(n_iter_no_change=2),
        MLPClassifier(early_stopping=True),
        SGDClassifier(early_stopping=True),
        LogisticRegressionCV(cv=2),
        CalibratedClassifierCV(DecisionTreeClassifier(), cv=2),
    ],
    ids=lambda culprit: type(culprit).__name__,
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_guard_catches_learners_that_do(no_splits, culprit):
    with pytest.raises(Split):
        culprit.fit(table("numeric").X[["a"]].to_numpy(), table("numeric").y)


@pytest.mark.sampled(12)
@every
@tables
def test_it_learns_from_every_row_it_receives_and_splits_none_off(no_splits, name, kind):
    found = answer(name, table(kind))
    np.testing.assert_array_equal(found.values, plain_answer(name, kind).values)


@every
def test_it_splits_none_of_the_rows_of_several_classes_off(no_splits, name):
    assert np.isfinite(answer(name, four_classes()).values).all()


def test_gradient_boosting_splits_none_off_where_its_default_would(no_splits):
    data = table("numeric", 10_240, 1_000)
    fit, rows = np.arange(10_140), np.arange(10_140, 10_240)
    found = answer("hist_gradient_boosting", data, fit=fit, rows=rows)
    assert np.isfinite(found.values).all()
    stopping = {key: value for key, value in learner("hist_gradient_boosting").make.items() if key != "early_stopping"}
    with pytest.raises(FitFailed, match="split the rows"):
        answer("", data, fit=fit, rows=rows, make=stopping)


# ---------------------------------------------------------------------------------------------------- what it says


@every
@tables
def test_it_gives_one_finite_number_a_row(name, kind):
    found = plain_answer(name, kind)
    assert found.values.shape == (100,)
    assert found.values.dtype == np.float64
    assert np.isfinite(found.values).all()
    assert not found.is_probability or ((found.values >= 0) & (found.values <= 1)).all()
    assert found.reached == {
        "negative": int((table(kind).y[FIT] == 0).sum()),
        "positive": int(table(kind).y[FIT].sum()),
    }


@every
@tables
def test_it_ranks_positives_above_negatives(name, kind):
    """A probability of the wrong class would do the opposite."""
    p, y = plain_answer(name, kind).values, table(kind).y[ROWS]
    assert p[y == 1].mean() > p[y == 0].mean() + 0.03


@every
def test_only_the_svm_claims_no_probabilities(name):
    assert plain_answer(name, "numeric").is_probability is (name != "svm")


@every
def test_the_same_seed_gives_the_same_bits(name):
    assert answer(name, table("numeric")).values.tobytes() == plain_answer(name, "numeric").values.tobytes()


@every
def test_whatever_is_random_gets_the_seed(name, monkeypatch):
    cls, seen = estimator_specs.resolve_class(learner(name).make["_target_"]), []
    real = cls.fit

    @wraps(real)
    def fit(self, *args, **kwargs):
        seen.append(self.get_params())
        return real(self, *args, **kwargs)

    monkeypatch.setattr(cls, "fit", fit)
    other = answer(name, table("numeric"), seed=11)
    states = {value for key, value in seen[0].items() if key.split("__")[-1] == "random_state"}
    assert states == (set() if name == "knn" else {11})
    if name in DRAWING:
        assert (other.values != plain_answer(name, "numeric").values).any()


@pytest.mark.sampled(13)
@every
@tables
def test_the_answer_of_a_row_does_not_depend_on_the_other_rows(name, kind):
    order = np.append(np.random.default_rng(0).permutation(len(ROWS)), [7, 7])
    found = answer(name, table(kind), rows=ROWS[order])
    np.testing.assert_allclose(found.values, plain_answer(name, kind).values[order], rtol=1e-12, atol=1e-12)


# --------------------------------------------------------------------------------------------------------- weights


@every
def test_a_weight_is_taken_or_refused_with_the_reason(name):
    weighted = Strategy("class_weight", weight=10.0)
    primary = Measure("mcc", "imblab.core.measures.mcc", "label")
    reason = design.cell_inapplicable_reason(weighted, learner(name), table("numeric"), primary)
    searched = design.cell_inapplicable_reason(
        Strategy("class_weight", space={"weight": Choice((2, 10))}), learner(name), table("numeric"), primary
    )
    assert reason == searched == (f"the fit of learner {name!r} takes no sample_weight" if name in WEIGHTLESS else None)


@pytest.mark.parametrize("name", sorted(set(NAMES) - WEIGHTLESS))
def test_a_weight_of_one_is_no_weight_and_ten_raises_the_probabilities(name):
    data, room = table("numeric"), ROOM.get(name, {})
    none = answer(name, data, room).values
    if name not in ("bagging", "random_forest"):  # they draw rows by weight: other draws, the same distribution
        np.testing.assert_allclose(answer(name, data, {**room, "weight": 1.0}).values, none, rtol=1e-12, atol=1e-12)
    assert answer(name, data, {**room, "weight": 10.0}).values.mean() > none.mean() + 0.02


# ----------------------------------------------------------------------------------------------------- its space


def ends(axis):
    return axis.values if isinstance(axis, Choice) else (axis.low, axis.high)


@pytest.mark.sampled(2)
@every
def test_every_value_of_its_space_can_be_fitted(name):
    make, space = learner(name).make, learner(name).space
    for parameter, axis in space.items():
        assert parameter in estimator_specs.resolve_class(make["_target_"])().get_params()
        for value in ends(axis):
            assert estimator_specs.build_estimator({**make, parameter: value}).get_params()[parameter] == value
            found = answer(name, table("mixed"), {f"learner.{parameter}": value})
            assert np.isfinite(found.values).all()
    for end in (0, -1) if len(space) > 1 else ():
        params = {f"learner.{parameter}": ends(axis)[end] for parameter, axis in space.items()}
        assert np.isfinite(answer(name, table("mixed"), params).values).all()


def test_a_random_state_is_no_parameter_to_search():
    with pytest.raises(ConfigError, match="one seed"):
        imblab.compose(
            *("name=x", "dataset=[ecoli3]", "strategy=[none]", "learner=[random_forest]"),
            "learner.random_forest.space.random_state=choice(1,2)",
        )


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_value_that_cannot_be_written_down_is_refused_before_anything_runs(value):
    asked = f"learner.logistic.space.C=choice(1,{value})"
    with pytest.raises(ConfigError, match=value):
        imblab.compose("name=x", "dataset=[ecoli3]", "learner=[logistic]", "search.tune_learner=true", asked)


# ------------------------------------------------------------------------------------------------------ one fit, fewer


def by_rounds(name, order, tmp_path, monkeypatch, data=None, **make):
    """A study over numbers of rounds, by few fits and by one each: its rows, and how many fits each took."""
    cls, rounds = estimator_specs.resolve_class(learner(name).make["_target_"]), []
    real = cls.fit

    @wraps(real)
    def fit(self, *args, **kwargs):
        rounds.append(self.get_params()[learner(name).traits.staged["parameter"]])
        return real(self, *args, **kwargs)

    monkeypatch.setattr(cls, "fit", fit)
    question = imblab.compose("name=x", "dataset=[ecoli3]", "strategy=[none,threshold]", "protocol=smoke")
    question = replace(question, datasets={}, primary="pr_auc", tuning=Tuning(tune_learner=True))
    space = {learner(name).traits.staged["parameter"]: Choice(order)}
    answers, fits = [], []
    for staged in (learner(name).traits.staged, {}):
        asked = replace(
            learner(name),
            make={**learner(name).make, **make},
            space=space,
            traits=replace(learner(name).traits, staged=staged),
        )
        study = replace(question, learners=(asked,))
        folder = tmp_path / ("staged" if staged else "plain")
        folder.mkdir()
        monkeypatch.chdir(folder)  # whatever is remembered between studies is not shared by these two
        imblab.run(study, folder="study", data=[data or table("mixed")])
        rows = read_evaluations(Path("study"))
        answers.append([(row.key, row.trials, row.params, row.threshold, row.scores, row.status) for row in rows])
        fits.append(len(rounds))
        rounds.clear()
    assert {row[-1] for rows in answers for row in rows} == {"ok"}
    return answers, fits


STAGED = [name for name in NAMES if learner(name).traits.staged]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", STAGED)
@pytest.mark.parametrize("order", [(5, 40, 20), (40, 5, 20)])
def test_one_fit_that_answers_for_fewer_rounds_gives_the_bits_of_fits_of_fewer_rounds(
    name, order, tmp_path, monkeypatch
):
    (few, each), fits = by_rounds(name, order, tmp_path, monkeypatch)
    assert few == each
    assert len({trial.value for trial in few[0][1]}) == 3, "the number of rounds is seen"
    assert fits[0] < fits[1]


@pytest.mark.parametrize("name", STAGED)
def test_one_fit_answers_for_fewer_rounds_with_several_classes_too(name, tmp_path, monkeypatch):
    (few, each), fits = by_rounds(name, (5, 20, 10), tmp_path, monkeypatch, data=four_classes())
    assert few == each
    assert len({trial.value for trial in few[0][1]}) == 3, "the number of rounds is seen"
    assert fits[0] < fits[1]


AWKWARD = [
    # Rounds that grow no tree are lost, and the rounds after them move forward.
    pytest.param("lightgbm", {"subsample": 0.6, "subsample_freq": 1, "colsample_bytree": 0.5}, id="bagging"),
    # Later rounds change the trees of earlier ones.
    pytest.param("lightgbm", {"boosting_type": "dart"}, id="lightgbm-dart"),
    pytest.param("xgboost", {"booster": "dart", "rate_drop": 0.3}, id="xgboost-dart"),
    # There are no trees to leave out.
    pytest.param("xgboost", {"booster": "gblinear"}, id="gblinear"),
    pytest.param("xgboost", {"subsample": 0.6, "num_parallel_tree": 3}, id="forests"),
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "make"), AWKWARD)
def test_a_booster_whose_rounds_are_not_a_beginning_of_more_rounds_is_fitted_for_each(
    name, make, tmp_path, monkeypatch
):
    (few, each), _ = by_rounds(name, (5, 20, 40), tmp_path, monkeypatch, **make)
    assert few == each


# ------------------------------------------------------------------------------------------- through the front door


@pytest.mark.slow
def test_brier_and_log_loss_are_null_for_the_svm_alone():
    question = imblab.compose(
        "name=x",
        "dataset=[ecoli3]",
        f"learner=[{','.join(NAMES)}]",
        "strategy=[none]",
        "protocol=smoke",
        "learner.easy_ensemble.make.n_estimators=2",
    )
    rows = imblab.evaluate(replace(question, datasets={}), [table("mixed")])
    assert len(rows) == 3 * len(NAMES)
    assert rows.status.eq("ok").all()
    for measure in ("brier", "log_loss"):
        assert set(rows.learner[rows[measure].isna()]) == {"svm"}
        assert rows[measure].isna().sum() == 3
    for measure in ("pr_auc", "roc_auc", "mcc"):
        assert rows[measure].notna().all()
