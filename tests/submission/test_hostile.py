"""Archives that nobody should accept: each is refused in plain lines, nothing is written, memory stays bounded."""

import io
import json
import random
import stat
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from submission.forge import member, npz, snapshot

from benchmark.errors import InputError
from benchmark.submission import arrays, parcel

PAYLOAD = b"{}"


def refused(forge, fragment: str, **terms) -> list[str]:
    """The problems of an archive, of which one holds the fragment; nothing may be written but the archive itself."""
    before = snapshot(forge.folder)
    try:
        problems = list(forge.accept(**terms).problems)
    except InputError as error:
        problems = [str(error)]
    assert snapshot(forge.folder) == before
    assert any(fragment in line for line in problems), problems
    assert all(line.isprintable() and len(line) < 2000 for line in problems), problems
    return problems


def test_the_honest_archive_is_accepted(forge):
    forge.write()
    outcome = forge.accept(check=True)
    assert not outcome.problems and len(outcome.added) == 2


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.json",
        "cells/../../escaped.json",
        "/tmp/escaped.json",
        "cells\\escaped.json",
        "C:/escaped.json",
        "cells/\x1b[2J.json",
        "CELLS/00000000000000000000.json",
        "cells/0000000000000000000G.json",
        "cells/00000000000000000000.json/",
        "cells/",
        "store.json",
        "results.csv",
        "features/00000000000000000000.safetensors",
        "predictions/00000000000000000000.00000000.npz.py",
        "",
        "a" * 5000,
        "cells/" + "０" * 20 + ".json",
    ],
)
def test_names_out_of_place(forge, name):
    forge.write([(member(name), PAYLOAD)])
    refused(forge, "is none of manifest.json")


def test_a_name_that_goes_on_after_a_nul(forge):
    forge.write([(member("cells/00000000000000000000.json~.png"), PAYLOAD)])
    forge.path.write_bytes(forge.path.read_bytes().replace(b".json~.png", b".json\0.png"))
    refused(forge, "is none of manifest.json")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(forge):
    forge.write([(forge.cell, forge.members[forge.cell])])
    refused(forge, "is there twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_devices_and_folders(forge, kind):
    forge.write([(member("cells/00000000000000000000.json", kind | 0o777), b"/etc/passwd")])
    refused(forge, "is no regular file")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(forge, compression):
    forge.write([(member("cells/00000000000000000000.json", compression=compression), PAYLOAD)])
    refused(forge, "is compressed by method")


def test_encrypted_members(forge):
    content = bytearray(forge.write().read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.rindex(signature) + offset] |= 1
    forge.path.write_bytes(content)
    refused(forge, "is encrypted")


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: b"PK",
        lambda whole: b"no archive" * 100,
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole + b"tail",
        lambda whole: whole[-22:],
        lambda whole: whole[:-2] + struct.pack("<H", 4) + b"text",
    ],
    ids=["empty", "short", "text", "half", "cut", "tail", "end-only", "comment"],
)
def test_what_is_no_zip(forge, damage):
    whole = forge.write().read_bytes()
    forge.path.write_bytes(damage(whole))
    refused(forge, "not a zip archive")


def test_a_folder_or_nothing_at_the_path(forge):
    refused(forge, "not a zip archive")
    forge.path.mkdir()
    refused(forge, "not a zip archive")


def test_members_that_begin_nowhere(forge):
    whole = forge.write().read_bytes()
    forge.path.write_bytes(whole[:-6] + struct.pack("<L", 2**31) + whole[-2:])
    refused(forge, "cannot be unpacked")


@pytest.mark.parametrize("byte", [0, 30, 200, 1000, 5000])
def test_a_flipped_bit_anywhere_is_found(forge, byte):
    whole = bytearray(forge.write().read_bytes())
    whole[byte] ^= 0x10
    forge.path.write_bytes(whole)
    refused(forge, "")


def test_the_extensions_for_huge_files(forge):
    whole = forge.write().read_bytes()
    end = whole[-22:]
    forge.path.write_bytes(whole[:-22] + b"PK\6\7" + bytes(16) + end)
    refused(forge, "extensions for huge files")


# Bombs: nothing of them is unpacked, or no more than was declared.


def refused_cheaply(forge, fragment: str) -> None:
    """Refused with less than 64 MiB and in less than 20 s, under a tracer that slows everything down."""
    started = time.monotonic()
    tracemalloc.start()
    try:
        refused(forge, fragment)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20 and time.monotonic() - started < 20


