"""No verdict before the design is complete: until then everything says N of M evaluations first, what is missing."""

import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings, strategies as st
from mlflow import MlflowClient

import imblab
from imblab.analysis.advice import select_strategies
from imblab.analysis.results import completeness_of, within_design
from imblab.cli import main
from imblab.commands import results, running
from imblab.commands.results import read_result
from imblab.edges import config, files, ledger, mlflow, report
from imblab.edges.mlflow.writer import RunWriter
from imblab.errors import StudyError
from imblab.result import Evaluation
from imblab.study import Learner, Measure, Protocol, Strategy, Study

#: What is said of a contrast that was judged, in any surface.
WORDS = re.compile(r"\b(better|worse|equivalent|identical|inconclusive|untested|resampling helps)\b", re.I)
QUESTION = (
    *("name=demo", "dataset=[ecoli3,yeast4]", "learner=[logistic]", "strategy=[none,threshold,smote,smote_threshold]"),
    *("protocol=smoke", "tracking=none", "runner.n_jobs=1"),
    *(
        f"strategy.{s}.space.{k}=choice({v})"
        for s in ("smote", "smote_threshold")
        for k, v in (("ratio", 0.5), ("k", 5))
    ),
)

STUDY = Study(
    "s",
    0,
    {f"d{i}": {"kind": "bundled"} for i in range(7)},
    (Learner("knn", {}), Learner("logistic", {})),
    (Strategy("none"), Strategy("threshold", threshold="tuned"), Strategy("weight", weight=2.0)),
    (Measure("mcc", "imblab.core.measures.mcc", "label"),),
    Protocol(outer_folds=3, repeats=2),
)


def row(dataset, learner, strategy, repeat, fold, status="ok", score=0.5):
    counts = {"tn": 8, "fp": 1, "fn": 1, "tp": 2} if status == "ok" else {}
    return Evaluation(
        dataset, learner, strategy, repeat, fold, {}, 0.5, {"mcc": score + fold / 10}, counts, 0.1, status,
        None if status == "ok" else "it broke", "f", "data", f"{dataset}-{repeat}-{fold}", n_train=24, n_test=12,
    )  # fmt: skip


def every(study=STUDY, status="ok"):
    protocol = study.protocol
    return [
        row(d, n.name, s.name, r, f, status, 0.1 * i)
        for d in study.datasets
        for n in study.learners
        for i, s in enumerate(study.strategies)
        for r in range(protocol.repeats)
        for f in range(protocol.outer_folds)
    ]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    home = tmp_path_factory.mktemp("completeness")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", *QUESTION]) == 0
    return home


