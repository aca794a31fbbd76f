"""Addresses of MLflow stores, and the experiments in them that a study owns.

This is the only place that turns file paths into addresses and addresses into file paths. SQLAlchemy reads ``%41`` in
the name of a database as ``A`` and everything after a ``?`` as options. MLflow decodes the addresses of artifacts, and
creates the folder of an SQLite address as it is written. A folder called ``My%20Project`` or ``what?`` is therefore
quoted here, and nowhere else.

The runs of a study go to its own experiment, and those of other studies stay untouched.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from urllib.request import url2pathname

from imblab.edges.mlflow.runs import splits_of
from imblab.errors import StudyError, brief_reason, check_password_quoting, presentable
from imblab.result import Evaluation
from imblab.study import fingerprint

SQLITE_PREFIX, DEFAULT_DATABASE = "sqlite:///", "mlruns/mlflow.db"
DEFAULT_URI = SQLITE_PREFIX + DEFAULT_DATABASE
#: An SQLite address as SQLAlchemy reads it: the quoted path of the database, and options.
_SQLITE_ADDRESS = re.compile(r"sqlite(?:\+\w+)?:///(?P<database>[^?]*)(?:\?(?P<options>.*))?", re.DOTALL)
IDENTITY_TAG, STUDY_TAG, ROLE_TAG, STALE_TAG = "imblab.identity", "imblab.study", "imblab.role", "imblab.stale"
HOST_TAG, WRITER_TAG, USER_TAG = "imblab.host", "imblab.writer", "mlflow.user"
CONTENT_TAG, NOTE_TAG = "imblab.content", "mlflow.note.content"
FINGERPRINT_TAGS = ("imblab.data_fingerprint", "imblab.split_fingerprint")
#: How often a lost race to create an experiment is tried again, and the seconds between.
MAX_ATTEMPTS, RETRY_SECONDS = 5, 0.2


def sqlite_uri(path: Path) -> str:
    """Give the address under which SQLAlchemy opens exactly the file of an absolute path.

    A path with special characters is quoted as a whole, slashes too: MLflow creates the folder of the unquoted text,
    which is then the current one and not a second ``My%2520Project``.

    Examples
    --------
    >>> sqlite_uri(Path("/data/mlflow.db")), sqlite_uri(Path("/what?/mlflow.db"))
    ('sqlite:////data/mlflow.db', 'sqlite:///%2Fwhat%3F%2Fmlflow.db')
    """
    _check_utf8(path)
    if str(path).isprintable() and not set(str(path)) & set("%?"):
        return f"{SQLITE_PREFIX}{path}"
    uri = SQLITE_PREFIX + quote(str(path), safe="")
    from sqlalchemy import make_url

    if make_url(uri).database != str(path):
        raise StudyError(
            f"the MLflow store in the folder {str(path.parent)!r} has no address; this release of SQLAlchemy reads "
            "'%' and '?' in the name of a file as something else. Install sqlalchemy>=2.1, rename the folder, or log "
            f"elsewhere with tracking.uri=..., or nowhere with tracking=none."
        )
    return uri


def file_uri(path: Path) -> str:
    """Give the address under which MLflow finds exactly this folder or file.

    Examples
    --------
    >>> file_uri(Path("/My%20Project/model"))
    'file:///My%2520Project/model'
    """
    _check_utf8(path)
    return path.absolute().as_uri()


def sqlite_path(uri: str) -> Path | None:
    """Give the absolute path of the file behind an SQLite address; None for a server, another database, or memory.

    Examples
    --------
    >>> sqlite_path("sqlite:////data/My%20Project/mlflow.db")
    PosixPath('/data/My Project/mlflow.db')
    """
    match = _SQLITE_ADDRESS.fullmatch(uri)
    name = unquote(match["database"]) if match else ""
    if match and name.startswith("file:"):
        options = parse_qs(match["options"] or "")
        if options.get("mode") == ["memory"]:
            return None
        if options.get("uri", [""])[0].lower() in ("true", "1", "yes", "on"):
            name = unquote(urlsplit(name).path)  # as SQLite reads it
    if "\0" in name:
        raise StudyError(
            f"the MLflow store {uri!r} has a null byte in its name ('%00'); the name of a file cannot hold one. "
            "Correct the address."
        )
    return None if name in ("", ":memory:") else Path(name).resolve()


def absolute_uri(uri: str) -> str:
    """Make the file of a relative SQLite address absolute; every other address stays as it is."""
    match, path = _SQLITE_ADDRESS.fullmatch(uri), sqlite_path(uri)
    if match is None or path is None or unquote(match["database"]).startswith(("/", "file:")):
        return uri
    options = f"?{match['options']}" if match["options"] else ""
    return sqlite_uri(path) + options


def is_database(uri: str) -> bool:
    """Whether the store is a database that this process opens itself."""
    return uri.split(":")[0].split("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def artifact_folder(uri: str) -> Path:
    """The folder of artifacts: next to the SQLite file, or in the ``mlruns`` of the current directory."""
    return ((sqlite_path(uri) or Path(DEFAULT_DATABASE).resolve()).parent / "artifacts").resolve()


def file_uri_path(uri: str) -> Path:
    """The folder or file that MLflow finds under an address of :func:`file_uri`."""
    return Path(url2pathname(urlsplit(uri).path))


def check_store_uri(uri: str) -> None:
    """Refuse an address that cannot be an MLflow store, before anything is written."""
    check_password_quoting("MLflow store", uri)
    check_regular_file(sqlite_path(uri), uri)
    if (":" not in uri and uri != "databricks") or uri.startswith("file:"):
        raise StudyError(
            f"the MLflow store {uri!r} is a folder at best; MLflow keeps runs in a database or at a server. Write for "
            f"example tracking.uri={DEFAULT_URI} or tracking.uri=http://host:5000."
        )
    if is_database(uri):
        absolute_uri(uri)
        file_uri(artifact_folder(uri))


def check_regular_file(path: Path | None, uri: str) -> None:
    """Refuse a folder, a pipe or a device behind an SQLite address: a store is kept in a file."""
    if path is not None and path.exists() and not path.is_file():
        raise StudyError(
            f"the MLflow store {uri!r} is a folder, a pipe or a device; SQLite keeps runs in a file. Write for "
            f"example tracking.uri={DEFAULT_URI}."
        )


def check_servable(uri: str) -> None:
    """Refuse to serve a missing file, or a tracking server, which has its own page."""
    check_password_quoting("MLflow store", uri)
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        raise StudyError(
            f"the MLflow store {uri!r} does not exist, seen from this directory; it is created by the first study that "
            "is logged. Run one: imblab run experiment=quickstart, or name another store with --uri."
        )
    if not is_database(uri):
        raise StudyError(
            f"the MLflow store {presentable(uri)!r} is not a database; a tracking server has its own page. Open its "
            "address in a browser, or name a database with --uri."
        )


def _check_utf8(path: Path) -> None:
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        raise StudyError(
            f"the MLflow store in the folder {os.fsencode(path.parent)!r} has no address; the name of a folder that "
            "holds runs is text in UTF-8. Rename the folder, or log elsewhere with tracking.uri=..., or nowhere with "
            "tracking=none."
        ) from None


class ExperimentConflict(StudyError):
    """The experiment belongs to another study."""


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentOwner:
    """The study that writes."""

    study: str  # name of the study
    identity: str  # hash that identifies the study under any name
    former: tuple[str, ...] = ()  # identities of the studies that it replaced in its folder; their runs belong to it
    experiment: str | None = None  # name of the experiment; that of the study by default
    #: Gives the evaluations of the study, and those of each study that it replaced. An experiment of an older imblab,
    #: which carries no identity, is recognised by them.
    ledgers: Callable[[], Iterable[Sequence[Evaluation]]] = tuple

    @property
    def experiment_name(self) -> str:
        """The name that the experiment is asked for under."""
        return self.experiment or self.study

    def owns(self, identity: str | None) -> bool:
        """Whether runs with an identity belong to this study; runs of an older imblab have none."""
        return identity in (None, self.identity, *self.former)


def claim_experiment(client: Any, owner: ExperimentOwner, uri: str) -> str:
    """Find or create the experiment of a study, and return its id; ExperimentConflict if it belongs to another one."""
    from mlflow.exceptions import MlflowException

    reason = "it is MLflow's default experiment"
    for _ in range(MAX_ATTEMPTS):
        experiment = _find_experiment(client, owner)
        if experiment is None:
            location = file_uri(artifact_folder(uri)) if is_database(uri) else None
            try:
                # Its tags are part of the creation, so a process that loses the race sees whose it is.
                tags = {IDENTITY_TAG: owner.identity, STUDY_TAG: owner.study}
                return str(client.create_experiment(owner.experiment_name, artifact_location=location, tags=tags))
            except MlflowException as error:
                reason = brief_reason(error)
                time.sleep(RETRY_SECONDS)
                continue
        if experiment.experiment_id == "0":
            break
        _check_owner(client, experiment, owner)
        if experiment.lifecycle_stage != "active":
            client.restore_experiment(experiment.experiment_id)
        elif (experiment.tags.get(IDENTITY_TAG), experiment.tags.get(STUDY_TAG)) == (owner.identity, owner.study):
            return str(experiment.experiment_id)
        else:
            # Read once more afterwards, since another process may do the same at this moment.
            client.set_experiment_tag(experiment.experiment_id, IDENTITY_TAG, owner.identity)
            client.set_experiment_tag(experiment.experiment_id, STUDY_TAG, owner.study)
    raise StudyError(
        f"the MLflow experiment {owner.experiment_name!r} can be neither found nor created for a study ({reason}); a "
        "study logs to the experiment of its name. Look at it with `imblab ui`, or log to another one with "
        "tracking.experiment=..."
    )


def user_tags() -> dict[str, str]:
    """Tags that name the user and the source, as MLflow's own calls note them, and the machine."""
    from mlflow.tracking.context.default_context import DefaultRunContext

    try:
        tags = {str(name): str(value) for name, value in DefaultRunContext().tags().items()}
    except (KeyError, OSError):  # a user id without a name, as in a container
        tags = {USER_TAG: "unknown", "mlflow.source.type": "LOCAL"}
    return {**tags, HOST_TAG: socket.gethostname()}


