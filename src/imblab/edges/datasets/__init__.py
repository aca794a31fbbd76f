"""Tables into records: bundled ones, files, and the collections of other packages."""

from imblab.edges.datasets.build import dataset
from imblab.edges.datasets.inspect import dataset_facts, dataset_warnings
from imblab.edges.datasets.naming import name_and_parent
from imblab.edges.datasets.read import keel_names, listing, load_dataset, zenodo_names
from imblab.edges.datasets.short_form import expand_short_form

__all__ = [
    "dataset",
    "dataset_facts",
    "dataset_warnings",
    "expand_short_form",
    "keel_names",
    "listing",
    "load_dataset",
    "name_and_parent",
    "zenodo_names",
]
