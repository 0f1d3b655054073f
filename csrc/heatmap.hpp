// What the heatmap ops share on host and device alike.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define POSE_RT_BOTH __host__ __device__ inline
#else
#define POSE_RT_BOTH static inline
#endif

namespace pose_rt {

// Above the earlier neighbours (row-major) and not below the later ones: one cell of a plateau.
POSE_RT_BOTH bool is_local_maximum(const float* map, std::int64_t rows, std::int64_t cols, std::int64_t x, std::int64_t y) {
  const float value = map[y * cols + x];
  for (std::int64_t dy = -1; dy <= 1; ++dy) {
    for (std::int64_t dx = -1; dx <= 1; ++dx) {
      const std::int64_t nx = x + dx, ny = y + dy;
      const bool earlier = dy < 0 || (dy == 0 && dx < 0);
      // Outside counts as minus infinity: nothing is below it, and only minus infinity is not above it.
      const float near = nx < 0 || nx >= cols || ny < 0 || ny >= rows ? -__builtin_inff() : map[ny * cols + nx];
      if (earlier ? !(value > near) : !(value >= near)) return false;
    }
  }
  return true;
}

// The whole cell nearest to a coordinate, inside the map.
POSE_RT_BOTH std::int64_t nearest_cell(float coordinate, std::int64_t size) {
  const double moved = static_cast<double>(coordinate) + 0.5;
  if (!(moved >= 1.0)) return 0;
  if (moved >= static_cast<double>(size)) return size - 1;
  return static_cast<std::int64_t>(moved);
}

}  // namespace pose_rt
