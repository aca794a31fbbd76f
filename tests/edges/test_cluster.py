"""Dask's workers: what becomes of a study when processes are killed, versions differ or tables are far away."""

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

import imblab
from imblab.cli import main
from imblab.core import splits
from imblab.edges import ledger, runner
from imblab.edges.runner import cluster, dask_worker
from imblab.edges.store import SqliteStore
from imblab.errors import ConfigError, StudyError

pytest.importorskip("distributed")
HERE = os.path.dirname(__file__)
sys.path.append(HERE)

import test_engines_contract as contract  # noqa: E402
import test_runner as failing  # noqa: E402
from test_engines_contract import Dask  # noqa: E402

SLOW = pytest.mark.slow


@contextlib.contextmanager
def started(folder):
    made = Dask(folder)
    try:
        made.wait()
        yield made
    finally:
        made.stop()


@pytest.fixture
def dask(tmp_path):
    """A cluster of one test, which may damage it."""
    with started(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def kept_dask(tmp_path_factory):
    """A cluster of all tests that leave its scheduler, its nannies and their number as they are."""
    with started(tmp_path_factory.mktemp("dask")) as made:
        yield made


@pytest.fixture
def opener(tmp_path):
    return functools.partial(SqliteStore, tmp_path / "p.sqlite")


def slowed(seconds):
    """Rows of a learner that takes its time, so that there is a moment to kill something."""
    learner = contract.Learner("slow", {"_target_": "test_cluster.Slow", "seconds": seconds})
    return contract.ask([learner], contract.STRATEGIES[:4], outer_folds=3)


class Slow(contract.LogisticRegression):
    """Waits before it learns."""

    def __init__(self, seconds=0.0):
        super().__init__(max_iter=2000)
        self.seconds = seconds

    def fit(self, X, y, sample_weight=None):
        time.sleep(self.seconds)
        return super().fit(X, y, sample_weight)


def kill(*pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@SLOW
@pytest.mark.parametrize("victim", ["worker", "nanny"])
def test_a_killed_worker_or_nanny_costs_nothing_but_time(dask, opener, victim):
    question, data = slowed(0.05), contract.table()
    expected, _ = contract.answers(slowed(0.05), data, runner.Engine(1))
    nanny = dask.processes[1]

    def strike():
        children = psutil.Process(nanny.pid).children(recursive=True)
        children = [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
        kill(*(child.pid for child in children if victim == "worker"), *([nanny.pid] if victim == "nanny" else ()))

    timers = [threading.Timer(seconds, strike) for seconds in (1.0, *((6.0,) if victim == "worker" else ()))]
    dask.ready(2)
    for timer in timers:
        timer.start()
    try:
        rows, _ = contract.answers(question, data, dask.engine(opener))
    finally:
        for timer in timers:
            timer.cancel()
    assert rows == expected


@SLOW
def test_a_lost_scheduler_is_said_and_the_same_run_continues(dask, opener):
    question, data, rows = slowed(0.05), contract.table(), []
    plans = {"toy": splits.plan(data, question.protocol, question.seed)}
    bundles = runner.make_bundles(question, plans, contract.design.expand_cells(question, plans))

    def stop_it(row):
        rows.append(row)
        kill(dask.scheduler.pid)

    with pytest.raises(StudyError, match=r"connection to the Dask scheduler .* was lost; .* safe\. Start .* again"):
        runner.run({"toy": data}, bundles, dask.engine(opener), [stop_it])
    assert rows
    dask.file.unlink()
    dask.start_scheduler()
    dask.start_worker(5)
    dask.wait()
    again, counts = contract.answers(question, data, dask.engine(opener))
    expected, alone = contract.answers(question, data, runner.Engine(1))
    assert again == expected
    assert counts.fitted < alone.fitted


@SLOW
def test_workers_that_all_end_stop_the_run_after_a_while(dask, opener, monkeypatch):
    monkeypatch.setattr(cluster, "MAX_IDLE_SECONDS", 1)
    question, data, rows = slowed(0.05), contract.table(), []
    plans = {"toy": splits.plan(data, question.protocol, question.seed)}
    bundles = runner.make_bundles(question, plans, contract.design.expand_cells(question, plans))
    dask.ready(1)  # workers that take longer than MAX_IDLE_SECONDS to come would stop the run before its first row

    def end_workers(row):
        rows.append(row)
        for process in dask.processes[1:]:
            kill(process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True)))

    with pytest.raises(StudyError, match=r"has had 0 workers for 1 s; .* safe\. Start workers"):
        runner.run({"toy": data}, bundles, dask.engine(opener), [end_workers])
    assert rows


@SLOW
@pytest.mark.parametrize("way", ["die", "wait", "block"])
def test_a_fit_that_kills_or_hangs_is_a_failed_candidate(kept_dask, opener, way, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    smote = contract.Strategy("smote", contract.SMOTE, space={"ratio": contract.Choice((0.4, 1.0))}, k=3)
    question = failing.study([failing.awkward(way)], [contract.Strategy("none"), smote], outer_folds=2)
    limit = None if way == "die" else 1.0
    rows, _ = failing.answered(question, failing.toy(), kept_dask.engine(opener, limit))
    assert {row.status for row in rows.values()} == {"ok"}
    reasons = failing.bad_rows(rows)
    assert len(reasons) == 2
    expected = "the worker process died in this fit" if way == "die" else "took longer than runner.fit_timeout=1 s"
    assert all(expected in reason for reason in reasons)


@SLOW
def test_local_workers_outlive_the_fits_that_kill_them(opener, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    smote = contract.Strategy("smote", contract.SMOTE, space={"ratio": contract.Choice((0.4, 0.9, 1.0))}, k=3)
    question = failing.study([failing.awkward("die")], [contract.Strategy("none"), smote], outer_folds=2)
    rows, _ = failing.answered(question, failing.toy(), runner.Engine(1, opener, cluster=runner.Cluster()))
    assert {row.status for row in rows.values()} == {"ok"}
    reasons = failing.bad_rows(rows)
    assert len(reasons) == 2 * 2
    assert all("the worker process died in this fit" in reason for reason in reasons)


@SLOW
def test_a_table_travels_once_to_each_host_and_is_kept_there(kept_dask, tmp_path):
    kept_dask.ready(2)

    def tables():
        return sorted(kept_dask.folder.glob("host*/**/*.joblib"))

    # The table of no other test here.
    question, data = contract.QUESTIONS["shared"]
    expected, _ = contract.expected("shared")
    others = tables()
    rows, _ = contract.answers(question, data, kept_dask.engine())
    sent = [path for path in tables() if path not in others]
    assert {path.relative_to(kept_dask.folder).parts[0] for path in sent} == {"host0", "host1"}
    before = [path.stat().st_ino for path in tables()]
    again, _ = contract.answers(question, data, kept_dask.engine())
    assert [path.stat().st_ino for path in tables()] == before
    shared = tmp_path / "shared"
    shared.mkdir()
    from_shared, _ = contract.answers(question, data, kept_dask.engine(shared=str(shared)))
    assert len([*shared.glob("**/*.joblib")]) == 1
    assert rows == again == from_shared == expected
    # The folder may be read-only for workers.
    (table,) = shared.glob("**/*.joblib")
    os.utime(table, (1, 1))
    contract.answers(question, data, kept_dask.engine(shared=str(shared)))
    assert table.stat().st_mtime == 1


class Host:
    """A host of its own on this machine: network, host name and mounts, by namespaces of the kernel."""

    def __init__(self, name, folder):
        self.folder, self.processes = folder / name, []
        self.folder.mkdir()
        self.holder = subprocess.Popen(["unshare", "--net", "--uts", "--mount", "sleep", "600"])
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            assert self.holder.poll() is None
            time.sleep(0.01)
        self.call("hostname", name)
        self.call("ip", "link", "set", "lo", "up")

    def words(self, *words):
        return ["nsenter", "--target", str(self.holder.pid), "--net", "--uts", "--mount", "--", *words]

    def call(self, *words):
        subprocess.run(self.words(*words), check=True, capture_output=True)

    def start(self, *words):
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(Path(runner.__file__).parents[3]), *filter(None, sys.path)])
        }
        command = self.words("env", "-C", str(self.folder), sys.executable, "-m", *words)
        with open(self.folder / f"log{len(self.processes)}", "wb") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self):
        for process in self.processes:
            running = process.poll() is None
            kill(*(child.pid for child in psutil.Process(process.pid).children(recursive=True)) if running else ())
            process.kill()
            process.wait()
        kill(self.holder.pid)
        self.holder.wait()


