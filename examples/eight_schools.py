"""Eight schools: a hierarchical model sampled by Hamiltonian Monte Carlo, a hundred chains at a time, beside quadrature.

Rubin's data: the effects of coaching in eight schools and their standard errors. theta = mu + tau * z pools them.
"""

import numpy as np
from scipy.stats import halfcauchy, norm

import tracegrad as tg

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
CHAINS, LENGTH = 100, 20


def energy(q):
    """Minus the log-posterior of one chain: q holds mu, log tau and the eight z."""
    mu, log_tau, z = q[0], q[1], q[2:]
    tau = np.exp(log_tau)
    prior = norm.logpdf(mu, 0.0, 5.0) + halfcauchy.logpdf(tau, 0.0, 5.0) + log_tau
    return -np.sum(norm.logpdf(EFFECTS, mu + tau * z, ERRORS) + norm.logpdf(z)) - prior


energies = tg.jit(tg.vmap(tg.value_and_grad(energy)))  # of all chains, a row each


def draws(rng, count):
    """Draws (count, chains, 10), and how many proposals were accepted."""
    q = rng.standard_normal((CHAINS, 10))
    found, accepted = np.empty((count, CHAINS, 10)), 0.0
    for k in range(-200, count):
        step = rng.uniform(0.1, 0.3, (CHAINS, 1))
        start, p = q, rng.standard_normal(q.shape)
        old, slope = energies(q)
        old = old + 0.5 * np.sum(p**2, axis=1)
        p = p - 0.5 * step * slope
        for leap in range(LENGTH):
            q = q + step * p
            new, slope = energies(q)
            p = p - (step if leap < LENGTH - 1 else 0.5 * step) * slope
        new = new + 0.5 * np.sum(p**2, axis=1)
        taken = np.log(rng.random(CHAINS)) < old - new
        q = np.where(taken[:, None], q, start)
        if k >= 0:
            found[k] = q
            accepted += np.mean(taken) / count
    return found, accepted


def exact():
    """Posterior means of mu, tau and the effects: the normal variables are integrated by hand, tau on a grid of angles."""
    angle = (np.arange(20000) + 0.5) * (np.pi / 2 / 20000)  # tau = 5 tan(angle) is half-Cauchy for a uniform angle
    tau = 5.0 * np.tan(angle)[:, None]
    weight = 1.0 / (ERRORS**2 + tau**2)
    precision = 1.0 / 25.0 + np.sum(weight, axis=1)
    mu = np.sum(weight * EFFECTS, axis=1) / precision
    log_p = 0.5 * np.sum(np.log(weight) - weight * EFFECTS**2, axis=1) - 0.5 * np.log(precision) + 0.5 * precision * mu**2
    p = np.exp(log_p - log_p.max())
    theta = (EFFECTS * tau**2 + mu[:, None] * ERRORS**2) * weight
    columns = np.column_stack([mu, tau, theta])
    return p @ columns / p.sum()


def main():
    found, accepted = draws(np.random.default_rng(8), 800)
    mu, tau, z = found[..., :1], np.exp(found[..., 1:2]), found[..., 2:]
    samples = np.concatenate([mu, tau, mu + tau * z], axis=2)
    means, expected = samples.mean(axis=(0, 1)), exact()
    error = samples.mean(axis=0).std(axis=0) / np.sqrt(CHAINS)  # from chain to chain
    for name, *numbers in zip(["mu", "tau", *"ABCDEFGH"], means, error, expected, strict=True):
        print("{:4} {:6.2f} ± {:.2f}   by quadrature {:6.2f}".format(name, *numbers))
    print(f"accepted {accepted:.0%} of {found[..., 0].size} trajectories")
    assert accepted > 0.8
    assert np.all(np.abs(means - expected) < 5 * error)
    assert np.all(error < 0.1)


if __name__ == "__main__":
    main()
