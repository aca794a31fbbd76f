"""Rescoring: the keys of a resolved study that may change without another fit, and the changed study."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from imblab.edges.config import grants, sweeps
from imblab.edges.config.groups import read_group
from imblab.edges.config.hydra_overrides import parse_overrides
from imblab.edges.config.models import RescoreModel
from imblab.edges.config.read import parse_study
from imblab.edges.config.validation import to_plain_data, validate
from imblab.errors import ConfigError, unknown
from imblab.study import Study, fingerprint

#: What may be changed; everything else is another study.
CHANGES = re.compile(
    r"measures|measures\.\w+\.parameters(\.\w+)?|primary|protocol\.(thresholds|threshold_measure)"
    r"|claims\.(contrasts|alpha|rope(\.\w+)?)|strategy\.\w+\.(threshold|space\.threshold|calibration)"
)
ALLOWED_CHANGES = (
    "measures=[...], primary=..., protocol.thresholds=..., protocol.threshold_measure=..., claims.*, costs={fn: ..., "
    "fp: ...}, prior=..., strategy.<name>.threshold=... and strategy.<name>.calibration=..."
)
#: Short overrides, each for a measure with one parameter.
SHORT_OVERRIDES = {"costs": ("expected_cost", "costs"), "prior": ("precision_at_prevalence", "prevalence")}
RUN_KEYS = ("allow", *RescoreModel.model_fields)
MAX_LABEL_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class ChangedStudy:
    """A study with other measures, thresholds or costs, and how to score it.

    Attributes
    ----------
    study : Study
        Named ``<name>.<label>``; nothing in it was claimed before the first row.
    label : str
        Its folder below ``rescored``.
    refit : bool
        Whether fits that the store lacks are made.
    allow : tuple of str
        What the study may name in addition to the shipped classes.
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
        As typed: :data:`ALLOWED_CHANGES`, ``refit``, ``label``, ``allow``, ``allow_network`` and ``allow_sql``.
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
    changes = {str(override.key_or_group): override for override in parse_overrides(overrides)}
    typed = {key: to_plain_data(changes.pop(key).value()) for key in RUN_KEYS if key in changes}
    allow = grants.parse_allow(typed.pop("allow", []))
    if "label" in typed:
        typed["label"] = str(typed["label"])
    run = validate(RescoreModel, typed)
    for key, override in changes.items():
        if key not in SHORT_OVERRIDES and not CHANGES.fullmatch(key):
            raise ConfigError(
                f"override {override.input_line!r} would change the fits of study {mapping['name']!r}; rescoring "
                f"fits nothing else. Use {ALLOWED_CHANGES}, or run another study."
            )
    if not changes:
        raise ConfigError(
            f"rescoring study {mapping['name']!r} changes nothing; it needs another setting. Use {ALLOWED_CHANGES}."
        )
    changed = _apply(to_plain_data(mapping), changes, config_dirs)
    label = run.label or _folder_name(changes, 90 - len(mapping["name"]))
    name = f"{mapping['name']}.{label}"
    study = parse_study({**changed, "name": name}, allow, run.model_dump(include={"allow_network", "allow_sql"}))
    return ChangedStudy(study, label, run.refit, allow)


def _apply(study: dict[str, Any], changes: Mapping[str, Override], config_dirs: Sequence[Path]) -> dict[str, Any]:
    record = _claims_on_record(study)
    for key in sorted(changes, key=lambda key: key != "measures"):
        if key == "measures":
            names = changes[key].value()
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ConfigError(
                    f"override {changes[key].input_line!r} lists no names; measures are listed. Write for example "
                    "measures=[mcc,pr_auc,f2]."
                )
            study["measures"] = {str(name): _measure_mapping(name, study["measures"], config_dirs) for name in names}
        elif key in SHORT_OVERRIDES:
            name, parameter = SHORT_OVERRIDES[key]
            measure = to_plain_data(_measure_mapping(name, study["measures"], config_dirs))
            study["measures"][name] = {
                **measure,
                "parameters": {parameter: to_plain_data(changes[key].value())},
            }
        else:
            _assign(study, key, _value_of(changes[key]))
    study["claims"]["registered"] = record
    return study


def _claims_on_record(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims on record without their contrasts: results computed after seeing the data are exploratory."""
    claims = study["claims"]
    record = {"primary": study["primary"], "alpha": claims["alpha"], "rope": dict(claims["rope"])}
    record["repeats"] = study["protocol"]["repeats"]
    return {**(claims.get("registered") or record), "contrasts": []}


def _measure_mapping(name: str, known: Mapping[str, Any], config_dirs: Sequence[Path]) -> Any:
    """Return the mapping of a measure of the study, else of its file."""
    if name in known:
        return known[name]
    members = {member.name: member.content for member in read_group("measures", config_dirs)}
    if name not in members:
        raise ConfigError(unknown("measure", name, {*known, *members}))
    return members[name]


def _value_of(override: Override) -> Any:
    """Return the value as typed: space text as it stands, everything else as Hydra parses it."""
    if sweeps.is_space_key(str(override.key_or_group)):
        return (override.input_line or "").partition("=")[2].strip("'\"")
    return to_plain_data(override.value())


def _assign(study: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    place = study
    for section in sections:
        if section not in place:
            raise ConfigError(unknown("name", section, place, f"in {key!r}"))
        place = place[section]
    place[last] = value
    if sections[:1] == ["strategy"] and last == "threshold" and sections[-1] != "space":
        place["space"].pop("threshold", None)  # a knob is fixed or searched


def _folder_name(changes: Mapping[str, Override], room: int) -> str:
    """Return a folder name made from the changes; a digest replaces its end if it is too long."""
    typed = " ".join(sorted(str(override.input_line) for override in changes.values()))
    slug = re.sub(r"[^A-Za-z0-9_.+]+", "-", typed).strip("-.+_")
    length = max(8, min(MAX_LABEL_CHARACTERS, room))
    return slug if len(slug) <= length else f"{slug[: length - 7].rstrip('-.+_')}-{fingerprint(typed)[:6]}"
