#include "kernels.hpp"
#include "noise.hpp"

namespace pose_rt::POSE_RT_ISA {

namespace {

void write_choice(const float* z, float peak, std::int64_t n, float* out) {
  std::int64_t best = 0;
  while (z[best] != peak && best + 1 < n) ++best;
  for (std::int64_t i = 0; i < n; ++i) out[i] = i == best ? 1.0f : 0.0f;
}

void write_scaled(const float* weights, float factor, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; i += 16) store_upto(out + i, load(weights + i) * set(factor), n - i);
}

}  // namespace

void gumbel_softmax(const GumbelSoftmax& a) {
  float *w = a.scratch, *z = w + padded(a.n), *row = z + padded(a.n);
  Words words;
  words.address = a.address;
  // The hard choice does not depend on the temperature; without it the comparison stays exact on whole numbers.
  const float temperature = a.hard ? 1.0f : a.temperature, power = a.noise_scale / temperature;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    prepare_row(a.logits + r * a.n, a.n, temperature, w, z);
    for (std::int64_t s = 0; s < a.samples; ++s) {
      const std::int64_t at = (r * a.samples + s) * a.n;
      float* out = a.out + at;
      if (a.hard || a.gumbel != nullptr || power == 0.0f) {
        F top = set(0.0f);
        const bool drawn = a.gumbel == nullptr && power != 0.0f;
        if (drawn) {
          top = drawn_values(z, a.n, power, words, static_cast<std::uint64_t>(at), row);
        } else if (power != 0.0f) {
          top = recorded_values(z, a.gumbel + at, a.n, power, row);
        } else {
          for (std::int64_t i = 0; i < a.n; i += 16) store(row + i, load(z + i));
        }
        if (a.hard) {
          write_choice(row, largest(top), a.n, out);
        } else {
          write_scaled(row, 1.0f / exponentiate(row, a.n, top), a.n, out);
        }
      } else {
        const float total = drawn_weights(w, z, a.n, power, words, static_cast<std::uint64_t>(at), row);
        write_scaled(row, 1.0f / total, a.n, out);
      }
    }
  }
}

void random_words(std::uint32_t* out, std::uint64_t first, std::int64_t n, const Address& address) {
  Words words;
  words.address = address;
  for (std::int64_t start = 0; start < n; start += kWordChunk) {
    const std::int64_t count = n - start < kWordChunk ? n - start : kWordChunk;
    const std::uint32_t* word = words.take(first + static_cast<std::uint64_t>(start), count);
    for (std::int64_t i = 0; i < count; ++i) out[start + i] = word[i];
  }
}

bool all_finite(const float* values, std::int64_t n) {
  const I magnitude = set(0x7fffffff), largest_finite = set(0x7f7fffff);
  I bad = set(0);
  for (std::int64_t i = 0; i < n; i += 16) bad = bad | ((as_int(load_upto(values + i, n - i, 0.0f)) & magnitude) > largest_finite);
  return !any(bad);
}

}  // namespace pose_rt::POSE_RT_ISA
