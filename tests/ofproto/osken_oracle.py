"""Runs in a virtual environment that has os-ken, which reads what a switch sends and writes what a
controller sends.  A line of input is JSON, so is the line that answers it:

    {"parse": hex}                           -> {"parsed": {CLASS: {ATTRIBUTE: VALUE}}}
    {"make": EXPRESSION, "version": number}  -> {"bytes": hex}
    whatever os-ken raises                   -> {"error": text}

In an EXPRESSION, `p` is the version's parser module, `o` its constants, `d` the datapath.
"""

import json
import sys

from os_ken.ofproto import ofproto_parser, ofproto_protocol


def parse(raw):
    version, kind, size, xid = ofproto_parser.header(raw)
    datapath = ofproto_protocol.ProtocolDesc(version)
    message = ofproto_parser.msg(datapath, version, kind, size, xid, raw)
    if message is None:
        return {"error": "no parser, or not understood"}
    return {"parsed": message.to_jsondict(encode_string=lambda data: bytes(data).hex().encode())}


def make(expression, version):
    datapath = ofproto_protocol.ProtocolDesc(version)
    datapath.id = 1
    names = {"p": datapath.ofproto_parser, "o": datapath.ofproto, "d": datapath}
    message = eval(expression, names)
    message.set_xid(7)
    message.serialize()
    return {"bytes": bytes(message.buf).hex()}


for line in sys.stdin:
    question = json.loads(line)
    try:
        if "parse" in question:
            answer = parse(bytes.fromhex(question["parse"]))
        else:
            answer = make(question["make"], question["version"])
    except Exception as e:  # is an answer, too
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer, default=str), flush=True)
