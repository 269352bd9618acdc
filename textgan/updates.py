"""One optimiser step, and what a recipe is: the whole contract between a recipe and the trainer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from textgan.discriminators import Discriminator
from textgan.errors import InputError, NotFinite
from textgan.estimators import reinforce
from textgan.generators import Generator, evaluating
from textgan.graphs import Graphs, fixed_shapes
from textgan.objectives import Objective
from textgan.processes import Noise, average, gather
from textgan.sequences import Relaxed, Samples, mask_of, parted

BATCH_MOST = 1 << 16  # sentences a step; no list or array of a mistyped size is made

Logs = dict[str, float | Tensor]
"""Values by name; a tensor () stays on its device until the trainer writes a row."""

FIELDS = {
    "batch": "sentences a step",
    "mle_steps": "steps of maximum likelihood",
    "judge_steps": "steps of D alone before the game",
    "adversarial_steps": "rounds of the game",
    "discriminator_updates": "steps of D a round",
    "rollouts": "completions of each prefix",
    "baseline": "rewards less the other sentences' mean there (papers: none, so that any reward sharpens G)",
    "rollout_keep": "share of the old weights that the roll-out policy keeps each round (SeqGAN: 0.8)",
    "mle_lr": "learning rate of maximum likelihood at the start",
    "mle_final_rate": "share of mle_lr that its cosine ends at; 1 is a constant rate (papers)",
    "weight_decay": "decoupled decay of the matrices in maximum likelihood",
    "early_stopping": "ends maximum likelihood with the weights of the lowest held-out NLL (papers: the last)",
    "generator_lr": "Adam's learning rate of G in the game",
    "discriminator_lr": "Adam's learning rate of D",
    "generator": "the generator's family and sizes",
    "discriminator": "the discriminator's family and sizes",
}
"""What the fields mean that most recipes share; a recipe's docstring says the others (and wins)."""

Net = TypeVar("Net", bound=nn.Module)


class Player(Generic[Net]):
    """A net and its optimiser; the only place that calls backward and step.

    A net without an optimiser (a slow copy, a moving baseline) is saved and resumed with the others.
    """

    def __init__(self, net: Net, optimizer: torch.optim.Optimizer | None = None, *, clip: float = 5.0) -> None:
        self.net = net
        self.optimizer = optimizer
        self.clip = clip
        self.frozen = False  # True: `minimise` gives the loss and changes nothing
        self.rates = [group["lr"] for group in optimizer.param_groups] if optimizer else []
        self.graphs = Graphs()
        self.failed: Tensor | None = None

    def to(self, device: torch.device) -> None:
        """Net and optimiser move; on a card the optimiser's step can be part of a graph.

        To be called again once the optimiser was restored, which may have been saved on another device.
        """
        self.net.to(device)
        if self.optimizer is not None and fixed_shapes(device):
            for group in self.optimizer.param_groups:
                group["capturable"], group["lr"] = True, torch.full((), float(group["lr"]), device=device)

    def at(self, rate: float) -> None:
        """Steps from now on take `rate` times the learning rate; to be said outside a recorded work.

        A recorded step reads the rate from its place on the card, and would hold a number fast.
        """
        groups = self.optimizer.param_groups if self.optimizer else []
        for group, lr in zip(groups, self.rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * rate)
            else:
                group["lr"] = lr * rate

    def minimise(self, loss: Tensor) -> Tensor:
        """One step down the gradient of this net alone, its norm clipped.

        Loss and gradient are means over the processes. Returns the loss, (). Errors: NotFinite where loss or gradient
        is NaN or infinite; the weights are then untouched, on every process. A card is not waited for: there the
        optimiser (a fused one) passes the step over, and `check` raises the error later.
        """
        if self.optimizer is None:
            raise ValueError("a player without an optimiser cannot minimise")
        if self.frozen:
            return loss.detach()
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=weights)
        moved = [weight for weight in weights if weight.grad is not None]
        loss, *grads = average([loss, *(weight.grad for weight in moved if weight.grad is not None)])
        for weight, grad in zip(moved, grads, strict=True):
            weight.grad = grad
        norm = nn.utils.clip_grad_norm_(weights, self.clip)
        unsound = ~(loss.isfinite() & norm.isfinite())
        if fixed_shapes(loss.device):
            self.optimizer.found_inf = unsound.float()  # type: ignore[attr-defined]
            self.failed = torch.zeros_like(unsound) if self.failed is None else self.failed
            self.failed.logical_or_(unsound)
        elif unsound:
            said = f"{self._name}: loss {loss:g}, gradient norm {norm:g}; no weight was changed"
            raise NotFinite(f"{said}; a lower learning rate helps as a rule")
        self.optimizer.step()
        torch.clear_autocast_cache()  # of the old weights' copies, which one context of several steps would go on with
        return loss.detach()

    def check(self) -> None:
        """Raises NotFinite where a step since the start was passed over."""
        if self.failed is not None and bool(self.failed):
            raise NotFinite(f"{self._name}: loss or gradient was NaN or infinite; no weight was changed by it")

    @property
    def _name(self) -> str:
        return type(self.net).__name__