def test_an_archive_that_is_too_large_is_not_read(forge, monkeypatch):
    monkeypatch.setattr(parcel, "MAX_ARCHIVE_BYTES", forge.write().stat().st_size - 1)
    refused_cheaply(forge, "bytes, at most")


def test_a_member_that_is_too_large_unpacked(forge, tmp_path):
    bomb = tmp_path / "zeros"
    with bomb.open("wb") as file:
        file.truncate(100 * 2**20)
    forge.write()
    with zipfile.ZipFile(forge.path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.write(bomb, "cells/00000000000000000000.json")
    bomb.unlink()
    refused_cheaply(forge, "bytes unpacked; at most")


def test_a_member_that_says_it_is_small(forge):
    content = bytes(5 * 2**20)
    forge.write([("cells/00000000000000000000.json", content)])
    whole = forge.path.read_bytes().replace(struct.pack("<L", len(content)), struct.pack("<L", 1000))
    forge.path.write_bytes(whole)
    refused_cheaply(forge, "cannot be unpacked")


def test_a_member_that_says_it_is_large(forge):
    forge.write([("cells/00000000000000000000.json", bytes(999))])
    whole = forge.path.read_bytes().replace(struct.pack("<L", 999), struct.pack("<L", 5000))
    forge.path.write_bytes(whole)
    refused_cheaply(forge, "cannot be unpacked")


def test_many_members_that_are_too_much_together(forge, monkeypatch):
    forge.write()
    total = sum(map(len, forge.members.values()))
    monkeypatch.setattr(parcel, "MAX_TOTAL_BYTES", total)
    refused_cheaply(forge, "bytes unpacked, at most")


def test_too_many_members(forge):
    with zipfile.ZipFile(forge.path, "w") as archive:
        for i in range(parcel.MAX_MEMBERS + 1):
            archive.writestr(f"cells/{i:020}.json", b"")
    refused_cheaply(forge, "members")


def test_a_list_of_members_that_is_a_bomb_itself(forge):
    entry = b"PK\1\2" + bytes(42)
    listing = entry * (2**24 // len(entry))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5, 5, len(listing), 0, 0)
    forge.path.write_bytes(listing + end)
    refused_cheaply(forge, "a list of")


def test_members_that_share_their_bytes(forge):
    """Overlapping members, the non-recursive kind of bomb: each counts in full."""
    forge.write([("cells/00000000000000000000.json", bytes(8 * 2**20))])
    whole = forge.path.read_bytes()
    size, start = struct.unpack("<LL", whole[-10:-2])
    listing = whole[start : start + size]
    last = listing[listing.rindex(b"PK\1\2") :]
    copies = b"".join(last.replace(b"/0000", f"/{i:04}".encode()) for i in range(1, 200))
    count = len(forge.members) + 2 + 199
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(listing + copies), start, 0)
    forge.path.write_bytes(whole[:start] + listing + copies + end)
    refused_cheaply(forge, "bytes unpacked, at most")


# The manifest.


@pytest.mark.parametrize(
    ("edit", "fragment"),
    [
        ({"name": "../up"}, "name"),
        ({"name": "Upper"}, "name"),
        ({"name": "nul"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"paper": ""}, "paper"),
        ({"paper": "line\nbreak"}, "paper"),
        ({"paper": "\x1b[31mred"}, "paper"),
        ({"paper": "\u202egnp.exe"}, "paper"),
        ({"paper": "x" * 301}, "paper"),
        ({"paper": "=cmd|' /C calc'!A0"}, "paper"),
        ({"contact": "\ud800"}, "contact"),
        ({"format": 2}, "format"),
        ({"schema_version": 1}, "schema_version"),
        ({"metric_version": 1}, "metric_version"),
        ({"metric_version": True}, "metric_version"),
        ({"script": "rm"}, "script"),
        ({"__class__": "x"}, "__class__"),
        ({"incomplete": ["x"] * 1001}, "incomplete"),
        ({"files": {}}, "files"),
        ({"files": {"../x": {"bytes": 0, "sha256": "0" * 64}}}, "files"),
        ({"files": {"manifest.json": {"bytes": 0, "sha256": "0" * 64}}}, "files"),
    ],
)
def test_manifests_that_do_not_fit(forge, edit, fragment):
    forge.seal()
    forge.manifest |= edit
    forge.write(seal=False)
    (line,) = refused(forge, "manifest.json does not fit")
    assert fragment in line


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"name": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b"1" * 5000,
        b'"x"',
        b"null",
    ],
)
def test_manifests_that_are_none(forge, content):
    with zipfile.ZipFile(forge.path, "w") as archive:
        archive.writestr("manifest.json", content)
        for name, one in forge.members.items():
            archive.writestr(name, one)
    refused(forge, "manifest.json")


