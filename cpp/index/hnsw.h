#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "index/code_scan.h"
#include "index/index.h"
#include "index/walk.h"

namespace gapless {

struct HnswOptions {
  std::size_t m = 32;  // half the links a row may have
  std::size_t ef_construction = 200;
  std::uint64_t seed = 0;      // of the sample that walks start from
  std::string codes = "auto";  // auto, f32, bf16, i8 or cascade
  bool keep_vectors = true;    // the f32 rows, for exact scores
};

// Approximate search in a navigable small world graph (Malkov and Yashunin, arXiv 1603.09320), of
// one level: in high dims a sample of rows to start from does what the upper levels do
// (arXiv 2412.01940). Links are pruned as in Vamana. The graph is built on the distances of the raw
// unit rows; an alignment changes what a search scores, and the graph only by reindex(). Walks read
// codes, not rows.
//
// Removed rows stay as waypoints until they are an eighth of the rows, then one pass links their
// neighbours to each other (as FreshDiskANN does, arXiv 2105.09613) and frees their slots.
class HnswIndex : public Index {
 public:
  static constexpr const char* kKind = "hnsw";
  static constexpr std::size_t kDefaultEf = 64;

  HnswIndex(std::size_t dim, const HnswOptions& options);
  static std::unique_ptr<HnswIndex> restore(std::size_t dim, const SectionReader& reader);

  const char* kind() const override { return kKind; }
  const HnswOptions& options() const { return options_; }
  const char* codes() const;  // those in use

  // Learns from a sample of the queries of one modality what searching for them takes.
  void fit_queries(const float* queries, std::size_t query_dim, std::size_t count,
                   const std::string& modality, std::size_t threads);
  // Builds the graph anew, of the rows as the alignment in use leaves them. Takes as long as adding
  // all rows, and room for them once more; searches go on beside it.
  void reindex(std::size_t threads);
  // Forgets what samples have taught, and the links made for them.
  void forget_queries();
  // Rows that links of the tree lead to, and those that should be: equal in a sound graph.
  std::pair<std::size_t, std::size_t> reachable();

 protected:
  std::unique_ptr<IndexView> copy_view() const override;
  void grow(IndexView& next, const std::vector<Slot>& kept) override;
  std::size_t rows_at_once(std::size_t count) const override;
  void prepare(const float* units, std::size_t sampled, std::size_t count) override;
  void store(const std::vector<Slot>& slots, const float* units, std::size_t threads) override;
  void link(const std::vector<Slot>& slots, std::size_t threads) override;
  void erase(const std::vector<Slot>& slots) override;
  void settle(std::size_t threads) override;
  void realign(IndexView& next) override;
  void before_search(const SearchOptions& options) override;
  void tidy() override;
  void search_rows(const IndexView& view, const std::vector<PreparedQuery>& queries,
                   const SlotFilter* filter, const SearchOptions& options, float* scores,
                   Label* labels) const override;
  void score_rows(const IndexView& view, const PreparedQuery& query, const Slot* slots,
                  std::size_t count, float* scores) const override;
  void decode(const IndexView& view, Slot slot, float* unit) const override;
  void add_memory(const IndexView& view, MemoryUse& use) const override;
  void append_sections(SectionWriter& sections) const override;

 private:
  // What a thread needs to search or to insert; kept for the next one.
  struct Scratch {
    std::array<Walk, 3> walks;
    CodeScan scan;
    LocalRows local;
    LocalRows sorted;
    std::vector<float> distances;
    std::vector<float> to_kept;
    std::vector<Slot> left;
  };
  class ScratchLease;

  const GraphView& seen() const { return static_cast<const GraphView&>(view()); }
  GraphView& own() { return static_cast<GraphView&>(writable()); }
  std::mutex& link_lock(Slot slot) const { return link_locks_[slot % link_locks_.size()]; }

  void refill_means(GraphView& next) const;

