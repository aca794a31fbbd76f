"""The answer of a study on one screen of a terminal: at most 40 lines for any study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

import pandas as pd

from imblab.analysis.compare import describe_verdict
from imblab.analysis.methods import MOST_PROBABLE, gain_over, named
from imblab.analysis.paired import BASELINES
from imblab.analysis.recommendation import NAMED_SCORES
from imblab.analysis.text_tables import describe_recalls, format_gain, list_exploratory, percent
from imblab.analysis.wording import describe_across
from imblab.result import Family, RecommendedStrategy, StudyResult
from imblab.text import capitalise, count_noun, format_score

MAX_SCREEN_LINES = 40
#: Data sets and learners with two lines each; of more, every data set has one line.
MAX_FAMILIES = 8
#: Data sets with a line; the others are counted.
MAX_DATASETS = 20
#: Columns that names need at least: scores and intervals give way to them.
MIN_NAME_COLUMNS = 26
MAX_HEADER_CHARACTERS = 12
#: The ends of a sentence and of a name that were cut.
_CUT, _ELLIPSIS = " ...", "…"
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)`]\.) (?=[A-Z`])")


@dataclass(frozen=True, slots=True)
class _Section:
    """Sentences as one paragraph, as lines, or as a list with a title; ``least`` and ``most`` count lines.

    ``rank`` is the place in the order in which sections are given room.
    """

    sentences: Sequence[str]
    least: int
    most: int
    rank: int
    title: str = ""
    is_paragraph: bool = True

    def lines(self, width: int, limit: int | None = None) -> list[str]:
        limit = self.most if limit is None else limit
        if not self.sentences or limit < (2 if self.title else 1):
            return []
        if self.title:
            return [self.title, *_list_within(self.sentences, width, limit - 1)]
        if self.is_paragraph:
            return _paragraph_within(self.sentences, width, limit)
        return _cut_at([line for text in self.sentences for line in _wrap(text, width)], limit, width)


#: An interval in a line of the table.
_INTERVAL = re.compile(r"\[[+-]?\d")


def answer_lines(result: StudyResult, width: int, steps: Sequence[str] = ()) -> list[str]:
    """Return the answer of a study: headline, recommendation, table, what is missing, what the data cannot tell, steps.

    At most ``MAX_SCREEN_LINES`` lines, none longer than ``width``: sentences that do not fit are left out from the end
    of their paragraph, steps from the end of their list, and long names are cut in the middle.
    """
    answer, incomplete = result.answer, () if result.completeness.is_complete else result.completeness.sentences()
    missing = [text for text in answer.missing if text not in incomplete]
    if not any(name in result.study.strategy_names for name in BASELINES):
        missing = [*(text for text in answer.checks if "has no baseline" in text), *missing]
    lines_of = _family_lines if len(result.families) <= MAX_FAMILIES else _dataset_lines
    table = [] if result.summary.empty else lines_of(result, width)
    cautions = [text for text in answer.checks if text.startswith("Caution") and text not in missing]
    first = result.completeness.first_without_scores
    is_told = first is not None and first[1] in answer.headline
    reason = () if is_told else result.completeness.first_reason()
    exploratory = [f"{capitalise(text)}." for text in list_exploratory(result.contrasts)]
    sections = {
        "headline": _Section(incomplete or [answer.headline], 2, 5, 0, is_paragraph=False),
        "use": _Section(answer.recommendation if table else answer.recommendation[:1], 3, 8, 1),
        "legend": _Section(list(_explain_table(result, table)), 1, 2, 2),
        "classes": _Section(list(describe_recalls(result)), 0, 8, 4, is_paragraph=False),
        "across": _Section(list(_across_sentences(result)), 1, 3, 5),
        "missing": _Section([*exploratory, *missing], 1, 4, 3),
        "reason": _Section(reason, 0, 3, 9),
        "limits": _Section([*cautions, *answer.limits], 0, 5, 8),
        "findings": _Section(answer.findings, 0, 4, 7),
        "steps": _Section(steps, 4, 8, 6, "Next steps"),
    }
    below = ("classes", "across", "missing", "reason", "findings", "limits")
    groups = (("headline",), ("use",), ("table", "legend"), below, ("steps",))
    room = MAX_SCREEN_LINES - len(table) - (len(groups) - 1)
    shares = _share_room(sections, room, width)
    blocks = {name: section.lines(width, shares[name]) for name, section in sections.items()} | {"table": table}
    parts = [[line for name in group for line in blocks[name]] for group in groups]
    lines = [line for part in parts if part for line in (*part, "")]
    return lines[:-1]


def _share_room(sections: dict[str, _Section], room: int, width: int) -> dict[str, int]:
    """Give every section its least number of lines, then the remaining room in the order of importance."""
    lengths = {name: len(section.lines(width)) for name, section in sections.items()}
    shares = {name: min(lengths[name], section.least) for name, section in sections.items()}
    left = room - sum(shares.values())
    for name in sorted(sections, key=lambda name: sections[name].rank):
        more = max(0, min(lengths[name] - shares[name], left))
        shares[name], left = shares[name] + more, left - more
    return shares


def _paragraph_within(sentences: Sequence[str], width: int, limit: int) -> list[str]:
    """Wrap as many sentences as fit some lines; a first one that is too long for them is cut."""
    sentences = [part for text in sentences for part in _SENTENCE_END.split(text)]
    lines = _cut_at(_wrap(sentences[0], width), limit, width)
    for n in range(2, len(sentences) + 1):
        longer = _wrap(" ".join(sentences[:n]), width)
        if len(longer) > limit:
            break
        lines = longer
    return lines


def _list_within(items: Sequence[str], width: int, limit: int) -> list[str]:
    """Wrap as many items as fit some lines, each under a dash; an item that is too long for them is left out."""
    lines: list[str] = []
    for item in items:
        longer = _wrap(item, width, "- ")
        if len(lines) + len(longer) <= limit:
            lines += longer
    return lines


def _wrap(text: str, width: int, dash: str = "") -> list[str]:
    # A break at a hyphen would tear ranges and options apart.
    return wrap(text, width, initial_indent=dash, subsequent_indent=" " * len(dash), break_on_hyphens=False)


def _cut_at(lines: Sequence[str], limit: int, width: int) -> list[str]:
    if len(lines) <= limit:
        return list(lines)
    last = lines[limit - 1]
    if len(last) + len(_CUT) > width:
        last = last[: width - len(_CUT)].rpartition(" ")[0] or last[: width - len(_CUT)]
    return [*lines[: limit - 1], f"{last}{_CUT}"]


def _shorten_name(name: str, width: int) -> str:
    """Cut a name in the middle."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}{_ELLIPSIS}{name[len(name) - tail :]}"


