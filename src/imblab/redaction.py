"""Redaction of secrets in every text that is shown: messages of libraries, logs, warnings and tracebacks.

A secret is recognised by its place (in an address, after ``password=``, in a header), by its form (the keys of some
services), or because it is known from an address that was given or from the environment. The last one helps where a
driver has parsed an address and quotes a part of it.
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

#: The text in place of a secret.
HIDDEN = "..."
#: Shorter secrets are hidden in an address only: elsewhere they are words.
MIN_SECRET_CHARACTERS = 4
#: Shorter secrets are hidden only where no letter or digit precedes or follows them.
MIN_EMBEDDED_CHARACTERS = 8
#: Shorter values of environment variables are switches and not secrets.
MIN_VARIABLE_CHARACTERS = 8
#: Shorter values in a message of the driver that received them are words.
MIN_VALUE_CHARACTERS = 2
#: Names of secrets in addresses, options and headers.
_SECRET_NAME = (
    r"(?:[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|credentials?|signature|authorization|cookie|session[-_.]?id|"
    r"(?:api|access|account|secret|private|shared|subscription|sas)[-_.]?key(?:[-_.]?id)?)"
    r"|(?:[\w.-]*[_.-])?(?:pwd|sig|sas|auth))"
)
_QUOTED_TEXT = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_USER_AND_PASSWORD = re.compile(
    # Up to the last '@' of a word, unless that is a path: nothing before its first '/' separates user and password.
    r"(?<=://)(?!/)(?![^\s/@:?#]+[/?#])\S*(?=@)"
    # With blanks in the password; what follows a host is a port.
    r"|(?<=://)[^\s/@:]*:(?!\d+\b)[^@'\"\n]*(?=@)"
)
_ASSIGNMENT = re.compile(
    rf"(?P<name>(?<![\w.-]){_SECRET_NAME}=)(?:{_QUOTED_TEXT}|(?:(?!&[\w.-]+=)[^\s'\"])*)", re.IGNORECASE
)
#: Names that are ordinary words except in the query of an address.
_QUERY_OPTION = re.compile(
    r"(?P<name>[?&;#](?:[\w.-]*[_.-])?(?:key|code|pass|pw|session|jwt|ticket|otp)=)[^\s'\"&;#]+", re.IGNORECASE
)
#: Written with blanks or a colon, as settings are, or quoted a second time for an address.
_SETTING = re.compile(
    r"(?P<name>(?<![\w.-])[\w.-]*(?:passw(?:or)?d|passphrase|secret|(?:api|access|account|private)[-_.]?key)"
    rf"(?:(?:\s*%20)*\s*=\s*|\s*:\s+))(?:{_QUOTED_TEXT}|[^\s'\",;&]+)",
    re.IGNORECASE,
)
_PERCENT_ENCODED = re.compile(
    r"(?P<name>[\w.-]*(?:passw(?:or)?d|pwd|passphrase|secret|token|sig|[-_.]?key)%3D)(?:(?!%26|%3B|&)[^\s'\"])+",
    re.IGNORECASE,
)
_JSON_ITEM = re.compile(
    rf"(?P<name>(?P<mark>[\"']){_SECRET_NAME}(?P=mark)\s*[:,]\s*b?(?P<open>[\"']))(?:\\.|(?!(?P=open)).)*",
    re.IGNORECASE,
)
#: An address that begins with a host and continues: what follows is not a user.
_HOST_AND_PATH = re.compile(r"(?<=://)[^\s/@:?#'\"]*(?::\d+)?[/?#][^\s'\"]*")
_HEADER_LINE = re.compile(
    r"(?P<name>\b(?:(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api-key|x-auth-token|x-amz-security-token)\s*:\s*)"
    r"[^\r\n'\"]+",
    re.IGNORECASE,
)
_AUTH_SCHEME = re.compile(r"(?P<name>\b(?:Bearer|Basic|Digest|Negotiate)\s+)(?=\S+[0-9A-Z=+/_])[\w+/=.~-]{6,}")
_KNOWN_FORMS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\bgh[pousr]_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abprs]-[\w-]{10,}|\bdapi[0-9a-f]{32}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)
_ADDRESS_START = r"[\w+.-]+://"
#: An address of a server as SQLAlchemy parses it.
_AUTHORITY = re.compile(r"(?:[^:/]*(?::[^@]*)?@)?(?P<host>[^/:?]*)(?::(?P<port>[^/?]*))?")
_DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle")
_hidden_meanwhile: list[frozenset[str]] = []


def redact(text: str) -> str:
    """Replace the secrets in a text by ``...``.

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
    known_secrets = _secrets_of_environment(tuple(os.environ.items())).union(*_hidden_meanwhile)
    for pattern in _known_secret_patterns(known_secrets):
        text = pattern.sub(HIDDEN, text)
    text = _JSON_ITEM.sub(_hide_value, text)
    if "://" in text:
        # A named secret with an '@' would otherwise be taken for a user that ends there.
        text = _HOST_AND_PATH.sub(lambda match: _ASSIGNMENT.sub(_hide_value, match[0]), text)
        text = _USER_AND_PASSWORD.sub(HIDDEN, text)
    for pattern in (_ASSIGNMENT, _HEADER_LINE, _AUTH_SCHEME, _QUERY_OPTION, _SETTING, _PERCENT_ENCODED):
        text = pattern.sub(_hide_value, text)
    return _KNOWN_FORMS.sub(HIDDEN, text)


