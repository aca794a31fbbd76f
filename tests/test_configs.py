"""Every file of conf/ can be asked for by its name, and what it asks survives the trip through plain data."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import imblab
from imblab.analysis.methods import short_label
from imblab.edges import config, datasets
from imblab.study import Choice, Interval, Protocol

CONF = Path(__file__).parents[1] / "conf"
BASE = ("name=x", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]")


def files(group):
    return sorted((CONF / group).glob("*.yaml"))


def of(group):
    return pytest.mark.parametrize("name", [path.stem for path in files(group)])


def raw(group, name):
    return yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))


@cache
def bundled():
    return {row["name"] for row in datasets.listing() if row["kind"] == "bundled"}


def comes_back(study):
    """Through JSON."""
    mapping = config.to_mapping(study)
    back = config.parse_study(json.loads(json.dumps(mapping)))
    assert back == study
    assert config.to_mapping(back) == mapping
    return study


def test_a_group_is_a_folder_of_files_and_the_defaults_name_every_group():
    defaults = [entry for entry in raw(".", "config")["defaults"] if isinstance(entry, dict)]
    assert {key for entry in defaults for key in entry} == {path.name for path in CONF.iterdir() if path.is_dir()}
    for group in CONF.iterdir():
        if group.is_dir():
            assert {path.suffix for path in group.iterdir()} == {".yaml"}


def test_the_defaults_compose():
    study = comes_back(imblab.compose("name=x", "dataset=[ecoli3]"))
    assert [s.name for s in study.strategies] == ["none", "threshold", "class_weight", "smote", "smote_threshold"]
    assert [item.name for item in study.learners] == ["logistic", "lightgbm"]
    assert (study.primary, study.seed, study.tuning.method) == ("mcc", 0, "grid")


@pytest.mark.sampled(5)
@of("dataset")
def test_datasets(name):
    study = comes_back(imblab.compose(*BASE, f"dataset=[{name}]"))
    assert list(study.datasets) == [name]
    assert study.datasets[name] == raw("dataset", name)[name]
    assert study.datasets[name]["kind"] == ("bundled" if name in bundled() else name)


def test_every_bundled_data_set_has_a_file_and_they_compose_together():
    by_file = {p.stem for p in files("dataset") if raw("dataset", p.stem)[p.stem]["kind"] == "bundled"}
    assert by_file == bundled()
    assert set(comes_back(imblab.compose(*BASE, f"dataset=[{','.join(sorted(by_file))}]")).datasets) == by_file


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", sorted(bundled()))
def test_bundled_data_sets_load_under_their_name(name):
    study = imblab.compose(*BASE, f"dataset=[{name}]")
    data = datasets.read_dataset(study.datasets[name], name)
    assert data.name == name
    rows = np.bincount(data.y)
    assert len(rows) == len(data.classes) >= 2
    assert (np.diff(rows) <= 0).all()
    assert rows[-1] > 0
    assert len(data.X) == len(data.y)
    assert len(data.fingerprint) == 64


@pytest.mark.sampled(5)
@of("learner")
def test_learners(name):
    study = comes_back(imblab.compose(*BASE, f"learner=[{name}]"))
    (found,) = study.learners
    assert found.name == name
    assert found.make == raw("learner", name)[name]["make"]
    assert found.label == raw("learner", name)[name]["label"]
    assert all(isinstance(axis, Choice | Interval) for axis in found.space.values())


@pytest.mark.sampled(5)
@of("strategy")
def test_strategies(name):
    study = comes_back(imblab.compose(*BASE, f"strategy=[{name}]"))
    (found,) = study.strategies
    assert found.name == name
    assert found.sampler == raw("strategy", name)[name]["sampler"]
    assert found.threshold == raw("strategy", name)[name]["threshold"]
    # A study that is read again has no labels: what its knobs say must be the same.
    assert found.label == raw("strategy", name)[name]["label"] == short_label(replace(found, label=""))


def test_a_label_is_no_part_of_the_question_and_is_one_line():
    plain, labelled = (imblab.compose(*BASE, *more) for more in ((), ("++strategy.none.label=as it is",)))
    assert labelled.strategies[0].label == "as it is"
    assert labelled == plain
    assert imblab.compose(*BASE, "strategy.none.threshold=0.4").strategies[0].label == ""
    assert config.to_mapping(labelled) == config.to_mapping(plain)
    with pytest.raises(
        imblab.errors.ConfigError, match=r"'strategy\.none\.label' is 5; it is a description on one line"
    ):
        imblab.compose(*BASE, "strategy.none.label=5")


@pytest.mark.sampled(7)
@of("measures")
def test_measures(name):
    both = f"measures=[mcc,{name}]" if name != "mcc" else "measures=[mcc]"
    primary = name if raw("measures", name)[name]["needs"] != "amount" else "mcc"
    study = comes_back(imblab.compose(*BASE, both, f"primary={primary}"))
    assert study.primary == primary
    assert [m.name for m in study.measures][-1] == name
    assert study.measures[-1].function == raw("measures", name)[name]["function"]


@of("protocol")
def test_protocols(name):
    study = comes_back(imblab.compose(*BASE, f"protocol={name}"))
    for key, value in raw("protocol", name).items():
        if key != "thresholds":
            assert getattr(study.protocol, key) == (getattr(Protocol(), key) if value is None else value)
    assert study.protocol.thresholds == tuple(i / 100 for i in range(1, 100))


@of("search")
def test_searches(name):
    study = comes_back(imblab.compose(*BASE, f"search={name}"))
    assert study.tuning.method == name
    assert study.tuning.n_trials == raw("search", name)["n_trials"]
    tuned = imblab.compose(*BASE, f"search={name}", "search.tune_learner=true", "learner.logistic.space.C=choice(1,2)")
    assert comes_back(tuned).tuning.tune_learner is True


@of("tracking")
def test_trackings_say_how_a_study_is_run_and_change_no_question(name):
    request = config.compose_request([*BASE, f"tracking={name}"])
    assert request.tracking == raw("tracking", name)
    assert request.study == imblab.compose(*BASE)


@of("runner")
def test_runners_say_how_a_study_is_run_and_change_no_question(name):
    request = config.compose_request([*BASE, f"runner={name}"])
    assert request.runner == raw("runner", name)
    assert request.study == imblab.compose(*BASE)
    assert config.compose_request([*BASE, f"runner={name}", "runner.n_jobs=2"]).runner["n_jobs"] == 2


#: Experiments that take their tables from a folder of the user's.
WITH_FOLDER = {name: ["data_dir=tables"] for name in ("balancing_the_scales", "dependence")}


@pytest.mark.sampled(3)
@of("experiment")
def test_experiments_are_named_as_their_file_and_hold_both_reference_arms(name):
    study = comes_back(imblab.compose(f"experiment={name}", *WITH_FOLDER.get(name, ())))
    mapping = config.to_mapping(study)
    # YAML is the form in which a folder keeps its question.
    assert config.parse_study(yaml.safe_load(yaml.safe_dump(mapping, sort_keys=False))) == study
    assert study.name == name
    assert name in WITH_FOLDER or set(study.datasets) <= bundled()
    assert {"none", "threshold"} <= {s.name for s in study.strategies}
    named = {s.name: s for s in study.strategies}
    assert (named["none"].sampler, named["none"].threshold, named["none"].weight) == (None, 0.5, None)
    assert (named["threshold"].sampler, named["threshold"].threshold) == (None, "tuned")
    for one, other in study.claims.contrasts or ():
        assert {one, other} <= set(named)
    # Resampling with a tuned threshold can be told from a moved threshold.
    assert study.claims.contrasts is not None or "smote" not in named or "smote_threshold" in named


@pytest.mark.sampled(3)
@of("experiment")
def test_an_experiment_can_be_asked_in_another_way(name):
    study = comes_back(
        imblab.compose(
            f"experiment={name}",
            *WITH_FOLDER.get(name, ()),
            "learner=[knn]",
            "strategy=[none,threshold,smote,smote_threshold]",
            "seed=3",
            "strategy.smote_threshold.space.k=choice(3)",
        )
    )
    assert [item.name for item in study.learners] == ["knn"]
    assert study.seed == 3
    named = {s.name: s for s in study.strategies}
    assert named["smote_threshold"].space["k"] == Choice((3,))
    on_file = {path.stem for path in files("strategy")}
    assert named.keys() & on_file == {"none", "threshold", "smote", "smote_threshold"}


@pytest.mark.parametrize("name", imblab.__all__)
def test_every_name_that_the_package_promises_is_there(name):
    assert getattr(imblab, name) is not None


def test_a_table_in_memory_becomes_a_data_set():
    frame = pd.DataFrame({"a": [1, 2, 3], "left": ["no", "yes", "no"]})
    assert imblab.dataset(frame, "left", name="churn").y.tolist() == [0, 1, 0]


# ------------------------------------------------------------------------------------------------------- calibration


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("name", "asked", "rebalances"),
    [
        ("logistic", (), False),
        ("logistic", ("learner.logistic.make.class_weight=balanced",), True),
        ("logistic", ("learner.logistic.space.class_weight=choice(balanced)",), True),
        ("lightgbm", (), False),
        ("lightgbm", ("learner.lightgbm.make.is_unbalance=true",), True),
        ("xgboost", (), False),
        ("xgboost", ("learner.xgboost.make.scale_pos_weight=1",), False),
        ("xgboost", ("learner.xgboost.make.scale_pos_weight=9",), True),
        ("balanced_random_forest", (), True),
        ("easy_ensemble", ("learner.easy_ensemble.rebalances=false",), True),
        ("hist_gradient_boosting", (), False),
    ],
)
def test_a_learner_that_weighs_or_resamples_by_itself_is_noticed(name, asked, rebalances):
    study = comes_back(imblab.compose("name=x", "dataset=[ecoli3]", f"learner=[{name}]", "strategy=[none]", *asked))
    assert study.learners[0].traits.rebalances is rebalances


def test_a_calibration_may_be_asked_of_a_file_that_names_none(tmp_path):
    (tmp_path / "strategy").mkdir()
    text = "own: {sampler: {_target_: imblearn.over_sampling.KMeansSMOTE}, ratio: 0.5, k: 2, threshold: tuned}"
    (tmp_path / "strategy" / "own.yaml").write_text(text)
    asked = ("name=x", "dataset=[ecoli3]", "strategy=[own]")
    (plain,) = imblab.compose(*asked, config_dirs=[tmp_path]).strategies
    assert (plain.calibration, plain.prior_correction) == ("none", None)
    asked += ("strategy.own.calibration=prior", "strategy.own.prior_correction=approximate")
    (own,) = comes_back(imblab.compose(*asked, config_dirs=[tmp_path])).strategies
    assert (own.calibration, own.prior_correction) == ("prior", "approximate")


def test_a_study_without_calibration_says_nothing_of_it():
    mapping = config.to_mapping(imblab.compose("name=x", "dataset=[ecoli3]", "strategy=[none,threshold]"))
    assert all("calibration" not in knobs for knobs in mapping["strategy"].values())
