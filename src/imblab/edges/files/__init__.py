"""Files below a folder that may come from somebody else: read, replaced, appended to, removed and locked.

Inside such a folder no link is followed, at any depth: every step of a path is opened by its own name below the step
before, so that a link put there between a check and its use changes nothing. A file is replaced in one step, through a
temporary file whose name cannot be foreseen.

The path of the folder itself may run through links: the user chose it. Its last part may not, nor may the parts from
the outer study on where the folder holds a rescoring.
"""

from imblab.edges.files.contents import (
    appended,
    check,
    exists,
    make,
    names,
    opened,
    read,
    remove,
    remove_tree,
    replace,
    replace_all,
    replace_tree,
    replacing,
    sweep,
)
from imblab.edges.files.locks import Held, fresh, locked, nameless, scratch, taken
from imblab.edges.files.paths import RESCORED, TEMPORARY

__all__ = [
    "RESCORED",
    "TEMPORARY",
    "Held",
    "appended",
    "check",
    "exists",
    "fresh",
    "locked",
    "make",
    "nameless",
    "names",
    "opened",
    "read",
    "remove",
    "remove_tree",
    "replace",
    "replace_all",
    "replace_tree",
    "replacing",
    "scratch",
    "sweep",
    "taken",
]
