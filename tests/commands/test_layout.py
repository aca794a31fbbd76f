"""Everything that is wrong with all tables is said at once, and the line to paste mends what can be mended."""

import pickle
import shlex

import numpy as np
import pandas as pd
import pytest

from imblab import compose
from imblab.commands.layout import lay_out, parse_request
from imblab.errors import ConfigError, DataError, combined
from imblab.text import to_override

SMALL = ("name=x", "learner=[logistic]", "strategy=[none]", "protocol=smoke")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(rows=60, positives=12, **columns):
    rng = np.random.default_rng(0)
    base = {"a": rng.normal(size=rows).round(3), "b": rng.normal(size=rows).round(3)}
    return pd.DataFrame({**base, "left": np.where(np.arange(rows) < positives, " yes", " no"), **columns})


def own(**tables):
    """Overrides for tables of one's own, each under its name, and written there."""
    words = []
    for name, (frame, *more) in tables.items():
        frame.to_parquet(f"{name}.parquet")
        words += [f"dataset.{name}.path={name}.parquet", f"dataset.{name}.target=left"]
        words += [f"dataset.{name}.{word}" for word in more]
    return words


def to_shell_free(error):
    """What the overrides of an error are once a shell has read them."""
    return shlex.split(" ".join(to_override(*item) for item in error.overrides.items()))


def problems(words):
    with pytest.raises((ConfigError, DataError)) as said:
        lay_out(compose(*SMALL, *words))
    return said.value


def pasted(error):
    """The words of the last line, as a shell hands them on."""
    line = str(error).splitlines()[-1]
    assert line.startswith("To paste: ")
    return shlex.split(line.removeprefix("To paste: "))


def test_thirty_tables_with_fifteen_wrong_labels_take_one_command():
    tables = {f"t{i}": (table(), "positive=yes" if i % 2 else 'positive=" yes"') for i in range(30)}
    words = own(**tables)
    error = problems(words)
    assert len(error.problems) == 15
    lines = str(error).splitlines()
    assert lines[0] == "15 problems:"
    for i in range(1, 30, 2):
        (line,) = [line for line in lines if f"data set 't{i}' " in line]
        assert f"""Set 'dataset.t{i}.positive=" yes"'.""" in line
    assert set(lay_out(compose(*SMALL, *words, *pasted(error))).datasets) == set(tables)


def test_a_misspelt_label_that_most_rows_have_takes_one_command_too():
    words = own(t=(table(left=["b'1'"] * 48 + ["b'0'"] * 12), "positive=1"))
    error = problems(words)
    assert error.overrides == {"dataset.t.positive": "b'1'", "dataset.t.allow_majority_positive": True}
    assert lay_out(compose(*SMALL, *words, *(to_shell_free(error)))).datasets["t"].y.sum() == 48


def test_all_columns_of_a_table_are_refused_at_once():
    frame = table(
        rows=600,
        positives=120,
        when=pd.date_range("2024-01-01", periods=600),
        huge=[np.inf] + [0.5] * 599,
        number=[f"customer {i}" for i in range(600)],
        shop=[f"shop {i % 120}" for i in range(600)],
        boxes=[[1, 2]] * 600,
        left=[" yes"] * 120 + [" no"] * 480,
    )
    words = own(t=(frame, "positive=yes", "groups=team", "drop=[b,c]", "amount=evil"))
    error = problems(words)
    for what in (
        "'yes' in 'left'",
        "'team'",
        "'c'",
        "'evil'",
        "'when'",
        "'huge'",
        "'number'",
        "'shop'",
        "of type ndarray",
    ):
        assert any(what in problem for problem in error.problems), what
    assert len(error.problems) == 9
    mended = lay_out(compose(*SMALL, *words, "dataset.t.groups=null", "dataset.t.amount=null", *pasted(error)))
    assert list(mended.datasets["t"].X.columns) == ["a"]  # every shop has five rows: grouped, it would be one level


def test_tables_that_cannot_be_read_stand_next_to_those_that_cannot_be_studied():
    words = [
        *own(good=(table(),), bad=(table(), "positive=maybe")),
        "dataset.gone.path=gone.parquet",
        "dataset.gone.target=y",
    ]
    words += ["dataset.odd.kind=tabel", "dataset=[ecoli3]", "dataset.ecoli3.rare=3"]
    error = problems(words)
    assert isinstance(error, DataError)
    assert [p.split("'")[1] for p in error.problems[:3]] == ["ecoli3", "bad", "gone"]
    assert error.problems[3].startswith("unknown kind 'tabel' for 'dataset.odd.kind'. Did you mean 'table'?")


def test_folds_that_no_table_can_carry_are_said_of_all_with_the_largest_that_all_carry():
    words = [*own(one=(table(positives=7),), two=(table(positives=5),), three=(table(),)), "protocol.outer_folds=9"]
    error = problems(words)
    assert [p.split("'")[1] for p in error.problems] == ["one", "two"]
    assert pasted(error) == ["protocol.outer_folds=5"]
    assert lay_out(compose(*SMALL, *words, *pasted(error))).cells


def test_one_problem_stays_one_line():
    error = problems(own(t=(table(), "positive=yes")))
    assert "\n" not in str(error)
    assert str(error).startswith(
        "data set 't' has no label 'yes' in 'left'; its labels are ' no' (48 rows) and ' yes' (12"
    )


