"""The record: names and edges, accumulation, freeing, versions, depth."""

import gc
import weakref

import numpy as np
import pytest

from tracegrad.eager import autograd, no_grad, tensor
from tracegrad.eager.composite import recorded_as
from tracegrad.errors import DtypeError, ShapeError, TapeError


def test_nodes_edges_and_leaves():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = x * 2 + x
    assert repr(y.grad_fn).startswith("<AddBackward0 object at 0x")
    assert y.grad_fn.name() == "AddBackward0"
    (product, first), (leaf, second) = y.grad_fn.next_functions
    assert (product.name(), first, second) == ("MulBackward0", 0, 0)
    assert leaf.name() == "AccumulateGrad"
    assert leaf.variable is x
    assert leaf.next_functions == ()
    assert product.next_functions[0][0] is leaf
    assert product.next_functions[1] == (None, 0)
    assert (x.is_leaf, x.grad_fn, y.is_leaf, y.requires_grad) == (True, None, False, True)


def test_what_is_kept_is_what_the_rules_need():
    x = tensor([1.0, 2.0], requires_grad=True)
    c = tensor([3.0, 4.0])
    assert (x + c).grad_fn.saved == []
    assert len((x * c).grad_fn.saved) == 1
    assert (x * c).grad_fn.saved[0][0] is c._array
    assert len((x * x).grad_fn.saved) == 2
    e = np.exp(x)
    assert [entry[0] is e._array for entry in e.grad_fn.saved] == [True]
    assert [(entry.shape, entry.dtype.name) for entry in x.sum().grad_fn.saved] == [((2,), "float32")]


def test_gradients_accumulate_in_place():
    x = tensor([1.0, 2.0], requires_grad=True)
    (x * 3).sum().backward()
    kept = x.grad
    (x * 2).sum().backward()
    assert x.grad is kept
    assert x.grad.tolist() == [5.0, 5.0]
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_gradients_of_two_leaves_share_no_memory():
    x, y = (tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    start = tensor([1.0, 1.0])
    (x + y).backward(start)
    x.grad[0] = 9.0
    assert y.grad.tolist() == [1.0, 1.0]
    assert start.tolist() == [1.0, 1.0]


def test_second_backward_needs_retain_graph():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(TapeError, match=r"backward through the graph a second time(?s:.*)retain_graph=True"):
        y.backward()


def test_sums_alone_keep_nothing_and_may_be_walked_again():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_starts():
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TapeError, match=r"only for scalar outputs, this one has shape \(2,\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"a shape of \[3\] and output\[0\] has a shape of \[2\]"):
        (x * 2).backward(tensor([1.0, 1.0, 1.0]))
    with pytest.raises(TapeError, match="does not require grad"):
        tensor(1.0).backward()
    (x * 2).backward(tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 20.0]


def test_backward_into_chosen_inputs():
    x, w = tensor(2.0, requires_grad=True), tensor(3.0, requires_grad=True)
    (x * w).backward(inputs=[w])
    assert x.grad is None
    assert w.grad.item() == 2.0


def test_grad_function():
    x, w, u = (tensor(v, requires_grad=True) for v in (2.0, 3.0, 1.0))
    h = x * w
    y = h * h
    gh, gx = autograd.grad(y, [h, x], retain_graph=True)
    assert (gh.item(), gx.item()) == (12.0, 36.0)
    assert x.grad is None
    with pytest.raises(TapeError, match=r"index 1 appears to not have been used in the graph(?s:.*)inputs\[1\], of shape"):
        autograd.grad(y, [x, u], retain_graph=True)
    assert autograd.grad(y, [u, w], allow_unused=True)[0] is None
    with pytest.raises(TapeError, match="does not require grad"):
        autograd.grad(x * 2, tensor(1.0))
    (g,) = autograd.grad([x * 2, x * 3], x, grad_outputs=[tensor(1.0), tensor(10.0)])
    assert g.item() == 32.0


def test_retain_grad():
    x = tensor([1.0, 2.0], requires_grad=True)
    h = x * 2
    with pytest.warns(UserWarning, match="not a leaf"):
        assert h.grad is None
    h.retain_grad()
    (h * h).sum().backward()
    assert h.grad.tolist() == [4.0, 8.0]
    with pytest.raises(TapeError, match="can't retain_grad"):
        tensor(1.0).retain_grad()


def test_deep_chain():
    x = tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 20_001.0
    del y


def test_memory_is_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        x = tensor(np.ones(1000), requires_grad=True)
        y = np.tanh(x * x)
        z = y.sum()
        values, nodes = weakref.ref(y._array), [weakref.ref(n) for n in (z.grad_fn, y.grad_fn)]
        tensors = weakref.ref(y)
        del y
        assert tensors() is None
        assert values() is not None  # tanh keeps its result
        z.backward()
        assert values() is None
        del z
        assert [n() for n in nodes] == [None, None]
        # a gradient with a history of its own goes too
        (g,) = autograd.grad((x * x * x).sum(), x, create_graph=True)
        node = weakref.ref(g.grad_fn)
        del g
        assert node() is None
        leaf, storage = weakref.ref(x), weakref.ref(x._array)
        x.grad = None
        y = x * 2
        y += x * x
        del x
        assert leaf() is None
        # the record keeps the leaf's storage, its gradient and what it is, and makes another handle of it when asked
        y.sum().backward()
        end = y.grad_fn.next_functions[0][0].next_functions[0][0]
        assert end.variable is end.variable
        assert end.variable.requires_grad
        assert end.variable.grad[0].item() == 4.0
        del y, end
        assert storage() is None
    finally:
        gc.enable()


def test_changing_what_backward_needs():
    x = tensor([1.0, 2.0], requires_grad=True)
    h = x * 1
    y = (h * h).sum()
    h += 1
    with pytest.raises(TapeError, match=r"modified by an inplace operation(?s:.*)MulBackward0(?s:.*)written by [+]="):
        y.backward()
    with no_grad():
        w = tensor([1.0, 2.0], requires_grad=True)
    y = np.exp(w * 1)
    y[0] = 3.0
    with pytest.raises(TapeError, match="the result of ExpBackward0"):
        y.sum().backward()


def test_changing_through_a_detached_alias_or_a_view():
    for alias in (lambda t: t.detach(), lambda t: t.detach()[0:1]):
        x = tensor([1.0, 2.0], requires_grad=True)
        h = x * 1
        y = (h * h).sum()
        alias(h)[0] = 5.0
        assert h.tolist() == [5.0, 2.0]
        with pytest.raises(TapeError, match="modified by an inplace"):
            y.backward()


def test_in_place_has_history():
    x = tensor([1.0, 2.0], requires_grad=True)
    w = tensor([3.0, 4.0], requires_grad=True)
    h = x * 2
    same = h
    h += w
    h -= 1
    assert same is h
    assert h.grad_fn.name() == "SubBackward0"
    (h * h).sum().backward()
    assert x.grad.tolist() == [16.0, 28.0]
    assert w.grad.tolist() == [8.0, 14.0]


def test_assignment_has_history():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    w = tensor([10.0, 20.0], requires_grad=True)
    h = x * 2
    h[1:] = w * w
    h[0] = 7.0
    h.sum().backward()
    assert h.tolist() == [7.0, 100.0, 400.0]
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    assert w.grad.tolist() == [20.0, 40.0]
    out = tensor(np.zeros(4))
    out[np.array([3, 1])] = w
    out.sum().backward()
    assert out.tolist() == [0.0, 20.0, 0.0, 10.0]
    assert w.grad.tolist() == [21.0, 41.0]


def test_in_place_refusals():
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TapeError, match="leaf Variable that requires grad"):
        x += 1
    with pytest.raises(TapeError, match="leaf Variable that requires grad"):
        x[0] = 1.0
    with no_grad():
        x += 1
        x[0] = 5.0
    assert x.tolist() == [5.0, 3.0]
    assert x.requires_grad
    n = tensor([1, 2])
    with pytest.raises(DtypeError, match="can't be cast"):
        n += 0.5
    with pytest.raises(ShapeError, match=r"shape \[2\] doesn't match the broadcast shape \[3, 2\]"):
        n += tensor([[1, 1]] * 3)
    with pytest.raises(ShapeError, match=r"x of shape \(2,\) and y of shape \(3,\)"):
        n[:] = tensor([1, 2, 3])


