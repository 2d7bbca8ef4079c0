"""Calls of each traced name of NumPy and SciPy: what the tests run and the docs' table is made from.

``calls.txt`` has one a line: an expression that begins with the name it is for, or that stands behind it and a colon. The
names of a call's arguments say what they are: ``x``, ``y`` matrices (3, 4) of either sign, ``p``, ``q`` likewise with
elements between 0.2 and 0.9, ``v``, ``w`` vectors of 5, ``u`` of 5 in increasing order, ``s`` a symmetric positive definite
matrix (3, 3), ``a`` another well-conditioned one, ``b`` (3, 2), ``t`` a stack (2, 3, 4), ``z`` a scalar, ``n`` integers,
``m`` (3, 4) with some NaN, ``c`` and ``d`` matrices (3, 4) of complex numbers away from 0, ``e`` a well-conditioned complex one
(3, 3). All but ``n`` are differentiated.
"""

import re
from pathlib import Path

import numpy as np
import scipy.integrate
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.spatial
import scipy.special
import scipy.stats

_DRAW = np.random.default_rng(3)
_SQUARE = _DRAW.normal(size=(3, 3))
ARGUMENTS = {
    "x": _DRAW.uniform(-1.5, 1.5, (3, 4)),
    "y": _DRAW.uniform(-1.5, 1.5, (3, 4)),
    "p": _DRAW.permutation(np.linspace(0.21, 0.88, 12)).reshape(3, 4),
    "q": _DRAW.permutation(np.linspace(0.22, 0.89, 12)).reshape(3, 4),
    "v": _DRAW.uniform(-1.5, 1.5, 5),
    "w": _DRAW.uniform(0.3, 1.5, 5),
    "u": np.cumsum(_DRAW.uniform(0.3, 1.0, 5)),
    "s": _SQUARE @ _SQUARE.T + 3 * np.eye(3),
    "a": _SQUARE + 3 * np.eye(3),
    "b": _DRAW.normal(size=(3, 2)),
    "t": _DRAW.uniform(-1.5, 1.5, (2, 3, 4)),
    "z": np.array(0.4),
    "n": np.array([2, 0, 1, 2]),
    "c": _DRAW.uniform(0.3, 1.2, (3, 4)) * np.exp(2j * _DRAW.uniform(-1.5, 1.5, (3, 4))),
    "d": _DRAW.uniform(0.3, 1.2, (3, 4)) * np.exp(2j * _DRAW.uniform(-1.5, 1.5, (3, 4))),
    "e": _SQUARE @ np.diag([1, 1j, -1]) + 3 * np.eye(3),
    "m": np.where(np.arange(12).reshape(3, 4) % 5 == 1, np.nan, _DRAW.uniform(-1.5, 1.5, (3, 4))),
}


SPACE = {"np": np, "scipy": scipy}


def made(expression):
    """The function that an expression is of its arguments."""
    used = [name for name in ARGUMENTS if re.search(rf"(?<![\w.]){name}(?!\w|=)", expression)]
    function = eval(f"lambda {', '.join(used)}: {expression}", dict(SPACE))
    return function, {name: ARGUMENTS[name] for name in used}


def read():
    """The expressions of each name."""
    calls = {}
    for line in Path(__file__).with_name("calls.txt").read_text(encoding="utf-8").splitlines():
        name, expression = re.fullmatch(r"((?:np|scipy)[\w.]*)(?:: (?=.)|(?=[(\[]))(.*)", line).groups()
        calls.setdefault(name, []).append(expression if line.startswith(f"{name}: ") else line)
    return calls
