"""NIST's 27 problems of non-linear regression: the models as a user writes them, and the files beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data" / "nist"
Array = Any
Model = Callable[..., Array]


def misra1a(b: Array, x: Array) -> Array:
    return b[0] * (1 - np.exp(-b[1] * x))


def misra1b(b: Array, x: Array) -> Array:
    return b[0] * (1 - (1 + b[1] * x / 2) ** -2)


def misra1c(b: Array, x: Array) -> Array:
    return b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5)


def misra1d(b: Array, x: Array) -> Array:
    return b[0] * b[1] * x / (1 + b[1] * x)


def chwirut(b: Array, x: Array) -> Array:
    return np.exp(-b[0] * x) / (b[1] + b[2] * x)


def lanczos(b: Array, x: Array) -> Array:
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


def gauss(b: Array, x: Array) -> Array:
    peaks = b[2] * np.exp(-((x - b[3]) ** 2) / b[4] ** 2) + b[5] * np.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * np.exp(-b[1] * x) + peaks


def dan_wood(b: Array, x: Array) -> Array:
    return b[0] * x ** b[1]


def kirby2(b: Array, x: Array) -> Array:
    return (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2)


def cubics(b: Array, x: Array) -> Array:
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def nelson(b: Array, x: Array) -> Array:
    return b[0] - b[1] * x[0] * np.exp(-b[2] * x[1])


def mgh09(b: Array, x: Array) -> Array:
    return b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3])


def mgh10(b: Array, x: Array) -> Array:
    return b[0] * np.exp(b[1] / (x + b[2]))


def mgh17(b: Array, x: Array) -> Array:
    return b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4])


def roszman1(b: Array, x: Array) -> Array:
    return b[0] - b[1] * x - np.arctan(b[2] / (x - b[3])) / np.pi


def enso(b: Array, x: Array) -> Array:
    year = 2 * np.pi * x / 12
    out = b[0] + b[1] * np.cos(year) + b[2] * np.sin(year)
    for period, even, odd in ((b[3], b[4], b[5]), (b[6], b[7], b[8])):
        out = out + even * np.cos(2 * np.pi * x / period) + odd * np.sin(2 * np.pi * x / period)
    return out


def rat42(b: Array, x: Array) -> Array:
    return b[0] / (1 + np.exp(b[1] - b[2] * x))


def rat43(b: Array, x: Array) -> Array:
    return b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3])


def eckerle4(b: Array, x: Array) -> Array:
    return b[0] / b[1] * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2)


def bennett5(b: Array, x: Array) -> Array:
    return b[0] * (b[1] + x) ** (-1 / b[2])


MODELS: dict[str, Model] = {
    "Misra1a": misra1a,
    "Misra1b": misra1b,
    "Misra1c": misra1c,
    "Misra1d": misra1d,
    "BoxBOD": misra1a,
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "Lanczos1": lanczos,
    "Lanczos2": lanczos,
    "Lanczos3": lanczos,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Gauss3": gauss,
    "DanWood": dan_wood,
    "Kirby2": kirby2,
    "Hahn1": cubics,
    "Thurber": cubics,
    "Nelson": nelson,
    "MGH09": mgh09,
    "MGH10": mgh10,
    "MGH17": mgh17,
    "Roszman1": roszman1,
    "ENSO": enso,
    "Rat42": rat42,
    "Rat43": rat43,
    "Eckerle4": eckerle4,
    "Bennett5": bennett5,
}


@dataclass(frozen=True)
class Problem:
    """One file: the model, two starts, what NIST certifies to eleven digits, and the observations."""

    name: str
    model: Model
    starts: Array  # (2, parameters)
    certified: Array  # (parameters,)
    deviations: Array  # (parameters,), of the certified values
    squares: float  # the residual sum of squares
    y: Array  # (observations,)
    x: Array  # the same, or (2, observations) for Nelson


def read(name: str) -> Problem:
    """The problem of this name."""
    lines = (FOLDER / f"{name}.dat").read_text(encoding="ascii").splitlines()
    end = next(k for k, line in enumerate(lines) if line.startswith("residual sum of squares"))
    table = np.array([line.split() for line in lines[2:end]], np.float64)
    y, *x = np.array([line.split() for line in lines[end + 2 :]], np.float64).T
    if name == "Nelson":
        y = np.log(y)  # the model is that of the logarithm
    squares = float(lines[end].split()[-1])
    return Problem(
        name, MODELS[name], table[:, :2].T.copy(), table[:, 2], table[:, 3], squares, y, np.array(x) if len(x) > 1 else x[0]
    )
