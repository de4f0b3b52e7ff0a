#include <doctest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/scan.h"

using namespace gapless;

TEST_CASE("scan kernels keep what the reference keeps") {
  std::mt19937 random(1);
  const float specials[] = {0.5f,
                            0.0f,
                            -2.0f,
                            std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()};
  for (int round = 0; round < 200; ++round) {
    const std::size_t count = (1 + random() % 9) * kPanelRows;
    const std::size_t first = random() % 3 * kPanelRows;
    const std::size_t all = first + count;
    const std::size_t parts = 1 + random() % (kMostScanDims / kPartDims);
    const std::size_t query_count = 1 + random() % kScanQueries;
    const bool extreme = random() % 4 == 0;  // every product as large as it gets
    std::vector<std::vector<std::uint8_t>> bytes(parts);
    std::vector<const std::uint8_t*> data;
    for (auto& part : bytes) {
      part.resize(all * kPartDims);
      for (auto& byte : part)
        byte = static_cast<std::uint8_t>(extreme ? random() % 2 * 255 : random());
      data.push_back(part.data());
    }
    // Powers of two and small integers: no rounding, so every instruction set must agree.
    std::vector<float> scale(all, 0.25f), tail(all), inverse(count);
    for (float& t : tail) t = static_cast<float>(random() % 64);
    for (float& i : inverse) {
      i = random() % 9 == 0 ? specials[random() % 6] : static_cast<float>(1 + random() % 3);
    }
    std::vector<std::vector<std::int8_t>> codes(query_count);
    std::vector<ScanQuery> queries(query_count);
    for (std::size_t q = 0; q < query_count; ++q) {
      codes[q].resize(parts * kPartDims);
      ScanQuery& query = queries[q];
      query = {codes[q].data(), 0, static_cast<int>(random() % 99), 2.0f, 0.0f, 64.0f};
      for (auto& code : codes[q]) {
        code = static_cast<std::int8_t>(
            extreme ? kScanQueryLimit * (random() % 2 * 2 - 1)
                    : static_cast<int>(random() % (2 * kScanQueryLimit + 1)) - kScanQueryLimit);
        query.sum += code;
      }
      query.limit = random() % 9 == 0 ? specials[random() % 6]
                                      : static_cast<float>(random() % 40000) - 20000.0f;
    }
    ScanRows rows{data.data(), parts, scale.data(), tail.data(),
                  random() % 2 == 0 ? inverse.data() : nullptr};
    std::vector<std::uint32_t> expected(query_count * count, 7), expected_found(query_count, 0);
    available_scan_kernels()[0]->scan(queries.data(), query_count, rows, first, count,
                                      expected.data(), expected_found.data());
    for (const ScanKernel* kernel : available_scan_kernels()) {
      CAPTURE(kernel->name);
      std::vector<std::uint32_t> kept(query_count * count, 7), found(query_count, 0);
      kernel->scan(queries.data(), query_count, rows, first, count, kept.data(), found.data());
      REQUIRE(found == expected_found);
      for (std::size_t q = 0; q < query_count; ++q) {
        for (std::size_t i = 0; i < found[q]; ++i) {
          REQUIRE(kept[q * count + i] == expected[q * count + i]);
        }
      }
    }
  }
}
