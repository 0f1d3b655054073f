// exp, log and sin/cos of a turn on packs, a few units in the last place (polynomials of Moshier's Cephes), and Philox words.
#pragma once

#include "ops.hpp"
#include "simd.hpp"

namespace pose_rt::POSE_RT_ISA {

constexpr float kMinusInfinity = -__builtin_inff();

// e^x; 0 below -87.3, where float32 leaves its normal range.
template <class T>
POSE_RT_INLINE T exp(const T& x0) {
  using P = Packs<T>;
  const T x = min(P::set(88.37f), x0);
  const T t = x * P::set(1.44269504f) + P::set(12582912.0f);  // the nearest whole number sits in the low bits
  const T n = t - P::set(12582912.0f);
  const T r = (x - n * P::set(0.693359375f)) - n * P::set(-2.12194440e-4f);
  T y = P::set(1.9875691500e-4f);
  y = y * r + P::set(1.3981999507e-3f);
  y = y * r + P::set(8.3334519073e-3f);
  y = y * r + P::set(4.1665795894e-2f);
  y = y * r + P::set(1.6666665459e-1f);
  y = y * r + P::set(5.0000001201e-1f);
  y = (y * (r * r) + r) + P::set(1.0f);
  const T scale = as_float(shift_left<23>(as_int(t)) + P::set(0x3f800000));
  return select(x < P::set(-87.3f), P::set(0.0f), y * scale);
}

// Natural logarithm of positive normal numbers; relative accuracy holds near 1.
template <class T>
POSE_RT_INLINE T log(const T& x) {
  using P = Packs<T>;
  const auto bits = as_int(x);
  const auto e = shift_right<23>(bits - P::set(0x3f3504f3));  // mantissa in [sqrt(1/2), sqrt(2))
  const T f = as_float(bits - shift_left<23>(e)) - P::set(1.0f);
  const T n = to_float(e), z = f * f;
  T y = P::set(7.0376836292e-2f);
  y = y * f + P::set(-1.1514610310e-1f);
  y = y * f + P::set(1.1676998740e-1f);
  y = y * f + P::set(-1.2420140846e-1f);
  y = y * f + P::set(1.4249322787e-1f);
  y = y * f + P::set(-1.6668057665e-1f);
  y = y * f + P::set(2.0000714765e-1f);
  y = y * f + P::set(-2.4999993993e-1f);
  y = y * f + P::set(3.3333331174e-1f);
  y = y * (f * z) + n * P::set(-2.12194440e-4f);
  y = y - P::set(0.5f) * z;
  return (f + y) + n * P::set(0.693359375f);
}

// sin and cos of 2 pi u, u in [0, 1].
POSE_RT_INLINE void sincos_turn(const F& u, F& sine, F& cosine) {
  const F t = u * set(4.0f) + set(12582912.0f);  // nearest quarter turn
  const F r = (u * set(4.0f) - (t - set(12582912.0f))) * set(1.57079632679f);
  const I quarter = as_int(t);
  const F z = r * r;
  F s = set(-1.9515295891e-4f);
  s = s * z + set(8.3321608736e-3f);
  s = s * z + set(-1.6666654611e-1f);
  s = s * (z * r) + r;
  F c = set(2.443315711809948e-5f);
  c = c * z + set(-1.388731625493765e-3f);
  c = c * z + set(4.166664568298827e-2f);
  c = (c * (z * z) - set(0.5f) * z) + set(1.0f);
  const I swap = (quarter & set(1)) != set(0);
  const F a = select(swap, c, s), b = select(swap, s, c), zero = set(0.0f);
  sine = select((quarter & set(2)) != set(0), zero - a, a);
  cosine = select(((quarter + set(1)) & set(2)) != set(0), zero - b, b);
}

// Random words to (0, 1): ((w >> 9) + 0.5) / 2^23, exact.
template <class T, class Words>
POSE_RT_INLINE T to_uniform_as(const Words& words) {
  using P = Packs<T>;
  return as_float(shift_right_logical<9>(words) | P::set(0x3f800000)) - P::set(0.99999994039535522f);
}
POSE_RT_INLINE F to_uniform(const I& words) { return to_uniform_as<F>(words); }

POSE_RT_INLINE vq multiply_low_halves(vq a, vq b) {
#if defined(__AVX512F__)
  return (vq)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (vq)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (vq)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  const vq low = 0xffffffffull - vq{};
  return (a & low) * (b & low);
#endif
}

// Counters of one register, kNative / 2 of them, in the order that lets the zips below put their words in sequence.
#if defined(__AVX512F__)
constexpr std::uint64_t kCounterOrder[] = {0, 4, 1, 5, 2, 6, 3, 7};
POSE_RT_INLINE vq zip_low(vq a, vq b) { return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14); }
POSE_RT_INLINE vq zip_high(vq a, vq b) { return __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15); }
#elif defined(__AVX2__)
constexpr std::uint64_t kCounterOrder[] = {0, 2, 1, 3};
POSE_RT_INLINE vq zip_low(vq a, vq b) { return __builtin_shufflevector(a, b, 0, 4, 2, 6); }
POSE_RT_INLINE vq zip_high(vq a, vq b) { return __builtin_shufflevector(a, b, 1, 5, 3, 7); }
#else
constexpr std::uint64_t kCounterOrder[] = {0, 1};
POSE_RT_INLINE vq zip_low(vq a, vq b) { return __builtin_shufflevector(a, b, 0, 2); }
POSE_RT_INLINE vq zip_high(vq a, vq b) { return __builtin_shufflevector(a, b, 1, 3); }
#endif

