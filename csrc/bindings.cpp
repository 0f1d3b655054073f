// pose_rt._core: checks the arguments of every op, lets the interpreter go on, and calls the C++ or CUDA kernel.
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "arrays.hpp"
#include "dispatch.hpp"
#include "ops.hpp"
#include "philox.hpp"

#ifdef POSE_RT_HAS_CUDA
#include "cuda_memory.hpp"
#endif

namespace pose_rt {

namespace {

// ---- small checks ------------------------------------------------------------------------------------------------------------

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", v);
  return text;
}

void positive(const char* name, double v) {
  if (!(v > 0 && v < std::numeric_limits<double>::infinity()))
    refuse(std::string(name) + ": got " + number(v) + ", wanted a finite number above 0");
}

void within(const char* name, double v, double low, double high) {
  if (!(v >= low && v <= high))
    refuse(std::string(name) + ": got " + number(v) + ", wanted a number in [" + number(low) + ", " + number(high) + "]");
}

std::int64_t whole(const char* name, const py::handle& value, std::int64_t least, std::int64_t limit) {
  if (PyIndex_Check(value.ptr()) != 0) {
    const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    int overflow = 0;
    const long long v = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    if (overflow == 0 && v >= least && v < limit) return v;
  }
  PyErr_Clear();
  refuse(std::string(name) + ": got " + py::repr(value).cast<std::string>() + ", wanted a whole number in [" + std::to_string(least) +
         ", " + std::to_string(limit) + ")");
}

std::int64_t count(const char* name, const py::handle& value, std::int64_t least = 0) {
  return whole(name, value, least, std::int64_t{1} << 31);
}

std::int64_t odd(const char* name, const py::handle& value) {
  const std::int64_t v = count(name, value);
  if (v < 1 || v > 1023 || v % 2 == 0) refuse(std::string(name) + ": got " + std::to_string(v) + ", wanted an odd number in [1, 1023]");
  return v;
}

void at_least_one(const char* name, std::int64_t v) {
  if (v < 1) refuse(std::string(name) + ": got " + std::to_string(v) + ", wanted at least 1");
}

Address address(const py::handle& seed, const py::handle& frame, const py::handle& track, std::int64_t stream) {
  Address a{};
  bool good = false;
  if (PyIndex_Check(seed.ptr()) != 0) {
    const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(seed.ptr()));
    a.seed = PyLong_AsUnsignedLongLong(index.ptr());
    good = PyErr_Occurred() == nullptr;
    PyErr_Clear();
  }
  if (!good) refuse("seed: got " + py::repr(seed).cast<std::string>() + ", wanted a whole number in [0, 2**64)");
  a.frame = static_cast<std::uint32_t>(whole("frame", frame, 0, std::int64_t{1} << 32));
  a.track = static_cast<std::uint32_t>(whole("track", track, 0, std::int64_t{1} << 32));
  a.stream = static_cast<std::uint32_t>(stream);
  return a;
}

// One address holds 2**34 numbers.
void draws(std::int64_t rows, std::int64_t samples, std::int64_t n) {
  const long double total = static_cast<long double>(rows) * static_cast<long double>(samples) * static_cast<long double>(n);
  if (total > 17179869184.0L)
    refuse("samples: got " + number(static_cast<double>(total)) +
           " draws for one address, wanted at most 2**34; split the call over frames or tracks");
}

// Device values are not looked at: a non-finite one gives NaN in its own row there.
void finite(const char* name, const Array& a) {
  if (!a.cuda && !cpu().all_finite(a.floats(), a.size))
    refuse(std::string(name) + ": got NaN or inf, wanted finite values; mask or replace them first");
}

void finite_doubles(const char* name, const Array& a) {
  for (std::int64_t i = 0; i < a.size; ++i) {
    if (!std::isfinite(static_cast<const double*>(a.data)[i])) refuse(std::string(name) + ": got NaN or inf, wanted finite values");
  }
}

// Recorded draws: -inf is a uniform of 0.
void recorded(const char* name, const Array& a) {
  for (std::int64_t i = 0; !a.cuda && i < a.size; ++i) {
    if (!(a.floats()[i] < std::numeric_limits<float>::infinity()))
      refuse(std::string(name) + ": got NaN or inf, wanted finite values or -inf");
  }
}

