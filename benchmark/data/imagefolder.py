"""Any tree `train/CLASS/*.jpg` with optional `val` and `test`: `imagefolder/NAME` is the folder NAME in the root.

Folder names are the join key, so a missing or an extra folder cannot shift a label.

A folder with `val` and no `test`, as ImageNet's, was published with that part to be evaluated on: `val` is the test
part there, and validation is split off train as for every source without a part for it. With all three, each is what
it is called.

Where the hierarchy says `ignore: others`, only the folders of its classes are looked at.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmark.data import files
from benchmark.data.source import Images, Raw, Request
from benchmark.errors import InputError


def fingerprint(request: Request) -> str:
    """SHA-256 of every file's place, size and time: a changed file is decoded again."""
    return files.fingerprint(_folder(request), _parts(request), request.hierarchy.image_size)


def read(request: Request) -> Raw[Images]:
    """All parts, still in their files."""
    return files.raw(_parts(request), request.hierarchy.image_size)


def _folder(request: Request) -> Path:
    folder = request.root / request.name
    if not request.name or ".." in Path(request.name).parts or Path(request.name).is_absolute():
        raise InputError(
            f"source {request.hierarchy.source!r}: expected imagefolder/NAME, a folder below the data root; "
            "move the images there"
        )
    if not (folder / "train").is_dir():
        raise InputError(
            f"no folder {folder / 'train'}; put the images there as train/CLASS/IMAGE, or name another root "
            "with --data-root or C2F_DATA_ROOT"
        )
    return folder


def _parts(request: Request) -> dict[str, files.Labelled]:
    folder, tree = _folder(request), request.hierarchy
    wanted = frozenset(tree.leaves) if tree.ignore == "others" else None
    found = [part for part in ("train", "val", "test") if (folder / part).is_dir()]
    role = {"val": "test"} if "test" not in found else {}
    return {role.get(part, part): list(_files(folder / part, wanted)) for part in found}


def _files(folder: Path, wanted: frozenset[str] | None) -> Iterator[tuple[Path, str]]:
    for directory in sorted(path for path in folder.iterdir() if path.is_dir()):
        if wanted is None or directory.name in wanted:
            yield from ((path, directory.name) for path in files.listed(directory))
