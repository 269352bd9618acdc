"""The arms of the experiment: what each one's language model is fed, beside the N real lines that all of them have.

Numbers 0 to 12 are those of the protocol; 13 is arm 10's control, 14 is arm 7's; from 15 on, other mixes of the same
texts. An arm is the real lines, synthetic ones (`ratio` for each real line), and a `MixPlan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from textgan.text import one_line

NOISE = 0.1  # share of words that GenAug and EDA change in a line
EDITED = 0.15  # share of tokens that a language model rewrites
EDIT_ROWS = 64
TRIES = 20  # to change a line


class Arm(NamedTuple):
    """number: in the protocol. what: in plain words. text: which synthetic text it gets ("": none). temperature: the
    arm whose temperature it takes over ("": its own, or none). lengths: the arm whose sentences' lengths its own are
    chosen to have ("": none). schedule, regime, weight_by: of its `MixPlan`."""

    number: int
    what: str
    text: str = ""
    temperature: str = ""
    lengths: str = ""
    schedule: str = "mixed"
    regime: str = "accumulate"
    weight_by: str = "none"

    @property
    def tempered(self) -> tuple[str, ...]:
        """The arms whose temperatures must be chosen before its text can be made."""
        return tuple(dict.fromkeys(arm for arm in (self.temperature, self.lengths) if arm))

    @property
    def judged(self) -> bool:
        """Whether a D has a say in what its language model reads."""
        return "selected" in self.text or self.weight_by != "none"


PROTOCOL: dict[str, Arm] = {
    "real": Arm(0, "real lines only, tuned"),
    "matched": Arm(1, "real lines only, with the augmented arms' steps"),
    "duplicated": Arm(2, "real lines duplicated to the augmented arms' number"),
    "noise": Arm(3, "character noise, words swapped and deleted", "noise"),
    "edited": Arm(4, "tokens of real lines rewritten by arm 0's model", "edited"),
    "before": Arm(5, "samples of the generator before adversarial training", "before", "before"),
    "self": Arm(6, "samples of arm 0's model", "self"),
    "gan": Arm(7, "samples of the adversarially trained generator", "gan", "gan"),
    "selected": Arm(8, "the same, selected by D", "selected", "gan"),
    "before-selected": Arm(9, "samples from before the game, selected by D", "before-selected", "before"),
    "two-stage": Arm(10, "arm 8's text first, then real lines only", "selected", "gan", schedule="two_stage"),
    "word-shuffled": Arm(11, "arm 7's text with its words in random order: must not help", "gan", "gan"),
    "fresh": Arm(12, "as many fresh real lines: the ceiling", "fresh"),
    "before-two-stage": Arm(
        13, "arm 9's text first, then real lines only", "before-selected", "before", schedule="two_stage"
    ),
    "before-as-long": Arm(14, "arm 5's text, chosen to be as long as arm 7's", "before", "before", lengths="gan"),
}
SAMPLES = ("before", "gan", "selected", "before-selected")  # whose texts may be mixed otherwise
MIXES = (  # word, what is other, its arms, fields of the plan
    ("annealed", "its share falling to 0", SAMPLES, {"schedule": "anneal"}),
    ("replacing", "in the place of as many real lines", SAMPLES, {"regime": "replace"}),
    ("weighted", "each line weighted by D", SAMPLES[:2], {"weight_by": "density_ratio"}),
)
ARMS = PROTOCOL | {
    f"{name}-{word}": PROTOCOL[name]._replace(number=number, what=f"arm {PROTOCOL[name].number}'s text, {what}", **plan)
    for number, (word, what, name, plan) in enumerate(
        ((word, what, name, plan) for word, what, names, plan in MIXES for name in names), start=len(PROTOCOL)
    )
}
REAL_ARMS = ("real", "matched", "duplicated")
TEMPERED = ("before", "gan")  # their temperatures are chosen on the validation text


def shuffled_words(lines: Sequence[str], *, seed: int) -> list[str]:
    """Each line's words in a random order."""
    rng = np.random.default_rng([seed, 11])
    return [" ".join(np.array(words, dtype=object)[rng.permutation(len(words))]) for words in map(str.split, lines)]


