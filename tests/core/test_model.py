"""What leaves answers as the kernel does, bit for bit, and holds no row."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.metrics import confusion_matrix, get_scorer, roc_auc_score
from sklearn.model_selection import cross_val_score

import imblab
from imblab.core import evaluate, fitting, model, splits
from imblab.core.admission import row_keeper
from imblab.core.evaluate import Task
from imblab.core.preparation import PreparedRows
from imblab.errors import DataError, FitFailed
from imblab.study import Cell, Learner
from imblab_model import digest

LEARNERS = sorted(p.stem for p in (Path(__file__).parents[2] / "conf" / "learner").glob("*.yaml"))
MADE_OF_ROWS = ("knn", "svm")
ENSEMBLES = (
    "adaboost",
    "bagging",
    "balanced_random_forest",
    "easy_ensemble",
    "extra_trees",
    "lightgbm",
    "random_forest",
    "xgboost",
)
SPACE = ("strategy.smote_threshold.space.ratio=choice(0.5)", "strategy.smote_threshold.space.k=choice(3)")


def table(n=240, positive="yes", negative="no", seed=0, categorical=True):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 5 == 0
    frame = pd.DataFrame({"late": rng.normal(size=n) + y, "early": rng.normal(size=n) * 7 + 3 * y})
    frame.loc[rng.random(n) < 0.1, "late"] = np.nan
    if categorical:
        frame["town"] = np.where(y & (rng.random(n) < 0.5), "b", rng.choice(["a", "c", None], n))
        frame["size"] = rng.integers(1, 4, n)
    frame["target"] = np.where(y, positive, negative)
    frame["when"] = rng.permutation(n)
    return frame


def dataset(frame=None, **roles):
    frame = table() if frame is None else frame
    roles = {"drop": ["when"], **roles}
    return imblab.dataset(
        frame, "target", name="toy", categorical=[c for c in ("size",) if c in frame] or None, **roles
    )


def task(data, learner="logistic", strategy="smote_threshold", *more):
    asked = (*SPACE, *more) if strategy == "smote_threshold" else more
    asked += (f"+learner.{learner}.make.n_estimators=2",) if learner in ENSEMBLES else ()
    study = imblab.compose("name=x", f"learner=[{learner}]", f"strategy=[{strategy}]", "protocol=smoke", *asked)
    return task_of(study, data)


def task_of(study, data):
    plan = splits.plan(data, study.protocol, study.seed)
    cell = Cell(data.name, study.learners[0], study.strategies[0], model.all_rows_split(data))
    pairs = splits.inner_pairs(data, study.protocol, study.seed, cell.split, plan)
    return Task(cell, study, data, pairs, lambda request: fitting.fit_predict(request, PreparedRows(data, request.fit)))


def exported(asked, labels=("no", "yes")):
    trial, _ = model.choose_params(asked)
    return model.fit_model(asked, trial.params, trial.threshold, labels), trial


@pytest.mark.sampled(2)
@pytest.mark.parametrize("learner", LEARNERS)
def test_every_shipped_learner_answers_as_the_kernel_bit_for_bit(learner):
    data = dataset()
    asked = task(data, learner)
    made, trial = exported(asked)
    rows = np.arange(len(data.y))
    request = asked.request(trial.params, rows, rows)
    [wanted] = fitting.fit_predict_many(request, [(request, {})], PreparedRows(data, rows))
    raw = table()
    assert np.array_equal(made.scores(raw), wanted.values)
    p = asked.compared(trial.params, wanted.values)
    assert np.array_equal(made.positive_proba(raw), p)
    assert np.array_equal(made.predict_proba(raw)[:, 1], p)
    assert np.array_equal(made.predict(raw), np.where(p >= trial.threshold, "yes", "no"))
    assert hasattr(made, "decision_function") is (learner == "svm")
    assert (row_keeper(made.learner) is not None) == (learner in MADE_OF_ROWS)
    assert (model.find_row_keeper(asked.study.learners[0]) is not None) == (learner in MADE_OF_ROWS)


def test_it_is_a_scikit_learn_classifier():
    made, trial = exported(task(dataset()))
    assert made.classes_.tolist() == ["no", "yes"]
    assert made.threshold_ == trial.threshold
    assert made.n_features_in_ == 4
    assert made.feature_names_in_.tolist() == ["late", "early", "town", "size"]
    assert clone(made) is made
    assert made.fit(table(), table().target) is made
    raw = table()
    scores = cross_val_score(made, raw, raw.target, cv=3)  # frozen: fitting on a part changes nothing
    assert np.isfinite(scores).all()
    tn, fp, fn, tp = confusion_matrix(raw.target, made.predict(raw)).ravel()
    assert tn + fp + fn + tp == len(raw)


def test_a_positive_label_that_sorts_first_stays_the_positive_one():
    frame = table(positive="bad", negative="good")
    data = dataset(frame)
    made, trial = exported(task(data), ("good", "bad"))
    assert made.classes_.tolist() == ["bad", "good"]
    p = made.positive_proba(frame)
    assert np.array_equal(made.predict_proba(frame)[:, 0], p)
    assert np.array_equal(made.predict(frame) == "bad", p >= trial.threshold)
    # scikit-learn's own scorers read the columns by the sorted labels.
    assert get_scorer("roc_auc")(made, frame, frame.target) == pytest.approx(roc_auc_score(data.y, p), abs=1e-12)
    assert get_scorer("neg_log_loss")(made, frame, frame.target) > -1


@pytest.mark.parametrize("labels", [(0, 1), (False, True), (1, 0)])
def test_labels_keep_their_type(labels):
    made, _ = exported(task(dataset()), labels)
    assert set(made.predict(table()).tolist()) == set(labels)
    assert made.predict(table()).dtype.kind in "ib"


def test_columns_come_by_name_in_any_order_with_others_beside_them():
    made, _ = exported(task(dataset()))
    raw = table()
    p = made.positive_proba(raw)
    assert np.array_equal(made.positive_proba(raw[raw.columns[::-1]].assign(more=1)), p)
    by_place = raw[["late", "early", "town", "size"]].to_numpy(dtype=object)
    assert np.array_equal(made.positive_proba(by_place), p)
    with pytest.raises(ValueError, match=r"'late' is missing \(1 of 4"):
        made.predict(raw.drop(columns="late"))
    with pytest.raises(ValueError, match="has 2 columns and the model reads 4"):
        made.predict(by_place[:, :2])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("foo", "'foo'"),
        (np.inf, "inf"),
        (pd.Timestamp("2024-01-01"), "Timestamp"),
        (pd.Timedelta("1D"), "Timedelta"),
        (1 + 2j, "1+2j"),
    ],
)
def test_what_is_no_number_is_refused_with_its_column(value, shown):
    (made, _), frame = exported(task(dataset())), table()
    values = [None, value, *frame["late"][2:]]
    for given in (value, values, pd.Series(values, dtype=object)):  # a column of its type, a mixed one
        with pytest.raises(
            ValueError, match=r"^column 'late' holds .*rows\); the model reads finite numbers"
        ) as caught:
            made.predict(frame.assign(late=given))
        assert shown in str(caught.value)


def test_columns_that_are_there_twice_are_refused_by_name():
    (made, _), frame = exported(task(dataset())), table()
    with pytest.raises(ValueError, match=r"^column 'late' is there more than once \(1 of "):
        made.predict(pd.concat([frame, frame[["late"]]], axis=1))
    doubled = pd.concat([frame.assign(other=1), frame[["late"]].set_axis(["other"], axis=1)], axis=1)
    assert (made.scores(doubled) == made.scores(frame)).all()  # a column that is not read


def test_categories_are_the_same_as_numbers_and_text_and_unknown_ones_get_zeros():
    made, _ = exported(task(dataset()))
    raw = table()
    p = made.positive_proba(raw)
    assert np.array_equal(made.positive_proba(raw.assign(size=raw["size"].astype(float))), p)
    assert np.array_equal(made.positive_proba(raw.assign(size=raw["size"].astype(str))), p)
    unknown = made.preparation.transform(raw.assign(town="nowhere"))
    assert (unknown[:, 2:5] == 0).all()
    missing = made.preparation.transform(raw.assign(town=None))
    assert (missing[:, 2:5].sum(axis=1) == 1).all()
    assert digest("1") == digest(1) == digest(np.float64(1.0)) != digest("1.0 ")


@pytest.mark.parametrize("kind", ["prior", "sigmoid", "isotonic"])
@pytest.mark.parametrize("learner", ["logistic", "decision_tree", "svm"])
def test_calibrated_strategies_leave_calibrated(kind, learner):
    if (kind, learner) == ("prior", "svm"):
        pytest.skip("the prior correction needs probabilities")
    data = dataset(table(600))
    shallow = ("+learner.decision_tree.make.max_depth=3",) if learner == "decision_tree" else ()
    words = (f"learner=[{learner}]", "strategy=[smote_threshold]", "protocol=smoke", *SPACE, *shallow)
    study = imblab.compose("name=x", *words)
    strategy = replace(study.strategies[0], calibration=kind, prior_correction="approximate")
    asked = task_of(replace(study, strategies=(strategy,)), data)
    made, trial = exported(asked)
    rows = asked.cell.split.train
    wanted = evaluate.calibrate_prediction(asked, trial.params, asked.predict_rows(trial.params, rows, rows)).values
    assert np.array_equal(made.positive_proba(table(600)), wanted)
    assert not np.array_equal(wanted, asked.predict_rows(trial.params, rows, rows).values)


def test_all_rows_are_searched_by_the_inner_folds_of_the_protocol():
    data = dataset()
    own = task(data)
    assert len(own.pairs) == 2
    assert sorted(np.concatenate([v for _, v in own.pairs])) == list(range(len(data.y)))
    shared = task(data, "logistic", "smote_threshold", "protocol.inner=shared")
    assert len(shared.pairs) == 3  # every outer fold of the first repeat
    assert sorted(np.concatenate([v for _, v in shared.pairs])) == list(range(len(data.y)))


def test_rows_in_order_of_time_are_learned_in_that_order():
    frame = table()
    data = dataset(frame, drop=None, time="when")
    asked = task(data)
    assert np.array_equal(np.asarray(data.time)[asked.cell.split.train], np.sort(data.time))
    made, trial = exported(asked)
    rows = asked.cell.split.train
    assert np.array_equal(made.positive_proba(frame.iloc[rows]), asked.predict_rows(trial.params, rows, rows).values)


def test_a_search_that_finds_nothing_says_why():
    with pytest.raises(FitFailed, match="no candidate has a value"):
        model.choose_params(task(dataset(), "logistic", "smote", "strategy.smote.space.k=choice(500)"))


def test_categories_that_read_alike_are_refused():
    """They are one to a model, which knows categories by their text; the table is refused where it is read."""
    frame = table()
    frame["town"] = [1, "1"] * (len(frame) // 2)
    with pytest.raises(DataError, match=r"the levels 1 \(number\) and '1' \(text\) in column 'town'"):
        dataset(frame)


def marked_table():
    """A table whose missing cells are written as -999, "?" (with blanks) and the empty text, and as they are read."""
    raw, read = table(), table()
    raw.loc[::7, "early"], read.loc[::7, "early"] = -999, np.nan
    raw["town"] = raw["town"].where(raw["town"].notna(), "").mask(raw.index % 11 == 0, " ? ")
    read["town"] = read["town"].mask(raw.index % 11 == 0, None)
    raw["size"], read["size"] = raw["size"].mask(raw.index % 13 == 0, -999), read["size"].mask(raw.index % 13 == 0)
    return raw, read


def test_what_stands_for_a_missing_value_in_the_table_does_so_in_the_model():
    raw, read = marked_table()
    data = imblab.dataset(raw, "target", name="toy", categorical=["size"], drop=["when"], missing=[-999, "?"])
    made, _ = exported(task(data))
    expected = made.predict_proba(read)
    assert np.array_equal(made.predict_proba(raw), expected)
    assert np.array_equal(made.predict_proba(raw.astype(object)), expected)
    assert np.array_equal(made.predict_proba(raw.assign(early=raw.early.map(str))), expected)
    assert np.array_equal(made.predict_proba(raw[list(made.feature_names_in_)].to_numpy()), expected)
    # The empty text is missing in every table.
    made, _ = exported(task(dataset()))
    assert np.array_equal(made.predict_proba(table().fillna({"town": ""})), made.predict_proba(table()))


def test_models_of_older_versions_predict_as_before():
    made, _ = exported(task(dataset()))
    former = pickle.loads(pickle.dumps(made))
    del former.preparation.__dict__["missing"]
    assert np.array_equal(former.predict_proba(table()), made.predict_proba(table()))
    # The empty text was an unknown category to them.
    others = table().assign(town="never")
    assert np.array_equal(former.predict_proba(table().assign(town="")), made.predict_proba(others))
    assert not np.array_equal(made.predict_proba(table().assign(town="")), made.predict_proba(others))


class OtherFrame:
    """A frame of another library: it converts to pandas, or has Arrow's stream interface alone."""

    def __init__(self, frame):
        self.frame = frame

    def to_pandas(self):
        return self.frame


