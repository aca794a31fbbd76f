"""Files that are made from the evaluations of a study: a damaged one is named and done without."""

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
    """Read the evidence of a study; None where there is none, and where it is damaged, which is reported."""
    return _or_none(lambda: evidence.load_evidence(home / evidence.EVIDENCE_FILE))


def read_facts(home: Path) -> dict[str, Any]:
    """Read the facts stored with the evidence; empty where there is none, or a damaged one, which is reported."""
    return _or_none(lambda: evidence.load_facts(home / evidence.EVIDENCE_FILE)) or {}


def read_origin(home: Path) -> dict[str, str]:
    """Read the versions that the last evaluations were made with; empty where they are damaged, which is reported."""
    return _or_none(lambda: provenance.latest_provenance(home)) or {}


def damage(home: Path) -> list[str]:
    """List the derived files of a study that are damaged: what is wrong, and what makes each again."""
    path = home / evidence.EVIDENCE_FILE
    reads: list[Callable[[], Any]] = [
        lambda: evidence.load_evidence(path) is None or evidence.load_facts(path),
        lambda: provenance.latest_provenance(home),
    ]
    messages = []
    for read in reads:
        try:
            read()
        except DerivedFileError as error:
            messages.append(str(error))
    return messages


def say(message: str) -> None:
    """Report a damaged file on standard error, so that the output for machines stays as it is."""
    print(f"Damaged: {message}", file=sys.stderr)


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except DerivedFileError as error:
        say(str(error))
        return None
