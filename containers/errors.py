"""What goes wrong with an endpoint, in words for the user; each front says it in its own form."""


class Fault(Exception):
    """It cannot be done as asked: str() is one line, for people."""


class Unavailable(Fault):
    """The switch does not answer; later it may."""


class Forbidden(Fault):
    """Who asks has no right to it, and would have none later."""


class NotThere(Fault):
    """A container, or its network namespace, that is not there."""


class BadRequest(Fault):
    """The request contradicts itself or has a value that cannot be."""
