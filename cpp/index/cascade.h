#pragma once

#include "index/codes.h"
#include "index/rotation.h"

namespace gapless {

// Three codes of a centred, rotated row, each read only where the one before leaves doubt: a line
// of sign bits (RaBitQ's estimator, arXiv 2405.12497), nibbles, and the bytes of what they leave
// (two-level LVQ, arXiv 2304.04759).
class CascadeCodes : public Codes {
 public:
  CascadeCodes(const std::shared_ptr<RowTable>& rows, const std::vector<float>& mean);

  CodeKind kind() const override { return CodeKind::kCascade; }
  std::size_t bytes() const override { return lines_.bytes() + nibbles_.bytes() + bytes_.bytes(); }
  std::unique_ptr<Codes> grown(const std::shared_ptr<RowTable>& rows) const override;
  void encode(Slot slot, const float* unit) override;
  void decode(Slot slot, float* unit) const override;
  bool equal(Slot a, Slot b) const override;
  void copy_local(Slot slot, LocalRows& to, std::size_t row) const override;
  std::size_t padded_dim() const override { return padded_; }
  std::vector<float> mean() const override { return centred_.mean(); }
  void prepare(CodeQuery& query, const QueryMean* mean, float margin) const override;
  void touch(const Slot* slots, std::size_t count) const override;
  std::size_t filter(const CodeQuery& query, const Slot* slots, std::size_t count, float limit,
                     Slot* kept) const override;
  void score(const CodeQuery& query, const Slot* slots, std::size_t count,
             float* scores) const override;
  void touch_refine(const Slot* slots, std::size_t count) const override;
  void refine(const CodeQuery& query, const Slot* slots, std::size_t count,
              float* scores) const override;
  void fill_mean(QueryMean& mean, std::size_t used, std::size_t threads) const override;
  std::int16_t mean_product(const QueryMean& mean, Slot slot) const override;
  void append_sections(SectionWriter& sections, std::size_t used) const override;
  void restore(const RowTable& rows, const SectionReader& reader, std::size_t used);

 private:
  void allocate(std::size_t capacity);
  std::uint8_t* line(Slot slot) { return lines_.data() + slot * line_stride_; }
  const std::uint8_t* line(Slot slot) const { return lines_.data() + slot * line_stride_; }
  const LineHead& head(Slot slot) const { return *reinterpret_cast<const LineHead*>(line(slot)); }
  void decode_rotated(Slot slot, float* y) const;

  CentredRotation centred_;
  std::size_t padded_;
  std::size_t line_stride_;    // whole cache lines: the head, then a bit a dim
  std::size_t nibble_stride_;  // half a byte a dim
  float mean_square_;
  Buffer<std::uint8_t> lines_;
  Buffer<std::uint8_t> nibbles_;
  Buffer<std::uint8_t> bytes_;
};

}  // namespace gapless
