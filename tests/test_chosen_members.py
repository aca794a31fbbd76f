"""What a study names it holds: no strategy, learner, measure or data set that is chosen is left out in silence."""

import pytest

import imblab
from imblab.edges.config.command_line import MEMBER_KEYS
from imblab.errors import ConfigError
from imblab.groups import shipped_groups

BASE = ("name=x", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold]", "measures=[mcc]")
SMOTE = "{_target_: imblearn.over_sampling.SMOTE}"


@pytest.fixture
def write(tmp_path):
    """Write a file of a group and return the folder of the groups."""

    def write(path, text, folder="conf"):
        file = tmp_path / folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return tmp_path / folder

    return write


def composed(folder, *words):
    groups = {word.partition("=")[0] for word in words}
    base = [word for word in BASE if word.partition("=")[0] not in groups]
    return imblab.compose(*base, *words, config_dirs=[folder] if not isinstance(folder, list) else folder)


def test_a_strategy_needs_no_key_of_its_file(write):
    folder = write("strategy/heavy.yaml", "heavy: {weight: 10, threshold: tuned}")
    *_, heavy = composed(folder, "strategy=[none,threshold,heavy]").strategies
    assert (heavy.name, heavy.weight, heavy.threshold, heavy.sampler) == ("heavy", 10, "tuned", None)
    *_, inline = composed(folder, "+strategy.own={weight: 10, threshold: tuned}").strategies
    assert (inline.weight, inline.threshold) == (10, "tuned")


@pytest.mark.parametrize(
    ("path", "text", "choice", "message"),
    [
        ("learner/oops.yaml", "oops: {mak: {_target_: a.B}}", "learner=[logistic,oops]", "'mak' .* mean 'make'"),
        ("learner/oops.yaml", "oops: {mak: {_target_: a.B}}", "learner=[oops]", "'mak' .* mean 'make'"),
        ("learner/oops.yaml", "oops: {label: mine}", "learner=[logistic,oops]", "'learner.oops.make' is None"),
        ("learner/oops.yaml", "oops: {make: {C: 1}}", "learner=[logistic,oops]", "'learner.oops.make' .* _target_"),
        ("strategy/oops.yaml", f"oops: {{smapler: {SMOTE}}}", "strategy=[none,oops]", "'smapler' .* mean 'sampler'"),
        ("measures/oops.yaml", "oops: {fnction: a.b}", "measures=[mcc,oops]", "'fnction' .* mean 'function'"),
        ("measures/oops.yaml", "oops: {}", "measures=[mcc,oops]", "'measures.oops.function' is not set"),
    ],
)
def test_a_file_with_a_wrong_key_is_refused_as_a_whole_study_is(write, path, text, choice, message):
    folder = write(path, text)
    with pytest.raises(ConfigError, match=message):
        composed(folder, choice)


def test_a_data_set_without_a_kind_is_chosen_too(write):
    folder = write("dataset/mine.yaml", "mine: {path: a.csv, target: class}")
    assert [*composed(folder, "dataset=[mine,ecoli3]").datasets] == ["mine", "ecoli3"]


def test_an_override_of_a_chosen_member_is_about_its_keys(write):
    folder = write("learner/oops.yaml", "oops: {mak: {_target_: a.B}, space: {}}")
    with pytest.raises(ConfigError, match=r"'mak' .* mean 'make'"):
        composed(folder, "learner=[logistic,oops]", "learner.oops.space.C=choice(1,2)")
    with pytest.raises(ConfigError, match=r"about learner 'oops', which is not chosen"):
        composed(folder, "learner.oops.space.C=choice(1,2)")


@pytest.mark.parametrize("group", MEMBER_KEYS)
@pytest.mark.parametrize("text", ["", "# nothing yet\n", "# @package _global_\nseed: 3\n"])
def test_a_file_that_describes_no_member_is_refused(write, group, text):
    folder = write(f"{group}/own.yaml", text)
    known = {"dataset": "ecoli3", "learner": "logistic", "strategy": "none", "measures": "mcc"}[group]
    with pytest.raises(ConfigError, match=r"own\.yaml' describes no .* Write own: {\.\.\.} there"):
        composed(folder, f"{group}=[{known},own]")


