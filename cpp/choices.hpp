// Choices from a catalogue with negatives drawn while training: WARP and sampled softmax. (BPR draws its pairs
// and leaves them to pairs.hpp.) All terms inside the query cancel, as in pairs.hpp.
#pragma once

#include "pairs.hpp"

namespace crossfm::CROSSFM_ISA {

// Three steps ahead of the visit: the choice, then its group, then the records.
template <class R, int BLOCKS, class V>
CROSSFM_INLINE void prefetch_choice(const ChoiceArgs& a, int64_t i) {
  if (i + 8 * kAhead < a.end) {
    const int64_t row = a.which[i + 8 * kAhead];
    a.negatives.prefetch_choice(row);
    __builtin_prefetch(a.shared.indices + a.shared.begin(row));
  }
  if (i + 4 * kAhead < a.end) a.negatives.prefetch_group(a.which[i + 4 * kAhead]);
  if (i + kAhead < a.end) {
    const int64_t row = a.which[i + kAhead];
    prefetch_row<R, BLOCKS, V>(a.shared, row, a.table);
    prefetch_row<R, BLOCKS, V>(a.sides, a.negatives.positive[row], a.table);
  }
}

// Score of a side, up to the query's own terms.
template <int BLOCKS, class V>
inline float joined_score(const RowSums<BLOCKS, V>& query, const RowSums<BLOCKS, V>& side, int blocks) {
  V cross{};
  for (int b = 0; b < blocks; ++b) cross += query.s[b] * side.s[b];
  return side.score + (blocks ? sum(cross) : 0.0f);
}

// Up to kGroup draws of WARP, and what they score under a query.
struct Draws {
  uint32_t item[kGroup];
  int n;
};

// Draw numbers [from, ...) at a position of the pass, at most kGroup, and fetch their records.
template <class R, int BLOCKS, class V>
CROSSFM_INLINE Draws draw_group(const ChoiceArgs& a, int64_t position, int64_t from) {
  const uint64_t stream = a.negatives.stream(position);
  Draws draws{};
  for (; draws.n < kGroup && from + draws.n < a.n_negatives; ++draws.n) {
    draws.item[draws.n] = a.negatives.item(stream, from + draws.n);
    prefetch_row<R, BLOCKS, V>(a.sides, draws.item[draws.n], a.table);
  }
  return draws;
}

// Scores of four draws at once; a side of one feature has no pairs inside.
template <int BLOCKS, class V, bool VALUES>
CROSSFM_INLINE Vec4 draw_scores(const ChoiceArgs& a, const Draws& draws, const RowSums<BLOCKS, V>& query, int blocks) {
  Vec4 score{};
  if (!a.sides.indptr && a.sides.width == 1) {
    V products[kGroup]{};
    for (int j = 0; j < kGroup; ++j) {
      const uint32_t item = draws.item[j];
      const float* const record = record_of(a.table, a.sides.indices[item]);
      const float x = VALUES ? a.sides.values[item] : 1.0f;
      for (int b = 0; b < blocks; ++b) products[j] += query.s[b] * load<V>(record + b * lanes<V>) * x;
      score[j] = record[a.table.w_at] * x;
    }
    return blocks ? score + sums(products) : score;
  }
  RowSums<BLOCKS, V> side;
  for (int j = 0; j < draws.n; ++j) {
    sum_row<BLOCKS, V, VALUES>(a.sides, draws.item[j], a.table, 0.0f, side);
    score[j] = joined_score(query, side, blocks);
  }
  return score;
}

typedef uint64_t Long8 __attribute__((vector_size(64)));
constexpr int kDraws = 16;  // of one feature each, scored together

// As Draws, where sides are ids alone.
struct LoneDraws {
  uint32_t item[kDraws];
};

// Draw numbers [from, from + kDraws) at a position of the pass as Negatives::item does, eight at a time, and fetch
// what scoring reads of those that are wanted.
template <int BLOCKS, class V>
CROSSFM_INLINE void draw_lone(const ChoiceArgs& a, int64_t position, int64_t from, LoneDraws& draws) {
  const Negatives& pool = a.negatives;
  const uint64_t stream = pool.stream(position) + kGolden * static_cast<uint64_t>(from);
  constexpr Long8 numbers = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int j = 0; j < kDraws; j += 8) {
    const Long8 z = mix64(stream + kGolden * (numbers + static_cast<uint64_t>(j)));
    const Long8 column = (z >> 32) * static_cast<uint64_t>(pool.n_items) >> 32;
    for (int i = 0; i < 8; ++i) draws.item[j + i] = static_cast<uint32_t>(column[i]);
    if (pool.keep)
      for (int i = 0; i < 8; ++i) draws.item[j + i] = pool.kept(draws.item[j + i], z[i]);
  }
  const int64_t wanted = a.n_negatives - from < kDraws ? a.n_negatives - from : kDraws;
  for (int64_t j = 0; j < wanted; ++j) {
    const float* const record = lone_record(a.table, a.sides, draws.item[j]);
    for (int64_t at = 0; at < a.table.padded; at += 16) __builtin_prefetch(record + at, 1, 3);
    __builtin_prefetch(record + a.table.w_at, 1, 3);
  }
}

