"""Which installed distribution a module's file belongs to, and whether the file is still the one that was installed.

A version says what the code is only where the file is listed in the RECORD of a distribution, with the hash that it
has now, and the distribution was not installed from a folder or a checkout, whose content changes under one version
(PEP 376, PEP 610).
"""

from __future__ import annotations

import csv
import json
import sys
import sysconfig
from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path, PurePath

#: Folders of installed packages, which may lie below that of the standard library.
INSTALLED = ("site-packages", "dist-packages")
#: Packages whose ``__version__`` is trusted where there is no RECORD: another tool than pip has put them there.
TRUSTED = ("sklearn", "imblearn", "lightgbm", "xgboost", "numpy", "scipy")
#: Where the name of a distribution is not that of its package: looked into first.
NAMES = {"sklearn": "scikit_learn", "imblearn": "imbalanced_learn"}
#: Keys of ``direct_url.json`` for a folder and for a checkout.
CHANGING = ("dir_info", "vcs_info")


def version_of(module: str, file: Path, content: bytes) -> str | None:
    """Return the distribution that fixes the content of a module's file.

    Parameters
    ----------
    module : str
        Dotted name.
    file : Path
    content : bytes
        Of the file.

    Returns
    -------
    str or None
        Such as ``"scikit_learn-1.7.2"``; None where the file is listed nowhere, was changed after the installation, or
        belongs to a distribution that was installed from a folder or a checkout.

    Examples
    --------
    >>> import numpy
    >>> path = Path(numpy.__file__)
    >>> version_of("numpy", path, path.read_bytes()) == f"numpy-{numpy.__version__}"
    True
    >>> version_of("numpy", path, b"changed") is None
    True
    """
    parts = module.split(".")
    depth = len(parts) if file.name.partition(".")[0] == "__init__" else len(parts) - 1
    root = file.parents[depth] if depth < len(file.parents) else file.parent
    relative = file.relative_to(root).as_posix()
    for folder in _likely_first(root, parts[0]):
        if relative in _listed(folder):
            same = _hash_of(content) == _files(folder).get(relative)
            return folder.name.removesuffix(".dist-info") if same and not _is_changing(folder) else None
    return parts[0] if parts[0] in TRUSTED and set(INSTALLED) & set(file.parts) else None


def is_standard(module: str, file: Path | None) -> bool:
    """Whether a module is one of Python's own, which come with the version of Python.

    Examples
    --------
    >>> import json
    >>> is_standard("json", Path(json.__file__)), is_standard("json", Path("json.py").resolve())
    (True, False)
    """
    if module.partition(".")[0] not in sys.stdlib_module_names:
        return False
    return file is None or (any(file.is_relative_to(p) for p in _standard()) and not set(INSTALLED) & set(file.parts))


@lru_cache(maxsize=1)
def _standard() -> tuple[PurePath, ...]:
    paths = sysconfig.get_paths()
    return tuple(Path(paths[name]) for name in ("stdlib", "platstdlib"))


def _likely_first(root: Path, package: str) -> list[Path]:
    """The metadata folders next to a package, those that are called after it first."""
    name = NAMES.get(package, package).lower()
    return sorted(_folders(root), key=lambda folder: not folder.name.lower().replace("-", "_").startswith(name))


@lru_cache(maxsize=64)
def _folders(root: Path) -> tuple[Path, ...]:
    return tuple(sorted(root.glob("*.dist-info")))


@lru_cache(maxsize=1024)
def _listed(folder: Path) -> str:
    """The text of a RECORD, in which a path is looked for before it is parsed."""
    try:
        return (folder / "RECORD").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


@lru_cache(maxsize=64)
def _files(folder: Path) -> dict[str, str]:
    rows = csv.reader(_listed(folder).splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[1]}


@lru_cache(maxsize=64)
def _is_changing(folder: Path) -> bool:
    """Whether a distribution was installed from a folder or a checkout."""
    try:
        found = json.loads((folder / "direct_url.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and any(key in found for key in CHANGING)


def _hash_of(content: bytes) -> str:
    return f"sha256={urlsafe_b64encode(sha256(content).digest()).rstrip(b'=').decode()}"
