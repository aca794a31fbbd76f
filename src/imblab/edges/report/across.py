"""Many data sets: mean ranks over parent tables, the critical-difference diagram, wins and losses."""

from __future__ import annotations

from imblab.analysis import across_datasets
from imblab.analysis.methods import named
from imblab.edges.figures import draw_ranks
from imblab.edges.report.findings import TONES
from imblab.edges.report.model import (
    Gallery,
    Line,
    Panel,
    Section,
    Source,
    Table,
    chance,
    diff,
    header,
    key,
    num,
    slug,
    whole,
    words,
)
from imblab.text import join_words

TITLE = "Across data sets"


def across(source: Source) -> Section:
    """Ranks over sources, learner by learner."""
    found = source.across
    if not source.completeness.is_complete:
        said = f"Nothing is compared over data sets before the design is complete: {source.completeness.counted}."
        return Section("across", TITLE, (said,), (), "Across")
    if not found:
        return Section(
            "across", TITLE, ("All rows come from one parent table: there is nothing to rank over.",), (), "Across"
        )
    lead = [
        "Tasks cut from one parent table are averaged first, so that sources are the units; folds never are. "
        "Strategies under one bar are not told apart by Wilcoxon's signed-rank test, adjusted by Holm over all pairs."
    ]
    noted: dict[str, list[str]] = {}
    for a in found:
        for note in a.notes:
            noted.setdefault(note, []).append(a.learner)
    lead += [f"{join_words(learners)}: {note}." for note, learners in noted.items()]
    panels = [_panel(source, a) for a in found if len(a.rank_table) > 1 and len(a.sources) > 1]
    tables = [t for a in found for t in _tables(source, a)]
    blocks: list[Table | Gallery] = [Gallery("Mean ranks, 1 is best", tuple(panels))] if panels else []
    return Section("across", TITLE, tuple(lead), (*blocks, *tables), "Across")


def _panel(source: Source, found: across_datasets.Across) -> Panel:
    d = across_datasets.diagram(found)
    bars = "with bars over strategies that are not told apart" if d.tested else "without a test"
    said = f"Mean ranks of {len(d.names)} strategies over {d.units} sources with {found.learner}, {bars}."
    title = f"{found.learner}: mean rank over {d.units} sources"
    pairs = [(n, r) for n, r in zip(d.names, d.mean_ranks, strict=True)]
    figure = draw_ranks(slug("ranks", found.learner), title, said, pairs, d.cliques, source.strategies)
    return Panel(figure, {"l": source.learners.index(found.learner)})


def _tables(source: Source, found: across_datasets.Across) -> list[Table]:
    picks = {"l": source.learners.index(found.learner)}
    lines = [
        Line(
            key(found.learner, r.strategy),
            (words(r.strategy), num(r.mean_rank), num(r["mean"])),
            {"s": source.strategies.index(r.strategy)},
        )
        for _, r in found.rank_table.iterrows()
    ]
    columns = header("strategy", ("mean_rank", "mean rank"), ("mean", f"mean {named(found.measure)}"))
    note = _friedman(found)
    first = Table(slug("ranks", found.learner), f"{found.learner}: mean ranks", columns, tuple(lines), note, picks)
    counts = ("sources", "wins", "ties", "losses")
    duels = []
    for _, r in found.contrasts.iterrows():
        tests = (diff(r["mean"]), diff(r["median"]), chance(r.p), chance(r.p_holm))
        cells = (words(f"{r.a} − {r.b}"), *(whole(r[c]) for c in counts), *tests)
        said = words(r.verdict, TONES.get(r.verdict, ""))
        duels.append(Line(key(found.learner, f"{r.a} - {r.b}"), (*cells, said)))
    columns = header("contrast", *counts, ("mean", "mean difference"), "median", "p", ("p_holm", "Holm p"), "verdict")
    name = slug("duels", found.learner)
    second = Table(name, f"{found.learner}: wins over sources", columns, tuple(duels), "", picks)
    return [first, second] if duels else [first]


def _friedman(found: across_datasets.Across) -> str:
    f = found.friedman
    if f is None:
        return ""
    return (
        f"Friedman {f.corrected:.2f} with tie correction, p {chance(f.corrected_p).text} ({f.statistic:.2f} without); "
        f"Iman-Davenport F {f.f:.2f}, p {chance(f.f_p).text}."
    )
