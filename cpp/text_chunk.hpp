// One thread's share of a libsvm or libffm text: whole lines in, rows out, up to the first fault.
//
// A line is read by usual_line, which knows what files are made of; on anything else it gives the line up, and
// exact_line reads it again, token by token, and says what is wrong with it and where.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "text_numbers.hpp"
#include "text_rows.hpp"
#include "text_words.hpp"

namespace crossfm::text {

inline Fault shifted(Fault malformed, Whole status) {  // malformed, negative, too large follow one another
  return static_cast<Fault>(static_cast<int>(malformed) + static_cast<int>(status) - 1);
}

template <bool kFfm>
class ChunkParser {
 public:
  // [base, text_end) is the whole text: the usual lines are read a little beyond the chunk, never beyond the text.
  ChunkParser(const char* base, const char* text_end, const Options& options, bool with_qid, const Table& table,
              Chunk& chunk)
      : base_(base), safe_(kWords && options.fast ? text_end - std::min(kSlack, text_end - base) : base),
        first_id_(options.first_id), with_qid_(with_qid), chunk_(chunk), rows_(table, chunk, with_qid) {}

  void run() {
    for (const char* p = chunk_.begin; p != chunk_.end && chunk_.error.fault == Fault::none;) {
      if (usual_line(p)) continue;
      const char* end = line_end(p, chunk_.end);
      const char* const next = end == chunk_.end ? end : end + 1;
      if (end != p && end[-1] == '\r') --end;
      exact_line(skip_blanks(p, end), end);
      p = next;
    }
    rows_.finish(chunk_);
  }

 private:
  enum class Gap { token, line_end, unknown };

  // Move from the end of a token (a blank, '#' or a newline) to the next token, or behind the newline.
  Gap cross_gap(const char*& p) const {
    for (;;) {
      if (p >= safe_) return Gap::unknown;
      const char c = *p;
      if (is_blank(c)) {
        ++p;
        if (is_digit(*p)) return Gap::token;
      } else if (c == '\n') {
        ++p;
        return Gap::line_end;
      } else if (c == '\r' && p[1] == '\n') {
        p += 2;
        return Gap::line_end;
      } else if (c == '#') {
        p = line_end(p, chunk_.end);
        if (p == chunk_.end) return Gap::unknown;
      } else {
        return Gap::unknown;
      }
    }
  }

  // Read the line at p and move to the next; or return false, with p and the rows as they were.
  bool usual_line(const char*& line) {
    const char* p = line;
    double label = 0;
    std::uint64_t qid = 0;
    if (p >= safe_ || !short_number(p, label)) return false;
    if (with_qid_) {
      if (!is_blank(*p) || !starts_qid(++p, safe_)) return false;
      if (!short_whole(p += 4, qid)) return false;
    }
    Row row = rows_.start_row();
    for (;;) {
      std::uint64_t field = 0, id = 0;
      if (p >= safe_) return false;
      if (!short_whole(p, id)) {
        const Gap gap = cross_gap(p);
        if (gap == Gap::token) continue;
        if (gap == Gap::line_end) break;
        return false;
      }
      if (kFfm) {
        field = id;
        if (field > kMaxId || *p++ != ':' || !short_whole(p, id)) return false;
      }
      id -= first_id_;
      if (id > kMaxId) return false;  // 0 less 1 is large too
      float value = 1.0f;
      if (starts_one(p)) {
        p += 3;
      } else {
        if (*p++ != ':' || !usual_value(p, value)) return false;
        if (*p == ' ') ++p;
      }
      rows_.add(row, field, id, value);
    }
    if (rows_.first_repeat(row) != row.size()) return false;
    rows_.end_row(row, label, qid);
    line = p;
    return true;
  }

  bool usual_value(const char*& p, float& value) const {
    double number = 0;
    if (!short_number(p, number)) {
      const char* after = long_number(p, number);
      if (!after) return false;
      p = after;
    }
    value = static_cast<float>(number);
    return std::isfinite(value);
  }

  // Exponents and long decimals are usual too; they need the token's end. Returns it, or null.
  const char* long_number(const char* p, double& number) const {
    const char* end = p;
    while (end != chunk_.end && !ends_token(*end)) ++end;
    if (end == chunk_.end) return nullptr;  // there is nothing behind it to look at
    const bool negative = *p == '-';
    double read = 0;
    if (slow_number(p + (negative || *p == '+'), end, read) != Number::ok) return nullptr;
    number = negative ? -read : read;
    return end;
  }

  void exact_line(const char* p, const char* end) {
    if (at_gap(p, end)) return;  // blank, or a comment only
    const char* const start = p;
    double label = 0;
    std::uint64_t qid = 0;
    if (!head(p, end, label, qid)) return;
    Row row = rows_.start_row();
    for (p = skip_blanks(p, end); !at_gap(p, end); p = skip_blanks(p, end)) {
      if (!feature(row, p, end)) break;
    }
    check_duplicates(row, start, end);
    if (chunk_.error.fault == Fault::none) rows_.end_row(row, label, qid);
  }

  // The label and, where the file has them, the query id.
  bool head(const char*& p, const char* end, double& label, std::uint64_t& qid) {
    const char* const start = p;
    const Number status = read_number(p, end, label);
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
    const char* const number = p += 4;
    if (read_whole(p, end, 0, INT64_MAX, qid) != Whole::ok) return fail(Fault::qid_malformed, number);
    return true;
  }

  bool feature(Row& row, const char*& p, const char* end) {
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
    rows_.add(row, field, id - first_id_, single);
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

  // A feature given twice stands before any other error of its row.
  void check_duplicates(const Row& row, const char* line_start, const char* end) {
    const std::size_t twice = rows_.first_repeat(row);
    if (twice == row.size()) return;
    const std::size_t n_before = twice + (with_qid_ ? 2 : 1);
    const char* p = line_start;
    for (std::size_t i = 0; i < n_before; ++i) p = skip_blanks(skip_token(p, end), end);
    fail(Fault::duplicate, p);
  }

  const char* base_;
  const char* safe_;  // from here on, fewer than kSlack characters follow
  std::uint32_t first_id_;
  bool with_qid_;
  Chunk& chunk_;
  RowWriter<kFfm> rows_;
};

}  // namespace crossfm::text
