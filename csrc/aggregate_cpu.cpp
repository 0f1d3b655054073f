#include "camera.hpp"
#include "kernels.hpp"

namespace pose_rt::POSE_RT_ISA {

namespace {

enum class Mode { kMean, kNearest, kWeighted };

// Sixteen points (frame, joint) over all hypotheses: the mean, the spread about it and, with `kNearest`, the nearest projection.
// The variance is taken about the first hypothesis and moved to the mean, so one pass is enough and equal hypotheses give 0.
template <Mode Kind>
POSE_RT_INLINE void aggregate_block(const Aggregate& a, const float* hypotheses, const float* weights, const float* target,
                                    const float (*root)[16], std::int64_t left, float* out, float* sigma, std::int32_t* chosen) {
  const std::int64_t step = 3 * a.frames * a.joints;
  F x0, y0, z0, tx = set(0.0f), ty = set(0.0f), rx = tx, ry = tx, rz = tx;
  load3_upto(hypotheses, left, x0, y0, z0);
  if constexpr (Kind == Mode::kNearest) {
    load2_upto(target, left, tx, ty);
    rx = load(root[0]);
    ry = load(root[1]);
    rz = load(root[2]);
  }
  const F zero = set(0.0f);
  F sx = zero, sy = zero, sz = zero, squares = zero, bx = zero, by = zero, bz = zero;
  F nearest = set(__builtin_inff());
  I best = set(-1);
  float total = Kind == Mode::kWeighted ? 0.0f : static_cast<float>(a.count);
  for (std::int64_t h = 0; h < a.count; ++h) {
    F x, y, z;
    load3_upto(hypotheses + h * step, left, x, y, z);
    const F dx = x - x0, dy = y - y0, dz = z - z0, square = dx * dx + dy * dy + dz * dz;
    if constexpr (Kind == Mode::kWeighted) {
      const F w = set(weights[h]);
      total += weights[h];
      sx = sx + w * dx;
      sy = sy + w * dy;
      sz = sz + w * dz;
      squares = squares + w * square;
    } else {
      sx = sx + dx;
      sy = sy + dy;
      sz = sz + dz;
      squares = squares + square;
    }
    if constexpr (Kind == Mode::kNearest) {
      F u, v;
      project_points(a.camera, x + rx, y + ry, z + rz, u, v);
      const F du = u - tx, dv = v - ty, distance = du * du + dv * dv;
      const I nearer = distance < nearest;  // false for NaN
      nearest = select(nearer, distance, nearest);
      best = select(nearer, set(static_cast<std::int32_t>(h)), best);
      bx = select(nearer, x, bx);
      by = select(nearer, y, by);
      bz = select(nearer, z, bz);
    }
  }
  const F n = set(total), mx = sx / n, my = sy / n, mz = sz / n;
  const F variance = (squares / n - (mx * mx + my * my + mz * mz)) / set(3.0f);
  F ox = x0 + mx, oy = y0 + my, oz = z0 + mz;
  if constexpr (Kind == Mode::kNearest) {
    const I found = best > set(-1);
    ox = select(found, bx, ox);
    oy = select(found, by, oy);
    oz = select(found, bz, oz);
  }
  const F deviation = sqrt(max(set(0.0f), variance));
  if (left >= 16) {
    store3(out, ox, oy, oz);
    store(sigma, deviation);
    store(chosen, best);
    return;
  }
  alignas(64) float points[48], spread[16];
  alignas(64) std::int32_t index[16];
  store3(points, ox, oy, oz);
  store(spread, deviation);
  store(index, best);
  for (std::int64_t i = 0; i < 3 * left; ++i) out[i] = points[i];
  for (std::int64_t i = 0; i < left; ++i) sigma[i] = spread[i], chosen[i] = index[i];
}

template <Mode Kind>
void aggregate_person(const Aggregate& a, std::int64_t p) {
  const std::int64_t points = a.frames * a.joints;
  const float* weights = a.weights == nullptr ? nullptr : a.weights + p * a.count;
  for (std::int64_t start = 0; start < points; start += 16) {
    // A last short block starts early and computes some points twice: cheaper than reading them one by one.
    const std::int64_t i = points - start < 16 && points >= 16 ? points - 16 : start;
    alignas(64) float root[3][16];
    if constexpr (Kind == Mode::kNearest) {
      std::int64_t frame = i / a.joints, joint = i % a.joints;
      const float* r = a.root + 3 * (p * a.frames + frame);
      for (int k = 0; k < 16; ++k) {
        for (int c = 0; c < 3; ++c) root[c][k] = r[c];
        if (++joint == a.joints && frame + 1 < a.frames) joint = 0, ++frame, r += 3;
      }
    }
    const std::int64_t at = p * points + i;
    aggregate_block<Kind>(a, a.hypotheses + 3 * (p * a.count * points + i), weights, Kind == Mode::kNearest ? a.target + 2 * at : nullptr,
                          root, points - i, a.out + 3 * at, a.sigma + at, a.chosen + at);
  }
}

}  // namespace

void aggregate(const Aggregate& a) {
  for (std::int64_t p = 0; p < a.people; ++p) {
    if (a.target != nullptr) {
      aggregate_person<Mode::kNearest>(a, p);
    } else if (a.weights != nullptr) {
      aggregate_person<Mode::kWeighted>(a, p);
    } else {
      aggregate_person<Mode::kMean>(a, p);
    }
  }
}

}  // namespace pose_rt::POSE_RT_ISA
