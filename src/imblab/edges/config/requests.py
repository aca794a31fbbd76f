"""Requests: composed from groups and overrides by Hydra, or loaded from a resolved study, of which copies are made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import OmegaConf

from imblab.core import admission
from imblab.edges import files as study_files
from imblab.edges.config import chosen_files, command_line, validation
from imblab.edges.config.members import SEARCHABLE_KNOBS
from imblab.edges.config.overrides import RunModel, SourcesModel, former_value_notes, parse_override, parse_overrides
from imblab.edges.config.studies import StudyModel, parse_study
from imblab.edges.config.validation import ErrorCollector, Section, quote, validate
from imblab.errors import ConfigError, did_you_mean
from imblab.groups import group_names, group_options, shipped_groups
from imblab.study import Study
from imblab.text import to_hydra_syntax

#: The folder of the tables of an experiment, where they are not bundled: its paths begin with ``${data_dir}``.
DATA_DIR = "data_dir"
#: Where a strategy or a learner has the values of its knobs.
FIXABLE = (("strategy", ""), ("strategy", "sampler"), ("learner", "make"))
#: Keys below which an override may add what the file does not have.
OPEN = re.compile(
    r"^(learner\.[^.]+\.((make|space)\.|(label|kind|space|staged|rebalances)$)"
    r"|strategy\.[^.]+\.((sampler|space)\."
    r"|(label|sampler|ratio|k|weight|threshold|space|calibration|prior_correction)$)"
    r"|dataset\.[^.]+\.|claims\.rope\.)"
)

#: Keys whose value an override replaces whole: a mapping and a matrix of costs, or two rules, cannot be merged.
REPLACED = re.compile(r"^(measures\.[^.]+\.parameters\.\w+=\[|strategy\.[^.]+\.threshold=)")
#: Keys of a run, which are not part of the study.
RUNTIME = ("runner", "tracking", "overwrite", "allow", "allow_network", "allow_sql", "budget")
#: Where finished searches are copied: an option of the run, although it stands in the section of the search.
STORAGE = "search.storage"
#: Keys of the study that a copy of a resolved study may have anew.
COPIED = ("name", "seed")


@dataclass(frozen=True, slots=True)
class Request:
    """A study and how it is run."""

    study: Study  # the question
    #: the options of the groups of these names
    runner: Mapping[str, Any]
    tracking: Mapping[str, Any]
    overwrite: bool  # whether an existing folder of the study is set aside
    allow: tuple[str, ...]  # what a study may name in addition to the shipped classes
    notes: tuple[str, ...] = ()  # what the reader of the overrides decided and the user should know
    minutes: float | None = None  # the budget of a plan
    storage: str | None = None  # the Optuna storage that finished searches are copied to
    denied: ConfigError | None = None  # why the data sets of a received study may not be loaded

    @property
    def packages(self) -> tuple[str, ...]:
        """The top-level packages whose classes an exported model may hold."""
        return (*admission.SHIPPED, *(entry.partition(".")[0] for entry in self.allow))

    def check_sources(self) -> None:
        """Refuse to load data sets that connect to somewhere, where the study was received and that is not granted."""
        if self.denied is not None:
            raise self.denied


def compose_request(
    overrides: Sequence[str],
    config_dirs: Sequence[Path] = (),
    extra_datasets: Mapping[str, Mapping[str, Any]] | None = None,
) -> Request:
    """Compose a request from groups and overrides; ``extra_datasets`` are known by name without a file."""
    collector = ErrorCollector()
    parsed, composed = _compose_all(overrides, config_dirs, extra_datasets or {}, collector)
    notes = [*_remove_fixed_spaces(composed, parsed), *chosen_files.notes_on_own_members(composed, parsed, config_dirs)]
    if composed.get("name") is None:
        composed["name"] = collector.attempt(_experiment_name, parsed, config_dirs) or "unnamed"
    allow = command_line.parse_allow(composed.get("allow"))
    study = collector.attempt(parse_study, _question(composed), allow)
    if study is not None:
        collector.attempt(_check_outer_folds, parsed, study)
    return _request(collector, study, composed, allow, notes=tuple(notes))


def compose_question(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> dict[str, Any]:
    """Compose the keys of a study as plain data, with its members as their files hold them; ``name`` is overridden."""
    collector = ErrorCollector()
    _, composed = _compose_all(overrides, config_dirs, {}, collector)
    collector.check()
    return _question(composed)


def load_request(
    path: Path,
    overrides: Sequence[str] = (),
    config_dirs: Sequence[Path] = (),
    loads_data: bool = True,
    copies: bool = False,
) -> Request:
    """Read a resolved ``study.yaml``; overrides may change how it is run, not what is asked.

    Its author does not matter: classes that are not shipped and data sets that connect to a server need a grant.
    Without ``loads_data`` the study is only read back, and that check is left to :meth:`Request.check_sources`. With
    ``copies``, ``name`` among the overrides makes a copy under that name, which may have another ``seed``.
    """
    if not path.is_file():
        raise ConfigError(
            f"{str(path)!r} is not a file; a resolved study is the study.yaml in a study's folder. Correct the path."
        )
    parsed = parse_overrides(overrides)
    # A file that the user names may be a link; the question in the folder of a study may not.
    named = path if path.name == "study.yaml" else path.resolve()
    try:
        mapping = study_files.parse_yaml(
            study_files.read_bytes(named.parent.resolve(), named.name, max_bytes=study_files.MAX_YAML_BYTES + 1)
        )
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{str(path)!r} is not YAML ({command_line.describe_yaml_error(error)}); a resolved study is "
            "YAML in UTF-8. Repair the file."
        ) from error
    if not isinstance(mapping, Mapping):
        raise ConfigError(
            f"{str(path)!r} holds {quote(mapping)}; a resolved study is a mapping with keys such as name, dataset and "
            "learner. Repair the file, or take one that imblab wrote."
        )
    copy = check_resolved(path, parsed, copies, mapping)
    if copy.get("name", mapping.get("name")) != mapping.get("name"):
        mapping = copy_question(mapping, copy)
    collector = ErrorCollector()
    typed = [str(override.input_line) for override in parsed if override.key_or_group not in copy]
    _, composed = _compose_all(typed, config_dirs, {}, collector)
    allow = command_line.parse_allow(composed.get("allow"))
    sources = validate(SourcesModel, _given(SourcesModel, composed)).model_dump()
    study = collector.attempt(parse_study, mapping, allow, sources if loads_data else None, not loads_data)
    denied = None
    try:
        command_line.check_sources(mapping, sources)
    except ConfigError as error:
        denied = error
    return _request(collector, study, composed, allow, denied=denied)


def _check_outer_folds(overrides: Sequence[Override], study: Study) -> None:
    """Refuse a number of outer folds that was typed where the folds of every data set are predefined."""
    typed = [o.input_line for o in overrides if str(o.key_or_group).lstrip("+~") == "protocol.outer_folds"]
    if typed and study.datasets and all(spec.get("folds") for spec in study.datasets.values()):
        names = ", ".join(f"dataset.{key}.folds" for key in study.datasets)
        raise ConfigError(
            f"override {typed[0]!r} has no effect: {names} says in which outer fold each row is tested. Leave one of "
            "the two out."
        )


def _question(composed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of the study, without how it is run."""
    question = {key: value for key, value in composed.items() if key not in (*RUNTIME, DATA_DIR)}
    if isinstance(search := question.get("search"), Mapping):
        question["search"] = {key: value for key, value in search.items() if key != "storage"}
    return question


