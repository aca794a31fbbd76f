"""Workers that start ahead of the run that will use them: ready when it asks, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from imblab import cli
from imblab.cli.arguments import parse_arguments
from imblab.edges.runner import processes

SMALL = ["name=x", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke", "tracking=none"]
AHEAD = "import os, sys, warnings; warnings.simplefilter('error'); from imblab.edges.runner import processes; "


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def members(session):
    """Processes of a session that are alive, by their numbers."""
    alive = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, number = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended since
            continue
        alive |= {int(path.parent.name)} if int(number) == session and state != "Z" else set()
    return alive


def wait_until(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.02)
    assert condition()


def start(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "imblab", *words],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_run_asks_for_the_workers_that_were_started_ahead_and_gets_more():
    code = """
with processes.workers_ahead(2):
    assert 'sklearn' not in sys.modules
    early = set(processes.loky_executor(2)._processes)
    executor = processes.loky_executor(2)
    executor.submit(os.getpid).result()
    print(len(early), early <= set(executor._processes), len(executor._processes))
    assert executor.submit(eval, "'imblab.edges.runner.pools' in __import__('sys').modules").result()
"""
    cores = len(os.sched_getaffinity(0))
    first, is_kept, last = python(AHEAD + code)
    assert (is_kept, last) == ("True", "2")
    assert int(first) == 2 or cores == 1


def test_workers_that_no_run_asked_for_end_with_their_command():
    code = """
import time
with processes.workers_ahead(2):
    pid = processes._started_ahead[0].result()
    assert processes.process_is_alive(pid)
limit = time.monotonic() + 20
while processes.process_is_alive(pid) and time.monotonic() < limit:
    time.sleep(0.02)
print(processes.process_is_alive(pid))
"""
    assert python(AHEAD + code) == ["False"]


def test_nothing_starts_where_scikit_learn_is_imported_already(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", sys)
    monkeypatch.setattr(processes, "loky_executor", None)
    with processes.workers_ahead(2):
        assert not processes._started_ahead


@pytest.mark.parametrize(
    ("words", "n_jobs"),
    [
        (["run", *SMALL, "runner.n_jobs=3"], 3),
        (["run", *SMALL], 7),
        (["run", *SMALL, "++runner.n_jobs=3"], 3),
        (["run", *SMALL, "runner.n_jobs=null"], 7),
        (["run", *SMALL, "runner.n_jobs=1"], None),
        (["run", *SMALL, "runner=dask", "runner.n_jobs=3"], None),
        (["plan", *SMALL], None),
        (["list"], None),
        (["compare", "x"], None),
    ],
)
def test_only_a_run_of_several_jobs_starts_workers_ahead(monkeypatch, words, n_jobs):
    started = []
    monkeypatch.setattr(processes, "available_cores", lambda: 7)
    monkeypatch.setattr(processes, "workers_ahead", lambda n: started.append(n) or nullcontext())
    with cli._workers_ahead(parse_arguments(words)):
        assert started == ([n_jobs] if n_jobs else [])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a list of processes")
def test_a_study_that_cannot_be_composed_leaves_no_process_behind(tmp_path):
    process = start(tmp_path, "run", *SMALL, "learner=[logstic]", "runner.n_jobs=2")
    error = process.communicate(timeout=240)[1]
    assert process.returncode == 2
    assert "Did you mean 'logistic'?" in error
    assert "Traceback" not in error
    wait_until(lambda: not members(process.pid), 20)


@pytest.mark.sampled(1)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a list of processes")
@pytest.mark.parametrize("end", [lambda pid: os.kill(pid, signal.SIGKILL), lambda pid: os.killpg(pid, signal.SIGINT)])
def test_workers_that_are_still_starting_end_with_their_parent(tmp_path, end):
    """Killed alone, or ended together by Ctrl-C, of which workers say nothing."""
    process = start(tmp_path, "run", *SMALL, "runner.n_jobs=2")
    wait_until(lambda: len(members(process.pid)) > 1)
    time.sleep(1)
    end(process.pid)
    error = process.communicate(timeout=240)[1]
    assert "Traceback" not in error
    wait_until(lambda: not members(process.pid), 30)


SHARED = """
import imblab
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate

X, y = make_classification(200, weights=[0.8], random_state=0)

if __name__ == "__main__":
    study = imblab.compose("name=s", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    print(len(imblab.evaluate(study, n_jobs=2)))
    print(len(cross_validate(LogisticRegression(), X, y, n_jobs=2)["test_score"]))
    print(len(imblab.evaluate(study, n_jobs=2)))
    print(len(cross_validate(LogisticRegression(), X, y, n_jobs=2)["test_score"]))
    print(len(imblab.evaluate(study, n_jobs=2)))
"""


@pytest.mark.slow
def test_scikit_learn_runs_jobs_of_its_own_in_between(tmp_path):
    (tmp_path / "shared.py").write_text(SHARED, encoding="utf-8")
    done = subprocess.run([sys.executable, "shared.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["3", "5", "3", "5", "3"], done.stderr[-2000:]


def test_thread_pools_are_listed_while_another_thread_loads_libraries(tmp_path):
    # MLflow is imported in a thread while fits begin; before threadpoolctl 3.8 the two waited for each other.
    code = """
import _ctypes, ctypes, pathlib, shutil, sys, threading
from threadpoolctl import ThreadpoolController
import scipy.linalg

def load():
    for number in range(300):
        ctypes.PyDLL(shutil.copy(_ctypes.__file__, pathlib.Path(sys.argv[1]) / f"{number}.so"))

thread = threading.Thread(target=load)
thread.start()
listed = 0
while thread.is_alive():
    listed += len(ThreadpoolController().info()) > 0
print(listed)
"""
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) > 0


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_process_that_ends_while_it_is_looked_at_is_not_alive(monkeypatch, has_ended):
    """Its file goes between two looks; a system without such files has living processes all the same."""
    child = subprocess.Popen(["sleep", "60"])

    def gone(path, *_, **__):
        if has_ended:
            child.kill()
            child.wait()
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", gone)
    assert processes.process_is_alive(child.pid) is not has_ended
    monkeypatch.undo()
    child.kill()
    child.wait()
    assert not processes.process_is_alive(child.pid)
