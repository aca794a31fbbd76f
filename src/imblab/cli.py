"""The command line: a table of commands. Heavy modules are imported when a command is called."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from imblab import __version__
from imblab.text import granting

EPILOG = """\
examples:
  imblab run experiment=quickstart
  imblab plan experiment=quickstart 'strategy.smote.space.k=choice(3,5,9)'
  imblab run data/churn.csv target=left
  imblab run experiments/quickstart/study.yaml
  imblab compare quickstart
  imblab rescore quickstart primary=pr_auc
  imblab list strategies
"""

#: The variable of the environment that shows where an error was raised.
TRACEBACK = "IMBLAB_TRACEBACK"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 where all went well, 2 for a question that cannot be asked, a file that cannot be used or a machine that
        refuses, 130 after Ctrl-C, 141 where the reader of the output has gone.
    """
    words = [*(sys.argv[1:] if argv is None else argv)]
    _open_streams()
    try:
        command = _arguments(words)
    except SystemExit as ended:  # --help, --version, or words that are not understood: argparse has said it
        raise SystemExit(_flush(ended.code if isinstance(ended.code, int) else 2)) from None
    from imblab.redaction import hiding, install, tell

    install()
    # What is secret in the command line stays out of everything that this process and its libraries say.
    with hiding(*words):
        try:
            return _flush(_load(command)())
        except BaseException as error:
            if (text := _explain_error(error, words)) is None:
                if tell(error):
                    return 1
                raise
            return _report_end(text, error)


#: What a command says of errors that are not imblab's own; {} stands for the message of the error.
_FAULTS: dict[type[BaseException], str] = {
    SystemExit: "was ended from inside (SystemExit: {}); code outside imblab must not do that. Remove its call of "
    "sys.exit.",
    MemoryError: "needs more memory than there is ({}); a study holds its tables in memory. Lower runner.n_jobs, or "
    "use a smaller table.",
    RecursionError: "was given something nested too deeply ({}); some dozens of levels are read. Nest it less deeply.",
    UnicodeError: "met text that is not UTF-8 ({}); names and files are read as UTF-8. Rename the file, or save it as "
    "UTF-8.",
}


def _explain_error(error: BaseException, words: Sequence[str]) -> str | None:
    """Return the message for an error: empty for a reader who has gone, None for a fault of imblab's own."""
    from imblab.errors import ImblabError, describe, explain_os_error, presentable

    kept = "Finished evaluations are kept: run the same command again to continue."
    if isinstance(error, ImblabError):
        between = "\n" if len(error.problems) > 1 else " "
        line = f"{between}The whole line: `{granting(words, error.grants)}`." if error.grants else ""
        return f"{type(error).__name__}: {error}{line}"
    if isinstance(error, KeyboardInterrupt):
        return f"Stopped. {kept}"
    if isinstance(error, BrokenPipeError):  # `imblab list | head`
        return ""
    for kind, text in _FAULTS.items():
        if isinstance(error, kind):
            command = f"'imblab {words[0] if words else ''}'"
            return presentable(f"StudyError: {command} {text.format(describe(error))} {kept}")
    if isinstance(error, RuntimeError) and getattr(error.__context__, "errno", None) == errno.ELOOP:  # pathlib's loops
        error = error.__context__ or error
    return f"StudyError: {presentable(explain_os_error(error))}" if isinstance(error, OSError) else None


