"""PyTorch's names: how many are there, where they lead, and that the docs say so."""

import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pytest

import tracegrad.eager as torch
from tracegrad.eager.surface import FUNCTIONS_ONLY, IN_PLACE, METHODS, METHODS_ONLY, SURFACE
from tracegrad.errors import DtypeError, ShapeError, TapeError

ROOT = Path(__file__).parents[2]
LISTED = (ROOT / "tests" / "surface" / "torch.txt").read_text().split()


def docs_script():
    spec = importlib.util.spec_from_file_location("pytorch_names", ROOT / "docs" / "pytorch_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = docs_script()


def test_the_list_is_pytorchs():
    assert len(LISTED) == len(set(LISTED)) > 400
    live = pytest.importorskip("torch")
    for name in LISTED:
        at = live
        for part in name.removeprefix("torch.").split("."):
            at = getattr(at, part)


def test_nearly_all_listed_names_are_there():
    missing = [name for name in LISTED if SCRIPT.found(name) is None]
    assert len(missing) <= 0.05 * len(LISTED), missing


def test_the_docs_say_what_is_there():
    text = SCRIPT.PAGE.read_text(encoding="utf-8")
    assert SCRIPT.page(text) == text, "run python docs/pytorch_names.py"


def test_every_name_is_one_of_pytorchs():
    live = pytest.importorskip("torch")
    for name in SURFACE:
        space, _, own = name.rpartition(".")
        at = live
        for part in space.split(".") if space else []:
            at = getattr(at, part)
        if name in METHODS_ONLY:
            assert hasattr(live.Tensor, own), name
            assert not hasattr(live, own), name
        else:
            assert hasattr(at, own), name
        if not space:
            assert (name in METHODS) == (name not in FUNCTIONS_ONLY)
    for name in METHODS:
        assert hasattr(live.Tensor, name), name
    for name in IN_PLACE:
        assert hasattr(live.Tensor, f"{name}_"), name


@pytest.mark.parametrize("name", sorted(SURFACE))
def test_functions_describe_themselves(name):
    function = SURFACE[name]
    assert function.__doc__
    assert function.__name__ in (name.rpartition(".")[2], *(n for n in SURFACE if SURFACE[n] is function))
    assert inspect.signature(function).parameters


def test_methods_are_the_functions():
    x = torch.tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True)
    assert x.abs().grad_fn.name() == "AbsBackward0"
    assert x.max(dim=1).indices.tolist() == [0, 1]
    assert x.where(x > 0, torch.tensor(0.0)).tolist() == [[1.0, 0.0], [3.0, 4.0]]
    assert x.T.tolist() == x.mT.tolist() == [[1.0, 3.0], [-2.0, 4.0]]
    assert (x @ x).grad_fn.name() == "MmBackward0"
    assert (x**2).grad_fn.name() == "PowBackward0"
    assert (x ** x.detach()).grad_fn.name() == "PowBackward1"
    assert (2**x).grad_fn.name() == "PowBackward2"
    assert (1 - x).grad_fn.name() == "RsubBackward1"
    assert x[0].grad_fn.name() == "SelectBackward0"
    assert x[:, 1:].grad_fn.name() == "SliceBackward0"
    assert x[None].grad_fn.name() == "UnsqueezeBackward0"
    assert x[[0, 1]].grad_fn.name() == "IndexBackward0"
    assert x.polygamma is not None
    assert torch.polygamma(1, x).shape == (2, 2)


IN_PLACE_CASES = {
    "add_": (lambda x, y: x.add_(y, alpha=2), "AddBackward0"),
    "sub_": (lambda x, y: x.sub_(1), "SubBackward0"),
    "mul_": (lambda x, y: x.mul_(y), "MulBackward0"),
    "div_": (lambda x, y: x.div_(y), "DivBackward0"),
    "pow_": (lambda x, y: x.pow_(2), "PowBackward0"),
    "exp_": (lambda x, y: x.exp_(), "ExpBackward0"),
    "relu_": (lambda x, y: x.relu_(), "ReluBackward0"),
    "clamp_": (lambda x, y: x.clamp_(0, 1), "ClampBackward1"),
    "lerp_": (lambda x, y: x.lerp_(y, 0.25), "LerpBackward0"),
    "addcmul_": (lambda x, y: x.addcmul_(y, y), "AddcmulBackward0"),
    "masked_fill_": (lambda x, y: x.masked_fill_(y > 0, 3.0), "MaskedFillBackward0"),
    "zero_": (lambda x, y: x.zero_(), "ZeroBackward0"),
    "fill_": (lambda x, y: x.fill_(2.5), "FillBackward0"),
    "fill_ tensor": (lambda x, y: x.fill_(y[0, 0]), "FillBackward1"),
    "copy_": (lambda x, y: x.copy_(y), "CopyBackwards"),
    "copy_ broadcast": (lambda x, y: x.copy_(y[0]), "CopyBackwards"),
    "tril_": (lambda x, y: x.tril_(), "TrilBackward0"),
}


