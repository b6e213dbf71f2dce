"""Stanford Online Products: which products and photographs the closed set takes, on fabricated lists."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data import sop
from benchmark.data.source import Request
from benchmark.errors import InputError

BICYCLE, CABINET, FAN, MUG = "111502876121", "111690782417", "111428753355", "111717548477"  # of split 2
# product: photographs
PRODUCTS = {
    "Ebay_train.txt": {f"bicycle_final/{BICYCLE}": 12, f"cabinet_final/{CABINET}": 11, f"fan_final/{FAN}": 12},
    "Ebay_test.txt": {f"mug_final/{MUG}": 12, "mug_final/223": 12},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Each photograph's grey is its product's last digit."""
    base = tmp_path / "Stanford_Online_Products"
    for table, products in PRODUCTS.items():
        rows = ["image_id class_id super_class_id path"]
        for label, (product, count) in enumerate(products.items(), start=1):
            for i in range(count):
                path = base / f"{product}_{i}.JPG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (20 * int(product[-1]),) * 3).save(path)
                rows.append(f"{len(rows)} {label} 1 {product}_{i}.JPG")
        (base / table).write_text("\n".join(rows) + "\n")
    return tmp_path


def test_products_of_twelve_give_ten_to_train_on_and_two_to_test(root: Path, make_request: Callable[..., Request]):
    raw = sop.read(make_request("sop", root))
    assert raw.classes == (FAN, BICYCLE, MUG)  # a cabinet with a photograph too few and a mug nobody lists are left out
    for name, count in (("train", 10), ("test", 2)):
        part = raw.parts[name]
        assert np.bincount(part.labels).tolist() == [count] * 3
        greys = [int(np.median(image)) for image in part.images]
        expected = [20 * int(raw.classes[label][-1]) for label in part.labels]
        np.testing.assert_allclose(greys, expected, atol=1)  # JPEG
    train, test = ({path.name for path in raw.parts[name].images.paths} for name in ("train", "test"))
    assert (len(train), len(test), len(train | test)) == (30, 6, 36)


def test_published_photographs_are_tested(root: Path, make_request: Callable[..., Request]):
    """The first bicycle, fan and mug in MaskCon's sop_split2/test_path.json."""
    tested = {path.name for path in sop.read(make_request("sop", root)).parts["test"].images.paths}
    published = {BICYCLE: (8, 9), FAN: (10, 2), MUG: (5, 9)}
    assert tested == {f"{product}_{number}.JPG" for product, numbers in published.items() for number in numbers}


def test_a_list_that_lacks_a_tested_photograph_is_damaged(root: Path, make_request: Callable[..., Request]):
    table = root / "Stanford_Online_Products" / "Ebay_test.txt"
    table.write_text(table.read_text().replace(f"{MUG}_5.JPG", f"{MUG}_12.JPG"))
    with pytest.raises(InputError, match=rf"sop: the lists in .*Stanford_Online_Products lack {MUG}_5; unpack .*\.zip"):
        sop.fingerprint(make_request("sop", root))


def test_choice_does_not_depend_on_the_order_of_the_lists(root: Path, make_request: Callable[..., Request]):
    before = sop.fingerprint(make_request("sop", root))
    for name in sop.LISTS:
        table = root / sop.FOLDER / name
        head, *rows = table.read_text().splitlines()
        table.write_text("\n".join([head, *reversed(rows)]) + "\n")
    assert sop.fingerprint(make_request("sop", root)) == before


@pytest.mark.parametrize("row", ["1 2 3", "1 2 3 /etc/passwd", "1 2 3 ../x.JPG", "1 2 3 a b.JPG"])
def test_damaged_list_is_named_with_its_line(root: Path, make_request: Callable[..., Request], row: str):
    table = root / "Stanford_Online_Products" / "Ebay_test.txt"
    table.write_text(f"image_id class_id super_class_id path\n{row}\n")
    with pytest.raises(InputError, match=r"Ebay_test\.txt:2: expected image_id class_id .* path, found"):
        sop.read(make_request("sop", root))


@pytest.mark.parametrize("name", sop.LISTS)
def test_missing_list_says_where_and_how(root: Path, make_request: Callable[..., Request], name: str):
    (root / "Stanford_Online_Products" / name).unlink()
    with pytest.raises(InputError, match=rf"sop: no {name} in .*Stanford_Online_Products; unpack .*\.zip"):
        sop.fingerprint(make_request("sop", root))


def test_what_is_at_hand_is_told_without_decoding(root: Path, make_request: Callable[..., Request]):
    request = make_request("sop", root)
    assert sop.availability(request).ready
    assert sop.classes(request) == (FAN, BICYCLE, MUG)
    (root / "Stanford_Online_Products" / "Ebay_test.txt").unlink()
    found = sop.availability(request)
    assert (found.ready, found.missing) == (False, f"no Ebay_test.txt in {root}/Stanford_Online_Products")
    assert "unpack Stanford_Online_Products.zip" in found.how[-1]


def test_missing_photograph_is_named(root: Path, make_request: Callable[..., Request]):
    (root / "Stanford_Online_Products" / "mug_final" / f"{MUG}_3.JPG").unlink()
    with pytest.raises(InputError, match=rf"{MUG}_3\.JPG: cannot be read \(No such file"):
        sop.fingerprint(make_request("sop", root))


def test_tested_photographs_equal_the_published_list():
    facts = Path(__file__).parents[3] / "shared" / "facts" / "coarse_maps.json"
    if not facts.is_file():
        pytest.skip("no table of published maps beside the checkout")
    maps = json.loads(facts.read_text())["sop_split2"]
    split, tested = maps["test"], sop.tested_photographs()
    assert sorted(tested) == sorted(split["fine_to_product_id"])
    assert {sop.PHOTOGRAPHS - len(names) for names in tested.values()} == {*maps["train"]["min_max_images_per_fine"]}
    paths = [
        f"{maps['coarse_names'][label]}/{name}.JPG"
        for product, label in zip(split["fine_to_product_id"], split["fine_to_coarse"], strict=True)
        for name in tested[product]
    ]
    assert hashlib.sha256("\n".join(paths).encode()).hexdigest() == split["path_list_sha256"]
