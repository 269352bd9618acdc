"""What every generator must keep to, shown on a language that can be enumerated."""

from __future__ import annotations

import math

import pytest
import torch

from slow_rollouts import slow_complete
from tape import Card
from textgan.errors import InputError
from textgan.generators import GENERATORS, Decoding, Generator, gumbel, load_generator, search
from textgan.processes import Noise
from textgan.sequences import BOS, EOS, PAD, embed, mask_of
from toys import FAMILIES, MAX_LEN, VOCAB, all_sentences, build

families = pytest.mark.parametrize("family", FAMILIES)


@families
def test_probabilities_of_all_sentences_sum_to_one(family: str) -> None:
    total = build(family).log_probs(all_sentences()).sum(1).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


@families
def test_log_probs_of_a_sample_are_those_it_was_drawn_with(family: str) -> None:
    generator = build(family)
    samples = generator.sample(300, rng=torch.Generator().manual_seed(1))
    assert torch.allclose(generator.log_probs(samples.tokens), samples.log_probs, atol=1e-5)
    assert torch.equal(samples.mask, mask_of(samples.tokens))
    assert not samples.log_probs[~samples.mask].any()


@families
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_follow_the_distribution(family: str, temperature: float) -> None:
    """Chi-squared against the enumerated probabilities: 40 cells, so under 85 but for 1 in 30,000 seeds."""
    generator, n = build(family), 20_000
    sentences = all_sentences()
    logits = generator(sentences) / temperature
    steps = logits.log_softmax(-1).gather(2, sentences[..., None]).squeeze(2) * mask_of(sentences)
    expected = steps.sum(1).exp() * n
    samples = generator.sample(n, temperature=temperature, rng=torch.Generator().manual_seed(2))
    tokens = torch.nn.functional.pad(samples.tokens, (0, MAX_LEN - samples.tokens.shape[1]))
    codes = torch.tensor([VOCAB**2, VOCAB, 1])
    cells = {int(code): i for i, code in enumerate(sentences @ codes)}
    observed = torch.zeros(len(sentences))
    for code, count in zip(*torch.unique(tokens @ codes, return_counts=True), strict=True):
        observed[cells[int(code)]] = count.float()
    common = expected > 5
    rest = ((observed[~common].sum() - expected[~common].sum()) ** 2 / expected[~common].sum().clamp(min=1)).item()
    chi = ((observed - expected) ** 2 / expected)[common].sum().item() + rest
    assert chi < 85


def test_a_nucleus_is_that_of_transformers() -> None:
    """Holtzman et al. 2020 by another hand; rows with one sure token and with equal ones among them."""
    from transformers import TopPLogitsWarper

    rng = torch.Generator().manual_seed(0)
    logits = torch.cat([3 * torch.randn(200, 30, generator=rng), torch.full((1, 30), -9.0)])
    logits[-1, 4] = 9
    for top_p in (0.1, 0.5, 0.9, 0.99):
        for temperature in (0.7, 1.0):
            theirs = TopPLogitsWarper(top_p)(None, logits / temperature).softmax(-1)
            assert torch.allclose(Decoding(temperature, top_p).probs(logits.clone()), theirs, atol=1e-6)
    even = Decoding(top_p=0.5).probs(torch.zeros(1, 4))
    assert sorted(even[0].tolist()) == [0, 0, 0.5, 0.5]


@families
def test_samples_of_a_nucleus_have_its_log_probs_and_no_token_outside(family: str) -> None:
    generator = build(family)
    samples = generator.sample(300, top_p=0.6, rng=torch.Generator().manual_seed(1))
    probs = Decoding(top_p=0.6).probs(generator(samples.tokens).flatten(0, 1)).view(*samples.tokens.shape, -1)
    chosen = probs.gather(2, samples.tokens[..., None]).squeeze(2)[samples.mask]
    assert (chosen > 0).all()
    assert torch.allclose(chosen.log(), samples.log_probs[samples.mask], atol=1e-5)
    assert (probs == 0).any()
    for top_p in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(InputError, match="top_p .* must be above 0 and at most 1"):
            generator.sample(1, top_p=top_p)


@families
def test_fast_sampling_agrees_with_the_slow_twin(family: str) -> None:
    generator, n = build(family), 8000
    fast = generator.sample(n, rng=torch.Generator().manual_seed(3)).tokens
    slow = slow_complete(generator, torch.empty(n, 0, dtype=torch.int64), torch.Generator().manual_seed(4))
    for token in range(EOS, VOCAB):
        for t in range(fast.shape[1]):
            p, q = (fast[:, t] == token).float().mean().item(), (slow[:, t] == token).float().mean().item()
            assert abs(p - q) < 5 * math.sqrt(2 * 0.25 / n)


