#include "kernels.hpp"
#include "noise.hpp"

namespace pose_rt::POSE_RT_ISA {

namespace {

// out[r] = sum_m weights[r][m] * bases[m] for `Rows` rows of weights `stride` apart.
template <int Rows>
void blend(const float* bases, const float* weights, std::int64_t stride, const float* factor, std::int64_t m, std::int64_t d, float* out) {
  for (std::int64_t x = 0; x < d; x += 16) {
    F total[Rows];
    for (int r = 0; r < Rows; ++r) total[r] = set(0.0f);
    for (std::int64_t i = 0; i < m; ++i) {
      const F basis = load_upto(bases + i * d + x, d - x, 0.0f);
      for (int r = 0; r < Rows; ++r) total[r] = total[r] + basis * set(weights[r * stride + i]);
    }
    for (int r = 0; r < Rows; ++r) store_upto(out + r * d + x, total[r] * set(factor[r]), d - x);
  }
}

}  // namespace

void blend_bases(const BlendBases& a) {
  static_assert(kBlendRows == 4);
  const std::int64_t pitch = padded(a.m);
  float *w = a.scratch, *z = w + pitch, *rows = z + pitch;
  Words words;
  words.address = a.address;
  if (a.weights == nullptr) {
    // Constant logits: every coefficient starts from the same weight.
    for (std::int64_t i = 0; i < pitch; i += 16) {
      const std::int64_t left = a.m - i;
      alignas(64) float one[16], zero[16];
      for (int k = 0; k < 16; ++k) one[k] = k < left ? 1.0f : 0.0f, zero[k] = k < left ? 0.0f : kMinusInfinity;
      store(w + i, load(one));
      store(z + i, load(zero));
    }
  }
  for (std::int64_t n = 0; n < a.n; ++n) {
    const float* bases = a.bases + n * a.m * a.d;
    for (std::int64_t k = 0; k < a.k; k += kBlendRows) {
      const std::int64_t count = a.k - k < kBlendRows ? a.k - k : kBlendRows;
      float factor[kBlendRows] = {1.0f, 1.0f, 1.0f, 1.0f};
      const float* weights = a.weights == nullptr ? rows : a.weights + (n * a.k + k) * a.m;
      if (a.weights == nullptr) {
        for (std::int64_t r = 0; r < count; ++r) {
          const auto first = static_cast<std::uint64_t>((n * a.k + k + r) * a.m);
          factor[r] = 1.0f / drawn_weights(w, z, a.m, 1.0f / a.temperature, words, first, rows + r * pitch);
        }
      }
      const std::int64_t stride = a.weights == nullptr ? pitch : a.m;
      float* out = a.out + (n * a.k + k) * a.d;
      switch (count) {
        case 4:
          blend<4>(bases, weights, stride, factor, a.m, a.d, out);
          break;
        case 3:
          blend<3>(bases, weights, stride, factor, a.m, a.d, out);
          break;
        case 2:
          blend<2>(bases, weights, stride, factor, a.m, a.d, out);
          break;
        default:
          blend<1>(bases, weights, stride, factor, a.m, a.d, out);
      }
    }
  }
}

}  // namespace pose_rt::POSE_RT_ISA
