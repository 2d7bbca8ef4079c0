"""Programs as users of PyTorch write them give its numbers: recorded ones, and those of the PyTorch that is installed."""

import json

import pytest

from tests.eager.programs.catalogue import PROGRAMS
from tests.eager.programs.record import FILE, numbers
from tracegrad import eager

RECORDED = json.loads(FILE.read_text(encoding="utf-8"))

SINGLE = {"single_precision"}
"""Programs in float32; the others compute in float64."""


def close(name, expected):
    return pytest.approx(expected, rel=2e-6 if name in SINGLE else 1e-9, abs=1e-11)


def test_every_program_is_recorded():
    assert list(RECORDED) == list(PROGRAMS)
    assert all(len(found) >= 3 for found in RECORDED.values())


@pytest.mark.parametrize("name", PROGRAMS)
def test_gives_what_was_recorded(name):
    assert numbers(PROGRAMS[name], eager) == close(name, RECORDED[name])


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_gives_what_pytorch_gives(name):
    torch = pytest.importorskip("torch")
    assert numbers(PROGRAMS[name], eager) == close(name, numbers(PROGRAMS[name], torch))
