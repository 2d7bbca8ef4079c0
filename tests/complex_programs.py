"""Programs with complex numbers inside, as users write them: a real result of real or complex arguments."""

import numpy as np

DRAW = np.random.default_rng(11)
X = DRAW.uniform(0.4, 1.6, 6)
M = DRAW.normal(size=(4, 6))
Z = DRAW.normal(size=6) + 1j * DRAW.normal(size=6)
W = DRAW.normal(size=(6, 3)) + 1j * DRAW.normal(size=(6, 3))
A = DRAW.normal(size=(3, 3)) + 1j * DRAW.normal(size=(3, 3)) + 3 * np.eye(3)


def power_spectrum(x):
    return np.sum(np.log(1.0 + np.abs(np.fft.rfft(x)) ** 2) * np.arange(4))


def convolution(x, kernel):
    n = x.shape[-1]
    filtered = np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(kernel, n), n)
    return np.mean((filtered - x) ** 2)


def split_step(potential):
    n = potential.shape[0]
    grid = np.linspace(-3.0, 3.0, n, endpoint=False)
    psi = np.exp(-(grid**2) + 1j * grid)
    momenta = 2 * np.pi * np.fft.fftfreq(n, grid[1] - grid[0])
    for _ in range(3):
        psi = psi * np.exp(-0.05j * potential)
        psi = np.fft.ifft(np.exp(-0.05j * momenta**2) * np.fft.fft(psi))
    return np.sum(np.abs(psi) ** 2 * grid)


def impedance(parameters):
    resistance, capacity, inductance = parameters[:3]
    omega = np.logspace(-1, 1, 9)
    found = 1 / (1 / (resistance + 1j * omega * inductance) + 1j * omega * capacity)
    wanted = 1 / (1 / (1.0 + 1j * omega) + 0.5j * omega)
    return np.sum(np.abs(found - wanted) ** 2)


def images(m):
    spectrum = np.fft.fft2(m)
    return np.sum(np.abs(np.fft.ifft2(spectrum * np.exp(-np.abs(spectrum)))) ** 2)


def phases(x):
    z = np.exp(1j * np.cumsum(x)) * np.sqrt(x + 0.5j)
    return np.sum(np.angle(z) * np.abs(np.sin(z)) + np.tanh(z).real)


def stores(x):
    z = np.zeros(8, dtype=complex)
    z[1:7] = x
    z[::2] *= 1j
    z.imag[3:5] += x[:2] ** 2
    z.real[0] = x[5]
    return np.sum(np.abs(z * np.conj(z[::-1]) + np.roll(z, 1)) ** 2)


def of_complex(z):
    return np.sum(np.abs(z**2 + np.exp(1j * z)) ** 2) + np.sum(z.real * np.cos(z).imag)


def network(z, w):
    hidden = np.tanh(z @ w)
    return np.sum(np.abs(hidden) ** 2) + np.vdot(hidden, hidden * 1j).imag


def quadratic(a, z):
    y = np.linalg.solve(a, z[:3])
    return np.vdot(y, a @ y).real + np.linalg.slogdet(a)[1] + np.abs(np.linalg.det(a)) ** 2


def powers(z, x):
    return np.sum(np.abs(z**x + z ** (0.5 + 0.25j) / (z + 2.0) + np.log(z)) ** 2) + np.prod(z).real


OF_REALS = [
    (power_spectrum, (X,)),
    (convolution, (M, X)),
    (split_step, (X,)),
    (impedance, (X,)),
    (images, (M,)),
    (phases, (X,)),
    (stores, (X,)),
]
OF_COMPLEX = [
    (of_complex, (Z,)),
    (network, (Z, W)),
    (quadratic, (A, Z)),
    (powers, (Z, X)),
]
PROGRAMS = OF_REALS + OF_COMPLEX
