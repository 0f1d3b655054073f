#include "heatmap.hpp"
#include "kernels.hpp"
#include "simd_math.hpp"

namespace pose_rt::POSE_RT_ISA {

namespace {

struct Box {
  std::int64_t x0, x1, y0, y1;  // x1, y1 excluded
};

struct Moments {
  float top;  // largest sigmoid
  double x, y, variance_x, variance_y;
};

Box box_round(std::int64_t x, std::int64_t y, std::int64_t radius, std::int64_t w, std::int64_t h) {
  return {x - radius > 0 ? x - radius : 0, x + radius + 1 < w ? x + radius + 1 : w, y - radius > 0 ? y - radius : 0,
          y + radius + 1 < h ? y + radius + 1 : h};
}

// Weighted mean and variance of the cells of a box; the sums run about its middle, where they keep their digits.
Moments moments(const float* map, std::int64_t w, const Box& box, bool squared) {
  const float mid_x = static_cast<float>((box.x0 + box.x1) / 2), mid_y = static_cast<float>((box.y0 + box.y1) / 2);
  const F zero = set(0.0f), one = set(1.0f);
  F top = zero, s = zero, sx = zero, sxx = zero, sy = zero, syy = zero;
  for (std::int64_t x = box.x0; x < box.x1; x += 16) {
    const std::int64_t left = box.x1 - x;
    const I inside = iota() < set(static_cast<std::int32_t>(left < 16 ? left : 16));
    const F dx = to_float(iota() + set(static_cast<std::int32_t>(x))) - set(mid_x);
    // Read sixteen cells of the row, from further left where the row ends here; `shift` lanes are then not ours.
    const std::int64_t from = x + 16 <= w ? x : w - 16;
    for (std::int64_t y = box.y0; y < box.y1; ++y) {
      F l;
      I mine = inside;
      F offset = dx;
      if (from >= 0) {
        l = load(map + y * w + from);
        const I lane = iota() + set(static_cast<std::int32_t>(from - x));
        mine = (lane > set(-1)) & (lane < set(static_cast<std::int32_t>(left < 16 ? left : 16)));
        offset = to_float(iota() + set(static_cast<std::int32_t>(from))) - set(mid_x);
      } else {
        l = load_first(map + y * w + x, left, 0.0f);
      }
      const F sigma = select(mine, one / (one + exp(zero - l)), zero), weight = squared ? sigma * sigma : sigma;
      const F dy = set(static_cast<float>(y) - mid_y), wx = weight * offset;
      top = max(top, sigma);
      s = s + weight;
      sx = sx + wx;
      sxx = sxx + wx * offset;
      sy = sy + weight * dy;
      syy = syy + weight * dy * dy;
    }
  }
  const double n = sum(s), mx = sum(sx) / n, my = sum(sy) / n;
  const double vx = sum(sxx) / n - mx * mx, vy = sum(syy) / n - my * my;
  return {largest(top), mid_x + mx, mid_y + my, vx > 0 ? vx : 0, vy > 0 ? vy : 0};
}

// The highest local maximum outside the box with logit >= cut (first in row-major order on ties); false if there is none.
bool second_mode(const float* map, std::int64_t w, std::int64_t h, const Box& box, float cut, std::int64_t& at_x, std::int64_t& at_y) {
  const F limit = set(cut);
  float best = 0.0f;
  bool found = false;
  const std::int64_t cells = w * h;
  for (std::int64_t i = 0; i < cells; i += 64) {
    I hit = set(0);
    for (std::int64_t k = i; k < i + 64 && k < cells; k += 16) hit = hit | (load_upto(map + k, cells - k, kMinusInfinity) >= limit);
    if (!any(hit)) continue;
    for (std::int64_t k = i; k < i + 64 && k < cells; ++k) {
      if (!(map[k] >= cut) || (found && !(map[k] > best))) continue;
      const std::int64_t x = k % w, y = k / w;
      if (x >= box.x0 && x < box.x1 && y >= box.y0 && y < box.y1) continue;
      if (!is_local_maximum(map, h, w, x, y)) continue;
      best = map[k];
      at_x = x;
      at_y = y;
      found = true;
    }
  }
  return found;
}

}  // namespace

void refine_heatmaps(const RefineHeatmaps& a) {
  const float nan = __builtin_nanf("");
  const double width = static_cast<double>(a.w), height = static_cast<double>(a.h);
  for (std::int64_t i = 0; i < a.maps; ++i) {
    const float* map = a.logits + i * a.h * a.w;
    a.out[2 * i] = a.points[2 * i];
    a.out[2 * i + 1] = a.points[2 * i + 1];
    a.spread[i] = a.second[2 * i] = a.second[2 * i + 1] = nan;
    const float round = a.mediapipe ? 0.0f : 0.5f;
    const float fx = a.points[2 * i] * static_cast<float>(a.w) + round, fy = a.points[2 * i + 1] * static_cast<float>(a.h) + round;
    if (!(fx >= 0.0f && fy >= 0.0f && fx < static_cast<float>(a.w) && fy < static_cast<float>(a.h))) continue;
    const Box box = box_round(static_cast<std::int64_t>(fx), static_cast<std::int64_t>(fy), a.window / 2, a.w, a.h);
    const Moments m = moments(map, a.w, box, !a.mediapipe);
    if (!(m.top >= a.threshold)) continue;
    a.out[2 * i] = static_cast<float>(m.x / width);
    a.out[2 * i + 1] = static_cast<float>(m.y / height);
    const double variance = (m.variance_x / (width * width) + m.variance_y / (height * height)) / 2;
    a.spread[i] = static_cast<float>(__builtin_sqrt(variance));
    const double least = a.threshold > kSecondRatio * m.top ? a.threshold : kSecondRatio * m.top;
    const float cut = static_cast<float>(__builtin_log(least / (1.0 - least)));
    std::int64_t x = 0, y = 0;
    if (least < 1.0 && second_mode(map, a.w, a.h, box, cut, x, y)) {
      const Moments other = moments(map, a.w, box_round(x, y, kSecondWindow, a.w, a.h), !a.mediapipe);
      a.second[2 * i] = static_cast<float>(other.x / width);
      a.second[2 * i + 1] = static_cast<float>(other.y / height);
    }
  }
}

}  // namespace pose_rt::POSE_RT_ISA
