"""Memory goes when the last use goes: nothing that is recorded refers to itself, and what backward needs is freed by it."""

import contextlib
import gc
import resource
import sys
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest

from tracegrad.eager import autograd, nn, no_grad, optim, tensor
from tracegrad.errors import TapeError


def leaf(n=50):
    return tensor(np.linspace(0.5, 1.5, n, dtype=np.float32), requires_grad=True)


def of_ours(found):
    """Objects of the library among those, functions of the tests left out."""
    return [x for x in found if type(x).__module__.startswith("tracegrad") or isinstance(x, np.ndarray)]


def plain_graph():
    x = leaf()
    y = ((x * x).exp() / (1 + x)).sum()
    y.backward()


def dropped_without_backward():
    x = leaf()
    y = (x * x).tanh() @ x
    z = y.log()  # noqa: F841


def kept_graph():
    x = leaf()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()


def higher_orders():
    x = leaf()
    y = (x**3).sum()
    for _ in range(3):
        (g,) = autograd.grad(y, x, create_graph=True)
        y = g.sum()


def views_and_writes():
    x = leaf()
    h = x * 2
    part = h[:10].reshape(2, 5)
    other = h.view(5, 10).t()
    part *= 3
    h += x
    other[0] = x[:5]
    (h.sum() + part.sum() + other.exp().sum()).backward()
    assert part.requires_grad


def several_results():
    x = leaf()
    a, b = x.split(25)
    values, _ = x.sort()
    c, *_ = x.unbind()
    (a * b + values[:25] + c).sum().backward()


def hooks():
    x = leaf()
    h = x * 2
    h.register_hook(lambda g: g * 2)
    h.grad_fn.register_hook(lambda gi, go: None)
    h.grad_fn.register_prehook(lambda gs: None)
    x.register_post_accumulate_grad_hook(lambda t: None)
    h.retain_grad()
    handle = x.register_hook(lambda g: None)
    h.sum().backward()
    handle.remove()


