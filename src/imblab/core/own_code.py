"""Code that no version fixes: what the classes and functions of a user's own are made of, as a part of every address.

A version of a library stands for its code. A class of the user's own has none: its address holds a hash of the module
it comes from and of every module of the user's own that this one imports, directly or not (design: no work twice). The
hash is that of the code that runs: a module whose file was edited after its import has none until it is loaded anew.
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

from imblab.core import admission, distributions, estimator_specs, modules
from imblab.core.modules import Module

#: Packages whose version stands in every address already, and whose code is ours.
EXEMPT = ("imblab", "imblab_model")
#: Packages that a study may name without `allow`: of these a class's own modules are looked at, not what they import.
SHIPPED = admission.SHIPPED
#: Packages whose version stands in every address already.
NAMED = (*EXEMPT, "numpy", "scipy", "sklearn")


@dataclass(frozen=True, slots=True)
class Code:
    """What the code of a class or function is, beyond the version of its package.

    Attributes
    ----------
    digest : str
        Of all source that no version fixes; empty where there is none.
    versions : tuple of (str, str)
        Packages that the code rests on, and the distribution that each comes from.
    unreadable : str
        Why the code that runs cannot be known; empty where it is.
    token : str
        Stands for the digest where the code cannot be known: equal to no other run's.
    """

    digest: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    unreadable: str = ""
    token: str = ""

    @property
    def name(self) -> str:
        """What stands for the code in an address; empty where its version says everything."""
        return self.token or self.digest


@dataclass(slots=True)
class _Known:
    """The code behind a path, and what must be as it was for that to hold."""

    code: Code
    target: Any
    modules: Mapping[str, Module]

    def holds(self, path: str) -> bool:
        if not self.code.name:  # what is installed stays as it is
            return True
        return _target(path) is self.target and all(module.is_as_before() for module in self.modules.values())


_KNOWN: dict[str, _Known] = {}


def code_of(path: str) -> Code:
    """Return the code behind the dotted path of a class or function.

    Parameters
    ----------
    path : str
        What it names is imported.

    Returns
    -------
    Code
        An empty one where everything comes from versioned distributions, or nothing can be imported: then the fit says
        why.

    Examples
    --------
    >>> code_of("sklearn.linear_model.LogisticRegression")
    Code(digest='', versions=(), unreadable='', token='')
    """
    known = _KNOWN.get(path)
    if known is None or not known.holds(path):
        target = _target(path)
        if target is None:
            return Code()
        known = _KNOWN[path] = _read(path, target)
    return known.code


def part_of_address(makes: Iterable[Any], functions: Iterable[str] = ()) -> dict[str, str]:
    """Return what identifies the code of a user's own in texts of estimators, by path; empty where there is none.

    Parameters
    ----------
    makes : iterable of mapping or None
        Nested estimators count.
    functions : iterable of str
        Dotted paths.

    Returns
    -------
    dict of str to str
    """
    named = ((path, code_of(path).name) for path in paths(makes, functions))
    return {path: name for path, name in named if name}


def paths(makes: Iterable[Any], functions: Iterable[str] = ()) -> list[str]:
    """List the dotted paths in texts of estimators and functions, each once."""
    classes = (path for make in makes if make for path in estimator_specs.class_paths(make))
    return list(dict.fromkeys((*classes, *functions)))


@dataclass(frozen=True, slots=True)
class Rests:
    """What a fit rests on in addition to the versions that its address names.

    Attributes
    ----------
    code : mapping of str to str
        What identifies the code of the user's own, by dotted path.
    versions : tuple of str
        Distributions that the classes rest on and that :func:`targets.versions` does not name.
    is_known : bool
        Whether the code that runs is known everywhere.
    """

    code: Mapping[str, str]
    versions: tuple[str, ...]
    is_known: bool


def rests(makes: Iterable[Mapping[str, Any] | None]) -> Rests:
    """Return what a fit of these estimators rests on; asked at every fit, so that each text is walked once."""
    code, versions, is_known = {}, set(), True
    for make in makes:
        first = "" if make is None else str(make["_target_"]).partition(".")[0]
        for path in estimator_specs.class_paths(make):
            found = code_of(path)
            if found.name:
                code[path], is_known = found.name, is_known and not found.unreadable
            for package, version in found.versions:
                if make is not None and (package != first or estimator_specs.library_versions(make).endswith(" ?")):
                    versions.add(version)
    return Rests(code, tuple(sorted(versions)), is_known)


def unreadable(all_paths: Iterable[str]) -> dict[str, str]:
    """Return the paths whose code cannot be known, with the reason."""
    found = ((path, code_of(path).unreadable) for path in all_paths)
    return {path: reason for path, reason in found if reason}


def snapshot(all_paths: Iterable[str]) -> dict[str, Code]:
    """Return the code of the paths that have code of the user's own: what worker processes must agree with."""
    return {path: code for path in all_paths if (code := code_of(path)).name}


