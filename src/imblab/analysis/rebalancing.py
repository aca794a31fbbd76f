"""Learners that weigh or resample the classes by themselves: with them, `none` is not an untouched baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imblab.study import Learner, Study
from imblab.text import join_words

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


def shifts_classes(parameter: str, value: Any) -> bool:
    """Whether a parameter of a learner weighs or resamples the classes.

    Parameters
    ----------
    parameter : str
        Nested ones as scikit-learn writes them, such as ``estimator__class_weight``.
    value : object

    Returns
    -------
    bool

    Examples
    --------
    >>> shifts_classes("svc__class_weight", "balanced"), shifts_classes("scale_pos_weight", 1.0)
    (True, False)
    >>> shifts_classes("is_unbalance", True), shifts_classes("class_weight", {0: 1, 1: 1})
    (True, False)
    """
    name = parameter.rpartition("__")[2]
    if name not in NEUTRAL_VALUES:
        return False
    if name == "class_weight" and isinstance(value, Mapping):
        return len(set(map(str, map(_as_number, value.values())))) > 1
    # A flag that is set is not a factor of 1, though Python calls them equal.
    return not any(
        value is neutral or (type(value) is not bool and value == neutral) for neutral in NEUTRAL_VALUES[name]
    )


def note(study: Study, learner: str) -> str | None:
    """What a reader must know of the baseline with a learner.

    Parameters
    ----------
    study : Study
    learner : str

    Returns
    -------
    str or None
        None where it takes the classes as they are, or the study does not know it.

    Examples
    --------
    >>> weighted = Learner("logistic", {"_target_": "a.B", "class_weight": "balanced"}, rebalances=True)
    >>> note(Study("s", 0, {}, (weighted,), (), ()), "logistic")
    "learner 'logistic' weighs or resamples the classes by itself (class_weight=balanced): no strategy with it leaves \
the classes as they are"
    """
    found = next((each for each in study.learners if each.name == learner and each.rebalances), None)
    if found is None:
        return None
    how = join_words(dict.fromkeys(_parameters(found))) or str(found.make.get("_target_", "")).rpartition(".")[2]
    rest = (
        "with it, 'none' is not an untouched baseline"
        if any(strategy.name == "none" for strategy in study.strategies)
        else "no strategy with it leaves the classes as they are"
    )
    return f"learner {learner!r} weighs or resamples the classes by itself{f' ({how})' if how else ''}: {rest}"


def notes(study: Study) -> dict[str, str]:
    """The same of all learners of a study that it is true of, by their names."""
    return {each.name: said for each in study.learners if (said := note(study, each.name)) is not None}


def _parameters(learner: Learner) -> Iterator[str]:
    """The parameters that are set or searched, as far as its text names them."""
    for name, value in _flat(learner.make):
        if shifts_classes(name, value):
            yield f"{name.rpartition('__')[2]}={value}"
    for name in learner.space:
        if name.rpartition("__")[2] in NEUTRAL_VALUES:
            yield f"{name} is searched"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and name.rpartition("__")[2] not in NEUTRAL_VALUES:
        for key, item in value.items():
            yield from _flat(item, str(key))
    elif isinstance(value, (list, tuple)) and name not in NEUTRAL_VALUES:
        for item in value:
            yield from _flat(item)
    else:
        yield name, value


def _as_number(value: Any) -> Any:
    return float(value) if isinstance(value, (int, float)) else value
