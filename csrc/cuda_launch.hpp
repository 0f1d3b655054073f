// What every .cu file starts from: the runtime (or its emulation on the host), launches, and reductions within a block. Sums run over
// a fixed tree, never over atomics: the same launch gives the same bits.
#pragma once

#ifdef POSE_RT_EMULATE_CUDA
#include "cuda_emulation.hpp"
#else
#include <cuda_runtime.h>
#define POSE_RT_LAUNCH(kernel, blocks, threads, stream, ...) kernel<<<blocks, threads, 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#endif

#include <cstdint>
#include <stdexcept>
#include <string>

#include "ops.hpp"
#include "philox.hpp"

namespace pose_rt::cuda {

#ifdef POSE_RT_EMULATE_CUDA
constexpr int kThreads = 32;  // host threads: fewer are quicker and prove the same
#else
constexpr int kThreads = 128;
#endif

inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(error));
}

// Blocks for n items of one thread each; grids have at most 2^31 - 1 blocks, kernels stride over the rest.
inline unsigned blocks_for(std::int64_t n) {
  const std::int64_t blocks = (n + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < 1048576 ? blocks : 1048576);
}
inline unsigned blocks_of(std::int64_t n) { return static_cast<unsigned>(n < 1048576 ? n : 1048576); }

__device__ inline float infinity() { return __builtin_inff(); }

// Every thread gets the result. `buffer` is shared, kThreads long.
__device__ inline float block_sum(float value, float* buffer) {
  buffer[threadIdx.x] = value;
  __syncthreads();
  for (int step = kThreads / 2; step > 0; step /= 2) {
    if (static_cast<int>(threadIdx.x) < step) buffer[threadIdx.x] += buffer[threadIdx.x + step];
    __syncthreads();
  }
  const float result = buffer[0];
  __syncthreads();
  return result;
}
__device__ inline float block_max(float value, float* buffer) {
  buffer[threadIdx.x] = value;
  __syncthreads();
  for (int step = kThreads / 2; step > 0; step /= 2) {
    if (static_cast<int>(threadIdx.x) < step) buffer[threadIdx.x] = fmaxf(buffer[threadIdx.x], buffer[threadIdx.x + step]);
    __syncthreads();
  }
  const float result = buffer[0];
  __syncthreads();
  return result;
}
// Smallest index, -1 (no candidate) loses.
__device__ inline int block_first(int index, float* buffer) {
  int* const slots = reinterpret_cast<int*>(buffer);
  slots[threadIdx.x] = index;
  __syncthreads();
  for (int step = kThreads / 2; step > 0; step /= 2) {
    if (static_cast<int>(threadIdx.x) < step) {
      const int a = slots[threadIdx.x], b = slots[threadIdx.x + step];
      slots[threadIdx.x] = a < 0 ? b : b < 0 ? a : a < b ? a : b;
    }
    __syncthreads();
  }
  const int result = slots[0];
  __syncthreads();
  return result;
}

// Calls f(i, g) for i in [0, n) with g = -log(-log u) of word first + i, four words a Philox call, spread over the block's threads.
template <class Function>
__device__ inline void for_each_gumbel(const Address& a, std::uint64_t first, std::int64_t n, Function f) {
  const std::uint64_t from = first / 4, to = (first + static_cast<std::uint64_t>(n) + 3) / 4;
  for (std::uint64_t counter = from + threadIdx.x; counter < to; counter += kThreads) {
    const PhiloxWords words = philox(static_cast<std::uint32_t>(counter), a.stream, a.frame, a.track, a.seed);
    for (int lane = 0; lane < 4; ++lane) {
      const std::int64_t i = static_cast<std::int64_t>(4 * counter + static_cast<std::uint64_t>(lane)) - static_cast<std::int64_t>(first);
      if (i >= 0 && i < n) f(i, -logf(-logf(to_uniform(words.of[lane]))));
    }
  }
}
__device__ inline float uniform_at(const Address& a, std::uint64_t index) {
  return to_uniform(philox(static_cast<std::uint32_t>(index / 4), a.stream, a.frame, a.track, a.seed).of[index % 4]);
}

}  // namespace pose_rt::cuda
