"""Requests and layouts: a study from its overrides, its tables loaded, its splits made and checked; fits nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from imblab.core import design, estimator_specs, own_code, splits
from imblab.edges import config, datasets, runner, store
from imblab.edges.ledger import Expected
from imblab.errors import ConfigError, DataError, combined
from imblab.study import Cell, Dataset, Split, Study, fingerprint

#: The kind of a data set that Python gave, of which no file is known.
MEMORY = "memory"
#: Names that may be keys of a study; see :mod:`imblab.edges.config`.
KEY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A study laid out: its tables, its splits, its cells. Nothing has been fitted.

    Attributes
    ----------
    study : Study
    datasets : mapping of str to Dataset
    plans : mapping of str to tuple of Split
    cells : tuple of Cell
    """

    study: Study
    datasets: Mapping[str, Dataset]
    plans: Mapping[str, tuple[Split, ...]]
    cells: tuple[Cell, ...]
    _cautions: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def expected(self, retry_failed: bool = False) -> Expected:
        """Say what rows that are there already must rest on.

        Parameters
        ----------
        retry_failed : bool, default=False
            Whether failed rows are about to be replaced, so that they may rest on anything.
        """
        tables = {name: data.fingerprint for name, data in self.datasets.items()}
        code = {c.key: own_code.code_names(*design.specs_and_functions(c, self.study)) for c in self.cells}
        addresses = {c.key: design.cell_address(c, self.study, self.datasets[c.dataset]) for c in self.cells}
        return Expected(addresses, tables, {key: names for key, names in code.items() if names}, retry_failed)

    def code_notes(self) -> list[str]:
        """Say of which classes and functions the code that runs cannot be known, and what follows from it."""
        return [
            f"{path!r}: {reason}. Its code is not known, so that its predictions are not stored, and no other process "
            "resumes its evaluations."
            for path, reason in own_code.unreadable_code(design.named_code_paths(self.study)).items()
        ]

    def cautions(self, name: str) -> list[str]:
        """What a reader should know of a table before anything runs."""
        if name not in self._cautions:
            data, plan = self.datasets[name], self.plans[name]
            self._cautions[name] = [*datasets.dataset_warnings(data, plan), *splits.cautions(data, plan)]
        return self._cautions[name]


def in_memory(data: Sequence[Dataset]) -> dict[str, dict[str, str]]:
    """How a study describes tables that Python gave it: they belong to its design, and no file holds them.

    Parameters
    ----------
    data : sequence of Dataset

    Returns
    -------
    dict of str to dict
        By a key that may stand in ``study.yaml``.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> in_memory([Dataset("mine", pd.DataFrame(), np.zeros(0), ("no", "yes"))])
    {'mine': {'kind': 'memory', 'name': 'mine', 'parent': 'mine'}}
    """
    found = {}
    for table in data:
        key = table.name if KEY_PATTERN.fullmatch(table.name) else f"memory_{fingerprint(table.name)[:8]}"
        roles = {role: "given" for role in ("groups", "time") if getattr(table, role) is not None}
        found[key] = {"kind": MEMORY, "name": table.name, "parent": table.parent or table.name, **roles}
    return found


def _check_given(study: str, name: str, given: Mapping[str, Dataset]) -> None:
    if name not in given:
        raise DataError(
            f"data set {name!r} of study {study!r} was a table in memory; no file describes it. Run the study in "
            "Python with imblab.run(study, data=[...]), or write the table to a file and run a study with "
            "dataset=table."
        )


def lay_out(study: Study, given: Mapping[str, Dataset] | None = None) -> Layout:
    """Load the tables, make and check the splits, expand the design.

    Parameters
    ----------
    study : Study
    given : mapping of str to Dataset, optional
        Tables that are in memory already.

    Returns
    -------
    Layout

    Raises
    ------
    ConfigError, DataError
        With everything that is wrong with any data set, and with its splits.
    """
    design.check_plain_parameters(study)
    study = replace(study, learners=tuple(map(estimator_specs.with_traits, study.learners)))
    if not study.datasets and not given:
        known = ", ".join(row["name"] for row in datasets.listing() if row["kind"] == "bundled")
        raise ConfigError(
            f"study {study.name!r} has no data set; a study needs at least one. Say dataset=[...] with one of: "
            f"{known}, or dataset=table dataset.table.path=... dataset.table.target=..."
        )
    loaded, keys, problems = dict(given or {}), {name: name for name in given or {}}, []
    for key, spec in study.datasets.items():
        try:
            name = datasets.name_and_parent(spec, key)[0]
            if spec.get("kind") == MEMORY:
                _check_given(study.name, name, given or {})
                continue
            if name in loaded:
                raise ConfigError(
                    f"two data sets of study {study.name!r} are called {name!r}; names address rows and must differ. "
                    f"Name one of them with dataset.{key}.name."
                )
            data = datasets.read_dataset(spec, key)
            loaded[data.name], keys[data.name] = data, key
        except (ConfigError, DataError) as problem:
            problems.append(problem)
    plans: dict[str, tuple[Split, ...]] = {}
    for name, data in loaded.items():
        try:
            plans[name] = splits.plan(data, study.protocol, study.seed, keys[name])
        except (ConfigError, DataError) as problem:
            problems.append(problem)
    if problems:
        raise combined(problems)
    return Layout(study, loaded, plans, design.expand_cells(study, plans))


#: Where studies live, below the current directory.
EXPERIMENTS = Path("experiments")


def parse_request(args: Sequence[str], config_dirs: Sequence[Path], command: str = "run") -> config.Request:
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
        return config.load_request(Path(args[0]), args[1:], config_dirs)
    args = datasets.expand_short_form(args, command)
    asked = " ".join(args)
    extra = {f"keel_{n}": {"kind": "keel", "table": n} for n in datasets.keel_names()} if "keel_" in asked else {}
    extra |= {f"zenodo_{n}": {"kind": "zenodo", "table": n} for n in datasets.zenodo_names()}
    return config.compose_request(args, config_dirs, extra)


def requested_engine(request: config.Request) -> runner.Engine:
    """The engine that a request asks for."""
    asked = request.runner
    kept = store_opener(store.DEFAULT_PATH) if asked.get("store", True) else None
    return runner.Engine(asked.get("n_jobs") or runner.available_cores(), kept, asked.get("fit_timeout"))


def planning_engine(request: config.Request) -> runner.Engine:
    """The engine for a plan: it reads and feeds a store that is there, and makes none."""
    found = requested_engine(request)
    return found if store.DEFAULT_PATH.exists() else replace(found, open_store=None)


def store_opener(path: str | Path | None) -> Callable[[], runner.PredictionStore] | None:
    """What opens the prediction store at a path; None for no store."""
    return None if path is None else partial(store.SqliteStore, Path(path).resolve())
