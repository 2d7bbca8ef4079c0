"""Every op's samples on Tensors: the value, and the gradient with and without create_graph, are those of its rules."""

import importlib
import pkgutil

import numpy as np
import pytest

import tracegrad.ops
from tracegrad.core.op import Op
from tracegrad.eager import autograd, tensor
from tracegrad.ops.broadcasting import sum_to
from tracegrad.ops.pullback import carries_gradient, pull_back


def declared():
    found = {}
    for info in pkgutil.iter_modules(tracegrad.ops.__path__):
        module = importlib.import_module(f"tracegrad.ops.{info.name}")
        found |= {value.name: value for value in vars(module).values() if isinstance(value, Op)}
    return [(op, sample) for op in found.values() for sample in op.samples if sample.error is None]


@pytest.mark.parametrize(("op", "sample"), declared(), ids=lambda x: x.name if isinstance(x, Op) else "")
def test_value_and_gradients(op, sample):
    rng = np.random.default_rng(0)
    values = [v.draw(rng, np.float64) for v in sample.operands]
    with np.errstate(all="ignore"):
        expected = np.asarray(op.eager(*values, **sample.params))
    tensors = [tensor(x, requires_grad=x.dtype.kind == "f") for x in values]
    out = op(*tensors, **sample.params)
    # quotients of integers are float32, as in PyTorch
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=0 if out.dtype == expected.dtype else 1e-7)
    if not out.requires_grad:
        return
    g = np.asarray(rng.normal(size=out.shape), expected.dtype if expected.dtype.kind == "c" else None)
    active = [k for k, t in enumerate(tensors) if t.requires_grad and carries_gradient(op, k)]
    for create_graph in (False, True):
        out = op(*tensors, **sample.params)
        found = autograd.grad(out, [tensors[k] for k in active], [tensor(g)], create_graph=create_graph)
        for k, gradient in zip(active, found, strict=True):
            with np.errstate(all="ignore"):
                part = sum_to(pull_back(op, k, g, expected, values, sample.params), values[k].shape)
            np.testing.assert_allclose(gradient.detach().numpy(), part, rtol=1e-12, atol=1e-12)
