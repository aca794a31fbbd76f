"""The result of a study in Python: what it shows, its tables, its model, its figures and its files."""

import ast
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef
from sklearn.svm import SVC

import imblab
from imblab.analysis.answer_page import answer_lines
from imblab.analysis.summary import to_frame
from imblab.cli import main
from imblab.edges import ledger
from imblab.errors import ConfigError, DataError, StudyError

ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote_threshold]", "protocol=smoke")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a finished study of one data set, and an incomplete one of two."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        imblab.run(imblab.compose("name=small", *ASKED))
        imblab.run(imblab.compose("name=two", *ASKED, "dataset=[ecoli3,yeast6]"))
        imblab.run(imblab.compose("name=part", *ASKED))
        path = folder / "experiments" / "part" / "ledger.jsonl"
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-2]), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


@pytest.fixture
def small():
    return imblab.load("small")


def test_a_run_gives_the_result_that_is_loaded_later(small):
    ran = imblab.run(imblab.compose("name=small", *ASKED))
    assert type(ran) is type(small) is imblab.StudyResult
    assert repr(ran) == repr(small)
    pd.testing.assert_frame_equal(ran.to_frame(), small.to_frame())
    assert ran.study.name == small.study.name == "small"
    assert ran.folder == small.folder == Path("experiments/small")


def test_the_terminal_shows_the_answer_screen(small, capsys):
    lines = repr(small).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    assert lines[: len(lines) - len(small.next_steps) - 2] == answer_lines(small.record, 80)
    assert main(["compare", "small"]) == 0
    shown = capsys.readouterr().out
    assert " ".join(shown.split("\n\n")[0].split()) == small.headline
    assert " ".join(repr(small).split("\n\n")[0].split()) == small.headline


def test_what_the_screen_suggests_runs(small):
    for step in small.next_steps:
        code = step.rpartition(": ")[2]
        assert code.startswith("result.")
        assert eval(code, {"result": small}) is not None


def test_the_notebook_shows_the_same_sentences(small):
    card = small._repr_html_()
    assert len(card.encode()) < 60_000
    assert "<script" not in card
    assert not re.search(r"(?:src|href|url\()", card)
    words = " ".join(re.sub(r"<[^>]+>", "", card.partition("</style>")[2]).split())
    for sentence in (small.headline, small.recommendation[0]):
        assert re.sub(r"[`\-−]", "", sentence) in re.sub(r"[`\-−]", "", words)
    assert "prefers-color-scheme:dark" in card
    assert 'data-jp-theme-light="false"' in card
    assert 'data-jp-theme-light="true"' in card


@pytest.mark.parametrize("name", ["multiclass", "over_balancing"])
def test_committed_studies_fit_a_card(name):
    result = imblab.load(str(EXPERIMENTS / name))
    assert len(result._repr_html_().encode()) < 60_000
    assert result.headline in " ".join(repr(result).split())


def test_names_from_data_are_escaped_on_the_card(small):
    answer = replace(small.record.answer, headline="<script>alert(1)</script>")
    card = imblab.StudyResult(replace(small.record, answer=answer))._repr_html_()
    assert "<script" not in card


def test_tables_are_tidy_copies(small):
    assert list(small.folds)[:7] == ["dataset", "learner", "strategy", "repeat", "fold", "status", "threshold"]
    assert len(small.folds) == 9
    assert small.scores.set_index("strategy").loc["none", "mean"] == pytest.approx(
        small.folds[small.folds.strategy == "none"].mcc.mean()
    )
    assert list(small.scores)[:4] == ["dataset", "learner", "strategy", "mean"]
    assert set(small.contrasts.verdict)
    for name in ("scores", "contrasts", "folds"):
        getattr(small, name).pop("learner")
        assert set(getattr(small, name).learner) == {"logistic"}
    pd.testing.assert_frame_equal(small.to_frame(), to_frame(ledger.read_evaluations(Path("experiments/small"))))


