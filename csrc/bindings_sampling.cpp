// Ops that draw: Gumbel-softmax, coordinates from heatmaps, blended bases, and the random words themselves.
#include "bindings_common.hpp"
#include "philox.hpp"

namespace pose_rt {

namespace {

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
                             const py::object& window, const py::object& noise, const py::object& out_in, std::uintptr_t stream) {
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
  const auto outs = several(out_in, {"samples", "mean", "covariance", "second"});
  const std::int64_t joints = sizes['J'];
  const Array samples = output("out[0]", outs[0], Type::kFloat32, {joints, op.samples, 2}, heatmap.cuda, stream);
  const Array mean = output("out[1]", outs[1], Type::kFloat32, {joints, 2}, heatmap.cuda, stream);
  const Array covariance = output("out[2]", outs[2], Type::kFloat32, {joints, 2, 2}, heatmap.cuda, stream);
  const Array second = output("out[3]", outs[3], Type::kBool, {joints}, heatmap.cuda, stream);
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

}  // namespace

void define_sampling(py::module_& m) {
  m.def("random_words", random_words);
  m.def("philox_block", philox_block);
  m.def("gumbel_softmax", gumbel_softmax);
  m.def("sample_coordinates", sample_coordinates);
  m.def("blend_bases", blend_bases);
}

}  // namespace pose_rt
