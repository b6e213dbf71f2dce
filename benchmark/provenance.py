"""How a row came about: versions, device, commit, command."""

import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

import benchmark
from benchmark import distributed
from benchmark.backbones import initial_labels
from benchmark.pretrain import autocast_dtype
from benchmark.schema import Cell


def collect(cell: Cell, device: torch.device, split_digest: str) -> dict[str, Any]:
    """What is known of a cell's provenance before it is scored, by field of `Provenance`."""
    import sklearn
    import timm

    commit, dirty = commit_of_checkout()
    dtype = autocast_dtype(cell.recipe.precision if cell.recipe else "fp32", device)
    return dict(
        package_version=benchmark.__version__,
        git_commit=commit,
        git_dirty=dirty,
        python_version=platform.python_version(),
        torch_version=str(torch.__version__),
        timm_version=timm.__version__,
        sklearn_version=sklearn.__version__,
        device=device.type,
        device_name=f"{distributed.size()} x {device_name(device)}" if distributed.size() > 1 else device_name(device),
        num_threads=torch.get_num_threads(),
        precision="bf16" if dtype else "fp32",
        init="pretrained" if cell.backbone_args.get("pretrained") else "scratch",
        init_labels=initial_labels(cell.backbone, cell.backbone_args),
        split_digest=split_digest,
        command=command(),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def command() -> str:
    """The command line as typed, without the folder of the program."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


@lru_cache(maxsize=1)
def commit_of_checkout() -> tuple[str, bool]:
    """Commit of the checkout this package runs from, and whether files other than results differ from it."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return "", False
    try:
        commit, status = (
            subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=10).stdout
            for words in (
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", ".", ":!results"],
            )
        )
    except (OSError, subprocess.SubprocessError):
        return "", False
    return commit.strip(), bool(status.strip())


def device_name(device: torch.device) -> str:
    """Name of the processor or GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    names: Mapping[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        names = {key.strip(): value.strip() for key, value in lines}
    return names.get("model name") or platform.processor() or platform.machine()
