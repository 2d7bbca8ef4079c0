"""Complex tensors against PyTorch: texts and numbers that it gave, live comparison where it is installed, and refusals."""

import functools
import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import tracegrad as tg
import tracegrad.eager as ours
from tests.eager.functions.against import dtype_of, flat, name_of
from tests.eager.transcripts import program
from tracegrad.eager.autograd import gradcheck, gradgradcheck
from tracegrad.errors import DtypeError

# -- what tensors show -----------------------------------------------------------------------------------------------------


def lines(show, *values):
    for value in values:
        show(value)


@program(
    """
    tensor(1.+2.j) tensor([1.+2.j, 3.+0.j]) tensor([1.+0.j, 0.+2.j]) tensor([1.+0.j, 0.+2.j])
    tensor([[1.0000+2.j, 0.1000+0.j],
            [3.0000+0.j, 0.0000+4.j]]) tensor([1.0000e-05+2.j, 1.0000e+05+0.j])
    tensor([1.+2.j], dtype=torch.complex128) tensor(1.+2.j) tensor(1.+0.j)
    tensor([nan+1.j, 1.+infj, -0.-0.j]) tensor([], dtype=torch.complex64)
    tensor([1.+2.j], requires_grad=True) tensor([2.+4.j], grad_fn=<MulBackward0>)
    tensor([0.+0.j, 0.+0.j]) tensor([1.+0.j], dtype=torch.complex128) tensor([[1.+0.j, 0.+0.j],
            [0.+0.j, 1.+0.j]])
    tensor([1.+2.j, 1.+2.j]) tensor([1.+0.j, 1.+0.j], dtype=torch.complex128) tensor([0.+2.j])
    tensor([0.0000+0.0000j, 0.5000+0.5000j, 1.0000+1.0000j]) tensor([ 1.0000+0.0000j, -0.6682+0.7440j]) tensor([0.+0.j])
    tensor([0.+1.j]) tensor([0.+1.j], dtype=torch.complex128) tensor([3.+0.j, 3.+0.j])
    complex64 complex128
    tensor([1.+2.j]) tensor([1.7552+0.9589j])
    tensor([1.+2.j]) tensor([[1., 2.]])
    complex128 complex128 complex128
    """
)
def test_made_and_shown(torch, show):
    show(torch.tensor(1 + 2j), torch.tensor([1 + 2j, 3.0]), torch.tensor([1, 2j]), torch.tensor([True, 2j]))
    show(torch.tensor([[1 + 2j, 0.1], [3, 4j]]), torch.tensor([1e-5 + 2j, 1e5]))
    show(torch.tensor(np.array([1 + 2j])), torch.tensor(np.complex64(1 + 2j)), torch.tensor(1, dtype=torch.complex64))
    show(torch.tensor([complex(float("nan"), 1), complex(1, float("inf")), -0.0j]), torch.tensor([], dtype=torch.cfloat))
    show(torch.tensor([1 + 2j], requires_grad=True), torch.tensor([1 + 2j], requires_grad=True) * 2)
    show(torch.zeros(2, dtype=torch.complex64), torch.ones(1, dtype=torch.complex128), torch.eye(2, dtype=torch.cfloat))
    show(torch.full((2,), 1 + 2j), torch.full((2,), 1, dtype=torch.cdouble), torch.full_like(torch.tensor([1j]), 2j))
    show(torch.linspace(0, 1 + 1j, 3), torch.logspace(0, 1j, 2), torch.zeros_like(torch.tensor([1j])))
    show(torch.as_tensor([1j]), torch.from_numpy(np.array([1j])), torch.tensor([1j]).new_full((2,), 3))
    show(torch.rand(2, dtype=torch.complex64).dtype, torch.randn(2, dtype=torch.complex128).dtype)
    show(torch.complex(torch.tensor([1.0]), torch.tensor([2.0])), torch.polar(torch.tensor([2.0]), torch.tensor([0.5])))
    show(torch.view_as_complex(torch.tensor([[1.0, 2.0]])), torch.view_as_real(torch.tensor([1 + 2j])))
    torch.set_default_dtype(torch.float64)
    show(torch.tensor(1j).dtype, torch.tensor([1j, 2]).dtype, (torch.tensor([1]) * 1j).dtype)
    torch.set_default_dtype(torch.float32)


