"""Overrides, parsed by Hydra; what is refused is told in our words, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from imblab.edges.config import validation
from imblab.edges.config.validation import ErrorCollector
from imblab.errors import ConfigError
from imblab.groups import LISTED_GROUPS
from imblab.redaction import redact
from imblab.text import to_hydra_syntax, to_shell

#: Keys of a data set whose value is one word, even if it looks like a number.
ONE_WORD = re.compile(
    r"\+*dataset\.[^.]+\.(target|positive|groups|folds|time|amount|id|parent|source|name|path|sheet|sep)"
)


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """Parse overrides as typed; raises one ConfigError for all that cannot be parsed."""
    collector = ErrorCollector()
    overrides = [collector.attempt(parse_override, text) for text in texts]
    collector.check()
    return overrides


def parse_override(text: str) -> Override:
    """Parse one override; refuses overrides of Hydra itself and sweeps over keys that are not spaces."""
    flag, _, given = text.partition(" ")
    if flag in HYDRA_REFUSALS:
        does, way_out = HYDRA_REFUSALS[flag]
        raise ConfigError(f"{text!r} {does}. {way_out.format(given or 'NAME')}.")
    key, _, value = text.partition("=")
    if key.lstrip("+~").startswith(("hydra.", "hydra/")):
        raise ConfigError(
            f"override {text!r} sets an option of Hydra, which only composes here and runs no job; nothing below "
            "'hydra' changes a study. Leave it out; folders of your own groups are named with --config-dir."
        )
    if "=" not in text and not text.startswith("~"):
        raise ConfigError(
            f"override {text!r} has no '='; overrides are written key=value. Write for example strategy=[smote], or "
            "strategy.smote.k=5."
        )
    if not key.lstrip("+~"):
        raise ConfigError(f"override {text!r} names no key; overrides are written key=value. Put a key before the '='.")
    space = validation.is_space_key(key.lstrip("+~"))
    try:
        # Space text is not Hydra's to read: a sweep there would demand --multirun.
        override = validation.parse_hydra_override(f"{key}=null" if space and value else text)
    except validation.UNREADABLE as error:
        raise _syntax_error(text, error) from None
    override.input_line = text
    if not space and override.is_sweep_override():
        quoted = quote_as_meant(text) if key.lstrip("+~").startswith("dataset.") else None
        hint = f" If {value!r} is one word, write {to_shell([quoted])}." if quoted else ""
        raise ConfigError(
            f"override {text!r} sweeps over {override.key_or_group!r}; only spaces are swept, inside one study. "
            f"{describe_sweep(key, value)}.{hint}"
        )
    return override


#: Flags of Hydra's command line: what each asks for, with the rule, and the way out.
HYDRA_REFUSALS = dict.fromkeys(
    ("-m", "--multirun"),
    (
        "asks Hydra for many jobs; imblab compares all that is listed, and searches spaces, inside one study",
        "Leave it out and list names, as in 'learner=[knn,svm]', or write spaces such as "
        "'strategy.smote.space.k=choice(3,5)'",
    ),
)
HYDRA_REFUSALS |= dict.fromkeys(
    ("-cn", "--config-name"),
    (
        "names a configuration of Hydra; a study is composed from conf/config.yaml and an experiment",
        "Choose the experiment: experiment={}",
    ),
)
HYDRA_REFUSALS |= dict.fromkeys(
    ("-cp", "--config-path"),
    ("moves the configuration; groups of your own are added to the shipped ones", "Name their folder: --config-dir {}"),
)
HYDRA_REFUSALS |= dict.fromkeys(
    ("-i", "--info"),
    (
        "asks for information on Hydra, which only composes here",
        "Print the study with --cfg job, the options of every group with `imblab list`, what would run with "
        "`imblab plan`",
    ),
)
HYDRA_REFUSALS["--hydra-help"] = (
    "asks for the help of Hydra, which only composes here; its sweeps, launchers and logs are not used",
    "Write `imblab run --help`, or `imblab list` for all that may be named",
)
HYDRA_REFUSALS["--experimental-rerun"] = (
    "asks Hydra to repeat a job from its pickle; imblab repeats studies from their record",
    "Write imblab run experiments/<name>/study.yaml, or imblab reproduce <name>",
)


def describe_sweep(key: str, value: str) -> str:
    """Return what to write in place of a sweep over a key that is not a space."""
    bare = key.lstrip("+~")
    parts = bare.split(".")
    decimal = f"{key}={value.replace(',', '.')}" if re.fullmatch(r"-?\d+,\d+", value) else ""
    if decimal and value.lstrip("-").startswith("0,"):
        return f"A decimal point is a dot: write {to_shell([decimal])}"
    text = value if re.match(r"\w+\(", value) else f"choice({value})"
    if bare in LISTED_GROUPS and re.fullmatch(r"[\w.+-]+(,[\w.+-]+)+", value):
        return f"Write {to_shell([f'{key}=[{value}]'])}"
    if parts[0] == "strategy" and len(parts) == 3:
        return f"Write {to_shell([f'{parts[0]}.{parts[1]}.space.{parts[2]}={text}'])}"
    if parts[0] == "learner" and len(parts) == 4 and parts[2] == "make":
        return f"Write {to_shell([f'learner.{parts[1]}.space.{parts[3]}={text}', 'search.tune_learner=true'])}"
    if bare == "seed":
        return (
            "Repeats have seeds of their own: write protocol.repeats=3, or run one study per seed, each with its name"
        )
    dot = f"If {decimal.partition('=')[2]} is meant, write {to_shell([decimal])}. " if decimal else ""
    return (
        f"{dot}Sweep keys such as strategy.smote.space.ratio or protocol.thresholds, or list names: learner=[knn,svm]. "
        f"For several values of {bare} run one study each, with a name of its own, and compare them: imblab compare A B"
    )


def quote_as_meant(text: str) -> str | None:
    """Quote the words of an override, so that Hydra reads each as typed; None where quotes do not help."""
    key, _, value = text.partition("=")
    meant: Any = value
    if not ONE_WORD.fullmatch(key) and (value[:1] in ("[", "{") or re.match(r"\w+\(", value)):
        if not re.fullmatch(r"\[[^\[\]{}'\"]*\]", value):
            return None
        meant = [word.strip() for word in value[1:-1].split(",")]
    quoted = f"{key}={to_hydra_syntax(meant)}"
    try:
        parsed = validation.parse_hydra_override(quoted).value()
    except validation.UNREADABLE:
        return None
    return quoted if parsed == meant or "${" in value else None


def _syntax_error(text: str, error: Exception) -> ConfigError:
    # The parser quotes the text up to where it stopped, and that may be half of a password.
    reason = "" if "://" in text else f" ({validation.describe_parse_error(error)})"
    quoted = quote_as_meant(text) if redact(text) == text else None
    rule = "overrides are written key=value in Hydra's grammar. Quote the value for the shell, as in "
    way_out = "'strategy.smote.space.k=choice(3,5)'"
    if quoted is not None:
        rule = "Hydra's grammar gives some characters a meaning, unless they are quoted. Write "
        way_out = to_shell([quoted])
    return ConfigError(f"override {text!r} cannot be parsed{reason}; {rule}{way_out}.")
