"""Long parts of the command line: the examples of its help, and the arguments of ``imblab audit``."""

from __future__ import annotations

from typing import Any

EXAMPLES = """\
examples:
  imblab run experiment=quickstart
  imblab plan experiment=quickstart 'strategy.smote.space.k=choice(3,5,9)'
  imblab new data/churn.csv
  imblab run data/churn.csv target=left
  imblab run experiments/quickstart/study.yaml
  imblab compare quickstart
  imblab rescore quickstart primary=pr_auc
  imblab reproduce quickstart
  imblab list strategies
  imblab audit quickstart
  imblab audit --estimator mypackage.model:pipeline --data table.csv --target y
"""

#: Flags of Hydra's command line that imblab has under another spelling.
HYDRA_SPELLINGS = {"-c": "--cfg", "-cd": "--config-dir", "-p": "--package"}
#: Flags of Hydra's command line that are refused with the way out, and whether a value follows.
HYDRA_FLAGS = {
    "-m": False,
    "--multirun": False,
    "--hydra-help": False,
    "--experimental-rerun": True,
    "--info": True,
    "-i": True,
    "-cn": True,
    "--config-name": True,
    "-cp": True,
    "--config-path": True,
}

#: As ``ArgumentParser.add_argument`` takes them.
AUDIT_ARGUMENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("name", {"nargs": "?", "metavar": "STUDY", "help": "a study: its name, folder, study.yaml, or MLflow run id"}),
    ("overrides", {"nargs": "*", "default": [], "metavar": "KEY=VALUE", "help": "of a study: allow=[...], ..."}),
    ("--checks", {"metavar": "CHECK,...", "help": "of a study: only these; chance-control,optimism for example"}),
    ("--table", {"action": "append", "metavar": "NAME=PATH", "help": "of a study: where a file is now"}),
    ("--script", {"metavar": "COMMAND", "help": "a program that reads {table} and prints its score last"}),
    ("--function", {"metavar": "MODULE:NAME", "help": "a function (X, y) -> score"}),
    ("--estimator", {"metavar": "MODULE:NAME", "help": "an estimator, or a function that makes it"}),
    ("--data", {"metavar": "FILE", "help": "the table: CSV, Excel, Parquet"}),
    ("--target", {"metavar": "COLUMN", "help": "the column of labels"}),
    ("--positive", {"metavar": "LABEL", "help": "the positive class; the rarer one by default"}),
    ("--groups", {"metavar": "COLUMN", "help": "rows that belong together, such as patients"}),
    ("--time", {"metavar": "COLUMN", "help": "when a row was recorded"}),
    ("--measure", {"help": "mcc, roc_auc, pr_auc, f1, accuracy or balanced_accuracy; others need --chance"}),
    ("--chance", {"type": float, "metavar": "SCORE", "help": "the score without information"}),
    ("--claimed", {"type": float, "metavar": "SCORE", "help": "the reported score of the estimator"}),
    ("--permutations", {"type": int, "default": 20, "help": "runs with permuted labels (20)"}),
    ("--folds", {"type": int, "help": "folds of the auditor for an estimator (5)"}),
    ("--seed", {"type": int, "default": 0, "help": "of permutations, noise and folds (0)"}),
    ("--timeout", {"type": float, "default": 3600.0, "metavar": "SECONDS", "help": "limit of a run of a program"}),
)

NEW_ARGUMENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("file", {"nargs": "?", "metavar": "FILE", "help": "the table: CSV, Excel, Parquet"}),
    ("overrides", {"nargs": "*", "default": [], "metavar": "KEY=VALUE", "help": "drop=[...], missing=[NA], id=..."}),
    ("--target", {"metavar": "COLUMN", "help": "the column of labels"}),
    ("--positive", {"metavar": "LABEL", "help": "the positive class; the rarer one by default"}),
    (
        "--cost",
        {"metavar": "FN:FP|SHARE", "help": "costs such as 10:1, an alert budget such as 1%%, or none (by default)"},
    ),
    ("--minutes", {"metavar": "MINUTES", "help": "the time that it may take; 10 by default"}),
    ("--name", {"metavar": "NAME", "help": "of the experiment; that of the file by default"}),
    ("--yes", {"action": "store_true", "help": "ask nothing: take the default of what no option answers"}),
    (
        "--config-dir",
        {"action": "append", "metavar": "DIR", "help": "the folder with the group experiment/; conf by default"},
    ),
)
