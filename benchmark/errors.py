"""The one error a user sees: a line that says what was expected, what was found and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """What a user gave cannot be used; the message is one line that ends with the remedy."""


def unknown(kind: str, name: str, known: Iterable[str], remedy: str) -> InputError:
    """The error for a name nobody knows, with the nearest one that exists."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names[:8])}{', …' * (len(names) > 8)}."
    return InputError(f"unknown {kind} {name!r}; {hint} {remedy}")
