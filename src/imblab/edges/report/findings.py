"""The first pages: the verdict, what was compared, how, and what came out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from imblab.analysis import methods, rebalancing
from imblab.analysis.methods import named
from imblab.analysis.wording import SETTLED, advise, isolates_resampling, list_reasons
from imblab.edges.figures import Row, draw_rows
from imblab.edges.report.model import (
    OPEN,
    Cell,
    Gallery,
    Line,
    Panel,
    Section,
    Source,
    Table,
    chance,
    diff,
    groups,
    header,
    interval,
    key,
    minus,
    num,
    of,
    slug,
    spans,
    words,
)
from imblab.edges.report.model import whole as count
from imblab.text import join_words

#: The title of the first section while evaluations are missing.
NO_VERDICT = "No verdict yet"

#: What stands behind a verdict and does not decide it.
POSTERIOR = ("detectable", "below", "within", "above")
#: Contrasts that are listed before anything else.
MOST = 200
TONES = {"better": "good", "worse": "bad", "equivalent": "even", "identical": "even"}
#: Measures shown beside the primary, as far as the study has them.
BESIDE = ("pr_auc", "recall", "precision", "f1", "mcc", "roc_auc", "brier")


def verdict(source: Source) -> Section:
    """The answer, before anything else; what is missing, while that is not all there."""
    found, whole = source.contrasts, source.completeness
    if not whole.is_complete:
        last = (
            f"This page is exploratory: {source.exploratory}." if source.exploratory else f"Continue: {source.command}"
        )
        first = (*whole.sentences(), last, *_shifted(source))
        return Section("verdict", NO_VERDICT, first, (_missing(source),), NO_VERDICT)
    if found.empty:
        return Section("verdict", "The verdict", (*whole.sentences(), *source.sentences, *_shifted(source)))
    asked = _asked(source)
    said = [_counted(source, group, a, b) for (a, b), group in groups(asked, "a", "b")]
    lead = [*whole.sentences(), *_shifted(source)]
    lead += [f"Everything on this page is exploratory: {source.exploratory}."] if source.exploratory else []
    grids = [_grid(source, own, a, b) for (a, b), own in groups(asked, "a", "b")] if len(source.families) > 1 else []
    table = [_contrasts(source, _settled_first(asked), "verdict", "The contrasts that decide")]
    table = [replace(t, folded=bool(grids)) for t in table if len(asked) <= MOST]
    sentences = tuple(minus(s[0].upper() + s[1:] if s.startswith("across") else s) for s in source.sentences)
    todo = tuple(minus(s) for s in advise(asked, source.study, source.across))
    return Section("verdict", "The verdict", (*lead, *said), (*grids, *table), "Verdict", sentences, todo)


def _shifted(source: Source) -> list[str]:
    """Learners with which no strategy leaves the classes as they are."""
    return [f"{text[0].upper()}{text[1:]}." for text in rebalancing.notes(source.study).values()]


def _missing(source: Source) -> Table:
    """How many evaluations every data set, learner and strategy lacks."""
    whole = source.completeness
    lines = [
        Line(key(*place), (words(", ".join(place)), count(n), count(whole.folds)))
        for place, n in list(whole.missing.items())[:MOST]
    ]
    more = len(whole.missing) - len(lines)
    note = f"{more:,} more lack evaluations." if more else ""
    columns = header(("arm", "data set, learner, strategy"), "missing", ("asked", "of"))
    return Table("missing", "Missing evaluations", columns, tuple(lines), note)


def _asked(source: Source) -> pd.DataFrame:
    """The contrasts that decide: those that a study declares, else those that isolate resampling, else all."""
    found = source.contrasts
    isolating = [isolates_resampling(source.study, a, b) for a, b in zip(found.a, found.b, strict=True)]
    return found[isolating] if source.study.claims.contrasts is None and any(isolating) else found


def _settled_first(found: pd.DataFrame) -> pd.DataFrame:
    """Contrasts by data set and learner, those of them first in which something is settled."""
    settled, names = found.verdict.isin(SETTLED), [found.dataset, found.learner]
    families = {
        "open": ~settled.groupby(names, sort=False).transform("any"),
        "place": found.groupby(names, sort=False).ngroup(),
    }
    order = pd.DataFrame({**families, "own": ~settled})
    return found.loc[order.sort_values(list(order.columns), kind="stable").index]


def _grid(source: Source, found: pd.DataFrame, a: str, b: str) -> Table:
    """The verdicts on one contrast at a glance: a row a data set, a column a learner."""
    cells = {(r.dataset, r.learner): words(_glance(r), TONES.get(r.verdict, "")) for _, r in found.iterrows()}
    lines = [
        Line(d, (words(d), *(cells.get((d, n), words("")) for n in source.learners)), {"d": source.datasets.index(d)})
        for d in source.datasets
        if any((d, n) in cells for n in source.learners)
    ]
    columns = header(("dataset", "data set"), *source.learners)
    return Table(slug("verdict", a, b), f"{a} − {b}", columns, tuple(lines))


def _glance(row: pd.Series[Any]) -> str:
    return "not tested" if math.isnan(row["mean"]) else f"{row.verdict} {diff(row['mean']).text}"


def data_sheet(source: Source) -> Section:
    """What the tables are."""
    known: Mapping[str, Any] = source.facts.get("tables", {})
    extra = ("features", "categorical", ("missing", "missing values")) if known else ()
    lines = []
    for dataset in source.datasets:
        n, positives = source.census[dataset]
        shares = (num(positives / n), num(positives / (n - positives))) if 0 < positives < n else (num(None), num(None))
        first = next(r for r in source.rows if r.dataset == dataset)
        cells = (words(dataset), count(n), count(positives), *shares, *_columns_of(known.get(dataset), bool(known)))
        parts = (count(first.n_train), count(first.n_test), words(parent(source, dataset)))
        own = {"d": source.datasets.index(dataset)}
        lines.append(Line(dataset, (*cells, *parts, words(first.data_fingerprint[:12])), own))
    columns = header(
        ("dataset", "data set"),
        "rows",
        "positives",
        ("share", "positive share"),
        ("odds", "natural ratio"),
        *extra,
        ("n_train", "training rows, first fold"),
        ("n_test", "test rows, first fold"),
        ("source", "parent table"),
        "fingerprint",
    )
    lead = (
        "The rarer class is the positive one unless the study names another. Rows and positives are those that were "
        "tested; the natural ratio is positives over negatives, before any resampling.",
    )
    return Section("data", "The data", lead, (Table("data", "Data sheet", columns, tuple(lines)),), "Data")


def methods_section(source: Source) -> Section:
    """How the evidence was gathered, for a paper."""
    return Section(
        "methods",
        "How it was done",
        tuple(methods.describe_methods(source.study, source.completeness.is_complete)),
        (),
        "Methods",
    )


def scores(source: Source) -> Section:
    """What every strategy scored, with the intervals of its gains."""
    primary = source.study.primary
    beside = [m for m in BESIDE if m in source.summary and m != primary]
    columns = header("strategy", ("mean", named(primary)), "sd", ("gain_none", "over none"))
    columns += header(("gain_none_interval", "interval"), ("gain_threshold", "over threshold"))
    columns += header(("gain_threshold_interval", "interval"), *((m, named(m)) for m in beside))
    tables: list[Table] = []
    panels: list[Panel] = []
    for dataset, learner in source.families:
        own = of(source.summary, dataset, learner)
        lines = [
            Line(
                key(dataset, learner, r.strategy),
                tuple(_score_cells(r, beside)),
                {"s": source.strategies.index(r.strategy)},
            )
            for _, r in own.iterrows()
        ]
        name = slug("scores", dataset, learner)
        caption = f"{dataset}, {learner}"
        folded = len(tables) >= OPEN
        note = rebalancing.note(source.study, learner) or ""
        tables.append(Table(name, caption, columns, tuple(lines), note, source.picks(dataset, learner), folded))
        panels.append(Panel(_fold_scores(source, dataset, learner), source.picks(dataset, learner)))
    level = f"{100 * (1 - source.study.claims.alpha):g} %"
    tested = source.summary[["gain_none_low", "gain_threshold_low"]].notna().any(axis=None)
    lead = (
        f"Scores are means over {spans(list(source.summary.folds), '{:d}')} outer test folds, with the standard "
        "deviation of folds. " + _on_gains(source, level, bool(tested)),
    )
    gallery = Gallery(
        f"{named(primary)} of every fold", tuple(panels), note="A dot is the mean, a thin stroke a test fold."
    )
    return Section("results", "What every strategy scored", lead, (*tables, gallery), "Results")


def _on_gains(source: Source, level: str, tested: bool) -> str:
    """How the gains over the baselines are read."""
    if not tested:
        return "Gains over the two baselines have no interval here, so that none of them was shown."
    said = f"Gains over the two baselines carry their corrected {level} interval, unadjusted"
    if not source.completeness.is_complete:
        return f"{said}. {source.completeness.counted} are there: nothing is decided by them."
    return f"{said}: a difference whose interval holds 0 is no difference that was shown."


def differences(source: Source) -> Section:
    """Every declared contrast with its interval and verdict."""
    found = source.contrasts
    if found.empty:
        return Section("differences", "Paired differences", ("There is no contrast to judge.",))
    tables: list[Table] = []
    panels: list[Panel] = []
    for dataset, learner in source.families:
        own = of(found, dataset, learner)
        if own.empty:
            continue
        name, caption = slug("differences", dataset, learner), f"{dataset}, {learner}"
        table = _contrasts(source, own, name, caption, source.picks(dataset, learner))
        tables.append(replace(table, folded=len(tables) >= OPEN))
        if own["mean"].notna().any():
            panels.append(Panel(_forest(source, own, dataset, learner), source.picks(dataset, learner)))
    known = found[found["mean"].notna()]
    said = join_words(f"{n} {_are(n)} {word}" for word, n in Counter(known.verdict).items()) or "none has a verdict"
    lead = [
        f"Of {len(found)} contrasts, {said}."
        if source.completeness.is_complete
        else f"{source.completeness.counted} are there: differences are shown, and none is tested."
    ]
    if len(known) < len(found):
        lead.append(
            f"{len(found) - len(known)} could not be compared, since an arm lacks a score: nothing is filled in."
        )
    reach = found.detectable.dropna()
    if len(reach):
        lead.append(
            f"The smallest difference in {named(source.study.primary)} that this design could have found (80 % power) "
            f"is {spans(list(reach))}: smaller ones may be there and go unseen."
        )
    note = "The shaded strip is the region of practical equivalence" if found.rope.notna().any() else ""
    if found.low.notna().any() and source.completeness.is_complete:
        note += f"{'; a' if note else 'A'} whisker that holds 0 shows no difference"
    note += "." if note else ""
    gallery = Gallery("Differences and intervals", tuple(panels), note=note, vital=True)
    return Section("differences", "Paired differences", tuple(lead), (gallery, *tables), "Differences")


def _contrasts(
    source: Source, found: pd.DataFrame, name: str, caption: str, picks: dict[str, int] | None = None
) -> Table:
    """Contrasts as a table; probabilities of the posterior stand beside the verdict where there are any."""
    columns = header("contrast", "verdict", ("mean", "difference"), ("low", "from"), ("high", "to"), "p")
    columns += header(
        ("p_holm", "Holm p"), "detectable", ("below", "P(below)"), ("within", "P(within)"), ("above", "P(above)")
    )
    lines = []
    for _, r in found.iterrows():
        where = f"{r.dataset}, {r.learner}: " if picks is None else ""
        numbers = (diff(r["mean"]), diff(r.low), diff(r.high), chance(r.p), chance(r.p_holm))
        said = words(r.verdict, TONES.get(r.verdict, ""))
        cells = (words(f"{where}{r.a} − {r.b}"), said, *numbers, *(num(r[n]) for n in POSTERIOR))
        own = {"s": source.strategies.index(r.a)} if r.a in source.strategies else {}
        own |= source.picks(r.dataset, r.learner) if picks is None else {}
        lines.append(Line(key(r.dataset, r.learner, f"{r.a} - {r.b}"), tuple(cells), own))
    return Table(name, caption, columns, tuple(lines), _why(source, found), picks or {})


def _why(source: Source, found: pd.DataFrame) -> str:
    """The reasons that are more than a p-value, and what is known of the baseline."""
    shifted = [rebalancing.note(source.study, name) for name in dict.fromkeys(found.learner)]
    return minus("; ".join([*list_reasons(found), *(text for text in shifted if text)]))


def _columns_of(facts: Mapping[str, Any] | None, known: bool) -> tuple[Cell, ...]:
    """What the evidence recorded of the columns of a table; nothing where it recorded no table."""
    if facts is None:
        return (words(""),) * 3 if known else ()
    return count(facts["features"]), count(len(facts["categorical"])), count(sum(facts["missing"].values()))


def _score_cells(row: pd.Series[Any], beside: list[str]) -> list[Cell]:
    found = [words(row.strategy), num(row["mean"]), num(row.sd)]
    for base in ("none", "threshold"):
        found += [diff(row[f"gain_{base}"]), interval(row[f"gain_{base}_low"], row[f"gain_{base}_high"])]
    return [*found, *(num(row[m]) for m in beside)]


def _fold_scores(source: Source, dataset: str, learner: str) -> Any:
    primary, frame = source.study.primary, source.frame
    own = of(frame, dataset, learner)
    given = []
    for strategy in (s for s in source.strategies if s in set(own.strategy)):
        values = own[(own.strategy == strategy) & (own.status == "ok")][primary].dropna()
        mean = float(values.mean()) if len(values) else math.nan
        given.append(Row(strategy, strategy, mean, strokes=tuple(values)))
    said = f"Mean and folds of {named(primary)} for {len(given)} strategies on {dataset} with {learner}."
    name = slug("scores", dataset, learner)
    return draw_rows(name, f"{dataset}, {learner}", said, given, source.strategies, named(primary))


def _forest(source: Source, own: pd.DataFrame, dataset: str, learner: str) -> Any:
    primary = source.study.primary
    given = [
        Row(f"{r.a} − {r.b}", r.a if r.a in source.strategies else source.strategies[0], r["mean"], r.low, r.high)
        for _, r in own[own["mean"].notna()].iterrows()
    ]
    said = f"Differences in {named(primary)} with their intervals on {dataset} with {learner}."
    region = float(own.rope.iloc[0])
    name = slug("differences", dataset, learner)
    label = f"difference in {named(primary)}"
    return draw_rows(name, f"{dataset}, {learner}", said, given, source.strategies, label, 0.0, region)


def _counted(source: Source, group: pd.DataFrame, a: str, b: str) -> str:
    said = join_words(f"{w} in {n}" for w, n in Counter(group.verdict).items())
    where = "comparison" if len(group) == 1 else "comparisons"
    equal = ", its equal without resampling," if isolates_resampling(source.study, a, b) else ""
    what = f"{a} against {b}{equal}"
    means = group["mean"].dropna()
    size = (
        f" The difference lies between {diff(means.min()).text} and {diff(means.max()).text}."
        if len({diff(m).text for m in means}) > 1
        else ""
    )
    return f"{what} is {said} of {len(group)} {where}.{size}"


def parent(source: Source, dataset: str) -> str:
    """The parent table of a data set; empty where nobody named one."""
    facts = source.facts.get("tables", {}).get(dataset, {})
    return str(facts.get("source") or source.study.datasets.get(dataset, {}).get("parent") or "")


def _are(n: int) -> str:
    return "is" if n == 1 else "are"