def as_long(lines: Sequence[str], like: Sequence[str]) -> list[str]:
    """As many of the lines as `like` has, each as long in words as its counterpart there, or nearest to that.

    A line is taken once, the earliest of its length; of two lengths that are as near, the longer.
    Errors: ValueError where there are fewer lines than that.
    """
    if len(lines) < len(like):
        raise ValueError(f"{len(lines)} lines cannot stand for {len(like)}")
    left: dict[int, list[str]] = {}
    for line in reversed(lines):
        left.setdefault(len(line.split()), []).append(line)
    chosen = []
    for wanted in (len(line.split()) for line in like):
        nearest = min(left, key=lambda length: (abs(length - wanted), -length))
        chosen.append(left[nearest].pop())
        if not left[nearest]:
            del left[nearest]
    return chosen


def noisy(lines: Sequence[str], n: int, *, seed: int, rate: float = NOISE) -> list[str]:
    """n lines, the given ones over and over with noise: a tenth of the words is hit, each in any way that it can be.

    A hit word has two neighbouring characters swapped, if two of them differ (Feng et al. 2020, GenAug), changes place
    with another word, or is deleted (Wei & Zou 2019, EDA); at least one word a line, and no line but one that cannot be
    changed stays as it is. Differs: no synonyms, which need a lexicon.
    """
    rng = np.random.default_rng([seed, 3])
    made = []
    for place in range(n):
        given = lines[place % len(lines)].split()
        for _ in range(TRIES):
            words = list(given)
            for _ in range(max(1, round(rate * len(words)))):
                _hit(words, rng)
            if words != given:
                break
        made.append(" ".join(words))
    return made


def _hit(words: list[str], rng: np.random.Generator) -> None:
    """Change one word in one way, where it can be."""
    at = int(rng.integers(len(words)))
    pairs = [k for k, (one, other) in enumerate(pairwise(words[at])) if one != other]
    way = int(rng.integers(not pairs, 3))
    if way == 0:
        k = pairs[int(rng.integers(len(pairs)))]
        words[at] = words[at][:k] + words[at][k + 1] + words[at][k] + words[at][k + 2 :]
    elif way == 1:
        other = int(rng.integers(len(words)))
        words[at], words[other] = words[other], words[at]
    elif len(words) > 1:
        del words[at]


def edited(lm: Any, lines: Sequence[str], n: int, *, seed: int, share: float = EDITED) -> list[str]:
    """n lines, the given ones over and over, in which a language model has written some tokens anew.

    lm: `lm.Lm`. At a share of the positions (one at least) the token is drawn from p(. | the line's own beginning),
    its old token and the end excluded. Differs from a masked model's edits: what follows is not looked at.
    """
    import torch

    from textgan.lm.likelihood import collate, pieces

    model, tokenizer, _ = lm
    rng, made = torch.Generator().manual_seed(seed), [""] * n
    forbidden = sorted({tokenizer.eos_token_id, *tokenizer.all_special_ids})
    wanted = [lines[place % len(lines)] for place in range(n)]
    with torch.no_grad():
        for start in range(0, n, EDIT_ROWS):
            found = pieces(model, tokenizer, wanted[start : start + EDIT_ROWS])
            batch = collate([(piece, piece.first, len(piece.inputs)) for piece in found])
            labels = batch.pop("labels")
            logits = model(**{key: x.to(model.device) for key, x in batch.items()}).logits.float().cpu()  # (B, T, V)
            logits[..., forbidden] = -torch.inf
            logits.scatter_(2, labels.clamp_min(0)[..., None], -torch.inf)
            fits = (labels >= 0) & ~torch.isin(labels, torch.tensor(forbidden))
            draw = torch.rand(labels.shape, generator=rng).masked_fill(~fits, 2.0)
            hit = fits & ((draw < share) | (draw == draw.min(1, keepdim=True).values))
            labels[hit] = torch.multinomial(logits[hit].softmax(-1), 1, generator=rng).squeeze(1)
            written = []
            for row in labels.tolist():
                ids = [token for token in row if token >= 0 and token not in forbidden]
                written.append(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
            for at, piece in enumerate(found):
                made[start + piece.line] += written[at]
    return [" ".join(one_line(line).split()) for line in made]
