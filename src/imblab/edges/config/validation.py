"""Single values, spaces and sections of a configuration: what they must be, and the error that says so in four parts.

Spaces are written in Hydra's sweep grammar and read by Hydra's parser.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, TypeVar, get_args

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from imblab.core import search
from imblab.errors import ConfigError, ImblabError, combined, describe, presentable, unknown
from imblab.study import Axis, Choice, Interval, Scalar
from imblab.text import to_override

#: Names become folders, keys and addresses of rows.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$"
NAME_RULE = (
    "names become folders and keys: at most 100 letters, digits, '_', '-', '+', '.', beginning with a letter or digit. "
    "Choose such a name"
)
#: Longer values are cut in messages.
MAX_VALUE_CHARACTERS = 80
MAX_LABEL_LENGTH = 100


class Section(BaseModel):
    """A mapping whose keys are all known; values keep their types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


Model = TypeVar("Model", bound=BaseModel)
#: Classes that may be named in addition to the shipped ones; None where the caller handed over the classes themselves.
Allow = Sequence[str] | None


def _check_label(label: str) -> str:
    if not (label.isprintable() and 0 < len(label.strip()) <= MAX_LABEL_LENGTH):
        raise ValueError
    return label.strip()


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Label = Annotated[str, AfterValidator(_check_label)]
LABEL_RULE = f"a description on one line of 1 to {MAX_LABEL_LENGTH} printable characters"


