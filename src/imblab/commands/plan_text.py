"""Text of ``imblab plan``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from imblab.analysis import text_tables
from imblab.analysis.claims import PRIMARY, SECONDARY
from imblab.analysis.methods import named
from imblab.commands.footprint import describe_limit
from imblab.edges import terminal
from imblab.stats.paired_tests import spread_range
from imblab.text import count_noun, format_bytes, format_duration, join_words

#: Data sets up to this number are described in full.
MAX_DESCRIBED = 5
#: Lines of a plan of more data sets, or of tables with more than two classes, without ``--full``.
MAX_LINES = 40
#: Rarest classes that a table lists, from most to fewest, until a plan has few enough lines; None lists all.
LISTED_CLASSES = (None, 10, 6, 3, 1)


def plan_text(plan: Mapping[str, Any], width: int | None = None, full: bool = False) -> str:
    """Return what a study would do: its cost, what is wrong with it, its data sets and what it can show."""
    tables = plan.get("datasets", ())
    shown, has_classes = len(tables), any("class_rows" in dataset for dataset in tables)
    is_described = shown <= MAX_DESCRIBED
    if full or (is_described and not has_classes):
        return _write_page(plan, width, shown, is_short=False, full=full)
    for is_short, listed in product((False, True) if is_described else (True,), LISTED_CLASSES if has_classes else ()):
        text = _write_page(plan, width, shown, is_short=is_short, listed=listed)
        if _excess_lines(text) <= 0:
            return text
    text = _write_page(plan, width, shown, is_short=True, listed=0)
    while shown > 1 and (excess := _excess_lines(text)) > 0:
        shown = max(shown - (excess + 1) // 2, 1)  # a long name takes two lines
        text = _write_page(plan, width, shown, is_short=True, listed=0)
    return text


def _excess_lines(text: str) -> int:
    return text.count("\n") + 1 - MAX_LINES


def _write_page(
    plan: Mapping[str, Any],
    width: int | None,
    shown: int,
    is_short: bool,
    full: bool = False,
    listed: int | None = None,
) -> str:
    """Write the page with so many data sets, and so many of the rarest classes of each; None lists all classes."""
    page = terminal.Page(width)
    page.add(f"Study {plan['study']!r}: {count_noun(plan['cells'], 'evaluation')}, {_describe_fits(plan)}.")
    missing = plan.get("without_candidate", {"sentences": [], "way_out": ""})
    if missing["sentences"]:
        page.add(" ".join(missing["sentences"]))
    if missing["way_out"]:
        page.add_unbroken(missing["way_out"])
    if "price" in plan:
        _add_price(page, plan["price"], plan.get("budget"))
    learners = f"Learners: {', '.join(plan.get('learners', ()))}"
    if is_short:
        if problems := list(_list_problems_shortly(plan)):
            page.add(" ".join(problems))
        page.add(f"{learners}. Strategies: {join_words(facts['name'] for facts in plan.get('strategies', ()))}.")
        _add_data_set_lines(page, plan, shown)
        _add_class_lines(page, plan["datasets"], listed)
        return page.text()
    page.add_list("Please note", list(_list_problems(plan)))
    page.add(learners)
    page.add("")
    for dataset in plan.get("datasets", ()):
        _add_dataset(page, dataset, listed)
        if full and "class_rows" in dataset:
            _add_fold_tables(page, dataset)
    page.add("Strategies")
    header = ["strategy", ">cand.", "weight", "threshold", "knobs"]
    page.add_table(header, map(_strategy_row, plan.get("strategies", ())))
    page.add_list("Contrasts", text_tables.list_families(plan.get("contrasts")))
    if full and plan.get("power"):
        page.add("Every data set, learner and family")
        header = ["data set", "learner", "family", ">finds", ">region", "equivalent"]
        several = {dataset["name"] for dataset in plan["datasets"] if "class_rows" in dataset}
        rows = [_family_row(facts, facts["dataset"] in several) for facts in plan["power"]]
        page.add_table(header, rows, fold=("data set", "learner"))
    if plan.get("power"):
        _add_data_set_lines(page, plan, shown)
    return page.text()


def _list_problems(plan: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about data sets and learners, and what is left out."""
    for dataset in plan.get("datasets", ()):
        yield from dataset.get("warnings", ())
    yield from (f"{text}." for text in plan.get("rebalancing", {}).values())
    yield from (f"Not applicable, left out: {line}" for line in _list_inapplicable(plan.get("inapplicable", ())))


