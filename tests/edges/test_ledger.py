"""The ledger: rows are written once, whole and durably, and answer one question that may only grow."""

import json
import os
import signal
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from imblab.analysis.claims import register_claims
from imblab.edges import config, ledger
from imblab.edges.ledger.record_files import read_evaluation, write_evaluation
from imblab.errors import ConfigError, StudyError
from imblab.result import Evaluation, Trial, search_address

DEMO = Path("experiments/demo")
COMMITTED = Path(__file__).parents[2] / "experiments"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def asked():
    """A real question, as the configuration makes it."""
    words = ["name=demo", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,smote]", "protocol=smoke"]
    return config.to_mapping(config.compose_request(words).study)


@pytest.fixture
def question(asked):
    return deepcopy(asked)


def row(fold=0, strategy="none", **changed):
    trials = (Trial({"k": 3}, 0.4, 0.5), Trial({"k": 5}, None, None, "failed", "ValueError: it\nbroke", (0.1, 0.2)))
    made = Evaluation(
        "ecoli3", "logistic", strategy, 0, fold, {"ratio": 0.1 + 0.2, "k": 5}, 0.37, {"mcc": 1 / 3, "f1": None},
        {"tn": 100, "fp": 1, "fn": 2, "tp": 3}, 1.25, "ok", None, f"address-{strategy}-{fold}", "data", "split",
        0.04, 0.3, 224, 106, {"sampler": "SMOTE", "negative": 66, "positive": 66}, 13, ("at the edge",), trials,
    )  # fmt: skip
    return replace(made, **changed)


def written(question, *rows):
    with ledger.open_study(DEMO, question) as book:
        for each in rows:
            book.append(each)
    return DEMO / ledger.LEDGER_FILE


def elsewhere(code, *args):
    """Another process in the same directory, on the same code."""
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)


# Rows


def test_a_row_comes_back_equal_and_takes_one_line(question):
    rows = [row(0), row(1, "smote"), row(2, error="two\nlines\u2028and ü", status="failed", scores={"mcc": None})]
    path = written(question, *rows)
    assert ledger.read_evaluations(DEMO) == rows
    text = path.read_bytes()
    assert text.endswith(b"\n")
    assert [json.loads(line)["fold"] for line in text.splitlines()] == [0, 1, 2]
    with ledger.open_study(DEMO, question) as book:
        assert book.evaluations == rows


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=50)
@given(FINITE, st.none() | FINITE, st.text(), st.dictionaries(st.text(), FINITE | st.integers() | st.text()))
def test_any_row_comes_back_bit_for_bit(cut, score, text, params):
    asked_for = row(threshold=cut, scores={"mcc": score}, error=text, notes=(text,), params=params)
    line = asked_for.to_json()
    assert "\n" not in line
    back = Evaluation.from_json(line)
    assert back == asked_for
    assert back.to_json() == line


def test_a_score_that_is_no_number_is_no_json(question):
    with ledger.open_study(DEMO, question) as book, pytest.raises(ValueError, match="not JSON compliant"):
        book.append(row(scores={"mcc": float("nan")}))
    assert ledger.read_evaluations(DEMO) == []


def test_the_disk_is_waited_for_once_a_second_and_at_the_end(question, monkeypatch):
    synced, now = [], iter([0.0, 0.5, 1.5, 1.5, 2.0, 2.4, 2.4])
    path = DEMO / ledger.LEDGER_FILE
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with ledger.open_study(DEMO, question) as book:
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(path.read_bytes().count(b"\n")))
        for fold in range(3):
            book.append(row(fold))
            assert (DEMO / ledger.LEDGER_FILE).read_bytes().count(b"\n") == fold + 1  # a killed process loses none
    assert synced == [2, 2, 3, 3]  # the searches, then the ledger


