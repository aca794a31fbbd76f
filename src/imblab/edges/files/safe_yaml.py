"""YAML from somebody else, as plain JSON data: nothing is built, nothing unfolds.

A ``study.yaml`` may come from a colleague. YAML knows more than a question needs: tags that build objects, aliases with
which a kilobyte stands for gigabytes, dates that are no JSON. All of that is refused with the line where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

#: A question has kilobytes; one of megabytes is none.
LARGEST = 2**20
DEEPEST = 50
TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}


def read(path: Path) -> Any:
    """The data of a YAML file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    JSON-like

    Raises
    ------
    yaml.YAMLError
        For what is no YAML, and for tags, aliases, doubled keys, deep nesting and files beyond 1 MiB.
    UnicodeDecodeError, OSError

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (path := Path(folder, "study.yaml")).write_text("when: 2024-01-31")
    ...     read(path)
    {'when': '2024-01-31'}
    """
    with path.open("rb") as stream:
        return parse(stream.read(LARGEST + 1))


def parse(content: bytes) -> Any:
    """The data of the content of a YAML file; see :func:`read`.

    Parameters
    ----------
    content : bytes
        Of a file read no further than one byte beyond :data:`LARGEST`.

    Returns
    -------
    JSON-like

    Examples
    --------
    >>> parse(b"seed: 1")
    {'seed': 1}
    """
    if len(content) > LARGEST:
        raise yaml.YAMLError(f"it has more than {LARGEST} bytes, and a question at most that")
    text = content.decode("utf-8")
    try:
        return yaml.load(text, Loader=_Plain)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a name of brackets
        raise yaml.YAMLError(f"it holds what is no plain value ({type(error).__name__})") from None


def current_spelling(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a data set with today's names of its keys: ``parent`` was called ``source``.

    Examples
    --------
    >>> current_spelling({"kind": "keel", "table": "yeast4", "source": "yeast"})
    {'kind': 'keel', 'table': 'yeast4', 'parent': 'yeast'}
    """
    named = "parent" in spec
    return {"parent" if key == "source" and not named else str(key): value for key, value in spec.items()}


def data_set(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the description of a data set says: a study resolved by another version says the same if this is equal.

    Examples
    --------
    >>> data_set({"kind": "keel", "table": "yeast4", "source": "yeast", "drop": [], "positive": None})
    {'kind': 'keel', 'table': 'yeast4', 'parent': 'yeast'}
    """
    silent = ("allow_majority_positive", False)
    return {k: v for k, v in current_spelling(spec).items() if v is not None and v != [] and (k, v) != silent}


def text(data: Any) -> str:
    """The YAML of plain data, as :func:`read` takes it: what stands in two places is written twice.

    Examples
    --------
    >>> print(text({"a": (shared := [1]), "b": shared}), end="")
    a:
    - 1
    b:
    - 1
    """
    return str(yaml.dump(data, Dumper=_Unshared, sort_keys=False, width=118, allow_unicode=True))


class _Unshared(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Plain(yaml.SafeLoader):
    """JSON's kinds of values; dates stay text."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        first: [(tag, form) for tag, form in known if tag in TAGS]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused("an alias, which a question does without", event.start_mark)
        self._depth += 1
        if self._depth > DEEPEST:
            raise _refused(f"more than {DEEPEST} levels", event.start_mark)
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if node.tag not in TAGS:
            raise _refused(f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')!r}", node.start_mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in keys:
                raise _refused(f"the key {key.value[:80]!r} twice", key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def _refused(what: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, f"it holds {what}", mark)
