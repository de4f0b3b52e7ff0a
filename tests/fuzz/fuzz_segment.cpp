// libFuzzer target: whatever the bytes, a segment is parsed or CorruptFile is thrown. Build with
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -Icpp -Itests
//     tests/fuzz/fuzz_segment.cpp cpp/store/*.cpp cpp/core/*.cpp -pthread -o fuzz_segment
// and run ./fuzz_segment -max_total_time=60 CORPUS, a folder of saved indexes.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "core/error.h"
#include "cpp/segment_forge.h"
#include "store/segment.h"

namespace {

void parse(const forge::Bytes& bytes) {
  const gapless::Segment segment = gapless::Segment::parse(bytes, "fuzzed");
  // Every byte a section claims must be there to be read: the address sanitizer watches.
  for (const gapless::Section& section : segment.sections()) {
    const auto* data = static_cast<const volatile unsigned char*>(section.data);
    for (std::size_t i = 0; i < section.bytes; ++i) static_cast<void>(data[i]);
    if (segment.offset_of(section.name) + section.bytes > bytes.size()) std::abort();
    if (segment.find(section.name) != &section) std::abort();
  }
}

void try_parse(const forge::Bytes& bytes) {
  try {
    parse(bytes);
  } catch (const gapless::CorruptFile&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  forge::Bytes bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  try_parse(bytes);
  // Again with right checksums, or nothing behind them would ever be reached.
  forge::reseal(bytes);
  try_parse(bytes);
  return 0;
}
