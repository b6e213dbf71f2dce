"""Claims: one owner at a time, taken over from the dead and from nobody else, whatever the clock says."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from benchmark import claims
from benchmark.claims import STALE_SECONDS, Claims
from benchmark.errors import InputError
from benchmark.schema import digest


@pytest.fixture
def claimed(tmp_path):
    return Claims(tmp_path)


def path_of(claimed, cell):
    return claimed.folder / f"{cell.key}.json"


def alter(path, age=0.0, **changes):
    """A claim as another machine or process would have left it, so many seconds ago by the file system's clock."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def test_a_cell_has_one_owner_until_it_is_released(claimed, toy_cell):
    cell, other = toy_cell(), toy_cell(seed=1)
    claim = claimed.take(cell)
    assert claimed.held(cell.key) and claimed.take(cell) is None
    assert claimed.take(other) is not None
    claim.release()
    assert not claimed.held(cell.key) and claimed.take(cell) is not None


def test_of_many_who_reach_for_a_cell_one_gets_it(claimed, toy_cell):
    cells, won, gate = [toy_cell(seed=seed) for seed in range(20)], [], threading.Barrier(8)

    def reach():
        for cell in cells:
            gate.wait()
            if claimed.take(cell):
                won.append(cell.key)

    threads = [threading.Thread(target=reach) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(cell.key for cell in cells)


def test_a_stale_claim_is_taken_over_by_one_of_many(claimed, toy_cell):
    cells, won, gate = [toy_cell(seed=seed) for seed in range(20)], [], threading.Barrier(8)
    for cell in cells:
        claimed.take(cell)
        alter(path_of(claimed, cell), age=STALE_SECONDS + 1, machine="another")

    def reach():
        for cell in cells:
            gate.wait()
            if claimed.take(cell):
                won.append(cell.key)

    threads = [threading.Thread(target=reach) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(cell.key for cell in cells)
    assert not list(claimed.folder.glob(".*"))  # neither drafts nor tombs


@pytest.mark.parametrize(("age", "held"), [(STALE_SECONDS - 5, True), (STALE_SECONDS + 1, False)])
def test_a_claim_of_another_machine_lives_by_its_heartbeat(claimed, toy_cell, age, held):
    claimed.take(toy_cell())
    alter(path_of(claimed, toy_cell()), age=age, machine="another")
    assert claimed.held(toy_cell().key) is held
    assert (claimed.take(toy_cell()) is None) is held


def test_a_clock_that_jumps_makes_no_claim_stale_and_keeps_none_alive(claimed, toy_cell, monkeypatch):
    fresh, stale = toy_cell(), toy_cell(seed=1)
    for cell, age in ((fresh, 0), (stale, STALE_SECONDS + 1)):
        claimed.take(cell)
        alter(path_of(claimed, cell), age=age, machine="another")
    for jump in (-1e7, 1e7):
        now = time.time() + jump
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert claimed.held(fresh.key) and not claimed.held(stale.key)


@pytest.mark.skipif(not claims.machine(), reason="no /proc: only heartbeats tell who is alive")
def test_the_claim_of_a_killed_process_of_this_machine_is_free_at_once(claimed, toy_cell):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    claimed.take(toy_cell())
    alter(path_of(claimed, toy_cell()), pid=child.pid, process=claims._birth(child.pid))
    assert claimed.held(toy_cell().key)
    child.kill()
    while claims._birth(child.pid):  # until the kernel has noticed; nobody has taken note of its end yet
        time.sleep(0.01)
    assert not claimed.held(toy_cell().key)
    child.communicate()
    assert claimed.take(toy_cell()) is not None


@pytest.mark.skipif(not claims.machine(), reason="no /proc: only heartbeats tell who is alive")
def test_a_later_process_of_the_same_number_is_another(claimed, toy_cell):
    claimed.take(toy_cell())
    alter(path_of(claimed, toy_cell()), process="1")
    assert not claimed.held(toy_cell().key)


def test_a_heartbeat_makes_fresh_and_tells_progress(claimed, toy_cell):
    claim = claimed.take(toy_cell())
    alter(path_of(claimed, toy_cell()), age=STALE_SECONDS + 1)
    assert claim.beat({"images": 3, "total": 4})
    (running,) = claimed.running()
    assert running.progress == {"images": 3, "total": 4} and running.silent < STALE_SECONDS and running.alive
    assert (running.cell["method"], running.cell["seed"], running.pid) == ("baseline", 0, os.getpid())


def test_an_owner_that_slept_too_long_leaves_the_next_one_alone(claimed, toy_cell):
    slow = claimed.take(toy_cell())
    alter(path_of(claimed, toy_cell()), age=STALE_SECONDS + 1, machine="another")
    quick = claimed.take(toy_cell())
    assert quick and not slow.beat({"images": 1, "total": 4})
    slow.release()
    assert claimed.held(toy_cell().key) and claimed.running()[0].progress == {}


def test_a_claim_is_kept_fresh_in_the_background_and_released(claimed, toy_cell, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    told = threading.Event()

    def progress():
        told.set()
        return {"images": 1, "total": 2}

    with pytest.raises(ZeroDivisionError), claimed.take(toy_cell()).kept(progress):
        assert told.wait(10)
        raise ZeroDivisionError
    assert not claimed.held(toy_cell().key)


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b'{"token": ', b"[]"])
def test_a_claim_that_is_not_whole_lives_by_its_age(claimed, toy_cell, content):
    claimed.take(toy_cell())
    path = path_of(claimed, toy_cell())
    path.write_bytes(content)
    assert claimed.held(toy_cell().key) and claimed.running() == []
    old = path.stat().st_mtime - STALE_SECONDS - 1
    os.utime(path, (old, old))
    assert claimed.take(toy_cell()) is not None


def test_a_folder_that_cannot_be_written_is_told_in_one_line(toy_cell, tmp_path):
    (tmp_path / "running").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        Claims(tmp_path).take(toy_cell())


def test_an_heir_that_died_on_the_way_keeps_nobody_out_for_ever(claimed, toy_cell):
    cell = toy_cell()
    stale = claimed.take(cell)
    alter(path_of(claimed, cell), age=STALE_SECONDS + 1, machine="another")
    mark = claimed.folder / f".{cell.key}.{digest([stale.record['token']])[:12]}.heir"
    mark.touch()
    assert claimed.take(cell) is None  # somebody is at it
    then = mark.stat().st_mtime - STALE_SECONDS - 1
    os.utime(mark, (then, then))
    assert claimed.take(cell) is None  # the mark goes
    assert claimed.take(cell) is not None
    assert [path.name for path in claimed.folder.iterdir()] == [f"{cell.key}.json"]
