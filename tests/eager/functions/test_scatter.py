"""Gather, scatter and their like against PyTorch: values, gradients to tensor and source, errors in PyTorch's words."""

import numpy as np
import pytest

import tracegrad as tg
from tests.eager.functions.against import FUNCTIONS, compare, error_of
from tests.support import static
from tracegrad.core.interpret import interpret
from tracegrad.eager import tensor
from tracegrad.errors import DtypeError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))
SRC = RNG.normal(size=(3, 4))
C = RNG.normal(size=(2, 3, 4))
# per dim an index that repeats nothing, and one that does
APART = {0: np.array([[2, 0, 1, 1], [0, 1, 2, 0]]), 1: np.array([[3, 0], [1, 2]])}
TWICE = {0: np.array([[0, 0, 1, 1], [0, 1, 1, 2]]), 1: np.array([[3, 3, 0], [1, 1, 1], [0, 2, 0]])}
DEEP = RNG.integers(0, 3, (2, 5, 3))


def cut(index):
    """A source of the shape of an index."""
    return SRC[tuple(slice(0, n) for n in index.shape)]


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_gather(dim, dtype):
    for index in (APART[dim % 2], TWICE[dim % 2]):
        compare(lambda F, x, i: F.gather(x, dim, i), X, index.astype(dtype))


def test_gather_of_other_ranks():
    compare(lambda F, x, i: F.gather(x, 1, i), C, DEEP)
    compare(lambda F, x, i: F.gather(x, 0, i), X[0], np.array([3, 3, 1]))
    compare(lambda F, x, i: F.gather(x, 0, i), X[0, 0], np.array([0, 0]), order=1)
    compare(lambda F, x, i: F.gather(x, 0, i), X[0, 0], np.array(0), order=1)
    compare(lambda F, x, i: F.gather(x, 0, i), X, np.zeros((0, 4), np.int64))
    compare(lambda F, x, i: F.gather(x, 0, i), X, np.zeros(0, np.int64))


@pytest.mark.parametrize("dim", [0, 1])
def test_scatter(dim):
    # PyTorch has a gradient for sources of the index's shape only
    compare(lambda F, x, i, s: F.scatter(x, dim, i, s), X, APART[dim], cut(APART[dim]))
    compare(lambda F, x, i, s: F.scatter(x, dim, i, s.detach()), X, APART[dim], SRC)
    compare(lambda F, x, i: F.scatter(x, dim, i, 2.5), X, TWICE[dim])
    compare(lambda F, x, i: F.scatter(x, dim, i, value=-1), X, APART[dim])
    compare(lambda F, x, i, s: F.scatter_add(x, dim, i, s), X, TWICE[dim], cut(TWICE[dim]))
    compare(lambda F, x, i, s: F.scatter_add(x, dim, i, s.detach()), X, TWICE[dim], SRC)
    compare(lambda F, x: F.scatter_add(x, dim, (x.detach() > 0) * 1, x), X)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("reduce", ["add", "multiply"])
@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
def test_scatter_with_a_reduction(dim, reduce):
    compare(lambda F, x, i, s: F.scatter(x.detach(), dim, i, s.detach(), reduce=reduce), X, TWICE[dim], SRC)
    compare(lambda F, x, i: F.scatter(x.detach(), dim, i, 2.5, reduce=reduce), X, TWICE[dim])


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce(dim, reduce, include_self):
    for index in (APART[dim], TWICE[dim]):
        compare(
            lambda F, x, i, s: F.scatter_reduce(x, dim, i, s, reduce, include_self=include_self),
            X,
            index,
            cut(index),
            order=2 if reduce in ("sum", "mean", "prod") else 1,
        )


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_scatter_reduce_with_ties_zeros_and_integers(reduce):
    s, index = np.array([1.0, 1.0, 0.0, 3.0]), np.array([0, 0, 1, 2])
    for include_self in (True, False):
        # PyTorch counts an equal element of the tensor among the ties even if it takes no part
        x = np.array([1.0, 0.0, 2.0]) if include_self else np.array([-1.0, 0.5, 2.0])
        compare(lambda F, x, i, s, k=include_self: F.scatter_reduce(x, 0, i, s, reduce, include_self=k), x, index, s, order=1)
        ints = (x.astype(np.int64) + 4, index, s.astype(np.int64) + 5)
        compare(lambda F, x, i, s, k=include_self: F.scatter_reduce(x, 0, i, s, reduce, include_self=k), *ints)


