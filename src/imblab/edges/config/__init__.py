"""From words to a question: compose YAML with Hydra, then build our records with our own reader and messages."""

from imblab.edges.config.changes import Change, change
from imblab.edges.config.compose import Request, compose, load, options
from imblab.edges.config.read import read, to_mapping

__all__ = ["Change", "Request", "change", "compose", "load", "options", "read", "to_mapping"]
