"""Scans, sorting, selection, searching and counting against PyTorch, and against numbers recorded from it."""

import numpy as np
import pytest

from tests.eager.functions.against import FUNCTIONS, compare, error_of
from tests.support import static
from tracegrad.eager import no_grad, tensor
from tracegrad.errors import DtypeError, ShapeError, TraceError

nan, inf = np.nan, np.inf
RNG = np.random.default_rng(0)
X = RNG.permutation(24).reshape(2, 3, 4) / 7.0 - 1.4
M = RNG.normal(size=(3, 5))
TIES = np.array([2.0, 3.0, 3.0, 1.0, 3.0, 3.0])
HOLES = np.array([[1.0, nan, 2.0, 0.5], [nan, nan, nan, nan], [4.0, 3.0, 1.0, 2.0]])
INTS = RNG.integers(-5, 5, (3, 4))
SCALAR = np.array(1.5)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize(
    "function",
    [
        lambda F, x, dim: F.cumsum(x, dim),
        lambda F, x, dim: F.cumsum(x, dim=dim, dtype=None),
        lambda F, x, dim: F.cumprod(x, dim),
        lambda F, x, dim: F.cummax(x, dim),
        lambda F, x, dim: F.cummin(x, dim=dim),
        lambda F, x, dim: F.logcumsumexp(x, dim),
        lambda F, x, dim: F.sort(x, dim),
        lambda F, x, dim: F.sort(x, dim=dim, descending=True),
        lambda F, x, dim: F.sort(x, stable=True, dim=dim),
        lambda F, x, dim: F.argsort(x, dim, True),
        lambda F, x, dim: F.topk(x, 2, dim),
        lambda F, x, dim: F.topk(x, 1, dim, largest=False),
        lambda F, x, dim: F.topk(x, 0, dim),
        lambda F, x, dim: F.kthvalue(x, 2, dim),
        lambda F, x, dim: F.kthvalue(x, 1, dim, keepdim=True),
        lambda F, x, dim: F.median(x, dim),
        lambda F, x, dim: F.median(x, dim, keepdim=True),
        lambda F, x, dim: F.nanmedian(x, dim),
        lambda F, x, dim: F.mode(x, dim),
        lambda F, x, dim: F.mode(x, dim, True),
        lambda F, x, dim: F.quantile(x, 0.3, dim),
        lambda F, x, dim: F.quantile(x, 0.85, dim, keepdim=True),
        lambda F, x, dim: F.nanquantile(x, 0.4, dim),
    ],
)
def test_along_a_dim(function, dim):
    compare(lambda F, x: function(F, x, dim), X)


@pytest.mark.parametrize(
    "function",
    [
        lambda F, x: F.cumsum(x, 0),
        lambda F, x: F.cumprod(x, 0),
        lambda F, x: F.cummax(x, -1),
        lambda F, x: F.logcumsumexp(x, 0),
        lambda F, x: F.sort(x),
        lambda F, x: F.argsort(x),
        lambda F, x: F.topk(x, 1),
        lambda F, x: F.kthvalue(x, 1),
        lambda F, x: F.median(x, 0),
        lambda F, x: F.median(x),
        lambda F, x: F.mode(x),
        lambda F, x: F.quantile(x, 0.5),
        lambda F, x: F.unique(x.detach()),
    ],
)
def test_tensors_without_dims(function):
    compare(function, SCALAR, order=1)


@pytest.mark.parametrize(
    "function",
    [
        lambda F, x: F.median(x),
        lambda F, x: F.nanmedian(x),
        lambda F, x: F.msort(x),
        lambda F, x: F.quantile(x, 0.25),
        lambda F, x: F.quantile(x, 0.25, keepdim=True),
        lambda F, x: F.quantile(x, 0.6, interpolation="lower"),
        lambda F, x: F.quantile(x, 0.6, interpolation="higher"),
        lambda F, x: F.quantile(x, 0.6, interpolation="nearest"),
        lambda F, x: F.quantile(x, 0.6, 1, interpolation="midpoint"),
        lambda F, x: F.quantile(x, 0.0, 1),
        lambda F, x: F.quantile(x, 1.0, 1),
    ],
)
def test_of_all_elements(function):
    compare(function, M)


def test_quantiles_at_several_shares_have_a_gradient_for_the_shares():
    for q in (np.array([0.1, 0.55, 0.9]), np.array(0.35)):
        compare(lambda F, x, q: F.quantile(x, q, 1), M, q)
        compare(lambda F, x, q: F.quantile(x, q, 0, keepdim=True), M, q)
        compare(lambda F, x, q: F.nanquantile(x, q), M, q)


