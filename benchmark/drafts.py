"""Where a new hierarchy comes from: an image tree, iNaturalist's folder names, a CSV, the BREEDS tree."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark import breeds
from benchmark.authoring import Draft
from benchmark.errors import InputError, unknown

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
INATURALIST = re.compile(r"\d+" + r"_([^_]+)" * 6 + r"_(.+)")  # 00000_Kingdom_…_Genus_species, as in the 2021 set
CLASSES_ARE_FOLDERS = "Each class is a folder with images"


@dataclass(frozen=True)
class Header:
    """What a new file says of itself: its name, where the images are, their size in pixels, its levels if chosen."""

    name: str
    source: str
    image_size: int
    levels: tuple[str, ...] = ()


def from_folder(folder: Path, header: Header) -> Draft:
    """A hierarchy of the folders SUPER/…/FINE/IMAGE, below train, val and test where there are such.

    A class is the path of its folder, as the source `imagefolder` has it; so two folders FINE may share a name.

    Raises:
        InputError: for a tree less than two deep or of uneven depth, or parts with other classes than train.
    """
    found = [tuple(name.split("/")) for name in _image_classes(folder)]
    depths = sorted({len(parts) for parts in found})
    if depths[-1] < 2:
        raise InputError(
            f"{folder}: expected folders SUPER/…/FINE/IMAGE, found {found[0][0]}/IMAGE; sort the classes into "
            "folders, give the groups with `c2f init-task csv`, or the ranks with --inaturalist"
        )
    if len(depths) > 1:
        one, other = (next("/".join(parts) for parts in found if len(parts) == n) for n in (depths[0], depths[-1]))
        raise InputError(f"{folder}: {one} and {other} are not equally deep; move images until all classes are")
    levels = header.levels or _default_levels(depths[0])
    if len(levels) != depths[0]:
        raise InputError(f"{folder}: folders are {depths[0]} deep; give as many names to --levels, not {len(levels)}")
    paths = _unique_above(found)
    return Draft(
        name=header.name,
        title=f"{folder.name}: {_sizes(levels, paths)}",
        source=header.source,
        image_size=header.image_size,
        levels=levels,
        paths=paths,
        provenance=f"{CLASSES_ARE_FOLDERS} of {header.source}; it belongs to the folders above it.",
        origins=tuple(str(folder / "/".join(parts)) for parts in found),
    )


def _default_levels(depth: int) -> tuple[str, ...]:
    return ("superclass", "class") if depth == 2 else (*(f"level-{i}" for i in range(1, depth)), "class")


def _unique_above(found: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Folders above the class by their own name where no other folder of the level has it, else by their path."""
    bearers = [Counter(name for *_, name in {parts[: i + 1] for parts in found}) for i in range(len(found[0]))]
    return tuple(
        (
            *(part if bearers[i][part] == 1 else "/".join(parts[: i + 1]) for i, part in enumerate(parts[:-1])),
            "/".join(parts),
        )
        for parts in found
    )


def _image_classes(folder: Path) -> list[str]:
    """Names of all folders with images, the same in each part."""
    from benchmark.data import imagefolder  # imports torch, which the other drafts do without

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one that holds the images")
    if folder.name in imagefolder.PARTS:
        raise InputError(f"{folder}: a part of a data set; name the folder above it, {folder.parent}")
    by_part = imagefolder.class_folders(folder)
    everywhere = sorted({name for names in by_part.values() for name in names})
    if not everywhere:
        raise InputError(f"{folder}: no folder with images below it; expected SUPER/…/FINE/IMAGE")
    for part, names in by_part.items():
        if missing := sorted(set(everywhere) - set(names)):
            raise InputError(
                f"{folder}: {part} has no images of {len(missing)} classes: {', '.join(missing[:10])}; add some, or "
                "take the classes out of the other parts"
            )
    return everywhere


