"""Verdict, paired differences and ranks over data sets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from imblab.analysis import outer_splits
from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.claims import PRIMARY, isolates_resampling
from imblab.analysis.compare import ESTIMATOR_LABELS, NOT_APPLICABLE, describe_estimators, describe_verdict
from imblab.analysis.methods import named
from imblab.analysis.text_tables import ROW_ERRORS_NOTE, list_missing_effects
from imblab.analysis.wording import SETTLED, describe_chance, list_reasons
from imblab.edges.figures.axes import Figure
from imblab.edges.figures.row_plot import DotRow, draw_ranks, draw_rows
from imblab.edges.report.data import ReportData
from imblab.edges.report.elements import (
    MAX_OPEN_BLOCKS,
    Gallery,
    Line,
    Panel,
    Picks,
    ReportSection,
    Table,
    columns,
    count_cell,
    difference_cell,
    file_name,
    p_value_cell,
    score_cell,
    text_cell,
    typeset_minus,
    verdict_cell,
)
from imblab.edges.report.record import MAX_FIRST_ROWS, missing_table
from imblab.edges.report.scores import forest_gallery
from imblab.text import capitalise, count_noun, format_range, join_words

#: Columns of the mean effect over parent data sets.
_EFFECT_HEADINGS = {
    **{"effect": "mean effect", "effect_low": "from", "effect_high": "to"},
    **{"prediction_low": "a further one from", "prediction_high": "to"},
}


def verdict_section(data: ReportData) -> ReportSection:
    """Build remarks and figure of the first screen, or a table of missing evaluations; the template adds the answer."""
    completeness = data.result.completeness
    shifted = [f"{capitalise(note)}." for note in outer_splits.rebalancing_notes(data.study).values()]
    if not completeness.is_complete:
        last = f"This page is exploratory: {data.exploratory}." if data.exploratory else f"Continue: {data.command}"
        lead = (*completeness.sentences()[1:], last, *shifted)
        return ReportSection("verdict", "No verdict yet", lead, (missing_table(data),))
    lead = (*completeness.sentences(), *shifted)
    if data.exploratory:
        lead += (f"Everything on this page is exploratory: {data.exploratory}.",)
    return ReportSection("verdict", "Verdict", lead, tuple(forest_gallery(data)))


def differences_section(data: ReportData) -> ReportSection:
    """Build the verdicts at a glance, then every declared contrast with its interval and verdict."""
    title, contrasts = "Contrasts and verdicts", data.result.contrasts
    if contrasts.empty:
        lead_alone = ("The study has no contrast.", *data.result.sentences)
        return ReportSection("differences", title, lead_alone, (), "Contrasts")
    lead = _count_contrasts(data)
    tables: list[Table] = []
    panels: list[Panel] = []
    if data.result.completeness.is_complete:
        lead, tables = _verdicts_at_a_glance(data, lead)
    on_axis = contrasts[["mean", "low", "high"]].to_numpy(dtype=float).ravel().tolist()
    n_open = len(tables) + MAX_OPEN_BLOCKS
    for dataset, learner in data.families:
        family = contrasts[(contrasts.dataset == dataset) & (contrasts.learner == learner)]
        if family.empty:
            continue
        name, picks = file_name("differences", dataset, learner), data.picks(dataset, learner)
        table = _contrast_table(data, family, name, f"{dataset}, {learner}", picks)
        tables.append(replace(table, folded=len(tables) >= n_open))
        if family["mean"].notna().any():
            panels.append(Panel(_draw_differences(data, family, (name, f"{dataset}, {learner}"), on_axis), picks))
    notes = []
    if contrasts.rope.notna().any():
        notes.append("The shaded strip is the region of practical equivalence.")
    if contrasts.low.notna().any() and data.result.completeness.is_complete:
        notes.append("Intervals that include 0 are not significant.")
    gallery = Gallery("Differences and intervals", tuple(panels), note=" ".join(notes), vital=True)
    lead = [*lead, *(estimators := describe_estimators(contrasts))]
    more = [s for s in data.result.sentences if s not in estimators]
    sentences = [typeset_minus(capitalise(s) if s.startswith("across") else s) for s in more]
    told = tuple(sentences) if data.result.completeness.is_complete else ()
    return ReportSection("differences", title, tuple(lead), (gallery, *tables), "Contrasts", told)


def _verdicts_at_a_glance(data: ReportData, lead: Sequence[str]) -> tuple[list[str], list[Table]]:
    """The numbers of verdicts by primary contrast, before further sentences, and their tables."""
    primary = _primary_contrasts(data)
    pairs = [(str(a), str(b), rows) for (a, b), rows in primary.groupby(["a", "b"], sort=False)]
    tables = [_verdict_grid(data, *pair) for pair in pairs] if len(data.families) > 1 else []
    if len(primary) <= MAX_FIRST_ROWS:
        table = _contrast_table(data, _settled_first(primary), "verdict", "Primary contrasts")
        tables.append(replace(table, folded=bool(tables)))
    return [*(_count_verdicts(data, *pair) for pair in pairs), *lead], tables


def ranks_section(data: ReportData) -> ReportSection:
    """Build mean ranks over parent data sets, learner by learner."""
    lead: tuple[str, ...]
    if not data.result.completeness.is_complete:
        lead = (f"Data sets are not compared before the design is complete: {data.result.completeness.counted}.",)
    elif not data.result.across:
        lead = ("All rows come from one parent data set: ranks need two.",)
    else:
        lead = (
            "Data sets with one parent are averaged first: the units are parent data sets, never folds. Strategies "
            "under one bar do not differ significantly (Wilcoxon's signed-rank test, Holm over all pairs).",
            *_across_notes(data),
        )
    panels = [
        Panel(_draw_mean_ranks(data, item), {"l": data.learners.index(item.learner)})
        for item in data.result.across
        if len(item.rank_table) > 1 and len(item.parents) > 1
    ]
    galleries = [Gallery("Mean ranks, 1 is best", tuple(panels))] if panels else []
    tables = [table for item in data.result.across for table in _across_tables(data, item)]
    return ReportSection("across", "Across data sets", lead, (*galleries, *tables))


def _primary_contrasts(data: ReportData) -> pd.DataFrame:
    """The primary contrasts; all that are declared in the older spelling, or where none is primary."""
    contrasts = data.result.contrasts
    is_primary = contrasts.family == PRIMARY
    return contrasts[is_primary] if data.study.claims.contrasts is None and is_primary.any() else contrasts


def _settled_first(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Contrasts by data set and learner, families and contrasts with a settled verdict first."""
    is_open, names = ~contrasts.verdict.isin(SETTLED), [contrasts.dataset, contrasts.learner]
    all_open = is_open.groupby(names, sort=False).transform("all")
    number = contrasts.groupby(names, sort=False).ngroup()
    order = pd.DataFrame({"all_open": all_open, "family": number, "is_open": is_open})
    return contrasts.loc[order.sort_values(list(order.columns), kind="stable").index]


