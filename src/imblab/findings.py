"""The result of an audit: findings, each with a state, a number, what it means, and the way out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from textwrap import fill
from typing import Any

from imblab.text import count_noun, format_duration, format_score, join_words

#: States of a finding, the most serious first.
FAILED, CAUTION, NOT_MADE, PASSED = STATES = ("failed", "caution", "not made", "passed")
#: An audit needs this check.
DECISIVE_CHECK = "chance control"
#: Columns of the text of an audit.
TEXT_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check of an audit.

    Attributes
    ----------
    check : str
        The name of the check, such as ``"chance control"``.
    state : str
        One of :data:`STATES`. A check is *not made* where this form of an audit, or this table, does not allow it.
    meaning : str
        What was seen and what it means, in sentences.
    value : float, int or None
        The number that decided: a score, such as the mean with permuted labels, or a count.
    way_out : str
        What to do; empty for a check that passed.
    details : mapping
        Further numbers, for machines.

    Examples
    --------
    >>> Finding("chance control", "passed", "The mean score with permuted labels is at chance.", 0.01).state
    'passed'
    """

    check: str
    state: str
    meaning: str
    value: float | int | None = None
    way_out: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"the state of a finding is {self.state!r}; it is one of {join_words(STATES, 'or')}")

    def text(self) -> str:
        """Return the finding as a paragraph: state, check and number, then the sentences."""
        number = f"  {self.value:,}" if isinstance(self.value, int) else f"  {format_score(self.value)}"
        number = "" if self.value is None else number
        body = " ".join(filter(None, (self.meaning, self.way_out)))
        indent = " " * 10
        return "\n".join(
            (
                f"{self.state:<8}  {self.check}{number}",
                fill(body, TEXT_WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False),
            )
        )


@dataclass(frozen=True, slots=True, repr=False)
class Audit:
    """An audited evaluation, estimator or study: its score, and the findings, shown in 80 columns.

    Attributes
    ----------
    subject : str
        What was audited, such as a command line or the class of an estimator.
    form : str
        ``function``, ``script``, ``estimator`` or ``study``.
    measure : str
        The measure of the score.
    score : float
        The score of the subject as it is: its own claim, or for an estimator the honest score.
    findings : tuple of Finding
        In the order of the checks.
    runs : int
        Evaluations that were run.
    seconds : float
        What they took.

    Examples
    --------
    >>> audit = Audit("toy", "function", "mcc", 0.3, (Finding("chance control", "passed", "At chance."),), 31, 2.0)
    >>> audit.exit_status, audit.counts
    (0, {'passed': 1})
    >>> audit
    Audit of the function toy: mcc 0.300
    <BLANKLINE>
    passed    chance control
              At chance.
    <BLANKLINE>
    1 check: 1 passed. 31 evaluations in 2.0 s.
    """

    subject: str
    form: str
    measure: str
    score: float
    findings: tuple[Finding, ...]
    runs: int
    seconds: float

    @property
    def exit_status(self) -> int:
        """1 if a check failed, 2 if the audit could not be made (no check, or no chance control), else 0."""
        if FAILED in self.counts:
            return 1
        undecided = any(f.check == DECISIVE_CHECK and f.state == NOT_MADE for f in self.findings)
        return 2 if undecided or set(self.counts) <= {NOT_MADE} else 0

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings by state, the most serious first; states without findings are left out."""
        counts = Counter(finding.state for finding in self.findings)
        return {state: counts[state] for state in STATES if counts[state]}

    def finding(self, check: str) -> Finding:
        """Return the finding of a check by its name.

        Parameters
        ----------
        check : str
            Such as ``"chance control"``.

        Returns
        -------
        Finding
            Its state, number, meaning and way out.

        Raises
        ------
        LookupError
            If no check has this name.
        """
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise LookupError(f"no check {check!r}; this audit has {join_words(f.check for f in self.findings)}")

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data for JSON, with the exit status; a number that is not finite is None."""
        return {**_finite(asdict(self)), "exit_status": self.exit_status}

    def __repr__(self) -> str:
        title = fill(f"Audit of the {self.form} {self.subject}: {self.measure} {format_score(self.score)}", TEXT_WIDTH)
        counts = join_words(f"{n} {state}" for state, n in self.counts.items())
        checks, runs = count_noun(len(self.findings), "check"), count_noun(self.runs, "evaluation")
        end = f"{checks}: {counts}. {runs} in {format_duration(self.seconds)}."
        return "\n\n".join((title, *(finding.text() for finding in self.findings), end))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
