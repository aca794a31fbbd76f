"""Draw the layers of the package from its imports: ``python docs/draw_layers.py`` writes ``docs/layers.svg``.

The tests read the layers from here, and compare the picture with the committed one.
"""

from __future__ import annotations

import ast
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "imblab"
PICTURE = Path(__file__).with_name("layers.svg")

#: From the top: what a layer is called, and the modules and packages that it holds. A layer imports lower ones only.
LAYERS: dict[str, tuple[str, ...]] = {
    "cli": ("__main__", "cli"),
    "commands": ("commands",),
    "edges": ("edges",),
    "analysis": ("analysis",),
    "core": ("core",),
    "stats": ("stats",),
    "nouns": ("study", "result", "findings", "weights", "errors", "text", "redaction", "fields", "groups"),
}

WIDTH, MARGIN, GAP, LINE, PAD = 980, 16, 10, 15, 10
#: Room for the name of a layer, for the arrows, and for a box with so many others in its row.
NAME_WIDTH, ARROWS_WIDTH, BOXES_PER_ROW, CHARACTER_WIDTH = 100, 130, 3, 6.4
STYLE = """
  .layer { fill: #f3f5f8; stroke: #c4ccd8 } .box { fill: #ffffff; stroke: #9aa7b8 }
  text { font: 12px system-ui, sans-serif; fill: #1d2733 } .title { font-weight: 600 }
  .small { font-size: 11px; fill: #4a5767 }
  path { stroke: #5b6b80; fill: none } marker path { fill: #5b6b80; stroke: none }
  @media (prefers-color-scheme: dark) {
    .layer { fill: #1c232c; stroke: #3a4656 } .box { fill: #252e39; stroke: #55657a }
    text { fill: #e6ebf1 } .small { fill: #b3bfcc } path { stroke: #93a3b7 } marker path { fill: #93a3b7 }
  }
"""


def modules() -> dict[str, Path]:
    """Return the modules below the package by dotted name; a package stands for its ``__init__``."""
    names = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in sorted(PACKAGE.rglob("*.py"))}
    return {name.removesuffix(".__init__"): path for name, path in names.items() if name != "__init__"}


def layer_of(module: str) -> str:
    """Return the layer of a module.

    Raises
    ------
    LookupError
        If no layer names the module or its package.
    """
    top = module.split(".")[0]
    for layer, members in LAYERS.items():
        if top in members:
            return layer
    raise LookupError(f"module {module!r} lies in none of the layers {', '.join(LAYERS)}; name it in {__file__}")


def first_party_imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "imblab":
            for alias in node.names:
                name = f"{node.module}.{alias.name}".removeprefix("imblab").lstrip(".")
                target = name if name in known else name.rpartition(".")[0]
                if target:
                    yield target


def imports_between_layers() -> Counter[tuple[str, str]]:
    """Count the imports from each layer to each other one."""
    known = modules()
    pairs = ((layer_of(m), layer_of(t)) for m, path in known.items() for t in first_party_imports(path, known))
    return Counter((upper, lower) for upper, lower in pairs if upper != lower)


def boxes(layer: str) -> list[tuple[str, list[str]]]:
    """Return the boxes of a layer: a title and the names of its modules."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in modules():
        if layer_of(name) != layer:
            continue
        *parents, last = name.split(".")
        is_package = any(other.startswith(f"{name}.") for other in modules())
        groups[".".join(parents)] += [] if is_package else [last]
    return [(title, sorted(names)) for title, names in sorted(groups.items()) if names]


def draw() -> str:
    """Return the picture as SVG text; the same sources give the same bytes."""
    parts, places, y = [], {}, MARGIN
    right = WIDTH - ARROWS_WIDTH
    left = MARGIN + NAME_WIDTH
    for layer in LAYERS:
        filled = boxes(layer)
        columns = min(BOXES_PER_ROW, len(filled))
        width = (right - left - GAP * columns) // columns
        characters = int((width - 14) / CHARACTER_WIDTH)
        rows = [(title, textwrap.wrap(", ".join(names), characters)) for title, names in filled]
        grid = [rows[i : i + columns] for i in range(0, len(rows), columns)]
        heights = [max(len(lines) + bool(title) for title, lines in row) * LINE + PAD for row in grid]
        height = sum(heights) + GAP * (len(grid) + 1)
        places[layer] = (y, height)
        parts.append(f'<rect class="layer" x="{MARGIN}" y="{y}" width="{right - MARGIN}" height="{height}" rx="8"/>')
        parts.append(f'<text class="title" x="{MARGIN + PAD}" y="{y + GAP + LINE}">{layer}</text>')
        top = y + GAP
        for row, deep in zip(grid, heights, strict=True):
            for i, (title, lines) in enumerate(row):
                x = left + i * (width + GAP)
                parts.append(f'<rect class="box" x="{x}" y="{top}" width="{width}" height="{deep}" rx="5"/>')
                words = [("title", title)] * bool(title) + [("small", line) for line in lines]
                for j, (kind, line) in enumerate(words, start=1):
                    parts.append(f'<text class="{kind}" x="{x + 7}" y="{top + j * LINE}">{escape(line)}</text>')
            top += deep + GAP
        y += height + GAP
    parts += list(_arrows(places, right))
    total = sum(1 for _ in modules())
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + LINE}" role="img" '
        f'aria-label="The layers of imblab and the imports between them"><style>{STYLE}</style>'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>'
    )
    note = f"{total} modules; arrows: imports from a layer to a lower one, with their number"
    parts.append(f'<text class="small" x="{MARGIN}" y="{y + 4}">{note}</text>')
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _arrows(places: dict[str, tuple[int, int]], right: int) -> Iterator[str]:
    order = list(LAYERS)
    counts = imports_between_layers()
    # Short arrows lie inside, long ones outside.
    pairs = sorted(counts, key=lambda pair: (order.index(pair[1]) - order.index(pair[0]), order.index(pair[0])))
    ends: Counter[str] = Counter()
    lanes: list[list[tuple[int, int]]] = []
    for upper, lower in pairs:
        ends[upper] += 1
        ends[lower] += 1
        start = places[upper][0] + 8 + 6 * ends[upper]
        end = places[lower][0] + 8 + 6 * ends[lower]
        span = (min(start, end), max(start, end))
        lane = next((i for i, used in enumerate(lanes) if all(span[1] < a or b < span[0] for a, b in used)), len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(span)
        x = right + 10 + 9 * lane
        yield f'<path d="M{right} {start} H{x} V{end} H{right + 2}" marker-end="url(#head)"/>'
        yield f'<text class="small" x="{x + 2}" y="{(start + end) // 2}">{counts[upper, lower]}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
