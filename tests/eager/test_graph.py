"""Leaves, nodes and edges of the dynamic graph, and what a tensor says about itself."""

import copy
import pickle

import numpy as np

from tests.eager.transcripts import program


@program(
    """
    MeanBackward0
      SubBackward0
        DivBackward0
          PowBackward0
            AddBackward0
              MvBackward0
                AccumulateGrad (2, 2)
                AccumulateGrad (2)
              None
          AccumulateGrad (2)
        ExpBackward0
          AccumulateGrad (2)
    MaxBackward1
      SumBackward1
        MmBackward0
          AccumulateGrad (2, 2)
          AccumulateGrad (2, 2)
    """
)
def test_names_and_edges(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = ((w @ x + 1.0) ** 2 / x - x.exp()).mean()
    show.graph(y)
    show.graph(torch.matmul(w, w).sum(0).max())


@program(
    """
    AddBackward0
    AddBackward0
    SubBackward0
    RsubBackward1
    MulBackward0
    DivBackward0
    PowBackward0
    PowBackward2
    PowBackward1
    NegBackward0
    None
    AbsBackward0
    RemainderBackward0
    MmBackward0
    MvBackward0
    DotBackward0
    UnsafeViewBackward0
    PermuteBackward0
    TBackward0
    SelectBackward0
    SliceBackward0
    UnsqueezeBackward0
    IndexBackward0
    IndexBackward0
    SelectBackward0
    SelectBackward0
    SelectBackward0
    """
)
def test_names_of_operators(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    b = w.unsqueeze(0)
    for y in (x + 1, 1 + x, x - 1, 1 - x, 2 * x, x / 2, x**2, 2**x, x**x, -x, +x, abs(x), x % 2, w @ w, w @ x, x @ x):
        show(y.grad_fn)
    for y in (b @ b, w.T, w.t(), x[0], x[:1], x[None], x[[0, 1]], x[x > 1], w[0, 1], w[:, 0], w[..., 0]):
        show(y.grad_fn)


@program(
    """
    exp ExpBackward0
    log LogBackward0
    sqrt SqrtBackward0
    rsqrt RsqrtBackward0
    sin SinBackward0
    cos CosBackward0
    tan TanBackward0
    tanh TanhBackward0
    sigmoid SigmoidBackward0
    relu ReluBackward0
    abs AbsBackward0
    neg NegBackward0
    reciprocal ReciprocalBackward0
    square PowBackward0
    sum SumBackward1
    mean MeanBackward1
    prod ProdBackward1
    max MaxBackward0
    min MinBackward0
    std StdBackward0
    var VarBackward0
    norm LinalgVectorNormBackward0
    cumsum CumsumBackward0
    cumprod CumprodBackward0
    logsumexp LogsumexpBackward0
    median MedianBackward1
    amax AmaxBackward0
    sum SumBackward0
    mean MeanBackward0
    prod ProdBackward0
    max MaxBackward1
    min MinBackward1
    std StdBackward0
    var VarBackward0
    norm LinalgVectorNormBackward0
    clone CloneBackward0
    contiguous None
    flatten ViewBackward0
    trace TraceBackward0
    diag DiagonalBackward0_copy
    triu TriuBackward0
    ViewBackward0 [AccumulateGrad]
    ViewBackward0 [AccumulateGrad]
    TransposeBackward0 [AccumulateGrad]
    PermuteBackward0 [AccumulateGrad]
    UnsqueezeBackward0 [AccumulateGrad]
    SqueezeBackward1 [UnsqueezeBackward0]
    SqueezeBackward0 [UnsqueezeBackward0]
    ExpandBackward0 [AccumulateGrad]
    RepeatBackward0 [AccumulateGrad]
    CatBackward0 [AccumulateGrad, AccumulateGrad]
    StackBackward0 [AccumulateGrad, AccumulateGrad]
    SplitBackward0 [AccumulateGrad]
    SplitBackward0 [AccumulateGrad]
    UnbindBackward0 [AccumulateGrad]
    WhereBackward0 [AccumulateGrad, None]
    ClampBackward1 [AccumulateGrad]
    ClampBackward1 [AccumulateGrad]
    MaximumBackward0 [AccumulateGrad, AccumulateGrad]
    SoftmaxBackward0 [AccumulateGrad]
    LogSoftmaxBackward0 [AccumulateGrad]
    GatherBackward0 [AccumulateGrad]
    IndexSelectBackward0 [AccumulateGrad]
    MaskedFillBackward0 [AccumulateGrad]
    SortBackward0 [AccumulateGrad]
    TopkBackward0 [AccumulateGrad]
    MulBackward0 [ViewBackward0, AccumulateGrad]
    ToCopyBackward0 [AccumulateGrad]
    ToCopyBackward0 [AccumulateGrad]
    RollBackward0 [AccumulateGrad]
    FlipBackward0 [AccumulateGrad]
    ScatterAddBackward0 [AccumulateGrad, AccumulateGrad]
    """
)
def test_names_of_functions(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for f in (
        "exp",
        "log",
        "sqrt",
        "rsqrt",
        "sin",
        "cos",
        "tan",
        "tanh",
        "sigmoid",
        "relu",
        "abs",
        "neg",
        "reciprocal",
        "square",
    ):
        show(f, getattr(x, f)().grad_fn)
    for f in ("sum", "mean", "prod", "max", "min", "std", "var", "norm", "cumsum", "cumprod", "logsumexp", "median", "amax"):
        show(f, getattr(w, f)(0)[0].grad_fn if f in ("max", "min", "median") else getattr(w, f)(dim=0).grad_fn)
    for f in (
        "sum",
        "mean",
        "prod",
        "max",
        "min",
        "std",
        "var",
        "norm",
        "clone",
        "contiguous",
        "flatten",
        "trace",
        "diag",
        "triu",
    ):
        y = getattr(w, f)()
        show(f, y.grad_fn)
    for y in (
        w.view(4),
        w.reshape(-1),
        w.transpose(0, 1),
        w.permute(1, 0),
        w.unsqueeze(1),
        w.unsqueeze(1).squeeze(1),
        w.unsqueeze(1).squeeze(),
        x.expand(3, 2),
        x.repeat(2),
        torch.cat([x, x]),
        torch.stack([x, x]),
        w.split(1)[1],
        w.chunk(2)[1],
        w.unbind()[1],
        torch.where(x > 1, x, 0.0),
        x.clamp(0, 1),
        x.clamp(min=0),
        torch.maximum(x, x),
        torch.softmax(x, 0),
        torch.log_softmax(x, 0),
        w.gather(0, torch.tensor([[0, 1]])),
        w.index_select(0, torch.tensor([0])),
        x.masked_fill(x > 1, 0.0),
        w.sort(0)[0],
        w.topk(1)[0],
        torch.outer(x, x),
        x.double(),
        x.to(torch.float64),
        w.roll(1),
        w.flip(0),
        x.scatter_add(0, torch.tensor([0]), x),
    ):
        show(y.grad_fn, [node for node, _ in y.grad_fn.next_functions])


@program(
    """
    AccumulateGrad 0 True True ()
    (None, 0) AccumulateGrad
    (None, 0)
    MaxBackward0 False None 0
    2 ((UnbindBackward0, 2), (None, 0))
    True True
    True True True
    True
    """
)
def test_the_end_of_each_path(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    (end, slot), (other, _) = y.grad_fn.next_functions
    show(end, slot, end.variable is x, end is other, end.next_functions)
    z = torch.tensor([1.0, 2.0]) * x
    show(z.grad_fn.next_functions[0], z.grad_fn.next_functions[1][0])
    show((x * 2).grad_fn.next_functions[1])
    values, places = torch.tensor([[1.0, 2.0]], requires_grad=True).max(1)
    show(values.grad_fn.name(), places.requires_grad, places.grad_fn, values.output_nr)
    a, b, c = torch.tensor([1.0, 2.0, 3.0], requires_grad=True).unbind()
    show(c.output_nr, (c * 2).grad_fn.next_functions)
    show(a.grad_fn is b.grad_fn, a.grad_fn == c.grad_fn)
    show(y.grad_fn is y.grad_fn, hash(y.grad_fn) == hash(y.grad_fn), y.grad_fn == y.grad_fn)
    show(isinstance(y.grad_fn.metadata, dict))


@program(
    """
    True True None None 0 False
    False True MulBackward0 0 False
    True False None True
    False True CloneBackward0 True
    True False None
    False False False True
    True False
    """
)
def test_leaves(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    show(x.is_leaf, x.requires_grad, x.grad_fn, x.grad, x.output_nr, x.retains_grad)
    y = x * 2
    show(y.is_leaf, y.requires_grad, y.grad_fn, y.output_nr, y.retains_grad)
    d = y.detach()
    show(d.is_leaf, d.requires_grad, d.grad_fn, d.untyped_storage().data_ptr() == y.untyped_storage().data_ptr())
    show(y.data.requires_grad, y.data.is_leaf, y.clone().grad_fn, x.data.untyped_storage().data_ptr() == x.data_ptr())
    with torch.no_grad():
        n = x * 2
    show(n.is_leaf, n.requires_grad, n.grad_fn)
    show((x > 1).requires_grad, x.argmax().requires_grad, x.long().requires_grad, x.double().requires_grad)
    show(torch.zeros(2, requires_grad=True).is_leaf, torch.ones_like(x).requires_grad)


@program(
    """
    True True
    False
    RuntimeError: you can only change requires_grad flags of leaf variables
    True True
    RuntimeError: you can only change requires_grad flags of leaf variables
    RuntimeError: can require gradients
    RuntimeError: can require gradients
    RuntimeError: can require gradients
    RuntimeError: can require gradients
    RuntimeError: can require gradients
    RuntimeError: can require gradients
    False True
    None
    """
)
def test_changing_requires_grad(torch, show):
    x = torch.tensor([1.0, 2.0])
    show(x.requires_grad_() is x, x.requires_grad)
    x.requires_grad = False
    show(x.requires_grad)
    x.requires_grad = True
    y = x * 2
    show.refused(RuntimeError, "you can only change requires_grad flags of leaf variables", y.requires_grad_, False)
    show(y.requires_grad_() is y, y.requires_grad)

    def switch_off():
        y.requires_grad = False

    show.refused(RuntimeError, "you can only change requires_grad flags of leaf variables", switch_off)
    for values in ([1, 2], [True, False]):
        n = torch.tensor(values)
        show.refused(RuntimeError, "can require gradients", n.requires_grad_)
        show.refused(RuntimeError, "can require gradients", torch.tensor, values, requires_grad=True)
    show.refused(RuntimeError, "can require gradients", torch.arange, 3, requires_grad=True)
    show.refused(RuntimeError, "can require gradients", torch.ones, 3, dtype=torch.int64, requires_grad=True)
    x.requires_grad_(False)
    show((x * 2).requires_grad, y.requires_grad)
    y.sum().backward()
    show(x.grad)


@program(
    """
    tensor([1., 2.], requires_grad=True)
    tensor([2., 4.], grad_fn=<MulBackward0>)
    tensor(6., grad_fn=<SumBackward0>)
    tensor([1., 4.], dtype=torch.float64, grad_fn=<PowBackward0>)
    tensor(2., grad_fn=<SelectBackward0>) tensor([[1., 2.]], grad_fn=<UnsqueezeBackward0>) tensor([], grad_fn=<MulBackward0>)
    tensor([1., 2.], requires_grad=True) tensor([1., 2.], requires_grad=True) 3.00
    tensor(True) tensor([1., 2.])
    """
)
def test_printed(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    show(x)
    show(x * 2)
    show((x * 2).sum())
    show(x.double() ** 2)
    show((x * 2)[0], x.unsqueeze(0), x[:0] * 1)
    show(str(x), f"{x}", f"{x.sum().item():.2f}")
    show(x.sum() > 2, x.detach())


@program(
    """
    True True False None
    RuntimeError: Can't detach views in-place
    False
    False
    """
)
def test_detached_in_place(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    show(y.detach_() is y, y.is_leaf, y.requires_grad, y.grad_fn)
    show.refused(RuntimeError, "Can't detach views in-place", x[:1].detach_)
    show(x.detach_().requires_grad)
    show((x * 2).requires_grad)


@program(
    """
    tensor([10.,  2.], requires_grad=True) 0
    tensor([20.,  4.])
    tensor([5., 6., 7.], requires_grad=True) True True
    tensor([1., 1., 1.])
    tensor([4.9000, 5.9000, 6.9000], requires_grad=True)
    tensor([0., 0., 0.], requires_grad=True)
    TypeError: Variable data has to be a tensor, but got float
    """
)
def test_data(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    x.data[0] = 10.0
    show(x, x._version)
    y.backward()
    show(x.grad)
    x.data = torch.tensor([5.0, 6.0, 7.0])
    show(x, x.requires_grad, x.is_leaf)
    x = torch.tensor([5.0, 6.0, 7.0], requires_grad=True)
    x.sum().backward()
    show(x.grad)
    x.data -= 0.1 * x.grad.data
    show(x)
    x.data.zero_()
    show(x)

    def assign(value):
        x.data = value

    show.refused(TypeError, "Variable data has to be a tensor, but got float", assign, 3.0)


@program(
    """
    TypeError: assigned grad expected to be a Tensor or None
    RuntimeError: attempting to assign a gradient
    RuntimeError: attempting to assign a gradient
    RuntimeError: can't assign Variable as its own grad
    True
    tensor([3., 3.]) tensor([3., 3.]) True
    tensor([0., 0.])
    None
    tensor([2.])
    """
)
def test_gradient_assigned(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)

    def assign(value):
        x.grad = value

    show.refused(TypeError, "assigned grad expected to be a Tensor or None", assign, 1.0)
    show.refused(RuntimeError, "attempting to assign a gradient", assign, torch.ones(3))
    show.refused(RuntimeError, "attempting to assign a gradient", assign, torch.ones(2, dtype=torch.float64))
    show.refused(RuntimeError, "can't assign Variable as its own grad", assign, x)
    g = torch.tensor([1.0, 1.0])
    assign(g)
    show(x.grad is g)
    (x * 2).sum().backward()
    show(x.grad, g, x.grad is g)
    x.grad.zero_()
    show(g)
    del x.grad
    show(x.grad)
    n = torch.tensor([1.0])
    n.grad = torch.tensor([2.0])
    show(n.grad)


@program(
    """
    RuntimeError: Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead
    RuntimeError: Can't call numpy() on Tensor that requires grad
    array [1.0, 2.0] float32 array [2.0, 4.0] float32 array [1.0, 2.0] float32
    [1.0, 2.0] 1.0 3.0 2.0 2 True
    RuntimeError: a Tensor with 2 elements cannot be converted to Scalar
    ValueError: only one element tensors can be converted to Python scalars
    RuntimeError: a Tensor with 0 elements cannot be converted to Scalar
    RuntimeError: Boolean value of Tensor with more than one value is ambiguous
    RuntimeError: Boolean value of Tensor with no values is ambiguous
    TypeError: only integer tensors of a single element can be converted to an index
    TypeError: len() of a 0-d tensor
    TypeError: iteration over a 0-d tensor
    2 2 [tensor(1.), tensor(2.)] True [1.0, 2.0]
    (1+0j) 1.23 3
    array [9.0, 7.0] float64 tensor([9., 7.], dtype=torch.float64) True
    array [10.0, 8.0] float64 array [10.0, 8.0] float64
    tensor([10.,  8.], dtype=torch.float64) True
    """
)
def test_to_numbers_and_arrays(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    show.refused(RuntimeError, "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead", x.numpy)
    show.refused(RuntimeError, "Can't call numpy() on Tensor that requires grad", np.asarray, x * 2)
    show(x.detach().numpy(), (x * 2).detach().numpy(), x.numpy(force=True))
    d = x.detach()
    show(x.tolist(), x[0].item(), x.sum().tolist(), float(d[1]), int(d[1]), bool(x[1]))
    show.refused(RuntimeError, "a Tensor with 2 elements cannot be converted to Scalar", x.item)
    show.refused(ValueError, "only one element tensors can be converted to Python scalars", float, x)
    show.refused(RuntimeError, "a Tensor with 0 elements cannot be converted to Scalar", torch.zeros(0).item)
    show.refused(RuntimeError, "Boolean value of Tensor with more than one value is ambiguous", bool, x)
    show.refused(RuntimeError, "Boolean value of Tensor with no values is ambiguous", bool, torch.zeros(0))
    show.refused(TypeError, "only integer tensors of a single element can be converted to an index", range(3).__getitem__, x[0])
    show.refused(TypeError, "len() of a 0-d tensor", len, x[0])
    show.refused(TypeError, "iteration over a 0-d tensor", list, x[0])
    show([1, 2, 3][torch.tensor(1)], len(x), list(x.detach()), 1.0 in x, [v.item() for v in x])
    show(complex(torch.tensor(1.0)), round(torch.tensor(1.234).item(), 2), torch.tensor(3).__index__())
    a = np.array([1.0, 2.0])
    t = torch.from_numpy(a)
    a[0] = 9.0
    t[1] = 7.0
    show(a, t, np.shares_memory(t.numpy(), a))
    b = t.numpy()
    t += 1
    show(b, a)
    show(torch.tensor(a), torch.as_tensor(a).data_ptr() == t.data_ptr())


@program(
    """
    tensor([1., 2.], requires_grad=True) tensor([2., 4.]) True False False
    RuntimeError: Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol
    True
    True True
    tensor([1., 2.], requires_grad=True) None True
    {'w': tensor([1, 2]), 'f': tensor([1., 1.], dtype=torch.float64)}
    """
)
def test_copied_and_pickled(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    c = copy.deepcopy(x)
    show(c, c.grad, c.is_leaf, c.data_ptr() == x.data_ptr(), c.grad is x.grad)
    y = x * 2
    show.refused(
        RuntimeError,
        "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol",
        copy.deepcopy,
        y,
    )
    pair = copy.deepcopy([x, x])
    show(pair[0] is pair[1])
    s = copy.copy(x)
    show(s.data_ptr() == x.data_ptr(), s.requires_grad)
    p = pickle.loads(pickle.dumps(x))
    show(p, p.grad, p.is_leaf)
    show(pickle.loads(pickle.dumps({"w": torch.tensor([1, 2]), "f": torch.ones(2, dtype=torch.float64)})))


@program(
    """
    tensor([True, True]) tensor([False,  True]) tensor(False) False True
    2 1 True
    True True True True
    1 1 torch.Size([2]) torch.Size([2]) 2 2 2 float32 cpu
    True 4 (1) True torch.FloatTensor 0
    """
)
def test_compared_hashed_and_collected(torch, show):
    x = torch.tensor([1.0, 2.0])
    show(x == x, x != 1.0, (x == torch.tensor([1.0, 3.0])).all(), x is None, x in [x])
    show(len({x, x, x.clone()}), {x: 1}[x], hash(x) == hash(x))
    show(torch.equal(x, x.clone()), torch.allclose(x, x + 1e-9), torch.is_tensor(x), isinstance(x, torch.Tensor))
    show(x.dim(), x.ndim, x.shape, x.size(), x.size(0), x.numel(), x.nelement(), x.dtype, str(x.device))
    show(x.is_floating_point(), x.element_size(), x.stride(), x.is_contiguous(), x.type(), x.storage_offset())
