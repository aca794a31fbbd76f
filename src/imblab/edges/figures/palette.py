"""Colours of strategies and of the page, light and dark: told apart by the colour-blind, and never by colour alone.

Hues follow Okabe and Ito (2008, *Color universal design*), darkened on white and lightened on black until every line
reaches 3:1 and every word 4.5:1 against its ground (WCAG 2.2, 1.4.3 and 1.4.11). Dashes and marker shapes repeat what
colours say.
"""

from __future__ import annotations

#: Of the ground, of words and of lines: (light, dark).
GROUND = {
    "ground": ("#ffffff", "#14171c"),
    "card": ("#f6f7f9", "#1c2027"),
    "ink": ("#1b1f24", "#e9ecf0"),
    "soft": ("#5a626d", "#a7b0bc"),
    "line": ("#d9dde3", "#343b46"),
    "accent": ("#0b5cad", "#6cb6ff"),
    "good": ("#00674d", "#4fd1a1"),
    "bad": ("#a83a00", "#ff9d6b"),
}
#: Of strategies by slot: the two baselines, then six hues.
SLOTS = (
    ("#6a727d", "#98a2af"),
    ("#1b1f24", "#f2f4f7"),
    ("#0072b2", "#56b4e9"),
    ("#c44e00", "#f0884b"),
    ("#007a5e", "#3ecf9b"),
    ("#a0327a", "#e08cc0"),
    ("#8a6100", "#dfb93f"),
    ("#5b4bc4", "#a99bff"),
)
#: Dashes of slots from the third on, one pattern for every six strategies.
DASHES = ("", "6 3", "2 3", "8 3 2 3")
BASES = {"none": 0, "threshold": 1}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def slots(names: list[str]) -> dict[str, tuple[int, int]]:
    """The colour and the dash pattern of every strategy: baselines keep theirs in every study.

    Examples
    --------
    >>> slots(["smote", "none", "threshold"])
    {'smote': (2, 0), 'none': (0, 2), 'threshold': (1, 0)}
    """
    found, others = {}, 0
    for name in names:
        if name in BASES:
            found[name] = (BASES[name], 2 if name == "none" else 0)
        else:
            hues = len(SLOTS) - 2
            found[name] = (2 + others % hues, others // hues % len(DASHES))
            others += 1
    return found


def variables(dark: bool) -> str:
    """The colours as custom properties of a style sheet.

    Examples
    --------
    >>> variables(dark=False)[:17]
    '--ground:#ffffff;'
    """
    pairs = {**GROUND, **{f"s{i}": pair for i, pair in enumerate(SLOTS)}}
    return "".join(f"--{name}:{pair[dark]};" for name, pair in pairs.items())


#: How the parts of every figure look, on a page and in a file of its own.
STYLE = (
    f"svg.f{{font-family:{_FONT};font-size:11px;fill:var(--ink)}}"
    "svg.f .grid{stroke:var(--line);stroke-width:1;fill:none}"
    "svg.f .axis{fill:var(--soft)}svg.f .e{text-anchor:end}svg.f .m{text-anchor:middle}"
    "svg.f .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3;fill:none}"
    "svg.f .note{fill:var(--soft);font-size:.91em;paint-order:stroke;stroke:var(--ground);stroke-width:3px}"
    "svg.f .title{font-weight:600;font-size:1.09em}"
    "svg.f :is(.line,.whisker,.link,.dot,.dots,.faint,.mark,.grid){vector-effect:non-scaling-stroke}"
    "svg.f .line{fill:none;stroke-width:1.8;stroke-linejoin:round}svg.f .band{stroke:none;fill-opacity:.09}"
    "svg.f .more{display:none}svg.f g:hover>.more{display:inline}"
    "svg.f .region{fill:var(--accent);fill-opacity:.1}svg.f .whisker{stroke-width:2}svg.f .dot{stroke-width:1.6}"
    "svg.f .dots{fill:none;stroke-width:7;stroke-linecap:round}"
    "svg.f .faint{stroke-width:1.3;stroke-opacity:.6}svg.f .hollow{fill:var(--ground)}svg.f .heat{fill:var(--accent)}"
    "svg.f .clique{stroke:var(--ink);stroke-width:3.5;stroke-linecap:round}svg.f .link{stroke-width:1.4;fill:none}"
    + "".join(f"svg.f .c{i}{{stroke:var(--s{i})}}svg.f .p{i}{{fill:var(--s{i})}}" for i in range(len(SLOTS)))
    + "".join(f"svg.f .d{i}{{stroke-dasharray:{dash}}}" for i, dash in enumerate(DASHES) if dash)
)
