"""Prints what a driver tells, so that two runs can be compared line by line."""

import hashlib
import sys

# Longer values are printed as a digest.
LONGEST_SHOWN = 400


def say(*values):
    print("  ", ", ".join(shown(value) for value in values))


def shown(value):
    """A value in ASCII; of a long one its length and a digest."""
    # The order of a set of strings differs from run to run.
    text = ascii(sorted(value) if isinstance(value, (set, frozenset)) else value)
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"<{type(value).__name__} of {len(value)}, {hashlib.sha256(text.encode()).hexdigest()}>"


def digest():
    return hashlib.sha256()


def expect(condition, what):
    if not condition:
        sys.stdout.flush()
        raise AssertionError(what)
