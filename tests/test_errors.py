"""What an error says, and that it can be caught as the built-in it resembles."""

import pickle

import pytest

from tracegrad import errors
from tracegrad.errors import Frame, ShapeError, TracegradError

FRAME = Frame("fit.py", 12, "loss", "y = x @ w")


def test_renders_message_place_and_fix():
    error = ShapeError("shapes do not fit", fix="x.T @ w\nor w @ x", where=FRAME)
    assert str(error) == ("shapes do not fit\n  at fit.py:12 in loss: y = x @ w\n  Instead: x.T @ w\n    or w @ x")


def test_the_first_place_given_stays():
    error = ShapeError("bad")
    assert error.at(FRAME) is error
    assert error.at(Frame("other.py", 1, "main")).where is FRAME
    assert error.at(None).where is FRAME


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ShapeError", ValueError),
        ("DtypeError", TypeError),
        ("TraceError", TypeError),
        ("EscapeError", errors.TraceError),
        ("ConditionError", errors.TraceError),
        ("DifferentiationError", TypeError),
        ("RuleError", NotImplementedError),
        ("RuleError", errors.DifferentiationError),
        ("TreeError", TypeError),
        ("CompileError", RuntimeError),
    ],
)
def test_is_caught_as(name, builtin):
    cls = getattr(errors, name)
    assert issubclass(cls, TracegradError)
    assert issubclass(cls, builtin)


def test_survives_pickling_with_everything_it_says():
    error = ShapeError("bad", fix="do that", where=FRAME)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