def _given(model: type[Section], composed: Mapping[str, Any]) -> dict[str, Any]:
    return {key: composed[key] for key in model.model_fields if composed.get(key) is not None}


def _request(
    collector: ErrorCollector, study: Study | None, composed: Mapping[str, Any], allow: tuple[str, ...], **more: Any
) -> Request:
    """Add how a study is run to it, or refuse everything that is wrong with either."""
    options = _given(RunModel, composed)
    options["search"] = {"storage": (composed.get("search") or {}).get("storage")}
    run = collector.attempt(validate, RunModel, options)
    collector.check()
    assert study is not None
    runner, tracking = run.runner.model_dump(), run.tracking.model_dump()
    run_options: dict[str, Any] = {"minutes": run.budget.minutes, "storage": run.search.storage, **more}
    run_options["notes"] = (*run_options.get("notes", ()), *former_value_notes(options))
    return Request(study, runner, tracking, run.overwrite, allow, **run_options)


def _for_hydra(override: Override) -> list[str]:
    """Write an override as Hydra needs it: space text quoted, keys that may be lacking added, values replaced whole."""
    text = override.input_line or ""
    key, _, value = text.partition("=")
    bare = key.lstrip("+~")
    typed = key[: len(key) - len(bare)]
    prefix = typed or ("++" if OPEN.match(bare) and value else "")
    if validation.is_space_key(bare) and value and value != "null":
        return [f"{prefix}{bare}={validation.quote_text(value.strip(chr(39) + chr(34)))}"]
    removed = [f"{prefix}{bare}=null"] if not typed and REPLACED.match(text) else []
    return [*removed, f"{prefix}{bare}={value}" if "=" in text else text]


