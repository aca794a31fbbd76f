"""Single values and whole sections of a configuration: what they must be, and the error that says so in four parts."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from imblab.errors import ConfigError, combined, presentable, unknown
from imblab.text import to_override

Model = TypeVar("Model", bound=BaseModel)
NAME_RULE = (
    "names become folders and keys: at most 100 letters, digits, '_', '-', '+', '.', beginning with a letter or digit. "
    "Choose such a name"
)
#: Names become folders, keys and addresses of rows.
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
#: Longer values are cut in messages.
MAX_VALUE_CHARACTERS = 80


def quote(value: Any) -> str:
    """A value as a message shows it.

    Examples
    --------
    >>> quote("x"), quote({"a": 1})
    ("'x'", "{'a': 1}")
    """
    try:
        text = presentable(repr(value))  # before it is cut: half an address would show its password
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 5].rstrip()} ...{text[-1]}"


def check_keys(raw: Any, keys: Iterable[str], kind: str, where: str) -> None:
    """Refuse values that are not mappings, and unknown keys."""
    keys = tuple(keys)
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f"{where!r} is {quote(raw)}; it must be a mapping. Write it with some of the keys {', '.join(keys)}."
        )
    for key in raw:
        if key not in keys:
            raise ConfigError(
                unknown(kind, str(key), keys, "in the study" if where == "the study" else f"in {where!r}")
            )


def read_section(raw: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
    """The entries below a key, by their names; empty where there are none."""
    value = raw.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(
            f"{f'{where}.{key}'.lstrip('.')!r} is {quote(value)}; it must be a mapping by name. Write it as "
            f"{{name: ...}}, or leave it out."
        )
    return value or {}


def check_member_name(value: Any, where: str) -> str:
    """A name that can be a folder."""
    if not isinstance(value, str) or not NAME_PATTERN.fullmatch(value):
        raise ConfigError(
            f"{where!r} is {quote(value)}; names become folders and keys: at most 100 letters, digits, '_', '-', '+', "
            "'.', beginning with a letter or digit. Choose such a name."
        )
    return value


def check_boolean(value: Any, where: str) -> bool:
    """True or false, and no text that looks true."""
    if not isinstance(value, bool):
        raise ConfigError(f"{where!r} is {quote(value)}; it is true or false. Write {where}=true or {where}=false.")
    return value


def is_finite_number(value: Any) -> bool:
    """Whether a value is a finite number; a flag is none, and neither is a whole number that no float can hold."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= sys.float_info.max


def to_plain_data(value: Any) -> Any:
    """Mappings and sequences as dicts and lists."""
    if isinstance(value, Mapping):
        return {str(k): to_plain_data(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain_data(v) for v in value]
    return value


class ErrorCollector:
    """Collects the errors of several readers, so that everything that is wrong is said at once."""

    def __init__(self) -> None:
        self._errors: list[ConfigError] = []

    def attempt(self, reader: Callable[..., Any], *args: Any) -> Any:
        """Return what a reader returns, or None if it raises a ConfigError, which is kept."""
        try:
            return reader(*args)
        except ConfigError as error:
            self.add(error)
            return None

    def add(self, error: ConfigError) -> None:
        """Keep an error."""
        self._errors.append(error)

    def check(self) -> None:
        """Raise the errors that were kept as one, if there are any."""
        if self._errors:
            raise combined(self._errors)


def validate(model: type[Model], value: Any, where: str = "", context: Any = None) -> Model:
    """Build a model from plain data.

    Parameters
    ----------
    model : type
        The pydantic model of the section.
    value : object
        As parsed from YAML or composed.
    where : str, default=""
        The key it stands under.
    context : object, optional
        For the validators of the model.

    Returns
    -------
    BaseModel

    Raises
    ------
    ConfigError
        With everything that is wrong with it.
    """
    try:
        return model.model_validate(dict(value) if isinstance(value, Mapping) else value, context=context)
    except ValidationError as error:
        raise as_config_error(error, model, where) from None


def as_config_error(error: ValidationError, model: type[BaseModel], where: str = "") -> ConfigError:
    """Turn pydantic's error into ours: for each problem the key, its value, the rule and the way out."""
    problems = []
    for problem in error.errors(include_url=False):
        context = problem.get("ctx", {})
        if problem["type"] == "config_error":
            problems.append(context["error"])
        else:
            problems.append(ConfigError(_describe(problem, context, model, where)))
    return combined(problems)  # type: ignore[return-value]


def _describe(problem: Mapping[str, Any], context: Mapping[str, Any], model: type[BaseModel], where: str) -> str:
    path, kind = problem["loc"], problem["type"]
    key = ".".join(part for part in (where, *map(str, path)) if part)
    value = problem["input"]
    if kind in ("extra_forbidden", "invalid_key"):
        section, valid = key.rpartition(".")[0], _model_at(model, path[:-1]).model_fields
        return unknown("key", str(path[-1]), valid, f"in {section!r}" if section else "in the study")
    if kind == "literal_error":
        return unknown("value", str(value)[:80], re.findall(r"'([^']*)'", context["expected"]), f"for {key!r}")
    if path and path[-1] == "[key]":
        section = ".".join((where, *map(str, path[:-2]))).strip(".")
        return f"the key {quote(value)} in {section!r} is not a name; {NAME_RULE}."
    if kind == "string_pattern_mismatch":
        return f"{key!r} is {quote(value)}; {NAME_RULE}."
    field = _field_at(model, path)
    nested = _nested_model(field.annotation) if field else model
    if kind in ("model_type", "model_attributes_type") and nested:
        keys = ", ".join(nested.model_fields)
        return f"{key or 'study'!r} is {quote(value)}; it must be a mapping. Its keys are {keys}."
    rule = field.description if field and field.description else "of another type"
    if kind == "missing":
        return f"{key!r} is not set; it is {rule}.{_example(key, field)}"
    return f"{key!r} is {quote(value)}; it is {rule}.{_example(key, field)}"


def _example(key: str, field: FieldInfo | None) -> str:
    if field is None:
        return " Correct it."
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    examples = [*(field.examples or ()), *([default] if isinstance(default, (int, float, str, bool)) else [])]
    return f" Write for example {to_override(key, examples[0])}." if examples else " Correct it, or leave it out."


def _field_at(model: type[BaseModel], path: Sequence[int | str]) -> FieldInfo | None:
    """The innermost field on a path; names and positions below a field belong to it."""
    field, current = None, model
    for part in path:
        if current is not None and part in current.model_fields:
            field = current.model_fields[str(part)]
            current = _nested_model(field.annotation)  # type: ignore[assignment]
    return field


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    field = _field_at(model, path)
    return (_nested_model(field.annotation) if field else None) or model


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _nested_model(part))), None)
