"""`imblab run data/churn.csv`: understood, and answered with a line that runs when it is pasted."""

import ast
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import imblab
from imblab import compose
from imblab.cli import main
from imblab.commands.layout import lay_out
from imblab.commands.short_form import expand_short_form
from imblab.edges import datasets
from imblab.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


def table(rows=60, **columns):
    rng = np.random.default_rng(0)
    base = {"customer": range(rows), "member": [0, 1] * (rows // 2), "age": rng.normal(size=rows).round(3)}
    return pd.DataFrame({**base, "left": np.where(np.arange(rows) < 12, "yes", "no"), **columns})


def put(path="data/churn.csv", **columns):
    table(**columns).to_csv(path, index=False)
    return path


SMALL = ("learner=[logistic]", "strategy=[none]", "protocol=smoke")


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("words", [("data/churn.csv", *SMALL), (*SMALL, "dataset=data/churn.csv")])
def test_a_path_alone_asks_for_the_target_with_a_line_that_runs(command, words, capsys):
    put()
    assert main([command, *words]) == 2
    said = capsys.readouterr().err
    assert "Columns with two values: 'left' (yes 12, no 48) and 'member' (0 30, 1 30)." in said
    line = re.search(r"The whole line: `(.*)`\.", said)[1]
    assert len(shlex.split(line)) == len(words) + 3, "what was typed, and the target"
    assert "data/churn.csv target=left" in line
    _, pasted, *rest = shlex.split(line)
    assert pasted == command
    study = compose(*rest)
    assert study == compose("data/churn.csv", "target=left", *SMALL)
    assert lay_out(study).datasets["churn"].y.sum() == 12


def test_the_keys_of_the_table_need_no_prefix_and_are_taken_as_words():
    put("data/my data.csv", **{"Kündigung (ja)": [">50K"] * 9 + ["<=50K"] * 51, "Ort": list("abc") * 20})
    words = ("data/my data.csv", "target=Kündigung (ja)", "positive=>50K", "drop=[customer,left]", "groups=Ort")
    study = compose(*words, *SMALL)
    assert study.name == "my_data"
    data = lay_out(study).datasets["my data"]
    assert data.classes == ("<=50K", ">50K")
    assert list(data.X.columns) == ["member", "age"]
    assert data.groups is not None
    assert compose(*words, "name=mine", "seed=3", *SMALL).name == "mine"
    assert "sep" in compose(*words, "sep=;", *SMALL).datasets["table"]


@pytest.mark.parametrize(("file", "name"), [("läden.csv", "laden"), ("2024 (1).csv", "2024_1"), ("日本.csv", "table")])
def test_the_study_is_named_by_its_file(file, name):
    put(file)
    assert compose(file, "target=left", *SMALL).name == name


def test_a_path_below_the_home_directory_is_understood(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    put()
    study = compose("~/data/churn.csv", "target=left", *SMALL)
    assert lay_out(study).datasets["churn"].y.sum() == 12
    assert study.datasets["table"]["path"] == "~/data/churn.csv"


def test_other_data_sets_may_stand_next_to_the_file():
    put()
    assert list(compose("data/churn.csv", "target=left", "dataset=[ecoli3]", *SMALL).datasets) == ["table", "ecoli3"]


def test_a_misspelt_path_is_answered_with_the_nearest_file():
    put()
    with pytest.raises(DataError, match=r"'data/chrun.csv', which is not a file; .* Did you mean 'data/churn.csv'\?"):
        compose("data/chrun.csv")


def test_columns_of_two_meanings_do_not_hide_what_could_be_the_target():
    frame = table().astype({"age": object})
    frame.loc[:30, "age"] = "?"
    frame.to_csv("data/churn.csv", index=False)
    with pytest.raises(ConfigError, match="'left' \\(yes 12, no 48\\)"):
        compose("data/churn.csv")


def test_a_table_without_a_column_of_two_values_may_have_more_classes():
    frame = table().drop(columns=["left", "member"]).assign(grade=list("abc") * 20)
    frame.to_csv("data/t.csv", index=False)
    with pytest.raises(ConfigError, match=r"Columns with few values: 'grade' \(a 20, b 20, c 20\)\..*target=grade`"):
        compose("data/t.csv")
    frame.drop(columns="grade").to_csv("data/t.csv", index=False)
    with pytest.raises(ConfigError, match=r"None of its 2 columns has from two to 20 values\..*target=COLUMN`"):
        compose("data/t.csv")


@pytest.mark.parametrize("n_classes", [3, 12, 20])
def test_up_to_twenty_classes_are_proposed_in_the_short_form(n_classes, capsys):
    frame = (
        table(100).drop(columns=["left", "member"]).assign(**{"my class": [f"c{i % n_classes}" for i in range(100)]})
    )
    frame.to_csv("data/t.csv", index=False)
    assert main(["plan", "data/t.csv", "learner=[logistic]"]) == 2
    said = capsys.readouterr().err
    assert "`imblab plan data/t.csv 'target=my class' 'learner=[logistic]'`" in said
    assert compose("data/t.csv", "target=my class", "learner=[logistic]").datasets["table"]["target"] == "my class"


@pytest.mark.parametrize("name", ["target", "Class", "label", "y"])
def test_the_name_of_a_target_is_proposed_next_to_two_values(name, capsys):
    put("data/t.csv", **{name: [f"c{i % 15}" for i in range(60)]})
    assert main(["run", "data/t.csv"]) == 2
    said = capsys.readouterr().err
    assert "'left' (yes 12, no 48)" in said
    assert f"{name!r} (c" in said


def test_two_files_are_described_under_names_of_their_own():
    put("data/a.csv")
    put("data/b.csv")
    with pytest.raises(ConfigError) as refusal:
        compose("data/a.csv", "data/b.csv")
    line = re.search(r"`(.*)`", str(refusal.value))[1].replace("NAME", "x").replace("COLUMN", "left")
    assert list(lay_out(compose(*shlex.split(line)[2:], *SMALL)).datasets) == ["a", "b"]


def test_the_directory_of_a_study_is_no_table(here):
    (here / "experiments" / "x").mkdir(parents=True)
    (here / "experiments" / "x" / "study.yaml").touch()
    with pytest.raises(ConfigError, match=r"Write imblab run experiments/x/study\.yaml\."):
        expand_short_form(["experiments/x"])


@pytest.mark.parametrize(
    "words", [["experiment=quickstart"], ["study.yaml"], ["smote"], ["-m"], ["~strategy.none"], [], ["x" * 5000]]
)
def test_what_is_no_table_is_left_as_it_is(words):
    assert expand_short_form(words) == words


NAMES = [
    ({"id2": [1, 2], "y": [0, 1]}, "", "y"),
    ({"churned": [0, 1], "vip": [0, 1]}, "", "churned"),
    ({"Outcome": ["a", "b"], "sex": ["m", "f"]}, "", "Outcome"),
    ({"sex": ["m", "f"] * 5, "smoker": ["no"] * 9 + ["yes"]}, "", "smoker"),
    ({"sex": ["m", "f"], "HasFraudLabel": ["n", "y"]}, "", "HasFraudLabel"),
    ({"member": [0, 1], "loan": [0, 1], "age": [1, 2]}, "loan", "loan"),
    ({"sex": ["m", "f"] * 3, "Class": ["a", "b", "c"] * 2}, "", "Class"),
    ({"site": ["a", "b", "c"] * 2, "sex": ["m", "f"] * 3}, "", "sex"),
    ({"target": ["a", "b", "c"] * 2, "status": ["m", "f"] * 3}, "", "status"),
    ({"site": ["a", "b", "c"] * 2, "age": range(6)}, "", "site"),
]


@pytest.mark.parametrize(("columns", "known_as", "first"), NAMES)
def test_the_likeliest_column_comes_first(columns, known_as, first):
    frame = pd.DataFrame(columns)
    assert datasets.inspection.target_candidates(frame, known_as)[0].column == first


def test_without_a_target_the_long_form_asks_alike():
    put()
    with pytest.raises(
        ConfigError, match=r"Columns with two values: 'left' .* Set dataset\.table\.target=left, or another"
    ):
        lay_out(compose("name=x", "dataset=table", "dataset.table.path=data/churn.csv", *SMALL))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/null.csv", "null"),
        ("data/1.csv", "1"),
        ("data/a=b.csv", "a_b"),
        ("a=b.csv", "a_b"),
        ("data/ü (1).csv", "u_1"),
    ],
)
def test_a_file_may_be_called_anything(path, name, capsys):
    put(path)
    study = compose(path, "target=left", *SMALL)
    assert study.name == name
    assert lay_out(study).datasets
    assert main(["plan", path, *SMALL]) == 2
    _, _, *pasted = shlex.split(re.search(r"The whole line: `(.*)`\.", capsys.readouterr().err)[1])
    assert compose(*pasted) == study


def test_a_key_that_is_followed_by_a_file_is_no_file():
    put()
    assert compose(
        "name=churn", "dataset=table", "dataset.table.path=data/churn.csv", "dataset.table.target=left", *SMALL
    )


@pytest.mark.parametrize(("role", "value"), [("drop", "customer,member"), ("categorical", " member, age")])
def test_names_between_commas_are_proposed_as_a_list(role, value):
    put()
    words = ["data/churn.csv", "target=left", *SMALL]
    with pytest.raises(DataError) as refusal:
        lay_out(compose(*words, f"{role}={value}"))
    assert "problems" not in str(refusal.value)
    (pasted,) = shlex.split(re.search(r"Set (.*)\.$", str(refusal.value))[1])
    data = lay_out(compose(*words, pasted)).datasets["churn"]
    assert set(data.X) == {"age"} if role == "drop" else data.categorical == ("member", "age")


def test_labels_between_commas_are_proposed_as_a_list():
    put(kind=["a"] * 30 + ["b"] * 15 + ["c"] * 10 + ["d"] * 5)
    words = ["data/churn.csv", "target=kind", *SMALL]
    with pytest.raises(DataError) as refusal:
        lay_out(compose(*words, "drop_classes=c,d"))
    (pasted,) = shlex.split(re.search(r"Set (.*)\.$", str(refusal.value))[1])
    assert pasted == "dataset.table.drop_classes=[c,d]"


NAMES = [
    " a b",
    "a,b",
    "it's",
    '"q"',
    "[x]",
    "{x}",
    "a=b",
    "$x",
    "${x}",
    "Größe",
    "1st",
    "true",
    "null",
    "1.50",
    "@x",
    "~",
]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_every_column_is_named_so_that_the_proposed_lines_work(name, ending):
    """The whole line without a target, and a column of dates to leave out."""
    frame = table().drop(columns=["member", "left"]).assign(**{name: ["yes"] * 12 + ["no"] * 48})
    path = f"data/churn{ending}"
    frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
    with pytest.raises(ConfigError) as refusal:
        compose(path, *SMALL)
    pasted = shlex.split(re.search(r"The whole line: `(.*)`\.", str(refusal.value))[1])[2:]
    data = lay_out(compose(*pasted)).datasets["churn"]
    assert (list(data.X), data.y.sum()) == (["customer", "age"], 12)

    dates = [f"2024-01-{1 + i % 28}" for i in range(60)]
    frame = frame.rename(columns={name: "left"}).assign(**{f"{name} 1": dates})
    frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
    with pytest.raises(DataError) as refusal:
        lay_out(compose(path, "target=left", *SMALL))
    pasted = shlex.split(re.search(r"leave it out: (.*)\.$", str(refusal.value))[1])
    assert list(lay_out(compose(path, "target=left", *SMALL, *pasted)).datasets["churn"].X) == ["customer", "age"]


@pytest.mark.parametrize("name", NAMES)
def test_the_argument_of_a_table_in_memory_names_its_column_too(name):
    frame = table().assign(**{f"{name} 1": [f"2024-01-{1 + i % 28}" for i in range(60)]})
    with pytest.raises(DataError) as refusal:
        datasets.dataset(frame, "left", name="churn")
    value = ast.literal_eval(re.search(r"leave it out: drop=(.*)\.$", str(refusal.value))[1])
    assert f"{name} 1" not in datasets.dataset(frame, "left", name="churn", drop=value).X


@pytest.mark.parametrize(
    "words", [["run", "data/twice.csv"], ["plan", "data/twice.csv"], ["new", "data/twice.csv", "--yes"]]
)
def test_column_names_that_repeat_are_refused_without_a_target_too(words, capsys):
    lines = table().to_csv(index=False).replace("customer,member", "age,member")
    Path("data/twice.csv").write_text(lines, encoding="utf-8")
    message = "data set 'twice' has 1 column name more than once: 'age'; columns are known by name."
    assert main(words) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert main(["plan", "data/twice.csv", "target=left"]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(DataError, match=re.escape(message)):
        imblab.run("data/twice.csv")
    with pytest.raises(DataError, match=re.escape(message)):
        lay_out(compose("name=x", "dataset=table", "dataset.table.path=data/twice.csv"))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("drp=[age]", "'drp' of the table or the study. Did you mean 'drop'?"),
        ("poistive=yes", "'poistive' of the table or the study. Did you mean 'positive'?"),
        ("sede=3", "'sede' of the table or the study. Did you mean 'seed'?"),
        ("targt=left", "'targt' of the table or the study. Did you mean 'target'?"),
        ("zzz=3", "'zzz' of the table or the study. Valid keys: allow, allow_majority_positive,"),
    ],
)
def test_a_key_of_neither_the_table_nor_the_study_is_compared_with_those_of_both(word, message, capsys):
    put()
    assert main(["plan", "data/churn.csv", "target=left", word, *SMALL]) == 2
    assert f"override '{word}': unknown key {message}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["targt=left"], ["left"], ["target", "left"], ["Target=left"], ["left", "seed=3"]])
