"""Pack the samples of ``simulate.py`` and tabulate size, coverage, width and power of every standard error.

Writes ``samples/<kind>.parquet``, ``results.csv`` and ``rules.json``: the row-level rules that keep the bounds, which
``imblab.stats.standard_errors`` ships and a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd
from scipy import stats
from simulate import FOLDS, HERE, Scenario, scenarios

NULL = ("over", "under", "smote")
#: Bounds of an estimator that may decide: the upper Wilson bound of the pooled size and the size in any scenario at
#: .05, pooled coverage and coverage in any scenario at .95.
MAX_POOLED_SIZE, MAX_SIZE, MIN_POOLED_COVERAGE, MIN_COVERAGE = 0.06, 0.075, 0.93, 0.92
#: Samples below which a scenario counts in the pooled figures only.
MIN_SAMPLES = 300
ROWS, REPEATS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0), (0.0, 0.5, 1.0, 2.0)
#: Estimators whose figures are kept for every scenario, in addition to those that decide.
SHOWN = ("plain_t", "corrected_t", "row_level 1 0", "row_level 1 1", "bootstrap", "5x2cv_F")
COLUMNS = ["n", "positives", "sample", "contrast", "measure", "folds", "effect", "s2", "w_change", "between", "truth"]
CHECKS = ["low", "high", "p_5x2"]
FUNCTIONS = {"mcc": "mcc", "pr_auc": "average_precision", "roc_auc": "roc_auc", "brier": "brier"}


def pack() -> None:
    """Move the samples of all parts into one file per kind of learner."""
    for kind in dict.fromkeys(s.kind for s in scenarios()):
        target, frames, read = HERE / "samples" / f"{kind}.parquet", [], []
        if target.exists():
            frames.append(pd.read_parquet(target))
        for path in sorted((HERE / "parts").glob(f"{kind}-*/*.parquet")):
            _, n, positives = path.parent.name.rsplit("-", 2)
            frame = pd.read_parquet(path).assign(n=np.int16(n), positives=np.int16(positives))
            frames.append(frame[frame.measure.isin(FUNCTIONS)].reindex(columns=COLUMNS + CHECKS))
            read.append(path)
        if not read:
            continue
        packed = pd.concat([frame.astype({"contrast": str, "measure": str}) for frame in frames])
        keys = ["n", "positives", "sample", "contrast", "measure", "folds"]
        packed = packed.drop_duplicates(keys).sort_values(keys, kind="stable").reset_index(drop=True)
        target.parent.mkdir(exist_ok=True)
        floats = packed.select_dtypes("float").columns
        packed = packed.astype({**dict.fromkeys(floats, "float32"), "contrast": "category", "measure": "category"})
        packed[floats] = packed[floats].apply(_rounded)
        packed.to_parquet(
            target,
            compression="zstd",
            compression_level=19,
            index=False,
            use_dictionary=["contrast", "measure"],
            use_byte_stream_split=list(floats),
        )
        for path in read:
            path.unlink()


def _rounded(values: pd.Series) -> np.ndarray:
    """Keep 12 of the 23 bits of a float's fraction (four digits), which halves the files."""
    bits = values.to_numpy(np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << 10)) & ~np.uint32((1 << 11) - 1)).view(np.float32)


def standard_errors(frame: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, float | np.ndarray]]:
    """Yield name, standard error and degrees of freedom of every estimator."""
    n_folds = int(frame.folds.iloc[0])
    n_repeats = n_folds // FOLDS
    yield "plain_t", np.sqrt(frame.s2 / n_folds), n_folds - 1
    yield "corrected_t", np.sqrt(frame.s2 * (1 / n_folds + 1 / (FOLDS - 1))), n_folds - 1
    for rows in ROWS:
        for repeats in REPEATS if n_repeats > 1 else (0.0,):
            between = frame.between / n_repeats if repeats else 0.0
            variance = rows * frame.w_change + repeats * between
            yield f"row_level {rows:g} {repeats:g}", np.sqrt(variance), frame.positives - 1


