"""Versions of a bridge's tables."""

class View:
    """Which version of a bridge's tables is seen: all of its classifiers share one."""

    now: int
    committed: int
    ahead: bool
    def enter(self) -> None: ...
    def leave(self) -> None: ...
    def switch(self) -> None: ...
