"""The arguments of ``autograd.grad`` that test_backward.py leaves out."""

import pytest

from tests.eager.transcripts import program
from tracegrad.eager import autograd, tensor


@program(
    """
    tensor([2., 2.]) True
    (tensor([2., 2.]), None)
    (tensor([2., 2.]), tensor([0., 0., 0.]))
    (tensor([0., 0., 0.]), tensor([2., 2.]))
    ValueError: Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.
    RuntimeError: The differentiated Tensor at index 1 appears to not have been used in the graph.
    RuntimeError: One of the differentiated Tensors does not require grad
    (tensor([5., 5.])) (tensor([5., 5.]), tensor([1., 1., 1.]))
    """
)
def test_arguments(torch, show):
    x = torch.ones(2, requires_grad=True)
    u = torch.ones(3, requires_grad=True)
    grad = torch.autograd.grad
    (g,) = grad((x * x).sum(), x, create_graph=True, retain_graph=True, only_inputs=True, is_grads_batched=False)
    show(g.detach(), g.requires_grad)
    show(grad((x * x).sum(), [x, u], allow_unused=True))
    show(grad((x * x).sum(), [x, u], materialize_grads=True))
    show(grad((x * x).sum(), [u, x], allow_unused=True, materialize_grads=True))
    given = "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
    show.refused(ValueError, given, grad, x.sum(), [x, u], allow_unused=False, materialize_grads=True)
    unused = "The differentiated Tensor at index 1 appears to not have been used in the graph."
    show.refused(RuntimeError, unused, grad, x.sum(), [x, u])
    show.refused(RuntimeError, "One of the differentiated Tensors does not require grad", grad, x.sum(), [torch.ones(1)])
    show(grad(x.sum(), (x,), torch.tensor(5.0)), grad([x.sum(), u.sum()], [x, u], [torch.tensor(5.0), None]))


def test_batches_of_cotangents_are_refused():
    x = tensor([1.0], requires_grad=True)
    with pytest.raises(NotImplementedError, match="is_grads_batched=True: call it once per cotangent"):
        autograd.grad(x * 2, x, tensor([[1.0], [2.0]]), is_grads_batched=True)
