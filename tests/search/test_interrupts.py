"""Ctrl-C and SIGTERM, sent to this very process."""

import os
import signal
import threading

import pytest

from search.interrupts import terminable, uninterrupted

ENDING = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def _handlers_are_put_back():
    before = [signal.getsignal(number) for number in ENDING]
    yield
    assert [signal.getsignal(number) for number in ENDING] == before


def test_sigterm_is_ctrl_c():
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("number", ENDING)
def test_a_block_is_finished_first(number):
    done = []

    def block():
        with terminable(), uninterrupted():
            os.kill(os.getpid(), number)
            done.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done


def test_the_second_one_gets_through():
    done = []

    def block():
        with terminable(), uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert not done


def test_an_error_in_the_block_goes_before():
    def block():
        with terminable(), uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            return 1 // 0

    with pytest.raises(ZeroDivisionError):
        block()


def test_nested_blocks_are_one():
    done = []

    def block():
        with terminable(), uninterrupted():
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["inner", "outer"]


def test_other_threads_are_left_alone():
    ran = []

    def work():
        with terminable(), uninterrupted():
            ran.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [signal.getsignal(signal.SIGINT)]
