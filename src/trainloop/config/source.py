"""The text of a config file, or one clear fault: not there, not a file, too large, not UTF-8."""

from __future__ import annotations

import stat
from pathlib import Path

from trainloop.config.suggest import nearest
from trainloop.errors import ConfigError

MAX_BYTES = 1 << 20


def read_text(path: Path) -> str:
    """Return the text of a config file, without a byte order mark.

    Raises:
        ConfigError: the file is missing, a folder, unreadable, larger than 1 MiB, or not UTF-8.
    """
    try:
        information = path.stat()
        if stat.S_ISDIR(information.st_mode):
            raise ConfigError("this is a folder, not a config file", where=str(path), help=_inside(path))
        if not stat.S_ISREG(information.st_mode):
            raise ConfigError("this is not a regular file", where=str(path), expected="a YAML file")
        if information.st_size > MAX_BYTES:
            raise ConfigError(
                "the file is too large for a config",
                where=str(path),
                found=f"{information.st_size:,} bytes",
                expected=f"at most {MAX_BYTES:,} bytes",
            )
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return _decode(path, content)


def _unreadable(path: Path, error: OSError | ValueError) -> ConfigError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ConfigError("there is no such config file", where=str(path), help=_elsewhere(path))
    if isinstance(error, PermissionError):
        return ConfigError(
            "no permission to read the config file", where=str(path), help=f"change it, for instance: chmod u+r {path}"
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ConfigError("the config file cannot be read", where=repr(str(path)), found=reason)


def _decode(path: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError("the file is not UTF-8", where=str(path), found="UTF-16 text", help="save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
        raise ConfigError(
            "the file is not UTF-8",
            where=f"{path}:{line}:{column}",
            found=f"the byte 0x{content[error.start]:02x}",
            help="save it as UTF-8 (is it a YAML file at all?)",
        ) from error


def _yaml_files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix in (".yaml", ".yml") and file.is_file())
    except OSError:
        return []


def _inside(folder: Path) -> str:
    files = _yaml_files(folder)
    return (
        f"name one of its files: {_listed(files)}"
        if files
        else f"it holds no YAML file; {_start(folder / 'config.yaml')}"
    )


def _elsewhere(path: Path) -> str:
    files = _yaml_files(path.parent)
    files += [file for file in _yaml_files(Path("configs")) if path.parent != Path("configs")]
    stems = {file.stem: file for file in reversed(files)}
    if (stem := nearest(path.stem, stems)) is not None:
        return f"did you mean {stems[stem]}?"
    return f"there are: {_listed(files)}" if files else _start(path)


def _start(path: Path) -> str:
    return f"`trainloop config init {path}` writes a commented config to start from"


def _listed(files: list[Path], limit: int = 6) -> str:
    more = f" and {len(files) - limit} more" if len(files) > limit else ""
    return ", ".join(map(str, files[:limit])) + more
