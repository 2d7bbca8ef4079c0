"""Hooks of tensors and nodes: when they run, in which order, and what they change."""

from tests.eager.transcripts import program


@program(
    """
    h tensor([1., 1.])
    h after tensor([10., 10.])
    x tensor([30., 30.])
    tensor([31., 31.])
    x tensor([3., 3.])
    tensor([35., 35.])
    x tensor([2., 2.])
    (tensor([3., 3.]))
    """
)
def test_a_hook_sees_the_gradient_and_replaces_it(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    seen = h.register_hook(lambda g: show("h", g))
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: show("h after", g))
    x.register_hook(lambda g: show("x", g))
    x.register_hook(lambda g: g + 1)
    h.sum().backward()
    show(x.grad)
    seen.remove()
    seen.remove()
    (x * 3 * 1).sum().backward()
    show(x.grad)
    show(torch.autograd.grad((x * 2).sum(), x))


@program(
    """
    h tensor(5.)
    x tensor(21.)
    tensor(21.)
    """
)
def test_a_hook_runs_once_with_the_whole_gradient(torch, show):
    x = torch.tensor(2.0, requires_grad=True)
    h = x * x
    h.register_hook(lambda g: show("h", g))
    x.register_hook(lambda g: show("x", g))
    (h * 2 + h * 3 + x).backward()
    show(x.grad)