@program(
    """
    (3+4j) [(3+4j)] (3+4j) True False 2.0 (3+4j)
    tensor([5.])
    tensor([-3.-4.j])
    tensor([4.+4.j])
    tensor([-2.-4.j])
    tensor([-8.+6.j])
    tensor([1.5000+2.j])
    tensor([0.1200-0.1600j])
    tensor([-7.+24.j])
    tensor([-7.4615+2.8855j])
    tensor([True])
    tensor([True])
    tensor([False])
    tensor([1.+1.j, 2.+1.j]) tensor([0.+1.j]) tensor([1.0000+0.0000j, 0.7692+0.6390j]) tensor([6.+8.j])
    True False False torch.ComplexFloatTensor 8 float32
    tensor([3]) tensor([True]) tensor([3.+4.j], dtype=torch.complex128) tensor([False]) tensor([False]) tensor([True])
    tensor([0.+1.j, 2.+0.j]) tensor([[0]])
    tensor([1.+0.j, 0.+1.j]) tensor([1.+0.j, 0.+1.j])
    tensor(2.+1.j) tensor(5.) tensor(3.5355)
    True True tensor([5.]) tensor(-7.+24.j) tensor([3.-4.j])
    """
)
def test_numbers_of_python(torch, show):
    z = torch.tensor([3 + 4j])
    show(z.item(), z.tolist(), complex(z), bool(z), bool(torch.tensor(0j)), float(torch.tensor(2 + 0j)), f"{z[0]}")
    lines(show, abs(z), -z, z + 1, 1 - z, 2j * z, z / 2, 1 / z, z**2, 2**z, z == 3 + 4j, z != 1, torch.tensor([1.0]) == 1j)
    show(torch.tensor([1, 2]) + 1j, torch.tensor([True]) * 1j, torch.tensor([1, 2]) ** 1j, np.float64(2) * z)
    show(z.is_complex(), z.is_floating_point(), torch.is_complex(z.real), z.type(), z.element_size(), z.real.dtype)
    show(z.long(), z.bool(), z.to(torch.complex128), z.isreal(), torch.isnan(z), torch.isfinite(z))
    show(torch.where(torch.tensor([True, False]), 1j, torch.tensor([1.0, 2.0])), torch.nonzero(torch.tensor([1j, 0])))
    show(torch.cat((torch.tensor([1.0]), torch.tensor([1j]))), torch.stack((torch.tensor(1.0), torch.tensor(1j))))
    show(sum(torch.tensor([1j, 2])), torch.tensor([3 + 4j, 0]).norm(), torch.tensor([3 + 4j, 0]).std())
    show(torch.allclose(z, z + 1e-9), torch.equal(z, z.clone()), np.abs(z), (z @ z), z.conj().resolve_conj())


@program(
    """
    tensor([1., 0.]) tensor([2., 3.]) (2) True 4
    tensor([5.+7.j, 5.+8.j])
    tensor([ 9.+14.j, -1.+16.j])
    tensor([[-4.,  2.]]) tensor([1.]) tensor([[1.-1.j],
            [2.-0.j]]) tensor([[1.-1.j],
            [2.-0.j]])
    tensor([1., 2.], grad_fn=<SelectBackward0>)
    tensor([2., 0.], grad_fn=<SelectBackward0>)
    tensor([1.-2.j, 2.-0.j], grad_fn=<ConjBackward0>)
    tensor([2.2361, 2.0000], grad_fn=<AbsBackward0>)
    tensor([1.1071, 0.0000], grad_fn=<AngleBackward0>)
    tensor([0.4472+0.8944j, 1.0000+0.0000j], grad_fn=<SgnBackward0>)
    tensor([[1., 2.],
            [2., 0.]], grad_fn=<ViewAsRealBackward0>)
    tensor([1., 2.])
    SelectBackward0
    tensor(1.+4.j, grad_fn=<SumBackward0>)
    tensor([[1.+2.j],
            [2.+0.j]], grad_fn=<ViewBackward0>)
    tensor(1.+2.j, grad_fn=<SelectBackward0>)
    tensor([1.-2.j, 2.-0.j], grad_fn=<ConjPhysicalBackward0>)
    tensor([1.+2.j, 2.+0.j], grad_fn=<ComplexBackward0>)
    """
)
def test_parts_and_views(torch, show):
    z = torch.tensor([1 + 2j, 3j])
    show(z.real, z.imag, z.real.stride(), z.real.data_ptr() == z.data_ptr(), z.imag.data_ptr() - z.data_ptr())
    z.real = 5
    z.imag = torch.tensor([7.0, 8.0])
    show(z)
    z.real[0] = 9
    z.imag.mul_(2)
    torch.view_as_real(z)[1, 0] = -1
    show(z)
    pairs = torch.tensor([[1.0, 2.0]])
    torch.view_as_complex(pairs).mul_(2j)
    show(pairs, torch.tensor([1.0]).real, torch.tensor([[1 + 1j, 2]]).mH, torch.tensor([[1 + 1j, 2]]).H)
    x = torch.tensor([1 + 2j, 2], requires_grad=True)
    lines(show, x.real, x.imag, x.conj(), x.abs(), x.angle(), x.sgn(), torch.view_as_real(x), x.detach().real)
    lines(show, torch.real(x).grad_fn, (x * x).sum(), x.reshape(2, 1), x[0], x.conj_physical(), torch.complex(x.real, x.imag))


