"""Texts that name a class: checked, and built once at the door, so that no fit fails for a spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from sklearn.base import is_classifier

from imblab.core import targets
from imblab.edges.config.checks import plain, shown
from imblab.errors import ConfigError, foreign_reason, unknown

#: What may begin with an underscore.
RESERVED = ("_target_", "_mixed_", "_categorical_")
#: Parameters with which an estimator reads or writes files or opens a port: a cache is unpickled, LightGBM trains over
#: the network, and reads what its many names for a file say.
REACHING = """
memory client config config_file convert_model convert_model_file data train train_data train_data_file
data_filename valid valid_data valid_data_file valid_filenames test test_data test_data_file
forcedbins_filename forcedsplits_filename fs forced_splits forced_splits_file forced_splits_filename
input_model model_input model_in output_model model_output model_out output_result predict_result
prediction_result predict_name prediction_name pred_name name_pred machine_list_filename machine_list_file
machine_list mlist machines workers nodes num_machines num_machine local_listen_port local_port port
parser_config_file save_binary is_save_binary is_save_binary_file snapshot_freq save_period
"""


def make(raw: Any, where: str, allow: Sequence[str]) -> dict[str, Any]:
    """The plain text behind ``{_target_: ..., parameter: value}``, nested ones included.

    Raises
    ------
    ConfigError
        If it names no class, one outside the allowed packages, or a seed of its own.
    """
    if not isinstance(raw, Mapping) or not isinstance(raw.get("_target_"), str):
        raise ConfigError(
            f"{where!r} is {shown(raw)}; it names a class as {{_target_: dotted.path, parameter: value}}. Add _target_."
        )
    for key, value in raw.items():
        if str(key).startswith("_") and key not in RESERVED:
            raise ConfigError(f"{where}: {unknown('reserved key', str(key), RESERVED)}")
        if key == "random_state" and value is not None:
            raise ConfigError(
                f"'{where}.random_state' is {shown(value)}; everything random gets the one seed of the study. Leave it "
                "out and set seed=0."
            )
        if value is not None:
            refuse_reaching(str(key), where)
        _nested(value, f"{where}.{key}", allow)
    try:
        targets.resolve(raw["_target_"], allow)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", grants=error.grants) from error
    return {str(k): plain(v) for k, v in raw.items()}


def refuse_reaching(name: str, where: str) -> None:
    """Refuse a parameter that reaches beyond the rows: a study may come from a colleague."""
    if name.rpartition("__")[2] in REACHING.split():
        raise ConfigError(
            f"'{where}.{name}' is set, with which an estimator reaches files or the network; it works on the rows it "
            "is given and on nothing else. Leave it out."
        )


def check_learner(text: Mapping[str, Any], where: str, allow: Sequence[str]) -> None:
    """Refuse what is no classifier, or is one with values that its class refuses."""
    learner = built(text, where, allow)
    answers = hasattr(learner, "predict_proba") or hasattr(learner, "decision_function")
    if not is_classifier(learner) or not answers:
        raise ConfigError(
            f"{where!r} names {text['_target_']!r}, which is no classifier with predict_proba or decision_function; a "
            "learner ranks the rows of two classes. Name a classifier, or put a sampler under strategy."
        )
    _check_splitting(learner, where)
    _check_spelling(learner, text, where)
    # scikit-learn checks values in `fit`; asked here, no study starts that can only fail.
    if hasattr(learner, "_parameter_constraints"):
        try:
            learner._validate_params()
        except ValueError as error:
            raise ConfigError(
                f"{where!r} holds a value that {text['_target_']!r} refuses: {_first(error)} Every parameter takes "
                f"what its class documents. Correct it in {where}."
            ) from error


#: Parameters with which a learner splits the rows it receives, which hold synthetic ones, and the values that do so.
SPLITTING = {"early_stopping": (True, "auto"), "probability": (True,)}
#: Parameters whose presence alone says that it does.
ALWAYS_SPLITTING = ("cv", "early_stopping_rounds")


def _check_splitting(learner: Any, where: str) -> None:
    """Refuse a learner that would validate or calibrate on rows made by a sampler."""
    for name, value in learner.get_params(deep=True).items():
        last = name.rpartition("__")[2]
        always = last in ALWAYS_SPLITTING and (value is not None or last == "cv")
        if always or any(value is bad or value == bad for bad in SPLITTING.get(last, ()) if value is not None):
            raise ConfigError(
                f"'{where}.{name}' is {shown(value)}, with which {type(learner).__name__} splits the rows it receives; "
                "those hold synthetic rows, and a learner must neither validate nor calibrate on them. Switch it off, "
                "or choose a learner without it."
            )


#: Parameters with which a learner weighs or resamples the classes it receives, wherever they are not at rest.
REBALANCING = ("class_weight", "scale_pos_weight", "is_unbalance", "sampling_strategy")


def rebalances(text: Mapping[str, Any], space: Mapping[str, Any], allow: Sequence[str]) -> bool:
    """Whether a learner shifts the positive share by a parameter that is set or searched."""
    given = targets.build(text, None, allow).get_params(deep=True)
    set_so = {name: value for name, value in given.items() if name.rpartition("__")[2] in REBALANCING}
    # A flag that is set is no factor of 1, though Python calls them equal.
    moved = any(value is True or value not in (None, False, 1) for value in set_so.values())
    return moved or not set(REBALANCING).isdisjoint(space)


def _check_spelling(learner: Any, text: Mapping[str, Any], where: str) -> None:
    """A constructor that takes anything takes a misspelt name too, and a text that holds further parameters."""
    if targets.takes_anything(text):
        for name in (str(n) for n in text if not str(n).startswith("_")):
            refuse_misspelt(learner, name, where)
            refuse_smuggled(name, text[name], where)


def refuse_smuggled(name: str, value: Any, where: str) -> None:
    """Refuse white space in what LightGBM joins to one line ``name=value name=value``."""
    texts = [name, *(str(v) for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, str))]
    if any(not text.isprintable() or " " in text or "=" in text for text in texts):
        raise ConfigError(
            f"'{where}.{name}' is {shown(value)}; a text for a constructor that takes any parameter is one word, "
            "without blanks and '='. Write it as one word, or as a list."
        )


def refuse_misspelt(learner: Any, name: str, where: str) -> None:
    """Refuse a name that is none of a learner's parameters but nearly one; its aliases are spelt otherwise."""
    known = set(type(learner)().get_params())
    near = get_close_matches(name, known, n=1, cutoff=0.85)
    if name not in known and near:
        raise ConfigError(
            f"'{where}.{name}' is no parameter of {type(learner).__name__}, and nearly {near[0]!r}; a name that it "
            f"does not know would be ignored. Write {near[0]}."
        )


