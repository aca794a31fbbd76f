"""No part of a secret leaves, however it was written and whatever took it apart; other texts stay as they are."""

import contextlib
import json
import logging
import sys
import threading
import traceback
import warnings
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, strategies as st

from imblab import redaction
from imblab.cli import main
from imblab.errors import StudyError, describe, presentable
from imblab.redaction import ambiguity, hiding, redact

#: What a driver takes an address apart at.
SPECIAL = "@:/?#%&=+;,!$*()[]{}<>|~^.-_"
#: Words that stand in no other text; all of one length, so that none is a part of another.
PIECES = st.text("ZQXJKVWzqxjkvw0123456789", min_size=7, max_size=7).map(lambda word: f"S{word}")
PASSWORDS = st.lists(
    st.tuples(PIECES, st.sampled_from(SPECIAL)), min_size=1, max_size=5, unique_by=lambda part: part[0]
)
WRITTEN = PASSWORDS.map(lambda parts: "".join(word + mark for word, mark in parts).rstrip(SPECIAL) or "Szzzzz")
WITH_BLANKS = st.lists(PIECES, min_size=2, max_size=3).map(" ".join)
SCHEMES = st.sampled_from(["postgresql", "postgresql+psycopg", "mysql+pymysql", "http", "https", "s3", "ftp", "redis"])
NAMES = ["password", "PASSWORD", "sslpassword", "access_key", "api_key", "apikey", "api-key", "sig", "token", "secret"]
NAMES += ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "aws_secret_access_key", "AccountKey", "sas"]
NAMES += ["client_secret", "refresh_token", "private_key", "pwd", "auth", "session_id", "passphrase"]


def pieces(secret):
    """What must be seen nowhere."""
    found, word = [], ""
    for character in secret + "@":
        if character.isalnum():
            word += character
        else:
            found, word = [*found, word], ""
    return [each for each in found if len(each) >= redaction.MIN_SECRET_CHARACTERS]


def assert_gone(secret, text):
    assert not [each for each in pieces(secret) if each in text], text


@given(SCHEMES, WRITTEN)
@example("postgresql", "Sone@Stwo")
@example("http", "Sone/Stwo?Sthree#Sfour")
@example("http", "1234/Stwo@Sthree")
def test_an_address_in_a_text_loses_its_password(scheme, password):
    for form in {password, quote(password, safe=""), quote(password)}:
        address = f"{scheme}://me:{form}@host.example:5432/db?timeout=3"
        for text in (
            address,
            f"cannot reach '{address}' (refused).",
            f'{{"url": "{address}"}}',
            f"see {address}, again",
        ):
            shown = redact(text)
            assert_gone(password, shown)
            assert "host.example:5432/db" in shown
            assert redact(shown) == shown
        assert_gone(password, str(StudyError(f"no answer from {address}")))
        assert_gone(password, describe(RuntimeError(f"no answer from {address}")))


@given(SCHEMES, st.one_of(WRITTEN, WITH_BLANKS))
@example("postgresql", "Sone@Stwo")
def test_what_a_driver_makes_of_it_is_known(scheme, password):
    address = f"{scheme}://me:{password}@host.example/db"
    taken_apart = [each for mark in "@:/?#" for each in password.split(mark)] + [password.partition("@")[2] + "@host"]
    said = [password, repr(password), json.dumps(password), quote(password), quote_plus(password), *taken_apart]
    for where in (address, f"tracking.uri={address}"):
        with hiding(where):
            for form in said:
                assert_gone(password, redact(f'could not translate host name "{form}" to address'))
    assert redact(f"host name {pieces(password)[0]}").endswith(pieces(password)[0])  # forgotten afterwards