int choice(const char* name, const std::string& value, std::initializer_list<const char*> allowed) {
  int i = 0;
  std::string list;
  for (const char* word : allowed) {
    if (value == word) return i;
    list += (i++ != 0 ? ", " : "") + std::string(word);
  }
  refuse(std::string(name) + ": got '" + value + "', wanted one of " + list);
}

Camera camera(const py::handle& value, const py::handle& distortion, bool clamp) {
  Sizes sizes;
  const Array a = take("camera", value, Type::kFloat32, {'C'}, sizes);
  host_only("camera", a);
  finite("camera", a);
  if (a.size != 4 && a.size != 9)
    refuse("camera: got float32 (" + std::to_string(a.size) + ",), wanted (4,) fx, fy, cx, cy or (9,) with k1, k2, k3, p1, p2");
  const bool distorted = distortion.is_none() ? a.size == 9 : distortion.cast<bool>();
  if (distorted && a.size == 4)
    refuse("distortion: got True with a camera of 4 numbers, wanted 9; append k1, k2, k3, p1, p2 or set distortion=False");
  const float* c = a.floats();
  Camera camera{c[0], c[1], c[2], c[3], 0, 0, 0, 0, 0, distorted, clamp};
  if (distorted) camera = {c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], true, clamp};
  return camera;
}

// Scratch of this thread; grows, is never given back before the thread ends: no allocation in steady state.
float* scratch(std::int64_t floats) {
  thread_local std::unique_ptr<float[]> memory;
  thread_local std::int64_t size = 0;
  if (floats + 16 > size) {
    size = floats + 16;
    memory.reset(new float[static_cast<std::size_t>(size)]);
  }
  void* start = memory.get();
  std::size_t space = static_cast<std::size_t>(size) * sizeof(float);
  return static_cast<float*>(std::align(64, sizeof(float), start, space));
}

// Runs a kernel without the interpreter lock, on the device if the arrays are there.
template <class Op>
void launch([[maybe_unused]] bool on_device, [[maybe_unused]] std::uintptr_t stream, const Op& op, void (*host)(const Op&),
            [[maybe_unused]] std::type_identity_t<void (*)(const Op&, void*)> device) {
  const py::gil_scoped_release unlock;
#ifdef POSE_RT_HAS_CUDA
  if (on_device) {
    device(op, reinterpret_cast<void*>(stream));
    return;
  }
#endif
  host(op);
}

#ifdef POSE_RT_HAS_CUDA
#define POSE_RT_ON_DEVICE(name) cuda::name
#else
#define POSE_RT_ON_DEVICE(name) nullptr
#endif

template <class T>
T* write(const Array& a) {
  return static_cast<T*>(a.data);
}

// ---- the ops -----------------------------------------------------------------------------------------------------------------

py::object gumbel_softmax(const py::object& logits_in, const py::object& samples_in, double temperature, double noise_scale, bool hard,
                          const py::object& seed, const py::object& frame, const py::object& track, const py::object& rng_stream,
                          const py::object& gumbel_in, const py::object& out_in, std::uintptr_t stream) {
  Sizes sizes;
  const Array logits = take("logits", logits_in, Type::kFloat32, {'R', 'N'}, sizes, stream);
  finite("logits", logits);
  const std::int64_t samples = count("samples", samples_in);
  positive("temperature", temperature);
  within("noise_scale", noise_scale, 0, 1e6);
  GumbelSoftmax op{};
  op.address = address(seed, frame, track, whole("stream", rng_stream, 0, std::int64_t{1} << 32));
  draws(sizes['R'], samples, sizes['N']);
  Array gumbel;
  if (!gumbel_in.is_none()) {
    gumbel = take("gumbel", gumbel_in, Type::kFloat32, {'R', Axis(samples), 'N'}, sizes, stream);
    same_device("gumbel", gumbel, "logits", logits);
    recorded("gumbel", gumbel);
  }
  const Array out = output("out", out_in, Type::kFloat32, {sizes['R'], samples, sizes['N']}, logits.cuda, stream);
  if (out.size != 0) {
    op.logits = logits.floats();
    op.gumbel = gumbel.floats();
    op.out = write<float>(out);
    op.rows = sizes['R'];
    op.samples = samples;
    op.n = sizes['N'];
    op.temperature = static_cast<float>(temperature);
    op.noise_scale = static_cast<float>(noise_scale);
    op.hard = hard;
    op.scratch = logits.cuda ? nullptr : scratch(gumbel_softmax_scratch(op.n));
    launch(logits.cuda, stream, op, cpu().gumbel_softmax, POSE_RT_ON_DEVICE(gumbel_softmax));
  }
  return out.keep;
}

