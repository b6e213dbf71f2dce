"""Stanford Online Products, closed set: products with exactly 12 photographs, 10 to train on and 2 to test on.

As published: the folder `Stanford_Online_Products` in the root with `Ebay_train.txt`, `Ebay_test.txt` (columns
image_id, class_id, super_class_id, path) and the images. The two lists hold disjoint products and serve open-set
retrieval; here their products are pooled. Class names are eBay's product numbers, which the file names begin with.

The 1,498 products with 12 photographs are those of "split 2" of Feng and Patras, "MaskCon", CVPR 2023, and so are the 2
photographs of each that are tested: `sop_tested.txt` has a line `PRODUCT NUMBER NUMBER` for every product, from
MrChenFeng/MaskCon_CVPR2023 @ 3be4675, coarse_labels/sop_split2/test_path.json. A photograph's number follows the
product's in its name.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

from benchmark.data import files, nearby
from benchmark.data.source import Availability, Images, Raw, Request
from benchmark.errors import InputError

FOLDER = "Stanford_Online_Products"
LISTS = ("Ebay_train.txt", "Ebay_test.txt")
URL = "https://cvgl.stanford.edu/projects/lifted_struct/"
SIZE = "3.1 GB to download"  # 2.87 GiB in the catalogue of TensorFlow Datasets
PHOTOGRAPHS = 12


def fingerprint(request: Request) -> str:
    """SHA-256 of every file's place, class, size and time: a changed file is decoded again."""
    return files.fingerprint(_folder(request), _parts(request), request.hierarchy.image_size)


def read(request: Request) -> Raw[Images]:
    """Train and test, still in their files."""
    return files.raw(_parts(request), request.hierarchy.image_size)


def availability(request: Request) -> Availability:
    """Whether both lists are there."""
    folder = request.root / FOLDER
    missing = [name for name in LISTS if not (folder / name).is_file()]
    if not missing:
        return Availability(True, note=f"in {folder}; no MD5 is published of its files")
    lie = nearby.find(request.root, folder, LISTS, (f"{FOLDER}.zip",))
    how = f"unpack {FOLDER}.zip of {URL} in {request.root}"
    return Availability(False, f"no {missing[0]} in {folder}", (*lie, how), SIZE)


def classes(request: Request) -> tuple[str, ...]:
    """Numbers of the products of the split that have all their photographs in the lists."""
    return tuple(sorted({product for _, product in _parts(request)["train"]}))


def _folder(request: Request) -> Path:
    folder = request.root / FOLDER
    for name in LISTS:
        if not (folder / name).is_file():
            raise InputError(
                f"sop: no {name} in {folder}; unpack {FOLDER}.zip ({URL}) in {request.root}, or name another root "
                "with --data-root or C2F_DATA_ROOT"
            )
    return folder


def _parts(request: Request) -> dict[str, files.Labelled]:
    folder = _folder(request)
    products: dict[str, list[Path]] = defaultdict(list)
    for name in LISTS:
        for path in _paths(folder / name):
            products[Path(path).stem.partition("_")[0]].append(folder / path)
    parts: dict[str, list[tuple[Path, str]]] = {"train": [], "test": []}
    for product, tested in tested_photographs().items():
        photographs = sorted(products[product])
        if len(photographs) != PHOTOGRAPHS:
            continue
        if missing := set(tested) - {photograph.stem for photograph in photographs}:
            raise InputError(f"sop: the lists in {folder} lack {min(missing)}; unpack {FOLDER}.zip again")
        for photograph in photographs:
            parts["test" if photograph.stem in tested else "train"].append((photograph, product))
    return dict(parts)


@lru_cache
def tested_photographs() -> Mapping[str, tuple[str, ...]]:
    """For each product of the split the names, without suffix, of the 2 photographs that are tested, as published."""
    table = resources.files("benchmark.data").joinpath("sop_tested.txt").read_text()
    rows = (line.split() for line in table.splitlines())
    return {product: tuple(f"{product}_{number}" for number in numbers) for product, *numbers in rows}


def _paths(table: Path) -> Iterator[str]:
    """The last column."""
    for number, line in enumerate(table.read_text(errors="replace").splitlines()[1:], start=2):
        columns = line.split()
        if len(columns) != 4 or Path(columns[3]).is_absolute() or ".." in Path(columns[3]).parts:
            expected = "image_id class_id super_class_id path"
            raise InputError(f"{table}:{number}: expected {expected}, found {line[:60]!r}; unpack {FOLDER}.zip again")
        yield columns[3]
