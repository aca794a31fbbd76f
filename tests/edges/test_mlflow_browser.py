"""The browser opens where somebody can see it, when the server answers, and never elsewhere."""

import socket
import threading
import webbrowser

import pytest

from imblab.edges.mlflow import browser, ui

ADDRESS = "http://127.0.0.1:{}/#/experiments/1/runs"


@pytest.fixture
def desk(monkeypatch):
    """A terminal with a display and a browser."""
    for name in ("CI", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(browser.sys, "platform", "linux")
    monkeypatch.setattr(browser, "_is_terminal", lambda: True)
    monkeypatch.setattr(webbrowser, "get", lambda: None)


@pytest.mark.usefixtures("desk")
def test_a_browser_opens_on_a_desk(monkeypatch):
    assert browser.can_open_browser()
    monkeypatch.delenv("DISPLAY")
    assert not browser.can_open_browser()
    monkeypatch.setenv("BROWSER", "firefox")
    assert browser.can_open_browser()


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("missing", ["terminal", "browser", "person"])
def test_nothing_opens_where_nobody_would_see_it(missing, monkeypatch):
    def no_browser():
        raise webbrowser.Error("could not locate runnable browser")

    if missing == "terminal":
        monkeypatch.setattr(browser, "_is_terminal", lambda: False)
    elif missing == "browser":
        monkeypatch.setattr(webbrowser, "get", no_browser)
    else:
        monkeypatch.setenv("CI", "true")
    assert not browser.can_open_browser()


@pytest.mark.parametrize("stream", [None, "closed", "pipe"])
def test_a_closed_or_redirected_output_is_no_terminal(stream, monkeypatch, tmp_path):
    with (tmp_path / "out").open("w") as file:
        if stream == "closed":
            file.close()
        monkeypatch.setattr(browser.sys, "stdout", None if stream is None else file)
        assert not browser._is_terminal()


def test_the_address_is_opened_once_the_server_answers(monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = ADDRESS.format(server.getsockname()[1])
        assert not browser.wait_and_open(address, seconds=0.3)
        assert opened == []
        timer = threading.Timer(0.3, server.listen)
        timer.start()
        assert browser.wait_and_open(address, seconds=30)
        timer.join()
    assert opened == [address]


def test_the_script_opens_the_address_in_a_process_of_its_own(monkeypatch, tmp_path):
    """``BROWSER`` names a command that writes down what it was given."""
    command, seen = tmp_path / "browse", tmp_path / "seen"
    command.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}.part && mv {seen}.part {seen}\n')
    command.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(command))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = ADDRESS.format(server.getsockname()[1])
        browser.open_when_ready(address)
        for _ in range(600):
            if seen.exists():
                break
            threading.Event().wait(0.1)
    assert seen.read_text() == address


@pytest.mark.parametrize(("wanted", "possible"), [(True, True), (True, False), (False, True)])
def test_ui_says_the_address_and_opens_the_first_page_if_it_may(wanted, possible, monkeypatch):
    pages = [("Answer of a", "http://127.0.0.1:5999/#/answer"), ("Strategies of a", "http://127.0.0.1:5999/#/s")]
    said, opened = [], []
    monkeypatch.setattr(ui, "check_servable", lambda uri: None)
    monkeypatch.setattr(ui, "locked_store", lambda uri: socket.socket())
    monkeypatch.setattr(ui, "connect", lambda uri: None)
    monkeypatch.setattr(ui, "study_pages", lambda *_: pages)
    monkeypatch.setattr(ui, "_free_port", lambda port: port)
    monkeypatch.setattr(ui.os, "execve", lambda *_: None)
    monkeypatch.setattr(browser, "can_open_browser", lambda: possible)
    monkeypatch.setattr(browser, "open_when_ready", opened.append)
    ui.serve("sqlite:///x.db", 5999, said.append, opens_browser=wanted)
    assert all(f"{title}: {address}" in said[0] for title, address in pages)
    assert opened == ([pages[0][1]] if wanted and possible else [])
