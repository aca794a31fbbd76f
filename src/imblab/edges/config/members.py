"""Learners and strategies from their mappings.

Learners that split or validate on the rows that they receive are refused: those rows hold synthetic ones. A learner is
judged by what the parameters of its class do, in itself and in every estimator inside it. A sampler of a strategy
receives real rows only and may cross-validate on them (InstanceHardnessThreshold does).

A knob of :data:`imblab.study.KNOBS` is checked by its row of the table. Any other key of a space is a parameter of the
sampler's constructor, and is checked as that class's parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sklearn.base import is_classifier

from imblab.core import admission, decisions, estimator_specs
from imblab.edges.config import estimators, parameters, validation
from imblab.edges.config.models import LearnerModel, StrategyModel
from imblab.edges.config.validation import Allow, ErrorCollector, is_finite_number, quote, to_plain_data, validate
from imblab.errors import ConfigError, combined, unknown
from imblab.study import FITTED_KNOBS, KNOBS, Axis, Interval, Learner, LearnerTraits, Strategy

#: Arguments of predict_proba that ask a booster for fewer rounds.
ROUND_ARGUMENTS = ("num_iteration", "iteration_range")


def read_learner(name: str, raw: Any, allow: Allow) -> Learner:
    """Read a learner, or refuse what is not a classifier, not admitted, or splits the rows that it receives."""
    where = f"learner.{name}"
    model = validate(LearnerModel, raw, where)
    make = estimators.read_spec(model.make, f"{where}.make", allow)
    estimator = estimators.build_checked(make, f"{where}.make", allow)
    _check_classifier(estimator, make, f"{where}.make", is_object=allow is None)
    errors = ErrorCollector()
    space = {
        key: errors.attempt(_read_learner_axis, key, text, make, f"{where}.space", allow)
        for key, text in (model.space or {}).items()
        if text is not None
    }
    errors.check()
    staged = {} if model.staged is None else model.staged.model_dump(exclude_unset=True)
    _check_staged(staged, make, f"{where}.staged")
    traits = LearnerTraits(
        rebalances=model.rebalances or _rebalances(estimator, space),
        rebalanced_by=tuple(dict.fromkeys(_rebalancing_parameters(make, space))),
        staged=staged,
    )
    return estimator_specs.with_traits(Learner(name, make, space, traits, model.label or "", model.kind or ""))


def learner_mapping(learner: Learner) -> dict[str, Any]:
    """Return the mapping that :func:`read_learner` reads as an equal learner; label and kind are left out."""
    mapping = {"make": to_plain_data(learner.make), "space": validation.spaces_to_text(learner.space)}
    if learner.traits.staged:
        mapping["staged"] = to_plain_data(learner.traits.staged)
    if learner.traits.rebalances:
        mapping["rebalances"] = True
    return mapping


def _check_classifier(learner: Any, make: Mapping[str, Any], where: str, is_object: bool) -> None:
    """Refuse anything but a classifier whose values its class and an honest study accept."""
    check_splits_nothing(learner, where, is_object=is_object)
    predicts = hasattr(learner, "predict_proba") or hasattr(learner, "decision_function")
    if not is_classifier(learner) or not predicts:
        way_out = "Name a classifier; a transformer goes before one in a Pipeline, and a sampler under strategy"
        if is_classifier(learner):
            way_out = "Name one that does, such as VotingClassifier with voting=soft"
        raise ConfigError(
            f"{where!r} names {make['_target_']!r}, which is not a classifier with predict_proba or decision_function; "
            f"a learner ranks the rows of two classes. {way_out}."
        )
    estimators.check_spelling(learner, [name for name in make if not name.startswith("_")], make, where)
    estimators.check_values(learner, where)


def _read_learner_axis(name: str, text: Any, make: Mapping[str, Any], where: str, allow: Allow) -> Axis:
    """Read one axis of a space; each of its values must be one that the learner accepts."""
    cls = estimator_specs.resolve_class(make["_target_"], allow=None)
    if name not in estimator_specs.parameter_names(make) and not estimator_specs.accepts_any_parameter(make):
        raise ConfigError(unknown("parameter", name, estimator_specs.parameter_names(make), f"in {where!r}"))
    if name == "random_state":
        raise ConfigError(
            f"'{where}.random_state' is {quote(text)}; everything random gets the one seed of the "
            "study, and seeds are not tuned. Leave it out and set seed=0."
        )
    estimators.check_spelling(estimators.build_checked(make, where, allow), [name], make, where)
    axis = validation.read_axis(text, f"{where}.{name}", estimators.is_whole(make, name), absolute=False)
    values = validation.values_of(axis)
    for value in values:
        parameters.check_parameter(name, value, cls, where)
        if name.rpartition("__")[2] in parameters.SPLIT_PARAMETERS:
            check_splits_nothing(estimators.build_checked({**make, name: value}, where, allow), where, searched=True)
    if numbers := [value for value in values if is_finite_number(value)]:
        largest = estimators.build_checked({**make, name: max(numbers)}, where, allow)
        estimators.check_products(largest, f"{where}.{name}")
    return axis


def _check_staged(staged: Mapping[str, Any], make: Mapping[str, Any], where: str) -> None:
    cls = estimator_specs.resolve_class(make["_target_"], allow=None)
    if staged and parameters.is_ours_to_check(cls) and staged["argument"] not in ROUND_ARGUMENTS:
        raise ConfigError(
            f"{where!r} is {quote(staged)}; its argument of predict_proba says how many rounds are asked, "
            f"by {' or '.join(ROUND_ARGUMENTS)}. Correct it, or leave {where} out."
        )


def _rebalances(learner: Any, space: Mapping[str, Any]) -> bool:
    """Return whether a learner shifts the positive share by a parameter that is set, by default or in its space."""
    is_searched = any(name.rpartition("__")[2] in parameters.NEUTRAL_VALUES for name in space)
    values = [item for _, _, given in estimators.walk_estimators(learner) for item in given.items()]
    return is_searched or any(parameters.shifts_classes(name, value) for name, value in values)


def _rebalancing_parameters(make: Mapping[str, Any], space: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters that shift the positive share, as far as the learner's mapping names them."""
    for name, value in _named_values(make):
        if parameters.shifts_classes(name, value):
            yield f"{name.rpartition('__')[2]}={value}"
    for name in space:
        if name.rpartition("__")[2] in parameters.NEUTRAL_VALUES:
            yield f"{name} is searched"


