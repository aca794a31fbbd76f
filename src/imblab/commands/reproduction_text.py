"""The answer of ``imblab reproduce``: what was compared and what differs, as text and as plain data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imblab.analysis.reproduction import CAUSES, ROUNDING_TOLERANCE, Difference
from imblab.edges import terminal
from imblab.edges.provenance.environment import Change
from imblab.errors import presentable
from imblab.findings import TEXT_WIDTH
from imblab.text import count_noun, join_words

#: Evaluations that are listed under a cause, and fields of each.
MAX_LISTED_EVALUATIONS, MAX_LISTED_FIELDS = 5, 3
ENVIRONMENT_PARTS = ("versions", "processor", "locale")
#: What is said of the question, by whether it is that of the first evaluation.
QUESTIONS = {
    True: "the question, with its claims: as at the first evaluation",
    False: "the question is not the one of the first evaluation: the study was extended, or its claims were changed, "
    "which stand outside the addresses",
    None: "the question: the record does not say what it was at the first evaluation",
}
#: Causes of evaluations whose line or inputs differ already, so that they are not run again.
NOT_RUN_AGAIN = ("beyond", "table", "folds", "code", "address")
MAX_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True, repr=False)
class Reproduction:
    """The answer to whether a study comes back from its record."""

    #: the name of the study, and where its record is
    study: str
    record: str
    #: evaluations of the record, and of the design
    recorded: int
    asked: int
    repeated: tuple[str, ...]  # addresses of the evaluations that were run again
    #: how many of these are equal bit for bit, and how many only within the tolerance
    identical: int
    within_tolerance: int
    largest_difference: float  # the largest distance between two numbers of those
    tolerance: float  # applied where versions or the processor differ
    changes: tuple[Change, ...]  # what differs between the environment of the record and that of now
    unrecorded: tuple[str, ...]  # what the record does not name of ``versions``, ``processor`` and ``locale``
    #: whether the question, with its claims, is that of the first evaluation; None where that is not on record
    is_first_question: bool | None
    evidence: bool  # whether evidence was built again and compared
    tables: tuple[str, ...]  # data sets whose content was compared
    differences: tuple[Difference, ...]  # what differs, and why; empty if all is the same
    folder: str | None  # where the new evaluations are, if they are kept
    selection: Mapping[str, Any]  # ``subset``, ``seed``, ``all`` and ``cells`` as they were asked for

    def __repr__(self) -> str:
        return presentable(reproduction_text(self, TEXT_WIDTH), keep="\n")

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def by_cause(self) -> dict[str, list[Difference]]:
        """The differences by their cause, in the order of a report."""
        causes = {cause: [each for each in self.differences if each.cause == cause] for cause in CAUSES}
        return {cause: members for cause, members in causes.items() if members}

    def headline(self) -> str:
        """Say in one sentence whether the study comes back."""
        n = count_noun(len(self.repeated), "evaluation")
        if not self.is_same:
            n_differing = len({each.key for each in self.differences})
            places = count_noun(n_differing, "evaluation or file differs", "evaluations or files differ")
            return f"Study {self.study!r} does not come back from its record: {places}."
        if self.within_tolerance:
            return (
                f"Study {self.study!r} comes back from its record within the tolerance of {self.tolerance:g}: of {n} "
                f"run again, {self.identical:,} are equal bit for bit, and the numbers of the others differ by "
                f"{self.largest_difference:.2g} at most."
            )
        return f"Study {self.study!r} comes back from its record: {n} run again, equal bit for bit."

    def to_mapping(self) -> dict[str, Any]:
        """The same as plain data, for machines."""
        names = ("study", "record", "recorded", "asked", "identical", "within_tolerance", "largest_difference")
        environment = {"unrecorded": list(self.unrecorded), "changes": [asdict(change) for change in self.changes]}
        return {
            "same": self.is_same,
            **{name: getattr(self, name) for name in names},
            "tolerance": self.tolerance,
            "selection": dict(self.selection),
            "repeated": list(self.repeated),
            "tables": list(self.tables),
            "environment": environment,
            "causes": {cause: len(members) for cause, members in self.by_cause.items()},
            "differences": [asdict(each) for each in self.differences],
            "evidence": self.evidence,
            "is_first_question": self.is_first_question,
            "folder": self.folder,
        }


def reproduction_text(answer: Reproduction, width: int | None = None) -> str:
    """Return the answer for people: headline, what was compared, differences by cause, what to do next."""
    page = terminal.Page(width)
    page.add(answer.headline())
    page.add("")
    page.add_list("Compared", _comparisons(answer))
    for cause, members in answer.by_cause.items():
        n_members = count_noun(len({each.key for each in members}), "evaluation")
        if cause == "evidence":
            n_members = "1 file"
        page.add_list(f"{cause}, {n_members}: {CAUSES[cause]}", list(_evaluation_lines(members)))
    page.add_list("Next steps", _next_steps(answer))
    return page.text()


def _comparisons(answer: Reproduction) -> list[str]:
    """Say what was compared without a fit, and with one."""
    lines = [
        f"{answer.recorded:,} of {count_noun(answer.asked, 'evaluation')} of the design, by their addresses, and their "
        "scores by their confusion counts",
        f"tables by their content: {join_words(answer.tables)}",
        QUESTIONS[answer.is_first_question],
        _describe_environment(answer),
    ]
    n_differing = len(answer.repeated) - answer.identical - answer.within_tolerance
    again = f"{count_noun(len(answer.repeated), 'evaluation')} run again without stored predictions"
    if not answer.selection["all"] and not answer.selection["cells"]:
        again = f"{again}, drawn with seed {answer.selection['seed']}"
    parts = [f"{answer.identical:,} equal bit for bit"]
    parts += [f"{answer.within_tolerance:,} within {answer.tolerance:g}"] if answer.within_tolerance else []
    parts += [f"{n_differing:,} different"] if n_differing else []
    built = ["evidence.parquet, built again from these evaluations"] if answer.evidence else []
    return [*lines, f"{again}: {join_words(parts)}", *built]


def _describe_environment(answer: Reproduction) -> str:
    names = [name for name in ENVIRONMENT_PARTS if name not in answer.unrecorded]
    parts = []
    if answer.changes:
        parts.append(f"{join_words(names)}, recorded -> now: {join_words(map(_describe_change, answer.changes))}")
    elif names:
        parts.append(f"{join_words(names)}: the same")
    if answer.unrecorded:
        rounding = ""
        if "processor" in answer.unrecorded:
            rounding = f", so that numbers may differ by rounding ({min(answer.tolerance, ROUNDING_TOLERANCE):g})"
        parts.append(f"not in the record: {join_words(answer.unrecorded)}{rounding}")
    return "; ".join(parts)


def _describe_change(change: Change) -> str:
    return f"{change.name} {_shown(change.recorded)} -> {_shown(change.now) if change.now else 'not there'}"


def _evaluation_lines(members: Sequence[Difference]) -> Iterable[str]:
    """Yield a line per evaluation with its first fields; the last one counts the others."""
    by_key: dict[str, list[Difference]] = {}
    for each in members:
        by_key.setdefault(each.key, []).append(each)
    for key in list(by_key)[:MAX_LISTED_EVALUATIONS]:
        fields = [(f"{each.field} {_shown(each.recorded)} -> {_shown(each.now)}") for each in by_key[key] if each.field]
        more = len(fields) - MAX_LISTED_FIELDS
        shown = [*fields[:MAX_LISTED_FIELDS], *([f"{more} more fields"] if more > 0 else [])]
        yield f"{key}: {', '.join(shown)}" if shown else key
    if len(by_key) > MAX_LISTED_EVALUATIONS:
        yield f"and {len(by_key) - MAX_LISTED_EVALUATIONS:,} more, all of them with --json"


def _shown(value: Any) -> str:
    """Write a value with all its digits, shortened if it is a long text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."


def _next_steps(answer: Reproduction) -> list[str]:
    """Say what is left to compare, and where the new evaluations are."""
    steps = []
    not_comparable = {each.key for each in answer.differences if each.cause in NOT_RUN_AGAIN}
    n_comparable = answer.recorded - len(not_comparable)
    if not answer.selection["all"] and len(answer.repeated) < n_comparable:
        steps.append(f"Run all {count_noun(n_comparable, 'evaluation')} again: --all")
    causes = Counter(each.cause for each in answer.differences)
    if causes["values"] or causes["environment"] or causes["unstable"]:
        steps.append(
            f"The new evaluations are in {answer.folder}" if answer.folder else "Keep the new evaluations: --folder DIR"
        )
    return steps
