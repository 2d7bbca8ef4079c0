"""tg.checkpoint: the same numbers with less memory, under every transform and on tapes."""

import itertools

import numpy as np
import pytest

import tracegrad as tg
from tests.support import same
from tracegrad.core.graph import Graph
from tracegrad.ops import marks
from tracegrad.ops.maps import sin
from tracegrad.ops.sources import input as input_op
from tracegrad.schedule.recompute import without_marks
from tracegrad.symbolic import Recorder, Sym

W = np.eye(8) * 0.9 + 0.01
X = np.linspace(-1, 2, 32000).reshape(4000, 8)


def layer(x, w):
    return {"y": np.tanh(np.tanh(np.tanh(x["y"] @ w) @ w) @ w)}


def deep(one, count=6):
    def loss(w, x):
        state = {"y": x}
        for _ in range(count):
            state = one(state, w)
        return np.sum(state["y"])

    return loss


def test_it_computes_again_what_is_between_and_keeps_arguments_and_results():
    plain, marked = tg.grad_compile(deep(layer)), tg.grad_compile(deep(tg.checkpoint(layer)))
    value, gradient = plain.value_and_grad(W, X)
    again, same_gradient = marked.value_and_grad(W, X)
    np.testing.assert_allclose(again, value, rtol=1e-13)
    np.testing.assert_allclose(same_gradient, gradient, rtol=1e-12)
    less, more = marked.memory_plan(W, X), plain.memory_plan(W, X)
    assert more.recomputed == 0
    assert less.recomputed >= 2 * 5
    assert less.arena_bytes < 0.6 * more.arena_bytes
    # a further layer takes the bytes of its argument, and not those of three values
    growth = tg.grad_compile(deep(tg.checkpoint(layer), 12)).memory_plan(W, X).arena_bytes - less.arena_bytes
    assert growth <= 6 * X.nbytes


def test_without_a_derivative_nothing_is_computed_again():
    f = tg.jit(deep(tg.checkpoint(layer)))
    np.testing.assert_allclose(f(W, X), deep(layer)(W, X), rtol=1e-13)
    assert f.memory_plan(W, X).recomputed == 0
    assert len(f.source(W, X).splitlines()) == len(tg.jit(deep(layer)).source(W, X).splitlines())


def test_a_budget_keeps_to_the_marks_or_does_better():
    marked = deep(tg.checkpoint(layer), 3)
    without = tg.grad_compile(marked).memory_plan(W, X).arena_bytes
    assert tg.grad_compile(marked, memory_budget=0.0).memory_plan(W, X).arena_bytes <= without


small = lambda x: np.sin(x) * np.exp(0.5 * x)
TRANSFORMS = {
    "grad": lambda f: tg.grad(lambda x: np.sum(f(x))),
    "value_and_grad": lambda f: tg.value_and_grad(lambda x: np.sum(f(x) ** 2)),
    "jacfwd": tg.jacfwd,
    "jacrev": tg.jacrev,
    "hessian": lambda f: tg.hessian(lambda x: np.sum(f(x))),
    "vmap": tg.vmap,
    "jvp": lambda f: lambda x: tg.jvp(f, (x,), (np.ones_like(x),)),
    "vjp": lambda f: lambda x: tg.vjp(f, x)[1](np.ones_like(x)),
    "elementwise_grad": tg.elementwise_grad,
    "hvp": lambda f: lambda x: tg.hvp(lambda y: np.sum(f(y)), (x,), (x,)),
}


@pytest.mark.parametrize(("name", "native"), list(itertools.product(TRANSFORMS, (False, True))))
def test_under_transforms(name, native):
    x = np.array([0.3, -1.2, 2.0])
    plain, marked = TRANSFORMS[name](small), TRANSFORMS[name](tg.checkpoint(small))
    if not native:
        same(marked(x), plain(x))
    for found, expected in zip(*(tg.core.tree.flatten(tg.jit(f)(x))[0] for f in (marked, plain)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_nested_and_of_compiled_functions_and_of_methods():
    class Model:
        scale = 2.0

        def f(self, x, *, power=1, name="a"):
            return self.scale * np.sin(x) ** power, name

    model = Model()
    inner = tg.checkpoint(model.f)
    outer = tg.checkpoint(lambda x: inner(x, power=2, name="b")[0] * tg.checkpoint(tg.jit(small, compile="never"))(x))
    x = np.array([0.3, -1.2])
    expected = tg.grad(lambda x: np.sum(2.0 * np.sin(x) ** 2 * small(x)))(x)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(outer(x)))(x), expected, rtol=1e-13)
    np.testing.assert_allclose(tg.grad_compile(lambda x: np.sum(outer(x))).grad(x), expected, rtol=1e-13)
    assert outer(x).shape == (2,)  # on arrays it is the function


def test_on_tensors_it_is_the_function():
    tensor = tg.tensor([0.3, 2.0], requires_grad=True)
    tg.checkpoint(small)(tensor).sum().backward()
    plain = tg.tensor([0.3, 2.0], requires_grad=True)
    small(plain).sum().backward()
    np.testing.assert_array_equal(tensor.grad.numpy(), plain.grad.numpy())


def test_what_is_inside():
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    aval = tg.core.aval.Aval((3,), np.dtype(float))
    x = Sym(recorder, graph.emit(input_op, (), {"position": 0, "aval": aval, "name": "x"}))
    first = sin(marks.begin(x, region=1))
    second = sin(first)
    result = marks.end(second, region=1)
    behind = result * first  # a derivative reads it
    bare, found = without_marks(graph.freeze([behind.id]))
    names = {bare[i].op.name for i in found.inside}
    assert (names, len(found.inside), len(found.results)) == ({"sin"}, 1, 1)
    assert not any(marks.is_mark(node.op) for node in bare)
