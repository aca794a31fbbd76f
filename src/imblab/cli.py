"""The command line: words in, an exit code out. Whatever is heavy is imported when a command is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from imblab import __version__

EPILOG = """\
examples:
  imblab run experiment=quickstart
  imblab plan experiment=quickstart 'strategy.smote.space.k=choice(3,5,9)'
  imblab run name=churn dataset=table dataset.table.path=churn.csv dataset.table.target=left
  imblab run experiments/quickstart/study.yaml
  imblab compare quickstart
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 where all went well, 2 for a question that cannot be asked, 130 after Ctrl-C, 141 where nobody reads on.
    """
    from imblab.errors import ImblabError

    args = _arguments(sys.argv[1:] if argv is None else argv)
    try:
        return _call(args)
    except ImblabError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. Rows that were answered are kept: run the same command again to continue.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `imblab datasets | head`: what is still buffered goes nowhere, without a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _call(args: argparse.Namespace) -> int:
    from imblab import app

    folders = [_folder(text) for text in getattr(args, "config_dir", None) or ()]
    if args.command == "run":
        return app.command_run(args.overrides, folders, args.json)
    if args.command == "plan":
        return app.command_plan(args.overrides, folders, args.json)
    if args.command == "compare":
        return app.command_compare(args.name, args.overrides, args.json)
    if args.command == "store":
        return app.command_store(args.prune, args.json)
    if args.command == "ui":
        return app.command_ui(args.uri, args.port)
    return app.command_datasets(args.json)


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
    command = commands.add_parser("compare", help="the table and the verdict of a study, again")
    command.add_argument("name", help="the name of the study, a folder below experiments/")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="allow=[...] for classes of your own")
    _json(command)
    command = commands.add_parser("ui", help="open MLflow on this project's store, on loopback")
    command.add_argument("--uri", default=None, help="another store, such as sqlite:///shared/mlflow.db")
    command.add_argument("--port", type=int, default=None, help="5000 by default, or the next free one")
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


def _megabytes(text: str) -> float:
    value = float(text) if text.replace(".", "", 1).isdigit() else -1.0
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; it is a number of megabytes, at least 0")
    return value


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print for machines")
