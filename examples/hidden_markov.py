"""Find the loaded die: the forward algorithm alone, for all else that a hidden Markov model needs is its gradient.

The derivative of log p(rolls) by a log-probability is the expected number of times that it was used. So posteriors of the
states and the counts of Baum and Welch's training come without a backward pass that somebody had to write.
"""

import itertools

import numpy as np
from scipy.special import logsumexp

import tracegrad as tg

FAIR, LOADED = np.full(6, 1 / 6), np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.5])  # the dishonest casino of Durbin et al.
STAY = np.array([[0.95, 0.05], [0.10, 0.90]])


@tg.grad_compile
def log_likelihood(log_start, log_move, log_emit, rolls):
    """log p(rolls), summed over sequences; log_emit has a row for each roll, rolls is (sequences, length)."""
    seen = log_emit[rolls]  # (sequences, length, states)
    alpha = log_start + seen[:, 0]
    for t in range(1, rolls.shape[1]):
        alpha = logsumexp(alpha[:, :, None] + log_move, axis=1) + seen[:, t]
    return np.sum(logsumexp(alpha, axis=1))


counts = tg.jit(tg.value_and_grad(log_likelihood, argnums=(0, 1, 2)))


def throw(rng, sequences, length):
    """Rolls of the casino, and which die was used."""
    states, rolls = np.zeros((2, sequences, length), dtype=np.int64)
    for s, t in np.ndindex(sequences, length):
        states[s, t] = rng.choice(2, p=STAY[states[s, t - 1]] if t else [0.5, 0.5])
        rolls[s, t] = rng.choice(6, p=(FAIR, LOADED)[states[s, t]])
    return states, rolls


def main():
    rng = np.random.default_rng(4)
    truth = [np.log(v) for v in ([0.5, 0.5], STAY, np.stack([FAIR, LOADED], axis=1))]
    _, rolls = throw(rng, 60, 50)

    few = rolls[:1, :8]  # short enough to add up all 256 ways
    ways = [
        truth[0][path[0]] + sum(truth[1][a, b] for a, b in itertools.pairwise(path)) + np.sum(truth[2][few[0], list(path)])
        for path in itertools.product((0, 1), repeat=few.shape[1])
    ]
    print(f"log p of 8 rolls {log_likelihood(*truth, few):.10f}, as a sum over all paths {logsumexp(ways):.10f}")
    assert np.isclose(log_likelihood(*truth, few), logsumexp(ways), rtol=1e-12)

    p = [np.log(v) for v in ([0.5, 0.5], [[0.8, 0.2], [0.2, 0.8]], np.stack([FAIR, np.arange(1, 7) / 21], axis=1))]
    values = []
    for _ in range(60):
        value, expected = counts(*p, rolls)
        values.append(value)
        p = [np.log(n / n.sum(axis=axis, keepdims=True)) for n, axis in zip(expected, (0, 1, 0), strict=True)]
    assert np.isclose(expected[1].sum(), 60 * 49)  # each move was counted once
    assert np.isclose(expected[2].sum(), rolls.size)
    assert np.all(np.diff(values) > -1e-9)  # Baum and Welch's steps never go down
    print(f"trained from {values[0]:.2f} to {values[-1]:.2f}; with the true parameters {log_likelihood(*truth, rolls):.2f}")
    print("the loaded die:", np.exp(p[2][:, 1]).round(2), "true", LOADED)
    assert values[-1] > log_likelihood(*truth, rolls)
    assert abs(np.exp(p[2][5, 1]) - 0.5) < 0.1


if __name__ == "__main__":
    main()