@families
def test_the_lean_slow_twin_draws_what_the_slow_twin_draws(family: str) -> None:
    generator, prefix = build(family), torch.empty(50, 0, dtype=torch.int64)
    slow, lean = (slow_complete(generator, prefix, torch.Generator().manual_seed(1), lean=b) for b in (False, True))
    assert torch.equal(slow, lean)


@families
def test_log_probs_of_samples_at_a_temperature_are_of_that_temperature(family: str) -> None:
    generator = build(family)
    samples = generator.sample(100, temperature=0.6, rng=torch.Generator().manual_seed(5))
    steps = (generator(samples.tokens) / 0.6).log_softmax(-1).gather(2, samples.tokens[..., None]).squeeze(2)
    assert torch.allclose(steps * samples.mask, samples.log_probs, atol=1e-5)


@families
def test_pad_and_bos_are_never_drawn_and_text_ends_once(family: str) -> None:
    tokens = build(family).sample(2000, temperature=3.0, rng=torch.Generator().manual_seed(6)).tokens
    assert not (tokens == BOS).any()
    after_end = (tokens == EOS).int().cumsum(1) - (tokens == EOS).int() > 0
    assert torch.equal(tokens == PAD, after_end)


@families
def test_a_prefix_is_kept_and_continued_from_its_own_state(family: str) -> None:
    generator = build(family, max_len=8)
    prefix = generator.sample(400, rng=torch.Generator().manual_seed(7)).tokens[:, :2]
    samples = generator.sample(400, prefix=prefix, rng=torch.Generator().manual_seed(8))
    assert torch.equal(samples.tokens[:, :2], prefix)
    assert not samples.log_probs[:, :2].any()
    again = generator.log_probs(samples.tokens)
    assert torch.allclose(again[:, 2:], samples.log_probs[:, 2:], atol=1e-4)


@families
def test_stepwise_and_whole_hidden_states_agree(family: str) -> None:
    generator = build(family, vocab=20, max_len=7)
    tokens = generator.sample(30, rng=torch.Generator().manual_seed(9)).tokens
    whole, stepwise = generator.hidden(tokens), Generator.hidden(generator, tokens)
    assert torch.allclose(whole[mask_of(tokens)], stepwise[mask_of(tokens)], atol=1e-5)


@families
def test_states_can_be_selected_and_repeated(family: str) -> None:
    generator = build(family, vocab=20, max_len=7)
    tokens = torch.randint(EOS + 1, 20, (6, 4), generator=torch.Generator().manual_seed(10))
    state = generator.start(6)
    for t in range(3):
        _, state = generator.advance(tokens[:, t], state)
    order = torch.tensor([4, 0, 0, 5])
    selected = generator.select(state, order)
    ours, _ = generator.advance(tokens[order, 3], selected)
    theirs, _ = generator.advance(tokens[:, 3], state)  # which the selection has left as it was
    assert torch.allclose(ours, theirs[order], atol=1e-5)


@families
def test_forbidden_tokens_never_get_probability_with_a_gradient_or_without(family: str) -> None:
    generator, sentences = build(family), all_sentences()
    with_gradient = generator(sentences)
    with torch.no_grad():
        without = generator(sentences)
    assert torch.equal(with_gradient.softmax(-1)[..., :EOS], torch.zeros(*sentences.shape, EOS))
    assert torch.allclose(with_gradient[..., EOS:], without[..., EOS:], atol=1e-5)
    assert torch.allclose(with_gradient.softmax(-1), without.softmax(-1), atol=1e-6)


@families
def test_noise_and_log_probs_are_never_of_half_precision(family: str) -> None:
    """bfloat16 has 8 bits: Gumbel noise of 8 bits would bias the draw, and a sum of such log-probabilities drifts."""
    generator = build(family)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        samples = generator.sample(50, rng=torch.Generator().manual_seed(23))
        relaxed = generator.relaxed_sample(50, temperature=0.5, hard=False, rng=torch.Generator().manual_seed(24))
        assert generator.log_probs(samples.tokens).dtype == samples.log_probs.dtype == torch.float32
    assert relaxed.probs.dtype == torch.float32


