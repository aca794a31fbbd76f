"""The arguments of the command line: a table of commands, and their parser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from imblab import __version__
from imblab.cli.option_texts import AUDIT_ARGUMENTS, EXAMPLES, HYDRA_FLAGS, HYDRA_SPELLINGS, NEW_ARGUMENTS
from imblab.errors import unknown
from imblab.groups import help_text


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; overrides may stand before, between and after options."""
    parser = _parser()
    if argv and argv[0] not in (*COMMANDS, "completion", "-h", "--help", "--version"):
        parser.error(_refuse_first_word(argv[0]))
    if argv[:1] in (["run"], ["plan"]):
        argv = join_hydra_flags(argv)
    args, left = parser.parse_known_args(argv)
    odd = [word for word in left if word.startswith("-") and word not in HYDRA_FLAGS]
    if odd or (left and not hasattr(args, "overrides")):
        parser.error(_refuse_words(odd or left, args.command))
    if left:
        args.overrides = [*args.overrides, *left]
    if args.command == "report" and args.index and "=" in (args.name or ""):
        args.name, args.overrides = None, [args.name, *args.overrides]  # --index needs no name
    if args.command == "audit" and args.name is None and args.overrides:
        args.name, *args.overrides = args.overrides  # a study after an option
    if args.command == "datasets":
        args.kind, args.schema = "datasets", False
    return args


def _refuse_first_word(word: str) -> str:
    if word.startswith("-"):
        return (
            f"the command line begins with {word!r}; an option follows its command. Write it behind a command, as in "
            "imblab run experiment=quickstart --cfg job, or see imblab --help."
        )
    return unknown("command", word, (*COMMANDS, "completion"), hint="imblab --help describes them.")


def _refuse_words(words: Sequence[str], command: str) -> str:
    """Say that options are unknown, or that a command takes no further words."""
    if not words[0].startswith("-"):
        return (
            f"imblab {command} was also given {' '.join(words)!r}; it takes no further words. Leave them out, or see "
            f"imblab {command} --help."
        )
    options = [word for word, _ in COMMANDS[command].arguments if word.startswith("-")] if command in COMMANDS else []
    hydra = [flag for flag in HYDRA_FLAGS if command in ("run", "plan") and flag.startswith("--")]
    return " ".join(
        unknown("option", word, [*options, "--help"], f"of imblab {command}", f"Hydra has {near[0]!r}." if near else "")
        for word in words
        for near in [get_close_matches(word, hydra, n=1)]
    )