class StreamOnly:
    def __init__(self, frame):
        self.table = pa.Table.from_pandas(frame, preserve_index=False)

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("convert", [pa.Table.from_pandas, OtherFrame, StreamOnly])
def test_frames_of_other_libraries_are_read_by_name(convert):
    made, _ = exported(task(dataset()))
    expected = made.predict_proba(table())
    turned = table()[table().columns[::-1]]
    assert np.array_equal(made.predict_proba(convert(turned)), expected)
    with pytest.raises(ValueError, match=r"column 'early' is missing \(1 of 4 are\)"):
        made.predict(convert(turned.drop(columns="early")))


def test_masked_cells_of_an_array_are_missing():
    rows = table()[["late", "early"]].assign(target=table().target)
    made, _ = exported(task(imblab.dataset(rows, "target", name="toy")))
    values = rows[["late", "early"]].fillna(1e6).to_numpy()
    masked = np.ma.masked_where(values == 1e6, values)
    assert np.array_equal(made.predict_proba(masked), made.predict_proba(rows))


def test_columns_that_are_called_by_numbers_are_read_by_name():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3))).assign(target=["yes", *["no"] * 4] * 40)
    made, _ = exported(task(imblab.dataset(frame, "target", name="toy")))
    assert np.array_equal(made.predict_proba(frame[[2, 1, 0]]), made.predict_proba(frame[[0, 1, 2]].to_numpy()))


