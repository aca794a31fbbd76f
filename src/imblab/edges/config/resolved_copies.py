"""Resolved studies under overrides: what may be set of a run, and copies under another name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from imblab.errors import ConfigError
from imblab.groups import group_options

#: Keys of a run, which are not part of the study.
RUNTIME = ("runner", "tracking", "overwrite", "allow", "allow_network", "allow_sql", "budget")
#: Where finished searches are copied: an option of the run, although it stands in the section of the search.
STORAGE = "search.storage"
#: Keys of the study that a copy of a resolved study may have anew.
COPIED = ("name", "seed")


def check_resolved(path: Path, overrides: Sequence[Override], copies: bool) -> dict[str, Any]:
    """Refuse overrides that would change a resolved study; return those that a copy of it may have anew."""
    values = {str(override.key_or_group): override.value() for override in overrides}
    copy = {key: values[key] for key in COPIED if copies and "name" in values and key in values}
    settable = f"Only {', '.join((*RUNTIME, STORAGE))} may be set"
    problems = []
    for override in overrides:
        key = override.key_or_group or ""
        if key.split(".")[0] in RUNTIME or key == STORAGE or key in copy:
            continue
        if not copies:
            way_out = f"{settable}; edit a copy to ask something else"
        elif key in COPIED:
            way_out = f"A copy under another name may have another {key}: add name=NAME"
        else:
            way_out = (
                f"{settable}, and a copy is made by name=NAME, which may have another seed; edit such a copy to ask "
                "something else"
            )
        problems.append(
            f"override {override.input_line!r} would change the resolved study {str(path)!r}; a resolved study "
            f"is run as it stands. {way_out}."
        )
    if problems:
        raise ConfigError(*problems)
    return copy


def copy_question(question: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question under another name: what was claimed is registered anew, and its rows count as seen before.

    Studies that ship with imblab do not count, as they do not where the studies of a folder are looked through.
    """
    claims = question.get("claims")
    if not isinstance(claims, Mapping) or not isinstance(claims.get("registered"), Mapping):
        return {**question, **changes}
    before = str(question.get("name"))
    seen = dict.fromkeys(
        [*(claims.get("seen_before") or ()), *([] if before in group_options("experiment") else [before])]
    )
    kept = {key: value for key, value in claims.items() if key != "registered"}
    return {**question, **changes, "claims": {**kept, "seen_before": list(seen)}}
