"""The groups of the configuration: one file per option, shipped ones and those of the user's own folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

#: Groups whose files put their members under their own key, with the key that every member has.
MEMBER_KEYS = {"dataset": "kind", "learner": "make", "strategy": "sampler", "measures": "function"}


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One option of a group, as its file describes it.

    Attributes
    ----------
    name : str
        The name by which it is chosen.
    content : mapping
        The content of the file; empty if the file cannot be read.
    description : str
        Its ``label`` or ``description``, else the comment that opens the file.
    path : Path
        Of its YAML file.
    is_shipped : bool
        Whether the file is part of imblab.
    """

    name: str
    content: Mapping[str, Any]
    description: str
    path: Path
    is_shipped: bool


def shipped_groups() -> Path:
    """Return the folder of the shipped groups: ``conf`` of the checkout if there is one, else of the package."""
    inside = Path(str(files("imblab"))) / "conf"
    return inside if inside.is_dir() else Path(str(files("imblab"))).parents[1] / "conf"


def group_names(config_dirs: Sequence[Path] = ()) -> set[str]:
    """Return the names of the groups."""
    return {p.name for folder in (shipped_groups(), *config_dirs) for p in folder.iterdir() if p.is_dir()}


def group_options(group: str, config_dirs: Sequence[Path] = ()) -> list[str]:
    """Return the names of the options that a group has as files."""
    return sorted({p.stem for folder in (shipped_groups(), *config_dirs) for p in (folder / group).glob("*.yaml")})


def read_group(group: str, config_dirs: Sequence[Path] = ()) -> list[GroupMember]:
    """Read all files of a group, by name; a later folder replaces what an earlier one has.

    Parameters
    ----------
    group : str
        The folder below ``conf/``, such as ``learner``.
    config_dirs : sequence of Path, default=()
        Folders with the user's own groups.

    Returns
    -------
    list of GroupMember

    Examples
    --------
    >>> next(member.content["needs"] for member in read_group("measures") if member.name == "brier")
    'probability'
    """
    members: dict[str, GroupMember] = {}
    for folder in (*config_dirs[::-1], shipped_groups()):
        for path in sorted((folder / group).glob("*.yaml")):
            for member in _read_group_file(group, path, folder == shipped_groups()):
                members.setdefault(member.name, member)
    return [members[name] for name in sorted(members)]


def _read_group_file(group: str, path: Path, is_shipped: bool) -> Iterator[GroupMember]:
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        yield GroupMember(path.stem, {}, "this file cannot be read", path, is_shipped)
        return
    content = content if isinstance(content, Mapping) else {}
    members = content if group in MEMBER_KEYS else {path.stem: content}
    for name, value in members.items():
        if isinstance(value, Mapping):
            words = value.get("label") or value.get("description") or _opening_comment(text)
            yield GroupMember(str(name), value, str(words), path, is_shipped)


def _opening_comment(text: str) -> str:
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.lstrip("# ") for line in lines if not line.startswith("# @package"))
