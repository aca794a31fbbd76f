"""Checks of single parameters: none reaches a file or the network, contains a second one, or is without bound.

The rules hold at every depth of a study: for nested estimators, for lists and mappings in a value, and for the values
of a space, both ends of an interval included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any

from sklearn.base import ClassifierMixin

from imblab.core import admission
from imblab.edges.config.validation import is_finite_number, quote
from imblab.errors import ConfigError


def words(text: str) -> frozenset[str]:
    """Split a list of names."""
    return frozenset(text.split())


#: Parameters with which an estimator reads or writes files or opens a port: a cache is unpickled, LightGBM trains over
#: the network, and reads what its many names for a file say.
REACHING_PARAMETERS = words("""
memory client config config_file convert_model convert_model_file data train train_data train_data_file
data_filename valid valid_data valid_data_file valid_filenames test test_data test_data_file
forcedbins_filename forcedsplits_filename fs forced_splits forced_splits_file forced_splits_filename
input_model model_input model_in output_model model_output model_out output_result predict_result
prediction_result predict_name prediction_name pred_name name_pred machine_list_filename machine_list_file
machine_list mlist machines workers nodes num_machines num_machine local_listen_port local_port port
parser_config_file save_binary is_save_binary is_save_binary_file snapshot_freq save_period
""")
#: Parameters that take a function or an object, which a study cannot hold.
FUNCTION_PARAMETERS = words("func inverse_func kw_args inv_kw_args score_func pooling_func callback callbacks kwargs")
#: Seeds under other names; everything random gets the one seed of the study.
SEED_PARAMETERS = words("random_state seed random_seed")
#: Parameters whose value stands in the place of a row's: numbers only, so that no text of a study becomes a row.
CELL_PARAMETERS = words("fill_value missing_values constant unknown_value encoded_missing_value categories")
#: Texts that are looked up or filled in, with what they may be.
TEXT_PATTERNS = {"importance_getter": r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", "verbose_feature_names_out": r"[\w.]*"}
#: Types of what a preprocessing class returns.
NUMERIC_TYPES = ("float", "float32", "float64", "int", "int32", "int64", "bool")

#: Threads of a fit: processes are what runs in parallel.
MAX_THREADS = 64
#: Trees, rounds or members of an ensemble.
MAX_ROUNDS = 100_000
#: Members of an ensemble of ensembles, multiplied; and what counts them, under all names of the libraries.
MAX_MEMBERS = 1_000_000
ROUND_PARAMETERS = (
    "n_estimators num_iterations num_iteration n_iter num_tree num_trees num_round num_rounds nrounds num_boost_round "
    "iterations"
)
MEMBER_PARAMETERS = words(f"{ROUND_PARAMETERS} max_iter")
FOREST_PARAMETER = "num_parallel_tree"
#: The largest number that each parameter takes: beyond it a process runs out of memory or threads, or does not end.
MAX_SIZES = {
    name: size
    for size, names in {
        MAX_THREADS: "n_jobs num_threads num_thread nthread nthreads n_threads threads thread",
        MAX_ROUNDS: ROUND_PARAMETERS,
        10_000_000: "max_iter max_fun max_iter_predict transform_max_iter iterated_power n_iter_no_change "
        "max_no_improvement max_doc_update_iter fresh_restarts_max_iter sampling_strategy max_samples",
        1_000_000: "n_quantiles",
        65_535: "max_bin max_bins n_bins max_bin_by_feature min_categories",
        10_000: "max_leaf_nodes max_leaves max_leaf num_leaves num_leaf n_components n_clusters n_oversamples "
        "num_parallel_tree cache_size hidden_layer_sizes branching_factor",
        1_000: "n_init n_restarts_optimizer n_knots code_size num_class num_classes",
        100: "degree sample_steps",
    }.items()
    for name in words(names)
}
#: Classes for which a parameter counts something else than its name says elsewhere.
MAX_SIZES_OF = {
    "PolynomialFeatures": {"degree": 5},  # 5 of 30 columns make 324,632
    "HistGradientBoostingClassifier": {"max_iter": MAX_ROUNDS},
    "HistGradientBoostingRegressor": {"max_iter": MAX_ROUNDS},
}
#: A float of `max_samples` is a multiple of the rows.
MAX_SHARE = 10
#: What a booster minimises, under all names of the libraries; and what of it is for classes.
OBJECTIVE_PARAMETERS = words("objective objective_type app application loss")
CLASS_OBJECTIVES = re.compile(r"binary|multi|softmax|ova|ovr|cross_entropy|xent|reg:logistic|None")
#: Weights between the layers of a network.
MAX_WEIGHTS = 25_000_000
MAX_LAYERS = 100
#: Brackets inside one another in a text for LightGBM or XGBoost: their readers call themselves for each.
MAX_BRACKETS = 10
#: Degrees of polynomials of polynomials, multiplied.
MAX_DEGREE = 5
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
SPLIT_SWITCHES = words(
    "early_stopping early_stopping_round early_stopping_rounds probability validation_split validation_size "
    "validation_data validation_sets valid_sets eval_set eval_fraction train_split"
)
#: For a booster, further names of the rounds without a gain after which it stops, and what may stop it.
BOOSTER_SWITCHES = ("n_iter_no_change", "callbacks")
OFF_VALUES = (None, False, "", "false", "False", "deprecated", "warn")
#: Values of `cv` that split nothing; None is scikit-learn's own five folds.
UNSPLIT_VALUES = ("prefit",)
#: Classes whose `cv=None` splits nothing.
UNSPLIT_BY_DEFAULT = ("ClassifierChain", "RegressorChain")
#: Parameters by which :func:`splits_rows` judges an estimator.
SPLIT_PARAMETERS = frozenset((*SPLIT_SWITCHES, *BOOSTER_SWITCHES, "cv", "validation_fraction"))


def check_parameter(name: str, value: Any, cls: type, where: str) -> None:
    """Refuse a parameter of a class that reaches further than the rows, or has a size that exhausts memory or time."""
    if value is None:
        return
    for part, leaf in _leaves(name, value):
        last = part.rpartition("__")[2]
        if last in SEED_PARAMETERS and (last == "random_state" or is_booster(cls)) and leaf is not None:
            raise ConfigError(
                f"'{where}.{part}' is {quote(leaf)}; everything random gets the one seed of the study. Leave it "
                "out and set seed=0."
            )
        if is_ours_to_check(cls) and leaf is not None:
            _check_reach(part, last, leaf, where)
            _check_content(part, last, leaf, where)
        _check_size(part, last, leaf, cls, where)
    if name == "hidden_layer_sizes":
        _check_layers(value, where)
    if is_booster(cls):
        _check_word(name, value, where)
        if name in OBJECTIVE_PARAMETERS and issubclass(cls, ClassifierMixin) and not CLASS_OBJECTIVES.match(str(value)):
            raise ConfigError(
                f"'{where}.{name}' is {quote(value)}, which is not for classes; a learner gives the probability of a "
                "class. Leave it out: the class has its own."
            )


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values inside a value, each with its nearest name; nested estimators are checked by themselves."""
    if isinstance(value, Mapping) and "_target_" not in value:
        for key, item in value.items():
            # A key of a mapping may be a parameter's name, or a class label below the name of the mapping.
            yield from _leaves(key if isinstance(key, str) and key.isidentifier() else name, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(name, item)
    yield name, value


def is_booster(cls: type) -> bool:
    """Return whether a class is one of LightGBM or XGBoost, or derives from one."""
    return any(base.__module__.partition(".")[0] in ("lightgbm", "xgboost") for base in cls.__mro__)


def is_ours_to_check(cls: type) -> bool:
    """Return whether a class is of a shipped package or derives from a booster; all others are trusted."""
    return cls.__module__.partition(".")[0] in admission.SHIPPED or is_booster(cls)


def _check_reach(name: str, last: str, value: Any, where: str) -> None:
    if last in REACHING_PARAMETERS:
        raise ConfigError(
            f"'{where}.{name}' is set, with which an estimator reaches files or the network; it works on the rows it "
            "is given and on nothing else. Leave it out."
        )
    if last in FUNCTION_PARAMETERS:
        raise ConfigError(
            f"'{where}.{name}' is {quote(value)}; it takes a function or an object, which "
            "a study cannot hold. Leave it out, or write a class of your own and name its package in `allow`."
        )


def _check_content(name: str, last: str, value: Any, where: str) -> None:
    if last == "dtype" and value not in NUMERIC_TYPES:
        raise ConfigError(
            f"'{where}.{name}' is {quote(value)}; rows are numbers. Write one of {', '.join(NUMERIC_TYPES)}, or leave "
            "it out."
        )
    if last in CELL_PARAMETERS and isinstance(value, str) and (last, value) != ("categories", "auto"):
        raise ConfigError(
            f"'{where}.{name}' is {quote(value)}; it stands in the place of a value of a row, and rows are numbers. "
            "Write a number, or leave it out."
        )
    pattern = TEXT_PATTERNS.get(last)
    if pattern and isinstance(value, str) and (not re.fullmatch(pattern, value) or "__" in value):
        raise ConfigError(
            f"'{where}.{name}' is {quote(value)}; a study holds no text that is looked up or filled in. Leave it out."
        )


def _check_size(name: str, last: str, value: Any, cls: type, where: str) -> None:
    known = {**MAX_SIZES, **(dict.fromkeys(("max_iter",), MAX_ROUNDS) if is_booster(cls) else {})}
    for base in cls.__mro__:
        known |= MAX_SIZES_OF.get(base.__name__, {})
    size = _read_number(value)
    if last == "max_samples" and isinstance(value, float):
        known[last] = MAX_SHARE
    if last in known and size is not None and size > known[last]:
        threads = "; fits run in parallel over processes (runner.n_jobs)" if known[last] == MAX_THREADS else ""
        example = f"{name}: {known[last]} there" if "[" in where else f"{where}.{name}={known[last]}"
        raise ConfigError(
            f"'{where}.{name}' is {quote(value)}; it takes at most {known[last]}, since more exhausts memory or time"
            f"{threads}. Write for example {example}."
        )


def member_count(given: Mapping[str, Any], cls: type) -> int:
    """Return the number of members of an ensemble by its parameters, at least 1; nested estimators do not count."""
    counts = MEMBER_PARAMETERS if is_booster(cls) else {"n_estimators"}
    if any(base.__name__ in MAX_SIZES_OF and "max_iter" in MAX_SIZES_OF[base.__name__] for base in cls.__mro__):
        counts = {"max_iter"}
    rounds = max((_at_least_one(given[name]) for name in counts if name in given), default=1)
    return rounds * (_at_least_one(given.get(FOREST_PARAMETER)) if is_booster(cls) else 1)


def _at_least_one(value: Any) -> int:
    size = _read_number(value)
    return int(size) if size is not None and 1 <= size < float("inf") else 1


def _read_number(value: Any) -> int | float | None:
    """Return a value as a number, as LightGBM and XGBoost read a text; it may have any number of digits."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _check_layers(value: Any, where: str) -> None:
    layers = [size for size in (value if isinstance(value, (list, tuple)) else [value]) if is_finite_number(size)]
    weights = sum(a * b for a, b in pairwise(layers))
    if len(layers) > MAX_LAYERS or weights > MAX_WEIGHTS:
        raise ConfigError(
            f"'{where}.hidden_layer_sizes' is {quote(value)}; a network has at most {MAX_LAYERS} layers and "
            f"{MAX_WEIGHTS} weights between them, since more exhausts memory. Write for example [100,50]."
        )


def _check_word(name: str, value: Any, where: str) -> None:
    """Refuse white space and '=' in names and values, which LightGBM joins to one line ``name=value name=value``."""
    texts = [*strings_in([name, value])]
    if any(not text.isprintable() or " " in text or "=" in text for text in texts):
        raise ConfigError(
            f"'{where}.{name}' is {quote(value)}; a text for a constructor that takes any parameter is one word, "
            "without blanks and '='. Write it as one word, or as a list."
        )
    if any(_brackets(text) > MAX_BRACKETS for text in texts):
        raise ConfigError(
            f"'{where}.{name}' is {quote(value)}; brackets are nested at most {MAX_BRACKETS} deep, since more ends "
            "the process. Write it with fewer brackets."
        )


def _brackets(text: str) -> int:
    """Return the depth of nested brackets in a text."""
    steps = ((character in "[{(") - (character in "]})") for character in text)
    return max(accumulate(steps, lambda depth, step: max(depth + step, 0), initial=0))


def strings_in(value: Any) -> Iterator[str]:
    """Yield the texts inside a value, keys of mappings included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from strings_in([*map(str, value), *value.values()])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings_in(item)


def shifts_classes(parameter: str, value: Any) -> bool:
    """Return whether a parameter of a learner, named as in scikit-learn, weighs or resamples the classes."""
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


def splits_rows(name: str, value: Any, given: Mapping[str, Any], estimator: Any) -> bool:
    """Return whether a parameter makes an estimator split or validate, by its class and its other parameters."""
    last, kinds = name.rpartition("__")[2], {base.__name__ for base in type(estimator).__mro__}
    if last == "cv":
        return not (value in UNSPLIT_VALUES or (value is None and not kinds.isdisjoint(UNSPLIT_BY_DEFAULT)))
    if "XGBModel" in kinds and last == "early_stopping_rounds":
        return value is not None  # 0 asks for rows to validate on as well
    if last in SPLIT_SWITCHES or (last in BOOSTER_SWITCHES and is_booster(type(estimator))):
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