py::tuple sample_coordinates(const py::object& heatmap_in, const py::object& samples_in, const std::string& basis, double temperature,
                             double noise_scale, const py::object& seed, const py::object& frame, const py::object& track,
                             const py::object& window, const py::object& noise, std::uintptr_t stream) {
  Sizes sizes;
  const Array heatmap = take("heatmap", heatmap_in, Type::kFloat32, {'J', 'H', 'W'}, sizes, stream);
  finite("heatmap", heatmap);
  at_least_one("heatmap height", sizes['H']);
  at_least_one("heatmap width", sizes['W']);
  SampleCoordinates op{};
  op.samples = count("samples", samples_in);
  op.basis = static_cast<Basis>(choice("basis", basis, {"uniform", "triangular", "gaussian"}));
  positive("temperature", temperature);
  within("noise_scale", noise_scale, 0, 1e6);
  op.address = address(seed, frame, track, 0);
  std::int64_t rows = sizes['H'], cols = sizes['W'];
  Array centres, gumbel, kernel;
  if (!window.is_none()) {
    const auto pair = window.cast<py::tuple>();
    if (pair.size() != 2) refuse("window: got " + std::to_string(pair.size()) + " values, wanted (centres, size)");
    centres = take("window centres", pair[0], Type::kFloat32, {'J', 2}, sizes, stream);
    same_device("window centres", centres, "heatmap", heatmap);
    finite("window centres", centres);
    rows = cols = op.window = odd("window size", pair[1]);
  }
  if (heatmap.cuda && (rows > cuda::kMaxAxis || cols > cuda::kMaxAxis)) {
    refuse("heatmap: got " + std::to_string(rows) + "x" + std::to_string(cols) +
           " cells on the device, wanted at most 1024 a side; copy it to the host");
  }
  draws(sizes['J'], op.samples, rows * cols);
  if (!noise.is_none()) {
    const auto pair = noise.cast<py::tuple>();
    if (pair.size() != 2) refuse("noise: got " + std::to_string(pair.size()) + " values, wanted (gumbel, kernel)");
    gumbel = take("noise gumbel", pair[0], Type::kFloat32, {'J', Axis(op.samples), Axis(rows * cols)}, sizes, stream);
    kernel = take("noise kernel", pair[1], Type::kFloat32, {'J', Axis(op.samples), Axis(rows + cols)}, sizes, stream);
    same_device("noise gumbel", gumbel, "heatmap", heatmap);
    same_device("noise kernel", kernel, "heatmap", heatmap);
    recorded("noise gumbel", gumbel);
    finite("noise kernel", kernel);
  }
  const py::none nothing;
  const std::int64_t joints = sizes['J'];
  const Array samples = output("samples", nothing, Type::kFloat32, {joints, op.samples, 2}, heatmap.cuda, stream);
  const Array mean = output("mean", nothing, Type::kFloat32, {joints, 2}, heatmap.cuda, stream);
  const Array covariance = output("covariance", nothing, Type::kFloat32, {joints, 2, 2}, heatmap.cuda, stream);
  const Array second = output("second", nothing, Type::kBool, {joints}, heatmap.cuda, stream);
  if (joints != 0) {
    op.heatmap = heatmap.floats();
    op.centres = centres.floats();
    op.gumbel = gumbel.floats();
    op.kernel = kernel.floats();
    op.samples_out = write<float>(samples);
    op.mean = write<float>(mean);
    op.covariance = write<float>(covariance);
    op.second = write<bool>(second);
    op.joints = joints;
    op.h = sizes['H'];
    op.w = sizes['W'];
    op.temperature = static_cast<float>(temperature);
    op.noise_scale = static_cast<float>(noise_scale);
    op.scratch = heatmap.cuda ? nullptr : scratch(sample_coordinates_scratch(rows, cols));
    launch(heatmap.cuda, stream, op, cpu().sample_coordinates, POSE_RT_ON_DEVICE(sample_coordinates));
  }
  return py::make_tuple(samples.keep, mean.keep, covariance.keep, second.keep);
}

