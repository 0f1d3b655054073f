#include "cuda_launch.hpp"
#include "heatmap.hpp"

namespace pose_rt::cuda {

namespace {

constexpr int kBand = 7168;  // cells that lie in shared memory at a time

// The cells that take part: the whole map, or a window with minus infinity outside the map.
struct View {
  const float* map;
  std::int64_t h, w, rows, cols, x0, y0;

  __device__ float at(std::int64_t x, std::int64_t y) const {
    x += x0;
    y += y0;
    return x >= 0 && x < w && y >= 0 && y < h ? map[y * w + x] : -infinity();
  }
};

__device__ View view_of(const SampleCoordinates& a, std::int64_t joint) {
  View v{a.heatmap + joint * a.h * a.w, a.h, a.w, a.h, a.w, 0, 0};
  if (a.centres != nullptr) {
    v.rows = v.cols = a.window;
    v.x0 = nearest_cell(a.centres[2 * joint], a.w) - a.window / 2;
    v.y0 = nearest_cell(a.centres[2 * joint + 1], a.h) - a.window / 2;
  }
  return v;
}

__device__ float kernel_draw(const SampleCoordinates& a, std::int64_t index) {
  if (a.kernel != nullptr) return a.kernel[index];
  Address address = a.address;
  address.stream = kStreamKernel;
  const auto i = static_cast<std::uint64_t>(index);
  if (a.basis != Basis::kGaussian) return uniform_at(address, i);
  // Box-Muller on the pair of words that this draw belongs to.
  const float radius = sqrtf(-2.0f * logf(uniform_at(address, i & ~std::uint64_t{1}))), angle = 6.2831853f * uniform_at(address, i | 1);
  return radius * (i % 2 == 0 ? cosf(angle) : sinf(angle));
}

// reference.axis_positions; the marginal has a zero on both sides (p[-1], p[n]).
__device__ float axis_position(const SampleCoordinates& a, const float* p, std::int64_t n, std::int64_t draws, float* buffer) {
  float weights = 0.0f, moment = 0.0f;
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) {
    const float v = kernel_draw(a, draws + i), cell = static_cast<float>(i);
    float weight = p[i], position = cell + v;
    if (a.basis == Basis::kUniform) position -= 0.5f;
    if (a.basis == Basis::kGaussian) weight *= expf(-2.0f * v * v);
    if (a.basis == Basis::kTriangular) {
      const bool left = v < 0.5f;
      const float root = sqrtf(left ? 2.0f * v : fmaxf(0.0f, 2.0f - 2.0f * v)), e = left ? root - 1.0f : 1.0f - root;
      const float low = left ? p[i - 1] : p[i], high = left ? p[i] : p[i + 1];
      position = cell + e;
      weight = low + (left ? root : e) * (high - low);
    }
    weights += weight;
    moment += weight * position;
  }
  moment = block_sum(moment, buffer);
  return moment / block_sum(weights, buffer);
}

// One block a draw. Weights pass through shared memory band by band; the marginals are rescaled when a band has a larger maximum.
__global__ void draw_coordinates(SampleCoordinates a) {
  __shared__ float buffer[kThreads], band[kBand], marginal_x[kMaxAxis + 2], marginal_y[kMaxAxis + 2];
  float *px = marginal_x + 1, *py = marginal_y + 1;
  for (std::int64_t row = blockIdx.x; row < a.joints * a.samples; row += gridDim.x) {
    const View v = view_of(a, row / a.samples);
    const float power = a.noise_scale / a.temperature, inverse = 1.0f / a.temperature;
    Address address = a.address;
    address.stream = kStreamGumbel;
    for (std::int64_t i = threadIdx.x; i < v.cols + 2; i += kThreads) marginal_x[i] = 0.0f;
    for (std::int64_t i = threadIdx.x; i < v.rows + 2; i += kThreads) marginal_y[i] = 0.0f;
    __syncthreads();
    float top = -infinity();
    const std::int64_t rows_a_band = kBand / v.cols;
    for (std::int64_t y0 = 0; y0 < v.rows; y0 += rows_a_band) {
      const std::int64_t rows = v.rows - y0 < rows_a_band ? v.rows - y0 : rows_a_band, cells = rows * v.cols;
      const std::int64_t first = row * v.rows * v.cols + y0 * v.cols;
      float mine = -infinity();
      const auto put = [&](std::int64_t i, float g) {
        const float z = v.at(i % v.cols, y0 + i / v.cols) * inverse + power * g;
        band[i] = z;
        mine = fmaxf(mine, z);
      };
      if (power == 0.0f) {
        for (std::int64_t i = threadIdx.x; i < cells; i += kThreads) put(i, 0.0f);
      } else if (a.gumbel != nullptr) {
        for (std::int64_t i = threadIdx.x; i < cells; i += kThreads) put(i, a.gumbel[first + i]);
      } else {
        for_each_gumbel(address, static_cast<std::uint64_t>(first), cells, put);
      }
      const float higher = fmaxf(top, block_max(mine, buffer));
      if (higher == -infinity()) continue;  // a band of the window that lies outside the map; the same for all threads
      const float rescale = expf(top - higher);
      top = higher;
      for (std::int64_t i = threadIdx.x; i < cells; i += kThreads) band[i] = expf(band[i] - top);
      __syncthreads();
      for (std::int64_t x = threadIdx.x; x < v.cols; x += kThreads) {
        float total = 0.0f;
        for (std::int64_t y = 0; y < rows; ++y) total += band[y * v.cols + x];
        px[x] = px[x] * rescale + total;
      }
      for (std::int64_t y = threadIdx.x; y < v.rows; y += kThreads) {
        float total = 0.0f;
        if (y >= y0 && y < y0 + rows) {
          for (std::int64_t x = 0; x < v.cols; ++x) total += band[(y - y0) * v.cols + x];
        }
        py[y] = py[y] * rescale + total;
      }
      __syncthreads();
    }
    const std::int64_t draws = row * (v.cols + v.rows);
    const float x = axis_position(a, px, v.cols, draws, buffer), y = axis_position(a, py, v.rows, draws + v.cols, buffer);
    if (threadIdx.x == 0) {
      a.samples_out[2 * row] = x + static_cast<float>(v.x0);
      a.samples_out[2 * row + 1] = y + static_cast<float>(v.y0);
    }
    __syncthreads();
  }
}

// Above its earlier neighbours and not below its later ones, within the view (heatmap.hpp does the same on a plain map).
__device__ bool is_peak(const View& v, std::int64_t x, std::int64_t y) {
  const float value = v.at(x, y);
  for (int k = 0; k < 9; ++k) {
    const std::int64_t nx = x + k % 3 - 1, ny = y + k / 3 - 1;
    const float near = nx < 0 || ny < 0 || nx >= v.cols || ny >= v.rows ? -infinity() : v.at(nx, ny);
    if (k < 4 ? !(value > near) : !(value >= near)) return false;
  }
  return true;
}

// One block a joint: mean, covariance and second mode of softmax(l / temperature).
__global__ void describe_density(SampleCoordinates a) {
  __shared__ float buffer[kThreads];
  for (std::int64_t joint = blockIdx.x; joint < a.joints; joint += gridDim.x) {
    const View v = view_of(a, joint);
    const std::int64_t cells = v.rows * v.cols;
    float top = -infinity();
    for (std::int64_t i = threadIdx.x; i < cells; i += kThreads) top = fmaxf(top, v.at(i % v.cols, i / v.cols));
    top = block_max(top, buffer);
    float s = 0.0f, sx = 0.0f, sy = 0.0f, sxx = 0.0f, sxy = 0.0f, syy = 0.0f;
    for (std::int64_t i = threadIdx.x; i < cells; i += kThreads) {
      const float p = expf((v.at(i % v.cols, i / v.cols) - top) / a.temperature);
      s += p;
      sx += p * static_cast<float>(i % v.cols);
      sy += p * static_cast<float>(i / v.cols);
    }
    s = block_sum(s, buffer);
    const float mx = block_sum(sx, buffer) / s, my = block_sum(sy, buffer) / s;
    int first = -1;
    for (std::int64_t i = threadIdx.x; i < cells; i += kThreads) {
      const float l = v.at(i % v.cols, i / v.cols), p = expf((l - top) / a.temperature);
      const float dx = static_cast<float>(i % v.cols) - mx, dy = static_cast<float>(i / v.cols) - my;
      sxx += p * dx * dx;
      sxy += p * dx * dy;
      syy += p * dy * dy;
      if (l == top && first < 0) first = static_cast<int>(i);
    }
    sxx = block_sum(sxx, buffer);
    sxy = block_sum(sxy, buffer);
    syy = block_sum(syy, buffer);
    const std::int64_t peak = block_first(first, buffer), peak_x = peak % v.cols, peak_y = peak / v.cols;
    const float cut = static_cast<float>(static_cast<double>(top) + static_cast<double>(a.temperature) * -0.69314718055994530942);
    int found = -1;
    for (std::int64_t i = threadIdx.x; i < cells; i += kThreads) {
      const std::int64_t x = i % v.cols, y = i / v.cols, dx = x > peak_x ? x - peak_x : peak_x - x,
                         dy = y > peak_y ? y - peak_y : peak_y - y;
      if ((dx > kSecondRadius || dy > kSecondRadius) && v.at(x, y) >= cut && is_peak(v, x, y)) found = 0;
    }
    found = block_first(found, buffer);
    if (threadIdx.x == 0) {
      const float basis = a.basis == Basis::kUniform ? 1.0f / 12 : a.basis == Basis::kTriangular ? 1.0f / 6 : 1.0f / 5;
      a.mean[2 * joint] = mx + static_cast<float>(v.x0);
      a.mean[2 * joint + 1] = my + static_cast<float>(v.y0);
      a.covariance[4 * joint] = sxx / s + basis;
      a.covariance[4 * joint + 1] = a.covariance[4 * joint + 2] = sxy / s;
      a.covariance[4 * joint + 3] = syy / s + basis;
      a.second[joint] = found == 0;
    }
    __syncthreads();
  }
}

}  // namespace

void sample_coordinates(const SampleCoordinates& a, void* stream) {
  if (a.samples != 0) {
    POSE_RT_LAUNCH(draw_coordinates, blocks_of(a.joints * a.samples), kThreads, stream, a);
    check(cudaGetLastError(), "sample_coordinates");
  }
  POSE_RT_LAUNCH(describe_density, blocks_of(a.joints), kThreads, stream, a);
  check(cudaGetLastError(), "sample_coordinates");
}

}  // namespace pose_rt::cuda
