// Sixteen lanes of float or int, whatever the instruction set: one 512-bit register, two of 256 or four of 128 bits. Kernels are
// written once on these packs; sums run over the same lanes in the same order everywhere, so every build gives the same bits (the
// build switches floating-point contraction off). Nothing here is shared between instruction sets: the namespace differs.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#define POSE_RT_INLINE inline __attribute__((always_inline))

namespace pose_rt::POSE_RT_ISA {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int kNative = kBytes / 4;   // lanes of one register
constexpr int kParts = 16 / kNative;  // registers of a pack

typedef float vf __attribute__((vector_size(kBytes)));
typedef std::int32_t vi __attribute__((vector_size(kBytes)));
typedef std::uint32_t vu __attribute__((vector_size(kBytes)));
typedef std::uint64_t vq __attribute__((vector_size(kBytes)));
typedef float vf_any __attribute__((vector_size(kBytes), aligned(4), may_alias));
typedef std::int32_t vi_any __attribute__((vector_size(kBytes), aligned(4), may_alias));
typedef std::uint64_t vq_any __attribute__((vector_size(kBytes), aligned(4), may_alias));

struct F {
  vf part[kParts];
};
struct I {
  vi part[kParts];
};

#define POSE_RT_PARTS for (int k = 0; k < kParts; ++k)

POSE_RT_INLINE F set(float x) {
  F r;
  POSE_RT_PARTS r.part[k] = x - vf{};
  return r;
}
POSE_RT_INLINE I set(std::int32_t x) {
  I r;
  POSE_RT_PARTS r.part[k] = x - vi{};
  return r;
}
POSE_RT_INLINE F load(const float* p) {
  F r;
  POSE_RT_PARTS r.part[k] = *reinterpret_cast<const vf_any*>(p + k * kNative);
  return r;
}
POSE_RT_INLINE I load(const std::int32_t* p) {
  I r;
  POSE_RT_PARTS r.part[k] = *reinterpret_cast<const vi_any*>(p + k * kNative);
  return r;
}
POSE_RT_INLINE I load(const std::uint32_t* p) {
  I r;
  POSE_RT_PARTS r.part[k] = *reinterpret_cast<const vi_any*>(p + k * kNative);
  return r;
}
POSE_RT_INLINE void store(float* p, const F& a) { POSE_RT_PARTS* reinterpret_cast<vf_any*>(p + k * kNative) = a.part[k]; }
POSE_RT_INLINE void store(std::int32_t* p, const I& a) { POSE_RT_PARTS* reinterpret_cast<vi_any*>(p + k * kNative) = a.part[k]; }

// The first n < 16 values; the other lanes are `fill`, their memory is not touched.
POSE_RT_INLINE F load_first(const float* p, std::int64_t n, float fill) {
  alignas(64) float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = fill;
  for (std::int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
POSE_RT_INLINE void store_first(float* p, const F& a, std::int64_t n) {
  alignas(64) float lanes[16];
  store(lanes, a);
  for (std::int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}
POSE_RT_INLINE F load_upto(const float* p, std::int64_t n, float fill) { return n >= 16 ? load(p) : load_first(p, n, fill); }
POSE_RT_INLINE void store_upto(float* p, const F& a, std::int64_t n) {
  if (n >= 16) {
    store(p, a);
  } else {
    store_first(p, a, n);
  }
}

#define POSE_RT_BINARY(op)                               \
  POSE_RT_INLINE F operator op(const F& a, const F& b) { \
    F r;                                                 \
    POSE_RT_PARTS r.part[k] = a.part[k] op b.part[k];    \
    return r;                                            \
  }
POSE_RT_BINARY(+)
POSE_RT_BINARY(-)
POSE_RT_BINARY(*)
POSE_RT_BINARY(/)
#undef POSE_RT_BINARY

// Integers wrap.
#define POSE_RT_INTEGER(op)                                         \
  POSE_RT_INLINE I operator op(const I& a, const I& b) {            \
    I r;                                                            \
    POSE_RT_PARTS r.part[k] = (vi)((vu)a.part[k] op(vu) b.part[k]); \
    return r;                                                       \
  }
POSE_RT_INTEGER(+)
POSE_RT_INTEGER(-)
POSE_RT_INTEGER(&)
POSE_RT_INTEGER(|)
#undef POSE_RT_INTEGER

#define POSE_RT_COMPARE(op)                                 \
  POSE_RT_INLINE I operator op(const F& a, const F& b) {    \
    I r;                                                    \
    POSE_RT_PARTS r.part[k] = (vi)(a.part[k] op b.part[k]); \
    return r;                                               \
  }                                                         \
  POSE_RT_INLINE I operator op(const I& a, const I& b) {    \
    I r;                                                    \
    POSE_RT_PARTS r.part[k] = (vi)(a.part[k] op b.part[k]); \
    return r;                                               \
  }
POSE_RT_COMPARE(<)
POSE_RT_COMPARE(>)
POSE_RT_COMPARE(>=)
POSE_RT_COMPARE(!=)
#undef POSE_RT_COMPARE

template <int Bits>
POSE_RT_INLINE I shift_left(const I& a) {
  I r;
  POSE_RT_PARTS r.part[k] = (vi)((vu)a.part[k] << Bits);
  return r;
}
template <int Bits>
POSE_RT_INLINE I shift_right(const I& a) {  // arithmetic
  I r;
  POSE_RT_PARTS r.part[k] = a.part[k] >> Bits;
  return r;
}
template <int Bits>
POSE_RT_INLINE I shift_right_logical(const I& a) {
  I r;
  POSE_RT_PARTS r.part[k] = (vi)((vu)a.part[k] >> Bits);
  return r;
}

POSE_RT_INLINE F select(const I& mask, const F& a, const F& b) {
  F r;
  POSE_RT_PARTS r.part[k] = mask.part[k] ? a.part[k] : b.part[k];
  return r;
}
POSE_RT_INLINE I select(const I& mask, const I& a, const I& b) {
  I r;
  POSE_RT_PARTS r.part[k] = mask.part[k] ? a.part[k] : b.part[k];
  return r;
}
// min and max return their second argument when one is NaN, as the x86 instructions do (GCC does not find them by itself).
#if defined(__AVX512F__)
POSE_RT_INLINE vf smaller(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
POSE_RT_INLINE vf larger(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
POSE_RT_INLINE vf smaller(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
POSE_RT_INLINE vf larger(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
#elif defined(__SSE2__)
POSE_RT_INLINE vf smaller(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
POSE_RT_INLINE vf larger(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
#else
POSE_RT_INLINE vf smaller(vf a, vf b) { return a < b ? a : b; }
POSE_RT_INLINE vf larger(vf a, vf b) { return a > b ? a : b; }
#endif
POSE_RT_INLINE F min(const F& a, const F& b) {
  F r;
  POSE_RT_PARTS r.part[k] = smaller(a.part[k], b.part[k]);
  return r;
}
POSE_RT_INLINE F max(const F& a, const F& b) {
  F r;
  POSE_RT_PARTS r.part[k] = larger(a.part[k], b.part[k]);
  return r;
}
POSE_RT_INLINE F as_float(const I& a) {
  F r;
  POSE_RT_PARTS r.part[k] = (vf)a.part[k];
  return r;
}
POSE_RT_INLINE I as_int(const F& a) {
  I r;
  POSE_RT_PARTS r.part[k] = (vi)a.part[k];
  return r;
}
POSE_RT_INLINE F to_float(const I& a) {
  F r;
  POSE_RT_PARTS r.part[k] = __builtin_convertvector(a.part[k], vf);
  return r;
}
POSE_RT_INLINE I truncate(const F& a) {
  I r;
  POSE_RT_PARTS r.part[k] = __builtin_convertvector(a.part[k], vi);
  return r;
}
POSE_RT_INLINE F sqrt(const F& a) {
  F r;
#if defined(__AVX512F__)
  r.part[0] = (vf)_mm512_sqrt_ps((__m512)a.part[0]);
#elif defined(__AVX2__)
  POSE_RT_PARTS r.part[k] = (vf)_mm256_sqrt_ps((__m256)a.part[k]);
#elif defined(__SSE2__)
  POSE_RT_PARTS r.part[k] = (vf)_mm_sqrt_ps((__m128)a.part[k]);
#else
  POSE_RT_PARTS for (int i = 0; i < kNative; ++i) r.part[k][i] = __builtin_sqrtf(a.part[k][i]);
#endif
  return r;
}
// 0, 1, ..., 15
POSE_RT_INLINE I iota() {
  I r;
  POSE_RT_PARTS for (int i = 0; i < kNative; ++i) r.part[k][i] = k * kNative + i;
  return r;
}

// Lanes by pairs: even(a, b) = a0 a2 .. b0 b2 .., odd(a, b) = a1 a3 .. b1 b3 .., of two registers.
#if defined(__AVX512F__)
POSE_RT_INLINE vf even(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30); }
POSE_RT_INLINE vf odd(vf a, vf b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31); }
POSE_RT_INLINE vf zip_low(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
POSE_RT_INLINE vf zip_high(vf a, vf b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#elif defined(__AVX2__)
POSE_RT_INLINE vf even(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14); }
POSE_RT_INLINE vf odd(vf a, vf b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15); }
POSE_RT_INLINE vf zip_low(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
POSE_RT_INLINE vf zip_high(vf a, vf b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
#else
POSE_RT_INLINE vf even(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6); }
POSE_RT_INLINE vf odd(vf a, vf b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7); }
POSE_RT_INLINE vf zip_low(vf a, vf b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
POSE_RT_INLINE vf zip_high(vf a, vf b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
#endif

// One register each of x, y, z from three registers of triplets.
POSE_RT_INLINE void split3(vf a, vf b, vf c, vf& x, vf& y, vf& z) {
#if defined(__AVX512F__)
  const vf xa = __builtin_shufflevector(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
  const vf ya = __builtin_shufflevector(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
  const vf za = __builtin_shufflevector(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
  x = __builtin_shufflevector(xa, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
  y = __builtin_shufflevector(ya, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
  z = __builtin_shufflevector(za, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
#elif defined(__AVX2__)
  const vf xa = __builtin_shufflevector(a, b, 0, 3, 6, 9, 12, 15, 0, 0);
  const vf ya = __builtin_shufflevector(a, b, 1, 4, 7, 10, 13, 0, 0, 0);
  const vf za = __builtin_shufflevector(a, b, 2, 5, 8, 11, 14, 0, 0, 0);
  x = __builtin_shufflevector(xa, c, 0, 1, 2, 3, 4, 5, 10, 13);
  y = __builtin_shufflevector(ya, c, 0, 1, 2, 3, 4, 8, 11, 14);
  z = __builtin_shufflevector(za, c, 0, 1, 2, 3, 4, 9, 12, 15);
#else
  const vf xa = __builtin_shufflevector(a, b, 0, 3, 6, 6);
  const vf ya = __builtin_shufflevector(a, b, 1, 4, 7, 7);
  const vf za = __builtin_shufflevector(a, b, 2, 5, 5, 5);
  x = __builtin_shufflevector(xa, c, 0, 1, 2, 5);
  y = __builtin_shufflevector(ya, c, 0, 1, 2, 6);
  z = __builtin_shufflevector(za, c, 0, 1, 4, 7);
#endif
}

// Sixteen points (x, y, z) or (x, y) from memory and back.
POSE_RT_INLINE void load3(const float* p, F& x, F& y, F& z) {
  POSE_RT_PARTS {
    const float* q = p + 3 * kNative * k;
    const vf a = *reinterpret_cast<const vf_any*>(q), b = *reinterpret_cast<const vf_any*>(q + kNative),
             c = *reinterpret_cast<const vf_any*>(q + 2 * kNative);
    split3(a, b, c, x.part[k], y.part[k], z.part[k]);
  }
}
POSE_RT_INLINE void load2(const float* p, F& x, F& y) {
  POSE_RT_PARTS {
    const vf a = *reinterpret_cast<const vf_any*>(p + 2 * kNative * k), b = *reinterpret_cast<const vf_any*>(p + 2 * kNative * k + kNative);
    x.part[k] = even(a, b);
    y.part[k] = odd(a, b);
  }
}
POSE_RT_INLINE void store2(float* p, const F& x, const F& y) {
  POSE_RT_PARTS {
    *reinterpret_cast<vf_any*>(p + 2 * kNative * k) = zip_low(x.part[k], y.part[k]);
    *reinterpret_cast<vf_any*>(p + 2 * kNative * k + kNative) = zip_high(x.part[k], y.part[k]);
  }
}
POSE_RT_INLINE void store3(float* p, const F& x, const F& y, const F& z) {
  alignas(64) float lanes[3][16];
  store(lanes[0], x);
  store(lanes[1], y);
  store(lanes[2], z);
  for (int i = 0; i < 16; ++i) {
    p[3 * i] = lanes[0][i];
    p[3 * i + 1] = lanes[1][i];
    p[3 * i + 2] = lanes[2][i];
  }
}

// Lanes 0..7 = sums of a's pairs, 8..15 = sums of b's pairs.
POSE_RT_INLINE F pair_sums(const F& a, const F& b) {
  F r;
#if defined(__AVX512F__)
  r.part[0] = even(a.part[0], b.part[0]) + odd(a.part[0], b.part[0]);
#else
  for (int k = 0; k < kParts / 2; ++k) {
    r.part[k] = even(a.part[2 * k], a.part[2 * k + 1]) + odd(a.part[2 * k], a.part[2 * k + 1]);
    r.part[kParts / 2 + k] = even(b.part[2 * k], b.part[2 * k + 1]) + odd(b.part[2 * k], b.part[2 * k + 1]);
  }
#endif
  return r;
}
POSE_RT_INLINE float sum(const F& a) {
  F r = pair_sums(a, a);
  r = pair_sums(r, r);
  r = pair_sums(r, r);
  r = pair_sums(r, r);
  return r.part[0][0];
}
// Lane i of the result is the sum of rows[i].
POSE_RT_INLINE F sums_of_16(const F* rows) {
  F a[8], b[4];
  for (int i = 0; i < 8; ++i) a[i] = pair_sums(rows[2 * i], rows[2 * i + 1]);
  for (int i = 0; i < 4; ++i) b[i] = pair_sums(a[2 * i], a[2 * i + 1]);
  return pair_sums(pair_sums(b[0], b[1]), pair_sums(b[2], b[3]));
}
POSE_RT_INLINE float largest(const F& a) {
  alignas(64) float lanes[16];
  store(lanes, a);
  float best = lanes[0];
  for (int i = 1; i < 16; ++i) best = lanes[i] > best ? lanes[i] : best;
  return best;
}
POSE_RT_INLINE bool any(const I& mask) {
  vi all = mask.part[0];
  for (int k = 1; k < kParts; ++k) all |= mask.part[k];
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)all, (__m512i)all) != 0;
#elif defined(__AVX2__)
  return _mm256_testz_si256((__m256i)all, (__m256i)all) == 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8((__m128i)all) != 0;
#else
  std::int32_t bits = 0;
  for (int i = 0; i < kNative; ++i) bits |= all[i];
  return bits != 0;
#endif
}

// Two packs side by side: long chains of dependent steps (log, exp) run through both at once and hide their latency.
struct F2 {
  F a, b;
};
struct I2 {
  I a, b;
};
#define POSE_RT_TWICE(T, op) \
  POSE_RT_INLINE T operator op(const T& x, const T& y) { return {x.a op y.a, x.b op y.b}; }
POSE_RT_TWICE(F2, +)
POSE_RT_TWICE(F2, -)
POSE_RT_TWICE(F2, *)
POSE_RT_TWICE(F2, /)
POSE_RT_TWICE(I2, +)
POSE_RT_TWICE(I2, -)
POSE_RT_TWICE(I2, |)
#undef POSE_RT_TWICE
POSE_RT_INLINE I2 operator<(const F2& x, const F2& y) { return {x.a < y.a, x.b < y.b}; }
POSE_RT_INLINE F2 min(const F2& x, const F2& y) { return {min(x.a, y.a), min(x.b, y.b)}; }
POSE_RT_INLINE F2 sqrt(const F2& x) { return {sqrt(x.a), sqrt(x.b)}; }
POSE_RT_INLINE F2 select(const I2& mask, const F2& x, const F2& y) { return {select(mask.a, x.a, y.a), select(mask.b, x.b, y.b)}; }
POSE_RT_INLINE F2 as_float(const I2& x) { return {as_float(x.a), as_float(x.b)}; }
POSE_RT_INLINE I2 as_int(const F2& x) { return {as_int(x.a), as_int(x.b)}; }
POSE_RT_INLINE F2 to_float(const I2& x) { return {to_float(x.a), to_float(x.b)}; }
template <int Bits>
POSE_RT_INLINE I2 shift_left(const I2& x) {
  return {shift_left<Bits>(x.a), shift_left<Bits>(x.b)};
}
template <int Bits>
POSE_RT_INLINE I2 shift_right(const I2& x) {
  return {shift_right<Bits>(x.a), shift_right<Bits>(x.b)};
}
template <int Bits>
POSE_RT_INLINE I2 shift_right_logical(const I2& x) {
  return {shift_right_logical<Bits>(x.a), shift_right_logical<Bits>(x.b)};
}

// What code that is written for one pack or two needs: the integer type, constants, memory, and a sum in the order of single packs.
template <class T>
struct Packs;
template <>
struct Packs<F> {
  static constexpr int lanes = 16;
  static POSE_RT_INLINE F set(float x) { return POSE_RT_ISA::set(x); }
  static POSE_RT_INLINE I set(std::int32_t x) { return POSE_RT_ISA::set(x); }
  static POSE_RT_INLINE F load(const float* p) { return POSE_RT_ISA::load(p); }
  static POSE_RT_INLINE I load(const std::uint32_t* p) { return POSE_RT_ISA::load(p); }
  static POSE_RT_INLINE void store(float* p, const F& x) { POSE_RT_ISA::store(p, x); }
  static POSE_RT_INLINE void add_to(F& total, const F& x) { total = total + x; }
};
template <>
struct Packs<F2> {
  static constexpr int lanes = 32;
  static POSE_RT_INLINE F2 set(float x) { return {POSE_RT_ISA::set(x), POSE_RT_ISA::set(x)}; }
  static POSE_RT_INLINE I2 set(std::int32_t x) { return {POSE_RT_ISA::set(x), POSE_RT_ISA::set(x)}; }
  static POSE_RT_INLINE F2 load(const float* p) { return {POSE_RT_ISA::load(p), POSE_RT_ISA::load(p + 16)}; }
  static POSE_RT_INLINE I2 load(const std::uint32_t* p) { return {POSE_RT_ISA::load(p), POSE_RT_ISA::load(p + 16)}; }
  static POSE_RT_INLINE void store(float* p, const F2& x) {
    POSE_RT_ISA::store(p, x.a);
    POSE_RT_ISA::store(p + 16, x.b);
  }
  static POSE_RT_INLINE void add_to(F& total, const F2& x) { total = (total + x.a) + x.b; }
};

}  // namespace pose_rt::POSE_RT_ISA
