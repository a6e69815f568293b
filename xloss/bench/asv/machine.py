"""Introduce this machine to asv, which asks a person otherwise.

``asv machine --yes`` does so under the host's name; with a name of one's own it notes nothing else about the machine.
"""

from __future__ import annotations


def introduce(name: str = "") -> str:
    """Write what asv finds out about this machine to its file of machines, unless it is there; return its name."""
    from asv.machine import Machine, MachineCollection
    from asv.util import UserError

    found = Machine.get_defaults()
    name = name or found["machine"]
    try:
        MachineCollection.load(name)
    except UserError:  # not known yet
        MachineCollection.save(name, {**found, "machine": name})
    return name
