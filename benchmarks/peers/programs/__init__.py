"""The programs, each in the form that users of each library would write; nothing here imports one of the libraries."""

from benchmarks.peers.programs import fits, maps, networks, physics

PROGRAMS = (*maps.PROGRAMS, *fits.PROGRAMS, *networks.PROGRAMS, *physics.PROGRAMS)
BY_NAME = {program.name: program for program in PROGRAMS}
