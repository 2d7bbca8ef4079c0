"""einsum, bilinear and chains of products against PyTorch."""

import numpy as np
import pytest

from tests.eager.functions.against import FUNCTIONS, compare, error_of
from tracegrad.eager import tensor
from tracegrad.errors import ShapeError

RNG = np.random.default_rng(0)
SIZES = {letter: 2 + k % 3 for k, letter in enumerate("ijklabcdhq")}


def operands_of(equation, hidden=(3, 2)):
    found = []
    for subscripts in equation.split("->")[0].split(","):
        before, dots, after = subscripts.partition("...")
        found.append(RNG.normal(size=[SIZES[c] for c in before] + (list(hidden) if dots else []) + [SIZES[c] for c in after]))
    return found


@pytest.mark.parametrize(
    "equation",
    [
        "ij->ji",
        "ij->ij",
        "ij->j",
        "ii->i",
        "ii",
        "iij->j",
        "ij,ij->ij",
        "i,j->ij",
        "ij,kl->ijkl",
        "ij,j->ij",
        "ij,k->ij",
        "ij,kl->",
        "ij,ik->jk",
        "ij,ik->kj",
        "ij,ij->i",
        "ij,i->i",
        "i,i->",
        "ij,ij",
        "bij,bjk->bik",
        "bij,bjk->kib",
        "bij,bjk->ik",
        "bij,bjk",
        "ij,kj,lj->ikl",
        "...ij,...jk->...ik",
        "...i->...",
        "bhqd,bhkd->bhqk",
    ],
)
def test_einsum(equation):
    # a sum of everything is SumBackward0 here
    compare(lambda F, *xs: F.einsum(equation, *xs), *operands_of(equation), names=equation != "ii")


def test_einsum_takes_lists():
    x, y = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4))
    compare(lambda F, x, y: F.einsum("ij,jk->ik", [x, y]), x, y)
    compare(lambda F, x, y: F.einsum(x, [0, 1], y, [1, 2], [2, 0]), x, y)
    compare(lambda F, x, y: F.einsum(x, [0, 1], y, [1, 2]), x, y)
    compare(lambda F, x: F.einsum(x, [..., 0], [0, ...]), x)
    compare(lambda F, x, y: F.einsum("ij,jk->ik", x, y), np.array([[1, 2]]), np.array([[1], [2]]))


def test_sizes_of_one_broadcast():
    x, y = RNG.normal(size=(2, 1)), RNG.normal(size=(3, 4))
    compare(lambda F, x, y: F.einsum("ij,jk->ik", x, y), x, y, names=False)
    compare(lambda F, x, y: F.einsum("ij,jk->ijk", x, y), x, y)


def test_bilinear():
    w, b = RNG.normal(size=(2, 4, 5)), RNG.normal(size=2)

    def call(F, *arguments):
        return (F.nn.functional if hasattr(F, "nn") else F).bilinear(*arguments)

    for lead in ((), (3,), (2, 3)):
        x, y = RNG.normal(size=(*lead, 4)), RNG.normal(size=(*lead, 5))
        compare(call, x, y, w)
        compare(call, x, y, w, b)


def test_multi_dot():
    a, b, c = RNG.normal(size=(2, 5)), RNG.normal(size=(5, 3)), RNG.normal(size=(3, 4))

    def call(F, *arguments):
        return (F.linalg if hasattr(F, "linalg") else F).multi_dot(list(arguments))

    for operands in ((a, b), (a, b, c), (a[0], b, c), (a, b, c[:, 0]), (a[0], b, c[:, 0]), (a, b, c, c.T, c)):
        compare(call, *operands)


def test_recorded_numbers_of_pytorch():
    x = tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = FUNCTIONS.einsum("ij,jk,ki->", x, x, x)
    assert repr(y) == "tensor(155., grad_fn=<ViewBackward0>)"
    y.backward()
    assert x.grad.tolist() == [[21.0, 45.0], [30.0, 66.0]]


X = np.ones((3, 4))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda F, x: F.einsum("ij,jk->ik", x, x), "subscript j has size 3 for operand 1 which does not broadcast"),
        (lambda F, x: F.einsum("ijk", x), r"the number of subscripts in the equation \(3\) does not match"),
        (lambda F, x: F.multi_dot([x]), "expected at least 2 tensors but got 1"),
        (lambda F, x: F.multi_dot([x, x]), r"tensors 0 and 1 with shapes \[3, 4\] and \[3, 4\] cannot be multiplied"),
        (lambda F, x: F.multi_dot([x, x[0], x]), "tensor 1 must be 2D but got 1D"),
        (lambda F, x: F.bilinear(x, x, x), "weight"),
        (lambda F, x: F.bilinear(x, x[0], x), "input dimensions do not match: got 2 and 1"),
        (lambda F, x: F.bilinear(x, x[:2], x), r"batch dimensions do not match: got \[3\] and \[2\]"),
    ],
)
def test_bad_input(function, text):
    with pytest.raises(ShapeError, match=text):
        raise error_of(function, X)
