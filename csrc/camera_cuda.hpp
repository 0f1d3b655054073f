// Projection of one point, in the order of operations of reference_pose.project.
#pragma once

#include "cuda_launch.hpp"

namespace pose_rt::cuda {

__device__ inline float clamp_one(float v) { return v < -1.0f ? -1.0f : v > 1.0f ? 1.0f : v; }  // NaN stays NaN

__device__ inline void project_point(const Camera& c, float x, float y, float z, float& u, float& v) {
  float ax = x / z, ay = y / z;
  if (c.clamp) {
    ax = clamp_one(ax);
    ay = clamp_one(ay);
  }
  if (c.distortion) {
    const float r2 = ax * ax + ay * ay, radial = 1.0f + r2 * (c.k1 + r2 * (c.k2 + r2 * c.k3));
    const float factor = radial + (c.p1 * ax + c.p2 * ay);
    ax = ax * factor + c.p1 * r2;
    ay = ay * factor + c.p2 * r2;
  }
  u = c.fx * ax + c.cx;
  v = c.fy * ay + c.cy;
}

}  // namespace pose_rt::cuda
