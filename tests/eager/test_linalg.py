"""``torch.linalg`` against PyTorch: recorded values everywhere, live comparison where PyTorch is installed, errors."""

import math

import numpy as np
import pytest

import tracegrad.eager as torch
import tracegrad.errors
from tests.eager.versus import check_recorded, compare, recorded
from tracegrad.errors import DifferentiationError, DtypeError, ShapeError

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 3)) + 2 * np.eye(3)
B = RNG.normal(size=(2, 3, 3)) + 2 * np.eye(3)
S, SS = A @ A.T, B @ B.swapaxes(-1, -2)
TALL, WIDE = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 4))
VECTOR, PAIR = RNG.normal(size=3), RNG.normal(size=(3, 2))
FOUR = RNG.normal(size=(4, 4))
ORDERS = ("fro", "nuc", 2, -2, 1, -1, math.inf, -math.inf)


def named(name, *more, **arguments):
    return lambda library, *operands: getattr(library.linalg, name)(*operands, *more, **arguments)


def top(name, *more, **arguments):
    return lambda library, *operands: getattr(library, name)(*operands, *more, **arguments)


def unsigned(result):
    """Singular and eigenvectors squared: their signs are LAPACK's affair."""
    return [part * part for part in result]


RECORDED = {
    "inv": (named("inv"), "A"),
    "det": (named("det"), "A"),
    "logabsdet": (lambda t, x: t.linalg.slogdet(x).logabsdet, "A"),
    "cholesky": (named("cholesky"), "S"),
    "eigenvalues": (lambda t, x: t.linalg.eigh(x).eigenvalues, "S"),
    "eigenvectors": (lambda t, x: t.linalg.eigh(x).eigenvectors ** 2, "S"),
    "S": (named("svdvals"), "TALL"),
    "U": (lambda t, x: t.linalg.svd(x, full_matrices=False).U ** 2, "TALL"),
    "Q": (lambda t, x: t.linalg.qr(x).Q, "TALL"),
    "R": (lambda t, x: t.linalg.qr(x).R, "TALL"),
    "pinv": (named("pinv"), "TALL"),
    "matrix_exp": (named("matrix_exp"), "A"),
    "solve": (lambda t, x: t.linalg.solve(x, t.tensor([1.0, 2.0, 3.0], dtype=t.float64)), "A"),
    "nuc": (named("matrix_norm", "nuc"), "TALL"),
    "cond": (named("cond"), "A"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_values(name):
    known = recorded("linalg")
    function, operand = RECORDED[name]
    check_recorded(function, known["operands"][operand], known[name])


LIVE = [
    *[(n, named(n), (X,)) for n in ("inv", "det", "slogdet", "pinv", "svdvals", "matrix_exp", "qr", "cond") for X in (A, B)],
    *[(n, named(n), (X,)) for n in ("diagonal", "matrix_norm", "vector_norm") for X in (A, B)],
    *[(n, named(n), (X,)) for n in ("eigvalsh", "cholesky") for X in (S, SS)],
    *[(f"{n} {X.shape}", named(n), (X,)) for n in ("pinv", "qr", "svdvals") for X in (TALL, WIDE)],
    ("norm", named("norm"), (A,)),
    ("upper cholesky", named("cholesky", upper=True), (S,)),
    ("eigenvalues of a triangle", lambda t, x: t.linalg.eigh(x, UPLO="U").eigenvalues, (A,)),
    ("values of the full svd", lambda t, x: t.linalg.svd(x).S, (TALL,)),
    ("hermitian pinv", named("pinv", hermitian=True), (S,)),
    ("pinv with a tolerance", named("pinv", rtol=0.5), (np.diag([3.0, 1.0]),)),
    ("pinv with another", named("pinv", atol=2.0), (np.diag([3.0, 1.0]),)),
    ("lstsq", named("lstsq"), (TALL, FOUR)),
    ("lstsq of a vector", named("lstsq"), (TALL, FOUR[0])),
    ("lstsq with residuals", named("lstsq", driver="gelsd"), (TALL, FOUR)),
    ("lstsq of a wide matrix", named("lstsq"), (WIDE, FOUR[:2])),
    ("lstsq of stacks", named("lstsq"), (B, B[:, :, :2])),
    ("solve a vector", named("solve"), (A, VECTOR)),
    ("solve", named("solve"), (A, PAIR)),
    ("solve stacked vectors", named("solve"), (B, B[:, 0])),
    ("solve with stacks", named("solve"), (B, PAIR)),
    ("solve from the right", named("solve", left=False), (A, PAIR.T)),
    *[
        (f"triangular {upper} {unit} {left}", named("solve_triangular", upper=upper, unitriangular=unit, left=left), (A, right))
        for upper in (True, False)
        for unit in (True, False)
        for left, right in ((True, PAIR), (False, PAIR.T))
    ],
    *[(f"power {n}", named("matrix_power", n), (A,)) for n in (-3, -1, 0, 1, 2, 3, 5)],
    *[(f"matrix_norm {o} {k}", named("matrix_norm", o, keepdim=k), (B,)) for o in ORDERS for k in (True, False)],
    *[
        (f"matrix_norm {o} of the first dims {k}", named("matrix_norm", o, (0, 1), keepdim=k), (B,))
        for o in ORDERS
        for k in (False, True)
    ],
    *[(f"norm {o}", named("norm", o), (A,)) for o in ORDERS],
    *[
        (f"vector_norm {o} {d}", named("vector_norm", o, d), (A,))
        for o in (2, 1, 0, 3, 0.5, -2, math.inf, -math.inf)
        for d in (None, 0, (0, 1))
    ],
    *[(f"cond {p}", named("cond", p), (A,)) for p in (2, -2, "nuc")],
    ("multi_dot", lambda t, x: t.linalg.multi_dot([x, x, x]), (A,)),
    ("cross", named("cross"), (A, A.T)),
    ("vecdot", named("vecdot"), (A, VECTOR)),
    ("vander", named("vander"), (VECTOR,)),
    ("vander of stacks", named("vander", N=4), (A,)),
    *[(f"torch.{n}", top(n), (A,)) for n in ("inverse", "det", "slogdet", "pinverse", "matrix_exp", "trace")],
    ("torch.logdet", top("logdet"), (S,)),
    ("torch.matrix_power", top("matrix_power", 3), (A,)),
    ("method", lambda t, x: x.inverse() + x.det() + x.logdet() + x.pinverse() + x.matrix_power(2), (S,)),
]


# PyTorch's zero second derivatives of these cannot be read as arrays
PIECEWISE_LINEAR = ("norm 1", "norm -1", "norm inf", "norm -inf")


@pytest.mark.parametrize(("name", "function", "arrays"), [pytest.param(*case, id=case[0]) for case in LIVE])
def test_like_pytorch(name, function, arrays):
    linear = any(part in name for part in PIECEWISE_LINEAR)
    compare(function, *arrays, order=1 if linear else 2)


@pytest.mark.parametrize("name", ["inv", "det", "svdvals", "matrix_exp", "qr", "pinv", "cond", "slogdet"])
def test_like_pytorch_in_float32(name):
    compare(named(name), A.astype(np.float32), tolerance=2e-5)


def test_like_pytorch_up_to_signs():
    for function, arrays in (
        (lambda t, x: unsigned(t.linalg.eigh(x)), (S, SS)),
        (lambda t, x: unsigned(t.linalg.svd(x, full_matrices=False)), (A, B, TALL, WIDE)),
        (lambda t, x: unsigned(t.svd(x)), (A, TALL)),
        (lambda t, x: unsigned(t.linalg.svd(x)), (A, B)),
    ):
        for x in arrays:
            compare(function, x, names=False)


def test_like_pytorch_without_gradients():
    for function, array in (
        (named("matrix_rank"), A),
        (named("matrix_rank"), np.ones((2, 3, 3))),
        (named("matrix_rank", atol=1.5), A),
        (named("matrix_rank", rtol=0.5), A),
        (named("matrix_rank", hermitian=True), S),
        (named("matrix_rank"), TALL),
        (named("cond", "fro"), A),
        (named("cond", 1), np.stack([A, np.ones((3, 3))])),
        (lambda t, x: t.linalg.tensorinv(x.reshape(2, 2, 4), ind=2), FOUR),
        (lambda t, x: t.linalg.tensorsolve(x.reshape(2, 2, 4), t.ones(2, 2, dtype=t.float64)), FOUR),
        (lambda t, x: t.linalg.tensorsolve(x.reshape(4, 2, 2), t.ones(2, 2, dtype=t.float64), dims=(0,)), FOUR),
        (named("qr", mode="complete"), TALL),
        (named("qr", mode="r"), TALL),
        (named("matrix_power", 2), np.array([[2, 1], [0, 3]])),
        (top("logdet"), -S),
        (named("inv"), np.zeros((0, 3, 3))),
        (named("det"), np.zeros((2, 0, 0))),
    ):
        compare(function, array, order=0)


def test_older_spellings_are_the_newer_ones():
    x, y = torch.tensor(S, requires_grad=True), torch.tensor(TALL)
    np.testing.assert_array_equal(torch.cholesky(x, upper=True).detach(), torch.linalg.cholesky(x).T.detach())
    assert torch.cholesky(x).grad_fn.name() == "CholeskyBackward0"
    for some, mode in ((True, "reduced"), (False, "complete")):
        for old, new in zip(torch.qr(y, some=some), torch.linalg.qr(y, mode), strict=True):
            np.testing.assert_array_equal(old, new)
    upper = torch.linalg.qr(torch.tensor(TALL, requires_grad=True), mode="r")
    assert upper.Q.shape == (0,)
    upper.R.sum().backward()


def test_cholesky_factors_solve_and_invert():
    compare(lambda t, x, y: t.cholesky_solve(y, t.linalg.cholesky(x)), S, PAIR)
    compare(lambda t, x, y: t.cholesky_solve(y, t.linalg.cholesky(x, upper=True), upper=True), S, PAIR)
    compare(lambda t, x: t.cholesky_inverse(t.linalg.cholesky(x)), S)


def test_gradients_at_singular_and_degenerate_matrices():
    rank_one = np.outer(VECTOR, VECTOR)
    compare(named("det"), rank_one)
    compare(named("det"), np.zeros((3, 3)), order=1)
    compare(named("eigvalsh"), np.eye(3), order=1)
    compare(named("svdvals"), np.eye(3), order=1)
    compare(named("vector_norm"), np.zeros(3), order=1)


def test_results_print_like_pytorch():
    x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert repr(torch.linalg.eigh(x)).splitlines()[:2] == [
        "torch.return_types.linalg_eigh(",
        "eigenvalues=tensor([1., 2.]),",
    ]
    assert repr(torch.linalg.slogdet(x)) == ("torch.return_types.linalg_slogdet(\nsign=tensor(1.),\nlogabsdet=tensor(0.6931))")
    for found, fields in (
        (torch.linalg.svd(x), ("U", "S", "Vh")),
        (torch.linalg.qr(x), ("Q", "R")),
        (torch.linalg.lstsq(x, x), ("solution", "residuals", "rank", "singular_values")),
        (torch.svd(x), ("U", "S", "V")),
        (torch.slogdet(x), ("sign", "logabsdet")),
    ):
        assert found._fields == fields
    x.requires_grad_()
    names = {part.grad_fn.name() for part in (*torch.linalg.eigh(x), torch.linalg.eigvalsh(x))}
    assert names == {"LinalgEighBackward0"}
    assert torch.linalg.inv(x).grad_fn.name() == "LinalgInvExBackward0"


def test_the_whole_decomposition_is_one_node():
    x = torch.tensor(S, requires_grad=True)
    values, vectors = torch.linalg.eigh(x)
    assert values.grad_fn is vectors.grad_fn
    (vectors * values @ vectors.T).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.ones((3, 3)), rtol=1e-12)


# -- errors --------------------------------------------------------------------------------------------------------------

ONES = torch.ones(2, 2)
OBLONG = torch.ones(2, 3)
INTS = torch.ones(2, 2, dtype=torch.int64)
L = torch.linalg


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: L.inv(OBLONG), ShapeError, "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices"),
        (lambda: L.inv(torch.ones(2)), ShapeError, "linalg.inv: The input tensor A must have at least 2 dimensions"),
        (lambda: L.inv(INTS), DtypeError, "linalg.inv: Expected a floating point or complex tensor as input. Got: int64"),
        (
            lambda: L.inv(ONES),
            L.LinAlgError,
            "linalg.inv: The inversion could not be completed because the input matrix is singular.",
        ),
        (
            lambda: L.inv(torch.stack([torch.eye(2), ONES])),
            L.LinAlgError,
            "linalg.inv: (Batch element 1): The inversion could not be completed because the input matrix is singular.",
        ),
        (
            lambda: L.solve(ONES, ONES),
            L.LinAlgError,
            "torch.linalg.solve: The solver failed because the input matrix is singular.",
        ),
        (
            lambda: L.solve(ONES, torch.ones(3, 2)),
            ShapeError,
            "linalg.solve: Incompatible shapes of A and B for the equation AX = B (2x2 and 3x2)",
        ),
        (
            lambda: L.solve(ONES, ONES.double()),
            DtypeError,
            "linalg.solve: Expected A and B to have the same dtype, but found A of type float32 and B of type float64 instead",
        ),
        (lambda: L.det(OBLONG), ShapeError, "linalg.det: A must be batches of square matrices, but they are 2 by 3 matrices"),
        (
            lambda: L.cholesky(torch.stack([torch.eye(2), -ONES])),
            L.LinAlgError,
            "linalg.cholesky: (Batch element 1): The factorization could not be completed because the input is not positive-d",
        ),
        (lambda: L.eigh(OBLONG), ShapeError, "linalg.eigh: A must be batches of square matrices, but they are 2 by 3 matrices"),
        (lambda: L.eigh(ONES, UPLO="X"), ValueError, "Expected UPLO argument to be 'L' or 'U', but got X"),
        (
            lambda: L.svd(torch.full((2, 2), math.nan)),
            L.LinAlgError,
            "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values.",
        ),
        (
            lambda: L.matrix_norm(torch.ones(2)),
            ShapeError,
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions",
        ),
        (lambda: L.matrix_norm(ONES, "x"), ShapeError, "linalg.matrix_norm: Order x not supported."),
        (lambda: L.norm(torch.ones(2, 3), "fro", dim=0), ShapeError, "linalg.matrix_norm: dim must be a 2-tuple. Got"),
        (
            lambda: L.norm(torch.ones(2, 2, 2), 2),
            ShapeError,
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got 3D.",
        ),
        (lambda: L.matrix_power(OBLONG, 2), ShapeError, "linalg.matrix_power: A must be batches of square matrices"),
        (lambda: L.cond(OBLONG, 1), ShapeError, "linalg.cond(ord=1): A must be batches of square matrices"),
        (lambda: L.multi_dot([ONES]), ShapeError, "multi_dot(): expected at least 2 tensors but got 1"),
        (lambda: L.lstsq(ONES, torch.ones(3, 2)), ShapeError, "torch.linalg.lstsq: input.size(-2) should match other.size(-2)"),
        (lambda: L.lstsq(ONES, ONES, driver="x"), ValueError, "torch.linalg.lstsq: parameter `driver` should be one of"),
        (
            lambda: L.solve_triangular(ONES, torch.ones(2), upper=True),
            ShapeError,
            "linalg.solve_triangular: The input tensor B must have at least 2 dimensions.",
        ),
        (lambda: L.qr(ONES, mode="z"), ValueError, "qr received unrecognized mode 'z' but expected one of 'reduced' (default)"),
        (lambda: L.vander(torch.tensor(1.0)), ShapeError, "N must be greater than 1."),
        (lambda: L.matrix_exp(OBLONG), ShapeError, "linalg.matrix_exp: A must be batches of square matrices"),
        (
            lambda: torch.logdet(OBLONG),
            ShapeError,
            "logdet: A must be batches of square matrices, but they are 2 by 3 matrices",
        ),
        (lambda: torch.cholesky_solve(torch.ones(3, 1), ONES), ShapeError, "cholesky_solve: Incompatible matrix sizes"),
        (lambda: L.tensorinv(OBLONG, ind=1), ShapeError, "Expected self to satisfy the requirement prod(self.shape[ind:])"),
        (lambda: L.tensorsolve(OBLONG, torch.ones(2)), ShapeError, "Expected self to satisfy the requirement"),
        (
            lambda: L.matrix_rank(torch.ones(3)),
            ShapeError,
            "linalg.matrix_rank: The input tensor A must have at least 2 dimensions",
        ),
    ],
)
def test_errors_keep_pytorchs_words(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    message = getattr(caught.value, "message", str(caught.value))
    assert message.startswith(text)
    if isinstance(caught.value, tracegrad.errors.TracegradError):
        assert caught.value.where.file == __file__
        assert caught.value.fix


def test_columns_that_are_made_up_have_no_gradient():
    x = torch.tensor(TALL, requires_grad=True)
    with pytest.raises(DifferentiationError, match="qr_complete has no derivative rule"):
        torch.linalg.qr(x, mode="complete").Q.sum().backward()
    u, _, vh = torch.linalg.svd(x)
    np.testing.assert_allclose((u.T @ u).detach().numpy(), np.eye(4), atol=1e-12)
    assert vh.shape == (2, 2)
