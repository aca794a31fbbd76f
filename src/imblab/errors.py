"""What can go wrong, named by who must act.

Every message has four parts in one or two sentences: which object (by quoted name), what was found (with the
value), the rule, and the way out.
"""

import re
from collections.abc import Iterable

#: User and password in an address, and words that name a secret with their value.
SECRET = re.compile(
    r"(://)(?:\S*(?=@)|[^\s/@:]*:(?!\d+\b)[^@'\"\n]*(?=@))|((?:password|passwd|pwd|token|secret)=)[^&\s'\"]*",
    re.IGNORECASE,
)


def presentable(text: str, keep: str = "") -> str:
    r"""Text for people: addresses without user and password, control characters spelt out.

    A name from a file may hold what moves the cursor of a terminal, or forges a line of a log.

    Parameters
    ----------
    text : str
    keep : str, default=""
        Control characters that stay, such as a line break.

    Returns
    -------
    str

    Examples
    --------
    >>> presentable("postgresql://me:secret@host/runs")
    'postgresql://...@host/runs'
    >>> print(presentable("red \x1b[31m"))
    red \x1b[31m
    """
    hidden = SECRET.sub(r"\1\2...", text)
    if hidden.isprintable():
        return hidden
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in hidden)


class ImblabError(Exception):
    """Root of everything imblab raises on purpose; its text is presentable."""

    def __init__(self, text: str = "") -> None:
        super().__init__(presentable(text))


class ConfigError(ImblabError):
    """The question is written wrongly: an unknown name, a bad value, a refused target."""


class DataError(ImblabError):
    """The table cannot carry the question: missing column, one class, too few positives."""


class StudyError(ImblabError):
    """The folder of a study contradicts what is asked of it: changed question, missing or foreign rows."""


class FitError(ImblabError):
    """A fit failed and the study was asked to stop there (``runner.on_error=raise``)."""


def unknown(kind: str, name: str, known: Iterable[str], way_out: str = "") -> str:
    """One sentence for a name that is not known, answered with the known names.

    Parameters
    ----------
    kind : str
        What was looked for, such as ``"measure"``.
    name : str
        The name that was given.
    known : iterable of str
        The names that exist.
    way_out : str, default=""
        A last sentence; by default the reader is asked to choose a known name.

    Returns
    -------
    str

    Examples
    --------
    >>> unknown("measure", "mc", ["mcc", "f1"])
    "unknown measure 'mc'; a study knows its measures by name. Choose one of: f1, mcc."
    """
    names = ", ".join(sorted(known)) or "none"
    kinds = f"{kind[:-1]}ies" if kind.endswith("y") and kind[-2] not in "aeiou" else f"{kind}s"
    return f"unknown {kind} {name!r}; a study knows its {kinds} by name. {way_out or 'Choose'} one of: {names}."
