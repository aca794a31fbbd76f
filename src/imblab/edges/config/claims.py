"""The section ``claims``: what is claimed, and what was on record before the first row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imblab.edges.config.checks import (
    check_keys,
    check_whole_number,
    is_finite_number,
    quote,
    read_section,
    to_plain_data,
)
from imblab.errors import ConfigError
from imblab.study import Claims, Registered

#: The keys of ``claims.registered``.
KEYS = tuple(Registered.__dataclass_fields__)


def read(raw: Any) -> Claims:
    """The claims behind the section ``claims``.

    Raises
    ------
    ConfigError
        For a key that is not known, an error rate or a half-width out of range, or a contrast that is no pair.
    """
    check_keys(raw, tuple(Claims.__dataclass_fields__), "key", "claims")
    alpha = raw.get("alpha", 0.05)
    if not is_finite_number(alpha) or not 0 < alpha < 0.5:
        raise ConfigError(
            f"'claims.alpha' is {quote(alpha)}; an error rate lies above 0 and below .5. Write claims.alpha=0.05."
        )
    rope = read_section(raw, "rope", "claims")
    for name, value in rope.items():
        if not is_finite_number(value) or value < 0:
            raise ConfigError(
                f"'claims.rope.{name}' is {quote(value)}; a half-width is a number, at least 0. Write for example 0.01."
            )
    width = {str(k): float(v) for k, v in rope.items()}
    return Claims(_contrasts(raw.get("contrasts")), float(alpha), width, _registered(raw.get("registered")))


def to_mapping(claims: Claims) -> dict[str, Any]:
    """The plain data behind claims: ``read(to_mapping(claims)) == claims``."""
    found: dict[str, Any] = {
        "contrasts": to_plain_data(claims.contrasts),
        "alpha": claims.alpha,
        "rope": to_plain_data(claims.rope),
    }
    if claims.registered is not None:
        found["registered"] = {name: to_plain_data(getattr(claims.registered, name)) for name in KEYS}
    return found


def _registered(raw: Any) -> Registered | None:
    if raw is None:
        return None
    if not isinstance(raw, Mapping) or set(raw) != set(KEYS):
        raise ConfigError(
            f"'claims.registered' is {quote(raw)}; it is what imblab recorded before the first row, with the keys "
            f"{', '.join(KEYS)}. Restore it, or leave it out of a copy under another name."
        )
    claimed = read({"contrasts": raw["contrasts"] or [], "alpha": raw["alpha"], "rope": raw["rope"]})
    repeats = check_whole_number(raw["repeats"], "claims.registered.repeats", 1)
    return Registered(str(raw["primary"]), claimed.contrasts or (), claimed.alpha, claimed.rope, repeats)


def _contrasts(pairs: Any) -> tuple[tuple[str, str], ...] | None:
    if pairs is None:
        return None
    for pair in pairs if isinstance(pairs, (list, tuple)) else [pairs]:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or pair[0] == pair[1]:
            raise ConfigError(
                f"'claims.contrasts' holds {quote(pair)}; a contrast is a pair [a, b] of two strategies, read as a - "
                "b. Write for example [[smote_threshold, threshold]]."
            )
    return tuple((str(a), str(b)) for a, b in pairs)
