"""Evaluations read from lines: a field is valid, or named with what it holds and the rule; nothing else is raised."""

import json
import re
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from imblab.analysis import summary
from imblab.commands import results
from imblab.edges import ledger
from imblab.edges.ledger import record_files
from imblab.errors import StudyError
from imblab.fields import FieldError, parse_json
from imblab.result import Evaluation, Trial, search_address
from imblab.study import Learner, Measure, Strategy, Study

RANGES = {"mcc": (-1, 1), "log_loss": (0, None)}
TRIALS = (
    Trial({"k": 3, "learner.C": 0.5, "weight": "balanced"}, 0.4, 0.5, "ok", None, (0.1, 0.2), True),
    Trial({"k": 5}, None, None, "failed", "it broke"),
)
ROW = Evaluation(
    "ecoli3", "logistic", "none", 0, 1, {"ratio": 0.5, "k": 3, "flag": True}, 0.37, {"mcc": 0.25, "log_loss": None},
    {"tn": 100, "fp": 1, "fn": 2, "tp": 3}, 1.25, "ok", None, "address", "data", "split", 0.04, 0.3, 224, 106,
    {"sampler": "SMOTE", "negative": 66, "positive": 66}, 13, ("at the edge",), TRIALS, "decision_value",
)  # fmt: skip
ODD = [
    None, True, False, 0, -1, 1, 7, 1.5, -0.5, 1000, 1e308, 10**30, -(10**400), "", "x", "ok", "junk", "5", "a/b",
    "\x1b[31m", "\ud800", [], [1], [[]], ["x"], [None], {}, {"a": 1}, {"a": {"b": []}}, {"tp": 1}, {"mcc": 0.5}, [{}],
    [{"params": {}}],
]  # fmt: skip


def places(value, here=()):
    """Every field of a row, at any depth."""
    if here:
        yield here
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*here, key))


def changed(where, value):
    line = deepcopy(PLAIN)
    place = line
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return line


PLAIN = json.loads(ROW.to_json())
STUDY = Study(
    "demo", 0, {"ecoli3": {}}, (Learner("logistic", {}),), (Strategy("none"), Strategy("threshold")),
    (Measure("mcc", "imblab.core.measures.mcc", "label"),),
)  # fmt: skip


def test_every_field_of_a_record_has_a_check():
    assert set(record_files.EVALUATION_CHECKS) == {f.name for f in fields(Evaluation)}
    assert set(record_files.TRIAL_CHECKS) == {f.name for f in fields(Trial)}


def test_a_row_comes_back_equal():
    assert record_files.read_evaluation(ROW.to_json(), RANGES) == ROW


def test_the_rows_received_of_more_than_two_classes_come_back_equal():
    row = replace(ROW, reached={"sampler": "SMOTE", "classes": (106, 12, 4)})
    assert record_files.read_evaluation(row.to_json(), RANGES) == row == Evaluation.from_json(row.to_json())
    assert (row.n_received, replace(row, reached={"negative": 9, "positive": 2}).n_received) == (122, 11)
    assert replace(row, reached={}).n_received == 0


