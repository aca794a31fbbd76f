"""Tables that an experiment takes from a folder of the user's, and the content that it expects there."""

from dataclasses import replace

import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold

from imblab.commands.layout import lay_out
from imblab.core import splits
from imblab.edges import config, datasets
from imblab.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    rows = pd.DataFrame({"a": range(60), "b": [i * i % 7 for i in range(60)], "y": ["no"] * 50 + ["yes"] * 10})
    rows.to_csv(tmp_path / "t.csv.gz", index=False)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndata_dir: ???\ndataset: {t: {kind: table, path: '${data_dir}/t.csv.gz', target: y}}\n"
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(text)
    return tmp_path


def spec(folder, **more):
    return {"kind": "table", "path": str(folder / "t.csv.gz"), "target": "y", **more}


def test_the_folder_is_in_the_paths_of_the_study_and_is_no_key_of_it(folder):
    request = config.compose_request(["experiment=mine", f"data_dir={folder}"], [folder / "conf"])
    assert request.study.datasets["t"]["path"] == f"{folder}/t.csv.gz"
    assert "data_dir" not in config.to_mapping(request.study)


def test_a_folder_that_is_not_given_is_asked_for(folder):
    with pytest.raises(ConfigError, match=r"'data_dir' has no value; .* Add data_dir=\.\.\. to the command\."):
        config.compose_request(["experiment=mine"], [folder / "conf"])


def test_an_experiment_without_a_folder_takes_none(folder):
    with pytest.raises(ConfigError, match="unknown key 'data_dir'"):
        config.compose_request(["experiment=quickstart", "data_dir=x"])


def test_content_is_compared_with_the_fingerprint_whatever_the_file(folder):
    expected = datasets.read_dataset(spec(folder), "t").fingerprint
    for length in (8, 16, 64):
        assert datasets.read_dataset(spec(folder, fingerprint=expected[:length]), "t").fingerprint == expected
    frame = pd.read_csv(folder / "t.csv.gz")
    frame.to_parquet(folder / "t.parquet")
    again = spec(folder, fingerprint=expected) | {"path": str(folder / "t.parquet")}
    assert datasets.read_dataset(again, "t").fingerprint == expected
    frame.assign(a=frame.a + (frame.index == 3)).to_csv(folder / "t.csv.gz", index=False)
    with pytest.raises(DataError, match=r"'t' has the fingerprint '[0-9a-f]{16}' with 60 rows; the study was"):
        datasets.read_dataset(spec(folder, fingerprint=expected[:16]), "t")


@pytest.mark.parametrize("value", [12345678, "1234567", "not hexadecimal", "A" * 16, "a" * 65, ["a" * 16], 1e30])
def test_what_is_no_fingerprint_is_refused(folder, value):
    with pytest.raises(ConfigError, match=r"'dataset.t.fingerprint' is .*; it is text of 8 to 64 digits"):
        datasets.read_dataset(spec(folder, fingerprint=value), "t")


def test_outer_folds_are_those_of_scikit_learn_on_the_labels_as_they_stand(folder):
    """So rows of a study are paired with those of anybody who published seed and folds."""
    data = datasets.read_dataset(spec(folder), "t")
    labels = pd.read_csv(folder / "t.csv.gz").y
    request = config.compose_request(["experiment=mine", f"data_dir={folder}", "seed=123"], [folder / "conf"])
    found = [split.test.tolist() for split in splits.plan(data, request.study.protocol, request.study.seed)]
    folds = StratifiedKFold(5, shuffle=True, random_state=123).split(labels, labels)
    assert found == [test.tolist() for _, test in folds]


def test_a_folder_that_does_not_exist_is_said_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    specs = {name: {"kind": "table", "path": f"nowhere/{name}.csv", "target": "y"} for name in "abc"}
    specs["alone"] = {"kind": "table", "path": "elsewhere/alone.csv", "target": "y"}
    study = config.compose_request(["experiment=quickstart"]).study
    with pytest.raises(DataError) as refused:
        lay_out(replace(study, datasets=specs))
    text = str(refused.value)
    assert text.count("nowhere") == 1
    assert "2 problems" in text
    assert "the folder 'nowhere' of 3 data sets (a, b and c) does not exist" in text
    assert "data set 'alone' has the path 'elsewhere/alone.csv', which is not a file" in text
