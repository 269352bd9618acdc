"""The report: everything shown comes from the run folders, nothing in them can act, and what is absent is said."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from textgan.errors import InputError
from textgan.metrics.score import Score
from textgan.report import markdown, report
from textgan.report.charts import ENOUGH, Line, thin
from textgan.report.figures import bands_of, front
from textgan.report.findings import augmentation, best, headline, not_measured, trials
from textgan.report.markup import clean, tag
from textgan.report.results import read_run, read_runs
from textgan.report.settings import commands
from textgan.report.svg import PLAIN, Scale, extent, spread, tick_text
from textgan.report.wording import draws, telling, usage

VOID = {"meta", "circle", "line", "path", "polygon", "rect"}
REAL = [
    "a dog sits on the grass .",
    "two cats look at a bird .",
    "the old man reads a book .",
    "she rides a red bike .",
] * 6
HOSTILE = [
    "<script>alert(1)</script>",
    "</li></ul></main><style>*{display:none}</style>",
    "\u202egnirts\u2066 \x1b[31m\x00 nul \u2028 \x85 \ufeff",
    "w" * 5000,
    '" onmouseover="alert(1)',
    "https://evil.example/x.png javascript:alert(1)",
    "&lt;b&gt; &amp;",
]


class Page(HTMLParser):
    """Checks that tags are balanced and collects what a browser would act on."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def score(name: str, value: float, n: int = 20, better: str = "higher", **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "better": better, "n": n, "signature": f"{name}|n:{n}|seed:0", **more}


def evaluation(quality: float, diversity: float, n: int = 20) -> dict[str, Any]:
    own = [score("BLEU-4", quality, n), score("self-BLEU-4", diversity, n, "lower"), score("copies", 3, n, "lower")]
    real = [score("BLEU-4", 0.4, n), score("self-BLEU-4", 0.3, n, "lower"), score("copies", 1, n, "lower")]
    return {"text": "sample.txt", "reference": "real.txt", "n": n, "seed": 0, "scores": own, "real": real}


def trial(seed: int, before: float, after: float) -> dict[str, Any]:
    arms = [
        {"name": name, "steps": 10, "tokens": 100, "perplexity": value, "nll_per_token": math.log(value),
         "nll_per_byte": math.log(value) / 4,
         "scores": [score("distinct-2", 0.5), score("self-BLEU-4", 0.4, 20, "lower")],
         "samples": REAL[:3]}
        for name, value in (("real only", before), ("real + synthetic", after))
    ]  # fmt: skip
    return {"lm": "small GPT-2", "ratio": 0.5, "seed": seed, "arms": arms, "real": [score("distinct-2", 0.6)]}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def make_run(path: Path, *, nll: float = 3.0, valid: str = "v") -> Path:
    """A whole run: three phases, samples, an evaluation, three fine-tunings."""
    recipe = {
        "textgan": "0.1.0", "recipe": "seqgan", "fields": {"batch": 64, "generator": {"kind": "lstm", "hidden": 32}},
        "seed": 0, "corpus": {"name": "my train.txt", "sha256": "c"}, "valid": {"name": "valid.txt", "sha256": valid},
        "tokens": {"level": "words", "vocab_size": 30, "max_len": 9},
    }  # fmt: skip
    write(path / "recipe.json", recipe)
    rows: list[dict[str, Any]] = [{"step": 10 * i, "phase": "mle", "g_loss": 5 - 0.1 * i} for i in range(1, 11)]
    for i, row in enumerate(rows):
        row |= {"valid_nll": nll + abs(i - 7) / 10, "sample_unique": 1.0, "sample_entropy": 4.0}
    rows += [{"step": 100 + 10 * i, "phase": "judge", "d_loss": 0.6, "d_accuracy": 0.7} for i in range(1, 4)]
    for i in range(1, 11):
        row = {"step": 130 + 10 * i, "phase": "adversarial", "g_loss": 1.0, "reward": 0.4, "reward_sd": 0.1}
        rows.append(row | {"valid_nll": nll + 0.05 * i, "sample_unique": 1 - 0.05 * i})
    rows[-1]["warning"] = "only 50% of samples are distinct"
    write(path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for step in (50, 100, 230):
        write(path / f"samples/{step:06d}.txt", "\n".join([f"a dog {step} .", REAL[0], "a cat ."] * 8) + "\n")
    write(path / "heldout.txt", "\n".join(REAL) + "\n")
    write(path / "evaluation.json", evaluation(0.35, 0.5))
    for seed in range(3):
        write(path / f"augmentation-{seed}.json", trial(seed, 20 + 0.1 * seed, 21 + 0.11 * seed))
    return path


def read(runs: Any, tmp_path: Path) -> tuple[str, Page]:
    html = report(runs, tmp_path / "out.html").read_text(encoding="utf-8")
    return html, Page(html)


def test_page_is_whole_and_fetches_and_runs_nothing(tmp_path: Path) -> None:
    html, page = read([make_run(tmp_path / "one"), make_run(tmp_path / "two", nll=2.9)], tmp_path)
    names = {name for name, _ in page.tags}
    assert not names & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "image",
        "use",
        "foreignobject",
    }
    for _, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href", "action", "data", "xlink:href"):
            assert (attributes.get(key) or "#").startswith("#")
    assert "url(" not in html and "@import" not in html
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    links = {a["href"] for name, a in page.tags if name == "a"}
    assert links == {f"#{a['id']}" for name, a in page.tags if name == "section"}