def _verdict_grid(data: ReportData, a: str, b: str, contrasts: pd.DataFrame) -> Table:
    """The verdicts on one contrast: one row per data set, one column per learner."""
    cells = {}
    for row in contrasts.to_dict("records"):
        verdict, by, region = describe_verdict(row, data.study.claims.alpha).partition(" by ")
        size = difference_cell(row["mean"]).text
        text = "not tested" if math.isnan(row["mean"]) else f"{verdict} {size}{by and f', by {region}'}"
        cells[row["dataset"], row["learner"]] = verdict_cell(text)
    lines = [
        Line(d, (text_cell(d), *(cells.get((d, n), text_cell("")) for n in data.learners)), data.picks(d))
        for d in data.datasets
        if any((d, n) in cells for n in data.learners)
    ]
    header = columns(("dataset", "data set"), *data.learners)
    return Table(file_name("verdict", a, b), data.pair(a, b), header, tuple(lines))


def _count_verdicts(data: ReportData, a: str, b: str, contrasts: pd.DataFrame) -> str:
    counts = join_words(f"{verdict} in {n}" for verdict, n in _tally_verdicts(data, contrasts).items())
    counterpart = ", its counterpart without resampling," if isolates_resampling(data.study, a, b) else ""
    means = contrasts["mean"].dropna()
    ends = [difference_cell(f(means)).text for f in (min, max)] if len(means) else []
    size = f" The difference lies between {ends[0]} and {ends[1]}." if len(set(ends)) > 1 else ""
    comparisons = count_noun(len(contrasts), "comparison")
    chance = _describe_chance(data, contrasts) if len(contrasts) > 1 else ""
    first, second = data.label_of.get(a, a), data.label_of.get(b, b)
    return f"{first} compared with {second}{counterpart} is {counts} of {comparisons}{chance}.{size}"


