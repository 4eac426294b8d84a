// A coverage-guided fuzzing target: one text, read in every way there is, must give one answer.
//
// The first byte chooses (bit 0 libffm, bit 1 ids from 1, bits 2-3 further threads, bits 4-7 where to cut, in
// sixteenths); the rest is the text. The answer of the exact parser is the one that counts. Compared with it are: usual
// lines read in words, the same with blank lines behind (so that the last lines count as usual ones too), several
// threads, and the text cut in two at a line's end, as readers of blocks do, into one table or two. Run by scripts/fuzz.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../cpp/text.hpp"

namespace {

using namespace crossfm::text;

struct Answer {
  Error error;
  std::vector<double> label;
  std::vector<std::int64_t> indptr, qid;
  std::vector<std::uint32_t> indices, fields;
  std::vector<float> values;
};

template <class T>
std::vector<T> copy(const Buffer<T>& buffer) {
  return {buffer.data.get(), buffer.data.get() + (buffer.data ? buffer.size : 0)};
}

Answer answer_of(const Table& table) {
  Answer answer{table.error, {}, {0}, {}, {}, {}, {}};
  if (table.error.fault != Fault::none) return answer;
  answer.label = copy(table.label);
  answer.indptr = copy(table.indptr);
  answer.qid = copy(table.qid);
  answer.indices = copy(table.indices);
  answer.fields = copy(table.fields);
  answer.values = table.all_ones ? std::vector<float>(table.indices.size, 1.0f) : copy(table.values);
  return answer;
}

void read_more(Table& table, const std::string& text, const Options& options, std::size_t to_come) {
  const std::vector<char> bytes(text.begin(), text.end());  // no room behind the end: reading there is seen
  parse_more(table, bytes.data(), bytes.size(), options, to_come);
}

Answer read(const std::string& text, const Options& options) {
  Table table;
  read_more(table, text, options, 0);
  return answer_of(table);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {  // -0 is not 0
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

void must_equal(const Answer& a, const Answer& b, const char* way) {
  if (a.error.fault == b.error.fault && a.error.offset == b.error.offset && same_bits(a.label, b.label) &&
      same_bits(a.indptr, b.indptr) && same_bits(a.qid, b.qid) && same_bits(a.indices, b.indices) &&
      same_bits(a.fields, b.fields) && same_bits(a.values, b.values)) {
    return;
  }
  std::fprintf(stderr, "%s: fault %d at %zu, %zu rows, but exactly: fault %d at %zu, %zu rows\n", way,
               static_cast<int>(b.error.fault), b.error.offset, b.label.size(), static_cast<int>(a.error.fault),
               a.error.offset, a.label.size());
  std::abort();
}

template <class T>
void append(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

Answer joined(Answer all, const Answer& more) {
  append(all.label, more.label);
  append(all.qid, more.qid);
  append(all.indices, more.indices);
  append(all.fields, more.fields);
  append(all.values, more.values);
  const std::int64_t so_far = all.indptr.back();
  for (std::size_t i = 1; i < more.indptr.size(); ++i) all.indptr.push_back(so_far + more.indptr[i]);
  return all;
}

// A part that has only blank lines says nothing about query ids, so only whole answers are compared when all is well.
void cut_in_two(const std::string& text, std::size_t near, const Options& options, const Answer& whole) {
  const std::size_t newline = text.find('\n', near);
  if (newline == std::string::npos) return;
  const Answer first = read(text.substr(0, newline + 1), options);
  if (first.error.fault != Fault::none) return must_equal(whole, first, "first part");
  if (whole.error.fault == Fault::none) {
    must_equal(whole, joined(first, read(text.substr(newline + 1), options)), "two parts");
  }
}

// A piece behind another in the same table, whatever the first has: rows or none, ones or other values.
void in_pieces(const std::string& text, std::size_t near, const Options& options, const Answer& whole) {
  const std::size_t newline = text.find('\n', near);
  if (newline == std::string::npos) return;
  const std::size_t rest = text.size() - newline - 1;
  Table table;
  read_more(table, text.substr(0, newline + 1), options, near % 2 ? rest : 0);
  if (table.error.fault == Fault::none) {
    read_more(table, text.substr(newline + 1), options, 0);
    table.error.offset += table.error.fault == Fault::none ? 0 : newline + 1;
  }
  must_equal(whole, answer_of(table), "in pieces");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned choice = data[0];
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  Options options{(choice & 1) != 0, choice >> 1 & 1, 1, false};
  const Answer exact = read(text, options);
  if (exact.error.offset > text.size()) std::abort();
  options.fast = true;
  must_equal(exact, read(text, options), "in words");
  must_equal(exact, read(text + std::string(static_cast<std::size_t>(kSlack), '\n'), options), "in words, more behind");
  cut_in_two(text, text.size() * (choice >> 4) / 16, options, exact);
  options.n_threads += static_cast<int>(choice >> 2 & 3);
  if (options.n_threads > 1) must_equal(exact, read(text, options), "on threads");
  in_pieces(text, text.size() * (choice >> 4) / 16, options, exact);
  return 0;
}
