"""Exceptions of imblab, by who has to act, and the texts of their messages.

Every message has four parts in one or two sentences: the object (by quoted name), its value, the rule, the way out.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import Any

from imblab.redaction import ambiguity, hiding, redact
from imblab.text import can_be_typed, pluralize, to_override


def presentable(text: str, keep: str = "") -> str:
    r"""Text for people: without secrets (see :func:`imblab.redaction.redact`), control characters spelt out.

    A name from a file may hold what moves the cursor of a terminal, or forges a line of a log. Control characters in
    ``keep``, such as a line break, stay.

    Examples
    --------
    >>> presentable("postgresql://me:secret@host/runs")
    'postgresql://...@host/runs'
    >>> print(presentable("red \x1b[31m"))
    red \x1b[31m
    """
    hidden = redact(text)
    if hidden.isprintable():
        return hidden
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in hidden)


#: Characters of one word in a message; a longer one is cut.
MAX_WORD_CHARACTERS = 400


def abridged(text: str) -> str:
    """Cut words of thousands of characters, which would hide the message, and add their length.

    Examples
    --------
    >>> abridged("unknown study " + "x" * 5000).endswith("xxx...(5000 characters)")
    True
    """
    keep = MAX_WORD_CHARACTERS // 2

    def cut(word: re.Match[str]) -> str:
        body = word.group().rstrip("'\"`.,;)")
        return f"{body[:keep]}...({len(body)} characters){word.group()[len(body) :]}"

    return re.sub(rf"\S{{{MAX_WORD_CHARACTERS},}}", cut, text)


#: The rule and the way out by the number of an error of the operating system.
_SPACE = ("a file is written whole or not at all, and what was finished before is kept", "Make room")
_RIGHT = ("this user needs the right to do that", "Change the permissions, or work in another directory,")
_PLACE = ("a file is in the place of a folder, or the reverse", "Rename or remove it")
_OPEN = ("a process may hold so many files open", "Raise the limit with `ulimit -n`, or lower runner.n_jobs,")
_RULES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHT),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY), _PLACE),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _OPEN),
    errno.ENAMETOOLONG: ("a name has at most 255 bytes and a path 4,096", "Use a shorter one"),
    errno.ELOOP: ("a link must not lead back to itself", "Remove it"),
    errno.ENOENT: ("it must exist", "Correct its path"),
    errno.ENOMEM: ("memory is needed for it", "Free memory, or lower runner.n_jobs,"),
}
MAX_PATH_CHARACTERS = 200


def explain_os_error(error: OSError, name: str = "", act: str = "used") -> str:
    """Explain in four parts an error of the operating system that met an ``act``, a participle, on a file."""
    rule, way_out = _RULES.get(error.errno or 0, ("it is needed here", "Remove the cause"))
    path = str(name or (error.filename if isinstance(error.filename, str) else "") or "a file")
    short = path if len(path) <= MAX_PATH_CHARACTERS else f"{path[:MAX_PATH_CHARACTERS]}..."
    reason = short_reason(error, names_path=False)
    return f"{short!r} cannot be {act} ({reason}); {rule}. {way_out} and run the same command again."


def short_reason(error: BaseException, names_path: bool = True) -> str:
    """Return the first line of an exception of a library, or its class; without a path that the message has named."""
    if not names_path and getattr(error, "strerror", None):
        return str(error.strerror)  # type: ignore[attr-defined]
    return describe(error)[:MAX_PATH_CHARACTERS] if str(error).strip() else type(error).__name__


def describe(error: BaseException) -> str:
    r"""Return the first line of an exception without secrets; its ``__str__`` may itself raise.

    Examples
    --------
    >>> describe(ValueError("wrong\nand more")), describe(KeyError())
    ('wrong', 'no message')
    """
    try:
        lines = redact(str(error)).strip().splitlines()
    except (Interruption, KeyboardInterrupt):
        raise
    except BaseException as second:  # of a class that is not imblab's
        return f"its message cannot be read ({type(second).__name__})"
    return lines[0] if lines else "no message"


def foreign_reason(error: BaseException) -> str:
    """Describe an exception of code that is not imblab's, also ``SystemExit`` and other ``BaseException``.

    KeyboardInterrupt and Interruption, which stop a study, are raised again.

    Examples
    --------
    >>> foreign_reason(SystemExit(3))
    '3'
    """
    if isinstance(error, (KeyboardInterrupt, Interruption)):
        raise error
    return describe(error)


class Interruption(BaseException):
    """Stops the code of a learner from outside, such as at a time limit; never a result of that code."""


class ImblabError(Exception):
    """Root of everything imblab raises on purpose; its text is presentable.

    Parameters
    ----------
    *problems : str
        Each becomes a line; control characters are spelt out, so that a name from a file begins no line of its own.
    overrides : mapping, optional
        Keys and values that correct it, for the line that corrects several problems at once.
    grants : iterable of str, default=()
        What the command line has to grant: paths for ``allow``, and overrides such as
        ``allow_network=true``.
    """

    def __init__(self, *problems: str, overrides: Mapping[str, Any] | None = None, grants: Iterable[str] = ()) -> None:
        self.problems, self.overrides = problems, dict(overrides or {})
        if not all(map(can_be_typed, self.overrides.values())):
            self.overrides = {}
        self.grants = tuple(dict.fromkeys(grants))
        lines = [abridged(problem) for problem in problems]
        if len(problems) > 1:
            paste = " ".join(to_override(*item) for item in self.overrides.items())
            lines = [f"{len(problems)} problems:", *(f"- {line}" for line in lines)]
            lines += [f"To paste: {paste}"] if paste else []
        super().__init__("\n".join(map(presentable, lines)))

    def __reduce__(self) -> Any:
        return partial(type(self), *self.problems, overrides=self.overrides, grants=self.grants), ()


class ConfigError(ImblabError):
    """The configuration is wrong: an unknown name, a bad value, a refused class."""


class DataError(ImblabError):
    """The table does not fit the study: a missing column, one class, too few positives."""


class StudyError(ImblabError):
    """The folder of a study contradicts the request: another study, missing or foreign evaluations."""


class DerivedFileError(StudyError):
    """A file made from the evaluations is damaged; the evaluations are not, and the study goes on without it."""


class FitFailed(Exception):
    """Raised when a fit fails; the message becomes the evaluation's ``error``."""


class FitError(ImblabError):
    """A fit failed and the study was asked to stop there (``runner.on_error=raise``)."""


def combined(errors: Sequence[ImblabError]) -> ImblabError:
    """Combine errors into one with all their messages, and one line of overrides for those that have them.

    At least one; a single one is given back as it is. A DataError if any of them is one.

    Examples
    --------
    >>> one = DataError("data set 'a' is wrong.", overrides={"dataset.a.drop": ["x"]})
    >>> two = DataError("data set 'a' is wrong again.", overrides={"dataset.a.drop": ["y"]})
    >>> print(combined([one, two]))
    2 problems:
    - data set 'a' is wrong.
    - data set 'a' is wrong again.
    To paste: 'dataset.a.drop=[x,y]'
    """
    if len(errors) == 1:
        return errors[0]
    overrides: dict[str, Any] = {}
    for key, value in (item for error in errors for item in error.overrides.items()):
        overrides[key] = _both(overrides[key], value) if key in overrides else value
    kind = next((type(error) for error in errors if isinstance(error, DataError)), type(errors[0]))
    problems = [problem for error in errors for problem in error.problems]
    return kind(*problems, overrides=overrides, grants=[grant for error in errors for grant in error.grants])


def _both(one: Any, other: Any) -> Any:
    """Merge two corrections: all columns of two lists, the smaller number of folds, the larger share or min_rows."""
    if isinstance(one, list):
        return [*one, *(item for item in other if item not in one)]
    if isinstance(one, dict):
        return {key: max(value, other[key]) for key, value in one.items()}
    if isinstance(one, float):
        return max(one, other)
    return min(one, other) if isinstance(one, int) else one


#: Characters of the valid names that a message lists; of longer lists it names the eight nearest.
MAX_VALID_CHARACTERS = 400


#: Names of measures, and of arguments, in other libraries.
ALIASES = {
    **{"average_precision": "pr_auc", "matthews_corrcoef": "mcc", "f1_score": "f1", "auc": "roc_auc"},
    **{"seed": "random_state", "scoring": "measures", "estimator": "learners", "sampler": "strategies"},
}


def close_match(name: str, names: Sequence[str]) -> str:
    """Return the valid name that was probably meant; empty if none is near."""
    alias = ALIASES.get(name, "")
    return alias if alias in names else next(iter(get_close_matches(name, names, n=1)), "")


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Ask whether the nearest valid name was meant, with a blank after it; empty if none is near."""
    near = close_match(name, names)
    return f"Did you mean {near!r}? " if near else ""


def unknown(kind: str, name: str, known: Iterable[str], place: str = "", hint: str = "") -> str:
    """Describe an unknown name: the nearest valid name first, then the valid names, of a long list the eight nearest.

    ``kind`` is the noun for what was looked up, ``place`` where it was, with a preposition, ``hint`` a last sentence.

    Examples
    --------
    >>> unknown("key", "sede", ["seed", "name"], "in the study")
    "unknown key 'sede' in the study. Did you mean 'seed'? Valid keys: name, seed."
    >>> unknown("measure", "auc", ["pr_auc", "roc_auc"])
    "unknown measure 'auc'. Did you mean 'roc_auc'? Valid measures: pr_auc, roc_auc."
    """
    names = sorted(known)
    kinds, listed = pluralize(kind), ", ".join(names)
    parts = [f"unknown {kind} {name!r}{f' {place}' if place else ''}. {did_you_mean(name, names)}".rstrip()]
    if len(listed) > MAX_VALID_CHARACTERS:
        nearest = get_close_matches(name, names, n=8, cutoff=0)
        parts.append(f"The nearest of {len(names)} valid {kinds}: {', '.join(nearest)}.")
    else:
        parts.append(f"Valid {kinds}: {listed or 'none'}.")
    return " ".join([*parts, *([hint] if hint else [])])


#: Characters of a library's message that are shown.
MAX_REASON_CHARACTERS = 300


def brief_reason(error: Exception) -> str:
    """The class and the first line of an error, without secrets; only the cause where the line ends with one.

    Examples
    --------
    >>> brief_reason(ConnectionError("max retries (Caused by NewConnectionError('refused'))"))
    "ConnectionError: NewConnectionError('refused')"
    """
    text, _, cause = presentable(describe(error)).rpartition(" (Caused by ")
    return f"{type(error).__name__}: {(cause.removesuffix(')') if text else cause)[:MAX_REASON_CHARACTERS]}"


def check_password_quoting(kind: str, address: str) -> None:
    """Refuse an address whose password a driver would take apart and show in pieces.

    Examples
    --------
    >>> check_password_quoting("MLflow store", "postgresql://me:p%40ss@db/runs")
    """
    if reason := ambiguity(address):
        raise StudyError(
            f"the {kind} {presentable(address)!r} has an address that cannot be used; {reason}. Quote the special "
            "characters of the password."
        )


#: Exceptions that say that code is wrong, not that a connection failed.
CODE_ERRORS = (AssertionError, AttributeError, LookupError, NameError, TypeError)


@contextmanager
def storage_errors(kind: str, address: str, way_out: str) -> Iterator[None]:
    """Turn any exception of a library, a driver or the network into one message without a password.

    ``kind`` says what the address belongs to; its password is hidden meanwhile. The message ends with the ``way_out``.
    """
    with hiding(address):
        try:
            yield
        except ImblabError:
            raise
        except Exception as error:
            problem = "met an error of imblab or a library" if isinstance(error, CODE_ERRORS) else "does not answer"
            reason = f"{problem} ({brief_reason(error)})"
            raise StudyError(f"the {kind} {presentable(address)!r} {reason}; {way_out}") from None


class ConfigValueError(ConfigError, ValueError):
    """A ConfigError of an estimator: scikit-learn's tools expect a ValueError there."""


class DataValueError(DataError, ValueError):
    """A DataError of an estimator: scikit-learn's tools expect a ValueError there."""


class FitValueError(FitError, ValueError):
    """A FitError of an estimator: scikit-learn's tools expect a ValueError there."""


@contextmanager
def estimator_errors() -> Iterator[None]:
    """Raise errors of imblab as errors that are a ValueError too, with the same texts."""
    try:
        yield
    except (ConfigError, DataError, FitError) as error:
        kinds = ((ConfigError, ConfigValueError), (DataError, DataValueError), (FitError, FitValueError))
        kind = next(value_error for cls, value_error in kinds if isinstance(error, cls))
        raise kind(*error.problems, overrides=error.overrides, grants=error.grants) from error.__cause__
