// What the parser of text makes and reports: the arrays, the options, and the ways a line can be wrong.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

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
  bool fast = true;  // false reads every line with the exact parser: the same answer, slower
};

// Memory that is about to be written once: large pages make that several times as fast, where the system gives them.
inline void ask_for_large_pages(void* data, std::size_t n_bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kLarge = 2 << 20;
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = (address + kLarge - 1) / kLarge * kLarge, end = (address + n_bytes) / kLarge * kLarge;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a wish: failing is fine
#else
  static_cast<void>(data), static_cast<void>(n_bytes);
#endif
}

struct Free {
  void operator()(void* data) const { std::free(data); }
};

// Left uninitialised, so that memory no row needs is never touched and costs nothing.
template <class T>
struct Buffer {
  std::unique_ptr<T[], Free> data;
  std::size_t size = 0, room = 0;

  // Make room for n; what is there stays, and where it is large the system moves it without copying.
  void reserve(std::size_t n) {
    if (n <= room) return;
    void* const moved = std::realloc(data.get(), n * sizeof(T));
    if (!moved) throw std::bad_alloc();
    static_cast<void>(data.release());
    data.reset(static_cast<T*>(moved));
    room = n;
    ask_for_large_pages(moved, n * sizeof(T));
  }
};

struct Table {
  Buffer<double> label;
  Buffer<std::int64_t> indptr;
  Buffer<std::uint32_t> indices;
  Buffer<float> values;
  Buffer<std::uint32_t> fields;  // libffm only
  Buffer<std::int64_t> qid;      // files with query ids only
  bool all_ones = true;          // then the values are not written
  bool with_qid = false;         // as the first row says
  std::size_t n_bytes = 0;       // of text read
  std::size_t n_lines = 0;       // in it
  Error error;                   // its offset counts from the start of the piece that has it
};

struct Chunk {
  const char* begin;
  const char* end;
  std::size_t row = 0;      // where its rows go in the table
  std::size_t nonzero = 0;  // where its non-zeros go
  std::size_t n_rows = 0, n_nonzeros = 0;
  bool all_ones = true;
  Error error{};
};

}  // namespace crossfm::text
