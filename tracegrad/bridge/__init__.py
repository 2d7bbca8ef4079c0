"""From eager training to static programs: ``compile`` for a module, ``compile_step`` for a whole step of training."""

from tracegrad.bridge.functions import CompiledTensors, compile  # noqa: A004 - PyTorch's name
from tracegrad.bridge.steps import CompiledStep, compile_step

__all__ = ["CompiledStep", "CompiledTensors", "compile", "compile_step"]
