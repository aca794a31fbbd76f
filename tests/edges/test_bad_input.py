"""Whatever cannot be asked is refused in our words, before anything is written."""

import copy
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from imblab import errors
from imblab.cli import main
from imblab.commands import python_runs, running
from imblab.edges import config, datasets
from imblab.errors import ConfigError, DataError, ImblabError
from imblab.study import Dataset

#: Their list is left out of the snapshots: a further experiment is one more file.
EXPERIMENTS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "experiment").glob("*.yaml"))
#: A question as small as it can be; whatever a case adds to it is what is wrong.
SMALL = ("name=bad", "learner=[logistic]", "strategy=[smote]", "protocol=smoke", "measures=[mcc]")
ON = (*SMALL, "dataset=[ecoli3]")
PAIRS = (*ON, "strategy=[none,threshold,smote,smote_threshold]")


def table(rows=60, positives=12, **columns):
    """Two numbers and a label, with whatever else."""
    rng = np.random.default_rng(0)
    base = {"a": rng.normal(size=rows).round(3), "b": rng.normal(size=rows).round(3)}
    return pd.DataFrame({**base, "left": np.where(np.arange(rows) < positives, "yes", "no"), **columns})


def last(value, other, rows=60):
    """A column in which only the last row is odd."""
    return [value] * (rows - 1) + [other]


