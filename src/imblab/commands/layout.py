"""Requests and layouts: a study from its overrides, its tables loaded, its splits made and checked; fits nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from imblab.commands.short_form import UNREAD_TABLE, expand_short_form, words_of_study
from imblab.core import classes, design, estimator_specs, own_code, splits, task_decisions
from imblab.edges import config, datasets, runner, store
from imblab.edges.config.validation import ErrorCollector
from imblab.edges.ledger import Expected
from imblab.errors import ConfigError, DataError, ImblabError, StudyError, combined
from imblab.result import Evaluation
from imblab.study import Cell, Dataset, Split, Study, fingerprint
from imblab.text import count_noun, join_words

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

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each data set."""
        return {name: data.fingerprint for name, data in self.datasets.items()}

    def widened(self, recorded: Study) -> Layout:
        """Return the layout of all that a folder records of these tables, which may be more than was asked for."""
        study = replace(recorded, learners=tuple(map(estimator_specs.with_traits, recorded.learners)))
        plans = {name: splits.plan(data, study.protocol, study.seed) for name, data in self.datasets.items()}
        return Layout(study, self.datasets, plans, design.expand_cells(study, plans), self._cautions)

    def expected(self, retry_failed: bool = False) -> Expected:
        """Return the addresses, tables and code that existing evaluations must match.

        With ``retry_failed`` failed evaluations are about to be replaced and may differ.
        """
        code = {c.key: own_code.code_names(*design.specs_and_functions(c, self.study)) for c in self.cells}
        addresses = {c.key: design.cell_address(c, self.study, self.datasets[c.dataset]) for c in self.cells}
        return Expected(
            addresses, self.fingerprints, {key: names for key, names in code.items() if names}, retry_failed
        )

    def code_notes(self) -> list[str]:
        """Return one sentence for each class or function whose source cannot be read."""
        return [
            f"{path!r}: {reason}. Its code is not known, so that its predictions are not stored, and no other process "
            "resumes its evaluations."
            for path, reason in own_code.unreadable_code(design.named_code_paths(self.study)).items()
        ]

    def notes(self) -> list[str]:
        """Return what is said of the study before its fits: code that cannot be read, warnings about tables."""
        return [*self.code_notes(), *(text for name in self.datasets for text in self.cautions(name))]

    def cautions(self, name: str) -> list[str]:
        """Return warnings about a table and its splits."""
        if name not in self._cautions:
            data, plan = self.datasets[name], self.plans[name]
            self._cautions[name] = [
                *datasets.dataset_warnings(data, plan),
                *classes.cautions(data, plan, self.study.protocol.test_size),
            ]
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
        roles = {role: "given" for role in ("groups", "folds", "time") if getattr(table, role) is not None}
        described[key] = {"kind": MEMORY, "name": table.name, "parent": table.parent or table.name, **roles}
    return described


