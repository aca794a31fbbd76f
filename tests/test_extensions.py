"""Extending imblab, as docs/extending.md says it: one file or one line each, and it appears everywhere.

Measures, learners and strategies of a user's own: tests/test_own_classes.py. Every shipped file of a group keeps the
contract in tests/contracts/.
"""

import sqlite3
from pathlib import Path

import pytest

import imblab
from imblab import study as nouns
from imblab.cli import main
from imblab.edges import config, ledger
from imblab.errors import ConfigError
from imblab.study import Choice, SearchMethod

STRATEGY = """
borderline:
  label: Borderline SMOTE, tuned ratio and number of neighbours in danger
  sampler: {_target_: imblearn.over_sampling.BorderlineSMOTE}
  prior_correction: approximate
  ratio: null
  k: 5
  weight: null
  calibration: none
  threshold: 0.5
  space: {ratio: "choice(0.25,0.5)", m_neighbors: "choice(5,10)"}
"""
WORDS = ("name=b", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,borderline]", "protocol=smoke")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with one further strategy: a file in a directory of the user's own."""
    folder = tmp_path_factory.mktemp("extended")
    (folder / "conf" / "strategy").mkdir(parents=True)
    (folder / "conf" / "strategy" / "borderline.yaml").write_text(STRATEGY)
    return folder


@pytest.fixture
def here(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def compose(here):
    return lambda *more: imblab.compose(*WORDS, *more, config_dirs=["conf"])


def test_a_further_knob_of_a_sampler_is_one_line_of_its_file(here, capsys):
    assert main(["plan", *WORDS, "--config-dir", "conf", "tracking=none"]) == 0
    assert "m_neighbors choice(5, 10)" in " ".join(capsys.readouterr().out.split())
    assert main(["run", *WORDS, "--config-dir", "conf", "runner.n_jobs=1"]) == 0
    assert main(["compare", "b", "--full"]) == 0
    assert "sampler.m_neighbors" in capsys.readouterr().out
    rows = [row for row in ledger.read_evaluations(Path("experiments/b")) if row.strategy == "borderline"]
    assert list(rows[0].params) == ["ratio", "k", "sampler.m_neighbors"]
    tried = [(trial.params["ratio"], trial.params["sampler.m_neighbors"]) for trial in rows[0].trials]
    assert tried == [(0.25, 5), (0.25, 10), (0.5, 5), (0.5, 10)]
    assert any(five.value != ten.value for five, ten in (row.trials[:2] for row in rows))
    page = Path("experiments/b/report.html").read_text(encoding="utf-8")
    assert "m_neighbors of 5, 10" in page  # methods
    assert "against the sampler.m_neighbors" in page  # the figure
    logged = sqlite3.connect("mlruns/mlflow.db").execute("SELECT DISTINCT key, value FROM params").fetchall()
    assert {("sampler.m_neighbors", "choice(5,10)"), ("sampler.m_neighbors", "5")} <= set(logged)
    assert main(["export", "b", "strategy=borderline", "learner=logistic"]) == 0


def test_it_is_searched_and_fixed_on_the_command_line(here, compose):
    (_, strategy) = compose("strategy.borderline.space.m_neighbors=choice(3,30)").strategies
    assert strategy.space["m_neighbors"] == Choice((3, 30))
    assert list(strategy.axes) == ["ratio", "sampler.m_neighbors"]
    fixed = config.compose_request([*WORDS, "strategy.borderline.sampler.m_neighbors=7"], [here / "conf"])
    assert fixed.notes == ("strategy.borderline.sampler.m_neighbors is fixed to 7: its space is removed.",)
    study = compose("strategy.borderline.sampler.m_neighbors=7")
    assert "m_neighbors" not in study.strategies[1].space
    assert config.parse_study(config.to_mapping(study)) == study


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("space.m_neighbor=choice(3)", r"unknown knob 'm_neighbor' of 'imblearn.*Did you mean 'm_neighbors'"),
        ("space.k_neighbors=choice(3)", r"the knob 'k' stands for.*Write strategy\.borderline\.space\.k\."),
        ("space.m_neighbors=choice(0)", r"'strategy\.borderline\.space\.m_neighbors' holds a value"),
        ("space.m_neighbors=choice(2.5)", r"this parameter takes whole numbers only"),
        ("space.random_state=choice(1,2)", r"'strategy\.borderline\.space\.random_state' is 1; everything random"),
        ("sampler.kind=$m_neighbor", r"unknown placeholder '\$m_neighbor'"),
    ],
)
def test_what_it_cannot_be_is_refused_before_anything_runs(compose, override, message):
    with pytest.raises(ConfigError, match=message):
        compose(f"strategy.borderline.{override}")


