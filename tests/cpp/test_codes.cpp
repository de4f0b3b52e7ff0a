// The dot products and filters over coded rows, of every instruction set this machine has, against
// the scalar ones.
#include <doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "cpp/code_kernels.h"
#include "cpp/guarded.h"

using gapless::CodeKernels;
using gapless::LineHead;
using gapless::LineQuery;
using gapless::NibbleQuery;
using gapless::Slot;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<Slot> some_slots(std::size_t count, std::size_t rows, std::mt19937& random) {
  std::vector<Slot> slots(count);
  for (Slot& slot : slots) slot = static_cast<Slot>(random() % rows);
  return slots;
}

void fill(std::uint8_t* data, std::size_t count, std::mt19937& random) {
  for (std::size_t i = 0; i < count; ++i) data[i] = static_cast<std::uint8_t>(random());
}

void fill(std::int8_t* data, std::size_t count, std::mt19937& random) {
  for (std::size_t i = 0; i < count; ++i) {
    data[i] = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  }
}

}  // namespace

TEST_CASE("dot_bytes and dot_nibbles: the scalar sums at every dim, count and alignment") {
  std::mt19937 random(1);
  for (const std::size_t dim : dims()) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, dim / 64 % 11, dim % 71}) {
      CAPTURE(dim);
      CAPTURE(count);
      const std::size_t stored = std::max<std::size_t>(count, 1);
      const std::size_t gap = random() % 3;
      const std::size_t stride = dim + gap;
      const std::size_t half_stride = dim / 2 + gap;
      Guarded<std::int8_t> query(dim);
      Guarded<std::uint8_t> rows(stored * stride - gap), halves(stored * half_stride - gap);
      Guarded<std::int32_t> got(count), expected(count);
      fill(query.data(), dim, random);
      fill(rows.data(), stored * stride - gap, random);
      fill(halves.data(), stored * half_stride - gap, random);
      const auto slots = some_slots(count, stored, random);
      for (const Slot* which : {static_cast<const Slot*>(nullptr), slots.data()}) {
        const auto same = [&] { return std::equal(got.begin(), got.end(), expected.begin()); };
        scalar_codes().dot_bytes(query.data(), rows.data(), stride, dim, which, count,
                                 expected.data());
        for_each_isa([&](const CodeKernels& isa) {
          isa.dot_bytes(query.data(), rows.data(), stride, dim, which, count, got.data());
          REQUIRE(same());
        });
        scalar_codes().dot_nibbles(query.data(), halves.data(), half_stride, dim, which, count,
                                   expected.data());
        for_each_isa([&](const CodeKernels& isa) {
          isa.dot_nibbles(query.data(), halves.data(), half_stride, dim, which, count, got.data());
          REQUIRE(same());
        });
      }
    }
  }
}

TEST_CASE("integer sums at the extremes of codes and queries") {
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    for (const int code : {-127, 127}) {
      for (const int byte : {0, 15, 240, 255}) {
        const std::size_t count = 5;
        std::vector<std::int8_t> query(dim, static_cast<std::int8_t>(code));
        std::vector<std::uint8_t> rows(count * dim, static_cast<std::uint8_t>(byte));
        const auto size = static_cast<std::int32_t>(dim);
        for_each_isa([&](const CodeKernels& isa) {
          std::vector<std::int32_t> out(count);
          isa.dot_bytes(query.data(), rows.data(), dim, dim, nullptr, count, out.data());
          for (const std::int32_t sum : out) REQUIRE(sum == size * code * byte);
          isa.dot_nibbles(query.data(), rows.data(), dim, dim, nullptr, count, out.data());
          const std::int32_t expected = size / 2 * code * (byte % 16 + byte / 16);
          for (const std::int32_t sum : out) REQUIRE(sum == expected);
        });
      }
    }
  }
}

