"""Special functions of complex numbers: derivatives against mpmath, values as SciPy's, and what is refused."""

import mpmath
import numpy as np
import pytest
import scipy.special

import tracegrad as tg
from tracegrad.errors import DtypeError, TraceError


def faddeeva(z):
    return mpmath.exp(-z * z) * mpmath.erfc(-1j * z)


def lambert(k):
    return lambda z: mpmath.lambertw(z, k)


POINTS = {
    "wofz": (scipy.special.wofz, faddeeva, (0.3 + 0.2j, -1.5 + 0.1j, 2.0 - 1.0j, 5.0 + 0.0j, 0.0 + 3.0j)),
    "lambertw": (scipy.special.lambertw, lambert(0), (0.0 + 0.0j, 1e-8j, 0.5 - 0.2j, -2.0 + 1.0j, 50.0 + 3.0j)),
    "lambertw, -1": (lambda z: scipy.special.lambertw(z, -1), lambert(-1), (-0.2 + 0.05j, 0.01 + 0.02j, 3.0 + 4.0j)),
    "lambertw, 2": (lambda z: scipy.special.lambertw(z, k=2, tol=1e-14), lambert(2), (-0.2 + 0.3j, 3.0 + 4.0j)),
}


@pytest.mark.parametrize(("name", "z"), [(name, z) for name, (_, _, points) in POINTS.items() for z in points])
def test_derivatives_to_the_second_order(name, z):
    function, exact, _ = POINTS[name]
    first = tg.grad(function, holomorphic=True)
    found = [function(z), first(z), tg.grad(first, holomorphic=True)(z)]
    with mpmath.workdps(40):
        # from Cauchy's integral, which needs no step; no branch cut crosses the circle
        radius = mpmath.mpf(0.005)
        turns = [mpmath.expjpi(mpmath.mpf(k) / 16) for k in range(32)]
        values = [exact(mpmath.mpc(z) + radius * turn) for turn in turns]
        expected = [
            mpmath.factorial(n) * sum(v * t**-n for v, t in zip(values, turns, strict=True)) / 32 / radius**n for n in range(3)
        ]
    np.testing.assert_allclose(found, np.array([complex(e) for e in expected]), rtol=1e-11, atol=1e-30)


@pytest.mark.parametrize("z", [31.0 + 0.0j, -1e4 + 1.0j, 1e100 + 1e3j, 1e3 + 1e-5j, -50.0 - 0.01j, 20.0 - 25.0j])
def test_the_wings_of_wofz_have_exact_slopes(z):
    with mpmath.workdps(400):
        exact = complex(2j / mpmath.sqrt(mpmath.pi) - 2 * mpmath.mpc(z) * faddeeva(mpmath.mpc(z)))
    np.testing.assert_allclose(tg.grad(scipy.special.wofz, holomorphic=True)(z), exact, rtol=3e-13)


def test_compiled_values_are_those_of_scipy():
    z = np.array([0.0, -0.0, 1e-300, np.inf, -np.inf, np.nan, 1.0, -0.1, complex(np.inf, 1), 1e300 + 1e300j, -3 + 4j])
    k = np.array([0, 1, -1, 0, 1, 0, 2, -1, 0, 0, -3])
    functions = lambda z: (scipy.special.lambertw(z, k), scipy.special.lambertw(z), scipy.special.wofz(z))
    with np.errstate(all="ignore"):
        for found, want in zip(tg.jit(functions)(z), functions(z), strict=True):
            np.testing.assert_allclose(found, want, rtol=3e-16)


def test_voigt_and_the_current_of_a_diode():
    x = np.linspace(-60.0, 60.0, 41)

    def voigt(width, x):
        return np.sum(scipy.special.wofz(x / width + 0.5j).real / width * np.cos(x))

    def current(v, x):
        return np.sum(np.real(scipy.special.lambertw(np.exp(v * x / 10))) * x)

    for function, at in ((voigt, 1.3), (current, 0.7)):
        value, slope = tg.grad_compile(function).value_and_grad(at, x)
        np.testing.assert_allclose(value, function(at, x), rtol=1e-13)
        np.testing.assert_allclose(slope, (function(at + 1e-5, x) - function(at - 1e-5, x)) / 2e-5, rtol=1e-6)
        np.testing.assert_allclose(slope, tg.jvp(lambda v, f=function: f(v, x), (at,), (1.0,))[1], rtol=1e-12)
        assert tg.grad(function)(at, x) == pytest.approx(slope, rel=1e-12)


def test_branches_may_be_traced_and_mapped():
    z, k = np.array([0.3 + 1j, -2.0, 4.0]), np.array([0, 1, -1])
    np.testing.assert_array_equal(tg.jit(scipy.special.lambertw, compile="never")(z, k), scipy.special.lambertw(z, k))
    mapped = tg.vmap(scipy.special.lambertw, in_axes=(None, 0))(z, k)
    np.testing.assert_allclose(mapped, scipy.special.lambertw(z, k[:, None]), rtol=1e-15)


def test_dtypes_are_those_of_scipy():
    for dtype in (np.float32, np.int32, np.complex64):
        x = np.array([1, 2], dtype)
        for function in (scipy.special.lambertw, scipy.special.wofz, lambda x: scipy.special.lambertw(x, 0, np.float32(1e-6))):
            found = tg.jit(function, compile="never")(x)
            assert found.dtype == function(x).dtype
            np.testing.assert_allclose(found, function(x), rtol=1e-6)


def test_what_is_refused():
    with pytest.raises(DtypeError, match="branches of float64"):
        tg.jit(lambda x: scipy.special.lambertw(x, x))(1.0)
    with pytest.raises(TraceError, match="traced value as tol"):
        tg.jit(lambda x: scipy.special.lambertw(x, 0, x))(1.0)
