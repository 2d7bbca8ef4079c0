"""Fit a swinging pendulum: the gradient goes through every step of the integration of its differential equation."""

import numpy as np
from scipy.optimize import minimize

import tracegrad as tg

STEP, COUNT = 0.15, 15


def acceleration(p, angle, speed):
    stiffness, damping = p
    return -stiffness * np.sin(angle) - damping * speed


def swing(p, angle, speed):
    """The angles after each step, by the midpoint method; many pendulums at once."""
    angles = []
    for _ in range(COUNT):
        middle_angle = angle + 0.5 * STEP * speed
        middle_speed = speed + 0.5 * STEP * acceleration(p, angle, speed)
        angle = angle + STEP * middle_speed
        speed = speed + STEP * acceleration(p, middle_angle, middle_speed)
        angles.append(angle)
    return angles


@tg.grad_compile
def loss(p, angle, speed, observed):
    """The mean squared error over all times and pendulums."""
    return sum(np.mean((a - o) ** 2) for a, o in zip(swing(p, angle, speed), observed, strict=True)) / COUNT


def main():
    rng = np.random.default_rng(3)
    truth = np.array([9.81, 0.4])
    angle, speed = rng.uniform(-2.0, 2.0, 20), rng.uniform(-1.0, 1.0, 20)
    observed = np.array(swing(truth, angle, speed))
    observed += 0.05 * rng.standard_normal(observed.shape)

    start = np.array([8.0, 0.0])
    fit = minimize(loss.value_and_grad, start, args=(angle, speed, observed), jac=True, method="BFGS")
    print(f"stiffness {fit.x[0]:.3f}, true {truth[0]}; damping {fit.x[1]:.3f}, true {truth[1]}")
    print(f"{fit.nfev} calls; error {fit.fun:.5f}, variance of the noise {0.05**2:.5f}")
    nodes = len(loss.graph(start, angle, speed, observed))
    print(f"{nodes} nodes for {COUNT} steps and their gradient, in {loss.stats.kernels} kernels")
    assert np.allclose(fit.x, truth, rtol=0.02)


if __name__ == "__main__":
    main()
