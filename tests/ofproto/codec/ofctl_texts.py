"""What Debian's ovs-ofctl prints of many messages, in one run of it."""

import re
import subprocess

from ofproto.codec import messages as m

MARK = 0x55000000  # transaction ids of the messages between


def printed(tmp_path, raws):
    """Its text of each of `raws` (bytes of whole messages), in their order."""
    file = tmp_path / "messages"
    file.write_bytes(
        b"".join(raw + m.EchoRequest().encode(1, MARK + i) for i, raw in enumerate(raws))
    )
    command = ["ovs-ofctl", "-voff", "ofp-parse", str(file)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    text = done.stdout.decode("latin-1")
    parts = re.split(r"OFPT_ECHO_REQUEST \(xid=0x55[0-9a-f]+\): 0 bytes of payload\n", text)
    assert len(parts) == len(raws) + 1
    return parts[:-1]
