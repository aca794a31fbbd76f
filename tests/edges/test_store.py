"""The prediction store: exact, shared by processes, bounded, and never half-written."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from imblab.core.fitting import Prediction
from imblab.edges.store import MAX_STORE_BYTES, SqliteStore, stored_bytes
from imblab.errors import StudyError
from imblab.study import fingerprint


@pytest.fixture
def store(tmp_path):
    found = SqliteStore(tmp_path / "mlruns" / "p.sqlite")
    yield found
    found.close()


def prediction(n=50, seed=0):
    p = np.random.default_rng(seed).random(n)
    p[:3] = [0.0, 5e-324, np.nextafter(1, 0)]
    return Prediction(p, seed % 2 == 0, {"sampler": "SMOTE", "positive": 3}, ("a note",))


def test_an_answer_comes_back_to_the_bit(store):
    given = prediction()
    store.put([("a", given)])
    found = store.get("a")
    assert found.values.tobytes() == given.values.tobytes()
    assert (found.is_probability, found.reached, found.notes) == (given.is_probability, given.reached, given.notes)
    assert store.get("b") is None


def test_the_rows_received_of_more_than_two_classes_come_back(store, tmp_path):
    given = Prediction(np.array([0.25, 0.5]), True, {"sampler": "SMOTE", "classes": (106, 12, 4)})
    store.put([("a", given)])
    store.close()
    with contextlib.closing(SqliteStore(tmp_path / "mlruns" / "p.sqlite")) as again:
        assert again.get("a").reached == given.reached


def test_predictions_of_several_classes_keep_their_columns(store, tmp_path):
    values = np.random.default_rng(0).random((5, 3))
    store.put([("a", Prediction(values, True, {"classes": (4, 2, 1)}))])
    np.testing.assert_array_equal(store.get("a").values, values)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "mlruns" / "p.sqlite")) as base, base:
        # 14 numbers are no rows of three
        base.execute("INSERT INTO answers SELECT 'b', substr(p, 1, 14 * 8), facts, made FROM answers")
    with contextlib.closing(SqliteStore(tmp_path / "mlruns" / "p.sqlite")) as again:
        np.testing.assert_array_equal(again.get("a").values, values)
        assert again.get("b") is None


def test_the_bytes_of_two_classes_say_nothing_of_columns(store, tmp_path):
    store.put([("a", Prediction(np.array([0.25, 0.5]), True, {"negative": 4, "positive": 3}))])
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "mlruns" / "p.sqlite")) as base:
        p, facts = base.execute("SELECT p, facts FROM answers").fetchone()
    assert p == np.array([0.25, 0.5], dtype="<f8").tobytes()
    assert facts == '{"calibrated": true, "reached": {"negative": 4, "positive": 3}, "notes": []}'


def test_a_failure_that_an_older_version_kept_is_no_answer(tmp_path):
    path = tmp_path / "p.sqlite"
    SqliteStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as base, base:
        base.execute("INSERT INTO answers VALUES ('a', NULL, ?, 0)", ['{"failed": "ValueError: no"}'])
    with contextlib.closing(SqliteStore(path)) as store:
        assert store.get("a") is None
        assert store.get_many(["a", "b"]) == {}
        store.put([("a", prediction())])
        assert store.get("a").values.tobytes() == prediction().values.tobytes()
    with contextlib.closing(SqliteStore(path)) as store:  # and in the database, not only in the journal
        assert store.get("a").values.tobytes() == prediction().values.tobytes()


def test_the_first_answer_stays(store):
    store.put([("a", prediction(seed=0))])
    store.put([("a", prediction(seed=1)), ("b", prediction(seed=1))])
    assert store.get("a").values.tobytes() == prediction(seed=0).values.tobytes()
    assert store.get("b").values.tobytes() == prediction(seed=1).values.tobytes()


def test_it_is_bounded_oldest_first(store):
    for i in range(300):
        store.put([(f"{i:04d}", prediction(2000, i))])
    before = store.facts()
    gone = store.prune(2 * 2**20)
    after = store.facts()
    assert before["predictions"] == gone + after["predictions"] == 300
    assert before["bytes"] > 2 * 2**20 >= after["bytes"]
    assert store.get("0000") is None
    assert store.get("0299").values.tobytes() == prediction(2000, 299).values.tobytes()
    assert store.prune(2 * 2**20) == 0
    assert store.prune(0) == after["predictions"]
    assert store.facts()["predictions"] == 0


@pytest.mark.parametrize("n_values", [(1030,), (1500,), (3000,), (100,), (100, 1030, 5000)])
def test_it_is_bounded_whatever_the_number_of_rows(store, n_values):
    """A page holds one prediction of 1,030 rows, and half of it stays empty."""
    n_predictions = 12_000_000 // (8 * max(n_values))
    store.put((f"{i:04d}", prediction(n_values[i % len(n_values)], i)) for i in range(n_predictions))
    store.flush()
    assert store.size() > 4 * 2**20
    assert store.prune(4 * 2**20) > 0
    assert 0.75 * 4 * 2**20 < store.size() <= 4 * 2**20
    # What fits is not rewritten.
    statements = []
    store._base.set_trace_callback(statements.append)
    assert store.prune(4 * 2**20) == 0
    assert not [each for each in statements if "VACUUM" in each or "FROM answers" in each]


def test_a_file_of_free_pages_shrinks_without_losing_a_prediction(store):
    for i in range(300):
        store.put([(f"{i:04d}", prediction(2000, i))])
    store.flush()
    store._base.execute("DELETE FROM answers WHERE address < '0270'")  # a process that was killed before it rewrote it
    assert store.size() > 2 * 2**20
    assert store.prune(2 * 2**20) == 0
    assert store.size() <= 2 * 2**20
    assert store.facts()["predictions"] == 30


@pytest.mark.parametrize("n_values", [40, 300, 1000, 1500, 2020, 2030, 2100, 5000])
def test_the_bytes_of_predictions_are_known_before(n_values, tmp_path):
    """Within a tenth, above and below the size at which a row has pages of its own."""
    path = tmp_path / "p.sqlite"
    with closing(SqliteStore(path)) as store:
        store.put((fingerprint(i), prediction(n_values, i)) for i in range(400))
    assert stored_bytes({n_values: 400}) == pytest.approx(path.stat().st_size, rel=0.1)


@pytest.fixture
def small_limit(monkeypatch):
    """A limit of 2 MB, and a disk with 10 GB free."""
    monkeypatch.setattr("imblab.edges.store.MAX_STORE_BYTES", 2 * 2**20)
    monkeypatch.setattr("imblab.edges.store.free_bytes", lambda path: 10 * 2**30)
    return 2 * 2**20


def fill(store, n=300):
    store.put((f"{i:04d}", prediction(2000, i)) for i in range(n))
    store.flush()


def test_without_more_need_the_limit_stays_and_the_oldest_go(store, small_limit):
    fill(store)
    assert store.raise_limit(small_limit // 2) == store.limit() == store.facts()["limit"] == small_limit
    assert store.prune() > 0
    assert store.size() <= small_limit


def test_the_limit_follows_a_study_and_stays(store, small_limit, tmp_path):
    fill(store)
    needed = store.size()
    limit = store.raise_limit(needed)
    assert 0.9 * limit >= needed > small_limit
    assert store.raise_limit(needed // 2) == store.limit() == limit
    store.close()
    with closing(SqliteStore(tmp_path / "mlruns" / "p.sqlite")) as again:
        assert again.prune() == 0
        assert again.facts()["limit"] >= limit
        # What is asked for by hand holds from then on, but never below the limit of every store.
        assert again.prune(needed // 2) > 0
        assert again.limit() == pytest.approx(max(needed // 2, small_limit), abs=2**20)
        again.prune(0)
        assert again.limit() == small_limit


def test_a_full_disk_bounds_the_limit(store, small_limit, monkeypatch):
    monkeypatch.setattr("imblab.edges.store.free_bytes", lambda path: 3 * 2**30)
    assert store.raise_limit(9 * 2**30) == pytest.approx(2 * 2**30, abs=2**20)
    monkeypatch.setattr("imblab.edges.store.free_bytes", lambda path: 0)
    assert store.raise_limit(9 * 2**30) == store.limit()


def test_a_merged_store_keeps_its_limit(store, small_limit, tmp_path):
    with closing(SqliteStore(tmp_path / "other.sqlite")) as other:
        other.put([("a", prediction())])
        limit = other.raise_limit(5 * 2**30)
    assert store.limit() == small_limit
    store.merge(tmp_path / "other.sqlite")
    assert store.limit() == pytest.approx(limit, abs=2**20)


def test_the_limit_of_every_store_is_four_gigabytes(store):
    assert store.limit() == store.facts()["limit"] == MAX_STORE_BYTES == 4 * 2**30


WRITER = """
import sys, numpy as np
from pathlib import Path
from imblab.core.fitting import Prediction
from imblab.edges.store import SqliteStore as Store
store, name = Store(Path(sys.argv[1])), sys.argv[2]
i = 0
while i < int(sys.argv[3]):
    store.put([(f"{name}-{i}", Prediction(np.full(200, i / 700), True, {}))])
    i += 1
    print(i, flush=True)
