"""Files that are made from the rows of a study: a damaged one is named and done without, the rows stay readable."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imblab.edges import evidence, provenance
from imblab.errors import DerivedFileError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def read_evidence(home: Path) -> pd.DataFrame | None:
    """Read the evidence of a study; None where there is none, and where it is damaged, which is said.

    Parameters
    ----------
    home : Path
        The folder of the study.

    Returns
    -------
    DataFrame or None
    """
    return _or_none(lambda: evidence.load_evidence(home / evidence.EVIDENCE_FILE))


def read_facts(home: Path) -> dict[str, Any]:
    """Read what travels with the evidence of a study; nothing where there is none, or a damaged one, which is said.

    Parameters
    ----------
    home : Path
        The folder of the study.

    Returns
    -------
    dict
    """
    return _or_none(lambda: evidence.load_facts(home / evidence.EVIDENCE_FILE)) or {}


def read_origin(home: Path) -> dict[str, str]:
    """Read what the last rows of a study were made with; nothing where that is damaged, which is said.

    Parameters
    ----------
    home : Path
        The folder of the study.

    Returns
    -------
    dict of str to str
    """
    return _or_none(lambda: provenance.latest_provenance(home)) or {}


def damage(home: Path) -> list[str]:
    """Find the derived files of a study that are damaged.

    Parameters
    ----------
    home : Path
        The folder of the study.

    Returns
    -------
    list of str
        A message for each: what is wrong, and what makes it again.
    """
    path, found = home / evidence.EVIDENCE_FILE, []
    reads: list[Callable[[], Any]] = [
        lambda: evidence.load_evidence(path) is None or evidence.load_facts(path),
        lambda: provenance.latest_provenance(home),
    ]
    for read in reads:
        try:
            read()
        except DerivedFileError as error:
            found.append(str(error))
    return found


def say(message: str) -> None:
    """Say on standard error that a derived file is damaged: what a command prints for machines stays as it is."""
    print(f"Damaged: {message}", file=sys.stderr)


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except DerivedFileError as error:
        say(str(error))
        return None
