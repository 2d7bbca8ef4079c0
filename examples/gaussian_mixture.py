"""Fit a mixture of Gaussians to Fisher's irises: by expectation-maximisation, and by descent of the likelihood itself.

The objective of an M step is a bound that touches the likelihood where the responsibilities were computed (Fisher's identity).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture

import tracegrad as tg

COMPONENTS = 3


def log_joint(p, x):
    """The log-density of each point (rows) together with its being drawn from each component (columns)."""
    logits, rest = p[:COMPONENTS], p[COMPONENTS:].reshape(2, COMPONENTS, -1)
    means, log_scales = rest[0], rest[1]
    z = (x[:, None, :] - means) / np.exp(log_scales)
    log_normal = -0.5 * np.sum(z**2 + 2 * log_scales + np.log(2 * np.pi), axis=2)
    return logits - logsumexp(logits) + log_normal


@tg.grad_compile
def loss(p, x):
    """Minus the mean log-likelihood."""
    return -np.mean(logsumexp(log_joint(p, x), axis=1))


@tg.grad_compile
def bound(p, old, x):
    """The objective of an M step: above the loss everywhere, equal to it at the old parameters."""
    before = log_joint(old, x)
    log_r = before - logsumexp(before, axis=1, keepdims=True)  # responsibilities, the E step
    return -np.mean(np.sum(np.exp(log_r) * (log_joint(p, x) - log_r), axis=1))


def main():
    x = load_iris().data
    means = x[[10, 60, 110]]
    start = np.concatenate([np.zeros(COMPONENTS), means.ravel(), np.full(means.size, np.log(0.5))])
    difference = np.max(np.abs(bound.grad(start, start, x) - loss.grad(start, x)))
    print(f"Fisher's identity: the gradients of bound and loss differ by {difference:.0e} where they touch")
    assert difference < 1e-12
    assert np.isclose(bound(start, start, x), loss(start, x), rtol=1e-12)

    p, losses = start, [loss(start, x)]
    for _ in range(30):
        p = minimize(bound.value_and_grad, p, args=(p, x), jac=True, method="L-BFGS-B").x
        losses.append(loss(p, x))
    direct = minimize(loss.value_and_grad, start, args=(x,), jac=True, method="L-BFGS-B", tol=1e-12)
    settings = {"tol": 1e-9, "max_iter": 1000, "reg_covar": 0.0, "init_params": "random", "random_state": 0}
    reference = GaussianMixture(COMPONENTS, covariance_type="diag", means_init=means, **settings)
    expected = -reference.fit(x).score(x)
    print(f"loss {losses[-1]:.5f} by {len(losses) - 1} EM steps, {direct.fun:.5f} by {direct.nit} steps of L-BFGS")
    print(f"     {expected:.5f} by scikit-learn in {reference.n_iter_} EM steps")
    assert np.all(np.diff(losses) < 1e-9)  # EM never goes up
    assert np.isclose(direct.fun, expected, atol=1e-5)
    assert np.isclose(losses[-1], expected, atol=1e-3)


if __name__ == "__main__":
    main()