@program(
    """
    tensor b torch.Size([])
    before SumBackward0 1
    after SumBackward0 1 1
    tensor a torch.Size([2])
    before ExpBackward0 1
    after ExpBackward0 1 1
    tensor x torch.Size([2])
    accumulated True torch.Size([2])
    """
)
def test_order_along_the_graph(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    a = x.exp()
    b = a.sum()
    for node in (a.grad_fn, b.grad_fn):
        node.register_hook(lambda gi, go, node=node: show("after", node.name(), len(gi), len(go)))
        node.register_prehook(lambda gs, node=node: show("before", node.name(), len(gs)))
    for name, t in (("x", x), ("a", a), ("b", b)):
        t.register_hook(lambda g, name=name: show("tensor", name, g.shape))
    x.register_post_accumulate_grad_hook(lambda t: show("accumulated", t is x, t.grad.shape))
    b.backward()


@program(
    """
    tensor([10., 10.]) tensor([3000., 3000.])
    (tensor([10., 10.])) (tensor([3000., 3000.]))
    """
)
def test_kept_gradients_see_hooks_of_tensors_but_not_those_of_nodes(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    h.grad_fn.register_prehook(lambda gs: (gs[0] * 100,))
    h.retain_grad()
    h.register_hook(lambda g: g * 10)
    h.sum().backward()
    show(h.grad, x.grad)
    h = x * 3
    h.grad_fn.register_prehook(lambda gs: (gs[0] * 100,))
    h.register_hook(lambda g: g * 10)
    show(torch.autograd.grad(h.sum(), h, retain_graph=True), torch.autograd.grad(h.sum(), x))


@program(
    """
    (tensor([3., 4.]), tensor([1., 2.])) (tensor([1., 1.]))
    (tensor([6., 8.]), None)
    tensor([6., 8.]) None
    (tensor([1., 1.]))
    (tensor([1., 1.]), None) (tensor([1., 1.]))
    (tensor([2., 2.]), None) (tensor([1., 1.]))
    (tensor([2., 4.])) (tensor([1., 1.]))
    (tensor([1.3863, 2.7726])) (tensor([1., 1.]))
    (tensor([1., 4.]), tensor([0.0000, 2.7726])) (tensor([1., 1.]))
    (tensor([1., 0.])) (tensor([1., 1.]))
    (tensor([0., 1.]), None) (tensor([1., 1.]))
    """
)
def test_hooks_of_nodes(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    y = x * w
    y.grad_fn.register_hook(lambda gi, go: show(gi, go))
    y.sum().backward()
    y = x * w
    y.grad_fn.register_hook(lambda gi, go: (gi[0] * 2, None))
    y.grad_fn.register_hook(lambda gi, go: show(gi))
    x.grad = w.grad = None
    y.sum().backward()
    show(x.grad, w.grad)
    y = x * w
    first = y.grad_fn.register_prehook(lambda gs: (gs[0] * 5,))
    y.grad_fn.register_prehook(lambda gs: show(gs))
    first.remove()
    y.sum().backward()
    y = x * 2 + torch.tensor([1.0, 1.0])
    y.grad_fn.register_hook(lambda gi, go: show(gi, go))
    y.grad_fn.next_functions[0][0].register_hook(lambda gi, go: show(gi, go))
    y.sum().backward()
    for y in (x**2, 2**x, x**x, x.clamp(0, 1), torch.where(x > 1, x, 0.0)):
        y.grad_fn.register_hook(lambda gi, go: show(gi, go))
        y.sum().backward()
    with x.sum().grad_fn.register_hook(lambda gi, go: show("never")):
        pass


@program(
    """
    (tensor(1.), tensor(200.), None)
    (tensor([  1., 200.,   0.])) (tensor(1.), tensor(200.), None)
    tensor([  1., 200.,   0.])
    tensor([10.]) tensor([2.]) tensor([  2., 210.,   2.])
    tensor([2., 1., 0.])
    tensor([1., 2., 3.])
    """
)
def test_hooks_of_several_results(torch, show):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    a, b, c = x.unbind()
    a.grad_fn.register_prehook(lambda gs: show(gs))
    a.grad_fn.register_hook(lambda gi, go: show(gi, go))
    b.register_hook(lambda g: g * 100)
    (a + 2 * b).backward()
    show(x.grad)
    a, b, c = x.split(1)
    b.register_hook(lambda g: g * 10)
    b.retain_grad()
    c.retain_grad()
    (a + b + c * 2).sum().backward()
    show(b.grad, c.grad, x.grad)
    values, places = x.sort(descending=True)
    values.register_hook(lambda g: show(g))
    values.grad_fn.register_prehook(lambda gs: (gs[0] + 1, *gs[1:]))
    x.grad = None
    (values * places).sum().backward()
    show(x.grad)


@program(
    """
    tensor tensor([3., 3.])
    accumulated tensor([6., 6.])
    after () (tensor([6., 6.]))
    tensor([6., 6.])
    tensor tensor([3., 3.])
    (tensor([3., 3.]))
    """
)
def test_hooks_at_the_end_of_a_path(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    end = (x * 1).grad_fn.next_functions[0][0]
    x.register_post_accumulate_grad_hook(lambda t: show("accumulated", t.grad))
    end.register_hook(lambda gi, go: show("after", gi, go))
    end.register_prehook(lambda gs: (gs[0] * 2,))
    x.register_hook(lambda g: show("tensor", g))
    (x * 3).sum().backward()
    show(x.grad)
    show(torch.autograd.grad((x * 3).sum(), x))


@program(
    """
    tensor([3., 3.])
    tensor([6., 6.])
    x
    x
    tensor([0.6400, 0.7200], requires_grad=True) None
    (tensor([0.6400, 0.7200]), tensor([1., 2.]))
    x
    RuntimeError: post accumulate grad hooks cannot be registered on non-leaf tensors
    """
)
def test_hooks_after_accumulation(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    handle = x.register_post_accumulate_grad_hook(lambda t: show(t.grad))
    (x * 3).sum().backward()
    (x * 3).sum().backward()
    handle.remove()
    (x * 3).sum().backward()

    def step(t):
        with torch.no_grad():
            t -= 0.1 * t.grad
        t.grad = None

    w.register_post_accumulate_grad_hook(step)
    x.register_post_accumulate_grad_hook(lambda t: show("x"))
    for _ in range(2):
        (w * w * x).sum().backward()
    show(w, w.grad)
    show(torch.autograd.grad((x * w).sum(), [x, w]))
    (x * 2).sum().backward(inputs=[x])
    (x * 2 + w).sum().backward(inputs=[w])
    h = x * 2
    refused = "post accumulate grad hooks cannot be registered on non-leaf tensors"
    show.refused(RuntimeError, refused, h.register_post_accumulate_grad_hook, show)


@program(
    """
    tensor([2., 2.])
    tensor([3., 3.]) tensor([8., 8.])
    """
)
def test_chosen_inputs_get_their_gradient_once(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward(inputs=[x, x])
    show(x.grad)
    h = x * 2
    h.retain_grad()
    (h * 3).sum().backward(inputs=[h, h, x])
    show(h.grad, x.grad)


@program(
    """
    after the write tensor([3., 3., 3.])
    before the write tensor([15., 15., 15.])
    tensor([3., 3., 3.])
    tensor([12.,  8., 12.]) None
    tensor([2.])
    """
)
def test_hooks_and_writes(torch, show):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    h = x * 2
    h.register_hook(lambda g: show("before the write", g))
    h.retain_grad()
    h *= 5
    h.register_hook(lambda g: show("after the write", g))
    (h * 3).sum().backward()
    show(h.grad)
    base = x * 2
    base.retain_grad()
    part = base[:1]
    part.retain_grad()
    part *= 3
    (base * base).sum().backward()
    show(base.grad, part.grad)
    base = x * 2
    part = base[:1]
    part.retain_grad()
    base *= 3
    (base.sum() + 2 * part.sum()).backward()
    show(part.grad)


@program(
    """
    tensor(36.) True
    (tensor(176.))
    RuntimeError: cannot register a hook on a tensor that doesn't require gradient
    RuntimeError: cannot register a hook on a tensor that doesn't require gradient
    """
)
def test_hooks_of_a_recorded_backward(torch, show):
    x = torch.tensor(2.0, requires_grad=True)
    h = x * x
    h.register_hook(lambda g: g * h)
    (g,) = torch.autograd.grad(h * x, x, create_graph=True)
    show(g.detach(), g.requires_grad)
    show(torch.autograd.grad(g, x))
    with torch.no_grad():
        n = x * 1
    refused = "cannot register a hook on a tensor that doesn't require gradient"
    show.refused(RuntimeError, refused, n.register_hook, show)
    show.refused(RuntimeError, refused, torch.tensor([1, 2]).register_hook, show)


@program(
    """
    once tensor(1.)
    adds tensor(1.)
    adds tensor(2.)
    added tensor(2.)
    adds tensor(3.)
    added tensor(3.)
    inside tensor(3.)
    adds tensor(4.)
    added tensor(4.)
    adds tensor(5.)
    added tensor(5.)
    [False, tensor(5.)] tensor(5.)
    """
)
def test_hooks_that_change_hooks(torch, show):
    x = torch.tensor(2.0, requires_grad=True)
    handles = []

    def once(g):
        show("once", g)
        handles[0].remove()

    def adds(g):
        show("adds", g)
        if len(handles) < 3:
            handles.append(x.register_hook(lambda g: show("added", g)))

    handles += [x.register_hook(once), x.register_hook(adds)]
    (x * 1).backward()
    (x * 2).backward()
    with x.register_hook(lambda g: show("inside", g)):
        (x * 3).backward()
    (x * 4).backward()
    x.grad.zero_()
    seen = []
    x.register_hook(seen.append)
    h = x * 5
    h.register_hook(lambda g: seen.append(torch.is_grad_enabled()))
    h.backward()
    show(seen, x.grad)


@program(
    """
    TypeError: expected Variable, but hook returned 'float'
    RuntimeError: hook '<lambda>' has changed the size of value
    RuntimeError: hook '<lambda>' has changed the type of value (was torch.FloatTensor got torch.DoubleTensor)
    ZeroDivisionError: division by zero
    RuntimeError: hook '<lambda>' has returned an incorrect number of values (got 1, but expected 2)
    RuntimeError: hook '<lambda>' has returned an incorrect number of values (got 2, but expected 1)
    TypeError: expected tuple, but hook returned 'Tensor'
    TypeError: expected tuple, but hook returned 'Tensor'
    RuntimeError: can't replace a None gradient with a non-None value
    None
    """
)
def test_hooks_refuse_other_values(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)

    def backward(hook, *, of_node=False, before=False):
        h = x * 2
        where = h.grad_fn if of_node else h
        (where.register_prehook if before else where.register_hook)(hook)
        h.sum().backward()

    show.refused(TypeError, "expected Variable, but hook returned 'float'", backward, lambda g: 3.0)
    show.refused(RuntimeError, "hook '<lambda>' has changed the size of value", backward, lambda g: g[:1])
    other = "hook '<lambda>' has changed the type of value (was torch.FloatTensor got torch.DoubleTensor)"
    show.refused(RuntimeError, other, backward, lambda g: g.double())
    show.refused(ZeroDivisionError, "division by zero", backward, lambda g: 1 / 0)
    number = "hook '<lambda>' has returned an incorrect number of values (got {}, but expected {})"
    show.refused(RuntimeError, number.format(1, 2), backward, lambda gi, go: gi[:1], of_node=True)
    show.refused(RuntimeError, number.format(2, 1), backward, lambda gs: gs * 2, of_node=True, before=True)
    alone = "expected tuple, but hook returned 'Tensor'"
    show.refused(TypeError, alone, backward, lambda gi, go: gi[0], of_node=True)
    show.refused(TypeError, alone, backward, lambda gs: gs[0], of_node=True, before=True)
    nothing = "can't replace a None gradient with a non-None value"
    show.refused(RuntimeError, nothing, backward, lambda gi, go: gi[:1] * 2, of_node=True)
    backward(lambda gi, go: (None, None), of_node=True)
    backward(lambda gs: (None,), of_node=True, before=True)
    show(x.grad)
