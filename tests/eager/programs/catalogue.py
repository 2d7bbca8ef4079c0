"""The programs by name."""

import inspect

from tests.eager.programs import generative, practice, science, sequences, vision

PROGRAMS = {
    name: program
    for module in (vision, sequences, generative, science, practice)
    for name, program in vars(module).items()
    if inspect.isfunction(program) and program.__module__ == module.__name__
}