def test_the_recommended_model_is_fitted_once_and_decides_by_its_threshold(small, tmp_path):
    model = small.recommended
    assert small.recommended is model
    data = imblab.compose("name=x", *ASKED).datasets
    assert list(data) == ["ecoli3"]
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(20, model.n_features_in_)), columns=model.feature_names_in_)
    chosen = small.record.recommendation.datasets["ecoli3"]
    assert model.threshold_ == pytest.approx(0.5) or chosen.strategy != "none"
    labels = model.predict(X)
    positive = model.predict_proba(X)[:, list(model.classes_).index(model.positive)] >= model.threshold_
    assert ((labels == model.positive) == positive).all()
    assert clone(model) is model


@pytest.mark.slow
def test_the_model_is_that_of_export(small):
    (exported,) = imblab.export("small", "tracking=none")
    assert (exported.selection.dataset, exported.selection.strategy) == (
        "ecoli3",
        small.record.recommendation.datasets["ecoli3"].strategy,
    )
    served = exported.estimator
    X = pd.DataFrame(
        np.random.default_rng(1).normal(size=(30, served.n_features_in_)), columns=served.feature_names_in_
    )
    np.testing.assert_array_equal(served.predict_proba(X), small.recommended.predict_proba(X))


def test_several_data_sets_have_a_model_each():
    two = imblab.load("two")
    with pytest.raises(StudyError, match=r"'two' has 2 data sets .*recommended_for\('ecoli3'\)"):
        _ = two.recommended
    models = {name: two.recommended_for(name) for name in two.datasets}
    assert list(models) == ["ecoli3", "yeast6"]
    assert models["ecoli3"] is not models["yeast6"]
    with pytest.raises(StudyError, match=r"unknown data set 'yeast7'.*Did you mean 'yeast6'"):
        two.recommended_for("yeast7")


def test_another_strategy_is_fitted_by_name(small):
    assert small.recommended_for("ecoli3", strategy="none").threshold_ == 0.5
    with pytest.raises(StudyError, match="unknown strategy 'smite'"):
        small.recommended_for("ecoli3", strategy="smite")


def test_refit_chooses_anew_on_other_rows(small):
    first = small.recommended
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(300, first.n_features_in_)), columns=first.feature_names_in_)
    y = np.where(X.iloc[:, 0] + rng.normal(scale=0.3, size=300) > 1.2, first.positive, first.negative)
    second = small.refit(X, y)
    assert second is not first
    assert small.recommended is first
    assert matthews_corrcoef(y, second.predict(X)) > 0.5
    with pytest.raises(StudyError, match=r"column.* missing"):
        small.refit(X.iloc[:, 1:], y)
    with pytest.raises(StudyError, match=r"300 rows.*299 labels"):
        small.refit(X, y[:-1])
    with pytest.raises(StudyError, match=r"has 2 columns in place of 7; labels such as '0' are not among its classes"):
        small.refit([[1, 2]], [0])
    np.testing.assert_array_equal(small.refit(X.to_numpy(), y).predict(X), second.predict(X))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["gain", "pr", "threshold"])
