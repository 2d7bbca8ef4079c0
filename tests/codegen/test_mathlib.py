"""The functions kernels call: NumPy's results, inside njit and in their Python twins."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from tracegrad.codegen import mathlib


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sin"])
def test_a_function_gives_numpys_result(name: str) -> None:
    function = getattr(mathlib, name)

    @numba.njit
    def call(x):
        return function(x)

    assert math.isclose(call(0.7), getattr(np, name)(0.7), rel_tol=1e-15)