py::tuple refine_heatmaps(const py::object& logits_in, const py::object& points_in, const py::object& window, const std::string& mode,
                          const py::object& kernel, const py::object& threshold, std::uintptr_t stream) {
  Sizes sizes;
  const Array logits = take("logits", logits_in, Type::kFloat32, {'P', 'J', 'H', 'W'}, sizes, stream);
  finite("logits", logits);
  at_least_one("logits height", sizes['H']);
  at_least_one("logits width", sizes['W']);
  const Array points = take("points", points_in, Type::kFloat32, {'P', 'J', 2}, sizes, stream);
  same_device("points", points, "logits", logits);
  RefineHeatmaps op{};
  op.mediapipe = choice("mode", mode, {"sampling_argmax", "mediapipe"}) == 1;
  const std::int64_t window_size = odd("window", window), kernel_size = odd("kernel", kernel);
  const double least = threshold.is_none() ? (op.mediapipe ? 0.5 : 0.2) : threshold.cast<double>();
  within("threshold", least, 0, 1);
  const py::none nothing;
  const std::int64_t people = sizes['P'], joints = sizes['J'];
  const Array out = output("points", nothing, Type::kFloat32, {people, joints, 2}, logits.cuda, stream);
  const Array spread = output("spread", nothing, Type::kFloat32, {people, joints}, logits.cuda, stream);
  const Array second = output("second", nothing, Type::kFloat32, {people, joints, 2}, logits.cuda, stream);
  if (people * joints != 0) {
    op.logits = logits.floats();
    op.points = points.floats();
    op.out = write<float>(out);
    op.spread = write<float>(spread);
    op.second = write<float>(second);
    op.maps = people * joints;
    op.h = sizes['H'];
    op.w = sizes['W'];
    op.window = op.mediapipe ? kernel_size : window_size;
    op.threshold = static_cast<float>(least);
    launch(logits.cuda, stream, op, cpu().refine_heatmaps, POSE_RT_ON_DEVICE(refine_heatmaps));
  }
  return py::make_tuple(out.keep, spread.keep, second.keep);
}

py::object blend_bases(const py::object& bases_in, const py::object& weights_in, const py::object& draws_in, double temperature,
                       const py::object& seed, const py::object& frame, const py::object& track, const py::object& out_in,
                       std::uintptr_t stream) {
  Sizes sizes;
  const Array bases = take("bases", bases_in, Type::kFloat32, {'N', 'M', 'D'}, sizes, stream);
  finite("bases", bases);
  BlendBases op{};
  op.k = count("draws", draws_in);
  positive("temperature", temperature);
  op.address = address(seed, frame, track, kStreamForecastGumbel);
  Array weights;
  if (weights_in.is_none()) {
    at_least_one("M (axis 1 of bases)", sizes['M']);
    draws(sizes['N'], op.k, sizes['M']);
  } else {
    weights = take("weights", weights_in, Type::kFloat32, {'N', 'K', 'M'}, sizes, stream);
    same_device("weights", weights, "bases", bases);
    finite("weights", weights);
    op.k = sizes['K'];
  }
  if (bases.cuda && sizes['M'] > cuda::kMaxBases) {
    refuse("bases: got " + std::to_string(sizes['M']) + " bases on the device, wanted at most 4096; copy them to the host");
  }
  const Array out = output("out", out_in, Type::kFloat32, {sizes['N'], op.k, sizes['D']}, bases.cuda, stream);
  if (out.size != 0) {
    op.bases = bases.floats();
    // With no bases at all there is nothing to weigh: any non-null pointer keeps the kernel from drawing.
    op.weights = weights_in.is_none() ? nullptr : weights.floats() != nullptr ? weights.floats() : bases.floats();
    op.out = write<float>(out);
    op.n = sizes['N'];
    op.m = sizes['M'];
    op.d = sizes['D'];
    op.temperature = static_cast<float>(temperature);
    op.scratch = bases.cuda ? nullptr : scratch(blend_bases_scratch(op.m));
    launch(bases.cuda, stream, op, cpu().blend_bases, POSE_RT_ON_DEVICE(blend_bases));
  }
  return out.keep;
}