def test_figures_are_shown_and_saved(small, kind, tmp_path):
    figure = getattr(small.plot, kind)()
    ET.fromstring(figure._repr_svg_())
    assert "<script" not in figure._repr_html_()
    path = figure.save(tmp_path / "figure.svg")
    assert path.read_text(encoding="utf-8") == figure._repr_svg_()
    assert figure.save(tmp_path / "figure.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(StudyError, match=r"'figure\.png'.*\.svg or \.html"):
        figure.save(tmp_path / "figure.png")


def test_several_figures_are_one_object():
    two = imblab.load("two")
    figures = two.plot.pr()
    assert len(figures.names) == 2
    assert figures._repr_svg_() is None
    with pytest.raises(StudyError, match="2 figures"):
        figures.save("x.svg")
    assert len(two.plot.pr(dataset="yeast6").names) == 1
    with pytest.raises(StudyError, match="unknown data set 'yeast7'"):
        two.plot.pr(dataset="yeast7")


def test_ratios_are_drawn_where_strategies_differ_in_them(small):
    with pytest.raises(StudyError, match=r"'small' has .*ratio"):
        small.plot.ratio()
    figures = imblab.load(EXPERIMENTS / "over_balancing").plot.ratio()
    assert figures.names


def test_a_measure_of_the_threshold_figure_is_chosen(small):
    assert "recall" in small.plot.threshold("recall")._repr_svg_()
    assert "F1 against the threshold" in small.plot.threshold("f1")._repr_svg_()
    with pytest.raises(StudyError, match="unknown measure 'brier'"):
        small.plot.threshold("brier")


def test_reports_are_written_where_they_are_wanted(small, tmp_path):
    assert small.report() == Path("experiments/small/report.html")
    page = small.report(tmp_path / "a" / "page.html")
    assert page.read_bytes() == Path("experiments/small/report.html").read_bytes()
    assert sorted(p.name for p in page.parent.iterdir()) == ["page.html"]
    assert imblab.report("small", tmp_path / "b").parent == tmp_path / "b"
    with pytest.raises(StudyError, match=r"'page\.pdf' ends with '\.pdf'; a report is .* Name it \.html"):
        small.report("page.pdf")
    assert (tmp_path / "b" / "figures").is_dir()


@pytest.mark.slow
def test_mlflow_is_filled(small, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert small.to_mlflow(uri) > 0


def test_an_incomplete_study_says_so_first():
    part = imblab.load("part")
    assert repr(part).startswith("Incomplete: 7 of 9 evaluations are there.")
    assert "7 of 9 evaluations" in part._repr_html_()
    with pytest.raises(StudyError, match=r"'part' is incomplete: 7 of 9 evaluations"):
        _ = part.recommended


def test_a_result_in_memory_does_what_needs_no_folder(small, tmp_path):
    memory = imblab.run(imblab.compose("name=memory", *ASKED), in_memory=True)
    assert not Path("experiments/memory").exists()
    assert memory.folder is None
    assert memory.headline == small.headline
    assert memory.plot.gain()._repr_svg_()
    assert memory.recommended.threshold_ == small.recommended.threshold_
    assert memory.plot.pr()._repr_svg_() == small.plot.pr()._repr_svg_()
    for call in (memory.report, lambda: memory.to_mlflow("sqlite:///x.db")):
        with pytest.raises(StudyError, match=r"study 'memory' .* in memory; without a folder"):
            call()
    assert memory.report(tmp_path / "page.html").exists()


def test_tables_in_memory_are_fitted_and_refitted():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=["a", "b", "c"]).assign(g=rng.choice(["x", "y"], 200))
    frame["left"] = np.where(frame.a + rng.normal(scale=0.5, size=200) > 1.3, "yes", "no")
    study = imblab.compose("name=mine", *ASKED)
    data = imblab.dataset(frame, "left", name="mine")
    result = imblab.run(replace(study, datasets={}), data=[data], in_memory=True)
    model = result.recommended
    assert set(model.predict(frame)) <= {"yes", "no"}
    again = result.refit(frame.drop(columns="left"), frame.left)
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))


def test_refit_merges_and_leaves_out_labels_as_the_study_did():
    rng = np.random.default_rng(0)
    y = np.array(["good", "late", "lost", "test"])[rng.choice(4, 300, p=[0.6, 0.2, 0.1, 0.1])]
    X = rng.normal(size=(300, 2)) + (y == "lost")[:, None]
    regrouped = {"merge": {"bad": ["late", "lost"]}, "drop_classes": ["test"]}
    result = imblab.run(X, y, learners="logistic", strategies=["threshold"], cv="smoke", **regrouped)
    first = result.recommended
    assert np.array_equal(result.refit(X, y).predict_proba(X), first.predict_proba(X))
    assert result.refit() is first
    few = y != "late"
    assert result.refit(X[few], y[few]).classes_.tolist() == ["bad", "good"]
    with pytest.raises(StudyError, match="labels such as 'worse' are not among its classes"):
        result.refit(X, np.where(y == "lost", "worse", y))
    with pytest.raises(
        StudyError, match=r"only 'X' is given to refit .* Call result\.refit\(X, y\), or result\.refit\(\)"
    ):
        result.refit(X)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("labels", [("0", "1"), (-1, 1.5), (0.0, 1.0), (False, True), ("²", "a"), ("01", "1"), (2, 7)])
