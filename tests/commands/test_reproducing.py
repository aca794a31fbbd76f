"""``imblab reproduce``: a study comes back from its record, and every change of the record is found."""

import json
import os
import re
import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings, strategies as st

import imblab
from imblab.analysis.reproduction import CAUSES, _flat_fields, evaluation_differences, evidence_differences
from imblab.cli import main
from imblab.commands.reproducing import EvaluationChoice
from imblab.edges import evidence, files, ledger
from imblab.edges.provenance import environment
from imblab.errors import ConfigError, DataError, StudyError
from imblab.result import Evaluation

ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote]", "protocol=smoke")
HERE = ("runner.n_jobs=1",)
HOME = Path("experiments/small")
KEY = "ecoli3/logistic/smote/0/1"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a finished study."""
    home = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", "name=small", *ASKED, *HERE, "tracking=none", "runner.report=false"]) == 0
    return home / HOME


@pytest.fixture(autouse=True)
def _here(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copytree(done, HOME)


def again(*words, **options):
    return imblab.reproduce(options.pop("study", "small"), *HERE, *words, **options)


def read_lines(name=ledger.LEDGER_FILE):
    return [json.loads(line) for line in (HOME / name).read_text().splitlines()]


def write_lines(lines, name=ledger.LEDGER_FILE):
    (HOME / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def key_of(line):
    return "/".join(str(line[name]) for name in ("dataset", "learner", "strategy", "repeat", "fold"))


def rewrite(changed):
    """Write the ledger and its searches again from evaluations, as imblab writes them."""
    rows = [changed(row) for row in ledger.read_evaluations(HOME)]
    (HOME / ledger.LEDGER_FILE).unlink()
    (HOME / ledger.SEARCHES_FILE).unlink()
    with ledger.open_study(HOME, ledger.read_study(HOME)) as book:
        for row in rows:
            book.append(row)


def causes(answer):
    return {cause: sorted({each.key for each in members}) for cause, members in answer.by_cause.items()}


# The same


def test_a_study_comes_back_bit_for_bit(capsys):
    before = {path: path.read_bytes() for path in HOME.iterdir() if path.is_file()}
    assert main(["reproduce", "small", *HERE, "--all"]) == 0
    text = capsys.readouterr().out
    assert "Study 'small' comes back from its record: 9 evaluations run again, equal bit for\nbit." in text
    assert "versions, processor and locale: the same" in text
    assert "evidence.parquet, built again from these evaluations" in text
    assert max(map(len, text.splitlines())) <= 80
    assert {path: path.read_bytes() for path in HOME.iterdir() if path.is_file()} == before
    assert not Path("mlruns").exists()


def test_a_subset_is_drawn_by_its_seed(capsys):
    drawn = [again(subset=3, seed=seed).repeated for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {len(keys) for keys in drawn} == {3}
    assert main(["reproduce", "small", *HERE, "--subset", "3", "--seed", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["repeated"], facts["same"], facts["identical"]) == (list(drawn[2]), True, 3)
    assert facts["environment"] == {"unrecorded": [], "changes": []}


@pytest.mark.parametrize("name", ["small", "experiments/small", "experiments/small/study.yaml", f"{HOME}/ledger.jsonl"])
def test_a_record_is_named_in_four_ways(name):
    answer = again(study=name, cells=[KEY])
    assert (answer.is_same, answer.repeated, answer.recorded) == (True, (KEY,), 9)


def test_new_evaluations_are_kept_in_a_fresh_folder():
    answer = again(cells=[KEY], folder="fresh")
    (row,) = ledger.read_evaluations(Path("fresh"))
    assert (row.key, answer.folder) == (KEY, "fresh")
    with pytest.raises(StudyError, match=r"'fresh' holds something already; .* Name one that does not exist"):
        again(cells=[KEY], folder="fresh")


def test_seconds_may_differ_and_nothing_else_is_left_out():
    rewrite(lambda row: replace(row, seconds=row.seconds + 1))
    assert again(all=True).is_same
    known = {name.partition(".")[0].partition("[")[0] for name in _flat_fields(ledger.read_evaluations(HOME)[0])}
    assert known == {field.name for field in fields(Evaluation)} - {"seconds"}


def test_shared_inner_folds_come_back_one_by_one():
    words = ("name=shared", *ASKED, "protocol.inner=shared", *HERE, "tracking=none", "runner.report=false")
    assert main(["run", *words]) == 0
    assert again(study="shared", cells=[KEY, "ecoli3/logistic/threshold/0/2"]).is_same


# What is found without a fit


def test_a_removed_line_is_found_with_a_subset(capsys):
    write_lines([line for line in read_lines() if key_of(line) != KEY])
    answer = again(subset=1)
    assert causes(answer) == {"missing": [KEY]}
    assert main(["reproduce", "small", *HERE, "--subset", "1"]) == 1
    text = capsys.readouterr().out
    assert "Study 'small' does not come back from its record: 1 evaluation" in text
    assert f"- {KEY}\n" in text
    assert max(map(len, text.splitlines())) <= 80


def test_exchanged_contents_are_found_with_a_subset():
    lines = read_lines()
    names = ("dataset", "learner", "strategy", "repeat", "fold")
    first, second = lines[0], lines[4]
    lines[0], lines[4] = ({**b, **{name: a[name] for name in names}} for a, b in ((first, second), (second, first)))
    write_lines(lines)
    assert causes(again(subset=1)) == {"folds": sorted(map(key_of, (first, second)))}


def test_contents_exchanged_between_strategies_of_a_fold_are_found_with_a_subset():
    lines = read_lines()
    first, second = lines[0], lines[1]
    lines[0], lines[1] = {**second, "strategy": first["strategy"]}, {**first, "strategy": second["strategy"]}
    write_lines(lines)
    assert causes(again(subset=1)) == {"address": sorted(map(key_of, (first, second)))}


def test_a_line_beyond_the_design_is_found_with_a_subset():
    lines = read_lines()
    write_lines([*lines, {**lines[0], "fold": 7}])
    assert causes(again(subset=1)) == {"beyond": ["ecoli3/logistic/none/0/7"]}


@pytest.mark.parametrize("change", [{"seed": 1}, {"primary": "f1"}])
def test_a_changed_question_is_found_with_a_subset(change):
    path = HOME / ledger.STUDY_FILE
    path.write_text(files.to_yaml(yaml.safe_load(path.read_text()) | change))
    answer = again(subset=1)
    assert len({each.key for each in answer.differences}) == 9
    assert answer.repeated == ()
    assert set(causes(answer)) == {"folds" if "seed" in change else "address"}


def test_changed_claims_are_said():
    assert again(subset=1).is_first_question
    path = HOME / ledger.STUDY_FILE
    question = yaml.safe_load(path.read_text())
    question["claims"]["alpha"] = 0.2
    path.write_text(files.to_yaml(question))
    answer = again(subset=1)
    assert (answer.is_first_question, answer.is_same) == (False, True)
    (HOME / "identity.json").unlink()
    assert again(subset=1).is_first_question is None


def test_a_score_that_is_not_that_of_its_counts_is_found_with_a_subset():
    lines = read_lines()
    lines[3]["scores"]["mcc"] += 1e-9
    write_lines(lines)
    other = key_of(lines[0])
    (found,) = again(cells=[other]).differences
    assert (found.cause, found.key, found.field) == ("counts", key_of(lines[3]), "scores.mcc")
    assert found.recorded - found.now == pytest.approx(1e-9, rel=1e-3)


# What takes a fit


def test_a_score_moved_by_a_billionth_is_found_by_all(capsys):
    lines = read_lines()
    lines[5]["scores"]["pr_auc"] += 1e-9
    write_lines(lines)
    assert main(["reproduce", "small", *HERE, "--all"]) == 1
    text = capsys.readouterr().out
    assert "values, 1 evaluation: Two fits here agree with one another and not with the" in text
    assert f"- {key_of(lines[5])}: scores.pr_auc {lines[5]['scores']['pr_auc']}" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert again(cells=[key_of(lines[0])]).is_same


def _other_value(draw, value):
    """Another value that a reader may accept in the place of this one."""
    if isinstance(value, bool) or value is None:
        return draw(st.sampled_from([True, False, None, 0.5]))
    if isinstance(value, float):
        return draw(st.sampled_from([value + 1e-9, value - 1e-12, float(np.nextafter(value, 2)), -value, None, 0.25]))
    if isinstance(value, int):
        return value + draw(st.sampled_from([-1, 1, 7]))
    if isinstance(value, str):
        return draw(st.sampled_from([f"{value}x", value[:-1], "ok", "failed", "0" * len(value)]))
    return draw(st.sampled_from([["a note"], {}, []]))


def _places(value, path=()):
    """All places of plain data that hold a value, an empty list or an empty mapping."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [place for key, item in items for place in _places(item, (*path, key))]
    return below or [path]


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_other_field_of_a_line_is_compared(done, data):
    """After any change to a row or to the trials of its search the row does not come back, or cannot be read."""
    shutil.rmtree(HOME)
    shutil.copytree(done, HOME)
    name = data.draw(st.sampled_from([ledger.LEDGER_FILE, ledger.LEDGER_FILE, ledger.SEARCHES_FILE]))
    lines = read_lines(name)
    number = data.draw(st.integers(0, len(lines) - 1))
    *parents, last = data.draw(st.sampled_from([place for place in _places(lines[number]) if place != ("seconds",)]))
    holder = lines[number]
    for step in parents:
        holder = holder[step]
    other = _other_value(data.draw, holder[last])
    assume(repr(other) != repr(holder[last]))
    holder[last] = other
    write_lines(lines, name)
    keys = [key_of(line) for line in read_lines()] if name == ledger.SEARCHES_FILE else [key_of(lines[number])]
    try:
        answer = again(cells=[key for key in keys if key.count("/") == 4])
    except (StudyError, ConfigError):
        return  # it cannot be read, or names no cell of the record
    assert not answer.is_same


