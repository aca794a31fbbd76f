"""A study laid out: its tables loaded, its splits made and checked, its design expanded; nothing fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imblab.core import design, own_code, splits
from imblab.edges import datasets
from imblab.edges.ledger import Expected
from imblab.errors import ConfigError
from imblab.records import Cell, Dataset, Split, Study


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

    def expected(self) -> Expected:
        """Say what rows that are there already must rest on."""
        tables = {name: data.fingerprint for name, data in self.datasets.items()}
        code = {c.key: [*own_code.part_of_address(*design.written(c, self.study))] for c in self.cells}
        addresses = {c.key: design.address(c, self.study, self.datasets[c.dataset]) for c in self.cells}
        return Expected(addresses, tables, {key: paths for key, paths in code.items() if paths})

    def code_notes(self) -> list[str]:
        """Say of which classes and functions the code that runs cannot be known, and what follows from it."""
        return [
            f"{path!r}: {reason}. Its code is not known, so that its predictions are not stored, and no other process "
            "resumes its evaluations."
            for path, reason in own_code.unreadable(design.code_paths(self.study)).items()
        ]

    def cautions(self, name: str) -> list[str]:
        """What a reader should know of a table before anything runs."""
        if name not in self._cautions:
            data, plan = self.datasets[name], self.plans[name]
            self._cautions[name] = [*datasets.warnings(data, plan), *splits.cautions(data, plan)]
        return self._cautions[name]


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
    """
    design.check_texts(study)
    if not study.datasets and not given:
        known = ", ".join(row["name"] for row in datasets.listing() if row["kind"] == "bundled")
        raise ConfigError(
            f"study {study.name!r} has no data set; a study needs at least one. Say dataset=[...] with one of: "
            f"{known}, or dataset=table dataset.table.path=... dataset.table.target=..."
        )
    loaded = dict(given or {})
    for key, spec in study.datasets.items():
        data = datasets.load(spec, key)
        if data.name in loaded:
            raise ConfigError(
                f"two data sets of study {study.name!r} are called {data.name!r}; names address rows and must differ. "
                f"Name one of them with dataset.{key}.name."
            )
        loaded[data.name] = data
    plans = {name: splits.plan(data, study.protocol, study.seed) for name, data in loaded.items()}
    return Layout(study, loaded, plans, design.expand(study, plans))
