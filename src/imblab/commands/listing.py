"""``imblab list``: the options of every group, the studies of this directory; ``run --cfg job``: a composed study."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from imblab.commands import results
from imblab.commands.layout import parse_request
from imblab.edges import config, datasets, files, ledger, terminal
from imblab.errors import ConfigError, ImblabError, describe, unknown
from imblab.redaction import redact
from imblab.text import count_noun, to_hydra_syntax

Row = dict[str, Any]
#: Makes a list from the folders with the user's own groups and the folder of the studies.
Lister = Callable[[Sequence[Path], Path], list[Row]]
DATA_SET_COLUMNS = ("name", "rows", "features", "positives", "ratio", "categorical", "missing", "source")
NONE = "-"
BUILT_IN = "built in"
#: Keys of learners and strategies that hold no knob.
NOT_KNOBS = ("label", "description", "make", "sampler", "prior_correction", "space", "staged", "rebalances")
#: What ``--cfg`` prints, as Hydra names it.
PRINTED = ("job", "all")


def command_list(
    kind: str | None, config_dirs: Sequence[Path], as_json: bool, experiments: Path, as_schema: bool
) -> int:
    """``imblab list``: print one of :data:`LISTS`, or all of them shortly, or the JSON Schema of files."""
    known = [*LISTS, "run"] if as_schema else [*LISTS]
    if kind is not None and kind not in known:
        raise ConfigError(unknown("list", kind, known))
    if as_schema:
        terminal.put(json.dumps(config.json_schema(kind), indent=1))
        return 0
    # The overview names the studies, and need not read them.
    listers = LISTS if kind or as_json else {**LISTS, "studies": _name_studies}
    lists = {name: listers[name](config_dirs, experiments) for name in ([kind] if kind else listers)}
    if as_json:
        terminal.put(json.dumps(lists[kind] if kind else lists))
    else:
        texts = {"datasets": data_sets_text, "studies": studies_text}
        terminal.show(texts.get(kind, members_text)(lists[kind]) if kind else overview_text(lists))
    return 0


def _list_members(group: str, facts: Callable[[Mapping[str, Any]], Row]) -> Lister:
    """Make the function that lists the options of a group, with facts of the content of each."""
    return lambda config_dirs, _: [
        {
            "name": member.name,
            "description": member.description or NONE,
            **facts(member.content),
            "file": BUILT_IN if member.is_shipped else str(member.path),
        }
        for member in config.read_group(group, config_dirs)
    ]


def _measure_facts(content: Mapping[str, Any]) -> Row:
    better = "higher" if content.get("greater_is_better", True) else "lower"
    return {"needs": str(content.get("needs", NONE)), "better": better, "knobs": _defined(content.get("parameters"))}


def _protocol_facts(content: Mapping[str, Any]) -> Row:
    return {
        "knobs": _defined({key: content.get(key) for key in ("outer_folds", "test_size", "inner_folds", "repeats")})
    }


def list_datasets(config_dirs: Sequence[Path], _: Path) -> list[Row]:
    """Return the bundled tables with their facts, the user's own data sets, and the names of collections."""
    described = [
        {"name": m.name, "kind": str(m.content.get("kind", "table")), "description": m.description, "file": str(m.path)}
        for m in config.read_group("dataset", config_dirs)
        if not m.is_shipped
    ]
    return [*datasets.listing(), *described]


def list_studies(_: Sequence[Path], experiments: Path) -> list[Row]:
    """Return the studies below a folder: question, evaluations, last change, user, and the answer if complete."""
    return [_study(home) for home in ledger.study_folders(experiments)]


def _name_studies(_: Sequence[Path], experiments: Path) -> list[Row]:
    return [{"name": home.name} for home in ledger.study_folders(experiments)]


def _study(home: Path) -> Row:
    rows = home / ledger.LEDGER_FILE
    changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(rows.stat().st_mtime)) if rows.exists() else NONE
    facts: Row = {"name": home.name, "changed": changed, "by": NONE, "file": str(home / ledger.STUDY_FILE)}
    empty = {"recommended": [], "verdict": "", "recommendation": ""}
    try:
        answer = results.short_answer(home)
        title = _title_of(home)
    except (ImblabError, OSError) as error:
        return {**facts, "evaluations": "cannot be read", "question": describe(error), **empty}
    by = results.read_origin(home).get("user") or _owner(home)
    question = title or answer["question"]
    told = {name: answer[name] for name in empty} if answer["is_complete"] else empty
    return {**facts, "by": by, "evaluations": answer["evaluations"], "question": question, **told}


def _owner(home: Path) -> str:
    with suppress(OSError, KeyError):  # a user without a name
        return home.owner()
    return NONE


def _title_of(home: Path) -> str:
    """Return the title of a study's README.md; empty without one."""
    if not files.exists(home, results.WORDS):
        return ""
    text = files.read_bytes(home, results.WORDS, max_bytes=2**20).decode("utf-8", "replace")
    return text.partition("\n")[0].lstrip("# ")


def _class_and_knobs(content: Mapping[str, Any], role: str) -> Row:
    make = content.get(role)
    path = make.get("_target_") if isinstance(make, Mapping) else None
    return {"class": str(path).rpartition(".")[2] if path else NONE, "knobs": _knobs_of(content)}