def join_hydra_flags(argv: Sequence[str]) -> list[str]:
    """Make one word of a flag of Hydra and its value: it counts as an override, which is refused with the way out.

    Flags with a spelling of imblab are replaced by it, ``--resolve`` and ``--run`` say what holds anyway.
    """
    words, joined = [HYDRA_SPELLINGS.get(word, word) for word in argv], []
    while words:
        word = words.pop(0)
        if word in ("--resolve", "--run", "-r"):
            continue
        takes_value = HYDRA_FLAGS.get(word, False) and words and "=" not in words[0] and not words[0].startswith("-")
        joined.append(f"{word} {words.pop(0)}" if takes_value else word)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imblab",
        description="The lab bench for imbalanced classification: nested, paired studies of resampling,\n"
        "class weights and decision thresholds.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"imblab {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        epilog = f"{help_text()}\n\n{EXAMPLES}" if name in ("run", "plan") else None
        subparser = subparsers.add_parser(
            name, help=command.help, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        for word, options in command.arguments:
            subparser.add_argument(word, **options)
    # Answered before anything is parsed; it stands here for the help.
    completion = subparsers.add_parser("completion", help="print the completion script of a shell: bash, zsh or fish")
    completion.add_argument("shell", metavar="SHELL", help='bash, zsh or fish: eval "$(imblab completion bash)"')
    return parser


def _port(text: str) -> int:
    value = int(text) if text.isdecimal() and len(text) < 6 else 0
    if not 0 < value < 65536:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a port; it is a number from 1 to 65535")
    return value


def _tolerance(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number; it is a tolerance such as 1e-6") from None


def _megabytes(text: str) -> float:
    value = float(text) if text.replace(".", "", 1).isdecimal() and len(text) < 20 else -1.0
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a size; it is a number of megabytes, at least 0")
    return value


Argument = tuple[str, dict[str, Any]]


class Command(NamedTuple):
    """A command: its help, its arguments, and the function of :mod:`imblab.commands` that carries it out."""

    help: str  # one line for the list of commands
    arguments: tuple[Argument, ...]  # as ``ArgumentParser.add_argument`` takes them
    #: imported when the command is called, so that the command line starts quickly
    module: str
    function: str
    #: the parsed arguments that the function takes, in its order; ``experiments`` is the folder of the studies,
    #: ``options`` are all of them by name
    parameters: tuple[str, ...]
    uses_workers: bool = False  # whether it fits in worker processes, which start while its modules are imported


def _overrides(text: str) -> Argument:
    return "overrides", {"nargs": "*", "default": [], "metavar": "KEY=VALUE", "help": text}


def _config_dir(what: str) -> Argument:
    return "--config-dir", {"action": "append", "metavar": "DIR", "help": f"a folder with your own {what}"}


_STUDY: Argument = ("name", {"help": "the name of the study, a folder below experiments/"})
_MAYBE_STUDY: Argument = ("name", {**_STUDY[1], "nargs": "?", "default": None})
LISTABLE = (
    *("learners", "strategies", "measures", "datasets", "protocols"),
    *("experiments", "searches", "runners", "tracking", "studies"),
)
_KIND_HELP = f"{', '.join(LISTABLE[:-1])} or {LISTABLE[-1]}; all of them by default; with --schema also run"
_KIND: Argument = ("kind", {"nargs": "?", "metavar": "KIND", "help": _KIND_HELP})
_JSON: Argument = ("--json", {"action": "store_true", "help": "print for machines"})
_QUESTION = _overrides("Hydra overrides, or the path of a resolved study.yaml")
_ALLOW = _overrides("allow=[...] for your own classes")
_RUN = ("overrides", "config_dir", "json")
_CFG: tuple[Argument, ...] = (
    ("--cfg", {"metavar": "job", "help": "print the composed study as YAML, which imblab run takes, and run nothing"}),
    ("--package", {"metavar": "KEY", "help": "with --cfg: only this section of the study"}),
)
_OF_STUDY = ("name", "overrides", "json")

#: Prints the study that ``imblab run --cfg job`` would run.
COMPOSED = Command("", (), "listing", "command_cfg", ("overrides", "config_dir", "cfg", "package", "command"))

COMMANDS = {
    "run": Command(
        "run or resume a study",
        (_QUESTION, _config_dir("groups and experiments"), *_CFG, _JSON),
        "running",
        "command_run",
        _RUN,
        uses_workers=True,
    ),
    "plan": Command(
        "print what a study would do: cells, fits, parts, what does not apply",
        (
            _QUESTION,
            _config_dir("groups and experiments"),
            *_CFG,
            _JSON,
            ("--full", {"action": "store_true", "help": "print the details of every data set and family"}),
        ),
        "planning",
        "command_plan",
        (*_RUN, "full"),
    ),
    "list": Command(
        "what a study may name: learners, strategies, measures, datasets and so on; and the studies there are",
        (
            _KIND,
            (
                "--schema",
                {"action": "store_true", "help": "print the JSON Schema of their files, of study.yaml, or of a run"},
            ),
            _config_dir("groups"),
            _JSON,
        ),
        "listing",
        "command_list",
        ("kind", "config_dir", "json", "experiments", "schema"),
    ),
    "compare": Command(
        "the answer of a study, again, on one screen; its tables with --full; or two studies side by side",
        (
            _STUDY,
            ("overrides", {**_ALLOW[1], "metavar": "STUDY|KEY=VALUE", "help": "a second study; " + _ALLOW[1]["help"]}),
            ("--full", {"action": "store_true", "help": "print every table"}),
            ("--family", {"metavar": "DATASET/LEARNER", "help": "print the tables of one data set and learner"}),
            ("--measure", {"help": "show another measure of the study, exploratory"}),
            _JSON,
        ),
        "comparing",
        "command_compare",
        (*_OF_STUDY, "full", "family", "measure"),
    ),
    "new": Command(
        "write an experiment on your table by five questions: file, target, positive, costs or alerts, minutes",
        (*NEW_ARGUMENTS, _JSON),
        "new_experiment",
        "command_new",
        ("options",),
    ),
    "audit": Command(
        "is a study, or an evaluation of yours, honest? chance control, leakage; exit status 1 if a check fails",
        (*AUDIT_ARGUMENTS, _JSON),
        "study_audit",
        "command_audit",
        ("options",),
    ),
    "report": Command(
        "the page of a study, with its figures and tables",
        (
            _MAYBE_STUDY,
            _ALLOW,
            ("--index", {"action": "store_true", "help": "make experiments/README.md, the list of studies"}),
            _JSON,
        ),
        "results",
        "command_report",
        ("name", "overrides", "json", "index", "experiments"),
    ),
    "rescore": Command(
        "other measures, thresholds, costs, priors on the same fits; no refit",
        (
            _STUDY,
            _overrides("such as primary=pr_auc, protocol.thresholds=observed, refit=true"),
            _config_dir("measures"),
            _JSON,
        ),
        "python_runs",
        "command_rescore",
        ("name", *_RUN),
    ),
    "export": Command(
        "fit the winner on all rows and register it as a model to serve",
        (_STUDY, _overrides("dataset=, learner=, strategy=, contains_rows=true, tracking.uri=..."), _JSON),
        "exporting",
        "command_export",
        _OF_STUDY,
    ),
    "verify": Command(
        "fit an exported model again: the same threshold, the same predictions",
        (_STUDY, _overrides("dataset=, version=, tracking.uri=, tracking=none, runs_code=true"), _JSON),
        "verifying",
        "command_verify",
        _OF_STUDY,
    ),
    "reproduce": Command(
        "run evaluations again from the record of a study, and compare bit for bit",
        (
            ("name", {"metavar": "STUDY", "help": "a name, study.yaml, ledger.jsonl, or the id of an MLflow run"}),
            _overrides("such as allow=[...], runner.n_jobs=2, tracking.uri=... of the run"),
            ("--subset", {"type": int, "metavar": "N", "help": "draw so many evaluations; 20 by default"}),
            ("--seed", {"type": int, "default": 0, "help": "of the draw; 0 by default"}),
            ("--all", {"action": "store_true", "help": "run all evaluations again, and compare the evidence"}),
            ("--cell", {"action": "append", "metavar": "ADDRESS", "help": "run this evaluation again"}),
            ("--table", {"action": "append", "metavar": "NAME=PATH", "help": "where the file of a data set is now"}),
            ("--tolerance", {"type": _tolerance, "default": 1e-6, "help": "where versions or the processor differ"}),
            ("--folder", {"metavar": "DIR", "help": "keep the new evaluations in this fresh folder"}),
            ("--env", {"action": "store_true", "help": "make the recorded environment (uv or pip), and run in it"}),
            _JSON,
        ),
        "reproducing",
        "command_reproduce",
        (*_OF_STUDY[:2], "options", "json"),
    ),
    "sync": Command(
        "fill an MLflow store from the folder of a study, as often as you like",
        (_STUDY, _overrides("such as tracking.uri=http://host:5000"), _config_dir("groups")),
        "syncing",
        "command_sync",
        ("name", "overrides", "config_dir", "experiments"),
    ),
    "ui": Command(
        "open MLflow on this project's store, on loopback",
        (
            ("name", {"nargs": "?", "default": None, "help": "the study to open; the newest by default"}),
            ("--uri", {"default": None, "help": "another store, such as sqlite:///shared/mlflow.db"}),
            ("--port", {"type": _port, "default": None, "help": "5000 by default, or the next free one"}),
            ("--no-browser", {"action": "store_true", "help": "print the addresses and open none"}),
        ),
        "running",
        "command_ui",
        ("name", "uri", "port", "no_browser"),
    ),
    "store": Command(
        "how much the prediction store holds; prune it, or merge another one into it",
        (
            ("--prune", {"type": _megabytes, "metavar": "MB", "help": "keep at most so many megabytes, the newest"}),
            ("--merge", {"metavar": "FILE", "help": "take over the predictions of another store"}),
            _JSON,
        ),
        "running",
        "command_store",
        ("prune", "merge", "json"),
    ),
    "datasets": Command(
        "the same as: imblab list datasets",
        (_config_dir("groups"), _JSON),
        "listing",
        "command_list",
        ("kind", "config_dir", "json", "experiments", "schema"),
    ),
}
