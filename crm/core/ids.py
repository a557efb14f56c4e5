"""Ids that sort by birth: UUIDv7 (RFC 9562 §5.7), made here because PostgreSQL 15 cannot; and ids as they were sent."""

from __future__ import annotations

import os
import re
import time
import uuid


def new_id(at_ms: int | None = None) -> uuid.UUID:
    """48 bits of milliseconds since the epoch (UTC), 74 random bits, version and variant."""
    ms = int(time.time() * 1000) if at_ms is None else at_ms
    value = (ms & 0xFFFFFFFFFFFF) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def read_id(said: str) -> uuid.UUID | None:
    """The id somebody wrote or a page sent back, in any of its spellings; None where it is none."""
    try:
        return uuid.UUID(said)
    except ValueError:
        return None


def read_number(said: str) -> int | None:
    """An id that is a number, as it was sent; None where it is none. int() itself fails for `²` and for thousands of digits."""
    return int(said) if re.fullmatch("[0-9]{1,18}", said) else None