def test_no_manifest(forge):
    with zipfile.ZipFile(forge.path, "w") as archive:
        for name, content in forge.members.items():
            archive.writestr(name, content)
    refused(forge, "manifest.json is missing")


def test_files_that_are_not_those_of_the_manifest(forge):
    forge.seal()
    forge.members[forge.cell] += b" "
    forge.write(seal=False)
    refused(forge, "is not the file of the manifest")


def test_files_that_the_manifest_lacks_or_has_alone(forge):
    forge.seal()
    content = forge.members.pop(forge.predictions)
    forge.members["cells/00000000000000000000.json"] = content
    forge.write(seal=False)
    problems = refused(forge, "is in the manifest, not in the archive")
    assert any("is not in the manifest" in line for line in problems)


def test_predictions_of_no_row_and_an_archive_without_rows(forge):
    del forge.members[forge.cell]
    forge.write()
    refused(forge, "of no row in the archive")
    forge.members.pop(forge.cell)
    forge.write()
    refused(forge, "there is no row in it")


# Rows.


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        ('"seed": 0', '"seed": NaN', "NaN"),
        ('"seed": 0', '"seed": Infinity', "Infinity"),
        ('"seed": 0', '"seed": -1', "cell.seed"),
        ('"seed": 0', '"seed": true', "cell.seed"),
        ('"seed": 0', '"seed": "0"', "cell.seed"),
        ('"seed": 0', '"seed": 0.0', "cell.seed"),
        ('"seed": 0', '"seed": 1e999', "cell.seed"),
        ('"seed": 0', '"seed": ' + "9" * 100, "cell.seed"),
        ('"seed": 0', '"seed": ' + "9" * 5000, "not a row"),
        ('"seed": 0', '"seed": 0, "seed": 0', "a key is there twice"),
        ('"seed": 0', '"seed": ' + "[" * 100_000, "not a row"),
        ('"seed": 0', '"seed": 0, "more": 1', "cell.more"),
        ('"schema": ', '"schema": 1', "schema"),
        ('"kind": "coarse-to-fine"', '"kind": "long-tailed"', "kind is"),
        ('"coarse_level": "', '"coarse_level": "x', "coarse_level is"),
        ('"hierarchy_version": ', '"hierarchy_version": 9', "hierarchy_version is"),
        ('"hierarchy_digest": "', '"hierarchy_digest": "0', "hierarchy toy is"),
        ('"data_digest": "', '"data_digest": "0', "cell.data_digest"),
        ('"seed": 0', '"seed": 1', "do not give its key"),
        ('"task": "toy"', '"task": "tox"', "unknown task"),
        ('"task": "toy"', '"task": "toy+random-superclasses:0"', "for a control take a task with real images"),
        ('"task": "toy"', '"task": "../../etc/passwd"', "unknown task"),
        ('"method": "', '"method": "x', "do not give its key"),
        ('"method": "', '"method": "../x', "cell.method"),
        ('"method": "', '"method": "<script>', "cell.method"),
        ('"recipe": "quickstart+"', '"recipe": "quickstart"', "recipe_params are not those"),
        ('"recipe": "quickstart+"', '"recipe": "cifar100"', "unknown recipe"),
        ('"recipe": "quickstart+"', '"recipe": "external"', "do not give its key"),
        ('"method_params": "{', '"method_params": " {', "cell.method_params"),
        ('"method_params": "{', '"method_params": "[", "x": "{', "cell.method_params"),
        ('"backbone_args": "{}"', '"backbone_args": "[\\"x\\"]"', "cell.backbone_args"),
        ('"missing_classes": "[]"', '"missing_classes": "[[[[]]]]"', "cell.missing_classes"),
        ('"measures": "{}"', '"measures": "{\\"layers\\": false}"', "measures is"),
        ('"measures": "{}"', '"measures": "{\\"x\\": 1}"', "measures.x"),
        ('"metric_version": ', '"metric_version": 9', "metric version 9"),
        ('"device_name": "', '"device_name": "\\u001b[2J', "provenance.device_name"),
        ('"device_name": "', '"device_name": "\\ud800', "provenance.device_name"),
        ('"device_name": "', '"device_name": "=1+1', "provenance.device_name"),
        ('"device_name": "', '"device_name": "' + "x" * 301, "provenance.device_name"),
        ('"git_commit": "', '"git_commit": "g', "provenance.git_commit"),
        ('"git_dirty": ', '"git_dirty": 1, "x": ', "provenance.git_dirty"),
        ('"pretrain_seconds": ', '"pretrain_seconds": -', "cost.pretrain_seconds"),
        ('"coarse_val_acc": ', '"coarse_val_acc": 1', "selection.coarse_val_acc"),
        ('"split": "test"', '"split": "validation"', "figures.0.split"),
        ('"layer": ""', '"layer": "\\n"', "figures.0.layer"),
        ('"metric": "coarse_acc"', '"metric": "magic_acc"', "there is no such metric"),
        ('"metric": "coarse_acc"', '"metric": "coarse_ece"', "is there twice"),
        ('"torch_version": "', '"torch_version": "<b>', "provenance.torch_version"),
        ('"finished_at": "', '"finished_at": "yesterday, ', "provenance.finished_at"),
        ('"epoch": 0', '"epoch": 0, "<b>": 1', "history.0"),
        ('"epoch": 0', '"epoch": 1', "epochs are not counted from 0"),
        ('"train_acc": ', '"train_acc": 7', "history.0.train_acc"),
        ('"epoch": 0', '"epoch": 0, "lam": "high"', "history.0.lam"),
        ('"epoch": 0', '"epoch": 0, "lam": 1e999', "history.0.lam"),
        ('"epoch": 0', '"epoch": 0, "lam": ' + "9" * 400, "history.0.lam"),
        ("{", "\ufeff{", "not a row"),
        ("{", "[", "not a row"),
    ],
)
def test_rows_of_a_wrong_form(forge, old, new, fragment):
    forge.text(old, new)
    forge.write()
    refused(forge, fragment)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'"row"', b"\x80", b"{}", b'{"cell": 1}', b'{"cell": []}'])