def from_inaturalist(folder: Path, header: Header, ranks: Sequence[str]) -> Draft:
    """A hierarchy of two ranks of iNaturalist 2021's species, whose folders are 00000_Kingdom_…_Genus_species.

    Taxa of one name are told apart by the taxon above them.

    Raises:
        InputError: for other folder names, or ranks that are no two of RANKS, coarser first.
    """
    for rank in ranks:
        if rank not in RANKS:
            raise unknown("rank", rank, RANKS, "Give two to --inaturalist, e.g. order,family.")
    if len(ranks) != 2 or RANKS.index(ranks[0]) >= RANKS.index(ranks[1]):
        raise InputError(f"--inaturalist {','.join(ranks)}: expected two ranks, the coarser first, e.g. order,family")
    if header.levels:
        raise InputError("--inaturalist names the levels after the ranks; leave --levels out")
    lineages = {}
    for name in _image_classes(folder):
        match = INATURALIST.fullmatch(name)
        if not match:
            raise InputError(
                f"{folder}: expected folders like 00000_Kingdom_Phylum_Class_Order_Family_Genus_species, found {name}; "
                "use iNaturalist 2021, or leave --inaturalist out"
            )
        lineages[name] = match.groups()
    taxa = [_taxa(list(lineages.values()), RANKS.index(rank)) for rank in ranks if rank != "species"]
    paths = tuple((*(names[i] for names in taxa), name) for i, name in enumerate(lineages))
    levels = tuple(dict.fromkeys((*ranks, "species")))
    return Draft(
        name=header.name,
        title=f"{folder.name}: {_sizes(levels, paths)}",
        source=header.source,
        image_size=header.image_size,
        levels=levels,
        paths=paths,
        provenance=f"{CLASSES_ARE_FOLDERS} of {header.source}, a species; its {ranks[0]} and {ranks[1]} are those of "
        "the folder's name, iNaturalist's taxonomy (Van Horn et al. 2021, arXiv:2103.16483, for the set of 2021).",
        coarse=ranks[0],
        fine=ranks[1],
        names={name: f"{genus} {species}" for name, (*_, genus, species) in lineages.items()},
    )


def _taxa(lineages: Sequence[Sequence[str]], rank: int) -> list[str]:
    """Name of each lineage's taxon of a rank."""
    bearers = Counter(name for *_, name in {tuple(lineage[: rank + 1]) for lineage in lineages})
    return [
        lineage[rank] if bearers[lineage[rank]] == 1 else f"{lineage[rank]} ({lineage[rank - 1]})"
        for lineage in lineages
    ]


def from_csv(files: Sequence[Path], header: Header, has_header: bool = True, ignore_others: bool = False) -> Draft:
    """A hierarchy of the rows of comma-separated tables; equal rows count once.

    Args:
        files: UTF-8 tables of the same columns.
        header: its levels, coarsest first, choose columns of the first line; none: all columns, finest first.
        has_header: whether the first line names columns; if not, levels names all of them.
        ignore_others: leave out classes of the source that no row names.

    Raises:
        InputError: with file and line for a table that cannot be read, or a class in two places.
    """
    if not has_header and not header.levels:
        raise InputError("--no-header: name the columns with --levels, coarsest first, though they stand finest first")
    places: dict[tuple[str, ...], str] = {}
    for file in files:
        levels, table = _table(file, header.levels, has_header)
        for place, path in table:
            places.setdefault(path, place)
    if not places:
        raise InputError(f"{files[0]}: no rows; expected a line for each class")
    digests = ", ".join(f"{file.name} (SHA-256 {breeds.digest(file)})" for file in files)
    return Draft(
        name=header.name,
        title=f"{header.name}: {_sizes(levels, tuple(places))}",
        source=header.source,
        image_size=header.image_size,
        levels=levels,
        paths=tuple(places),
        provenance=f"The columns {', '.join(levels)} of {digests}.",
        ignore_others=ignore_others,
        origins=tuple(places.values()),
    )


