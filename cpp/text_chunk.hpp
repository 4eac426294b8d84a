// One thread's share of a libsvm or libffm text: whole lines in, rows out, up to the first fault.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "text_numbers.hpp"

namespace crossfm::text {

constexpr std::uint64_t kMaxId = 0xFFFFFFFEull;  // ids are uint32 and the last value is kept free

// The same names, in the same order, are in crossfm/data/text_errors.py.
enum class Fault : int {
  none,
  label_missing,
  label_malformed,
  label_not_finite,
  qid_malformed,
  qid_unexpected,
  qid_missing,
  no_colon,
  too_few_parts,
  too_many_parts,
  field_malformed,
  field_negative,
  field_too_large,
  id_malformed,
  id_negative,
  id_too_large,
  id_zero,
  value_malformed,
  value_not_finite,
  duplicate,
};

struct Error {
  Fault fault = Fault::none;
  std::size_t offset = 0;  // of the first character that cannot be used
};

struct Options {
  bool libffm = false;
  std::uint32_t first_id = 0;  // what the file calls the first feature: 0 or 1
  int n_threads = 1;
};

// Grown once to an upper bound and left uninitialised: pages that no row needs are never touched.
template <class T>
struct Buffer {
  std::unique_ptr<T[]> data;
  std::size_t size = 0;
  void reserve(std::size_t n) { data.reset(new T[n]); }
};

struct Table {
  Buffer<double> label;
  Buffer<std::int64_t> indptr;
  Buffer<std::uint32_t> indices;
  Buffer<float> values;
  Buffer<std::uint32_t> fields;  // libffm only
  Buffer<std::int64_t> qid;      // files with query ids only
  bool all_ones = true;
  Error error;
};

inline Fault shifted(Fault malformed, Whole status) {  // malformed, negative, too large follow one another
  return static_cast<Fault>(static_cast<int>(malformed) + static_cast<int>(status) - 1);
}

struct Chunk {
  const char* begin;
  const char* end;
  std::size_t row = 0;      // where its rows go in the table
  std::size_t nonzero = 0;  // where its non-zeros go
  std::size_t n_rows = 0, n_nonzeros = 0;
  bool all_ones = true;
  Error error{};
};

template <bool kFfm>
class ChunkParser {
 public:
  ChunkParser(const char* base, const Options& options, bool with_qid, const Table& table, Chunk& chunk)
      : base_(base), first_id_(options.first_id), with_qid_(with_qid), chunk_(chunk),
        label_(table.label.data.get() + chunk.row), indptr_(table.indptr.data.get() + chunk.row + 1),
        indices_(table.indices.data.get() + chunk.nonzero), values_(table.values.data.get() + chunk.nonzero),
        fields_(kFfm ? table.fields.data.get() + chunk.nonzero : nullptr),
        qid_(with_qid ? table.qid.data.get() + chunk.row : nullptr) {}

  void run() {
    for (const char* p = chunk_.begin; p != chunk_.end && chunk_.error.fault == Fault::none;) {
      const char* end = line_end(p, chunk_.end);
      const char* const next = end == chunk_.end ? end : end + 1;
      if (end != p && end[-1] == '\r') --end;
      line(skip_blanks(p, end), end);
      p = next;
    }
    chunk_.n_rows = n_rows_;
    chunk_.n_nonzeros = n_;
    chunk_.all_ones = all_ones_;
  }

 private:
  void line(const char* p, const char* end) {
    if (at_gap(p, end)) return;  // blank, or a comment only
    const char* const start = p;
    if (!head(p, end)) return;
    row_start_ = n_;
    ordered_ = true;
    for (p = skip_blanks(p, end); !at_gap(p, end); p = skip_blanks(p, end)) {
      if (!feature(p, end)) break;
    }
    if (!ordered_) check_duplicates(start, end);
    indptr_[n_rows_++] = static_cast<std::int64_t>(n_);
  }

  // The label and, where the file has them, the query id.
  bool head(const char*& p, const char* end) {
    const char* const start = p;
    const Number status = read_number(p, end, label_[n_rows_]);
    if (status == Number::malformed) {
      const bool colon = std::memchr(start, ':', static_cast<std::size_t>(skip_token(start, end) - start)) != nullptr;
      return fail(colon ? Fault::label_missing : Fault::label_malformed, start);
    }
    if (status == Number::not_finite) return fail(Fault::label_not_finite, start);
    if (kFfm) return true;
    p = skip_blanks(p, end);
    const bool has_qid = starts_qid(p, end);
    if (has_qid != with_qid_) return fail(has_qid ? Fault::qid_unexpected : Fault::qid_missing, p);
    if (!has_qid) return true;
    std::uint64_t qid = 0;
    const char* const number = p += 4;
    if (read_whole(p, end, 0, INT64_MAX, qid) != Whole::ok) return fail(Fault::qid_malformed, number);
    qid_[n_rows_] = static_cast<std::int64_t>(qid);
    return true;
  }

