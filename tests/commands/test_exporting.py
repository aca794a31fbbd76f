"""The winner leaves: chosen aloud, registered with its card, served as it answers, and without a row of its table."""

import io
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from mlflow import MlflowClient

import imblab
import imblab_model
from imblab.analysis.advice import describe_left_out, select_strategies
from imblab.analysis.model_card import ModelFacts, write_card
from imblab.cli import main
from imblab.commands import exporting, results
from imblab.core import model
from imblab.edges import config, ledger
from imblab.edges.mlflow.models import CARD_FILE, CHAMPION
from imblab.errors import ConfigError, DataError, FitError, FitFailed, StudyError
from imblab.text import code_span

CANARY = "KANARIENVOGEL"
#: A number of many digits, the same in no other place.
DIGITS = 7.3918264037


@contextmanager
def inside(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def canaries(n=120):
    """A canary in every cell, id and column; numbers with digits that are nowhere else."""
    rng = np.random.default_rng(3)
    y = np.arange(n) % 4 == 0
    town = np.where(y, f"{CANARY}-east", rng.choice([f"{CANARY}-west", f"{CANARY}-north", None], n))
    return pd.DataFrame(
        {
            "amount": rng.normal(size=n) + y + DIGITS,
            "days": rng.integers(0, 90, n),
            "town": town,
            "member": [f"{CANARY}-{i}" for i in range(n)],
            "comment": [f"{CANARY} wrote {i}" for i in range(n)],
            "house": [f"{CANARY}-{i % 60}" for i in range(n)],
            "fraud": np.where(y, "bad", "good"),
        }
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A finished study on a table of canaries, logged and exported."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "elsewhere").mkdir()
    canaries().to_parquet(folder / "elsewhere" / "table.parquet")
    with inside(folder):
        spec = ("path=elsewhere/table.parquet", "target=fraud", "id=member", "drop=[comment]", "groups=house")
        words = ["name=loans", "dataset=table", *(f"dataset.table.{s}" for s in spec), "dataset.table.name=loans_eu"]
        words += ["learner=[logistic,knn]", "strategy=[none,threshold,smote_threshold]", "protocol=smoke"]
        words += ["strategy.smote_threshold.space.ratio=choice(0.5)", "strategy.smote_threshold.space.k=choice(3)"]
        assert main(["run", *words, "runner.n_jobs=1"]) == 0
        assert main(["export", "loans", "learner=logistic", "--json"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_project(project, monkeypatch):
    monkeypatch.chdir(project)


def exported(capsys, *words):
    capsys.readouterr()
    assert main(["export", "loans", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def registered(alias=CHAMPION):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")
    return f"models:/loans-loans_eu@{alias}"


def loaded():
    import mlflow.sklearn

    return mlflow.sklearn.load_model(registered())


def found():
    home = Path("experiments/loans")
    return results.result_of(config.load_request(home / ledger.STUDY_FILE).study, ledger.read_evaluations(home))


@pytest.mark.slow
def test_the_recommended_one_leaves_and_it_is_said_aloud(capsys):
    assert main(["export", "loans", "learner=logistic", "tracking=none"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    advice = found().recommendation.families["loans_eu", "logistic"]
    lead = f"loans_eu/logistic/{advice.strategy}: Chosen as the recommended one of 3 pairs of learner and strategy"
    assert f"{lead} with learner logistic, mean MCC {advice.mean:.3f}" in said
    assert "Serve it: mlflow models serve -m experiments/loans/model/loans_eu --env-manager local" in said


@pytest.mark.slow
def test_lower_is_better_where_it_is():
    judged = results.result_of(
        replace(found().study, primary="brier"), ledger.read_evaluations(Path("experiments/loans"))
    )
    [arm] = select_strategies(judged, {"strategy": "none"})
    own = judged.summary[judged.summary.strategy == "none"].set_index("learner")
    assert own.loc[arm.learner, "brier"] == own.brier.min() < own.brier.max()
    [arm] = select_strategies(judged, {"learner": "logistic"})
    advice = judged.recommendation.families["loans_eu", "logistic"]
    own = judged.summary[judged.summary.learner == "logistic"].set_index("strategy")
    assert (arm.strategy, advice.best_mean) == (advice.strategy, pytest.approx(own.brier.min(), rel=1e-12))


def test_the_registered_model_answers_as_the_study_and_keeps_its_labels():
    made = loaded()
    raw = pd.read_parquet("elsewhere/table.parquet")
    p = made.positive_proba(raw)
    assert made.classes_.tolist() == ["bad", "good"]
    assert np.array_equal(made.predict_proba(raw)[:, 0], p)
    assert np.array_equal(made.predict(raw), np.where(p >= made.threshold_, "bad", "good"))
    assert made.feature_names_in_.tolist() == ["amount", "days", "town"]


def test_pyfunc_answers_the_same_and_reads_whole_numbers_and_nulls():
    import mlflow.pyfunc

    raw = pd.read_parquet("elsewhere/table.parquet")[["amount", "days", "town"]]
    served = mlflow.pyfunc.load_model(registered())
    assert raw.days.dtype == np.int64
    assert raw.town.isna().any()
    assert np.array_equal(served.predict(raw), loaded().predict(raw))
    assert [c.name for c in served.metadata.get_input_schema()] == ["amount", "days", "town"]
    example = served.input_example
    assert set(example.town) == {"example"}
    assert set(served.predict(example)) <= {"bad", "good"}
    assert not set(example.amount) & set(raw.amount)


def test_the_version_is_tagged_described_and_pinned():
    from mlflow import MlflowClient

    registered()
    client = MlflowClient()
    version = client.get_model_version_by_alias("loans-loans_eu", CHAMPION)
    assert version.tags["imblab.contains_rows"] == "false"
    assert version.tags["imblab.study"] == "loans"
    assert float(version.tags["imblab.threshold"]) == loaded().threshold_
    assert version.description.startswith("# loans-loans_eu\n")
    folder = Path(version.source.removeprefix("file://"))
    assert (folder / CARD_FILE).read_text(encoding="utf-8").startswith(version.description[:4000])
    pins = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split())
    assert pins["scikit-learn"] == sklearn.__version__
    assert "imblab" not in pins
    assert [p.name for p in (folder / "code").iterdir()] == ["imblab_model.py"]
    assert (folder / "model.skops").exists()


def test_the_card_says_what_was_measured_and_what_not_to_do():
    assert main(["export", "loans", "learner=logistic", "strategy=smote_threshold", "tracking=none"]) == 0
    card = Path("experiments/loans/model/loans_eu/README.md").read_text(encoding="utf-8")
    own = found().summary.set_index(["learner", "strategy"]).loc[("logistic", "smote_threshold")]
    assert re.search(rf"\| mcc \| {own['mean']:.4f} \| {own['sd']:.4f} \| -?\d\.\d+ to \d\.\d+ \|", card)
    assert "120 rows of `table`, 30 of them positive (25.00%)" in card
    assert "kept together or in order by groups" in card
    assert "chosen on all rows as in every fold of the study" in card
    assert f"The outer folds chose {own.knobs}, threshold" in card
    assert "`smote_threshold` - `threshold`, mcc:" in card
    assert "As a probability: it was fitted on resampled or weighted rows" in card
    assert "It contains no row of its table." in card
    assert "brier skill" in card


def test_the_card_tells_shared_inner_folds_and_rare_levels():
    facts = ModelFacts(
        *("m", "loans_eu", "logistic", "none", ("good", "bad"), (90, 30), "table", "f" * 64, {"town": "string"}, ()),
        *({}, 0.5, 1, "Chosen.", "Form.", False, True),
    )
    own = found()
    card = write_card(facts, own, None)
    assert "calibration change with that share." in card
    equal = replace(own, scores={
        family: replace(scores, values={**scores.values, "recall": np.zeros_like(scores.values["recall"])})
        for family, scores in own.scores.items()
    })  # fmt: skip
    assert "| recall | 0.0000 | 0.0000 |  |" in write_card(facts, equal, None)
    assert (
        f"tuned on {own.study.protocol.inner_folds} inner folds of each training part, seed 0. Then fitted on" in card
    )
    assert "an unknown category is encoded as zeros. " in card
    shared = replace(own, study=replace(own.study, protocol=replace(own.study.protocol, inner="shared")))
    card = write_card(replace(facts, groups_rare_levels=True), shared, None)
    assert "tuned on the other outer folds, seed 0. Then tuned on all of them and fitted on all rows: no row" in card
    assert "an unknown category counts as a rare one, or is encoded as zeros where its column has none. " in card


def test_a_name_in_a_card_is_no_markup():
    assert code_span("a`|<script>\n\x1b[31m") == "`a'¦<script> [31m`"


@pytest.mark.slow
def test_the_alias_moves_when_asked_and_an_identical_model_is_no_new_version(capsys):
    """The fixture has exported the recommended logistic regression, which is champion as the first one."""
    [first] = exported(capsys, "learner=logistic")
    assert (first["version"], first["new"], first["champion"]) == (1, False, 1)
    assert first["said"].startswith("Version 1 of 'loans-loans_eu' is identical; nothing new was registered.")
    assert "models:/loans-loans_eu@champion" in first["serve"]
    [second] = exported(capsys, "learner=logistic", "strategy=none")
    assert (second["version"], second["new"], second["champion"]) == (2, True, 1)
    best = f"logistic/{first['strategy']}"
    assert second["said"].endswith(f"champion stays v1 ({best}); champion=true moves it to v2.")
    assert "models:/loans-loans_eu/2" in second["serve"]
    [moved] = exported(capsys, "learner=logistic", "strategy=none", "champion=true")
    assert (moved["version"], moved["new"], moved["champion"]) == (2, False, 2)
    assert moved["said"].endswith(f"champion: v1 -> v2 (was {best}).")
    [back] = exported(capsys, "learner=logistic", "champion=true")
    assert (back["version"], back["champion"]) == (1, 1)
    assert back["said"].endswith("champion: v2 -> v1 (was logistic/none).")
    client = MlflowClient(f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")
    assert len(client.search_model_versions("name = 'loans-loans_eu'")) == 2
    client.delete_registered_model_alias("loans-loans_eu", "champion")  # a team that wants no champion
    [without] = exported(capsys, "learner=logistic")
    assert without["champion"] is None
    assert without["said"].endswith("No version is champion; champion=true makes v1 it.")
    [again] = exported(capsys, "learner=logistic", "champion=true")
    assert again["champion"] == 1


def test_models_of_another_study_get_no_version_of_this_one():
    kept = Path("experiments/loans/identity.json")
    mine = kept.read_text(encoding="utf-8")
    try:
        kept.write_text('{"identity": "0123456789abcdef", "former": []}', encoding="utf-8")
        with pytest.raises(
            StudyError, match=r"'loans-loans_eu' belongs to another .*tracking\.experiment=loans-012345"
        ):
            exporting.command_export("loans", ("learner=logistic",), as_json=True)
        asked = ("learner=logistic", "tracking.experiment=loans-012345")
        assert exporting.command_export("loans", asked, as_json=True) == 0
    finally:
        kept.write_text(mine, encoding="utf-8")
    client = MlflowClient(f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")
    assert len(client.search_model_versions("name = 'loans-012345-loans_eu'")) == 1


@pytest.mark.parametrize("words", [(), ("strategy=none",)])
def test_models_made_of_rows_are_refused_in_four_parts(words, capsys):
    assert main(["export", "loans", "learner=knn", *words]) == 2
    said = capsys.readouterr().err
    assert re.match(r"StudyError: cannot export 'loans_eu/knn/\w+': learner 'knn' stores training rows", said)
    assert "contains_rows=true" in said


def test_models_made_of_rows_leave_when_meant_and_are_tagged(capsys):
    [done] = exported(capsys, "learner=knn", "strategy=none", "contains_rows=true", "tracking=none")
    assert done["imblab.contains_rows"] == "true"
    card = Path(done["folder"], "README.md").read_text(encoding="utf-8")
    assert "**It contains rows of its table.**" in card
    assert "**Sharing with people who may not see its table" in card
    assert "imblab.contains_rows: 'true'" in Path(done["folder"], "MLmodel").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (("learner=forest",), StudyError, r"unknown learner 'forest'.*logistic"),
        (("dataset=loans",), StudyError, r"unknown data set 'loans'.*loans_eu"),
        (("contains_rows=perhaps",), ConfigError, r"'contains_rows' is 'perhaps'"),
        (("champion=2",), ConfigError, r"'champion' is '2'"),
        (
            ("learner=logistic", "champion=true", "tracking=none"),
            ConfigError,
            r"'champion' is 'true' with tracking=none",
        ),
        (("seed=3",), ConfigError, r"would change the resolved study"),
    ],
)
def test_what_cannot_be_asked(words, kind, said):
    with pytest.raises(kind, match=said):
        exporting.command_export("loans", words, as_json=True)


def test_a_table_that_changed_since_is_refused():
    path = Path("elsewhere/table.parquet")
    kept = path.read_bytes()
    try:
        canaries().iloc[::-1].to_parquet(path)
        with pytest.raises(StudyError, match="another content"):
            exporting.command_export("loans", ("learner=logistic", "tracking=none"), as_json=True)
    finally:
        path.write_bytes(kept)


def test_a_strategy_with_a_missing_fold_does_not_leave():
    home = Path("experiments/loans")
    rows = [row for row in ledger.read_evaluations(home) if (row.learner, row.fold) != ("logistic", 2)]
    judged = results.result_of(found().study, rows)
    with pytest.raises(StudyError, match="no strategy with a mcc in every fold"):
        select_strategies(judged, {"learner": "logistic"})
    # A choice among strategies waits for the whole design; a pair that is whole and named may leave.
    with pytest.raises(
        StudyError, match=r"study 'loans' is incomplete: 15 of 18 evaluations are there; nothing is selected"
    ):
        select_strategies(judged, {})
    strategy = found().study.strategies[0].name
    [arm] = select_strategies(judged, {"learner": "knn", "strategy": strategy})
    assert (arm.learner, arm.strategy) == ("knn", strategy)


def test_a_server_that_does_not_answer_is_one_message():
    with pytest.raises(StudyError, match="does not answer") as caught:
        exporting.command_export(
            "loans", ("learner=logistic", "tracking.uri=http://me:secret@127.0.0.1:9"), as_json=True
        )
    assert "secret" not in str(caught.value)


def texts():
    """Every form in which the canary could be written."""
    plain = [CANARY.encode(), CANARY.lower().encode(), CANARY.encode("utf-16-le"), CANARY[::-1].encode()]
    return [*plain, str(DIGITS).encode()[:8]]


def test_no_cell_of_the_table_is_found_anywhere():
    """In no artifact, database, report or ledger; names of columns and labels apart."""
    raw = pd.read_parquet("elsewhere/table.parquet")
    cells = [np.float64(v).tobytes() for v in raw.amount] + [repr(float(v)).encode() for v in raw.amount]
    files = [p for root in ("experiments", "mlruns") for p in Path(root).rglob("*") if p.is_file()]
    names = {p.name for p in files}
    wanted = {"mlflow.db", "model.skops", "README.md", "ledger.jsonl", "input_example.json", "report.html"}
    assert wanted <= names
    for path in files:
        if path.is_relative_to("experiments/loans/model"):
            continue  # written by other tests, knowingly with rows
        content = path.read_bytes()
        hits = [t for t in (*texts(), *cells) if t in content]
        assert not hits, f"{path} holds {hits[0]!r}"


def test_the_database_says_no_cell_in_any_column():
    with sqlite3.connect("mlruns/mlflow.db") as connection:
        said = "\n".join(connection.iterdump())
    assert "loans_eu" in said
    assert CANARY not in said


def test_a_model_that_holds_rows_would_be_found(capsys):
    """The check above can fail: it finds the rows of a model that is meant to hold them."""
    [done] = exported(capsys, "learner=knn", "strategy=none", "contains_rows=true", "tracking=none")
    import skops.io

    path = Path(done["folder"], "model.skops")
    made = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    kept = made.preparation.scaler.inverse_transform(np.asarray(made.learner._fit_X)[:, :2])
    raw = pd.read_parquet("elsewhere/table.parquet")
    assert np.allclose(kept[:, 0], raw.amount)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_a_model_is_loaded_without_imblab():
    """What travels along is enough, though imblab cannot be imported."""
    assert main(["export", "loans", "learner=logistic", "tracking=none"]) == 0
    folder = Path("experiments/loans/model/loans_eu").resolve()
    source = str(Path(imblab_model.__file__).parent)
    code = (
        "import sys, json\n"
        f"sys.path = [p for p in sys.path if p != {source!r}]\n"
        "sys.modules['imblab'] = None\n"
        "import mlflow.pyfunc\n"
        f"model = mlflow.pyfunc.load_model({str(folder)!r})\n"
        "import imblab_model\n"
        "print(json.dumps([imblab_model.__file__, model.predict(model.input_example).tolist()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    where, said = json.loads(done.stdout.splitlines()[-1])
    assert Path(where) == folder / "code" / "imblab_model.py"
    assert len(said) == exporting.EXAMPLE_ROWS


@pytest.mark.slow
def test_a_served_model_answers_as_the_estimator(project):
    """The command that is printed, on loopback."""
    assert main(["export", "loans", "learner=logistic", "tracking=none"]) == 0
    folder, port = Path("experiments/loans/model/loans_eu").resolve(), free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, start_new_session=True
    )
    try:
        raw = pd.read_parquet("elsewhere/table.parquet")[["amount", "days", "town"]]
        body = json.dumps({"dataframe_split": json.loads(raw.to_json(orient="split", index=False))}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
                    break
            except OSError:
                assert server.poll() is None, "the server ended"
                time.sleep(0.5)
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)["predictions"]
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 15)
        server.wait(30)
    # pandas writes ten digits: the estimator reads the same text.
    assert said == loaded().predict(pd.read_json(io.StringIO(raw.to_json(orient="records")))).tolist()


def test_a_study_of_several_data_sets_exports_one_model_each():
    assert [arm.dataset for arm in select_strategies(found(), {})] == ["loans_eu"]
    doubled = found()
    summary = pd.concat([doubled.summary, doubled.summary.assign(dataset="loans_us")], ignore_index=True)
    chosen = select_strategies(replace(doubled, summary=summary), {"strategy": "none"})
    assert [(arm.dataset, arm.strategy) for arm in chosen] == [("loans_eu", "none"), ("loans_us", "none")]


def test_a_data_set_without_a_recommendation_is_left_out_and_named():
    home, whole = Path("experiments/loans"), found()
    missing = rescored(ledger.read_evaluations(home), lambda row: row.fold == 2)
    study = replace(whole.study, primary="precision")
    refusal = r"'loans' has nothing to export: 'loans_eu', no strategy has a score in every fold"
    with pytest.raises(
        StudyError, match=rf"{refusal}.* Name strategy=\.\.\. \(none, threshold and smote_threshold\)\."
    ):
        select_strategies(results.result_of(study, missing), {})
    [arm] = select_strategies(results.result_of(study, missing), {"strategy": "none"})
    assert arm.strategy == "none"
    table = pd.concat([whole.summary, whole.summary.assign(dataset="loans_us", ok=0)], ignore_index=True)
    for choice in ({}, {"strategy": "none"}):
        assert [arm.dataset for arm in select_strategies(replace(whole, summary=table), choice)] == ["loans_eu"]
        assert describe_left_out(replace(whole, summary=table), choice) == [
            "loans_us: not exported, no strategy asked for has a score in every fold."
        ]
    assert describe_left_out(whole, {}) == []


def rescored(rows, is_null):
    """Evaluations without a precision where ``is_null`` says so."""
    return [replace(row, scores={**row.scores, "precision": None}) if is_null(row) else row for row in rows]


def test_a_fit_that_fails_on_all_rows_is_one_message(monkeypatch):
    def fails(task):
        raise FitFailed("ValueError: no")

    monkeypatch.setattr(model, "choose_params", fails)
    with pytest.raises(FitError, match=r"cannot export 'loans_eu/logistic/\w+': on all rows of 'loans_eu', ValueError"):
        exporting.command_export("loans", ("learner=logistic", "tracking=none"), as_json=True)


def test_a_table_that_was_in_memory_cannot_be_read_again():
    with pytest.raises(DataError, match=r"'loans_eu' of study 'loans' was a table in memory"):
        exporting.layout_of_dataset(replace(found().study, datasets={}), "loans_eu")


def test_labels_are_as_the_table_has_them():
    assert exporting._typed_labels(("0", "1"))[1] == 1
    assert exporting._typed_labels(("False", "True"))[0] is False
    assert exporting._typed_labels(("01", "1"))[0] == "01"
    assert exporting._typed_labels(("-1", "1"))[0] == -1
    assert exporting._typed_labels(("2", "10", "-1")) == (2, 10, -1)
    for labels in (("2", "10", "rare"), ("²", "1")):
        assert exporting._typed_labels(labels) == labels


def test_words_choose_models_and_overrides_are_the_rest():
    choice, flags, overrides = exporting.split_words(
        ["strategy=[smote]", "tracking=none"], exporting.CHOICE_KEYS, exporting.FLAGS
    )
    assert choice == {"strategy": "smote"}
    assert flags == {"contains_rows": False, "champion": False}
    assert overrides == ("tracking=none",)


def verified(capsys, *words):
    capsys.readouterr()
    status = main(["verify", "loans", *words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_an_exported_model_is_verified(capsys):
    status, (answer,) = verified(capsys, "version=1")
    assert (status, answer["same"], answer["differences"], answer["versions"]) == (0, True, [], [])
    assert (answer["rows"], answer["largest_difference"]) == (120, 0.0)
    assert answer["model"] == "models:/loans-loans_eu/1"
    assert main(["verify", "loans", "version=1"]) == 0
    assert "the same knobs and threshold, and 120 rows scored the same bit for bit" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.fixture
def saved(capsys):
    """A model in the folder of the study; the folder goes afterwards."""
    exported(capsys, "learner=logistic", "strategy=threshold", "tracking=none")
    folder = Path("experiments/loans/model/loans_eu")
    yield folder
    shutil.rmtree(folder.parent)


def test_a_changed_threshold_or_coefficient_of_a_model_is_found(saved, capsys):
    import skops.io

    path = saved / "model.skops"
    content = path.read_bytes()
    assert verified(capsys, "tracking=none")[0] == 0
    types = skops.io.get_untrusted_types(data=content)
    estimator = skops.io.loads(content, trusted=types)
    estimator.threshold += 0.2
    skops.io.dump(estimator, path)
    status, (answer,) = verified(capsys, "tracking=none")
    assert (status, answer["differences"][0]["field"]) == (1, "estimator.threshold")
    assert {each["field"] for each in answer["differences"]} <= {"estimator.threshold", "predictions"}
    estimator = skops.io.loads(content, trusted=types)
    estimator.learner.coef_ += 1e-9
    skops.io.dump(estimator, path)
    status, (answer,) = verified(capsys, "tracking=none")
    assert (status, [each["field"] for each in answer["differences"]]) == (1, ["scores"])
    lines = (saved / "requirements.txt").read_text().splitlines()
    (saved / "requirements.txt").write_text("\n".join("numpy==1.0" if "numpy" in line else line for line in lines))
    status, (answer,) = verified(capsys, "tracking=none")
    assert (status, answer["versions"]) == (0, [f"numpy 1.0 -> {np.__version__}"])
    assert 0 < answer["largest_difference"] < 1e-6


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("imblab.threshold: '", "imblab.threshold: '0.", "threshold"),
        ("imblab.params: '{}'", "imblab.params: '{\"k\": 3}'", "params"),
    ],
)
def test_changed_tags_of_a_model_are_found(saved, old, new, field, capsys):
    path = saved / "MLmodel"
    text = path.read_text()
    assert old in text
    path.write_text(re.sub(re.escape(old) + r"[\d.]*", new, text) if field == "threshold" else text.replace(old, new))
    status, (answer,) = verified(capsys, "tracking=none")
    assert (status, answer["differences"][0]["field"].partition(".")[0]) == (1, field)


def test_changed_classes_of_a_model_are_found_and_not_run(saved, capsys):
    (saved / "code" / "imblab_model.py").write_text("raise SystemExit('run')\n")
    status, (answer,) = verified(capsys, "tracking=none")
    assert (status, [each["field"] for each in answer["differences"]]) == (1, ["code"])


def test_a_model_that_cannot_be_verified_ends_with_two(saved, capsys):
    description, model_file = (saved / "MLmodel").read_text(), (saved / "model.skops").read_bytes()
    (saved / "MLmodel").write_text(
        description.replace("serialization_format: skops", "serialization_format: cloudpickle")
    )
    assert main(["verify", "loans", "tracking=none"]) == 2
    assert "which runs code when it is loaded" in capsys.readouterr().err
    (saved / "MLmodel").write_text(description.replace("imblab.strategy: threshold", "imblab.strategy: treshold"))
    assert main(["verify", "loans", "tracking=none"]) == 2
    assert "Did you mean 'threshold'?" in capsys.readouterr().err
    (saved / "MLmodel").write_text(description)
    (saved / "model.skops").write_bytes(model_file[:-90])
    assert main(["verify", "loans", "tracking=none"]) == 2
    assert "cannot be read (" in capsys.readouterr().err
    (saved / "requirements.txt").unlink()
    assert main(["verify", "loans", "tracking=none"]) == 2
    assert "does not hold a model that imblab exported" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_said(capsys):
    shutil.rmtree("experiments/loans/model", ignore_errors=True)
    for words in (["tracking=none"], ["dataset=other"]):
        assert main(["verify", "loans", *words]) == 2
        assert "has no exported model there" in capsys.readouterr().err
    for word in ("99", "x"):
        assert main(["verify", "loans", f"version={word}"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"unknown version '{word}' of 'loans-loans_eu'." in said
        assert "Valid versions: 1" in said
    assert main(["verify", "loans", "tracking.uri=sqlite:///none.db"]) == 2
    assert "does not exist, seen from this directory" in capsys.readouterr().err
    assert main(["verify", "loans", "runs_code=maybe"]) == 2
    assert "'runs_code' is 'maybe'" in capsys.readouterr().err


def test_a_model_reads_the_raw_file_as_its_study_did(tmp_path, monkeypatch):
    import mlflow.sklearn as mlflow_sklearn

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(160) % 4 == 0
    income = np.where(rng.random(160) < 0.3, "-999", (rng.normal(size=160) + y).round(3).astype(str))
    town = np.where(y, rng.choice(["b", "?"], 160), rng.choice(["a", "c", "?", ""], 160))
    raw = pd.DataFrame({"income": income, "age": rng.integers(20, 60, 160), "town": town})
    raw["left"] = np.where(y, "yes", "no")
    raw.to_csv("churn.csv", index=False)
    words = [
        "churn.csv",
        "target=left",
        "missing=[-999,'?']",
        "name=churn",
        "learner=[logistic]",
        "strategy=[threshold]",
    ]
    assert main(["run", *words, "protocol=smoke", "runner.n_jobs=1"]) == 0
    assert main(["export", "churn", "tracking=none"]) == 0
    assert main(["verify", "churn", "tracking=none"]) == 0
    made = mlflow_sklearn.load_model("experiments/churn/model/churn")
    expected = made.predict_proba(pd.read_csv("churn.csv", na_values=["-999", "?"]))
    texts = pd.read_csv("churn.csv", dtype=str, keep_default_na=False)
    for frame in (pd.read_csv("churn.csv"), texts, pa.Table.from_pandas(texts)):
        assert np.array_equal(made.predict_proba(frame), expected)
    asked = {"learners": "logistic", "strategies": ["threshold"], "cv": "smoke", "missing": [-999, "?"]}
    result = imblab.run(pd.read_csv("churn.csv"), "left", **asked)
    assert np.array_equal(result.recommended.predict_proba(texts), expected)
    table = pa.Table.from_pandas(pd.read_csv("churn.csv")[["left", "town", "age", "income"]])
    assert np.array_equal(result.refit(table, table["left"]).predict_proba(texts), expected)
    card = Path("experiments/churn/model/churn/README.md").read_text(encoding="utf-8")
    assert "missing values (also `-999` and `?`) are imputed" in card


def test_misspelt_words_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"(?s)Did you mean 'tracking'.*Did you mean 'strategy'"):
        exporting.split_words(["trackin=none", "strateg=none", "seed=3"], exporting.CHOICE_KEYS, exporting.FLAGS)
