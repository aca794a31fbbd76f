"""Text for people and command lines: rounded numbers, plurals, lists, values in the syntax of Hydra overrides."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

#: Names that a sentence lists before it counts the others.
MAX_LISTED_NAMES = 12


def count_noun(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun, whose plural follows the rules of English unless it is given.

    Examples
    --------
    >>> count_noun(1, "row"), count_noun(2000, "class"), count_noun(0, "strategy"), count_noun(2, "is", "are")
    ('1 row', '2,000 classes', '0 strategies', '2 are')
    """
    return f"{count:,} {noun if count == 1 else plural or pluralize(noun)}"


def pluralize(noun: str) -> str:
    """Form the plural of a noun.

    Examples
    --------
    >>> pluralize("fold"), pluralize("class"), pluralize("query"), pluralize("key")
    ('folds', 'classes', 'queries', 'keys')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def capitalise(sentence: str) -> str:
    """Write the first letter of a sentence as a capital; the others stay.

    Examples
    --------
    >>> capitalise("the ROC curve")
    'The ROC curve'
    """
    return sentence[:1].upper() + sentence[1:]


def join_words(words: Iterable[str], last: str = "and", limit: int = MAX_LISTED_NAMES) -> str:
    """Join words as a list in a sentence; beyond a limit of items, which is at least 2, the others are counted.

    Examples
    --------
    >>> join_words(["a", "b", "c"]), join_words(["a", "b"], "or"), join_words("abcd", limit=3), join_words([])
    ('a, b and c', 'a or b', 'a, b and 2 others', '')
    """
    items = list(words)
    if len(items) > limit:
        items = [*items[: limit - 1], f"{len(items) - limit + 1} others"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def format_score(value: float | None) -> str:
    """Write a score with three decimals, with four digits from 100 on; a dash stands for a missing one.

    Examples
    --------
    >>> format_score(0.12345), format_score(-0.0), format_score(12345.6), format_score(None)
    ('0.123', '0.000', '1.235e+04', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:z.3f}" if abs(value) < 100 else f"{value:.4g}"


def format_difference(value: float | None) -> str:
    """Write a difference as a score with its sign.

    Examples
    --------
    >>> format_difference(0.0123), format_difference(-0.0001), format_difference(-123.45), format_difference(None)
    ('+0.012', '+0.000', '-123.5', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:+z.3f}" if abs(value) < 100 else f"{value:+.4g}"


def format_p_value(p: float | None) -> str:
    """Write a p-value with three decimals, never rounded to zero; a dash stands for a missing one.

    Examples
    --------
    >>> format_p_value(0.0312), format_p_value(1e-9), format_p_value(None)
    ('0.031', '<0.001', '-')
    """
    if p is None or math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def format_duration(seconds: float) -> str:
    """Write a duration with one decimal in seconds, minutes or hours.

    Examples
    --------
    >>> format_duration(0.04), format_duration(90), format_duration(7200)
    ('0.0 s', '1.5 min', '2.0 h')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def format_bytes(size: float) -> str:
    """Format bytes in a unit for people to read.

    Examples
    --------
    >>> format_bytes(3 * 2**20), format_bytes(6.5 * 2**30), format_bytes(100)
    ('3.0 MB', '6.5 GB', '0.0 MB')
    """
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.1f} MB"


def format_range(values: Iterable[float], form: Callable[[float], str] = "{:.3f}".format) -> str:
    """Write the lowest and the highest of some values, or the one text of both.

    Examples
    --------
    >>> format_range([0.25, 0.1]), format_range([0.5, 0.50001])
    ('0.100 to 0.250', '0.500')
    """
    items = list(values)
    low, high = form(min(items)), form(max(items))
    return low if low == high else f"{low} to {high}"


