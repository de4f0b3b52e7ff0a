#include "store/segment.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/thread_pool.h"
#include "store/crc32c.h"
#include "store/file.h"
#include "store/format.h"

namespace gapless {
namespace {

using format::Entry;
using format::Header;
using format::kAlign;
using format::kBlock;
using format::round_up;

static_assert(std::endian::native == std::endian::little,
              "segments are little-endian and are read as they lie");

constexpr const char* kRestore = "restore the file from a backup or build it anew";

CorruptFile corrupt(const std::string& file, const std::string& section, std::uint64_t offset,
                    const std::string& what, const std::string& remedy = kRestore) {
  return CorruptFile(file + ": section " + section + " at byte " + std::to_string(offset) + ": " +
                     what + "; " + remedy);
}

bool good_name(const std::string& name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= format::kNameBytes &&
         std::all_of(name.begin(), name.end(), good);
}

void put_name(const std::string& name, char* field) {
  if (!good_name(name)) {
    throw InvalidArgument("write_segment: '" + name +
                          "' is no name; use 1 to 8 letters, digits, '_' or '-'");
  }
  std::memcpy(field, name.data(), name.size());
}

// The name in a zero-padded field; empty when it is none that put_name writes.
std::string get_name(const char* field) {
  const std::string name(field, std::find(field, field + format::kNameBytes, '\0'));
  const bool padded =
      std::all_of(field + name.size(), field + format::kNameBytes, [](char c) { return c == 0; });
  return padded && good_name(name) ? name : std::string();
}

std::uint32_t header_crc(const Header& header) {
  return crc32c(&header, offsetof(Header, header_crc));
}

std::uint64_t block_count(std::uint64_t body) { return body / kBlock + (body % kBlock != 0); }

// Passes the body on to the file and sums it up block by block.
class BodyWriter {
 public:
  explicit BodyWriter(AtomicFile& file) : file_(file) {}

  void put(const void* data, std::size_t bytes) {
    file_.write(data, bytes);
    const auto* at = static_cast<const std::byte*>(data);
    while (bytes > 0) {
      const std::size_t part = std::min(bytes, kBlock - filled_);
      crc_ = crc32c(at, part, crc_);
      filled_ += part;
      if (filled_ == kBlock) close_block();
      at += part;
      bytes -= part;
    }
  }

  void put_section(const Section& section) {
    static constexpr std::array<std::byte, kAlign> kZeros{};
    put(section.data, section.bytes);
    put(kZeros.data(), round_up(section.bytes) - section.bytes);
  }

  std::vector<std::uint32_t> finish() {
    if (filled_ > 0) close_block();
    crcs_.push_back(crc32c(crcs_.data(), crcs_.size() * sizeof(crcs_[0])));
    return std::move(crcs_);
  }

 private:
  void close_block() {
    crcs_.push_back(crc_);
    crc_ = 0;
    filled_ = 0;
  }

  AtomicFile& file_;
  std::vector<std::uint32_t> crcs_;
  std::uint32_t crc_ = 0;
  std::size_t filled_ = 0;
};

std::vector<Entry> make_table(const Sections& sections) {
  std::vector<Entry> table(sections.size());
  std::uint64_t offset = round_up(sizeof(Header) + table.size() * sizeof(Entry));
  for (std::size_t i = 0; i < table.size(); ++i) {
    put_name(sections[i].name, table[i].name);
    for (std::size_t j = 0; j < i; ++j) {
      if (sections[j].name == sections[i].name) {
        throw InvalidArgument("write_segment: two sections are named '" + sections[i].name +
                              "'; names must differ");
      }
    }
    table[i].offset = offset;
    table[i].bytes = sections[i].bytes;
    offset += round_up(sections[i].bytes);
  }
  return table;
}

// Reads one segment's bytes from front to back; nothing is used before it is verified.
class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  Header header() {
    Header header;
    const std::size_t magic = std::min(bytes_.size(), sizeof(format::kMagic));
    if (magic > 0 && std::memcmp(bytes_.data(), format::kMagic, magic) != 0) {
      throw corrupt(file_, "header", 0, "this is no gapless segment (wrong magic bytes)",
                    "check the path");
    }
    if (bytes_.size() < sizeof(Header)) {
      throw truncated("header", "a header has " + std::to_string(sizeof(Header)) + " bytes");
    }
    std::memcpy(&header, bytes_.data(), sizeof(header));
    if (header.header_crc != header_crc(header)) {
      throw corrupt(file_, "header", 0, "the header's checksum does not match");
    }
    if (header.version > format::kVersion) {
      throw corrupt(file_, "header", offsetof(Header, version),
                    "written by a newer gapless (format " + std::to_string(header.version) +
                        ", this one reads up to " + std::to_string(format::kVersion) + ")",
                    "upgrade gapless");
    }
    if (header.version < format::kVersion) {
      throw corrupt(file_, "header", offsetof(Header, version),
                    "format " + std::to_string(header.version) + " was never released");
    }
    if (header.file_bytes > bytes_.size()) {
      throw truncated("header", "the header says " + std::to_string(header.file_bytes));
    }
    if (header.file_bytes < bytes_.size()) {
      throw corrupt(file_, "trailing", header.file_bytes,
                    "the file has " + std::to_string(bytes_.size()) + " bytes, the header says " +
                        std::to_string(header.file_bytes));
    }
    return header;
  }