@program(
    """
    tensor([8.-4.j, 0.+0.j])
    tensor([0.+3.j, 0.+0.j])
    tensor([0.+1.j, 0.+0.j])
    tensor([0.-1.j, 0.-0.j])
    tensor([0.5403-0.8415j, 1.0000-0.0000j])
    tensor([3.+0.j, 4.+0.j])
    tensor([0.+2.j, 0.+2.j])
    tensor([0.+0.j, 0.+0.j])
    RuntimeError: result type
    RuntimeError: value cannot be converted to type
    RuntimeError: value cannot be converted to type
    RuntimeError: value cannot be converted to type
    tensor([2.+2.j, 2.+0.j]) (tensor([0.+0.7906j, 0.+0.0000j]))
    tensor([1.+6.j, 2.+0.j]) (tensor([0.1838+3.3085j, 1.1180+0.0000j]))
    tensor([5.+0.j, 2.+0.j]) (tensor([0.0000+0.j, 1.1180+0.j]))
    tensor([2.+0.j, 2.+0.j]) (tensor([0.0000+0.j, 2.2361+0.j]))
    tensor([2.+2.j, 4.+0.j]) (tensor([1.5811+0.7906j, 2.2361+0.0000j]))
    tensor([5.+0.j, 4.+0.j]) (tensor([2.2361+4.4721j, 4.4721+0.0000j]))
    tensor([2.+2.j, 0.+0.j]) (tensor([0.+1.5811j, 0.+0.0000j]))
    tensor([2.+1.j, 4.+2.j], grad_fn=<CopySlices>) (tensor([ 8., 16.]))
    RuntimeError: a view of a leaf Variable that requires grad is being used in an in-place operation
    """
)
def test_written_in_place(torch, show):
    z = torch.tensor([3 + 4j, 1])
    z += 1
    z -= torch.tensor([2])
    z *= torch.tensor([2.0], dtype=torch.float64)
    z /= 1j
    show(z)
    z **= 2
    z[0] = 3j
    show(z)
    show(z.sgn_())
    show(z.conj_physical_())
    show(z.exp_())
    show(z.copy_(torch.tensor([3.0, 4.0])))
    show(z.fill_(2j))
    show(z.zero_())
    refused = functools.partial(show.refused, RuntimeError)
    refused("result type", torch.tensor([1.0]).mul_, torch.tensor([1j]))
    refused("value cannot be converted to type", torch.tensor([1.0]).fill_, 1j)
    refused("value cannot be converted to type", torch.tensor([1.0]).masked_fill, torch.tensor([True]), 1j)
    refused("value cannot be converted to type", torch.tensor([1.0]).scatter, 0, torch.tensor([0]), 1j)
    start = torch.tensor([1 + 2j, 2], requires_grad=True)
    for write in (
        lambda w: setattr(w, "real", 2),
        lambda w: w.imag.mul_(3),
        lambda w: w.__setitem__(0, 5.0),
        lambda w: w.__setitem__(0, w[1]),
        lambda w: torch.view_as_real(w)[:, 0].mul_(2),
        lambda w: w.mul_(w.conj_physical()),
        lambda w: w.real.copy_(w.imag),
    ):
        w = start * 1
        write(w)
        show(w.detach(), torch.autograd.grad((w * (1 + 0.5j)).abs().sum(), start))
    real = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.zeros(2, dtype=torch.complex64)
    w.imag = real
    w.real.add_(real * 2)
    show(w, torch.autograd.grad((w * w).imag.sum(), real))
    refused("a view of a leaf Variable that requires grad is being used in an in-place operation", setattr, start, "real", 2)


# -- gradients -------------------------------------------------------------------------------------------------------------


@program(
    """
    tensor([0.4472+0.8944j, 1.0000+0.0000j])
    tensor([1.+0.j, 1.+0.j])
    tensor([0.+1.j, 0.+1.j])
    tensor([-0.4000+0.2000j,  0.0000+1.0000j])
    tensor([2.+4.j, 2.+0.j])
    tensor([2.+4.j, 2.+0.j])
    tensor([4.+2.j, 0.+2.j])
    tensor([2.7183-4.0141e-08j, 2.7183+0.0000e+00j])
    tensor([1., 1.])
    tensor([1., 1.])
    tensor([-0.3012, -2.2347])
    tensor([2., 0.])
    tensor([1.4142, 1.4142])
    tensor([0.2000, 1.0000])
    tensor([3.+4.j, 3.+0.j]) complex64
    tensor([0.+0.j, 1.+0.j])
    tensor([0.+0.j, 0.+0.j])
    tensor([0.+0.j, 0.+1.j])
    tensor([0.+0.j, 2.+0.j])
    tensor([0.+0.j, 1.+0.j])
    tensor([0.+0.j, 1.+0.j])
    tensor([0.+0.j, 0.+0.j])
    tensor([0.+0.j, 0.+0.j])
    tensor([0.+0.j, 0.+0.j])
    tensor([0.+0.j, 0.+0.j])
    tensor([0.+0.j, 0.+0.j])
    tensor([0.+0.j, 0.+0.j])
    """
)
def test_gradients_of_real_losses(torch, show):
    z = torch.tensor([1 + 2j, 1], requires_grad=True)
    x = torch.tensor([1.0, 2.0], requires_grad=True)

    def gradient(y, of=z):
        show(torch.autograd.grad(y.sum(), of)[0])

    for y in (z.abs(), z.real, z.imag, z.angle(), (z * z.conj()).real, z.abs() ** 2, (z**2).imag, z.exp().abs()):
        gradient(y)
    for y in ((z * x).real, (x * 1j).abs(), torch.polar(x, x).real, (x**z).imag, torch.complex(x, x).abs(), (x / z).real):
        gradient(y, x)
    (z * z).abs().sum().backward()
    z.real.sum().backward()
    show(z.grad, z.grad.dtype)
    for at in (torch.tensor([0j, 1]), torch.tensor([0j, 0])):
        at.requires_grad_()
        for y in (at.abs(), at.sgn().real, at.angle(), (at**2).abs(), at.norm(), torch.linalg.vector_norm(at, 1)):
            gradient(y, at)


