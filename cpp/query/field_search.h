#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "index/index.h"
#include "query/calibration.h"

namespace gapless {

// How the scores of an item's rows in a field become the item's score there:
//   - max: that of its best row
//   - mean: their mean, over all its rows
//   - maxsim: late interaction. A question is several query rows, and an item scores the mean over
//     these of the best that one of its rows reaches (ColBERT, arXiv 2004.12832)
enum class RowRule { kMax, kMean, kMaxSim };

RowRule row_rule(const std::string& name);  // throws InvalidArgument listing the names

// One list of a mixed-modality search: for each question a query against one field's index.
struct FieldSearch {
  std::shared_ptr<const Index> index;
  std::vector<float> queries;             // (rows, dim)
  std::vector<std::size_t> firsts{0, 1};  // question i has the rows [firsts[i], firsts[i + 1]):
                                          // one, but for maxsim at least one
  double weight = 1.0;    // below 0: retrieves nothing, and scores what the other lists retrieve
  std::size_t depth = 0;  // items that it retrieves; 0 = as many as the search says
  std::size_t ef = 0;
  std::string query_modality;
  std::shared_ptr<const Filter> filter;
  bool several = false;  // labels are row_label(item, ordinal)
  RowRule rule = RowRule::kMax;
  std::vector<Label> cohort;                       // background items for FusionMethod::kCohort
  std::shared_ptr<const Calibration> calibration;  // for FusionMethod::kCalibrated
  std::string field;                               // its name, for messages

  std::size_t questions() const { return firsts.size() - 1; }
  std::size_t dim() const { return firsts.back() == 0 ? 0 : queries.size() / firsts.back(); }
};

// A ranked list over items, best first; equal scores by ascending item.
struct ItemList {
  std::vector<Label> items;
  std::vector<double> scores;
  std::vector<std::int32_t> ordinals;  // of the best row
};

// The questions [first, last) of a list, asked of its index. For one thread at a time.
class FieldQueries {
 public:
  FieldQueries(const FieldSearch& search, std::size_t first, std::size_t last);

  // The `depth` best items of each question, or all there are. `without` are the items, ascending,
  // that question first, first + 1, ... must not have; null for none.
  void retrieve(std::size_t depth, const std::vector<Label>* without, std::size_t threads,
                std::vector<ItemList>& lists);
  // Scores of items, and the ordinals of their best rows: NaN and -1 where there is no row.
  void score(std::size_t question, const std::vector<Label>& items, std::vector<double>& scores,
             std::vector<std::int32_t>& ordinals);
  // Scores of items by all questions (questions, items), NaN where there is no row. Items are read
  // once for all.
  void score_all(const std::vector<Label>& items, std::vector<double>& scores);

 private:
  std::size_t token(std::size_t question) const;  // its first row in the batch
  void search(std::size_t row, std::size_t count, std::size_t k, std::size_t threads,
              std::vector<float>& scores, std::vector<Label>& labels);
  void take(const float* scores, const Label* rows, std::size_t count, std::size_t depth,
            const std::vector<Label>& without, ItemList& list) const;
  void widen(std::size_t row, std::size_t k, std::size_t live, std::size_t depth,
             const std::vector<Label>& without, std::size_t threads, ItemList& list);
  void rank_by_rule(std::size_t question, std::size_t depth, ItemList& list);
  std::size_t query_rows(std::size_t question) const;

  const FieldSearch& search_;
  std::size_t first_;
  std::size_t last_;
  QueryBatch batch_;
  std::vector<float> scores_;  // of the rows searched
  std::vector<Label> labels_;
  std::vector<float> wide_scores_;  // of one of them searched deeper
  std::vector<Label> wide_labels_;
  std::vector<float> row_scores_;
  ItemScores item_scores_;
};

}  // namespace gapless
