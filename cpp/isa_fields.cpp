// Machines that know fields, and of degree 3, compiled once per instruction set.
#include "ffm.hpp"
#include "fwfm.hpp"
#include "hofm.hpp"
#include "passes.hpp"
#include "choose.hpp"
#include "isa_verbs.hpp"

namespace crossfm::CROSSFM_ISA {

namespace {

// Call with the register and the fields it holds that fit the floats of a vector.
template <class F>
inline auto with_vector(int64_t vector, F f) {
  constexpr int w = lanes<Wide>;
  if (vector == 4) return f(Number<w / 4>{}, Wide{});
  if (vector == 8) return f(Number<w / 8>{}, Wide{});
  if (vector % w == 0) return f(Number<1>{}, Wide{});
  return f(Number<1>{}, Vec4{});
}

template <class T>
struct Type {
  using type = T;
};

// Call with the type that holds a weight.
template <class F>
inline auto with_weights(bool half, F f) {
  return half ? f(Type<Half>{}) : f(Type<float>{});
}

// Call with the vector that fits the padded factors of a table.
template <class F>
inline auto with_lanes(int64_t padded, F f) {
  return padded == 4 ? f(Vec4{}) : f(Vec8{});
}

// Call with the class that goes through any row.
template <class F>
inline auto with_machine(Machine machine, const FieldPassArgs& a, F f) {
  return with_values(a.pass.rows.values, [&](auto given) {
    constexpr bool has = given.value != 0;
    const int64_t padded = a.pass.table.padded;
    switch (machine) {
      case Machine::ffm:
        return with_weights(a.layout.half, [&](auto s) { return f(Type<Ffm<has, typename decltype(s)::type>>{}); });
      case Machine::fwfm:
        return with_lanes(padded, [&](auto v) { return f(Type<FieldPairs<FieldWeight, has, decltype(v)>>{}); });
      case Machine::fmfm:
        return with_lanes(padded, [&](auto v) { return f(Type<FieldPairs<FieldMatrix, has, decltype(v)>>{}); });
      default: return with_lanes(padded, [&](auto v) { return f(Type<Hofm<has, decltype(v)>>{}); });
    }
  });
}

}  // namespace

int64_t machine_scratch(Machine machine, const FieldPassArgs& a) {
  return with_machine(machine, a, [&](auto m) { return decltype(m)::type::scratch_floats(a); });
}

double machine_pass(Machine machine, Rule rule, const FieldPassArgs& a) {
  return with_rule(rule, [&](auto r) {
    using R = decltype(r);
    if (machine == Machine::ffm)
      return with_vector(a.layout.vector, [&](auto fields, auto v) {
        return with_values(a.pass.rows.values, [&](auto values) {
          return with_weights(a.layout.half, [&](auto s) {
            using S = typename decltype(s)::type;
            constexpr bool has = values.value != 0;
            return ffm_rows<R, FfmBlocks<decltype(v), fields.value, has, S>, Ffm<has, S>>(a);
          });
        });
      });
    return with_machine(machine, a,
                        [&](auto m) { return machine_rows<R, typename decltype(m)::type>(a); });
  });
}

void machine_forward(Machine machine, const FieldPassArgs& a) {
  with_machine(machine, a, [&](auto m) { machine_batch_forward<typename decltype(m)::type>(a); });
}

void machine_update(Machine machine, Rule rule, const FieldPassArgs& a) {
  with_rule(rule, [&](auto r) {
    with_machine(machine, a,
                 [&](auto m) { machine_batch_update<decltype(r), typename decltype(m)::type>(a); });
  });
}

void machine_score(Machine machine, const FieldPassArgs& a) {
  if (machine == Machine::ffm)
    return with_vector(a.layout.vector, [&](auto fields, auto v) {
      with_values(a.pass.rows.values, [&](auto values) {
        with_weights(a.layout.half, [&](auto s) {
          using S = typename decltype(s)::type;
          constexpr bool has = values.value != 0;
          ffm_score_rows<FfmBlocks<decltype(v), fields.value, has, S>, Ffm<has, S>>(a);
        });
      });
    });
  with_machine(machine, a, [&](auto m) { machine_scores<typename decltype(m)::type>(a); });
}

}  // namespace crossfm::CROSSFM_ISA
