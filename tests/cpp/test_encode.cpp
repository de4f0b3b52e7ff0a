// The coding of rows and queries, of every instruction set this machine has, against the scalar one
// and against what codes must decode to.
#include <doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

#include "cpp/code_kernels.h"
#include "cpp/guarded.h"

using gapless::CodeKernels;
using gapless::LineHead;
using gapless::QueryCode;

namespace {

std::vector<float> normal(std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> draw;
  std::vector<float> found(count);
  for (float& x : found) x = draw(random);
  return found;
}

struct Coded {
  explicit Coded(std::size_t dim) : bits(dim / 8), nibbles(dim / 2), bytes(dim) {}
  int nibble(std::size_t j) {
    const std::size_t half = nibbles.end() - nibbles.begin();
    return j < half ? nibbles[j] & 15 : nibbles[j - half] >> 4;
  }
  double coarse(std::size_t j) {
    return static_cast<double>(head.nibble_scale) * (2 * nibble(j) - 15);
  }
  double fine(std::size_t j) {
    return coarse(j) + static_cast<double>(head.byte_scale) * (bytes[j] - 128);
  }
  LineHead head{};
  Guarded<std::uint8_t> bits, nibbles, bytes;
};

void encode(const CodeKernels& isa, const float* y, std::size_t dim, Coded* out) {
  out->head = isa.encode_row(y, dim, out->bits.data(), out->nibbles.data(), out->bytes.data());
}

template <typename T>
std::size_t count_far(const T* a, const T* b, std::size_t count) {
  std::size_t different = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const int distance = std::abs(static_cast<int>(a[i]) - static_cast<int>(b[i]));
    REQUIRE(distance <= 1);
    different += distance != 0;
  }
  return different;
}

double square_of(const std::vector<float>& y) {
  double sum = 0.0;
  for (const float x : y) sum += static_cast<double>(x) * x;
  return sum;
}

}  // namespace

TEST_CASE("hadamard: scalar's bits, its own inverse, lengths kept") {
  std::mt19937 random(5);
  for (std::size_t block = 1; block <= 2048; block *= 2) {
    for (const std::size_t count : {1, 3}) {
      CAPTURE(block);
      const std::vector<float> values = normal(block * count, random);
      std::vector<float> expected = values;
      scalar_codes().hadamard(expected.data(), block, count);
      CHECK(square_of(expected) == doctest::Approx(square_of(values)).epsilon(1e-5));
      for_each_isa([&](const CodeKernels& isa) {
        Guarded<float> got(block * count);
        std::copy(values.begin(), values.end(), got.begin());
        isa.hadamard(got.data(), block, count);
        REQUIRE(std::equal(got.begin(), got.end(), expected.begin()));
        isa.hadamard(got.data(), block, count);
        for (std::size_t i = 0; i < values.size(); ++i) {
          REQUIRE(std::fabs(got[i] - values[i]) <= 1e-5F);
        }
      });
    }
  }
  std::vector<float> one(64, 0.0F);
  one[0] = 8.0F;
  scalar_codes().hadamard(one.data(), 64, 1);
  for (const float x : one) REQUIRE(x == 1.0F);
}

TEST_CASE("encode_query: two bytes hold a value to a 508th of a step, and dots come back") {
  std::mt19937 random(6);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    for (const float size : {1.0F, 1e30F, 1e-30F}) {
      Guarded<float> values(dim);
      Guarded<std::int8_t> high(dim), low(dim), high2(dim), low2(dim);
      std::normal_distribution<float> draw;
      for (float& x : values) x = draw(random) * size;
      const QueryCode expected =
          scalar_codes().encode_query(values.data(), dim, high2.data(), low2.data());
      for_each_isa([&](const CodeKernels& isa) {
        const QueryCode code = isa.encode_query(values.data(), dim, high.data(), low.data());
        REQUIRE(code.scale == doctest::Approx(expected.scale).epsilon(1e-6));
        std::int32_t high_sum = 0, low_sum = 0;
        for (std::size_t j = 0; j < dim; ++j) {
          const double back = static_cast<double>(code.scale) * (high[j] + low[j] / 254.0);
          REQUIRE(std::fabs(back - values[j]) <= 1.02 * code.scale / 508);
          REQUIRE(high[j] >= -127);
          REQUIRE(low[j] >= -127);
          high_sum += high[j];
          low_sum += low[j];
        }
        REQUIRE(code.high_sum == high_sum);
        REQUIRE(code.low_sum == low_sum);
        REQUIRE(count_far(high.data(), high2.data(), dim) * 100 <= dim);
        if (count_far(high.data(), high2.data(), dim) == 0) {
          REQUIRE(count_far(low.data(), low2.data(), dim) * 100 <= dim + 100);
        }
      });
    }
  }
}

