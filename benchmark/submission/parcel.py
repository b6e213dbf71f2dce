"""One zip of rows, their predictions and a manifest: always written the same way, and read as if an enemy had made it.

Nothing is read before its size is known to be bounded, and nothing is written but under names of `MEMBER`.
"""

import re
import stat
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import InputError

KEY = "[0-9a-f]{20}"  # of a cell
MANIFEST = "manifest.json"
MEMBER = re.compile(
    rf"manifest\.json|cells/{KEY}\.json|failures/{KEY}\.json|predictions/{KEY}\.[0-9a-f]{{8}}\.npz", re.ASCII
)
MAX_ARCHIVE_BYTES = 2**29
MAX_TOTAL_BYTES = 2**30  # unpacked
MAX_MEMBERS = 20_001  # ten thousand rows with predictions, and the manifest
MAX_MEMBER_BYTES = {"manifest.json": 2**23, "cells": 2**23, "failures": 2**17, "predictions": 2**26}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
)
_DIRECTORY_BYTES = 512  # of a member in the directory at the end of a zip, at most
_END = struct.Struct("<4s4H2LH")  # the record that ends a zip
_LOCATOR_BYTES = 20  # of what stands before it in a zip with the extensions for huge files


def shown(text: object, limit: int = 200) -> str:
    """Foreign text as it may be printed: escaped where it could move a cursor, and cut."""
    plain = str(text)[: 4 * limit]
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in plain)
    return safe if len(safe) <= limit else f"{safe[:limit]}…"


def write(path: Path, members: Mapping[str, bytes | Path]) -> None:
    """Write an archive, whole or not at all; the same members give the same bytes.

    Args:
        path: of the zip.
        members: contents, or files that hold them, by name; the manifest comes first, the others by name.

    Raises:
        InputError: if it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with zipfile.ZipFile(draft, "x") as archive:
            for name in sorted(members, key=lambda name: (name != MANIFEST, name)):
                member = zipfile.ZipInfo(name)  # of 1980, the earliest a zip can say
                member.compress_type = zipfile.ZIP_STORED if name.endswith(".npz") else zipfile.ZIP_DEFLATED
                member.create_system, member.external_attr = 3, (stat.S_IFREG | 0o644) << 16
                content = members[name]
                archive.writestr(member, content.read_bytes() if isinstance(content, Path) else content)
        draft.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another file with --out") from None
    finally:
        draft.unlink(missing_ok=True)


def unpack(path: Path, folder: Path) -> list[str]:
    """Write the members of an archive below a folder, if nothing is wrong with the list of them.

    Args:
        path: of the zip.
        folder: empty; the archive's names are safe below it.

    Returns:
        what is wrong, a line for each; nothing is to be trusted unless there are none.

    Raises:
        InputError: if the file is no zip archive, or too large.
    """
    with opened(path, MAX_ARCHIVE_BYTES, MAX_MEMBERS) as archive:
        members = archive.infolist()
        problems = list(strange(members))
        for member in members if not problems else ():
            target = folder / member.filename
            target.parent.mkdir(exist_ok=True)
            try:
                target.write_bytes(content(archive, member))
            except UNREADABLE as error:
                problems.append(f"{member.filename}: cannot be unpacked ({shown(error)})")
    return problems


@contextmanager
def opened(path: Path, max_bytes: int, max_members: int) -> Iterator[zipfile.ZipFile]:
    """A zip whose list of members is of bounded length.

    Raises:
        InputError: if it is no zip or a larger one, or has a comment or the extensions for huge files.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or size < _END.size:
            raise InputError(f"{path}: not a zip archive; expected one that `c2f submit` made")
        if size > max_bytes:
            raise InputError(f"{path}: {size:,} bytes, at most {max_bytes:,} are read; submit fewer rows at a time")
        with path.open("rb") as file:
            file.seek(max(0, size - _LOCATOR_BYTES - _END.size))
            _check_end(path, file.read(), max_members)
        archive = zipfile.ZipFile(path)
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a zip archive ({shown(error)}); make it again with `c2f submit`") from None
    with archive:
        yield archive


def content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member of declared size, and not a byte more; an error of UNREADABLE if it is not what the archive says."""
    with archive.open(member) as file:
        found = file.read(member.file_size)
        if len(found) != member.file_size or file.read(1):
            raise ValueError(f"{len(found):,} bytes, declared as {member.file_size:,}")
    return found


def _check_end(path: Path, tail: bytes, max_members: int) -> None:
    """The directory of a zip is read as a whole when it is opened: its size must be known to be small before."""
    locator, end = tail[: -_END.size], tail[-_END.size :]
    signature, *_, members, directory_bytes, _, comment = _END.unpack(end)
    if signature != b"PK\5\6" or comment:
        raise InputError(f"{path}: not a zip archive, or cut off, or with a comment; make it with `c2f submit`")
    if locator.startswith(b"PK\6\7"):
        raise InputError(f"{path}: a zip with extensions for huge files, which are not read; make it with `c2f submit`")
    if members > max_members or directory_bytes > max_members * _DIRECTORY_BYTES:
        raise InputError(f"{path}: {members:,} members or a list of {directory_bytes:,} bytes; at most {max_members:,}")


def strange(members: list[zipfile.ZipInfo]) -> Iterator[str]:
    """What is wrong with the list of members, before any is read."""
    if len(members) > MAX_MEMBERS:
        yield f"{len(members):,} members, at most {MAX_MEMBERS:,} are read; submit fewer rows at a time"
        return
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL_BYTES:
        yield f"{total:,} bytes unpacked, at most {MAX_TOTAL_BYTES:,} are; submit fewer rows at a time"
    seen: set[str] = set()
    for member in members:
        problem = _problem(member)
        if not problem and member.orig_filename in seen:
            problem = "is there twice"
        seen.add(member.orig_filename)
        if problem:
            yield f"member {shown(member.orig_filename)!r} {problem}"


def _problem(member: zipfile.ZipInfo) -> str:
    name = member.orig_filename  # `filename` is cut at a NUL, and has its backslashes turned on Windows
    kind = stat.S_IFMT(member.external_attr >> 16)
    if not MEMBER.fullmatch(name) or member.filename != name:
        return "is none of manifest.json, cells/KEY.json, failures/KEY.json, predictions/KEY.DIGEST.npz"
    if kind not in (0, stat.S_IFREG):
        return "is no regular file (a link, a folder or a device)"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.compress_type not in METHODS:
        return f"is compressed by method {member.compress_type}; expected stored or deflated"
    limit = MAX_MEMBER_BYTES[name.partition("/")[0]]
    if member.file_size > limit:
        return f"has {member.file_size:,} bytes unpacked; at most {limit:,} are read"
    return ""
