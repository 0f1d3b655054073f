#include "camera_cuda.hpp"

namespace pose_rt::cuda {

namespace {

__global__ void project_points(Project a) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.n; i += step) {
    float u, v;
    project_point(a.camera, a.points[3 * i], a.points[3 * i + 1], a.points[3 * i + 2], u, v);
    a.out[2 * i] = u;
    a.out[2 * i + 1] = v;
  }
}

}  // namespace

void project(const Project& a, void* stream) {
  POSE_RT_LAUNCH(project_points, blocks_for(a.n), kThreads, stream, a);
  check(cudaGetLastError(), "project");
}

}  // namespace pose_rt::cuda
