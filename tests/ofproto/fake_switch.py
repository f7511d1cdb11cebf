"""A switch that only answers: what an OpenFlow peer sends is decoded and kept, and replies are
made from a table.  For tests of the codec beside real programs."""

import contextlib
import socket
import threading

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError

ASYNCHRONOUS = (m.PacketIn, m.PortStatus, m.FlowRemoved)


class FakeSwitch:
    """Listens on a unix socket while in use as a context.

    `replies`: class of a request -> its reply, or a function of it that gives messages.
    `received`: the messages, but HELLOs; `raw`: their bytes; `errors`: OFErrors of decode.
    """

    def __init__(self, path, replies, versions=(1, 4)):
        self.path = str(path)
        self.replies = replies
        self.versions = frozenset(versions)
        self.received = []
        self.raw = []
        self.errors = []

    @property
    def target(self):
        return f"unix:{self.path}"

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()
        return self

    def __exit__(self, *_exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in self.threads)

    def clear(self):
        for found in (self.received, self.raw, self.errors):
            found.clear()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self.listener.accept()
                connection.settimeout(5)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self.threads.append(thread)
                thread.start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.sendall(m.Hello(self.versions).encode())
            table_id = False
            for raw in read_messages(connection):
                table_id = self._answer(connection, raw, table_id)

    def _answer(self, connection, raw, table_id):
        """Returns whether FLOW_MODs have their table in the command from now on."""
        try:
            message = m.decode(raw, table_id)
        except OFError as e:
            self.errors.append(e)
            connection.sendall(m.error(e, raw, raw[0]))
            return table_id
        if type(message) is m.Hello:
            return table_id
        self.received.append(message)
        self.raw.append(raw)
        reply = self.replies.get(type(message), ())
        for each in reply(message) if callable(reply) else [reply] if reply else []:
            xid = 0 if type(each) in ASYNCHRONOUS else message.xid
            connection.sendall(each.encode(message.version, xid))
        return message.enable if type(message) is m.NxFlowModTableId else table_id


def read_messages(connection):
    """Whole messages until the peer closes."""
    data = b""
    while True:
        more = connection.recv(1 << 16)
        if not more:
            return
        data += more
        while len(data) >= 8 and len(data) >= int.from_bytes(data[2:4], "big"):
            size = int.from_bytes(data[2:4], "big")
            yield data[:size]
            data = data[size:]
