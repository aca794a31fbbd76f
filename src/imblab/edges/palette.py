"""Colours of strategies and of the page, light and dark, for the report, its figures and MLflow.

Hues follow Okabe and Ito (2008, *Color universal design*), darkened on white and lightened on black until every line
reaches 3:1 and every word 4.5:1 against its background (WCAG 2.2, 1.4.3 and 1.4.11). Dashes repeat what colours say, so
that strategies are never told apart by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence

#: (light, dark) colours of backgrounds, of text and of lines, by the name of their CSS variable.
PAGE_COLOURS = {
    "ground": ("#ffffff", "#14171c"),
    "card": ("#f6f7f9", "#1c2027"),
    "ink": ("#1b1f24", "#e9ecf0"),
    "soft": ("#5a626d", "#a7b0bc"),
    "line": ("#d9dde3", "#343b46"),
    "accent": ("#0b5cad", "#6cb6ff"),
    "good": ("#00674d", "#4fd1a1"),
    "bad": ("#a83a00", "#ff9d6b"),
}
#: (light, dark) colours of strategies: the two baselines, then the hues of all others.
STRATEGY_COLOURS = (
    ("#6a727d", "#98a2af"),
    ("#1b1f24", "#f2f4f7"),
    ("#0072b2", "#56b4e9"),
    ("#c44e00", "#f0884b"),
    ("#007a5e", "#3ecf9b"),
    ("#a0327a", "#e08cc0"),
    ("#8a6100", "#dfb93f"),
    ("#5b4bc4", "#a99bff"),
)
#: SVG dash patterns: strategies that share a hue differ in the pattern.
DASHES = ("", "6 3", "2 3", "8 3 2 3")
#: The colour and the dash pattern that a baseline has in every study.
BASELINE_SLOTS = {"none": (0, 2), "threshold": (1, 0)}


def colour_slots(strategies: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Assign every strategy an index in ``STRATEGY_COLOURS`` and one in ``DASHES``.

    Examples
    --------
    >>> colour_slots(["smote", "none", "threshold"])
    {'smote': (2, 0), 'none': (0, 2), 'threshold': (1, 0)}
    """
    n_hues = len(STRATEGY_COLOURS) - len(BASELINE_SLOTS)
    others = [name for name in strategies if name not in BASELINE_SLOTS]
    slots = {name: (2 + i % n_hues, i // n_hues % len(DASHES)) for i, name in enumerate(others)}
    return {name: BASELINE_SLOTS.get(name) or slots[name] for name in strategies}


def css_variables(dark: bool) -> str:
    """Return the colours as custom properties of a style sheet.

    Examples
    --------
    >>> css_variables(dark=False)[:17]
    '--ground:#ffffff;'
    """
    pairs = {**PAGE_COLOURS, **{f"s{i}": pair for i, pair in enumerate(STRATEGY_COLOURS)}}
    return "".join(f"--{name}:{pair[dark]};" for name, pair in pairs.items())
