"""How a learner is written: a class with its parameters, what is searched, and what it may not do with its rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import is_classifier

from imblab.core import estimator_specs
from imblab.edges.config import checks, estimators, parameters, splitting, sweeps
from imblab.errors import ConfigError, unknown
from imblab.study import Axis, Choice, Learner

#: Arguments of predict_proba that ask a booster for fewer rounds.
STAGES = ("num_iteration", "iteration_range")


def learner(name: str, raw: Any, allow: Sequence[str]) -> Learner:
    """Read a learner.

    Parameters
    ----------
    name : str
    raw : mapping
        ``make``, and where it has them ``space``, ``staged`` and ``rebalances``.
    allow : sequence of str
        See :func:`imblab.edges.config.grants.allowed`.

    Returns
    -------
    Learner

    Raises
    ------
    ConfigError
        If it is not a classifier, is not admitted, has a value that its class refuses, or splits the rows it receives.
    """
    where = f"learner.{checks.check_name(name, 'learner')}"
    checks.check_keys(raw, ("label", "make", "space", "staged", "rebalances"), "key", where)
    make = estimators.make(raw.get("make"), f"{where}.make", allow)
    _check(make, f"{where}.make", allow)
    tried = checks.ErrorCollector()
    given = {str(key): text for key, text in checks.read_section(raw, "space", where).items() if text is not None}
    space = {key: tried.attempt(_axis, key, text, make, f"{where}.space", allow) for key, text in given.items()}
    tried.check()
    says_so = checks.check_flag(raw.get("rebalances", False), f"{where}.rebalances")
    rebalances = says_so or estimators.rebalances(make, space, allow)
    label = estimators.read_label(raw.get("label"), f"{where}.label")
    return Learner(name, make, space, _staged(raw.get("staged") or {}, make, f"{where}.staged"), rebalances, label)


def _check(text: Mapping[str, Any], where: str, allow: Sequence[str]) -> None:
    """Refuse what is not a classifier, or is one with values that its class or an honest study refuses."""
    built = estimators.built(text, where, allow)
    splitting.check(built, where)
    answers = hasattr(built, "predict_proba") or hasattr(built, "decision_function")
    if not is_classifier(built) or not answers:
        raise ConfigError(
            f"{where!r} names {text['_target_']!r}, which is no classifier with predict_proba or decision_function; a "
            "learner ranks the rows of two classes. Name a classifier, or put a sampler under strategy."
        )
    estimators.check_spelling(built, [name for name in text if not name.startswith("_")], text, where)
    estimators.check_values(built, where)


def _axis(name: str, text: Any, make: Mapping[str, Any], where: str, allow: Sequence[str]) -> Axis:
    """Read one axis of a space; each of its values must be one that the learner may have."""
    cls = estimator_specs.resolve_class(make["_target_"], allow=None)
    if name not in estimator_specs.parameter_names(make) and not estimator_specs.accepts_any_parameter(make):
        raise ConfigError(unknown("parameter", name, estimator_specs.parameter_names(make), f"in {where!r}"))
    if name == "random_state":
        raise ConfigError(
            f"'{where}.random_state' is {checks.quote(text)}; everything random gets the one seed of the "
            "study, and seeds are not tuned. Leave it out and set seed=0."
        )
    estimators.check_spelling(estimators.built(make, where, allow), [name], make, where)
    axis = sweeps.axis(text, f"{where}.{name}", estimators.is_whole(make, name), absolute=False)
    values = axis.values if isinstance(axis, Choice) else (axis.low, axis.high)
    for value in values:
        parameters.check(name, value, cls, where)
        if name.rpartition("__")[2] in splitting.WATCHED:
            splitting.check(estimators.built({**make, name: value}, where, allow), where, searched=True)
    if numbers := [value for value in values if checks.is_finite_number(value)]:
        estimators.check_products(estimators.built({**make, name: max(numbers)}, where, allow), f"{where}.{name}")
    return axis


def _staged(raw: Any, make: Mapping[str, Any], where: str) -> dict[str, Any]:
    needed = ("parameter", "argument", "form")
    checks.check_keys(raw, (*needed, "only", "made"), "key", where)
    if raw and (not set(needed) <= set(raw) or raw["form"] not in ("count", "range")):
        raise ConfigError(
            f"{where!r} is {checks.quote(dict(raw))}; it names the parameter that counts rounds, the argument of "
            "predict_proba and its form, count or range. Write for example {parameter: n_estimators, argument: "
            "num_iteration, form: count}."
        )
    ours = parameters.is_ours_to_check(estimator_specs.resolve_class(make["_target_"], allow=None))
    argument, made = raw.get("argument"), raw.get("made")
    if raw and ((ours and argument not in STAGES) or not (made is None or re.fullmatch(r"[A-Za-z]\w*", str(made)))):
        raise ConfigError(
            f"{where!r} is {checks.quote(dict(raw))}; its argument of predict_proba says how many rounds are asked, "
            f"by {' or '.join(STAGES)}, and `made` is a public attribute. Correct them, or leave {where} out."
        )
    found: dict[str, Any] = checks.to_plain_data(raw)
    return found
