// The step that gumbel_softmax, sample_coordinates and blend_bases share: one row of weights exp((l + noise_scale * g) / temperature).
//
// With g = -log L, L = -log u, the weight is exp(l / T) * L^-p, p = noise_scale / T. For p of 1/2, 1 and 2 one logarithm is enough;
// the factor exp((l - max l) / T) is computed once for all draws of a row. Other p take a second logarithm and an exponential; up to 2
// nothing can leave the range of a float (L lies in [6e-8, 17]), above that the row's maximum is taken out first.
#pragma once

#include "simd_math.hpp"

namespace pose_rt::POSE_RT_ISA {

enum class Power { kHalf, kOne, kTwo, kModerate, kLarge };

POSE_RT_INLINE Power power_of(float p) {
  return p == 0.5f ? Power::kHalf : p == 1.0f ? Power::kOne : p == 2.0f ? Power::kTwo : p < 2.0f ? Power::kModerate : Power::kLarge;
}

// z = (l - max l) / T and w = exp(z), both padded to 16 lanes with -inf and 0.
POSE_RT_INLINE void prepare_row(const float* logits, std::int64_t n, float temperature, float* w, float* z) {
  F top = set(kMinusInfinity);
  for (std::int64_t i = 0; i < n; i += 16) top = max(top, load_upto(logits + i, n - i, kMinusInfinity));
  const F peak = set(largest(top)), t = set(temperature);
  for (std::int64_t i = 0; i < n; i += 16) {
    const F value = (load_upto(logits + i, n - i, kMinusInfinity) - peak) / t;
    store(z + i, value);
    store(w + i, exp(value));
  }
}

// exp(z - max z) over a padded row, in place; returns the sum.
POSE_RT_INLINE float exponentiate(float* z, std::int64_t n, const F& top) {
  const F peak = set(largest(top));
  F total = set(0.0f);
  for (std::int64_t i = 0; i < n; i += 16) {
    const F e = exp(load(z + i) - peak);
    store(z + i, e);
    total = total + e;
  }
  return sum(total);
}

// The weights of T's lanes from draws `word` and noise-free weights `w`.
template <Power P, class T>
POSE_RT_INLINE T weigh(const std::uint32_t* word, const float* w, float power) {
  using Pack = Packs<T>;
  const T l = Pack::set(0.0f) - log(to_uniform_as<T>(Pack::load(word))), plain = Pack::load(w);
  if constexpr (P == Power::kModerate) {
    return plain * exp(Pack::set(0.0f) - Pack::set(power) * log(l));
  } else {
    return plain / (P == Power::kHalf ? sqrt(l) : P == Power::kOne ? l : l * l);
  }
}

template <Power P>
POSE_RT_INLINE float drawn_weights_as(const float* w, const float* z, std::int64_t n, float power, Words& words, std::uint64_t first,
                                      float* out) {
  F total = set(0.0f), top = set(kMinusInfinity);
  for (std::int64_t start = 0; start < n; start += kWordChunk) {
    const std::int64_t count = n - start < kWordChunk ? n - start : kWordChunk;
    const std::uint32_t* word = words.take(first + static_cast<std::uint64_t>(start), count);
    std::int64_t i = 0;
    if constexpr (P == Power::kLarge) {
      for (; i < count; i += 16) {
        const F l = set(0.0f) - log(to_uniform(load(word + i))), value = load(z + start + i) - set(power) * log(l);
        store(out + start + i, value);
        top = max(top, value);
      }
    } else {
      for (; i + 16 < count; i += 32) {
        const F2 weight = weigh<P, F2>(word + i, w + start + i, power);
        Packs<F2>::store(out + start + i, weight);
        Packs<F2>::add_to(total, weight);
      }
      if (i < count) {
        const F weight = weigh<P, F>(word + i, w + start + i, power);
        store(out + start + i, weight);
        total = total + weight;
      }
    }
  }
  return P == Power::kLarge ? exponentiate(out, n, top) : sum(total);
}

// Weights of one draw, not normalised, from words first, first + 1, ...; returns their sum. `out` is padded.
inline float drawn_weights(const float* w, const float* z, std::int64_t n, float power, Words& words, std::uint64_t first, float* out) {
  switch (power_of(power)) {
    case Power::kHalf:
      return drawn_weights_as<Power::kHalf>(w, z, n, power, words, first, out);
    case Power::kOne:
      return drawn_weights_as<Power::kOne>(w, z, n, power, words, first, out);
    case Power::kTwo:
      return drawn_weights_as<Power::kTwo>(w, z, n, power, words, first, out);
    case Power::kModerate:
      return drawn_weights_as<Power::kModerate>(w, z, n, power, words, first, out);
    default:
      return drawn_weights_as<Power::kLarge>(w, z, n, power, words, first, out);
  }
}

// z + power * g in place of the draw, and its maximum.
POSE_RT_INLINE F recorded_values(const float* z, const float* gumbel, std::int64_t n, float power, float* out) {
  F top = set(kMinusInfinity);
  for (std::int64_t i = 0; i < n; i += 16) {
    const F value = load(z + i) + set(power) * load_upto(gumbel + i, n - i, 0.0f);
    store(out + i, value);
    top = max(top, value);
  }
  return top;
}

// z + power * g of a draw, and its maximum (for the hard choice).
POSE_RT_INLINE F drawn_values(const float* z, std::int64_t n, float power, Words& words, std::uint64_t first, float* out) {
  F top = set(kMinusInfinity);
  for (std::int64_t start = 0; start < n; start += kWordChunk) {
    const std::int64_t count = n - start < kWordChunk ? n - start : kWordChunk;
    const std::uint32_t* word = words.take(first + static_cast<std::uint64_t>(start), count);
    for (std::int64_t i = 0; i < count; i += 16) {
      const F value = load(z + start + i) - set(power) * log(set(0.0f) - log(to_uniform(load(word + i))));
      store(out + start + i, value);
      top = max(top, value);
    }
  }
  return top;
}

}  // namespace pose_rt::POSE_RT_ISA
