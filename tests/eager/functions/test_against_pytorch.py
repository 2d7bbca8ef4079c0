"""PyTorch's functions: value, dtype, shape, gradient and grad_fn name as PyTorch gave them, and as it gives them now.

The recorded results are PyTorch's own: ``python -m tests.eager.functions.test_against_pytorch`` writes them anew.
"""

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.eager.functions.cases import ARRAYS, CASES, ONCE, cotangent, evaluate, letters
from tracegrad.eager import Tensor, autograd, tensor
from tracegrad.eager.surface import SURFACE

RECORDED = Path(__file__).with_name("recorded.json")

OURS = SimpleNamespace(
    **{name: function for name, function in SURFACE.items() if "." not in name},
    tensor=tensor,
    float64=np.dtype("float64"),
    autograd=autograd,
)


def dtype_name(x):
    return str(x.dtype).removeprefix("torch.")


def run(t, text, dtype, second=False):
    """What a line gives: per result shape, dtype, values and node, and the gradients; None for one of zeros."""
    make = t.tensor
    leaves = {k: make(ARRAYS[k].astype(dtype), requires_grad=True) for k in letters(text)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        results = evaluate(text, t, leaves)
    found = {"results": [], "gradients": None}
    for x in results:
        node = "" if x.grad_fn is None else x.grad_fn.name()
        values = x.detach().numpy()
        found["results"].append([list(x.shape), dtype_name(x), values.astype(float).ravel().tolist(), node])
    active = [x for x in results if x.requires_grad]
    if active:
        cotangents = [make(cotangent(tuple(x.shape)), dtype=x.dtype) for x in active]
        wrt = list(leaves.values())
        gradients = t.autograd.grad(active, wrt, cotangents, allow_unused=True, create_graph=second)
        found["gradients"] = [plain(g) for g in gradients]
        if second:
            again = [g for g in gradients if g is not None and g.requires_grad]
            if again:
                cotangents = [make(cotangent(tuple(g.shape)), dtype=g.dtype) for g in again]
                found["second"] = [plain(g) for g in t.autograd.grad(again, wrt, cotangents, allow_unused=True)]
    return found


def plain(g):
    if g is None:
        return None
    # PyTorch has tensors of zeros without storage
    values = g.detach().numpy() if isinstance(g, Tensor) else g.detach().numpy(force=True)
    return values.astype(float).ravel().tolist()


def assert_gradients(ours, theirs, tolerance):
    # a gradient that is not there is one of zeros
    missing = [None] * len(ours or theirs or [])
    for mine, other in zip(ours or missing, theirs or missing, strict=True):
        size = len(mine or other or [])
        np.testing.assert_allclose(mine or [0.0] * size, other or [0.0] * size, rtol=tolerance, atol=tolerance)


def assert_same(ours, theirs, tolerance):
    assert len(ours["results"]) == len(theirs["results"])
    for mine, other in zip(ours["results"], theirs["results"], strict=True):
        assert mine[:2] == other[:2]
        # functions of integers are float32 whatever the other operands are
        near = max(tolerance, 1e-6) if mine[1] == "float32" else tolerance
        np.testing.assert_allclose(mine[2], other[2], rtol=near, atol=near)
        assert mine[3] == other[3]
    assert_gradients(ours["gradients"], theirs["gradients"], tolerance)


@pytest.mark.parametrize("name", CASES)
def test_as_recorded(name):
    recorded = json.loads(RECORDED.read_text())
    assert_same(run(OURS, CASES[name], np.float64), recorded[name], 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_as_pytorch_gives_it(name):
    torch = pytest.importorskip("torch")
    assert_same(run(OURS, CASES[name], np.float32), run(torch, CASES[name], np.float32), 2e-5)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ONCE])
def test_second_derivatives(name):
    torch = pytest.importorskip("torch")
    ours, theirs = run(OURS, CASES[name], np.float64, True), run(torch, CASES[name], np.float64, True)
    assert_gradients(ours["gradients"], theirs["gradients"], 1e-12)
    assert_gradients(ours.get("second"), theirs.get("second"), 1e-9)


def record():
    """Write down what PyTorch gives."""
    import torch

    lines = [f"{json.dumps(name)}: {json.dumps(run(torch, text, np.float64))}" for name, text in CASES.items()]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    sys.exit(record())
