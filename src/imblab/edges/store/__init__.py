"""The prediction store: predictions by the address of everything that decides them."""

from imblab.edges.store.prediction_store import DEFAULT_PATH, MAX_STORE_BYTES, SqliteStore

__all__ = ["DEFAULT_PATH", "MAX_STORE_BYTES", "SqliteStore"]
