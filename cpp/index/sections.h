#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "core/section.h"
#include "index/alignment.h"

namespace gapless {

// What every index writes first, under the name "index".
struct IndexHeader {
  std::uint64_t dim = 0;
  std::uint64_t slots = 0;
  std::int64_t next_label = 0;
};

// Sections on their way to a file: borrowed arrays, and small records that are owned here.
class SectionWriter {
 public:
  template <typename T>
  void borrow(const char* name, const T* data, std::size_t count) {
    sections_.push_back({name, data, count * sizeof(T)});
  }
  void own(const char* name, std::vector<char> bytes) {
    owned_.push_back(std::move(bytes));
    sections_.push_back({name, owned_.back().data(), owned_.back().size()});
  }
  template <typename T>
  void record(const char* name, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto* bytes = reinterpret_cast<const char*>(&value);
    own(name, std::vector<char>(bytes, bytes + sizeof(T)));
  }
  const Sections& sections() const { return sections_; }

 private:
  Sections sections_;
  std::vector<std::vector<char>> owned_;
};

// Sections that came from a file; whatever is not as it must be is a Corruption.
class SectionReader {
 public:
  explicit SectionReader(const Sections& sections) : sections_(sections) {}

  const Section* find(const std::string& name) const {
    for (const Section& section : sections_) {
      if (section.name == name) return &section;
    }
    return nullptr;
  }

  template <typename T>
  const T* array(const std::string& name, std::size_t count) const {
    const Section& section = need(name);
    if (section.bytes % sizeof(T) != 0 || section.bytes / sizeof(T) != count) {
      throw Corruption{name, "has " + std::to_string(section.bytes) + " bytes where " +
                                 std::to_string(count) + " values of " + std::to_string(sizeof(T)) +
                                 " bytes are due"};
    }
    return static_cast<const T*>(section.data);
  }
  template <typename T>
  T record(const std::string& name) const {
    T value;
    std::memcpy(&value, array<T>(name, 1), sizeof(T));
    return value;
  }
  const Section& need(const std::string& name) const {
    const Section* section = find(name);
    if (section == nullptr) throw Corruption{name, "is missing"};
    return *section;
  }

 private:
  const Sections& sections_;
};

std::vector<char> pack_alignment(const Alignment& alignment);
AlignmentPtr unpack_alignment(const Section& section);

}  // namespace gapless
