"""Members of a study from Python objects: names, classifiers, samplers and records, as the mappings of their files.

An object is written as its class and the parameters that differ from their defaults. What is fitted later is built from
that record, never the object itself, so that a study of objects goes to ``study.yaml`` and back.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np

from imblab.core import admission, estimator_specs
from imblab.edges.config.command_line import read_group
from imblab.edges.config.estimators import FORM_KEYS, is_same, one_line
from imblab.edges.config.members import learner_mapping, strategy_mapping
from imblab.edges.config.studies import READERS, parse_study
from imblab.edges.config.validation import MAX_LABEL_LENGTH, ErrorCollector, quote
from imblab.errors import ConfigError, close_match, foreign_reason, unknown
from imblab.study import KNOBS, Learner, Measure, Strategy, Study

#: The scorers of scikit-learn that are a measure of imbalance under another name.
SCORER_NAMES = {
    "average_precision": "pr_auc",
    "matthews_corrcoef": "mcc",
    "neg_brier_score": "brier",
    "neg_log_loss": "log_loss",
}
#: What scikit-learn adds to the name of a measure.
SCORER_AFFIXES = re.compile(r"^neg_|_(macro|micro|weighted|samples|score|loss|ovr|ovo)$")
#: Parameters that say how a fit is carried out, which the study decides: one thread, one seed.
RUN_PARAMETERS = ("n_jobs", "random_state")
VERBOSITY_PARAMETERS = ("verbosity", "verbose", "silent")
#: What imbalanced-learn's default asks for, by the kind of the sampler: classes of equal size.
EQUAL_SIZES = {"over-sampling": ("auto", "not majority"), "under-sampling": ("auto", "not minority")}
#: Parameters that may be mappings by label.
LABEL_PARAMETERS = ("class_weight", "sampling_strategy")
#: What else imbalanced-learn takes for the classes that are resampled.
SIZE_WORDS = ("auto", "all", "minority", "majority", "not minority", "not majority")
#: Samplers that another one turns into, where the table has categorical columns.
CATEGORICAL_FORMS = ("imblearn.over_sampling.SMOTENC", "imblearn.over_sampling.SMOTEN")
#: A measure that is never read without another one.
COMPANIONS = {"accuracy": "accuracy_baseline"}


def study_of_objects(
    base: Mapping[str, Any],
    learners: Any = None,
    strategies: Any = None,
    measures: Any = None,
    primary: str | None = None,
) -> tuple[Study, list[str]]:
    """Build a study whose members are names of the shipped groups, records, classifiers or samplers; a dict names them.

    ``base`` has the other keys, and the members that are not given. ``primary`` is by default that of ``base``, if it
    is measured, or else the first measure. Returns the study, equal to the one that its ``study.yaml`` is read as, and
    notes on what of the objects was left out.
    """
    errors, notes = ErrorCollector(), list[str]()
    mapping = dict(base)
    for group, noun, given in (
        ("learner", "learner", learners),
        ("strategy", "strategy", strategies),
        ("measures", "measure", measures),
    ):
        if given is not None:
            mapping[group] = describe_members(group, noun, given, errors, notes, int(base["seed"]))
    if primary is not None or measures is not None:
        mapping |= errors.attempt(_judged_measures, mapping, primary, measures is not None) or {}
    if errors.is_empty:
        return parse_study(mapping, allow=None), notes
    # What is wrong with the members that can be described is said too.
    for group in ("learner", "strategy", "measures"):
        for name, raw in mapping[group].items():
            errors.attempt(READERS[group], name, raw, None)
    errors.check()
    raise AssertionError("an error was collected")


def describe_members(
    group: str, noun: str, given: Any, errors: ErrorCollector, notes: list[str], seed: int
) -> dict[str, Any]:
    """Return the members of a group as the mappings of their files, by name."""
    shipped = {member.name: dict(member.content) for member in read_group(group)}
    described: dict[str, Any] = {}
    for name, item in _named_items(given):
        entry = errors.attempt(_describe_member, group, noun, name, item, shipped, notes, seed)
        if entry is None:
            continue
        key, content = entry
        if key in described:
            errors.attempt(_refuse_repeated, noun, key, item)
        described[key] = content
    return described


def _named_items(given: Any) -> list[tuple[str | None, Any]]:
    if isinstance(given, Mapping):
        return list(given.items())
    is_single = isinstance(given, (str, Learner, Strategy, Measure, type)) or hasattr(given, "get_params")
    if is_single or not isinstance(given, Iterable):
        return [(None, given)]
    return [(None, item) for item in given]


def _refuse_repeated(noun: str, name: str, item: Any) -> None:
    value = item if isinstance(item, str) else one_line(item)
    raise ConfigError(
        f"{noun} {name!r} is given more than once, the last time as {quote(value)}; results are kept by name, and a "
        f"class names one {noun}. Leave one out, or give each its name in a dict, as in "
        f"{{'{name}_a': ..., '{name}_b': ...}}."
    )


def _describe_member(
    group: str, noun: str, name: Any, item: Any, shipped: Mapping[str, Any], notes: list[str], seed: int
) -> tuple[str, dict[str, Any]]:
    """Return the name and the content of one member."""
    if isinstance(item, str):
        key = SCORER_NAMES.get(item, item) if group == "measures" else item
        if key not in shipped:
            nearest = SCORER_AFFIXES.sub("", item)
            is_scorer = group == "measures" and nearest != item and nearest in shipped
            hint = f"The measure {nearest!r} is that of the positive class, or with more classes the mean over them."
            raise ConfigError(unknown(noun, item, shipped, hint=hint if is_scorer else ""))
        return str(name or key), shipped[key]
    if isinstance(item, (Learner, Strategy, Measure)):
        return str(name or item.name), _describe_record(group, noun, item)
    if isinstance(item, type):
        raise ConfigError(
            f"{noun} {item.__name__!r} is a class; a study takes objects with their parameters. Write "
            f"{item.__name__}()."
        )
    is_estimator, is_sampler = hasattr(item, "get_params"), hasattr(item, "fit_resample")
    if group == "measures" or not is_estimator or is_sampler != (group == "strategy"):
        kinds = {
            "learner": "the name of a learner, a classifier of scikit-learn, or an imblab.Learner",
            "strategy": "the name of a strategy, a sampler of imbalanced-learn, or an imblab.Strategy",
            "measures": "the name of a measure, or an imblab.Measure",
        }
        wrong_place = " Pass it under strategies." if is_sampler and group == "learner" else ""
        wrong_place = " Pass it under learners." if is_estimator and not is_sampler else wrong_place
        if group == "measures" and (known := _shipped_measure(item, shipped)):
            wrong_place = f" Write {known!r}."
        raise ConfigError(
            f"{noun} {quote(one_line(item))} is of type {type(item).__name__}; a {noun} is {kinds[group]}."
            f"{wrong_place or ' Pass one of them.'}"
        )
    key = str(name or type(item).__name__)
    describe: Callable[..., dict[str, Any]] = describe_sampler if is_sampler else describe_classifier
    return key, describe(item, f"{group}.{key}", notes, seed)


def _shipped_measure(item: Any, shipped: Mapping[str, Any]) -> str:
    """Return the measure that a function or a scorer of scikit-learn computes; empty if none is known."""
    name = str(getattr(getattr(item, "_score_func", item), "__name__", ""))
    return next(
        (match for each in (name, SCORER_AFFIXES.sub("", name)) if (match := close_match(each, [*shipped]))), ""
    )


def _describe_record(group: str, noun: str, item: Learner | Strategy | Measure) -> dict[str, Any]:
    """Return the mapping of a record, its label included."""
    if isinstance(item, Learner) and group == "learner":
        more = {"label": item.label, "kind": item.kind}
        return learner_mapping(item) | {key: text for key, text in more.items() if text}
    if isinstance(item, Strategy) and group == "strategy":
        return strategy_mapping(item) | ({"label": item.label} if item.label else {})
    if isinstance(item, Measure) and group == "measures":
        values = {key: value for key, value in asdict(item).items() if key != "name"}
        return values | {"range": list(item.range), "parameters": dict(item.parameters)}
    kind = type(item).__name__
    raise ConfigError(
        f"{noun} {item.name!r} is a record of the kind {kind}; it describes another part of a study. Pass it under "
        f"{ {'Learner': 'learners', 'Strategy': 'strategies', 'Measure': 'measures'}[kind] }."
    )


def describe_classifier(classifier: Any, where: str, notes: list[str], seed: int) -> dict[str, Any]:
    """Describe a classifier, fitted or not, as the file of a learner does.

    ``where`` is the key that messages name, such as ``learner.SVC``; ``notes`` receives a sentence for each parameter
    that is left out; ``seed`` is that of the study. ``kind`` and ``rebalances`` are those of the file of the class.
    """
    make = describe_estimator(classifier, f"{where}.make", notes, seed)
    mapping: dict[str, Any] = {"make": make, "label": one_line(classifier)[:MAX_LABEL_LENGTH]}
    file = _files_by_class("learner", "make").get(make["_target_"], {})
    return mapping | {key: file[key] for key in ("kind", "rebalances") if key in file}


def describe_sampler(sampler: Any, where: str, notes: list[str], seed: int) -> dict[str, Any]:
    """Describe a sampler as the file of a strategy does: with its ratio and k, and a tuned threshold.

    A sampler at the threshold .5 differs from no sampler mostly by a moved threshold.
    """
    make = describe_estimator(sampler, f"{where}.sampler", notes, seed)
    if make["_target_"] in CATEGORICAL_FORMS:
        raise ConfigError(
            f"{where!r} is {quote(one_line(sampler))}, the form of SMOTE for categorical columns; imblab takes it by "
            "itself on a table that has some. Pass SMOTE(...), and a frame whose categorical columns are categories."
        )
    given = sampler.get_params(deep=False)
    ratio = _ratio_of(sampler, given.get("sampling_strategy"), where)
    neighbors = KNOBS["k"].parameter_among(given)
    value = given.get(neighbors) if neighbors is not None else None
    k = int(value) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else None
    removed = [name for name, knob in (("sampling_strategy", ratio), (neighbors, k)) if knob is not None]
    further = {name: item for name, item in make.items() if name not in removed}
    file = _files_by_class("strategy", "sampler").get(make["_target_"], {})
    template = file.get("sampler", {})
    others = [f"{name} {item}" for name, item in further.items() if isinstance(item, (int, float, str))][1:]
    if any(estimator_specs.is_placeholder(value) for value in template.values()):  # ratio and k are its inner sampler's
        _check_inner_samplers(further, template, sampler, where)
        further, k = {**template, **further}, file.get("k")
    words = [type(sampler).__name__, *([f"1:{1 / ratio:.3g}"] if ratio else [])]
    parts = [" ".join(words), *([f"k {k}"] if k else []), *others]
    return {
        "sampler": {**further, **{form: template[form] for form in FORM_KEYS if form in template}},
        "ratio": ratio,
        "k": k,
        "threshold": "tuned",
        "prior_correction": file.get("prior_correction"),
        "label": ", ".join([*parts, "tuned threshold"])[:MAX_LABEL_LENGTH],
    }


def _check_inner_samplers(further: Mapping[str, Any], template: Mapping[str, Any], sampler: Any, where: str) -> None:
    """Refuse the object of an inner sampler whose ratio and k the file of the strategy fills in."""
    for name in (name for name in template if name in further and name != "_target_"):
        raise ConfigError(
            f"{where!r} is {quote(one_line(sampler))}, with an object for {name!r}; its ratio and k are those of the "
            f"strategy. Leave {name} out, or write an imblab.Strategy whose sampler holds $ratio and $k."
        )


def _ratio_of(sampler: Any, strategy: Any, where: str) -> float | None:
    """Return the ratio that a sampler asks for; None for one that has none."""
    kind = str(getattr(sampler, "_sampling_type", ""))
    if isinstance(strategy, (float, int, np.number)) and not isinstance(strategy, bool):
        return float(strategy)
    if strategy in EQUAL_SIZES.get(kind, ()):
        return 1.0
    if strategy is None or strategy in SIZE_WORDS:  # fitted as written
        return None
    raise ConfigError(
        f"'{where}.sampling_strategy' is {quote(strategy)}; a strategy has a ratio of minority to majority, above 0 "
        "and at most 1. Write for example sampling_strategy=0.5, or 1.0 for classes of equal size."
    )


def describe_estimator(estimator: Any, where: str, notes: list[str], seed: int) -> dict[str, Any]:
    """Describe an estimator by its class and the parameters that differ from their defaults, nested ones included.

    Left out are its ``n_jobs``, since fits run in parallel, and its ``random_state``: everything random gets the seed
    of the study, which is noted where they differ.
    """
    path = path_of_class(type(estimator), where)
    try:
        given = dict(estimator.get_params(deep=False))
    except Exception as error:  # of a class of the user's
        raise ConfigError(
            f"{where!r} is a {type(estimator).__name__}, whose get_params raises ({foreign_reason(error)}); a study "
            "records the parameters of an object. Keep each parameter of its constructor under its name."
        ) from error
    defaults, errors = _default_parameters(type(estimator)), ErrorCollector()
    mapping: dict[str, Any] = {"_target_": path}
    for name, value in given.items():
        if name in defaults and is_same(value, defaults[name]):
            continue
        if name not in RUN_PARAMETERS:
            mapping[name] = errors.attempt(_to_plain_value, value, f"{where}.{name}", notes, seed)
        elif name == "random_state" and not is_same(value, seed):
            notes.append(
                f"'{where}.random_state' is {quote(value)} and is left out: everything random gets the seed of the "
                f"study, random_state={seed}."
            )
    errors.check()
    file = _files_by_class("learner", "make").get(path, {}).get("make", {})
    is_loud = not any(name in mapping for name in VERBOSITY_PARAMETERS)
    quiet = {name: file[name] for name in ("n_jobs", *VERBOSITY_PARAMETERS[:1]) if name in file}
    return mapping | {name: value for name, value in quiet.items() if name == "n_jobs" or is_loud}


def _to_plain_value(value: Any, where: str, notes: list[str], seed: int) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and np.isfinite(value)):
        return value
    if isinstance(value, (list, tuple)):
        return [_to_plain_value(part, where, notes, seed) for part in value]
    if isinstance(value, Mapping) and where.rpartition(".")[2] in LABEL_PARAMETERS:
        raise ConfigError(
            f"{where!r} is {quote(value)}; classes are numbered inside, 0 for the most frequent, so that what is given "
            "by label would be that of another class. Leave it out, and set weight or ratio of an imblab.Strategy."
        )
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _to_plain_value(part, f"{where}.{key}", notes, seed) for key, part in value.items()}
    if hasattr(value, "get_params") and not isinstance(value, type):
        return describe_estimator(value, where, notes, seed)
    raise ConfigError(
        f"{where!r} is {quote(one_line(value))}; a study records numbers, texts, lists, mappings with text keys and "
        "estimators inside one another. Leave it out, or put what it does into a class of your own."
    )


def path_of_class(cls: type, where: str) -> str:
    """Return the dotted path by which a class is imported; for one of a shipped package the path that is listed."""
    origin, root = f"{cls.__module__}.{cls.__qualname__}", cls.__module__.partition(".")[0]
    path = origin
    if root in admission.SHIPPED:
        public = admission.public_name(cls)
        ending = f".{cls.__qualname__}"
        listed = [name for name in admission.ADMITTED if name.startswith(f"{root}.") and name.endswith(ending)]
        path = min(listed, key=lambda name: (len(name), name), default=public)
    try:
        current = None if "<locals>" in path else estimator_specs.resolve_class(path, None)
    except ConfigError as error:
        if hasattr(cls, "get_params") and cls.__module__ != "__main__":
            raise ConfigError(f"{where}: {error}") from error
        current = None
    if current is not cls:
        raise ConfigError(
            f"{where!r} is of the class {origin!r}, which cannot be imported by that name, or is another class by now; "
            "a study names its classes. Define it at the top level of a module, and make the object anew."
        )
    return path


def _default_parameters(cls: Any) -> dict[str, Any]:
    try:
        return dict(cls().get_params(deep=False))
    except Exception:  # a constructor with a required parameter, or of a class of the user's
        signature = inspect.signature(cls).parameters.values()
        return {p.name: p.default for p in signature if p.default is not inspect.Parameter.empty}


@lru_cache(maxsize=8)
def _files_by_class(group: str, key: str) -> dict[str, Mapping[str, Any]]:
    """Return the shipped files of learners or strategies by the class that they name; the first of several."""
    files: dict[str, Mapping[str, Any]] = {}
    for member in read_group(group):
        make = member.content.get(key)
        if isinstance(make, Mapping) and "_target_" in make:
            files.setdefault(make["_target_"], member.content)
    return files


def _judged_measures(mapping: Mapping[str, Any], primary: str | None, are_given: bool) -> dict[str, Any]:
    """Return the measures, the primary one and the one that thresholds maximise, as they belong together.

    Accuracy brings its baseline. A threshold is chosen on a measure of counts: where none is given, ``mcc`` is added.
    """
    given, shipped = dict(mapping["measures"]), {m.name: dict(m.content) for m in read_group("measures")}
    if primary is not None and not isinstance(primary, str):
        example = _shipped_measure(primary, shipped) or "mcc"
        raise ConfigError(
            f"'primary' is {quote(one_line(primary))}; it is the name of a measure. Write for example "
            f"primary={example!r}."
        )
    for name in [name for name in given if name in COMPANIONS]:
        given.setdefault(COMPANIONS[name], shipped[COMPANIONS[name]])
    chosen = None if primary is None else SCORER_NAMES.get(primary, primary)
    if chosen is not None and chosen in shipped:
        given.setdefault(chosen, shipped[chosen])
    elif chosen is None and not given:  # the study says so
        return {}
    elif chosen is None:
        chosen = mapping["primary"] if mapping["primary"] in given else next(iter(given))
    elif chosen not in given:
        raise ConfigError(unknown("measure", chosen, {*given, *shipped}, "for 'primary'"))
    protocol = dict(mapping["protocol"])
    counted = [name for name, raw in given.items() if isinstance(raw, Mapping) and raw.get("needs") == "label"]
    if are_given and protocol.get("threshold_measure") not in given and chosen not in counted:
        protocol["threshold_measure"] = next(iter(counted), "mcc")
        given.setdefault(protocol["threshold_measure"], shipped["mcc"])
    return {"measures": given, "primary": chosen, "protocol": protocol}
