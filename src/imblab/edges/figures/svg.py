"""SVG as text: elements whose attributes and words are escaped, paths, the width of words, the style sheet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

import numpy as np

from imblab.edges.palette import STRATEGY_COLOURS, Look

#: Widths of characters in ems, on the wide side of what common sans-serif fonts have.
_NARROW, _WIDE = set("iljtfrI.,:;'|!()[] /-"), set("mwMW@%—")
ELLIPSIS = "…"
#: Lines (almost) without length whose caps have the shape of each marker: a square cap follows the line's direction.
_CAPS = ("h0", "l.01.01", "h0")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: The style sheet of every figure, in a page and in a file.
STYLE = (
    f"svg.f{{font-family:{_FONT};font-size:11px;fill:var(--ink)}}"
    "svg.f .grid{stroke:var(--line);stroke-width:1;fill:none}"
    "svg.f .axis{fill:var(--soft)}svg.f .e{text-anchor:end}svg.f .m{text-anchor:middle}"
    "svg.f .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3;fill:none}"
    "svg.f .note{fill:var(--soft);font-size:.91em;paint-order:stroke;stroke:var(--ground);stroke-width:3px}"
    "svg.f .title{font-weight:600;font-size:1.09em}"
    "svg.f :is(.line,.whisker,.link,.dots,.faint,.mark,.grid){vector-effect:non-scaling-stroke}"
    "svg.f .line{fill:none;stroke-width:1.8;stroke-linejoin:round}svg.f .band{stroke:none;fill-opacity:.09}"
    "svg.f .more{display:none}svg.f g:hover>.more{display:inline}"
    "svg.f .region{fill:var(--accent);fill-opacity:.1}svg.f .whisker{stroke-width:2}"
    # A marker is a line without length: its cap is its shape, its width its size at any size of the drawing.
    "svg.f .dots{fill:none;stroke-width:7.5;stroke-linecap:round}"
    "svg.f :is(.m1,.m2){stroke-linecap:square;stroke-width:6.5}"
    "svg.f .rim{stroke:var(--ground);stroke-width:10}svg.f .rim:is(.m1,.m2){stroke-width:9}"
    "svg.f .hole{stroke:var(--ground);stroke-width:4}svg.f .hole:is(.m1,.m2){stroke-width:3.2}"
    "svg.f .point{stroke-width:2.2!important}"
    "svg.f .faint{stroke-width:1.3;stroke-opacity:.6}svg.f .heat{fill:var(--accent)}"
    "svg.f .clique{stroke:var(--ink);stroke-width:3.5;stroke-linecap:round}svg.f .link{stroke-width:1.4;fill:none}"
    + "".join(f"svg.f .c{i}{{stroke:var(--s{i})}}svg.f .p{i}{{fill:var(--s{i})}}" for i in range(len(STRATEGY_COLOURS)))
)


def coordinate(value: float) -> str:
    """Write a coordinate with at most two decimals.

    Examples
    --------
    >>> coordinate(1.0), coordinate(-0.001), coordinate(2.346)
    ('1', '0', '2.35')
    """
    text = f"{value:z.2f}"
    return text.rstrip("0").rstrip(".")


def element(name: str, *children: str, **attributes: object) -> str:
    """Build an element.

    ``children`` are markup that is safe already: other elements, or :func:`escaped` text. Of the attributes, floats
    become coordinates, None is left out, ``_`` becomes ``-`` and a trailing one goes.

    Examples
    --------
    >>> element("g", escaped("a < b"), class_="x", data_s=1)
    '<g class="x" data-s="1">a &lt; b</g>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    body = "".join(children)
    return f"<{name}{given}>{body}</{name}>" if body else f"<{name}{given}/>"


def markers(x: Iterable[float], y: Iterable[float], look: Look, kind: str = "dots") -> str:
    """Draw the markers of a strategy as one element; ``kind`` is ``dots``, or ``rim``, ``hole`` or ``point``.

    Examples
    --------
    >>> markers([1.0, 2.0], [3.0, 4.0], Look(5, 0)), markers([1.0], [3.0], Look(5, 1))
    ('<path class="dots m0 c5" d="M1 3h0M2 4h0"/>', '<path class="dots m1 c5" d="M1 3l.01.01"/>')
    """
    d = "".join(
        f"M{coordinate(round(float(a), 1))} {coordinate(round(float(b), 1))}{_CAPS[look.marker]}"
        for a, b in zip(x, y, strict=True)
    )
    paint = kind if kind in ("rim", "hole") else f"c{look.colour}" if kind == "dots" else f"c{look.colour} {kind}"
    return element("path", class_=f"dots m{look.marker} {paint}", d=d) if d else ""


def line_path(x: np.ndarray, y: np.ndarray) -> str:
    """Write the commands of a line, relative, in tenths so that errors do not add up; NaN starts a new piece.

    Examples
    --------
    >>> line_path(np.array([0.0, 1.5, 3.0]), np.array([2.0, 2.0, 1.0]))
    'M0 2l1.5 0 1.5-1'
    """
    places = np.rint(np.stack([x, y], axis=1) * 10)
    steps = np.diff(places, axis=0, prepend=np.nan)
    drawn, joined = (np.isfinite(values).all(axis=1).tolist() for values in (places, steps))
    commands = []
    for i, (place, step) in enumerate(zip((places / 10).tolist(), (steps / 10).tolist(), strict=True)):
        if joined[i]:
            commands.append(f" {_brief(step[0])} {_brief(step[1])}")
        elif drawn[i]:
            commands.append(f"M{_brief(place[0])} {_brief(place[1])}l")
    return re.sub(r" (?=-)|(?<=l) ", "", "".join(commands)).removesuffix("l")


def escaped(text: str) -> str:
    """Return text that holds no markup."""
    return escape(text)


def text_width(text: str, size: float) -> float:
    """Estimate the width of a text, in units of the drawing.

    Examples
    --------
    >>> text_width("ill", 10) < text_width("www", 10)
    True
    """
    return size * sum(
        0.34 if c in _NARROW else 0.92 if c in _WIDE else 0.7 if c.isupper() else 0.58 if ord(c) < 0x250 else 1.0
        for c in text
    )


def shortened(text: str, room: float, size: float) -> str:
    """Cut a text to some room, with an ellipsis where characters are left out.

    Examples
    --------
    >>> shortened("smote", 100, 12), shortened("a_very_long_name", 50, 12)
    ('smote', 'a_ver…')
    """
    if text_width(text, size) <= room:
        return text
    kept = text
    while kept and text_width(kept + ELLIPSIS, size) > room:
        kept = kept[:-1]
    return kept + ELLIPSIS


def label(x: float, y: float, text: str, room: float, size: float = 11, **attributes: object) -> str:
    """Write words at a place, cut to the room there is; a cut text has the full one as its tooltip.

    The classes ``e`` and ``m`` let the words end, or have their middle, at the place.
    """
    visible = shortened(text, room, size)
    title = element("title", escaped(text)) if visible != text else ""
    return element("text", title, escaped(visible), x=x, y=y, **attributes)


def _attribute(value: object) -> str:
    return coordinate(value) if isinstance(value, float) else str(value)


def _brief(value: float) -> str:
    """A coordinate without the zero before its point: ``.5``, ``-.25``, ``3``."""
    text = coordinate(value)
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
