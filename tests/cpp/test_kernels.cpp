#include <doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cpp/guarded.h"
#include "kernels/kernels.h"

using gapless::available_kernels;
using gapless::Kernels;
using gapless::kTileQueries;
using gapless::Slot;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
constexpr double kDenormal = std::numeric_limits<float>::denorm_min();

using GuardedFloats = Guarded<float>;

// Dims around every vector width, and, but under an emulator, every dim up to 2049 by odd steps.
std::vector<std::size_t> dims() {
  std::vector<std::size_t> found;
  for (std::size_t dim = 1; dim <= 70; ++dim) found.push_back(dim);
  for (const std::size_t dim : {96, 127, 128, 129, 384, 512, 513, 768, 1024, 2047, 2049}) {
    found.push_back(dim);
  }
  if (std::getenv("GAPLESS_TEST_QUICK") == nullptr) {
    for (std::size_t dim = 71; dim < 2049; dim += 13) found.push_back(dim);
  }
  return found;
}

int rounds(int full) { return std::getenv("GAPLESS_TEST_QUICK") == nullptr ? full : full / 10; }

void fill(float* data, std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < count; ++i) data[i] = normal(random);
}

// How far a float sum of products may stray from the exact one: an ulp of the sum of magnitudes for
// every addition on the longest chain (4 lanes at the least), and what denormals lose.
double tolerance(const float* a, const float* b, std::size_t dim) {
  double magnitudes = 0.0;
  for (std::size_t i = 0; i < dim; ++i) magnitudes += std::fabs(static_cast<double>(a[i]) * b[i]);
  const auto additions = static_cast<double>(dim) / 4 + 8;
  return additions * (kEpsilon / 2 * magnitudes + kDenormal);
}

const Kernels& scalar() { return *available_kernels().front(); }

template <typename Check>
void for_each_isa(Check check) {
  for (const Kernels* isa : available_kernels()) {
    CAPTURE(std::string(isa->name));
    check(*isa);
  }
}

void check_close(float got, const float* a, const float* b, std::size_t dim) {
  const double expected = scalar().dot(a, b, dim);
  REQUIRE(std::fabs(got - expected) <= tolerance(a, b, dim));
}

}  // namespace

TEST_CASE("scalar comes first, the one in use is among those that run here") {
  CHECK(std::string(scalar().name) == "scalar");
  const auto& all = available_kernels();
  CHECK(std::find(all.begin(), all.end(), &gapless::kernels()) != all.end());
#if defined(__aarch64__)
  REQUIRE(all.size() >= 2);
  CHECK(std::string(all[1]->name) == "neon");
#endif
}

TEST_CASE("the scalar dot product is the sum in double") {
  const std::vector<float> a = {1.0F, -2.0F, 3.0F, 1e8F, 1.0F, -1e8F};
  const std::vector<float> b = {4.0F, 5.0F, 6.0F, 1.0F, 0.5F, 1.0F};
  CHECK(scalar().dot(a.data(), b.data(), a.size()) == 12.5F);
}

TEST_CASE("dot: every dim, unaligned, up to the last readable byte") {
  std::mt19937 random(1);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    GuardedFloats a(dim), b(dim + 1);
    fill(a.data(), dim, random);
    fill(b.data(), dim + 1, random);
    for_each_isa([&](const Kernels& isa) {
      check_close(isa.dot(a.data(), b.data() + 1, dim), a.data(), b.data() + 1, dim);
      check_close(isa.dot(b.data(), a.data(), dim), b.data(), a.data(), dim);
    });
  }
}

TEST_CASE("dot_rows and dot_gather: every dim, strides beyond it, slots in any order") {
  std::mt19937 random(2);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    const std::size_t count = 1 + dim % 11;
    const std::size_t stride = dim + dim % 3;
    GuardedFloats query(dim), rows((count - 1) * stride + dim), out(count);
    fill(query.data(), dim, random);
    fill(rows.data(), (count - 1) * stride + dim, random);
    std::vector<Slot> slots(count);
    for (Slot& slot : slots) slot = static_cast<Slot>(random() % count);
    for_each_isa([&](const Kernels& isa) {
      isa.dot_rows(query.data(), rows.data(), stride, dim, count, out.data());
      for (std::size_t i = 0; i < count; ++i) {
        check_close(out[i], query.data(), rows.data() + i * stride, dim);
      }
      isa.dot_gather(query.data(), rows.data(), stride, dim, slots.data(), count, out.data());
      for (std::size_t i = 0; i < count; ++i) {
        check_close(out[i], query.data(), rows.data() + slots[i] * stride, dim);
      }
    });
  }
}

