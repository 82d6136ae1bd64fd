#include "bench/report/goal.h"

#include <cstdio>
#include <cstdlib>
#include <format>
#include <fstream>

namespace steppe::bench {
namespace {

Goal judged(std::string name, double ratio, double limit, const char* sign, bool met) {
  Goal out;
  out.name = std::move(name);
  out.ratio = std::format("{:.2f}", ratio);
  out.goal = std::format("{} {:g}", sign, limit);
  out.met = met;
  return out;
}

}  // namespace

Goal at_most(std::string name, double ratio, double limit) { return judged(std::move(name), ratio, limit, "<=", ratio <= limit); }
Goal at_least(std::string name, double ratio, double limit) { return judged(std::move(name), ratio, limit, ">=", ratio >= limit); }

bool report(const std::string& part, const std::vector<Goal>& goals) {
  bool all = true;
  std::string lines;
  for (const Goal& g : goals) {
    all = all && g.met;
    std::printf("%-44s %14s %22s %14s %8s %9s  %s\n", g.name.c_str(), g.ours.c_str(), g.peer.c_str(), g.floor.c_str(),
                g.ratio.c_str(), g.goal.c_str(), g.goal.empty() ? "" : g.met ? "met" : "MISSED");
    // Names and figures are ours: plain ASCII without quotes or backslashes.
    lines += std::format(R"({{"part":"{}","name":"{}","ours":"{}","peer":"{}","floor":"{}","ratio":"{}","goal":"{}","met":{}}})", part,
                         g.name, g.ours, g.peer, g.floor, g.ratio, g.goal, g.met ? "true" : "false") + "\n";
  }
  if (const char* path = std::getenv("STEPPE_BENCH_GOALS"); path != nullptr && *path != '\0') {
    std::ofstream file(path, std::ios::app);
    file << lines;
    if (!file.flush().good()) {
      std::fprintf(stderr, "cannot write %s\n", path);
      return false;
    }
  }
  return all;
}

}  // namespace steppe::bench
