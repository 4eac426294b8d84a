// Update rules: how a gradient moves a weight and its state. Each works on floats and on vectors alike.
//
//   states   numbers kept beside each coordinate (0, 1 or 2)
//   row_wise one accumulator for all factors of a feature
//   counts   the record ends with the number of updates of the feature
//   normalises  the step has the same size for small gradients: a rounding error in the place of 0 would move
//            the weight as far as a true gradient
//   rate     how far a gradient of 1 moves the weight, after a step (not of FTRL)
//   step     (value, state pointer, distance between states, gradient, l1, l2, hyper, scale); the scale may be a
//            vector like the value
//
// L2 enters the gradient of the touched features only, as in libFM, libffm and xLearn; FTRL-Proximal has it,
// and L1, in its closed form.
#pragma once

#include "kernels.hpp"
#include "vec.hpp"

namespace crossfm::CROSSFM_ISA {

template <class T>
inline T get(const float* p) {
  if constexpr (lanes<T> == 1) return *p;
  else return load<T>(p);
}

template <class T>
inline void put(float* p, T v) {
  if constexpr (lanes<T> == 1) *p = v;
  else store<T>(p, v);
}

struct Sgd {
  static constexpr int states = 0;
  static constexpr bool row_wise = false, counts = false, normalises = false;

  template <class T, class C>
  static T step(T value, float*, int64_t, T grad, float, float l2, const Hyper& h, C) {
    return value - h.learning_rate * (grad + l2 * value);
  }

  template <class T>
  static T rate(const float*, int64_t, const Hyper& h) {
    return T{} + h.learning_rate;
  }
};

// Duchi, Hazan, Singer, "Adaptive Subgradient Methods", JMLR 2011, diagonal form. The accumulator starts
// above zero (the caller sets it), so 1/sqrt is finite and rare features do not jump.
struct AdaGrad {
  static constexpr int states = 1;
  static constexpr bool row_wise = false, counts = false, normalises = false;

  template <class T, class C>
  static T step(T value, float* state, int64_t, T grad, float, float l2, const Hyper& h, C) {
    const T g = grad + l2 * value;
    const T G = get<T>(state) + g * g;
    put<T>(state, G);
    return value - h.learning_rate * g * vrsqrt(G);
  }

  template <class T>
  static T rate(const float* state, int64_t, const Hyper& h) {
    return h.learning_rate * vrsqrt(get<T>(state));
  }
};

// One accumulator for w, one for all of V_i (the mean square of its gradient).
struct AdaGradRow : AdaGrad {
  static constexpr bool row_wise = true;
};

// Kingma & Ba, "Adam", ICLR 2015, the form at the end of section 2, lazily: only touched features move, and
// bias correction counts the updates of the feature itself, so a rare feature's first steps are corrected too.
struct Adam {
  static constexpr int states = 2;
  static constexpr bool row_wise = false, counts = true, normalises = true;

  template <class T, class C>
  static T step(T value, float* state, int64_t apart, T grad, float, float l2, const Hyper& h, C scale) {
    const T g = grad + l2 * value;
    const T m = h.adam_beta1 * get<T>(state) + (1.0f - h.adam_beta1) * g;
    const T v = h.adam_beta2 * get<T>(state + apart) + (1.0f - h.adam_beta2) * g * g;
    put<T>(state, m);
    put<T>(state + apart, v);
    return value - h.learning_rate * scale * m / (vsqrt(v) + h.adam_eps);
  }

  template <class T>
  static T rate(const float* state, int64_t apart, const Hyper& h) {
    return h.learning_rate / (vsqrt(get<T>(state + apart)) + h.adam_eps);
  }
};

// McMahan et al., "Ad Click Prediction", KDD 2013, algorithm 1: states z and n, alpha = learning_rate. Ours: n fades
// by `decay` at each update, n' = decay n + g^2, so that steps do not die out. The paper's
// sigma = (sqrt(n') - sqrt(n)) / alpha then keeps the weight where it is when g = 0. While L1 holds a weight at 0, z,
// which sums what speaks for moving it, fades as well.
struct Ftrl {
  static constexpr int states = 2;
  static constexpr bool row_wise = false, counts = false, normalises = false;