py::object project(const py::object& points_in, const py::object& camera_in, const py::object& distortion, bool clamp,
                   const py::object& out_in, std::uintptr_t stream) {
  const Array points = take_trailing("points", points_in, Type::kFloat32, 3, stream);
  Project op{};
  op.camera = camera(camera_in, distortion, clamp);
  std::vector<std::int64_t> shape = points.shape;
  shape.back() = 2;
  const Array out = output("out", out_in, Type::kFloat32, shape, points.cuda, stream);
  if (out.size != 0) {
    op.points = points.floats();
    op.out = write<float>(out);
    op.n = points.size / 3;
    launch(points.cuda, stream, op, cpu().project, POSE_RT_ON_DEVICE(project));
  }
  return out.keep;
}

void check_weights(const Array& weights, std::int64_t people, std::int64_t n) {
  for (std::int64_t p = 0; !weights.cuda && p < people; ++p) {
    float total = 0;
    bool good = true;
    for (std::int64_t h = 0; h < n; ++h) {
      good = good && weights.floats()[p * n + h] >= 0;
      total += weights.floats()[p * n + h];
    }
    if (!good || !(total > 0))
      refuse("weights: got a negative weight or a row of zeros, wanted weights >= 0 with a positive sum in each row");
  }
}

py::tuple aggregate(const py::object& hypotheses_in, const std::string& mode, const py::object& target_in, const py::object& root_in,
                    const py::object& camera_in, const py::object& weights_in, const py::object& distortion, bool clamp,
                    const py::object& out_in, std::uintptr_t stream) {
  Sizes sizes;
  const Array hypotheses = take("hypotheses", hypotheses_in, Type::kFloat32, {'P', 'H', 'F', 'J', 3}, sizes, stream);
  at_least_one("H (axis 1 of hypotheses)", sizes['H']);
  const int kind = choice("mode", mode, {"mean", "jpma", "weighted"});
  const struct {
    const char* name;
    const py::object& value;
    bool wanted;
  } given[] = {{"target_xy", target_in, kind == 1},
               {"root", root_in, kind == 1},
               {"camera", camera_in, kind == 1},
               {"weights", weights_in, kind == 2}};
  for (const auto& g : given) {
    if (g.value.is_none() == g.wanted) {
      refuse(std::string(g.name) + ": got " + (g.wanted ? "None" : "a value") + " with mode '" + mode + "', which takes " +
             (kind == 1   ? "target_xy, root, camera"
              : kind == 2 ? "weights"
                          : "none of these"));
    }
  }
  Aggregate op{};
  Array target, root, weights;
  if (kind == 1) {
    target = take("target_xy", target_in, Type::kFloat32, {'P', 'F', 'J', 2}, sizes, stream);
    root = take("root", root_in, Type::kFloat32, {'P', 'F', 3}, sizes, stream);
    same_device("target_xy", target, "hypotheses", hypotheses);
    same_device("root", root, "hypotheses", hypotheses);
    op.camera = camera(camera_in, distortion, clamp);
  } else if (kind == 2) {
    weights = take("weights", weights_in, Type::kFloat32, {'P', 'H'}, sizes, stream);
    same_device("weights", weights, "hypotheses", hypotheses);
    finite("weights", weights);
    check_weights(weights, sizes['P'], sizes['H']);
  }
  py::object outs[3] = {py::none(), py::none(), py::none()};
  if (!out_in.is_none()) {
    const auto given_out = out_in.cast<py::tuple>();
    if (given_out.size() != 3) refuse("out: got " + std::to_string(given_out.size()) + " arrays, wanted (joints, sigma, chosen)");
    for (int i = 0; i < 3; ++i) outs[i] = given_out[i];
  }
  const std::int64_t people = sizes['P'], frames = sizes['F'], joints = sizes['J'];
  const Array out = output("out[0]", outs[0], Type::kFloat32, {people, frames, joints, 3}, hypotheses.cuda, stream);
  const Array sigma = output("out[1]", outs[1], Type::kFloat32, {people, frames, joints}, hypotheses.cuda, stream);
  const Array chosen = output("out[2]", outs[2], Type::kInt32, {people, frames, joints}, hypotheses.cuda, stream);
  if (sigma.size != 0) {
    op.hypotheses = hypotheses.floats();
    op.target = target.floats();
    op.root = root.floats();
    op.weights = weights.floats();
    op.out = write<float>(out);
    op.sigma = write<float>(sigma);
    op.chosen = write<std::int32_t>(chosen);
    op.people = people;
    op.count = sizes['H'];
    op.frames = frames;
    op.joints = joints;
    launch(hypotheses.cuda, stream, op, cpu().aggregate, POSE_RT_ON_DEVICE(aggregate));
  }
  return py::make_tuple(out.keep, sigma.keep, chosen.keep);
}

