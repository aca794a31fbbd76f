"""Draw the pictures of the documentation that come from code and committed studies: ``make pictures``.

``docs/layers.svg`` comes from the imports, ``docs/terminal.svg`` from ``imblab compare smote_ratio``. Tests compare
both with the committed files. ``docs/nested.svg`` is drawn by hand, ``docs/images`` holds screenshots of MLflow.
"""

from __future__ import annotations

import re
import runpy
from contextlib import chdir
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from imblab.analysis.answer_page import answer_lines
from imblab.commands import results
from imblab.edges import config, ledger, terminal

ROOT = Path(__file__).parents[1]
PICTURE = Path(__file__).with_name("terminal.svg")
STUDY, COLUMNS = "smote_ratio", 80
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


if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("draw_layers.py")), run_name="__main__")
    PICTURE.write_text(draw_terminal(), encoding="utf-8")
