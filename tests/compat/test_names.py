"""Every public name of HIPS autograd is there, or an error says what to write instead."""

import importlib
from pathlib import Path

import pytest

from tests.compat import names
from tracegrad.compat.absent import ABSENT
from tracegrad.errors import MissingAttributeError

LISTED = (Path(__file__).parent / "autograd.txt").read_text(encoding="utf-8").split()


def owner(line):
    module, _, name = line.rpartition(".")
    return f"tracegrad.compat.{module}".rstrip("."), name


@pytest.mark.parametrize("module", sorted({owner(line)[0] for line in LISTED}))
def test_names_are_there_or_an_error_teaches(module):
    if module == "tracegrad.compat.misc.tracers":
        with pytest.raises(MissingAttributeError, match="the graph of a function"):
            importlib.import_module("tracegrad.compat.misc").tracers
        return
    found = importlib.import_module(module)
    wanted = {name for line in LISTED for where, name in [owner(line)] if where == module}
    lacking = {name for name in wanted - set(ABSENT.get(module, ())) if not hasattr(found, name)}
    assert not lacking, f"{module} lacks {sorted(lacking)}"


def test_few_names_are_refused():
    refused = {f"{module}.{name}".removeprefix("tracegrad.compat.") for module, absent in ABSENT.items() for name in absent}
    assert len(refused & set(LISTED)) <= 0.03 * len(LISTED)


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, absent in ABSENT.items() for name in absent])
def test_what_is_refused_is_not_there(module, name):
    with pytest.raises(MissingAttributeError, match="Instead"):
        getattr(importlib.import_module(module), name)


def test_the_list_is_that_of_the_installed_autograd():
    autograd = pytest.importorskip("autograd")
    found = set(names.lines())
    new = found - set(LISTED)
    assert not new or autograd.__name__ != "autograd", f"names to add to autograd.txt: {sorted(new)}"


@pytest.mark.parametrize("module", ["numpy", "numpy.linalg", "numpy.fft", "scipy.special"])
def test_star_imports_work(module):
    space = {}
    exec(f"from tracegrad.compat.{module} import *", space)
    assert len(space) > 10
