"""MLflow's own pages on this project's store: loopback, one worker, no job runner."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from imblab.edges.mlflow import views
from imblab.edges.mlflow.address import artifacts, check_servable, file_uri, resolved
from imblab.edges.mlflow.client import alone, answering, connect, quiet
from imblab.edges.mlflow.owners import ROLE, STUDY
from imblab.errors import StudyError, presentable


def serve(uri: str, port: int | None, say: Callable[[str], None], study: str | None = None) -> NoReturn:
    """Become a server of MLflow's pages on loopback, until interrupted.

    Parameters
    ----------
    uri : str
        A database that exists.
    port : int or None
        The first free one from 5000 on by default.
    say : callable
        Receives the address, and those of the saved views of a study.
    study : str, optional
        The newest by default.

    Raises
    ------
    StudyError
        If there is no such store or study, or the port is taken.
    """
    check_servable(uri)
    chosen = _free_port(port)
    way_out = "its runs are what the page shows. Start the database, or name another store with --uri."
    with answering(uri, way_out), alone(uri):
        found = pages(connect(uri), f"http://127.0.0.1:{chosen}", study, presentable(uri))
    command, environment = ui_command(uri, chosen)
    say("\n".join([f"MLflow starts on http://127.0.0.1:{chosen} (Ctrl-C ends it)", *found]))
    # The server takes the place of this process, with its memory and its signals: Ctrl-C ends it with 0.
    os.execve(command[0], command, {**os.environ, **environment})


def ui_command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and environment of a light server: one worker, no job runner, loopback only.

    Plain ``mlflow ui`` ignores ``MLFLOW_TRACKING_URI`` and starts 15 processes. The address of the store may hold a
    password, so it stands in the environment, where other users do not see it.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", file_uri(artifacts(uri))]
    # A line a request would bury the addresses of the views.
    command += ["--uvicorn-opts", "--log-level warning"]
    store = {"MLFLOW_BACKEND_STORE_URI": resolved(uri)}
    return command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **store, **quiet()}


def pages(client: Any, server: str, name: str | None, store: str) -> list[str]:
    """Where a study is compared.

    Parameters
    ----------
    client : MlflowClient
    server : str
        The address of the pages.
    name : str or None
        Of the study or its experiment; the newest if None.
    store : str
        For the message.

    Returns
    -------
    list of str
        A title and an address for each saved view, or for the plain run table where none is saved; empty where the
        store holds no study.

    Raises
    ------
    StudyError
        If no such study is logged.
    """
    experiments = {found.experiment_id: found for found in client.search_experiments(max_results=10_000)}
    asked = [key for key, found in experiments.items() if name in (None, found.name, found.tags.get(STUDY))]
    newest = {"order_by": ["attributes.start_time DESC"], "max_results": 1}
    runs = client.search_runs(asked, f"tags.`{ROLE}` = 'study'", **newest) if asked else []
    if not runs and name is not None:
        known = sorted(found.name for key, found in experiments.items() if key != "0")
        raise StudyError(
            f"there is no study {name!r} in the MLflow store {store!r}; a study is logged there when it has run. "
            f"Look at one of {known}, or run imblab run name={name} ..."
        )
    if not runs:
        return []
    found = experiments[runs[0].info.experiment_id]
    saved = [(title, key) for key, title in views.MENU.items() if views.TAG + key in found.tags] or [("Runs", "")]
    return [f"{title} of {found.name}: {views.link(server, found.experiment_id, key)}" for title, key in saved]


def _free_port(port: int | None) -> int:
    import socket

    for candidate in (port,) if port else range(5000, 5100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", candidate)) != 0:
                return candidate
    taken = f"port {port} is" if port else "ports 5000 to 5099 are all"
    raise StudyError(f"{taken} taken; the page needs one of its own. Choose another with --port.")
