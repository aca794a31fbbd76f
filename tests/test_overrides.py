"""What a message tells people to paste is read back as exactly the word that was meant."""

import re
import shlex
from itertools import combinations

import pandas as pd
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, strategies as st

from imblab.commands import layout
from imblab.edges import config
from imblab.edges.datasets.notation import label_text
from imblab.errors import ConfigError, DataError, ImblabError
from imblab.text import table_setting, to_hydra_syntax, to_override, to_shell

WORDS = [
    ">50K", "Kündigung", "a=b", "a b", " positive", "b'true'", 'say "hi"', "it's", "a,b", "f(x)", "[a]", "{a:1}", "a:b",
    "100%", "#1", "$3.00", "${oc.env:HOME}", "a${", "\\${x}", "a\\", 'a\\"', "\\\\", "1", "01", "1e5", "1_000", "-1",
    ".5", "+5", "null", "NULL", "true", "False", "yes", "no", "on", "off", "nan", "inf", "-inf", ".inf", "~", "", "?",
    "???", "*", "a|b", "!x", "tab\there", "choice(1,2)", "data/a.csv", "~/a.csv", "./a.csv", "..", ".", "/", "a-b", "-",
    "日本", "1 to 5", "<= 50", "&", ";", "`ls`", "$(ls)", "1.5.2", "2024-01-31", "nan.csv", "null.csv", "infinity",
    "@a",
]  # fmt: skip


def read(text):
    return OverridesParser.create().parse_override(text).value()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("word", WORDS)
def test_a_shell_and_hydra_give_the_word_back(word):
    (token,) = shlex.split(to_override("dataset.table.positive", word))
    study = config.compose_request(["name=x", "dataset=table", "dataset.table.path=a.csv", token]).study
    found = study.datasets["table"]["positive"]
    assert found == word
    assert type(found) is str


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12))
def test_any_text_is_read_back_by_hydra(word):
    if "${" not in word:
        assert read(f"k={to_hydra_syntax(word)}") == word
        assert read(f"k={to_hydra_syntax([word, 'b'])}") == [word, "b"]
    assert shlex.split(to_override("k", word)) == [f"k={to_hydra_syntax(word)}"]


@given(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8) | st.sampled_from([*WORDS, "1.50", "a, b"])
)
def test_a_setting_with_any_key_is_an_override_or_a_line_of_yaml(word):
    """Hydra has no quotes for keys: a class name that it would misread is proposed for the file of the data set."""
    merged = {word: ["a", word], "other": []}
    setting = table_setting("sites", "merge", merged)
    if "${" in word:
        return
    if setting.startswith("merge: "):
        read_back = yaml.safe_load(setting.removesuffix(" in the YAML file of the data set"))["merge"]
    else:
        (token,) = shlex.split(setting)
        read_back = read(token)
        assert token.startswith("dataset.sites.merge=")
    assert {label_text(name): labels for name, labels in read_back.items()} == merged


@pytest.mark.parametrize("word", ["a", "A b", "few_2", "7", "a,b", "a:b", "f(x)", "a[1]"])
def test_a_key_that_hydra_can_read_stays_an_override(word):
    assert table_setting("t", "merge", {word: ["x"]}).strip("'").startswith("dataset.t.merge={")


def test_no_line_to_paste_holds_a_key_that_hydra_would_misread():
    error = DataError("one", "two", overrides={"dataset.t.positive": "a", "dataset.t.merge": {"Größe": ["b", "c"]}})
    assert "To paste" not in str(error)


@pytest.mark.parametrize("value", [1, 1.5, True, False, None, ["a", 1, "1"], {"min_rows": 20}, []])
def test_other_values_keep_their_type(value):
    assert read(f"k={to_hydra_syntax(value)}") == value


