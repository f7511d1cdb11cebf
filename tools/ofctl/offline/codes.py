"""Commands of pyvs-ofctl for errors, HELLO and the words of flow text."""

import sys

from ofproto.codec import errors
from ofproto.codec import messages as m
from ofproto.codec.dump import hex_dump
from ofproto.codec.match_text import TextError, split_terms
from ofproto.text.message_text import Style, format_raw
from pyvs_tools.command import Fatal

from .parse import parse_hex


def _known(name):
    if name not in errors.ALL:
        raise Fatal(f'unknown error "{name}"')
    return name


def print_bytes(data):
    """Bytes in hexadecimal; a last line of eight has no hyphen at its end."""
    sys.stdout.write(hex_dump(data, text=False).rstrip("-\n") + "\n")


def print_error(settings, name):
    """print-error ERROR"""
    for version in range(1, 7):
        if (_known(name), version) not in errors.CODES:
            continue  # the version cannot say it
        vendor, kind, code = errors.lookup(name, version)
        if kind is None:  # the experimenter's error has a code alone
            kind, code = code, 0
        shown = f"{vendor:#x}" if vendor else "0"
        sys.stdout.write(f"OpenFlow 1.{version - 1}: vendor {shown}, type {kind}, code {code}\n")


def encode_error_reply(settings, name, text):
    """encode-error-reply ERROR REQUEST"""
    request = parse_hex(text)
    if len(request) < m.HEADER_SIZE:
        raise Fatal(f"Request too short: {len(request)} bytes")
    if len(request) != int.from_bytes(request[2:4], "big"):
        raise Fatal(f"the request says another size than its {len(request)} bytes")
    reply = m.error(m.OFError(_known(name)), request[:64], request[0])
    print_bytes(reply)


def encode_hello(settings, text):
    """encode-hello BITMAP"""
    try:
        bitmap = int(text, 0)
    except ValueError:
        raise Fatal(f"{text}: not a number") from None
    versions = frozenset(bit for bit in range(32) if bitmap >> bit & 1)
    if not versions:
        raise Fatal("no version")
    hello = m.Hello(versions).encode(0, 1)
    print_bytes(hello)
    sys.stdout.write(format_raw(hello, Style(more=settings.more)))


def parse_key_value(settings, *texts):
    """parse-key-value STRING..."""
    for text in texts:
        try:
            terms = split_terms(text)
        except TextError as error:
            raise Fatal(str(error)) from None
        words = (f"{key}={value}" if value else key for key, value in terms)
        sys.stdout.write(", ".join(words) + "\n")
