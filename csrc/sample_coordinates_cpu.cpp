#include "heatmap.hpp"
#include "kernels.hpp"
#include "noise.hpp"

namespace pose_rt::POSE_RT_ISA {

namespace {

// Scratch of one joint; rows are padded so that packs may read and write past their ends.
struct Rows {
  float *cut, *w, *z, *p;    // the window's logits; weights without noise, their logarithms, the draw's weights
  float *px, *py;            // marginals, one zero in front
  float *plain_x, *plain_y;  // marginals without noise
  float *uniform, *kernel;   // kernel draws of one sample, x then y

  Rows(float* scratch, std::int64_t rows, std::int64_t cols) {
    const std::int64_t cells = padded(rows * cols + kLanes), x = padded(cols) + 2 * kLanes, y = padded(rows) + 2 * kLanes;
    float** const fields[] = {&cut, &w, &z, &p, &px, &py, &plain_x, &plain_y, &uniform, &kernel};
    const std::int64_t sizes[] = {cells, cells, cells, cells, x, y, x, y, x + y - 2 * kLanes, x + y - 2 * kLanes};
    for (int i = 0; i < 10; ++i) {
      *fields[i] = scratch;
      scratch += sizes[i];
    }
  }
};

// Sums over rows and columns of (rows, cols) weights, stored at px + 1 and py + 1 behind a zero and before 16 zeros.
void marginals(const float* p, std::int64_t rows, std::int64_t cols, float* px, float* py) {
  const F zero = set(0.0f);
  store(px, zero);
  store(py, zero);
  px += 1;
  py += 1;
  for (std::int64_t x = 0; x < cols + 16; x += 16) store_upto(px + x, zero, cols + 16 - x);
  const std::int64_t whole = cols / 16 * 16;
  const I in_tail = iota() < set(static_cast<std::int32_t>(cols - whole));
  for (std::int64_t y = 0; y < rows; y += 16) {
    F row_sums[16];
    for (int k = 0; k < 16; ++k) {
      F total = zero;
      if (y + k < rows) {
        const float* row = p + (y + k) * cols;
        for (std::int64_t x = 0; x < whole; x += 16) {
          const F value = load(row + x);
          total = total + value;
          store(px + x, load(px + x) + value);
        }
        if (whole < cols) {
          const F value = select(in_tail, load(row + whole), zero);
          total = total + value;
          store(px + whole, load(px + whole) + value);
        }
      }
      row_sums[k] = total;
    }
    store(py + y, sums_of_16(row_sums));
  }
  for (std::int64_t i = 0; i < 16; ++i) py[rows + i] = 0.0f;
  for (std::int64_t i = 0; i < 16; ++i) px[cols + i] = 0.0f;
}

// Kernel draws [first, first + n): uniforms, or normals by Box-Muller on words (2i, 2i + 1).
const float* kernel_draws(Basis basis, Words& words, std::uint64_t first, std::int64_t n, float* buffer, float* normals) {
  const std::int64_t skip = basis == Basis::kGaussian ? static_cast<std::int64_t>(first % 2) : 0;
  const std::int64_t total = (n + skip + 31) / 32 * 32;  // whole packs of pairs
  for (std::int64_t start = 0; start < total; start += kWordChunk) {
    const std::int64_t count = total - start < kWordChunk ? total - start : kWordChunk;
    const std::uint32_t* word = words.take(first - static_cast<std::uint64_t>(skip) + static_cast<std::uint64_t>(start), count);
    for (std::int64_t i = 0; i < count; i += 16) store(buffer + start + i, to_uniform(load(word + i)));
  }
  if (basis != Basis::kGaussian) return buffer;
  for (std::int64_t i = 0; i < total; i += 32) {
    F u, turn, sine, cosine;
    load2(buffer + i, u, turn);
    sincos_turn(turn, sine, cosine);
    const F radius = sqrt(set(-2.0f) * log(u));
    store2(normals + i, radius * cosine, radius * sine);
  }
  return normals + skip;
}

// reference.axis_positions for one row; p is the marginal behind its leading zero, `total` its sum.
float axis_position(const float* p, const float* draw, std::int64_t n, Basis basis) {
  F weights = set(0.0f), moment = set(0.0f);
  for (std::int64_t i = 0; i < n; i += 16) {
    const F v = load_upto(draw + i, n - i, 0.5f), cell = to_float(iota() + set(static_cast<std::int32_t>(i)));
    F position, weight = load(p + i);
    if (basis == Basis::kUniform) {
      position = cell + v - set(0.5f);
    } else if (basis == Basis::kGaussian) {
      position = cell + v;
      weight = weight * exp(set(-2.0f) * v * v);
    } else {
      const F half = set(0.5f), one = set(1.0f), two = set(2.0f);
      const I left = v < half;
      const F root = sqrt(select(left, two * v, max(set(0.0f), two - two * v)));
      const F e = select(left, root - one, one - root);
      const F before = load(p + i - 1), after = load(p + i + 1);
      position = cell + e;
      const F low = select(left, before, weight), high = select(left, weight, after), part = select(left, root, one - root);
      weight = low + part * (high - low);
    }
    weight = select(iota() < set(static_cast<std::int32_t>(n - i)), weight, set(0.0f));
    weights = weights + weight;
    moment = moment + weight * position;
  }
  return sum(moment) / sum(weights);
}

float expectation(const float* p, std::int64_t n, double centre, double& total, double& variance) {
  double sum0 = 0, sum1 = 0, sum2 = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(i) - centre;
    sum0 += p[i];
    sum1 += p[i] * x;
    sum2 += p[i] * x * x;
  }
  total = sum0;
  variance = sum2 / sum0;
  return static_cast<float>(sum1 / sum0 + centre);
}

double cross_moment(const float* p, std::int64_t rows, std::int64_t cols, float mean_x, float mean_y) {
  F total = set(0.0f);
  const std::int64_t whole = cols / 16 * 16;
  const I in_tail = iota() < set(static_cast<std::int32_t>(cols - whole));
  for (std::int64_t y = 0; y < rows; ++y) {
    F row = set(0.0f);
    for (std::int64_t x = 0; x < cols; x += 16) {
      const F value = x < whole ? load(p + y * cols + x) : select(in_tail, load(p + y * cols + x), set(0.0f));
      row = row + value * (to_float(iota() + set(static_cast<std::int32_t>(x))) - set(mean_x));
    }
    total = total + row * set(static_cast<float>(y) - mean_y);
  }
  return sum(total);
}

bool has_second_mode(const float* map, std::int64_t rows, std::int64_t cols, float temperature) {
  F top = set(kMinusInfinity);
  const std::int64_t cells = rows * cols;
  for (std::int64_t i = 0; i < cells; i += 16) top = max(top, load_upto(map + i, cells - i, kMinusInfinity));
  const float peak = largest(top);
  const float cut = static_cast<float>(static_cast<double>(peak) + static_cast<double>(temperature) * -0.69314718055994530942);
  std::int64_t peak_at = 0;
  while (map[peak_at] != peak) ++peak_at;
  const std::int64_t peak_x = peak_at % cols, peak_y = peak_at / cols;
  for (std::int64_t i = 0; i < cells; i += 16) {
    if (!any(load_upto(map + i, cells - i, kMinusInfinity) >= set(cut))) continue;
    for (std::int64_t k = i; k < i + 16 && k < cells; ++k) {
      const std::int64_t x = k % cols, y = k / cols, dx = x > peak_x ? x - peak_x : peak_x - x, dy = y > peak_y ? y - peak_y : peak_y - y;
      if (map[k] >= cut && (dx > kSecondRadius || dy > kSecondRadius) && is_local_maximum(map, rows, cols, x, y)) return true;
    }
  }
  return false;
}

}  // namespace

