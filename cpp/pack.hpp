// Whole numbers in as few bits as they need. A matrix (n_rows, width) of 32-bit words is stored row after row, each
// word less the smallest of its column, in the 0 to 32 bits that the largest of its column needs: a column that never
// changes takes no room, and reading is a load, a shift, a mask and an addition a word.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

namespace crossfm {

struct Packing {
  int64_t width;
  const uint32_t* base;  // (width,) the smallest of each column
  const uint8_t* bits;   // (width,) bits a word, 0 to 32
};

// Bytes behind the last word that may be looked at: every load takes eight.
inline constexpr int64_t kPackTail = 8;

// Little-endian, whatever the machine.
inline uint64_t load_bits(const uint8_t* from) {
  uint64_t bits = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&bits, from, sizeof bits);
  } else {
    for (int byte = 7; byte >= 0; --byte) bits = bits << 8 | from[byte];
  }
  return bits;
}

inline void store_bits(uint8_t* to, uint32_t bits) {
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(to, &bits, sizeof bits);
  } else {
    for (int byte = 0; byte < 4; ++byte, bits >>= 8) to[byte] = static_cast<uint8_t>(bits);
  }
}

inline void pack(const uint32_t* words, int64_t n_rows, const Packing& packing, uint8_t* out) {
  uint64_t held = 0;  // less than 32 bits that are still to be written
  int filled = 0;
  for (int64_t row = 0; row < n_rows; ++row) {
    for (int64_t j = 0; j < packing.width; ++j) {
      held |= static_cast<uint64_t>(*words++ - packing.base[j]) << filled;
      filled += packing.bits[j];
      if (filled < 32) continue;
      store_bits(out, static_cast<uint32_t>(held));
      out += 4;
      held >>= 32;
      filled -= 32;
    }
  }
  store_bits(out, static_cast<uint32_t>(held));
}

inline void unpack(const uint8_t* data, int64_t n_rows, const Packing& packing, uint32_t* out) {
  const auto width = static_cast<std::size_t>(packing.width);
  std::vector<uint32_t> mask(width), at(width);
  uint32_t stride = 0;
  for (std::size_t j = 0; j < width; ++j) {
    mask[j] = static_cast<uint32_t>((uint64_t{1} << packing.bits[j]) - 1);
    at[j] = stride;
    stride += packing.bits[j];
  }
  const auto read = [&](int64_t start, std::size_t j) {
    const int64_t bit = start + at[j];
    return packing.base[j] + (static_cast<uint32_t>(load_bits(data + (bit >> 3)) >> (bit & 7)) & mask[j]);
  };
  if (width == 1) {
    for (int64_t row = 0; row < n_rows; ++row) out[row] = read(row * stride, 0);
    return;
  }
  for (int64_t row = 0; row < n_rows; ++row, out += width)
    for (std::size_t j = 0; j < width; ++j) out[j] = read(row * stride, j);
}

}  // namespace crossfm
