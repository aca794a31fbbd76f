"""What is answered together: cells of one data set and learner that share their fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imblab.study import Cell, Split, Study


@dataclass(frozen=True, slots=True)
class Bundle:
    """Cells that share their rows and their learner, and so their fits.

    Attributes
    ----------
    study : Study
    dataset : str
        Its name.
    splits : tuple of Split
        The whole plan of the data set.
    cells : tuple of Cell
        One data set, one learner; one outer split, or one repeat where the inner folds are the other outer folds.
    """

    study: Study
    dataset: str
    splits: tuple[Split, ...]
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """The bundle in a few words."""
        cell = self.cells[0]
        return f"{self.dataset}/{cell.learner.name}/{cell.split.repeat}/{cell.split.fold}"


def bundles(study: Study, plans: Mapping[str, Sequence[Split]], cells: Sequence[Cell]) -> tuple[Bundle, ...]:
    """Group cells by what they share, in the order of the design.

    Parameters
    ----------
    study : Study
    plans : mapping of str to sequence of Split
    cells : sequence of Cell

    Returns
    -------
    tuple of Bundle
    """
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        shared = study.protocol.inner == "shared"
        part = f"repeat {cell.split.repeat}" if shared else cell.split.fingerprint
        groups.setdefault((cell.dataset, cell.learner.name, part), []).append(cell)
    return tuple(Bundle(study, name, tuple(plans[name]), tuple(members)) for (name, _, _), members in groups.items())