def test_a_source_written_twice_gives_its_last_element_and_the_gradient_to_it():
    s = tensor([1.0, 2.0, 3.0], requires_grad=True)
    out = FUNCTIONS.scatter(tensor([0.0, 0.0]), 0, tensor([1, 1, 0]), s)
    assert out.tolist() == [3.0, 2.0]
    (out * tensor([10.0, 20.0])).sum().backward()
    assert s.grad.tolist() == [0.0, 20.0, 10.0]


def test_tensors_without_dims():
    one, i = np.array(2.0), np.array(0)
    compare(lambda F, x, i: F.scatter(x, 0, i, 3.0), one, i, order=1)
    compare(lambda F, x, i, s: F.scatter(x, 0, i, s), one, i, np.array(5.0), order=1)
    compare(lambda F, x, i, s: F.scatter_add(x, 0, i, s), one, i, np.array(5.0), order=1)
    compare(lambda F, x, i, s: F.scatter_reduce(x, 0, i, s, "prod"), one, i, np.array(5.0), order=1)
    compare(lambda F, x, i, s: F.index_add(x, 0, i, s), one, i, np.array(5.0), order=1)
    compare(lambda F, x, i, s: F.index_copy(x, 0, i, s), one, i, np.array(5.0), order=1)


def test_take_along_dim():
    compare(lambda F, x, i: F.take_along_dim(x, i, 0), X, APART[0])
    compare(lambda F, x, i: F.take_along_dim(x, i, 1), X, np.array([[1], [-1], [0]]))
    compare(lambda F, x, i: F.take_along_dim(x, i, dim=1), X, np.array([[1, -2]]))
    compare(lambda F, x, i: F.take_along_dim(x, i, dim=1), X[:1], np.array([[1, -2], [0, 0], [3, 3]]))
    compare(lambda F, x, i: F.take_along_dim(x, i), X, np.array([[11, 0]]).reshape(-1))
    compare(lambda F, x, i: F.take_along_dim(x, F.argsort(x.detach(), 1), 1), X, np.array(0))


@pytest.mark.parametrize("dim", [0, 1])
def test_slices_at_a_vector_of_indices(dim):
    twice, apart = np.array([1, 0, 1]), np.array([2, 0])
    source = SRC[[0, 1, 2]] if dim == 0 else SRC[:, :3]
    pair = SRC[:2] if dim == 0 else SRC[:, :2]
    compare(lambda F, x, i, s: F.index_add(x, dim, i, s), X, twice, source)
    compare(lambda F, x, i, s: F.index_add(x, dim, i, s, alpha=-2.5), X, twice.astype(np.int32), source)
    compare(lambda F, x, i, s: F.index_copy(x, dim, i, s), X, apart, pair)
    compare(lambda F, x, i, s: F.index_add(x, 0, i, s, alpha=1.5), np.array([1, 2]), np.array([0]), np.array([3]))


def test_index_put():
    rows, columns = np.array([0, 2, 0]), np.array([-1, 1, 2])
    values = SRC[0, :3]
    for accumulate in (False, True):
        compare(lambda F, x, a, b, v, k=accumulate: F.index_put(x, (a, b), v, k), X, rows, columns, values)
        compare(lambda F, x, a, v, k=accumulate: F.index_put(x, (a,), v, accumulate=k), X, np.array([2, 0]), SRC[:2])
        compare(lambda F, x, a, v, k=accumulate: F.index_put(x, (a,), v, accumulate=k), X, np.array([2, 0]), np.array(1.5))
        compare(lambda F, x, m, v, k=accumulate: F.index_put(x, (m,), v, accumulate=k), X, X > 0, np.array(1.5))
        compare(lambda F, x, m, v, k=accumulate: F.index_put(x, (m,), v, accumulate=k), X, X[:, 0] > 0, SRC[0])
        compare(lambda F, x, a, b, v, k=accumulate: F.index_put(x, (a, b), v, k), X, rows[:, None][:2], columns[:2], SRC[0, :2])
    compare(lambda F, x, a, v: F.index_put(x, (a,), v, accumulate=True), X[0], np.array([1, 1, 1]), values)


