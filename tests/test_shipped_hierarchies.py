"""The shipped hierarchies against published facts, and against change without a new version."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from conftest import REAL_DATA
from torchvision.datasets import OxfordIIITPet

from benchmark import registry
from benchmark.schema import Hierarchy, Task

FACTS = REAL_DATA.parent / "facts"
BREEDS = ("living17", "nonliving26", "entity13", "entity30")
SPLITS = ("rand", "good", "bad")

# Number of classes of each level, as published. Versions and digests are pinned in datasets/digests.txt.
SHIPPED: dict[str, tuple[int, ...]] = {
    "cars-body": (8, 196),
    "cifar10-bad": (2, 8),
    "cifar10-good": (2, 8),
    "cifar10-lt-10": (2, 10),
    "cifar10-lt-100": (2, 10),
    "cifar10-lt-50": (2, 10),
    "cifar10-vehicles-animals": (2, 10),
    "cifar100-lt-10": (20, 100),
    "cifar100-lt-100": (20, 100),
    "cifar100-lt-50": (20, 100),
    "cifar100-superclass-imbalanced": (20, 100),
    "cifar100-superclass": (20, 100),
    "digits-halves": (2, 10),
    "entity13-bad": (13, 260),
    "entity13-good": (13, 260),
    "entity13-rand": (13, 260),
    "entity13": (13, 260),
    "entity30-bad": (30, 240),
    "entity30-good": (30, 240),
    "entity30-rand": (30, 240),
    "entity30": (30, 240),
    "fashion-mnist-groups": (4, 10),
    "fgvc-aircraft": (30, 70, 100),
    "imagenet32-12": (12, 1000),
    "inaturalist": (3, 4, 9, 34, 57, 72, 1010),
    "kmnist-lookalikes": (6, 10),
    "living17-bad": (17, 68),
    "living17-good": (17, 68),
    "living17-rand": (17, 68),
    "living17": (17, 68),
    "mnist-halves": (2, 10),
    "nonliving26-bad": (26, 104),
    "nonliving26-good": (26, 104),
    "nonliving26-rand": (26, 104),
    "nonliving26": (26, 104),
    "oxford-pets": (2, 37),
    "sop-12": (12, 1498),
    "tiered-imagenet": (34, 608),
    "tiny-imagenet-52": (52, 200),
    "tiny-imagenet-wordnet": (19, 177),
}


@lru_cache
def load(name: str) -> Task:
    return registry.task(name)


def tree(name: str) -> Hierarchy:
    return load(name).hierarchy


def groups(task: Task) -> dict[str, list[str]]:
    """Leaves of every coarse class, in the order of the file."""
    found: dict[str, list[str]] = {name: [] for name in task.coarse_classes}
    labels = task.hierarchy.labels(task.coarse_level)
    for leaf, label in zip(task.hierarchy.leaves, labels, strict=True):
        found[task.coarse_classes[label]].append(leaf)
    return found


@lru_cache
def facts(name: str) -> Any:
    path = FACTS / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no published facts at {path}")
    return json.loads(path.read_text())


def test_every_shipped_file_is_pinned():
    assert sorted(SHIPPED) == sorted(registry.task_files())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_level_has_the_published_number_of_classes(name: str):
    found = tree(name)
    assert tuple(len(found.classes(level)) for level in found.levels) == SHIPPED[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_ids_have_readable_names_and_a_file_says_where_it_comes_from(name: str):
    found = tree(name)
    ids = [leaf for leaf in found.leaves if (leaf[0] == "n" and leaf[1:].isdigit()) or name == "inaturalist"]
    assert sorted(found.names) == sorted(ids)
    assert len(set(found.names.values())) == len(ids)  # "crane" is a bird and a machine: names tell them apart
    assert len(found.provenance) >= 40
    assert found.licence


@pytest.mark.parametrize("name", [f"{task}-{split}" for task in BREEDS for split in SPLITS])
def test_a_shift_halves_every_superclass(name: str):
    task = load(name)
    plain = load(name.rpartition("-")[0])
    assert task.kind == "subpopulation-shift"
    assert task.coarse_classes == plain.coarse_classes
    source, target = groups(task.pretraining), groups(task.evaluation)
    for superclass, leaves in groups(task).items():
        assert leaves == source[superclass] + target[superclass]
        assert len(source[superclass]) == len(target[superclass]) == len(groups(plain)[superclass]) // 2


@pytest.mark.parametrize("name", BREEDS)
def test_the_random_shift_divides_the_classes_of_the_plain_task(name: str):
    assert tree(f"{name}-rand").paths == tree(name).paths
    assert load(name).kind == "coarse-to-fine"


@pytest.mark.parametrize("name", BREEDS)
def test_breeds_classes_equal_the_published_draw(name: str):
    published = facts("breeds_tasks")["tasks"][name]
    found = groups(load(name))
    assert list(found) == [superclass["name"].split(",")[0] for superclass in published["superclasses"]]
    assert list(found.values()) == published["splits"]["None"]["subclasses"]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", BREEDS)
def test_breeds_shifts_equal_the_published_splits(name: str, split: str):
    published = facts("breeds_tasks")["tasks"][name]
    task = load(f"{name}-{split}")
    assert list(task.coarse_classes) == [superclass["name"].split(",")[0] for superclass in published["superclasses"]]
    assert list(groups(task.pretraining).values()) == published["splits"][split]["source"]
    assert list(groups(task.evaluation).values()) == published["splits"][split]["target"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("cifar10-vehicles-animals", "cifar10_2"),
        ("cifar100-superclass", "cifar100_20"),
        ("cars-body", "cars196_8"),
        ("mnist-halves", "mnist_2"),
        ("digits-halves", "mnist_2"),
        ("imagenet32-12", "imagenet32_12"),
        ("tiny-imagenet-52", "tinyimagenet_67"),
    ],
)
def test_coarse_maps_equal_the_published_ones(name: str, key: str):
    published = facts("coarse_maps")[key]
    coarse_of = published.get("wnid_to_coarse") or dict(
        zip(published["fine_names"], published["fine_to_coarse"], strict=True)
    )
    wanted = defaultdict(set)
    for leaf, label in coarse_of.items():
        wanted[label].add(leaf)
    assert [set(leaves) for leaves in groups(load(name)).values()] == [wanted[i] for i in sorted(wanted)]


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_cifar10_toys_equal_the_published_groups(kind: str):
    published = facts("coarse_maps")[f"cifartoy_{kind}"]
    assert list(groups(load(f"cifar10-{kind}")).values()) == list(published["coarse_to_names"].values())
    assert sorted(tree(f"cifar10-{kind}").ignore) == sorted(published["dropped"])


def test_imbalanced_cifar100_keeps_the_published_counts_in_the_published_order():
    maps = facts("coarse_maps")
    published, names = maps["cifar100_20_imbalanced_thanos_U"], maps["cifar100_20"]["fine_names"]
    assert list(tree("cifar100-superclass-imbalanced").subclass_counts) == published["samples_per_subclass_in_order"]
    found = groups(load("cifar100-superclass-imbalanced"))
    order = [sorted(leaves, key=names.index) for leaves in found.values()]  # the source's order
    assert order == [[names[fine] for fine in published["subclass_order"][str(i)]] for i in range(20)]


def test_products_equal_the_published_closed_split():
    published = facts("coarse_maps")["sop_split2"]
    train = published["train"]
    wanted: dict[str, list[str]] = defaultdict(list)
    for product, label in zip(train["fine_to_product_id"], train["fine_to_coarse"], strict=True):
        wanted[published["coarse_names"][label].removesuffix("_final")].append(product)
    assert groups(load("sop-12")) == wanted
    assert train["fine_to_product_id"] == published["test"]["fine_to_product_id"]  # why split 2: fine labels meet again


def test_species_are_those_of_the_competition():
    """Facts of its page: 1,010 species of 72 genera, ten or more in each; `Plants/400` is a folder of its archive."""
    found = tree("inaturalist")
    assert found.leaves == tuple(str(number) for number in range(1010))
    sizes = Counter(path[found.levels.index("genus")] for path in found.paths)
    assert (len(sizes), min(sizes.values())) == (72, 10)
    assert found.paths[400][0] == "Plantae"


def test_a_species_is_named_after_its_genus():
    found = tree("inaturalist")
    genus = {path[-1]: path[-2] for path in found.paths}
    assert all(name.startswith(f"{genus[leaf]} ") for leaf, name in found.names.items())


@pytest.mark.parametrize("pair", list(combinations(("kingdom", "phylum", "class", "order", "family", "genus"), 2)))
def test_any_two_ranks_make_a_task(pair: tuple[str, str]):
    task = load(f"inaturalist@{pair[0]}:{pair[1]}")
    assert (task.coarse_level, task.fine_level) == pair
    assert len(task.coarse_classes) < len(task.fine_classes)


def test_kmnist_lookalikes_equal_the_published_labels():
    """KMNIST_coarse_labels; the classes are 0 to 9 in the order of the data set's page."""
    labels = dict(zip("o ki su tsu na ha ma ya re wo".split(), [0, 1, 2, 0, 3, 3, 1, 4, 4, 5], strict=True))
    wanted = [[name for name, label in labels.items() if label == group] for group in range(6)]
    assert list(groups(load("kmnist-lookalikes")).values()) == wanted


