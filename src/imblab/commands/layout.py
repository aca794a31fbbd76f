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

#: The kind of a data set that Python passed, without a file.
MEMORY = "memory"
#: Names that may be keys of a study.
KEY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A study with its tables loaded, its outer splits (``plans``) made and its cells listed; nothing is fitted."""

    study: Study
    datasets: Mapping[str, Dataset]
    plans: Mapping[str, tuple[Split, ...]]
    cells: tuple[Cell, ...]
    _cautions: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def widened(self, recorded: Study) -> Layout:
        """Return the layout of all that a folder records of these tables, which may be more than was asked for."""
        study = replace(recorded, learners=tuple(map(estimator_specs.with_traits, recorded.learners)))
        plans = {name: splits.plan(data, study.protocol, study.seed) for name, data in self.datasets.items()}
        return Layout(study, self.datasets, plans, design.expand_cells(study, plans), self._cautions)

    def expected(self, retry_failed: bool = False) -> Expected:
        """Return the addresses, tables and code that existing evaluations must match.

        With ``retry_failed`` failed evaluations are about to be replaced and may differ.
        """
        tables = {name: data.fingerprint for name, data in self.datasets.items()}
        code = {c.key: own_code.code_names(*design.specs_and_functions(c, self.study)) for c in self.cells}
        addresses = {c.key: design.cell_address(c, self.study, self.datasets[c.dataset]) for c in self.cells}
        return Expected(addresses, tables, {key: names for key, names in code.items() if names}, retry_failed)

    def code_notes(self) -> list[str]:
        """Return one sentence for each class or function whose source cannot be read."""
        return [
            f"{path!r}: {reason}. Its code is not known, so that its predictions are not stored, and no other process "
            "resumes its evaluations."
            for path, reason in own_code.unreadable_code(design.named_code_paths(self.study)).items()
        ]

    def cautions(self, name: str) -> list[str]:
        """Return warnings about a table and its splits."""
        if name not in self._cautions:
            data, plan = self.datasets[name], self.plans[name]
            self._cautions[name] = [*datasets.dataset_warnings(data, plan), *splits.cautions(data, plan)]
        return self._cautions[name]


def in_memory(data: Sequence[Dataset]) -> dict[str, dict[str, str]]:
    """Describe tables that Python passed, by keys for ``study.yaml``: they belong to the design, and have no file.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> in_memory([Dataset("mine", pd.DataFrame(), np.zeros(0), ("no", "yes"))])
    {'mine': {'kind': 'memory', 'name': 'mine', 'parent': 'mine'}}
    """
    described = {}
    for table in data:
        key = table.name if KEY_PATTERN.fullmatch(table.name) else f"memory_{fingerprint(table.name)[:8]}"
        roles = {role: "given" for role in ("groups", "time") if getattr(table, role) is not None}
        described[key] = {"kind": MEMORY, "name": table.name, "parent": table.parent or table.name, **roles}
    return described


def _check_given(study: str, name: str, given: Mapping[str, Dataset]) -> None:
    if name not in given:
        raise DataError(
            f"data set {name!r} of study {study!r} was a table in memory; no file describes it. Run the study in "
            "Python with imblab.run(study, data=[...]), or write the table to a file and run a study with "
            "dataset=table."
        )


def lay_out(study: Study, given: Mapping[str, Dataset] | None = None) -> Layout:
    """Load the tables, make and check the splits, list the cells.

    ``given`` holds tables in memory, by name. Raises one ConfigError or DataError with all problems of all data sets.
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


def parse_request(args: Sequence[str], config_dirs: Sequence[Path], command: str = "run") -> config.Request:
    """Build the study and its run options from command-line overrides, or from a resolved study.

    The first override may be the path of a ``study.yaml``; the path of a table with its keys is a study of that table.
    ``command`` stands in the command lines that messages suggest.
    """
    if args and args[0].endswith((".yaml", ".yml")) and "=" not in args[0]:
        return config.load_request(Path(args[0]), args[1:], config_dirs)
    args = datasets.expand_short_form(args, command)
    names_keel = any("keel_" in arg for arg in args)
    extra = {f"keel_{n}": {"kind": "keel", "table": n} for n in datasets.keel_names()} if names_keel else {}
    extra |= {f"zenodo_{n}": {"kind": "zenodo", "table": n} for n in datasets.zenodo_names()}
    return config.compose_request(args, config_dirs, extra)


def requested_engine(request: config.Request) -> runner.Engine:
    """Return the engine that a request asks for."""
    options = request.runner
    opener = store_opener(store.DEFAULT_PATH) if options.get("store", True) else None
    return runner.Engine(options.get("n_jobs") or runner.available_cores(), opener, options.get("fit_timeout"))


def planning_engine(request: config.Request) -> runner.Engine:
    """Return the engine for a plan: it uses an existing store, but creates none."""
    engine = requested_engine(request)
    return engine if store.DEFAULT_PATH.exists() else replace(engine, open_store=None)


def store_opener(path: str | Path | None) -> Callable[[], runner.PredictionStore] | None:
    """Return a function that opens the prediction store at a path; None without a path."""
    return None if path is None else partial(store.SqliteStore, Path(path).resolve())
