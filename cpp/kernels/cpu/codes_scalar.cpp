// The reference of the kernels over coded rows.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/isa.h"

namespace gapless {
namespace {

std::size_t place(const Slot* slots, std::size_t i) { return slots == nullptr ? i : slots[i]; }

void dot_bytes(const std::int8_t* query, const std::uint8_t* rows, std::size_t stride,
               std::size_t dim, const Slot* slots, std::size_t count, std::int32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* row = rows + place(slots, i) * stride;
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < dim; ++j) sum += query[j] * row[j];
    out[i] = sum;
  }
}

std::int32_t dot_nibble_row(const std::int8_t* query, const std::uint8_t* row, std::size_t dim) {
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < dim / 2; ++j) {
    sum += query[j] * (row[j] & 15) + query[j + dim / 2] * (row[j] >> 4);
  }
  return sum;
}

void dot_nibbles(const std::int8_t* query, const std::uint8_t* rows, std::size_t stride,
                 std::size_t dim, const Slot* slots, std::size_t count, std::int32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = dot_nibble_row(query, rows + place(slots, i) * stride, dim);
  }
}

void dot_bf16(const float* query, const std::uint16_t* rows, std::size_t stride, std::size_t dim,
              const Slot* slots, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t* row = rows + place(slots, i) * stride;
    double sum = 0.0;
    for (std::size_t j = 0; j < dim; ++j) {
      sum += static_cast<double>(query[j]) * bf16_to_float(row[j]);
    }
    out[i] = static_cast<float>(sum);
  }
}

LineHead head_of(const std::uint8_t* line) {  // lines may stand at any address
  LineHead head;
  std::memcpy(&head, line, sizeof(head));
  return head;
}

float bound(const LineQuery& query, const std::uint8_t* line, std::size_t dim, Slot slot) {
  const LineHead head = head_of(line);
  const std::uint8_t* bits = line + sizeof(LineHead);
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < dim; ++j) sum += (bits[j / 8] >> (j % 8) & 1) * query.code[j];
  const float estimate =
      query.scale * head.factor * static_cast<float>(2 * sum - query.sum) + query.base;
  const float mean = static_cast<float>(query.means == nullptr ? head.mean : query.means[slot]);
  const float upper = estimate + mean * query.mean_unit + head.error * query.slack;
  return query.r == nullptr ? upper : upper * query.r[slot];
}

std::size_t filter_lines(const LineQuery& query, const std::uint8_t* lines, std::size_t stride,
                         std::size_t dim, const Slot* slots, std::size_t count, float limit,
                         Slot* kept) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto slot = static_cast<Slot>(place(slots, i));
    if (bound(query, lines + slot * stride, dim, slot) >= limit) kept[found++] = slot;
  }
  return found;
}

void score_nibbles(const NibbleQuery& query, const std::uint8_t* rows, std::size_t stride,
                   const std::uint8_t* lines, std::size_t line_stride, std::size_t dim,
                   const Slot* slots, std::size_t count, float* scores) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t slot = place(slots, i);
    const LineHead head = head_of(lines + slot * line_stride);
    const std::int32_t sum = dot_nibble_row(query.code, rows + slot * stride, dim);
    const float dot =
        query.scale * head.nibble_scale * static_cast<float>(2 * sum - 15 * query.sum);
    const float score = dot + query.base;
    scores[i] = query.r == nullptr ? score : score * query.r[slot];
  }
}

void hadamard(float* values, std::size_t block, std::size_t count) {
  for (std::size_t b = 0; b < count; ++b, values += block) {
    for (std::size_t half = 1; half < block; half *= 2) {
      for (std::size_t i = 0; i < block; i += 2 * half) {
        for (std::size_t j = i; j < i + half; ++j) {
          const float a = values[j];
          const float c = values[j + half];
          values[j] = a + c;
          values[j + half] = a - c;
        }
      }
    }
    const float scale = 1.0f / std::sqrt(static_cast<float>(block));
    for (std::size_t i = 0; i < block; ++i) values[i] *= scale;
  }
}

float largest(const float* values, std::size_t dim) {
  float most = 0.0f;
  for (std::size_t j = 0; j < dim; ++j) most = std::max(most, std::fabs(values[j]));
  return most;
}

// 1 / x, or 0 where that is not finite: then every code is that of 0.
float inverse(float x) {
  const float found = 1.0f / x;
  return std::isfinite(found) ? found : 0.0f;
}

QueryCode encode_query(const float* values, std::size_t dim, std::int8_t* high, std::int8_t* low) {
  QueryCode code;
  code.scale = largest(values, dim) / 127.0f;
  const float per_step = inverse(code.scale);
  for (std::size_t j = 0; j < dim; ++j) {
    const float steps = values[j] * per_step;
    const float whole = std::clamp(std::nearbyint(steps), -127.0f, 127.0f);
    const float part = std::clamp(std::nearbyint((steps - whole) * 254.0f), -127.0f, 127.0f);
    high[j] = static_cast<std::int8_t>(whole);
    low[j] = static_cast<std::int8_t>(part);
    code.high_sum += high[j];
    code.low_sum += low[j];
  }
  return code;
}

