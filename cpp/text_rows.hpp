// Rows as they are written to a chunk's places in the table, and the search for a feature given twice.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "text_table.hpp"

namespace crossfm::text {

struct Row {
  std::size_t start, end;      // places of its features in the chunk
  std::uint64_t next_key = 0;  // the least that keeps it in order
  bool ordered = true;
  std::size_t size() const { return end - start; }
};

template <bool kFfm>
class RowWriter {
 public:
  RowWriter(const Table& table, const Chunk& chunk, bool with_qid)
      : label_(table.label.data.get() + chunk.row), indptr_(table.indptr.data.get() + chunk.row + 1),
        indices_(table.indices.data.get() + chunk.nonzero), values_(table.values.data.get() + chunk.nonzero),
        fields_(kFfm ? table.fields.data.get() + chunk.nonzero : nullptr),
        qid_(with_qid ? table.qid.data.get() + chunk.row : nullptr) {}

  // The row that is being read; it counts once it is ended.
  Row start_row() const { return {n_, n_}; }

  void add(Row& row, std::uint64_t field, std::uint64_t id, float value) {
    const std::uint64_t key = field << 32 | id;
    row.ordered &= key >= row.next_key;
    row.next_key = key + 1;
    if (kFfm) fields_[row.end] = static_cast<std::uint32_t>(field);
    indices_[row.end] = static_cast<std::uint32_t>(id);
    if (value != 1.0f && all_ones_) {
      std::fill_n(values_, row.end, 1.0f);
      all_ones_ = false;
    }
    if (!all_ones_) values_[row.end] = value;
    ++row.end;
  }

  void end_row(const Row& row, double label, std::uint64_t qid) {
    label_[n_rows_] = label;
    if (qid_) qid_[n_rows_] = static_cast<std::int64_t>(qid);
    indptr_[n_rows_++] = static_cast<std::int64_t>(row.end);
    n_ = row.end;
  }

  void finish(Chunk& chunk) const {
    chunk.n_rows = n_rows_;
    chunk.n_nonzeros = n_;
    chunk.all_ones = all_ones_;
  }

  bool all_ones() const { return all_ones_; }

  // Position in the row of the first feature that an earlier one equals, or row.size(). Out of order is legal.
  std::size_t first_repeat(const Row& row) {
    if (row.ordered) return row.size();
    return row.size() <= kSlots / 4 ? first_repeat_short(row) : first_repeat_long(row);
  }

 private:
  static constexpr std::size_t kSlotBits = 11, kSlots = 1 << kSlotBits;

  std::uint64_t key_of(std::size_t i) const {
    return (kFfm ? std::uint64_t{fields_[i]} << 32 : 0) | indices_[i];
  }

  // A hash table of places, counted from 1 through the chunk: those of earlier rows count as empty, so none is cleared.
  std::size_t first_repeat_short(const Row& row) {
    if (slots_.empty()) slots_.resize(kSlots);
    for (std::size_t i = row.start; i < row.end; ++i) {
      const std::uint64_t key = key_of(i);
      std::size_t slot = key * 0x9E3779B97F4A7C15ull >> (64 - kSlotBits);
      for (; slots_[slot] > row.start; slot = (slot + 1) % kSlots) {
        if (key_of(slots_[slot] - 1) == key) {
          slots_.clear();  // the row may be asked about again
          return i - row.start;
        }
      }
      slots_[slot] = i + 1;
    }
    return row.size();
  }

  std::size_t first_repeat_long(const Row& row) {
    sorted_.clear();
    for (std::size_t i = row.start; i < row.end; ++i) sorted_.emplace_back(key_of(i), i - row.start);
    std::sort(sorted_.begin(), sorted_.end());
    std::size_t first = row.size();
    for (std::size_t i = 1; i < sorted_.size(); ++i) {
      if (sorted_[i].first == sorted_[i - 1].first) first = std::min(first, sorted_[i].second);
    }
    return first;
  }

  double* label_;
  std::int64_t* indptr_;  // row ends, counted from the chunk's start
  std::uint32_t* indices_;
  float* values_;
  std::uint32_t* fields_;
  std::int64_t* qid_;
  std::size_t n_ = 0, n_rows_ = 0;
  bool all_ones_ = true;
  std::vector<std::size_t> slots_;
  std::vector<std::pair<std::uint64_t, std::size_t>> sorted_;
};

}  // namespace crossfm::text