TEST_CASE("dot_bf16: the sum in double, and copies of a row tie") {
  std::mt19937 random(2);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    const std::size_t count = dim / 64 % 11;
    const std::size_t stored = std::max<std::size_t>(count, 1);
    const std::size_t stride = dim + random() % 3;
    Guarded<float> query(dim), out(count), expected(count);
    Guarded<std::uint16_t> rows(stored * stride);
    std::normal_distribution<float> draw;
    for (float& x : query) x = draw(random);
    for (std::uint16_t& half : rows) {
      const float x = draw(random) * (random() % 50 == 0 ? 1e-39F : 1.0F);  // some denormals
      half = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
    }
    const auto slots = some_slots(count, stored, random);
    for (const Slot* which : {static_cast<const Slot*>(nullptr), slots.data()}) {
      scalar_codes().dot_bf16(query.data(), rows.data(), stride, dim, which, count,
                              expected.data());
      for_each_isa([&](const CodeKernels& isa) {
        isa.dot_bf16(query.data(), rows.data(), stride, dim, which, count, out.data());
        for (std::size_t i = 0; i < count; ++i) {
          const std::uint16_t* row = rows.data() + (which == nullptr ? i : which[i]) * stride;
          double magnitudes = 0.0;
          for (std::size_t j = 0; j < dim; ++j) {
            magnitudes += std::fabs(static_cast<double>(query[j]) * gapless::bf16_to_float(row[j]));
          }
          REQUIRE(std::fabs(out[i] - expected[i]) <= 1e-7 * magnitudes * 16);
        }
        if (count == 0) return;
        const std::vector<Slot> copies(7, slots[0]);
        std::vector<float> same(7);
        isa.dot_bf16(query.data(), rows.data(), stride, dim, copies.data(), 7, same.data());
        for (const float x : same) REQUIRE(x == same[0]);
      });
    }
  }
}

TEST_CASE("filter_lines keeps what scalar keeps, in order") {
  std::mt19937 random(3);
  for (const std::size_t dim : dims()) {
    for (const std::size_t count : {0, 1, 3, 4, 15, 16, 17, 33, 70}) {
      CAPTURE(dim);
      CAPTURE(count);
      const std::size_t stored = std::max<std::size_t>(count, 1);
      const std::size_t size = sizeof(LineHead) + dim / 8;
      const std::size_t stride = size + random() % 3;
      Guarded<std::int8_t> code(dim);
      Guarded<std::uint8_t> lines((stored - 1) * stride + size);
      Guarded<std::int16_t> means(stored);
      Guarded<float> r(stored);
      fill(code.data(), dim, random);
      fill(lines.data(), (stored - 1) * stride + size, random);
      std::int32_t sum = 0;
      for (const std::int8_t x : code) sum += x;
      for (std::size_t i = 0; i < stored; ++i) {
        const LineHead head = {0.03F + 0.01F * static_cast<float>(random() % 8), 1.0F, 1.0F,
                               static_cast<std::uint16_t>(random()),
                               static_cast<std::int16_t>(random())};
        std::memcpy(lines.data() + i * stride, &head, sizeof(head));
        means[i] = static_cast<std::int16_t>(random());
        r[i] = 0.5F + static_cast<float>(random() % 4);
      }
      const auto slots = some_slots(count, stored, random);
      const float scale = 1e-3F;
      for (int kind = 0; kind < 8; ++kind) {
        const LineQuery query = {code.data(),
                                 sum,
                                 scale,
                                 0.8F * gapless::kErrorUnit,
                                 0.125F,
                                 (kind & 1) != 0 ? means.data() : nullptr,
                                 gapless::kMeanUnit,
                                 (kind & 2) != 0 ? r.data() : nullptr};
        const Slot* which = (kind & 4) != 0 ? slots.data() : nullptr;
        // Bounds of which no row's lies within rounding: between those that scalar keeps apart.
        for (float limit : {-kInfinity, -2.0F, -0.3F, 0.0F, 0.4F, 1.5F, kInfinity}) {
          Guarded<Slot> expected(count), got(count);
          std::vector<Slot> surely(count), maybe(count);
          const auto run = [&](const CodeKernels& isa, float at, Slot* kept) {
            return isa.filter_lines(query, lines.data(), stride, dim, which, count, at, kept);
          };
          const float margin = 2e-5F;
          const std::size_t most = run(scalar_codes(), limit - margin, maybe.data());
          const std::size_t least = run(scalar_codes(), limit + margin, surely.data());
          maybe.resize(most);
          surely.resize(least);
          for_each_isa([&](const CodeKernels& isa) {
            const std::size_t found = run(isa, limit, got.data());
            REQUIRE(found <= most);
            REQUIRE(found >= least);
            // Subsequences: order kept, nothing invented, nothing sure lost.
            const auto within = [](const Slot* a, std::size_t n, const Slot* b, std::size_t m) {
              std::size_t i = 0;
              for (std::size_t j = 0; j < m && i < n; ++j) i += a[i] == b[j];
              return i == n;
            };
            REQUIRE(within(got.data(), found, maybe.data(), most));
            REQUIRE(within(surely.data(), least, got.data(), found));
            if (std::isinf(limit)) REQUIRE(found == (limit < 0 ? count : 0));
          });
        }
      }
    }
  }
}

