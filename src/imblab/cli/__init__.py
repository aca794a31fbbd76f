"""The command line: runs the commands of a table. Heavy modules are imported when a command is called."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from imblab.cli.arguments import COMMANDS, COMPOSED, parse_arguments
from imblab.cli.completion import run_completion, run_hydra_completion
from imblab.text import granting

#: The variable of the environment that shows where an error was raised.
TRACEBACK = "IMBLAB_TRACEBACK"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of ``sys.argv`` or of other words, and return its exit code.

    0 where all went well, 2 for a question that cannot be asked, a file that cannot be used or a machine that refuses,
    130 after Ctrl-C, 141 where the reader of the output has gone; 1 where ``imblab reproduce`` finds a difference.
    """
    words = [*(sys.argv[1:] if argv is None else argv)]
    _open_streams()
    if words[:1] == ["completion"] and words[1:2] not in (["-h"], ["--help"]):
        return _flush(run_completion(words[1:]))
    for flag in ("-sc", "--shell-completion"):
        if flag in words[:-1]:
            return _flush(run_hydra_completion(words[words.index(flag) + 1]))
    try:
        command = parse_arguments(words)
        command.words = words
    except SystemExit as ended:  # --help, --version, or words that are not understood: argparse has said it
        raise SystemExit(_flush(ended.code if isinstance(ended.code, int) else 2)) from None
    from imblab.redaction import hiding, install, tell

    install()
    # What is secret in the command line stays out of everything that this process and its libraries say.
    with hiding(*words):
        try:
            with _workers_ahead(command):
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
        notes = "".join(f"\n{presentable(note)}" for note in getattr(error, "__notes__", ()))
        return f"{type(error).__name__}: {error}{line}{notes}"
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
    """Import a command and bind its arguments."""
    from imblab.edges import memory

    with memory.keeping_objects():
        command = COMPOSED if getattr(args, "cfg", None) is not None else COMMANDS[args.command]
        module = import_module(f"imblab.commands.{command.module}")
        args.config_dir = [_folder(text) for text in getattr(args, "config_dir", None) or ()]
        args.experiments = import_module("imblab.edges.ledger").EXPERIMENTS
        args.options = dict(vars(args))
        return partial(getattr(module, command.function), *(getattr(args, name) for name in command.parameters))


def _workers_ahead(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Start worker processes for a command that will use some, as far as its overrides say; no result depends on it."""
    given = dict(word.lstrip("+").partition("=")[::2] for word in getattr(args, "overrides", None) or ())
    typed = given.get("runner.n_jobs", "")
    if getattr(args, "cfg", None) is not None:
        return nullcontext()
    if not COMMANDS[args.command].uses_workers or typed == "1" or given.get("runner", "local") != "local":
        return nullcontext()
    processes = import_module("imblab.edges.runner.processes")
    n_jobs = int(typed) if typed.isdecimal() else processes.available_cores()
    return processes.workers_ahead(n_jobs) if n_jobs > 1 else nullcontext()


def _folder(text: str) -> Path:
    from imblab.errors import ConfigError

    if not Path(text).is_dir():
        raise ConfigError(
            f"--config-dir {text!r} is not a directory; it must contain group folders such as learner/ or experiment/. "
            "Correct the path."
        )
    return Path(text)
