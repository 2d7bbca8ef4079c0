"""Distributions of SciPy with parameters: of traced parameters, and made before."""

import numpy as np
import pytest
from scipy import stats

import tracegrad as tg
from tracegrad.errors import TraceError

X = np.array([0.3, 1.1])
PRIOR = stats.norm(0.5, 2.0)
PAIR = stats.multivariate_normal(np.ones(2), np.diag([2.0, 3.0]))
SHARES = stats.dirichlet([1.5, 2.0])

PROGRAMS = {
    "made before": lambda x: np.sum(PRIOR.logpdf(x)),
    "traced parameters": lambda x: np.sum(stats.norm(x[0], scale=x[1]).logpdf([0.2, 1.0])),
    "a shape and a scale": lambda x: np.sum(stats.gamma(x[1], scale=2.0).cdf(x)),
    "known numbers": lambda x: np.sum(stats.t(3.0, loc=1.0).logsf(x)),
    "of counts": lambda x: stats.poisson(x[0]).logpmf(3),
    "several variables": lambda x: stats.multivariate_normal(x, np.eye(2)).logpdf(np.zeros(2)),
    "several variables, made before": lambda x: PAIR.logpdf(x),
    "shares, made before": lambda x: SHARES.logpdf(x / np.sum(x)),
    "its moments": lambda x: x[0] * PRIOR.mean() + x[1] * PRIOR.std(),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_distributions_with_parameters(name):
    function = PROGRAMS[name]
    value, gradient = tg.value_and_grad(function)(X)
    np.testing.assert_allclose(value, function(X), rtol=1e-13)
    for k, step in enumerate(np.eye(2) * 1e-5):
        expected = (function(X + step) - function(X - step)) / 2e-5
        np.testing.assert_allclose(gradient[k], expected, rtol=1e-7, atol=1e-8)


def test_another_distribution_of_that_name_is_another_trace():
    prior = stats.norm(0.0, 1.0)
    function = tg.jit(lambda x: prior.logpdf(x), compile="never")
    assert function(1.0) == pytest.approx(stats.norm.logpdf(1.0))
    prior = stats.norm(2.0, 1.0)
    assert function(1.0) == pytest.approx(stats.norm.logpdf(1.0, 2.0))


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: stats.norm(x[0], 1.0).ppf(x), "norm.logpdf"),
        (lambda x: stats.norm(x[0], 1.0).rvs(3), "pass rng"),
        (lambda x: PRIOR.rvs(3) * x[0], "pass rng"),
    ],
)
def test_methods_that_are_not_traced_say_which_are(function, named):
    with pytest.raises(TraceError, match=named) as refused:
        tg.jit(function, compile="never")(X)
    assert "test_distributions.py" in str(refused.value)
