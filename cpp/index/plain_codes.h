#pragma once

#include "index/codes.h"
#include "index/rotation.h"

namespace gapless {

// Codes of one stage: every score is as good as any.

// The f32 rows themselves.
class F32Codes : public Codes {
 public:
  explicit F32Codes(const std::shared_ptr<RowTable>& rows) : rows_(rows) {}

  CodeKind kind() const override { return CodeKind::kF32; }
  std::size_t bytes() const override { return 0; }  // the rows count as vectors
  std::unique_ptr<Codes> grown(const std::shared_ptr<RowTable>& rows) const override;
  void encode(Slot, const float*) override {}
  void decode(Slot slot, float* unit) const override;
  bool equal(Slot a, Slot b) const override;
  void copy_local(Slot slot, LocalRows& to, std::size_t row) const override;
  std::size_t padded_dim() const override {
    return (rows_->dim + kCodeDims - 1) / kCodeDims * kCodeDims;
  }
  void prepare(CodeQuery&, const QueryMean*, float) const override {}
  void touch(const Slot* slots, std::size_t count) const override;
  void score(const CodeQuery& query, const Slot* slots, std::size_t count,
             float* scores) const override;
  void append_sections(SectionWriter&, std::size_t) const override {}

 private:
  std::shared_ptr<RowTable> rows_;
};

// The upper half of each f32, rounded to nearest even.
class Bf16Codes : public Codes {
 public:
  explicit Bf16Codes(const std::shared_ptr<RowTable>& rows);

  CodeKind kind() const override { return CodeKind::kBf16; }
  std::size_t bytes() const override { return halves_.bytes(); }
  std::unique_ptr<Codes> grown(const std::shared_ptr<RowTable>& rows) const override;
  void encode(Slot slot, const float* unit) override;
  void decode(Slot slot, float* unit) const override;
  bool equal(Slot a, Slot b) const override;
  void copy_local(Slot slot, LocalRows& to, std::size_t row) const override;
  std::size_t padded_dim() const override { return stride_; }
  void prepare(CodeQuery& query, const QueryMean*, float) const override;
  void touch(const Slot* slots, std::size_t count) const override;
  void score(const CodeQuery& query, const Slot* slots, std::size_t count,
             float* scores) const override;
  void append_sections(SectionWriter& sections, std::size_t used) const override;
  void restore(const RowTable& rows, const SectionReader& reader, std::size_t used);

 private:
  std::size_t dim_;
  std::size_t stride_;  // padded dim
  Buffer<std::uint16_t> halves_;
};

// A byte a dim of the centred, rotated row, with a scale per row.
class I8Codes : public Codes {
 public:
  I8Codes(const std::shared_ptr<RowTable>& rows, const std::vector<float>& mean);

  CodeKind kind() const override { return CodeKind::kI8; }
  std::size_t bytes() const override { return bytes_.bytes() + scales_.bytes(); }
  std::unique_ptr<Codes> grown(const std::shared_ptr<RowTable>& rows) const override;
  void encode(Slot slot, const float* unit) override;
  void decode(Slot slot, float* unit) const override;
  bool equal(Slot a, Slot b) const override;
  void copy_local(Slot slot, LocalRows& to, std::size_t row) const override;
  std::size_t padded_dim() const override { return padded_; }
  void prepare(CodeQuery& query, const QueryMean*, float) const override;
  void touch(const Slot* slots, std::size_t count) const override;
  void score(const CodeQuery& query, const Slot* slots, std::size_t count,
             float* scores) const override;
  void refine(const CodeQuery& query, const Slot* slots, std::size_t count,
              float* scores) const override;
  void append_sections(SectionWriter& sections, std::size_t used) const override;
  void restore(const RowTable& rows, const SectionReader& reader, std::size_t used);

 private:
  CentredRotation centred_;
  std::size_t padded_;
  Buffer<std::uint8_t> bytes_;
  Buffer<float> scales_;
};

}  // namespace gapless
