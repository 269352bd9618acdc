"""k-means, nearest neighbours and the MAUVE frontier on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .encoders import unit

#: At most this many distances are held at once.
CELLS = 4_000_000


class Neighbours(NamedTuple):
    """For n scored and m real vectors, with the balls that reach to the k-th neighbour in the own cloud."""

    real_balls: np.ndarray  # (n,) how many real balls each scored vector lies in
    text_balls: np.ndarray  # (m,) how many scored balls each real vector lies in
    reached: np.ndarray  # (m,) bool: the real vector's ball holds a scored vector


def squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, m) squared Euclidean distances, never below 0."""
    lengths = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :]
    return np.maximum(lengths - 2 * one @ other.T, 0)


def neighbours(text: np.ndarray, real: np.ndarray, k: int, real_radius: np.ndarray) -> Neighbours:
    """Count balls; a boundary counts as inside. Distances come in chunks. real_radius: `radii` of real."""
    text_radius = radii(text, k)
    real_balls, text_balls = np.zeros(len(text)), np.zeros(len(real))
    reached = np.zeros(len(real), dtype=bool)
    for begin, end in _chunks(len(text), len(real)):
        distance = squared_distances(text[begin:end], real)
        inside = distance <= real_radius[None, :]
        real_balls[begin:end] = inside.sum(axis=1)
        reached |= inside.any(axis=0)
        text_balls += (distance <= text_radius[begin:end, None]).sum(axis=0)
    return Neighbours(real_balls, text_balls, reached)


def radii(cloud: np.ndarray, k: int) -> np.ndarray:
    """(n,) squared distance of each vector to its k-th nearest other one."""
    found = np.zeros(len(cloud))
    for begin, end in _chunks(len(cloud), len(cloud)):
        distance = squared_distances(cloud[begin:end], cloud)
        distance[np.arange(end - begin), np.arange(begin, end)] = 0
        found[begin:end] = np.partition(distance, k, axis=1)[:, k]
    return found


def _chunks(rows: int, columns: int) -> list[tuple[int, int]]:
    height = max(1, CELLS // max(1, columns))
    return [(begin, min(begin + height, rows)) for begin in range(0, rows, height)]


def joint_clusters(one: np.ndarray, other: np.ndarray, buckets: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) and (m,) cluster of each vector, both clouds together: unit rows, directions of .9 variance, k-means."""
    joint = unit(np.concatenate([one, other]))
    joint = joint - joint.mean(axis=0)
    _, spread, directions = np.linalg.svd(joint, full_matrices=False)
    share = np.cumsum(spread**2) / max(float((spread**2).sum()), 1e-300)
    label = k_means(joint @ directions[: int(np.searchsorted(share, 0.9)) + 1].T, buckets, seed)
    return label[: len(one)], label[len(one) :]


def k_means(rows: np.ndarray, k: int, seed: int, *, steps: int = 40) -> np.ndarray:
    """(n,) cluster of each row: k-means++ start (Arthur & Vassilvitskii 2007), then Lloyd's steps till none moves."""
    rows = rows.astype(np.float32)
    rng = np.random.default_rng(seed)
    centres = rows[_spread_start(rows, k, rng)]
    label = np.full(len(rows), -1)
    for _ in range(steps):
        found = _nearest(rows, centres)
        if np.array_equal(found, label):
            break
        label = found
        sizes = np.bincount(label, minlength=k)
        order = np.argsort(label, kind="stable")
        full = np.flatnonzero(sizes)
        begins = (np.cumsum(sizes) - sizes)[full]
        centres[full] = np.add.reduceat(rows[order], begins, axis=0) / sizes[full, None]
        empty = np.flatnonzero(sizes == 0)
        centres[empty] = rows[rng.integers(len(rows), size=len(empty))]
    return label


def _spread_start(rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [int(rng.integers(len(rows)))]
    distance = ((rows - rows[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(k - 1):
        total = np.cumsum(distance, dtype=np.float64)
        where = np.searchsorted(total, rng.random() * total[-1]) if total[-1] > 0 else rng.integers(len(rows))
        chosen.append(min(int(where), len(rows) - 1))
        distance = np.minimum(distance, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen)


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    found = np.empty(len(rows), dtype=np.int64)
    half = (centres**2).sum(axis=1) / 2
    for begin, end in _chunks(len(rows), len(centres)):
        found[begin:end] = (half - rows[begin:end] @ centres.T).argmin(axis=1)
    return found


def mauve(p: np.ndarray, q: np.ndarray, scaling: float, *, mixtures: int = 25) -> float:
    """Area under the frontier (exp -c KL(q, r), exp -c KL(p, r)) of mixtures r = w p + (1 - w) q, with its two ends.

    The mean of the two trapezoid areas, one along each axis. Pillutla et al. 2021, section 2.
    """
    p, q = p / p.sum(), q / q.sum()
    weights = np.linspace(1e-6, 1 - 1e-6, mixtures)
    mixed = weights[:, None] * p + (1 - weights)[:, None] * q
    x = np.concatenate([[0.0], np.exp(-scaling * _divergence(q, mixed)), [1.0]])
    y = np.concatenate([[1.0], np.exp(-scaling * _divergence(p, mixed)), [0.0]])
    return float((_area(x, y) + _area(y, x)) / 2)


def _divergence(p: np.ndarray, mixtures: np.ndarray) -> np.ndarray:
    held = p > 0
    return (p[held] * np.log(p[held] / mixtures[:, held])).sum(axis=1)


def _area(x: np.ndarray, y: np.ndarray) -> float:
    order = np.lexsort((-y, x))  # the frontier falls: of equal x the higher comes first
    x, y = x[order], y[order]
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2)
