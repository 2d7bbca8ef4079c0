"""Sample a banana-shaped density by Hamiltonian Monte Carlo; a leapfrog step is one call of a compiled gradient."""

import numpy as np

import tracegrad as tg


@tg.grad_compile
def energy(q):
    """Minus the log-density of q0 ~ N(0, 1) and q1 ~ N(q0² - 1, 1)."""
    return 0.5 * (q[0] ** 2 + (q[1] - q[0] ** 2 + 1.0) ** 2)


def trajectory(q, p, step, length):
    """Leapfrog integration of the motion with momentum p; nearly keeps the total energy."""
    p = p - 0.5 * step * energy.grad(q)
    for _ in range(length - 1):
        q = q + step * p
        p = p - step * energy.grad(q)
    q = q + step * p
    return q, p - 0.5 * step * energy.grad(q)


def sample(count, rng, step=0.15, length=12):
    q = np.zeros(2)
    found, accepted = np.empty((count, 2)), 0
    for k in range(count):
        p = rng.standard_normal(2)
        new_q, new_p = trajectory(q, p, step, length)
        change = energy(new_q) + 0.5 * new_p @ new_p - energy(q) - 0.5 * p @ p
        if rng.random() < np.exp(-change):
            q, accepted = new_q, accepted + 1
        found[k] = q
    return found, accepted / count


def main():
    samples, accepted = sample(4000, np.random.default_rng(2))
    print(f"accepted {accepted:.0%} of {len(samples)} trajectories, {12 * len(samples)} leapfrog steps")
    print("mean    ", samples.mean(axis=0).round(2), "exact [0, 0]")
    print("variance", samples.var(axis=0).round(2), "exact [1, 3]")
    assert accepted > 0.8
    assert np.allclose(samples.mean(axis=0), [0.0, 0.0], atol=0.2)
    assert np.allclose(samples.var(axis=0), [1.0, 3.0], rtol=0.2)


if __name__ == "__main__":
    main()