TEST_CASE("decode_row: what nibbles and bytes say") {
  std::mt19937 random(8);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    Guarded<std::uint8_t> nibbles(dim / 2), bytes(dim);
    Guarded<float> expected(dim), y(dim);
    for (std::uint8_t& code : nibbles) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& code : bytes) code = static_cast<std::uint8_t>(random());
    LineHead head{};
    head.nibble_scale = 0.013F;
    head.byte_scale = 0.0002F;
    scalar_codes().decode_row(head, nibbles.data(), bytes.data(), dim, expected.data());
    REQUIRE(expected[dim / 2] == doctest::Approx(0.013 * (2 * (nibbles[0] >> 4) - 15) +
                                                 0.0002 * (bytes[dim / 2] - 128)));
    for_each_isa([&](const CodeKernels& isa) {
      isa.decode_row(head, nibbles.data(), bytes.data(), dim, y.data());
      for (std::size_t j = 0; j < dim; ++j) REQUIRE(std::fabs(y[j] - expected[j]) <= 1e-7F);
    });
  }
}

TEST_CASE("encode_bytes: within half a step") {
  std::mt19937 random(7);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    for (const float size : {1.0F, 1e30F, 1e-30F}) {
      Guarded<float> y(dim);
      Guarded<std::uint8_t> bytes(dim), expected(dim);
      std::normal_distribution<float> draw;
      for (float& x : y) x = draw(random) * size;
      const float scale = scalar_codes().encode_bytes(y.data(), dim, expected.data());
      for_each_isa([&](const CodeKernels& isa) {
        const float found = isa.encode_bytes(y.data(), dim, bytes.data());
        REQUIRE(found == doctest::Approx(scale).epsilon(1e-6));
        for (std::size_t j = 0; j < dim; ++j) {
          const double back = static_cast<double>(found) * (bytes[j] - 128);
          REQUIRE(std::fabs(back - y[j]) <= 0.50001 * found);
        }
        REQUIRE(count_far(bytes.data(), expected.data(), dim) * 100 <= dim);
      });
    }
  }
}

TEST_CASE("encode_row: the head tells of the rounded codes, and they of the row") {
  std::mt19937 random(8);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    for (const float size : {1.0F, 1e15F, 1e-15F}) {
      CAPTURE(size);
      std::vector<float> values = normal(dim, random);
      for (float& x : values) x *= size / std::sqrt(static_cast<float>(dim));
      Guarded<float> y(dim);
      std::copy(values.begin(), values.end(), y.begin());
      Coded expected(dim);
      encode(scalar_codes(), y.data(), dim, &expected);
      const double square = square_of(values);
      for_each_isa([&](const CodeKernels& isa) {
        Coded got(dim);
        encode(isa, y.data(), dim, &got);
        REQUIRE(got.head.mean == 0);
        REQUIRE(got.head.factor == doctest::Approx(expected.head.factor).epsilon(1e-5));
        REQUIRE(std::abs(got.head.error - expected.head.error) <= 1);
        REQUIRE(std::equal(got.bits.begin(), got.bits.end(), expected.bits.begin()));
        double along = 0.0, norm = 0.0, coarse = 0.0, sum = 0.0;
        for (std::size_t j = 0; j < dim; ++j) {
          REQUIRE((got.bits[j / 8] >> (j % 8) & 1) == (y[j] >= 0.0F));
          const double code = 2 * got.nibble(j) - 15;
          along += y[j] * code;
          norm += code * code;
          coarse += std::pow(y[j] - got.coarse(j), 2);
          sum += std::fabs(y[j]);
          REQUIRE(std::fabs(got.fine(j) - y[j]) <= 0.5001 * got.head.byte_scale + 1e-6 * size);
        }
        REQUIRE(got.head.factor == doctest::Approx(square / sum).epsilon(1e-6));
        REQUIRE(got.head.nibble_scale == doctest::Approx(along / norm).epsilon(1e-5));
        REQUIRE(coarse <= 0.02 * square);  // Gaussian values in 16 levels: about 1 %
        double spread = 0.0;  // what the signs leave of the row, in the mean square over queries
        for (std::size_t j = 0; j < dim; ++j) {
          const double sign = y[j] >= 0.0F ? 1.0 : -1.0;
          spread += std::pow(y[j] - got.head.factor * sign, 2);
        }
        const double error = got.head.error * static_cast<double>(gapless::kErrorUnit);
        if (got.head.error < 65535) {
          REQUIRE(error * error >= spread / static_cast<double>(dim) * (1 - 1e-5));
        }
        // Two tries may be as good as each other; else the steps and so the codes are scalar's.
        double theirs = 0.0;
        for (std::size_t j = 0; j < dim; ++j) theirs += std::pow(y[j] - expected.coarse(j), 2);
        REQUIRE(coarse == doctest::Approx(theirs).epsilon(1e-4));
        if (std::fabs(got.head.nibble_scale / expected.head.nibble_scale - 1) < 1e-5) {
          std::size_t different = 0;
          for (std::size_t j = 0; j < dim; ++j) {
            REQUIRE(std::abs(got.nibble(j) - expected.nibble(j)) <= 1);
            different += got.nibble(j) != expected.nibble(j);
          }
          REQUIRE(different * 100 <= dim);
          if (different == 0) {
            REQUIRE(got.head.byte_scale == doctest::Approx(expected.head.byte_scale).epsilon(1e-4));
            REQUIRE(count_far(got.bytes.data(), expected.bytes.data(), dim) * 50 <= dim + 50);
          }
        }
      });
    }
  }
}

