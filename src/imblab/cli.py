"""The command line: words in, an exit code out. Whatever is heavy is imported when a command is called."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from imblab import __version__
from imblab.overrides import granting

EPILOG = """\
examples:
  imblab run experiment=quickstart
  imblab plan experiment=quickstart 'strategy.smote.space.k=choice(3,5,9)'
  imblab run data/churn.csv target=left
  imblab run experiments/quickstart/study.yaml
  imblab compare quickstart
  imblab rescore quickstart primary=pr_auc
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
        raise SystemExit(_flushed(ended.code if isinstance(ended.code, int) else 2)) from None
    from imblab.redaction import hiding, install, tell

    install()
    # What is secret in the command line stays out of everything that this process and its libraries say.
    with hiding(*words):
        try:
            return _flushed(_loaded(command)())
        except BaseException as error:
            if (text := _explained(error, words)) is None:
                if tell(error):
                    return 1
                raise
            return _ended(text, error)
        finally:
            gc.unfreeze()


def _explained(error: BaseException, words: Sequence[str]) -> str | None:
    """What is said of an error; empty for a reader who has gone, None for a fault of imblab's own."""
    from imblab.errors import ImblabError, describe, explain_os_error, presentable

    kept = "Rows that were answered are kept: run the same command again to continue."
    command = f"'imblab {words[0] if words else ''}'"
    match error:
        case ImblabError():
            between = "\n" if len(error.problems) > 1 else " "
            line = f"{between}The whole line: `{granting(words, error.grants)}`." if error.grants else ""
            return f"{type(error).__name__}: {error}{line}"
        case KeyboardInterrupt():
            return f"Stopped. {kept}"
        case BrokenPipeError():  # `imblab datasets | head`
            return ""
        case SystemExit():
            said = f"{command} was ended from inside (SystemExit: {describe(error)}); code outside imblab must not do "
            return presentable(f"StudyError: {said}that. Remove its call of sys.exit. {kept}")
        case MemoryError():
            said = f"{command} needs more memory than there is ({describe(error)}); a study holds its tables in memory."
            return presentable(f"StudyError: {said} Lower runner.n_jobs, or use a smaller table. {kept}")
        case RecursionError():
            said = (
                f"{command} was given something nested too deeply ({describe(error)}); some dozens of levels are read."
            )
            return presentable(f"StudyError: {said} Write it flatter. {kept}")
        case UnicodeError():
            said = f"{command} met text that is not UTF-8 ({describe(error)}); names and files are read as UTF-8."
            return presentable(f"StudyError: {said} Rename the file, or save it as UTF-8. {kept}")
        case OSError():
            return f"StudyError: {presentable(explain_os_error(error))}"
        case RuntimeError(__context__=OSError() as cause) if cause.errno == errno.ELOOP:  # as pathlib tells it
            return f"StudyError: {presentable(explain_os_error(cause))}"
    return None


def _ended(text: str, error: BaseException) -> int:
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


def _flushed(code: int) -> int:
    """The exit code of a command, once everything that it printed has been taken."""
    try:
        sys.stdout.flush()
    except BrokenPipeError as error:
        return _ended("", error)
    except OSError as error:
        from imblab.errors import explain_os_error

        return _ended(f"StudyError: {explain_os_error(error, 'standard output', 'written')}", error)
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


def _loaded(args: argparse.Namespace) -> Callable[[], int]:
    """The command with what it imports, of which nothing is garbage: the collector would look through it many times."""
    gc.disable()
    try:
        return _chosen(args)
    finally:
        gc.freeze()
        gc.enable()