def test_tiered_imagenet_equals_its_published_lists(real_data: Callable[[str], Path]):
    folder = real_data("hierarchy") / "tieredimagenet"
    wanted: dict[str, list[str]] = defaultdict(list)
    for part in ("train", "val", "test"):
        with (folder / f"{part}.csv").open() as file:
            for leaf, category in csv.reader(file):
                wanted[category].append(leaf)
    assert list(groups(load("tiered-imagenet")).values()) == list(wanted.values())


def test_wordnet_superclasses_are_the_nodes_of_level_3_of_the_breeds_tree(real_data: Callable[[str], Path]):
    root = real_data("hierarchy")
    (folder,) = root.glob("**/modified")
    edges = [line.split() for line in (folder / "class_hierarchy.txt").read_text().splitlines()]
    parent = {child: above for above, child in edges}
    names = dict(line.split("\t") for line in (folder / "node_names.txt").read_text().splitlines())

    def lineage(node: str) -> list[str]:
        return [*lineage(parent[node]), node] if node in parent else [node]

    found = tree("tiny-imagenet-wordnet")
    everything = [*found.leaves, *found.ignore]
    assert sorted(everything) == sorted(tree("tiny-imagenet-52").leaves)
    below = defaultdict(list)
    for leaf in sorted(set(everything) & set(parent)):
        below[lineage(leaf)[3]].append(leaf)
    kept = {names[node].split(",")[0]: leaves for node, leaves in sorted(below.items()) if len(leaves) > 1}
    assert groups(load("tiny-imagenet-wordnet")) == kept
    assert list(groups(load("tiny-imagenet-wordnet"))) == list(kept)