py::object crop_warp(const py::object& image_in, const py::object& roi_in, const py::object& size, const std::string& border,
                     const py::object& scale, const py::object& bias, bool swap_rgb, const std::string& quantise, bool fixed_point,
                     const py::object& out_in, std::uintptr_t stream) {
  Sizes sizes;
  const Array image = take("image", image_in, Type::kUint8, {'h', 'w', 3}, sizes, stream);
  within("image height", static_cast<double>(sizes['h']), 1, 32767);
  within("image width", static_cast<double>(sizes['w']), 1, 32767);
  const Array roi = take("roi", roi_in, Type::kFloat32, {'P', 4}, sizes, stream);
  same_device("roi", roi, "image", image);
  finite("roi", roi);
  CropWarp op{};
  op.size = whole("size", size, 1, 16385);
  op.zero_border = choice("border", border, {"replicate", "zero"}) == 1;
  op.rounding = fixed_point ? Rounding::kFixedPoint : choice("quantise", quantise, {"none", "u8"}) == 1 ? Rounding::kU8 : Rounding::kNone;
  op.swap_channels = swap_rgb;
  const Array factors = take("scale", scale, Type::kFloat32, {3}, sizes), offsets = take("bias", bias, Type::kFloat32, {3}, sizes);
  std::memcpy(op.scale, factors.data, sizeof op.scale);
  std::memcpy(op.bias, offsets.data, sizeof op.bias);
  const Array out = output("out", out_in, Type::kFloat32, {sizes['P'], 3, op.size, op.size}, image.cuda, stream);
  if (out.size != 0) {
    op.image = write<std::uint8_t>(image);
    op.roi = roi.floats();
    op.out = write<float>(out);
    op.h = sizes['h'];
    op.w = sizes['w'];
    op.people = sizes['P'];
    op.scratch = image.cuda ? nullptr : reinterpret_cast<double*>(scratch(2 * padded(op.size)));
    launch(image.cuda, stream, op, cpu().crop_warp, POSE_RT_ON_DEVICE(crop_warp));
  }
  return out.keep;
}

void read_mirror(const py::object& mirror_in, std::int64_t joints, DdimStep& op) {
  Sizes sizes;
  const Array mirror = take("mirror", mirror_in, Type::kInt32, {Axis(joints)}, sizes);
  host_only("mirror", mirror);
  if (joints > kMaxMirror) refuse("mirror: got " + std::to_string(joints) + " joints, wanted at most " + std::to_string(kMaxMirror));
  const auto* partner = static_cast<const std::int32_t*>(mirror.data);
  for (std::int64_t j = 0; j < joints; ++j) {
    if (partner[j] < 0 || partner[j] >= joints || partner[partner[j]] != j)
      refuse("mirror: got partners that are not mutual, wanted pairs");
    op.mirror[j] = partner[j];
  }
  op.mirrored = true;
}

