#include "index/sections.h"

namespace gapless {
namespace {

void put(std::vector<char>& out, const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  out.insert(out.end(), from, from + bytes);
}

void put_size(std::vector<char>& out, std::uint64_t size) { put(out, &size, sizeof(size)); }

void put_map(std::vector<char>& out, const AffineMap& map) {
  put_size(out, map.in);
  put_size(out, map.out);
  put_size(out, map.linear.empty() ? 0 : 1);
  put_size(out, map.offset.empty() ? 0 : 1);
  put(out, map.linear.data(), map.linear.size() * sizeof(float));
  put(out, map.offset.data(), map.offset.size() * sizeof(float));
}

class Cursor {
 public:
  explicit Cursor(const Section& section)
      : name_(section.name), at_(static_cast<const char*>(section.data)), left_(section.bytes) {}

  std::uint64_t size() {
    std::uint64_t value = 0;
    std::memcpy(&value, take(sizeof(value)), sizeof(value));
    return value;
  }
  std::string text() {
    const std::uint64_t length = size();
    const char* from = take(length);
    return std::string(from, from + length);
  }
  std::vector<float> floats(std::uint64_t count) {
    if (count > left_ / sizeof(float)) throw Corruption{name_, "ends too early"};
    std::vector<float> values(count);
    if (count > 0) std::memcpy(values.data(), take(count * sizeof(float)), count * sizeof(float));
    return values;
  }
  AffineMap map() {
    AffineMap found;
    found.in = size();
    found.out = size();
    const bool linear = size() != 0;
    const bool offset = size() != 0;
    if (linear && found.in != 0 && found.out > left_ / found.in) {
      throw Corruption{name_, "ends too early"};
    }
    found.linear = floats(linear ? found.in * found.out : 0);
    found.offset = floats(offset ? found.out : 0);
    return found;
  }
  bool empty() const { return left_ == 0; }

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

}  // namespace

std::vector<char> pack_alignment(const Alignment& alignment) {
  std::vector<char> out;
  put_map(out, alignment.rows());
  put_size(out, alignment.queries().size());
  for (const auto& [modality, map] : alignment.queries()) {
    put_size(out, modality.size());
    put(out, modality.data(), modality.size());
    put_map(out, map);
  }
  return out;
}

AlignmentPtr unpack_alignment(const Section& section) {
  Cursor cursor(section);
  AffineMap rows = cursor.map();
  std::map<std::string, AffineMap> queries;
  for (std::uint64_t left = cursor.size(); left > 0; --left) {
    std::string modality = cursor.text();
    queries[modality] = cursor.map();
  }
  if (!cursor.empty()) throw Corruption{section.name, "has bytes left over"};
  try {
    return std::make_shared<const Alignment>(std::move(rows), std::move(queries));
  } catch (const InvalidArgument& error) {
    throw Corruption{section.name, error.what()};
  }
}

}  // namespace gapless