def test_the_way_out_of_a_file_without_its_name_is_taken(write):
    folder = write("strategy/own.yaml", "weight: 10\nthreshold: tuned\n")
    with pytest.raises(ConfigError, match=r"own\.yaml' begins with 'weight'.* Indent .* below own:"):
        composed(folder, "strategy=[none,own]")
    write("strategy/own.yaml", "own:\n  weight: 10\n  threshold: tuned\n")
    assert composed(folder, "strategy=[none,own]").strategy_names == ("none", "own")


def test_two_files_of_one_member_are_refused(write):
    """A copy of a shipped file whose key was not renamed: one of the two strategies would be lost."""
    folder = write("strategy/mine.yaml", f"smote: {{sampler: {SMOTE}, ratio: 1.0, k: 5, space: {{}}}}")
    with pytest.raises(ConfigError, match=r"'smote' and 'mine' both describe strategy 'smote'.* Rename"):
        composed(folder, "strategy=[none,smote,mine]")
    assert composed(folder, "strategy=[none,mine]").strategy_names == ("none", "smote")


def test_a_file_may_build_on_another(write):
    folder = write("strategy/heavy.yaml", "heavy: {weight: 10, threshold: tuned}")
    write("strategy/both.yaml", "defaults: [heavy, smote]\nsmote: {k: 3, space: null}\n")
    study = composed(folder, "strategy=[none,both]")
    assert study.strategy_names == ("none", "heavy", "smote")
    assert study.strategies[-1].k == 3


def test_a_file_of_several_members_is_held_whole(write):
    folder = write("strategy/pack.yaml", "a: {weight: 3}\nb: {weight: 4}\nsmote: {weight: 5}\n")
    assert composed(folder, "strategy=[none,pack]").strategy_names == ("none", "a", "b", "smote")
    write("strategy/pack.yaml", "# @package _global_\nstrategy: {a: {weight: 3}, threshold: {weight: 4}}\n")
    assert composed(folder, "strategy=[none,pack]").strategy_names == ("none", "a", "threshold")


@pytest.mark.parametrize(
    ("path", "text", "choice"),
    [
        ("strategy/smote.yaml", f"smote: {{sampler: {SMOTE}, ratio: 1.0, k: 5}}", "strategy=[none,smote]"),
        ("learner/logistic.yaml", "logistic: {make: {_target_: sklearn.svm.SVC}}", "learner=[logistic]"),
        ("measures/f1.yaml", "f1: {function: a.b, needs: label}", "measures=[mcc,f1]"),
        ("dataset/ecoli3.yaml", "ecoli3: {kind: table, path: a.csv}", "dataset=[ecoli3]"),
        ("protocol/smoke.yaml", "outer_folds: 7", "protocol=smoke"),
        ("search/grid.yaml", "method: tpe\nn_trials: 3", "search=grid"),
        ("runner/local.yaml", "n_jobs: 1", "runner=local"),
        ("tracking/sqlite.yaml", "enabled: false", "tracking=sqlite"),
        ("experiment/quickstart.yaml", "# @package _global_\nseed: 3\n", "experiment=quickstart"),
    ],
)
def test_a_file_of_ones_own_is_not_passed_over_for_the_shipped_one(write, path, text, choice):
    folder = write(path, text)
    with pytest.raises(ConfigError, match=r"is described by two files that differ: .*conf.*\. Rename"):
        composed(folder, choice)