py::tuple ddim_step(const py::object& noisy_in, const py::object& prediction_in, const py::object& noise_in, double alpha,
                    double alpha_next, double sigma, double c, double scale, const py::object& mirror_in, const py::object& out_in,
                    std::uintptr_t stream) {
  Sizes sizes;
  const Array noisy = take("noisy", noisy_in, Type::kFloat32, {'N', 'F', 'J', 3}, sizes, stream);
  DdimStep op{};
  if (!mirror_in.is_none()) read_mirror(mirror_in, sizes['J'], op);
  const std::int64_t runs = sizes['N'] * (op.mirrored ? 2 : 1);
  const Array prediction = take("prediction", prediction_in, Type::kFloat32, {Axis(runs), 'F', 'J', 3}, sizes, stream);
  same_device("prediction", prediction, "noisy", noisy);
  Array noise;
  if (!noise_in.is_none()) {
    noise = take("noise", noise_in, Type::kFloat32, {'N', 'F', 'J', 3}, sizes, stream);
    same_device("noise", noise, "noisy", noisy);
    op.noise = noise.floats();
  }
  if (!(alpha > 0 && alpha < 1)) refuse("alpha: got " + number(alpha) + ", wanted a number between 0 and 1");
  within("alpha_next", alpha_next, alpha, 1);
  within("sigma", sigma, 0, 1);
  within("c", c, 0, 1);
  positive("scale", scale);
  if (noise_in.is_none() && sigma != 0)
    refuse("noise: got None with sigma " + number(sigma) + ", wanted an array; only sigma 0 needs none");
  py::object outs[2] = {py::none(), py::none()};
  if (!out_in.is_none()) {
    const auto given = out_in.cast<py::tuple>();
    if (given.size() != 2) refuse("out: got " + std::to_string(given.size()) + " arrays, wanted (next, network)");
    outs[0] = given[0];
    outs[1] = given[1];
  }
  const Array next = output("out[0]", outs[0], Type::kFloat32, {sizes['N'], sizes['F'], sizes['J'], 3}, noisy.cuda, stream);
  const Array network = output("out[1]", outs[1], Type::kFloat32, {runs, sizes['F'], sizes['J'], 3}, noisy.cuda, stream);
  if (next.size != 0) {
    op.noisy = noisy.floats();
    op.prediction = prediction.floats();
    op.next = write<float>(next);
    op.network = write<float>(network);
    op.rows = sizes['N'] * sizes['F'];
    op.joints = sizes['J'];
    op.noisy_factor = std::sqrt(1 / alpha);
    op.implied_divisor = std::sqrt(1 / alpha - 1);
    op.keep = static_cast<float>(std::sqrt(alpha_next));
    op.c = static_cast<float>(c);
    op.sigma = static_cast<float>(sigma);
    op.scale = static_cast<float>(scale);
    op.limit = static_cast<float>(1.1 * scale);
    launch(noisy.cuda, stream, op, host::ddim_step, POSE_RT_ON_DEVICE(ddim_step));
  }
  return py::make_tuple(next.keep, network.keep);
}

py::tuple decode_detections(const py::object& boxes_in, const py::object& scores_in, double threshold, double iou,
                            const py::object& anchors_in, const py::object& input_size) {
  Sizes sizes;
  const Array boxes = take("boxes", boxes_in, Type::kFloat32, {'N', 12}, sizes),
              scores = take("scores", scores_in, Type::kFloat32, {'N'}, sizes),
              anchors = take("anchors", anchors_in, Type::kFloat32, {'N', 2}, sizes);
  for (const auto& [name, a] : {std::pair<const char*, const Array&>{"boxes", boxes}, {"scores", scores}, {"anchors", anchors}}) {
    host_only(name, a);
    finite(name, a);
  }
  within("threshold", threshold, 0, 1);
  within("iou", iou, 0, 1);
  DecodeDetections op{};
  op.input_size = count("input_size", input_size, 1);
  op.boxes = boxes.floats();
  op.scores = scores.floats();
  op.anchors = anchors.floats();
  op.n = sizes['N'];
  op.threshold = static_cast<float>(threshold);
  op.iou = iou;
  op.out = scratch(13 * op.n);
  op.out_score = op.out + 12 * op.n;
  std::int64_t found = 0;
  {
    const py::gil_scoped_release unlock;
    found = host::decode_detections(op);
  }
  const auto n = static_cast<py::ssize_t>(found);
  py::array_t<float> out_boxes({n, py::ssize_t{4}}), out_points({n, py::ssize_t{4}, py::ssize_t{2}}), out_score(n);
  for (std::int64_t i = 0; i < found; ++i) {
    std::memcpy(out_boxes.mutable_data() + 4 * i, op.out + 12 * i, 4 * sizeof(float));
    std::memcpy(out_points.mutable_data() + 8 * i, op.out + 12 * i + 4, 8 * sizeof(float));
    out_score.mutable_data()[i] = op.out_score[i];
  }
  return py::make_tuple(out_boxes, out_points, out_score);
}

