"""What goes before the rows of an archive: who publishes them, where they are described, and the hash of every file."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from benchmark.errors import InputError
from benchmark.schema import METRIC_VERSION, NAME_PATTERN, SCHEMA_VERSION
from benchmark.submission import rows
from benchmark.submission.parcel import MANIFEST, MAX_MEMBERS, MEMBER, shown

FORMAT = 1  # of archives; raised when one of before cannot be read any more
MAX_NAME = 64
MAX_GAPS = 1000  # lines on what is missing
# Names that Windows gives to devices, with any ending.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{digit}" for kind in ("com", "lpt") for digit in range(10))}


def _name(text: str) -> str:
    if not NAME_PATTERN.fullmatch(text) or text.endswith(".") or text.partition(".")[0] in _DEVICES:
        raise ValueError("use small letters, digits, dots, dashes and underscores, a letter or digit first")
    return text


def _member(text: str) -> str:
    if not MEMBER.fullmatch(text) or text == MANIFEST:
        raise ValueError("is no name of a row, a failure or predictions")
    return text


class File(rows.Strict):
    """Size and hash of a member."""

    bytes: rows.Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]


class Manifest(rows.Strict):
    """The manifest."""

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
    metric_version: Annotated[int, Field(ge=METRIC_VERSION, le=METRIC_VERSION)]
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_name)]
    paper: Annotated[rows.Text, Field(min_length=1)]
    contact: rows.Text = ""
    package_version: rows.Version
    incomplete: Annotated[list[rows.Text], Field(max_length=MAX_GAPS)]
    files: Annotated[dict[Annotated[str, AfterValidator(_member)], File], Field(min_length=1, max_length=MAX_MEMBERS)]

    @property
    def content(self) -> bytes:
        """As it is written."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @property
    def digest(self) -> str:
        """Identity of the submission, 16 hex digits."""
        return hashlib.sha256(self.content).hexdigest()[:16]


def file(content: bytes) -> File:
    """Size and hash of some bytes."""
    return File(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def read(path: Path) -> Manifest:
    """The manifest at a path.

    Raises:
        InputError: if it is none, saying what does not fit.
    """
    if not path.is_file():
        raise InputError(f"{MANIFEST} is missing; make the archive with `c2f submit`")
    try:
        value = rows.parse(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{MANIFEST} cannot be read ({shown(error)})") from None
    if problems := rows.checked(Manifest, value):
        raise InputError(f"{MANIFEST} does not fit: {'; '.join(problems)}")
    return Manifest.model_validate(value)


def differences(manifest: Manifest, folder: Path) -> Iterator[str]:
    """What below a folder is not what the manifest says."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(found | manifest.files.keys()):
        if name not in manifest.files:
            yield f"{name}: is not in the manifest"
        elif name not in found:
            yield f"{name}: is in the manifest, not in the archive"
        elif file((folder / name).read_bytes()) != manifest.files[name]:
            yield f"{name}: is not the file of the manifest (size or SHA-256 differs)"
