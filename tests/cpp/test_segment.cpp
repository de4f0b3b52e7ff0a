#include <doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "cpp/segment_forge.h"
#include "cpp/temporary_folder.h"
#include "store/file.h"
#include "store/segment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

using namespace gapless;
using forge::Bytes;
using forge::Entry;
using forge::Header;

namespace {

// "rows" spans several checksum blocks, "none" is empty, "odd" ends inside a cache line.
struct Sample {
  std::vector<float> rows = std::vector<float>(50000, 1.5F);
  std::string odd = "seventeen letters";

  Sections sections() const {
    return {{"rows", rows.data(), rows.size() * sizeof(float)},
            {"none", nullptr, 0},
            {"odd", odd.data(), odd.size()}};
  }
};

Bytes bytes_of(const std::string& path) {
  const Buffer<std::byte> content = read_file(path);
  return Bytes(content.data(), content.data() + content.size());
}

Bytes segment_bytes(const Sections& sections) {
  const TemporaryFolder folder;
  write_segment(folder.file("s"), "test", sections);
  return bytes_of(folder.file("s"));
}

Bytes small_segment() {
  static const std::string kText(100, 'a');
  return segment_bytes({{"one", kText.data(), 100}, {"two", kText.data(), 30}});
}

// What parse() says of the bytes; empty when it takes them.
std::string complaint(const Bytes& bytes) {
  try {
    Segment::parse(bytes, "FILE");
  } catch (const CorruptFile& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string forged_entry(std::size_t i, const std::function<void(Entry&)>& edit) {
  Bytes bytes = small_segment();
  Entry entry = forge::entry_of(bytes, i);
  edit(entry);
  forge::put_entry(bytes, i, entry);
  forge::reseal(bytes);
  return complaint(bytes);
}

std::string forged_header(const std::function<void(Header&)>& edit) {
  Bytes bytes = small_segment();
  Header header = forge::header_of(bytes);
  edit(header);
  forge::put_header(bytes, header);
  forge::reseal(bytes);
  return complaint(bytes);
}

}  // namespace

TEST_CASE("a segment is read back as written") {
  const TemporaryFolder folder;
  const std::string path = folder.file("s.seg");
  const Sample sample;
  write_segment(path, "flat", sample.sections());
  const Segment segment = Segment::read(path);
  CHECK(segment.kind() == "flat");
  REQUIRE(segment.sections().size() == 3);
  for (const Section& written : sample.sections()) {
    const Section* read = segment.find(written.name);
    REQUIRE(read != nullptr);
    REQUIRE(read->bytes == written.bytes);
    CHECK((written.bytes == 0 || std::memcmp(read->data, written.data, written.bytes) == 0));
    CHECK(reinterpret_cast<std::uintptr_t>(read->data) % 64 == 0);
    CHECK(segment.offset_of(written.name) % 64 == 0);
  }
  CHECK(segment.find("rowz") == nullptr);
  CHECK(segment.offset_of("rowz") == 0);
  const std::string damage = segment.damage("odd", "it is odd").what();
  CHECK(contains(damage, path + ": section odd at byte " +
                             std::to_string(segment.offset_of("odd")) + ": it is odd; "));
}

TEST_CASE("a segment survives the move of the object that owns its bytes") {
  const TemporaryFolder folder;
  const Sample sample;
  write_segment(folder.file("s"), "flat", sample.sections());
  Segment first = Segment::read(folder.file("s"));
  const Segment second = std::move(first);
  CHECK(std::memcmp(second.find("odd")->data, sample.odd.data(), sample.odd.size()) == 0);
}

TEST_CASE("segments without sections or bytes are segments") {
  CHECK(complaint(segment_bytes({})) == "");
  CHECK(complaint(segment_bytes({{"none", nullptr, 0}})) == "");
}

TEST_CASE("the same sections give the same bytes") {
  const Sample sample;
  CHECK(segment_bytes(sample.sections()) == segment_bytes(sample.sections()));
}

TEST_CASE("bad names are refused before a file is touched") {
  const TemporaryFolder folder;
  const std::string path = folder.file("s");
  for (const char* name : {"", "ninechars", "sp ace", "slash/", "\xC3\xBC"}) {
    CAPTURE(name);
    CHECK_THROWS_AS(write_segment(path, "kind", {{name, nullptr, 0}}), InvalidArgument);
    CHECK_THROWS_AS(write_segment(path, name, {}), InvalidArgument);
  }
  CHECK_THROWS_AS(write_segment(path, "kind", {{"a", nullptr, 0}, {"a", nullptr, 0}}),
                  InvalidArgument);
  CHECK_FALSE(folder.has("s"));
  CHECK_FALSE(folder.has("s.tmp"));
}

TEST_CASE("every truncation is noticed") {
  const Bytes whole = small_segment();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    const std::string what = complaint(Bytes(whole.begin(), whole.begin() + size));
    REQUIRE(contains(what, "truncated: it has " + std::to_string(size) + " bytes"));
    REQUIRE(contains(what, "at byte " + std::to_string(size)));
  }
}

TEST_CASE("every flipped bit is noticed") {
  Bytes bytes = small_segment();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    CAPTURE(bit);
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
    REQUIRE(complaint(bytes) != "");
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
  }
  CHECK(complaint(bytes) == "");
}

