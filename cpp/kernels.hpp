// What the kernels take and what one instruction set offers: plain structs of pointers and numbers.
#pragma once

#include <cstdint>

#include "negatives.hpp"

namespace crossfm {

// CSR rows, or `width` non-zeros in every row when indptr is null; all values are 1 when values is null. Fields
// stand beside the indices, or are the same `width` in every row; machines without fields do not look at them.
struct RowsView {
  const int64_t* indptr;
  const uint32_t* indices;
  const float* values;
  int64_t width;
  const uint32_t* fields = nullptr;
  bool same_fields = false;

  // Always inline: a copy compiled for one instruction set must not be linked into another's code.
  [[gnu::always_inline]] int64_t begin(int64_t row) const { return indptr ? indptr[row] : row * width; }
  [[gnu::always_inline]] int64_t end(int64_t row) const { return indptr ? indptr[row + 1] : (row + 1) * width; }
  [[gnu::always_inline]] const uint32_t* fields_of(int64_t row) const { return fields + (same_fields ? 0 : begin(row)); }
};

// One row: `n` ids, and their values unless all are 1.
struct Row {
  const uint32_t* ids;
  const float* values;
  int64_t n;
};

[[gnu::always_inline]] inline Row row_of(const RowsView& rows, int64_t row) {
  const int64_t begin = rows.begin(row);
  return {rows.indices + begin, rows.values ? rows.values + begin : nullptr, rows.end(row) - begin};
}

// Where a thread finds records: its own copies of frequent ones, the table's of the others. A bucket of ids has one
// copy, of the id that is its key.
struct HotPlaces {
  static constexpr int bits = 12;
  static constexpr int64_t count = int64_t{1} << bits;  // copies a thread
  static constexpr int64_t slots = 4;                   // rows of a ring
  static constexpr uint32_t golden = 0x9e3779b1u;

  const uint32_t* key;  // (count,) id of each bucket; null: no copies
  uint32_t first;       // record number of the thread's first copy
  uint32_t* ring;       // (slots, 2 * room) rows to come: ids turned into places, and those of them that are not copies
  int64_t room;         // non-zeros of the longest row, and 16 more