#: Without these a study is refused for their absence: they are not left out to find further errors.
NEEDED = ("name", "experiment", "dataset")


def _compose_all(
    texts: Sequence[str], config_dirs: Sequence[Path], extra: Mapping[str, Mapping[str, Any]], collector: ErrorCollector
) -> tuple[list[Override], dict[str, Any]]:
    """Compose overrides, and return those that were composed.

    What is refused is collected, and corrected or left out until the rest composes, so that all is refused at once.
    """
    parsed = {text: collector.attempt(parse_override, text) for text in texts}
    if any(text.partition("=")[0].lstrip("+~") in NEEDED for text, override in parsed.items() if override is None):
        collector.check()
    overrides = [override for override in parsed.values() if override is not None]
    while True:
        try:
            return overrides, _compose(overrides, config_dirs, extra)
        except command_line.Refused as refused:
            collector.add(refused.error)
            if not refused.remaining:
                collector.check()
            overrides = parse_overrides(refused.remaining)


def _compose(
    overrides: Sequence[Override], config_dirs: Sequence[Path], extra: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    for folder in config_dirs:
        if not folder.is_dir():
            raise ConfigError(
                f"--config-dir {str(folder)!r} is not a directory; it must contain group folders such as learner/ or "
                "experiment/. Correct the path."
            )

    def options_of(group: str) -> list[str]:
        return [*group_options(group, config_dirs), *(extra if group == "dataset" else ())]

    command_line.check_choices(overrides, group_names(config_dirs), options_of)
    for name, spec in extra.items():
        ConfigStore.instance().store(group="dataset", name=name, node={name: dict(spec)})
    path = ",".join(validation.quote_text(f"file://{folder.resolve()}") for folder in config_dirs)
    words = [word for override in overrides for word in _for_hydra(override)] + [f"hydra.searchpath=[{path}]"]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(shipped_groups()), version_base="1.3"):
            composed = hydra_compose("config", words)
            files = _chosen_files(words, config_dirs) if config_dirs else []
        plain = OmegaConf.to_container(composed, resolve=True)
    except MissingConfigException as error:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        raise command_line.Refused(command_line.unknown_option(group, name, options_of(group))) from error
    except Exception as error:  # Hydra raises exceptions of many classes
        # Their messages hold overrides as they were typed, passwords included.
        raise command_line.explain_composition_error(error, overrides, options_of) from None
    chosen_files.check_files(files)
    assert isinstance(plain, dict)
    mapping = {str(key): value for key, value in plain.items()}
    if "experiment" in mapping:
        raise ConfigError(
            f"experiment {_experiment_name(overrides, config_dirs)!r} sets keys below 'experiment'; the file of an "
            "experiment sets keys of the study itself. Begin its file with the line: # @package _global_."
        )
    described = {(file.group, name) for file in files for name in chosen_files.members_of(file)}
    command_line.check_chosen(mapping, overrides, options_of, described)
    command_line.leave_out_unchosen(mapping, overrides, options_of, described)
    return mapping


def _chosen_files(words: Sequence[str], config_dirs: Sequence[Path]) -> list[chosen_files.ChosenFile]:
    """Return the files of groups that Hydra composes from these overrides; it does not say so itself."""
    defaults = GlobalHydra.instance().config_loader().compute_defaults_list("config", list(words), RunMode.RUN).defaults
    files = []
    for entry in defaults:
        group, _, option = str(entry.config_path).partition("/")
        if option and group != "hydra":
            places = (folder / f"{entry.config_path}.yaml" for folder in (shipped_groups(), *config_dirs))
            paths = tuple(path for path in places if path.is_file())
            files.append(chosen_files.ChosenFile(group, option, str(entry.parent), paths))
    return files


