// Merging ranked lists, on one thread: microseconds from the lists' scores and labels to the k
// best, for every method, and of one reading what each list gave to them. The median and the best
// of many runs, since other programs only ever slow one down.
//
//   cmake -S . -B build/bench -DGAPLESS_BENCH=ON -DGAPLESS_PYTHON=OFF && cmake --build build/bench
//   build/bench/bench_fuse [LISTS [LENGTH [K]]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "query/fuse.h"

namespace {

using namespace gapless;

struct Lists {
  std::vector<std::vector<double>> scores;
  std::vector<std::vector<Label>> labels;
};

// Half of what a list holds is in another list too, in the mean.
std::vector<Lists> questions(std::size_t count, std::size_t lists, std::size_t length) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> score(0.2, 0.05);
  std::vector<Label> pool(length * (lists + 1));
  for (Label& label : pool) label = static_cast<Label>(random() >> 24);
  std::vector<Lists> found(count);
  for (Lists& question : found) {
    for (std::size_t list = 0; list < lists; ++list) {
      std::shuffle(pool.begin(), pool.end(), random);
      std::vector<double> scores(length);
      for (double& s : scores) s = score(random);
      std::sort(scores.rbegin(), scores.rend());
      question.scores.push_back(scores);
      question.labels.emplace_back(pool.begin(),
                                   pool.begin() + static_cast<std::ptrdiff_t>(length));
    }
  }
  return found;
}

double microseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::micro>(now).count();
}

void read_lists(const Lists& question, RankedLists& into) {
  into.reset(question.scores.size(), question.scores.size() * question.scores[0].size());
  for (std::size_t list = 0; list < question.scores.size(); ++list) {
    into.add(list, question.scores[list].data(), question.labels[list].data(),
             question.labels[list].size());
  }
}

struct Time {
  double median;
  double best;
};

// Of one question; all are asked in turn, so that branches cannot learn a single one.
template <typename Call>
Time time_of(const std::vector<Lists>& asked, const Call& call) {
  std::vector<double> times;
  for (int round = 0; round < 201; ++round) {
    const double start = microseconds();
    for (const Lists& question : asked) call(question);
    times.push_back((microseconds() - start) / static_cast<double>(asked.size()));
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[0]};
}

void print(const std::string& name, const Time& time) {
  std::printf("%-28s %8.2f %8.2f\n", name.c_str(), time.median, time.best);
}

ListTerms terms_of(const std::string& map) {
  Calibration made;
  made.a = 30.0;
  made.c = -8.0;
  if (map == "beta") {
    made.method = CalibrationMethod::kBeta;
    made.b = 2.0;
  } else if (map == "isotonic") {
    made.method = CalibrationMethod::kIsotonic;
    for (int i = 0; i < 40; ++i) {
      made.knots.push_back(0.01 * i);
      made.values.push_back(0.2 * i - 6.0);
    }
  }
  ListTerms terms;
  terms.cohort = {0.1, 0.05};
  terms.calibration.map = std::make_shared<Calibration>(made);
  return terms;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int at, int otherwise) {
    return static_cast<std::size_t>(argc > at ? std::atoi(argv[at]) : otherwise);
  };
  const std::size_t lists = argument(1, 4), length = argument(2, 200), k = argument(3, 10);
  if (lists == 0 || length == 0 || k == 0) {
    std::fprintf(stderr, "usage: bench_fuse [LISTS [LENGTH [K]]]\n");
    return 2;
  }
  const std::vector<Lists> asked = questions(20, lists, length);
  std::printf("%zu lists of %zu, the %zu best; microseconds   median     best\n", lists, length, k);
  RankedLists ranked;
  Fuser fuser;
  Contributions said;
  print("reading the lists alone",
        time_of(asked, [&](const Lists& question) { read_lists(question, ranked); }));
  const auto time_method = [&](const std::string& name, const FusionOptions& options,
                               const std::string& map, bool contributions) {
    const std::vector<ListTerms> terms(lists, terms_of(map));
    print(name, time_of(asked, [&](const Lists& question) {
            read_lists(question, ranked);
            fuser.merge(ranked, terms, options, k);
            if (contributions) fuser.contributions(ranked, options, said);
          }));
  };
  FusionOptions options;
  for (const char* method : {"rrf", "rrf_qdrant", "isr", "log_isr", "logn_isr", "borda", "rbc",
                             "combsum", "combmnz", "combmin", "combmax", "combmed", "combanz",
                             "gmnz", "convex", "dbsf", "minmax", "zscore", "cohort"}) {
    options.method = fusion_method(method);
    time_method(method, options, "platt", false);
  }
  time_method("cohort with contributions", options, "platt", true);
  options.method = FusionMethod::kCalibrated;
  for (const char* map : {"platt", "beta", "isotonic"}) {
    for (const char* combine : {"max", "noisy_or", "mean_logit"}) {
      options.combine = combine_rule(combine);
      time_method("calibrated " + std::string(map) + " " + combine, options, map, false);
    }
  }
}
