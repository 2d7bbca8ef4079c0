"""The public names of HIPS autograd: those its users import or call, without what its modules import for themselves."""

import importlib
import types

FOREIGN = {  # modules that wrap those of others: names of the wrapped module count, and those listed
    "numpy": ("numpy", "array_from_args concatenate_args make_diagonal row_stack"),
    "numpy.linalg": ("numpy.linalg", ""),
    "numpy.fft": ("numpy.fft", ""),
    "numpy.random": ("numpy.random", ""),
    "scipy.linalg": ("scipy.linalg", ""),
    "scipy.special": ("scipy.special", ""),
}
_DISTRIBUTIONS = "beta chi2 dirichlet gamma multivariate_normal norm poisson t"
_KINDS = "pdf cdf sf logpdf logcdf logsf pmf logpmf entropy rvs"
OWN = {  # modules of its own: all their functions count, or those listed
    "": "",
    "builtins": """dict isinstance list tuple type SequenceBox DictBox container_take container_untake make_sequence
        sequence_extend_right sequence_extend_left ContainerVSpace SequenceVSpace ListVSpace TupleVSpace DictVSpace
        NamedTupleVSpace""",
    "core": """VSpace vspace defvjp defvjp_argnum defvjp_argnums defjvp defjvp_argnum defjvp_argnums def_linear make_vjp
        make_jvp VJPNode JVPNode SparseObject""",
    "differential_operators": """checkpoint deriv elementwise_grad grad grad_and_aux grad_named hessian hessian_tensor_product
        hessian_vector_product holomorphic_grad jacobian make_ggnvp make_hvp make_jvp make_jvp_reversemode make_vjp
        multigrad_dict tensor_jacobian_product value_and_grad vector_jacobian_product""",
    "extend": "",
    "misc": "",
    "misc.fixed_points": "fixed_point",
    "misc.flatten": "flatten flatten_func",
    "misc.optimizers": "",
    "misc.tracers": "const_graph full_graph",
    "scipy.integrate": "odeint",
    "scipy.signal": "convolve",
    **{f"scipy.stats.{name}": _KINDS for name in _DISTRIBUTIONS.split()},
    "test_util": "",
    "tracer": "Box getval isbox primitive notrace_primitive register_notrace trace Node",
}
HELPERS = frozenset({"get_name", "product", "wraps", "np"})


def public(name):
    """The public names of a module of the installed autograd."""
    module = importlib.import_module(f"autograd.{name}" if name else "autograd")
    names = {n for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)} - HELPERS
    if name in FOREIGN:
        wrapped, more = FOREIGN[name]
        return sorted(names & {*dir(importlib.import_module(wrapped)), *more.split()})
    return sorted(names & set(OWN[name].split())) if OWN[name] else sorted(n for n in names if callable(getattr(module, n)))


def lines():
    """All of them, with their modules."""
    return [f"{module}.{n}".lstrip(".") for module in sorted({*FOREIGN, *OWN}) for n in public(module)]
