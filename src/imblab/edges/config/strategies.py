"""A strategy from its mapping: a sampler, its ratio and k, a weight, a calibration, a threshold, and what is searched.

A knob of :data:`imblab.study.KNOBS` is checked by its row of the table. Any other key of a space is a parameter of the
sampler's constructor, and is checked as that class's parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from imblab.core import decisions, estimator_specs
from imblab.edges.config import estimators, parameters, sweeps
from imblab.edges.config.validation import LABEL_RULE, Label, Section, quote, to_plain_data, validate
from imblab.errors import ConfigError, unknown
from imblab.study import FITTED_KNOBS, KNOBS, Axis, Interval, Strategy

#: The knobs of the table that can have a space.
SEARCHABLE_KNOBS = tuple(knob.name for knob in KNOBS.values() if knob.rule)
#: Keys of a sampler that hold its forms for tables with some and with only categorical columns.
FORM_KEYS = ("_mixed_", "_categorical_")


def _knob(name: str, schema: dict[str, Any]) -> Any:
    return Field(default=None, description=KNOBS[name].rule, json_schema_extra=schema)


class StrategyModel(Section):
    """A treatment of imbalance: a sampler, a weight, a calibration and a threshold, and what is searched."""

    label: Label | None = Field(default=None, description=LABEL_RULE)
    sampler: estimators.Specification = Field(default=None, description=estimators.SPECIFICATION_RULE)
    prior_correction: Any = Field(
        default=None,
        description="whether a prior correction undoes the sampler",
        json_schema_extra={"enum": [*decisions.CORRECTIONS, None]},
    )
    ratio: Any = _knob("ratio", {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1})
    k: Any = _knob("k", {"type": ["number", "null"], "minimum": 1})
    weight: Any = _knob("weight", {"type": ["number", "string", "null"]})
    threshold: Any = Field(
        default=0.5,
        description="a number from 0 to 1, tuned, or one rule such as {alert_rate: 0.01}",
        json_schema_extra={"type": ["number", "string", "object"]},
    )
    calibration: Any = Field(
        default=None,
        description=f"one of {', '.join(decisions.CALIBRATIONS)}, or the path of a class",
        json_schema_extra={"type": ["string", "object", "null"]},
    )
    space: sweeps.Space = Field(default=None, description=sweeps.SPACE_RULE)


def read_strategy(name: str, raw: Any, allow: Sequence[str]) -> Strategy:
    """Read a strategy, or refuse a knob with a value that it cannot have, or no parameter to stand for."""
    where = f"strategy.{name}"
    model = validate(StrategyModel, raw, where)
    values = dict(model)
    sampler = _read_sampler(model.sampler, f"{where}.sampler", allow)
    given = {knob: text for knob, text in (model.space or {}).items() if text is not None}
    space = {
        knob: _read_knob_axis(knob, given[knob], f"{where}.space.{knob}") for knob in SEARCHABLE_KNOBS if knob in given
    }
    fixed = {knob: values[knob] for knob in FITTED_KNOBS if knob not in space and values[knob] is not None}
    for knob, value in fixed.items():
        _check_value(knob, value, f"{where}.{knob}")
    _check_places(sampler, {**fixed, **space}, where)
    further = sorted(given.keys() - {*SEARCHABLE_KNOBS})
    space |= {knob: _read_sampler_axis(knob, given[knob], sampler, where, allow) for knob in further}
    _check_placeholders(sampler, space, f"{where}.sampler")
    threshold = "tuned" if "threshold" in space else model.threshold
    decisions.check_rule(threshold, f"{where}.threshold")
    kind, correction = _read_calibration(model, sampler is not None, where, allow)
    return Strategy(
        name,
        sampler,
        fixed.get("weight"),
        threshold,
        space,
        ratio=fixed.get("ratio"),
        k=int(fixed["k"]) if "k" in fixed else None,
        calibration=kind,
        prior_correction=correction,
        label=model.label or "",
    )


def strategy_mapping(strategy: Strategy) -> dict[str, Any]:
    """Return the mapping that :func:`read_strategy` reads as an equal strategy; the label is left out."""
    mapping = {"sampler": to_plain_data(strategy.sampler)}
    if strategy.prior_correction is not None:
        mapping["prior_correction"] = strategy.prior_correction
    mapping |= {knob: to_plain_data(getattr(strategy, knob)) for knob in SEARCHABLE_KNOBS}
    if strategy.calibration != "none":
        mapping["calibration"] = strategy.calibration
    return {**mapping, "space": sweeps.spaces_to_text(strategy.space)}


def _read_calibration(model: StrategyModel, samples: bool, where: str, allow: Sequence[str]) -> tuple[str, str | None]:
    """Return the calibration, and whether a prior correction undoes the sampler."""
    kind, correction = model.calibration or "none", model.prior_correction
    if isinstance(kind, Mapping) and [*kind] == ["_target_"]:
        kind = kind["_target_"]
    if isinstance(kind, str) and decisions.is_class(kind):
        _check_calibrator(kind, f"{where}.calibration", allow)
    elif kind not in decisions.CALIBRATIONS:
        raise ConfigError(unknown("calibration", str(kind), decisions.CALIBRATIONS, f"in '{where}.calibration'"))
    if correction is not None and correction not in decisions.CORRECTIONS:
        raise ConfigError(unknown("value", str(correction), decisions.CORRECTIONS, f"for '{where}.prior_correction'"))
    if decisions.corrects_prior(kind) and samples and correction is None:
        raise ConfigError(
            f"'{where}.calibration' is {kind!r}, and nothing says whether a prior correction undoes its sampler; exact "
            "is one that copies or drops rows at random, approximate one that makes rows between rows of one class, "
            f"inapplicable any other. Set {where}.prior_correction=approximate, or choose another calibration."
        )
    return kind, correction


def _check_calibrator(path: str, where: str, allow: Sequence[str]) -> None:
    calibrator = estimators.build_checked({"_target_": path}, where, allow)
    if not (hasattr(calibrator, "fit") and hasattr(calibrator, "predict")):
        raise ConfigError(
            f"{where!r} is {path!r}, which has no fit and predict; a calibration learns by fit(score, y) and gives "
            f"probabilities by predict(score). Name such a class, or one of {', '.join(decisions.CALIBRATIONS)}."
        )


def _read_sampler(raw: Any, where: str, allow: Sequence[str]) -> dict[str, Any] | None:
    if raw is None:
        return None
    sampler = estimators.read_spec(raw, where, allow)
    for form in _forms(sampler):
        estimators.check_sampler(estimators.read_spec(form, where, allow), where, allow)
    return sampler


def _forms(sampler: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [sampler, *(sampler[key] for key in FORM_KEYS if sampler.get(key) is not None)]


def _check_places(sampler: Mapping[str, Any] | None, knobs: Iterable[str], where: str) -> None:
    """Check that each knob of the sampler has one parameter to stand for."""
    for knob in (knob for knob in knobs if KNOBS[knob].place == "sampler"):
        if sampler is None:
            raise ConfigError(
                f"'{where}.{knob}' is set, but strategy {where.split('.')[1]!r} has no sampler; {knob} is a knob of a "
                f"sampler. Set {where}.sampler, or leave {knob} out."
            )
        if f"${knob}" in _placeholders(sampler):
            continue
        places = KNOBS[knob].parameters
        if not estimator_specs.parameter_names(sampler) & set(places):
            raise ConfigError(
                f"'{where}.{knob}' is set, but {sampler['_target_']!r} has no {' or '.join(places)}; a knob stands for "
                f"a parameter. Write ${knob} where it belongs in {where}.sampler, or leave it out."
            )
        _check_not_fixed(sampler, places, knob, f"{where}.{knob}", where)


def _check_not_fixed(
    sampler: Mapping[str, Any], parameters_of_knob: Iterable[str], knob: str, key: str, where: str
) -> None:
    fixed = [name for name in parameters_of_knob if sampler.get(name) is not None]
    if fixed and sampler[fixed[0]] != f"${knob}":
        raise ConfigError(
            f"'{where}.sampler.{fixed[0]}' is {quote(sampler[fixed[0]])} while the knob {knob!r} is set too; "
            f"the knob is that parameter. Leave it out of the sampler, or leave {key} out."
        )


def _placeholders(value: Any) -> set[str]:
    """Return the texts such as ``$k`` in a sampler."""
    if isinstance(value, Mapping):
        return set().union(*map(_placeholders, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(_placeholders, value))
    return {value} if estimator_specs.is_placeholder(value) else set()


def _check_placeholders(sampler: Mapping[str, Any] | None, space: Iterable[str], where: str) -> None:
    knobs = (*(knob.name for knob in KNOBS.values() if knob.place == "sampler"), "categorical", *space)
    for name in sorted(text[1:] for text in _placeholders(sampler)):
        if name not in knobs:
            raise ConfigError(unknown("placeholder", f"${name}", [f"${knob}" for knob in knobs], f"in {where!r}"))


def _read_sampler_axis(
    knob: str, given: Any, sampler: Mapping[str, Any] | None, where: str, allow: Sequence[str]
) -> Axis:
    """Read the axis of a parameter of the sampler that is not in the table of knobs."""
    key = f"{where}.space.{knob}"
    if sampler is None:
        raise ConfigError(unknown("knob", knob, SEARCHABLE_KNOBS, f"in '{where}.space'"))
    is_placed = f"${knob}" in _placeholders(sampler)
    for form in [] if is_placed else _forms(sampler):
        names = estimator_specs.parameter_names(form)
        places = {name: each.parameter_among(names) for name, each in KNOBS.items()}
        if knob not in names:
            valid = (*SEARCHABLE_KNOBS, *sorted(names - {*places.values(), "random_state"}))
            raise ConfigError(unknown("knob", knob, valid, f"of {form['_target_']!r} in '{where}.space'"))
        standing_for = next((name for name, place in places.items() if place == knob), None)
        if standing_for is not None:
            raise ConfigError(
                f"{key!r} is a space of the parameter that the knob {standing_for!r} stands for; a parameter has one "
                f"name in a study. Write {where}.space.{standing_for}."
            )
    _check_not_fixed(sampler, [knob], knob, key, where)
    cls = estimator_specs.resolve_class(sampler["_target_"], allow=None)
    axis = sweeps.read_axis(given, key, estimators.is_whole(sampler, knob), absolute=False)
    for value in sweeps.values_of(axis):
        parameters.check_parameter(knob, value, cls, f"{where}.space")
        for form in _forms(sampler):
            estimators.check_sampler(form if is_placed else {**form, knob: value}, key, allow, {knob: value})
    return axis


def _read_knob_axis(knob: str, given: Any, where: str) -> Axis:
    axis = sweeps.read_axis(given, where, integer=KNOBS[knob].is_whole)
    if knob == "threshold" and isinstance(axis, Interval):
        raise ConfigError(
            f"{where!r} is {axis.text()}; thresholds are swept on fits that exist, over listed values. Write "
            "range(0.05,1,0.05), or threshold=tuned."
        )
    for value in sweeps.values_of(axis):
        _check_value(knob, value, where)
    if knob == "threshold":
        sweeps.read_thresholds(given, where)
    return axis


def _check_value(name: str, value: Any, where: str) -> None:
    knob = KNOBS[name]
    if knob.accepts(value):
        return
    searched = ".space." in where
    raise ConfigError(
        f"{where!r} {'holds' if searched else 'is'} {quote(value)}; {knob.rule}. Write for example "
        f"{f'choice({knob.example})' if searched else knob.example}."
    )
