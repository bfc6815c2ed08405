"""Every file that trainloop writes goes through here, and so does the lock of a run folder.

A file appears under its final name whole or not at all (``whole.py``); one that grows, grows by whole lines (``append.py``).
What the disk refuses becomes a ResourceError that names the path, the bytes needed and the bytes free (``refusal.py``).
All of it is made of the few calls in ``operations.py``.
"""

from trainloop.files import operations, refusal
from trainloop.files.append import AppendFile
from trainloop.files.folders import (
    LOCK_NAME,
    OWNER_NAME,
    is_held,
    make_folder,
    make_new_folder,
    one_writer,
    owner,
    remove_if_unused,
)
from trainloop.files.kinds import LARGEST_TENSOR_HEADER, require_plain_file, require_plain_folder
from trainloop.files.plain import disk_use, open_plain, plain_size, read_plain
from trainloop.files.refusal import free_bytes, require_space, writing
from trainloop.files.whole import (
    remove_flat_folder,
    remove_folder,
    remove_whole,
    require_writable,
    staged_folder,
    sync_folder,
    write_bytes,
    write_new,
    write_text,
)

__all__ = [
    "LARGEST_TENSOR_HEADER",
    "LOCK_NAME",
    "OWNER_NAME",
    "AppendFile",
    "disk_use",
    "free_bytes",
    "is_held",
    "make_folder",
    "make_new_folder",
    "one_writer",
    "open_plain",
    "operations",
    "owner",
    "plain_size",
    "read_plain",
    "refusal",
    "remove_flat_folder",
    "remove_folder",
    "remove_if_unused",
    "remove_whole",
    "require_plain_file",
    "require_plain_folder",
    "require_space",
    "require_writable",
    "staged_folder",
    "sync_folder",
    "write_bytes",
    "write_new",
    "write_text",
    "writing",
]
