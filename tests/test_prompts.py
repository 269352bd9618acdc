"""Text with prompts: what G is given it does not answer for, and every recipe's mathematics holds as it stands."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tape import Card
from test_training import tiny
from textgan import updates
from textgan.batches import TextSettings, prepare
from textgan.cli import main
from textgan.discriminators import CNN
from textgan.errors import InputError
from textgan.estimators import rollout_rewards
from textgan.generators import LSTM, Generator
from textgan.objectives import RELATIVISTIC
from textgan.opponents import Opponent
from textgan.prompts import MARK, read_prompt
from textgan.recipes import MLE, RECIPES, RelGAN, SeqGAN
from textgan.recipes.gad import grouped
from textgan.runs import Run
from textgan.selftest import small
from textgan.sequences import EOS, PAD, UNK, mask_of, pad_to
from textgan.training import Schedule, fit
from toys import FAMILIES, WORDS, build

MARKED, LENGTH = 6, 5  # the toy with one more token, the mark
PROMPTS = torch.tensor([[4, MARKED, PAD], [5, 4, MARKED], [5, 4, MARKED], [MARKED, PAD, PAD]])  # one of them twice
GIVEN = TextSettings(prompt="given")
LINES = ["up\tyes yes yes", "down\tno no no", "up\tyes yes", "down\tno no"] * 20
families = pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("leak", "infill")])
prompted = [kind for kind in RECIPES if not hasattr(kind, "no_prompt") and not hasattr(kind, "classes")]


def toy(family: str) -> Generator:
    generator = build(family, vocab=MARKED + 1, max_len=LENGTH)
    generator.mark, generator.prompts = MARKED, PROMPTS
    return generator


def sentences_of(prompt: torch.Tensor) -> torch.Tensor:
    """Every sentence of the toy that begins with a prompt, (N, 5)."""
    begin = [token for token in prompt.tolist() if token != PAD]
    rows = []
    for length in range(LENGTH - len(begin) + 1):
        for words in itertools.product(WORDS, repeat=length):
            row = [*begin, *words, *([EOS] if len(begin) + length < LENGTH else [])]
            rows.append(row + [PAD] * (LENGTH - len(row)))
    return torch.tensor(rows)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@families
def test_the_rest_of_a_sentence_has_probability_one_after_each_prompt(family: str) -> None:
    generator = toy(family)
    for prompt in PROMPTS:
        sentences = sentences_of(prompt)
        log_probs = generator.log_probs(sentences)
        assert log_probs.sum(1).exp().sum().item() == pytest.approx(1, abs=1e-5)
        assert not log_probs[:, : int(mask_of(prompt).sum())].any()
        assert generator.log_likelihood(sentences).item() == pytest.approx(log_probs.sum().item(), rel=1e-5)


@families
def test_samples_have_the_training_texts_prompts_and_the_models_rests(family: str) -> None:
    generator, n = toy(family), 4000
    samples = generator.sample(n, rng=rng())
    assert torch.equal(samples.mask, generator.chosen(samples.tokens)) and not samples.log_probs[~samples.mask].any()
    assert torch.allclose(samples.log_probs, generator.log_probs(samples.tokens), atol=1e-4)
    for prompt, share in ((PROMPTS[0], 0.25), (PROMPTS[1], 0.5), (PROMPTS[3], 0.25)):
        sentences = sentences_of(prompt)
        exact = share * generator.log_probs(sentences).sum(1).exp()
        drawn = (pad_to(samples.tokens, LENGTH)[:, None] == sentences).all(2).float().mean(0)
        assert ((drawn - exact).abs() <= 5 * (exact * (1 - exact) / n).sqrt() + 1e-3).all()


@families
def test_roll_outs_are_of_the_rest_and_worth_what_they_are_worth(family: str) -> None:
    generator = toy(family)

    def score(tokens: torch.Tensor) -> torch.Tensor:
        return (pad_to(tokens, LENGTH) == 5).float().mean(1)

    samples = generator.sample(12, rng=rng(1))
    found = rollout_rewards(generator, score, samples, n=2000, rng=rng(2))
    assert not found[~samples.mask].any()
    for row, (tokens, mask) in enumerate(zip(samples.tokens, samples.mask, strict=True)):
        begin = tokens[~mask & (tokens != PAD)]
        sentences = sentences_of(begin)
        p, worth = generator.log_probs(sentences).sum(1).exp().detach(), score(sentences)
        for t in mask.nonzero().flatten().tolist():
            same = (sentences[:, : t + 1] == tokens[: t + 1]).all(1)
            assert abs(found[row, t] - (p * worth)[same].sum() / p[same].sum()) < 0.05


@families
@pytest.mark.parametrize("hard", [True, False])
def test_a_relaxed_sentence_begins_with_the_prompt_itself(family: str, hard: bool) -> None:
    generator = toy(family)
    relaxed = generator.relaxed_sample(300, temperature=0.7, hard=hard, rng=rng())
    given = ~generator.chosen(relaxed.tokens) & relaxed.mask
    begun = {tuple(row[own].tolist()) for row, own in zip(relaxed.tokens, given, strict=True)}
    assert begun == {(4, MARKED), (5, 4, MARKED), (MARKED,)}
    one_hot = torch.nn.functional.one_hot(relaxed.tokens, generator.vocab_size).float()
    assert torch.equal(relaxed.probs[given], one_hot[given])
    free = relaxed.tokens[generator.chosen(relaxed.tokens)]
    assert MARKED not in free.tolist() and relaxed.probs[..., MARKED][generator.chosen(relaxed.tokens)].max() < 1e-6


@families
def test_a_pair_that_d_compares_has_one_prompt(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what a prompt is worth to D by itself would be noise in each comparison of two answers."""
    generator, pairs = toy(family), []
    judged = {"d_loss": torch.zeros(()), "d_accuracy": torch.zeros(())}
    monkeypatch.setattr(updates, "judge", lambda player, objective, real, fake: pairs.append((real, fake)) or judged)
    real = torch.tensor([[4, MARKED, 3, EOS, PAD], [5, 4, MARKED, 3, 3], [MARKED, EOS, PAD, PAD, PAD]] * 4)
    d = updates.Player(CNN(4, (1,), (4,)).build(MARKED + 1, LENGTH))
    updates.judge_samples(d, generator, RELATIVISTIC, itertools.repeat(real), rng(), updates=2)
    kind = RelGAN(generator=LSTM(), batch=12)
    players = {"generator": updates.Player(generator), "discriminator": d, "likelihood": updates.Player(generator)}
    monkeypatch.setattr(updates.Player, "minimise", lambda player, loss: loss.detach())
    kind.phases(players, rng())[-1].update(0, itertools.repeat(real))
    assert len(pairs) == 2 + kind.discriminator_updates
    prompts = generator.prompts_of(real)
    assert prompts is not None and prompts[1].tolist() == [5, 4, MARKED, PAD, PAD]
    for _, fake in pairs:
        assert torch.equal(pad_to(generator.prompts_of(fake.tokens), LENGTH), prompts)
    assert build(family).prompts_of(real) is None