def _across_sentences(result: StudyResult) -> Iterator[str]:
    """Say what holds over parent data sets, for the primary contrasts: first with the recommended learner."""
    primary, chosen = _primary_pairs(result), result.recommendation.overall
    for item in sorted(result.across, key=lambda each: each.learner != chosen.learner):
        rows = item.contrasts.loc[[pair in primary for pair in zip(item.contrasts.a, item.contrasts.b, strict=True)]]
        if len(rows):
            text = describe_across(replace(item, contrasts=rows), result.study)
            yield capitalise(text)


def _explain_table(result: StudyResult, table: Sequence[str]) -> Iterator[str]:
    """Say what the verdicts of a table are on, and what its intervals are, as far as it has them."""
    if result.summary.empty:
        return
    if pairs := _primary_pairs(result):
        which = " - ".join(pairs[0]) if len(pairs) == 1 else f"{len(pairs)} primary contrasts"
        yield f"Verdict on {which} in {named(result.study.primary)}."
    if any(_INTERVAL.search(line) for line in table):
        yield f"{gain_over(result.study, 's').split()[0].capitalize()} with {percent(result.study)} intervals."


def _primary_pairs(result: StudyResult) -> list[tuple[str, str]]:
    primary = result.answer.primary
    return list(dict.fromkeys(zip(primary.a, primary.b, strict=True)))


def _family_lines(result: StudyResult, width: int) -> list[str]:
    """Return two lines per data set and learner: the recommended strategy with its scores, and its gains."""
    baselines = [name for name in BASELINES if name in result.study.strategy_names]
    measures = _shown_measures(result)
    rows = [["data set, learner" if len(result.study.learners) > 1 else "data set", "use"]]
    rows[0] += [f">{_shorten_name(named(measure), MAX_HEADER_CHARACTERS)}" for measure in measures]
    gains = [[*(f"{gain_over(result.study)} {name}" for name in baselines), "verdict"]]
    for family in result.families:
        chosen = result.recommendation.families[family]
        scored = _row_of(result.summary, family, chosen)
        name = ", ".join(family) if len(result.study.learners) > 1 else family[0]
        rows.append([name, chosen.label or "no recommendation", *(_score(scored, measure) for measure in measures)])
        cells = [_gain_cell(scored, chosen.strategy, baseline) for baseline in baselines]
        gains.append([*cells, _verdict(result, family)])
    columns = list(zip(*gains, strict=True))
    columns = columns if _primary_pairs(result) else columns[:-1]
    while len(columns) > 2 and sum(max(map(len, each)) + 2 for each in columns) > width:
        del columns[0]  # the gain over the other baseline and the verdict stay
    if sum(_widths(rows)[:2]) > _name_room(rows, width, 2):
        rows = [[row[0], _abbreviate(row[1]), *row[2:]] for row in rows]
    above = _align(rows, width, names=2)
    below = [f"  {text}" for text in _align([*zip(*columns, strict=True)], width - 2, names=0)] if columns else []
    return [line for lines in zip(above, *([below] if below else []), strict=True) for line in lines]


