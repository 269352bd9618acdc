"""For people from TRL: a discriminator as the reward of their GRPOTrainer or RLOOTrainer, learning as it goes.

TRL itself is not needed here: a reward function is a callable that takes prompts and completions and gives a number a
completion. What it rewards is looking like the real text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from textgan.discriminators import CNN, DiscriminatorSpec
from textgan.errors import InputError
from textgan.objectives import NON_SATURATING, Objective
from textgan.sequences import mask_of
from textgan.text import Text, choose_max_len, encode, one_line, read_text, train_tokenizer
from textgan.updates import Player, adam

Source = str | Path | Sequence[str] | Text
SMALL = CNN(64, (1, 2, 3, 4, 5), (100, 100, 100, 100, 100), 0.25)


def whole_text(prompt: Any, completion: Any) -> str:
    """Prompt and completion as one text; of a conversation, what the completion's messages say."""
    if isinstance(completion, str):
        return f"{prompt if isinstance(prompt, str) else ''}{completion}"
    return " ".join(str(message.get("content") or "") for message in completion)


def completion_alone(prompt: Any, completion: Any) -> str:
    """What was written, without what was given: for real texts that are continuations, too."""
    return whole_text("", completion)


class DiscriminatorReward:
    """A reward function for TRL: D(completion), while D learns to tell completions from real sentences.

    Each call scores the completions with D as it is, and then D takes `steps` steps, each on a batch of real sentences
    (all are seen, in a new seeded order every pass, before one comes again) and on as many of the completions of this
    call and of those before, which a bounded memory replays. So no completion is scored by a D that has just been shown
    it, but for the first call's: there a D that has seen nothing learns for `first_steps` before it says anything.

    reward: of the logits of D, (n,) -> (n,); the default is D = sigmoid(logit), between 0 and 1; `lambda x: x` gives
        the log-odds, which are log p_data / p_G of a perfect D.
    text_of: which text of a prompt and a completion is judged.
    memory: completions that are remembered. frozen: set it, and D answers without learning, as in an evaluation.

    The same seed, texts and calls give the same rewards on the CPU, and the global random state is left alone. It is
    for one process: of several, each would train a D of its own.
    """

    __name__ = "discriminator_reward"  # TRL logs a reward under its name

    def __init__(
        self, real: Source, *, discriminator: DiscriminatorSpec = SMALL, objective: Objective = NON_SATURATING,
        reward: Callable[[Tensor], Tensor] = torch.sigmoid, text_of: Callable[[Any, Any], str] = whole_text,
        steps: int = 2, first_steps: int = 50, batch: int = 64, memory: int = 1024, lr: float = 1e-3,
        vocab_size: int = 2000, seed: int = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        if min(steps, first_steps) < 0 or min(batch, memory) < 1:
            raise InputError(
                f"steps {steps} and first_steps {first_steps} must be 0 or more, batch {batch} and memory {memory} "
                "1 or more"
            )
        lines = read_text(real).lines
        self.tokenizer = train_tokenizer(lines, level="bpe", vocab_size=vocab_size)
        self.max_len = choose_max_len(encode(self.tokenizer, lines).lengths)
        self.real = encode(self.tokenizer, lines, max_len=self.max_len)
        self.objective, self.reward, self.text_of = objective, reward, text_of
        self.steps, self.first_steps, self.batch, self.memory = steps, first_steps, batch, memory
        self.numbers = np.random.default_rng(seed)
        self.frozen, self.calls, self.order, self.remembered = False, 0, np.array([], np.int64), list[str]()
        self.rng, self.device = torch.Generator().manual_seed(seed).get_state(), torch.device(device)
        with self._random():
            net = discriminator.build(self.tokenizer.get_vocab_size(), self.max_len)
        self.player = Player(net, adam(net, lr))
        self.player.to(self.device)

    def __call__(self, prompts: Sequence[Any] | None = None, completions: Sequence[Any] = (), **_: Any) -> list[float]:
        """A reward for each completion. TRL gives more than these two (ids, columns of the data set); they are left."""
        prompts = [""] * len(completions) if prompts is None else prompts
        if len(prompts) != len(completions):
            raise InputError(f"{len(prompts)} prompts came with {len(completions)} completions; give one each")
        texts = [one_line(self.text_of(prompt, text)) for prompt, text in zip(prompts, completions, strict=True)]
        if not texts:
            return []
        if self.calls == 0 and not self.frozen:
            self._remember(texts)
            self._learn(self.first_steps)
        scores = self._score(texts)
        if not self.frozen:
            if self.calls:
                self._remember(texts)
            self._learn(self.steps)
            self.calls += 1
        return scores

    def _remember(self, texts: list[str]) -> None:
        """The newest completions first in line: of what is too much, the oldest are forgotten."""
        self.remembered = [*self.remembered, *texts][-self.memory :]

    def _learn(self, steps: int) -> None:
        with self._random():
            self.player.net.train()
            for _ in range(steps):
                size = min(self.batch, len(self.remembered))
                fakes = [self.remembered[i] for i in self.numbers.choice(len(self.remembered), size, replace=False)]
                real, fake = self._tokens(self.real.batch(self._next_real(size))), self._encoded(fakes)
                logits = [self.player.net(tokens, mask_of(tokens)) for tokens in (real, fake)]
                self.player.minimise(self.objective.discriminator(*logits))
            self.player.net.eval()

    @torch.no_grad()
    def _score(self, texts: list[str]) -> list[float]:
        self.player.net.eval()
        tokens = self._encoded(texts)
        found: list[float] = self.reward(self.player.net.sentence_logits(tokens, mask_of(tokens))).tolist()
        return found

    def _next_real(self, size: int) -> np.ndarray:
        """Rows of real sentences, (size,)."""
        while len(self.order) < size:
            self.order = np.concatenate([self.order, self.numbers.permutation(len(self.real))])
        rows, self.order = self.order[:size], self.order[size:]
        return rows

    def _encoded(self, texts: list[str]) -> Tensor:
        return self._tokens(encode(self.tokenizer, texts, max_len=self.max_len).batch(np.arange(len(texts))))

    def _tokens(self, batch: np.ndarray) -> Tensor:
        return torch.from_numpy(batch).to(self.device)

    @contextmanager
    def _random(self) -> Iterator[None]:
        """torch's random state is the reward's own inside, and its caller's again afterwards."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.rng)
            yield
            self.rng = torch.get_rng_state()
