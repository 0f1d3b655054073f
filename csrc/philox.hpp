// Philox4x32-10 of Salmon et al. (SC 2011), one counter at a time, for the host and the device. Known answers: tests/ops/test_philox.py.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define POSE_RT_HOST_DEVICE __host__ __device__
#else
#define POSE_RT_HOST_DEVICE
#endif

namespace pose_rt {

struct PhiloxWords {
  std::uint32_t of[4];
};

POSE_RT_HOST_DEVICE inline PhiloxWords philox(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3, std::uint64_t seed) {
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c0, p1 = std::uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(p1);
    c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// ((w >> 9) + 0.5) / 2^23: never 0, never 1, exact in float.
POSE_RT_HOST_DEVICE inline float to_uniform(std::uint32_t word) { return (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f; }

}  // namespace pose_rt