def _experiment_name(overrides: Sequence[Override], config_dirs: Sequence[Path]) -> str:
    for override in overrides:
        if override.key_or_group == "experiment" and override.value():
            return str(override.value())
    raise ConfigError(
        "the study has no 'name' and no 'experiment'; results are kept under its name. Give the path of a table, as in "
        "`imblab run churn.csv target=left`, or say name=... or one of: "
        + ", ".join(f"experiment={name}" for name in group_options("experiment", config_dirs))
        + "."
    )


def _remove_fixed_spaces(composed: dict[str, Any], overrides: Sequence[Override]) -> list[str]:
    """Remove the spaces of knobs that are fixed on the command line, and return a note for each."""
    typed = {str(o.key_or_group).lstrip("+~") for o in overrides}
    notes = []
    for key in sorted(typed):
        group, name, place = [*key.split(".", 2), "", ""][:3]
        entry = (composed.get(group) or {}).get(name) if group in ("strategy", "learner") else None
        if not isinstance(entry, dict):
            continue
        if place not in ("", "label"):
            entry.pop("label", None)  # it describes the file, not what was typed
        holder, _, knob = place.rpartition(".")
        if (group, holder) not in FIXABLE or (group == "strategy" and not holder and knob not in SEARCHABLE_KNOBS):
            continue
        value = (entry.get(holder) or {}).get(knob) if holder else entry.get(knob)
        if group == "strategy" and value is None:
            continue
        space = f"{group}.{name}.space.{knob}"
        if space in typed:
            raise ConfigError(
                f"{key!r} is fixed and has a space; a knob is either fixed or searched. Keep one of {key} and {space}."
            )
        is_searched = group == "strategy" or (composed.get("search") or {}).get("tune_learner")
        if (entry.get("space") or {}).pop(knob, None) is not None and is_searched:
            notes.append(f"{key} is fixed to {to_hydra_syntax(value)}: its space is removed.")
    return notes


def check_resolved(
    path: Path, overrides: Sequence[Override], copies: bool, question: Mapping[str, Any]
) -> dict[str, Any]:
    """Refuse overrides that would change a resolved study; return what a copy under another name may have anew."""
    values = {str(override.key_or_group): override.value() for override in overrides}
    copy = {key: values[key] for key in COPIED if copies and "name" in values and key in values}
    if copy.get("name") == question.get("name"):
        copy = {key: value for key, value in copy.items() if value == question.get(key)}
    settable = f"Only {', '.join((*RUNTIME, STORAGE))} may be set"
    problems = []
    for override in overrides:
        key = override.key_or_group or ""
        if key.split(".")[0] in RUNTIME or key == STORAGE or key in copy:
            continue
        if not copies:
            way_out = f"{settable}; edit a copy to ask something else"
        elif key in COPIED:
            way_out = f"A copy under another name may have another {key}: add name=NAME"
        else:
            way_out = (
                f"{settable}, and a copy is made by name=NAME, which may have another seed; edit such a copy to ask "
                "something else"
            )
        head = key.split(".")[0]
        guess = "" if head in StudyModel.model_fields else did_you_mean(head, RUNTIME)
        problems.append(
            f"override {override.input_line!r} would change the resolved study {str(path)!r}; a resolved study "
            f"is run as it stands. {guess}{way_out}."
        )
    if problems:
        raise ConfigError(*problems)
    return copy


def copy_question(question: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question under another name: what was claimed is registered anew, and its rows count as seen before.

    Studies that ship with imblab do not count, as they do not where the studies of a folder are looked through.
    """
    claims = question.get("claims")
    if not isinstance(claims, Mapping) or not isinstance(claims.get("registered"), Mapping):
        return {**question, **changes}
    before = str(question.get("name"))
    seen = dict.fromkeys(
        [*(claims.get("seen_before") or ()), *([] if before in group_options("experiment") else [before])]
    )
    kept = {key: value for key, value in claims.items() if key != "registered"}
    return {**question, **changes, "claims": {**kept, "seen_before": list(seen)}}
