#include "camera_cuda.hpp"

namespace pose_rt::cuda {

namespace {

// One thread a point (person, frame, joint), over all hypotheses.
__global__ void aggregate_points(Aggregate a) {
  const std::int64_t points = a.frames * a.joints, step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; at < a.people * points; at += step) {
    const std::int64_t person = at / points, point = at % points;
    const float* first = a.hypotheses + 3 * (person * a.count * points + point);
    const float* root = a.target == nullptr ? nullptr : a.root + 3 * (person * a.frames + point / a.joints);
    float total = 0.0f, sum[3] = {}, square[3] = {}, picked[3] = {}, nearest = infinity();
    std::int32_t best = -1;
    for (std::int64_t h = 0; h < a.count; ++h) {
      const float* p = first + 3 * h * points;
      const float weight = a.weights == nullptr ? 1.0f : a.weights[person * a.count + h];
      total += weight;
      for (int c = 0; c < 3; ++c) {
        const float d = p[c] - first[c], wd = weight * d;
        sum[c] += wd;
        square[c] += wd * d;
      }
      if (root != nullptr) {
        float u, v;
        project_point(a.camera, p[0] + root[0], p[1] + root[1], p[2] + root[2], u, v);
        const float du = u - a.target[2 * at], dv = v - a.target[2 * at + 1], distance = du * du + dv * dv;
        if (distance < nearest) {  // false for NaN
          nearest = distance;
          best = static_cast<std::int32_t>(h);
          for (int c = 0; c < 3; ++c) picked[c] = p[c];
        }
      }
    }
    float variance = 0.0f;
    for (int c = 0; c < 3; ++c) {
      const float mean = sum[c] / total;
      variance += square[c] / total - mean * mean;
      a.out[3 * at + c] = best < 0 ? first[c] + mean : picked[c];
    }
    variance /= 3.0f;
    a.sigma[at] = sqrtf(variance < 0.0f ? 0.0f : variance);
    a.chosen[at] = best;
  }
}

}  // namespace

void aggregate(const Aggregate& a, void* stream) {
  POSE_RT_LAUNCH(aggregate_points, blocks_for(a.people * a.frames * a.joints), kThreads, stream, a);
  check(cudaGetLastError(), "aggregate");
}

}  // namespace pose_rt::cuda