def _tally_verdicts(data: ReportData, contrasts: pd.DataFrame) -> Counter[str]:
    return Counter(describe_verdict(row, data.study.claims.alpha) for row in contrasts.to_dict("records"))


def _describe_chance(data: ReportData, contrasts: pd.DataFrame) -> str:
    chance = describe_chance(contrasts, data.study.claims.alpha)
    return chance and f"{chance} better or worse"


def _draw_differences(
    data: ReportData, family: pd.DataFrame, name_and_title: tuple[str, str], on_axis: Sequence[float]
) -> Figure:
    measure = data.primary_label
    rows = []
    for r in family[family["mean"].notna()].to_dict("records"):
        strategy = r["a"] if r["a"] in data.strategies else data.strategies[0]
        rows.append(DotRow(data.pair(r["a"], r["b"]), strategy, r["mean"], r["low"], r["high"]))
    name, title = name_and_title
    description = f"Differences in {measure} with their intervals on {title.replace(', ', ' with ')}."
    x_label, region = f"difference in {measure}", float(family.rope.iloc[0])
    return draw_rows(name, title, description, rows, data.looks, x_label, 0.0, region, on_axis)


def _count_contrasts(data: ReportData) -> list[str]:
    contrasts = data.result.contrasts
    compared = contrasts[contrasts["mean"].notna()]
    tally = _tally_verdicts(data, compared)
    counts = join_words(f"{count_noun(n, 'is', 'are')} {verdict}" for verdict, n in tally.items())
    chance = _describe_chance(data, contrasts)
    sentences = [
        f"Of {count_noun(len(contrasts), 'contrast')}, {counts or 'none has a verdict'}{chance}."
        if data.result.completeness.is_complete
        else f"There are {data.result.completeness.counted}: differences are shown without a test."
    ]
    if n_absent := int((contrasts.verdict == NOT_APPLICABLE).sum()):
        absent = count_noun(n_absent, "contrast is", "contrasts are")
        reason = "since a strategy does not apply there; they belong to no family."
        sentences.append(f"{absent} not applicable, {reason}")
    if n_missing := len(contrasts) - len(compared) - n_absent:
        sentences.append(
            f"{n_missing} could not be compared, since a strategy has no score in some folds: missing scores are never "
            "imputed."
        )
    detectable = contrasts.detectable.dropna()
    if len(detectable):
        sentences.append(
            f"The smallest difference in {data.primary_label} that this design detects with 80 % power is "
            f"{format_range(detectable)}; smaller ones may go undetected."
        )
    return sentences


def _contrast_table(
    data: ReportData, contrasts: pd.DataFrame, name: str, caption: str, picks: Picks | None = None
) -> Table:
    """Contrasts with tests and posterior; without ``picks`` of the table, its rows name data set and learner."""
    header = columns(
        *("contrast", "verdict", ("mean", "difference"), ("low", "from"), ("high", "to"), "p", ("p_holm", "Holm p")),
        *("q", "detectable", ("below", "P(below)"), ("within", "P(within)"), ("above", "P(above)")),
        ("estimator", "standard error"),
    )
    families = set(zip(contrasts.dataset, contrasts.learner, strict=True))
    errors = {family: of for family, of in data.result.row_errors.items() if family in families}
    header += columns(("se", "SE"), ("row_se", "row-level SE")) if errors else ()
    lines = []
    for row in contrasts.to_dict("records"):
        dataset, learner = row["dataset"], row["learner"]
        pair, plain = data.pair(row["a"], row["b"]), f"{row['a']} − {row['b']}"
        line_picks = {"s": data.strategies.index(row["a"])} if row["a"] in data.strategies else {}
        if picks is None:
            pair, plain = (f"{dataset}, {learner}: {text}" for text in (pair, plain))
            line_picks |= data.picks(dataset, learner)
        cells = (
            text_cell(pair, plain=plain),
            verdict_cell(describe_verdict(row, data.study.claims.alpha)),
            *(difference_cell(row[n]) for n in ("mean", "low", "high")),
            *(p_value_cell(row[n]) for n in ("p", "p_holm", "q")),
            *(score_cell(row[n]) for n in ("detectable", "below", "within", "above")),
            text_cell("" if math.isnan(row["se"]) else ESTIMATOR_LABELS[row["estimator"]]),
        )
        if errors:
            row_error = errors.get((dataset, learner), {}).get((row["a"], row["b"]))
            cells = *cells, score_cell(row["se"]), score_cell(row_error)
        lines.append(Line(f"{dataset}/{learner}/{row['a']} - {row['b']}", cells, line_picks))
    shifted = [outer_splits.rebalancing_note(data.study, learner) for learner in dict.fromkeys(contrasts.learner)]
    note = "; ".join([*list_reasons(contrasts), *(text for text in shifted if text)])
    note = f"{note} {ROW_ERRORS_NOTE}".strip() if errors else note
    return Table(name, caption, header, tuple(lines), typeset_minus(note), picks or {})


