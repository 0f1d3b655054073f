// The CPU kernels of the instruction set being compiled.
#pragma once

#include "ops.hpp"

namespace pose_rt::POSE_RT_ISA {
bool all_finite(const float* values, std::int64_t n);
void random_words(std::uint32_t* out, std::uint64_t first, std::int64_t n, const Address& address);
void gumbel_softmax(const GumbelSoftmax& a);
void sample_coordinates(const SampleCoordinates& a);
void refine_heatmaps(const RefineHeatmaps& a);
void blend_bases(const BlendBases& a);
void project(const Project& a);
void aggregate(const Aggregate& a);
void crop_warp(const CropWarp& a);
}  // namespace pose_rt::POSE_RT_ISA