def test_index_put_with_a_whole_dim():
    x, i = tensor(X), tensor([3, 0])
    expected = X.copy()
    expected[:, [3, 0]] = SRC[:, :2]
    np.testing.assert_array_equal(FUNCTIONS.index_put(x, (None, i), tensor(SRC[:, :2])).numpy(), expected)


def test_elements_of_the_flattened_tensor():
    compare(lambda F, x, i: F.take(x, i), X, np.array([[0, -1], [5, 5]]))
    for accumulate in (False, True):
        compare(lambda F, x, i, s, k=accumulate: F.put(x, i, s, k), X, np.array([0, -1, 5]), SRC[0, :3])
    compare(lambda F, x, i, s: F.put(x, i, s, accumulate=True), X, np.array([[5, 5]]), SRC[0, :2])
    compare(lambda F, x, i, s: F.put(x, i, s, True), np.array([1, 2]), np.array([0]), np.array([7]))


def t(*values, dtype=None):
    return tensor(list(values), dtype=dtype)


BAD = [
    (lambda F, x: F.gather(x, 0, t([0, 5])), RuntimeError, "index 5 is out of bounds for dimension 0 with size 3"),
    (lambda F, x: F.gather(x, 0, t([0, -1])), IndexError, "index -1 is out of bounds for dimension 0 with size 3"),
    (lambda F, x: F.gather(x, 0, t(0)), ShapeError, "same number of dimensions as input tensor"),
    (lambda F, x: F.gather(x, 0, t([0, 1, 2, 0, 1])), ShapeError, r"index \[1, 5\] to be no larger than self \[3, 4\] apart"),
    (lambda F, x: F.gather(x, 0, t([0.0])), DtypeError, r"gather\(\): Expected dtype int32/int64 for index"),
    (lambda F, x: F.gather(x, 3, t([0])), IndexError, r"Dimension out of range .* \[-2, 1\], but got 3"),
    (lambda F, x: F.scatter(x, 0, t([5]), 1.0), RuntimeError, "index 5 is out of bounds for dimension 0 with size 3"),
    (lambda F, x: F.scatter(x, 1, t([0, 4]), x), RuntimeError, "index 4 is out of bounds for dimension 1 with size 4"),
    (lambda F, x: F.scatter(x, 0, t([0, 1]), x[:, :1]), ShapeError, r"no larger size than src \[3, 1\]"),
    (lambda F, x: F.scatter(x, 0, t([0, 1]), x > 0), DtypeError, "Expected self.dtype to be equal to src.dtype"),
    (lambda F, x: F.scatter(x, 0, t([0]), 1.0, reduce="mean"), ShapeError, "reduce argument must be either add or multiply"),
    (lambda F, x: F.scatter(x, 0, t([0])), TypeError, 'missing 1 required positional argument: "src"'),
    (lambda F, x: F.scatter_add(x, 0, t([5]), x), RuntimeError, "index 5 is out of bounds"),
    (lambda F, x: F.scatter_reduce(x, 0, t([0]), x, "foo"), ShapeError, "sum, prod, mean, amax or amin, got foo"),
    (lambda F, x: F.take_along_dim(x, t(1), 1), ShapeError, "2 dimensions for input, and 1 dimensions for indices"),
    (lambda F, x: F.take_along_dim(x, t([0.0]), 1), DtypeError, "dtype of indices should be Long but got float32"),
    (lambda F, x: F.take_along_dim(x, t([-5]), 1), IndexError, "index -5 is out of bounds for dimension 1 with size 4"),
    (lambda F, x: F.take_along_dim(x, t([0], [0]), 1), ShapeError, "do not broadcast"),
    (lambda F, x: F.index_add(x, 0, t(5), x[:1]), RuntimeError, "index 5 is out of bounds for dimension 0 with size 3"),
    (
        lambda F, x: F.index_add(x, 0, t(0, 1), x[:1]),
        ShapeError,
        r"Number of indices \(2\) should be equal .*\(1\), for dim: 0",
    ),
    (lambda F, x: F.index_add(x, 0, t([0]), x[:1]), ShapeError, "Index is supposed to be a vector"),
    (lambda F, x: F.index_add(x, 0, t(0.0), x[:1]), DtypeError, "Expected dtype int32/int64 for index"),
    (lambda F, x: F.index_add(x, 0, t(0), x[:1] > 0), DtypeError, "must have the same scalar type"),
    (lambda F, x: F.index_add(x, 0, t(0), x[:1, :2]), ShapeError, r"Got self.shape = \[3, 4\] source.shape = \[1, 2\]"),
    (lambda F, x: F.index_copy(x, 0, t(5), x[:1]), IndexError, r"index_copy_\(\): index 5 is out of bounds for dimension 0"),
    (lambda F, x: F.index_copy(x, 0, t(0), x[0]), ShapeError, r"Source dimensionality \(1\), destination dimensionality \(2\)"),
    (lambda F, x: F.index_put(x, (t(0, 5),), x[0]), IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
    (lambda F, x: F.index_put(x, (t(0), t(0), t(0)), x[0]), IndexError, "too many indices for tensor of dimension 2"),
    (lambda F, x: F.index_put(x, (t(0, 1),), x[0, :2]), ShapeError, r"shape \[2\] cannot be broadcast .* of shape \[2, 4\]"),
    (lambda F, x: F.index_put(x, (t(0),), t(1)), DtypeError, "requires the source and destination dtypes match"),
    (lambda F, x: F.index_put(x, (t(True, False),), x[0]), ShapeError, r"mask \[2\] at index 0 does not match .* \[3, 4\]"),
    (lambda F, x: F.take(x, t(99)), IndexError, "tried to access index 99 on a tensor of 12 elements"),
    (lambda F, x: F.take(x, t(-13)), IndexError, "tried to access index -13 on a tensor of 12 elements"),
    (lambda F, x: F.put(x, t(99), x[0, :1]), IndexError, "tried to access index 99"),
    (lambda F, x: F.put(x, t(1, 2), x[0, :1]), ShapeError, r"source.numel\(\) = 1, index.numel\(\) = 2"),
    (lambda F, x: F.put(x, t(1), t(1)), DtypeError, "expected to have the same dtype"),
]


@pytest.mark.parametrize(("function", "kind", "text"), BAD, ids=range(len(BAD)))
def test_bad_input(function, kind, text):
    error = error_of(function, X)
    assert isinstance(error, kind)
    with pytest.raises(kind, match=text):
        raise error


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i, s: FUNCTIONS.gather(x, 0, i),
        lambda x, i, s: FUNCTIONS.scatter(x, 0, i, s),
        lambda x, i, s: FUNCTIONS.scatter_add(x, 0, i, s),
        lambda x, i, s: FUNCTIONS.scatter_reduce(x, 0, i, s, "mean"),
        lambda x, i, s: FUNCTIONS.index_add(x, 1, i[0], s),
        lambda x, i, s: FUNCTIONS.take(x, i),
        lambda x, i, s: FUNCTIONS.put(x, i, s[:2]),
        lambda x, i, s: FUNCTIONS.index_put(x, (i[0],), s[0], accumulate=True),
    ],
)
def test_traced_indices(function):
    index = APART[0]
    expected = function(tensor(X), tensor(index), tensor(SRC))
    graph = static(function, X, index, SRC)
    (found,) = interpret(graph, [X, index, SRC])
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-14)
    with pytest.raises(IndexError):
        interpret(graph, [X, index + 20, SRC])


def test_what_has_native_ops_compiles():
    def loss(x, i, s):
        read = FUNCTIONS.gather(x, 0, i)
        return (read * FUNCTIONS.scatter(s, 0, i, read)[:2]).sum()

    compiled = tg.grad_compile(loss, argnums=(0, 2))
    value, gradients = compiled.value_and_grad(X, APART[0], SRC)
    x, s = tensor(X, requires_grad=True), tensor(SRC, requires_grad=True)
    expected = loss(x, tensor(APART[0]), s)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradients[0], x.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(gradients[1], s.grad.numpy(), rtol=1e-12)