def test_a_model_predicts_the_labels_of_y(labels):
    rng = np.random.default_rng(0)
    is_positive = np.arange(120) % 4 == 0
    X = rng.normal(size=(120, 2)) + is_positive[:, None]
    y = np.array([labels[each] for each in is_positive.astype(int)])
    result = imblab.run(X, y, learners="logistic", strategies=["threshold"], cv="smoke")
    for model in (result.recommended, result.refit(X, y)):
        predicted = model.predict(X)
        assert predicted.dtype.kind == y.dtype.kind
        assert set(predicted.tolist()) == set(y.tolist())
        assert model.classes_.tolist() == sorted(set(y.tolist()))
        assert np.mean(predicted == y) > 0.6


def test_load_reads_a_name_a_folder_and_names_what_there_is():
    assert repr(imblab.load("small")) == repr(imblab.load("experiments/small")) == repr(imblab.compare("small"))
    assert imblab.compare("small", measure="recall").headline.startswith("Recall is exploratory")
    with pytest.raises(StudyError, match=r"unknown study 'smal'.*Did you mean 'small'"):
        imblab.load("smal")
    with pytest.raises(StudyError, match="'nowhere/x' is not the folder of a study"):
        imblab.load("nowhere/x")
    with pytest.raises(ConfigError, match="unknown experiment 'small'"):
        imblab.run("small")


def test_a_plan_shows_the_text_of_the_command_and_its_cells():
    plan = imblab.plan("name=later", *ASKED)
    assert "\nStudy 'later': 9 evaluations" in repr(plan)
    assert list(plan.cells)[:5] == ["dataset", "learner", "strategy", "repeat", "fold"]
    assert len(plan.cells) == plan.facts["cells"] == 9
    same = imblab.plan(imblab.compose("name=later", *ASKED))
    pd.testing.assert_frame_equal(same.cells, plan.cells)
    assert "<pre" in plan._repr_html_()
    with pytest.raises(ConfigError):
        imblab.plan("name=later", *ASKED, "strategy=[smite]")


def test_help_names_what_there_is():
    assert {"StudyResult", "load", "plan", "report", "export", "compare", "run"} <= set(dir(imblab))
    assert all(f"imblab.{name}" in imblab.__doc__ for name in ("run", "load", "plan", "compare", "report", "export"))


