"""A learner from its mapping: a class with its parameters, what is searched, its traits.

Learners that split or validate on the rows that they receive are refused: those rows hold synthetic ones. A learner is
judged by what the parameters of its class do, in itself and in every estimator inside it. A sampler of a strategy
receives real rows only and may cross-validate on them (InstanceHardnessThreshold does).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field
from sklearn.base import is_classifier

from imblab.core import estimator_specs
from imblab.edges.config import estimators, parameters, sweeps
from imblab.edges.config.validation import (
    LABEL_RULE,
    ErrorCollector,
    Label,
    Section,
    is_finite_number,
    quote,
    to_plain_data,
    validate,
)
from imblab.errors import ConfigError, combined, unknown
from imblab.study import Axis, Learner, LearnerTraits

#: Arguments of predict_proba that ask a booster for fewer rounds.
ROUND_ARGUMENTS = ("num_iteration", "iteration_range")
#: Parameters that weigh or resample the classes, with the values at which they do not: class weights and resampling
#: ensembles of scikit-learn and imbalanced-learn, class priors, XGBoost, LightGBM and its aliases.
NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("class_weight", "sampling_strategy", "priors", "class_prior"), (None,)),
    **dict.fromkeys(("is_unbalance", "unbalance", "unbalanced_sets"), (None, False)),
    **dict.fromkeys(("scale_pos_weight", "pos_bagging_fraction", "neg_bagging_fraction"), (None, 1)),
    **dict.fromkeys(("pos_sub_row", "pos_subsample", "pos_bagging"), (None, 1)),
    **dict.fromkeys(("neg_sub_row", "neg_subsample", "neg_bagging"), (None, 1)),
    "fit_prior": (None, True),
}
#: Parameters that hold a part of the rows back, or want one, as soon as they are set to anything but off.
SPLIT_SWITCHES = parameters.words(
    "early_stopping early_stopping_round early_stopping_rounds probability validation_split validation_size "
    "validation_data validation_sets valid_sets eval_set eval_fraction train_split"
)
#: For a booster, further names of the rounds without a gain after which it stops, and what may stop it.
BOOSTER_SWITCHES = ("n_iter_no_change", "callbacks")
#: Values that switch a parameter off.
OFF_VALUES = (None, False, "", "false", "False", "deprecated", "warn")
#: Values of `cv` that split nothing; None is scikit-learn's own five folds.
UNSPLIT_VALUES = ("prefit",)
#: Classes whose `cv=None` splits nothing.
UNSPLIT_BY_DEFAULT = ("ClassifierChain", "RegressorChain")
#: Parameters by which :func:`check_splits_nothing` judges an estimator.
SPLIT_PARAMETERS = frozenset((*SPLIT_SWITCHES, *BOOSTER_SWITCHES, "cv", "validation_fraction"))


class StagedModel(Section):
    """How one fit predicts for fewer rounds."""

    parameter: str = Field(description="the parameter that counts rounds", examples=["n_estimators"])
    argument: str = Field(description="the argument of predict_proba", examples=["num_iteration"])
    form: Literal["count", "range"] = Field(description="count or range", examples=["count"])
    only: dict[str, Any] | None = Field(default=None, description="parameters and their values with which it is so")
    made: str | None = Field(
        default=None, pattern=r"^[A-Za-z]\w*$", description="the public attribute that says how many rounds there are"
    )


class LearnerModel(Section):
    """A classifier: a class with its parameters, and what is searched."""

    label: Label | None = Field(default=None, description=LABEL_RULE)
    make: estimators.Specification = Field(default=None, description=estimators.SPECIFICATION_RULE)
    space: sweeps.Space = Field(default=None, description=sweeps.SPACE_RULE)
    staged: StagedModel | None = Field(default=None, description="how one fit predicts for fewer rounds")
    rebalances: bool = Field(
        default=False, description="true or false: whether it weighs or resamples the classes by itself"
    )


def read_learner(name: str, raw: Any, allow: Sequence[str]) -> Learner:
    """Read a learner, or refuse what is not a classifier, not admitted, or splits the rows that it receives."""
    where = f"learner.{name}"
    model = validate(LearnerModel, raw, where)
    make = estimators.read_spec(model.make, f"{where}.make", allow)
    _check_classifier(make, f"{where}.make", allow)
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
        rebalances=model.rebalances or _rebalances(make, space, allow),
        rebalanced_by=tuple(dict.fromkeys(_rebalancing_parameters(make, space))),
        staged=staged,
    )
    return estimator_specs.with_traits(Learner(name, make, space, traits, model.label or ""))


def learner_mapping(learner: Learner) -> dict[str, Any]:
    """Return the mapping that :func:`read_learner` reads as an equal learner; the label is left out."""
    mapping = {"make": to_plain_data(learner.make), "space": sweeps.spaces_to_text(learner.space)}
    if learner.traits.staged:
        mapping["staged"] = to_plain_data(learner.traits.staged)
    if learner.traits.rebalances:
        mapping["rebalances"] = True
    return mapping


def _check_classifier(make: Mapping[str, Any], where: str, allow: Sequence[str]) -> None:
    """Refuse anything but a classifier whose values its class and an honest study accept."""
    learner = estimators.build_checked(make, where, allow)
    check_splits_nothing(learner, where)
    predicts = hasattr(learner, "predict_proba") or hasattr(learner, "decision_function")
    if not is_classifier(learner) or not predicts:
        raise ConfigError(
            f"{where!r} names {make['_target_']!r}, which is not a classifier with predict_proba or decision_function; "
            "a learner ranks the rows of two classes. Name a classifier, or put a sampler under strategy."
        )
    estimators.check_spelling(learner, [name for name in make if not name.startswith("_")], make, where)
    estimators.check_values(learner, where)


def _read_learner_axis(name: str, text: Any, make: Mapping[str, Any], where: str, allow: Sequence[str]) -> Axis:
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
    axis = sweeps.read_axis(text, f"{where}.{name}", estimators.is_whole(make, name), absolute=False)
    for value in sweeps.values_of(axis):
        parameters.check_parameter(name, value, cls, where)
        if name.rpartition("__")[2] in SPLIT_PARAMETERS:
            check_splits_nothing(estimators.build_checked({**make, name: value}, where, allow), where, searched=True)
    if numbers := [value for value in sweeps.values_of(axis) if is_finite_number(value)]:
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


# Learners that weigh or resample the classes


def shifts_classes(parameter: str, value: Any) -> bool:
    """Return whether a parameter of a learner, named as in scikit-learn, weighs or resamples the classes.

    Examples
    --------
    >>> shifts_classes("svc__class_weight", "balanced"), shifts_classes("class_weight", {0: 1, 1: 1})
    (True, False)
    """
    name = parameter.rpartition("__")[2]
    if name not in NEUTRAL_VALUES:
        return False
    if name == "class_weight" and isinstance(value, Mapping):
        weights = (float(weight) if isinstance(weight, (int, float)) else weight for weight in value.values())
        return len(set(map(str, weights))) > 1
    # A flag that is set is not a factor of 1, though Python calls them equal.
    return not any(
        value is neutral or (type(value) is not bool and value == neutral) for neutral in NEUTRAL_VALUES[name]
    )


def _rebalances(make: Mapping[str, Any], space: Mapping[str, Any], allow: Sequence[str]) -> bool:
    """Return whether a learner shifts the positive share by a parameter that is set, by default or in its space."""
    learner = estimator_specs.build_estimator(make, None, allow)
    is_searched = any(name.rpartition("__")[2] in NEUTRAL_VALUES for name in space)
    values = [item for _, _, given in estimators.walk_estimators(learner) for item in given.items()]
    return is_searched or any(shifts_classes(name, value) for name, value in values)


def _rebalancing_parameters(make: Mapping[str, Any], space: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters that shift the positive share, as far as the learner's mapping names them."""
    for name, value in _named_values(make):
        if shifts_classes(name, value):
            yield f"{name.rpartition('__')[2]}={value}"
    for name in space:
        if name.rpartition("__")[2] in NEUTRAL_VALUES:
            yield f"{name} is searched"


