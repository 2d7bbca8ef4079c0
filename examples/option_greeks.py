"""Greeks of a call option by simulation: the derivatives of a Monte Carlo price, path by path, beside Black and Scholes.

The generator is an argument. Each call draws new paths, value and gradient see the same ones.
"""

import numpy as np
from scipy.stats import norm

import tracegrad as tg

STRIKE, RATE, YEARS, STEPS, PATHS = 100.0, 0.03, 1.0, 12, 20_000


@tg.grad_compile(argnums=(0, 1))
def price(spot, volatility, rng):
    """The discounted mean payoff of paths whose logarithm takes a normal step each month."""
    dt = YEARS / STEPS
    steps = rng.normal((RATE - 0.5 * volatility**2) * dt, volatility * np.sqrt(dt), size=(PATHS, STEPS))
    final = spot * np.exp(np.sum(steps, axis=1))
    return np.exp(-RATE * YEARS) * np.mean(np.maximum(final - STRIKE, 0.0))


def black_scholes(spot, volatility):
    """The exact price, and its derivatives with respect to spot and volatility."""
    d1 = (np.log(spot / STRIKE) + (RATE + 0.5 * volatility**2) * YEARS) / (volatility * np.sqrt(YEARS))
    discounted = STRIKE * np.exp(-RATE * YEARS)
    value = spot * norm.cdf(d1) - discounted * norm.cdf(d1 - volatility * np.sqrt(YEARS))
    return np.array([value, norm.cdf(d1), spot * norm.pdf(d1) * np.sqrt(YEARS)])


def main():
    rng = np.random.default_rng(7)
    runs = []
    for _ in range(20):
        value, (delta, vega) = price.value_and_grad(105.0, 0.2, rng)
        runs.append([value, delta, vega])
    found, error = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    exact = black_scholes(105.0, 0.2)
    for name, *numbers in zip(["price", "delta", "vega"], found, error, exact, strict=True):
        print("{:5} {:9.4f} ± {:.4f}   exactly {:9.4f}".format(name, *numbers))
    assert np.all(np.abs(found - exact) < 4.5 * error)
    assert np.all(error < 0.005 * exact)


if __name__ == "__main__":
    main()