TYPED = [
    ">50K", "Kündigung", "=", "a=b", "paid (EUR)", "f(x)", "[a", "{", "a,b", "100%?", "#1", "x>y,z", "${x}", "'", '"',
    "ja: nein", "!", "&", "€ 3", "日本", "a\\", "(", "]", "~x", "<= 5", "a'b",
]  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize("role", ["target", "positive", "groups"])
@pytest.mark.parametrize("word", TYPED)
def test_a_word_as_typed_is_read_or_answered_with_the_form_that_is(word, role):
    asked = ["name=x", "dataset=table", "dataset.table.path=a.csv"]
    text = f"dataset.table.{role}={word}"
    try:
        found = config.compose_request([*asked, text]).study
    except ConfigError as refusal:
        pasted = re.search(r"(?:write|Write|as text:) (.*)\.$", str(refusal))[1]
        found = config.compose_request([*asked, *shlex.split(pasted)]).study
    assert found.datasets["table"][role] == word


def test_words_of_a_list_are_quoted_one_by_one():
    with pytest.raises(ConfigError) as refusal:
        config.compose_request(["name=x", "dataset=table", "dataset.table.drop=[Kündigung, paid (EUR),plain]"])
    (pasted,) = shlex.split(re.search(r"Write (.*)\.$", str(refusal.value))[1])
    found = config.compose_request(["name=x", "dataset=table", pasted]).study
    assert found.datasets["table"]["drop"] == ["Kündigung", "paid (EUR)", "plain"]


def test_an_address_that_cannot_be_parsed_is_answered_with_the_form_that_is():
    text = "runner.address=tcp://[::1]:8786"
    with pytest.raises(ConfigError) as refusal:
        config.compose_request(["name=x", "dataset=[ecoli3]", text])
    (pasted,) = shlex.split(re.search(r"Write (.*)\.$", str(refusal.value))[1])
    assert config.compose_request(["name=x", "dataset=[ecoli3]", pasted]).runner["address"] == "tcp://[::1]:8786"


def test_a_password_is_not_repeated_in_a_form_to_paste():
    with pytest.raises(ConfigError) as refusal:
        config.compose_request(["name=x", "tracking.uri=http://me:se>cret@host/ü"])
    assert "cret" not in str(refusal.value)


def test_everything_that_was_typed_wrongly_is_said_at_once():
    with pytest.raises(ConfigError) as refusal:
        config.compose_request(["name=ü", "seed", "dataset.table.positive=>50K"])
    assert len(refusal.value.problems) == 3
    with pytest.raises(ConfigError) as refusal:
        config.compose_request(["name=x", "dataset=[ecoli33,yeast4,yeast44]", "learner=[logit]", "protocol=smok"])
    assert [p.split("'")[1] for p in refusal.value.problems] == ["ecoli33", "yeast44", "logit", "smok"]


def test_a_command_is_split_as_it_was_joined():
    words = ["imblab", "run", "name=a b", "learner=[knn,svm]", "it's", ""]
    assert shlex.split(to_shell(words)) == words


