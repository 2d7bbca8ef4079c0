"""Jacobians, Hessians and products with vectors as ``torch.autograd.functional`` gives them."""

from tests.eager.transcripts import program


@program(
    """
    tensor([[ 3.,  0.],
            [ 0., 12.]])
    tensor([[1., 2.],
            [3., 4.],
            [5., 6.]]) False
    tensor([2., 4.])
    torch.Size([3, 3, 2]) tensor([[0., 0.],
            [1., 1.],
            [0., 0.]])
    tensor(2.)
    ((tensor([[1., 2.]]), tensor([[[1., 2.]]])), (tensor([1., 1.]), tensor([[0., 0.]])))
    (tensor([[1., 2.]]), tensor([[[1., 2.]]]))
    (tensor([[1., 0.],
            [0., 1.]]), tensor([2.7183, 7.3891]))
    tensor([[1., 0.],
            [0., 1.]])
    tensor([[0., 0.],
            [0., 0.],
            [0., 0.]]) (tensor([[2., 0.],
            [0., 2.]]), tensor([0., 0.]))
    """
)
def test_jacobian(torch, show):
    jacobian = torch.autograd.functional.jacobian
    x = torch.tensor([1.0, 2.0])
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    show(jacobian(lambda x: x**3, x))
    show(jacobian(lambda x: w @ x, x), x.requires_grad)
    show(jacobian(lambda x: (x * x).sum(), x))
    show(jacobian(lambda w: w.sum(1), w).shape, jacobian(lambda w: w.sum(1), w)[1])
    show(jacobian(lambda x: x * 2, torch.tensor(3.0)))
    show(jacobian(lambda x, w: (w @ x, x.sum()), (x, w[:1])))
    show(jacobian(lambda x, w: w @ x, (x, w[:1])))
    show(jacobian(lambda x: (x, x.exp().sum()), x))
    show(jacobian(lambda x: x.double(), x))
    show(jacobian(lambda x: torch.ones(3), x), jacobian(lambda x, y: x * 2, (x, torch.tensor(1.0))))


@program(
    """
    tensor([[10.8731,  2.7183],
            [ 7.3891, 29.5562]])
    tensor([[10.8731,  2.7183],
            [ 7.3891, 29.5562]])
    [(torch.Size([2, 3, 2]), tensor(24.)), (torch.Size([2, 3, 1, 3]), tensor(9.))]
    [(torch.Size([2, 2]), tensor(24.)), (torch.Size([2, 1, 3]), tensor(9.))]
    [(torch.Size([2, 3, 2]), tensor(24.)), (torch.Size([2, 3, 1, 3]), tensor(9.))]
    [(torch.Size([2, 2]), tensor(24.)), (torch.Size([2, 1, 3]), tensor(9.))]
    Exception: Expected strategy to be either "forward-mode" or "reverse-mode"
    NotImplementedError: `create_graph=True` and `strategy="forward-mode"` are not supported together
    """
)
def test_jacobian_by_other_strategies(torch, show):
    jacobian = torch.autograd.functional.jacobian
    x = torch.tensor([1.0, 2.0])
    y = torch.tensor([[3.0, 4.0, 5.0]])
    show(jacobian(lambda x: x.exp() * x.sum(), x, vectorize=True))
    show(jacobian(lambda x: x.exp() * x.sum(), x, strategy="forward-mode", vectorize=True))
    for strategy in ("reverse-mode", "forward-mode"):
        found = jacobian(lambda x, y: (x.outer(y[0]), y.sum() * x), (x, y), vectorize=True, strategy=strategy)
        for row in found:
            show([(block.shape, block.sum()) for block in row])
    show.refused(
        Exception,
        'Expected strategy to be either "forward-mode" or "reverse-mode"',
        jacobian,
        lambda x: x,
        x,
        strategy="sideways",
    )
    forward = '`create_graph=True` and `strategy="forward-mode"` are not supported together'
    show.refused(NotImplementedError, forward, jacobian, lambda x: x, x, create_graph=True, strategy="forward-mode")


