// Numbers in text, eight characters at a time in one 64-bit word: the first character is the lowest byte.
//
// Each function reads up to kSlack characters from where it stands, digits or not; the caller sees to it that they
// are there. What is not a plain short number is left to text_numbers.hpp, and where both can read, both agree bit for
// bit: the digits make an integer below 2^53, and one division by a power of ten rounds once.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "text_numbers.hpp"

namespace crossfm::text {

constexpr std::ptrdiff_t kSlack = 96;
constexpr bool kWords = std::endian::native == std::endian::little;

constexpr std::uint64_t repeated(unsigned char c) { return 0x0101010101010101ull * c; }
constexpr std::uint64_t kHighBits = repeated(0x80);

inline std::uint64_t load_word(const char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// Eight characters minus '0' each. The lowest bit set in ``non_digits`` of them is in the first that is no digit; bits
// above may be carries.
inline std::uint64_t load_digits(const char* p) { return load_word(p) ^ repeated('0'); }
inline std::uint64_t non_digits(std::uint64_t digits) { return ((digits + repeated(0x76)) | digits) & kHighBits; }
inline std::size_t first_byte(std::uint64_t bits) { return static_cast<std::size_t>(std::countr_zero(bits)) >> 3; }  // or 8

// The first n of eight digits, 1 <= n <= 8, moved up so that zeros lead.
inline std::uint64_t keep_first(std::uint64_t digits, std::size_t n) { return digits << (64 - 8 * n); }

// The number that eight digits make: pairs, then fours, then all.
inline std::uint64_t eight_digits(std::uint64_t digits) {
  digits = (digits * 10 + (digits >> 8)) & 0x00FF00FF00FF00FFull;
  digits = (digits * 100 + (digits >> 16)) & 0x0000FFFF0000FFFFull;
  return (digits * 10000 + (digits >> 32)) & 0xFFFFFFFFull;
}

constexpr std::uint64_t kWholePowers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

// Append the digits at p to ``number``, at most ``max_words`` words of them, and return how many there were.
inline std::size_t append_digits(const char*& p, std::uint64_t& number, int max_words) {
  std::size_t n = 0, here = 8;
  for (; max_words > 0 && here == 8; --max_words) {
    const std::uint64_t digits = load_digits(p);
    here = first_byte(non_digits(digits));
    if (here) number = number * kWholePowers[here] + eight_digits(keep_first(digits, here));
    p += here;
    n += here;
  }
  return n;
}

inline bool ends_token(char c) { return static_cast<unsigned char>(c) <= ' ' || c == '#'; }

// Whether ":1 " is at p: most values are 1.
inline bool starts_one(const char* p) {
  std::uint32_t four;
  std::memcpy(&four, p, sizeof four);
  return (four & 0xFFFFFF) == (':' | '1' << 8 | ' ' << 16);
}

// A whole number of 1 to 15 digits; p moves behind it, or stays.
inline bool short_whole(const char*& p, std::uint64_t& out) {
  const std::uint64_t digits = load_digits(p);
  const std::size_t n = first_byte(non_digits(digits));
  if (n == 0) return false;
  if (n < 8) [[likely]] {
    out = eight_digits(keep_first(digits, n));
    p += n;
    return true;
  }
  const char* q = p;  // p itself stays in a register
  std::uint64_t number = 0;
  if (append_digits(q, number, 2) == 16) return false;
  out = number;
  p = q;
  return true;
}

// A decimal of up to 7 characters, point included, no sign.
inline bool word_number(const char*& p, double& out) {
  const std::uint64_t word = load_word(p);
  const std::uint64_t stop = (word - repeated(' ' + 1)) & ~word & kHighBits;  // lowest bit: a blank or control character
  if (!stop) return false;
  const std::size_t length = first_byte(stop);
  const std::uint64_t points = word ^ repeated('.');
  const std::uint64_t found = (points - repeated(1)) & ~points & kHighBits;  // lowest bit: a point
  const std::size_t point = first_byte(found);
  const bool has_point = point < length;
  const std::uint64_t before = has_point ? (1ull << (8 * point)) - 1 : ~0ull;
  const std::uint64_t digits = ((word & before) | ((word >> 8) & ~before)) ^ repeated('0');
  const std::size_t n = length - has_point;
  if (n == 0) return false;
  const std::uint64_t kept = keep_first(digits, n);
  if (non_digits(kept)) return false;
  out = static_cast<double>(eight_digits(kept));
  if (has_point) out /= kPowersOfTen[n - point];
  p += length;
  return true;
}

// The same with up to 18 digits, and a comment right behind it.
inline bool words_number(const char*& p, double& out) {
  const char* q = p;
  std::uint64_t number = 0;
  std::size_t n = append_digits(q, number, 2), n_fraction = 0;
  if (n == 16) return false;
  if (*q == '.') {
    ++q;
    n_fraction = append_digits(q, number, 3);
    n += n_fraction;
  }
  if (n == 0 || n > 18 || number > kExact || !ends_token(*q)) return false;
  out = static_cast<double>(number) / kPowersOfTen[n_fraction];
  p = q;
  return true;
}

// A decimal with or without a sign, as most are written; p moves behind it, to a blank, a control character or '#'.
inline bool short_number(const char*& p, double& out) {
  const bool negative = *p == '-';
  const char* q = p + (negative || *p == '+');
  if (!word_number(q, out)) {
    const char* longer = q;
    double number = 0;
    if (!words_number(longer, number)) return false;
    out = number;
    q = longer;
  }
  if (negative) out = -out;
  p = q;
  return true;
}

}  // namespace crossfm::text
