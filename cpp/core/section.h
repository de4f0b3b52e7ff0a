#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace gapless {

// A named run of bytes: what an index is made of on disk. Does not own the bytes.
struct Section {
  std::string name;  // at most 8 characters
  const void* data = nullptr;
  std::size_t bytes = 0;
};
using Sections = std::vector<Section>;

}  // namespace gapless