def _across_notes(data: ReportData) -> list[str]:
    learners: dict[str, list[str]] = {}
    for item in data.result.across:
        for note in (*item.notes, *list_missing_effects(item)):
            learners.setdefault(note, []).append(item.learner)
    return [f"{join_words(names)}: {note}." for note, names in learners.items()]


def _draw_mean_ranks(data: ReportData, across: AcrossDatasets) -> Figure:
    ranks = list(zip(across.rank_table.strategy, across.rank_table.mean_rank, strict=True))
    n_parents = len(across.parents)
    bars = "with bars over strategies that do not differ significantly" if across.friedman else "without a test"
    parents = f"{n_parents} parent data sets"
    description = f"Mean ranks of {len(ranks)} strategies over {parents} with {across.learner}, {bars}."
    title = f"{across.learner}: mean rank over {parents}"
    return draw_ranks(file_name("ranks", across.learner), title, description, ranks, across.cliques, data.looks)


def _across_tables(data: ReportData, across: AcrossDatasets) -> list[Table]:
    learner, picks = across.learner, {"l": data.learners.index(across.learner)}
    lines = []
    for strategy, rank, mean in across.rank_table[["strategy", "mean_rank", "mean"]].itertuples(index=False, name=None):
        cells = data.strategy_cell(strategy), score_cell(rank), score_cell(mean)
        lines.append(Line(f"{learner}/{strategy}", cells, {"s": data.strategies.index(strategy)}))
    header = columns("strategy", ("mean_rank", "mean rank"), ("mean", f"mean {named(across.measure)}"))
    name, caption = file_name("ranks", learner), f"{learner}: mean ranks"
    tables = [Table(name, caption, header, tuple(lines), _describe_friedman(across), picks)]
    lines = []
    for row in across.contrasts.to_dict("records"):
        contrast_cells = (
            text_cell(data.pair(row["a"], row["b"]), plain=f"{row['a']} − {row['b']}"),
            *(count_cell(row[n]) for n in ("parents", "wins", "ties", "losses")),
            *(difference_cell(row[n]) for n in ("mean", "median")),
            *(p_value_cell(row[n]) for n in ("p", "p_holm")),
            verdict_cell(describe_verdict(row, data.study.claims.alpha)),
            *(difference_cell(row[n]) for n in _EFFECT_HEADINGS),
            *(score_cell(row[n]) for n in ("below", "within", "above")),
        )
        lines.append(Line(f"{learner}/{row['a']} - {row['b']}", contrast_cells))
    header = columns(
        *("contrast", ("parents", "parent data sets"), "wins", "ties", "losses"),
        *(("mean", "mean difference"), "median", "p", ("p_holm", "Holm p"), "verdict"),
        *_EFFECT_HEADINGS.items(),
        *(("below", "P(below)"), ("within", "P(within)"), ("above", "P(above)")),
    )
    name, caption = file_name("across", learner), f"{learner}: contrasts over parent data sets"
    return [*tables, Table(name, caption, header, tuple(lines), "", picks)] if lines else tables


def _describe_friedman(across: AcrossDatasets) -> str:
    f = across.friedman
    if f is None:
        return ""
    return (
        f"Friedman {f.corrected:.2f} with tie correction, p {p_value_cell(f.corrected_p).text} ({f.statistic:.2f} "
        f"without); Iman-Davenport F {f.f:.2f}, p {p_value_cell(f.f_p).text}."
    )
