"""Reading and writing of files that may come from other people, and locks between processes.

See :mod:`imblab.edges.files.contents` for what is promised of a study folder.
"""

from imblab.edges.files.contents import (
    RESCORED_FOLDER,
    TEMPORARY_AFFIXES,
    exists,
    file_names,
    free_path,
    make_folder,
    open_file,
    open_for_append,
    open_replacement,
    read_bytes,
    refuse_special_files,
    remove,
    remove_stale_files,
    remove_tree,
    replace,
    replace_all,
    replace_tree,
    replacement_path,
)
from imblab.edges.files.locks import LockHeld, create_locked, link_to_unnamed_file, lock, open_unlocked, scratch_folder

__all__ = [
    "RESCORED_FOLDER",
    "TEMPORARY_AFFIXES",
    "LockHeld",
    "create_locked",
    "exists",
    "file_names",
    "free_path",
    "link_to_unnamed_file",
    "lock",
    "make_folder",
    "open_file",
    "open_for_append",
    "open_replacement",
    "open_unlocked",
    "read_bytes",
    "refuse_special_files",
    "remove",
    "remove_stale_files",
    "remove_tree",
    "replace",
    "replace_all",
    "replace_tree",
    "replacement_path",
    "scratch_folder",
]