float encode_bytes(const float* y, std::size_t dim, std::uint8_t* bytes) {
  const float scale = largest(y, dim) / 127.0f;
  const float per_step = inverse(scale);
  for (std::size_t j = 0; j < dim; ++j) {
    const float steps = std::clamp(std::nearbyint(y[j] * per_step), -127.0f, 127.0f);
    bytes[j] = static_cast<std::uint8_t>(128.0f + steps);
  }
  return scale;
}

int nibble(float y, float per_step) {
  return static_cast<int>(std::clamp(std::nearbyint(0.5f * (y * per_step + 15.0f)), 0.0f, 15.0f));
}

// The step whose codes leave least of y, of nine tries; then the least-squares step of those codes.
float encode_nibbles(const float* y, std::size_t dim, std::uint8_t* nibbles) {
  const float widest = largest(y, dim) / 15.0f;
  float best_gain = -1.0f;
  float best_step = 0.0f;
  float best_scale = 0.0f;
  for (int attempt = 0; attempt < 9; ++attempt) {
    const float step = widest * (1.0f - 0.075f * static_cast<float>(attempt));
    const float per_step = inverse(step);
    float along = 0.0f;
    float square = 0.0f;
    for (std::size_t j = 0; j < dim; ++j) {
      const auto code = static_cast<float>(2 * nibble(y[j], per_step) - 15);
      along += y[j] * code;
      square += code * code;
    }
    const float gain = along * along / square;
    if (gain <= best_gain) continue;
    best_gain = gain;
    best_step = step;
    best_scale = along / square;
  }
  const float per_step = inverse(best_step);
  for (std::size_t j = 0; j < dim / 2; ++j) {
    const int high = nibble(y[j + dim / 2], per_step);
    nibbles[j] = static_cast<std::uint8_t>(nibble(y[j], per_step) | high << 4);
  }
  return best_scale;
}

LineHead encode_row(const float* y, std::size_t dim, std::uint8_t* bits, std::uint8_t* nibbles,
                    std::uint8_t* bytes) {
  LineHead head{};
  double sum = 0.0;
  double square = 0.0;
  std::fill(bits, bits + dim / 8, std::uint8_t{0});
  for (std::size_t j = 0; j < dim; ++j) {
    bits[j / 8] = static_cast<std::uint8_t>(bits[j / 8] | (y[j] >= 0.0f) << (j % 8));
    sum += std::fabs(y[j]);
    square += static_cast<double>(y[j]) * y[j];
  }
  head.factor = sum > 0.0 ? static_cast<float>(square / sum) : 0.0f;
  // The signs' error is orthogonal to y and spread over all dims: this much of a query is along it.
  const double left = head.factor * head.factor - square / static_cast<double>(dim);
  const double error = std::ceil(std::sqrt(std::max(0.0, left)) / kErrorUnit);
  head.error = static_cast<std::uint16_t>(std::min(65535.0, error));

  head.nibble_scale = encode_nibbles(y, dim, nibbles);
  float most = 0.0f;
  const auto rest = [&](std::size_t j) {
    const int code = j < dim / 2 ? nibbles[j] & 15 : nibbles[j - dim / 2] >> 4;
    return y[j] - head.nibble_scale * static_cast<float>(2 * code - 15);
  };
  for (std::size_t j = 0; j < dim; ++j) most = std::max(most, std::fabs(rest(j)));
  head.byte_scale = most / 127.0f;
  const float per_step = inverse(head.byte_scale);
  for (std::size_t j = 0; j < dim; ++j) {
    const float steps = std::clamp(std::nearbyint(rest(j) * per_step), -127.0f, 127.0f);
    bytes[j] = static_cast<std::uint8_t>(128.0f + steps);
  }
  return head;
}

void decode_row(const LineHead& head, const std::uint8_t* nibbles, const std::uint8_t* bytes,
                std::size_t dim, float* y) {
  for (std::size_t j = 0; j < dim; ++j) {
    const int code = j < dim / 2 ? nibbles[j] & 15 : nibbles[j - dim / 2] >> 4;
    y[j] = head.nibble_scale * static_cast<float>(2 * code - 15) +
           head.byte_scale * static_cast<float>(bytes[j] - 128);
  }
}

}  // namespace

const CodeKernels kScalarCodeKernels = {"scalar",     dot_bytes,     dot_nibbles, dot_bf16,
                                        filter_lines, score_nibbles, hadamard,    encode_query,
                                        encode_row,   decode_row,    encode_bytes};

}  // namespace gapless