def test_type_checkers_know_every_name():
    tree = ast.parse(Path(imblab.__file__).read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.asname: f"{node.module}" for node in guarded.body for alias in node.names}
    assert typed == {name: f"imblab.{home}" for name, home in imblab._HOME.items()}


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to be in the kernel of a notebook, and return what it displays."""
    shown = []
    handle = SimpleNamespace(update=shown.append)
    shell = SimpleNamespace(config={"IPKernelApp": {}}, display=lambda *_, **__: None)
    fake = ModuleType("IPython")
    fake.get_ipython = lambda: shell
    fake.display = ModuleType("IPython.display")
    fake.display.display = lambda drawn, display_id: (shown.append(drawn), handle)[1]
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", fake.display)
    return shown


def test_a_notebook_shows_one_bar_that_moves(notebook):
    imblab.run(imblab.compose("name=bar", *ASKED), in_memory=True)
    assert repr(notebook[0]) == "9 cells on 1 process"
    assert repr(notebook[-1]).startswith("9 of 9, ")
    assert '<progress value="9" max="9"' in notebook[-1]._repr_html_()
    assert len(notebook) <= 11


def test_the_text_of_a_plan_keeps_its_tables_in_a_notebook(monkeypatch):
    plan = imblab.plan("name=later", *ASKED)
    text = plan.text(full=True)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert plan.text(full=True) == text


def test_the_snippets_of_the_page_on_results_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "result.md"
    names = {}
    for snippet in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(snippet, names)
    assert (tmp_path / "gain.svg").exists()
    assert (tmp_path / "small.html").exists()
    assert names["result"].is_complete


def test_a_study_is_audited_by_its_name_and_an_estimator_on_a_table(small):
    asked = {"permutations": 2, "seed": 1}
    audits = [imblab.audit_study("small", **asked), imblab.audit("small", **asked)]
    first, second = ([(each.check, each.state) for each in audit.findings] for audit in audits)
    assert first == second
    with pytest.raises(ConfigError, match=r"study 'small' is given with X= and cv=; .* imblab\.audit\('small'\)"):
        imblab.audit("small", [[1.0]], cv=3)
    with pytest.raises(
        ConfigError, match=r"'LogisticRegression' is given without y; .* imblab\.audit\(subject, X, y\)"
    ):
        imblab.audit(LogisticRegression(), [[1.0]])


def test_commands_take_the_table_that_was_in_memory():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 4 == 0
    X = pd.DataFrame(rng.normal(size=(120, 2)) + y[:, None], columns=["a", "b"])
    asked = {"learners": "logistic", "strategies": ["none", "threshold"], "cv": "smoke"}
    result = imblab.run(X, y.astype(str), name="mem", **asked)
    data = [imblab.dataset(X.assign(left=y.astype(str)), "left", name="mem")]
    words = ("mem", "tracking=none")
    rescore = ("mem", "primary=pr_auc")
    for call in (
        lambda: imblab.export(*words),
        lambda: imblab.load("mem").recommended,
        lambda: imblab.rescore(*rescore),
    ):
        with pytest.raises(
            DataError, match=r"imblab\.load, rescore, export, verify, reproduce and imblab\.audit_study"
        ):
            call()
    assert len(imblab.rescore(*rescore, data=data).table) == len(result.folds)
    (exported,) = imblab.export(*words, data=data)
    assert np.array_equal(exported.estimator.predict(X), result.recommended.predict(X))
    (verified,) = imblab.verify(*words, data=data)
    assert verified.is_same
    assert repr(verified) == verified.sentences()[0]
    assert imblab.reproduce("mem", subset=1, data=data).headline() in " ".join(
        repr(imblab.reproduce("mem", subset=1, data=data)).split()
    )


def test_a_plan_and_a_run_take_keywords():
    asked = {"learner": ["logistic"], "strategy": ["none"], "protocol": "smoke", "dataset": ["ecoli3"]}
    plans = [imblab.plan("name=small", **asked), imblab.plan(imblab.compose("name=small", **asked))]
    assert [plan.study.learner_names for plan in plans] == [("logistic",)] * 2
    assert imblab.plan(experiment="quickstart", **asked, seed=3).study.seed == 3
    with pytest.raises(ConfigError, match=r"study 'small' is given with seed=; .*imblab\.compose"):
        imblab.plan(plans[0].study, seed=3)
    with pytest.raises(ConfigError, match=r"the name 'quickstart' is given with cv="):
        imblab.run(experiment="quickstart", cv=3)
    with pytest.raises(DataError, match="'X' is not given"):
        imblab.run()


def test_a_plan_takes_the_name_of_an_experiment():
    few = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    assert len(imblab.plan("quickstart", *few).cells) == 3
    with pytest.raises(ConfigError, match="Did you mean 'quickstart'"):
        imblab.plan("quikstart", *few)


def test_without_a_recommendation_no_model_is_the_next_step():
    X, y = np.random.default_rng(0).normal(size=(60, 4)), [0, 0, 1] * 20
    result = imblab.run(X, y, learners=SVC(kernel="precomputed"), strategies=["none", "threshold"], cv=2, inner_cv=2)
    assert result.next_steps == ["Every evaluation with its error: result.to_frame()"]
    assert result.to_frame().error.str.contains("Precomputed matrix").all()