@program(
    """
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    tensor([[0., 1.],
            [1., 0.]]) tensor([[0., 1.],
            [1., 0.]])
    ((tensor([[6., 0.],
            [0., 6.]]), tensor([[2.],
            [4.]])), (tensor([[2., 4.]]), tensor([[0.]])))
    tensor([[0., 0.],
            [0., 0.]]) tensor([[2., 0.],
            [0., 2.]])
    torch.Size([2, 2, 2, 2])
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    ((tensor([[0., 0.],
            [0., 0.]]), tensor([[0.],
            [0.]])), (tensor([[0., 0.]]), tensor([[0.]])))
    """
)
def test_hessian(torch, show):
    hessian = torch.autograd.functional.hessian
    x = torch.tensor([1.0, 2.0])
    y = torch.tensor([3.0])
    show(hessian(lambda x: (x**3).sum(), x))
    show(hessian(lambda x: x.prod(), x), hessian(lambda x: x.prod(), x, vectorize=True))
    show(hessian(lambda x, y: (x * x).sum() * y.sum(), (x, y)))
    show(hessian(lambda x: x.sum(), x), hessian(lambda x: (x * x).sum().reshape(1), x))
    show(hessian(lambda w: (w * w * w).sum(), torch.ones(2, 2)).shape)
    show(hessian(lambda x: (x**3).sum(), x, vectorize=True, outer_jacobian_strategy="forward-mode").detach())
    show(hessian(lambda x, y: x.sum() * 2, (x, y)))


@program(
    """
    (tensor([1.7508, 3.5015]), tensor([13.0971,  8.7686]))
    (tensor(10.1073), tensor([2.7183, 7.3891]))
    ((tensor([3., 8.]), tensor(7.)), (tensor([ 3., 40.]), tensor([[ 3., 22.]])))
    (tensor([10.1073, 20.2147]), tensor([ 86.7162, 254.2911]))
    ((tensor([3., 8.]), tensor(7.)), (tensor([ 6., 48.]), tensor(7.)))
    ((tensor(4.), tensor(6.)), (tensor(2.), tensor(3.)))
    (tensor(9.), tensor([132., 132.]))
    (tensor(19.), (tensor([12., 96.]), tensor([[ 2., 40.]])))
    (tensor(9.), tensor([132., 132.]))
    (tensor(19.), (tensor([12., 96.]), tensor([[ 2., 40.]])))
    (tensor(8.), tensor(12.)) (tensor(6.), tensor([0., 0.]))
    (tensor([1., 1.]), tensor([0., 0.])) (tensor([1., 1.]), tensor([0., 0.]))
    (tensor([2., 4.]), (tensor([ 2., 20.]), tensor([[0., 0.]])))
    (tensor([1., 2.], dtype=torch.float64), tensor([ 1., 10.], dtype=torch.float64))
    (tensor([1., 2.], dtype=torch.float64), tensor([ 1., 10.]))
    """
)
def test_products(torch, show):
    f = torch.autograd.functional
    x = torch.tensor([1.0, 2.0])
    y = torch.tensor([[3.0, 4.0]])
    v = torch.tensor([1.0, 10.0])
    show(f.vjp(lambda x: x.sin().sum() * x, x, v))
    show(f.vjp(lambda x: x.exp().sum(), x))
    show(f.vjp(lambda x, y: (x * y[0], y.sum()), (x, y), (v, torch.tensor(2.0))))
    show(f.jvp(lambda x: x.exp().sum() * x, x, v))
    show(f.jvp(lambda x, y: (x * y[0], y.sum()), (x, y), (v, y)))
    show(f.jvp(lambda x: (x * 2, x * 3), torch.tensor(2.0)))
    show(f.hvp(lambda x: (x**3).sum() * x[0], x, v))
    show(f.hvp(lambda x, y: (x * y[0] * x).sum(), (x, y), (v, y)))
    show(f.vhp(lambda x: (x**3).sum() * x[0], x, v))
    show(f.vhp(lambda x, y: (x * y[0] * x).sum(), (x, y), (v, y)))
    show(f.hvp(lambda x: x**3, torch.tensor(2.0)), f.vhp(lambda x: x.sum() * 2, x, v))
    show(f.jvp(lambda x: torch.ones(2), x, v), f.vjp(lambda x: torch.ones(2), x, v))
    show(f.vjp(lambda x, y: x * 2, (x, y), v))
    show(f.jvp(lambda x: x.double(), x, v))
    show(f.vjp(lambda x: x.double(), x, v.double()))


