"""A small churn (python -m tests.containers.churn for a large one)."""

import pytest

from tests.containers.churn import churn
from tests.containers.docker_host import missing

pytestmark = [pytest.mark.system, pytest.mark.peer, pytest.mark.timeout(600)]


def test_nothing_is_left_of_containers_that_come_and_go_while_daemons_are_killed():
    if reason := missing():
        pytest.skip(reason)
    assert churn(12, seed=3).startswith("12 containers")