  [[gnu::always_inline]] static uint32_t bucket(uint32_t id) { return (id * golden) >> (32 - bits); }
};

enum class Loss : int { squared = 0, logistic = 1, poisson = 2 };
enum class Rule : int { sgd = 0, adagrad = 1, adagrad_row = 2, adam = 3, ftrl = 4 };
constexpr int kRules = 5;

// Numbers of an update rule; which of them a rule reads is said in rules.hpp.
struct Hyper {
  float learning_rate, l1_w, l2_w, l1_V, l2_V;
  float ftrl_beta, ftrl_decay;
  float adam_beta1, adam_beta2, adam_eps;
  const float* adam_scale;  // (adam_steps,): sqrt(1 - beta2^t) / (1 - beta1^t) for t = 1, 2, ...
  int64_t adam_steps;
  float factor_share;  // 1 / n_factors: a row-wise accumulator takes the mean square of the gradient
};

// A table of records, one a feature, weights beside optimizer state:
// V[padded] | states of V | tail: w, its states, [accumulator of V], [count]; padded is 4 or a multiple of 8
// and the tail 4 numbers, whatever of them the rule uses (linear model: padded is 0 and the tail as short as it can be). V may
// be in bfloat16, two in the place of a float; pairs and choices take floats alone.
struct Table {
  float* data;
  int64_t stride;
  int64_t padded;
  int64_t w_at;  // where w stands in the record
  bool half = false;
};

// Records of different length, for machines whose features meet different fields. The features of one kind meet the
// same fields and have records of one length, in one block:
// V | w, its states, extra (kHead floats) | zeros up to a whole line | states of V, each laid out the same way;
// V has `vector` weights for each field that the kind meets, or for every field if the layout is uniform.
struct FieldLayout {
  float* const* block;    // (n_kinds,) records of a kind
  float* const* copies;   // (n_kinds,) the thread's own copies of records of a kind, where there are some
  const int64_t* length;  // (n_kinds,) floats of a record
  const int64_t* head;    // (n_kinds,) floats that V takes: where the head stands
  const uint32_t* where;  // (n_features, 2) number of the record in its block, and the kind; kNoRecord: it has none.
                          // With kCopy in the kind: the number among the copies
  const uint32_t* kind;   // (n_fields,) kind of a field's features
  const int32_t* slot;    // (n_kinds, n_fields) which weight of V is the first of the vector for a field; -1: they never meet
  float* empty;           // zeros, longer than any record: for a feature without one
  int64_t n_fields;
  int64_t vector;   // weights of one vector, a multiple of 4
  int64_t longest;  // non-zeros of the longest row
  bool uniform;
  bool half;  // V in bfloat16, two weights in the place of a float; its states are floats
};

constexpr uint32_t kNoRecord = 0xffffffff;
constexpr uint32_t kCopy = 0x80000000;
constexpr int64_t kHead = 4;
constexpr int64_t kLine = 16;

// Where the first state of V stands in a record whose head is at `head`, and how far the next is from it.
struct FieldStates {
  int64_t first, apart;
};

[[gnu::always_inline]] inline FieldStates states_of(int64_t head, bool half) {
  const int64_t lines = (head + kHead + kLine - 1) / kLine * kLine;
  return {lines, half ? (2 * head + kLine - 1) / kLine * kLine : lines};
}

struct PassArgs {
  RowsView rows;
  const int64_t* order;  // rows to visit, in this order
  int64_t begin, end;    // the part of `order` to visit
  Table table;
  float* bias;  // value, then its states as for w
  const double* target;
  const float* weight;  // null: all 1
  Loss loss;
  Hyper hyper;
  HotPlaces hot = {};
};

// Copies of the same records that several threads have moved, to be made one again.
struct MergeArgs {
  Rule rule;
  Hyper hyper;
  int64_t stride;
  int64_t factors;               // of a record: whole vectors of 4
  int64_t w_at;                  // where w stands
  int64_t states, states_apart;  // where the first state of V stands, and how far the next is from it
  bool half;                     // factors are in bfloat16
  float* base;            // (n, stride) the records as last agreed on
  float* copies;          // record places[i] of thread t stands at copies + t * apart + places[i] * stride
  const int64_t* places;  // (n,)
  int64_t apart;
  int threads;
  int64_t begin, end;  // the part of n to do
};

// A synchronous mini-batch: forward fills slope and sums for order[begin, end), update applies them.
struct BatchArgs {
  PassArgs pass;
  float* slope;        // (batch,)
  float* sums;         // (batch, padded)
  double* row_loss;    // (batch,)
  uint32_t part, parts;  // update only the features with id % parts == part
};

enum class Machine : int { ffm = 0, fwfm = 1, fmfm = 2, hofm = 3 };

// A pass, batch or scoring of one of these machines. FFM has its records in `layout`; the others in `pass.table`, and of
// `layout` n_fields and longest alone.
struct FieldPassArgs {
  PassArgs pass;
  FieldLayout layout;
  float* pairs;         // (n_pairs, pair_stride) FwFM, FmFM: records of two fields a < b
  int64_t pair_stride;
  int64_t rank;         // n_factors without padding; HOFM: of each degree
  float* scratch;       // room for a row; a batch: for each of order[0, end)
  int32_t* work;        // (3 * n_fields,) of the thread's own, the first n_fields of them -1
  float** records;      // (n_fields + 4,) of the thread's own
  float* x;             // (18 * (n_fields + 4),) of the thread's own
  float* slope;         // batch (end,)
  double* row_loss;     // batch (end,)
  float* score;         // scoring (n_rows,)
  uint32_t part, parts;
};

// Scores of rows under weights that may stand anywhere: w[i * w_stride], V[i * V_stride + f].
struct ScoreArgs {
  RowsView rows;
  int64_t begin, end;
  float bias;
  const float* w;
  int64_t w_stride;
  const void* V;  // floats, or where `half` bfloat16 with zeros up to a whole vector, as in a table
  bool half;
  int64_t V_stride;
  int64_t n_factors;
  float* score;  // (n_rows,)
  float* sums;   // (n_rows, n_factors) or null
};

// SGD that adapts its penalties; `train.hyper` has the learning rate alone, and the table one state: the last gradient.
struct SgdaArgs {
  PassArgs train;
  RowsView valid;
  const int64_t* valid_order;  // (train.end,) the validation row after each training row, or null: keep the penalties
  const double* valid_target;
  const float* valid_weight;  // null: all 1
  const uint32_t* group;      // (n_features,) of each feature, or null: one for all
  float* penalty;             // (n_groups, 1 + padded): lambda of w and of each factor
  float* scratch;             // (2 * padded + n_groups * (1 + padded),) zeros
};

// Pairs for BPR: shared rows (query side; may have no non-zeros) with a better and a worse row each.
struct PairArgs {
  RowsView shared;
  RowsView sides;
  const int64_t* shared_at;  // (n_pairs,) row of `shared`; null: no shared part
  const int64_t* better;     // (n_pairs,) row of `sides`
  const int64_t* worse;      // (n_pairs,) row of `sides`
  const float* weight;       // (n_pairs,) or null
  const float* offset;       // (n_sides,) added to a side's score in training, or null
  int64_t begin, end;
  Table table;
  Hyper hyper;
  int64_t* correct;  // counts pairs in the right order
};

// Choices from a catalogue: row which[i] of `shared` chose side negatives.positive[which[i]].
struct ChoiceArgs {
  RowsView shared;
  RowsView sides;
  const int64_t* which;  // choices to visit, in this order
  const float* weight;   // (n_choices,) or null
  const float* offset;   // (n_sides,) added to a side's score in training, or null; not read by WARP
  Negatives negatives;
  int64_t n_negatives;       // drawn for a choice; WARP: at most
  const float* rank_weight;  // (n_negatives,) WARP: of a violation found at the draw N = 1, 2, ...
  int64_t begin, end;
  Table table;
  Hyper hyper;
  int64_t* items;  // (1 + n_negatives,) softmax: room to work
  float* scratch;  // ((1 + n_negatives) * (1 + padded),) softmax: room to work
  int64_t* used;   // counts choices that had a negative; WARP: all, as it does not look
};

constexpr int64_t kTopLanes = 16;  // items of a block

// The items of blocks [begin, end) with the largest inner products with each query, as keys (topkey.hpp) in no order: at
// least the best `n_best`, ties by smaller id. Coordinate d of item i is items[i / kTopLanes * block_apart +
// d * coordinate_apart + i % kTopLanes].
struct TopArgs {
  const float* queries;  // (n_queries, dim)
  const float* items;
  int64_t block_apart, coordinate_apart;
  const float* last;  // (dim, kTopLanes) the last block where it does not stand whole among the items, or null
  int64_t n_queries, n_items, dim, n_best;
  const int64_t* skip_indptr;  // (n_queries + 1,) or null: sorted item ids to leave out
  const uint32_t* skip;
  const uint8_t* allowed;  // (n_items,) 0 where an item is left out; or null
  int64_t begin, end;
  int64_t room;      // at least n_best + kTopLanes
  uint64_t* keys;    // (n_queries, room)
  int64_t* found;    // (n_queries,) 0; how many keys there are
  int64_t* skipped;  // (n_queries,) where in `skip` the first item of block `begin` would stand
  float* least;      // (n_queries,) -inf; what an item has to beat
};

// Embeddings of the rows order[begin, end), row i of the outputs for order[i]; an output that is null is not made.
struct LookupArgs {
  RowsView rows;
  const int64_t* order;
  int64_t begin, end;
  Table table;
  int64_t n_factors, n_fields;
  bool single;      // every row has exactly one non-zero of each field
  float* linear;    // (n,) sum x w
  float* embedded;  // (n, n_fields, n_factors) sum x v over the non-zeros of a field
  float* weights;   // (n, n_fields) sum x w over the non-zeros of a field
  float* sums;      // (n, padded) s = sum x v
  float* pooled;    // (n, n_factors) 1/2 (s^2 - sum (x v)^2); needs sums
  float* pair;      // (n,) the sum of pooled; needs sums
};

// Gradients of the outputs of the same rows, for the features [begin, end) of those that occur in them.
struct EmbeddingUpdateArgs {
  RowsView rows;
  const int64_t* order;
  int64_t n_rows;          // of the batch
  const uint64_t* sorted;  // (n_sorted,) id << 32 | row << shift | place in the row; those of an id side by side
  int64_t n_sorted;
  const int64_t* starts;   // (n_ids + 1,) where each id begins in `sorted`
  const float* xs;         // (width, n_rows) values of the batch column by column, or null: look into `rows`
  const bool* plain;       // (width,) columns whose values are all 1; null: not known
  int shift;
  int64_t begin, end;
  Table table;
  int64_t n_factors, n_fields;
  const float* d_linear;  // as the outputs; null where there is no gradient
  const float* d_embedded;
  const float* d_weights;
  const float* d_pooled;
  const float* d_pair;
  const float* sums;
  Hyper hyper_V, hyper_w;  // without penalties, which are here:
  float l2_V, l2_w;        // times `rarity`, for each row that has the feature
  const float* rarity;     // (n_features,) or null: 1
  float clip, clip_floor;  // CowClip (Zheng et al., AAAI 2023): |g| at most count * max(clip |v|, clip_floor); 0: none
};

struct GibbsArgs;  // gibbs_args.hpp
struct RelationArgs;
struct VarianceArgs;

struct Isa {
  const char* name;
  double (*pass)(Rule, const PassArgs&);
  void (*merge)(const MergeArgs&);
  void (*batch_forward)(const BatchArgs&);
  void (*batch_update)(Rule, const BatchArgs&);
  void (*score)(const ScoreArgs&);
  double (*pair_pass)(Rule, const PairArgs&);
  double (*warp_pass)(Rule, const ChoiceArgs&);
  double (*softmax_pass)(Rule, const ChoiceArgs&);
  void (*top)(const TopArgs&);
  double (*sgda_pass)(const SgdaArgs&);
  int64_t (*machine_scratch)(Machine, const FieldPassArgs&);  // floats of scratch that a row needs
  double (*machine_pass)(Machine, Rule, const FieldPassArgs&);
  void (*machine_forward)(Machine, const FieldPassArgs&);
  void (*machine_update)(Machine, Rule, const FieldPassArgs&);
  void (*machine_score)(Machine, const FieldPassArgs&);
  void (*embedding_look_up)(const LookupArgs&);
  void (*embedding_update)(Rule, const EmbeddingUpdateArgs&);
  void (*gibbs_move)(const GibbsArgs&);
  void (*gibbs_gather)(const RelationArgs&);
  void (*gibbs_scatter)(const RelationArgs&);
  void (*variance)(const VarianceArgs&);
};

// The instruction set in use; set_isa returns false for a name that this processor lacks.
const Isa& isa();
bool set_isa(const char* name);
bool isa_supported(const char* name);

}  // namespace crossfm
