"""What of a hierarchy's images is here, without fetching or decoding any."""

from pathlib import Path

from benchmark.data import cache
from benchmark.data.loading import FAMILIES
from benchmark.data.source import Availability, Informed, Request
from benchmark.errors import InputError
from benchmark.schema import Hierarchy


def availability(hierarchy: Hierarchy, root: Path) -> Availability:
    """Whether the images can be read now: from the files, or decoded from the cache without them.

    Raises:
        InputError: if there is no such source.
    """
    found = _of_files(hierarchy, root)
    if not found.ready and _decoded(hierarchy, root) is not None:
        return Availability(True, note="decoded in the cache; the files themselves are not here")
    return found


def classes(hierarchy: Hierarchy, root: Path) -> tuple[str, ...] | None:
    """Names of the source's classes; None where they cannot be known without fetching or decoding."""
    source, request = FAMILIES[hierarchy.source.partition("/")[0]], Request(hierarchy, root)
    if isinstance(source, Informed):
        try:
            return source.classes(request)
        except InputError:
            pass
    return _decoded(hierarchy, root)


def _of_files(hierarchy: Hierarchy, root: Path) -> Availability:
    source, request = FAMILIES[hierarchy.source.partition("/")[0]], Request(hierarchy, root)
    if isinstance(source, Informed):
        return source.availability(request)
    try:
        source.fingerprint(request)
    except InputError as error:
        return Availability(False, str(error))
    return Availability(True)


def _decoded(hierarchy: Hierarchy, root: Path) -> tuple[str, ...] | None:
    """Classes of the decoded cache's entry, if it has one of the source."""
    source, request = FAMILIES[hierarchy.source.partition("/")[0]], Request(hierarchy, root)
    try:
        entry = cache.find(source.fingerprint(request))
    except InputError:
        return None
    return entry[0].classes if entry else None
