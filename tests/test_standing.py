"""What the registry knows of tasks and methods that rows name."""

from benchmark import registry, standing


def test_fine_classes_come_with_their_superclass_in_the_order_of_their_numbers():
    found = standing.classes(["digits-halves", "nobody-knows"])
    halves = ["below_five"] * 5 + ["five_and_above"] * 5
    assert list(found) == ["digits-halves"]
    assert [coarse for coarse, _ in found["digits-halves"]] == halves


def test_of_a_shift_the_classes_are_those_of_evaluation():
    found = standing.classes(registry.task_files())
    assert len(found) == len(registry.task_files())
    for name, classes in found.items():
        assert len(classes) == len(registry.task(name).evaluation.fine_classes)


def test_methods_that_are_not_registered_have_their_name_alone():
    found = standing.about(["mixup", "somebodys"])
    assert found["mixup"].family == "input mixing" and found["mixup"].year == 2018
    assert (found["somebodys"].title, found["somebodys"].family) == ("somebodys", "unknown")
