"""Naive forms of every formula, written from the papers and not from the kernels.

Slow and obvious on purpose: loops over rows, pairs and users. One section a family.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace

import numpy as np

# ---------------------------------------------------------------------------------------------- machines


def entries(x):
    """Return the non-zeros of a dense row as a list of (feature, value)."""
    return [(i, float(v)) for i, v in enumerate(x) if v != 0]


def fm_score(row, bias, w, V):
    """Score one row, a list of (feature, value), by eq. (1) of Rendle (2010): every pair, no algebra.

    A feature that stands in the row twice counts as two features that share their weights.
    """
    score = float(bias) + sum(float(w[i]) * x for i, x in row)
    for a, (i, x_i) in enumerate(row):
        for j, x_j in row[a + 1 :]:
            score += float(np.dot(np.asarray(V[i], float), np.asarray(V[j], float))) * x_i * x_j
    return score


def svdpp(mean, b_u, b_i, p_u, q_i, implicit):
    """Koren (KDD 2008): mean + b_u + b_i + q_i^T (p_u + |N(u)|^-1/2 sum_j y_j); ``implicit`` lists the y_j."""
    taste = p_u + sum(implicit, np.zeros_like(p_u)) / max(len(implicit), 1) ** 0.5
    return mean + b_u + b_i + q_i @ taste


def pitf(u_u, i_i, t_of_users, t_of_items):
    """Rendle and Schmidt-Thieme (WSDM 2010): what a tag scores for a user and an item."""
    return u_u @ t_of_users + i_i @ t_of_items


def fpmc(v_ui, v_iu, v_il, basket):
    """Rendle et al. (WWW 2010): what an item scores for a user whose last basket holds vectors v_li."""
    return v_ui @ v_iu + (sum(v_il @ v_li for v_li in basket) / len(basket) if basket else 0.0)


def factor_sums(row, V):
    """Return s_f = sum_j v_jf x_j (n_factors,), the part of the gradient that features share."""
    total = np.zeros(V.shape[1])
    for i, x in row:
        total += np.asarray(V[i], float) * x
    return total


def fm_gradient(x, v, sums):
    """Return d score / dw_i and d score / dv_i of one feature: eq. (4) of Rendle (2010)."""
    return x, x * sums - v * x**2


def ffm_score(row, bias, w, V):
    """Score one row, a list of (field, feature, value), by eq. (4) of Juan et al. (2016) with bias and linear part.

    ``V[i][b]`` is the vector of feature i for field b.
    """
    score = float(bias) + sum(float(w[i]) * x for _, i, x in row)
    for at, (a, i, x_i) in enumerate(row):
        for b, j, x_j in row[at + 1 :]:
            score += float(np.dot(np.asarray(V[i][b], float), np.asarray(V[j][a], float))) * x_i * x_j
    return score


def ffm_gradient(row, at, b, V):
    """Return d score / d v_{i,b} of the feature at place ``at`` of the row: eq. (6) and (7), summed over field b."""
    a, _, x = row[at]
    total = np.zeros(V.shape[2])
    for other, (field, j, x_j) in enumerate(row):
        if other != at and field == b:
            total += np.asarray(V[j][a], float) * x_j
    return x * total


def field_pair_score(row, bias, w, V, between):
    """Score one row, a list of (field, feature, value), as Pan et al. (2018) do or by eq. (6) of Sun et al. (2021).

    ``between(a, b)`` is the weight or the matrix of two fields; inside one field it is 1 or the identity.
    """
    score = float(bias) + sum(float(w[i]) * x for _, i, x in row)
    for at, (a, i, x_i) in enumerate(row):
        for b, j, x_j in row[at + 1 :]:
            M = np.eye(V.shape[1]) if a == b else np.asarray(between(a, b), float)
            pair = M * (V[i] @ V[j]) if M.ndim == 0 else V[i] @ M @ V[j]
            score += float(pair) * x_i * x_j
    return score


def hofm_score(row, bias, w, V, V3):
    """Score one row, a list of (feature, value): every pair and every triple, eq. (5) of Blondel et al. (2016)."""
    score = fm_score(row, bias, w, V)
    for a, (i, x_i) in enumerate(row):
        for b, (j, x_j) in enumerate(row[a + 1 :], a + 1):
            for l, x_l in row[b + 1 :]:  # noqa: E741
                score += float(np.sum(V3[i] * V3[j] * V3[l])) * x_i * x_j * x_l
    return score


# ---------------------------------------------------------------------------------------------- losses


def loss_value(loss, score, target):
    """Return the loss of one raw score: half the squared error, or a negative log likelihood."""
    if loss == "squared":
        return 0.5 * (score - target) ** 2
    if loss == "logistic":
        p = 1.0 / (1.0 + math.exp(-score))
        return -math.log(p) if target == 1 else -math.log(1.0 - p)
    assert loss == "poisson"  # of rate exp(score), without log(target!), which does not depend on the score
    return math.exp(score) - target * score


def loss_slope(loss, score, target):
    """Return d loss / d score."""
    if loss == "squared":
        return score - target
    if loss == "logistic":
        p = 1.0 / (1.0 + math.exp(-score))
        return -(1.0 - p) if target == 1 else p
    assert loss == "poisson"
    return math.exp(score) - target


# ---------------------------------------------------------------------------------------- update rules


class Weights:
    """A group of weights that one update moves together (one w, one V_i or the bias), with its states."""

    def __init__(self, rule, value, l1, l2, hyper):
        self.rule, self.l1, self.l2, self.hyper = rule, l1, l2, hyper
        self.value = np.array(value, float)
        zero = np.zeros_like(self.value)
        if rule == "adagrad":
            self.G = zero + hyper.initial_accumulator
        elif rule == "adagrad-row":
            self.G = np.array(float(hyper.initial_accumulator))
        elif rule == "adam":
            self.m, self.v = zero, zero
        elif (
            rule == "ftrl"
        ):  # the z that gives the start value back while n is 0: our choice, the paper's is 0
            self.n = zero
            self.z = -self.value * (hyper.ftrl_beta / hyper.learning_rate + l2) - np.sign(self.value) * l1

    def move(self, g, t):
        """Apply the gradient ``g``; ``t`` counts the updates of the feature, this one included."""
        {
            "sgd": self.sgd,
            "adagrad": self.adagrad,
            "adagrad-row": self.adagrad_row,
            "adam": self.adam,
            "ftrl": self.ftrl,
        }[self.rule](g, t)

    def sgd(self, g, t):
        """Plain stochastic gradient of loss + l2/2 |theta|^2."""
        self.value = self.value - self.hyper.learning_rate * (g + self.l2 * self.value)

    def adagrad(self, g, t):
        """Diagonal AdaGrad, Duchi et al. (2011), figure 1, with the accumulator in the place of delta."""
        g = g + self.l2 * self.value
        self.G = self.G + g**2
        self.value = self.value - self.hyper.learning_rate * g / np.sqrt(self.G)

    def adagrad_row(self, g, t):
        """AdaGrad with one accumulator: the mean square over the group."""
        if self.value.size:
            g = g + self.l2 * self.value
            self.G = self.G + np.mean(g**2)
            self.value = self.value - self.hyper.learning_rate * g / np.sqrt(self.G)

    def adam(self, g, t):
        """Kingma & Ba (2015), algorithm 1 in the reordered form at the end of section 2 (epsilon-hat)."""
        h = self.hyper
        g = g + self.l2 * self.value
        self.m = h.adam_beta1 * self.m + (1 - h.adam_beta1) * g
        self.v = h.adam_beta2 * self.v + (1 - h.adam_beta2) * g**2
        rate = h.learning_rate * math.sqrt(1 - h.adam_beta2**t) / (1 - h.adam_beta1**t)
        self.value = self.value - rate * self.m / (np.sqrt(self.v) + h.adam_eps)

    def rate_of_one(self):
        """How far a gradient of 1 moves the weight with the states as they are; Adam's without bias correction."""
        if self.rule == "sgd":
            return self.hyper.learning_rate
        if self.rule == "adam":
            return self.hyper.learning_rate / (np.sqrt(self.v) + self.hyper.adam_eps)
        return self.hyper.learning_rate / np.sqrt(self.G)

    def ftrl(self, g, t):
        """McMahan et al. (2013), algorithm 1: sigma, z, n, then the closed form with L1 and L2.

        Before it n fades (ours), and z takes the value under which the weight is the same: where it is 0 any |z| up
        to l1 does, and z fades too.
        """
        alpha, beta, decay = self.hyper.learning_rate, self.hyper.ftrl_beta, self.hyper.ftrl_decay
        faded = decay * self.n
        same = -self.value * ((beta + np.sqrt(faded)) / alpha + self.l2) - np.sign(self.value) * self.l1
        self.z, self.n = np.where(self.value == 0, decay * self.z, same), faded
        sigma = (np.sqrt(self.n + g**2) - np.sqrt(self.n)) / alpha
        self.z = self.z + g - sigma * self.value
        self.n = self.n + g**2
        self.value = self.closed_form()

    def closed_form(self):
        """The weight at z and n; 0 where L1 holds it."""
        alpha, beta = self.hyper.learning_rate, self.hyper.ftrl_beta
        solved = -(self.z - np.sign(self.z) * self.l1) / ((beta + np.sqrt(self.n)) / alpha + self.l2)
        return np.where(np.abs(self.z) <= self.l1, 0.0, solved)


