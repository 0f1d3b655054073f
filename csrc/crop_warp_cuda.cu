#include "cuda_launch.hpp"

namespace pose_rt::cuda {

namespace {

__device__ double limit(double v, double high) { return v < -1.0 ? -1.0 : v > high ? high : v; }

__device__ float tap(const CropWarp& a, std::int64_t x, std::int64_t y, int channel) {
  if (x < 0 || y < 0 || x >= a.w || y >= a.h) {
    if (a.zero_border) return 0.0f;
    x = x < 0 ? 0 : x >= a.w ? a.w - 1 : x;
    y = y < 0 ? 0 : y >= a.h ? a.h - 1 : y;
  }
  return static_cast<float>(a.image[(y * a.w + x) * 3 + channel]);
}

// One thread an output pixel, all channels, in the order of operations of reference_frame.crop_warp.
__global__ void crop_pixels(CropWarp a) {
  const std::int64_t area = a.size * a.size, step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; at < a.people * area; at += step) {
    const std::int64_t person = at / area, pixel = at % area, i = pixel % a.size, j = pixel / a.size;
    const float* roi = a.roi + 4 * person;
    const double size = static_cast<double>(a.size), side = roi[2], cosine = cos(static_cast<double>(roi[3])),
                 sine = sin(static_cast<double>(roi[3]));
    const double u = (static_cast<double>(i) / size - 0.5) * side, v = (static_cast<double>(j) / size - 0.5) * side;
    double x = limit((u * cosine - v * sine) + roi[0], static_cast<double>(a.w)),
           y = limit((u * sine + v * cosine) + roi[1], static_cast<double>(a.h));
    if (a.rounding == Rounding::kFixedPoint) {
      x = rint(x * 32.0) / 32.0;
      y = rint(y * 32.0) / 32.0;
    }
    const double left = floor(x), above = floor(y);
    const float fx = static_cast<float>(x - left), fy = static_cast<float>(y - above);
    const auto x0 = static_cast<std::int64_t>(left), y0 = static_cast<std::int64_t>(above);
    for (int channel = 0; channel < 3; ++channel) {
      const float p = tap(a, x0, y0, channel), q = tap(a, x0 + 1, y0, channel), r = tap(a, x0, y0 + 1, channel),
                  s = tap(a, x0 + 1, y0 + 1, channel);
      const float top = p + fx * (q - p);
      float value = top + fy * ((r + fx * (s - r)) - top);
      if (a.rounding == Rounding::kFixedPoint) value = floorf(value + 0.5f);
      if (a.rounding == Rounding::kU8) value = rintf(value);
      const int to = a.swap_channels ? 2 - channel : channel;
      a.out[(3 * person + to) * area + pixel] = value * a.scale[to] + a.bias[to];
    }
  }
}

}  // namespace

void crop_warp(const CropWarp& a, void* stream) {
  POSE_RT_LAUNCH(crop_pixels, blocks_for(a.people * a.size * a.size), kThreads, stream, a);
  check(cudaGetLastError(), "crop_warp");
}

}  // namespace pose_rt::cuda
