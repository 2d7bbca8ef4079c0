"""Gradients of the tape: against finite differences, the interpreter on the same function, and PyTorch's numbers."""

import numpy as np
import pytest

from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.aval import aval_of
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.eager import autograd, tensor
from tracegrad.ops import indexing, maps, reductions, views
from tracegrad.ops.sources import input as input_op
from tracegrad.symbolic import Recorder, Sym

PROGRAMS = {
    "chain": lambda x, w: (maps.tanh(x * 1.5 + 0.3) ** 2 * maps.exp(-x * x)).sum(),
    "broadcast": lambda x, w: ((x + w[0]) / (w[:, :1] ** 2 + 2.0)).sum(),
    "softmax": lambda x, w: maps.log(maps.exp(x - reductions.max(x, 1, keepdims=True)).sum(1)).mean(),
    "matrix": lambda x, w: (maps.tanh(x @ w.T) * (w @ x.T)).sum(),
    "views": lambda x, w: (views.concatenate([x, w[:, ::-1]], 1).reshape(2, -1).T[1:, :] ** 3).mean(),
    "gather": lambda x, w: (indexing.take(x, np.array([2, 0, 2]), 1) * w[[0, 1, 0], 1:]).sum(),
    "choice": lambda x, w: maps.select(x > 0, maps.log(maps.maximum(x, 1e-3)), x * w).sum(),
    "extremes": lambda x, w: x.max() * reductions.min(w, 0).sum() + reductions.prod(x[0]),
    "reuse": lambda x, w: (x * x * x + x * w - x / (1.0 + w * w)).sum(),
    "twice": lambda x, w: (x * w).sum() * (x + w).mean(),
}


def arguments():
    rng = np.random.default_rng(7)
    return rng.normal(size=(3, 4)), rng.normal(size=(3, 4))


def eager_gradients(function, values):
    leaves = [tensor(v, requires_grad=True) for v in values]
    out = function(*leaves)
    out.backward()
    return out.item(), [np.zeros(v.shape) if t.grad is None else t.grad.numpy() for t, v in zip(leaves, values, strict=True)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_finite_differences(name):
    function, values = PROGRAMS[name], arguments()
    _, gradients = eager_gradients(function, values)
    rng = np.random.default_rng(1)
    for k, gradient in enumerate(gradients):
        direction = rng.normal(size=values[k].shape)
        ends = []
        for h in (1e-6, -1e-6):
            moved = list(values)
            moved[k] = values[k] + h * direction
            ends.append(function(*map(tensor, moved)).item())
        assert np.vdot(gradient, direction) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", PROGRAMS)
def test_equal_to_the_interpreter(name):
    function, values = PROGRAMS[name], arguments()
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    ids = [recorder.emit(input_op, (), {"position": k, "aval": aval_of(v)}) for k, v in enumerate(values)]
    out = function(*(Sym(recorder, i) for i in ids))
    joint = differentiate(graph.freeze([out.id]), ids)
    value, *gradients = interpret(joint, values)
    eager_value, eager = eager_gradients(function, values)
    assert eager_value == pytest.approx(float(value), rel=1e-13)
    for ours, theirs in zip(eager, gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_recorded_values_of_pytorch():
    x = tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    w = tensor([0.5, -1.0], requires_grad=True)
    loss = (np.tanh(x @ w) ** 2).mean()
    loss.backward()
    assert loss.item() == pytest.approx(0.8963505625724792, rel=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), [[-0.08178315, 0.16356629], [-0.01311815, 0.02623629]], rtol=1e-5)
    np.testing.assert_allclose(w.grad.numpy(), [-0.24227516, -0.43207777], rtol=1e-5)


def test_pytorch_itself():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(3,))

    def run(make, exp, log):
        x, y = make(a, requires_grad=True), make(b, requires_grad=True)
        loss = (log(1.0 + exp(x * y)) @ y).sum() / x.shape[0] + (x[1:, 0] * y[-1]).sum()
        loss.backward()
        return loss.item(), x.grad.numpy(), y.grad.numpy()

    for ours, theirs in zip(run(tensor, np.exp, np.log), run(torch.tensor, torch.exp, torch.log), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize(("order", "expected"), [(1, [68.0, 189.0]), (2, [84.0, 162.0]), (3, [66.0, 90.0]), (4, [24.0] * 2)])
def test_any_order_through_create_graph(order, expected):
    x = tensor([2.0, 3.0], requires_grad=True, dtype=np.float64)
    result = x * x * x * x + 3 * x * x * x
    for _ in range(order):
        (result,) = autograd.grad(result.sum(), x, create_graph=True)
    assert result.requires_grad == (order < 4)  # the fourth no longer depends on x
    np.testing.assert_allclose(result.detach().numpy(), expected)


def test_second_order_of_a_program_against_differences_of_the_first():
    values = arguments()[0]

    def first(v):
        x = tensor(v, requires_grad=True)
        return autograd.grad(PROGRAMS["chain"](x, None), x, create_graph=True)[0], x

    g, x = first(values)
    direction = np.random.default_rng(5).normal(size=values.shape)
    (product,) = autograd.grad((g * direction).sum(), x)
    h = 1e-6
    ends = [first(values + s * direction)[0].detach().numpy() for s in (h, -h)]
    np.testing.assert_allclose(product.numpy(), (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-7)


def test_second_order_through_kept_results_and_mixed_dtypes():
    x = tensor(np.array([0.3, 0.7]), requires_grad=True)
    y = tensor(np.array([2.0, 3.0], np.float32), requires_grad=True)
    (g,) = autograd.grad((np.exp(x) * y).sum(), y, create_graph=True)
    assert g.dtype == np.float32
    gx, gy = autograd.grad((g * g).sum(), [x, y], allow_unused=True)
    assert gy is None
    assert gx.dtype == np.float64
    np.testing.assert_allclose(gx.numpy(), 2 * np.exp(2 * x.detach().numpy()), rtol=1e-6)


def test_branch_not_taken_does_not_poison():
    x = tensor([0.0, 4.0], requires_grad=True)
    np.where(x > 0, np.sqrt(x), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_python_control_flow_is_recorded_as_it_ran():
    x = tensor(1.5, requires_grad=True)
    y = x
    while y < 10:
        y = y * x
    y.backward()
    assert y.item() == pytest.approx(1.5**6)
    assert x.grad.item() == pytest.approx(6 * 1.5**5)
