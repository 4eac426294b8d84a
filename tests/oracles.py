"""Naive forms of every formula, written from the papers and not from the kernels.

Slow and obvious on purpose: loops over rows, pairs and users. One section a family.
"""

from __future__ import annotations

import math

# ---------------------------------------------------------------------------------------------- machines


# ---------------------------------------------------------------------------------------------- losses


# ---------------------------------------------------------------------------------------- update rules


# --------------------------------------------------------------------------------------------- metrics


def rmse(y, p, w=None):
    w = [1.0] * len(y) if w is None else w
    return math.sqrt(sum(w[i] * (y[i] - p[i]) ** 2 for i in range(len(y))) / sum(w))


def mae(y, p, w=None):
    w = [1.0] * len(y) if w is None else w
    return sum(w[i] * abs(y[i] - p[i]) for i in range(len(y))) / sum(w)


def poisson_deviance(y, mu):
    """2 times the log likelihood lost against a model that predicts every count: twice log P(y|y) - log P(y|mu)."""
    total = 0.0
    for count, mean in zip(y, mu, strict=True):
        best = count * math.log(count) - count if count > 0 else 0.0
        total += 2 * (best - (count * math.log(mean) - mean))
    return total / len(y)


def log_loss(y, p, eps, w=None):
    """Rows of ``p`` are the probabilities of all classes."""
    w = [1.0] * len(y) if w is None else w
    total = 0.0
    for i in range(len(y)):
        total -= w[i] * math.log(min(max(p[i][y[i]], eps), 1 - eps))
    return total / sum(w)


def auc(y, score, w=None):
    """Every pair of a positive and a negative row: 1 when in order, 1/2 when tied."""
    w = [1.0] * len(y) if w is None else w
    won = pairs = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            if y[i] == 1 and y[j] == 0:
                pairs += w[i] * w[j]
                won += w[i] * w[j] * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
    return won / pairs


def gauc(y, score, users):
    total = impressions = 0.0
    for user in set(users):
        rows = [i for i in range(len(y)) if users[i] == user]
        labels = [y[i] for i in rows]
        if 0 in labels and 1 in labels:
            total += len(rows) * auc(labels, [score[i] for i in rows])
            impressions += len(rows)
    return total / impressions


def calibration_bins(y, p, n_bins, bins):
    """Return (mean prediction, share of ones, rows) of each bin that has rows."""
    members = [[] for _ in range(n_bins)]
    for i in range(len(y)):
        if bins == "mass":
            below = sum(other < p[i] for other in p)
            members[below * n_bins // len(p)].append(i)
        else:
            members[min(int(p[i] * n_bins), n_bins - 1)].append(i)
    return [
        (sum(p[i] for i in rows) / len(rows), sum(y[i] for i in rows) / len(rows), len(rows))
        for rows in members
        if rows
    ]


def expected_calibration_error(y, p, n_bins, bins):
    curve = calibration_bins(y, p, n_bins, bins)
    return sum(rows * abs(predicted - seen) for predicted, seen, rows in curve) / len(y)


def recall_at_k(ranked, relevant, k):
    """For one user: ``ranked`` is a list of items without padding, ``relevant`` a set that is not empty."""
    return len(set(ranked[:k]) & relevant) / len(relevant)


def precision_at_k(ranked, relevant, k):
    return len(set(ranked[:k]) & relevant) / k


def hit_rate_at_k(ranked, relevant, k):
    return 1.0 if set(ranked[:k]) & relevant else 0.0


def mrr_at_k(ranked, relevant, k):
    for place, item in enumerate(ranked[:k], start=1):
        if item in relevant:
            return 1 / place
    return 0.0


def map_at_k(ranked, relevant, k):
    total = 0.0
    for place, item in enumerate(ranked[:k], start=1):
        if item in relevant:
            total += precision_at_k(ranked, relevant, place)
    return total / min(k, len(relevant))


def ndcg_at_k(ranked, relevant, k):
    def gain(items):
        places = enumerate(items[:k], start=1)
        return sum(1 / math.log2(place + 1) for place, item in places if item in relevant)

    return gain(ranked) / gain(sorted(relevant))


def coverage(lists, n_items):
    return len({item for ranked in lists for item in ranked}) / n_items


def gini(lists, n_items):
    """Half the relative mean absolute difference of two items' exposure, two different items."""
    shown = [sum(ranked.count(item) for ranked in lists) for item in range(n_items)]
    mean = sum(shown) / n_items
    differences = [abs(a - b) for i, a in enumerate(shown) for j, b in enumerate(shown) if i != j]
    return sum(differences) / len(differences) / (2 * mean)


def novelty(lists, counts):
    surprise = [-math.log2(max(counts[item], 1) / sum(counts)) for ranked in lists for item in ranked]
    return sum(surprise) / len(surprise)


def bootstrap_means(values, w, n_resamples, rng):
    """Draw as many users as there are, with replacement, many times; the weighted mean of each draw."""
    n, means = len(values), []
    for _ in range(n_resamples):
        drawn = rng.integers(0, n, size=n)
        means.append(sum(w[i] * values[i] for i in drawn) / sum(w[i] for i in drawn))
    return means


# ---------------------------------------------------------------------------------------------- recall