@pytest.mark.sampled(12)
@pytest.mark.parametrize("where", list(places(PLAIN)), ids=lambda where: ".".join(map(str, where)))
def test_every_field_is_valid_or_named(where):
    for value in ODD:
        line = json.dumps(changed(where, value))
        rows, damaged = record_files.read_evaluation_lines([line.encode()], RANGES)
        if damaged:
            # Counts and the number of test rows are compared with one another.
            assert re.match(rf"field '({where[0]}\b|counts|n_test)[^;]*; ", damaged[1]), damaged
            damaged[1].encode()
            continue
        # What is accepted is valid: it reads again as it is, and everything that is made of rows can be made.
        assert record_files.read_evaluation(rows[1].to_json(), RANGES) == rows[1]
        results.as_text(results.result_of(STUDY, [rows[1]]), width=80).encode()
        assert len(summary.to_frame([rows[1]])) == 1


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("scores", "mcc"), 1000, "field 'scores.mcc' is 1000; it is a finite number from -1 to 1"),
        (("scores", "log_loss"), -1, "field 'scores.log_loss' is -1; it is a finite number, at least 0"),
        (("counts", "tp"), -3, "field 'counts.tp' is -3; it is a whole number from 0 to 1099511627776"),
        (("status",), "junk", "field 'status' is \"junk\"; it is one of ok, inapplicable, failed"),
        (("counts", "tp"), 4, "adds up to n_test, which is 106"),
        (("counts",), {"tp": 106}, "it has the keys tn, fp, fn, tp, or is empty"),
        (("seconds",), -1.0, "field 'seconds' is -1.0; it is a finite number from 0 to 1e+09"),
        (("repeat",), True, "field 'repeat' is true; it is a whole number"),
        (("repeat",), 10**400, "field 'repeat' is a whole number of 1329 bits; it is"),
        (("threshold",), "0.5", "field 'threshold' is \"0.5\"; it is a finite number"),
        (("trials",), {"a": 1}, "field 'trials' is {\"a\": 1}; it is a list"),
        (("trials", 0, "value"), [], "field 'trials[0].value' is []; it is a finite number"),
        (("trials", 0, "vaule"), 1, "field 'trials[0].vaule' is unknown; the fields are params, value"),
        (("reached",), {"positive": 5}, "it has the keys negative and positive, or classes, or is empty"),
        (("reached",), {"classes": [5, -1, 2]}, "field 'reached.classes[1]' is -1; it is a whole number from 0"),
        (("reached",), {"classes": 7}, "field 'reached.classes' is 7; it is a list"),
        (("dataset",), "../x", "it is a name, without '/' and control characters"),
        (("notes",), ["\ud800"], "field 'notes[0]' is \"\\ud800\"; it is a text without halves of characters"),
        (("scale",), "logit", "it is one of probability, decision_value"),
        (("novel",), 1, "a newer imblab may have written it"),
    ],
)
def test_what_is_wrong_is_said(where, value, said):
    with pytest.raises(FieldError) as refusal:
        record_files.read_evaluation(json.dumps(changed(where, value)), RANGES)
    assert said in str(refusal.value)


def test_a_field_that_is_missing_or_there_twice_is_named():
    line = {key: value for key, value in PLAIN.items() if key != "status"}
    with pytest.raises(FieldError, match="field 'status' is missing; every record has it"):
        record_files.read_evaluation(json.dumps(line))
    with pytest.raises(FieldError, match="field 'status' is there twice"):
        record_files.read_evaluation(f'{json.dumps(line)[:-1]}, "status": "ok", "status": "failed"}}')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_numbers_are_finite(number):
    with pytest.raises(FieldError, match="finite"):
        record_files.read_evaluation(ROW.to_json().replace("0.37", number))


def test_rounding_is_no_damage():
    line = ROW.to_json().replace('"mcc": 0.25', '"mcc": 1.0000000000000002')
    assert record_files.read_evaluation(line, RANGES).scores["mcc"] > 1


def test_costs_may_be_gains():
    measure = {"range": [0, None], "parameters": {"costs": {"fn": 10, "fp": 1, "tp": -5}}}
    assert record_files.measure_ranges({"measures": {"expected_cost": measure}}) == {"expected_cost": (None, None)}