  // After this the table lies inside the file, and so do the body and its checksums.
  std::vector<Entry> table(const Header& header) {
    const std::uint64_t end = sizeof(Header) + std::uint64_t{header.section_count} * sizeof(Entry);
    body_ = round_up(end);
    body_end_ = header.checksums_offset;
    if (body_ > body_end_ || body_end_ > bytes_.size() || body_end_ % kAlign != 0) {
      throw corrupt(file_, "header", offsetof(Header, checksums_offset),
                    "checksums at byte " + std::to_string(body_end_) + " are out of place");
    }
    const std::uint64_t crcs = block_count(body_end_ - body_) + 1;
    if (bytes_.size() - body_end_ != crcs * sizeof(std::uint32_t)) {
      throw corrupt(file_, "sums", body_end_,
                    std::to_string(bytes_.size() - body_end_) + " bytes of checksums where " +
                        std::to_string(crcs * sizeof(std::uint32_t)) + " belong");
    }
    if (crc32c(bytes_.data() + sizeof(Header), body_ - sizeof(Header)) != header.table_crc) {
      throw corrupt(file_, "table", sizeof(Header), "the section table's checksum does not match");
    }
    std::vector<Entry> table(header.section_count);
    if (!table.empty())
      std::memcpy(table.data(), bytes_.data() + sizeof(Header), end - sizeof(Header));
    return table;
  }

  // Sections must lie in the order of the table, each on the next 64-byte boundary: one rule that
  // leaves no room for overlaps, holes or offsets that wrap around.
  Sections sections(const std::vector<Entry>& table) {
    Sections found;
    std::uint64_t expected = body_;
    for (std::size_t i = 0; i < table.size(); ++i) {
      const Entry& entry = table[i];
      const std::uint64_t at = sizeof(Header) + i * sizeof(Entry);
      const std::string name = get_name(entry.name);
      if (name.empty())
        throw corrupt(file_, "table", at, "entry " + std::to_string(i) + " has no valid name");
      for (const Section& earlier : found) {
        if (earlier.name == name) throw corrupt(file_, "table", at, "a second section " + name);
      }
      if (entry.offset != expected) {
        throw corrupt(file_, name, entry.offset,
                      "it must start at byte " + std::to_string(expected));
      }
      if (entry.bytes > body_end_ - expected) {
        throw corrupt(file_, name, entry.offset,
                      std::to_string(entry.bytes) + " bytes do not fit, " +
                          std::to_string(body_end_ - expected) + " are left");
      }
      found.push_back({name, bytes_.data() + expected, entry.bytes});
      expected += round_up(entry.bytes);
    }
    if (expected != body_end_) {
      throw corrupt(file_, "sums", body_end_,
                    "checksums must start at byte " + std::to_string(expected));
    }
    return found;
  }