#: By name, the text or the bytes of a file.
FILES = {
    "good.csv": table(),
    "sheet.xlsx": "no workbook",
    "ending": "a,left\n1,yes\n",
    "empty.csv": "",
    "header.csv": "a,b,left\n",
    "semicolons.csv": "a,b;left\n1,2;yes\n3,4;no\n",
    "ragged.csv": "a,b,left\n1,2,yes\n1,2,3,4,no\n",
    "shifted.csv": "a,b,left\n9,1,2,yes\n9,3,4,no\n",
    "bytes.csv": b"a,left\n1,s\x81\n2,no\n",
    "broken.parquet": "no parquet",
    "twice.csv": "a,a,left\n1,2,yes\n1,2,no\n",
    "one.csv": table(left="no"),
    "three.csv": table(left=["maybe"] * 5 + ["yes"] * 10 + ["no"] * 45),
    "unlabelled.csv": table(left=["yes"] * 12 + last("no", None, 48)),
    "infinite.csv": table(a=[math.inf, -math.inf] + [0.5] * 58),
    "dates.parquet": table(when=pd.date_range("2024-01-01", periods=60)),
    "days.parquet": table(when=pd.date_range("2024-01-01", periods=60).date),
    "vectors.parquet": table(v=[[1, 2]] * 60),
    "levels.csv": table(rows=120, positives=20, c=[f"level{i}" for i in range(120)]),
    "times.csv": table(when=last("2024-01-31", "soon")),
    "endless.csv": table(when=[*range(59), math.inf]),
    "groups.csv": table(team=last("red", None)),
    "lonely.csv": table(team="red"),
    "amounts.csv": table(euro=last("1.5", "free")),
    "wide.csv": pd.DataFrame(np.arange(300.0).reshape(2, 150)).add_prefix("column").assign(left=["yes", "no"]),
    "rare.csv": table(positives=7),
    "single.csv": table(positives=2),
    "ordered.csv": table(when=range(60)),
    "folds.csv": table(part=list("abcd") * 15, group=list(range(30)) * 2, when=range(60)),
    "unfolded.csv": table(part=[*last("a", None, 30), *last("b", None, 30)]),
    "onefold.csv": table(part="a"),
    "emptyfold.csv": table(part=["a"] * 20 + ["b"] * 20 + ["c"] * 20),
    "manyfolds.csv": table(rows=1_200, positives=400, part=range(1_200)),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name):
    """Write one of the files where the test stands."""
    what = FILES[name]
    if isinstance(what, pd.DataFrame):
        what.to_parquet(name) if name.endswith(".parquet") else what.to_csv(name, index=False)
    else:
        Path(name).write_bytes(what if isinstance(what, bytes) else what.encode())


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def refused(here, capsys, *words, command="run"):
    """What the command line says; nothing else may have happened."""
    before = everything(here)
    assert main([command, *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert everything(here) == before
    kind, _, text = said.err.rstrip("\n").partition(": ")
    assert issubclass(getattr(errors, kind), ImblabError)
    return kind, text.replace(str(here), "<here>")


#: What only a traceback, or a library that talks to itself, would say.
FOREIGN = re.compile(
    r"Traceback|\w(Error|Exception)\b|object at 0x|has no attribute '__|full_key|object_type|Sweep\(|Config\b"
    r"|NoneType|\bdtype|unhashable|positional arg|keies|strategys|  |\n|\b1 (rows|classes|columns|values)\b"
)


def check_law(text):
    """Four parts: the object by quoted name, what was found, the rule, the way out; several problems in lines."""
    if re.match(r"\d+ problems:\n- ", text):
        for problem in (line[2:] for line in text.split("\n") if line.startswith("- ")):
            check_law(problem)
        return
    assert re.search(r"'[^']*'|\"[^\"]+\"", text), "names no object"
    assert len(re.findall(r"[.;] ", text)) >= 1, "has one part only"
    assert text.endswith("."), "does not end"
    assert not (said := FOREIGN.search(text)), f"says {said.group()!r}"
    assert 60 <= len(text) <= 600


def own(path, *words, strategy="strategy=[none]"):
    """A study of a file."""
    return (*SMALL, strategy, "dataset=table", f"dataset.table.path={path}", "dataset.table.target=left", *words)


TABLES = {
    "no-such-file": own("nowhere.csv"),
    "a-folder": own("."),
    "no-path": (*SMALL, "dataset=table"),
    "no-target": (*SMALL, "dataset=table", "dataset.table.path=good.csv"),
    "wrong-ending": own("sheet.xlsx"),
    "no-ending": own("ending"),
    "empty-file": own("empty.csv"),
    "header-only": own("header.csv"),
    "two-separators": own("semicolons.csv"),
    "ragged-rows": own("ragged.csv"),
    "rows-longer-than-the-header": own("shifted.csv"),
    "no-encoding": own("bytes.csv"),
    "not-parquet": own("broken.parquet"),
    "repeated-column": own("twice.csv"),
    "unknown-target": own("good.csv", "dataset.table.target=lft"),
    "unknown-target-of-many-columns": own("wide.csv", "dataset.table.target=lft"),
    "target-of-two-columns": own("good.csv", "dataset.table.target=[a,b]"),
    "unknown-drop": own("good.csv", "dataset.table.drop=[a,c]"),
    "unknown-categorical": own("good.csv", "dataset.table.categorical=[c]"),
    "unknown-groups": own("good.csv", "dataset.table.groups=team"),
    "unknown-time": own("good.csv", "dataset.table.time=when"),
    "groups-of-two-columns": own("good.csv", "dataset.table.groups=[a,b]"),
    "target-dropped": own("good.csv", "dataset.table.drop=[left]"),
    "unknown-key": own("good.csv", "dataset.table.tagret=left"),
    "unknown-kind": own("good.csv", "dataset.table.kind=spss"),
    "one-class": own("one.csv"),
    "three-classes": own("three.csv"),
    "missing-label": own("unlabelled.csv"),
    "infinite-values": own("infinite.csv"),
    "unknown-positive": own("good.csv", "dataset.table.positive=maybe"),
    "positive-is-the-majority": own("good.csv", "dataset.table.positive=no"),
    "majority-allowed-by-a-word": own("good.csv", "dataset.table.allow_majority_positive=maybe"),
    "date-among-features": own("dates.parquet"),
    "day-among-features": own("days.parquet"),
    "vectors-among-features": own("vectors.parquet"),
    "too-many-levels": own("levels.csv"),
    "no-feature-left": own("good.csv", "dataset.table.drop=[a,b]"),
    "unreadable-time": own("times.csv", "dataset.table.time=when"),
    "infinite-time": own("endless.csv", "dataset.table.time=when"),
    "missing-group": own("groups.csv", "dataset.table.groups=team"),
    "unknown-folds": own("folds.csv", "dataset.table.folds=parts"),
    "missing-fold": own("unfolded.csv", "dataset.table.folds=part"),
    "one-fold": own("onefold.csv", "dataset.table.folds=part"),
    "a-fold-per-row": own("manyfolds.csv", "dataset.table.folds=part"),
    "folds-of-the-target": own("folds.csv", "dataset.table.folds=left"),
    "bad-amount": own("amounts.csv", "dataset.table.amount=euro"),
    "name-with-a-slash": own("good.csv", "dataset.table.name='a/b'"),
    "unknown-keel-table": (*SMALL, "dataset=keel", "dataset.keel.table=yeast44"),
    "no-keel-table": (*SMALL, "dataset=keel"),
    "unknown-keel-data-set": (*SMALL, "dataset=keel_yeast44"),
    "unknown-zenodo-table": (*SMALL, "dataset=zenodo", "dataset.zenodo.table=thyroid"),
    "unknown-zenodo-data-set": (*SMALL, "dataset=zenodo_thyroid"),
    "neither-number-nor-name-of-openml": (*SMALL, "dataset=openml"),
    "no-number-of-openml": (*SMALL, "dataset=openml", "dataset.openml.data_id=abc"),
    "unknown-bundled-table": (*ON, "dataset.ecoli3.table=ecoli33"),
    "two-of-one-name": (*SMALL, "dataset=[ecoli3,yeast4]", "dataset.yeast4.name=ecoli3"),
}

QUESTIONS = {
    "unknown-experiment": ("experiment=quikstart",),
    "unknown-dataset": (*SMALL, "dataset=[ecoli33]"),
    "unknown-learner": (*ON, "learner=[logistic,logit]"),
    "unknown-strategy": (*ON, "strategy=[smot]"),
    "unknown-protocol": (*ON, "protocol=nested"),
    "unknown-search": (*ON, "search=bayes"),
    "unknown-measure": (*ON, "measures=[mc]"),
    "unknown-key": (*ON, "sead=1"),
    "unknown-key-added": (*ON, "+sead=1"),
    "unknown-key-of-the-protocol": (*ON, "protocol.folds=3"),
    "unknown-key-of-a-strategy": (*ON, "strategy.smote.ratoi=0.5"),
    "unknown-key-of-a-measure": (*ON, "measures.mcc.parameters={beta:1}"),
    "unknown-knob-in-a-space": (*ON, "strategy.smote.space.kk=choice(3,5)"),
    "unknown-group": (*ON, "lerner=[logistic]"),
    "strategy-not-chosen": (*ON, "strategy.none.threshold=0.4"),
    "space-of-a-strategy-not-chosen": (*ON, "strategy.smote_threshold.space.k=choice(3,5)"),
    "learner-not-chosen": (*ON, "learner.knn.make.n_neighbors=3"),
    "learner-that-is-not": (*ON, "learner.kn.make.n_neighbors=3"),
    "data-set-not-chosen": (*ON, "dataset.yeast4.name=yeast"),
    "no-name": (*SMALL[1:], "dataset=[ecoli3]"),
    "no-data-set": SMALL,
    "no-strategy": (*ON, "strategy=[]"),
    "nothing-chosen": (*ON, "learner=null"),
    "two-protocols": (*ON, "protocol=[smoke,nested_5x3]"),
    "data-set-taken-away": (*ON, "dataset.ecoli3=null"),
    "name-that-climbs": (*ON, "name=../elsewhere"),
    "name-too-long": (*ON, f"name={'x' * 101}"),
    "negative-seed": (*ON, "seed=-1"),
    "seed-too-large": (*ON, "seed=4294967295", "protocol.repeats=2"),
    "unknown-primary": (*ON, "primary=mc"),
    "primary-not-among-the-measures": (*ON, "primary=f1"),
    "threshold-measure-is-a-ranking": (*ON, "measures=[pr_auc,roc_auc]", "primary=pr_auc"),
    "ratio-of-0": (*ON, "strategy.smote.ratio=0"),
    "ratio-above-1": (*ON, "strategy.smote.ratio=1.5"),
    "ratio-is-not-a-number": (*ON, "strategy.smote.ratio=nan"),
    "k-of-0": (*ON, "strategy.smote.k=0"),
    "k-of-two-and-a-half": (*ON, "strategy.smote.k=2.5"),
    "weight-of-0": (*ON, "strategy.smote.weight=0"),
    "endless-weight": (*ON, "strategy.smote.weight=inf"),
    "negative-power": (*ON, "strategy.smote.weight={power:-1}"),
    "power-misspelt": (*ON, "strategy.smote.weight={pow:1}"),
    "power-is-a-word": (*ON, "strategy.smote.space.weight=choice({power:high},2)"),
    "one-weight-as-a-power": (*ON, "strategy.smote.space.weight=choice(2,{power:1},balanced)"),
    "threshold-above-1": (*ON, "strategy.smote.threshold=1.1"),
    "two-threshold-rules": (*ON, "strategy.smote.threshold={alert_rate:0.1,min_recall:0.5}"),
    "unknown-threshold-rule": (*ON, "strategy.smote.threshold={alert:0.1}"),
    "threshold-rule-without-a-share": (*ON, "strategy.smote.threshold={alert_rate:0}"),
    "half-a-cost": (*ON, "strategy.smote.threshold={cost:{fn:10}}"),
    "negative-cost": (*ON, "strategy.smote.threshold={cost:{fn:10,fp:-1}}"),
    "text-as-cost": (*ON, "strategy.smote.threshold={cost:{fn:amounts,fp:1}}"),
    "right-calls-that-cost-as-much": (*ON, "strategy.smote.threshold={cost_optimal:{fn:10,fp:1,tp:10}}"),
    "unknown-calibration": (*ON, "strategy.smote.calibration=platt"),
    "unknown-prior-correction": (*ON, "strategy.smote.prior_correction=nearly"),
    "prior-of-an-unknown-sampler": (*ON, "strategy.smote.calibration=prior", "strategy.smote.prior_correction=null"),
    "primary-of-amounts": (*ON, "measures=[mcc,amount_cost]", "primary=amount_cost"),
    "k-without-a-sampler": (*ON, "strategy=[none]", "strategy.none.k=5"),
    "ratio-space-without-a-sampler": (*ON, "strategy=[none]", "strategy.none.space.ratio=choice(0.5,1.0)"),
    "k-of-a-sampler-without-neighbours": (*ON, "strategy=[random_over]", "strategy.random_over.k=5"),
    "k-in-two-places": (*ON, "strategy.smote.sampler.k_neighbors=7"),
    "fixed-and-searched": (*ON, "strategy.smote.k=5", "strategy.smote.space.k=choice(3,5)"),
    "parameter-fixed-and-searched": (*ON, "learner.logistic.make.C=3", "learner.logistic.space.C=choice(1,2)"),
    "interval-in-a-grid": (*ON, "strategy.smote.space.k=interval(3,9)"),
    "learner-interval-in-a-grid": (*ON, "search.tune_learner=true"),
    "drawn-search-without-trials": (*ON, "search=tpe", "search.n_trials=null"),
    "no-trials": (*ON, "search=random", "search.n_trials=0"),
    "trials-of-a-grid": (*ON, "search.n_trials=30"),
    "tune-learner-is-a-word": (*ON, "search.tune_learner=maybe"),
    "space-cut-short": (*ON, "strategy.smote.space.k=choice(3,5"),
    "unknown-space": (*ON, "strategy.smote.space.k=choose(3,5)"),
    "empty-choice": (*ON, "strategy.smote.space.k=choice()"),
    "interval-upside-down": (*ON, "strategy.smote.space.k=interval(9,3)"),
    "endless-interval": (*ON, "strategy.smote.space.ratio=interval(0.1,inf)"),
    "log-interval-from-0": (*ON, "strategy.smote.space.ratio=tag(log,interval(0,1))"),
    "unknown-tag": (*ON, "strategy.smote.space.k=tag(lg,interval(1,9))"),
    "range-without-a-step": (*ON, "strategy.smote.space.k=range(1,9,0)"),
    "range-without-an-end": (*ON, "strategy.smote.space.k=range(1,inf)"),
    "range-of-millions": (*ON, "strategy.smote.space.ratio=range(0.1,1,0.0000001)"),
    "range-from-0": (*ON, "strategy.smote.space.k=range(5)"),
    "shuffled-space": (*ON, "strategy.smote.space.k=shuffle(choice(3,5))"),
    "half-a-neighbour-in-a-space": (*ON, "strategy.smote.space.k=choice(2.5,3)"),
    "threshold-interval": (*ON, "strategy.smote.space.threshold=interval(0,1)"),
    "threshold-space-out-of-order": (*ON, "strategy.smote.space.threshold=choice(0.5,0.1)"),
    "one-ratio-in-two-spellings": (*ON, "strategy.smote.space.ratio=choice(0.30000000000000004,0.3,0.5)"),
    "one-weight-twice": (*ON, "strategy.smote.space.weight=choice(balanced,2,balanced)"),
    "one-parameter-of-two-types": (*ON, "learner.logistic.space.C=choice(1,1.0)"),
    "a-flag-and-its-number": (*ON, "learner.logistic.space.fit_intercept=choice(true,1)"),
    "one-threshold-twice": (*ON, "protocol.thresholds=choice(0.1,0.5,0.5)"),
    "a-range-finer-than-its-decimals": (*ON, "strategy.smote.space.ratio=range(0.5,0.50000000001,0.0000000000001)"),
    "multirun": (*ON, "-m"),
    "multirun-in-full": (*ON, "--multirun"),
    "sweep-over-the-seed": (*ON, "seed=1,2"),
    "sweep-over-a-group": (*ON, "learner=logistic,knn"),
    "sweep-over-a-fixed-knob": (*ON, "strategy.smote.ratio=choice(0.1,0.2)"),
    "words-without-a-value": (*ON, "smote"),
    "value-without-a-key": (*ON, "=3"),
    "bracket-left-open": (*ON, "learner=[knn"),
    "hydra-itself": (*ON, "hydra.run.dir=elsewhere"),
    "interpolation-of-nothing": (*ON, "seed=${sead}"),
    "environment-variable-of-nothing": (*ON, "name=${oc.env:NO_SUCH_VARIABLE_HERE}"),
    "mapping-for-a-list": (*ON, "allow={a:1}"),
    "target-of-the-system": (*ON, "learner.logistic.make._target_=os.system"),
    "target-that-unpickles": (*ON, "learner.logistic.make._target_=pandas.read_pickle"),
    "target-in-a-sampler": (*ON, "strategy.smote.sampler._mixed_={_target_:os.system}"),
    "target-inside-a-list": (*ON, "+learner.logistic.make.l1_ratio=[{_target_:os.system}]"),
    "target-that-is-no-estimator": (*ON, "learner.logistic.make._target_=sklearn.metrics.f1_score"),
    "target-misspelt": (*ON, "learner.logistic.make._target_=sklearn.linear_model.LogisticRegresion"),
    "target-that-is-no-classifier": (*ON, "+learner.ridge.make={_target_:sklearn.linear_model.Ridge}"),
    "target-that-cannot-be-built": (*ON, "+learner.grid.make={_target_:sklearn.model_selection.GridSearchCV}"),
    "no-target": (*ON, "learner.logistic.make._target_=null"),
    "sampler-is-a-learner": (*ON, "strategy.smote.sampler={_target_:sklearn.svm.SVC}"),
    "sampler-is-a-word": (*ON, "strategy.smote.sampler=SMOTE"),
    "unknown-parameter": (*ON, "learner.logistic.make.CC=3"),
    "unknown-parameter-in-a-space": (*ON, "learner.logistic.space.CC=choice(1,2)"),
    "parameter-with-an-impossible-value": (*ON, "learner.logistic.make.C=-1"),
    "unknown-reserved-key": (*ON, "learner.logistic.make._args_=[1]"),
    "a-seed-of-its-own": (*ON, "learner.logistic.make.random_state=3"),
    "thresholds-out-of-order": (*ON, "protocol.thresholds=choice(0.5,0.1)"),
    "thresholds-out-of-range": (*ON, "protocol.thresholds=choice(0.5,1.5)"),
    "one-outer-fold": (*ON, "protocol.outer_folds=1"),
    "half-a-repeat": (*ON, "protocol.repeats=1.5"),
    "unknown-kind-of-inner-folds": (*ON, "protocol.inner=mine"),
    "gap-is-a-list": (*ON, "protocol.gap=[30D]"),
    "unknown-strategy-in-a-contrast": (*ON, "claims.contrasts=[[smote,none]]"),
    "half-a-contrast": (*ON, "claims.contrasts=[[smote]]"),
    "contrast-with-itself": (*ON, "claims.contrasts=[[smote,smote]]"),
    "unknown-strategy-in-a-primary-contrast": (*PAIRS, "claims.primary=[[smote_treshold,threshold]]"),
    "primary-contrast-with-a-fixed-threshold": (*PAIRS, "claims.primary=[[smote,none]]"),
    "primary-contrast-with-two-thresholds": (*PAIRS, "claims.primary=[[smote_threshold,none]]"),
    "primary-contrast-the-wrong-way-round": (*PAIRS, "claims.primary=[[threshold,smote_threshold]]"),
    "a-contrast-twice": (*PAIRS, "claims.secondary=[[smote,none],[none,smote]]"),
    "both-spellings-of-contrasts": (*PAIRS, "claims.contrasts=[[smote,none]]", "claims.secondary=[[smote,none]]"),
    "contrast-in-both-families": (
        *(*PAIRS, "claims.primary=[[smote_threshold,threshold]]", "claims.secondary=[[smote_threshold,threshold]]"),
    ),
    "alpha-of-0": (*ON, "claims.alpha=0"),
    "negative-rope": (*ON, "claims.rope.mcc=-0.01"),
    "rope-of-an-unknown-measure": (*ON, "claims.rope.mc=0.01"),
    "unknown-need": (*ON, "measures.mcc.needs=luck"),
    "measure-of-the-system": (*ON, "measures.mcc.function=os.system"),
    "measure-function-misspelt": (*ON, "measures.mcc.function=imblab.core.measures.mc"),
    "half-a-range": (*ON, "measures.mcc.range=[0]"),
    "direction-is-a-word": (*ON, "measures.mcc.greater_is_better=maybe"),
    "no-process": (*ON, "runner.n_jobs=0"),
    "unknown-key-of-the-runner": (*ON, "runner.jobs=2"),
    "overwrite-is-a-word": (*ON, "overwrite=maybe"),
    "tracking-is-a-word": (*ON, "tracking.enabled=maybe"),
    "tracking-nowhere": (*ON, "tracking.uri=null"),
    "allow-is-one-word": (*ON, "allow=sklearn"),
    "hold-out-of-nothing": (*ON, "protocol=holdout", "protocol.test_size=0"),
    "hold-out-of-everything": (*ON, "protocol=holdout", "protocol.test_size=1"),
    "hold-out-below-nothing": (*ON, "protocol=holdout", "protocol.test_size=-0.3"),
    "hold-out-of-a-number-of-rows": (*ON, "protocol=holdout", "protocol.test_size=200"),
    "hold-out-in-words": (*ON, "protocol=holdout", "protocol.test_size=a third"),
    "hold-out-and-folds": (*ON, "protocol=holdout", "protocol.outer_folds=4"),
    "folds-and-hold-out": (*ON, "protocol.test_size=0.3"),
    "neither-folds-nor-hold-out": (*ON, "protocol.outer_folds=null"),
    "number-of-predefined-folds-in-words": (*ON, "dataset.ecoli3.n_folds=three"),
    "outer-folds-and-predefined-folds": own("folds.csv", "dataset.table.folds=part", "protocol.outer_folds=4"),
    "threshold-measure-misspelt": (*ON, "measures=[pr_auc,mcc]", "primary=pr_auc", "protocol.threshold_measure=mc"),
    "config-dir-nowhere": (*ON, "--config-dir", "nowhere"),
}

FEASIBILITY = {
    "too-few-positives-for-the-outer-folds": own("rare.csv", "protocol.outer_folds=8"),
    "too-few-positives-for-the-inner-folds": own("rare.csv", "protocol.inner_folds=6"),
    "too-few-positives-for-both": (*ON, "protocol.outer_folds=36", "protocol.inner_folds=36"),
    "more-folds-than-rows": own("good.csv", "protocol.outer_folds=61"),
    "too-few-positives-for-any-folds": own("single.csv"),
    "one-group": own("lonely.csv", "dataset.table.groups=team"),
    "time-and-repeats": own("ordered.csv", "dataset.table.time=when", "protocol.repeats=2"),
    "time-and-shared-inner-folds": own("ordered.csv", "dataset.table.time=when", "protocol.inner=shared"),
    "time-and-groups": own("ordered.csv", "dataset.table.time=when", "dataset.table.groups=a"),
    "gap-without-time": (*ON, "protocol.gap=30D"),
    "hold-out-with-too-few-positives": own("single.csv", "protocol=holdout"),
    "hold-out-that-is-too-small": own("rare.csv", "protocol=holdout", "protocol.test_size=0.02"),
    "hold-out-and-shared-inner-folds": (*ON, "protocol=holdout", "protocol.inner=shared"),
    "hold-out-in-time-and-repeats": own(
        "ordered.csv", "dataset.table.time=when", "protocol=holdout", "protocol.repeats=2"
    ),
    "hold-out-and-predefined-folds": own("folds.csv", "dataset.table.folds=part", "protocol=holdout"),
    "predefined-folds-and-repeats": own("folds.csv", "dataset.table.folds=part", "protocol=repeated_3x5x3"),
    "predefined-folds-and-time": own("folds.csv", "dataset.table.folds=part", "dataset.table.time=when"),
    "predefined-folds-that-cut-groups": own("folds.csv", "dataset.table.folds=part", "dataset.table.groups=group"),
    "predefined-folds-without-positives": own("emptyfold.csv", "dataset.table.folds=part"),
    "predefined-folds-and-much-else": own(
        "folds.csv",
        *("dataset.table.folds=part", "dataset.table.time=when", "dataset.table.groups=group"),
        *("protocol=holdout", "protocol.inner=shared", "protocol.repeats=3"),
    ),
    "number-of-predefined-folds-that-is-wrong": own("folds.csv", "dataset.table.folds=part", "dataset.table.n_folds=3"),
    "gap-of-days-between-numbers": own("ordered.csv", "dataset.table.time=when", "protocol.gap=30D"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_cannot_be_studied(name, here, capsys, snapshot):
    for word in TABLES[name]:
        if word.startswith("dataset.table.path=") and word.partition("=")[2] in FILES:
            put(word.partition("=")[2])
    kind, text = refused(here, capsys, *TABLES[name])
    check_law(text)
    assert f"{kind}: {text}" == snapshot


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_that_cannot_be_asked(name, here, capsys, snapshot):
    kind, text = refused(here, capsys, *QUESTIONS[name])
    assert kind == "ConfigError"
    check_law(text)
    for names in (EXPERIMENTS, [f"experiment={name}" for name in EXPERIMENTS]):
        text = text.replace(", ".join(names), "<experiments>")
    assert text == snapshot


@pytest.mark.parametrize("name", FEASIBILITY)
def test_questions_that_the_table_cannot_carry(name, here, capsys, snapshot):
    for word in FEASIBILITY[name]:
        if word.startswith("dataset.table.path="):
            put(word.partition("=")[2])
    kind, text = refused(here, capsys, *FEASIBILITY[name])
    check_law(text)
    assert f"{kind}: {text}" == snapshot


def test_plan_refuses_with_the_same_words(here, capsys):
    words = FEASIBILITY["gap-without-time"]
    assert refused(here, capsys, *words, command="plan") == refused(here, capsys, *words)


@pytest.mark.parametrize(
    ("name", "kind"), [("unknown-learner", ConfigError), ("no-such-file", DataError), ("gap-without-time", ConfigError)]
)
def test_python_raises_what_the_command_line_prints(name, kind, here, capsys):
    words = {**TABLES, **QUESTIONS, **FEASIBILITY}[name]
    with pytest.raises(ImblabError) as said:
        running.lay_out(python_runs.compose(*words))
    assert type(said.value) is kind
    assert refused(here, capsys, *words) == (kind.__name__, str(said.value))


def test_the_largest_number_of_folds_in_a_message_is_the_largest_that_works(here, capsys):
    put("rare.csv")
    for key in ("outer_folds", "inner_folds"):
        _, text = refused(here, capsys, *own("rare.csv", f"protocol.{key}=8"))
        most = int(re.search(rf"Set protocol.{key} to at most (\d+)\.$", text).group(1))
        assert running.lay_out(python_runs.compose(*own("rare.csv", f"protocol.{key}={most}"))).cells
        refused(here, capsys, *own("rare.csv", f"protocol.{key}={most + 1}"))


def test_a_positive_majority_passes_where_it_is_meant(here):
    put("good.csv")
    words = ("dataset.table.positive=no", "dataset.table.allow_majority_positive=true")
    found = running.lay_out(python_runs.compose(*own("good.csv", *words))).datasets["good"]
    assert found.classes == ("yes", "no")
    assert found.y.sum() == 48


def test_a_k_that_no_fold_can_serve_is_said_and_counted(snapshot):
    study = python_runs.compose(*ON, "strategy.smote.ratio=0.5", "strategy.smote.k=40")
    rows = python_runs.evaluate(study)
    assert set(rows.status) == {"inapplicable"}
    assert rows.mcc.isna().all()
    assert sorted(set(rows.error)) == snapshot


def test_a_k_that_some_folds_can_serve_is_left_out_there():
    study = python_runs.compose(*ON, "strategy.smote.ratio=0.5", "strategy.smote.space.k=choice(3,40)")
    rows = python_runs.evaluate(study)
    assert set(rows.status) == {"ok"}
    assert [p["k"] for p in rows.params] == [3, 3, 3]


def test_what_only_looks_bad_is_read_as_it_is_meant():
    study = python_runs.compose(*ON, "name=2024", "strategy.smote.k=5.0", "strategy.smote.space.ratio='choice(0.5,1)'")
    assert study.name == "2024"
    assert study.strategies[0].k == 5
    assert isinstance(study.strategies[0].k, int)
    assert study.strategies[0].space["ratio"].values == (0.5, 1)


def test_texts_in_a_space_come_back_as_they_were(resolved):
    texts = ["true", "1", "a, b", "it's", 'say "so"', "", "choice(1,2)", "C:\\x", " lead", "null"]
    asked = damaged(resolved, ("learner", "logistic", "space"), {"solver": texts})
    study = config.parse_study(asked)
    assert study.learners[0].space["solver"].values == tuple(texts)
    assert config.parse_study(yaml.safe_load(yaml.safe_dump(config.to_mapping(study)))) == study


MEMORY = {
    "no-frame": (np.zeros((3, 3)), "left", {}),
    "no-rows": (table(0), "left", {}),
    "no-target": (table(), None, {}),
    "unknown-target": (table(), "lft", {}),
    "target-in-a-list": (table(), ["left"], {}),
    "target-dropped": (table(), "left", {"drop": "left"}),
    "repeated-column": (table().rename(columns={"b": "a"}), "left", {}),
    "columns-of-one-text": (table().rename(columns={"a": 1, "b": "1"}), "left", {}),
    "unknown-column-in-drop": (table(), "left", {"drop": ["c"]}),
    "no-feature-left": (table(), "left", {"drop": ["a", "b"]}),
    "one-class": (table(left="no"), "left", {}),
    "positive-is-the-majority": (table(), "left", {"positive": "no"}),
    "unknown-positive": (table(), "left", {"positive": 1}),
    "date-among-features": (table(when=pd.Timestamp("2024-01-31")), "left", {}),
    "month-among-features": (table(when=pd.Period("2024-01")), "left", {}),
    "complex-numbers": (table(a=1j), "left", {}),
    "lists": (table(a=[[1]] * 60), "left", {}),
    "span-as-time": (table(when=pd.Timedelta("1D")), "left", {"time": "when"}),
    "time-out-of-range": (table(when="9999-12-31"), "left", {"time": "when"}),
    "missing-group": (table(team=last(1, None)), "left", {"groups": "team"}),
    "endless-amount": (table(euro=last(1.0, math.inf)), "left", {"amount": "euro"}),
    "no-name": (table(), "left", {"name": None}),
    "name-with-a-line-break": (table(), "left", {"name": "a\nb"}),
}


@pytest.mark.parametrize("name", MEMORY)
def test_tables_in_memory_that_cannot_be_studied(name, snapshot):
    frame, target, more = MEMORY[name]
    with pytest.raises(DataError) as said:
        datasets.dataset(frame, target, **{"name": "churn", **more})
    assert "dataset." not in str(said.value), "there is no configuration behind a table in memory"
    if name != "no-name":
        check_law(str(said.value))
    assert str(said.value) == snapshot


@pytest.fixture(scope="module")
def resolved():
    """The plain data of a study that is fine."""
    words = ("strategy=[none,smote]", "measures=[mcc,pr_auc]", "search=random", "protocol.thresholds=observed")
    return config.to_mapping(python_runs.compose(*ON, *words, "search.tune_learner=true"))


FINE = "a study that can be run"
STUDIES = {
    "missing": (None, ()),
    "empty": ("", ()),
    "no-yaml": ("name: [bad\nseed: 0\n", ()),
    "tab": ("dataset:\n\tecoli3: {}\n", ()),
    "python-object": ("!!python/object/apply:os.system ['ls']\n", ()),
    "no-mapping": ("- name\n- seed\n", ()),
    "a-word": ("quickstart\n", ()),
    "bytes": (b"\xff\xfe\x00\x01", ()),
    "unknown-key": ("sead: 1\n", ()),
    "unknown-target": ("learner: {mine: {make: {_target_: os.system}}}\n", ()),
    "nothing-asked": ("name: bad\n", ()),
    "changes-the-question": ("name: bad\n", ("seed=3",)),
    "changes-a-group": ("name: bad\n", ("learner=[knn]",)),
    "bad-runner": (FINE, ("runner.n_jobs=none",)),
    "allow-of-no-name": (FINE, ("allow=['../mine']",)),
}


@pytest.mark.parametrize("name", STUDIES)
def test_resolved_studies_that_cannot_be_run(name, here, capsys, snapshot, resolved):
    text, words = STUDIES[name]
    text = yaml.safe_dump(resolved) if text == FINE else text
    if text is not None:
        Path("study.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    kind, text = refused(here, capsys, "study.yaml", *words)
    assert kind == "ConfigError"
    check_law(text)
    assert text == snapshot


GROUPS = {
    "no-yaml": "a: [1\n",
    "no-package-line": "seed: 3\n",
    "a-word": "hello\n",
    "unknown-key": "# @package _global_\nsede: 3\n",
    "unknown-option": "# @package _global_\ndefaults:\n  - override /learner: [logit]\n",
}


@pytest.mark.parametrize("name", GROUPS)
def test_experiments_of_ones_own_that_cannot_be_read(name, here, capsys, snapshot):
    (here / "mine" / "experiment").mkdir(parents=True)
    (here / "mine" / "experiment" / "odd.yaml").write_text(GROUPS[name])
    kind, text = refused(here, capsys, "experiment=odd", "--config-dir", "mine")
    assert kind == "ConfigError"
    check_law(text)
    assert text == snapshot


def test_a_folder_of_groups_may_have_an_odd_name(here):
    folder = here / "it's mine, x=1" / "experiment"
    folder.mkdir(parents=True)
    (folder / "fine.yaml").write_text("# @package _global_\nseed: 3\n")
    assert python_runs.compose("experiment=fine", "dataset=[ecoli3]", config_dirs=[folder.parent]).seed == 3


#: What may stand where something else was meant.
ODD = [None, 0, -1, 2.5, True, "x", "", [], {}, [1], [None], {"a": 1}, {1: 2}, math.nan, math.inf, 10**30, 10**400]
ODD += ["choice(1,2)", "range(1,inf)", {"_target_": 3}, {"_target_": "os.system"}, {"_target_": "sklearn.svm.SVC"}]


def paths(value, here=()):
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*here, key))


def damaged(whole, path, value):
    if not path:
        return value
    fresh = copy.deepcopy(whole)
    part = fresh
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return fresh


def answer(ask, *words):
    """What comes back, or the refusal; whatever else is raised is a fault."""
    try:
        return ask(*words), None
    except ImblabError as error:
        return None, str(error)


@pytest.mark.slow
def test_a_damaged_study_is_refused_in_our_words_or_read(resolved):
    refusals = 0
    every = [damaged(resolved, path, value) for path in paths(resolved) for value in ODD]
    for mapping in every:
        study, refusal = answer(config.parse_study, mapping)
        if refusal is None:
            assert config.parse_study(config.to_mapping(study)) == study
        else:
            check_law(refusal)
            refusals += 1
    assert 800 < refusals < len(every) - 200


def test_a_damaged_description_of_a_table_is_refused_in_our_words_or_loaded(here):
    put("good.csv")
    spec = {"kind": "table", "path": "good.csv", "target": "left"}
    refusals = {}
    for key in (
        "kind",
        "path",
        "name",
        "source",
        "positive",
        "target",
        "drop",
        "categorical",
        "groups",
        "folds",
        "time",
    ):
        for value in (*ODD, "a", ["a"], ["a", "b"], "yes"):
            found, refusal = answer(datasets.read_dataset, {**spec, key: value}, "mine")
            if refusal is None:
                assert isinstance(found, Dataset)
                assert found.y.sum() == 12
            else:
                check_law(refusal)
                refusals[key] = refusals.get(key, 0) + 1
    roles = {"target", "drop", "categorical", "groups", "folds", "time"}
    assert set(refusals) == {"kind", "path", "name", "positive", *roles}


KEYS = st.sampled_from(["seed", "name", "learner", "dataset", "protocol", "strategy.smote.k", "strategy.smote.space.k"])
TEXT = st.text("abcn01.,;:=+-~@$%&/\\'\"()[]{}<>! \t\n*?#", max_size=12)


@settings(max_examples=50, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.tuples(KEYS, st.just("="), TEXT).map("".join), TEXT))
def test_whatever_is_typed_is_refused_in_our_words_or_read(word):
    study, refusal = answer(python_runs.compose, *ON, word)
    if refusal is None:
        assert config.parse_study(config.to_mapping(study)) == study
    else:
        assert re.search(r"'[^']*'|\"[^\"]+\"", refusal)
        assert refusal.endswith(".")
        assert not re.search(r"Traceback|Sweep\(|full_key|object at 0x", refusal)
