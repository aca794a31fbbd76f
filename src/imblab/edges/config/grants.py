"""Grants on the command line: the user's classes by ``allow``, connections by ``allow_network`` and ``allow_sql``.

A study read from a resolved ``study.yaml`` is *received*, no matter who wrote it: classes that are not shipped and data
sets that connect to a server must be granted each time. A study composed from overrides needs ``allow`` only.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from imblab.core import admission
from imblab.edges.config.validation import quote
from imblab.errors import ConfigError, combined

#: Kinds of data sets that connect to somewhere, what they do, and the override that lets a received study do it.
CONNECTING = {
    "openml": ("opens a connection to openml.org", "allow_network"),
    "zenodo": ("opens a connection to zenodo.org", "allow_network"),
    "sql": ("opens a connection to a database", "allow_sql"),
}


def parse_allow(value: Any) -> tuple[str, ...]:
    """Read the value of ``allow``, and let packages of the current folder be imported if it names one.

    Returns the packages, modules, and paths of classes or functions that add to the shipped classes.

    Examples
    --------
    >>> parse_allow(["sklearn", "imblearn", "lightgbm", "xgboost", "imblab"])
    ()
    """
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(entry, str) and admission.ALLOW_ENTRY.fullmatch(entry) for entry in value
    ):
        raise ConfigError(
            f"'allow' is {quote(value)}; it lists packages, modules or classes of yours that a study may name, in "
            "addition to the shipped ones. Write for example allow=[mypackage]."
        )
    entries = tuple(dict.fromkeys(entry for entry in value if entry not in admission.SHIPPED))
    _import_from_current_folder(entries)
    return entries


def _import_from_current_folder(allow: Sequence[str]) -> None:
    """Append the current folder to the path of imports if a package of ``allow`` lies there and nowhere else.

    Worker processes take the path over from the process that starts them.
    """
    folder = os.getcwd()
    tops = {entry.partition(".")[0] for entry in allow}
    if folder in sys.path or not any(_lies_in(top, folder) and not _is_importable(top) for top in tops):
        return
    sys.path.append(folder)  # at the end: a file in this folder takes the place of no installed package
    importlib.invalidate_caches()


def _lies_in(top: str, folder: str) -> bool:
    return Path(folder, f"{top}.py").is_file() or Path(folder, top).is_dir()


def _is_importable(top: str) -> bool:
    """Whether a package is found without the current folder; a module in memory counts."""
    return top in sys.modules or PathFinder.find_spec(top) is not None


def check_sources(mapping: Mapping[str, Any], granted: Mapping[str, Any]) -> None:
    """Refuse the data sets of a received study that connect to somewhere, unless that is granted.

    Parameters
    ----------
    mapping : mapping
        The content of a ``study.yaml``.
    granted : mapping
        ``allow_network`` and ``allow_sql``, true or false.

    Raises
    ------
    ConfigError
        One for all of them; its ``grants`` are the overrides that are missing.

    Examples
    --------
    >>> check_sources({"dataset": {"adult": {"kind": "openml"}}}, {"allow_network": True})
    """
    datasets = mapping.get("dataset")
    errors = []
    for name, spec in datasets.items() if isinstance(datasets, Mapping) else ():
        kind = str(spec.get("kind")) if isinstance(spec, Mapping) else ""
        does, word = CONNECTING.get(kind, ("", ""))
        if word and not granted.get(word, False):
            errors.append(
                ConfigError(
                    f"data set {str(name)!r} of the received study has the kind {kind!r}, which {does}; a study read "
                    f"from a file connects to nothing unless that is granted. If you trust it, add `{word}=true` on "
                    "your own command line.",
                    grants=(f"{word}=true",),
                )
            )
    if errors:
        raise combined(errors)
