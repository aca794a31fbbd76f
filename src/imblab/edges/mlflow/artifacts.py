"""Artifacts of the run of a study: files of its folder, and files that are made when they are sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from imblab.edges import files as folders

#: Of the files of a study's folder.
ARTIFACT_SUFFIXES = (".yaml", ".jsonl", ".json", ".parquet", ".html", ".diff")


@dataclass(frozen=True, slots=True)
class Artifact:
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


def folder_artifacts(folder: Path) -> list[Artifact]:
    """The files of a study's folder that are sent: question, rows, derived files, report, figures and tables."""
    names = [name for name in folders.file_names(folder) if name.endswith(ARTIFACT_SUFFIXES)]
    names += [name for below in ("figures", "tables") for name in folders.file_names(folder, below)]
    visible = [name for name in names if "." in name and not name.rpartition("/")[2].startswith(".")]
    hashes = [sha256(folders.read_bytes(folder, name, single_link=True)).hexdigest() for name in visible]
    return [
        Artifact(name, content, partial(_copy_file, folder, name))
        for name, content in zip(visible, hashes, strict=True)
    ]


def _copy_file(folder: Path, name: str, place: Path) -> Path:
    """Copy a file, since MLflow would follow a link that has taken its place meanwhile."""
    path = place / name.rpartition("/")[2]
    path.write_bytes(folders.read_bytes(folder, name, single_link=True))
    return path
