"""The namespace against PyTorch's own: what is a function, what a method, what writes; and what changes a shape in place."""

import inspect
import types
from pathlib import Path

import numpy as np
import pytest

import tracegrad.eager as torch
from tracegrad.errors import ShapeError, TapeError

ALL = set((Path(__file__).parents[1] / "surface" / "everything.txt").read_text(encoding="utf-8").split())
OUR_FUNCTIONS = {"get_printoptions", "make_dot", "printoptions"}
OUR_METHODS = {"accumulate", "astype", "bind_op", "bind_rank", "copy", "detached_handle", "plain_shape"}
NOT_THERE = {"cpu"}  # in PyTorch a module, not a function


def public(space):
    return {name for name in dir(space) if not name.startswith("_")}


def functions():
    return {
        name
        for name in public(torch)
        if isinstance(value := getattr(torch, name), (types.FunctionType, types.BuiltinFunctionType))
        and not inspect.isclass(value)
    }


def theirs(space):
    return {name.removeprefix(f"{space}.") for name in ALL if name.startswith(f"{space}.")}


def test_every_function_and_method_is_one_of_pytorchs():
    assert len(theirs("torch")) > 700
    assert functions() - theirs("torch") <= OUR_FUNCTIONS
    assert public(torch.Tensor) - theirs("Tensor") <= OUR_METHODS


def test_names_are_functions_and_methods_as_in_pytorch():
    both = theirs("torch") & theirs("Tensor") - NOT_THERE
    functions_only = functions() & both - public(torch.Tensor)
    methods_only = public(torch.Tensor) & both - public(torch)
    assert not functions_only
    assert not methods_only


def test_methods_that_write_have_their_underscore():
    there = public(torch.Tensor)
    assert not {name for name in theirs("Tensor") - there if name.endswith("_") and name[:-1] in there}


def test_the_list_is_pytorchs():
    live = pytest.importorskip("torch")
    for name in ALL:
        space, _, own = name.partition(".")
        assert hasattr(live if space == "torch" else live.Tensor, own), name


# -- shapes changed in place ------------------------------------------------------------------------------------------

CHANGES = {
    "squeeze_": (lambda x: x.squeeze_(), "SqueezeBackward3"),
    "squeeze_ dim": (lambda x: x.squeeze_(1), "SqueezeBackward4"),
    "squeeze_ dims": (lambda x: x.squeeze_((1,)), "SqueezeBackward5"),
    "unsqueeze_": (lambda x: x.unsqueeze_(-1), "UnsqueezeBackward1"),
    "transpose_": (lambda x: x.transpose_(0, 2), "TransposeBackward1"),
    "swapaxes_": (lambda x: x.swapaxes_(0, 1), "TransposeBackward1"),
    "swapdims_": (lambda x: x.swapdims_(1, 2), "TransposeBackward1"),
    "t_": (lambda x: x[:, 0].t_(), "TBackward1"),
}


def changed(library, change):
    leaf = library.tensor(np.arange(1.0, 7).reshape(2, 1, 3), requires_grad=True)
    x = leaf * 1.0
    y = change(x)
    assert y is x or y.ndim == 2
    (y * library.arange(1.0, 7, dtype=library.float64).reshape(tuple(y.shape))).sum().backward()
    return tuple(y.shape), y.detach().numpy(), leaf.grad.numpy(), y.grad_fn.name(), y._version


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_shape(name):
    live = pytest.importorskip("torch")
    change, label = CHANGES[name]
    shape, values, gradient, found, version = changed(torch, change)
    expected = changed(live, change)
    assert (shape, found, version) == (expected[0], label, expected[4])
    assert expected[3] == label
    np.testing.assert_array_equal(values, expected[1])
    np.testing.assert_array_equal(gradient, expected[2])


