"""Resolved questions that are changed for rescoring: other measures, thresholds, costs and claims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from imblab.edges.config import command_line, models, validation
from imblab.edges.config.command_line import read_group
from imblab.edges.config.overrides import RescoreModel, parse_overrides
from imblab.edges.config.studies import StudyModel, parse_study
from imblab.edges.config.validation import to_plain_data, validate
from imblab.errors import ConfigError, unknown
from imblab.study import Study, fingerprint
from imblab.text import join_words

#: What may be changed; everything else is another study.
CHANGES = re.compile(
    r"measures|measures\.[^.]+\.parameters(\.\w+)?|primary|protocol\.(thresholds|threshold_measure)"
    r"|claims\.(primary|secondary|contrasts|alpha|rope(\.[^.]+)?)"
    r"|strategy\.[^.]+\.(threshold|space\.threshold|calibration)"
)
ALLOWED_CHANGES = (
    "measures=[...], primary=..., protocol.thresholds=..., protocol.threshold_measure=..., claims.*, costs={fn: ..., "
    "fp: ...}, prior=..., strategy.<name>.threshold=... and strategy.<name>.calibration=..."
)
#: Short overrides, each for a measure with one parameter.
SHORT_OVERRIDES = {"costs": ("expected_cost", "costs"), "prior": ("precision_at_prevalence", "prevalence")}
#: The sections of a study, and those of its members, with their keys.
MODELS_OF_SECTIONS: Mapping[str, type[validation.Section]] = {
    "protocol": models.ProtocolModel,
    "search": models.SearchModel,
    "claims": models.ClaimsModel,
    "strategy": models.StrategyModel,
    "learner": models.LearnerModel,
    "measures": models.MeasureModel,
}
RUN_KEYS = ("allow", *RescoreModel.model_fields)
MAX_LABEL_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class ChangedStudy:
    """A study with other measures, thresholds or costs, and how to score it."""

    study: Study  # named ``<name>.<label>``; nothing in it was claimed before the first row
    label: str  # its folder below ``rescored``
    refit: bool  # whether fits that the store lacks are made
    allow: tuple[str, ...]  # what the study may name in addition to the shipped classes


def change_study(
    mapping: Mapping[str, Any], overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> ChangedStudy:
    """Change the content of a ``study.yaml`` by overrides, :data:`ALLOWED_CHANGES` and :data:`RUN_KEYS` alone."""
    _check_sections(mapping)
    changes = {str(override.key_or_group): override for override in parse_overrides(overrides)}
    typed = {key: to_plain_data(changes.pop(key).value()) for key in RUN_KEYS if key in changes}
    allow = command_line.parse_allow(typed.pop("allow", []))
    if "label" in typed:
        typed["label"] = str(typed["label"])
    run = validate(RescoreModel, typed)
    for key, override in changes.items():
        if key not in SHORT_OVERRIDES and not CHANGES.fullmatch(key):
            _check_key(key, override)
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


def _check_key(key: str, override: Override) -> None:
    """Refuse a key that no study has."""
    top, *parts = key.lstrip("+~").split(".")
    known: Sequence[str] = [*StudyModel.model_fields, *SHORT_OVERRIDES, *RUN_KEYS]
    name, place = top, ""
    if top in MODELS_OF_SECTIONS and parts:
        depth = int(top in ("strategy", "learner", "measures"))  # below the name of the member
        name, place = (parts[depth:] or [""])[0], f"in {'.'.join([top, *parts[:depth]])!r}"
        known = [*MODELS_OF_SECTIONS[top].model_fields]
    if name and name not in known:
        raise ConfigError(f"override {override.input_line!r}: {unknown('key', name, known, place)}")


def _check_sections(mapping: Mapping[str, Any]) -> None:
    """Refuse a resolved question that lacks a section, as a damaged file does."""
    kinds: dict[str, type[Any]] = {"name": str, "primary": str, "protocol": dict, "measures": dict, "claims": dict}
    wrong = [key for key, kind in kinds.items() if not isinstance(mapping.get(key), kind)]
    if "claims" not in wrong and not isinstance(mapping["claims"].get("rope"), dict):
        wrong.append("claims")
    if wrong:
        raise ConfigError(
            f"the question on record has no valid {join_words(map(repr, wrong))}; a resolved study has each section. "
            "Restore its study.yaml, or run the study again with overwrite=true."
        )


def _apply(study: dict[str, Any], changes: Mapping[str, Override], config_dirs: Sequence[Path]) -> dict[str, Any]:
    record = _claims_on_record(study)
    known = {member.name: to_plain_data(member.content) for member in read_group("measures", config_dirs)}
    known |= study["measures"]
    for key in sorted(changes, key=lambda key: key != "measures"):
        value = to_plain_data(changes[key].value())
        if key == "measures":
            if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                raise ConfigError(
                    f"override {changes[key].input_line!r} lists no names; measures are listed. Write for example "
                    "measures=[mcc,pr_auc,f2]."
                )
            if missing := [name for name in value if name not in known]:
                raise ConfigError(unknown("measure", missing[0], known))
            study["measures"] = {str(name): known[name] for name in value}
        elif key in SHORT_OVERRIDES:
            name, parameter = SHORT_OVERRIDES[key]
            study["measures"][name] = {**known[name], "parameters": {parameter: value}}
        elif validation.is_space_key(key):  # its text stands as typed
            _assign(study, key, (changes[key].input_line or "").partition("=")[2].strip("'\""))
        else:
            _assign(study, key, value)
    study["claims"]["registered"] = record
    return study


def _claims_on_record(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims on record without their contrasts: results computed after seeing the data are exploratory."""
    claims = study["claims"]
    record = {"primary": study["primary"], "alpha": claims.get("alpha"), "rope": dict(claims["rope"])}
    record["repeats"] = study["protocol"]["repeats"]
    return {**(claims.get("registered") or record), "contrasts": [], "primary_contrasts": []}


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
