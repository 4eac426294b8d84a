// Whole numbers in as few bytes as they need. A matrix (n_rows, width) of 32-bit words is stored row after row, each
// word less the smallest of its column, in the 0 to 4 bytes that the largest of its column needs: a column that never
// changes takes no room, and reading is one load, one mask and one addition a word.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

namespace crossfm {

struct Packing {
  int64_t width;
  const uint32_t* base;  // (width,) the smallest of each column
  const uint8_t* size;   // (width,) bytes a word, 0 to 4
};

// Bytes behind the last word that `unpack` may look at: every load takes four.
inline constexpr int64_t kPackTail = 4;

// Little-endian, whatever the machine.
inline uint32_t load_word(const uint8_t* from) {
  if constexpr (std::endian::native == std::endian::little) {
    uint32_t word;
    std::memcpy(&word, from, sizeof word);
    return word;
  } else {
    return from[0] | uint32_t{from[1]} << 8 | uint32_t{from[2]} << 16 | uint32_t{from[3]} << 24;
  }
}

inline uint32_t low_bytes(int size) { return size >= 4 ? ~uint32_t{0} : (uint32_t{1} << (8 * size)) - 1; }

inline void pack(const uint32_t* words, int64_t n_rows, const Packing& packing, uint8_t* out) {
  for (int64_t row = 0; row < n_rows; ++row) {
    for (int64_t j = 0; j < packing.width; ++j) {
      uint32_t rest = *words++ - packing.base[j];
      for (int byte = 0; byte < packing.size[j]; ++byte, rest >>= 8) *out++ = static_cast<uint8_t>(rest);
    }
  }
}

// One column: its size is a constant of the loop.
template <int Size>
inline void unpack_column(const uint8_t* bytes, int64_t n_rows, uint32_t base, uint32_t* out) {
  const uint32_t mask = low_bytes(Size);
  for (int64_t row = 0; row < n_rows; ++row) out[row] = base + (load_word(bytes + row * Size) & mask);
}

inline void unpack_rows(const uint8_t* bytes, int64_t n_rows, const Packing& packing, uint32_t* out) {
  const auto width = static_cast<std::size_t>(packing.width);
  std::vector<uint32_t> mask(width), at(width);
  uint32_t stride = 0;
  for (std::size_t j = 0; j < width; ++j) {
    mask[j] = low_bytes(packing.size[j]);
    at[j] = stride;
    stride += packing.size[j];
  }
  for (int64_t row = 0; row < n_rows; ++row, bytes += stride, out += width)
    for (std::size_t j = 0; j < width; ++j) out[j] = packing.base[j] + (load_word(bytes + at[j]) & mask[j]);
}

inline void unpack(const uint8_t* bytes, int64_t n_rows, const Packing& packing, uint32_t* out) {
  if (packing.width != 1) return unpack_rows(bytes, n_rows, packing, out);
  switch (packing.size[0]) {
    case 0: return unpack_column<0>(bytes, n_rows, packing.base[0], out);
    case 1: return unpack_column<1>(bytes, n_rows, packing.base[0], out);
    case 2: return unpack_column<2>(bytes, n_rows, packing.base[0], out);
    case 3: return unpack_column<3>(bytes, n_rows, packing.base[0], out);
    default: return unpack_column<4>(bytes, n_rows, packing.base[0], out);
  }
}

}  // namespace crossfm
