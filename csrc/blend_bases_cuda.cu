#include "cuda_launch.hpp"

namespace pose_rt::cuda {

namespace {

// One block an output row (n, k): its weights in shared memory, drawn there or read, then one thread an output column.
__global__ void blend_rows(BlendBases a) {
  __shared__ float buffer[kThreads], weights[kMaxBases];
  for (std::int64_t row = blockIdx.x; row < a.n * a.k; row += gridDim.x) {
    float factor = 1.0f;
    if (a.weights != nullptr) {
      for (std::int64_t i = threadIdx.x; i < a.m; i += kThreads) weights[i] = a.weights[row * a.m + i];
    } else {
      float top = -infinity(), total = 0.0f;
      for_each_gumbel(a.address, static_cast<std::uint64_t>(row * a.m), a.m, [&](std::int64_t i, float g) {
        weights[i] = g / a.temperature;
        top = fmaxf(top, weights[i]);
      });
      top = block_max(top, buffer);
      for (std::int64_t i = threadIdx.x; i < a.m; i += kThreads) {
        weights[i] = expf(weights[i] - top);
        total += weights[i];
      }
      factor = 1.0f / block_sum(total, buffer);
    }
    __syncthreads();
    const float* bases = a.bases + row / a.k * a.m * a.d;
    for (std::int64_t x = threadIdx.x; x < a.d; x += kThreads) {
      float total = 0.0f;
      for (std::int64_t i = 0; i < a.m; ++i) total += weights[i] * bases[i * a.d + x];
      a.out[row * a.d + x] = total * factor;
    }
    __syncthreads();
  }
}

}  // namespace

void blend_bases(const BlendBases& a, void* stream) {
  POSE_RT_LAUNCH(blend_rows, blocks_of(a.n * a.k), kThreads, stream, a);
  check(cudaGetLastError(), "blend_bases");
}

}  // namespace pose_rt::cuda