void sample_coordinates(const SampleCoordinates& a) {
  const bool windowed = a.centres != nullptr;
  const std::int64_t rows = windowed ? a.window : a.h, cols = windowed ? a.window : a.w, cells = rows * cols;
  const Rows s(a.scratch, rows, cols);
  const float power = a.noise_scale / a.temperature;
  Words gumbel_words, kernel_words;
  gumbel_words.address = kernel_words.address = a.address;
  gumbel_words.address.stream = kStreamGumbel;
  kernel_words.address.stream = kStreamKernel;
  const double basis_variance = a.basis == Basis::kUniform ? 1.0 / 12 : a.basis == Basis::kTriangular ? 1.0 / 6 : 1.0 / 5;
  for (std::int64_t j = 0; j < a.joints; ++j) {
    const float* map = a.heatmap + j * a.h * a.w;
    std::int64_t origin_x = 0, origin_y = 0;
    if (windowed) {
      origin_x = nearest_cell(a.centres[2 * j], a.w) - rows / 2;
      origin_y = nearest_cell(a.centres[2 * j + 1], a.h) - rows / 2;
      for (std::int64_t y = 0; y < rows; ++y) {
        for (std::int64_t x = 0; x < cols; ++x) {
          const std::int64_t mx = origin_x + x, my = origin_y + y;
          s.cut[y * cols + x] = mx >= 0 && mx < a.w && my >= 0 && my < a.h ? map[my * a.w + mx] : kMinusInfinity;
        }
      }
      map = s.cut;
    }
    prepare_row(map, cells, a.temperature, s.w, s.z);
    marginals(s.w, rows, cols, s.plain_x, s.plain_y);
    for (std::int64_t k = 0; k < a.samples; ++k) {
      const std::int64_t row = j * a.samples + k;
      const float *px = s.plain_x, *py = s.plain_y;
      if (power != 0.0f) {
        if (a.gumbel != nullptr) {
          exponentiate(s.p, cells, recorded_values(s.z, a.gumbel + row * cells, cells, power, s.p));
        } else {
          drawn_weights(s.w, s.z, cells, power, gumbel_words, static_cast<std::uint64_t>(row * cells), s.p);
        }
        marginals(s.p, rows, cols, s.px, s.py);
        px = s.px;
        py = s.py;
      }
      const std::int64_t axis = cols + rows;
      const float* draw = a.kernel != nullptr
                              ? a.kernel + row * axis
                              : kernel_draws(a.basis, kernel_words, static_cast<std::uint64_t>(row * axis), axis, s.uniform, s.kernel);
      a.samples_out[2 * row] = axis_position(px + 1, draw, cols, a.basis) + static_cast<float>(origin_x);
      a.samples_out[2 * row + 1] = axis_position(py + 1, draw + cols, rows, a.basis) + static_cast<float>(origin_y);
    }
    double total, variance_x, variance_y;
    const float mean_x = expectation(s.plain_x + 1, cols, 0.0, total, variance_x),
                mean_y = expectation(s.plain_y + 1, rows, 0.0, total, variance_y);
    expectation(s.plain_x + 1, cols, mean_x, total, variance_x);
    expectation(s.plain_y + 1, rows, mean_y, total, variance_y);
    const float cross = static_cast<float>(cross_moment(s.w, rows, cols, mean_x, mean_y) / total);
    a.mean[2 * j] = mean_x + static_cast<float>(origin_x);
    a.mean[2 * j + 1] = mean_y + static_cast<float>(origin_y);
    a.covariance[4 * j] = static_cast<float>(variance_x + basis_variance);
    a.covariance[4 * j + 1] = a.covariance[4 * j + 2] = cross;
    a.covariance[4 * j + 3] = static_cast<float>(variance_y + basis_variance);
    a.second[j] = has_second_mode(map, rows, cols, a.temperature);
  }
}

}  // namespace pose_rt::POSE_RT_ISA