@pytest.mark.parametrize("name", ["desk", "desk-3"])
def test_a_rule_or_a_matrix_of_costs_takes_the_place_of_what_a_file_has(tmp_path, name):
    """Costs of two classes are a mapping and those of more a list, which Hydra does not merge."""
    costs, words = [[0, 1, 1], [5, 0, 1], [5, 1, 0]], ["name=x", "dataset=table", "dataset.table.path=a.csv"]
    (tmp_path / "strategy").mkdir()
    knobs = "{sampler: null, ratio: null, k: null, weight: null, threshold: {cost_optimal: {fn: 9, fp: 1}}}"
    (tmp_path / "strategy" / f"{name}.yaml").write_text(f"{name}: {knobs}")
    words += ["measures=[mcc,expected_cost]", f"strategy=[{name}]"]
    study = config.compose_request(words, [tmp_path]).study
    assert study.strategies[0].threshold == {"cost_optimal": {"fn": 9, "fp": 1}}
    overrides = [to_override("measures.expected_cost.parameters.costs", costs)]
    overrides += [to_override(f"strategy.{name}.threshold", {"cost_optimal": costs})]
    study = config.compose_request([*words, *shlex.split(" ".join(overrides))], [tmp_path]).study
    assert study.strategies[0].threshold == {"cost_optimal": costs}
    assert study.measures[1].parameters == {"costs": costs}
    study = config.compose_request([*words, f"strategy.{name}.threshold={{min_recall:0.5}}"], [tmp_path]).study
    assert study.strategies[0].threshold == {"min_recall": 0.5}
    study = config.compose_request([*words, f"strategy.{name}.threshold.cost_optimal.fn=5"], [tmp_path]).study
    assert study.strategies[0].threshold == {"cost_optimal": {"fn": 5, "fp": 1}}
    study = config.compose_request([*words, f"strategy.{name}.calibration=sigmoid"], [tmp_path]).study
    assert study.strategies[0].calibration == "sigmoid"
    question = config.to_mapping(study)
    changed = config.change_study(question, [f"strategy.{name}.threshold=0.4", "primary=expected_cost"]).study
    assert changed.strategies[0].threshold == 0.4


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("strategy.smote.threshold=0,5", "strategy.smote.threshold=0.5"),
        ("strategy.smote.ratio=0,25", "strategy.smote.ratio=0.25"),
        ("learner.logistic.make.C=0,5", "learner.logistic.make.C=0.5"),
        ("claims.rope.mcc=0,01", "claims.rope.mcc=0.01"),
        ("budget.minutes=1,5", "budget.minutes=1.5"),
    ],
)
def test_a_decimal_comma_is_answered_with_the_decimal_point(typed, meant):
    base = ["name=x", "dataset=[ecoli3]", "learner=[logistic]"]
    with pytest.raises(ConfigError) as refusal:
        config.compose_request([*base, typed])
    assert f"write {meant}." in str(refusal.value)
    config.compose_request([*base, meant])
    with pytest.raises(ConfigError, match=r"Write 'strategy\.smote\.space\.k=choice\(3,5\)'"):
        config.compose_request([*base, "strategy.smote.k=3,5"])


@pytest.mark.parametrize(
    ("typed", "pasted"),
    [("0.01", "claims.rope.mcc=0.01"), ("0", "claims.rope.mcc=0"), ("wide", "claims.rope.mcc=0.01"),
     ("-1", "claims.rope.mcc=0.01")],
)  # fmt: skip
def test_a_region_without_its_measure_is_answered_with_one_that_has_it(typed, pasted):
    base = ["name=x", "dataset=[ecoli3]"]
    with pytest.raises(ConfigError) as refusal:
        config.compose_request([*base, f"claims.rope={typed}"])
    assert str(refusal.value).endswith(f"by measure. Write for example {pasted}.")
    claims = config.compose_request([*base, pasted]).study.claims
    assert claims.rope == {"mcc": float(pasted.rpartition("=")[2]), "pr_auc": 0.02}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("primry=pr_auc", "unknown key 'primry'. Did you mean 'primary'?"),
        ("measurs=[mcc]", "unknown key 'measurs'. Did you mean 'measures'?"),
        ("refti=true", "unknown key 'refti'. Did you mean 'refit'?"),
        ("cost={fn: 9, fp: 1}", "unknown key 'cost'. Did you mean 'costs'?"),
        ("protocol.threshold=observed", "unknown key 'threshold' in 'protocol'. Did you mean 'thresholds'?"),
        ("claims.aplha=0.1", "unknown key 'aplha' in 'claims'. Did you mean 'alpha'?"),
        ("strategy.smote.treshold=0.4", "unknown key 'treshold' in 'strategy.smote'. Did you mean 'threshold'?"),
        ("measures.f1.paramters.beta=2", "unknown key 'paramters' in 'measures.f1'. Did you mean 'parameters'?"),
        ("seed=3", "would change the fits of study 'x'"),
        ("protocol.repeats=3", "would change the fits of study 'x'"),
        ("learner.logistic.make.C=3", "would change the fits of study 'x'"),
        ("strategy.smote.ratio=0.4", "would change the fits of study 'x'"),
    ],
)
def test_what_is_no_key_does_not_change_the_fits_of_a_study(typed, message):
    study = config.compose_request(["name=x", "dataset=[ecoli3]", "learner=[logistic]"]).study
    with pytest.raises(ConfigError, match=re.escape(message)):
        config.change_study(config.to_mapping(study), [typed])


