// An index to and from the sections of a segment; the layout is in store/FORMAT.md.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <unordered_set>

#include "core/error.h"
#include "index/flat.h"
#include "index/hnsw.h"
#include "index/index.h"
#include "kernels/kernels.h"

namespace gapless {

void Index::save(const std::function<void(const Sections&)>& write) {
  const std::lock_guard<std::mutex> writer(writer_);
  tidy();
  const RowTable& rows = *view().rows;
  const std::size_t used = rows.used.load();
  SectionWriter sections;
  sections.record("index", IndexHeader{dim(), used, next_label_});
  sections.borrow("labels", rows.labels.data(), used);
  if (keep_vectors_) sections.borrow("vectors", rows.vectors.data(), used * rows.stride);
  if (view().aligned) sections.own("align", pack_alignment(*view().alignment()));
  append_sections(sections);
  write(sections.sections());
}

void Index::restore_rows(const SectionReader& reader) {
  const auto header = reader.record<IndexHeader>("index");
  const std::size_t used = header.slots;
  if (used > reader.need("labels").bytes / sizeof(Label) || used >= kMaxSlots) {
    throw Corruption{"index", "more slots than labels"};
  }
  if (header.next_label < 0) throw Corruption{"index", "the next label is negative"};
  next_label_ = header.next_label;
  const auto* labels = reader.array<Label>("labels", used);
  std::unique_ptr<IndexView> next = copy_view();
  const std::size_t stride = view().rows->stride;
  const float* vectors = keep_vectors_ ? reader.array<float>("vectors", used * stride) : nullptr;
  next->rows = rows_with_room(used);
  RowTable& rows = *next->rows;
  if (keep_vectors_ && used > 0) {
    std::memcpy(rows.vectors.data(), vectors, used * rows.stride * sizeof(float));
  }
  std::unordered_set<Label> seen;
  for (std::size_t s = used; s > 0; --s) {
    const auto slot = static_cast<Slot>(s - 1);
    const Label label = labels[slot];
    if (label == kNoLabel) {
      if (keep_vectors_) std::fill_n(rows.vectors.data() + slot * rows.stride, rows.stride, 0.0f);
      if (!renumbers()) free_.push_back(slot);
      continue;
    }
    if (label < 0 || label == std::numeric_limits<Label>::max() || !seen.insert(label).second) {
      throw Corruption{"labels", "label " + std::to_string(label) + " is no id, or occurs twice"};
    }
    rows.labels[slot] = label;
    rows.set_live(slot, true);
    next_label_ = std::max(next_label_, label + 1);
    if (!keep_vectors_) continue;
    const float square = kernels().dot(rows.vector(slot), rows.vector(slot), dim());
    if (!(std::fabs(square - 1.0f) < 1e-3f)) {
      throw Corruption{"vectors", "row " + std::to_string(slot) + " is not of unit length"};
    }
  }
  rows.used.store(used);
  rows.live.store(seen.size());
  next->table = std::make_shared<LabelTable>(seen.size());
  for (Slot slot = 0; slot < used; ++slot) {
    if (labels[slot] != kNoLabel) next->table->add(labels[slot], slot);
  }
  show(std::move(next));
}

void Index::restore_alignment(const SectionReader& reader) {
  const Section* align = reader.find("align");
  if (align == nullptr) return;
  try {
    set_alignment(unpack_alignment(*align));
  } catch (const InvalidArgument& error) {
    throw Corruption{"align", error.what()};
  }
}

std::unique_ptr<Index> restore_index(const std::string& kind, const Sections& sections) {
  const SectionReader reader(sections);
  const auto header = reader.record<IndexHeader>("index");
  if (header.dim == 0 || header.dim > 1 << 16) {
    throw Corruption{"index", "dim is " + std::to_string(header.dim)};
  }
  if (kind == FlatIndex::kKind) return FlatIndex::restore(header.dim, reader);
  if (kind == HnswIndex::kKind) return HnswIndex::restore(header.dim, reader);
  throw Corruption{"header", "holds '" + kind + "', which is no index this version knows"};
}

}  // namespace gapless
