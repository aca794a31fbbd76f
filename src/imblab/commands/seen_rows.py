"""Rows that other studies have evaluations on, and what is said of it before anything is fitted."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imblab.analysis.claims import describe_before_fits, register_claims
from imblab.commands.layout import Layout, parse_request
from imblab.edges import config, files, ledger, terminal
from imblab.errors import ImblabError, StudyError
from imblab.fields import parse_json
from imblab.groups import group_options
from imblab.study import Dataset
from imblab.text import to_hydra_syntax

#: The table that a line of the ledger rests on; it is read from many lines, of which few are parsed.
_DATA_FINGERPRINT = re.compile(rb'"data_fingerprint": ?"([0-9a-zA-Z]+)"')


def find_tables(folder: Path, fingerprints: Collection[str]) -> set[str]:
    """Find which tables a study has scores on, by their fingerprints; reads its ledger without its trials.

    Raises StudyError if the ledger cannot be read as far as that takes.
    """
    found: set[str] = set()
    with files.open_file(folder, ledger.LEDGER_FILE) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                break  # another process may be about to write the other half
            match = _DATA_FINGERPRINT.search(line)
            name = match[1].decode() if match else ""
            if match and (name in found or name not in fingerprints):
                continue
            try:
                values = parse_json(line.decode())
                is_scored = values["status"] == "ok" and values.get("data_fingerprint") in fingerprints
            except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
                path = str(folder / ledger.LEDGER_FILE)
                raise StudyError(f"line {number} of {path!r} is not an evaluation") from error
            if is_scored:
                found.add(values["data_fingerprint"])
    return found


def find_seen_before(home: Path, tables: Mapping[str, Dataset]) -> dict[str, tuple[str, ...]]:
    """Find the other studies next to a study's folder that have scores on the same rows.

    Studies that ship with imblab, and folders that ``overwrite`` kept aside, do not count. A folder that cannot be read
    is skipped, which is said on standard error.

    Parameters
    ----------
    home : Path
        The folder of the study; it need not exist.
    tables : mapping of str to Dataset
        The data sets of the study.

    Returns
    -------
    dict of str to tuple of str
        Names of studies by data set; without data sets that none has used.
    """
    fingerprints = {table.fingerprint for table in tables.values()}
    shipped = group_options("experiment")
    found: dict[str, set[str]] = {}
    for folder in sorted(path.parent for path in home.parent.glob(f"*/{ledger.LEDGER_FILE}")):
        if folder.name == home.name or "~" in folder.name:
            continue
        try:
            if folder.name in shipped and _asks_what_ships(folder):
                continue
            found[folder.name] = find_tables(folder, fingerprints)
        except (ImblabError, OSError) as error:
            terminal.warn(f"Skipped, while looking for studies of the same rows: {error}")
    seen = {
        name: tuple(study for study, known in found.items() if table.fingerprint in known)
        for name, table in tables.items()
    }
    return {name: studies for name, studies in seen.items() if studies}


def _asks_what_ships(folder: Path) -> bool:
    """Whether a study asks what the shipped experiment of its name asks, and no other question under that name.

    An experiment that takes its tables from a folder is compared with the folder on record.
    """
    asked = ledger.read_study(folder)
    words = [f"experiment={folder.name}"]
    if any(
        member.name == folder.name and config.DATA_DIR in member.content for member in config.read_group("experiment")
    ):
        folders = {str(Path(spec["path"]).parent) for spec in asked["dataset"].values() if "path" in spec}
        words.append(f"{config.DATA_DIR}={to_hydra_syntax(min(folders, default='.'))}")
    ships = config.to_mapping(parse_request(words, []).study)
    is_same_data = asked["dataset"] == json.loads(json.dumps(ships["dataset"]))
    return is_same_data and all(set(asked[part]) == set(ships[part]) for part in ("learner", "strategy"))


def plan_question(layout: Layout, home: Path, overwrite: bool = False) -> dict[str, Any]:
    """Return the question that the folder of a study will hold once it runs, with its record of claims."""
    study = register_claims(layout.study, find_seen_before(home, layout.datasets))
    question: dict[str, Any] = json.loads(json.dumps(config.to_mapping(study)))
    path = home / ledger.LEDGER_FILE
    if overwrite or not path.exists() or not path.stat().st_size:
        return question
    try:
        known = find_tables(home, {table.fingerprint for table in layout.datasets.values()})
        evaluated = [name for name, table in layout.datasets.items() if table.fingerprint in known]
        return ledger.extend_question(home.name, ledger.read_study(home), question, evaluated)
    except (ImblabError, OSError):  # running the study reports it
        return question


def recorded_seen(question: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the other studies with evaluations on the same rows that a question has on record, by data set."""
    record = question["claims"].get("registered") or {}
    return {name: tuple(studies) for name, studies in record.get("seen_before", {}).items()}


def notes_before_fits(layout: Layout, question: Mapping[str, Any]) -> list[str]:
    """Return one sentence each on rows seen before and on repeats added later, by the record of a question."""
    study = register_claims(layout.study, recorded_seen(question))
    claims, record = study.claims, question["claims"].get("registered")
    if record and claims.registered:
        study = replace(study, claims=replace(claims, registered=replace(claims.registered, repeats=record["repeats"])))
    return describe_before_fits(study, layout.datasets)