def test_samplers_are_emptied_and_take_no_part():
    made, _ = exported(task(dataset(), "easy_ensemble"))
    kept = model._find_samplers(made)
    assert kept
    assert not any(name.endswith("_") for sampler in kept for name in vars(sampler))


def test_a_learner_that_cannot_fit_drawn_rows_is_judged_later():
    odd = Learner("odd", {"_target_": "sklearn.neighbors.KNeighborsClassifier", "n_neighbors": 0})
    assert model.find_row_keeper(odd) is None


def test_rare_levels_leave_as_the_study_groups_them_and_are_not_named():
    frame = table()
    frame["town"] = frame["town"].where(np.arange(len(frame)) % 12 != 0, [f"village {i}" for i in range(len(frame))])
    data = dataset(frame, rare={"min_rows": 8})
    asked = task(data)
    made, trial = exported(asked)
    rows = np.arange(len(data.y))
    request = asked.request(trial.params, rows, rows)
    [wanted] = fitting.fit_predict_many(request, [(request, {})], PreparedRows(data, rows))
    assert np.array_equal(made.scores(frame), wanted.values)
    # A level of few rows and one that nobody saw are the same to the model, and it knows neither by its digest.
    one, other = (made.preparation.transform(frame.head(1).assign(town=town)) for town in ("village 0", "Atlantis"))
    assert np.array_equal(one, other)
    assert one[:, -4 - 1 :].sum() == 2  # a column for the group, a column for the size
    known = made.preparation.known[made.preparation.categorical.index("town")]
    assert digest("village 0") not in known
    assert digest("a") in known


def test_an_export_with_too_many_levels_says_so():
    frame = table(n=1200).assign(town=[f"town {i}" for i in range(120) for _ in range(10)])
    data = dataset(frame, rare={"min_rows": 9})
    with pytest.raises(FitFailed, match="column 'town' has 120 levels, once those with fewer than 9 rows are one"):
        model.fit_model(task(data, "logistic", "none"), {}, 0.5, ("no", "yes"))
