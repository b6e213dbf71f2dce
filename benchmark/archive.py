"""What lies beside a row: predictions (npz) and, on request, features (safetensors). Read without pickle.

Both carry everything that is needed to compute the row's scores again: the first those of head and read-outs, the
second all of them. The row holds their SHA-256.
"""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import InputError
from benchmark.metrics import Predictions
from benchmark.schema import Features, Labels

EPISODES = "episodes."  # prefix of the arrays of few-shot settings
MAX_BYTES = 2**31  # of an archive once unpacked; a larger one is no row of ours


def pack(predictions: Predictions) -> bytes:
    """A compressed npz; labels in the smallest integers that hold them."""
    arrays: dict[str, Any] = {}
    for name, value in _fields(predictions).items():
        if isinstance(value, Mapping):
            arrays |= {f"{EPISODES}{setting}": accuracies.numpy() for setting, accuracies in value.items()}
        elif value is not None:
            arrays[name] = _small(value.cpu().numpy())
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def unpack(path: Path) -> Predictions:
    """Predictions as they were packed.

    Raises:
        InputError: if the file is none of ours.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError("too large")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.from_numpy(_wide(file[name])) for name in file.files}
        episodes = {name[len(EPISODES) :]: arrays.pop(name) for name in list(arrays) if name.startswith(EPISODES)}
        whole: dict[str, Any] = {**dict.fromkeys(f.name for f in dataclasses.fields(Predictions)), **arrays}
        return Predictions(**(whole | {"episodes": episodes}))
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a file of predictions ({error}); get it again, or run the cell anew") from None


def keep(path: Path, features: Features, labels: Labels, record: Mapping[str, Any]) -> None:
    """Write features, labels and what else a row needs, whole or not at all."""
    from safetensors.torch import save_file

    tensors = {f"features.{name}": value for name, value in _flat(features).items()}
    tensors |= {f"labels.{name}": value for name, value in _flat(labels).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    save_file({name: value.contiguous() for name, value in tensors.items()}, draft, {"record": json.dumps(record)})
    draft.chmod(0o644)  # safetensors makes files that nobody else can read
    draft.replace(path)


def recall(path: Path) -> tuple[Features, Labels, dict[str, Any]]:
    """What was kept.

    Raises:
        InputError: if the file is none of ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            record = json.loads((file.metadata() or {})["record"])
        parts: dict[str, dict[str, Any]] = {"features": {}, "labels": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        return _features(parts["features"]), Labels(**parts["labels"]), record
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not a file of features ({error}); delete it and run the cell anew") from None


def sha256(content: bytes | Path) -> str:
    """Of bytes or of a file, as 64 hex digits."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def _flat(value: Any) -> dict[str, Tensor]:
    """Tensors of a dataclass by dotted names; what is None is left out."""
    flat: dict[str, Tensor] = {}
    for name, part in _fields(value).items():
        if isinstance(part, Tensor):
            flat[name] = part
        elif isinstance(part, tuple):
            flat |= {f"{name}.weight": part[0], f"{name}.bias": part[1]}
        elif isinstance(part, Mapping):
            flat |= {f"{name}.{key}": tensor for key, tensor in part.items()}
    return flat


def _features(flat: dict[str, Any]) -> Features:
    layers = {name.partition(".")[2]: flat.pop(name) for name in sorted(flat) if name.startswith("layers.")}
    head = (flat.pop("head.weight"), flat.pop("head.bias")) if "head.weight" in flat else None
    logits = {name: flat.pop(name, None) for name in ("held_out_logits", "test_logits")}
    return Features(**flat, **logits, head=head, layers=layers)


def _small(array: Any) -> Any:
    """Integers in the narrowest type that holds them; everything else as it is."""
    if array.dtype.kind != "i":
        return array
    return array.astype(
        np.min_scalar_type(int(array.min(initial=0)))
        if array.min(initial=0) < 0
        else np.min_scalar_type(int(array.max(initial=0)))
    )


def _wide(array: Any) -> Any:
    return array.astype(np.int64) if array.dtype.kind in "iu" else array