def test_a_word_that_was_meant_as_the_target_is_replaced_in_the_line(words, capsys):
    put()
    assert main(["plan", "data/churn.csv", *words, *SMALL]) == 2
    line = re.search(r"The whole line: `(.*)`\.", capsys.readouterr().err)[1]
    kept = [word for word in words if word.startswith("seed")]
    assert shlex.split(line) == ["imblab", "plan", "data/churn.csv", "target=left", *kept, *SMALL]
    assert compose(*shlex.split(line)[2:]).datasets["table"]["target"] == "left"


def test_any_column_that_is_named_becomes_the_target_of_the_line(capsys):
    put()
    assert main(["plan", "data/churn.csv", "targte=customer"]) == 2
    assert "`imblab plan data/churn.csv target=customer`" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_called_one_and_the_nearest_is_named(capsys):
    put()
    assert main(["plan", "data/churn.cvs", "target=left"]) == 2
    said = capsys.readouterr().err
    put("churn.csv")
    assert "data/churn.cvs" in said
    assert main(["plan", "churn.cvs", "target=left"]) == 2
    assert (
        "'churn.cvs' is neither a file nor an override key=value. Did you mean 'churn.csv'?" in capsys.readouterr().err
    )
    assert main(["plan", "churn.csv", "target=left", *SMALL]) == 0


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_bare_command_names_the_short_form_too(command, capsys):
    assert main([command]) == 2
    said = capsys.readouterr().err
    assert "the path of a table, as in `imblab run churn.csv target=left`" in said
    put("churn.csv")
    words = shlex.split(re.search(r"`imblab run (.*?)`", said)[1])
    assert compose(*words).datasets["table"]["target"] == "left"


