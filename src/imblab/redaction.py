"""Secrets leave with no text: what a library, a driver or the network says is read through before it is shown.

Three things hide a secret: where it stands (in an address, behind ``password=``, in a header), how it looks (the keys
of some services), and that it is known (it stood in an address that was given, or in the environment). The last one
helps where a driver has taken an address apart and tells a piece of it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

#: What stands in place of a secret.
HIDDEN = "..."
#: Shorter texts are hidden where they stand in an address only: elsewhere they are words.
MIN_SECRET_CHARACTERS = 4
#: Shorter ones only where no letter or digit stands next to them.
MIN_EMBEDDED_CHARACTERS = 8
#: Values of the environment are hidden from this length on: shorter ones are switches.
MIN_VARIABLE_CHARACTERS = 8
#: How names of secrets end, in addresses, options and headers.
_NAME = (
    r"(?:[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|credentials?|signature|authorization|cookie|session[-_.]?id|"
    r"(?:api|access|account|secret|private|shared|subscription|sas)[-_.]?key(?:[-_.]?id)?)"
    r"|(?:[\w.-]*[_.-])?(?:pwd|sig|sas|auth))"
)
#: A text in quotes.
_TEXT = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_ADDRESS = re.compile(
    # Up to the last '@' of a word, unless that is a path: nothing before its first '/' separates user and password.
    r"(?<=://)(?!/)(?![^\s/@:?#]+[/?#])\S*(?=@)"
    # With blanks in the password; what follows a host is a port.
    r"|(?<=://)[^\s/@:]*:(?!\d+\b)[^@'\"\n]*(?=@)",
)
_NAMED = re.compile(rf"(?P<name>(?<![\w.-]){_NAME}=)(?:{_TEXT}|(?:(?!&[\w.-]+=)[^\s'\"])*)", re.IGNORECASE)
#: Names that are words elsewhere and secrets in the query of an address.
_IN_QUERY = re.compile(
    r"(?P<name>[?&;#](?:[\w.-]*[_.-])?(?:key|code|pass|pw|session|jwt|ticket|otp)=)[^\s'\"&;#]+", re.IGNORECASE
)
#: Written with blanks or a colon, as settings are, or quoted once more for an address.
_SETTING = re.compile(
    r"(?P<name>(?<![\w.-])[\w.-]*(?:passw(?:or)?d|passphrase|secret|(?:api|access|account|private)[-_.]?key)"
    rf"(?:(?:\s*%20)*\s*=\s*|\s*:\s+))(?:{_TEXT}|[^\s'\",;&]+)",
    re.IGNORECASE,
)
_PERCENT = re.compile(
    r"(?P<name>[\w.-]*(?:passw(?:or)?d|pwd|passphrase|secret|token|sig|[-_.]?key)%3D)(?:(?!%26|%3B|&)[^\s'\"])+",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    rf"(?P<name>(?P<mark>[\"']){_NAME}(?P=mark)\s*[:,]\s*b?(?P<open>[\"']))(?:\\.|(?!(?P=open)).)*", re.IGNORECASE
)
#: An address that begins with a host and goes on: what follows is no user.
_HOSTED = re.compile(r"(?<=://)[^\s/@:?#'\"]*(?::\d+)?[/?#][^\s'\"]*")
_HEADER = re.compile(
    r"(?P<name>\b(?:(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api-key|x-auth-token|x-amz-security-token)\s*:\s*)"
    r"[^\r\n'\"]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?P<name>\b(?:Bearer|Basic|Digest|Negotiate)\s+)(?=\S+[0-9A-Z=+/_])[\w+/=.~-]{6,}")
_KNOWN_FORMS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\bgh[pousr]_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abprs]-[\w-]{10,}|\bdapi[0-9a-f]{32}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_ADDRESS_START = r"[\w+.-]+://"
#: As SQLAlchemy takes an address of a server apart.
_AUTHORITY = re.compile(r"(?:[^:/]*(?::[^@]*)?@)?(?P<host>[^/:?]*)(?::(?P<port>[^/?]*))?")
_DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle")
_remembered: list[frozenset[str]] = []


def redact(text: str) -> str:
    """A text without secrets, and otherwise as it is.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> redact("no host 'ss@db' in postgresql://me:p@ss@db/x?sslpassword=1234&sslmode=require")
    "no host 'ss@db' in postgresql://...@db/x?sslpassword=...&sslmode=require"
    >>> with hiding("postgresql://me:open@sesame@db/x"):
    ...     redact("no host 'sesame@db'")
    "no host '...@db'"
    >>> redact("http://host:5000/path stays, and so does a@b.c")
    'http://host:5000/path stays, and so does a@b.c'
    """
    for pattern in _literals():
        text = pattern.sub(HIDDEN, text)
    text = _QUOTED.sub(_named, text)
    if "://" in text:
        # A named secret with an '@' would else be taken for a user that ends there.
        text = _ADDRESS.sub(HIDDEN, _HOSTED.sub(lambda found: _NAMED.sub(_named, found[0]), text))
    for pattern in (_NAMED, _HEADER, _SCHEME, _IN_QUERY, _SETTING, _PERCENT):
        text = pattern.sub(_named, text)
    return _KNOWN_FORMS.sub(HIDDEN, text)


def _named(found: re.Match[str]) -> str:
    return f"{found['name']}{HIDDEN}"


@contextmanager
def hiding(*texts: str) -> Iterator[None]:
    """Hide what is secret in some addresses or options meanwhile, also where it stands alone.

    Parameters
    ----------
    *texts : str
        As they were given: ``tracking.uri=http://...``, an address, or anything else.
    """
    mine = frozenset(_forms(secret for text in texts for secret in _secrets(text)))
    _remembered.append(mine)
    try:
        yield
    finally:
        _remembered.remove(mine)


def ambiguity(address: str) -> str | None:
    """Why a library would take an address apart in another place than its writer meant, and tell a piece of it.

    Parameters
    ----------
    address : str

    Returns
    -------
    str or None
        None where it reads as it was meant, as far as can be seen.

    Examples
    --------
    >>> ambiguity("postgresql://me:p@ss@db/x")
    "it has an unquoted '@' in its user or password, where '%40' stands for it"
    >>> ambiguity("http://me:p/ss@host:5000")
    "it has an unquoted '/', '?' or '#' before its host, where '%2F', '%3F' or '%23' stands for it"
    >>> ambiguity("postgresql://me:p%40ss@db/x"), ambiguity("http://host:5000/path")
    (None, None)
    """
    scheme, _, rest = address.partition("://")
    if scheme.partition("+")[0] in _DATABASES:
        found = _AUTHORITY.match(rest)
        if found is None or not (found["port"] or "0").isdigit():
            return "it cannot be taken apart into user, password, host, port and database"
        if "@" in found["host"]:
            return "it has an unquoted '@' in its user or password, where '%40' stands for it"
    elif scheme in ("http", "https"):
        try:
            parts = urlsplit(address)
            cut = ":" in parts.netloc and "@" not in parts.netloc and "@" in rest
            _ = parts.port
        except ValueError:  # no port, but the rest of a password
            cut = True
        if cut:
            return "it has an unquoted '/', '?' or '#' before its host, where '%2F', '%3F' or '%23' stands for it"
    return None


def install() -> None:
    """Let logs, warnings and tracebacks of this process go through :func:`redact`; a second call changes nothing."""
    global _installed
    if _installed:
        return
    _installed = True
    _install_logs()
    _install_warnings()
    _install_tracebacks()


_installed = False


def _install_logs() -> None:
    make = logging.getLogRecordFactory()

    def redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            text = record.getMessage()
        except Exception:  # it is the handler's to say what is wrong with a record
            return record
        if (shown := redact(text)) != text:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[1] is not None:
            trace = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
            if (shown := redact(trace)) != trace:
                record.exc_text = shown  # what formatters take in place of their own
        return record

    logging.setLogRecordFactory(redacted)


def _install_warnings() -> None:
    form = warnings.formatwarning

    def redacted(*args: Any, **kwargs: Any) -> str:
        return redact(form(*args, **kwargs))

    warnings.formatwarning = redacted


def _install_tracebacks() -> None:
    shown, in_thread = sys.excepthook, threading.excepthook

    def uncaught(kind: Any, error: Any, trace: Any) -> None:
        if not tell(error):
            shown(kind, error, trace)

    def uncaught_in_thread(args: Any) -> None:
        if args.exc_value is None or args.exc_type is SystemExit or not tell(args.exc_value):
            in_thread(args)

    sys.excepthook, threading.excepthook = uncaught, uncaught_in_thread


def tell(error: BaseException) -> bool:
    """Print the traceback of an error if it holds a secret, without it.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    bool
        False where nothing was printed: the traceback holds no secret.
    """
    trace = "".join(traceback.format_exception(error))
    if (shown := redact(trace)) == trace:
        return False
    print(shown, end="", file=sys.stderr)
    return True


def _literals() -> list[re.Pattern[str]]:
    """What is known to be secret, the longest first."""
    return _patterns(_of_environment(tuple(os.environ.items())).union(*_remembered))


@lru_cache(maxsize=4)
def _patterns(secrets: frozenset[str]) -> list[re.Pattern[str]]:
    embedded = sorted((s for s in secrets if len(s) >= MIN_EMBEDDED_CHARACTERS), key=len, reverse=True)
    words = sorted((s for s in secrets if len(s) < MIN_EMBEDDED_CHARACTERS), key=len, reverse=True)
    found = [re.compile("|".join(map(re.escape, embedded)))] if embedded else []
    return found + ([re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)")] if words else [])


@lru_cache(maxsize=2)
def _of_environment(items: tuple[tuple[str, str], ...]) -> frozenset[str]:
    """The secrets among the variables of the environment."""
    found: set[str] = set()
    for name, value in items:
        if _SECRET_NAME.fullmatch(name) and len(value) >= MIN_VARIABLE_CHARACTERS and not value.startswith("/"):
            found |= _forms([value])
        elif re.match(_ADDRESS_START, value):
            found |= _forms(_secrets(value))
    return frozenset(found)


def _secrets(text: str) -> Iterator[str]:
    """Passwords of addresses, whole and in the pieces that a library may make of them, and named secrets."""
    for found in re.finditer(rf"{_ADDRESS_START}(?P<rest>(?:(?!{_ADDRESS_START}).)*)", text, re.DOTALL):
        yield from _passwords(found["rest"])
    for found in re.finditer(r"(?<![\w.-])(?P<name>[\w.-]+)=(?P<value>(?:(?!&[\w.-]+=)[^\s'\"])+)", text):
        if _SECRET_NAME.fullmatch(found["name"]) and "://" not in found["value"]:
            yield found["value"]


def _passwords(rest: str) -> Iterator[str]:
    """What stands between a user and a host; there may be several readings of where the host begins."""
    user, colon, after = rest.partition(":")
    if not colon or "@" not in after or "/" in user:
        return
    first, last = after.index("@"), after.rindex("@")
    if re.search(r"[?&][\w.-]+=", after[first:last]):
        last = first  # an '@' in an option
    known = {user, *re.split(r"[/:?&=]", after[last + 1 :])}  # what is no secret: the names of user, host, database
    whole = after[:last]
    pieces = {whole, after[:first], *re.split(r"[@:/?#&=%\s]+", whole)}
    yield from (piece for piece in pieces if piece not in known)


def _forms(secrets: Iterable[str]) -> set[str]:
    """Secrets as an address, a shell, JSON or a message write them."""
    found: set[str] = set()
    for secret in secrets:
        for plain in (secret, unquote(secret), unquote_plus(secret)):
            found |= {plain, quote(plain), quote(plain, safe=""), quote_plus(plain), repr(plain)[1:-1]}
            found |= {json.dumps(plain)[1:-1]}
    return {form for form in found if len(form) >= MIN_SECRET_CHARACTERS and form != HIDDEN}