def test_every_plot_has_a_title_and_a_description(tmp_path: Path) -> None:
    html, page = read(make_run(tmp_path / "one"), tmp_path)
    plots = [i for i, (name, a) in enumerate(page.tags) if name == "svg" and a.get("role") == "img"]
    assert len(plots) > 8
    assert all([page.tags[i + 1][0], page.tags[i + 2][0]] == ["title", "desc"] for i in plots)
    assert "<title></title>" not in html and "<desc></desc>" not in html
    assert not re.search(r'="[^"]*\b(nan|inf)\b', html)


def test_same_folders_give_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    assert report([run], tmp_path / "a.html").read_bytes() == report(run, tmp_path / "b.html").read_bytes()
    assert markdown(run) == markdown([run])


def test_headline_is_computed_and_says_a_loss_plainly(tmp_path: Path) -> None:
    # NLL: |i - 7| / 10 is 0 at the eighth row, step 80; it ends at 3 + .05 * 10. Perplexity: 20.1 -> 21.11.
    _, page = read(make_run(tmp_path / "one"), tmp_path)
    assert "Best held-out NLL 3 nats a token, at step 80 (mle phase)." in page.words
    assert "The adversarial phase ended at 3.50, the best of maximum likelihood was 3 (+0.500): worse." in page.words
    assert "BLEU-4 is 0.350 against 0.400 for real text (below real text)" in page.words
    assert "self-BLEU-4 is 0.500 against 0.300 for real text (less diverse than real text)" in page.words
    assert "went from 20.1 to 21.1 (+5.0 %): it hurt (95 % interval" in page.words
    assert "only 50% of samples are distinct (step 230)" in page.words


