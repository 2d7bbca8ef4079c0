"""Gaussian-process regression: the marginal likelihood is maximised by its gradient, through the Cholesky decomposition."""

import numpy as np
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

import tracegrad as tg


def covariance(p, a, b):
    """The squared-exponential kernel; p holds the logarithms of variance, squared length and noise."""
    return np.exp(p[0] - 0.5 * (a[:, None] - b) ** 2 / np.exp(p[1]))


@tg.grad_compile
def loss(p, x, y):
    """Minus the log marginal likelihood."""
    root = np.linalg.cholesky(covariance(p, x, x) + np.exp(p[2]) * np.eye(len(x)))
    z = np.linalg.solve(root, y)
    return 0.5 * z @ z + np.sum(np.log(np.diag(root))) + 0.5 * len(x) * np.log(2 * np.pi)


@tg.jit
def predict(p, x, y, at):
    """Mean and standard deviation of the function at other places."""
    noisy = covariance(p, x, x) + np.exp(p[2]) * np.eye(len(x))
    across = covariance(p, at, x)
    known = np.sum(across * np.linalg.solve(noisy, across.T).T, axis=1)
    return across @ np.linalg.solve(noisy, y), np.sqrt(np.exp(p[0]) - known)


def main():
    rng = np.random.default_rng(6)
    x = np.sort(rng.uniform(0.0, 10.0, 60))
    y = 2.0 * np.sin(x) + 0.5 * x + 0.3 * rng.standard_normal(60)
    start = np.array([1.0, 0.0, -1.0])

    fit = minimize(loss.value_and_grad, start, args=(x, y), jac=True, method="BFGS")
    kernel = ConstantKernel(np.exp(1.0)) * RBF(1.0) + WhiteKernel(np.exp(-1.0))
    reference = GaussianProcessRegressor(kernel).fit(x[:, None], y)
    theta = reference.kernel_.theta * [1, 2, 1]  # its length is not squared
    print(f"log marginal likelihood {-fit.fun:.6f}, scikit-learn {reference.log_marginal_likelihood_value_:.6f}")
    print("variance, squared length, noise:", np.exp(fit.x).round(3), "scikit-learn", np.exp(theta).round(3))
    assert np.isclose(-fit.fun, reference.log_marginal_likelihood_value_, rtol=1e-6)
    assert np.allclose(fit.x, theta, atol=1e-2)

    _, slopes = reference.log_marginal_likelihood(start * [1, 0.5, 1], eval_gradient=True)
    assert np.allclose(loss.grad(start, x, y), -slopes * [1, 0.5, 1], rtol=1e-8)

    at = np.linspace(0.0, 12.0, 25)
    mean, deviation = predict(theta, x, y, at)
    expected, spread = reference.predict(at[:, None], return_std=True)
    print(f"at 12, beyond the data: {mean[-1]:.3f} ± {deviation[-1]:.3f}, scikit-learn {expected[-1]:.3f}")
    assert np.allclose(mean, expected, rtol=1e-6)
    assert np.allclose(deviation, np.sqrt(spread**2 - np.exp(theta[2])), rtol=1e-5)

    # the Hessian at the maximum: how well the data determine the three numbers
    hessian = tg.hessian(loss)(fit.x, x, y)
    step = 1e-4 * np.eye(3)
    differences = [(loss.grad(fit.x + h, x, y) - loss.grad(fit.x - h, x, y)) / 2e-4 for h in step]
    print("their logarithms' standard deviations:", np.sqrt(np.diag(np.linalg.inv(hessian))).round(2))
    assert np.allclose(hessian, differences, rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    main()