class Cube(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x**3
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * 3 * y / x


def functions():
    x = leaf()
    y = Cube.apply(x)
    (g,) = autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    Cube.apply(x)


def function_without_backward():
    y = Cube.apply(leaf() * 2)
    assert y.grad_fn.saved_tensors[1].grad_fn is y.grad_fn


def composites():
    x = leaf()
    y = (
        nn.functional.cross_entropy(x.reshape(5, 10), tensor([1, 2, 3, 4, 0]))
        + x.softmax(0).std()
        + nn.functional.gelu(x).mean()
    )
    (g,) = autograd.grad(y, x, create_graph=True)
    g.sum().backward()


def modules():
    net = nn.Sequential(nn.Linear(50, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1))
    adam = optim.Adam(net.parameters())
    for _ in range(2):
        adam.zero_grad()
        net(leaf().reshape(1, 50)).sum().backward()
        adam.step()


def functional():
    x = leaf(4)
    autograd.functional.hessian(lambda x: (x**3).sum(), x, create_graph=True)
    autograd.functional.jvp(lambda x: x.exp(), x, x, create_graph=True)
    autograd.gradcheck(lambda x: x.sin(), x.detach().double().requires_grad_())


def anomaly():
    x = leaf()
    with autograd.detect_anomaly():
        y = (x * float("nan")).sum()
        with contextlib.suppress(TapeError):
            y.backward()


def errors():
    x = leaf()
    y = (x * x).sum()
    y.backward()
    h = x * 1
    z = (h * h).sum()
    h += 1
    for wrong in (
        y.backward,
        z.backward,
        x.numpy,
        (x * 2).backward,
        lambda: x + leaf(3),
        lambda: x.reshape(7, 7),
        lambda: autograd.grad(x.sum(), leaf()),
        lambda: x.add_(1),
        lambda: x.sum(7),
        lambda: x @ leaf(3),
    ):
        with pytest.raises((RuntimeError, IndexError)):
            wrong()


def failing_hooks():
    x = leaf()
    h = x * 2
    h.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        h.sum().backward()


@pytest.mark.parametrize(
    "program",
    [
        plain_graph,
        dropped_without_backward,
        kept_graph,
        higher_orders,
        views_and_writes,
        several_results,
        hooks,
        functions,
        function_without_backward,
        composites,
        modules,
        functional,
        anomaly,
        errors,
        failing_hooks,
    ],
    ids=lambda program: program.__name__,
)
def test_nothing_is_left_for_the_collector(program):
    program()  # what is computed once and kept: plans, programs of composites
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        program()
        gc.collect()
        left = of_ours(gc.garbage)
        assert not left, [type(x).__qualname__ for x in left]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_the_check_finds_a_circle():
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        x = leaf()
        x.register_hook(lambda g, x=x: None)
        del x
        gc.collect()
        assert of_ours(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_backward_frees_what_each_step_kept():
    x = leaf()
    h = x * 2
    y = h.exp()
    kept = [weakref.ref(h._array), weakref.ref(y._array)]
    z = (y * h).sum()
    del h, y
    assert all(array() is not None for array in kept)
    seen = []
    z.grad_fn.next_functions[0][0].register_hook(lambda gi, go: seen.append([array() is None for array in kept]))
    z.backward()
    assert [array() for array in kept] == [None, None]
    assert z.grad_fn is not None
    x = leaf()
    y = x.exp()
    kept = weakref.ref(y._array)
    y = y.sum()
    y.backward(retain_graph=True)
    assert kept() is not None
    y.backward()
    assert kept() is None


@pytest.mark.usefixtures("no_collector")
def test_operands_that_no_rule_reads_are_not_kept():
    x = leaf()
    h = x * 2
    for y in (h + 1, h - x, -h, h.sum(), h.reshape(5, 10).t(), h[3:], 3 * h, h.cumsum(0)):
        h = x * 2
        del y
    h = x * 2
    gone = weakref.ref(h)
    y = (h + 1).sum() + (3 * h).mean()
    del h
    assert gone() is None
    y.backward()


@pytest.mark.usefixtures("no_collector")
def test_intermediate_results_go_in_no_grad():
    x = leaf()
    with no_grad():
        h = x.exp()
        gone = weakref.ref(h._array)
        h = h * 2 + 1
    assert gone() is None


@pytest.mark.usefixtures("no_collector")
def test_functions_free_what_they_saved():
    x = leaf()
    y = Cube.apply(x * 2)
    ctx, values = weakref.ref(y.grad_fn.ctx), weakref.ref(y._array)
    z = y.sum()
    del y
    assert values() is not None
    z.backward()
    assert values() is None
    del z
    assert ctx() is None


@pytest.mark.usefixtures("no_collector")
def test_create_graph_in_backward_warns_of_its_circle():
    x = leaf()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (x**3).sum().backward(create_graph=True)
    assert "reference cycle between the parameter and its gradient" in str(caught[0].message)
    node = weakref.ref(x.grad.grad_fn)
    x.grad = None
    assert node() is None


def steps(count):
    """A training loop with what one meets in those."""
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    sgd = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x = tensor(np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6))
    target = tensor([0, 1, 2, 0])
    losses = []
    for _ in range(count):
        sgd.zero_grad()
        loss = nn.functional.cross_entropy(net(x), target)
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return losses


@pytest.mark.usefixtures("no_collector")
def test_a_training_loop_leaves_nothing():
    memory, objects, collected = [], [], []
    tracemalloc.start()
    try:
        for _ in range(4):
            steps(100)
            objects.append(len(gc.get_objects()))
            # it also empties Python's lists of free tuples, which fill for a while
            collected.append(gc.collect())
            memory.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert collected[1:] == [0, 0, 0]
    # caches fill at any time, but what every step leaves is left in every round; the graph of a step takes 10 kB
    assert min(np.diff(objects)) < 50
    assert min(np.diff(memory)) < 100 * 50


def resident():
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.nightly
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.usefixtures("no_collector")
def test_ten_thousand_steps_keep_the_resident_memory():
    steps(500)
    before = resident()
    steps(10_000)
    assert resident() - before < 4_000_000