def test_a_value_in_the_file_and_a_space_exclude_each_other(compose, tmp_path):
    (tmp_path / "strategy").mkdir()
    both = STRATEGY.replace("BorderlineSMOTE}", "BorderlineSMOTE, m_neighbors: 7}")
    (tmp_path / "strategy" / "borderline.yaml").write_text(both)
    with pytest.raises(ConfigError, match=r"'strategy\.borderline\.sampler\.m_neighbors' is 7 while the knob"):
        imblab.compose(*WORDS, config_dirs=[tmp_path])


def test_a_value_that_the_sampler_cannot_serve_is_a_failed_candidate(compose):
    study = compose(
        "strategy.borderline.space.m_neighbors=choice(5,400)", "strategy.borderline.space.ratio=choice(0.5)"
    )
    frame = imblab.evaluate(study)
    row = frame[frame.strategy == "borderline"].iloc[0]
    assert row.params["sampler.m_neighbors"] == 5


def test_parameters_of_one_name_of_learner_and_sampler_are_two_knobs(compose):
    study = compose(
        "learner=[knn]", "search=random", "search.n_trials=2", "search.tune_learner=true", "search.prune=true"
    )
    strategy, learner = study.strategies[1], study.learners[0]
    assert list({**strategy.axes, **{f"learner.{name}": None for name in learner.space}}) == [
        "ratio",
        "sampler.m_neighbors",
        "learner.n_neighbors",
        "learner.weights",
    ]


def test_a_placeholder_takes_a_knob_into_a_nested_sampler(compose, tmp_path):
    (tmp_path / "strategy").mkdir()
    inner = "{_target_: imblearn.over_sampling.SMOTE, sampling_strategy: $ratio, k_neighbors: $k}"
    cleaner = "{_target_: imblearn.under_sampling.EditedNearestNeighbours, n_neighbors: $cleaning}"
    nested = STRATEGY.replace(
        "{_target_: imblearn.over_sampling.BorderlineSMOTE}",
        f"{{_target_: imblearn.combine.SMOTEENN, sampling_strategy: $ratio, smote: {inner}, enn: {cleaner}}}",
    ).replace("m_neighbors:", "cleaning:")
    (tmp_path / "strategy" / "borderline.yaml").write_text(nested.replace("choice(5,10)", "choice(1,5)"))
    frame = imblab.evaluate(imblab.compose(*WORDS, config_dirs=[tmp_path]))
    row = frame[frame.strategy == "borderline"].iloc[0]
    assert row.params["sampler.cleaning"] in (1, 5)


def test_a_further_sampler_of_optuna_is_one_line_of_the_table(compose, monkeypatch):
    line = SearchMethod("nsga2", "{n} candidates were bred by NSGA-II", "NSGAIISampler", {"population_size": 2}, True)
    monkeypatch.setitem(nouns.SEARCH_METHODS, "nsga2", line)
    with pytest.raises(ConfigError, match=r"'search.n_trials' is not set and the search is 'nsga2'"):
        compose("search.method=nsga2")
    with pytest.raises(ConfigError, match=r"the search is 'nsga2', which learns from every value"):
        compose("search.method=nsga2", "search.n_trials=4", "search.prune=true")
    study = compose("search.method=nsga2", "search.n_trials=4", "strategy.borderline.space.ratio=interval(0.2,0.5)")
    assert config.parse_study(config.to_mapping(study)) == study
    first, second = imblab.evaluate(study), imblab.evaluate(study)
    assert first.params.tolist() == second.params.tolist()
    assert first[first.strategy == "borderline"].candidates.between(2, 4).all()