def quote(value: Any) -> str:
    """A value as a message shows it."""
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
        self._errors: list[ImblabError] = []

    @property
    def is_empty(self) -> bool:
        """Whether no error was kept."""
        return not self._errors

    def attempt(self, reader: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Return what a reader returns, or None if it raises an error of imblab, which is kept."""
        try:
            return reader(*args, **more)
        except ImblabError as error:
            self._errors.append(error)
            return None

    def add(self, error: ImblabError) -> None:
        """Keep an error."""
        self._errors.append(error)

    def check(self) -> None:
        """Raise the errors that were kept as one, if there are any."""
        if self._errors:
            raise combined(self._errors)


def refusal(problem: str | ConfigError) -> PydanticCustomError:
    """Wrap an error for a validator of a model; :func:`validate` takes it out again."""
    error = ConfigError(problem) if isinstance(problem, str) else problem
    return PydanticCustomError("config_error", "refused", {"error": error})


def validate(model: type[Model], value: Any, where: str = "", context: Any = None) -> Model:
    """Build a model from plain data that stand under a key; one ConfigError says everything that is wrong with them."""
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
    shown = "not set" if kind == "missing" else quote(value)
    rule = (field.description if field else None) or "of another type"
    return ConfigError(f"{key!r} is {shown}; it is {rule}.{_example(key, field)}")


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


#: Examples of the grammar, for messages.
GRAMMAR = "choice(0.1,0.5), range(1,10,2), interval(1,50) or tag(log,interval(1,50))"
#: A space of a configuration: texts of the grammar by the names of knobs or parameters.
Space = Annotated[
    dict[str, Any] | None,
    WithJsonSchema(
        {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean", "array", "null"]}}
    ),
]
SPACE_RULE = f"a mapping of what is searched, by name, in Hydra's sweep grammar: {GRAMMAR}"
NOT_SEARCHABLE = ", which cannot be searched; a space is a list of plain finite values, a range or an interval"
#: What Hydra's parser raises; for numbers of thousands of digits and deep brackets these are errors of Python.
UNREADABLE = (HydraException, ValueError, RecursionError)
#: Messages of Hydra's parser by their pattern, with what is shown instead.
PARSER_MESSAGES = {
    r"^no viable alternative at input (.*)": r"it does not go on after \1",
    r"^(?:extraneous|mismatched) input (.*)": r"\1 is not expected there",
    r"^token recognition error at: (.*)": r"\1 is not expected there",
}
MAX_RANGE_VALUES = 10_000
MAX_SHOWN_VALUES = 20


def read_axis(
    given: Any, where: str, integer: bool = False, absolute: bool = True, read_value: Callable[[Any], Any] | None = None
) -> Axis:
    """Read the axis of a space text (``choice(...)``, ``tag(log,interval(...))``, ...) or of a list of values.

    ``where`` is the key it stands under; ``integer`` if the parameter takes whole numbers only; ``absolute`` if numbers
    within 1e-12 are one value, rather than within that share of themselves. ``read_value`` turns a listed mapping into
    a text, or returns it as it is.

    Examples
    --------
    >>> read_axis("range(0.1,0.4,0.1)", "strategy.smote.space.ratio")
    Choice(values=(0.1, 0.2, 0.3))
    >>> read_axis("tag(log,interval(1,50))", "strategy.smote.space.k", integer=True)
    Interval(low=1, high=50, log=True, integer=True)
    """
    parsed = _parse(given, where)
    tags: set[str] = getattr(parsed, "tags", set()) - {"log"}
    if tags or (isinstance(parsed, (ChoiceSweep, RangeSweep)) and parsed.tags):
        rule = "; the only tag is log, and it goes with an interval"
        raise _not_a_space(given, where, rule, "Write for example tag(log,interval(1,50))")
    if isinstance(parsed, IntervalSweep):
        return _read_interval(parsed, where, integer)
    values = _listed_values(parsed, where, given, read_value or (lambda value: value))
    if not values:
        raise _not_a_space(given, where, ", which holds no value; a space lists at least one")
    if not all(isinstance(value, (str, bool)) or is_finite_number(value) for value in values):
        raise _not_a_space(given, where)
    _check_distinct(values, where, absolute)
    return Choice(tuple(_to_whole_number(value, where) for value in values) if integer else tuple(values))


def values_of(axis: Axis) -> tuple[Any, ...]:
    """Return the listed values of an axis, or the ends of an interval."""
    return axis.values if isinstance(axis, Choice) else (axis.low, axis.high)


def _parse(given: Any, where: str) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return parse_hydra_override(f"x={given}").value()
    except UNREADABLE as error:
        rule = f", which is not a space ({describe_parse_error(error)}); spaces are written in Hydra's sweep grammar"
        raise _not_a_space(given, where, rule) from error


def parse_hydra_override(text: str) -> Override:
    """Parse an override with Hydra's parser; the only call of it."""
    override: Override = OverridesParser.create().parse_override(text)
    return override


def describe_parse_error(error: Exception) -> str:
    """Return what Hydra's parser found, in plain words."""
    if not isinstance(error, HydraException):
        return f"it is longer or deeper than can be read: {describe(error)[:80]}"
    line = str(error).splitlines()[0].partition(" expecting ")[0]
    line = line.partition(" while evaluating ")[2].partition("': ")[2] or line
    for pattern, words in PARSER_MESSAGES.items():
        line = re.sub(pattern, words, line)
    return line


def _listed_values(parsed: Any, where: str, given: Any, read_value: Callable[[Any], Any]) -> list[Scalar]:
    if isinstance(parsed, RangeSweep):
        return _range_values(parsed, where, given)
    if isinstance(parsed, ChoiceSweep) and not parsed.shuffle:
        parsed = parsed.list
    is_list = isinstance(parsed, Sequence) and not isinstance(parsed, str)
    values = [read_value(value) if isinstance(value, Mapping) else value for value in (parsed if is_list else [parsed])]
    if all(isinstance(value, (str, int, float)) for value in values):
        return values
    raise _not_a_space(given, where)


def _not_a_space(
    given: Any, where: str, rule: str = NOT_SEARCHABLE, way_out: str = f"Write for example {GRAMMAR}"
) -> ConfigError:
    return ConfigError(f"{where!r} is {quote(given)}{rule}. {way_out}.")


def _range_values(sweep: RangeSweep, where: str, given: Any) -> list[Scalar]:
    ends = (sweep.start, sweep.stop, sweep.step)
    if sweep.shuffle or not sweep.step or not all(map(is_finite_number, ends)):
        raise _not_a_space(given, where)
    if (sweep.stop - sweep.start) / sweep.step > MAX_RANGE_VALUES:
        rule = f", which lists more than {MAX_RANGE_VALUES} values; each of them is tried"
        raise _not_a_space(given, where, rule, "Take wider steps, or an interval with search=tpe")
    # Decimals of the written numbers, so that .1 + .2 is .3; the stop is left out, as Hydra and Python do.
    start, stop, step = (Decimal(str(number)) for number in ends)
    count = max(0, math.ceil((stop - start) / step))
    is_whole = all(isinstance(number, int) for number in ends)
    values = [start + i * step for i in range(count)]
    return [int(v) if is_whole else round(float(v), 12) for v in values]


def _read_interval(sweep: IntervalSweep, where: str, integer: bool) -> Interval:
    low, high = sweep.start, sweep.end
    log = "log" in sweep.tags
    integer = integer or (isinstance(low, int) and isinstance(high, int))
    if not (is_finite_number(low) and is_finite_number(high) and low < high):
        raise ConfigError(
            f"{where!r} is interval({low:g},{high:g}); the low end lies below the high end, and both are finite. "
            "Correct the ends."
        )
    if log and low <= 0:
        raise ConfigError(
            f"{where!r} has the log interval from {low:g}; a logarithm needs a low end above 0. "
            "Raise it, or drop tag(log)."
        )
    if integer:
        return Interval(_to_whole_number(low, where), _to_whole_number(high, where), log, True)
    return Interval(float(low), float(high), log)


def _to_whole_number(value: Scalar, where: str) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer():
        return int(value)
    raise ConfigError(
        f"{where!r} holds {quote(value)}; this parameter takes whole numbers only. Write for example choice(3,5)."
    )


def _check_distinct(values: Sequence[Scalar], where: str, absolute: bool) -> None:
    """Refuse a value that is listed twice, in any spelling: it would be searched and counted twice."""
    pair = search.find_repeated(values, absolute)
    if pair is None:
        return
    first, second = (axis_to_text(Choice((value,)))[7:-1] for value in pair)
    # 0.3 stays and 0.30000000000000004 goes, wherever it stands; else the first one stays.
    odd = pair[len(first) <= len(second)] if type(pair[0]) is type(pair[1]) else pair[1]
    distinct = list(values)
    del distinct[max(i for i, value in enumerate(distinct) if value is odd)]
    is_short = len(distinct) <= MAX_SHOWN_VALUES
    way_out = f"Write {axis_to_text(Choice(tuple(distinct)))}" if is_short else "Leave one of them out"
    raise ConfigError(
        f"{where!r} lists {first} and {second}, which are one value; equal values, and numbers within 1e-12 of each "
        f"other, are listed once. {way_out}."
    )


def is_space_key(key: str) -> bool:
    """Return whether a key of the configuration holds space text."""
    return key == "protocol.thresholds" or ".space." in key


def read_thresholds(given: Any, where: str) -> tuple[float, ...] | str:
    """Read a grid of thresholds: space text, a list of numbers, or ``observed``."""
    if given == "observed":
        return "observed"
    axis = read_axis(given, where)
    values = values_of(axis)
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v <= 1]
    if isinstance(axis, Interval) or len(numbers) != len(values) or sorted(set(numbers)) != numbers:
        rule = "; thresholds are listed numbers from 0 to 1 in rising order, or 'observed'"
        raise _not_a_space(given, where, rule, "Write for example range(0.01,1,0.01)")
    return tuple(float(v) for v in numbers)


