// What the exact solvers' kernel takes.
#pragma once

#include "kernels.hpp"

namespace crossfm {

// Columns of the data in the order in which they are visited, each with its rows, and what is known of every row. The
// rows of a column are distinct.
struct GibbsArgs {
  const uint32_t* feature;  // (n_columns,)
  const int64_t* start;     // (n_columns + 1,) where each begins in `row`
  const uint32_t* row;      // (nnz,)
  const float* value;       // (nnz,) or null: all 1
  const float* root;        // (n_rows,) square roots of the rows' weights, or null: all 1
  int64_t begin, end;       // columns to move
  Table table;
  int64_t n_factors;
  float* e;                 // (n_rows,) target - score
  float* q;                 // (n_rows, padded) sum_i x_i v_i
  float alpha;              // precision of the targets
  const uint32_t* group;    // (n_features,)
  const float* lambda;      // (n_groups, 1 + padded) precision of w and of each factor; 0 only with `noise` null
  const float* mu;          // (n_groups, 1 + padded) mean
  const float* noise;       // (n_columns, 1 + n_factors) standard normal numbers, or null: move to the mean
  const float* spread;      // (n_rows, padded, padded) of rows that stand for several each (`relation.hpp`), or null
  float* tilt;              // (n_rows, padded) likewise
  bool fixed_w;             // w stays
  float* variance;          // mean field (`vb.hpp`): records as the table's, of variances; or null: no mean field
  float* tu;                // (n_rows, 2, padded) sum_i x_i^2 s_i and sum_i x_i^3 s_i v_i, s the variances of v
  float* scratch;           // (gibbs_scratch(padded),) of the thread's own
};

// Rows of the data that share one row b of a block, and what stands for them (`relation.hpp`).
struct RelationArgs {
  const int64_t* start;     // (n_blocks + 1,) where the rows of each begin in `row`
  const uint32_t* row;      // (n_rows,)
  const uint32_t* of;       // (n_rows,) the block row of each
  const float* weight;      // (n_rows,) of the rows, or null: all 1
  int64_t begin, end;       // block rows to gather, or rows to scatter to
  int64_t padded;           // factors, of those that q has
  float* e;                 // (n_rows,)
  float* q;                 // (n_rows, stride), from the first of the factors on
  int64_t stride;
  float *mean_e, *mean_q;   // (n_blocks,), (n_blocks, padded)
  const float *old_e, *old_q;  // what they were before the block's features moved
  float* root;              // (n_blocks,) square roots of the sums of weights
  float *spread, *tilt;     // (n_blocks, padded, padded), (n_blocks, padded)
  float* scratch;           // as that of GibbsArgs
};

// Rows whose scores' variances are asked for, under independent weights; records may stand anywhere, as in ScoreArgs.
struct VarianceArgs {
  RowsView rows;
  int64_t begin, end;
  int64_t n_factors, padded;
  const float *means, *variances;  // of v: feature i's at i times the stride
  int64_t mean_stride, variance_stride;
  const float* w;  // variances of w, feature i's at i * w_stride
  int64_t w_stride;
  float* out;  // (n_rows,)
  float* tu;   // (n_rows, 2, padded) as in GibbsArgs, or null
};

constexpr int64_t kGibbsChunk = 64;  // rows whose derivatives are held at a time

inline int64_t gibbs_scratch(int64_t padded) { return (padded + 6 + kGibbsChunk) * padded + 2 * kGibbsChunk; }

}  // namespace crossfm
