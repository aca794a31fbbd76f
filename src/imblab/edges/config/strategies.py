"""How a strategy is written: a sampler, its ratio and k, a weight, a calibration, a threshold; what is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imblab.core import calibration, estimator_specs, thresholds
from imblab.edges.config import checks, estimators, sweeps
from imblab.errors import ConfigError, unknown
from imblab.study import Axis, Choice, Interval, Strategy

KNOBS = ("ratio", "k", "weight", "threshold")
#: The constructor parameters that a knob of a sampler may stand for.
PLACES = {"ratio": ("sampling_strategy",), "k": ("k_neighbors", "n_neighbors")}


def strategy(name: str, raw: Any, allow: Sequence[str]) -> Strategy:
    """The record behind the text of a strategy.

    Raises
    ------
    ConfigError
        If a knob has a value it cannot have, or no place to go.
    """
    where = f"strategy.{checks.check_name(name, 'strategy')}"
    checks.check_keys(raw, ("label", "sampler", "prior_correction", *KNOBS, "calibration", "space"), "key", where)
    sampler = _sampler(raw.get("sampler"), f"{where}.sampler", allow)
    given = raw.get("space") or {}
    checks.check_keys(given, KNOBS, "knob", f"{where}.space")
    space = {n: _axis(n, given[n], f"{where}.space.{n}") for n in KNOBS if given.get(n) is not None}
    fixed = {n: raw.get(n) for n in ("ratio", "k", "weight") if n not in space and raw.get(n) is not None}
    for knob, value in fixed.items():
        _check_knob(knob, value, f"{where}.{knob}")
    _check_places(sampler, {**fixed, **space}, where)
    threshold = "tuned" if "threshold" in space else raw.get("threshold", 0.5)
    thresholds.check_rule(threshold, f"{where}.threshold")
    k = fixed.get("k")
    calibrated = _calibration(raw, sampler is not None, where, allow)
    k = None if k is None else int(k)
    label = estimators.read_label(raw.get("label"), f"{where}.label")
    return Strategy(name, sampler, fixed.get("weight"), threshold, space, fixed.get("ratio"), k, *calibrated, label)


def _calibration(raw: Mapping[str, Any], samples: bool, where: str, allow: Sequence[str]) -> tuple[str, str | None]:
    """How answers become probabilities, and whether a prior correction undoes the sampler."""
    kind, correction = raw.get("calibration") or "none", raw.get("prior_correction")
    if isinstance(kind, Mapping) and [*kind] == ["_target_"]:
        kind = kind["_target_"]
    if isinstance(kind, str) and calibration.is_class(kind):
        _check_calibrator(kind, f"{where}.calibration", allow)
    elif kind not in calibration.CALIBRATIONS:
        raise ConfigError(unknown("calibration", str(kind), calibration.CALIBRATIONS, f"in '{where}.calibration'"))
    if correction is not None and correction not in calibration.CORRECTIONS:
        raise ConfigError(unknown("value", str(correction), calibration.CORRECTIONS, f"for '{where}.prior_correction'"))
    if calibration.corrects_prior(kind) and samples and correction is None:
        raise ConfigError(
            f"'{where}.calibration' is {kind!r}, and nothing says whether a prior correction undoes its sampler; exact "
            "is one that copies or drops rows at random, approximate one that makes rows between rows of one class, "
            f"inapplicable any other. Set {where}.prior_correction=approximate, or choose another calibration."
        )
    return kind, correction


def _check_calibrator(path: str, where: str, allow: Sequence[str]) -> None:
    """Refuse what cannot turn scores into probabilities."""
    made = estimators.built({"_target_": path}, where, allow)
    if not (hasattr(made, "fit") and hasattr(made, "predict")):
        raise ConfigError(
            f"{where!r} is {path!r}, which has no fit and predict; a calibration learns by fit(score, y) and gives "
            f"probabilities by predict(score). Name such a class, or one of {', '.join(calibration.CALIBRATIONS)}."
        )


def _sampler(raw: Any, where: str, allow: Sequence[str]) -> dict[str, Any] | None:
    if raw is None:
        return None
    sampler = estimators.make(raw, where, allow)
    for form in (sampler, sampler.get("_mixed_"), sampler.get("_categorical_")):
        if form is not None:
            estimators.check_sampler(estimators.make(form, where, allow), where, allow)
    return sampler


def _check_places(sampler: Mapping[str, Any] | None, knobs: Mapping[str, Any], where: str) -> None:
    """A knob needs one place to go: conditional spaces are real."""
    for knob in (k for k in PLACES if k in knobs):
        if sampler is None:
            raise ConfigError(
                f"'{where}.{knob}' is set, but strategy {where.split('.')[1]!r} has no sampler; {knob} is a knob of a "
                f"sampler. Set {where}.sampler, or leave {knob} out."
            )
        if f"${knob}" in _texts(sampler):
            continue
        known = estimator_specs.parameter_names(sampler)
        if not known & set(PLACES[knob]):
            raise ConfigError(
                f"'{where}.{knob}' is set, but {sampler['_target_']!r} has no {' or '.join(PLACES[knob])}; a knob "
                f"needs a place. Write ${knob} where it belongs in {where}.sampler, or leave it out."
            )
        taken = [place for place in PLACES[knob] if sampler.get(place) is not None]
        if taken:
            raise ConfigError(
                f"'{where}.sampler.{taken[0]}' is {checks.quote(sampler[taken[0]])} while the knob {knob!r} is set "
                f"too; the knob is that parameter. Leave it out of the sampler and set {where}.{knob}."
            )


def _texts(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set().union(*map(_texts, value.values())) if value else set()
    return {value} if isinstance(value, str) else set()


def _axis(knob: str, given: Any, where: str) -> Axis:
    found = sweeps.axis(given, where, integer=knob == "k")
    if knob == "threshold" and isinstance(found, Interval):
        raise ConfigError(
            f"{where!r} is {found.text()}; thresholds are swept on fits that exist, over listed values. Write "
            "range(0.05,1,0.05), or threshold=tuned."
        )
    for value in found.values if isinstance(found, Choice) else (found.low, found.high):
        _check_knob(knob, value, where)
    if knob == "threshold":
        sweeps.grid_of(given, where)
    return found


def _check_knob(knob: str, value: Any, where: str) -> None:
    number = checks.is_finite_number(value)
    rules = {
        "ratio": (number and 0 < value <= 1, "a ratio lies above 0 and at most at 1 (minority to majority)", "0.5"),
        "k": (number and value >= 1 and float(value).is_integer(), "k is a whole number, at least 1", "5"),
        "weight": (value == "balanced" or (number and value > 0), "a weight is above 0, or 'balanced'", "10"),
        "threshold": (number and 0 <= value <= 1, "a threshold lies from 0 to 1", "0.5"),
    }
    fits, rule, example = rules[knob]
    if not fits:
        searched = ".space." in where
        raise ConfigError(
            f"{where!r} {'holds' if searched else 'is'} {checks.quote(value)}; {rule}. Write for example "
            f"{f'choice({example})' if searched else example}."
        )
