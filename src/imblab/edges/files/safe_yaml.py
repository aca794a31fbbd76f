"""YAML from other people as plain JSON data.

A ``study.yaml`` may come from a colleague. Tags that build objects, aliases with which a kilobyte expands to
gigabytes, doubled keys and deep nesting are refused with their line; dates stay text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import yaml

MAX_YAML_BYTES = 2**20
MAX_YAML_DEPTH = 50
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}


def parse_yaml(content: bytes) -> Any:
    """Parse the content of a YAML file, read no further than one byte beyond :data:`MAX_YAML_BYTES`.

    Raises UnicodeDecodeError, and yaml.YAMLError for invalid YAML, tags, aliases, doubled keys, deep nesting and size.

    Examples
    --------
    >>> parse_yaml(b"when: 2024-01-31")
    {'when': '2024-01-31'}
    """
    if len(content) > MAX_YAML_BYTES:
        raise yaml.YAMLError(f"it has more than {MAX_YAML_BYTES} bytes, the limit for a study")
    text = content.decode("utf-8")
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a name made of brackets
        raise yaml.YAMLError(f"it holds a value that is not plain ({type(error).__name__})") from None


def to_yaml(data: Any) -> str:
    """Write plain data as YAML that :func:`parse_yaml` accepts: an object used twice is written twice."""
    return str(yaml.dump(data, Dumper=_AliasFreeDumper, sort_keys=False, width=118, allow_unicode=True))


def current_spelling(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the keys of a data set specification that had other names in older versions.

    Examples
    --------
    >>> current_spelling({"kind": "keel", "table": "yeast4", "source": "yeast"})
    {'kind': 'keel', 'table': 'yeast4', 'parent': 'yeast'}
    """
    return {"parent" if key == "source" and "parent" not in spec else str(key): value for key, value in spec.items()}


def normalized_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the keys of a data set specification that hold their default, so that versions can be compared.

    Examples
    --------
    >>> normalized_spec({"kind": "keel", "table": "yeast4", "source": "yeast", "drop": [], "positive": None})
    {'kind': 'keel', 'table': 'yeast4', 'parent': 'yeast'}
    """
    default = ("allow_majority_positive", False)
    return {k: v for k, v in current_spelling(spec).items() if v is not None and v != [] and (k, v) != default}


class _AliasFreeDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _PlainLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        first: [(tag, form) for tag, form in resolvers if tag in PLAIN_TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _yaml_error("an alias, which a study does not need", event.start_mark)
        self._depth += 1
        if self._depth > MAX_YAML_DEPTH:
            raise _yaml_error(f"more than {MAX_YAML_DEPTH} levels", event.start_mark)
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if node.tag not in PLAIN_TAGS:
            raise _yaml_error(f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')!r}", node.start_mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in keys:
                raise _yaml_error(f"the key {key.value[:80]!r} twice", key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def _yaml_error(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, f"it holds {problem}", mark)
