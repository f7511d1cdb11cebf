"""Commands that run aside, in turns with the loop."""

import threading

import pytest

from vswitchd.appctl.datapath.asking import _Aside, asking


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError])
def test_whatever_ends_a_command_the_loop_goes_on(error):
    def command(_switch, _args):
        raise error("this")

    def run():
        try:
            list(asking(command)(None, []))
        except BaseException as found:
            met.append(type(found))

    met = []
    loop = threading.Thread(target=run, daemon=True)
    loop.start()
    loop.join(10)
    assert met == [error] and _Aside.n_running == 0
