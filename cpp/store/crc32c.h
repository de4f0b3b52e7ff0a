#pragma once

#include <cstddef>
#include <cstdint>

namespace gapless {

// CRC-32C (Castagnoli, the iSCSI polynomial) of `bytes` bytes; pass an earlier result as `crc` to
// go on where that one ended. Portable: 8 bytes a step by tables.
std::uint32_t crc32c(const void* data, std::size_t bytes, std::uint32_t crc = 0);

}  // namespace gapless
