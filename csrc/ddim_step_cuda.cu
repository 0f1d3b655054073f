#include "cuda_launch.hpp"
#include "ddim_step.hpp"

namespace pose_rt::cuda {

namespace {

// One thread a joint.
__global__ void ddim_step_joints(DdimStep a) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; at < a.rows * a.joints; at += step) {
    ddim_step_at(a, at);
  }
}

}  // namespace

void ddim_step(const DdimStep& a, void* stream) {
  POSE_RT_LAUNCH(ddim_step_joints, blocks_for(a.rows * a.joints), kThreads, stream, a);
  check(cudaGetLastError(), "ddim_step");
}

}  // namespace pose_rt::cuda