@families
def test_a_card_writes_in_half_precision_too(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cache of a fixed shape takes what autocast makes of keys and values."""
    generator = build(family)
    Card(monkeypatch).fixed()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        samples = generator.sample(20, rng=torch.Generator().manual_seed(23))
    assert samples.log_probs.dtype == torch.float32 and torch.isfinite(samples.log_probs).all()


def test_gumbel_noise_is_finite_and_of_the_right_mean_and_variance() -> None:
    """Mean .57722 (Euler's constant), variance pi^2 / 6; a million draws: 5 sd of the mean are .0064."""
    noise = gumbel(Noise(100, torch.Generator().manual_seed(22), torch.device("cpu")), 10_000).double()
    assert torch.isfinite(noise).all()
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.0064)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.02)
    assert (noise > 10).double().mean().item() == pytest.approx(math.exp(-10), rel=0.7)  # 45 expected


@families
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("feed_tokens", [True, False])
def test_relaxed_samples_lie_on_the_simplex_and_carry_a_gradient(family: str, hard: bool, feed_tokens: bool) -> None:
    generator = build(family)
    relaxed = generator.relaxed_sample(
        50, temperature=0.7, hard=hard, feed_tokens=feed_tokens, rng=torch.Generator().manual_seed(11)
    )
    assert torch.allclose(relaxed.probs.sum(-1), torch.ones_like(relaxed.probs[..., 0]), atol=1e-5)
    assert torch.equal(relaxed.probs.argmax(-1), relaxed.tokens)
    if hard:
        assert torch.allclose(relaxed.probs.amax(-1), torch.ones(()), atol=1e-6)
    (relaxed.probs * torch.randn(VOCAB, generator=torch.Generator().manual_seed(12)))[relaxed.mask].sum().backward()
    grads = [p.grad for p in generator.parameters() if p.grad is not None]
    assert sum(g.abs().sum().item() for g in grads) > 0
    assert all(torch.isfinite(g).all() for g in grads)


@families
def test_relaxed_tokens_are_exact_samples_at_any_gumbel_temperature(family: str) -> None:
    """Feeding hard tokens, argmax(logits + gumbel) is a draw of the model, whatever the relaxation."""
    generator, n = build(family), 8000
    with torch.no_grad():
        relaxed = generator.relaxed_sample(n, temperature=0.1, hard=True, rng=torch.Generator().manual_seed(13))
    drawn = generator.sample(n, rng=torch.Generator().manual_seed(14))
    for token in range(EOS, VOCAB):
        for t in range(2):
            p, q = (relaxed.tokens[:, t] == token), (drawn.tokens[:, t] == token)
            assert abs(p.float().mean() - q.float().mean()) < 5 * math.sqrt(2 * 0.25 / n)


