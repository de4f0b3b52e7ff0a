#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
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

// Lists of numbers and names, packed one after the other.
class Packer {
 public:
  void size(std::uint64_t value) { put(&value, sizeof(value)); }
  void text(const std::string& value) {
    size(value.size());
    put(value.data(), value.size());
  }
  template <typename T>
  void values(const std::vector<T>& all) {  // without their number
    put(all.data(), all.size() * sizeof(T));
  }
  std::vector<char> take() { return std::move(bytes_); }

 private:
  void put(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const char*>(data);
    bytes_.insert(bytes_.end(), from, from + bytes);
  }
  std::vector<char> bytes_;
};

bool is_utf8(const std::string& text);

// The way back; throws Corruption where a section ends too early.
class Unpacker {
 public:
  explicit Unpacker(const Section& section)
      : name_(section.name), at_(static_cast<const char*>(section.data)), left_(section.bytes) {}

  std::uint64_t size() {
    std::uint64_t value = 0;
    std::memcpy(&value, take(sizeof(value)), sizeof(value));
    return value;
  }
  std::string text() {
    const std::uint64_t length = size();
    const char* from = take(length);
    std::string found(from, from + length);
    if (!is_utf8(found)) throw Corruption{name_, "holds a name that is not UTF-8"};
    return found;
  }
  template <typename T>
  std::vector<T> values(std::uint64_t count) {
    if (count > left_ / sizeof(T)) throw Corruption{name_, "ends too early"};
    std::vector<T> found(count);
    if (count > 0) std::memcpy(found.data(), take(count * sizeof(T)), count * sizeof(T));
    return found;
  }
  std::size_t left() const { return left_; }

 private:
  const char* take(std::uint64_t bytes) {
    if (bytes > left_) throw Corruption{name_, "ends too early"};
    const char* from = at_;
    at_ += bytes;
    left_ -= bytes;
    return from;
  }

  std::string name_;
  const char* at_;
  std::size_t left_;
};

std::vector<char> pack_alignment(const Alignment& alignment);
AlignmentPtr unpack_alignment(const Section& section);

}  // namespace gapless