def test_an_experiment_in_a_folder_that_was_not_named_is_pointed_to(capsys):
    put("churn.csv")
    assert main(["new", "churn.csv", "--yes"]) == 0
    assert main(["plan", "experiment=churn"]) == 2
    said = capsys.readouterr().err
    assert "unknown experiment 'churn'; " in said
    assert "To use 'conf/experiment/churn.yaml', add --config-dir conf, in Python config_dirs=['conf']." in said
    assert main(["plan", "experiment=churn", "--config-dir", "conf", *SMALL]) == 0
    assert compose("experiment=churn", config_dirs=["conf"]).name == "churn"
    assert main(["plan", "experiment=chrun"]) == 2
    assert "--config-dir" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "meant"),
    [("quickstart", "experiment=quickstart"), ("quickstrat", "experiment=quickstart"), ("churn", "churn.csv")],
)
def test_a_word_without_an_equals_sign_is_answered_with_what_it_may_mean(word, meant):
    put("churn.csv")
    with pytest.raises(ConfigError, match=f"Write {meant} for"):
        expand_short_form([word, "target=left"])


def test_columns_that_do_not_exist_are_left_out_of_the_line_to_paste():
    with pytest.raises(DataError) as told:
        datasets.dataset(table(), "left", name="t", key="t", folds="qqqq", time="zzzz", drop=["xxxxx"])
    assert told.value.overrides == {"dataset.t.folds": None, "dataset.t.time": None, "dataset.t.drop": []}


def test_texts_of_numbers_are_read_as_numbers_as_the_message_says():
    frame = table(rows=400).assign(customer=lambda t: t.customer / 7).astype({"age": str, "customer": str})
    with pytest.raises(DataError) as told:
        datasets.dataset(frame, "left", name="t", key="t")
    assert told.value.overrides == {"dataset.t.numeric": ["customer", "age"]}
    assert datasets.dataset(frame, "left", name="t", numeric=["customer", "age"]).categorical == ()


def test_numbers_that_overflow_in_single_precision_are_refused():
    with pytest.raises(DataError, match=r"has 60 too large values in column 'age'"):
        datasets.dataset(table().assign(age=1e308), "left", name="t")
