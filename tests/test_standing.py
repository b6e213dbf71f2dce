"""What the registry knows of tasks and methods that rows name."""

from benchmark import registry, standing


def test_fine_classes_come_with_their_superclass_in_the_order_of_their_numbers():
    halves = ["below_five"] * 5 + ["five_and_above"] * 5
    assert [coarse for coarse, _ in standing.classes("digits-halves")] == halves


def test_of_a_shift_the_classes_are_those_of_evaluation():
    for name in registry.task_files():
        assert len(standing.classes(name)) == len(registry.task(name).evaluation.fine_classes)


def test_methods_that_are_not_registered_have_their_name_alone():
    found = standing.about(["mixup", "somebodys"])
    assert found["mixup"].family == "input mixing" and found["mixup"].year == 2018
    assert (found["somebodys"].title, found["somebodys"].family) == ("somebodys", "unknown")
