"""A sweep that is killed again and again ends as one that is not; `python tests/chaos.py` does it a hundred times."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).with_name("chaos.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children that are forked")
def test_a_sweep_killed_at_random_moments_ends_as_an_undisturbed_one(tmp_path):
    command = [sys.executable, CHAOS, tmp_path / "chaos", "--kills", "8"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHAOS.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(int(count) for count in re.findall(r"(\d+) x SIG", done.stdout)) == 8
