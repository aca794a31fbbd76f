"""Which learners split or validate on the rows that they receive: those hold synthetic rows, so they are refused.

A learner is judged by what the parameters of its class do, in itself and in every estimator inside it. A sampler of a
strategy receives real rows only and may cross-validate on them (InstanceHardnessThreshold does).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imblab.edges.config.checks import quote
from imblab.edges.config.parameters import is_booster
from imblab.errors import ConfigError, combined

#: Parameters that hold a part of the rows back, or want one, as soon as they are set to anything but off.
SWITCHES = (
    "early_stopping",
    "early_stopping_round",
    "early_stopping_rounds",
    "probability",
    "validation_split",
    "validation_size",
    "validation_data",
    "validation_sets",
    "valid_sets",
    "eval_set",
    "eval_fraction",
    "train_split",
)
#: For a booster, further names of the rounds without a gain after which it stops, and what may stop it.
OF_BOOSTERS = ("n_iter_no_change", "callbacks")
#: What switches a parameter off.
OFF = (None, False, "", "false", "False", "deprecated", "warn")
#: Values of `cv` that split nothing; None is scikit-learn's own five folds.
UNSPLIT = ("prefit",)
#: Classes whose `cv=None` splits nothing.
UNSPLIT_BY_DEFAULT = ("ClassifierChain", "RegressorChain")
#: Names by which :func:`check` judges an estimator.
WATCHED = frozenset((*SWITCHES, *OF_BOOSTERS, "cv", "validation_fraction"))
#: Estimators inside one another.
MAX_DEPTH = 50


def check(learner: Any, where: str, searched: bool = False) -> None:
    """Refuse a learner that would validate, calibrate or stop early on rows that a sampler has made.

    Parameters
    ----------
    learner : BaseEstimator
        As built, with all its defaults.
    where : str
        The key it stands under, for messages.
    searched : bool, default=False
        Whether the parameter takes its value from a space.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> check(SVC(), "learner.svm.make")
    """
    found = [
        ConfigError(
            f"'{where}.{path}{name}' is {quote(value)}, with which {type(estimator).__name__} splits the rows it "
            "receives; those hold synthetic rows, and a learner must neither validate nor calibrate on them. "
            f"{_way_out(name, f'{where}.{path}{name}', searched)}."
        )
        for path, estimator, given in walk(learner)
        for name, value in given.items()
        if _splits(name, value, given, estimator)
    ]
    if found:
        raise combined(found)


def _way_out(name: str, place: str, searched: bool) -> str:
    if name == "cv" and not searched:
        ways = "a strategy calibrates by its calibration=sigmoid, a study searches by search.tune_learner=true"
        return f"Choose a learner without cv; {ways}"
    off = "false" if name in ("early_stopping", "probability") and not searched else "null"
    mend = f"Set {name}: {off} there" if "[" in place else f"Set {place}={off}"
    return f"{mend}, or choose a learner without it"


def walk(estimator: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Walk through an estimator and all estimators inside it.

    Parameters
    ----------
    estimator : object
    path : str, default=""
        Of the estimator in the outermost one, with a dot behind it.
    depth : int, default=0

    Yields
    ------
    (str, object, mapping)
        The path, the estimator and its own parameters; none for a class of the user's that does not tell them.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> [path for path, *_ in walk(make_pipeline(SVC()))]
    ['', 'steps[svc].']
    """
    try:
        given = estimator.get_params(deep=False)
    except Exception:  # a class of the user's own may raise anything
        given = {}
    given = given if isinstance(given, Mapping) else {}
    yield path, estimator, given
    if depth < MAX_DEPTH:
        for name, value in given.items():
            for place, inner in _inside(str(name), value):
                yield from walk(inner, f"{path}{place}.", depth + 1)


def _inside(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The estimators in a value; those in a list by the names before them, or by their positions."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _inside(f"{name}.{key}", item)
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], str):
        for item in value[1:]:
            yield from _inside(f"{name.rpartition('[')[0]}[{value[0]}]", item)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _inside(f"{name}[{number}]", item)


def _splits(name: str, value: Any, given: Mapping[str, Any], estimator: Any) -> bool:
    """Whether a parameter makes an estimator split or validate, judged by its class and its other parameters."""
    last, kind = name.rpartition("__")[2], {base.__name__ for base in type(estimator).__mro__}
    if last == "cv":
        return not (value in UNSPLIT or (value is None and not kind.isdisjoint(UNSPLIT_BY_DEFAULT)))
    if "XGBModel" in kind and last == "early_stopping_rounds":
        return value is not None  # 0 asks for rows to validate on as well
    if last in SWITCHES or (last in OF_BOOSTERS and is_booster(type(estimator))):
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
    return any(value is off or (isinstance(value, str) and value == off) for off in OFF)
