"""Colours and markers of strategies, and colours of the page, light and dark, for the report, its figures and MLflow.

A channel of a figure has one meaning everywhere. The hue is the kind of a strategy, the lightness of its shade is the
ratio, the marker is the threshold policy; all three are read from the knobs of a strategy and never from its name.

The colours of two kinds differ by at least 15 in CIEDE2000 (Sharma, Wu and Dalal 2005), also for readers with
protanopia, deuteranopia or tritanopia as simulated by Machado, Oliveira and Fernandes (2009, severity 1); so do all
shades of the SMOTE family and the colours of every other kind. The paler shades of other kinds that resample keep 7.
Lines reach 3:1 and words 4.5:1 against their background
(WCAG 2.2, 1.4.3 and 1.4.11).

References
----------
Machado, Oliveira and Fernandes (2009), A physiologically-based model for simulation of color vision deficiency, IEEE
Transactions on Visualization and Computer Graphics 15, 1291-1298.
Sharma, Wu and Dalal (2005), The CIEDE2000 color-difference formula, Color Research and Application 30, 21-30.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imblab.study import Strategy

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
#: Shades of a kind that resamples: six ratios, then the strongest for a ratio that is searched or that does not exist.
N_SHADES = 7
#: Kinds of strategies in the order of their colours; ``mixed`` are two treatments at once and all others.
KINDS = ("none", "smote", "over", "under", "combination", "weight", "calibration", "mixed")
#: (light, dark) colours of kinds: the ends of the shades of those that resample, one colour of every other.
_KIND_COLOURS: dict[str, tuple[tuple[str, str], ...]] = {
    "none": (("#1b1f24", "#f2f4f7"),),
    "smote": (("#8e84f7", "#0c5fd2"), ("#001fe3", "#bd77fe")),
    "over": (("#82958b", "#16dc6f"), ("#007e4e", "#4ef5a3")),
    "under": (("#e72338", "#cb7e43"), ("#c70500", "#ff9c06")),
    "combination": (("#d609a8", "#ed8bdb"), ("#a9006b", "#ffb0ff")),
    "weight": (("#be8b04", "#a37800"),),
    "calibration": (("#00a4a3", "#03aead"),),
    "mixed": (("#f82e7b", "#f2337b"),),
}
#: Modules of imbalanced-learn and the kind of their samplers; one with SMOTE in its name is of the SMOTE family.
_SAMPLER_KINDS = {"combine": "combination", "under_sampling": "under", "over_sampling": "over"}
#: Markers: a threshold of .5, a tuned one, any other rule.
MARKERS = ("circle", "diamond", "square")
#: What the channels of a figure mean, for its readers.
EXPLANATION = (
    "The colour is the kind of a strategy, its shade the ratio (stronger is nearer to 1:1, strongest if the ratio is "
    "searched); the marker is the threshold: a circle for .5, a diamond if it is tuned, a square for any other rule."
)


def _mix(first: str, second: str, share: float) -> str:
    """Mix two colours: ``share`` of the second, the rest of the first."""
    pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _shades(ends: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    if len(ends) == 1:
        return list(ends)
    (light_low, dark_low), (light_high, dark_high) = ends
    shares = [i / (N_SHADES - 1) for i in range(N_SHADES)]
    return [(_mix(light_low, light_high, share), _mix(dark_low, dark_high, share)) for share in shares]


#: (light, dark) colours of strategies: the shades of all kinds, one kind after the other.
STRATEGY_COLOURS = tuple(pair for kind in KINDS for pair in _shades(_KIND_COLOURS[kind]))
COLOUR_KINDS = tuple(kind for kind in KINDS for _ in _shades(_KIND_COLOURS[kind]))


@dataclass(frozen=True, slots=True)
class Look:
    """How a strategy is drawn."""

    colour: int  # an index in ``STRATEGY_COLOURS``: the kind and, for one that resamples, the ratio
    marker: int  # an index in ``MARKERS``: the threshold policy


def kind_of(strategy: Strategy) -> str:
    """Return the kind of a strategy, one of ``KINDS``, from the knobs that it has in use, the threshold apart."""
    is_weighted = strategy.weight is not None or "weight" in strategy.space
    is_calibrated = strategy.calibration != "none" or "calibration" in strategy.space
    kinds = [kind for kind, is_used in (("weight", is_weighted), ("calibration", is_calibrated)) if is_used]
    if strategy.sampler is not None:
        kinds.append(_sampler_kind(str(strategy.sampler.get("_target_", ""))))
    return "none" if not kinds else kinds[0] if len(kinds) == 1 else "mixed"


def _sampler_kind(target: str) -> str:
    module, _, name = target.rpartition(".")
    part = next((part for part in module.split(".") if part in _SAMPLER_KINDS), "")
    if "SMOTE" in name.upper() and part in ("", "over_sampling"):
        return "smote"
    return _SAMPLER_KINDS.get(part, "mixed")


def look_of(strategy: Strategy) -> Look:
    """Return how a strategy is drawn."""
    kind = kind_of(strategy)
    first, n_shades = COLOUR_KINDS.index(kind), COLOUR_KINDS.count(kind)
    is_fixed = n_shades > 1 and strategy.ratio is not None and "ratio" not in strategy.space
    shade = min(round(5 * (strategy.ratio or 0.0)), N_SHADES - 2) if is_fixed else n_shades - 1
    is_tuned = strategy.threshold == "tuned" or "threshold" in strategy.space
    return Look(
        first + shade, MARKERS.index("diamond" if is_tuned else "circle" if strategy.threshold == 0.5 else "square")
    )


def looks_of(strategies: Iterable[Strategy], names: Sequence[str]) -> dict[str, Look]:
    """Return how every named strategy is drawn; others are mixed, with another threshold."""
    known = {strategy.name: look_of(strategy) for strategy in strategies}
    unknown = Look(COLOUR_KINDS.index("mixed"), MARKERS.index("square"))
    return {name: known.get(name, unknown) for name in names}


def line_colour(look: Look) -> str:
    """Return the colour of a strategy on white for charts without markers: paler for a threshold of .5."""
    colour = STRATEGY_COLOURS[look.colour][0]
    return _mix(colour, PAGE_COLOURS["ground"][0], 0.44) if MARKERS[look.marker] == "circle" else colour


def css_variables(dark: bool) -> str:
    """Return the colours as custom properties of a style sheet."""
    pairs = {**PAGE_COLOURS, **{f"s{i}": pair for i, pair in enumerate(STRATEGY_COLOURS)}}
    return "".join(f"--{name}:{pair[dark]};" for name, pair in pairs.items())
