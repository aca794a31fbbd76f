"""A light local server of MLflow's pages, and the addresses of a study in them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from imblab.edges.mlflow import browser
from imblab.edges.mlflow.addresses import ROLE_TAG, STUDY_TAG, absolute_uri, artifact_folder, check_servable, file_uri
from imblab.edges.mlflow.client import connect, locked_store, quiet_environment
from imblab.edges.mlflow.views import VIEW_NAMES, VIEW_TAG_PREFIX, view_link
from imblab.errors import StudyError, did_you_mean, presentable, storage_errors


def serve(
    uri: str, port: int | None, say: Callable[[str], None], study: str | None = None, opens_browser: bool = False
) -> NoReturn:
    """Replace this process with a server of MLflow's pages on loopback, until it is interrupted.

    ``port`` is the first free one from 5000 on by default. ``say`` receives the address of the server, and those of the
    saved views of ``study``, the newest by default. The first of them is opened in the browser if ``opens_browser`` is
    set and there is a display.
    """
    check_servable(uri)
    free_port = _free_port(port)
    server = f"http://127.0.0.1:{free_port}"
    way_out = "its runs are what the page shows. Start the database, or name another store with --uri."
    with storage_errors("MLflow store", uri, way_out), locked_store(uri):
        pages = study_pages(connect(uri), server, study, presentable(uri))
    command, environment = ui_command(uri, free_port)
    say("\n".join([f"MLflow starts on {server} (Ctrl-C ends it)", *(f"{name}: {page}" for name, page in pages)]))
    if opens_browser and browser.can_open_browser():
        browser.open_when_ready(pages[0][1] if pages else server)
    # The server keeps the process id, so Ctrl-C ends it with exit code 0.
    os.execve(command[0], command, {**os.environ, **environment})


def ui_command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a light server: one worker, no job runner, loopback only.

    Plain ``mlflow ui`` ignores ``MLFLOW_TRACKING_URI`` and starts 15 processes. The address of the store may hold a
    password, so it is passed in the environment, which other users cannot see.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", file_uri(artifact_folder(uri))]
    # A log line per request would bury the addresses of the views.
    command += ["--uvicorn-opts", "--log-level warning"]
    store = {"MLFLOW_BACKEND_STORE_URI": absolute_uri(uri)}
    return command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **store, **quiet_environment()}


def study_pages(client: Any, server: str, name: str | None, store: str) -> list[tuple[str, str]]:
    """A title and an address for each saved view of a study as a whole, or for the plain run table where none is saved.

    ``name`` is that of the study or of its experiment, None for the newest study; without one the list is empty.
    """
    experiments = {each.experiment_id: each for each in client.search_experiments(max_results=10_000)}
    ids = [key for key, each in experiments.items() if name in (None, each.name, each.tags.get(STUDY_TAG))]
    newest = {"order_by": ["attributes.start_time DESC"], "max_results": 1}
    runs = client.search_runs(ids, f"tags.`{ROLE_TAG}` = 'study'", **newest) if ids else []
    if not runs and name is not None:
        names = sorted(each.name for key, each in experiments.items() if key != "0")
        raise StudyError(
            f"study {name!r} is not in the MLflow store {store!r}; a study is logged there when it has run. "
            f"{did_you_mean(name, names)}Look at one of {names}, or run imblab run name={name} ..."
        )
    if not runs:
        return []
    experiment = experiments[runs[0].info.experiment_id]
    saved = [(title, key) for key, title in VIEW_NAMES.items() if VIEW_TAG_PREFIX + key in experiment.tags]
    links = saved or [("Runs", "")]
    return [(f"{title} of {experiment.name}", view_link(server, experiment.experiment_id, key)) for title, key in links]


def _free_port(port: int | None) -> int:
    for candidate in (port,) if port else range(5000, 5100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", candidate)) != 0:
                return candidate
    taken = f"port {port} is" if port else "ports 5000 to 5099 are all"
    raise StudyError(f"{taken} taken; the page needs a free one. Choose another with --port.")
