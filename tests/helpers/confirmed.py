"""Whether the exact check reads two answers and finds them equal."""

from rlready.verifier.equivalence.decide import decide


def is_confirmed(found: str, reference: str) -> bool:
    equal, unread, _ = decide(found, reference)
    return equal and not unread