def writer_id(folder: Path) -> str:
    """A hash of the machine and the folder that write, which reveals neither."""
    return fingerprint(socket.gethostname(), str(folder.resolve()))


def iterate_runs(client: Any, experiment: str, query: str = "") -> Iterator[Any]:
    """All runs of an experiment, page by page."""
    search = partial(client.search_runs, [experiment], query, max_results=1000)
    page = search()
    yield from page
    while page.token:
        page = search(page_token=page.token)
        yield from page


def _find_experiment(client: Any, owner: ExperimentOwner) -> Any:
    """The experiment that was named, else that of the study's name, else one that the study has created earlier."""
    named = client.get_experiment_by_name(owner.experiment_name)
    if owner.experiment or (named is not None and owner.owns(named.tags.get(IDENTITY_TAG))):
        return named
    for identity in (owner.identity, *owner.former):
        for experiment in client.search_experiments(filter_string=f"tags.`{IDENTITY_TAG}` = '{identity}'"):
            if experiment.tags.get(STUDY_TAG) == owner.study:
                return experiment
    return named


def _check_owner(client: Any, experiment: Any, owner: ExperimentOwner) -> None:
    """Refuse the experiment of another study."""
    identity = experiment.tags.get(IDENTITY_TAG)
    if owner.owns(identity) and (identity is not None or _rows_agree(client, experiment, owner)):
        return
    newest = client.search_runs([experiment.experiment_id], f"tags.`{ROLE_TAG}` = 'study'", max_results=1)
    tags = newest[0].data.tags if newest else {}
    whose = "".join(f"{word} {tags[name]!r} " for word, name in (("of", USER_TAG), ("on", HOST_TAG)) if name in tags)
    other = f"identity {identity!r}" if identity else "other rows, logged by an older imblab"
    free_name = f"{owner.experiment_name}-{owner.identity[:6]}"
    raise ExperimentConflict(
        f"the MLflow experiment {experiment.name!r} holds another study {whose}({other}; this one has "
        f"{owner.identity!r}); an experiment shows one study, and nothing of another one is changed. Add "
        f"tracking.experiment={free_name} to the command, or run the study under another name=..."
    )


