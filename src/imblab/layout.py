"""A study laid out: its tables loaded, its splits made and checked, its design expanded; nothing fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imblab.core import design, splits
from imblab.edges import datasets
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

    def addresses(self) -> dict[str, str]:
        """What the row of every cell must be addressed with."""
        return {c.key: design.address(c, self.study, self.datasets[c.dataset]) for c in self.cells}

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