def _knobs_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the knobs that are fixed, then the spaces of those that are searched."""
    space = content.get("space")
    space = space if isinstance(space, Mapping) else {}
    fixed = {key: value for key, value in content.items() if key not in NOT_KNOBS and key not in space}
    return _defined({key: value for key, value in fixed.items() if value != "none"} | dict(space))


def _defined(values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None} if isinstance(values, Mapping) else {}


def data_sets_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Return what can be loaded: a table of the data sets whose facts are known, the names of all others by kind."""
    page = terminal.Page(width)
    described = [
        row if "class_rows" not in row else {**row, "positives": count_noun(row["classes"], "class")}
        for row in rows
        if "rows" in row
    ]
    keys = [key for key in DATA_SET_COLUMNS if any(key in row for row in described)]
    header = [key if key in ("name", "source") else f">{key}" for key in keys]
    page.add_table(header, ([terminal.format_cell(row.get(key)) for key in keys] for row in described))
    for kind in dict.fromkeys(row["kind"] for row in rows if "rows" not in row):
        names = [row["name"] for row in rows if row["kind"] == kind and "rows" not in row]
        page.add(f"{kind} ({len(names)}): {', '.join(names)}", then="  ")
    return page.text()


def members_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Return the options of a group as a table of names, what they are and their knobs; then where their files are."""
    page = terminal.Page(width)
    keys = [key for key in ("name", "description", "better") if any(key in row for row in rows)]
    cells = ([*(str(row.get(key, "")) for key in keys), _list_knobs(row["knobs"])] for row in rows)
    page.add_table([*keys, "knobs"], cells, fold=("description",))
    files = [f"{row['name']}: {row['file']}" for row in rows if row["file"] != BUILT_IN]
    page.add(f"{'; '.join(files)}. All others are built in." if files else "All are built in.")
    return page.text()


def _list_knobs(knobs: Mapping[str, Any]) -> str:
    """Write one knob per line, as an override is written."""
    return "\n".join(f"{k}={v if isinstance(v, str) else to_hydra_syntax(v)}" for k, v in knobs.items())


def studies_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Return the studies as a table of how far they are and what they recommend, then their questions and verdicts."""
    page = terminal.Page(width)
    if not rows:
        page.add("No study in experiments/ yet. Run one: imblab run experiment=quickstart")
    keys = ("name", "evaluations", "changed", "by")
    cells = (
        [row["name"], row["evaluations"], row["changed"].split()[0], row["by"], ", ".join(row["recommended"]) or NONE]
        for row in rows
    )
    page.add_table([*keys, "use"], cells)
    for row in rows:
        page.add(f"{row['name']}: {row['question']}", then="  ")
        if row["verdict"]:
            page.add(" ".join((row["verdict"], row["recommendation"])).strip(), "  ", "  ")
    return page.text()


def overview_text(lists: Mapping[str, Sequence[Mapping[str, Any]]], width: int | None = None) -> str:
    """Return the names of everything that can be listed, one paragraph per kind."""
    page = terminal.Page(width)
    for kind, rows in lists.items():
        collections = {row["kind"] for row in rows if "kind" in row and "rows" not in row and "file" not in row}
        names = [row["name"] for row in rows if row.get("kind") not in collections]
        names += [f"{name}_* ({sum(row.get('kind') == name for row in rows)})" for name in sorted(collections)]
        page.add(f"{kind} ({len(rows)}): {', '.join(names) or 'none'}", then="  ")
    page.add("")
    page.add("Details: imblab list learners, and likewise for each kind; --json for machines.")
    return page.text()


LISTS: Mapping[str, Lister] = {
    "learners": _list_members("learner", lambda content: _class_and_knobs(content, "make")),
    "strategies": _list_members("strategy", lambda content: _class_and_knobs(content, "sampler")),
    "measures": _list_members("measures", _measure_facts),
    "datasets": list_datasets,
    "protocols": _list_members("protocol", _protocol_facts),
    "experiments": _list_members("experiment", lambda _: {"knobs": {}}),
    "searches": _list_members("search", lambda content: {"knobs": _defined(content)}),
    "runners": _list_members("runner", lambda content: {"knobs": _defined(content)}),
    "tracking": _list_members("tracking", lambda content: {"knobs": _defined(content)}),
    "studies": list_studies,
}


def command_cfg(args: Sequence[str], config_dirs: Sequence[Path], what: str, package: str | None, command: str) -> int:
    """Print the study that overrides compose, or a section of it, as ``imblab run`` takes it; fits nothing."""
    if what not in PRINTED:
        raise ConfigError(
            f"'--cfg {what}' asks for a configuration of Hydra; Hydra only composes here and runs no job. Write --cfg "
            "job for the study, or --cfg all for the study and the options of its run."
        )
    request = parse_request(args, config_dirs, command)
    section = _choose_section(config.to_mapping(request.study), package)
    text = files.to_yaml(section)
    if what == "all" and package is None:
        options = {"runner": dict(request.runner), "tracking": dict(request.tracking)}
        commented = "\n".join(f"# {line}" for line in redact(files.to_yaml(options)).splitlines())
        text = f"{text}# Options of the run, which change no number:\n{commented}\n"
    terminal.put(text.rstrip("\n"))
    return 0


def _choose_section(study: Mapping[str, Any], package: str | None) -> Any:
    """Return the part of a study below a dotted key, under its last name."""
    if package is None:
        return study
    section: Any = study
    *_, last = names = package.split(".")
    for name in names:
        if not isinstance(section, Mapping) or name not in section:
            known = section if isinstance(section, Mapping) else ()
            raise ConfigError(unknown("key", name, known, f"in '--package {package}'"))
        section = section[name]
    return {last: section}
