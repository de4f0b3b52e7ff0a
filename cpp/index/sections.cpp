#include "index/sections.h"

namespace gapless {
namespace {

void pack_map(Packer& packer, const AffineMap& map) {
  packer.size(map.in);
  packer.size(map.out);
  packer.size(map.linear.empty() ? 0 : 1);
  packer.size(map.offset.empty() ? 0 : 1);
  packer.values(map.linear);
  packer.values(map.offset);
}

AffineMap unpack_map(Unpacker& unpacker, const std::string& section) {
  AffineMap found;
  found.in = unpacker.size();
  found.out = unpacker.size();
  const bool linear = unpacker.size() != 0;
  const bool offset = unpacker.size() != 0;
  if (linear && found.in != 0 && found.out > unpacker.left() / found.in) {
    throw Corruption{section, "ends too early"};
  }
  found.linear = unpacker.values<float>(linear ? found.in * found.out : 0);
  found.offset = unpacker.values<float>(offset ? found.out : 0);
  return found;
}

}  // namespace

// Lead bytes, as many continuations as they announce, no overlong form, surrogate or code past
// U+10FFFF (RFC 3629).
bool is_utf8(const std::string& text) {
  constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    const std::size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC0 || lead > 0xF7 || text.size() - i < more) return false;
    std::uint32_t code = lead & (0x3Fu >> more);
    for (std::size_t k = 0; k < more; ++k, ++i) {
      const auto next = static_cast<unsigned char>(text[i]);
      if ((next & 0xC0) != 0x80) return false;
      code = code << 6 | (next & 0x3Fu);
    }
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (code < kLeast[more] || code > 0x10FFFF || surrogate) return false;
  }
  return true;
}

std::vector<char> pack_alignment(const Alignment& alignment) {
  Packer packer;
  pack_map(packer, alignment.rows());
  packer.size(alignment.queries().size());
  for (const auto& [modality, map] : alignment.queries()) {
    packer.text(modality);
    pack_map(packer, map);
  }
  return packer.take();
}

AlignmentPtr unpack_alignment(const Section& section) {
  Unpacker unpacker(section);
  AffineMap rows = unpack_map(unpacker, section.name);
  std::map<std::string, AffineMap> queries;
  for (std::uint64_t left = unpacker.size(); left > 0; --left) {
    std::string modality = unpacker.text();
    queries[modality] = unpack_map(unpacker, section.name);
  }
  if (unpacker.left() != 0) throw Corruption{section.name, "has bytes left over"};
  try {
    return std::make_shared<const Alignment>(std::move(rows), std::move(queries));
  } catch (const InvalidArgument& error) {
    throw Corruption{section.name, error.what()};
  }
}

}  // namespace gapless