def _hide_value(match: re.Match[str]) -> str:
    return f"{match['name']}{HIDDEN}"


def without_values(text: str, secrets: Iterable[str]) -> str:
    """Replace given secrets in a text, in every spelling of them.

    Examples
    --------
    >>> without_values("no user 'me' with p@ss (p%40ss)", ["me", "p@ss"])
    "no user '...' with ... (...)"
    """
    for spelling in sorted(_spellings(secrets, MIN_VALUE_CHARACTERS), key=len, reverse=True):
        text = text.replace(spelling, HIDDEN)
    return text


@contextmanager
def hiding(*texts: str) -> Iterator[None]:
    """Hide the secrets of addresses or options within a block, also where they are quoted without their context."""
    secrets = frozenset(_spellings(secret for text in texts for secret in _secrets_in(text)))
    _hidden_meanwhile.append(secrets)
    try:
        yield
    finally:
        _hidden_meanwhile.remove(secrets)


def ambiguity(address: str) -> str | None:
    """Describe why a library would parse an address differently than its writer meant, and quote a part of a secret.

    None where no ambiguity is found.

    Examples
    --------
    >>> ambiguity("postgresql://me:p@ss@db/x")
    "it has an unquoted '@' in its user or password, where '%40' stands for it"
    >>> ambiguity("http://me:p/ss@host:5000")
    "it has an unquoted '/', '?' or '#' before its host, where '%2F', '%3F' or '%23' stands for it"
    >>> ambiguity("postgresql://me:p%40ss@db/x"), ambiguity("http://host:5000/path")
    (None, None)
    """
    scheme, _, location = address.partition("://")
    if scheme.partition("+")[0] in _DATABASES:
        match = _AUTHORITY.match(location)
        if match is None or not (match["port"] or "0").isdigit():
            return "it cannot be parsed into user, password, host, port and database"
        if "@" in match["host"]:
            return "it has an unquoted '@' in its user or password, where '%40' stands for it"
    elif scheme in ("http", "https"):
        try:
            parts = urlsplit(address)
            is_split = ":" in parts.netloc and "@" not in parts.netloc and "@" in location
            _ = parts.port
        except ValueError:  # the end of a password in place of a port
            is_split = True
        if is_split:
            return "it has an unquoted '/', '?' or '#' before its host, where '%2F', '%3F' or '%23' stands for it"
    return None


def install() -> None:
    """Redact logs, warnings and tracebacks of this process; a second call has no effect."""
    global _installed
    if _installed:
        return
    _installed = True
    _install_logs()
    _install_warnings()
    _install_tracebacks()


_installed = False


def _install_logs() -> None:
    make_record = logging.getLogRecordFactory()

    def make_redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        try:
            text = record.getMessage()
        except Exception:  # the handler reports what is wrong with a record
            return record
        if (redacted := redact(text)) != text:
            record.msg, record.args = redacted, ()
        if record.exc_info and record.exc_info[1] is not None:
            trace = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
            if (redacted := redact(trace)) != trace:
                record.exc_text = redacted  # formatters use it in place of their own
        return record

    logging.setLogRecordFactory(make_redacted_record)


