"""Composing a request: Hydra's groups and overrides, our rules for spaces and fixed knobs, our messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from imblab.edges.config import sweeps
from imblab.edges.config.read import KNOBS, read
from imblab.errors import ConfigError, unknown
from imblab.records import Study

#: What belongs to a run and not to the question.
RUNTIME = ("runner", "tracking", "overwrite", "allow")
#: Keys below which a user may name what the file does not mention.
OPEN = re.compile(r"^(learner\.\w+\.(make|space)\.|strategy\.\w+\.(sampler|space)\.|dataset\.\w+\.|claims\.rope\.)")


@dataclass(frozen=True, slots=True)
class Request:
    """A question and how it shall be run.

    Attributes
    ----------
    study : Study
    runner, tracking : mapping
    overwrite : bool
    allow : tuple of str
    notes : tuple of str
        What the reader of the overrides decided and the user should know.
    """

    study: Study
    runner: Mapping[str, Any]
    tracking: Mapping[str, Any]
    overwrite: bool
    allow: tuple[str, ...]
    notes: tuple[str, ...] = ()


def compose(
    overrides: Sequence[str],
    config_dirs: Sequence[Path] = (),
    extra_datasets: Mapping[str, Mapping[str, Any]] | None = None,
) -> Request:
    """Compose a request from groups and overrides.

    Parameters
    ----------
    overrides : sequence of str
        As typed on the command line.
    config_dirs : sequence of Path, default=()
        Folders with a user's own groups and experiments.
    extra_datasets : mapping, optional
        Data sets that are known by name without a file.

    Returns
    -------
    Request

    Raises
    ------
    ConfigError
    """
    asked = [_parsed(text) for text in overrides]
    composed = _composed([_passed(o) for o in asked], config_dirs, extra_datasets or {})
    notes = _settle(composed, asked)
    if composed.get("name") is None:
        composed["name"] = _experiment(asked, config_dirs)
    allow = tuple(composed["allow"])
    study = read({k: v for k, v in composed.items() if k not in RUNTIME}, allow)
    return _request(study, composed, tuple(notes))


def load(path: Path, overrides: Sequence[str] = (), config_dirs: Sequence[Path] = ()) -> Request:
    """The request behind a resolved ``study.yaml``; overrides may change how it is run, not what is asked.

    Parameters
    ----------
    path : Path
    overrides : sequence of str, default=()
        Of ``runner``, ``tracking``, ``overwrite`` and ``allow``.
    config_dirs : sequence of Path, default=()

    Returns
    -------
    Request

    Raises
    ------
    ConfigError
    """
    if not path.is_file():
        raise ConfigError(f"{str(path)!r} is no file; a resolved study is a study.yaml. Correct the path.")
    asked = [_parsed(text) for text in overrides]
    for override in asked:
        if (override.key_or_group or "").split(".")[0] not in RUNTIME:
            raise ConfigError(
                f"override {override.input_line!r} would change the resolved study {str(path)!r}; a resolved study "
                f"is run as it stands. Only {', '.join(RUNTIME)} may be set; edit a copy to ask something else."
            )
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{str(path)!r} is no YAML ({str(error).splitlines()[0]}); a resolved study is. Repair the file."
        ) from error
    composed = _composed([_passed(o) for o in asked], config_dirs, {})
    return _request(read(mapping, tuple(composed["allow"])), composed, ())


def home() -> Path:
    """The folder of the groups: the checkout's ``conf`` where there is one, else the one inside the package."""
    inside = Path(str(files("imblab"))) / "conf"
    return inside if inside.is_dir() else Path(str(files("imblab"))).parents[1] / "conf"


def options(group: str, config_dirs: Sequence[Path] = ()) -> list[str]:
    """The names that a group knows by file."""
    return sorted({p.stem for folder in (home(), *config_dirs) for p in (folder / group).glob("*.yaml")})


def _request(study: Study, composed: Mapping[str, Any], notes: tuple[str, ...]) -> Request:
    n_jobs = composed["runner"].get("n_jobs")
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1):
        raise ConfigError(
            f"'runner.n_jobs' is {n_jobs!r}; it is a number of worker processes, at least 1, or null for all cores. "
            "Write for example runner.n_jobs=2."
        )
    if not isinstance(composed["overwrite"], bool):
        raise ConfigError(f"'overwrite' is {composed['overwrite']!r}; it is true or false. Write overwrite=true.")
    return Request(
        study, composed["runner"], composed["tracking"], composed["overwrite"], tuple(composed["allow"]), notes
    )


