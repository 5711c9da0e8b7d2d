import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
import hrvlab.atlas
import hrvlab.experiments
from hrvlab.results import read_result

# Every name that users are told to import, by the module that exports it.
EXPERIMENTS = [
    importlib.import_module(f"hrvlab.experiments.{found.name}")
    for found in pkgutil.iter_modules(hrvlab.experiments.__path__)
    if found.ispkg
]
EXPORTED = {
    f"{module.__name__.removeprefix('hrvlab.')}.{name}": getattr(module, name)
    for module in (hl, *EXPERIMENTS)
    for name in module.__all__
} | {
    f"atlas.{name}": one
    for name in hrvlab.atlas.__all__
    if inspect.isfunction(one := getattr(hrvlab.atlas, name))
}
DOCUMENTED = {name: one for name, one in EXPORTED.items() if callable(one)}


@pytest.fixture(scope="module")
def names():
    return {
        "hl": hl,
        "np": np,
        "xr": xr,
        "pipe": hl.load("miniature"),
        "hrv": read_result("votes").data.hrv.relevance(),
        "concepts": hl.ConceptSet.from_dict(
            {"Color": ["Red", "Blue", "Green"], "Animals": ["Cat", "Frog"]}
        ),
    }


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_of_every_exported_name_gives_what_it_shows(name, names, tmp_path):
    one = DOCUMENTED[name]
    globs = {**names, "store": tmp_path, one.__name__: one}
    found = doctest.DocTestFinder(recurse=False).find(one, name, globs=globs)
    examples = [test for test in found if test.examples]
    assert examples, f"{name} has no example"
    said = []
    for test in examples:
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
            test, out=said.append
        )
        assert not result.failed, "".join(said)


def test_everything_exported_is_documented():
    assert all((one.__doc__ or "").strip() for one in EXPORTED.values() if callable(one))
