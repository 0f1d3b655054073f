// One coordinate of a DDIM step, in the order of operations of reference_pose.ddim_step, for the host and the device.
#pragma once

#include "ops.hpp"
#include "philox.hpp"

namespace pose_rt {

POSE_RT_HOST_DEVICE inline float limited(float v, float limit) { return v < -limit ? -limit : v > limit ? limit : v; }  // NaN stays NaN

// `at` counts joints of all rows. Partners of a mirror change places, so each joint fills its partner's place in the mirrored half.
POSE_RT_HOST_DEVICE inline void ddim_step_at(const DdimStep& a, std::int64_t at) {
  const std::int64_t half = a.rows * a.joints, joint = at % a.joints;
  const std::int64_t partner = a.mirrored ? half + at - joint + a.mirror[joint] : 0;
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t i = 3 * at + axis;
    float predicted = a.prediction[i];
    if (a.mirrored) {
      const float seen = a.prediction[3 * partner + axis];
      predicted = (predicted + (axis == 0 ? -seen : seen)) / 2.0f;
    }
    const float clean = limited(predicted * a.scale, a.limit);
    // In double: near the start the two terms are of the order 2e4 and cancel.
    const double implied = (static_cast<double>(a.noisy[i]) * a.noisy_factor - static_cast<double>(clean)) / a.implied_divisor;
    float next = clean * a.keep + static_cast<float>(implied) * a.c;
    if (a.noise != nullptr) next = next + a.noise[i] * a.sigma;
    a.next[i] = next;
    const float input = limited(next, a.limit) / a.scale;
    a.network[i] = input;
    if (a.mirrored) a.network[3 * partner + axis] = axis == 0 ? -input : input;
  }
}

}  // namespace pose_rt
