"""Fit a damped oscillation to noisy points with SciPy, which gets exact gradients from tracegrad."""

import numpy as np
from scipy.optimize import minimize

import tracegrad as tg


def model(p, t):
    amplitude, decay, frequency, phase, offset = p
    return amplitude * np.exp(-decay * t) * np.cos(frequency * t + phase) + offset


@tg.grad_compile
def loss(p, t, y):
    """Pseudo-Huber loss: quadratic for small errors, linear for outliers."""
    error = model(p, t) - y
    return np.sum(np.sqrt(1.0 + (error / 0.1) ** 2) - 1.0)


def main():
    rng = np.random.default_rng(0)
    truth = np.array([2.0, 0.3, 4.0, 0.5, 1.0])
    t = np.linspace(0.0, 10.0, 500)
    y = model(truth, t) + 0.05 * rng.standard_normal(t.size)
    y[::25] += 3.0  # outliers

    start = np.array([1.5, 0.2, 3.9, 0.0, 0.0])
    fit = minimize(loss.value_and_grad, start, args=(t, y), jac=True, method="BFGS")
    blind = minimize(loss, start, args=(t, y), method="BFGS")  # SciPy's finite differences

    for name, a, b in zip(("amplitude", "decay", "frequency", "phase", "offset"), fit.x, truth, strict=True):
        print(f"{name:10} fitted {a:8.4f}   true {b:8.4f}")
    print(f"calls of the loss: {fit.nfev} with gradients, {blind.nfev} with finite differences")
    assert np.allclose(fit.x, truth, atol=0.03)
    assert fit.nfev < blind.nfev


if __name__ == "__main__":
    main()