@pytest.fixture
def two_hosts(tmp_path):
    """Two hosts that reach each other by a cable, 10.77.0.1 and 10.77.0.2, and see no file of each other."""
    tools = all(shutil.which(name) for name in ("unshare", "nsenter", "ip", "hostname", "mount"))
    if not tools or subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine does not allow namespaces")
    hosts = [Host(name, tmp_path) for name in ("one", "two")]
    try:
        one, two = hosts
        one.call("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(two.holder.pid))
        for number, host, other in ((1, one, two), (2, two, one)):
            host.call("ip", "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
            host.call("ip", "link", "set", "cable", "up")
            host.call("mount", "-t", "tmpfs", "tmpfs", str(other.folder))
        yield hosts
    finally:
        for host in hosts:
            host.stop()


@SLOW
def test_two_hosts_give_the_rows_of_one_process(two_hosts, tmp_path):
    one, two = two_hosts
    closed = ("--dashboard-address", "127.0.0.1:0")
    one.start("dask", "scheduler", "--host", "10.77.0.1", "--port", "8786", *closed)
    for number, host in enumerate(two_hosts, 1):
        home = str(host.folder / "scratch")
        words = ("tcp://10.77.0.1:8786", "--nthreads", "1", "--host", f"10.77.0.{number}", "--local-directory", home)
        host.start("dask", "worker", *words, *closed)
    study = ["imblab", "run", "dataset=[ecoli3]", "learner=[logistic]", "protocol=smoke", "tracking=none"]
    alone = one.start(*study, "name=alone", "runner.n_jobs=1")
    assert alone.wait(timeout=300) == 0
    wide = one.start(*study, "name=wide", "runner=dask", "runner.address=tcp://10.77.0.1:8786", "runner.store=false")
    assert wide.wait(timeout=300) == 0, "".join(path.read_text() for path in sorted(one.folder.glob("log*")))
    assert "neither encrypted nor authenticated" in " ".join((one.folder / "log3").read_text().split())
    lines = [
        [json.loads(line) | {"seconds": 0, "fitted": 0, "reused": 0} for line in path.read_text().splitlines()]
        for path in (one.folder / "experiments" / name / "ledger.jsonl" for name in ("alone", "wide"))
    ]
    found = [{(row["strategy"], row["fold"]): row for row in rows} for rows in lines]
    assert found[0] == found[1]
    assert len(found[0]) == 15
    # The other host cannot see this folder but through its own mounts.
    tables = subprocess.run(two.words("find", str(two.folder), "-name", "*.joblib"), capture_output=True, text=True)
    assert len(tables.stdout.split()) == 1


@SLOW
def test_workers_with_other_versions_or_several_threads_are_refused(dask, monkeypatch):
    actual = dask_worker.environment
    monkeypatch.setattr(cluster, "environment", lambda packages: actual(packages) | {"numpy": "0.1"})
    # Workers report what they have; this process pretends.
    monkeypatch.setattr(cluster.DaskPool, "_ask_workers", lambda pool, client: client.run(actual, pool._packages))
    with pytest.raises(StudyError, match=r"on host '127\.0\.0\.1': numpy is '.*' there and '0\.1' here"):
        contract.answers(*contract.QUESTIONS["grid"], dask.engine())
    monkeypatch.undo()
    dask.start_worker(7, "--nthreads", "2")
    dask.ready(3)
    with pytest.raises(StudyError, match="it runs 2 jobs at once"):
        contract.answers(*contract.QUESTIONS["grid"], dask.engine())


@SLOW
def test_only_loopback_listens(kept_dask, opener):
    kept_dask.ready(2)
    seen = set()

    def look(process):
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                seen.update(c.laddr.ip for c in each.net_connections() if c.status == psutil.CONN_LISTEN)

    for process in kept_dask.processes:
        look(psutil.Process(process.pid))
    pool = cluster.DaskPool(runner.Cluster(), 1, (), opener.args[0].parent)
    pool._connect()
    look(psutil.Process())
    local = pool._connection[1]
    assert [spec["options"]["dashboard"] for spec in local.worker_spec.values()] == [False]
    assert local.scheduler_spec["options"]["dashboard"] is False
    pool.end(now=False)
    assert seen == {"127.0.0.1"}


@pytest.mark.parametrize(
    "address",
    ["host:1", "tcp://127.0.0.1", "tcp://", "tls://h:abc", "tcp://[::1:9", "tcp://h:0", "tcp://h:65536", " tcp://h:1"],
)
def test_what_is_no_address_of_a_scheduler_is_refused_in_the_option_and_in_the_file(address, tmp_path):
    with pytest.raises(ConfigError, match=rf"'runner\.address' is {re.escape(repr(address))}; .* tcp://HOST:PORT"):
        runner.Cluster(address)
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": address}))
    with pytest.raises(ConfigError, match=rf"its address is {re.escape(repr(address))}, not tcp://HOST:PORT"):
        runner.Cluster(f"file:{file}").check()


@pytest.mark.parametrize(
    "content", [{}, [], None, {"address": None}, {"address": 5}, {"address": "ucx://h:1"}, {"address": ["tcp://h:1"]}]
)
def test_a_scheduler_file_without_an_address_is_refused(content, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"cannot be read as a scheduler file \(its address is .*\); .* Start"):
        runner.Cluster(f"file:{file}").check()


def test_a_scheduler_file_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "s.json").write_text(json.dumps({"address": "tcp://[::1]:8786"}))
    assert runner.Cluster("file:~/s.json").scheduler() == "tcp://[::1]:8786"


def test_addresses_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read as a scheduler file"):
        runner.Cluster(f"file:{tmp_path / 'none.json'}").scheduler()
    with pytest.raises(ConfigError, match="which is not a directory here"):
        runner.Cluster("tcp://127.0.0.1:1", str(tmp_path / "none"))
    with pytest.raises(StudyError, match=r"'tcp://127\.0\.0\.1:9' does not answer"):
        cluster.connect_to_workers(runner.Cluster("tcp://127.0.0.1:9"), 1, seconds=1)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_tls_address_without_certificates_is_refused_before_anything_is_written(
    content, tmp_path, monkeypatch, capsys
):
    import dask

    monkeypatch.chdir(tmp_path)

    files = {key: str(tmp_path / f"{key}.pem") for key in ("ca-file", "cert", "key")}
    for path in files.values() if content is not None else ():
        Path(path).write_text(content)
    tls = "distributed.comm.tls."
    named = {tls + "ca-file": files["ca-file"], tls + "client.cert": files["cert"], tls + "client.key": files["key"]}
    refused = pytest.raises(ConfigError, match=r"'runner\.address' is 'tls://h:1'; .* needs a certificate")
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tls://h:1"}))
    with dask.config.set(named if content is not None else {}):
        for address in ("tls://h:1", f"file:{file}"):
            with refused:
                cluster.connect_to_workers(runner.Cluster(address), 1)
            words = ["name=x", "dataset=[ecoli3]", "tracking=none", "runner=dask", f"runner.address={address}"]
            assert main(["run", *words]) == 2
            assert "'runner.address' is 'tls://h:1'; such a connection needs a certificate" in capsys.readouterr().err
    assert not Path("experiments").exists()


@pytest.mark.parametrize(
    ("address", "is_said"),
    [
        ("tcp://10.1.2.3:8786", True),
        ("tls://10.1.2.3:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("tcp://LOCALHOST:8786", False),
        ("tcp://127.evil.example:8786", True),
    ],
)
def test_what_plain_tcp_means_is_said_off_loopback(address, is_said):
    notes = runner.Cluster(address).notes()
    assert len(notes) == is_said
    assert all("neither encrypted nor authenticated" in note for note in notes)


@pytest.fixture
def local_pool(tmp_path):
    pool = cluster.DaskPool(runner.Cluster(), 1, (), tmp_path)
    yield pool
    pool.end(now=True)


@SLOW
def test_a_worker_that_is_gone_before_its_table_came_stops_nothing(local_pool, monkeypatch):
    import dask

    address = next(iter(local_pool._connect().scheduler_info(n_workers=-1)["workers"]))
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        local_pool._deliver("0.joblib", "tcp://127.0.0.1:1")
        assert local_pool._answers(dask_worker.environment, (), workers=["tcp://127.0.0.1:1"]) == {}
    with pytest.raises(StudyError, match=rf"worker '{address}': .* failed \(FileNotFoundError: .*No such file"):
        local_pool._answers(os.listdir, "nowhere", workers=[address])


def _outcome(pool, error):
    future = Future()
    future.set_exception(error)
    return pool._outcome(future, "topic")


@SLOW
def test_what_a_worker_raises_unexpectedly_is_said_with_its_host_and_a_way_out(local_pool):
    client = local_pool._connect()
    with pytest.raises(StudyError, match=r"a worker of the Dask scheduler .*\(EOFError: no message\); .* run the same"):
        _outcome(local_pool, EOFError())
    client.log_event("topic", {"fit": "", "late": False, "suspect": False, "host": "node7"})
    with pytest.raises(StudyError, match=r"a worker on host 'node7': .*\(EOFError: no message\)"):
        _outcome(local_pool, EOFError())
    with pytest.raises(StudyError, match=r"^as it is$"):
        _outcome(local_pool, StudyError("as it is"))


def test_a_plan_checks_the_address_and_says_how_many_workers_it_assumes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [
        "plan",
        "name=x",
        "dataset=[ecoli3]",
        "learner=[logistic]",
        "strategy=[none]",
        "protocol=smoke",
        "runner=dask",
    ]
    assert main([*words, "runner.address=file:missing.json"]) == 2
    assert "cannot be read as a scheduler file" in capsys.readouterr().err
    for more, is_assumed in ([], True), (["runner.n_jobs=64"], False):
        assert main([*words, "runner.address=tcp://10.1.2.3:8786", *more]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "neither encrypted nor authenticated" in shown
        assert ("as many as this machine has cores" in shown) == is_assumed


def test_python_refuses_workers_of_dask():
    with pytest.raises(ConfigError, match=r"'runner' is 'dask'; .* Use `imblab run`"):
        imblab.compose("quickstart", runner="dask", **{"runner.address": "tcp://127.0.0.1:8786"})


def test_a_pool_whose_workers_are_all_being_restarted_counts_as_one_worker_wide(tmp_path, monkeypatch):
    pool = cluster.DaskPool(runner.Cluster(), 2, (), tmp_path)
    monkeypatch.setattr(pool, "_connection", (None, None))
    monkeypatch.setattr(cluster.DaskPool, "_workers", lambda pool: {})
    assert pool.width == 1


def test_tables_that_were_not_used_for_longest_leave_the_cache(tmp_path):
    for n in range(4):
        path = tmp_path / f"{n}.joblib"
        path.write_bytes(b"x" * 100)
        os.utime(path, (n, n))
    dask_worker.prune_tables(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.joblib", "3.joblib"]


def test_a_table_as_large_as_the_cache_arrives_and_one_under_way_is_left_alone(tmp_path, monkeypatch):
    host = types.SimpleNamespace(local_directory=str(tmp_path / "worker"))
    monkeypatch.setattr(dask_worker, "MAX_TABLE_CACHE_BYTES", 250)
    folder = dask_worker.tables_folder(host)
    for name, age in (("other", 60), ("stale", 7200)):
        part = folder / f"{name}.part"
        part.write_bytes(b"x" * 10)
        os.utime(part, (time.time() - age,) * 2)
    for size in (100, 126, 240, 300):
        chunk = bytes([size % 256]) * size
        name = f"{hashlib.sha256(chunk).hexdigest()}.joblib"
        dask_worker.receive_chunk(name, f"token{size}", 0, chunk, True, host)
        assert (folder / name).read_bytes() == chunk
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, "other.part"])


def test_versions_are_compared_by_name():
    here = dask_worker.environment(("sklearn",))
    assert dask_worker.differences(here, here, 1) == []
    there = here | {"numpy": "0.1", "Python": "2.7"}
    assert [text.split(" is ")[0] for text in dask_worker.differences(here, there, 1)] == ["Python", "numpy"]
    assert "cannot be imported" in dask_worker.differences(here, ImportError("no imblab"), 1)[0]
    assert dask_worker.differences(here, here, 4) == ["it runs 4 jobs at once in one process"]


def console_lines(heading, number=0):
    """Return the lines of a block of commands of docs/cluster.md."""
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    return page.partition(f"## {heading}\n")[2].split("```console\n")[number + 1].partition("```")[0].splitlines()


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a command of the page and returns its process; all of them are ended."""
    path = os.pathsep.join(filter(None, [str(Path(runner.__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    started = []

    def start_command(line, **variables):
        # Any free port, so that two runs of this test do not meet.
        words = line.replace(":8787", ":0").replace("--port 8786", "--port 0").split()
        command, env = [sys.executable, "-m", *words], os.environ | {"PYTHONPATH": path} | variables
        with open(tmp_path / "log", "ab") as log:
            started.append(subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log))
        while "scheduler" in words[:2] and not (tmp_path / "scheduler.json").exists():
            assert started[-1].poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        return started[-1]

    yield start_command
    for process in started:
        if process.poll() is None:
            kill(*(child.pid for child in psutil.Process(process.pid).children(recursive=True)), process.pid)
        process.wait()


@SLOW
def test_the_command_with_workers_of_this_machine_runs(start, tmp_path):
    (study,) = console_lines("Workers on this machine")
    few = "name=local dataset=[ecoli3] learner=[logistic] protocol=smoke tracking=none"
    line = study.replace("experiment=quickstart", few).replace("n_jobs=4", "n_jobs=2")
    assert start(line).wait(timeout=300) == 0, (tmp_path / "log").read_text()
    assert {row.status for row in ledger.read_evaluations(tmp_path / "experiments" / "local")} == {"ok"}


@SLOW
def test_the_commands_of_the_page_run_as_they_stand(start, tmp_path):
    *services, study = console_lines("A scheduler with two workers")
    for line in services:
        start(line)
    for _ in range(2):  # the workers live on after the first run
        assert start(study).wait(timeout=300) == 0, (tmp_path / "log").read_text()
    rows = ledger.read_evaluations(tmp_path / "experiments" / "wide")
    assert {row.status for row in rows} == {"ok"}


@SLOW
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate of the page")
def test_the_commands_with_certificates_run_and_nothing_else_connects(start, tmp_path):
    certificate, scheduler, worker = console_lines("Who may connect")
    *exports, study = console_lines("Who may connect", 1)
    variables = dict(word.split("=", 1) for line in exports for word in line.removeprefix("export ").split())
    subprocess.run(certificate.split(), cwd=tmp_path, check=True, capture_output=True)
    start(f"{scheduler} --host 127.0.0.1 --port 0 --scheduler-file scheduler.json")
    address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
    assert address.startswith("tls://127.0.0.1:")
    start(worker.replace("tls://HOST:8786", address) + " --host 127.0.0.1 --dashboard-address 127.0.0.1:0")
    few = "name=safe dataset=[ecoli3] learner=[logistic] protocol=smoke tracking=none"
    study = study.replace("tls://HOST:8786", address).replace("experiment=quickstart", few)
    assert start(study, **variables).wait(timeout=300) == 0, (tmp_path / "log").read_text()
    assert {row.status for row in ledger.read_evaluations(tmp_path / "experiments" / "safe")} == {"ok"}
    # Without the certificates, or unencrypted; another table, because answers of the store need no worker.
    for strange in (study, study.replace("tls://", "tcp://")):
        (tmp_path / "log").write_text("")
        run = start(strange.replace("name=safe dataset=[ecoli3]", "name=strange dataset=[yeast4]"))
        assert run.wait(timeout=300) == 2, (tmp_path / "log").read_text()
        assert "runner.address" in (tmp_path / "log").read_text()
    assert not ledger.read_evaluations(tmp_path / "experiments" / "strange")
