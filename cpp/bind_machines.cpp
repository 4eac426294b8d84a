// Bindings of the machines beyond the second-order one: which fields meet, passes, mini-batches, scores.
#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "bind.hpp"
#include "bind_rows.hpp"
#include "gather.hpp"
#include "hot.hpp"
#include "threads.hpp"

namespace crossfm {
namespace {

// Rows as Python hands them over: (indptr, indices, values, width, fields, fields are the same in every row).
RowsView field_rows(const nb::tuple& t) {
  RowsView rows = rows_view(t[0], nb::cast<Array<const uint32_t>>(t[1], false), t[2], nb::cast<int64_t>(t[3]));
  rows.fields = data_or_null<const uint32_t>(t[4]);
  rows.same_fields = nb::cast<bool>(t[5]);
  return rows;
}

// A layout as Python hands it over: (blocks, heads, where, kind, slot, empty, vector, longest, uniform, half).
struct LayoutArrays {
  std::vector<float*> block;
  std::vector<int64_t> length;
  FieldLayout view{};
  uint32_t* spare;  // HotPlaces::count entries of `where` behind those of the features
  int64_t n_features;

  // Scoring takes records that may not be written to (mapped files); training casts them to writable ones.
  LayoutArrays(const nb::tuple& t, bool written) {
    for (const nb::handle item : nb::cast<nb::list>(t[0])) {
      const auto records = nb::cast<Array<const float>>(item, false);
      block.push_back(written ? nb::cast<Array<float>>(item, false).data() : const_cast<float*>(records.data()));
      length.push_back(static_cast<int64_t>(records.shape(1)));
    }
    const auto kind = nb::cast<Array<const uint32_t>>(t[3], false);
    view.block = block.data();
    view.length = length.data();
    view.head = nb::cast<Array<const int64_t>>(t[1], false).data();
    const auto where = nb::cast<Array<uint32_t>>(t[2], false);
    n_features = static_cast<int64_t>(where.shape(0)) - HotPlaces::count;
    spare = where.data() + 2 * n_features;
    view.where = where.data();
    view.kind = kind.data();
    view.slot = nb::cast<Array<const int32_t>>(t[4], false).data();
    view.empty = nb::cast<Array<float>>(t[5], false).data();
    view.n_fields = static_cast<int64_t>(kind.size());
    view.vector = nb::cast<int64_t>(t[6]);
    view.longest = nb::cast<int64_t>(t[7]);
    view.uniform = nb::cast<bool>(t[8]);
    view.half = nb::cast<bool>(t[9]);
  }
  int64_t n_kinds() const { return static_cast<int64_t>(block.size()); }
  LayoutArrays(const LayoutArrays&) = delete;
  LayoutArrays& operator=(const LayoutArrays&) = delete;
};

// A machine as Python hands it over: FFM its layout, the others (records, padded, w_at, pairs or None, rank, n_fields,
// longest).
struct MachineArrays {
  std::optional<LayoutArrays> ffm;
  FieldPassArgs view{};

  MachineArrays(Machine machine, const nb::tuple& t, bool written) {
    view.parts = 1;
    if (machine == Machine::ffm) {
      ffm.emplace(t, written);
      view.layout = ffm->view;
      return;
    }
    const auto records = nb::cast<Array<const float>>(t[0], false);
    if (written) nb::cast<Array<float>>(t[0], false);
    view.pass.table = {const_cast<float*>(records.data()), static_cast<int64_t>(records.shape(1)),
                       nb::cast<int64_t>(t[1]), nb::cast<int64_t>(t[2])};
    if (!t[3].is_none()) {
      const auto pairs = nb::cast<Array<const float>>(t[3], false);
      if (written) nb::cast<Array<float>>(t[3], false);
      view.pairs = const_cast<float*>(pairs.data());
      view.pair_stride = static_cast<int64_t>(pairs.shape(1));
    }
    view.rank = nb::cast<int64_t>(t[4]);
    view.layout.n_fields = nb::cast<int64_t>(t[5]);
    view.layout.longest = nb::cast<int64_t>(t[6]);
  }
};

// Room of one thread, and scratch for some rows.
struct Room {
  std::vector<int32_t> work;
  std::vector<float*> records;
  std::vector<float> x, scratch;

  Room(Machine machine, const FieldPassArgs& a, int64_t rows)
      : work(static_cast<std::size_t>(3 * a.layout.n_fields), -1),
        records(static_cast<std::size_t>(a.layout.n_fields + 4)),
        x(static_cast<std::size_t>(18 * (a.layout.n_fields + 4))),
        scratch(static_cast<std::size_t>(rows * isa().machine_scratch(machine, a))) {}

