"""``torch.special``: the special functions by PyTorch's names for them, from the ops and functions that carry these."""

from __future__ import annotations

from tracegrad.eager.surface import SURFACE

__all__ = sorted(name.removeprefix("special.") for name in SURFACE if name.startswith("special."))  # noqa: PLE0605

globals().update({name: SURFACE[f"special.{name}"] for name in __all__})