def _abbreviate(label: str) -> str:
    """Shorten the label of a strategy: ``SMOTE, tuned threshold`` to ``SMOTE, tuned``."""
    shorter = label.replace(", tuned threshold", ", tuned").replace(", threshold ", ", at ")
    return shorter.replace(f", {MOST_PROBABLE}", ", at .5")


def _dataset_lines(result: StudyResult, width: int) -> list[str]:
    """Return one line per data set: its recommended learner and strategy, score, gain and verdict."""
    study, datasets = result.study, result.recommendation.datasets
    baseline = next((name for name in reversed(BASELINES) if name in study.strategy_names), None)
    header = ["data set", "learner", "strategy", f">{_shorten_name(named(study.primary), MAX_HEADER_CHARACTERS)}"]
    rows = [[*header, *([f"{gain_over(study)} {baseline}"] if baseline else []), "verdict"]]
    for dataset, chosen in list(datasets.items())[:MAX_DATASETS]:
        family = dataset, chosen.learner or ""
        scored = _row_of(result.summary, family, chosen)
        gain = [_gain_cell(scored, chosen.strategy, baseline)] if baseline else []
        names = [dataset, chosen.learner or "-", chosen.strategy or "-"]
        verdict = _verdict(result, family) if chosen.strategy is not None else "-"
        rows.append([*names, _score(scored, study.primary), *gain, verdict])
    if not _primary_pairs(result):
        rows = [row[:-1] for row in rows]
    if baseline and _name_room(rows, width, 3) < MIN_NAME_COLUMNS:
        rows = [[*row[:4], row[4].partition(" [")[0], *row[5:]] for row in rows]
    more = len(datasets) - MAX_DATASETS
    return [*_align(rows, width, names=3), *([f"and {count_noun(more, 'data set')} more: --full"] if more > 0 else [])]


def _shown_measures(result: StudyResult) -> list[str]:
    known = (name for name in NAMED_SCORES if name in result.summary)
    return list(dict.fromkeys((result.study.primary, *known)))


def _row_of(summary: pd.DataFrame, family: Family, chosen: RecommendedStrategy) -> pd.Series | None:
    rows = summary[(summary.dataset == family[0]) & (summary.learner == family[1])]
    rows = rows[rows.strategy == chosen.strategy]
    return None if rows.empty else rows.iloc[0]


def _score(row: pd.Series | None, measure: str) -> str:
    return "-" if row is None else format_score(row.get(measure))


def _gain_cell(row: pd.Series | None, strategy: str | None, baseline: str) -> str:
    return "the baseline" if strategy == baseline else "-" if row is None else format_gain(row, baseline)


def _verdict(result: StudyResult, family: Family) -> str:
    """Return the verdict on the primary contrasts of a data set and learner, in few words."""
    contrasts, pairs = result.contrasts, _primary_pairs(result)
    rows = contrasts[(contrasts.dataset == family[0]) & (contrasts.learner == family[1])]
    alpha = result.study.claims.alpha
    primary = (row for row in rows.to_dict("records") if (row["a"], row["b"]) in pairs)
    return _summarize_verdicts(describe_verdict(row, alpha) for row in primary)


def _summarize_verdicts(verdicts: Iterable[str]) -> str:
    """Return the one verdict of some contrasts, or how many are decided."""
    items = list(verdicts)
    if len(set(items)) <= 1:
        return items[0] if items else "-"
    for told in (("better", "worse"), ("equivalent", "identical"), tuple(items[:1])):
        words = sorted({item for item in items if item.partition(" by ")[0] in told})
        if parts := [f"{items.count(word)} {word}" for word in words]:
            break
    return f"{', '.join(parts)} of {len(items)}"


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(cell.lstrip(">")) for cell in column) for column in zip(*rows, strict=True)]


def _name_room(rows: Sequence[Sequence[str]], width: int, names: int) -> int:
    """Columns that are left for the first ``names`` cells of a line."""
    return width - sum(w + 2 for w in _widths(rows)[names:]) - 2 * max(names - 1, 0)


def _align(rows: Sequence[Sequence[str]], width: int, names: int) -> list[str]:
    """Set cells below each other; the first ``names`` columns are cut, and scores on the right dropped, where needed.

    A column whose header begins with ``>`` is set to the right.
    """
    while names and _name_room(rows, width, names) < MIN_NAME_COLUMNS and _widths(rows)[names + 1 :]:
        if not rows[0][-1].startswith(">"):
            break
        rows = [row[:-1] for row in rows]
    widths, room = _widths(rows), _name_room(rows, width, names)
    while names and sum(widths[:names]) > room and max(widths[:names]) > 1:
        longest = max(range(names), key=widths.__getitem__)
        widths[longest] -= 1
    lines = []
    for row in rows:
        cells = [_shorten_name(cell.lstrip(">"), w) for cell, w in zip(row, widths, strict=True)]
        right = [name.startswith(">") for name in rows[0]]
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
        lines.append(_shorten_name("  ".join(padded).rstrip(), width))
    return lines
