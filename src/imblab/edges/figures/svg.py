"""SVG as text: elements whose every attribute and word is escaped, and how wide words are."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

#: Widths of characters in ems, on the wide side of what common sans-serif fonts have.
_NARROW, _WIDE = set("iljtfrI.,:;'|!()[] /-"), set("mwMW@%—")
ELLIPSIS = "…"


def number(value: float) -> str:
    """A coordinate with at most two decimals.

    Examples
    --------
    >>> number(1.0), number(-0.001), number(2.346)
    ('1', '0', '2.35')
    """
    text = f"{value:z.2f}"
    return text.rstrip("0").rstrip(".")


def brief(value: float) -> str:
    """A number of a path, without the zero before its point.

    Examples
    --------
    >>> brief(0.5), brief(-0.25), brief(3.0)
    ('.5', '-.25', '3')
    """
    text = number(value)
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def tag(name: str, *inside: str, **attributes: object) -> str:
    """An element.

    Parameters
    ----------
    name : str
    *inside : str
        Markup that is safe already: other elements, or :func:`words`.
    **attributes : object
        Floats become coordinates, None is left out, ``_`` becomes ``-`` and a trailing one goes.

    Examples
    --------
    >>> tag("g", words("a < b"), class_="x", data_s=1)
    '<g class="x" data-s="1">a &lt; b</g>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    body = "".join(inside)
    return f"<{name}{given}>{body}</{name}>" if body else f"<{name}{given}/>"


def dots(x: Iterable[float], y: Iterable[float], **attributes: object) -> str:
    """Round dots as one element: lines of no length, whose width and round caps a style gives.

    Examples
    --------
    >>> dots([1.0, 2.0], [3.0, 4.0], class_="dots")
    '<path class="dots" d="M1 3h0M2 4h0"/>'
    """
    d = "".join(f"M{_plain(round(float(a), 1))} {_plain(round(float(b), 1))}h0" for a, b in zip(x, y, strict=True))
    return tag("path", **attributes, d=d) if d else ""


def words(text: str) -> str:
    """Text made safe."""
    return escape(text)


def width_of(text: str, size: float) -> float:
    """About how wide a text is, in units of the drawing.

    Examples
    --------
    >>> width_of("ill", 10) < width_of("www", 10)
    True
    """
    return size * sum(
        0.34 if c in _NARROW else 0.92 if c in _WIDE else 0.7 if c.isupper() else 0.58 if ord(c) < 0x250 else 1.0
        for c in text
    )


def fitted(text: str, room: float, size: float) -> str:
    """A text cut to some room, with an ellipsis where something went.

    Examples
    --------
    >>> fitted("smote", 100, 12), fitted("a_very_long_name", 50, 12)
    ('smote', 'a_ver…')
    """
    if width_of(text, size) <= room:
        return text
    kept = text
    while kept and width_of(kept + ELLIPSIS, size) > room:
        kept = kept[:-1]
    return kept + ELLIPSIS


def label(x: float, y: float, text: str, room: float, size: float = 11, **attributes: object) -> str:
    """Words at a place, cut to the room there is; the whole text is the tooltip of a cut one.

    Where words end or have their middle at their place, ``e`` or ``m`` is among their classes.
    """
    shown = fitted(text, room, size)
    title = tag("title", words(text)) if shown != text else ""
    return tag("text", title, words(shown), x=x, y=y, **attributes)


def _plain(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