@program(
    """
    tensor([4.+2.j, 4.+0.j])
    tensor([8.+4.j, 4.+2.j]) (tensor([-1.1312-2.4717j,  2.7183+0.0000j]))
    tensor([1., 2.]) (tensor([1.+0.j, 2.+0.j]))
    complex64
    RuntimeError: grad can be implicitly created only for real scalar outputs but got
    RuntimeError: grad can be implicitly created only for scalar outputs
    RuntimeError: For complex Tensors, both grad_output and output are required to have
    RuntimeError: For complex Tensors, both grad_output and output
    RuntimeError: Mismatch in shape: grad_output[0]
    RuntimeError: Can't call numpy() on Tensor that requires grad
    """
)
def test_complex_starts(torch, show):
    z = torch.tensor([1 + 2j, 1], requires_grad=True)
    (z * z).backward(torch.tensor([1j, 2]))
    show(z.grad)
    (z * z).sum().backward(gradient=torch.tensor(1j))
    show(z.grad, torch.autograd.grad(z.exp(), z, torch.ones(2, dtype=torch.complex64)))
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x * torch.tensor([1j, 2])).backward(torch.tensor([1j, 1]))
    show(x.grad, torch.autograd.grad(z.real, z, torch.tensor([1.0, 2.0])))
    show(torch.autograd.grad(z.exp(), z, torch.ones(2, dtype=torch.complex128))[0].dtype)
    refused = functools.partial(show.refused, RuntimeError)
    refused("grad can be implicitly created only for real scalar outputs but got", (z * z).sum().backward)
    refused("grad can be implicitly created only for scalar outputs", (z * z).backward)
    refused("For complex Tensors, both grad_output and output are required to have", (z * z).backward, torch.ones(2))
    refused("For complex Tensors, both grad_output and output", z.abs().backward, torch.tensor([1j, 1]))
    refused("Mismatch in shape: grad_output[0]", (z * z).backward, torch.ones(3, dtype=torch.complex64))
    refused("Can't call numpy() on Tensor that requires grad", z.numpy)


@program(
    """
    tensor([-0.6000+0.8000j,  1.0000+0.0000j])
    tensor([1.+2.j, 2.+0.j])
    tensor([-0.6000+0.8000j,  1.0000+0.0000j])
    tensor([2.+4.j, 4.+0.j])
    tensor([-4.+2.j,  0.+4.j])
    tensor([-0.6000+0.8000j,  1.0000+0.0000j])
    tensor([-4.+2.j,  0.+4.j]) (tensor([-16.+8.j,   0.+16.j]))
    tensor([12.-9.j,  0.+12.j]) (tensor([-360.+180.0000j,    0.+288.0000j]))
    tensor([-1.4375-0.3993j, -1.0000+0.0000j]) (tensor([-0.4429-0.8857j,  0.0000+0.0000j]))
    tensor([-40.+20.j,   0.+32.j]) (tensor([-4800.0005+2400.0002j,     0.0000+3072.0000j]))
    tensor([12.+6.j,  0.+12.j])
    """
)
def test_hooks_and_second_derivatives(torch, show):
    z = torch.tensor([1 + 2j, 2], requires_grad=True)
    seen = []
    z.register_hook(lambda g: seen.append(g) or g * 1j)
    w = z * z
    w.retain_grad()
    w.register_hook(seen.append)
    w.grad_fn.register_hook(lambda into, outof: seen.extend((into[0], outof[0])))
    w.abs().sum().backward()
    lines(show, *seen, z.grad, w.grad)
    for y in (z.abs() ** 2, (z**3).real, z.angle() * z.abs(), (z * z.conj()).real ** 2):
        (g,) = torch.autograd.grad(y.sum(), z, create_graph=True)
        show(g.detach(), torch.autograd.grad((g.abs() ** 2).sum(), z))
    (g,) = torch.autograd.grad((z**3).real.sum(), z, create_graph=True)
    show(torch.autograd.grad(g.imag.sum(), z, create_graph=True)[0].detach())