@given(st.sampled_from(NAMES), WRITTEN)
def test_a_named_secret_is_hidden_in_addresses_options_and_headers(name, secret):
    texts = [
        f"{name}={secret}",
        f"host=x {name}={secret} user=y",
        f"{{'{name}': '{secret}'}}",
        f"('{name}', '{secret}')",
    ]
    texts += [f'{{"{name}": "{secret}"}}', f"url: /api/2.0?v=1&{name}={secret}&w=2 (Caused by"]
    texts += [f"{name}='{secret} and more'"]
    texts.append(f"http://host:5000/path?{name}={secret}&page=2")
    for text in texts:
        # In an address '&name=' ends a value, whatever its writer meant.
        assert_gone(secret if "'" in text or '"' in text else secret.partition("&")[0], redact(text))
    assert redact(texts[-1]).startswith(f"http://host:5000/path?{name}=...")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'Authorization': 'Basic bWU6cHc='}", "{'Authorization': '...'}"),
        ("Authorization: Bearer abc.def-123", "Authorization: ..."),
        ("send: b'GET / HTTP/1.1' Bearer abcDEF123", "send: b'GET / HTTP/1.1' Bearer ..."),
        ("X-Api-Key: 0123abcd\nHost: x", "X-Api-Key: ...\nHost: x"),
        ("Cookie: session=abc; csrf=def", "Cookie: ..."),
        ("key AKIAIOSFODNN7EXAMPLE is unknown", "key ... is unknown"),
        ("jwt eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM here", "jwt ... here"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", "... end"),
        ("https://x.blob.core.windows.net/c?sv=2024&sig=a%2Fb%3D&se=1", "https://x.blob.core.windows.net/c?sv=2024&sig=...&se=1"),
        ("http://ghp-user:@host and http://:pw@host", "http://...@host and http://...@host"),
    ],
)  # fmt: skip
def test_what_services_call_a_secret_is_hidden(text, shown):
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/path",
        "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=imblab-search",
        "models:/quickstart-ecoli3@champion",
        "sqlite:////data/a@b/mlflow.db and file:///home/me@work/model",
        "git+https://github.com/org/repo@v1.2",
        "write to me@host.example, or see http://host:80 a@b",
        'FATAL: password authentication failed for user "me"',
        "Basic authentication failed; the token is missing and the signature does not match",
        '{"token_pattern": "(?u)x", "max_tokens": 3, "monkey": 1, "design": 2}',
        "n_tokens=5 key=3 config=x sigma=0.5 author=me passes=3 secrets=none",
        "HTTPConnectionPool(host='db', port=5432): Max retries exceeded with url: /api/2.0/mlflow/runs/search",
        "SASL=none basal=1 wasig=2",
    ],
)
def test_other_texts_stay_as_they_are(text):
    assert redact(text) == text
    assert presentable(text) == text


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("postgresql://me:p@ss@host/db", "unquoted '@'"),
        ("postgresql+psycopg://me:p:1@2@host/db", "unquoted '@'"),
        ("mysql://me:p@host:pw/x@h", "cannot be parsed"),
        ("http://me:p/ss@host:5000", "unquoted '/'"),
        ("https://me:12/ss@host", "unquoted '/'"),
        ("http://me:p#ss@host", "unquoted '/'"),
        ("http://me:p?ss@host", "unquoted '/'"),
        ("postgresql://me:p%40ss@host:5432/db?sslmode=require", None),
        ("postgresql://me:p/s?s#s:s@host/db", None),
        ("postgresql:///db?host=/run", None),
        ("http://me:p%2Fss@host:5000/path", None),
        ("http://me:p@ss@host:5000", None),
        ("http://host:5000/path", None),
        ("sqlite:////data/a@b@c/m.db", None),
        ("databricks", None),
    ],
)
def test_an_address_that_is_read_otherwise_than_it_was_meant_is_known(address, reason):
    found = ambiguity(address)
    assert (found is None) if reason is None else (reason in found)


@pytest.mark.parametrize("storage", ["tracking.uri", "search.storage"])
@pytest.mark.parametrize(
    "address", ["postgresql://me:S3cr3tA@S3cr3tB@127.0.0.1:9/x", "http://me:S3cr3tA/S3cr3tB@127.0.0.1:9"]
)
def test_such_an_address_is_refused_in_our_own_words(address, storage):
    from imblab.edges import mlflow, optuna_storage
    from imblab.study import Study

    act = {
        "tracking.uri": lambda: mlflow.check_store_uri(address),
        "search.storage": lambda: optuna_storage.copy_searches(Study("s", 0, {}, (), (), ()), [], address),
    }[storage]
    with pytest.raises(StudyError, match=r"has an address that cannot be used; it has an unquoted .*Quote") as refused:
        act()
    assert "S3cr3t" not in str(refused.value)


UNANSWERED = [
    "postgresql+psycopg://me:S3cr3tA%40S3cr3tB@127.0.0.1:9/x?sslpassword=S3cr3tC",
    "postgresql+psycopg://me:S3cr3tA/S3cr3tB@S3cr3tC@127.0.0.1:9/x",
    "postgresql+psycopg://127.0.0.1:9/x?user=me&password=S3cr3tA&api_key=S3cr3tB",
    "mysql+nodriver://me:S3cr3tA@127.0.0.1:9/x",
    "postgresql://me:S3cr3tA:S3cr3tB@127.0.0.1:port/S3cr3tC@x",
    "http://me:S3cr3tA@S3cr3tB@127.0.0.1:9/?access_key=S3cr3tC&sig=S3cr3tD",
]


