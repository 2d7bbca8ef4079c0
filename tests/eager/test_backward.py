"""Backward: starts, accumulation, freeing, gradients as values, any order."""

import threading

import numpy as np
import pytest

from tests.eager.transcripts import program
from tracegrad.eager import autograd, tensor

AGAIN = "Trying to backward through the graph a second time"


@program(
    """
    None
    tensor([3., 3.]) False True float32
    tensor([5., 7.]) True tensor([5., 7.])
    tensor([2., 4.]) tensor([5., 7.])
    tensor([2., 4.])
    tensor([ 5., 10.])
    """
)
def test_gradients_add_up(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    show(x.grad)
    (x * 3).sum().backward()
    kept = x.grad
    show(kept, kept.requires_grad, kept.is_leaf, kept.dtype)
    (x * x).sum().backward()
    show(x.grad, x.grad is kept, kept)
    x.grad = None
    (x * x).sum().backward()
    show(x.grad, kept)
    x.grad.zero_()
    (x * x).sum().backward()
    show(x.grad)
    for _ in range(3):
        y = (x**2).mean()
        y.backward()
    show(x.grad)


@program(
    """
    RuntimeError: Trying to backward through the graph a second time
    RuntimeError: retain_graph=True
    tensor([2., 4.])
    tensor([ 8., 16.])
    RuntimeError: Trying to backward through the graph a second time
    tensor([10., 18.])
    RuntimeError: Trying to backward through the graph a second time
    RuntimeError: Trying to backward through the graph a second time
    (tensor([2.7183, 7.3891]))
    """
)
def test_a_graph_is_freed(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
    show.refused(RuntimeError, AGAIN, y.backward)
    show.refused(RuntimeError, "retain_graph=True", y.backward)
    show(x.grad)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    show(x.grad)
    show.refused(RuntimeError, AGAIN, y.backward)
    s = (x + 1).sum()
    s.backward()
    s.backward()
    show(x.grad)
    # the part below was freed, the part above was not
    h = x.exp()
    a, b = h.sum(), (h * h).sum()
    a.backward()
    show.refused(RuntimeError, AGAIN, b.backward)
    h = x.exp()
    torch.autograd.grad(h.sum(), x)
    show.refused(RuntimeError, AGAIN, torch.autograd.grad, h.sum(), x)
    h = x.exp()
    torch.autograd.grad(h.sum(), x, retain_graph=True)
    show(torch.autograd.grad(h.sum(), x))


@program(
    """
    RuntimeError: grad can be implicitly created only for scalar outputs
    RuntimeError: grad can be implicitly created only for scalar outputs
    RuntimeError: does not require grad and does not have a grad_fn
    RuntimeError: does not require grad
    RuntimeError: does not require grad
    RuntimeError: Mismatch in shape: grad_output[0] has a shape of
    RuntimeError: Mismatch in shape
    RuntimeError: Mismatch in shape
    TypeError
    TypeError
    RuntimeError: got 2 tensors and 1 gradients
    None
    tensor([ 2., 20.])
    tensor([ 4., 40.])
    tensor([ 6., 42.])
    tensor([11., 47.])
    tensor(1.)
    tensor(3.)
    """
)
def test_starts(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    one = "grad can be implicitly created only for scalar outputs"
    show.refused(RuntimeError, one, (x * 2).backward)
    show.refused(RuntimeError, one, torch.autograd.grad, x * 2, x)
    show.refused(RuntimeError, "does not require grad and does not have a grad_fn", torch.tensor(1.0).backward)
    show.refused(RuntimeError, "does not require grad", torch.autograd.grad, torch.tensor(1.0), x)
    show.refused(RuntimeError, "does not require grad", torch.autograd.grad, x.sum(), torch.tensor(1.0))
    show.refused(RuntimeError, "Mismatch in shape: grad_output[0] has a shape of", (x * 2).backward, torch.ones(3))
    show.refused(RuntimeError, "Mismatch in shape", (x * 2).backward, torch.ones(1))
    show.refused(RuntimeError, "Mismatch in shape", (x * 2).sum().backward, torch.ones(1))
    show.refused(TypeError, "", (x * 2).backward, 3.0)
    show.refused(TypeError, "", torch.autograd.grad, x * 2, x, [2.0])
    show.refused(RuntimeError, "got 2 tensors and 1 gradients", torch.autograd.backward, [x * 2, x * 3], [torch.ones(2)])
    show(x.grad)
    (x * 2).backward(torch.tensor([1.0, 10.0]))
    show(x.grad)
    (x * 2).backward(gradient=torch.tensor([1, 10], dtype=torch.float64))
    show(x.grad)
    (x * 2).sum().reshape(1, 1).backward()
    show(x.grad)
    x.sum().backward(torch.tensor(5.0))
    show(x.grad)
    w = torch.tensor(3.0, requires_grad=True)
    w.backward()
    show(w.grad)
    w.backward(torch.tensor(2.0))
    show(w.grad)


@program(
    """
    None tensor(24.)
    tensor(36.) tensor(24.)
    tensor(36.) tensor(24.) tensor(12.)
    RuntimeError: `inputs` argument to `backward()` cannot be empty
    RuntimeError
    tensor(172.) tensor(24.)
    None
    """
)
def test_chosen_inputs(torch, show):
    x, w = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    h = x * w
    y = h * h
    y.backward(inputs=[w], retain_graph=True)
    show(x.grad, w.grad)
    y.backward(inputs=x, retain_graph=True)
    show(x.grad, w.grad)
    y.backward(inputs=[h], retain_graph=True)
    h.retain_grad()
    show(x.grad, w.grad, h.grad)
    show.refused(RuntimeError, "`inputs` argument to `backward()` cannot be empty", y.backward, inputs=[])
    show.refused(RuntimeError, "", y.backward, inputs=[torch.tensor(1.0)])
    torch.autograd.backward([y, x * 1], [torch.tensor(1.0), torch.tensor(100.0)], inputs=(x,))
    show(x.grad, w.grad)
    u = torch.tensor(1.0, requires_grad=True)
    (x * w).backward(inputs=[u])
    show(u.grad)


@program(
    """
    tensor([5., 7.])
    tensor([ 8., 11.])
    tensor([12., 19.])
    tensor([13., 20.])
    tensor([23., 38.])
    """
)
def test_several_roots(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    torch.autograd.backward([(x * x).sum(), (3 * x).sum()])
    show(x.grad)
    torch.autograd.backward((x * 1, (x * 2).sum()), (torch.tensor([1.0, 2.0]), None))
    show(x.grad)
    y = (x * x).sum()
    torch.autograd.backward([y, y])
    show(x.grad)
    torch.autograd.backward(x.sum())
    show(x.grad)
    h = x * 2
    torch.autograd.backward([h.sum(), (h * h).sum()])
    show(x.grad)


@program(
    """
    (tensor(12.), tensor(36.)) (tensor(24.)) (tensor(1.))
    None None
    RuntimeError: appears to not have been used in the graph
    (None, tensor(36.))
    (tensor(0.), tensor(36.))
    (tensor(0.), tensor(36.))
    ValueError: Expected allow_unused to be True or not passed
    (tensor(39.), tensor(24.))
    (tensor(32.))
    (tensor(32.))
    (tensor([ 2., 40.])) (tensor([2., 4.]), tensor([2., 4.]))
    RuntimeError: appears to not have been used in the graph
    tensor([ 3., 12.], grad_fn=<MulBackward0>) True (tensor([ 6., 12.]))
    tensor([ 3., 12.]) False None
    (tensor([1.]))
    """
)
def test_gradients_as_values(torch, show):
    grad = torch.autograd.grad
    x, w, u = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 1.0))
    h = x * w
    y = h * h
    show(grad(y, [h, x], retain_graph=True), grad(y, (w,), retain_graph=True), grad(y, y, retain_graph=True))
    show(x.grad, w.grad)
    unused = "appears to not have been used in the graph"
    show.refused(RuntimeError, unused, grad, y, [x, u], retain_graph=True)
    show(grad(y, [u, x], allow_unused=True, retain_graph=True))
    show(grad(y, [u, x], materialize_grads=True, retain_graph=True))
    show(grad(y, [u, x], allow_unused=True, materialize_grads=True, retain_graph=True))
    show.refused(
        ValueError, "Expected allow_unused to be True or not passed", grad, y, u, allow_unused=False, materialize_grads=True
    )
    show(grad([y, x * 3], [x, w], retain_graph=True))
    show(grad([x * 2, x * 3], x, grad_outputs=[torch.tensor(1.0), torch.tensor(10.0)]))
    show(grad((x * 2, x * 3), x, grad_outputs=(None, torch.tensor(10.0))))
    v = torch.tensor([1.0, 2.0], requires_grad=True)
    show(grad(v * v, v, torch.tensor([1.0, 10.0])), grad((v * v).sum(), [v, v]))
    show.refused(RuntimeError, unused, grad, v.sum(), x)
    (g,) = grad((v**3).sum(), v, create_graph=True)
    show(g, g.requires_grad, grad(g.sum(), v))
    (g,) = grad((v**3).sum(), v)
    show(g, g.requires_grad, g.grad_fn)
    p = v[:1]
    show(grad((v * v).sum() + p.sum(), p, retain_graph=True))


@program(
    """
    tensor([ 67.6606, 188.8837], dtype=torch.float64)
    tensor([ 84.2886, 162.1506], dtype=torch.float64)
    tensor([65.9031, 89.8579], dtype=torch.float64)
    tensor([23.8226, 24.0477], dtype=torch.float64)
    tensor(12., grad_fn=<MulBackward0>) tensor(12., grad_fn=<MulBackward0>) tensor(6.)
    PowBackward0 True True False
    """
)
def test_orders(torch, show):
    x = torch.tensor([2.0, 3.0], requires_grad=True, dtype=torch.float64)
    y = x**4 + 3 * x**3 + torch.sin(x) * torch.exp(-x) + 1 / (1 + x * x)
    for _ in range(4):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        show(y.detach())
    z = torch.tensor(2.0, requires_grad=True)
    y = z**3
    (first,) = torch.autograd.grad(y, z, create_graph=True)
    (second,) = torch.autograd.grad(first, z, create_graph=True)
    (third,) = torch.autograd.grad(second, z)
    show(first, second, third)
    show(y.grad_fn, first.requires_grad, second.requires_grad, third.requires_grad)


@program(
    """
    warned: None
    True tensor([12., 27.]) False
    tensor([12., 18.])
    tensor([[-9.7750e-01, -1.2302e+00],
            [-1.1332e-03, -1.4147e-03]], dtype=torch.float64) tensor([-0.7361,  0.7340], dtype=torch.float64)
    """
)
def test_create_graph_in_backward(torch, show):
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = (x**3).sum()
    show.warned("create_graph=True will create a reference cycle", y.backward, create_graph=True)
    show(x.grad.requires_grad, x.grad.detach(), x.grad.is_leaf)
    g = x.grad
    x.grad = None
    g.sum().backward()
    show(x.grad)
    # as a penalty on a gradient is written
    w = torch.tensor([[1.0, -1.0], [0.5, 2.0]], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    out = torch.tanh(w @ v).sum()
    (gv,) = torch.autograd.grad(out, v, create_graph=True)
    penalty = (gv.norm() - 1) ** 2
    penalty.backward()
    show(w.grad, v.grad)


@program(
    """
    warned: None
    warned: None
    True False None
    tensor([4., 8.]) False
    tensor([ 8., 16.]) tensor([24., 48.])
    False
    RuntimeError: can't retain_grad on Tensor that has requires_grad=False
    tensor([10., 10.]) tensor([44., 68.])
    tensor([1., 2.]) tensor([2.7183, 7.3891])
    None
    tensor([3.])
    tensor(1.)
    """
)
def test_gradients_of_computed_tensors(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * 2
    show.warned("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed", lambda: h.grad)
    (h * h).sum().backward()
    show.warned("retain_grad", lambda: h.grad)
    h = x * 2
    h.retain_grad()
    h.retain_grad()
    show(h.retains_grad, x.retains_grad, h.grad)
    y = (h * h).sum()
    y.backward(retain_graph=True)
    show(h.grad, h.grad.requires_grad)
    y.backward()
    show(h.grad, x.grad)
    x.retain_grad()
    show(x.retains_grad)
    show.refused(RuntimeError, "can't retain_grad on Tensor that has requires_grad=False", torch.tensor(1.0).retain_grad)
    h = x * 2
    h.retain_grad()
    h.register_hook(lambda g: g * 10)
    h.sum().backward()
    show(h.grad, x.grad)
    a, b = x.exp(), x * 1
    a.retain_grad()
    b.retain_grad()
    (a * b).sum().backward()
    show(a.grad, b.grad)
    with torch.no_grad():
        n = x * 2
    show(n.grad)
    values, _ = torch.tensor([[1.0, 2.0]], requires_grad=True).max(1)
    values.retain_grad()
    (values * 3).sum().backward()
    show(values.grad)
    one, two = x.unbind()
    two.retain_grad()
    (one * two).backward()
    show(two.grad)


@program(
    """
    float64 tensor([[1., 2.],
            [2., 4.]], dtype=torch.float64, grad_fn=<MulBackward0>)
    tensor([3., 3.]) tensor([[3.],
            [3.]], dtype=torch.float64)
    tensor([2., 2.])
    tensor([2., 2.])
    tensor([2., 2.]) tensor(3.)
    tensor([])
    tensor([3., 3.])
    tensor([3., 3.])
    """
)
def test_what_is_kept_of_dtypes_and_shapes(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([[1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    y = x * w
    show(y.dtype, y)
    y.sum().backward()
    show(x.grad, w.grad)
    n = torch.tensor([1, 2])
    b = torch.tensor([True, False])
    x.grad = None
    (x * n + x * b).sum().backward()
    show(x.grad)
    x.grad = None
    (x.double() * 2).float().sum().backward()
    show(x.grad)
    s = torch.tensor(2.0, requires_grad=True)
    x.grad = None
    (x * s).sum().backward()
    show(x.grad, s.grad)
    e = torch.zeros(0, requires_grad=True)
    (e * 2).sum().backward()
    show(e.grad)
    x.grad = None
    x.expand(3, 2).sum().backward()
    show(x.grad)
    x.grad = None
    (x[[0, 0, 1]] * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    show(x.grad)


@program(
    """
    tensor(11.0625, grad_fn=<AddBackward0>) tensor(17.5000)
    tensor(12., grad_fn=<AddBackward0>) tensor([ 2., -1.,  6.])
    tensor([[3., 4.],
            [1., 2.]])
    """
)
def test_control_flow(torch, show):
    x = torch.tensor(1.5, requires_grad=True)
    y = x
    while y < 10:
        y = y * x if y < 4 else y + 2 * x
    y.backward()
    show(y, x.grad)
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    total = sum(v * v if v > 0 else -v for v in x)
    total.backward()
    show(total, x.grad)
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = rows
    (first * second).sum().backward()
    show(rows.grad)


def test_deep_graphs_are_walked_and_freed():
    x = tensor(1.0, requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 50_001.0
    del y
    y = x
    for _ in range(5_000):
        y = y * 1.0
    (g,) = autograd.grad(y, x, create_graph=True)
    assert g.item() == 1.0
    del y, g
    y = tensor([1.0, 2.0], requires_grad=True) * 1.0
    for _ in range(5_000):
        y += 1.0
        y.mul_(1.0)
    y.sum().backward()
    del y


def test_threads_walk_their_own_graphs_at_once():
    shared = tensor(np.ones(64), requires_grad=True)
    found, start = {}, threading.Barrier(4)

    def work(k):
        start.wait()
        for _ in range(50):
            x = tensor(np.full(64, k + 1.0), requires_grad=True)
            y = x
            for _ in range(20):
                y = y * x * shared
            y = y.sum() * 0.0 + (x**3).sum()
            y.backward(inputs=[x])
            found.setdefault(k, []).append(x.grad.numpy()[0])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert {k: set(v) for k, v in found.items()} == {k: {3.0 * (k + 1) ** 2} for k in range(4)}
    assert shared.grad is None


def test_the_library_is_usable_after_errors_in_backward():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    handle = x.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    assert x.grad is None
    handle.remove()
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_the_users_line_is_named():
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"test_backward\.py:\d+ in test_the_users_line_is_named: \(x \* 2\)\.backward\(\)"):
        (x * 2).backward()
