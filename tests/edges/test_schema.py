"""The JSON Schema of study.yaml and of the groups: it accepts everything that is shipped and no misspelt key."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from imblab.cli import main
from imblab.edges import config, datasets, files
from imblab.edges.config.overrides import RescoreModel, RunModel
from imblab.errors import ConfigError
from imblab.groups import GROUP_HELP, LISTED_GROUPS, group_names

ROOT = Path(__file__).parents[2]
KINDS = {
    "learners": "learner",
    "strategies": "strategy",
    "measures": "measures",
    "datasets": "dataset",
    "protocols": "protocol",
}
FILES = [(kind, path) for kind, group in KINDS.items() for path in sorted((ROOT / "conf" / group).glob("*.yaml"))]
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def problems(value, schema, root, path="$"):  # noqa: C901 (one branch per word of the schema)
    """Return the violations of a schema, for the words of JSON Schema that ours use."""
    if "$ref" in schema:
        yield from problems(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, path)
    if "anyOf" in schema and all(list(problems(value, option, root, path)) for option in schema["anyOf"]):
        yield f"{path}: none of anyOf"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: not one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{path}: not {schema['const']}"
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(has_type(value, name) for name in names):
            yield f"{path}: not {names}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            yield f"{path}: out of bounds"
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            yield f"{path}: out of bounds"
    if isinstance(value, dict) and ("properties" in schema or "additionalProperties" in schema):
        yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        others = schema.get("additionalProperties", True)
        for key, item in value.items():
            known = schema.get("properties", {}).get(key, others)
            if known is False:
                yield f"{path}.{key} is not known"
            elif known is not True:
                yield from problems(item, known, root, f"{path}.{key}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for number, item in enumerate(value):
            yield from problems(item, schema["items"], root, f"{path}[{number}]")


def has_type(value, name):
    if name in ("number", "integer"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def misspelt(content, keep=0):
    """The same content with a letter more at the end of a key of the innermost known level."""
    wrong = copy.deepcopy(content)
    part = next(iter(wrong.values())) if keep else wrong
    key = next(iter(part))
    part[f"{key}x"] = part.pop(key)
    return wrong


@pytest.mark.parametrize(("kind", "path"), FILES, ids=[f"{kind}-{path.stem}" for kind, path in FILES])
def test_every_shipped_file_keeps_to_the_schema_of_its_group(kind, path):
    group = json.loads(json.dumps(config.json_schema(kind)))
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert not list(problems(content, group, group))
    assert list(problems(misspelt(content, keep=kind != "protocols"), group, group))


@pytest.mark.parametrize("name", ["resample_or_not", "smote_ratio"])
def test_the_committed_studies_keep_to_the_schema(name):
    whole = config.json_schema()
    study = files.parse_yaml((ROOT / "experiments" / name / "study.yaml").read_bytes())
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert not list(problems(study, whole, whole))
    assert config.parse_study(study).name == name
    for section in ("protocol", "search", "claims", "learner", "strategy", "measures", "dataset"):
        wrong = {**study, section: misspelt(study[section], keep=section in KINDS.values() and section != "protocol")}
        assert list(problems(wrong, whole, whole)), section
    assert list(problems({**study, "sede": 1}, whole, whole))


def test_every_key_of_the_schema_is_described():
    for kind in (None, *KINDS):
        group = config.json_schema(kind)
        for part in (group, *group["$defs"].values()):
            for key, field in part.get("properties", {}).items():
                assert "description" in field or "$ref" in field, key


def test_the_schema_has_the_keys_that_are_read():
    definitions = config.json_schema()["$defs"]
    assert set(definitions["DatasetModel"]["properties"]) == {
        *datasets.COMMON_KEYS,
        *(key for keys in datasets.KIND_KEYS.values() for key in keys),
    }


def test_the_command_line_prints_it(capsys):
    assert main(["list", "learners", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(config.json_schema("learners")))
    assert main(["list", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "StudyModel"


def test_problems_of_several_members_are_said_at_once():
    study = files.parse_yaml((ROOT / "experiments" / "smote_ratio" / "study.yaml").read_bytes())
    wrong = {"a": {"make": {"_target_": "sklearn.svm.SVC"}, "rebalances": "yes", "label": "x" * 101}, "b c": {}, 5: 1}
    with pytest.raises(ConfigError) as refusal:
        config.parse_study({**study, "learner": wrong, "strategy": [1]})
    assert [problem.split("; ")[0] for problem in refusal.value.problems] == [
        f"'learner.a.label' is '{'x' * 74} ...'",
        "'learner.a.rebalances' is 'yes'",
        "the key 'b c' in 'learner' is not a name",
        "the key 5 in 'learner' is not a name",
        "'strategy' is [1]",
    ]


def test_a_stage_names_its_form_and_a_public_attribute():
    study = files.parse_yaml((ROOT / "experiments" / "smote_ratio" / "study.yaml").read_bytes())
    staged = {"parameter": "n_estimators", "argument": "num_iteration", "form": "odd", "made": "__class__"}
    with pytest.raises(ConfigError) as refusal:
        config.parse_study({**study, "learner": {"a": {"make": {"_target_": "sklearn.svm.SVC"}, "staged": staged}}})
    assert refusal.value.problems == (
        "unknown value 'odd' for 'learner.a.staged.form'. Valid values: count, range.",
        "'learner.a.staged.made' is '__class__'; it is the public attribute that says how many rounds there are. "
        "Correct it, or leave it out.",
    )


def undescribed(schema, path=""):
    """Yield the keys of a schema without a line of help."""
    for name, part in schema.get("properties", {}).items():
        if not part.get("description") and "$ref" not in part:
            yield f"{path}.{name}"
    for key, part in schema.items():
        for each in part if isinstance(part, list) else [part]:
            if isinstance(each, dict):
                yield from undescribed(each, f"{path}.{key}")


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_every_key_has_a_line_of_help(kind):
    schema = config.json_schema(kind)
    assert len(json.dumps(schema)) > 500
    assert list(undescribed(schema)) == []


def test_every_option_of_a_run_has_a_line_of_help_that_says_more_than_its_type():
    for model in (RunModel, RescoreModel):
        schema = model.model_json_schema()
        assert list(undescribed(schema)) == []
        assert '"description": "true or false"' not in json.dumps(schema)


def test_every_group_has_the_line_of_help_of_the_command_line():
    assert set(GROUP_HELP) == group_names()
    properties = config.json_schema()["properties"]
    for name in LISTED_GROUPS:
        assert GROUP_HELP[name] in properties[name]["description"]