def test_rows_that_are_none(forge, content):
    forge.members[forge.cell] = content
    forge.write()
    refused(forge, "cells/")


@pytest.mark.parametrize(
    ("metric", "name", "value"),
    [
        ("subclass_separability", "value", -1),
        ("uniformity", "value", 0.5),
        ("rankme", "untrained", 0.5),
        ("alignment_fine", "shuffled", 4.1),
        ("variance_fine", "value", "inf"),
        ("rankme", "high", 0.0),
        ("coarse_acc", "low", None),
    ],
)
def test_numbers_outside_their_range(forge, metric, name, value):
    def edit(record):
        next(line for line in record["figures"] if line["metric"] == metric)[name] = value

    forge.row(edit)
    forge.write()
    refused(forge, metric)


def test_a_metric_that_is_left_out(forge):
    forge.row(lambda r: r.update(figures=[line for line in r["figures"] if line["metric"] != "uniformity"]))
    forge.write()
    refused(forge, "uniformity, test: is not there")


def test_an_epoch_that_is_left_out(forge):
    forge.row(lambda record: record["history"].pop())
    forge.write()
    refused(forge, "history: 1 epochs, the recipe has 2")


def test_a_superclass_that_the_task_has_not(forge):
    def edit(record):
        line = next(line for line in record["figures"] if line["metric"] == "alignment_fine" and line["superclass"])
        line["superclass"] = "<img src=x onerror=alert(1)>"

    forge.row(edit)
    forge.write()
    refused(forge, "which the task has not")


def test_a_row_under_another_name(forge):
    forge.members["cells/00000000000000000000.json"] = forge.members.pop(forge.cell)
    forge.write()
    refused(forge, "of no row")


def test_many_wrong_rows_make_a_line_each(forge):
    for name in [name for name in forge.members if name.startswith("cells/")]:
        forge.members[name] = PAYLOAD
    forge.write()
    assert len(refused(forge, "cells/")) == 2


# Predictions.


def without(arrays, name):
    del arrays[name]