@program(
    """
    (tensor([2.6833+0.8944j, 4.0000+0.0000j])) (tensor([2.6833+0.8944j, 4.0000+0.0000j]))
    (tensor([-3.+4.j,  4.+0.j]), tensor([4.+2.j, 4.+0.j])) (tensor([2.2361, 2.0000]), tensor([0.8944+1.7889j, 1.0000+0.0000j]))
    (tensor([-3.+4.j,  4.+0.j]), tensor([-4.+2.j,  4.+0.j])) (tensor([2.2361, 2.0000]), tensor([0.8944, 1.0000]))
    (tensor(19.1803), tensor([ 2.6833+12.0748j, 12.0000+0.0000j]))
    (tensor(19.1803), tensor([ 2.6833+12.0748j, 12.0000+0.0000j]))
    tensor([[0.4472+0.8944j, 0.0000+0.0000j],
            [0.0000+0.0000j, 1.0000+0.0000j]])
    tensor([1.0000+0.6040j, 0.6980-0.3020j], requires_grad=True)
    tensor([1.0000+1.7006j, 0.2984-0.7016j], requires_grad=True)
    tensor(5.) tensor([0.3000+0.4000j, 0.0000+0.0000j])
    """
)
def test_own_functions_functionals_and_steps(torch, show):
    class Turn(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z * z.abs()

        @staticmethod
        def backward(ctx, g):
            (z,) = ctx.saved_tensors
            return g * z.abs() + z * (g.conj() * z).real / z.abs()

    z = torch.tensor([1 + 2j, 2])
    start = z.clone().requires_grad_()
    show(torch.autograd.grad(Turn.apply(start).real.sum(), start), torch.autograd.grad((start * start.abs()).real.sum(), start))
    functional = torch.autograd.functional
    v = torch.tensor([1j, 1])
    show(functional.vjp(lambda z: z * z, z, v), functional.vjp(lambda z: z.abs(), z, torch.tensor([2.0, 1.0])))
    show(functional.jvp(lambda z: z * z, z, v), functional.jvp(lambda z: z.abs(), z, v))
    lines(show, functional.hvp(lambda z: (z.abs() ** 3).sum(), z, v), functional.vhp(lambda z: (z.abs() ** 3).sum(), z, v))
    show(functional.jacobian(lambda z: z.abs(), z))
    for make in (lambda p: torch.optim.SGD(p, 0.1, momentum=0.5), lambda p: torch.optim.Adam(p, 0.1)):
        p = torch.tensor([1 + 2j, -1j], requires_grad=True)
        steps = make([p])
        for _ in range(3):
            steps.zero_grad()
            ((p - 1).abs() ** 2).sum().backward()
            steps.step()
        show(p)
    p.grad = torch.tensor([3 + 4j, 0])
    show(torch.nn.utils.clip_grad_norm_([p], 0.5), p.grad)


# -- what is refused -------------------------------------------------------------------------------------------------------


@program(
    """
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: not implemented for 'ComplexFloat'
    RuntimeError: maximum not implemented for complex tensors.
    RuntimeError: Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.
    RuntimeError: clamp is not supported for complex types
    RuntimeError: clamp is not supported for complex types
    RuntimeError: floor is not supported for complex inputs
    RuntimeError: Sort does not support complex dtypes on CPU
    RuntimeError: topk does not support complex dtypes on CPU
    RuntimeError: argmax(): does not support complex input
    RuntimeError: signbit is not implemented for complex tensors.
    TypeError: ~ (operator.invert) is only implemented on integer and Boolean-type tensors
    RuntimeError: value cannot be converted to type double without overflow
    RuntimeError: imag is not implemented for tensors with non-complex dtypes.
    RuntimeError: view_as_real is only supported for complex tensors
    RuntimeError: view_as_complex is only supported for half, float and double tensors
    RuntimeError: Tensor must have a last dimension of size 2
    RuntimeError: Tensor must have a last dimension with stride 1
    RuntimeError: Expected both inputs to be Half, Float or Double tensors but got Long and Long
    RuntimeError: Expected object of scalar type Float but got scalar type Double for second
    TypeError: complex(): argument 'real' (position 1) must be Tensor, not float
    RuntimeError: For non-complex input tensors, argument alpha must not be a complex number.
    RuntimeError: tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.
    RuntimeError: tensor.H is only supported on matrices (2-D tensors). Got 3-D tensor.
    RuntimeError
    """
)
def test_refused(torch, show):
    z, x = torch.tensor([1j, 2]), torch.tensor([1.0, 2.0])
    refused = functools.partial(show.refused, RuntimeError)
    for function in (lambda: z < z, lambda: x >= 1j, lambda: z > 1, lambda: max(z), z.median, lambda: z % 2, lambda: z & 1):
        refused("not implemented for 'ComplexFloat'", function)
    for name in ("max", "min", "erf", "lgamma", "frac", "aminmax", "round"):
        refused("not implemented for 'ComplexFloat'", getattr(torch, name), z)
    for function in (torch.nn.functional.gelu, torch.nn.functional.softplus, torch.nn.Softmax(0), torch.nn.LogSoftmax(0)):
        refused("not implemented for 'ComplexFloat'", function, z)
    refused("maximum not implemented for complex tensors.", torch.maximum, z, z)
    refused("Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.", torch.sign, z)
    refused("clamp is not supported for complex types", z.clamp, 0, 1)
    refused("clamp is not supported for complex types", torch.nn.functional.relu, z)
    refused("floor is not supported for complex inputs", z.floor)
    refused("Sort does not support complex dtypes on CPU", torch.sort, z)
    refused("topk does not support complex dtypes on CPU", torch.topk, z, 1)
    refused("argmax(): does not support complex input", z.argmax)
    refused("signbit is not implemented for complex tensors.", z.signbit)
    show.refused(TypeError, "~ (operator.invert) is only implemented on integer and Boolean-type tensors", lambda: ~z)
    refused("value cannot be converted to type double without overflow", float, z[0])
    refused("imag is not implemented for tensors with non-complex dtypes.", lambda: x.imag)
    refused("view_as_real is only supported for complex tensors", torch.view_as_real, x)
    refused("view_as_complex is only supported for half, float and double tensors", torch.view_as_complex, x.long())
    refused("Tensor must have a last dimension of size 2", torch.view_as_complex, torch.ones(3))
    refused("Tensor must have a last dimension with stride 1", torch.view_as_complex, torch.ones(2, 2).T)
    refused("Expected both inputs to be Half, Float or Double tensors but got Long and Long", torch.complex, x.long(), x.long())
    refused("Expected object of scalar type Float but got scalar type Double for second", torch.polar, x, x.double())
    show.refused(TypeError, "complex(): argument 'real' (position 1) must be Tensor, not float", torch.complex, 1.0, 2.0)
    refused("For non-complex input tensors, argument alpha must not be a complex number.", lambda: torch.add(x, x, alpha=1j))
    refused("tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.", z.adjoint)
    refused("tensor.H is only supported on matrices (2-D tensors). Got 3-D tensor.", lambda: z[None, None].H)
    refused("", lambda: z @ x)


def test_refusals_name_what_was_called_and_the_line():
    z = ours.tensor([1j, 2])
    with pytest.raises(DtypeError, match=r"\"softmax\" not implemented for 'ComplexFloat'") as caught:
        ours.softmax(z, 0)
    assert caught.value.where.text == "ours.softmax(z, 0)"
    assert "x.real and x.imag" in caught.value.fix
    with pytest.raises(DtypeError, match=r"\"max_pool1d\" not implemented for 'ComplexDouble'"):
        ours.nn.functional.max_pool1d(z.cdouble()[None], 2)


# -- promotion -------------------------------------------------------------------------------------------------------------

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64", "complex64", "complex128")
SHAPES = (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ()))
# the letters stand for complex64 (f) and complex128 (d): for each pair of dtypes of which one is complex, the four shapes
PROMOTED = {
    "bool": "ffff dddd",
    "uint8": "ffff dddd",
    "int32": "ffff dddd",
    "int64": "ffff dddd",
    "float32": "ffff dfdd",
    "float64": "ddfd dddd",
    "complex64": "ffff ffff ffff ffff ffff dfdd ffff dfdd",
    "complex128": "dddd dddd dddd dddd ddfd dddd ddfd dddd",
}


