"""Read the official Python batches, which are pickles, without running anything they name.

A pickle is a program. Three walls keep it from doing harm: its instructions are listed first and any that is not
needed here is refused; the five NumPy names that an array needs are the only ones that can be looked up; and what
they give is not NumPy at all but inert stand-ins, which hold the bytes until their shape and type have been checked.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
from typing import Any

from trainloop.errors import DataError

# What pickles of dicts, lists, numbers, texts and arrays consist of, from protocol 2 (the official files) to 5.
# Left out are those that make objects in other ways (INST, OBJ, NEWOBJ, EXT, PERSID) or refer to outside buffers.
_NAMES = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 STRING "
    "BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS "
    "GLOBAL STACK_GLOBAL REDUCE BUILD PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE "
)
ALLOWED_INSTRUCTIONS = frozenset(_NAMES.split())
# What a damaged or hostile pickle can make the readers raise; all of it means the same.
UNREADABLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
# The memo is a list as long as its largest index: one instruction could ask for gigabytes.
MAX_MEMO = 1_000_000
# An official batch takes about 6 instructions an image.
MAX_INSTRUCTIONS_AN_IMAGE = 50


class _RefusedError(Exception):
    """The pickle does what an official batch never does."""


class _StandIn:
    """An inert object: it can be called by the pickle only where a subclass says so, and never be given a state."""

    __slots__ = ()

    def __call__(self, *_: object) -> Any:
        raise _RefusedError("it calls what is not a function here")

    def __setstate__(self, _: object) -> None:
        raise _RefusedError("it changes what it may only name")


class _Type(_StandIn):
    """In place of ``numpy.ndarray``."""

    __slots__ = ()


class PickledArray:
    """What an array was when it was pickled; never more than bytes until :func:`read_batch` has checked it."""

    __slots__ = ("content", "dtype", "fortran", "shape")

    def __setstate__(self, state: Any) -> None:
        """Take NumPy's state: (version, shape, dtype, fortran order, content)."""
        try:
            _, self.shape, self.dtype, self.fortran, content = state
            self.content = content.encode("latin-1") if isinstance(content, str) else bytes(memoryview(content))
        except (TypeError, ValueError) as error:
            raise _RefusedError("it holds an array of objects") from error


class _PickledDtype:
    """In place of a ``numpy.dtype``: its code."""

    __slots__ = ("code",)

    def __init__(self, code: object) -> None:
        self.code = code

    def __setstate__(self, _: object) -> None:
        """Leave the byte order and the fields alone: only one-byte types are accepted in the end."""


class _Reconstruct(_StandIn):
    """In place of ``numpy.core.multiarray._reconstruct``."""

    __slots__ = ()

    def __call__(self, *_: object) -> PickledArray:
        return PickledArray()


class _MakeDtype(_StandIn):
    """In place of ``numpy.dtype``."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> _PickledDtype:
        return _PickledDtype(arguments[0] if arguments else None)


class _Encode(_StandIn):
    """In place of ``_codecs.encode``, by which Python 3 writes bytes into old protocols."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> bytes:
        if len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] == "latin1":
            return arguments[0].encode("latin-1")
        raise _RefusedError("it encodes text in an unknown way")


STAND_INS: dict[tuple[str, str], _StandIn] = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy", "ndarray"): _Type(),
    ("numpy", "dtype"): _MakeDtype(),
    ("_codecs", "encode"): _Encode(),
}


class _Unpickler(pickle.Unpickler):
    """Looks names up in :data:`STAND_INS` and nowhere else."""

    def find_class(self, module_name: str, global_name: str, /) -> _StandIn:
        """Return the stand-in of an allowed name."""
        try:
            return STAND_INS[module_name, global_name]
        except KeyError:
            raise _RefusedError(f"it names {module_name}.{global_name}") from None


def read_batch(content: bytes, records: int, row_bytes: int, where: str) -> tuple[bytes, list[int]]:
    """Read one official Python batch.

    Args:
        content: the pickle.
        records: number of images that must be in it.
        row_bytes: bytes of an image.
        where: the file, for the message.

    Returns:
        The pixels (records · row_bytes bytes, in the order of the binary layout) and the labels as they stand there.

    Raises:
        DataError: it is not such a batch, or does what a batch never does.
    """
    try:
        with warnings.catch_warnings():
            # Odd escapes in its texts would make Python complain to the user about the reader's code.
            warnings.simplefilter("ignore")
            _check_instructions(content, 1_000 + MAX_INSTRUCTIONS_AN_IMAGE * records)
            batch = _Unpickler(io.BytesIO(content), encoding="latin-1").load()
        named = {_text(key): value for key, value in batch.items()}
        return _pixels(named["data"], (records, row_bytes)), list(named["labels"])
    except _RefusedError as error:
        raise _not_a_batch(where, f"a pickle that is not trusted: {error}") from error
    except UNREADABLE as error:
        raise _not_a_batch(where, f"{type(error).__name__}: {error}"[:200]) from error


def _check_instructions(content: bytes, limit: int) -> None:
    for count, (instruction, argument, _) in enumerate(pickletools.genops(content)):
        if count >= limit:
            raise _RefusedError(f"it has more than {limit:,} instructions")
        if instruction.name not in ALLOWED_INSTRUCTIONS:
            raise _RefusedError(f"it uses the instruction {instruction.name}")
        if "PUT" in instruction.name and not 0 <= int(argument or 0) < MAX_MEMO:
            raise _RefusedError("its memo is too large")


def _text(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def _pixels(array: object, shape: tuple[int, int]) -> bytes:
    if not isinstance(array, PickledArray):
        raise _RefusedError("its data is not an array")
    code = getattr(array.dtype, "code", None)
    if code not in ("u1", "B", "uint8") or array.fortran or tuple(array.shape) != shape:
        raise _RefusedError(f"its data has shape {array.shape} and type {code}, not {shape} and u1")
    if len(array.content) != shape[0] * shape[1]:
        raise _RefusedError(f"its data has {len(array.content):,} bytes")
    return array.content


def _not_a_batch(where: str, found: str) -> DataError:
    return DataError(
        "not an official Python batch of CIFAR-10",
        where=where,
        found=found,
        expected="a dict with the pixels as `data` and the classes as `labels`",
        help="use the binary version of the archive, which holds no pickles",
    )
