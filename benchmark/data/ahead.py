"""Images that do not fit a GPU: the next batch is gathered and moved while the GPU works on this one."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from benchmark.schema import Images

Moved = tuple[Tensor, torch.cuda.Event | None]  # images, and when their copy is done; None where they are at once


class Ahead:
    """Images (N, C, H, W) uint8 that are indexed where they are and handed out on a device.

    One thread gathers into page-locked memory and copies on a CUDA stream of its own, so that neither the host nor the
    GPU's other work waits for a batch that was announced through `each`.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        self._images, self._device = images, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gather")
        self._underway: deque[tuple[Tensor, Future[Moved]]] = deque()

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return self._images.shape

    def each(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        """The indices themselves; when one is handed out its images and the next one's are under way."""
        self._underway.clear()  # what an epoch that broke off had asked for
        self._request(indices[0])
        for index, following in itertools.zip_longest(indices, indices[1:]):
            if following is not None:
                self._request(following)
            yield index

    def __getitem__(self, at: Any) -> Tensor:
        """Images at places, on the device; no wait for those under way longest."""
        if self._underway and self._underway[0][0] is at:
            images, copied = self._underway.popleft()[1].result()
        else:
            images, copied = self._moved(at)
        if copied is not None:
            here = torch.cuda.current_stream(self._device)
            here.wait_event(copied)
            images.record_stream(here)  # its memory is not given away before the work here is done
        return images

    def split(self, size: int) -> Iterable[Tensor]:
        """All images in order where they are, `size` at a time."""
        return self._images.split(size)

    def to(self, device: Any) -> Tensor:
        """All images on a device."""
        return self._images.to(device)

    def _request(self, index: Tensor) -> None:
        self._underway.append((index, self._thread.submit(self._moved, index)))

    def _moved(self, at: Any) -> Moved:
        chosen = self._images[at]
        if self._stream is None:
            return chosen.to(self._device), None
        with torch.cuda.stream(self._stream):
            return chosen.pin_memory().to(self._device, non_blocking=True), self._stream.record_event()
