"""Modules as files: what a module imports, whether the loaded code is that of the file, which distribution fixes it.

A version says what the code is only if the file is listed in the RECORD of a distribution, with the hash that it has
now, and the distribution was not installed from a folder or a checkout, whose content changes under one version
(PEP 376, PEP 610).
"""

from __future__ import annotations

import ast
import csv
import json
import marshal
import sys
import sysconfig
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from importlib.util import cache_from_source, resolve_name, source_hash
from inspect import isclass, isfunction, ismodule
from modulefinder import ModuleFinder
from pathlib import Path, PurePath
from types import CodeType, FunctionType
from typing import Any

#: When this process began: it has loaded files that were changed before as they are.
_PROCESS_START = time.time()
#: Bytes before the code in a ``.pyc``: magic number, flags, and time and size of the source, or a hash of it.
_PYC_HEADER_BYTES = 16
#: Folders of installed packages, which may lie below that of the standard library.
SITE_FOLDERS = ("site-packages", "dist-packages")
#: Packages whose ``__version__`` is trusted without a RECORD, as after an installation by another tool than pip.
TRUSTED_PACKAGES = ("sklearn", "imblearn", "lightgbm", "xgboost", "numpy", "scipy")
#: Names of distributions that differ from those of their packages: searched first.
DISTRIBUTION_NAMES = {"sklearn": "scikit_learn", "imblearn": "imbalanced_learn"}
#: Keys of ``direct_url.json`` for a folder and for a checkout.
EDITABLE_KEYS = ("dir_info", "vcs_info")


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A module that is loaded or could be imported."""

    name: str  # dotted
    file: Path | None  # its source file; None if it has none
    content: bytes | None  # of the file; None where it cannot be read
    search_path: tuple[str, ...] | None  # folders of its submodules; None for a plain module
    #: what ``sys.modules`` holds, and its specification, which is another one after a reload
    loaded: Any
    spec: Any

    @property
    def is_namespace(self) -> bool:
        """Whether it is a namespace package, without code."""
        return self.file is None and self.search_path is not None

    def is_as_before(self) -> bool:
        """Return whether what is loaded, or would be, is what it was when this record was made."""
        now = sys.modules.get(self.name)
        if self.loaded is not None:
            return now is self.loaded and getattr(now, "__spec__", None) is self.spec
        return now is None and self.file is not None and _file_content(self.file, None) == self.content


def find_module(name: str) -> Module | None:
    """Find a module without importing it or a package around it; None if there is none."""
    loaded = sys.modules.get(name)
    spec = _find_spec(name) if loaded is None else getattr(loaded, "__spec__", None)
    if loaded is None and spec is None:
        return None
    location = getattr(loaded, "__file__", None) or (spec.origin if spec is not None and spec.has_location else None)
    folders = getattr(loaded, "__path__", None) or getattr(spec, "submodule_search_locations", None)
    file = Path(location) if location else None
    content = None if file is None else _file_content(file, getattr(spec, "loader", None))
    return Module(name, file, content, None if folders is None else tuple(folders), loaded, spec)


def _find_spec(name: str) -> Any:
    """Return the specification of a module; ``importlib.util.find_spec`` would import its parents."""
    parent = name.rpartition(".")[0]
    package = find_module(parent) if parent else None
    if parent and (package is None or package.search_path is None):
        return None
    path = None if package is None or package.search_path is None else list(package.search_path)
    try:
        specs = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        return next((spec for spec in specs if spec is not None), None)
    except Exception:  # a finder may raise any exception; the import would then fail too
        return None


def _file_content(file: Path, loader: Any) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        pass
    try:  # inside a zip file
        return bytes(loader.get_data(str(file)))
    except Exception:  # no loader, or one that cannot say
        return None


def imported_names(module: Module, within: str = "") -> list[str]:
    """List the absolute names of modules that a module imports, also inside its functions and conditions.

    ``from a import b`` gives ``a`` and ``a.b``, whether or not the latter is a module. Names that are computed are not
    seen. With ``within``, only names of that top-level package are listed.
    """
    package = module.name if module.search_path is not None else module.name.rpartition(".")[0]
    names = []
    for level, base, parts in _import_statements(module):
        try:
            start = resolve_name("." * level + base, package) if level else base
        except ImportError:
            continue
        names += [start, *(f"{start}.{part}" for part in parts if part != "*")]
    return [name for name in dict.fromkeys(names) if name and (not within or name.partition(".")[0] == within)]


def _import_statements(module: Module) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield level, module and names of every import."""
    tree = _syntax_tree(module)
    if tree is not None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((0, alias.name, ()) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.level, node.module or "", tuple(alias.name for alias in node.names)
            elif (
                isinstance(node, ast.Call)
                and str(getattr(node.func, "attr", getattr(node.func, "id", ""))) in ("import_module", "__import__")
                and node.args
            ):
                name = getattr(node.args[0], "value", None)
                if isinstance(name, str):
                    yield len(name) - len(name.lstrip(".")), name.lstrip("."), ()
        return
    for code in _code_objects(module):
        for kind, operands in ModuleFinder().scan_opcodes(code):
            if kind == "absolute_import":
                yield 0, operands[1], tuple(operands[0] or ())
            elif kind == "relative_import":
                yield operands[0], operands[2] or "", tuple(operands[1] or ())
    if not _is_python(module) and module.loaded is not None:  # compiled: what it holds of other modules
        held = vars(module.loaded).values()
        for name in {v.__name__ if ismodule(v) else str(getattr(v, "__module__", "")) for v in held}:
            yield 0, name, ()


def _is_python(module: Module) -> bool:
    return module.file is not None and module.file.suffix in (".py", ".pyc")


def _syntax_tree(module: Module) -> ast.Module | None:
    if module.file is None or module.file.suffix == ".pyc" or not _is_python(module):
        return None
    try:
        return ast.parse(module.content or b"")
    except (SyntaxError, ValueError):
        return None


def _code_objects(module: Module) -> set[CodeType]:
    """Return the code objects of a module's file, nested ones included; empty if it is not Python."""
    if not _is_python(module) or module.content is None or module.file is None:
        return set()
    try:
        if module.file.suffix == ".pyc":
            waiting = [marshal.loads(module.content[_PYC_HEADER_BYTES:])]
        else:
            waiting = [compile(module.content, str(module.file), "exec", dont_inherit=True)]
    except (SyntaxError, ValueError, EOFError, TypeError):
        return set()
    codes: set[CodeType] = set()
    while waiting:
        code = waiting.pop()
        codes.add(code)
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return codes


def functions_in(value: Any) -> list[FunctionType]:
    """List the functions behind a value, such as those that a decorator or a property wraps."""
    functions: list[FunctionType] = []
    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen or isclass(item):
            continue
        seen.add(id(item))
        if isfunction(item):
            functions.append(item)
        held = vars(type(item)) if isinstance(item, (property, cached_property, partial)) else ()
        waiting += [getattr(item, name) for name in ("fget", "fset", "fdel", "func") if name in held]
        if isinstance(item, cached_property):
            waiting.append(item.func)
        if isinstance(item, (FunctionType, staticmethod, classmethod)) or hasattr(type(item), "__wrapped__"):
            waiting += [getattr(item, name, None) for name in ("__wrapped__", "__func__")]
    return functions


def method_modules(cls: type) -> list[str]:
    """List the modules in which the functions of a class are written, patched ones included."""
    functions = (f for value in vars(cls).values() for f in functions_in(value))
    return list(dict.fromkeys(str(f.__globals__.get("__name__", "")) for f in functions))


def describe_stale_code(modules: Mapping[str, Module], classes: Iterable[type]) -> str:
    """Say which loaded module differs from its file, or holds an object that another one has replaced; else empty."""
    for name, module in modules.items():
        if module.loaded is not None and (_is_python(module) and not _is_file_loaded(module)):
            return f"module {name!r} was changed after it was imported"
    for owner, value in [*_references(modules), *((cls.__name__, cls) for cls in classes)]:
        home = modules.get(str(getattr(value, "__module__", "")))
        if home is None or home.loaded is None:
            continue
        now = vars(home.loaded).get(value.__qualname__)
        if now is not None and now is not value and type(now) is type(value):
            return f"{owner!r} holds {value.__qualname__!r} as it was in module {home.name!r} before that was reloaded"
    return ""


def _references(modules: Mapping[str, Module]) -> Iterator[tuple[str, Any]]:
    """Yield the functions and classes that modules imported from one another."""
    for name, module in modules.items():
        for value in [] if module.loaded is None else list(vars(module.loaded).values()):
            if (isfunction(value) or isclass(value)) and value.__module__ != name:
                yield name, value


def _is_file_loaded(module: Module) -> bool:
    if not isinstance(getattr(module.spec, "loader", None), (SourceFileLoader, SourcelessFileLoader)):
        # A hook that rewrites code (of pytest, of a type checker): the loaded code equals no file, so the time decides.
        return not _is_changed_since_start(module)
    codes, namespace = _code_objects(module), vars(module.loaded)
    functions = (f for f in _functions_of(module.name, namespace) if f.__globals__ is namespace)
    is_same = all(f.__code__ in codes for f in functions if not f.__code__.co_filename.startswith("<"))
    tree = _syntax_tree(module)
    return (
        is_same
        and (tree is None or _holds_constants(tree.body, tree, namespace, module.name))
        and _is_cache_current(module)
    )


def _functions_of(name: str, namespace: Mapping[str, Any]) -> Iterator[FunctionType]:
    for value in list(namespace.values()):
        if isclass(value):
            if value.__module__ == name and namespace is not vars(value):
                yield from _functions_of(name, {k: v for k, v in vars(value).items() if v is not value})
        else:
            yield from functions_in(value)


def _holds_constants(body: Iterable[ast.stmt], tree: ast.Module, namespace: Mapping[str, Any], name: str) -> bool:
    """Return whether constants that are assigned once have the value in the file."""
    stored = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)]
    for node in body:
        if isinstance(node, ast.ClassDef):
            cls = namespace.get(node.name)
            if isclass(cls) and cls.__module__ == name and not _holds_constants(node.body, tree, vars(cls), name):
                return False
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(target, ast.Name) and node.value is not None:
            value = _literal(node.value)
            if (
                value is not None
                and stored.count(target.id) == 1
                and repr(namespace.get(target.id, value)) != repr(value)
            ):
                return False
    return True


