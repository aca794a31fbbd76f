"""Modules as files: where one lies, what it imports, and whether what is loaded of it is what the file says now."""

from __future__ import annotations

import ast
import marshal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from importlib.util import cache_from_source, resolve_name, source_hash
from inspect import isclass, isfunction, ismodule
from modulefinder import ModuleFinder
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

#: Files that were changed before this process began are those it has loaded.
_BEGAN = time.time()
#: Bytes before the code in a ``.pyc``: magic number, flags, and time and size of the source, or a hash of it.
_HEADER = 16


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A module that is loaded or could be.

    Attributes
    ----------
    name : str
        Dotted.
    file : Path or None
    content : bytes or None
        Of the file; None where it cannot be read.
    search_path : tuple of str or None
        Folders of its submodules; None for a plain module.
    loaded, spec : object or None
        What ``sys.modules`` holds, and its specification, which is another one after a reload.
    """

    name: str
    file: Path | None
    content: bytes | None
    search_path: tuple[str, ...] | None
    loaded: Any
    spec: Any

    @property
    def is_namespace(self) -> bool:
        """Whether it is a package without code of its own."""
        return self.file is None and self.search_path is not None

    def is_as_before(self) -> bool:
        """Whether what is loaded, or would be, is what it was when this was made."""
        now = sys.modules.get(self.name)
        if self.loaded is not None:
            return now is self.loaded and getattr(now, "__spec__", None) is self.spec
        return now is None and self.file is not None and _read(self.file, None) == self.content


def located(name: str) -> Module | None:
    """Find a module without importing it, nor any package around it; None where there is none."""
    loaded = sys.modules.get(name)
    spec = _spec(name) if loaded is None else getattr(loaded, "__spec__", None)
    if loaded is None and spec is None:
        return None
    where = getattr(loaded, "__file__", None) or (spec.origin if spec is not None and spec.has_location else None)
    inside = getattr(loaded, "__path__", None) or getattr(spec, "submodule_search_locations", None)
    file = Path(where) if where else None
    content = None if file is None else _read(file, getattr(spec, "loader", None))
    return Module(name, file, content, None if inside is None else tuple(inside), loaded, spec)


def _spec(name: str) -> Any:
    """The specification of a module that is not loaded; ``importlib.util.find_spec`` would import its parents."""
    parent = name.rpartition(".")[0]
    around = located(parent) if parent else None
    if parent and (around is None or around.search_path is None):
        return None
    path = None if around is None or around.search_path is None else list(around.search_path)
    try:
        found = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        return next((spec for spec in found if spec is not None), None)
    except Exception:  # a finder of other people may raise anything; the import would then fail too
        return None


def _read(file: Path, loader: Any) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        pass
    try:  # inside a zip file
        return bytes(loader.get_data(str(file)))
    except Exception:  # no loader, or one that cannot say
        return None


def imports(module: Module, within: str = "") -> list[str]:
    """List the names of modules that a module imports, also inside its functions and conditions.

    Parameters
    ----------
    module : Module
    within : str, optional
        Only names of this top-level package.

    Returns
    -------
    list of str
        Dotted and absolute. ``from a import b`` gives ``a`` and ``a.b``, whether or not the latter is a module. Names
        that are computed are not seen.
    """
    package = module.name if module.search_path is not None else module.name.rpartition(".")[0]
    names = []
    for level, base, parts in _statements(module):
        try:
            start = resolve_name("." * level + base, package) if level else base
        except ImportError:
            continue
        names += [start, *(f"{start}.{part}" for part in parts if part != "*")]
    return [name for name in dict.fromkeys(names) if name and (not within or name.partition(".")[0] == within)]


def _statements(module: Module) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Level, module and names of every import."""
    tree = _tree(module)
    if tree is not None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((0, alias.name, ()) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.level, node.module or "", tuple(alias.name for alias in node.names)
            elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__") and node.args:
                name = getattr(node.args[0], "value", None)
                if isinstance(name, str):
                    yield len(name) - len(name.lstrip(".")), name.lstrip("."), ()
        return
    for code in _codes(module):
        for kind, found in ModuleFinder().scan_opcodes(code):
            if kind == "absolute_import":
                yield 0, found[1], tuple(found[0] or ())
            elif kind == "relative_import":
                yield found[0], found[2] or "", tuple(found[1] or ())
    if not _is_python(module) and module.loaded is not None:  # compiled: what it holds of other modules
        held = vars(module.loaded).values()
        for name in {v.__name__ if ismodule(v) else str(getattr(v, "__module__", "")) for v in held}:
            yield 0, name, ()


def _called(function: ast.expr) -> str:
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _is_python(module: Module) -> bool:
    return module.file is not None and module.file.suffix in (".py", ".pyc")


def _tree(module: Module) -> ast.Module | None:
    if module.file is None or module.file.suffix == ".pyc" or not _is_python(module):
        return None
    try:
        return ast.parse(module.content or b"")
    except (SyntaxError, ValueError):
        return None


def _codes(module: Module) -> set[CodeType]:
    """The code of a module's file and of everything in it; empty where it is no Python."""
    if not _is_python(module) or module.content is None or module.file is None:
        return set()
    try:
        if module.file.suffix == ".pyc":
            waiting = [marshal.loads(module.content[_HEADER:])]
        else:
            waiting = [compile(module.content, str(module.file), "exec", dont_inherit=True)]
    except (SyntaxError, ValueError, EOFError, TypeError):
        return set()
    found: set[CodeType] = set()
    while waiting:
        code = waiting.pop()
        found.add(code)
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found


def functions_in(value: Any) -> list[FunctionType]:
    """List the functions behind a value: wrapped, bound, or of a property."""
    found: list[FunctionType] = []
    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen or isclass(item):
            continue
        seen.add(id(item))
        if isfunction(item):
            found.append(item)
        held = vars(type(item)) if isinstance(item, (property, cached_property, partial)) else ()
        waiting += [getattr(item, name) for name in ("fget", "fset", "fdel", "func") if name in held]
        if isinstance(item, cached_property):
            waiting.append(item.func)
        if isinstance(item, (FunctionType, staticmethod, classmethod)) or hasattr(type(item), "__wrapped__"):
            waiting += [getattr(item, name, None) for name in ("__wrapped__", "__func__")]
    return found


def homes_of_methods(cls: type) -> list[str]:
    """List the modules in which the functions of a class were written: not that of the class where it was patched."""
    functions = (f for value in vars(cls).values() for f in functions_in(value))
    return list(dict.fromkeys(str(f.__globals__.get("__name__", "")) for f in functions))


def out_of_step(modules: Mapping[str, Module], classes: Iterable[type]) -> str:
    """Say which loaded module is not what its file says, or holds what another one no longer has; empty for none."""
    for name, module in modules.items():
        if module.loaded is not None and (_is_python(module) and not _is_what_was_loaded(module)):
            return f"module {name!r} was changed after it was imported"
    for owner, value in [*_references(modules), *((cls.__name__, cls) for cls in classes)]:
        home = modules.get(str(getattr(value, "__module__", "")))
        if home is None or home.loaded is None:
            continue
        now = vars(home.loaded).get(value.__qualname__)
        if now is not None and now is not value and type(now) is type(value):
            return f"{owner!r} holds {value.__qualname__!r} as module {home.name!r} had it before it was loaded anew"
    return ""


def _references(modules: Mapping[str, Module]) -> Iterator[tuple[str, Any]]:
    """Functions and classes that modules took from one another."""
    for name, module in modules.items():
        for value in [] if module.loaded is None else list(vars(module.loaded).values()):
            if (isfunction(value) or isclass(value)) and value.__module__ != name:
                yield name, value


def _is_what_was_loaded(module: Module) -> bool:
    if not isinstance(getattr(module.spec, "loader", None), (SourceFileLoader, SourcelessFileLoader)):
        # A hook that rewrites code (of pytest, of a type checker): what it loaded equals no file, so that time decides.
        return not _is_new(module)
    codes, space = _codes(module), vars(module.loaded)
    written = (f for f in _functions_of(module.name, space) if f.__globals__ is space)
    known = all(f.__code__ in codes for f in written if not f.__code__.co_filename.startswith("<"))
    tree = _tree(module)
    return known and (tree is None or _holds_constants(tree.body, tree, space, module.name)) and _is_compiled(module)


def _functions_of(name: str, space: Mapping[str, Any]) -> Iterator[FunctionType]:
    for value in list(space.values()):
        if isclass(value):
            if value.__module__ == name and space is not vars(value):
                yield from _functions_of(name, {k: v for k, v in vars(value).items() if v is not value})
        else:
            yield from functions_in(value)


def _holds_constants(body: Iterable[ast.stmt], tree: ast.Module, space: Mapping[str, Any], name: str) -> bool:
    """Whether constants that are written once have the value that is written."""
    stored = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)]
    for node in body:
        if isinstance(node, ast.ClassDef):
            cls = space.get(node.name)
            if isclass(cls) and cls.__module__ == name and not _holds_constants(node.body, tree, vars(cls), name):
                return False
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(target, ast.Name) and node.value is not None:
            value = _literal(node.value)
            if value is not None and stored.count(target.id) == 1 and repr(space.get(target.id, value)) != repr(value):
                return False
    return True


def _literal(node: ast.expr) -> Any:
    """A number, text or truth value that is written out; None for everything else."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, (bool, int, float, complex, str, bytes)) else None


def _is_new(module: Module) -> bool:
    """Whether a file was changed since this process began."""
    try:
        return module.file is not None and module.file.stat().st_mtime > _BEGAN
    except OSError:
        return False


def _is_compiled(module: Module) -> bool:
    """Whether the compiled file that an import leaves is that of this source, where that is newer than this process."""
    assert module.file is not None
    if not _is_new(module) or module.file.suffix == ".pyc":
        return True
    try:
        now = module.file.stat()
        head = Path(cache_from_source(str(module.file))).read_bytes()[:_HEADER]
    except (OSError, NotImplementedError):
        return True
    if head[4:8] != b"\0\0\0\0":
        return head[8:16] == source_hash(module.content or b"")
    stamp = (int(now.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (now.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    return head[8:16] == stamp
