"""Fit the rates of a predator-prey model: the gradient goes through every step of a Runge-Kutta integration."""

import numpy as np
from scipy.optimize import minimize

import tracegrad as tg

STEP, COUNT = 0.1, 60


def motion(rates, state):
    """Lotka and Volterra: prey grows and is eaten, predators eat and starve."""
    prey, predators = state
    growth, hunted, fed, starved = rates
    return np.array([growth * prey - hunted * prey * predators, fed * prey * predators - starved * predators])


def integrate(rates, state):
    """The states at all times, by the classical fourth-order method."""
    states = [state]
    for _ in range(COUNT):
        k1 = motion(rates, state)
        k2 = motion(rates, state + 0.5 * STEP * k1)
        k3 = motion(rates, state + 0.5 * STEP * k2)
        k4 = motion(rates, state + STEP * k3)
        state = state + STEP / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        states.append(state)
    return np.stack(states)


@tg.grad_compile
def loss(log_rates, start, observed):
    """The mean squared error; rates are positive, so their logarithms are fitted."""
    return np.mean((integrate(np.exp(log_rates), start) - observed) ** 2)


def main():
    truth = np.array([1.1, 0.4, 0.1, 0.4])
    start = np.array([10.0, 5.0])
    observed = integrate(truth, start) + 0.05 * np.random.default_rng(3).standard_normal((COUNT + 1, 2))

    guess = np.log(np.array([1.0, 0.5, 0.15, 0.5]))
    fit = minimize(loss.value_and_grad, guess, args=(start, observed), jac=True, method="BFGS")
    print("rates", np.exp(fit.x).round(3), "true", truth)
    print(f"{fit.nfev} calls, error {fit.fun:.4f}, noise {0.05**2:.4f}")
    print(f"{len(loss.graph(guess, start, observed))} nodes in {loss.stats.kernels} kernels")
    assert np.allclose(np.exp(fit.x), truth, rtol=0.03)


if __name__ == "__main__":
    main()
