"""Train a small convolutional network; the whole training step, Adam included, is one compiled program."""

import numpy as np
from sklearn.datasets import load_digits

import tracegrad as tg
from tracegrad.functional import conv2d, cross_entropy, linear, max_pool2d, relu

ADAM = tg.optim.adam(lr=5e-3)


def network(params, images):
    x = max_pool2d(relu(conv2d(images, params["kernels"], params["shift"], padding=1)), 2)
    return linear(x.reshape(len(x), -1), params["weight"], params["bias"])


@tg.grad_compile
def loss(params, images, labels):
    return cross_entropy(network(params, images), labels)


@tg.jit
def step(params, state, images, labels):
    value, grads = loss.value_and_grad(params, images, labels)
    params, state = ADAM.update(grads, state, params)
    return value, params, state


def main():
    rng = np.random.default_rng(0)
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    images = digits.images[order, None].astype(np.float32) / 16
    labels = digits.target[order]
    params = {
        "kernels": (rng.standard_normal((12, 1, 3, 3)) / 3).astype(np.float32),
        "shift": np.zeros(12, np.float32),
        "weight": (rng.standard_normal((10, 12 * 4 * 4)) / 14).astype(np.float32),
        "bias": np.zeros(10, np.float32),
    }
    state = ADAM.init(params)
    for epoch in range(8):
        losses = []
        for batch in rng.permutation(1400).reshape(-1, 50):
            value, params, state = step(params, state, images[batch], labels[batch])
            losses.append(value)
        right = np.argmax(network(params, images[1400:]), axis=1) == labels[1400:]
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, test accuracy {np.mean(right):.1%}")
    print(f"{step.stats.traces} trace, {step.stats.kernels} kernels for the whole step")
    assert np.mean(right) > 0.94
    assert step.stats.traces == 1


if __name__ == "__main__":
    main()