"""


def writer(path, name, n):
    command = [sys.executable, "-c", WRITER, str(path), name, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_many_processes_write_one_fresh_file(tmp_path):
    path = tmp_path / "p.sqlite"
    running = [writer(path, name, 150) for name in "abcd"]
    assert [process.communicate(timeout=120)[0].split()[-1] for process in running] == ["150"] * 4
    store = SqliteStore(path)
    assert store.facts()["predictions"] == 600
    assert all(store.get(f"{name}-149").values[0] == 149 / 700 for name in "abcd")
    store.close()


OPENER = """
import sys, time
from pathlib import Path
from imblab.edges.store import SqliteStore as Store
while time.time() < float(sys.argv[2]):
    pass
for i in range(40):
    Store(Path(sys.argv[1]) / f"{i}.sqlite").close()
"""


@pytest.mark.slow
def test_processes_that_open_fresh_files_at_the_same_moment_all_succeed(tmp_path):
    at = str(time.time() + 8)
    running = [subprocess.Popen([sys.executable, "-c", OPENER, str(tmp_path), at]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in running] == [0] * 3


def test_what_was_written_survives_the_death_of_the_writer(tmp_path):
    path = tmp_path / "p.sqlite"
    process = writer(path, "a", 10**6)
    for line in process.stdout:
        if int(line) >= 40:
            break
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    said = int(rest[-1]) if rest else 40
    store = SqliteStore(path)
    assert all(store.get(f"a-{i}") is not None for i in range(said))
    assert store._base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()


def spoil(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        for statement in statements:
            base.execute(statement)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("this is not a database, and long enough to be looked at" * 20),
        lambda path: path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4000),
        lambda path: spoil(path, "CREATE TABLE answers (address TEXT, p BLOB)"),
        lambda path: spoil(path, "CREATE VIEW answers AS SELECT 1 AS address"),
        lambda path: spoil(
            path,
            "CREATE TABLE answers (address TEXT PRIMARY KEY, p BLOB, facts TEXT, made REAL)",
            "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
        ),
    ],
    ids=["text", "header", "columns", "view", "trigger"],
)
def test_a_damaged_file_is_set_aside_and_a_fresh_one_is_made(damage, tmp_path, capsys):
    path = tmp_path / "p.sqlite"
    damage(path)
    before = path.read_bytes()
    with closing(SqliteStore(path)) as store:
        store.put([("a", prediction())])
        assert store.get("a").values.tolist() == prediction().values.tolist()
    said = capsys.readouterr().err
    assert "is damaged" in said
    assert "set aside as 'p.sqlite.damaged-1'" in said
    assert (tmp_path / "p.sqlite.damaged-1").read_bytes() == before
    with closing(SqliteStore(path)) as store:
        assert store.facts()["predictions"] == 1
    assert capsys.readouterr().err == ""


def test_the_database_of_something_else_is_refused_and_stays(tmp_path):
    path = tmp_path / "mlflow.db"
    spoil(path, "CREATE TABLE experiments (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StudyError, match=r"is the database of another program \(it holds experiments\)"):
        SqliteStore(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mlflow.db"]


FACTS = '{"calibrated": true, "reached": {"negative": 1}, "notes": []}'
GOOD = np.array([0.25, 0.5], dtype="<f8").tobytes()


@pytest.mark.parametrize(
    ("p", "facts"),
    [
        (GOOD[:-3], FACTS), (b"", FACTS), ("text", FACTS), (5, FACTS), (2.5, FACTS), (GOOD, None), (GOOD, b"{}"),
        (GOOD, 7), (GOOD, "{"), (GOOD, "[]"), (GOOD, "null"), (GOOD, "{}"), (GOOD, "[" * 100_000),
        (GOOD, FACTS.replace("true", "1")), (GOOD, FACTS.replace("[]", '"x"')), (GOOD, FACTS.replace("1}", "-1}")),
        (GOOD, FACTS.replace("1}", "NaN}")), (np.array([0.5, np.nan]).tobytes(), FACTS),
        (np.array([0.5, np.inf]).tobytes(), FACTS.replace("true", "false")), (np.array([1000.0]).tobytes(), FACTS),
        (np.array([-0.1]).tobytes(), FACTS),
    ],
)  # fmt: skip
def test_a_damaged_answer_is_none_and_gives_way_to_a_new_one(p, facts, tmp_path):
    path = tmp_path / "p.sqlite"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("INSERT INTO answers VALUES ('a', ?, ?, 1.0)", (p, facts))
        base.execute("INSERT INTO answers VALUES ('b', ?, ?, 'junk')", (GOOD, FACTS))
    with closing(SqliteStore(path)) as store:
        assert list(store.get_many(["a", "b"])) == ["b"]
        store.put([("a", prediction())])
        store.flush()
        assert store.get("a").values.tolist() == prediction().values.tolist()
        assert store.facts()["predictions"] == 2
        assert store.prune(0) == 2


def test_an_answer_to_another_number_of_rows_gives_way(store):
    store.put([("a", prediction(50))])
    store.flush()
    store.put([("a", prediction(60))])
    store.flush()
    assert len(store.get("a").values) == 60


def test_a_page_that_is_damaged_is_said_and_the_store_left_alone(tmp_path, capsys):
    path = tmp_path / "p.sqlite"
    with closing(SqliteStore(path)) as store:
        store.put([(f"a{i}", prediction(4000, i)) for i in range(40)])
    data = bytearray(path.read_bytes())
    data[16384 * 3 : 16384 * 12] = b"\xff" * (16384 * 9)
    path.write_bytes(bytes(data))
    with closing(SqliteStore(path)) as store:
        for i in range(40):
            store.get(f"a{i}")
        store.put([("new", prediction())])
        assert store.get_many([f"a{i}" for i in range(40)]).keys() <= {f"a{i}" for i in range(40)}
    assert capsys.readouterr().err.count("is damaged") <= 1


@pytest.mark.parametrize("junk", [b"\xff" * 200, b"\x10" + b"\x00" * 7 + b"\xff" * 16, b"", b"x" * 7])
def test_a_damaged_journal_gives_what_is_whole_and_goes(junk, tmp_path):
    path = tmp_path / "p.sqlite"
    (tmp_path / "p.sqlite.abc.journal").write_bytes(junk)
    with closing(SqliteStore(path)) as store:
        assert store.facts()["predictions"] == 0
    assert list(tmp_path.glob("*.journal")) == []


def test_a_full_disk_is_said_and_nothing_is_half_there(store):
    store.put([("a", prediction())])
    size = store._base.execute("PRAGMA page_count").fetchone()[0]
    store._base.execute(f"PRAGMA max_page_count={size + 1}")
    store.put([(f"b{i}", prediction(4000, i)) for i in range(20)])
    with pytest.raises(StudyError, match=r"cannot be written .*full.* Free the disk"):
        store.flush()
    assert store.get("a").values.tobytes() == prediction().values.tobytes()
    assert store.get("b7").values.tobytes() == prediction(4000, 7).values.tobytes()
    store._base.execute("PRAGMA max_page_count=1000000")
    assert store.facts()["predictions"] == 21


class Interrupted:
    """A database in which Ctrl-C comes between the rows of a transaction and its end."""

    def __init__(self, base):
        self._base = base

    def __getattr__(self, name):
        return getattr(self._base, name)

    def executemany(self, *words):
        self._base.executemany(*words)
        raise KeyboardInterrupt


def test_ctrl_c_within_a_transaction_stays_ctrl_c_and_loses_nothing(store, monkeypatch):
    store.put([("a", prediction())])
    with monkeypatch.context() as patch:
        patch.setattr(store, "_base", Interrupted(store._base))
        with pytest.raises(KeyboardInterrupt):
            store.flush()
    store.close()
    with closing(SqliteStore(store.path)) as again:
        assert again.get("a") is not None


def test_the_next_process_takes_over_what_a_dead_one_had_not_handed_in(tmp_path):
    path = tmp_path / "p.sqlite"
    process = writer(path, "a", 7)
    process.stdout.readline()
    process.wait()  # it ended without closing
    assert len(list(tmp_path.glob("*.journal"))) == 1
    store = SqliteStore(path)
    assert not list(tmp_path.glob("*.journal"))
    assert [store.get(f"a-{i}").values[0] for i in range(7)] == [i / 700 for i in range(7)]
    store.close()


def test_a_journal_that_was_cut_short_gives_what_is_whole(tmp_path):
    path = tmp_path / "p.sqlite"
    process = writer(path, "a", 7)
    process.wait()
    journal = next(tmp_path.glob("*.journal"))
    journal.write_bytes(journal.read_bytes()[:-100])
    store = SqliteStore(path)
    assert [store.get(f"a-{i}") is not None for i in range(7)] == [True] * 6 + [False]
    store.close()


def test_the_journal_of_a_living_process_is_left_alone(tmp_path):
    mine, other = SqliteStore(tmp_path / "p.sqlite"), None
    mine.put([("a", prediction())])
    other = SqliteStore(tmp_path / "p.sqlite")
    assert other.get("a") is None
    mine.flush()
    assert other.get("a").values.tobytes() == prediction().values.tobytes()
    other.close()
    mine.close()
    assert not list(tmp_path.glob("*.journal"))


def test_it_holds_answers_and_nothing_else(store):
    store.put([("a", prediction())])
    store.close()
    columns = [row[1] for row in sqlite3.connect(store.path).execute("PRAGMA table_info(answers)")]
    assert columns == ["address", "p", "facts", "made"]
    assert time.time() - store.path.stat().st_mtime < 60


def test_another_store_is_merged(tmp_path):
    first, second = (SqliteStore(tmp_path / name) for name in ("a.sqlite", "b.sqlite"))
    first.put([("x", Prediction(np.array([0.1]), True, {})), ("y", Prediction(np.array([0.2]), True, {}))])
    second.put([("y", Prediction(np.array([0.9]), True, {})), ("z", Prediction(np.array([0.3]), True, {}))])
    second.flush()
    second._base.execute("INSERT INTO answers VALUES ('bad', x'00', '{}', 1.0)")
    assert first.merge(second.path) == 1
    assert [first.get(a).values[0] for a in "xyz"] == [0.1, 0.2, 0.3]
    assert first.get("bad") is None
    assert first.merge(second.path) == 0
    first.close()
    second.close()


def test_the_database_of_another_program_is_not_merged(tmp_path):
    store, other = SqliteStore(tmp_path / "a.sqlite"), tmp_path / "b.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as base:
        base.execute("CREATE TABLE foo (x)")
    with pytest.raises(StudyError, match=r"b\.sqlite' is the database of another program .* Correct the path\.$"):
        store.merge(other)
    store.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_a_file_that_is_not_a_store_is_not_merged(tmp_path, content):
    store, other = SqliteStore(tmp_path / "a.sqlite"), tmp_path / "b.sqlite"
    if content is not None:
        other.write_bytes(content)
    with pytest.raises(StudyError, match="cannot be merged"):
        store.merge(other)
    store.close()