def promoted(library, a, b):
    return "".join(
        {"complex64": "f", "complex128": "d"}[
            dtype_of(library.ones(s, dtype=getattr(library, a)) * library.ones(t, dtype=getattr(library, b))).name
        ]
        for s, t in SHAPES
    )


@pytest.mark.parametrize("library", ["tracegrad", "pytorch"])
def test_promotion(library):
    used = ours if library == "tracegrad" else pytest.importorskip("torch")
    pairs = [pair for pair in itertools.product(DTYPES, DTYPES) if any("complex" in d for d in pair)]
    found = {}
    for a, b in pairs:
        found.setdefault(a, []).append(promoted(used, a, b))
    assert {a: " ".join(row) for a, row in found.items()} == PROMOTED


@pytest.mark.parametrize(("dtype", "expected"), [("int64", "f"), ("float32", "f"), ("float64", "d"), ("complex64", "f")])
@pytest.mark.parametrize("shape", [(2,), ()])
def test_promotion_with_numbers(dtype, expected, shape):
    x = ours.ones(shape, dtype=getattr(ours, dtype))
    for y in (x + 1j, 1j * x, x / 1j, 1j / x, x**1j, 1j**x, x - 1j):
        assert y.dtype == {"f": np.complex64, "d": np.complex128}[expected]


# -- every function --------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(5)


def drawn(*shape):
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).round(3)


Z, W, M, V, U, S = drawn(2, 2), drawn(2, 2), drawn(3, 3), drawn(3), drawn(3), drawn()
B, C = drawn(2, 2, 3), drawn(2, 3, 2)
X, Y, N = RNG.normal(size=(2, 2)).round(3), RNG.uniform(0.5, 2, (2, 2)).round(3), np.array([[1, 2], [3, -1]])
MASK = np.array([[True, False], [True, True]])


def calls(names, *operands):
    return {name: (lambda t, *xs, name=name: getattr(t, name)(*xs), operands) for name in names.split()}


def of(operands, **functions):
    return {name: (function, operands) for name, function in functions.items()}


