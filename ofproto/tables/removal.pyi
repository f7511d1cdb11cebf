"""Removal of many flows about which nobody is to be told."""

from typing import Any

from ofproto.rules.classifier import Classifier, Rule

def is_quiet(tables: Any) -> bool:
    """Whether removals of plain flows are nobody's business now."""

def all_plain(table: Classifier) -> bool:
    """Whether all flows of a table are."""

def remove_plain(tables: Any, rules: list[Rule]) -> list[Rule]:
    """Removes plain flows, if it is_quiet(); returns a list of the others."""