// 32 words a block, from counter `first` on: Philox4x32-10. Each 32-bit value rides in the low half of a 64-bit lane; the high halves
// hold rubbish until the end, the multiplication ignores them.
POSE_RT_INLINE void philox_blocks(std::uint32_t* out, std::uint64_t first, std::int64_t blocks, const Address& address) {
  const vq m0 = 0xD2511F53ull - vq{}, m1 = 0xCD9E8D57ull - vq{}, low = 0xffffffffull - vq{};
  constexpr int counters = kNative / 2;
  vq order, keys[20];
  for (int i = 0; i < counters; ++i) order[i] = kCounterOrder[i];
  std::uint32_t k0 = static_cast<std::uint32_t>(address.seed), k1 = static_cast<std::uint32_t>(address.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    keys[2 * round] = static_cast<std::uint64_t>(k0) - vq{};
    keys[2 * round + 1] = static_cast<std::uint64_t>(k1) - vq{};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const vq stream = address.stream - vq{}, frame = address.frame - vq{}, track = address.track - vq{};
  for (std::int64_t block = 0; block < blocks * 8 / counters; ++block) {
    vq c0 = order + (first + static_cast<std::uint64_t>(block) * counters), c1 = stream, c2 = frame, c3 = track;
    for (int round = 0; round < 10; ++round) {
      const vq p0 = multiply_low_halves(c0, m0), p1 = multiply_low_halves(c2, m1);
      c0 = (p1 >> 32) ^ c1 ^ keys[2 * round];
      c2 = (p0 >> 32) ^ c3 ^ keys[2 * round + 1];
      c1 = p1;
      c3 = p0;
    }
    const vq a = (c0 & low) | (c1 << 32), b = (c2 & low) | (c3 << 32);
    *reinterpret_cast<vq_any*>(out + block * kNative * 2) = zip_low(a, b);
    *reinterpret_cast<vq_any*>(out + block * kNative * 2 + kNative) = zip_high(a, b);
  }
}

// A run of consecutive words of one address, handed out 16 at a time through a small buffer.
constexpr std::int64_t kWordChunk = 512;
struct Words {
  alignas(64) std::uint32_t buffer[kWordChunk + 64];
  Address address;

  // Words [first, first + n), n <= kWordChunk; the pointer is good for n rounded up to 16.
  POSE_RT_INLINE const std::uint32_t* take(std::uint64_t first, std::int64_t n) {
    const std::int64_t skip = static_cast<std::int64_t>(first % 4);
    philox_blocks(buffer, first / 4, (skip + padded(n) + 31) / 32, address);
    return buffer + skip;
  }
};

}  // namespace pose_rt::POSE_RT_ISA