@pytest.mark.parametrize("kind", [kind for kind in prompted if kind.name not in ("mle", "pgbleu", "jsdgan", "cot")])
def test_every_d_compares_sentences_of_the_same_prompts(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each of its phases, what was drawn last when D learns has the prompts of one of the last two real batches
    (RankGAN's second one is that of the references). DGSAN's G is its D; the others of `prompted` compare nothing."""
    torch.manual_seed(0)
    spec: Any = tiny(kind, batch=12)
    players = spec.players(MARKED + 1, LENGTH)
    for player in players.values():
        if isinstance(player.net, Generator):
            player.net.mark, player.net.prompts = MARKED, PROMPTS
    d = players.get("discriminator", players["generator"])
    real, drawn, learnt = [], [], []

    def batches() -> Iterator[torch.Tensor]:
        lines, order = torch.cat([sentences_of(prompt) for prompt in PROMPTS]), rng(1)
        while True:
            real.append(lines[torch.randperm(len(lines), generator=order)[:12]])
            yield real[-1]

    def recorded(draw: Callable[..., Any]) -> Callable[..., Any]:
        def call(generator: Generator, *given: Any, **options: Any) -> Any:
            drawn.append(draw(generator, *given, **options))
            return drawn[-1]

        return call

    def minimise(player: updates.Player, loss: torch.Tensor) -> torch.Tensor:
        if player is d:
            pair = [pad_to(d_prompts(tokens), LENGTH) for tokens in (drawn[-1].tokens, *real[-2:])]
            learnt.append(any(torch.equal(pair[0], other) for other in pair[1:]))
        return loss.detach()

    def d_prompts(tokens: torch.Tensor) -> torch.Tensor:
        return tokens.masked_fill(players["generator"].net.chosen(tokens), PAD)

    for name in ("sample_from", "relaxed_sample"):
        monkeypatch.setattr(Generator, name, recorded(getattr(Generator, name)))
    monkeypatch.setattr(updates.Player, "minimise", minimise)
    stream = batches()
    for phase in spec.phases(players, rng()):
        if phase.name != "mle":
            phase.update(0, stream)
    assert learnt and all(learnt)


@families
def test_a_card_draws_the_same(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, card = toy(family), Card(monkeypatch)

    def both() -> tuple[torch.Tensor, ...]:
        samples = generator.sample(50, rng=rng())
        return (
            samples.tokens,
            samples.log_probs,
            samples.mask,
            generator.relaxed_sample(50, temperature=1.0, rng=rng()).tokens,
        )

    free = both()
    card.fixed()
    for one, other in zip(free, both(), strict=True):
        assert torch.allclose(pad_to(one, LENGTH).float(), other.float(), atol=1e-5)


def test_a_prefix_may_end_anywhere_and_an_ended_one_stays() -> None:
    generator = build("lstm", max_len=4)
    prefix = torch.tensor([[4, PAD, PAD], [5, 5, PAD], [4, EOS, PAD], [4, 4, 4]])
    samples = generator.sample(4, prefix=prefix, rng=rng())
    tokens = pad_to(samples.tokens, 4)
    assert torch.equal(tokens[:, :3].where(prefix != PAD, prefix), prefix)
    assert tokens[2].tolist() == [4, EOS, PAD, PAD] and tokens[0, 1] != PAD and tokens[1, 2] != PAD
    assert samples.mask[:, :3].tolist()[0][0] is False and not samples.mask[2].any()


def test_lines_are_read_in_both_spellings() -> None:
    assert read_prompt("a man\triding a horse") == ("a man", " riding a horse")
    assert read_prompt('{"prompt": "a m", "text": "an rides"}') == ("a m", "an rides")
    assert read_prompt('{"prompt": "", "completion": "alone"}') == ("", "alone")
    assert read_prompt("no tab") is read_prompt("a\t ") is read_prompt('{"prompt": 1, "text": "x"}') is None


@pytest.mark.parametrize("tokens", ["words", "bpe", "characters", "treebank"])
def test_ids_are_the_prompt_the_mark_and_the_rest_at_any_level(tokens: str) -> None:
    data = prepare(LINES, LINES[:4], TextSettings(tokens=tokens, prompt="given"))
    mark = data.tokenizer.get_vocab_size() - 1
    assert data.tokenizer.token_to_id(MARK) == mark
    row = data.held_out.batch([0])[0]
    at = row.tolist().index(mark)
    assert data.tokenizer.decode(row[:at].tolist()) == "up"
    assert data.tokenizer.decode(row[:-1].tolist()) == "up yes yes yes" == data.held_out_lines[0]
    assert data.prompts is not None and sorted(data.prompts[:, 0].tolist()) == sorted(
        data.train.ids[data.train.offsets[:-1]]
    )


def test_a_file_of_rows_is_read_with_its_prompts(tmp_path: Path) -> None:
    """A .jsonl is rows everywhere else, whose text alone is read."""
    halves = (line.split("\t") for line in LINES)
    rows = [{"prompt": prompt, "completion": f" {rest}"} for prompt, rest in halves]  # JSON's two are joined
    (file := tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    a, b = (prepare(x, LINES[:4], TextSettings(prompt="given")) for x in (LINES, file))
    assert np.array_equal(a.train.ids, b.train.ids)


def test_the_first_tokens_of_each_line_can_be_its_prompt() -> None:
    data = prepare(["a b c d", "a b", "c"], ["a b <go> c"], TextSettings(prompt=2))
    mark, a, b, c, d = data.tokenizer.get_vocab_size() - 1, *(data.tokenizer.token_to_id(x) for x in "abcd")
    rows = [row[row != PAD].tolist() for row in data.train.batch([0, 1, 2])]
    assert rows == [[a, b, mark, c, d, EOS], [a, mark, b, EOS], [mark, c, EOS]]  # one token is always left to write
    assert data.held_out.batch([0]).tolist() == [[a, b, mark, UNK, c, EOS]]  # a mark that is typed is a word
    assert data.prompts is not None and data.prompts.tolist() == [[a, b, mark], [a, mark, PAD], [mark, PAD, PAD]]
    assert data.facts["tokens"]["prompt"] == "2" and data.facts["prompts"]["longest"] == 2
    assert data.facts["prompts"]["distinct"] == 3 and data.facts["prompts"]["whole"] == pytest.approx(2 / 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = SeqGAN(
        mle_steps=150, judge_steps=0, adversarial_steps=2, mle_lr=0.02, batch=16, rollouts=2,
        generator=LSTM(8, 16, dropout=0.0),
    )  # fmt: skip
    out = tmp_path_factory.mktemp("prompts") / "run"
    return fit(recipe, LINES, out=out, valid=LINES[:4], text=GIVEN, progress=False)


def test_a_prompt_decides_what_is_written(run: Run) -> None:
    for prompt, word in (("up", "yes"), ("down", "no")):
        lines = run.sample_text(50, prompts=[prompt])
        words = " ".join(line.removeprefix(prompt) for line in lines).split()
        assert all(line.startswith(prompt) for line in lines) and words.count(word) > 0.95 * len(words)
    own = [line.split()[0] for line in run.sample_text(400)]
    assert set(own) == {"up", "down"} and 120 < own.count("up") < 280  # as often as the training text has them
    assert [line.split()[0] for line in run.sample_text(5, prompts=["up", "down"])] == [
        "up",
        "down",
        "up",
        "down",
        "up",
    ]
    assert run.sample_text(1100, prompts=["up", "down", "up"])[1024].startswith("down")  # in turn over all blocks


def test_a_line_has_the_probability_of_its_rest(run: Run) -> None:
    sums, tokens = run.log_probs(["up\tyes yes", "up\tno no no"])
    assert tokens.tolist() == [3, 4] and math.exp(sums[0]) > 0.3 and sums[1] < -5
    row = run.evaluated[-1]["valid_nll"]
    held, count = run.log_probs(LINES[:4])
    assert row == pytest.approx(-held.sum() / count.sum(), abs=1e-5)
    assert [part.size for part in run.log_probs([])] == [0, 0]
    assert np.isfinite(Opponent(run.path).logits(["up\tyes yes", "down\tyes"])).all()
    with pytest.raises(InputError, match=r"^line 2: its prompt has 20 tokens, and .*run reads \d+; cut it$"):
        run.log_probs(["up\tyes yes", f"{'up ' * 20}\tyes"])
    with pytest.raises(InputError, match=r'^lines:1: --prompt given wants prompt<TAB>text, or JSON with "prompt"'):
        run.log_probs(["yes yes"])


def test_generate_goes_on_from_a_prompt(run: Run) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = run.path / "generator"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("up", return_tensors="pt").input_ids
    ids = torch.cat([ids, torch.full_like(ids[:, :1], tokenizer.convert_tokens_to_ids(MARK))], 1).repeat(50, 1)
    torch.manual_seed(0)
    words = " ".join(tokenizer.batch_decode(model.generate(ids), skip_special_tokens=True)).split()
    assert words.count("yes") > 1.5 * words.count("up") and words.count("no") < 0.05 * len(words)


def test_the_command_takes_prompts_of_a_file_also_for_a_run_without_prompts(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("up\ndown\n")
    assert main(["sample", str(run.path), "-n", "3", "--prompts", str(tmp_path / "p.txt")]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["up", "down", "up"]
    (tmp_path / "long.txt").write_text("up\n" + "up " * 50 + "\n")
    assert main(["sample", str(run.path), "-n", "3", "--prompts", str(tmp_path / "long.txt")]) == 1
    assert re.fullmatch(
        r"textgan: error: prompt 2 has 50 tokens; this run writes \d+, so at most \d+ can be given\n",
        capsys.readouterr().err,
    )
    plain = fit(
        MLE(mle_steps=3, generator=LSTM(8, 8)), ["a b c", "b c a", "c b a b"] * 9, out=tmp_path / "run", progress=False
    )
    assert all(line.startswith("b c") for line in plain.sample_text(20, prompts=["b c"]))


@pytest.mark.parametrize("kind", prompted)
def test_every_recipe_plays_with_prompts_and_resumes_exactly(kind: Any, tmp_path: Path) -> None:
    recipe = tiny(kind)
    how: dict[str, Any] = {
        "valid": LINES[:4],
        "text": GIVEN,
        "progress": False,
        "schedule": Schedule(1, 4, 4, save_every=3),
    }
    whole = fit(recipe, LINES, out=tmp_path / "whole", **how)
    assert whole.generator.mark == whole.generator.vocab_size - 1
    assert {line.split()[0] for line in whole.sample_text(50)} == {"up", "down"}
    fit(recipe, LINES, out=tmp_path / "broken", **how)
    last = sorted(path for path in (tmp_path / "broken").glob("ckpt-*"))[-1]
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    again = fit(recipe, LINES, out=tmp_path / "broken", resume=True, **how)
    assert whole.log == again.log and whole.weights_sha256 == again.weights_sha256


def test_gad_compares_answers_to_the_same_prompt() -> None:
    samples, size = grouped(toy("lstm"), 22, 4, rng())
    assert size == 4 and samples.tokens.shape[0] == 20
    begun = [tuple(row[~own].tolist()) for row, own in zip(samples.tokens, samples.mask, strict=True)]
    marked = [row[: row.index(MARKED) + 1] for row in begun]
    assert all(len(set(marked[i : i + 4])) == 1 for i in range(0, 20, 4)) and len(set(marked)) > 1
    assert grouped(build("lstm"), 22, 4, rng())[1] is None


@pytest.mark.parametrize(("name", "rounds"), [("scratchgan", 300), ("gad", 150)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_game_learns_what_fits_which_prompt(name: str, rounds: int, seed: int, tmp_path: Path) -> None:
    """It begins with a G that knows both words, which are as frequent, and not where they belong: where G does not heed
    its prompt in the game, or D does not, half of the sentences fit. After 300 rounds scratchgan has learnt it at
    all of eight seeds, and at six where D's pairs are of unlike prompts; after 150 it still swings."""
    kind = next(kind for kind in RECIPES if kind.name == name)  # type: ignore[attr-defined]
    recipe = dataclasses.replace(small(kind), adversarial_steps=rounds)  # type: ignore[type-var]
    never = Schedule(log_every=10**6, eval_every=10**6, save_every=10**6)
    how: dict[str, Any] = {"text": GIVEN, "progress": False, "schedule": never, "device": "cpu", "seed": seed}
    either = [f"{a}\t{text}" for a in ("up", "down") for text in ("yes yes yes", "no no no", "yes yes", "no no")] * 10

    def fitting(run: Run) -> float:
        lines = [set(line.split()) for line in run.sample_text(400)]
        return float(np.mean([line in ({"up", "yes"}, {"down", "no"}) for line in lines]))

    words = MLE(batch=32, mle_steps=60, mle_lr=0.02, generator=recipe.generator)
    start = fit(words, either, valid=either[:8], out=tmp_path / "words", **how)
    assert fitting(start) < 0.6
    assert fitting(fit(recipe, LINES, valid=LINES[:4], start=start.path, out=tmp_path / "run", **how)) > 0.9


KINDS = "is not none, given or how many tokens of each sentence are its prompt"
SPELT = 'wants prompt<TAB>text, or JSON with "prompt" and "text" or "completion" on each line'
REFUSED = {
    "another word": ("mle", {"prompt": "some"}, LINES, f"--prompt 'some' {KINDS}"),
    "no token": ("mle", {"prompt": "0"}, LINES, f"--prompt '0' {KINDS}"),
    "a line without a prompt": ("mle", {"prompt": "given"}, ["a\tb", "c"], f"lines:2: --prompt given {SPELT}"),
    "no room": (
        "mle", {"prompt": "given", "max_len": 2}, LINES,
        "--max_len 2: the longest prompt has 1 tokens; give 3 or more",
    ),
    "the mark in the text": (
        "mle", {"prompt": "1"}, ["a <go> b", "a b"],
        "lines: <go> is a word of it, but a prompt's end mark here; spell it otherwise",
    ),
    "an oracle": (
        "mle", {"prompt": "1"}, "oracle:50:6@random-40x8-0",
        "--prompt 1: an oracle's sentences all have one length and no end; leave it out",
    ),
    "leakgan": (
        "leakgan", {"prompt": "1"}, LINES,
        "--prompt 1: leakgan takes no prompts: its manager sets goals from the first word on; leave it out",
    ),
    "maskgan": (
        "maskgan", {"prompt": "1"}, LINES,
        "--prompt 1: maskgan takes no prompts: it fills holes, and the visible text around them is what it is given; "
        "leave it out",
    ),
    "classes": (
        "sentigan", {"prompt": "given"}, LINES,
        "--prompt given: sentigan takes no prompts: its text has classes; leave it out",
    ),
    "labels or prompts": (
        "mle", {}, LINES,
        "lines holds labelled text, and mle has no classes; give the text alone, a recipe with classes (sentigan, "
        "catgan), or --prompt given where prompts were meant",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "lines", "problem"), REFUSED.values(), ids=REFUSED)
def test_prompts_that_cannot_be_are_one_line(
    name: str, settings: dict[str, Any], lines: Any, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(problem)}$"):
        fit(name, lines, out=tmp_path / "x", valid=lines, text=TextSettings(**settings), progress=False)


def test_other_prompts_are_another_run(tmp_path: Path) -> None:
    recipe, lines = MLE(mle_steps=2, generator=LSTM(8, 8)), ["a b c d", "b c d a"] * 5
    fit(recipe, lines, out=tmp_path / "run", text=TextSettings(prompt="1"), progress=False)
    with pytest.raises(InputError, match="tokens"):
        fit(recipe, lines, out=tmp_path / "run", text=TextSettings(prompt="2"), resume=True, progress=False)
    (tmp_path / "run" / "prompts.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read; give the prompts with --prompts, or train again"):
        Run.open(tmp_path / "run").sample_text(3)
    assert all(line.startswith("b c") for line in Run.open(tmp_path / "run").sample_text(3, prompts=["b c"]))
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["tokens"]["prompt"] == "1"


def test_the_option_is_a_word_or_a_number_on_the_line_and_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a b c d\nb c d a\nc d b\n" * 9)
    (tmp_path / "c.yaml").write_text("prompt: 2\nmle_steps: 1\n")
    for name, given in {"file": ["--config", str(tmp_path / "c.yaml")], "line": ["--prompt", "2"]}.items():
        out = str(tmp_path / name)
        assert main(["train", "mle", str(tmp_path / "text.txt"), "--out", out, "--mle_steps", "1", *given]) == 0
        assert Run.open(out).settings["tokens"]["prompt"] == "2"


def test_a_held_out_prompt_may_be_longer_than_those_of_the_training_text(tmp_path: Path) -> None:
    recipe, long = MLE(mle_steps=2, generator=LSTM(8, 8)), "up " * 20
    run = fit(recipe, LINES, valid=[*LINES[:4], f"{long}\tyes"], out=tmp_path / "run", text=GIVEN, progress=False)
    assert run.settings["prompts"]["longest"] == 20 and np.isfinite(run.log_probs([f"{long}\tyes"])[0]).all()
