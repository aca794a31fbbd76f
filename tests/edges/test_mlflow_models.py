"""How a model is written: skops for the packages a study may name, cloudpickle and a word of warning for the rest."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression

import imblab
from imblab.core import admission, estimator_specs, fitting, model, splits
from imblab.core.evaluate import Task
from imblab.core.preparation import PreparedRows
from imblab.edges.mlflow import models
from imblab.errors import StudyError
from imblab.study import Cell

LEARNERS = Path(__file__).parents[2] / "conf" / "learner"


class Foreign(LogisticRegression):
    """A learner of a package that no study may name."""


class Sealed:
    """What no format carries."""

    def __reduce_ex__(self, protocol):
        raise TypeError("sealed")

    __getstate__ = __reduce_ex__


def fitted(learner, n=80):
    rng = np.random.default_rng(0)
    y = (np.arange(n) % 4 == 0).astype(int)
    return learner.fit(rng.normal(size=(n, 2)) + y[:, None], y)


def estimator(learner="logistic"):
    frame = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60) % 7, "target": np.arange(60) % 3 == 0})
    data = imblab.dataset(frame, "target", name="toy")
    study = imblab.compose("name=x", f"learner=[{learner}]", "strategy=[none]", "protocol=smoke")
    cell = Cell("toy", study.learners[0], study.strategies[0], model.all_rows_split(data))
    pairs = splits.inner_pairs(
        data, study.protocol, study.seed, cell.split, splits.plan(data, study.protocol, study.seed)
    )
    task = Task(cell, study, data, pairs, lambda request: fitting.fit_predict(request, PreparedRows(data, request.fit)))
    return model.fit_model(task, {}, 0.25, (False, True)), frame


def packed(made, form):
    columns = {"a": "double", "b": models.WHOLE_NUMBERS}
    example = pd.DataFrame({"a": [0.5], "b": [3]})
    return models.ExportedModel(
        "x-toy", made, form, columns, "boolean", example, "# x-toy\n\nA card.\n", {"imblab.study": "x"}
    )


@pytest.mark.sampled(3)
@pytest.mark.parametrize("path", sorted(LEARNERS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_learner_is_carried_by_skops(path):
    import skops.io

    make = yaml.safe_load(path.read_text(encoding="utf-8"))[path.stem]["make"]
    few = {"n_estimators": 2} if "n_estimators" in estimator_specs.build_estimator(make).get_params() else {}
    learner = fitted(estimator_specs.build_estimator({**make, **few}, seed=0))
    form = models.choose_format(learner, admission.SHIPPED)
    assert (form.name, form.reason) == ("skops", None)
    assert {name.partition(".")[0] for name in form.trusted} <= {*admission.SHIPPED, "numpy", "collections"}
    back = skops.io.loads(skops.io.dumps(learner), trusted=list(form.trusted))
    X = np.random.default_rng(1).normal(size=(20, 2))
    answer = "predict_proba" if hasattr(learner, "predict_proba") else "decision_function"
    assert np.array_equal(getattr(back, answer)(X), getattr(learner, answer)(X))


def test_foreign_types_and_what_skops_cannot_carry_are_pickled_and_said():
    form = models.choose_format(fitted(Foreign()), admission.SHIPPED)
    assert form.name == "cloudpickle"
    assert "Foreign' lies outside the trusted packages" in form.sentence
    assert "runs code when it is loaded" in form.sentence
    odd = fitted(LogisticRegression())
    odd.callback_ = Sealed()
    assert models.choose_format(odd, admission.SHIPPED).reason.startswith("skops cannot carry it")


def test_code_that_does_not_travel_along_is_named():
    said = " It needs `own`, which is not in the model: where it is loaded, the folder that holds it must be in "
    said += "PYTHONPATH."
    for name in ("skops", "cloudpickle"):
        assert models.ModelFormat(name, modules=("own",)).sentence.endswith(said)
        assert "PYTHONPATH" not in models.ModelFormat(name).sentence


def test_requirements_are_pinned_and_name_what_the_learner_needs():
    plain = models.requirements(models.choose_format(fitted(LogisticRegression()), admission.SHIPPED))
    assert f"scikit-learn=={version('scikit-learn')}" in plain
    assert not [line for line in plain if line.startswith(("lightgbm", "imblab", "cloudpickle"))]
    boosted = models.requirements(models.choose_format(fitted(LGBMClassifier(verbosity=-1)), admission.SHIPPED))
    assert set(boosted) - set(plain) == {f"lightgbm=={version('lightgbm')}"}
    assert f"cloudpickle=={version('cloudpickle')}" in models.requirements(models.ModelFormat("cloudpickle"))


@pytest.mark.parametrize("name", ["skops", "cloudpickle"])
def test_a_saved_model_comes_back_and_takes_the_place_of_the_last(name, tmp_path):
    import mlflow.sklearn

    made, frame = estimator()
    form = (
        models.choose_format(made, admission.SHIPPED)
        if name == "skops"
        else models.ModelFormat("cloudpickle", reason="told so")
    )
    folder = tmp_path / "model" / "toy"
    for _ in range(2):
        models.save_model(packed(made, form), tmp_path, "model/toy")
    back = mlflow.sklearn.load_model(str(folder))
    assert np.array_equal(back.predict_proba(frame), made.predict_proba(frame))
    assert back.predict(frame).dtype == bool
    assert [p.name for p in folder.parent.iterdir()] == ["toy"]
    assert (folder / models.CARD_FILE).read_text(encoding="utf-8").startswith("# x-toy")


def test_trusted_from_ones_own_side_is_enough():
    """The line of docs/export.md."""
    import skops.io

    made, frame = estimator()
    trusted = ["imblab_model.Preparation", "imblab_model.ThresholdClassifier", "numpy.dtype"]
    assert str(trusted).replace("'", '"') in (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    back = skops.io.loads(skops.io.dumps(made), trusted=trusted)
    assert np.array_equal(back.positive_proba(frame), made.positive_proba(frame))


def test_a_model_is_loaded_from_the_folder_it_was_written_to_or_never_written(tmp_path, monkeypatch):
    import mlflow.sklearn

    made, frame = estimator()
    form = models.choose_format(made, admission.SHIPPED)
    folder = tmp_path / "what? #1;%" / "model"
    models.check_model_folder(folder)
    folder.parent.mkdir()
    models.save_model(packed(made, form), folder.parent, folder.name)
    assert np.array_equal(mlflow.sklearn.load_model(str(folder)).predict_proba(frame), made.predict_proba(frame))
    # MLflow decodes this one once more than it encodes it.
    (tmp_path / "a%41").mkdir()
    monkeypatch.chdir(tmp_path / "a%41")
    with pytest.raises(StudyError, match=r"a%41/model' cannot be loaded again; .*Rename the folder, or register"):
        models.check_model_folder(Path("model"))
