// Projection of sixteen points, in the order of operations of reference_pose.project: the same bits.
#pragma once

#include "ops.hpp"
#include "simd.hpp"

namespace pose_rt::POSE_RT_ISA {

POSE_RT_INLINE void project_points(const Camera& c, const F& x, const F& y, const F& z, F& u, F& v) {
  F ax = x / z, ay = y / z;
  if (c.clamp) {  // NaN stays NaN
    ax = max(set(-1.0f), min(set(1.0f), ax));
    ay = max(set(-1.0f), min(set(1.0f), ay));
  }
  if (c.distortion) {
    const F r2 = ax * ax + ay * ay;
    const F radial = set(1.0f) + r2 * (set(c.k1) + r2 * (set(c.k2) + r2 * set(c.k3)));
    const F factor = radial + (set(c.p1) * ax + set(c.p2) * ay);
    ax = ax * factor + set(c.p1) * r2;
    ay = ay * factor + set(c.p2) * r2;
  }
  u = set(c.fx) * ax + set(c.cx);
  v = set(c.fy) * ay + set(c.cy);
}

// Points [0, n) of a dense array; missing lanes read zero.
POSE_RT_INLINE void load3_upto(const float* p, std::int64_t n, F& x, F& y, F& z) {
  if (n >= 16) {
    load3(p, x, y, z);
    return;
  }
  alignas(64) float lanes[48];
  for (int i = 0; i < 48; ++i) lanes[i] = i < 3 * n ? p[i] : 0.0f;
  load3(lanes, x, y, z);
}
POSE_RT_INLINE void load2_upto(const float* p, std::int64_t n, F& x, F& y) {
  if (n >= 16) {
    load2(p, x, y);
    return;
  }
  alignas(64) float lanes[32];
  for (int i = 0; i < 32; ++i) lanes[i] = i < 2 * n ? p[i] : 0.0f;
  load2(lanes, x, y);
}
POSE_RT_INLINE void store2_upto(float* p, const F& x, const F& y, std::int64_t n) {
  if (n >= 16) {
    store2(p, x, y);
    return;
  }
  alignas(64) float lanes[32];
  store2(lanes, x, y);
  for (std::int64_t i = 0; i < 2 * n; ++i) p[i] = lanes[i];
}

}  // namespace pose_rt::POSE_RT_ISA
