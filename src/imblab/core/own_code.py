"""Code that no version fixes: the hash of a user's classes and functions, as a part of every address.

A version of a library stands for its code. A class of the user has none: its address holds a hash of the module that it
comes from and of every module of the user that this one imports, directly or not. The hash is that of the code that
runs: a module whose file was edited after its import has none until it is reloaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib import import_module
from inspect import isclass
from typing import Any
from uuid import uuid4

from imblab.core import admission, estimator_specs, modules
from imblab.core.modules import Module

OUR_PACKAGES = ("imblab", "imblab_model")
#: Packages whose version stands in every address.
ADDRESSED_PACKAGES = (*OUR_PACKAGES, "numpy", "scipy", "sklearn")


@dataclass(frozen=True, slots=True)
class Code:
    """The code of a class or function, beyond the version of its package."""

    digest: str = ""  # of all source that no version fixes; empty where there is none
    #: packages that the code rests on, and the distribution that each comes from
    versions: tuple[tuple[str, str], ...] = ()
    unreadable: str = ""  # why the code that runs cannot be known; empty where it is
    token: str = ""  # stands for the digest where the code cannot be known: equal to no other run's

    @property
    def name(self) -> str:
        """The part of an address that stands for the code; empty if the version says everything."""
        return self.token or self.digest


@dataclass(slots=True)
class _CachedCode:
    """The code behind a path, valid while the target and the modules are as they were."""

    code: Code
    target: Any
    modules: Mapping[str, Module]

    def is_valid(self, path: str) -> bool:
        if not self.code.name:  # what is installed stays as it is
            return True
        return _import_target(path) is self.target and all(module.is_as_before() for module in self.modules.values())


_CODE_CACHE: dict[str, _CachedCode] = {}


def code_of(path: str) -> Code:
    """Import a class or function by its dotted path, and return its code.

    An empty one if everything comes from versioned distributions, or if nothing can be imported: the fit will say why.

    Examples
    --------
    >>> code_of("sklearn.linear_model.LogisticRegression")
    Code(digest='', versions=(), unreadable='', token='')
    """
    cached = _CODE_CACHE.get(path)
    if cached is None or not cached.is_valid(path):
        target = _import_target(path)
        if target is None:
            return Code()
        cached = _CODE_CACHE[path] = _read_code(path, target)
    return cached.code


def code_names(makes: Iterable[Any], functions: Iterable[str] = ()) -> dict[str, str]:
    """Return the hash of the user's code in estimator specifications and functions, by dotted path.

    Paths without code of the user are left out.
    """
    names = ((path, code_of(path).name) for path in code_paths(makes, functions))
    return {path: name for path, name in names if name}


def code_paths(makes: Iterable[Any], functions: Iterable[str] = ()) -> list[str]:
    """List the dotted paths in estimator specifications and functions, each once."""
    classes = (path for make in makes if make for path in estimator_specs.class_paths(make))
    return list(dict.fromkeys((*classes, *functions)))


@dataclass(frozen=True, slots=True)
class _CodeDependencies:
    """The code that a fit depends on, in addition to the versions that its address names."""

    code: Mapping[str, str]  # hash of the user's code by dotted path
    versions: tuple[str, ...]  # distributions behind it that ``library_versions`` does not name
    is_known: bool  # whether the code that runs is known everywhere


def code_dependencies(makes: Iterable[Mapping[str, Any] | None]) -> _CodeDependencies:
    """Return the code that a fit of these estimators depends on."""
    code, versions, is_known = {}, set(), True
    for make in makes:
        first = "" if make is None else str(make["_target_"]).partition(".")[0]
        for path in estimator_specs.class_paths(make):
            entry = code_of(path)
            if entry.name:
                code[path], is_known = entry.name, is_known and not entry.unreadable
            for package, version in entry.versions:
                if make is not None and (package != first or estimator_specs.library_versions(make).endswith(" ?")):
                    versions.add(version)
    return _CodeDependencies(code, tuple(sorted(versions)), is_known)


def unreadable_code(all_paths: Iterable[str]) -> dict[str, str]:
    """Return the paths whose running code cannot be known, with the reason."""
    reasons = ((path, code_of(path).unreadable) for path in all_paths)
    return {path: reason for path, reason in reasons if reason}


def code_snapshot(all_paths: Iterable[str]) -> dict[str, Code]:
    """Return the user's code by path, which worker processes must agree with."""
    return {path: code for path in all_paths if (code := code_of(path)).name}


