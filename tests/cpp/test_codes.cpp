// The kernels over coded rows, of every instruction set this machine has, against the scalar ones.
#include <doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"

using gapless::available_kernels;
using gapless::CodeKernels;
using gapless::Kernels;
using gapless::LineHead;
using gapless::LineQuery;
using gapless::NibbleQuery;
using gapless::QueryCode;
using gapless::Slot;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Values that end where readable memory ends: one step too far is a crash, not a wrong digit.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : count_(count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = (count * sizeof(T) + page - 1) / page * page;
    mapped_ = bytes + page;
    base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(base_ != MAP_FAILED);
    auto* end = static_cast<char*>(base_) + bytes;
    REQUIRE(mprotect(end, page, PROT_NONE) == 0);
    data_ = reinterpret_cast<T*>(end) - count;
  }
  ~Guarded() { munmap(base_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  T* data() { return data_; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  std::size_t count_;
  void* base_ = nullptr;
  std::size_t mapped_ = 0;
  T* data_ = nullptr;
};

bool quick() { return std::getenv("GAPLESS_TEST_QUICK") != nullptr; }

std::vector<std::size_t> dims() {
  if (quick()) return {64, 128, 192, 256, 384, 448, 512, 768, 1024, 2112};
  std::vector<std::size_t> found;
  for (std::size_t dim = 64; dim <= 2112; dim += 64) found.push_back(dim);
  return found;
}

template <typename Check>
void for_each_isa(Check check) {
  for (const Kernels* isa : available_kernels()) {
    CAPTURE(std::string(isa->name));
    check(*isa->codes);
  }
}

const CodeKernels& scalar() { return *available_kernels().front()->codes; }

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

std::vector<float> normal(std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> draw;
  std::vector<float> found(count);
  for (float& x : found) x = draw(random);
  return found;
}

struct Coded {
  explicit Coded(std::size_t dim) : bits(dim / 8), nibbles(dim / 2), bytes(dim) {}
  int nibble(std::size_t j) {
    const std::size_t half = bytes.end() - bytes.begin();
    return j < half / 2 ? nibbles[j] & 15 : nibbles[j - half / 2] >> 4;
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
        scalar().dot_bytes(query.data(), rows.data(), stride, dim, which, count, expected.data());
        for_each_isa([&](const CodeKernels& isa) {
          isa.dot_bytes(query.data(), rows.data(), stride, dim, which, count, got.data());
          REQUIRE(same());
        });
        scalar().dot_nibbles(query.data(), halves.data(), half_stride, dim, which, count,
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
      scalar().dot_bf16(query.data(), rows.data(), stride, dim, which, count, expected.data());
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
          const std::size_t most = run(scalar(), limit - margin, maybe.data());
          const std::size_t least = run(scalar(), limit + margin, surely.data());
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
      run(scalar(), expected.data());
      for_each_isa([&](const CodeKernels& isa) {
        run(isa, got.data());
        for (std::size_t i = 0; i < count; ++i) {
          REQUIRE(std::fabs(got[i] - expected[i]) <= 4e-7F * (std::fabs(expected[i]) + 2.0F));
        }
      });
    }
  }
}

TEST_CASE("hadamard: scalar's bits, its own inverse, lengths kept") {
  std::mt19937 random(5);
  for (std::size_t block = 1; block <= 2048; block *= 2) {
    for (const std::size_t count : {1, 3}) {
      CAPTURE(block);
      const std::vector<float> values = normal(block * count, random);
      std::vector<float> expected = values;
      scalar().hadamard(expected.data(), block, count);
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
  scalar().hadamard(one.data(), 64, 1);
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
          scalar().encode_query(values.data(), dim, high2.data(), low2.data());
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

TEST_CASE("encode_bytes: within half a step") {
  std::mt19937 random(7);
  for (const std::size_t dim : dims()) {
    CAPTURE(dim);
    for (const float size : {1.0F, 1e30F, 1e-30F}) {
      Guarded<float> y(dim);
      Guarded<std::uint8_t> bytes(dim), expected(dim);
      std::normal_distribution<float> draw;
      for (float& x : y) x = draw(random) * size;
      const float scale = scalar().encode_bytes(y.data(), dim, expected.data());
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
      encode(scalar(), y.data(), dim, &expected);
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
