"""A table in a database: read as its file would be, never written, and without a password in any message."""

import json
import sqlite3
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import make_url
from sqlalchemy.engine import URL

from imblab.cli import main
from imblab.commands import python_runs, running
from imblab.edges import config, datasets
from imblab.edges.datasets import sources
from imblab.errors import ImblabError

QUERY = "SELECT * FROM customers ORDER BY id"
ROWS = 40


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A database of SQLite, and its table."""
    frame = pd.DataFrame(
        {
            "id": range(ROWS),
            "age": [20, 31, None, 44] * 10,
            "town": ["None", "Köln", None, "'quoted'"] * 10,
            "left": ["yes"] * 8 + ["no"] * 32,
        }
    )
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        frame.to_sql("customers", connection, index=False)
    connection.close()
    monkeypatch.setenv("SHOP_DB", f"sqlite:///{tmp_path / 'shop.db'}")
    return frame


def load(query=QUERY, url_env="SHOP_DB", **more):
    return datasets.read_dataset({"kind": "sql", "query": query, "url_env": url_env, "target": "left", **more}, "sql")


def said(query=QUERY, **more):
    with pytest.raises(ImblabError) as refusal:
        load(query, **more)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_query_gives_the_data_set_of_its_file(shop, tmp_path):
    shop.to_parquet(tmp_path / "t.parquet")
    there = datasets.read_dataset(
        {"kind": "table", "path": str(tmp_path / "t.parquet"), "target": "left", "id": "id"}, "table"
    )
    data = load(id="id")
    assert data.fingerprint == there.fingerprint
    assert data.name == "sql"
    assert load(id="id", name="customers").name == "customers"
    assert data.X.age.isna().sum() == 10


def test_a_query_without_an_order_is_said(shop):
    assert not any("ORDER BY" in note for note in load(id="id").notes)
    for query in ("SELECT * FROM customers", "SELECT * FROM (SELECT * FROM customers ORDER BY id) AS c"):
        assert any("is read by a query without ORDER BY" in note for note in load(query, id="id").notes)


def test_cells_of_several_types_are_read_as_text_would_be(shop, tmp_path):
    query = "SELECT id, left, CASE WHEN id % 4 = 0 THEN 'NA' ELSE age END AS age FROM customers ORDER BY id"
    assert "has a column of numbers with other texts, 'age' ('NA' in 10 rows)" in said(query, id="id")
    assert load(query, id="id", missing="NA").X.age.isna().sum() == 20


def test_decimals_and_dates_are_those_of_parquet(monkeypatch):
    rows = [(Decimal("1.50"), pd.Timestamp("2024-01-31").date(), "yes" if i < 8 else "no") for i in range(ROWS)]

    class Found(list):
        def keys(self):
            return ["price", "day", "left"]

    class Connection:
        def execution_options(self, **options):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def exec_driver_sql(self, query):
            return Found(rows)

    class Engine:
        dialect = type("Dialect", (), {"name": "other"})

        def connect(self):
            return Connection()

        def dispose(self):
            pass

    monkeypatch.setattr(sources, "_create_engine", lambda url: Engine())
    monkeypatch.setenv("SHOP_DB", "sqlite://")
    assert "has the date column 'day' among its features" in said()
    data = load(time="day")
    assert data.X.price.tolist() == [1.5] * ROWS
    assert data.time[0] == np.datetime64("2024-01-31")


READING = [
    "select * from customers order by id;",
    "  -- the customers\n SELECT * FROM customers ORDER BY id",
    "WITH c AS (SELECT * FROM customers) SELECT * FROM c ORDER BY id",
    "SELECT id, age, town, left FROM customers WHERE town <> 'DROP; DELETE' OR town IS NULL ORDER BY id",
    'SELECT id, age AS "update", town, left FROM customers ORDER BY id',
    "SELECT id, age, replace(town, '%', ':x') AS town, left FROM customers /* ; */ ORDER BY id",
    "SELECT id, age, town, left FROM customers WHERE left LIKE '%' ORDER BY id",
]


@pytest.mark.parametrize("query", READING)
def test_a_statement_that_reads_is_run(shop, query):
    assert load(query, id="id").X.shape == (ROWS, 2)


WRITING = {
    "DELETE FROM customers": "holds DELETE",
    "SELECT 1; DROP TABLE customers": "holds DROP",
    "SELECT 1; SELECT 2": "holds a second statement",
    "WITH gone AS (DELETE FROM customers RETURNING *) SELECT * FROM gone": "holds DELETE",
    "SELECT * INTO other FROM customers": "holds INTO",
    "PRAGMA journal_mode": "holds PRAGMA",
    "EXPLAIN SELECT 1": "begins with 'EXPLAIN'",
    "-- SELECT\nDROP TABLE customers": "holds DROP",
    "  ": "has no query",
    None: "has no query",
    5: "has no query",
}


@pytest.mark.parametrize("query", WRITING)
def test_a_statement_that_may_write_is_refused(shop, query, tmp_path):
    before = (tmp_path / "shop.db").read_bytes()
    assert WRITING[query] in said(query)
    assert (tmp_path / "shop.db").read_bytes() == before


def test_the_connection_itself_cannot_write(shop, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "_reading_words", lambda query, checks: str(query))
    before = (tmp_path / "shop.db").read_bytes()
    assert "attempt to write a readonly database" in said("DELETE FROM customers")
    assert (tmp_path / "shop.db").read_bytes() == before


def test_what_the_database_refuses_is_said(shop):
    assert "no such table: nowhere" in said("SELECT * FROM nowhere")
    assert "more than once" in said("SELECT id, id, left FROM customers ORDER BY id")


def test_a_database_that_is_not_there_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_DB", f"sqlite:///{tmp_path / 'none.db'}")
    assert "which is not a file" in said()
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("url_env", [None, "", 5, "two words", "a-b"])
def test_a_variable_is_named(url_env):
    assert "'dataset.sql.url_env' holds nothing that names a variable" in said(url_env=url_env)


def test_a_variable_that_is_not_set_or_is_no_address_is_named(monkeypatch):
    monkeypatch.delenv("SHOP_DB", raising=False)
    assert "the environment variable 'SHOP_DB' of data set 'sql' is not set" in said()
    monkeypatch.setenv("SHOP_DB", "pass-word-alone")
    text = said()
    assert "is not an address that SQLAlchemy reads" in text
    assert "pass-word-alone" not in text


SECRETS = {
    "postgresql+psycopg://nobody:s3cr%40t@127.0.0.1:1/x": ["s3cr%40t", "s3cr@t", "nobody"],
    "postgresql+psycopg://127.0.0.1:1/x?user=nobody&password=s3cret": ["s3cret", "nobody"],
    "postgresql+psycopg://u:p@ss:w@rd@127.0.0.1:1/x": ["p@ss", "w@rd"],
    "nosuch+driver://u:s3cret@h/x": ["s3cret"],
    "postgresql://u:s3cret@127.0.0.1:port/x": ["s3cret"],
    "mysql+nosuch://u:s3cret@h/x": ["s3cret"],
}


@pytest.mark.parametrize("address", SECRETS)
def test_no_message_holds_a_secret(address, monkeypatch):
    monkeypatch.setenv("SHOP_DB", address)
    text = said()
    assert not [secret for secret in SECRETS[address] if secret in text], text
    assert "s3cret" not in said(url_env=address)


@pytest.mark.parametrize("address", ["postgresql+psycopg://u:p@ss@h/x", "postgresql+psycopg://u:p@s/s@h/x?a=b@c"])
def test_a_password_with_an_unquoted_sign_is_answered_before_a_driver_sees_it(address, monkeypatch):
    monkeypatch.setenv("BAD", address)
    with pytest.raises(ImblabError, match=r"more than one '@'.*is written %40") as refusal:
        load(url_env="BAD")
    assert "ss" not in str(refusal.value).replace("password", "").replace("address", "")


@pytest.mark.parametrize(
    "driver_says", ["access denied for 'me' using {}", "in {url}", "dsn: user=me password={}", "{} {}"]
)
@pytest.mark.parametrize("password", ["p@ss word", "a/b:c", "%41bc", "sécret", "'quoted'"])
def test_whatever_a_driver_says_is_without_the_password(shop, driver_says, password, monkeypatch):
    url = URL.create("sqlite", username="me", password=password, database="x", query={"sslkey": "topsecret"})
    address = url.render_as_string(hide_password=False)
    assert make_url(address).password == password
    for form in (password, address, address.split("@")[0]):
        text = sources.without_secrets(driver_says.replace("{url}", address).format(form, form), url)
        assert password not in text
        assert "topsecret" not in text


def test_a_received_study_asks_for_the_word(shop, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = (
        "name=q",
        "dataset=sql",
        "dataset.sql.url_env=SHOP_DB",
        f'dataset.sql.query="{QUERY}"',
        "dataset.sql.id=id",
    )
    study = python_runs.compose(
        *words, "dataset.sql.target=left", "learner=[logistic]", "strategy=[none]", "protocol=smoke"
    )
    assert running.lay_out(study).datasets["sql"].y.sum() == 8
    (tmp_path / "study.yaml").write_text(json.dumps(config.to_mapping(study)))
    assert main(["plan", "study.yaml"]) == 2
    assert "allow_sql=true" in capsys.readouterr().err
    assert main(["plan", "study.yaml", "allow_sql=true", "tracking=none"]) == 0
