"""Tables into records: bundled ones, files, and the collections of other packages."""

from imblab.edges.datasets.build import dataset
from imblab.edges.datasets.inspect import describe, warnings
from imblab.edges.datasets.naming import called
from imblab.edges.datasets.read import keel_names, listing, load, zenodo_names
from imblab.edges.datasets.short_form import expand

__all__ = ["called", "dataset", "describe", "expand", "keel_names", "listing", "load", "warnings", "zenodo_names"]