  template <class T, class C>
  static T step(T value, float* state, int64_t apart, T grad, float l1, float l2, const Hyper& h, C) {
    const float inverse = 1.0f / h.learning_rate;
    const T n = get<T>(state + apart);
    const T n_new = h.ftrl_decay * n + grad * grad;
    const T root = vsqrt(n_new);
    const T z_old = get<T>(state);
    const T z = (value == 0.0f ? h.ftrl_decay * z_old : z_old) + grad - (root - vsqrt(n)) * inverse * value;
    put<T>(state, z);
    put<T>(state + apart, n_new);
    return weight(z, root, l1, l2, h);
  }

  // The weight at z, and at the root of n.
  template <class T>
  static T weight(T z, T root, float l1, float l2, const Hyper& h) {
    const T size = z < 0.0f ? -z : z;
    const T shrunk = z < 0.0f ? size - l1 : l1 - size;  // -(z - sign(z) l1)
    const T moved = shrunk / ((h.ftrl_beta + root) * (1.0f / h.learning_rate) + l2);
    return size > l1 ? moved : moved * 0.0f;
  }
};

// The scale that bias correction asks of this update; counts it.
template <class R>
inline float count_update(float* counter, const Hyper& h) {
  if constexpr (R::counts) {
    const float t = *counter + 1.0f;  // stays at 2^24 then, where every correction is 1
    *counter = t;
    const int64_t at = static_cast<int64_t>(t) - 1;
    return at < h.adam_steps ? h.adam_scale[at] : 1.0f;
  } else {
    return 1.0f;
  }
}

// The product rounded where the rule asks for it.
template <class R, class T>
inline T rounded_for(T product) {
  if constexpr (R::normalises) return CROSSFM_ROUNDED(product);
  else return product;
}

// A scalar parameter [value, states..., count]: the bias, and w where there are no factors.
template <class R>
inline void step_scalar(float* p, float grad, float l1, float l2, const Hyper& h) {
  const float scale = count_update<R>(p + 1 + R::states, h);
  *p = R::template step<float>(*p, p + 1, 1, grad, l1, l2, h, scale);
}

// The factors of one feature: v_if moves by the gradient that `grad_of(block, v)` gives (one record at a
// time; record.hpp moves several).
template <class R, class V, class Grad>
inline void step_factors(float* record, int blocks, int64_t padded, float* w_record, const Hyper& h, Grad grad_of) {
  constexpr int W = lanes<V>;
  if constexpr (R::row_wise) {
    V squares{};
    for (int b = 0; b < blocks; ++b) {
      const V v = load<V>(record + b * W);
      const V g = grad_of(b, v) + h.l2_V * v;
      squares += g * g;
    }
    float* accumulator = w_record + 2;  // behind w and its own accumulator
    *accumulator += sum(squares) * h.factor_share;
    const float rate = h.learning_rate * vrsqrt(*accumulator);
    for (int b = 0; b < blocks; ++b) {
      const V v = load<V>(record + b * W);
      store<V>(record + b * W, v - rate * (grad_of(b, v) + h.l2_V * v));
    }
  } else {
    float scale = 1.0f;
    if constexpr (R::counts) {  // the count that step_scalar is about to add for this update
      const int64_t at = static_cast<int64_t>(w_record[1 + R::states]);
      scale = at < h.adam_steps ? h.adam_scale[at] : 1.0f;
    }
    for (int b = 0; b < blocks; ++b) {
      const V v = load<V>(record + b * W);
      const V moved =
          R::template step<V>(v, record + padded + b * W, padded, grad_of(b, v), h.l1_V, h.l2_V, h, scale);
      store<V>(record + b * W, moved);
    }
  }
}

}  // namespace crossfm::CROSSFM_ISA
