"""Single values and whole sections of a configuration: what they must be, and the error that says so in four parts."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from imblab.errors import ConfigError, combined, presentable, unknown
from imblab.text import to_override

#: Names become folders, keys and addresses of rows.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$"
NAME_RULE = (
    "names become folders and keys: at most 100 letters, digits, '_', '-', '+', '.', beginning with a letter or digit. "
    "Choose such a name"
)
#: Longer values are cut in messages.
MAX_VALUE_CHARACTERS = 80
#: Characters of the label of a learner or a strategy.
MAX_LABEL_LENGTH = 100


class Section(BaseModel):
    """A mapping whose keys are all known; values keep their types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


Model = TypeVar("Model", bound=BaseModel)


def _check_label(label: str) -> str:
    if not (label.isprintable() and 0 < len(label.strip()) <= MAX_LABEL_LENGTH):
        raise ValueError
    return label.strip()


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Label = Annotated[str, AfterValidator(_check_label)]
LABEL_RULE = f"a description on one line of 1 to {MAX_LABEL_LENGTH} printable characters"


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
            self._errors.append(error)
            return None

    def check(self) -> None:
        """Raise the errors that were kept as one, if there are any."""
        if self._errors:
            raise combined(self._errors)


def refusal_of(error: ConfigError) -> PydanticCustomError:
    """Wrap an error of ours for a validator of a model; :func:`validate` takes it out again."""
    return PydanticCustomError("config_error", "refused", {"error": error})


def validate(model: type[Model], value: Any, where: str = "", context: Any = None) -> Model:
    """Build a model from plain data, or raise one ConfigError with everything that is wrong with them.

    ``where`` is the key they stand under; ``context`` is for the validators of the model.
    """
    try:
        return model.model_validate(dict(value) if isinstance(value, Mapping) else value, context=context)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    raise combined([_explain(problem, model, where) for problem in problems])


def _explain(problem: Mapping[str, Any], model: type[BaseModel], where: str) -> ConfigError:
    """Return the error for a problem that pydantic found: the key, its value, the rule and the way out."""
    path, kind, value = problem["loc"], problem["type"], problem["input"]
    if kind == "config_error":
        error: ConfigError = problem["ctx"]["error"]
        return error
    key = ".".join(part for part in (where, *map(str, path)) if part)
    section = key.rpartition(".")[0]
    if kind in ("extra_forbidden", "invalid_key"):
        parent = _field_at(model, path[:-1])
        valid = ((_nested_model(parent.annotation) if parent else None) or model).model_fields
        return ConfigError(unknown("key", str(path[-1]), valid, f"in {section!r}" if section else "in the study"))
    if kind == "literal_error":
        values = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        return ConfigError(unknown("value", str(value)[:MAX_VALUE_CHARACTERS], values, f"for {key!r}"))
    if path and path[-1] == "[key]":
        section = section.removesuffix(f".{value}")
        return ConfigError(f"the key {quote(value)} in {section!r} is not a name; {NAME_RULE}.")
    if kind == "string_pattern_mismatch" and problem["ctx"]["pattern"] == NAME_PATTERN:
        return ConfigError(f"{key!r} is {quote(value)}; {NAME_RULE}.")
    field = _field_at(model, path)
    nested = _nested_model(field.annotation) if field else model
    if kind in ("model_type", "model_attributes_type") and nested:
        keys = ", ".join(nested.model_fields)
        return ConfigError(f"{key or 'study'!r} is {quote(value)}; it must be a mapping. Its keys are {keys}.")
    found = "not set" if kind == "missing" else quote(value)
    rule = (field.description if field else None) or "of another type"
    return ConfigError(f"{key!r} is {found}; it is {rule}.{_example(key, field)}")


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


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _nested_model(part))), None)