def _report_end(text: str, error: BaseException) -> int:
    """Say why a command ends, where that can still be said, and give its exit code."""
    from contextlib import suppress

    from imblab.redaction import redact

    if os.environ.get(TRACEBACK):
        import traceback

        with suppress(OSError, ValueError):
            print(redact("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    with suppress(OSError, ValueError):
        print(redact(text), file=sys.stderr, flush=True) if text else None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _silence(stream)
    return {KeyboardInterrupt: 130, BrokenPipeError: 141}.get(type(error), 2)


def _flush(code: int) -> int:
    """The exit code of a command, once everything that it printed has been taken."""
    try:
        sys.stdout.flush()
    except BrokenPipeError as error:
        return _report_end("", error)
    except OSError as error:
        from imblab.errors import explain_os_error

        return _report_end(f"StudyError: {explain_os_error(error, 'standard output', 'written')}", error)
    return code


def _silence(stream: Any) -> None:
    """Send what is still buffered nowhere: at the end of the process it would fail once more."""
    from contextlib import suppress

    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_streams() -> None:
    """Put something behind closed standard streams: the next file that is opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115 (for the whole process)


def _load(args: argparse.Namespace) -> Callable[[], int]:
    """Import a command and bind its arguments; nothing that is imported is garbage, so none is collected meanwhile."""
    gc.disable()
    try:
        command = COMMANDS[args.command]
        module = import_module(f"imblab.commands.{command.module}")
        args.config_dir = [_folder(text) for text in getattr(args, "config_dir", None) or ()]
        args.experiments = import_module("imblab.edges.ledger").EXPERIMENTS
        return partial(getattr(module, command.function), *(getattr(args, name) for name in command.parameters))
    finally:
        gc.enable()


def _folder(text: str) -> Path:
    from imblab.errors import ConfigError

    if not Path(text).is_dir():
        raise ConfigError(
            f"--config-dir {text!r} is not a directory; it must contain group folders such as learner/ or experiment/. "
            "Correct the path."
        )
    return Path(text)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; overrides may stand before, between and after options."""
    parser = _parser()
    args, left = parser.parse_known_args(argv)
    # Hydra's own flags are overrides too: they are refused with the way out.
    odd = [word for word in left if word.startswith("-") and word not in ("-m", "--multirun")]
    if odd or (left and not hasattr(args, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(odd or left)}")
    if left:
        args.overrides = [*args.overrides, *left]
    if args.command == "report" and args.index and "=" in (args.name or ""):
        args.name, args.overrides = None, [args.name, *args.overrides]  # --index needs no name
    if args.command == "datasets":
        args.kind, args.schema = "datasets", False
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imblab",
        description="The lab bench for imbalanced classification: nested, paired studies of resampling,\n"
        "class weights and decision thresholds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"imblab {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        epilog = EPILOG if name in ("run", "plan") else None
        subparser = subparsers.add_parser(
            name, help=command.help, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        for word, options in command.arguments:
            subparser.add_argument(word, **options)
    return parser


def _port(text: str) -> int:
    value = int(text) if text.isdecimal() and len(text) < 6 else 0
    if not 0 < value < 65536:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a port; it is a number from 1 to 65535")
    return value


def _megabytes(text: str) -> float:
    value = float(text) if text.replace(".", "", 1).isdecimal() and len(text) < 20 else -1.0
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a size; it is a number of megabytes, at least 0")
    return value


#: The words of an argument of argparse and its options.
Argument = tuple[str, dict[str, Any]]


class Command(NamedTuple):
    """A command: its help, its arguments, and the function of :mod:`imblab.commands` that carries it out.

    Attributes
    ----------
    help : str
        One line for the list of commands.
    arguments : tuple of (str, dict)
        As ``ArgumentParser.add_argument`` takes them.
    module, function : str
        Imported when the command is called, so that the command line starts quickly.
    parameters : tuple of str
        The parsed arguments that the function takes, in its order; ``experiments`` is the folder of the studies.
    """

    help: str
    arguments: tuple[Argument, ...]
    module: str
    function: str
    parameters: tuple[str, ...]


def _overrides(text: str) -> Argument:
    return "overrides", {"nargs": "*", "default": [], "metavar": "KEY=VALUE", "help": text}


def _config_dir(what: str) -> Argument:
    return "--config-dir", {"action": "append", "metavar": "DIR", "help": f"a folder with your own {what}"}


_STUDY: Argument = ("name", {"help": "the name of the study, a folder below experiments/"})
_MAYBE_STUDY: Argument = ("name", {**_STUDY[1], "nargs": "?", "default": None})
_KINDS = "learners, strategies, measures, datasets, protocols or studies; all of them by default"
_KIND: Argument = ("kind", {"nargs": "?", "metavar": "KIND", "help": _KINDS})
_JSON: Argument = ("--json", {"action": "store_true", "help": "print for machines"})
_QUESTION = _overrides("Hydra overrides, or the path of a resolved study.yaml")
_ALLOW = _overrides("allow=[...] for your own classes")
_RUN = ("overrides", "config_dir", "json")
_OF_STUDY = ("name", "overrides", "json")

COMMANDS = {
    "run": Command(
        "run or resume a study",
        (_QUESTION, _config_dir("groups and experiments"), _JSON),
        "running",
        "command_run",
        _RUN,
    ),
    "plan": Command(
        "print what a study would do: cells, fits, parts, what does not apply",
        (
            _QUESTION,
            _config_dir("groups and experiments"),
            _JSON,
            ("--full", {"action": "store_true", "help": "print the details of every data set and family"}),
        ),
        "planning",
        "command_plan",
        (*_RUN, "full"),
    ),
    "list": Command(
        "what a study may name: learners, strategies, measures, datasets, protocols; and the studies there are",
        (
            _KIND,
            ("--schema", {"action": "store_true", "help": "print the JSON Schema of their files, or of study.yaml"}),
            _config_dir("groups"),
            _JSON,
        ),
        "listing",
        "command_list",
        ("kind", "config_dir", "json", "experiments", "schema"),
    ),
    "compare": Command(
        "the answer of a study, again, on one screen; its tables with --full",
        (
            _STUDY,
            _ALLOW,
            ("--full", {"action": "store_true", "help": "print every table"}),
            ("--family", {"metavar": "DATASET/LEARNER", "help": "print the tables of one data set and learner"}),
            ("--measure", {"help": "show another measure of the study, exploratory"}),
            _JSON,
        ),
        "results",
        "command_compare",
        (*_OF_STUDY, "full", "family", "measure"),
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
        "rescoring",
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
