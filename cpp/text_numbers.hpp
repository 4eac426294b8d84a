// Numbers in text: decimals rounded as Python's float() rounds them, and whole numbers with a limit.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <system_error>

namespace crossfm::text {

constexpr std::uint64_t kExact = 1ull << 53;     // integers up to here are exact in a double
constexpr double kPowersOfTen[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                   1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

inline bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }
inline bool is_blank(char c) { return c == ' ' || c == '\t'; }
inline bool at_gap(const char* p, const char* end) { return p == end || is_blank(*p) || *p == '#'; }
inline const char* skip_blanks(const char* p, const char* end) {
  while (p != end && is_blank(*p)) ++p;
  return p;
}
inline const char* skip_token(const char* p, const char* end) {
  while (!at_gap(p, end)) ++p;
  return p;
}

// The end of the line at p: the newline, or the end of the buffer.
inline const char* line_end(const char* p, const char* end) {
  const void* newline = p == end ? nullptr : std::memchr(p, '\n', static_cast<std::size_t>(end - p));
  return newline ? static_cast<const char*>(newline) : end;
}

inline bool starts_qid(const char* p, const char* end) { return end - p >= 4 && std::memcmp(p, "qid:", 4) == 0; }

enum class Number { ok, malformed, not_finite };

// Text that from_chars calls out of range is either beyond the largest double or nearer to 0 than the smallest:
// the decimal exponent of its first non-zero digit tells.
inline bool overflows(const char* p, const char* end) {
  long long exponent = 0;
  bool point = false, started = false;
  for (; p != end && (is_digit(*p) || *p == '.'); ++p) {
    if (*p == '.') {
      point = true;
    } else if (started || *p != '0') {
      started = true;
      if (!point) ++exponent;
    } else if (point) {
      --exponent;
    }
  }
  if (p != end) {  // at e or E
    ++p;
    const bool negative = *p == '-';
    if (*p == '-' || *p == '+') ++p;
    long long written = 0;
    for (; p != end; ++p) written = std::min<long long>(written * 10 + (*p - '0'), 1'000'000'000'000'000);
    exponent += negative ? -written : written;
  }
  return exponent > 0;
}

inline bool is_word(const char* p, const char* end, const char* word) {
  for (; p != end && *word; ++p, ++word) {
    if ((*p | 0x20) != *word) return false;
  }
  return p == end && !*word;
}

// Exponents, more digits than a double holds, and whatever is not a number. [p, end) has no sign.
inline Number slow_number(const char* p, const char* end, double& out) {
  if (is_word(p, end, "nan") || is_word(p, end, "inf") || is_word(p, end, "infinity")) return Number::not_finite;
  if (p == end || !(is_digit(*p) || *p == '.')) return Number::malformed;
  const auto [stop, status] = std::from_chars(p, end, out);
  if (stop != end || status == std::errc::invalid_argument) return Number::malformed;
  if (status == std::errc::result_out_of_range) {
    if (overflows(p, end)) return Number::not_finite;
    out = 0.0;
  }
  return Number::ok;
}

// Read the decimal number at p up to a gap and leave p behind it; correctly rounded, as float() of Python is.
inline Number read_number(const char*& p, const char* end, double& out) {
  const bool negative = p != end && *p == '-';
  if (p != end && (*p == '-' || *p == '+')) ++p;
  const char* const first = p;
  std::uint64_t digits = 0;
  while (p != end && is_digit(*p)) digits = digits * 10 + static_cast<unsigned>(*p++ - '0');
  auto n_digits = p - first;
  decltype(n_digits) n_fraction = 0;
  if (p != end && *p == '.') {
    const char* const point = ++p;
    while (p != end && is_digit(*p)) digits = digits * 10 + static_cast<unsigned>(*p++ - '0');
    n_fraction = p - point;
    n_digits += n_fraction;
  }
  // Both operands exact, so one division rounds once: Clinger, "How to read floating point numbers accurately", 1990.
  if (n_digits > 0 && n_digits <= 18 && digits <= kExact && at_gap(p, end)) {
    out = static_cast<double>(digits);
    if (n_fraction) out /= kPowersOfTen[n_fraction];
  } else {
    p = skip_token(p, end);
    const Number status = slow_number(first, p, out);
    if (status != Number::ok) return status;
  }
  if (negative) out = -out;
  return Number::ok;
}

enum class Whole { ok, malformed, negative, too_large };

// Read digits up to ``stop`` (or a gap when stop is 0) and leave p there.
inline Whole read_whole(const char*& p, const char* end, char stop, std::uint64_t limit, std::uint64_t& out) {
  const char* const first = p;
  std::uint64_t n = 0;
  while (p != end && is_digit(*p)) n = n * 10 + static_cast<unsigned>(*p++ - '0');
  const bool stopped = stop ? p != end && *p == stop : at_gap(p, end);
  if (p == first || !stopped) {
    if (p == first && p != end && *p == '-' && p + 1 != end && is_digit(p[1])) return Whole::negative;
    return Whole::malformed;
  }
  if (p - first > 18) {  // may have wrapped: count again, stopping at the limit
    n = 0;
    for (const char* q = first; q != p && n <= limit; ++q) {
      const auto digit = static_cast<unsigned>(*q - '0');
      n = n > (limit - digit) / 10 ? limit + 1 : n * 10 + digit;
    }
  }
  out = n;
  return n > limit ? Whole::too_large : Whole::ok;
}

}  // namespace crossfm::text
