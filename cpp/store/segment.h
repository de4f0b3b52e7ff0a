#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/buffer.h"
#include "core/error.h"
#include "core/section.h"

namespace gapless {

// Writes `sections` as one immutable checksummed file (FORMAT.md), whole or not at all. `kind` and
// names are 1 to 8 letters, digits, '_' or '-', and no name comes twice: InvalidArgument otherwise.
// IoError when the system refuses.
void write_segment(const std::string& path, const std::string& kind, const Sections& sections);

// A segment whose every size, offset and checksum has been verified; CorruptFile where one is
// wrong. read() owns the bytes, parse() borrows the caller's, which must then outlive it.
// Immutable, so any number of threads may read it. Sections start on 64-byte boundaries of the
// bytes given.
class Segment {
 public:
  static Segment read(const std::string& path);
  static Segment parse(std::span<const std::byte> bytes, const std::string& name);

  const std::string& kind() const { return kind_; }
  const Sections& sections() const { return sections_; }
  const Section* find(const std::string& name) const;    // nullptr when absent
  std::size_t offset_of(const std::string& name) const;  // 0 when absent

  // The error of a reader that finds the content of a section impossible: names file and offset.
  CorruptFile damage(const std::string& section, const std::string& what) const;

 private:
  Segment() = default;

  std::string name_;
  std::string kind_;
  Sections sections_;
  const std::byte* begin_ = nullptr;
  Buffer<std::byte> owned_;
};

}  // namespace gapless