TEST_CASE("codes of zeros, of one value, of denormals and of huge values decode to them") {
  for (const std::size_t dim : {64, 192, 384, 2112}) {
    for (const float value : {0.0F, -0.0F, 1.0F, -0.25F, 1e-40F, -1e-44F, 1e-37F, 3e17F, -1e18F}) {
      CAPTURE(dim);
      CAPTURE(value);
      std::vector<float> y(dim, value);
      const double size = std::fabs(static_cast<double>(value));
      const double floor = 2e-37;  // below it a scale may have no inverse, and codes say 0
      for_each_isa([&](const CodeKernels& isa) {
        Coded got(dim);
        encode(isa, y.data(), dim, &got);
        REQUIRE(std::isfinite(got.head.nibble_scale));
        REQUIRE(std::isfinite(got.head.byte_scale));
        REQUIRE(got.head.factor == doctest::Approx(size).epsilon(1e-5));
        for (std::size_t j = 0; j < dim; ++j) {
          REQUIRE(std::fabs(got.fine(j) - value) <= 1e-5 * size + floor);
          REQUIRE((got.bits[j / 8] >> (j % 8) & 1) == (value >= 0.0F));
        }
        std::vector<std::int8_t> high(dim), low(dim);
        const QueryCode code = isa.encode_query(y.data(), dim, high.data(), low.data());
        Guarded<std::uint8_t> bytes(dim);
        const float scale = isa.encode_bytes(y.data(), dim, bytes.data());
        for (std::size_t j = 0; j < dim; ++j) {
          REQUIRE(std::fabs(code.scale * (high[j] + low[j] / 254.0) - value) <=
                  1e-5 * size + floor);
          REQUIRE(std::fabs(scale * (bytes[j] - 128.0) - value) <= 1e-5 * size + floor);
        }
      });
    }
  }
}

TEST_CASE("the dots over codes are those of what was coded") {
  std::mt19937 random(9);
  for (const std::size_t dim : {64, 384, 768}) {
    CAPTURE(dim);
    const std::vector<float> query = normal(dim, random);
    const std::vector<float> y = normal(dim, random);
    double exact = 0.0;
    for (std::size_t j = 0; j < dim; ++j) exact += static_cast<double>(query[j]) * y[j];
    const double lengths = std::sqrt(square_of(query) * square_of(y));
    for_each_isa([&](const CodeKernels& isa) {
      std::vector<std::int8_t> high(dim), low(dim);
      const QueryCode code = isa.encode_query(query.data(), dim, high.data(), low.data());
      Coded row(dim);
      encode(isa, y.data(), dim, &row);
      const auto dots = [&](auto kernel, const std::uint8_t* codes, std::int32_t bias) {
        std::int32_t of_high = 0, of_low = 0;
        kernel(high.data(), codes, dim, dim, nullptr, 1, &of_high);
        kernel(low.data(), codes, dim, dim, nullptr, 1, &of_low);
        return code.scale * ((of_high - bias * code.high_sum) +
                             static_cast<double>(of_low - bias * code.low_sum) / 254);
      };
      const double coarse =
          row.head.nibble_scale * (2 * dots(isa.dot_nibbles, row.nibbles.data(), 0) -
                                   15 * code.scale * (code.high_sum + code.low_sum / 254.0));
      const double fine = row.head.byte_scale * dots(isa.dot_bytes, row.bytes.data(), 128);
      const double spread = lengths / std::sqrt(static_cast<double>(dim));
      CHECK(std::fabs(coarse - exact) <= 0.5 * spread);  // five times what nibbles leave
      CHECK(std::fabs(coarse + fine - exact) <= 0.01 * spread);
    });
  }
}
