"""Values, gradients, shapes and grad_fn names are those recorded from PyTorch 2.13, which need not be installed."""

import json

import pytest

from tests.eager.nn.functional.cases import CASES, ROUNDED, run
from tests.eager.nn.functional.record import FILE, summary
from tracegrad import eager
from tracegrad.eager.nn import functional

RECORDED = json.loads(FILE.read_text(encoding="utf-8"))


def test_every_case_is_recorded():
    assert list(RECORDED) == list(CASES)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_is_what_was_recorded(name):
    found, expected = summary(run(name, functional, eager.tensor, eager.autograd.grad, float)), RECORDED[name]
    assert (found["shape"], found["grad_fn"]) == (expected["shape"], expected["grad_fn"])
    tolerance = 1e-7 if name in ROUNDED else 1e-9
    assert found["value"] == pytest.approx(expected["value"], rel=tolerance, abs=1e-10)
    for ours, theirs in zip(found["gradients"], expected["gradients"], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours == pytest.approx(theirs, rel=tolerance, abs=1e-10)
