"""From decoded parts to labelled splits: joined by class name, checked against a plain loop."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import data, registry
from benchmark.data import Decoded
from benchmark.data.source import Part, Raw
from benchmark.errors import InputError
from benchmark.schema import CoarseSplit, Hierarchy, Task

SOURCE_ORDER = ("e", "c", "a", "d", "b")  # of the source; the hierarchy lists a to d in another order, e is ignored
PATHS = (("land", "cats", "b"), ("land", "dogs", "d"), ("land", "dogs", "a"), ("water", "fish", "c"))


@pytest.fixture
def task() -> Task:
    tree = Hierarchy("made", 1, "Made", "imagefolder/x", 4, ("realm", "kind", "breed"), PATHS, "realm", "breed", ("e",))
    return Task("made", "coarse-to-fine", tree, "realm", "breed")


def decoded(rng: torch.Generator, *parts: str, count: int = 60) -> Decoded:
    """Images that carry their class and their place in the part: pixel (0, 0) and (0, 1)."""
    made = {}
    for name in parts:
        labels = torch.randint(0, 5, (count,), generator=rng).numpy()
        images = np.zeros((count, 1, 4, 4), np.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = labels, np.arange(count)
        made[name] = Part(images, labels)
    return Decoded(Raw(SOURCE_ORDER, made), "0" * 16)


@pytest.mark.parametrize("parts", [("train",), ("train", "test"), ("train", "val"), ("train", "val", "test")])
def test_labels_equal_a_plain_loop_that_joins_by_name(task: Task, rng: torch.Generator, parts: tuple[str, ...]):
    loaded = data.load(task, decoded(rng, *parts))
    for split in (loaded.train, loaded.val, loaded.test):
        assert (split.images[:].dtype, split.labels.dtype) == (torch.uint8, torch.int64)
        expected = []
        for image in split.images:
            name = SOURCE_ORDER[int(image[0, 0, 0])]
            expected.append(["b", "d", "a", "c"].index(name))
        assert split.labels.tolist() == expected


def test_coarse_split_equals_a_plain_loop_and_holds_no_fine_label(task: Task, rng: torch.Generator):
    train = data.load(task, decoded(rng, "train")).train
    coarse = data.coarsen(train, task)
    names = [SOURCE_ORDER[int(image[0, 0, 0])] for image in train.images]
    assert coarse.labels.tolist() == [["land", "water"].index({"c": "water"}.get(name, "land")) for name in names]
    assert [field.name for field in dataclasses.fields(CoarseSplit)] == ["images", "labels"]
    assert int(coarse.labels.max()) < len(task.coarse_classes) < len(task.fine_classes)
    assert coarse.images is train.images


def test_middle_level_can_be_fine_or_coarse(task: Task, rng: torch.Generator):
    images = decoded(rng, "train", "test")
    kinds = data.load(dataclasses.replace(task, fine_level="kind"), images).train
    breeds_task = dataclasses.replace(task, coarse_level="kind")
    coarse = data.coarsen(data.load(breeds_task, images).train, breeds_task)
    assert breeds_task.coarse_classes == ("cats", "dogs", "fish")
    torch.testing.assert_close(coarse.labels, kinds.labels, rtol=0, atol=0)


def test_ignored_classes_are_dropped_from_every_part(task: Task, rng: torch.Generator):
    images = decoded(rng, "train", "val", "test")
    loaded = data.load(task, images)
    for name in ("train", "val", "test"):
        split, part = getattr(loaded, name), images.raw.parts[name]
        assert (part.labels == 0).any()
        assert split.images[:][:, 0, 0, 1].tolist() == np.flatnonzero(part.labels != 0).tolist()


def test_splits_of_one_part_are_disjoint_complete_and_stratified(task: Task, rng: torch.Generator):
    images = decoded(rng, "train", count=200)
    loaded = data.load(task, images)
    places = [split.images[:][:, 0, 0, 1].tolist() for split in (loaded.train, loaded.val, loaded.test)]
    kept = np.flatnonzero(images.raw.parts["train"].labels != 0)
    assert sorted(itertools.chain(*places)) == kept.tolist()
    source_labels = images.raw.parts["train"].labels[kept]
    assert len(loaded.test.labels) == sum(round(0.3 * int((source_labels == label).sum())) for label in range(1, 5))


def test_no_image_is_copied_before_it_is_asked_for(task: Task, rng: torch.Generator):
    images = decoded(rng, "train", "test")
    loaded = data.load(task, images)
    images.raw.parts["train"].images[:, 0, 1, 1] = 7
    assert loaded.train.images[:][:, 0, 1, 1].tolist() == [7] * len(loaded.train.labels)


def test_own_test_part_is_left_whole(task: Task, rng: torch.Generator):
    images = decoded(rng, "train", "test")
    images.raw.parts["test"].labels[:] = np.arange(60) % 4 + 1  # nothing to ignore
    assert data.load(task, images).test.images.shape[0] == 60


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_class_without_images_in_a_part_is_named(task: Task, rng: torch.Generator, part: str):
    images = decoded(rng, "train", "val", "test")
    labels = images.raw.parts[part].labels
    labels[labels == SOURCE_ORDER.index("d")] = SOURCE_ORDER.index("a")
    with pytest.raises(InputError, match=f"made: no {part} images of d; add images .*`ignore`"):
        data.load(task, images)


def test_class_too_small_to_split_is_named(task: Task, rng: torch.Generator):
    images = decoded(rng, "train")
    labels = images.raw.parts["train"].labels
    labels[labels == SOURCE_ORDER.index("d")] = SOURCE_ORDER.index("a")
    labels[0] = SOURCE_ORDER.index("d")
    with pytest.raises(InputError, match=r"made: no (train|val|test) images of d; add images \(at least 4 a class"):
        data.load(task, images)


def test_split_digest_changes_with_the_split_only(task: Task, rng: torch.Generator):
    images = decoded(rng, "train", "test")
    digest = data.load(task, images).split_digest
    images.raw.parts["train"].images[:] = 0
    assert data.load(task, images).split_digest == digest
    renamed = dataclasses.replace(task, hierarchy=dataclasses.replace(task.hierarchy, source="imagefolder/y"))
    assert data.load(renamed, images).split_digest != digest  # another salt
    images.raw.parts["test"].labels[0] = 0 if images.raw.parts["test"].labels[0] else 1
    assert data.load(task, images).split_digest != digest  # one test image more or less is ignored
    del images.raw.parts["test"]
    assert data.load(task, images).split_digest != digest


def covering(tree_changes: dict[str, object], allow_missing: bool = False) -> Task:
    """The digits task with its hierarchy changed, held against the digits."""
    task = registry.task("digits-halves")
    kind = "subpopulation-shift" if "target" in tree_changes else task.kind
    changed = dataclasses.replace(task, kind=kind, hierarchy=dataclasses.replace(task.hierarchy, **tree_changes))
    return data.cover(changed, data.decode(task.hierarchy, Path("nowhere")), allow_missing)


DIGIT_PATHS = registry.task("digits-halves").hierarchy.paths
NINE = {"paths": (*DIGIT_PATHS[:-1], ("five_and_above", "nine"))}
WITHOUT_NINE = {"paths": DIGIT_PATHS[:-1]}


def test_source_that_does_not_cover_the_classes_is_refused():
    complaint = r"1 classes without images: nine; 1 classes nobody claims: 9\. Remedy: list .*--allow-missing"
    with pytest.raises(InputError, match=complaint):
        covering(NINE)


def test_others_may_be_ignored_but_not_missed():
    assert covering({**WITHOUT_NINE, "ignore": "others"}).hierarchy.leaves == tuple("012345678")
    with pytest.raises(InputError, match=r"has 1 classes without images: nine\. Remedy"):
        covering({**NINE, "ignore": "others"})


def test_missing_classes_are_dropped_and_noted_if_allowed():
    covered = covering({**NINE, "ignore": "others"}, allow_missing=True)
    assert covered.hierarchy.leaves == tuple("012345678")
    assert covered.hierarchy.missing == ("nine",)
    assert covered.hierarchy.warnings == ("digits-halves: 1 classes are left out for want of images: nine",)
    assert covered.identity["hierarchy_digest"] != registry.task("digits-halves").identity["hierarchy_digest"]
    with pytest.raises(InputError, match=r"1 classes nobody claims: 9"):  # allowed is missing, not extra
        covering(NINE, allow_missing=True)


def test_a_task_of_which_too_little_is_left_is_refused():
    strangers = {"paths": (*DIGIT_PATHS[:5], *(("five_and_above", f"x{i}") for i in range(5))), "ignore": "others"}
    with pytest.raises(InputError, match=r"without 5 classes that have no images \(x0, x1.*no task is left"):
        covering(strangers, allow_missing=True)


def test_a_superclass_that_loses_one_side_of_a_shift_is_dropped_whole():
    paths = (("low", "0"), ("low", "1"), ("mid", "2"), ("mid", "x"), ("high", "3"), ("high", "4"), ("high", "5"))
    covered = covering({"paths": paths, "target": ("1", "x", "5"), "ignore": "others"}, allow_missing=True)
    assert covered.hierarchy.leaves == ("0", "1", "3", "4", "5")
    assert covered.hierarchy.target == ("1", "5")
    assert covered.hierarchy.missing == ("2", "x")
    assert covered.pretraining.coarse_classes == covered.evaluation.coarse_classes == ("low", "high")


def test_target_classes_are_evaluated_and_never_seen_before(task: Task, rng: torch.Generator):
    paths = (("land", "b"), ("land", "d"), ("water", "a"), ("water", "c"))
    tree = dataclasses.replace(task.hierarchy, levels=("realm", "breed"), paths=paths, target=("d", "a"))
    shift = dataclasses.replace(task, kind="subpopulation-shift", hierarchy=tree)
    images = decoded(rng, "train", "test")
    source, target = data.load(shift.pretraining, images), data.load(shift.evaluation, images)
    for splits, leaves in ((source, "bc"), (target, "da")):
        for split in (splits.train, splits.val, splits.test):
            names = [SOURCE_ORDER[int(image[0, 0, 0])] for image in split.images]
            assert set(names) == set(leaves)
            assert [leaves[label] for label in split.labels] == names
    assert shift.pretraining.coarse_classes == shift.evaluation.coarse_classes == ("land", "water")
    assert shift.pretraining.fine_to_coarse == shift.evaluation.fine_to_coarse == (0, 1)


def test_a_long_tail_thins_train_alone_in_the_order_of_the_source(task: Task, rng: torch.Generator):
    tree = dataclasses.replace(task.hierarchy, long_tail=8.0)
    images = decoded(rng, "train", "test", count=400)
    whole = data.load(task, images)
    thin = data.load(dataclasses.replace(task, hierarchy=tree), images)
    counts = np.bincount(images.raw.parts["train"].labels)
    largest = counts[1:].max()
    # The source's order is c, a, d, b; the hierarchy's b, d, a, c. 8^(-1/3) = 1/2.
    wanted = {name: int(largest * 0.5**i) for i, name in enumerate("cadb")}
    expected = [min(wanted[name], counts[SOURCE_ORDER.index(name)]) for name in "bdac"]
    assert thin.shots.tolist() == expected
    held = torch.bincount(thin.train.labels) + torch.bincount(thin.val.labels)
    assert held.tolist() == expected
    assert torch.equal(thin.test.labels, whole.test.labels)


def test_subclass_counts_thin_each_superclass(task: Task, rng: torch.Generator):
    paths = (("land", "b"), ("land", "d"), ("water", "a"), ("water", "c"))
    tree = dataclasses.replace(task.hierarchy, levels=("realm", "breed"), paths=paths, subclass_counts=(30, 10))
    images = decoded(rng, "train", "test", count=400)
    loaded = data.load(dataclasses.replace(task, hierarchy=tree), images)
    assert loaded.shots.tolist() == [10, 30, 10, 30]  # of b, d, a, c: in the source d stands before b, c before a


def test_shots_of_a_plain_task_count_train_and_what_validation_took(task: Task, rng: torch.Generator):
    loaded = data.load(task, decoded(rng, "train"))
    counts = torch.bincount(loaded.train.labels) + torch.bincount(loaded.val.labels)
    assert loaded.shots.tolist() == counts.tolist()