KILLED = """
import json, os, signal, sys
from pathlib import Path
from imblab.edges import ledger
from imblab.result import Evaluation
question, *lines = [json.loads(word) for word in sys.argv[1:]]
with ledger.open_study(Path("experiments/demo"), question) as book:
    for line in lines:
        book.append(Evaluation.from_json(json.dumps(line)))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_rows_and_no_lock_outlive_a_process_that_is_killed(question):
    rows = [row(0), row(1)]
    done = elsewhere(KILLED, json.dumps(question), *(each.to_json() for each in rows))
    assert done.returncode == -signal.SIGKILL
    with ledger.open_study(DEMO, question) as book:
        assert book.evaluations == rows


FULL = """
import json, resource, sys
from pathlib import Path
from imblab.edges import ledger
from imblab.errors import ConfigError, StudyError
from imblab.result import Evaluation
with ledger.open_study(Path("experiments/demo"), json.loads(sys.argv[1])) as book:
    size = Path("experiments/demo/ledger.jsonl").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        book.append(Evaluation.from_json(sys.argv[2]))
    except StudyError as error:
        print(error)
"""


@pytest.mark.parametrize("room", [0, 10])
def test_a_full_disk_stops_the_study_and_costs_no_earlier_row(question, room, snapshot):
    written(question, row(0))
    done = elsewhere(FULL, json.dumps(question), row(1).to_json(), str(room))
    assert done.returncode == 0, done.stderr
    assert done.stdout == snapshot
    with ledger.open_study(DEMO, question) as book:
        assert book.evaluations == [row(0)]
        book.append(row(1))
    assert ledger.read_evaluations(DEMO) == [row(0), row(1)]


@pytest.mark.parametrize("kept", [1, 2, 200, -2, -1])
def test_a_torn_last_line_is_cut_and_its_cell_answered_anew(question, kept):
    path = written(question, row(0), row(1), row(2))
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second + third[:kept])
    assert ledger.read_evaluations(DEMO) == [row(0), row(1)]
    with ledger.open_study(DEMO, question) as book:
        assert book.evaluations == [row(0), row(1)]
        assert path.read_bytes() == first + second
        book.append(row(2))
    assert path.read_bytes() == first + second + third


def test_a_ledger_that_holds_nothing_but_a_torn_line_is_empty(question):
    path = written(question, row(0))
    path.write_bytes(path.read_bytes()[:40])
    with ledger.open_study(DEMO, question) as book:
        assert book.evaluations == []
    assert path.read_bytes() == b""


def test_a_damaged_line_is_refused_with_its_number(question, snapshot):
    path = written(question, row(0), row(1), row(2))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:100] + b"\n" + lines[2])
    before = path.read_bytes()
    with pytest.raises(StudyError) as refusal, ledger.open_study(DEMO, question):
        pass
    assert str(refusal.value) == snapshot
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"5", b"[]", b"{}", b"\xff\xfe", b'{"dataset": "x"}', b'"text"', b"null"])
def test_whatever_is_no_row_is_a_damaged_line(question, damage):
    path = written(question, row(0), row(1))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + damage + b"\n" + lines[1])
    with pytest.raises(StudyError, match="damaged line 2"):
        ledger.read_evaluations(DEMO)


def test_two_answers_of_one_cell_are_refused_if_they_differ(question, snapshot):
    path = written(question, row(0), row(1))
    again = row(0, seconds=99.0)
    path.write_text(path.read_text() + write_evaluation(again) + "\n")
    assert ledger.read_evaluations(DEMO) == [row(0), row(1)]
    path.write_text(path.read_text() + write_evaluation(row(1, threshold=0.38)) + "\n")
    with pytest.raises(StudyError) as refusal:
        ledger.read_evaluations(DEMO)
    assert str(refusal.value) == snapshot


# Searches


def searches():
    path = DEMO / ledger.SEARCHES_FILE
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_trials_of_a_search_are_written_once_and_every_line_names_them(question):
    other = (Trial({"k": 7}, 0.1, 0.2, "ok", None, (0.3,), True),)
    rows = [row(0), row(1), row(2, trials=other), row(0, "smote", trials=(), status="inapplicable")]
    path = written(question, *rows)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all("trials" not in line for line in lines)
    first, second = (line["search"] for line in searches())
    assert [line.get("search") for line in lines] == [first, first, second, None]
    assert (first, second) == (search_address(row(0).trials), search_address(other))
    assert ledger.read_evaluations(DEMO) == rows
    with ledger.open_study(DEMO, question) as book:
        assert book.evaluations == rows
        book.append(row(1, "smote"))
    assert len(searches()) == 2


def test_evaluations_that_are_added_while_a_study_is_read_wait_for_the_next_reading(question, monkeypatch):
    other = (Trial({"k": 7}, 0.1, 0.2, "ok", None, (0.3,), True),)
    written(question, row(0))
    read_searches = ledger._read_searches

    def read_and_append(folder):
        found = read_searches(folder)
        monkeypatch.setattr(ledger, "_read_searches", read_searches)
        written(question, row(1, trials=other))  # a run goes on between the two files
        return found

    monkeypatch.setattr(ledger, "_read_searches", read_and_append)
    assert ledger.read_evaluations(DEMO) == [row(0)]
    assert ledger.read_evaluations(DEMO) == [row(0), row(1, trials=other)]


def test_lines_of_the_form_before_are_read_and_stay_and_new_ones_follow(question):
    path = written(question)
    old = json.loads(row(0).to_json()) | {"spared": 2}
    path.write_text(json.dumps(old) + "\n")
    assert ledger.read_evaluations(DEMO) == [row(0)]
    with ledger.open_study(DEMO, question) as book:
        assert book.evaluations == [row(0)]
        assert not (DEMO / ledger.SEARCHES_FILE).exists()
        book.append(row(1))
    first, second = path.read_text().splitlines()
    assert (json.loads(first), "search" in json.loads(second)) == (old, True)
    assert [line["search"] for line in searches()] == [search_address(row(1).trials)]
    assert ledger.read_evaluations(DEMO) == [row(0), row(1)]


@pytest.mark.parametrize("kept", [0, 1, 30, -2, -1])
def test_a_process_killed_between_a_search_and_its_evaluation_loses_neither(question, kept):
    path = written(question, row(0), row(1, trials=()))
    whole = [file.read_bytes() for file in (path, DEMO / ledger.SEARCHES_FILE)]
    lines = whole[0].splitlines(keepends=True)
    path.write_bytes(lines[1])
    (DEMO / ledger.SEARCHES_FILE).write_bytes(whole[1][:kept] if kept else whole[1])
    assert ledger.read_evaluations(DEMO) == [row(1, trials=())]
    with ledger.open_study(DEMO, question) as book:
        book.append(row(0))
    assert (DEMO / ledger.SEARCHES_FILE).read_bytes() == whole[1]
    assert path.read_bytes() == lines[1] + lines[0]


def test_a_search_that_is_missing_or_damaged_is_refused(question, snapshot):
    path = written(question, row(0), row(1, trials=(Trial({"k": 7}, 0.1, 0.2),)))
    file = DEMO / ledger.SEARCHES_FILE
    first, second = file.read_text().splitlines(keepends=True)
    refusals = []
    for text in (first, first + second.replace("0.1", "0.2"), first + "{}\n", None):
        file.write_text(text) if text is not None else file.unlink()
        before = path.read_bytes()
        for read in (ledger.read_evaluations, lambda folder: ledger.open_study(folder, question).__enter__()):
            with pytest.raises(StudyError) as refusal:
                read(DEMO)
        assert path.read_bytes() == before
        refusals.append(str(refusal.value))
    assert refusals == snapshot


def test_the_search_of_a_failed_evaluation_that_was_replaced_is_removed(question):
    written(question, row(0), lost(1, trials=(Trial({"k": 9}, None, None, "failed", "no"),)))
    with ledger.open_study(DEMO, question) as book:
        book.append(row(1))
        assert len(searches()) == 2
    assert [line["search"] for line in searches()] == [search_address(row(0).trials)]
    assert ledger.read_evaluations(DEMO) == [row(0), row(1)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["resample_or_not", "smote_ratio"])
def test_committed_ledgers_come_back_equal_in_lines_of_at_most_1200_bytes(name):
    rows = ledger.read_evaluations(COMMITTED / name)
    searches = {search_address(each.trials): each.trials for each in rows}
    for each in rows:
        line = write_evaluation(each)
        assert len(line.encode()) < 1200
        assert read_evaluation(line, None, searches) == each


# One writer

TRIED = """
import json, sys
from pathlib import Path
from imblab.edges import ledger
from imblab.errors import ConfigError, StudyError
try:
    with ledger.open_study(Path("experiments/demo"), json.loads(sys.argv[1]), overwrite=sys.argv[2] == "true"):
        print("open")
