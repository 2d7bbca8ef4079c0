"""Complex numbers in traced programs: values, derivatives in every mode, the convention of gradients, and what is refused."""

import re

import numpy as np
import pytest

import tracegrad as tg
from tests.complex_programs import OF_REALS, PROGRAMS, X, Z
from tests.support import central_difference
from tracegrad.errors import DifferentiationError, DtypeError, MissingAttributeError, TraceError
from tracegrad.testing import check_grads

NAMES = [function.__name__ for function, _ in PROGRAMS]


def drawn(like, draw):
    parts = draw.normal(size=(2, *np.shape(like)))
    return parts[0] + 1j * parts[1] if np.iscomplexobj(like) else parts[0]


@pytest.mark.parametrize(("function", "arguments"), PROGRAMS, ids=NAMES)
def test_values_and_gradients_on_the_interpreter(function, arguments):
    argnums = tuple(range(len(arguments)))
    value, gradients = tg.value_and_grad(function, argnums)(*arguments)
    np.testing.assert_allclose(value, function(*arguments), rtol=1e-13)
    draw = np.random.default_rng(0)
    for k, gradient in enumerate(gradients):
        assert gradient.dtype == arguments[k].dtype
        direction = drawn(arguments[k], draw)
        want = central_difference(lambda *a: np.real(function(*a)), arguments, k, direction, 1e-4)
        np.testing.assert_allclose(np.sum(gradient * direction).real, want, rtol=1e-8)


@pytest.mark.parametrize(("function", "arguments"), OF_REALS[:-1], ids=NAMES[: len(OF_REALS) - 1])
def test_second_derivatives_of_reals(function, arguments):
    check_grads(function, arguments, order=2)


@pytest.mark.parametrize(("function", "arguments"), PROGRAMS, ids=NAMES)
def test_forward_mode_is_the_transpose_of_reverse_mode(function, arguments):
    draw = np.random.default_rng(1)
    tangents = tuple(drawn(a, draw) for a in arguments)
    _, tangent = tg.jvp(function, arguments, tangents)
    gradients = tg.grad(function, tuple(range(len(arguments))))(*arguments)
    paired = sum(np.sum(g * t).real for g, t in zip(gradients, tangents, strict=True))
    np.testing.assert_allclose(tangent, paired, rtol=1e-11)


@pytest.mark.parametrize(("function", "arguments"), PROGRAMS, ids=NAMES)
def test_gradients_are_those_of_jax(function, arguments):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    if function.__name__ == "stores":
        pytest.skip("JAX has no assignment")
    theirs = type(function)(function.__code__, {**function.__globals__, "np": jax.numpy})
    want = jax.grad(theirs, tuple(range(len(arguments))))(*arguments)
    found = tg.grad(function, tuple(range(len(arguments))))(*arguments)
    for mine, other in zip(found, want, strict=True):
        np.testing.assert_allclose(mine, np.asarray(other), rtol=1e-9, atol=1e-11)


def test_gradients_of_complex_arguments_are_the_derivative_by_the_parts():
    z = 0.7 - 0.2j
    gradient = tg.grad(lambda z: np.abs(z) ** 2 * z.real)(z)
    x, y = z.real, z.imag
    assert gradient == pytest.approx(3 * x**2 + y**2 - 1j * (2 * x * y))


def test_single_precision_stays():
    z = Z.astype(np.complex64)
    value, gradient = tg.value_and_grad(lambda z: np.sum(np.abs(np.fft.fft(z * 1j)) ** 2))(z)
    assert (value.dtype, gradient.dtype) == (np.float32, np.complex64)
    np.testing.assert_allclose(gradient, 2 * 6 * np.conj(z), rtol=1e-5)


def test_python_numbers_do_not_trace_again():
    scaled = tg.jit(lambda x, s: np.abs(x * s), compile="never")
    assert [scaled(X, s)[0] for s in (1j, 2 + 1j, 3 - 4j)] == [abs(X[0] * s) for s in (1j, 2 + 1j, 3 - 4j)]
    assert scaled.stats.traces == 1
    assert scaled(X.astype(np.float32), 1j).dtype == np.float32


def test_holomorphic_functions():
    np.testing.assert_allclose(tg.grad(lambda z: z**3, holomorphic=True)(1 + 2j), 3 * (1 + 2j) ** 2)
    jacobian = tg.jacobian(lambda z: z * np.exp(z), holomorphic=True)(Z)
    np.testing.assert_allclose(jacobian, np.diag((1 + Z) * np.exp(Z)))
    np.testing.assert_allclose(tg.jacrev(np.sin, holomorphic=True)(Z), tg.jacfwd(np.sin, holomorphic=True)(Z))
    value, derivative = tg.value_and_grad(np.sin, holomorphic=True)(2j)
    assert (value, derivative) == pytest.approx((np.sin(2j), np.cos(2j)))


