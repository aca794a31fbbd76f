"""``imblab run --cfg job``: the composed study as YAML, in place of running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imblab.commands.layout import parse_request
from imblab.edges import config, files, terminal
from imblab.errors import ConfigError, unknown
from imblab.redaction import redact

#: What ``--cfg`` prints, as Hydra names it.
PRINTED = ("job", "all")


def command_cfg(args: Sequence[str], config_dirs: Sequence[Path], what: str, package: str | None, command: str) -> int:
    """Print the study that overrides compose, as ``imblab run`` takes it from a file; loads no table and fits nothing.

    Parameters
    ----------
    args : sequence of str
        Overrides, or the path of a resolved study.
    config_dirs : sequence of Path
        Folders with the user's own groups.
    what : str
        ``job`` for the study; ``all`` adds the options of the run as comments.
    package : str or None
        A dotted key of the study, which alone is printed.
    command : str
        The command that was typed, for the lines that messages suggest.

    Raises
    ------
    ConfigError
        If the study does not compose, or there is nothing of that name.
    """
    if what not in PRINTED:
        raise ConfigError(
            f"'--cfg {what}' asks for a configuration of Hydra; Hydra only composes here and runs no job. Write --cfg "
            "job for the study, or --cfg all for the study and the options of its run."
        )
    request = parse_request(args, config_dirs, command)
    section = _choose_section(config.to_mapping(request.study), package)
    text = files.to_yaml(section)
    if what == "all" and package is None:
        options = {"runner": dict(request.runner), "tracking": dict(request.tracking)}
        commented = "\n".join(f"# {line}" for line in redact(files.to_yaml(options)).splitlines())
        text = f"{text}# Options of the run, which change no number:\n{commented}\n"
    terminal.put(text.rstrip("\n"))
    return 0


def _choose_section(study: Mapping[str, Any], package: str | None) -> Any:
    """Return the part of a study below a dotted key, under its last name."""
    if package is None:
        return study
    section: Any = study
    *_, last = names = package.split(".")
    for name in names:
        if not isinstance(section, Mapping) or name not in section:
            known = section if isinstance(section, Mapping) else ()
            raise ConfigError(unknown("key", name, known, f"in '--package {package}'"))
        section = section[name]
    return {last: section}
