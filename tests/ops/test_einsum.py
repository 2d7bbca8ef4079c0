"""einsum against NumPy's on chosen and random equations: values, gradients, both forms of its arguments, compiled."""

import numpy as np
import pytest

import tracegrad as tg
from tests.support import gradients, static
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind
from tracegrad.errors import ShapeError, TraceError
from tracegrad.ops.einsum import einsum
from tracegrad.ops.reductions import sum as sum_of

EQUATIONS = [
    "i",
    "i->",
    "ij->ji",
    "ij->i",
    "ij->",
    "ba",
    "ii",
    "ii->i",
    "iij->j",
    "iij->ji",
    "iii->i",
    "i,i",
    "i,i->i",
    "i,j->ij",
    "i,j->ji",
    "ij,jk",
    "ij,jk->ki",
    "ij,ij->ij",
    "ij,ij->i",
    "ij,ji->",
    "ij,k->ij",
    "ij,kl->",
    "ij,j->i",
    "ii,i->i",
    "bij,bjk->bik",
    "bij,bjk->kbi",
    "bij,bjk->ik",
    "bij,jk->bik",
    "ij,jk,kl->il",
    "ij,jk,kl->",
    "ij,ik,il->jkl",
    "i,i,i->i",
    "a,b,c,d->dcba",
    "bhqd,bhkd->bhqk",
    "...ij,...jk->...ik",
    "...ij->...ji",
    "i...->...",
    "...i,i->...",
    "...,...",
    "Ab,bA->A",
    " i j , j k -> i k ",
    "ij,jk,ik,kl,l->i",
]
SIZES = {letter: 2 + k % 3 for k, letter in enumerate("ijklabcdhqA")}


def operands_of(equation, sizes=SIZES, hidden=(3, 2), seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for subscripts in equation.replace(" ", "").split("->")[0].split(","):
        before, dots, after = subscripts.partition("...")
        shape = [sizes[c] for c in before] + (list(hidden) if dots else []) + [sizes[c] for c in after]
        found.append(rng.normal(size=shape))
    return found


@pytest.mark.parametrize("equation", EQUATIONS)
def test_values_are_those_of_numpy(equation):
    operands = operands_of(equation)
    expected = np.einsum(equation, *operands)
    (interpreted,) = interpret(static(lambda *xs: einsum(equation, *xs), *operands), operands)
    for result in (einsum(equation, *operands), interpreted):
        assert np.shape(result) == np.shape(expected)
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_gradients_are_einsums_of_one_operand_replaced(equation):
    operands = operands_of(equation)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, np.shape(np.einsum(equation, *operands)))
    found = gradients(lambda *xs: sum_of(einsum(equation, *xs) * weights), *operands)
    for k, gradient in enumerate(found):
        direction = np.random.default_rng(2 + k).normal(size=operands[k].shape)
        # it is linear in each operand
        moved = np.einsum(equation, *(direction if j == k else x for j, x in enumerate(operands)))
        np.testing.assert_allclose(np.sum(gradient * direction), np.sum(moved * weights), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_random_equations(seed):
    rng = np.random.default_rng(seed)
    letters = "abcdef"
    sizes = dict(zip(letters, rng.integers(0 if seed % 10 == 0 else 1, 4, 6).tolist(), strict=True))
    terms = ["".join(rng.permutation(list(letters))[: rng.integers(0, 4)]) for _ in range(rng.integers(1, 5))]
    used = sorted({c for t in terms for c in t})
    equation = ",".join(terms) + "->" + "".join(rng.permutation(used)[: rng.integers(0, len(used) + 1)])
    operands = operands_of(equation, sizes, seed=seed)
    # here and there an axis of size 1, which broadcasts
    operands = [x[:1] if x.ndim and rng.random() < 0.2 else x for x in operands]
    expected = np.einsum(equation, *operands)
    np.testing.assert_allclose(einsum(equation, *operands), expected, rtol=1e-12, atol=1e-12)


def test_lists_of_axes():
    x, y = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(einsum(x, [0, 1], y, [1, 2], [2, 0]), np.einsum(x, [0, 1], y, [1, 2], [2, 0]))
    np.testing.assert_array_equal(einsum(x, [5, 1], y, [1, 3]), (x @ y).T)
    np.testing.assert_array_equal(einsum(x, [Ellipsis, 0], [0, Ellipsis]), x.T)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_dtypes(dtype):
    x, y = np.arange(6).reshape(2, 3).astype(dtype), np.arange(12).reshape(3, 4).astype(dtype)
    for equation in ("ij,jk->ik", "ij,jk->", "ij,jk->ijk"):
        result = einsum(equation, x, y)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, np.einsum(equation, x, y))


def test_it_is_made_of_native_ops():
    operands = operands_of("bhqd,bhkd->bhqk")
    kinds = {node.op.kind for node in static(lambda q, k: einsum("bhqd,bhkd->bhqk", q, k), *operands)}
    assert kinds <= {Kind.INPUT, Kind.CONSTANT, Kind.VIEW, Kind.MAP, Kind.CONTRACT}


def test_numpy_in_a_trace():
    x, y = operands_of("ij,jk")

    def loss(x, y):
        return np.sum(np.tanh(np.einsum("ij,jk->ki", x, y)) ** 2) + np.einsum(x, [0, 1], [1, 0]).sum()

    compiled = tg.grad_compile(loss)
    value, gradient = compiled.value_and_grad(x, y)
    assert value == pytest.approx(loss(x, y), rel=1e-12)
    product = np.tanh(x @ y)
    np.testing.assert_allclose(gradient, (2 * product * (1 - product**2)) @ y.T + 1, rtol=1e-11)


def test_numpy_on_tensors():
    x = tg.tensor(np.eye(3), requires_grad=True)
    np.einsum("ii", x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.eye(3))


X = np.ones((3, 4))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("ij,jk->ik", X, X), "subscript j has size 3 for operand 1 which does not broadcast with previously seen size 4"),
        (("ij,kj->iz", X, X), "output subscript z does not appear in the equation for any input operand"),
        (("ijk", X), r"subscripts in the equation \(3\) does not match the number of dimensions \(2\) for operand 0"),
        (("ij,kj->ikk", X, X), "output subscript k appears more than once in the output"),
        (("ij", X, X), "more operands were provided than specified"),
        (("ij,jk", X), "fewer operands were provided than specified"),
        (("i$j", X), r"invalid subscript given at index 1 in the equation string, subscripts must be in \[a-zA-Z\]"),
        (("ij->i->", X), "invalid subscript given at index 5"),
        (("...ij", X[0]), r"subscripts in the equation \(2\) is more than the number of dimensions \(1\) for operand 0"),
        ((".ij", X), "found '.' for operand 0 that is not part of any ellipsis"),
        (("...i->...i...", X), r"found '.' for output but an ellipsis \(...\) was already found"),
        (("ii", X), "subscript i is repeated for operand 0 but the sizes don't match, 4 != 3"),
        ((X, [0, 60]), r"not within the valid range \[0, 52\)"),
        (("...,...", X, X[:, :3]), "axis -1 under the ellipsis has size 3 for operand 1"),
        ((), "must specify the equation string"),
    ],
)
def test_wrong_equations(arguments, text):
    with pytest.raises(ShapeError, match=text):
        einsum(*arguments)


def test_out_is_refused():
    with pytest.raises(TraceError, match="assign the result"):
        einsum("ij", X, out=X)