def test_changed_trials_with_their_own_address_are_found():
    def changed(row):
        if row.key != KEY:
            return row
        *others, last = row.trials
        return replace(row, trials=(*others, replace(last, value=last.value - 1e-12)))

    rewrite(changed)
    (found,) = again(cells=[KEY]).differences
    assert (found.cause, found.field.partition(".")[2]) == ("values", "value")


def test_changed_evidence_is_found_by_all():
    path = HOME / evidence.EVIDENCE_FILE
    frame, facts = evidence.load_evidence(path), evidence.load_facts(path)
    frame.loc[frame.index[frame.kind == "cut"][0], "x"] += 1
    evidence.write_evidence(path, frame, facts)
    assert again(subset=9).is_same
    (found,) = again(all=True).differences
    assert (found.cause, found.key, found.field) == ("evidence", evidence.EVIDENCE_FILE, "rows")
    assert (found.recorded, found.now) == (f"1 of {len(frame)}", f"1 of {len(frame)}")
    path.write_bytes(b"junk")
    (found,) = again(all=True).differences
    assert (found.cause, found.field) == ("evidence", "")
    path.unlink()
    answer = again(all=True)
    assert (answer.is_same, answer.evidence) == (True, False)


def test_evidence_may_be_near_where_versions_differ():
    frame = evidence.load_evidence(HOME / evidence.EVIDENCE_FILE)
    near = frame.assign(x=frame.x + 1e-9)
    assert evidence_differences(frame, frame.sample(frac=1, random_state=0), "e") == []
    assert evidence_differences(frame, near, "e", 1e-6) == []
    assert len(evidence_differences(frame, near, "e")) == 1
    assert len(evidence_differences(frame, near.iloc[1:], "e", 1e-6)) == 1


