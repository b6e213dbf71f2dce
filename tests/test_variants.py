"""Tasks made of tasks: what each modifier changes, what it keeps, and what it refuses."""

from collections import Counter
from pathlib import Path

import pytest

from benchmark import registry
from benchmark.errors import InputError
from benchmark.schema import Task

CIFAR = "cifar100-superclass"


def members(task: Task) -> dict[str, set[str]]:
    grouped: dict[str, set[str]] = {name: set() for name in task.coarse_classes}
    for fine, label in zip(task.fine_classes, task.fine_to_coarse, strict=True):
        grouped[task.coarse_classes[label]].add(fine)
    return grouped


def test_random_superclasses_keep_sizes_and_classes_but_not_membership():
    plain = registry.task("fashion-mnist-groups")
    for seed in range(5):
        shuffled = registry.task(f"fashion-mnist-groups+random-superclasses:{seed}")
        assert sorted(shuffled.fine_classes) == sorted(plain.fine_classes)
        assert sorted(map(len, members(shuffled).values())) == sorted(map(len, members(plain).values()))
        assert shuffled.name == f"fashion-mnist-groups+random-superclasses:{seed}"
        assert not set(shuffled.coarse_classes) & set(plain.coarse_classes)  # a random group has no meaning to name


def test_random_membership_has_the_expected_overlap_with_the_true_one():
    # Of 20 x C(5, 2) = 200 true pairs a random grouping keeps 200 * 4 / 99 = 8.08 on average; the spread of the mean
    # over 50 seeds is about sqrt(8 / 50) = 0.4.
    pairs = {frozenset(pair) for group in members(registry.task(CIFAR)).values() for pair in _pairs(group)}
    kept = []
    for seed in range(50):
        shuffled = members(registry.task(f"{CIFAR}+random-superclasses:{seed}"))
        kept.append(sum(frozenset(pair) in pairs for group in shuffled.values() for pair in _pairs(group)))
    assert 8.08 - 2 < sum(kept) / len(kept) < 8.08 + 2


def _pairs(group: set[str]) -> list[tuple[str, str]]:
    ordered = sorted(group)
    return [(a, b) for i, a in enumerate(ordered) for b in ordered[i + 1 :]]


@pytest.mark.parametrize("count", [2, 3, 10, 19])
def test_merged_superclasses_are_unions_of_the_old_ones(count: int):
    plain, merged = members(registry.task(CIFAR)), members(registry.task(f"{CIFAR}+merged-superclasses:{count}:0"))
    assert len(merged) == count
    for name, group in merged.items():
        assert group == set().union(*(plain[part] for part in name.split("+")))
    sizes = Counter(len(name.split("+")) for name in merged)
    assert max(sizes) - min(sizes) <= 1


def test_every_modifier_is_a_task_of_its_own_digest_and_name():
    names = [
        CIFAR,
        f"{CIFAR}+random-superclasses:0",
        f"{CIFAR}+random-superclasses:1",
        f"{CIFAR}+merged-superclasses:10:0",
        f"{CIFAR}+merged-superclasses:10:1",
        f"{CIFAR}+long-tail:100",
        f"{CIFAR}+long-tail:10",
        f"{CIFAR}+imbalanced:500-250-100-50-50",
        f"{CIFAR}+random-superclasses:0+long-tail:100",
    ]
    tasks = [registry.task(name) for name in names]
    assert [task.name for task in tasks] == names
    assert len({task.hierarchy.digest for task in tasks}) == len(names)


def test_a_middle_level_is_regrouped_with_all_that_is_below_it(three_levels: Path):
    task = registry.task("deep@realm:kind+random-superclasses:3", three_levels)
    assert (task.coarse_level, task.fine_level) == ("superclass_of_kind", "kind")
    assert task.hierarchy.levels == ("superclass_of_kind", "kind", "breed")
    whole = registry.task("deep", three_levels).hierarchy
    assert {path[1:] for path in task.hierarchy.paths} == {path[1:] for path in whole.paths}


@pytest.fixture
def three_levels(tmp_path: Path) -> Path:
    (tmp_path / "deep.yaml").write_text(
        "name: deep\nversion: 1\ntitle: Deep\nsource: imagefolder/deep\nimage_size: 8\nlevels: [realm, kind, breed]\n"
        "classes:\n  land:\n    cats: [siam, manx]\n    dogs: [pug, collie]\n  water:\n    fish: [koi, guppy]\n"
        "    whales: [orca, beluga]\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("modifier", "complaint"),
    [
        ("random-superclass:0", r"unknown modifier 'random-superclass'.*random-superclasses"),
        ("random-superclasses", r"write random-superclasses:SEED"),
        ("random-superclasses:x", r"write random-superclasses:SEED"),
        ("random-superclasses:1:2", r"write random-superclasses:SEED"),
        ("random-superclasses:99999999999", r"seed 99999999999.*at most 2147483647"),
        ("merged-superclasses:1:0", r"from 2 to 19"),
        ("merged-superclasses:20:0", r"from 2 to 19"),
        ("merged-superclasses:5", r"write merged-superclasses:K:SEED"),
        ("long-tail:1", r"above 1"),
        ("long-tail:0", r"above 1"),
        ("long-tail:-3", r"write long-tail:FACTOR"),
        ("long-tail:nan", r"write long-tail:FACTOR"),
        ("imbalanced:500-250", r"a count of at least 1 for each fine class of a superclass"),
        ("imbalanced:500-250-100-50-0", r"a count of at least 1"),
        ("imbalanced:500,250", r"write imbalanced:N-N"),
        ("long-tail:10+long-tail:10", r"thinned out already"),
        ("long-tail:10+imbalanced:5-4-3-2-1", r"thinned out already"),
        ("imbalanced:5-4-3-2-1+merged-superclasses:10:0", r"its counts are for the superclasses it has"),
        ("", r"unknown modifier ''"),
    ],
)
def test_a_modifier_that_does_not_fit_is_refused_with_how_to_write_it(modifier: str, complaint: str):
    with pytest.raises(InputError, match=complaint):
        registry.task(f"{CIFAR}+{modifier}")