Players = dict[str, Player[Any]]
"""By name; "generator" is the one that is saved and sampled. Two players may share a net (two optimisers)."""


class Phase(NamedTuple):
    """A stretch of training: `update(step, batches)` runs once for each step in 0..steps-1 and returns what to log.

    Everything that changes with time is a function of the step, so a resumed run equals an unbroken one. keep_best:
    at its end the generator goes back to the weights with the lowest held-out NLL.
    """

    name: str
    steps: int
    update: Callable[[int, Iterator[Tensor]], Logs]
    keep_best: bool = False


class Recipe(Protocol):
    """One algorithm: a frozen dataclass of hyper-parameters that builds its players and phases.

    Its file may hold PRESETS: name -> the recipe at the settings of a paper, the source of each value beside it.
    A class variable `from_noise` says why its game cannot begin without pre-training, where that is so; `no_logit`, why
    its D cannot judge a single line; `no_prompt`, why it takes no prompts.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    bridge: ClassVar[str]  # how G learns across the discrete step, in some words
    opponent: ClassVar[str]  # who judges, in some words

    @property
    def batch(self) -> int: ...

    def players(self, vocab_size: int, max_len: int) -> Players: ...

    def phases(self, players: Players, rng: torch.Generator) -> tuple[Phase, ...]: ...


class Spec(Protocol):
    """The sizes of a net, as a frozen dataclass (`generators.LSTM`, `discriminators.CNN`, ...)."""

    def build(self, vocab_size: int, max_len: int) -> Any: ...


SHARES = {  # fields that lie between 0 and 1
    "dropout", "rollout_keep", "mle_final_rate", "gamma", "baseline_decay", "momentum", "clip",
    "demonstrations", "mask_rate", "discount",
}  # fmt: skip


FACTORS = {"beta_max", "mutation"}  # fields of at least 1


def check_recipe(recipe: Any) -> None:
    """Refuse impossible numbers of a recipe and its nets in one line that names the flag."""
    if not is_dataclass(recipe) or isinstance(recipe, type):
        raise InputError(f"recipe: {recipe!r} is none; give one, as textgan.SeqGAN(rollouts=8)")
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if type(field.default) in (int, float) and not isinstance(value, int | float):
            raise InputError(f"--{field.name} {value!r} must be a number")
        if type(field.default) is int and not isinstance(value, int):
            raise InputError(f"--{field.name} {value!r} must be a whole number")
        if is_dataclass(field.default) and not is_dataclass(value):
            wanted = f"sizes such as {field.default!r}"
            raise InputError(f"--{field.name} {value!r} says no net; give {wanted} (in Python)")
    for name, value in _numbers(recipe):
        last = name.rpartition(".")[2]
        least = 0 if last.endswith("_steps") or (isinstance(value, float) and last not in FACTORS) else 1
        most = 1 if last in SHARES else BATCH_MOST if last == "batch" else math.inf
        if not least <= value <= most or value == math.inf:
            wanted = f"at least {least}" if most == math.inf else f"from {least} to {most}"
            raise InputError(f"--{name} {value} must be {wanted}")


def _numbers(spec: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Dotted names and values of the numbers in a dataclass, those in its dataclasses and tuples too."""
    for name, value in vars(spec).items():
        if is_dataclass(value):
            yield from _numbers(value, f"{prefix}{name}.")
        elif not isinstance(value, bool):
            each = value if isinstance(value, tuple) else (value,)
            yield from ((prefix + name, x) for x in each if isinstance(x, int | float))