def adopt_snapshot(expected: Mapping[str, Code]) -> list[str]:
    """Adopt the :func:`code_snapshot` of another process, and return the paths whose code differs here."""
    differing = [p for p, code in expected.items() if replace(code_of(p), token="") != replace(code, token="")]
    for path, code in expected.items():
        if path not in differing and path in _CODE_CACHE:
            _CODE_CACHE[path].code = code
    return differing


def _import_target(path: str) -> Any:
    """Return the object of a path; None if it cannot be imported."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(sys.modules.get(module) or import_module(module), name, None)
    except (Exception, SystemExit):  # an import runs the module: the fit will say so
        return None


def _read_code(path: str, target: Any) -> _CachedCode:
    walk = _ImportWalk(path.partition(".")[0])
    for name in _defining_modules(path, target):
        walk.visit(name)
    for name in [n for cls in _base_classes(target) for n in modules.method_modules(cls)]:
        walk.visit(name)
    reason = "; ".join(dict.fromkeys(walk.reasons)) or modules.describe_stale_code(walk.modules, _base_classes(target))
    versions = tuple(sorted(pair for pair in walk.versions.items() if pair[0] not in ADDRESSED_PACKAGES))
    content = "".join(f"{name} {digest}\n" for name, digest in sorted(walk.files.items()))
    digest = sha256(content.encode()).hexdigest()[:16] if content else ""
    return _CachedCode(Code(digest, versions, reason, uuid4().hex[:16] if reason else ""), target, walk.modules)


def _defining_modules(path: str, target: Any) -> list[str]:
    """List the modules in which a class, its parents, or a function are written."""
    functions = modules.functions_in(target) or [target]
    names = [path.rpartition(".")[0], *(str(getattr(item, "__module__", None) or "") for item in functions)]
    names += [cls.__module__ for cls in _base_classes(target)]
    return [name for name in dict.fromkeys(names) if name]


def _base_classes(target: Any) -> tuple[type, ...]:
    """Return a class with its parents; for a callable object, its class."""
    cls = target if isclass(target) else type(target)
    return tuple(c for c in cls.__mro__ if c.__module__ not in ("builtins", "functools"))


@dataclass(slots=True)
class _ImportWalk:
    """Reads modules along their imports."""

    home: str
    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    modules: dict[str, Module] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def visit(self, root: str) -> None:
        """Read a module, the modules that it imports, and the packages around each, which Python runs before it."""
        waiting = [root]
        while waiting:
            current = waiting.pop()
            parts = current.split(".")
            for name in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):
                is_root, is_closed = current == root, parts[0] in self.versions and parts[0] != self.home
                if name not in self.seen and (is_root or not is_closed) and parts[0] not in OUR_PACKAGES:
                    self.seen.add(name)
                    waiting += self._read_module(name, parts[0])

    def _read_module(self, name: str, top: str) -> list[str]:
        """Record one module, and return the modules to read next."""
        if name == "__main__":
            self.reasons.append("it is defined in a notebook cell or a script, not in a module that can be imported")
            return []
        module = modules.find_module(name)
        if module is None or modules.is_standard_library(name, module.file):
            return []
        if module.content is None:
            if not module.is_namespace:
                self.reasons.append(f"module {name!r} has no file that can be read")
            return []
        installed = module.file and modules.distribution_of(name, module.file, module.content)
        if installed:
            self.versions[top] = installed
            return (
                modules.imported_names(module, within=top) if top == self.home and top not in admission.SHIPPED else []
            )
        self.files[name] = sha256(module.content).hexdigest()
        self.modules[name] = module
        return modules.imported_names(module)
