"""The identity of a study: which study a folder holds; neither its name nor its growth changes it.

It is the hash of the resolved question and of the data fingerprints at the first evaluation, and is kept in the folder
from then on: extending a study changes nothing of it, a copy of the folder has the same one. Starting over gives
another one, which remembers those that it replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imblab.edges import files
from imblab.errors import StudyError
from imblab.study import fingerprint

FILE = "identity.json"
#: As :func:`imblab.study.fingerprint` writes it.
_DIGITS = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which study a folder holds.

    Attributes
    ----------
    now : str
        16 hexadecimal digits.
    former : tuple of str, default=()
        The identities of the studies that it replaced in the same folder (``overwrite=true``).
    """

    now: str
    former: tuple[str, ...] = ()


def keep(folder: Path, mapping: Mapping[str, Any], tables: Mapping[str, str], fresh: bool = False) -> Identity:
    """Give the identity of the study in a folder, and write it there where none is kept.

    Parameters
    ----------
    folder : Path
        Of the study; where it cannot be written, the identity is computed each time.
    mapping : mapping
        The resolved question.
    tables : mapping of str to str
        The data fingerprints by name.
    fresh : bool, default=False
        Whether the study has no evaluation yet, so that an identity in the folder belongs to another question.

    Returns
    -------
    Identity

    Raises
    ------
    StudyError
        If the file holds anything else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     first = keep(Path(place) / "s", {"seed": 0}, {"toy": "f1"})
    ...     (Path(place) / "s").mkdir()
    ...     kept = keep(Path(place) / "s", {"seed": 0}, {"toy": "f1"})
    ...     kept == first == keep(Path(place) / "s", {"seed": 0, "grown": 1}, {"toy": "f1"})
    True
    """
    known = _read(folder)
    if known is not None and not fresh:
        return known
    now = fingerprint(dict(mapping), dict(tables))
    replaced = [known] if known is not None else []
    replaced += [other for other in map(_read, sorted(folder.parent.glob(f"{_literal(folder.name)}~*"))) if other]
    former = dict.fromkeys(each for other in replaced for each in (*other.former, other.now) if each != now)
    found = Identity(now, tuple(former))
    if found != known:
        with suppress(StudyError, FileNotFoundError):  # a folder that may only be read is understood as well
            files.replace(folder, FILE, _text(found))
    return found


def is_kept(folder: Path) -> bool:
    """Whether a folder says which study it holds."""
    return files.exists(folder, FILE)


def _text(found: Identity) -> bytes:
    return (json.dumps({"identity": found.now, "former": list(found.former)}, indent=1) + "\n").encode()


def _read(folder: Path) -> Identity | None:
    if not files.exists(folder, FILE):
        return None
    try:
        found = json.loads(files.read(folder, FILE, most=2**20))
        every = [found["identity"], *found["former"]]
        if all(isinstance(each, str) and _DIGITS.fullmatch(each) for each in every):
            return Identity(every[0], tuple(every[1:]))
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise StudyError(
        f"{str(folder / FILE)!r} does not hold an identity; it says which study the folder holds, with the keys "
        "'identity' and 'former' of 16 hexadecimal digits each. Restore it, or delete it: it is computed anew from the "
        "question and the rows."
    )


def _literal(name: str) -> str:
    """A name in which ``glob`` finds no pattern."""
    return re.sub(r"([*?\[])", r"[\1]", name)
