#include <doctest.h>

#include <cstdint>

#include "core/buffer.h"

using gapless::Buffer;

TEST_CASE("a buffer keeps its values and fills the new ones while it grows") {
  Buffer<std::int32_t> buffer;
  CHECK(buffer.size() == 0);
  for (std::int32_t size = 1; size < 3000; size += 7) {
    buffer.resize(static_cast<std::size_t>(size), size);
  }
  bool kept = true;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(buffer.size()); ++i) {
    const std::int32_t filled_at = i == 0 ? 1 : 1 + (i + 6) / 7 * 7;
    kept = kept && buffer[static_cast<std::size_t>(i)] == filled_at;
  }
  CHECK(kept);
}

TEST_CASE("buffers start on a cache line, large ones on a huge page") {
  Buffer<float> small;
  small.resize(3, 0.0F);
  CHECK(reinterpret_cast<std::uintptr_t>(small.data()) % 64 == 0);
  CHECK(small.bytes() >= 3 * sizeof(float));
  Buffer<float> large;
  large.resize(std::size_t{2} << 20, 1.0F);
  CHECK(reinterpret_cast<std::uintptr_t>(large.data()) % (std::size_t{2} << 20) == 0);
  CHECK(large[large.size() - 1] == 1.0F);
}

TEST_CASE("a moved buffer keeps its place in memory") {
  Buffer<int> first;
  first.resize(5, 42);
  const int* place = first.data();
  Buffer<int> second(std::move(first));
  CHECK(second.data() == place);
  Buffer<int> third;
  third = std::move(second);
  CHECK(third.data() == place);
  CHECK(third.size() == 5);
}

TEST_CASE("a buffer that shrinks and grows again shows the fill, not the past") {
  Buffer<int> buffer;
  buffer.resize(10, 1);
  buffer.resize(2, 0);
  CHECK(buffer.size() == 2);
  buffer.resize(10, 3);
  CHECK(buffer[1] == 1);
  CHECK(buffer[2] == 3);
  CHECK(buffer[9] == 3);
}
