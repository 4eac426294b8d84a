// Third-order factorization machines over CSR rows. Callers check shapes and ids; nothing here throws.
// Blondel, Fujino, Ueda, Ishihata, "Higher-Order Factorization Machines", NIPS 2016, eq. (5) and (6) with m = 3:
//   y = bias + <w, x> + sum_{f < k} A2(v_f, x) + sum_{k <= f < 2k} A3(v_f, x),
// where At is the ANOVA kernel of degree t, the sum over all sets of t features of the products v_if x_i. A record holds the
// k factors of degree 2, then the k of degree 3. With power sums p_t = sum_i (v_if x_i)^t:
//   A2 = (p1^2 - p2) / 2,  A3 = (p1^3 - 3 p1 p2 + 2 p3) / 6,
// and with z = v_if x_i and m = p1 - z: dA2/dv = x m, dA3/dv = x (m^2 - (p2 - z^2)) / 2.
#pragma once

#include "ffm.hpp"

namespace crossfm::CROSSFM_ISA {

// A row's scratch is p1 and p2, (2, padded).
// VECTOR: padded is a multiple of its lanes.
template <bool VALUES, class VECTOR>
class Hofm {
 public:
  explicit Hofm(const FieldPassArgs& a) : args_(a), rows_(a.pass.rows), t_(a.pass.table) {}

  static int64_t scratch_floats(const FieldPassArgs& a) { return 2 * a.pass.table.padded; }

  float forward(int64_t row, float* scratch) const {
    float linear = 0.0f;
    for (int64_t at = rows_.begin(row); at < rows_.end(row); ++at) linear += x(at) * record(at)[t_.w_at];
    VECTOR total{};
    for (int64_t f = 0; f < t_.padded; f += kLanes) {
      VECTOR p1{}, p2{}, p3{};
      for (int64_t at = rows_.begin(row); at < rows_.end(row); ++at) {
        const VECTOR z = load<VECTOR>(record(at) + f) * x(at);
        p1 += z;
        p2 += z * z;
        p3 += z * z * z;
      }
      store<VECTOR>(scratch + f, p1);
      store<VECTOR>(scratch + t_.padded + f, p2);
      const VECTOR pairs = 0.5f * (p1 * p1 - p2);
      const VECTOR triples = (1.0f / 6.0f) * (p1 * p1 * p1 - 3.0f * p1 * p2 + 2.0f * p3);
      total += is_third(f) ? triples : pairs;
    }
    return linear + sum(total);
  }

  template <class R>
  void update(int64_t row, const float* scratch, float slope) const {
    const Hyper& h = args_.pass.hyper;
    for (int64_t at = rows_.begin(row); at < rows_.end(row); ++at) {
      if (args_.parts > 1 && rows_.indices[at] % args_.parts != args_.part) continue;
      float* V = record(at);
      const float xi = x(at), gx = slope * xi;
      step_factors<R, VECTOR>(V, static_cast<int>(t_.padded / kLanes), t_.padded, V + t_.w_at, h, [&](int b, VECTOR v) {
        const VECTOR z = v * xi, others = load<VECTOR>(scratch + b * kLanes) - CROSSFM_ROUNDED(z);
        const VECTOR squares = load<VECTOR>(scratch + t_.padded + b * kLanes) - CROSSFM_ROUNDED(z * z);
        return gx * (is_third(b * kLanes) ? 0.5f * (others * others - squares) : others);
      });
      step_scalar<R>(V + t_.w_at, gx, h.l1_w, h.l2_w, h);
    }
  }

 private:
  static constexpr int kLanes = lanes<VECTOR>;

  float x(int64_t at) const { return VALUES ? rows_.values[at] : 1.0f; }
  float* record(int64_t at) const { return t_.data + rows_.indices[at] * t_.stride; }

  // Lanes of the factors from f on that are of degree 3.
  MaskOf<VECTOR> is_third(int64_t f) const {
    MaskOf<VECTOR> lane{};
    for (int i = 0; i < kLanes; ++i) lane[i] = i;
    return lane + static_cast<int32_t>(f) >= static_cast<int32_t>(args_.rank);
  }

  const FieldPassArgs& args_;
  const RowsView rows_;
  const Table t_;
};

}  // namespace crossfm::CROSSFM_ISA