def test_nan_is_the_greatest_and_ends_a_scan():
    for function in (
        lambda F, x: F.sort(x),
        lambda F, x: F.sort(x, descending=True),
        lambda F, x: F.cummax(x, 1),
        lambda F, x: F.cummin(x, 1),
        lambda F, x: F.median(x, 1),
        lambda F, x: F.nanmedian(x, 1).values,
        lambda F, x: F.nanmedian(x[::2], 1),
        lambda F, x: F.nanmedian(x),
        lambda F, x: F.quantile(x, 0.4, 1),
        lambda F, x: F.nanquantile(x, 0.4, 1),
        lambda F, x: F.kthvalue(x, 2, 1).values,
        lambda F, x: F.topk(x, 2, 1).values,
    ):
        compare(function, HOLES, order=0)


def test_ties():
    compare(lambda F, x: F.sort(x, stable=True), TIES)
    compare(lambda F, x: F.sort(x, descending=True, stable=True), TIES)
    compare(lambda F, x: F.cummax(x, 0), TIES)
    compare(lambda F, x: F.cummin(x, 0), TIES)
    compare(lambda F, x: F.median(x), TIES)
    compare(lambda F, x: F.mode(x), TIES)
    compare(lambda F, x: F.topk(x, 3).values, TIES, order=0)


@pytest.mark.parametrize("zeros", [(), (1,), (0, 3), (2, 3, 4)])
def test_products_with_zeros_to_the_second_order(zeros):
    x = np.array([0.5, -1.5, 2.0, 0.7, 1.1])
    x[list(zeros)] = 0.0
    compare(lambda F, x: F.cumprod(x, 0), x, order=3)


def test_integers_and_bools():
    for x in (INTS, INTS.astype(np.int32), INTS.astype(np.uint8), INTS > 0):
        compare(lambda F, x: F.cumsum(x, 1), x)
        compare(lambda F, x: F.cumprod(x, 0), x)
        compare(lambda F, x: F.cummax(x, 0), x)
        compare(lambda F, x: F.sort(x, dim=1, stable=True), x)
    compare(lambda F, x: F.median(x), INTS)
    compare(lambda F, x: F.mode(x, 1), INTS)
    compare(lambda F, x: F.topk(x, 2).values, INTS)


def test_dtype_of_scans():
    for dtype in ("float32", "int64"):
        compare(lambda F, x, d=dtype: F.cumsum(x.detach(), 0, dtype=getattr(F, d)), M)
        compare(lambda F, x, d=dtype: F.cumprod(x.detach(), 0, dtype=getattr(F, d)), M)


def test_logcumsumexp_of_infinities_and_large_numbers():
    compare(lambda F, x: F.logcumsumexp(x, 0), np.array([-inf, 1.0, inf, 2.0]), order=0)
    compare(lambda F, x: F.logcumsumexp(x, 0), np.array([0.0, 1000.0, -1000.0, 1000.0]), order=1)
    x = tensor([-inf, 0.0, 1.0], requires_grad=True)
    FUNCTIONS.logcumsumexp(x, 0)[1:].sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.0, 1.2689414, 0.7310586], rtol=1e-6)


def test_recorded_numbers_of_pytorch():
    x = tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]], requires_grad=True)
    FUNCTIONS.cumprod(x, 1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[-2.0, 1.5, -0.5], [1.125, 0.75, 0.375]], rtol=1e-6)
    x.grad = None
    FUNCTIONS.logcumsumexp(x, 1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[1.9928648, 0.2215381, 0.785597], [2.4806137, 0.424203, 0.0951832]], rtol=1e-6)


def test_named_results_print_as_pytorch_prints_them():
    found = FUNCTIONS.sort(tensor([3.0, 1.0, 2.0]))
    assert repr(found) == "torch.return_types.sort(\nvalues=tensor([1., 2., 3.]),\nindices=tensor([1, 2, 0]))"
    values, indices = found
    assert values is found.values
    assert indices is found.indices
    for name, call in {
        "topk": lambda x: FUNCTIONS.topk(x, 1),
        "median": lambda x: FUNCTIONS.median(x, 0),
        "nanmedian": lambda x: FUNCTIONS.nanmedian(x, 0),
        "mode": FUNCTIONS.mode,
        "kthvalue": lambda x: FUNCTIONS.kthvalue(x, 1),
        "cummax": lambda x: FUNCTIONS.cummax(x, 0),
        "cummin": lambda x: FUNCTIONS.cummin(x, 0),
    }.items():
        assert repr(call(tensor([1.0]))).startswith(f"torch.return_types.{name}(\nvalues=tensor(")