def test_a_write_reaches_views_and_their_history():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    h = x * 2
    part = h[:2].reshape(2, 1)
    h *= 10
    assert part.tolist() == [[20.0], [40.0]]
    part.sum().backward()
    assert x.grad.tolist() == [20.0, 20.0, 0.0]


def test_a_write_to_a_view_reaches_its_base_and_other_views():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    w = tensor([5.0], requires_grad=True)
    h = x * 1
    first, rest = h[:1], h[1:]
    first *= w
    assert h.grad_fn.name() == "CopySlices"
    assert h.tolist() == [5.0, 2.0, 3.0]
    (h * h).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [50.0, 4.0, 6.0]
    assert w.grad.tolist() == [10.0]
    rest.sum().backward()
    assert x.grad.tolist() == [50.0, 5.0, 7.0]
    base = tensor([1.0, 2.0])
    part = base[1:]
    part *= w
    assert base.requires_grad
    base.sum().backward()
    assert w.grad.tolist() == [12.0]


def test_views_that_must_not_be_written():
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TapeError, match="a view of a leaf Variable that requires grad is being used"):
        x[:1] += 1
    h = x * 2
    with no_grad():
        part = h[:1]
    with pytest.raises(TapeError, match="A view was created in no_grad mode"):
        part += 1
    with pytest.raises(TapeError, match="single memory location"):
        part = np.broadcast_to(tensor([1.0]), (3,))
        part += 1


def test_error_names_the_users_line():
    with pytest.raises(ShapeError, match=r"\(2,\) and \(3,\) do not broadcast(?s:.*)test_tape.py"):
        tensor([1.0, 2.0]) + tensor([1.0, 2.0, 3.0])


def test_zero_cotangents_absorb_infinite_factors_in_composites():
    @recorded_as("RootsBackward0")
    def root(x):
        return np.sqrt(x) * 2.0

    x = tensor([0.0, 4.0], requires_grad=True)
    (g,) = autograd.grad(root(x), x, tensor([0.0, 1.0]))
    assert g.tolist() == [0.0, 0.5]
    (g,) = autograd.grad(root(x), x, tensor([1.0, 1.0]))
    assert g.tolist() == [np.inf, 0.5]