class AdaptiveLearner:
    """SGDA, Rendle (WSDM 2012): SGD on loss + lambda theta^2 whose lambdas take steps of their own on validation rows.

    ``lambdas[g]`` has lambda of w and of each factor for the features i with ``group[i] == g``. The step ahead uses the
    last gradient of each coordinate.
    """

    def __init__(self, bias, w, V, rate, group, lambdas):
        self.bias, self.w, self.V = float(bias), np.array(w, float), np.array(V, float)
        self.rate, self.group, self.lambdas = rate, group, np.array(lambdas, float)
        self.grad_w, self.grad_V = np.zeros_like(self.w), np.zeros_like(self.V)

    def step(self, row, target, weight, loss):
        """Take a step of the parameters; return the loss before it."""
        score = fm_score(row, self.bias, self.w, self.V)
        slope = weight * loss_slope(loss, score, target)
        s = sum((x * self.V[i] for i, x in row), np.zeros(self.V.shape[1]))
        for i, x in row:
            penalty = self.lambdas[self.group[i]]
            self.grad_V[i] = slope * x * (s - x * self.V[i])
            self.grad_w[i] = slope * x
            self.V[i] = self.V[i] - self.rate * (self.grad_V[i] + 2 * penalty[1:] * self.V[i])
            self.w[i] = self.w[i] - self.rate * (self.grad_w[i] + 2 * penalty[0] * self.w[i])
        self.bias -= self.rate * slope
        return weight * loss_value(loss, score, target)

    def ahead(self, lambdas):
        """Return w and V one step ahead, as they would be under ``lambdas``."""
        penalty = lambdas[self.group]
        w = self.w - self.rate * (self.grad_w + 2 * penalty[:, 0] * self.w)
        return w, self.V - self.rate * (self.grad_V + 2 * penalty[:, 1:] * self.V)

    def look(self, row, target, loss, lambdas):
        """Return the loss of a validation row one step ahead."""
        return loss_value(loss, fm_score(row, self.bias, *self.ahead(lambdas)), target)

    def adapt(self, row, target, weight, loss):
        """Take a step of the lambdas, the derivative by finite differences of ``look``."""
        moved = self.lambdas.copy()
        for at in np.ndindex(*moved.shape):
            high, low, h = self.lambdas.copy(), self.lambdas.copy(), 1e-4
            high[at] += h
            low[at] -= h
            slope = (self.look(row, target, loss, high) - self.look(row, target, loss, low)) / (2 * h)
            moved[at] = max(0.0, self.lambdas[at] - self.rate * weight * slope)
        self.lambdas = moved


