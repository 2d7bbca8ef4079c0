"""What a PyTorch user is told of bad input: the kind of error, PyTorch's words, and that it says what to write instead."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import tracegrad as tg
import tracegrad.eager as torch
from tracegrad.eager.nn import functional as F
from tracegrad.errors import TracegradError

NUMBERS = [1.0, 2.0]


def leaf(*size):
    return torch.ones(*size, requires_grad=True)


def second_backward():
    y = (leaf(2) ** 2).sum()
    y.backward()
    y.backward()


def changed_before_backward():
    y = leaf(2).exp()
    y.mul_(2)
    y.sum().backward()


def changed_value():
    x = leaf(2) * 2
    y = x * x
    x.add_(1)
    y.sum().backward()


def written_leaf():
    x = leaf(2)
    x += 1


def assigned_leaf():
    x = leaf(2)
    x[0] = 1.0


def missing_key():
    torch.nn.Linear(2, 3).load_state_dict({"weight": torch.ones(3, 2)})


def unexpected_key():
    layer = torch.nn.Linear(2, 3)
    layer.load_state_dict({**layer.state_dict(), "scale": torch.ones(1)})


def other_size():
    torch.nn.Linear(2, 3).load_state_dict({"weight": torch.ones(4, 2), "bias": torch.ones(3)})


def unused():
    x, y = leaf(2), leaf(2)
    torch.autograd.grad(x.sum(), [y])


def nan_in_backward():
    with torch.autograd.set_detect_anomaly(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.tensor([-1.0], requires_grad=True)
        torch.sqrt(x).sum().backward()


def of_compiled():
    x = leaf(2)
    tg.jit(lambda x: (x * x).sum())(x).backward()
    y = tg.jit(lambda x: (x * x).sum())(x)
    y.backward()
    y.backward()


x, w, matrix = torch.ones(3), torch.ones(4), torch.ones(2, 3)

STATED = {
    # what the plan of the eager mode names
    "numpy of a recorded tensor": (lambda: leaf(2).numpy(), RuntimeError, r"Can't call numpy\(\) on Tensor that requires grad"),
    "a second backward": (second_backward, RuntimeError, "Trying to backward through the graph a second time"),
    "backward of a vector": (lambda: (leaf(2) * 2).backward(), RuntimeError, "implicitly created only for scalar outputs"),
    "backward of no record": (lambda: x.sum().backward(), RuntimeError, "does not require grad and does not have a grad_fn"),
    "a gradient of another shape": (lambda: (leaf(2) * 2).backward(x), RuntimeError, r"a shape of \[3\].* a shape of \[2\]"),
    "a changed result": (changed_before_backward, RuntimeError, "modified by an inplace operation(?s:.*)ExpBackward0"),
    "a changed operand": (changed_value, RuntimeError, r"modified by an inplace operation(?s:.*)MulBackward0(?s:.*)add_"),
    "a leaf written to": (written_leaf, RuntimeError, "a leaf Variable that requires grad is being used in an in-place"),
    "a leaf assigned to": (assigned_leaf, RuntimeError, "a leaf Variable that requires grad is being used in an in-place"),
    "retain_grad without one": (
        lambda: x.retain_grad(),
        RuntimeError,
        "can't retain_grad on Tensor that has requires_grad=False",
    ),
    "a hook without a gradient": (
        lambda: x.register_hook(print),
        RuntimeError,
        "cannot register a hook on a tensor that doesn't",
    ),
    "an unused input": (unused, RuntimeError, "appears to not have been used in the graph"),
    "a gradient of integers": (lambda: torch.tensor([1], requires_grad=True), RuntimeError, "floating point and complex dtype"),
    "stopping at a result": (
        lambda: (leaf(2) * 2).requires_grad_(False),
        RuntimeError,
        "only change requires_grad flags of leaf",
    ),
    "a device": (lambda: torch.ones(2, device="cuda"), RuntimeError, "device cuda is not here: tracegrad computes on the CPU"),
    "a tensor to a device": (lambda: x.to("cuda"), RuntimeError, "device cuda is not here: tracegrad computes on the CPU"),
    "cuda()": (lambda: x.cuda(), RuntimeError, "tracegrad computes on the CPU"),
    "a module to a device": (lambda: torch.nn.Linear(2, 2).to("cuda"), RuntimeError, "tracegrad computes on the CPU"),
    "a NaN in anomaly mode": (nan_in_backward, RuntimeError, r"SqrtBackward0.* returned nan values in its 0th output"),
    "a bool of several": (lambda: bool(x), RuntimeError, "Boolean value of Tensor with more than one value is ambiguous"),
    "an item of several": (lambda: x.item(), RuntimeError, "a Tensor with 3 elements cannot be converted to Scalar"),
    "a compiled node twice": (of_compiled, RuntimeError, "a second time"),
    # dtypes
    "matmul of two dtypes": (lambda: matrix @ x.double(), RuntimeError, "to have the same dtype, but got float32 and float64"),
    "linear of two dtypes": (lambda: torch.nn.Linear(3, 2)(x.double()), RuntimeError, "input is float64, weight is float32"),
    "classes as floats": (
        lambda: F.cross_entropy(matrix, torch.ones(2)),
        RuntimeError,
        "expected scalar type Long but found float32",
    ),
    "an index of floats": (lambda: torch.gather(x, 0, x), RuntimeError, "int64"),
    "a dtype that is none": (lambda: torch.ones(2, dtype="float33"), TypeError, "'float33' is not a dtype"),
    "data that are no numbers": (lambda: torch.tensor("a"), TypeError, "dtype <U1 is not supported"),
    "in place into integers": (lambda: torch.tensor([1]).add_(0.5), RuntimeError, "can't be cast"),
    "relu of bools": (lambda: torch.relu(torch.tensor([True])), RuntimeError, "Boolean inputs not supported for relu"),
    "median of bools": (lambda: torch.median(torch.tensor([True])), RuntimeError, "median is not there for bool tensors"),
    "nanmedian of bools": (lambda: torch.nanmedian(torch.tensor([True])), RuntimeError, "nanmedian is not there for bool"),
    "repeats of floats": (
        lambda: torch.repeat_interleave(x, x),
        RuntimeError,
        "repeats must be of int32 or int64, got float32",
    ),
    "a complex index_fill": (lambda: x.index_fill(0, torch.tensor([0]), 1j), RuntimeError, "converted to type float32 without"),
    "a complex masked_fill": (lambda: x.masked_fill(x > 0, 1j), RuntimeError, "converted to type float32 without overflow: 1j"),
    "a complex element": (
        lambda: x.clone().__setitem__(0, 1j),
        RuntimeError,
        "can't assign the complex 1j to a tensor of float32",
    ),
    "a text as element": (lambda: x.clone().__setitem__(0, "a"), TypeError, "can't assign the str 'a' to a tensor of float32"),
    "a text to fill with": (lambda: x.clone().fill_("a"), TypeError, "the value must be a number, not str"),
    # shapes
    "a sum": (
        lambda: x + w,
        RuntimeError,
        r"size of tensor a \(3\) must match the size of tensor b \(4\) at non-singleton dimension 0",
    ),
    "both shapes": (
        lambda: matrix * w,
        RuntimeError,
        r"at non-singleton dimension 1: shapes \(2, 3\) and \(4,\) do not broadcast",
    ),
    "the last dim first": (lambda: matrix - torch.ones(4, 5), RuntimeError, r"a \(3\) .* b \(5\) at non-singleton dimension 1"),
    "an inner dim": (
        lambda: torch.ones(2, 3, 4) < torch.ones(5, 1),
        RuntimeError,
        r"a \(3\) .* b \(5\) at non-singleton dimension 1",
    ),
    "of integers": (
        lambda: torch.ones(3).long() + torch.ones(4).long(),
        ValueError,
        r"a \(3\) must match the size of tensor b \(4\)",
    ),
    "of a recorded sum": (lambda: torch.addcmul(leaf(3), w, w), RuntimeError, r"\(3\) must match the size of tensor b \(4\)"),
    "of a choice": (lambda: torch.where(w > 0, x, x), RuntimeError, r"a \(4\) must match the size of tensor b \(3\)"),
    "of a write": (lambda: x.clone().add_(w), RuntimeError, r"a \(3\) must match the size of tensor b \(4\)"),
    "a write that grows": (
        lambda: x.clone().add_(matrix),
        RuntimeError,
        r"shape \[3\] doesn't match the broadcast shape \[2, 3\]",
    ),
    "an assignment": (lambda: x.clone().__setitem__(slice(2), w), RuntimeError, r"x of shape \(3,\) and y of shape \(4,\)"),
    "matrices": (lambda: matrix @ matrix, RuntimeError, r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)"),
    "a layer": (
        lambda: torch.nn.Linear(3, 2)(torch.ones(1, 4)),
        RuntimeError,
        r"input of shape \[1, 4\] and a weight of shape \[2, 3\]",
    ),
    "a view": (lambda: x.view(4), RuntimeError, r"shape '\[4\]' is invalid for input of size 3: the input has shape \(3,\)"),
    "a dim": (lambda: x.sum(1), IndexError, r"Dimension out of range \(expected to be in range of \[-1, 0\], but got 1\)"),
    "an index": (lambda: x[5], IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
    "trapz of a number": (
        lambda: torch.trapz(torch.tensor(1.0)),
        IndexError,
        "Dimension specified as -1 but tensor has no dimensions",
    ),
    "cumulative_trapezoid": (lambda: torch.cumulative_trapezoid(torch.tensor(1.0)), IndexError, "tensor has no dimensions"),
    "trapz at one place": (lambda: torch.trapz(matrix, torch.tensor(1.0)), IndexError, "tensor has no dimensions"),
    "fewer than no repeats": (lambda: torch.repeat_interleave(x, -9), RuntimeError, "Repeats must be non-negative"),
    "a negative count": (
        lambda: torch.repeat_interleave(x, torch.tensor([1, -1, 1])),
        RuntimeError,
        "repeats can not be negative",
    ),
    "repeats in a matrix": (lambda: torch.repeat_interleave(x, torch.ones(3, 1).long()), RuntimeError, "0-dim or 1-dim tensor"),
    "tiles": (lambda: torch.tile(x, (-2,)), RuntimeError, "Trying to create tensor with negative dimension"),
    "repeats": (lambda: x.repeat(-2), RuntimeError, "Trying to create tensor with negative dimension"),
    # what is no tensor
    "sum of a list": (
        lambda: torch.sum(NUMBERS),
        TypeError,
        r"sum\(\): argument 'input' \(position 1\) must be Tensor, not list",
    ),
    "sum of a number": (
        lambda: torch.sum(2.0),
        TypeError,
        r"sum\(\): argument 'input' \(position 1\) must be Tensor, not float",
    ),
    "exp of a list": (
        lambda: torch.exp(NUMBERS),
        TypeError,
        r"exp\(\): argument 'input' \(position 1\) must be Tensor, not list",
    ),
    "relu of None": (
        lambda: torch.relu(None),
        TypeError,
        r"relu\(\): argument 'input' \(position 1\) must be Tensor, not NoneType",
    ),
    "abs_ of a list": (
        lambda: torch.abs_(NUMBERS),
        TypeError,
        r"abs_?\(\): argument 'input' \(position 1\) must be Tensor, not list",
    ),
    "softmax of a list": (
        lambda: torch.softmax(NUMBERS, 0),
        TypeError,
        r"softmax\(\): argument 'input' \(position 1\) must be Tensor",
    ),
    "norm of a list": (
        lambda: torch.linalg.norm(NUMBERS),
        TypeError,
        r"norm\(\): argument 'A' \(position 1\) must be Tensor, not list",
    ),
    "a right side": (
        lambda: torch.linalg.lstsq(matrix, 1.5),
        TypeError,
        r"lstsq\(\): argument 'B' \(position 2\) must be Tensor",
    ),
    "trapz of None": (
        lambda: torch.trapz(None),
        TypeError,
        r"trapz\(\): argument 'y' \(position 1\) must be Tensor, not NoneType",
    ),
    "add of a text": (
        lambda: torch.add(x, "a"),
        TypeError,
        r"add\(\): argument 'other' \(position 2\) must be Tensor, not str",
    ),
    "add to a text": (
        lambda: torch.add("a", x),
        TypeError,
        r"add\(\): argument 'input' \(position 1\) must be Tensor, not str",
    ),
    "mul by None": (
        lambda: torch.mul(x, None),
        TypeError,
        r"mul\(\): argument 'other' \(position 2\) must be Tensor, not NoneType",
    ),
    "maximum with a text": (
        lambda: torch.maximum(x, "a"),
        TypeError,
        r"maximum\(\): argument 'other' \(position 2\) must be Tensor",
    ),
    "of two numbers": (
        lambda: torch.maximum(2.0, 1.0),
        TypeError,
        r"maximum\(\): argument 'input' \(position 1\) must be Tensor",
    ),
    "gather with a list": (
        lambda: torch.gather(x, 0, [0]),
        TypeError,
        r"gather\(\): argument 'index' \(position 3\) must be Tensor",
    ),
    "the method": (
        lambda: x.gather(0, [0]),
        TypeError,
        r"gather\(\): argument 'index' \(position 2\) must be Tensor, not list",
    ),
    "a written method": (
        lambda: x.clone().clamp_("a"),
        TypeError,
        r"clamp_\(\): argument 'min' \(position 1\) must be Tensor, not str",
    ),
    "a copy of a text": (
        lambda: x.clone().copy_("a"),
        TypeError,
        r"copy_\(\): argument 'src' \(position 1\) must be Tensor, not str",
    ),
    "matmul with a list": (
        lambda: x.matmul(NUMBERS),
        TypeError,
        r"matmul\(\): argument 'other' \(position 1\) must be Tensor, not list",
    ),
    "mm with a list": (
        lambda: matrix.mm(NUMBERS),
        TypeError,
        r"mm\(\): argument 'mat2' \(position 1\) must be Tensor, not list",
    ),
    "a condition": (
        lambda: torch.where([True], x, x),
        TypeError,
        r"where\(\): argument 'condition' \(position 1\) must be Tensor",
    ),
    "another": (
        lambda: torch.where(x > 0, x, "a"),
        TypeError,
        r"where\(\): argument 'other' \(position 3\) must be Tensor, not str",
    ),
    "cat of numbers": (lambda: torch.cat([1, 2]), TypeError, r"expected Tensor as element 0 in argument 0, but got int"),
    "cat of a tensor and a number": (
        lambda: torch.cat([x, 1.0]),
        TypeError,
        r"expected Tensor as element 1 in argument 0, but got float",
    ),
    "cat of a number": (
        lambda: torch.cat(5),
        TypeError,
        r"cat\(\): argument 'tensors' \(position 1\) must be tuple of Tensors, not int",
    ),
    "stack of numbers": (lambda: torch.stack([1, 2]), TypeError, r"expected Tensor as element 0 in argument 0, but got int"),
    "Linear of a list": (
        lambda: torch.nn.Linear(2, 2)(NUMBERS),
        TypeError,
        r"linear\(\): argument 'input' \(position 1\) must be Tensor",
    ),
    "Linear of None": (
        lambda: torch.nn.Linear(2, 2)(None),
        TypeError,
        r"linear\(\): argument 'input' .* must be Tensor, not NoneType",
    ),
    "Conv2d of a list": (
        lambda: torch.nn.Conv2d(1, 1, 1)(NUMBERS),
        TypeError,
        r"conv2d\(\): argument 'input' \(position 1\) must be",
    ),
    "MSELoss of a list": (
        lambda: torch.nn.MSELoss()(NUMBERS, x),
        TypeError,
        r"mse_loss\(\): argument 'input' \(position 1\) must be Tensor",
    ),
    "a target": (
        lambda: torch.nn.CrossEntropyLoss()(matrix, [0, 1]),
        TypeError,
        r"cross_entropy\(\): argument 'target' \(position 2\) must",
    ),
    "a text as a number": (
        lambda: torch.tril(matrix, "a"),
        TypeError,
        r"tril\(\): argument 'diagonal' \(position 2\) must be a number",
    ),
    "a text as a size": (lambda: x.reshape("a"), TypeError, "must be tuple of ints, but found element of type str"),
    "a fraction as a size": (lambda: x.reshape(1.0, 3), TypeError, "must be tuple of ints, but found element of type float"),
    "x + text": (lambda: x + "a", TypeError, r"unsupported operand type\(s\) for \+: 'Tensor' and 'str'"),
    "text - x": (lambda: "a" - x, TypeError, r"unsupported operand type\(s\) for -: 'str' and 'Tensor'"),
    "x * list": (lambda: x * [1.0, 2.0, 3.0], TypeError, r"unsupported operand type\(s\) for \*: 'Tensor' and 'list'"),
    "x / None": (lambda: x / None, TypeError, r"unsupported operand type\(s\) for /: 'Tensor' and 'NoneType'"),
    "x ** text": (lambda: x ** "a", TypeError, r"unsupported operand type\(s\) for \*\*: 'Tensor' and 'str'"),
    "x // dict": (lambda: x // {}, TypeError, r"unsupported operand type\(s\) for //: 'Tensor' and 'dict'"),
    "x < None": (lambda: x < None, TypeError, r"unsupported operand type\(s\) for <: 'Tensor' and 'NoneType'"),
    "x @ text": (lambda: x @ "a", TypeError, r"unsupported operand type\(s\) for @: 'Tensor' and 'str'"),
    "x @ number": (lambda: x @ 2.0, TypeError, r"unsupported operand type\(s\) for @: 'Tensor' and 'float'"),
    "recorded x + None": (lambda: leaf(3) + None, TypeError, r"unsupported operand type\(s\) for \+: 'Tensor' and 'NoneType'"),
}

PLAIN = {
    # PyTorch's errors of state dicts are of several lines, and say what to do by themselves
    "a missing key": (missing_key, RuntimeError, r'Missing key\(s\) in state_dict: "bias"'),
    "an unexpected key": (unexpected_key, RuntimeError, r'Unexpected key\(s\) in state_dict: "scale"'),
    "a parameter's size": (other_size, RuntimeError, r"size mismatch for weight: .*\[4, 2\].*\[3, 2\]"),
    "too many arguments": (lambda: torch.sum(x, 0, False, 1), TypeError, "positional argument"),
    "an attribute": (lambda: x.foo, AttributeError, "'Tensor' object has no attribute 'foo'"),
    "a name": (lambda: torch.foo, AttributeError, "has no 'foo'; docs/pytorch.md lists what is there"),
}


@pytest.mark.parametrize("name", STATED)
def test_what_is_said(name):
    call, kind, text = STATED[name]
    with pytest.raises(kind, match=text) as caught:
        call()
    error = caught.value
    assert isinstance(error, TracegradError)
    assert error.fix, "it does not say what to write instead"
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_said_in_pytorchs_way(name):
    call, kind, text = PLAIN[name]
    with pytest.raises(kind, match=text):
        call()


@pytest.mark.parametrize(
    "name", ["sum of a list", "x + text", "a sum", "Linear of a list", "cat of a number", "a text as a size"]
)
def test_the_line_is_named(name):
    with pytest.raises(TracegradError) as caught:
        STATED[name][0]()
    assert caught.value.where is not None
    assert Path(caught.value.where.file) == Path(__file__)


def test_a_gradient_that_nobody_keeps_warns():
    y = leaf(2) * 2
    with pytest.warns(UserWarning, match=r"not a leaf Tensor is being accessed(?s:.*)use .retain_grad\(\)"):
        assert y.grad is None


def test_what_the_arguments_do_not_explain_stays():
    def broken(x, y):
        raise AttributeError("a slip in the user's own function")

    with pytest.raises(AttributeError, match="a slip in the user's own function"):
        F.triplet_margin_with_distance_loss(x, x, x, distance_function=broken)


def test_numbers_in_lists_are_no_operands_but_arrays_and_numbers_are():
    assert torch.equal(x + 1, x + np.float32(1.0))
    assert torch.equal(x + np.ones(3, np.float32), x + x)
    assert torch.equal(x + True, x + 1)
    assert (x == "a") is False
    assert torch.equal(x.clone().copy_(2), x + 1)


def test_nothing_is_no_error():
    empty = torch.unique_consecutive(torch.ones(0, 3), return_inverse=True, return_counts=True)
    assert [tuple(part.shape) for part in empty] == [(0,), (0, 3), (0,)]
    assert torch.unique_consecutive(torch.ones(0, 3), dim=0).shape == (0, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.softmax(matrix),
        lambda: torch.nn.Softmax()(matrix),
        lambda: F.kl_div(matrix, matrix),
        lambda: F.mse_loss(matrix, matrix, size_average=True),
        lambda: F.dropout2d(matrix),
        lambda: F.gumbel_softmax(matrix, eps=1.0),
    ],
)
def test_warnings_name_the_callers_file(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert [Path(w.filename) for w in caught] == [Path(__file__)]
