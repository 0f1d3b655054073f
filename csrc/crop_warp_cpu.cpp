#include "kernels.hpp"
#include "simd.hpp"

namespace pose_rt::POSE_RT_ISA {

namespace {

// A run of output pixels of one row: fractions, and the four neighbours of each as packed words of three bytes. The run is fetched
// before it is interpolated, so that the vector loads do not wait for single stores.
constexpr std::int64_t kRun = 128;
struct Taps {
  alignas(64) std::int32_t x[16], y[16];
  alignas(64) std::uint32_t offset[16];
  alignas(64) float fx[kRun], fy[kRun];
  alignas(64) std::uint32_t a[kRun], b[kRun], c[kRun], d[kRun];
};

POSE_RT_INLINE double limit(double v, double high) { return v < -1.0 ? -1.0 : v > high ? high : v; }

// Sixteen pixels from `at` on, in the order of operations of reference_frame.crop_warp, in double: the same cells.
POSE_RT_INLINE void locate(const double* u, double vx, double vy, double cos, double sin, double cx, double cy, std::int32_t w,
                           std::int32_t h, bool fixed, Taps& t, std::int64_t at) {
  constexpr double kMagic = 6755399441055744.0;  // adding it rounds to whole numbers, half to even
  for (int i = 0; i < 16; ++i) {
    double x = limit((u[i] * cos - vx) + cx, w), y = limit((u[i] * sin + vy) + cy, h);
    if (fixed) {
      x = ((x * 32.0 + kMagic) - kMagic) / 32.0;
      y = ((y * 32.0 + kMagic) - kMagic) / 32.0;
    }
    t.x[i] = static_cast<std::int32_t>(x + 1.0) - 1;
    t.y[i] = static_cast<std::int32_t>(y + 1.0) - 1;
    t.fx[at + i] = static_cast<float>(x - static_cast<double>(t.x[i]));
    t.fy[at + i] = static_cast<float>(y - static_cast<double>(t.y[i]));
    t.offset[i] = (static_cast<std::uint32_t>(t.y[i]) * static_cast<std::uint32_t>(w) + static_cast<std::uint32_t>(t.x[i])) * 3u;
  }
}

POSE_RT_INLINE bool all_inside(const Taps& t, std::int32_t w, std::int32_t h) {
  // Two spare pixels to the right: eight bytes are read where six are needed.
  const I x = load(t.x), y = load(t.y), zero = set(0);
  return !any((x < zero) | (x > set(w - 3)) | (y < zero) | (y > set(h - 2)));
}

POSE_RT_INLINE void fetch_inside(const std::uint8_t* image, std::int64_t w, Taps& t, std::int64_t at) {
  const std::uint8_t* below = image + 3 * w;
  for (int i = 0; i < 16; ++i) {
    std::uint64_t upper, lower;
    __builtin_memcpy(&upper, image + t.offset[i], 8);
    __builtin_memcpy(&lower, below + t.offset[i], 8);
    t.a[at + i] = static_cast<std::uint32_t>(upper);
    t.b[at + i] = static_cast<std::uint32_t>(upper >> 24);
    t.c[at + i] = static_cast<std::uint32_t>(lower);
    t.d[at + i] = static_cast<std::uint32_t>(lower >> 24);
  }
}

std::uint32_t pixel(const CropWarp& a, std::int64_t x, std::int64_t y) {
  if (x < 0 || y < 0 || x >= a.w || y >= a.h) {
    if (a.zero_border) return 0;
    x = x < 0 ? 0 : x >= a.w ? a.w - 1 : x;
    y = y < 0 ? 0 : y >= a.h ? a.h - 1 : y;
  }
  const std::uint8_t* p = a.image + (y * a.w + x) * 3;
  return static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 | static_cast<std::uint32_t>(p[2]) << 16;
}

void fetch_edge(const CropWarp& a, Taps& t, std::int64_t at) {
  for (int i = 0; i < 16; ++i) {
    t.a[at + i] = pixel(a, t.x[i], t.y[i]);
    t.b[at + i] = pixel(a, t.x[i] + 1, t.y[i]);
    t.c[at + i] = pixel(a, t.x[i], t.y[i] + 1);
    t.d[at + i] = pixel(a, t.x[i] + 1, t.y[i] + 1);
  }
}

template <Rounding R, int Channel>
POSE_RT_INLINE void write_channel(const CropWarp& a, const Taps& t, std::int64_t at, float* out, std::int64_t left) {
  const I byte = set(255);
  const auto channel = [&](const std::uint32_t* words) { return to_float(shift_right_logical<8 * Channel>(load(words + at)) & byte); };
  const F fx = load(t.fx + at), fy = load(t.fy + at);
  const F p = channel(t.a), q = channel(t.b), r = channel(t.c), s = channel(t.d);
  const F top = p + fx * (q - p);
  F value = top + fy * ((r + fx * (s - r)) - top);
  if constexpr (R == Rounding::kFixedPoint) value = to_float(truncate(value + set(0.5f)));
  if constexpr (R == Rounding::kU8) value = (value + set(12582912.0f)) - set(12582912.0f);
  const int to = a.swap_channels ? 2 - Channel : Channel;
  store_upto(out + to * a.size * a.size, value * set(a.scale[to]) + set(a.bias[to]), left);
}

template <Rounding R>
void crop(const CropWarp& a, std::int64_t p) {
  const double cx = a.roi[4 * p], cy = a.roi[4 * p + 1], side = a.roi[4 * p + 2], angle = a.roi[4 * p + 3];
  const double cos = __builtin_cos(angle), sin = __builtin_sin(angle);
  const auto w = static_cast<std::int32_t>(a.w), h = static_cast<std::int32_t>(a.h);
  double* u = a.scratch;
  for (std::int64_t i = 0; i < padded(a.size); ++i) u[i] = (static_cast<double>(i) / static_cast<double>(a.size) - 0.5) * side;
  float* out = a.out + 3 * p * a.size * a.size;
  Taps t;
  for (std::int64_t j = 0; j < a.size; ++j) {
    const double vx = u[j] * sin, vy = u[j] * cos;
    for (std::int64_t start = 0; start < a.size; start += kRun) {
      const std::int64_t count = a.size - start < kRun ? a.size - start : kRun;
      for (std::int64_t i = 0; i < count; i += 16) {
        locate(u + start + i, vx, vy, cos, sin, cx, cy, w, h, R == Rounding::kFixedPoint, t, i);
        if (all_inside(t, w, h)) {
          fetch_inside(a.image, a.w, t, i);
        } else {
          fetch_edge(a, t, i);
        }
      }
      float* row = out + j * a.size + start;
      for (std::int64_t i = 0; i < count; i += 16) {
        write_channel<R, 0>(a, t, i, row + i, count - i);
        write_channel<R, 1>(a, t, i, row + i, count - i);
        write_channel<R, 2>(a, t, i, row + i, count - i);
      }
    }
  }
}

}  // namespace

void crop_warp(const CropWarp& a) {
  for (std::int64_t p = 0; p < a.people; ++p) {
    switch (a.rounding) {
      case Rounding::kNone:
        crop<Rounding::kNone>(a, p);
        break;
      case Rounding::kU8:
        crop<Rounding::kU8>(a, p);
        break;
      default:
        crop<Rounding::kFixedPoint>(a, p);
    }
  }
}

}  // namespace pose_rt::POSE_RT_ISA