@pytest.mark.parametrize(
    ("edit", "fragment"),
    [
        (lambda a: a.update(fine=np.array([{"x": 1}] * len(a["fine"]), dtype=object)), "holds object"),
        (lambda a: a.update(fine=a["fine"].astype(np.complex64)), "holds complex64"),
        (lambda a: a.update(fine=a["fine"].astype(np.float32)), "holds float32"),
        (lambda a: a.update(fine=a["fine"].astype(">i4")), "expected integers"),
        (lambda a: a.update(fine=a["fine"].astype(bool)), "holds bool"),
        (lambda a: a.update(fine=a["fine"].astype("U9")), "expected integers"),
        (lambda a: a.update(fine=np.zeros(len(a["fine"]), [("x", "i4")])), "expected integers"),
        (lambda a: a.update(average_precision=a["average_precision"].astype(np.float64)), "expected float32"),
        (lambda a: a.update(fine=a["fine"][:0]), "has shape"),
        (lambda a: a.update(fine=a["fine"][0]), "has shape"),
        (lambda a: a.update(knn=a["knn"][:5]), "knn has shape"),
        (lambda a: a.update(shots=a["shots"][:2]), "shots has shape"),
        (lambda a: a.update(coarse_logits=a["coarse_logits"][:, :2]), "coarse_logits has shape"),
        (lambda a: a.update(coarse_logits=np.asfortranarray(a["coarse_logits"])), "coarse_logits has shape"),
        (lambda a: a["coarse_logits"].fill(np.nan), "coarse_logits holds NaN"),
        (lambda a: a["coarse_logits"].fill(np.inf), "coarse_logits holds NaN or infinity"),
        (lambda a: a["fine"].fill(7), "fine has values"),
        (lambda a: a.update(linear=np.full_like(a["linear"], -1, dtype=np.int8)), "linear has values"),
        (lambda a: a.update(clusters=np.full(len(a["fine"]), 2**63, np.uint64)), "clusters has values"),
        (lambda a: a.update(first_hit=np.full(len(a["fine"]), 2**40)), "first_hit has values"),
        (lambda a: a["average_precision"].fill(2), "average_precision has values"),
        (lambda a: a["episodes.5way_1shot"].fill(200), "episodes.5way_1shot has values"),
        (lambda a: a["episodes.5way_1shot"][..., 1].fill(0), "more right answers than questions"),
        (lambda a: a.update(extra=np.zeros(3)), "'extra.npy' is no array"),
        (lambda a: a.update({"episodes.9way_1shot": a["episodes.5way_1shot"]}), "is no array"),
        (lambda a: without(a, "knn"), "knn is missing"),
        (lambda a: without(a, "fine"), "fine is missing"),
    ],
)
def test_arrays_of_a_wrong_form(forge, edit, fragment):
    forge.arrays(edit)
    forge.write()
    refused(forge, fragment)