  void lend(FieldPassArgs& a) {
    a.work = work.data();
    a.records = records.data();
    a.x = x.data();
    a.scratch = scratch.data();
  }
};

void set_pass(FieldPassArgs& a, const nb::tuple& rows, Array<const int64_t> order, Array<float> bias,
              Array<const double> target, const nb::object& weight, int loss, const nb::dict& hyper) {
  a.pass.rows = field_rows(rows);
  a.pass.order = order.data();
  a.pass.end = static_cast<int64_t>(order.size());
  a.pass.bias = bias.data();
  a.pass.target = target.data();
  a.pass.weight = data_or_null<const float>(weight);
  a.pass.loss = static_cast<Loss>(loss);
  a.pass.hyper = read_hyper(hyper);
}

// What visits rows of one thread's part: gathers them, and has room of its own.
class Visitor {
 public:
  Visitor(Machine machine, Rule rule, const FieldPassArgs& args)
      : machine_(machine), rule_(rule), args_(args), gather_(args.pass), room_(machine, args, 1) {
    room_.lend(args_);
  }

  double operator()(int64_t begin, int64_t end) {
    double total = 0.0;
    while (begin < end) {
      args_.pass = gather_.next(begin, end);
      total += isa().machine_pass(machine_, rule_, args_);
    }
    return total;
  }

 private:
  const Machine machine_;
  const Rule rule_;
  FieldPassArgs args_;
  Gather gather_;
  Room room_;
};

// As fm_pass; the threads of machines other than FFM race on all records (Hogwild).
double machine_pass(int code, int rule_code, const nb::tuple& rows, const nb::tuple& parts, Array<const int64_t> order,
                    Array<float> bias, Array<const double> target, const nb::object& weight, int loss,
                    const nb::dict& hyper, int n_threads, int64_t visited) {
  const auto machine = static_cast<Machine>(code);
  const auto rule = static_cast<Rule>(rule_code);
  MachineArrays arrays(machine, parts, true);
  FieldPassArgs& all = arrays.view;
  set_pass(all, rows, order, bias, target, weight, loss, hyper);
  nb::gil_scoped_release release;
  const int64_t n = all.pass.end;
  if (n_threads == 1) return Visitor(machine, rule, all)(0, n);
  if (machine == Machine::ffm) {
    FieldHot hot(all, rule, arrays.ffm->spare, arrays.ffm->n_features, arrays.ffm->n_kinds(), n_threads);
    return visit_in_rounds(hot, n, visited, n_threads,
                           [&](int part) { return Visitor(machine, rule, hot.args(part)); });
  }
  std::vector<double> totals(static_cast<std::size_t>(n_threads), 0.0);
  run_parts(n_threads, [&](int part) {
    Visitor visit(machine, rule, all);
    totals[static_cast<std::size_t>(part)] = visit(part_begin(n, part, n_threads), part_begin(n, part + 1, n_threads));
  });
  return std::accumulate(totals.begin(), totals.end(), 0.0);
}

// Synchronous mini-batches, as fm_batches, of as many rows as `room` floats of scratch allow, `most` at most.
double machine_batches(int code, int rule, const nb::tuple& rows, const nb::tuple& parts, Array<const int64_t> order,
                       Array<float> bias, Array<const double> target, const nb::object& weight, int loss,
                       const nb::dict& hyper, int n_threads, int64_t most, int64_t room) {
  const auto machine = static_cast<Machine>(code);
  MachineArrays arrays(machine, parts, true);
  FieldPassArgs& all = arrays.view;
  set_pass(all, rows, order, bias, target, weight, loss, hyper);
  nb::gil_scoped_release release;
  const int64_t floats = std::max<int64_t>(isa().machine_scratch(machine, all), 1);
  const int64_t batch_size = std::min(most, std::max<int64_t>(room / floats, 1));
  std::vector<float> slope(static_cast<std::size_t>(batch_size));
  std::vector<double> row_loss(static_cast<std::size_t>(batch_size));
  Room shared(machine, all, batch_size);
  Barrier barrier(n_threads);
  double total = 0.0;
  run_parts(n_threads, [&](int part) {
    Room own(machine, all, 0);
    for (int64_t start = 0; start < all.pass.end; start += batch_size) {
      const int64_t size = std::min(batch_size, all.pass.end - start);
      FieldPassArgs mine = all;
      own.lend(mine);
      mine.scratch = shared.scratch.data();
      mine.slope = slope.data();
      mine.row_loss = row_loss.data();
      mine.part = static_cast<uint32_t>(part);
      mine.parts = static_cast<uint32_t>(n_threads);
      mine.pass.order = all.pass.order + start;
      mine.pass.begin = part_begin(size, part, n_threads);
      mine.pass.end = part_begin(size, part + 1, n_threads);
      isa().machine_forward(machine, mine);
      barrier.wait();
      mine.pass.begin = 0;
      mine.pass.end = size;
      isa().machine_update(machine, static_cast<Rule>(rule), mine);
      if (part == 0)
        for (int64_t i = 0; i < size; ++i) total += row_loss[static_cast<std::size_t>(i)];
      barrier.wait();
    }
  });
  return total;
}

void machine_scores(int code, const nb::tuple& rows, const nb::tuple& parts, int64_t n_rows, float bias,
                    Array<float> score, int n_threads) {
  const auto machine = static_cast<Machine>(code);
  MachineArrays arrays(machine, parts, false);
  FieldPassArgs& all = arrays.view;
  all.pass.rows = field_rows(rows);
  all.pass.bias = &bias;
  all.score = score.data();
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    Room room(machine, all, 1);
    FieldPassArgs mine = all;
    room.lend(mine);
    mine.pass.begin = part_begin(n_rows, part, n_threads);
    mine.pass.end = part_begin(n_rows, part + 1, n_threads);
    isa().machine_score(machine, mine);
  });
}

