"""Another question on the same fits: what of a resolved study may be changed after its rows are there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override

from imblab.edges.config import checks, grants, sweeps
from imblab.edges.config.groups import group_options, shipped_groups
from imblab.edges.config.read import parse_study
from imblab.edges.config.typed import parse_overrides
from imblab.errors import ConfigError, unknown
from imblab.study import Study, fingerprint

#: What may be changed; everything else is another study.
CHANGES = re.compile(
    r"measures|measures\.\w+\.parameters(\.\w+)?|primary|protocol\.(thresholds|threshold_measure)"
    r"|claims\.(contrasts|alpha|rope(\.\w+)?)|strategy\.\w+\.(threshold|space\.threshold|calibration)"
)
WAYS = (
    "measures=[...], primary=..., protocol.thresholds=..., protocol.threshold_measure=..., claims.*, costs={fn: ..., "
    "fp: ...}, prior=..., strategy.<name>.threshold=... and strategy.<name>.calibration=..."
)
#: Words of their own, each a measure with one parameter.
SHORT = {"costs": ("expected_cost", "costs"), "prior": ("precision_at_prevalence", "prevalence")}
LONGEST = 60


@dataclass(frozen=True, slots=True)
class ChangedStudy:
    """Another question and how it shall be answered.

    Attributes
    ----------
    study : Study
        Named ``<name>.<label>``; nothing in it was claimed before the first row.
    label : str
        Its folder below ``rescored``.
    refit : bool
        Whether fits that the store lacks are made.
    allow : tuple of str
    """

    study: Study
    label: str
    refit: bool
    allow: tuple[str, ...]


def change_study(
    mapping: Mapping[str, Any], overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> ChangedStudy:
    """Change a resolved question.

    Parameters
    ----------
    mapping : mapping
        The content of a ``study.yaml``.
    overrides : sequence of str
        As typed: what :data:`WAYS` lists, ``refit``, ``label``, ``allow``, ``allow_network`` and ``allow_sql``.
    config_dirs : sequence of Path, default=()
        Folders with measures of one's own.

    Returns
    -------
    Change

    Raises
    ------
    ConfigError
        If an override would change what was fitted, or changes nothing.
    """
    asked = {str(o.key_or_group): o for o in parse_overrides(overrides)}
    run = {key: asked.pop(key).value() for key in ("refit", "label", *grants.DEFAULTS) if key in asked}
    for key, override in asked.items():
        if key not in SHORT and not CHANGES.fullmatch(key):
            raise ConfigError(
                f"override {override.input_line!r} would change what the rows of study {mapping['name']!r} rest on; "
                f"rescoring makes no other fit. Say {WAYS}, or run another study."
            )
    if not asked:
        raise ConfigError(f"rescoring study {mapping['name']!r} changes nothing; it asks something else. Say {WAYS}.")
    changed = _changed(checks.to_plain_data(mapping), asked, config_dirs)
    allow = grants.parse_allow(checks.to_plain_data(run.get("allow", [])))
    label = checks.check_name(
        str(run["label"]) if "label" in run else _label(asked, 90 - len(mapping["name"])), "label"
    )
    study = parse_study({**changed, "name": f"{mapping['name']}.{label}"}, allow, sources=grants.parse_grants(run))
    return ChangedStudy(study, label, checks.check_flag(run.get("refit", False), "refit"), allow)


def _changed(question: dict[str, Any], asked: Mapping[str, Override], config_dirs: Sequence[Path]) -> dict[str, Any]:
    record = _record(question)
    for key in sorted(asked, key=lambda key: key != "measures"):
        if key == "measures":
            names = _names(asked[key])
            question["measures"] = {name: _measure(name, question["measures"], config_dirs) for name in names}
        elif key in SHORT:
            name, parameter = SHORT[key]
            found = checks.to_plain_data(_measure(name, question["measures"], config_dirs))
            question["measures"][name] = {**found, "parameters": {parameter: checks.to_plain_data(asked[key].value())}}
        else:
            _put(question, key, _value(asked[key]))
    question["claims"]["registered"] = record
    return question


def _record(question: Mapping[str, Any]) -> dict[str, Any]:
    """What was claimed before the first row, without its contrasts: whoever asks again has seen the rows."""
    claims = question["claims"]
    known = {"primary": question["primary"], "alpha": claims["alpha"], "rope": dict(claims["rope"])}
    known["repeats"] = question["protocol"]["repeats"]
    return {**(claims.get("registered") or known), "contrasts": []}


def _names(override: Override) -> list[str]:
    names = override.value()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"override {override.input_line!r} lists no names; measures are listed. Write for example "
            "measures=[mcc,pr_auc,f2]."
        )
    return [str(name) for name in names]


def _measure(name: str, known: Mapping[str, Any], config_dirs: Sequence[Path]) -> Any:
    """The text of a measure: the study's own, else that of its file."""
    if name in known:
        return known[name]
    for folder in (*config_dirs, shipped_groups()):
        if (path := folder / "measures" / f"{name}.yaml").is_file():
            return yaml.safe_load(path.read_text(encoding="utf-8"))[name]
    raise ConfigError(unknown("measure", name, sorted({*known, *group_options("measures", config_dirs)})))


def _value(override: Override) -> Any:
    """What was typed: space text as it stands, everything else as Hydra reads it."""
    if sweeps.is_space_key(str(override.key_or_group)):
        return (override.input_line or "").partition("=")[2].strip("'\"")
    return checks.to_plain_data(override.value())


def _put(question: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    place = question
    for section in sections:
        if section not in place:
            raise ConfigError(unknown("name", section, place, f"in {key!r}"))
        place = place[section]
    place[last] = value
    if sections[:1] == ["strategy"] and last == "threshold" and sections[-1] != "space":
        place["space"].pop("threshold", None)  # a knob is fixed or searched


def _label(asked: Mapping[str, Override], room: int) -> str:
    """A folder's name that says what was changed, in so many letters where that is possible."""
    typed = " ".join(sorted(str(override.input_line) for override in asked.values()))
    slug = re.sub(r"[^A-Za-z0-9_.+]+", "-", typed).strip("-.+_")
    most = max(8, min(LONGEST, room))
    return slug if len(slug) <= most else f"{slug[: most - 7].rstrip('-.+_')}-{fingerprint(typed)[:6]}"