def _table(
    file: Path, levels: tuple[str, ...], has_header: bool
) -> tuple[tuple[str, ...], list[tuple[str, tuple[str, ...]]]]:
    """Levels, and each row's place in the file with its classes, coarsest first."""
    rows = _rows(file)
    columns = rows.pop(0)[1] if has_header else list(reversed(levels))
    levels = levels or tuple(reversed(columns))
    if missing := [level for level in levels if level not in columns]:
        raise InputError(f"{file}:1: no column {missing[0]!r}; --levels can name: {', '.join(columns)}")
    if len(levels) < 2 or len(set(columns)) < len(columns):
        raise InputError(f"{file}:1: expected columns FINE,COARSE,… of different names, found {', '.join(columns)}")
    for number, row in rows:
        if len(row) != len(columns):
            raise InputError(f"{file}:{number}: expected {len(columns)} cells, found {len(row)}; mend the line")
    order = [columns.index(level) for level in levels]
    return levels, [(f"{file}:{number}", tuple(row[i] for i in order)) for number, row in rows]


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """Lines with their number; empty ones left out, at least one."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: not a table of UTF-8 text with commas between ({error}); save it as one") from None
    if not rows:
        raise InputError(f"{file}: empty; expected a line of column names, finest first, and one for each class")
    return rows


def from_wordnet(files: Path, header: Header, wanted: breeds.Selection, among: Path | None = None) -> Draft:
    """A hierarchy of superclasses of the BREEDS tree, by the published procedure; the classes are ids.

    A superclass is called by the first of its synonyms, with its id where two have the same.

    Args:
        files: the folder of the tree's files.
        header: of the new file; its levels are superclass and class.
        wanted: which superclasses and classes.
        among: only classes that have a folder of images below this one; none: all of the tree.

    Raises:
        InputError: if the files are no tree, or it has nothing like what is wanted.
    """
    tree = breeds.read(files)
    if among:
        tree = tree.only(_folder_names(among))
    found = breeds.select(tree, wanted)
    labels = _labels(tree, found)
    paths = tuple(
        (label, leaf)
        for label, superclass in zip(labels, found, strict=True)
        for leaf in (*superclass.source, *superclass.target)
    )
    below = tree.names[wanted.ancestor or tree.root]
    split = f", {wanted.split} split" if wanted.split else ""
    return Draft(
        name=header.name,
        title=f"{len(found)} superclasses of {len(paths)} WordNet classes below {below}{split}",
        source=header.source,
        image_size=header.image_size,
        levels=("superclass", "class"),
        paths=paths,
        provenance=_provenance(tree, files, wanted, among),
        ignore_others=True,
        target=tuple(leaf for superclass in found for leaf in superclass.target),
        names={leaf: tree.names[leaf] for _, leaf in paths},
        notes={label: superclass.node for label, superclass in zip(labels, found, strict=True)},
    )


def _labels(tree: breeds.Tree, found: Sequence[breeds.Superclass]) -> list[str]:
    """The first synonym of each superclass, with the id where that is not its own."""
    short = [tree.names[superclass.node].split(",")[0].strip() for superclass in found]
    return [
        name if name and short.count(name) == 1 else f"{name} ({superclass.node})".strip()
        for name, superclass in zip(short, found, strict=True)
    ]


def _folder_names(folder: Path) -> set[str]:
    """Names of all folders on the way to images."""
    from benchmark.data import imagefolder  # imports torch, which the other drafts do without

    if not folder.is_dir():
        raise InputError(f"--among {folder}: no such folder; name one that holds a folder of images for each class")
    return {part for names in imagefolder.class_folders(folder).values() for name in names for part in name.split("/")}


def _provenance(tree: breeds.Tree, files: Path, wanted: breeds.Selection, among: Path | None) -> str:
    ancestor = f"{wanted.ancestor} ({tree.names[wanted.ancestor]})" if wanted.ancestor else "none"
    digests = {name: breeds.digest(files / name) for name in breeds.SHA256}
    which = "the published tree" if digests == dict(breeds.SHA256) else "another tree than the published one"
    which += f" with the {len(tree.eligible(tree.root))} of its classes that {among.name} has" if among else ""
    return (
        "The procedure of BREEDS (Santurkar, Tsipras, Madry 2021, arXiv:2008.04859; breeds_helpers.py in "
        f"MadryLab/robustness) with level={wanted.level}, ancestor={ancestor}, Nsubclasses={wanted.num_subclasses}, "
        f"split={wanted.split}, balanced={wanted.balanced}, random_seed={wanted.seed}, on {which}, SHA-256: "
        f"{', '.join(f'{name} {digest}' for name, digest in digests.items())}.\n"
        "Classes are WordNet ids in the order drawn; the superclasses' ids stand behind them as comments."
    )


def _sizes(levels: Sequence[str], paths: Sequence[tuple[str, ...]]) -> str:
    return " > ".join(f"{len({path[: i + 1] for path in paths})} {level}" for i, level in enumerate(levels))
