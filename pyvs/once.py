"""What is to be said once, and not each time that it is found again."""

from pyvs import clock

MOST = 4096
HOUR = 3_600_000  # ms


class Once:
    """Which texts are new.  Whoever configures can make up as many as they like: MOST are told, and
    then no other until an hour after the first of these, when all are new again."""

    def __init__(self) -> None:
        self._seen: set[int] = set()  # their hashes: a text can be long
        self._since = 0  # ms

    def is_new(self, text: str) -> bool:
        """Whether it is to be said; from here on it is not."""
        key = hash(text)
        if key in self._seen:
            return False
        now = clock.msec()
        if len(self._seen) >= MOST:
            if now < self._since + HOUR:
                return False
            self._seen.clear()
        if not self._seen:
            self._since = now
        self._seen.add(key)
        return True
