"""Draw the pictures of the documentation that come from code and committed studies: ``make pictures``.

``docs/layers.svg`` comes from the imports, ``docs/terminal.svg`` from ``imblab compare smote_ratio`` and
``docs/standard-errors.svg`` from ``experiments/test_size``. Tests compare them with the committed files.
``docs/images`` holds pictures of MLflow, which ``draw_mlflow.py`` takes with Chromium where they are stale.
``docs/nested.svg`` is drawn by hand.
"""

from __future__ import annotations

import json
import math
import re
import runpy
from contextlib import chdir
from io import StringIO
from pathlib import Path

import pandas as pd
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from imblab.analysis.answer_page import answer_lines
from imblab.commands import results
from imblab.edges import config, ledger, terminal
from imblab.edges.figures.axes import Axes, Figure, Scale, element, escaped, label, legend_key, markers
from imblab.edges.palette import COLOUR_KINDS, Look

ROOT = Path(__file__).parents[1]
PICTURE = Path(__file__).with_name("terminal.svg")
STUDY, COLUMNS = "smote_ratio", 80
SIMULATION = ROOT / "experiments" / "test_size"
STANDARD_ERRORS = Path(__file__).with_name("standard-errors.svg")
#: What is drawn of the simulation: columns of its summary with their titles, ends and bounds, and estimators.
PANELS = (
    ("size", "rejected, no difference (.05)", (0.0, 0.12), 0.06),
    ("coverage", "holds the real difference (.95)", (0.6, 1.0), 0.93),
    ("null_se_over_sd", "stated / real standard error", (0.5, 3.0), 1.0),
)
ESTIMATORS = {
    "plain_t": ("plain t", Look(COLOUR_KINDS.index("none"), 0)),
    "row_level 1 0": ("jackknife over rows alone", Look(COLOUR_KINDS.index("weight"), 2)),
    "decides": ("row-level rule that decides", Look(COLOUR_KINDS.index("calibration"), 1)),
    "corrected_t": ("corrected t", Look(COLOUR_KINDS.index("mixed"), 0)),
}
FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def draw_terminal() -> str:
    """Return the answer of a committed study as a terminal shows it, as SVG; the same files give the same bytes."""
    with chdir(ROOT):
        home = ledger.EXPERIMENTS / STUDY
        result = results.read_result(home, config.load_request(home / ledger.STUDY_FILE, [], loads_data=False).study)
        steps = results.next_steps(result, home, ())
    console = Console(
        record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    console.print(Text(f"$ imblab compare {STUDY}"))
    console.print(terminal.style_answer("\n".join(answer_lines(result, COLUMNS, steps))), soft_wrap=True)
    # The fonts of the machine that shows the picture; nothing is loaded from elsewhere.
    page = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    page = page.replace("Fira Code, monospace", FONTS)
    svg = console.export_svg(title=f"imblab compare {STUDY}", code_format=page, unique_id="terminal")
    return "\n".join(line.rstrip() for line in svg.split("\n")) + "\n"


def draw_standard_errors(folder: Path = SIMULATION) -> str:
    """Return size, coverage and width of standard errors of MCC in the simulation as SVG."""
    summary = pd.read_csv(folder / "summary.csv")
    decided = json.loads((folder / "rules.json").read_text(encoding="utf-8"))
    rules, kinds = decided["rules"], decided["complete"]
    left, width, row, gap = 96.0, 190.0, 22.0, 26.0
    height, parts = row * len(kinds), []
    for i, repeats in enumerate((1, 5)):
        top = 52.0 + i * (height + 70.0)
        word = "one repeat" if repeats == 1 else f"{repeats} repeats"
        parts.append(label(0.0, top - 8, word, left, class_="title"))
        parts += [label(left - 8, top + row * (k + 0.5) + 4, kind, left, class_="e") for k, kind in enumerate(kinds)]
        for j, (column, title, (low, high), bound) in enumerate(PANELS):
            x = Scale(low, high, left + j * (width + gap), left + j * (width + gap) + width)
            drawn = Axes(x, Scale(0.0, 1.0, top + height, top), title, "")
            lines = "".join(f"M{x.start:.1f} {top + row * (k + 0.5):.1f}H{x.end:.1f}" for k in range(len(kinds)))
            parts += [drawn.draw_x_axis(), element("path", class_="grid", d=lines), drawn.draw_x_marks([(bound, "")])]
            for k, kind in enumerate(kinds):
                part = summary[(summary.kind == kind) & (summary.measure == "mcc") & (summary.repeats == repeats)]
                values = dict(zip(part.estimator, part[column], strict=True))
                rule = rules.get(kind, {}).get("mcc", [None, None])[repeats > 1]
                if rule:
                    values["decides"] = values[f"row_level {rule[0]:g} {rule[1]:g}"]
                for name, (words, look) in ESTIMATORS.items():
                    if math.isfinite(values.get(name, math.nan)):
                        dot = markers([float(x.at(values[name]))], [top + row * (k + 0.5)], look)
                        tip = element("title", escaped(f"{kind}, {words}: {values[name]:.3f}"))
                        parts.append(element("g", tip, dot))
    below = 52.0 + 2 * (height + 70.0) - 6
    for j, (words, look) in enumerate(ESTIMATORS.values()):
        parts += [legend_key(j * 182.0, below - 4, look), label(27 + j * 182.0, below, words, 152.0)]
    title = "Standard errors of a difference in MCC, simulated"
    description = "Size, coverage and width of four standard errors by kind of learner, for one and five repeats."
    size = (left + 3 * width + 2 * gap + 14, below + 12)
    return Figure("standard-errors", title, description, *size, "".join(parts)).standalone({})


if __name__ == "__main__":
    STANDARD_ERRORS.write_text(draw_standard_errors(), encoding="utf-8")
    runpy.run_path(str(Path(__file__).with_name("draw_layers.py")), run_name="__main__")
    PICTURE.write_text(draw_terminal(), encoding="utf-8")
    runpy.run_path(str(Path(__file__).with_name("draw_mlflow.py")), run_name="__main__")
