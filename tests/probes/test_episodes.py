import numpy as np
import pytest
import torch
from reference import read_outs
from torch import Tensor

from benchmark.probes import episodes

TO_COARSE = torch.tensor([0, 1, 0, 2, 1, 1, 0])  # superclasses of three, three and one fine classes
TRAIN, TEST = (12, 10, 20, 11, 4, 30, 15), (20, 15, 3, 16, 5, 0, 40)  # images of each fine class
Split = tuple[Tensor, Tensor]


def split(sizes: tuple[int, ...], rng: torch.Generator) -> Split:
    """Overlapping clouds in five dimensions, in no order."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=rng)]
    return torch.eye(len(sizes), 5)[labels] + 0.7 * torch.randn(len(labels), 5, generator=rng), labels


@pytest.fixture
def train(rng: torch.Generator) -> Split:
    return split(TRAIN, rng)


@pytest.fixture
def test(rng: torch.Generator) -> Split:
    return split(TEST, rng)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[episodes._Batch]:
    """What is drawn while the test runs."""
    batches: list[episodes._Batch] = []
    answer = episodes._answered

    def spy(supports: Tensor, queries: Tensor, batch: episodes._Batch, num_coarse: int) -> Tensor:
        batches.append(batch)
        return answer(supports, queries, batch, num_coarse)

    monkeypatch.setattr(episodes, "_answered", spy)
    return batches


def accuracies(counts: Tensor) -> Tensor:
    """(E,) share of all queries answered right."""
    return counts[..., 0].sum(dim=1) / counts[..., 1].sum(dim=1)


def run(train: Split, test: Split, seed: int = 1) -> dict[str, Tensor]:
    return episodes.run(train, test, TO_COARSE, torch.Generator().manual_seed(seed))


def test_settings_are_those_of_the_columns(train: Split, test: Split) -> None:
    assert tuple(run(train, test)) == episodes.SETTINGS
    assert episodes.SETTINGS[::4] == ("5way_1shot", "allway_5shot", "intra_10shot")


def test_counts_equal_plain_loops(train: Split, test: Split, drawn: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "EPISODES", 7)
    found = torch.cat(list(run(train, test).values()))
    expected = []
    for batch in drawn:
        for support, queries in zip(batch.support, batch.queries, strict=True):
            asked = [test[0][own[own >= 0]] for own in queries]
            counts = np.zeros((3, 2), int)
            ways = zip(train[1][support[:, 0]].tolist(), read_outs.episode(train[0][support], asked), strict=True)
            for way, of_way in ways:
                counts[TO_COARSE[way]] += of_way
            expected.append(counts.tolist())
    assert found.tolist() == expected
    # all ways with one shot only; 8: the next multiple of two superclasses
    assert len(expected) == 3 * 7 + 7 + 8 + 7 + 7


def test_draws_are_of_their_class_and_without_replacement(train: Split, test: Split, drawn: list) -> None:
    run(train, test)
    shots = {batch.support.shape[2] for batch in drawn}
    assert shots == {1, 5, 10}
    for batch in drawn:
        ways = train[1][batch.support[:, :, 0]]  # (E, W)
        assert (train[1][batch.support] == ways[:, :, None]).all()
        assert (ways.sort(dim=1).values.diff(dim=1) > 0).all()  # different classes
        assert (torch.tensor(TRAIN)[ways] >= batch.support.shape[2]).all()
        exists = batch.queries >= 0
        assert (test[1][batch.queries.clamp(min=0)] == ways[:, :, None])[exists].all()
        assert torch.equal(exists.sum(dim=2), torch.tensor(TEST)[ways].clamp(max=episodes.QUERIES))
        for images in (batch.support, torch.where(exists, batch.queries, -torch.arange(15) - 1)):
            assert (images.sort(dim=2).values.diff(dim=2) > 0).all()


def test_a_class_without_test_images_or_with_too_few_training_images_is_no_way(
    train: Split, test: Split, drawn: list
) -> None:
    run(train, test)
    for batch in drawn:
        ways = set(train[1][batch.support[:, :, 0]].flatten().tolist())
        assert 5 not in ways  # no test image
        assert (4 in ways) <= (batch.support.shape[2] == 1)  # four training images
    # all-way episodes are of all others, each of the two superclasses within has its own
    everything = next(batch for batch in drawn if batch.support.shape[1] == 6)
    assert sorted(set(train[1][everything.support[0, :, 0]].tolist())) == [0, 1, 2, 3, 4, 6]


def test_episodes_within_a_superclass_are_shared_out_equally(train: Split, test: Split) -> None:
    found = run(train, test)
    asked = found["intra_1shot"][..., 1] > 0  # (E, K)
    assert asked.sum(dim=0).tolist() == [300, 300, 0]
    assert (asked.sum(dim=1) == 1).all()
    # with 5 shots only one class of superclass 1 is left
    assert (found["intra_5shot"][..., 1] > 0).sum(dim=0).tolist() == [600, 0, 0]
    for kind in ("5way", "allway"):
        assert found[f"{kind}_1shot"].shape == (600, 3, 2)
    # 15 queries of a class, or as many as there are: 20, 3 and 40; 15 and 5; 16
    assert found["allway_1shot"][..., 1].unique(dim=0).tolist() == [[33, 20, 15]]


def test_every_class_and_every_image_is_drawn_equally_often(train: Split, test: Split, drawn: list) -> None:
    for seed in range(5):
        run(train, test, seed)
    batches = [batch for batch in drawn if batch.support.shape[1:] == (5, 1)]
    images = torch.cat([batch.support.flatten() for batch in batches])  # 3000 episodes of 5 out of 6 classes
    ways = torch.bincount(train[1][images], minlength=7)
    expected = np.array([2500, 2500, 2500, 2500, 2500, 0, 2500])
    np.testing.assert_allclose(ways, expected, atol=5 * np.sqrt(3000 * 5 / 36))
    for label in (0, 6):
        counts = torch.bincount(images, minlength=len(train[1]))[train[1] == label].double()
        np.testing.assert_allclose(counts, 2500 / len(counts), atol=5 * np.sqrt(2500 / len(counts)))
    batches = [batch for batch in drawn if batch.support.shape[2] == 10 and batch.support.shape[1] == 5]
    counts = torch.bincount(torch.cat([batch.support.flatten() for batch in batches]), minlength=len(train[1]))
    counts = counts[train[1] == 2].double()  # ten of twenty, a pair in either half as often as any other
    np.testing.assert_allclose(counts, float(counts.mean()), atol=5 * np.sqrt(float(counts.mean()) / 2))


def test_draws_do_not_depend_on_features(train: Split, test: Split, drawn: list) -> None:
    run(train, test)
    plain = list(drawn)
    drawn.clear()
    run((train[0].flip(0) + 1, train[1]), (test[0] ** 3 + 0.1, test[1]))
    for first, second in zip(plain, drawn, strict=True):
        assert torch.equal(first.support, second.support)
        assert torch.equal(first.queries, second.queries)


def test_one_seed_gives_one_result(train: Split, test: Split) -> None:
    first, second, other = run(train, test), run(train, test), run(train, test, seed=2)
    for setting in episodes.SETTINGS:
        assert torch.equal(first[setting], second[setting])
    assert not torch.equal(first["5way_1shot"], other["5way_1shot"])


def test_one_image_of_each_class_by_hand() -> None:
    # supports on four axes; class 0 asked twice on its axis, 1 once on it, 2 nearer to 3's, 3 once on its own
    axes = torch.eye(4)
    test = torch.stack([axes[0], 3 * axes[0], axes[1], 0.4 * axes[2] + 0.6 * axes[3], axes[3]])
    found = episodes.run(
        (axes, torch.arange(4)), (test, torch.tensor([0, 0, 1, 2, 3])), torch.tensor([0, 0, 1, 1]), torch.Generator()
    )
    assert found["allway_1shot"].unique(dim=0).tolist() == [[[3, 3], [1, 2]]]
    assert found["intra_1shot"].unique(dim=0).tolist() == [[[0, 0], [1, 2]], [[3, 3], [0, 0]]]
    for empty in ("5way_1shot", "5way_5shot", "allway_5shot", "intra_10shot"):  # four classes of one image
        assert found[empty].shape == (0, 2, 2)


def test_separate_classes_are_always_told_apart(rng: torch.Generator) -> None:
    train, test = ((torch.eye(7)[labels], labels) for labels in (split(TRAIN, rng)[1], split(TEST, rng)[1]))
    for counts in run(train, test).values():
        assert torch.equal(counts[..., 0], counts[..., 1])


def test_collapsed_features_leave_chance(rng: torch.Generator) -> None:
    # equal cosines: one way is answered throughout, so equally many queries of each way give 1 / ways
    labels = torch.arange(6).repeat_interleave(20)
    ones = torch.ones(len(labels), 3), labels
    found = episodes.run(ones, ones, torch.tensor([0, 0, 0, 1, 1, 1]), rng)
    for setting, counts in found.items():
        chance = {"5way": 1 / 5, "allway": 1 / 6, "intra": 1 / 3}[setting.split("_")[0]]
        assert accuracies(counts).unique().tolist() == pytest.approx([chance])


def test_superclasses_of_one_class_have_no_episodes_within(train: Split, test: Split, rng: torch.Generator) -> None:
    found = episodes.run(train, test, torch.arange(7), rng)
    assert len(found["intra_1shot"]) == 0
    assert len(found["5way_1shot"]) == 600


@pytest.mark.parametrize("entries", [1, 4000])
def test_chunks_change_nothing(entries: int, train: Split, test: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "EPISODES", 40)
    whole = run(train, test)
    monkeypatch.setattr(episodes, "_ENTRIES", entries)
    for setting, counts in run(train, test).items():
        assert torch.equal(counts, whole[setting])