def evaluate(frame: pd.DataFrame, truth: float) -> Iterator[dict[str, float | str]]:
    """Yield rejections, coverage and width of every estimator in the samples of one scenario and contrast."""
    deviation = float(frame.effect.std(ddof=1))
    for name, se, df in standard_errors(frame):
        reach = np.asarray(stats.t.ppf(0.975, df)) * se
        yield {
            "estimator": name,
            "rejected": int((np.abs(frame.effect) > reach + 1e-9).sum()),
            "covered": int((np.abs(frame.effect - truth) <= reach + 1e-9).sum()),
            "se_over_sd": float(np.sqrt(np.mean(se**2))) / deviation if deviation else np.nan,
        }
    boot = frame[frame.low.notna()]
    if len(boot):
        yield {
            "estimator": "bootstrap",
            "rejected": int(((boot.low > 0) | (boot.high < 0)).sum()),
            "covered": int(((boot.low <= truth) & (truth <= boot.high)).sum()),
            "se_over_sd": float(np.mean(boot.high - boot.low)) / (2 * 1.96) / deviation,
            "samples": len(boot),
        }
    five = frame.p_5x2.dropna()
    if len(five):
        row = {"estimator": "5x2cv_F", "rejected": int((five < 0.05).sum()), "covered": 0, "se_over_sd": np.nan}
        yield {**row, "samples": len(five)}


