"""What belongs to a module: parameters, buffers and submodules, as they are assigned, named and walked through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tracegrad.eager.nn.parameter import Buffer, Parameter
from tracegrad.eager.tensor import Tensor

__all__ = ["Registry", "type_name"]

Member = TypeVar("Member")


_TENSORS = {
    "float32": "Float",
    "float64": "Double",
    "int64": "Long",
    "int32": "Int",
    "int16": "Short",
    "int8": "Char",
    "uint8": "Byte",
    "bool": "Bool",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}


def type_name(value: Any) -> str:
    """The name of a value's type as errors give it.

    >>> type_name(3), type_name(Tensor([1.0]))
    ('int', 'torch.FloatTensor')
    """
    if isinstance(value, Tensor):
        return f"torch.{_TENSORS.get(value.dtype.name, value.dtype.name.title())}Tensor"
    kind = type(value)
    return str(kind.__qualname__) if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{what} name should be a string. Got {type_name(name)}")
    if "." in name:
        raise KeyError(f'{what} name can\'t contain ".", got: {name}')
    if not name:
        raise KeyError(f'{what} name can\'t be empty string ""')


class Registry:
    """The members of a module; Module is its only kind."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def _start(self) -> None:
        # past __setattr__, which asks these dictionaries
        for name in ("_parameters", "_buffers", "_modules"):
            object.__setattr__(self, name, {})
        object.__setattr__(self, "_non_persistent_buffers_set", set())

    # -- registering --------------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name, as assigning it does; None keeps the name free.

        Raises KeyError for a name that is taken or malformed, TypeError for a value that is no Parameter, ValueError
        for a tensor that was computed.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_free("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type_name(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To "
                f"express '{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is kept and moved with the module but is not trained.

        Parameters
        ----------
        name: an attribute that is free.
        tensor: the buffer, or None to keep the name free.
        persistent: whether it is part of ``state_dict``.

        Raises KeyError for a name that is taken or malformed, TypeError for a value that is no Tensor.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_free("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Any) -> None:
        """Add a submodule under a name, as assigning it does; None keeps the name free.

        Raises KeyError for a name that is taken or malformed, TypeError for a value that is no Module.
        """
        if module is not None and not isinstance(module, Registry):
            raise TypeError(f"{type_name(module)} is not a Module subclass")
        self._check_free("module", name, self._modules)
        self._modules[name] = module

    def register_module(self, name: str, module: Any) -> None:
        """The same as ``add_module``."""
        self.add_module(name, module)

    def _check_free(self, what: str, name: Any, own: dict[str, Any]) -> None:
        _check_name(what, name)
        if hasattr(self, name) and name not in own:
            raise KeyError(f"attribute '{name}' already exists")

    # -- attributes ---------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        # called only where the ordinary look-up found nothing
        own = self.__dict__
        for members in ("_parameters", "_buffers", "_modules"):
            if members in own and name in own[members]:
                return own[members][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        parameters, modules, buffers = own.get("_parameters"), own.get("_modules"), own.get("_buffers")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, own, buffers, modules)
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
        elif isinstance(value, Registry):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, own, parameters, buffers)
            _check_name("module", name)
            modules[name] = value
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            modules[name] = value
        elif isinstance(value, Buffer) or (buffers is not None and name in buffers):
            self._assign_buffer(name, value, buffers)
        else:
            object.__setattr__(self, name, value)

    def _assign_buffer(self, name: str, value: Any, buffers: dict[str, Any] | None) -> None:
        if buffers is None:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{type_name(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None expected)"
            )
        if isinstance(value, Buffer):
            self._forget(name, self.__dict__, self._parameters, self._modules)
            self.register_buffer(name, value, value.persistent)
        else:
            buffers[name] = value

    def _forget(self, name: str, *places: dict[str, Any] | None) -> None:
        self._non_persistent_buffers_set.discard(name)
        for place in places:
            if place is not None:
                place.pop(name, None)

    def __delattr__(self, name: str) -> None:
        for members in (self._parameters, self._buffers, self._modules):
            if name in members:
                del members[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = [*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers]
        # names such as "0" are no attributes one could write
        return sorted({name for name in names if not name[0].isdigit()})

    # -- walking ------------------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """The direct submodules with their names, each module once."""
        yield from _distinct(self._modules.items())

    def children(self) -> Iterator[Any]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """The module and all below it with their names, a shared one once unless ``remove_duplicate=False``."""
        seen: set[Any] = set() if memo is None else memo
        if self in seen:
            return
        if remove_duplicate:
            seen.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(seen, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Any]:
        """The module and all below it, a shared one once unless ``remove_duplicate=False``."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def _named_members(
        self, members: Callable[[Any], Any], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        found = ((f"{owner}.{name}" if owner else name, x) for owner, module in owners for name, x in members(module))
        yield from _distinct(found) if remove_duplicate else (pair for pair in found if pair[1] is not None)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names.

        Parameters
        ----------
        prefix: stands before every name.
        recurse: whether those of submodules are among them.
        remove_duplicate: whether a shared parameter comes once.
        """
        yield from self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once; with ``recurse=False`` only this module's own."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names; the parameters are those of ``named_parameters``."""
        yield from self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once; with ``recurse=False`` only this module's own."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # -- by dotted name -----------------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Any:
        """The submodule of a dotted name, this module for ``""``; AttributeError says which part is missing."""
        found: Any = self
        for part in target.split(".") if target else ():
            found = _attribute(found, part)
            if not isinstance(found, Registry):
                raise AttributeError(f"`{part}` is not an nn.Module")  # noqa: TRY004 - PyTorch's kind of error
        return found

    def set_submodule(self, target: str, module: Any, strict: bool = False) -> None:
        """Put a module in the place of the submodule of a dotted name.

        Parameters
        ----------
        target: the dotted name; ValueError for ``""``.
        module: the new submodule; ValueError for anything else.
        strict: whether there has to be one already; AttributeError where there is none.
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Registry):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")  # noqa: TRY004 - PyTorch's kind of error
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if (strict or hasattr(parent, name)) and not isinstance(_attribute(parent, name), Registry):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        found = _attribute(self.get_submodule(path), name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")  # noqa: TRY004 - PyTorch's kind of error
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = _attribute(module, name)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        buffer: Tensor = found
        return buffer


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
    return getattr(module, name)


def _distinct(pairs: Any) -> Iterator[tuple[str, Any]]:
    """The pairs whose second half was not there before and is not None."""
    seen: set[Any] = set()
    for name, member in pairs:
        # by identity: tensors compare elementwise
        if member is not None and id(member) not in seen:
            seen.add(id(member))
            yield name, member
