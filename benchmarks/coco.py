"""Real captions: what each recipe writes, beside maximum likelihood, controls, real text and the published figures.

    python benchmarks/coco.py                 run the grid (every job is skipped when its result is there)
    python benchmarks/coco.py --only front-mle-0
    python benchmarks/coco.py --list          a command a job, for a batch scheduler
    python benchmarks/coco.py --table         the tables and fronts.html from benchmarks/results/coco/*.json

TEXTGAN_DATA names the folder of corpora (default ../shared/data); `corpora.py` says what the jobs are.
"""

from corpora import Corpus, grid
from corpora_tables import table

from textgan.cli import guarded
from textgan.experiment import command_line

COCO = Corpus(
    "coco",
    "image_coco",
    "train.txt",
    "test.txt",
    {  # RelGAN (Nie et al. 2019), table 2, and Texygen (Zhu et al. 2018): test BLEU-2..5, self-BLEU-2..5, NLL_gen
        "MLE": ((0.731, 0.497, 0.305, 0.189), (0.916, 0.769, 0.583, 0.408), 0.718),
        "SeqGAN": ((0.745, 0.498, 0.294, 0.180), (0.950, 0.840, 0.670, 0.489), 1.082),
        "MaliGAN": ((0.673, 0.432, 0.257, 0.159), (0.918, 0.781, 0.606, 0.437), None),
        "RankGAN": ((0.743, 0.467, 0.264, 0.156), (0.959, 0.882, 0.762, 0.618), 1.344),
        "LeakGAN": ((0.746, 0.528, 0.355, 0.230), (0.966, 0.913, 0.848, 0.780), 0.679),
        "TextGAN": ((0.593, 0.463, 0.277, 0.207), (0.942, 0.931, 0.804, 0.746), None),
        "RelGAN(100)": ((0.849, 0.687, 0.502, 0.331), None, 0.756),
        "RelGAN(1000)": ((0.814, 0.634, 0.455, 0.303), None, 0.655),
    },
    longest=37,  # words, of both files; the published code fills all captions up to it
)

if __name__ == "__main__":
    raise SystemExit(
        guarded(lambda: print(command_line(grid(COCO), COCO.results, lambda: table(COCO), __doc__ or "")))
    )