@pytest.mark.parametrize(
    "question", [None, 5, [], {}, {"measures": 5}, {"measures": {"a": {"range": 5}}}, {"measures": {"a": 7}}]
)
def test_what_is_no_range_bounds_nothing(question):
    assert set(record_files.measure_ranges(question).values()) <= {(None, None)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(st.sampled_from(list(places(PLAIN))), JSON)
def test_any_json_in_any_field_is_a_field_error_or_valid(where, value):
    try:
        row = record_files.read_evaluation(json.dumps(changed(where, value)), RANGES)
    except FieldError:
        return
    assert record_files.read_evaluation(row.to_json(), RANGES) == row


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_damaged_line(line):
    rows, damaged = record_files.read_evaluation_lines([ROW.to_json().encode(), line.replace(b"\n", b"")])
    assert (list(rows), list(damaged)) == ([1], [2])


def test_deep_brackets_and_long_numbers_are_a_damaged_line():
    _, damaged = record_files.read_evaluation_lines([b"[" * 100_000, b'{"dataset": ' + b"9" * 5000 + b"}"])
    assert set(damaged) == {1, 2}
    assert all("it is not JSON" in said for said in damaged.values())


def test_plain_json_is_loaded_as_it_is():
    assert parse_json('{"a": [1, 2.5, null, true, "x"]}') == {"a": [1, 2.5, None, True, "x"]}


# In a folder


def written(folder, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    question = {"measures": {"mcc": {"range": [-1, 1], "parameters": {}}, "log_loss": {"range": [0, None]}}}
    (folder / ledger.STUDY_FILE).write_text(json.dumps(question))
    (folder / ledger.LEDGER_FILE).write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_all_damaged_lines_are_said_at_once_with_the_command_that_removes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = [changed(("fold",), 2), changed(("scores", "mcc"), 2), changed(("status",), "well"), changed(("fold",), None)]
    folder = written(Path("experiments/my study"), *map(json.dumps, odd))
    with pytest.raises(StudyError) as refusal:
        ledger.read_evaluations(folder)
    assert str(refusal.value) == (
        "'experiments/my study/ledger.jsonl' has 3 damaged lines: line 2, field 'scores.mcc' is 2; it is a finite "
        "number from -1 to 1; line 3, field 'status' is \"well\"; it is one of ok, inapplicable, failed; line 4, field "
        "'fold' is null; it is a whole number from 0 to 32767. Every field of every line is checked. Remove the lines, "
        "which sed -i '2d;3d;4d' 'experiments/my study/ledger.jsonl' does, and run again: imblab run 'experiments/my "
        "study/study.yaml'."
    )


def test_many_damaged_lines_are_counted(tmp_path):
    folder = written(tmp_path / "many", *["{}"] * 50)
    with pytest.raises(StudyError, match=r"has 50 damaged lines: line 1, .* and 45 more lines\. .* Restore the file"):
        ledger.read_evaluations(folder)


def test_what_cannot_be_read_again_is_not_written(tmp_path):
    question = {"measures": {"mine": {"range": [0, 1], "parameters": {}}}, "claims": {}, "protocol": {"repeats": 1}}
    question |= {key: {} for key in ledger.GROWING_SECTIONS}
    with (
        ledger.open_study(tmp_path / "own", question) as book,
        pytest.raises(StudyError, match=r"cannot be kept: field 'scores.mine' is 1.5; .*measures.<name>.range="),
    ):
        book.append(replace(ROW, scores={"mine": 1.5}))
    assert ledger.read_evaluations(tmp_path / "own") == []


def test_equal_parts_of_lines_are_one_object():
    """Thousands of evaluations hold a few hundred different params, counts of rows and notes."""
    rows = [ROW, replace(ROW, fold=2), replace(ROW, fold=3, params={"ratio": 0.5, "k": 3.0, "flag": True})]
    read, damaged = record_files.read_evaluation_lines(row.to_json().encode() for row in rows)
    assert (list(read.values()), damaged) == (rows, {})
    first, second, third = read.values()
    for name in ("params", "reached", "notes"):
        assert getattr(first, name) is getattr(second, name)
    assert first.trials[0].params is second.trials[0].params
    assert [type(each.params["k"]) for each in (first, third)] == [int, float]


def test_more_different_parts_than_are_remembered_are_read(monkeypatch):
    monkeypatch.setattr(record_files, "MAX_SHARED_PARTS", 2)
    rows = [replace(ROW, fold=fold, params={"k": fold}) for fold in range(5)]
    read, _ = record_files.read_evaluation_lines(row.to_json().encode() for row in rows)
    assert list(read.values()) == rows


CLASS_RANGES = record_files.measure_ranges(
    {
        "measures": {
            "mcc": {"function": "imblab.core.measures.mcc", "range": [-1, 1]},
            "recall": {"function": "imblab.core.measures.recall", "range": [0, 1]},
            "brier": {"function": "imblab.core.measures.brier", "range": [0, 1]},
            "accuracy_baseline": {"function": "imblab.core.measures.accuracy_baseline", "range": [0.5, 1]},
        }
    }
)
CLASS_ROW = replace(
    ROW,
    threshold=(0.5, 0.37, 0.02),
    scores={"mcc": 0.25, "recall": None, "brier": 1.25, "accuracy_baseline": 0.4},
    counts={},
    flagged=None,
    reached={"classes": (90, 30, 4)},
    class_scores={"recall": (1.0, 0.5, None)},
    confusion=((40, 2, 0), (3, 37, 0), (20, 2, 2)),
    trials=(replace(TRIALS[0], threshold=(0.5, 0.37, 0.02), fold_thresholds=()), TRIALS[1]),
)


def test_a_row_of_more_than_two_classes_comes_back_equal():
    line = record_files.write_evaluation(CLASS_ROW)
    address = search_address(CLASS_ROW.trials)
    assert record_files.read_evaluation(line, CLASS_RANGES, {address: CLASS_ROW.trials}) == CLASS_ROW
    assert Evaluation.from_json(CLASS_ROW.to_json()) == CLASS_ROW
    search = record_files.write_search(CLASS_ROW.trials)
    assert record_files.read_search(search) == (address, CLASS_ROW.trials)


def test_a_row_of_two_classes_says_nothing_of_classes():
    for line in (record_files.write_evaluation(ROW), ROW.to_json()):
        assert not {"class_scores", "confusion"} & json.loads(line).keys()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"confusion": [[40, 2], [3, 61]]}, "confusion"),
        ({"confusion": [[40, 2, 0], [3, 37, 0], [20, 2, 1]]}, "confusion"),
        ({"confusion": [[40, 2, 0], [3, 37, 0], [20, 4]]}, "confusion"),
        ({"confusion": [[40, 2, 0], [3, 37, 0], [20, 2, -2]]}, "confusion"),
        ({"counts": {"tn": 100, "fp": 1, "fn": 2, "tp": 3}}, "counts"),
        ({"threshold": [0.5, 0.37]}, "threshold"),
        ({"threshold": 0.5}, "threshold"),
        ({"threshold": [0.5, 0.37, 1.5]}, "threshold"),
        ({"class_scores": {"recall": [1.0, 0.5]}}, "class_scores.recall"),
        ({"class_scores": {"recall": [1.0, 0.5, 1.5]}}, "scores.recall"),
        ({"class_scores": {"other": [1.0, 0.5, 0.5]}}, "scores.other"),
        ({"scores": {"brier": 2.5}}, "scores.brier"),
        ({"confusion": [], "class_scores": {}, "scores": {"brier": 1.25}}, "scores.brier"),
    ],
    ids=str,
)
def test_a_row_of_more_than_two_classes_agrees_with_itself(change, field):
    line = json.dumps({**json.loads(CLASS_ROW.to_json()), **change})
    with pytest.raises(FieldError, match=f"field '{field}"):
        record_files.read_evaluation(line, CLASS_RANGES)


@pytest.mark.sampled(28)
@pytest.mark.parametrize(
    "where", list(places(json.loads(CLASS_ROW.to_json()))), ids=lambda where: ".".join(map(str, where))
)
def test_every_field_of_a_row_of_several_classes_is_valid_or_named(where):
    for value in ODD:
        line = json.loads(CLASS_ROW.to_json())
        place = line
        for key in where[:-1]:
            place = place[key]
        place[where[-1]] = value
        rows, damaged = record_files.read_evaluation_lines([json.dumps(line).encode()], CLASS_RANGES)
        if damaged:
            assert re.match(r"field '[a-z]", damaged[1]), damaged
            continue
        assert record_files.read_evaluation(rows[1].to_json(), CLASS_RANGES) == rows[1]
        assert len(summary.to_frame([rows[1]])) == 1