TEST_CASE("dot_tile gives the bits of dot_rows") {
  std::mt19937 random(22);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    const std::size_t count = 1 + dim % 11;
    const std::size_t stride = dim + dim % 3;
    const std::size_t size = (count - 1) * stride + dim;
    GuardedFloats queries(kTileQueries * dim), rows(size), out(kTileQueries * count);
    fill(queries.data(), kTileQueries * dim, random);
    fill(rows.data(), size, random);
    const float* each[kTileQueries];
    for (std::size_t q = 0; q < kTileQueries; ++q) each[q] = queries.data() + q * dim;
    std::vector<float> single(count);
    for_each_isa([&](const Kernels& isa) {
      isa.dot_tile(each, rows.data(), stride, dim, count, out.data());
      for (std::size_t q = 0; q < kTileQueries; ++q) {
        isa.dot_rows(each[q], rows.data(), stride, dim, count, single.data());
        for (std::size_t i = 0; i < count; ++i) CHECK(out[q * count + i] == single[i]);
      }
    });
  }
}

TEST_CASE("no rows, nothing written") {
  float query = 1.0F, out = 7.0F;
  const Slot slot = 0;
  for_each_isa([&](const Kernels& isa) {
    isa.dot_rows(&query, &query, 1, 1, 0, &out);
    isa.dot_gather(&query, &query, 1, 1, &slot, 0, &out);
    isa.affine_score(&out, 1.0F, &query, 0);
    CHECK(out == 7.0F);
    CHECK(isa.at_least(&query, 0, 0.0F, nullptr) == 0);
  });
}

TEST_CASE("dot: denormals are kept and extremes that cancel out stay finite") {
  for (const std::size_t dim : {1, 5, 16, 33, 100}) {
    std::vector<float> tiny(dim, 1e-40F), one(dim, 1.0F), huge(dim, 1e30F), small(dim, 1e-30F);
    for_each_isa([&](const Kernels& isa) {
      const float denormal = isa.dot(tiny.data(), one.data(), dim);
      CHECK(denormal > 0.0F);
      check_close(denormal, tiny.data(), one.data(), dim);
      check_close(isa.dot(huge.data(), small.data(), dim), huge.data(), small.data(), dim);
      CHECK(isa.dot(huge.data(), huge.data(), dim) == kInfinity);
    });
  }
}

TEST_CASE("affine_score gives the scalar bits") {
  std::mt19937 random(3);
  for (std::size_t count = 1; count < 100; ++count) {
    std::vector<float> scores(count + 1), r(count + 1);
    fill(scores.data(), scores.size(), random);
    fill(r.data(), r.size(), random);
    r[count / 2] = 0.0F;
    scores[count / 3] = 1e30F;
    const float c = scores[0];
    for_each_isa([&](const Kernels& isa) {
      std::vector<float> got = scores;
      isa.affine_score(got.data() + 1, c, r.data() + 1, count);
      REQUIRE(got[0] == scores[0]);
      for (std::size_t i = 1; i <= count; ++i) REQUIRE(got[i] == (scores[i] + c) * r[i]);
    });
  }
}

TEST_CASE("normalise: unit length, the norm returned, every dim, in place too") {
  std::mt19937 random(4);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    GuardedFloats in(dim), out(dim), expected(dim);
    fill(in.data(), dim, random);
    const double norm = scalar().normalise(in.data(), expected.data(), dim);
    for_each_isa([&](const Kernels& isa) {
      REQUIRE(isa.normalise(in.data(), out.data(), dim) == doctest::Approx(norm).epsilon(1e-12));
      double square = 0.0;
      for (std::size_t i = 0; i < dim; ++i) {
        REQUIRE(std::fabs(out[i] - expected[i]) <= kEpsilon * std::fabs(expected[i]));
        square += static_cast<double>(out[i]) * out[i];
      }
      REQUIRE(square == doctest::Approx(1.0).epsilon(1e-6));
      std::memcpy(out.data(), in.data(), dim * sizeof(float));
      isa.normalise(out.data(), out.data(), dim);
      for (std::size_t i = 0; i < dim; ++i) {
        REQUIRE(std::fabs(out[i] - expected[i]) <= kEpsilon * std::fabs(expected[i]));
      }
    });
  }
}