@program(
    """
    [False, False, False, False, False, False, False, False] None
    tensor([[ 3.,  0.],
            [ 0., 12.]]) (tensor([ 36., 288.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]]) (tensor([ 72., 144.]))
    tensor([1., 8.]) (tensor([  6., 192.]))
    tensor([  3., 120.]) (tensor([   36., 28800.]))
    tensor([1., 8.]) (tensor([  6., 192.]))
    tensor([  3., 120.]) (tensor([   36., 28800.]))
    tensor(9.) (tensor([ 54., 216.]))
    tensor([  6., 120.]) (tensor([   72., 14400.]))
    tensor(9.) (tensor([ 54., 216.]))
    tensor([  6., 120.]) (tensor([   72., 14400.]))
    tensor([[3., 0.],
            [0., 4.]]) (tensor([1., 1.]))
    tensor([   9., 1200.]) (tensor([  3., 300.]))
    tensor([[ 3.,  0.],
            [ 0., 12.]]) (tensor(9.), tensor([  6., 120.]))
    """
)
def test_recorded(torch, show):
    f = torch.autograd.functional
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    v = torch.tensor([1.0, 10.0])

    def cube(x):
        return x * x * x

    def total(x):
        return cube(x).sum()

    plain = [f.jacobian(cube, x), f.hessian(total, x), *f.vjp(cube, x, v), *f.jvp(cube, x, v), *f.hvp(total, x, v)]
    show([value.requires_grad for value in plain], x.grad)
    for value in (
        f.jacobian(cube, x, create_graph=True),
        f.hessian(total, x, create_graph=True),
        *f.vjp(cube, x, v, create_graph=True),
        *f.jvp(cube, x, v, create_graph=True),
        *f.hvp(total, x, v, create_graph=True),
        *f.vhp(total, x, v, create_graph=True),
    ):
        show(value.detach(), torch.autograd.grad((value * value).sum(), x, retain_graph=True))
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    found = f.jacobian(lambda x: w * x, v, create_graph=True)
    show(found.detach(), torch.autograd.grad(found.sum(), w))
    found = f.vjp(lambda x: cube(x), v, w, create_graph=True)[1]
    show(found.detach(), torch.autograd.grad(found.sum(), w))
    with torch.no_grad():
        show(f.jacobian(cube, x), f.hvp(total, x, v))


@program(
    """
    tensor([[2., 0.],
            [0., 4.]]) tensor([[0., 1.],
            [1., 0.]])
    RuntimeError: Output 0 of the user-provided function does not require gradients.
    RuntimeError: Output 0 of the user-provided function does not require gradients.
    RuntimeError: Output 0 of the user-provided function does not require gradients.
    RuntimeError: Output 0 of the user-provided function is independent of input 1. This is not allowed in strict mode.
    RuntimeError: The output of the user-provided function is independent of input 1. This is not allowed in strict mode.
    RuntimeError: found that the jacobian of the user-provided function with respect to input 0 is independent of the input.
    RuntimeError: found that the jacobian of the user-provided function with respect to input 0 is independent of the input.
    RuntimeError: is independent of input 0. This is not allowed in strict mode when create_graph=True.
    RuntimeError: is independent of input 0. This is not allowed in strict mode when create_graph=True.
    RuntimeError: is independent of input 0. This is not allowed in strict mode when create_graph=True.
    RuntimeError: `strict=True` and `vectorized=True` are not supported together
    """
)
def test_strict(torch, show):
    f = torch.autograd.functional
    x = torch.tensor([1.0, 2.0])
    y = torch.tensor(1.0)
    show(f.jacobian(lambda x: x * x, x, strict=True), f.hessian(lambda x: x.prod(), x, strict=True))
    nothing = "Output 0 of the user-provided function does not require gradients."
    show.refused(RuntimeError, nothing, f.jacobian, lambda x: torch.ones(2), x, strict=True)
    show.refused(RuntimeError, nothing, f.vjp, lambda x: torch.ones(2), x, x, strict=True)
    show.refused(RuntimeError, nothing, f.jvp, lambda x: torch.ones(2), x, x, strict=True)
    one = "Output 0 of the user-provided function is independent of input 1. This is not allowed in strict mode."
    show.refused(RuntimeError, one, f.jacobian, lambda x, y: x * 2, (x, y), strict=True)
    some = "The output of the user-provided function is independent of input 1. This is not allowed in strict mode."
    show.refused(RuntimeError, some, f.vjp, lambda x, y: x * 2, (x, y), x, strict=True)
    linear = "found that the jacobian of the user-provided function with respect to input 0 is independent of the input."
    show.refused(RuntimeError, linear, f.hessian, lambda x: x.sum() * 2, x, strict=True)
    show.refused(RuntimeError, linear, f.hvp, lambda x: x.sum() * 2, x, x, strict=True)
    constant = "is independent of input 0. This is not allowed in strict mode when create_graph=True."
    show.refused(RuntimeError, constant, f.jacobian, lambda x: x * 2, x, strict=True, create_graph=True)
    show.refused(RuntimeError, constant, f.vjp, lambda x: x * 2, x, x, strict=True, create_graph=True)
    show.refused(RuntimeError, constant, f.jvp, lambda x: x * 2, x, x, strict=True, create_graph=True)
    together = "`strict=True` and `vectorized=True` are not supported together"
    show.refused(RuntimeError, together, f.jacobian, lambda x: x * 2, x, strict=True, vectorize=True)


