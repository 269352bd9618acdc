"""MaskGAN's holes, fillings and likelihoods, against enumeration."""

from __future__ import annotations

import pytest
import torch

from textgan.errors import InputError
from textgan.generators import LSTM, Infill
from textgan.recipes import MaskGAN
from textgan.recipes.maskgan import Holes, fill, log_probs, make_holes
from textgan.sequences import EOS, PAD, UNK, mask_of
from toys import MAX_LEN, VOCAB, all_sentences, build


def test_holes_are_spans_of_the_text_and_every_second_sentence_is_hidden_whole() -> None:
    tokens = torch.tensor([[4, 5, 4, 5, EOS, PAD], [4, 5, 4, 5, EOS, PAD]]).repeat(200, 1)
    given = make_holes(tokens, 0.5, VOCAB, torch.Generator().manual_seed(0))
    assert torch.equal(given.hole[::2], mask_of(tokens)[::2])
    assert (given.visible[::2] == VOCAB).all()  # the length is hidden too
    spans = given.hole[1::2]
    assert (spans.sum(1) == 3).all()  # half of five, rounded up
    starts = spans.int().argmax(1)
    assert all(row[s : s + 3].all() for row, s in zip(spans, starts.tolist(), strict=True))
    assert starts.unique().tolist() == [0, 1, 2]
    assert torch.equal(given.visible[1::2] == VOCAB, spans | ~mask_of(tokens)[1::2])


def test_fillings_follow_the_likelihood_of_the_hidden_words_and_leave_the_others() -> None:
    """Of [a _ b], the middle one is one of V tokens: shares of 8,000 fillings against exp(log_probs)."""
    generator, n = build("infill"), 8000
    row, hole = torch.tensor([[4, 0, 5]]), torch.tensor([[False, True, False]])
    visible = row.masked_fill(hole, VOCAB)
    noise = torch.rand(n, 3, generator=torch.Generator().manual_seed(1))
    filled = fill(generator, Holes(*(x.expand(n, -1) for x in (row, hole, visible))), noise)
    assert torch.equal(filled.tokens[:, [0, 2]], row[:, [0, 2]].expand(n, -1))
    for token in range(EOS, VOCAB):
        p = log_probs(generator, Holes(torch.tensor([[4, token, 5]]), hole, visible))[0].sum().exp().item()
        assert abs((filled.tokens[:, 1] == token).float().mean().item() - p) < 0.023  # four sd


def test_a_sentence_hidden_whole_is_a_sample_of_the_language_model() -> None:
    generator, sentences = build("infill"), all_sentences()
    hidden = torch.full_like(sentences, VOCAB)
    own = log_probs(generator, Holes(sentences, mask_of(sentences), hidden)).sum(1)
    assert torch.allclose(own, generator.log_probs(sentences).sum(1), atol=1e-5)
    n = 8000
    blank = Holes(torch.full((n, MAX_LEN), 4), torch.ones(n, MAX_LEN).bool(), torch.full((n, MAX_LEN), VOCAB))
    filled = fill(generator, blank, torch.rand(n, MAX_LEN, generator=torch.Generator().manual_seed(2)))
    assert torch.equal(filled.hole, mask_of(filled.tokens))
    for sentence, p in zip(sentences, own.exp(), strict=True):
        assert abs((filled.tokens == sentence).all(1).float().mean() - p) < 0.025


def test_a_filling_heeds_the_words_behind_the_hole() -> None:
    """Sentences say one word twice; the first is hidden. Without the second, one in three would be right."""
    generator = build("infill", sharpen=1)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.05)
    rng = torch.Generator().manual_seed(3)
    for step in range(150):
        word = torch.randint(UNK, VOCAB, (64, 1), generator=rng)
        tokens = torch.cat([word, word, torch.full_like(word, EOS)], 1)
        hole = torch.tensor([[True, False, False]]).expand(64, -1)
        given = Holes(tokens, hole, tokens.masked_fill(hole, VOCAB))
        if step < 149:
            optimizer.zero_grad()
            (-log_probs(generator, given)[hole].mean()).backward()
            optimizer.step()
    assert (fill(generator, given, torch.rand(64, 3, generator=rng)).tokens[:, 0] == word[:, 0]).float().mean() > 0.8


def test_a_critic_that_knows_everything_takes_nothing_from_the_gradient() -> None:
    """Its value of a word's return is foretold before the word is read: E[b_t grad log G] = 0, whatever b is.

    Over all sentences, hidden whole; a critic that had read the word would foretell its reward and leave no gradient.
    """
    sentences, generator = all_sentences(), build("infill")
    judge = MaskGAN(generator=Infill(8, 8, 8, 0.0)).players(VOCAB, MAX_LEN)["critic"].net.eval()
    hidden = torch.full_like(sentences, VOCAB)
    values = 100 * judge.values(sentences, hidden)
    own = log_probs(generator, Holes(sentences, mask_of(sentences), hidden))
    p = own.sum(1).exp().detach()
    (own * (values.detach() * mask_of(sentences)) * p[:, None]).sum().backward()
    size = max(x.grad.abs().max().item() for x in generator.parameters() if x.grad is not None)
    assert size < 1e-4 * values.abs().max().item()
    assert len(values[:, 1].unique()) > 1  # it is no constant


def test_a_lines_logit_does_not_hang_on_the_padding_beside_it() -> None:
    judge = MaskGAN(generator=Infill(8, 8, 8, 0.0)).players(VOCAB, 12)["discriminator"].net.eval()
    line = torch.tensor([[4, 5, EOS]])
    for width in (5, 8, 12):
        padded = torch.nn.functional.pad(line, (0, width - 3))
        assert torch.equal(judge(padded, mask_of(padded)), judge(line, mask_of(line)))


def test_maskgan_refuses_a_generator_that_cannot_read_around_a_hole() -> None:
    with pytest.raises(InputError, match="maskgan plays with --generator infill alone"):
        MaskGAN(generator=LSTM()).players(VOCAB, MAX_LEN)
