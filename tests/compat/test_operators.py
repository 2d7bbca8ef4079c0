"""The transforms of tracegrad.compat against closed forms: nested, of containers, of branches, and what they refuse."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as onp  # noqa: ICN001 - np is the namespace that is tested
import pytest

import tracegrad as tg
import tracegrad.compat as compat
import tracegrad.compat.numpy as np
from tracegrad.compat import (
    checkpoint,
    deriv,
    elementwise_grad,
    grad,
    grad_and_aux,
    grad_named,
    hessian,
    hessian_tensor_product,
    hessian_vector_product,
    holomorphic_grad,
    jacobian,
    make_ggnvp,
    make_hvp,
    make_jvp,
    make_jvp_reversemode,
    make_vjp,
    multigrad_dict,
    tensor_jacobian_product,
    value_and_grad,
    value_and_multigrad,
)
from tracegrad.compat.extend import vspace
from tracegrad.compat.test_util import check_grads, combo_check
from tracegrad.errors import DifferentiationError, EscapeError, MissingAttributeError, ShapeError, TreeError

X = onp.array([0.3, -1.2, 2.0])
A = onp.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 3.0]])


def quadratic(x):
    return 0.5 * np.dot(x, np.dot(A, x)) + np.sum(x**3)


def close(got, want):
    onp.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_gradient_and_its_kin():
    close(grad(quadratic)(X), A @ X + 3 * X**2)
    value, gradient = value_and_grad(quadratic)(X)
    close(value, 0.5 * X @ A @ X + (X**3).sum())
    close(gradient, A @ X + 3 * X**2)
    close(elementwise_grad(np.tanh)(X), 1 - onp.tanh(X) ** 2)
    close(deriv(np.sin)(X), onp.cos(X))
    close(jacobian(lambda x: np.outer(x, x))(X)[0], onp.outer(X, onp.eye(3)[0]) + X[0] * onp.eye(3))
    hess = A + onp.diag(6 * X)
    close(hessian(quadratic)(X), hess)
    v = onp.array([1.0, -2.0, 0.5])
    close(hessian_vector_product(quadratic)(X, v), hess @ v)
    close(hessian_tensor_product(quadratic)(X, v), hess @ v)
    close(make_hvp(quadratic)(X)[0](v), hess @ v)
    close(tensor_jacobian_product(lambda x: A @ x**2)(X, v), v @ A * 2 * X)
    close(make_jvp(lambda x: A @ x**2)(X)(v)[1], A @ (2 * X * v))
    close(make_jvp_reversemode(lambda x: A @ x**2)(X)(v), A @ (2 * X * v))
    close(make_ggnvp(lambda x: A @ x**2)(X)(v), 2 * X * (A.T @ (A @ (2 * X * v))))


def test_results_are_plain_values():
    value, gradient = value_and_grad(quadratic)(X)
    assert type(value) is onp.float64
    assert type(gradient) is onp.ndarray
    assert gradient.flags.writeable
    assert type(grad(np.sin)(1.0)) is onp.float64
    assert grad(lambda x: np.sum(x**2))(X.astype(onp.float32)).dtype == onp.float32
    first, second = grad(lambda x, y: np.sum(x + y), (0, 1))(X, X)
    first += 1.0
    close(second, onp.ones(3))  # and no two of them share memory


def test_third_and_fourth_derivatives():
    f = lambda x: x**4 / 24
    for order, want in enumerate([2.0**4 / 24, 2.0**3 / 6, 2.0, 2.0, 1.0]):
        g = f
        for _ in range(order):
            g = grad(g)
        close(g(2.0), want)


def test_derivatives_inside_a_function_are_differentiated():
    close(grad(lambda x: x * grad(lambda y: x * y * y)(x))(3.0), 6 * 9.0)  # x * 2xx
    # the inner variable is not confused with the outer one
    close(grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0), 1.0)
    close(grad(lambda x: grad(lambda y: grad(lambda z: x * y * z)(y) * y)(x))(2.0), grad(lambda x: 2 * x * x)(2.0))


def test_an_inner_gradient_of_constants_is_plain():
    seen = []

    def f(x):
        inner = grad(lambda y: np.sum(y**2))(X)
        seen.append(inner)
        return np.sum(x * inner)

    close(grad(f)(X), 2 * X)
    assert type(seen[0]) is onp.ndarray


def test_conditions_and_loops_see_values():
    def f(x):
        while x < 100:
            x = x * x if x > 0 else -x
        return x

    close(grad(f)(3.0), 8 * 3.0**7)
    close(grad(f)(-3.0), -8 * 3.0**7)


def test_containers():
    params = {"w": onp.ones((2, 3)), "b": [1.0, (2.0, onp.zeros(2))]}
    f = lambda p: np.sum(p["w"] ** 2) * p["b"][0] + p["b"][1][0] * np.sum(np.exp(p["b"][1][1]))
    gradient = grad(f)(params)
    close(gradient["w"], 2 * onp.ones((2, 3)))
    close(gradient["b"][0], 6.0)
    close(gradient["b"][1][0], 2.0)
    close(gradient["b"][1][1], [2.0, 2.0])
    assert type(gradient["b"][1]) is tuple
    assert compat.isinstance(params["w"], onp.ndarray)
    kinds = []
    grad(lambda x: kinds.append((compat.isinstance(x, onp.ndarray), compat.type(x) is onp.ndarray)) or np.sum(x))(X)
    assert kinds == [(True, True)]
    vjp, value = make_vjp(lambda x: {"a": x, "b": (x * 2, 3.0)})(2.0)
    assert value == {"a": 2.0, "b": (4.0, 3.0)}
    close(vjp({"a": 1.0, "b": (10.0, 0.0)}), 21.0)


def test_several_and_named_arguments():
    f = lambda x, y, z=2.0: x * y**z
    assert grad(f, (0, 1))(3.0, 2.0) == (4.0, 12.0)
    assert value_and_multigrad(f, [0, 1])(3.0, 2.0) == (12.0, (4.0, 12.0))
    close(grad(f, 1)(3.0, 2.0, z=3.0), 36.0)
    close(grad(f, -1)(3.0, 2.0), 12.0)
    close(grad_named(f, "y")(3.0, 2.0), 12.0)
    found = multigrad_dict(f)(3.0, 2.0)
    assert list(found) == ["x", "y", "z"]
    close(found["z"], 12 * onp.log(2.0))
    gradient, aux = grad_and_aux(lambda x: (np.sum(x**2), {"seen": x * 3}))(X)
    close(gradient, 2 * X)
    close(aux["seen"], 3 * X)
    assert grad(f).__name__.startswith("grad_of_")


def test_complex_numbers_have_autograds_convention():
    z = 0.5 - 1.5j
    close(holomorphic_grad(lambda z: z**3)(z), 3 * z**2)
    # of a real function of x + iy: du/dx - i du/dy
    close(grad(lambda z: np.abs(z) ** 2)(z), 2 * onp.conj(z))
    close(grad(lambda x: np.real(np.exp(1j * x)))(0.7), -onp.sin(0.7))
    with pytest.raises(TypeError, match="only applies to real"):
        grad(lambda z: z)(z)
    with pytest.raises(TypeError, match="only applies to real-output"):
        elementwise_grad(lambda z: z)(z)
    with pytest.warns(UserWarning, match="not complex"):
        holomorphic_grad(lambda x: x * 1j)(1.0)


def test_checkpoint_computes_again():
    calls = []

    def f(x):
        calls.append(1)
        return np.sum(np.sin(x) ** 2)

    close(grad(checkpoint(f))(X), onp.sin(2 * X))
    assert len(calls) == 2
    close(hessian(checkpoint(f))(X), onp.diag(2 * onp.cos(2 * X)))


def test_python_numbers_are_weak():
    single = X.astype(onp.float32)
    seen = []
    gradient = grad(lambda scale: seen.append((scale * single).dtype) or np.sum(scale * single))(2.0)
    assert seen == [onp.float32]
    assert gradient.dtype == onp.float64


def test_a_result_without_the_argument_gives_zeros_and_says_so():
    with pytest.warns(UserWarning, match="independent of input"):
        gradient = grad(lambda x: 3.0)(X)
    close(gradient, onp.zeros(3))


def test_arrays_of_no_elements():
    empty = onp.zeros((0, 2))
    assert grad(lambda x: np.sum(x**2))(empty).shape == (0, 2)
    assert jacobian(lambda x: x * 2)(empty).shape == (0, 2, 0, 2)


def test_pullbacks_can_be_called_again_and_refuse_what_does_not_fit():
    vjp, _ = make_vjp(lambda x: A @ np.sin(x))(X)
    for _ in range(2):
        close(vjp(onp.ones(3)), onp.ones(3) @ A * onp.cos(X))
    with pytest.raises(ShapeError, match="shape \\(2,\\) is given for a result of shape \\(3,\\)"):
        vjp(onp.ones(2))
    with pytest.raises(TreeError, match="structure"):
        vjp((onp.ones(3),))


@pytest.mark.parametrize(
    ("f", "x", "error", "match"),
    [
        (lambda x: x, 1, TypeError, "Can't differentiate w.r.t. type <class 'int'>"),
        (lambda x: x[0], onp.arange(3), DifferentiationError, "of dtype int64"),
        (lambda p: p["a"], {"a": 1.0, "n": "name"}, DifferentiationError, r"\['n'\] is 'name'"),
        (lambda x: x * 2, X, TypeError, "only applies to real scalar-output functions"),
        (lambda x: float(x[0]), X, EscapeError, r"float\(x\)"),
        (lambda x: onp.array([x[0], 1.0]), X, EscapeError, "compat.numpy"),
        (lambda x: np.random.normal(x[0]), X, DifferentiationError, "standard numbers"),
        (lambda x: np.spacing(x[0]) + np.frexp(x)[0], X, DifferentiationError, "frexp has no derivative"),
        (lambda x: x.byteswap(), X, MissingAttributeError, "x.byteswap"),
        (lambda x: np.sum(np.array([x, x[:2]])), X, DifferentiationError, "ragged"),
    ],
)
def test_errors_teach(f, x, error, match):
    with pytest.raises(error, match=match) as caught:
        grad(f)(x)
    assert "Instead:" in str(caught.value)
    assert "test_operators.py" in str(caught.value)


def test_assignments_are_refused():
    def into(x):
        x[0] = 1.0

    def from_outside(x):
        out = onp.zeros(3)
        out[0] = x[0]

    def in_place(x):
        out = onp.zeros(3)
        out += x

    for f in (into, from_outside, in_place):
        with pytest.raises(EscapeError, match="Instead"):
            grad(f)(X)


def test_argnum_errors():
    with pytest.raises(DifferentiationError, match="no position"):
        grad(quadratic, "x")
    with pytest.raises(DifferentiationError, match="argument 1, but 1 are given"):
        grad(quadratic, 1)(X)
    with pytest.raises(DifferentiationError, match="no argument 'q'"):
        grad_named(quadratic, "q")


def test_check_grads_finds_what_is_wrong():
    onp.random.seed(0)  # noqa: NPY002 - check_grads draws from it, as in autograd
    check_grads(lambda x, y: np.sin(x) * y, (0, 1))(X, 2.0)
    combo_check(np.sum, [0])([X, A], axis=[None, 0])
    with pytest.raises(AssertionError, match="VJP"):
        from tracegrad.compat.extend import defvjp, primitive

        wrong = primitive(lambda x: x * 2)
        defvjp(wrong, lambda ans, x: lambda g: g * 3)
        check_grads(wrong, modes=["rev"])(X)


def test_vector_spaces():
    space = vspace({"a": X, "z": 1j})
    assert space.size == 5
    assert len(list(space.standard_basis())) == 5
    close(space.inner_prod(space.ones(), space.ones()), 5.0)
    assert space == vspace({"a": X + 1, "z": 2j})
    assert space != vspace({"a": X})
    close(space.covector({"a": X, "z": 1j})["z"], -1j)
    with pytest.raises(TypeError, match="Can't find vector space"):
        vspace(3)


def test_printing_shows_values():
    texts = []
    grad(lambda x: texts.append(f"{x:.2f} {x}") or x * 2)(1.5)
    assert texts == ["1.50 ArrayBox with value 1.5"]


def test_warnings_are_numpys():
    with warnings.catch_warnings(), pytest.raises(RuntimeWarning):
        warnings.simplefilter("error")
        grad(lambda x: np.log(x))(0.0)


def test_builtins_and_operators_of_python():
    close(grad(lambda x: max(x[0], x[1]) * abs(x[2]) + round(x[0]))(X), [2.0, 0.0, 0.3])
    close(grad(lambda x: sum(x) * min(x))(X), [-1.2, 1.1 - 1.2, -1.2])
    close(
        grad(lambda x: divmod(x, 2.0)[1].sum() + x.real.sum() + x[..., None].sum() + (-x)[0] + (x @ x))(X),
        3 + 2 * X - [1, 0, 0],
    )
    assert grad(lambda x: copy.deepcopy(x) * 2)(1.0) == 2.0


def test_threads_have_traces_of_their_own():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(grad(grad(lambda x: x**3)), [1.0, 2.0, 3.0, 4.0] * 5))
    assert found == [6.0, 12.0, 18.0, 24.0] * 5


def test_the_namespace_is_traced_like_numpys():
    f = lambda x: np.sum(np.sin(x) * np.exp(-x)) + np.dot(x, x)
    close(tg.grad_compile(f, compile="never").grad(X), grad(f)(X))
