// Embeddings of a mini-batch for networks: looked up in one pass, and moved by the network's gradients so that every
// touched record is read and written once. Callers check shapes and ids; nothing here throws.
// Bi-Interaction pooling: He & Chua, "Neural Factorization Machines", SIGIR 2017, eq. (3), in the form of eq. (4).
#pragma once

#include "fm.hpp"

namespace crossfm::CROSSFM_ISA {

// As load_block (fm.hpp) reads: the last block may be cut short, and nothing behind it is touched.
template <class V>
CROSSFM_INLINE void store_block(float* v_at, V v, int b, int blocks, int rest) {
  float* const p = v_at + b * lanes<V>;
  if (b < blocks - 1 || rest == 0) return store<V>(p, v);
#if defined(__AVX512VL__)
  const unsigned first = (1u << rest) - 1;
  if constexpr (lanes<V> == 4) return _mm_mask_storeu_ps(p, static_cast<__mmask8>(first), (__m128)v);
  else if constexpr (lanes<V> == 8) return _mm256_mask_storeu_ps(p, static_cast<__mmask8>(first), (__m256)v);
  else return _mm512_mask_storeu_ps(p, static_cast<__mmask16>(first), (__m512)v);
#else
  for (int i = 0; i < lanes<V>; ++i)
    if (i < rest) p[i] = v[i];
#endif
}

// Blocks of factors without the padding behind them, the last one cut to `rest` lanes (0: whole).
template <int BLOCKS, class V>
struct Cut {
  int blocks, rest;

  explicit Cut(int64_t n_factors)
      : blocks(static_cast<int>((n_factors + lanes<V> - 1) / lanes<V>)), rest(static_cast<int>(n_factors % lanes<V>)) {}

