"""A tracking server behind a network that is slow, loses answers or speaks TLS."""

import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from imblab.edges import ledger

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote]", "protocol=smoke")
PASSWORD = "canary-Pw-of-tls"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Proxy:
    """A door before a server, on loopback.

    Parameters
    ----------
    port : int
        Of the server.
    delay : float
        Seconds that every answer is held back.
    lost : int
        Every so many answers one is lost, with its connection; none if 0.
    tls : SSLContext, optional
        Of the door; plain otherwise.
    """

    def __init__(self, port, delay=0.0, lost=0, tls=None):
        self._target, self._delay, self._lost, self._tls = port, delay, lost, tls
        self._door = socket.create_server((HOST, 0))
        self.port = self._door.getsockname()[1]
        self.answers, self.dropped = 0, 0
        self._count = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._door.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                visitor, _ = self._door.accept()
                threading.Thread(target=self._serve, args=(visitor,), daemon=True).start()

    def _serve(self, visitor):
        with suppress(OSError):
            visitor = self._tls.wrap_socket(visitor, server_side=True) if self._tls else visitor
            with visitor, socket.create_connection((HOST, self._target)) as server:
                asked = threading.Event()
                threading.Thread(target=self._answer, args=(server, visitor, asked), daemon=True).start()
                while data := visitor.recv(65536):
                    asked.set()
                    server.sendall(data)

    def _answer(self, server, visitor, asked):
        with suppress(OSError):
            while data := server.recv(65536):
                if asked.is_set():
                    asked.clear()
                    time.sleep(self._delay)
                    if self._is_lost():
                        break
                visitor.sendall(data)
        for end in (visitor, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_lost(self):
        with self._count:
            self.answers += 1
            gone = bool(self._lost) and self.answers % self._lost == 0
            self.dropped += gone
            return gone


@contextmanager
def proxied(port, **how):
    door = Proxy(port, **how)
    try:
        yield door
    finally:
        door.close()


@contextmanager
def serving(folder, *options, **environment):
    """A real ``mlflow server`` on loopback with an SQLite store; gives its port."""
    folder.mkdir()
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), *options]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    kept |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    kept |= {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db", **environment}
    log = folder / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=kept, stdout=stream, stderr=stream, cwd=folder, start_new_session=True
        )  # fmt: skip
    try:
        for _ in range(600):
            with suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
                break
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.2)
        else:
            raise AssertionError(log.read_text()[-2000:])
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def imblab(*words, **environment):
    """A command as a process of its own, and the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "imblab", *words],
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return SimpleNamespace(
        code=done.returncode, out=done.stdout, err=done.stderr, seconds=time.monotonic() - began
    )  # fmt: skip


def run(name, uri, *more, **environment):
    return imblab("run", f"name={name}", *ASKED, "runner.n_jobs=1", f"tracking.uri={uri}", *more, **environment)


def logged_runs(uri, name):
    """What a server holds of a study, without ids, times and hashes that name the study; nothing twice."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name(name).experiment_id], max_results=1000)
    keys = Counter(run.data.tags["imblab.key"] for run in runs)
    assert set(keys.values()) == {1}
    assert {run.info.status for run in runs} == {"FINISHED"}
    return {
        run.data.tags["imblab.key"]: (
            dict(run.data.params),
            {k: v for k, v in run.data.metrics.items() if k != "seconds"},
        )
        for run in runs
    }


def test_a_slow_server_that_loses_answers_stops_no_study_and_sync_repairs(tmp_path):
    timeout = 3
    with serving(tmp_path / "server") as port:
        direct = f"http://{HOST}:{port}"
        whole = run("whole", direct)
        assert (whole.code, "Not logged" in whole.err) == (0, False), whole.err
        with proxied(port, delay=0.3, lost=9) as door:
            slow = run("slow", f"http://{HOST}:{door.port}", f"tracking.timeout={timeout}")
            answers = door.answers
        assert slow.code == 0, slow.err
        assert answers >= 3
        assert "Not logged" in slow.err
        assert "imblab sync slow" in slow.out + slow.err
        # As long as with a quick server, and then no longer than it was told to wait; the rest is for a busy machine.
        assert slow.seconds < 2 * whole.seconds + timeout + 10
        rows = {name: ledger.read_evaluations(Path("experiments") / name) for name in ("slow", "whole")}
        assert [row.scores for row in rows["slow"]] == [row.scores for row in rows["whole"]]
        # A lost answer to "make a run" leaves one that nobody knows of: the next writer finds and deletes it.
        with proxied(port, delay=0.05, lost=9) as door:
            there = imblab("sync", "slow", f"tracking.uri=http://{HOST}:{door.port}")
            assert door.dropped > 0
        assert there.code == 0, there.err
        assert imblab("sync", "slow", f"tracking.uri={direct}").code == 0
        assert logged_runs(direct, "slow") == logged_runs(direct, "whole")
        again = imblab("sync", "slow", f"tracking.uri={direct}")
        assert "0 runs of study 'slow' were written" in again.out


def certificate(folder):
    """A throwaway certificate for loopback, which is its own authority, and its key."""
    x509 = pytest.importorskip("cryptography.x509", reason="certificates are made with cryptography")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a team of one")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "team.pem").write_bytes(made.public_bytes(pem))
    (folder / "team.key").write_bytes(key.private_bytes(pem, *plain))
    return folder / "team.pem", folder / "team.key"


def test_over_tls_with_mlflows_own_authentication(tmp_path, monkeypatch):
    """The commands of docs/team-server.md, with a proxy of the standard library in the place of nginx."""
    pytest.importorskip("flask_wtf", reason="MLflow's own authentication needs Flask-WTF: pip install 'mlflow[auth]'")
    authority, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, key)
    config = tmp_path / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\nauth_cache_ttl_seconds = 60\n"
        f"database_uri = sqlite:///{tmp_path}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    words = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "of-one-test", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    words |= {"MLFLOW_AUTH_CONFIG_PATH": str(config)}
    who = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    trusted = {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority)}
    with serving(tmp_path / "server", "--app-name", "basic-auth", **words) as port, proxied(port, tls=context) as door:
        uri = f"https://localhost:{door.port}"
        stranger = run("tls", uri, **who)
        assert stranger.code == 0
        assert "Not logged" in stranger.err
        assert "certificate verify failed" in stranger.err
        nobody = imblab("sync", "tls", f"tracking.uri={uri}", **trusted)
        assert nobody.code != 0
        done = imblab("sync", "tls", f"tracking.uri={uri}", **who, **trusted)
        assert done.code == 0, done.err
        assert "0 runs" not in done.out
        straight = run("direct", uri, **who, **trusted)
        assert (straight.code, "Not logged" in straight.err) == (0, False), straight.err
        for name, value in {**who, **trusted}.items():
            monkeypatch.setenv(name, value)
        assert logged_runs(uri, "direct") == logged_runs(uri, "tls")
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("tls").experiment_id
        (above,) = client.search_runs([experiment], "tags.`imblab.role` = 'study'")
        sent = client.download_artifacts(above.info.run_id, "ledger.jsonl", str(tmp_path))
        assert Path(sent).read_bytes() == (Path("experiments/tls") / ledger.LEDGER_FILE).read_bytes()
        said = "".join(done.out + done.err for done in (stranger, nobody, done, straight))
        assert PASSWORD not in said