def test_a_view_with_a_changed_shape_still_writes_to_its_base():
    base = torch.zeros(2, 3)
    view = base[0]
    view.unsqueeze_(1)
    factor = torch.ones(3, 1, requires_grad=True)
    view.add_(factor * 2)
    assert base.tolist() == [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]]
    base.sum().backward()
    assert factor.grad.tolist() == [[2.0], [2.0], [2.0]]


def test_shapes_of_leaves_stay_while_they_are_recorded():
    x = torch.ones(2, 3, requires_grad=True)
    for change in (lambda: x.t_(), lambda: x.unsqueeze_(0), lambda: x[0].unsqueeze_(0)):
        with pytest.raises(TapeError, match="leaf Variable that requires grad is being used in an in-place operation"):
            change()
    with torch.no_grad():
        assert x.t_() is x
    assert x.shape == (3, 2)
    (x * torch.arange(6.0).reshape(3, 2)).sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    with pytest.raises(ShapeError, match="expects a tensor with <= 2 dimensions, but self is 3D"):
        torch.zeros(1, 2, 3).t_()


def test_the_shape_of_what_a_gradient_needs_stays():
    x = torch.ones(2, 3, requires_grad=True) * 2
    y = x * x
    with pytest.raises(TapeError, match="modified by an inplace operation"):
        x.unsqueeze_(0)
    y.sum().backward()


# -- functions with arguments of their own ----------------------------------------------------------------------------


def networks(t):
    x = t.tensor(np.linspace(-1, 2, 12).reshape(3, 2, 2), requires_grad=True)
    w, b = t.tensor([2.0, 3.0], dtype=t.float64), t.tensor([0.5, -0.5], dtype=t.float64)
    mean, var = t.tensor([0.1, 0.2], dtype=t.float64), t.tensor([1.0, 2.0], dtype=t.float64)
    found = [
        t.batch_norm(x, w, b, mean, var, True, 0.25, 1e-3, False),
        t.batch_norm(x, w, b, mean.clone(), var.clone(), False, 0.25, 1e-3, False),
        t.instance_norm(x, w, b, mean.clone(), var.clone(), True, 0.5, 1e-3, False),
        t.layer_norm(x, [2], w, b, 1e-3, False),
        t.group_norm(x, 2, w, b, 1e-3, False),
        t.embedding(x[0], t.tensor([1, 0, 1])),
        t.embedding(x[0], t.tensor([1, 0, 1]), 1),
        t.dropout(x, 0.5, False),
        t.hardshrink(x, 0.25),
        t.relu_(x * 1),
        t.exp_(x * 1),
        t.detach(x),
    ]
    gradients = []
    for y in found[:-1]:
        x.grad = None
        (y * y * t.arange(1.0, y.numel() + 1, dtype=t.float64).reshape(y.shape)).sum().backward()
        gradients.append(x.grad.numpy())
    return [y.detach().numpy() for y in found] + gradients + [mean.numpy(), var.numpy()], [
        y.grad_fn and y.grad_fn.name() for y in found
    ]


def test_functions_of_networks_with_arguments_of_their_own():
    live = pytest.importorskip("torch")
    values, names = networks(torch)
    expected, their_names = networks(live)
    assert names == their_names
    for a, b in zip(values, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_questions():
    assert torch.tensor([2.0]).is_nonzero()
    assert not torch.is_nonzero(torch.tensor(False))
    with pytest.raises(RuntimeError, match="Boolean value of Tensor with more than one value is ambiguous"):
        torch.ones(2).is_nonzero()
    assert torch.is_signed(torch.tensor(1))
    assert not torch.is_signed(torch.tensor(1, dtype=torch.uint8))
    with torch.inference_mode():
        assert torch.is_inference(torch.ones(1))
    torch.manual_seed(0)
    assert torch.tensor([0.0, 1.0]).bernoulli().tolist() == [0.0, 1.0]
    assert torch.tensor([0.0, 1.0]).multinomial(1).tolist() == [1]
