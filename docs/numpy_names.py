"""Write the tables of NumPy's and SciPy's names into docs/numpy.md: ``python docs/numpy_names.py``."""

import functools
import importlib.util
import sys
from pathlib import Path

import numpy as np
import scipy.integrate
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.spatial
import scipy.special
import scipy.stats

import tracegrad as tg
from tracegrad.autodiff.reverse import pull_back_graph
from tracegrad.core.graph import Graph, Node
from tracegrad.namespaces import NUMPY_FUNCTIONS, meaning_of
from tracegrad.pipeline import interpreted
from tracegrad.rewrite.planes import has_planes, into_planes
from tracegrad.symbolic import Recorder
from tracegrad.trace.creation import Creation

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "numpy.md"
LISTS = ROOT / "tests" / "surface"
BEGIN = "<!-- names: written by docs/numpy_names.py -->"
END = "<!-- end of names -->"
TITLES = {
    "numpy": "`numpy`",
    "numpy_linalg": "`numpy.linalg`",
    "numpy_fft": "`numpy.fft`",
    "numpy_polynomial": "`numpy.polynomial`",
    "scipy_special": "`scipy.special`",
    "scipy_linalg": "`scipy.linalg`",
    "scipy_signal": "`scipy.signal`",
    "scipy_stats": "`scipy.stats`",
    "scipy_spatial": "`scipy.spatial`",
    "scipy_integrate": "`scipy.integrate`",
    "scipy_ndimage": "`scipy.ndimage`",
}
CREATION = Creation(Recorder(Graph(), lambda: None)).functions
CONSTANT = (np.eye, np.identity, np.tri, np.fft.fftfreq, np.fft.rfftfreq)
"""Functions of sizes only, which are called as they are."""


def load_calls():
    """tests/surface/calls.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("calls", LISTS / "calls.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SURFACE_CALLS = load_calls()
CALLS = SURFACE_CALLS.read()


def listed(space):
    """The names of a list."""
    return (LISTS / f"{space}.txt").read_text(encoding="utf-8").split()


def function_of(name):
    """What a listed name stands for in NumPy or SciPy, None where the installed version has no such name."""
    first, *parts = name.split(".")
    return functools.reduce(lambda at, part: getattr(at, part, None), parts, {"np": np, "scipy": scipy}[first])


def is_traced(name):
    """Whether a listed name has a traced meaning."""
    owner = function_of(name.rpartition(".")[0])
    if isinstance(owner, np.ufunc):
        return owner in NUMPY_FUNCTIONS
    function = function_of(name)
    if function is np.r_ or function is np.c_:
        return True
    return function is not None and (meaning_of(function) is not None or function in CREATION or function in CONSTANT)


def joint_graph(expression):
    """The graph of a call and of the cotangents of its arguments."""
    function, arguments = SURFACE_CALLS.made(expression)
    forward = tg.jit(function, compile="never")._looked_up(tuple(arguments.values()), {}).forward
    floats = [k for k, node in enumerate(forward.outputs) if forward[node].aval.differentiable]
    return pull_back_graph(forward, [node.id for node in forward.inputs if node.aval.differentiable], floats)


def in_want(joint):
    """The nodes of a graph that have no native code, of one with complex numbers the first alone."""
    planes = into_planes(joint) if has_planes(joint) else joint
    return (planes,) if isinstance(planes, Node) else interpreted(planes)


def without_native_code(name):
    """The ops without native code that the calls of a name come to, with their gradients."""
    return sorted({node.op.name for call in CALLS[name] for node in in_want(joint_graph(call))})


def table(space):
    """The generated part of a list."""
    names = listed(space)
    there = [name for name in names if is_traced(name)]
    slow = {name: ops for name in there if (ops := without_native_code(name))}
    short = {name: name.removeprefix(f"{TITLES[space].strip('`').replace('numpy', 'np')}.") for name in names}
    lines = [f"### {TITLES[space]}", ""]
    lines += [f"{len(there)} of {len(names)} listed names are traced, {len(there) - len(slow)} of them with native code.", ""]
    native = [f"`{short[name]}`" for name in there if name not in slow]
    if native:
        lines += [f"Native: {', '.join(native)}.", ""]
    if slow:
        lines += [
            'Without native code for some arguments or all, so with `compile="never"`:',
            "",
            "| name | for want of |",
            "|---|---|",
        ]
        lines += [f"| `{short[name]}` | {', '.join(ops)} |" for name, ops in slow.items()]
        lines += [""]
    missing = [f"`{short[name]}`" for name in names if name not in there]
    if missing:
        lines += [f"Not there yet: {', '.join(missing)}.", ""]
    return lines


def page(text):
    """The page with its generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    lines = [line for space in TITLES for line in table(space)]
    return before + "\n".join([BEGIN, "", *lines, END]) + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit()
