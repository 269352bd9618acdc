"""Threads: as many as a net is worth, unless someone has said how many; signals: none is lost. As before afterwards."""

import signal
from contextlib import nullcontext

import pytest
import torch

from textgan import machine
from textgan.errors import Interrupted

LARGE = 10 * machine.SMALL


@pytest.mark.parametrize(
    ("asked", "variable", "parameters", "most", "threads"),
    [
        (None, "", 1000, 4, 1),
        (None, "", LARGE, 4, 4),
        (None, "", LARGE, 8, 6),
        (None, "", LARGE, None, 6),
        (None, "6", 1000, 4, 6),  # torch has read the variable
        (5, "", 1000, 4, 5),
        (1, "", LARGE, 4, 1),
        (5, "6", LARGE, 4, 5),
    ],
)
def test_threads_are_by_the_size_of_the_net_unless_someone_has_said_how_many(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, variable: str, parameters: int, most: int | None, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    with machine.threads(None):
        torch.set_num_threads(6)
        with machine.threads(asked) if asked else nullcontext(), machine.suited_threads(parameters, most) as n:
            assert (n, torch.get_num_threads()) == (threads, threads)
        assert torch.get_num_threads() == 6
        with machine.suited_threads(parameters, most) as n:  # what was asked for before counts no more
            assert n == (6 if variable else 1 if parameters == 1000 else min(6, most or 6))


def test_a_signal_that_the_work_has_not_answered_comes_again_when_it_is_done() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), machine.signals() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(Interrupted), machine.signals():
        signal.raise_signal(signal.SIGINT)
        raise Interrupted("saved", 130)
