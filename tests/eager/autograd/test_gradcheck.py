"""Gradients checked against differences: what passes, what fails, and how it says so."""

from tests.eager.transcripts import program


@program(
    """
    True True
    True True
    True True
    True True
    True True
    True True
    True True
    True True
    True True
    True True
    True
    True
    True
    True
    True
    True
    None
    """
)
def test_right_gradients_pass(torch, show):
    gradcheck, gradgradcheck = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    x = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64, requires_grad=True)
    z = torch.tensor([1.0 + 2.0j, -0.5 + 1.0j], requires_grad=True, dtype=torch.complex128)
    for function, inputs in (
        (torch.sin, x),
        (torch.sin, (x,)),
        (lambda x, w: (w @ x, x * 2), (x, w)),
        (lambda x, w, n: (w * x).sum() ** n, (x, w, 3)),
        (lambda x, w: (w @ x, x * 2), [x, w]),
        (lambda x: x[:0] * 2, x),
        (lambda x: x.cumsum(0).prod(), x),
        (lambda z: z * z, z),
        (lambda z: z.abs(), z),
        (lambda x, w: x * 2, (x, w)),
    ):
        show(gradcheck(function, inputs), gradcheck(function, inputs, raise_exception=False))
    for function, inputs in (
        (torch.sin, x),
        (lambda x, w: w @ x.exp(), (x, w)),
        (lambda x, w: (w * x, x**3), (x, w)),
        (lambda z: z * z * z, z),
    ):
        show(gradgradcheck(function, inputs))
    show(gradgradcheck(lambda x: x**2, x, torch.ones(3, dtype=torch.float64, requires_grad=True)))
    show(gradcheck(lambda x: x.exp(), x, eps=1e-4, atol=1e-3, rtol=1e-2))
    show(x.grad)


@program(
    """
    RuntimeError: Jacobian mismatch for output 0 with respect to input 0,
    RuntimeError: numerical:tensor([[1.0000, 0.0000],
            [0.0000, 2.0000]], dtype=torch.float64)
    RuntimeError: analytical:tensor([[1.5000, 0.0000],
            [0.0000, 3.0000]], dtype=torch.float64)
    RuntimeError: analytical:tensor([[4.5000],
            [9.0000]], dtype=torch.float64)
    False
    RuntimeError: Jacobian mismatch for output 1 with respect to input 1,
    RuntimeError: not reentrant
    True False
    RuntimeError: Jacobian mismatch for output 0 with respect to input 0
    ValueError: gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True.
    ValueError: gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True.
    False
    """
)
def test_wrong_gradients_fail(torch, show):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x * 3

    class Wavering(Wrong):
        calls = 0

        @staticmethod
        def backward(ctx, g):
            Wavering.calls += 1
            return g * ctx.saved_tensors[0] * (2 + 0.1 * Wavering.calls)

    class WrongTwice(Wrong):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g.detach() * 2 * x.detach() + 0 * g * x

    gradcheck, gradgradcheck = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    x = torch.tensor([0.5, 1.0], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    mismatch = "Jacobian mismatch for output 0 with respect to input 0,"
    show.refused(RuntimeError, mismatch, gradcheck, Wrong.apply, x)
    numbers = "numerical:tensor([[1.0000, 0.0000],\n        [0.0000, 2.0000]], dtype=torch.float64)\n"
    show.refused(RuntimeError, numbers, gradcheck, Wrong.apply, x)
    numbers = "analytical:tensor([[1.5000, 0.0000],\n        [0.0000, 3.0000]], dtype=torch.float64)\n"
    show.refused(RuntimeError, numbers, gradcheck, Wrong.apply, x)
    wide = "analytical:tensor([[4.5000],\n        [9.0000]], dtype=torch.float64)\n"
    show.refused(RuntimeError, wide, gradcheck, lambda x: Wrong.apply(x).sum(0, keepdim=True) * 3, x)
    show(gradcheck(Wrong.apply, x, raise_exception=False))
    which = "Jacobian mismatch for output 1 with respect to input 1,"
    show.refused(RuntimeError, which, gradcheck, lambda x, w: (x * w, x + Wrong.apply(w)), (x, w))
    show.refused(RuntimeError, "not reentrant", gradcheck, Wavering.apply, x)
    show(gradcheck(WrongTwice.apply, x), gradgradcheck(WrongTwice.apply, x, raise_exception=False))
    show.refused(RuntimeError, "Jacobian mismatch for output 0 with respect to input 0", gradgradcheck, WrongTwice.apply, x)
    none = "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
    show.refused(ValueError, none, gradcheck, torch.sin, x.detach())
    show.refused(ValueError, none, gradcheck, torch.sin, x.detach(), raise_exception=False)
    show(gradcheck(lambda x: torch.where(x > 0.5, x, 0.0), x, raise_exception=False))


@program(
    """
    warned: True
    warned: False
    """
)
def test_single_precision_warns(torch, show):
    x = torch.tensor([0.5, 1.0], requires_grad=True)
    text = "Input #0 requires gradient and is not a double precision floating point or complex. This check will likely fail"
    show.warned(text, torch.autograd.gradcheck, lambda x: x * 2, x, eps=0.25)
    show.warned(text, torch.autograd.gradcheck, lambda x: x**3, x, raise_exception=False)