  bool feature(const char*& p, const char* end) {
    std::uint64_t field = 0, id = 0;
    const char* start = p;
    if (kFfm) {
      const Whole status = read_whole(p, end, ':', kMaxId, field);
      if (status != Whole::ok) return whole_fault(Fault::field_malformed, status, start, start, end);
      ++p;
    }
    const char* const id_start = p;
    const Whole status = read_whole(p, end, ':', kMaxId + first_id_, id);
    if (status != Whole::ok) return whole_fault(Fault::id_malformed, status, id_start, start, end);
    if (id < first_id_) return fail(Fault::id_zero, id_start);
    const char* const value_start = ++p;
    double value = 0;
    const Number number = read_number(p, end, value);
    if (number == Number::malformed) return value_fault(value_start, p);
    const auto single = static_cast<float>(value);
    if (number == Number::not_finite || !std::isfinite(single)) return fail(Fault::value_not_finite, value_start);
    const std::uint64_t key = field << 32 | (id - first_id_);
    ordered_ &= n_ == row_start_ || key > previous_;
    previous_ = key;
    all_ones_ &= single == 1.0f;
    if (kFfm) fields_[n_] = static_cast<std::uint32_t>(field);
    indices_[n_] = static_cast<std::uint32_t>(key);
    values_[n_++] = single;
    return true;
  }

  // A number before a colon is wrong; say so only when the token has its colons.
  bool whole_fault(Fault malformed, Whole status, const char* at, const char* token, const char* end) {
    const auto colons = std::count(token, skip_token(token, end), ':');
    if (colons == 0) return fail(Fault::no_colon, token);
    if (kFfm && colons == 1) return fail(Fault::too_few_parts, token);
    return fail(shifted(malformed, status), at);
  }

  bool value_fault(const char* value, const char* token_end) {
    const bool colon = std::memchr(value, ':', static_cast<std::size_t>(token_end - value)) != nullptr;
    return fail(colon ? Fault::too_many_parts : Fault::value_malformed, value);
  }

  bool fail(Fault fault, const char* at) {
    chunk_.error = {fault, static_cast<std::size_t>(at - base_)};
    return false;
  }

  std::uint64_t key_of(std::size_t i) const {
    return (kFfm ? std::uint64_t{fields_[i]} << 32 : 0) | indices_[i];
  }

  // Ids out of order are legal, ids given twice are not. A duplicate stands before any other error of its row.
  void check_duplicates(const char* line_start, const char* end) {
    const std::size_t n = n_ - row_start_;
    const std::size_t twice = n <= 64 ? first_repeat_short(n) : first_repeat_long(n);
    if (twice == n) return;
    const std::size_t n_before = twice + (with_qid_ ? 2 : 1);
    const char* p = line_start;
    for (std::size_t i = 0; i < n_before; ++i) p = skip_blanks(skip_token(p, end), end);
    fail(Fault::duplicate, p);
  }

  // Position in the row of the first key that an earlier one equals, or n.
  std::size_t first_repeat_short(std::size_t n) const {
    std::uint64_t keys[64];
    for (std::size_t i = 0; i < n; ++i) {
      keys[i] = key_of(row_start_ + i);
      unsigned equal = 0;
      for (std::size_t j = 0; j < i; ++j) equal += keys[j] == keys[i];
      if (equal) return i;
    }
    return n;
  }

  std::size_t first_repeat_long(std::size_t n) {
    sorted_.clear();
    for (std::size_t i = 0; i < n; ++i) sorted_.emplace_back(key_of(row_start_ + i), i);
    std::sort(sorted_.begin(), sorted_.end());
    std::size_t first = n;
    for (std::size_t i = 1; i < n; ++i) {
      if (sorted_[i].first == sorted_[i - 1].first) first = std::min(first, sorted_[i].second);
    }
    return first;
  }

  const char* base_;
  std::uint32_t first_id_;
  bool with_qid_;
  Chunk& chunk_;
  double* label_;
  std::int64_t* indptr_;  // row ends, counted from the chunk's start
  std::uint32_t* indices_;
  float* values_;
  std::uint32_t* fields_;
  std::int64_t* qid_;
  std::size_t n_ = 0, n_rows_ = 0, row_start_ = 0;
  std::uint64_t previous_ = 0;
  bool ordered_ = true, all_ones_ = true;
  std::vector<std::pair<std::uint64_t, std::size_t>> sorted_;
};

}  // namespace crossfm::text
