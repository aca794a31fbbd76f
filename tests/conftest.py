"""Settings of the whole suite."""

import functools
import gc
import itertools
import os
import sys
import time

import numpy as np
import pytest
from hydra.core.config_store import ConfigStore
from hypothesis import settings

from imblab.edges.config import requests

# A busy machine is slow, not wrong: no example is failed for the time it took. Where CI is set, the profile that is
# inherited draws the same examples each time.
settings.register_profile("imblab", settings.default, deadline=None)
settings.load_profile("imblab")


def _compose_once():
    """Let Hydra compose the same overrides of the shipped groups once in a process: it takes a quarter of a second.

    What it gives is only read. A folder of a user's own groups is read anew each time.
    """
    compose, composed = requests.hydra_compose, {}

    @functools.wraps(compose)
    def compose_once(name, words):
        if words[-1] != "hydra.searchpath=[]":
            return compose(name, words)
        key = (*words, str(ConfigStore.instance().repo.get("dataset")))
        if key not in composed:
            composed[key] = compose(name, words)
        return composed[key]

    requests.hydra_compose = compose_once


_compose_once()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark as slow all but some cases, evenly spread, of the tests that are ``sampled``."""
    cases = {}
    for item in items:
        if item.get_closest_marker("sampled"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for each in cases.values():
        n = min(each[0].get_closest_marker("sampled").args[0], len(each))
        kept = {i * len(each) // n for i in range(n)}
        for i, item in enumerate(each):
            if i not in kept:
                item.add_marker("slow")


def pytest_collection_finish():
    """What was imported and collected stays to the end: no search for garbage visits it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """The file of an MLflow store without runs, to be copied: making one takes seconds."""
    from imblab.edges.mlflow import client

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    uri = f"sqlite:///{path}"
    with client.locked_store(uri):
        client.prepare_tables(uri)
    return path


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Write modules of a user's own to where they are imported from, such as ``packages(mypkg__model=text)``."""
    folder = tmp_path / "own_code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    seconds = itertools.count(int(time.time()))

    def write(**files):
        # Bytecode of an earlier edit of the same length and second would be taken for that of this one.
        edited = next(seconds)
        for name, text in files.items():
            path = folder.joinpath(*name.split("/" if "/" in name else "__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            os.utime(path, (edited, edited))
        return folder

    yield write
    for name in [n for n in sys.modules if n not in before]:
        if str(getattr(sys.modules[name], "__file__", None) or folder).startswith(str(folder)):
            del sys.modules[name]


#: What the scores of a sample look like.
SAMPLE_KINDS = ("continuous", "tied", "constant", "two", "tiny", "extreme", "neighbours")


def _draw_sample(seed, kind="continuous", n=None):
    """Labels with both classes and scores of one kind."""
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(5, 200))
    y = (rng.random(n) < rng.choice([0.05, 0.3, 0.8])).astype(np.int64)
    y[rng.permutation(n)[:2]] = [0, 1]
    p = np.clip(rng.beta(1, 3, n) + 0.2 * y, 0, 1)
    kinds = {
        "continuous": p,
        "tied": np.round(p, 1),
        "constant": np.full(n, 0.5),
        "two": (p > 0.3).astype(np.float64),
        "tiny": p * 1e-13,
        "extreme": np.where(p > 0.4, 1 - p * 1e-15, p * 1e-17),
        "neighbours": 0.5 + rng.integers(-2, 3, n) * np.spacing(0.5),
    }
    return y, kinds[kind]


@pytest.fixture(scope="session")
def draw_sample():
    """Draw labels with both classes and scores: ``y, p = draw_sample(seed, kind, n)``."""
    return _draw_sample


@pytest.fixture(params=SAMPLE_KINDS)
def sample_kind(request):
    """Name every kind of scores that :func:`draw_sample` draws."""
    return request.param


@pytest.fixture(params=[(seed, kind) for seed in range(12) for kind in SAMPLE_KINDS], ids=lambda p: f"{p[0]}-{p[1]}")
def sample(request):
    """Labels with both classes and scores, of every kind."""
    return _draw_sample(*request.param)
