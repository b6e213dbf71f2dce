"""An honest archive of two toy rows, and the tools to make a dishonest one of it."""

import hashlib
import io
import json
import stat
import zipfile
from pathlib import Path

import numpy as np
from conftest import HIERARCHIES

from benchmark.submission import accept


class Forge:
    """Members of an archive, to be changed and sealed again with hashes that fit."""

    def __init__(self, honest: Path, folder: Path) -> None:
        with zipfile.ZipFile(honest) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(self.members.pop("manifest.json"))
        self.folder = folder
        self.path = folder / "archive.zip"
        self.published = folder / "published"

    @property
    def cell(self) -> str:
        return next(name for name in self.members if name.startswith("cells/"))

    @property
    def predictions(self) -> str:
        key = Path(self.cell).stem
        return next(name for name in self.members if name.startswith(f"predictions/{key}"))

    def row(self, edit) -> None:
        """Edit the first row."""
        record = json.loads(self.members[self.cell])
        edit(record)
        self.members[self.cell] = json.dumps(record, indent=1).encode()

    def text(self, old: str, new: str) -> None:
        """Replace text of the first row, once."""
        text = self.members[self.cell].decode()
        assert old in text
        self.members[self.cell] = text.replace(old, new, 1).encode()

    def arrays(self, edit) -> None:
        """Edit the first row's arrays, and let the row name the new file."""
        with np.load(io.BytesIO(self.members[self.predictions])) as file:
            arrays = {name: file[name] for name in file.files}
        edit(arrays)
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)
        self.npz(packed.getvalue())

    def npz(self, content: bytes) -> None:
        """Another file of predictions for the first row."""
        del self.members[self.predictions]
        digest = hashlib.sha256(content).hexdigest()
        self.members[f"predictions/{Path(self.cell).stem}.{digest[:8]}.npz"] = content
        self.row(lambda record: record["provenance"].update(predictions_digest=digest))

    def rename(self, columns: dict) -> None:
        """Change columns of the first row's cell, and give it the key that they make."""
        record = json.loads(self.members.pop(self.cell))
        record["cell"].update(columns)
        self.members[f"cells/{record['cell']['key']}.json"] = json.dumps(record).encode()

    def seal(self) -> None:
        """A manifest that fits the members."""
        self.manifest["files"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in self.members.items()
        }

    def write(self, extra=(), seal: bool = True) -> Path:
        """The archive; `extra` are further (ZipInfo or name, bytes)."""
        if seal:
            self.seal()
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("manifest.json", json.dumps(self.manifest))
            for name, content in self.members.items():
                archive.writestr(name, content)
            for member, content in extra:
                archive.writestr(member, content)
        return self.path

    def accept(self, **terms) -> accept.Outcome:
        return accept.accept(self.path, accept.Terms(self.published, datasets_dir=HIERARCHIES, **terms))


def member(name: str, mode: int = stat.S_IFREG | 0o644, compression: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """A member with a mode of one's choice."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr, info.compress_type = 3, mode << 16, compression
    return info


def npz(**members: bytes) -> bytes:
    """A zip of raw members, `x` becomes x.npy."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return packed.getvalue()


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder with its hash."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
