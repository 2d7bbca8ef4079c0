"""Logarithms of shares far out, against mpmath: values and slopes, finite where the mathematical ones are."""

import mpmath
import numpy as np
import pytest
import scipy.stats

import tracegrad as tg


def total(terms):
    return mpmath.log(mpmath.fsum(terms))


def poisson(k, mu):
    return mpmath.log(mpmath.gammainc(k + 1, mu, mpmath.inf, regularized=True))


def binom(k, n, p):
    return total(mpmath.binomial(n, j) * p**j * (1 - p) ** (n - j) for j in range(int(k) + 1))


def nbinom(k, n, p):
    return total(mpmath.binomial(n + j - 1, j) * p**n * (1 - p) ** j for j in range(int(k) + 1))


def geom(k, p):
    return mpmath.log(1 - (1 - p) ** int(k))


def skewnorm(z, a):
    scale = abs(z) * (1 + max(a, 0) ** 2)
    places = [z - n / scale for n in (400, 100, 40, 20, 10, 5, 2, 0)]
    return mpmath.log(2 * mpmath.quad(lambda t: mpmath.npdf(t) * mpmath.ncdf(a * t), places))


def invgauss_sf(z, mu):
    root = 1 / mpmath.sqrt(z)
    return mpmath.log(mpmath.ncdf(-root * (z / mu - 1)) - mpmath.exp(2 / mu) * mpmath.ncdf(-root * (z / mu + 1)))


def invgauss_cdf(z, mu):
    root = 1 / mpmath.sqrt(z)
    return mpmath.log(mpmath.ncdf(root * (z / mu - 1)) + mpmath.exp(2 / mu) * mpmath.ncdf(-root * (z / mu + 1)))


def halfnorm_sf(z):
    return mpmath.log(mpmath.erfc(z / mpmath.sqrt(2)))


ST = scipy.stats
CASES = [
    *((ST.poisson.logcdf, poisson, (k, mu), 1) for k, mu in ((3, 1e4), (0, 900.0), (10, 5.0), (50, 10.0), (90, 10.0))),
    *((ST.binom.logcdf, binom, (k, n, p), 2) for k, n, p in ((2, 900, 0.9), (0, 40, 0.2), (30, 40, 0.5), (39, 40, 0.01))),
    *((ST.nbinom.logcdf, nbinom, (k, n, p), 2) for k, n, p in ((2, 300.0, 1e-3), (0, 5.0, 0.3), (40, 5.0, 0.5))),
    *((ST.geom.logcdf, geom, (k, p), 1) for k, p in ((1, 1e-9), (3, 0.4), (70, 0.5))),
    *((ST.skewnorm.logcdf, skewnorm, (z, a), 0) for z in (-60.0, -1.0) for a in (-3.0, 1.5, 30.0)),
    *(
        (ST.invgauss.logsf, invgauss_sf, (z, mu), 0)
        for z, mu in ((300.0, 0.7), (1e7, 0.7), (1e12, 3.0), (0.05, 0.7), (0.7, 0.7))
    ),
    *((ST.invgauss.logcdf, invgauss_cdf, (z, mu), 0) for z, mu in ((1e-3, 0.7), (0.05, 0.7), (20.0, 3.0))),
    *((ST.halfnorm.logsf, halfnorm_sf, (z,), 0) for z in (1e-12, 1e-3, 2.0, 40.0)),
]


@pytest.mark.parametrize(("function", "exact", "arguments", "place"), CASES)
def test_values_and_slopes(function, exact, arguments, place):
    value, slope = tg.value_and_grad(function, argnums=place)(*(np.float64(x) for x in arguments))
    with mpmath.workdps(30 if exact is skewnorm else 120):
        given = [mpmath.mpf(x) for x in arguments]
        step = abs(given[place]) * mpmath.mpf(10) ** -15
        ends = [exact(*(x + s * step if k == place else x for k, x in enumerate(given))) for s in (1, -1)]
        np.testing.assert_allclose(value, float(exact(*given)), rtol=2e-12)
        np.testing.assert_allclose(slope, float((ends[0] - ends[1]) / (2 * step)), rtol=1e-9)


def test_the_other_side_of_the_skewed_normal():
    z = np.array([-3.0, 0.5, 4.0, 50.0])
    np.testing.assert_allclose(
        ST.skewnorm.logsf(z[1:3], 1.5), tg.jit(ST.skewnorm.logsf, compile="never")(z[1:3], 1.5), rtol=1e-11
    )
    assert np.all(np.isfinite(tg.elementwise_grad(lambda z: ST.skewnorm.logsf(z, 1.5))(z)))


def test_slopes_in_the_middle():
    for beta in (0.7, 1.7, 4.0):
        height = ST.gennorm.pdf(0.0, beta)
        for function, slope in (
            (ST.gennorm.cdf, 1.0),
            (ST.gennorm.sf, -1.0),
            (ST.gennorm.logcdf, 2.0),
            (ST.gennorm.logsf, -2.0),
        ):
            np.testing.assert_allclose(tg.grad(lambda z, f=function, b=beta: f(z, b))(0.0), slope * height, rtol=1e-13)


def test_natively():
    k = np.array([0.0, 3.0, 40.0])

    def loss(mu, p):
        return np.sum(ST.poisson.logcdf(k, mu)) + np.sum(ST.binom.logcdf(k, 50, p)) + np.sum(ST.skewnorm.logcdf(-k, mu / 100))

    value, slopes = tg.grad_compile(loss, argnums=(0, 1)).value_and_grad(950.0, 0.99)
    wanted, expected = tg.value_and_grad(loss, argnums=(0, 1))(950.0, 0.99)
    np.testing.assert_allclose(value, wanted, rtol=1e-13)
    np.testing.assert_allclose(slopes, expected, rtol=1e-11)
