"""What did the whirls look like? A flow is simulated, and the adjoint leads from what is seen at the end to the beginning.

Vorticity w on a periodic square: dw/dt = nu lap(w) - u dw/dx - v dw/dy, where (u, v) is the flow of stream function psi,
lap(psi) = -w. Derivatives and the Poisson equation are products with constant matrices, made of Fourier's functions.
"""

import numpy as np
from scipy.optimize import minimize

import tracegrad as tg

N, STEPS, STEP, VISCOSITY = 16, 20, 0.1, 0.02
X, Y = np.meshgrid(*2 * [np.arange(N) * (2 * np.pi / N)], indexing="ij")
WAVES = np.fft.fftfreq(N, 1 / N) * (np.arange(N) != N // 2)  # the sawtooth has no derivative
SLOPE = np.real(np.fft.ifft(1j * WAVES[:, None] * np.fft.fft(np.eye(N), axis=0), axis=0))  # d/dx along a column
SQUARES, MODES = np.linalg.eigh(-SLOPE @ SLOPE)
SUM = np.add.outer(SQUARES, SQUARES)
POISSON = np.where(SUM > 0.5, 1.0 / np.maximum(SUM, 0.5), 0.0)  # the mean, and the sawtooth, have no stream function


def change(w):
    psi = MODES @ (POISSON * (MODES.T @ w @ MODES)) @ MODES.T
    u, v = psi @ SLOPE.T, -SLOPE @ psi
    w_x, w_y = SLOPE @ w, w @ SLOPE.T
    return VISCOSITY * (SLOPE @ w_x + w_y @ SLOPE.T) - u * w_x - v * w_y


def flow(w):
    """The vorticity after each step, by the midpoint method."""
    later = []
    for _ in range(STEPS):
        w = w + STEP * change(w + 0.5 * STEP * change(w))
        later.append(w)
    return later


@tg.grad_compile
def misfit(w, seen):
    """Half the squared error of the second half of the film, which is all that was seen."""
    return 0.5 * sum(np.sum((a - b) ** 2) for a, b in zip(flow(w)[STEPS // 2 :], seen, strict=True))


def main():
    whirl = np.sin(X) * np.sin(Y)  # Taylor and Green's: it only decays
    decayed = whirl * np.exp(-2 * VISCOSITY * STEP * STEPS)
    print(f"Taylor and Green's whirls are right to {np.max(np.abs(tg.jit(flow)(whirl)[-1] - decayed)):.0e}")
    assert np.allclose(tg.jit(flow)(whirl)[-1], decayed, atol=1e-6)

    rng = np.random.default_rng(5)
    truth = np.zeros((N, N))
    for k, m in np.ndindex(4, 4):
        truth += rng.normal() * np.cos(k * X + m * Y) + rng.normal() * np.cos(k * X - m * Y + 1.0)
    truth -= truth.mean()
    truth *= 2.0 / np.max(np.abs(truth))
    seen = np.array(flow(truth)[STEPS // 2 :])

    w, direction = rng.standard_normal((2, N, N))
    tiny = sum(np.sum((a - b) ** 2) for a, b in zip(flow(w + 1e-200j * direction)[STEPS // 2 :], seen, strict=True))
    adjoint = np.sum(misfit.grad(w, seen) * direction)
    print(f"slope along a direction {adjoint:.12g} by the adjoint, {0.5 * tiny.imag / 1e-200:.12g} by a complex step")
    assert np.isclose(adjoint, 0.5 * tiny.imag / 1e-200, rtol=1e-10)

    def flat(w):
        value, gradient = misfit.value_and_grad(w.reshape(N, N), seen)
        return value, gradient.ravel()

    fit = minimize(flat, seen[0].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 0, "gtol": 1e-7})
    error = np.linalg.norm(fit.x.reshape(N, N) - truth) / np.linalg.norm(truth)
    print(f"misfit {misfit(seen[0], seen):.2e} to {fit.fun:.1e} in {fit.nfev} simulations; the start is right to {error:.1e}")
    assert error < 1e-3


if __name__ == "__main__":
    main()