def test_the_other_spelling_of_dim():
    x = tensor(X)
    for a, b in (
        (FUNCTIONS.cumsum(x, axis=1), FUNCTIONS.cumsum(x, dim=1)),
        (FUNCTIONS.sort(x, axis=1)[1], FUNCTIONS.sort(x, dim=1)[1]),
        (FUNCTIONS.median(x, axis=1, keepdims=True)[0], FUNCTIONS.median(x, dim=1, keepdim=True)[0]),
        (FUNCTIONS.quantile(x, 0.5, axis=1), FUNCTIONS.quantile(x, 0.5, dim=1)),
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_without_recording_nothing_is_kept():
    x = tensor(X, requires_grad=True)
    with no_grad():
        assert not FUNCTIONS.sort(x).values.requires_grad
        assert not FUNCTIONS.cumsum(x, 0).requires_grad


# -- searching and counting -------------------------------------------------------------------------------------------


def test_searching():
    line, values = np.array([1.0, 3.0, 3.0, 5.0]), np.array([[0.0, 3.0], [5.0, nan]])
    rows, wanted = np.array([[1, 3], [2, 4]]), np.array([[1, 2, 3], [4, 5, 0]])
    for right in (False, True):
        compare(lambda F, a, v, r=right: F.searchsorted(a, v, right=r), line, values)
        compare(lambda F, a, v, r=right: F.searchsorted(a, v, right=r), rows, wanted)
        compare(lambda F, a, v, r=right: F.bucketize(v, a, right=r, out_int32=True), line, values)
    compare(lambda F, a: F.searchsorted(a, 3.0, side="right"), line)
    compare(lambda F, a: F.bucketize(2.0, a), line)
    compare(lambda F, a, v, s: F.searchsorted(a, v, sorter=s), line[[3, 0, 2, 1]], values, np.array([1, 3, 2, 0]))


@pytest.mark.parametrize("x", [np.array([3, 1, 3, 2, 2]), np.array([[3, 1], [1, 3], [3, 1]]), np.array([nan, 1.0, nan])])
def test_distinct_elements(x):
    compare(lambda F, x: F.unique(x, return_inverse=True, return_counts=True), x, order=0)
    compare(lambda F, x: F.unique(x, return_counts=True), x, order=0)
    compare(lambda F, x: F.unique(x), x, order=0)
    compare(lambda F, x: F.unique_consecutive(x, return_inverse=True, return_counts=True), x, order=0)


def test_distinct_slices():
    x = np.array([[3.0, 1.0, 3.0], [3.0, 1.0, 3.0], [1.0, 1.0, 1.0]])
    for dim in (0, 1):
        compare(lambda F, x, d=dim: F.unique(x, dim=d, return_inverse=True, return_counts=True), x, order=0)
        compare(
            lambda F, x, d=dim: F.unique_consecutive(x, dim=d, return_inverse=True, return_counts=True),
            x,
            order=0,
            names=False,
        )


def test_the_gradient_of_distinct_elements_goes_to_the_first():
    x = tensor([2.0, 1.0, 2.0], requires_grad=True)
    (FUNCTIONS.unique(x) * tensor([10.0, 20.0])).sum().backward()
    assert x.grad.tolist() == [20.0, 10.0, 0.0]


def test_counting():
    x = np.array([1, 2, 2, 5])
    compare(lambda F, x: F.bincount(x), x)
    compare(lambda F, x: F.bincount(x, minlength=9), x)
    compare(lambda F, x: F.bincount(x), x[:0])
    compare(lambda F, x, w: F.bincount(x, w.detach()), x, np.array([0.5, 1.5, 1.0, 2.0]))
    compare(lambda F, x, w: F.bincount(x, w), x, np.array([1, 2, 3, 4]))


def test_histograms():
    x = np.array([0.0, 1.0, 2.0, 1.0, 2.9, 3.0, -1.0, 3.5])
    for arguments in ((4, 0, 3), (3, 0, 0), (5, -1.0, 2.0)):
        compare(lambda F, x, a=arguments: F.histc(x.detach(), *a), x)
    compare(lambda F, x: F.histc(x.detach(), bins=3), np.ones(4))
    compare(lambda F, x: F.histc(x.detach(), 4, 0, 3), np.array([1.0, nan]))


# -- bad input --------------------------------------------------------------------------------------------------------

BAD = [
    (lambda F, x: F.cumsum(x, 3), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 3\)"),
    (lambda F, x: F.sort(x, -3), IndexError, "but got -3"),
    (lambda F, x: F.cumsum(x), TypeError, 'missing 1 required positional arguments: "dim"'),
    (lambda F, x: F.topk(x, 9), ShapeError, "selected index k out of range: k is 9, dimension 1 has size 5"),
    (lambda F, x: F.topk(x, -1), ShapeError, "selected index k out of range"),
    (lambda F, x: F.kthvalue(x, 0), ShapeError, r"kthvalue\(\): selected number k out of range for dimension 1"),
    (lambda F, x: F.median(x[:0], 0), IndexError, r"median\(\): Expected reduction dim 0 to have non-zero size"),
    (lambda F, x: F.mode(x[:, :0]), IndexError, r"mode\(\): Expected reduction dim 1"),
    (lambda F, x: F.quantile(x, 2.0), ShapeError, r"quantile\(\) q must be in the range \[0, 1\] but got 2"),
    (lambda F, x: F.quantile(x, tensor([0.5, 1.5], dtype=np.float64)), ShapeError, r"q values must be in the range \[0, 1\]"),
    (lambda F, x: F.quantile(x, tensor([0.5])), DtypeError, "q tensor must be same dtype as the input tensor"),
    (lambda F, x: F.quantile(x, tensor([[0.5]])), ShapeError, "q must be a scalar or 1D tensor"),
    (lambda F, x: F.quantile(x[:0], 0.5), ShapeError, "input tensor must be non-empty"),
    (lambda F, x: F.quantile(tensor([1, 2]), 0.5), DtypeError, "must be either float or double"),
    (lambda F, x: F.nanquantile(x, 0.5, interpolation="foo"), ShapeError, "interpolation must be one of linear, lower"),
    (lambda F, x: F.logcumsumexp(tensor([1]), 0), DtypeError, "logcumsumexp of int64"),
    (lambda F, x: F.searchsorted(x[0], x, side="foo"), ShapeError, "side can only be 'left' or 'right' but got foo"),
    (lambda F, x: F.searchsorted(x[0], x, side="left", right=True), ShapeError, "can't be set to opposites"),
    (lambda F, x: F.searchsorted(x, x[:2]), ShapeError, "the first N-1 dimensions"),
    (lambda F, x: F.searchsorted(tensor(1.0), x), ShapeError, "should have positive dimension, but got 0"),
    (lambda F, x: F.bucketize(x, x), ShapeError, r"boundaries tensor must be 1 dimension, but got dim\(2\)"),
    (lambda F, x: F.bincount(tensor([1, -1])), ShapeError, "only supports 1-d non-negative integral inputs"),
    (lambda F, x: F.bincount(x), ShapeError, "only supports 1-d non-negative integral inputs"),
    (lambda F, x: F.bincount(tensor([1, 1]), tensor([1.0])), ShapeError, "have the same length as input"),
    (lambda F, x: F.bincount(tensor([1]), minlength=-1), ShapeError, "minlength should be >= 0"),
    (lambda F, x: F.histc(tensor([1])), DtypeError, "histc is not implemented for int64"),
    (lambda F, x: F.histc(x, 0), ShapeError, "bins must be > 0, but got 0"),
    (lambda F, x: F.histc(x, 3, 2, 1), ShapeError, "max must be larger than min"),
    (lambda F, x: F.histc(tensor([1.0, inf])), ShapeError, "is not finite"),
    (lambda F, x: F.median(tensor([], dtype=np.int64)), ShapeError, "median.. of no elements of dtype int64"),
]


@pytest.mark.parametrize(("function", "kind", "text"), BAD, ids=range(len(BAD)))
def test_bad_input(function, kind, text):
    error = error_of(function, M)
    assert isinstance(error, kind)
    with pytest.raises(kind, match=text):
        raise error


def test_the_median_of_nothing_is_nan():
    assert np.isnan(FUNCTIONS.median(tensor([])).item())


def test_shapes_that_depend_on_values_are_not_traced():
    for function in (FUNCTIONS.unique, FUNCTIONS.bincount):
        with pytest.raises(TraceError, match="not known while tracing"):
            static(function, np.arange(3))