def agree(expected: Mapping[str, Code]) -> list[str]:
    """Take over what another process knows of the same code.

    Parameters
    ----------
    expected : mapping of str to Code
        The other's :func:`snapshot`.

    Returns
    -------
    list of str
        Paths whose code is another one here.
    """
    differing = [p for p, code in expected.items() if replace(code_of(p), token="") != replace(code, token="")]
    for path, code in expected.items():
        if path not in differing and path in _KNOWN:
            _KNOWN[path].code = code
    return differing


def _target(path: str) -> Any:
    """What a path names now; None where it cannot be imported."""
    where, _, name = path.rpartition(".")
    try:
        return getattr(sys.modules.get(where) or import_module(where), name, None)
    except (Exception, SystemExit):  # an import runs the module, which may raise anything: the fit will say so
        return None


def _read(path: str, target: Any) -> _Known:
    search = _Search(path.partition(".")[0])
    for name in _homes(path, target):
        search.visit(name)
    for name in [n for cls in _classes(target) for n in modules.homes_of_methods(cls)]:
        search.visit(name)
    reason = "; ".join(dict.fromkeys(search.reasons)) or modules.out_of_step(search.modules, _classes(target))
    versions = tuple(sorted(pair for pair in search.versions.items() if pair[0] not in NAMED))
    content = "".join(f"{name} {digest}\n" for name, digest in sorted(search.files.items()))
    digest = sha256(content.encode()).hexdigest()[:16] if content else ""
    return _Known(Code(digest, versions, reason, uuid4().hex[:16] if reason else ""), target, search.modules)


def _homes(path: str, target: Any) -> list[str]:
    """The modules in which a class, its parents, or a function are written."""
    bare = modules.functions_in(target) or [target]
    found = [path.rpartition(".")[0], *(str(getattr(item, "__module__", None) or "") for item in bare)]
    found += [cls.__module__ for cls in _classes(target)]
    return [name for name in dict.fromkeys(found) if name]


def _classes(target: Any) -> tuple[type, ...]:
    """A class with its parents; of an object that is called like a function, its class."""
    cls = target if isclass(target) else type(target)
    return tuple(c for c in cls.__mro__ if c.__module__ not in ("builtins", "functools"))


@dataclass(slots=True)
class _Search:
    """Walks from module to module along their imports."""

    home: str
    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    modules: dict[str, Module] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def visit(self, root: str) -> None:
        """Look at a module and at what it imports; at the packages around each too, which Python runs before it."""
        waiting = [root]
        while waiting:
            current = waiting.pop()
            parts = current.split(".")
            for name in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):
                is_root, is_closed = current == root, parts[0] in self.versions and parts[0] != self.home
                if name not in self.seen and (is_root or not is_closed) and parts[0] not in EXEMPT:
                    self.seen.add(name)
                    waiting += self._looked_at(name, parts[0])

    def _looked_at(self, name: str, top: str) -> list[str]:
        """Record one module; the modules to look at next."""
        if name == "__main__":
            self.reasons.append("it is defined in a notebook cell or a script, not in a module that can be imported")
            return []
        module = modules.located(name)
        if module is None or distributions.is_standard(name, module.file):
            return []
        if module.content is None:
            if not module.is_namespace:
                self.reasons.append(f"module {name!r} has no file that can be read")
            return []
        installed = module.file and distributions.version_of(name, module.file, module.content)
        if installed:
            self.versions[top] = installed
            return modules.imports(module, within=top) if top == self.home and top not in SHIPPED else []
        self.files[name] = sha256(module.content).hexdigest()
        self.modules[name] = module
        return modules.imports(module)