TEST_CASE("filter_lines: a bound that equals the limit is kept, NaN is not") {
  const std::size_t dim = 128;
  const std::size_t stride = 40;
  const std::size_t count = 21;
  std::vector<std::int8_t> code(dim, 0);
  std::vector<std::uint8_t> lines(count * stride, 0xff);
  for (std::size_t i = 0; i < count; ++i) {
    const LineHead head = {1.0F, 0.0F, 0.0F, static_cast<std::uint16_t>(i % 3 == 0 ? 65535 : 0), 0};
    std::memcpy(lines.data() + i * stride, &head, sizeof(head));
  }
  LineQuery query = {code.data(), 0, 1.0F, 0.0F, 0.25F, nullptr, 1.0F, nullptr};
  for_each_isa([&](const CodeKernels& isa) {
    std::vector<Slot> kept(count);
    const auto run = [&](float limit) {
      return isa.filter_lines(query, lines.data(), stride, dim, nullptr, count, limit, kept.data());
    };
    query.slack = 0.0F;
    CHECK(run(0.25F) == count);
    CHECK(run(std::nextafter(0.25F, 1.0F)) == 0);
    query.slack = kInfinity;  // times an error of 0
    CHECK(run(-kInfinity) == 7);
    for (std::size_t i = 0; i < 7; ++i) CHECK(kept[i] == 3 * i);
  });
}

TEST_CASE("score_nibbles gives scalar's scores") {
  std::mt19937 random(4);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    const std::size_t count = dim / 64 * 7 % 71;
    const std::size_t stored = std::max<std::size_t>(count, 1);
    const std::size_t gap = random() % 3;
    const std::size_t stride = dim / 2 + gap;
    const std::size_t line_stride = sizeof(LineHead) + gap;
    Guarded<std::int8_t> code(dim);
    Guarded<std::uint8_t> rows(stored * stride - gap), lines(stored * line_stride - gap);
    Guarded<float> r(stored), expected(count), got(count);
    fill(code.data(), dim, random);
    fill(rows.data(), stored * stride - gap, random);
    std::int32_t sum = 0;
    for (const std::int8_t x : code) sum += x;
    for (std::size_t i = 0; i < stored; ++i) {
      const LineHead head = {0.0F, 1e-3F * static_cast<float>(1 + random() % 9), 0.0F, 1, 2};
      std::memcpy(lines.data() + i * line_stride, &head, sizeof(head));
      r[i] = 0.5F + static_cast<float>(random() % 4);
    }
    const auto slots = some_slots(count, stored, random);
    for (int kind = 0; kind < 4; ++kind) {
      const NibbleQuery query = {code.data(), sum, 1e-2F, 0.5F,
                                 (kind & 1) != 0 ? r.data() : nullptr};
      const Slot* which = (kind & 2) != 0 ? slots.data() : nullptr;
      const auto run = [&](const CodeKernels& isa, float* out) {
        isa.score_nibbles(query, rows.data(), stride, lines.data(), line_stride, dim, which, count,
                          out);
      };
      run(scalar_codes(), expected.data());
      for_each_isa([&](const CodeKernels& isa) {
        run(isa, got.data());
        for (std::size_t i = 0; i < count; ++i) {
          REQUIRE(std::fabs(got[i] - expected[i]) <= 4e-7F * (std::fabs(expected[i]) + 2.0F));
        }
      });
    }
  }
}
