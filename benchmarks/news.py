"""News sentences: as `coco.py`, on 10,000 lines of EMNLP 2017 news (the papers trained on about 270,000).

    python benchmarks/news.py                 run the grid (every job is skipped when its result is there)
    python benchmarks/news.py --list          a command a job, for a batch scheduler
    python benchmarks/news.py --table         the tables and fronts.html from benchmarks/results/news/*.json

TEXTGAN_DATA names the folder of corpora (default ../shared/data); `corpora.py` says what the jobs are.
"""

from corpora import Corpus, grid
from corpora_tables import table

from textgan.cli import guarded
from textgan.experiment import command_line

PUBLISHED = {}  # figures of 27 times the text are no match
NEWS = Corpus("news", "emnlp2017_news", "train_10k.txt", "test.txt", PUBLISHED, longest=51)

if __name__ == "__main__":
    raise SystemExit(
        guarded(lambda: print(command_line(grid(NEWS), NEWS.results, lambda: table(NEWS), __doc__ or "")))
    )
