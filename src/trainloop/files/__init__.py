"""Every file that trainloop writes goes through here, and so does the lock of a run folder.

A file appears under its final name whole or not at all (``whole.py``); one that grows, grows by whole lines (``append.py``).
A link or a pipe in place of a file is refused (``kinds.py``). What the disk refuses becomes a ResourceError that names the
path, the bytes needed and the bytes free (``refusal.py``).
All of it is made of the few calls in ``operations.py``.
"""

from trainloop.files import operations, refusal
from trainloop.files.append import AppendFile
from trainloop.files.folders import LOCK_NAME, is_held, make_folder, make_new_folder, one_writer, remove_if_unused
from trainloop.files.kinds import LARGEST_TENSOR_HEADER, require_plain_file, require_plain_folder
from trainloop.files.refusal import free_bytes, require_space, writing
from trainloop.files.whole import remove_whole, staged_folder, sync_folder, write_bytes, write_new, write_text

__all__ = [
    "LARGEST_TENSOR_HEADER",
    "LOCK_NAME",
    "AppendFile",
    "free_bytes",
    "is_held",
    "make_folder",
    "make_new_folder",
    "one_writer",
    "operations",
    "refusal",
    "remove_if_unused",
    "remove_whole",
    "require_plain_file",
    "require_plain_folder",
    "require_space",
    "staged_folder",
    "sync_folder",
    "write_bytes",
    "write_new",
    "write_text",
    "writing",
]
