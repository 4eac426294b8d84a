// A parser of libsvm and libffm text held in memory: characters in, CSR arrays out.
//
//   libsvm   label [qid:n] id:value ...          # comment
//   libffm   label field:id:value ...            # comment
//
// Blanks are spaces and tabs, lines end with \n or \r\n, a line without a label is skipped. The buffer is cut at
// newlines, one chunk a thread. Counting colons and newlines first gives every chunk a place of its own in the final
// arrays, so nothing grows and (comments and blank lines apart) nothing moves. An error is a code and a position in
// the buffer; the caller makes the sentence. The first error in file order wins, whatever the number of threads.
//
// A text may come in pieces of whole lines, each read into the places behind those of the pieces before.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "text_chunk.hpp"
#include "threads.hpp"

namespace crossfm::text {

// Whether the first row has a query id: then all must, and otherwise none.
inline bool first_row_has_qid(const char* p, const char* end) {
  for (;;) {
    const char* const stop = line_end(p, end);
    p = skip_blanks(p, stop);
    if (!at_gap(p, stop) && *p != '\r') return starts_qid(skip_blanks(skip_token(p, stop), stop), stop);
    if (stop == end) return false;
    p = stop + 1;
  }
}

inline std::vector<Chunk> cut_at_newlines(const char* begin, const char* end, int n_chunks) {
  std::vector<Chunk> chunks;
  const auto size = static_cast<std::size_t>(end - begin);
  const char* from = begin;
  for (int c = 1; c <= n_chunks; ++c) {
    const char* to = begin + size / static_cast<std::size_t>(n_chunks) * static_cast<std::size_t>(c);
    if (c == n_chunks) to = end;
    if (to < from) to = from;
    to = line_end(to, end);
    if (to != end) ++to;
    chunks.push_back({from, to});
    from = to;
  }
  return chunks;
}

// Run ``work`` on every chunk, each on a thread of its own; what a thread throws (no memory) is thrown here.
template <class Work>
void for_each_chunk(std::vector<Chunk>& chunks, Work work) {
  std::vector<std::exception_ptr> thrown(chunks.size());
  run_parts(static_cast<int>(chunks.size()), [&](int c) {
    const auto i = static_cast<std::size_t>(c);
    try {
      work(chunks[i]);
    } catch (...) {
      thrown[i] = std::current_exception();
    }
  });
  for (const auto& exception : thrown) {
    if (exception) std::rethrow_exception(exception);
  }
}

// Upper bounds of rows and non-zeros: every row ends a line, every non-zero has its colons. Blocks of bytes are counted
// side by side, each at most 255 times, so the compiler makes vectors of them.
inline void count(Chunk& chunk, bool libffm) {
  constexpr std::ptrdiff_t kWide = 64;
  std::size_t lines = 0, colons = 0;
  const char* p = chunk.begin;
  while (chunk.end - p >= kWide) {
    unsigned char line[kWide]{}, colon[kWide]{};
    for (std::ptrdiff_t n = std::min<std::ptrdiff_t>(255, (chunk.end - p) / kWide); n > 0; --n, p += kWide) {
      for (std::ptrdiff_t i = 0; i < kWide; ++i) {
        line[i] += p[i] == '\n';
        colon[i] += p[i] == ':';
      }
    }
    for (std::ptrdiff_t i = 0; i < kWide; ++i) {
      lines += line[i];
      colons += colon[i];
    }
  }
  lines += static_cast<std::size_t>(std::count(p, chunk.end, '\n'));
  colons += static_cast<std::size_t>(std::count(p, chunk.end, ':'));
  if (chunk.begin != chunk.end && chunk.end[-1] != '\n') ++lines;
  chunk.n_rows = lines;
  chunk.n_nonzeros = colons / (libffm ? 2 : 1);
}

template <class T>
void move_down(Buffer<T>& buffer, std::size_t from, std::size_t to, std::size_t n) {
  if (buffer.data && from != to) std::memmove(buffer.data.get() + to, buffer.data.get() + from, n * sizeof(T));
}

// Close the gaps that comments and blank lines left between chunks, and count offsets from the table's start.
inline void close_gaps(Table& table, const std::vector<Chunk>& chunks) {
  std::size_t row = table.label.size, nonzero = table.indices.size;
  bool all_ones = table.all_ones;
  for (const Chunk& chunk : chunks) all_ones &= chunk.all_ones;
  if (table.all_ones && !all_ones) std::fill_n(table.values.data.get(), nonzero, 1.0f);
  table.all_ones = all_ones;
  for (const Chunk& chunk : chunks) {
    move_down(table.label, chunk.row, row, chunk.n_rows);
    move_down(table.qid, chunk.row, row, chunk.n_rows);
    for (std::size_t i = 1; i <= chunk.n_rows; ++i) {
      table.indptr.data[row + i] = table.indptr.data[chunk.row + i] + static_cast<std::int64_t>(nonzero);
    }
    move_down(table.indices, chunk.nonzero, nonzero, chunk.n_nonzeros);
    if (!all_ones) {
      if (chunk.all_ones) std::fill_n(table.values.data.get() + chunk.nonzero, chunk.n_nonzeros, 1.0f);
      move_down(table.values, chunk.nonzero, nonzero, chunk.n_nonzeros);
    }
    move_down(table.fields, chunk.nonzero, nonzero, chunk.n_nonzeros);
    row += chunk.n_rows;
    nonzero += chunk.n_nonzeros;
  }
  table.label.size = table.qid.size = row;
  table.indptr.size = row + 1;
  table.indices.size = table.values.size = table.fields.size = nonzero;
}

// Make room for ``n_rows`` and ``n_nonzeros`` in all, and at once for ``share`` times as much: what the text so far lets
// expect of the whole. Room that was too small all the same at least grows by half.
inline void make_room(Table& table, std::size_t n_rows, std::size_t n_nonzeros, double share, bool libffm) {
  const auto room = [share](std::size_t needed, std::size_t had) {
    if (had && needed <= had) return had;
    return std::max({std::size_t{1}, needed, static_cast<std::size_t>(static_cast<double>(needed) * share), had + had / 2});
  };
  const std::size_t rows = room(n_rows, table.label.room), nonzeros = room(n_nonzeros, table.indices.room);
  table.label.reserve(rows);
  table.indptr.reserve(rows + 1);
  table.indices.reserve(nonzeros);
  table.values.reserve(nonzeros);
  if (libffm) table.fields.reserve(nonzeros);
  if (table.with_qid) table.qid.reserve(rows);
  table.indptr.data[0] = 0;
}

// Read whole lines behind those that ``table`` has. ``to_come`` is the size of the text behind them, where it is known.
inline void parse_more(Table& table, const char* base, std::size_t size, const Options& options, std::size_t to_come = 0) {
  const char* begin = base;
  const char* const end = base + size;
  if (!table.n_bytes && size >= 3 && std::memcmp(begin, "\xEF\xBB\xBF", 3) == 0) begin += 3;  // byte order mark
  auto chunks = cut_at_newlines(begin, end, std::max(1, options.n_threads));
  for_each_chunk(chunks, [&](Chunk& chunk) { count(chunk, options.libffm); });
  std::size_t n_rows = table.label.size, n_nonzeros = table.indices.size;
  for (Chunk& chunk : chunks) {
    chunk.row = std::exchange(n_rows, n_rows + chunk.n_rows);
    chunk.nonzero = std::exchange(n_nonzeros, n_nonzeros + chunk.n_nonzeros);
  }
  const std::size_t n_lines = n_rows - table.label.size;
  if (!table.label.size) table.with_qid = !options.libffm && first_row_has_qid(begin, end);
  const double share = to_come ? 1.03 * (1.0 + static_cast<double>(to_come) / static_cast<double>(table.n_bytes + size)) : 1.0;
  make_room(table, n_rows, n_nonzeros, share, options.libffm);
  for_each_chunk(chunks, [&](Chunk& chunk) {
    if (options.libffm) {
      ChunkParser<true>(base, end, options, table.with_qid, table, chunk).run();
    } else {
      ChunkParser<false>(base, end, options, table.with_qid, table, chunk).run();
    }
  });
  for (const Chunk& chunk : chunks) {
    if (chunk.error.fault != Fault::none) {
      table.error = chunk.error;
      return;
    }
  }
  close_gaps(table, chunks);
  table.n_bytes += size;
  table.n_lines += n_lines;
}

inline Table parse(const char* base, std::size_t size, const Options& options) {
  Table table;
  parse_more(table, base, size, options);
  return table;
}

}  // namespace crossfm::text
