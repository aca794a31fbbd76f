"""What was typed, as a question and an engine to answer it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from imblab.edges import config, datasets, runner, store

#: Where studies live, below the current directory.
EXPERIMENTS = Path("experiments")


def request(args: Sequence[str], config_dirs: Sequence[Path], command: str = "run") -> config.Request:
    """Compose a request from overrides, or read it from a resolved study.

    Parameters
    ----------
    args : sequence of str
        Hydra overrides; the first may be the path of a ``study.yaml``, and the path of a table with its keys is a
        study of that table.
    config_dirs : sequence of Path
    command : str, default="run"
        What a line to paste calls.

    Returns
    -------
    Request
    """
    if args and args[0].endswith((".yaml", ".yml")) and "=" not in args[0]:
        return config.load(Path(args[0]), args[1:], config_dirs)
    args = datasets.expand(args, command)
    asked = " ".join(args)
    extra = {f"keel_{n}": {"kind": "keel", "table": n} for n in datasets.keel_names()} if "keel_" in asked else {}
    extra |= {f"zenodo_{n}": {"kind": "zenodo", "table": n} for n in datasets.zenodo_names()}
    return config.compose(args, config_dirs, extra)


def engine(request: config.Request) -> runner.Engine:
    """The engine that a request asks for."""
    asked = request.runner
    kept = opener(store.DEFAULT) if asked.get("store", True) else None
    return runner.Engine(asked.get("n_jobs") or runner.cores(), kept, asked.get("fit_timeout"))


def known_engine(request: config.Request) -> runner.Engine:
    """The engine for a plan: it reads and feeds a store that is there, and makes none."""
    found = engine(request)
    return found if store.DEFAULT.exists() else replace(found, open_store=None)


def opener(path: str | Path | None) -> Callable[[], runner.Known] | None:
    """What opens the prediction store at a path; None for no store."""
    return None if path is None else partial(store.Store, Path(path).resolve())
