"""Records are values: what goes to JSON comes back equal, and what has the same content has the same address."""

import json
from dataclasses import FrozenInstanceError, fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from imblab import study
from imblab.edges import config
from imblab.errors import ConfigError
from imblab.result import Evaluation, Trial
from imblab.study import (
    DECISION_VALUE,
    Cell,
    Choice,
    Claims,
    Interval,
    Learner,
    Measure,
    Protocol,
    Split,
    Strategy,
    Study,
    Tuning,
    key_of,
)

finite = st.floats(allow_nan=False, allow_infinity=False)  # subnormal numbers and -0.0 among them
maybe = st.none() | finite
words = st.text(max_size=12)
scalars = st.one_of(finite, st.integers(), st.booleans(), words)
knobs = st.dictionaries(st.sampled_from(["ratio", "k", "weight", "learner.C", "learner.max_features"]), scalars)

trials = st.builds(
    Trial,
    params=knobs,
    value=maybe,
    threshold=maybe,
    status=st.sampled_from(["ok", "inapplicable", "failed", "repeated", "pruned"]),
    reason=st.none() | words,
    fold_thresholds=st.lists(finite, max_size=3).map(tuple),
    at_edge=st.booleans(),
)
evaluations = st.builds(
    Evaluation,
    dataset=words,
    learner=words,
    strategy=words,
    repeat=st.integers(0, 99),
    fold=st.integers(0, 99),
    params=knobs,
    threshold=maybe,
    scores=st.dictionaries(words, maybe, max_size=5),
    counts=st.dictionaries(st.sampled_from(["tn", "fp", "fn", "tp"]), st.integers(0, 10**9)),
    seconds=finite,
    status=st.sampled_from(["ok", "inapplicable", "failed"]),
    error=st.none() | words,
    fingerprint=words,
    data_fingerprint=words,
    split_fingerprint=words,
    flagged=maybe,
    value=maybe,
    n_train=st.integers(0, 10**9),
    n_test=st.integers(0, 10**9),
    reached=st.dictionaries(words, st.integers(0, 10**9) | words, max_size=3),
    fits=st.integers(0, 999),
    notes=st.lists(words, max_size=3).map(tuple),
    trials=st.lists(trials, max_size=3).map(tuple),
    code=st.dictionaries(words, words, max_size=2),
)


# ------------------------------------------------------------------------------------------------------ an evaluation


@given(evaluations)
def test_an_evaluation_comes_back_from_one_line_of_json_exactly(row):
    line = row.to_json()
    back = Evaluation.from_json(line)
    assert back == row
    assert repr(back) == repr(row), "the sign of zero, 1 and 1.0 and True, and the order of keys"
    assert len(line.splitlines()) == 1
    assert back.to_json() == line


ROW = Evaluation("d", "l", "s", 0, 1, {"k": 3}, 0.5, {"mcc": 0.1}, {"tp": 1}, 0.2, "ok", None, "f")


def test_numbers_of_numpy_are_written_as_plain_ones():
    numbers = {"k": np.int64(3), "ratio": np.float64(0.1), "learner.fit": np.bool_(True)}
    row = replace(ROW, params=numbers, threshold=np.float64(5e-324), trials=(Trial(numbers, np.float64(1e-300), 0.5),))
    back = Evaluation.from_json(row.to_json())
    assert repr(dict(back.params)) == "{'k': 3, 'ratio': 0.1, 'learner.fit': True}"
    assert back.threshold == 5e-324
    assert back.trials[0].value == 1e-300


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_does_not_know_is_refused_rather_than_written(value):
    for row in (replace(ROW, scores={"mcc": value}), replace(ROW, trials=(Trial({}, value, 0.5),))):
        with pytest.raises(ValueError):
            row.to_json()


def test_lines_of_an_older_ledger_without_the_later_fields_are_read():
    raw = json.loads(ROW.to_json())
    required = {f.name for f in fields(Evaluation)} - {f.name for f in fields(Evaluation) if f.name in LATER}
    back = Evaluation.from_json(json.dumps({name: raw[name] for name in required}))
    assert back == ROW


def test_code_is_written_where_there_is_code_of_ones_own():
    assert "code" not in json.loads(ROW.to_json())
    assert json.loads(replace(ROW, code={"mypkg.Mine": "0123"}).to_json())["code"] == {"mypkg.Mine": "0123"}


def test_a_scale_is_written_where_it_is_not_that_of_probabilities():
    assert "scale" not in json.loads(ROW.to_json())
    other = replace(ROW, scale=DECISION_VALUE)
    assert json.loads(other.to_json())["scale"] == "decision_value"
    assert Evaluation.from_json(other.to_json()) == other != ROW


LATER = (
    "code",
    *("data_fingerprint", "split_fingerprint", "flagged", "value", "n_train", "n_test", "reached", "fits"),
    *("notes", "trials", "scale", "class_scores", "confusion"),
)


# ------------------------------------------------------------------------------------------------------------ a key


