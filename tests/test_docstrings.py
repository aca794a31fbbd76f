"""What Python users call is documented whole: every parameter, what is returned, what is raised, and an example."""

import inspect
from itertools import pairwise

import pytest

import imblab

PUBLIC = {name: getattr(imblab, name) for name in imblab.__all__ if not name.startswith("_")}
FUNCTIONS = {name: each for name, each in PUBLIC.items() if inspect.isfunction(each)}
METHODS = {
    f"{name}.{method}": function
    for name, each in PUBLIC.items()
    if inspect.isclass(each)
    for method, function in inspect.getmembers(each, callable)
    if not method.startswith("_") and getattr(function, "__module__", "").startswith("imblab")
}


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def sections(function):
    """The text of each section of a docstring, by its title."""
    lines = inspect.getdoc(function).splitlines()
    starts = [i for i, line in enumerate(lines[1:]) if line and set(line) == {"-"}] + [len(lines)]
    return {lines[a]: lines[a + 2 : b] for a, b in pairwise(starts)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_documented_whole(name):
    assert {"Parameters", "Returns", "See Also", "Examples"} <= set(sections(FUNCTIONS[name]))


@pytest.mark.parametrize("name", [name for name, each in {**FUNCTIONS, **METHODS}.items() if parameters(each)])
def test_every_parameter_is_described(name):
    function = {**FUNCTIONS, **METHODS}[name]
    titles = [line for line in sections(function)["Parameters"] if line and not line.startswith(" ")]
    described = [word.strip(" *") for line in titles for word in line.partition(" : ")[0].split(",")]
    assert described == parameters(function)


@pytest.mark.parametrize("name", [name for name, each in PUBLIC.items() if inspect.isclass(each)])
def test_a_public_class_says_what_it_holds(name):
    assert {"Attributes", "Parameters"} & set(sections(PUBLIC[name]))
