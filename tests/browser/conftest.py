"""Real Chromium on a fresh profile, a real MLflow server on loopback, and screenshots that are kept.

``IMBLAB_SCREENSHOTS=folder`` keeps the screenshots there; otherwise they lie in pytest's temporary folder.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from imblab.edges.mlflow import ui

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium():
    """The path of Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def open_context(browser, width, height, **how):
    """A fresh profile that stays on this machine, and the list of other addresses that its pages asked for."""
    strangers = []

    def stay_here(route):
        if route.request.url.startswith(("http://127.0.0.1", "file:", "data:", "blob:", "about:")):
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    context = browser.new_context(viewport={"width": width, "height": height}, **how)
    # MLflow opens its assistant at a first visit, over a quarter of the page.
    context.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
    context.route("**/*", stay_here)
    return context, strangers


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by playwright; skipped with the reason where it is absent."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser):
    """A function that opens an address in a page with a profile of its own: `open_page(url, width=1440, **context)`.

    Addresses other than loopback and files are refused, and any that a page asks for fails the test.
    """
    contexts = []

    def opened(url, width=1440, height=1000, timeout=60_000, **how):
        contexts.append(open_context(browser, width, height, **how))
        page = contexts[-1][0].new_page()
        page.set_default_timeout(timeout)
        page.goto(url)
        return page

    yield opened
    for context, _ in contexts:
        context.close()
    assert not [address for _, strangers in contexts for address in strangers]


@pytest.fixture
def keep(tmp_path):
    """A function that keeps a screenshot of a page or of a part of it: `keep(page, "name")` gives the path."""
    folder = Path(os.environ.get("IMBLAB_SCREENSHOTS") or tmp_path).resolve()
    folder.mkdir(parents=True, exist_ok=True)

    def kept(shown, name, **how):
        path = folder / f"{name}.png"
        shown.screenshot(path=path, **how)
        assert path.stat().st_size > 5000
        return path

    return kept


@pytest.fixture
def port():
    """A port that nobody listens on."""
    return free_port()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def mlflow_server(uri, folder):
    """A real ``mlflow server`` on loopback, by imblab's own command; gives its address."""
    port = free_port()
    command, environment = ui.ui_command(uri, port)
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def answering():
    """A function that returns once an address answers: `answering(url, process)`."""
    return wait_for


def wait_for(url, process, seconds=90):
    """Return once an address answers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"{url} does not answer within {seconds} s")


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """A function that starts a server on a store for the rest of the module: `serve(uri)` gives its address."""
    with ExitStack() as stack:
        yield lambda uri: stack.enter_context(mlflow_server(uri, tmp_path_factory.mktemp("server")))