def _list_problems_shortly(plan: Mapping[str, Any]) -> Iterator[str]:
    """The same in a few sentences, without the details."""
    if not any(facts["family"] == PRIMARY for facts in plan.get("contrasts", ())):
        yield "No primary contrast."
    if plan.get("rebalancing"):
        yield f"Learners that rebalance by themselves: {join_words(plan['rebalancing'], limit=3)}."
    warned = [dataset["name"] for dataset in plan["datasets"] if dataset.get("warnings")]
    places = list(dict.fromkeys(str(facts["dataset"]) for facts in plan.get("inapplicable", ())))
    if warned or places:
        notes = [f"notes on {count_noun(len(warned), 'data set')}"] if warned else []
        notes += [f"what is not applicable on {count_noun(len(places), 'data set')}"] if places else []
        yield f"With --full: {' and '.join(notes)}."


def _add_data_set_lines(page: terminal.Page, plan: Mapping[str, Any], shown: int) -> None:
    """Add one line per data set, with what its contrasts can show, and the assumptions."""
    families = plan.get("power", ())
    family = PRIMARY if any(facts["family"] == PRIMARY for facts in families) else SECONDARY
    judged = [facts for facts in families if facts["family"] == family]
    region = next((f"within ±{facts['region']:g}" for facts in judged if facts["region"] is not None), "equivalent")
    rows = [
        _data_set_row(dataset, [facts for facts in judged if facts["dataset"] == dataset["name"]])
        for dataset in plan["datasets"][:shown]
    ]
    has_classes = any("class_rows" in dataset for dataset in plan["datasets"])
    header = ["data set", ">rarest / fold" if has_classes else ">positives / fold", ">finds", region]
    page.add_table(header, rows, fold=("data set",))
    if len(plan["datasets"]) > shown:
        page.add(f"and {len(plan['datasets']) - shown} more: --full")
    if assumptions := list(_describe_assumptions(plan, family, judged, region)):
        page.add(" ".join(assumptions))
        page.add("")


def _data_set_row(dataset: Mapping[str, Any], families: Sequence[Mapping[str, Any]]) -> terminal.TextRow:
    """The line of a data set: that of the learner whose differences are hardest to find."""
    rarest, fewest = _rarest_class_rows(dataset)
    tested = [facts for facts in families if facts["reason"] is None]
    shown = ["no test" if families else "-", "-"]
    if tested:
        hardest = max(tested, key=lambda facts: facts["detectable"] or facts["detectable_sd"])
        shown = [_describe_detectable(hardest), _describe_way(hardest, "class_rows" in dataset)]
    return [dataset["name"], f"{rarest:,} / {terminal.format_cell(fewest)}", *shown]


def _rarest_class_rows(dataset: Mapping[str, Any]) -> tuple[int, int | None]:
    """Rows of the positive or the rarest class in the table, and in the test part with the fewest of them."""
    folds = dataset.get("folds", ())
    if "class_rows" in dataset:
        return dataset["class_rows"][-1], min((fold["test_class_rows"][-1] for fold in folds), default=None)
    return dataset["positives"], min((fold["test_pos"] for fold in folds), default=None)


def _describe_detectable(facts: Mapping[str, Any]) -> str:
    """The detectable difference with its range, or in standard deviations where no spread is known."""
    if facts["detectable"] is None:
        return f"{facts['detectable_sd']:.1f} sd"
    return f"{facts['detectable']:.2f} [{facts['detectable_low']:.2f}, {facts['detectable_high']:.2f}]"


def _describe_way(facts: Mapping[str, Any], has_classes: bool) -> str:
    """The least change of a design that shows equivalence: repeats, other folds, more positives or minority rows."""
    if facts["is_reached"]:
        return "as it is"
    nouns = {"repeats": "repeats", "folds": "folds", "positives": "minority rows" if has_classes else "positives"}
    ways = ((facts[f"{key}_needed"], noun) for key, noun in nouns.items())
    return next((f"{float(f'{count:.2g}'):,.0f} {noun}" for count, noun in ways if count is not None), "-")


def _family_row(facts: Mapping[str, Any], has_classes: bool) -> terminal.TextRow:
    place = [facts["dataset"], facts["learner"], facts["family"]]
    if facts["reason"] is not None:
        return [*place, "no test", "-", "-"]
    region = facts["equivalence"]
    smallest = f"{facts['equivalence_sd']:.1f} sd" if region is None else f"±{region:.2f}"
    return [*place, _describe_detectable(facts), smallest, _describe_way(facts, has_classes)]