def absent_table_error(study: str, name: str) -> DataError:
    """Say that a table of a study was in memory, and who takes it."""
    return DataError(
        f"data set {name!r} of study {study!r} was a table in memory; no file describes it. Hand it over in Python: "
        "imblab.load, rescore, export, verify, reproduce and imblab.audit_study take data=[...]. Or write the table to "
        "a file and run a study with dataset=table."
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
    loaded = dict(given or {})
    keys: dict[str, str | None] = dict.fromkeys(loaded)  # a table in memory has none
    unread = datasets.missing_folders(study.datasets)
    problems: list[ImblabError] = [_folder_problem(folder, absent) for folder, absent in unread.items()]
    for key, spec in study.datasets.items():
        if any(key in absent for absent in unread.values()):
            continue
        try:
            name = datasets.name_and_parent(spec, key)[0]
            if spec.get("kind") == MEMORY:
                if name not in loaded:
                    raise absent_table_error(study.name, name)
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
        problems += task_decisions.decision_problems(study, data)
    problems += _fold_number_problems(study, loaded)
    if problems:
        raise combined(list({str(problem): problem for problem in problems}.values()))
    study = with_fold_numbers(study, loaded)
    return Layout(study, loaded, plans, design.expand_cells(study, plans))


def lay_out_recorded(layout: Layout, recorded: Study) -> Layout:
    """Return the layout of all that a folder records; tables that were not asked for now are loaded.

    Raises ConfigError or DataError if one of them cannot be.
    """
    names = {key: datasets.name_and_parent(spec, key)[0] for key, spec in recorded.datasets.items()}
    absent = {key: spec for key, spec in recorded.datasets.items() if names[key] not in layout.datasets}
    loaded = lay_out(replace(recorded, datasets=absent), layout.datasets) if absent else layout
    return loaded.widened(recorded)


def _folder_problem(folder: str, keys: Sequence[str]) -> DataError:
    """Say once that the folder of several data sets does not exist."""
    return DataError(
        f"the folder {folder!r} of {count_noun(len(keys), 'data set')} ({join_words(keys)}) does not exist; paths "
        f"are relative to the current directory. Correct data_dir=FOLDER if the experiment asks for it, else "
        f"dataset.{keys[0]}.path and those of the others."
    )


def _fold_number_problems(study: Study, loaded: Mapping[str, Dataset]) -> Iterator[ConfigError]:
    """Find recorded numbers of predefined folds that are not those of the tables."""
    for key, spec in study.datasets.items():
        data, recorded = loaded.get(datasets.name_and_parent(spec, key)[0]), spec.get("n_folds")
        if data is not None and recorded not in (None, len(data.fold_names)):
            counted = f"its column of folds has {len(data.fold_names)} values"
            yield ConfigError(
                f"'dataset.{key}.n_folds' is {recorded!r}, but {counted}; imblab counts and records the values of that "
                "column. Restore the table, or leave n_folds out."
            )


def with_fold_numbers(study: Study, loaded: Mapping[str, Dataset]) -> Study:
    """Record how many predefined folds each table has: the design is counted without the tables afterwards."""
    specs: dict[str, Mapping[str, Any]] = {}
    for key, spec in study.datasets.items():
        data = loaded.get(datasets.name_and_parent(spec, key)[0])
        specs[key] = {**spec, "n_folds": len(data.fold_names)} if data and data.fold_names else spec
    return replace(study, datasets=specs)


def check_tables(layout: Layout, evaluations: Sequence[Evaluation], name: str) -> None:
    """Refuse tables with another content than the evaluations of study ``name`` rest on; raises StudyError."""
    for evaluation in evaluations:
        data, before = layout.datasets.get(evaluation.dataset), evaluation.data_fingerprint
        if data is not None and data.fingerprint != before:
            raise StudyError(
                f"data set {data.name!r} has changed since study {name!r} was run ({before[:12]} before, "
                f"{data.fingerprint[:12]} now); its predictions belong to the earlier rows. Restore the data, or run "
                "the study again under another name."
            )


def without_fold_numbers(study: Study) -> dict[str, dict[str, Any]]:
    """Return how the data sets of a study are loaded, as they were typed."""
    return {key: {name: v for name, v in spec.items() if name != "n_folds"} for key, spec in study.datasets.items()}


def parse_request(args: Sequence[str], config_dirs: Sequence[Path], command: str = "run") -> config.Request:
    """Build the study and its run options from command-line overrides, or from a resolved study.

    An override may be the path of a ``study.yaml``, of which ``name=...`` makes a copy; the path of a table with its
    keys is a study of that table. ``command`` stands in the command lines that messages suggest.
    """
    resolved = next((arg for arg in args if arg.endswith((".yaml", ".yml")) and "=" not in arg), None)
    if resolved is not None:
        others = [arg for arg in args if arg != resolved]
        return config.load_request(Path(resolved), others, config_dirs, copies=True)
    names_keel = any("keel_" in arg for arg in args)
    extra = {f"keel_{n}": {"kind": "keel", "table": n} for n in datasets.keel_names()} if names_keel else {}
    extra |= {f"zenodo_{n}": {"kind": "zenodo", "table": n} for n in datasets.zenodo_names()}
    collector = ErrorCollector()
    expanded = collector.attempt(expand_short_form, args, command)
    if expanded is None:
        # Its other words are read next to a table that is not loaded, so that all is refused at once.
        collector.attempt(config.compose_request, [*UNREAD_TABLE, *words_of_study(args)], config_dirs, extra)
        collector.check()
    return config.compose_request(expanded, config_dirs, extra)


def requested_engine(request: config.Request) -> runner.Engine:
    """Return the engine that a request asks for."""
    options = request.runner
    opener = store_opener(store.DEFAULT_PATH) if options.get("store", True) else None
    cluster, n_jobs = None, options.get("n_jobs") or runner.available_cores()
    given = [f"runner.{key}={options[key]}" for key in ("address", "shared") if options.get(key) is not None]
    if given and options.get("engine") != "dask":
        raise ConfigError(
            f"{given[0]!r} is about workers of Dask, and 'runner' is 'local'. Write runner=dask {' '.join(given)}."
        )
    if options.get("engine") == "dask":
        cluster = runner.Cluster(options.get("address"), options.get("shared"))
        n_jobs = options.get("n_jobs") or (runner.MAX_JOBS if cluster.address else n_jobs)
    return runner.Engine(n_jobs, opener, options.get("fit_timeout"), cluster=cluster)


def planning_engine(request: config.Request) -> runner.Engine:
    """Return the engine for a plan: it uses an existing store, but creates none, and connects to no cluster."""
    engine = replace(requested_engine(request), n_jobs=request.runner.get("n_jobs") or runner.available_cores())
    return engine if store.DEFAULT_PATH.exists() else replace(engine, open_store=None)


def store_opener(path: str | Path | None) -> Callable[[], runner.PredictionStore] | None:
    """Return a function that opens the prediction store at a path; None without a path."""
    return None if path is None else partial(store.SqliteStore, Path(path).resolve())
