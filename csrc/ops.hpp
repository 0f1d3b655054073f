// Every op of pose_rt as a struct of pointers and sizes. Arrays are dense and row-major; shapes and units stand in the comments.
// The definition of each op is pose_rt/ops/reference*.py. Arguments are checked by bindings_*.cpp, never here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pose_rt {

// Where random words come from: word i is lane i % 4 of Philox counter (i / 4, stream, frame, track) under the key `seed`.
struct Address {
  std::uint64_t seed;
  std::uint32_t stream, frame, track;
};

enum RandomStream : std::uint32_t { kStreamGumbel = 0, kStreamKernel = 1, kStreamForecastGumbel = 3 };

// Lanes that the CPU kernels work on at a time, on every instruction set; also the padding of scratch rows.
constexpr std::int64_t kLanes = 16;
constexpr std::int64_t padded(std::int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// softmax((logits + noise_scale * g) / temperature); hard: one-hot argmax.
struct GumbelSoftmax {
  const float* logits;  // (rows, n)
  const float* gumbel;  // (rows, samples, n) recorded g, or null: draw from the address
  float* out;           // (rows, samples, n)
  std::int64_t rows, samples, n;
  float temperature, noise_scale;
  bool hard;
  Address address;
  float* scratch;  // gumbel_softmax_scratch(n) floats (CPU)
};
constexpr std::int64_t gumbel_softmax_scratch(std::int64_t n) { return 3 * padded(n); }

enum class Basis : std::int32_t { kUniform, kTriangular, kGaussian };

// Relaxed draws of coordinates (cells) from heatmap logits, with mean, covariance and second-mode flag of softmax(l / temperature).
struct SampleCoordinates {
  const float* heatmap;  // (joints, h, w)
  const float* centres;  // (joints, 2) cells, or null: the whole map
  std::int64_t window;   // odd side of the window when centres is given
  const float* gumbel;   // (joints, samples, cells) recorded g, or null
  const float* kernel;   // (joints, samples, cols + rows) recorded kernel draws, or null
  float* samples_out;    // (joints, samples, 2)
  float* mean;           // (joints, 2)
  float* covariance;     // (joints, 2, 2)
  bool* second;          // (joints,)
  std::int64_t joints, h, w, samples;
  Basis basis;
  float temperature, noise_scale;
  Address address;  // the stream is ignored: gumbel and kernel draws have their own
  float* scratch;   // sample_coordinates_scratch(rows, cols) floats (CPU), of the window if there is one
};
constexpr std::int64_t sample_coordinates_scratch(std::int64_t rows, std::int64_t cols) {
  return 4 * padded(rows * cols + kLanes) + 4 * (padded(cols) + padded(rows) + 2 * kLanes) + 2 * padded(cols + rows + 2 * kLanes);
}
constexpr int kSecondRadius = 5;      // cells, see reference.SECOND_RADIUS
constexpr double kSecondRatio = 0.5;  // see reference.SECOND_RATIO
constexpr int kSecondWindow = 3;      // cells, see reference.SECOND_WINDOW

// Points (0..1 of the crop) moved to the expectation of sigmoid(l)^power in a window round their cell.
struct RefineHeatmaps {
  const float* logits;  // (maps, h, w)
  const float* points;  // (maps, 2)
  float* out;           // (maps, 2)
  float* spread;        // (maps,)
  float* second;        // (maps, 2)
  std::int64_t maps, h, w, window;
  bool mediapipe;  // weights sigmoid(l) round the truncated cell, else sigmoid(l)^2 round the nearest
  float threshold;
};

// (n, k, m) weights times (n, m, d) bases; without weights, rows of softmax(g / temperature) drawn on the way.
struct BlendBases {
  const float* bases;    // (n, m, d)
  const float* weights;  // (n, k, m) or null
  float* out;            // (n, k, d)
  std::int64_t n, k, m, d;
  float temperature;
  Address address;
  float* scratch;  // blend_bases_scratch(m) floats (CPU)
};
constexpr std::int64_t kBlendRows = 4;
constexpr std::int64_t blend_bases_scratch(std::int64_t m) { return (kBlendRows + 2) * padded(m); }

struct Camera {
  float fx, fy, cx, cy, k1, k2, k3, p1, p2;
  bool distortion, clamp;
};

// Camera space to the image.
struct Project {
  const float* points;  // (n, 3)
  float* out;           // (n, 2)
  std::int64_t n;
  Camera camera;
};

// Hypotheses into one pose. weights given: weighted mean; target given: JPMA; else the mean.
struct Aggregate {
  const float* hypotheses;  // (people, count, frames, joints, 3)
  const float* target;      // (people, frames, joints, 2) or null
  const float* root;        // (people, frames, 3) or null
  const float* weights;     // (people, count) or null
  float* out;               // (people, frames, joints, 3)
  float* sigma;             // (people, frames, joints)
  std::int32_t* chosen;     // (people, frames, joints)
  std::int64_t people, count, frames, joints;
  Camera camera;
};

enum class Rounding : std::int32_t { kNone, kU8, kFixedPoint };

// Rotated square crops of an 8-bit picture, bilinear, value * scale + bias, planar.
struct CropWarp {
  const std::uint8_t* image;  // (h, w, 3)
  const float* roi;           // (people, 4) centre x, centre y, side (px), angle (rad)
  float* out;                 // (people, 3, size, size)
  std::int64_t h, w, people, size;
  bool zero_border, swap_channels;
  Rounding rounding;
  float scale[3], bias[3];  // of the output's channels
  double* scratch;          // padded(size) doubles (CPU)
};

// Detector output to detections; returns their number. All arrays on the host.
struct DecodeDetections {
  const float* boxes;    // (n, 12)
  const float* scores;   // (n,) logits
  const float* anchors;  // (n, 2)
  std::int64_t n;
  float threshold;
  double iou;
  std::int64_t input_size, limit;
  float* out;        // up to `limit` rows of 12, the best: corners, then four keypoints
  float* out_score;  // up to `limit`
};

// One One-Euro step; the state arrays change in place.
struct OneEuro {
  const float* x;                            // (rows, n)
  float* out;                                // (rows, n)
  double *previous, *filtered, *derivative;  // (rows, n)
  double* seconds;                           // (rows,)
  const double* t;                           // (rows,)
  const double* value_scale;                 // (rows,)
  std::int64_t rows, n;
  double min_cutoff, beta, d_cutoff;
};

// One step of DDIM for a network that predicts the clean sample, with the mean over a mirrored prediction and the next network input.
constexpr std::int64_t kMaxMirror = 64;  // joints of a mirrored step
struct DdimStep {
  const float* noisy;       // (rows, joints, 3)
  const float* prediction;  // (rows, joints, 3); mirrored: (2, rows, joints, 3), the second made from mirrored inputs
  const float* noise;       // (rows, joints, 3), or null: none
  float* next;              // (rows, joints, 3), may be `noisy`
  float* network;           // like `prediction`: what the network takes next
  std::int64_t rows, joints;
  double noisy_factor, implied_divisor;  // sqrt(1 / alpha), sqrt(1 / alpha - 1)
  float keep, c, sigma, scale, limit;    // keep = sqrt(alpha of the next step)
  bool mirrored;
  std::int32_t mirror[kMaxMirror];  // each joint's partner
};

// Small scalar ops, compiled once for the host.
namespace host {
void ddim_step(const DdimStep& a);
std::int64_t decode_detections(const DecodeDetections& a);
void one_euro(const OneEuro& a);
}  // namespace host

// The kernels of one instruction set. Bits of the results are the same in all three.
struct CpuOps {
  const char* name;
  bool (*all_finite)(const float* values, std::int64_t n);
  void (*random_words)(std::uint32_t* out, std::uint64_t first, std::int64_t n, const Address& address);
  void (*gumbel_softmax)(const GumbelSoftmax&);
  void (*sample_coordinates)(const SampleCoordinates&);
  void (*refine_heatmaps)(const RefineHeatmaps&);
  void (*blend_bases)(const BlendBases&);
  void (*project)(const Project&);
  void (*aggregate)(const Aggregate&);
  void (*crop_warp)(const CropWarp&);
};

namespace base {
extern const CpuOps cpu_ops;
}
namespace avx2 {
extern const CpuOps cpu_ops;
}
namespace avx512 {
extern const CpuOps cpu_ops;
}

// CUDA launches on `stream` (a cudaStream_t); they throw std::runtime_error with the driver's message. Scratch pointers are not used.
namespace cuda {
constexpr std::int64_t kMaxAxis = 1024;   // sample_coordinates: rows or columns of a map
constexpr std::int64_t kMaxBases = 4096;  // blend_bases: m
void gumbel_softmax(const GumbelSoftmax& a, void* stream);
void sample_coordinates(const SampleCoordinates& a, void* stream);
void refine_heatmaps(const RefineHeatmaps& a, void* stream);
void blend_bases(const BlendBases& a, void* stream);
void project(const Project& a, void* stream);
void aggregate(const Aggregate& a, void* stream);
void crop_warp(const CropWarp& a, void* stream);
void ddim_step(const DdimStep& a, void* stream);
}  // namespace cuda

}  // namespace pose_rt
