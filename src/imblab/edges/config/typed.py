"""Overrides as they were typed: read by Hydra's parser, refused with the form that its grammar reads as meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from imblab.edges.config import sweeps
from imblab.errors import ConfigError, combined
from imblab.overrides import to_hydra_syntax, to_shell

#: What the parser raises; numbers of thousands of digits and deep brackets are no errors of its own kind.
UNREADABLE = (HydraException, ValueError, RecursionError)
#: Keys of a data set whose value is one word, even if it looks like a number.
ONE_WORD = re.compile(r"\+*dataset\.[^.]+\.(target|positive|groups|time|amount|id|parent|source|name|path|sheet|sep)")


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """Read overrides as typed.

    Parameters
    ----------
    texts : sequence of str

    Returns
    -------
    list of Override

    Raises
    ------
    ConfigError
        For all that cannot be read, at once.
    """
    found, refusals = [], []
    for text in texts:
        try:
            found.append(parse_override(text))
        except ConfigError as refusal:
            refusals.append(refusal)
    if refusals:
        raise combined(refusals)
    return found


def parse_override(text: str) -> Override:
    """One override as typed; refused where it speaks to Hydra itself or sweeps over what is no space."""
    if text in ("-m", "--multirun"):
        raise ConfigError(
            f"{text!r} asks Hydra for many jobs; imblab walks its spaces inside one study. Leave it out and write "
            "spaces such as 'strategy.smote.space.k=choice(3,5)'."
        )
    key, _, value = text.partition("=")
    if key.lstrip("+~").startswith(("hydra.", "hydra/")):
        raise ConfigError(
            f"override {text!r} speaks to Hydra itself, which only composes here and runs no job; nothing below "
            "'hydra' changes a study. Leave it out; folders of your own groups are named with --config-dir."
        )
    if "=" not in text and not text.startswith("~"):
        raise ConfigError(
            f"override {text!r} has no '='; overrides are written key=value. Write for example strategy=[smote], or "
            "strategy.smote.k=5."
        )
    if not key.lstrip("+~"):
        raise ConfigError(f"override {text!r} names no key; overrides are written key=value. Put a key before the '='.")
    space = sweeps.is_space_key(key.lstrip("+~"))
    try:
        # Space text is not Hydra's to read: a sweep there would demand --multirun.
        override = _read(f"{key}=null" if space and value else text)
    except UNREADABLE as error:
        raise _misread(text, error) from None
    override.input_line = text
    if not space and override.is_sweep_override():
        form = quote_as_meant(text) if key.lstrip("+~").startswith("dataset.") else None
        word = f" If {value!r} is one word, write {to_shell([form])}." if form else ""
        raise ConfigError(
            f"override {text!r} sweeps over {override.key_or_group!r}; only spaces are swept, inside one study. "
            "Sweep keys such as strategy.smote.space.ratio or protocol.thresholds, or list names: "
            f"learner=[knn,svm].{word}"
        )
    return override


def quote_as_meant(text: str) -> str | None:
    """An override with its words quoted, so that Hydra reads each as it was typed.

    Parameters
    ----------
    text : str

    Returns
    -------
    str or None
        None where quotes do not help.

    Examples
    --------
    >>> quote_as_meant("dataset.table.positive=>50K"), quote_as_meant("a=[b")
    ('dataset.table.positive=">50K"', None)
    """
    key, _, value = text.partition("=")
    meant: Any = value
    if not ONE_WORD.fullmatch(key) and (value[:1] in ("[", "{") or re.match(r"\w+\(", value)):
        if not re.fullmatch(r"\[[^\[\]{}'\"]*\]", value):
            return None
        meant = [word.strip() for word in value[1:-1].split(",")]
    form = f"{key}={to_hydra_syntax(meant)}"
    try:
        read = _read(form).value()
    except UNREADABLE:
        return None
    return form if read == meant or "${" in value else None


def _read(text: str) -> Override:
    override: Override = OverridesParser.create().parse_override(text)
    return override


def _misread(text: str, error: Exception) -> ConfigError:
    """What Hydra's grammar cannot read, with the form in which it reads the user's own words."""
    if "://" in text:  # the parser quotes the text up to where it stopped, and that may be half of a password
        said, form = "", None
    else:
        said, form = f" ({sweeps.describe_parse_error(error)})", quote_as_meant(text)
    if form is None:
        return ConfigError(
            f"override {text!r} cannot be read{said}; overrides are written key=value in Hydra's grammar. Quote the "
            "value for the shell, as in 'strategy.smote.space.k=choice(3,5)'."
        )
    return ConfigError(
        f"override {text!r} cannot be read{said}; Hydra's grammar gives some characters a meaning of their own, unless "
        f"they are quoted. Write {to_shell([form])}."
    )