def tabulate() -> pd.DataFrame:
    """Tabulate every scenario, contrast, measure, number of repeats and estimator."""
    rows = []
    for path in sorted((HERE / "samples").glob("*.parquet")):
        frame = pd.read_parquet(path).astype({"contrast": str, "measure": str})
        for key, part in frame.groupby(["contrast", "measure", "n", "positives"]):
            contrast, measure, n, positives = key
            truth = 0.0 if contrast in NULL else float(part.truth.mean())
            facts = {"kind": path.stem, "contrast": contrast, "measure": measure, "n": n, "positives": positives}
            for folds, each in part.groupby("folds"):
                whole = {**facts, "repeats": int(folds) // FOLDS, "samples": len(each)}
                rows += [{**whole, **row} for row in evaluate(each, truth)]
    return pd.DataFrame(rows)


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson interval of a rate at 95 %."""
    interval = stats.binomtest(int(k), int(n)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Pool the scenarios of each kind, measure, number of repeats and estimator."""
    rows = []
    for key, part in table.groupby(["kind", "measure", "repeats", "estimator"], sort=False):
        null, known = (part[part.contrast.isin(NULL) == flag] for flag in (True, False))
        row = dict(zip(("kind", "measure", "repeats", "estimator"), key, strict=True))
        if len(null):
            low, high = wilson(null.rejected.sum(), null.samples.sum())
            row |= {"size": null.rejected.sum() / null.samples.sum(), "size_low": low, "size_high": high}
            row |= {"worst_size": _rates(null, "rejected").max(), "null_se_over_sd": null.se_over_sd.mean()}
        if len(known):
            total = known.samples.sum()
            row |= {"coverage": known.covered.sum() / total, "worst_coverage": _rates(known, "covered").min()}
            row |= {"power": known.rejected.sum() / total, "known_se_over_sd": known.se_over_sd.mean()}
        rows.append(row)
    return pd.DataFrame(rows)


def _rates(scenarios: pd.DataFrame, column: str) -> pd.Series:
    """Rates of the scenarios that have enough samples for a bound of their own."""
    enough = scenarios[scenarios.samples >= MIN_SAMPLES]
    return enough[column] / enough.samples


def complete_kinds(table: pd.DataFrame) -> set[str]:
    """Kinds of which every scenario has its samples."""
    whole = table[(table.contrast == "under") & (table.estimator == "corrected_t") & (table.repeats != 3)]
    have = whole.groupby(["kind", "n", "positives"]).samples.min()
    wanted: dict[str, list[Scenario]] = {}
    for scenario in scenarios():
        wanted.setdefault(scenario.kind, []).append(scenario)
    return {kind for kind, all_ in wanted.items() if all(have.get(tuple(s), 0) >= s.samples for s in all_)}


#: By kind and measure: the weights of the rules for one repeat and for several; None where the corrected t decides.
Rules = dict[str, dict[str, list[list[float] | None]]]


def decide(summary: pd.DataFrame, kinds: set[str]) -> Rules:
    """Choose the most powerful estimator within the bounds, by kind and measure, for one and for several repeats.

    For several, it keeps the bounds with three and with five repeats, and power is that with five.
    """
    rules: Rules = {}
    is_allowed = (summary.size_high <= MAX_POOLED_SIZE) & (summary.worst_size <= MAX_SIZE)
    is_allowed &= (summary.coverage >= MIN_POOLED_COVERAGE) & (summary.worst_coverage >= MIN_COVERAGE)
    may_decide = summary.estimator.str.startswith("row_level") | (summary.estimator == "corrected_t")
    candidates = summary[is_allowed & may_decide & summary.kind.isin(kinds)]
    for (kind, measure), part in candidates.groupby(["kind", "measure"], sort=False):
        with_three = set(part[part.repeats == 3].estimator)
        one, several = part[part.repeats == 1], part[(part.repeats == 5) & part.estimator.isin(with_three)]
        best = [each.sort_values("power", kind="stable").estimator.tolist()[-1:] for each in (one, several)]
        chosen = [weights(names[0]) if names else None for names in best]
        if any(chosen):
            rules.setdefault(str(kind), {})[FUNCTIONS[str(measure)]] = chosen
    return rules


def weights(estimator: str) -> list[float] | None:
    """The weights of a row-level rule, as its name has them; None for another estimator."""
    return [float(x) for x in estimator.split()[1:]] if estimator.startswith("row_level") else None


def markdown(summary: pd.DataFrame, kinds: Collection[str], rules: Rules) -> list[str]:
    """Lines of the table of docs/statistics.md: the standard error that decides on MCC, and the corrected t."""
    lines = [
        "| kind | repeats | standard error | size (bound) | highest | coverage | lowest | stated / real | power |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    complete = summary[(summary.measure == "mcc") & summary.kind.isin(kinds)]
    for (kind, repeats), part in complete.groupby(["kind", "repeats"], sort=False):
        rule = rules.get(str(kind), {}).get("mcc", [None, None])[repeats > 1]
        rows = part.set_index("estimator")
        for words, name in ((_formula(rule), _name(rule)), ("corrected t", "corrected_t")):
            if name not in rows.index:
                continue
            row = rows.loc[name]
            facts = f"{row['size']:.3f} ({row.size_high:.3f}) | {row.worst_size:.3f} | {row.coverage:.3f} | "
            facts += f"{row.worst_coverage:.3f} | {row.null_se_over_sd:.2f} | {row.power:.2f}"
            lines.append(f"| `{kind}` | {repeats} | {words} | {facts} |")
    return lines


def rule_lines(rules: Rules) -> list[str]:
    """Lines of the table of all rules, by kind and measure, for one repeat and for several."""
    measures = list(FUNCTIONS.values())
    lines = ["| kind | " + " | ".join(f"`{name}`" for name in measures) + " |", "|---|" + "---|" * len(measures)]
    for kind, by_measure in rules.items():
        words = ("; ".join(_formula(rule) for rule in by_measure.get(name, [None, None])) for name in measures)
        lines.append(f"| `{kind}` | " + " | ".join(words) + " |")
    return lines


def _name(rule: list[float] | None) -> str:
    return f"row_level {rule[0]:g} {rule[1]:g}" if rule else ""


def _formula(rule: list[float] | None) -> str:
    """A rule as a formula, such as ``1.5 W + B/R``; a dash for none."""
    if rule is None:
        return "-"
    parts = [
        (f"{weight:g} " if weight != 1 else "") + part
        for weight, part in zip(rule, ("W", "B/R"), strict=True)
        if weight
    ]
    return " + ".join(parts)


def main() -> None:
    """Pack, tabulate and decide."""
    pack()
    table = tabulate()
    summary = summarise(table)
    kinds = complete_kinds(table)
    rules = decide(summary, kinds)
    chosen = {_name(rule) for by_measure in rules.values() for both in by_measure.values() for rule in both}
    kept = table[table.estimator.isin(chosen.union(SHOWN))]
    kept.round(5).to_csv(HERE / "results.csv", index=False)
    summary.round(4).to_csv(HERE / "summary.csv", index=False)
    (HERE / "rules.json").write_text(json.dumps({"complete": sorted(kinds), "rules": rules}, indent=1) + "\n")
    print("\n".join(["for docs/statistics.md:", *markdown(summary.round(4), kinds, rules), "", *rule_lines(rules), ""]))
    print(f"complete: {sorted(kinds)}; rules: {rules}")
    drawn = table[(table.contrast == "under") & (table.estimator == "corrected_t")]
    print(drawn.groupby(["kind", "n", "positives"]).samples.max().unstack([1, 2]).to_string())


if __name__ == "__main__":
    main()
