// Runs the CUDA kernels on the host, one block at a time with a host thread for each of its threads, so that their logic is tested
// where there is no GPU (POSE_RT_CUDA=EMULATE). It proves indices, barriers and arithmetic; it proves nothing about the hardware.
#pragma once

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __shared__ static  // one block runs at a time

using cudaError_t = int;
using cudaStream_t = void*;
constexpr cudaError_t cudaSuccess = 0, cudaErrorMemoryAllocation = 2;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };

struct Index3 {
  unsigned x = 0;
};
namespace pose_rt::emulation {
inline thread_local Index3 thread_index, block_index;
inline Index3 block_size, grid_size;
inline std::barrier<>* barrier = nullptr;

template <class Kernel, class... Args>
void launch(Kernel kernel, unsigned blocks, unsigned threads, const Args&... args) {
  std::barrier<> meeting(threads);
  barrier = &meeting;
  block_size.x = threads;
  grid_size.x = blocks;
  std::vector<std::thread> team;
  for (unsigned t = 0; t < threads; ++t) {
    team.emplace_back([&, t] {
      thread_index.x = t;
      for (unsigned b = 0; b < blocks; ++b) {
        block_index.x = b;
        kernel(args...);
        meeting.arrive_and_wait();
      }
    });
  }
  for (std::thread& member : team) member.join();
}
}  // namespace pose_rt::emulation

#define threadIdx pose_rt::emulation::thread_index
#define blockIdx pose_rt::emulation::block_index
#define blockDim pose_rt::emulation::block_size
#define gridDim pose_rt::emulation::grid_size
#define __syncthreads() pose_rt::emulation::barrier->arrive_and_wait()
#define POSE_RT_LAUNCH(kernel, blocks, threads, stream, ...) \
  ((void)(stream), pose_rt::emulation::launch([](auto... a) { kernel(a...); }, blocks, threads, __VA_ARGS__))

inline const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "emulated failure"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaFreeAsync(void* p, cudaStream_t) { return std::free(p), cudaSuccess; }
inline cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t) {
  *p = std::malloc(bytes);
  return *p == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
