"""Linear algebra under NumPy's names: values, derivatives of symmetric and degenerate matrices, errors."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.linalg

import tracegrad as tg
import tracegrad.eager as torch
from tests.support import central_difference, gradients, static
from tracegrad.autodiff.reverse import differentiate
from tracegrad.core.interpret import interpret
from tracegrad.core.op import Kind
from tracegrad.eager import autograd
from tracegrad.errors import CompileError, DifferentiationError, ShapeError
from tracegrad.ops import linalg
from tracegrad.ops.decompositions import qr_complete
from tracegrad.ops.maps import multiply
from tracegrad.ops.matrices import cofactor, pinv_raw, solve_triangular
from tracegrad.ops.reductions import sum as sum_of

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 3)) + 2 * np.eye(3)
B = RNG.normal(size=(2, 3, 3)) + 2 * np.eye(3)
TALL, WIDE = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 4))
VECTOR = RNG.normal(size=3)
ORDERS = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


def symmetric(x):
    return x + linalg.matrix_transpose(x) + 6 * np.eye(x.shape[-1])


def traced(function):
    return tg.jit(compile="never")(function)


NAMES = {
    "inv": (np.linalg.inv, (A, B)),
    "det": (np.linalg.det, (A, B)),
    "slogdet": (np.linalg.slogdet, (A, -B)),
    "pinv": (np.linalg.pinv, (A, B, TALL, WIDE)),
    "svd": (np.linalg.svd, (A, B, TALL, WIDE)),
    "reduced svd": (lambda x: np.linalg.svd(x, full_matrices=False), (A, TALL, WIDE)),
    "singular values": (lambda x: np.linalg.svd(x, compute_uv=False), (A, TALL)),
    "svdvals": (np.linalg.svdvals, (A, WIDE)),
    "qr": (np.linalg.qr, (A, B, TALL, WIDE)),
    "qr, R alone": (lambda x: np.linalg.qr(x, mode="r"), (A, TALL)),
    "eigh": (np.linalg.eigh, (A, B)),
    "eigh, upper": (lambda x: np.linalg.eigh(x, UPLO="U"), (A, B)),
    "eigvalsh": (np.linalg.eigvalsh, (A, B)),
    "cholesky": (lambda x: np.linalg.cholesky(x @ np.swapaxes(x, -1, -2)), (A, B)),
    "cholesky of a triangle": (lambda x: np.linalg.cholesky(np.tril(x @ np.swapaxes(x, -1, -2))), (A, B)),
    "solve": (lambda x: np.linalg.solve(x, VECTOR), (A, B)),
    "solve matrices": (lambda x: np.linalg.solve(x, x[..., :2]), (A, B)),
    "lstsq": (lambda x: np.linalg.lstsq(x, x[:, 0]), (A, TALL)),
    "lstsq of matrices": (lambda x: np.linalg.lstsq(x, x[:, :2]), (A, WIDE)),
    "matrix_power": (lambda x: np.linalg.matrix_power(x, 5), (A, B)),
    "negative power": (lambda x: np.linalg.matrix_power(x, -2), (A, B)),
    "power 0": (lambda x: np.linalg.matrix_power(x, 0), (A, B)),
    "multi_dot": (lambda x: np.linalg.multi_dot([VECTOR, x, x.T, x]), (A,)),
    "cross": (lambda x: np.cross(x, x[::-1]), (A,)),
    "cross along the first axis": (lambda x: np.linalg.cross(x, VECTOR[:, None], axis=0), (A,)),
    "vecdot": (lambda x: np.linalg.vecdot(x, VECTOR), (A, B)),
    "vander": (lambda x: np.vander(x[0], 4), (A,)),
    "rising vander": (lambda x: np.vander(x[0], increasing=True), (A,)),
    "trace": (np.linalg.trace, (A, B)),
    "diagonal": (lambda x: np.linalg.diagonal(x, offset=1), (A, B)),
    "matrix_rank": (np.linalg.matrix_rank, (A, B, np.ones((2, 3)))),
    "matrix_rank, tolerance": (lambda x: np.linalg.matrix_rank(x, 2.0), (A, B)),
    **{
        f"norm {o}": (lambda x, o=o: np.linalg.norm(x, o), (A, TALL)) for o in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    },
    **{f"matrix_norm {o}": (lambda x, o=o: np.linalg.matrix_norm(x, ord=o, keepdims=True), (A, B)) for o in ORDERS},
    **{
        f"norm along an axis {o}": (lambda x, o=o: np.linalg.norm(x, o, axis=0), (A, TALL))
        for o in (0, 1, 2, 3, 0.5, -2, math.inf, -math.inf)
    },
    **{f"cond {p}": (lambda x, p=p: np.linalg.cond(x, p), (A, B)) for p in (None, 1, -1, 2, -2, "fro", math.inf)},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_numpy_names_are_traced(name, dtype):
    function, arguments = NAMES[name]
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    for x in arguments:
        x = x.astype(dtype)
        got, expected = traced(function)(x), function(x)
        pairs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
        for result, want in pairs:
            assert (np.shape(result), np.asarray(result).dtype) == (np.shape(want), np.asarray(want).dtype)
            np.testing.assert_allclose(result, want, rtol=tolerance, atol=tolerance)


def test_results_have_numpy_names():
    for function, fields in (
        (np.linalg.eigh, ("eigenvalues", "eigenvectors")),
        (np.linalg.svd, ("U", "S", "Vh")),
        (np.linalg.qr, ("Q", "R")),
        (np.linalg.slogdet, ("sign", "logabsdet")),
    ):
        found = traced(lambda x, f=function: tuple(getattr(f(x), name) for name in fields))(A)  # noqa: B023
        for got, want in zip(found, function(A), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12)


def test_integers_become_floats():
    found = traced(np.linalg.inv)(np.array([[2, 0], [0, 4]]))
    np.testing.assert_array_equal(found, [[0.5, 0], [0, 0.25]])
    assert found.dtype == np.float64


# -- derivatives ---------------------------------------------------------------------------------------------------------


def weighted(function):
    """A scalar of all results, each element with a weight of its own."""

    def loss(*operands):
        found = function(*operands)
        total = 0.0
        for part in found if isinstance(found, tuple) else (found,):
            weights = np.cos(np.arange(np.prod(part.shape, dtype=int)).reshape(part.shape))
            total = total + sum_of(multiply(part, weights))
        return total

    return loss


SMOOTH = {
    "eigh": (lambda x: tuple(linalg.eigh(symmetric(x))), (A, B)),
    "eigh, upper": (lambda x: linalg.eigh(symmetric(x), UPLO="U").eigenvectors, (A,)),
    "eigvalsh": (lambda x: linalg.eigvalsh(symmetric(x)), (A, B)),
    "cholesky": (lambda x: linalg.cholesky(symmetric(x)), (A, B)),
    "upper cholesky": (lambda x: linalg.cholesky(symmetric(x), upper=True), (A,)),
    "reduced svd": (lambda x: tuple(linalg.reduced_svd(x)), (A, B, TALL, WIDE)),
    "full svd": (lambda x: linalg.full_svd(x).S, (TALL, WIDE)),
    "qr": (lambda x: tuple(linalg.qr(x)), (A, B, TALL, WIDE)),
    "slogdet": (lambda x: linalg.slogdet(x).logabsdet, (A, B)),
    "hermitian pinv": (lambda x: linalg.pinv(symmetric(x), hermitian=True), (A,)),
    "solve a vector": (lambda x, y: linalg.solve(x, y), (A, VECTOR)),
    "solve with stacks": (lambda x, y: linalg.solve(x, y), (B, VECTOR)),
    "solve_triangular": (lambda x, y: linalg.solve_triangular(x, y, lower=True, trans="T"), (A, VECTOR)),
    "lstsq": (lambda x: linalg.lstsq(x, x[:, 0] + VECTOR[0])[:2], (TALL,)),
    "cond": (lambda x: linalg.cond(x), (A, B)),
    "cond fro": (lambda x: linalg.cond(x, "fro"), (A,)),
    "nuc": (lambda x: linalg.norm(x, "nuc"), (A, TALL)),
    "norm 2": (lambda x: linalg.norm(x, 2), (A,)),
    "norm 3": (lambda x: linalg.vector_norm(x, ord=3), (A,)),
    "multi_dot": (lambda x: linalg.multi_dot([x, x, x[:, :2]]), (A,)),
    "matrix_power": (lambda x: linalg.matrix_power(x, -3), (A,)),
    "cross": (lambda x: linalg.cross(x, x[::-1]), (A,)),
    "vander": (lambda x: linalg.vander(x[0]), (A,)),
}


def cases():
    for name, (function, arguments) in SMOOTH.items():
        if function.__code__.co_argcount == 2:
            yield pytest.param(function, arguments, id=name)
        else:
            yield from (pytest.param(function, (x,), id=f"{name} {x.shape}") for x in arguments)


@pytest.mark.parametrize(("function", "arguments"), list(cases()))
def test_first_and_second_derivatives_are_those_of_finite_differences(function, arguments):
    loss = weighted(function)
    graph = static(loss, *arguments)
    joint = differentiate(graph, [node.id for node in graph.inputs])
    found = interpret(joint, arguments)[1:]
    directions = [np.sin(1 + np.arange(x.size)).reshape(x.shape) for x in arguments]

    def along(*values):
        return sum(np.sum(g * d) for g, d in zip(interpret(joint, values)[1:], directions, strict=True))

    def second(*operands):
        tensors = [torch.tensor(x, requires_grad=True) for x in operands]
        first = autograd.grad(loss(*tensors), tensors, create_graph=True)
        total = sum((g * torch.tensor(d)).sum() for g, d in zip(first, directions, strict=True))
        return [g.numpy() for g in autograd.grad(total, tensors)]

    for k, (g, h) in enumerate(zip(found, second(*arguments), strict=True)):
        d = np.cos(2 + np.arange(g.size)).reshape(g.shape)
        expected = central_difference(loss, arguments, k, d, 3e-4)
        assert abs(np.sum(g * d) - expected) <= 1e-8 * (1 + np.sum(np.abs(g * d)))
        expected = central_difference(along, arguments, k, d, 3e-4)
        assert abs(np.sum(h * d) - expected) <= 1e-7 * (1 + np.sum(np.abs(h * d)))


def test_gradients_of_symmetric_matrices_are_symmetric():
    x = A @ A.T
    for function in (linalg.eigh, linalg.cholesky):
        (g,) = gradients(weighted(lambda x, f=function: tuple(f(x)) if f is linalg.eigh else f(x)), x)
        np.testing.assert_allclose(g, g.T, rtol=1e-12)


def test_values_alone_have_gradients_at_degenerate_matrices():
    for function in (linalg.eigvalsh, linalg.svdvals):
        (g,) = gradients(lambda x, f=function: sum_of(f(x)), np.eye(3))
        np.testing.assert_allclose(g, np.eye(3))
    (g,) = gradients(lambda x: sum_of(linalg.svdvals(x)), np.diag([2.0, 0.0]))
    assert np.isfinite(g).all()


def test_determinants_of_singular_matrices_have_two_derivatives():
    for x in (np.outer(VECTOR, VECTOR), np.zeros((3, 3)), np.diag([1.0, 2.0, 0.0]), np.eye(3)):
        d, e = RNG.normal(size=(2, 3, 3))
        (g,) = gradients(linalg.det, x)
        (h,) = gradients(lambda x, d=d: sum_of(multiply(cofactor(x), d)), x)
        # the determinant is a cubic polynomial, so differences are exact
        np.testing.assert_allclose(np.sum(g * d), central_difference(np.linalg.det, [x], 0, d, 0.1), atol=1e-12)
        expected = central_difference(lambda x, d=d: central_difference(np.linalg.det, [x], 0, d, 0.1), [x], 0, e, 0.1)
        np.testing.assert_allclose(np.sum(h * e), expected, atol=1e-11)


def test_a_branch_with_a_singular_matrix_leaves_no_nan():
    x = torch.tensor(np.stack([np.eye(2), np.ones((2, 2))]), requires_grad=True)
    size = linalg.slogdet(x).logabsdet
    torch.where(torch.tensor([True, False]), size, torch.zeros(2, dtype=torch.float64)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [np.eye(2), np.zeros((2, 2))])


def test_norms_are_flat_at_zero():
    for order in (2, 3, 0.5, -1):
        (g,) = gradients(lambda x, o=order: linalg.vector_norm(x, ord=o), np.zeros(3))
        np.testing.assert_array_equal(g, 0)


def test_triangular_systems_read_one_triangle():
    x, y = A + np.eye(3), VECTOR
    for lower in (True, False):
        for unit in (True, False):
            expected = scipy.linalg.solve_triangular(x, y, lower=lower, unit_diagonal=unit)
            np.testing.assert_allclose(linalg.solve_triangular(x, y, lower=lower, unit_diagonal=unit), expected)
            gx, _ = gradients(
                lambda x, y, lo=lower, u=unit: sum_of(linalg.solve_triangular(x, y, lower=lo, unit_diagonal=u)), x, y
            )
            other = np.triu(gx, 0 if unit else 1) if lower else np.tril(gx, 0 if unit else -1)
            np.testing.assert_array_equal(other, 0)
    zero = np.array([[1.0, 2.0], [0.0, 0.0]])
    for upper, matrix in ((True, zero), (False, zero.T)):
        assert not np.isfinite(solve_triangular(matrix, np.ones((2, 1)), upper=upper, unitriangular=False)).all()


# -- errors --------------------------------------------------------------------------------------------------------------


def test_singular_matrices_say_which():
    stack = np.stack([np.eye(2), np.ones((2, 2))])
    for call, text in (
        (
            lambda: linalg.inv(np.ones((2, 2))),
            "linalg.inv: The inversion could not be completed because the input matrix is singular",
        ),
        (lambda: linalg.inv(stack), r"linalg.inv: \(Batch element 1\): The inversion"),
        (lambda: linalg.solve(stack, np.ones((2, 2))), r"linalg.solve: \(Batch element 1\): The solver failed because"),
        (lambda: linalg.cholesky(-stack), r"\(Batch element 0\): The factorization .* leading minor of order 1 is not"),
        (lambda: linalg.cholesky(np.array([[1.0, 2.0], [2.0, 1.0]])), "the leading minor of order 2 is not positive-definite"),
        (lambda: linalg.svdvals(np.full((2, 2), np.nan)), "contained non-finite values"),
    ):
        with pytest.raises(linalg.LinAlgError, match=text) as caught:
            call()
        assert isinstance(caught.value, np.linalg.LinAlgError)
        assert isinstance(caught.value, tg.errors.TracegradError)
        assert caught.value.where.file == __file__
        assert caught.value.fix


def test_a_singular_matrix_on_the_interpreter_names_the_line():
    def f(x):
        return np.linalg.inv(x)  # here

    with pytest.raises(linalg.LinAlgError) as caught:
        traced(f)(np.ones((2, 2)))
    assert caught.value.where.text.endswith("# here")


def test_shapes_that_do_not_fit():
    for call, text in (
        (lambda: linalg.solve(A, np.ones(2)), "Incompatible shapes of A and B"),
        (lambda: linalg.slogdet(TALL), "they are 4 by 2 matrices"),
        (lambda: linalg.matrix_power(TALL, 2), "linalg.matrix_power: A must be batches of square matrices"),
        (lambda: linalg.matrix_norm(VECTOR), "must have at least 2 dimensions"),
        (lambda: linalg.matrix_norm(A, ord="x"), "Order x not supported"),
        (lambda: linalg.norm(B, 2), "must be 1D or 2D. Got 3D"),
        (lambda: linalg.cond(TALL, 1), "they are 4 by 2 matrices"),
        (lambda: linalg.cross(TALL, TALL), "must have length 3. Got 2 and 2"),
        (lambda: linalg.multi_dot([A]), "expected at least 2 tensors but got 1"),
    ):
        with pytest.raises(ShapeError, match=text):
            traced(lambda x, call=call: multiply(x, sum_of(call())))(1.0)
    with pytest.raises(ValueError, match="Expected UPLO argument to be 'L' or 'U', but got X"):
        linalg.eigh(A, UPLO="X")
    with pytest.raises(TypeError, match='mode "raw" has no derivative'):
        linalg.qr(A, mode="raw")


def test_compiled_functions_refuse():
    absent = dataclasses.replace(pinv_raw, name="absent", kind=Kind.OPAQUE, lower=None)

    def f(x):
        return np.sum(absent(x, rtol=None) ** 2)  # here

    for use in (tg.jit(f), tg.grad_compile(f).grad, tg.grad_compile(f).value_and_grad):
        with pytest.raises(CompileError, match=r"^absent has no native code") as caught:
            use(A)
        assert caught.value.where.text.endswith("# here")
    found = tg.grad_compile(compile="never")(f).grad(A)
    np.testing.assert_allclose(found, tg.grad_compile(lambda x: np.sum(np.linalg.inv(x) ** 2)).grad(A), rtol=1e-9)


def test_columns_that_are_made_up_have_no_derivative():
    packed = qr_complete(TALL)
    q, r = packed[:, :4], packed[:, 4:]
    np.testing.assert_allclose(q @ r, TALL, atol=1e-14)
    np.testing.assert_allclose(q.T @ q, np.eye(4), atol=1e-14)
    with pytest.raises(DifferentiationError, match="qr_complete has no derivative rule"):
        gradients(lambda x: sum_of(qr_complete(x)), TALL)
