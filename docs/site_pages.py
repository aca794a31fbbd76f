"""Pages of the site that are written from the package and from the studies, so that they cannot differ from them.

``make docs`` calls :func:`write_all` before Sphinx reads its sources. Nothing written here is committed.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import imblab
from imblab.cli import main
from imblab.cli.arguments import COMMANDS, parse_arguments
from imblab.edges.figures.axes import STYLE
from imblab.edges.palette import PAGE_COLOURS, css_variables

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"
#: Pages outside docs/ that are part of the site, and where.
ROOT_PAGES = {
    "CONTRIBUTING.md": "about/contributing.md",
    "CHANGELOG.md": "about/changelog.md",
    "benchmarks/README.md": "about/benchmarks.md",
}
LINK = re.compile(r"(!?)\[([^\]\[]*(?:\[[^\]]*\])?[^\]\[]*)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")


def write_all(docs: Path) -> None:
    """Write the gallery, the reference and the pages of the root into ``docs``."""
    pages = gallery_pages() | reference_pages()
    for name, place in ROOT_PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        pages[place] = rewrite_links(text, Path(name).parent)
    pages["about/benchmarks.svg"] = (ROOT / "benchmarks" / "results.svg").read_text(encoding="utf-8")
    for place, text in pages.items():
        path = docs / place
        path.parent.mkdir(parents=True, exist_ok=True)
        # An unchanged page keeps its time, so that Sphinx does not read it again.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def rewrite_links(text: str, folder: Path) -> str:
    """Point the links of a page in ``folder`` (relative to the root) to pages of the site.

    Files that are not pages, such as tests, are named and not linked.
    """
    return LINK.sub(lambda match: _rewrite_link(match, folder), text)


def _rewrite_link(match: re.Match[str], folder: Path) -> str:
    picture, words, target, anchor = match.group(1), match.group(2), match.group(3), match.group(4) or ""
    path = os.path.normpath(folder / target) if not target.startswith("/") else f"docs{target}"
    if path.startswith("docs/"):
        return f"{picture}[{words}](/{path.removeprefix('docs/')}{anchor})"
    if path in ROOT_PAGES:
        return f"[{words}](/{ROOT_PAGES[path]}{anchor})"
    if study := re.fullmatch(r"experiments/(\w+)/README\.md", path):
        return f"[{words}](/gallery/{study.group(1)}.md)"
    if path == "experiments/README.md":
        return f"[{words}](/gallery/index.md)"
    if path == "benchmarks/results.svg":
        return f"{picture}[{words}](/about/benchmarks.svg)"
    return words if words.startswith("`") else f"{words} (`{path}`)" if words != path else f"`{path}`"


def studies() -> list[str]:
    """Return the names of the committed studies, those with a report first."""
    names = sorted(path.parent.name for path in EXPERIMENTS.glob("*/README.md") if not _is_ignored(path.parent.name))
    return sorted(names, key=lambda name: not (EXPERIMENTS / name / "report.html").exists())


def _is_ignored(name: str) -> bool:
    return name.startswith("quickstart")


def copy_reports(outdir: Path) -> None:
    """Copy the reports of the committed studies next to their pages."""
    for name in studies():
        report = EXPERIMENTS / name / "report.html"
        if report.exists():
            folder = outdir / "gallery" / "reports"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(report, folder / f"{name}.html")


def gallery_pages() -> dict[str, str]:
    """Return a page for every committed study, its figures, and the index of the gallery, by path."""
    pages, rows = {}, []
    headlines = _headlines()
    for name in studies():
        text = rewrite_links((EXPERIMENTS / name / "README.md").read_text(encoding="utf-8"), Path("experiments") / name)
        title = re.match(r"# (.*)\n", text).group(1)  # type: ignore[union-attr]
        rest, report = text[len(title) + 3 :], EXPERIMENTS / name / "report.html"
        # The name of the file of the record stays; the report is a page of the site.
        rest = re.sub(r"report\.html \(`[^`]*`\)", f"<a href='reports/{name}.html'>report.html</a>", rest)
        figure = ""
        if report.exists() and (drawn := first_figure(report.read_text(encoding="utf-8"))):
            pages[f"gallery/figures/{name}.svg"], words = drawn
            figure = f"![{words}](figures/{name}.svg)\n\n"
            figure += f"The figure is the first one of the <a href='reports/{name}.html'>report of this study</a>.\n\n"
        pages[f"gallery/{name}.md"] = f"# {title}\n\n{figure}{rest}"
        rows.append(f"## [{title}]({name}.md)\n\n{headlines.get(name, '')}\n")
    index = (
        "# Gallery\n\nThe committed studies. Each page is the README of a study in `experiments/`, with the first\n"
        "figure of its report. `imblab run experiments/<name>/study.yaml` runs a study again, and\n"
        "[`imblab reproduce`](/reproduce.md) compares it with its record.\n\n"
    )
    toc = "```{toctree}\n:hidden:\n\n" + "\n".join(studies()) + "\n```\n"
    pages["gallery/index.md"] = index + "\n".join(rows) + "\n" + toc
    return pages


def _headlines() -> dict[str, str]:
    """Return the sentence in bold of every study in the index of experiments."""
    parts = re.split(r"^## (\w+)\n", (EXPERIMENTS / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = zip(parts[1::2], parts[2::2], strict=True)
    return {name: bold.group(1) for name, text in found if (bold := re.search(r"\*\*(.+?)\*\*", text, re.DOTALL))}


def first_figure(report: str) -> tuple[str, str] | None:
    """Return the first figure of a report as a file of its own, and its description; None if there is no figure."""
    match = re.search(r'<svg class="f" viewBox="0 0 ([\d.]+) ([\d.]+)".*?</svg>', report, re.DOTALL)
    if match is None:
        return None
    width, height = match.group(1), match.group(2)
    words = re.search(r"<desc>(.*?)</desc>", match.group(0)).group(1)  # type: ignore[union-attr]
    style = f"<style>svg{{{css_variables(dark=False)}}}{STYLE}</style>"
    ground = f'<rect width="{width}" height="{height}" fill="{PAGE_COLOURS["ground"][0]}"/>'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    svg = match.group(0).replace("<svg", opening, 1)
    return svg.replace("</desc>", f"</desc>{style}{ground}", 1) + "\n", words


def reference_pages() -> dict[str, str]:
    """Return the pages of the reference that come from the package, by path."""
    return {
        "reference/python.md": python_page(),
        "reference/command-line.md": command_line_page(),
        "reference/configuration.md": configuration_page(),
        "reference/shipped.md": shipped_page(),
        "reference/files.md": files_page(),
    }


def python_page() -> str:
    """List the public names of the package; autosummary writes a page for each from its docstring."""
    names = [name for name in imblab.__all__ if not name.startswith("_")]
    kinds = {name: inspect.isclass(getattr(imblab, name)) for name in names}
    text = "# Python\n\nAll public names are attributes of `imblab`.\n"
    for title, is_class in (("Functions", False), ("Classes", True)):
        listed = "\n".join(f"   {name}" for name in names if kinds[name] is is_class)
        text += f"\n## {title}\n\n```{{eval-rst}}\n.. currentmodule:: imblab\n\n"
        text += f".. autosummary::\n   :toctree: api\n   :nosignatures:\n\n{listed}\n```\n"
    return text


def command_line_page() -> str:
    """Return the help of every command, as the command prints it."""
    parts = ["# Command line\n\nThis page is what `imblab --help` and `imblab COMMAND --help` print.\n", _help([])]
    parts += [f"## imblab {name}\n\n{_help([name])}" for name in COMMANDS]
    return "\n".join(parts)


def _help(words: list[str]) -> str:
    printed, width = StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "96"
    try:
        with redirect_stdout(printed), suppress(SystemExit):
            parse_arguments([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS") if width is None else os.environ.update(COLUMNS=width)
    return f"```text\n{printed.getvalue().rstrip()}\n```\n"


def _printed_json(*words: str) -> Any:
    """Return what a command prints for machines."""
    printed = StringIO()
    with redirect_stdout(printed):
        status = main(list(words))
    if status:
        raise SystemExit(f"imblab {' '.join(words)} ended with {status}: {printed.getvalue()}")
    return json.loads(printed.getvalue())


def configuration_page() -> str:
    """Return tables of all keys of a study, from its JSON Schema."""
    schema = _printed_json("list", "--schema")
    text = (
        "# Configuration\n\nThe keys of `study.yaml`, of experiment files and of overrides on the command line, from\n"
        "the JSON Schema that `imblab list --schema` prints. On the command line a key is written with its path, such\n"
        "as `protocol.outer_folds=10` or `strategy.smote.space.k=choice(3,5)`; `<name>` stands for the name of a\n"
        "data set, learner, strategy or measure. [The shipped files](shipped.md) show values.\n\n## Study\n\n"
    )
    text += _key_table(schema, "", schema["$defs"])
    places = {"dataset": "dataset.<name>", "learner": "learner.<name>", "strategy": "strategy.<name>"}
    places |= {"measures": "measures.<name>", "protocol": "protocol", "search": "search", "claims": "claims"}
    for key, place in places.items():
        model = schema["$defs"][_reference(schema["properties"][key])]
        text += f"\n## `{place}`\n\n{model.get('description', '')}\n\n{_key_table(model, place + '.')}"
    run = _printed_json("list", "run", "--schema")
    text += (
        "\n## How it is run\n\nThese keys stand in an experiment file or on the command line, and change no number;\n"
        "`imblab list run --schema` prints them. A `study.yaml` holds none of them. `allow=[...]` names\n"
        "[classes of your own](../extending.md) on the command line.\n\n"
    )
    text += _key_table(run, "", run["$defs"])
    for key in ("runner", "tracking", "budget", "search"):
        text += f"\n### `{key}` of a run\n\n{_key_table(run['$defs'][_reference(run['properties'][key])], f'{key}.')}"
    return text


def _reference(node: Any) -> str:
    """Return the name of the definition that a node of the schema refers to."""
    found = re.search(r"#/\$defs/(\w+)", json.dumps(node))
    if found is None:
        raise ValueError(f"the schema has no definition at {node}")
    return found.group(1)


def _key_table(model: Any, prefix: str, definitions: Any = None) -> str:
    """Return a row per key; a key without words of its own has those of its definition."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key, node in model["properties"].items():
        default = "" if key in model.get("required", ()) else _cell(json.dumps(node.get("default")))
        words = node.get("description") or (definitions or {}).get(str(node.get("$ref")).rpartition("/")[2], {}).get(
            "description", ""
        )
        rows.append(f"| `{prefix}{key}` | {default} | {_escape(words)} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    short = text if len(text) <= 40 else text[:30].rsplit(",", 1)[0] + ", ..."
    return f"`{short}`".replace("|", "\\|")


def _escape(text: str) -> str:
    """Return plain words as Markdown for a cell of a table."""
    return re.sub(r"([|<>*_\[\]{}$\\`])", r"\\\1", text)


def shipped_page() -> str:
    """Return tables of what a study can name, as ``imblab list`` knows it."""
    text = "# Learners, strategies, data sets and others\n\nWhat a study can name, as `imblab list` prints it.\n"
    for kind in ("learners", "strategies", "datasets", "protocols", "experiments", "searches", "runners", "tracking"):
        rows = ["| name | description | knobs |", "|---|---|---|"]
        for row in _printed_json("list", kind, "--json"):
            knobs = ", ".join(
                f"`{key}={json.dumps(value)}`".replace("|", "\\|") for key, value in row.get("knobs", {}).items()
            )
            rows.append(f"| `{row['name']}` | {_escape(str(row.get('description', '')))} | {knobs} |")
        title = {"datasets": "Data sets"}.get(kind, kind.capitalize())
        text += f"\n## {title}\n\n" + "\n".join(rows) + "\n"
    return text + "\nMeasures are on [their page](measures.md).\n"


def files_page() -> str:
    """Describe the files of a study, with lines of a committed one."""
    home = EXPERIMENTS / "smote_ratio"
    lines = {}
    for name in ("ledger.jsonl", "searches.jsonl"):
        with (home / name).open(encoding="utf-8") as stream:
            record = json.loads(next(line for line in stream if '"threshold"' in line))
        lines[name] = f"```json\n{json.dumps(record, indent=1)}\n```\n"
    return f"""# Files of a study

`experiments/<name>/` holds one study. Text files are UTF-8; JSON has no NaN, but `null`.

| file | content |
|---|---|
| `study.yaml` | the resolved question; `imblab run experiments/<name>/study.yaml` asks it again |
| `ledger.jsonl` | one evaluation per line, only ever added to |
| `searches.jsonl` | the trials of the inner searches, which lines of the ledger name by `search` |
| `evidence.parquet` | counts at every threshold, curves, calibration: [evidence](/evidence.md) |
| `environment.json` | versions, processor and locale of the run |
| `identity.json` | what tells this study from another one of the same name |
| `report.html`, `figures/`, `tables/` | [the report](/report.md), derived; may be deleted |
| `rescored/`, `model/` | rescored studies, exported models |

## A line of the ledger

The first line of the study `smote_ratio`. {{py:class}}`imblab.Evaluation` describes every field.

{lines["ledger.jsonl"]}
## A line of the searches

{lines["searches.jsonl"]}
"""
