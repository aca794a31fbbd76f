"""Nothing lost: however a study is ended, the same command continues it and the ledger is that of one quiet run."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

PACKAGE = '''
import hashlib, os, time
import numpy as np
from sklearn.linear_model import LogisticRegression


class Noted(LogisticRegression):
    """Writes a line when a fit and its answer are done."""

    def fit(self, X, y, sample_weight=None):
        time.sleep(0.01)
        digest = hashlib.sha256(np.ascontiguousarray(X).tobytes() + y.tobytes())
        digest.update(b"" if sample_weight is None else sample_weight.tobytes())
        self.known_ = digest.hexdigest()[:16]
        return super().fit(X, y, sample_weight)

    def predict_proba(self, X):
        answer = super().predict_proba(X)
        line = f"{os.getpid()} {self.known_} {len(X)}\\n".encode()
        file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line)
        os.close(file)
        return answer
'''


def prepare(folder):
    """Write the learner that notes its fits, and its group."""
    (folder / "mine").mkdir()
    (folder / "mine" / "__init__.py").write_text(PACKAGE)
    (folder / "conf" / "learner").mkdir(parents=True)
    (folder / "conf" / "learner" / "noted.yaml").write_text(
        "noted:\n  make: {_target_: mine.Noted, max_iter: 2000}\n  space: {}\n"
    )
    return folder


@pytest.fixture
def place(tmp_path):
    return prepare(tmp_path)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The rows of a study that nothing disturbed."""
    place = prepare(tmp_path_factory.mktemp("quiet"))
    assert finish(place, "quiet")[0] == 0
    return ledger(place, "quiet")


def start(place, name, n_jobs, limit=None):
    folder = place / name
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "imblab", "run", f"name={name}", "dataset=[ecoli3]", "learner=[noted]"]
    command += [
        "protocol.outer_folds=4",
        "tracking=none",
        f"runner.n_jobs={n_jobs}",
        "--config-dir",
        str(place / "conf"),
    ]
    command += ["allow=[sklearn,imblearn,imblab,mine]"]
    path = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path, "NOTES": str(folder / "notes"), "TMPDIR": str(folder)}

    def ahead():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs this in the background ignores it
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=ahead
    )


def finish(place, name, n_jobs=1, limit=None):
    process = start(place, name, n_jobs, limit)
    said = process.communicate(timeout=240)[0]
    return process.returncode, said


def ledger(place, name):
    lines = (place / name / "experiments" / name / "ledger.jsonl").read_text().splitlines()
    rows = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    return sorted(rows, key=lambda r: (r["strategy"], r["fold"]))


def notes(place, name):
    path = place / name / "notes"
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def repeated(found):
    """Fits that were made again though an earlier answer was not the last thing its process did.

    The answer that a process gives as it dies may not have been kept; whatever came before it was.
    """
    last = {pid: i for i, (pid, *_) in enumerate(found)}
    again = {(fit, rows): i for i, (_, fit, rows) in enumerate(found)}
    kept = [(fit, rows) for i, (pid, fit, rows) in enumerate(found) if last[pid] != i and again[fit, rows] != i]
    return Counter(kept)


def test_what_counts_as_a_fit_made_again():
    cut_off = [("1", "a", "9"), ("2", "b", "9"), ("2", "a", "9"), ("2", "c", "9")]
    assert not repeated(cut_off)  # 1 died with its answer
    kept = [("1", "a", "9"), ("1", "b", "9"), ("2", "a", "9")]
    assert repeated(kept) == {("a", "9"): 1}


@pytest.mark.slow
def test_a_study_killed_at_twenty_random_moments_equals_a_quiet_one(place, quiet):
    rng, kills = random.Random(7), 0
    for n_jobs, wanted in ((1, 8), (2, 22)):
        name = f"killed{n_jobs}"
        while kills < wanted:
            before = len(notes(place, name))
            process = start(place, name, n_jobs)
            patience = time.monotonic() + 60
            # From the moment the first new fit is there, a random while.
            while len(notes(place, name)) == before and process.poll() is None and time.monotonic() < patience:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.25))
            if process.poll() is not None:  # it finished before it was killed: start over under another name
                process.communicate()
                assert ledger(place, name) == quiet
                assert not repeated(notes(place, name))
                name += "x"
                continue
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            time.sleep(0.5)  # its workers follow
        code, said = finish(place, name, n_jobs)
        assert code == 0, said
        assert ledger(place, name) == quiet
        assert not repeated(notes(place, name))
    assert kills == 22


@pytest.mark.slow
def test_a_killed_study_leaves_no_table_behind(place):
    process = start(place, "gone", 2)
    folder = place / "gone"
    while process.poll() is None and not list(folder.glob("imblab-run-*/status-*")):
        time.sleep(0.01)
    assert process.poll() is None
    process.kill()
    process.communicate()
    left = [p for p in folder.glob("imblab-*/**/*") if p.is_file() and p.stat().st_size > 100]
    assert not left
    assert finish(place, "gone", 2)[0] == 0
    assert not list(folder.glob("imblab-*"))


@pytest.mark.slow
def test_killed_workers_cost_nothing(place, quiet):
    process = start(place, "widowed", 2)
    killed = 0
    # The second death comes when the jobs of the first are done: a job that loses its worker twice is suspect.
    for enough in (10, 100):
        while len(notes(place, "widowed")) < enough and process.poll() is None:
            time.sleep(0.01)
        found = notes(place, "widowed")
        if process.poll() is None and found:
            os.kill(int(found[-1][0]), signal.SIGKILL)
            killed += 1
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    assert killed >= 1
    assert ledger(place, "widowed") == quiet
    assert not repeated(notes(place, "widowed"))


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_next_run_goes_on(place, quiet):
    for limit in (20_000, 45_000, 90_000):
        code, said = finish(place, "full", limit=limit)
        assert code == 2, said
        assert "Traceback" not in said
        assert "make room" in said.lower() or "free the disk" in said.lower()
    code, said = finish(place, "full")
    assert code == 0, said
    assert ledger(place, "full") == quiet


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_answered(place):
    process = start(place, "stopped", 1)
    while len(notes(place, "stopped")) < 5 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert "run the same command again" in said
    assert finish(place, "stopped")[0] == 0
    found = notes(place, "stopped")
    assert not repeated(found)
    rows = ledger(place, "stopped")
    assert len(rows) == 20
    assert {row["status"] for row in rows} == {"ok"}