  CROSSFM_INLINE V read(const float* v, int b) const { return load_block<BLOCKS, V>(v, b, blocks, rest); }
  CROSSFM_INLINE void write(float* v, V block, int b) const { store_block<V>(v, block, b, blocks, rest); }
};

template <int BLOCKS, class V, bool VALUES>
void look_up(const LookupArgs& args) {
  const LookupArgs a = args;  // no store can reach the copy
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  const Cut<BLOCKS, V> cut(a.n_factors);
  V s[2][RowSums<BLOCKS, V>::capacity], q[2][RowSums<BLOCKS, V>::capacity];  // of even and odd places, as in sum_ids
  for (int64_t i = a.begin; i < a.end; ++i) {
    prefetch_ids(a.rows, a.order, i, a.end);
    if (i + kAhead < a.end) prefetch_row<Sgd, BLOCKS, V>(a.rows, a.order[i + kAhead], a.table);
    const Row row = row_of(a.rows, a.order[i]);
    const uint32_t* const fields = a.rows.fields ? a.rows.fields_of(a.order[i]) : nullptr;
    float* const embedded = a.embedded ? a.embedded + i * a.n_fields * a.n_factors : nullptr;
    float* const weights = a.weights ? a.weights + i * a.n_fields : nullptr;
    if (!a.single) {
      if (embedded) std::memset(embedded, 0, sizeof(float) * static_cast<std::size_t>(a.n_fields * a.n_factors));
      if (weights) std::memset(weights, 0, sizeof(float) * static_cast<std::size_t>(a.n_fields));
    }
    for (int half = 0; half < 2; ++half)
      for (int b = 0; b < blocks; ++b) s[half][b] = q[half][b] = V{};
    float linear[2]{};
    const auto take = [&](int64_t at, int half) __attribute__((always_inline)) {
      const float* const record = record_of(a.table, row.ids[at]);
      const float x = VALUES ? row.values[at] : 1.0f;
      const float w = VALUES ? record[a.table.w_at] * x : record[a.table.w_at];
      linear[half] += w;
      if (weights) weights[fields[at]] = a.single ? w : weights[fields[at]] + w;
      if (embedded) {
        float* const to = embedded + fields[at] * a.n_factors;
        for (int b = 0; b < cut.blocks; ++b) {
          V z = load<V>(record + b * W);
          if constexpr (VALUES) z *= x;
          if (!a.single) z += cut.read(to, b);
          cut.write(to, z, b);
        }
      }
      if (a.sums) {
        for (int b = 0; b < blocks; ++b) {
          V z = load<V>(record + b * W);
          if constexpr (VALUES) z *= x;
          s[half][b] += z;
          q[half][b] += z * z;
        }
      }
    };
    int64_t at = 0;
    for (; at + 1 < row.n; at += 2) take(at, 0), take(at + 1, 1);
    if (at < row.n) take(at, 0);
    a.linear[i] = linear[0] + linear[1];
    if (a.sums) {
      V total{};
      for (int b = 0; b < blocks; ++b) {
        const V all = s[0][b] + s[1][b];
        store<V>(a.sums + i * a.table.padded + b * W, all);
        const V pairs = 0.5f * (all * all - (q[0][b] + q[1][b]));
        total += pairs;
        if (a.pooled && b < cut.blocks) cut.write(a.pooled + i * a.n_factors, pairs, b);
      }
      if (a.pair) a.pair[i] = sum(total);
    }
  }
}

// The gradient of one record: of V in blocks, and of w.
template <int BLOCKS, class V>
struct RecordGradient {
  V v[RowSums<BLOCKS, V>::capacity];
  float w;
};

constexpr int64_t kGradientsAhead = 12;  // occurrences whose gradients are fetched before they are summed

CROSSFM_INLINE void fetch_gradient(const EmbeddingUpdateArgs& a, int64_t n) {
  if (n >= a.n_sorted) return;
  const auto place = static_cast<uint32_t>(a.sorted[n]);
  const int64_t i = place >> a.shift, j = place & ((uint32_t{1} << a.shift) - 1);
  const float* const e = a.d_embedded + (i * a.n_fields + a.rows.fields_of(a.order[i])[j]) * a.n_factors;
  for (int64_t f = 0; f < a.n_factors; f += 16) __builtin_prefetch(e + f);
  __builtin_prefetch(e + a.n_factors - 1);
}

// Sum what the occurrences [begin, end) of a feature ask of its record: for a gradient e of its embedding, p of the
// pooled pairs and l of the linear part, sum x e + x p * (s - x v), and sum x l. These are gradients of a mean over the
// batch's rows; the record moves by that of the sum, so that rates mean the same in batches of any size, and the same as in
// passes row by row.
template <int BLOCKS, class V, bool VALUES>
CROSSFM_INLINE void gather_gradient(const EmbeddingUpdateArgs& a, const Cut<BLOCKS, V>& cut, int64_t begin, int64_t end,
                                    const float* record, RecordGradient<BLOCKS, V>& out) {
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  const uint64_t within = (uint64_t{1} << a.shift) - 1;
  for (int b = 0; b < blocks; ++b) out.v[b] = V{};
  float w = 0.0f;
  const bool fields_seen = a.d_embedded || a.d_weights;
  for (int64_t n = begin; n < end; ++n) {
    const auto place = static_cast<uint32_t>(a.sorted[n]);
    const int64_t i = place >> a.shift;
    const auto j = static_cast<int64_t>(place & within);
    const float x = !VALUES || (a.plain && a.plain[j]) ? 1.0f
                    : a.xs                             ? a.xs[j * a.n_rows + i]
                                                       : a.rows.values[a.rows.begin(a.order[i]) + j];
    const uint32_t field = fields_seen ? (a.rows.same_fields ? a.rows.fields : a.rows.fields_of(a.order[i]))[j] : 0;
    const float* const s = a.sums ? a.sums + i * a.table.padded : nullptr;
    // What the row's others have, exactly nothing where there are none: Adam makes a step of the least gradient.
    const auto others = [&](int b) __attribute__((always_inline)) {
      const V v = load<V>(record + b * W);
      return load<V>(s + b * W) - (VALUES ? CROSSFM_ROUNDED(v * x) : v);
    };
    if (a.d_pair) {
      const float g = a.d_pair[i] * x;
      for (int b = 0; b < blocks; ++b) out.v[b] += g * others(b);
    }
    if (a.d_pooled) {
      const float* const p = a.d_pooled + i * a.n_factors;
      for (int b = 0; b < cut.blocks; ++b) out.v[b] += cut.read(p, b) * x * others(b);
    }
    if (a.d_embedded) {
      fetch_gradient(a, n + kGradientsAhead);
      const float* const e = a.d_embedded + (i * a.n_fields + field) * a.n_factors;
      for (int b = 0; b < cut.blocks; ++b) out.v[b] += cut.read(e, b) * x;
    }
    float g = a.d_linear ? a.d_linear[i] : 0.0f;
    if (a.d_weights) g += a.d_weights[i * a.n_fields + field];
    w += g * x;
  }
  const auto count = static_cast<float>(end - begin), rows = static_cast<float>(a.n_rows);
  for (int b = 0; b < blocks; ++b) out.v[b] *= rows;
  out.w = w * rows;
  if (a.clip > 0.0f) {
    V size{}, length{};
    for (int b = 0; b < blocks; ++b) {
      const V v = load<V>(record + b * W);
      size += out.v[b] * out.v[b];
      length += v * v;
    }
    const float norm = vsqrt(sum(size)), own = a.clip * vsqrt(sum(length));
    const float most = count * (own > a.clip_floor ? own : a.clip_floor);
    if (norm > most)
      for (int b = 0; b < blocks; ++b) out.v[b] *= most / norm;
  }
}

// After a step by the loss, the penalty's own step, taken implicitly: v <- v / (1 + rate * l2), where rate is the rule's for a
// gradient of 1. A penalty of any strength shrinks, none overshoots; as a part of the gradient, that of a rare feature would
// fill AdaGrad's accumulator. Each of a feature's occurrences brings its share of l2, see EmbeddingUpdateArgs::rarity.
template <class R, int BLOCKS, class V>
CROSSFM_INLINE void shrink(const EmbeddingUpdateArgs& a, float* record, uint32_t id, int64_t count) {
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  const float share = static_cast<float>(count) * (a.rarity ? a.rarity[id] : 1.0f);
  float* const w = record + a.table.w_at;
  *w /= 1.0f + share * a.l2_w * R::template rate<float>(w + 1, 1, a.hyper_w);
  const float pull = share * a.l2_V;
  for (int b = 0; b < blocks; ++b) {
    const V v = load<V>(record + b * W);
    if constexpr (R::row_wise) store<V>(record + b * W, v / (1.0f + pull * (a.hyper_V.learning_rate * vrsqrt(w[2]))));
    else store<V>(record + b * W, v / (1.0f + pull * R::template rate<V>(record + a.table.padded + b * W, a.table.padded, a.hyper_V)));
  }
}

// Move the records of the features [begin, end), N at a time.
template <class R, int BLOCKS, class V, bool VALUES, int N>
CROSSFM_INLINE void move_records(const EmbeddingUpdateArgs& a, const Cut<BLOCKS, V>& cut, int64_t at, RecordGradient<BLOCKS, V>* grads) {
  float* records[N];
  Vec4 w{};
  for (int j = 0; j < N; ++j) {
    const int64_t begin = a.starts[at + j], end = a.starts[at + j + 1];
    records[j] = record_of(a.table, static_cast<uint32_t>(a.sorted[begin] >> 32));
    gather_gradient<BLOCKS, V, VALUES>(a, cut, begin, end, records[j], grads[j]);
    w[j] = grads[j].w;
  }
  if constexpr (BLOCKS == 0) {
    for (int j = 0; j < N; ++j) step_scalar<R>(records[j], w[j], 0.0f, 0.0f, a.hyper_w);
  } else {
    step_group<R, BLOCKS, V, N, true>(a.table, a.hyper_V, a.hyper_w, records, w,
                                      [&](int j, int b, V) __attribute__((always_inline)) { return grads[j].v[b]; });
  }
  if (a.l2_V > 0.0f || a.l2_w > 0.0f)
    for (int j = 0; j < N; ++j) {
      const int64_t begin = a.starts[at + j];
      shrink<R, BLOCKS, V>(a, records[j], static_cast<uint32_t>(a.sorted[begin] >> 32), a.starts[at + j + 1] - begin);
    }
}

constexpr int kRecordsAhead = 8;  // features whose records are fetched before they are moved

template <class R, int BLOCKS, class V, bool VALUES>
void update_embeddings(const EmbeddingUpdateArgs& args) {
  const EmbeddingUpdateArgs a = args;
  const Cut<BLOCKS, V> cut(a.n_factors);
  RecordGradient<BLOCKS, V> grads[kGroup];
  const auto fetch = [&](int64_t at) __attribute__((always_inline)) {
    if (at < a.end) prefetch_record<R, BLOCKS, V>(a.table, record_of(a.table, static_cast<uint32_t>(a.sorted[a.starts[at]] >> 32)));
  };
  int64_t at = a.begin;
  for (; at + kGroup <= a.end; at += kGroup) {
    for (int j = 0; j < kGroup; ++j) fetch(at + kRecordsAhead + j);
    move_records<R, BLOCKS, V, VALUES, kGroup>(a, cut, at, grads);
  }
  for (; at < a.end; ++at) move_records<R, BLOCKS, V, VALUES, 1>(a, cut, at, grads);
}

}  // namespace crossfm::CROSSFM_ISA