@pytest.fixture
def half(done, tmp_path, monkeypatch):
    """A study that was stopped: ecoli3 is whole, yeast4 has 2 of 12 evaluations."""
    for name in ("experiments", "mlruns"):
        shutil.copytree(done / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    home = Path("experiments/demo")
    lines = (home / ledger.LEDGER_FILE).read_bytes().splitlines(keepends=True)
    lines = sorted(lines, key=lambda line: json.loads(line)["dataset"] != "ecoli3")
    (home / ledger.LEDGER_FILE).write_bytes(b"".join(lines[:14]))
    return SimpleNamespace(home=home, lines=lines, study=config.load_request(home / ledger.STUDY_FILE).study)


# Counting


def test_evaluations_are_counted_from_the_design():
    found = completeness_of(STUDY, list(STUDY.datasets), every()[:-4])
    assert (found.asked, found.evaluated, found.is_complete) == (7 * 2 * 3 * 6, 7 * 2 * 3 * 6 - 4, False)
    assert found.missing == {("d6", "logistic", "weight"): 4}
    assert found.sentences() == (
        "Incomplete: 248 of 252 evaluations are there. No verdict before the design is complete.",
        "Missing: 4 evaluations: d6/logistic/weight (4 of 6).",
    )
    assert completeness_of(STUDY, list(STUDY.datasets), every()).sentences() == ()
    one = completeness_of(STUDY, list(STUDY.datasets), every()[:-1]).sentences()[1]
    assert one == "Missing: 1 evaluation: d6/logistic/weight (1 of 6)."


def test_whole_data_sets_learners_and_strategies_are_named_once_and_long_lists_are_cut():
    rows = [r for r in every() if r.dataset == "d0" and r.learner == "knn" and r.strategy != "weight"][:-1]
    _, missing = completeness_of(STUDY, list(STUDY.datasets), rows).sentences()
    assert missing == (
        "Missing: 241 evaluations: all of 6 of 7 data sets (d1, d2, d3, d4 and 2 more); all of learner logistic; "
        "all of strategy weight; d0/knn/threshold (1 of 6)."
    )


def test_failed_and_inapplicable_evaluations_count_and_are_said():
    statuses = ["failed", "inapplicable", "inapplicable", *["ok"] * (len(every()) - 3)]
    rows = [replace(r, status=s, error=f"why {s}") for r, s in zip(every(), statuses, strict=True)]
    found = completeness_of(STUDY, list(STUDY.datasets), rows)
    assert found.is_complete
    assert found.sentences() == ()
    assert found.without_scores() == (
        "Evaluations without scores, which count as evaluated: 1 failed and 2 are not applicable.",
    )
    assert found.first_reason() == (
        f"No scores, for example, in {rows[0].dataset}/{rows[0].learner}/{rows[0].strategy}: why failed.",
    )
    assert completeness_of(STUDY, list(STUDY.datasets), rows[::-1]) == found


def test_rows_beyond_the_design_are_said_and_left_out():
    strange = [row("d9", "knn", "none", 0, 0), row("d0", "svm", "none", 0, 0), row("d0", "knn", "none", 2, 0)]
    strange += [row("d0", "knn", "none", 0, 3), row("d0", "knn", "none", 0, -1)]
    found = completeness_of(STUDY, list(STUDY.datasets), [*every(), *strange])
    assert found.is_complete
    assert found.sentences() == (
        "5 rows are beyond the design of study.yaml and left out: d9/knn/none, d0/svm/none, d0/knn/none.",
    )
    assert within_design(STUDY, list(STUDY.datasets), [*strange, *every()]) == every()


def test_a_cell_counts_once():
    found = completeness_of(STUDY, ["d0"], [row("d0", "knn", "none", 0, 0)] * 36)
    assert found.evaluated == 1


@pytest.mark.slow
@settings(max_examples=60)
@given(st.sets(st.integers(0, len(every()) - 1)))
def test_evaluated_and_missing_add_up_to_the_design_and_only_the_whole_is_judged(kept):
    rows = [each for i, each in enumerate(every()) if i in kept]
    judged = results.result_of(STUDY, rows)
    found = judged.completeness
    assert found.evaluated == len(rows)
    assert sum(found.missing.values()) == found.asked - len(rows)
    assert found.is_complete == (len(rows) == len(every()))
    said = json.dumps(results.result_to_json(judged)) + results.as_text(judged, width=120)
    assert found.is_complete or not WORDS.search(said)
    assert found.is_complete or judged.sentences[0].startswith(f"Incomplete: {len(rows)} of 252 evaluations")
    assert len(said) < 200_000


def test_a_strategy_that_lacks_one_evaluation_of_one_data_set_is_enough():
    rows = every()
    assert results.result_of(STUDY, rows).across
    judged = results.result_of(STUDY, rows[:-1])
    assert (judged.across, set(judged.contrasts.verdict)) == ((), {"incomplete"})
    assert judged.contrasts[["p", "p_holm", "detectable", "below", "within", "above"]].isna().all(axis=None)
    assert judged.contrasts["mean"].notna().sum() > 20
    assert set(judged.contrasts.reason) == {"251 of 252 evaluations are there"}


# What shows results


def printed(capsys, *words):
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out


LEAD = "Incomplete: 14 of 24 evaluations are there. No verdict before the design is complete."


def test_compare_says_it_first_and_gives_no_verdict(half, capsys):
    out = printed(capsys, "compare", "demo")
    assert out.startswith(f"{LEAD}\nMissing: 10 evaluations: yeast4/logistic/none (2 of 3)")
    assert not WORDS.search(out)
    assert "Across" not in out
    assert "Continue: imblab run experiments/demo/study.yaml" in out


def test_json_holds_the_counts(half, capsys):
    found = json.loads(printed(capsys, "compare", "demo", "--json"))
    assert not WORDS.search(json.dumps(found))
    whole = found["completeness"]
    assert (whole["complete"], whole["evaluated"], whole["asked"]) == (False, 14, 24)
    assert {"dataset": "yeast4", "learner": "logistic", "strategy": "smote", "evaluations": 3} in whole["missing"]
    assert found["sentences"][0] == LEAD
    assert found["across"] == []


def words_of(html):
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", "", html, flags=re.S))


def test_the_report_begins_with_it_and_holds_no_verdict_and_no_advice(half):
    source = results.report_data(half.home, read_result(half.home, half.study))
    first = report.build_sections(source)[0]
    assert source.result.answer.headline == LEAD
    assert [table.name for table in first.blocks] == ["missing"]
    text = words_of(report.render(source)[report.PAGE_FILE])
    assert not WORDS.search(text)
    assert "demo: 14 of 24 evaluations" in text
    assert "What to do" not in text
    assert text.index(LEAD) < text.index("The rarer class is the positive one")


def test_the_index_says_it_and_no_verdict(half):
    (half.home / results.WORDS).write_text("ours")
    entry = results.build_index(Path("experiments")).partition("## demo")[2]
    assert f"**{LEAD}" in entry
    assert not WORDS.search(entry)


def test_the_notes_of_mlflow_begin_with_it_and_hold_no_verdict(half):
    result = results.result_of(half.study, ledger.read_evaluations(half.home))
    runs = mlflow.describe_runs(result, {})
    assert LEAD in runs[0].note
    assert {run.tags["imblab.complete"] for run in runs if run.role in ("study", "cell")} == {"false"}
    assert runs[0].tags["imblab.evaluations"] == "14 of 24"
    for run in (run for run in runs if run.role == "cell"):
        assert run.note.startswith(LEAD)
        assert not WORDS.search(run.note)
    during = mlflow.describe_runs(result, {}, mlflow.RunDetails(is_running=True))
    assert "Running: no verdict before all 24 evaluations of the design are there." in during[0].note
    assert during[0].tags["imblab.complete"] == "false"


@pytest.mark.slow
def test_nothing_is_chosen_for_export_and_a_named_pair_says_so_on_its_card(half):
    judged = results.result_of(half.study, ledger.read_evaluations(half.home))
    with pytest.raises(
        StudyError, match="study 'demo' is incomplete: 14 of 24 evaluations are there; nothing is selected"
    ):
        select_strategies(judged, {"dataset": "ecoli3"})
    with pytest.raises(StudyError, match=r"(?s)Did you mean 'logistic'.*Did you mean 'smote'"):
        select_strategies(judged, {"learner": "logistik", "strategy": "smot"})
    [arm] = select_strategies(judged, {"learner": "logistic", "strategy": "smote"})
    assert arm.dataset == "ecoli3"
    assert main(["export", "demo", "learner=logistic", "strategy=smote", "tracking=none"]) == 0
    [text] = [p.read_text() for p in half.home.glob("model/ecoli3/**/*") if p.suffix == ".md"]
    assert text.splitlines()[2].startswith("Incomplete: 14 of 24 evaluations are there.")
    assert not WORDS.search(text)


def test_rescoring_says_how_much_of_the_design_it_answers(half, capsys):
    for path in half.home.glob("../../mlruns/predictions.sqlite*"):
        path.unlink()  # nothing can be answered
    assert printed(capsys, "rescore", "demo", "primary=f1", "label=again").startswith("Incomplete: 0 of 24 evaluations")
    out = printed(capsys, "compare", "demo/rescored/again")
    assert out.startswith("Incomplete: 0 of 24 evaluations")
    assert not WORDS.search(out)


def test_a_finished_study_that_is_extended_is_incomplete_again(done, tmp_path, monkeypatch, capsys):
    shutil.copytree(done / "experiments", tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    assert "Incomplete" not in printed(capsys, "compare", "demo")
    path = Path("experiments/demo") / ledger.STUDY_FILE
    mapping = yaml.safe_load(path.read_text())
    mapping["dataset"]["yeast6"] = mapping["dataset"]["yeast4"]
    path.write_text(files.to_yaml(mapping))
    out = " ".join(printed(capsys, "compare", "demo").split())
    assert out.startswith("Incomplete: 24 of 36 evaluations are there.")
    assert "Missing: 12 evaluations: all of data set yeast6." in out
    # A part of it that is whole, asked for alone, is judged by the whole.
    out = " ".join(printed(capsys, "run", *QUESTION).split())
    assert "All 24 requested evaluations of study 'demo' are there." in out
    assert "Incomplete: 24 of 36 evaluations are there." in out
    assert not WORDS.search(out)


def test_a_study_without_a_row_says_how_many_it_asks_for(half, capsys):
    (half.home / ledger.LEDGER_FILE).write_bytes(b"")
    assert printed(capsys, "compare", "demo").startswith("Incomplete: 0 of 24 evaluations are there.")
    assert json.loads(printed(capsys, "compare", "demo", "--json"))["completeness"]["evaluated"] == 0


def test_a_failure_that_stops_a_study_is_told_with_the_count(half, monkeypatch, capsys):
    rows = ledger.read_evaluations(half.home)
    failing = replace(rows[0], status="failed", error="it broke")

    def stops(datasets, bundles, engine, observers, *_):
        for observe in observers:
            observe(replace(failing, dataset="yeast4", fold=2, strategy="none"))

    monkeypatch.setattr(running.runner, "run", stops)
    assert main(["run", *QUESTION, "runner.on_error=raise"]) == 2
    err = capsys.readouterr().err
    assert err.index("Incomplete: 15 of 24 evaluations are there.") < err.index("FitError")


def test_the_page_of_a_study_that_is_added_to_says_so_until_it_is_made_again(done, tmp_path, monkeypatch):
    shutil.copytree(done / "experiments", tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    page, before = Path("experiments/demo/report.html"), (done / "experiments/demo/report.html").read_bytes()

    def stops(datasets, bundles, engine, observers, *_):
        raise KeyboardInterrupt

    more = [word.replace("ecoli3,yeast4", "ecoli3,yeast4,yeast6") for word in QUESTION]
    with monkeypatch.context() as patch:
        patch.setattr(running.runner, "run", stops)
        for _ in range(2):
            assert main(["run", *more]) == 130
    text = words_of(page.read_text())
    assert text.count("Outdated: evaluations are being added to this study, and 24 of 36 evaluations were there") == 1
    assert text.index("Outdated") < text.index("In full sentences" if "In full sentences" in text else "The data")
    assert main(["report", "demo"]) == 0
    assert "Outdated" not in page.read_text()
    assert "24 of 36 evaluations" in words_of(page.read_text())
    assert before != page.read_bytes()


def test_mlflow_says_at_once_that_a_study_is_added_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [w for w in QUESTION if w != "tracking=none"]
    few = [w.replace(",yeast4", "").replace(",smote,smote_threshold", "") for w in words]
    few = [w for w in few if not w.startswith("strategy.")]
    assert main(["run", *few]) == 0

    def seen():
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns/mlflow.db'}")
        experiment = client.get_experiment_by_name("demo")
        runs = client.search_runs([experiment.experiment_id], "tags.`imblab.role` = 'study'")
        return runs[0].data.tags, experiment.tags["mlflow.note.content"]

    tags, note = seen()
    assert (tags["imblab.complete"], tags["imblab.evaluations"]) == ("true", "6 of 6")
    asked = threading.Event()

    def stops(datasets, bundles, engine, observers, *_):
        assert asked.wait(60)
        raise KeyboardInterrupt

    told = RunWriter._update_study

    def tell(self, run):
        told(self, run)
        asked.set()

    monkeypatch.setattr(RunWriter, "_update_study", tell)
    monkeypatch.setattr(running.runner, "run", stops)
    assert main(["run", *[w.replace("ecoli3", "ecoli3,yeast4") for w in few]]) == 130
    tags, note = seen()
    assert (tags["imblab.complete"], tags["imblab.evaluations"]) == ("false", "running of 12")
    assert "Running: no verdict before all 12 evaluations of the design are there." in note
    assert not WORDS.search(note)


def test_tables_in_memory_belong_to_the_design(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("name=inmemory", "dataset=[]", "learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke")
    study = imblab.compose(*words)
    source = imblab.edges.datasets.read_dataset(
        {"kind": "bundled", "target": "target", "positive": "positive"}, "ecoli3"
    )
    one, two = (replace(source, name=name, parent=name) for name in ("one", "my table"))
    imblab.run(study, data=[one, two], store_path=None)
    home = Path("experiments/inmemory")
    lines = (home / ledger.LEDGER_FILE).read_bytes().splitlines(keepends=True)
    (home / ledger.LEDGER_FILE).write_bytes(b"".join(line for line in lines if b'"one"' in line))
    kept = config.load_request(home / ledger.STUDY_FILE).study
    judged = results.result_of(kept, ledger.read_evaluations(home))
    assert judged.sentences[1] == "Missing: 6 evaluations: all of data set my table."
    imblab.run(study, data=[one, two], store_path=None)
    assert results.result_of(kept, ledger.read_evaluations(home)).completeness.is_complete
    assert main(["run", str(home / ledger.STUDY_FILE), "tracking=none"]) == 2


def test_of_a_complete_study_nothing_is_said_and_the_recommended_one_is_chosen(done, monkeypatch):
    monkeypatch.chdir(done)
    home = Path("experiments/demo")
    judged = results.result_of(config.load_request(home / ledger.STUDY_FILE).study, ledger.read_evaluations(home))
    assert judged.completeness.sentences() == ()
    arm = select_strategies(judged, {"dataset": "ecoli3"})[0]
    assert arm.reason.startswith("Chosen as the recommended one of 4")