class Learner:
    """A second-order machine in training: one ``Weights`` each for the bias, every w_i and every V_i."""

    def __init__(self, rule, bias, w, V, hyper):
        self.bias = Weights(rule, bias, 0.0, 0.0, hyper)
        self.w = [Weights(rule, value, hyper.l1_w, hyper.l2_w, hyper) for value in w]
        self.V = [Weights(rule, value, hyper.l1_V, hyper.l2_V, hyper) for value in V]
        self.count = [0] * len(w)
        self.bias_count = 0

    def params(self):
        """Return bias, w and V as arrays."""
        V = np.array([v.value for v in self.V])
        return float(self.bias.value), np.array([float(w.value) for w in self.w]), V

    def move_bias(self, slope):
        """Step the bias, which is never penalised."""
        self.bias_count += 1
        self.bias.move(slope, self.bias_count)

    def move_feature(self, i, x, slope, sums):
        """Step w_i and V_i; V_i's own term in the gradient is the present one, ``sums`` may be older."""
        self.count[i] += 1
        d_w, d_V = fm_gradient(x, self.V[i].value, sums)
        self.V[i].move(slope * d_V, self.count[i])
        self.w[i].move(slope * d_w, self.count[i])

    def step(self, row, target, weight, loss):
        """One stochastic step; returns the loss before it."""
        return self.batch([row], [target], [weight], loss)

    def batch(self, rows, targets, weights, loss):
        """One synchronous mini-batch: slopes and sums of frozen weights, then row after row."""
        params = self.params()
        scores = [fm_score(row, *params) for row in rows]
        sums = [factor_sums(row, params[2]) for row in rows]
        total = 0.0
        for row, target, weight, score, s in zip(rows, targets, weights, scores, sums, strict=True):
            total += weight * loss_value(loss, score, target)
            slope = weight * loss_slope(loss, score, target)
            for i, x in row:
                self.move_feature(i, x, slope, s)
            self.move_bias(slope)
        return total

    def pair_step(self, query, better, worse, weight=1.0, offset=0.0):
        """One step of LearnBPR, Rendle et al. (2009), figure 4, on y(query, better) - y(query, worse).

        The terms inside the query cancel in the difference, so of the query only V moves. ``offset`` is a
        constant added to the difference. Returns the loss before the step and whether the pair was in order.
        """
        params = self.params()
        difference = offset + fm_score(query + better, *params) - fm_score(query + worse, *params)
        slope = -weight * (1.0 - 1.0 / (1.0 + math.exp(-difference)))
        up, down = factor_sums(better, params[2]), factor_sums(worse, params[2])
        both = factor_sums(query, params[2])
        if params[2].shape[1]:
            for i, x in query:
                self.count[i] += 1
                self.V[i].move(slope * x * (up - down), self.count[i])
        for row, sign, own in ((better, 1.0, up), (worse, -1.0, down)):
            for i, x in row:
                self.move_feature(i, x, sign * slope, both + own)
        return weight * math.log1p(math.exp(-difference)), difference > 0

    def list_step(self, query, items, slope_of):
        """One step on a loss of the scores of ``items`` joined with ``query``; slope_of(scores) -> loss, slopes.

        As in ``pair_step`` the slopes add up to 0, and of the query only V moves.
        """
        params = self.params()
        loss, slopes = slope_of([fm_score(query + item, *params) for item in items])
        own, both = [factor_sums(item, params[2]) for item in items], factor_sums(query, params[2])
        if params[2].shape[1]:
            for i, x in query:
                self.count[i] += 1
                self.V[i].move(x * sum(g * s for g, s in zip(slopes, own, strict=True)), self.count[i])
        for item, g, s in zip(items, slopes, own, strict=True):
            for i, x in item:
                self.move_feature(i, x, g, both + s)
        return loss

    def softmax_step(self, query, items, weight, offset):
        """Cross-entropy of the first item among all, after Yi et al. (2019), eq. (3): score + offset."""

        def slope_of(scores):
            z = np.exp(np.array(scores) + offset)
            return -weight * math.log(z[0] / z.sum()), weight * (z / z.sum() - np.eye(len(z))[0])

        return self.list_step(query, items, slope_of)

    def warp_step(self, query, better, draws, weight, n_items):
        """Algorithm 1 of Weston et al. (2011) on given draws (None: chosen); L(rank) = 1 + 1/2 + ... + 1/rank."""
        params = self.params()
        score = fm_score(query + better, *params)
        for number, worse in enumerate(draws, 1):
            if worse is not None and fm_score(query + worse, *params) > score - 1:
                L = weight * sum(1 / r for r in range(1, max((n_items - 1) // number, 1) + 1))
                return self.list_step(
                    query,
                    [better, worse],
                    lambda s: (L * (1 - s[0] + s[1]), [-L, L]),  # noqa: B023
                )
        return 0.0


def whole_loss(rows, chosen, groups, weights, items, item_weight, w, V):
    """Eq. (5) of Chen et al. (WWW 2020), halved: every pair of a query and an item. Equal rows are one query.

    A query wants 1 of what it chose and 0 of the rest, which has the query's mean weight times the item's; what its
    groups chose with other rows does not count.
    """
    total = 0.0
    for query in [row for at, row in enumerate(rows) if row not in rows[:at]]:
        own = [at for at, row in enumerate(rows) if row == query]
        banned = set()
        if groups is not None:
            mine = {groups[at] for at in own}
            banned = {item for at, item in enumerate(chosen) if groups[at] in mine}
        for v, item in enumerate(items):
            if any(chosen[at] == v for at in own):
                target, c = 1.0, sum(weights[at] for at in own if chosen[at] == v)
            else:
                target, c = 0.0, sum(weights[at] for at in own) / len(own) * item_weight[v]
                c = 0.0 if v in banned else c
            total += 0.5 * c * (target - fm_score(query + item, 0.0, w, V)) ** 2
    return total


def hard_items(rows, chosen, owners, items, ranks, w, V):
    """What each choice may be given as a hard negative: its ranks in a full sort without what its owner chose.

    Without owners, equal rows have one.
    """
    lists = []
    for at, row in enumerate(rows):
        same = [
            other
            for other in range(len(rows))
            if (rows[other] == row if owners is None else owners[other] == owners[at])
        ]
        left = [v for v in range(len(items)) if v not in {chosen[other] for other in same}]
        left.sort(key=lambda v: -fm_score(row + items[v], 0.0, w, V))
        lists.append(left[ranks[0] : ranks[1]])
    return lists


class EmbeddingLearner(Learner):
    """Embeddings of a network in training: a batch moves a feature once. Rows are lists of (feature, value, field)."""

    def __init__(self, rule, w, V, n_fields, hyper, rate_w):
        super().__init__(rule, 0.0, w, V, replace(hyper, l1_w=0.0, l1_V=0.0, l2_w=0.0, l2_V=0.0))
        self.n_fields = n_fields
        for weights in self.w:
            weights.hyper = replace(hyper, learning_rate=rate_w)

    def look_up(self, rows):
        """What a network reads of a batch: sums over the features of a row, of a field, over pairs in a row."""
        _, w, V = self.params()
        n, k = len(rows), V.shape[1]
        out = {
            "linear": np.zeros(n),
            "embedded": np.zeros((n, self.n_fields, k)),
            "weights": np.zeros((n, self.n_fields)),
            "pooled": np.zeros((n, k)),
            "pair": np.zeros(n),
        }
        for r, row in enumerate(rows):
            for a, (i, x, f) in enumerate(row):
                out["linear"][r] += w[i] * x
                out["weights"][r, f] += w[i] * x
                out["embedded"][r, f] += V[i] * x
                for j, y, _ in row[a + 1 :]:
                    out["pooled"][r] += V[i] * x * V[j] * y
                    out["pair"][r] += (V[i] * x) @ (V[j] * y)
        return out

    def gradients(self, rows, upstream):
        """{feature: [d w, d V, occurrences]} of sum(upstream * look_up), upstream by name; names may be missing."""
        _, _, V = self.params()
        upstream = {name: np.asarray(gradient, float) for name, gradient in upstream.items()}
        found = {}
        for r, row in enumerate(rows):
            for a, (i, x, f) in enumerate(row):
                others = sum((y * V[j] for b, (j, y, _) in enumerate(row) if b != a), np.zeros(V.shape[1]))
                d_w, d_V = 0.0, np.zeros(V.shape[1])
                if "linear" in upstream:
                    d_w += x * upstream["linear"][r]
                if "weights" in upstream:
                    d_w += x * upstream["weights"][r, f]
                if "embedded" in upstream:
                    d_V += x * upstream["embedded"][r, f]
                if "pooled" in upstream:
                    d_V += x * upstream["pooled"][r] * others
                if "pair" in upstream:
                    d_V += x * upstream["pair"][r] * others
                own = found.setdefault(i, [0.0, np.zeros(V.shape[1]), 0])
                own[0], own[1], own[2] = own[0] + d_w, own[1] + d_V, own[2] + 1
        return found

    def embedding_step(self, rows, upstream, penalties):
        """Move each feature of the batch by the gradient of the summed loss, then shrink it.

        ``upstream`` belongs to the mean loss. The penalty's step is implicit: the new v solves
        v = old - rate * strength * v, with the rule's rate for a gradient of 1 and a strength of l2 times the number of
        occurrences times the feature's rarity. CowClip, Zheng et al. (2023), algorithm 1, bounds the gradient of V,
        here that of the summed loss.
        """
        for i, (d_w, d_V, count) in self.gradients(rows, upstream).items():
            w, V = self.w[i], self.V[i]
            d_w, d_V = len(rows) * d_w, len(rows) * d_V
            if penalties.clip > 0:
                most = count * max(penalties.clip * np.linalg.norm(V.value), penalties.clip_floor)
                d_V = d_V * min(1.0, most / max(np.linalg.norm(d_V), 1e-300))
            self.count[i] += 1
            strength = count if penalties.rarity is None else count * float(penalties.rarity[i])
            for weights, gradient, l2 in ((V, d_V, penalties.l2_V), (w, d_w, penalties.l2_w)):
                weights.move(gradient, self.count[i])
                weights.value = weights.value / (1 + weights.rate_of_one() * strength * l2)


def agree(before, copies):
    """Make one ``Learner`` of what threads have made, each for itself, of copies of ``before``.

    Ours, see "Several threads have private copies of hot records" in docs/design.md. The copies that were moved are
    told by their records: w_i and V_i with all their states, and Adam's count.
    """
    together = copy.deepcopy(before)
    together.bias_count += sum(c.bias_count - before.bias_count for c in copies)
    agree_on_weights(together.bias, [c.bias for c in copies if differ(c.bias, before.bias)])
    for i, (w, V) in enumerate(zip(before.w, before.V, strict=True)):
        moved = [
            c
            for c in copies
            if differ(c.w[i], w) or differ(c.V[i], V) or (w.rule == "adam" and c.count[i] != before.count[i])
        ]
        agree_on_weights(together.w[i], [c.w[i] for c in moved])
        agree_on_weights(together.V[i], [c.V[i] for c in moved])
        together.count[i] += sum(c.count[i] - before.count[i] for c in copies)
    return together


def numbers_of(weights):
    """Return the names of the numbers that one ``Weights`` keeps."""
    return [name for name in ("value", "G", "m", "v", "z", "n") if hasattr(weights, name)]


def differ(one, other):
    """Whether two ``Weights`` differ in any number."""
    return any(np.any(getattr(one, name) != getattr(other, name)) for name in numbers_of(one))


def agree_on_weights(own, moved):
    """Put what the copies that were moved have gathered into ``own``, which is as all were before."""
    if not moved:
        return
    gathered = {name: sum(getattr(c, name) - getattr(own, name) for c in moved) for name in numbers_of(own)}
    if own.rule in ("adagrad", "adagrad-row"):
        # steps by equal gradients g go g / sqrt(G) each, while G gains g^2: up to a factor, as far as sqrt(G) grows
        apart = np.asarray(sum(np.sqrt(c.G) - np.sqrt(own.G) for c in moved))
        together = np.sqrt(own.G + gathered["G"]) - np.sqrt(own.G)
        share = np.divide(together, apart, out=np.ones_like(apart), where=apart > 0)
        own.value, own.G = own.value + share * gathered["value"], own.G + gathered["G"]
        return
    adds_up = own.rule == "ftrl" and own.hyper.ftrl_decay == 1
    for name, total in gathered.items():
        setattr(own, name, getattr(own, name) + (total if adds_up else total / len(moved)))
    if own.rule == "ftrl":  # what z and n say
        own.value = own.closed_form()


class FieldLearner:
    """A field-aware machine in training: ``Weights`` for the bias, every w_i and every v_{i,b}.

    Row-wise: one accumulator a feature, of the mean square of the loss' gradient over all its vectors for other fields.
    """

    def __init__(self, rule, bias, w, V, hyper):
        n_features, n_fields, _ = V.shape
        self.rule, self.hyper, self.shape = rule, hyper, V.shape
        self.bias = Weights(rule, bias, 0.0, 0.0, hyper)
        self.w = [Weights(rule, value, hyper.l1_w, hyper.l2_w, hyper) for value in w]
        self.V = [
            [Weights(rule, V[i, b], hyper.l1_V, hyper.l2_V, hyper) for b in range(n_fields)]
            for i in range(n_features)
        ]
        self.G = [float(hyper.initial_accumulator)] * n_features
        self.count = [0] * n_features
        self.bias_count = 0

    def params(self):
        """Return bias, w and V as arrays."""
        V = np.array([[v.value for v in vectors] for vectors in self.V]).reshape(self.shape)
        return float(self.bias.value), np.array([float(w.value) for w in self.w]), V

    def batch(self, rows, targets, weights, loss):
        """One synchronous mini-batch; of one row: one stochastic step. Returns the loss before it."""
        params = self.params()
        total = 0.0
        for row, target, weight in zip(rows, targets, weights, strict=True):
            score = ffm_score(row, *params)
            total += weight * loss_value(loss, score, target)
            slope = weight * loss_slope(loss, score, target)
            self.bias_count += 1
            self.bias.move(slope, self.bias_count)
            for at, (a, i, x) in enumerate(row):
                self.count[i] += 1
                fields = {b for other, (b, _, _) in enumerate(row) if other != at}
                gradients = {b: slope * ffm_gradient(row, at, b, params[2]) for b in sorted(fields)}
                if a in gradients:  # its own part in the sum of its field is the present one, as in Learner
                    gradients[a] = gradients[a] + slope * x * x * (params[2][i, a] - self.V[i][a].value)
                self.move_vectors(i, gradients)
                self.w[i].move(slope * x, self.count[i])
        return total

    def move_vectors(self, i, gradients):
        """Step the vectors of feature i by the gradients of the loss, one for each field."""
        if self.rule != "adagrad-row":
            for b, g in gradients.items():
                self.V[i][b].move(g, self.count[i])
            return
        coordinates = self.shape[2] * (self.shape[1] - 1)
        self.G[i] += sum(float(np.sum(g**2)) for g in gradients.values()) / coordinates
        for b, g in gradients.items():
            v = self.V[i][b]
            v.value = v.value - self.hyper.learning_rate * (g + v.l2 * v.value) / math.sqrt(self.G[i])


def numeric_gradient(f, x, step=1e-6):
    """Central differences of a function of an array."""
    out = np.zeros(np.shape(x))
    for at in np.ndindex(out.shape):
        up, down = np.array(x, float), np.array(x, float)
        up[at] += step
        down[at] -= step
        out[at] = (f(up) - f(down)) / (2 * step)
    return out


class NumericLearner:
    """Any machine in training, one row at a time: gradients of the score are taken by differences.

    ``groups`` maps names to (start value, l1, l2); an update moves each group that ``touched(row)`` names, by its own
    rule and count. ``score(row, values)`` takes the groups' present values by name.
    """

    def __init__(self, rule, groups, score, touched, hyper):
        self.score, self.touched = score, touched
        self.groups = {name: Weights(rule, value, l1, l2, hyper) for name, (value, l1, l2) in groups.items()}
        self.count = dict.fromkeys(groups, 0)

    def values(self):
        """Return the present values by name."""
        return {name: group.value for name, group in self.groups.items()}

    def step(self, row, target, weight, loss):
        """One stochastic step; returns the loss before it."""
        values = self.values()
        score = self.score(row, values)
        slope = weight * loss_slope(loss, score, target)
        gradients = {
            name: numeric_gradient(lambda v, name=name: self.score(row, {**values, name: v}), values[name])
            for name in self.touched(row)
        }
        for name, g in gradients.items():
            self.count[name] += 1
            self.groups[name].move(slope * g, self.count[name])
        return weight * loss_value(loss, score, target)


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


def recall_vectors(query, item, bias, w, V):
    """Return const, q and t with const + <q, t> = score of the joined row (features on one side only).

    The score splits into pairs inside the query, pairs inside the item and pairs across; the last are
    <S_query, S_item>. The item's own terms become one more coordinate, against 1 in the query.
    """
    const = fm_score(query, bias, w, V)
    own = fm_score(item, 0.0, w, V)
    return const, np.append(factor_sums(query, V), 1.0), np.append(factor_sums(item, V), own)


def top_items(queries, items, n_best, skip=None, allowed=None):
    """Return, per query, the (id, score) of the best items by a full sort: score down, then id up.

    ``queries`` (n_queries, dim), ``items`` (n_items, dim) or {id: item}, ``skip`` a set of ids per query or None,
    ``allowed`` a set of ids or None.
    """
    items = items if isinstance(items, dict) else dict(enumerate(items))
    best = []
    for number, query in enumerate(queries):
        out = () if skip is None else skip[number]
        left = {i: item for i, item in items.items() if i not in out and (allowed is None or i in allowed)}
        scored = [(-float(np.dot(query, item)), i) for i, item in left.items()]
        best.append([(i, -minus) for minus, i in sorted(scored)[:n_best]])
    return best


# -------------------------------------------------------------------------------------------- explaining


def score_parts(row, fields, n_fields, w, V):
    """Return columns (n_fields,) and {(a, b): value} of a row of (feature, value): every pair goes to its fields."""
    columns = [0.0] * n_fields
    pairs = {(a, b): 0.0 for a in range(n_fields) for b in range(a + 1, n_fields)}
    for (i, x), field in zip(row, fields, strict=True):
        columns[field] += float(w[i]) * x
    for at, ((i, x_i), a) in enumerate(zip(row, fields, strict=True)):
        for (j, x_j), b in list(zip(row, fields, strict=True))[at + 1 :]:
            part = float(np.dot(np.asarray(V[i], float), np.asarray(V[j], float))) * x_i * x_j
            if a == b:
                columns[a] += part
            else:
                pairs[min(a, b), max(a, b)] += part
    return columns, pairs


# --------------------------------------------------------------------------------------------- pairs


def legal_pairs(y, groups):
    """Return for each row the rows of its group with a smaller label; rows without any are left out."""
    legal = {i: [j for j in range(len(y)) if groups[j] == groups[i] and y[j] < y[i]] for i in range(len(y))}
    return {i: lower for i, lower in legal.items() if lower}


# -------------------------------------------------------------------------------------------- encoding


def category(value):
    """Return a cell's canonical string, or None where it is missing."""
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def hash64(text):
    """FNV-1a (Fowler, Noll, Vo) of the UTF-8 bytes, then the finish of MurmurHash3, in Python integers."""
    mask = 2**64 - 1
    h = 14695981039346656037
    for byte in text.encode("utf8"):
        h = ((h ^ byte) * 1099511628211) & mask
    h = ((h ^ (h >> 33)) * 0xFF51AFD7ED558CCD) & mask
    h = ((h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53) & mask
    return h ^ (h >> 33)


def cell_categories(column, cell):
    """Return the distinct canonical values of a cell, or None where it is missing."""
    if not hasattr(column, "combiner"):
        value = category(cell)
        return None if value is None else [value]
    if cell is None:
        return None
    texts = [part.strip() for part in cell.split(column.separator)] if isinstance(cell, str) else cell
    values = [category(text) for text in texts]
    return sorted({value for value in values if value is not None})


def vocabulary(column, cells):
    """Return the kept values by falling number of rows, ties by their UTF-8 bytes."""
    counts = {}
    for cell in cells:
        for value in cell_categories(column, cell) or []:
            counts[value] = counts.get(value, 0) + 1
    kept = [value for value in counts if counts[value] >= column.min_count]
    kept.sort(key=lambda value: (-counts[value], value.encode("utf8")))
    return kept[: column.max_size]


def category_features(column, train, cells):
    """Return for each cell the (id, value) pairs within the column: [missing, unseen, vocabulary] or hashed."""
    known = None if column.hash_buckets else vocabulary(column, train)
    rows = []
    for cell in cells:
        values = cell_categories(column, cell)
        if values is None:
            ids = {0}
        elif known is None:
            ids = {1 + hash64(value) % column.hash_buckets for value in values}
        else:
            ids = {2 + known.index(value) if value in known else 1 for value in values}
        n = len(ids)
        share = {"sum": 1.0, "mean": 1 / max(n, 1), "sqrtn": max(n, 1) ** -0.5}
        value = share[getattr(column, "combiner", "sum")]
        rows.append([(i, value) for i in sorted(ids)])
    return rows


def numeric_features(column, train, cells):
    """Return for each cell its (id, value) within the column: [missing, value] or [missing, buckets]."""
    known = [x for x in train if x is not None and x == x]
    present = [x is not None and x == x for x in cells]
    if column.transform == "quantile":
        edges = quantile_edges(known, column.n_buckets or 10)
        bucket = [sum(x > e for e in edges) if ok else None for x, ok in zip(cells, present, strict=True)]
    elif column.transform == "log2":
        top = max([log2_bucket(x) for x in known] + [3])
        if column.n_buckets:
            top = min(top, 2 + column.n_buckets)
        bucket = [min(log2_bucket(x), top) if ok else None for x, ok in zip(cells, present, strict=True)]
    else:
        f = {"none": lambda x: x, "standard": lambda x: x, "log": signed_log}[column.transform]
        mean, deviation = 0.0, 1.0
        if column.transform != "none" and known:
            mean = sum(f(x) for x in known) / len(known)
            deviation = (sum((f(x) - mean) ** 2 for x in known) / len(known)) ** 0.5
            if min(known) == max(known):
                mean, deviation = f(known[0]), 1.0
        return [
            [(1, (f(x) - mean) / deviation)] if ok else [(0, 1.0)]
            for x, ok in zip(cells, present, strict=True)
        ]
    return [[(0, 1.0)] if b is None else [(1 + b, 1.0)] for b in bucket]


def signed_log(x):
    return math.log(1 + x) if x >= 0 else -math.log(1 - x)


def log2_bucket(x):
    if x < 2:
        return 0 if x < 0 else 1 if x < 1 else 2
    return 3 + math.floor(math.log(x) ** 2)


def quantile_edges(x, n_buckets):
    """Return the values at ranks ceil(n i / n_buckets); one at the maximum gives way to the next smaller."""
    x = sorted(x)
    below = [value for value in x if value < x[-1]]
    if not below:
        return []
    ranks = [-(-len(x) * i // n_buckets) for i in range(1, n_buckets)]
    return sorted({min(x[max(rank, 1) - 1], below[-1]) for rank in ranks})


def nearest_bfloat16(x):
    """The number of 8 significant bits nearest to a finite x, ties to an even last bit: the nearer of two."""
    x = np.float32(x)
    bits = int(np.abs(x).view(np.uint32))
    below, above = (np.uint32(b << 16).view(np.float32) for b in (bits >> 16, (bits >> 16) + 1))
    size = abs(float(x))
    down, up = size - float(below), float(above) - size
    if not np.isfinite(above):
        up = 2.0**128 - size
    to_above = up < down or (up == down and (bits >> 16) % 2 == 1)
    return np.copysign(above if to_above else below, x)


# ---------------------------------------------------------------------------------------- neural layers
#
# One row at a time: v (n_fields, dim) holds a vector for each field, x (n_in,) one flat input.


def pairs_of(n):
    """Return the pairs i < j of n fields in the order the papers write their sums."""
    return [(i, j) for i in range(n) for j in range(i + 1, n)]


def relu(x):
    return np.where(x > 0, x, 0.0)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-np.asarray(x, float)))


def softmax(x):
    e = [math.exp(value) for value in x]
    return np.array([value / sum(e) for value in e])


def row_features(row, n_fields, w, V):
    """Return what a neural model may read of a row, a list of (field, feature, value): each part by definition."""
    dim = V.shape[1]
    embedded, weights, pooled = np.zeros((n_fields, dim)), np.zeros(n_fields), np.zeros(dim)
    for field, i, x in row:
        embedded[field] += x * V[i]
        weights[field] += x * w[i]
    for a, (_, i, x_i) in enumerate(row):
        for _, j, x_j in row[a + 1 :]:
            pooled += (x_i * V[i]) * (x_j * V[j])
    return {
        "linear": sum(x * w[i] for _, i, x in row),
        "embedded": embedded,
        "weights": weights,
        "pooled": pooled,
        "pair": fm_score([(i, x) for _, i, x in row], 0.0, np.zeros(len(w)), V),
    }


def bi_interaction(v):
    """Eq. (3) of He & Chua (2017)."""
    total = np.zeros(v.shape[1])
    for i, j in pairs_of(len(v)):
        total += v[i] * v[j]
    return total


def fm_pairs(v):
    """The pair term of eq. (1) of Rendle (2010), of vectors that are multiplied by their values."""
    return sum((float(v[i] @ v[j]) for i, j in pairs_of(len(v))), 0.0)


def ffm_pairs(v):
    """The sum of eq. (4) of Juan et al. (2016); ``v[i][j]`` is how field i meets field j."""
    return sum((float(v[i][j] @ v[j][i]) for i, j in pairs_of(len(v))), 0.0)


def fwfm_pairs(v, r):
    """The pair term of Pan et al. (2018); ``r`` has a weight for each pair."""
    return sum((weight * float(v[i] @ v[j]) for weight, (i, j) in zip(r, pairs_of(len(v)), strict=True)), 0.0)


def inner_products(v):
    """Qu et al. (2016), section III.B."""
    return np.array([float(np.sum(v[i] * v[j])) for i, j in pairs_of(len(v))])


def outer_superposition(v):
    """Qu et al. (2016), section III.C: the sum of f_i f_j^T over all i and j, by rows."""
    return sum(np.outer(v[i], v[j]) for i in range(len(v)) for j in range(len(v))).ravel()


def outer_kernel(v, K):
    """Qu et al. (2018): the sum of K_ij times the outer product of v_i and v_j, element by element."""
    return np.array(
        [float(np.sum(k * np.outer(v[i], v[j]))) for k, (i, j) in zip(K, pairs_of(len(v)), strict=True)]
    )


def attentional_pooling(v, W, b, h):
    """Eq. (4) and (5) of Xiao et al. (2017)."""
    products = [v[i] * v[j] for i, j in pairs_of(len(v))]
    a = softmax([float(h @ relu(W @ product + b)) for product in products])
    return sum((share * product for share, product in zip(a, products, strict=True)), np.zeros(v.shape[1]))


def self_attention(v, heads, res=None, scale=1.0):
    """Eq. (5) to (8) of Song et al. (2019); ``heads`` lists (W_query, W_key, W_value)."""
    out = []
    for e_m in v:
        parts = []
        for query, key, value in heads:
            a = softmax([scale * float((query @ e_m) @ (key @ e_k)) for e_k in v])
            parts.append(sum(share * (value @ e_k) for share, e_k in zip(a, v, strict=True)))
        joined = np.concatenate(parts)
        out.append(relu(joined if res is None else joined + res @ e_m))
    return np.array(out)


def cin(v, Ws, split_half=False):
    """Eq. (6) to (8) of Lian et al. (2018) with f = identity; ``Ws[k][h, i, j]``; halves as in the authors' program."""
    before, pooled = v, []
    for k, W in enumerate(Ws):
        maps = np.zeros((len(W), v.shape[1]))
        for h in range(len(W)):
            for i in range(len(before)):
                for j in range(len(v)):
                    maps[h] += W[h, i, j] * before[i] * v[j]
        half = len(W) // 2 if split_half and k < len(Ws) - 1 else None
        before = maps if half is None else maps[:half]
        pooled += [float(row.sum()) for row in (maps if half is None else maps[half:])]
    return np.array(pooled)


def cross(x, w, b):
    """Eq. (3) of Wang et al. (2017): the outer product is made."""
    now = x
    for w_l, b_l in zip(w, b, strict=True):
        now = np.outer(x, now) @ w_l + b_l + now
    return now


def cross_v2(x, W, b):
    """Eq. (1) of Wang et al. (2021)."""
    now = x
    for W_l, b_l in zip(W, b, strict=True):
        now = x * (W_l @ now + b_l) + now
    return now


def cross_mix(x, U, V, C, b, gate):
    """Eq. (3) and (4) of Wang et al. (2021) with softmax gates and tanh: every expert has the layer's b."""
    now = x
    for U_l, V_l, C_l, b_l, gate_l in zip(U, V, C, b, gate, strict=True):
        share = softmax(gate_l @ now)
        total = np.zeros(len(x))
        for k in range(len(U_l)):
            inner = np.tanh(C_l[k] @ np.tanh(V_l[k].T @ now))
            total += share[k] * (x * (U_l[k] @ inner + b_l))
        now = total + now
    return now


def senet(v, W1, W2):
    """Squeeze, excitation and re-weight: section 3.2 of Huang et al. (2019)."""
    z = np.array([row.sum() / len(row) for row in v])
    a = relu(W2 @ relu(W1 @ z))
    return np.array([a[i] * v[i] for i in range(len(v))])


def bilinear(v, W, form):
    """Section 3.3 of Huang et al. (2019): one matrix, one for each first field, or one for each pair."""
    out = []
    for p, (i, j) in enumerate(pairs_of(len(v))):
        out.append((v[i] @ W[{"all": 0, "each": i, "interaction": p}[form]]) * v[j])
    return np.array(out).reshape(-1, v.shape[1])


def mlp(x, layers, f):
    """Linear layers (W, b) with ``f`` after all but those whose third entry says otherwise."""
    for W, b, with_f in layers:
        x = W @ x + b
        x = f(x) if with_f else x
    return x


def bilinear_fusion(left, right, w_left, w_right, W):
    """The multi-head bilinear fusion of Mao et al. (2023): part k of one stream meets part k of the other."""
    n_heads = len(W)
    cut_left, cut_right = np.split(left, n_heads), np.split(right, n_heads)
    score = float(w_left @ left) + float(w_right @ right)
    for k in range(n_heads):
        for a in range(len(cut_left[k])):
            for b in range(len(cut_right[k])):
                score += cut_left[k][a] * W[k][a][b] * cut_right[k][b]
    return score


# -------------------------------------------------------- exact solvers: ALS and Gibbs sampling


def fm_derivative(row, i, V):
    """Return (d score / dw_i, d score / dv_i1, ...) of a row, a list of (feature, value)."""
    x = sum(value for feature, value in row if feature == i)
    return np.array([x, *(x * (factor_sums(row, V) - x * np.asarray(V[i], float)))])


def coordinate_conditional(rows, target, weight, bias, w, V, i, f, alpha, precision, mean):
    """Return mean and precision of one parameter of feature i given all others: w_i (f = 0) or v_i,f-1.

    Freudenthaler, Schmidt-Thieme & Rendle (2011): targets are normal around the score with precision alpha (here times
    the row's weight), the parameter a priori normal with ``mean[f]`` and ``precision[f]``: (30) of Rendle, TIST 2012.
    ALS moves to the mean with alpha = 1 and the L2 penalty as precision: (22) there.
    """
    theta = w[i] if f == 0 else V[i, f - 1]
    total, moment = precision[f], precision[f] * mean[f]
    for row, y, c in zip(rows, target, weight, strict=True):
        h = fm_derivative(row, i, V)[f]
        error = y - fm_score(row, bias, w, V)
        total += alpha * c * h * h
        moment += alpha * c * h * (error + h * theta)
    return moment / total, total


def feature_conditional(rows, target, weight, bias, w, V, i, alpha, precision, mean):
    """Return mean (1 + k,) and precision (1 + k, 1 + k) of (w_i, v_i) given all others, jointly."""
    theta = np.array([w[i], *V[i]], float)
    total, moment = np.diag(precision), precision * mean
    for row, y, c in zip(rows, target, weight, strict=True):
        h = fm_derivative(row, i, V)
        error = y - fm_score(row, bias, w, V)
        total = total + alpha * c * np.outer(h, h)
        moment = moment + alpha * c * h * (error + h @ theta)
    return np.linalg.solve(total, moment), total


def bias_conditional(rows, target, weight, bias, w, V, alpha):
    """Return mean and precision of the bias given all others, under a flat prior."""
    free = [y - fm_score(row, 0.0, w, V) for row, y in zip(rows, target, strict=True)]
    return np.average(free, weights=weight), alpha * np.sum(weight)


def noise_conditional(errors, weight, alpha_0, beta_0):
    """Return shape and rate of the gamma distribution of alpha given the errors."""
    return (alpha_0 + len(errors)) / 2, (beta_0 + np.sum(weight * np.asarray(errors) ** 2)) / 2


def precision_conditional(thetas, mu, alpha_0, beta_0, gamma_0, mu_0):
    """Return shape and rate of the gamma distribution of a group's lambda given its mu and parameters."""
    squares = sum((theta - mu) ** 2 for theta in thetas) + gamma_0 * (mu - mu_0) ** 2
    return (alpha_0 + len(thetas) + 1) / 2, (beta_0 + squares) / 2


def mean_conditional(thetas, precision, gamma_0, mu_0):
    """Return mean and precision of the normal distribution of a group's mu given its lambda and parameters."""
    n = len(thetas) + gamma_0
    return (sum(thetas) + gamma_0 * mu_0) / n, n * precision


# ------------------------------------------------------------------------------------------ variational Bayes


def two_points(means, variances):
    """Return every choice of mean - deviation or mean + deviation (2^n, n).

    Evenly likely they have the means and variances of independent numbers, and no more is needed for the expectation
    of a product of two polynomials that are linear in each number.
    """
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(means)))).reshape(
        2 ** len(means), len(means)
    )
    return means + signs * np.sqrt(variances)


def pairs_sum(xs, v):
    """Return sum_{i<j} v_i v_j x_i x_j of one factor."""
    return sum(v[a] * v[b] * xs[a] * xs[b] for a in range(len(v)) for b in range(a + 1, len(v)))


def score_moments(row, mean, variance):
    """Return mean and variance of a row's score; ``mean`` and ``variance`` are (bias, w, V), all independent."""
    ids, xs = [i for i, _ in row], [x for _, x in row]
    centre = float(mean[0]) + sum(mean[1][i] * x for i, x in row)
    spread = float(variance[0]) + sum(variance[1][i] * x * x for i, x in row)
    for f in range(mean[2].shape[1]):
        values = [pairs_sum(xs, v) for v in two_points(mean[2][ids, f], variance[2][ids, f])]
        centre, spread = centre + np.mean(values), spread + np.var(values)
    return centre, spread


def mean_field_feature(rows, target, weight, mean, variance, i, alpha, precision, prior_mean):
    """Return the best means (1 + k,) and variances (1 + k,) of (w_i, v_i), independent, all others held.

    Mean field: the expected log density is -1/2 theta' P theta + b' theta, P and b expectations over the others; of all
    normals with a diagonal covariance the nearest has the mean P^-1 b and the variances 1 / P_ff.
    """
    bias, w, V = mean
    k = V.shape[1]
    P, b = np.diag(np.array(precision, float)), np.asarray(precision, float) * prior_mean
    for row, y, c in zip(rows, target, weight, strict=True):
        own = [x for j, x in row if j == i]
        if not own:
            continue
        ids, xs = [j for j, _ in row if j != i], np.array([x for j, x in row if j != i])
        rest = bias + sum(w[j] * x for j, x in row if j != i)
        h, hh, h_pairs, pairs = np.zeros((4, 1 + k))
        h[0], hh[0] = own[0], own[0] ** 2
        for f in range(k):
            each = two_points(V[ids, f], variance[2][ids, f])
            slopes = own[0] * (each @ xs)
            products = np.array([pairs_sum(xs, v) for v in each])
            h[1 + f], hh[1 + f] = slopes.mean(), (slopes**2).mean()
            pairs[1 + f], h_pairs[1 + f] = products.mean(), (slopes * products).mean()
        together = np.outer(h, h)
        np.fill_diagonal(together, hh)
        P = P + alpha * c * together
        b = b + alpha * c * (h * (y - rest - pairs.sum()) + h * pairs - h_pairs)
    return np.linalg.solve(P, b), 1 / np.diag(P)


def cut_normal_mean(score, positive):
    """Return the mean of a normal number around ``score`` that is known to be above 0, or below."""
    sign = 1 if positive else -1
    density = math.exp(-(score**2) / 2) / math.sqrt(2 * math.pi)
    return score + sign * density / (math.erfc(-sign * score / math.sqrt(2)) / 2)


def gamma_terms(shape, rate, prior_shape, prior_rate):
    """Return E[x], E[log x] and E[log p(x)] - E[log q(x)] of q = Gamma(shape, rate)."""
    from scipy.special import digamma, gammaln
    from scipy.stats import gamma

    expected, log = shape / rate, digamma(shape) - np.log(rate)
    prior = (
        prior_shape * np.log(prior_rate)
        - gammaln(prior_shape)
        + (prior_shape - 1) * log
        - prior_rate * expected
    )
    return expected, log, prior + gamma(shape, scale=1 / rate).entropy()


def evidence_bound(rows, target, weight, mean, variance, noise, groups, group, seen, beliefs, positive=None):
    """Return E[log p] - E[log q] term by term, without what the flat prior of the bias would give.

    ``noise`` are shape and rate of alpha; ``groups`` are kappa, mean, shape and rate of (mu, lambda), each
    (n_groups, 1 + k); ``seen`` the features that count. With ``positive`` the targets are latent and cut at 0.
    """
    total = 0.0
    if positive is None:
        alpha, log_alpha, bound = gamma_terms(*noise, beliefs.alpha_0 / 2, beliefs.beta_0 / 2)
        total += bound
        for row, y, c in zip(rows, target, weight, strict=True):
            centre, spread = score_moments(row, mean, variance)
            if c > 0:
                total += (log_alpha + math.log(c) - math.log(2 * math.pi)) / 2
                total -= alpha * c * ((y - centre) ** 2 + spread) / 2
    else:
        for row, is_positive in zip(rows, positive, strict=True):
            centre, spread = score_moments(row, mean, variance)
            total += math.log(math.erfc((-1 if is_positive else 1) * centre / math.sqrt(2)) / 2) - spread / 2
    total += (1 + math.log(2 * math.pi * float(variance[0]))) / 2
    kappa, centre, shape, rate = groups
    log_lambda = np.zeros_like(rate)
    for at in np.ndindex(rate.shape):
        a, b = beliefs.alpha_lambda / 2, beliefs.beta_lambda / 2
        expected, log_lambda[at], bound = gamma_terms(shape[at], rate[at], a, b)
        apart = 1 / kappa[at] + expected * (centre[at] - beliefs.mu_0) ** 2  # E[lambda (mu - mu_0)^2]
        total += (
            bound + (math.log(beliefs.gamma_0) - beliefs.gamma_0 * apart) / 2 + (1 - math.log(kappa[at])) / 2
        )
    for i in seen:
        for f in range(rate.shape[1]):
            at = group[i], f
            m, s = (part[1][i] if f == 0 else part[2][i, f - 1] for part in (mean, variance))
            apart = 1 / kappa[at] + shape[at] / rate[at] * (
                (m - centre[at]) ** 2 + s
            )  # E[lambda (theta - mu)^2]
            total += (log_lambda[at] - apart) / 2 + (1 + math.log(s)) / 2
    return total


# ------------------------------------------------------------------------------------- classes and levels


def level_probability(score, level, cuts):
    """P(cut below < score + e < cut above), e standard normal: levels count from 0, two classes have cuts=[0]."""
    from scipy.stats import norm

    ends = [-np.inf, *cuts, np.inf]
    return norm.cdf(ends[level + 1] - score) - norm.cdf(ends[level] - score)


def polya_gamma_sums(rng, c, z, n, terms=400):
    """Return n draws by the definition, eq. (1) of Polson, Scott, Windle (2013); the terms left out by their mean."""
    k = np.arange(1, 100_000)
    scale = 1 / ((k - 0.5) ** 2 + z**2 / (4 * np.pi**2)) / (2 * np.pi**2)
    return rng.gamma(c, size=(n, terms)) @ scale[:terms] + c * scale[terms:].sum()


def polya_gamma_moments(c, z):
    """Return mean and variance of PG(c, z)."""
    if z == 0:
        return c / 4, c / 24
    return c / (2 * z) * np.tanh(z / 2), c / (4 * z**3) * (np.sinh(z) - z) / np.cosh(z / 2) ** 2


def polya_gamma_transform(c, z, t):
    """Return E exp(-t omega) of PG(c, z): the ratio of its characterisation, section 2 of the same paper."""
    return (np.cosh(z / 2) / np.cosh(np.sqrt((z**2 / 2 + t) / 2))) ** c


def coordinate_gibbs(rows, y, group, k, n, rng, beliefs):
    """Yield n draws (bias, w, V, alpha) of the chain of Freudenthaler, Schmidt-Thieme & Rendle (2011):
    one parameter after another, each given all others. The bias has a flat prior.
    """
    b, n_features, n_groups = beliefs, len(group), max(group) + 1
    bias, w, V = 0.0, np.zeros(n_features), 0.1 * rng.standard_normal((n_features, k))
    mean, ones = np.zeros((n_groups, 1 + k)), np.ones(len(y))
    for _ in range(n):
        errors = [t - fm_score(row, bias, w, V) for row, t in zip(rows, y, strict=True)]
        shape, rate = noise_conditional(errors, ones, b.alpha_0, b.beta_0)
        alpha = rng.gamma(shape, 1 / rate)
        precision = np.empty_like(mean)
        for g in range(n_groups):
            for f in range(1 + k):
                theta = [w[i] if f == 0 else V[i, f - 1] for i in range(n_features) if group[i] == g]
                shape, rate = precision_conditional(
                    theta, mean[g, f], b.alpha_lambda, b.beta_lambda, b.gamma_0, b.mu_0
                )
                precision[g, f] = rng.gamma(shape, 1 / rate)
                centre, certain = mean_conditional(theta, precision[g, f], b.gamma_0, b.mu_0)
                mean[g, f] = centre + rng.standard_normal() / np.sqrt(certain)
        centre, certain = bias_conditional(rows, y, ones, bias, w, V, alpha)
        bias = centre + rng.standard_normal() / np.sqrt(certain)
        for f in range(1 + k):
            for i in range(n_features):
                g = group[i]
                centre, certain = coordinate_conditional(
                    rows, y, ones, bias, w, V, i, f, alpha, precision[g], mean[g]
                )
                drawn = centre + rng.standard_normal() / np.sqrt(certain)
                if f == 0:
                    w[i] = drawn
                else:
                    V[i, f - 1] = drawn
        yield bias, w.copy(), V.copy(), alpha


def mixture_quantile(mean, deviation, quantile):
    """Return t where the mean of the normal distribution functions at t is ``quantile``, halving an interval."""
    low = min(m - 40 * s for m, s in zip(mean, deviation, strict=True))
    high = max(m + 40 * s for m, s in zip(mean, deviation, strict=True))
    for _ in range(200):
        middle = (low + high) / 2
        below = [
            math.erfc((m - middle) / (s * math.sqrt(2))) / 2 for m, s in zip(mean, deviation, strict=True)
        ]
        low, high = (middle, high) if sum(below) / len(below) < quantile else (low, middle)
    return middle


def history_before(user, item, seconds, length, row):
    """Items that the user of ``row`` had before it, oldest first, at most ``length``; equal ones where last."""
    mine = [i for i in range(len(user)) if user[i] == user[row]]
    mine.sort(key=lambda i: (0 if seconds is None else seconds[i], i))
    before = [int(item[i]) for i in mine[: mine.index(row)]][-length:]
    return [item for at, item in enumerate(before) if item not in before[at + 1 :]]


def outcome(shown, events, experiment, event_type, window):
    """Users who saw each variant and those with such an event within ``window`` of first seeing it: one by one."""
    first = {}
    for one in shown:
        if one.experiment == experiment and one.user is not None:
            seen = first.setdefault(one.variant, {})
            seen[one.user] = min(one.time, seen.get(one.user, one.time))
    found = {}
    for variant, seen in first.items():
        converted = 0
        for user, start in seen.items():
            converted += any(
                e.user == user and e.type == event_type and start <= e.time <= start + window for e in events
            )
        found[variant] = (len(seen), converted)
    return found


# ---------------------------------------------------------------------------------- baselines and stages


def ease_weights(X, l2):
    """Ridge regression of each item's column on the others' (Steck 2019, eq. 4): an item never explains itself."""
    n = X.shape[1]
    B = np.zeros((n, n))
    for j in range(n):
        rest = [i for i in range(n) if i != j]
        A = X[:, rest]
        B[rest, j] = np.linalg.solve(A.T @ A + l2 * np.eye(n - 1), A.T @ X[:, j])
    return B


def knn_scores(X, n_neighbours, shrinkage):
    """Sum over each item's nearest neighbours that the user has of their shrunk cosine to it."""
    users = [set(np.flatnonzero(column)) for column in X.T]
    n = X.shape[1]
    scores = np.zeros(X.shape)
    for j in range(n):
        near = []
        for i in range(n):
            common = len(users[i] & users[j])
            if i != j and common:
                near.append((-common / (math.sqrt(len(users[i]) * len(users[j])) + shrinkage), i))
        for similarity, i in sorted(near)[:n_neighbours]:
            scores[:, j] -= similarity * X[:, i]
    return scores


def best_unseen(score, seen, n, popularity):
    """Items by falling score, then falling popularity, then position, without the seen ones."""
    left = [item for item in range(len(score)) if item not in seen]
    return sorted(left, key=lambda item: (-score[item], -popularity[item], item))[:n]


def mean_over_pairs(items, distance):
    """Mean of ``distance`` over all pairs of a list, NaN for less than two items."""
    pairs = list(itertools.combinations(items, 2))
    return sum(distance(a, b) for a, b in pairs) / len(pairs) if pairs else float("nan")


def jaccard_distance(a, b):
    """1 - |a & b| / |a | b|; 1 where both are empty."""
    return 1.0 - len(a & b) / len(a | b) if a | b else 1.0


def head(counts, share):
    """The fewest most popular items with at least ``share`` of the interactions."""
    chosen, total = set(), 0
    for item in sorted(range(len(counts)), key=lambda i: (-counts[i], i)):
        if total >= share * sum(counts):
            break
        chosen.add(item)
        total += counts[item]
    return chosen


def mean_ndcg_of_all_orders(n_relevant, n_items, k):
    """NDCG@k averaged over every order of ``n_items`` of which ``n_relevant`` are relevant."""
    wanted = set(range(n_relevant))
    orders = itertools.permutations(range(n_items))
    values = [ndcg_at_k(list(order), wanted, k) for order in orders]
    return sum(values) / len(values)


def mmr(score, unit, n, diversity, codes=(), most=()):
    """Carbonell & Goldstein (1998), eq. (1): best of (1 - diversity) score - diversity max cosine; caps by code."""
    score = np.asarray(score, float)
    spread = score.std()
    standard = (score - score.mean()) / (spread if spread else 1.0)
    left, chosen = list(range(len(score))), []
    while left and len(chosen) < n:
        likeness = [max((float(unit[i] @ unit[j]) for j in chosen), default=0.0) for i in left]
        gain = [
            (1 - diversity) * standard[i] - diversity * near for i, near in zip(left, likeness, strict=True)
        ]
        best = left[max(range(len(left)), key=lambda at: (gain[at], -left[at]))]
        left.remove(best)
        taken = [[code for j in chosen for code in each[j]] for each in codes]
        if all(
            own.count(code) < cap
            for own, each, cap in zip(taken, codes, most, strict=True)
            for code in each[best]
        ):
            chosen.append(best)
    return chosen


def place_chances(score, unit, order, temperature, diversity, codes=(), most=()):
    """Plackett (1975): chance of each place of ``order``, exp(gain / temperature) among what is left and caps allow."""
    score = np.asarray(score, float)
    spread = score.std()
    standard = (score - score.mean()) / (spread if spread else 1.0)
    chances, chosen = [], []
    for item in order:
        weight = {}
        for i in range(len(score)):
            taken = [[code for j in chosen for code in each[j]] for each in codes]
            fits = all(
                own.count(code) < cap
                for own, each, cap in zip(taken, codes, most, strict=True)
                for code in each[i]
            )
            if i not in chosen and fits:
                near = max((float(unit[i] @ unit[j]) for j in chosen), default=0.0)
                weight[i] = math.exp(((1 - diversity) * standard[i] - diversity * near) / temperature)
        chances.append(weight.get(item, 0.0) / sum(weight.values()) if weight else 0.0)
        chosen.append(item)
    return chances


def off_policy(rewards, logged, target, clip):
    """Estimates of the reward a list under the target; the papers are named in ``evaluation.replay``."""
    n = len(rewards)
    ips = clipped = sequential = top = bottom = 0.0
    places = {}  # of each: lists that have it, sum of weights, sum of weighted rewards
    for r, p, q in zip(rewards, logged, target, strict=True):
        weight = 1.0
        for k in range(len(r)):
            weight *= q[k] / p[k]
            sequential += weight * r[k]
            there, w, wr = places.get(k, (0, 0.0, 0.0))
            places[k] = there + 1, w + weight, wr + weight * r[k]
        ips += weight * sum(r)
        clipped += min(weight, clip) * sum(r)
        top, bottom = top + weight * sum(r), bottom + weight
    rips = sum(there / n * wr / w for there, w, wr in places.values())
    return {
        "IPS": ips / n,
        "clipped IPS": clipped / n,
        "SNIPS": top / bottom,
        "sequential IPS": sequential / n,
        "RIPS": rips,
    }


def popularity_halved(item, n_items, share, n_log):
    """How often each item was taken, an interaction halved for every ``share`` of the log's length behind the last."""
    counts = [0.0] * n_items
    for place, one in enumerate(item):
        counts[one] += 0.5 ** ((len(item) - 1 - place) / n_log / share)
    return counts


def tag_scores(values, history):
    """Mean cosine of each item's TF-IDF vector to those of ``history``; ``values`` are sets, one an item."""
    n = len(values)
    having = {v: sum(v in own for own in values) for own in values for v in own}
    vectors = [{v: math.log(n / having[v]) for v in own} for own in values]

    def cosine(a, b):
        lengths = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
        return sum(x * b.get(v, 0.0) for v, x in a.items()) / lengths if lengths else 0.0

    return [sum(cosine(vectors[i], own) for i in history) / max(len(history), 1) for own in vectors]


def best_above_zero(score, may, n):
    """Items that may come by falling score, then position, without those of score 0."""
    left = [item for item in range(len(score)) if may[item] and score[item] > 0]
    return sorted(left, key=lambda item: (-np.float32(score[item]), item))[:n]


def with_quotas(found, lists, quotas, n):
    """The head of ``found``, the head of each list, and what is missing to ``n`` from the rest of ``found``."""
    room = n - sum(quotas)
    chosen = list(found[:room])
    for listed, quota in zip(lists, quotas, strict=True):
        chosen += [item for item in listed[:quota] if item not in chosen]
    chosen += [item for item in found[room:] if item not in chosen][: n - len(chosen)]
    return chosen


def in_turn(lists, n):
    """The first of each list, the second of each, and so on, until ``n`` distinct items are there."""
    out = []
    for place in range(max(map(len, lists), default=0)):
        for listed in lists:
            if place < len(listed) and listed[place] not in out and len(out) < n:
                out.append(listed[place])
    return out
