"""Drafts from image trees, iNaturalist's folder names, tables and the BREEDS tree."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from benchmark import authoring, breeds, data, drafts, registry
from benchmark.drafts import Header
from benchmark.errors import InputError
from benchmark.schema import Hierarchy

FACTS = Path(__file__).parents[2] / "shared" / "facts"
INATURALIST = [
    "00000_Animalia_Arthropoda_Insecta_Coleoptera_Carabidae_Carabus_auratus",
    "00001_Animalia_Arthropoda_Insecta_Coleoptera_Carabidae_Carabus_nemoralis",
    "00002_Animalia_Arthropoda_Insecta_Coleoptera_Cerambycidae_Saperda_carcharias",
    "00003_Animalia_Chordata_Aves_Suliformes_Sulidae_Morus_bassanus",
    "00004_Plantae_Tracheophyta_Magnoliopsida_Rosales_Moraceae_Morus_alba",
    "00005_Plantae_Tracheophyta_Magnoliopsida_Rosales_Moraceae_Morus_rubra",
]


def paint(folder: Path, *classes: str, count: int = 1) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (i * 10, 0, 0)).save(folder / name / f"{i}.png")
    return folder


def header(name: str = "pets", *levels: str) -> Header:
    return Header(name, f"imagefolder/{name}", 8, levels)


def written(draft: authoring.Draft, folder: Path) -> Hierarchy:
    return authoring.write(draft, folder / "tasks" / f"{draft.name}.yaml")


@pytest.mark.parametrize("parts", [(), ("train",), ("train", "val"), ("train", "val", "test")])
def test_folders_two_deep_with_and_without_parts(tmp_path: Path, parts: tuple[str, ...]):
    for part in parts or (".",):
        paint(tmp_path / "pets" / part, "cat/siam", "cat/747", "dog/no")
    (tmp_path / "pets" / "LICENSE").write_text("")
    tree = written(drafts.from_folder(tmp_path / "pets", header()), tmp_path)
    assert tree.paths == (("cat", "cat/747"), ("cat", "cat/siam"), ("dog", "dog/no"))
    assert (tree.levels, tree.source, tree.image_size) == (("superclass", "class"), "imagefolder/pets", 8)
    assert tree.title == "pets: 2 superclass > 3 class"
    assert set(data.decode(tree, tmp_path).raw.classes) == set(tree.leaves)


def test_deeper_folders_and_folders_of_one_name(tmp_path: Path):
    folder = paint(tmp_path / "pets", "land/wild/cat", "land/tame/cat", "sea/wild/cat", "sea/wild/dog fish")
    draft = drafts.from_folder(folder, header())
    assert draft.levels == ("level-1", "level-2", "class")
    tree = written(draft, tmp_path)
    assert tree.paths == (
        ("land", "tame", "land/tame/cat"),
        ("land", "land/wild", "land/wild/cat"),
        ("sea", "sea/wild", "sea/wild/cat"),
        ("sea", "sea/wild", "sea/wild/dog fish"),
    )
    assert drafts.from_folder(folder, header("pets", "realm", "life", "animal")).levels == ("realm", "life", "animal")


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [
        (
            ["train/cat", "train/dog"],
            r"expected folders SUPER/…/FINE/IMAGE, found cat/IMAGE; .*init-task csv.*--inatur",
        ),
        (["cat/siam", "dog"], r"dog and cat/siam are not equally deep; move images"),
        (["train/cat/siam", "train/dog/pug", "val/cat/siam"], r"val has no images of 1 classes: dog/pug; add some"),
        ([], r"no folder with images below it; expected SUPER"),
    ],
)
def test_folders_that_make_no_hierarchy_are_refused(tmp_path: Path, classes: list[str], complaint: str):
    (tmp_path / "pets").mkdir()
    paint(tmp_path / "pets", *classes)
    with pytest.raises(InputError, match=complaint):
        drafts.from_folder(tmp_path / "pets", header())


def test_other_mistakes_with_folders_are_refused(tmp_path: Path):
    folder = paint(tmp_path / "pets", "train/cat/siam", "train/cat/ manx", "train/dog/pug")
    with pytest.raises(InputError, match=r"nowhere: no such folder; name one that holds the images"):
        drafts.from_folder(tmp_path / "nowhere", header())
    with pytest.raises(InputError, match=rf"train: a part of a data set; name the folder above it, {folder}"):
        drafts.from_folder(folder / "train", header())
    with pytest.raises(InputError, match=r"folders are 2 deep; give as many names to --levels, not 3"):
        drafts.from_folder(folder, header("pets", "a", "b", "c"))
    (folder / "train" / "cat" / " manx").rename(folder / "train" / "cat" / "manx ")
    with pytest.raises(InputError, match=rf"{folder}/cat/manx : class name 'cat/manx ' is blank or has blanks"):
        written(drafts.from_folder(folder, header()), tmp_path)


def test_inaturalist_ranks(tmp_path: Path):
    folder = paint(tmp_path / "2021" / "train", *INATURALIST).parent
    tree = written(drafts.from_inaturalist(folder, header("2021"), ["order", "family"]), tmp_path)
    assert (tree.levels, tree.coarse, tree.fine) == (("order", "family", "species"), "order", "family")
    assert tree.classes("order") == ("Coleoptera", "Suliformes", "Rosales")
    assert tree.classes("family") == ("Carabidae", "Cerambycidae", "Sulidae", "Moraceae")
    assert tree.leaves == tuple(INATURALIST)
    assert tree.names[INATURALIST[0]] == "Carabus auratus"
    task = registry.task("2021", tmp_path / "tasks")
    assert (len(task.coarse_classes), len(task.fine_classes)) == (3, 4)
    tree = written(drafts.from_inaturalist(folder, header("to-species"), ["kingdom", "species"]), tmp_path)
    assert (tree.levels, tree.fine) == (("kingdom", "species"), "species")
    assert tree.labels("kingdom") == (0, 0, 0, 0, 1, 1)


def test_inaturalist_taxa_of_one_name_stay_two(tmp_path: Path):
    folder = paint(tmp_path / "2021", *INATURALIST)
    tree = written(drafts.from_inaturalist(folder, header("2021"), ["genus", "species"]), tmp_path)
    assert tree.classes("genus") == ("Carabus", "Saperda", "Morus (Sulidae)", "Morus (Moraceae)")


@pytest.mark.parametrize(
    ("ranks", "complaint"),
    [
        (["order", "famly"], r"unknown rank 'famly'; did you mean 'family'\?"),
        (["order"], r"expected two ranks, the coarser first"),
        (
            ["family", "order"],
            r"--inaturalist family,order: expected two ranks, the coarser first, e\.g\. order,family",
        ),
        (["order", "family"], r"expected folders like 00000_Kingdom_.*, found 00006_Animalia; use iNaturalist 2021"),
    ],
)
def test_other_ranks_and_folders_are_refused(tmp_path: Path, ranks: list[str], complaint: str):
    folder = paint(tmp_path / "2021", *INATURALIST, "00006_Animalia")
    with pytest.raises(InputError, match=complaint):
        drafts.from_inaturalist(folder, header("2021"), ranks)


def test_inaturalist_names_its_levels_itself(tmp_path: Path):
    with pytest.raises(InputError, match=r"names the levels after the ranks; leave --levels out"):
        drafts.from_inaturalist(tmp_path, header("2021", "a", "b"), ["order", "family"])


def test_csv_columns_finest_first(tmp_path: Path):
    table = tmp_path / "pets.csv"
    table.write_bytes(
        '\ufeffbreed,kind,realm\r\nsiam,cat,land\r\n\r\n747,"cat",land\r\n"pug, the",dog,land\r\n'.encode()
        + b"siam,cat,land\r\nno,fish,sea\r\n"  # a repeated line is one class
    )
    tree = written(drafts.from_csv([table], header()), tmp_path)
    assert tree.levels == ("realm", "kind", "breed")
    assert tree.paths == (
        ("land", "cat", "siam"),
        ("land", "cat", "747"),
        ("land", "dog", "pug, the"),
        ("sea", "fish", "no"),
    )
    assert f"pets.csv (SHA-256 {breeds.digest(table)})" in " ".join(tree.provenance.split())
    chosen = written(drafts.from_csv([table], header("two", "realm", "breed"), ignore_others=True), tmp_path)
    assert chosen.paths == (("land", "siam"), ("land", "747"), ("land", "pug, the"), ("sea", "no"))
    assert chosen.ignore == "others"


def test_csv_without_a_header_in_several_files(tmp_path: Path):
    (tmp_path / "a.csv").write_text("siam,cat\nmanx,cat\n")
    (tmp_path / "b.csv").write_text("pug,dog\n")
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    tree = written(drafts.from_csv(files, header("pets", "kind", "breed"), has_header=False), tmp_path)
    assert (tree.levels, tree.paths) == (("kind", "breed"), (("cat", "siam"), ("cat", "manx"), ("dog", "pug")))
    with pytest.raises(InputError, match=r"--no-header: name the columns with --levels, coarsest first"):
        drafts.from_csv(files, header(), has_header=False)


@pytest.mark.parametrize(
    ("content", "levels", "complaint"),
    [
        (b"breed,kind\nsiam,cat\nmanx,cat\nsiam,dog\n", (), r"pets\.csv:4: breed 'siam' is below 'cat' and 'dog'; ren"),
        (b"breed,kind\nsiam,cat\nmanx\n", (), r"pets\.csv:3: expected 2 cells, found 1; mend the line"),
        (b"breed,kind\nsiam,cat\n manx,cat\npug,dog\n", (), r"pets\.csv:3: class name ' manx' is blank or has blanks"),
        (b"breed,kind\nsiam,cat\nmanx,\n", (), r"pets\.csv:3: class name '' is blank"),
        (b"breed,kind\nsiam,cat\n", ("kind", "bred"), r"pets\.csv:1: no column 'bred'; --levels can name: breed, kind"),
        (b"breed\nsiam\n", (), r"pets\.csv:1: expected columns FINE,COARSE,… of different names, found breed"),
        (b"breed,breed\nsiam,cat\n", (), r"pets\.csv:1: expected columns FINE,COARSE,…"),
        (b"Breed,kind\na,b\nc,b\nd,e\n", (), r"name 'Breed' must match .*; choose one with --levels"),
        (b"breed,kind\n", (), r"pets\.csv: no rows; expected a line for each class"),
        (b"", (), r"pets\.csv: empty; expected a line of column names"),
        (b'breed,kind\n"siam,cat\n', (), r"pets\.csv: not a table of UTF-8 text with commas between \(.*\); save it"),
        (b"breed,kind\nsi\xffam,cat\n", (), r"pets\.csv: not a table of UTF-8 text"),
    ],
)
def test_tables_that_make_no_hierarchy_are_refused(tmp_path: Path, content: bytes, levels: tuple, complaint: str):
    table = tmp_path / "pets.csv"
    table.write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        written(drafts.from_csv([table], header("pets", *levels)), tmp_path)


def test_missing_table_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read \(No such file or directory\); check the path"):
        drafts.from_csv([tmp_path / "none.csv"], header())


@pytest.fixture(scope="module")
def real(real_data: Callable[[str], Path]) -> Path:
    return real_data("hierarchy")


@pytest.mark.real_data
def test_csv_of_cifar100_equals_the_shipped_superclasses(real: Path, tmp_path: Path):
    chosen = Header("cifar", "torchvision/CIFAR100", 32, ("coarse", "fine"))
    tree = written(drafts.from_csv([real / "cifar100_superclasses.csv"], chosen), tmp_path)
    shipped = registry.task("cifar100-superclass").hierarchy
    assert sorted(tree.paths) == sorted(shipped.paths)


@pytest.mark.real_data
def test_csv_of_tiered_imagenet(real: Path, tmp_path: Path):
    files = [real / "tieredimagenet" / f"{part}.csv" for part in ("train", "val", "test")]
    chosen = Header("tiered", "imagefolder/imagenet", 84, ("superclass", "class"))
    tree = written(drafts.from_csv(files, chosen, has_header=False, ignore_others=True), tmp_path)
    assert (len(tree.classes("superclass")), len(tree.leaves), tree.ignore) == (34, 608, "others")


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["", "rand", "good", "bad"])
def test_wordnet_living17_equals_the_facts(real: Path, tmp_path: Path, split: str):
    if not (FACTS / "breeds_tasks.json").is_file():
        pytest.skip(f"no facts at {FACTS}")
    facts = json.loads((FACTS / "breeds_tasks.json").read_text())
    fact = facts["tasks"]["living17"]
    folder = breeds.find(real / "breeds")
    wanted = breeds.Selection(5, 4, "n00004258", breeds.split_of(split))
    draft = drafts.from_wordnet(folder, Header("l17", "imagefolder/imagenet", 64), wanted)
    tree = written(draft, tmp_path)
    assert tree.classes("superclass") == tuple(s["name"].split(",")[0] for s in fact["superclasses"])
    assert list(draft.notes.values()) == [s["wnid"] for s in fact["superclasses"]]
    truth = fact["splits"][split or "None"]
    both = [a + b for a, b in zip(truth["source"], truth["target"], strict=True)] if split else truth["subclasses"]
    assert tree.leaves == tuple(leaf for group in both for leaf in group)
    assert tree.labels("superclass") == tuple(label for label, group in enumerate(both) for _ in group)
    assert tree.target == tuple(leaf for group in truth.get("target", []) for leaf in group)
    assert dict(tree.names) == {leaf: facts["class_name"][leaf] for leaf in tree.leaves}
    assert tree.ignore == "others"
    said = " ".join(tree.provenance.split())
    for part in ("level=5, ancestor=n00004258", "Nsubclasses=4", f"split={split or None}", "random_seed=2"):
        assert part in said
    assert "on the published tree" in said and breeds.SHA256[breeds.EDGES] in said
    task = registry.task("l17", tmp_path / "tasks")
    assert task.kind == ("subpopulation-shift" if split else "coarse-to-fine")
    assert len(task.evaluation.fine_classes) == (34 if split else 68)


def test_wordnet_superclasses_of_one_name_stay_two(tmp_path: Path):
    (tmp_path / breeds.EDGES).write_text("root c1\nroot c2\nc1 a\nc1 b\nc2 d\nc2 e\n")
    (tmp_path / breeds.NAMES).write_text("root\tall\nc1\tcrane\nc2\tcrane\n" + "".join(f"{x}\t{x}\n" for x in "abde"))
    (tmp_path / breeds.CLASSES).write_text(json.dumps([[i, x, f"bird {x}"] for i, x in enumerate("abde")]))
    wanted = breeds.Selection(1, 2, split="good")
    draft = drafts.from_wordnet(tmp_path, header("cranes"), wanted)
    tree = written(draft, tmp_path)
    assert tree.paths == (("crane (c1)", "a"), ("crane (c1)", "b"), ("crane (c2)", "d"), ("crane (c2)", "e"))
    assert tree.target == ("b", "e")
    said = " ".join(tree.provenance.split())
    assert "ancestor=none" in said and "another tree than the published one" in said


def test_wordnet_among_the_folders_there_are(tmp_path: Path):
    (tmp_path / breeds.EDGES).write_text("root c\nroot d\nc c1\nc c2\nc c3\nd d1\nd d2\n")
    (tmp_path / breeds.NAMES).write_text("".join(f"{x}\tthe {x}\n" for x in "root c d c1 c2 c3 d1 d2".split()))
    (tmp_path / breeds.CLASSES).write_text(
        json.dumps([[i, x, x] for i, x in enumerate(["c1", "c2", "c3", "d1", "d2"])])
    )
    folder = paint(tmp_path / "some", "train/c3", "train/c1", "train/d1", "train/d2", "train/other")
    wanted = breeds.Selection(1, 2, balanced=False)
    tree = written(drafts.from_wordnet(tmp_path, header("some"), wanted, among=folder), tmp_path)
    assert sorted(tree.paths) == [("the c", "c1"), ("the c", "c3"), ("the d", "d1"), ("the d", "d2")]
    assert "with the 4 of its classes that some has" in " ".join(tree.provenance.split())
    with pytest.raises(InputError, match=r"none of 1 classes is in the tree; its classes are ids like c1"):
        drafts.from_wordnet(tmp_path, header("some"), wanted, among=paint(tmp_path / "else", "train/x"))
    with pytest.raises(InputError, match=r"--among .*nowhere: no such folder"):
        drafts.from_wordnet(tmp_path, header("some"), wanted, among=tmp_path / "nowhere")