def _describe_assumptions(
    plan: Mapping[str, Any], family: str, families: Sequence[Mapping[str, Any]], region: str
) -> Iterator[str]:
    tested = [facts for facts in families if facts["reason"] is None]
    if not tested:
        return
    yield (
        f"finds: difference in {named(plan['measure'])} of a {family} contrast, 80 % power, corrected t, Holm's first "
        f"step. {region}: what shows equivalence, 80 % power at no difference."
    )
    if any("class_rows" in dataset for dataset in plan["datasets"]):
        yield "Minority rows: those outside the most frequent class."
    folds = {facts["spread"]["folds"] for facts in tested if facts["spread"]}
    if folds:
        origins = ["planned from the shipped studies"] if 0 in folds else []
        origins += [f"observed in {join_words(map(str, sorted(folds - {0})))} folds on record"] if folds - {0} else []
        yield f"Spread of the differences: {' or '.join(origins)}."
    places = {facts["dataset"] for facts in tested}
    n_folds = min(len(dataset["folds"]) for dataset in plan["datasets"] if dataset["name"] in places)
    low, high = spread_range(n_folds)
    yield (
        f"Computed after {n_folds} folds, such a figure is {low:.2f} to {high:.2f} times the true one in nine of ten "
        "studies."
    )


def _describe_fits(plan: Mapping[str, Any]) -> str:
    reused = [f"{plan['reused']} reused"] if plan.get("reused") else []
    reused += [f"{plan['stored']} in the store"] if plan.get("stored") else []
    fits = f"{'at most ' if plan.get('at_most') else ''}{plan['fits']} fits"
    return f"{fits} ({', '.join(reused)})" if reused else fits


def _add_price(page: terminal.Page, price: Mapping[str, Any], budget: Mapping[str, Any] | None) -> None:
    processes, memory = count_noun(price["n_jobs"], "process"), f"{price['bytes'] / 2**30:.1f} GB of memory"
    page.add(f"About {format_duration(price['seconds'])} on {processes}, {memory}, estimated from a few fits.")
    if price["untimed"]:
        page.add(f"Not timed, and not included: {', '.join(price['untimed'])}.")
    if sentences := list(_describe_footprint(price)):
        page.add(" ".join(sentences))
    if not budget:
        return
    page.add(f"That is more than budget.minutes={budget['minutes']:g}.")
    fitting = "The largest study within it" if budget["fits"] else "The smallest study tried, which is still too large,"
    page.add_list(f"{fitting} takes {format_duration(budget['seconds'])}, with", budget["overrides"])
    if budget.get("line"):
        page.add_unbroken(f"To run it:\n{budget['line']}")
    elif budget["overrides"]:
        page.add("Change these in a copy of the file that describes the study, and run the copy.")


def _describe_footprint(price: Mapping[str, Any]) -> Iterator[str]:
    """Say what the prediction store and MLflow will hold."""
    if kept := price.get("store"):
        limit_sentence = describe_limit(kept)
        yield limit_sentence or (
            f"Prediction store: about {format_bytes(kept['bytes'])}, of at most {format_bytes(kept['limit'])}."
        )
    if logged := price.get("mlflow"):
        tables = f", and {logged['candidates']:,} candidates in tables" if logged["search"] == "table" else ""
        yield f"MLflow: at most {count_noun(logged['runs'], 'run')}{tables}."


def _add_dataset(page: terminal.Page, dataset: Mapping[str, Any], listed: int | None) -> None:
    has_classes = "class_rows" in dataset
    noun = f"{len(dataset['class_rows'])} classes" if has_classes else f"{dataset['positives']} positives"
    page.add(
        f"{dataset['name']}: {dataset['rows']} rows, {dataset['features']} features, {noun} "
        f"(1 to {dataset['ratio']:.3g})"
    )
    for kind, columns in (dataset.get("columns") or {}).items():
        page.add(f"{kind}: {terminal.format_cell(columns)}", "  ", "    ")
    if names := dataset.get("fold_names"):
        page.add(f"predefined outer folds: {join_words(names)}", "  ", "    ")
    if has_classes:
        _add_class_table(page, dataset, listed)
        return
    sizes = [
        tuple(fold[name] for name in ("train", "train_pos", "test", "test_pos")) for fold in dataset.get("folds", ())
    ]
    header = [">folds", ">train rows", ">positives", ">test rows", ">positives"]
    page.add_table(header, ([str(sizes.count(size)), *map(str, size)] for size in dict.fromkeys(sizes)))


