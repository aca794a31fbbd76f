"""Targets: what a study may name, and that naming anything else runs no code."""

import json
import pickle
import sys

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import imblab
from imblab.core import admission, estimator_specs
from imblab.edges import config
from imblab.errors import ConfigError
from imblab.study import fingerprint

EVIL = "some_evil_module"
SOURCE = """
from pathlib import Path
from sklearn.base import BaseEstimator
Path(__file__).with_name("was_here").touch()
class Estimator(BaseEstimator):
    def fit(self, X, y): return self
"""


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module on the path that leaves a trace when it is imported."""
    (tmp_path / f"{EVIL}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "was_here"
    sys.modules.pop(EVIL, None)


def test_what_lies_outside_the_allowed_packages_is_refused_without_an_import(evil):
    inner = {"_target_": f"{EVIL}.Estimator"}
    nested = {"_target_": "sklearn.ensemble.BaggingClassifier", "estimator": inner}
    listed = {"_target_": "sklearn.ensemble.VotingClassifier", "estimators": [["a", inner]]}
    for refuse in (
        lambda: estimator_specs.resolve_class(inner["_target_"]),
        lambda: estimator_specs.build_estimator(inner),
        lambda: estimator_specs.build_estimator(nested),
        lambda: estimator_specs.build_estimator(listed),
        lambda: imblab.compose(
            "name=x", "dataset=[ecoli3]", "learner=[knn]", f"learner.knn.make._target_={EVIL}.Estimator"
        ),
        lambda: config.parse_study({**plain(), "learner": {"bad": {"make": inner}}}),
        lambda: config.parse_study({**plain(), "learner": {"bad": {"make": nested}}}),
        lambda: config.parse_study({**plain(), "learner": {"bad": {"make": listed}}}),
        lambda: config.parse_study({**plain(), "strategy": {"bad": {"sampler": inner}}}),
        lambda: config.parse_study({**plain(), "strategy": {"bad": {"sampler": {**SMOTE_TEXT, "_mixed_": inner}}}}),
        lambda: config.parse_study({**plain(), "strategy": {"bad": {"sampler": {**SMOTE_TEXT, "k_neighbors": inner}}}}),
    ):
        with pytest.raises(ConfigError, match="outside the allowed packages"):
            refuse()
    assert EVIL not in sys.modules
    assert not evil.exists()


SMOTE_TEXT = {"_target_": "imblearn.over_sampling.SMOTE"}


def plain():
    return config.to_mapping(imblab.compose("name=x", "dataset=[ecoli3]", "learner=[knn]", "strategy=[none]"))


def test_the_trap_works_and_the_list_can_be_extended_on_purpose(evil):
    allowed = (*admission.SHIPPED, EVIL)
    assert estimator_specs.resolve_class(f"{EVIL}.Estimator", allowed).__name__ == "Estimator"
    assert evil.exists()


@pytest.mark.parametrize(
    "path",
    ["os.system", "builtins.eval", "subprocess.Popen", "sklearnish.Estimator", "LogisticRegression", "", ".", "..x"],
)
def test_dangerous_and_empty_names_are_outside(path):
    with pytest.raises(ConfigError, match="outside the allowed packages"):
        estimator_specs.resolve_class(path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("sklearn.linear_model.NoSuchThing", "not among the classes"),
        ("sklearn.no_such_module.Thing", "not among the classes"),
        ("sklearn.", "Correct the path"),
        ("sklearn..LogisticRegression", "Correct the path"),
        ("sklearn.linear_model", "not a class"),
        ("sklearn.linear_model.ridge_regression", "not a class"),
        ("sklearn.utils.Bunch", "not among the classes"),
        ("lightgbm.train", "not a class"),
        ("imblab.study.Dataset", "not among the classes"),
        ("sklearn.svm._classes.SVC", "Write sklearn.svm.SVC"),
        ("sklearn.linear_model.LogisticRegresion", "Did you mean 'sklearn.linear_model.LogisticRegression'"),
        ("sklern.svm.SVC", "Did you mean 'sklearn.svm.SVC'"),
    ],
)
def test_only_classes_of_the_list_are_built(path, said):
    with pytest.raises(ConfigError, match=said) as error:
        estimator_specs.resolve_class(path)
    assert repr(path) in str(error.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("sklearn.linear_model.NoSuchThing", "cannot be imported"),
        ("imblearn.over_sampling.SMOT", "Did you mean 'imblearn.over_sampling.SMOTE'?"),
        ("sklearn.utils.Bunch", "not a class deriving from"),
        ("sklearn.exceptions.NotFittedError", "not a class deriving from"),
        ("imblab.study.Dataset", "not a class deriving from"),
    ],
)
def test_what_is_allowed_must_be_there_and_an_estimator(path, said):
    with pytest.raises(ConfigError, match=said) as error:
        estimator_specs.resolve_class(path, [path])
    assert repr(path) in str(error.value)


def test_allow_adds_packages_modules_and_classes(evil):
    counter = "sklearn.feature_extraction.text.CountVectorizer"
    for allow in (EVIL, f"{EVIL}.Estimator"):
        assert estimator_specs.resolve_class(f"{EVIL}.Estimator", (allow,)).__name__ == "Estimator"
        assert estimator_specs.resolve_class("sklearn.svm.SVC", (allow,)).__name__ == "SVC"
    for allow in ((), admission.SHIPPED, ("sklearn.feature_extraction.image",), ("sklearn.feature_extraction.tex",)):
        with pytest.raises(ConfigError, match="not among") as error:
            estimator_specs.resolve_class(counter, allow)
        assert error.value.grants == (counter,)
        assert f"`allow=[{counter}]`" in str(error.value)
    for allow in (counter, "sklearn.feature_extraction.text", "sklearn.feature_extraction"):
        assert estimator_specs.resolve_class(counter, (allow,)).__name__ == "CountVectorizer"


def test_a_path_must_be_a_text():
    for path in (1, None, ["sklearn.svm.SVC"]):
        with pytest.raises(ConfigError):
            estimator_specs.resolve_class(path)


def test_estimators_are_built_with_what_is_said_nested_ones_too():
    tree = {"_target_": "sklearn.tree.DecisionTreeClassifier", "max_depth": 2}
    built = estimator_specs.build_estimator(
        {"_target_": "sklearn.ensemble.BaggingClassifier", "n_estimators": 3, "estimator": tree}
    )
    assert isinstance(built, BaggingClassifier)
    assert isinstance(built.estimator, DecisionTreeClassifier)
    assert (built.n_estimators, built.estimator.max_depth) == (3, 2)
    voting = {"_target_": "sklearn.ensemble.VotingClassifier", "estimators": [["a", tree]], "weights": [1]}
    fitted = estimator_specs.build_estimator(voting).fit(np.arange(6.0)[:, None], [0, 1] * 3)
    assert fitted.predict([[0.0]]).tolist() == [0]


def test_placeholders_stand_for_knobs_and_reserved_keys_are_left_out():
    text = {
        "_target_": "imblearn.over_sampling.SMOTE",
        "sampling_strategy": "$ratio",
        "k_neighbors": "$k",
        "_mixed_": {},
    }
    built = estimator_specs.build_estimator(text, {"ratio": 0.5, "k": 3})
    assert isinstance(built, SMOTE)
    assert (built.sampling_strategy, built.k_neighbors) == (0.5, 3)


def test_a_parameter_that_is_none_of_the_class_s_is_answered_with_those_it_has():
    with pytest.raises(ConfigError, match=r"unknown parameter 'depth' in .*Did you mean 'max_depth'"):
        estimator_specs.build_estimator({"_target_": "sklearn.tree.DecisionTreeClassifier", "depth": 3})
    nested = {"_target_": "sklearn.ensemble.BaggingClassifier", "estimator": {"_target_": "sklearn.svm.SVC", "c": 1}}
    with pytest.raises(ConfigError, match="unknown parameter 'c'"):
        estimator_specs.build_estimator(nested)


def test_libraries_that_take_further_parameters_by_name_are_given_them():
    built = estimator_specs.build_estimator({"_target_": "lightgbm.LGBMClassifier", "verbosity": -1, "n_estimators": 3})
    assert built.get_params()["verbosity"] == -1
    assert not estimator_specs.accepts_any_parameter({"_target_": "sklearn.svm.SVC"})
    assert estimator_specs.parameter_names({"_target_": "sklearn.linear_model.LogisticRegression"}) == set(
        LogisticRegression().get_params()
    )


def test_naming_something_of_ours_runs_no_command():
    with pytest.raises(ConfigError):
        estimator_specs.resolve_class("imblab.__main__.main")


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("place", ["make.learnin_rate=0.1", "space.learnin_rate=choice(0.1,0.2)"])
def test_a_misspelt_parameter_of_a_booster_is_answered_with_those_it_has(name, place):
    with pytest.raises(ConfigError, match="learning_rate"):
        imblab.compose("name=x", "dataset=[ecoli3]", f"learner=[{name}]", f"learner.{name}.{place}")


def test_a_specification_is_its_mapping_with_its_text():
    make = {"_target_": "sklearn.svm.SVC", "C": 1, "estimator": {"_target_": "sklearn.svm.LinearSVC"}}
    spec = estimator_specs._EstimatorSpec(make)
    assert spec == make
    assert {**spec, "C": 2} == {**make, "C": 2}
    assert spec.text is estimator_specs.spec_text(spec)
    assert spec.text == estimator_specs.spec_text(make) == json.dumps(make, sort_keys=True)
    assert fingerprint(make) == fingerprint(spec)
    assert fingerprint([spec, 1]) == fingerprint([make, 1])
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize("path", ["imblab.edges.files.remove_tree", "imblab.core.estimator_specs.build_estimator"])
def test_functions_inside_imblab_are_never_targets(path):
    for allow in ((), ("imblab",)):
        error = admission.refusal(path, allow)
        assert "which is not a class" in str(error)
        assert error.grants == (), "no line to paste lets it in"
    with pytest.raises(ConfigError, match="not a class deriving from scikit-learn's BaseEstimator"):
        estimator_specs.resolve_class(path, (path,))