  void verify(const Sections& sections) const {
    const std::uint64_t blocks = block_count(body_end_ - body_);
    const std::byte* sums = bytes_.data() + body_end_;
    const std::size_t sum_bytes = blocks * sizeof(std::uint32_t);
    if (crc32c(sums, sum_bytes) != load_crc(sums + sum_bytes)) {
      throw corrupt(file_, "sums", body_end_, "the checksum of the checksums does not match");
    }
    std::atomic<std::uint64_t> first_bad{blocks};
    parallel_for(blocks, 0, 64, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::uint64_t at = body_ + i * kBlock;
        const std::size_t size = std::min<std::uint64_t>(kBlock, body_end_ - at);
        if (crc32c(bytes_.data() + at, size) == load_crc(sums + i * sizeof(std::uint32_t)))
          continue;
        std::uint64_t seen = first_bad.load();
        while (i < seen && !first_bad.compare_exchange_weak(seen, i)) {
        }
      }
    });
    if (first_bad.load() < blocks) throw bad_block(sections, body_ + first_bad.load() * kBlock);
    for (const Section& section : sections) {
      const auto* end = static_cast<const std::byte*>(section.data) + section.bytes;
      const auto* next = end + (round_up(section.bytes) - section.bytes);
      if (std::any_of(end, next, [](std::byte b) { return b != std::byte{0}; })) {
        throw corrupt(file_, section.name, static_cast<std::uint64_t>(end - bytes_.data()),
                      "the padding behind it is not zero");
      }
    }
  }

 private:
  static std::uint32_t load_crc(const std::byte* at) {
    std::uint32_t crc;
    std::memcpy(&crc, at, sizeof(crc));
    return crc;
  }

  CorruptFile truncated(const std::string& section, const std::string& wanted) const {
    return corrupt(
        file_, section, bytes_.size(),
        "the file is truncated: it has " + std::to_string(bytes_.size()) + " bytes and " + wanted);
  }

  // A block may hold several sections; the damage is in one of them, and all are named.
  CorruptFile bad_block(const Sections& sections, std::uint64_t at) const {
    const std::uint64_t end = std::min<std::uint64_t>(at + kBlock, body_end_);
    std::string names;
    for (const Section& section : sections) {
      const auto begin =
          static_cast<std::uint64_t>(static_cast<const std::byte*>(section.data) - bytes_.data());
      if (begin < end && begin + round_up(section.bytes) > at) {
        names += (names.empty() ? "" : "|") + section.name;
      }
    }
    return corrupt(
        file_, names, at,
        "the checksum of this block of " + std::to_string(end - at) + " bytes does not match");
  }

  std::span<const std::byte> bytes_;
  std::string file_;
  std::uint64_t body_ = 0;
  std::uint64_t body_end_ = 0;
};

}  // namespace

void write_segment(const std::string& path, const std::string& kind, const Sections& sections) {
  std::vector<Entry> table = make_table(sections);
  const std::size_t table_bytes = table.size() * sizeof(Entry);
  const std::uint64_t body = round_up(sizeof(Header) + table_bytes);
  const std::uint64_t body_end =
      table.empty() ? body : table.back().offset + round_up(table.back().bytes);
  std::vector<std::byte> padded_table(body - sizeof(Header));
  if (table_bytes > 0) std::memcpy(padded_table.data(), table.data(), table_bytes);

  Header header{};
  std::memcpy(header.magic, format::kMagic, sizeof(header.magic));
  header.version = format::kVersion;
  header.section_count = static_cast<std::uint32_t>(table.size());
  put_name(kind, header.kind);
  header.file_bytes = body_end + (block_count(body_end - body) + 1) * sizeof(std::uint32_t);
  header.checksums_offset = body_end;
  header.table_crc = crc32c(padded_table.data(), padded_table.size());
  header.header_crc = header_crc(header);

  AtomicFile file(path);
  file.write(&header, sizeof(header));
  file.write(padded_table.data(), padded_table.size());
  BodyWriter writer(file);
  for (const Section& section : sections) writer.put_section(section);
  const std::vector<std::uint32_t> crcs = writer.finish();
  file.write(crcs.data(), crcs.size() * sizeof(crcs[0]));
  file.commit();
}

Segment Segment::parse(std::span<const std::byte> bytes, const std::string& name) {
  Parser parser(bytes, name);
  const Header header = parser.header();
  const std::vector<Entry> table = parser.table(header);
  Segment segment;
  segment.name_ = name;
  segment.kind_ = get_name(header.kind);
  if (segment.kind_.empty()) {
    throw corrupt(name, "header", offsetof(Header, kind), "the kind has no valid name");
  }
  segment.sections_ = parser.sections(table);
  segment.begin_ = bytes.data();
  parser.verify(segment.sections_);
  return segment;
}

Segment Segment::read(const std::string& path) {
  Buffer<std::byte> content = read_file(path);
  Segment segment = parse({content.data(), content.size()}, path);
  segment.owned_ = std::move(content);  // moving a buffer leaves its bytes where they are
  return segment;
}

const Section* Segment::find(const std::string& name) const {
  const auto found = std::find_if(sections_.begin(), sections_.end(),
                                  [&](const Section& section) { return section.name == name; });
  return found == sections_.end() ? nullptr : &*found;
}

std::size_t Segment::offset_of(const std::string& name) const {
  const Section* section = find(name);
  if (section == nullptr) return 0;
  return static_cast<std::size_t>(static_cast<const std::byte*>(section->data) - begin_);
}

CorruptFile Segment::damage(const std::string& section, const std::string& what) const {
  return corrupt(name_, section, offset_of(section), what);
}

}  // namespace gapless
