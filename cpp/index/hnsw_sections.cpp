#include <algorithm>

#include "core/error.h"
#include "index/hnsw.h"

namespace gapless {
namespace {

struct GraphHeader {
  std::uint64_t m;
  std::uint64_t ef_construction;
  std::uint64_t seed;
  std::uint64_t root;
  std::uint64_t centred_on;
  std::uint64_t keeps_vectors;
  char asked_codes[8];  // what the constructor was given
  char codes[8];        // what is in use
};

// The header of the first version, whose graph had levels: its rows are linked anew.
struct LevelledHeader {
  std::uint64_t m;
  std::uint64_t ef_construction;
  std::uint64_t seed;
  std::uint64_t draws;
  std::uint64_t entry;
};

std::string text(const char (&padded)[8]) {
  return std::string(padded, std::find(padded, padded + 8, '\0'));
}

void pad(const std::string& name, char (&to)[8]) {
  std::fill(to, to + 8, '\0');
  std::copy_n(name.begin(), std::min<std::size_t>(8, name.size()), to);
}

}  // namespace

void HnswIndex::append_sections(SectionWriter& sections) const {
  const GraphView& view = seen();
  const Graph& graph = *view.graph;
  const std::size_t used = view.rows->used.load();
  GraphHeader header{options_.m,
                     options_.ef_construction,
                     options_.seed,
                     graph.root,
                     centred_on_,
                     keeps_vectors(),
                     {},
                     {}};
  pad(options_.codes, header.asked_codes);
  pad(code_name(view.codes->kind()), header.codes);
  sections.record("graph", header);
  sections.borrow("states", graph.states.data(), used);
  sections.borrow("links", graph.links.data(), used * graph.stride);
  sections.borrow("chain", graph.chain.data(), used);
  sections.borrow("routers", graph.routers.data(), graph.routers.size());
  view.codes->append_sections(sections, used);
  const Efforts& efforts = *view.efforts;
  sections.own("efforts", pack_efforts(efforts.raw != nullptr ? *efforts.raw : efforts));
}

std::unique_ptr<HnswIndex> HnswIndex::restore(std::size_t dim, const SectionReader& reader) {
  HnswOptions options;
  const bool levelled = reader.need("graph").bytes == sizeof(LevelledHeader);
  if (levelled) {
    const auto header = reader.record<LevelledHeader>("graph");
    options.m = header.m;
    options.ef_construction = header.ef_construction;
    options.seed = header.seed;
  } else {
    const auto header = reader.record<GraphHeader>("graph");
    const std::string asked = text(header.asked_codes);
    if ((asked != "auto" && !is_code_name(asked)) || !is_code_name(text(header.codes))) {
      throw Corruption{"graph", "names codes that this version does not know"};
    }
    options = {header.m, header.ef_construction, header.seed, asked, header.keeps_vectors != 0};
  }
  std::unique_ptr<HnswIndex> index;
  try {
    index = std::make_unique<HnswIndex>(dim, options);
    index->restore_rows(reader);
    if (levelled) {
      index->relink_rows();
    } else {
      index->restore_graph(reader);
    }
  } catch (const InvalidArgument& error) {
    throw Corruption{"graph", error.what()};
  }
  index->restore_alignment(reader);
  return index;
}

// Codes and links for rows that have come without.
void HnswIndex::relink_rows() {
  std::vector<float> units;
  std::vector<Slot> slots;
  const RowTable& rows = *seen().rows;
  for (Slot slot = 0; slot < rows.used.load(); ++slot) {
    if (rows.label(slot) == kNoLabel) continue;
    slots.push_back(slot);
    units.insert(units.end(), rows.vector(slot), rows.vector(slot) + dim());
  }
  auto next = std::make_unique<GraphView>(seen());
  next->codes = make_codes(next->codes->kind(), next->rows, std::vector<float>(dim(), 0.0f));
  next->graph = std::make_shared<Graph>(next->rows->capacity, next->graph->degree);
  show(std::move(next));
  if (slots.empty()) return;
  prepare(units.data(), slots.size(), slots.size());
  store(slots, units.data(), 0);
  link(slots, 0);
  settle(0);
}

void HnswIndex::restore_graph(const SectionReader& reader) {
  using State = Graph::State;
  const auto header = reader.record<GraphHeader>("graph");
  auto next = std::make_unique<GraphView>(seen());
  const RowTable& rows = *next->rows;
  const std::size_t used = rows.used.load();
  const CodeKind kind = code_kind(text(header.codes));
  if (kind == CodeKind::kF32 && !keeps_vectors()) throw Corruption{"graph", "f32 without rows"};
  next->codes = restore_codes(kind, next->rows, reader, used);
  next->graph = std::make_shared<Graph>(rows.capacity, next->graph->degree);
  Graph& graph = *next->graph;
  const auto* states = reader.array<State>("states", used);
  const auto* links = reader.array<Slot>("links", used * graph.stride);
  const auto* chain = reader.array<Slot>("chain", used);
  std::copy_n(states, used, graph.states.data());
  std::copy_n(links, used * graph.stride, graph.links.data());
  std::copy_n(chain, used, graph.chain.data());

  const auto fail = [](const char* section, Slot slot, const char* what) {
    throw Corruption{section, "slot " + std::to_string(slot) + " " + what};
  };
  std::size_t chained = 0;
  for (Slot slot = 0; slot < used; ++slot) {
    const bool labelled = rows.label(slot) != kNoLabel;
    if (states[slot] != (labelled ? states[slot] : State::kFree) ||
        (labelled && states[slot] != State::kLinked && states[slot] != State::kChained)) {
      fail("states", slot, "has a state that its label contradicts");
    }
    graph.linked += states[slot] == State::kLinked;
    chained += states[slot] == State::kChained;
  }
  for (Slot slot = 0; slot < used; ++slot) {
    if (states[slot] != State::kLinked) continue;
    const Slot* row = graph.row(slot);
    const Slot* const end = row + graph.degree;
    const Slot* const last = std::find(row, end, kNoSlot);
    if (std::any_of(last, end, [](Slot link) { return link != kNoSlot; })) {
      fail("links", slot, "has links after their end");
    }
    for (const Slot* link = row; link != last; ++link) {
      const Slot to = *link & Graph::kSlotMask;
      if (to >= used || to == slot || states[to] != State::kLinked) {
        fail("links", slot, "links to itself or to what is no linked row");
      }
    }
  }
  // Every chained row must hang behind one linked row, once.
  std::vector<bool> hangs(used, false);
  std::size_t hanging = 0;
  for (Slot slot = 0; slot < used; ++slot) {
    if (states[slot] != State::kLinked) continue;
    for (Slot equal = chain[slot]; equal != kNoSlot; equal = chain[equal]) {
      if (equal >= used || states[equal] != State::kChained || hangs[equal]) {
        fail("chain", slot, "leads to what is no row equal to it");
      }
      hangs[equal] = true;
      ++hanging;
      graph.row(equal)[0] = slot;
    }
  }
  if (hanging != chained) throw Corruption{"chain", "rows hang behind no linked row"};
  if (graph.linked > 0) {
    if (header.root >= used || states[header.root] != State::kLinked) {
      throw Corruption{
          "graph", "the root is slot " + std::to_string(header.root) + ", which is no linked row"};
    }
    graph.root = static_cast<Slot>(header.root);
    const std::vector<Slot> lost = regrow_tree(graph);
    if (!lost.empty()) fail("links", lost.front(), "cannot be reached from the root");
    const auto* routers = reader.array<Slot>("routers", graph.routers.size());
    std::copy_n(routers, graph.routers.size(), graph.routers.begin());
    for (const Slot router : graph.routers) {
      if (router != kNoSlot && (router >= used || states[router] != State::kLinked)) {
        throw Corruption{"routers", "slot " + std::to_string(router) + " is no linked row"};
      }
    }
    if (graph.routers[0] != graph.root) throw Corruption{"routers", "the root is not the first"};
  }
  routers_from_ = graph.linked;
  centred_on_ = header.centred_on;
  next->efforts = unpack_efforts(reader.need("efforts"), dim());
  refill_means(*next);
  show(std::move(next));
}

}  // namespace gapless