def _chosen(args: argparse.Namespace) -> Callable[[], int]:
    folders = [_folder(text) for text in getattr(args, "config_dir", None) or ()]
    if args.command == "plan":
        from imblab.commands import planning

        return partial(planning.command_plan, args.overrides, folders, args.json)
    from imblab.commands import layout, running

    if args.command == "run":
        return partial(running.command_run, args.overrides, folders, args.json)
    if args.command == "compare":
        return partial(running.command_compare, args.name, args.overrides, args.json)
    if args.command == "report":
        from imblab.commands import reporting

        if args.index and "=" in (args.name or ""):  # without a name the first override stands in its place
            args.name, args.overrides = None, [args.name, *args.overrides]
        return partial(reporting.command_report, args.name, args.overrides, args.json, args.index, layout.EXPERIMENTS)
    if args.command == "rescore":
        from imblab.commands import rescoring

        return partial(rescoring.command_rescore, args.name, args.overrides, folders, args.json)
    if args.command == "export":
        from imblab.commands import exporting

        return partial(exporting.command_export, args.name, args.overrides, args.json)
    if args.command == "sync":
        from imblab.commands import syncing

        return partial(syncing.command_sync, args.name, args.overrides, folders, layout.EXPERIMENTS)
    if args.command == "store":
        return partial(running.command_store, args.prune, args.json)
    if args.command == "ui":
        return partial(running.command_ui, args.name, args.uri, args.port)
    return partial(running.command_datasets, args.json)


def _folder(text: str) -> Path:
    from imblab.errors import ConfigError

    if not Path(text).is_dir():
        raise ConfigError(
            f"'--config-dir' is {text!r}, which is no folder; it holds groups such as learner/ and experiment/. "
            "Correct the path."
        )
    return Path(text)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What was typed; overrides may stand before, between and after options."""
    parser = _parser()
    args, left = parser.parse_known_args(argv)
    # Hydra's own flags are overrides too: they are refused with the way out.
    odd = [word for word in left if word.startswith("-") and word not in ("-m", "--multirun")]
    if odd or (left and not hasattr(args, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(odd or left)}")
    if left:
        args.overrides = [*args.overrides, *left]
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imblab",
        description="The lab bench for imbalanced classification: nested, paired studies of resampling, class weights "
        "and decision thresholds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"imblab {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "run or resume a study"),
        ("plan", "print what a study would do: cells, fits, parts, what does not apply"),
    ):
        command = commands.add_parser(name, help=text, epilog=EPILOG, formatter_class=parser.formatter_class)
        command.add_argument(
            "overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, or the path of a resolved study.yaml"
        )
        command.add_argument(
            "--config-dir", action="append", metavar="DIR", help="a folder with your own groups and experiments"
        )
        _json(command)
    _of_a_study(commands, "compare", "the table and the verdict of a study, again", "allow=[...] for your own classes")
    command = commands.add_parser("report", help="the page of a study, with its figures and tables")
    command.add_argument("name", nargs="?", default=None, help="the name of the study, a folder below experiments/")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="allow=[...] for your own classes")
    command.add_argument("--index", action="store_true", help="make experiments/README.md, the list of studies")
    _json(command)
    text = "other measures, thresholds, costs, priors on the same fits; no refit"
    command = _of_a_study(commands, "rescore", text, "such as primary=pr_auc, protocol.thresholds=observed, refit=true")
    command.add_argument("--config-dir", action="append", metavar="DIR", help="a folder with your own measures")
    text = "fit the winner on all rows and register it as a model to serve"
    _of_a_study(commands, "export", text, "dataset=, learner=, strategy=, contains_rows=true, tracking.uri=...")
    command = commands.add_parser("sync", help="fill an MLflow store from the folder of a study, as often as you like")
    command.add_argument("name", help="the name of the study, a folder below experiments/")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as tracking.uri=http://host:5000")
    command.add_argument("--config-dir", action="append", metavar="DIR", help="a folder with your own groups")
    command = commands.add_parser("ui", help="open MLflow on this project's store, on loopback")
    command.add_argument("name", nargs="?", default=None, help="the study to open; the newest by default")
    command.add_argument("--uri", default=None, help="another store, such as sqlite:///shared/mlflow.db")
    command.add_argument("--port", type=_port, default=None, help="5000 by default, or the next free one")
    command = commands.add_parser("store", help="how much the prediction store holds; prune it")
    command.add_argument(
        "--prune",
        type=_megabytes,
        default=None,
        metavar="MB",
        help="keep at most so many megabytes, the newest; 0 empties",
    )
    _json(command)
    _json(commands.add_parser("datasets", help="what can be loaded"))
    return parser


def _of_a_study(commands: Any, name: str, text: str, overrides: str) -> argparse.ArgumentParser:
    """A command on a study that has rows."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text)
    command.add_argument("name", help="the name of the study, a folder below experiments/")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=overrides)
    _json(command)
    return command


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


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print for machines")