def _parsed(text: str) -> Override:
    if text in ("-m", "--multirun"):
        raise ConfigError(
            f"{text!r} asks Hydra for many jobs; imblab walks its spaces inside one study. Leave it out and write "
            "spaces such as 'strategy.smote.space.k=choice(3,5)'."
        )
    key, _, value = text.partition("=")
    space = sweeps.is_space(key.lstrip("+~"))
    try:
        # Space text is not Hydra's to read: a sweep there would demand --multirun.
        override: Override = OverridesParser.create().parse_override(f"{key}=null" if space and value else text)
    except HydraException as error:
        raise ConfigError(
            f"override {text!r} cannot be read ({str(error).splitlines()[0]}); overrides are written key=value in "
            "Hydra's grammar. Quote the value for the shell, as in 'strategy.smote.space.k=choice(3,5)'."
        ) from error
    override.input_line = text
    if not space and override.is_sweep_override():
        raise ConfigError(
            f"override {text!r} sweeps over {override.key_or_group!r}; only spaces are swept, inside one study. "
            "Sweep keys such as strategy.smote.space.ratio or protocol.thresholds, or list names: learner=[knn,svm]."
        )
    return override


def _passed(override: Override) -> str:
    """The override as Hydra shall see it."""
    text = override.input_line or ""
    key, _, value = text.partition("=")
    bare = key.lstrip("+~")
    prefix = key[: len(key) - len(bare)] or ("++" if OPEN.match(bare) and value else "")
    if sweeps.is_space(bare) and value and value != "null":
        escaped = value.strip("'\"").replace("\\", "\\\\").replace("'", "\\'")
        return f"{prefix}{bare}='{escaped}'"
    return f"{prefix}{bare}={value}" if "=" in text else text


def _composed(
    overrides: list[str], config_dirs: Sequence[Path], extra: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    for name, spec in extra.items():
        ConfigStore.instance().store(group="dataset", name=name, node={name: dict(spec)})
    path = ",".join(f"file://{folder.resolve()}" for folder in config_dirs)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(home()), version_base="1.3"):
            composed = hydra_compose("config", [*overrides, f"hydra.searchpath=[{path}]"])
        plain = OmegaConf.to_container(composed, resolve=True)
    except MissingConfigException as error:
        raise _missing(error, config_dirs, extra) from error
    except (HydraException, OmegaConfBaseException) as error:
        text = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(
            f"the configuration cannot be composed ({text[:300]}); overrides name keys that exist. See them with "
            "`imblab plan`, or in conf/."
        ) from error
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items()}


def _missing(error: MissingConfigException, config_dirs: Sequence[Path], extra: Mapping[str, Any]) -> ConfigError:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    known = options(group, config_dirs)
    if group == "dataset" and not name.startswith(("keel_", "zenodo_")):
        return ConfigError(
            unknown(group, name, known) + " KEEL and Zenodo tables are called keel_<name> and zenodo_<name>; "
            "`imblab datasets` lists them."
        )
    return ConfigError(unknown(group or "configuration", name, [*known, *(extra if group == "dataset" else ())]))


def _experiment(asked: Sequence[Override], config_dirs: Sequence[Path]) -> str:
    for override in asked:
        if override.key_or_group == "experiment" and override.value():
            return str(override.value())
    raise ConfigError(
        "the study has no 'name' and no 'experiment'; results are kept under its name. Say name=... or one of: "
        + ", ".join(f"experiment={name}" for name in options("experiment", config_dirs))
        + "."
    )


def _settle(composed: dict[str, Any], asked: Sequence[Override]) -> list[str]:
    """Knobs fixed on the command line lose their space, and the user is told."""
    typed = {str(o.key_or_group).lstrip("+~") for o in asked}
    notes = []
    for key in sorted(typed):
        group, _, rest = key.partition(".")
        name, _, knob = rest.partition(".")
        if group == "strategy" and knob in KNOBS and composed.get(group, {}).get(name, {}).get(knob) is not None:
            space = composed[group][name].get("space") or {}
            if f"{group}.{name}.space.{knob}" in typed:
                raise ConfigError(
                    f"{key!r} is fixed and given a space at once; a knob is fixed or searched. Keep one of {key} and "
                    f"{group}.{name}.space.{knob}."
                )
            if space.pop(knob, None) is not None:
                value = composed[group][name][knob]
                notes.append(f"{key} is fixed to {value}: its space is removed.")
        elif group == "learner" and knob.startswith("make."):
            parameter = knob.removeprefix("make.")
            space = composed.get(group, {}).get(name, {}).get("space") or {}
            if space.pop(parameter, None) is not None and composed["search"].get("tune_learner"):
                notes.append(f"{key} is fixed: its space is removed.")
    return notes
