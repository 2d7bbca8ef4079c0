"""Composites for networks: values against SciPy and NumPy, gradients against finite differences, edges, errors."""

import inspect

import numpy as np
import pytest
import scipy.special

from tests.support import central_difference, gradients, static
from tracegrad import functional
from tracegrad.core.interpret import interpret
from tracegrad.eager.tensor import tensor
from tracegrad.errors import DtypeError, ShapeError
from tracegrad.functional import cross_entropy, log_softmax, logsumexp, nll_loss, one_hot, relu, softmax
from tracegrad.functional.convolutions import columns, convolution, from_columns, transposed_convolution
from tracegrad.ops.reductions import sum as sum_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
LABELS = np.array([0, 2, 1, 1, 0])
TARGET = RNG.random((5, 3))

SIGNAL = RNG.normal(size=(2, 6, 5))
VOLUME = RNG.normal(size=(2, 2, 3, 3, 4))

FUNCTIONS = {
    "relu": (functional.relu, [X]),
    "leaky_relu": (functional.leaky_relu, [X]),
    "elu": (functional.elu, [X]),
    "gelu": (functional.gelu, [X]),
    "gelu tanh": (lambda x: functional.gelu(x, "tanh"), [X]),
    "silu": (functional.silu, [X]),
    "softplus": (functional.softplus, [X]),
    "log_sigmoid": (functional.log_sigmoid, [X]),
    "softmax": (softmax, [X]),
    "softmax axis 0": (lambda x: softmax(x, 0), [X]),
    "softmax both axes": (lambda x: softmax(x, (0, 1)), [X]),
    "log_softmax": (log_softmax, [X]),
    "logsumexp": (lambda x: logsumexp(x, 1), [X]),
    "logsumexp of all": (logsumexp, [X]),
    "cross_entropy": (cross_entropy, [X, LABELS]),
    "cross_entropy sum": (lambda x, y: cross_entropy(x, y, "sum"), [X, LABELS]),
    "cross_entropy none": (lambda x, y: cross_entropy(x, y, "none"), [X, LABELS]),
    "cross_entropy of probabilities": (cross_entropy, [X, softmax(TARGET)]),
    "cross_entropy of one sample": (cross_entropy, [X[0], LABELS[1]]),
    "cross_entropy of images": (cross_entropy, [RNG.normal(size=(2, 3, 4, 2)), RNG.integers(0, 3, (2, 4, 2))]),
    "nll_loss": (lambda x, y: nll_loss(log_softmax(x, 1), y), [X, LABELS]),
    "mse_loss": (functional.mse_loss, [X, TARGET]),
    "l1_loss": (functional.l1_loss, [X, TARGET]),
    "huber_loss": (lambda x, y: functional.huber_loss(x, y, delta=0.7), [X, TARGET]),
    "smooth_l1_loss": (lambda x, y: functional.smooth_l1_loss(x, y, beta=0.7), [X, TARGET]),
    "binary_cross_entropy": (functional.binary_cross_entropy_with_logits, [X, TARGET]),
    "linear": (functional.linear, [X, RNG.normal(size=(4, 3)), RNG.normal(size=4)]),
    "layer_norm": (functional.layer_norm, [X, RNG.normal(size=3), RNG.normal(size=3)]),
    "layer_norm plain": (lambda x: functional.layer_norm(x, axis=(0, 1)), [X]),
    "mish": (functional.mish, [X]),
    "selu": (functional.selu, [X]),
    "celu": (lambda x: functional.celu(x, 0.7), [X]),
    "prelu": (functional.prelu, [X, RNG.normal(size=3)]),
    "hardtanh": (functional.hardtanh, [X]),
    "hardsigmoid": (functional.hardsigmoid, [2 * X]),
    "hardswish": (functional.hardswish, [2 * X]),
    "hardshrink": (functional.hardshrink, [X]),
    "softshrink": (functional.softshrink, [X]),
    "softsign": (functional.softsign, [X]),
    "tanhshrink": (functional.tanhshrink, [X]),
    "threshold": (lambda x: functional.threshold(x, 0.3, 2.0), [X]),
    "glu": (lambda x: functional.glu(x, 0), [X[:4]]),
    "softplus beta": (lambda x: functional.softplus(x, 2.0, 1.0), [X]),
    "group_norm": (lambda x, w, b: functional.group_norm(x, 3, w, b), [SIGNAL, *RNG.normal(size=(2, 6))]),
    "normalised_by": (functional.normalised_by, [X, RNG.normal(size=3), RNG.random(3) + 0.5, X[0], X[1]]),
    "binary_cross_entropy of probabilities": (functional.binary_cross_entropy, [softmax(X), TARGET]),
    "binary_cross_entropy weighted": (
        lambda x, y, w: functional.binary_cross_entropy(x, y, "sum", w),
        [softmax(X), TARGET, RNG.random(3)],
    ),
    "binary_cross_entropy_with_logits weighted": (
        lambda x, y, w, p: functional.binary_cross_entropy_with_logits(x, y, "none", w, p),
        [X, TARGET, RNG.random(3), RNG.random(3)],
    ),
    "kl_div": (lambda x, y: functional.kl_div(x, y, "batchmean"), [log_softmax(X), softmax(TARGET)]),
    "kl_div log": (lambda x, y: functional.kl_div(x, y, "sum", log_target=True), [log_softmax(X), log_softmax(TARGET)]),
    **{
        f"cross_entropy options {reduction}": (
            lambda x, y, w, reduction=reduction: cross_entropy(x, y, reduction, w, 2, 0.2),
            [X, LABELS, RNG.random(3)],
        )
        for reduction in ("mean", "sum", "none")
    },
    "cross_entropy weighted": (lambda x, y, w: cross_entropy(x, y, weight=w), [X, LABELS, RNG.random(3)]),
    "cross_entropy soft": (lambda x, y, w: cross_entropy(x, y, "mean", w, None, 0.2), [X, softmax(TARGET), RNG.random(3)]),
    "nll_loss options": (lambda x, y, w: nll_loss(x, y, "mean", w, 1), [log_softmax(X, 1), LABELS, RNG.random(3)]),
    "convolution of signals": (
        lambda x, w, b: convolution(x, w, b, (2,), ((1, 0),), (2,), 2),
        [SIGNAL, RNG.normal(size=(4, 3, 2)), RNG.normal(size=4)],
    ),
    "convolution of volumes": (
        lambda x, w, b: convolution(x, w, b, (2, 1, 1), ((1, 0), (0, 1), (1, 1)), (1, 2, 1), 2),
        [VOLUME, RNG.normal(size=(4, 1, 2, 2, 2)), RNG.normal(size=4)],
    ),
    "transposed_convolution of images": (
        lambda x, w, b: transposed_convolution(x, w, b, (2, 3), (1, 0), (1, 2), (1, 2), 2),
        [VOLUME[:, :, 0], RNG.normal(size=(2, 1, 2, 2)), RNG.normal(size=2)],
    ),
    "transposed_convolution of volumes": (
        lambda x, w: transposed_convolution(x, w, None, (2, 1, 1), (0, 0, 1), (1, 0, 0), (1, 1, 2), 1),
        [VOLUME, RNG.normal(size=(2, 3, 2, 2, 2))],
    ),
    "columns": (lambda x: columns(x, (2, 2), (1, 2), (1, 0), (2, 1)), [VOLUME[:, :, 0]]),
    "from_columns": (
        lambda x: from_columns(x, (3, 4), (2, 2), (1, 2), (1, 0), (2, 1), (2, 2)),
        [RNG.normal(size=(2, 8, 4))],
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_static_is_eager(name):
    function, arrays = FUNCTIONS[name]
    expected = function(*arrays)
    (result,) = interpret(static(function, *arrays), arrays)
    np.testing.assert_allclose(result, expected, rtol=1e-14)
    assert np.shape(result) == np.shape(expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_stays_float32(name):
    function, arrays = FUNCTIONS[name]
    single = [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]
    for result in (function(*single), interpret(static(function, *single), single)[0]):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, function(*arrays), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_is_that_of_finite_differences(name):
    function, arrays = FUNCTIONS[name]
    weights = RNG.uniform(0.5, 1.5, np.shape(function(*arrays)))

    def loss(*operands):
        return sum_of(function(*operands) * weights)

    floats = [k for k, a in enumerate(arrays) if a.dtype == np.float64]
    for k, g in zip(floats, gradients(loss, *arrays), strict=True):
        direction = RNG.uniform(-1, 1, arrays[k].shape)
        expected = central_difference(loss, arrays, k, direction, 1e-4)
        np.testing.assert_allclose(np.sum(g * direction), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (lambda x: logsumexp(x, 1), lambda x: scipy.special.logsumexp(x, 1)),
        (softmax, lambda x: scipy.special.softmax(x, -1)),
        (log_softmax, lambda x: scipy.special.log_softmax(x, -1)),
        (functional.log_sigmoid, scipy.special.log_expit),
        (functional.softplus, lambda x: np.logaddexp(x, 0)),
        (functional.gelu, lambda x: x * scipy.special.ndtr(x)),
        (functional.silu, lambda x: x * scipy.special.expit(x)),
        (functional.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    ],
)
def test_value_is_scipys(function, reference):
    x = np.concatenate([X, 100 * X, 1e-8 * X])
    np.testing.assert_allclose(function(x), reference(x), rtol=1e-13, atol=1e-15)


def test_kinks():
    x = np.array([-1.0, -0.0, 0.0, 2.0])
    np.testing.assert_array_equal(gradients(lambda x: sum_of(relu(x)), x)[0], [0, 0, 0, 1])
    np.testing.assert_array_equal(gradients(lambda x: sum_of(functional.leaky_relu(x, 0.1)), x)[0], [0.1, 0.1, 0.1, 1])
    np.testing.assert_array_equal(gradients(lambda x: sum_of(functional.elu(x)), x)[0][1:], [1, 1, 1])
    np.testing.assert_array_equal(gradients(lambda x: sum_of(functional.softplus(x)), x)[0][1:3], [0.5, 0.5])
    assert np.isnan(relu(np.array([np.nan]))).all()
    assert relu(np.array([-1, 2])).dtype == np.int64


def test_probabilities_at_their_edges():
    p = np.array([0.0, 1.0, 0.0, 1.0])
    target = np.array([1.0, 0.0, 0.0, 1.0])
    for dtype in (np.float32, np.float64):
        loss = functional.binary_cross_entropy(p.astype(dtype), target.astype(dtype), "none")
        np.testing.assert_array_equal(loss, [100, 100, 0, 0])
        assert loss.dtype == dtype
    (g, _) = gradients(lambda p, y: functional.binary_cross_entropy(p, y, "sum"), p, target)
    np.testing.assert_array_equal(g, [-1e12, 1e12, 0, 0])


def test_ignored_labels_count_for_nothing():
    labels = np.array([0, -100, 1, 2, -100])
    kept = labels >= 0
    (g, *_) = gradients(lambda x, y: cross_entropy(x, y, ignore_index=-100), X, labels)
    (expected, *_) = gradients(lambda x, y: cross_entropy(x, y), X[kept], labels[kept])
    np.testing.assert_allclose(g[kept], expected, rtol=1e-12)
    assert (g[~kept] == 0).all()
    with pytest.raises(IndexError, match=r"0 … 2"):
        cross_entropy(X, labels)


def test_rows_of_minus_infinity():
    x = np.array([[-np.inf, -np.inf], [0.0, -np.inf], [np.inf, 0.0]])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(logsumexp(x, 1), [-np.inf, 0, np.inf])
    (g,) = gradients(lambda x: sum_of(logsumexp(x, 1)), x[1:2])
    np.testing.assert_array_equal(g, [[1, 0]])
    np.testing.assert_array_equal(softmax(x[1:2]), [[1, 0]])


def test_large_scores_keep_their_digits():
    x = np.array([[1e8, 1e8 + 1.0]])
    np.testing.assert_allclose(cross_entropy(x, np.array([0])), np.log1p(np.e), rtol=1e-12)
    np.testing.assert_allclose(gradients(lambda x: cross_entropy(x, np.array([0])), x)[0], [[-0.73105858, 0.73105858]])


def test_gradient_of_the_cross_entropy_is_softmax_less_one_hot():
    (g,) = gradients(lambda x, y: cross_entropy(x, y), X, LABELS)
    np.testing.assert_allclose(g, (softmax(X) - one_hot(LABELS, 3)) / 5, rtol=1e-12, atol=1e-16)


def test_labels_out_of_range():
    for wrong in (3, -1):
        labels = np.array([0, 1, 2, 0, wrong])
        with pytest.raises(IndexError, match=r"0 … 2"):
            cross_entropy(X, labels)
        (losses,) = interpret(static(lambda x, y: cross_entropy(x, y, "none"), X, labels), [X, labels])
        np.testing.assert_array_equal(np.isnan(losses), [False] * 4 + [True])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: cross_entropy(X, LABELS[:4]), ShapeError, r"labels of shape \(4,\).*(?s:.*)in shape \(5,\)"),
        (lambda: cross_entropy(X, LABELS.astype(float)), DtypeError, "integer class numbers"),
        (lambda: cross_entropy(np.array(1.0), np.array(0)), ShapeError, "single number"),
        (lambda: functional.mse_loss(X, X[:, 0]), ShapeError, "one shape"),
        (lambda: functional.mse_loss(X, X, "median"), ValueError, '"mean"'),
        (lambda: functional.linear(X, X.T), ShapeError, r"\(outputs, inputs\)"),
        (lambda: one_hot(X, 3), DtypeError, "integers"),
        (lambda: functional.gelu(X, "fast"), ValueError, '"tanh"'),
        (lambda: functional.glu(X), ShapeError, r"axis 1 of shape \(5, 3\) has 3 elements"),
        (lambda: functional.group_norm(X, 2), ShapeError, "num_groups=2"),
        (lambda: cross_entropy(X, LABELS, weight=X[:, 0]), ShapeError, r"for all 3 classes.*\[5\]"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_every_public_function_has_an_example():
    for name in functional.__all__:
        value = getattr(functional, name)
        if inspect.isfunction(value):
            assert ">>>" in value.__doc__, name


@pytest.mark.parametrize("name", ["gelu", "elu", "silu", "softplus", "huber_loss", "cross_entropy", "layer_norm"])
def test_pytorch_agrees(name):
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    calls = {
        "huber_loss": (lambda f, x, t: f(x, t(TARGET)), [X]),
        "cross_entropy": (lambda f, x, t: f(x, t(LABELS)), [X]),
        "layer_norm": (lambda f, x, t: f(x, (3,)) if t is torch.tensor else f(x), [X]),
    }
    call = calls.get(name, (lambda f, x, t: f(x), [X]))[0]
    theirs = call(getattr(torch.nn.functional, name), x, torch.tensor)
    (theirs**2).sum().backward()

    def ours(x):
        return call(getattr(functional, name), x, lambda a: a)

    np.testing.assert_allclose(ours(X), theirs.detach().numpy(), rtol=1e-12)
    (g,) = gradients(lambda x: sum_of(ours(x) ** 2), X)
    np.testing.assert_allclose(g, x.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tensors_give_the_static_gradients(name):
    function, arrays = FUNCTIONS[name]
    operands = [tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    sum_of(function(*operands) ** 2).backward()
    expected = gradients(lambda *a: sum_of(function(*a) ** 2), *arrays)
    floats = [t for t in operands if t.requires_grad]
    for t, g in zip(floats, expected, strict=True):
        np.testing.assert_allclose(t.grad.numpy(), g, rtol=1e-12, atol=1e-14)