def format_knob(value: float | str) -> str:
    """Write the value of a knob: numbers in the shortest form, flags and texts as they are.

    Examples
    --------
    >>> format_knob(0.50), format_knob(True), format_knob("balanced")
    ('0.5', 'True', 'balanced')
    """
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def format_two_digits(value: float) -> str:
    """Write a number with two significant digits, without an exponent.

    Examples
    --------
    >>> format_two_digits(9.61), format_two_digits(824.0)
    ('9.6', '820')
    """
    return f"{float(f'{value:.2g}'):g}"


#: Texts that Hydra reads as they are without quotes; words such as ``null`` and ``nan`` are values of other types.
PLAIN = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_./][\w./-]*", re.IGNORECASE | re.ASCII)
#: A text that begins like this may be read as a number.
NUMERIC = re.compile(r"\.?\d|\.?(?:inf|nan)$|\.+$", re.IGNORECASE)
#: Keys of mappings that Hydra reads as they are: it allows no quotes there, but backslashes before some characters.
KEY = re.compile(r"0|[1-9]\d*|(?!(?:null|true|false|nan|inf)$)[A-Za-z_][\w./|,:=()\[\]{} -]*(?<! )", re.I | re.A)


def to_hydra_syntax(value: Any) -> str:
    r"""Write a value, of lists and mappings at any depth, so that Hydra's grammar reads exactly this value.

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
        return "{" + ",".join(f"{_escape_key(key)}:{to_hydra_syntax(item)}" for key, item in value.items()) + "}"
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


def _escape_key(key: Any) -> str:
    return re.sub(r"([,:=()\[\]{}])", r"\\\1", str(key))


def can_be_typed(value: Any) -> bool:
    """Return whether Hydra's grammar has a form for a value: keys of mappings cannot be quoted.

    Examples
    --------
    >>> can_be_typed({"other": ["<5"]}), can_be_typed({"<5": ["a", "b"]})
    (True, False)
    """
    return not isinstance(value, dict) or all(KEY.fullmatch(str(key)) for key in value)


def to_override(key: str, value: Any) -> str:
    """Write an override as one word of a shell; ``key`` is dotted, the value is written by :func:`to_hydra_syntax`.

    Examples
    --------
    >>> print(to_override("dataset.table.target", "left"), to_override("dataset.table.positive", ">50K"))
    dataset.table.target=left 'dataset.table.positive=">50K"'
    """
    return to_shell([f"{key}={to_hydra_syntax(value)}"])


def table_option(key: str | None, role: str) -> str:
    """Name the place where a role of a table is set: under its key, or as an argument where the table has none.

    Examples
    --------
    >>> print(table_option("table", "drop"), "or", table_option(None, "drop"))
    dataset.table.drop or the argument drop
    """
    return f"dataset.{key}.{role}" if key is not None else f"the argument {role}"


def table_setting(key: str | None, role: str, value: Any) -> str:
    """Write a role of a table with its value, ready to be pasted: an override, or an argument.

    A mapping with keys that cannot be typed is a line of YAML.

    Examples
    --------
    >>> print(table_setting("table", "groups", None), "or", table_setting(None, "groups", None))
    dataset.table.groups=null or groups=None
    >>> print(table_setting("table", "merge", {"<5": ["a", "b"]}))
    merge: {"<5": ["a", "b"]} in the YAML file of the data set
    """
    if key is not None and not can_be_typed(value):
        return f"{role}: {json.dumps(value, ensure_ascii=False)} in the YAML file of the data set"
    return to_override(table_option(key, role), value) if key is not None else f"{role}={value!r}"


def code_span(text: Any) -> str:
    """Write a name as Markdown code, which neither ends its table cell nor becomes markup.

    Examples
    --------
    >>> print(code_span("a|b"))
    `a¦b`
    """
    plain = " ".join(str(text).split()).replace("`", "'").replace("|", "¦")
    return f"`{''.join(c for c in plain if c.isprintable())}`"


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
    """Write the command line typed after ``imblab`` with what it lacks granted, ready to be pasted into a shell.

    ``grants`` are those of an :class:`imblab.errors.ImblabError`.

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