// warp_rows where both sides are ids alone.
template <class R, int BLOCKS, class V>
double lone_warp(const ChoiceArgs& args) {
  const ChoiceArgs a = args;  // no store can reach the copy
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  double total = 0.0;
  LoneDraws later, draws;
  draw_lone<BLOCKS, V>(a, a.begin, 0, later);
  for (int64_t i = a.begin; i < a.end; ++i) {
    prefetch_choice<R, BLOCKS, V>(a, i);
    draws = later;
    draw_lone<BLOCKS, V>(a, i + 1, 0, later);
    const int64_t row = a.which[i];
    float* const query = lone_record(a.table, a.shared, row);
    float* const better = lone_record(a.table, a.sides, a.negatives.positive[row]);
    V q[RowSums<BLOCKS, V>::capacity], cross{};
    for (int b = 0; b < blocks; ++b) q[b] = load<V>(query + b * W), cross += q[b] * load<V>(better + b * W);
    const float margin = 1.0f - better[a.table.w_at] - sum(cross);
    for (int64_t from = 0; from < a.n_negatives; from += kDraws) {
      if (from) draw_lone<BLOCKS, V>(a, i, from, draws);
      const int n = static_cast<int>(a.n_negatives - from < kDraws ? a.n_negatives - from : kDraws);
      float hinge[kDraws];
      unsigned left = 0;
      for (int g = 0; g < n; g += kGroup) {
        Vec4 score{};
        V products[kGroup]{};
        for (int j = 0; j < kGroup; ++j) {
          const float* const record = lone_record(a.table, a.sides, draws.item[g + j]);
          for (int b = 0; b < blocks; ++b) products[j] += q[b] * load<V>(record + b * W);
          score[j] = record[a.table.w_at];
        }
        const Vec4 hinges = margin + score + sums(products);
        store(hinge + g, hinges);
        left |= positive_lanes(hinges) << g;
      }
      left &= (1u << n) - 1;
      while (left && a.negatives.is_chosen(row, draws.item[__builtin_ctz(left)])) left &= left - 1;
      if (!left) continue;
      const int j = __builtin_ctz(left);
      const float weight = a.rank_weight[from + j] * (a.weight ? a.weight[row] : 1.0f);
      total += static_cast<double>(weight) * hinge[j];
      step_lone<R, BLOCKS, V>(a.table, a.hyper, query, better, lone_record(a.table, a.sides, draws.item[j]), -weight);
      break;
    }
  }
  *a.used += a.end - a.begin;
  return total;
}

// WARP: Weston, Bengio, Usunier, "WSABIE", IJCAI 2011, algorithm 1. Draws until one violates the margin of 1;
// the N-th draw then weighs rank_weight[N - 1] = L(floor((n_items - 1) / N)). Draws that the group has chosen count in
// N, so (n_items - 1) / N estimates how many of all items violate and are not chosen; whether one is chosen needs an
// answer only where it violates. Nothing moves before that, so draws are scored four at a time.
template <class R, int BLOCKS, class V, bool SHARED_VALUES, bool SIDE_VALUES>
double warp_rows(const ChoiceArgs& a) {
  if constexpr (BLOCKS != 0 && !SHARED_VALUES && !SIDE_VALUES)
    if (is_lone(a.shared) && is_lone(a.sides)) return lone_warp<R, BLOCKS, V>(a);
  const int blocks = count_blocks<BLOCKS>(a.table.padded, lanes<V>);
  RowSums<BLOCKS, V> query, better, worse;
  double total = 0.0;
  Draws first = draw_group<R, BLOCKS, V>(a, a.begin, 0);
  for (int64_t i = a.begin; i < a.end; ++i) {
    prefetch_choice<R, BLOCKS, V>(a, i);
    Draws draws = first;
    first = draw_group<R, BLOCKS, V>(a, i + 1, 0);  // of the next choice
    const int64_t row = a.which[i], positive = a.negatives.positive[row];
    sum_row<BLOCKS, V, SHARED_VALUES>(a.shared, row, a.table, 0.0f, query);
    sum_row<BLOCKS, V, SIDE_VALUES>(a.sides, positive, a.table, 0.0f, better);
    const float score = joined_score(query, better, blocks);
    int64_t n = 0;  // the violating draw
    float hinge = 0.0f;
    uint32_t negative = 0;
    for (int64_t from = 0; from < a.n_negatives && hinge == 0.0f; from += kGroup) {
      const Draws next = draw_group<R, BLOCKS, V>(a, i, from + kGroup);
      const Vec4 hinges = 1.0f - score + draw_scores<BLOCKS, V, SIDE_VALUES>(a, draws, query, blocks);
      for (unsigned left = positive_lanes(hinges) & ((1u << draws.n) - 1); left; left &= left - 1) {
        const int j = __builtin_ctz(left);
        if (a.negatives.is_chosen(row, draws.item[j])) continue;
        n = from + j, hinge = hinges[j], negative = draws.item[j];
        break;
      }
      draws = next;
    }
    if (hinge == 0.0f) continue;
    sum_row<BLOCKS, V, SIDE_VALUES>(a.sides, negative, a.table, 0.0f, worse);
    const float weight = a.rank_weight[n] * (a.weight ? a.weight[row] : 1.0f);
    total += static_cast<double>(weight) * hinge;
    RowSums<BLOCKS, V> D;
    for (int b = 0; b < blocks; ++b) {
      D.s[b] = weight * (worse.s[b] - better.s[b]);
      better.s[b] += query.s[b];
      worse.s[b] += query.s[b];
    }
    step_shared<R, BLOCKS, V, SHARED_VALUES>(a.shared, row, a.table, a.hyper, D.s);
    step_row<R, BLOCKS, V, SIDE_VALUES>(a.sides, positive, a.table, a.hyper, -weight, better.s);
    step_row<R, BLOCKS, V, SIDE_VALUES>(a.sides, negative, a.table, a.hyper, weight, worse.s);
  }
  *a.used += a.end - a.begin;
  return total;
}