def _named_values(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and name.rpartition("__")[2] not in NEUTRAL_VALUES:
        for key, item in value.items():
            yield from _named_values(item, str(key))
    elif isinstance(value, (list, tuple)) and name not in NEUTRAL_VALUES:
        for item in value:
            yield from _named_values(item)
    else:
        yield name, value


# Learners that split the rows they receive


def check_splits_nothing(learner: Any, where: str, searched: bool = False) -> None:
    """Refuse a learner that would validate, calibrate or stop early on rows that a sampler has made.

    The learner is as built, with all its defaults; ``searched`` if the parameter takes its value from a space.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> check_splits_nothing(SVC(), "learner.svm.make")
    """
    refusals = [
        ConfigError(
            f"'{where}.{path}{name}' is {quote(value)}, with which {type(estimator).__name__} splits the rows "
            "it receives; those hold synthetic rows, and a learner must neither validate nor calibrate on them. "
            f"{_way_out(name, f'{where}.{path}{name}', searched)}."
        )
        for path, estimator, given in estimators.walk_estimators(learner)
        for name, value in given.items()
        if _splits_rows(name, value, given, estimator)
    ]
    if refusals:
        raise combined(refusals)


def _way_out(name: str, place: str, searched: bool) -> str:
    if name == "cv" and not searched:
        ways = "a strategy calibrates by its calibration=sigmoid, a study searches by search.tune_learner=true"
        return f"Choose a learner without cv; {ways}"
    off = "false" if name in ("early_stopping", "probability") and not searched else "null"
    change = f"Set {name}: {off} there" if "[" in place else f"Set {place}={off}"
    return f"{change}, or choose a learner without it"


def _splits_rows(name: str, value: Any, given: Mapping[str, Any], estimator: Any) -> bool:
    """Return whether a parameter makes an estimator split or validate, by its class and its other parameters."""
    last, kinds = name.rpartition("__")[2], {base.__name__ for base in type(estimator).__mro__}
    if last == "cv":
        return not (value in UNSPLIT_VALUES or (value is None and not kinds.isdisjoint(UNSPLIT_BY_DEFAULT)))
    if "XGBModel" in kinds and last == "early_stopping_rounds":
        return value is not None  # 0 asks for rows to validate on as well
    if last in SPLIT_SWITCHES or (last in BOOSTER_SWITCHES and parameters.is_booster(type(estimator))):
        return not _is_off(value)
    if "validation_fraction" not in given or "early_stopping" in given:
        return False
    # Gradient boosting holds a fraction back once n_iter_no_change is set; a class without any switch always does.
    return (last == "n_iter_no_change" and value is not None) or (
        last == "validation_fraction" and "n_iter_no_change" not in given and not _is_off(value)
    )


def _is_off(value: Any) -> bool:
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value <= 0
    return any(value is off or (isinstance(value, str) and value == off) for off in OFF_VALUES)