MAPS = calls(
    "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal neg sin cos tan asin acos atan sinh cosh tanh asinh "
    "acosh atanh sigmoid abs angle sgn conj_physical real imag view_as_real sum mean prod std var norm "
    "isnan isreal count_nonzero any ravel diag trace tril fliplr clone",
    Z,
)
MIXED = {
    f"{name} {label}": (function, operands)
    for name, (function, _) in calls("add sub mul div pow float_power eq").items()
    for label, operands in (("complex", (Z, W)), ("real", (Z, Y)), ("of real", (Y, Z)), ("integer", (Z, N)), ("0-d", (Z, S)))
}
NUMBERS = {
    f"{label} {number}": (functools.partial(lambda t, z, act, number: act(z, number), act=act, number=number), (x,))
    for label, act, x in (
        ("z +", lambda z, a: z + a, Z),
        ("z *", lambda z, a: z * a, Z),
        ("z /", lambda z, a: z / a, Z),
        ("z **", lambda z, a: z**a, Z),
        ("- z", lambda z, a: a - z, Z),
        ("** z", lambda z, a: a**z, Z),
        ("x *", lambda z, a: z * a, Y),
        ("x **", lambda z, a: z**a, Y),
    )
    for number in (2, 0.5, -1, 1 + 2j)
}
REDUCED = of(
    (B,),
    sums=lambda t, z: (z.sum(1), z.sum((0, 2)), z.mean(0), z.prod(2), z.sum(0, keepdim=True)),
    scans=lambda t, z: (z.cumsum(1), z.cumprod(2)),
    deviations=lambda t, z: (z.std(1), z.var(2, correction=0), *t.var_mean(z, 2)),
    logsumexp=lambda t, z: t.logsumexp(z, 2),
    norms=lambda t, z: [t.linalg.vector_norm(z, p, dim=2) for p in (1, 2, 3, -1, float("inf"))],
    matrix_norms=lambda t, z: [t.linalg.matrix_norm(z, p) for p in ("fro", 1, float("inf"))],
    distances=lambda t, z: (t.dist(z[0], z[1]), t.dist(z[0], z[1], 1)),
)
PRODUCTS = {
    **{f"matmul {k}": (lambda t, a, b: a @ b, pair) for k, pair in enumerate([(M, M), (B, C), (B, V), (V, M), (B, M), (V, U)])},
    **calls("dot vdot inner outer kron", V, U),
    **calls("mv", M, V),
    **calls("bmm", B, C),
    **calls("addmm", M, M, M),
    **of((M, M), einsum=lambda t, a, b: t.einsum("ij,kj->ik", a, b.conj()), tensordot=lambda t, a, b: t.tensordot(a, b, 1)),
    **of((V, U), cross=lambda t, a, b: t.linalg.cross(a, b), addcmul=lambda t, a, b: t.addcmul(a, b, a, value=0.5j)),
}
SHAPED = of(
    (B,),
    shapes=lambda t, z: (z.reshape(3, 4), z.permute(2, 0, 1), z.mT, z.mH, z.unsqueeze(0), z.flip(0), z.roll(1, 2)),
    indices=lambda t, z: (z[0], z[..., 1:], z[:, [1, 0]], z[z.real > 0], z[0, 1, 2]),
    picked=lambda t, z: (z.index_select(2, t.tensor([0, 2])), t.take(z, t.tensor([0, 5])), z.masked_fill(z.imag > 0, 1j)),
    joined=lambda t, z: (t.cat((z, z * 2)), t.stack((z, z.conj().clone()), 1), t.cat((z, z.abs()))),
    cut=lambda t, z: (*z.split(2, 2), *z.unbind(1)),
    scattered=lambda t, z: (z.index_add(0, t.tensor([1]), z[:1]), z.scatter_add(2, t.tensor([[[0, 0, 1]]]), z[:1, :1])),
    chosen=lambda t, z: (t.where(z.real > 0, z, 0.0), t.where(z.real > 0, z.real, 1j), t.where(z.imag > 0, z, z * z)),
    padded=lambda t, z: (t.nn.functional.pad(z, (1, 1)), t.diff(z), t.trapezoid(z), z.repeat(2, 1, 1)),
)
PARTS = of(
    (Y,),
    complex=lambda t, x: t.complex(x, x * 2),
    polar=lambda t, x: t.polar(x, x),
    view_as_complex=lambda t, x: t.view_as_complex(x),
    wave=lambda t, x: t.exp(1j * x),
    there_and_back=lambda t, x: ((x + 0j) * (1 + 1j)).real,
    cast=lambda t, x: x.to(t.complex128) * 1j,
    size=lambda t, x: (x * (1 + 2j)).abs(),
) | of(
    (Z,),
    real_of_product=lambda t, z: (z * z.conj()).real,
    round_trip=lambda t, z: t.view_as_complex(t.view_as_real(z) * 2),
    rotated=lambda t, z: t.exp(1j * z.angle()) * z.abs(),
    own_power=lambda t, z: z**z,
    narrowed=lambda t, z: z.to(t.complex64).to(t.complex128),
)
LINEAR = of(
    (M,),
    inv=lambda t, a: t.linalg.inv(a),
    det=lambda t, a: t.linalg.det(a),
    slogdet=lambda t, a: tuple(t.linalg.slogdet(a)),
    logdet=lambda t, a: t.logdet(a),
    solve=lambda t, a: t.linalg.solve(a, a[:, 0] * 2),
    solve_triangular=lambda t, a: t.linalg.solve_triangular(a, a, upper=True),
    matrix_exp=lambda t, a: t.linalg.matrix_exp(a * 0.3),
    matrix_power=lambda t, a: t.linalg.matrix_power(a, -2),
)
NETWORK = of(
    (Z,),
    linear=lambda t, z: t.nn.functional.linear(z, z),
    l1_loss=lambda t, z: t.nn.functional.l1_loss(z, z * 2),
    dropout=lambda t, z: t.nn.functional.dropout(z, 0.0),
    normalize=lambda t, z: t.nn.functional.normalize(z),
)
CASES = MAPS | MIXED | NUMBERS | REDUCED | PRODUCTS | SHAPED | PARTS | LINEAR | NETWORK
# a view as the last step of a product is called otherwise, as for real tensors
UNNAMED = ("matmul 2", "matmul 3", "matmul 4")
PAIRS = (name for name in MIXED if name.split()[0] in ("mul", "div", "pow"))
RECORDED = (*MAPS, *PAIRS, *PARTS, *LINEAR, "norms", "scans", "deviations")


def weights(library, x):
    """A cotangent that is the same in both libraries."""
    place = np.arange(1.0, x.numel() + 1).reshape(tuple(x.shape))
    values = np.cos(place) + 1j * np.sin(2 * place) if x.is_complex() else np.cos(place)
    return library.tensor(values.astype(dtype_of(x)))


def plain(x):
    return x.detach().resolve_conj().numpy()