def test_singletons_are_those_known():
    alone = {name for name in SHIPPED if tree(name).warnings}
    wanted = {"fashion-mnist-groups", "fgvc-aircraft", "inaturalist", "kmnist-lookalikes", "tiny-imagenet-52"}
    assert alone == wanted
    sizes = Counter(map(len, groups(load("tiny-imagenet-52")).values()))
    assert sizes[1] == 16


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("factor", [10, 50, 100])
def test_long_tails_train_on_fine_labels_with_their_factor(classes: int, factor: int):
    task = load(f"cifar{classes}-lt-{factor}")
    assert task.kind == "long-tailed"
    assert task.coarse_level == task.fine_level == "class"
    assert (len(task.fine_classes), task.hierarchy.long_tail) == (classes, factor)


def test_aircraft_levels_and_sizes():
    """Images of each manufacturer in the official train + val part (66 or 67 per variant), by a public loader."""
    sizes = {name: len(leaves) for name, leaves in groups(load("fgvc-aircraft")).items()}
    counted = {"Boeing": 1466, "Airbus": 867, "McDonnell Douglas": 467, "Embraer": 467, "de Havilland": 334}
    counted |= {"British Aerospace": 267, "Douglas Aircraft Company": 267, "Canadair": 267, "Cessna": 266}
    counted |= {"Fokker": 200, "Beechcraft": 134, "Lockheed Corporation": 134, "Saab": 134, "ATR": 133}
    counted |= {"Dassault Aviation": 133, "Gulfstream Aerospace": 133, "Tupolev": 133}
    assert {name: round(images / (200 / 3)) for name, images in counted.items()} == {
        name: size for name, size in sizes.items() if size > 1
    }
    assert sum(sizes.values()) == 100
    assert len(load("fgvc-aircraft@family:variant").coarse_classes) == 70


def test_pets_are_spelled_as_torchvision_spells_them(tmp_path: Path):
    """Its class reads annotations that name cats `Maine_Coon` and dogs `basset_hound`; no image is opened."""
    found = groups(load("oxford-pets"))
    assert {name: len(leaves) for name, leaves in found.items()} == {"cat": 12, "dog": 25}
    raw = [name.replace(" ", "_") for name in found["cat"]] + [name.lower().replace(" ", "_") for name in found["dog"]]
    for folder in ("images", "annotations"):
        (tmp_path / "oxford-iiit-pet" / folder).mkdir(parents=True)
    lines = [f"{name}_100 {i} {1 + (i > 12)} 1\n" for i, name in enumerate(raw, start=1)]
    (tmp_path / "oxford-iiit-pet" / "annotations" / "trainval.txt").write_text("".join(lines))
    assert OxfordIIITPet(tmp_path).classes == [*found["cat"], *found["dog"]]


@pytest.mark.parametrize("name", [*BREEDS, "tiered-imagenet"])
def test_imagenet_subsets_leave_the_other_classes_out(name: str):
    found = tree(name)
    assert (found.source, found.ignore) == ("imagefolder/imagenet", "others")
    assert all(leaf[0] == "n" and leaf[1:].isdigit() and len(leaf) == 9 for leaf in found.leaves)
