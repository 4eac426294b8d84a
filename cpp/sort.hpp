// Non-zeros of a batch in the order of their ids, so that each feature is met once.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "kernels.hpp"

namespace crossfm {

constexpr int kDigit = 11;  // bits: 2,048 counters, 8 KiB
constexpr int kDigits = 3;  // that a 32-bit id may have
constexpr int kColumnDigit = 12;

// Fill `sorted` with id << 32 | row << shift | place in the row for the rows order[0, n_rows), by rising id, row and place;
// `spare` is as long. Returns the number of non-zeros. Radix sort, least digit first, over the digits that ids below
// n_features have.
inline int64_t sort_ids(const RowsView& rows, const int64_t* order, int64_t n_rows, int shift, int64_t n_features,
                        uint64_t* sorted, uint64_t* spare) {
  int digits = 1;
  while (digits < kDigits && (n_features - 1) >> (digits * kDigit)) ++digits;
  std::array<std::array<uint32_t, 1 << kDigit>, kDigits> counts{};
  uint64_t* from = digits % 2 ? spare : sorted;
  uint64_t* to = digits % 2 ? sorted : spare;
  int64_t n = 0;
  for (int64_t i = 0; i < n_rows; ++i) {
    const int64_t begin = rows.begin(order[i]), length = rows.end(order[i]) - begin;
    for (int64_t j = 0; j < length; ++j) {
      const uint32_t id = rows.indices[begin + j];
      from[n++] = uint64_t{id} << 32 | static_cast<uint64_t>(i) << shift | static_cast<uint64_t>(j);
      for (int d = 0; d < digits; ++d) ++counts[static_cast<std::size_t>(d)][id >> (d * kDigit) & ((1 << kDigit) - 1)];
    }
  }
  for (int d = 0; d < digits; ++d) {
    auto& count = counts[static_cast<std::size_t>(d)];
    uint32_t before = 0;
    for (uint32_t& one : count) before += std::exchange(one, before);
    const int at = 32 + d * kDigit;
    for (int64_t k = 0; k < n; ++k) to[count[from[k] >> at & ((1 << kDigit) - 1)]++] = from[k];
    std::swap(from, to);
  }
  return n;
}

// What is known of rows that all have one non-zero of each column, whose ids no other column has.
struct ColumnsView {
  const uint32_t* low;   // (width,) smallest id of each column; null: not of that kind
  const uint32_t* span;  // (width,) how many ids it may have from there on
};

// Turn ids of the rows order[begin, end) into keys[column * n_rows + i], counted from the column's smallest id, and values into
// `xs` likewise: what follows goes through one column after another, whose rows lie far apart in memory.
inline void transpose(const RowsView& rows, const int64_t* order, int64_t n_rows, int64_t begin, int64_t end,
                      const ColumnsView& columns, uint32_t* keys, float* xs) {
  constexpr int64_t kTile = 16;  // rows: a line of each column
  for (int64_t start = begin; start < end; start += kTile) {
    const int64_t stop = std::min(start + kTile, end);
    for (int64_t i = stop; i < std::min(stop + kTile, end); ++i)
      for (int64_t at = 0; at < rows.width + 15; at += 16) {
        __builtin_prefetch(rows.indices + order[i] * rows.width + at);
        if (xs) __builtin_prefetch(rows.values + order[i] * rows.width + at);
      }
    for (int64_t column = 0; column < rows.width; ++column) {
      for (int64_t i = start; i < stop; ++i)
        keys[column * n_rows + i] = rows.indices[order[i] * rows.width + column] - columns.low[column];
      if (xs)
        for (int64_t i = start; i < stop; ++i) xs[column * n_rows + i] = rows.values[order[i] * rows.width + column];
    }
  }
}

// The part of sort_ids for one column of such rows, from its keys: `sorted` has room for n_rows, `spare` for twice as many.
// Small radix passes over what is in the nearest cache, none for a column of one id.
inline void sort_column(const uint32_t* keys, int64_t n_rows, int shift, int64_t column, const ColumnsView& columns,
                        uint64_t* sorted, uint64_t* spare) {
  const uint32_t low = columns.low[column], span = columns.span[column];
  int bits = 0;
  while ((uint64_t{1} << bits) < span) ++bits;
  const int digits = bits == 0 ? 0 : bits <= kColumnDigit ? 1 : bits <= 2 * kColumnDigit ? 2 : 3;
  const int digit = digits ? (bits + digits - 1) / digits : 0;
  const uint64_t mask = (uint64_t{1} << digit) - 1;
  std::array<std::array<uint32_t, 1 << kColumnDigit>, 3> counts;
  for (int d = 0; d < digits; ++d) std::fill_n(counts[static_cast<std::size_t>(d)].begin(), mask + 1, 0);
  uint64_t *from = digits ? spare : sorted, *to = digits > 1 ? spare + n_rows : sorted;
  const uint64_t base = digits == 0 ? uint64_t{low} << 32 : 0;
  for (int64_t i = 0; i < n_rows; ++i) {
    const uint32_t key = keys[i];
    from[i] = base + (uint64_t{key} << 32 | static_cast<uint64_t>(i) << shift | static_cast<uint64_t>(column));
    for (int d = 0; d < digits; ++d) ++counts[static_cast<std::size_t>(d)][key >> (d * digit) & mask];
  }
  for (int d = 0; d < digits; ++d) {
    auto& count = counts[static_cast<std::size_t>(d)];
    uint32_t before = 0;
    for (uint64_t one = 0; one <= mask; ++one) before += std::exchange(count[one], before);
    const bool last = d + 1 == digits;
    if (last) to = sorted;
    const uint64_t add = last ? uint64_t{low} << 32 : 0;
    const int at = 32 + d * digit;
    for (int64_t k = 0; k < n_rows; ++k) to[count[from[k] >> at & mask]++] = from[k] + add;
    std::swap(from, to);
  }
}

// Fill `starts` with where each id begins in `sorted`, and n behind the last; returns the number of ids.
inline int64_t find_starts(const uint64_t* sorted, int64_t n, int64_t* starts) {
  int64_t n_ids = 0;
  for (int64_t k = 0; k < n; ++k) {  // a place is written until an id begins there
    starts[n_ids] = k;
    n_ids += k == 0 || sorted[k] >> 32 != sorted[k - 1] >> 32;
  }
  starts[n_ids] = n;
  return n_ids;
}

}  // namespace crossfm