def test_jacobians_take_the_mode_that_there_is():
    wave = lambda x: np.exp(1j * x)
    np.testing.assert_allclose(tg.jacobian(wave)(X), np.diag(1j * np.exp(1j * X)))
    np.testing.assert_allclose(tg.jacobian(lambda z: np.stack([np.abs(z), z.imag]))(Z)[1], np.diag(np.full(6, -1j)))
    np.testing.assert_allclose(tg.hessian(lambda x: np.sum(np.abs(wave(x) + x) ** 2))(X).shape, (6, 6))


@pytest.mark.parametrize(
    ("call", "says", "fix"),
    [
        (lambda: tg.grad(np.sum)(Z), "returns a complex value", "holomorphic=True"),
        (lambda: tg.grad_compile(lambda z: z[0]).grad(Z), "returns a complex value", r"np.abs\(z\)"),
        (lambda: tg.elementwise_grad(np.exp)(Z), "returns a complex value", "holomorphic=True"),
        (lambda: tg.grad(np.sum, holomorphic=True)(X), "an argument that is float64", "leave holomorphic= out"),
        (lambda: tg.grad(lambda z: z.real.sum(), holomorphic=True)(Z), "a result that is float64", "astype"),
        (lambda: tg.jacrev(lambda x: 1j * x)(X), "jacrev has complex results", "take tg.jacfwd"),
        (lambda: tg.jacfwd(np.abs)(Z), "jacfwd has complex arguments", "take tg.jacrev"),
        (lambda: tg.jacobian(np.conj)(Z), "jacobian has complex arguments", "z.real and z.imag"),
        (lambda: tg.hessian(lambda z: np.sum(np.abs(z) ** 2))(Z), "complex arguments", "z.real and z.imag"),
    ],
)
def test_derivatives_that_there_are_not(call, says, fix):
    with pytest.raises(DifferentiationError, match=says) as caught:
        call()
    assert re.search(fix, caught.value.fix)
    assert caught.value.where is not None


@pytest.mark.parametrize("function", [np.max, np.sort, lambda z: np.maximum(z, 1), lambda z: z > 0, np.floor, np.arctan2])
def test_what_has_no_order_is_refused(function):
    with pytest.raises((DtypeError, TraceError)) as caught:
        tg.jit(lambda z: function(z, z) if function is np.arctan2 else function(z), compile="never")(Z)
    assert caught.value.where is not None


def test_parts_are_views_and_can_be_set():
    def parts(z):
        w = z.copy()
        w.real = 1.0
        w[1:].imag[...] = z.real[1:]
        w.real[0] -= 3
        return w, np.iscomplexobj(w), np.isreal(w), np.iscomplex(z)

    for found, want in zip(tg.jit(parts, compile="never")(Z), parts(Z), strict=True):
        np.testing.assert_array_equal(found, want)
    with pytest.raises(MissingAttributeError, match=r"x.imag of a real array"):
        tg.jit(lambda x: setattr(x.copy(), "imag", 1.0), compile="never")(X)


def test_real_arrays_have_parts_too():
    def parts(x):
        y = x.copy()
        y.real[0] = 5.0
        return y, y.imag, y.conj(), y.conjugate(), x[0].real

    for found, want in zip(tg.jit(parts, compile="never")(X), parts(X), strict=True):
        np.testing.assert_array_equal(found, want)


def test_mapped_functions():
    function = lambda z, x: np.sum(np.fft.ifft(np.fft.fft(z) * x))
    stack = np.stack([Z, 2 * Z, Z - 1j])
    np.testing.assert_allclose(tg.vmap(function, in_axes=(0, None))(stack, X), [function(z, X) for z in stack], rtol=1e-13)


def test_products_with_vectors():
    push = tg.linearize(lambda x: np.fft.fft(x), X)[1]
    np.testing.assert_allclose(push(X), np.fft.fft(X), rtol=1e-14)
    value, pull = tg.vjp(lambda z: z * z, Z)
    np.testing.assert_allclose(pull(value)[0], 2 * Z * value)
    with pytest.raises(DtypeError, match="cast it"):
        tg.vjp(np.sin, X)[1](Z)


def test_rules_of_real_numbers_do_not_touch_complex_ones():
    cases = [lambda z: np.abs(z) ** 2, lambda z: np.sqrt(z * z), lambda z: np.log(np.exp(3 * z)), lambda z: (z**2) ** 0.5]
    for case in cases:
        np.testing.assert_allclose(tg.jit(case, compile="never")(3 * Z), case(3 * Z), rtol=1e-14)


def test_tensors_keep_the_convention_of_pytorch():
    function = lambda z: np.sum(np.abs(z) ** 2 * z.real)
    z = tg.tensor(Z, requires_grad=True)
    tg.jit(function, compile="never")(z).backward()
    np.testing.assert_allclose(z.grad.numpy(), np.conj(tg.grad(function)(Z)))


def test_inside_of_each_other():
    inner = tg.jit(lambda z: np.abs(z) ** 2, compile="never")
    gradient = tg.grad(lambda x: np.sum(inner(np.exp(1j * x) * x)))(X)
    np.testing.assert_allclose(gradient, 2 * X, rtol=1e-13)
