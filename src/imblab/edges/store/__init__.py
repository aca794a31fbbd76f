"""The prediction store: what a fit answered, by the address of everything that decides the answer."""

from imblab.edges.store.prediction_store import DEFAULT, MOST_BYTES, Store

__all__ = ["DEFAULT", "MOST_BYTES", "Store"]