def cosine(step: int, steps: int, *, last: float = 0.0) -> float:
    """From 1 to `last` over the steps. Loshchilov & Hutter 2017, eq. 5."""
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(step, steps) / max(1, steps)))


def _learning(net: nn.Module) -> list[nn.Parameter]:
    return [p for p in net.parameters() if p.requires_grad]


def adam(net: nn.Module, lr: float, *, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
    """Adam for an adversarial player."""
    return torch.optim.Adam(_learning(net), lr=lr, betas=betas, fused=True)


def adamw(net: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW for maximum likelihood; gains and biases are not decayed."""
    matrices = [p for p in _learning(net) if p.dim() > 1]
    others = [p for p in _learning(net) if p.dim() <= 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=lr,
        fused=True,
    )


def generator_players(recipe: Any, vocab_size: int, max_len: int) -> Players:
    """One generator with two optimisers: AdamW for maximum likelihood, Adam for the game."""
    generator = recipe.generator.build(vocab_size, max_len)
    return {
        "likelihood": Player(generator, adamw(generator, recipe.mle_lr, recipe.weight_decay)),
        "generator": Player(generator, adam(generator, recipe.generator_lr)),
    }


def usual_players(recipe: Any, vocab_size: int, max_len: int) -> Players:
    """`generator_players` and a discriminator with Adam, after the recipe's fields of these names."""
    players = generator_players(recipe, vocab_size, max_len)
    discriminator = recipe.discriminator.build(vocab_size, max_len)
    return players | {"discriminator": Player(discriminator, adam(discriminator, recipe.discriminator_lr))}


def likelihood_loss(generator: Generator, tokens: Tensor) -> Tensor:
    """Mean -log p a token of real sentences (B, T), over the whole batch; with classes a label comes first."""
    sentences, context = parted(tokens, generator.labels)
    return -gather(generator.log_likelihood(sentences, context)[None]).sum() / generator.chosen(gather(sentences)).sum()


def likelihood_phase(player: Player[Generator], recipe: Any) -> Phase:
    """Maximum likelihood with teacher forcing: minimise the mean -log p a token, after the recipe's fields.

    These are mle_steps, mle_final_rate (1 is a constant rate, as the early papers have it) and early_stopping.
    """
    generator = player.net

    def learn(tokens: Tensor) -> Logs:
        return {"g_loss": player.minimise(likelihood_loss(generator.train(), tokens))}

    def update(step: int, batches: Iterator[Tensor]) -> Logs:
        player.at(cosine(step, recipe.mle_steps, last=recipe.mle_final_rate))
        return player.graphs("likelihood", learn, next(batches))

    return Phase("mle", recipe.mle_steps, update, keep_best=recipe.early_stopping)


def judge(player: Player[Discriminator], objective: Objective, real: Tensor, fake: Samples | Relaxed) -> Logs:
    """One step of D on real ids (B, T) against as many fakes, hard or soft.

    d_accuracy is the share of (real, fake) pairs that D orders rightly, an estimate of its AUC under any objective.
    """
    net = player.net.train()
    x, mask = fake.probs if isinstance(fake, Relaxed) else fake.tokens, mask_of(fake.tokens)
    if fixed_shapes(real.device) and x.shape == real.shape:  # as one batch, in half as many operations
        both = net(torch.cat([real, x]), torch.cat([mask_of(real), mask]))
        real_logits, fake_logits = both.chunk(2)
    else:
        real_logits, fake_logits = net(real, mask_of(real)), net(x.detach(), mask)
    loss = player.minimise(objective.discriminator(real_logits, fake_logits))
    return {"d_loss": loss, "d_accuracy": (real_logits > fake_logits).float().mean()}


def judge_samples(
    player: Player[Discriminator],
    generator: Generator,
    objective: Objective,
    batches: Iterator[Tensor],
    rng: torch.Generator,
    *,
    updates: int = 1,
) -> Logs:
    """Steps of D, each on the next real batch against as many fresh samples, of the same prompts where there are
    any; the last one's logs."""

    def step(real: Tensor, noise: Tensor) -> Logs:
        return judge(player, objective, real, generator.sample_from(noise, prefix=generator.prompts_of(real)))

    logs: Logs = {}
    for _ in range(updates):
        real = next(batches)
        noise = Noise(len(real), rng, real.device).uniform(generator.max_len)
        logs = player.graphs(("judge", objective, generator, player.frozen), step, real, noise)
    return logs


def judge_phase(
    player: Player[Discriminator], generator: Generator, steps: int, objective: Objective, rng: torch.Generator
) -> Phase:
    """D alone, against fresh samples of a fixed generator."""
    return Phase("judge", steps, lambda step, batches: judge_samples(player, generator, objective, batches, rng))


def relaxed_round(
    g: Player[Generator],
    d: Player[Discriminator],
    objective: Objective,
    batches: Iterator[Tensor],
    draw: Callable[[Tensor], Relaxed],
    *,
    updates: int = 1,
) -> Logs:
    """Some steps of D against relaxed sentences, then one of G, whose gradient passes through D and the sentences.

    draw: real sentences -> as many Relaxed, of the same prompts where there are any, without dropout, so that the
    policy improved is the one sampled.
    """
    g.net.eval()
    logs: Logs = {}
    for _ in range(updates):
        real = next(batches)
        with torch.no_grad():
            fake = draw(real)
        logs = judge(d, objective, real, fake)
    real = next(batches)
    fake = draw(real)
    d.net.eval()
    loss = objective.generator(d.net(real, mask_of(real)), d.net(fake.probs, fake.mask))
    return logs | {"g_loss": g.minimise(loss)}


def policy_step(player: Player[Generator], samples: Samples, advantages: Tensor) -> Logs:
    """One REINFORCE step, advantages (B, T); without dropout, so that the policy improved is the one sampled."""

    def step(tokens: Tensor, mask: Tensor, advantages: Tensor) -> Logs:
        log_probs = player.net.eval().log_probs(tokens)
        return {"g_loss": player.minimise(reinforce(log_probs, advantages, mask))}

    return player.graphs("policy", step, samples.tokens, samples.mask, advantages)


def reward_logs(rewards: Tensor) -> Logs:
    """Mean and spread of the sentences' rewards (B,), over the whole batch."""
    rewards = gather(rewards)
    return {"reward": rewards.mean(), "reward_sd": rewards.std(correction=0)}


def sentence_logits(discriminator: Discriminator) -> Callable[[Tensor], Tensor]:
    """D's logit of a sentence: (B, T) ids -> (B,) float32 also under autocast, without dropout and without a gradient.

    What a recipe makes of it (a probability, weights of mean 1) would else be rounded to three digits once more.
    """

    @torch.no_grad()
    def score(tokens: Tensor) -> Tensor:
        with evaluating(discriminator):
            return discriminator.sentence_logits(tokens, mask_of(tokens)).float()

    return score


def sentence_score(discriminator: Discriminator) -> Callable[[Tensor], Tensor]:
    """D's probability of "real" as a reward: (B, T) ids -> (B,) in [0, 1]; like `sentence_logits`."""
    logits = sentence_logits(discriminator)
    return lambda tokens: logits(tokens).sigmoid()


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, *, keep: float) -> None:
    """slow <- keep slow + (1 - keep) fast, parameter by parameter; nothing, where one of them is deaf (`controls`)."""
    if getattr(slow, "deaf", False) or getattr(fast, "deaf", False):
        return
    for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
        a.mul_(keep).add_(b, alpha=1 - keep)
    torch.clear_autocast_cache()
