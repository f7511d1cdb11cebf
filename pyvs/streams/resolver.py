"""Host names of active targets, looked up beside the loop: a name server may take seconds.

    lookup = resolver.Lookup(host, port)     # at once, for an address
    ... poll lookup.fileno() for reading, while lookup.addresses() is None ...
    family, address = lookup.addresses()[0]  # or OSError
    lookup.close()

The threads only call getaddrinfo(3).
"""

import errno
import os
import socket
import threading

from pyvs import coverage

LOOKUPS = coverage.counter("dns_lookup")
MOST = 16  # threads: further lookups fail with EAGAIN, and are tried again by their owners
_busy = threading.Semaphore(MOST)

Addresses = list[tuple[int, tuple]]


class Lookup:
    """A lookup under way, or done."""

    def __init__(self, host: str, port: int):
        self._found: Addresses | None = None
        self._error: OSError | None = None
        self._reader = -1
        try:
            self._found = _resolve(host, port, socket.AI_NUMERICHOST)
        except OSError:
            self._start(host, port)

    def _start(self, host: str, port: int) -> None:
        if not host:
            self._error = OSError(errno.EINVAL, "no host")
            return
        if not _busy.acquire(blocking=False):
            self._error = OSError(errno.EAGAIN, f"{host}: too many names are being looked up")
            return
        LOOKUPS.count += 1
        writer = -1
        try:
            self._reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            thread = threading.Thread(
                target=self._run, args=(host, port, writer), name="resolver", daemon=True
            )
            thread.start()
        except (OSError, RuntimeError) as error:  # no descriptor, no thread
            _busy.release()
            if writer >= 0:
                os.close(writer)
            self._error = OSError(errno.EAGAIN, f"{host}: {error}")

    def _run(self, host: str, port: int, writer: int) -> None:
        try:
            self._found = _resolve(host, port, 0)
        except OSError as error:
            self._error = error
        except Exception as error:  # no memory, say: whoever waits is to hear of an end
            self._error = OSError(errno.EAGAIN, f"{host}: {type(error).__name__}")
        finally:
            os.close(writer)  # the other end becomes readable
            _busy.release()

    def fileno(self) -> int:
        """Readable when the lookup is done; -1 when there was nothing to wait for."""
        return self._reader

    def addresses(self) -> Addresses | None:
        """[(family, address)], None while they are not known yet; OSError when they cannot be."""
        if self._error is not None:
            raise self._error
        return self._found

    def close(self) -> None:
        """Nobody waits for it any more."""
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1


def _resolve(host: str, port: int, flags: int) -> Addresses:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        raise OSError(errno.EHOSTUNREACH, f"{host}: {error.strerror}") from None
    except (UnicodeError, ValueError, OverflowError) as error:
        raise OSError(errno.EINVAL, f"{host}: {error}") from None
    return [(family, address) for family, _kind, _protocol, _name, address in found]