def spaces_to_text(space: Mapping[str, Axis]) -> dict[str, str]:
    """Write each axis as :func:`axis_to_text` does."""
    if problems := [
        f"the space of {name!r} is {quote(axis)}; it is an imblab.Choice or an imblab.Interval. Write for example "
        f"space={{{name!r}: imblab.Choice((3, 5))}}."
        for name, axis in space.items()
        if not isinstance(axis, (Choice, Interval))
    ]:
        raise ConfigError(*problems)
    return {name: axis_to_text(axis) for name, axis in space.items()}


def axis_to_text(axis: Axis) -> str:
    """Write an axis as the text that :func:`read_axis` reads as an equal one; texts are quoted where they must be.

    Examples
    --------
    >>> axis_to_text(Choice((3, 5))), axis_to_text(Choice(("true", "a, b")))
    ('choice(3,5)', "choice('true','a, b')")
    """
    if isinstance(axis, Interval) or not any(isinstance(value, str) for value in axis.values):
        return axis.text()
    texts = [quote_text(value) if isinstance(value, str) else Choice((value,)).text()[7:-1] for value in axis.values]
    try:
        is_plain = read_axis(axis.text(), "space") == axis
    except ConfigError:
        is_plain = False
    return axis.text() if is_plain else f"choice({','.join(texts)})"


def quote_text(text: str) -> str:
    """Quote a text so that Hydra's parser reads it as it stands."""
    return str(QuotedString(text, Quote.single).with_quotes())