def test_files_of_one_name_that_say_the_same_are_one(write):
    """A folder of one's own may hold a copy of the shipped groups."""
    text = (shipped_groups() / "strategy" / "smote.yaml").read_text(encoding="utf-8")
    folder = write("strategy/smote.yaml", f"# a copy\n{text}")
    assert composed(folder, "strategy=[none,smote]").strategy_names == ("none", "smote")
    other = write("strategy/heavy.yaml", "heavy: {weight: 2}", "other")
    write("strategy/heavy.yaml", "heavy: {weight: 3}")
    assert composed([folder, other], "strategy=[none,smote]").strategy_names == ("none", "smote")
    with pytest.raises(ConfigError, match=r"strategy 'heavy' is described by two files that differ"):
        composed([folder, other], "strategy=[none,heavy]")


EXPERIMENT = """# @package _global_
defaults:
  - override /dataset: [ecoli3]
  - override /learner: [logistic]
  - override /strategy: [none, threshold]
strategy:
  heavy: {weight: 10, threshold: tuned}
"""


def test_what_an_experiment_describes_and_does_not_choose_is_refused(write):
    folder = write("experiment/mine.yaml", EXPERIMENT)
    assert composed(folder, "experiment=mine").strategy_names == ("none", "threshold", "heavy")
    write("strategy/heavy.yaml", "heavy: {weight: 5, threshold: 0.5}")
    words = ("name=x", "experiment=mine")
    with pytest.raises(ConfigError, match=r"experiment 'mine' changes strategy 'heavy', which it does not choose"):
        imblab.compose(*words, config_dirs=[folder])
    write("experiment/mine.yaml", EXPERIMENT.replace("threshold]", "threshold, heavy]"))
    *_, heavy = imblab.compose(*words, config_dirs=[folder]).strategies
    assert (heavy.weight, heavy.threshold) == (10, "tuned")
    # Whoever chooses on the command line leaves out the rest.
    chosen = imblab.compose(*words, "strategy=[none,smote]", config_dirs=[folder])
    assert chosen.strategy_names == ("none", "smote")


@pytest.mark.parametrize(
    "override",
    ["strategy.threshod.calibration=sigmoid", "strategy.threshod.space.threshold=choice(0.4,0.5)",
     "strategy.threshod.weight=5", "strategy.threshod.label=mine"],
)  # fmt: skip
def test_an_override_of_a_misspelt_strategy_makes_no_strategy(tmp_path, override):
    with pytest.raises(ConfigError, match=r"unknown strategy 'threshod'\. Did you mean 'threshold'\?"):
        composed(tmp_path, override)
    added = composed(tmp_path, "+strategy.own.weight=5", "strategy.own.calibration=sigmoid")
    assert added.strategy_names == ("none", "threshold", "own")
    changed = composed(tmp_path, override.replace("threshod", "threshold"))
    assert changed.strategy_names == ("none", "threshold")


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("strategy.heavy.calibration=sigmoid", "calibration", "sigmoid"),
        ("strategy.heavy.weight=3", "weight", 3),
        ("strategy.heavy.threshold=0.4", "threshold", 0.4),
        ("strategy.heavy.threshold={alert_rate: 0.1}", "threshold", {"alert_rate": 0.1}),
        ("strategy.heavy.label=mine", "label", "mine"),
    ],
)
@pytest.mark.parametrize(
    "text", ["heavy: {weight: 10}", "heavy: {weight: 10, threshold: {cost_optimal: {fn: 9, fp: 1}}}"]
)
def test_an_override_sets_what_a_file_of_ones_own_leaves_out(write, text, override, key, value):
    folder = write("strategy/heavy.yaml", text)
    *_, heavy = composed(folder, "strategy=[none,heavy]", override).strategies
    assert getattr(heavy, key) == value
    with pytest.raises(ConfigError, match=r"'strategy\.heavy\.k' is set, but strategy 'heavy' has no sampler"):
        composed(folder, "strategy=[none,heavy]", "strategy.heavy.k=3")
    with pytest.raises(ConfigError, match=r"unknown key 'treshold' in 'strategy\.heavy'"):
        composed(folder, "strategy=[none,heavy]", "strategy.heavy.treshold=0.3")
