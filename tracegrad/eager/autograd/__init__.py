"""Gradients of the dynamic graph under the names of ``torch.autograd``."""

from tracegrad.eager.anomaly import detect_anomaly, set_detect_anomaly
from tracegrad.eager.autograd import function, functional
from tracegrad.eager.autograd.function import Function
from tracegrad.eager.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from tracegrad.eager.autograd.gradients import grad
from tracegrad.eager.modes import enable_grad, inference_mode, no_grad, set_grad_enabled
from tracegrad.eager.tensor import backward

__all__ = [
    "Function",
    "GradcheckError",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
