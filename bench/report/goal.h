#pragma once

#include <string>
#include <vector>

namespace steppe::bench {

// One line of the report: what a goal asks, what was measured beside what in the same run.
struct Goal {
  std::string name;   // "launch over the two-process floor"
  std::string ours;   // "2.31 ms"
  std::string peer;   // "bubblewrap 6.40 ms"; empty: none
  std::string floor;  // "1.92 ms"; empty: none
  std::string ratio;  // "1.20"; empty where the figure itself is judged
  std::string goal;   // "<= 1.25"; empty: printed for information
  bool met = true;
};

// "1.20 <= 1.25" judged as printed.
Goal at_most(std::string name, double ratio, double limit);
Goal at_least(std::string name, double ratio, double limit);

// Appends one JSON object a line to the file named by STEPPE_BENCH_GOALS, which bench/report/run sets; without it, and
// always, prints the lines for people. Returns whether all goals are met.
bool report(const std::string& part, const std::vector<Goal>& goals);

}  // namespace steppe::bench
