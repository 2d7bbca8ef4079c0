"""The line that errors and graphs name is the user's."""

import functools
import os
import sysconfig
import time

import numpy as np

from tracegrad.core import source
from tracegrad.core.source import user_frame


def test_names_the_calling_line():
    frame = user_frame()  # here
    assert frame.file == __file__
    assert frame.function == "test_names_the_calling_line"
    assert frame.text == "frame = user_frame()  # here"


def test_looks_through_numpy_and_the_standard_library():
    method = _defined_in(source.__file__, "def f(self, *_): return user_frame()", user_frame=user_frame)
    recorder = type("Recorder", (), {"__array_function__": method})()  # as the tracer, which lives inside the package
    frame = functools.reduce(lambda _a, _b: np.concatenate([recorder]), [1, 2])
    assert frame.file == __file__
    assert "np.concatenate" in frame.text


def test_an_installed_library_is_the_user_when_there_is_no_other(monkeypatch):
    library = os.path.join(sysconfig.get_path("purelib"), "fitting", "core.py")
    numpy = os.path.join(sysconfig.get_path("purelib"), "numpy", "lib.py")
    monkeypatch.setattr(source, "_distance", _distance_without_tests)
    inner = _defined_in(numpy, "def f(): return user_frame()", user_frame=user_frame)
    assert _defined_in(library, "def f(): return inner()", inner=inner)().file == library


def _distance_without_tests(file, known=source._distance):
    return known(file) if sysconfig.get_path("purelib") in file else 2


def test_no_line_at_all(monkeypatch):
    monkeypatch.setattr(source, "_distance", lambda file: 2)
    assert user_frame() is None


def test_a_line_without_source_has_empty_text():
    frame = _defined_in("<cell 1>", "def f(): return user_frame()", user_frame=user_frame)()
    assert (frame.file, frame.line, frame.text) == ("<cell 1>", 1, "")


def test_is_fast():
    user_frame()
    start = time.perf_counter()
    for _ in range(1000):
        user_frame()
    assert (time.perf_counter() - start) / 1000 < 100e-6


def _defined_in(file, code, **names):
    """Define a function f as if it stood in another file."""
    exec(compile(code, file, "exec"), names)
    return names["f"]
