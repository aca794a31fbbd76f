"""Tables as CSV and LaTeX, for spreadsheets and papers."""

from __future__ import annotations

import csv
from io import StringIO

from imblab.edges.report.model import Table

_TEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"}
_TEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--", "±": r"$\pm$", "\u202f": r"\,"}
_TEX |= {"<": r"\textless{}", ">": r"\textgreater{}"}
#: What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(table: Table) -> str:
    """A table with numbers at twelve digits; words that a spreadsheet would compute are quoted.

    Parameters
    ----------
    table : Table

    Returns
    -------
    str
    """
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name for name, _ in table.header])
    for line in table.lines:
        writer.writerow([_inert(c.text) if c.value is None else c.exact for c in line.cells])
    return stream.getvalue()


def as_latex(table: Table) -> str:
    """A table with booktabs rules, as shown on the page.

    Parameters
    ----------
    table : Table

    Returns
    -------
    str
    """
    numeric = [all(line.cells[i].value is not None for line in table.lines) for i in range(len(table.header))]
    columns = "".join("r" if n else "l" for n in numeric)
    body = [" & ".join(tex(words) for _, words in table.header)]
    rows = [" & ".join(tex(cell.text) for cell in line.cells) for line in table.lines]
    return "\n".join(
        [
            f"% {' '.join(table.caption.split())}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *(rf"{row} \\" for row in body),
            r"\midrule",
            *(rf"{row} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def tex(text: str) -> str:
    r"""Words that LaTeX sets as they are.

    Examples
    --------
    >>> tex("pr_auc 50 %")
    'pr\\_auc 50 \\%'
    """
    return "".join(_TEX.get(c, c) for c in " ".join(text.split()))


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
