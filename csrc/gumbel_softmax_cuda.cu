#include "cuda_launch.hpp"

namespace pose_rt::cuda {

namespace {

// One block a row (r, s); the row's values rest in `out` between the passes.
__global__ void gumbel_softmax_rows(GumbelSoftmax a) {
  __shared__ float buffer[kThreads];
  for (std::int64_t row = blockIdx.x; row < a.rows * a.samples; row += gridDim.x) {
    const float* logits = a.logits + row / a.samples * a.n;
    const std::int64_t at = row * a.n;
    float* out = a.out + at;
    const float inverse = a.hard ? 1.0f : 1.0f / a.temperature;  // the choice does not depend on the temperature
    float top = -infinity();
    const auto put = [&](std::int64_t i, float g) {
      const float z = (logits[i] + a.noise_scale * g) * inverse;
      out[i] = z;
      top = fmaxf(top, z);
    };
    if (a.noise_scale == 0.0f) {
      for (std::int64_t i = threadIdx.x; i < a.n; i += kThreads) put(i, 0.0f);
    } else if (a.gumbel != nullptr) {
      for (std::int64_t i = threadIdx.x; i < a.n; i += kThreads) put(i, a.gumbel[at + i]);
    } else {
      for_each_gumbel(a.address, static_cast<std::uint64_t>(at), a.n, put);
    }
    top = block_max(top, buffer);
    if (a.hard) {
      int mine = -1;
      for (std::int64_t i = threadIdx.x; i < a.n; i += kThreads) {
        if (out[i] == top && mine < 0) mine = static_cast<int>(i);
      }
      const int best = block_first(mine, buffer);
      for (std::int64_t i = threadIdx.x; i < a.n; i += kThreads) out[i] = i == best ? 1.0f : 0.0f;
    } else {
      float total = 0.0f;
      for (std::int64_t i = threadIdx.x; i < a.n; i += kThreads) {
        out[i] = expf(out[i] - top);
        total += out[i];
      }
      const float factor = 1.0f / block_sum(total, buffer);
      for (std::int64_t i = threadIdx.x; i < a.n; i += kThreads) out[i] *= factor;
    }
  }
}

}  // namespace

void gumbel_softmax(const GumbelSoftmax& a, void* stream) {
  POSE_RT_LAUNCH(gumbel_softmax_rows, blocks_of(a.rows * a.samples), kThreads, stream, a);
  check(cudaGetLastError(), "gumbel_softmax");
}

}  // namespace pose_rt::cuda
