import numpy as np
import pytest

from tracegrad.core.aval import aval_of
from tracegrad.core.interpret import interpret
from tracegrad.core.tree import flatten
from tracegrad.core.verify import verify
from tracegrad.trace.tracer import Argument, Static, trace


def describe(leaf, path):
    if isinstance(leaf, (np.ndarray, np.generic)):
        return Argument(path, aval_of(leaf))
    if type(leaf) in (int, float):
        return Argument(path, aval_of(leaf), weak=True, value=leaf if type(leaf) is int else None)
    return Static(leaf)


class Tool:
    """Traces a function on example arguments."""

    def trace(self, function, *args, **kwargs):
        leaves, tree = flatten((args, kwargs))
        described = [describe(leaf, path) for leaf, path in zip(leaves, tree.paths("arguments"), strict=True)]
        traced = trace(function, tree, described)
        verify(traced.graph, "trace")
        return traced

    def run(self, traced, *args, **kwargs):
        """The results of a trace for arguments of the same structure."""
        leaves, _ = flatten((args, kwargs))
        inputs = [leaves[i] for i in traced.inputs] + [capture.read() for capture in traced.captured]
        return traced.output_tree.unflatten(interpret(traced.graph, inputs))

    def check(self, function, *args, **kwargs):
        """Trace, run, and compare structure, dtypes and values with the plain function."""
        traced = self.trace(function, *args, **kwargs)
        results, tree = flatten(self.run(traced, *args, **kwargs))
        wanted, wanted_tree = flatten(function(*args, **kwargs))
        assert tree == wanted_tree
        for result, want in zip(results, wanted, strict=True):
            assert np.asarray(result).dtype == np.asarray(want).dtype
            np.testing.assert_allclose(result, want, rtol=1e-14)
        return traced


@pytest.fixture
def tool():
    return Tool()