except StudyError as error:
    print(error)
"""


@pytest.mark.sampled(1)
@pytest.mark.parametrize("overwrite", ["false", "true"])
def test_a_second_process_is_refused_and_told_who_writes(question, overwrite):
    with ledger.open_study(DEMO, question) as book:
        book.append(row(0))
        done = elsewhere(TRIED, json.dumps(question), overwrite)
        assert f"study 'demo' is being run by process {os.getpid()};" in done.stdout, done.stderr
        assert "Wait for it" in done.stdout
    assert [p.name for p in DEMO.parent.glob("demo*")] == ["demo"]
    assert elsewhere(TRIED, json.dumps(question), "false").stdout == "open\n"
    assert ledger.read_evaluations(DEMO) == [row(0)]


def test_studies_of_other_names_are_open_to_others(question):
    with ledger.open_study(Path("experiments/other"), question):
        assert elsewhere(TRIED, json.dumps(question), "false").stdout == "open\n"


def test_a_place_where_no_folder_can_be_is_refused(question, snapshot):
    Path("experiments").write_text("a file")
    with pytest.raises(StudyError) as refusal:
        written(question, row(0))
    assert str(refusal.value) == snapshot


# Questions


def test_the_question_comes_back_as_it_was_asked(question):
    written(question)
    assert ledger.read_study(DEMO) == json.loads(json.dumps(question))
    assert config.to_mapping(config.parse_study(ledger.read_study(DEMO))) == question
    before = (DEMO / ledger.STUDY_FILE).stat().st_mtime_ns
    written(question)
    assert (DEMO / ledger.STUDY_FILE).stat().st_mtime_ns == before


def test_what_is_added_extends_the_question_and_what_is_left_out_stays(question):
    written(question, row(0))
    for section, name, like in (
        ("dataset", "ecoli_too", "ecoli3"),
        ("learner", "again", "logistic"),
        ("strategy", "smote_too", "smote"),
    ):
        other = deepcopy(question)
        other[section] = {name: other[section][like]}
        written(other)
        found = ledger.read_study(DEMO)
        assert list(found[section]) == [*question[section], name]
        assert found[section][name] == other[section][name]
    repeated = deepcopy(question)
    repeated["protocol"]["repeats"] = 4
    written(repeated)
    written(question)
    found = ledger.read_study(DEMO)
    assert found["protocol"]["repeats"] == 4
    assert {s: list(found[s]) for s in ledger.GROWING_SECTIONS} == {
        "dataset": ["ecoli3", "ecoli_too"],
        "learner": ["logistic", "again"],
        "strategy": ["none", "smote", "smote_too"],
    }
    assert {k: v for k, v in found.items() if k not in (*ledger.GROWING_SECTIONS, "protocol")} == {
        k: v for k, v in question.items() if k not in (*ledger.GROWING_SECTIONS, "protocol")
    }
    assert ledger.read_evaluations(DEMO) == [row(0)]


CHANGES = {
    "seed": lambda q: q.update(seed=1),
    "primary": lambda q: q.update(primary="f1"),
    "space": lambda q: q["strategy"]["smote"]["space"].update(k="choice(3,5,9)"),
    "fixed": lambda q: (q["strategy"]["smote"]["space"].pop("k"), q["strategy"]["smote"].update(k=5)),
    "thresholds": lambda q: q["protocol"].update(thresholds=[0.25, 0.5, 0.75]),
    "folds": lambda q: q["protocol"].update(outer_folds=5),
    "make": lambda q: q["learner"]["logistic"]["make"].update(C=0.5),
    "table": lambda q: q["dataset"]["ecoli3"].update(positive="negative", drop=["mcg"]),
    "measure": lambda q: q["measures"].pop("g_mean"),
    "claims": lambda q: q["claims"].update(alpha=0.1),
    "search": lambda q: q["search"].update(method="tpe", n_trials=9),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_question_is_refused_with_the_difference(question, change, snapshot):
    path = written(question, row(0))
    before = path.read_bytes(), (DEMO / ledger.STUDY_FILE).read_bytes()
    CHANGES[change](question)
    with pytest.raises(StudyError) as refusal, ledger.open_study(DEMO, question):
        pass
    assert str(refusal.value) == snapshot
    assert (path.read_bytes(), (DEMO / ledger.STUDY_FILE).read_bytes()) == before


@pytest.mark.parametrize("change", CHANGES)
def test_a_question_without_rows_may_still_be_changed(question, change):
    written(question)
    CHANGES[change](question)
    written(question)
    assert ledger.read_study(DEMO) == json.loads(json.dumps(question))


def test_many_differences_are_counted(question):
    written(question, row(0))
    for name in list(question["measures"])[1:]:
        question["measures"].pop(name)
    with pytest.raises(StudyError, match=r"and \d+ more\. Evaluations are never changed"):
        written(question)


def test_a_study_that_is_no_mapping_is_refused(question):
    written(question, row(0))
    (DEMO / ledger.STUDY_FILE).write_text("- a\n- b\n")
    with pytest.raises(StudyError, match=r"study\.yaml' is not a mapping"):
        written(question)


def test_overwrite_keeps_the_old_folders_aside(question):
    for seed in (0, 1, 2):
        question["seed"] = seed
        with ledger.open_study(DEMO, question, overwrite=True) as book:
            assert book.evaluations == []
            book.append(row(seed))
    folders = {p.name: p for p in DEMO.parent.glob("demo*")}
    assert sorted(folders) == ["demo", "demo~1", "demo~2"]
    for name, seed in (("demo~1", 0), ("demo~2", 1), ("demo", 2)):
        assert ledger.read_evaluations(folders[name]) == [row(seed)]
        assert yaml.safe_load((folders[name] / ledger.STUDY_FILE).read_text())["seed"] == seed


# Addresses


def test_rows_of_changed_data_are_refused(question, snapshot):
    written(question, row(0), row(1), row(2))
    addresses = {row(fold).key: row(fold).fingerprint for fold in range(3)}
    with ledger.open_study(DEMO, question) as book:
        book.check(ledger.Expected(addresses))
        book.check(ledger.Expected())
        moved = {row(1).key: "moved", row(2).key: "moved", "not/answered/yet/0/0": "new"}
        with pytest.raises(StudyError) as refusal:
            book.check(ledger.Expected({**addresses, **moved}))
    assert str(refusal.value) == snapshot


# Failed evaluations that are tried again


def lost(fold, **changes):
    return row(fold, error="ValueError: no", status="failed", scores={"mcc": None}, **changes)


def test_a_row_takes_the_place_of_a_failed_one(question):
    written(question, row(0), lost(1), row(2))
    with ledger.open_study(DEMO, question) as book:
        book.append(row(1))
        assert [r.status for r in ledger.read_evaluations(DEMO)] == [
            "ok"
        ] * 3  # also before the study is closed, and after a kill
        assert len((DEMO / ledger.LEDGER_FILE).read_bytes().splitlines()) == 4
    assert (DEMO / ledger.LEDGER_FILE).read_text().splitlines() == [write_evaluation(row(fold)) for fold in range(3)]


def test_what_a_killed_process_left_of_a_second_try_is_put_in_order(question):
    written(question, row(0), lost(1))
    with (DEMO / ledger.LEDGER_FILE).open("a") as stream:
        stream.write(write_evaluation(row(1)) + "\n" + write_evaluation(row(2))[:40])
    with ledger.open_study(DEMO, question) as book:
        assert book.evaluations == [row(0), row(1)]
    assert (DEMO / ledger.LEDGER_FILE).read_text().splitlines() == [write_evaluation(row(fold)) for fold in (0, 1)]


def test_only_a_failed_row_may_be_followed_by_another(question):
    written(question, row(0))
    for late in (lost(0), row(0, scores={"mcc": 0.1})):
        (DEMO / ledger.LEDGER_FILE).write_text("".join(f"{write_evaluation(r)}\n" for r in (row(0), late)))
        with pytest.raises(StudyError, match="answers the cell"):
            ledger.read_evaluations(DEMO)


def test_failed_rows_of_other_code_are_refused_unless_they_are_tried_again(question):
    written(question, row(0), lost(1))
    addresses = {row(0).key: row(0).fingerprint, row(1).key: "of the repaired class"}
    expected = ledger.Expected(
        addresses, {row(1).dataset: row(1).data_fingerprint}, {row(1).key: {"mypkg.Mine": "repaired"}}
    )
    with ledger.open_study(DEMO, question) as book:
        with pytest.raises(StudyError, match=r"other code of 'mypkg.Mine' made.*runner\.retry_failed=true"):
            book.check(expected)
        book.check(replace(expected, retry_failed=True))


# Names


def test_a_study_is_found_by_its_name(question):
    written(question)
    assert ledger.find_study("demo", Path("experiments")) == DEMO


def test_an_unknown_study_is_answered_with_the_known_ones(question, snapshot):
    with pytest.raises(StudyError) as nothing:
        ledger.find_study("demo", Path("experiments"))
    written(question)
    with ledger.open_study(DEMO, question, overwrite=True):
        pass
    with ledger.open_study(Path("experiments/churn"), question):
        pass
    Path("experiments/no_study").mkdir()
    with pytest.raises(StudyError) as some:
        ledger.find_study("dmeo", Path("experiments"))
    assert [str(nothing.value), str(some.value)] == snapshot


def test_a_difference_names_what_came_and_went():
    old = {"a": {"x": 1, "y": [1, 2]}, "b": None, "same": "text", "gone": {}}
    new = {"a": {"x": 1.5, "z": "new"}, "b": False, "same": "text"}
    assert ledger.question_differences(old, new) == [
        "a.x: 1 -> 1.5",
        "a.y: [1, 2] -> (absent)",
        "b: null -> false",
        "gone: {} -> (absent)",
        'a.z: (absent) -> "new"',
    ]
    assert ledger.question_differences(old, deepcopy(old)) == []


# Claims


@pytest.fixture
def registered(question):
    """The question with its claims on record, as a run opens a folder with it."""
    study = config.parse_study(question)
    return config.to_mapping(register_claims(study))


def test_claims_on_record_come_back_and_stay_whatever_is_claimed_later(registered):
    written(registered, row(0))
    assert config.to_mapping(config.parse_study(ledger.read_study(DEMO))) == registered
    later = deepcopy(registered)
    later["claims"] = {"contrasts": [["none", "smote"]], "alpha": 0.1, "rope": {"mcc": 0.05}}
    later["claims"]["registered"] = config.to_mapping(register_claims(config.parse_study(later)))["claims"][
        "registered"
    ]
    assert later["claims"]["registered"] != registered["claims"]["registered"]
    written(later, row(1))
    found = ledger.read_study(DEMO)["claims"]
    assert found["alpha"] == 0.1
    assert found["registered"] == registered["claims"]["registered"]
    assert ledger.read_evaluations(DEMO) == [row(0), row(1)]
    # Whoever claims the first again has it judged again.
    written(registered)
    assert ledger.read_study(DEMO) == json.loads(json.dumps(registered))


def test_before_the_first_row_the_record_follows_the_claims(registered):
    written(registered)
    later = deepcopy(registered)
    later["claims"] = {**later["claims"], "alpha": 0.1}
    later["claims"]["registered"] = {**later["claims"]["registered"], "alpha": 0.1}
    written(later)
    assert ledger.read_study(DEMO)["claims"]["registered"]["alpha"] == 0.1


@pytest.mark.parametrize("damage", [{"primary": "mcc"}, ["mcc"], {}])
def test_a_damaged_record_is_refused(registered, damage):
    registered["claims"]["registered"] = damage
    with pytest.raises(ConfigError, match=r"'claims\.registered[.a-z]*' is "):
        config.parse_study(registered)


def test_a_question_in_an_old_spelling_is_the_same_question(question):
    """``parent`` was called ``source``, and a description listed the keys that say nothing."""
    file = written(question, row())
    path = file.with_name(ledger.STUDY_FILE)
    old = yaml.safe_load(path.read_text())
    spec = old["dataset"]["ecoli3"]
    assert spec.pop("parent") == "ecoli"
    spec |= {"source": "ecoli", "name": None, "drop": [], "allow_majority_positive": False}
    path.write_text(yaml.safe_dump(old))
    with ledger.open_study(DEMO, question) as book:
        assert len(book.evaluations) == 1
    assert config.parse_study(ledger.read_study(DEMO)).datasets["ecoli3"]["parent"] == "ecoli"
    old["dataset"]["ecoli3"]["source"] = "yeast"
    path.write_text(yaml.safe_dump(old))
    with pytest.raises(StudyError, match=r"dataset\.ecoli3\.parent"), ledger.open_study(DEMO, question):
        pass


def test_code_that_differs_is_named():
    before, now = {"mypkg.A": "1", "mypkg.B": "1"}, {"mypkg.A": "2", "mypkg.B": "1"}
    assert ledger.differing_code(before, now) == ["mypkg.A"]