py::object one_euro(const py::object& x_in, const py::object& previous, const py::object& filtered, const py::object& derivative,
                    const py::object& seconds, const py::object& t_in, double min_cutoff, double beta, double d_cutoff,
                    const py::object& scale_in) {
  Sizes sizes;
  const py::none nothing;
  const Array x = take("x", x_in, Type::kFloat32, {'P', 'N'}, sizes);
  const std::vector<std::int64_t> shape = {sizes['P'], sizes['N']};
  const Array state[] = {output("state.previous", previous, Type::kFloat64, shape, false, 0),
                         output("state.filtered", filtered, Type::kFloat64, shape, false, 0),
                         output("state.derivative", derivative, Type::kFloat64, shape, false, 0),
                         output("state.seconds", seconds, Type::kFloat64, {sizes['P']}, false, 0)};
  const Array t = take("t", t_in, Type::kFloat64, {'P'}, sizes), scale = take("value_scale", scale_in, Type::kFloat64, {'P'}, sizes);
  host_only("x", x);
  host_only("t", t);
  host_only("value_scale", scale);
  finite_doubles("t", t);
  finite_doubles("value_scale", scale);
  positive("min_cutoff", min_cutoff);
  positive("d_cutoff", d_cutoff);
  within("beta", beta, 0, 1e9);
  const Array out = output("out", nothing, Type::kFloat32, shape, false, 0);
  OneEuro op{};
  op.x = x.floats();
  op.out = write<float>(out);
  op.previous = write<double>(state[0]);
  op.filtered = write<double>(state[1]);
  op.derivative = write<double>(state[2]);
  op.seconds = write<double>(state[3]);
  op.t = write<double>(t);
  op.value_scale = write<double>(scale);
  op.rows = sizes['P'];
  op.n = sizes['N'];
  op.min_cutoff = min_cutoff;
  op.beta = beta;
  op.d_cutoff = d_cutoff;
  {
    const py::gil_scoped_release unlock;
    host::one_euro(op);
  }
  return out.keep;
}

py::array random_words(const py::object& first, const py::object& n, const py::object& seed, const py::object& frame,
                       const py::object& track, const py::object& stream) {
  py::array_t<std::uint32_t> out(static_cast<py::ssize_t>(count("n", n)));
  const std::int64_t start = whole("first", first, 0, (std::int64_t{1} << 34) - out.size() + 1);
  const Address from = address(seed, frame, track, whole("stream", stream, 0, std::int64_t{1} << 32));
  cpu().random_words(out.mutable_data(), static_cast<std::uint64_t>(start), out.size(), from);
  return out;
}

// The one-counter Philox that the CUDA kernels use, compiled for the host.
py::tuple philox_block(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3, std::uint64_t seed) {
  const PhiloxWords words = philox(c0, c1, c2, c3, seed);
  return py::make_tuple(words.of[0], words.of[1], words.of[2], words.of[3]);
}

py::tuple cuda_status() {
#ifdef POSE_RT_HAS_CUDA
  const auto [available, reason] = device_status();
  return py::make_tuple(available, reason);
#else
  return py::make_tuple(false,
                        std::string(POSE_RT_NO_CUDA_REASON) + "; rebuild with: POSE_RT_CUDA=ON pip install --no-build-isolation -e .");
#endif
}

}  // namespace

#ifdef POSE_RT_PLANTED_BUGS
void define_planted_bugs(py::module_& m);  // tests/planted_bugs.cpp
#endif

}  // namespace pose_rt

PYBIND11_MODULE(_core, m) {
  using namespace pose_rt;
  m.doc() = "Native kernels of pose_rt.ops; call them through that module.";
  m.def("isa", [] { return cpu().name; });
  m.def("isas", [] {
    py::list names;
    for (const std::string& name : available_isas()) names.append(name);
    return py::tuple(names);
  });
  m.def("use_isa", [](const std::string& name) { use_isa(name); });
  m.def("cuda_status", cuda_status);
  m.def("random_words", random_words);
  m.def("philox_block", philox_block);
  m.def("gumbel_softmax", gumbel_softmax);
  m.def("sample_coordinates", sample_coordinates);
  m.def("refine_heatmaps", refine_heatmaps);
  m.def("blend_bases", blend_bases);
  m.def("project", project);
  m.def("aggregate", aggregate);
  m.def("crop_warp", crop_warp);
  m.def("ddim_step", ddim_step);
  m.def("decode_detections", decode_detections);
  m.def("one_euro", one_euro);
  use_isa(std::getenv("POSE_RT_ISA") == nullptr ? "" : std::getenv("POSE_RT_ISA"));
#ifdef POSE_RT_HAS_CUDA
  define_device_array(m);
#endif
#ifdef POSE_RT_PLANTED_BUGS
  define_planted_bugs(m);
#endif
}
