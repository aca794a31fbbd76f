"""The files of groups that a study is composed from: none of them may hide a member, or lack one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override

from imblab.edges.config.command_line import MEMBER_KEYS, NOUNS, read_group
from imblab.edges.config.validation import ErrorCollector
from imblab.errors import ConfigError
from imblab.groups import shipped_groups


@dataclass(frozen=True, slots=True)
class ChosenFile:
    """A file of a group that a study is composed from."""

    group: str
    option: str  # the name of the file, by which it is chosen
    parent: str  # the file whose defaults list names it, as in ``strategy/mine``
    paths: tuple[Path, ...]  # all files of that name, in the order in which Hydra looks: it takes the first

    @property
    def is_shipped(self) -> bool:
        """Whether imblab has this file, or made it in memory: it holds one member, under its own name."""
        return not self.paths or self.paths[0].is_relative_to(shipped_groups())


def check_files(files: Sequence[ChosenFile]) -> None:
    """Refuse files of which a part would be left out: two of one name, two of one member, one without a member."""
    errors, described = ErrorCollector(), dict[tuple[str, str], ChosenFile]()
    parents = {f"{file.group}/{file.option}": file.parent for file in files}
    for file in files:
        errors.attempt(_check_one_content, file)
        builds_on_others = f"{file.group}/{file.option}" in parents.values()
        for name in errors.attempt(_check_members, file, builds_on_others) or ():
            other = described.setdefault((file.group, name), file)
            if other.option != file.option and other.parent != f"{file.group}/{file.option}":
                errors.attempt(_refuse_pair, other, file, name)
    errors.check()


def members_of(file: ChosenFile) -> Mapping[str, Any]:
    """Return the members that a file of a group describes, by name; those of shipped files without their content."""
    if file.group not in MEMBER_KEYS:
        return {}
    if file.is_shipped:
        return {file.option: {}}
    text, content = _read_yaml(file.paths[0])
    if re.search(r"^# *@package +_global_ *$", text, re.MULTILINE):
        content = content.get(file.group) if isinstance(content, Mapping) else None
    return {str(k): v for k, v in content.items() if k != "defaults"} if isinstance(content, Mapping) else {}


def _read_yaml(path: Path) -> tuple[str, Any]:
    text = path.read_text(encoding="utf-8")
    return text, yaml.safe_load(text)


def _check_one_content(file: ChosenFile) -> None:
    """Refuse a name for which several folders have different files."""
    for path in file.paths[1:]:
        if _read_yaml(path)[1] != _read_yaml(file.paths[0])[1]:
            key = " and the key in it" if file.group in MEMBER_KEYS else ""
            raise ConfigError(
                f"{NOUNS.get(file.group, file.group)} {file.option!r} is described by two files that differ: "
                f"{str(file.paths[0])!r} and {str(path)!r}; a name stands for one file. Rename the second one{key}."
            )


def _check_members(file: ChosenFile, builds_on_others: bool) -> Mapping[str, Any]:
    """Refuse a file that describes no member, or one member without its name; else return the members."""
    members = members_of(file)
    if file.group not in MEMBER_KEYS or file.is_shipped:
        return members
    noun, path = NOUNS.get(file.group, file.group), str(file.paths[0])
    if not members and not builds_on_others:
        raise ConfigError(
            f"{path!r} describes no {noun}; a file of this group holds its members by name. "
            f"Write {file.option}: {{...}} there."
        )
    keys = {key for member in read_group(file.group) for key in member.content}
    are_members = all(isinstance(value, Mapping) and keys.issuperset(value) for value in members.values())
    if file.option not in members and keys.issuperset(members) and not are_members:
        raise ConfigError(
            f"{path!r} begins with {next(iter(members))!r}, which is a key of a {noun}; a file of this group holds its "
            f"members by name. Indent its lines below {file.option}:."
        )
    return members


def _refuse_pair(one: ChosenFile, other: ChosenFile, name: str) -> None:
    noun = NOUNS.get(one.group, one.group)
    renamed = other if one.option == name or one.is_shipped else one
    raise ConfigError(
        f"{one.option!r} and {other.option!r} both describe {noun} {name!r}; a study holds one {noun} of a name. "
        f"Rename {name!r} in {str(renamed.paths[0])!r}, for example to {renamed.option!r}, or choose one of the two."
    )


def notes_on_own_members(
    composed: Mapping[str, Any], overrides: Sequence[Override], config_dirs: Sequence[Path]
) -> list[str]:
    """Say which members of an experiment's own stay next to those that were chosen."""
    typed = {tuple(str(override.key_or_group).split(".")[:2]) for override in overrides}
    choices = {str(o.key_or_group): o.value() for o in overrides if o.key_or_group in MEMBER_KEYS and not o.is_delete()}
    notes = []
    for group, value in choices.items():
        chosen = value if isinstance(value, list) else [value]
        others = [name for name in composed.get(group) or () if name not in chosen and (group, name) not in typed]
        if others and not any("/" in name for name in chosen):
            files = [member.name for member in read_group(group, config_dirs)]
            notes += [
                f"{group}.{name} is described by the experiment itself, and stays: ~{group}.{name} removes it."
                for name in others
                if name not in files
            ]
    return notes
