"""SciPy with boxes: ``special``, ``stats``, ``linalg``, ``signal`` and ``integrate``."""

from tracegrad.compat.scipy import integrate, linalg, signal, special, stats

__all__ = ["integrate", "linalg", "signal", "special", "stats"]
