#include "cuda_launch.hpp"
#include "heatmap.hpp"

namespace pose_rt::cuda {

namespace {

struct Box {
  std::int64_t x0, x1, y0, y1;  // x1, y1 excluded

  __device__ bool holds(std::int64_t x, std::int64_t y) const { return x >= x0 && x < x1 && y >= y0 && y < y1; }
};

struct Moments {
  float top, x, y, variance_x, variance_y;
};

__device__ Box box_round(std::int64_t x, std::int64_t y, std::int64_t radius, std::int64_t w, std::int64_t h) {
  return {x - radius > 0 ? x - radius : 0, x + radius + 1 < w ? x + radius + 1 : w, y - radius > 0 ? y - radius : 0,
          y + radius + 1 < h ? y + radius + 1 : h};
}

// Weighted mean and variance of the cells of a box, summed about its middle; all threads of the block get them.
__device__ Moments moments(const float* map, std::int64_t w, const Box& box, bool squared, float* buffer) {
  const std::int64_t width = box.x1 - box.x0, cells = width * (box.y1 - box.y0);
  const float mid_x = static_cast<float>((box.x0 + box.x1) / 2), mid_y = static_cast<float>((box.y0 + box.y1) / 2);
  float top = 0.0f, s = 0.0f, sx = 0.0f, sxx = 0.0f, sy = 0.0f, syy = 0.0f;
  for (std::int64_t i = threadIdx.x; i < cells; i += kThreads) {
    const std::int64_t x = box.x0 + i % width, y = box.y0 + i / width;
    const float sigma = 1.0f / (1.0f + expf(-map[y * w + x])), weight = squared ? sigma * sigma : sigma;
    const float dx = static_cast<float>(x) - mid_x, dy = static_cast<float>(y) - mid_y;
    top = fmaxf(top, sigma);
    s += weight;
    sx += weight * dx;
    sxx += weight * dx * dx;
    sy += weight * dy;
    syy += weight * dy * dy;
  }
  top = block_max(top, buffer);
  s = block_sum(s, buffer);
  const float mx = block_sum(sx, buffer) / s, my = block_sum(sy, buffer) / s;
  const float vx = block_sum(sxx, buffer) / s - mx * mx, vy = block_sum(syy, buffer) / s - my * my;
  return {top, mid_x + mx, mid_y + my, fmaxf(vx, 0.0f), fmaxf(vy, 0.0f)};
}

// One block a map.
__global__ void refine_maps(RefineHeatmaps a) {
  __shared__ float buffer[kThreads];
  const float nan = __builtin_nanf(""), width = static_cast<float>(a.w), height = static_cast<float>(a.h);
  for (std::int64_t i = blockIdx.x; i < a.maps; i += gridDim.x) {
    const float* map = a.logits + i * a.h * a.w;
    float x = a.points[2 * i], y = a.points[2 * i + 1], spread = nan, second_x = nan, second_y = nan;
    const float round = a.mediapipe ? 0.0f : 0.5f, fx = x * width + round, fy = y * height + round;
    // Whether a map is skipped is the same for all threads of its block: nobody waits alone.
    if (fx >= 0.0f && fy >= 0.0f && fx < width && fy < height) {
      const Box box = box_round(static_cast<std::int64_t>(fx), static_cast<std::int64_t>(fy), a.window / 2, a.w, a.h);
      const Moments m = moments(map, a.w, box, !a.mediapipe, buffer);
      if (m.top >= a.threshold) {
        x = m.x / width;
        y = m.y / height;
        spread = sqrtf((m.variance_x / (width * width) + m.variance_y / (height * height)) / 2.0f);
        const double least = a.threshold > kSecondRatio * m.top ? a.threshold : kSecondRatio * m.top;
        const float cut = least < 1.0 ? static_cast<float>(log(least / (1.0 - least))) : infinity();
        float best = -infinity();
        int at = -1;
        for (std::int64_t k = threadIdx.x; k < a.h * a.w; k += kThreads) {
          if (map[k] >= cut && map[k] > best && !box.holds(k % a.w, k / a.w) && is_local_maximum(map, a.h, a.w, k % a.w, k / a.w)) {
            best = map[k];
            at = static_cast<int>(k);
          }
        }
        const float highest = block_max(best, buffer);
        const int where = block_first(at >= 0 && best == highest ? at : -1, buffer);
        if (where >= 0) {
          const Moments other = moments(map, a.w, box_round(where % a.w, where / a.w, kSecondWindow, a.w, a.h), !a.mediapipe, buffer);
          second_x = other.x / width;
          second_y = other.y / height;
        }
      }
    }
    if (threadIdx.x == 0) {
      a.out[2 * i] = x;
      a.out[2 * i + 1] = y;
      a.spread[i] = spread;
      a.second[2 * i] = second_x;
      a.second[2 * i + 1] = second_y;
    }
  }
}

}  // namespace

void refine_heatmaps(const RefineHeatmaps& a, void* stream) {
  POSE_RT_LAUNCH(refine_maps, blocks_of(a.maps), kThreads, stream, a);
  check(cudaGetLastError(), "refine_heatmaps");
}

}  // namespace pose_rt::cuda