  // hnsw_search.cpp: search.
  struct Plan;
  static Plan plan_for(const GraphView& view, const SlotFilter* filter,
                       const SearchOptions& options);
  static WalkGoal goal_for(const Effort* effort, std::size_t k, std::size_t ef);
  static void prepare_codes(const GraphView& view, const PreparedQuery& query, const Effort* effort,
                            float margin, CodeQuery& coded);
  static void prepare_walk(const GraphView& view, const PreparedQuery& query, const Effort* effort,
                           Walk& walk);
  void collect(const GraphView& view, const Walk& walk, const PreparedQuery& query,
               const WalkGoal& goal, bool exact, TopK& best) const;
  void score_anew(const GraphView& view, const PreparedQuery& query,
                  std::vector<Candidate>& found) const;
  void scan_codes(const GraphView& view, const PreparedQuery& query, const Plan& plan, bool exact,
                  CodeScan& by, TopK& best) const;

  // hnsw_build.cpp: insertion.
  void link_all(GraphView& view, const std::vector<Slot>& slots, std::size_t threads);
  void link_one(GraphView& view, Slot slot);
  void refine_links(GraphView& view, Slot slot);
  void walk_for_links(const GraphView& view, Slot slot, std::size_t ef, Walk& walk) const;
  Slot tree_child(const Graph& graph, Slot slot) const;
  bool chain_equal(GraphView& view, Slot slot, const std::vector<Candidate>& nearest);
  bool same_row(const GraphView& view, Slot a, Slot b) const;
  void chain(GraphView& view, Slot slot, Slot head);
  void gather(const GraphView& view, const std::vector<Slot>& slots, LocalRows& local) const;
  std::vector<Slot> select(Scratch& scratch, const std::vector<Slot>& slots, std::size_t most,
                           std::size_t always) const;
  bool link_back(GraphView& view, Slot from, Slot to, bool tree, std::size_t most_tree);
  void rewrite_links(GraphView& view, Slot slot, std::vector<Slot> wanted, std::size_t most);
  void choose_routers(Graph& graph) const;

  // hnsw_bulk.cpp: insertion of many rows at once.
  bool goes_bulk(const Graph& graph, std::size_t count) const;
  void link_bulk(GraphView& view, const std::vector<Slot>& fresh, std::size_t threads);
  class Bulk;

  // hnsw_repair.cpp: removal.
  void repair();
  void rebuild();
  void unchain(Graph& graph, const std::vector<Slot>& slots, std::vector<Slot>& freed);
  void relink(GraphView& view, const std::vector<Slot>& lost, std::size_t threads);
  void repair_links(GraphView& view, Slot slot);
  std::vector<Slot> regrow_tree(Graph& graph) const;

  // hnsw_fit.cpp: what a sample of queries changes.
  void join_neighbours(GraphView& view, const std::vector<Candidate>& nearest, LocalRows& local);
  bool add_query_link(Graph& graph, Slot from, Slot to) const;

  // hnsw_effort.cpp: what searches take.
  static constexpr std::size_t kLearnFrom = 1000;  // rows; fewer are scanned when recall is asked
  static constexpr std::size_t kMeasured = 256;    // queries that efforts are measured with
  void learn(const GraphView& view, const std::vector<PreparedQuery>& queries,
             const std::vector<Slot>& own_slots, Effort& effort, std::size_t threads) const;
  void learn_from_rows(const GraphView& view, Effort& effort, std::size_t threads) const;
  void take_mean(const GraphView& view, const std::vector<PreparedQuery>& queries, Effort& effort,
                 std::size_t threads) const;
  void set_effort(const std::string& modality, std::shared_ptr<Effort> effort);
  void learn_again(const std::string& modality);
  void forget_recalls(GraphView& next) const;
  void check_codes(std::size_t threads);

  // hnsw_sections.cpp: to and from bytes.
  void restore_graph(const SectionReader& reader);
  void relink_rows();

  HnswOptions options_;
  std::size_t centred_on_ = 0;    // rows there were when the codes' mean was taken
  std::size_t routers_from_ = 0;  // linked rows there were when the routers were drawn
  std::size_t changed_ = 0;       // rows linked since efforts were learnt
  std::vector<Slot> tombstones_;  // slots without label that are still in the graph

  mutable std::array<std::mutex, 1024> link_locks_;  // of writers only
  mutable std::mutex scratch_lock_;
  mutable std::vector<std::unique_ptr<Scratch>> spare_scratch_;
};

}  // namespace gapless