def _add_class_table(page: terminal.Page, dataset: Mapping[str, Any], listed: int | None) -> None:
    """Add a row per class, the most frequent first: its rows in the table, in a training and in a test part."""
    rows = _class_table_rows(dataset)
    left_out = 0 if listed is None else max(len(rows) - listed, 0)
    sums = [dataset["rows"], *([fold[name] for fold in dataset["folds"]] for name in ("train", "test"))]
    rows = [["all", *map(_describe_counts, sums)], *rows[left_out:]]
    page.add_table(["class", ">rows", ">training part", ">test part"], rows)
    if left_out:
        page.add(f"and {count_noun(left_out, 'more frequent class')}: --full")
        page.add("")


def _class_table_rows(dataset: Mapping[str, Any]) -> list[terminal.TextRow]:
    folds = dataset["folds"]
    parts = (zip(*(fold[name] for fold in folds), strict=True) for name in ("train_class_rows", "test_class_rows"))
    columns = zip(dataset["classes"], dataset["class_rows"], *parts, strict=True)
    return [[label, *map(_describe_counts, counts)] for label, *counts in columns]


def _add_fold_tables(page: terminal.Page, dataset: Mapping[str, Any]) -> None:
    """Add a row per class with its rows in both parts of every outer fold, as many folds in a table as fit a line."""
    labels, folds = ["training + test", *dataset["classes"]], dataset["folds"]
    has_repeats, columns = any(fold["repeat"] for fold in folds), []
    for fold in folds:
        name = dataset["fold_names"][fold["fold"]] if dataset.get("fold_names") else fold["fold"]
        counts = zip(fold["train_class_rows"], fold["test_class_rows"], strict=True)
        cells = [f"{train:,} + {test:,}" for train, test in counts]
        columns.append([f">repeat {fold['repeat']}, fold {name}" if has_repeats else f">fold {name}", *cells])
    room = page.width - min(max(map(len, labels)), terminal.MAX_NAME_WIDTH)
    n_abreast = max(room // (max(len(cell) for column in columns for cell in column) + 1), 1)
    for start in range(0, len(columns), n_abreast):
        header, *rows = zip(labels, *columns[start : start + n_abreast], strict=True)
        page.add_table(header, rows, fold=[name.lstrip(">") for name in header] + list(header))


def _describe_counts(counts: int | Sequence[int]) -> str:
    """A count, or the range of several: 92-93."""
    low, high = (counts, counts) if isinstance(counts, int) else (min(counts), max(counts))
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def _add_class_lines(page: terminal.Page, datasets: Sequence[Mapping[str, Any]], listed: int | None) -> None:
    """Add one table of the rarest classes of all data sets with more than two."""
    rows: list[terminal.TextRow] = []
    left_out = 0
    for dataset in (facts for facts in datasets if "class_rows" in facts):
        classes = _class_table_rows(dataset)
        shown = classes if listed is None else classes[len(classes) - min(listed, len(classes)) :]
        left_out += len(classes) - len(shown)
        rows += [[dataset["name"] if i == 0 else "", *row] for i, row in enumerate(shown)]
    page.add_table(["data set", "class", ">rows", ">training part", ">test part"], rows, fold=("class",))
    if left_out:
        page.add(f"and {count_noun(left_out, 'more frequent class' if rows else 'class')}: --full")


def _strategy_row(facts: Mapping[str, Any]) -> terminal.TextRow:
    # A blank after a comma lets an axis wrap between its values.
    axes = terminal.format_cell(facts.get("axes")).replace(", ", ",").replace(",", ", ")
    return [*(terminal.format_cell(facts.get(name)) for name in ("name", "candidates", "weight", "threshold")), axes]


def _list_inapplicable(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per reason: strategies and values that have the same reason stand together."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for facts in items:
        key = tuple(terminal.format_cell(facts.get(name)) for name in ("dataset", "learners", "folds", "reason"))
        groups.setdefault(key, []).append(facts)
    lines = []
    for (dataset, learners, folds, reason), group in groups.items():
        place = ", ".join([dataset, learners, *_distinct_values(group, "strategy")])
        values = "; ".join(_distinct_values(group, "value"))
        lines.append(f"{place}{f' with {values}' if values else ''}: {reason} (folds: {folds})")
    return lines


def _distinct_values(group: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The different values of a fact, the first three of many."""
    values = list(dict.fromkeys(terminal.format_cell(facts[name]) for facts in group if facts.get(name)))
    return values if len(values) <= 4 else [*values[:3], f"{len(values) - 3} more"]
