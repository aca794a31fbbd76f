"""The artifacts of the run of a study: files of its folder, and what is made on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from imblab.edges import files as folders

#: Of the files of a study's folder.
SENT = (".yaml", ".jsonl", ".json", ".parquet", ".html", ".diff")


@dataclass(frozen=True, slots=True)
class File:
    """An artifact of the run of a study.

    Attributes
    ----------
    path : str
        Below the run.
    content : str
        The address of what it holds; the same content is not sent twice.
    write : callable
        Gives the file, or writes it into the folder it receives; None where there is nothing to send.
    """

    path: str
    content: str
    write: Callable[[Path], Path | None]


def in_folder(folder: Path) -> list[File]:
    """What the folder of a study holds for people and machines."""
    found = [name for name in folders.names(folder) if name.endswith(SENT)]
    found += [name for below in ("figures", "tables") for name in folders.names(folder, below)]
    seen = [name for name in found if "." in name and not name.rpartition("/")[2].startswith(".")]
    return [
        File(name, sha256(folders.read(folder, name, alone=True)).hexdigest(), partial(_copied, folder, name))
        for name in seen
    ]


def _copied(folder: Path, name: str, place: Path) -> Path:
    """A copy of a file, since MLflow would follow a link that has taken its place meanwhile."""
    path = place / name.rpartition("/")[2]
    path.write_bytes(folders.read(folder, name, alone=True))
    return path
