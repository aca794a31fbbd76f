"""Tables into data sets: bundled ones, files, queries, and the collections of other packages."""

from imblab.edges.datasets.build import dataset
from imblab.edges.datasets.inspection import dataset_facts, dataset_warnings
from imblab.edges.datasets.short_form import expand_short_form
from imblab.edges.datasets.sources import keel_names, listing, name_and_parent, read_dataset, zenodo_names

__all__ = [
    "dataset",
    "dataset_facts",
    "dataset_warnings",
    "expand_short_form",
    "keel_names",
    "listing",
    "name_and_parent",
    "read_dataset",
    "zenodo_names",
]