#: Independent mistakes of one command, each with the start of what is said of it.
MISTAKES = {
    "learner=[knnn]": "unknown learner 'knnn'. Did you mean 'knn'?",
    "strategy=[smote,zzz]": "unknown strategy 'zzz'.",
    "sede=3": "override 'sede=3': unknown key 'sede' in the study. Did you mean 'seed'?",
    "runner.njobs=2": "override 'runner.njobs=2': unknown key 'njobs' in 'runner'.",
    "primary=mccc": "'primary' is 'mccc', which is not among the measures",
    "protocol.outer_folds=1": "'protocol.outer_folds' is 1;",
    "claims.alpha=2": "'claims.alpha' is 2;",
    "claims.rope.zzz=0.1": "'claims.rope' names 'zzz'",
    "search.n_trials=-1": "'search.n_trials' is -1;",
    "tracking.uri=[": "override 'tracking.uri=[' cannot be parsed",
    "overwrite=maybe": "'overwrite' is 'maybe';",
    "learner.svm.make.C=3": "override 'learner.svm.make.C=3' is about learner 'svm'",
    "-m": "'-m' asks Hydra for many jobs;",
}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("pair", list(combinations(MISTAKES, 2)), ids=" ".join)
def test_two_mistakes_of_one_command_are_told_at_once_and_no_third(pair):
    with pytest.raises(ConfigError) as told:
        config.compose_request(["experiment=quickstart", *pair])
    starts = sorted(MISTAKES[word] for word in pair)
    assert len(told.value.problems) == 2, told.value
    assert all(any(text.startswith(start) for text in told.value.problems) for start in starts), told.value


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigError) as told:
        config.compose_request(["experiment=quickstart", *MISTAKES])
    assert len(told.value.problems) == len(MISTAKES), told.value


def test_what_an_unknown_choice_stands_for_is_read_as_the_nearest_one():
    """Overrides of the nearest option are read; those of a name like no option are not held against it."""
    with pytest.raises(ConfigError) as told:
        config.compose_request(
            ["experiment=quickstart", "strategy=[smoot,zzz]", "strategy.smoot.k=0", "strategy.zzz.k=0"]
        )
    assert len(told.value.problems) == 3, told.value
    assert "'strategy.smote.k' is 0" in str(told.value)
    with pytest.raises(ConfigError) as told:
        config.compose_request(["experiment=zzz", "seed=-1"])
    assert told.value.problems == (str(told.value),), "without its experiment a study lacks everything"