@pytest.mark.parametrize("size", [1, 5, 128, 129, 192, 1000])
def test_a_search_finds_the_place_in_the_cumulative_sum_and_never_a_weight_of_zero(size: int) -> None:
    rng = torch.Generator().manual_seed(20)
    weights = torch.rand(400, size, generator=rng) ** 8
    weights[torch.rand(400, size, generator=rng) < 0.4] = 0
    weights[:, size // 2] += 1e-3
    u = torch.rand(400, 1, generator=rng)
    u[:4] = torch.tensor([[0.0], [1 - 2**-24], [2**-24], [0.5]])
    found = search(weights, u)
    assert (weights.gather(1, found) > 0).all()
    cdf = weights.double().cumsum(1)
    place = u.double() * cdf[:, -1:]
    slow = torch.searchsorted(cdf, place, right=True).clamp(max=size - 1)
    above, below = cdf.gather(1, found) - place, place - (cdf - weights).gather(1, found)
    assert (torch.minimum(above, below) > -1e-5 * cdf[:, -1:]).all()  # right but for float32's rounding
    assert (found != slow).float().mean() < 0.01
    lost = search(weights * float("nan"), u)
    assert ((lost >= 0) & (lost < size)).all()


@pytest.mark.parametrize("size", [7, 1000])
def test_searched_draws_follow_the_weights(size: int) -> None:
    weights = torch.rand(1, size, generator=torch.Generator().manual_seed(21)) ** 4
    u = torch.linspace(0, 1, 100_001)[:-1, None]  # a grid instead of draws: shares are right to a step
    share = torch.bincount(search(weights.expand(100_000, -1), u).squeeze(1), minlength=size) / 100_000
    assert torch.allclose(share, weights[0] / weights.sum(), atol=3e-5)


def test_hard_and_soft_tokens_go_through_one_door() -> None:
    weight = torch.randn(VOCAB, 5)
    tokens = torch.randint(VOCAB, (3, 4))
    assert torch.allclose(embed(tokens, weight), embed(torch.nn.functional.one_hot(tokens, VOCAB).float(), weight))


@families
def test_same_seed_same_samples(family: str) -> None:
    generator = build(family)
    a, b, c = (generator.sample(64, rng=torch.Generator().manual_seed(s)).tokens for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@families
def test_temperatures_that_are_not_positive_are_refused(family: str) -> None:
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature .* must be a positive number"):
            build(family).sample(1, temperature=temperature)
        with pytest.raises(InputError, match="temperature .* must be a positive number"):
            build(family).relaxed_sample(1, temperature=temperature)


@families
def test_saved_generators_load_and_generate_as_hugging_face_models(family: str, tmp_path: object) -> None:
    from pathlib import Path

    from transformers import AutoModelForCausalLM

    folder = Path(str(tmp_path))
    generator = build(family, vocab=12, max_len=6)
    generator.save(folder)
    again = load_generator(folder)
    sentences = generator.sample(20, rng=torch.Generator().manual_seed(15)).tokens
    assert torch.equal(again.log_probs(sentences), generator.log_probs(sentences))
    assert again.max_len == 6
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.manual_seed(0)
    out = model.generate(torch.full((500, 1), BOS))[:, 1:]
    assert out.shape[1] <= 6
    assert not (out == BOS).any()
    inside = mask_of(out)
    ours = generator.log_probs(out)[inside].mean().item()
    drawn = generator.sample(500, rng=torch.Generator().manual_seed(16))
    assert ours == pytest.approx(drawn.log_probs[drawn.mask].mean().item(), abs=0.1)


@pytest.mark.parametrize("family", ["lstm", "lstm-tied-deep", "memory", "leak", "infill"])
def test_beams_and_left_pads_score_what_they_claim(family: str, tmp_path: object) -> None:
    model = build(family, vocab=12, max_len=6).model.eval()
    prompts = torch.tensor([[BOS, 5, 6], [PAD, BOS, 7]])
    mask = (prompts != PAD).long()
    alone = model(torch.tensor([[BOS, 7]])).logits[:, -1]
    assert torch.allclose(model(prompts, attention_mask=mask).logits[1, -1], alone[0], atol=1e-6)
    out = model.generate(
        prompts, attention_mask=mask, num_beams=3, do_sample=False, max_new_tokens=4, min_new_tokens=4,
        output_scores=True, return_dict_in_generate=True, length_penalty=0.0, pad_token_id=PAD, eos_token_id=EOS,
    )  # fmt: skip
    for row, claimed in zip(out.sequences, out.sequences_scores, strict=True):
        ids = row[1:][None] if row[0] == PAD else row[None]
        logits = model(ids).logits.log_softmax(-1)
        start = ids.shape[1] - 4
        blocked = logits.clone()
        blocked[..., EOS] = float("-inf")  # min_new_tokens forbids the end
        steps = blocked[0, start - 1 : -1].gather(1, ids[0, start:, None])
        assert steps.sum().item() == pytest.approx(claimed.item(), abs=1e-4)


def test_families_are_listed_once() -> None:
    assert set(GENERATORS) == {"lstm", "transformer", "memory", "leak", "infill", "pretrained"}


@families
def test_each_context_has_its_own_distribution_and_samples_follow_it(family: str) -> None:
    """A context stands in BOS's place: probabilities sum to one under each, and BOS as a context changes nothing."""
    generator, sentences = build(family), all_sentences()
    with torch.no_grad():
        by_context = {
            c: generator.log_probs(sentences, torch.full((len(sentences),), c)).sum(1).exp() for c in (BOS, 4, 5)
        }
        assert torch.equal(by_context[BOS], generator.log_probs(sentences).sum(1).exp())
        assert (by_context[4] - by_context[5]).abs().max() > 0.01
        n = 8000
        context = torch.tensor([4, 5]).repeat(n // 2)
        drawn = generator.sample(n, context=context, rng=torch.Generator().manual_seed(0))
        relaxed = generator.relaxed_sample(n, temperature=1.0, context=context, rng=torch.Generator().manual_seed(1))
        for c in (4, 5):
            assert by_context[c].sum().item() == pytest.approx(1, abs=1e-5)
            for tokens in (drawn.tokens, relaxed.tokens):
                rows = tokens[context == c]
                for sentence, p in zip(sentences, by_context[c], strict=True):
                    assert abs((rows == sentence).all(1).float().mean() - p) < 0.03  # sd of 4,000 draws under .008
        assert torch.allclose(generator.log_probs(drawn.tokens, context), drawn.log_probs, atol=1e-4)
