"""Class weights by a power of the class count, from the command line to ledger, tables, report and MLflow."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

import imblab
from imblab.analysis.methods import _describe_strategy, short_label
from imblab.cli import main
from imblab.core import design, fitting, splits
from imblab.core.decisions import weighted_share
from imblab.edges import config, datasets, ledger
from imblab.edges.config import estimators
from imblab.study import Choice, Strategy
from imblab.weights import power_weight, weight_power

FIXED = "strategy.class_weight.weight={power:0.5}"
SEARCHED = "strategy.weight_threshold.space.weight=choice({power:0.5},{power:1},{power:0},5)"
ASKED = (
    *("name=powers", "dataset=[ecoli3]", "learner=[logistic]", "protocol=smoke", "runner.n_jobs=1"),
    "strategy=[none,threshold,class_weight,weight_threshold]",
)
HOME = Path("experiments/powers")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    home = tmp_path_factory.mktemp("powers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", *ASKED, FIXED, SEARCHED]) == 0
    return home


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "400")


def test_a_study_keeps_them_as_they_are_written():
    study = config.load_request(HOME / ledger.STUDY_FILE).study
    weights = {strategy.name: strategy for strategy in study.strategies}
    assert weights["class_weight"].weight == "power 0.5"
    assert weights["weight_threshold"].space["weight"] == Choice(("power 0.5", "power 1", "power 0", 5))
    written = config.to_mapping(study)["strategy"]
    assert written["class_weight"]["weight"] == {"power": 0.5}
    assert written["weight_threshold"]["space"]["weight"] == "choice({power:0.5},{power:1},{power:0},5)"
    assert config.parse_study(json.loads(json.dumps(config.to_mapping(study)))) == study


def test_the_ledger_holds_them_as_text_and_a_second_run_adds_nothing(capsys):
    rows = ledger.read_evaluations(HOME)
    fixed = [row for row in rows if row.strategy == "class_weight"]
    assert [row.params for row in fixed] == [{"weight": "power 0.5"}] * 3
    searched = [row for row in rows if row.strategy == "weight_threshold"]
    listed = [{"weight": weight} for weight in ("power 0.5", "power 1", "power 0", 5)]
    assert [[trial.params for trial in row.trials] for row in searched] == [listed] * 3
    assert all(type(row).from_json(row.to_json()) == row for row in rows)
    before = (HOME / "ledger.jsonl").read_bytes()
    assert main(["run", *ASKED, FIXED, SEARCHED]) == 0
    assert "All 12 requested evaluations" in capsys.readouterr().out
    assert (HOME / "ledger.jsonl").read_bytes() == before


def test_tables_and_plan_name_them(capsys):
    assert main(["compare", "powers", "--full"]) == 0
    assert "weight power 0.5" in capsys.readouterr().out
    assert main(["plan", *ASKED, FIXED, SEARCHED, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    facts = {strategy["name"]: strategy for strategy in plan["strategies"]}
    assert facts["class_weight"]["weight"] == "power 0.5"
    assert (facts["weight_threshold"]["candidates"], facts["weight_threshold"]["weight"]) == (
        4,
        "choice(power 0.5,power 1,power 0,5)",
    )


def test_fixing_one_removes_the_space_with_a_note():
    assert config.compose_request([*ASKED, FIXED]).notes == (
        "strategy.class_weight.weight is fixed to {power:0.5}: its space is removed.",
    )


def test_the_space_that_a_plan_shows_can_be_typed():
    typed = imblab.compose(*ASKED, "strategy.weight_threshold.space.weight=choice(power 0.5,power 1,power 0,5)")
    assert typed.strategies[3] == imblab.compose(*ASKED, SEARCHED).strategies[3]


def test_the_report_and_the_methods_say_it_in_words(capsys):
    assert main(["report", "powers"]) == 0
    page = (HOME / "report.html").read_text(encoding="utf-8")
    assert "class weights of power 0.5, threshold 0.5" in page
    assert "Class weight of power 0.5, threshold .5" in page
    searched = Strategy("s", space={"weight": Choice((power_weight(0.5), "balanced"))})
    assert _describe_strategy(searched) == "no resampling, class weights of power 0.5, balanced, threshold 0.5"
    assert _describe_strategy(Strategy("s", weight="balanced")) == (
        "no resampling, weight of a positive row balanced, threshold 0.5"
    )
    assert short_label(Strategy("s", weight=power_weight(2))) == "Class weight of power 2, threshold .5"


def test_mlflow_has_them_as_params(place):
    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name == "powers")
    params = [run.data.params for run in client.search_runs([experiment.experiment_id])]
    by_strategy = {p["strategy"]: p for p in params if "chosen.weight" in p}
    assert by_strategy["class_weight"]["weight"] == "power 0.5"
    assert by_strategy["class_weight"]["chosen.weight"] == "power 0.5, power 0.5, power 0.5"
    candidates = {p["weight"] for p in params if "weight" in p and "chosen.weight" not in p}
    assert candidates >= {"power 0.5", "power 1", "power 0"}


def test_a_calibration_by_priors_knows_the_share_that_the_learner_received():
    assert weighted_share(90, 10, "power 1") == weighted_share(90, 10, "balanced") == 0.5
    assert weighted_share(90, 10, "power 0") == weighted_share(90, 10, None) == 0.1
    assert weighted_share(90, 10, "power 0.5") == weighted_share(90, 10, 3.0) == 0.25


@pytest.fixture(scope="module")
def tiny():
    return datasets.read_dataset(imblab.compose(*ASKED).datasets["ecoli3"], "ecoli3")


def test_the_powers_1_and_0_share_the_fits_of_balanced_and_of_no_weight(tiny):
    def address(weight):
        params = {} if weight is None else {"weight": weight}
        rows = tiny.y.nonzero()[0]
        return fitting.fit_request(tiny, {"_target_": "sklearn.svm.SVC"}, None, params, 0, rows, rows).address

    assert address("power 1") == address("balanced")
    assert address("power 0") == address(None)
    assert len({address(weight) for weight in (None, "balanced", "power 0.5", "power 0.25", 1, 0.5)}) == 6


def test_another_power_is_another_evaluation(tiny):
    def address(override):
        study = imblab.compose(*ASKED, override)
        plans = {"ecoli3": splits.plan(tiny, study.protocol, study.seed)}
        cells = design.expand_cells(study, plans)
        return design.cell_address(next(c for c in cells if c.strategy.name == "class_weight"), study, tiny)

    powers = [address(f"strategy.class_weight.weight={{power:{a}}}") for a in ("0.5", "1", "0.5")]
    assert powers[0] == powers[2] != powers[1]


@pytest.mark.parametrize(
    "text", ["power -1", "power", "power x", "power 0.50", "power nan", "power inf", "Power 1", ""]
)
def test_other_texts_are_no_powers(text):
    assert weight_power(text) is None


def test_a_weight_that_is_no_power_stays_as_it_is():
    assert [*map(estimators.read_weight, ({"power": 0.5}, {"power": -1}, 10))] == ["power 0.5", {"power": -1}, 10]
    assert [*map(estimators.write_weight, ("power 0.5", "balanced"))] == [{"power": 0.5}, "balanced"]
    assert estimators.write_axis({"weight": Choice((2, 5))}) == {}