@program(
    """
    RuntimeError: The vector v can only be None if the user-provided function returns a single Tensor with a single element.
    RuntimeError: v can only be None if the input to the user-provided function is a single Tensor with a single element.
    RuntimeError: v can only be None if the input to the user-provided function is a single Tensor with a single element.
    RuntimeError: v can only be None if the input to the user-provided function is a single Tensor with a single element.
    RuntimeError: v has invalid size: should be torch.Size([2]) but got torch.Size([3]).
    RuntimeError: v has invalid size: should be torch.Size([2]) but got torch.Size([3]).
    RuntimeError: v has invalid size: should be torch.Size([2]) but got torch.Size([3]).
    RuntimeError: v has invalid size: should be torch.Size([2]) but got torch.Size([3]).
    RuntimeError: The given v should contain a single Tensor.
    RuntimeError: v is a tuple of invalid length: should be 2 but got 1.
    RuntimeError: Entry 1 in v has invalid size: should be torch.Size([2]) but got torch.Size([3]).
    TypeError: The inputs given to jacobian must be either a Tensor or a tuple of Tensors but the value at index 1 has type
    TypeError: The outputs of the user-provided function given to jacobian must be either a Tensor or a tuple of Tensors but
    RuntimeError: The Tensor returned by the function given to hessian should contain a single element
    RuntimeError: The Tensor returned by the function given to hvp should contain a single element
    RuntimeError: The Tensor returned by the function given to vhp should contain a single element
    RuntimeError: The function given to hessian should return a single Tensor
    """
)
def test_refused(torch, show):
    f = torch.autograd.functional
    x = torch.tensor([1.0, 2.0])
    alone = "The vector v can only be None if the user-provided function returns a single Tensor with a single element."
    show.refused(RuntimeError, alone, f.vjp, lambda x: x * 2, x)
    alone = "v can only be None if the input to the user-provided function is a single Tensor with a single element."
    show.refused(RuntimeError, alone, f.jvp, lambda x: x * 2, x)
    show.refused(RuntimeError, alone, f.hvp, lambda x: x.sum(), x)
    show.refused(RuntimeError, alone, f.vhp, lambda x: x.sum(), x)
    size = "v has invalid size: should be torch.Size([2]) but got torch.Size([3])."
    for product in (f.vjp, f.jvp):
        show.refused(RuntimeError, size, product, lambda x: x * 2, x, torch.ones(3))
    for product in (f.hvp, f.vhp):
        show.refused(RuntimeError, size, product, lambda x: x.sum(), x, torch.ones(3))
    single = "The given v should contain a single Tensor."
    show.refused(RuntimeError, single, f.vjp, lambda x: x * 2, x, (x, x))
    number = "v is a tuple of invalid length: should be 2 but got 1."
    show.refused(RuntimeError, number, f.vjp, lambda x: (x * 2, x), x, x)
    size = "Entry 1 in v has invalid size: should be torch.Size([2]) but got torch.Size([3])."
    show.refused(RuntimeError, size, f.vjp, lambda x: (x * 2, x), x, (x, torch.ones(3)))
    inputs = "The inputs given to jacobian must be either a Tensor or a tuple of Tensors but the value at index 1 has type"
    show.refused(TypeError, inputs, f.jacobian, lambda x, y: x * 2, (x, 2.0))
    outputs = "The outputs of the user-provided function given to jacobian must be either a Tensor or a tuple of Tensors but"
    show.refused(TypeError, outputs, f.jacobian, lambda x: 3.0, x)
    element = "The Tensor returned by the function given to {} should contain a single element"
    show.refused(RuntimeError, element.format("hessian"), f.hessian, lambda x: x * 2, x)
    show.refused(RuntimeError, element.format("hvp"), f.hvp, lambda x: x * 2, x, x)
    show.refused(RuntimeError, element.format("vhp"), f.vhp, lambda x: x * 2, x, x)
    single = "The function given to hessian should return a single Tensor"
    show.refused(RuntimeError, single, f.hessian, lambda x: (x.sum(), x.sum()), x)
