"""Which OpenFlow port number each interface of a bridge has, or asks for."""

from collections import Counter


class WantedNumbers:
    """A container of numbers; interfaces that are gone for a while keep theirs."""

    def __init__(self):
        self._of: dict[str, int] = {}
        self._times: Counter[int] = Counter()

    def __contains__(self, number: object) -> bool:
        """Whether some interface has it or asks for it."""
        return self._times[number] > 0  # type: ignore[index]

    def set(self, name: str, number: int) -> None:
        self.drop(name)
        self._of[name] = number
        self._times[number] += 1

    def drop(self, name: str) -> None:
        number = self._of.pop(name, None)
        if number is not None:
            self._times[number] -= 1
            if not self._times[number]:
                del self._times[number]

    def others_want(self, name: str, number: int) -> bool:
        """Whether an interface other than `name` does."""
        return self._times[number] > (self._of.get(name) == number)


class Requests:
    """Who asks for which port number (ofport_request)."""

    def __init__(self):
        self.by_number: dict[int, set[str]] = {}
        self._of: dict[str, int] = {}

    def ask(self, name: str, number: int | None) -> None:
        """None: no number, from now on."""
        before = self._of.pop(name, None)
        if before is not None:
            self.by_number[before].discard(name)
            if not self.by_number[before]:
                del self.by_number[before]
        if number is not None:
            self._of[name] = number
            self.by_number.setdefault(number, set()).add(name)