def _literal(node: ast.expr) -> Any:
    """Return the number, text or truth value of a literal; None for everything else."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, (bool, int, float, complex, str, bytes)) else None


def _is_changed_since_start(module: Module) -> bool:
    """Return whether the file was changed since this process began."""
    try:
        return module.file is not None and module.file.stat().st_mtime > _PROCESS_START
    except OSError:
        return False


def _is_cache_current(module: Module) -> bool:
    """Return whether the ``.pyc`` of a module whose source is newer than this process is that of the source."""
    assert module.file is not None
    if not _is_changed_since_start(module) or module.file.suffix == ".pyc":
        return True
    try:
        now = module.file.stat()
        head = Path(cache_from_source(str(module.file))).read_bytes()[:_PYC_HEADER_BYTES]
    except (OSError, NotImplementedError):
        return True
    if head[4:8] != b"\0\0\0\0":
        return head[8:16] == source_hash(module.content or b"")
    stamp = (int(now.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (now.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    return head[8:16] == stamp


# Distributions


def distribution_of(module: str, file: Path, content: bytes) -> str | None:
    """Return the distribution that fixes the content of a module's file, such as ``"scikit_learn-1.7.2"``.

    None if the file is listed nowhere, was changed after the installation, or belongs to a distribution that was
    installed from a folder or a checkout.

    Examples
    --------
    >>> import numpy
    >>> path = Path(numpy.__file__)
    >>> distribution_of("numpy", path, path.read_bytes()) == f"numpy-{numpy.__version__}"
    True
    >>> distribution_of("numpy", path, b"changed") is None
    True
    """
    parts = module.split(".")
    depth = len(parts) if file.name.partition(".")[0] == "__init__" else len(parts) - 1
    root = file.parents[depth] if depth < len(file.parents) else file.parent
    relative = file.relative_to(root).as_posix()
    for folder in _metadata_dist_info_folders(root, parts[0]):
        if relative in _record_text(folder):
            same = (f"sha256={urlsafe_b64encode(sha256(content).digest()).rstrip(b'=').decode()}") == _recorded_hashes(
                folder
            ).get(relative)
            return folder.name.removesuffix(".dist-info") if same and not _is_editable(folder) else None
    return parts[0] if parts[0] in TRUSTED_PACKAGES and set(SITE_FOLDERS) & set(file.parts) else None


def is_standard_library(module: str, file: Path | None) -> bool:
    """Return whether a module is part of the standard library, which comes with the version of Python.

    Examples
    --------
    >>> import json
    >>> is_standard_library("json", Path(json.__file__)), is_standard_library("json", Path("json.py").resolve())
    (True, False)
    """
    if module.partition(".")[0] not in sys.stdlib_module_names:
        return False
    return file is None or (
        any(file.is_relative_to(p) for p in _standard_folders()) and not set(SITE_FOLDERS) & set(file.parts)
    )


@lru_cache(maxsize=1)
def _standard_folders() -> tuple[PurePath, ...]:
    paths = sysconfig.get_paths()
    return tuple(Path(paths[name]) for name in ("stdlib", "platstdlib"))


def _metadata_dist_info_folders(root: Path, package: str) -> list[Path]:
    """Return the metadata folders next to a package, those named after it first."""
    name = DISTRIBUTION_NAMES.get(package, package).lower()
    return sorted(
        _dist_info_folders(root), key=lambda folder: not folder.name.lower().replace("-", "_").startswith(name)
    )


@lru_cache(maxsize=64)
def _dist_info_folders(root: Path) -> tuple[Path, ...]:
    return tuple(sorted(root.glob("*.dist-info")))


@lru_cache(maxsize=1024)
def _record_text(folder: Path) -> str:
    """Return the text of a RECORD, in which a path is looked for before it is parsed."""
    try:
        return (folder / "RECORD").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


@lru_cache(maxsize=64)
def _recorded_hashes(folder: Path) -> dict[str, str]:
    rows = csv.reader(_record_text(folder).splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[1]}


@lru_cache(maxsize=64)
def _is_editable(folder: Path) -> bool:
    """Return whether a distribution was installed from a folder or a checkout."""
    try:
        origin = json.loads((folder / "direct_url.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(origin, dict) and any(key in origin for key in EDITABLE_KEYS)