def seen(library, case, order):
    """Results; then, order by order, what their weighted sum has for gradients: arrays, zeros where there is none."""
    function, arrays = CASES[case]
    operands = [library.tensor(a, requires_grad=a.dtype.kind in "fc") for a in map(np.array, arrays)]
    leaves = [x for x in operands if x.requires_grad]
    parts = results = flat(function(library, *operands))
    derivatives = []
    for _ in range(order):
        parts = [x for x in parts if x is not None and x.requires_grad]
        if not parts:
            break
        starts = [weights(library, x) for x in parts]
        parts = library.autograd.grad(parts, leaves, starts, create_graph=True, allow_unused=True)
        derivatives += [np.zeros_like(plain(x)) if g is None else plain(g) for x, g in zip(leaves, parts, strict=True)]
    return results, derivatives


def close(found, expected, tolerance=1e-10):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    size = max(1.0, np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("case", CASES)
def test_as_pytorch_now(case):
    torch = pytest.importorskip("torch")
    (expected, their_derivatives), (found, our_derivatives) = (seen(library, case, 2) for library in (torch, ours))
    tolerance = 1e-6 if case == "narrowed" else 1e-10
    for mine, other in zip(found, expected, strict=True):
        if torch.is_tensor(other):
            close(plain(mine), plain(other), tolerance)
            assert mine.requires_grad == other.requires_grad
            assert case in UNNAMED or name_of(mine) == name_of(other)
    for mine, other in itertools.zip_longest(our_derivatives, their_derivatives):
        # what is constant has no graph here, there it has zeros
        close(np.zeros_like(other) if mine is None else mine, np.zeros_like(mine) if other is None else other, tolerance)


@functools.cache
def known():
    return json.loads((Path(__file__).parent / "recorded_complex.json").read_text(encoding="utf-8"))


def pairs_of(arrays):
    return [[x.dtype.name, np.ravel(x).view(x.real.dtype).tolist() if x.dtype.kind != "b" else x.tolist()] for x in arrays]


@pytest.mark.parametrize("case", RECORDED)
def test_as_pytorch_was(case):
    results, derivatives = seen(ours, case, 1)
    tolerance = 2e-6 if case == "narrowed" else 1e-10
    found = pairs_of([*map(plain, results), *derivatives])
    assert [dtype for dtype, _ in found] == [dtype for dtype, _ in known()[case]]
    for (_, mine), (_, other) in zip(found, known()[case], strict=True):
        size = max(1.0, np.max(np.abs(other), initial=0.0))
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance * size)


def tensors(*shapes):
    rng = np.random.default_rng(1)
    return [ours.tensor(rng.normal(size=(*s, 2)).view(complex)[..., 0], requires_grad=True) for s in shapes]


CHECKED = {
    "conjugate": lambda z, w: z * z.conj() + w,
    "size": lambda z, w: (z * w).abs(),
    "direction": lambda z, w: (z + w).sgn() * z.real,
    "parts": lambda z, w: ours.complex(z.real * w.imag, (z / w).imag),
    "power": lambda z, w: (z**w).imag + (2**z).real,
    "wave": lambda z, w: ours.exp(1j * z.real) * w.angle(),
    "solve": lambda z, w: ours.linalg.solve(z, w).abs(),
    "determinant": lambda z, w: tuple(ours.linalg.slogdet(z @ w.mH)),
    "written": lambda z, w: _written(z, w),
}


def _written(z, w):
    y = z * 1
    y.real = w.imag
    y[0] *= w[0].conj()
    return y


@pytest.mark.parametrize("name", CHECKED)
def test_finite_differences(name):
    operands = tensors((3, 3), (3, 3))
    assert gradcheck(CHECKED[name], operands)
    assert gradgradcheck(CHECKED[name], operands)


def test_gradcheck_finds_a_missing_conjugate():
    class Wrong(ours.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx, g):
            return g * 2 * ctx.saved_tensors[0]

    with pytest.raises(ours.autograd.GradcheckError, match="Jacobian mismatch"):
        gradcheck(Wrong.apply, tensors((3,)))


# -- compiled modules hold no complex numbers --------------------------------------------------------------------------------

COMPLEX = np.array([1 + 2j, 3j])


@pytest.mark.parametrize("forward", [lambda x: (x * 1j).abs(), lambda x: ours.complex(x, x).abs(), ours.view_as_complex])
def test_compiled_modules_refuse_to_become_complex(forward):
    class Model(ours.nn.Module):
        def forward(self, x):
            return forward(x)

    with pytest.raises(DtypeError, match="compiled programs of tensors hold no complex numbers"):
        tg.compile(Model())(ours.tensor([1.0, 2.0]))


def test_compiled_modules_refuse_complex_tensors():
    with pytest.raises(
        DtypeError, match=r"arguments\[0\]\[0\]: dtype complex64 is not supported: compiled programs of tensors hold"
    ):
        tg.compile(ours.nn.Linear(2, 2))(ours.tensor([1j, 2]))
    with pytest.raises(DtypeError, match=r"Linear.weight: dtype complex64 is not supported: compiled programs of tensors hold"):
        tg.compile(ours.nn.Linear(2, 2, dtype=ours.complex64))(ours.tensor([1.0, 2]))


def test_the_fix_in_the_text_works():
    value = tg.jit(lambda x, y: (x * x + y * y).sum())(COMPLEX.real, COMPLEX.imag)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (tg.tensor(COMPLEX).abs() ** 2).sum().item() == pytest.approx(float(value))
