"""Gradients of compiled programs against finite differences, and against PyTorch where it is installed."""

import numpy as np
import pytest
from scipy import special

import tracegrad as tg
from tests.support import central_difference

RNG = np.random.default_rng(5)
A, B, C = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 5)), RNG.normal(size=(2, 4, 3))
U, V, P = RNG.normal(size=3), RNG.normal(size=4), RNG.uniform(0.5, 2.0, size=(4, 3))
IMAGE, FILTERS = RNG.normal(size=(2, 4, 6, 5)), RNG.normal(size=(6, 2, 3, 2))


def assigned(a, u):
    y = np.zeros((5, 3))
    y[1:] = a
    y[0, ::2] += u[:2] * 2.0
    y[:, 1] = y[:, 0] * u[1]
    return np.sum(y * y)


def recurrence(a, u):
    state = np.zeros(4)
    for _ in range(6):
        state = np.tanh(a @ u + 0.5 * state)
    return np.sum(state)


def attention(a, p):
    scores = a @ p.T / np.sqrt(a.shape[-1])
    return np.sum(tg.functional.softmax(scores, axis=-1) @ p)


PROGRAMS = {
    "matrix times matrix": (lambda a, b: np.sum(np.sin(a @ b)), A, B),
    "matrix times vector": (lambda a, u: np.sum(np.sin(a @ u)), A, U),
    "vector times matrix": (lambda v, a: np.sum(np.sin(v @ a)), V, A),
    "vector times vector": (lambda u, v: np.sin(u @ (v * v)), U, U + 1),
    "stacks of matrices": (lambda c, b: np.sum(np.sin(c @ b)), C, B),
    "stretched stacks": (lambda c, d: np.sum(np.sin(c[:, None] @ d)), C, RNG.normal(size=(3, 3, 2))),
    "stack times vector": (lambda c, u: np.sum(np.sin(c @ u)), C, U),
    "broadcasting": (lambda a, u, v: np.sum(np.exp(-a * u) / (1.0 + v[:, None] ** 2)), A, U, V),
    "reductions": (lambda a: np.sum(np.mean(a, axis=0) * np.prod(a, axis=0) + np.max(a, axis=0, keepdims=True)), A),
    "variance": (lambda a: np.sum(np.var(a, axis=1) * np.std(a)), A),
    "joins": (lambda a, p: np.sum(np.concatenate([a, p[::-1]]) ** 2) + np.sum(np.stack([a, p], 1)[1:, 0] ** 3), A, P),
    "indexing": (lambda a: np.sum(a[[0, 2, 2, -1], 1] * a[1:3, ::2].sum() + a[-1, ::-1][0]), A),
    "assignment": (assigned, A, U),
    "powers": (lambda p, a: np.sum(p**a + p**-1.5 + 2.0**a), P, A),
    "selection": (lambda a: np.sum(np.where(a > 0.0, np.clip(a, 0.2, 0.9) * a, np.abs(a) ** 1.5)), A),
    "logarithms": (lambda p: np.sum(np.log(p) * np.log1p(p) + np.expm1(p) / np.sqrt(p)), P),
    "normalised": (lambda a, u: np.sum(tg.functional.layer_norm(a, u, u) * np.cos(a)), A, U),
    "likelihood": (lambda a: tg.functional.cross_entropy(a, np.array([0, 2, 1, 1])), A),
    "recurrence": (recurrence, A, U),
    "attention": (attention, A, P),
    "pooled": (lambda x: np.sum(tg.functional.max_pool2d(x, 2) ** 2), IMAGE),
    "convolution": (
        lambda x, w: np.sum(tg.functional.conv2d(x, w, stride=(2, 1), padding=1, dilation=(1, 2), groups=2) ** 2),
        IMAGE,
        FILTERS,
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_against_finite_differences(name):
    function, *arrays = PROGRAMS[name]
    compiled = tg.grad_compile(argnums=tuple(range(len(arrays))))(function)
    value, gradients = compiled.value_and_grad(*arrays)
    assert value == pytest.approx(function(*arrays), rel=1e-12)
    rng = np.random.default_rng(0)
    for position, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        direction = rng.normal(size=array.shape)
        expected = central_difference(function, arrays, position, direction, step=1e-4)
        assert np.sum(gradient * direction) == pytest.approx(float(expected), rel=1e-7, abs=1e-8)


TORCH = {
    "matrix times matrix": lambda torch, a, b: torch.sin(a @ b).sum(),
    "stacks of matrices": lambda torch, c, b: torch.sin(c @ b).sum(),
    "broadcasting": lambda torch, a, u, v: (torch.exp(-a * u) / (1.0 + v[:, None] ** 2)).sum(),
    "powers": lambda torch, p, a: (p**a + p**-1.5 + 2.0**a).sum(),
    "likelihood": lambda torch, a: torch.nn.functional.cross_entropy(a, torch.tensor([0, 2, 1, 1])),
    "normalised": lambda torch, a, u: (torch.nn.functional.layer_norm(a, (3,), u, u) * torch.cos(a)).sum(),
    "attention": lambda torch, a, p: (torch.softmax(a @ p.T / 3**0.5, -1) @ p).sum(),
    "pooled": lambda torch, x: (torch.nn.functional.max_pool2d(x, 2) ** 2).sum(),
    "convolution": lambda torch, x, w: (
        torch.nn.functional.conv2d(x, w, stride=(2, 1), padding=1, dilation=(1, 2), groups=2) ** 2
    ).sum(),
}


@pytest.mark.parametrize("name", TORCH)
def test_against_pytorch(name):
    torch = pytest.importorskip("torch")
    function, *arrays = PROGRAMS[name]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = TORCH[name](torch, *tensors)
    expected.backward()
    value, gradients = tg.grad_compile(argnums=tuple(range(len(arrays))))(function).value_and_grad(*arrays)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-9, atol=1e-11)


def gradient(function, *arrays):
    return tg.grad_compile(function).grad(*arrays)


def test_a_branch_not_taken_gives_no_nan():
    x = np.array([-1.0, 0.0, 4.0])
    with np.errstate(all="ignore"):
        result = gradient(lambda x: np.sum(np.where(x > 0.0, np.sqrt(x), 0.0)), x)
        assert result.tolist() == [0.0, 0.0, 0.25]
        result = gradient(lambda x: np.sum(np.where(x == 0.0, 1.0, np.sin(x) / x)), x)
    assert np.isfinite(result).all()
    assert result[1] == 0.0


@pytest.mark.parametrize("function", [np.max, np.min])
def test_ties_share_the_gradient(function):
    x = np.array([[2.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
    static = gradient(lambda x: np.sum(function(x, axis=1)), x)
    np.testing.assert_allclose(static.sum(axis=1), 1.0)
    tied = tg.tensor(x, requires_grad=True)
    np.sum(function(tied, axis=1)).backward()
    np.testing.assert_array_equal(static, tied.grad.numpy())


def test_ties_of_two_arrays():
    x = np.array([1.0, 2.0])
    both = tg.grad_compile(argnums=(0, 1))(lambda a, b: np.sum(np.maximum(a, b) + 2.0 * np.minimum(a, b)))
    first, second = both.grad(x, x)
    np.testing.assert_allclose(first + second, 3.0)


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2)])
def test_products_with_zeros(zeros):
    x = np.array([2.0, 3.0, 4.0])
    x[list(zeros)] = 0.0
    expected = [np.prod(np.delete(x, k)) for k in range(3)]
    assert gradient(np.prod, x).tolist() == expected


def test_kinks_have_gradient_zero():
    x = np.zeros(2)
    assert gradient(lambda x: np.sum(np.abs(x)), x).tolist() == [0.0, 0.0]
    assert gradient(lambda x: np.sum(tg.functional.relu(x)), x).tolist() == [0.0, 0.0]


def test_powers_at_zero():
    assert gradient(lambda x: np.sum(x**2), np.zeros(2)).tolist() == [0.0, 0.0]
    assert gradient(lambda x: np.sum(x**0), np.zeros(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: special.logsumexp(x, axis=1),
        lambda x: special.softmax(x, axis=0),
        lambda x: special.log_softmax(x, axis=-1),
        lambda x: np.hypot(x, 1.5),
        lambda x: np.logaddexp(x, x[0]),
        lambda x: np.linalg.norm(x, axis=1),
        np.reciprocal,
    ],
)
def test_functions_of_scipy_and_numpy_by_their_names(function):
    x = np.random.default_rng(3).normal(size=(3, 4))
    compiled = tg.jit(compile="never")(function)
    np.testing.assert_allclose(compiled(x), function(x), rtol=1e-14)