class Trap:
    """Whoever unpickles this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_never_loaded(forge):
    sprung = forge.folder / "sprung"

    def edit(arrays):
        trap = np.empty(len(arrays["fine"]), dtype=object)
        trap[:] = [Trap(sprung)] * len(trap)
        arrays["knn"] = trap

    forge.arrays(edit)
    forge.write()
    refused(forge, "holds object")
    assert not sprung.exists()


def header(text: str) -> bytes:
    padded = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"), "has shape"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (-5,), }"), "has shape"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (70,), }"), "which are not those of shape"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (70,), }"), "holds object"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (True,), }"), "which are not those of shape"),
        (header("__import__('os').system('x')"), "no header of an array"),
        (header("(" * 116), "no header of an array"),
        (b"\x93NUMPY\x01\x00\xff\xff", "no header of an array"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "expected (1, 0)"),
        (b"\x80\x04\x95 a pickle", "not those of a row"),
        (b"", "not those of a row"),
    ],
)
def test_headers_that_lie(forge, content, fragment):
    with np.load(io.BytesIO(forge.members[forge.predictions])) as file:
        raw = {name: io.BytesIO() for name in file.files}
        for name, packed in raw.items():
            np.save(packed, file[name])
    members = {name: packed.getvalue() for name, packed in raw.items()} | {"fine": content}
    forge.npz(npz(**members))
    forge.write()
    refused(forge, fragment)


def test_arrays_that_are_a_bomb(forge, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_BYTES", 2**27)
    with np.load(io.BytesIO(forge.members[forge.predictions])) as file:
        raw = {name: b"" for name in file.files}
    forge.npz(npz(**raw | {"knn": bytes(arrays.MAX_BYTES + 1)}))
    forge.write()
    refused_cheaply(forge, "bytes unpacked, at most")


def test_arrays_that_are_a_bomb_together(forge, monkeypatch):
    with np.load(io.BytesIO(forge.members[forge.predictions])) as file:
        sizes = [8 * file[name].size for name in file.files]
    monkeypatch.setattr(arrays, "MAX_BYTES", sum(sizes) - 1)
    forge.write()
    refused(forge, "bytes unpacked, at most")


@pytest.mark.parametrize("content", [b"", b"PK", b"no npz" * 20])
def test_predictions_that_are_no_npz(forge, content):
    forge.npz(content)
    forge.write()
    refused(forge, "not a zip archive")


def test_predictions_that_nobody_needs(forge):
    forge.members[f"predictions/{Path(forge.cell).stem}.00000000.npz"] = b"ballast"
    forge.write()
    refused(forge, "no row is computed from it")


def test_predictions_that_are_missing_or_another_file(forge):
    content = forge.members[forge.predictions]
    forge.members[forge.predictions] = content + b"x"
    forge.write()
    refused(forge, "SHA-256 differs")
    del forge.members[forge.predictions]
    forge.write()
    refused(forge, "is missing")


# Rows in good form that lie.


def test_better_answers_than_scores(forge):
    forge.arrays(lambda arrays: arrays.update(knn=arrays["fine"].copy()))
    forge.write()
    (line,) = refused(forge, "different when computed again")
    assert "fine_knn_acc" in line


def test_better_scores_than_answers(forge):
    def edit(record):
        for line in record["figures"]:
            if line["metric"] == "fine_linear_acc" and not line["superclass"]:
                line.update(value=0.99, low=0.98, high=1.0)

    forge.row(edit)
    forge.write()
    refused(forge, "fine_linear_acc, test: value stored as 0.99")


def test_a_score_that_is_left_out(forge):
    def edit(record):
        place = ("fine_linear_acc", "(worst)")
        lines = record["figures"]
        record["figures"] = [line for line in lines if (line["metric"], line["superclass"]) != place]

    forge.row(edit)
    forge.write()
    refused(forge, "computed, but not stored")


def test_true_labels_of_ones_own(forge):
    """Answers are the labels of the archive's own making, and the scores are computed from both."""
    forge.arrays(lambda arrays: arrays.update(fine=arrays["fine"][::-1].copy()))
    forge.write()
    refused(forge, "its true labels or training counts are not those of", data_root=Path("nowhere"))


def test_training_counts_of_ones_own(forge):
    forge.arrays(lambda arrays: arrays.update(shots=arrays["shots"] + 1))
    forge.write()
    refused(forge, "its true labels or training counts are not those of", data_root=Path("nowhere"))


def test_splits_of_ones_own(forge):
    forge.row(lambda record: record["provenance"].update(split_digest="0" * 16))
    forge.write()
    refused(forge, "its split_digest is not that of", data_root=Path("nowhere"))


def test_other_images_than_those_of_published_rows(forge, toy_task):
    from conftest import HIERARCHIES

    from benchmark import schema, verify

    forge.write()
    assert not forge.accept().problems
    record = json.loads(forge.members[forge.cell])
    cell = verify.cell_of(record["cell"], HIERARCHIES)
    other = schema.Cell(
        **{name: getattr(cell, name) for name in schema.Cell.__dataclass_fields__ if name != "data_digest"},
        data_digest="0" * 16,
    )
    content, old = forge.members[forge.predictions], forge.predictions
    del forge.members[old]
    forge.rename({"data_digest": "0" * 16, "key": other.key})
    forge.members[old.replace(cell.key, other.key)] = content
    forge.write()
    refused(forge, "data_digest 0000000000000000 is not that of other rows of toy")


# What nobody has thought of.

ODD = [None, True, -1, 1.5, 1e308, 10**400, "", "x", "\0", "<b>", "../x", "[]", "{}", '["x"]', "inf", "9" * 300, [], {}]


def places(value, path=()):
    """Paths to every part of a row, of lists the first members only."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for name, part in pairs:
        yield from places(part, (*path, name))


@pytest.mark.parametrize("seed", range(40))
def test_a_value_anywhere_never_ends_in_a_traceback(forge, seed):
    """Found a class called "inf", arguments that are a list, and headers that Python's tokenizer gives up on."""
    draw = random.Random(seed)

    def edit(record):
        *above, last = draw.choice([path for path in places(record) if path])
        for name in above:
            record = record[name]
        record[last] = draw.choice(ODD)

    forge.row(edit)
    forge.write()
    before = snapshot(forge.folder)
    assert all(line.isprintable() for line in forge.accept(check=True).problems)
    assert snapshot(forge.folder) == before
