#pragma once

#include <memory>

#include "index/alignment.h"
#include "index/label_table.h"
#include "index/row_table.h"

namespace gapless {

// An alignment on an index's rows: r(x) by slot.
struct AlignedRows {
  AlignmentPtr alignment;
  Buffer<float> r;
};

// All that a reader needs, of one moment: what is replaced, is replaced by a new view.
struct IndexView {
  virtual ~IndexView() = default;

  // kNoSlot where the label has no row.
  Slot slot(Label label) const {
    if (label < 0) return kNoSlot;
    return table->find(label, [this](Slot s) { return rows->label(s); });
  }
  const float* r() const { return aligned ? aligned->r.data() : nullptr; }
  const Alignment* alignment() const { return aligned ? aligned->alignment.get() : nullptr; }

  std::shared_ptr<RowTable> rows;
  std::shared_ptr<LabelTable> table;
  std::shared_ptr<AlignedRows> aligned;  // null = raw
};

}  // namespace gapless
