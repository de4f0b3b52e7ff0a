#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/buffer.h"
#include "store/crc32c.h"
#include "store/format.h"

// Forging segments: bytes changed on purpose, with checksums that match again, so that a test gets
// past them to the checks behind.
namespace forge {

using gapless::format::Entry;
using gapless::format::Header;
using Bytes = std::vector<std::byte>;

inline Header header_of(const Bytes& bytes) {
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

inline void put_header(Bytes& bytes, const Header& header) {
  std::memcpy(bytes.data(), &header, sizeof(header));
}

inline Entry entry_of(const Bytes& bytes, std::size_t i) {
  Entry entry;
  std::memcpy(&entry, bytes.data() + sizeof(Header) + i * sizeof(Entry), sizeof(entry));
  return entry;
}

inline void put_entry(Bytes& bytes, std::size_t i, const Entry& entry) {
  std::memcpy(bytes.data() + sizeof(Header) + i * sizeof(Entry), &entry, sizeof(entry));
}

// Makes every checksum right that lies within the bytes, as far as the header can be followed.
inline void reseal(Bytes& bytes) {
  using gapless::crc32c;
  if (bytes.size() < sizeof(Header)) return;
  Header header = header_of(bytes);
  const std::uint64_t table_end = gapless::format::round_up(
      sizeof(Header) + std::uint64_t{header.section_count} * sizeof(Entry));
  if (table_end <= bytes.size() && header.checksums_offset <= bytes.size()) {
    header.table_crc = crc32c(bytes.data() + sizeof(Header), table_end - sizeof(Header));
    std::uint64_t sum = header.checksums_offset;
    for (std::uint64_t at = table_end; at < header.checksums_offset && sum + 4 <= bytes.size();
         at += gapless::format::kBlock, sum += 4) {
      const std::uint64_t end =
          std::min<std::uint64_t>(at + gapless::format::kBlock, header.checksums_offset);
      const std::uint32_t crc = crc32c(bytes.data() + at, end - at);
      std::memcpy(bytes.data() + sum, &crc, sizeof(crc));
    }
    if (sum + 4 <= bytes.size()) {
      const std::uint32_t crc =
          crc32c(bytes.data() + header.checksums_offset, sum - header.checksums_offset);
      std::memcpy(bytes.data() + sum, &crc, sizeof(crc));
    }
  }
  header.header_crc = crc32c(&header, offsetof(Header, header_crc));
  put_header(bytes, header);
}

}  // namespace forge
