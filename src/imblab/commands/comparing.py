"""``imblab compare``: the answer of a study, its tables, or two studies side by side; reads, fits nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from imblab.analysis.methods import named
from imblab.analysis.reproduction import ScorePair, StudyPair, differing_keys, pair_studies
from imblab.commands import results
from imblab.edges import config, ledger, memory, terminal
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError, presentable
from imblab.findings import TEXT_WIDTH
from imblab.result import StudyResult
from imblab.text import count_noun, format_difference, format_score, join_words

#: Differences of two questions that the terminal lists without ``--full``.
MAX_LISTED_KEYS = 12
MAX_VALUE_WIDTH = 40


@dataclass(frozen=True, slots=True, repr=False)
class ShownStudyPair(StudyPair):
    """Two studies side by side, which Python shows as the command line does; ``headlines`` are their answers."""

    headlines: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return presentable(pair_text(self, self.headlines, width=TEXT_WIDTH), keep="\n")


def compare_pair(name: str, other: str, measure: str | None, grants: Sequence[str], experiments: Path) -> StudyPair:
    """Put two studies of the same folds side by side; see :func:`imblab.compare`."""
    _check_two(name, other, "imblab.compare")
    first, second = (_read(each, grants, experiments) for each in (name, other))
    pair = _pair(first, second, (name, other), measure)
    values: dict[str, Any] = {field.name: getattr(pair, field.name) for field in fields(pair)}
    return ShownStudyPair(**values, headlines=(first.answer.headline, second.answer.headline))


def _check_two(name: str, other: str, place: str) -> None:
    """Refuse one study as both."""
    if name == other:
        raise ConfigError(f"{place!r} names {name!r} twice; it puts two studies side by side. Name another one.")


def command_compare(
    name: str, args: Sequence[str], as_json: bool, is_full: bool, family: str | None, measure: str | None
) -> int:
    """Run ``imblab compare``: the answer of a study, its tables, or two studies side by side."""
    others = [word for word in args if "=" not in word]
    grants = [word for word in args if "=" in word]
    if len(others) > 1:
        raise ConfigError(
            f"'imblab compare' names {len(others) + 1} studies ({join_words([name, *others])}); it shows one, or two "
            "side by side. Name at most two."
        )
    if others:
        _check_two(name, others[0], "imblab compare")
        first, second = (_read(each, grants, EXPERIMENTS, family) for each in (name, others[0]))
        return _print_pair(first, second, _pair(first, second, (name, others[0]), measure), as_json, is_full)
    home = ledger.find_study(name, EXPERIMENTS)
    request = config.load_request(home / ledger.STUDY_FILE, grants, loads_data=False)
    source = results.read_record_files(home, request.study)
    memory.trim()
    results.read_origin(home)  # says whether it is damaged
    result = results.result_of(request.study, ledger.read_evaluations(home), source=source)
    shown = [option for option, value in (("--full", is_full), ("--family", family), ("--measure", measure)) if value]
    steps = results.next_steps(result, home, request.allow, shown=shown)
    if family is not None:
        result = results.select_named_families(result, family)
    if measure is not None:
        result = results.explore(result, measure)
    results.print_result(result, steps, as_json, is_full or family is not None)
    return 0


def _read(name: str, grants: Sequence[str], experiments: Path, family: str | None = None) -> StudyResult:
    home = ledger.find_study(name, experiments)
    study = config.load_request(home / ledger.STUDY_FILE, grants, loads_data=False).study
    result = results.read_result(home, study)
    return result if family is None else results.select_named_families(result, family)


def _pair(first: StudyResult, second: StudyResult, folders: tuple[str, str], measure: str | None) -> StudyPair:
    """Pair two studies; those of one name, as a copied folder holds, are called by their folders."""
    keys = differing_keys(*(config.to_mapping(result.study) for result in (first, second)))
    return pair_studies(first, second, keys, measure, folders if first.study.name == second.study.name else None)


def _print_pair(first: StudyResult, second: StudyResult, pair: StudyPair, as_json: bool, is_full: bool) -> int:
    if as_json:
        answers = {pair.first: first.answer.to_mapping(), pair.second: second.answer.to_mapping()}
        terminal.put(json.dumps({**pair.to_mapping(), "answers": answers}))
        return 0
    limit = None if is_full else MAX_LISTED_KEYS
    terminal.show(pair_text(pair, [result.answer.headline for result in (first, second)], limit))
    return 0


def pair_text(pair: StudyPair, headlines: Sequence[str], max_keys: int | None = None, width: int | None = None) -> str:
    """Return two studies side by side as a page; ``max_keys`` limits the listed differences of their questions."""
    page, names = terminal.Page(width), (pair.first, pair.second)
    for name, headline in zip(names, headlines, strict=True):
        page.add(f"{name}: {headline}")
        page.add("")
    listed = pair.differences[:max_keys]
    count = count_noun(len(pair.differences), "key")
    page.add(f"The questions differ in {count}:" if listed else "The questions are the same.")
    page.add_table(["key", *names], [[each.key, _value(each.first), _value(each.second)] for each in listed], names)
    if len(listed) < len(pair.differences):
        page.add(f"{len(pair.differences) - len(listed)} more with --full.")
        page.add("")
    header = ["strategy", ">folds", *(f">{name}" for name in names), "difference [95 %]"]
    for (dataset, learner), scores in groupby(pair.scores, key=itemgetter(0, 1)):
        page.add(f"{dataset}, {learner}: {named(pair.measure)}, means over the folds that both have scored")
        page.add_table(header, [_score_row(each) for each in scores], header[2:4])
    for name, alone in zip(names, (pair.only_first, pair.only_second), strict=True):
        if alone:
            page.add(f"In {name} alone: {join_words(alone)}.")
    is_tested = not pair.untested or any(each.dataset not in pair.untested for each in pair.scores)
    intervals = "with corrected resampled t intervals that are not adjusted" if is_tested else "without intervals"
    page.add(
        f"Differences are those of {pair.second} to {pair.first}, {intervals}: no contrast between two studies was "
        "claimed before, which is why they have no verdict."
    )
    for dataset, reason in pair.untested.items():
        page.add(f"Differences on {dataset} have no interval: {reason}.")
    return page.text()


def _value(value: Any) -> str:
    """Write a value of a key; of a long section that one question has alone, that it is there."""
    text = json.dumps(value).replace('"', "") if isinstance(value, Mapping) else terminal.format_cell(value)
    if isinstance(value, Mapping) and len(text) > MAX_VALUE_WIDTH:
        return "as defined"
    return text if len(text) <= MAX_VALUE_WIDTH else f"{text[: MAX_VALUE_WIDTH - 3]}..."


def _score_row(each: ScorePair) -> list[str]:
    interval = "" if math.isnan(each.low) else f" [{format_difference(each.low)}, {format_difference(each.high)}]"
    difference = "equal" if each.is_equal else f"{format_difference(each.difference)}{interval}"
    return [each.strategy, str(each.folds), format_score(each.first), format_score(each.second), difference]