def check_sampler(text: Mapping[str, Any], where: str, allow: Sequence[str]) -> None:
    """Refuse what does not resample."""
    if not hasattr(targets.resolve(text["_target_"], allow), "fit_resample"):
        raise ConfigError(
            f"{where!r} names {text['_target_']!r}, which has no fit_resample; a sampler is one of imbalanced-learn's "
            "kind. Name a sampler, or put the class under learner."
        )
    built(text, where, allow, {"ratio": 0.5, "k": 5, "categorical": [0]})


def built(
    text: Mapping[str, Any], where: str, allow: Sequence[str], placeholders: Mapping[str, object] | None = None
) -> Any:
    """The object that a text describes; whatever its constructor says against it is a refusal."""
    try:
        return targets.build(text, placeholders, allow)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", grants=error.grants) from error
    except BaseException as error:  # a constructor may raise anything
        raise ConfigError(
            f"{where!r} names {text['_target_']!r}, which cannot be built ({_first(error)}); its constructor must take "
            "what is given. Add or correct its parameters."
        ) from error


def _nested(value: Any, where: str, allow: Sequence[str]) -> None:
    if isinstance(value, Mapping) and "_target_" in value:
        make(value, where, allow)
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            _nested(part, where, allow)


def _first(error: BaseException) -> str:
    line = foreign_reason(error)
    return re.sub(r"^\S+ missing \d+ required (?:positional|keyword-only) arguments?: (.*)", r"it needs \1", line)