// Which fields stand in one row (`meets`, a field meets itself when a row has it twice), which field each feature
// was first seen in (`field_of`, -1: never seen), which fields share a feature (`shares`), and how often each was seen. Adds
// to what is there.
void field_meetings(const nb::tuple& rows_tuple, int64_t n_rows, int64_t n_fields, Array<uint8_t> meets,
                    Array<int32_t> field_of, Array<uint8_t> shares, Array<uint32_t> seen) {
  const RowsView rows = field_rows(rows_tuple);
  nb::gil_scoped_release release;
  const int64_t words = (n_fields + 63) / 64;
  std::vector<uint64_t> met(static_cast<std::size_t>(n_fields * words), 0), here(static_cast<std::size_t>(words));
  uint8_t* twice = meets.data();
  for (int64_t row = 0; row < n_rows; ++row) {
    const uint32_t* fields = rows.fields_of(row);
    const int64_t begin = rows.begin(row), end = rows.end(row);
    std::fill(here.begin(), here.end(), 0);
    for (int64_t at = begin; at < end; ++at) {
      const uint32_t a = fields[at - begin];
      uint64_t& word = here[a / 64];
      const uint64_t bit = uint64_t{1} << (a % 64);
      if (word & bit) twice[a * n_fields + a] = 1;
      word |= bit;
      ++seen.data()[rows.indices[at]];
      int32_t& first = field_of.data()[rows.indices[at]];
      if (first < 0) first = static_cast<int32_t>(a);
      else if (first != static_cast<int32_t>(a)) shares.data()[first * n_fields + a] = 1;
    }
    for (int64_t at = begin; at < end; ++at)
      for (int64_t w = 0; w < words; ++w) met[fields[at - begin] * words + w] |= here[w];
  }
  for (int64_t a = 0; a < n_fields; ++a)
    for (int64_t b = 0; b < n_fields; ++b)
      if (a != b && (met[a * words + b / 64] >> (b % 64) & 1)) meets.data()[a * n_fields + b] = 1;
}

}  // namespace

void bind_machines(nb::module_& m) {
  m.def("machine_pass", &machine_pass, nb::arg("machine"), nb::arg("rule"), nb::arg("rows"), nb::arg("parts"),
        nb::arg("order").noconvert(), nb::arg("bias").noconvert(), nb::arg("target").noconvert(),
        nb::arg("weight").none(), nb::arg("loss"), nb::arg("hyper"), nb::arg("n_threads"),
        nb::arg("visited"));
  m.def("machine_batches", &machine_batches, nb::arg("machine"), nb::arg("rule"), nb::arg("rows"), nb::arg("parts"),
        nb::arg("order").noconvert(), nb::arg("bias").noconvert(), nb::arg("target").noconvert(),
        nb::arg("weight").none(), nb::arg("loss"), nb::arg("hyper"), nb::arg("n_threads"), nb::arg("most"),
        nb::arg("room"));
  m.def("machine_scores", &machine_scores, nb::arg("machine"), nb::arg("rows"), nb::arg("parts"), nb::arg("n_rows"),
        nb::arg("bias"), nb::arg("score").noconvert(), nb::arg("n_threads"));
  m.def("field_meetings", &field_meetings, nb::arg("rows"), nb::arg("n_rows"), nb::arg("n_fields"),
        nb::arg("meets").noconvert(), nb::arg("field_of").noconvert(), nb::arg("shares").noconvert(),
        nb::arg("seen").noconvert());
}

}  // namespace crossfm