@pytest.mark.parametrize(
    "words", [["nofile.csv"], ["t.csv"], ["t.csv", "targt=y"], ["t.csv", "target=y", "sede=3"], ["t.cs"]]
)
def test_what_is_wrong_with_a_table_hides_nothing_of_the_study(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": range(40), "y": [0, 0, 0, 1] * 10}).to_csv("t.csv", index=False)
    with pytest.raises(ImblabError) as told:
        layout.parse_request([*words, "strategy=[smoot]", "seed=-1", "positive=1"], ())
    assert len(told.value.problems) == 3, told.value
    assert "unknown strategy 'smoot'" in told.value.problems[1]
    assert told.value.problems[2].startswith("'seed' is -1")


#: Words of a command with what is said of them, the way out included.
SAID = {
    "protocol.threshold_measure=f2_": "'protocol.threshold_measure' is 'f2_'",
    "protocol.threshold_measure=mc": "Did you mean 'mcc'?",
    "primary=auc": "Did you mean 'roc_auc'?",
    "claims.rope.mc=0.1": "Did you mean 'mcc'?",
    "claims.contrasts=[[smot,none]]": "Did you mean 'smote'?",
    "claims.primary=[[smote,smote]]": "Write for example claims.primary=[[a,b]]",
    "learner=[logistic,logistic]": "lists a name twice; results are kept by name. Write 'learner=[logistic]'.",
    "+seed=3": "Write it without the plus: seed=3.",
    "learner.logistic.make.max_iter=choice(100,200)": "search.tune_learner=true search=tpe.",
    "+learner.x.make={_target_: sklearn.preprocessing.StandardScaler}": "a transformer goes before one in a Pipeline",
    "+learner.x.make={_target_: sklearn.svm.LinearSVR}": "Name a classifier;",
    "+measures.foo={function: sklearn.metrics.f1_scor, needs: label}": "Did you mean 'f1_score'?",
    "+learner.x.make={_target_: lightgbm.LGBMClassifier, objective: regression}": "which is not for classes;",
}


@pytest.mark.parametrize("word", SAID)
def test_the_way_out_is_named(word):
    with pytest.raises(ConfigError) as told:
        config.compose_request(["experiment=quickstart", word])
    assert SAID[word] in str(told.value)


def test_all_that_is_wrong_with_a_strategy_is_told_at_once():
    words = ["strategy.smote.k=0", "strategy.smote.ratio=3", "strategy.smote.threshold=2", "strategy.smote.weight=-1"]
    with pytest.raises(ConfigError) as told:
        config.compose_request(["experiment=quickstart", *words])
    assert len(told.value.problems) == 4, told.value


def test_a_table_that_an_experiment_describes_itself_stays_with_a_note(tmp_path):
    path = tmp_path / "experiment" / "own.yaml"
    path.parent.mkdir()
    text = "# @package _global_\nname: own\ndataset: {mine: {kind: table, path: a.csv, target: y}}\n"
    path.write_text(text, encoding="utf-8")
    asked = config.compose_request(["experiment=own", "dataset=[ecoli3]"], [tmp_path])
    assert set(asked.study.datasets) == {"mine", "ecoli3"}
    assert asked.notes == ("dataset.mine is described by the experiment itself, and stays: ~dataset.mine removes it.",)
    alone = config.compose_request(["experiment=own", "dataset=[ecoli3]", "~dataset.mine"], [tmp_path])
    assert (set(alone.study.datasets), alone.notes) == ({"ecoli3"}, ())
    assert config.compose_request(["experiment=own"], [tmp_path]).notes == ()


def test_overrides_that_correct_a_rule_for_two_classes_are_in_the_line_to_paste():
    words = ["experiment=quickstart", "dataset=[ecoli]", "strategy.threshold.threshold={min_recall: 0.9}"]
    with pytest.raises(ImblabError) as told:
        layout.lay_out(config.compose_request(words).study)
    assert "strategy.threshold.threshold" in told.value.overrides


def test_a_missing_name_hides_nothing():
    with pytest.raises(ConfigError) as told:
        config.compose_request(["dataset=[ecoli3]", "seed=-1"])
    assert len(told.value.problems) == 2, told.value


@pytest.mark.parametrize("objective", ["binary:logistic", "reg:logistic", "null"])
def test_objectives_that_give_probabilities_are_accepted(objective):
    words = ["name=x", "dataset=[ecoli3]", "learner=[xgboost]", f"+learner.xgboost.make.objective='{objective}'"]
    assert config.compose_request([*words[:3], words[3].replace("'null'", "null")]).study.learner_names == ("xgboost",)