def test_few_seeds_make_no_claim(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    for seed in (1, 2):
        (run / f"augmentation-{seed}.json").unlink()
    said = augmentation(trials([read_run(run)])[0])
    assert said[0].endswith("One seed: no claim.")


def test_other_texts_and_the_same_seed_twice_are_no_seeds(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    for name, seed, pool in (("0", 0, "A"), ("1", 1, "A"), ("2", 1, "A"), ("3", 0, "B")):
        settings = {"lr": 0.1, "seed": seed, "steps": 700 + seed}  # three passes over what the seed has drawn
        found = trial(seed, 20.0, 19.0) | {"synthetic": {"sha256": pool}, "settings": settings}
        write(run / f"augmentation-{name}.json", found)
    first, second = trials([read_run(run)])
    assert [one.seed for one in first.repeats] == [0, 1]
    assert [one.seed for one in second.repeats] == [0]


def test_mixed_seeds_are_not_told_apart_and_uneven_arms_are_flagged(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    for seed, after in enumerate((19.0, 21.5, 20.2)):
        uneven = trial(seed, 20.0, after)
        uneven["arms"][1]["steps"] = 11
        write(run / f"augmentation-{seed}.json", uneven)
    said = augmentation(trials([read_run(run)])[0])
    assert "not told apart" in said[0]
    assert said[-1].startswith("The arms had unequal steps or tokens")


def test_runs_on_other_held_out_text_are_not_ranked(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two", nll=2.9)
    assert "two 2.900, one 3" in headline(read_runs([one, two]))[0]
    other = make_run(tmp_path / "other", nll=1.0, valid="w")
    assert "not comparable" in headline(read_runs([one, other]))[0]


def test_unequal_n_is_refused_in_the_plot_and_apart_in_the_table(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    write(run / "evaluation-small.json", evaluation(0.2, 0.1, n=10))
    _, page = read(run, tmp_path)
    assert "one \u00b7 small is not in the plot: BLEU-4 was measured on 20 and on 10 lines" in page.words
    assert "each stands in a table of its own, not to be compared" in page.words
    data = read_run(run)
    plot = front([(data, result, "c0") for result in data.evaluations], 4)
    assert plot is not None and plot.count('class="mark c0"') == 1 and plot.count('class="mark real"') == 1


def test_real_text_stands_in_plot_and_table_and_its_absence_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    html, page = read(run, tmp_path)
    assert "real text</text>" in html and "Real text" in page.words
    without = evaluation(0.35, 0.5)
    del without["real"]
    write(run / "evaluation.json", without)
    _, page = read(run, tmp_path)
    assert "Real text\u2019s own point was not measured; without it the plot has no yardstick." in page.words


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "<img src=x onerror=alert(1)>")
    write(run / "samples/000300.txt", "\n".join(HOSTILE) + "\n")
    (run / "heldout.txt").write_bytes("\n".join(HOSTILE).encode() + b"\n\xff\xfe broken\n")
    evil = json.loads((run / "recipe.json").read_text())
    evil |= {"recipe": "<b>x</b>", "seed": "\ud800", "device": "</td></table><script>"}
    write(run / "recipe.json", evil)
    bad = evaluation(0.3, 0.3)
    bad |= {"text": "<u>", "warnings": ["<script>"], "absent": {"MAUVE": "<i>"}}
    bad["scores"] += [score("<script>", 1.0), score("BLEU-3", 1e308), "junk", None]
    bad["scores"][0]["signature"] = "<s>|not ours"
    write(run / "evaluation.json", bad)
    log = (run / "log.jsonl").read_text() + json.dumps({"step": 240, "phase": "<b>", "warning": "<script>"}) + "\n"
    write(run / "log.jsonl", log)
    html, page = read(run, tmp_path)
    assert "script" not in {name for name, _ in page.tags} and html.count("<style>") == 1
    assert not any(character in html for character in "\u202e\u2066\x1b\x00\u2028\x85\ufeff\ud800")
    assert "<script>alert(1)</script>" in page.words
    assert "\u27e8U+202E\u27e9gnirts\u27e8U+2066\u27e9 \u241b[31m\u2400 nul" in page.words
    assert "w" * 1201 not in html and "(+3,800 characters)" in page.words
    text = markdown(run)
    assert "<script" not in text.replace("\\<", "") and "\u202e" not in text


def test_each_absent_file_is_named_with_the_reason_and_never_a_zero(tmp_path: Path) -> None:
    expected = {
        "log.jsonl": "no readable log.jsonl",
        "heldout.txt": "no readable heldout.txt",
        "evaluation.json": "no readable evaluation*.json",
        "recipe.json": "no readable recipe.json",
    }
    for file, why in expected.items():
        run = make_run(tmp_path / f"without-{file}")
        (run / file).unlink()
        _, page = read(run, tmp_path)
        assert why in page.words
    run = tmp_path / "only-a-recipe"
    write(run / "recipe.json", {"recipe": "mle"})
    html, page = read(run, tmp_path)
    assert "There are no figures yet" in page.words and "svg" not in {name for name, _ in page.tags}
    assert len(not_measured([read_run(run)])) >= 7


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "7", '"text"', "[" * 100_000, '{"scores": 3, "arms": {"a": 1}}']
)
def test_partly_written_results_are_left_out(content: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    for file in ("recipe.json", "evaluation.json", "augmentation-0.json", "finetune.json", "log.jsonl"):
        write(run / file, content)
    read(run, tmp_path)
    assert markdown(run)


def test_a_log_cut_in_the_middle_of_a_line_is_read_up_to_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    whole = (run / "log.jsonl").read_bytes()
    (run / "log.jsonl").write_bytes(whole[:-20] + b"\xff")
    data = read_run(run)
    assert len(data.log) == 22
    assert data.problems == ["log.jsonl has 1 unreadable line (partly written?); left out"]


def test_values_that_are_no_numbers_are_absent(tmp_path: Path) -> None:
    run = tmp_path / "run"
    rows = [
        '{"step": 1, "phase": "mle", "valid_nll": NaN, "g_loss": true}',
        '{"step": 2, "valid_nll": 1e400}',
        '{"step": "3"}',
    ]
    write(run / "log.jsonl", "\n".join(rows) + "\n" + '{"step": 4, "phase": "mle", "reward": ' + "9" * 400 + "}\n")
    data = read_run(run)
    assert [row.values for row in data.log] == [{}, {}, {}] and best(data) is None
    _, page = read(run, tmp_path)
    assert "log.jsonl holds no curve" in page.words


def test_steps_that_begin_anew_in_a_phase_are_counted_on_and_repeats_replaced(tmp_path: Path) -> None:
    rows = [("mle", 10, 1.0), ("mle", 20, 2.0), ("mle", 20, 3.0), ("adversarial", 5, 4.0), ("adversarial", 10, 5.0)]
    lines = [json.dumps({"step": step, "phase": phase, "g_loss": loss}) for phase, step, loss in rows]
    write(tmp_path / "run/log.jsonl", "\n".join(lines) + "\n")
    log = read_run(tmp_path / "run").log
    assert [(row.step, row.values["g_loss"]) for row in log] == [(10, 1.0), (20, 3.0), (25, 4.0), (30, 5.0)]
    assert [(band.name, band.start, band.end) for band in bands_of(log)] == [("mle", 10, 25), ("adversarial", 25, 30)]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    write(tmp_path / "secret.txt", "the secret\n")
    (run / "samples/999999.txt").symlink_to(tmp_path / "secret.txt")
    html, page = read(run, tmp_path)
    assert "the secret" not in html and "999999.txt is a link out of the run folder" in page.words


def test_folders_that_are_no_runs_are_one_line_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other/notes.txt", "x")
    cases = [
        ([], "no run folder was given"),
        ([tmp_path / "none"], "no such folder"),
        ([tmp_path / "empty"], "is empty; give the --out folder"),
        (tmp_path / "other", "is not a run folder"),
        ([make_run(tmp_path / "one"), tmp_path / "other/notes.txt"], "no such folder"),
    ]
    for runs, message in cases:
        with pytest.raises(InputError) as error:
            report(runs, tmp_path / "out.html")
        assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out.html").exists()
    with pytest.raises(InputError, match="is a folder"):
        report(tmp_path / "one", tmp_path)


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "a/run"), make_run(tmp_path / "b/run"), make_run(tmp_path / "c")]
    assert [run.name for run in read_runs([*folders, folders[2]])] == [
        "a/run",
        "b/run",
        f"{tmp_path.name}/c (1)",
        f"{tmp_path.name}/c (2)",
    ]


def test_copies_and_repeats_are_marked(tmp_path: Path) -> None:
    _, page = read(make_run(tmp_path / "one"), tmp_path)
    assert "verbatim in the held-out text; 8 times in this file" in page.words
    assert "samples/000230.txt: 24 sentences, 3 of them different, 8 verbatim in the held-out text" in page.words


def test_an_explicit_sample_file_comes_before_the_latest_interval(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    write(run / "sample.txt", "a bird .\n" * 30)
    generated = read_run(run).generated
    assert generated is not None and generated.file == "sample.txt"
    fake, real = draws(read_run(run))
    assert len(fake) == len(real) == 24


def test_text_without_spaces_is_counted_in_characters(tmp_path: Path) -> None:
    write(tmp_path / "run/heldout.txt", "\u6625\u7720\u4e0d\u89c9\u6653\n" * 5)
    write(tmp_path / "run/samples/000001.txt", "\u6625\u7720\u4e0d\n" * 5)
    _, page = read(tmp_path / "run", tmp_path)
    assert "characters a sentence" in page.words and "mean 3 generated, 5 real" in page.words


def test_commands_repeat_the_settings_and_are_quoted(tmp_path: Path) -> None:
    train, evaluate = commands(read_run(make_run(tmp_path / "one")))
    assert train == (
        "textgan train seqgan 'my train.txt' --out one --valid valid.txt --seed 0 --batch 64 --generator.kind lstm "
        "--generator.hidden 32 --tokens words --vocab_size 30 --max_len 9"
    )
    assert evaluate == "textgan evaluate sample.txt --reference real.txt --n 20 --seed 0"


def test_markdown_has_findings_scores_and_gaps(tmp_path: Path) -> None:
    text = markdown([make_run(tmp_path / "one")])
    assert "| BLEU-4 | 0.350 | 0.400 | \u2191 | 20 |" in text
    assert "| real + synthetic | 2 | 21.2 | 0.764 |" in text  # ln(21.22) / 4
    assert "- MAUVE: not among the evaluations\u2019 scores" in text


def test_tags_escape_everything_but_tags() -> None:
    inner = tag("b", "<i>", title='"&')
    assert (
        tag("p", inner, "<", None, class_="a", hidden=None)
        == '<p class="a"><b title="&quot;&amp;">&lt;i&gt;</b>&lt;</p>'
    )
    assert clean("a\tb\ud800\x7f") == "a\u2409b\ufffd\u2421"


def test_scales_meet_their_ends_and_ticks_are_round() -> None:
    scale = Scale(0.0, 10.0, 100.0, 0.0)
    assert (scale(0), scale(5), scale(10)) == (100.0, 50.0, 0.0)
    assert scale.ticks() == [0, 2, 4, 6, 8, 10]
    assert Scale(1, 1000, 0, 3, log=True)(100) == pytest.approx(2)
    assert Scale(1, 1000, 0, 3, log=True).ticks() == [1, 10, 100, 1000]
    assert [tick_text(value, [0.0, 0.5]) for value in (0.5, -1)] == ["0.5", "\u22121.0"]
    assert [tick_text(value, [0, 2000]) for value in (0, 4000)] == ["0", "4k"]
    for flat in ([0.0], [5.0, 5.0], [-3.0], [1e-300, 2e-300], [1e99, -1e99]):
        low, high = extent(flat, PLAIN)
        assert low < min(flat) <= max(flat) < high
        assert all(math.isfinite(tick) for tick in Scale(low, high, 0, 1).ticks())


def test_labels_are_moved_apart() -> None:
    assert spread([10, 10, 10], 5, 0, 100) == [10, 15, 20]
    assert spread([98, 99], 5, 0, 100) == [95, 100]


def test_long_curves_are_thinned_but_keep_their_extremes() -> None:
    y = [0.0] * 5000 + [7.0] + [0.0] * 5000
    line = thin(Line("x", [float(i) for i in range(len(y))], y))
    assert len(line.x) <= ENOUGH + 1 and max(line.high) == 7.0


def test_telling_is_the_log_likelihood_ratio() -> None:
    # 2 (10 ln(10 / 5.5) + 1 ln(1 / 5.5)): with totals of 100 the pooled share of 11 / 200 expects 5.5 on each side
    assert telling(10, 1, 100, 100) == pytest.approx(2 * (10 * math.log(10 / 5.5) + math.log(1 / 5.5)))
    assert telling(1, 10, 100, 100) == pytest.approx(-telling(10, 1, 100, 100))
    assert telling(5, 5, 100, 100) == 0
    said = usage([["dog"] * 50], [["cat"] * 50], "words")
    assert said is not None and said.index("dog") < said.index("Used less") < said.index("cat")


def test_scores_without_a_comparable_partner_stay_alone() -> None:
    from textgan.report.figures import unlike

    one = Score("BLEU-4", 0.3, "higher", 20, "BLEU-4|n:20|seed:0")
    assert unlike(one, one._replace(signature="BLEU-4|n:20|seed:1")) is None
    assert unlike(one, one._replace(n=30)) is not None
    assert unlike(one, one._replace(signature="garbage|x")) is not None


def test_an_evaluations_own_verdicts_are_taken_over(tmp_path: Path) -> None:
    from textgan import evaluation as made
    from textgan.report.sections import SAME

    assert made.SAME == SAME
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two")
    verdicts = {"BLEU-4": SAME, "self-BLEU-4": "less diverse than real text", "copies": "<b>"}
    write(one / "evaluation.json", evaluation(0.35, 0.5) | {"verdicts": verdicts, "notes": ["a note"]})
    _, page = read(one, tmp_path)
    assert "0.350 against 0.400 for real text (not told from real text)" in page.words
    assert "Verdict" in page.words and "one: a note" in page.words
    html, page = read([one, two], tmp_path)
    assert "\u2248 0.350" in page.words and "Verdict" not in page.words
    assert "1 of 2 texts have a lower BLEU-4 than real text (0.400) and 2 of 2 are less diverse" in page.words


def test_what_evaluate_writes_is_read_back(tmp_path: Path) -> None:
    from textgan.evaluation import evaluate

    run = make_run(tmp_path / "one")
    found = evaluate([f"{line} again" for line in REAL], REAL * 2, n=20, metrics=["BLEU", "self-BLEU", "distinct"])
    write(run / "evaluation.json", found.to_json())
    result = read_run(run).evaluations[0]
    assert list(result.scores.values()) == found.scores and list(result.real.values()) == found.real
    assert front([(read_run(run), result, "c0")], 4) is not None
