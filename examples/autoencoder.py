"""A variational autoencoder of handwritten digits, beside the best that any linear model can do.

Without its nonlinearity the autoencoder is probabilistic PCA, whose likelihood has a closed form: the bound must come up to it,
and with tanh go beyond. A training step is one compiled program; the noise of the reparameterised draws is an argument.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import tracegrad as tg

LATENT, HIDDEN, BATCH = 4, 96, 100


def layer(params, name, x):
    return x @ params[name]["w"] + params[name]["b"]


@tg.grad_compile(static_argnames="linear")
def loss(params, x, noise, linear=False):
    """Minus the evidence lower bound, per image."""
    bend = (lambda h: h) if linear else np.tanh
    hidden = bend(layer(params, "see", x))
    mean, log_sd = layer(params, "mean", hidden), layer(params, "log_sd", hidden)
    z = mean + np.exp(log_sd) * noise  # a draw that can be differentiated
    shown = layer(params, "draw", bend(layer(params, "think", z)))
    residual = (x - shown) * np.exp(-params["log_noise"])
    log_likelihood = -np.sum(0.5 * residual**2 + params["log_noise"] + 0.5 * np.log(2 * np.pi), axis=1)
    divergence = np.sum(0.5 * (mean**2 + np.exp(2 * log_sd) - 1) - log_sd, axis=1)
    return np.mean(divergence - log_likelihood)


@tg.jit(static_argnames="linear")
def step(params, state, x, noise, rate, linear=False):
    value, grads = loss.value_and_grad(params, x, noise, linear=linear)
    params, state = tg.optim.adam(lr=rate).update(grads, state, params)
    return value, params, state


def train(images, epochs, linear):
    rng = np.random.default_rng(0)
    sizes = {"see": (64, HIDDEN), "mean": (HIDDEN, LATENT), "log_sd": (HIDDEN, LATENT), "think": (LATENT, HIDDEN)}
    params = {
        name: {"w": rng.standard_normal(size) / np.sqrt(size[0]), "b": np.zeros(size[1])}
        for name, size in {**sizes, "draw": (HIDDEN, 64)}.items()
    }
    params["log_noise"] = np.float64(-1.0)
    state = tg.optim.adam().init(params)
    for epoch in range(epochs):
        rate = 4e-3 * (1.0 - epoch / epochs)
        for batch in rng.permutation(len(images))[: len(images) // BATCH * BATCH].reshape(-1, BATCH):
            noise = rng.standard_normal((BATCH, LATENT))
            _, params, state = step(params, state, images[batch], noise, rate, linear=linear)
    return params


def main():
    images = np.random.default_rng(1).permutation(load_digits().data) / 16
    images, unseen = images[:1400], images[1400:]
    pca = PCA(LATENT).fit(images)
    print(f"log-density of an image, probabilistic PCA: {pca.score(images):.2f}, {pca.score(unseen):.2f} of unseen ones")
    rng = np.random.default_rng(2)
    bounds = {}
    for linear in (True, False):
        params = train(images, 60, linear)
        for x in (images, unseen):
            noises = rng.standard_normal((50, len(x), LATENT))
            bounds[linear, len(x)] = -np.mean([loss(params, x, noise, linear=linear) for noise in noises])
        print("linear:" if linear else "tanh:", ", ".join(f"{bounds[linear, len(x)]:.2f}" for x in (images, unseen)))
    print(f"{step.stats.kernels} kernels for a whole step")
    assert pca.score(images) - 0.4 < bounds[True, 1400] < pca.score(images) + 0.02  # up to the maximum, which it cannot pass
    assert bounds[False, len(unseen)] > pca.score(unseen) + 5.0


if __name__ == "__main__":
    main()
