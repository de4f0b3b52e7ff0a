#pragma once

#include <cstddef>
#include <cstdint>

// The segment's layout in constants; FORMAT.md is the same in prose.
namespace gapless::format {

inline constexpr char kMagic[8] = {'\x89', 'g', 'a', 'p', 'l', 'e', 's', 's'};
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kAlign = 64;
inline constexpr std::size_t kBlock = 64 * 1024;
inline constexpr std::size_t kNameBytes = 8;

struct Header {
  char magic[8];
  std::uint32_t version;
  std::uint32_t section_count;
  char kind[kNameBytes];
  std::uint64_t file_bytes;
  std::uint64_t checksums_offset;
  std::uint32_t table_crc;
  std::uint8_t reserved[16];
  std::uint32_t header_crc;  // of all the bytes before it, in every version
};
static_assert(sizeof(Header) == 64 && offsetof(Header, header_crc) == 60);

struct Entry {
  char name[kNameBytes];
  std::uint64_t offset;
  std::uint64_t bytes;
};
static_assert(sizeof(Entry) == 24);

constexpr std::uint64_t round_up(std::uint64_t bytes) {
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

}  // namespace gapless::format
