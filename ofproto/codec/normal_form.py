"""Matches without what no packet has."""

from . import notes
from .match import Match
from .match_text import format_match


def normalize(match: Match) -> None:
    """Drop fields whose prerequisites are not matched, and tell."""
    before = match.copy() if notes.heard() else None
    match.normalize()
    if before is not None and before != match:
        for text in (
            "normalization changed ofp_match, details:",
            f" pre: {format_match(before)}",
            f"post: {format_match(match)}",
        ):
            notes.note("ofp_match", text, level="INFO", kind=text[:4])