@given(st.tuples(words, words, words), st.integers(0, 999), st.integers(0, 999))
def test_a_cell_and_its_row_have_the_same_key(names, repeat, fold):
    dataset, learner, strategy = names
    split = Split(repeat, fold, np.arange(2), np.arange(1), "f")
    cell = Cell(dataset, Learner(learner, {}), Strategy(strategy), split)
    row = replace(ROW, dataset=dataset, learner=learner, strategy=strategy, repeat=repeat, fold=fold)
    assert cell.key == row.key == key_of(dataset, learner, strategy, repeat, fold)


plain_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,8}", fullmatch=True)
coordinates = st.tuples(plain_names, plain_names, plain_names, st.integers(0, 99), st.integers(0, 99))


@given(coordinates, coordinates)
def test_different_coordinates_are_different_keys(one, other):
    assert (key_of(*one) == key_of(*other)) == (one == other)


# ---------------------------------------------------------------------------------------------------- a fingerprint

plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@given(plain_data, plain_data)
def test_a_fingerprint_tells_content_apart_and_nothing_else(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (study.fingerprint(one) == study.fingerprint(other)) == same
    assert study.fingerprint(one, other) != study.fingerprint([one, other])


@given(st.lists(st.tuples(words, st.integers()), unique_by=lambda item: item[0], max_size=5), st.randoms())
def test_the_order_of_keys_does_not_count_and_that_of_values_does(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    assert study.fingerprint(dict(items)) == study.fingerprint(dict(shuffled))
    assert (study.fingerprint(items) == study.fingerprint(shuffled)) == (items == shuffled)


def test_an_array_is_its_type_its_shape_and_its_bytes():
    a = np.arange(6, dtype=np.int64)
    others = [a.astype(np.int32), a.reshape(2, 3), a.reshape(3, 2), a[::-1], a.astype(np.float64), a[:5]]
    found = [study.fingerprint(x) for x in (a, *others)]
    assert len(set(found)) == len(found)
    assert study.fingerprint(a.copy()) == found[0]
    assert study.fingerprint(np.arange(12)[::2] // 2) == found[0], "not its strides"
    assert len(found[0]) == 16
    assert set(found[0]) <= set("0123456789abcdef")


# --------------------------------------------------------------------------------------------------------- a study


def test_records_are_frozen():
    for record, name in ((ROW, "fold"), (Choice((1,)), "values"), (Strategy("s"), "name"), (Protocol(), "repeats")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, 1)


positive = st.floats(1e-300, 1e300, allow_subnormal=False)
ratios = st.floats(1e-9, 1.0)
cuts = st.floats(0.0, 1.0)
#: Words that Hydra's grammar reads as words.
bare = st.from_regex(r"[a-z][a-z_]{0,6}", fullmatch=True).filter(
    lambda w: w not in ("true", "false", "null", "nan", "inf")
)


def apart(found):
    """Values that are not one value: a space lists each once."""
    numbers = sorted(float(value) for value in found if not isinstance(value, str))
    texts = [value for value in found if isinstance(value, str)]
    return len(set(texts)) == len(texts) and all(b - a > 1e-11 for a, b in pairwise(numbers))


def choices(values):
    return st.lists(values, min_size=1, max_size=4, unique=True).filter(apart).map(lambda found: Choice(tuple(found)))


def intervals(low, high, **kinds):
    ends = st.lists(st.floats(low, high), min_size=2, max_size=2, unique=True).map(sorted)
    return st.builds(lambda pair, log: Interval(*pair, log=log), ends, st.booleans())


whole_ends = st.lists(st.integers(1, 99), min_size=2, max_size=2, unique=True).map(sorted)
whole = st.builds(lambda pair, log: Interval(*pair, log=log, integer=True), whole_ends, st.booleans())
spaces = {
    "ratio": choices(ratios) | intervals(1e-9, 1.0),
    "k": choices(st.integers(1, 99)) | whole,
    "weight": choices(positive | st.integers(1, 99) | st.just("balanced")) | intervals(1e-3, 1e6),
    "threshold": st.lists(cuts, min_size=1, max_size=4, unique=True)
    .filter(apart)
    .map(lambda found: Choice(tuple(sorted(found)))),
}
rules = st.one_of(
    cuts,
    st.just("tuned"),
    st.builds(lambda name, value: {name: value}, st.sampled_from(["alert_rate", "min_recall"]), st.floats(1e-9, 1.0)),
    st.builds(lambda fn, fp: {"cost": {"fn": fn, "fp": fp}}, st.floats(1, 1e6), st.integers(0, 9)),
)
SMOTE = {
    "_target_": "imblearn.over_sampling.SMOTE",
    "_mixed_": {"_target_": "imblearn.over_sampling.SMOTENC", "categorical_features": "$categorical"},
}


@st.composite
def strategies_of(draw, name):
    sampler = draw(st.sampled_from([None, SMOTE]))
    known = ["weight", "threshold"] if sampler is None else ["ratio", "k", "weight", "threshold"]
    searched = draw(st.lists(st.sampled_from(known), unique=True).map(lambda found: [k for k in known if k in found]))
    space = {knob: draw(spaces[knob]) for knob in ("ratio", "k", "weight", "threshold") if knob in searched}
    fixed = {
        "weight": st.none() | positive | st.just("balanced"),
        "ratio": st.none() | ratios,
        "k": st.none() | st.integers(1, 99),
    }
    held = {knob: draw(fixed[knob]) for knob in known if knob in fixed and knob not in space}
    return Strategy(name, sampler, threshold="tuned" if "threshold" in space else draw(rules), space=space, **held)


LEARNERS = {
    "logistic": (
        "sklearn.linear_model.LogisticRegression",
        {"max_iter": 2000},
        {"C": intervals(1e-3, 1e3), "l1_ratio": choices(cuts)},
    ),
    "forest": (
        "sklearn.ensemble.RandomForestClassifier",
        {},
        {"max_features": choices(bare | cuts), "bootstrap": choices(st.booleans())},
    ),
    "tree": (
        "sklearn.tree.DecisionTreeClassifier",
        {"max_depth": 3},
        {"max_leaf_nodes": choices(st.integers(2, 99)) | whole},
    ),
}
MEASURES = (
    Measure("mcc", "imblab.core.measures.mcc", "label", range=(-1, 1)),
    Measure("f2", "imblab.core.measures.f_beta", "label", True, (0, 1), "a book", {"beta": 2.0}),
    Measure("brier", "imblab.core.measures.brier", "probability", False, (0, None)),
)


@st.composite
def studies(draw):
    named = draw(st.lists(plain_names, min_size=1, max_size=3, unique=True))
    strategies = tuple(draw(strategies_of(name)) for name in named)
    learners = []
    for name in draw(st.lists(st.sampled_from(sorted(LEARNERS)), min_size=1, unique=True)):
        target, parameters, space = LEARNERS[name]
        learners.append(Learner(name, {"_target_": target, **parameters}, {n: draw(a) for n, a in space.items()}))
    tune = draw(st.booleans())
    walked = [a for s in strategies for a in s.space.values()]
    walked += [a for item in learners for a in item.space.values()] if tune else []
    drawn = any(isinstance(axis, Interval) for axis in walked) or draw(st.booleans())
    method = draw(st.sampled_from(["random", "qmc", "tpe"])) if drawn else "grid"
    pairs = st.permutations(named).map(lambda found: tuple(found[:2]))
    return Study(
        name=draw(plain_names),
        seed=draw(st.integers(0, 2**31)),
        datasets=draw(
            st.dictionaries(plain_names, st.fixed_dictionaries({"kind": words, "drop": st.lists(words)}), max_size=2)
        ),
        learners=tuple(learners),
        strategies=strategies,
        measures=MEASURES,
        protocol=draw(protocols),
        primary=draw(st.sampled_from([m.name for m in MEASURES])),
        tuning=Tuning(method, draw(st.integers(1, 99)) if method != "grid" else None, tune),
        claims=Claims(
            draw(st.none() | st.lists(pairs, max_size=2 * (len(named) > 1)).map(tuple)),
            draw(st.floats(1e-9, 0.49)),
            draw(st.dictionaries(st.sampled_from(["mcc", "f2"]), st.floats(0, 1))),
        ),
    )


protocols = st.builds(
    Protocol,
    st.integers(2, 20),
    st.integers(2, 20),
    st.integers(1, 20),
    st.sampled_from(["own", "shared"]),
    st.just("observed")
    | st.just(Protocol().thresholds)
    # Numbers within 1e-12 of each other are one value, which is listed once.
    | st.lists(cuts, min_size=1, unique=True)
    .map(lambda c: tuple(sorted(c)))
    .filter(lambda c: all(b - a > 1e-12 for a, b in pairwise(c))),
    st.sampled_from(["mcc", "f2"]),
    st.none() | st.sampled_from(["30D", "12h"]) | st.floats(0, 1e6),
)


@settings(max_examples=40)
@given(studies())
def test_a_study_comes_back_from_json_exactly(study):
    text = json.dumps(config.to_mapping(study), allow_nan=False)
    back = config.parse_study(json.loads(text))
    assert back == study
    assert repr(back) == repr(study)
    assert json.dumps(config.to_mapping(back)) == text


def test_a_mapping_that_is_no_study_is_refused():
    for raw in (None, [], "study", {}, {"name": "x"}, {"name": "x", "unknown": 1}):
        with pytest.raises(ConfigError):
            config.parse_study(raw)


@pytest.mark.parametrize("value", ["1", "true", "null", "a,b", "it's", "", "x)", "choice(1)"])
def test_words_that_look_like_something_else_come_back_as_words(value):
    learner = Learner("forest", {"_target_": LEARNERS["forest"][0]}, {"max_features": Choice((value, "sqrt"))})
    study = Study("x", 0, {}, (learner,), (Strategy("none"),), MEASURES)
    assert config.parse_study(json.loads(json.dumps(config.to_mapping(study)))) == study