@pytest.mark.parametrize("uri", UNANSWERED)
def test_no_driver_tells_it_on_the_command_line(uri, capfd, caplog, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    assert main(["ui", "--uri", uri]) == 2
    out, err = capfd.readouterr()
    assert "the MLflow store" in err
    assert "S3cr3t" not in out + err + caplog.text


@contextlib.contextmanager
def listening(name):
    found = []
    handler = logging.Handler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.emit = lambda record: found.append(handler.format(record))
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield logger, found
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("name", ["mlflow.store.db.utils", "sqlalchemy.engine", "urllib3.connectionpool", "botocore"])
def test_what_libraries_log_is_redacted_with_its_traceback(name):
    redaction.install()
    with listening(name) as (logger, found):
        logger.error("retry %s at %r", 1, "http://me:S3cr3tA@host?sig=S3cr3tB")
        try:
            raise ValueError("in postgresql://me:S3cr3tA@host")
        except ValueError:
            logger.exception("lost %(uri)s", {"uri": "ftp://me:S3cr3tC@host"})
        logger.error("as it is: %s", "http://host:5000/path")
    assert found[0].startswith("retry 1 at 'http://...@host?sig=")  # MLflow has a filter of its own on one of them
    assert "S3cr3t" not in found[0]
    assert "S3cr3t" not in found[1]
    assert "ValueError: in postgresql://...@host" in found[1]
    assert found[2] == "as it is: http://host:5000/path"


def test_warnings_and_uncaught_errors_are_redacted(capfd, monkeypatch):
    redaction.install()
    text = warnings.formatwarning(UserWarning("at http://me:S3cr3tA@host"), UserWarning, "x.py", 1)
    assert "UserWarning: at http://...@host" in text
    monkeypatch.setattr(traceback, "print_exception", None)

    def fails():
        raise RuntimeError("lost https://me:S3cr3tB@host/x?api_key=S3cr3tC")

    thread = threading.Thread(target=lambda: redaction.tell(_caught(fails)))
    thread.start()
    thread.join()
    sys.excepthook(RuntimeError, _caught(fails), None)
    err = capfd.readouterr().err
    assert err.count("RuntimeError: lost https://...@host/x?api_key=...") == 2
    assert "S3cr3t" not in err
    assert not redaction.tell(ValueError("plain"))


def _caught(function):
    try:
        function()
    except RuntimeError as error:
        return error


def test_the_environment_keeps_its_secrets(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct horse")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    monkeypatch.setenv("TEAM_DB", "postgresql://me:S3cr3tA@S3cr3tB@db/x")
    monkeypatch.setenv("SOME_TOKEN", "true")  # a switch
    monkeypatch.setenv("SSH_PRIVATE_KEY", "/home/me/.ssh/id")  # a place
    said = "no 'correct horse' (correct%20horse), wJalrXUtnFEMI%2FK7MDENG, host S3cr3tB@db; true /home/me/.ssh/id db"
    assert redact(said) == "no '...' (...), ..., host ...@db; true /home/me/.ssh/id db"
    monkeypatch.delenv("TEAM_DB")
    assert redact("S3cr3tB") == "S3cr3tB"


def test_names_of_hosts_and_databases_are_no_secrets():
    with hiding("postgresql://mlflow:mlflow@mlflow/mlflow", "postgresql://me:host@host/db?options=a@b"):
        assert redact("run mlflow db upgrade at host db") == "run mlflow db upgrade at host db"


@pytest.mark.parametrize(
    "text",
    [
        "https://h/?key=SEC-RET",
        "https://h/x?storage_key=SEC-RET&a=1",
        "https://h/?code=SEC-RET",
        "https://h/?a=1&jwt=SEC-RET",
        "https://h/#session=SEC-RET",
        "PASSWORD = 'SEC-RET'",
        "password: SEC-RET",
        "odbc_connect=DRIVER%3D%7B%7D%3BPWD%3DSEC-RET",
        "password%3DSEC-RET",
    ],
)
def test_names_that_are_words_elsewhere_hide_what_they_name(text):
    assert "SEC" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=answer&orderByKey=metrics.%60mcc%60",
        "Set dataset.a.key=x, or code=3",
        "unknown key 'sede': correct it",
        "no password was given",
    ],
)
def test_words_stay(text):
    assert redact(text) == text