// Sampled softmax: -log of the positive's share among itself and n_negatives draws, each score corrected by
// offset = -log q: Bengio & Senecal 2008; Yi et al., RecSys 2019, eq. (3).
template <class R, int BLOCKS, class V, bool SHARED_VALUES, bool SIDE_VALUES>
double softmax_rows(const ChoiceArgs& a) {
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  RowSums<BLOCKS, V> query, side;
  float* const share = a.scratch;  // (1 + n_negatives,)
  float* const sums = share + 1 + a.n_negatives;  // (1 + n_negatives, padded)
  double total = 0.0;
  for (int64_t i = a.begin; i < a.end; ++i) {
    prefetch_choice<R, BLOCKS, V>(a, i);
    const int64_t row = a.which[i];
    a.items[0] = a.negatives.positive[row];
    int64_t n = 1;
    for (int64_t number = 0; number < a.n_negatives; ++number) {
      const int64_t item = a.negatives.draw(row, i, number);
      if (item < 0) continue;
      prefetch_row<R, BLOCKS, V>(a.sides, item, a.table);
      a.items[n++] = item;
    }
    if (n == 1) continue;
    ++*a.used;
    sum_row<BLOCKS, V, SHARED_VALUES>(a.shared, row, a.table, 0.0f, query);
    float top = -__builtin_inff();
    for (int64_t j = 0; j < n; ++j) {
      sum_row<BLOCKS, V, SIDE_VALUES>(a.sides, a.items[j], a.table, 0.0f, side);
      share[j] = joined_score(query, side, blocks) + (a.offset ? a.offset[a.items[j]] : 0.0f);
      top = share[j] > top ? share[j] : top;
      for (int b = 0; b < blocks; ++b) store<V>(sums + j * a.table.padded + b * W, side.s[b]);
    }
    const float weight = a.weight ? a.weight[row] : 1.0f;
    const float first = share[0] - top;
    float all = 0.0f;
    for (int64_t j = 0; j < n; ++j) all += share[j] = __builtin_expf(share[j] - top);
    total += static_cast<double>(weight) * (__builtin_log(static_cast<double>(all)) - first);
    RowSums<BLOCKS, V> D;
    for (int b = 0; b < blocks; ++b) D.s[b] = V{};
    for (int64_t j = 0; j < n; ++j) {
      share[j] = weight * (share[j] / all - (j == 0 ? 1.0f : 0.0f));  // now the slope
      for (int b = 0; b < blocks; ++b) D.s[b] += share[j] * load<V>(sums + j * a.table.padded + b * W);
    }
    step_shared<R, BLOCKS, V, SHARED_VALUES>(a.shared, row, a.table, a.hyper, D.s);
    for (int64_t j = 0; j < n; ++j) {
      for (int b = 0; b < blocks; ++b) side.s[b] = query.s[b] + load<V>(sums + j * a.table.padded + b * W);
      step_row<R, BLOCKS, V, SIDE_VALUES>(a.sides, a.items[j], a.table, a.hyper, share[j], side.s);
    }
  }
  return total;
}

}  // namespace crossfm::CROSSFM_ISA