# Environments


def with_packages(**versions):
    path = HOME / environment.ENVIRONMENT_FILE
    (record,) = json.loads(path.read_text())
    record["packages"] |= {name.replace("_", "-"): version for name, version in versions.items()}
    path.write_text(json.dumps([record]))


def moved_by(distance):
    return lambda row: replace(row, scores={**row.scores, "pr_auc": row.scores["pr_auc"] + distance})


def test_another_version_allows_a_tolerance_and_is_named(capsys):
    rewrite(moved_by(1e-9))
    assert set(causes(again(cells=[KEY]))) == {"values"}
    with_packages(numpy="1.0")
    answer = again(cells=[KEY])
    assert (answer.is_same, answer.identical, answer.within_tolerance) == (True, 0, 1)
    assert answer.largest_difference == pytest.approx(1e-9, rel=1e-3)
    assert main(["reproduce", "small", *HERE, "--cell", KEY]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "comes back from its record within the tolerance of 1e-06" in text
    assert f"recorded -> now: numpy 1.0 -> {np.__version__}" in text
    assert set(causes(again(cells=[KEY], tolerance=1e-12))) == {"environment"}
    rewrite(moved_by(1e-3))
    assert set(causes(again(cells=[KEY]))) == {"environment"}


def test_the_version_of_a_package_that_is_not_used_allows_nothing():
    rewrite(moved_by(1e-9))
    with_packages(lightgbm="1.0", rich="1.0")
    answer = again(cells=[KEY])
    assert [change.name for change in answer.changes] == ["lightgbm"]
    assert set(causes(answer)) == {"values"}
    with_packages(imbalanced_learn="0.1")
    assert again(cells=[KEY]).is_same  # SMOTE
    assert set(causes(again(cells=["ecoli3/logistic/none/0/0"]))) == {"values"}


def test_another_processor_allows_a_tolerance_and_another_locale_does_not():
    rewrite(moved_by(1e-9))
    path = HOME / environment.ENVIRONMENT_FILE
    (record,) = json.loads(path.read_text())
    path.write_text(json.dumps([{**record, "locale": {**record["locale"], "LC_NUMERIC": "de_DE"}}]))
    answer = again(cells=[KEY])
    assert ([change.kind for change in answer.changes], answer.is_same) == (["locale"], False)
    path.write_text(json.dumps([{**record, "processor": {**record["processor"], "blas": "openblas 0.1 Z80"}}]))
    answer = again(cells=[KEY])
    assert ([change.name for change in answer.changes], answer.is_same) == (["processor.blas"], True)


def test_a_record_without_a_processor_allows_rounding_and_no_more(capsys):
    (HOME / environment.ENVIRONMENT_FILE).unlink()
    rewrite(moved_by(1e-12))
    answer = again(cells=[KEY])
    assert (answer.is_same, answer.within_tolerance, answer.unrecorded) == (True, 1, ("processor", "locale"))
    assert main(["reproduce", "small", *HERE, "--cell", KEY]) == 0
    assert "so that numbers may differ by rounding" in " ".join(capsys.readouterr().out.split())
    rewrite(moved_by(1e-9))
    assert set(causes(again(cells=[KEY]))) == {"environment"}


def move_the_last_digit(row):
    return replace(row, scores={**row.scores, "mcc": float(np.nextafter(row.scores["mcc"], 2))})


def test_a_score_may_round_otherwise_than_its_counts_on_another_processor():
    rewrite(move_the_last_digit)
    assert "counts" in causes(again(cells=[KEY]))
    path = HOME / environment.ENVIRONMENT_FILE
    (record,) = json.loads(path.read_text())
    path.write_text(json.dumps([{**record, "processor": {**record["processor"], "simd": "another"}}]))
    assert again(cells=[KEY]).is_same
    path.unlink()
    assert again(cells=[KEY]).is_same
    rewrite(lambda row: replace(row, scores={**row.scores, "mcc": row.scores["mcc"] + 1e-9}))
    assert "counts" in causes(again(cells=[KEY]))


def test_a_record_without_an_environment_comes_back(capsys):
    (HOME / environment.ENVIRONMENT_FILE).unlink()
    answer = again(cells=[KEY])
    assert (answer.is_same, answer.unrecorded) == (True, ("processor", "locale"))
    (HOME / evidence.EVIDENCE_FILE).unlink()
    assert again(cells=[KEY]).unrecorded == ("versions", "processor", "locale")
    (HOME / environment.ENVIRONMENT_FILE).write_text("[5]")
    assert again(cells=[KEY]).is_same
    assert "environment.json' is damaged" in capsys.readouterr().err


# Code and tables


UNSTABLE = """
from sklearn.linear_model import LogisticRegression
import itertools
calls = itertools.count(1)

class Moody(LogisticRegression):
    def predict_proba(self, X):
        p = super().predict_proba(X)
        return p * (1 - 1e-7 * next(calls))
"""


def run_own_learner(name):
    words = [f"name={name}", *ASKED[:1], "strategy=[none,threshold]", "protocol=smoke", "allow=[mypkg]"]
    folder = Path("conf/learner")
    folder.mkdir(parents=True)
    (folder / "moody.yaml").write_text("moody:\n  make:\n    _target_: mypkg.model.Moody\n")
    words += ["learner=[moody]", "--config-dir", "conf", *HERE, "tracking=none", "runner.report=false"]
    assert main(["run", *words]) == 0


def test_a_learner_that_depends_on_more_than_its_seed_is_called_unstable(packages):
    packages(mypkg____init__="", mypkg__model=UNSTABLE)
    run_own_learner("moody")
    answer = again("allow=[mypkg]", study="moody", subset=2)
    assert set(causes(answer)) == {"unstable"}


def test_changed_code_is_named_and_not_run(packages):
    packages(mypkg____init__="", mypkg__model=UNSTABLE.replace("1e-7", "0"))
    run_own_learner("moody")
    assert again("allow=[mypkg]", study="moody", subset=2).is_same
    home = Path("experiments/moody")
    text = (home / "ledger.jsonl").read_text()
    (line, *_) = [json.loads(each) for each in text.splitlines()]
    (home / "ledger.jsonl").write_text(text.replace(line["code"]["mypkg.model.Moody"], "0123456789abcdef"))
    answer = again("allow=[mypkg]", study="moody", subset=2)
    assert (set(causes(answer)), answer.repeated) == ({"code"}, ())
    with pytest.raises(ConfigError, match="allow"):
        again(study="moody", subset=2)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    y = (rng.random(150) < 0.2).astype(int)
    frame = pd.DataFrame({"a": rng.normal(size=150) + y, "b": rng.normal(size=150), "left": y})
    frame.to_csv("churn.csv", index=False)
    words = ["churn.csv", "target=left", "learner=[logistic]", "strategy=[none]", "protocol=smoke", *HERE]
    assert main(["run", *words, "tracking=none", "runner.report=false"]) == 0
    return frame


def test_a_table_that_is_not_at_hand_is_named_with_the_way_out(table, capsys):
    assert again(study="churn").is_same
    Path("churn.csv").rename("elsewhere.csv")
    assert main(["reproduce", "churn", *HERE]) == 2
    said = capsys.readouterr().err
    assert "DataError: the table of data set 'churn' is not at hand: 'churn.csv' is not a file;" in said
    assert "Put it there, or say where it is: --table churn=PATH." in said
    assert main(["reproduce", "churn", *HERE, "--table", "churn=elsewhere.csv"]) == 0
    assert again(study="churn", tables={"churn": "elsewhere.csv"}).is_same


def test_tables_that_are_not_at_hand_are_all_named_at_once(table):
    path = Path("experiments/churn/study.yaml")
    question = yaml.safe_load(path.read_text())
    question["dataset"]["other"] = {**question["dataset"]["table"], "path": "other.csv"}
    path.write_text(files.to_yaml(question))
    Path("churn.csv").unlink()
    with pytest.raises(DataError, match=r"(?s)2 problems:.*'churn.csv'.*'other.csv'"):
        again(study="churn")


def test_a_table_with_another_content_is_named_and_nothing_is_fitted_on_it(table):
    table.assign(b=table.b + 1).to_csv("churn.csv", index=False)
    answer = again(study="churn")
    assert (set(causes(answer)), answer.repeated) == ({"table"}, ())
    assert "the question, with its claims: as at the first evaluation" in str(answer)
    assert "--all" not in str(answer), "no evaluation can be run again"


@pytest.mark.parametrize(
    ("word", "message"),
    [("other=x.csv", "Did you mean|Valid data sets"), ("churn", "not a name and a path"), ("=x", "not a name and")],
)
def test_a_wrong_table_is_refused(table, word, message, capsys):
    assert main(["reproduce", "churn", *HERE, "--table", word]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_table_in_memory_is_passed_again():
    rng = np.random.default_rng(1)
    y = (rng.random(120) < 0.25).astype(int)
    mine = imblab.dataset(pd.DataFrame({"a": rng.normal(size=120) + y, "y": y}), name="mine", target="y")
    study = imblab.compose("name=memory", "dataset=[]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    imblab.run(study, data=[mine], store_path=None)
    assert again(study="memory", data=[mine]).is_same
    with pytest.raises(DataError, match="was a table in memory"):
        again(study="memory")


# What cannot be made


def test_what_cannot_be_made_ends_with_two(capsys):
    commands = {
        "unknown study 'smal'": ["smal"],
        "unknown evaluation 'ecoli3/logistic/smote/0/9'": ["small", "--cell", "ecoli3/logistic/smote/0/9"],
        "--subset and --all are given together": ["small", "--all", "--subset", "3"],
        "'--subset' is 0": ["small", "--subset", "0"],
        "'tolerance' is 2.0": ["small", "--tolerance", "2"],
        "would change the resolved study": ["small", "seed=1"],
    }
    for message, words in commands.items():
        assert main(["reproduce", *words, *HERE]) == 2
        assert message in capsys.readouterr().err
    (HOME / ledger.LEDGER_FILE).unlink()
    assert main(["reproduce", str(HOME), *HERE]) == 2
    assert "has no 'ledger.jsonl'" in capsys.readouterr().err
    (HOME / ledger.LEDGER_FILE).touch()
    assert main(["reproduce", "small", *HERE]) == 2
    assert "has no evaluation" in capsys.readouterr().err


def test_a_run_of_mlflow_is_reproduced_from_its_artifacts(capsys):
    shutil.rmtree(HOME)
    shutil.rmtree("experiments")
    words = ["name=small", *ASKED, "search=random", "search.n_trials=3", *HERE, "runner.report=false"]
    assert main(["run", *words]) == 0
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    runs = {run.data.tags["imblab.role"]: run for run in client.search_runs([experiment.experiment_id])}
    cell = next(
        run
        for run in client.search_runs([experiment.experiment_id], "tags.`imblab.role` = 'cell'")
        if run.data.tags["imblab.strategy"] == "smote"
    )
    shutil.rmtree("experiments")
    answer = again(study=runs["study"].info.run_id)
    assert (answer.is_same, len(answer.repeated), answer.study) == (True, 9, "small")
    answer = again(study=cell.info.run_id, all=True)
    assert (answer.is_same, len(answer.repeated)) == (True, 3)
    assert {key.split("/")[2] for key in answer.repeated} == {"smote"}
    capsys.readouterr()
    assert main(["reproduce", "0" * 32, *HERE]) == 2
    assert "is not in the MLflow store 'sqlite:///mlruns/mlflow.db'" in capsys.readouterr().err
    assert main(["reproduce", "0" * 32, *HERE, "tracking.uri=sqlite:///none.db"]) == 2
    assert "'sqlite:///none.db' does not exist, seen from this directory" in capsys.readouterr().err
    assert not Path("none.db").exists()


def test_selections_exclude_one_another():
    with pytest.raises(ConfigError, match="--subset and --cell are given together"):
        EvaluationChoice(subset=2, cells=("a",))
    assert EvaluationChoice(all=True).choose(["a", "b"], ["a", "b"]) == ["a", "b"]
    assert EvaluationChoice(subset=2, seed=1).choose(["a", "b", "c", "d"], []) == ["b", "c"]


def test_texts_that_libraries_word_are_compared_bit_for_bit_only():
    row = ledger.read_evaluations(HOME)[0]
    worded = replace(row, notes=("another warning",))
    assert len(evaluation_differences(row, worded)) == 2
    assert evaluation_differences(row, worded, 1e-6) == []
    assert len(evaluation_differences(row, replace(row, n_test=row.n_test + 1), 0.5)) == 1


def test_every_cause_says_what_to_do():
    assert all(text.endswith((".", "--env.")) and text.count(".") > 1 for text in CAUSES.values())


PAGE = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run(capsys):
    HOME.rename("experiments/quickstart")
    commands = re.findall(r"^imblab (reproduce .*?)(?:  +#.*)?$", PAGE, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        assert main([*command.split(), *HERE]) == 0
        assert capsys.readouterr().out


def test_the_page_names_every_cause():
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", "".join(rows))) == set(CAUSES)


UV = """#!{python}
import pathlib, sys
with open({log!r}, "a") as log:
    print(" ".join(sys.argv[1:]), file=log)
if sys.argv[1] == "venv":
    place = pathlib.Path(sys.argv[-1], "bin")
    place.mkdir(parents=True)
    starter = place / "python"
    starter.write_text("#!/bin/sh\\nexec {python} \\"$@\\"\\n")
    starter.chmod(0o755)
sys.exit({code} if sys.argv[1] == "pip" else 0)
"""


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """Put a stand-in for uv on the path: it installs nothing, its environment runs this Python."""

    def install(code=0):
        folder, log = tmp_path / "tools", tmp_path / "uv.log"
        folder.mkdir(exist_ok=True)
        (folder / "uv").write_text(UV.format(python=sys.executable, log=str(log), code=code))
        (folder / "uv").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        return log

    return install


@pytest.mark.slow
def test_the_recorded_environment_is_made_once_and_run_in(uv, capfd):
    log = uv()
    words = ["reproduce", "small", *HERE, "--cell", KEY, "--env"]
    assert main(words) == 0
    out = capfd.readouterr().out
    assert "The recorded environment: Python " in out
    assert "Study 'small' comes back from its record: 1 evaluation run again" in out
    made, locked, ours = log.read_text().splitlines()
    (record,) = environment.read_environments(HOME)
    assert made.startswith(f"venv --python {record.python.split()[1]} ")
    lock = Path(locked.split()[-1]).read_text().splitlines()
    assert lock == record.requirements()
    assert "--no-deps" in ours
    lines = read_lines()
    write_lines([line for line in lines if key_of(line) != key_of(lines[0])])
    assert main(words) == 1  # the status of the command inside
    assert len(log.read_text().splitlines()) == 3  # the environment is there


def test_an_environment_that_cannot_be_made_is_explained(uv, capsys, monkeypatch):
    uv(code=3)
    assert main(["reproduce", "small", *HERE, "--env"]) == 2
    assert "the recorded environment cannot be made: " in capsys.readouterr().err
    path = HOME / environment.ENVIRONMENT_FILE
    (record,) = json.loads(path.read_text())
    path.write_text(json.dumps([{**record, "python": "CPython 2.7.1"}]))
    monkeypatch.setenv("PATH", "")
    assert main(["reproduce", "small", *HERE, "--env"]) == 2
    assert "Python '2.7.1' cannot be made by this Python" in capsys.readouterr().err
    path.unlink()
    (HOME / evidence.EVIDENCE_FILE).unlink()
    assert main(["reproduce", "small", *HERE, "--env"]) == 2
    assert "names no environment" in capsys.readouterr().err