def _named_values(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and name.rpartition("__")[2] not in parameters.NEUTRAL_VALUES:
        for key, item in value.items():
            yield from _named_values(item, str(key))
    elif isinstance(value, (list, tuple)) and name not in parameters.NEUTRAL_VALUES:
        for item in value:
            yield from _named_values(item)
    else:
        yield name, value


def check_splits_nothing(learner: Any, where: str, searched: bool = False, is_object: bool = False) -> None:
    """Refuse a learner, as built, that would validate, calibrate or stop early on rows that a sampler has made.

    With ``is_object`` the caller passed it, and has no keys of a study.
    """
    refusals = []
    for path, estimator, given in estimators.walk_estimators(learner):
        for name, value in given.items():
            if parameters.splits_rows(name, value, given, estimator):
                cls, place = type(estimator).__name__, f"{where}.{path}{name}"
                subject = f"{cls!r} has {name}={value!r}" if is_object else f"'{place}' is {quote(value)}"
                refusals.append(
                    ConfigError(
                        f"{subject}, with which {cls} splits the rows it receives; those hold synthetic rows, and a "
                        "learner must neither validate nor calibrate on them. "
                        f"{_way_out(name, place, searched, cls if is_object else '')}."
                    )
                )
    if refusals:
        raise combined(refusals)


def _way_out(name: str, place: str, searched: bool, cls: str = "") -> str:
    """Return what to write so that a learner splits nothing; ``cls`` is the class of an object that was passed."""
    if name == "cv" and not searched:
        ways = "its calibration=sigmoid, a study searches by search.tune_learner=true search=tpe"
        ways = "imblab.Strategy(..., calibration='sigmoid')" if cls else ways
        return f"Choose a learner without cv; a strategy calibrates by {ways}"
    is_flag = name in ("early_stopping", "probability") and not searched
    if cls:
        return f"Pass {cls}({name}={False if is_flag else None}), or choose a learner without it"
    off = "false" if is_flag else "null"
    change = f"Set {name}: {off} there" if "[" in place else f"Set {place}={off}"
    return f"{change}, or choose a learner without it"


#: The knobs of the table that can have a space.
SEARCHABLE_KNOBS = tuple(knob.name for knob in KNOBS.values() if knob.rule)


def read_strategy(name: str, raw: Any, allow: Allow, is_recorded: bool = False) -> Strategy:
    """Read a strategy, or refuse a knob with a value that it cannot have, or no parameter to stand for.

    A shipped sampler that ``is_recorded``, and only read back, is not imported: that takes 20 MB.
    """
    where = f"strategy.{name}"
    model = validate(StrategyModel, raw, where)
    values = dict(model)
    was_checked = is_recorded and _is_shipped(model.sampler)
    sampler = to_plain_data(model.sampler) if was_checked else _read_sampler(model.sampler, f"{where}.sampler", allow)
    given = {knob: text for knob, text in (model.space or {}).items() if text is not None}
    errors = ErrorCollector()
    space = {
        knob: errors.attempt(_read_knob_axis, knob, given[knob], f"{where}.space.{knob}")
        for knob in SEARCHABLE_KNOBS
        if knob in given
    }
    values["weight"] = errors.attempt(estimators.read_weight, model.weight)
    fixed = {knob: values[knob] for knob in FITTED_KNOBS if knob not in space and values[knob] is not None}
    for knob, value in fixed.items():
        errors.attempt(_check_value, knob, value, f"{where}.{knob}")
    errors.attempt(decisions.check_rule, "tuned" if "threshold" in space else model.threshold, f"{where}.threshold")
    errors.check()
    if not was_checked:
        _check_places(sampler, {**fixed, **space}, where)
    further = sorted(given.keys() - {*SEARCHABLE_KNOBS})
    space |= {knob: _read_sampler_axis(knob, given[knob], sampler, where, allow) for knob in further}
    _check_placeholders(sampler, space, f"{where}.sampler")
    kind, correction = _read_calibration(model, sampler is not None, where, allow)
    return Strategy(
        name,
        sampler,
        fixed.get("weight"),
        "tuned" if "threshold" in space else model.threshold,
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
    mapping["weight"] = estimators.write_weight(strategy.weight)
    if strategy.calibration != "none":
        mapping["calibration"] = strategy.calibration
    return {**mapping, "space": validation.spaces_to_text(strategy.space) | estimators.write_axis(strategy.space)}


def _read_calibration(model: StrategyModel, samples: bool, where: str, allow: Allow) -> tuple[str, str | None]:
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


def _check_calibrator(path: str, where: str, allow: Allow) -> None:
    calibrator = estimators.build_checked({"_target_": path}, where, allow)
    if not (hasattr(calibrator, "fit") and hasattr(calibrator, "predict")):
        raise ConfigError(
            f"{where!r} is {path!r}, which has no fit and predict; a calibration learns by fit(score, y) and gives "
            f"probabilities by predict(score). Name such a class, or one of {', '.join(decisions.CALIBRATIONS)}."
        )


def _read_sampler(raw: Any, where: str, allow: Allow) -> dict[str, Any] | None:
    if raw is None:
        return None
    sampler = estimators.read_spec(raw, where, allow)
    for form in _forms(sampler):
        estimators.check_sampler(estimators.read_spec(form, where, allow), where, allow)
    return sampler


def _is_shipped(sampler: Any) -> bool:
    """Whether a sampler names only classes that every study may name."""
    is_spec = isinstance(sampler, Mapping) and "_target_" in sampler
    return is_spec and admission.ADMITTED.issuperset(estimator_specs.class_paths(sampler))


def _forms(sampler: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [sampler, *(sampler[key] for key in estimators.FORM_KEYS if sampler.get(key) is not None)]


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
    return {text for text in parameters.strings_in(value) if estimator_specs.is_placeholder(text)}


def _check_placeholders(sampler: Mapping[str, Any] | None, space: Iterable[str], where: str) -> None:
    knobs = (*(knob.name for knob in KNOBS.values() if knob.place == "sampler"), "categorical", *space)
    for name in sorted(text[1:] for text in _placeholders(sampler)):
        if name not in knobs:
            raise ConfigError(unknown("placeholder", f"${name}", [f"${knob}" for knob in knobs], f"in {where!r}"))


def _read_sampler_axis(knob: str, given: Any, sampler: Mapping[str, Any] | None, where: str, allow: Allow) -> Axis:
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
    axis = validation.read_axis(given, key, estimators.is_whole(sampler, knob), absolute=False)
    for value in validation.values_of(axis):
        parameters.check_parameter(knob, value, cls, f"{where}.space")
        for form in _forms(sampler):
            estimators.check_sampler(form if is_placed else {**form, knob: value}, key, allow, {knob: value})
    return axis


def _read_knob_axis(knob: str, given: Any, where: str) -> Axis:
    def read_mapping(value: Mapping[str, Any]) -> Any:
        weight = estimators.read_weight(value)
        _check_value(knob, weight, where)
        return weight

    read_value = read_mapping if KNOBS[knob].is_weight else None
    axis = validation.read_axis(given, where, integer=KNOBS[knob].is_whole, read_value=read_value)
    if knob == "threshold" and isinstance(axis, Interval):
        raise ConfigError(
            f"{where!r} is {axis.text()}; thresholds are swept on fits that exist, over listed values. Write "
            "range(0.05,1,0.05), or threshold=tuned."
        )
    for value in validation.values_of(axis):
        _check_value(knob, value, where)
    if knob == "threshold":
        validation.read_thresholds(given, where)
    if KNOBS[knob].is_weight:
        estimators.check_distinct_powers(axis, where)
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
