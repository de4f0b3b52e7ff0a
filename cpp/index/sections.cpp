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
