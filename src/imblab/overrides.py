"""Overrides to paste: values in Hydra's syntax, quoted for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

#: Texts that Hydra reads as they are without quotes; words such as ``null`` and ``nan`` are values of other types.
PLAIN = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_./][\w./-]*", re.IGNORECASE | re.ASCII)
#: A text that begins like this may be read as a number.
NUMERIC = re.compile(r"\.?\d|\.?(?:inf|nan)$|\.+$", re.IGNORECASE)


def to_hydra_syntax(value: Any) -> str:
    r"""Write a value so that Hydra's grammar reads exactly this value.

    Parameters
    ----------
    value : str, number, bool, None, list or mapping
        Lists and mappings may be nested.

    Returns
    -------
    str

    Examples
    --------
    >>> print(to_hydra_syntax("left"), to_hydra_syntax(">50K"), to_hydra_syntax("1"), to_hydra_syntax(1))
    left ">50K" "1" 1
    >>> print(to_hydra_syntax(["id", "paid (EUR)"]), to_hydra_syntax({"min_rows": 20}))
    [id,"paid (EUR)"] {min_rows:20}
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(to_hydra_syntax, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{to_hydra_syntax(item)}" for key, item in value.items()) + "}"
    if not isinstance(value, str):
        return str(value)
    if PLAIN.fullmatch(value) and not NUMERIC.match(value):
        return value
    # OmegaConf would read ${...} as a reference.
    text = re.sub(r"(\\*)\$\{", lambda m: f"{m[1]}{m[1]}\\${{", value)
    # Backslashes are escapes only where a quote follows, the closing one among them.
    text = re.sub(r'(\\*)"', lambda m: f'{m[1]}{m[1]}\\"', text)
    text = re.sub(r"(\\+)$", lambda m: m[1] * 2, text)
    return f'"{text}"'


def to_override(key: str, value: Any) -> str:
    """Write an override as one word of a shell.

    Parameters
    ----------
    key : str
        Dotted, such as ``dataset.table.target``.
    value : str, number, bool, None, list or mapping
        Written by :func:`to_hydra_syntax`.

    Returns
    -------
    str

    Examples
    --------
    >>> print(to_override("dataset.table.target", "left"), to_override("dataset.table.positive", ">50K"))
    dataset.table.target=left 'dataset.table.positive=">50K"'
    """
    return to_shell([f"{key}={to_hydra_syntax(value)}"])


def to_shell(words: Iterable[str]) -> str:
    r"""Join words so that a shell gives them back one by one.

    Examples
    --------
    >>> print(to_shell(["imblab", "run", "strategy.smote.space.k=choice(3,5)"]))
    imblab run 'strategy.smote.space.k=choice(3,5)'
    >>> print(to_override("dataset.jm1.positive", "b'true'"))
    "dataset.jm1.positive=\"b'true'\""
    """
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    # Quotes inside single quotes take five characters; inside double quotes a few characters have a meaning.
    if "'" in word and not re.search(r"[$`!\\]", word):
        return '"' + word.replace('"', '\\"') + '"'
    return shlex.quote(word)


def granting(words: Sequence[str], grants: Sequence[str]) -> str:
    """The command line with what it lacks granted, ready to be pasted into a shell.

    Parameters
    ----------
    words : sequence of str
        As typed after ``imblab``.
    grants : sequence of str
        See :class:`imblab.errors.ConfigError`.

    Returns
    -------
    str

    Examples
    --------
    >>> granting(["run", "study.yaml", "allow=[a]"], ["b.C", "allow_network=true"])
    "imblab run study.yaml 'allow=[a,b.C]' allow_network=true"
    """
    paths = [grant for grant in grants if "=" not in grant]
    others = [grant for grant in grants if "=" in grant]
    keys = {grant.partition("=")[0] for grant in others}
    kept = [word for word in words if not word.startswith("allow=") and word.partition("=")[0] not in keys]
    typed = [word.removeprefix("allow=").strip("[]") for word in words if word.startswith("allow=")]
    listed = ",".join(part.strip() for part in (*typed[-1:], *paths) if part.strip())
    return to_shell(["imblab", *kept, *([f"allow=[{listed}]"] if listed else []), *others])