def test_names_from_a_file_begin_no_line():
    error = problems(own(t=(table(**{"x\n- forged": [np.inf] * 60, "y\n": [[1]] * 60}),)))
    assert len(str(error).splitlines()) == 4


def test_a_combined_error_survives_a_process_boundary():
    error = combined([DataError("a.", overrides={"k": [1]}), ConfigError("b.")])
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.overrides) == (DataError, str(error), {"k": [1]})


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("written", "label"), [("yes", "yes"), ("no", "no"), ("on", "On"), ("off", "OFF"), ("y", "y")])
def test_a_word_that_yaml_reads_as_a_truth_value_is_to_be_quoted(tmp_path, written, label):
    other = "other"
    frame = table(left=[label] * 12 + [other] * 48)
    frame.to_csv("t.csv", index=False)
    group = tmp_path / "conf" / "dataset"
    group.mkdir(parents=True)
    text = f"mine: {{kind: table, path: t.csv, target: left, positive: {written}}}"
    (group / "mine.yaml").write_text(text)
    asked = ["name=x", "dataset=[mine]", "learner=[logistic]", "strategy=[none]", "protocol=smoke"]
    if written == "y":  # no truth value to this reader
        assert lay_out(compose(*asked, config_dirs=["conf"])).datasets["mine"].classes[1] == "y"
        return
    with pytest.raises(DataError) as said:
        lay_out(compose(*asked, config_dirs=["conf"]))
    assert "quote the word" in str(said.value)
    assert said.value.overrides == {"dataset.mine.positive": label}
    assert (
        lay_out(compose(*asked, f"dataset.mine.positive={label}", config_dirs=["conf"])).datasets["mine"].y.sum() == 12
    )
    (group / "mine.yaml").write_text(text.replace(f"positive: {written}", f'positive: "{label}"'))
    assert lay_out(compose(*asked, config_dirs=["conf"])).datasets["mine"].y.sum() == 12


# More than two classes ------------------------------------------------------------------------------------------------


def sites(n=(40, 30, 20, 12), **columns):
    rng = np.random.default_rng(0)
    left = np.repeat(["cyt", "nuc", "mit", "vac"][: len(n)], n)
    return pd.DataFrame({"a": rng.normal(size=len(left)).round(3), "left": left, **columns})


def test_tables_of_two_and_of_more_classes_are_laid_out_together():
    study = compose(*SMALL, *own(t=(sites(),), u=(table(),)))
    layout = lay_out(study)
    assert layout.datasets["t"].classes == ("cyt", "nuc", "mit", "vac")
    assert len(layout.cells) == 2 * len(layout.plans["t"])


def test_merges_are_typed_as_they_are_proposed():
    """Each proposal is a line for a shell: what it is pasted into has the classes that it says."""
    study = compose(*SMALL, *own(t=(sites((40, 30, 3, 3)),)))
    with pytest.raises(DataError) as said:
        lay_out(study)
    (word,) = to_shell_free(said.value)
    assert word == "dataset.t.merge={other:[mit,vac]}"
    assert f"'{word}'" in str(said.value)
    words = own(t=(sites((40, 30, 3, 3)),))
    assert lay_out(compose(*SMALL, *words, word)).datasets["t"].merged
    left_out = lay_out(compose(*SMALL, *words, "dataset.t.drop_classes=[mit,vac]")).datasets["t"]
    assert left_out.classes == ("cyt", "nuc")


def test_a_merge_of_a_file_is_replaced_by_the_one_that_is_proposed(tmp_path):
    """A mapping on the command line adds to that of a file: what it takes over is left there without labels."""
    sites((40, 30, 3, 3)).to_parquet("t.parquet")
    (tmp_path / "mine" / "dataset").mkdir(parents=True)
    text = "t: {kind: table, path: t.parquet, target: left, merge: {few: [mit]}}"
    (tmp_path / "mine" / "dataset" / "t.yaml").write_text(text)
    words, folders = (*SMALL, "dataset=t", "protocol.inner_folds=3"), [tmp_path / "mine"]
    with pytest.raises(DataError) as said:
        lay_out(parse_request([*words, "dataset.t.merge={rare:[vac]}", "protocol.outer_folds=4"], folders).study)
    assert said.value.overrides == {"dataset.t.merge": {"few": [], "rare": [], "other": ["mit", "vac"]}}
    words = [*words, "protocol.outer_folds=4", *to_shell_free(said.value)]
    assert lay_out(parse_request(words, folders).study).datasets["t"].merged == {"other": ("mit", "vac")}


def test_labels_with_odd_characters_are_merged_as_proposed():
    frame = sites((40, 30, 3, 3)).replace({"left": {"mit": "b'1'", "vac": " >50K, y"}})
    with pytest.raises(DataError) as said:
        lay_out(compose(*SMALL, *own(t=(frame,))))
    words = [*own(t=(frame,)), *to_shell_free(said.value)]
    data = lay_out(compose(*SMALL, *words)).datasets["t"]
    assert sorted(data.merged["other"]) == sorted(["b'1'", " >50K, y"])


def test_the_short_form_takes_merge_and_drop_classes(tmp_path):
    sites().to_csv("t.csv", index=False)
    words = ("t.csv", "target=left", "merge={few: [mit,vac]}", "drop_classes=[nuc]", *SMALL[1:])
    data = lay_out(compose(*words)).datasets["t"]
    assert (data.classes, data.dropped_classes) == (("cyt", "few"), ("nuc",))
    assert lay_out(compose("t.csv", "target=left", "drop_classes=nuc", *SMALL[1:])).cells