TEST_CASE("each kind of damage has its own message") {
  const Bytes whole = small_segment();
  const auto flipped = [&](std::size_t at) {
    Bytes bytes = whole;
    bytes[at] ^= std::byte{0x10};
    return complaint(bytes);
  };
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  const std::size_t sums = forge::header_of(whole).checksums_offset;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {complaint(Bytes(whole.begin(), whole.end() - 5)), "truncated"},
      {complaint(longer), "the header says"},
      {flipped(0), "this is no gapless segment (wrong magic bytes); check the path"},
      {flipped(30), "section header at byte 0: the header's checksum"},
      {flipped(70), "section table at byte 64: the section table's checksum"},
      {flipped(sums), "section sums at byte " + std::to_string(sums)},
      {flipped(128), "section one|two at byte 128: the checksum of this block"},
      {forged_header([](Header& header) { header.version = 2; }),
       "written by a newer gapless (format 2, this one reads up to 1); upgrade gapless"},
      {forged_header([](Header& header) { header.version = 0; }), "was never released"},
  };
  std::set<std::string> distinct;
  for (const auto& [message, expected] : cases) {
    CAPTURE(message);
    CAPTURE(expected);
    CHECK(contains(message, expected));
    CHECK(message.starts_with("FILE: section "));
    CHECK(distinct.insert(message).second);
  }
}

TEST_CASE("damage is placed in its block and section") {
  const Sample sample;
  const Bytes whole = segment_bytes(sample.sections());
  const std::uint64_t body = forge::entry_of(whole, 0).offset;
  Bytes bytes = whole;
  bytes[body + 2 * format::kBlock + 12345] ^= std::byte{1};
  bytes[body + 3 * format::kBlock + 1] ^= std::byte{1};
  CHECK(contains(
      complaint(bytes),
      "section rows at byte " + std::to_string(body + 2 * format::kBlock) + ": the checksum"));
}

TEST_CASE("forged tables with right checksums are refused") {
  const std::uint64_t huge = ~std::uint64_t{0};
  CHECK(contains(forged_entry(1, [](Entry& e) { e.offset -= 64; }), "it must start at byte"));
  CHECK(contains(forged_entry(1, [](Entry& e) { e.offset += 64; }), "it must start at byte"));
  CHECK(contains(forged_entry(0, [](Entry& e) { e.offset += 1; }), "it must start at byte"));
  CHECK(contains(forged_entry(0, [&](Entry& e) { e.offset = huge; }), "it must start at byte"));
  CHECK(contains(forged_entry(1, [](Entry& e) { e.bytes = 65; }), "do not fit"));
  CHECK(contains(forged_entry(1, [&](Entry& e) { e.bytes = huge; }), "do not fit"));
  CHECK(contains(forged_entry(1, [&](Entry& e) { e.bytes = huge - 63; }), "do not fit"));
  CHECK(contains(forged_entry(1, [](Entry& e) { e.bytes = 0; }), "checksums must start at byte"));
  CHECK(contains(forged_entry(1, [](Entry& e) { e.bytes = 29; }), "the padding behind it"));
  CHECK(contains(forged_entry(1, [](Entry& e) { std::memcpy(e.name, "one\0\0\0\0\0", 8); }),
                 "a second section one"));
  CHECK(contains(forged_entry(0, [](Entry& e) { std::memset(e.name, 0, 8); }), "no valid name"));
  CHECK(contains(forged_entry(0, [](Entry& e) { std::memset(e.name, 0xFF, 8); }), "no valid name"));
  CHECK(contains(forged_entry(0, [](Entry& e) { std::memcpy(e.name, "a\0b", 3); }), "valid name"));
}

TEST_CASE("forged headers with right checksums are refused") {
  CHECK(contains(forged_header([](Header& h) { h.section_count = 0xFFFFFFFF; }), "out of place"));
  CHECK(contains(forged_header([](Header& h) { h.checksums_offset = ~std::uint64_t{0}; }),
                 "out of place"));
  CHECK(contains(forged_header([](Header& h) { h.checksums_offset += 1; }), "out of place"));
  CHECK(contains(forged_header([](Header& h) { h.checksums_offset = 0; }), "out of place"));
  CHECK(contains(forged_header([](Header& h) { h.checksums_offset -= 64; }), "of checksums where"));
  CHECK(contains(forged_header([](Header& h) { h.file_bytes = ~std::uint64_t{0}; }), "truncated"));
  CHECK(contains(forged_header([](Header& h) { h.file_bytes -= 1; }), "the header says"));
  CHECK(contains(forged_header([](Header& h) { std::memset(h.kind, 0, 8); }), "no valid name"));
}

TEST_CASE("a missing file is the system's error, not damage") {
  CHECK_THROWS_AS(Segment::read("/no/such/segment"), IoError);
}

// What the libFuzzer target does in depth, in every run and with any compiler.
TEST_CASE("mutated segments never get past the fuzz target") {
  const Bytes whole = small_segment();
  std::mt19937 random(7);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  for (int round = 0; round < 3000; ++round) {
    Bytes bytes = whole;
    for (std::size_t edit = 0; edit <= below(4); ++edit) {
      const std::size_t at = below(3) == 0 ? below(bytes.size()) : below(128);
      bytes[at] = below(2) == 0 ? std::byte(random()) : std::byte(0xFF * below(2));
    }
    if (below(4) == 0) bytes.resize(below(2 * bytes.size()));
    CHECK(LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                 bytes.size()) == 0);
  }
}