def written(library, function, name=True):
    leaf = library.tensor([[1.0, -2.0], [0.5, 4.0]], requires_grad=True)
    other = library.tensor([[2.0, 0.25], [-1.0, 3.0]], requires_grad=True)
    x = leaf * 1
    result = function(x, other)
    assert result is x
    label = x.grad_fn.name()
    (x * library.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    gradients = [None if g is None else g.tolist() for g in (leaf.grad, other.grad)]
    return x.detach().numpy(), gradients, label


@pytest.mark.parametrize("name", IN_PLACE_CASES)
def test_writers_as_pytorchs(name):
    live = pytest.importorskip("torch")
    function, label = IN_PLACE_CASES[name]
    values, gradients, own = written(torch, function)
    expected, their_gradients, _ = written(live, function)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    for mine, other in zip(gradients, their_gradients, strict=True):
        np.testing.assert_allclose(0 if mine is None else mine, 0 if other is None else other, rtol=1e-6)
    assert own == label


def test_writers_by_their_numbers():
    x = torch.tensor([1.0, -2.0])
    assert x.add_(1).mul_(3).tolist() == [6.0, -3.0]
    assert x.fill_(2).tolist() == [2.0, 2.0]
    assert x.zero_().tolist() == [0.0, 0.0]
    assert x.copy_(torch.tensor([7, 8])).tolist() == [7.0, 8.0]
    assert torch.tensor([[1.0, 2.0], [3.0, 4.0]]).fill_diagonal_(0).tolist() == [[0.0, 2.0], [3.0, 0.0]]


def test_writing_to_a_leaf_that_requires_grad_is_refused():
    x = torch.tensor([1.0], requires_grad=True)
    for write in (lambda: x.add_(1), x.zero_, lambda: x.fill_(1), x.exp_):
        with pytest.raises(TapeError, match=r"leaf (Variable|Tensor) that requires grad"):
            write()


ERRORS = {
    "mm shapes": (
        lambda t: t.mm(t.zeros(2, 3), t.zeros(4, 5)),
        ShapeError,
        r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)",
    ),
    "mm dims": (lambda t: t.mm(t.zeros(2, 3, 4), t.zeros(4, 5)), ShapeError, r"self must be a matrix"),
    "matmul shapes": (
        lambda t: t.zeros(2, 3) @ t.zeros(2, 3),
        ShapeError,
        r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)",
    ),
    "matmul of a number": (
        lambda t: t.matmul(t.zeros(()), t.zeros(2)),
        ShapeError,
        "both arguments to matmul need to be at least 1D",
    ),
    "matmul dtypes": (lambda t: t.zeros(2, 2) @ t.zeros(2, 2).double(), DtypeError, "same dtype"),
    "mv": (lambda t: t.mv(t.zeros(2, 3), t.zeros(4)), ShapeError, r"size mismatch, got input \(2x3\), vec \(4\)"),
    "bmm": (
        lambda t: t.bmm(t.zeros(2, 3, 4), t.zeros(2, 5, 4)),
        ShapeError,
        r"Expected size for first two dimensions of batch2 tensor to be: \[2, 4\] but got: \[2, 5\]",
    ),
    "dot": (lambda t: t.dot(t.zeros(2, 2), t.zeros(2)), ShapeError, "1D tensors expected, but got 2D and 1D tensors"),
    "dim": (
        lambda t: t.zeros(2, 3).sum(2),
        IndexError,
        r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)",
    ),
    "repeated dim": (lambda t: t.zeros(2, 3).sum((0, 0)), ShapeError, "dim 0 appears multiple times in the list of dims"),
    "reshape": (lambda t: t.zeros(2, 3).reshape(4, 2), ShapeError, r"shape '\[4, 2\]' is invalid for input of size 6"),
    "view": (
        lambda t: t.zeros(2, 3).t().view(6),
        ShapeError,
        "view size is not compatible with input tensor's size and stride",
    ),
    "two unknown sizes": (lambda t: t.zeros(2, 3).view(-1, -1), ShapeError, "only one dimension can be inferred"),
    "cat": (
        lambda t: t.cat([t.zeros(2, 3), t.zeros(2, 4)]),
        ShapeError,
        "Sizes of tensors must match except in dimension 0. Expected size 3 but got size 4 for tensor number 1 in the list",
    ),
    "cat of numbers": (
        lambda t: t.cat([t.zeros(())]),
        ShapeError,
        r"zero-dimensional tensor \(at position 0\) cannot be concatenated",
    ),
    "stack": (
        lambda t: t.stack([t.zeros(2), t.zeros(3)]),
        ShapeError,
        r"stack expects each tensor to be equal size, but got \[2\] at entry 0 and \[3\] at entry 1",
    ),
    "expand": (
        lambda t: t.zeros(2, 3).expand(4, 3),
        ShapeError,
        r"expanded size of the tensor \(4\) must match the existing size \(2\)",
    ),
    "split": (lambda t: t.split(t.zeros(5), [2, 2]), ShapeError, "split_with_sizes expects split_sizes to sum exactly to 5"),
    "mean of integers": (lambda t: t.tensor([1, 2]).mean(), DtypeError, r"mean\(\): could not infer output dtype"),
    "std of integers": (lambda t: t.tensor([1, 2]).std(), DtypeError, "std and var only support floating point"),
    "max of nothing": (lambda t: t.zeros(0).max(), ShapeError, r"max\(\): Expected reduction dim to be specified"),
    "clamp": (lambda t: t.zeros(2).clamp(), ShapeError, "At least one of 'min' or 'max' must not be None"),
    "masked_fill": (lambda t: t.zeros(2).masked_fill(t.tensor([1, 0]), 1.0), DtypeError, "only supports boolean masks"),
    "index dtype": (
        lambda t: t.index_select(t.zeros(2), 0, t.tensor([0.0])),
        DtypeError,
        "Expected dtype int32 or int64 for index",
    ),
    "t of a stack": (lambda t: t.zeros(2, 3, 4).t(), ShapeError, "expects a tensor with <= 2 dimensions, but self is 3D"),
    "select": (
        lambda t: t.zeros(2).select(0, 2),
        IndexError,
        "index 2 is out of bounds for dimension 0 with size 2|out of range",
    ),
    "bool subtraction": (
        lambda t: t.sub(t.tensor([True]), t.tensor([True])),
        DtypeError,
        "with a bool tensor is not supported",
    ),
    "number": (lambda t: t.exp(2.0), TypeError, r"exp\(\): argument 'input' \(position 1\) must be Tensor, not float"),
    "integer powers": (lambda t: t.tensor([2]) ** -1, DtypeError, "Integers to negative integer powers are not allowed"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    action, kind, text = ERRORS[name]
    with pytest.raises(kind, match=text):
        action(torch)


@pytest.mark.parametrize("name", sorted(set(ERRORS) - {"matmul dtypes", "select", "max of nothing"}))
def test_pytorch_refuses_the_same(name):
    live = pytest.importorskip("torch")
    with pytest.raises((RuntimeError, IndexError, TypeError)):
        ERRORS[name][0](live)


def test_views_share_storage_with_what_they_show():
    x = torch.zeros(2, 3)
    for view in (x.t(), x.view(6), x[0], x.unsqueeze(0), x.narrow(1, 0, 2), x.diagonal(), x.expand(2, 2, 3), x.chunk(3, 1)[2]):
        assert np.may_share_memory(view.numpy(), x.numpy())
    x.t()[0, 1] = 5.0
    assert x.tolist() == [[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]
    for copy in (x.flip(0), x.repeat(1, 1), x.roll(1), x.rot90(), x.clone(), x.diag()):
        assert not np.may_share_memory(copy.numpy(), x.numpy())


def test_named_results_print_as_pytorchs():
    result = torch.tensor([[1.0, 3.0], [4.0, 2.0]]).max(1)
    assert repr(result) == "torch.return_types.max(\nvalues=tensor([3., 4.]),\nindices=tensor([1, 0]))"
    values, indices = result
    assert values is result.values
    assert indices is result[1]


def test_higher_derivatives_of_products_with_zeros():
    x = torch.tensor([0.0, 0.0, 3.0], requires_grad=True)
    (first,) = torch.autograd.grad(x.prod(), x, create_graph=True)
    assert first.tolist() == [0.0, 0.0, 0.0]
    (second,) = torch.autograd.grad(first[0], x)
    assert second.tolist() == [0.0, 3.0, 0.0]