def _install_warnings() -> None:
    format_warning = warnings.formatwarning

    def format_redacted(*args: Any, **kwargs: Any) -> str:
        return redact(format_warning(*args, **kwargs))

    warnings.formatwarning = format_redacted


def _install_tracebacks() -> None:
    show, show_in_thread = sys.excepthook, threading.excepthook

    def show_redacted(kind: Any, error: Any, trace: Any) -> None:
        if not tell(error):
            show(kind, error, trace)

    def show_redacted_in_thread(args: Any) -> None:
        if args.exc_value is None or args.exc_type is SystemExit or not tell(args.exc_value):
            show_in_thread(args)

    sys.excepthook, threading.excepthook = show_redacted, show_redacted_in_thread


def tell(error: BaseException) -> bool:
    """Print the traceback of an error without its secrets; return False, printing nothing, where it has none."""
    trace = "".join(traceback.format_exception(error))
    if (redacted := redact(trace)) == trace:
        return False
    print(redacted, end="", file=sys.stderr)
    return True


@lru_cache(maxsize=4)
def _known_secret_patterns(secrets: frozenset[str]) -> list[re.Pattern[str]]:
    """Compile known secrets, the longest first; short ones match only as words."""
    ordered = sorted(secrets, key=len, reverse=True)
    embedded = "|".join(re.escape(s) for s in ordered if len(s) >= MIN_EMBEDDED_CHARACTERS)
    words = "|".join(re.escape(s) for s in ordered if len(s) < MIN_EMBEDDED_CHARACTERS)
    patterns = [re.compile(embedded)] if embedded else []
    return patterns + ([re.compile(rf"(?<!\w)(?:{words})(?!\w)")] if words else [])


@lru_cache(maxsize=2)
def _secrets_of_environment(items: tuple[tuple[str, str], ...]) -> frozenset[str]:
    secrets: set[str] = set()
    for name, value in items:
        is_long = len(value) >= MIN_VARIABLE_CHARACTERS and not value.startswith("/")
        if is_long and re.fullmatch(_SECRET_NAME, name, re.IGNORECASE):
            secrets |= _spellings([value])
        elif re.match(_ADDRESS_START, value):
            secrets |= _spellings(_secrets_in(value))
    return frozenset(secrets)


def _secrets_in(text: str) -> Iterator[str]:
    """Yield passwords of addresses, with the parts that a library may make of them, and named secrets."""
    for match in re.finditer(rf"{_ADDRESS_START}(?P<location>(?:(?!{_ADDRESS_START}).)*)", text, re.DOTALL):
        yield from _passwords(match["location"])
    for match in re.finditer(r"(?<![\w.-])(?P<name>[\w.-]+)=(?P<value>(?:(?!&[\w.-]+=)[^\s'\"])+)", text):
        if re.fullmatch(_SECRET_NAME, match["name"], re.IGNORECASE) and "://" not in match["value"]:
            yield match["value"]


def _passwords(location: str) -> Iterator[str]:
    """Yield the text between a user and a host, and its parts: the host may begin at several places."""
    user, colon, after = location.partition(":")
    if not colon or "@" not in after or "/" in user:
        return
    first, last = after.index("@"), after.rindex("@")
    if re.search(r"[?&][\w.-]+=", after[first:last]):
        last = first  # an '@' in an option
    public = {user, *re.split(r"[/:?&=]", after[last + 1 :])}  # the names of user, host and database
    password = after[:last]
    yield from {password, after[:first], *re.split(r"[@:/?#&=%\s]+", password)} - public


def _spellings(secrets: Iterable[str], min_characters: int = MIN_SECRET_CHARACTERS) -> set[str]:
    """Return secrets as an address, a shell, JSON or a message write them."""
    spellings: set[str] = set()
    for secret in secrets:
        for plain in (secret, unquote(secret), unquote_plus(secret)):
            spellings |= {plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
            spellings |= {repr(plain)[1:-1], json.dumps(plain)[1:-1]}
    return {spelling for spelling in spellings if len(spelling) >= min_characters and spelling != HIDDEN}