def _rows_agree(client: Any, experiment: Any, owner: ExperimentOwner) -> bool:
    """Whether all cells of an experiment without an identity hold rows of the study, on the same data and folds."""
    cells = [run.data.tags for run in iterate_runs(client, experiment.experiment_id, f"tags.`{ROLE_TAG}` = 'cell'")]
    cells = [tags for tags in cells if STALE_TAG not in tags]
    if any(not owner.owns(tags.get(IDENTITY_TAG)) for tags in cells):
        return False
    states = {state for rows in owner.ledgers() for state in _cell_states(rows)} if cells else set()
    return all((_cell_of_tags(tags), *(tags.get(name) for name in FINGERPRINT_TAGS)) in states for tags in cells)


def _cell_states(rows: Sequence[Evaluation]) -> Iterator[tuple[str, str, str]]:
    """The key, data and folds of every cell, after each number of its evaluations."""
    cells: dict[str, list[Evaluation]] = {}
    for row in sorted(rows, key=lambda row: (row.repeat, row.fold)):
        cells.setdefault(f"{row.dataset}/{row.learner}/{row.strategy}", []).append(row)
    for key, members in cells.items():
        yield from ((key, row.data_fingerprint, splits_of(members[: n + 1])) for n, row in enumerate(members))


def _cell_of_tags(tags: Mapping[str, str]) -> str:
    return "/".join(tags.get(f"imblab.{name}", "") for name in ("dataset", "learner", "strategy"))