TEST_CASE("normalise: extremes and denormals come out at unit length, never as NaN") {
  for (const float value : {1e30F, -1e30F, 1e-30F, 1e-40F, std::numeric_limits<float>::max(),
                            std::numeric_limits<float>::denorm_min()}) {
    CAPTURE(value);
    for (const std::size_t dim : {1, 3, 8, 17, 256}) {
      std::vector<float> in(dim, value), out(dim);
      for_each_isa([&](const Kernels& isa) {
        const double norm = isa.normalise(in.data(), out.data(), dim);
        CHECK(norm == doctest::Approx(std::fabs(static_cast<double>(value)) *
                                      std::sqrt(static_cast<double>(dim))));
        for (const float x : out) {
          REQUIRE(x == doctest::Approx((value > 0 ? 1 : -1) / std::sqrt(static_cast<double>(dim))));
        }
      });
    }
  }
}

TEST_CASE("normalise returns norms that say what is wrong with a row") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t dim = 1; dim < 40; ++dim) {
    for (std::size_t at = 0; at < dim; at += 3) {
      std::vector<float> zero(dim, 0.0F), bad(dim, 1.0F), out(dim);
      for_each_isa([&](const Kernels& isa) {
        CHECK(isa.normalise(zero.data(), out.data(), dim) == 0.0);
        bad[at] = nan;
        CHECK(std::isnan(isa.normalise(bad.data(), out.data(), dim)));
        bad[at] = -kInfinity;
        CHECK(isa.normalise(bad.data(), out.data(), dim) == static_cast<double>(kInfinity));
      });
    }
  }
}

TEST_CASE("at_least equals a plain loop, with ties, infinities and NaN scores") {
  std::mt19937 random(5);
  const float specials[] = {
      0.0F, -0.0F, 0.5F, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 1e-40F};
  for (int round = 0; round < rounds(2000); ++round) {
    const std::size_t count = random() % 130;
    GuardedFloats scores(count);
    for (std::size_t i = 0; i < count; ++i) {
      scores[i] = random() % 3 == 0 ? specials[random() % 7]
                                    : static_cast<float>(random() % 8) / 8.0F;  // many ties
    }
    const float thresholds[] = {0.5F, 0.0F, -kInfinity, kInfinity, 2.0F};
    const float threshold = thresholds[random() % 5];
    std::vector<std::uint32_t> expected;
    for (std::size_t i = 0; i < count; ++i) {
      if (scores[i] >= threshold) expected.push_back(static_cast<std::uint32_t>(i));
    }
    for_each_isa([&](const Kernels& isa) {
      std::vector<std::uint32_t> got(count + 1, 12345);
      const std::size_t found = isa.at_least(scores.data(), count, threshold, got.data());
      REQUIRE(found == expected.size());
      REQUIRE(std::equal(expected.begin(), expected.end(), got.begin()));
    });
  }
}

TEST_CASE("differential fuzz: random shapes, magnitudes and signs against scalar") {
  std::mt19937 random(6);
  for (int round = 0; round < rounds(1500); ++round) {
    const std::size_t dim = 1 + random() % 300;
    const std::size_t count = 1 + random() % 20;
    const std::size_t stride = dim + random() % 9;
    const std::size_t shift = random() % 16;  // floats off the cache line
    const float scale = std::pow(10.0F, static_cast<float>(random() % 25) - 12.0F);
    CAPTURE(round);
    std::vector<float> query(dim + shift), rows(count * stride + shift), out(count);
    fill(query.data(), query.size(), random);
    fill(rows.data(), rows.size(), random);
    for (float& x : rows) x *= random() % 17 == 0 ? 0.0F : scale;
    std::vector<Slot> slots(count);
    for (Slot& slot : slots) slot = static_cast<Slot>(random() % count);
    const float* q = query.data() + shift;
    const float* first = rows.data() + shift;
    for_each_isa([&](const Kernels& isa) {
      isa.dot_rows(q, first, stride, dim, count, out.data());
      for (std::size_t i = 0; i < count; ++i) check_close(out[i], q, first + i * stride, dim);
      isa.dot_gather(q, first, stride, dim, slots.data(), count, out.data());
      for (std::size_t i = 0; i < count; ++i)
        check_close(out[i], q, first + slots[i] * stride, dim);
    });
  }
}
